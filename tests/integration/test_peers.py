"""Who is at the other end: PROXY protocol headers and trusted proxies.

One gateway for the file. Peers are loopback addresses: 127.0.0.1 is anybody, .2 a proxy in
tunnel.trustedProxies, .3 one in tunnel.proxyProtocol. Routes are open to 203.0.113.0/24,
2001:db8::/32 and 127.0.0.1 only.
"""
import socket
import ssl
import struct

import pytest

import clients
import conftest
import harness

ANYBODY, TRUSTED, SENDER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TUNNEL = {"trustedProxies": ["127.0.0.2", "10.0.0.0/8", "fd00::/8"],
          "proxyProtocol": ["127.0.0.3"],
          "limits": {"handshakeTimeout": "1s"}}
OPEN_TO = {"whitelistIps": ["203.0.113.0/24", "2001:db8::/32", "127.0.0.1"]}


def serve(**keys):
    conftest.needs_binary()
    instance = harness.Wos(service_tunnels=OPEN_TO, **keys)
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web")))
        instance.up("alpha")
        yield instance
    finally:
        conftest.finish(instance)


@pytest.fixture(scope="module")
def edge():
    yield from serve(tunnel=TUNNEL)


@pytest.fixture(scope="module")
def plain_edge():
    """The same without TLS."""
    yield from serve(tunnel=TUNNEL, ssl={"enabled": False})


def v1(source="203.0.113.7", family=4):
    return b"PROXY TCP%d %s %s 56324 443\r\n" % (family, source.encode(),
                                                  b"198.51.100.2" if family == 4 else b"::1")


def v2(source="203.0.113.7", tlvs=b"", command=0x21, family=0x11):
    if command == 0x20:
        body = b""
    elif family == 0x21:
        body = socket.inet_pton(socket.AF_INET6, source) + bytes(16) + struct.pack(">HH", 1, 443)
    else:
        body = socket.inet_aton(source) + bytes(4) + struct.pack(">HH", 56324, 443)
    body += tlvs
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def echo(wos, http="h1", headers=(), **wire):
    """The fake's description of the request it got; lower-case names to lists."""
    answer = wos.get("alpha-web", "/echo", http=http, headers=headers) if not wire else None
    if wire:
        client = wos.h1("alpha-web", **wire) if http == "h1" else wos.h2("alpha-web", **wire)
        with client:
            answer = client.request("GET", "/echo", headers=headers)
    assert answer.status == 200, answer
    seen = {}
    for name, value in answer.json["headers"]:
        seen.setdefault(name.lower(), []).append(value)
    return seen


def status(wos, http="h1", headers=(), path="/hello", **wire):
    client = wos.h1("alpha-web", **wire) if http == "h1" else wos.h2("alpha-web", **wire)
    with client:
        return client.request("GET", path, headers=headers).status


# --- PROXY protocol -----------------------------------------------------------------

@pytest.mark.parametrize("header, source", [
    (v1(), "203.0.113.7"),
    (v1("2001:db8::7", 6), "2001:db8::7"),
    (v2(), "203.0.113.7"),
    (v2("2001:db8::7", family=0x21), "2001:db8::7"),
    (v2(tlvs=b"\x04\x00\x02zz\x02\x00\x09a.example"), "203.0.113.7"),
    (v1("::ffff:203.0.113.7", 6), "203.0.113.7"),
], ids=["v1", "v1-6", "v2", "v2-6", "v2-tlvs", "v1-mapped"])
def test_the_source_becomes_the_peer(edge, http, header, source):
    seen = echo(edge, http, source=SENDER, first=header)
    assert seen["x-forwarded-for"] == [source]
    node = '"[%s]"' % source if ":" in source else source
    assert seen["forwarded"][0].startswith("for=%s;host=" % node)


def test_it_counts_for_whitelists(edge, http):
    assert status(edge, http, source=SENDER, first=v1("203.0.113.200")) == 200
    assert status(edge, http, source=SENDER, first=v1("198.51.100.7")) == 403
    assert status(edge, http, source=SENDER, first=v2("198.51.100.7")) == 403


def test_without_an_address_the_sender_itself_counts(edge):
    for header in (b"PROXY UNKNOWN\r\n", v2(command=0x20), SIGNATURE + b"\x21\x00\x00\x00"):
        assert status(edge, source=SENDER, first=header) == 403


def test_a_checksum_is_verified(edge):
    tlv = b"\x03\x00\x04"
    whole = v2(tlvs=tlv + bytes(4))
    good = v2(tlvs=tlv + struct.pack(">I", crc32c(whole)))
    assert status(edge, source=SENDER, first=good) == 200
    assert closed_by(edge, v2(tlvs=tlv + b"abcd")) == b""


def test_a_source_in_the_list_of_trusted_proxies_is_one(edge):
    """Through a TCP balancer that speaks PROXY, from an HTTP proxy that is believed."""
    seen = echo(edge, source=SENDER, first=v1("10.0.0.9"),
                headers=[("X-Forwarded-For", "1.1.1.1, 203.0.113.9")])
    assert seen["x-forwarded-for"] == ["203.0.113.9, 10.0.0.9"]


def closed_by(wos, first, wait=20):
    """What a connection of the sender that begins so is given before it ends."""
    with socket.create_connection(("127.0.0.1", wos.port), wait, (SENDER, 0)) as s:
        s.sendall(first)
        got = b""
        try:
            while data := s.recv(4096):
                got += data
        except ConnectionResetError:
            pass
        return got


CLIENT_HELLO = bytes.fromhex("1603010005010000010303")


@pytest.mark.parametrize("first", [
    CLIENT_HELLO, b"GET / HTTP/1.1\r\nHost: alpha-web.wos.localhost\r\n\r\n",
    b"PROXY TCP4 203.0.113.7 198.51.100.2 56324 443\n", v1("203.0.113.07"), v1("unknown"),
    b"PROXY UNKNOWN " + b"x" * 100, v2(family=0x12), v2(command=0x31), v2(command=0x22),
    SIGNATURE + b"\x21\x11\xff\xff", v2(tlvs=b"\x04\x00\xffzz"),
], ids=["tls", "http", "lf", "zeros", "name", "long", "udp", "version", "command", "length",
        "tlv"])
def test_anything_else_from_a_sender_closes(edge, plain_edge, first):
    assert closed_by(edge, first) == b""
    assert closed_by(plain_edge, first) == b""


def test_the_reason_is_logged(edge):
    """At once, and then once a while."""
    assert closed_by(edge, v1("nobody")) == b""
    lines = [line for line in (edge.home / "gateway.log").read_text().splitlines()
             if "tunnel.proxyProtocol" in line]
    assert 1 <= len(lines) <= 10 and "peer=127.0.0.3" in lines[0] and "times=" in lines[0]


def test_a_header_that_does_not_come_in_time_closes(edge):
    """handshakeTimeout is one second here; the bytes that came do not put it off."""
    assert closed_by(edge, b"") == b""
    assert closed_by(edge, v1()[:-1]) == b""
    assert closed_by(edge, v2()[:20]) == b""
    # … and so has TLS after it.
    assert closed_by(edge, v1()) == b""


def test_a_header_may_come_in_pieces_and_with_more(edge, plain_edge):
    with socket.create_connection(("127.0.0.1", plain_edge.port), 20, (SENDER, 0)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in v1():
            s.sendall(bytes([byte]))
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: alpha-web.wos.localhost\r\n"
                  b"Connection: close\r\n\r\n")
        assert s.makefile("rb").read().endswith(b"hello from web\n")
    for wos, context in ((plain_edge, None), (edge, clients.tls_context(edge.ca))):
        request = (b"GET /hello HTTP/1.1\r\nHost: alpha-web.wos.localhost\r\n"
                   b"Connection: close\r\n\r\n")
        with socket.create_connection(("127.0.0.1", wos.port), 20, (SENDER, 0)) as s:
            if context is None:
                s.sendall(v2() + request)
                assert s.makefile("rb").read().endswith(b"hello from web\n")
                continue
            # The ClientHello in the same segment as the header.
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="alpha-web.wos.localhost")
            first = v2()
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    s.sendall(first + outgoing.read())
                    first = b""
                    incoming.write(s.recv(1 << 16))
            tls.write(request)
            s.sendall(outgoing.read())
            got = b""
            while b"hello from web\n" not in got:
                try:
                    got += tls.read(1 << 16)
                except ssl.SSLWantReadError:
                    data = s.recv(1 << 16)
                    assert data, got
                    incoming.write(data)
            assert got.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("first", [v1(), v2()], ids=["v1", "v2"])
def test_from_anybody_else_a_header_is_garbage(edge, plain_edge, first):
    with socket.create_connection(("127.0.0.1", edge.port), 20) as s:
        s.sendall(first)
        got = s.recv(4096)
        assert got[:1] in (b"\x15", b""), got  # an alert
    with socket.create_connection(("127.0.0.1", plain_edge.port), 20) as s:
        s.sendall(first + b"\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_curl_sends_one(edge):
    """curl --haproxy-protocol tells its own address."""
    code, out, err = edge.curl("--haproxy-protocol", "--interface", SENDER, "-o", "-",
                               "--resolve", "alpha-web.wos.localhost:%d:127.0.0.1" % edge.port,
                               "-w", "%{http_code}", edge.url("alpha-web", "/hello"))
    assert (code, out[-3:]) == (0, b"403"), err


@pytest.mark.parametrize("send", ["send-proxy", "send-proxy-v2",
                                  "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl"])
def test_haproxy_in_front(edge, send):
    """A balancer that passes TLS through and says who its client is."""
    port = harness.free_port()
    config = edge.dir / ("haproxy-%d.cfg" % port)
    config.write_text("\n".join([
        "defaults", "  mode tcp", "  timeout connect 10s", "  timeout client 60s",
        "  timeout server 60s", "frontend f", "  bind 127.0.0.1:%d" % port,
        "  unique-id-format %ci-%cp", "  default_backend b", "backend b",
        "  source %s" % SENDER, "  server s 127.0.0.1:%d %s" % (edge.port, send), ""]))
    edge.start(["haproxy", "-db", "-f", config], ready_port=port)
    for http in ("h1", "h2"):
        open_it = clients.Http1 if http == "h1" else clients.Http2
        with open_it(port, "alpha-web.wos.localhost", ca=edge.ca) as client:
            answer = client.request("GET", "/echo")
            assert answer.status == 200, answer
            seen = {n.lower(): v for n, v in answer.json["headers"]}
            assert seen["x-forwarded-for"] == "127.0.0.1"
        # 127.0.0.1 is in the whitelist; what haproxy sees as its client is what counts.
        with open_it(port, "alpha-web.wos.localhost", ca=edge.ca, source="127.0.0.9") as client:
            assert client.request("GET", "/hello").status == 403


# --- trusted proxies ----------------------------------------------------------------

def test_a_trusted_proxy_is_believed(edge, http):
    seen = echo(edge, http, source=TRUSTED, headers=[
        ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "shown.example:8080"), ("X-Forwarded-Port", "8080")])
    assert seen["x-forwarded-for"] == ["203.0.113.7, 127.0.0.2"]
    assert seen["x-forwarded-proto"] == ["http"]
    assert seen["x-forwarded-host"] == ["shown.example:8080"]
    assert seen["x-forwarded-port"] == ["8080"]
    assert seen["forwarded"] == [
        'for=203.0.113.7;host="shown.example:8080";proto=http, for=127.0.0.2']


def test_a_proxy_that_ends_tls_for_us(plain_edge):
    """Clear text between it and us; the service hears what the client spoke."""
    fields = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")]
    seen = echo(plain_edge, source=TRUSTED, headers=fields)
    assert seen["x-forwarded-proto"] == ["https"]
    assert seen["forwarded"][0].startswith("for=203.0.113.7;") and "proto=https" in \
        seen["forwarded"][0]
    seen = echo(plain_edge, headers=fields)
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == (["127.0.0.1"], ["http"])


def test_what_its_client_wrote_is_not(edge, http):
    seen = echo(edge, http, source=TRUSTED,
                headers=[("X-Forwarded-For", "1.1.1.1, 203.0.113.7, 10.0.0.3")])
    assert seen["x-forwarded-for"] == ["203.0.113.7, 10.0.0.3, 127.0.0.2"]
    assert status(edge, http, source=TRUSTED,
                  headers=[("X-Forwarded-For", "203.0.113.7, 198.51.100.1")]) == 403
    assert status(edge, http, source=TRUSTED,
                  headers=[("X-Forwarded-For", "198.51.100.1, 203.0.113.7")]) == 200


def test_forwarded_is_believed_too(edge, http):
    seen = echo(edge, http, source=TRUSTED, headers=[
        ("Forwarded", 'for=1.1.1.1, for="[2001:db8::7]:4711";proto=http;host=shown.example'),
        ("Forwarded", "for=10.0.0.3")])
    assert seen["x-forwarded-for"] == ["2001:db8::7, 10.0.0.3, 127.0.0.2"]
    assert seen["forwarded"][0].startswith('for="[2001:db8::7]";host=')
    assert status(edge, http, source=TRUSTED, headers=[("Forwarded", "for=198.51.100.7")]) == 403


@pytest.mark.parametrize("field", [
    ("X-Forwarded-For", "unknown"), ("X-Forwarded-For", "203.0.113.7, _hidden"),
    ("X-Forwarded-For", "203.0.113.7,"), ("X-Forwarded-For", "203.0.113.07"),
    ("Forwarded", "for=_hidden"), ("Forwarded", 'for="203.0.113.7'),
    ("Forwarded", "for=203.0.113.7:80"), ("Forwarded", "for=unknown")])
def test_a_chain_that_cannot_be_read_leads_to_the_proxy(edge, http, field):
    """127.0.0.2 itself is not in the whitelist."""
    assert status(edge, http, source=TRUSTED, headers=[field]) == 403


def test_anybody_else_is_not_believed(edge, http):
    seen = echo(edge, http, headers=[
        ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Port", "1"),
        ("Forwarded", "for=203.0.113.7"), ("X-Real-IP", "203.0.113.7")])
    assert seen["x-forwarded-for"] == ["127.0.0.1"]
    assert seen["x-forwarded-proto"] == ["https"]
    assert seen["x-forwarded-port"] == [str(edge.port)]
    assert "evil" not in seen["x-forwarded-host"][0]
    assert seen["forwarded"][0].startswith("for=127.0.0.1;")
    assert "x-real-ip" not in seen
    assert status(edge, http, source="127.0.0.9",
                  headers=[("X-Forwarded-For", "203.0.113.7")]) == 403
