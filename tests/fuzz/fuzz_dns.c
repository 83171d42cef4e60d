/* Any bytes as a DNS answer: what is opened can be walked to its end, and every getter either
 * says false or gives something within the message.
 */
#include <stdlib.h>

#include "acme/dnsmsg.h"
#include "base/auto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
    CHECK(strlen(name) < DNS_NAME_TEXT_MAX);
    for (const char *p = name; *p != '\0'; p++) {
        CHECK(*p > ' ' && *p < 0x7f && *p == ascii_lower(*p));
    }
}

static void check_record(const struct dnsmsg *m, const struct dnsmsg_record *r)
{
    check_name(r->owner);
    CHECK(r->data_at + r->data_len <= m->len);
    char name[DNS_NAME_TEXT_MAX];
    if (dnsmsg_name(m, r, name)) {
        check_name(name);
    }
    struct buf text = {0};
    buf_add_text(&text, "kept");
    if (dnsmsg_txt(m, r, &text)) {
        CHECK(text.len - 4 <= DNS_TXT_MAX && text.len - 4 < r->data_len);
    } else {
        CHECK(text.len == 4);
    }
    buf_fini(&text);
    struct dnsmsg_caa caa;
    if (dnsmsg_caa(m, r, &caa)) {
        CHECK(caa.tag.len >= 1 && caa.tag.len <= 15);
        CHECK(caa.tag.len + caa.value.len + 2 == r->data_len);
        CHECK(str_eq(caa.value, caa.value));
    }
    const uint8_t *address = dnsmsg_address(m, r);
    CHECK(address == NULL || address + r->data_len <= m->bytes + m->len);
    memcpy(name, r->owner, strlen(r->owner) + 1);
    CHECK(dnsmsg_follow(m, name) <= DNS_CHAIN_MAX);
    check_name(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that a read past the end is seen. */
    uint8_t *exact = xmalloc(size == 0 ? 1 : size);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    struct dnsmsg m;
    if (dnsmsg_open(&m, exact, size)) {
        struct dnsmsg_iter it = dnsmsg_records(&m);
        struct dnsmsg_record r;
        unsigned count = 0;
        while (dnsmsg_next(&it, &r)) {
            check_record(&m, &r);
            count++;
        }
        CHECK(count <= DNS_RECORDS_MAX);
        CHECK(it.left[0] == 0 && it.left[1] == 0 && it.left[2] == 0);
    }
    free(exact);
    return 0;
}
