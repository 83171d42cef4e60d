/* HTTP/1 syntax (RFC 9112): which heads and bodies are legal, and that where
 * the bytes were cut on their way makes no difference. */
#include "gateway/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"

/* A str in the initialiser of a table; NULs inside count. */
#define LIT(text)                                                                                  \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

static struct arena arena;
static struct head head;
static struct head_fault fault;

static enum h1_result parse(struct str text, bool is_request, size_t *out_used)
{
    arena_reset(&arena);
    fault = (struct head_fault){0, NULL};
    /* On its own block, so that a read beyond the end is seen. */
    char *copy = xmalloc(text.len + 1);
    memcpy(copy, text.ptr, text.len);
    char *exact = xrealloc(copy, text.len == 0 ? 1 : text.len);
    enum h1_result result =
        is_request
            ? h1_parse_request(&head, &arena, exact, text.len, &limits_default, out_used, &fault)
            : h1_parse_response(&head, &arena, exact, text.len, &limits_default, out_used, &fault);
    free(exact);
    return result;
}

static void assert_str(struct str got, const char *expected)
{
    if (!str_eq(got, str_of(expected))) {
        fail_msg("got \"%.*s\", not \"%s\"", STR_ARG(got), expected);
    }
}

/* Legal whole, incomplete at every earlier byte, and blind to what follows. */
static void legal(struct str text, bool is_request)
{
    size_t used = 0;
    for (size_t len = 0; len < text.len; len++) {
        if (parse((struct str){text.ptr, len}, is_request, &used) != H1_MORE) {
            fail_msg("%zu bytes of \"%.*s\" are not a head", len, STR_ARG(text));
        }
    }
    char *longer = xasprintf("%.*sGET", STR_ARG(text));
    assert_int_equal(parse(str_of(longer), is_request, &used), H1_DONE);
    assert_int_equal(used, text.len);
    free(longer);
    if (parse(text, is_request, &used) != H1_DONE) {
        fail_msg("refused: %s: \"%.*s\"", fault.why, STR_ARG(text));
    }
    assert_int_equal(used, text.len);
}

/* What the line ends of a head say, a byte at a time. */
static enum h1_result expected_of_lines(struct str text)
{
    size_t line = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\r' && i + 1 == text.len) {
            return H1_MORE;
        }
        if (c == '\0' || c == '\n' || (c == '\r' && text.ptr[i + 1] != '\n')) {
            return H1_FAULT;
        }
        if (c == '\r' && i == line) {
            return H1_DONE;
        }
        if (c == '\r') {
            line = ++i + 1;
        }
    }
    return H1_MORE;
}

/* Any byte at any place, and the bytes cut anywhere behind it. */
static void test_line_ends_anywhere(void **state)
{
    (void)state;
    static const char plain[] = "HTTP/1.1 200 OK\r\nA-Field: text of it\r\nb:\r\n\r\nrest";
    static const char bytes[] = {'\0', '\r', '\n', '\t', 1, 0xf, 0x10, 'x', '\x7f', '\x80', '\xff'};
    char text[sizeof plain - 1];
    for (size_t at = 0; at < sizeof text; at++) {
        for (size_t b = 0; b < sizeof bytes; b++) {
            memcpy(text, plain, sizeof text);
            text[at] = bytes[b];
            for (size_t len = at; len <= sizeof text; len++) {
                size_t used = 0;
                struct str part = {text, len};
                enum h1_result expected = expected_of_lines(part);
                enum h1_result got = parse(part, false, &used);
                bool of_lines = got == H1_FAULT && strstr(fault.why, "in the head") != NULL;
                assert_int_equal(of_lines, expected == H1_FAULT);
                assert_int_equal(got == H1_MORE, expected == H1_MORE);
            }
        }
    }
}

static void test_request_legal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *method;
        const char *target;
        const char *authority;
        const char *scheme;
        unsigned minor;
        unsigned fields;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/", "", "", 1, 1},
        {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "", "", 0, 0},
        {"GET / HTTP/1.2\r\n\r\n", "GET", "/", "", "", 1, 0},
        {"get / HTTP/1.1\r\n\r\n", "get", "/", "", "", 1, 0},
        {"M-SEARCH * HTTP/1.1\r\n\r\n", "M-SEARCH", "*", "", "", 1, 0},
        {"GET /a?b=c&d=%20 HTTP/1.1\r\nA:b\r\nC: \r\nD:\r\n\r\n", "GET", "/a?b=c&d=%20", "", "", 1,
         3},
        {"GET http://a.example/x HTTP/1.1\r\n\r\n", "GET", "/x", "a.example", "http", 1, 0},
        {"GET HTTPS://A.example:8443/?q HTTP/1.1\r\n\r\n", "GET", "/?q", "A.example:8443", "HTTPS",
         1, 0},
        {"GET http://a.example HTTP/1.1\r\n\r\n", "GET", "/", "a.example", "http", 1, 0},
        {"CONNECT a:443 HTTP/1.1\r\n\r\n", "CONNECT", "a:443", "", "", 1, 0},
        {"\r\nGET / HTTP/1.1\r\n\r\n", "GET", "/", "", "", 1, 0},
        {"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", "GET", "/", "", "", 1, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        legal(str_of(rows[i].text), true);
        assert_true(head.is_request);
        assert_false(head.is_h2);
        assert_str(head.method, rows[i].method);
        assert_str(head.target, rows[i].target);
        assert_str(head.authority, rows[i].authority);
        assert_str(head.scheme, rows[i].scheme);
        assert_int_equal(head.minor, rows[i].minor);
        assert_int_equal(head.count, rows[i].fields);
    }
}

static void test_field_values(void **state)
{
    (void)state;
    legal(STR("GET / HTTP/1.1\r\nA: \t one two\t \r\n!#$%&'*+-.^_`|~09: x\r\nO: \xff\x80\r\n"
              "Q: a:b\tc\r\n\r\n"),
          true);
    assert_int_equal(head.count, 4);
    assert_str(head.fields[0].value, "one two");
    assert_str(head.fields[1].name, "!#$%&'*+-.^_`|~09");
    assert_str(head.fields[2].value, "\xff\x80");
    assert_str(head.fields[3].value, "a:b\tc");
    assert_non_null(head_find(&head, STR("q")));
    assert_null(head_find(&head, STR("b")));
}

static void illegal(struct str text, bool is_request, unsigned status)
{
    size_t used = 0;
    enum h1_result result = parse(text, is_request, &used);
    if (result != H1_FAULT || fault.status != status) {
        fail_msg("result %d, status %u (%s), not %u: \"%.*s\"", result, fault.status,
                 fault.why == NULL ? "" : fault.why, status, STR_ARG(text));
    }
    assert_non_null(fault.why);
    /* Cut anywhere, it is refused too: at once or with the rest. */
    for (size_t len = 0; len < text.len; len++) {
        if (parse((struct str){text.ptr, len}, is_request, &used) == H1_DONE) {
            fail_msg("%zu bytes pass of \"%.*s\"", len, STR_ARG(text));
        }
    }
}

static void test_request_illegal(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        unsigned status;
    } rows[] = {
        /* Line ends: RFC 9112 2.2 lets a recipient refuse what is not CRLF. */
        {LIT("GET / HTTP/1.1\n\n"), 400},
        {LIT("GET / HTTP/1.1\nHost: a\n\n"), 400},
        {LIT("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: b\r\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"), 400},
        {LIT("GET /\0 HTTP/1.1\r\n\r\n"), 400},
        /* Five empty lines are more than a client has reason to send. */
        {LIT("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 400},
        /* The request line. */
        {LIT("\r\n\r\nGET\r\n\r\n"), 400},
        {LIT("GET\r\n\r\n"), 400},
        {LIT("GET /\r\n\r\n"), 400},
        {LIT("GET  / HTTP/1.1\r\n\r\n"), 400},
        {LIT("GET /  HTTP/1.1\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1 \r\n\r\n"), 400},
        {LIT(" GET / HTTP/1.1\r\n\r\n"), 400},
        {LIT("GET\t/ HTTP/1.1\r\n\r\n"), 400},
        {LIT("GET /a b HTTP/1.1\r\n\r\n"), 400},
        {LIT("G\x80T / HTTP/1.1\r\n\r\n"), 400},
        {LIT("G(T / HTTP/1.1\r\n\r\n"), 400},
        {LIT("GET / http/1.1\r\n\r\n"), 400},
        {LIT("GET / HTTP/1\r\n\r\n"), 400},
        {LIT("GET / HTTP/11\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.10\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.x\r\n\r\n"), 400},
        {LIT("GET / HTTPS/1.1\r\n\r\n"), 400},
        {LIT("GET / HTTP/0.9\r\n\r\n"), 505},
        {LIT("GET / HTTP/2.0\r\n\r\n"), 505},
        {LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505},
        /* Field lines. */
        {LIT("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\n: a\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nnocolon\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: b\r\n \r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA\x80: b\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA(: b\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: \x01\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nA: \x7f\r\n\r\n"), 400},
        {LIT("GET / HTTP/1.1\r\nTransfer-Encoding\x0b: chunked\r\n\r\n"), 400},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        illegal(rows[i].text, true, rows[i].status);
    }
}

static void test_response_legal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
        unsigned minor;
        const char *reason;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", 200, 1, "OK"},
        {"HTTP/1.1 200 \r\n\r\n", 200, 1, ""},
        {"HTTP/1.1 200\r\n\r\n", 200, 1, ""},
        {"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n", 404, 0, "Not Found"},
        {"HTTP/1.1 100 Continue\r\n\r\n", 100, 1, "Continue"},
        {"HTTP/1.1 599 \xe4\xf6\t!\r\n\r\n", 599, 1, "\xe4\xf6\t!"},
        {"HTTP/1.1 000 x\r\n\r\n", 0, 1, "x"}, /* head_check_response refuses it */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        legal(str_of(rows[i].text), false);
        assert_false(head.is_request);
        assert_int_equal(head.status, rows[i].status);
        assert_int_equal(head.minor, rows[i].minor);
        assert_str(head.reason, rows[i].reason);
    }
}

static void test_response_illegal(void **state)
{
    (void)state;
    static const struct str rows[] = {
        LIT("HTTP/1.1 20 OK\r\n\r\n"),
        LIT("HTTP/1.1 2000 OK\r\n\r\n"),
        LIT("HTTP/1.1 +20 OK\r\n\r\n"),
        LIT("HTTP/1.1 2 0 OK\r\n\r\n"),
        LIT("HTTP/1.1  200 OK\r\n\r\n"),
        LIT("HTTP/1.1 200\tOK\r\n\r\n"),
        LIT("HTTP/2.0 200 OK\r\n\r\n"),
        LIT("HTTP/1.1200 OK\r\n\r\n"),
        LIT("ICY 200 OK\r\n\r\n"),
        LIT("SSH-2.0-OpenSSH_9.2p1\r\n\r\n"),
        LIT("\r\nHTTP/1.1 200 OK\r\n\r\n"),
        LIT("HTTP/1.1 200 OK\n\n"),
        LIT("HTTP/1.1 200 O\x01K\r\n\r\n"),
        LIT("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"),
        LIT("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"),
        LIT("HTTP/1.1 200 OK\r\nA: b\rX: c\r\n\r\n"),
        LIT("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n"),
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        illegal(rows[i], false, 502);
    }
}

/* "GET /xxx… HTTP/1.1" with a target of `target` bytes and `fields` fields
 * "A: xxx…" of `value` bytes each. malloc'ed. */
static struct str big_head(size_t target, size_t fields, size_t value)
{
    struct buf text = {0};
    buf_add_text(&text, "GET /");
    for (size_t i = 1; i < target; i++) {
        buf_add_char(&text, 'x');
    }
    buf_add_text(&text, " HTTP/1.1\r\n");
    for (size_t i = 0; i < fields; i++) {
        buf_add_text(&text, "A: ");
        for (size_t k = 0; k < value; k++) {
            buf_add_char(&text, 'x');
        }
        buf_add_text(&text, "\r\n");
    }
    buf_add_text(&text, "\r\n");
    size_t len = text.len;
    return (struct str){buf_take(&text), len};
}

static void big(size_t target, size_t fields, size_t value, unsigned status)
{
    struct str text = big_head(target, fields, value);
    size_t used = 0;
    enum h1_result result = parse(text, true, &used);
    assert_int_equal(fault.status, status);
    assert_int_equal(result, status == 0 ? H1_DONE : H1_FAULT);
    /* The same verdict, whatever part has come when it falls. */
    for (size_t len = 1; len < text.len; len += 997) {
        result = parse((struct str){text.ptr, len}, true, &used);
        assert_true(result == H1_MORE || (result == H1_FAULT && fault.status == status));
    }
    free((char *)(uintptr_t)text.ptr);
}

static void test_request_limits(void **state)
{
    (void)state;
    const struct limits *limits = &limits_default;
    big(limits->uri_bytes_max, 1, 1, 0);
    big(limits->uri_bytes_max + 1, 1, 1, 414);
    big(limits->header_bytes_max + 1, 0, 0, 414);
    big(1, limits->header_count_max, 1, 0);
    big(1, limits->header_count_max + 1, 1, 431);
    /* "GET / HTTP/1.1" + "A: …" + two line ends and an empty line. */
    big(1, 1, limits->header_bytes_max - 14 - 3 - 6, 0);
    big(1, 1, limits->header_bytes_max - 14 - 3 - 5, 431);
    big(1, 100, 1000, 431);
}

/* What a connection does: keeps what was not used in front of what comes next. */
struct reader {
    struct h1_body body;
    struct buf kept;
    struct buf data;
    enum h1_result result;
};

static void reader_give(struct reader *r, const char *data, size_t len)
{
    buf_add(&r->kept, data, len);
    char *exact = xmalloc(r->kept.len + 1);
    if (r->kept.len > 0) {
        memcpy(exact, r->kept.ptr, r->kept.len);
    }
    size_t at = 0;
    for (;;) {
        struct str piece;
        size_t used;
        r->result = h1_body_read(&r->body, &arena, exact + at, r->kept.len - at, &limits_default,
                                 &piece, &used);
        if (r->result == H1_FAULT) {
            break;
        }
        assert_true(used <= r->kept.len - at);
        if (piece.len > 0) {
            assert_true(piece.ptr >= exact + at && piece.ptr + piece.len <= exact + at + used);
            buf_add(&r->data, piece.ptr, piece.len);
        }
        at += used;
        if (r->result == H1_DONE || used == 0) {
            break;
        }
    }
    buf_consume(&r->kept, at);
    free(exact);
}

static void reader_init(struct reader *r, enum h1_framing framing, uint64_t length)
{
    arena_reset(&arena);
    *r = (struct reader){0};
    h1_body_init(&r->body, framing, length);
}

static void reader_fini(struct reader *r)
{
    buf_fini(&r->kept);
    buf_fini(&r->data);
}

static const struct {
    struct str text;
    const char *data;
    const char *trailer; /* value of X, NULL: none */
} chunked_rows[] = {
    {LIT("0\r\n\r\n"), "", NULL},
    {LIT("5\r\nhello\r\n0\r\n\r\n"), "hello", NULL},
    {LIT("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), "abc", NULL},
    {LIT("00005\r\nhello\r\n000\r\n\r\n"), "hello", NULL},
    {LIT("0000000000000005\r\nhello\r\n00000000000000000000\r\n\r\n"), "hello", NULL},
    {LIT("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"), "01234567890123456789", NULL},
    {LIT("5;a=b;c=\"d e\"\r\nhello\r\n0;last\r\n\r\n"), "hello", NULL},
    {LIT("5 ;a\r\nhello\r\n0\t\r\n\r\n"), "hello", NULL},
    {LIT("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "\r\n\r\n", NULL},
    {LIT("1\r\nx\r\n0\r\nX: y\r\n\r\n"), "x", "y"},
    {LIT("0\r\nA: b\r\nX:  z \r\n\r\n"), "", "z"},
};

static void check_chunked(const struct reader *r, size_t row)
{
    assert_int_equal(r->result, H1_DONE);
    assert_true(r->body.done);
    assert_str(buf_str(&r->data), chunked_rows[row].data);
    assert_int_equal(r->kept.len, 4);
    assert_memory_equal(r->kept.ptr, "NEXT", 4);
    const struct head_field *x =
        r->body.trailers == NULL ? NULL : head_find(r->body.trailers, STR("x"));
    assert_int_equal(x != NULL, chunked_rows[row].trailer != NULL);
    if (x != NULL) {
        assert_str(x->value, chunked_rows[row].trailer);
    }
}

static void test_chunked_split_anywhere(void **state)
{
    (void)state;
    for (size_t row = 0; row < COUNT_OF(chunked_rows); row++) {
        struct str text = chunked_rows[row].text;
        for (size_t first = 0; first <= text.len; first++) {
            for (size_t second = first; second <= text.len; second++) {
                struct reader r;
                reader_init(&r, H1_BODY_CHUNKED, 0);
                reader_give(&r, text.ptr, first);
                assert_int_equal(r.result, first == text.len ? H1_DONE : H1_MORE);
                reader_give(&r, text.ptr + first, second - first);
                assert_int_equal(r.result, second == text.len ? H1_DONE : H1_MORE);
                reader_give(&r, text.ptr + second, text.len - second);
                reader_give(&r, "NEXT", 4);
                check_chunked(&r, row);
                reader_fini(&r);
            }
        }
    }
}

static void test_chunked_byte_by_byte(void **state)
{
    (void)state;
    for (size_t row = 0; row < COUNT_OF(chunked_rows); row++) {
        struct str text = chunked_rows[row].text;
        struct reader r;
        reader_init(&r, H1_BODY_CHUNKED, 0);
        for (size_t i = 0; i < text.len; i++) {
            assert_false(r.body.done);
            reader_give(&r, text.ptr + i, 1);
        }
        reader_give(&r, "NEXT", 4);
        check_chunked(&r, row);
        reader_fini(&r);
    }
}

static void test_chunked_illegal(void **state)
{
    (void)state;
    static const struct str rows[] = {
        LIT("\r\n"),
        LIT("x\r\n"),
        LIT("-1\r\n"),
        LIT("+1\r\na\r\n0\r\n\r\n"),
        LIT("0x1\r\na\r\n0\r\n\r\n"),
        LIT(" 1\r\na\r\n0\r\n\r\n"),
        LIT("1 2\r\na\r\n"),
        LIT("5 junk\r\nhello\r\n"),
        LIT("1\na\n0\n\n"),
        LIT("1\r\na\n0\r\n\r\n"),
        LIT("1\r\na0\r\n\r\n"),
        LIT("1\r\nab\r\n0\r\n\r\n"),
        LIT("1\r\na\rb0\r\n\r\n"),
        LIT("1;a\nb\r\na\r\n0\r\n\r\n"),
        LIT("1;\x01\r\na\r\n"),
        LIT("1\rX\na\r\n"),
        LIT("FFFFFFFFFFFFFFFF\r\n"),
        LIT("10000000000000001\r\n"),
        LIT("1000000000000000\r\n"),
        LIT("000010000000000000001\r\n"),
        LIT("0\r\nA : b\r\n\r\n"),
        LIT("0\r\nA: b\r\n c\r\n\r\n"),
        LIT("0\r\nA: b\n\r\n"),
        LIT("0\r\nno colon\r\n\r\n"),
        LIT("0\r\n\n"),
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t cut = 0; cut <= rows[i].len; cut++) {
            struct reader r;
            reader_init(&r, H1_BODY_CHUNKED, 0);
            reader_give(&r, rows[i].ptr, cut);
            if (r.result != H1_FAULT) {
                reader_give(&r, rows[i].ptr + cut, rows[i].len - cut);
            }
            if (r.result != H1_FAULT) {
                fail_msg("result %d, cut at %zu: \"%.*s\"", r.result, cut, STR_ARG(rows[i]));
            }
            reader_fini(&r);
        }
    }
}

/* White space behind a chunk size is no part of RFC 9112 7.1: requests are refused, the padding
 * of some old servers is not. */
static void test_padded_chunk_size(void **state)
{
    (void)state;
    static const struct str padded = LIT("5 \t\r\nhello\r\n0 \r\n\r\n");
    static const struct str extended = LIT("5 ;a\r\nhello\r\n0\r\n\r\n");
    struct reader r;
    reader_init(&r, H1_BODY_CHUNKED, 0);
    reader_give(&r, padded.ptr, padded.len);
    assert_int_equal(r.result, H1_DONE);
    reader_fini(&r);
    reader_init(&r, H1_BODY_CHUNKED, 0);
    r.body.strict = true;
    reader_give(&r, padded.ptr, padded.len);
    assert_int_equal(r.result, H1_FAULT);
    reader_fini(&r);
    reader_init(&r, H1_BODY_CHUNKED, 0);
    r.body.strict = true;
    reader_give(&r, extended.ptr, extended.len);
    assert_int_equal(r.result, H1_DONE);
    reader_fini(&r);
}

/* A chunk line is bounded, wherever its end would be. */
static void test_chunk_line_bounded(void **state)
{
    (void)state;
    struct reader r;
    reader_init(&r, H1_BODY_CHUNKED, 0);
    reader_give(&r, "1;", 2);
    size_t given = 2;
    while (r.result == H1_MORE && given < 100000) {
        reader_give(&r, "xxxxxxxxxxxxxxxx", 16);
        given += 16;
    }
    assert_int_equal(r.result, H1_FAULT);
    assert_true(given < 5000);
    reader_fini(&r);
    reader_init(&r, H1_BODY_CHUNKED, 0);
    for (given = 0; r.result == H1_MORE && given < 100000; given += 16) {
        reader_give(&r, "0000000000000000", 16);
    }
    assert_int_equal(r.result, H1_FAULT);
    assert_int_equal(given, 4096 + 16);
    reader_fini(&r);
    reader_init(&r, H1_BODY_CHUNKED, 0);
    reader_give(&r, "0\r\n", 3);
    for (given = 0; r.result == H1_MORE && given < 1000000; given += 7) {
        reader_give(&r, "A: bc\r\n", 7);
    }
    assert_int_equal(r.result, H1_FAULT);
    assert_true(given < 70000);
    reader_fini(&r);
}

static void test_other_framings(void **state)
{
    (void)state;
    struct reader r;
    reader_init(&r, H1_BODY_NONE, 0);
    assert_true(r.body.done);
    reader_give(&r, "NEXT", 4);
    assert_int_equal(r.result, H1_DONE);
    assert_int_equal(r.data.len, 0);
    reader_fini(&r);

    reader_init(&r, H1_BODY_LENGTH, 0);
    assert_true(r.body.done);
    reader_fini(&r);

    reader_init(&r, H1_BODY_LENGTH, 5);
    reader_give(&r, "he", 2);
    assert_int_equal(r.result, H1_MORE);
    reader_give(&r, "lloNEXT", 7);
    assert_int_equal(r.result, H1_DONE);
    assert_str(buf_str(&r.data), "hello");
    assert_str(buf_str(&r.kept), "NEXT");
    reader_fini(&r);

    reader_init(&r, H1_BODY_LENGTH, (uint64_t)INT64_MAX);
    reader_give(&r, "x", 1);
    assert_int_equal(r.result, H1_MORE);
    assert_int_equal(r.body.left, (uint64_t)INT64_MAX - 1);
    reader_fini(&r);

    reader_init(&r, H1_BODY_CLOSE, 0);
    reader_give(&r, "0\r\n\r\n", 5);
    assert_int_equal(r.result, H1_MORE);
    assert_str(buf_str(&r.data), "0\r\n\r\n");
    assert_false(r.body.done);
    reader_fini(&r);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_legal),        cmocka_unit_test(test_field_values),
        cmocka_unit_test(test_request_illegal),      cmocka_unit_test(test_response_legal),
        cmocka_unit_test(test_response_illegal),     cmocka_unit_test(test_request_limits),
        cmocka_unit_test(test_line_ends_anywhere),   cmocka_unit_test(test_chunked_split_anywhere),
        cmocka_unit_test(test_chunked_byte_by_byte), cmocka_unit_test(test_chunked_illegal),
        cmocka_unit_test(test_chunk_line_bounded),   cmocka_unit_test(test_other_framings),
        cmocka_unit_test(test_padded_chunk_size),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
