/* order_impl: the inside of an order, for order.c and the files with its steps. */
#ifndef WOS_ACME_ORDER_IMPL_H
#define WOS_ACME_ORDER_IMPL_H

#include "acme/keygen.h"
#include "acme/order.h"
#include "acme/pending.h"
#include "acme/propagation.h"
#include "base/auto.h"

enum {
    ORDER_MAGIC = 0x6f726465,
    ORDER_AUTHZ_MAX = 100,
    ORDER_ALTERNATES_MAX = 8,
    ORDER_REDO_MAX = 2, /* new orders in one run */
};

enum order_state {
    STATE_DIRECTORY,
    STATE_ACCOUNT,
    STATE_ORDER,
    STATE_AUTHZ,
    STATE_PRESENT,
    STATE_PROPAGATE,
    STATE_RESPOND,
    STATE_POLL,
    STATE_FINALIZE,
    STATE_ISSUANCE,
    STATE_DOWNLOAD,
    STATE_CLEANUP,
    ORDER_STATES
};

struct authz {
    char *url;       /* owned, as all here */
    char *name;      /* without "*." */
    char *challenge; /* URL of dns-01; NULL: nothing to do */
    char *value;     /* of the TXT record */
    char *record;    /* where it stands; NULL: not known yet */
    bool is_open;    /* not valid yet */
    bool is_pending; /* its challenge awaits our answer */
    bool is_presented;
};

struct order {
    uint32_t magic;
    struct order_spec spec;
    enum order_state state;
    bool is_cancelled;
    bool is_dns_busy; /* dns01 will call back */
    bool is_dead;     /* the CA's order is of no use any more */
    bool is_verified; /* the account was asked for at the CA in this run */
    bool no_replaces;
    int redone;
    struct pending pending; /* order_url NULL: no order yet */
    char *finalize_url;
    char *certificate_url;
    struct authz *authz;
    size_t authz_count;
    size_t at; /* the authorization, record or alternate being worked on */
    struct propagation *propagation;
    struct keygen *keygen;
    struct loop_timer timer;
    void (*on_timer)(struct order *o);
    int polls;                              /* in this step */
    uint64_t give_up_ms;                    /* monotonic: when polling ends */
    struct buf chain;                       /* the result */
    char *alternates[ORDER_ALTERNATES_MAX]; /* owned */
    size_t alternate_count;
    struct failure failure; /* of the run */
};

/* Ends the step that runs and begins the next. From callbacks of the loop only. */
void order_go(struct order *o, enum order_state next);
void order_fail(struct order *o, const struct failure *failure);
/* The same with `is_dead`: the CA's order cannot be taken up again. */
void order_fail_dead(struct order *o, const struct failure *failure);
void order_note(struct order *o, const char *message);
/* Calls fn after the pause the CA asks for (`retry_at`, 0: a growing one of ours); false when it
 * took too long altogether. */
bool order_poll_later(struct order *o, int64_t retry_at, void (*fn)(struct order *o));
void order_poll_begin(struct order *o, uint64_t limit_ms);
/* POST-as-GET. */
void order_read(struct order *o, const char *url, const char *phase, acme_client_done_fn *done);
void order_forget_authz(struct order *o);
/* Forgets the order and its file; the key goes too. */
void order_forget(struct order *o);
int order_keep(struct order *o, struct err *err);

void order_enter_directory(struct order *o);
void order_enter_account(struct order *o);
void order_enter_order(struct order *o);
void order_enter_authz(struct order *o);
void order_enter_present(struct order *o);
void order_enter_propagate(struct order *o);
void order_enter_respond(struct order *o);
void order_enter_poll(struct order *o);
void order_enter_finalize(struct order *o);
void order_enter_issuance(struct order *o);
void order_enter_download(struct order *o);

#endif
