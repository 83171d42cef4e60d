/* random: see random.h. Called by request_id.c, wskey.c and access.c. */
#include "gateway/random.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <sys/random.h>

#include "base/auto.h"

void random_fill(void *to, size_t len)
{
    if (RAND_bytes(to, (int)len) == 1) {
        return;
    }
    /* OpenSSL's generator, a thread's own, wanted memory. The kernel's costs a call. */
    ERR_clear_error();
    for (size_t at = 0; at < len;) {
        ssize_t n = getrandom((char *)to + at, len - at, 0);
        CHECK(n > 0 || errno == EINTR);
        at += n > 0 ? (size_t)n : 0;
    }
}
