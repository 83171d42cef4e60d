"""The local web listener with TLS (web.ssl): local CA, files, the command line, the gateway in front."""
import json
import socket
import ssl
import subprocess

import pytest

import harness
from certs_world import certificate, shown
from test_certs import fingerprint, make_pair
from test_tls import make_rsa

UI = "ui.wos.localhost"
WEB_UI = {"webUi": {"enabled": True, "subdomain": "ui", "secret": "long-enough-secret"}}


@pytest.fixture(scope="module")
def world():
    port = harness.free_port()
    wos = harness.Wos(tunnel=WEB_UI, config={
        "web": {"port": port, "ssl": {"enabled": True, "source": "self-signed"}}})
    wos.web = port
    wos.ok("start")
    yield wos
    problems = wos.close()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


def test_https_on_the_web_port(world):
    code, body, err = world.curl("https://localhost:%d/ui/v1/health" % world.web)
    assert code == 0, err
    health = json.loads(body)
    assert health["webScheme"] == "https" and health["webUrl"] == "https://127.0.0.1:%d" % world.web
    meta = json.loads((world.home / "daemon.json").read_text())
    assert meta["webScheme"] == "https" and meta["webUrl"] == health["webUrl"]
    for host in ("127.0.0.1", "[::1]"):  # both are in the certificate; the listener has the first
        assert host.strip("[]") in certificate(world, "web")["names"]
    assert world.curl("https://127.0.0.1:%d/ui/v1/health" % world.web)[0] == 0
    body = world.curl("https://127.0.0.1:%d/ui/v1/settings/config" % world.web)[1]
    assert json.loads(body)["config"]["effectiveSsl"]["web"] == {"source": "self-signed"}


def test_never_in_the_clear(world):
    with socket.create_connection(("127.0.0.1", world.web), 20) as raw:
        raw.sendall(b"GET /ui/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        raw.settimeout(20)
        data = b""
        try:
            while piece := raw.recv(4096):
                data += piece
        except OSError:
            pass
    assert b"HTTP/1.1 200" not in data and b"protocol" not in data


def test_old_tls_is_refused(world):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        with socket.create_connection(("127.0.0.1", world.web), 20) as raw:
            context.wrap_socket(raw, server_hostname="localhost").close()


def test_the_command_line_is_not_affected(world):
    world.ok("status", "--all")
    assert world.ok("web", "--no-open").out.strip().startswith("https://127.0.0.1:")
    assert certificate(world, "web")["source"] == "self-signed"
    assert "web" in world.ok("cert", "status").out
    path = world.ok("cert", "path", "--kind", "web").out.strip()
    assert path.endswith("web-self-signed.crt")
    assert shown(world.web, "localhost")["fingerprint"] == fingerprint(path)


def test_the_gateway_fronts_it(world):
    answer = world.get(UI, "/ui/v1/health")
    assert answer.status == 200 and json.loads(answer.body) == {"ok": True, "version": "1"}


def test_doctor_knows_both(world):
    checks = world.ok("doctor", "cert", "--json").data["checks"]
    assert {c["listenerKind"] for c in checks} == {"tunnel", "web"} and all(c["ok"] for c in checks)
    assert world.run("cert", "renew").code == 3  # no CA


def certificate_events(wos):
    out = subprocess.run(["curl", "-sN", "-m", "1", "--unix-socket", wos.home / "daemon.sock",
                          "-H", "Last-Event-ID: 0", "http://d/v1/events"], stdout=subprocess.PIPE,
                         text=True).stdout
    events = [json.loads(line[6:])["event"] for line in out.splitlines()
              if line.startswith("data: ")]
    return [e for e in events if e["type"].startswith("certificate.")]


def test_files_are_watched(make_wos):
    port = harness.free_port()
    wos = make_wos(tunnel={"enabled": False}, config={"web": {"port": port}})
    crt, key = make_pair(wos.dir, "one", ("localhost", UI))
    wos.config["web"]["ssl"] = {"enabled": True, "source": "files", "cert": str(crt), "key": str(key)}
    wos.write_config()
    wos.ok("start")
    first = fingerprint(crt)
    assert shown(port, "localhost")["fingerprint"] == first
    new, new_key = make_pair(wos.dir, "two", ("localhost", UI))
    second = fingerprint(new)
    new_key.replace(key)
    new.replace(crt)
    harness.until("the new pair is shown", lambda: shown(port, "localhost")["fingerprint"] == second)
    crt.write_text("garbage")
    harness.until("the error is told", lambda: certificate(wos, "web").get("lastError"))
    assert shown(port, "localhost")["fingerprint"] == second
    told = harness.until("all of it is an event", lambda: (
        lambda e: e if e[-1]["type"] == "certificate.failed" else None)(certificate_events(wos)))
    assert {(e["listenerKind"], e["source"]) for e in told} == {("web", "files")}
    types = [e["type"] for e in told]
    assert types[0] == "certificate.activated" and str(crt) in told[-1]["message"]
    assert types.index("certificate.renewed") < types.index("certificate.activated", 1)
    doctor = wos.run("doctor", "cert", "--json")
    fault = doctor.json["error"]["message"]
    assert doctor.code == 1 and fault.startswith("source: ") and str(crt) in fault, doctor


def of_cipher(port, cipher):
    """The certificate, DER, that a client of this cipher of TLS 1.2 alone gets; None: no handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                return tls.getpeercert(True)
    except (ssl.SSLError, ConnectionError):
        return None


def test_second_pair_of_the_web_listener(make_wos):
    """web.ssl.rsaCert is served beside cert, watched like it, and its key's mode looked at."""
    ec_only, rsa_only = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"
    port = harness.free_port()
    wos = make_wos(tunnel={"enabled": False}, config={"web": {"port": port}})
    crt, key = make_pair(wos.dir, "one", ("localhost", UI))
    rsa, rsa_key = make_rsa(wos.dir, "rsa", ("localhost", UI))
    rsa_key.chmod(0o644)
    wos.config["web"]["ssl"] = {"enabled": True, "source": "files", "cert": str(crt),
                                "key": str(key), "rsaCert": str(rsa), "rsaKey": str(rsa_key)}
    wos.write_config()
    wos.ok("start")

    def is_shown(path, cipher):
        return of_cipher(port, cipher) == ssl.PEM_cert_to_DER_cert(path.read_text())
    assert is_shown(crt, ec_only) and is_shown(rsa, rsa_only)
    assert "rsaError" not in certificate(wos, "web")
    assert "every user of this machine can read this key" in wos.logs()
    assert str(rsa_key) in wos.logs()
    new, new_key = make_rsa(wos.dir, "next", ("localhost", UI))
    new_key.replace(rsa_key)
    new.replace(rsa)
    harness.until("the new second pair is shown", lambda: is_shown(rsa, rsa_only))
    good = rsa.read_text()
    rsa.write_text("garbage")
    harness.until("the error is told", lambda: "rsa.crt" in certificate(wos, "web").get("rsaError", ""))
    assert of_cipher(port, rsa_only) == ssl.PEM_cert_to_DER_cert(good), "the old one goes on"
    other, other_key = make_rsa(wos.dir, "other", ("elsewhere",))
    other_key.replace(rsa_key)
    other.replace(rsa)
    harness.until("other names are not offered", lambda: of_cipher(port, rsa_only) is None)
    assert "does not have the same names" in certificate(wos, "web")["rsaError"]
    assert is_shown(crt, ec_only)


def test_doctor_of_an_expired_pair(make_wos):
    wos = make_wos(ssl={"enabled": False})
    crt, key = make_pair(wos.dir, "old", expired=True)
    wos.config["tunnel"]["ssl"] = {"enabled": True, "source": "files", "cert": str(crt), "key": str(key)}
    wos.write_config()
    wos.ok("start")
    doctor = wos.run("doctor", "cert")
    assert doctor.code == 1 and "✗ Source: " in doctor.err and "expired" in doctor.err, doctor
    assert subprocess.run(["openssl", "x509", "-in", crt, "-noout", "-checkend", "0"],
                          capture_output=True).returncode == 1
