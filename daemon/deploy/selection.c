/* selection: see selection.h. Called by the API and by deployment_prepare.c. */
#include "daemon/deploy/selection.h"

#include <string.h>

#include "base/auto.h"
#include "base/str.h"

static char *known_services(const struct manifest *m)
{
    struct buf text = {0};
    for (size_t i = 0; i < m->service_count; i++) {
        buf_printf(&text, "%s%s", i == 0 ? "" : ", ", m->services[i].name);
    }
    return buf_take(&text);
}

static const struct manifest_target *find_target(const struct manifest *m, const char *name)
{
    for (size_t i = 0; i < m->target_count; i++) {
        if (strcmp(m->targets[i].name, name) == 0) {
            return &m->targets[i];
        }
    }
    return NULL;
}

int selection_check(const struct selection *s, const struct manifest *m, struct err *err)
{
    /* First: nothing can be declared there, and "no service named web" would mislead. */
    if (m->mode == MANIFEST_COMPOSE &&
        (s->target != NULL || s->services != NULL || s->argument_count > 0)) {
        return err_set(err, ERR_USAGE,
                       "mode compose starts every service of its file: services, a target and "
                       "arguments cannot be given");
    }
    autofree char *known = known_services(m);
    if (s->target != NULL && s->services != NULL) {
        return err_set(err, ERR_USAGE, "give either services or a target, not both");
    }
    if (s->target != NULL && find_target(m, s->target) == NULL) {
        return err_set(err, ERR_USAGE, "no target named %s in %s", s->target, m->file);
    }
    for (size_t i = 0; s->services != NULL && s->services[i] != NULL; i++) {
        if (manifest_find(m, s->services[i]) == NULL) {
            return err_set(err, ERR_USAGE, "no service named %s; services: %s", s->services[i],
                           known);
        }
    }
    for (size_t i = 0; i < s->argument_count; i++) {
        if (!manifest_has_argument(m, s->arguments[i].key)) {
            return err_set(err, ERR_USAGE, "argument %s is not declared under arguments in %s",
                           s->arguments[i].key, m->file);
        }
    }
    return 0;
}

bool selection_has(const struct selection *s, const struct manifest *m, const char *service)
{
    const struct manifest_target *target = s->target == NULL ? NULL : find_target(m, s->target);
    for (size_t i = 0; target != NULL && i < target->service_count; i++) {
        if (strcmp(target->services[i], service) == 0) {
            return true;
        }
    }
    for (size_t i = 0; s->services != NULL && s->services[i] != NULL; i++) {
        if (strcmp(s->services[i], service) == 0) {
            return true;
        }
    }
    return target == NULL && s->services == NULL;
}
