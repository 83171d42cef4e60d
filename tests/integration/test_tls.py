"""TLS policy: versions, two kinds of key under one name, whose name a connection is."""
import os
import socket
import ssl
import subprocess

import pytest

import clients
import conftest
import harness
import network
from edge import Edge
from test_certs import make_pair, openssl

ALPHA, BETA = "alpha-web.wos.localhost", "beta-web.wos.localhost"


def make_rsa(folder, name, names):
    key, crt = folder / (name + ".key"), folder / (name + ".crt")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", crt,
            "-subj", "/CN=" + name, "-days", "30", "-addext",
            "subjectAltName=" + ",".join("DNS:" + n for n in names))
    return crt, key


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """Certificates from files, ECDSA and RSA, for alpha's name alone."""
    conftest.needs_binary()
    folder = tmp_path_factory.mktemp("pairs")
    crt, key = make_pair(folder, "ec", names=(ALPHA,))
    rsa_crt, rsa_key = make_rsa(folder, "rsa", (ALPHA,))
    instance = harness.Wos(
        tunnel={"limits": {"handshakeTimeout": "1s"}},
        ssl={"enabled": True, "source": "files", "cert": str(crt), "key": str(key),
             "rsaCert": str(rsa_crt), "rsaKey": str(rsa_key)})
    instance.folder = folder
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web-of-$(basename $PWD)")))
        instance.up("alpha")
        instance.up("beta")
        yield instance
    finally:
        conftest.finish(instance)


def unverified(**keys):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in keys.items():
        setattr(context, name, value)
    return context


def s_client(wos, *args, text="", timeout=60):
    """openssl s_client: what it printed."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % wos.port, *args],
                          input=text, text=True, errors="replace", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, check=False)
    return done.stdout


# --- two kinds of key ------------------------------------------------------------------

@pytest.mark.parametrize("args, subject", [
    ((), "CN = ec"),
    (("-tls1_2",), "CN = ec"),
    (("-sigalgs", "ECDSA+SHA256"), "CN = ec"),
    (("-sigalgs", "RSA-PSS+SHA256"), "CN = rsa"),
    (("-sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256"), "CN = ec"),
    (("-tls1_2", "-sigalgs", "RSA+SHA256"), "CN = rsa"),
    (("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"), "CN = rsa"),
    (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"), "CN = ec"),
], ids=lambda v: " ".join(v) if isinstance(v, tuple) else "")
def test_each_client_gets_the_key_it_can_verify(edge, args, subject):
    out = s_client(edge, "-servername", ALPHA, *args)
    assert "subject=" + subject + "\n" in out, out


def test_curl_with_either(edge):
    for cipher, ca in (("ECDHE-ECDSA-AES256-GCM-SHA384", "ec"),
                       ("ECDHE-RSA-AES256-GCM-SHA384", "rsa")):
        done = subprocess.run(
            ["curl", "-sS", "--cacert", edge.folder / (ca + ".crt"), "--tls-max", "1.2",
             "--ciphers", cipher, "--resolve", "%s:%d:127.0.0.1" % (ALPHA, edge.port),
             edge.url("alpha-web", "/hello")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, b"hello from web-of-alpha\n"), done.stderr


def test_no_key_for_a_client_with_neither(edge):
    out = s_client(edge, "-servername", ALPHA, "-sigalgs", "ed25519")
    assert "subject=" not in out and "alert" in out, out


def test_a_renewed_second_pair_is_served(edge):
    make_rsa(edge.folder, "rsa-next", (ALPHA,))
    for kind in ("key", "crt"):
        os.replace(edge.folder / ("rsa-next." + kind), edge.folder / ("rsa." + kind))

    def served():
        out = s_client(edge, "-servername", ALPHA, "-sigalgs", "RSA-PSS+SHA256")
        assert "subject=CN = rsa-next\n" in out, out
        return True
    harness.until("the new RSA certificate", served)
    assert "subject=CN = ec\n" in s_client(edge, "-servername", ALPHA)


def test_a_bad_second_pair_changes_nothing(edge):
    good = (edge.folder / "rsa.crt").read_text()
    (edge.folder / "rsa.crt").write_text("garbage\n")
    error = harness.until("an error", lambda: edge.certificate().get("rsaError"))
    assert "rsa.crt: no certificate in PEM form" in error
    assert error in edge.ok("status", "--all").out
    assert "CN = rsa" in s_client(edge, "-servername", ALPHA, "-sigalgs", "RSA-PSS+SHA256")
    (edge.folder / "rsa.crt").write_text(good)
    harness.until("no error", lambda: "rsaError" not in edge.certificate())


# --- whose connection it is ----------------------------------------------------------------

def ask(wos, http, sni, host):
    """The status for `host` on a connection made for `sni`."""
    context = unverified()
    context.set_alpn_protocols(["h2" if http == "h2" else "http/1.1"])
    open_it = clients.Http2 if http == "h2" else clients.Http1
    with open_it(wos.port, sni, context=context, authority=host) as client:
        return client.request("GET", "/hello").status


@pytest.mark.parametrize("sni, host, status", [
    (ALPHA, ALPHA, 200),
    (ALPHA, ALPHA.upper() + ":443", 200),
    (ALPHA.upper(), ALPHA, 200),
    (ALPHA, BETA, 421),               # shown alpha's certificate
    (ALPHA, "none.wos.localhost", 404),  # on no connection of ours
    (ALPHA, "127.0.0.1", 404),
    (BETA, BETA, 200),                # shown what there is, for the name it asked for
    (BETA, ALPHA, 200),               # shown the default one, which covers this
    ("unknown.example", ALPHA, 200),
    ("unknown.example", BETA, 421),
    (None, ALPHA, 200),               # asked for no name: nothing to disagree with
    (None, BETA, 200),
    (None, "none.wos.localhost", 404),
])
def test_misdirected_requests(edge, http, sni, host, status):
    assert ask(edge, http, sni, host) == status


def test_it_stays_right_when_the_certificate_is_replaced(edge, http):
    """An open connection was shown the certificate of before."""
    context = unverified()
    context.set_alpn_protocols(["h2" if http == "h2" else "http/1.1"])
    open_it = clients.Http2 if http == "h2" else clients.Http1
    with open_it(edge.port, "unknown.example", context=context, authority=ALPHA) as client:
        assert client.request("GET", "/hello").status == 200
        generation = edge.status_all()["tunnel"]["servedGeneration"]
        name = "ec-next-" + http
        make_pair(edge.folder, name, names=(ALPHA,))
        for kind in ("key", "crt"):
            os.replace(edge.folder / ("%s.%s" % (name, kind)), edge.folder / ("ec." + kind))
        harness.until("it is served", lambda: "CN = " + name in s_client(edge))
        assert edge.status_all()["tunnel"]["servedGeneration"] > generation
        assert client.request("GET", "/hello").status == 200


def hello(name):
    """The first bytes of a ClientHello whose server_name is `name`, whatever it is."""
    sni = len(name).to_bytes(2, "big") + name
    sni = (len(sni) + 1).to_bytes(2, "big") + b"\0" + sni
    extensions = b"\0\0" + len(sni).to_bytes(2, "big") + sni
    extensions += bytes.fromhex("000a00060004001d0017" "000d000400020403")
    body = b"\3\3" + bytes(32) + b"\0" + bytes.fromhex("0002c02b0100")
    body += len(extensions).to_bytes(2, "big") + extensions
    return (b"\x16\3\1" + (len(body) + 4).to_bytes(2, "big") + b"\1" +
            len(body).to_bytes(3, "big") + body)


def first_record(wos, data, wait=20):
    with socket.create_connection(("127.0.0.1", wos.port), wait) as s:
        s.sendall(data)
        return s.makefile("rb").read(7)


def test_server_names_that_are_none(edge):
    assert first_record(edge, hello(b"unknown.example"))[:1] == b"\x16", "the default one"
    for name in (b"", b"a\0b", "ä.example".encode(), b"\xff", b"a b", b"a\n", b"a" * 256):
        got = first_record(edge, hello(name))
        assert got[:1] == b"\x15" and got[6] == 50, (name, got)  # decode_error


# --- versions, renegotiation, waiting ----------------------------------------------------

@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions_get_an_alert(edge, version):
    out = s_client(edge, version, "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in out and "subject=" not in out, out


def test_renegotiation_is_refused(edge):
    with subprocess.Popen(
            ["openssl", "s_client", "-connect", "127.0.0.1:%d" % edge.port, "-tls1_2",
             "-servername", ALPHA, "-legacy_renegotiation"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as proc:
        try:
            proc.stdin.write("R\n")
            proc.stdin.flush()
            out, _ = proc.communicate(timeout=60)
        finally:
            proc.kill()
    assert "RENEGOTIATING" in out
    assert "no renegotiation" in out, out


def test_compression_and_old_suites_are_not_there(edge):
    out = s_client(edge, "-tls1_2", "-servername", ALPHA, "-comp")
    assert "Compression: NONE" in out
    for suites in ("kRSA", "DHE", "ECDHE+AES+SHA1", "ECDHE+AES+SHA256:!AESGCM", "AESCCM", "aNULL",
                   "eNULL", "RC4", "3DES"):
        out = s_client(edge, "-tls1_2", "-cipher", suites + ":@SECLEVEL=0")
        assert "subject=" not in out, (suites, out)


def test_the_server_picks_and_chacha_when_the_client_would(edge):
    both = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"
    out = s_client(edge, "-tls1_2", "-servername", ALPHA, "-cipher", both)
    assert "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" in out
    chacha = "ECDHE-ECDSA-CHACHA20-POLY1305"
    out = s_client(edge, "-tls1_2", "-servername", ALPHA, "-cipher", chacha + ":" + both)
    assert "Cipher is " + chacha in out
    out = s_client(edge, "-tls1_2", "-servername", ALPHA, "-cipher", both + ":" + chacha)
    assert "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" in out


def test_half_open_handshakes_end(edge):
    """Nothing, a piece of a ClientHello, and a ClientHello that nothing follows."""
    for first in (b"", hello(ALPHA.encode())[:20], hello(ALPHA.encode())):
        with socket.create_connection(("127.0.0.1", edge.port), 20) as s:
            s.sendall(first)
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass


def test_tickets_can_be_off_and_the_oldest_version_raised(make_wos):
    """At the next handshake of the gateway that runs."""
    wos = make_wos()
    wos.ok("start")
    wos.wait_route("nobody", "/", 404)
    pid = wos.gateway_pid()
    assert "Protocol  : TLSv1.2" in s_client(wos, "-tls1_2")

    def ticket_in(version):
        out = s_client(wos, version, "-ign_eof", text="GET / HTTP/1.1\r\nHost: nobody.%s\r\nConnection: close\r\n\r\n"
                       % harness.DOMAIN)
        assert "HTTP/1.1 404" in out, out
        return "TLS session ticket:" in out if version == "-tls1_2" else "New Session Ticket arrived" in out
    assert ticket_in("-tls1_2") and ticket_in("-tls1_3")
    wos.config["tunnel"]["tls"] = {"sessionTickets": False}
    wos.write_config()
    wos.ok("restart")
    harness.until("no tickets", lambda: not ticket_in("-tls1_3"))
    assert not ticket_in("-tls1_2")
    wos.config["tunnel"]["tls"] = {"minVersion": "1.3"}
    wos.write_config()
    wos.ok("restart")

    def raised():
        out = s_client(wos, "-tls1_2")
        assert "alert protocol version" in out, out
        return True
    harness.until("TLS 1.2 is refused", raised)
    assert "TLSv1.3" in s_client(wos, "-tls1_3", text="Q\n")
    assert wos.gateway_pid() == pid


def delayed_acks():
    """How often, in this network, somebody acknowledged only because a timer said so."""
    with open("/proc/thread-self/net/netstat", encoding="ascii") as f:
        names, values = [line.split() for line in f if line.startswith("TcpExt:")]
    return int(values[names.index("DelayedACKs")])


def test_resumed_tls12_request_is_not_held_back():
    """There the client speaks last, and Nagle's algorithm keeps its request until that is acknowledged."""
    session, held, count = None, 0, 10
    context = unverified(maximum_version=ssl.TLSVersion.TLSv1_2)
    with network.own(), Edge(["app.wos.localhost=9"]) as instance:
        for i in range(count + 1):
            before = delayed_acks()
            with socket.create_connection(("127.0.0.1", instance.port), harness.PATIENCE) as raw, \
                    context.wrap_socket(raw, server_hostname="app.wos.localhost", session=session) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: app.wos.localhost\r\n\r\n")
                assert s.recv(65536).startswith(b"HTTP/1.1 502")
                assert s.session_reused == (i > 0)
                session = s.session
            held += i > 0 and delayed_acks() > before
    assert held < count, "a busy machine may delay one, not all"
