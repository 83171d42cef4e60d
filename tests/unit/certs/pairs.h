/* Certificates made in memory, for the tests of this layer. */
#ifndef WOS_TESTS_UNIT_CERTS_PAIRS_H
#define WOS_TESTS_UNIT_CERTS_PAIRS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "certs/cert.h"
#include "certs/issue.h"

#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)

struct pair {
    struct buf chain;
    struct buf key;
};

/* A self-signed pair for the names and the key, valid from NOW - 1 day to NOW + 90 days. Takes the
 * key. */
static inline struct pair pair_with_key(const char *const *names, size_t count, EVP_PKEY *key)
{
    struct issue_request request = {.common_name = names[0],
                                    .not_before = NOW - DAY,
                                    .not_after = NOW + 90 * DAY,
                                    .dns_names = names,
                                    .dns_count = count,
                                    .ip_names = issue_local_ips,
                                    .ip_count = 2};
    struct pair pair = {.chain = {0}};
    assert_non_null(key);
    X509 *cert = issue_leaf(&request, key, NULL, NULL, NULL);
    assert_non_null(cert);
    assert_int_equal(issue_cert_pem(cert, &pair.chain, NULL), 0);
    assert_int_equal(issue_key_pem(key, &pair.key, NULL), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
    return pair;
}

static inline struct pair pair_make(const char *const *names, size_t count)
{
    return pair_with_key(names, count, issue_key(NULL));
}

static inline struct pair pair_for(const char *name)
{
    return pair_make(&name, 1);
}

static inline void pair_fini(struct pair *pair)
{
    buf_fini(&pair->chain);
    issue_buf_wipe(&pair->key);
}

#endif
