/* fetch: see fetch.h. On the loop's thread.
 *
 * libcurl must not be called from inside its own callbacks. So requests are
 * added, and cancelled ones removed, at the end of the turn, and on_done is
 * called only after libcurl has returned: there everything is allowed. */
#include "base/fetch.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/build.h"

enum {
    CLIENT_MAGIC = 0x63757263,
    FETCH_MAGIC = 0x66657463,
    CONNECT_TIMEOUT_MS = 5000,
    BODY_LIMIT = 1 << 20,
    REDIRECTS_MAX = 10,
};

struct fetch_client {
    uint32_t magic;
    struct loop *loop; /* borrowed */
    CURLM *multi;      /* owned */
    struct loop_timer timer;
    struct fetch *fetches; /* owned: live ones, newest first */
    struct watch *watches; /* owned */
    bool freed;
};

/* A socket that libcurl wants watched. */
struct watch {
    struct watch *next;
    struct watch **link;
    struct fetch_client *client; /* borrowed */
    struct event *event;         /* owned */
};

struct fetch {
    uint32_t magic;
    struct fetch *next;
    struct fetch **link;
    struct fetch_client *client; /* borrowed */
    CURL *easy;                  /* owned */
    struct curl_slist *headers;  /* owned */
    struct buf body;
    size_t body_limit;
    bool (*on_data)(void *arg, struct str piece);
    fetch_done_fn *on_done;
    void *arg;      /* borrowed */
    bool added;     /* to the multi handle */
    bool cancelled; /* or its client was freed: no more callbacks */
    bool done;      /* on_done is running, or was called */
    char why[96];   /* our own reason for ending it */
    char curl_error[CURL_ERROR_SIZE];
};

static void fetch_destroy(struct fetch *f)
{
    if (f->added) {
        (void)curl_multi_remove_handle(f->client->multi, f->easy);
    }
    *f->link = f->next;
    if (f->next != NULL) {
        f->next->link = f->link;
    }
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    buf_fini(&f->body);
    f->magic = 0;
    free(f);
}

static void finish(struct fetch *f, CURLcode result)
{
    f->done = true;
    if (!f->cancelled) {
        long status = 0;
        struct fetch_response response = {.fetch = f};
        if (result == CURLE_OK) {
            (void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
            response.status = (int)status;
            response.body = buf_str(&f->body);
        } else {
            response.timed_out = result == CURLE_OPERATION_TIMEDOUT;
            response.unreached = result == CURLE_COULDNT_CONNECT;
            response.error = f->why[0] != '\0'          ? f->why
                             : f->curl_error[0] != '\0' ? f->curl_error
                                                        : curl_easy_strerror(result);
        }
        f->on_done(f->arg, &response);
        if (f->cancelled) {
            return; /* its client was freed in there; fetch_on_cancelled destroys it */
        }
        fetch_destroy(f);
    }
}

/* Hands out what has ended. Callbacks may start, cancel and free anything. */
static void take_results(struct fetch_client *client)
{
    int left;
    CURLMsg *message;
    while (!client->freed && (message = curl_multi_info_read(client->multi, &left)) != NULL) {
        char *owner = NULL;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner) == CURLE_OK) {
            struct fetch *f = (struct fetch *)(void *)owner;
            CHECK(f->magic == FETCH_MAGIC);
            finish(f, message->data.result);
        }
    }
}

static void drive(struct fetch_client *client, curl_socket_t fd, int events)
{
    int running;
    (void)curl_multi_socket_action(client->multi, fd, events, &running);
    take_results(client);
}

static void fetch_on_timer(void *arg)
{
    struct fetch_client *client = arg;
    CHECK(client->magic == CLIENT_MAGIC);
    drive(client, CURL_SOCKET_TIMEOUT, 0);
}

static void fetch_on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    struct fetch_client *client = w->client; /* libcurl may free w in the call */
    CHECK(client->magic == CLIENT_MAGIC);
    drive(client, fd,
          ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
              ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void watch_free(struct watch *w)
{
    *w->link = w->next;
    if (w->next != NULL) {
        w->next->link = w->link;
    }
    if (w->event != NULL) {
        event_free(w->event);
    }
    free(w);
}

static int curl_on_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct fetch_client *client = arg;
    struct watch *w = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)curl_multi_assign(client->multi, fd, NULL);
            watch_free(w);
        }
        return 0;
    }
    if (w == NULL) {
        w = xcalloc(1, sizeof *w);
        w->client = client;
        w->next = client->watches;
        w->link = &client->watches;
        if (w->next != NULL) {
            w->next->link = &w->next;
        }
        client->watches = w;
        (void)curl_multi_assign(client->multi, fd, w);
    } else {
        event_free(w->event);
        w->event = NULL;
    }
    short events = (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                           ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
    w->event = event_new(loop_base(client->loop), fd, events, fetch_on_socket, w);
    CHECK(w->event != NULL && event_add(w->event, NULL) == 0);
    return 0;
}

static int curl_on_timeout(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct fetch_client *client = arg;
    if (timeout_ms < 0) {
        loop_timer_clear(&client->timer);
    } else {
        loop_timer_set(&client->timer, (uint64_t)timeout_ms);
    }
    return 0;
}

static size_t curl_on_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch *f = arg;
    CHECK(f->magic == FETCH_MAGIC);
    size_t len = size * count; /* size is 1, as libcurl documents */
    if (f->cancelled) {
        return CURL_WRITEFUNC_ERROR;
    }
    if (f->on_data != NULL) {
        if (f->on_data(f->arg, (struct str){data, len})) {
            return len;
        }
        (void)snprintf(f->why, sizeof f->why, "ended by the reader");
        return CURL_WRITEFUNC_ERROR;
    }
    if (len > f->body_limit - f->body.len) {
        (void)snprintf(f->why, sizeof f->why, "the answer is larger than %zu bytes", f->body_limit);
        return CURL_WRITEFUNC_ERROR;
    }
    buf_add(&f->body, data, len);
    return len;
}

struct fetch_client *fetch_client_new(struct loop *loop, struct err *err)
{
    CURLM *multi = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
        multi = curl_multi_init();
        if (multi == NULL) {
            curl_global_cleanup();
        }
    }
    if (multi == NULL) {
        (void)err_set(err, ERR_FAILED, "cannot set up the HTTP client");
        return NULL;
    }
    struct fetch_client *client = xcalloc(1, sizeof *client);
    client->magic = CLIENT_MAGIC;
    client->loop = loop;
    client->multi = multi;
    loop_timer_init(&client->timer, loop, fetch_on_timer, client);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, curl_on_watch);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, curl_on_timeout);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    return client;
}

static void fetch_on_client_freed(void *arg)
{
    struct fetch_client *client = arg;
    CHECK(client->magic == CLIENT_MAGIC && client->fetches == NULL);
    (void)curl_multi_cleanup(client->multi); /* closes, and unwatches, idle connections */
    while (client->watches != NULL) {
        watch_free(client->watches); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks itself */
    }
    loop_timer_fini(&client->timer);
    curl_global_cleanup();
    client->magic = 0;
    free(client);
}

void fetch_client_free(struct fetch_client *client)
{
    if (client == NULL) {
        return;
    }
    CHECK(client->magic == CLIENT_MAGIC && !client->freed);
    client->freed = true;
    for (struct fetch *f = client->fetches; f != NULL; f = f->next) {
        fetch_cancel(f);
    }
    loop_defer(client->loop, fetch_on_client_freed, client);
}

static CURLcode set_method(struct fetch *f, const struct fetch_request *rq)
{
    CURLcode bad = CURLE_OK;
    if (strcmp(rq->method, "HEAD") == 0) {
        return curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
    }
    if (strcmp(rq->method, "POST") == 0 || rq->body.len > 0) {
        curl_off_t size = (curl_off_t)rq->body.len;
        bad |= curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, size);
        bad |= curl_easy_setopt(f->easy, CURLOPT_COPYPOSTFIELDS,
                                rq->body.len == 0 ? "" : rq->body.ptr);
    }
    bool plain_get = strcmp(rq->method, "GET") == 0 && rq->body.len == 0;
    if (strcmp(rq->method, "POST") != 0 && !plain_get) {
        bad |= curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, rq->method);
    }
    return bad;
}

static CURLcode set_headers(struct fetch *f, const struct fetch_request *rq)
{
    /* Without a value: libcurl does not invent one. */
    static const char *const silence[] = {"Expect:", "Content-Type:"};
    bool has_type = false;
    for (const char *const *at = rq->headers; at != NULL && *at != NULL; at++) {
        struct curl_slist *longer = curl_slist_append(f->headers, *at);
        if (longer == NULL) {
            return CURLE_OUT_OF_MEMORY;
        }
        f->headers = longer;
        struct str name = str_of(*at);
        name.len = str_find(name, ':');
        has_type = has_type || str_eq_nocase(name, STR("content-type"));
    }
    for (size_t i = 0; i < (has_type ? 1 : COUNT_OF(silence)); i++) {
        struct curl_slist *longer = curl_slist_append(f->headers, silence[i]);
        if (longer == NULL) {
            return CURLE_OUT_OF_MEMORY;
        }
        f->headers = longer;
    }
    return curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
}

static CURLcode set_tls(CURL *easy, const struct fetch_request *rq)
{
    CURLcode bad = CURLE_OK;
    if (rq->insecure) {
        bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (rq->ca_file != NULL) {
        /* This one instead of the system's, not beside them. */
        bad |= curl_easy_setopt(easy, CURLOPT_CAINFO, rq->ca_file);
        bad |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        bad |= curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); /* it may be mended */
    }
    return bad;
}

static CURLcode set_options(struct fetch *f, const struct fetch_request *rq)
{
    CURL *easy = f->easy;
    long connect_ms = rq->connect_timeout_ms == 0 ? CONNECT_TIMEOUT_MS : rq->connect_timeout_ms;
    char agent[64];
    (void)snprintf(agent, sizeof agent, "wos/%s", build_version());
    CURLcode bad = CURLE_OK;
    bad |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, f->curl_error);
    bad |= curl_easy_setopt(easy, CURLOPT_PRIVATE, f);
    bad |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, curl_on_body);
    bad |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
    bad |= curl_easy_setopt(easy, CURLOPT_URL, rq->url);
    bad |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    if (rq->http2_known) {
        bad |=
            curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    }
    bad |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, rq->follow_redirects ? 1L : 0L);
    bad |= curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    bad |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* No proxy, whatever http_proxy says: what we ask is local or must be direct. */
    bad |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(easy, CURLOPT_USERAGENT, agent);
    bad |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)rq->timeout_ms);
    bad |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    bad |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    /* A slow resolver thread is left behind, not waited for: the loop never blocks. */
    bad |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    if (rq->unix_socket != NULL) {
        bad |= curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, rq->unix_socket);
    }
    bad |= set_method(f, rq);
    bad |= set_headers(f, rq);
    bad |= set_tls(easy, rq);
    return bad;
}

static void fetch_on_start(void *arg)
{
    struct fetch *f = arg;
    CHECK(f->magic == FETCH_MAGIC);
    if (f->cancelled) {
        return; /* fetch_on_cancelled comes next */
    }
    if (f->why[0] == '\0') {
        /* Runs nothing yet: libcurl sets its timer to zero. */
        CURLMcode result = curl_multi_add_handle(f->client->multi, f->easy);
        if (result == CURLM_OK) {
            f->added = true;
            return;
        }
        (void)snprintf(f->why, sizeof f->why, "%s", curl_multi_strerror(result));
    }
    finish(f, CURLE_FAILED_INIT);
}

struct fetch *fetch_start(struct fetch_client *client, const struct fetch_request *request,
                          fetch_done_fn *on_done, void *arg)
{
    CHECK(client->magic == CLIENT_MAGIC && !client->freed);
    struct fetch *f = xcalloc(1, sizeof *f);
    f->magic = FETCH_MAGIC;
    f->client = client;
    f->on_done = on_done;
    f->arg = arg;
    f->on_data = request->on_data;
    f->body_limit = request->body_limit == 0 ? BODY_LIMIT : request->body_limit;
    f->easy = curl_easy_init();
    CHECK(f->easy != NULL);
    f->next = client->fetches;
    f->link = &client->fetches;
    if (f->next != NULL) {
        f->next->link = &f->next;
    }
    client->fetches = f;
    if (set_options(f, request) != CURLE_OK) {
        (void)snprintf(f->why, sizeof f->why, "the HTTP client does not take this request");
    }
    loop_defer(client->loop, fetch_on_start, f);
    return f;
}

static void fetch_on_cancelled(void *arg)
{
    struct fetch *f = arg;
    CHECK(f->magic == FETCH_MAGIC && f->cancelled);
    fetch_destroy(f);
}

void fetch_cancel(struct fetch *f)
{
    if (f == NULL) {
        return;
    }
    CHECK(f->magic == FETCH_MAGIC);
    if (f->cancelled || (f->done && !f->client->freed)) {
        return; /* from its own on_done: it ends there anyway */
    }
    f->cancelled = true;
    loop_defer(f->client->loop, fetch_on_cancelled, f);
}

struct str fetch_header_at(const struct fetch *f, const char *name, size_t index)
{
    struct curl_header *header;
    if (curl_easy_header(f->easy, name, index, CURLH_HEADER, -1, &header) != CURLHE_OK) {
        return STR_NONE;
    }
    return str_of(header->value);
}

struct str fetch_header(const struct fetch *f, const char *name)
{
    return fetch_header_at(f, name, 0);
}
