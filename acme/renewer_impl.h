/* renewer_impl: the inside of a renewer, for renewer.c and the files with its actions. */
#ifndef WOS_ACME_RENEWER_IMPL_H
#define WOS_ACME_RENEWER_IMPL_H

#include "acme/account.h"
#include "acme/acme_client.h"
#include "acme/dns01.h"
#include "acme/lockfile.h"
#include "acme/order.h"
#include "acme/renewer.h"
#include "acme/schedule.h"
#include "acme/acme_state.h"
#include "acme/storage.h"
#include "base/auto.h"

enum { RENEWER_MAGIC = 0x72656e65 };

enum action {
    ACTION_NONE,
    ACTION_SWEEP, /* withdraw what a crash left */
    ACTION_ASK,   /* RFC 9773 */
    ACTION_RENEW,
    ACTION_DRY_RUN,
    ACTION_REVOKE,
    ACTION_DEACTIVATE,
    ACTION_HOLD, /* for renewer_hold: its end begins the pause */
};

struct waiter {
    enum action action;
    bool is_forced;
    bool is_running;       /* its action is the one under way */
    renewer_done_fn *done; /* NULL: forgotten */
    void *arg;
};

struct renewer {
    uint32_t magic;
    struct renewer_spec spec;
    char *base_domain; /* owned, as all paths */
    char *state_path;
    char *pending_path;
    char *journal_path;
    char *doctor_journal_path;
    char *lock_path;
    char *account_url; /* owned; "": none */
    bool is_started;
    bool is_held;         /* between renewer_hold and renewer_release: nothing is begun */
    struct bundle bundle; /* cert NULL: none stored */
    bool was_usable;      /* at the last look */
    bool is_resumable;    /* an order of before the start can be taken up */
    struct acme_state state;
    int64_t ask_at;           /* next ACTION_ASK */
    char cert_id[ARI_ID_MAX]; /* of bundle.cert; "" when it has none */
    struct loop_timer tick;

    struct waiter *waiters; /* owned */
    size_t waiter_count;
    struct waiter *answering; /* borrowed: those being told the result */
    size_t answering_count;

    /* The action under way. */
    enum action action;
    const struct acme_settings *settings; /* spec.settings or &dry */
    struct acme_settings dry;
    struct acme_client *client; /* owned, as those below; NULL when not needed */
    struct account *account;
    struct dns01 *dns;
    struct lockfile *lock;
    struct order *order;
    bool is_cancelled;
    struct failure result;
    struct loop_timer end; /* frees what the action used, from outside its callbacks */
};

/* The bundle may be served now. */
bool renewer_is_usable(const struct renewer *r, int64_t now);
struct schedule renewer_schedule(const struct renewer *r, int64_t now);
/* There is another bundle: tells the owner, forgets what the CA said about the old one. */
void renewer_take(struct renewer *r, struct bundle *bundle);
void renewer_drop(struct renewer *r);
void renewer_save(struct renewer *r);
/* Other settings than those of the last failure: its pause ends. */
void renewer_look_config(struct renewer *r);
/* The account's URL, for people. */
void renewer_note_account(struct renewer *r, const struct account *account);
/* The action is over; from anywhere. failure NULL: success. */
void renewer_end(struct renewer *r, const struct failure *failure);

void renewer_step(struct renewer *r, const char *step, enum order_progress progress,
                  const char *message);
void renewer_warn(struct renewer *r, const char *message);
cJSON *renewer_event(const struct renewer *r, const char *type);

void renewer_run_order(struct renewer *r);
void renewer_run_ask(struct renewer *r);
void renewer_run_sweep(struct renewer *r);
void renewer_run_revoke(struct renewer *r);
void renewer_run_deactivate(struct renewer *r);
void renewer_run_hold(struct renewer *r);
/* Bookkeeping of a renewal that ended. */
void renewer_note_result(struct renewer *r, const struct failure *failure);

#endif
