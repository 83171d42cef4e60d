/* access: see access.h. */
#include "gateway/access.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <time.h>

#include "base/auto.h"
#include "gateway/cookie.h"
#include "gateway/form.h"
#include "gateway/notice.h"
#include "gateway/origin.h"
#include "gateway/random.h"
#include "gateway/throttle.h"

enum { LOGIN_MAGIC = 0x6c6f6769 };

/* A login whose form is being read; in the exchange's arena. */
struct login {
    uint32_t magic;
    size_t len;
    size_t cap;
    char body[];
};

/* What an exchange was admitted with: the digest changes with the secret and with the key. */
struct access_pass {
    uint8_t digest[SNAPSHOT_ACCESS_KEY];
    struct cookie cookie; /* id 0: the secret itself */
};

enum verdict { SECRET_RIGHT, SECRET_WRONG, SECRET_WAIT, SECRET_NO_MEMORY };

static const struct back_ops login_ops;

static const struct snapshot_access *access_of(const struct exchange *x)
{
    return &x->view->snapshot->spec.access;
}

static struct str host_of(const struct exchange *x)
{
    return (struct str){x->request.host.name, x->request.host.len};
}

static uint64_t wall_s(void)
{
    return (uint64_t)time(NULL);
}

/* The field as it came ('-'), or any way a service behind CGI would read it as the same ('_'). */
static bool is_secret_name(struct str name, bool exactly)
{
    static const char wanted[] = "x-wos-secret";
    if (name.len != sizeof wanted - 1) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        if (c != wanted[i] && (exactly || c != '_' || wanted[i] != '-')) {
            return false;
        }
    }
    return true;
}

static void strip(struct exchange *x)
{
    struct head *h = &x->request;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        if (!is_secret_name(h->fields[i].name, false)) {
            h->fields[kept++] = h->fields[i];
        }
    }
    h->count = kept;
    cookie_strip(h, &x->arena);
}

/* Judges a secret, with its throttle, log line and event. */
static enum verdict try_secret(struct exchange *x, struct str secret, uint64_t *out_wait_ms)
{
    const struct snapshot_access *access = access_of(x);
    const struct limits *limits = worker_limits(x->worker);
    struct throttle *throttle = x->worker->throttle;
    const struct sockaddr *client = exchange_client(x);
    uint64_t now = loop_now_ms(x->worker->loop);
    uint8_t digest[SNAPSHOT_ACCESS_KEY];
    unsigned len = 0;
    *out_wait_ms = throttle_wait(throttle, limits, client, now);
    if (*out_wait_ms > 0) {
        notice_refused(x, throttle_refused(throttle, client, now + *out_wait_ms));
        return SECRET_WAIT;
    }
    if (HMAC(EVP_sha256(), access->key, sizeof access->key, (const uint8_t *)secret.ptr, secret.len,
             digest, &len) == NULL ||
        len != sizeof digest) {
        ERR_clear_error();
        return SECRET_NO_MEMORY;
    }
    if (secret.len <= ACCESS_SECRET_MAX &&
        CRYPTO_memcmp(digest, access->digest, sizeof digest) == 0) {
        throttle_passed(throttle, client, now);
        return SECRET_RIGHT;
    }
    throttle_failed(throttle, limits, client, now);
    notice_denied(x, NOTICE_SECRET);
    return SECRET_WRONG;
}

/* Where to go after the login: back to what was asked for. */
static struct str next_of(const struct exchange *x)
{
    const struct head *h = &x->request;
    bool safe = str_eq(h->method, STR("GET")) || str_eq(h->method, STR("HEAD"));
    return safe && form_path_is_local(h->target) && !str_starts(h->target, STR("/.wos/"))
               ? h->target
               : STR("/");
}

static void answer_login(struct exchange *x, struct str next, const char *alert)
{
    struct reply r = {
        .status = 401,
        .code = alert == NULL ? "secret-required" : "wrong-secret",
        .text = alert == NULL ? "tunnel: this address needs a secret: send it as X-Wos-Secret, or "
                                "open it in a browser"
                              : "tunnel: wrong secret",
        .title = "Secret needed",
        .message = "This address is not public. Enter its secret to go on; this browser then "
                   "remembers it for 30 days.",
        .form = REPLY_FORM_LOGIN,
        .next = next,
        .alert = alert,
    };
    exchange_deny(x, EXCHANGE_DENY_SECRET);
    exchange_answer(x, &r);
}

static void answer_wait(struct exchange *x, uint64_t wait_ms)
{
    struct reply r = {
        .status = 429,
        .code = "too-many-secrets",
        .text = "tunnel: too many wrong secrets; try again later",
        .message = "There were too many wrong secrets. Wait a while, then try again.",
        .retry_after_s = (uint32_t)(wait_ms / 1000 + 1),
    };
    exchange_answer(x, &r);
}

static void answer_other_site(struct exchange *x)
{
    struct reply r = {
        .status = 403,
        .code = "other-origin",
        .text = "tunnel: forbidden: the request does not come from a page of this host",
        .message = "This request does not come from a page of this address.",
    };
    notice_denied(x, NOTICE_ORIGIN);
    exchange_answer(x, &r);
}

static void answer_plain(struct exchange *x, uint16_t status, const char *text)
{
    struct reply r = reply_plain(status, text);
    exchange_answer(x, &r);
}

static void answer_method(struct exchange *x, const char *allow, enum reply_form form)
{
    struct reply r = reply_plain(405, "tunnel: only POST is answered here");
    r.allow = allow;
    if (form == REPLY_FORM_LOGOUT) {
        r.title = "Sign out";
        r.message = "This browser will forget the secret of this address.";
    }
    r.form = form;
    exchange_answer(x, &r);
}

/* Sends the browser on, with the cookie given or taken. */
static void answer_redirect(struct exchange *x, struct str to, const char *value, unsigned max_age)
{
    struct str name = cookie_name(exchange_is_https(x));
    struct reply r = {
        .status = 303,
        .code = "see-other",
        .text = "tunnel: see the address in Location",
        .location = arena_try_str(&x->arena, to).ptr,
        .set_cookie =
            arena_try_printf(&x->arena, "%.*s=%s; Path=/; Max-Age=%u; HttpOnly;%s SameSite=Lax",
                             STR_ARG(name), value, max_age, exchange_is_https(x) ? " Secure;" : ""),
    };
    exchange_answer(x, &r);
}

static void log_in(struct exchange *x, struct str next)
{
    struct cookie cookie = {.issued_s = wall_s()};
    char value[COOKIE_TEXT + 1];
    cookie.expires_s = cookie.issued_s + COOKIE_SECONDS;
    while (cookie.id == 0) {
        random_fill(&cookie.id, sizeof cookie.id);
    }
    if (!cookie_make(access_of(x), host_of(x), &cookie, value)) {
        exchange_out_of_memory(x);
        return;
    }
    notice_login(x, cookie.id);
    answer_redirect(x, next, value, COOKIE_SECONDS);
}

/* The form is complete. */
static void judge_form(struct exchange *x, struct str body)
{
    struct str secret;
    struct str next;
    enum form_result has_next = form_get(body, STR("next"), &x->arena, &next);
    if (form_get(body, STR("secret"), &x->arena, &secret) != FORM_FOUND ||
        has_next == FORM_MALFORMED) {
        answer_plain(x, 400, "tunnel: malformed login form");
        return;
    }
    if (has_next != FORM_FOUND || !form_path_is_local(next)) {
        next = STR("/");
    }
    uint64_t wait_ms;
    switch (try_secret(x, secret, &wait_ms)) {
    case SECRET_RIGHT:
        log_in(x, next);
        break;
    case SECRET_WRONG:
        answer_login(x, next, "That is not the secret.");
        break;
    case SECRET_WAIT:
        answer_wait(x, wait_ms);
        break;
    case SECRET_NO_MEMORY:
        exchange_out_of_memory(x);
        break;
    }
}

static void login_forget(struct exchange *x)
{
    struct login *login = x->back_owner;
    CHECK(login->magic == LOGIN_MAGIC);
    x->back_owner = NULL;
    OPENSSL_cleanse(login, sizeof *login + login->cap);
}

static void login_body(struct exchange *x, const char *data, size_t len)
{
    struct login *login = x->back_owner;
    CHECK(login->magic == LOGIN_MAGIC);
    if (len > login->cap - login->len) {
        login_forget(x);
        answer_plain(x, 413, "tunnel: the login form is too long");
        return;
    }
    memcpy(login->body + login->len, data, len);
    login->len += len;
}

static void login_end(struct exchange *x, const struct head *trailers)
{
    struct login *login = x->back_owner;
    (void)trailers;
    CHECK(login->magic == LOGIN_MAGIC);
    x->back_owner = NULL;
    judge_form(x, (struct str){login->body, login->len}); /* x is gone; its arena is not */
}

static void login_room(struct exchange *x)
{
    (void)x; /* the answer is short, and comes when the form is complete */
}

static const struct back_ops login_ops = {login_body, login_end, login_forget, login_room};

static bool is_form(const struct head *h)
{
    const struct head_field *type = head_find(h, STR("content-type"));
    struct str rest = type == NULL ? STR_NONE : type->value;
    struct str first;
    return rest.ptr != NULL && str_next(&rest, ';', &first) &&
           str_eq_nocase(str_trim(first), STR("application/x-www-form-urlencoded"));
}

static void start_login(struct exchange *x)
{
    const struct head *h = &x->request;
    const uint32_t bytes_max = worker_limits(x->worker)->login_bytes_max;
    if (!origin_allows_change(h, exchange_is_https(x))) {
        answer_other_site(x);
        return;
    }
    if (!is_form(h)) {
        answer_plain(x, 415, "tunnel: a login is application/x-www-form-urlencoded");
        return;
    }
    if (h->content_length > bytes_max) {
        answer_plain(x, 413, "tunnel: the login form is too long");
        return;
    }
    if (!x->has_body) {
        judge_form(x, STR_NONE);
        return;
    }
    struct login *login = arena_try_alloc(&x->arena, sizeof *login + bytes_max);
    if (login == NULL) {
        exchange_out_of_memory(x);
        return;
    }
    login->magic = LOGIN_MAGIC;
    login->len = 0;
    login->cap = bytes_max;
    x->back = &login_ops;
    x->back_owner = login;
    if (h->expects_continue) {
        struct head interim;
        head_init(&interim, false);
        interim.status = 100;
        interim.reason = STR("Continue");
        exchange_response_interim(x, &interim);
    }
}

static bool path_is(struct str target, struct str path)
{
    return str_starts(target, path) && (target.len == path.len || target.ptr[path.len] == '?');
}

/* /.wos/login, /.wos/logout. False: another path. */
static bool serve_own_path(struct exchange *x, const struct cookie *cookie)
{
    struct head *h = &x->request;
    bool post = str_eq(h->method, STR("POST"));
    bool get = str_eq(h->method, STR("GET")) || str_eq(h->method, STR("HEAD"));
    if (path_is(h->target, STR(REPLY_LOGIN_PATH))) {
        if (post) {
            start_login(x);
        } else if (!get) {
            answer_method(x, "GET, HEAD, POST", REPLY_FORM_NONE);
        } else if (cookie != NULL) {
            struct reply r = {.status = 303,
                              .code = "see-other",
                              .text = "tunnel: see the address in Location",
                              .location = "/"};
            exchange_answer(x, &r);
        } else {
            answer_login(x, STR("/"), NULL);
        }
        return true;
    }
    if (!path_is(h->target, STR(REPLY_LOGOUT_PATH))) {
        return false;
    }
    if (!post) {
        answer_method(x, "POST", get && cookie != NULL ? REPLY_FORM_LOGOUT : REPLY_FORM_NONE);
    } else if (!origin_allows_change(h, exchange_is_https(x))) {
        answer_other_site(x);
    } else {
        if (cookie != NULL) {
            notice_logout(x, cookie->id);
        }
        answer_redirect(x, STR("/"), "", 0);
    }
    return true;
}

/* How many secrets the request brings; the first one's value. */
static unsigned find_secret(const struct head *h, struct str *out_secret)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        if (is_secret_name(h->fields[i].name, true)) {
            *out_secret = count == 0 ? h->fields[i].value : *out_secret;
            count++;
        }
    }
    return count;
}

static void keep_pass(struct exchange *x, const struct cookie *cookie)
{
    struct access_pass *pass = arena_try_alloc(&x->arena, sizeof *pass);
    if (pass == NULL) {
        return; /* access_admit looks at the arena */
    }
    memcpy(pass->digest, access_of(x)->digest, sizeof pass->digest);
    pass->cookie = cookie == NULL ? (struct cookie){.id = 0} : *cookie;
    x->pass = pass;
}

static bool admit_by_secret(struct exchange *x, struct str secret, unsigned count)
{
    uint64_t wait_ms;
    if (count > 1) {
        answer_plain(x, 400, "tunnel: more than one X-Wos-Secret");
        return false;
    }
    switch (try_secret(x, secret, &wait_ms)) {
    case SECRET_RIGHT:
        keep_pass(x, NULL);
        return true;
    case SECRET_WRONG:
        answer_login(x, next_of(x), "That is not the secret.");
        break;
    case SECRET_WAIT:
        answer_wait(x, wait_ms);
        break;
    case SECRET_NO_MEMORY:
        exchange_out_of_memory(x);
        break;
    }
    return false;
}

static bool admit_by_cookie(struct exchange *x, const struct cookie *cookie)
{
    const struct head *h = &x->request;
    bool https = exchange_is_https(x);
    bool websocket = h->wants_upgrade || h->protocol.len > 0;
    bool safe = str_eq(h->method, STR("GET")) || str_eq(h->method, STR("HEAD"));
    if (websocket ? origin_is_own(h, https) : safe || origin_allows_change(h, https)) {
        keep_pass(x, cookie);
        notice_seen(x->worker, cookie->id);
        return true;
    }
    answer_other_site(x);
    return false;
}

static bool admit(struct exchange *x)
{
    const struct head *h = &x->request;
    const struct snapshot_access *access = access_of(x);
    struct cookie cookie;
    struct str secret;
    if (!access->has_secret) {
        struct reply r = reply_forbidden();
        exchange_deny(x, EXCHANGE_DENY_SECRET);
        exchange_answer(x, &r);
        return false;
    }
    bool known = cookie_find(h, exchange_is_https(x), access, host_of(x), wall_s(), &cookie);
    if (serve_own_path(x, known ? &cookie : NULL)) {
        return false;
    }
    unsigned count = find_secret(h, &secret);
    if (count > 0) {
        return admit_by_secret(x, secret, count);
    }
    if (known) {
        return admit_by_cookie(x, &cookie);
    }
    answer_login(x, next_of(x), NULL);
    return false;
}

bool access_still_admits(const struct exchange *x, const struct snapshot_access *access,
                         const struct policy *policy)
{
    const struct access_pass *pass = x->pass;
    if (policy->access != POLICY_SECRET) {
        return true;
    }
    return access->has_secret && pass != NULL &&
           CRYPTO_memcmp(pass->digest, access->digest, sizeof pass->digest) == 0 &&
           (pass->cookie.id == 0 || cookie_counts(access, &pass->cookie, wall_s()));
}

bool access_admit(struct exchange *x, const struct policy *policy)
{
    CHECK(x->magic == EXCHANGE_MAGIC && x->route != NULL);
    if (policy->access == POLICY_SECRET && !admit(x)) {
        return false;
    }
    strip(x);
    if (x->arena.failed) {
        exchange_out_of_memory(x);
        return false;
    }
    return true;
}
