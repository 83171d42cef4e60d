"""cost: instructions and system calls of the gateway per request, compared with tests/bench/cost.json.

    cost.py BUILD [--record]

BUILD has edge, edge_cost, bench_client and bench_backend of a Release build. Each case runs twice, with N
and with 2 N requests one after the other on one worker with its access log; the difference, divided by the
requests between, has neither start nor end in it.

Compared, and what may not grow (also said in docs/HACKING.md):
    wos       instructions in the program itself, without its libraries: +5 %
    calls     calls from it into libraries: +5 %
    total     instructions of everything: +5 %, where libraries and processor are those of the record
    syscalls  system calls (strace): one more; of a handshake without epoll_wait, since how many of its
              packets one turn meets is a matter of time
Instructions and calls count only with the compiler of the record. What grew is measured once more, and
the lower figure counts. Exit 1: something grew; 2: broken."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import loads
from servers import Backend, Broken, Edge, make_certificate

RECORD = pathlib.Path(__file__).with_name("cost.json")
GROWTH = 1.05
# case → (how bench_client asks, its protocol, N)
CASES = {"h1": ("latency", "h1", 400), "h2": ("latency", "h2", 400), "handshake": ("serial", "h1", 100)}
PACKAGES = ("libc6", "libssl3", "libnghttp2-14", "libevent-core-2.1-7", "valgrind")


def environment():
    """What decides the instructions of libraries; and the compiler, which decides ours."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False)
    flags = re.search(r"^flags\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii"), re.MULTILINE)
    wanted = {"aes", "avx", "avx2", "bmi2", "adx", "pclmulqdq", "sha_ni", "rdrand", "ssse3", "erms"}
    compiler = subprocess.run(["cc", "-dumpfullversion"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return {"compiler": "cc " + compiler.strip(), "machine": os.uname().machine,
            "libraries": done.stdout.splitlines(),
            "processor": sorted(wanted & set(flags.group(1).split())) if flags else []}


def requests_of(mode, count):
    """How many requests bench_client makes for this count: latency warms up first."""
    return count + count // 10 + 50 if mode == "latency" else count


class Watched(Edge):
    """The gateway under a program that counts; ends by itself so that it can write down what it saw."""

    def __init__(self, *args, prefix, **keys):
        super().__init__(*args, **keys)
        self.prefix = prefix

    def command(self):
        return [*self.prefix, *super().command()]

    def finish(self):
        """Ends the gateway (edge is the first child, or the process itself) and waits for the counts."""
        pids = self.edges()
        os.kill(pids[0], signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Broken("%s did not end" % self.prefix[0]) from None

    def edges(self):
        name = os.path.basename(self.program)
        found = [self.process.pid]
        if self.prefix[0] == "strace":
            with open("/proc/%d/task/%d/children" % (found[0], found[0]), encoding="ascii") as f:
                found = [int(pid) for pid in f.read().split()]
        if not found:
            raise Broken("no process of %s" % name)
        return found


def run_case(work, build, backend, program, prefix, case, count):
    mode, proto, _ = CASES[case]
    edge = Watched(work, backend.port, program=str(build / program), prefix=prefix)
    try:
        edge.start()
        loads.client(str(build / "bench_client"), mode, edge, count, proto)
        edge.finish()
    finally:
        edge.stop()


def parse_callgrind(path, program):
    """(instructions in the program itself, calls from it into libraries, instructions in all)."""
    names, here, callee, skip = {}, None, None, False
    own = calls = total = 0

    def object_of(text):
        key, _, name = text.partition(" ")
        if name:
            names[key] = os.path.basename(name)
        return names[key]

    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if line.startswith("ob="):
                here = object_of(line[3:])
            elif line.startswith("cob="):
                callee = object_of(line[4:])
            elif line.startswith("calls="):
                if here == program and callee not in (None, program):
                    calls += int(line[6:].split()[0])
                callee, skip = None, True
            elif line[:1] in "0123456789+-*" and line:
                if not skip:
                    cost = int(line.split()[1])
                    total += cost
                    own += cost if here == program else 0
                skip = False
    return own, calls, total


def count_instructions(work, build, backend, case, count):
    prefix = ["valgrind", "--tool=callgrind", "--callgrind-out-file=%s/callgrind.%%p" % work]
    run_case(work, build, backend, "edge_cost", prefix, case, count)
    files = sorted(pathlib.Path(work).glob("callgrind.*"), key=lambda path: path.stat().st_size)
    if len(files) != 2:
        raise Broken("callgrind wrote %d files, not 2" % len(files))
    return max((parse_callgrind(path, "edge_cost") for path in files), key=lambda counts: counts[2])


def count_system_calls(work, build, backend, case, count):
    out = pathlib.Path(work) / "strace"
    prefix = ["strace", "-f", "-c", "-U", "calls,name", "-o", str(out)]
    run_case(work, build, backend, "edge", prefix, case, count)
    found = {name: int(number) for number, name in re.findall(r"^\s*(\d+) (\w+)$", out.read_text(), re.MULTILINE)}
    found.pop("total", None)
    if not found:
        raise Broken("strace counted nothing: %s" % out.read_text()[:300])
    return found


def count(counter, work, build, backend, case, number):
    folder = tempfile.mkdtemp(dir=work)
    for name in ("cert.pem", "key.pem"):
        os.symlink(os.path.join(work, name), os.path.join(folder, name))
    return counter(folder, build, backend, case, number)


def measure(work, build, backend):
    """All cases; two processes are counted at a time, since each mostly waits."""
    found = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {(case, counter, times): pool.submit(count, counter, work, build, backend, case, times * CASES[case][2])
                for case in CASES for counter in (count_instructions, count_system_calls) for times in (1, 2)}
        for case, (mode, _, number) in CASES.items():
            between = requests_of(mode, 2 * number) - requests_of(mode, number)
            once, twice = (jobs[case, count_instructions, times].result() for times in (1, 2))
            own, calls, total = ((b - a) / between for a, b in zip(once, twice))
            once, twice = (jobs[case, count_system_calls, times].result() for times in (1, 2))
            names = {name: (twice.get(name, 0) - once.get(name, 0)) / between for name in {*once, *twice}}
            counted = [n for name, n in names.items() if mode != "serial" or name != "epoll_wait"]
            found[case] = {"wos": round(own), "calls": round(calls, 1), "total": round(total),
                           "syscalls": sum(round(n) for n in counted),  # what comes by chance is less than a half
                           "each": {name: round(n, 2) for name, n in sorted(names.items()) if abs(n) >= 0.05}}
    return found


def rows(old, new, same_compiler, same_environment):
    """(what, compared, grew) of one case."""
    for what, counts in (("wos", same_compiler), ("calls", same_compiler), ("total", same_environment),
                         ("syscalls", True)):
        limit = old[what] if what == "syscalls" else old[what] * GROWTH
        yield what, counts, counts and new[what] > limit


def grew(record, found, *same):
    return any(bad for case in CASES for _, _, bad in rows(record[case], found[case], *same))


def show(record, found, *same):
    for case in CASES:
        old, new = record[case], found[case]
        for what, counts, bad in rows(old, new, *same):
            print("%-10s %-9s %12.2f   recorded %12.2f   %+6.1f %%  %s" % (
                case, what, new[what], old[what], 100 * (new[what] / old[what] - 1),
                "GREW" if bad else "" if counts else "(other environment: not compared)"))
            if bad and what == "syscalls":
                print("    recorded: %s\n    now:      %s" % (old["each"], new["each"]))


def lower(one, other):
    """The lower of each figure of two measurements."""
    return {case: {what: one[case][what] if what == "each" else min(one[case][what], other[case][what])
                   for what in one[case]} for case in one}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wos-cost-") as work:
        make_certificate(work)
        backend = Backend(work, str(options.build / "bench_backend")).start()
        try:
            found = measure(work, options.build, backend)
            if options.record:
                RECORD.write_text(json.dumps({"environment": environment(), "cases": found}, indent=2) + "\n")
                print(RECORD.read_text())
                return 0
            record, here = json.loads(RECORD.read_text()), environment()
            same = (all(record["environment"][key] == here[key] for key in ("compiler", "machine")),
                    record["environment"] == here)
            if not same[1]:
                print("Recorded with %s\nhere:         %s" % (record["environment"], here))
            if grew(record["cases"], found, *same):
                found = lower(found, measure(work, options.build, backend))
        finally:
            backend.stop()
    show(record["cases"], found, *same)
    return 1 if grew(record["cases"], found, *same) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as error:
        print("cost: %s" % error, file=sys.stderr)
        sys.exit(2)
