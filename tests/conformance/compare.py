"""Puts wos and its peers through every check and prints who passes what.

    python3 -m conformance.compare [--edge PATH] [--only TEXT] [--servers a,b] [--details]

Run from tests/ (scripts/conformance does). Each server has its own recorder and runs in
a thread of its own. Exit code 1: wos fails a check. Such a check that a peer passes is
named: the gateway is to score at least as well as the best of them, check by check."""
import argparse
import sys
import threading
from pathlib import Path

from conformance import checks, recorder, servers
from conformance.check import judge, run

PATIENCE = {"wos": 15.0}
PEER_PATIENCE = 1.0  # a peer that waits for more has not answered


class Lane(threading.Thread):
    """One server through all checks."""

    def __init__(self, name, todo, edge):
        super().__init__(daemon=True)
        self.name, self.todo, self.edge = name, todo, edge
        self.verdicts, self.outcomes, self.skipped, self.error = {}, {}, None, None
        self.server = self.recorder = None

    def run(self):
        try:
            self.recorder = recorder.Recorder()
            self.server = servers.Server(self.name, self.recorder.port, self.edge)
            for check in self.todo:
                self._one(check)
        except servers.Missing as missing:
            self.skipped = str(missing)
        except Exception as error:  # shown by main as this server's failure
            self.error = error
        finally:
            if self.server:
                self.server.stop()
            if self.recorder:
                self.recorder.close()

    def _one(self, check):
        patience = PATIENCE.get(self.name, PEER_PATIENCE)
        self._restart_if_dead()
        try:
            outcome = run(check, self.server.port, self.recorder, patience)
        except OSError as error:
            self.verdicts[check.name] = ("no connection: %s" % error,) * 2
            return
        verdict = judge(check, outcome, ours=False)
        own = judge(check, outcome, ours=True) if self.name == "wos" else verdict
        if self._restart_if_dead():
            verdict = own = "the server died of it"
        self.outcomes[check.name] = str(outcome)
        self.verdicts[check.name] = (verdict, own)

    def _restart_if_dead(self):
        """Some peers crash at a check. True if this one just did."""
        if self.server.answers():
            return False
        self.server.stop()
        self.server = servers.Server(self.name, self.recorder.port, self.edge)
        return True


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--edge", default=str(Path(__file__).parents[2] / "build-test/edge"))
    parser.add_argument("--only", default="", help="checks whose name has this text")
    parser.add_argument("--servers", default=",".join(servers.NAMES))
    parser.add_argument("--details", action="store_true", help="why each check failed, and what was seen")
    parser.add_argument("--all", action="store_true", help="print the rows that everyone passes, too")
    return parser.parse_args()


def table(todo, lanes, show_all):
    width = max(len(c.name) for c in todo)
    print("%-*s  %-10s %s" % (width, "check", "RFC", " ".join("%-7s" % l.name for l in lanes)))
    for check in todo:
        marks = []
        for lane in lanes:
            verdict, own = lane.verdicts.get(check.name, ("not run",) * 2)
            marks.append("pass" if own is None else "FAIL" if verdict else "promise")
        if show_all or set(marks) != {"pass"}:
            print("%-*s  %-10s %s" % (width, check.name, check.rfc,
                                      " ".join("%-7s" % m for m in marks)))
    print("%-*s  %-10s %s" % (width, "passed of %d" % len(todo), "", " ".join(
        "%-7d" % sum(l.verdicts.get(c.name, ("",))[0] is None for c in todo) for l in lanes)))


def main():
    options = parse()
    todo = [c for c in checks.ALL if options.only in c.name]
    if not todo:
        sys.exit("no check has %r in its name" % options.only)
    lanes = [Lane(name, todo, options.edge) for name in options.servers.split(",")]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    ran = [lane for lane in lanes if lane.skipped is None]
    if ran:
        table(todo, ran, options.all)
    for lane in lanes:
        if lane.skipped:
            print("skipped: %s: %s" % (lane.name, lane.skipped))
        if lane.error:
            print("broken: %s: %r" % (lane.name, lane.error))
    bad = any(lane.error for lane in lanes)
    wos = next((lane for lane in lanes if lane.name == "wos"), None)
    for check in todo if wos else ():
        own = wos.verdicts.get(check.name, ("", "not run"))[1]
        if own is None:
            continue
        bad = True
        better = [l.name for l in ran if l is not wos and l.verdicts.get(check.name, ("",))[0] is None]
        print("wos fails %s: %s%s" % (check.name, own[:600], "; passed by " + ", ".join(better)
                                      if better else ""))
    if options.details:
        for lane in ran:
            for check in todo:
                if lane.verdicts.get(check.name, ("",))[1] is not None:
                    print("\n%s, %s: %s\n  %s" % (lane.name, check.name,
                                                  lane.verdicts[check.name][1][:500],
                                                  lane.outcomes.get(check.name, "")[:2000]))
    if wos is None or wos.skipped:
        print("wos did not take part")
        bad = True
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
