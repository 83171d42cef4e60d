/* order: one certificate from a CA, from newOrder to the checked chain (RFC 8555 section 7.4).
 *
 * The steps are a table in order.c: directory, account, order, authorizations, dns, propagation,
 * validation, finalize, issuance, download, cleanup. Valid authorizations are skipped, pending
 * ones taken up; an order that was under way before a restart is resumed by its URL with its key.
 * Cleanup withdraws every TXT record whatever the end, and gives up the authorizations of an
 * order that failed.
 *
 * Life: order_start; on_done comes once, from the loop, when the order has freed itself.
 * order_cancel: on_done comes with phase "cancelled" when the records are withdrawn.
 * order_abandon: it stops here and now without on_done, after dns01_free; dns01's journal knows
 * what is left to withdraw. The loop's thread.
 */
#ifndef WOS_ACME_ORDER_H
#define WOS_ACME_ORDER_H

#include "acme/account.h"
#include "acme/acme_client.h"
#include "acme/dns01.h"
#include "acme/settings.h"

struct order;

enum order_progress { ORDER_RUNNING, ORDER_DONE, ORDER_FAILED };

struct order_spec {
    struct loop *loop;          /* all borrowed until on_done */
    struct acme_client *client; /* idle; the order's alone meanwhile */
    struct account *account;
    struct dns01 *dns;
    const struct acme_settings *settings;
    const char *const *names;
    size_t name_count;
    const char *replaces;     /* RFC 9773 certificate id; NULL: none */
    const char *pending_path; /* NULL: nothing is kept over a restart */
    /* `message` may be NULL; for people, without secrets. */
    void (*on_step)(void *arg, const char *step, enum order_progress progress, const char *message);
    /* failure NULL: the PEM texts, borrowed for the call; the key is secret. The pending file
     * stays until the caller has installed them. */
    void (*on_done)(void *arg, const struct failure *failure, struct str chain_pem,
                    struct str key_pem);
    void *arg;
};

struct order *order_start(const struct order_spec *spec);
void order_cancel(struct order *o);
void order_abandon(struct order *o);
/* The step that runs. */
const char *order_step(const struct order *o);

#endif
