"""Host (RFC 9110 section 7.2, RFC 9112 section 3.2)."""
from conformance.check import HOST, Check, both, either, has, refused, request, served

STRICT = refused(400)
NOT_HERE = refused(400, 404, 421, close=False)  # legal, but no host of ours


def one_host(m):
    values = m.all(b"host")
    return None if len(values) == 1 and b"localhost" in values[0] else "Host is %r" % values


def host(name, value, expect, ours=None, rfc="9112 3.2", **keys):
    field = b"Host: " + value if value is not None else None
    return Check("host: " + name, rfc, request(host=field, **keys), expect, ours)


INVALID = [
    ("a space inside", b"@H@ x"), ("a tab inside", b"@H@\tx"), ("two in one value", b"@H@, @H@"),
    ("a comma", b"@H@,x"), ("a slash", b"@H@/x"), ("a whole URL", b"http://@H@/"),
    ("userinfo", b"user@@H@"), ("a query", b"@H@?x"), ("a fragment", b"@H@#x"),
    ("a port of letters", b"@H@:abc"), ("a signed port", b"@H@:+80"), ("two ports", b"@H@:80:80"),
    ("an open bracket", b"[::1"), ("brackets around a name", b"[@H@]"),
    ("junk behind brackets", b"[::1]x"), ("a naked v6 address", b"::1"), ("a NUL", b"@H@\0"),
    ("a control byte", b"@H@\x01"), ("an 8-bit byte", b"@H@\xff"), ("a backslash", b"@H@\\x"),
    ("quotes", b'"@H@"'), ("a less-than sign", b"<@H@>"), ("a caret", b"@H@^"),
    ("a bare CR", b"@H@\rX: 1"), ("an incomplete percent-encoding", b"@H@%4"),
]

CHECKS = [
    host("plain", b"@H@", served(seen=one_host)),
    host("with a port", b"@H@:8443", served(seen=one_host), rfc="9110 7.2"),
    host("upper case", HOST.upper().encode(),
         served(seen=lambda m: None if len(m.all(b"host")) == 1 else "Host %r" % m.all(b"host")),
         rfc="9110 4.2.3"),
    host("white space around", b" \t @H@ \t ", served(seen=one_host), rfc="9112 5.1"),
    host("empty port", b"@H@:", either(served(seen=one_host), STRICT), rfc="9110 4.2.3"),
    host("port 99999", b"@H@:99999", either(served(seen=one_host), STRICT), STRICT),
    host("missing", None, STRICT),
    host("missing with absolute-form", None, STRICT, line=b"GET http://@H@@T@ HTTP/1.1"),
    host("empty", b"", either(NOT_HERE, served()), NOT_HERE),
    host("missing in HTTP/1.0", None, either(NOT_HERE, served()), NOT_HERE,
         line=b"GET @T@ HTTP/1.0"),
    Check("host: twice", "9112 3.2", request(b"Host: other.example"), STRICT),
    Check("host: twice the same", "9112 3.2", request(b"Host: @H@"), STRICT),
    Check("host: twice, case differs", "9112 3.2", request(b"hOST: @H@"), STRICT),
    Check("host: twice, one empty", "9112 3.2", request(b"Host:"), STRICT),
    Check("host: twice, far apart", "9112 3.2",
          request(*[b"X-%d: 1" % i for i in range(50)], b"Host: other.example"), STRICT),
    Check("host: twice in HTTP/1.0", "9112 3.2",
          request(b"Host: other.example", line=b"GET @T@ HTTP/1.0"), STRICT),
    Check("host: behind a field with a space before its colon", "9112 5.1",
          request(b"Host : other.example"), STRICT),
    Check("host: folded", "9112 5.2", b"GET @T@ HTTP/1.1\r\nHost:\r\n @H@\r\n\r\n",
          either(STRICT, served(seen=one_host)), STRICT),
    Check("host: continued by a folded line", "9112 5.2",
          b"GET @T@ HTTP/1.1\r\nHost: @H@\r\n .evil.example\r\n\r\n", STRICT),
    Check("host: absolute-form disagrees", "9112 3.2.2",
          request(host=b"Host: other.example", line=b"GET http://@H@@T@ HTTP/1.1"),
          either(STRICT, served(seen=one_host)), STRICT),
    Check("host: absolute-form to a foreign host", "9112 3.2.2",
          request(line=b"GET http://other.example@T@ HTTP/1.1"),
          either(NOT_HERE, served(seen=has(b"host", b"other.example"))), STRICT),
    Check("host: absolute-form agrees but for case", "9110 4.2.3",
          request(host=b"Host: " + HOST.title().encode(), line=b"GET http://@H@@T@ HTTP/1.1"),
          served(seen=lambda m: None if len(m.all(b"host")) == 1 else "Host %r" % m.all(b"host"))),
    Check("host: a name that only starts like ours", "9110 7.4",
          request(host=b"Host: @H@.evil.example"), either(NOT_HERE, served()), NOT_HERE),
    Check("host: X-Forwarded-Host does not route", "9110 7.4",
          request(b"X-Forwarded-Host: other.example"), served(seen=one_host)),
    Check("host: last of many fields", "9112 3.2",
          request(*[b"X-%d: 1" % i for i in range(40)], b"Host: @H@", host=None),
          served(seen=one_host)),
    Check("host: reaches the service first or at least once", "9110 7.2", request(),
          served(seen=both(one_host, lambda m: None))),
] + [host("with " + name, value, STRICT) for name, value in INVALID]
