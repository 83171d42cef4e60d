/* What is served when the configured files are bad: the kept pair until it expires, then a
 * certificate of the local CA. */
#include "daemon/certkeeper.h"

#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "daemon/lastgood.h"
#include "tests/unit/certs/pairs.h"

struct fixture {
    char home[64];
    char *dir; /* owned: the certs directory */
    struct loop *loop;
    struct config *config;
    struct publisher *publisher;
};

static void on_snapshot(void *arg, uint64_t generation, struct str bytes)
{
    (void)arg;
    (void)generation;
    (void)bytes;
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    memcpy(f->home, "/tmp/wos-keeper-XXXXXX", sizeof("/tmp/wos-keeper-XXXXXX"));
    assert_non_null(mkdtemp(f->home));
    f->dir = path_join(f->home, "certs");
    assert_int_equal(dir_make(f->dir, 0700, NULL), 0);
    f->loop = loop_new(NULL);
    f->config = config_parse(
        f->home, STR("{\"tunnel\": {\"enabled\": true, \"domain\": \"d.test\", \"ssl\": "
                     "{\"enabled\": true, \"cert\": \"none.crt\", \"key\": \"none.key\"}}}"));
    assert_int_equal(f->config->problem_count, 0);
    f->publisher = publisher_new(f->loop, f->config, on_snapshot, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    publisher_free(f->publisher);
    config_free(f->config);
    loop_free(f->loop);
    assert_int_equal(path_remove_all(f->home, NULL), 0);
    free(f->dir);
    free(f);
    return 0;
}

/* A pair of this subject and this name that is valid for so many seconds from now. */
static struct pair pair_of(const char *subject, const char *dns, int64_t seconds)
{
    int64_t now = clock_wall_ms() / 1000;
    struct issue_request request = {.common_name = subject,
                                    .not_before = now - DAY,
                                    .not_after = now + seconds,
                                    .dns_names = &dns,
                                    .dns_count = 1};
    struct pair pair = {.chain = {0}};
    EVP_PKEY *key = issue_key(NULL);
    X509 *cert = issue_leaf(&request, key, NULL, NULL, NULL);
    assert_non_null(cert);
    assert_int_equal(issue_cert_pem(cert, &pair.chain, NULL), 0);
    assert_int_equal(issue_key_pem(key, &pair.key, NULL), 0);
    X509_free(cert);
    EVP_PKEY_free(key);
    return pair;
}

/* Keeps a pair for the domain. */
static void keep(const struct fixture *f, const char *subject, int64_t seconds)
{
    struct pair pair = pair_of(subject, "*.d.test", seconds);
    assert_int_equal(
        lastgood_save(f->dir, "tunnel", buf_str(&pair.chain), buf_str(&pair.key), NULL), 0);
    pair_fini(&pair);
}

/* A pair as the configured files. */
static void put_files(const struct fixture *f, const char *subject, const char *dns)
{
    struct pair pair = pair_of(subject, dns, DAY);
    autofree char *crt = path_join(f->home, "none.crt");
    autofree char *key = path_join(f->home, "none.key");
    assert_int_equal(file_write_atomic(crt, buf_str(&pair.chain), 0600, NULL), 0);
    assert_int_equal(file_write_atomic(key, buf_str(&pair.key), 0600, NULL), 0);
    pair_fini(&pair);
}

static struct certkeeper *keeper_new(const struct fixture *f)
{
    const struct certkeeper_spec spec = {
        .loop = f->loop, .config = f->config, .publisher = f->publisher};
    return certkeeper_new(&spec);
}

/* True when what is served has this state and a subject that holds the text. */
static bool serves(const struct certkeeper *k, const char *state, const char *subject)
{
    autojson cJSON *out = certkeeper_json(k, "tunnel");
    assert_true(json_get_bool(out, "active", false));
    assert_non_null(json_get(out, "lastError"));
    return strcmp(json_get_str(out, "state", ""), state) == 0 &&
           strstr(json_get_str(out, "subject", ""), subject) != NULL;
}

static void test_nothing_kept(void **state)
{
    struct fixture *f = *state;
    struct certkeeper *k = keeper_new(f);
    assert_true(serves(k, "failed", "d.test"));
    certkeeper_free(k);
}

static void test_kept_pair_serves(void **state)
{
    struct fixture *f = *state;
    keep(f, "kept", DAY);
    struct certkeeper *k = keeper_new(f);
    assert_true(serves(k, "stale", "kept"));
    certkeeper_free(k);
}

static void test_kept_pair_expires(void **state)
{
    struct fixture *f = *state;
    keep(f, "kept", 2);
    struct certkeeper *k = keeper_new(f);
    while (serves(k, "stale", "kept")) {
        loop_turn(f->loop, true);
    }
    assert_true(serves(k, "failed", "d.test"));
    certkeeper_free(k);
}

/* Files of another domain are served where there is nothing better, and never kept. */
static void test_files_of_another_domain(void **state)
{
    struct fixture *f = *state;
    autofree char *path = path_join(f->dir, "files-last-good.pem");
    put_files(f, "stray", "other.test");
    struct certkeeper *k = keeper_new(f);
    autojson cJSON *out = certkeeper_json(k, "tunnel");
    assert_string_equal(json_get_str(out, "state", ""), "active");
    assert_non_null(strstr(json_get_str(out, "subject", ""), "stray"));
    assert_int_not_equal(access(path, F_OK), 0);
    certkeeper_free(k);
    keep(f, "kept", DAY);
    k = keeper_new(f);
    assert_true(serves(k, "stale", "kept"));
    certkeeper_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_pair_serves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_pair_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_of_another_domain, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
