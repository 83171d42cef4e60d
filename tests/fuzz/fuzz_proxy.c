/* Any bytes as the beginning of a connection that has to begin with a PROXY
 * header: every piece of what is accepted asked for more, what was refused
 * stays refused however it goes on, and nothing waits beyond the bound.
 */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "gateway/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly this size, so that a read past the end is seen. */
static enum proxy_result read_exactly(const uint8_t *data, size_t len, struct proxy_header *out)
{
    const char *why = NULL;
    char *exact = xmalloc(len == 0 ? 1 : len);
    if (len > 0) {
        memcpy(exact, data, len);
    }
    enum proxy_result result = proxy_header_read(exact, len, out, &why);
    CHECK((result == PROXY_FAULT) == (why != NULL));
    free(exact);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header header;
    enum proxy_result result = read_exactly(data, size, &header);
    if (result == PROXY_MORE) {
        CHECK(size < PROXY_HEADER_MAX);
    }
    if (result != PROXY_DONE) {
        bool refused = false;
        for (size_t cut = 0; cut <= size && size < 512; cut++) {
            struct proxy_header piece;
            enum proxy_result at = read_exactly(data, cut, &piece);
            CHECK(at != PROXY_DONE && (!refused || at == PROXY_FAULT));
            refused = at == PROXY_FAULT;
        }
        return 0;
    }
    CHECK(header.len > 0 && header.len <= size && header.len <= PROXY_HEADER_MAX);
    CHECK(!header.has_source || header.source.sin6_family == AF_INET ||
          header.source.sin6_family == AF_INET6);
    struct proxy_header alone;
    CHECK(read_exactly(data, header.len, &alone) == PROXY_DONE && alone.len == header.len);
    for (size_t cut = 0; cut < header.len && header.len < 512; cut++) {
        CHECK(read_exactly(data, cut, &alone) == PROXY_MORE);
    }
    return 0;
}
