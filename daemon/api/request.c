/* request: see request.h. The only file besides api.c that touches evhttp's requests. */
#include "daemon/api/request.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/auto.h"
#include "base/json.h"
#include "daemon/api/web_clients.h"

/* A reader that is this far behind is let go: events are made faster than it reads. */
enum { STREAM_BEHIND_MAX = 32 << 20 };

struct stream {
    struct api_request *r; /* owned: stays in the list, so that the API's end finds it */
    void (*on_close)(void *arg);
    void *arg; /* borrowed */
};

static void request_free(struct api_request *r)
{
    *r->link = r->next;
    if (r->next != NULL) {
        r->next->link = r->link;
    }
    web_client_end(r->client);
    evhttp_clear_headers(r->query);
    free(r->query);
    free(r->param);
    cJSON_Delete(r->body);
    free(r);
}

/* The client went before the answer. */
static void request_on_close(struct evhttp_connection *conn, void *arg)
{
    (void)conn;
    struct api_request *r = arg;
    struct evhttp_request *http = r->http;
    struct web_client *client = r->client;
    if (r->cancel != NULL) {
        r->cancel(r);
    }
    request_free(r);
    web_client_gone(client);
    /* evhttp leaves a request it cannot answer any more to us, and shows it so. */
    if (evhttp_request_get_connection(http) == NULL) {
        evhttp_request_free(http);
    }
}

static void watch_close(struct api_request *r, bool on)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(r->http);
    if (conn != NULL && !on && r->client != NULL) {
        web_client_watch(r->client);
    } else if (conn != NULL) {
        evhttp_connection_set_closecb(conn, on ? request_on_close : NULL, on ? r : NULL);
    }
}

struct api_request *request_new(struct daemon *d, struct evhttp_request *http,
                                struct web_client *client, struct api_request **list)
{
    struct api_request *r = xcalloc(1, sizeof *r);
    r->d = d;
    r->client = client;
    r->http = http;
    r->query = xcalloc(1, sizeof *r->query);
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(http));
    if (query == NULL || evhttp_parse_query_str(query, r->query) < 0) {
        TAILQ_INIT(r->query);
    }
    r->next = *list;
    r->link = list;
    if (r->next != NULL) {
        r->next->link = &r->next;
    }
    *list = r;
    watch_close(r, true);
    web_client_begin(client);
    return r;
}

void requests_cancel(struct api_request **list)
{
    while (*list != NULL) {
        struct api_request *r = *list;
        watch_close(r, false); /* NOLINT(clang-analyzer-unix.Malloc): request_free unlinks it */
        if (r->cancel != NULL) {
            r->cancel(r);
        }
        request_free(r);
    }
}

void requests_end_login(struct api_request **list, const char *login,
                        const struct api_request *except)
{
    struct api_request *next;
    for (struct api_request *r = *list; r != NULL; r = next) {
        next = r->next;
        if (r == except || r->login[0] == '\0' || (login != NULL && strcmp(r->login, login) != 0)) {
            continue;
        }
        struct evhttp_connection *conn = evhttp_request_get_connection(r->http);
        watch_close(r, false);
        if (r->cancel != NULL) {
            r->cancel(r);
        }
        request_free(r);
        if (conn != NULL) {
            evhttp_connection_free(conn); /* and the request with it */
        }
    }
}

const char *request_query(const struct api_request *r, const char *name)
{
    return evhttp_find_header(r->query, name);
}

const char *request_header(const struct api_request *r, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(r->http), name);
}

bool request_is_http11(const struct api_request *r)
{
    return r->http->major == 1 && r->http->minor >= 1;
}

struct bufferevent *request_take_over(struct api_request *r)
{
    watch_close(r, false);
    return evhttp_connection_get_bufferevent(evhttp_request_get_connection(r->http));
}

void request_hang_up(struct api_request *r)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(r->http);
    request_free(r);
    evhttp_connection_free(conn); /* and the request with it */
}

void reply_header(struct api_request *r, const char *name, const char *value)
{
    (void)evhttp_add_header(evhttp_request_get_output_headers(r->http), name, value);
}

void reply_text(struct api_request *r, int status, const char *type, struct str text)
{
    struct evhttp_request *http = r->http;
    struct evbuffer *body = evbuffer_new();
    CHECK(body != NULL && evbuffer_add(body, text.ptr, text.len) == 0);
    reply_header(r, "Content-Type", type);
    reply_header(r, "Cache-Control", "no-store");
    reply_header(r, "X-Content-Type-Options", "nosniff");
    watch_close(r, false);
    request_free(r);
    evhttp_send_reply(http, status, NULL, body);
    evbuffer_free(body);
}

void reply_bytes(struct api_request *r, int status, struct str bytes)
{
    struct evhttp_request *http = r->http;
    struct evbuffer *body = evbuffer_new();
    CHECK(body != NULL && evbuffer_add_reference(body, bytes.ptr, bytes.len, NULL, NULL) == 0);
    watch_close(r, false);
    request_free(r);
    evhttp_send_reply(http, status, NULL, body);
    evbuffer_free(body);
}

void reply_json(struct api_request *r, int status, cJSON *body)
{
    autofree char *text = json_print(body);
    cJSON_Delete(body);
    reply_text(r, status, "application/json", str_of(text));
}

void reply_error(struct api_request *r, int status, const char *code, const char *message,
                 cJSON *extra)
{
    cJSON *body = extra == NULL ? cJSON_CreateObject() : extra;
    (void)json_add_str(body, "error", code);
    (void)json_add_str(body, "message", message);
    reply_json(r, status, body);
}

void reply_err(struct api_request *r, const struct err *err)
{
    switch (err->code) {
    case ERR_USAGE:
        reply_error(r, 400, "validation", err->msg, NULL);
        break;
    case ERR_CONFIG:
        reply_error(r, 400, "config-invalid", err->msg, NULL);
        break;
    case ERR_NOT_FOUND:
        reply_error(r, 404, "not-found", err->msg, NULL);
        break;
    case ERR_REFUSED:
        reply_error(r, 403, "forbidden", err->msg, NULL);
        break;
    default:
        reply_error(r, 500, "server-error", err->msg, NULL);
        break;
    }
}

/* --- streams ------------------------------------------------------------------------ */

static void stream_on_cancel(struct api_request *r)
{
    struct stream *s = r->work;
    s->on_close(s->arg);
    free(s);
}

struct stream *stream_open(struct api_request *r, void (*on_close)(void *arg), void *arg)
{
    return stream_open_as(r, "application/x-ndjson", on_close, arg);
}

struct stream *stream_open_as(struct api_request *r, const char *type, void (*on_close)(void *arg),
                              void *arg)
{
    struct stream *s = xcalloc(1, sizeof *s);
    *s = (struct stream){.r = r, .on_close = on_close, .arg = arg};
    r->cancel = stream_on_cancel;
    r->work = s;
    reply_header(r, "Content-Type", type);
    reply_header(r, "Cache-Control", "no-cache, no-transform");
    reply_header(r, "X-Accel-Buffering", "no");
    evhttp_send_reply_start(r->http, HTTP_STATUS_OK, "OK");
    return s;
}

bool stream_is_behind(const struct stream *s)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(s->r->http);
    return conn != NULL &&
           evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(conn))) >
               STREAM_BEHIND_MAX;
}

void stream_send(struct stream *s, struct str bytes, bool must_arrive)
{
    struct evhttp_connection *conn = evhttp_request_get_connection(s->r->http);
    if (conn == NULL) {
        return; /* gone; the close is on its way */
    }
    struct evbuffer *out = bufferevent_get_output(evhttp_connection_get_bufferevent(conn));
    if (!must_arrive && evbuffer_get_length(out) > STREAM_BEHIND_MAX) {
        return; /* the reader sees the gap in the sequence numbers */
    }
    struct evbuffer *chunk = evbuffer_new();
    CHECK(chunk != NULL && evbuffer_add(chunk, bytes.ptr, bytes.len) == 0);
    evhttp_send_reply_chunk(s->r->http, chunk);
    evbuffer_free(chunk);
}

void stream_end(struct stream *s)
{
    struct evhttp_request *http = s->r->http;
    watch_close(s->r, false);
    request_free(s->r);
    free(s);
    evhttp_send_reply_end(http);
}
