/* Any bytes as the frames of an HTTP/2 client: the verdict does not depend on how
 * they are cut, nothing behind an offence is passed on, and the counts hold. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/front_h2_guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct limits limits = limits_default;
    limits.resets_max = 5;
    limits.control_frames_max = 20;
    limits.header_bytes_max = 1024;
    struct h2_guard whole;
    struct h2_guard bytes;
    h2_guard_init(&whole);
    h2_guard_init(&bytes);
    whole.preface_left = bytes.preface_left = 0;

    uint8_t *exact = xmalloc(size == 0 ? 1 : size);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    uint32_t error;
    size_t used = h2_guard_check(&whole, &limits, 1, exact, size, &error);
    CHECK(used <= size && (used == size || error != NGHTTP2_NO_ERROR));
    CHECK(error != NGHTTP2_NO_ERROR || whole.control <= limits.control_frames_max);
    CHECK(error != NGHTTP2_NO_ERROR || whole.resets <= limits.resets_max);

    uint32_t found = NGHTTP2_NO_ERROR;
    size_t taken = 0;
    while (taken < size && found == NGHTTP2_NO_ERROR) {
        taken += h2_guard_check(&bytes, &limits, 1, exact + taken, 1, &found);
    }
    CHECK(found == error);
    /* Byte by byte the offending frame's head has been passed on, not more. */
    CHECK(taken >= used && taken - used <= H2_GUARD_HEAD);
    CHECK(whole.control == bytes.control && whole.resets == bytes.resets);
    CHECK(whole.last_id == bytes.last_id);
    free(exact);
    return 0;
}
