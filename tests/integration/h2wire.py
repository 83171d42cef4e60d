"""HTTP/2 frame by frame: nothing is checked, completed or put right on the way out.

    with Wire(port, host, ca=ca) as w:
        w.start()                            # preface, SETTINGS both ways
        w.headers(1, w.get("/hello"), end=True)
        assert w.answer(1).status == 200
        w.frame(PING, 0, 3, b"x" * 8)
        w.connection_error("PROTOCOL_ERROR")

What comes back is kept as it came: frames in order, header blocks decoded by
python3-hpack, one decoder for the connection.
"""
import struct
import time

import hpack

import clients

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
PRIORITY_UPDATE = 0x10
END_STREAM, ACK, END_HEADERS, PADDED, PRIO = 0x1, 0x1, 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, \
    MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
         "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
         "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]


def code_name(number):
    return CODES[number] if number < len(CODES) else str(number)


class Unexpected(AssertionError):
    pass


def pack(kind, flags, stream, payload=b"", length=None):
    """One frame; `length` lies about the payload."""
    size = len(payload) if length is None else length
    return struct.pack(">BHBBI", size >> 16, size & 0xffff, kind, flags, stream) + payload


def settings(values):
    """Pairs, in order, repeats allowed."""
    return b"".join(struct.pack(">HI", k, v) for k, v in values)


def integer(value, prefix, first=0):
    """RFC 7541 5.1."""
    top = (1 << prefix) - 1
    if value < top:
        return bytes([first | value])
    out, value = bytearray([first | top]), value - top
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def literal(name, value, first=0x00, prefix=4):
    """A literal field with a new name, no Huffman code; any bytes."""
    name = name.encode("latin-1") if isinstance(name, str) else name
    value = value.encode("latin-1") if isinstance(value, str) else value
    return bytes([first]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields):
    """A header block of such literals; no state."""
    return b"".join(literal(n, v) for n, v in fields)


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def u32(self, at=0):
        return struct.unpack_from(">I", self.payload, at)[0]

    def __repr__(self):
        return "<frame %d flags %02x stream %d %r>" % (self.kind, self.flags, self.stream,
                                                       self.payload[:60])


class Answer:
    def __init__(self):
        self.heads = []  # decoded header lists, in order
        self.body = b""
        self.ended = False
        self.reset = None

    @property
    def status(self):
        finals = [h for h in self.heads if dict(h).get(":status", "1")[0] != "1"]
        return int(dict(finals[0])[":status"]) if finals else None

    def get(self, name):
        return dict(self.heads[-1]).get(name) if self.heads else None

    def __repr__(self):
        return "<%s %r ended=%s reset=%s>" % (self.status, self.body[:80], self.ended, self.reset)


class Wire:
    """`strict`: an error has to be said (GOAWAY, RST_STREAM); otherwise a closed
    connection will do, and a connection error for a stream error too."""

    def __init__(self, port, host, ca=None, context=None, authority=None, path="/hello",
                 post="/sink", strict=True, timeout=20.0):
        self.channel = clients.Channel(port, host, ca=ca, alpn=["h2"], context=context,
                                       timeout=timeout)
        self.authority = authority or "%s:%d" % (host, port)
        self.path, self.post_path = path, post
        self.strict, self.timeout = strict, timeout
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.encoder = hpack.Encoder()
        self.frames = []  # all that came
        self.answers = {}
        self.settings = None  # the server's
        self.acked = 0
        self.pongs = []
        self.goaway = None  # (code, last stream)
        self._block = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    # --- out ------------------------------------------------------------------
    def send(self, data):
        self.channel.send(data)
        self.channel._write()

    def frame(self, kind, flags=0, stream=0, payload=b"", length=None):
        self.send(pack(kind, flags, stream, payload, length))

    def start(self, values=(), ack=True):
        self.send(PREFACE + pack(SETTINGS, 0, 0, settings(values)))
        self.until(lambda: self.settings is not None and self.acked, "SETTINGS and their ACK")
        if ack:
            self.frame(SETTINGS, ACK)
        return self

    def get(self, path=None, method="GET", extra=()):
        return [(":method", method), (":scheme", "https"), (":authority", self.authority),
                (":path", path or self.path), *extra]

    def post(self, extra=(), path=None):
        return self.get(path or self.post_path, "POST", extra)

    def headers(self, stream, fields, end=False, flags=END_HEADERS, raw=False):
        """fields: a list (sent as plain literals), or the bytes of a block."""
        payload = fields if isinstance(fields, bytes) else block(fields)
        if not raw and len(payload) > 16384:
            self.frame(HEADERS, END_STREAM if end else 0, stream, payload[:16384])
            rest = payload[16384:]
            while rest:
                piece, rest = rest[:16384], rest[16384:]
                self.frame(CONTINUATION, 0 if rest else END_HEADERS, stream, piece)
            return
        self.frame(HEADERS, flags | (END_STREAM if end else 0), stream, payload)

    def data(self, stream, payload=b"", end=False):
        self.frame(DATA, END_STREAM if end else 0, stream, payload)

    def window(self, stream, increment):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))

    def reset(self, stream, code=8):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    # --- in -------------------------------------------------------------------
    def stream(self, number):
        return self.answers.setdefault(number, Answer())

    def _take(self):
        inbox = self.channel.inbox
        while len(inbox) >= 9:
            high, low, kind, flags, stream = struct.unpack_from(">BHBBI", inbox)
            size = high << 16 | low
            if len(inbox) < 9 + size:
                return
            frame = Frame(kind, flags, stream & 0x7fffffff, bytes(inbox[9:9 + size]))
            del inbox[:9 + size]
            self.frames.append(frame)
            self._digest(frame)

    def _digest(self, frame):
        if frame.kind == SETTINGS and frame.flags & ACK:
            self.acked += 1
        elif frame.kind == SETTINGS:
            self.settings = {k: v for k, v in struct.iter_unpack(">HI", frame.payload)}
        elif frame.kind == PING and frame.flags & ACK:
            self.pongs.append(frame.payload)
        elif frame.kind == GOAWAY:
            self.goaway = (code_name(frame.u32(4)), frame.u32() & 0x7fffffff)
        elif frame.kind == RST_STREAM:
            self.stream(frame.stream).reset = code_name(frame.u32())
        elif frame.kind in (HEADERS, CONTINUATION):
            payload = frame.payload
            if frame.kind == HEADERS and frame.flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            if frame.kind == HEADERS and frame.flags & PRIO:
                payload = payload[5:]
            self._block = (self._block or b"") + payload
            if frame.flags & END_HEADERS:
                fields = [(n, v) for n, v in self.decoder.decode(self._block)]
                self._block = None
                self.stream(frame.stream).heads.append(fields)
            if frame.kind == HEADERS and frame.flags & END_STREAM:
                self.stream(frame.stream).ended = True
        elif frame.kind == DATA:
            payload = frame.payload
            if frame.flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            self.stream(frame.stream).body += payload
            self.stream(frame.stream).ended |= bool(frame.flags & END_STREAM)
        elif frame.kind == PUSH_PROMISE:
            raise Unexpected("a push")

    @property
    def over(self):
        return self.channel.eof or bool(self.channel.error)

    def until(self, ready, what="an answer", or_over=False):
        deadline = time.monotonic() + self.timeout
        while True:
            self._take()
            if ready():
                return
            if self.over:
                if or_over:
                    return
                raise Unexpected("closed (goaway %s) waiting for %s" % (self.goaway, what))
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unexpected("no %s; last frames %r" % (what, self.frames[-5:]))
            self.channel.step(min(left, 1.0))

    # --- what a test expects -----------------------------------------------------
    def answer(self, stream, status=None):
        """The whole answer."""
        got = self.stream(stream)
        self.until(lambda: got.ended or got.reset
                   or (self.goaway is not None and self.goaway[0] != "NO_ERROR"),
                   "the end of stream %d" % stream)
        if got.status is None or (status is not None and got.status != status):
            raise Unexpected("stream %d: %r, goaway %s" % (stream, got, self.goaway))
        return got

    def alive(self):
        """It still answers a PING, and said no GOAWAY."""
        token = b"alive%03d" % (len(self.pongs) % 1000)
        self.frame(PING, 0, 0, token)
        self.until(lambda: token in self.pongs, "the answer of a PING")
        if self.goaway is not None:
            raise Unexpected("GOAWAY %s" % (self.goaway,))

    def connection_error(self, *codes):
        self.until(lambda: self.goaway is not None, "GOAWAY", or_over=True)
        if self.goaway is None and self.strict:
            raise Unexpected("closed without GOAWAY")
        if self.goaway is not None and self.goaway[0] not in codes:
            raise Unexpected("GOAWAY %s, not %s" % (self.goaway, "/".join(codes)))
        self.until(lambda: self.over, "the connection to close")

    def stream_error(self, stream, *codes, connection=False):
        """connection: the RFC allows a connection error as well."""
        got = self.stream(stream)
        self.until(lambda: got.reset or got.ended or self.goaway is not None, "RST_STREAM",
                   or_over=True)
        if got.reset is not None:
            if got.reset not in codes:
                raise Unexpected("RST_STREAM %s, not %s" % (got.reset, "/".join(codes)))
            if got.heads and self.strict:
                raise Unexpected("an answer (%r) to what is malformed" % got)
            if self.strict:
                self.alive()
            return
        if got.ended:
            raise Unexpected("answered: %r" % got)
        if self.strict and not connection:
            raise Unexpected("a connection error: %s" % (self.goaway,))
        if self.goaway is not None and self.goaway[0] not in codes:
            raise Unexpected("GOAWAY %s, not %s" % (self.goaway, "/".join(codes)))
