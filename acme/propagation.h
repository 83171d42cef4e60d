/* propagation: are the TXT records where a CA will look for them?
 *
 * propagation_delegate follows CNAMEs from "_acme-challenge.<name>" to the name the
 * record has to be written at. propagation_wait asks every authoritative server of
 * the record's zone (found from the closest SOA, its NS and their addresses), or the
 * configured resolvers instead, again and again with growing pauses, until each of
 * them shows every wanted value, then waits settings->propagation_ms more. After
 * settings->propagation_timeout_ms it fails with the servers that do not show it and
 * what they answer instead.
 *
 * Queries are asynchronous (c-ares on the loop); nothing blocks. The loop's thread.
 */
#ifndef WOS_ACME_PROPAGATION_H
#define WOS_ACME_PROPAGATION_H

#include "acme/failure.h"
#include "acme/settings.h"
#include "base/loop.h"

struct propagation;

struct propagation_record {
    const char *name; /* as given to dns01_present */
    const char *value;
};

/* `text`: the delegated name, or NULL with the failure. */
typedef void propagation_name_fn(void *arg, const char *text, const struct failure *failure);
typedef void propagation_done_fn(void *arg, const struct failure *failure);
/* Progress for people: "2 of 4 name servers show the record". */
typedef void propagation_note_fn(void *arg, const char *text);

/* Each gives a handle to cancel with, freed by itself after its callback. Callbacks come once,
 * from the loop. */
struct propagation *propagation_delegate(struct loop *loop, const struct acme_settings *settings,
                                         const char *name, propagation_name_fn *done, void *arg);
struct propagation *propagation_wait(struct loop *loop, const struct acme_settings *settings,
                                     const struct propagation_record *records, size_t count,
                                     propagation_note_fn *note, propagation_done_fn *done,
                                     void *arg);
void propagation_cancel(struct propagation *p);

#endif
