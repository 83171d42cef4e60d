/* dnsmsg: see dnsmsg.h. Called by lookup.c for every answer and by who asked; the loop's thread. */
#include "acme/dnsmsg.h"

#include <string.h>

enum {
    HEADER_SIZE = 12,
    COUNTS = 3, /* of records; after the questions' */
    COUNTS_AT = 6,
    RECORD_FIXED = 10,
    CLASS_IN = 1,
    POINTERS_MAX = 64, /* each leads backwards, so this many is enough for any honest name */
    LABEL_MAX = 63,
    NAME_WIRE_MAX = 255
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

/* One byte of a label as text; the number of characters. */
static size_t put_byte(char *out, uint8_t byte)
{
    if (byte > ' ' && byte < 0x7f && byte != '.' && byte != '\\') {
        out[0] = ascii_lower((char)byte);
        return 1;
    }
    out[0] = '\\';
    out[1] = (char)('0' + byte / 100);
    out[2] = (char)('0' + byte / 10 % 10);
    out[3] = (char)('0' + byte % 10);
    return 4;
}

/* Reads the name at `at`, within the first `end` bytes; the offset after it, or 0. */
static size_t read_name(const struct dnsmsg *m, size_t at, size_t end, char *out)
{
    size_t after = 0; /* set at the first pointer */
    size_t floor = at;
    size_t wire = 0;
    size_t len = 0;
    unsigned pointers = 0;
    for (;;) {
        if (at >= end) {
            return 0;
        }
        uint8_t size = m->bytes[at];
        if ((size & 0xc0) == 0xc0) {
            if (at + 2 > end || ++pointers > POINTERS_MAX) {
                return 0;
            }
            size_t to = get16(m->bytes + at) & 0x3fff;
            after = after == 0 ? at + 2 : after;
            if (to >= floor || to < HEADER_SIZE) {
                return 0;
            }
            floor = to;
            at = to;
            continue;
        }
        wire += (size_t)size + 1;
        if (size > LABEL_MAX || wire > NAME_WIRE_MAX || at + 1 + size > end) {
            return 0;
        }
        if (size == 0) {
            out[len] = '\0';
            return after == 0 ? at + 1 : after;
        }
        if (len > 0) {
            out[len++] = '.';
        }
        for (size_t i = 1; i <= size; i++) {
            len += put_byte(out + len, m->bytes[at + i]);
        }
        at += 1 + (size_t)size;
    }
}

/* The offset after the record at `at`, or 0. */
static size_t read_record(const struct dnsmsg *m, size_t at, struct dnsmsg_record *r)
{
    size_t fixed = read_name(m, at, m->len, r->owner);
    if (fixed == 0 || m->len - fixed < RECORD_FIXED) {
        return 0;
    }
    const uint8_t *p = m->bytes + fixed;
    r->type = get16(p);
    r->klass = get16(p + 2);
    r->ttl = (uint32_t)get16(p + 4) << 16 | get16(p + 6);
    r->data_len = get16(p + 8);
    r->data_at = fixed + RECORD_FIXED;
    return m->len - r->data_at < r->data_len ? 0 : r->data_at + r->data_len;
}

/* True and the record when there is one more, whatever its class. */
static bool step(struct dnsmsg_iter *it, struct dnsmsg_record *r)
{
    for (int section = DNS_ANSWER; section <= DNS_ADDITIONAL; section++) {
        if (it->left[section] == 0) {
            continue;
        }
        size_t next = read_record(it->msg, it->at, r);
        if (next == 0) {
            return false;
        }
        it->left[section]--;
        it->at = next;
        r->section = (enum dns_section)section;
        return true;
    }
    return false;
}

bool dnsmsg_open(struct dnsmsg *m, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    if (len < HEADER_SIZE || (p[2] & 0x80) == 0) {
        return false;
    }
    *m = (struct dnsmsg){.bytes = p, .len = len, .rcode = p[3] & 0x0f};
    m->is_authoritative = (p[2] & 0x04) != 0;
    m->is_truncated = (p[2] & 0x02) != 0;
    size_t total = 0;
    for (size_t i = 0; i < COUNTS; i++) {
        m->counts[i] = get16(p + COUNTS_AT + 2 * i);
        total += m->counts[i];
    }
    if (total > DNS_RECORDS_MAX || get16(p + 4) > 1) {
        return false;
    }
    size_t at = HEADER_SIZE;
    char name[DNS_NAME_TEXT_MAX];
    if (get16(p + 4) == 1) {
        at = read_name(m, at, len, name);
        if (at == 0 || len - at < 4) {
            return false;
        }
        at += 4;
    }
    m->records_at = at;
    struct dnsmsg_iter it = dnsmsg_records(m);
    struct dnsmsg_record r;
    while (step(&it, &r)) {
    }
    return it.left[DNS_ANSWER] == 0 && it.left[DNS_AUTHORITY] == 0 && it.left[DNS_ADDITIONAL] == 0;
}

struct dnsmsg_iter dnsmsg_records(const struct dnsmsg *m)
{
    return (struct dnsmsg_iter){
        .msg = m, .at = m->records_at, .left = {m->counts[0], m->counts[1], m->counts[2]}};
}

bool dnsmsg_next(struct dnsmsg_iter *it, struct dnsmsg_record *out_record)
{
    while (step(it, out_record)) {
        if (out_record->klass == CLASS_IN) {
            return true;
        }
    }
    return false;
}

bool dnsmsg_name(const struct dnsmsg *m, const struct dnsmsg_record *r,
                 char out_name[DNS_NAME_TEXT_MAX])
{
    size_t end = r->data_at + r->data_len;
    char name[DNS_NAME_TEXT_MAX];
    size_t after = read_name(m, r->data_at, end, name);
    if (after == 0 || (r->type != DNS_SOA && after != end)) {
        return false;
    }
    memcpy(out_name, name, strlen(name) + 1);
    return true;
}

bool dnsmsg_txt(const struct dnsmsg *m, const struct dnsmsg_record *r, struct buf *out_text)
{
    if (r->type != DNS_TXT || r->data_len == 0) {
        return false;
    }
    size_t before = out_text->len;
    const uint8_t *p = m->bytes + r->data_at;
    for (size_t at = 0; at < r->data_len;) {
        size_t size = p[at++];
        if (size > r->data_len - at) {
            out_text->len = before;
            return false;
        }
        size_t room = DNS_TXT_MAX - (out_text->len - before);
        buf_add(out_text, p + at, size < room ? size : room);
        at += size;
    }
    return true;
}

bool dnsmsg_caa(const struct dnsmsg *m, const struct dnsmsg_record *r, struct dnsmsg_caa *out_caa)
{
    const char *p = (const char *)m->bytes + r->data_at;
    if (r->type != DNS_CAA || r->data_len < 2) {
        return false;
    }
    size_t tag_len = (uint8_t)p[1];
    if (tag_len == 0 || tag_len > 15 || tag_len > r->data_len - 2) {
        return false;
    }
    for (size_t i = 0; i < tag_len; i++) {
        char c = ascii_lower(p[2 + i]);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'z')) {
            return false;
        }
    }
    *out_caa = (struct dnsmsg_caa){.flags = (uint8_t)p[0],
                                   .tag = {p + 2, tag_len},
                                   .value = {p + 2 + tag_len, r->data_len - 2 - tag_len}};
    return true;
}

const uint8_t *dnsmsg_address(const struct dnsmsg *m, const struct dnsmsg_record *r)
{
    bool is_whole =
        (r->type == DNS_A && r->data_len == 4) || (r->type == DNS_AAAA && r->data_len == 16);
    return is_whole ? m->bytes + r->data_at : NULL;
}

/* One CNAME of `name`, if the answer section has one. */
static bool follow_once(const struct dnsmsg *m, char name[DNS_NAME_TEXT_MAX])
{
    struct dnsmsg_iter it = dnsmsg_records(m);
    struct dnsmsg_record r;
    while (dnsmsg_next(&it, &r)) {
        if (r.section == DNS_ANSWER && r.type == DNS_CNAME && strcmp(r.owner, name) == 0) {
            return dnsmsg_name(m, &r, name);
        }
    }
    return false;
}

int dnsmsg_follow(const struct dnsmsg *m, char name[DNS_NAME_TEXT_MAX])
{
    int steps = 0;
    while (follow_once(m, name)) {
        if (++steps > DNS_CHAIN_MAX) {
            return -1;
        }
    }
    return steps;
}

bool dns_name_is_plain(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > 253) {
        return false;
    }
    struct str rest = str_of(name);
    struct str label;
    while (str_next(&rest, '.', &label)) {
        if (label.len == 0 || label.len > LABEL_MAX) {
            return false;
        }
        for (size_t i = 0; i < label.len; i++) {
            char c = ascii_lower(label.ptr[i]);
            if (!ascii_is_digit(c) && (c < 'a' || c > 'z') && c != '-' && c != '_') {
                return false;
            }
        }
    }
    return true;
}
