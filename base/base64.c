/* base64: see base64.h. Any thread. */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct str bytes, struct buf *out)
{
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    buf_reserve(out, bytes.len / 3 * 4 + 4);
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t word = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                        (left > 2 ? p[i + 2] : 0);
        char four[4] = {alphabet[word >> 18], alphabet[word >> 12 & 63],
                        left > 1 ? alphabet[word >> 6 & 63] : '=',
                        left > 2 ? alphabet[word & 63] : '='};
        buf_add(out, four, sizeof(four));
    }
}

static int digit_of(char c)
{
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

bool base64_decode(struct str text, struct buf *out)
{
    size_t start = out->len;
    if (text.len % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i += 4) {
        bool last = i + 4 == text.len;
        size_t pad = last && text.ptr[i + 3] == '=' ? (text.ptr[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t word = 0;
        for (size_t j = 0; j < 4; j++) {
            int digit = j >= 4 - pad ? 0 : digit_of(text.ptr[i + j]);
            if (digit < 0) {
                out->len = start;
                return false;
            }
            word = word << 6 | (uint32_t)digit;
        }
        uint8_t three[3] = {(uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
        buf_add(out, three, 3 - pad);
    }
    return true;
}
