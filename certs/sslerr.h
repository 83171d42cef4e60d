/* sslerr: OpenSSL's error queue as the end of a sentence.
 *
 *     return sslerr_set(err, ERR_FAILED, "private key");
 *
 * yields "private key: bad decrypt". Any thread: the queue is per thread.
 */
#ifndef WOS_CERTS_SSLERR_H
#define WOS_CERTS_SSLERR_H

#include "base/err.h"

/* As err_set, with ": <reason of the oldest queued error>" appended when there
 * is one; empties the queue. Returns -1. */
int sslerr_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define sslerr_set(...) ((void)(sslerr_set)(__VA_ARGS__), -1)

#endif
