"""Message framing: Content-Length, Transfer-Encoding, chunks (RFC 9112 sections 6 and 7)."""
from conformance.check import (Check, FOLLOW, SMUGGLED, SMUGGLED_SIZE, both, broken_off, chunked,
                               either, lacks, post, refused, request, served)

STRICT = refused(400)
HELLO = served(body=b"hello")
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def framing(name, *fields, body=b"hello", expect=STRICT, ours=None, rfc="9112 6.3", **keys):
    return Check("framing: " + name, rfc, post(*fields, body=body), expect, ours, **keys)


def length(name, value, expect=STRICT, ours=None, **keys):
    return framing("Content-Length " + name, b"Content-Length: " + value, expect=expect, ours=ours,
                   **keys)


def coding(name, value, expect=None, ours=None, **keys):
    """A coding that cannot be told: 400, or 501 for an unknown one (RFC 9112 6.1)."""
    return framing("Transfer-Encoding " + name, b"Transfer-Encoding:" + value, body=CHUNKS,
                   expect=expect or refused(400, 501), ours=ours, rfc="9112 6.1", **keys)


# Reading by Transfer-Encoding alone is legal, if the length goes and the connection ends.
TE_WINS = served(closed=True, body=b"hello", seen=lacks(b"content-length"))

LENGTHS = [
    length("is obeyed", b"5", HELLO),
    length("of zero", b"0", served(body=b""), body=b""),
    length("+5", b"+5"), length("-5", b"-5"), length("0x5", b"0x5"), length("5 5", b"5 5"),
    length("5;", b"5;"), length("5.0", b"5.0"), length("5e0", b"5e0"), length("5h", b"5h"),
    length("of nothing", b""), length("of white space", b" \t"), length("'5'", b"'5'"),
    length('"5"', b'"5"'), length("five", b"five"), length("with a NUL", b"5\0"),
    length("with a vertical tab", b"\x0b5"), length("in Arabic digits", b"\xd9\xa5"),
    length("with a thousands separator", b"0_5"),
    length("2^64+5", b"18446744073709551621", refused(400, 413), STRICT),
    length("2^63", b"9223372036854775808", refused(400, 413), STRICT),
    length("of 100 digits", b"9" * 100, refused(400, 413), STRICT),
    length("05", b"05", either(HELLO, STRICT)),
    length("5, 5", b"5, 5", either(HELLO, STRICT)),
    length("5, 6", b"5, 6"), length("5,", b"5,", either(HELLO, STRICT)),
    framing("differing lengths", b"Content-Length: 5", b"Content-Length: 6"),
    framing("differing lengths, the other way", b"Content-Length: 0", b"Content-Length: 5"),
    framing("equal lengths", b"Content-Length: 5", b"Content-Length: 5",
            expect=either(HELLO, STRICT)),
    framing("05 and 5", b"Content-Length: 05", b"Content-Length: 5", expect=either(HELLO, STRICT)),
    framing("a good and a bad length", b"Content-Length: 5", b"Content-Length: +5"),
    framing("a good and an empty length", b"Content-Length: 5", b"Content-Length:"),
    Check("framing: length with a space before the colon", "9112 5.1",
          post(b"Content-Length : 5", body=b"hello"), STRICT),
    Check("framing: folded length", "9112 5.2", post(b"Content-Length:\r\n 5", body=b"hello"),
          either(STRICT, HELLO), STRICT),
    Check("framing: Content_Length is another field", "9110 5.1",
          post(b"Content_Length: 33") + FOLLOW, either(served(2), STRICT), answers=2,
          methods=[b"POST", b"GET"]),
    Check("framing: no length and no coding is no body", "9112 6.3", post() + FOLLOW, served(2),
          answers=2, methods=[b"POST", b"GET"]),
    Check("framing: GET with a body", "9110 9.3.1",
          request(b"Content-Length: 5", body=b"hello") + FOLLOW,
          both(served(2), lambda o: None if o.seen[0].body == b"hello" else "body lost"),
          answers=2),
    Check("framing: HEAD with a body", "9110 9.3.2",
          request(b"Content-Length: 5", line=b"HEAD @T@ HTTP/1.1", body=b"hello") + FOLLOW,
          either(both(served(2), lambda o: None if o.seen[0].body == b"hello" else "body lost"),
                 refused(400)), answers=2, methods=[b"HEAD", b"GET"]),
    Check("framing: DELETE and OPTIONS with bodies", "9110 9.3.5",
          request(b"Content-Length: 5", line=b"DELETE @T@ HTTP/1.1", body=b"hello") +
          request(b"Content-Length: 3", line=b"OPTIONS @T@-2 HTTP/1.1", body=b"abc"),
          served(2, body=b"abc"), answers=2, methods=[b"DELETE", b"OPTIONS"]),
    Check("framing: cut-off length body", "9112 8",
          [post(b"Content-Length: 10", body=b"hello"), "shut"], broken_off, answers=1),
]

CODINGS = [
    coding("chunked", b" chunked", HELLO),
    coding("CHUNKED in capitals", b" CHUNKED", HELLO),
    coding("behind a tab", b"\tchunked", HELLO),
    coding("chunked and white space", b" chunked \t ", HELLO),
    coding("xchunked", b" xchunked"), coding("chunkedx", b" chunkedx"), coding("chunk", b" chunk"),
    coding("chunked, chunked", b" chunked, chunked", ours=STRICT),
    coding("chunked twice in two fields", b" chunked\r\nTransfer-Encoding: chunked", ours=STRICT),
    coding("chunked, identity", b" chunked, identity"),
    coding("identity, chunked", b" identity, chunked"),
    coding("identity", b" identity"),
    coding("gzip, chunked is unknown", b" gzip, chunked", either(refused(400, 501), served()),
           refused(501)),
    coding("gzip", b" gzip"), coding("chunked, gzip", b" chunked, gzip", ours=refused(400, 501)),
    coding("identity in a second field", b" chunked\r\nTransfer-Encoding: identity"),
    coding("chunked in a second field", b" identity\r\nTransfer-Encoding: chunked"),
    coding("of nothing", b""), coding("of white space", b" \t"),
    coding("of a comma", b" ,"),
    coding("chunked and a comma", b" chunked,", either(HELLO, refused(400, 501)), refused(400, 501)),
    coding("comma, chunked", b" , chunked", either(HELLO, refused(400, 501)), refused(400, 501)),
    coding("chunked with a parameter", b" chunked;q=1"),
    coding("chunked; foo", b" chunked; foo"),
    coding("in quotes", b' "chunked"'), coding("in apostrophes", b" 'chunked'"),
    coding("behind a vertical tab", b" \x0bchunked"),
    coding("behind a form feed", b" \x0cchunked"),
    coding("before a vertical tab", b" chunked\x0b"),
    coding("with a NUL", b" chunked\0"), coding("with a bare CR", b" chunked\rX: y"),
    coding("behind a bare CR", b" \rchunked", either(HELLO, refused(400, 501)), STRICT),
    coding("with an 8-bit space", b"\xa0chunked"),
    coding("folded", b"\r\n chunked", either(HELLO, refused(400, 501)), STRICT),
    coding("folded behind a comma", b" identity,\r\n chunked"),
    coding("chunked with a space inside", b" chunk ed"),
    coding("chunked: in the value", b" Transfer-Encoding: chunked"),
    Check("framing: coding with a space before the colon", "9112 5.1",
          post(b"Transfer-Encoding : chunked", body=CHUNKS), STRICT),
    Check("framing: coding with a tab before the colon", "9112 5.1",
          post(b"Transfer-Encoding\t: chunked", body=CHUNKS), STRICT),
    Check("framing: coding in HTTP/1.0", "9112 6.1",
          chunked(CHUNKS, line=b"POST @T@ HTTP/1.0"),
          either(refused(400, 501, 505), served(closed=True)), STRICT),
    Check("framing: coding and length in HTTP/1.0", "9112 6.1",
          chunked(CHUNKS, b"Content-Length: 15", b"Connection: keep-alive",
                  line=b"POST @T@ HTTP/1.0"),
          either(refused(400, 501, 505), served(closed=True)), STRICT),
    Check("framing: coding with GET", "9112 6.1",
          request(b"Transfer-Encoding: chunked", body=CHUNKS) + FOLLOW,
          both(served(2), lambda o: None if o.seen[0].body == b"hello" else "body lost"),
          answers=2),
]

BOTH = [
    framing("length and coding", b"Content-Length: 15", b"Transfer-Encoding: chunked", body=CHUNKS,
            expect=either(STRICT, TE_WINS), ours=STRICT, rfc="9112 6.1", close=True),
    framing("coding and length", b"Transfer-Encoding: chunked", b"Content-Length: 5", body=CHUNKS,
            expect=either(STRICT, TE_WINS), ours=STRICT, rfc="9112 6.1", close=True),
    framing("CL.TE smuggling", b"Content-Length: %d" % (5 + SMUGGLED_SIZE),
            b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED, expect=either(
                STRICT, served(1, closed=True, body=b"", seen=lacks(b"content-length"))),
            ours=STRICT, rfc="9112 6.1", close=True),
    framing("TE.CL smuggling", b"Content-Length: 4", b"Transfer-Encoding: chunked",
            body=b"%x\r\n" % SMUGGLED_SIZE + SMUGGLED + b"\r\n0\r\n\r\n",
            expect=either(STRICT, served(1, closed=True, seen=lacks(b"content-length")),
                          broken_off), ours=STRICT, rfc="9112 6.1", close=True),
    framing("TE.TE: a second, unknown coding", b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: x", body=CHUNKS + SMUGGLED, expect=refused(400, 501),
            rfc="9112 6.1"),
    framing("TE.TE: space before the second colon", b"Content-Length: 5",
            b"Transfer-Encoding : chunked", body=CHUNKS, rfc="9112 5.1"),
    framing("TE.TE: coding behind a folded line", b"Content-Length: 5",
            b"X: y\r\n Transfer-Encoding: chunked", expect=either(STRICT, HELLO), ours=STRICT,
            rfc="9112 5.2"),
    framing("TE.TE: coding behind a bare LF", b"Content-Length: 5",
            b"X: y\nTransfer-Encoding: chunked", body=b"hello", expect=either(
                STRICT, broken_off), ours=STRICT, rfc="9112 2.2"),
    framing("TE.TE: coding behind a bare CR", b"Content-Length: 5",
            b"X: y\rTransfer-Encoding: chunked", expect=either(STRICT, HELLO), ours=STRICT,
            rfc="9112 2.2"),
    framing("TE.TE: Transfer_Encoding is another field", b"Content-Length: 5",
            b"Transfer_Encoding: chunked", expect=either(STRICT, HELLO), rfc="9110 5.1"),
    framing("coding of white space and length", b"Content-Length: 5", b"Transfer-Encoding: ",
            expect=either(STRICT, refused(501)), rfc="9112 6.1"),
    framing("identity and length", b"Content-Length: 5", b"Transfer-Encoding: identity",
            expect=refused(400, 501), rfc="9112 6.1"),
    Check("framing: CL.0 smuggling", "9112 6.3",
          post(b"Content-Length: %d" % SMUGGLED_SIZE, body=SMUGGLED) + FOLLOW,
          both(served(2), lambda o: None if len(o.seen[0].body) == SMUGGLED_SIZE else "body lost"),
          answers=2, methods=[b"POST", b"GET"]),
    Check("framing: 0.CL smuggling through Connection", "9110 7.6.1",
          post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello") + FOLLOW,
          either(STRICT, both(served(2), lambda o: None if o.seen[0].body == b"hello" else "lost")),
          answers=2, methods=[b"POST", b"GET"]),
    Check("framing: Connection names Transfer-Encoding", "9110 7.6.1",
          chunked(CHUNKS, b"Connection: Transfer-Encoding") + FOLLOW,
          either(STRICT, both(served(2), lambda o: None if o.seen[0].body == b"hello" else "lost")),
          answers=2, methods=[b"POST", b"GET"]),
    Check("framing: a refused request's body is no request", "9112 6.3",
          post(b"Content-Length: +60") + SMUGGLED, STRICT),
]


def chunk(name, body, expect=broken_off, ours=None, rfc="9112 7.1", **keys):
    return Check("chunked: " + name, rfc, chunked(body), expect, ours, **keys)


CHUNKED = [
    chunk("one chunk", CHUNKS, HELLO), chunk("none", b"0\r\n\r\n", served(body=b"")),
    chunk("many", b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n", HELLO),
    chunk("hexadecimal sizes", b"a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
          served(body=b"01234567890123456789a")),
    chunk("leading zeros", b"005\r\nhello\r\n000\r\n\r\n", HELLO),
    chunk("sixteen digits, zeros first",
          b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", HELLO),
    chunk("a line of 10,000 zeros", b"0" * 10000 + b"5\r\nhello\r\n0\r\n\r\n",
          either(HELLO, broken_off), broken_off),
    chunk("extension", b"5;a=b\r\nhello\r\n0;c\r\n\r\n", HELLO, rfc="9112 7.1.1"),
    chunk("quoted extension", b'5;a="b;\\"c"\r\nhello\r\n0\r\n\r\n', HELLO, rfc="9112 7.1.1"),
    chunk("extension behind white space", b"5 ; a = b\r\nhello\r\n0\r\n\r\n",
          either(HELLO, broken_off), rfc="9112 7.1.1"),
    chunk("extension of 100 kB", b"5;a=" + b"x" * 100000 + b"\r\nhello\r\n0\r\n\r\n",
          either(HELLO, broken_off), broken_off, rfc="9112 7.1.1"),
    chunk("extensions of 100 bytes on 3,000 chunks",
          (b"1;" + b"x" * 100 + b"\r\nh\r\n") * 3000 + b"0\r\n\r\n",
          either(served(), broken_off), rfc="9112 7.1.1"),
    chunk("extension with a bare LF", b"5;a\nb\r\nhello\r\n0\r\n\r\n", rfc="9112 7.1.1"),
    chunk("extension with a bare LF that ends the line", b"5;a\nhello\r\n0\r\n\r\n",
          either(HELLO, broken_off), broken_off, rfc="9112 7.1.1"),
    chunk("extension with a bare CR", b"5;a\rb\r\nhello\r\n0\r\n\r\n", rfc="9112 7.1.1"),
    chunk("extension with a NUL", b"5;a\0\r\nhello\r\n0\r\n\r\n", rfc="9112 7.1.1"),
    chunk("extension with a control byte", b"5;a\x01\r\nhello\r\n0\r\n\r\n",
          either(HELLO, broken_off), broken_off, rfc="9112 7.1.1"),
    chunk("quoted extension with a line end", b'5;a="\r\nhello\r\n0\r\n\r\n',
          either(HELLO, broken_off), rfc="9112 7.1.1"),
    chunk("no extension but a name", b"5 a\r\nhello\r\n0\r\n\r\n"),
    chunk("size 0x5", b"0x5\r\nhello\r\n0\r\n\r\n"), chunk("size +5", b"+5\r\nhello\r\n0\r\n\r\n"),
    chunk("size -5", b"-5\r\nhello\r\n0\r\n\r\n"), chunk("size -0", b"-0\r\n\r\n"),
    chunk("space before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
    chunk("space behind the size", b"5 \r\nhello\r\n0\r\n\r\n", either(HELLO, broken_off),
          broken_off),
    chunk("tab behind the size", b"5\t\r\nhello\r\n0\r\n\r\n", either(HELLO, broken_off),
          broken_off),
    chunk("vertical tab behind the size", b"5\x0b\r\nhello\r\n0\r\n\r\n"),
    chunk("size 5x", b"5x\r\nhello\r\n0\r\n\r\n"), chunk("size 5,", b"5,\r\nhello\r\n0\r\n\r\n"),
    chunk("size 5.0", b"5.0\r\nhello\r\n0\r\n\r\n"), chunk("size 5_", b"5_0\r\nhello\r\n0\r\n\r\n"),
    chunk("size of nothing", b"\r\nhello\r\n0\r\n\r\n"),
    chunk("size of an extension only", b";a\r\nhello\r\n0\r\n\r\n"),
    chunk("size g", b"g\r\nhello\r\n0\r\n\r\n"),
    chunk("size 2^64+5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    Check("chunked: size 2^32+5 is no 5", "9112 7.1",
          [chunked(b"100000005\r\nhello\r\n0\r\n\r\n" + b"x" * 3000), "shut"],
          lambda o: "the service saw a whole request" if o.seen else None),
    chunk("size of 40 digits", b"f" * 40 + b"\r\nhello\r\n0\r\n\r\n"),
    chunk("junk behind a chunk", b"5\r\nhelloXX\r\n0\r\n\r\n"),
    chunk("two bytes of junk for CRLF", b"5\r\nhelloXX0\r\n\r\n"),
    chunk("no CRLF behind a chunk", b"5\r\nhello0\r\n\r\n\r\n"),
    chunk("only LF behind a chunk", b"5\r\nhello\n0\r\n\r\n\r\n"),
    chunk("only CR behind a chunk", b"5\r\nhello\r0\r\n\r\n\r\n"),
    chunk("LF CR behind a chunk", b"5\r\nhello\n\r0\r\n\r\n"),
    chunk("LF behind the size", b"5\nhello\r\n0\r\n\r\n", either(HELLO, broken_off), broken_off),
    chunk("CR behind the size", b"5\rhello\r\n0\r\n\r\n"),
    chunk("CR CR LF behind the size", b"5\r\r\nhello\r\n0\r\n\r\n"),
    chunk("LF ends the last chunk", b"5\r\nhello\r\n0\n\r\n", either(HELLO, broken_off), broken_off),
    chunk("LF ends the trailers", b"5\r\nhello\r\n0\r\n\n", either(HELLO, broken_off), broken_off),
    Check("chunked: no CRLF behind the last chunk, a request follows", "9112 7.1",
          chunked(b"5\r\nhello\r\n0\r\n") + SMUGGLED, broken_off),
    Check("chunked: a request follows at once", "9112 7.1", chunked(CHUNKS) + FOLLOW, served(2),
          answers=2, methods=[b"POST", b"GET"]),
    Check("chunked: cut off in a chunk", "9112 8", [chunked(b"5\r\nhel"), "shut"], broken_off),
    Check("chunked: cut off before the last chunk", "9112 8", [chunked(b"5\r\nhello\r\n"), "shut"],
          broken_off),
    Check("chunked: nothing behind a malformed chunk is a request", "9112 7.1",
          chunked(b"5\r\nhelloX\r\n" + SMUGGLED), broken_off),
]


def trailer(name, lines, expect, ours=None, rfc="9112 7.1.2"):
    return Check("trailer: " + name, rfc, chunked(b"5\r\nhello\r\n0\r\n" + lines + b"\r\n"), expect,
                 ours)


def no_trailer(*names):
    def check(m):
        for name in names:
            if m.all(name) or any(n.lower() == name for n, _ in m.trailers):
                return "%r got through" % name
        return None
    return check


def passed(m):
    return None if (b"x-t", b"v") in [(n.lower(), v) for n, v in m.trailers] else "not passed on"


TRAILERS = [
    trailer("a field", b"X-T: v\r\n", both(HELLO, served(seen=lacks(b"x-t"))), served(seen=passed)),
    trailer("Content-Length", b"Content-Length: 99\r\n", served(
        body=b"hello", seen=no_trailer(b"content-length"))),
    trailer("Transfer-Encoding", b"Transfer-Encoding: chunked\r\n", either(served(
        body=b"hello", seen=lambda m: "got through" if m.trailers else None), broken_off)),
    trailer("Host", b"Host: other.example\r\n", served(
        seen=lambda m: (None if len(m.all(b"host")) == 1 and not any(
            n.lower() == b"host" for n, _ in m.trailers) else "Host got through"))),
    trailer("Authorization", b"Authorization: Basic eA==\r\n", served(
        seen=lacks(b"authorization")), served(seen=no_trailer(b"authorization"))),
    trailer("Connection", b"Connection: x\r\n", served(seen=no_trailer(b"x")),
            served(seen=lambda m: None if not any(n.lower() == b"connection" for n, _ in m.trailers)
                   else "got through")),
    trailer("X-Forwarded-For", b"X-Forwarded-For: 6.6.6.6\r\n", served(
        seen=lambda m: None if b"6.6.6.6" not in (m.get(b"x-forwarded-for") or b"") else "merged"),
        served(seen=lambda m: None if b"6.6.6.6" not in m.raw_head and not m.trailers
               else "got through")),
    trailer("space before the colon", b"X-T : v\r\n", either(broken_off, served(
        seen=no_trailer(b"x-t", b"x-t "))), broken_off),
    trailer("no colon", b"X-T\r\n", either(broken_off, served(seen=lambda m: None)), broken_off),
    trailer("folded", b"X-T: a\r\n b\r\n", either(broken_off, HELLO), broken_off),
    trailer("bare LF", b"X-T: a\nX-U: b\r\n", either(broken_off, HELLO), broken_off),
    trailer("bare CR", b"X-T: a\rb\r\n", either(broken_off, HELLO), broken_off),
    trailer("NUL", b"X-T: a\0b\r\n", either(broken_off, HELLO), broken_off),
    trailer("empty name", b": v\r\n", either(broken_off, HELLO), broken_off),
    trailer("200 kB", b"X-T: " + b"v" * 200000 + b"\r\n", either(broken_off, served()), broken_off),
    trailer("5,000 fields", b"X-T: v\r\n" * 5000, either(broken_off, served()), broken_off),
]

CHECKS = LENGTHS + CODINGS + BOTH + CHUNKED + TRAILERS
