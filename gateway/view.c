/* view: see view.h. The worker's thread. */
#include "gateway/view.h"

#include <stdlib.h>

#include "base/auto.h"

struct view *view_new(struct snapshot *snapshot, struct certset *certs, SSL_CTX *client,
                      struct quota_set *quotas)
{
    struct view *view = try_alloc(sizeof *view);
    if (view == NULL) {
        return NULL;
    }
    CHECK(client == NULL || SSL_CTX_up_ref(client) == 1);
    *view = (struct view){.pins = 1,
                          .snapshot = snapshot_ref(snapshot),
                          .certs = certs == NULL ? NULL : certset_ref(certs),
                          .client = client,
                          .quotas = quota_set_ref(quotas),
                          .needs_review = true};
    return view;
}

struct view *view_pin(struct view *view)
{
    view->pins++;
    return view;
}

/* On the worker's thread, or on that of the mailbox. */
static void view_free(void *arg)
{
    struct view *view = arg;
    snapshot_unref(view->snapshot);
    certset_unref(view->certs);
    SSL_CTX_free(view->client);
    quota_set_unref(view->quotas);
    free(view);
}

void view_unpin(struct view *view)
{
    if (view == NULL) {
        return;
    }
    CHECK(view->pins > 0);
    if (--view->pins > 0) {
        return;
    }
    if (view->home != NULL) {
        mail_post(view->home, &view->letter, view_free, view);
    } else {
        view_free(view);
    }
}
