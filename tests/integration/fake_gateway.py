"""A gateway that says what a test wants: it listens at H/gateway.sock before the daemon starts,
greets as one that an earlier daemon left behind, and answers snapshots as it is told
(gateway/link_protocol.h, base/frame.h)."""
import json
import os
import socket
import struct
import threading

import harness

HELLO, LISTENERS, READY, SNAPSHOT, ACK, NACK, STATS, DRAIN, SHUTDOWN = 1, 2, 3, 5, 6, 7, 8, 9, 10
MAGIC = 0x46534F57
PROTOCOL = 4


def build_of(wos):
    """The build id of the binary under test, as its gateway logs it."""
    wos.ok("start")
    log = wos.home / "gateway.log"
    harness.until("a gateway started", lambda: log.exists() and "build=" in log.read_text())
    wos.ok("stop")
    return log.read_text().split("build=", 1)[1].split()[0]


class FakeGateway:
    """`answer(generation, payload)`: None acknowledges a snapshot, a text refuses it, as builds do
    that cannot read its number; False says nothing at all. The home's configuration needs
    workers: 1."""

    def __init__(self, wos, build="another", answer=lambda generation, payload: None,
                 path="gateway.sock", generation=1, protocol=PROTOCOL):
        self.wos, self.build, self.answer, self.greeting = wos, build, answer, (generation, protocol)
        self.frames = []  # (type, payload) as they came
        self.ports = socket.create_server(("", wos.port), reuse_port=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        (wos.home / path).unlink(missing_ok=True)
        self.listener.bind(str(wos.home / path))
        self.listener.listen(4)
        self.link = None
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for s in (self.listener, self.link, self.ports):
            if s is not None:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()

    def seen(self, kind):
        return [payload for found, payload in list(self.frames) if found == kind]

    def send(self, kind, body, fds=()):
        text = json.dumps(body).encode()
        socket.send_fds(self.link, [struct.pack("<III", MAGIC, kind, len(text)) + text], list(fds))

    def _serve(self):
        try:
            while True:
                self.link, _ = self.listener.accept()
                self.send(HELLO, {"protocol": self.greeting[1], "build": self.build,
                                  "pid": os.getpid(), "generation": self.greeting[0],
                                  "workers": 1, "sandbox": {}})
                self.send(LISTENERS, {"worker": 0, "addresses": ["0.0.0.0:%d" % self.wos.port]},
                          [self.ports.fileno()])
                self.send(READY, {})
                while self._frame():
                    pass
        except OSError:
            pass  # closed

    def _exactly(self, size, fds):
        data = b""
        while len(data) < size:
            piece, came, _, _ = socket.recv_fds(self.link, size - len(data), 64)
            fds += came
            if not piece:
                return None
            data += piece
        return data

    def _frame(self):
        fds = []
        head = self._exactly(12, fds)
        if head is None:
            return False
        _, kind, size = struct.unpack("<III", head)
        payload = self._exactly(size, fds)
        if kind == SNAPSHOT and not payload and fds:
            payload = os.pread(fds[0], 1 << 28, 0)
        for fd in fds:
            os.close(fd)
        self.frames.append((kind, payload))
        if kind == SHUTDOWN:
            self.link.close()
            return False
        if kind == SNAPSHOT:
            generation = struct.unpack_from("<Q", payload, 8)[0]
            said = self.answer(generation, payload)
            if said is None:
                self.send(ACK, {"generation": generation})
            elif said is not False:
                self.send(NACK, {"generation": 0, "error": said})
        return True
