"""The daemon's API over its web listener, and a command line that was written for it.

ReferenceCli knows nothing of wos but the documented contract: H/daemon.json, GET /ui/v1/health with
version "1" and protocol "3", and the endpoints under /ui/v1.
"""
import base64
import http.client
import json
import os
import socket
import struct
import subprocess
import time
from urllib.parse import quote, urlsplit


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "%d %r" % (self.status, self.body[:1500])


class Api:
    def __init__(self, port, host="127.0.0.1"):
        self.port, self.host = port, host

    def call(self, method, path, body=None, headers=None, timeout=60):
        conn = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            conn.request(method, "/ui/v1" + path, body=data, headers=headers or {})
            answer = conn.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()},
                          answer.read())
        finally:
            conn.close()

    def get(self, path, **keys):
        return self.call("GET", path, **keys)

    def post(self, path, body=None, **keys):
        return self.call("POST", path, body, **keys)

    def detail(self, path):
        return self.get("/worktrees?path=" + quote(str(path))).json

    def operation(self, accepted, timeout=60):
        """Every line of the operation's stream, to its end."""
        with Lines(self.port, "/operations/%s/events" % accepted["operationId"]) as lines:
            return list(lines.until(lambda line: "terminal" in line, timeout))

    def done(self, accepted):
        """Waits for the end and expects success; the lines."""
        lines = self.operation(accepted)
        assert lines[-1]["terminal"] == {"status": "succeeded"}, lines[-1]
        return lines


class Stream:
    """A lasting answer, read line by line."""

    def __init__(self, port, path, headers=None, silence=60):
        """A read ends with TimeoutError when nothing comes for `silence` seconds."""
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=silence)
        self.conn.request("GET", "/ui/v1" + path, headers=headers or {})
        self.answer = self.conn.getresponse()
        self.status = self.answer.status
        self.headers = {k.lower(): v for k, v in self.answer.getheaders()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()

    def lines(self, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            assert time.monotonic() < deadline, "the stream gave nothing that was waited for"
            line = self.answer.readline()
            if not line:
                return
            yield line.decode().rstrip("\n")


class Lines(Stream):
    """NDJSON."""

    def until(self, test, timeout=60):
        for text in self.lines(timeout):
            if text:
                line = json.loads(text)
                yield line
                if test(line):
                    return


class Events(Stream):
    """text/event-stream: (id, event, data) as a browser's EventSource reads it."""

    def until(self, test, timeout=60):
        found = {}
        for text in self.lines(timeout):
            if text == "":
                if "data" in found:
                    event = (int(found["id"]), found["event"], json.loads(found["data"]))
                    yield event
                    if test(event):
                        return
                found = {}
            elif not text.startswith(":"):
                name, _, value = text.partition(":")
                found[name] = value[1:] if value.startswith(" ") else value


class WebSocket:
    """A client of RFC 6455, only as much as a terminal needs."""

    def __init__(self, port, path, headers=()):
        self.sock = socket.create_connection(("127.0.0.1", port), 30)
        key = base64.b64encode(os.urandom(16)).decode()
        head = ["GET %s HTTP/1.1" % path, "Host: 127.0.0.1:%d" % port, "Upgrade: websocket",
                "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key,
                *headers]
        self.sock.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self._more()
        text, _, self.data = self.data.partition(b"\r\n\r\n")
        self.status = int(text.split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _more(self):
        piece = self.sock.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        self.data += piece

    def _take(self, count):
        while len(self.data) < count:
            self._more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def send(self, message, opcode=1):
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        mask = os.urandom(4)
        size = len(body)
        length = (struct.pack("!B", 0x80 | size) if size < 126 else
                  struct.pack("!BH", 0x80 | 126, size) if size < 65536 else
                  struct.pack("!BQ", 0x80 | 127, size))
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(body))
        self.sock.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def frame(self):
        """(opcode, payload)"""
        first, second = self._take(2)
        assert second < 128, "a server's frame is not masked"
        size = second
        if size == 126:
            size = struct.unpack("!H", self._take(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._take(8))[0]
        return first & 15, self._take(size)

    def message(self):
        while True:
            opcode, payload = self.frame()
            if opcode == 1:
                return json.loads(payload)
            if opcode == 8:
                raise ConnectionError("closed: %r" % payload)
            if opcode == 9:
                self.send(payload, 10)


class Failure(Exception):
    pass


class ReferenceCli:
    """What a `wos` written for this API does, command by command; returns (exit code, output)."""

    def __init__(self, home, env, binary):
        self.home, self.env, self.binary, self.children = home, env, binary, []

    def _healthy(self):
        try:
            meta = json.loads((self.home / "daemon.json").read_text())
            url = urlsplit(meta["webUrl"])
            health = Api(url.port, url.hostname).get("/health", timeout=5).json
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return None
        if health.get("protocol") != "3":
            raise Failure("run `wos restart`")
        return health if health.get("ok") is True else None

    def ensure(self):
        """Starts the daemon unless one answers; its API."""
        health = self._healthy()
        if health is None:
            log = open(self.home / "daemon.log", "wb")
            self.children.append(subprocess.Popen(
                [self.binary, "start", "--foreground"], env=self.env, cwd=self.home,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))
            log.close()
            deadline = time.monotonic() + 120
            while health is None:
                assert self.children[-1].poll() is None, "the daemon ended"
                assert time.monotonic() < deadline, "the daemon does not answer"
                time.sleep(0.05)
                health = self._healthy()
        return Api(health["webPort"], health["webHost"])

    def _accepted(self, answer):
        body = answer.json
        if answer.status == 202:
            return body
        if answer.status == 409 and body["error"] == "session-busy":
            raise Failure("session %s is busy (active op %s)" % (
                body["sessionName"], body["active"]["operationId"]))
        raise Failure(body["message"])

    def _follow(self, api, accepted):
        shown = []
        for line in api.operation(accepted):
            event = line.get("event", {})
            if event.get("type") == "step":
                mark = {"running": "▸", "done": "✓", "failed": "✗"}.get(event["state"])
                shown.append("%s %s" % (mark, event["id"]))
            elif event.get("type") == "failure":
                shown.append("[failure] " + event["message"])
        end = line["terminal"]
        if end["status"] != "succeeded":
            raise Failure(end["failureMessage"])
        return shown

    @staticmethod
    def table(detail):
        if not detail["services"]:
            return "(no services)"
        health = {(h["service"], h["containerPort"]): h for h in detail["appPortHealthchecks"]}
        tunnels = {(t["service"], t["containerPort"]): t for t in detail["tunnels"]}
        rows = []
        for service in detail["services"]:
            for port in service["ports"]:
                key = (service["service"], port["containerPort"])
                rows.append("  ".join([
                    service["service"], service["state"],
                    "http://localhost:%d -> %d/tcp" % (port["hostPort"], port["containerPort"]),
                    health[key]["state"], tunnels.get(key, {}).get("url", "—")]))
        return "\n".join(rows)

    def up(self, path, detach=False, **request):
        api = self.ensure()
        accepted = self._accepted(api.post("/worktrees/up", {"path": str(path), **request}))
        if detach:
            return 0, "wos up: deployment started in the background."
        steps = self._follow(api, accepted)
        return 0, "\n".join(steps) + "\n" + self.table(api.detail(path))

    def down(self, path):
        api = self.ensure()
        answer = api.post("/worktrees/down", {"path": str(path)})
        if answer.status == 404:
            return 0, answer.json["message"]
        self._follow(api, self._accepted(answer))
        return 0, ""

    def status(self, path):
        return 0, self.table(self.ensure().detail(path))

    def wait(self, path, timeout=60):
        deadline = time.monotonic() + timeout
        while True:
            detail = self.ensure().detail(path)
            status = detail["worktree"]["status"]
            if status == "running":
                return 0, self.table(detail)
            if status in ("not_started", "failed", "stopped"):
                return 1, status
            if time.monotonic() > deadline:
                return 1, "timed out (last status: %s)" % status
            time.sleep(0.1)

    def restart(self):
        api = self.ensure()
        pid = api.get("/health").json["pid"]
        assert api.post("/daemon/stop").status == 202
        deadline = time.monotonic() + 30
        while os.path.exists("/proc/%d" % pid) and time.monotonic() < deadline:
            for child in self.children:
                child.poll()
            time.sleep(0.02)
        assert self.ensure().get("/health").json["pid"] != pid
        return 0, ""

    def exec(self, path, service, *command, cols=80, rows=24, typed=""):
        api = self.ensure()
        if api.get("/health").json["version"] != "1":
            raise Failure("another version")
        answer = api.post("/worktrees/exec", {"path": str(path), "service": service,
                                              "command": list(command), "cols": cols, "rows": rows})
        if answer.status != 201:
            raise Failure(answer.json["message"])
        output = ""
        with WebSocket(api.port, answer.json["attachPath"]) as ws:
            ws.send({"type": "hello", "v": 1, "clientId": "ref", "cols": cols, "rows": rows,
                     "desiredControl": "controller"})
            if typed:
                ws.send({"type": "input", "data": typed})
            while True:
                message = ws.message()
                if message["type"] == "output":
                    output += message["data"]
                elif message["type"] == "exit":
                    end = message["exit"]
                    return (end["exitCode"] if "exitCode" in end else 128 + end["signal"]), output
                elif message["type"] == "error":
                    return 1, message["message"]

    def worktree_remove(self, path, force=False):
        api = self.ensure()
        answer = api.post("/worktrees/remove", {"path": str(path), "discardChanges": force})
        if answer.status != 202:
            return 1, answer.json["message"]
        self._follow(api, answer.json)
        return 0, ""

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.terminate()
                child.wait(30)
