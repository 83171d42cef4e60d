"""Services that speak TLS: verified (`backend: https`) or not (`insecure: true`)."""
import shutil
import socket
import ssl
import tempfile
import threading

import h2.events
import pytest

import harness
from clients import Closed
from service_edge import SANITIZED, ServiceEdge as Edge, make_ca, make_cert
from harness import Wos
from rawservice import H2Service, Peer, RawService, h2_answer

HEAD = b"HTTP/1.1 200 OK\r\n"
HTTP = ("h1", "h2")

# name: (alternative names, the CA that signed it; None: itself)
CERTS = {
    "localhost": ("DNS:localhost", "ca"),
    "ipv4": ("IP:127.0.0.1", "ca"),
    "ipv6": ("IP:0:0:0:0:0:0:0:1", "ca"),
    "wild": ("DNS:*.localhost", "ca"),
    "other": ("DNS:db.example.com", "ca"),
    "odd": ("DNS:<b>x</b>", "ca"),
    "self": ("DNS:localhost", None),
    "stranger": ("DNS:localhost", "strangers"),
}


def context_for(directory, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("%s/%s.pem" % (directory, name), "%s/%s.key" % (directory, name))
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.asked = None

    def on_name(sock, asked, own):
        own.asked = asked
    context.sni_callback = on_name
    return context


def reply(peer, head):
    path = head.split(" ")[1]
    if path == "/tls":
        sock = peer.sock
        body = repr((sock.version(), sock.selected_alpn_protocol(), sock.context.asked,
                     peer.number)).encode()
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    elif path == "/until-close":
        peer.send(HEAD + b"Connection: close\r\n\r\nall of it")
        peer.sock = peer.sock.unwrap()  # close_notify
        return Peer.CLOSE
    elif path == "/until-fin":
        peer.send(HEAD + b"Connection: close\r\n\r\nall of it?")
        return Peer.CLOSE
    elif path == "/die":
        if peer.requests > 1:
            return Peer.CLOSE
        peer.send(HEAD + b"Content-Length: 2\r\n\r\nok")
    else:
        size = int(head.lower().partition("content-length:")[2].split("\r\n")[0])
        body = peer.read_exact(size)
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % size + body)
    return None


def refuse_tls(peer):
    """What a plain HTTP/1 server says to a ClientHello."""
    peer.read_exact(1)
    peer.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    peer.wait_gone()


class Stage:
    def __init__(self, directory):
        self.directory = directory
        make_ca(directory, "ca")
        make_ca(directory, "strangers")
        self.services = {}
        for name, (alt, ca) in CERTS.items():
            make_cert(directory, name, alt, ca)
            self.services[name] = RawService(reply, context=context_for(directory, name))
        self.services["plain"] = RawService(talk=refuse_tls)
        # Connected to and never accepted: the handshake stalls.
        self.mute = socket.create_server(("127.0.0.1", 0))
        routes = ["%s=https:%d" % (n, s.port) for n, s in self.services.items()]
        routes += ["%s-insecure=https-insecure:%d" % (n, s.port)
                   for n, s in self.services.items()]
        self.edge = Edge(routes, ca=directory + "/ca.pem")
        self.hasty = Edge(["mute=https:%d" % self.mute.getsockname()[1]], ca=directory + "/ca.pem",
                          limits={"connect_timeout_ms": 700})
        self.bare = Edge(["localhost=https:%d" % self.services["localhost"].port])

    def close(self):
        for service in self.services.values():
            service.close()
        self.mute.close()


@pytest.fixture(scope="module")
def stage():
    with tempfile.TemporaryDirectory(prefix="wos-s-", dir="/tmp") as directory:
        own = Stage(directory)
        with own.edge, own.hasty, own.bare:
            yield own
        own.close()


@pytest.mark.parametrize("http", HTTP)
@pytest.mark.parametrize("name", ["localhost", "ipv4", "ipv6"])
def test_certificate_for_this_machine(stage, name, http):
    with stage.edge.open(name, http) as client:
        first = client.request("GET", "/tls")
        second = client.request("GET", "/tls")
    assert first.status == 200, first.text
    assert "TLSv1.3" in first.text and "'http/1.1', 'localhost'" in first.text
    assert first.text == second.text, "the connection is reused"


@pytest.mark.parametrize("name,why", [
    ("self", "certificate not trusted: self-signed certificate"),
    ("stranger", "certificate not trusted: "),
    ("other", "certificate is for db.example.com, not localhost"),
    ("wild", "certificate is for *.localhost, not localhost"),
    ("odd", "certificate is for ?b?x??b?, not localhost"),
    ("plain", "wrong version number"),
])
@pytest.mark.parametrize("http", HTTP)
def test_certificate_that_is_refused(stage, name, why, http):
    before = stage.services[name].connections
    answer = stage.edge.get(name, "/tls", http=http)
    assert answer.status == 502 and why in answer.text, answer.text
    answer = stage.edge.get(name, "/tls", http=http)
    assert answer.status == 502, "never by a kept connection"
    assert stage.services[name].connections == before + 2


@pytest.mark.parametrize("name", ["self", "stranger", "other", "localhost"])
def test_insecure_takes_any(stage, name):
    assert stage.edge.get(name + "-insecure", "/tls").status == 200


def test_insecure_and_checked_connections_are_kept_apart(stage):
    """One port, two routes: what was not checked never serves the one that has to be."""
    assert stage.edge.get("self-insecure", "/tls").status == 200
    assert stage.edge.get("self", "/tls").status == 502


def test_without_authorities_nobody_is_trusted(stage):
    answer = stage.bare.get("localhost", "/tls")
    assert answer.status == 502 and "no certificate authority" in answer.text


def test_handshake_that_stalls(stage):
    answer = stage.hasty.get("mute", "/tls")
    assert answer.status == 504 and "TLS handshake timed out" in answer.text


@pytest.mark.parametrize("http", HTTP)
def test_large_bodies(stage, http):
    body = bytes(range(256)) * 20000
    with stage.edge.open("localhost", http) as client:
        assert client.request("POST", "/echo", body=body).body == body


@pytest.mark.parametrize("http", HTTP)
def test_body_until_close(stage, http):
    """With close_notify it is whole; a FIN alone may be anybody's."""
    assert stage.edge.get("localhost", "/until-close", http=http).body == b"all of it"
    try:
        answer = stage.edge.get("localhost", "/until-fin", http=http)
        assert answer.reset is not None, answer
    except Closed:
        pass


def test_retry_over_tls(stage):
    with stage.edge.h1("localhost") as client:
        assert client.request("GET", "/die").status == 200
        assert client.request("GET", "/die").status == 200
        assert client.request("POST", "/die").status == 502


def test_many_at_once(stage):
    failed = []

    def ask():
        with stage.edge.h2("localhost") as client:
            streams = [client.open("GET", "/tls") for _ in range(20)]
            failed.extend(s.id for s in streams if client.finish(s).status != 200)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.release
def test_memory_of_streams_to_services_with_tls(stage):
    """docs/SECURITY.md says what a client connection holds that has all its streams at such services
    and leaves their answers for a while."""
    streams_max, bound, size = 128, 22 << 20, 1 << 18
    all_there = threading.Barrier(streams_max + 1, timeout=60)

    def answer_together(peer, head):
        all_there.wait()
        peer.send(HEAD + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
    context = context_for(stage.directory, "localhost")
    with RawService(answer_together, context=context) as service, \
            Edge(["slow=https:%d" % service.port], ca=stage.directory + "/ca.pem") as edge:
        with edge.h2("slow") as client:
            before = edge.rss()
            streams = [client.open("GET", "/") for _ in range(streams_max)]
            all_there.wait()
            assert all(len(client.finish(s).body) == size for s in streams)
        assert service.connections == streams_max
        grown = harness.rss_bytes(edge.gateway, peak=True) - before
        assert SANITIZED or grown < bound, "the gateway grew by %d bytes" % grown


def test_through_the_daemon():
    """The daemon hands the local CA over, so a service with a certificate of it is trusted; one
    with its own is not, until the route says insecure."""
    with tempfile.TemporaryDirectory(prefix="wos-s-", dir="/tmp") as directory, Wos() as wos:
        wos.ok("start")
        for name in ("ca.crt", "ca.key"):
            target = name.replace(".crt", ".pem")
            shutil.copy(wos.home / "certs" / name, "%s/%s" % (directory, target))
        make_cert(directory, "good", "DNS:localhost", "ca")
        make_cert(directory, "self", "DNS:localhost", None)
        with RawService(reply, context=context_for(directory, "good")) as good, \
                RawService(reply, context=context_for(directory, "self")) as own, \
                H2Service(answer_all) as h2c:
            wos.ok("publish", "good", str(good.port), "--backend", "https")
            wos.ok("publish", "own", str(own.port), "--backend", "https")
            wos.ok("publish", "grpc", str(h2c.port), "--backend", "h2c")
            assert wos.get("good", "/tls").status == 200
            assert wos.get("own", "/tls").status == 502
            assert wos.get("grpc", "/", http="h2").body == b"ok"
            wos.ok("publish", "own", str(own.port), "--backend", "https", "--insecure")
            assert wos.get("own", "/tls").status == 200


def answer_all(peer, event):
    if isinstance(event, h2.events.StreamEnded):
        h2_answer(peer, event.stream_id)
