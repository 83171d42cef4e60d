/* Whole handshakes in memory: certificate by SNI, ALPN, versions, groups,
 * malformed SNI, and resumption by ticket in TLS 1.2 and 1.3.
 */
#include "certs/tlsctx.h"

#include <openssl/err.h>
#include <pthread.h>

#include "certs/certset.h"
#include "tests/unit/certs/pairs.h"

struct fixture {
    struct tlsctx *tls;
    struct certset *set; /* what find_cert looks in */
    SSL_CTX *client;
    SSL_SESSION *session; /* the last ticket a client got */
};

/* The find function has no argument of its own: the gateway keeps its view in
 * the SSL's app data, and so do the tests. */
static SSL_CTX *find_cert(SSL *ssl, struct str sni)
{
    struct fixture *f = SSL_get_app_data(ssl);
    if (str_eq(sni, STR("nobody.example"))) {
        return NULL;
    }
    return certset_find(f->set, sni);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct fixture *f = SSL_get_app_data(ssl);
    SSL_SESSION_free(f->session);
    f->session = session;
    return 1; /* the reference is ours now */
}

static int setup(void **state)
{
    static const char *const wild[] = {"*.wos.localhost", "wos.localhost"};
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct pair one = pair_for("default.example");
    struct pair two = pair_make(wild, 2);
    struct certset_pair pairs[2] = {{buf_str(&one.chain), buf_str(&one.key)},
                                    {buf_str(&two.chain), buf_str(&two.key)}};
    f->set = certset_new(pairs, 2, NULL, NULL);
    f->tls = tlsctx_new(find_cert, NULL);
    f->client = SSL_CTX_new(TLS_client_method());
    assert_true(f->set != NULL && f->tls != NULL && f->client != NULL);
    SSL_CTX_set_session_cache_mode(f->client,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(f->client, on_session);
    pair_fini(&one);
    pair_fini(&two);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    SSL_SESSION_free(f->session);
    SSL_CTX_free(f->client);
    tlsctx_free(f->tls);
    tlsctx_free(NULL);
    certset_unref(f->set);
    free(f);
    return 0;
}

struct ends {
    SSL *client;
    SSL *server;
};

static struct ends ends_make(struct fixture *f, const char *sni)
{
    struct ends e = {SSL_new(f->client), SSL_new(tlsctx_server(f->tls))};
    BIO *a;
    BIO *b;
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(e.client, a, a);
    SSL_set_bio(e.server, b, b);
    assert_int_equal(SSL_set_app_data(e.client, f), 1);
    assert_int_equal(SSL_set_app_data(e.server, f), 1);
    SSL_set_connect_state(e.client);
    SSL_set_accept_state(e.server);
    if (sni != NULL) {
        assert_int_equal(SSL_set_tlsext_host_name(e.client, sni), 1);
    }
    return e;
}

/* Both sides step until done, or neither moves; then the client reads, for the ticket. */
static bool handshake(struct ends *e)
{
    for (int turn = 0; turn < 10; turn++) {
        (void)SSL_do_handshake(e->client); /* its state tells */
        (void)SSL_do_handshake(e->server);
    }
    char byte;
    bool done = SSL_is_init_finished(e->client) && SSL_is_init_finished(e->server);
    if (done) {
        assert_int_equal(SSL_write(e->server, "x", 1), 1);
        assert_int_equal(SSL_read(e->client, &byte, 1), 1);
    }
    ERR_clear_error();
    return done;
}

static void ends_free(struct ends *e)
{
    SSL_shutdown(e->client); /* else OpenSSL calls the session bad */
    SSL_shutdown(e->server);
    SSL_free(e->client);
    SSL_free(e->server);
    ERR_clear_error();
}

static void serves(struct fixture *f, const char *sni, const char *subject)
{
    struct ends e = ends_make(f, sni);
    assert_true(handshake(&e));
    X509 *leaf = SSL_get1_peer_certificate(e.client);
    char text[256];
    assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, text,
                                          sizeof(text)) > 0);
    assert_string_equal(text, subject);
    X509_free(leaf);
    ends_free(&e);
}

static void test_sni(void **state)
{
    struct fixture *f = *state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX_set_max_proto_version(f->client, version);
        serves(f, "a-web.wos.localhost", "*.wos.localhost");
        serves(f, "A-Web.Wos.Localhost", "*.wos.localhost");
        serves(f, "wos.localhost", "*.wos.localhost");
        serves(f, "other.example", "default.example");
        serves(f, NULL, "default.example");
    }
    struct ends e = ends_make(f, "nobody.example");
    assert_false(handshake(&e));
    ends_free(&e);
}

/* NULL: the handshake fails; "": it succeeds without a protocol. */
static void negotiates(struct fixture *f, struct str offer, const char *expected)
{
    struct ends e = ends_make(f, "a.wos.localhost");
    if (offer.len > 0) {
        assert_int_equal(
            SSL_set_alpn_protos(e.client, (const unsigned char *)offer.ptr, (unsigned)offer.len),
            0);
    }
    assert_int_equal(handshake(&e), expected != NULL);
    if (expected != NULL) {
        const unsigned char *got;
        unsigned len;
        SSL_get0_alpn_selected(e.server, &got, &len);
        assert_true(str_eq((struct str){(const char *)got, len}, str_of(expected)));
    }
    ends_free(&e);
}

static void test_alpn(void **state)
{
    struct fixture *f = *state;
    negotiates(f, STR("\x02h2\x08http/1.1"), "h2");
    negotiates(f, STR("\x08http/1.1\x02h2"), "h2");
    negotiates(f, STR("\x02h3\x08http/1.1"), "http/1.1");
    negotiates(f, STR("\x02h2"), "h2");
    negotiates(f, STR_NONE, "");
    negotiates(f, STR("\x02h3"), NULL);
    negotiates(f, STR("\x03h2c\x08http/1.0"), NULL);
}

static bool connects(struct fixture *f, int version, const char *suites, const char *groups)
{
    struct ends e = ends_make(f, "a.wos.localhost");
    SSL_set_security_level(e.client, 0);
    assert_int_equal(SSL_set_min_proto_version(e.client, version), 1);
    assert_int_equal(SSL_set_max_proto_version(e.client, version), 1);
    if (suites != NULL) {
        assert_int_equal(SSL_set_cipher_list(e.client, suites), 1);
    }
    if (groups != NULL) {
        assert_int_equal(SSL_set1_groups_list(e.client, groups), 1);
    }
    bool done = handshake(&e);
    ends_free(&e);
    return done;
}

static void test_policy(void **state)
{
    struct fixture *f = *state;
    assert_true(connects(f, TLS1_3_VERSION, NULL, NULL));
    assert_true(connects(f, TLS1_2_VERSION, NULL, NULL));
    assert_false(connects(f, TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL));
    assert_false(connects(f, TLS1_VERSION, "ALL:@SECLEVEL=0", NULL));
    assert_true(connects(f, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", NULL));
    assert_true(connects(f, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", NULL));
    assert_false(connects(f, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", NULL));
    assert_false(connects(f, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", NULL));
    assert_false(connects(f, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", NULL));
    assert_true(connects(f, TLS1_3_VERSION, NULL, "P-256"));
    assert_true(connects(f, TLS1_3_VERSION, NULL, "P-384"));
    assert_true(connects(f, TLS1_3_VERSION, NULL, "X448:X25519")); /* a HelloRetryRequest */
    assert_false(connects(f, TLS1_3_VERSION, NULL, "X448"));
    SSL_CTX *server = tlsctx_server(f->tls);
    assert_int_equal(SSL_CTX_get_num_tickets(server), 1);
    assert_int_equal(SSL_CTX_get_session_cache_mode(server), SSL_SESS_CACHE_OFF);
    assert_true((SSL_CTX_get_mode(server) & SSL_MODE_RELEASE_BUFFERS) != 0);
    assert_true((SSL_CTX_get_options(server) & SSL_OP_NO_RENEGOTIATION) != 0);
    assert_true((SSL_CTX_get_options(server) & SSL_OP_NO_COMPRESSION) != 0);
    assert_true((SSL_CTX_get_options(server) & SSL_OP_IGNORE_UNEXPECTED_EOF) == 0);
}

/* tunnel.tls.minVersion, for the next handshake and not for those that were. */
static void test_min_version(void **state)
{
    struct fixture *f = *state;
    tlsctx_set_min_version(f->tls, TLS1_3_VERSION);
    assert_false(connects(f, TLS1_2_VERSION, NULL, NULL));
    assert_true(connects(f, TLS1_3_VERSION, NULL, NULL));
    tlsctx_set_min_version(f->tls, TLS1_2_VERSION);
    assert_true(connects(f, TLS1_2_VERSION, NULL, NULL));
}

/* A ClientHello by hand, with the given server_name extension data; the alert's
 * description that comes back, or -1. */
static int hello_alert(struct fixture *f, struct str sni_ext)
{
    struct buf ext = {0};
    buf_add(&ext, "\x00\x00", 2); /* server_name */
    buf_add_char(&ext, (char)(sni_ext.len >> 8));
    buf_add_char(&ext, (char)sni_ext.len);
    buf_add_str(&ext, sni_ext);
    /* supported_groups: secp256r1; signature_algorithms: ecdsa_secp256r1_sha256 */
    buf_add(&ext, "\x00\x0a\x00\x04\x00\x02\x00\x17", 8);
    buf_add(&ext, "\x00\x0d\x00\x04\x00\x02\x04\x03", 8);
    struct buf body = {0};
    buf_add(&body, "\x03\x03", 2);
    buf_add(&body, "0123456789abcdef0123456789abcdef", 32);
    buf_add(&body, "\x00\x00\x02\xc0\x2b\x01\x00", 7); /* no id, one suite, no compression */
    buf_add_char(&body, (char)(ext.len >> 8));
    buf_add_char(&body, (char)ext.len);
    buf_add_str(&body, buf_str(&ext));
    struct buf record = {0};
    buf_add(&record, "\x16\x03\x01", 3);
    buf_add_char(&record, (char)((body.len + 4) >> 8));
    buf_add_char(&record, (char)(body.len + 4));
    buf_add(&record, "\x01\x00", 2);
    buf_add_char(&record, (char)(body.len >> 8));
    buf_add_char(&record, (char)body.len);
    buf_add_str(&record, buf_str(&body));

    SSL *server = SSL_new(tlsctx_server(f->tls));
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(BIO_write(in, record.ptr, (int)record.len), (int)record.len);
    SSL_set_bio(server, in, out);
    assert_int_equal(SSL_set_app_data(server, f), 1);
    SSL_set_accept_state(server);
    (void)SSL_do_handshake(server); /* what it answers tells */
    char *data;
    long len = BIO_get_mem_data(out, &data);
    int alert = len >= 7 && data[0] == 0x15 ? data[6] : -1;
    SSL_free(server);
    ERR_clear_error();
    buf_fini(&ext);
    buf_fini(&body);
    buf_fini(&record);
    return alert;
}

static void test_malformed_sni(void **state)
{
    struct fixture *f = *state;
    enum { DECODE_ERROR = 50, UNRECOGNIZED_NAME = 112 };
    assert_int_equal(hello_alert(f, STR("\x00\x04\x00\x00\x01"
                                        "a")),
                     -1);
    static const struct str bad[] = {
        {"", 0},
        {"\x00\x00", 2},
        {"\x00\x03\x00\x00\x00", 5}, /* an empty name */
        {"\x00\x04\x01\x00\x01"
         "a",
         6}, /* not a host_name */
        {"\x00\x05\x00\x00\x01"
         "a",
         6}, /* list longer than there is */
        {"\x00\x04\x00\x00\x02"
         "a",
         6}, /* name longer than there is */
        {"\x00\x04\x00\x00\x01"
         "ab",
         7}, /* one byte too many */
        {"\x00\x08\x00\x00\x01"
         "a\x00\x00\x01"
         "b",
         10}, /* two names */
        {"\x00\x06\x00\x00\x03"
         "a\0b",
         8}, /* a NUL */
        {"\x00\x06\x00\x00\x03"
         "a\xc3\xa4",
         8}, /* not ASCII */
        {"\x00\x06\x00\x00\x03"
         "a b",
         8}, /* a space */
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(hello_alert(f, bad[i]), DECODE_ERROR);
    }
    char huge[5 + 256] = {0x01, 0x03, 0x00, 0x01, 0x00};
    memset(huge + 5, 'a', 256);
    assert_int_equal(hello_alert(f, (struct str){huge, sizeof(huge)}), DECODE_ERROR);
    assert_int_equal(hello_alert(f, STR("\x00\x11\x00\x00\x0enobody.example")), UNRECOGNIZED_NAME);
}

/* Connects with the ticket of before, if any; true when it was resumed. */
static bool resumes(struct fixture *f, int version, const char *sni)
{
    SSL_SESSION *with = f->session;
    f->session = NULL;
    struct ends e = ends_make(f, sni);
    SSL_set_min_proto_version(e.client, version);
    SSL_set_max_proto_version(e.client, version);
    if (with != NULL) {
        assert_int_equal(SSL_set_session(e.client, with), 1);
    }
    SSL_SESSION_free(with);
    assert_true(handshake(&e));
    assert_int_equal(SSL_session_reused(e.client), SSL_session_reused(e.server));
    bool reused = SSL_session_reused(e.client);
    if (f->session == NULL) { /* TLS 1.2 keeps its ticket when it is still good */
        f->session = SSL_get1_session(e.client);
    }
    ends_free(&e);
    return reused;
}

/* Forgets the ticket of before and connects for a first one. */
static void take_ticket(struct fixture *f, int version)
{
    SSL_SESSION_free(f->session);
    f->session = NULL;
    assert_false(resumes(f, version, "a.wos.localhost"));
    assert_true(SSL_SESSION_has_ticket(f->session));
}

static void test_resumption(void **state)
{
    struct fixture *f = *state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        take_ticket(f, version);
        assert_true(resumes(f, version, "a.wos.localhost"));
        assert_true(resumes(f, version, "a.wos.localhost")); /* with what the second gave */
        assert_true(resumes(f, version, "b.wos.localhost")); /* same certificate */
    }
}

/* The id of a session is not random: nobody must meet it, with tickets or without. */
static void test_no_session_id(void **state)
{
    struct fixture *f = *state;
    for (int tickets = 0; tickets <= 1; tickets++) {
        struct ends e = ends_make(f, "a.wos.localhost");
        SSL_set_max_proto_version(e.client, TLS1_2_VERSION);
        SSL_set_options(e.client, tickets ? 0 : SSL_OP_NO_TICKET);
        assert_true(handshake(&e));
        SSL_SESSION *session = SSL_get1_session(e.client);
        unsigned len = 0;
        if (!tickets) { /* with one the client makes its own */
            (void)SSL_SESSION_get_id(session, &len);
            assert_int_equal(len, 0);
        }
        (void)SSL_SESSION_get_id(SSL_get_session(e.server), &len);
        assert_int_equal(len, 0);
        assert_int_equal(SSL_SESSION_has_ticket(session), tickets);
        SSL_SESSION_free(session);
        ends_free(&e);
    }
}

/* What was configured is sent: here a leaf alone, whatever else could be found. */
static void test_chain(void **state)
{
    struct fixture *f = *state;
    struct ends e = ends_make(f, "a.wos.localhost");
    assert_true(handshake(&e));
    assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(e.client)), 1);
    ends_free(&e);
}

/* tunnel.tls.sessionTickets: without them none is given, and none of before counts. */
static void test_no_tickets(void **state)
{
    struct fixture *f = *state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        take_ticket(f, version);
        tlsctx_set_tickets(f->tls, false);
        assert_false(resumes(f, version, "a.wos.localhost"));
        assert_false(SSL_SESSION_has_ticket(f->session));
        assert_false(resumes(f, version, "a.wos.localhost"));
        tlsctx_set_tickets(f->tls, true);
    }
}

static void test_no_resumption_under_another_certificate(void **state)
{
    struct fixture *f = *state;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION_free(f->session);
        f->session = NULL;
        assert_false(resumes(f, version, "a.wos.localhost"));
        assert_false(resumes(f, version, "default.example"));
        assert_true(resumes(f, version, "default.example"));
    }
}

static void test_ticket_keys(void **state)
{
    struct fixture *f = *state;
    uint8_t keys[2][TICKET_KEY_SIZE];
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_SESSION_free(f->session);
        f->session = NULL;
        memset(keys, 0x11, sizeof(keys));
        tlsctx_set_ticket_keys(f->tls, (const uint8_t(*)[TICKET_KEY_SIZE])keys, 1);
        assert_false(resumes(f, version, "a.wos.localhost"));
        /* a new key in front: the old ticket still resumes, and is replaced */
        memset(keys[0], 0x22, TICKET_KEY_SIZE);
        tlsctx_set_ticket_keys(f->tls, (const uint8_t(*)[TICKET_KEY_SIZE])keys, 2);
        assert_true(resumes(f, version, "a.wos.localhost"));
        /* the old key gone: the replacement is good without it */
        tlsctx_set_ticket_keys(f->tls, (const uint8_t(*)[TICKET_KEY_SIZE])keys, 1);
        assert_true(resumes(f, version, "a.wos.localhost"));
        /* all gone: a full handshake, no failure */
        tlsctx_set_ticket_keys(f->tls, NULL, 0);
        assert_false(resumes(f, version, "a.wos.localhost"));
    }
}

/* Another process, another base context, the same keys: tickets carry over. */
static void test_tickets_across_processes(void **state)
{
    struct fixture *f = *state;
    uint8_t keys[1][TICKET_KEY_SIZE];
    memset(keys, 0x33, sizeof(keys));
    struct tlsctx *other = tlsctx_new(find_cert, NULL);
    assert_non_null(other);
    tlsctx_set_ticket_keys(f->tls, (const uint8_t(*)[TICKET_KEY_SIZE])keys, 1);
    tlsctx_set_ticket_keys(other, (const uint8_t(*)[TICKET_KEY_SIZE])keys, 1);
    assert_false(resumes(f, TLS1_3_VERSION, "a.wos.localhost"));
    struct tlsctx *first = f->tls;
    f->tls = other;
    assert_true(resumes(f, TLS1_3_VERSION, "a.wos.localhost"));
    f->tls = first;
    tlsctx_free(other);
}

static void *keys_turn(void *arg)
{
    struct fixture *f = arg;
    uint8_t keys[1][TICKET_KEY_SIZE];
    for (int i = 0; i < 2000; i++) {
        memset(keys, i & 0xff, sizeof(keys));
        tlsctx_set_ticket_keys(f->tls, (const uint8_t(*)[TICKET_KEY_SIZE])keys, 1);
    }
    return NULL;
}

/* For the thread sanitiser above all: keys turn while handshakes run. */
static void test_keys_turn_under_handshakes(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[2];
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, keys_turn, f), 0);
    }
    for (int i = 0; i < 50; i++) {
        (void)resumes(f, TLS1_3_VERSION, "a.wos.localhost"); /* resumed or not, it connects */
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void says(SSL *from, SSL *to)
{
    char byte;
    assert_int_equal(SSL_write(from, "x", 1), 1);
    assert_int_equal(SSL_read(to, &byte, 1), 1);
}

/* No key of the exchange has a value any more, and the connection goes on: both ways, with new
 * traffic keys, and to its proper end. Then its ticket is good for the next one. */
static void test_handshake_is_forgotten(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 4; i++) {
        SSL_CTX_set_max_proto_version(f->client, i < 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
        struct ends e = ends_make(f, "a.wos.localhost");
        if (i % 2 == 1) {
            assert_int_equal(SSL_set_session(e.client, f->session), 1);
        }
        assert_true(handshake(&e));
        tlsctx_forget_handshake(e.server);
        tlsctx_forget_handshake(e.client);
        EVP_PKEY *keys[4] = {NULL};
        int count = 0;
        count += SSL_get_tmp_key(e.server, &keys[count]) == 1 ? 1 : 0;
        count += SSL_get_peer_tmp_key(e.server, &keys[count]) == 1 ? 1 : 0;
        count += SSL_get_tmp_key(e.client, &keys[count]) == 1 ? 1 : 0;
        count += SSL_get_peer_tmp_key(e.client, &keys[count]) == 1 ? 1 : 0;
        assert_true(i < 2 || count >= 3);
        for (int k = 0; k < count; k++) {
            uint8_t raw[256];
            size_t len = sizeof(raw);
            assert_int_not_equal(EVP_PKEY_get_raw_public_key(keys[k], raw, &len), 1);
            EVP_PKEY_free(keys[k]);
        }
        assert_int_equal(SSL_session_reused(e.server), i % 2);
        says(e.client, e.server);
        if (i >= 2) {
            assert_int_equal(SSL_key_update(e.client, SSL_KEY_UPDATE_REQUESTED), 1);
        }
        says(e.client, e.server);
        says(e.server, e.client);
        ends_free(&e);
    }
}

static void test_insecure_client(void **state)
{
    struct fixture *f = *state;
    struct ends e = {SSL_new(tlsctx_client_insecure(f->tls)), SSL_new(tlsctx_server(f->tls))};
    BIO *a;
    BIO *b;
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(e.client, a, a);
    SSL_set_bio(e.server, b, b);
    assert_int_equal(SSL_set_app_data(e.server, f), 1);
    SSL_set_connect_state(e.client);
    SSL_set_accept_state(e.server);
    assert_true(handshake(&e));
    ends_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sni, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_min_version, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed_sni, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_tickets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_session_id, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_resumption_under_another_certificate, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_ticket_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tickets_across_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_turn_under_handshakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handshake_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_insecure_client, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
