/* keygen: see keygen.h. The thread makes the key and posts it to the loop's mailbox; nothing
 * else is shared. A mailbox may go only after its poster has stopped, so a cancelled keygen is
 * freed by its own letter, or with the loop.
 */
#include "acme/keygen.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/mail.h"
#include "certs/sslerr.h"

enum { KEYGEN_MAGIC = 0x6b657967 };

struct keygen {
    uint32_t magic;
    struct loop *loop; /* borrowed */
    pthread_t thread;
    struct mailbox *box; /* owned */
    struct mail_letter letter;
    enum acme_key_type type;
    keygen_done_fn *done; /* NULL once cancelled */
    void *arg;            /* borrowed */
    bool closing;         /* the loop goes: the letter is only read */
    /* Written by the thread before it posts, read after. */
    EVP_PKEY *key; /* owned until handed out */
    struct err err;
};

EVP_PKEY *keygen_now(enum acme_key_type type, struct err *err)
{
    EVP_PKEY *key = NULL;
    switch (type) {
    case ACME_KEY_ECDSA_P256:
        key = EVP_EC_gen("P-256");
        break;
    case ACME_KEY_ECDSA_P384:
        key = EVP_EC_gen("P-384");
        break;
    case ACME_KEY_RSA_2048:
        key = EVP_RSA_gen(2048);
        break;
    case ACME_KEY_RSA_4096:
        key = EVP_RSA_gen(4096);
        break;
    }
    if (key == NULL) {
        (void)sslerr_set(err, ERR_FAILED, "making the certificate's key"); /* NULL tells */
    }
    return key;
}

bool keygen_fits(const EVP_PKEY *key, enum acme_key_type type)
{
    static const struct {
        const char *algorithm;
        int bits;
    } kinds[] = {
        [ACME_KEY_ECDSA_P256] = {"EC", 256},
        [ACME_KEY_ECDSA_P384] = {"EC", 384},
        [ACME_KEY_RSA_2048] = {"RSA", 2048},
        [ACME_KEY_RSA_4096] = {"RSA", 4096},
    };
    return EVP_PKEY_is_a(key, kinds[type].algorithm) && EVP_PKEY_get_bits(key) == kinds[type].bits;
}

static void keygen_on_loop_free(void *arg);

static void keygen_destroy(struct keygen *k)
{
    (void)pthread_join(k->thread, NULL);
    loop_at_free_cancel(k->loop, keygen_on_loop_free, k);
    mail_free(k->box);
    EVP_PKEY_free(k->key);
    k->magic = 0;
    free(k);
}

/* In the loop: the thread has nothing left to do. */
static void keygen_on_key(void *arg)
{
    struct keygen *k = arg;
    CHECK(k->magic == KEYGEN_MAGIC);
    if (k->closing) {
        return;
    }
    if (k->done != NULL) {
        EVP_PKEY *key = k->key;
        k->key = NULL;
        k->done(k->arg, key, &k->err);
    }
    keygen_destroy(k);
}

static void *keygen_run(void *arg)
{
    struct keygen *k = arg;
    k->key = keygen_now(k->type, &k->err);
    mail_post(k->box, &k->letter, keygen_on_key, k);
    return NULL;
}

/* The loop goes first: wait for the thread, its letter is run by mail_free. */
static void keygen_on_loop_free(void *arg)
{
    struct keygen *k = arg;
    CHECK(k->magic == KEYGEN_MAGIC);
    k->closing = true;
    (void)pthread_join(k->thread, NULL);
    mail_free(k->box);
    EVP_PKEY_free(k->key);
    free(k);
}

struct keygen *keygen_start(struct loop *loop, enum acme_key_type type, keygen_done_fn *done,
                            void *arg, struct err *err)
{
    struct mailbox *box = mail_new(loop, err);
    if (box == NULL) {
        return NULL;
    }
    struct keygen *k = xcalloc(1, sizeof *k);
    *k = (struct keygen){
        .magic = KEYGEN_MAGIC, .loop = loop, .box = box, .type = type, .done = done, .arg = arg};
    int why = pthread_create(&k->thread, NULL, keygen_run, k);
    if (why != 0) {
        (void)err_set(err, ERR_SYSTEM, "cannot start a thread for the certificate's key: %s",
                      strerror(why));
        mail_free(box);
        free(k);
        return NULL;
    }
    loop_at_free(loop, keygen_on_loop_free, k);
    return k;
}

void keygen_cancel(struct keygen *k)
{
    if (k != NULL) {
        CHECK(k->magic == KEYGEN_MAGIC);
        k->done = NULL;
    }
}
