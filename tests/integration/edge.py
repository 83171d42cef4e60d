"""The gateway alone (tests/bench/edge.c), for what needs routes in states and with
policies that a daemon would take long to get into.

    with Edge(["app.wos.localhost=%d,secret" % port], secret="s") as edge:
        edge.request("app.wos.localhost", "/", headers=[...], http="h2")
        edge.event("login")

Its events and its log are kept; a sanitizer's report makes leaving fail.
"""
import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import clients
import harness

EDGE = harness.BIN.parent / "edge"


_pair = None  # a directory with the certificate and key that all of this process use


def make_pair():
    global _pair
    if _pair is None:
        _pair = tempfile.TemporaryDirectory(prefix="wos-e-pair-", dir="/tmp")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", "/CN=test",
             "-addext", "subjectAltName=DNS:*.wos.localhost,DNS:wos.localhost",
             "-keyout", _pair.name + "/key.pem", "-out", _pair.name + "/cert.pem"],
            check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return Path(_pair.name)


class Edge:
    def __init__(self, routes, secret=None, tls=True, workers=2, **limits):
        assert EDGE.exists(), "no %s: build the target edge" % EDGE
        self.dir = Path(tempfile.mkdtemp(prefix="wos-e-", dir="/tmp"))
        self.port = harness.free_port()
        self.tls = tls
        self.ca = str(self.dir / "cert.pem") if tls else None
        self.events = []
        self.readies = 0
        self.gateway = None  # its pid
        if tls:
            for name in ("cert.pem", "key.pem"):
                shutil.copy(make_pair() / name, self.dir / name)
        env = {k: v for k, v in os.environ.items() if not k.startswith("WOS_EDGE_")}
        env.update({"WOS_EDGE_" + k.upper(): str(v) for k, v in limits.items()})
        if secret is not None:
            env["WOS_EDGE_SECRET"] = secret
        pair = [self.ca, self.dir / "key.pem"] if tls else ["-", "-"]
        self.log = self.dir / "log"
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen(
                [str(x) for x in [EDGE, self.port, workers, *pair, *routes]], env=env, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self._wait_ready(1)

    def _read(self):
        for line in self.proc.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "event":
                self.events.append(json.loads(rest))
            else:
                self.gateway = int(rest)
                self.readies += 1

    def _wait_ready(self, count):
        def ready():
            if self.proc.poll() is not None:
                raise RuntimeError("the gateway ended:\n" + self.log_text())
            return self.readies >= count
        harness.until("every worker serves the routes", ready)

    def command(self, text):
        """secret TEXT, key: returns when every worker serves it."""
        count = self.readies + 1
        self.proc.stdin.write(text + "\n")
        self.proc.stdin.flush()
        self._wait_ready(count)

    def event(self, kind, **wanted):
        """The first event of that kind with those members; it is then forgotten."""
        def find():
            for event in self.events:
                if event["event"] == kind and wanted.items() <= event.items():
                    self.events.remove(event)
                    return event
            return None
        return harness.until("an event %s %s" % (kind, wanted), find)

    def log_text(self):
        return self.log.read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close(failed=kind is not None)

    def close(self, failed=False):
        self.proc.terminate()
        self.proc.stdin.close()
        self.proc.wait(30)
        self.reader.join(30)
        self.proc.stdout.close()
        text = self.log_text()
        assert failed or ("Sanitizer" not in text and "runtime error" not in text), text
        if not failed:
            shutil.rmtree(self.dir)

    def open(self, host, http="h1", **keys):
        kind = clients.Http1 if http == "h1" else clients.Http2
        return kind(self.port, host, ca=self.ca, **keys)

    def request(self, host, path="/", method="GET", headers=(), body=None, http="h1", **keys):
        """One request on a connection of its own."""
        with self.open(host, http) as client:
            return client.request(method, path, headers=list(headers), body=body, **keys)

    def origin(self, host):
        return "%s://%s:%d" % ("https" if self.tls else "http", host, self.port)

    def ws(self, host, headers=(), http="h1"):
        kind = clients.WebSocket1 if http == "h1" else clients.WebSocket2
        return kind(self.port, host, "/ws", ca=self.ca, headers=list(headers))
