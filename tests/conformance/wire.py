"""Clients that put any bytes on the wire: HTTP/1.1 and HTTP/2, over TLS."""
import socket
import ssl
import time

import hpack
from hyperframe import frame as frames

from conformance import message

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Outcome:
    """What one check saw on both sides of the proxy."""

    def __init__(self):
        self.responses = []  # final ones; .interim has the 1xx before each
        self.partial = None  # a response that did not become complete
        self.interim = []  # 1xx with no final response behind them
        self.malformed = None  # the client got what is no HTTP
        self.closed = False
        self.timed_out = False
        self.reset = None  # HTTP/2: code of RST_STREAM
        self.goaway = None  # HTTP/2: code of GOAWAY
        self.seen = []  # complete requests at the service
        self.cut = []  # incomplete ones
        self.junk = []  # what is no canonical request
        self.raw = b""  # all bytes the service received
        self.sent_body_after_interim = False

    @property
    def status(self):
        if self.responses:
            return self.responses[-1].status
        return self.partial.status if self.partial else None

    def __str__(self):
        text = "client: %s" % (self.responses or "no answer")
        for name in ("partial", "interim", "malformed", "reset", "goaway", "timed_out", "closed"):
            value = getattr(self, name)
            if value or (name in ("reset", "goaway") and value is not None):
                text += ", %s=%r" % (name, value)
        return "%s; service: %s%s%s" % (
            text[:1500], self.seen or "nothing complete",
            ", cut: %r" % self.cut if self.cut else "",
            ", not canonical: %r" % self.junk if self.junk else "")


def connect(port, host, alpn, patience, tls=True):
    raw = socket.create_connection(("127.0.0.1", port), patience)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return raw
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    try:
        return context.wrap_socket(raw, server_hostname=host, suppress_ragged_eofs=True)
    except BaseException:
        raw.close()
        raise


class Line:
    """A TLS connection with deadlines. Sending goes on while the peer answers."""

    def __init__(self, port, host, alpn, patience, tls=True):
        self.sock = connect(port, host, alpn, patience, tls)
        self.patience = patience
        self.closed = False

    def send(self, data, piece=0):
        """False once the peer is gone; what it had said can still be read. In pieces of that
        many bytes, if given."""
        self.sock.settimeout(self.patience)
        try:
            for at in range(0, len(data), piece or len(data) or 1):
                self.sock.sendall(data[at:at + piece] if piece else data)
            return True
        except OSError:
            return False

    def recv(self, deadline):
        """Bytes; b"" after the end (closed is set) or at the deadline."""
        if self.closed:
            return b""
        left = deadline - time.monotonic()
        if left <= 0:
            return b""
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(1 << 18)
        except (socket.timeout, ssl.SSLWantReadError):
            return b""
        except OSError:
            data = b""
        if not data:
            self.closed = True
        return data

    def shut(self):
        """Ends the sending side with a FIN; answers can still be read."""
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_WR)  # below TLS, which lives on
        except OSError:
            pass

    def close(self):
        self.sock.close()


CLOSING = {400, 411, 413, 414, 417, 431, 501, 505}


class Http1:
    """Sends steps (bytes, "interim": until a 1xx or final status line has come) and reads
    the answers."""

    def __init__(self, port, host, patience, tls=True, piece=0):
        self.line = Line(port, host, "http/1.1", patience, tls)
        self.piece = piece
        self.reader = message.Reader(responses=True)
        self.patience = patience

    def run(self, steps, methods, answers, want_close, outcome):
        out = outcome
        interim = []

        def take():
            """Moves whole responses over; False at malformed bytes."""
            try:
                while True:
                    method = methods[min(len(out.responses), len(methods) - 1)]
                    got = self.reader.next(method)
                    if got is None:
                        return True
                    if got.status < 200 and got.status != 101:
                        interim.append(got)
                        continue
                    got.interim = interim[:]
                    interim.clear()
                    out.responses.append(got)
            except message.Malformed as error:
                out.malformed = str(error)
                return False

        def read(ready):
            deadline = time.monotonic() + self.patience
            while not ready() and not self.line.closed and not out.malformed:
                data = self.line.recv(deadline)
                if not data:
                    if not self.line.closed:
                        out.timed_out = True
                    return
                self.reader.feed(data)
                take()

        for step in steps:
            if step == "interim":
                read(lambda: interim or out.responses)
                out.sent_body_after_interim = bool(interim)
                continue
            if step == "shut":
                self.line.shut()
                continue
            if not self.line.send(step, self.piece):
                break
        read(lambda: len(out.responses) >= answers)
        last = out.responses[-1] if out.responses else None
        if last is not None and not out.timed_out and (
                want_close or last.status in CLOSING or b"close" in last.tokens(b"connection")):
            read(lambda: False)
            out.timed_out = False
        if self.line.closed:
            out.closed = True
            got = self.reader.end()
            if got is not None:
                got.interim = interim[:]
                interim.clear()
                out.responses.append(got)
            elif self.reader.data and not out.malformed:
                out.malformed = "ended inside %r" % bytes(self.reader.data[:100])
        out.partial = self.reader.message
        out.interim = interim

    def close(self):
        self.line.close()


class Http2:
    """One stream of HTTP/2 with any header list."""

    def __init__(self, port, host, patience):
        self.line = Line(port, host, "h2", patience)
        self.patience = patience
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.data = bytearray()
        self.line.send(PREFACE + frames.SettingsFrame(0, settings={}).serialize())

    def headers(self, stream, fields, flags):
        block = self.encoder.encode([hpack.NeverIndexedHeaderTuple(n, v) for n, v in fields],
                                    huffman=False)
        out = b""
        kind, first = frames.HeadersFrame, True
        while first or block:
            piece, block = block[:16000], block[16000:]
            f = kind(stream, data=piece)
            for flag in flags if first else ():
                f.flags.add(flag)
            if not block:
                f.flags.add("END_HEADERS")
            out += f.serialize()
            kind, first = frames.ContinuationFrame, False
        return out

    def run(self, fields, body, trailers, outcome):
        end = body is None and trailers is None
        send = self.headers(1, fields, ["END_STREAM"] if end else [])
        if body is not None:
            for at in range(0, max(len(body), 1), 16000):
                f = frames.DataFrame(1, data=body[at:at + 16000])
                if trailers is None and at + 16000 >= len(body):
                    f.flags.add("END_STREAM")
                send += f.serialize()
        if trailers is not None:
            send += self.headers(1, trailers, ["END_STREAM"])
        self.line.send(send)
        self._answer(outcome)

    def _answer(self, out):
        deadline = time.monotonic() + self.patience
        response, interim = None, []
        while True:
            while len(self.data) < 9 or len(self.data) < 9 + int.from_bytes(self.data[:3], "big"):
                data = self.line.recv(deadline)
                if not data:
                    out.closed = self.line.closed
                    out.timed_out = not self.line.closed
                    out.partial = response
                    out.interim = interim
                    return
                self.data += data
            f, size = frames.Frame.parse_frame_header(memoryview(bytes(self.data[:9])))
            f.parse_body(memoryview(bytes(self.data[9:9 + size])))
            del self.data[:9 + size]
            if isinstance(f, frames.SettingsFrame) and "ACK" not in f.flags:
                self.line.send(frames.SettingsFrame(0, flags=["ACK"]).serialize())
            elif isinstance(f, frames.GoAwayFrame):
                out.goaway = f.error_code
                if f.error_code or f.last_stream_id < 1:
                    out.partial = response
                    return
            elif isinstance(f, frames.RstStreamFrame) and f.stream_id == 1:
                out.reset = f.error_code
                out.partial = response
                return
            elif isinstance(f, frames.HeadersFrame) and f.stream_id == 1:
                response = self._headers(f, response, interim)
            elif isinstance(f, frames.DataFrame) and f.stream_id == 1 and response:
                response.body += f.data
            if getattr(f, "stream_id", 0) == 1 and "END_STREAM" in f.flags and response:
                response.complete = True
                response.interim = interim
                out.responses.append(response)
                return

    def _headers(self, f, response, interim):
        fields = self.decoder.decode(f.data, raw=True)
        if response is not None:
            response.trailers = fields
            return response
        got = message.Message()
        got.fields = [(n, v) for n, v in fields if not n.startswith(b":")]
        got.status = int(dict(fields).get(b":status", b"0"))
        got.version = b"HTTP/2"
        if 100 <= got.status < 200:
            interim.append(got)
            return None
        return got

    def close(self):
        self.line.close()
