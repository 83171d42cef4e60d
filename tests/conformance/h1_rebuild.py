"""Nothing is forwarded as bytes: heads are rebuilt; what one exchange leaves behind does not
reach the next (RFC 9112 sections 6.3, 9 and 11)."""
import re

from conformance.check import (Check, FOLLOW, SMUGGLED, SMUGGLED_SIZE, both, chunked, either, has,
                               lacks, post, refused, request, served)
from conformance.recorder import Reply

OURS = (rb"X-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Host: a\.wos\.localhost\r\n"
        rb"X-Forwarded-Proto: https?\r\nX-Forwarded-Port: \d+\r\n"
        rb'Forwarded: for=127\.0\.0\.1;host="a\.wos\.localhost";proto=https?\r\n')


def exactly(head, tail=b"", body=b""):
    """Our promise: these bytes and no others reach the service, but for fields that the gateway
    adds about the exchange itself (X-Request-Id, Via). body None: any, the reader has judged it."""
    pattern = re.compile(re.escape(head).replace(b"@T@", rb"/t\d{6}").replace(
        b"@H@", rb"a\.wos\.localhost") + rb"(?:X-Request-Id: [^\r\n]*\r\n)?" + OURS +
        rb"(?:X-Request-Id: [^\r\n]*\r\n)?Via: 1\.[01] wos\r\n" + re.escape(tail) + b"\r\n" +
        (b"" if body is None else re.escape(body) + rb"\Z"))

    def check(o):
        return None if pattern.match(o.raw) else "the service received %r" % o.raw
    return check


def rebuilt(name, send, head, tail=b"", body=b"", expect=None):
    return Check("rebuilt: " + name, "9112 2.3", send, expect or served(),
                 exactly(head, tail, body))


PLAIN = b"GET @T@ HTTP/1.1\r\nHost: @H@\r\n"

REBUILT = [
    rebuilt("plain", request(), PLAIN),
    rebuilt("HTTP/1.0 becomes 1.1", request(line=b"GET @T@ HTTP/1.0"), PLAIN),
    rebuilt("absolute-form becomes origin-form", request(line=b"GET http://@H@@T@?x HTTP/1.1"),
            b"GET @T@?x HTTP/1.1\r\nHost: @H@\r\n"),
    rebuilt("Host comes first, one space behind each colon",
            request(b"X-A:1", b"X-B: \t 2 \t ", b"hOsT:@H@", b"X-C:", host=None),
            PLAIN + b"X-A: 1\r\nX-B: 2\r\nX-C: \r\n"),
    rebuilt("what ends at this hop is gone", request(
        b"Connection: keep-alive, X-A", b"X-A: 1", b"Keep-Alive: 5", b"Proxy-Connection: x",
        b"TE: gzip", b"Upgrade: h2c", b"HTTP2-Settings: x", b"X-B: 2"), PLAIN + b"X-B: 2\r\n"),
    rebuilt("a length is written anew", post(b"Content-Length: 0005", body=b"hello"),
            b"POST @T@ HTTP/1.1\r\nHost: @H@\r\n", b"Content-Length: 5\r\n", b"hello"),
    rebuilt("chunks are written anew", chunked(
        b'2;a=b\r\nhe\r\n0003;c="d"\r\nllo\r\n000;e\r\nX-T:v\r\nHost: x\r\n\r\n'),
            b"POST @T@ HTTP/1.1\r\nHost: @H@\r\n", b"Transfer-Encoding: chunked\r\n", None,
            served(body=b"hello", seen=lambda m: None if b";" not in m.body and not any(
                n.lower() == b"host" for n, _ in m.trailers) else "%r" % m.trailers)),
    rebuilt("what only the gateway may say", request(
        b"X-Forwarded-For: 6.6.6.6", b"Forwarded: for=6.6.6.6", b"X-Real-IP: 6.6.6.6",
        b"X_Forwarded_For: 6.6.6.6", b"X-Forwarded-Port: 1", b"X-Forwarded-Server: x"), PLAIN),
    Check("rebuilt: underscores do not make framing fields", "9112 6.3",
          post(b"Content_Length: 3", b"Transfer_Encoding: chunked", b"Content-Length: 5",
               body=b"hello"), either(served(body=b"hello"), refused(400)),
          served(seen=lacks(b"content_length", b"transfer_encoding"))),
]


def not_smuggled(o):
    bad = [m for m in o.seen if b"-smuggled" in m.target]
    return "the service saw %r" % bad[0] if bad else None


EARLY = Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", early=True)

ACROSS = [
    Check("across: a body behind an early answer is no request", "9112 9.3",
          [post(b"Content-Length: %d" % (SMUGGLED_SIZE + 10)), "interim", SMUGGLED],
          not_smuggled, reply=EARLY),
    Check("across: chunks behind an early answer are no request", "9112 9.3",
          [chunked(b"%x\r\n" % (SMUGGLED_SIZE + 10)), "interim", SMUGGLED],
          not_smuggled, reply=EARLY),
    Check("across: no body behind a refused expectation", "9110 10.1.1",
          [post(b"Expect: 100-continue", b"Content-Length: %d" % (SMUGGLED_SIZE + 10)), "interim",
           SMUGGLED], not_smuggled, reply=Reply(
               b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", early=True)),
    Check("across: HTTP/1.0 without keep-alive ends a pipeline", "9112 9.3",
          request(line=b"GET @T@ HTTP/1.0") + FOLLOW,
          lambda o: None if len(o.seen) == 1 and o.closed else "%d requests, closed: %s" % (
              len(o.seen), o.closed), close=True),
    Check("across: a service's HTTP/1.0 answer leaves the pipeline whole", "9112 9.3",
          request() + FOLLOW, served(2), answers=2,
          reply=Reply(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", close=True)),
    Check("across: HEAD to an unknown host has no body", "9110 9.3.2",
          request(line=b"HEAD @T@ HTTP/1.1", host=b"Host: other.example") + FOLLOW,
          lambda o: None if o.responses and o.responses[-1].status == 200 else "%s" % o.responses,
          answers=2, methods=[b"HEAD", b"GET"]),
    Check("across: a body for an unknown host is no request", "9112 9.3",
          post(b"Content-Length: %d" % SMUGGLED_SIZE, host=b"Host: other.example") + SMUGGLED,
          not_smuggled, close=True),
    Check("across: a 405 has Allow", "9110 15.5.6", request(line=b"CONNECT @H@:443 HTTP/1.1"),
          lambda o: None if o.status != 405 or o.responses[-1].all(b"allow") else "no Allow"),
    Check("across: OPTIONS that ends here says what is allowed", "9110 9.3.7",
          request(b"Max-Forwards: 0", line=b"OPTIONS @T@ HTTP/1.1"),
          lambda o: None, lambda o: None if o.responses[-1].all(b"allow") else "no Allow"),
    Check("across: Trailer comes with its trailers or not at all", "9110 6.6.2",
          chunked(b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n", b"Trailer: X-T"),
          served(body=b"hello", seen=lambda m: None if not m.all(b"trailer") or m.trailers
                 else "announced and not sent")),
    Check("across: two answers for two methods", "9110 9.3.2",
          request(line=b"HEAD @T@ HTTP/1.1") + post(b"Content-Length: 3", body=b"abc",
                                                    line=b"POST @T@-2 HTTP/1.1"),
          both(served(2), lambda o: None if not o.responses[0].body and o.responses[1].body else
               "bodies %r" % [r.body for r in o.responses]), answers=2,
          methods=[b"HEAD", b"POST"]),
    Check("across: response fields keep their order and case-insensitive names", "9110 5.3",
          request(), served(got=both(has(b"x-a", b"1", b"2"), has(b"X-b", b"3"))),
          reply=Reply(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-B: 3\r\nX-A: 2\r\nContent-Length: 0\r\n\r\n")),
]

CHECKS = REBUILT + ACROSS
