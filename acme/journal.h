/* journal: which TXT records may be in DNS because of us, on disk, so that a crash leaves none.
 *
 * {"records": [{"name": "_acme-challenge.example.com", "value": "…"}]}, mode 0600, replaced by
 * rename before each call returns; removed when empty. One journal per file at a time. A file that
 * is no journal counts as empty and is written over; journal_problem tells. Blocks for the
 * disk: control plane only. The loop's thread.
 */
#ifndef WOS_ACME_JOURNAL_H
#define WOS_ACME_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { JOURNAL_RECORDS_MAX = 1000 };

struct journal_record {
    char *name;  /* owned */
    char *value; /* owned */
};

struct journal;

struct journal *journal_new(const char *path);
void journal_free(struct journal *j);
/* Why what is on disk could not be read; NULL: it could. */
const char *journal_problem(const struct journal *j);
/* Adding what is there and removing what is not are successes. */
int journal_add(struct journal *j, const char *name, const char *value, struct err *err);
int journal_remove(struct journal *j, const char *name, const char *value, struct err *err);
size_t journal_count(const struct journal *j);
/* Borrowed until the next change. */
const struct journal_record *journal_at(const struct journal *j, size_t index);

#endif
