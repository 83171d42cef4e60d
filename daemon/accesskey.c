/* accesskey: see accesskey.h. Called by logins.c (the file) and the publisher (the digest), on the
 * daemon's loop. */
#include "daemon/accesskey.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"

static void wipe(struct buf *text)
{
    if (text->ptr != NULL) {
        OPENSSL_cleanse(text->ptr, text->len);
    }
    buf_fini(text);
}

int accesskey_renew(const char *dir, uint8_t out_key[SNAPSHOT_ACCESS_KEY], struct err *err)
{
    uint8_t key[SNAPSHOT_ACCESS_KEY];
    autofree char *path = path_join(dir, "key");
    if (RAND_bytes(key, sizeof key) != 1) {
        return err_set(err, ERR_FAILED, "no random bytes for %s", path);
    }
    int rc = dir_make(dir, 0700, err) < 0
                 ? -1
                 : file_write_atomic(path, (struct str){(const char *)key, sizeof key}, 0600, err);
    if (rc == 0) {
        memcpy(out_key, key, sizeof key);
    }
    OPENSSL_cleanse(key, sizeof key);
    return rc;
}

int accesskey_load(const char *dir, uint8_t out_key[SNAPSHOT_ACCESS_KEY], struct err *err)
{
    autofree char *path = path_join(dir, "key");
    struct buf text = {0};
    struct err why = {.code = ERR_NONE};
    struct stat st;
    int rc = file_read(path, SNAPSHOT_ACCESS_KEY, &text, &why);
    bool is_good = rc == 0 && text.len == SNAPSHOT_ACCESS_KEY && stat(path, &st) == 0 &&
                   (st.st_mode & 077) == 0;
    if (is_good) {
        memcpy(out_key, text.ptr, SNAPSHOT_ACCESS_KEY);
    }
    wipe(&text);
    if (!is_good && rc < 0 && why.code == ERR_SYSTEM) {
        if (err != NULL) {
            *err =
                why; /* it may be there and good: nobody is thrown out for a full table of files */
        }
        return -1;
    }
    return is_good ? 0 : accesskey_renew(dir, out_key, err);
}

void accesskey_digest(const uint8_t key[SNAPSHOT_ACCESS_KEY], const char *secret,
                      uint8_t out_digest[SNAPSHOT_ACCESS_KEY])
{
    unsigned len = 0;
    CHECK(HMAC(EVP_sha256(), key, SNAPSHOT_ACCESS_KEY, (const uint8_t *)secret, strlen(secret),
               out_digest, &len) != NULL &&
          len == SNAPSHOT_ACCESS_KEY);
}
