"""The plain HTTP port that sends people to https, HSTS, and plain HTTP where TLS is spoken."""
import json
import os
import signal
import socket

import pytest

import clients
import conftest
import harness


@pytest.fixture(scope="module")
def edge():
    conftest.needs_binary()
    port = harness.free_port()
    instance = harness.Wos(tunnel={"redirectPort": port, "hsts": 31536000})
    instance.redirect_port = port
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web")))
        instance.up("alpha")
        yield instance
    finally:
        conftest.finish(instance)


def plain(port, data, wait=20):
    """Sends bytes; everything that comes until the end."""
    with socket.create_connection(("127.0.0.1", port), wait) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return s.makefile("rb").read()


def redirect(wos, method="GET", target="/", host="alpha-web.wos.localhost", address="127.0.0.1"):
    with clients.Http1(wos.redirect_port, host, address=address, authority=host) as client:
        return client.request(method, target)


# --- the redirect port ------------------------------------------------------------------

@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "FOO"])
def test_to_the_same_place_with_the_same_method(edge, method):
    answer = redirect(edge, method, "/a/b?c=d&e=%2F")
    assert answer.status == 308
    assert answer.get("location") == \
        "https://alpha-web.wos.localhost:%d/a/b?c=d&e=%%2F" % edge.port
    assert answer.get("strict-transport-security") is None
    assert answer.get("cache-control") == "no-store"


@pytest.mark.parametrize("target, path", [
    ("/", "/"), ("//evil.example/x", "//evil.example/x"), ("/\\evil", "/\\evil"),
    ("/@evil.example", "/@evil.example")])
def test_never_elsewhere(edge, target, path):
    answer = redirect(edge, target=target)
    assert answer.get("location") == "https://alpha-web.wos.localhost:%d%s" % (edge.port, path)


def test_only_for_names_of_ours(edge):
    ours = "https://%%s:%d/" % edge.port
    # With a route, without one but under the domain, in other letters, with any port.
    assert redirect(edge).get("location") == ours % "alpha-web.wos.localhost"
    assert redirect(edge, host="none.wos.localhost").get("location") == ours % "none.wos.localhost"
    assert redirect(edge, host="wos.localhost").get("location") == ours % "wos.localhost"
    assert redirect(edge, host="ALPHA-web.wos.LOCALHOST.:81").get("location") == \
        ours % "alpha-web.wos.localhost"
    for host in ("evil.example", "127.0.0.1", "[::1]", "localhost", "wos.localhost.evil.example",
                 "evilwos.localhost"):
        answer = redirect(edge, host=host)
        assert (answer.status, answer.get("location")) == (404, None), host


def test_the_usual_strictness(edge):
    """The same parser, and connections that are kept and closed as anywhere."""
    port = edge.redirect_port
    assert plain(port, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert plain(port, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert plain(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").startswith(
        b"HTTP/1.1 400 ")
    assert plain(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").split(b"\r\n")[0].split()[1] in (
        b"400", b"505")
    with clients.Http1(port, "alpha-web.wos.localhost") as client:
        for _ in range(3):
            assert client.request("GET", "/").status == 308
    got = plain(port, b"GET /old HTTP/1.0\r\nHost: wos.localhost\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 308 ") and b"\r\nconnection: close\r\n" in got


def test_bodies_are_not_read(edge):
    got = plain(edge.redirect_port,
                b"POST /x HTTP/1.1\r\nHost: alpha-web.wos.localhost\r\nContent-Length: 9\r\n\r\n"
                b"GET / HTTP/1.1\r\nHost: alpha-web.wos.localhost\r\n\r\n")
    assert got.count(b"HTTP/1.1 ") == 1 and got.startswith(b"HTTP/1.1 308 ")
    assert b"\r\nconnection: close\r\n" in got


def test_curl_follows(edge):
    names = ["--resolve", "alpha-web.wos.localhost:%d:127.0.0.1" % edge.redirect_port,
             "--resolve", "alpha-web.wos.localhost:%d:127.0.0.1" % edge.port]
    url = "http://alpha-web.wos.localhost:%d/hello" % edge.redirect_port
    assert edge.curl("-L", *names, url)[:2] == (0, b"hello from web\n")
    code, out, _ = edge.curl("-L", "-d", "kept", *names, url.replace("hello", "echo"))
    seen = json.loads(out)
    assert (code, seen["method"], seen["body"]) == (0, "POST", "kept")


def test_it_outlives_daemon_and_gateway(edge):
    assert edge.status_all()["tunnel"]["redirectPort"] == edge.redirect_port
    before = edge.gateway_pid()
    edge.ok("restart")
    assert redirect(edge).status == 308
    assert edge.gateway_pid() == before, "the same gateway, sockets and all"
    os.kill(before, signal.SIGKILL)
    harness.until("another gateway", lambda: edge.gateway_pid() not in (None, before))
    assert harness.until("it redirects", lambda: redirect(edge)).status == 308
    assert edge.get("alpha-web", "/hello").status == 200


def test_a_busy_port_stops_nothing(make_wos):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        wos = make_wos(tunnel={"redirectPort": port})
        wos.redirect_port = port
        wos.deploy(harness.shell_app(web=harness.python_service("web")))
        wos.up("alpha")
        assert wos.get("alpha-web", "/hello").status == 200
        tunnel = wos.status_all()["tunnel"]
        assert tunnel["state"] == "serving"
        sentence = "port %d is in use by another program; set tunnel.redirectPort" % port
        assert sentence in tunnel["redirectError"]
        assert sentence in wos.ok("status", "--all").out
        assert sentence in (wos.home / "daemon.log").read_text()
    # Once it is free it is taken, by the gateway that serves already.
    pid = wos.gateway_pid()
    answer = harness.until("the port is had", lambda: redirect(wos))
    assert answer.status == 308
    assert wos.gateway_pid() == pid
    assert "redirectError" not in wos.status_all()["tunnel"]


def test_the_usual_port_is_not_written(make_wos):
    """URLs carry tunnel.publicPort, and 443 goes without saying. IPv6 too."""
    port = harness.free_port()
    wos = make_wos(tunnel={"redirectPort": port, "publicPort": 443})
    wos.redirect_port = port
    wos.ok("start")
    answer = harness.until("it redirects", lambda: redirect(wos, target="/x?y"))
    assert answer.get("location") == "https://alpha-web.wos.localhost/x?y"
    assert redirect(wos, address="::1").status == 308


def test_it_needs_tls(make_wos):
    wos = make_wos(ssl={"enabled": False}, tunnel={"redirectPort": harness.free_port()})
    wos.ok("start")
    problems = wos.status_all()["config"]["problems"]
    assert [p["key"] for p in problems] == ["tunnel.redirectPort"]
    assert "needs tunnel.ssl.enabled" in problems[0]["message"]


# --- HSTS --------------------------------------------------------------------------------

def test_every_answer_over_tls_has_it(edge, http):
    for path, status in (("/hello", 200), ("/status/503", 503), ("/status/204", 204)):
        answer = edge.get("alpha-web", path, http=http)
        assert (answer.status, answer.all("strict-transport-security")) == \
            (status, ["max-age=31536000"])
    answer = edge.get("none", "/", http=http)
    assert (answer.status, answer.all("strict-transport-security")) == (404, ["max-age=31536000"])


def test_answers_of_the_gateway_itself(edge):
    with edge.h1("alpha-web") as client:
        client.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        answer = client.read_answer("GET")
        assert (answer.status, answer.get("strict-transport-security")) == \
            (400, "max-age=31536000")


def test_the_services_own_wins(edge, http):
    answer = edge.get("alpha-web", "/fields?strict-transport-security=max-age%3D5", http=http)
    own = answer.all("strict-transport-security")
    assert own == ["max-age=5"], answer


# --- plain HTTP on the TLS port ----------------------------------------------------------

@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD", b"PUT"])
def test_plain_http_is_told(edge, method):
    got = plain(edge.port, method + b" /x HTTP/1.1\r\nHost: alpha-web.wos.localhost\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n"), got
    head = got.split(b"\r\n\r\n")[0].lower()
    assert b"\r\nconnection: close" in head
    assert b"location" not in head and b"strict-transport-security" not in head
    assert got.endswith(b"a plain HTTP request was sent to an HTTPS port\n")


def test_curl_is_told(edge):
    code, out, err = edge.curl("http://127.0.0.1:%d/" % edge.port)
    assert (code, out) == (0, b"a plain HTTP request was sent to an HTTPS port\n"), err


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"\0" * 64, b"\x80\x2e\x01\x03\x01",
                                  b"EHLO x\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 64])
def test_other_noise_gets_no_text(edge, data):
    with socket.create_connection(("127.0.0.1", edge.port), 20) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = s.makefile("rb").read()
    assert got[:1] in (b"", b"\x15"), got
