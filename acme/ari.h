/* ari: when a CA would like a certificate renewed (RFC 9773). Pure but for ari_select's random
 * number; any thread. The request itself is acme_client_get on ari_url.
 */
#ifndef WOS_ACME_ARI_H
#define WOS_ACME_ARI_H

#include <cjson/cJSON.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { ARI_URL_MAX = 256, ARI_ID_MAX = 200 };

struct ari {
    char cert_id[ARI_ID_MAX]; /* the certificate it is about; "": nothing is known */
    int64_t start;            /* the suggested window, wall seconds */
    int64_t end;
    int64_t selected_at;           /* our time in it, kept while the window stays */
    int64_t ask_at;                /* not to be asked again before */
    char explanation[ARI_URL_MAX]; /* "" or an https URL */
};

/* base64url(authority key identifier) "." base64url(serial number), section 4.1. */
int ari_cert_id(const X509 *leaf, char *out, size_t size, struct err *err);
/* Reads an answer into *io. The window must not be empty; `retry_at` (0: none) bounds ask_at to
 * between a minute and a day from now. Keeps selected_at when the window is the same one. */
int ari_read(struct ari *io, const char *cert_id, const cJSON *json, int64_t retry_at, int64_t now,
             struct err *err);

#endif
