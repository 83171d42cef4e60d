"""`wos exec` in shell mode: where a service runs, with its environment, as a terminal or as pipes."""
import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import termios

import pytest

import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")


@pytest.fixture(scope="module")
def running():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s" % harness.BIN, pytrace=False)
    wos = harness.Wos()
    (wos.source / "sub").mkdir()
    app = harness.shell_app(
        web=harness.python_service("web", cwd="sub", environment={"MINE": "a b"}),
        done={"script": ["true"]})
    wos.deploy(app)
    wos.up("alpha")
    yield wos
    problems = wos.close()
    assert not problems, "\n".join(problems)


def test_directory_and_environment(running):
    result = running.ok("exec", "web", "--", "sh", "-c", 'pwd; echo "$MINE $WOS_SERVICE_PORT"',
                        cwd="alpha")
    assert result.out == "%s\na b %d\n" % (running.source / "sub", running.host_port("alpha"))


def test_exit_codes_and_streams(running):
    def code(*command):
        return running.run("exec", "web", *command, cwd="alpha").code
    result = running.run("exec", "web", "sh", "-c", "echo out; echo err >&2; exit 7", cwd="alpha")
    assert (result.code, result.out, result.err) == (7, "out\n", "err\n")
    assert code("--", "sh", "-c", "kill -TERM $$") == 128 + signal.SIGTERM
    assert code("true", "--help", "--json") == 0
    assert code() == 2 and code("--") == 2
    assert running.run("exec", "-x", cwd="alpha").code == 2
    missing = running.run("exec", "web", "no-such-program", cwd="alpha")
    assert missing.code == 1 and "no-such-program" in missing.err
    nobody = running.run("exec", "nobody", "true", cwd="alpha")
    assert nobody.code == 1 and "nobody" in nobody.err and "web" in nobody.err
    idle = running.run("exec", "done", "true", cwd="alpha")
    assert idle.code == 1 and "does not run" in idle.err
    assert running.run("exec", "web", "true", cwd="beta").code == 1


def test_pipes_carry_every_byte(running):
    data = os.urandom(3_000_000)
    result = subprocess.run(
        [str(harness.BIN), "exec", "web", "--", "sh", "-c", "cat; echo end >&2"], input=data,
        cwd=running.source, env=running.env(), capture_output=True, timeout=120)
    assert result.returncode == 0 and result.stderr == b"end\n", result.stderr
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()


def test_terminal(running):
    """A PTY at both ends: size, raw mode, interrupt key, and the terminal as it was afterwards."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    before = termios.tcgetattr(slave)
    proc = subprocess.Popen(
        [str(harness.BIN), "exec", "web", "sh", "-c",
         "stty size; read x; echo got $x; trap 'stty size; echo resized' WINCH; echo armed;"
         "while ! read y; do :; done; exec cat"],
        cwd=running.source, env=running.env(), stdin=slave, stdout=slave, stderr=slave,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    seen = b""

    def expect(text):
        nonlocal seen
        while text not in seen:
            ready, _, _ = select.select([master], [], [], 60)
            assert ready, (text, seen)
            seen += os.read(master, 65536)

    try:
        expect(b"31 97")
        os.write(master, b"typed\r")
        expect(b"got typed")
        expect(b"armed")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 34, 0, 0))
        os.write(master, b"\r")
        expect(b"12 34\r\n")  # the key's echo may come in between
        expect(b"resized")
        os.write(master, b"cat\r")
        expect(b"cat\r\ncat\r\n")  # a shell may overhear the key between two commands
        os.write(master, b"\x03")
        assert proc.wait(60) == 128 + signal.SIGINT
        assert termios.tcgetattr(slave) == before
    finally:
        proc.kill()
        proc.wait()
        os.close(master)
        os.close(slave)


def test_what_a_lost_client_started_ends(running):
    proc = running.popen("exec", "web", "sleep", "1003", cwd="alpha")
    harness.until("it runs", lambda: [
        line for line in running.processes().values() if line == "sleep 1003"])
    proc.kill()
    proc.wait()
    harness.until("it has ended", lambda: not [
        line for line in running.processes().values() if line == "sleep 1003"])
