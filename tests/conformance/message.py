"""A strict reader of HTTP/1.1 messages: what a proxy wrote, to its service or to its
client, must be canonical. Anything else raises Malformed. Independent of every server's
parser: no leniency that RFC 9112 offers to recipients is taken here."""
import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
# Values: visible, obs-text, inner spaces and tabs.
VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\x20\t\x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")
REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21\x22\x24-\x7e]+) (HTTP/1\.[01])\Z")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)\Z")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e]*)?\Z")


class Malformed(Exception):
    pass


class Message:
    """One request or response as it was read."""

    def __init__(self):
        self.method = self.target = self.version = b""
        self.status = 0
        self.fields = []  # (name as written, value)
        self.body = b""
        self.trailers = []
        self.raw_head = b""
        self.chunked = False
        self.complete = False
        self.peer = 0  # port of the connection it came on (the recorder's requests)
        self.interim = []  # 1xx responses before this one

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        return b", ".join(values) if values else None

    def tokens(self, name):
        return [t.strip().lower() for v in self.all(name) for t in v.split(b",")]

    def __repr__(self):
        start = b"%s %s" % (self.method, self.target) if self.method else b"%d" % self.status
        return "<%s %r body=%r%s>" % (start.decode("latin-1"), self.fields, self.body[:200],
                                      "" if self.complete else " INCOMPLETE")


def parse_fields(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed("field line %r" % line[:100])
        value = value.strip(b" \t")
        if not VALUE.match(value):
            raise Malformed("field value %r" % line[:100])
        fields.append((name, value))
    return fields


def split_head(data):
    """(lines, length with the empty line) or None when it is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if b"\n" in data.replace(b"\r\n", b""):
            raise Malformed("bare LF in a head: %r" % bytes(data[:200]))
        return None
    head = bytes(data[:end])
    lines = head.split(b"\r\n")
    for line in lines:
        if b"\n" in line or b"\r" in line or b"\0" in line:
            raise Malformed("control byte in a head: %r" % line[:200])
    return lines, end + 4


class Reader:
    """Feeds on bytes, gives whole messages. `method` of a response decides about its body."""

    def __init__(self, responses=False):
        self.responses = responses
        self.data = bytearray()
        self.message = None  # being read
        self.left = 0
        self.state = "head"

    def feed(self, data):
        self.data += data

    def next(self, method=b"GET"):
        """The next complete message or None. self.message is what is incomplete."""
        while True:
            step = getattr(self, "_" + self.state)
            done = step(method)
            if done is None:
                return None
            if done:
                message, self.message, self.state = self.message, None, "head"
                message.complete = True
                return message

    def end(self):
        """The peer closed: a body that lasts until then is complete."""
        if self.state == "until_close":
            message, self.message = self.message, None
            message.complete = True
            return message
        return None

    def _head(self, method):
        got = split_head(self.data)
        if got is None:
            return None
        lines, size = got
        m = Message()
        m.raw_head = bytes(self.data[:size])
        if self.responses:
            line = STATUS_LINE.match(lines[0])
            if not line:
                raise Malformed("status line %r" % lines[0][:200])
            m.version, m.status = line.group(1), int(line.group(2))
        else:
            line = REQUEST_LINE.match(lines[0])
            if not line:
                raise Malformed("request line %r" % lines[0][:200])
            m.method, m.target, m.version = line.groups()
        m.fields = parse_fields(lines[1:])
        del self.data[:size]
        self.message = m
        return self._frame(m, method)

    def _frame(self, m, method):
        lengths, codings = m.all(b"content-length"), m.all(b"transfer-encoding")
        if lengths and codings:
            raise Malformed("Content-Length and Transfer-Encoding")
        if len(lengths) > 1 or any(not v.isdigit() for v in lengths):
            raise Malformed("Content-Length %r" % lengths)
        if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
            raise Malformed("Transfer-Encoding %r" % codings)
        if not self.responses and len(m.all(b"host")) != 1 and m.version == b"HTTP/1.1":
            raise Malformed("%d Host fields" % len(m.all(b"host")))
        if self.responses and (m.status < 200 or m.status in (204, 304) or method == b"HEAD"):
            if m.status < 200 or m.status == 204:
                if lengths or codings:
                    raise Malformed("framing fields in a %d" % m.status)
            return True
        if codings:
            m.chunked = True
            self.state = "chunk_size"
            return False
        if lengths:
            self.left = int(lengths[0])
            self.state = "body"
            return False
        if self.responses:
            self.state = "until_close"
            return False
        return True

    def _body(self, _):
        piece = bytes(self.data[:self.left])
        del self.data[:len(piece)]
        self.message.body += piece
        self.left -= len(piece)
        return True if self.left == 0 else None

    def _until_close(self, _):
        self.message.body += bytes(self.data)
        self.data.clear()

    def _line(self):
        end = self.data.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self.data[:end])
        if b"\r" in line or b"\n" in line:
            raise Malformed("control byte in a chunk line: %r" % line[:100])
        del self.data[:end + 2]
        return line

    def _chunk_size(self, _):
        line = self._line()
        if line is None:
            return None
        match = CHUNK_LINE.match(line)
        if not match:
            raise Malformed("chunk size %r" % line[:100])
        self.left = int(match.group(1), 16)
        self.state = "chunk_data" if self.left else "trailers"
        return False

    def _chunk_data(self, _):
        if len(self.data) < self.left + 2:
            return None
        if self.data[self.left:self.left + 2] != b"\r\n":
            raise Malformed("no CRLF behind a chunk")
        self.message.body += bytes(self.data[:self.left])
        del self.data[:self.left + 2]
        self.state = "chunk_size"
        return False

    def _trailers(self, _):
        line = self._line()
        if line is None:
            return None
        if line:
            self.message.trailers += parse_fields([line])
            return False
        return True
