#!/usr/bin/env python3
"""scale: one wos with many worktrees, services and routes; prints what it measured.

    scale.py WOS BACKEND [--rows] [--worktrees 50] [--routes 1000] [--idle-seconds 20]
             [--settle-seconds 75]

WOS and BACKEND (tests/bench/backend.c) are optimised binaries. A home of its own in /tmp: 50 worktrees
with 4 running services each, then published ports up to 1,000 routes in all. Measured:

    status    `wos status --all`, whole process, median and worst of 20
    publish   POST /publish until every gateway worker serves it: median and p99 of 200
    idle      CPU and memory of the daemon (and the gateway) while nothing is asked of it

The targets are issue 5's; a figure beyond its target is shown with a mark, and is no failure: exit 1 means
that the measurement itself was broken. Everything started is ended, also on failure.
"""
import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVICES = 4
TARGETS = {"status --all, median": 100, "publish, p99": 50, "daemon idle CPU": 0.5,
           "daemon memory": 30}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def rank(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


class Bench:
    def __init__(self, options):
        self.options = options
        self.dir = Path(tempfile.mkdtemp(prefix="wos-scale-", dir="/tmp"))
        self.home = self.dir / "h"
        self.home.mkdir()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.dir), "WOS_HOME": str(self.home),
                    "GIT_AUTHOR_NAME": "b", "GIT_AUTHOR_EMAIL": "b@example.com",
                    "GIT_COMMITTER_NAME": "b", "GIT_COMMITTER_EMAIL": "b@example.com"}
        self.trees = []
        self.rows = []

    def run(self, *args, cwd=None):
        done = subprocess.run(list(map(str, args)), cwd=cwd or self.dir, env=self.env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise RuntimeError("%s: exit %d\n%s" % (" ".join(map(str, args)), done.returncode,
                                                    done.stdout))
        return done.stdout

    def wos(self, *args, cwd=None):
        return self.run(self.options.wos, *args, cwd=cwd)

    def call(self, method, path, body=None):
        conn = UnixHttp(self.home / "daemon.sock")
        try:
            conn.request(method, "/v1" + path, json.dumps(body) if body is not None else None)
            answer = conn.getresponse()
            data = json.loads(answer.read())
            if answer.status >= 400:
                raise RuntimeError("%s %s: %s" % (method, path, data))
            return data
        finally:
            conn.close()

    # --- set-up ---------------------------------------------------------------
    def prepare(self):
        source = self.dir / "repo"
        (source / ".wos").mkdir(parents=True)
        service = {"script": ["exec %s $WOS_SERVICE_PORT" % self.options.backend], "ports": [3000]}
        manifest = {"mode": "shell", "host_ports": {"range": {"start": 20000, "end": 29999}}, "app": {"services": {
            "s%d" % i: dict(service, ports=[{"port": 3000, "healthcheck": {"url": "/small"}}])
            for i in range(SERVICES)}}}
        for name in ("deploy.yaml", "deploy.worktree.yaml"):
            (source / ".wos" / name).write_text(json.dumps(manifest))
        self.run("git", "init", "-q", "-b", "main", ".", cwd=source)
        self.run("git", "add", ".", cwd=source)
        self.run("git", "commit", "-q", "-m", "first", cwd=source)
        (self.home / "config.json").write_text(json.dumps({
            "web": {"port": free_port()},
            "tunnel": {"enabled": True, "port": free_port(), "domain": "scale.localhost",
                       "ssl": {"enabled": True, "source": "self-signed"},
                       "serviceTunnels": {"enabled": True}}}))
        self.trees = [source]
        for i in range(1, self.options.worktrees):
            tree = self.dir / ("tree%d" % i)
            self.run("git", "worktree", "add", "-q", "--detach", tree, cwd=source)
            self.trees.append(tree)
        self.wos("start")
        for tree in self.trees:
            self.wos("up", cwd=tree)

    def fill(self):
        routes = self.options.worktrees * SERVICES
        for i in range(max(0, self.options.routes - routes)):
            self.call("POST", "/publish", {"name": "p%d" % i, "port": 9})

    # --- measuring --------------------------------------------------------------
    def note(self, name, value, unit):
        self.rows.append({"name": name, "value": round(value, 2), "unit": unit,
                          "target": TARGETS.get(name)})

    def status(self):
        times = []
        for _ in range(20):
            begin = time.monotonic()
            self.wos("status", "--all")
            times.append((time.monotonic() - begin) * 1000)
        self.note("status --all, median", rank(times, 0.5), "ms")
        self.note("status --all, worst of 20", max(times), "ms")

    def publish(self):
        times = []
        for i in range(200):
            begin = time.monotonic()
            answer = self.call("POST", "/publish", {"name": "moving", "port": 1000 + i})
            times.append((time.monotonic() - begin) * 1000)
            if answer.get("served") is not True:
                raise RuntimeError("not served: %s" % answer)
        self.note("publish, median", rank(times, 0.5), "ms")
        self.note("publish, p99", rank(times, 0.99), "ms")

    @staticmethod
    def cpu_seconds(pid):
        fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def memory_mib(pid):
        for line in Path("/proc/%d/status" % pid).read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def idle(self):
        status = self.call("GET", "/status/all")
        pids = {"daemon": status["daemon"]["pid"], "gateway": status["tunnel"]["gatewayPid"]}
        time.sleep(self.options.settle_seconds)
        before = {name: self.cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(self.options.idle_seconds)
        for name, pid in pids.items():
            used = self.cpu_seconds(pid) - before[name]
            self.note("%s idle CPU" % name, used / self.options.idle_seconds * 100, "%")
            self.note("%s memory" % name, self.memory_mib(pid), "MiB")
        self.note("routes", len(status["routes"]), "")
        self.note("running services", sum(len(s["services"]) for s in status["sessions"]), "")

    # --- the end ------------------------------------------------------------------
    def close(self):
        for args, cwd in [(("down",), tree) for tree in self.trees] + [(("stop",), None)]:
            try:
                self.wos(*args, cwd=cwd)
            except (RuntimeError, OSError) as error:
                print("scale: %s" % error, file=sys.stderr)
        shutil.rmtree(self.dir, ignore_errors=True)

    def show(self):
        if self.options.rows:
            for row in self.rows:
                print("scale\t%s\t%s\twos\t%s" % (row["name"], row["unit"], row["value"]))
            return
        for row in self.rows:
            target = row["target"]
            mark = "" if target is None else "  (target: under %s%s)" % (
                target, "" if row["value"] < target else ", MISSED")
            print("%-28s %10.2f %s%s" % (row["name"], row["value"], row["unit"], mark))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("wos", type=os.path.abspath)
    parser.add_argument("backend", type=os.path.abspath)
    parser.add_argument("--rows", action="store_true")  # for report.py
    parser.add_argument("--worktrees", type=int, default=50)
    parser.add_argument("--routes", type=int, default=1000)
    parser.add_argument("--settle-seconds", type=int, default=75)  # then the monitor is calm
    parser.add_argument("--idle-seconds", type=int, default=20)
    bench = Bench(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        bench.prepare()
        bench.status()
        bench.fill()
        bench.publish()
        bench.idle()
        bench.show()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
