/* compose_hosts: see compose_hosts.h. Called by compose_plan.c. */
#include "daemon/deploy/compose_hosts.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/envfile.h"

enum { SERVICES_MAX = 8 };

/* Where a chain of services has come to. */
struct chain {
    struct compose_base base; /* of the file; empty while it is the first */
    const struct compose_base *at;
    char *dir;     /* owned: of the file */
    char *service; /* owned */
};

static bool decides_itself(const struct chain *c)
{
    bool decides = false;
    for (size_t i = 0; i < c->at->setting_count && !decides; i++) {
        const struct compose_setting *setting = &c->at->settings[i];
        if (strcmp(c->at->services[setting->service], c->service) != 0) {
            continue;
        }
        autofree char *path = path_join(c->dir, setting->text);
        struct str text = str_of(setting->text);
        text.len = str_find(text, '=');
        decides = setting->is_file ? envfile_names(path, ENVIRONMENT_HOSTS)
                                   : str_eq(text, STR(ENVIRONMENT_HOSTS));
    }
    return decides;
}

static const struct compose_extension *extension_of(const struct chain *c)
{
    const struct compose_extension *found = NULL;
    for (size_t i = 0; i < c->at->extension_count; i++) {
        const struct compose_extension *e = &c->at->extensions[i];
        found = strcmp(c->at->services[e->service], c->service) == 0 ? e : found;
    }
    return found == NULL || found->from == NULL ? NULL : found;
}

static bool is_below(const char *path, const char *root)
{
    autofree char *real = path_real(path, NULL);
    autofree char *top = path_real(root, NULL);
    size_t len = top == NULL ? 0 : strlen(top);
    return real != NULL && len > 0 && strncmp(real, top, len) == 0 && real[len] == '/';
}

/* False: the file is not to be looked at, or cannot be. */
static bool chain_open(struct chain *c, const char *path, const char *root)
{
    struct buf text = {0};
    struct compose_base base = {0};
    autofree char *dir = xstrdup(path);
    *strrchr(dir, '/') = '\0';
    bool is_read = is_below(path, root) && file_read(path, COMPOSE_TEXT_MAX, &text, NULL) == 0 &&
                   compose_base_make(buf_str(&text), path, dir, &base, NULL) == 0;
    buf_fini(&text);
    if (!is_read) {
        compose_base_fini(&base);
        return false;
    }
    compose_base_fini(&c->base);
    c->base = base;
    c->at = &c->base;
    free(c->dir);
    c->dir = xstrdup(dir);
    return true;
}

/* To the service that this one extends; false: there is none. */
static bool chain_next(struct chain *c, const char *root)
{
    const struct compose_extension *e = extension_of(c);
    if (e == NULL) {
        return false;
    }
    autofree char *file = e->file == NULL ? NULL : xstrdup(e->file);
    free(c->service);
    c->service = xstrdup(e->from);
    return file == NULL || chain_open(c, file, root);
}

bool compose_hosts_are_decided(const struct compose_base *base, const char *dir, const char *root,
                               const char *service)
{
    struct chain c = {.at = base, .dir = xstrdup(dir), .service = xstrdup(service)};
    bool decides = decides_itself(&c);
    for (int i = 1; i < SERVICES_MAX && !decides && chain_next(&c, root); i++) {
        decides = decides_itself(&c);
    }
    compose_base_fini(&c.base);
    free(c.dir);
    free(c.service);
    return decides;
}
