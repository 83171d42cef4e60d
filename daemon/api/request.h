/* request: one API request, from its dispatch to its answer.
 *
 * Handlers get a struct api_request and must answer it exactly once, now or
 * later, with one of the reply functions or by turning it into a stream; that
 * frees it. A handler that answers later sets `cancel`: it is called when the
 * client goes first or the API ends, must drop every reference, and the request is freed
 * after it. One thread: the daemon's loop.
 */
#ifndef WOS_DAEMON_API_REQUEST_H
#define WOS_DAEMON_API_REQUEST_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "daemon/web_logins.h"

struct daemon;
struct evhttp_request;
struct evkeyvalq;
struct web_client;

enum { HTTP_STATUS_OK = 200 };

struct api_request {
    struct api_request *next, **link; /* the API's list of requests under way */
    struct daemon *d;                 /* borrowed */
    struct evhttp_request *http;      /* borrowed: evhttp owns it */
    struct web_client *client;        /* borrowed: its connection; NULL: on the socket */
    struct evkeyvalq *query;          /* owned */
    char *param;                      /* owned: what stood for ':' in the pattern; or NULL */
    cJSON *body;                      /* owned; NULL when there was none */
    bool is_public;                   /* not of this machine alone: has to be logged in */
    bool is_forwarded;                /* by tunnel.webUi's name, through our gateway */
    const char *refusal;          /* borrowed: why its local Host does not make it local; or NULL */
    uint8_t judged;               /* how often its peer was asked for in vain */
    char login[WEB_LOGIN_ID + 1]; /* of whom, then: the id of daemon/web_logins.h; or "" */
    void (*cancel)(struct api_request *r);
    void *work; /* the handler's own */
};

/* NULL when absent. */
const char *request_query(const struct api_request *r, const char *name);
const char *request_header(const struct api_request *r, const char *name);

bool request_is_http11(const struct api_request *r);
/* For another protocol on the same connection: evhttp does not touch its bufferevent any more. The
 * request ends with request_hang_up, from the loop, which closes the connection too. */
struct bufferevent;
struct bufferevent *request_take_over(struct api_request *r);
void request_hang_up(struct api_request *r);

/* Takes the tree. */
void reply_json(struct api_request *r, int status, cJSON *body);
/* {"error","message"}; `extra` (or NULL) gives further members and is taken. */
void reply_error(struct api_request *r, int status, const char *code, const char *message,
                 cJSON *extra);
/* By the error's code: usage 400 validation, not found 404, busy 409 …. */
void reply_err(struct api_request *r, const struct err *err);
void reply_text(struct api_request *r, int status, const char *type, struct str text);
/* Bytes that outlive the program's answer, with the headers that were given and no others. */
void reply_bytes(struct api_request *r, int status, struct str bytes);
/* A header of the answer, before the reply. */
void reply_header(struct api_request *r, const char *name, const char *value);

/* A lasting NDJSON answer. Created from a request, which is used up. on_close is
 * called when the client goes or the API ends; the stream is gone after it. After
 * stream_end there is no on_close. A reader that is far behind loses lines (it sees that by
 * their sequence numbers) unless they must be told. */
struct stream;
struct stream *stream_open(struct api_request *r, void (*on_close)(void *arg), void *arg);
/* The same of another media type. */
struct stream *stream_open_as(struct api_request *r, const char *type, void (*on_close)(void *arg),
                              void *arg);
/* True when so much waits for the reader that lines would be lost. */
bool stream_is_behind(const struct stream *s);
void stream_send(struct stream *s, struct str bytes, bool must_arrive);
void stream_end(struct stream *s);

/* For the dispatcher. `client`: NULL on the socket. */
struct api_request *request_new(struct daemon *d, struct evhttp_request *http,
                                struct web_client *client, struct api_request **list);
/* Ends every request and stream of the list, unanswered. */
void requests_cancel(struct api_request **list);
/* The same for those of one login (NULL: of every one) but `except`; their connections close. */
void requests_end_login(struct api_request **list, const char *login,
                        const struct api_request *except);

#endif
