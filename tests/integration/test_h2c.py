"""Services that speak HTTP/2 in cleartext (`backend: h2c`): what they see, how they may end a
stream or the connection, and what the client gets of it."""
import hashlib
import threading
import time

import h2.events
import h2.settings
import pytest

from clients import ClientError, Closed, WebSocket1, WebSocket2
from service_edge import ServiceEdge as Edge
from rawservice import H2Service, Peer, RawService, h2_answer

HTTP = ("h1", "h2")
CANCEL, REFUSED, INTERNAL, CALM = 8, 7, 2, 11
WAIT = 60


def last(event):
    """The request is complete."""
    return isinstance(event, h2.events.StreamEnded)


class Echo:
    """Answers with what it was asked. Paths choose how."""

    def __init__(self):
        self.service = H2Service(self.handle)
        self.bodies, self.heads, self.trailers = {}, {}, {}
        self.resets = []
        self.reset = threading.Event()

    def handle(self, peer, event):
        key = (peer.number, getattr(event, "stream_id", 0))
        if isinstance(event, h2.events.RequestReceived):
            self.heads[key] = event.headers
            self.bodies[key] = hashlib.sha256()
            if dict(event.headers)[":path"] == "/interim":
                peer.conn.send_headers(event.stream_id, [(":status", "103"), ("link", "</a>")])
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[key].update(event.data)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers[key] = event.headers
        elif isinstance(event, h2.events.StreamReset):
            self.resets.append(int(event.error_code))
            self.reset.set()
        elif last(event):
            self.answer(peer, event.stream_id, key)

    def answer(self, peer, stream, key):
        path = dict(self.heads[key])[":path"]
        self.last_head, self.last_trailers = self.heads[key], self.trailers.get(key, [])
        if path == "/trailers":
            peer.conn.send_headers(stream, [(":status", "200"), ("trailer", "x-sum")])
            peer.conn.send_data(stream, b"body")
            peer.conn.send_headers(stream, [("x-sum", "42")], end_stream=True)
        elif path == "/hold":
            peer.conn.send_headers(stream, [(":status", "200")])
            peer.conn.send_data(stream, b"begun")
        elif path.startswith("/reset/"):
            peer.conn.reset_stream(stream, int(path.rpartition("/")[2]))
        elif path.startswith("/cut/"):
            peer.conn.send_headers(stream, [(":status", "200"), ("content-length", "9")])
            peer.conn.send_data(stream, b"half")
            peer.conn.reset_stream(stream, int(path.rpartition("/")[2]))
        elif path == "/node":
            peer.conn.send_headers(stream, [(":status", "200"), ("content-length", "5")])
            peer.conn.send_data(stream, b"whole")
            peer.conn.reset_stream(stream, 0)
        elif path == "/short":
            h2_answer(peer, stream, body=b"half", headers=[("content-length", "9")])
        elif path == "/long":
            h2_answer(peer, stream, body=b"too much", headers=[("content-length", "4")])
        elif path == "/connection":
            h2_answer(peer, stream, headers=[("connection", "close")])
        elif path == "/upper":
            h2_answer(peer, stream, headers=[("X-Upper", "1")])
        elif path == "/crlf":
            h2_answer(peer, stream, headers=[("x-a", "b\r\nx-evil: 1")])
        elif path == "/status":
            h2_answer(peer, stream, status="2000")
        elif path == "/101":
            h2_answer(peer, stream, status=101)
        elif path == "/many":
            h2_answer(peer, stream, headers=[("x-%d" % i, "v") for i in range(900)])
        elif path == "/large":
            for i in range(20):
                peer.conn.send_headers(stream, [(":status", "103"),
                                                *(("x-%d" % k, "v" * 500) for k in range(20))])
            h2_answer(peer, stream)
        elif path == "/endless":
            for _ in range(100):
                peer.conn.send_headers(stream, [(":status", "103")])
        else:
            body = self.bodies[key].hexdigest().encode()
            h2_answer(peer, stream, body=b"" if path == "/empty" else body)


class Stage:
    def __init__(self):
        self.echo = Echo()
        self.edge = Edge(["api=h2c:%d" % self.echo.service.port])


@pytest.fixture(scope="module")
def stage():
    own = Stage()
    with own.echo.service, own.edge:
        yield own


@pytest.mark.parametrize("http", HTTP)
def test_what_the_service_sees(stage, http):
    headers = [("X-Mine", "1"), ("TE", "trailers"), ("grpc-timeout", "10S"),
               ("X-Forwarded-For", "6.6.6.6"), ("Cookie", "a=1; b=2")]
    if http == "h1":
        headers += [("Connection", "TE, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "5")]
    with stage.edge.open("api", http) as client:
        answer = client.request("GET", "/see?q=1", headers=headers)
        authority = client.authority
    assert answer.status == 200 and answer.version == ("HTTP/2" if http == "h2" else "HTTP/1.1")
    seen = dict(stage.echo.last_head)
    assert len(seen) == len(stage.echo.last_head), "no field twice"
    assert [n for n, _ in stage.echo.last_head[:4]] == [":method", ":scheme", ":path", ":authority"]
    assert (seen[":method"], seen[":path"], seen[":authority"]) == ("GET", "/see?q=1", authority)
    assert seen[":scheme"] == "http" and seen["x-forwarded-proto"] == "https"
    assert seen["x-mine"] == "1" and seen["te"] == "trailers" and seen["grpc-timeout"] == "10S"
    assert seen["x-forwarded-for"] == "127.0.0.1" and seen["cookie"] == "a=1; b=2"
    assert seen["forwarded"].startswith("for=127.0.0.1;")
    assert not {"host", "connection", "keep-alive", "x-hop", "transfer-encoding"} & set(seen)


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("chunked", [False, True])
def test_large_upload(stage, http, chunked):
    body = bytes(range(256)) * 20000  # 5 MB through windows of 64 KB
    with stage.edge.open("api", http) as client:
        answer = client.request("POST", "/", body=body, chunked=chunked)
    assert answer.status == 200 and answer.text == hashlib.sha256(body).hexdigest()
    assert (dict(stage.echo.last_head).get("content-length") is None) == chunked


@pytest.mark.parametrize("http", HTTP)
def test_trailers_both_ways(stage, http):
    with stage.edge.open("api", http) as client:
        answer = client.request("POST", "/trailers", body=b"x", chunked=True,
                                trailers=[("X-Mine", "7"), ("Host", "evil")])
    assert answer.body == b"body" and ("x-sum", "42") in answer.trailers
    assert stage.echo.last_trailers == [("x-mine", "7")]


@pytest.mark.parametrize("http", HTTP)
def test_head_empty_and_interim(stage, http):
    with stage.edge.open("api", http) as client:
        assert client.request("HEAD", "/empty").status == 200
        assert client.request("GET", "/empty").body == b""
        answer = client.request("GET", "/interim")
        assert answer.status == 200 and answer.informational[0][0] == 103
        assert client.request("POST", "/empty", body=b"").status == 200


def test_streams_share_one_connection(stage):
    before = stage.echo.service.connections
    with stage.edge.h2("api") as client:
        streams = [client.open("GET", "/%d" % i) for i in range(100)]
        assert {client.finish(s).status for s in streams} == {200}
    assert stage.edge.get("api", "/").status == 200
    assert stage.echo.service.connections - before <= 1


@pytest.mark.parametrize("code", [CANCEL, INTERNAL, CALM])
def test_service_resets_the_stream(stage, code):
    """Before its head: a 502 that says so. After: a reset, with the code if it is the client's
    business."""
    for http in HTTP:
        with stage.edge.open("api", http) as client:
            answer = client.request("GET", "/reset/%d" % code)
            assert answer.status == 502 and "ended the stream" in answer.text
    with stage.edge.h2("api") as client:
        answer = client.request("GET", "/cut/%d" % code)
        assert answer.reset == code  # the head may be lost with it
    with stage.edge.h1("api") as client:
        with pytest.raises(Closed) as caught:
            client.request("GET", "/cut/%d" % code)
        assert caught.value.partial in (b"half", b"")


@pytest.mark.parametrize("http", HTTP)
def test_whole_answer_that_ends_with_no_error(stage, http):
    """Node resets with NO_ERROR instead of END_STREAM; the length says that nothing is missing."""
    assert stage.edge.get("api", "/node", http=http).body == b"whole"
    with stage.edge.open("api", http) as client:
        try:
            assert client.request("GET", "/cut/0").reset == 0
        except Closed:
            assert http == "h1"


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("path", ["/connection", "/upper", "/crlf", "/status", "/101", "/many",
                                  "/large", "/endless"])
def test_illegal_heads(stage, path, http):
    with stage.edge.open("api", http) as client:
        answer = client.request("GET", path)
        assert answer.status == 502, answer
        assert b"evil" not in answer.body and answer.get("x-evil") is None
        assert client.request("GET", "/").status == 200, "the connection goes on"


@pytest.mark.parametrize("path", ["/short", "/long"])
def test_body_that_is_not_its_length(stage, path):
    with stage.edge.h2("api") as client:
        assert client.request("GET", path).reset is not None
    with stage.edge.h1("api") as client:
        with pytest.raises(Closed):
            client.request("GET", path)


@pytest.mark.parametrize("http", HTTP)
def test_client_goes_away(stage, http):
    stage.echo.reset.clear()
    with stage.edge.open("api", http) as client:
        flow = client.stream("/hold")
        assert flow.wait(b"begun")
        if http == "h2":
            client.reset(flow.stream)
            client.pump(0)
            assert stage.echo.reset.wait(WAIT)
    assert stage.echo.reset.wait(WAIT) and stage.echo.resets[-1] == CANCEL


def test_slow_client_holds_up_nobody():
    """One client reads nothing of a large answer: the service may send one window of it, and
    everybody else on the same connection is served."""
    sent = [0]

    def handle(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            peer.conn.send_headers(event.stream_id, [(":status", "200")])
            if dict(event.headers)[":path"] == "/small":
                peer.conn.send_data(event.stream_id, b"ok", end_stream=True)
            else:
                peer.large = event.stream_id
        if isinstance(event, (h2.events.RequestReceived, h2.events.WindowUpdated)) and \
                getattr(peer, "large", None):
            room = peer.conn.local_flow_control_window(peer.large)
            while room > 0:
                piece = min(room, 16384)
                peer.conn.send_data(peer.large, b"x" * piece)
                sent[0] += piece
                room -= piece
    with H2Service(handle) as service, Edge(["api=h2c:%d" % service.port]) as edge, \
            edge.h2("api", window=65535) as slow:
        slow.auto_window = False
        stream = slow.open("GET", "/large")
        slow.until(lambda: len(stream.data) >= 65535, what="the client's window")
        for _ in range(50):
            assert edge.get("api", "/small", http="h2").body == b"ok"
        assert service.connections == 1
        assert sent[0] <= 1 << 20, "the gateway takes what nobody reads"
        slow.auto_window = True
        slow.conn.acknowledge_received_data(len(stream.data), stream.id)
        slow.until(lambda: len(stream.data) > 3 << 20, what="the rest")


class Numbered:
    """Holds requests until told, counts how many are open at once."""

    def __init__(self, settings=None):
        self.most, self.open = {}, {}
        self.service = H2Service(self.handle, settings)

    def handle(self, peer, event):
        if isinstance(event, h2.events.RequestReceived):
            self.open[peer.number] = self.open.get(peer.number, 0) + 1
            self.most[peer.number] = max(self.most.get(peer.number, 0), self.open[peer.number])
        if last(event):
            self.open[peer.number] -= 1
            h2_answer(peer, event.stream_id, body=str(peer.number).encode())


@pytest.mark.parametrize("limit", [1, 3])
def test_streams_the_service_allows(limit):
    own = Numbered({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: limit})
    with own.service, Edge(["api=h2c:%d" % own.service.port]) as edge, edge.h2("api") as client:
        for _ in range(3):
            streams = [client.open("GET", "/%d" % i) for i in range(20)]
            assert {client.finish(s).status for s in streams} == {200}
    assert max(own.most.values()) <= limit


def test_service_that_allows_none():
    own = Numbered({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    with own.service, Edge(["api=h2c:%d" % own.service.port]) as edge:
        answer = edge.get("api", "/", http="h2")
        assert answer.status == 502 and "allows no requests" in answer.text


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_stream_goes_over_a_fresh_connection(http, method):
    """The service says that it did not process it, so any method may be repeated."""
    def handle(peer, event):
        if last(event):
            if peer.number == 1 and event.stream_id > 1:
                peer.conn.reset_stream(event.stream_id, REFUSED)
            else:
                h2_answer(peer, event.stream_id, body=str(peer.number).encode())
    with H2Service(handle) as service, Edge(["api=h2c:%d" % service.port]) as edge, \
            edge.open("api", http) as client:
        assert client.request(method, "/").body == b"1"
        assert client.request(method, "/").body == b"2"


@pytest.mark.parametrize("http", HTTP)
def test_refused_everywhere(http):
    def handle(peer, event):
        if last(event):
            peer.conn.reset_stream(event.stream_id, REFUSED)
    with H2Service(handle) as service, Edge(["api=h2c:%d" % service.port]) as edge, \
            edge.open("api", http) as client:
        assert client.request("GET", "/").status == 502
        assert service.connections == 2


def test_goaway_with_streams_not_processed():
    """GOAWAY names the last stream it took; that one ends, the later ones move."""
    def handle(peer, event):
        if peer.number > 1 and last(event):
            h2_answer(peer, event.stream_id, body=b"second")
        elif peer.number == 1 and last(event) and len(peer.requests) == 3:
            peer.conn.close_connection(last_stream_id=min(peer.requests))
            peer.raw(peer.conn.data_to_send())
            first = min(peer.requests)
            # HEADERS ":status: 200", DATA "first": python-h2 says nothing after GOAWAY.
            peer.raw(b"\0\0\1\1\4" + first.to_bytes(4, "big") + b"\x88" +
                     b"\0\0\5\0\1" + first.to_bytes(4, "big") + b"first")
    with H2Service(handle) as service, Edge(["api=h2c:%d" % service.port]) as edge, \
            edge.h2("api") as client:
        streams = [client.open("POST", "/%d" % i) for i in range(3)]
        bodies = sorted(client.finish(s).body for s in streams)
        assert bodies == [b"first", b"second", b"second"]
        assert client.request("GET", "/").body == b"second"


def test_idle_connection_is_closed():
    events, ended = [], threading.Event()

    def handle(peer, event):
        events.append(event)
        if event is None:
            ended.set()
        if last(event):
            h2_answer(peer, event.stream_id)
    with H2Service(handle) as service, \
            Edge(["api=h2c:%d" % service.port], limits={"upstream_idle_timeout_ms": 600}) as edge:
        assert edge.get("api", "/", http="h2").status == 200
        assert ended.wait(WAIT), "it stays open"
        assert any(isinstance(e, h2.events.ConnectionTerminated) for e in events), "no GOAWAY"
        assert edge.get("api", "/", http="h2").status == 200
        assert service.connections == 2


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("method,status", [("GET", 200), ("DELETE", 200), ("POST", 502)])
def test_reused_connection_dies(method, status, http):
    def handle(peer, event):
        if last(event):
            if peer.number == 1 and event.stream_id > 1:
                return Peer.CLOSE
            h2_answer(peer, event.stream_id)
    with H2Service(handle) as service, Edge(["api=h2c:%d" % service.port]) as edge, \
            edge.open("api", http) as client:
        assert client.request("GET", "/").status == 200
        assert client.request(method, "/").status == status


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("says,why", [
    (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "speaks HTTP/1"),
    (b"220 mail ESMTP\r\n" * 3, "broke the rules"),
    (b"\0\0\4\0\0\0\0\0\1body", "broke the rules"),
])
def test_service_that_does_not_speak_http2(says, why, http):
    def talk(peer):
        peer.send(says)
        peer.wait_gone()
    with RawService(talk=talk) as service, Edge(["api=h2c:%d" % service.port]) as edge:
        answer = edge.get("api", "/", http=http)
        assert answer.status == 502 and why in answer.text, answer.text


def test_service_that_speaks_http1_in_pieces():
    def talk(peer):
        for byte in b"HTTP/1.1 400 Bad Request\r\n\r\n":
            peer.send(bytes([byte]))
            time.sleep(0.01)  # most arrive alone; the answer is the same if they do not
        peer.wait_gone()
    with RawService(talk=talk) as service, Edge(["api=h2c:%d" % service.port]) as edge:
        answer = edge.get("api", "/", http="h2")
        assert answer.status == 502 and "speaks HTTP/1" in answer.text, answer.text


def test_service_that_says_nothing():
    with RawService(talk=lambda peer: peer.wait_gone()) as service, \
            Edge(["api=h2c:%d" % service.port], limits={"connect_timeout_ms": 700}) as edge:
        answer = edge.get("api", "/", http="h2")
        assert answer.status == 504 and "in time" in answer.text


@pytest.mark.parametrize("http", HTTP)
def test_answer_that_does_not_come(http):
    def handle(peer, event):
        if last(event) and peer.requests[event.stream_id][":path"] == "/half":
            peer.conn.send_headers(event.stream_id, [(":status", "200")])
            peer.conn.send_data(event.stream_id, b"half")
    limits = {"response_timeout_ms": 600, "tunnel_idle_timeout_ms": 1200}
    with H2Service(handle) as service, \
            Edge(["api=h2c:%d" % service.port], limits=limits) as edge:
        with edge.open("api", http) as client:
            assert client.request("GET", "/").status == 504
        with edge.open("api", http) as client:
            try:
                assert client.request("GET", "/half").reset is not None
            except Closed:
                pass  # cut, as the end of the connection shows


@pytest.mark.parametrize("http", HTTP)
def test_long_answer_gets_a_larger_window(http):
    """Small at first, as all of it may have to be kept; but a download is not held up by that."""
    first, large = 10000, 200000

    def handle(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            peer.conn.send_headers(event.stream_id, [(":status", "200")])
            assert peer.conn.local_flow_control_window(event.stream_id) < large
            peer.conn.send_data(event.stream_id, bytes(first))
            peer.left = large
        elif isinstance(event, h2.events.WindowUpdated) and event.stream_id in peer.requests:
            if peer.conn.local_flow_control_window(event.stream_id) >= large:
                while peer.left > 0:
                    peer.left -= 10000
                    peer.conn.send_data(event.stream_id, bytes(10000), end_stream=peer.left == 0)
    with H2Service(handle) as service, Edge(["api=h2c:%d" % service.port]) as edge:
        for _ in range(5):  # no leftovers in what is counted
            with edge.open("api", http) as client:
                for _ in range(2):
                    assert len(client.request("GET", "/").body) == first + large


@pytest.mark.release
def test_service_that_opens_no_window():
    """An upload the service never makes room for: bounded memory, then 504."""
    def handle(peer, event):
        peer.auto_window = False
    with H2Service(handle) as service, \
            Edge(["api=h2c:%d" % service.port], limits={"write_timeout_ms": 900}) as edge:
        before = edge.rss()
        with edge.h1("api") as client:
            client.send_head("POST", "/", [("Content-Length", str(1 << 28))])
            try:
                for _ in range(1 << 10):
                    client.send(b"u" * 65536)
                    client.channel.until(lambda: len(client.channel.out) < 1 << 20, WAIT, "room")
            except (Closed, ClientError):
                pass
            assert client.read_head().status == 504
        edge.assert_grown_less(before, 8 << 20)


def websocket_service(enabled):
    def handle(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            head = dict(event.headers)
            peer.connects = getattr(peer, "connects", {})
            if head[":method"] == "CONNECT" and head.get(":protocol") == "websocket":
                assert "sec-websocket-key" not in head and "upgrade" not in head
                peer.connects[event.stream_id] = head
                peer.conn.send_headers(event.stream_id, [(":status", "200")])
            else:
                h2_answer(peer, event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            data = event.data
            if data[:1] == b"\x81":  # a text frame, masked: back in clear
                size, mask = data[1] & 127, data[2:6]
                text = bytes(b ^ mask[i % 4] for i, b in enumerate(data[6:6 + size]))
                peer.conn.send_data(event.stream_id, b"\x81" + bytes([len(text)]) + text)
        elif last(event) and event.stream_id in peer.connects:
            peer.conn.end_stream(event.stream_id)
    settings = {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1} if enabled else {}
    return H2Service(handle, settings)


def open_ws(edge, http):
    kind = WebSocket1 if http == "h1" else WebSocket2
    return kind(edge.port, edge.host("api"), ca=edge.ca)


@pytest.mark.parametrize("http", HTTP)
def test_websocket_over_extended_connect(http):
    with websocket_service(True) as service, Edge(["api=h2c:%d" % service.port]) as edge:
        with open_ws(edge, http) as ws:
            for text in ("one", "two"):
                ws.send(text)
                assert ws.recv()[1] in (text, text.encode())
        assert edge.get("api", "/", http=http).status == 200


@pytest.mark.parametrize("http", HTTP)
def test_websocket_to_a_service_without_them(http):
    with websocket_service(False) as service, Edge(["api=h2c:%d" % service.port]) as edge:
        with open_ws(edge, http) as ws:
            assert not ws.open and ws.answer.status == 502
        assert edge.get("api", "/", http=http).status == 200


@pytest.mark.release
def test_many_cancelled_requests_leave_nothing():
    """Open and reset, over and over: no stream, no memory, no connection stays behind."""
    own = Echo()
    with own.service, Edge(["api=h2c:%d" % own.service.port]) as edge:
        def storm():
            for _ in range(5):
                with edge.h2("api") as client:
                    for _ in range(100):
                        client.reset(client.open("GET", "/hold"))
                    client.pump(0)
            assert edge.get("api", "/").status == 200
        storm()
        before = edge.rss()
        storm()
        edge.assert_grown_less(before, 8 << 20)
        assert own.service.connections <= 3, (own.service.connections, own.service.errors)
