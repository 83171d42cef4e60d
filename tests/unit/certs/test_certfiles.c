/* A pair in two files: loading, refusing with the file's name, noticing changes. */
#include "certs/certfiles.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/certs/pairs.h"

struct fixture {
    char root[64];
    char *cert_path; /* owned */
    char *key_path;  /* owned */
    struct certfiles files;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    memcpy(f->root, "/tmp/wos-certfiles-XXXXXX", sizeof("/tmp/wos-certfiles-XXXXXX"));
    assert_non_null(mkdtemp(f->root));
    f->cert_path = path_join(f->root, "tls.crt");
    f->key_path = path_join(f->root, "tls.key");
    certfiles_init(&f->files, f->cert_path, f->key_path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    certfiles_fini(&f->files);
    assert_int_equal(path_remove_all(f->root, NULL), 0);
    free(f->cert_path);
    free(f->key_path);
    free(f);
    return 0;
}

static void store(struct fixture *f, const struct pair *pair)
{
    assert_int_equal(file_write_atomic(f->cert_path, buf_str(&pair->chain), 0644, NULL), 0);
    assert_int_equal(file_write_atomic(f->key_path, buf_str(&pair->key), 0600, NULL), 0);
}

static void loads(struct fixture *f, const struct pair *pair)
{
    struct buf chain = {0};
    struct buf key = {0};
    struct err err;
    struct cert *cert = certfiles_load(&f->files, NOW, &chain, &key, &err);
    if (cert == NULL) {
        fail_msg("%s", err.msg);
    }
    assert_true(str_eq(buf_str(&chain), buf_str(&pair->chain)));
    assert_true(str_eq(buf_str(&key), buf_str(&pair->key)));
    assert_false(certfiles_changed(&f->files));
    cert_free(cert);
    buf_fini(&chain);
    issue_buf_wipe(&key);
}

static void refuses(struct fixture *f, int64_t now, const char *path, const char *says)
{
    struct buf chain = {0};
    struct buf key = {0};
    struct err err;
    if (certfiles_load(&f->files, now, &chain, &key, &err) != NULL) {
        fail_msg("accepted, expected: %s", says);
    }
    if (!str_starts(str_of(err.msg), str_of(path)) || strstr(err.msg, says) == NULL) {
        fail_msg("expected \"%s: %s\", got: %s", path, says, err.msg);
    }
    assert_int_equal(chain.len + key.len, 0);
    assert_false(certfiles_changed(&f->files)); /* not told again until something changes */
}

static void test_load(void **state)
{
    struct fixture *f = *state;
    struct pair pair = pair_for("one.example");
    store(f, &pair);
    assert_true(certfiles_changed(&f->files));
    loads(f, &pair);
    loads(f, &pair);
    pair_fini(&pair);
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    struct pair one = pair_for("one.example");
    struct pair two = pair_for("two.example");
    refuses(f, NOW, f->cert_path, "No such file");
    store(f, &one);
    assert_int_equal(unlink(f->key_path), 0);
    refuses(f, NOW, f->key_path, "No such file");
    assert_int_equal(file_write_atomic(f->key_path, buf_str(&two.key), 0600, NULL), 0);
    refuses(f, NOW, f->key_path, "does not belong to the certificate");
    assert_int_equal(file_write_atomic(f->key_path, STR("nonsense"), 0600, NULL), 0);
    refuses(f, NOW, f->key_path, "no usable private key");
    store(f, &one);
    refuses(f, NOW + 100 * DAY, f->cert_path, "expired on");
    refuses(f, NOW - 100 * DAY, f->cert_path, "not valid before");
    assert_int_equal(file_write_atomic(f->cert_path, STR(""), 0600, NULL), 0);
    refuses(f, NOW, f->cert_path, "no certificate");
    store(f, &one);
    assert_true(certfiles_changed(&f->files));
    loads(f, &one);
    pair_fini(&one);
    pair_fini(&two);
}

static void test_changes(void **state)
{
    struct fixture *f = *state;
    struct pair one = pair_for("one.example");
    struct pair two = pair_for("two.example");
    store(f, &one);
    loads(f, &one);
    store(f, &two);
    assert_true(certfiles_changed(&f->files));
    loads(f, &two);
    assert_int_equal(unlink(f->cert_path), 0);
    assert_true(certfiles_changed(&f->files));
    store(f, &two);
    loads(f, &two);
    /* the same bytes at another time: worth a look */
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000, .tv_nsec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, f->key_path, times, 0), 0);
    assert_true(certfiles_changed(&f->files));
    loads(f, &two);
    pair_fini(&one);
    pair_fini(&two);
}

/* As in certbot's live/: the link stays, what it leads to is another file. */
static void test_links(void **state)
{
    struct fixture *f = *state;
    struct pair one = pair_for("one.example");
    struct pair two = pair_for("two.example");
    autofree char *link_path = path_join(f->root, "live");
    autofree char *dir_one = path_join(f->root, "one");
    autofree char *dir_two = path_join(f->root, "two");
    const struct pair *pairs[2] = {&one, &two};
    const char *dirs[2] = {dir_one, dir_two};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(mkdir(dirs[i], 0700), 0);
        autofree char *cert_path = path_join(dirs[i], "tls.crt");
        autofree char *key_path = path_join(dirs[i], "tls.key");
        assert_int_equal(file_write_atomic(cert_path, buf_str(&pairs[i]->chain), 0600, NULL), 0);
        assert_int_equal(file_write_atomic(key_path, buf_str(&pairs[i]->key), 0600, NULL), 0);
    }
    certfiles_fini(&f->files);
    autofree char *cert_path = path_join(link_path, "tls.crt");
    autofree char *key_path = path_join(link_path, "tls.key");
    certfiles_init(&f->files, cert_path, key_path);
    assert_int_equal(symlink(dir_one, link_path), 0);
    loads(f, &one);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(symlink(dir_two, link_path), 0);
    assert_true(certfiles_changed(&f->files));
    loads(f, &two);
    pair_fini(&one);
    pair_fini(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_load, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
