"""What goes out when: priorities (RFC 9218), the end of a connection that drains,
TLS records; and what HTTP/2 does not do: h2c, pushes."""
import contextlib
import os
import signal
import socket
import ssl
import struct
import threading
import time

import h2.events
import pytest

import clients
import h2wire as h
import harness
import rawservice
import service_edge

WEB = "alpha-web"
STEP = 16384


@pytest.fixture
def wire(gate):
    with h.Wire(gate.port, gate.host(WEB), ca=gate.ca) as w:
        yield w


def test_a_session_goes_on_after_a_rest(wire):
    """Its memory is packed after 0.25 s without a stream; both tables of fields go on where they were."""
    wire.start()
    for i in range(4):
        wire.headers(2 * i + 1, wire.get(path="/echo", extra=[("x-kept", "k" * 60), ("x-new", "n%d" % i)]), end=True)
        seen = dict_of(wire.answer(2 * i + 1))
        assert (seen["x-kept"], seen["x-new"]) == ("k" * 60, "n%d" % i)
        time.sleep(0.6)
        wire.alive()  # wakes it, with no stream to come
        time.sleep(0.1 * i)


# --- priorities --------------------------------------------------------------------------
def priority_seen(w, stream):
    w.headers(stream, w.get(path="/echo"), end=True)
    fields = dict_of(w.answer(stream))
    return fields.get("priority")


def dict_of(answer):
    import json
    return {n.lower(): v for n, v in json.loads(answer.body)["headers"]}


@pytest.mark.parametrize("value", ["u=1, i", "u=5", "i=?0;x, u=9, unknown=\"a,b\"",
                                   "not a dictionary ("])
def test_field_goes_to_the_service_as_it_is(wire, value):
    wire.start()
    wire.headers(1, wire.get(path="/echo", extra=[("priority", value)]), end=True)
    assert dict_of(wire.answer(1))["priority"] == value


def update(w, stream, value):
    w.frame(h.PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + value)


def test_update_before_the_request_goes_to_the_service(wire):
    wire.start([(h.NO_RFC7540_PRIORITIES, 1)])
    update(wire, 3, b"u=6")
    update(wire, 3, b"u=1, i")
    wire.headers(1, wire.get(path="/echo"), end=True)
    assert "priority" not in dict_of(wire.answer(1))
    wire.headers(3, wire.get(path="/echo", extra=[("priority", "u=4")]), end=True)
    assert dict_of(wire.answer(3))["priority"] == "u=1, i"
    wire.headers(5, wire.get(path="/echo"), end=True)
    assert "priority" not in dict_of(wire.answer(5))
    update(wire, 7, b"u=1\r\nx-injected: 1")
    wire.headers(7, wire.get(path="/echo"), end=True)
    assert "priority" not in dict_of(wire.answer(7))


def fill(w, path):
    """Stream 1 uses the whole window of the connection up."""
    w.start([(h.INITIAL_WINDOW_SIZE, 1 << 30), (h.NO_RFC7540_PRIORITIES, 1)])
    w.headers(1, w.get(path=path), end=True)
    w.until(lambda: len(w.stream(1).body) == 65535, "a full window")


def steps(w, count):
    """Opens the window bit by bit; the streams that had it."""
    seen = []
    for _ in range(count):
        before = len(w.frames)
        w.window(0, STEP)
        w.until(lambda: sum(len(f.payload) for f in w.frames[before:] if f.kind == h.DATA) == STEP,
                "DATA")
        seen += [f.stream for f in w.frames[before:] if f.kind == h.DATA]
    return seen


BIG = "/big?size=3000000"


def begin(w):
    """Until some of stream 3 comes: its body may still be on its way to the gateway."""
    for _ in range(100):
        if 3 in steps(w, 1):
            return
    raise AssertionError("stream 3 got nothing")


def second(w, path=BIG, extra=()):
    w.headers(3, w.get(path=path, extra=extra), end=True)
    w.until(lambda: w.stream(3).heads, "a head")
    begin(w)


def test_urgent_first(wire):
    fill(wire, BIG)
    second(wire, extra=[("priority", "u=0")])
    assert set(steps(wire, 20)) == {3}


def test_urgent_first_the_other_way_round(wire):
    """Nothing of u=7 as long as there is something of u=3."""
    fill(wire, BIG)
    wire.headers(3, wire.get(path=BIG, extra=[("priority", "u=7")]), end=True)
    wire.until(lambda: wire.stream(3).heads, "a head")
    assert set(steps(wire, 20)) == {1}


def test_update_reorders(wire):
    fill(wire, BIG)
    wire.headers(3, wire.get(path=BIG, extra=[("priority", "u=7")]), end=True)
    wire.until(lambda: wire.stream(3).heads, "a head")
    assert set(steps(wire, 5)) == {1}
    update(wire, 3, b"u=0")
    begin(wire)
    got = steps(wire, 10)
    assert set(got) == {3}, got
    update(wire, 3, b"")  # back to the default: u=3, after stream 1
    update(wire, 1, b"u=1")
    wire.alive()
    assert set(steps(wire, 10)) == {1}


def test_update_before_the_request_orders(wire):
    fill(wire, BIG)
    update(wire, 3, b"u=0")
    second(wire)
    assert set(steps(wire, 20)) == {3}


def test_incremental_ones_share(wire):
    wire.start([(h.INITIAL_WINDOW_SIZE, 1 << 30), (h.NO_RFC7540_PRIORITIES, 1)])
    wire.headers(1, wire.get(path=BIG, extra=[("priority", "i")]), end=True)
    wire.until(lambda: len(wire.stream(1).body) == 65535, "a full window")
    second(wire, extra=[("priority", "i")])
    seen = steps(wire, 20)
    assert min(seen.count(1), seen.count(3)) >= 5, seen


def test_the_service_overrides(wire):
    """RFC 9218 8: its field wins, and goes to the client."""
    fill(wire, BIG)
    second(wire, BIG + "&priority=u%3D0", [("priority", "u=7")])
    assert wire.stream(3).get("priority") == "u=0"
    assert set(steps(wire, 10)) == {3}
    update(wire, 3, b"u=7")
    wire.alive()
    assert set(steps(wire, 10)) == {3}


# --- many answers at once ------------------------------------------------------------------
def much(size):
    """A service whose every answer has so many bytes."""
    text = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    return rawservice.RawService(lambda peer, head: None if peer.send(text) else peer.CLOSE)


def service_of(scheme, size, directory):
    if scheme == "h2c":
        def answer(peer, event):
            is_new = isinstance(event, h2.events.RequestReceived)
            rawservice.h2_long_answer(peer, event.stream_id if is_new else None, size)
        return rawservice.H2Service(answer)
    service = much(size)
    if scheme != "http":
        service_edge.make_ca(directory)
        service_edge.make_cert(directory, "localhost", "DNS:localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "localhost.pem", directory / "localhost.key")
        service.context = context
    return service


def ask_without_window(w, streams):
    w.start([(h.INITIAL_WINDOW_SIZE, 0)])
    w.window(0, 1 << 30)
    for stream in streams:
        w.headers(stream, w.get(path="/"), end=True)
    w.until(lambda: all(w.stream(i).heads for i in streams), "every head")
    w.alive()


@pytest.mark.release
@pytest.mark.parametrize("scheme, most_mib", [("http", 18), ("h2c", 28)])
def test_answers_that_no_window_lets_go(scheme, most_mib, tmp_path):
    """All streams of a connection together hold what docs/ARCHITECTURE.md says."""
    with service_of(scheme, 2000000, tmp_path) as service, contextlib.ExitStack() as stack, \
            service_edge.ServiceEdge(["web=%s:%d" % (scheme, service.port)]) as edge:
        before = edge.rss()
        for _ in range(4):
            w = stack.enter_context(h.Wire(edge.port, edge.host("web"), ca=edge.ca))
            ask_without_window(w, range(1, 257, 2))
        edge.assert_grown_less(before, most_mib << 20)


@pytest.mark.parametrize("scheme", ["http", "https-insecure", "h2c"])
def test_answers_do_not_wait_for_those_the_client_leaves(scheme, tmp_path):
    """However much of others is held: who has a window gets all of its answer, and who gets one
    later then."""
    size, left, wanted = 200000, range(1, 161, 2), range(161, 201, 2)
    with service_of(scheme, size, tmp_path) as service, \
            service_edge.ServiceEdge(["web=%s:%d" % (scheme, service.port)]) as edge, \
            h.Wire(edge.port, edge.host("web"), ca=edge.ca) as w:
        ask_without_window(w, left)
        for stream in wanted:
            w.headers(stream, w.get(path="/"), end=True)
            w.window(stream, size)
        for stream in wanted:
            assert len(w.answer(stream).body) == size
        assert not any(w.stream(i).body for i in left)
        for stream in left:
            w.window(stream, size)
        for stream in left:
            assert len(w.answer(stream).body) == size
        w.alive()


# --- the end --------------------------------------------------------------------------------
def test_drain_finishes_what_runs_and_what_arrives(wos):
    """RFC 9113 6.8: a first GOAWAY that refuses nothing, then the real one."""
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    with h.Wire(wos.port, wos.host(WEB), ca=wos.ca) as w:
        w.start()
        w.headers(1, w.get(path="/hold/drain"), end=True)
        w.headers(3, w.post(path="/sink"))
        w.alive()
        os.kill(wos.gateway_pid(), signal.SIGTERM)
        w.until(lambda: w.goaway, "GOAWAY")
        assert w.goaway == ("NO_ERROR", 0x7fffffff)
        w.headers(5, w.get(), end=True)  # it was on its way
        assert w.answer(5).body == b"hello from web\n"
        w.data(3, b"abc", end=True)
        assert w.answer(3).status == 200
        w.until(lambda: w.goaway[1] != 0x7fffffff, "the second GOAWAY")
        assert w.goaway == ("NO_ERROR", 5)
        assert not w.stream(1).ended and not w.over
        with clients.Http1(wos.host_port("alpha"), "localhost") as direct:
            assert direct.request("POST", "/gate/drain").status == 200
        assert w.answer(1).body == b"released\n"
        w.until(lambda: w.over, "the end of the connection")
    wos.wait_route(WEB, "/hello")


def test_drain_cuts_nothing_that_moves():
    """Behind the second GOAWAY, too, only silence ends an upload, a download that the client's
    window holds up, and events."""
    limit_ms, rounds, size = 2000, 30, 60000

    def reply(peer, head):
        path = head.split()[1]
        if path == "/upload":
            while b"end\r\n0\r\n\r\n" not in peer.buffer:
                peer.buffer += peer.sock.recv(65536)
            peer.buffer = b""
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        elif path == "/download":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
        else:
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while released.wait(0.1) is False:
                peer.send(b"5\r\nevent\r\n")
            peer.send(b"0\r\n\r\n")

    released = threading.Event()
    limits = {name + "_timeout_ms": limit_ms for name in ("body", "write", "tunnel_idle")}
    with rawservice.RawService(reply) as service, contextlib.ExitStack() as stack, \
            service_edge.ServiceEdge(["web=%d" % service.port], limits=limits) as edge:
        up, down, events = wires = [stack.enter_context(
            h.Wire(edge.port, edge.host("web"), ca=edge.ca)) for _ in range(3)]
        for w in wires:
            w.start([(h.INITIAL_WINDOW_SIZE, 1000)])
        up.headers(1, up.post(path="/upload"))
        down.headers(1, down.get(path="/download"), end=True)
        events.headers(1, events.get(path="/events"), end=True)
        for w in wires:
            w.alive()
        os.kill(edge.gateway, signal.SIGTERM)
        left = rounds  # behind the second GOAWAY
        while left > 0:
            time.sleep(0.1)
            up.data(1, b"x")
            for w in wires:
                w.window(1, 100)
                w.channel.step(0)
                w.until(lambda: True)
            left -= all(w.goaway and w.goaway[1] == 1 for w in wires)
        up.data(1, b"end", end=True)
        assert up.answer(1).status == 200
        down.window(1, size)
        assert len(down.answer(1).body) == size
        released.set()
        assert events.answer(1).body.startswith(b"event" * rounds)
        for w in wires:
            w.until(lambda: w.over, "the end of the connection")


def test_a_client_may_leave_gracefully(wire):
    """Its GOAWAY lets its own streams finish, then we close."""
    wire.start()
    wire.headers(1, wire.post(path="/sink"))
    wire.frame(h.GOAWAY, 0, 0, b"\0" * 8)
    wire.data(1, b"x", end=True)
    assert wire.answer(1).status == 200


# --- no h2c -----------------------------------------------------------------------------------
def test_upgrade_to_h2c_is_ignored(gate):
    with gate.h1(WEB) as client:
        for headers in ([("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                         ("HTTP2-Settings", "AAMAAABkAAQAAP__")],):
            answer = client.request(path="/echo", headers=headers)
            assert (answer.status, answer.version) == (200, "HTTP/1.1")
            names = {n.lower() for n, _ in answer.json["headers"]}
            assert not names & {"upgrade", "http2-settings"}
        assert client.request(path="/hello").status == 200


# --- TLS records --------------------------------------------------------------------------------
class Records:
    """A TLS client that sees the records."""

    def __init__(self, port, host, ca, alpn):
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        self.sock.settimeout(20)
        self.inbound, self.outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols([alpn])
        self.tls = context.wrap_bio(self.inbound, self.outbound, server_hostname=host)
        self.buffer = b""
        self.records = []  # (type, length, plain text)
        self.pump(self.tls.do_handshake)

    def record(self):
        while True:
            if len(self.buffer) >= 5:
                size = 5 + struct.unpack_from(">H", self.buffer, 3)[0]
                if len(self.buffer) >= size:
                    one, self.buffer = self.buffer[:size], self.buffer[size:]
                    return one
            data = self.sock.recv(65536)
            if not data:
                raise AssertionError("closed")
            self.buffer += data

    def pump(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outbound.read())
                self.inbound.write(self.record())
            finally:
                self.sock.sendall(self.outbound.read())

    def send(self, data):
        self.tls.write(data)
        self.sock.sendall(self.outbound.read())

    def texts(self, done):
        """Plain text of each record until done(all of it); tickets have none."""
        got = []
        while not done(b"".join(got)):
            self.inbound.write(self.record())
            try:
                got.append(self.tls.read(1 << 16))
            except ssl.SSLWantReadError:
                pass
        return got


@pytest.fixture(scope="module")
def prompt(gate):
    """A service whose answers leave in one piece."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve(sock):
        with sock:
            data = b""
            while not stop.is_set():
                piece = sock.recv(65536)
                if not piece:
                    return
                data += piece
                while b"\r\n\r\n" in data:
                    _, data = data.split(b"\r\n\r\n", 1)
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nhead and body")

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    gate.ok("publish", "prompt", listener.getsockname()[1])
    yield gate.host("prompt")
    stop.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_short_answer_is_one_record_h1(gate, prompt):
    client = Records(gate.port, prompt, gate.ca, "http/1.1")
    for body, host in ((b"head and body", prompt), (b"no route for host\n", "no.wos.localhost")) * 3:
        client.send(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
        texts = client.texts(lambda all, body=body: all.endswith(body))
        assert len(texts) == 1 and texts[0].startswith(b"HTTP/1.1 "), texts
    client.sock.close()


def test_short_answer_is_one_record_h2(gate, prompt):
    client = Records(gate.port, prompt, gate.ca, "h2")
    client.send(h.PREFACE + h.pack(h.SETTINGS, 0, 0) + h.pack(h.SETTINGS, h.ACK, 0)
                + h.pack(h.PING, 0, 0, b"ready???"))
    client.texts(lambda all: b"ready???" in all)
    for i, (body, host) in enumerate(((b"head and body", prompt),
                                      (b"no route for host\n", "no.wos.localhost")) * 3):
        stream = 2 * i + 1
        client.send(h.pack(h.HEADERS, h.END_HEADERS | h.END_STREAM, stream, h.block(
            [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", "/")])))
        texts = client.texts(lambda all, body=body: all.endswith(body))
        assert len(texts) == 1 and texts[0][3] == h.HEADERS, texts
    client.sock.close()
