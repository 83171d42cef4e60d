"""What the gateway process can no longer do. Needs a binary without sanitizers, whose
runtime opens files: scripts/test release."""
import json
import os
import signal
import subprocess

import pytest

import harness

pytestmark = pytest.mark.release_only
PROBE = harness.BIN.parent / "sandbox_probe"
KILLED = ("exec", "fork", "ptrace", "mount", "bind", "kill")
REFUSED = ("open", "create", "openat2", "stat", "clone3", "unix-socket", "executable-memory",
           "make-executable", "raise-limits", "raw-socket", "udp-socket", "blocking-socket",
           "make-blocking", "blocking-ioctl", "dup", "duplicate", "poll", "map-socket",
           "own-table")
ALLOWED = ("thread", "tcp-socket", "accept")


def attempt(what):
    return subprocess.run([PROBE, what], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, timeout=30, check=False)


def test_every_attempt_is_judged_here():
    names = set(attempt("list").stdout.split())
    assert names == set(KILLED + REFUSED + ALLOWED)


@pytest.mark.parametrize("what", KILLED)
def test_ends_the_process(what):
    done = attempt(what)
    assert done.returncode == -signal.SIGSYS, (done, done.stdout)


@pytest.mark.parametrize("what", REFUSED)
def test_is_refused(what):
    done = attempt(what)
    assert done.returncode == 0 and done.stdout.startswith("refused: "), done


@pytest.mark.parametrize("what", ALLOWED)
def test_still_works(what):
    assert attempt(what).stdout == "allowed\n"


def namespaces_work():
    """Containers may forbid mount namespaces; the gateway then keeps the root it has."""
    flags = ["-m"] if os.geteuid() == 0 else ["-U", "-r", "-m"]
    return subprocess.run(["unshare", *flags, "true"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as text:
        return dict(line.rstrip("\n").split(":\t", 1) for line in text if ":\t" in line)


def test_the_running_gateway_is_in_it(wos):
    """In every thread, with an empty root, and without the daemon's environment."""
    wos.ok("start", env=wos.env(SOME_TOKEN="a-secret-of-the-shell"))
    wos.ok("publish", "x", wos.backend())
    pid = wos.gateway_pid()
    for thread in os.listdir("/proc/%d/task" % pid):
        status = status_of(int(thread))
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
        assert int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0, status
    if namespaces_work():
        assert os.listdir("/proc/%d/root" % pid) == []
    with open("/proc/%d/environ" % pid, "rb") as env:
        assert b"SOME_TOKEN" not in env.read()
    assert wos.get("x").status == 200
    assert wos.get("x", http="h2").status == 200


def test_a_new_daemon_keeps_it(wos):
    wos.ok("publish", "x", wos.backend())
    pid = wos.gateway_pid()
    wos.ok("restart")
    assert wos.gateway_pid() == pid
    assert wos.get("x").status == 200


def test_it_gets_no_terminal(wos):
    """What runs in the sandbox and is known as a gateway asks on the web listener, as this machine;
    then the same of a program that is no gateway."""
    wos.ok("start")
    listed = wos.home / "gateways.json"

    def ask(is_gateway):
        probe = subprocess.Popen(
            [PROBE, "reach", str(wos.web_port), str(wos.trees["alpha"])], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if is_gateway:
            with open("/proc/%d/stat" % probe.pid, encoding="ascii") as text:
                start = int(text.read().rsplit(")", 1)[1].split()[19])
            known = json.loads(listed.read_text()) + [{"pid": probe.pid, "start": start}]
            listed.write_text(json.dumps(known))
        return probe.communicate("go\n", timeout=60)[0]

    answer = ask(True)
    assert answer.startswith("HTTP/1.1 403") and "gateway" in answer, answer
    answer = ask(False)
    assert answer.startswith("HTTP/1.1 201"), answer
