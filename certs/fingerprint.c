/* fingerprint: see fingerprint.h. Called by `wos trust`. */
#include "certs/fingerprint.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/str.h"
#include "certs/cert.h"

int fingerprint_of_file(const char *path, char out[FINGERPRINT_TEXT], struct err *err)
{
    struct buf text = {0};
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (file_read(path, CERT_PEM_LIMIT, &text, err) < 0) {
        buf_fini(&text);
        return -1;
    }
    BIO *bio = BIO_new_mem_buf(text.ptr, (int)text.len);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int rc = cert != NULL && X509_digest(cert, EVP_sha256(), digest, &len) == 1 ? 0 : -1;
    X509_free(cert);
    BIO_free(bio);
    buf_fini(&text);
    if (rc < 0) {
        return err_set(err, ERR_CONFIG, "%s: no certificate in PEM", path);
    }
    for (size_t i = 0; i < len && 2 * i + 2 < FINGERPRINT_TEXT; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    }
    return 0;
}
