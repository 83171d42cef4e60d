/* ari: see ari.h. Called by the renewer. */
#include "acme/ari.h"

#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "acme/jws.h"
#include "acme/when.h"
#include "base/auto.h"
#include "base/json.h"

enum { ASK_DEFAULT_SECONDS = 6 * 3600, ASK_MIN_SECONDS = 60, ASK_MAX_SECONDS = 86400 };

/* "<key identifier>.<serial>" */
static void id_text(const AUTHORITY_KEYID *aki, const ASN1_INTEGER *serial, struct buf *out)
{
    const char *number = (const char *)ASN1_STRING_get0_data(serial);
    struct buf bytes = {0};
    b64url_encode((struct str){(const char *)ASN1_STRING_get0_data(aki->keyid),
                               (size_t)ASN1_STRING_length(aki->keyid)},
                  out);
    buf_add_char(out, '.');
    /* The bytes of the DER integer: with a zero in front of a high bit. */
    if (((unsigned char)number[0] & 0x80) != 0) {
        buf_add_char(&bytes, '\0');
    }
    buf_add(&bytes, number, (size_t)ASN1_STRING_length(serial));
    b64url_encode(buf_str(&bytes), out);
    buf_fini(&bytes);
}

int ari_cert_id(const X509 *leaf, char *out, size_t size, struct err *err)
{
    AUTHORITY_KEYID *aki = X509_get_ext_d2i(leaf, NID_authority_key_identifier, NULL, NULL);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
    if (aki == NULL || aki->keyid == NULL || serial == NULL || ASN1_STRING_length(serial) < 1) {
        AUTHORITY_KEYID_free(aki);
        return err_set(err, ERR_REFUSED, "the certificate does not say which key signed it");
    }
    struct buf text = {0};
    id_text(aki, serial, &text);
    AUTHORITY_KEYID_free(aki);
    int result = 0;
    if (text.len >= size) {
        result = err_set(err, ERR_REFUSED, "the certificate's serial number is too long");
    } else {
        (void)snprintf(out, size, "%s", buf_cstr(&text));
    }
    buf_fini(&text);
    return result;
}

/* Evenly in [start, end): so a CA's clients do not come all at once (section 4.2). */
static int64_t select_time(int64_t start, int64_t end)
{
    uint64_t random;
    CHECK(RAND_bytes((uint8_t *)&random, sizeof random) == 1);
    return start + (int64_t)(random % (uint64_t)(end - start));
}

int ari_read(struct ari *io, const char *cert_id, const cJSON *json, int64_t retry_at, int64_t now,
             struct err *err)
{
    const cJSON *window = json_get(json, "suggestedWindow");
    struct ari next = {.start = when_get(window, "start"), .end = when_get(window, "end")};
    if (next.start <= 0 || next.end <= next.start) {
        return err_set(err, ERR_REFUSED, "the CA's renewal information has no usable window");
    }
    bool same = strcmp(io->cert_id, cert_id) == 0 && io->start == next.start &&
                io->end == next.end && io->selected_at != 0;
    next.selected_at = same ? io->selected_at : select_time(next.start, next.end);
    int64_t wait = retry_at == 0 ? ASK_DEFAULT_SECONDS : retry_at - now;
    wait = wait < ASK_MIN_SECONDS ? ASK_MIN_SECONDS : wait;
    next.ask_at = now + (wait > ASK_MAX_SECONDS ? ASK_MAX_SECONDS : wait);
    const char *why = json_get_str(json, "explanationURL", "");
    size_t len = strlen(why);
    if (strncmp(why, "https://", 8) == 0 && len < ARI_URL_MAX &&
        strcspn(why, " \"<>\\\x7f\t\r\n") == len) {
        (void)snprintf(next.explanation, sizeof next.explanation, "%s", why);
    }
    (void)snprintf(next.cert_id, sizeof next.cert_id, "%s", cert_id);
    *io = next;
    return 0;
}
