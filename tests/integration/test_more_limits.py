"""Limits of tunnel.limits that have no other place: how long a connection may take to end, how much
of an HTTP/2 request may be under way, how long the form with a secret may be, how many connections
to a service are kept."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import h2wire as h
import harness
from edge import Edge
from rawservice import RawService
from service_edge import ServiceEdge

HOST = "app.wos.localhost"
SECRET = "a secret of enough length"


@pytest.fixture(scope="module")
def edge():
    with Edge([HOST + "=9,secret"], secret=SECRET, close_timeout_ms=300, stream_window=20000,
              connection_window=70000, login_bytes_max=300) as running:
        yield running


def test_client_that_sends_on_behind_its_answer_is_cut(edge):
    """closeTimeout: its 30 s by default would not be over."""
    with edge.open(HOST, "h1") as client:
        client.send_head("POST", "/", [("Content-Length", str(1 << 40))])
        assert client.read_answer().status == 401
        end = time.monotonic() + 20
        with pytest.raises(OSError):
            while time.monotonic() < end:
                client.channel.sock.sendall(b"x" * 1000)
                time.sleep(0.01)


def test_http2_windows_are_announced(edge):
    with h.Wire(edge.port, HOST, ca=edge.ca) as wire:
        wire.start()
        assert dict(wire.settings)[h.INITIAL_WINDOW_SIZE] == 20000
        grown = [f for f in wire.frames if f.kind == h.WINDOW_UPDATE and f.stream == 0]
        assert 65535 + sum(f.u32() for f in grown) == 70000


@pytest.mark.parametrize("http", ("h1", "h2"))
@pytest.mark.parametrize("length,status", ((300, 401), (301, 413)))
def test_login_form(edge, http, length, status):
    fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", edge.origin(HOST))]
    body = b"secret=".ljust(length, b"a")
    assert edge.request(HOST, "/.wos/login", "POST", fields, body, http).status == status


def test_connections_to_a_service_that_are_kept():
    """upstreamIdleMax: of four that come free two stay, and serve again."""
    together = threading.Barrier(4, timeout=harness.PATIENCE)

    def reply(peer, head):
        together.wait()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with RawService(reply) as service, ThreadPoolExecutor(4) as pool, \
            ServiceEdge(["raw=%d" % service.port], {"upstream_idle_max": 2}) as own:
        for connections in (4, 6):
            answers = list(pool.map(lambda _: own.get("raw", "/").status, range(4)))
            assert answers == [200] * 4
            assert service.connections == connections
