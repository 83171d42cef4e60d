/* base64url, JWK thumbprints and signatures, against the RFCs' own vectors and OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "acme/jws.h"
#include "base/auto.h"
#include "base/json.h"

static void test_b64url(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *text;
    } table[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xff\xef", "_-8"}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct buf out = {0};
        struct buf back = {0};
        b64url_encode(str_of(table[i].bytes), &out);
        assert_string_equal(buf_cstr(&out), table[i].text);
        assert_int_equal(b64url_decode(buf_str(&out), &back, NULL), 0);
        assert_string_equal(buf_cstr(&back), table[i].bytes);
        buf_fini(&out);
        buf_fini(&back);
    }
    static const char *const bad[] = {"Zg==", "Z", "Zm9v\n", "Zm+v", "Zh", "Zm9"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct buf back = {0};
        assert_int_equal(b64url_decode(str_of(bad[i]), &back, NULL), -1);
        assert_int_equal(back.len, 0);
        buf_fini(&back);
    }
}

static BIGNUM *number(const char *b64)
{
    struct buf bytes = {0};
    assert_int_equal(b64url_decode(str_of(b64), &bytes, NULL), 0);
    BIGNUM *bn = BN_bin2bn((const unsigned char *)bytes.ptr, (int)bytes.len, NULL);
    buf_fini(&bytes);
    return bn;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    return key;
}

/* RFC 7638 section 3.1. */
static void test_thumbprint_rfc7638(void **state)
{
    (void)state;
    BIGNUM *n = number(
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
        "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
        "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI"
        "4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw");
    BIGNUM *e = number("AQAB");
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    assert_int_equal(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e), 1);
    EVP_PKEY *key = from_params("RSA", build);
    struct buf text = {0};
    assert_int_equal(jws_thumbprint(key, &text, NULL), 0);
    assert_string_equal(buf_cstr(&text), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    buf_fini(&text);
    EVP_PKEY_free(key);
    BN_free(n);
    BN_free(e);
}

static void part(const cJSON *json, const char *name, struct buf *out)
{
    const char *text = json_get_str(json, name, NULL);
    assert_non_null(text);
    assert_int_equal(b64url_decode(str_of(text), out, NULL), 0);
}

/* True when OpenSSL verifies the JWS under `key`. */
static bool verifies(const cJSON *json, EVP_PKEY *key, const EVP_MD *digest, size_t coordinate)
{
    struct buf sig = {0};
    autofree char *input =
        xasprintf("%s.%s", json_get_str(json, "protected", ""), json_get_str(json, "payload", ""));
    part(json, "signature", &sig);
    uint8_t *der = NULL;
    size_t len = sig.len;
    if (coordinate > 0) {
        assert_int_equal(sig.len, 2 * coordinate);
        ECDSA_SIG *pair = ECDSA_SIG_new();
        const unsigned char *at = (const unsigned char *)sig.ptr;
        assert_int_equal(ECDSA_SIG_set0(pair, BN_bin2bn(at, (int)coordinate, NULL),
                                        BN_bin2bn(at + coordinate, (int)coordinate, NULL)),
                         1);
        len = (size_t)i2d_ECDSA_SIG(pair, &der);
        ECDSA_SIG_free(pair);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, digest, NULL, key), 1);
    bool good = EVP_DigestVerify(ctx, der != NULL ? der : (uint8_t *)sig.ptr, len,
                                 (const uint8_t *)input, strlen(input)) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    buf_fini(&sig);
    return good;
}

static void sign_and_verify(EVP_PKEY *key, const char *alg, const EVP_MD *digest, size_t coordinate)
{
    struct buf out = {0};
    struct buf head = {0};
    struct jws_head spec = {.kid = "https://ca/acct/1", .nonce = "n\"1", .url = "https://ca/x"};
    assert_int_equal(jws_sign(key, &spec, STR("{\"a\":1}"), &out, NULL), 0);
    autojson cJSON *json = json_parse(buf_str(&out), "jws", NULL);
    assert_non_null(json);
    part(json, "protected", &head);
    autojson cJSON *protected_head = json_parse(buf_str(&head), "head", NULL);
    assert_string_equal(json_get_str(protected_head, "alg", ""), alg);
    assert_string_equal(json_get_str(protected_head, "kid", ""), "https://ca/acct/1");
    assert_string_equal(json_get_str(protected_head, "nonce", ""), "n\"1");
    assert_string_equal(json_get_str(protected_head, "url", ""), "https://ca/x");
    assert_null(json_get(protected_head, "jwk"));
    assert_true(verifies(json, key, digest, coordinate));
    cJSON_ReplaceItemInObjectCaseSensitive(json, "payload", cJSON_CreateString("eyJhIjoyfQ"));
    assert_false(verifies(json, key, digest, coordinate));
    buf_fini(&out);
    buf_fini(&head);
}

static void test_signatures(void **state)
{
    (void)state;
    EVP_PKEY *p256 = jws_key_new(NULL);
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    for (int i = 0; i < 50; i++) { /* numbers with leading zeros too */
        sign_and_verify(p256, "ES256", EVP_sha256(), 32);
    }
    sign_and_verify(p384, "ES384", EVP_sha384(), 48);
    sign_and_verify(rsa, "RS256", EVP_sha256(), 0);
    EVP_PKEY_free(p256);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(rsa);
}

static void test_post_as_get_and_jwk(void **state)
{
    (void)state;
    EVP_PKEY *key = jws_key_new(NULL);
    struct buf out = {0};
    struct buf head = {0};
    struct buf jwk = {0};
    struct jws_head spec = {.nonce = "n", .url = "u"};
    assert_int_equal(jws_sign(key, &spec, STR_NONE, &out, NULL), 0);
    autojson cJSON *json = json_parse(buf_str(&out), "jws", NULL);
    assert_string_equal(json_get_str(json, "payload", "x"), "");
    part(json, "protected", &head);
    autojson cJSON *parsed = json_parse(buf_str(&head), "head", NULL);
    assert_null(json_get(parsed, "kid"));
    assert_int_equal(jws_jwk(key, &jwk, NULL), 0);
    autofree char *text = json_print(json_get(parsed, "jwk"));
    assert_string_equal(text, buf_cstr(&jwk));
    buf_fini(&out);
    buf_fini(&head);
    buf_fini(&jwk);
    EVP_PKEY_free(key);
}

static void test_other_keys_refused(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct buf out = {0};
    struct err err;
    assert_int_equal(jws_jwk(key, &out, &err), -1);
    assert_non_null(strstr(err.msg, "allowed: ECDSA P-256"));
    assert_int_equal(out.len, 0);
    buf_fini(&out);
    EVP_PKEY_free(key);
}

static void test_eab(void **state)
{
    (void)state;
    static const char hmac_key[] =
        "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    EVP_PKEY *key = jws_key_new(NULL);
    struct buf out = {0};
    struct buf sig = {0};
    struct buf secret = {0};
    struct buf payload = {0};
    struct buf jwk = {0};
    assert_int_equal(jws_sign_eab(key, "kid-1", hmac_key, "https://ca/new", &out, NULL), 0);
    autojson cJSON *json = json_parse(buf_str(&out), "eab", NULL);
    part(json, "signature", &sig);
    part(json, "payload", &payload);
    assert_int_equal(jws_jwk(key, &jwk, NULL), 0);
    assert_string_equal(buf_cstr(&payload), buf_cstr(&jwk));
    autofree char *input =
        xasprintf("%s.%s", json_get_str(json, "protected", ""), json_get_str(json, "payload", ""));
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    assert_int_equal(b64url_decode(str_of(hmac_key), &secret, NULL), 0);
    assert_non_null(HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const uint8_t *)input,
                         strlen(input), mac, &len));
    assert_int_equal(sig.len, len);
    assert_memory_equal(sig.ptr, mac, len);
    struct err err;
    assert_int_equal(jws_sign_eab(key, "k", "not base64!", "u", &out, &err), -1);
    assert_null(strstr(err.msg, "not base64!"));
    buf_fini(&out);
    buf_fini(&sig);
    buf_fini(&secret);
    buf_fini(&payload);
    buf_fini(&jwk);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_b64url),
        cmocka_unit_test(test_thumbprint_rfc7638),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_post_as_get_and_jwk),
        cmocka_unit_test(test_other_keys_refused),
        cmocka_unit_test(test_eab),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
