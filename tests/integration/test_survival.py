"""Many clients that only cost: the gateway's memory stays bounded, and others are served."""
import contextlib
import re
import resource
import select
import socket
import subprocess
import time

import pytest

import harness

WEB = "alpha-web"
SANITIZED = any(name in (harness.BIN.read_bytes() if harness.BIN.exists() else b"")
                for name in (b"__asan_init", b"__tsan_init"))
GROWTH = (1000 if SANITIZED else 120) << 20
IDLE, HALF_OPEN, SLOW = 10000, 3000, 300


def running(**keys):
    instance = harness.Wos(**keys)
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web-of-$(basename $PWD)")))
        instance.up("alpha")
        return instance
    except BaseException:
        instance.close()
        raise


def end(instance):
    problems = instance.close()
    if problems:
        pytest.fail("\n".join(problems) + "\n" + instance.logs(), pytrace=False)


@pytest.fixture(scope="module")
def plain():
    """Cleartext: ten thousand TLS handshakes would only measure OpenSSL."""
    instance = running(ssl={"enabled": False})
    yield instance
    end(instance)


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = IDLE * 5 // 4 + 1000
    if hard != resource.RLIM_INFINITY and hard < need:
        pytest.skip("needs %d file descriptors, ulimit -Hn is %d" % (need, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Sockets that are opened, and perhaps say something, and then do nothing."""

    def __init__(self, port, count, greeting=b""):
        self.sockets = []
        try:
            for i in range(count):
                s = socket.create_connection(("127.0.0.1", port), harness.PATIENCE)
                self.sockets.append(s)
                if greeting:
                    s.sendall(greeting)
        except BaseException:
            self.close()
            raise

    def read_all(self, what):
        for s in self.sockets:
            data = b""
            while what not in data:
                piece = s.recv(65536)
                assert piece, "closed"
                data += piece

    def closed(self):
        """How many the gateway has ended."""
        poll = select.poll()
        for s in self.sockets:
            poll.register(s, select.POLLIN | select.POLLRDHUP)
        return len(poll.poll(0))

    def close(self):
        for s in self.sockets:
            s.close()
        self.sockets = []


@pytest.mark.release
def test_ten_thousand_idle_connections(plain, many_files):
    """Each was served once and stays; the next client is served as ever."""
    pid = plain.gateway_pid()
    before = harness.rss_bytes(pid)
    greeting = b"GET / HTTP/1.1\r\nHost: nobody.wos.localhost\r\n\r\n"
    with contextlib.closing(Crowd(plain.port, IDLE, greeting)) as crowd:
        crowd.read_all(b"no route for host\n")
        assert crowd.closed() == 0
        for _ in range(20):
            assert plain.get(WEB, "/hello").status == 200
        assert harness.rss_bytes(pid) - before < GROWTH
        crowd.sockets[0].sendall(greeting)  # and they are still good
        assert b"404" in crowd.sockets[0].recv(65536)


@pytest.mark.release
def test_half_open_tls(gate):
    """Thousands that never say a word, and as many that stop in the middle of a hello."""
    pid = gate.gateway_pid()
    before = harness.rss_bytes(pid)
    begun = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 100
    with contextlib.closing(Crowd(gate.port, HALF_OPEN // 2)), \
            contextlib.closing(Crowd(gate.port, HALF_OPEN // 2, begun)):
        for http in ("h1", "h2"):
            for _ in range(5):
                assert gate.get(WEB, "/hello", http=http).status == 200
        assert harness.rss_bytes(pid) - before < GROWTH


MODES = {
    "slow headers": ["-H", "-i", "1", "-u", "/echo"],
    "slow bodies": ["-B", "-i", "1", "-s", "8192", "-u", "/sink"],
    "ranges": ["-R", "-b", "3000", "-u", "/file"],
    "slow readers": ["-X", "-n", "1", "-z", "10", "-k", "2", "-u", "/big?size=20000000"],
}


@pytest.mark.release
def test_slow_clients_of_four_kinds(plain):
    """slowhttptest's attacks, all at once. Its -d makes it send absolute-form targets
    to the port, so that it needs no name service."""
    pid = plain.gateway_pid()
    before = peak = harness.rss_bytes(pid)
    attacks = {}
    try:
        for name, (*flags, path) in MODES.items():
            attacks[name] = subprocess.Popen(
                ["slowhttptest", *flags, plain.url(WEB, path), "-d", "127.0.0.1:%d" % plain.port,
                 "-c", str(SLOW), "-r", str(SLOW), "-l", "6", "-p", "5"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace")
        served = 0
        while any(proc.poll() is None for proc in attacks.values()):
            assert plain.get(WEB, "/hello").status == 200
            served += 1
            peak = max(peak, harness.rss_bytes(pid))
            time.sleep(0.05)
        assert served
    finally:
        for proc in attacks.values():
            if proc.poll() is None:
                proc.kill()
    for name, proc in attacks.items():
        said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", proc.communicate(timeout=30)[0])
        assert proc.returncode == 0, (name, said[-2000:])
        assert "service available:   YES" in said, (name, said[-2000:])
        assert "service available:   NO" not in said, (name, said[-2000:])
    assert peak - before < GROWTH
    if not SANITIZED:  # their allocator keeps what is freed
        harness.until("memory goes back", timeout=30,
                      probe=lambda: harness.rss_bytes(pid) - before < 24 << 20)
    assert plain.get(WEB, "/hello").status == 200
