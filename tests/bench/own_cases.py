"""own_cases: what scripts/bench asks of wos alone: many routes, publishing under load, workers, start."""

import http.client
import json
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
    """The gateway alone (tests/bench/edge.c): the table is the same, and 100,000 names are there at once."""
    counts = [1, 1000, run.few(100000, 2000)]
    edges = []
    try:
        for count in counts:
            edges.append(Edge(run.work, run.direct.port, program=run.edge, routes=count).start())
        memory = [settled_kib(edge) for edge in edges]
        run.note("routes memory", "memory", "bytes/route", "wos",
                 (memory[-1] - memory[0]) * 1024 / (counts[-1] - counts[0]))
        costs = {count: [] for count in counts}
        for edge in edges:
            h1_cost(run, edge, run.few(5000, 500))
        for _ in range(run.rounds + (0 if run.short else 2)):
            for count, edge in zip(counts, edges):
                cost = h1_cost(run, edge, run.few(40000, 2000))
                costs[count].append(cost)
                run.note("routes", "CPU at %d" % count, "µs/request", "wos", cost)
        run.note("routes", "CPU at most, of that at 1", "", "wos",
                 statistics.median(costs[counts[-1]]) / statistics.median(costs[1]))
    finally:
        for edge in edges:
            edge.stop()


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Publisher(threading.Thread):
    """Changes one route again and again, and notes how long until every worker served it."""

    def __init__(self, home):
        super().__init__()
        self.conn = UnixHttp(home / "daemon.sock")
        self.took_ms = []
        self.ended = threading.Event()
        self.error = None

    def run(self):
        port = 1000
        try:
            while not self.ended.wait(PUBLISH_EVERY_S):
                port = 1000 + (port + 1) % 1000
                begin = time.monotonic()
                self.conn.request("POST", "/v1/publish", json.dumps({"name": "moving", "port": port}))
                answer = self.conn.getresponse()
                data = json.loads(answer.read())
                if answer.status >= 400 or data.get("served") is not True:
                    raise Broken("POST /publish: %s" % data)
                self.took_ms.append((time.monotonic() - begin) * 1000)
        except (OSError, ValueError, Broken, http.client.HTTPException) as error:
            self.error = error

    def finish(self):
        self.ended.set()
        self.join()
        self.conn.close()
        if self.error is not None or not self.took_ms:
            raise Broken("publishing under load: %s" % (self.error or "nothing was published"))
        return self.took_ms


def publish(run):
    count = run.few(100000, 10000)
    took, rates = [], {False: [], True: []}
    with run.fresh("wos", workers=2, routes=ROUTES) as server:
        h1_cost(run, server, 5000)
        for i in range(2 * run.rounds if run.short else 4 * run.rounds):
            busy = i % 2 == 1
            publisher = Publisher(server.home)
            if busy:
                publisher.start()
            try:
                load = loads.h2load(server, run.work, count, h1=True, clients=64)
            finally:
                if busy:
                    took += publisher.finish()
            rates[busy].append(load.rate)
    took.sort()
    run.note("publish", "p50 until live", "ms", "wos", loads.share_of(took, 0.5))
    run.note("publish", "p99 until live", "ms", "wos", loads.share_of(took, 0.99))
    run.note("publish", "changes", "", "wos", len(took))
    run.note("publish loss", "throughput lost", "%", "wos",
             100 * (1 - statistics.median(rates[True]) / statistics.median(rates[False])))


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
