/* RFC 9773: the example of section 4.1, windows good and bad; times in JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/x509v3.h>

#include "acme/ari.h"
#include "acme/when.h"
#include "base/auto.h"
#include "base/json.h"
#include "certs/issue.h"

/* Appendix A of RFC 9773: key identifier and serial number of its example. */
static void test_cert_id_rfc9773(void **state)
{
    (void)state;
    static const uint8_t keyid[] = {0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3,
                                    0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4};
    static const uint8_t serial[] = {0x87, 0x65, 0x43, 0x21};
    X509 *cert = X509_new();
    AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
    aki->keyid = ASN1_OCTET_STRING_new();
    assert_int_equal(ASN1_OCTET_STRING_set(aki->keyid, keyid, sizeof keyid), 1);
    assert_int_equal(X509_add1_ext_i2d(cert, NID_authority_key_identifier, aki, 0, 0), 1);
    AUTHORITY_KEYID_free(aki);
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    assert_non_null(BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)));
    BN_free(number);
    char id[ARI_ID_MAX];
    assert_int_equal(ari_cert_id(cert, id, sizeof id, NULL), 0);
    assert_string_equal(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    char small[10];
    assert_int_equal(ari_cert_id(cert, small, sizeof small, NULL), -1);
    X509_free(cert);
    X509 *bare = X509_new();
    assert_int_equal(ari_cert_id(bare, id, sizeof id, NULL), -1);
    X509_free(bare);
}

static int read_window(struct ari *ari, const char *text, int64_t retry_at, int64_t now)
{
    autojson cJSON *json = json_parse(str_of(text), "ari", NULL);
    return ari_read(ari, "a.b", json, retry_at, now, NULL);
}

static const char window[] = "{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\","
                             "\"end\":\"2025-01-03T04:00:00.123Z\"},"
                             "\"explanationURL\":\"https://acme.example.com/docs/ari\"}";

static void test_window(void **state)
{
    (void)state;
    struct ari ari = {.ask_at = 0};
    int64_t now = when_parse("2025-01-01T00:00:00Z");
    int64_t start = when_parse("2025-01-02T04:00:00Z");
    for (int i = 0; i < 100; i++) {
        ari = (struct ari){.ask_at = 0};
        assert_int_equal(read_window(&ari, window, now + 21600, now), 0);
        assert_in_range(ari.selected_at, start, start + 86399);
    }
    assert_int_equal(ari.start, start);
    assert_int_equal(ari.end, start + 86400);
    assert_int_equal(ari.ask_at, now + 21600);
    assert_string_equal(ari.explanation, "https://acme.example.com/docs/ari");
    /* The same window keeps the selected time, another one does not. */
    ari.selected_at = start + 5;
    assert_int_equal(read_window(&ari, window, 0, now), 0);
    assert_int_equal(ari.selected_at, start + 5);
    assert_int_equal(ari.ask_at, now + 6 * 3600);
    assert_int_equal(read_window(&ari, window, now + 1, now), 0);
    assert_int_equal(ari.ask_at, now + 60);
    assert_int_equal(read_window(&ari, window, now + 30 * 86400, now), 0);
    assert_int_equal(ari.ask_at, now + 86400);
}

static void test_bad_windows(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"suggestedWindow\":7}",
        "{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\"}}",
        "{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\",\"end\":\"2025-01-02T04:00:00Z\"}"
        "}",
        "{\"suggestedWindow\":{\"start\":\"tomorrow\",\"end\":\"2025-01-02T04:00:00Z\"}}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct ari ari = {.ask_at = 42};
        assert_int_equal(read_window(&ari, bad[i], 0, 1000), -1);
        assert_int_equal(ari.ask_at, 42);
    }
    struct ari ari = {.ask_at = 0};
    assert_int_equal(read_window(&ari,
                                 "{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\",\"end\":"
                                 "\"2025-01-03T04:00:00Z\"},\"explanationURL\":\"javascript:x\"}",
                                 0, 1000),
                     0);
    assert_string_equal(ari.explanation, "");
}

static void test_times(void **state)
{
    (void)state;
    assert_int_equal(when_parse("1970-01-01T00:00:10Z"), 10);
    assert_int_equal(when_parse("1970-01-01T01:00:10.5+01:00"), 10);
    assert_int_equal(when_parse("1969-12-31T23:30:10-00:30"), 10);
    assert_int_equal(when_parse("1970-01-01T00:00:10"), 0);
    assert_int_equal(when_parse("1970-01-01T00:00:10Zx"), 0);
    assert_int_equal(when_parse("1970-01-01T00:00:10+1:00"), 0);
    assert_int_equal(when_parse(""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cert_id_rfc9773),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_bad_windows),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
