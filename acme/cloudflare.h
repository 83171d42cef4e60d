/* cloudflare: TXT records in zones at Cloudflare, over its API v4 (see cfapi.h).
 *
 * Creating a record that is there and deleting one that is not are successes. Records are
 * deleted by listing the name's TXT records, all pages of them, and comparing the content (bare or
 * in quotes) byte by byte. The zone is settings->zone_id, or the one given, or looked up
 * by every suffix of the record's name, the longest first, down to two labels.
 * A token that sees no such zone fails with type "noZone". Asynchronous; the loop's thread.
 */
#ifndef WOS_ACME_CLOUDFLARE_H
#define WOS_ACME_CLOUDFLARE_H

#include "acme/cfapi.h"

enum { CLOUDFLARE_ID_MAX = 65 };

struct cloudflare; /* one operation under way */

/* `zone`: the id of the zone used; NULL with the failure. Once, from the loop, never from inside
 * the call; not after cloudflare_cancel. */
typedef void cloudflare_done_fn(void *arg, const char *zone, const struct failure *failure);

/* `zone` NULL: settings->zone_id, or looked up. Without a token creating fails and says why, and
 * deleting reports success, having done nothing. */
struct cloudflare *cloudflare_create(const struct cfapi_spec *spec, const char *zone,
                                     const char *record, const char *value,
                                     cloudflare_done_fn *done, void *arg);
struct cloudflare *cloudflare_delete(const struct cfapi_spec *spec, const char *zone,
                                     const char *record, const char *value,
                                     cloudflare_done_fn *done, void *arg);
/* For doctors: the zone of the record can be found, or a configured one be looked into; the token
 * is active (`zone` is ""; tokens that belong to an account cannot be verified this way and fail
 * with code 1000). */
struct cloudflare *cloudflare_find_zone(const struct cfapi_spec *spec, const char *record,
                                        cloudflare_done_fn *done, void *arg);
struct cloudflare *cloudflare_verify(const struct cfapi_spec *spec, cloudflare_done_fn *done,
                                     void *arg);
/* NULL is allowed. */
void cloudflare_cancel(struct cloudflare *c);

#endif
