"""Every wait of the gateway ends, by its own limit, and by no other.

Small timeouts on one gateway. What is asserted is what ends and how, and that
what may go on does; the limits are only small so that the tests are quick."""
import contextlib
import socket
import ssl
import time

import pytest

import clients
import harness
import rawservice
import service_edge
import wsframe

WEB = "alpha-web"
SHORT_MS = 600  # the limit under test …
SHORT = SHORT_MS / 1000
LONG = 2.5 * SHORT  # … and what is longer than it


@pytest.fixture(scope="module")
def gate():
    instance = harness.Wos(tunnel={"limits": {
        name: SHORT_MS for name in (
            "handshakeTimeout", "headerTimeout", "idleTimeout", "bodyTimeout", "writeTimeout",
            "connectTimeout", "upstreamIdleTimeout")} | {
                "responseTimeout": 2 * SHORT_MS, "tunnelIdleTimeout": 3 * SHORT_MS}})
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web-of-$(basename $PWD)")))
        instance.up("alpha")
        yield instance
    finally:
        problems = instance.close()
        if problems:
            pytest.fail("\n".join(problems) + "\n" + instance.logs(), pytrace=False)


def connect(gate, http):
    return gate.h1(WEB) if http == "h1" else gate.h2(WEB)


def trickle(channel, data, pause=SHORT / 4):
    """Sends a byte now and then until the peer closes. False if it never did."""
    deadline = time.monotonic() + harness.PATIENCE
    for byte in data:
        channel.send(bytes([byte]))
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0 and not channel.eof:
            channel.step(left)
        if channel.eof or channel.error:
            return True
        if time.monotonic() > deadline:
            return False
    return False


def ping_for_ever(client):
    deadline = time.monotonic() + harness.PATIENCE
    while time.monotonic() < deadline:
        client.conn.ping(b"12345678")
        with contextlib.suppress(clients.ClientError):
            client.until(lambda: False, timeout=SHORT / 4)
        if client.channel.eof:
            raise clients.Closed("closed")


def active(gate):
    """Request paths that the service is answering."""
    return gate.get(WEB, "/stats").json["active"]


# --- before a request -------------------------------------------------------------

def client_hello(gate):
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = clients.tls_context(gate.ca).wrap_bio(into, out, server_hostname=gate.host(WEB))
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def test_tls_that_never_begins(gate):
    channel = clients.Channel(gate.port, gate.host(WEB))
    assert channel.wait_closed() == b""
    channel.close()


def test_tls_that_trickles(gate):
    channel = clients.Channel(gate.port, gate.host(WEB))
    assert trickle(channel, client_hello(gate))
    channel.close()


def test_tls_that_stops_halfway(gate):
    """The server's flight is out, the client's Finished never comes."""
    channel = clients.Channel(gate.port, gate.host(WEB))
    channel.send(client_hello(gate))
    assert channel.wait_closed()[:1] == b"\x16"
    channel.close()


def test_idle_before_the_first_request(gate, http):
    with connect(gate, http) as client:
        client.channel.wait_closed()


def test_idle_after_a_request(gate, http):
    with connect(gate, http) as client:
        assert client.request(path="/hello").status == 200
        if http == "h2":
            with pytest.raises(clients.Closed):
                client.until(lambda: False)
            assert client.goaway == 0  # said, not just done
        else:
            assert client.channel.wait_closed() == b""


def test_requests_put_off_being_idle(gate, http):
    with connect(gate, http) as client:
        for _ in range(5):
            assert client.request(path="/hello").status == 200
            time.sleep(SHORT / 2)


def test_frames_are_no_requests(gate):
    """PING does not keep a connection without requests for ever."""
    with gate.h2(WEB) as client:
        with pytest.raises(clients.Closed):
            ping_for_ever(client)


def test_head_that_trickles_in_http1(gate):
    with gate.h1(WEB) as client:
        client.send("GET /hello HTTP/1.1\r\nHost: %s\r\nX-Slow: " % client.authority)
        assert trickle(client.channel, b"a" * 200)
        assert bytes(client.channel.inbox).startswith(b"HTTP/1.1 408 ")


def test_head_that_trickles_line_by_line(gate):
    """Slow headers as slowhttptest sends them, behind a request that was served."""
    with gate.h1(WEB) as client:
        assert client.request(path="/hello").status == 200
        client.send("GET /hello HTTP/1.1\r\nHost: %s\r\n" % client.authority)
        assert trickle(client.channel, b"X-a: b\r\n" * 50)
        assert bytes(client.channel.inbox).startswith(b"HTTP/1.1 408 ")


def test_head_that_trickles_in_http2(gate):
    """CONTINUATION frames, each with a byte of the block."""
    with gate.h2(WEB) as client:
        client.until(lambda: client.got_settings)
        block = client.conn.encoder.encode(
            [(":method", "GET"), (":scheme", "https"), (":authority", client.authority),
             (":path", "/hello"), ("x-slow", "a" * 300)])
        client.channel.send(b"\0\0\1\x01\x01\0\0\0\1" + block[:1])
        frames = b"".join(b"\0\0\1\x09\0\0\0\0\1" + bytes([b]) for b in block[1:])
        assert trickle(client.channel, frames)


# --- during a request ---------------------------------------------------------------

def test_body_that_stops(gate, http):
    with connect(gate, http) as client:
        if http == "h1":
            client.send_head("POST", "/sink", [("Content-Length", "10")])
            client.send(b"abc")
            answer = client.read_answer()
            client.channel.wait_closed()
        else:
            stream = client.open("POST", "/sink", end=False)
            client.send_data(stream, b"abc")
            answer = client.finish(stream)
            assert client.request(path="/hello").status == 200  # others are not concerned
        assert answer.status == 408


def test_body_that_goes_on(gate, http):
    """Each byte puts the limit off: slow is allowed, silent is not."""
    with connect(gate, http) as client:
        if http == "h1":
            client.send_head("POST", "/sink", [("Content-Length", "8")])
            assert not trickle(client.channel, b"abcdefgh", SHORT / 3)
            answer = client.read_answer()
        else:
            stream = client.open("POST", "/sink", end=False)
            for i in range(8):
                client.send_data(stream, b"x", end=i == 7)
                client.pump(0)
                time.sleep(SHORT / 3)
            answer = client.finish(stream)
        assert answer.json["size"] == 8


@contextlib.contextmanager
def published(gate, name, reply):
    with rawservice.RawService(reply) as service:
        gate.ok("publish", name, str(service.port))
        try:
            yield
        finally:
            gate.ok("unpublish", name)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_answer_that_flows_while_the_body_stops(gate, http):
    """bodyTimeout is for before the answer: what a service says meanwhile comes to its end."""
    def reply(peer, head):
        peer.send(CHUNKED)
        for _ in range(6):
            peer.send(b"5\r\nhello\r\n")
            time.sleep(SHORT / 2)
        peer.send(b"0\r\n\r\n")

    with published(gate, "flows-" + http, reply), \
            (gate.h1 if http == "h1" else gate.h2)("flows-" + http) as client:
        if http == "h1":
            client.send_head("POST", "/", [("Content-Length", "10")])
            client.send(b"abc")
            answer = client.read_answer()
        else:
            stream = client.open("POST", "/", end=False)
            client.send_data(stream, b"abc")
            answer = client.finish(stream)
    assert (answer.status, answer.text) == (200, "hello" * 6)


def test_client_that_sends_and_takes_nothing():
    """Bytes of a request's body are no sign that its answer is being taken."""
    def reply(peer, head):
        with contextlib.suppress(OSError):
            peer.sock.sendall(CHUNKED)
            while True:
                peer.sock.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        return peer.CLOSE

    with rawservice.RawService(reply) as service, service_edge.ServiceEdge(
            ["web=%d" % service.port],
            limits={"write_timeout_ms": SHORT_MS}) as edge, edge.h1("web") as client:
        client.channel.paused = True
        client.send_head("POST", "/", [("Content-Length", "1000000")])

        def gave_up():
            client.send(b"x")
            client.channel.step(0)
            return client.channel.error
        harness.until("the gateway gave up", gave_up, pause=SHORT / 4)


def ask_for_much(gate, client, http, path):
    """Starts a download larger than every buffer on the way and reads none of it."""
    if http == "h1":
        client.send_head("GET", path)
        client.channel.flush()
    else:
        stream = client.open(path=path)
        stream.hash_only = True
        client.channel.flush()
    client.channel.paused = True
    harness.until("the service is at it", lambda: path in active(gate))


def test_client_that_takes_nothing(gate, http):
    path = "/big?size=300000000&nothing-" + http
    with (gate.h1(WEB) if http == "h1" else gate.h2(WEB, window=(1 << 31) - 1)) as client:
        ask_for_much(gate, client, http, path)
        harness.until("the gateway gave up", lambda: path not in active(gate))


def test_client_that_opens_no_window(gate):
    """HTTP/2: the socket has room, the stream has not; PINGs are no progress."""
    path = "/big?size=300000000&window"
    with gate.h2(WEB, window=1 << 16) as client:
        client.auto_window = False
        client.open(path=path)
        with pytest.raises(clients.Closed):
            ping_for_ever(client)
    harness.until("the gateway gave up", lambda: path not in active(gate))


def test_client_that_takes_next_to_nothing(gate):
    """A byte now and then does not hold what a download holds."""
    path = "/big?size=300000000&bytes"
    with gate.h1(WEB) as client:
        ask_for_much(gate, client, "h1", path)

        def gave_up():
            with contextlib.suppress(OSError):
                socket.socket.recv(client.channel.sock, 1)  # beneath TLS
            return path not in active(gate)
        harness.until("the gateway gave up", gave_up, pause=SHORT / 5)


def test_client_that_is_slow(gate, http):
    """Much slower than the buffers on the way are large, and yet not cut."""
    size = 40000000
    with (gate.h1(WEB) if http == "h1" else gate.h2(WEB, window=(1 << 31) - 1)) as client:
        client.channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        path = "/big?size=%d&slow-%s" % (size, http)
        ask_for_much(gate, client, http, path)
        deadline, taken = time.monotonic() + LONG, bytearray()
        while time.monotonic() < deadline:
            with contextlib.suppress(ssl.SSLWantReadError):
                taken += client.channel.sock.recv(32768)
            time.sleep(0.05)
        client.channel.inbox += taken
        client.channel.paused = False
        if http == "h1":
            answer = client.read_answer(hash_only=True)
        else:
            answer = client.finish(next(iter(client.streams.values())))
    assert answer.size == size


# --- the service --------------------------------------------------------------------

def test_service_that_does_not_answer(gate, http):
    with connect(gate, http) as client:
        answer = client.request(path="/hold/never-%s" % http)
    assert answer.status == 504
    harness.until("the service was told",
                  lambda: not [p for p in active(gate) if "/hold/never-" in p])


def test_service_that_does_not_accept(gate, http):
    """A listening socket whose queue is full: connecting hangs."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        for _ in range(4):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        gate.ok("publish", "full-" + http, str(port))
        answer = gate.get("full-" + http, "/hello", http=http)
        gate.ok("unpublish", "full-" + http)
    assert answer.status == 504
    assert "connecting timed out" in answer.text


def test_pooled_connection_is_closed(gate):
    def connection():
        return gate.get(WEB, "/echo", method="POST", body=b"1").json["connection"]
    before = [connection() for _ in range(10)]
    assert len(set(before)) < len(before)  # a pool each for the workers
    time.sleep(LONG)
    assert connection() not in before


def test_streams_have_no_limit_but_silence(gate):
    """Events longer apart than any limit but tunnelIdleTimeout come; then silence ends it."""
    with gate.h1(WEB) as first, gate.h2(WEB) as second:
        flows = [(first.stream("/sse/apart-h1?count=6"), "apart-h1"),
                 (second.stream("/sse/apart-h2?count=6"), "apart-h2")]
        for i in range(4):
            for flow, _ in flows:
                flow.wait(b"data: event %d\n\n" % i)
            time.sleep(SHORT * 1.3)
            for _, name in flows:
                assert gate.get(WEB, "/gate/%s-%d" % (name, i + 1), method="POST").status == 200
        for flow, _ in flows:
            flow.wait(b"data: event 4\n\n")
        for flow, _ in flows:
            with pytest.raises(clients.ClientError):
                flow.wait(b"data: event 5\n\n")


def test_pings_keep_websockets(gate):
    with contextlib.closing(gate.ws(WEB)) as first, \
            contextlib.closing(gate.ws(WEB, http="h2")) as second:
        for i in range(5):
            time.sleep(SHORT * 1.3)
            for ws in (first, second):
                ws.send(b"%d" % i, wsframe.PING)
                assert ws.recv() == (wsframe.PONG, b"%d" % i)
        for ws in (first, second):
            with pytest.raises(clients.Closed):
                ws.recv()  # silence ends it
