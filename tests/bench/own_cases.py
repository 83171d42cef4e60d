"""own_cases: what scripts/bench asks of wos alone: many routes, publishing under load, workers, start."""

import collections
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

import loads
from cases import settled_kib
from servers import HOST, Broken, Edge

PUBLISH_EVERY_S = 0.1
WINDOW_S = 0.25
ROUTES = 10000


def h1_cost(run, server, count):
    before = server.cpu_us()
    load = loads.h2load(server, run.work, count, h1=True, clients=64)
    return (server.cpu_us() - before) / load.count


def h2_cost(run, server, count):
    before = server.cpu_us()
    load = loads.h2load(server, run.work, count, clients=16, streams=16)
    return (server.cpu_us() - before) / load.count


def routes(run):
    """The gateway alone (tests/bench/edge.c): the table is the same, and 100,000 names are there at once.
    Compared are neighbours in time, in short turns: over seconds the machine's own speed moves by more than
    the aim allows."""
    counts = [1, 1000, run.few(100000, 2000)]
    edges = []
    try:
        for count in counts:
            edges.append(Edge(run.work, run.direct.port, program=run.edge, routes=count).start())
        memory = [settled_kib(edge) for edge in edges]
        run.note("routes memory", "memory", "bytes/route", "wos",
                 (memory[-1] - memory[0]) * 1024 / (counts[-1] - counts[0]))
        with run.placed(edges, 0):
            for edge in edges:
                h1_cost(run, edge, run.few(5000, 500))
            ratios = []
            for turn in range(1 if run.short else 6 * run.rounds):
                costs = {}
                for i in range(len(counts)):
                    at = (turn + i) % len(counts)
                    costs[at] = h1_cost(run, edges[at], run.few(10000, 2000))
                    run.note("routes", "CPU at %d" % counts[at], "µs/request", "wos", costs[at])
                ratios.append(costs[len(counts) - 1] / costs[0])
        run.note("routes", "CPU at most, of that at 1", "", "wos", statistics.median(ratios))
    finally:
        for edge in edges:
            edge.stop()


def publishes_at(seconds):
    """Whether routes change at that time of the clock: in every second window."""
    return int(seconds / WINDOW_S) % 2 == 1


class Publisher(threading.Thread):
    """Changes one route again and again, in every second window, and notes how long until every worker served
    it. It shares the cores with what is measured, so it does no more than it must; answers are looked at in
    the end."""

    def __init__(self, home):
        super().__init__()
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(home / "daemon.sock"))
        self.took_ms = []
        self.answers = []
        self.ended = threading.Event()
        self.error = None

    def request(self, port):
        body = b'{"name":"moving","port":%d}' % port
        self.sock.sendall(b"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        answer = b""
        while True:
            head, end, rest = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\ncontent-length: *(\d+)", head) if end else None
            if length and len(rest) >= int(length.group(1)):
                return answer
            piece = self.sock.recv(65536)
            if not piece:
                raise Broken("POST /publish: the answer ended early")
            answer += piece

    def run(self):
        port = 1000
        try:
            while not self.ended.wait(PUBLISH_EVERY_S):
                if not publishes_at(time.time()):
                    continue
                port = 1000 + (port + 1) % 1000
                begin = time.monotonic()
                self.answers.append(self.request(port))
                self.took_ms.append((time.monotonic() - begin) * 1000)
        except (OSError, Broken) as error:
            self.error = error

    def finish(self):
        self.ended.set()
        self.join()
        self.sock.close()
        if self.error is not None or not self.took_ms:
            raise Broken("publishing under load: %s" % (self.error or "nothing was published"))
        for answer in self.answers:
            head, _, body = answer.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200") or json.loads(body).get("served") is not True:
                raise Broken("POST /publish: %r" % answer)
        return self.took_ms


def losses(ends_us):
    """Per window with changes: the share of throughput it lost, in percent, of the mean of its neighbours
    without. The first and last window are not whole."""
    answered = collections.Counter(int(us / 1e6 / WINDOW_S) for us in ends_us)
    first, last = min(answered), max(answered)
    if any(answered[at] == 0 for at in range(first, last)):
        raise Broken("publishing under load: nothing was answered for %g s" % WINDOW_S)
    return [100 * (1 - 2 * answered[at] / (answered[at - 1] + answered[at + 1]))
            for at in range(first + 2, last - 1) if publishes_at((at + 0.5) * WINDOW_S)]


def publish(run):
    """One load, and changes in every second quarter of a second of it. The loss is that of the median window
    with changes, compared with its neighbours without: from one load to the next, and over seconds, the
    machine's own speed moves by more than the aim allows."""
    took, lost = [], []
    with run.fresh("wos", workers=2, routes=ROUTES) as server:
        h1_cost(run, server, 5000)
        for _ in range(1 if run.short else run.rounds):
            publisher = Publisher(server.home)
            publisher.start()
            try:
                load = loads.h2load(server, run.work, run.few(1000000, 100000), h1=True, clients=64)
            finally:
                took += publisher.finish()
            lost += losses(load.ends_us)
    if not lost:
        raise Broken("publishing under load: the load was over before a window with changes was")
    took.sort()
    run.note("publish", "p50 until live", "ms", "wos", loads.share_of(took, 0.5))
    run.note("publish", "p99 until live", "ms", "wos", loads.share_of(took, 0.99))
    run.note("publish", "changes", "", "wos", len(took))
    run.note("publish loss", "throughput lost", "%", "wos", statistics.median(lost))
    run.note("publish loss", "windows", "", "wos", len(lost))


def workers(run):
    with run.fresh("wos") as one, run.fresh("wos", workers=2) as two:
        for proto, cost, count in (("h1", h1_cost, run.few(60000, 3000)), ("h2", h2_cost, run.few(100000, 5000))):
            found = {1: [], 2: []}
            for server in (one, two):
                cost(run, server, count // 10)
            for _ in range(run.rounds + (0 if run.short else 2)):
                for server in (one, two):
                    figure = cost(run, server, count)
                    found[server.workers].append(figure)
                    run.note("two workers " + proto, "CPU, %d worker%s" % (
                        server.workers, "s" if server.workers > 1 else ""), "µs/request", "wos", figure)
            run.note("two workers " + proto, "CPU of that of one", "", "wos",
                     statistics.median(found[2]) / statistics.median(found[1]))


def start(run):
    with run.fresh("wos") as server:
        for _ in range(run.few(10, 2)):
            server.run("stop")
            begin = time.monotonic()
            server.run("start")
            started = time.monotonic()
            while not asks(run, server):
                if time.monotonic() - begin > 30:
                    raise Broken("no answer 30 s after wos start")
            run.note("start", "the command", "ms", server, (started - begin) * 1000)
            run.note("start", "to the first answer", "ms", server, (time.monotonic() - begin) * 1000)
        server.find_pids()


def asks(run, server):
    """One request of one connection; true when it was a 200."""
    done = subprocess.run([run.client, "first", "h1", HOST, str(server.port), "1"], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def scale(run):
    """50 worktrees with 4 services each and 1,000 routes; what the daemon costs while nothing is asked."""
    options = ["--worktrees", 10, "--routes", 200, "--settle-seconds", 2, "--idle-seconds", 5] if run.short else []
    text = loads.run_tool([sys.executable, loads.__file__.replace("loads.py", "scale.py"), run.wos, run.backend,
                           "--rows", *options], "scale.py")
    for line in text.splitlines():
        if line.startswith("scale\t"):
            _, name, unit, _, value = line.split("\t")
            run.note("scale " + name, "figure", unit, "wos", float(value))


CASES = {"routes": routes, "publish": publish, "workers": workers, "start": start, "scale": scale}
