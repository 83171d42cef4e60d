/* base64: RFC 4648, 4, with padding. Strict: nothing but the alphabet, full length. */
#ifndef WOS_BASE_BASE64_H
#define WOS_BASE_BASE64_H

#include <stdbool.h>

#include "base/str.h"

/* Both append. */
void base64_encode(struct str bytes, struct buf *out);
/* False, with *out untouched, if it is not base64. */
bool base64_decode(struct str text, struct buf *out);

#endif
