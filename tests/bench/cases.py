"""cases: the load cases of scripts/bench, every server with the same load in turn. One function a
case; each notes figures with `run.note`. What only wos is asked is in own_cases.py."""

import os
import random
import subprocess
import time

import loads
from servers import HOST, Broken

MIB = 1 << 20


def costs(run, case, server, unit, load):
    """Runs load() and notes the server's CPU time per unit of work, rate and latency beside it."""
    before = server.cpu_us()
    got = load()
    run.note(case, "CPU", "µs/" + unit, server, (server.cpu_us() - before) / got.count)
    run.note(case, "rate", (unit if unit == "MiB" else unit + "s") + "/s", server, got.rate)
    run.note(case, "p50", "µs", server, got.p50_us)
    run.note(case, "p99", "µs", server, got.p99_us)


def each_round(run, case, load, unit="request", count=0):
    """Rounds of all servers in turn; a tenth of the load first. A round is three turns, each a figure of its own,
    with another sharing of the cores and in an order drawn anew (the same in every run): the machine's speed
    changes within seconds, and no server shall always follow the same one. Shorter turns would measure the
    handshakes they begin with."""
    present = run.shared() + run.beside()
    servers = [s for s in present if case not in s.cannot]
    for server in present:
        if case in server.cannot:
            run.cannot(case, server)
    for server in servers:
        load(server, max(64, count // 10))
    order = random.Random(case)
    for turn in range(run.rounds * run.few(3, 1)):
        with run.placed(servers, turn):
            for server in order.sample(servers, len(servers)):
                costs(run, case, server, unit, lambda s=server: load(s, count))


def h1(run):
    each_round(run, "h1", lambda s, n: loads.h2load(s, run.work, n, h1=True, clients=64), count=run.few(40000, 3000))


def h2(run):
    each_round(run, "h2", lambda s, n: loads.h2load(s, run.work, n, clients=16, streams=16),
               count=run.few(70000, 5000))


def full(run):
    each_round(run, "full handshake", lambda s, n: loads.client(run.client, "full", s, n // 4 * 4), "connection",
               run.few(1600, 200))


def resumed(run):
    each_round(run, "resumed handshake", lambda s, n: loads.client(run.client, "resumed", s, n // 4 * 4),
               "connection", run.few(1600, 200))


def transfer(run, case, proto, upload):
    options, path, size = (), "/big?size=%d" % MIB, MIB
    if upload:
        options, path, size = ("-d", run.mebibyte), "/sink", 2
    shape = {"h1": True, "clients": 8} if proto == "h1" else {"clients": 4, "streams": 2}
    each_round(run, case, lambda s, n: loads.h2load(s, run.work, n, path=path, answer_bytes=size,
                                                    options=options, **shape), "MiB", run.few(512, 64))


def download_h1(run):
    transfer(run, "download h1", "h1", False)


def download_h2(run):
    transfer(run, "download h2", "h2", False)


def upload_h1(run):
    transfer(run, "upload h1", "h1", True)


def upload_h2(run):
    transfer(run, "upload h2", "h2", True)


def websocket(run, case, proto):
    def load(server, count):
        text = loads.run_tool([run.ws, proto, HOST, server.port, 64, max(1, count // 64)],
                              "ws %s at %s" % (proto, server.name))
        fields = [float(f) for f in text.split()]
        return loads.Load(int(fields[0]), *fields[1:])
    each_round(run, case, load, "message", run.few(64 * 500, 64 * 50))


def websocket_h1(run):
    websocket(run, "websocket h1", "h1")


def websocket_h2(run):
    websocket(run, "websocket h2", "h2")


class IdleClient:
    """Connections that made one request each and wait, until the block is left."""

    def __init__(self, run, server, proto, count):
        self.what = "idle connections at %s" % server.name
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [run.client, "idle", proto, HOST, str(server.port), str(count)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.want = "idle %d\n" % count

    def __enter__(self):
        if self.process.stdout.readline() != self.want:
            raise Broken("%s: %s" % (self.what, self.process.stderr.read()))
        return self

    def __exit__(self, kind, error, trace):
        _, err = self.process.communicate("")
        if kind is None and self.process.returncode != 0:
            raise Broken("%s: %s" % (self.what, err))


def settled_kib(server):
    """Memory once it no longer changes: what is freed late is not counted."""
    last, now = -1, server.memory_kib()
    for _ in range(50):
        if now == last:
            break
        last = now
        time.sleep(0.2)
        now = server.memory_kib()
    return now


def idle(run):
    """A fresh process for each figure: freed heap would be used again."""
    count = run.few(5000, 700)
    for proto in ("h1", "h2"):
        for _ in range(run.rounds):
            for name in run.names:
                with run.fresh(name) as server:
                    loads.client(run.client, "latency", server, 100, proto)
                    before = settled_kib(server)
                    with IdleClient(run, server, proto, count):
                        kib = (settled_kib(server) - before) / count
                    run.note("idle memory " + proto, "memory", "KiB/connection", server, kib)


def first(run):
    """A connection of a client that leaves Nagle's algorithm on: connect to answer."""
    count = run.few(100, 20)
    for tickets in (True, False):
        case = "first request" + ("" if tickets else ", no tickets")
        for _ in range(run.rounds):
            for name in run.names:
                if not tickets and not run.kind(name).ticket_switch:
                    continue
                with run.fresh(name, tickets=tickets) as server:
                    loads.client(run.client, "first", server, 10)
                    load = loads.client(run.client, "first", server, count)
                    run.note(case, "p50", "ms", server, load.p50_us / 1000)
                    run.note(case, "p99", "ms", server, load.p99_us / 1000)
        for name in run.names:
            if not tickets and not run.kind(name).ticket_switch:
                run.cannot(case, run.kind(name))


def latency(run):
    """What a proxy adds to one small request at a time."""
    count = run.few(5000, 300)
    for _ in range(run.rounds):
        for server in run.shared():
            direct = loads.client(run.client, "latency", run.direct, count, "plain")
            for proto in ("h1", "h2"):
                load = loads.client(run.client, "latency", server, count, proto)
                run.note("latency " + proto, "added p50", "µs", server, load.p50_us - direct.p50_us)
                run.note("latency " + proto, "p99", "µs", server, load.p99_us)


def curl_transfer(run, server, proto, upload, size):
    options = ["-T", run.gibibytes, "-X", "POST", "-H", "Expect:"] if upload else []
    path = "/sink" if upload else "/big?size=%d" % size
    text = loads.run_tool(
        ["curl", "-sS", "-k", "--http1.1" if proto == "h1" else "--http2", "-o", "/dev/null", "-w",
         "%{http_code} %{size_download} %{size_upload}", "--resolve", "%s:%d:127.0.0.1" % (HOST, server.port),
         *options, "https://%s:%d%s" % (HOST, server.port, path)], "curl at %s" % server.name)
    code, down, up = text.split()
    if code != "200" or int(up if upload else down) != size:
        raise Broken("curl at %s: %s" % (server.name, text))


def bulk(run):
    """Memory that one large transfer takes: the peak over what the process had."""
    size = run.few(4, 1) << 30
    with open(run.gibibytes, "wb") as f:
        os.truncate(f.fileno(), size)  # sparse: no disk is used
    for upload in (False, True):
        for proto in ("h1", "h2"):
            case = "bulk %s %s" % ("upload" if upload else "download", proto)
            for name in run.names:
                with run.fresh(name) as server:
                    loads.client(run.client, "latency", server, 100, proto)
                    before = server.memory_kib()
                    server.reset_peak()
                    curl_transfer(run, server, proto, upload, size)
                    run.note(case, "peak", "MiB", server, (server.peak_kib() - before) / 1024)


CASES = {
    "h1": h1, "h2": h2, "full": full, "resumed": resumed, "download-h1": download_h1, "download-h2": download_h2,
    "upload-h1": upload_h1, "upload-h2": upload_h2, "websocket-h1": websocket_h1, "websocket-h2": websocket_h2,
    "idle": idle, "first": first, "latency": latency, "bulk": bulk,
}
