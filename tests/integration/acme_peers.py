"""Peers of the certificate engine: pebble, its DNS server, and the probe that runs a renewer.

pebble and pebble-challtestsrv are Debian's; Fake (acme_fake.py) does what pebble cannot.
"""
import json
import os
import socket
import struct
import subprocess
import urllib.request
from pathlib import Path

import harness

PROBE = Path(os.environ.get("ACME_PROBE") or harness.BIN.parent / "acme_probe").resolve()
HOOK = """#!/bin/sh
# Writes TXT records into pebble-challtestsrv. The deletion takes all values of the name.
case $WOS_ACME_HOOK_PHASE in
create) curl -fsS -o /dev/null -d "{\\"host\\":\\"$WOS_ACME_RECORD_NAME.\\",\\"value\\":\\"$WOS_ACME_RECORD_VALUE\\"}" http://127.0.0.1:%(port)d/set-txt ;;
delete) curl -fsS -o /dev/null -d "{\\"host\\":\\"$WOS_ACME_RECORD_NAME.\\"}" http://127.0.0.1:%(port)d/clear-txt ;;
*) exit 3 ;;
esac
"""


class Process:
    """A server of ours: started, waited for, ended by its own pid."""

    def __init__(self, argv, ports, env=None, cwd=None, log=None):
        self.log = open(log, "wb")
        self.child = subprocess.Popen(argv, stdout=self.log, stderr=self.log, cwd=cwd,
                                      env={**os.environ, **(env or {})})
        for port in ports:
            harness.until("port %d" % port, lambda: self._listens(port))

    def _listens(self, port):
        assert self.child.poll() is None, "ended early: %s" % open(self.log.name).read()
        socket.create_connection(("127.0.0.1", port), 2).close()
        return True

    def close(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()


def tls_pair(folder):
    """A server certificate for localhost, which the probe is told to trust."""
    cert, key = folder / "server.pem", folder / "server.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    return cert, key


class Dns:
    """pebble-challtestsrv as the DNS server of the world."""

    def __init__(self, folder):
        self.port, self.management = harness.free_port(), harness.free_port()
        self.process = Process(
            ["pebble-challtestsrv", "-dns01", "127.0.0.1:%d" % self.port, "-http01", "", "-https01",
             "", "-tlsalpn01", "", "-management", "127.0.0.1:%d" % self.management],
            [self.management], log=folder / "dns.log")
        self.hook = folder / "hook.sh"
        self.hook.write_text(HOOK % {"port": self.management})
        self.hook.chmod(0o755)

    def txt(self, name):
        """The values of a TXT record, by a real question."""
        question = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(10)
            s.sendto(struct.pack(">6H", 4711, 0x100, 1, 0, 0, 0) + question
                     + struct.pack(">2H", 16, 1), ("127.0.0.1", self.port))
            answer = s.recv(65535)
        count = struct.unpack(">6H", answer[:12])[3]
        at, values = 12 + len(question) + 4, []
        for _ in range(count):
            at = self._skip_name(answer, at)
            kind, _, _, size = struct.unpack(">2HIH", answer[at:at + 10])
            if kind == 16:
                values.append(answer[at + 11:at + 10 + size].decode())
            at += 10 + size
        return values

    def add_txt(self, name, value):
        body = json.dumps({"host": name + ".", "value": value}).encode()
        urllib.request.urlopen("http://127.0.0.1:%d/set-txt" % self.management, body,
                               timeout=10).close()

    @staticmethod
    def _skip_name(data, at):
        while data[at] != 0:
            if data[at] & 0xC0:
                return at + 2
            at += 1 + data[at]
        return at + 1

    def close(self):
        self.process.close()


class Pebble:
    def __init__(self, folder, dns, env=None, **config):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.port, self.management = harness.free_port(), harness.free_port()
        self.ca_file, key = tls_pair(folder)
        self.config = {"listenAddress": "127.0.0.1:%d" % self.port,
                       "managementListenAddress": "127.0.0.1:%d" % self.management,
                       "certificate": str(self.ca_file), "privateKey": str(key),
                       "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "",
                       "externalAccountBindingRequired": False, **config}
        self.env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "15",
                    "PEBBLE_AUTHZREUSE": "0", "PEBBLE_ALTERNATE_ROOTS": "2", **(env or {})}
        self.dns = dns
        self.url = "https://127.0.0.1:%d/dir" % self.port
        self.start()

    def start(self):
        path = self.folder / "pebble.json"
        path.write_text(json.dumps({"pebble": self.config}))
        self.process = Process(["pebble", "-config", str(path), "-strict", "-dnsserver",
                                "127.0.0.1:%d" % self.dns.port], [self.port, self.management],
                               env=self.env, log=self.folder / "pebble.log")

    def restart(self):
        """Another CA at the same place: pebble forgets everything."""
        self.process.close()
        self.start()

    def manage(self, path):
        import ssl
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen("https://localhost:%d%s" % (self.management, path),
                                    context=context, timeout=20) as answer:
            return answer.read().decode()

    def log(self):
        return (self.folder / "pebble.log").read_text(errors="replace")

    def settings(self, home, **changes):
        return {"dir": str(home), "directory": self.url, "directoryUrl": self.url,
                "caFile": str(self.ca_file), "names": ["wos.example", "*.wos.example"],
                "createCommand": str(self.dns.hook), "deleteCommand": str(self.dns.hook),
                "resolvers": ["127.0.0.1:%d" % self.dns.port], **changes}

    def close(self):
        self.process.close()


class Run:
    """What one run of the probe said."""

    def __init__(self, code, output, errors):
        self.code, self.errors = code, errors
        self.lines = [json.loads(line) for line in output.splitlines()]
        self.text = output

    def of(self, kind):
        return [line for line in self.lines if line["type"] == kind]

    @property
    def result(self):
        return self.of("result")[-1]

    @property
    def status(self):
        return self.of("status")[-1]

    def steps(self, state="done"):
        return [s["step"] for s in self.of("certificate.step") if s["state"] == state]

    def messages(self):
        return [s["message"] for s in self.of("certificate.step") if s["message"]]


def write_settings(settings):
    home = Path(settings["dir"])
    home.mkdir(parents=True, exist_ok=True)
    path = home.parent / (home.name + ".json")
    path.write_text(json.dumps(settings))
    return path


def start_probe(settings, *actions, **env):
    return subprocess.Popen([str(PROBE), str(write_settings(settings)), *actions],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, **env})


def end_probe(child, timeout=100):
    try:
        output, errors = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        output, errors = child.communicate()
        raise AssertionError("the probe did not end: %s %s" % (output[-3000:], errors))
    assert "Sanitizer" not in errors, errors
    return Run(child.returncode, output, errors)


def probe(settings, *actions, **env):
    return end_probe(start_probe(settings, *actions, **env))


def x509(path, *options):
    return subprocess.run(["openssl", "x509", "-noout", "-in", str(path), *options], check=True,
                          capture_output=True, text=True).stdout.strip()


def serial(home):
    return x509(Path(home) / "live/tunnel/cert.pem", "-serial")


def assert_pair(home):
    """The live bundle is whole: key and certificate match, nothing lies beside it."""
    live = Path(home) / "live"
    public = subprocess.run(["openssl", "pkey", "-in", live / "tunnel/key.pem", "-pubout"],
                            check=True, capture_output=True, text=True).stdout.strip()
    assert x509(live / "tunnel/cert.pem", "-pubkey") == public
    assert (live / "tunnel/cert.pem").read_text() == (live / "tunnel/fullchain.pem").read_text()
    assert [p.name for p in live.iterdir()] == ["tunnel"]
