/* ticket: see ticket.h. Called by the daemon, on its one thread. */
#include "certs/ticket.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "certs/sslerr.h"

/* The file: magic, count:u32, rotated_at:u64, both little-endian, then the keys. */
static const char magic[4] = {'W', 'O', 'S', 'K'};

enum { HEAD_BYTES = 4 + 4 + 8 };

bool ticket_set_is_due(const struct ticket_set *set, int64_t now)
{
    return set->count == 0 || now < set->rotated_at ||
           now - set->rotated_at >= TICKET_ROTATE_SECONDS;
}

int ticket_set_rotate(struct ticket_set *set, int64_t now, struct err *err)
{
    uint8_t key[TICKET_KEY_SIZE];
    if (RAND_priv_bytes(key, sizeof(key)) != 1) {
        return sslerr_set(err, ERR_FAILED, "session ticket key: no random bytes");
    }
    if (set->count > 0 && now - set->rotated_at > (int64_t)TICKET_SET_MAX * TICKET_ROTATE_SECONDS) {
        ticket_set_wipe(set);
    }
    memmove(set->keys[1], set->keys[0], sizeof(set->keys) - TICKET_KEY_SIZE);
    memcpy(set->keys[0], key, sizeof(key));
    OPENSSL_cleanse(key, sizeof(key));
    set->count = set->count < TICKET_SET_MAX ? set->count + 1 : TICKET_SET_MAX;
    set->rotated_at = now;
    return 0;
}

static void put_uint(struct buf *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        buf_add_char(out, (char)(uint8_t)(value >> (8 * i)));
    }
}

static uint64_t get_uint(const char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)(uint8_t)at[i] << (8 * i);
    }
    return value;
}

void ticket_set_encode(const struct ticket_set *set, struct buf *out)
{
    size_t keys_size = (size_t)set->count * TICKET_KEY_SIZE;
    buf_reserve(out, HEAD_BYTES + keys_size); /* at once: growing would leave keys behind */
    buf_add(out, magic, sizeof(magic));
    put_uint(out, set->count, 4);
    put_uint(out, (uint64_t)set->rotated_at, 8);
    buf_add(out, set->keys, keys_size);
}

int ticket_set_decode(struct str bytes, struct ticket_set *out, struct err *err)
{
    if (bytes.len < HEAD_BYTES || memcmp(bytes.ptr, magic, sizeof(magic)) != 0) {
        return err_set(err, ERR_REFUSED, "not a set of session ticket keys");
    }
    uint64_t count = get_uint(bytes.ptr + 4, 4);
    if (count > TICKET_SET_MAX || bytes.len != HEAD_BYTES + count * TICKET_KEY_SIZE) {
        return err_set(err, ERR_REFUSED, "a damaged set of session ticket keys");
    }
    struct ticket_set set = {.count = (uint32_t)count};
    set.rotated_at = (int64_t)get_uint(bytes.ptr + 8, 8);
    if (set.rotated_at < 0) {
        return err_set(err, ERR_REFUSED, "a damaged set of session ticket keys");
    }
    memcpy(set.keys, bytes.ptr + HEAD_BYTES, (size_t)count * TICKET_KEY_SIZE);
    *out = set;
    ticket_set_wipe(&set);
    return 0;
}

void ticket_set_wipe(struct ticket_set *set)
{
    OPENSSL_cleanse(set, sizeof(*set));
}
