"""HTTP/2 to the client, HTTP/1.1 to the service."""
import hashlib
import json
import shutil
import subprocess

import h2.errors
import h2.exceptions
import pytest

import backend
import clients
import harness

WEB = "alpha-web"


def fields_of(echo, name):
    return [v for n, v in echo["headers"] if n.lower() == name.lower()]


@pytest.fixture
def h2c(gate):
    with gate.h2(WEB) as client:
        yield client


def test_small_request(h2c):
    answer = h2c.request(path="/hello")
    assert (answer.status, answer.text) == (200, "hello from web-of-alpha\n")
    assert all(n == n.lower() for n, _ in answer.headers)


def test_request_as_the_service_sees_it(gate, h2c):
    echo = h2c.request("POST", "/echo?q=1", [("x-a", "b"), ("cookie", "a=1"), ("cookie", "b=2"),
                                             ("x-forwarded-for", "6.6.6.6"), ("te", "trailers")],
                       b"hello").json
    assert (echo["method"], echo["target"], echo["version"]) == ("POST", "/echo?q=1", "HTTP/1.1")
    assert fields_of(echo, "host") == [h2c.authority]
    assert fields_of(echo, "content-length") == ["5"]
    assert fields_of(echo, "cookie") == ["a=1; b=2"]
    assert fields_of(echo, "x-forwarded-for") == ["127.0.0.1"]
    assert fields_of(echo, "x-forwarded-proto") == ["https"]
    assert fields_of(echo, "x-forwarded-port") == [str(gate.port)]
    assert len(fields_of(echo, "forwarded")) == 1
    assert not [n for n, _ in echo["headers"] if n.startswith(":")]


def test_hundred_streams_at_once(h2c):
    streams = [h2c.open(path="/echo?%d" % i) for i in range(100)]
    for i, stream in enumerate(streams):
        assert h2c.finish(stream).json["target"] == "/echo?%d" % i


def test_a_slow_stream_does_not_hold_the_others(gate, h2c):
    slow = h2c.open(path="/hold/h2-slow")
    for _ in range(10):
        assert h2c.request(path="/hello").status == 200
    assert not slow.ended
    gate.get(WEB, "/gate/h2-slow", method="POST")
    assert h2c.finish(slow).text == "released\n"


def test_a_stream_nobody_reads_does_not_hold_the_others(gate):
    with gate.h2(WEB, window=65535) as client:
        client.auto_window = False
        client.conn.increment_flow_control_window(1 << 24)
        stuck = client.open(path="/big?size=50000000")
        client.until(lambda: len(stuck.data) >= 65535, what="a full stream window")
        for _ in range(5):
            assert client.request(path="/hello").status == 200
        client.reset(stuck)
        assert client.request(path="/hello").status == 200


def test_head(h2c):
    answer = h2c.request("HEAD", "/file?size=12345")
    assert (answer.status, answer.get("content-length"), answer.body) == (200, "12345", b"")


def test_status_without_body(h2c):
    for code in (204, 304):
        answer = h2c.request(path="/status/%d" % code)
        assert (answer.status, answer.get("x-kept"), answer.body) == (code, "yes", b"")


def test_hop_by_hop_headers_are_gone(h2c):
    answer = h2c.request(path="/hop")
    names = {n for n, _ in answer.headers}
    assert "x-stays" in names
    assert not names & {"connection", "keep-alive", "proxy-connection", "x-secret-hop",
                        "transfer-encoding", "upgrade"}
    assert "transfer-encoding" not in {n for n, _ in h2c.request(path="/chunked").headers}


def test_repeated_headers_stay_apart(h2c):
    answer = h2c.request(path="/multi")
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert answer.all("link") == ["</a>; rel=x", "</b>; rel=y"]


def test_answer_trailers(h2c):
    answer = h2c.request(path="/trailers", headers=[("te", "trailers")])
    assert answer.text == "with trailers\n"
    assert answer.trailers == [("x-checksum", "abc123"), ("x-second", "two")]


def test_request_trailers(h2c):
    answer = h2c.request("POST", "/sink", body=[b"abc", b"def"], trailers=[("x-sum", "42")])
    assert answer.json["size"] == 6
    assert [[n.lower(), v] for n, v in answer.json["trailers"]] == [["x-sum", "42"]]


def test_early_hints(h2c):
    answer = h2c.request(path="/early-hints")
    assert answer.informational == [(103, [("link", "</style.css>; rel=preload")]),
                                    (103, [("link", "</two.css>; rel=preload")])]
    assert answer.text == "hinted\n"


def test_expect_continue(h2c):
    stream = h2c.open("POST", "/expect", [("expect", "100-continue"), ("content-length", "5")],
                      end=False)
    h2c.until(lambda: stream.answer.informational, what="100 Continue")
    h2c.send_data(stream, b"abcde", end=True)
    answer = h2c.finish(stream)
    assert [s for s, _ in answer.informational] == [100]
    assert answer.json["size"] == 5


def test_range(h2c):
    answer = h2c.request(path="/file?size=100000", headers=[("range", "bytes=500-1499")])
    assert (answer.status, answer.get("content-range")) == (206, "bytes 500-1499/100000")
    assert answer.body == backend.pattern(500, 1000)


def test_bodies_with_and_without_length(h2c):
    body = bytes(range(256)) * 8000
    answer = h2c.request("PUT", "/sink", body=body)
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert answer.json["framing"] == str(len(body))
    answer = h2c.request("PUT", "/sink", body=body, chunked=True)
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    assert answer.json["framing"] == "chunked"


def test_until_close_answer(h2c):
    assert h2c.request(path="/until-close?size=100000").body == backend.pattern(0, 100000)


def test_answer_before_the_body_is_sent(h2c):
    stream = h2c.open("POST", "/upload-ack", end=False)
    h2c.until(lambda: stream.head_done, what="a head before the body")
    h2c.send_data(stream, b"hello")
    # Piece by piece, as they reached the service.
    h2c.until(lambda: sum(map(int, bytes(stream.data).split())) == 5, what="the acknowledgement")
    h2c.send_data(stream, b"", end=True)
    assert sum(map(int, h2c.finish(stream).text.split())) == 5


def test_large_header_block(h2c):
    """More than one frame: CONTINUATION."""
    headers = [("x-n-%d" % i, "v" * 300) for i in range(100)]
    echo = h2c.request(path="/echo", headers=headers).json
    assert fields_of(echo, "x-n-99") == ["v" * 300]


def test_head_too_large_is_refused(h2c):
    try:
        answer = h2c.request(path="/echo", headers=[("x-long", "y" * 70000)])
        assert answer.status == 431 or answer.reset is not None
    except clients.Closed:
        pass  # GOAWAY with ENHANCE_YOUR_CALM is an answer, too


def test_cancelled_stream_frees_the_service(h2c):
    def held():
        return "/hold/never-h2" in h2c.request(path="/stats").json["active"]
    stream = h2c.open(path="/hold/never-h2")
    harness.until("the service has the request", held)
    h2c.reset(stream)
    harness.until("the service lost it again", lambda: not held())
    assert h2c.request(path="/hello").status == 200


def test_service_dies_in_the_body(h2c):
    for query in ("", "&chunked=1"):
        stream = h2c.open(path="/die?size=1000000&after=5000" + query)
        answer = h2c.finish(stream)
        assert answer.reset is not None, "the cut body ended as if it were whole"
        assert len(answer.body) <= 5000
    assert h2c.request(path="/hello").status == 200


def test_service_dies_before_the_answer(h2c):
    answer = h2c.request("POST", "/die-before", body=b"x")
    assert answer.status == 502 and WEB in answer.text


REFUSED = {
    "connection-header": [("connection", "close")],
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "upgrade": [("upgrade", "websocket")],
    "te-gzip": [("te", "gzip")],
    "upper-case": [("X-Upper", "x")],
    "newline-in-value": [("x-a", "b\r\nx-injected: 1")],
    "newline-in-name": [("x-a\r\nx-injected", "1")],
    "nul-in-value": [("x-a", "b\0c")],
    "space-in-name": [("x a", "b")],
    "colon-in-name": [("x:a", "b")],
    "pseudo-after": [(":path", "/second")],
    "unknown-pseudo": [(":nonsense", "1")],
    "length-and-body-differ": [("content-length", "99")],
    "two-lengths": [("content-length", "1"), ("content-length", "2")],
    "host-differs": [("host", "other.example")],
}


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_refused(gate, kind):
    """RFC 9113 8.2, 8.3: malformed, so a stream error, and the service never sees it."""
    before = gate.get(WEB, "/stats").json["requests"]
    with gate.h2(WEB) as client:
        raw = [(":method", "GET"), (":scheme", "https"), (":authority", client.authority),
               (":path", "/smuggled"), *REFUSED[kind]]
        try:
            stream = client.open(raw=raw)
            client.until(lambda: stream.ended, 20)
            assert stream.answer.reset == h2.errors.ErrorCodes.PROTOCOL_ERROR, stream.answer
            assert stream.answer.status is None, stream.answer
        except clients.Closed:
            pass
    assert gate.get(WEB, "/stats").json["requests"] == before + 1, "it reached the service"


@pytest.mark.parametrize("missing", [":method", ":path", ":scheme", ":authority"])
def test_missing_pseudo_header(gate, missing):
    with gate.h2(WEB) as client:
        raw = [(n, v) for n, v in [(":method", "GET"), (":scheme", "https"),
                                   (":authority", client.authority), (":path", "/hello")]
               if n != missing]
        try:
            stream = client.open(raw=raw)
            client.until(lambda: stream.ended, 20)
            assert stream.answer.reset == h2.errors.ErrorCodes.PROTOCOL_ERROR, stream.answer
        except clients.Closed:
            pass


@pytest.mark.parametrize("path", ["", "hello", "/a b", "/a\x01", "*"])
def test_bad_path(gate, path):
    with gate.h2(WEB) as client:
        try:
            stream = client.open(path=path)
            client.until(lambda: stream.ended, 20)
            assert stream.answer.reset == h2.errors.ErrorCodes.PROTOCOL_ERROR, path
        except clients.Closed:
            pass


def test_host_is_looked_up_per_stream(gate):
    """One connection, two names of the certificate: both are served."""
    with gate.h2(WEB) as client:
        client.authority = "%s:%d" % (gate.host("beta-web"), gate.port)
        assert client.request(path="/hello").text == "hello from web-of-beta\n"
        client.authority = "%s:%d" % (gate.host("nobody-web"), gate.port)
        answer = client.request(path="/hello")
        assert (answer.status, answer.text) == (404, "tunnel: no route for host\n")


def test_rapid_resets_do_not_reach_far(gate):
    """CVE-2023-44487: a client that opens and resets for ever is cut off or
    held back; the gateway goes on serving others."""
    with gate.h2(WEB) as client:
        try:
            for _ in range(3000):
                client.reset(client.open(path="/hello"), h2.errors.ErrorCodes.CANCEL)
                client.streams.clear()
                client.pump(0)
                if client.channel.eof or client.goaway is not None:
                    break
        except (clients.ClientError, h2.exceptions.H2Error, OSError):
            pass  # cut off: as good
    assert gate.get(WEB, "/hello").status == 200


def test_garbage_after_the_preface(gate):
    channel = clients.Channel(gate.port, gate.host(WEB), ca=gate.ca, alpn=["h2"])
    channel.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100)
    channel.wait_closed(30)
    channel.close()
    assert gate.get(WEB, "/hello", http="h2").status == 200


def test_curl_http2(gate):
    code, out, err = gate.curl("--http2", "-w", "%{http_version} %{http_code}",
                               gate.url(WEB, "/hello"))
    assert (code, out) == (0, b"hello from web-of-alpha\n2 200"), err
    code, out, err = gate.curl("--http2", "--data-binary", "@/etc/services",
                               gate.url(WEB, "/sink"))
    with open("/etc/services", "rb") as f:
        assert json.loads(out)["sha256"] == hashlib.sha256(f.read()).hexdigest(), err


@pytest.mark.skipif(not shutil.which("nghttp"), reason="nghttp (nghttp2-client) is not installed")
def test_nghttp(gate):
    # It resolves names by getaddrinfo, which need not know *.localhost.
    def nghttp(*options):
        return subprocess.run(
            ["nghttp", *options, "--no-verify-peer",
             "-H", ":authority: %s:%d" % (gate.host(WEB), gate.port),
             "https://127.0.0.1:%d/hello" % gate.port],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False, text=True)
    plain = nghttp()
    assert (plain.returncode, plain.stdout) == (0, "hello from web-of-alpha\n")
    # With -v the body has what is said of its frames in between.
    told = nghttp("-v")
    assert told.returncode == 0 and ":status: 200" in told.stdout, told.stdout
    assert "SETTINGS_ENABLE_CONNECT_PROTOCOL(0x08):1" in told.stdout
