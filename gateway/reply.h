/* reply: what the gateway itself says, in the form the client asked for.
 *
 * Every answer that no service made is a struct reply: state pages, the login
 * page, refusals. reply_build turns it into a head and a body: a page (HTML),
 * a line (plain text) or an object (JSON), by the Accept fields with their
 * weights (RFC 9110 12.5.1). A client without Accept, or to which all is equal
 * (curl), gets the line. No reply is a 200 (but for an OPTIONS that ends here), and none may be
 * stored.
 *
 *     struct reply r = reply_forbidden();
 *     exchange_answer(x, &r);
 *
 * Text in it is borrowed until exchange_answer returns; whatever comes from a
 * client, a route or the configuration is escaped for its form. What a reply
 * tells is for those who may see the route: gateway/access.c answers everybody
 * else first. Pure functions; worker threads.
 */
#ifndef WOS_GATEWAY_REPLY_H
#define WOS_GATEWAY_REPLY_H

#include "base/arena.h"
#include "gateway/head.h"

enum reply_format { REPLY_TEXT, REPLY_HTML, REPLY_JSON };

enum reply_form {
    REPLY_FORM_NONE,
    REPLY_FORM_LOGIN,  /* a field for the secret */
    REPLY_FORM_LOGOUT, /* a button */
};

/* One thing known about the state, such as "service": "web". */
struct reply_fact {
    const char *key;   /* JSON member */
    const char *label; /* on the page; NULL: not there */
    struct str value;  /* for people, and the member where is_number is false */
    bool is_number;
    uint64_t number;
};

enum { REPLY_FACTS_MAX = 6 };

struct reply {
    uint16_t status;
    const char *code;       /* JSON: the machine's word, "starting"; NULL: made from the status */
    const char *text;       /* the line, without newline */
    const char *title;      /* the page's heading; NULL: the status's phrase */
    const char *message;    /* … and what it means, one or two sentences; NULL: the line */
    uint32_t retry_after_s; /* 0: no such field */
    uint32_t refresh_s;     /* the page asks again after this; 0: never */
    enum reply_form form;
    struct str next;        /* path the login form goes on to */
    const char *alert;      /* why the form is shown again; NULL: first time */
    const char *set_cookie; /* NULL: none */
    const char *location;   /* NULL: none */
    const char *allow;      /* NULL: none, but for status 405 */
    struct reply_fact facts[REPLY_FACTS_MAX];
    uint32_t fact_count;
};

/* Fills *response (fresh) and gives its body; memory of the arena. */
struct str reply_build(const struct reply *r, const struct head *request, struct head *response,
                       struct arena *arena);
enum reply_format reply_format_of(const struct head *request);

struct reply reply_plain(uint16_t status, const char *text);
struct reply reply_no_route(struct str host, struct arena *arena);
struct reply reply_forbidden(void);
/* A route that is STARTING or STOPPED; now_ms is wall clock. */
struct reply reply_not_serving(const struct route *route, uint64_t now_ms, struct arena *arena);
/* The service, at 127.0.0.1 or [::1], could not be reached (502) or not in time (504); `reason` is
 * a constant text. */
struct reply reply_upstream(const struct route *route, bool at_v6, uint16_t status,
                            const char *reason, struct arena *arena);
/* Where they are served on routes with a secret. */
#define REPLY_LOGIN_PATH "/.wos/login"
#define REPLY_LOGOUT_PATH "/.wos/logout"

/* Standard reason phrase, "" if unknown. */
const char *status_phrase(uint16_t status);

#endif
