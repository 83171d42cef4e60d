/* deployment_check: mistakes of an `up`, or of a service's restart, that can be known before it
 * stops what runs. Called by deployment_prepare.c and runner_shell.c; loop thread. Reads env files.
 *
 * Files that the first run's clones, caches and init scripts may still make are left to the
 * launch. */
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "daemon/deploy/deployment_internal.h"
#include "daemon/deploy/envfile.h"

struct check {
    struct deployment *d;    /* borrowed */
    enum manifest_mode mode; /* in which the services are to run */
    bool looks_at_files;
    bool has_ports;  /* they are chosen already: d->services has them */
    struct buf text; /* owned: the mistakes, one a line */
    enum err_code code;
};

static void check_note(struct check *c, const struct err *err)
{
    buf_printf(&c->text, "%s%s", c->text.len == 0 ? "" : "\n", err->msg);
    if (c->code != ERR_CONFIG) {
        c->code = err->code;
    }
}

static void check_env_file(struct check *c, const char *name, int line, int column,
                           const char *where)
{
    const struct deployment *d = c->d;
    autofree char *path = path_join(d->wt.root, name);
    struct err err = {0};
    struct envlist unused = {0};
    int rc = 0;
    /* In a container Compose reads it, and says what is wrong inside. */
    if (c->mode != MANIFEST_GENERATED) {
        rc = envfile_load(path, &d->up->base_env, &unused, &err);
    } else if (!file_exists(path)) {
        rc = err_set(&err, ERR_CONFIG, "env_file %s does not exist", path);
    }
    if (rc < 0) {
        (void)err_wrap(&err, "%s:%d:%d: %s", d->up->manifest->file, line, column, where);
        check_note(c, &err);
    }
    envlist_fini(&unused);
}

static void check_cwd(struct check *c, const struct manifest_service *ms, const char *where)
{
    const struct deployment *d = c->d;
    autofree char *path = path_join(d->wt.root, ms->cwd);
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        struct err err = {0};
        (void)err_set(&err, ERR_CONFIG, "%s:%d:%d: %s: cwd %s is not a directory",
                      d->up->manifest->file, ms->line, ms->column, where, path);
        check_note(c, &err);
    }
}

static void check_environment(struct check *c, const struct manifest_pair *pairs, size_t count,
                              const char *where)
{
    struct err err = {0};
    struct envlist unused = {0};
    int rc = c->has_ports ? environment_expand(c->d, pairs, count, where, &unused, &err)
                          : environment_check(c->d, pairs, count, where, &err);
    if (rc < 0) {
        check_note(c, &err);
    }
    envlist_fini(&unused);
}

static void check_service(struct check *c, const struct manifest_service *ms)
{
    autofree char *where = xasprintf("%s.%s", ms->is_dep ? "deps" : "app.services", ms->name);
    if (c->looks_at_files && ms->env_file != NULL) {
        check_env_file(c, ms->env_file, ms->line, ms->column, where);
    }
    if (c->looks_at_files && ms->cwd != NULL && c->mode == MANIFEST_SHELL) {
        check_cwd(c, ms, where);
    }
    check_environment(c, ms->environment, ms->environment_count, where);
}

static void check_compose(struct check *c, const struct manifest_compose *mc)
{
    for (size_t i = 0; c->looks_at_files && i < mc->env_file_count; i++) {
        check_env_file(c, mc->env_files[i], mc->line, mc->column, "compose");
    }
    check_environment(c, mc->environment, mc->environment_count, "compose");
}

char *up_check_services(struct deployment *d, enum err_code *out_code)
{
    const struct manifest *m = d->up->manifest;
    struct check c = {.d = d, .mode = m->mode, .looks_at_files = !up_will_make_files(d)};
    if (m->mode == MANIFEST_COMPOSE) {
        check_compose(&c, &m->compose);
    } else {
        for (size_t i = 0; i < d->up->selected_count; i++) {
            check_service(&c, d->up->selected[i]);
        }
    }
    if (c.text.len == 0) {
        buf_fini(&c.text);
        return NULL;
    }
    *out_code = c.code;
    return buf_take(&c.text);
}

int service_check(struct deployment *d, const struct manifest_service *ms, struct err *err)
{
    struct check c = {.d = d, .mode = d->mode, .looks_at_files = true, .has_ports = true};
    check_service(&c, ms);
    int rc = c.text.len == 0 ? 0 : err_set(err, c.code, "%s", buf_cstr(&c.text));
    buf_fini(&c.text);
    return rc;
}
