/* The key schedule gives what OpenSSL's own gives, for what TLS asks; the rest is refused. */
#include "certs/tlskdf.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

enum { BYTES = 64 };

/* One call; a string without a pointer is not passed. */
struct call {
    int mode;
    const char *digest;
    struct str key;
    struct str salt;
    struct str prefix;
    struct str label;
    struct str data;
};

static OSSL_PARAM octets(const char *name, struct str bytes)
{
    return OSSL_PARAM_construct_octet_string(name, (char *)bytes.ptr, bytes.len);
}

static bool derive(const char *query, struct call c, uint8_t *out, size_t len)
{
    OSSL_PARAM params[8];
    size_t n = 0;
    params[n++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &c.mode);
    if (c.digest != NULL) {
        params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)c.digest, 0);
    }
    const struct {
        const char *name;
        struct str value;
    } strings[] = {{OSSL_KDF_PARAM_KEY, c.key},
                   {OSSL_KDF_PARAM_SALT, c.salt},
                   {OSSL_KDF_PARAM_PREFIX, c.prefix},
                   {OSSL_KDF_PARAM_LABEL, c.label},
                   {OSSL_KDF_PARAM_DATA, c.data}};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        if (strings[i].value.ptr != NULL) {
            params[n++] = octets(strings[i].name, strings[i].value);
        }
    }
    params[n] = OSSL_PARAM_construct_end();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, query);
    assert_non_null(kdf);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    EVP_KDF_free(kdf);
    assert_non_null(ctx);
    bool done = EVP_KDF_derive(ctx, out, len, params) > 0;
    EVP_KDF_CTX_free(ctx);
    return done;
}

static struct call call_make(int mode, const char *digest)
{
    return (struct call){
        .mode = mode, .digest = digest, .prefix = STR("tls13 "), .label = STR("derived")};
}

static void is_preferred(void **state)
{
    (void)state;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, TLSKDF_QUERY);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "wos");
    EVP_KDF_free(kdf);
    /* What it does not have is still OpenSSL's. */
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", TLSKDF_QUERY);
    assert_string_equal(OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(md)), "default");
    EVP_MD_free(md);
}

/* RFC 8448 section 3. */
static void gives_the_published_secrets(void **state)
{
    static const uint8_t early[] = {0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b,
                                    0x09, 0xe6, 0xcd, 0x98, 0x93, 0x68, 0x0c, 0xe2,
                                    0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f, 0x26, 0x60,
                                    0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a};
    static const uint8_t shared[] = {0x8b, 0xd4, 0x05, 0x4f, 0xb5, 0x5b, 0x9d, 0x63,
                                     0xfd, 0xfb, 0xac, 0xf9, 0xf0, 0x4b, 0x9f, 0x0d,
                                     0x35, 0xe6, 0xd6, 0x3f, 0x53, 0x75, 0x63, 0xef,
                                     0xd4, 0x62, 0x72, 0x90, 0x0f, 0x89, 0x49, 0x2d};
    static const uint8_t handshake[] = {0x1d, 0xc8, 0x26, 0xe9, 0x36, 0x06, 0xaa, 0x6f,
                                        0xdc, 0x0a, 0xad, 0xc1, 0x2f, 0x74, 0x1b, 0x01,
                                        0x04, 0x6a, 0xa6, 0xb9, 0x9f, 0x69, 0x1e, 0xd2,
                                        0x21, 0xa9, 0xf0, 0xca, 0x04, 0x3f, 0xbe, 0xac};
    (void)state;
    uint8_t out[sizeof early];
    struct call c = call_make(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA256");
    assert_true(derive("provider=wos", c, out, sizeof out));
    assert_memory_equal(out, early, sizeof early);
    c.salt = (struct str){(const char *)early, sizeof early};
    c.key = (struct str){(const char *)shared, sizeof shared};
    assert_true(derive("provider=wos", c, out, sizeof out));
    assert_memory_equal(out, handshake, sizeof handshake);
}

static void compare(struct call c, size_t len)
{
    uint8_t ours[BYTES] = {0};
    uint8_t theirs[BYTES] = {0};
    assert_true(derive("provider=wos", c, ours, len));
    assert_true(derive("provider=default", c, theirs, len));
    assert_memory_equal(ours, theirs, sizeof ours); /* and nothing behind `len` */
}

static void gives_what_openssl_gives(void **state)
{
    static const char *const digests[] = {"SHA256", "SHA2-256", "SHA384", "SHA2-384"};
    (void)state;
    char random[4][1100];
    for (int round = 0; round < 400; round++) {
        const char *digest = digests[round % 4];
        size_t size = round % 4 < 2 ? 32 : 48;
        assert_int_equal(RAND_bytes((uint8_t *)random, sizeof random), 1);
        struct call c = call_make(EVP_KDF_HKDF_MODE_EXPAND_ONLY, digest);
        c.key = (struct str){random[0], size};
        c.label = (struct str){random[1], 1 + (size_t)round % 200};
        c.data = (struct str){random[2], (size_t)round % 65};
        compare(c, 1 + (size_t)round % size);
        c.data = STR_NONE;
        compare(c, size);
        c = call_make(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, digest);
        compare(c, size);
        c.key = (struct str){random[3], 1 + (size_t)round % sizeof random[3]}; /* FFDHE: 1 KiB */
        compare(c, size);
        c.salt = (struct str){random[0], size};
        compare(c, size);
        c.key = STR_NONE;
        compare(c, size);
    }
}

static void refuses_what_tls_does_not_ask_for(void **state)
{
    (void)state;
    static const char bytes[300];
    uint8_t out[BYTES];
    struct call good = call_make(EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA256");
    good.key = (struct str){bytes, 32};
    assert_true(derive("provider=wos", good, out, 32));
    assert_false(derive("provider=wos", good, out, 33)); /* more than one digest */

    struct call bad = good;
    bad.digest = "SHA512";
    assert_false(derive("provider=wos", bad, out, 32));
    bad.digest = NULL;
    assert_false(derive("provider=wos", bad, out, 32));
    bad = good;
    bad.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    assert_false(derive("provider=wos", bad, out, 32));
    bad = good;
    bad.key = STR_NONE;
    assert_false(derive("provider=wos", bad, out, 32));
    bad.key = (struct str){bytes, 65}; /* longer than a block of SHA-256 */
    assert_false(derive("provider=wos", bad, out, 32));
    bad = good;
    bad.label = (struct str){bytes, 250}; /* 256 with the prefix */
    assert_false(derive("provider=wos", bad, out, 32));
    bad.label = STR_NONE;
    assert_false(derive("provider=wos", bad, out, 32));
    bad = good;
    bad.data = (struct str){bytes, 256};
    assert_false(derive("provider=wos", bad, out, 32));
    bad = good;
    bad.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    assert_false(derive("provider=wos", bad, out, 31)); /* a secret is one whole digest */
    bad.salt = (struct str){bytes, 65};
    assert_false(derive("provider=wos", bad, out, 32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_preferred),
        cmocka_unit_test(gives_the_published_secrets),
        cmocka_unit_test(gives_what_openssl_gives),
        cmocka_unit_test(refuses_what_tls_does_not_ask_for),
    };
    tlskdf_load();
    tlskdf_load(); /* again is nothing */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
