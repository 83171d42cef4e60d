"""edge.Edge for tests of services: hosts are given as labels, limits by name, services may
speak TLS with certificates made here.

    with ServiceEdge(["api=h2c:12001"], limits={"response_timeout_ms": 500}) as edge:
        edge.get("api", "/", http="h2")
"""
import os
import subprocess
from pathlib import Path

import edge
import harness

# The sanitizers' own memory (quarantine, shadow) is not the gateway's.
SANITIZED = any(os.environ.get(n) for n in ("ASAN_OPTIONS", "TSAN_OPTIONS")) or (
    edge.EDGE.exists() and any(n in edge.EDGE.read_bytes() for n in (b"__asan_init", b"__tsan_init")))
KEY_KIND = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True, timeout=60)


def make_ca(directory, name="ca"):
    """A certificate authority: <name>.pem and <name>.key."""
    _openssl("req", "-x509", *KEY_KIND, "-days", "2", "-subj", "/CN=test authority " + name,
             "-keyout", name + ".key", "-out", name + ".pem", cwd=directory)


def make_cert(directory, name, alt_names, ca="ca"):
    """<name>.pem (leaf, then CA) and <name>.key; `ca` None: signed by itself."""
    args = ["req", *KEY_KIND, "-subj", "/CN=" + name, "-addext", "subjectAltName=" + alt_names,
            "-keyout", name + ".key"]
    if ca is None:
        _openssl(*args, "-x509", "-days", "2", "-out", name + ".pem", cwd=directory)
        return
    _openssl(*args, "-out", name + ".csr", cwd=directory)
    _openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key",
             "-CAcreateserial", "-days", "2", "-copy_extensions", "copyall",
             "-out", name + ".pem", cwd=directory)
    with open(Path(directory) / (name + ".pem"), "a", encoding="ascii") as out:
        out.write((Path(directory) / (ca + ".pem")).read_text(encoding="ascii"))


class ServiceEdge(edge.Edge):
    def __init__(self, routes, limits=None, ca=None, workers=1, tls=True):
        keys = dict(limits or {})
        if ca:
            keys["ca"] = ca
        hosts = ["%s.%s=%s" % (label, harness.DOMAIN, to)
                 for label, _, to in (route.partition("=") for route in routes)]
        super().__init__(hosts, workers=workers, tls=tls, **keys)

    def host(self, label):
        return label + "." + harness.DOMAIN

    def open(self, label, http="h1", **keys):
        return super().open(self.host(label), http, **keys)

    def h1(self, label, **keys):
        return self.open(label, "h1", **keys)

    def h2(self, label, **keys):
        return self.open(label, "h2", **keys)

    def get(self, label, path="/", http="h1", **keys):
        with self.open(label, http) as client:
            return client.request("GET", path, **keys)

    def rss(self):
        return harness.rss_bytes(self.gateway)

    def assert_grown_less(self, before, limit):
        grown = self.rss() - before
        assert grown < (400 << 20 if SANITIZED else limit), "the gateway grew by %d bytes" % grown
