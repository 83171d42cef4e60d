"""Services that break the rules, seen through the gateway in both HTTP versions.

Whatever they do, a client can tell a cut answer from a whole one, nothing hangs, nobody else is
disturbed, and the connection is never used for another request."""
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

import harness
from clients import Closed, Http1
from service_edge import ServiceEdge as Edge
from rawservice import Peer, RawService

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LIMITS = {"response_timeout_ms": 700, "tunnel_idle_timeout_ms": 1500}
CUT = "cut"
HTTP = ("h1", "h2")

# name: (what the service says, how it ends, what the client gets: a status or CUT)
CASES = {
    "stall before the head": (b"", Peer.STAY, 504),
    "stall in the head": (HEAD + b"X-A: b\r\n", Peer.STAY, 504),
    "stall in the body": (HEAD + b"Content-Length: 9\r\n\r\nhalf", Peer.STAY, CUT),
    "no last chunk, stays": (CHUNKED + b"4\r\nhalf\r\n", Peer.STAY, CUT),
    "close before the head": (b"", Peer.CLOSE, 502),
    "reset before the head": (b"", Peer.RESET, 502),
    "close in the head": (HEAD + b"X-A: b\r\n", Peer.CLOSE, 502),
    "close in the body": (HEAD + b"Content-Length: 9\r\n\r\nhalf", Peer.CLOSE, CUT),
    "close in a chunk": (CHUNKED + b"9\r\nhalf", Peer.CLOSE, CUT),
    "no last chunk": (CHUNKED + b"4\r\nhalf\r\n", Peer.CLOSE, CUT),
    "close in the last chunk": (CHUNKED + b"4\r\nhalf\r\n0\r\n", Peer.CLOSE, CUT),
    "chunk size no number": (CHUNKED + b"4\r\nhalf\r\nzz\r\n", Peer.STAY, CUT),
    "chunk size negative": (CHUNKED + b"4\r\nhalf\r\n-1\r\nx", Peer.STAY, CUT),
    "chunk size overflows": (CHUNKED + b"4\r\nhalf\r\n" + b"f" * 17 + b"\r\n", Peer.STAY, CUT),
    "chunk without CRLF": (CHUNKED + b"4\r\nhalfXX\r\n0\r\n\r\n", Peer.STAY, CUT),
    "chunk with LF": (CHUNKED + b"4\r\nhalf\r\n4\nhalf\n0\n\n", Peer.STAY, CUT),
    "chunk extension endless": (CHUNKED + b"4\r\nhalf\r\n4;" + b"x" * 70000, Peer.STAY, CUT),
    "trailers endless": (CHUNKED + b"4\r\nhalf\r\n0\r\n" + b"X-T: y\r\n" * 20000, Peer.STAY, CUT),
    "reset in the body": (HEAD + b"Content-Length: 9\r\n\r\nhalf", Peer.RESET, CUT),
    "head of 16 MB": (HEAD + b"X-Big: " + b"x" * (16 << 20), Peer.STAY, 502),
    "2000 fields": (HEAD + b"X-A: b\r\n" * 2000 + b"\r\n", Peer.STAY, 502),
    "endless 1xx": (b"HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n" * 20000, Peer.STAY, 502),
    "101 unasked": (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                    b"Upgrade: websocket\r\n\r\n", Peer.STAY, 502),
    "HTTP/0.9": (b"<html>hello</html>\n", Peer.CLOSE, 502),
    "HTTP/2 frames": (b"\0\0\0\4\0\0\0\0\0", Peer.CLOSE, 502),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Peer.STAY, 502),
    "another protocol": (b"220 mail.example ESMTP\r\n\r\n", Peer.STAY, 502),
    "HTTP/2.0 in plain text": (b"HTTP/2.0 200 OK\r\n\r\n", Peer.STAY, 502),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", Peer.STAY, 502),
    "status 99": (b"HTTP/1.1 099 OK\r\n\r\n", Peer.STAY, 502),
    "bare CR in a field": (HEAD + b"X-A: b\rX-Evil: 1\r\nContent-Length: 0\r\n\r\n", Peer.STAY,
                           502),
    "bare LF in a field": (HEAD + b"X-A: b\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n", Peer.STAY,
                           502),
    "NUL in a field": (HEAD + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n", Peer.STAY, 502),
    "folded field": (HEAD + b"X-A: b\r\n X-Evil: 1\r\nContent-Length: 0\r\n\r\n", Peer.STAY, 502),
    "space before the colon": (HEAD + b"Content-Length : 4\r\n\r\nbody", Peer.STAY, 502),
    "no colon": (HEAD + b"nonsense\r\n\r\n", Peer.STAY, 502),
    "length and chunked": (HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"4\r\nbody\r\n0\r\n\r\n", Peer.STAY, 502),
    "two lengths": (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", Peer.STAY, 502),
    "length with a sign": (HEAD + b"Content-Length: +4\r\n\r\nbody", Peer.STAY, 502),
    "length too large": (HEAD + b"Content-Length: 99999999999999999999\r\n\r\nbody", Peer.STAY,
                         502),
    "unknown coding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Peer.STAY, 502),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", Peer.STAY,
                      502),
    # Whole answers, after which the connection is good for nothing.
    "longer than its length": (HEAD + b"Content-Length: 4\r\n\r\nbodyEVIL", Peer.STAY, 200),
    "a second answer": (HEAD + b"Content-Length: 4\r\n\r\nbody" +
                        HEAD + b"Content-Length: 4\r\n\r\nEVIL", Peer.STAY, 200),
    "a body after 204": (b"HTTP/1.1 204 No Content\r\n\r\nEVIL", Peer.STAY, 204),
    "a body after 304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nEVIL", Peer.STAY,
                         304),
    "garbage after the last chunk": (CHUNKED + b"4\r\nbody\r\n0\r\n\r\nEVIL", Peer.STAY, 200),
}
NAMES = sorted(CASES)


class Stage:
    def __init__(self):
        self.service = RawService(self.reply)
        self.edge = Edge(["raw=%d" % self.service.port], limits=LIMITS)
        self.bad = {}

    def reply(self, peer, head):
        path = head.split(" ")[1]
        if path == "/ok":
            peer.send(HEAD + b"Content-Length: %d\r\n\r\n%d" % (len(str(peer.number)),
                                                               peer.number))
            return None
        name = NAMES[int(path.rpartition("/")[2])]
        self.bad[name] = peer.number
        data, end, _ = CASES[name]
        peer.send(data)
        if end is Peer.STAY:
            peer.wait_gone()
            return Peer.CLOSE
        return end


@pytest.fixture(scope="module")
def stage():
    own = Stage()
    with own.service, own.edge:
        yield own


def outcome(client, method, path):
    """The status, and the body, of a whole answer, or CUT."""
    try:
        answer = client.request(method, path)
    except Closed as error:
        if isinstance(client, Http1):
            assert error.answer.status == 200, error  # the head had come
        return CUT, error.partial
    return (CUT if answer.reset is not None else answer.status), answer.body


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("name", NAMES)
def test_service_that_breaks_the_rules(stage, name, http):
    expected = CASES[name][2]
    with stage.edge.open("raw", http) as client:
        got, body = outcome(client, "GET", "/bad/%d" % NAMES.index(name))
    assert got == expected, body
    assert b"EVIL" not in body and b"Evil" not in body
    if expected == 200:
        assert body == b"body"
    if expected == CUT:
        assert body in (b"half", b"")
    answer = stage.edge.get("raw", "/ok", http=http)
    assert answer.status == 200 and int(answer.body) != stage.bad[name]


def test_head_of_an_answer_to_head(stage):
    """A body after the head of an answer to HEAD is nobody's."""
    index = NAMES.index("longer than its length")
    with stage.edge.h1("raw") as client:
        answer = client.request("HEAD", "/bad/%d" % index)
        assert answer.status == 200 and answer.get("content-length") == "4"
        assert client.request("GET", "/ok").body.isdigit()


@pytest.mark.release
def test_memory_stays_bounded(stage):
    """What was refused leaves nothing behind."""
    def provoke(times):
        for name in ("head of 16 MB", "endless 1xx", "2000 fields", "a second answer") * times:
            expected = CASES[name][2]
            assert stage.edge.get("raw", "/bad/%d" % NAMES.index(name)).status == expected
    provoke(2)
    before = stage.edge.rss()
    provoke(6)
    stage.edge.assert_grown_less(before, 8 << 20)


BODY = b"u" * (8 << 20)


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_service_leaves_while_the_body_comes(http, end):
    """It takes the head, says nothing, and is gone."""
    with RawService(lambda peer, head: end) as service, \
            Edge(["raw=%d" % service.port]) as edge, edge.open("raw", http) as client:
        answer = client.request("POST", "/", body=BODY)
        assert answer.status == 502
        assert service.connections == 1, "a POST is not sent twice"


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_answer_before_the_request_is_read(http, end):
    """413 and out: the client gets it, though the rest of its body meets a closed door."""
    def reply(peer, head):
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big")
        peer.read_exact(1000)
        return end
    with RawService(reply) as service, Edge(["raw=%d" % service.port]) as edge, \
            edge.open("raw", http) as client:
        answer = client.request("POST", "/", body=BODY)
        assert (answer.status, answer.body) == (413, b"too big")


@pytest.mark.parametrize("http", HTTP)
def test_the_address_that_answered_is_named(http):
    """What is wrong stands at [::1], where nobody answers at 127.0.0.1."""
    with RawService(talk=lambda peer: peer.send(b"garbage\r\n\r\n") and peer.read_exact(1),
                    host="::1") as service:
        port = service.port
        with Edge(["http=%d" % port, "https=https-insecure:%d" % port,
                   "h2c=h2c:%d" % port]) as edge:
            for name in ("http", "https", "h2c"):
                answer = edge.get(name, "/", http=http)
                assert answer.status == 502 and "-> [::1]:%d: " % port in answer.text, answer.text
    with socket.socket() as mute:  # bound, and not listening
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        with Edge(["gone=%d" % port]) as edge:
            answer = edge.get("gone", "/", http=http)
        assert answer.status == 502 and "-> 127.0.0.1:%d: " % port in answer.text, answer.text


@pytest.mark.parametrize("http", HTTP)
def test_reset_is_no_end(http):
    """An answer that lasts until the connection ends, and then a reset while the request still
    comes: whoever notices first, the sending or the reading, it is cut."""
    def reply(peer, head):
        peer.send(HEAD + b"\r\nhalf")
        peer.read_exact(1000)
        return Peer.RESET
    with RawService(reply) as service, Edge(["raw=%d" % service.port]) as edge:
        for _ in range(10):
            with edge.open("raw", http) as client:
                try:
                    answer = client.request("POST", "/", body=BODY)
                    assert answer.reset is not None, answer
                except Closed:
                    pass


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_cut_answer_leaves_the_one_before_it_whole(tls, tmp_path):
    """A pipeline whose second answer is cut while the client has hardly read of the first."""
    size, log = 200000, tmp_path / "access.log"
    endings = {"/length": b"Content-Length: 9\r\n\r\nhalf",
               "/chunked": b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf"}

    def reply(peer, head):
        path = head.split(" ")[1]
        if path in endings:
            peer.send(HEAD + endings[path])
            return Peer.CLOSE
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
        return None
    with RawService(reply) as service, \
            Edge(["raw=%d" % service.port], tls=tls, limits={"access_log": log}) as edge:
        for number, path in enumerate(endings, 1):
            with edge.open("raw") as client:
                client.channel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
                client.send_head("GET", "/whole")
                client.send_head("GET", path)
                harness.until("it is cut", lambda: log.exists() and number == log.read_text().count(
                    '"aborted":"service"'))
                whole = client.read_body(client.read_head())
                assert whole.status == 200 and len(whole.body) == size
                with pytest.raises(Closed) as error:
                    client.read_body(client.read_head())
                assert error.value.partial == b"half"


@pytest.mark.parametrize("http", HTTP)
def test_early_answer_without_close(http):
    """It answers at once, and never reads the body: the connection is not kept."""
    numbers = []

    def reply(peer, head):
        numbers.append(peer.number)
        peer.send(HEAD + b"Content-Length: 2\r\n\r\nok")
        if head.startswith("POST"):
            peer.wait_gone()
            return Peer.CLOSE
        return None
    with RawService(reply) as service, Edge(["raw=%d" % service.port]) as edge:
        with edge.open("raw", http) as client:
            assert client.request("POST", "/", body=BODY).body == b"ok"
        assert edge.get("raw", "/", http=http).body == b"ok"
    assert numbers == [1, 2]


def stop_gateway(edge):
    """What comes from now on, it sees in one turn, in that order."""
    os.kill(edge.gateway, signal.SIGSTOP)
    stats = list(Path("/proc/%d/task" % edge.gateway).glob("*/stat"))
    harness.until("all its threads stand", lambda: all(
        stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in stats))


def test_a_connection_that_refused_bytes_is_not_used_again():
    """It answers and is gone while the last of the request still has to be sent: that fails before
    the answer is read, which is whole. The next request, a POST, came with those last bytes."""
    size = 100_000
    begun = threading.Event()
    finish = threading.Event()
    gone = threading.Event()

    def reply(peer, head):
        if "/first" in head:
            begun.set()
            finish.wait(60)
            peer.send(HEAD + b"Content-Length: 5\r\n\r\nfirst")
            peer.reset()
            gone.set()
            return Peer.CLOSE
        peer.read_exact(len(BODY) if "/warm" in head else 2)
        peer.send(HEAD + b"Content-Length: 6\r\n\r\nsecond")
        return None
    with RawService(reply) as service, Edge(["raw=%d" % service.port], LIMITS, tls=False) as edge, \
            edge.h1("raw") as client:
        assert client.request("POST", "/warm", body=BODY).status == 200  # a wide window
        for _ in range(5):
            for event in (begun, finish, gone):
                event.clear()
            client.send_head("POST", "/first", [("Content-Length", str(size))])
            assert begun.wait(60)
            stop_gateway(edge)
            client.send(b"u" * size + b"POST /second HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n"
                        b"\r\nok" % edge.host("raw").encode())
            finish.set()
            assert gone.wait(60)
            os.kill(edge.gateway, signal.SIGCONT)
            first = client.read_answer("POST")
            second = client.read_answer("POST")
            assert (first.status, first.body) == (200, b"first")
            assert (second.status, second.body) == (200, b"second")


def test_a_body_whose_head_was_refused_is_no_request():
    """The service gives an idle connection up, with a word and a reset, as a request is to go out on
    it: its head was refused. A fresh connection got what followed, as if that were a request."""
    heads = []
    finish = threading.Event()
    gone = threading.Event()

    def reply(peer, head):
        heads.append(head)
        if "/prime" in head:
            peer.send(HEAD + b"Content-Length: 2\r\n\r\nok")
            finish.wait(60)
            peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            peer.reset()
            gone.set()
        return Peer.CLOSE
    inner = b"GET /inner HTTP/1.1\r\nHost: x\r\n\r\n"
    with RawService(reply) as service, Edge(["raw=%d" % service.port], LIMITS, tls=False) as edge, \
            edge.h1("raw") as client:
        assert client.request("GET", "/prime").status == 200
        stop_gateway(edge)
        client.send_head("POST", "/outer", [("Content-Length", str(150_000 + len(inner)))])
        client.send(b"u" * 150_000)
        finish.set()
        assert gone.wait(60)
        os.kill(edge.gateway, signal.SIGCONT)
        client.send(inner)
        assert client.read_answer("POST").status == 502
    assert [head.split(" ")[1] for head in heads] == ["/prime"], heads


@pytest.mark.release
@pytest.mark.parametrize("http", HTTP)
def test_service_that_never_reads_is_given_up(http):
    """The body of a request stalls: 504, not a wait without end, and no growing queue."""
    def reply(peer, head):
        stop.wait(60)
        return Peer.CLOSE
    stop = threading.Event()
    with RawService(reply) as service, \
            Edge(["raw=%d" % service.port], limits={"write_timeout_ms": 1000}) as edge:
        with edge.open("raw", http) as client:
            before = edge.rss()
            stream = (b"u" * 65536 for _ in range(1000))
            try:
                answer = client.request("POST", "/", body=stream)
                assert answer.status == 504
            except Closed as error:
                assert b" 504 " in error.partial or http == "h2"
            edge.assert_grown_less(before, 8 << 20)
        stop.set()


def is_stopped(pid):
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T"
               for task in Path("/proc/%d/task" % pid).iterdir())


def test_reset_behind_the_last_bytes_of_a_tunnel():
    """Both come as one event, and nobody says anything afterwards: the client is told all the same."""
    said, seen = threading.Event(), threading.Event()

    def reply(peer, head):
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        seen.wait(60)
        peer.send(b"last")
        peer.reset()
        said.set()
        return None
    with RawService(reply) as service, Edge(["raw=%d" % service.port], tls=False) as edge:
        with edge.open("raw") as client:
            client.send_head("GET", "/", [("Upgrade", "echo"), ("Connection", "Upgrade")])
            assert client.read_head().status == 101
            stop_gateway(edge)
            harness.until("the gateway stands still", lambda: is_stopped(edge.gateway))
            seen.set()
            said.wait(60)
            os.kill(edge.gateway, signal.SIGCONT)
            assert client.channel.wait_closed(30).endswith(b"last")
