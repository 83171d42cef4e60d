/* reply: see reply.h. */
#include "gateway/reply.h"

#include <errno.h>

#include "base/auto.h"
#include "gateway/page.h"

enum { FIELDS_MAX = 16, REFRESH_SECONDS = 2, WEIGHT_ONE = 1000 };

const char *status_phrase(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {303, "See Other"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < COUNT_OF(phrases); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}

/* RFC 9110 12.4.2: "q=0.857" in thousandths; what is malformed counts as not wanted. */
static unsigned parse_weight(struct str text)
{
    unsigned weight = 0;
    unsigned digit = WEIGHT_ONE;
    if (text.len == 0 || text.len > 5 || (text.ptr[0] != '0' && text.ptr[0] != '1') ||
        (text.len > 1 && text.ptr[1] != '.')) {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (i == 1) {
            continue;
        }
        if (!ascii_is_digit(text.ptr[i])) {
            return 0;
        }
        weight += (unsigned)(text.ptr[i] - '0') * digit;
        digit /= 10;
    }
    return weight > WEIGHT_ONE ? 0 : weight;
}

/* How much a form is wanted: by the most specific range that covers it. */
struct wish {
    unsigned specificity; /* 0: no range yet; 1: any, 2: its type, 3: itself */
    unsigned weight;
    unsigned position; /* of the range, to break ties */
};

static void apply_range(struct wish wishes[3], struct str range, unsigned position)
{
    static const struct str types[3][2] = {
        [REPLY_TEXT] = {{"text/*", 6}, {"text/plain", 10}},
        [REPLY_HTML] = {{"text/*", 6}, {"text/html", 9}},
        [REPLY_JSON] = {{"application/*", 13}, {"application/json", 16}},
    };
    struct str part;
    unsigned weight = WEIGHT_ONE;
    (void)str_next(&range, ';', &part);
    struct str type = str_trim(part);
    while (str_next(&range, ';', &part)) {
        part = str_trim(part);
        if (part.len >= 2 && ascii_lower(part.ptr[0]) == 'q' && part.ptr[1] == '=') {
            weight = parse_weight((struct str){part.ptr + 2, part.len - 2});
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        unsigned specificity = str_eq_nocase(type, types[i][1])   ? 3
                               : str_eq_nocase(type, types[i][0]) ? 2
                               : str_eq(type, STR("*/*"))         ? 1
                                                                  : 0;
        if (specificity > wishes[i].specificity) {
            wishes[i] = (struct wish){specificity, weight, position};
        }
    }
}

static bool is_better(const struct wish *a, const struct wish *b)
{
    if (a->weight != b->weight || a->weight == 0) {
        return a->weight > b->weight;
    }
    if (a->specificity != b->specificity) {
        return a->specificity > b->specificity;
    }
    return a->position < b->position;
}

enum reply_format reply_format_of(const struct head *request)
{
    struct wish wishes[3] = {0};
    unsigned position = 0;
    for (uint32_t i = 0; i < request->count; i++) {
        struct str list = request->fields[i].value;
        struct str range;
        if (!str_eq_nocase(request->fields[i].name, STR("accept"))) {
            continue;
        }
        while (str_next(&list, ',', &range)) {
            apply_range(wishes, range, position++);
        }
    }
    enum reply_format best = REPLY_TEXT;
    for (unsigned i = REPLY_HTML; i <= REPLY_JSON; i++) {
        if (is_better(&wishes[i], &wishes[best])) {
            best = (enum reply_format)i;
        }
    }
    return best;
}

static void write_json(struct text *out, const struct reply *r)
{
    text_add(out, STR("{\"error\":{\"code\":"));
    if (r->code != NULL) {
        text_add_json(out, str_of(r->code));
    } else {
        text_printf(out, "\"http-%u\"", r->status);
    }
    text_add(out, STR(",\"message\":"));
    text_add_json(out, str_of(r->text));
    text_printf(out, "},\"status\":%u", r->status);
    for (uint32_t i = 0; i < r->fact_count; i++) {
        const struct reply_fact *fact = &r->facts[i];
        text_printf(out, ",\"%s\":", fact->key);
        if (fact->is_number) {
            text_printf(out, "%llu", (unsigned long long)fact->number);
        } else {
            text_add_json(out, fact->value);
        }
    }
    text_add(out, STR("}\n"));
}

static void add(struct head *h, struct arena *arena, struct str name, const char *value)
{
    if (value != NULL) {
        CHECK(head_add(h, arena, name, str_of(value), FIELDS_MAX) || arena->failed);
    }
}

static void add_number(struct head *h, struct arena *arena, struct str name, uint64_t value)
{
    if (value > 0) {
        add(h, arena, name, arena_try_printf(arena, "%llu", (unsigned long long)value));
    }
}

static void add_fields(struct head *h, const struct reply *r, enum reply_format format,
                       struct arena *arena)
{
    static const char *const types[] = {
        [REPLY_TEXT] = "text/plain; charset=utf-8",
        [REPLY_HTML] = "text/html; charset=utf-8",
        [REPLY_JSON] = "application/json",
    };
    bool page = format == REPLY_HTML;
    add(h, arena, STR("content-type"), types[format]);
    add(h, arena, STR("cache-control"), "no-store");
    add(h, arena, STR("x-content-type-options"), "nosniff");
    add(h, arena, STR("content-security-policy"),
        page ? PAGE_POLICY : "default-src 'none'; frame-ancestors 'none'");
    /* Under no-referrer a browser posts the form with Origin "null". */
    add(h, arena, STR("referrer-policy"),
        page && r->form != REPLY_FORM_NONE ? "same-origin" : "no-referrer");
    add(h, arena, STR("allow"),
        r->allow != NULL   ? r->allow
        : r->status == 405 ? "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
                           : NULL);
    add_number(h, arena, STR("retry-after"), r->retry_after_s);
    add_number(h, arena, STR("refresh"), page ? r->refresh_s : 0);
    add(h, arena, STR("set-cookie"), r->set_cookie);
    add(h, arena, STR("location"), r->location);
}

struct str reply_build(const struct reply *r, const struct head *request, struct head *response,
                       struct arena *arena)
{
    enum { TEXT_BYTES = 512, PAGE_BYTES = 8192 };
    enum reply_format format = reply_format_of(request);
    struct text body;
    text_init(&body, arena, format == REPLY_HTML ? PAGE_BYTES : TEXT_BYTES);
    switch (format) {
    case REPLY_HTML:
        page_write(&body, r);
        break;
    case REPLY_JSON:
        write_json(&body, r);
        break;
    case REPLY_TEXT:
        text_add(&body, str_of(r->text));
        text_add(&body, STR("\n"));
        break;
    }
    head_init(response, false);
    response->status = r->status;
    response->reason = str_of(status_phrase(r->status));
    response->content_length = (int64_t)body.len;
    add_fields(response, r, format, arena);
    add_number(response, arena, STR("content-length"), body.len);
    return text_str(&body);
}

struct reply reply_plain(uint16_t status, const char *text)
{
    return (struct reply){
        .status = status, .text = text, .retry_after_s = status == 503 || status == 429 ? 1 : 0};
}

static void add_fact(struct reply *r, const char *key, const char *label, struct str value)
{
    CHECK(r->fact_count < REPLY_FACTS_MAX);
    if (value.len > 0) {
        r->facts[r->fact_count++] = (struct reply_fact){.key = key, .label = label, .value = value};
    }
}

struct reply reply_no_route(struct str host, struct arena *arena)
{
    return (struct reply){
        .status = 404,
        .code = "no-route",
        .text = "tunnel: no route for host",
        .title = "No such address",
        .message =
            arena_try_printf(arena,
                             "Nothing is served at %.*s. It may not be running, or the name may "
                             "be mistyped.",
                             STR_ARG(host)),
    };
}

struct reply reply_forbidden(void)
{
    return (struct reply){
        .status = 403,
        .code = "forbidden",
        .text = "tunnel: forbidden",
        .message = "You are not allowed to see this address from where you are.",
    };
}

static const char *elapsed_text(uint64_t seconds, struct arena *arena)
{
    unsigned long long s = seconds;
    return s < 60      ? arena_try_printf(arena, "%llu s", s)
           : s < 3600  ? arena_try_printf(arena, "%llu min %llu s", s / 60, s % 60)
           : s < 86400 ? arena_try_printf(arena, "%llu h %llu min", s / 3600, s % 3600 / 60)
                       : arena_try_printf(arena, "%llu d %llu h", s / 86400, s % 86400 / 3600);
}

static void add_route(struct reply *r, const struct route *route)
{
    add_fact(r, "host", "Address", route->host);
    add_fact(r, "service", "Service", route->service);
    add_fact(r, "state", NULL, str_of(route_state_name(route->state)));
}

static void add_elapsed(struct reply *r, const struct route *route, uint64_t now_ms,
                        struct arena *arena)
{
    if (route->since_ms == 0) {
        return;
    }
    uint64_t seconds = now_ms > route->since_ms ? (now_ms - route->since_ms) / 1000 : 0;
    add_fact(r, "elapsedSeconds", "For", str_of(elapsed_text(seconds, arena)));
    r->facts[r->fact_count - 1].is_number = true;
    r->facts[r->fact_count - 1].number = seconds;
}

struct reply reply_not_serving(const struct route *route, uint64_t now_ms, struct arena *arena)
{
    bool starting = route->state == ROUTE_STARTING;
    struct reply r = {
        .status = 503,
        .code = starting ? "starting" : "stopped",
        .text =
            arena_try_printf(arena, "tunnel: %.*s: the service %.*s %s", STR_ARG(route->host),
                             STR_ARG(route->service), starting ? "is starting" : "is not running"),
        .title = starting ? "Starting…" : "Stopped",
        .message = starting ? "The service is not ready yet. This page reloads by itself."
                            : "The service is not running.",
        .retry_after_s = 1,
        .refresh_s = starting ? REFRESH_SECONDS : 0,
    };
    add_route(&r, route);
    if (starting) {
        add_fact(&r, "phase", "Phase", route->phase);
    }
    add_elapsed(&r, route, now_ms, arena);
    return r;
}

struct reply reply_upstream(const struct route *route, bool at_v6, uint16_t status,
                            const char *reason, struct arena *arena)
{
    bool down = strcmp(reason, strerrordesc_np(ECONNREFUSED)) == 0;
    bool failing = route->state == ROUTE_FAILING;
    struct reply r = {
        .status = status,
        .code = failing         ? "health-check-failing"
                : down          ? "service-down"
                : status == 504 ? "upstream-timeout"
                                : "upstream-error",
        .text = arena_try_printf(arena, "tunnel: upstream error (%.*s -> %s:%u: %s)",
                                 STR_ARG(route->host), at_v6 ? "[::1]" : "127.0.0.1", route->port,
                                 reason),
        .title = failing         ? "Health check fails"
                 : down          ? "Service down"
                 : status == 504 ? "No answer in time"
                                 : "Service error",
        .message = failing ? "The service's health check fails, and it did not answer this request."
                   : down  ? "Nothing accepts connections where the service should be. It may have "
                             "ended, or may be restarting."
                   : status == 504 ? "The service took too long."
                                   : "The service did not give a valid answer.",
    };
    add_route(&r, route);
    add_fact(&r, "reason", "Reason", str_of(reason));
    return r;
}
