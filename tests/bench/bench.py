"""bench: what scripts/bench runs once everything is built; see there, and --help.

Starts the servers, runs the cases, prints the figures. Exit 1: a measurement was broken, and its
reason on standard error; a missed aim is no failure."""

import argparse
import contextlib
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import cases
import own_cases
import report
import servers

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "PERFORMANCE.md"
BEGIN, END = "<!-- figures: written by scripts/bench --write -->\n", "<!-- end of figures -->\n"
ALL = {**cases.CASES, **own_cases.CASES}
WAYS = ("alone", "with the service", "with the client")  # is a server on its core
# With as little as shows that each measurement works.
SHORT = ["h1", "h2", "full", "resumed", "download-h1", "download-h2", "upload-h1", "upload-h2", "websocket-h1",
         "websocket-h2", "idle", "first", "routes", "publish", "workers", "start"]


class Run:
    """One run: where, how much, with whom, and what came out."""

    def __init__(self, options, names):
        build = ROOT / "build-bench"
        self.work = tempfile.mkdtemp(prefix="wos-bench-")
        self.short = options.short
        self.rounds = 1 if options.short else options.rounds
        self.names = names
        self.client = str(build / "bench_client")
        self.ws = str(build / "bench_ws")
        self.edge = str(build / "edge")
        self.wos = str(build / "wos")
        self.backend = str(build / "bench_backend")
        self.mebibyte = os.path.join(self.work, "mebibyte")
        self.gibibytes = os.path.join(self.work, "gibibytes")
        self.results = report.Results()
        self.direct = None  # the service itself, where a case asks without a proxy
        self.running = []
        self.relays = [] if options.relay else None  # running; None: not asked for
        self.way = ""  # how the cores are shared now
        servers.Wos.binary = self.wos
        servers.Relay.binary = str(build / "bench_relay")

    def few(self, count, short):
        return short if self.short else count

    def note(self, case, metric, unit, server, value):
        self.results.note(case, metric, unit, server if isinstance(server, str) else server.name, value,
                          self.way)

    def cannot(self, case, server):
        self.results.cannot(case, server.name)

    def kind(self, name):
        return servers.SERVERS[name]

    def shared(self):
        """All servers, started once for the cases that only count CPU time."""
        if not self.running:
            for name in self.names:
                self.running.append(self.kind(name)(self.work, self.direct.port).start())
        return self.running

    def beside(self):
        """The relay, where it was asked for: in the cases with a load only."""
        if self.relays == []:
            self.relays.append(servers.Relay(self.work, self.direct.port).start())
        return self.relays or []

    @contextlib.contextmanager
    def placed(self, measured, turn):
        """Keeps each of these servers to one core, in turn alone, with the service, with the client; who else there
        is has the others. It changes what a byte costs a server by half, and left to itself the scheduler
        decides it anew each second."""
        cores = os.sched_getaffinity(0)
        here = {min(cores)}
        there = cores - here or here
        self.way = WAYS[turn % len(WAYS)]
        ours = [pid for server in measured for pid in server.pids()]
        try:
            for pid in ours:
                servers.place(pid, here)
            for pid in self.direct.pids():
                servers.place(pid, here if self.way == "with the service" else there)
            servers.place(os.getpid(), here if self.way == "with the client" else there)
            yield
        finally:
            self.way = ""
            for pid in [*ours, *self.direct.pids(), os.getpid()]:
                servers.place(pid, cores)

    @contextlib.contextmanager
    def fresh(self, name, **keys):
        server = self.kind(name)(self.work, self.direct.port, **keys)
        try:
            yield server.start()
        finally:
            server.stop()

    def prepare(self):
        servers.make_certificate(self.work)
        with open(self.mebibyte, "wb") as f:
            f.write(b"x" * cases.MIB)
        self.direct = servers.Backend(self.work, self.backend).start()

    def close(self):
        for server in self.running + (self.relays or []) + ([self.direct] if self.direct else []):
            try:
                server.stop()
            except (OSError, servers.Broken) as error:
                print("scripts/bench: %s: %s" % (server.name, error), file=sys.stderr)
        shutil.rmtree(self.work, ignore_errors=True)


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures wos as its user has it (daemon and gateway, one worker, access log, metrics and sandbox\n"
        "on) and, beside it, the peers with one worker each, the same ECDSA P-256 certificate and the same\n"
        "service. What counts is the CPU time of a server's own processes per unit of work; the median of\n"
        "the rounds; its ratio to the best peer of the run. docs/PERFORMANCE.md says how, and has the figures.",
        epilog="Cases: %s.\nWithout any: all; with --short all but latency, bulk and scale.\nPeers: %s.\n\n"
        "A missed aim is no failure. Exit 1: a measurement was broken." % (
            ", ".join(ALL), ", ".join(servers.PEERS)))
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--peers", default=",".join(servers.PEERS), help="comma-separated, or none")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--no-log", action="store_true", help="wos without its access log, too (wos-nolog)")
    parser.add_argument("--relay", action="store_true",
                        help="beside them, in the cases with a load, what only ends TLS and passes bytes on")
    parser.add_argument("--short", action="store_true", help="a little of everything, to see that it works (CI)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="also write the figures into docs/PERFORMANCE.md")
    options = parser.parse_args()
    for name in options.cases:
        if name not in ALL:
            parser.error("there is no case '%s'; the cases are: %s" % (name, ", ".join(ALL)))
    options.peers = [] if options.peers == "none" else options.peers.split(",")
    for name in options.peers:
        if name not in servers.PEERS:
            parser.error("there is no peer '%s'; the peers are: %s" % (name, ", ".join(servers.PEERS)))
    if not 1 <= options.rounds <= 99:
        parser.error("--rounds %d: 1 to 99 are possible" % options.rounds)
    options.cases = options.cases or (SHORT if options.short else list(ALL))
    return options


def about(options, versions, began):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii"))
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(encoding="ascii"))
    openssl = subprocess.run(["openssl", "version"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    compiler = subprocess.run(["cc", "-dumpfullversion"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {
        "machine": "%d × %s, %.0f GiB, Linux %s, OpenSSL %s, cc %s" % (
            os.cpu_count(), model.group(1) if model else platform.machine(), int(memory.group(1)) / (1 << 20),
            platform.release(), openssl[1], compiler.strip()),
        "versions": "Beside it: " + (", ".join("%s %s" % item for item in versions.items()) or "nobody"),
        "run": "Median of %d rounds, %s, %.0f minutes, load at the start %s, at the end %s" % (
            1 if options.short else options.rounds, time.strftime("%Y-%m-%d", time.gmtime(began[0])),
            (time.time() - began[0]) / 60, began[1], "%.1f" % os.getloadavg()[0])}


def write_document(text):
    old = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise servers.Broken("docs/PERFORMANCE.md has no lines '%s' and '%s'" % (BEGIN.strip(), END.strip()))
    DOCUMENT.write_text(head + BEGIN + "\n" + text + "\n" + END + tail, encoding="utf-8")


def main():
    options = arguments()
    versions = {name: servers.version_of(name) for name in options.peers}
    for name in [n for n, version in versions.items() if version is None]:
        print("scripts/bench: %s is not installed: left out" % name, file=sys.stderr)
        del versions[name]
    names = ["wos"] + (["wos-nolog"] if options.no_log else []) + list(versions)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = (time.time(), "%.1f" % os.getloadavg()[0])
    run, broken = Run(options, names), []
    try:
        run.prepare()
        for name in options.cases:
            print("Measuring: %s" % name, file=sys.stderr, flush=True)
            try:
                ALL[name](run)
            except servers.Broken as error:
                broken.append("%s: %s" % (name, error))
                print("scripts/bench: broken: %s" % broken[-1], file=sys.stderr, flush=True)
    finally:
        run.close()
    facts = about(options, versions, began)
    print((report.json_text if options.json else report.table_text)(run.results, facts))
    if options.write and not broken:
        write_document(report.markdown(run.results, facts))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
