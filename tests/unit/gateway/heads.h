/* Heads for the tests of gateway/head: parsed from text, or as HTTP/2 gives them. */
#ifndef WOS_TESTS_GATEWAY_HEADS_H
#define WOS_TESTS_GATEWAY_HEADS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/auto.h"
#include "gateway/h1.h"
#include "gateway/head.h"

/* A str in the initialiser of a table. */
#define LIT(text)                                                                                  \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

static struct arena arena;
static struct head head;

static inline struct str copy(const char *text)
{
    return str_of(arena_strdup(&arena, text));
}

/* Parses an HTTP/1 head that is legal as syntax, and judges it. */
static inline struct head_fault judge(const char *text, bool is_request)
{
    size_t used;
    struct head_fault fault = {0, NULL};
    arena_reset(&arena);
    enum h1_result result =
        is_request
            ? h1_parse_request(&head, &arena, text, strlen(text), &limits_default, &used, &fault)
            : h1_parse_response(&head, &arena, text, strlen(text), &limits_default, &used, &fault);
    if (result != H1_DONE) {
        fail_msg("not parsed (%s): %s", fault.why == NULL ? "more" : fault.why, text);
    }
    return is_request ? head_check(&head) : head_check_response(&head);
}

static inline void legal(const char *text)
{
    struct head_fault fault = judge(text, true);
    if (fault.status != 0) {
        fail_msg("%u %s: %s", fault.status, fault.why, text);
    }
}

#define GET "GET / HTTP/1.1\r\nHost: a.example\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a.example\r\n"

/* An HTTP/2 request; NULL: that pseudo field is not there. Pairs of fields, NULL ends. */
static inline struct head_fault judge_h2(const char *method, const char *path,
                                         const char *authority, const char *protocol,
                                         const char *const *fields)
{
    arena_reset(&arena);
    head_init(&head, true);
    head.is_h2 = true;
    head.scheme = STR("https");
    head.method = method == NULL ? STR_NONE : copy(method);
    head.target = path == NULL ? STR_NONE : copy(path);
    head.authority = authority == NULL ? STR_NONE : copy(authority);
    head.protocol = protocol == NULL ? STR_NONE : copy(protocol);
    for (size_t i = 0; fields != NULL && fields[i] != NULL; i += 2) {
        assert_true(head_add(&head, &arena, copy(fields[i]), copy(fields[i + 1]), 200));
    }
    return head_check(&head);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
