"""The same request for HTTP/1.1 and for HTTP/2, made from a seed: the service must not be
able to tell the difference, and what one version refuses the other must refuse.

Not compared: the case of names (HTTP/2 has lower case only, so both send that), the place of
Cookie (crumbs are put together behind the other fields), and Content-Length against chunks
when the client told no length over HTTP/2 (it need not)."""
import random

from conformance.check import Check, H2Check, h2_fields, run

METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND", b"get", b"X-Y.z"]
PATHS = [b"@T@", b"@T@/a/../b", b"@T@//x/./%2e%2E/%00", b"@T@?a=b&a=c", b"@T@?", b"@T@/;p=1?q=/?:@",
         b"@T@/\"<>\\^`{|}", b"@T@?%zz", b"@T@/" + b"x" * 3000]
NAMES = [b"x-a", b"accept", b"user-agent", b"authorization", b"range", b"if-none-match", b"origin",
         b"x_a", b"via", b"content-type", b"max-forwards", b"accept-encoding", b"priority",
         b"a!#$%&'*+-.^_`|~9"]
VALUES = [b"1", b"", b"a b\tc", b"\xc3\xa9\xff", b'"q, \\" r;s"', b":a:", b"x" * 2000, b"a, b ,c",
          b"bytes=0-1", b"W/\"e\"", b"(;)=?/"]
SPOOFS = [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-proto", b"http"), (b"x-real-ip", b"6.6.6.6"),
          (b"x_forwarded_for", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6"),
          (b"x-forwarded-host", b"evil.example"), (b"x-forwarded-port", b"1")]
# One of them makes a request that both versions must refuse.
BAD_FIELDS = [(b"x-a", b"a\0b"), (b"x-a", b"a\x01b"), (b"x-a", b"a\x7fb"), (b"x-a", b"a\rb"),
              (b"x(a", b"1"), (b"x a", b"1"), (b"x\xe9", b"1"), (b"x\x01", b"1"), (b"", b"1"),
              (b"expect", b"200-ok"), (b"content-length", b"+5"), (b"content-length", b"0x5"),
              (b"content-length", b"5,6"), (b"content-length", b""), (b"host", b"other.example"),
              (b"content-length", b"99999999999999999999")]
BAD_PATHS = [b"@T@#f", b"@T@\xc3\xa9", b"@T@\x7f", b"@T@\x01", b"t000000", b"@T@ x", b"*x", b"\\@T@"]
BAD_HOSTS = [b"@H@ x", b"@H@,x", b"@H@/x", b"u@@H@", b"@H@:x", b"@H@:99999", b"[::1", b"@H@\xff",
             b"http://@H@", b"@H@%2e", b"@H@?x", b"@H@:1:2"]
BAD_METHODS = [b"GE T", b"G\xc9T", b"GET:", b"(GET)", b"M" * 70, b"CONNECT"]


class Pair:
    def __init__(self, seed):
        rng = random.Random(seed)
        self.bad = rng.random() < 0.4
        self.method, self.path, self.host = rng.choice(METHODS), rng.choice(PATHS), b"@H@"
        if rng.random() < 0.2:
            self.host = rng.choice([b"@H@:8443", b"@H@.", b"A.wos.LocalHost"])
        names = NAMES if self.method != b"OPTIONS" else [n for n in NAMES if n != b"max-forwards"]
        self.fields = [(rng.choice(names), rng.choice(VALUES)) for _ in range(rng.randrange(8))]
        self.fields += rng.sample(SPOOFS, rng.randrange(3))
        rng.shuffle(self.fields)
        self.cookies = [b"c%d=%d" % (i, i) for i in range(rng.choice([0, 0, 1, 3]))]
        self.body = rng.choice([None, None, b"", b"hello", b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"x" * 20000])
        self.tell_length = self.body is not None and rng.random() < 0.5
        self.trailers = [(b"x-t", b"v"), (b"x-u", b"")] if self.body and not self.tell_length and \
            rng.random() < 0.5 else None
        if self.bad:
            self._spoil(rng)

    def _spoil(self, rng):
        kind = rng.choice(["field", "field", "path", "host", "method"])
        if kind == "field":
            self.tell_length = False
            self.fields.insert(rng.randrange(len(self.fields) + 1), rng.choice(BAD_FIELDS))
        elif kind == "path":
            self.path = rng.choice(BAD_PATHS)
        elif kind == "host":
            self.host = rng.choice(BAD_HOSTS)
        else:
            self.method = rng.choice(BAD_METHODS)

    def h1(self, number):
        lines = [b"%s %s HTTP/1.1" % (self.method, self.path), b"host: " + self.host]
        lines += [b"%s: %s" % field for field in self.fields]
        if self.cookies:
            lines.append(b"cookie: " + b"; ".join(self.cookies))
        body = self.body or b""
        if self.tell_length:
            lines.append(b"content-length: %d" % len(body))
        elif self.body is not None and not any(n == b"content-length" for n, _ in self.fields):
            lines.append(b"transfer-encoding: chunked")
            chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            tail = b"".join(b"%s: %s\r\n" % t for t in self.trailers or [])
            body = chunk + b"0\r\n" + tail + b"\r\n"
        check = Check("pair", "", b"\r\n".join(lines) + b"\r\n\r\n" + body, None)
        check.number = number
        check.methods = [self.method]
        return check

    def h2(self, number):
        extra = list(self.fields) + [(b"cookie", c) for c in self.cookies]
        if self.tell_length:
            extra.append((b"content-length", b"%d" % len(self.body)))
        check = H2Check("pair", "", h2_fields(*extra, method=self.method, path=self.path,
                                              authority=self.host), None, body=self.body,
                        trailers=self.trailers)
        check.number = number
        return check


def canonical(request):
    """What must be equal: everything but what the head comment excepts."""
    fields, cookie = [], None
    for name, value in request.fields:
        name = name.lower()
        if name == b"cookie":
            cookie = value
        elif name == b"via" and value in (b"1.1 wos", b"2 wos"):
            fields.append((name, b"wos"))
        elif name not in (b"content-length", b"transfer-encoding", b"x-request-id"):
            fields.append((name, value))
    return (request.method, request.target, request.version, fields, cookie, request.body,
            sorted(request.trailers))


def compare(seed, port, recorder, patience):
    """None, or how the two versions differ."""
    pair = Pair(seed)
    one = run(pair.h1(900000 + seed), port, recorder, patience)
    two = run(pair.h2(900000 + seed), port, recorder, patience)
    both = "\nh1: %s\nh2: %s" % (one, two)
    if one.junk or two.junk:
        return "not canonical at the service" + both
    if pair.bad:
        if one.seen or two.seen:
            return "a malformed request got through" + both
        served = [o for o in (one, two) if o.responses and o.status < 400]
        return "a malformed request was answered" + both if served or one.timed_out or two.timed_out \
            else None
    if len(one.seen) != 1 or len(two.seen) != 1:
        return "not exactly one request each" + both
    a, b = canonical(one.seen[0]), canonical(two.seen[0])
    if a != b:
        return "differs:\n%r\n%r" % (a, b)
    if pair.tell_length and one.seen[0].get(b"content-length") != two.seen[0].get(b"content-length"):
        return "the lengths differ" + both
    return None if one.status == two.status == 200 else "status %s and %s" % (one.status, two.status)
