/* Any bytes as a Cookie or Set-Cookie value: stripping takes out ours and nothing else, and
 * only what was made under the key and for the host counts.
 */
#include <stdlib.h>

#include "base/auto.h"
#include "gateway/cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena arena;

static struct head head_of(const char *name, struct str value)
{
    struct head h;
    head_init(&h, true);
    CHECK(head_add(&h, &arena, str_of(name), value, 4));
    CHECK(head_add(&h, &arena, STR("a"), STR("b"), 4));
    return h;
}

/* The pairs of ours in it are gone, all others are there in their order. */
static void check_stripped(struct str before, const struct head *h)
{
    struct str after = h->count == 2 ? h->fields[0].value : STR_NONE;
    struct str pair;
    CHECK(str_eq(h->fields[h->count - 1].name, STR("a")));
    while (str_next(&before, ';', &pair)) {
        struct str name = str_trim(pair);
        name = str_trim((struct str){name.ptr, str_find(name, '=')});
        if (str_eq(name, cookie_name(true)) || str_eq(name, cookie_name(false))) {
            continue;
        }
        struct str left;
        if (str_trim(pair).len == 0) {
            continue; /* of empty pairs some go */
        }
        do {
            CHECK(str_next(&after, ';', &left));
        } while (str_trim(left).len == 0);
        CHECK(str_eq(str_trim(left), str_trim(pair)));
    }
    while (after.ptr != NULL && str_next(&after, ';', &pair)) {
        CHECK(str_trim(pair).len == 0);
    }
}

static void check_forgery(struct str value, struct str whole)
{
    static const uint64_t revoked[] = {3, 9};
    struct snapshot_access access = {.has_secret = true, .revoked = revoked, .revoked_count = 2};
    struct cookie cookie = {.id = 5, .issued_s = 1000, .expires_s = 2000};
    struct cookie seen;
    char made[COOKIE_TEXT + 1];
    access.key[0] = 1;
    cookie_make(&access, STR("a.example"), &cookie, made);
    bool same = str_eq(value, str_of(made));
    CHECK(cookie_verify(&access, STR("a.example"), value, 1500, &seen) == same);
    CHECK(cookie_verify(&access, STR("a.example"), str_of(made), 1500, &seen) && seen.id == 5);
    struct head h = head_of("Cookie", whole);
    (void)cookie_find(&h, true, &access, STR("a.example"), 1500, &seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = xmalloc(size + 1);
    if (size > 0) {
        memcpy(exact, data, size);
    }
    char *bytes = xrealloc(exact, size == 0 ? 1 : size);
    struct str value = {bytes, size};
    arena_init(&arena, 0);
    struct head h = head_of("Cookie", value);
    cookie_strip(&h, &arena);
    check_stripped(value, &h);
    h = head_of("Set-Cookie", value);
    cookie_strip_set(&h);
    CHECK(h.count >= 1 && str_eq(h.fields[h.count - 1].name, STR("a")));
    check_forgery(value, value);
    arena_fini(&arena);
    free(bytes);
    return 0;
}
