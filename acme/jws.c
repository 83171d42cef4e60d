/* jws: see jws.h. Called by client.c, account.c and the order's steps; any thread. */
#include "acme/jws.h"

#include <cjson/cJSON.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/json.h"
#include "certs/sslerr.h"

enum { COORDINATE_MAX = 66, RSA_BYTES_MAX = 1024, HMAC_KEY_MAX = 1024 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void b64url_encode(struct str bytes, struct buf *out)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t word = (uint32_t)at[i] << 16;
        word |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
        word |= left > 2 ? at[i + 2] : 0;
        size_t digits = left > 2 ? 4 : left + 1;
        for (size_t d = 0; d < digits; d++) {
            buf_add_char(out, alphabet[(word >> (18 - 6 * d)) & 63]);
        }
    }
}

int b64url_decode(struct str text, struct buf *out, struct err *err)
{
    size_t before = out->len;
    uint32_t word = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *at = text.ptr[i] == '\0' ? NULL : strchr(alphabet, text.ptr[i]);
        if (at == NULL) {
            out->len = before;
            return err_set(err, ERR_REFUSED, "not base64url: character %zu", i + 1);
        }
        word = word << 6 | (uint32_t)(at - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_add_char(out, (char)(uint8_t)(word >> bits));
        }
    }
    if (text.len % 4 == 1 || (word & ((1U << bits) - 1)) != 0) {
        out->len = before;
        return err_set(err, ERR_REFUSED, "not base64url: it ends in the middle of a byte");
    }
    return 0;
}

EVP_PKEY *jws_key_new(struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL) {
        (void)sslerr_set(err, ERR_FAILED, "making an account key"); /* NULL tells the caller */
    }
    return key;
}

struct algorithm {
    const char *name;
    const char *curve; /* NULL: RSA */
    const EVP_MD *digest;
    size_t coordinate; /* bytes of r, s, x and y */
};

static int algorithm_of(const EVP_PKEY *key, struct algorithm *out, struct err *err)
{
    char group[32] = "";
    if (EVP_PKEY_is_a(key, "RSA")) {
        *out = (struct algorithm){"RS256", NULL, EVP_sha256(), 0};
        return 0;
    }
    if (EVP_PKEY_is_a(key, "EC") &&
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                       NULL) == 1) {
        if (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0) {
            *out = (struct algorithm){"ES256", "P-256", EVP_sha256(), 32};
            return 0;
        }
        if (strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0) {
            *out = (struct algorithm){"ES384", "P-384", EVP_sha384(), 48};
            return 0;
        }
    }
    ERR_clear_error();
    return err_set(err, ERR_CONFIG,
                   "the account key is of a kind ACME does not take; allowed: ECDSA P-256, "
                   "ECDSA P-384, RSA");
}

/* A big-endian number of the key in base64url, filled up to `size` bytes (0: as long as it is). */
static int add_number(const EVP_PKEY *key, const char *param, size_t size, struct buf *out)
{
    BIGNUM *number = NULL;
    uint8_t bytes[RSA_BYTES_MAX];
    if (EVP_PKEY_get_bn_param(key, param, &number) != 1) {
        return -1;
    }
    size = size == 0 ? (size_t)BN_num_bytes(number) : size;
    int result = -1;
    if (size <= sizeof bytes && BN_bn2binpad(number, bytes, (int)size) == (int)size) {
        b64url_encode((struct str){(const char *)bytes, size}, out);
        result = 0;
    }
    BN_free(number);
    return result;
}

int jws_jwk(const EVP_PKEY *key, struct buf *out, struct err *err)
{
    struct algorithm algorithm;
    if (algorithm_of(key, &algorithm, err) < 0) {
        return -1;
    }
    size_t before = out->len;
    int result;
    if (algorithm.curve == NULL) {
        buf_add_text(out, "{\"e\":\"");
        result = add_number(key, OSSL_PKEY_PARAM_RSA_E, 0, out);
        buf_add_text(out, "\",\"kty\":\"RSA\",\"n\":\"");
        result |= add_number(key, OSSL_PKEY_PARAM_RSA_N, 0, out);
    } else {
        buf_printf(out, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"", algorithm.curve);
        result = add_number(key, OSSL_PKEY_PARAM_EC_PUB_X, algorithm.coordinate, out);
        buf_add_text(out, "\",\"y\":\"");
        result |= add_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, algorithm.coordinate, out);
    }
    buf_add_text(out, "\"}");
    if (result < 0) {
        out->len = before;
        return sslerr_set(err, ERR_FAILED, "reading the account's public key");
    }
    return 0;
}

int jws_thumbprint(const EVP_PKEY *key, struct buf *out, struct err *err)
{
    struct buf jwk = {0};
    if (jws_jwk(key, &jwk, err) < 0) {
        return -1;
    }
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const uint8_t *)jwk.ptr, jwk.len, digest);
    buf_fini(&jwk);
    b64url_encode((struct str){(const char *)digest, sizeof digest}, out);
    return 0;
}

int jws_dns01_value(const EVP_PKEY *key, const char *token, struct buf *out, struct err *err)
{
    struct buf text = {0};
    buf_printf(&text, "%s.", token);
    if (jws_thumbprint(key, &text, err) < 0) {
        buf_fini(&text);
        return -1;
    }
    uint8_t digest[SHA256_DIGEST_LENGTH];
    (void)SHA256((const uint8_t *)text.ptr, text.len, digest);
    buf_fini(&text);
    b64url_encode((struct str){(const char *)digest, sizeof digest}, out);
    return 0;
}

/* DER to the two fixed-size numbers of RFC 7518 section 3.4. */
static int ecdsa_flatten(const uint8_t *der, size_t len, size_t coordinate, uint8_t *out)
{
    const uint8_t *at = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    if (sig == NULL) {
        return -1;
    }
    int size = (int)coordinate;
    int result = BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, size) == size &&
                         BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + coordinate, size) == size
                     ? 0
                     : -1;
    ECDSA_SIG_free(sig);
    return result;
}

static int sign(EVP_PKEY *key, const struct algorithm *algorithm, struct str input, struct buf *out,
                struct err *err)
{
    uint8_t raw[RSA_BYTES_MAX];
    uint8_t flat[2 * COORDINATE_MAX];
    size_t len = sizeof raw;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = ctx != NULL && EVP_DigestSignInit(ctx, NULL, algorithm->digest, NULL, key) == 1 &&
                EVP_DigestSign(ctx, raw, &len, (const uint8_t *)input.ptr, input.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (done && algorithm->curve != NULL) {
        done = ecdsa_flatten(raw, len, algorithm->coordinate, flat) == 0;
        len = 2 * algorithm->coordinate;
    }
    if (!done) {
        return sslerr_set(err, ERR_FAILED, "signing a request to the CA");
    }
    b64url_encode((struct str){(const char *)(algorithm->curve == NULL ? raw : flat), len}, out);
    return 0;
}

/* {"protected":…,"payload":…,"signature":…} from three parts in base64url. */
static void serialise(struct str protected_and_payload, struct str signature, struct buf *out)
{
    struct str payload = protected_and_payload;
    struct str head;
    (void)str_next(&payload, '.', &head);
    buf_add_text(out, "{\"protected\":\"");
    buf_add_str(out, head);
    buf_add_text(out, "\",\"payload\":\"");
    buf_add_str(out, payload);
    buf_add_text(out, "\",\"signature\":\"");
    buf_add_str(out, signature);
    buf_add_text(out, "\"}");
}

static int head_encode(const EVP_PKEY *key, const char *alg, const struct jws_head *head,
                       struct buf *out, struct err *err)
{
    autojson cJSON *json = cJSON_CreateObject();
    CHECK(json != NULL);
    json_add_str(json, "alg", alg);
    if (head->nonce != NULL) {
        json_add_str(json, "nonce", head->nonce);
    }
    json_add_str(json, "url", head->url);
    if (head->kid != NULL) {
        json_add_str(json, "kid", head->kid);
    } else {
        struct buf jwk = {0};
        if (jws_jwk(key, &jwk, err) < 0) {
            buf_fini(&jwk);
            return -1;
        }
        CHECK(cJSON_AddRawToObject(json, "jwk", buf_cstr(&jwk)) != NULL);
        buf_fini(&jwk);
    }
    autofree char *text = json_print(json);
    b64url_encode(str_of(text), out);
    return 0;
}

int jws_sign(EVP_PKEY *key, const struct jws_head *head, struct str payload, struct buf *out,
             struct err *err)
{
    struct algorithm algorithm;
    struct buf input = {0};
    struct buf signature = {0};
    int result = -1;
    if (algorithm_of(key, &algorithm, err) == 0 &&
        head_encode(key, algorithm.name, head, &input, err) == 0) {
        buf_add_char(&input, '.');
        b64url_encode(payload, &input);
        result = sign(key, &algorithm, buf_str(&input), &signature, err);
    }
    if (result == 0) {
        serialise(buf_str(&input), buf_str(&signature), out);
    }
    buf_fini(&input);
    buf_fini(&signature);
    return result;
}

int jws_sign_eab(const EVP_PKEY *key, const char *kid, const char *hmac_key, const char *url,
                 struct buf *out, struct err *err)
{
    struct jws_head head = {.kid = kid, .url = url};
    struct buf secret = {0};
    struct buf jwk = {0};
    struct buf input = {0};
    struct buf signature = {0};
    int result = -1;
    buf_reserve(&secret, HMAC_KEY_MAX); /* so that the secret is never left in a smaller block */
    struct str text = str_trim(str_of(hmac_key));
    while (text.len > 0 && text.ptr[text.len - 1] == '=') {
        text.len--; /* some CAs pad */
    }
    if (text.len == 0 || text.len > HMAC_KEY_MAX || b64url_decode(text, &secret, NULL) < 0) {
        (void)err_set(err, ERR_CONFIG, "eab.hmacKey is not base64url; copy it as the CA shows it");
    } else if (jws_jwk(key, &jwk, err) == 0 && head_encode(key, "HS256", &head, &input, err) == 0) {
        uint8_t mac[EVP_MAX_MD_SIZE];
        unsigned len = 0;
        buf_add_char(&input, '.');
        b64url_encode(buf_str(&jwk), &input);
        CHECK(HMAC(EVP_sha256(), secret.ptr, (int)secret.len, (const uint8_t *)input.ptr, input.len,
                   mac, &len) != NULL);
        b64url_encode((struct str){(const char *)mac, len}, &signature);
        serialise(buf_str(&input), buf_str(&signature), out);
        result = 0;
    }
    OPENSSL_cleanse(secret.ptr, secret.cap);
    buf_fini(&secret);
    buf_fini(&jwk);
    buf_fini(&input);
    buf_fini(&signature);
    return result;
}
