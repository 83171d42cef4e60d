"""What a service may answer, and what must not get through (RFC 9112, RFC 9110)."""
from conformance.check import (Check, FOLLOW, answered, bad_gateway, both, either, has, incomplete,
                               lacks, lacks_bytes, post, request, served)
from conformance.recorder import Reply

INJECTED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Injected: yes\r\n\r\nINJECTED"
HELLO = served(got=lambda r: None if r.body == b"hello" else "body %r" % r.body)
PASS_OR_502 = either(HELLO, bad_gateway)


def response(name, data, expect, ours=None, rfc="9112 6.3", close=False, **keys):
    """One request, one scripted response."""
    return Check("response: " + name, rfc, keys.pop("send", request()), expect, ours,
                 Reply(data, close=close, early=keys.pop("early", False)), **keys)


def head(*fields, line=b"HTTP/1.1 200 OK", body=b"hello", end=b"\r\n"):
    return end.join((line,) + fields) + end * 2 + body


def own_second_answer(o):
    """The second request is answered by its own answer, or not at all."""
    for r in o.responses[1:]:
        if r.all(b"x-injected") or b"INJECTED" in r.body:
            return "the second answer is the service's surplus: %r" % r
    if o.responses and b"INJECTED" in o.responses[0].body:
        return "the surplus is part of the first answer"
    if o.timed_out and len(o.responses) < 2 and not o.closed:
        return "the second request is never answered"
    return None


def surplus(name, data, send, methods, rfc="9112 6.3"):
    """A response with more bytes behind it, and a second request on the connection."""
    return response("surplus: " + name, data + INJECTED, own_second_answer, rfc=rfc, answers=2,
                    send=send, methods=methods)


def line(name, start, expect=bad_gateway, rfc="9112 4", ours=None):
    return response("status line " + name, head(b"Content-Length: 5", line=start), expect, ours,
                    rfc)


GET, HEAD = request(), request(line=b"HEAD @T@ HTTP/1.1")
FIVE = b"Content-Length: 5"

FRAMING = [
    response("Content-Length", head(FIVE), HELLO),
    response("chunked", head(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), HELLO,
             rfc="9112 7.1"),
    response("chunk sizes of sixteen digits, zeros first",
             head(b"Transfer-Encoding: chunked",
                  body=b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n"),
             HELLO, rfc="9112 7.1"),
    response("until the end", head(), HELLO, close=True),
    response("until the end, HTTP/1.0", head(line=b"HTTP/1.0 200 OK"), HELLO, close=True),
    response("differing lengths", head(FIVE, b"Content-Length: 6"), bad_gateway, answered(502)),
    response("lengths 5, 6", head(b"Content-Length: 5, 6"), bad_gateway, answered(502)),
    response("equal lengths", head(FIVE, FIVE), PASS_OR_502),
    response("length +5", head(b"Content-Length: +5"), bad_gateway, answered(502)),
    response("length -5", head(b"Content-Length: -5"), bad_gateway, answered(502)),
    response("length 0x5", head(b"Content-Length: 0x5"), bad_gateway, answered(502)),
    response("length of nothing", head(b"Content-Length:"), bad_gateway, answered(502)),
    response("length five", head(b"Content-Length: five"), bad_gateway, answered(502)),
    response("length 2^64+5", head(b"Content-Length: 18446744073709551621"), bad_gateway,
             answered(502)),
    response("length and coding", head(b"Content-Length: 3", b"Transfer-Encoding: chunked",
                                       body=b"5\r\nhello\r\n0\r\n\r\n"),
             both(PASS_OR_502, lambda o: None if not o.responses or not (
                 o.responses[0].all(b"content-length") and o.responses[0].chunked) else "both"),
             answered(502), rfc="9112 6.1"),
    response("coding chunked, chunked", head(b"Transfer-Encoding: chunked, chunked",
                                             body=b"5\r\nhello\r\n0\r\n\r\n"), bad_gateway,
             rfc="9112 6.1", close=True),
    response("coding with a space before the colon",
             head(b"Transfer-Encoding : chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
             either(HELLO, bad_gateway), bad_gateway, rfc="9112 5.1", close=True),
    response("coding in HTTP/1.0", head(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK",
                                        body=b"5\r\nhello\r\n0\r\n\r\n"),
             either(HELLO, bad_gateway, served()), rfc="9112 6.1", close=True),
    response("coding in a 204", head(b"Transfer-Encoding: chunked", line=b"HTTP/1.1 204 No Content",
                                     body=b"0\r\n\r\n"),
             either(served(status=(204,), got=lacks(b"transfer-encoding")), bad_gateway),
             rfc="9112 6.1"),
    response("length in a 204", head(b"Content-Length: 0", line=b"HTTP/1.1 204 No Content",
                                     body=b""),
             either(served(status=(204,), got=lacks(b"content-length")), bad_gateway),
             rfc="9110 8.6"),
    response("304 keeps its length", head(FIVE, line=b"HTTP/1.1 304 Not Modified", body=b""),
             served(status=(304,), got=lambda r: None if not r.body else "a body"), rfc="9110 8.6"),
    response("HEAD keeps its length", head(b"Content-Length: 12345", body=b""),
             served(got=has(b"content-length", b"12345")), send=HEAD, rfc="9110 9.3.2"),
    response("HEAD with a coding", head(b"Transfer-Encoding: chunked", body=b""),
             served(), send=HEAD, rfc="9112 6.1"),
    response("HEAD keeps the connection in step", head(b"Content-Length: 12345", body=b""),
             served(2), send=HEAD + FOLLOW, answers=2, methods=[b"HEAD", b"GET"],
             rfc="9110 9.3.2"),
]

CUT = [
    response("ends before its length", head(b"Content-Length: 50"), incomplete, close=True,
             rfc="9112 8"),
    response("ends inside a chunk", head(b"Transfer-Encoding: chunked", body=b"a\r\nhello"),
             incomplete, close=True, rfc="9112 8"),
    response("ends without the last chunk",
             head(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"), incomplete, close=True,
             rfc="9112 8"),
    response("ends inside the trailers",
             head(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nX: y"), incomplete,
             close=True, rfc="9112 8"),
    response("ends inside its head", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", bad_gateway,
             answered(502), close=True, rfc="9112 8"),
    # Not repeated on another connection, as a GET would be where this one was used before.
    response("nothing at all", b"", bad_gateway, answered(502), close=True, rfc="9110 15.6.3",
             send=post(b"Content-Length: 2", body=b"hi")),
] + [response("chunk " + name, head(b"Transfer-Encoding: chunked", body=body), incomplete,
              rfc="9112 7.1", close=True)
     for name, body in [
         ("size 0x5", b"0x5\r\nhello\r\n0\r\n\r\n"), ("size -1", b"-1\r\nhello\r\n0\r\n\r\n"),
         ("size 2^64+5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
         ("size of nothing", b"\r\nhello\r\n0\r\n\r\n"), ("junk", b"5\r\nhelloXX\r\n0\r\n\r\n"),
         ("without CRLF", b"5\r\nhello0\r\n\r\n"), ("size g", b"g\r\nhello\r\n0\r\n\r\n")]]

SYNTAX = [
    line("without a reason", b"HTTP/1.1 200 ", HELLO),
    line("without the space either", b"HTTP/1.1 200", PASS_OR_502),
    line("with an 8-bit reason", b"HTTP/1.1 200 \xc3\xa9", HELLO),
    line("with a status of two digits", b"HTTP/1.1 20 OK"),
    line("with a status of four digits", b"HTTP/1.1 2000 OK"),
    line("with a status of letters", b"HTTP/1.1 abc OK"), line("with status 000", b"HTTP/1.1 000 OK"),
    line("with status 099", b"HTTP/1.1 099 OK"), line("with status +20", b"HTTP/1.1 +20 OK"),
    line("of HTTP/2.0", b"HTTP/2.0 200 OK"), line("of HTTP/0.9", b"HTTP/0.9 200 OK"),
    line("of HTTP/1.1x", b"HTTP/1.1x 200 OK"), line("of http/1.1", b"http/1.1 200 OK"),
    line("with two spaces", b"HTTP/1.1  200 OK", PASS_OR_502, ours=bad_gateway),
    line("with a NUL", b"HTTP/1.1 200 O\0K", either(HELLO, bad_gateway), ours=bad_gateway),
    line("of garbage", b"garbage"), line("missing", b"Content-Type: x"),
    line("of status 999", b"HTTP/1.1 999 Odd",
         either(served(status=(999,)), bad_gateway), rfc="9110 15"),
    line("of status 299", b"HTTP/1.1 299 Odd", served(status=(299,)), rfc="9110 15"),
    response("HTTP/0.9", b"hello", bad_gateway, close=True, rfc="9112 4"),
    response("bare LF line ends", head(FIVE, end=b"\n"), PASS_OR_502, bad_gateway, rfc="9112 2.2"),
    response("obs-fold", head(b"X-A: one\r\n two", FIVE), both(PASS_OR_502, lambda o: None),
             rfc="9112 5.2"),
    response("obs-fold of a length", head(b"Content-Length:\r\n 5"), PASS_OR_502, rfc="9112 5.2"),
    response("space before a colon", head(b"X-A : 1", FIVE),
             either(served(got=has(b"x-a", b"1")), bad_gateway), rfc="9112 5.1"),
    response("white space before the first field", head(b" X-A: 1", FIVE), PASS_OR_502,
             rfc="9112 2.2"),
    response("bare CR in a value", head(b"X-A: a\rSet-Cookie: x", FIVE),
             either(served(got=both(lacks(b"set-cookie"), lacks_bytes(b"\rS"))), bad_gateway),
             bad_gateway, rfc="9110 5.5"),
    response("NUL in a value", head(b"X-A: a\0b", FIVE),
             either(served(got=lacks_bytes(b"\0")), bad_gateway), bad_gateway, rfc="9110 5.5"),
    response("a name with a space", head(b"X A: 1", FIVE), PASS_OR_502, rfc="9110 5.1"),
    response("a name of 8-bit bytes", head(b"X\xe9: 1", FIVE), PASS_OR_502, rfc="9110 5.1"),
    response("an empty name", head(b": 1", FIVE), PASS_OR_502, rfc="9110 5.1"),
    response("a line without a colon", head(b"XA", FIVE), PASS_OR_502, rfc="9112 5"),
    response("obs-text in a value", head(b"X-A: \xc3\xa9\xff", FIVE),
             served(got=has(b"x-a", b"\xc3\xa9\xff")), rfc="9110 5.5"),
    response("a head of 1 MB", head(b"X-A: " + b"v" * 1000000, FIVE),
             either(HELLO, bad_gateway), bad_gateway, rfc="9110 5.4"),
    response("a head of 10 kB", head(b"X-A: " + b"v" * 10000, FIVE), PASS_OR_502, HELLO,
             rfc="9110 5.4"),
    response("an empty line first", b"\r\n" + head(FIVE), PASS_OR_502, rfc="9112 2.2"),
]

FIELDS = [
    response("Date is added", head(FIVE), served(
        got=lambda r: None if len(r.all(b"date")) == 1 else "Date is %r" % r.all(b"date")),
        rfc="9110 6.6.1"),
    response("Date is kept", head(b"Date: Tue, 15 Nov 1994 08:12:31 GMT", FIVE),
             served(got=has(b"date", b"Tue, 15 Nov 1994 08:12:31 GMT")), rfc="9110 6.6.1"),
    response("a named field goes", head(b"Connection: X-A", b"X-A: 1", FIVE),
             served(got=lacks(b"x-a")), rfc="9110 7.6.1"),
    response("close and a named field", head(b"Connection: close, X-A", b"X-A: 1", FIVE),
             both(HELLO, served(got=lacks(b"x-a"))), close=True, rfc="9110 7.6.1"),
    response("the service's close is not the client's", head(b"Connection: close", FIVE),
             served(2), close=True, send=GET + FOLLOW, answers=2, rfc="9110 7.6.1"),
    response("Keep-Alive goes", head(b"Keep-Alive: timeout=99", FIVE), served(
        got=lambda r: None if b"timeout=99" not in r.all(b"keep-alive") else "it is there"),
        rfc="9110 7.6.1"),
    response("Proxy-Connection goes", head(b"Proxy-Connection: keep-alive", FIVE),
             served(got=lacks(b"proxy-connection")), rfc="9110 7.6.1"),
    response("Upgrade offered in a 200", head(b"Upgrade: h2c", b"Connection: Upgrade", FIVE),
             served(got=lacks(b"upgrade")), rfc="9110 7.8"),
    response("Set-Cookie stays apart and in order",
             head(b"Set-Cookie: a=1; Path=/, x", b"X-B: 1", b"Set-Cookie: b=2", FIVE),
             served(got=lambda r: None if r.all(b"set-cookie") == [b"a=1; Path=/, x", b"b=2"]
                    else "%r" % r.all(b"set-cookie")), rfc="9110 5.3"),
    response("Server and odd fields pass", head(b"X-Powered-By: me", b"ETag: W/\"x\"", FIVE),
             served(got=both(has(b"x-powered-by", b"me"), has(b"etag", b'W/"x"'))),
             rfc="9110 8.8"),
    response("a trailer is not merged", head(
        b"Transfer-Encoding: chunked", b"Trailer: X-T", body=b"5\r\nhello\r\n0\r\nX-T: v\r\n\r\n"),
        both(HELLO, served(got=lacks(b"x-t"))),
        served(got=lambda r: None if [v for n, v in r.trailers if n.lower() == b"x-t"] == [b"v"]
               else "not passed on"), rfc="9110 6.5"),
    response("a trailer cannot frame", head(
        b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nContent-Length: 99\r\n\r\n"),
        either(incomplete, served(got=lambda r: None if not r.all(b"content-length") and not any(
            n.lower() == b"content-length" for n, _ in r.trailers) else "got through")),
        rfc="9110 6.5.1"),
]


def hints(count):
    return b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * count


INTERIM = [
    response("103 is passed on", hints(1) + head(FIVE), both(HELLO, served(
        got=lambda r: None if [m.status for m in r.interim] == [103] else "1xx: %r" % r.interim)),
        rfc="9110 15.2"),
    response("100 unasked for", b"HTTP/1.1 100 Continue\r\n\r\n" + head(FIVE), HELLO,
             rfc="9110 15.2.1"),
    response("102 and 103", b"HTTP/1.1 102 Processing\r\n\r\n" + hints(2) + head(FIVE),
             both(HELLO, served(got=lambda r: None if [m.status for m in r.interim] ==
                                [102, 103, 103] else "1xx: %r" % r.interim)), rfc="9110 15.2"),
    response("1,000 interim ones", hints(1000) + head(FIVE), PASS_OR_502, rfc="9110 15.2"),
    response("100,000 interim ones", hints(100000) + head(FIVE), PASS_OR_502, rfc="9110 15.2"),
    response("only an interim one", hints(1), bad_gateway, close=True, rfc="9110 15.2"),
    response("103 with a length is no body",
             b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + head(FIVE),
             PASS_OR_502, rfc="9112 6.3"),
]

TWO = [b"GET", b"GET"]
SURPLUS = [
    surplus("behind a length", head(FIVE), GET + FOLLOW, TWO),
    surplus("behind the last chunk", head(b"Transfer-Encoding: chunked",
            body=b"5\r\nhello\r\n0\r\n\r\n"), GET + FOLLOW, TWO),
    surplus("a body behind a HEAD's head", head(b"Content-Length: 95", body=b""), HEAD + FOLLOW,
            [b"HEAD", b"GET"]),
    surplus("a body of a 204", head(line=b"HTTP/1.1 204 No Content", body=b""), GET + FOLLOW, TWO),
    surplus("a body of a 304", head(b"Content-Length: 95", line=b"HTTP/1.1 304 Not Modified",
            body=b""), GET + FOLLOW, TWO),
    surplus("behind an empty body", head(b"Content-Length: 0", body=b""), GET + FOLLOW, TWO),
    surplus("differing lengths", head(b"Content-Length: 0", b"Content-Length: 95", body=b""),
            GET + FOLLOW, TWO),
    surplus("length and coding", head(b"Content-Length: 95", b"Transfer-Encoding: chunked",
            body=b"0\r\n\r\n"), GET + FOLLOW, TWO, rfc="9112 6.1"),
    surplus("garbage", head(FIVE) + b"GARBAGE\r\n\r\n", GET + FOLLOW, TWO),
]

CHECKS = FRAMING + CUT + SYNTAX + FIELDS + INTERIM + SURPLUS
