/* order: depth-first walk over dependencies. Called by the manifest's checks and
 * by deployment; any thread. The depth is bounded by walking iteratively. */
#include "daemon/deploy/order.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/auto.h"

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

struct walk {
    const struct manifest *m;
    uint8_t *marks; /* owned: enum mark per service */
    size_t *stack;  /* owned: the path being walked */
    size_t *next;   /* owned: next dependency of each on the path */
    size_t depth;
    const struct manifest_service **sorted;
    size_t count;
};

static int walk_report_cycle(const struct walk *w, size_t again, struct err *err)
{
    struct buf text = {0};
    buf_add_text(&text, "dependency cycle: ");
    size_t from = 0;
    while (w->stack[from] != again) {
        from++;
    }
    for (size_t i = from; i < w->depth; i++) {
        buf_printf(&text, "%s -> ", w->m->services[w->stack[i]].name);
    }
    buf_add_text(&text, w->m->services[again].name);
    (void)err_set(err, ERR_CONFIG, "%s", buf_cstr(&text));
    buf_fini(&text);
    return -1;
}

static void walk_push(struct walk *w, size_t index)
{
    w->marks[index] = MARK_OPEN;
    w->stack[w->depth] = index;
    w->next[w->depth] = 0;
    w->depth++;
}

/* Everything reachable from `root`; -1 and *out_where on a cycle. */
static int walk_from(struct walk *w, size_t root, size_t *out_where, struct err *err)
{
    walk_push(w, root);
    while (w->depth > 0) {
        size_t index = w->stack[w->depth - 1];
        const struct manifest_service *service = &w->m->services[index];
        if (w->next[w->depth - 1] >= service->dependency_count) {
            w->marks[index] = MARK_DONE;
            w->sorted[w->count++] = service;
            w->depth--;
            continue;
        }
        const char *name = service->dependencies[w->next[w->depth - 1]++];
        const struct manifest_service *found = manifest_find(w->m, name);
        if (found == NULL || found == service) {
            continue; /* reported where the manifest is read */
        }
        size_t child = (size_t)(found - w->m->services);
        if (w->marks[child] == MARK_OPEN) {
            *out_where = child;
            return walk_report_cycle(w, child, err);
        }
        if (w->marks[child] == MARK_NEW) {
            walk_push(w, child);
        }
    }
    return 0;
}

const struct manifest_service **
order_services(const struct manifest *m, const struct manifest_service **out_where, struct err *err)
{
    size_t n = m->service_count;
    autofree uint8_t *marks = xcalloc(n + 1, sizeof(*marks));
    autofree size_t *stack = xcalloc(n + 1, sizeof(*stack));
    autofree size_t *next = xcalloc(n + 1, sizeof(*next));
    struct walk w = {.m = m, .marks = marks, .stack = stack, .next = next};
    w.sorted = xcalloc(n + 1, sizeof(*w.sorted));
    for (size_t i = 0; i < n; i++) {
        size_t where = 0;
        if (marks[i] == MARK_NEW && walk_from(&w, i, &where, err) < 0) {
            if (out_where != NULL) {
                *out_where = &m->services[where];
            }
            free(w.sorted);
            return NULL;
        }
    }
    return w.sorted;
}
