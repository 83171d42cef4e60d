"""Messages that OpenSSL deals with by itself, before SSL_read returns or in the middle of SSL_write."""
import contextlib
import os
import re
import signal
import ssl

import pytest

import h2wire
import harness
from clients import Http1
from rawservice import RawService
from service_edge import SANITIZED, ServiceEdge, make_cert
from test_bad_upstreams import stop_gateway
from tlsrecords import HANDSHAKE, Records, Service

pytestmark = pytest.mark.release

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
MIB = 1 << 20
FLOODS = {
    "renegotiation": (V12, lambda client: client.renegotiation()),
    "key-update-requested": (V13, lambda client: client.key_update(requested=True)),
    "key-update": (V13, lambda client: client.key_update(requested=False)),
}


def reply(peer, head):
    if head.startswith("GET /wait"):
        peer.wait_gone()
        return peer.CLOSE
    size = int((re.search(r"(?i)content-length: *(\d+)", head) or [0, 0])[1])
    while size > 0:
        size -= len(peer.read_exact(min(size, 65536)))
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return peer.STAY


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """One worker: whoever holds it up holds up everybody."""
    log = tmp_path_factory.mktemp("tls-flood") / "access.log"
    with RawService(reply) as service, \
            ServiceEdge(["raw=%d" % service.port], limits={"access_log": log}) as instance:
        instance.access = log
        yield instance


def connect(edge, version, **keys):
    return Records(edge.port, edge.host("raw"), version, **keys)


def ask(edge, line, more=""):
    return ("%s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (line, edge.host("raw"), more)).encode()


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_tls_itself_ends_its_connection(edge, kind):
    """With a request under way, so that nothing but the flood itself is in the way of reading."""
    version, message = FLOODS[kind]
    refusals = edge.access.read_text().count('"reason":"tls"') if edge.access.exists() else 0
    with Http1(edge.port, edge.host("raw"), ca=edge.ca) as other, \
            connect(edge, version, small=True) as client:
        assert other.request(path="/").status == 200
        before = harness.rss_bytes(edge.gateway)
        client.sock.sendall(client.data(ask(edge, "GET /wait")))
        flood = b"".join(message(client) for _ in range(20000))
        with contextlib.suppress(ConnectionError):
            client.sock.sendall(flood)
        assert other.request(path="/").status == 200
        # A few dozen answers of about 30 bytes, and the session tickets.
        assert client.count_until_end() < 8192
        grown = harness.rss_bytes(edge.gateway) - before
    assert SANITIZED or grown < 2 * MIB, "the gateway grew by %d KiB" % (grown // 1024)
    harness.until("a line about it", lambda: edge.access.read_text().count('"reason":"tls"') > refusals)


def test_key_updates_among_data_are_no_flood(edge):
    """200 in 13 MB, each answered, as a client may change its keys: the request is served."""
    piece, count = 65536, 200
    with connect(edge, V13) as client:
        head = "Content-Length: %d\r\nConnection: close\r\n" % (piece * count)
        client.sock.sendall(client.data(ask(edge, "POST /", head)))
        for _ in range(count):
            client.sock.sendall(b"".join(client.data(b"x" * 16384) for _ in range(piece // 16384))
                                + client.key_update(requested=True))
        client.count_until_end()
    harness.until("a line about it", lambda: '"in":%d' % (piece * count) in edge.access.read_text())
    line = [s for s in edge.access.read_text().splitlines() if '"method":"POST"' in s][-1]
    assert '"status":200' in line and '"aborted"' not in line, line


def test_half_a_key_update_of_a_service_takes_no_bytes_of_the_client(tmp_path):
    """Behind half a message SSL_write reads for the rest of it. What then lay ready for decryption
    was the client's: its next record could not be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    make_cert(tmp_path, "service", "DNS:localhost", ca=None)
    context.load_cert_chain(tmp_path / "service.pem", tmp_path / "service.key")

    def talk(peer):
        service = Service(peer.sock, context)
        interim = service.data(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        service.sock.sendall(interim + service.record(HANDSHAKE, b"\x18\0\0\x01"))
        peer.wait_gone()

    with RawService(talk=talk) as half, RawService(reply) as whole, \
            ServiceEdge(["half=https-insecure:%d" % half.port, "raw=%d" % whole.port]) as edge, \
            h2wire.Wire(edge.port, edge.host("half"), ca=edge.ca, path="/", post="/") as w:
        w.start()
        w.headers(1, w.post())
        w.until(lambda: w.stream(1).heads, "the interim answer")
        assert dict(w.stream(1).heads[0])[":status"] == "103"
        stop_gateway(edge)
        for _ in range(12):
            w.data(1, b"x" * 16384)
        w.channel.flush()
        os.kill(edge.gateway, signal.SIGCONT)
        w.until(lambda: w.stream(1).reset or w.stream(1).ended, "the end of the stream")
        w.alive()
