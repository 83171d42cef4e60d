"""Clients that see the wire: HTTP/1.1, HTTP/2 and WebSockets over both.

Nothing here corrects or hides what a peer sends: headers stay a list in the order of
arrival, 1xx answers and trailers are kept, and any bytes can be sent. HTTP/2 is
python-h2 with its outgoing checks off. Sockets are non-blocking inside, so that
sending and receiving never wait for each other; every wait has a deadline.
"""
import hashlib
import select
import socket
import ssl
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

import wsframe

WAIT = 60.0


class ClientError(Exception):
    """The peer did what the test's client cannot go on with."""


class Closed(ClientError):
    """The peer ended the connection; `partial` is what had come."""

    def __init__(self, text, partial=b""):
        super().__init__(text)
        self.partial = partial


class Answer:
    def __init__(self):
        self.status = None
        self.reason = ""
        self.version = ""
        self.headers = []
        self.trailers = []
        self.informational = []  # (status, headers)
        self.body = b""
        self.size = 0
        self.sha256 = None
        self.reset = None  # HTTP/2 error code of a RST_STREAM

    def get(self, name):
        """Value of the header, repeated ones joined, None if absent."""
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        return ", ".join(values) if values else None

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        import json
        return json.loads(self.body)

    def __repr__(self):
        return "<%s %s %r body=%r>" % (self.status, self.reason, self.headers, self.body[:2000])


def tls_context(ca, alpn=None, minimum=None, maximum=None):
    context = ssl.create_default_context(cafile=ca)
    if alpn:
        context.set_alpn_protocols(alpn)
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    return context


class Channel:
    """A connected byte stream that never blocks: queue with `send`, move with
    `step`, take from `inbox`."""

    def __init__(self, port, host, ca=None, alpn=None, address="127.0.0.1", context=None,
                 timeout=WAIT, source=None, first=b""):
        """source: the address to come from; first: bytes to send before TLS."""
        raw = socket.create_connection((address, port), timeout, source and (source, 0))
        self.tls = ca is not None or context is not None
        try:
            raw.sendall(first)
            if self.tls:
                context = context or tls_context(ca, alpn)
                raw = context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setblocking(False)
        self.sock = raw
        self.out = bytearray()
        self.inbox = bytearray()
        self.eof = False
        self.error = None
        self.paused = False

    def close(self):
        self.sock.close()

    def abort(self):
        """Ends with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.out += data

    def _write(self):
        while self.out:
            try:
                count = self.sock.send(bytes(self.out[:1 << 18]))
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError as error:
                self.error = error
                self.out.clear()
                return
            del self.out[:count]

    def _read(self):
        for _ in range(16):
            try:
                data = self.sock.recv(1 << 18)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b""
            except OSError as error:
                self.error = error
                data = b""
            if not data:
                self.eof = True
                return
            self.inbox += data

    def step(self, timeout):
        """Sends and receives what is possible; waits at most timeout."""
        pending = self.tls and self.sock.pending() and not self.paused
        if not pending:
            poll = select.poll()  # select() knows no descriptor above 1023
            wanted = 0 if self.eof or self.paused else select.POLLIN
            if wanted or self.out:
                poll.register(self.sock, wanted | (select.POLLOUT if self.out else 0))
            poll.poll(timeout * 1000)
        self._write()
        if not self.paused and not self.eof:
            self._read()

    def until(self, ready, timeout=WAIT, what="an answer"):
        """Steps until ready() is true. Raises Closed when the peer ended first."""
        deadline = time.monotonic() + timeout
        self._write()
        while not ready():
            if self.eof:
                raise Closed("connection ended (%s) waiting for %s" % (self.error, what),
                             bytes(self.inbox))
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClientError("no %s within %s s; have %r" % (what, timeout, self.inbox[:500]))
            self.step(min(left, 1.0))

    def flush(self, timeout=WAIT):
        self.until(lambda: not self.out or self.error, timeout, "room to send")

    def wait_closed(self, timeout=WAIT):
        deadline = time.monotonic() + timeout
        while not self.eof:
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClientError("not closed by the peer within %s s" % timeout)
            self.step(min(left, 1.0))
        return bytes(self.inbox)

    def take(self, size):
        data = bytes(self.inbox[:size])
        del self.inbox[:size]
        return data


class Http1:
    """One HTTP/1.1 connection. `request` for the usual, `send`/`read_answer` for
    bytes of one's own."""

    def __init__(self, port, host, ca=None, address="127.0.0.1", timeout=WAIT, context=None,
                 alpn=("http/1.1",), authority=None, **wire):
        self.channel = Channel(port, host, ca=ca, alpn=list(alpn), address=address,
                               timeout=timeout, context=context, **wire)
        self.authority = authority or "%s:%d" % (host, port)
        self.timeout = timeout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.channel.close()

    def send(self, data):
        self.channel.send(data.encode("latin-1") if isinstance(data, str) else data)
        self.channel._write()

    def send_head(self, method, path, headers=(), host=True):
        lines = ["%s %s HTTP/1.1" % (method, path)]
        if host:
            lines.append("Host: " + self.authority)
        lines += ["%s: %s" % (n, v) for n, v in headers]
        self.send("\r\n".join(lines) + "\r\n\r\n")

    def request(self, method="GET", path="/", headers=(), body=None, chunked=False, trailers=(),
                hash_only=False, timeout=None):
        """body: bytes, or an iterable of bytes (sent as it is made)."""
        headers = list(headers)
        timeout = timeout or self.timeout
        if body is not None and (chunked or not isinstance(body, (bytes, bytearray))):
            if not any(n.lower() in ("content-length", "transfer-encoding") for n, _ in headers):
                headers.append(("Transfer-Encoding", "chunked"))
                chunked = True
            self.send_head(method, path, headers)
            pieces = [body] if isinstance(body, (bytes, bytearray)) else body
            for piece in pieces:
                self.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                self.channel.until(lambda: len(self.channel.out) < 1 << 20, timeout, "room")
            if chunked:
                tail = "".join("%s: %s\r\n" % t for t in trailers)
                self.send(b"0\r\n" + tail.encode() + b"\r\n")
        else:
            if body is not None:
                headers.append(("Content-Length", str(len(body))))
            self.send_head(method, path, headers)
            if body:
                self.send(bytes(body))
        return self.read_answer(method, hash_only, timeout)

    def read_line(self, timeout=WAIT):
        channel = self.channel
        channel.until(lambda: b"\r\n" in channel.inbox, timeout, "a line")
        at = channel.inbox.index(b"\r\n")
        return channel.take(at + 2)[:-2].decode("latin-1")

    def _read_fields(self, timeout):
        fields = []
        while (line := self.read_line(timeout)) != "":
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))
        return fields

    def read_head(self, timeout=WAIT):
        """The final head; 1xx ones (but 101) are collected in it."""
        answer = Answer()
        while True:
            line = self.read_line(timeout)
            parts = line.split(" ", 2)
            if len(parts) < 2 or not parts[0].startswith("HTTP/1."):
                raise ClientError("no status line: %r" % line)
            status, fields = int(parts[1]), self._read_fields(timeout)
            if 100 <= status < 200 and status != 101:
                answer.informational.append((status, fields))
                continue
            answer.version, answer.status = parts[0], status
            answer.reason = parts[2] if len(parts) > 2 else ""
            answer.headers = fields
            return answer

    def read_exact(self, size, timeout=WAIT):
        channel = self.channel
        channel.until(lambda: len(channel.inbox) >= size, timeout, "%d bytes" % size)
        return channel.take(size)

    def _pieces(self, answer, timeout):
        channel = self.channel
        if (answer.get("transfer-encoding") or "").lower() == "chunked":
            while True:
                left = int(self.read_line(timeout).split(";")[0], 16)
                if left == 0:
                    answer.trailers = self._read_fields(timeout)
                    return
                while left:
                    channel.until(lambda: channel.inbox, timeout, "a chunk")
                    piece = channel.take(min(left, 1 << 18))
                    left -= len(piece)
                    yield piece
                self.read_exact(2, timeout)
        elif answer.get("content-length") is not None:
            left = int(answer.get("content-length"))
            while left:
                channel.until(lambda: channel.inbox, timeout, "the body")
                piece = channel.take(min(left, 1 << 18))
                left -= len(piece)
                yield piece
        else:
            while True:
                try:
                    channel.until(lambda: channel.inbox, timeout, "the body")
                except Closed:
                    return
                yield channel.take(1 << 18)

    def read_body(self, answer, method="GET", hash_only=False, timeout=WAIT):
        digest, parts = hashlib.sha256(), []
        if method != "HEAD" and answer.status not in (204, 304):
            try:
                for piece in self._pieces(answer, timeout):
                    digest.update(piece)
                    answer.size += len(piece)
                    if not hash_only:
                        parts.append(piece)
            except Closed as error:
                error.answer = answer
                error.partial = b"".join(parts)
                raise
        answer.body = b"".join(parts)
        answer.sha256 = digest.hexdigest()
        return answer

    def stream(self, path, method="GET", headers=()):
        """Sends a request and gives its answer piece by piece: see Flow."""
        self.send_head(method, path, headers)
        return Flow1(self)

    def read_answer(self, method="GET", hash_only=False, timeout=WAIT):
        return self.read_body(self.read_head(timeout), method, hash_only, timeout)


class Flow1:
    """An answer as it comes: wait(b"token") returns once it has come in."""

    def __init__(self, http):
        self.http = http
        self.answer = http.read_head()
        self.data = bytearray()
        self.pieces = http._pieces(self.answer, WAIT)

    def wait(self, token):
        while token not in self.data:
            try:
                self.data += next(self.pieces)
            except StopIteration:
                raise Closed("the body ended without %r" % token, bytes(self.data)) from None
        return bytes(self.data)

    def rest(self):
        for piece in self.pieces:
            self.data += piece
        return bytes(self.data)


class Stream:
    def __init__(self, number):
        self.id = number
        self.answer = Answer()
        self.data = bytearray()
        self.head_done = False
        self.ended = False
        self.hash = hashlib.sha256()
        self.hash_only = False


class _Connection(h2.connection.H2Connection):
    """python-h2 takes GOAWAY for the end of everything; RFC 9113 6.8 lets the
    streams up to the one it names go on."""

    def _receive_goaway_frame(self, frame):
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class Http2:
    """One HTTP/2 connection, any number of streams."""

    def __init__(self, port, host, ca=None, address="127.0.0.1", timeout=WAIT, window=1 << 20,
                 authority=None, context=None, **wire):
        self.channel = Channel(port, host, ca=ca, alpn=["h2"], address=address, timeout=timeout,
                               context=context, **wire)
        if self.channel.tls and self.channel.sock.selected_alpn_protocol() != "h2":
            self.channel.close()
            raise ClientError("no h2 negotiated")
        self.timeout = timeout
        self.authority = authority or "%s:%d" % (host, port)
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1",
                                           validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.conn = _Connection(config)
        self.conn.local_settings = h2.settings.Settings(client=True, initial_values={
            h2.settings.SettingCodes.ENABLE_PUSH: 0,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
            h2.settings.SettingCodes.MAX_FRAME_SIZE: 16384})
        self.conn.initiate_connection()
        self.conn.increment_flow_control_window(max(window - 65535, 1))
        self.streams = {}
        self.goaway = None
        self.got_settings = False
        self.auto_window = True
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.channel.close()

    def _flush(self):
        data = self.conn.data_to_send()
        if data:
            self.channel.send(data)
        self.channel._write()

    def pump(self, timeout=0.0):
        """One step: send, receive, digest events."""
        self._flush()
        self.channel.step(timeout)
        data = self.channel.take(len(self.channel.inbox))
        if data:
            try:
                events = self.conn.receive_data(data)
            except h2.exceptions.ProtocolError as error:
                raise ClientError("the peer broke HTTP/2: %r" % error) from error
            for event in events:
                self._on_event(event)
        self._flush()

    def _on_event(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.got_settings = True
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code
        elif stream is None:
            return
        elif isinstance(event, h2.events.InformationalResponseReceived):
            fields = [(n, v) for n, v in event.headers]
            status = int(dict(fields)[":status"])
            stream.answer.informational.append((status, [f for f in fields if f[0][0] != ":"]))
        elif isinstance(event, h2.events.ResponseReceived):
            fields = [(n, v) for n, v in event.headers]
            stream.answer.status = int(dict(fields)[":status"])
            stream.answer.version = "HTTP/2"
            stream.answer.headers = [f for f in fields if f[0][0] != ":"]
            stream.head_done = True
        elif isinstance(event, h2.events.DataReceived):
            stream.hash.update(event.data)
            stream.answer.size += len(event.data)
            if not stream.hash_only:
                stream.data += event.data
            if self.auto_window and event.flow_controlled_length:
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream.answer.trailers = [(n, v) for n, v in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.answer.reset = event.error_code
            stream.ended = True

    def until(self, ready, timeout=None, what="an answer"):
        deadline = time.monotonic() + (timeout or self.timeout)
        self._flush()
        while not ready():
            if self.channel.eof:
                raise Closed("connection ended (%s, goaway %s) waiting for %s"
                             % (self.channel.error, self.goaway, what))
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClientError("no %s within %s s" % (what, timeout or self.timeout))
            self.pump(min(left, 1.0))

    def open(self, method="GET", path="/", headers=(), end=True, extra_pseudo=(), raw=None):
        """Sends a head; the Stream. raw replaces the whole header list."""
        number = self.conn.get_next_available_stream_id()
        fields = raw or [(":method", method), (":scheme", "https"), (":authority", self.authority),
                         (":path", path), *extra_pseudo,
                         *((n.lower(), v) for n, v in headers)]
        stream = self.streams[number] = Stream(number)
        self.conn.send_headers(number, fields, end_stream=end)
        self._flush()
        return stream

    def send_data(self, stream, data, end=False, timeout=None):
        view, at = memoryview(data), 0
        while at < len(view) or (end and at == 0 and not view):
            if stream.ended and stream.answer.reset is not None:
                return
            room = min(self.conn.local_flow_control_window(stream.id),
                       self.conn.max_outbound_frame_size, len(view) - at)
            if (room <= 0 and len(view)) or len(self.channel.out) > 1 << 19:
                before = self.conn.local_flow_control_window(stream.id)
                self.until(lambda: stream.ended or (
                    len(self.channel.out) < 1 << 18
                    and (before > 0 or self.conn.local_flow_control_window(stream.id) > 0)),
                    timeout, "a window")
                continue
            last = end and at + room == len(view)
            self.conn.send_data(stream.id, bytes(view[at:at + room]), end_stream=last)
            at += room
            if not view:
                break
            if len(self.channel.out) > 1 << 17:
                self.pump(0)
        self._flush()

    def send_trailers(self, stream, trailers):
        self.conn.send_headers(stream.id, [(n.lower(), v) for n, v in trailers], end_stream=True)
        self._flush()

    def reset(self, stream, code=h2.errors.ErrorCodes.CANCEL):
        self.conn.reset_stream(stream.id, code)
        self._flush()

    def finish(self, stream, timeout=None):
        self.until(lambda: stream.ended, timeout)
        stream.answer.body = bytes(stream.data)
        stream.answer.sha256 = stream.hash.hexdigest()
        return stream.answer

    def stream(self, path, method="GET", headers=()):
        return Flow2(self, self.open(method, path, headers))

    def request(self, method="GET", path="/", headers=(), body=None, chunked=False, trailers=(),
                hash_only=False, timeout=None):
        """As Http1.request; `chunked` only leaves content-length out."""
        headers = list(headers)
        if isinstance(body, (bytes, bytearray)) and not chunked:
            headers.append(("content-length", str(len(body))))
        stream = self.open(method, path, headers, end=body is None)
        stream.hash_only = hash_only
        if body is not None:
            pieces = [body] if isinstance(body, (bytes, bytearray)) else body
            for piece in pieces:
                if piece:
                    self.send_data(stream, piece, timeout=timeout)
            if stream.answer.reset is None:
                if trailers:
                    self.send_trailers(stream, trailers)
                else:
                    self.send_data(stream, b"", end=True, timeout=timeout)
        return self.finish(stream, timeout)


class Flow2:
    """As Flow1, for a stream."""

    def __init__(self, http, stream):
        self.http = http
        self.stream = stream
        http.until(lambda: stream.head_done or stream.ended)
        self.answer = stream.answer

    def wait(self, token):
        self.http.until(lambda: token in self.stream.data or self.stream.ended)
        if token not in self.stream.data:
            raise Closed("the stream ended without %r (reset %s)" % (token, self.answer.reset),
                         bytes(self.stream.data))
        return bytes(self.stream.data)

    def rest(self):
        return self.http.finish(self.stream).body


class _WebSocket:
    """Messages; the transport is the subclass's: _send, _more, answer."""

    def __init__(self):
        self.decoder = wsframe.Decoder()
        self.answer = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, payload, opcode=None):
        if isinstance(payload, str):
            payload, opcode = payload.encode(), opcode or wsframe.TEXT
        self._send(wsframe.encode(opcode or wsframe.BINARY, payload, mask=True))

    def recv(self, timeout=WAIT):
        """(opcode, payload) of the next message."""
        deadline = time.monotonic() + timeout
        while (message := self.decoder.next()) is None:
            if time.monotonic() > deadline:
                raise ClientError("no message within %s s" % timeout)
            self._more(max(deadline - time.monotonic(), 0.01))
        return message

    def end(self, code=1000, reason=b"done"):
        """Close handshake; the peer's close payload."""
        self._send(wsframe.encode(wsframe.CLOSE, code.to_bytes(2, "big") + reason, mask=True))
        while True:
            opcode, payload = self.recv()
            if opcode == wsframe.CLOSE:
                return payload


class WebSocket1(_WebSocket):
    """RFC 6455 over HTTP/1.1. `answer` is the handshake's; 101 = open."""

    def __init__(self, port, host, path="/ws", ca=None, headers=(), protocols=None, **keys):
        super().__init__()
        self.http = Http1(port, host, ca=ca, **keys)
        self.channel = self.http.channel
        self.key = wsframe.new_key()
        fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                  ("Sec-WebSocket-Key", self.key), ("Sec-WebSocket-Version", "13"), *headers]
        if protocols:
            fields.append(("Sec-WebSocket-Protocol", protocols))
        self.http.send_head("GET", path, fields)
        self.answer = self.http.read_head()
        self.open = self.answer.status == 101
        if self.open:
            if self.answer.get("sec-websocket-accept") != wsframe.accept_key(self.key):
                raise ClientError("wrong Sec-WebSocket-Accept in %r" % self.answer)
        else:
            self.http.read_body(self.answer)

    def close(self):
        self.http.close()

    def queued(self):
        return len(self.channel.out)

    def _send(self, data):
        self.channel.send(data)
        self.channel._write()

    def step(self, timeout):
        self.channel.step(timeout)
        self.decoder.feed(self.channel.take(len(self.channel.inbox)))

    def _more(self, timeout):
        self.channel.until(lambda: self.channel.inbox, timeout, "a frame")
        self.decoder.feed(self.channel.take(len(self.channel.inbox)))


class WebSocket2(_WebSocket):
    """RFC 8441: extended CONNECT on an HTTP/2 stream. 200 = open."""

    def __init__(self, port, host, path="/ws", ca=None, headers=(), protocols=None, http=None,
                 **keys):
        super().__init__()
        self.owned = http is None
        self.http = http or Http2(port, host, ca=ca, **keys)
        self.http.until(lambda: self.http.got_settings, what="SETTINGS")
        if not self.http.conn.remote_settings.enable_connect_protocol:
            raise ClientError("the peer does not offer SETTINGS_ENABLE_CONNECT_PROTOCOL")
        fields = [("sec-websocket-version", "13"), *headers]
        if protocols:
            fields.append(("sec-websocket-protocol", protocols))
        self.stream = self.http.open("CONNECT", path, fields, end=False,
                                     extra_pseudo=[(":protocol", "websocket")])
        self.pending = bytearray()
        self.http.until(lambda: self.stream.head_done or self.stream.ended)
        self.answer = self.stream.answer
        self.open = self.answer.status == 200
        if not self.open:
            self.http.finish(self.stream)

    def close(self):
        if self.owned:
            self.http.close()

    def queued(self):
        return len(self.pending) + len(self.http.channel.out)

    def _push(self):
        """Sends of what is pending as much as the windows allow."""
        conn = self.http.conn
        while self.pending and len(self.http.channel.out) < 1 << 18:
            room = min(conn.local_flow_control_window(self.stream.id),
                       conn.max_outbound_frame_size, len(self.pending))
            if room <= 0:
                return
            conn.send_data(self.stream.id, bytes(self.pending[:room]))
            del self.pending[:room]
            if conn._data_to_send:
                self.http._flush()

    def _send(self, data):
        self.pending += data
        self._push()

    def step(self, timeout):
        self._push()
        self.http.pump(timeout)
        self._push()
        self.decoder.feed(self.stream.data)
        self.stream.data.clear()
        if self.http.channel.eof or self.stream.ended:
            if not self.decoder.buffer:
                raise Closed("the stream ended (reset %s)" % self.answer.reset)

    def _more(self, timeout):
        deadline = time.monotonic() + timeout
        while not self.stream.data:
            if self.http.channel.eof or self.stream.ended:
                raise Closed("the stream ended (reset %s)" % self.answer.reset)
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClientError("no frame within %s s" % timeout)
            self._push()
            self.http.pump(min(left, 1.0))
        self.decoder.feed(self.stream.data)
        self.stream.data.clear()


def echo_many(ws, count, size):
    """Sends count binary messages of `size` bytes and checks that each comes
    back, in order and whole, while sending goes on. Returns how many came."""
    base = bytes(range(256)) * (size // 256 + 1)
    sent = received = 0
    deadline = time.monotonic() + 200
    while received < count:
        while sent < count and ws.queued() < 4 << 20:
            ws.send(sent.to_bytes(4, "big") + base[:size - 4])
            sent += 1
        ws.step(1.0)
        while (message := ws.decoder.next()) is not None:
            number = int.from_bytes(message[1][:4], "big")
            if number != received or len(message[1]) != size or message[1][4:] != base[:size - 4]:
                raise ClientError("message %d came as %d with %d bytes"
                                  % (received, number, len(message[1])))
            received += 1
        if time.monotonic() > deadline:
            raise ClientError("%d of %d messages came back in 200 s" % (received, count))
    return received
