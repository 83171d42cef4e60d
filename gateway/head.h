/* head: the head of a request or response, whatever protocol it came in, the
 * one check that it is legal, and the rebuilding for the other side.
 *
 * Nothing is forwarded as bytes: a head is parsed into fields, checked, and
 * written anew. Field names and values are slices into the exchange's arena.
 * head_check is the only judge of legality for HTTP/1 and HTTP/2, requests
 * and responses (RFC 9110, 9112 section 6, 9113 section 8).
 */
#ifndef WOS_GATEWAY_HEAD_H
#define WOS_GATEWAY_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "gateway/wbuf.h"
#include "routing/host.h"
#include "routing/route.h"
#include "routing/snapshot.h"

struct head_field {
    struct str name;
    struct str value;
};

enum { LENGTH_NONE = -1, FORWARDS_ANY = -1 };

struct head {
    bool is_request;
    bool is_h2;
    bool fields_are_legal; /* names and values as such: the parser of HTTP/1 has judged them */
    uint8_t minor;         /* HTTP/1.<minor> */
    uint16_t status;
    struct str method;
    struct str target;    /* origin-form, "*" or what is in :path */
    struct str authority; /* of an absolute-form target or :authority; may be empty */
    struct str scheme;    /* of an absolute-form target or :scheme */
    struct str protocol;  /* :protocol of RFC 8441 */
    struct str reason;
    struct head_field *fields;
    uint32_t count;
    uint32_t cap;

    /* Set by head_check. */
    struct host host;       /* requests: the effective one, checked */
    struct str host_text;   /* as the client wrote it */
    int64_t content_length; /* LENGTH_NONE if there is none */
    bool chunked;
    bool wants_close;      /* Connection: close, or HTTP/1.0 without keep-alive */
    bool wants_keep_alive; /* Connection: keep-alive */
    bool wants_upgrade;    /* Connection: upgrade and an Upgrade field */
    bool expects_continue;
    bool te_trailers;
    int32_t max_forwards; /* of OPTIONS and TRACE (RFC 9110 7.6.2); FORWARDS_ANY if not told */
    struct str upgrade;
    struct str connection;     /* value of the first Connection field; few heads have another */
    uint32_t connection_count; /* of such fields; head_is_hop_by_hop finds the others */
};

/* What is wrong, for a reply: status 0 = legal. */
struct head_fault {
    uint16_t status;
    const char *why; /* constant text */
};

/* 400 is for what is not a message at all, and for nothing else: RFC 9113 8.1.1
 * wants the stream reset. Every other status is an answer, whatever the version. */
static inline bool head_fault_is_malformed(struct head_fault fault)
{
    return fault.status == 400;
}

void head_init(struct head *h, bool is_request);
/* False when there are more than limits allow. Slices must outlive h. */
bool head_add(struct head *h, struct arena *arena, struct str name, struct str value,
              uint32_t count_max);
/* First field of that name (given in lower case), or NULL. */
const struct head_field *head_find(const struct head *h, struct str name);
/* Judges and fills the derived members. */
struct head_fault head_check(struct head *h);
/* The same for a response to a request with method `method`. */
struct head_fault head_check_response(struct head *h);
/* X-Request-Id is set at this hop: exchange_id. */
static inline bool head_is_request_id(struct str name)
{
    return name.len == 12 && str_eq_nocase(name, STR("x-request-id"));
}
/* A trailer section: no framing, routing or pseudo fields (RFC 9110 6.5.1). */
bool head_trailer_allowed(struct str name);
/* The name with '-' for '_', as services behind CGI or WSGI read it: to them X_Real_IP and
 * X-Real-IP are one. Written to `text`, which has room for it. */
struct str head_plain_name(struct str raw, char *text);
/* True for fields that end at this hop, those named in Connection included. */
bool head_is_hop_by_hop(const struct head *h, struct str name);
/* How many bytes at the start are of RFC 9110's token. */
size_t head_token_length(struct str s);
static inline bool head_is_token(struct str s)
{
    return s.len > 0 && head_token_length(s) == s.len;
}
bool head_value_is_legal(struct str s);

/* What trusted proxies in front of this gateway said (client_address.h). */
struct head_told {
    struct str via;           /* ", 10.0.0.2, 127.0.0.1": those between the client and us */
    struct str via_forwarded; /* the same for Forwarded: ", for=10.0.0.2, for=…" */
    struct str host;          /* the client's Host; empty: not said */
    const char *proto;        /* "http" or "https"; NULL: not said */
    uint16_t port;            /* 0: not said */
};

/* What the gateway tells the service about the client. */
struct head_forward {
    const char *peer; /* address text */
    bool peer_is_v6;
    const char *proto; /* "http" or "https" */
    uint16_t public_port;
    const struct route *route;
    bool upgrade_from_h2; /* RFC 8441: write a GET with Upgrade and this key */
    const char *ws_key;
    bool has_body;                /* framing: chunked unless content_length is known */
    const struct head_told *told; /* NULL: nobody to believe stands in front */
    struct str request_id;
};

/* The request as HTTP/1.1 for the service. */
void head_write_request(struct wbuf_pool *pool, struct wbuf *out, const struct head *h,
                        const struct head_forward *fwd);
/* Trailer fields as HTTP/1 lines, without those not allowed. */
void head_write_trailers(struct wbuf_pool *pool, struct wbuf *out, const struct head *trailers);

#endif
