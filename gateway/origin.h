/* origin: did this request come from a page of the same origin (RFC 6454)?
 *
 * A cookie is sent whoever asks for it, so what changes something must say
 * where it comes from: by Origin, or, where browsers leave that out or write
 * "null", by Sec-Fetch-Site, which no page can forge. Pure functions.
 */
#ifndef WOS_GATEWAY_ORIGIN_H
#define WOS_GATEWAY_ORIGIN_H

#include "gateway/head.h"

/* True if there is exactly one Origin and it is the scheme, host and port of the request itself.
 * For WebSockets, which always have one. */
bool origin_is_own(const struct head *request, bool https);
/* The same, or: no Origin and Sec-Fetch-Site is "same-origin" or "none" (typed in), or Origin
 * "null" (a page with Referrer-Policy: no-referrer) and Sec-Fetch-Site is "same-origin". */
bool origin_allows_change(const struct head *request, bool https);

#endif
