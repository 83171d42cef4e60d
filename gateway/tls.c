/* tls: see tls.h. The worker's thread. */
#include "gateway/tls.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "certs/certset.h"
#include "certs/tlspeer.h"

enum {
    CALL_BYTES = 4 * WORKER_RX_SIZE, /* received in one call: OpenSSL goes on until it has data */
    HANDLED_MAX = 64,                /* messages OpenSSL deals with by itself … */
    HANDLED_MS = 10000,              /* … in this time … */
    HANDLED_BYTES = 1 << 20, /* … or among so many bytes, in or out, whichever is over first */
};

_Static_assert(HANDLED_MAX < UINT8_MAX, "conn.tls_handled counts one beyond it");

static int bio_read(BIO *bio, char *data, int cap)
{
    struct worker *w = BIO_get_data(bio);
    struct conn *c = w->bio_conn;
    CHECK(c != NULL && c->magic == CONN_MAGIC && cap >= 0);
    BIO_clear_retry_flags(bio);
    if (!w->bio_reads || c->tls_flood) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t saved = wbuf_len(&c->cipher_in);
    if (saved > 0) {
        size_t n = saved < (size_t)cap ? saved : (size_t)cap;
        memcpy(data, wbuf_data(&c->cipher_in), n);
        wbuf_consume(&w->wbufs, &c->cipher_in, n);
        return (int)n;
    }
    if (w->rx_pos == w->rx_len) {
        if (!c->can_read || w->bio_received >= CALL_BYTES) {
            BIO_set_retry_read(bio);
            return -1;
        }
        size_t size = c->read_max < WORKER_RX_SIZE ? c->read_max : WORKER_RX_SIZE;
        ssize_t n = recv(c->fd, w->rx, size, 0);
        if (n <= 0) {
            c->can_read = false;
            if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                c->can_read = errno == EINTR;
                BIO_set_retry_read(bio);
                return -1;
            }
            c->got_eof = true;
            c->error = n < 0 ? errno : 0;
            return n < 0 ? -1 : 0;
        }
        /* A short read has emptied the socket, unless a FIN waits behind it. */
        c->can_read = (size_t)n == size || c->peer_closed;
        c->only_eof = (size_t)n < size && c->peer_closed;
        w->rx_pos = 0;
        w->rx_len = (size_t)n;
        c->bytes_in += (uint64_t)n;
        w->bio_received += (size_t)n;
    }
    size_t left = w->rx_len - w->rx_pos;
    size_t n = left < (size_t)cap ? left : (size_t)cap;
    memcpy(data, w->rx + w->rx_pos, n);
    w->rx_pos += n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    struct worker *w = BIO_get_data(bio);
    struct conn *c = w->bio_conn;
    CHECK(c != NULL && c->magic == CONN_MAGIC && len >= 0);
    BIO_clear_retry_flags(bio);
    wbuf_add(&w->wbufs, &c->out, data, (size_t)len);
    return c->out.failed ? -1 : len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP ? 1 : 0;
}

static const BIO_METHOD *bio_method(void)
{
    /* Made once by the first worker, in the main thread, and kept for good. */
    static BIO_METHOD *method;
    if (method == NULL) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wos connection");
        CHECK(method != NULL);
        CHECK(BIO_meth_set_read(method, bio_read) == 1);
        CHECK(BIO_meth_set_write(method, bio_write) == 1);
        CHECK(BIO_meth_set_ctrl(method, bio_ctrl) == 1);
    }
    return method;
}

BIO *tls_bio_new(struct worker *w)
{
    BIO *bio = BIO_new(bio_method());
    if (bio != NULL) {
        BIO_set_data(bio, w);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* An alert was sent or came, or a handshake or one message after it (a key update, a try to
 * renegotiate) is dealt with. SSL_read handles any number of those before it returns, and answers
 * each: nobody needs many. */
static void on_info(const SSL *ssl, int where, int value)
{
    (void)value;
    if ((where & (SSL_CB_EXIT | SSL_CB_ALERT)) == 0) {
        return;
    }
    const struct worker *w = BIO_get_data(SSL_get_rbio(ssl));
    struct conn *c = w->bio_conn;
    CHECK(c != NULL && c->magic == CONN_MAGIC && c->ssl == ssl);
    if (c->state != CONN_OPEN) {
        return;
    }
    uint64_t now = loop_now_ms(w->loop);
    uint64_t moved = c->bytes_in + c->bytes_out;
    if (now - c->tls_handled_ms >= HANDLED_MS || moved - c->tls_handled_at >= HANDLED_BYTES) {
        c->tls_handled_ms = now;
        c->tls_handled_at = moved;
        c->tls_handled = 0;
    }
    c->tls_flood = c->tls_flood || ++c->tls_handled > HANDLED_MAX;
}

bool tls_attach(struct conn *c, SSL_CTX *ctx, bool server)
{
    c->ssl = SSL_new(ctx);
    if (c->ssl == NULL) {
        return false;
    }
    /* SSL_set_bio takes one reference when both ends are the same BIO. */
    CHECK(BIO_up_ref(c->worker->bio) == 1);
    SSL_set_bio(c->ssl, c->worker->bio, c->worker->bio);
    SSL_set_info_callback(c->ssl, on_info);
    if (server) {
        SSL_set_accept_state(c->ssl);
    } else {
        SSL_set_connect_state(c->ssl);
        return SSL_set_tlsext_host_name(c->ssl, "localhost") == 1;
    }
    return true;
}

/* Results are told by what the error queue holds. Mostly nothing, and looking is cheaper than
 * emptying it. */
static void begin_call(struct conn *c, bool reads)
{
    c->worker->bio_conn = c;
    c->worker->bio_reads = reads;
    c->worker->bio_received = 0;
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

static enum tls_result result_of(struct conn *c, int ret)
{
    switch (SSL_get_error(c->ssl, ret)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        if (c->tls_flood) {
            c->error = EPROTO;
            return TLS_ERROR;
        }
        return c->got_eof ? TLS_EOF : TLS_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_EOF;
    default:
        break;
    }
    if (c->got_eof) {
        ERR_clear_error();
        return TLS_EOF;
    }
    unsigned long code = ERR_peek_last_error();
    c->error = -(int)ERR_GET_REASON(code);
    ERR_clear_error();
    return TLS_ERROR;
}

enum tls_result tls_handshake(struct conn *c)
{
    begin_call(c, true);
    int ret = SSL_do_handshake(c->ssl);
    if (ret == 1) {
        const unsigned char *alpn = NULL;
        unsigned len = 0;
        SSL_get0_alpn_selected(c->ssl, &alpn, &len);
        c->alpn_h2 = len == 2 && memcmp(alpn, "h2", 2) == 0;
        tlsctx_forget_handshake(c->ssl);
        c->detail = c->is_front ? NULL : tlspeer_fault(c->ssl);
        if (c->detail != NULL) {
            c->error = EACCES;
        }
        return c->detail == NULL ? TLS_OK : TLS_ERROR;
    }
    enum tls_result result = result_of(c, ret);
    if (result == TLS_ERROR && !c->is_front) {
        c->detail = tlspeer_fault(c->ssl);
    }
    return result;
}

bool tls_has_ticket_queued(const struct conn *c)
{
    return SSL_version(c->ssl) == TLS1_3_VERSION && SSL_get_num_tickets(c->ssl) > 0;
}

void tls_acknowledge(const struct conn *c)
{
    const int on = 1;
    bool client_last = SSL_version(c->ssl) == TLS1_3_VERSION || SSL_session_reused(c->ssl) == 1;
    if (client_last && !c->alpn_h2 && !tls_has_ticket_queued(c)) { /* else SETTINGS follow */
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on); /* at worst: later */
    }
}

/* Nothing is left that SSL_read could make bytes of: neither in the socket, nor in our buffers, nor
 * in OpenSSL's. A failing SSL_read costs a third of one that succeeds. */
static bool has_nothing(const struct conn *c)
{
    const struct worker *w = c->worker;
    return !c->can_read && !c->got_eof && w->rx_pos == w->rx_len && wbuf_len(&c->cipher_in) == 0 &&
           SSL_has_pending(c->ssl) == 0;
}

enum tls_result tls_read(struct conn *c, char *data, size_t cap, size_t *out_len)
{
    size_t got = 0;
    enum tls_result result = TLS_OK;
    *out_len = 0;
    if (has_nothing(c)) {
        return TLS_AGAIN;
    }
    begin_call(c, true);
    while (got < cap) {
        int ret = SSL_read(c->ssl, data + got, (int)(cap - got));
        if (ret <= 0) {
            result = result_of(c, ret);
            break;
        }
        got += (size_t)ret;
        if (has_nothing(c)) {
            break;
        }
    }
    *out_len = got;
    if (got > 0 && result == TLS_AGAIN) {
        result = TLS_OK;
    }
    return result;
}

enum tls_result tls_write(struct conn *c, const char *data, size_t len)
{
    begin_call(c, false);
    while (len > 0) {
        int piece = len < CONN_RECORD ? (int)len : CONN_RECORD;
        int ret = SSL_write(c->ssl, data, piece);
        if (ret <= 0) {
            enum tls_result result = result_of(c, ret);
            return result == TLS_AGAIN ? TLS_ERROR : result;
        }
        data += ret;
        len -= (size_t)ret;
    }
    return TLS_OK;
}

void tls_send_close_notify(struct conn *c)
{
    if (c->ssl != NULL && SSL_is_init_finished(c->ssl)) {
        begin_call(c, false);
        (void)SSL_shutdown(c->ssl); /* only queues the alert; the peer's is not awaited */
        ERR_clear_error();
    }
}

bool tls_peer_has_ended(const struct conn *c)
{
    return c->ssl != NULL && (SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void tls_save_rest(struct conn *c)
{
    struct worker *w = c->worker;
    if (w->rx_pos < w->rx_len) {
        if (c->state != CONN_GONE) {
            wbuf_add(&w->wbufs, &c->cipher_in, w->rx + w->rx_pos, w->rx_len - w->rx_pos);
            if (c->cipher_in.failed) {
                conn_out_of_memory(c);
            }
        }
        w->rx_pos = 0;
        w->rx_len = 0;
    }
}

/* Of the name in lower case, as host_parse gives it. */
static uint64_t sni_hash(struct str sni)
{
    char lower[HOST_MAX];
    if (sni.len > 1 && sni.ptr[sni.len - 1] == '.') {
        sni.len--;
    }
    if (sni.len == 0 || sni.len > sizeof lower) {
        return 0;
    }
    for (size_t i = 0; i < sni.len; i++) {
        lower[i] = ascii_lower(sni.ptr[i]);
    }
    return host_hash((struct str){lower, sni.len});
}

bool tls_dropped_for_http(struct conn *c)
{
    if (c->error != -SSL_R_HTTP_REQUEST) {
        return false;
    }
    SSL_free(c->ssl);
    c->ssl = NULL;
    c->error = 0;
    return true;
}

bool tls_is_for(const struct conn *c, const struct host *host)
{
    struct str name = {host->name, host->len};
    if (c->sni_hash == 0 || c->sni_hash == host_hash(name)) {
        return true;
    }
    const struct view *view = c->worker->view;
    if (view->certs != NULL && certset_covers(view->certs, SSL_get_SSL_CTX(c->ssl), name)) {
        return true;
    }
    /* The certificate may have been replaced since it was shown. */
    X509 *shown = SSL_get_certificate(c->ssl);
    if (shown == NULL || host->is_ip) {
        return false;
    }
    const unsigned flags =
        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    return X509_check_host(shown, name.ptr, name.len, flags, NULL) == 1;
}

SSL_CTX *tls_find_context(SSL *ssl, struct str sni)
{
    /* Whose call is running: with SSL_set_app_data each SSL would hold two more blocks. */
    const struct worker *w = BIO_get_data(SSL_get_rbio(ssl));
    struct conn *c = w->bio_conn;
    CHECK(c != NULL && c->magic == CONN_MAGIC && c->ssl == ssl);
    struct view *view = w->view;
    c->sni_hash = sni_hash(sni);
    return view == NULL || view->certs == NULL ? NULL : certset_find(view->certs, sni);
}
