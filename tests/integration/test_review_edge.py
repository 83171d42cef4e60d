"""Faults found by reading the gateway as an attacker: each test is named after one of them."""
import socket
import threading
import time

import h2.events
import pytest

import h2wire
from clients import Http1, Http2
from rawservice import H2Service, Peer, RawService, h2_answer
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
        if isinstance(event, h2.events.StreamEnded):
            self.count += 1
            peer.conn.send_headers(event.stream_id, [(":status", "200")])
            for at in range(0, self.size, 16384):
                end = at + 16384 >= self.size
                peer.conn.send_data(event.stream_id, b"x" * min(16384, self.size - at),
                                    end_stream=end)


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
                with edge.h1("raw") as first, edge.h1("raw") as second:
                    upload(first, low - tries * 20000)
                    sent.clear()
                    second.send_head("POST", "/up", [("Content-Length", str(64 << 20))])
                    second.send(bytes(64 << 20))
                    assert left_to_send(second) > 32 << 20
                sent.set()
            go_on.set()
