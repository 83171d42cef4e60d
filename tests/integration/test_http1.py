"""HTTP/1.1 through the gateway: framing, forwarding, keep-alive, refusals."""
import hashlib
import json
import os
import signal
import socket

import pytest

import backend
import clients
import harness

WEB = "alpha-web"


def fields_of(echo, name):
    return [v for n, v in echo["headers"] if n.lower() == name.lower()]


@pytest.fixture
def h1(gate):
    with gate.h1(WEB) as client:
        yield client


def test_small_request(h1):
    answer = h1.request(path="/hello")
    assert (answer.version, answer.status, answer.text) == ("HTTP/1.1", 200,
                                                            "hello from web-of-alpha\n")


def test_keep_alive_serves_many_requests(h1):
    for i in range(50):
        answer = h1.request("POST", "/echo?%d" % i, body=b"x" * i)
        assert answer.json["size"] == i
        assert answer.json["target"] == "/echo?%d" % i


def test_connection_close_is_obeyed(h1):
    answer = h1.request(path="/hello", headers=[("Connection", "close")])
    assert answer.status == 200
    assert h1.channel.wait_closed(20) == b""


def test_http_1_0_client(gate):
    with gate.h1(WEB) as client:
        client.send("GET /hello HTTP/1.0\r\nHost: %s\r\n\r\n" % client.authority)
        answer = client.read_answer()
        assert (answer.status, answer.text) == (200, "hello from web-of-alpha\n")
        client.channel.wait_closed(20)
    with gate.h1(WEB) as client:  # no chunks for who cannot read them
        client.send("GET /chunked?sizes=10,20 HTTP/1.0\r\nHost: %s\r\n\r\n" % client.authority)
        answer = client.read_answer()
        assert answer.get("transfer-encoding") is None
        assert len(answer.body) == 30


def test_requests_reuse_upstream_connections(gate):
    with gate.h1(WEB) as client:
        first = client.request("POST", "/echo", body=b"1").json["connection"]
        numbers = {client.request("POST", "/echo", body=b"1").json["connection"]
                   for _ in range(20)}
    assert numbers == {first}


def test_pipelined_requests_are_answered_in_order(h1):
    for i in range(10):
        h1.send("GET /echo?%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (i, h1.authority))
    for i in range(10):
        assert h1.read_answer().json["target"] == "/echo?%d" % i


def test_pipelined_behind_a_post_body(h1):
    body = b"GET /not-a-request HTTP/1.1\r\n\r\n"
    h1.send(b"POST /echo?a HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s"
            b"GET /echo?b HTTP/1.1\r\nHost: %s\r\n\r\n"
            % (h1.authority.encode(), len(body), body, h1.authority.encode()))
    assert h1.read_answer().json["body"] == body.decode()
    assert h1.read_answer().json["target"] == "/echo?b"


def test_a_byte_at_a_time(h1):
    for byte in b"POST /echo HTTP/1.1\r\nHost: %s\r\nContent-Length: 3\r\n\r\nabc" % (
            h1.authority.encode()):
        h1.send(bytes([byte]))
        h1.channel.flush()
    assert h1.read_answer().json["body"] == "abc"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
                                    "PROPFIND", "QUERY"])
def test_methods_pass(h1, method):
    body = None if method in ("GET", "OPTIONS") else b"body of " + method.encode()
    echo = h1.request(method, "/echo", body=body).json
    assert echo["method"] == method
    assert echo["body"] == (body or b"").decode()


def test_body_of_get_passes(h1):
    assert h1.request("GET", "/echo", body=b"odd but legal").json["body"] == "odd but legal"


def test_target_is_passed_untouched(h1):
    for target in ("/echo?a=b&a=c&%2F=%00", "/echo/../echo", "/echo//x/./%7e?", "/echo/;p=1?q",
                   "/echo?" + "q" * 4000):
        assert h1.request(path=target).json["target"] == target


def test_absolute_form(h1):
    h1.send("GET http://%s/echo?abs HTTP/1.1\r\nHost: %s\r\n\r\n" % (h1.authority, h1.authority))
    answer = h1.read_answer()
    assert answer.status == 200 and answer.json["target"].endswith("/echo?abs")


# --- answers ------------------------------------------------------------------

def test_head_stays_head(h1):
    answer = h1.request("HEAD", "/file?size=12345")
    assert (answer.status, answer.get("content-length"), answer.body) == (200, "12345", b"")
    assert h1.request(path="/hello").status == 200  # the connection is still in step


def test_status_without_body(h1):
    for code in (204, 304):
        answer = h1.request(path="/status/%d" % code)
        assert (answer.status, answer.get("x-kept")) == (code, "yes")
        assert answer.get("transfer-encoding") is None
    assert h1.request(path="/hello").status == 200


@pytest.mark.parametrize("code", [200, 201, 301, 400, 401, 404, 418, 500, 502, 503, 599])
def test_status_passes(h1, code):
    answer = h1.request(path="/status/%d" % code)
    assert (answer.status, answer.text) == (code, "status %d\n" % code)


def test_redirect_is_not_followed_or_rewritten(h1):
    answer = h1.request(path="/redirect?to=http://127.0.0.1:3000/x")
    assert (answer.status, answer.get("location")) == (302, "http://127.0.0.1:3000/x")


def test_repeated_headers_stay_apart(h1):
    answer = h1.request(path="/multi")
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert answer.all("link") == ["</a>; rel=x", "</b>; rel=y"]
    assert answer.get("x-latin") == "caf\xe9"


def test_encoded_body_is_not_touched(h1):
    answer = h1.request(path="/gzip")
    assert answer.get("content-encoding") == "gzip"
    assert answer.get("content-length") == "5000"
    assert answer.body == backend.pattern(0, 5000)
    assert h1.request(path="/echo").json and not fields_of(
        h1.request(path="/echo").json, "accept-encoding")


def test_range(h1):
    answer = h1.request(path="/file?size=100000", headers=[("Range", "bytes=500-1499")])
    assert (answer.status, answer.get("content-range")) == (206, "bytes 500-1499/100000")
    assert answer.body == backend.pattern(500, 1000)
    answer = h1.request(path="/file?size=100", headers=[("Range", "bytes=500-")])
    assert (answer.status, answer.get("content-range")) == (416, "bytes */100")
    answer = h1.request(path="/file", headers=[("If-None-Match", '"v1"')])
    assert (answer.status, answer.get("etag"), answer.body) == (304, '"v1"', b"")


def test_answer_in_chunks(h1):
    answer = h1.request(path="/chunked?sizes=1,10,1000,70000,3")
    assert answer.body == backend.pattern(0, 71014)
    assert h1.request(path="/hello").status == 200


def test_answer_until_close(h1):
    answer = h1.request(path="/until-close?size=100000")
    assert answer.body == backend.pattern(0, 100000)


def test_answer_trailers(h1):
    answer = h1.request(path="/trailers", headers=[("TE", "trailers")])
    assert answer.text == "with trailers\n"
    assert [(n.lower(), v) for n, v in answer.trailers] == [("x-checksum", "abc123"),
                                                           ("x-second", "two")]


def test_early_hints(h1):
    answer = h1.request(path="/early-hints")
    hints = [(s, dict((n.lower(), v) for n, v in f)) for s, f in answer.informational]
    assert hints == [(103, {"link": "</style.css>; rel=preload"}),
                     (103, {"link": "</two.css>; rel=preload"})]
    assert answer.text == "hinted\n"


# --- request bodies ---------------------------------------------------------------

def test_chunked_request_with_trailers(h1):
    pieces = [b"a" * 10, b"b" * 70000, b"c"]
    answer = h1.request("POST", "/sink", body=pieces, trailers=[("X-Sum", "42")],
                        headers=[("Trailer", "X-Sum")])
    assert answer.json["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert [[n.lower(), v] for n, v in answer.json["trailers"]] == [["x-sum", "42"]]


def test_content_length_request(h1):
    body = bytes(range(256)) * 8000
    answer = h1.request("PUT", "/sink", body=body)
    assert answer.json == {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body),
                           "trailers": [], "framing": str(len(body))}


def test_chunk_extensions_are_accepted(h1):
    h1.send("POST /echo HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3;name=value\r\nabc\r\n0\r\n\r\n" % h1.authority)
    assert h1.read_answer().json["body"] == "abc"


def test_expect_continue(h1):
    h1.send_head("POST", "/expect", [("Expect", "100-continue"), ("Content-Length", "5")])
    h1.channel.until(lambda: b"\r\n\r\n" in h1.channel.inbox, what="100 Continue")
    assert bytes(h1.channel.inbox).startswith(b"HTTP/1.1 100")
    h1.send("abcde")
    answer = h1.read_answer()
    assert [s for s, _ in answer.informational] == [100]
    assert answer.json["size"] == 5


def test_expect_refused(h1):
    h1.send_head("POST", "/expect?refuse=1", [("Expect", "100-continue"),
                                              ("Content-Length", "1000000")])
    answer = h1.read_answer()
    assert (answer.status, answer.text, answer.informational) == (417, "no thanks\n", [])


def test_answer_before_the_body_is_sent(h1):
    """A service may answer while the client still has everything to send."""
    h1.send_head("POST", "/upload-ack", [("Transfer-Encoding", "chunked")])
    answer = h1.read_head()
    assert answer.status == 200
    h1.send("5\r\nhello\r\n")

    def acknowledged():  # piece by piece, as they reached the service
        rows = bytes(h1.channel.inbox).split(b"\r\n")[1::2]
        return sum(int(row) for row in rows if row.endswith(b"\n")) == 5

    h1.channel.until(acknowledged, what="the acknowledgement")
    h1.send("0\r\n\r\n")
    assert sum(int(row) for row in h1.read_body(answer).text.splitlines()) == 5


# --- headers ---------------------------------------------------------------------

def test_forwarding_headers(gate, h1):
    lies = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Port", "1"),
            ("Forwarded", "for=6.6.6.6;host=evil.example")]
    for headers in ([], lies):
        echo = h1.request(path="/echo", headers=headers).json
        assert fields_of(echo, "host") == [h1.authority]
        assert fields_of(echo, "x-forwarded-for") == ["127.0.0.1"]
        assert fields_of(echo, "x-forwarded-proto") == ["https"]
        assert fields_of(echo, "x-forwarded-port") == [str(gate.port)]
        [host] = fields_of(echo, "x-forwarded-host")
        assert host in (gate.host(WEB), h1.authority)
        [forwarded] = fields_of(echo, "forwarded")
        parts = dict(p.split("=", 1) for p in forwarded.replace(" ", "").split(";"))
        assert parts["for"].strip('"') == "127.0.0.1"
        assert parts["proto"] == "https"
        assert parts["host"].strip('"') in (gate.host(WEB), h1.authority)


def test_hop_by_hop_headers_of_the_request(h1):
    echo = h1.request(path="/echo", headers=[
        ("Connection", "keep-alive, X-Private"), ("X-Private", "secret"),
        ("Keep-Alive", "timeout=9"), ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eDp5"), ("TE", "gzip"), ("Upgrade", "h2c"),
        ("X-Public", "yes"), ("Authorization", "Bearer kept")]).json
    for name in ("x-private", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"):
        assert not fields_of(echo, name), (name, echo["headers"])
    assert all("gzip" not in v for v in fields_of(echo, "te"))
    assert fields_of(echo, "x-public") == ["yes"]
    assert fields_of(echo, "authorization") == ["Bearer kept"]


def test_connection_cannot_take_protected_headers_away(h1):
    """`Connection: Host, X-Forwarded-For` must not strip what the gateway sets."""
    answer = h1.request(path="/echo", headers=[
        ("Connection", "X-Forwarded-For, X-Forwarded-Proto, Host")])
    if answer.status == 400:
        return
    assert fields_of(answer.json, "x-forwarded-for") == ["127.0.0.1"]
    assert fields_of(answer.json, "x-forwarded-proto") == ["https"]
    assert fields_of(answer.json, "host")


def test_hop_by_hop_headers_of_the_answer(h1):
    answer = h1.request(path="/hop")
    assert answer.get("x-stays") == "yes"
    for name in ("x-secret-hop", "proxy-connection", "keep-alive"):
        assert answer.get(name) is None, answer
    assert h1.request(path="/hello").status == 200


def test_many_and_long_headers(h1):
    headers = [("X-N-%d" % i, "v%d" % i) for i in range(100)] + [("X-Long", "y" * 8000)]
    echo = h1.request(path="/echo", headers=headers).json
    assert fields_of(echo, "x-n-99") == ["v99"] and fields_of(echo, "x-long") == ["y" * 8000]


def test_head_too_large_is_431(h1):
    h1.send_head("GET", "/echo", [("X-Long", "y" * 70000)])
    assert h1.read_head().status == 431


def test_target_too_long_is_414(h1):
    h1.send_head("GET", "/echo?" + "q" * 20000)
    assert h1.read_head().status == 414


# --- what must be refused ------------------------------------------------------------

HOST = "Host: {host}\r\n"
REFUSED = {
    "cl-and-te": "POST /echo HTTP/1.1\r\n" + HOST
                 + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-content-lengths": "POST /echo HTTP/1.1\r\n" + HOST
                           + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "content-length-list": "POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: 5, 6\r\n\r\nabcdef",
    "content-length-plus": "POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: +5\r\n\r\nabcde",
    "content-length-hex": "POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: 0x5\r\n\r\nabcde",
    "content-length-negative": "POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: -1\r\n\r\n",
    "content-length-huge": "POST /echo HTTP/1.1\r\n" + HOST
                           + "Content-Length: 99999999999999999999999\r\n\r\n",
    "te-not-chunked": "POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: xchunked\r\n\r\n",
    "te-chunked-not-last": "POST /echo HTTP/1.1\r\n" + HOST
                           + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "te-twice": "POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-in-1.0": "POST /echo HTTP/1.0\r\n" + HOST
                 + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": "GET /echo HTTP/1.1\r\n" + HOST + "X-A: b\r\n  folded\r\n\r\n",
    "space-before-colon": "GET /echo HTTP/1.1\r\n" + HOST + "X-A : b\r\n\r\n",
    "space-before-name": "GET /echo HTTP/1.1\r\n X-A: b\r\n" + HOST + "\r\n",
    "bare-lf": "GET /echo HTTP/1.1\n" + "Host: {host}\n\n",
    "bare-cr-in-value": "GET /echo HTTP/1.1\r\n" + HOST + "X-A: b\rc\r\n\r\n",
    "bare-lf-in-value": "GET /echo HTTP/1.1\r\n" + HOST + "X-A: b\nX-B: c\r\n\r\n",
    "nul-in-value": "GET /echo HTTP/1.1\r\n" + HOST + "X-A: b\0c\r\n\r\n",
    "no-colon": "GET /echo HTTP/1.1\r\n" + HOST + "nonsense\r\n\r\n",
    "empty-name": "GET /echo HTTP/1.1\r\n" + HOST + ": value\r\n\r\n",
    "bad-name": "GET /echo HTTP/1.1\r\n" + HOST + "X(A): b\r\n\r\n",
    "no-host": "GET /echo HTTP/1.1\r\n\r\n",
    "two-hosts": "GET /echo HTTP/1.1\r\n" + HOST + HOST + "\r\n",
    "bad-host": "GET /echo HTTP/1.1\r\nHost: a b\r\n\r\n",
    "bad-port": "GET /echo HTTP/1.1\r\nHost: {name}:99999\r\n\r\n",
    "host-userinfo": "GET /echo HTTP/1.1\r\nHost: x@{host}\r\n\r\n",
    "host-against-target": "GET http://other.example/ HTTP/1.1\r\n" + HOST + "\r\n",
    "bad-version": "GET /echo HTTP/1.9x\r\n" + HOST + "\r\n",
    "version-2": "GET /echo HTTP/2.0\r\n" + HOST + "\r\n",
    "space-in-target": "GET /echo a HTTP/1.1\r\n" + HOST + "\r\n",
    "control-in-target": "GET /echo\x01 HTTP/1.1\r\n" + HOST + "\r\n",
    "relative-target": "GET echo HTTP/1.1\r\n" + HOST + "\r\n",
    "bad-method": "G@T /echo HTTP/1.1\r\n" + HOST + "\r\n",
    "connect": "CONNECT {host} HTTP/1.1\r\n" + HOST + "\r\n",
    "garbage": "\x16\x03\x01nonsense\r\n\r\n",
}


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_refused(gate, kind):
    """Answered with an error or dropped, the connection ended, and never a byte
    of it at the service."""
    before = gate.get(WEB, "/stats").json["requests"]
    with gate.h1(WEB) as client:
        text = REFUSED[kind].format(host=client.authority, name=gate.host(WEB))
        smuggled = "GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n" % client.authority
        client.send(text + smuggled)
        try:
            answer = client.read_answer(timeout=20)
            allowed = (400, 404, 405, 421, 501, 505)
            assert answer.status in allowed, (kind, answer)
        except clients.Closed:
            pass
        client.channel.wait_closed(20)
        assert b"HTTP/1.1 2" not in client.channel.inbox
    assert gate.get(WEB, "/stats").json["requests"] == before + 1, "it reached the service"


CHUNKS = {
    "bad-size": "zz\r\nabc\r\n0\r\n\r\n",
    "size-overflow": "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "size-with-0x": "0x3\r\nabc\r\n0\r\n\r\n",
    "size-negative": "-3\r\nabc\r\n0\r\n\r\n",
    "bare-lf-after-size": "3\nabc\r\n0\r\n\r\n",
    "no-crlf-after-data": "3\r\nabcX0\r\n\r\n",
    "longer-than-said": "3\r\nabcdef\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("kind", sorted(CHUNKS))
def test_bad_chunks_are_refused(gate, kind):
    """The service may have seen the head; it must not see a whole request."""
    with gate.h1(WEB) as client:
        client.send("POST /sink HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n%s"
                    "GET /smuggled HTTP/1.1\r\nHost: %s\r\n\r\n"
                    % (client.authority, CHUNKS[kind], client.authority))
        try:
            answer = client.read_answer(timeout=20)
            assert answer.status >= 400, answer
        except clients.Closed:
            pass
        client.channel.wait_closed(20)
    assert gate.get(WEB, "/hello").status == 200


def test_lone_crlf_before_a_request_is_ignored(h1):
    h1.send("\r\nGET /hello HTTP/1.1\r\nHost: %s\r\n\r\n" % h1.authority)
    assert h1.read_answer().status == 200


def test_host_with_case_port_and_dot(gate):
    for authority in (gate.host(WEB).upper(), gate.host(WEB) + ".", gate.host(WEB) + ":1234",
                      gate.host(WEB) + ":"):
        with gate.h1(WEB, authority=authority) as client:
            assert client.request(path="/hello").status == 200, authority


# --- services that misbehave ------------------------------------------------------------

def test_service_dies_in_the_body(gate):
    for query in ("", "&chunked=1"):
        with gate.h1(WEB) as client:
            with pytest.raises(clients.Closed) as caught:
                client.request(path="/die?size=1000000&after=5000" + query)
            assert len(caught.value.partial) <= 5000
    assert gate.get(WEB, "/hello").status == 200


def test_service_dies_before_the_answer(gate, h1):
    answer = h1.request("POST", "/die-before", body=b"x")
    assert answer.status == 502
    assert WEB in answer.text
    if (answer.get("connection") or "").lower() != "close":
        assert h1.request(path="/hello").status == 200
    assert gate.get(WEB, "/hello").status == 200


@pytest.mark.parametrize("what", ["text", "both", "two-lengths", "null", "huge-head"])
def test_service_answers_nonsense(gate, h1, what):
    answer = h1.request(path="/garbage?what=" + what)
    assert answer.status == 502, answer
    assert WEB in answer.text
    assert gate.get(WEB, "/hello").status == 200


def test_client_that_goes_away_frees_the_service(gate):
    def held():
        return "/hold/never-opened" in gate.get(WEB, "/stats").json["active"]
    with gate.h1(WEB) as client:
        client.send_head("GET", "/hold/never-opened")
        client.channel.flush()
        harness.until("the service has the request", held)
        client.channel.abort()
    harness.until("the service lost it again", lambda: not held())


def test_cleartext_says_http(make_wos):
    wos = make_wos(ssl={"enabled": False})
    wos.deploy(harness.shell_app(web=harness.python_service("plain")))
    wos.up("alpha")
    echo = wos.get(WEB, "/echo").json
    assert fields_of(echo, "x-forwarded-proto") == ["http"]
    assert fields_of(echo, "x-forwarded-port") == [str(wos.port)]


def test_half_closed_client_still_gets_its_answer(make_wos):
    """shutdown(SHUT_WR) after the request, as plain `nc` does. Cleartext only:
    TLS has no such half."""
    wos = make_wos(ssl={"enabled": False})
    wos.deploy(harness.shell_app(web=harness.python_service("plain")))
    wos.up("alpha")
    with wos.h1(WEB) as client:
        client.send_head("GET", "/hello")
        client.channel.flush()
        client.channel.sock.shutdown(socket.SHUT_WR)
        assert client.read_answer().status == 200


def test_clients_that_queue_are_all_served(gate, gateway_pid):
    """A turn accepts one of them, more where the queue stays; none is left in the kernel."""
    context, patience = clients.tls_context(gate.ca), 60
    os.kill(gateway_pid, signal.SIGSTOP)
    try:
        waiting = [socket.create_connection(("127.0.0.1", gate.port), patience) for _ in range(60)]
    finally:
        os.kill(gateway_pid, signal.SIGCONT)
    for raw in reversed(waiting):
        with context.wrap_socket(raw, server_hostname=gate.host(WEB)) as tls:
            tls.sendall(b"GET /hello HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n"
                        % (gate.host(WEB).encode(), gate.port))
            assert tls.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_curl_http1(gate):
    code, out, err = gate.curl("--http1.1", "-w", "%{http_version} %{http_code}",
                               gate.url(WEB, "/hello"))
    assert (code, out) == (0, b"hello from web-of-alpha\n1.1 200"), err
    code, out, err = gate.curl("--http1.1", "--data-binary", "@/etc/services", "-H",
                               "Expect: 100-continue", gate.url(WEB, "/sink"))
    with open("/etc/services", "rb") as f:
        assert json.loads(out)["sha256"] == hashlib.sha256(f.read()).hexdigest()
