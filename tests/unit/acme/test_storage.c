/* The live bundle: installed all or nothing, put right after every interruption; modes; the
 * lock; state and the order under way over restarts. */
#include "tests/unit/certs/pairs.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acme/lockfile.h"
#include "acme/pending.h"
#include "acme/acme_state.h"
#include "acme/storage.h"
#include "base/auto.h"
#include "base/file.h"

static const char *const names[] = {"wos.example", "*.wos.example"};
static char dir[] = "/tmp/wos-storage-XXXXXX";

static void never(void *arg, const char *path, unsigned mode)
{
    (void)arg;
    fail_msg("%s had mode %04o", path, mode);
}

static int setup(void **state)
{
    (void)state;
    memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    return storage_prepare(dir, never, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    return path_remove_all(dir, NULL);
}

static struct bundle bundle_of(const char *directory)
{
    struct bundle bundle = {.directory = xstrdup(directory), .issued_at = NOW};
    struct pair pair = pair_make(names, 2);
    bundle.chain_pem = pair.chain;
    bundle.key_pem = pair.key;
    bundle.cert = cert_parse(buf_str(&bundle.chain_pem), NULL);
    assert_non_null(bundle.cert);
    return bundle;
}

static void install(struct bundle *bundle)
{
    struct err err;
    if (storage_install(dir, "tunnel", bundle, names, 2, &err) < 0) {
        fail_msg("%s", err.msg);
    }
}

static void assert_live(const struct bundle *wanted)
{
    struct bundle got = {.cert = NULL};
    assert_int_equal(storage_load(dir, "tunnel", &got, NULL), 1);
    assert_memory_equal(got.cert->fingerprint, wanted->cert->fingerprint, 32);
    assert_string_equal(got.directory, wanted->directory);
    assert_int_equal(got.issued_at, wanted->issued_at);
    assert_true(bundle_covers(&got, names, 2));
    bundle_fini(&got);
}

static char *in(const char *relative)
{
    return path_join(dir, relative);
}

static void move(const char *from, const char *to)
{
    autofree char *a = in(from);
    autofree char *b = in(to);
    assert_int_equal(rename(a, b), 0);
}

static bool is_there(const char *relative)
{
    autofree char *path = in(relative);
    return file_exists(path);
}

static void test_install_replaces(void **state)
{
    (void)state;
    struct bundle none = {.cert = NULL};
    assert_int_equal(storage_load(dir, "tunnel", &none, NULL), 0);
    struct bundle first = bundle_of("staging");
    struct bundle second = bundle_of("production");
    install(&first);
    assert_live(&first);
    install(&second);
    assert_live(&second);
    struct stat st;
    static const char *const files[] = {"cert.pem", "key.pem", "fullchain.pem", "meta.json"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        autofree char *path = xasprintf("%s/live/tunnel/%s", dir, files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
    }
    autofree char *live = in("live/tunnel");
    assert_int_equal(stat(live, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    /* A missing file: no stored certificate. A damaged one: an error. */
    autofree char *meta = in("live/tunnel/meta.json");
    autofree char *key = in("live/tunnel/key.pem");
    assert_int_equal(file_write_atomic(key, buf_str(&first.key_pem), 0600, NULL), 0);
    struct err err;
    assert_int_equal(storage_load(dir, "tunnel", &none, &err), -1);
    assert_non_null(strstr(err.msg, "does not belong"));
    assert_int_equal(unlink(meta), 0);
    assert_int_equal(storage_load(dir, "tunnel", &none, NULL), 0);
    bundle_fini(&first);
    bundle_fini(&second);
}

static void test_recovery(void **state)
{
    (void)state;
    struct bundle old = bundle_of("old");
    struct bundle new = bundle_of("new");
    /* Killed while the new one was written: the old one stays. */
    install(&old);
    autofree char *staging = in("live/tunnel.staging-0011223344556677");
    assert_int_equal(dir_make(staging, 0700, NULL), 0);
    assert_int_equal(storage_recover(dir, "tunnel", NULL), 0);
    assert_live(&old);
    assert_false(is_there("live/tunnel.staging-0011223344556677"));
    /* Between the two renames: the new one, which is complete. */
    move("live/tunnel", "live/tunnel.prev-0011223344556677");
    install(&new);
    move("live/tunnel", "live/tunnel.staging-0011223344556677");
    assert_int_equal(storage_recover(dir, "tunnel", NULL), 0);
    assert_live(&new);
    assert_false(is_there("live/tunnel.prev-0011223344556677"));
    /* The same, but the new one is not usable: the old one comes back. */
    move("live/tunnel", "live/tunnel.prev-0011223344556677");
    assert_int_equal(dir_make(staging, 0700, NULL), 0);
    assert_int_equal(storage_recover(dir, "tunnel", NULL), 0);
    assert_live(&new);
    assert_false(is_there("live/tunnel.staging-0011223344556677"));
    /* After the exchange: the old one lies in staging, or in prev. */
    move("live/tunnel", "live/tunnel.staging-8811223344556677");
    install(&old);
    assert_int_equal(storage_recover(dir, "tunnel", NULL), 0);
    assert_live(&old);
    assert_false(is_there("live/tunnel.staging-8811223344556677"));
    bundle_fini(&old);
    bundle_fini(&new);
}

static void count_repairs(void *arg, const char *path, unsigned mode)
{
    assert_non_null(strstr(path, "key.pem"));
    assert_int_equal(mode, 0644);
    (*(int *)arg)++;
}

static void test_modes(void **state)
{
    (void)state;
    struct bundle bundle = bundle_of("staging");
    install(&bundle);
    autofree char *key = in("live/tunnel/key.pem");
    autofree char *link = in("live/link");
    assert_int_equal(chmod(key, 0644), 0);
    assert_int_equal(symlink("/etc/passwd", link), 0);
    int repairs = 0;
    assert_int_equal(storage_prepare(dir, count_repairs, &repairs, NULL), 0);
    assert_int_equal(repairs, 1);
    struct stat st;
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat("/etc/passwd", &st), 0);
    assert_int_not_equal(st.st_mode & 0777, 0600);
    bundle_fini(&bundle);
}

static void refused(const struct bundle *b, struct str key, const char *const *wanted, int64_t now,
                    const char *says)
{
    struct err err;
    struct cert *cert = storage_check(buf_str(&b->chain_pem), key, wanted, 1, now, &err);
    assert_null(cert);
    if (strstr(err.msg, says) == NULL) {
        fail_msg("expected \"%s\", got: %s", says, err.msg);
    }
}

static void test_check(void **state)
{
    (void)state;
    struct bundle bundle = bundle_of("staging");
    struct bundle other = bundle_of("staging");
    struct str key = buf_str(&bundle.key_pem);
    static const char *const foreign[] = {"other.example"};
    refused(&bundle, buf_str(&other.key_pem), names, NOW, "does not belong");
    refused(&bundle, key, foreign, NOW, "does not cover other.example");
    refused(&bundle, key, names, NOW + 91 * DAY, "expired");
    refused(&bundle, key, names, NOW - DAY - 3601, "not valid before");
    struct cert *cert =
        storage_check(buf_str(&bundle.chain_pem), key, names, 2, NOW - DAY - 3599, NULL);
    assert_non_null(cert); /* the CA's clock is ahead */
    cert_free(cert);
    buf_add_str(&bundle.chain_pem, buf_str(&other.chain_pem));
    refused(&bundle, key, names, NOW, "not signed by the one after it");
    bundle_fini(&bundle);
    bundle_fini(&other);
}

/* With one descriptor left, for the lock itself, nobody can tell whether its owner lives. */
static void assert_lock_is_kept_without_descriptors(const char *path)
{
    struct err err;
    struct rlimit before;
    int next = dup(STDIN_FILENO);
    assert_true(next >= 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit now = {(rlim_t)next + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    struct lockfile *lock = lockfile_acquire(path, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(lock);
    assert_int_equal(err.code, ERR_BUSY);
}

static void test_lock(void **state)
{
    (void)state;
    autofree char *path = in("locks/tunnel.lock");
    struct err err;
    struct lockfile *lock = lockfile_acquire(path, &err);
    assert_non_null(lock);
    assert_null(lockfile_acquire(path, &err));
    assert_int_equal(err.code, ERR_BUSY);
    lockfile_release(lock);
    assert_false(file_exists(path));
    /* A process that knows only the file, and lives. */
    autofree char *text = xasprintf("{\"pid\":%d,\"token\":\"x\"}", (int)getppid());
    assert_int_equal(file_write_atomic(path, str_of(text), 0600, NULL), 0);
    assert_null(lockfile_acquire(path, &err));
    assert_int_equal(err.code, ERR_BUSY);
    assert_lock_is_kept_without_descriptors(path);
    /* … but wrote it long ago. */
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    lock = lockfile_acquire(path, &err);
    assert_non_null(lock);
    lockfile_release(lock);
    /* One that died; and a file that says nothing. */
    pid_t child = fork();
    if (child == 0) {
        _exit(lockfile_acquire(path, NULL) == NULL ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(file_exists(path));
    lock = lockfile_acquire(path, &err);
    assert_non_null(lock);
    lockfile_release(lock);
    assert_int_equal(file_write_atomic(path, STR("garbage"), 0600, NULL), 0);
    lock = lockfile_acquire(path, &err);
    assert_non_null(lock);
    lockfile_release(lock);
}

static void test_state(void **state)
{
    (void)state;
    autofree char *path = in("state/tunnel.json");
    struct acme_state out = {.last_attempt_at = 100,
                             .not_until = 300,
                             .ca_until = 250,
                             .failures = 3,
                             .last_error_at = 99,
                             .config = "0123456789abcdef"};
    failure_set(&out.last_error, "validation", "it says \"no\"");
    (void)snprintf(out.last_error.type, sizeof out.last_error.type, "dns");
    out.ari = (struct ari){.cert_id = "a.b",
                           .start = 1000,
                           .end = 2000,
                           .selected_at = 1500,
                           .ask_at = 700,
                           .explanation = "https://x/"};
    assert_int_equal(acme_state_save(&out, path, NULL), 0);
    struct acme_state back;
    acme_state_load(&back, path);
    assert_int_equal(back.last_attempt_at, 100);
    assert_int_equal(back.last_success_at, 0);
    assert_int_equal(back.not_until, 300);
    assert_int_equal(back.ca_until, 250);
    assert_int_equal(back.failures, 3);
    assert_string_equal(back.last_phase, "validation");
    assert_string_equal(back.last_error.message, "it says \"no\"");
    assert_string_equal(back.last_error.type, "dns");
    assert_string_equal(back.config, "0123456789abcdef");
    assert_int_equal(back.ari.selected_at, 1500);
    assert_string_equal(back.ari.cert_id, "a.b");
    static const char *const bad[] = {"", "[", "[]", "{\"failures\":-4,\"renewalInfo\":7}",
                                      "{\"renewalInfo\":{\"certId\":\"x\",\"start\":\"?\"}}"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(file_write_atomic(path, str_of(bad[i]), 0600, NULL), 0);
        acme_state_load(&back, path);
        assert_int_equal(back.failures, 0);
        assert_int_equal(back.ari.start, 0);
        assert_false(failure_is_set(&back.last_error));
    }
}

static void test_pending(void **state)
{
    (void)state;
    autofree char *path = in("orders/tunnel.json");
    struct pending none;
    assert_false(pending_load(path, NOW, &none));
    struct pending out = {.directory = xstrdup("staging"),
                          .account_url = xstrdup("https://a/1"),
                          .order_url = xstrdup("https://a/o"),
                          .names = pending_names(names, 2),
                          .key = EVP_EC_gen("P-256"),
                          .created_at = NOW};
    assert_string_equal(out.names, "wos.example,*.wos.example");
    assert_int_equal(pending_save(path, &out, NULL), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct pending back;
    assert_true(pending_load(path, NOW + 100, &back));
    assert_string_equal(back.order_url, "https://a/o");
    assert_int_equal(EVP_PKEY_eq(back.key, out.key), 1);
    pending_fini(&back);
    assert_false(pending_load(path, NOW + 8 * DAY, &none));
    assert_false(pending_load(path, NOW - 1, &none));
    pending_remove(path);
    assert_false(pending_load(path, NOW, &none));
    pending_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_install_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recovery, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
