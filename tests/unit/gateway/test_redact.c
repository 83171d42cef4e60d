/* redact: which values go, in every spelling of their names, and what stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/redact.h"

static void check(const char *target, const char *expected)
{
    char out[REDACT_MAX];
    char text[REDACT_MAX + 1] = "";
    struct str got = redact_target(str_of(target), out);
    memcpy(text, got.ptr, got.len);
    text[got.len] = '\0';
    assert_string_equal(text, expected);
}

static void test_nothing_to_hide(void **state)
{
    (void)state;
    static const char *const targets[] = {
        "/",
        "*",
        "/a/b?x=1&y=2",
        "/?q=token",
        "/a?author=me&keyboard=de",
        "/a?=",
        "/?",
        "/a?x&y",
        "/token/secret",
        "/a?passport",
        "/a;v=1/b;w=2?c=3",
        "/a?page=2&sort=name",
    };
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        check(targets[i], targets[i]);
    }
}

static void test_secret_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "token",
        "TOKEN",
        "access_token",
        "id-token",
        "refreshToken",
        "secret",
        "client_secret",
        "password",
        "passwd",
        "pwd",
        "pw",
        "pass",
        "key",
        "api_key",
        "apiKey",
        "AWSAccessKeyId",
        "auth",
        "authorization",
        "X-Auth",
        "code",
        "sig",
        "sign",
        "signature",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "session",
        "session_id",
        "PHPSESSIONID",
        "sid",
        "jwt",
        "otp",
        "csrf_token",
        "_xsrf",
        "cookie",
        "SAMLResponse",
        "t%6Fken",
        "%74%6f%6b%65%6e",
        "%2574oken",
        "user[password]",
        "user%5Bpassword%5D",
        "a.b.secret",
        "to+ken",
        "nonce",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char target[128];
        char expected[128];
        (void)snprintf(target, sizeof target, "/a?b=1&%s=hidden&c=2", names[i]);
        (void)snprintf(expected, sizeof expected, "/a?b=1&%s=***&c=2", names[i]);
        check(target, expected);
    }
}

static void test_positions(void **state)
{
    (void)state;
    check("/a?token=x", "/a?token=***");
    check("/a?token=x&token=y", "/a?token=***&token=***");
    check("/a?token=", "/a?token=");
    check("/a?token", "/a?token");
    check("/a?b=1;token=x;c=2", "/a?b=1;token=***;c=2");
    check("/a;jsessionid=x/b;v=1?c=2", "/a;jsessionid=***/b;v=1?c=2");
    check("/a?x=1?token=y", "/a?x=1?token=***");
    check("/a?token=x/y=z", "/a?token=***");
    check("/a?token=a=b", "/a?token=***");
    check("/a#access_token=x", "/a#access_token=x"); /* no client sends it: not legal in a target */
    check("?token=x", "?token=***");
}

static void test_user_information(void **state)
{
    (void)state;
    check("http://user:pw@host/a?b=1", "http://***@host/a?b=1");
    check("http://host/a@b", "http://host/a@b");
    check("/proxy/http://u:p@h/x", "/proxy/http://***@h/x");
    check("/a?u=http://u:p@h/&b=1", "/a?u=***&b=1");
    check("/a?u=http%3A%2F%2Fu:p%40h%2F&b=1", "/a?u=***&b=1");
    check("/a?u=http://h/x@y&m=a@b", "/a?u=http://h/x@y&m=a@b");
    check("/a?http://u:p@h/", "/a?***");
    check("https://u:p@h?token=x", "https://***@h?token=***");
    check("//u:S3C@h/x", "//***@h/x");
    check("/a//u:S3C@h/x", "/a//***@h/x");
    check("/a;b=1//u:S3C@h", "/a;b=1//***@h");
    check("//u:S3C%40h/x", "//***/x");
    check("/a/http%3A%2F%2Fu:S3C%40h%2F", "/a/***");
    check("/a?u=//u:S3C@h", "/a?u=***");
    check("/a?u=%2F%2Fu:S3C@h", "/a?u=***");
    check("/a?u=//h//u:S3C@h", "/a?u=***");
    check("//@scope/a", "//@scope/a");
    check("/a@b//c", "/a@b//c");
}

/* What a service finds in a value when it decodes it. */
static void test_secrets_inside_values(void **state)
{
    (void)state;
    check("/?redirect=%2Fcb%3Ftoken%3DS3C", "/?redirect=***");
    check("/?redirect=%252Fcb%253Ftoken%253DS3C&a=1", "/?redirect=***&a=1");
    check("/?redirect=%25252Fcb%25253Ftoken%25253DS3C", "/?redirect=***");
    check("/?token%3DS3C", "/?***");
    check("/?a=1&token%3aS3C", "/?a=1&***");
    check("/?data=%7B%22password%22%3A%22S3C%22%7D", "/?data=***");
    check("/?data={\"password\":\"S3C\"}", "/?data=***");
    check("/?data={\"a\":1,\"api_key\"+:+\"S3C\"}", "/?data=***");
    check("/?{%22user%22:{%22access-token%22:%22S3C%22}}", "/?***");
    check("/?x=user%5Bpassword%5D%3DS3C", "/?x=***");
    check("/?token%3DS3C=x", "/?***=***");
    check("/cb%3Ftoken%3DS3C", "/***");
    check("/a/cb%3Ftoken%3DS3C/b?c=1", "/a/***/b?c=1");
    check("/a;v=1/cb%3Ftoken%3DS3C", "/a;v=1/***");
    static const char *const harmless[] = {
        "/?redirect=%2Fcb%3Fpage%3D2",
        "/?at=12%3A30%3A00",
        "/?redirect=https%3A%2F%2Fauth.example%3A8443%2Fa",
        "/?redirect=http://session-web.wos.localhost:5858/a",
        "/?data={\"type\":\"token\",\"page\":2}",
        "/?q=a+token+and+then%3A+nothing",
        "/?q=token%3D", /* no value */
        "/?data=dG9rZW4=",
        "/a%20b/c",
        "/token%20secret",
        "/?q=100%25&r=%",
    };
    for (size_t i = 0; i < COUNT_OF(harmless); i++) {
        check(harmless[i], harmless[i]);
    }
    char target[400];
    memset(target, 'b', sizeof target);
    memcpy(target, "/?q=", 4);
    memcpy(target + 380, "token%3DS3C", 12); /* a name is judged by its end, however long */
    check(target, "/?q=***");
}

static void test_bounds(void **state)
{
    (void)state;
    char target[REDACT_MAX * 2];
    char out[REDACT_MAX];
    memset(target, 'a', sizeof target);
    target[0] = '/';
    struct str got = redact_target((struct str){target, sizeof target}, out);
    assert_int_equal(got.len, REDACT_MAX);
    memcpy(target + 1, "?token=", 7);
    got = redact_target((struct str){target, sizeof target}, out);
    assert_int_equal(got.len, 11);
    for (size_t i = 1; i + 2 < sizeof target; i += 3) {
        memcpy(target + i, "&a=", 3);
    }
    got = redact_target((struct str){target, sizeof target}, out);
    assert_true(got.len <= REDACT_MAX);
    target[3] = '?';
    for (size_t i = 4; i + 4 < sizeof target; i += 4) {
        memcpy(target + i, "pw=1", 4);
        target[i + 3] = '&';
    }
    got = redact_target((struct str){target, sizeof target}, out);
    assert_true(got.len <= REDACT_MAX);
    /* a name too long to be judged is taken for a secret's */
    memset(target, 'b', 200);
    memcpy(target, "/?", 2);
    memcpy(target + 200, "=v", 2);
    got = redact_target((struct str){target, 202}, out);
    assert_true(str_ends(got, STR("=***")));
    got = redact_target(STR_NONE, out);
    assert_int_equal(got.len, 0);
}

static void test_any_bytes(void **state)
{
    (void)state;
    static const char pool[] = "?&;=#%/:@token25\0\xff\n\"";
    char target[64];
    char out[REDACT_MAX];
    uint32_t seed = 1;
    for (int round = 0; round < 200000; round++) {
        size_t len = (size_t)(round % 60);
        for (size_t i = 0; i < len; i++) {
            seed = seed * 1103515245u + 12345u;
            target[i] = pool[(seed >> 16) % (sizeof pool - 1)];
        }
        assert_true(redact_target((struct str){target, len}, out).len <= REDACT_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_hide), cmocka_unit_test(test_secret_names),
        cmocka_unit_test(test_positions),       cmocka_unit_test(test_user_information),
        cmocka_unit_test(test_bounds),          cmocka_unit_test(test_secrets_inside_values),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
