"""Which requests the gateway sends a second time (RFC 9110 9.2.2): an idempotent one whose
reused connection died before any byte of an answer, once, and no other."""
import re
import select
import shutil
import subprocess
import threading

import pytest

from service_edge import ServiceEdge as Edge
from harness import until
from rawservice import Peer, RawService

HEAD = b"HTTP/1.1 200 OK\r\n"
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
HTTP = ("h1", "h2")


class Stage:
    """/prime leaves a connection in the pool; /die/... misbehaves on it, and answers on a fresh
    one unless it is told to die there as well."""

    def __init__(self):
        self.service = RawService(talk=self.talk)
        self.edge = Edge(["raw=%d" % self.service.port],
                         limits={"response_timeout_ms": 700})
        self.seen = []

    def talk(self, peer):
        while True:
            if peer.requests:
                select.select([peer.sock], [], [])  # the flag may be set while it waits
            if peer.requests and self.unread:
                self.seen.append(peer.number)
                self.unread = False
                return  # closing with unread bytes is a reset
            head = peer.read_head()
            if head is None:
                return
            peer.requests += 1
            method, path, _ = head.split(" ", 2)
            if path != "/prime":
                self.seen.append(peer.number)
            size = int((re.findall("(?i)content-length: *([0-9]+)", head) or [0])[0])
            if path != "/die/once" or peer.requests == 1:
                peer.read_exact(size)
            if path == "/prime" or path.startswith("/die/once") and peer.requests == 1:
                peer.send(HEAD + b"Content-Length: 2\r\n\r\n" + (b"" if method == "HEAD" else b"ok"))
            elif path == "/die/partly":
                peer.send(b"HTTP/1.1 2")
                return
            elif path == "/die/stall":
                peer.wait_gone()
                return
            else:
                return

    def prime(self, unread=False):
        """Exactly one idle connection, so that the next request is on a reused one."""
        self.unread = False
        assert self.edge.get("raw", "/prime").status == 200
        self.seen.clear()
        self.unread = unread


@pytest.fixture(scope="module")
def stage():
    own = Stage()
    with own.service, own.edge:
        yield own


def ask(stage, method, path, http, **keys):
    with stage.edge.open("raw", http) as client:
        return client.request(method, path, **keys).status


@pytest.mark.parametrize("unread", [False, True], ids=["read", "unread"])
@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("method", IDEMPOTENT)
def test_idempotent_is_sent_again(stage, method, http, unread):
    stage.prime(unread)
    assert ask(stage, method, "/die/once", http) == 200
    assert len(stage.seen) == 2 and stage.seen[0] != stage.seen[1]


@pytest.mark.parametrize("unread", [False, True], ids=["read", "unread"])
@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("method", ["POST", "PATCH", "FOO"])
def test_others_are_not(stage, method, http, unread):
    stage.prime(unread)
    assert ask(stage, method, "/die/once", http) == 502
    assert len(stage.seen) == 1


@pytest.mark.parametrize("http", HTTP)
def test_not_with_a_body_on_its_way(stage, http):
    stage.prime()
    assert ask(stage, "PUT", "/die/once/after-body", http, body=b"x" * 1000) == 502
    assert len(stage.seen) == 1


def test_while_the_body_has_not_come(stage):
    """The client still holds its body back when the connection dies: nothing is lost."""
    stage.prime()
    with stage.edge.h1("raw") as client:
        client.send_head("PUT", "/die/once", [("Content-Length", "5")])
        until("the second attempt", lambda: len(stage.seen) == 2)
        client.send("12345")
        assert client.read_answer().status == 200


@pytest.mark.parametrize("http", HTTP)
def test_not_a_third_time(stage, http):
    stage.prime()
    assert ask(stage, "GET", "/die/always", http) == 502
    assert len(stage.seen) == 2


@pytest.mark.parametrize("http", HTTP)
def test_not_on_a_fresh_connection(stage, http):
    assert ask(stage, "GET", "/die/always", http) == 502  # empties the pool
    stage.seen.clear()
    assert ask(stage, "GET", "/die/always", http) == 502
    assert len(stage.seen) == 1


@pytest.mark.parametrize("http", HTTP)
def test_not_after_a_byte_of_an_answer(stage, http):
    stage.prime()
    assert ask(stage, "GET", "/die/partly", http) == 502
    assert len(stage.seen) == 1


@pytest.mark.parametrize("http", HTTP)
def test_not_when_it_only_takes_too_long(stage, http):
    stage.prime()
    assert ask(stage, "GET", "/die/stall", http) == 504
    assert len(stage.seen) == 1


def test_service_that_closes_after_every_answer():
    """It says nothing of it: the close is found before or after the connection is reused."""
    def reply(peer, head):
        peer.send(HEAD + b"Content-Length: 2\r\n\r\nok")
        return Peer.CLOSE
    with RawService(reply) as service, Edge(["raw=%d" % service.port]) as edge:
        with edge.h1("raw") as client:
            assert [client.request("GET", "/").status for _ in range(100)] == [200] * 100
        assert service.connections >= 100


def test_answer_nobody_asked_for():
    """Bytes on an idle connection end it: they are not the answer to the next request."""
    speak, gone = threading.Event(), threading.Event()

    def reply(peer, head):
        peer.send(HEAD + b"Content-Length: 1\r\n\r\n%d" % peer.number)
        if peer.number == 1:
            assert speak.wait(60)
            peer.send(HEAD + b"Content-Length: 4\r\n\r\nEVIL")
            peer.wait_gone()
            gone.set()
    with RawService(reply) as service, Edge(["raw=%d" % service.port]) as edge:
        assert edge.get("raw", "/").body == b"1"
        speak.set()
        assert gone.wait(60), "the gateway keeps the connection"
        assert edge.get("raw", "/").body == b"2"


@pytest.mark.parametrize("http", HTTP)
def test_a_connection_that_refused_an_upgrade_is_not_used_again(http):
    """Servers close after such a refusal without having said so: a POST sent there would be lost."""
    numbers = []

    def reply(peer, head):
        numbers.append((peer.number, head.split(" ")[0]))
        if "upgrade: websocket" in head.lower():
            peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        else:
            peer.send(HEAD + b"Content-Length: 2\r\n\r\nok")

    with RawService(reply) as service, Edge(["raw=%d" % service.port]) as edge:
        with edge.ws(edge.host("raw"), http=http) as ws:
            assert not ws.open and ws.answer.status == 403
        with edge.open("raw", http) as client:
            assert client.request("POST", "/", body=b"").status == 200
        assert [n for n, _ in numbers] == [1, 2]


def test_an_answer_to_a_websocket_over_http2_opens_it_only_with_101():
    """Any 2xx would tell the client that it is open (RFC 9113 8.5, RFC 8441 5); others pass."""
    said = [b"HTTP/1.1 %s\r\nContent-Length: 2\r\n\r\nno" % line
            for line in (b"200 OK", b"202 Accepted", b"302 Found", b"404 Not Found", b"503 Busy")]
    said.insert(2, b"HTTP/1.1 204 No Content\r\n\r\n")
    rest = list(said)
    with RawService(lambda peer, head: peer.send(rest.pop(0)) and None) as service, \
            Edge(["raw=%d" % service.port]) as edge:
        got = []
        for _ in said:
            with edge.ws(edge.host("raw"), http="h2") as ws:
                got.append((ws.answer.status, ws.answer.text))
        assert [status for status, _ in got] == [502, 502, 502, 302, 404, 503]
        assert "did not switch protocols" in got[0][1] and got[4][1] == "no"


@pytest.mark.skipif(not shutil.which("ss"), reason="ss of iproute2 tells a socket's congestion control")
def test_connections_to_services_use_reno_and_clients_the_default(stage):
    with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as f:
        default = f.read().strip()

    def control(side, port):
        out = subprocess.run(["ss", "-tinH", "state", "established", side, "= :%d" % port],
                             stdout=subprocess.PIPE, text=True, check=True).stdout
        return {line.split()[0] for line in out.splitlines() if line.startswith("\t")}

    stage.prime()
    with stage.edge.h1("raw"):
        assert control("dport", stage.service.port) == {"reno"}
        assert control("sport", stage.edge.port) == {default}
