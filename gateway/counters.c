/* counters: see counters.h. Tables only. */
#include "gateway/counters.h"

#include <stddef.h>

#include "base/auto.h"

const uint32_t latency_bounds_us[LATENCY_BUCKETS] = {
    1000,   2500,   5000,    10000,   25000,   50000,    100000,
    250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

const char *exchange_deny_name(enum exchange_deny deny)
{
    static const char *const names[EXCHANGE_DENY_COUNT] = {
        [EXCHANGE_ALLOWED] = "allowed",
        [EXCHANGE_DENY_MALFORMED] = "malformed",
        [EXCHANGE_DENY_LIMIT] = "limit",
        [EXCHANGE_DENY_TIMEOUT] = "timeout",
        [EXCHANGE_DENY_UNKNOWN_HOST] = "unknown-host",
        [EXCHANGE_DENY_WHITELIST] = "whitelist",
        [EXCHANGE_DENY_SECRET] = "secret",
        [EXCHANGE_DENY_ORIGIN] = "origin",
        [EXCHANGE_DENY_THROTTLE] = "throttle",
        [EXCHANGE_DENY_RATE] = "rate",
        [EXCHANGE_DENY_BUSY] = "busy",
        [EXCHANGE_DENY_STATE] = "state",
    };
    CHECK(deny < EXCHANGE_DENY_COUNT);
    return names[deny];
}

const char *refused_reason_name(enum refused_reason reason)
{
    static const char *const names[REFUSED_COUNT] = {
        [REFUSED_HANDSHAKE] = "handshake",
        [REFUSED_TIMEOUT] = "timeout",
        [REFUSED_PROXY] = "proxy",
        [REFUSED_ADDRESS] = "address",
        [REFUSED_LIMIT] = "limit",
        [REFUSED_HTTP2] = "http2",
        [REFUSED_TLS] = "tls",
    };
    CHECK(reason < REFUSED_COUNT);
    return names[reason];
}

const char *upstream_fault_name(enum upstream_fault fault)
{
    static const char *const names[UPSTREAM_FAULT_COUNT] = {
        [UPSTREAM_FAULT_CONNECT] = "connect",
        [UPSTREAM_FAULT_TIMEOUT] = "timeout",
        [UPSTREAM_FAULT_ANSWER] = "answer",
        [UPSTREAM_FAULT_CUT] = "cut",
    };
    CHECK(fault < UPSTREAM_FAULT_COUNT);
    return names[fault];
}

const char *exchange_abort_name(enum exchange_abort abort)
{
    static const char *const names[] = {
        [ABORT_NONE] = NULL,         [ABORT_CLIENT] = "client", [ABORT_SERVICE] = "service",
        [ABORT_TIMEOUT] = "timeout", [ABORT_MEMORY] = "memory", [ABORT_SHUTDOWN] = "shutdown",
        [ABORT_POLICY] = "policy",
    };
    CHECK(abort < COUNT_OF(names));
    return names[abort];
}

const char *request_protocol_name(enum request_protocol protocol)
{
    static const char *const names[PROTOCOL_COUNT] = {
        [PROTOCOL_HTTP10] = "HTTP/1.0",
        [PROTOCOL_HTTP11] = "HTTP/1.1",
        [PROTOCOL_HTTP2] = "HTTP/2",
        [PROTOCOL_TUNNEL] = "websocket",
    };
    CHECK(protocol < PROTOCOL_COUNT);
    return names[protocol];
}
