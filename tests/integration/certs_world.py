"""What tests of CA certificates through the daemon share: a wos whose certificates come from a
pebble, hooks that fail in every way, and looking at what the gateway shows."""
import json
import os
import re
import socket
import ssl
import subprocess
from pathlib import Path

import harness

NAME = "alpha-web.wos.localhost"
RECORD = "_acme-challenge.wos.localhost"


def letsencrypt(ca, dns, **changes):
    """The ssl block of a listener that gets its certificate from `ca`."""
    hook = str(dns.hook)
    block = {"email": "admin@example.com", "acceptTerms": True, "directory": ca.url,
             "caFile": str(ca.ca_file), "resolvers": ["127.0.0.1:%d" % dns.port],
             "challenge": {"type": "dns-01", "provider": "hook", "createCommand": hook,
                           "deleteCommand": hook}}
    challenge = {**block["challenge"], **changes.pop("challenge", {})}
    return {"enabled": True, "source": "letsencrypt",
            "letsencrypt": {**block, **changes, "challenge": challenge}}


def shown(port, name=NAME):
    """(subject names, issuer, serial, fingerprint) of what is shown for a name, unverified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 20) as raw:
        with context.wrap_socket(raw, server_hostname=name) as tls:
            der = tls.getpeercert(True)
    text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-issuer", "-serial",
                           "-fingerprint", "-sha256", "-ext", "subjectAltName"], input=der,
                          check=True, stdout=subprocess.PIPE).stdout.decode()
    return {"names": re.findall(r"DNS:([^,\s]+)", text),
            "issuer": re.search(r"issuer=(.*)", text).group(1),
            "serial": re.search(r"serial=(.*)", text).group(1),
            "fingerprint": re.search(r"Fingerprint=(.*)", text).group(1)}


def is_pebble(seen):
    return "Pebble" in seen["issuer"]


def verify(wos, ca, port=None, name=NAME):
    """openssl s_client, the name checked, against pebble's root; its output."""
    root = wos.dir / "pebble-root.pem"
    root.write_text(ca.manage("/roots/0"))
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % (port or wos.port),
                           "-servername", name, "-verify_hostname", name, "-CAfile", root,
                           "-verify_return_error", "-showcerts"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0 and "Verify return code: 0 (ok)" in done.stdout, done.stdout
    return done.stdout


def certificate(wos, kind="tunnel"):
    certs = wos.ok("cert", "status", "--json").data["certificates"]
    return next(c for c in certs if c["listenerKind"] == kind)


def until_shown(wos, cert):
    """The tunnel's is active some milliseconds before every worker shows it."""
    if cert["listenerKind"] == "tunnel":
        harness.until("it is shown", lambda: cert["fingerprint"] ==
                      shown(wos.port)["fingerprint"].replace(":", "").lower())
    return cert


def until_issued(wos, kind="tunnel"):
    return until_shown(wos, harness.until("a certificate of the CA", lambda: (
        lambda c: c if c["state"] == "active" and "Pebble" in c.get("issuer", "") else None
    )(certificate(wos, kind)), timeout=45, pause=0.2))


def until_failed(wos, kind="tunnel"):
    def probe():
        cert = certificate(wos, kind)
        return cert if cert.get("lastError") and cert["failures"] else None
    return harness.until("a failure", probe, timeout=45, pause=0.2)


def script(folder, name, text):
    path = Path(folder) / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def daemon_log(wos):
    path = wos.home / "daemon.log"
    return path.read_text(errors="replace") if path.exists() else ""


def assert_bundle(wos, kind="tunnel"):
    """The stored certificate is whole and nothing half-made lies beside it."""
    live = wos.home / "certs/acme/live"
    pair = live / kind
    public = subprocess.run(["openssl", "pkey", "-in", pair / "key.pem", "-pubout"], check=True,
                            capture_output=True, text=True).stdout
    shown_key = subprocess.run(["openssl", "x509", "-in", pair / "cert.pem", "-noout", "-pubkey"],
                               check=True, capture_output=True, text=True).stdout
    assert public == shown_key
    assert all("." not in p.name for p in live.iterdir()), list(live.iterdir())


def processes_text(wos):
    """Every command line of this home's processes."""
    text = b""
    for pid in wos.processes():
        try:
            text += Path("/proc/%d/cmdline" % pid).read_bytes() + b"\n"
        except OSError:
            pass
    return text.decode("latin-1")


def everything_said(wos):
    """Logs, API answers, command lines: where no secret may be."""
    text = processes_text(wos)
    for path in wos.home.rglob("*.log"):
        text += path.read_text(errors="replace")
    for args in (("status", "--all", "--json"), ("cert", "status", "--json"), ("cert", "status"),
                 ("cert", "show"), ("config", "show", "--json")):
        done = wos.run(*args)
        text += done.out + done.err
    return text


def sh(*args, **keys):
    return subprocess.run(list(map(str, args)), check=True, capture_output=True, text=True,
                          env={**os.environ}, **keys).stdout


def events(wos, operation):
    """The NDJSON of an operation, as the API streams it."""
    out = sh("curl", "-sS", "--unix-socket", wos.home / "daemon.sock",
             "http://d/v1/operations/%s/events" % operation)
    return [json.loads(line) for line in out.splitlines() if line.strip()]


def post(wos, path, body):
    out = sh("curl", "-sS", "--unix-socket", wos.home / "daemon.sock", "-d", json.dumps(body),
             "-w", "\n%{http_code}", "http://d/v1" + path)
    text, _, status = out.rpartition("\n")
    return int(status), json.loads(text)
