"""Faults found by reading the gateway as an attacker: each test is named after one of them."""
import contextlib
import functools
import os
import signal
import socket
import struct
import threading
import time

import h2.events
import pytest

import edge as plain_edge
import h2wire
from clients import ClientError, tls_context
from rawservice import H2Service, Peer, RawService, h2_answer, h2_long_answer
from service_edge import ServiceEdge as Edge

HTTP = ("h1", "h2")


def steady(read, still=1.0, timeout=60):
    """The value of read() once it has not changed for a while."""
    end = time.monotonic() + timeout
    value, since = read(), time.monotonic()
    while time.monotonic() < end and time.monotonic() - since < still:
        time.sleep(0.05)
        now = read()
        if now != value:
            value, since = now, time.monotonic()
    return value


class Counted:
    """An h2c service that answers each request at once with as much as fits the window."""

    def __init__(self, size):
        self.size, self.count = size, 0
        self.service = H2Service(self.handle)

    def handle(self, peer, event):
        is_whole = isinstance(event, h2.events.StreamEnded)
        self.count += is_whole
        h2_long_answer(peer, event.stream_id if is_whole else None, self.size)


@pytest.mark.parametrize("kib", (180, 220, 250))
def test_pipelining_without_reading_answers_of_h2c_is_bounded(kib):
    """An answer may end while the client takes nothing; the next request then has to wait."""
    size, total = kib << 10, 300
    counted = Counted(size)
    with counted.service, Edge(["api=h2c:%d" % counted.service.port]) as edge, \
            edge.h1("api") as client:
        client.send(("GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % client.authority) * total)
        assert steady(lambda: counted.count) < total / 3
        for _ in range(total):
            answer = client.read_body(client.read_head(), hash_only=True)
            assert answer.status == 200 and answer.size == size
    assert counted.count == total


def left_to_send(client):
    """Bytes that the gateway does not take."""
    def left():
        client.channel._write()
        return len(client.channel.out)
    return steady(left, still=0.15)


def test_a_connection_that_is_still_to_take_a_request_is_not_used_again():
    """Its service answered before it read; the next upload would pile up behind the rest."""
    sent, go_on, hold = threading.Event(), threading.Event(), False

    def reply(peer, head):
        sent.wait(30)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if hold:
            go_on.wait(60)
            return Peer.CLOSE
        peer.read_exact(int(head.lower().partition("content-length: ")[2].split("\r\n")[0]))
        return None

    def upload(client, size):
        """True if the gateway took all of it before the answer."""
        sent.clear()
        client.send_head("POST", "/up", [("Content-Length", str(size))])
        client.send(b"x" * size)
        left_to_send(client)
        sent.set()
        answer = client.read_body(client.read_head())
        assert answer.body == b"ok"
        return answer.get("connection") is None

    with RawService(reply) as service:
        service.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with Edge(["raw=%d" % service.port]) as edge:
            low, high = 64 << 10, 8 << 20  # what it takes, what it does not
            while high - low > 32 << 10:
                middle = (low + high) // 2
                with edge.h1("raw") as client:
                    low, high = (middle, high) if upload(client, middle) else (low, middle)
        hold = True
        for tries in range(8):  # the last bytes of some are in the gateway
            # A gateway of its own: `first` must not meet a connection that is held already.
            with Edge(["raw=%d" % service.port]) as edge, \
                    edge.h1("raw") as first, edge.h1("raw") as second:
                upload(first, low - tries * 20000)
                sent.clear()
                second.send_head("POST", "/up", [("Content-Length", str(64 << 20))])
                second.send(bytes(64 << 20))
                assert left_to_send(second) > 32 << 20
            sent.set()
        go_on.set()


def ok_service():
    def reply(peer, head):
        length = head.lower().partition("content-length: ")[2].split("\r\n")[0]
        if length:
            peer.read_exact(int(length))
        if "transfer-encoding: chunked" in head.lower():
            while b"0\r\n" not in peer.buffer:
                peer.buffer += peer.sock.recv(65536)
            peer.buffer = b""
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return RawService(reply)


def wire(edge, label="raw"):
    return h2wire.Wire(edge.port, edge.host(label), ca=edge.ca, path="/", post="/").start()


@pytest.mark.parametrize("trailers", ([("x-%d" % i, "v" * 20000) for i in range(5)], [("x-%d" % i, "v") for i in range(300)]),
                         ids=("bytes", "fields"))
def test_h2_trailers_over_the_limit_count_as_resets_of_the_client(trailers, tmp_path):
    log = tmp_path / "access.log"
    with ok_service() as service, \
            Edge(["raw=%d" % service.port], limits={"resets_max": 3, "access_log": log}) as edge, \
            wire(edge) as w:
        for stream in (1, 3, 5):
            w.headers(stream, w.post())
            w.data(stream, b"body")
            w.headers(stream, trailers, end=True)
            w.stream_error(stream, "ENHANCE_YOUR_CALM")
        w.headers(7, w.post())
        w.headers(7, trailers, end=True)
        w.connection_error("ENHANCE_YOUR_CALM")
        line = steady(lambda: [s for s in log.read_text().splitlines() if '"refused"' in s])
    assert len(line) == 1 and '"reason":"http2"' in line[0] and "ENHANCE_YOUR_CALM" in line[0]


def test_an_evicted_h2_connection_is_told_by_goaway():
    with ok_service() as service, \
            Edge(["raw=%d" % service.port], limits={"connections_max": 2}) as edge, \
            wire(edge) as w, wire(edge) as other:
        w.headers(1, w.get(), end=True)
        assert w.answer(1).status == 200
        other.headers(1, other.post())  # it has a request, and stays
        time.sleep(1.2)  # younger ones may be about to send a request
        assert edge.get("raw").status == 200
        w.connection_error("NO_ERROR")
        assert w.goaway == ("NO_ERROR", 1)
        other.alive()


def test_user_information_of_a_host_is_not_logged(tmp_path):
    log = tmp_path / "access.log"
    with ok_service() as service, Edge(["raw=%d" % service.port],
                                       limits={"access_log": log}) as edge, wire(edge) as w:
        w.authority = "user:hunter2@" + w.authority
        w.headers(1, w.get(), end=True)
        w.until(lambda: w.stream(1).ended or w.stream(1).reset)
        with edge.h1("raw") as client:
            client.send("GET / HTTP/1.1\r\nHost: user:hunter2@x\r\n\r\n")
            assert client.read_head().status == 400
        lines = steady(log.read_text)
    assert lines.count("\n") == 2 and "hunter2" not in lines


@pytest.mark.parametrize("http", HTTP)
def test_a_head_of_the_largest_limit_passes(http):
    """headerBytesMax 1048576 is allowed; no field is longer than nghttp2 takes, 64 KiB."""
    def fill(size, overhead):
        fields = []
        while size > 100:
            value = "v" * min(60000, size - len("x-big-00") - overhead)
            fields.append(("x-big-%02d" % len(fields), value))
            size -= len("x-big-00") + len(value) + overhead
        return fields

    limit = 1 << 20
    text = "".join("%s: %s\r\n" % f for f in fill(limit - 50, 4))

    def reply(peer, head):
        peer.send(("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\nok" % text).encode())

    def read_h2c(peer):
        """Enough of HTTP/2 to count a header block: python-h2 takes no more than 64 KiB."""
        size = 0
        peer.send(h2wire.pack(h2wire.SETTINGS, 0, 0))
        peer.read_exact(24)
        while True:
            high, low, kind, flags, stream = struct.unpack(">BHBBI", peer.read_exact(9))
            peer.read_exact(high << 16 | low)
            size += (high << 16 | low) if kind in (h2wire.HEADERS, h2wire.CONTINUATION) else 0
            if size and flags & h2wire.END_HEADERS:
                blocks.append(size)
                peer.send(h2wire.pack(h2wire.HEADERS, 5, stream, b"\x88"))
                size = 0

    blocks = []
    with RawService(reply) as service, RawService(talk=read_h2c) as h2c, \
            Edge(["raw=%d" % service.port, "api=h2c:%d" % h2c.port],
                 limits={"header_bytes_max": limit}) as edge:
        for label in ("raw", "api"):
            if http == "h1":
                with edge.h1(label) as client:
                    answer = client.request("GET", "/", headers=fill(limit - 80, 4))
                    assert answer.status == 200
            else:
                with wire(edge, label) as w:
                    w.headers(1, w.get(extra=fill(limit - 300, 32)), end=True)
                    answer = w.answer(1, 200)
            assert label == "api" or answer.get("x-big-16") == "v" * 60000
    assert blocks and blocks[0] > limit // 2


def test_streams_on_one_connection_to_a_service_have_a_limit():
    both = threading.Barrier(2, timeout=20)

    def handle(peer, event):
        if isinstance(event, h2.events.StreamEnded) and len(peer.requests) == 2:
            both.wait()
            for stream in peer.requests:
                h2_answer(peer, stream)

    with H2Service(handle) as service, \
            Edge(["api=h2c:%d" % service.port], limits={"upstream_streams_max": 2}) as edge, \
            wire(edge, "api") as w:
        for stream in (1, 3, 5, 7):
            w.headers(stream, w.get(), end=True)
        for stream in (1, 3, 5, 7):
            assert w.answer(stream).status == 200
        assert service.connections == 2


@pytest.mark.parametrize("http", HTTP)
def test_interim_answers_have_a_limit(http):
    def reply(peer, head):
        count = 3 if "GET /three" in head else 2
        peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * count +
                  b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def handle(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            for _ in range(3 if peer.requests[event.stream_id][":path"] == "/three" else 2):
                peer.conn.send_headers(event.stream_id, [(":status", "103")])
            h2_answer(peer, event.stream_id)

    with RawService(reply) as raw, H2Service(handle) as h2c, \
            Edge(["raw=%d" % raw.port, "api=h2c:%d" % h2c.port],
                 limits={"interims_max": 2}) as edge:
        for label in ("raw", "api"):
            assert edge.get(label, "/two", http=http).status == 200
            answer = edge.get(label, "/three", http=http)
            assert answer.status == 502 and "too many 1xx answers" in answer.text


@pytest.mark.parametrize("tls", (False, True))
def test_an_answer_is_read_by_a_client_that_first_sends_all_of_a_large_body(tls):
    """A reset because of bytes nobody reads would take the answer from it."""
    with Edge(["raw=1,stopped"], tls=tls) as edge, socket.create_connection(
            ("127.0.0.1", edge.port)) as raw:
        raw.settimeout(30)
        sock = tls_context(edge.ca).wrap_socket(raw, server_hostname=edge.host("raw")) \
            if tls else raw
        size = 24 << 20
        sock.sendall(("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n"
                      % (edge.host("raw"), size)).encode())
        for _ in range(size >> 16):
            sock.sendall(bytes(1 << 16))
        assert sock.recv(12) == b"HTTP/1.1 503"


def test_pings_and_other_requests_do_not_keep_a_stalled_h2_upload_alive():
    with ok_service() as service, Edge(["raw=%d" % service.port],
                                       limits={"body_timeout_ms": 1000}) as edge, wire(edge) as w:
        w.headers(1, w.post())
        w.data(1, b"some")
        upload, other = w.stream(1), 3
        end = time.monotonic() + 30
        while not upload.ended and time.monotonic() < end:
            w.alive()
            w.headers(other, w.get(), end=True)
            assert w.answer(other).status == 200
            other += 2
            time.sleep(0.2)
        assert upload.status == 408
        w.headers(other, w.post())  # one that goes on is not refused
        for _ in range(8):
            w.data(other, b"x")
            time.sleep(0.2)
        w.data(other, b"", end=True)
        assert w.answer(other).status == 200


@contextlib.contextmanager
def stopped(edge):
    """What is sent meanwhile meets the gateway in one edge of epoll."""
    os.kill(edge.gateway, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(edge.gateway, signal.SIGCONT)


LONG = {"body_timeout_ms": 600000, "tunnel_idle_timeout_ms": 600000, "response_timeout_ms": 600000}


@pytest.mark.parametrize("http", HTTP)
def test_a_reset_of_the_client_behind_its_data_is_seen(http):
    """Of an upload: nothing is written to the client that would fail."""
    begun, ended = threading.Event(), threading.Event()

    def talk(peer):
        peer.read_head()
        begun.set()
        peer.wait_gone()
        ended.set()

    with RawService(talk=talk) as service, Edge(["raw=%d" % service.port], limits=LONG) as edge:
        client = edge.open("raw", http)
        if http == "h1":
            client.send_head("POST", "/up", [("Content-Length", "100")])
            more = client.send
        else:
            stream = client.open("POST", "/up", end=False)
            more = functools.partial(client.send_data, stream)
        client.channel.flush()
        assert begun.wait(30)
        with stopped(edge):
            more(b"x" * 10)
            client.channel.flush()
            client.channel.abort()
        assert ended.wait(30)


@pytest.mark.parametrize("http", HTTP)
def test_a_reset_of_the_service_behind_its_data_is_seen(http):
    """In the middle of an answer: nothing is written to the service that would fail."""
    head_sent, go_on, sent = threading.Event(), threading.Event(), threading.Event()

    def talk(peer):
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 10)
        head_sent.set()
        go_on.wait(30)
        peer.send(b"x" * 10)
        peer.reset()
        sent.set()

    with RawService(talk=talk) as service, Edge(["raw=%d" % service.port], limits=LONG) as edge, \
            edge.open("raw", http) as client:
        flow = client.stream("/")
        flow.wait(b"x" * 10)
        with stopped(edge):
            go_on.set()
            assert sent.wait(30)
        if http == "h1":
            with pytest.raises(ClientError):
                flow.rest()
        else:
            flow.rest()
            assert flow.answer.reset is not None


def test_a_head_begun_before_the_secret_changed_is_judged_by_the_new_one():
    """Streams whose head, or whose body of nothing, was not complete kept the snapshot they began
    with, and a review passes over what is not started."""
    host, old, new = "app.wos.localhost", "an old secret 123", "another secret 456"
    with plain_edge.Edge([host + "=9,secret"], secret=old) as edge, \
            h2wire.Wire(edge.port, host, ca=edge.ca) as wire:
        wire.start()
        fields = wire.get(extra=[("x-wos-secret", old)])
        wire.headers(1, fields, end=True)
        wire.answer(1, 502)  # let in: nothing listens there
        wire.headers(3, wire.post(extra=[("x-wos-secret", old), ("content-length", "0")]))
        wire.alive()
        head = h2wire.block(fields)
        wire.headers(5, head[:-4], flags=0, raw=True, end=True)
        edge.command("secret " + new)
        wire.frame(h2wire.CONTINUATION, h2wire.END_HEADERS, 5, head[-4:])
        wire.answer(5, 401)
        wire.data(3, end=True)
        wire.answer(3, 401)
        wire.headers(7, wire.get(extra=[("x-wos-secret", new)]), end=True)
        wire.answer(7, 502)
