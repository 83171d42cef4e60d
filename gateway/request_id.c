/* request_id: see request_id.h. The worker's thread. */
#include "gateway/request_id.h"

#include "base/auto.h"
#include "gateway/random.h"

enum { RANDOM_BYTES = 10 };

void request_id_make(struct request_ids *ids, int64_t wall_ms, char *out)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    if (ids->left < RANDOM_BYTES) {
        random_fill(ids->pool, sizeof ids->pool);
        ids->left = sizeof ids->pool;
    }
    const uint8_t *random = ids->pool + (sizeof ids->pool - ids->left);
    ids->left -= RANDOM_BYTES;
    uint64_t time = (uint64_t)wall_ms & 0xffffffffffffU;
    uint64_t high = 0; /* two halves of 40 bits: 8 digits each */
    uint64_t low = 0;
    for (int i = 0; i < RANDOM_BYTES / 2; i++) {
        high = high << 8 | random[i];
        low = low << 8 | random[i + RANDOM_BYTES / 2];
    }
    for (int i = 9; i >= 0; i--, time >>= 5) {
        out[i] = digits[time & 31];
    }
    for (int i = 7; i >= 0; i--, high >>= 5, low >>= 5) {
        out[10 + i] = digits[high & 31];
        out[18 + i] = digits[low & 31];
    }
}

bool request_id_is_sane(struct str id)
{
    if (id.len == 0 || id.len > REQUEST_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        char lower = ascii_lower(c);
        bool is_word = (lower >= 'a' && lower <= 'z') || ascii_is_digit(c);
        if (!is_word && (c == '\0' || strchr("._~+/=-", c) == NULL)) {
            return false;
        }
    }
    return true;
}
