/* The gateway's cookie: made, verified, found among others, taken out. */
#include "gateway/cookie.h"

#include <stdio.h>

#include "tests/unit/gateway/heads.h"

enum { NOW = 1800000000 };

static struct snapshot_access access_state;
static char value[COOKIE_TEXT + 1];
static struct cookie seen;

static const struct cookie made = {
    .id = 0x0123456789abcdef, .issued_s = NOW, .expires_s = NOW + COOKIE_SECONDS};

static char text[128 * 1024]; /* judge() resets the arena */

static bool verify(const char *host, const char *what, uint64_t now_s)
{
    return cookie_verify(&access_state, str_of(host), str_of(what), now_s, &seen);
}

static void fresh(void)
{
    access_state = (struct snapshot_access){.has_secret = true};
    memset(access_state.key, 7, sizeof access_state.key);
    memset(access_state.digest, 9, sizeof access_state.digest);
    cookie_make(&access_state, STR("a.example"), &made, value);
    assert_int_equal(strlen(value), COOKIE_TEXT);
}

static void test_counts_where_and_while_it_was_given(void **state)
{
    (void)state;
    fresh();
    assert_true(verify("a.example", value, NOW));
    assert_true(seen.id == made.id && seen.issued_s == NOW && seen.expires_s == made.expires_s);
    assert_true(verify("a.example", value, NOW + COOKIE_SECONDS - 1));
    assert_false(verify("a.example", value, NOW + COOKIE_SECONDS));
    assert_true(verify("a.example", value, NOW - COOKIE_SKEW_SECONDS));
    assert_false(verify("a.example", value, NOW - COOKIE_SKEW_SECONDS - 1));
    assert_false(verify("b.example", value, NOW));
    assert_false(verify("a.exampl", value, NOW));
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    fresh();
    for (unsigned i = 0; i < COOKIE_TEXT; i++) {
        unsigned at = (unsigned)(strchr(alphabet, value[i]) - alphabet);
        for (unsigned bit = 1; bit < 64; bit <<= 1) {
            char copy_of[COOKIE_TEXT + 1];
            memcpy(copy_of, value, sizeof copy_of);
            copy_of[i] = alphabet[at ^ bit];
            assert_false(verify("a.example", copy_of, NOW));
        }
    }
}

static void test_malformed(void **state)
{
    (void)state;
    fresh();
    char longer[COOKIE_TEXT + 2] = {0};
    memcpy(longer, value, COOKIE_TEXT);
    longer[COOKIE_TEXT] = 'A';
    assert_false(verify("a.example", longer, NOW));
    assert_false(cookie_verify(&access_state, STR("a.example"),
                               (struct str){value, COOKIE_TEXT - 1}, NOW, &seen));
    assert_false(cookie_verify(&access_state, STR("a.example"), STR_NONE, NOW, &seen));
    static const char odd[] = {'+', '/', '=', ' ', '\0', '\x80'};
    for (size_t i = 0; i < sizeof odd; i++) {
        memcpy(longer, value, COOKIE_TEXT);
        longer[10] = odd[i];
        assert_false(cookie_verify(&access_state, STR("a.example"),
                                   (struct str){longer, COOKIE_TEXT}, NOW, &seen));
    }
}

static void test_longer_lives_are_not_believed(void **state)
{
    (void)state;
    fresh();
    struct cookie c = made;
    c.expires_s = NOW + COOKIE_SECONDS + 1;
    cookie_make(&access_state, STR("a.example"), &c, value);
    assert_false(verify("a.example", value, NOW));
    c.expires_s = NOW - 1;
    cookie_make(&access_state, STR("a.example"), &c, value);
    assert_false(verify("a.example", value, NOW - 2));
}

static void test_secret_key_and_revocation_end_it(void **state)
{
    (void)state;
    static const uint64_t revoked[] = {1, 0x0123456789abcdef, UINT64_MAX};
    fresh();
    access_state.digest[0] ^= 1;
    assert_false(verify("a.example", value, NOW));
    access_state.digest[0] ^= 1;
    access_state.key[31] ^= 1;
    assert_false(verify("a.example", value, NOW));
    access_state.key[31] ^= 1;
    access_state.has_secret = false;
    assert_false(verify("a.example", value, NOW));
    access_state.has_secret = true;
    access_state.revoked = revoked;
    access_state.revoked_count = 1;
    assert_true(verify("a.example", value, NOW));
    access_state.revoked_count = 3;
    assert_false(verify("a.example", value, NOW));
}

static bool find(const char *cookies, bool tls)
{
    (void)snprintf(text, sizeof text, GET "Cookie: %s\r\n\r\n", cookies);
    legal(text);
    return cookie_find(&head, tls, &access_state, STR("a.example"), NOW, &seen);
}

static void test_is_found_among_others(void **state)
{
    (void)state;
    char line[64 * (COOKIE_TEXT + 32)];
    fresh();
    (void)snprintf(line, sizeof line, "a=1; __Host-wos-access=%s ;b=2", value);
    assert_true(find(line, true));
    assert_false(find(line, false));
    (void)snprintf(line, sizeof line, "wos-access=%s", value);
    assert_false(find(line, true));
    assert_true(find(line, false));
    /* As many forged ones as are looked at hide it; fewer do not. */
    for (unsigned count = COOKIE_CANDIDATES_MAX - 1; count <= COOKIE_CANDIDATES_MAX; count++) {
        int len = 0;
        for (unsigned i = 0; i < count; i++) {
            len += snprintf(line + len, sizeof line - (size_t)len, "wos-access=%076u;", i);
        }
        (void)snprintf(line + len, sizeof line - (size_t)len, "wos-access=%s", value);
        assert_int_equal(find(line, false), count < COOKIE_CANDIDATES_MAX);
    }
}

static void stripped(const char *given, const char *left)
{
    (void)snprintf(text, sizeof text, GET "A: 1\r\nCookie: %s\r\nB: 2\r\n\r\n", given);
    legal(text);
    cookie_strip(&head, &arena);
    const struct head_field *f = head_find(&head, STR("cookie"));
    assert_int_equal(head.count, left == NULL ? 3 : 4);
    assert_true((f == NULL) == (left == NULL));
    if (left != NULL && !str_eq(f->value, str_of(left))) {
        fail_msg("%s: %.*s, not %s", given, STR_ARG(f->value), left);
    }
}

static void test_is_taken_out(void **state)
{
    (void)state;
    stripped("a=1;b=2 ; c", "a=1;b=2 ; c");
    stripped("wos-access=x", NULL);
    stripped("__Host-wos-access=x; wos-access=y", NULL);
    stripped("wos-access=x; a=1;  b=2", "a=1;  b=2");
    stripped("a=1 ;wos-access=x; b=\"w;x\"", "a=1 ; b=\"w;x\"");
    stripped("a=wos-access=1", "a=wos-access=1");
    stripped("wos-access", NULL);
    stripped("wos-access =x; a", "a");
    stripped("wos-access2=x", "wos-access2=x");
    stripped("xwos-access=x;", "xwos-access=x;");
    stripped("WOS-ACCESS=x", "WOS-ACCESS=x");
}

static void test_set_cookie_is_dropped(void **state)
{
    (void)state;
    struct head_fault fault = judge("HTTP/1.1 200 OK\r\nSet-Cookie: a=wos-access; Path=/\r\n"
                                    "set-cookie: __Host-wos-access=x; Secure\r\n"
                                    "SET-COOKIE:wos-access\r\nSet-Cookie: = wos-access = x\r\n"
                                    "Set-Cookie: b=2\r\nX: wos-access=1\r\n\r\n",
                                    false);
    assert_int_equal(fault.status, 0);
    cookie_strip_set(&head);
    assert_int_equal(head.count, 3);
    assert_true(str_eq(head.fields[0].value, STR("a=wos-access; Path=/")));
    assert_true(str_eq(head.fields[1].value, STR("b=2")));
    assert_true(str_eq(head.fields[2].name, STR("X")));
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_where_and_while_it_was_given),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_longer_lives_are_not_believed),
        cmocka_unit_test(test_secret_key_and_revocation_end_it),
        cmocka_unit_test(test_is_found_among_others),
        cmocka_unit_test(test_is_taken_out),
        cmocka_unit_test(test_set_cookie_is_dropped),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
