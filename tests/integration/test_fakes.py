"""The fakes and the clients against each other, without a gateway: what these
say is what the other tests may rely on."""
import hashlib
import shutil
import subprocess

import pytest

import clients
import harness

pytestmark = pytest.mark.no_tsan("no wos is in it")


@pytest.fixture(scope="module")
def fake():
    port = harness.free_port()
    proc = subprocess.Popen([harness.PYTHON, str(harness.FAKES / "backend.py"), "--port",
                             str(port), "--name", "fake"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    client = harness.until("the fake listens", lambda: clients.Http1(port, "localhost"))
    client.close()
    yield port
    proc.terminate()
    proc.wait()


@pytest.fixture
def direct(fake):
    with clients.Http1(fake, "localhost") as client:
        yield client


def test_echo_tells_what_came(direct):
    answer = direct.request("POST", "/echo?x=1", [("X-A", "b")], b"hello")
    assert answer.json["body"] == "hello"
    assert answer.json["target"] == "/echo?x=1"
    assert ["X-A", "b"] in answer.json["headers"]


def test_chunked_both_ways_with_trailers(direct):
    answer = direct.request("POST", "/sink", body=[b"abc", b"def"], trailers=[("X-T", "1")])
    assert answer.json["sha256"] == hashlib.sha256(b"abcdef").hexdigest()
    assert answer.json["trailers"] == [["X-T", "1"]]
    assert direct.request(path="/trailers").trailers == [("X-Checksum", "abc123"),
                                                         ("X-Second", "two")]


def test_informational_answers_are_seen(direct):
    answer = direct.request(path="/early-hints")
    assert [status for status, _ in answer.informational] == [103, 103]
    assert answer.text == "hinted\n"


def test_range_and_head(direct):
    answer = direct.request(path="/file?size=1000", headers=[("Range", "bytes=10-19")])
    assert (answer.status, len(answer.body)) == (206, 10)
    answer = direct.request("HEAD", "/file?size=1000")
    assert (answer.get("content-length"), answer.body) == ("1000", b"")


def test_big_body_equals_the_pattern(direct):
    answer = direct.request(path="/big?size=10000000", hash_only=True)
    assert answer.sha256 == pattern_hash(10000000)


def pattern_hash(size):
    import backend
    digest = hashlib.sha256()
    for at in range(0, size, len(backend.BLOCK)):
        digest.update(backend.BLOCK[:min(len(backend.BLOCK), size - at)])
    return digest.hexdigest()


def test_death_in_the_middle_is_seen(direct):
    with pytest.raises(clients.Closed) as caught:
        direct.request(path="/die?size=100000&after=5000")
    assert len(caught.value.partial) <= 5000


def test_upload_is_acknowledged_while_it_runs(direct):
    direct.send_head("POST", "/upload-ack", [("Transfer-Encoding", "chunked")])
    answer = direct.read_head()
    direct.send("5\r\nhello\r\n")
    direct.channel.until(lambda: b"5\n" in direct.channel.inbox, 20)
    direct.send("0\r\n\r\n")
    assert direct.read_body(answer).text == "5\n"


def test_gates_hold_events_back(fake, direct):
    flow = direct.stream("/sse/g1?count=2")
    assert flow.answer.get("content-type") == "text/event-stream"
    assert b"event 1" not in flow.wait(b"event 0")
    with clients.Http1(fake, "localhost") as other:
        assert other.request("POST", "/gate/g1-1").status == 200
    assert flow.rest().endswith(b"data: event 1\n\n")


def test_websocket_echo(fake):
    with clients.WebSocket1(fake, "localhost", "/ws?info=1", protocols="a, b") as ws:
        assert ws.open and ws.answer.get("sec-websocket-protocol") == "b"
        ws.recv()
        ws.send("hällo")
        assert ws.recv() == (1, "hällo".encode())
        assert clients.echo_many(ws, 5, 1000000) == 5
        assert ws.end(1000, b"x")[:2] == (1000).to_bytes(2, "big")


def test_websocket_refusal_is_an_answer(fake):
    with clients.WebSocket1(fake, "localhost", "/ws?refuse=403") as ws:
        assert not ws.open and ws.answer.status == 403 and ws.answer.text == "not you\n"


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node_fake():
    port = harness.free_port()
    proc = subprocess.Popen(["node", str(harness.FAKES / "backend.mjs"), str(port), "n"],
                            stdout=subprocess.DEVNULL)
    try:
        harness.until("node listens", lambda: clients.Http1(port, "localhost").close() is None)
        with clients.WebSocket1(port, "localhost", "/ws") as ws:
            assert ws.open and clients.echo_many(ws, 3, 100000) == 3
        with clients.Http1(port, "localhost") as client:
            assert client.request("POST", "/echo", body=b"abc").json["size"] == 3
    finally:
        proc.terminate()
        proc.wait()
