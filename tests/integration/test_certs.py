"""Certificates: the local CA, files, and what happens when they are bad."""
import os
import re
import socket
import ssl
import stat
import struct
import subprocess

import pytest

import clients
import harness

ONE = harness.shell_app(web=harness.python_service("web"))
SECRET = b"GET /hello HTTP/1.1\r\nHost: alpha-web.wos.localhost\r\n\r\n"


def openssl(*args, cwd=None, text=None):
    return subprocess.run(["openssl", *map(str, args)], check=True, cwd=cwd, input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


def sans(path):
    text = openssl("x509", "-in", path, "-noout", "-ext", "subjectAltName")
    return set(re.findall(r"(?:DNS|IP Address):([^,\s]+)", text))


def fingerprint(path):
    return openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256").split("=")[1].strip()


def served(wos, name="alpha-web.wos.localhost", **keys):
    """Fingerprint of the certificate the gateway shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for key, value in keys.items():
        setattr(context, key, value)
    with socket.create_connection(("127.0.0.1", wos.port), 20) as raw:
        with context.wrap_socket(raw, server_hostname=name) as tls:
            pem = ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))
    path = wos.dir / "served.pem"
    path.write_text(pem)
    return fingerprint(path)


def make_pair(folder, name, names=("wos.localhost", "*.wos.localhost"), expired=False):
    """name.crt and name.key in folder, self-signed; their paths."""
    key, crt = folder / (name + ".key"), folder / (name + ".crt")
    san = "subjectAltName=" + ",".join("DNS:" + n for n in names)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key, "-out", folder / "r.csr", "-subj", "/CN=" + name)
    if not expired:
        (folder / "ext").write_text(san + "\n")
        openssl("x509", "-req", "-in", folder / "r.csr", "-signkey", key, "-days", "30",
                "-extfile", folder / "ext", "-out", crt)
        return crt, key
    base = folder / "ca"
    base.mkdir(exist_ok=True)
    (base / "index").write_text("")
    (base / "serial").write_text("01\n")
    (base / "conf").write_text(
        "[ca]\ndefault_ca=c\n[c]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n"
        "default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\n%s\n" % san)
    openssl("ca", "-batch", "-selfsign", "-config", "conf", "-in", folder / "r.csr", "-keyfile",
            key, "-out", crt, "-startdate", "20200101000000Z", "-enddate", "20200201000000Z",
            "-notext", cwd=base)
    return crt, key


def assert_never_plaintext(wos):
    with socket.create_connection(("127.0.0.1", wos.port), 20) as raw:
        raw.sendall(SECRET)
        raw.settimeout(20)
        data = b""
        try:
            while piece := raw.recv(4096):
                data += piece
        except OSError:
            pass
    assert b"HTTP/1.1 200" not in data and b"hello" not in data


def test_self_signed_pair(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    leaf = wos.ok("cert", "path").out.strip()
    ca = wos.ok("cert", "path", "--ca").out.strip()
    assert leaf != ca and leaf.startswith(str(wos.home / "certs"))
    assert ca.startswith(str(wos.home / "certs"))
    assert sans(leaf) == {"wos.localhost", "*.wos.localhost", "localhost", "127.0.0.1",
                          "0:0:0:0:0:0:0:1"}
    openssl("verify", "-CAfile", ca, leaf)
    assert "CA:TRUE" in openssl("x509", "-in", ca, "-noout", "-ext", "basicConstraints")
    assert "CA:TRUE" not in openssl("x509", "-in", leaf, "-noout", "-text")
    assert served(wos) == fingerprint(leaf)
    # Verified as a client would, with name check.
    assert wos.get("alpha-web", "/hello").status == 200
    assert wos.get("localhost", "/hello").status == 404


def test_keys_are_private(wos):
    wos.ok("start")
    wos.wait_route("nobody", "/", 404)
    assert stat.S_IMODE((wos.home / "certs").stat().st_mode) == 0o700
    for path in (wos.home / "certs").rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_pair_stays_and_the_domain_changes_the_leaf_only(wos):
    wos.ok("start")
    leaf, ca = (wos.ok("cert", "path", *x).out.strip() for x in ((), ("--ca",)))
    before = fingerprint(leaf), fingerprint(ca)
    wos.ok("stop")
    wos.ok("start")
    assert (fingerprint(leaf), fingerprint(ca)) == before
    wos.config["tunnel"]["domain"] = "other.localhost"
    wos.write_config()
    wos.ok("restart")
    leaf, ca = (wos.ok("cert", "path", *x).out.strip() for x in ((), ("--ca",)))
    assert fingerprint(ca) == before[1] and fingerprint(leaf) != before[0]
    assert "*.other.localhost" in sans(leaf)
    harness.until("the new one is served", lambda: served(wos, "x.other.localhost")
                  == fingerprint(leaf))


def test_cert_show(wos):
    wos.ok("start")
    text = wos.ok("cert", "show").out
    assert "wos.localhost" in text
    data = wos.ok("cert", "show", "--json").data
    assert "*.wos.localhost" in str(data)
    cert = wos.certificate()
    assert (cert["source"], cert["state"], cert["active"]) == ("self-signed", "active", True)
    assert cert["path"] == wos.ok("cert", "path").out.strip()


def test_versions_and_protocols(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = clients.tls_context(wos.ca, ["http/1.1"], version, version)
        with wos.h1("alpha-web", context=context) as client:
            assert client.channel.sock.version() == version.name.replace("_", ".")
            assert client.request(path="/hello").status == 200
    old = clients.tls_context(wos.ca)
    old.minimum_version = ssl.TLSVersion.TLSv1_1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        wos.h1("alpha-web", context=old)
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"),
                            (["http/1.1", "h2"], "h2"), ([], None)):
        context = clients.tls_context(wos.ca, offered or None)
        channel = clients.Channel(wos.port, "alpha-web.wos.localhost", context=context)
        assert channel.sock.selected_alpn_protocol() == chosen
        channel.close()
    with pytest.raises(OSError):  # RFC 7301: no_application_protocol
        clients.Channel(wos.port, "alpha-web.wos.localhost",
                        context=clients.tls_context(wos.ca, ["spdy/1"])).close()
    with wos.h1("alpha-web", context=clients.tls_context(wos.ca)) as client:
        assert client.request(path="/hello").status == 200  # no ALPN: HTTP/1.1


def visit(wos, context, session=None):
    """One request; whether its connection resumed the session, and the session it has."""
    raw = socket.create_connection(("127.0.0.1", wos.port), 20)
    with context.wrap_socket(raw, server_hostname="alpha-web.wos.localhost",
                             session=session) as tls:
        tls.sendall(SECRET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = b""
        while piece := tls.recv(4096):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200"), answer
        return tls.session_reused, tls.session


def test_sessions_resume(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    context = clients.tls_context(wos.ca, ["http/1.1"])
    reused, session = visit(wos, context)
    assert not reused
    assert visit(wos, context, session)[0]
    wos.ok("restart")
    assert visit(wos, context, session)[0], "ticket keys are shared across restarts"


def rotate_tickets(wos):
    """As if half a day had gone: the daemon's next life finds a key due, and one gateway goes on."""
    keys, gateway = wos.home / "certs" / "ticket.keys", wos.gateway_pid()
    old = keys.read_bytes()
    made_at, = struct.unpack_from("<Q", old, 8)
    keys.write_bytes(old[:8] + struct.pack("<Q", made_at - 12 * 3600) + old[16:])
    wos.ok("restart")

    def is_served():
        tunnel = wos.status_all()["tunnel"]
        return tunnel["state"] == "serving" and tunnel["generation"] == tunnel["servedGeneration"]
    harness.until("every worker has the keys", is_served)
    new = keys.read_bytes()
    assert new[16:96] != old[16:96] and new[96:] == old[16:176], "one more, at most three"
    assert wos.gateway_pid() == gateway, "the gateway that has the old keys"


def test_sessions_outlive_two_rotations_of_the_ticket_keys(make_wos):
    """Resumed by whichever of two workers: both know a key for three turns, and not for a fourth."""
    wos = make_wos(tunnel={"workers": 2})
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.status_all()["tunnel"]["workers"] == 2
    contexts, sessions = [], []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        contexts.append(clients.tls_context(wos.ca, ["http/1.1"]))
        contexts[-1].minimum_version = contexts[-1].maximum_version = version
    for turn in range(4):
        if turn > 0:
            rotate_tickets(wos)
        sessions.append([visit(wos, context)[1] for context in contexts])
        for age, made in enumerate(reversed(sessions)):
            for context, session in zip(contexts, made):
                answers = [visit(wos, context, session)[0] for _ in range(6)]
                assert set(answers) == {age < 3}, (turn, age, context.minimum_version, answers)


def files_wos(make_wos, crt, key, **keys):
    wos = make_wos(ssl={"enabled": True, "source": "files", "cert": str(crt), "key": str(key)},
                   **keys)
    wos.deploy(ONE)
    wos._ca = str(crt)
    return wos


def test_files(make_wos, tmp_path):
    crt, key = make_pair(tmp_path, "first")
    wos = files_wos(make_wos, crt, key)
    wos.up("alpha")
    assert served(wos) == fingerprint(crt)
    assert wos.get("alpha-web", "/hello").status == 200
    assert wos.certificate()["source"] == "files"
    assert wos.ok("cert", "path").out.strip() == str(crt)


def test_files_are_reloaded(make_wos, tmp_path):
    """No restart; open connections live on."""
    crt, key = make_pair(tmp_path, "live")
    wos = files_wos(make_wos, crt, key)
    wos.up("alpha")
    first = served(wos)
    with wos.h1("alpha-web") as client:
        assert client.request(path="/hello").status == 200
        other = tmp_path / "o"
        other.mkdir()
        new_crt, new_key = make_pair(other, "next")
        os.replace(new_key, key)
        os.replace(new_crt, crt)
        harness.until("the new certificate", lambda: served(wos) != first, timeout=90)
        assert served(wos) == fingerprint(crt)
        assert client.request(path="/hello").status == 200
    assert wos.get("alpha-web", "/hello").status == 200


def test_bad_replacement_keeps_the_old_one(make_wos, tmp_path):
    crt, key = make_pair(tmp_path, "good")
    wos = files_wos(make_wos, crt, key)
    wos.up("alpha")
    first = served(wos)
    other = tmp_path / "o"
    other.mkdir()
    stray, _ = make_pair(other, "stray")
    os.replace(stray, crt)  # the key is still the old one's
    error = harness.until("the mismatch is told",
                          lambda: wos.certificate().get("lastError"), timeout=90)
    assert "match" in error["message"].lower() or "key" in error["message"].lower()
    assert wos.certificate()["state"] == "stale"
    assert served(wos) == first
    assert_never_plaintext(wos)
    kept = (wos.home / "certs" / "files-last-good.pem").read_bytes()
    # A pair that matches, of another domain: no better, and not what is kept for bad times.
    foreign = make_pair(other, "foreign", names=("other.example",))
    os.replace(foreign[1], key)
    os.replace(foreign[0], crt)

    def no_name():
        cert = wos.certificate()
        return "no name under wos.localhost" in cert["lastError"]["message"] and cert
    assert harness.until("its names are told", no_name, timeout=90)["state"] == "stale"
    wos.ok("restart")
    harness.until("the gateway serves", lambda: served(wos))
    assert no_name()["state"] == "stale"
    assert served(wos) == first
    assert (wos.home / "certs" / "files-last-good.pem").read_bytes() == kept


def test_last_good_pair_outlives_the_daemon(make_wos, tmp_path):
    """The files are broken while no daemon looks: what worked is served on."""
    crt, key = make_pair(tmp_path, "good")
    wos = files_wos(make_wos, crt, key)
    wos.up("alpha")
    first = served(wos)
    kept = wos.home / "certs" / "files-last-good.pem"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    wos.ok("stop")
    key.write_text("")
    wos.ok("start")
    harness.until("the gateway serves", lambda: served(wos))
    assert served(wos) == first
    assert wos.wait_route("alpha-web", "/hello").status == 200
    cert = wos.certificate()
    assert cert["state"] == "stale" and str(key) in cert["lastError"]["message"], cert
    assert "last good" in cert["warning"]
    other = tmp_path / "o"
    other.mkdir()
    new_crt, new_key = make_pair(other, "next")
    os.replace(new_key, key)
    os.replace(new_crt, crt)
    harness.until("the repaired pair", lambda: served(wos) == fingerprint(crt), timeout=90)
    assert wos.certificate()["state"] == "active"


def bad_files(tmp_path, kind):
    crt, key = make_pair(tmp_path, "one")
    if kind == "mismatch":
        folder = tmp_path / "two"
        folder.mkdir()
        return crt, make_pair(folder, "two")[1]
    if kind == "expired":
        folder = tmp_path / "old"
        folder.mkdir()
        return make_pair(folder, "old", expired=True)
    if kind == "missing":
        return tmp_path / "none.crt", key
    if kind == "garbage":
        crt.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        return crt, key
    if kind == "empty-key":
        key.write_text("")
        return crt, key
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["mismatch", "expired", "missing", "garbage", "empty-key"])
def test_bad_files_are_told_and_never_mean_plaintext(make_wos, tmp_path, kind):
    crt, key = bad_files(tmp_path, kind)
    wos = files_wos(make_wos, crt, key)
    wos.up("alpha")
    cert = wos.certificate()
    assert cert["lastError"]["message"], cert
    assert cert["state"] in ("failed", "stale")
    assert_never_plaintext(wos)
    if kind == "expired":
        assert "expired" in cert["lastError"]["message"].lower()
    # A self-signed one stands in, and the names are served with it.
    assert served(wos) != (fingerprint(crt) if kind in ("mismatch", "expired") else None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with wos.h1("alpha-web", context=context) as client:
        assert client.request(path="/hello").status == 200
    log = "".join(p.read_text(errors="replace") for p in wos.home.rglob("daemon.log"))
    assert "cert" in log.lower() and ("error" in log or "warn" in log)
    # Repairing the files is enough.
    folder = tmp_path / "fixed"
    folder.mkdir()
    new_crt, new_key = make_pair(folder, "fixed")
    os.replace(new_key, key)
    os.replace(new_crt, crt)
    harness.until("the repaired pair is served",
                  lambda: served(wos) == fingerprint(crt), timeout=90)


def test_plaintext_on_the_tls_port(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    assert_never_plaintext(wos)
    assert wos.get("alpha-web", "/hello").status == 200


def test_silent_and_broken_handshakes_hold_nobody(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    silent = [socket.create_connection(("127.0.0.1", wos.port)) for _ in range(50)]
    for s in silent[:25]:
        s.sendall(b"\x16\x03\x01\x02\x00\x01")
    try:
        assert wos.get("alpha-web", "/hello").status == 200
    finally:
        for s in silent:
            s.close()
    assert wos.get("alpha-web", "/hello").status == 200
