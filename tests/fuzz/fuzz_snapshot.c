/* Any bytes as a snapshot: a snapshot or an error. What decodes encodes to the
 * same bytes, costs memory in proportion, and finds every route it has.
 */
#include <stdlib.h>

#include "base/auto.h"
#include "routing/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err;
    struct str bytes = {(const char *)data, size};
    struct snapshot *s = snapshot_decode(bytes, &err);
    if (s == NULL) {
        CHECK(err.code != ERR_NONE && err.msg[0] != '\0');
        return 0;
    }
    CHECK(s->arena.used <= 4096 + size * 16);
    for (uint32_t i = 0; i < s->spec.route_count; i++) {
        CHECK(route_match(s, s->spec.routes[i].host) == &s->spec.routes[i]);
    }
    struct buf again = {0};
    snapshot_encode(&s->spec, &again);
    CHECK(str_eq(bytes, buf_str(&again)));
    struct snapshot *second = snapshot_decode_after(buf_str(&again), s, &err);
    CHECK(second != NULL);
    for (uint32_t i = 0; i < second->spec.route_count; i++) {
        CHECK(route_match(second, s->spec.routes[i].host) == &second->spec.routes[i]);
    }
    snapshot_unref(second);
    buf_fini(&again);
    snapshot_unref(s);
    return 0;
}
