"""Bodies that take their time and bodies that are large."""
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

import backend
import clients
import harness

WEB = "alpha-web"
BIG = int(os.environ.get("WOS_TEST_BIG", str(1 << 30)))
GROWTH = 8 << 20
# The sanitizers' own memory (quarantine, shadow) is not the gateway's.
SANITIZED = any(os.environ.get(n) for n in ("ASAN_OPTIONS", "TSAN_OPTIONS")) or b"__asan_init" in (
    harness.BIN.read_bytes() if harness.BIN.exists() else b"")
if SANITIZED:
    GROWTH = 400 << 20


def pattern_hash(size):
    digest = hashlib.sha256()
    for at in range(0, size, len(backend.BLOCK)):
        digest.update(backend.BLOCK[:min(len(backend.BLOCK), size - at)])
    return digest.hexdigest()


def pattern_pieces(size):
    for at in range(0, size, len(backend.BLOCK)):
        yield backend.BLOCK[:min(len(backend.BLOCK), size - at)]


def open_gate(gate, name):
    assert gate.get(WEB, "/gate/" + name, method="POST").status == 200


def connect(gate, http):
    return gate.h1(WEB) if http == "h1" else gate.h2(WEB)


class Watch:
    """Highest resident size of the gateway while a with-block runs."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.before = self.peak = harness.rss_bytes(self.pid)
        return self

    def look(self):
        self.peak = max(self.peak, harness.rss_bytes(self.pid))

    def __exit__(self, *_):
        self.look()

    def assert_bounded(self, limit=GROWTH):
        assert self.peak - self.before < limit, "the gateway grew by %d bytes" % (
            self.peak - self.before)


def warm(gate, http):
    """Buffers that any first transfer makes are not growth."""
    with connect(gate, http) as client:
        client.request(path="/big?size=20000000", hash_only=True)
        client.request("POST", "/sink", body=pattern_pieces(20000000))


def test_events_come_one_by_one(gate, http):
    """The second event is sent only after the first was seen by the client."""
    name = "sse-" + http
    with connect(gate, http) as client:
        flow = client.stream("/sse/%s?count=4" % name)
        assert flow.answer.get("content-type") == "text/event-stream"
        assert b"event 1" not in flow.wait(b"data: event 0\n\n")
        for i in (1, 2, 3):
            open_gate(gate, "%s-%d" % (name, i))
            seen = flow.wait(b"data: event %d\n\n" % i)
            assert b"event %d" % (i + 1) not in seen
        assert flow.rest().count(b"data:") == 4


def test_half_a_body_is_forwarded_at_once(gate, http):
    name = "parts-" + http
    with connect(gate, http) as client:
        flow = client.stream("/parts/" + name)
        assert flow.wait(b"first") == b"first"
        open_gate(gate, name)
        assert flow.rest() == b"firstlater"


def test_long_poll(gate, http):
    with connect(gate, http) as client:
        if http == "h1":
            client.send_head("GET", "/hold/poll-h1")
            client.channel.flush()
        else:
            stream = client.open(path="/hold/poll-h2")
        for _ in range(5):
            assert gate.get(WEB, "/hello").status == 200
        open_gate(gate, "poll-" + http)
        answer = client.read_answer() if http == "h1" else client.finish(stream)
        assert answer.text == "released\n"


@pytest.mark.no_tsan("a minute of waiting")
@pytest.mark.slow
def test_long_poll_over_a_minute(gate):
    """No timeout of the gateway's own ends a request a service still holds. Both at once: they wait."""
    def hold(http):
        return gate.get(WEB, "/hold/%s?ms=65000" % http, http=http, timeout=100).text
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(hold, ("h1", "h2"))) == ["released\n"] * 2


@pytest.mark.release
@pytest.mark.parametrize("query", ["", "&chunked=1"])
def test_large_download(gate, gateway_pid, http, query):
    warm(gate, http)
    with Watch(gateway_pid) as watch, connect(gate, http) as client:
        size = BIG if http == "h1" else BIG // 4
        answer = client.request(path="/big?size=%d%s" % (size, query), hash_only=True, timeout=200)
    assert answer.size == size
    assert answer.sha256 == pattern_hash(size)
    watch.assert_bounded()


@pytest.mark.release
def test_large_upload(gate, gateway_pid, http):
    warm(gate, http)
    size = BIG if http == "h1" else BIG // 4
    with Watch(gateway_pid) as watch, connect(gate, http) as client:
        def pieces():
            for i, piece in enumerate(pattern_pieces(size)):
                if i % 256 == 0:
                    watch.look()
                yield piece
        answer = client.request("POST", "/sink", body=pieces(), timeout=200)
    assert answer.json["size"] == size
    assert answer.json["sha256"] == pattern_hash(size)
    watch.assert_bounded()


def test_large_upload_with_content_length(gate):
    """Above 128 MiB, where the old limit was."""
    size = 200 << 20
    with gate.h1(WEB) as client:
        answer = client.request("PUT", "/sink", headers=[("Content-Length", str(size))],
                                body=pattern_pieces(size))
    assert answer.status == 200
    assert answer.json["sha256"] == pattern_hash(size)
    assert answer.json["framing"] == str(size)


@pytest.mark.release
def test_client_that_does_not_read(gate, gateway_pid, http):
    """A stalled client costs a bounded buffer, and gets all of it later."""
    warm(gate, http)
    size = 100 << 20
    with Watch(gateway_pid) as watch, connect(gate, http) as client:
        if http == "h1":
            client.send_head("GET", "/big?size=%d" % size)
            client.channel.flush()
        else:
            stream = client.open(path="/big?size=%d" % size)
            stream.hash_only = True
        client.channel.paused = True
        for _ in range(20):
            client.channel.step(0.1)
            watch.look()
        client.channel.paused = False
        answer = client.read_answer(hash_only=True) if http == "h1" else client.finish(stream)
    assert answer.sha256 == pattern_hash(size)
    watch.assert_bounded()


@pytest.mark.release
def test_service_that_does_not_read(gate, gateway_pid, http):
    """The upload waits at the client, not in the gateway."""
    warm(gate, http)
    size, name = 100 << 20, "unread-" + http
    with Watch(gateway_pid) as watch, connect(gate, http) as client:
        def pieces():
            stalled = False
            for piece in pattern_pieces(size):
                if not stalled and len(client.channel.out) > 1 << 18:
                    stalled = True
                    for _ in range(20):
                        client.channel.step(0.1)
                        watch.look()
                    open_gate(gate, name)
                yield piece
            if not stalled:
                open_gate(gate, name)
        if http == "h2":
            # Windows, not the socket, stop an HTTP/2 sender: open the gate from beside.
            stream = client.open("POST", "/never-read/" + name, end=False)
            opened = False
            for piece in pattern_pieces(size):
                while not opened and client.conn.local_flow_control_window(stream.id) < len(piece):
                    for _ in range(20):
                        client.pump(0.1)
                        watch.look()
                    open_gate(gate, name)
                    opened = True
                client.send_data(stream, piece)
            open_gate(gate, name)
            client.send_data(stream, b"", end=True)
            answer = client.finish(stream)
        else:
            answer = client.request("POST", "/never-read/" + name, body=pieces())
    assert answer.json["sha256"] == pattern_hash(size)
    watch.assert_bounded()


def test_many_transfers_at_once(gate, http):
    """20 downloads of 5 MB interleaved."""
    expected = pattern_hash(5000000)
    if http == "h2":
        with gate.h2(WEB) as client:
            streams = [client.open(path="/big?size=5000000") for _ in range(20)]
            for stream in streams:
                stream.hash_only = True
            assert {client.finish(s).sha256 for s in streams} == {expected}
        return
    opened = [gate.h1(WEB) for _ in range(20)]
    try:
        for client in opened:
            client.send_head("GET", "/big?size=5000000")
        assert {c.read_answer(hash_only=True).sha256 for c in opened} == {expected}
    finally:
        for client in opened:
            client.close()


def test_upload_and_download_at_once(gate, http):
    """/echo answers after the body, /upload-ack during it: neither stalls."""
    if http == "h1":
        with gate.h1(WEB) as client:
            client.send_head("POST", "/upload-ack", [("Transfer-Encoding", "chunked")])
            answer = client.read_head()
            for piece in pattern_pieces(20 << 20):
                client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                client.channel.until(lambda: len(client.channel.out) < 1 << 20, 60, "room")
            client.send("0\r\n\r\n")
            client.read_body(answer)
    else:
        with gate.h2(WEB) as client:
            answer = client.request("POST", "/upload-ack", body=pattern_pieces(20 << 20))
    assert sum(int(line) for line in answer.body.split()) == 20 << 20


def test_curl_resumes_a_download(gate, tmp_path):
    target = tmp_path / "part"
    target.write_bytes(backend.pattern(0, 40000))
    code, _, err = gate.curl("-C", "-", "-o", target, gate.url(WEB, "/file?size=100000"))
    assert code == 0, err
    assert target.read_bytes() == backend.pattern(0, 100000)


def test_aborted_upload_reaches_the_service_as_aborted(gate, http):
    """A cut chunked body must never look whole to the service."""
    before, path = gate.get(WEB, "/stats").json["aborted"], "/sink?cut-" + http
    client = connect(gate, http)
    if http == "h1":
        client.send_head("POST", path, [("Transfer-Encoding", "chunked")])
        client.send("5\r\nhello\r\n")
        client.channel.flush()
    else:
        stream = client.open("POST", path, end=False)
        client.send_data(stream, b"hello")
    harness.until("the service has it",
                  lambda: path in gate.get(WEB, "/stats").json["active"])
    client.channel.abort()
    harness.until("the service saw it aborted",
                  lambda: gate.get(WEB, "/stats").json["aborted"] > before)


def test_stream_that_is_left_ends_at_the_service(gate, http):
    path = "/sse/never-%s?count=2" % http
    client = connect(gate, http)
    client.stream(path).wait(b"event 0")
    assert path in gate.get(WEB, "/stats").json["active"]
    client.channel.abort()
    harness.until("the service noticed",
                  lambda: path not in gate.get(WEB, "/stats").json["active"])


def test_every_reset_of_a_client_is_noticed(gate, http):
    """A reset that meets the gateway's own write must not leave a connection
    behind that nobody ever looks at again."""
    for i in range(60):
        client = connect(gate, http)
        client.stream("/sse/left-%s-%d?count=2" % (http, i)).wait(b"event 0")
        client.channel.abort()

    def left():
        return [p for p in gate.get(WEB, "/stats").json["active"] if "/sse/left-" in p]
    harness.until("the service lost all of them", lambda: not left(), timeout=20)


def test_errors_are_told_apart_from_ends(gate):
    with gate.h1(WEB) as client:
        with pytest.raises(clients.Closed):
            client.request(path="/die?size=10&after=5&chunked=1")
