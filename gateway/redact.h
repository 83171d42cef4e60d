/* redact: a request target without its secrets, for logs.
 *
 * Values of query and path parameters (?name=value, ;name=value) whose name
 * looks like a secret's become "***": names with token, secret, password,
 * credential, signature, session, apikey, … in them in any spelling
 * ("access_token", "X-Amz-Signature", "user[password]", percent-encoded, either
 * case), names that end in "key", and some short ones ("code", "sig", "pw", …).
 * A value, or an encoded path segment, that has such a name before '=' or ':' once it is decoded
 * ("redirect=%2Fcb%3Ftoken%3Dx", {"password":"x"}) goes whole. User information
 * ("//user:password@") goes wherever it stands. Names are judged, values by
 * themselves are not: a secret that is a plain path segment stays.
 */
#ifndef WOS_GATEWAY_REDACT_H
#define WOS_GATEWAY_REDACT_H

#include <stdbool.h>

#include "base/str.h"

enum { REDACT_MAX = 2048 }; /* bytes of a target that are kept */

/* Returns `target` itself (cut at REDACT_MAX) when there is nothing to hide, else a slice of
 * `out`, which has room for REDACT_MAX bytes. Worker threads; no state. */
struct str redact_target(struct str target, char *out);
/* True if a parameter of this name is one to hide. Any bytes. */
bool redact_is_secret_name(struct str name);

#endif
