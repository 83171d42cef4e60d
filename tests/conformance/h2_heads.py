"""Heads that come over HTTP/2, and what HTTP/1.1 becomes of them (RFC 9113 section 8)."""
from conformance.check import (H2Check, HOST, SMUGGLED, both, either, h2_broken_off, h2_fields,
                               h2_refused, has, lacks, served, target)
from conformance.recorder import Reply

# A malformed request is a stream error; a server may say 400 first (RFC 9113 8.1.1).
MALFORMED = h2_refused(400)
RESET = h2_refused()
SPLIT = b" HTTP/1.1\r\nHost: evil.example\r\n\r\nGET @T@-smuggled"


def h2(name, *extra, expect=MALFORMED, ours=RESET, rfc="9113 8.2.1", body=None, trailers=None,
       reply=None, **pseudo):
    """RESET is our promise for what is malformed; ours=None where 400 is the answer."""
    ours = ours if expect is MALFORMED else (None if ours is RESET else ours)
    return H2Check("h2: " + name, rfc, h2_fields(*extra, **pseudo), expect, ours, body, trailers,
                   reply)


def fields(name, items, expect=MALFORMED, rfc="9113 8.3"):
    return H2Check("h2: " + name, rfc, items, expect, RESET if expect is MALFORMED else None)


VALUES = [("CR LF", b"a\r\nX-Injected: 1"), ("LF", b"a\nX-Injected: 1"), ("CR", b"a\rb"),
          ("NUL", b"a\0b"), ("leading CR LF", b"\r\na"), ("trailing LF", b"a\n"),
          ("a whole request", b"a\r\n\r\n" + SMUGGLED)]
NAMES = [("an upper-case letter", b"X-a"), ("CR LF", b"x\r\ny"), ("a whole field", b"x: y\r\nz"),
         ("a colon", b"x:y"), ("a trailing colon", b"x:"), ("a space", b"x y"), ("a tab", b"x\ty"),
         ("NUL", b"x\0"), ("DEL", b"x\x7f"), ("an 8-bit byte", b"x\xe9"), ("nothing", b""),
         ("a control byte", b"x\x01")]
CONNECTION = [(b"connection", b"close"), (b"connection", b"x-a"), (b"keep-alive", b"timeout=5"),
              (b"proxy-connection", b"keep-alive"), (b"transfer-encoding", b"chunked"),
              (b"transfer-encoding", b"identity"), (b"upgrade", b"websocket"), (b"te", b"gzip"),
              (b"te", b"trailers, gzip")]

FIELDS = [
    h2("plain", expect=served()),
    h2("an empty value", (b"x-a", b""), expect=served(seen=has(b"x-a", b""))),
    h2("obs-text is opaque", (b"x-a", b"\xc3\xa9\xff"),
       expect=served(seen=has(b"x-a", b"\xc3\xa9\xff"))),
    h2("a tab inside a value", (b"x-a", b"a\tb"), expect=served(seen=has(b"x-a", b"a\tb"))),
    h2("order of equal names", (b"x-a", b"1"), (b"x-b", b"x"), (b"x-a", b"2"),
       expect=served(seen=has(b"x-a", b"1", b"2")), rfc="9110 5.3"),
    h2("leading space in a value", (b"x-a", b" a"), expect=either(
        MALFORMED, served(seen=has(b"x-a", b"a")))),
    h2("trailing tab in a value", (b"x-a", b"a\t"), expect=either(
        MALFORMED, served(seen=has(b"x-a", b"a")))),
    h2("control byte in a value", (b"x-a", b"a\x01b"), expect=either(MALFORMED, served()),
       ours=MALFORMED, rfc="9110 5.5"),
    h2("cookie crumbs become one", (b"cookie", b"a=1"), (b"x-b", b"1"), (b"cookie", b"b=2"),
       (b"cookie", b"c=3"), expect=served(seen=has(b"cookie", b"a=1; b=2; c=3")), rfc="9113 8.2.3"),
    h2("te: trailers is legal", (b"te", b"trailers"), expect=served(), rfc="9113 8.2.2"),
    h2("Content-Length with white space", (b"content-length", b" 5"), body=b"hello",
       expect=either(MALFORMED, served(body=b"hello")), method=b"POST"),
] + [h2("value with " + n, (b"x-a", v)) for n, v in VALUES] \
  + [h2("name with " + n, (name, b"v")) for n, name in NAMES] \
  + [h2("connection-specific %s: %s" % (n.decode(), v.decode()), (n, v), rfc="9113 8.2.2")
     for n, v in CONNECTION]

PSEUDO = [
    h2("no :method", drop=("method",), rfc="9113 8.3.1"),
    h2("no :path", drop=("path",), rfc="9113 8.3.1"),
    h2("no :scheme", drop=("scheme",), rfc="9113 8.3.1"),
    h2("no :authority but host", (b"host", b"@H@"), drop=("authority",), expect=served(
        seen=lambda m: None if len(m.all(b"host")) == 1 else "Host lost"), rfc="9113 8.3.1"),
    h2("neither :authority nor host", drop=("authority",),
       expect=h2_refused(400, 404, 421), rfc="9113 8.3.1"),
    h2("empty :path", path=b"", rfc="9113 8.3.1"),
    h2("empty :method", method=b"", rfc="9113 8.3.1"),
    h2("empty :authority", authority=b"", expect=h2_refused(400, 404, 421), rfc="9113 8.3.1"),
    h2("two :path", (b":path", b"/x"), rfc="9113 8.3"),
    h2("two :method", (b":method", b"POST"), rfc="9113 8.3"),
    h2("two :authority", (b":authority", b"@H@"), rfc="9113 8.3"),
    fields("unknown pseudo-field", h2_fields() + [(b":x", b"y")]),
    fields(":status in a request", h2_fields() + [(b":status", b"200")]),
    fields("pseudo-field behind a field", [(b":method", b"GET"), (b":scheme", b"https"),
                                           (b":authority", b"@H@"), (b"x-a", b"1"),
                                           (b":path", b"@T@")]),
    h2("upper-case pseudo-field", (b":PATH", b"/x"), rfc="9113 8.3"),
    h2(":protocol without CONNECT", (b":protocol", b"websocket"), rfc="8441 4"),
    fields("CONNECT as a plain proxy", [(b":method", b"CONNECT"), (b":authority", b"@H@:443")],
           h2_refused(400, 403, 404, 405, 421, 501), rfc="9113 8.5"),
    h2("CONNECT with :path and :scheme", method=b"CONNECT",
       expect=h2_refused(400, 403, 404, 405, 421, 501), rfc="9113 8.5"),
    h2("host agrees with :authority", (b"host", b"@H@"), expect=served(
        seen=lambda m: None if len(m.all(b"host")) == 1 else "Host %r" % m.all(b"host")),
       rfc="9113 8.3.1"),
    h2("host disagrees with :authority", (b"host", b"other.example"), expect=either(
        MALFORMED, served(seen=has(b"host", HOST.encode()))), ours=MALFORMED, rfc="9113 8.3.1"),
    h2("two host fields", (b"host", b"@H@"), (b"host", b"other.example"),
       expect=either(MALFORMED, served(seen=has(b"host", HOST.encode()))), ours=MALFORMED,
       rfc="9113 8.3.1"),
]

TARGETS = [
    h2(":path that splits", path=b"@T@" + SPLIT, rfc="9113 8.3.1"),
    h2(":path with a space", path=b"@T@ HTTP/1.1", expect=MALFORMED, ours=MALFORMED),
    h2(":path with LF", path=b"@T@\nX: y"), h2(":path with CR", path=b"@T@\rx"),
    h2(":path with NUL", path=b"@T@\0"), h2(":path with a tab", path=b"@T@\tx"),
    h2(":path with DEL", path=b"@T@\x7f", ours=MALFORMED),
    h2(":path without a slash", path=b"t000000", ours=MALFORMED, rfc="9113 8.3.1"),
    h2(":path is a URL", path=b"https://@H@@T@", ours=MALFORMED, rfc="9113 8.3.1"),
    h2(":path with a fragment", path=b"@T@#f", ours=MALFORMED, rfc="9113 8.3.1"),
    h2(":path with non-ASCII", path=b"@T@\xc3\xa9", ours=MALFORMED, rfc="9113 8.3.1"),
    h2(":path * with GET", path=b"*", expect=h2_refused(400, 404), rfc="9113 8.3.1"),
    h2(":path * with OPTIONS", path=b"*", method=b"OPTIONS",
       expect=either(served(seen=target(b"*")), h2_refused(200, 204, 400, 404, 405, 501)),
       ours=served(seen=target(b"*")), rfc="9113 8.3.1"),
    h2(":path is untouched", path=b"@T@/a/../b/%2e%2E//?x=%20%zz&y", rfc="9110 7.7",
       expect=served(seen=target(b"@T@/a/../b/%2e%2E//?x=%20%zz&y"))),
    h2(":path with a backslash first", path=b"\\@T@", ours=MALFORMED, rfc="9113 8.3.1"),
    h2(":method that splits", method=b"GET @T@-x HTTP/1.1\r\nX: y\r\n\r\nGET"),
    h2(":method with a space", method=b"GET @T@-x"), h2(":method with CR LF", method=b"GET\r\nX"),
    h2(":method with a colon", method=b"GET:", expect=h2_refused(400, 405, 501)),
    h2(":method with NUL", method=b"G\0T"),
    h2(":method in lower case", method=b"get", expect=either(
        served(seen=lambda m: None if m.method == b"get" else "became %r" % m.method),
        h2_refused(400, 405, 501)), rfc="9110 9.1"),
    h2(":authority that splits", authority=b"@H@\r\nX: y\r\n\r\nGET /x"),
    h2(":authority with a space", authority=b"@H@ x", expect=MALFORMED, ours=MALFORMED),
    h2(":authority with LF", authority=b"@H@\nX: y"), h2(":authority with NUL", authority=b"@H@\0"),
    h2(":authority with a slash", authority=b"@H@/x", ours=MALFORMED),
    h2(":authority with userinfo", authority=b"user@@H@", ours=MALFORMED, rfc="9113 8.3.1"),
    h2(":authority with a list", authority=b"@H@,x", ours=MALFORMED),
    h2(":authority with a bad port", authority=b"@H@:x", ours=MALFORMED),
    h2(":authority with a port", authority=b"@H@:8443", expect=served(), rfc="9113 8.3.1"),
    h2(":authority with non-ASCII", authority=b"@H@\xff", ours=MALFORMED),
    h2(":scheme that splits", scheme=b"https://x/ HTTP/1.1\r\nX: y\r\n\r\n"),
    h2(":scheme with a slash", scheme=b"https://@H@/x?", expect=either(
        MALFORMED, served(seen=lambda m: None if b"//" not in m.target else "scheme in target")),
       ours=MALFORMED, rfc="9113 8.3.1"),
    h2(":scheme http on TLS", scheme=b"http", expect=either(
        served(seen=has(b"x-forwarded-proto", b"https")), h2_refused(400, 421)),
       rfc="9113 8.3.1"),
]

BODIES = [
    h2("POST", method=b"POST", body=b"hello", expect=served(body=b"hello")),
    h2("POST with Content-Length", (b"content-length", b"5"), method=b"POST", body=b"hello",
       expect=served(body=b"hello"), rfc="9113 8.1.1"),
    h2("length less than the body: h2.CL", (b"content-length", b"0"), method=b"POST",
       body=SMUGGLED, expect=h2_broken_off(400), rfc="9113 8.1.1"),
    h2("length of 3 and a body of 5", (b"content-length", b"3"), method=b"POST", body=b"hello",
       expect=h2_broken_off(400), rfc="9113 8.1.1"),
    h2("length more than the body", (b"content-length", b"50"), method=b"POST", body=b"hello",
       expect=h2_broken_off(400, 502), rfc="9113 8.1.1"),
    h2("a length and no body", (b"content-length", b"5"), method=b"POST",
       expect=h2_broken_off(400), rfc="9113 8.1.1"),
    h2("differing lengths", (b"content-length", b"5"), (b"content-length", b"6"), method=b"POST",
       body=b"hello", expect=h2_broken_off(400), rfc="9110 8.6"),
    h2("length +5", (b"content-length", b"+5"), method=b"POST", body=b"hello",
       expect=h2_broken_off(400), rfc="9110 8.6"),
    h2("length of nothing", (b"content-length", b""), method=b"POST", body=b"hello",
       expect=h2_broken_off(400), rfc="9110 8.6"),
    h2("length 5, 6", (b"content-length", b"5, 6"), method=b"POST", body=b"hello",
       expect=h2_broken_off(400), rfc="9110 8.6"),
    h2("length 2^64+5", (b"content-length", b"18446744073709551621"), method=b"POST",
       body=b"hello", expect=h2_broken_off(400, 413), rfc="9110 8.6"),
    h2("h2.TE", (b"transfer-encoding", b"chunked"), method=b"POST", body=b"0\r\n\r\n" + SMUGGLED,
       expect=h2_broken_off(400), rfc="9113 8.2.2"),
    h2("h2.TE behind an injected value", (b"x-a", b"b\r\ntransfer-encoding: chunked"),
       method=b"POST", body=b"0\r\n\r\n" + SMUGGLED, expect=h2_broken_off(400)),
    h2("chunks in DATA are only data", method=b"POST", body=b"0\r\n\r\n" + SMUGGLED,
       expect=served(seen=lambda m: None if m.body.endswith(b"\r\n\r\n") else "body lost")),
    h2("GET with a body", body=b"hello", expect=served(body=b"hello"), rfc="9110 9.3.1"),
    h2("trailers", method=b"POST", body=b"hello", trailers=[(b"x-t", b"v")],
       expect=both(served(body=b"hello"), served(seen=lacks(b"x-t"))), ours=served(
           seen=lambda m: None if (b"x-t", b"v") in m.trailers else "not passed on"),
       rfc="9113 8.1"),
    h2("trailers with a pseudo-field", method=b"POST", body=b"hello",
       trailers=[(b":path", b"/x")], expect=h2_broken_off(400), rfc="9113 8.1"),
    h2("trailers with CR LF", method=b"POST", body=b"hello", trailers=[(b"x-t", b"a\r\nb: c")],
       expect=h2_broken_off(400)),
    h2("trailers with an upper-case name", method=b"POST", body=b"hello",
       trailers=[(b"X-T", b"a")], expect=h2_broken_off(400)),
    h2("trailers with a length", method=b"POST", body=b"hello",
       trailers=[(b"content-length", b"99")], expect=either(h2_broken_off(400), served(
           seen=lambda m: None if not any(n.lower() == b"content-length" for n, _ in m.trailers)
           else "got through")), rfc="9110 6.5.1"),
    h2("trailers with Transfer-Encoding", method=b"POST", body=b"hello",
       trailers=[(b"transfer-encoding", b"chunked")], expect=either(h2_broken_off(400), served(
           seen=lambda m: None if not m.trailers else "got through")), rfc="9113 8.2.2"),
    h2("Expect: 100-continue", (b"expect", b"100-continue"), method=b"POST", body=b"hello",
       expect=served(body=b"hello"), rfc="9110 10.1.1"),
]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
ANSWERS = [
    h2("answer's connection fields go", reply=Reply(
        OK + b"Connection: X-A\r\nX-A: 1\r\nKeep-Alive: x\r\nUpgrade: y\r\n\r\nhello"),
       expect=served(got=lacks(b"connection", b"x-a", b"keep-alive", b"upgrade")),
       rfc="9113 8.2.2"),
    h2("answer's names become lower-case", reply=Reply(OK + b"X-UPPER: 1\r\n\r\nhello"),
       expect=served(got=lambda m: None if (b"x-upper", b"1") in m.fields else "%r" % m.fields),
       rfc="9113 8.2.1"),
    h2("answer's chunks end here", reply=Reply(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
       expect=served(got=lambda m: lacks(b"transfer-encoding")(m) or (
           None if m.body == b"hello" else "body %r" % m.body)), rfc="9113 8.2.2"),
    h2("answer cut off", reply=Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
                                     close=True),
       expect=lambda o: "a cut answer arrived whole" if o.status and o.status < 400 and
       o.responses else None, rfc="9113 8.1"),
    h2("answer of garbage", reply=Reply(b"garbage\r\n\r\n", close=True), expect=lambda o:
       None if o.reset is not None or (o.status or 0) >= 500 else "status %s" % o.status, rfc="9110 15.6.3"),
    h2("answer 101 unasked", reply=Reply(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
       expect=lambda o: None if o.reset is not None or (o.status or 0) >= 500
       else "status %s, interim %r" % (o.status, o.interim), rfc="9113 8.6"),
    h2("answer with 103", reply=Reply(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"\r\nhello"),
       expect=served(got=lambda m: None if [i.status for i in m.interim] == [103] else
                     "1xx: %r" % m.interim), rfc="9110 15.2"),
    h2("Date is added", reply=Reply(OK + b"\r\nhello"), expect=served(
        got=lambda m: None if len(m.all(b"date")) == 1 else "Date %r" % m.all(b"date")),
       rfc="9110 6.6.1"),
]

CHECKS = FIELDS + PSEUDO + TARGETS + BODIES + ANSWERS
