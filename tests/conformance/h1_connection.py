"""Connections, hop-by-hop fields, Expect, Upgrade, Max-Forwards, pipelines."""
from conformance.check import (Check, FOLLOW, answered, both, either, has, lacks, post, refused,
                               request, served, target, version)
from conformance.recorder import Reply

STRICT = refused(400)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def conn(name, *fields, rfc="9110 7.6.1", expect=None, ours=None, **keys):
    check_keys = {k: keys.pop(k) for k in ("reply", "answers", "close", "methods") if k in keys}
    return Check("connection: " + name, rfc, request(*fields, **keys), expect or served(), ours,
                 **check_keys)


def no_connection_of_client(m):
    got = m.tokens(b"connection")
    return None if not set(got) - {b"close", b"keep-alive", b"te", b""} else "Connection %r" % got


def own_forwarded_for(m):
    return None if b"127.0.0.1" in (m.get(b"x-forwarded-for") or b"") else \
        "X-Forwarded-For is %r" % m.get(b"x-forwarded-for")


def all_seen(count, *targets):
    """These targets reached the service in this order, and so did the answers."""
    def check(o):
        wrong = served(count)(o)
        for i, path in enumerate(targets):
            wrong = wrong or target(path)(o.seen[i])
            if not wrong and o.responses[i].body != o.seen[i].target:
                wrong = "answer %d is to %r" % (i, o.responses[i].body)
        return wrong
    return check


def first_only(o):
    if len(o.seen) != 1 or len(o.responses) != 1:
        return "%d requests at the service, %d answers" % (len(o.seen), len(o.responses))
    return None if o.closed else "the connection stays open"


def then_refused(count, *statuses):
    """`count` served in order, then an error and the end."""
    def check(o):
        if len(o.seen) != count:
            return "%d whole requests at the service, not %d" % (len(o.seen), count)
        if o.malformed or not o.closed:
            return "the connection stays open"
        got = [r.status for r in o.responses]
        if got[:count] != [200] * count or (len(got) > count and got[count] not in statuses):
            return "answers %r" % got
        return None if len(got) <= count + 1 else "answers %r" % got
    return check


LIFE = [
    conn("keep-alive is the default", expect=served(2), answers=2, body=FOLLOW, rfc="9112 9.3"),
    conn("close", b"Connection: close", expect=served(closed=True), rfc="9112 9.6"),
    conn("CLOSE in capitals", b"Connection: CLOSE", expect=served(closed=True), close=True,
         rfc="9112 9.6"),
    conn("close in a list", b"Connection: x, close ,y", expect=served(closed=True), close=True,
         rfc="9112 9.6"),
    conn("close in a second field", b"Connection: x", b"Connection: close",
         expect=served(closed=True), close=True, rfc="9112 9.6"),
    conn("a request behind close is not served", b"Connection: close", body=FOLLOW,
         expect=first_only, close=True, rfc="9112 9.6"),
    conn("HTTP/1.0 closes", line=b"GET @T@ HTTP/1.0", expect=served(closed=True), close=True,
         rfc="9112 9.3"),
    conn("HTTP/1.0 is forwarded as 1.1", line=b"GET @T@ HTTP/1.0",
         expect=served(seen=version(b"HTTP/1.1")), rfc="9112 2.3"),
    conn("HTTP/1.0 with keep-alive", b"Connection: keep-alive", line=b"GET @T@ HTTP/1.0",
         body=FOLLOW, expect=either(served(2), served(1, closed=True)), answers=2, close=False,
         ours=served(2), rfc="9112 9.3"),
    conn("HTTP/1.0 gets no chunks", line=b"GET @T@ HTTP/1.0", close=True, rfc="9112 7",
         reply=Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"5\r\nhello\r\n0\r\n\r\n"),
         expect=served(got=lambda r: None if r.body == b"hello" and not r.chunked
                       else "answer %r" % r)),
    conn("HTTP/1.0 gets no 1xx", line=b"GET @T@ HTTP/1.0", close=True, rfc="9110 15.2",
         reply=Reply(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK),
         expect=served(got=lambda r: None if not r.interim else "got %r" % r.interim)),
    Check("connection: HTTP/1.0 with a body", "9112 6.3",
          post(b"Content-Length: 5", body=b"hello", line=b"POST @T@ HTTP/1.0"),
          served(body=b"hello")),
    Check("connection: an HTTP/1.1 answer says 1.1", "9112 2.3", request(),
          served(got=version(b"HTTP/1.1"))),
    conn("an HTTP/1.0 service is answered for as 1.1", rfc="9112 2.3", close=False,
         reply=Reply(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", close=True),
         expect=served(got=version(b"HTTP/1.1"))),
]

HOP = [
    conn("a named field goes", b"Connection: X-A", b"X-A: 1",
         expect=served(seen=both(lacks(b"x-a"), no_connection_of_client))),
    conn("a named field goes, close too", b"Connection: close, X-A", b"X-A: 1",
         expect=served(seen=both(lacks(b"x-a"), no_connection_of_client))),
    conn("names ignore case", b"connection: x-A", b"X-a: 1", expect=served(seen=lacks(b"x-a"))),
    conn("names in two fields", b"Connection: X-A", b"X-A: 1", b"Connection: X-B", b"X-B: 1",
         expect=served(seen=lacks(b"x-a", b"x-b"))),
    conn("names behind empty elements", b"Connection: ,, ,X-A", b"X-A: 1",
         expect=served(seen=lacks(b"x-a"))),
    conn("names behind tabs", b"Connection: close,\tX-A\t", b"X-A: 1",
         expect=served(seen=lacks(b"x-a"))),
    conn("a named field twice", b"Connection: X-A", b"X-A: 1", b"X-A: 2",
         expect=served(seen=lacks(b"x-a"))),
    conn("a named field that comes first", b"X-A: 1", b"Connection: X-A",
         expect=served(seen=lacks(b"x-a"))),
    conn("twelve Connection fields", *[b"Connection: X-%d" % i for i in range(12)],
         *[b"X-%d: 1" % i for i in range(12)],
         expect=served(seen=lacks(*[b"x-%d" % i for i in range(12)]))),
    conn("twelve Connection fields of a service", reply=Reply(
        b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: 2"] +
                     [b"Connection: X-%d\r\nX-%d: 1" % (i, i) for i in range(12)]) +
        b"\r\n\r\nok"), expect=served(got=lacks(*[b"x-%d" % i for i in range(12)]))),
    conn("names Host", b"Connection: Host", expect=either(STRICT, served(
        seen=lambda m: None if len(m.all(b"host")) == 1 else "Host lost"))),
    conn("names X-Forwarded-For: ours stays", b"Connection: close, X-Forwarded-For",
         expect=served(seen=own_forwarded_for)),
    conn("names X-Forwarded-Proto: ours stays", b"Connection: close, X-Forwarded-Proto",
         expect=served(seen=has(b"x-forwarded-proto", b"https"))),
    conn("names X-Forwarded-Host: ours stays", b"Connection: X-Forwarded-Host", b"X-A: 1",
         ours=served(seen=lambda m: None if len(m.all(b"x-forwarded-host")) == 1 else "lost")),
    conn("names Cookie: it goes", b"Connection: Cookie", b"Cookie: a=b",
         expect=served(seen=lacks(b"cookie"))),
    conn("a client's X-Forwarded-For is not believed alone", b"X-Forwarded-For: 6.6.6.6",
         expect=served(seen=own_forwarded_for),
         ours=served(seen=lambda m: own_forwarded_for(m) or (
             None if b"6.6.6.6" not in m.get(b"x-forwarded-for") else "believed"))),
    conn("X-Forwarded-Proto is set anew", b"X-Forwarded-Proto: http",
         expect=served(seen=has(b"x-forwarded-proto", b"https"))),
    conn("Keep-Alive goes", b"Keep-Alive: timeout=5", expect=served(seen=lacks(b"keep-alive"))),
    conn("Proxy-Connection goes", b"Proxy-Connection: keep-alive",
         expect=served(seen=lacks(b"proxy-connection"))),
    conn("TE goes", b"TE: gzip", b"Connection: TE",
         expect=served(seen=lambda m: None if m.get(b"te") in (None, b"trailers") else "TE is there"),
         rfc="9110 10.1.4"),
    conn("TE goes though not named", b"TE: deflate",
         expect=served(seen=lambda m: None if m.get(b"te") in (None, b"trailers") else "TE is there"),
         rfc="9110 10.1.4"),
    conn("HTTP2-Settings goes with its Connection", b"Connection: HTTP2-Settings",
         b"HTTP2-Settings: AAMAAABk", expect=served(seen=lacks(b"http2-settings"))),
    conn("Authorization passes", b"Authorization: Basic eDp5",
         expect=served(seen=has(b"authorization", b"Basic eDp5"))),
    conn("Range passes", b"Range: bytes=1-2",
         reply=Reply(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-2/5\r\n"
                     b"Content-Length: 2\r\n\r\nel"),
         expect=served(status=(206,), seen=has(b"range", b"bytes=1-2"),
                       got=has(b"content-range", b"bytes 1-2/5")), rfc="9110 14"),
    conn("conditional fields pass", b'If-None-Match: "a", W/"b"', b"If-Modified-Since: x",
         expect=served(seen=both(has(b"if-none-match", b'"a", W/"b"'),
                                 has(b"if-modified-since", b"x"))), rfc="9110 13"),
    conn("Via is kept", b"Via: 1.1 first", rfc="9110 7.6.3", expect=served(
        seen=lambda m: None if b"1.1 first" in (m.get(b"via") or b"") else "Via lost")),
    conn("Via is added", rfc="9110 7.6.3", expect=served(
        seen=lambda m: None if (m.get(b"via") or b"").startswith(b"1.1 ") else "no Via")),
]

UPGRADE = [
    conn("Upgrade without Connection goes", b"Upgrade: websocket", rfc="9110 7.8",
         expect=served(seen=lacks(b"upgrade"))),
    conn("Upgrade in HTTP/1.0 goes", b"Upgrade: websocket", b"Connection: upgrade",
         line=b"GET @T@ HTTP/1.0", rfc="9110 7.8", expect=served(seen=lacks(b"upgrade"))),
    conn("Upgrade to h2c is not passed on", b"Upgrade: h2c",
         b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk", rfc="9113 3.1",
         expect=served(seen=lacks(b"http2-settings")),
         ours=served(seen=lacks(b"http2-settings", b"upgrade"))),
    conn("Upgrade that the service ignores", b"Upgrade: websocket", b"Connection: Upgrade",
         body=FOLLOW, answers=2, rfc="9110 7.8",
         expect=lambda o: served(2)(o) if len(o.responses) > 1 else served(1)(o)),
    conn("101 without being asked", rfc="9110 15.2.2",
         reply=Reply(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade"
                     b"\r\n\r\n"),
         expect=lambda o: "101 got through" if o.status == 101 or any(
             m.status == 101 for m in o.interim) else None, ours=answered(502)),
    conn("101 to another protocol than asked", b"Upgrade: websocket", b"Connection: Upgrade",
         rfc="9110 7.8",
         reply=Reply(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade"
                     b"\r\n\r\n", close=True),
         expect=lambda o: None, ours=answered(502)),
]

EXPECT = [
    Check("expect: 100-continue", "9110 10.1.1",
          [post(b"Expect: 100-continue", b"Content-Length: 5"), "interim", b"hello"],
          both(served(body=b"hello"), lambda o: None if o.sent_body_after_interim else "no 100")),
    Check("expect: 100-Continue in other case", "9110 10.1.1",
          [post(b"Expect: 100-Continue", b"Content-Length: 5"), "interim", b"hello"],
          both(served(body=b"hello"), lambda o: None if o.sent_body_after_interim else "no 100")),
    Check("expect: the body comes without waiting", "9110 10.1.1",
          post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello") + FOLLOW,
          served(2), answers=2, methods=[b"POST", b"GET"]),
    Check("expect: a final answer instead of 100", "9110 10.1.1",
          [post(b"Expect: 100-continue", b"Content-Length: 5"), "interim"],
          lambda o: None if o.status == 413 or o.sent_body_after_interim else
          "status %s" % o.status, reply=Reply(
              b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
              close=True, early=True)),
    Check("expect: no 100 for HTTP/1.0", "9110 10.1.1",
          post(b"Expect: 100-continue", b"Content-Length: 5", body=b"hello",
               line=b"POST @T@ HTTP/1.0"),
          served(got=lambda r: None if not r.interim else "got %r" % r.interim, closed=True),
          close=True),
    Check("expect: without a body", "9110 10.1.1",
          request(b"Expect: 100-continue") + FOLLOW, served(2), answers=2),
    Check("expect: something else", "9110 10.1.1", request(b"Expect: 200-ok"),
          either(refused(417, 400, close=False), served()), refused(417, close=False)),
    Check("expect: a list", "9110 10.1.1",
          post(b"Expect: 100-continue, x=y", b"Content-Length: 5", body=b"hello"),
          either(refused(417, 400, close=False), served()), refused(417)),
]

FORWARDS = [
    conn("OPTIONS with Max-Forwards 0 ends here", b"Max-Forwards: 0", line=b"OPTIONS @T@ HTTP/1.1",
         rfc="9110 7.6.2", expect=refused(200, 204, 400, 405, 501, close=False),
         ours=refused(200, 204, close=False)),
    conn("TRACE with Max-Forwards 0 ends here", b"Max-Forwards: 0", line=b"TRACE @T@ HTTP/1.1",
         rfc="9110 7.6.2", expect=refused(200, 400, 403, 405, 501, close=False)),
    conn("OPTIONS with Max-Forwards 5 counts down", b"Max-Forwards: 5",
         line=b"OPTIONS @T@ HTTP/1.1", rfc="9110 7.6.2",
         expect=either(served(seen=has(b"max-forwards", b"4")), refused(405, 501, close=False)),
         ours=served(seen=has(b"max-forwards", b"4"))),
    conn("Max-Forwards of other methods passes", b"Max-Forwards: 5", rfc="9110 7.6.2",
         expect=served(seen=either(has(b"max-forwards", b"5"), has(b"max-forwards", b"4")))),
    conn("a Max-Forwards of letters harms nothing", b"Max-Forwards: x",
         line=b"OPTIONS @T@ HTTP/1.1", rfc="9110 7.6.2",
         expect=either(STRICT, served(), refused(405, 501, close=False))),
    conn("TRACE", line=b"TRACE @T@ HTTP/1.1", rfc="9110 9.3.8",
         expect=either(served(), refused(400, 403, 405, 501, close=False))),
    Check("connection: TRACE with a body", "9110 9.3.8",
          request(b"Content-Length: 5", line=b"TRACE @T@ HTTP/1.1", body=b"hello"),
          either(served(), refused(400, 403, 405, 501, close=False)),
          refused(400, 405, 501, close=False)),
]

PIPELINE = [
    Check("pipeline: ten in order", "9112 9.3.2",
          b"".join(request(line=b"GET @T@-%d HTTP/1.1" % i) for i in range(10)),
          all_seen(10, *[b"@T@-%d" % i for i in range(10)]), answers=10),
    Check("pipeline: bodies of both kinds", "9112 9.3.2",
          post(b"Content-Length: 5", body=b"hello", line=b"POST @T@-0 HTTP/1.1") +
          post(b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n",
               line=b"POST @T@-1 HTTP/1.1") + request(line=b"GET @T@-2 HTTP/1.1"),
          all_seen(3, b"@T@-0", b"@T@-1", b"@T@-2"), answers=3,
          methods=[b"POST", b"POST", b"GET"]),
    Check("pipeline: a slow first answer stays first", "9112 9.3.2",
          request() + FOLLOW, all_seen(2, b"@T@", b"@T@-2"), answers=2),
    Check("pipeline: a malformed second request", "9112 9.3.2",
          request() + b"GET @T@-2 HTTP/1.1\r\nHost : x\r\n\r\n" + request(line=b"GET @T@-3 HTTP/1.1"),
          then_refused(1, 400), answers=3),
    Check("pipeline: garbage behind a request", "9112 9.3.2", request() + b"\0\1\2garbage\r\n\r\n",
          then_refused(1, 400, 405, 501), answers=2),
    Check("pipeline: a body longer than told", "9112 6.3",
          post(b"Content-Length: 3", body=b"abcGARBAGE\r\n\r\n"), then_refused(1, 400, 501),
          answers=2, methods=[b"POST", b"GET"]),
    Check("pipeline: HEAD between two GETs", "9112 9.3.2",
          request(line=b"GET @T@-0 HTTP/1.1") + request(line=b"HEAD @T@-1 HTTP/1.1") + FOLLOW,
          served(3), answers=3, methods=[b"GET", b"HEAD", b"GET"]),
    Check("pipeline: the second has another host", "9110 7.4",
          request() + request(line=b"GET @T@-2 HTTP/1.1", host=b"Host: other.example"),
          lambda o: None if o.responses and o.responses[0].status == 200 and len(
              o.responses) == 2 else "answers %r" % o.responses,
          lambda o: None if len(o.seen) == 1 and o.status in (404, 421) else "answers %r"
          % o.responses, answers=2),
]

CHECKS = LIFE + HOP + UPGRADE + EXPECT + FORWARDS + PIPELINE
