"""What a check is: bytes to send, and what is acceptable.

An expectation is a function of the Outcome that gives None, or a sentence that says
what is wrong. `expect` is what the RFC allows, for every server; `ours` is what the
gateway promises beyond it. In bytes, @T@ stands for the check's own target ("/t000012",
and "@T@-2" for a second request) and @H@ for the host."""
import re

from conformance import wire

GOOD = (200,)
HOST = "a.wos.localhost"


class Check:
    def __init__(self, name, rfc, send, expect, ours=None, reply=None, answers=1, close=False,
                 methods=None, kind="h1"):
        self.name, self.rfc, self.send = name, rfc, send
        self.expect, self.ours, self.reply = expect, ours, reply
        self.answers, self.close, self.kind = answers, close, kind
        self.methods = methods
        self.number = 0  # set by checks.py; unique
        # No answer is due to a client that left, to a response that was cut, in HTTP/2.
        self.may_be_silent = kind == "h2" or reply is not None or \
            (isinstance(send, list) and "shut" in send)

    @property
    def token(self):
        return "t%06d" % self.number


class H2Check(Check):
    """fields: the whole header list, pseudo-header fields included."""

    def __init__(self, name, rfc, fields, expect, ours=None, body=None, trailers=None, reply=None):
        super().__init__(name, rfc, None, expect, ours, reply, kind="h2")
        self.fields, self.body, self.trailers = fields, body, trailers


def h2_fields(*extra, **pseudo):
    """A usual header list; drop=(…) leaves names out, method=… and so on replace."""
    drop = pseudo.pop("drop", ())
    base = {"method": b"GET", "scheme": b"https", "authority": b"@H@", "path": b"@T@"}
    base.update(pseudo)
    return [(b":" + n.encode(), v) for n, v in base.items() if n not in drop] + list(extra)


# --- building requests -------------------------------------------------------

def request(*fields, line=b"GET @T@ HTTP/1.1", host=b"Host: @H@", body=b"", end=b"\r\n"):
    lines = [line] + ([host] if host is not None else []) + list(fields)
    return end.join(lines) + end * 2 + body


def post(*fields, body=b"", **keys):
    keys.setdefault("line", b"POST @T@ HTTP/1.1")
    return request(*fields, body=body, **keys)


def chunked(body, *fields, **keys):
    return post(b"Transfer-Encoding: chunked", *fields, body=body, **keys)


FOLLOW = request(line=b"GET @T@-2 HTTP/1.1")
SMUGGLED = b"GET @T@-smuggled HTTP/1.1\r\nHost: @H@\r\n\r\n"


def size_of(data):
    """Bytes of `data` once the placeholders are filled in."""
    return len(data.replace(b"@T@", b"/t000000").replace(b"@H@", HOST.encode()))


SMUGGLED_SIZE = size_of(SMUGGLED)


# --- expectations --------------------------------------------------------------

def refused(*statuses, close=True, nothing=True):
    """An error answer and the end of the connection; no complete request got through.
    nothing=False: the service may have seen an incomplete one."""
    statuses = statuses or (400,)

    def check(o):
        if o.seen:
            return "the service saw a whole request: %r" % o.seen[0]
        if nothing and o.cut:
            return "the service saw a part of the request: %r" % o.cut[0]
        if o.timed_out:
            return "no answer"
        if not o.responses:
            return None if o.closed else "no answer and not closed"
        if o.status not in statuses:
            return "status %s, not %s" % (o.status, " or ".join(map(str, statuses)))
        if close and not o.closed:
            return "status %d, but the connection stays open" % o.status
        return None
    return check


def answered(*statuses):
    """An answer must come (not just an end of the connection)."""
    def check(o):
        return None if o.status in statuses else "status %s, not %s" % (o.status, statuses)
    return check


def served(count=1, status=GOOD, closed=None, seen=None, got=None, body=None):
    """`count` requests reached the service whole, and were answered in order. `seen` and
    `got` judge the last request and the last response: None or a sentence."""
    def check(o):
        if len(o.seen) != count:
            return "the service saw %d whole requests, not %d" % (len(o.seen), count)
        if o.cut:
            return "an incomplete request at the service: %r" % o.cut[0]
        if o.timed_out:
            return "no answer"
        if len(o.responses) < count or o.status not in status:
            return "%d answers, last status %s" % (len(o.responses), o.status)
        if len(o.responses) > count:
            return "%d answers to %d requests" % (len(o.responses), count)
        if closed is not None and o.closed != closed:
            return "the connection is %s" % ("closed" if o.closed else "still open")
        if body is not None and o.seen[-1].body != body:
            return "the service read the body %r, not %r" % (o.seen[-1].body[:200], body[:200])
        wrong = seen(o.seen[-1]) if seen else None
        if wrong is None and got is not None:
            wrong = got(o.responses[-1])
        return wrong
    return check


def either(*options):
    def check(o):
        wrongs = [option(o) for option in options]
        return None if None in wrongs else "; and ".join(wrongs)
    return check


def both(*parts):
    def check(o):
        for part in parts:
            wrong = part(o)
            if wrong is not None:
                return wrong
        return None
    return check


def broken_off(o):
    """A body error behind a legal head: whole at the service never, no success for the
    client."""
    if o.seen:
        return "the service saw a whole request: %r" % o.seen[0]
    if o.timed_out:
        return "no answer"
    if o.status is not None and o.status < 400:
        return "status %d" % o.status
    if not o.closed:
        return "status %s, but the connection stays open" % o.status
    return None


def bad_gateway(o):
    """A response that must not be passed on: 502, or an end without a whole answer."""
    if o.timed_out:
        return "no answer"
    if o.responses and not 500 <= o.status < 600:
        return "status %s, not 502" % o.status
    if not o.responses and not o.closed:
        return "no answer and not closed"
    return None


def incomplete(o):
    """A response cut off by the service: the client can tell."""
    if any(r.status < 400 for r in o.responses):
        return "a cut response arrived as a whole one: %r" % o.responses
    return "no answer" if o.timed_out else None


def h2_refused(*statuses):
    """A malformed request: RST_STREAM, GOAWAY, or one of `statuses`."""
    def check(o):
        if o.seen or o.cut:
            return "the service saw the request: %r" % (o.seen or o.cut)[0]
        if o.timed_out:
            return "no answer"
        if o.reset is not None or o.goaway is not None:
            return None
        if o.responses:
            return None if o.status in statuses else "answered with %s" % o.status
        return None if o.closed else "no answer"
    return check


# For h2 bodies: the head may have been passed on before the fault was seen.
def h2_broken_off(*statuses):
    def check(o):
        if o.seen:
            return "the service saw a whole request: %r" % o.seen[0]
        if o.timed_out:
            return "no answer"
        if o.reset is not None or o.goaway is not None or not o.responses:
            return None
        return None if o.status in statuses else "answered with %s" % o.status
    return check


# --- judging heads ---------------------------------------------------------------

def has(name, *values):
    """The field's values, all lines of it in order, are exactly these."""
    def check(m):
        got = m.all(name)
        if got == list(values) or (len(values) > 1 and got == [b", ".join(values)]):
            return None
        return "%s is %r, not %r" % (name.decode(), got, list(values))
    return check


def lacks(*names):
    def check(m):
        for name in names:
            if m.all(name):
                return "%s: %r is there" % (name.decode(), m.all(name))
        return None
    return check


def lacks_bytes(*needles):
    def check(m):
        for needle in needles:
            if needle in m.raw_head or needle in m.body:
                return "%r is there" % needle
        return None
    return check


def target(pattern):
    """The request's target is exactly this; @T@ is any check's token."""
    expected = re.compile(re.escape(pattern).replace(b"@T@", rb"/t\d{6}") + rb"\Z")

    def check(m):
        return None if expected.match(m.target) else "target %r, not %r" % (m.target, pattern)
    return check


def method(name):
    def check(m):
        return None if m.method == name else "method %r, not %r" % (m.method, name)
    return check


def version(name):
    def check(m):
        return None if m.version == name else "version %r, not %r" % (m.version, name)
    return check


# --- running -----------------------------------------------------------------------

def fill(data, check):
    return data.replace(b"@T@", b"/" + check.token.encode()).replace(b"@H@", HOST.encode())


def methods_of(check):
    if check.methods:
        return check.methods
    first = check.send[0] if isinstance(check.send, list) else check.send
    return [first.lstrip(b"\r\n").split(b" ")[0]]


def run(check, port, recorder, patience, tls=True, piece=0):
    """One check against one proxy: the Outcome. piece: HTTP/1.1 is sent, and answered by the
    service, in pieces of that many bytes."""
    out = wire.Outcome()
    recorder.mark()
    if check.reply is not None:
        recorder.script(check.token, check.reply, piece)
    if check.kind == "h2":
        client = wire.Http2(port, HOST, patience)
        fields = [(fill(n, check), fill(v, check)) for n, v in check.fields]
        body = fill(check.body, check) if check.body is not None else None
        try:
            client.run(fields, body, check.trailers, out)
            out.seen, out.cut, out.junk, out.raw = recorder.take()
        finally:
            client.close()
        return out
    client = wire.Http1(port, HOST, patience, tls, piece)
    steps = check.send if isinstance(check.send, list) else [check.send]
    steps = [fill(s, check) if isinstance(s, bytes) else s for s in steps]
    try:
        client.run(steps, methods_of(check), check.answers, check.close, out)
        out.seen, out.cut, out.junk, out.raw = recorder.take()
    finally:
        client.close()
    return out


def judge(check, outcome, ours):
    """None, or why the check fails."""
    if outcome.junk:
        return "not canonical at the service: %r" % outcome.junk[0]
    if outcome.malformed:
        return "malformed at the client: %s" % outcome.malformed
    wrong = check.expect(outcome)
    if wrong is None and ours and check.ours is not None:
        wrong = check.ours(outcome)
        if wrong is not None:
            wrong = "(own promise) " + wrong
    if wrong is None and ours and not (outcome.responses or outcome.partial or check.may_be_silent):
        wrong = "(own promise) closed without an answer"
    return wrong

