"""Restarts and deaths: what is under way goes on, what was there comes back."""
import os
import re
import signal
import socket
import threading

import pytest

import clients
import harness

WEB = "alpha-web"


@pytest.fixture
def stack(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("$(basename $PWD)")))
    wos.up("alpha")
    assert wos.ca
    return wos


class Traffic:
    """Everything that may be open during a restart, then proof that it lives."""

    def __init__(self, wos):
        self.wos = wos
        self.flows = []
        for i in range(4):
            self._flow(wos.h1(WEB), "h1-%d" % i)
        shared = wos.h2(WEB)
        for i in range(4):
            self._flow(shared, "h2-%d" % i)
        self.sockets = [wos.ws(WEB, http=http) for http in ("h1", "h2") for _ in range(3)]
        assert all(ws.open for ws in self.sockets)
        self.download = wos.h1(WEB)
        self.download.send_head("GET", "/big?size=100000000")
        self.download.channel.until(lambda: len(self.download.channel.inbox) > 65536)
        self.upload = wos.h1(WEB)
        self.upload.send_head("POST", "/sink", [("Transfer-Encoding", "chunked")])
        self.upload.send("5\r\nfirst\r\n")
        self.upload.channel.flush()

    def _flow(self, client, name):
        flow = client.stream("/sse/%s?count=2" % name)
        flow.wait(b"event 0")
        self.flows.append((client, name, flow))

    def check(self):
        for _, name, flow in self.flows:
            assert self.wos.get(WEB, "/gate/%s-1" % name, method="POST").status == 200
            assert b"event 1" in flow.rest(), name
        for ws in self.sockets:
            assert clients.echo_many(ws, 5, 100000) == 5
            ws.close()
        answer = self.download.read_answer(hash_only=True)
        assert answer.size == 100000000
        self.upload.send("4\r\nlast\r\n0\r\n\r\n")
        assert self.upload.read_answer().json["size"] == 9
        for client in {id(c): c for c, _, _ in self.flows}.values():
            client.close()
        self.download.close()
        self.upload.close()


class Load:
    """Requests without pause from several threads, over new and kept
    connections; every failure is kept."""

    def __init__(self, wos):
        self.wos = wos
        self.stop = threading.Event()
        self.failures = []
        self.count = 0
        self.threads = [threading.Thread(target=work, daemon=True)
                        for work in (self.fresh, self.fresh, self.kept, self.h2)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        harness.until("the load runs", lambda: self.count > 20)
        return self

    def __exit__(self, *_):
        seen = self.count
        harness.until("the load went on afterwards",
                      lambda: self.count > seen + 20 or self.failures)
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def note(self, how, work):
        try:
            answer = work()
            if answer.status != 200:
                self.failures.append("%s: %r" % (how, answer))
        except Exception as error:  # any failure at all is what is looked for
            self.failures.append("%s: %r" % (how, error))
        self.count += 1

    def fresh(self):
        while not self.stop.is_set():
            self.note("new connection", lambda: self.wos.get(WEB, "/hello"))

    def kept(self):
        client = self.wos.h1(WEB)

        def one():
            nonlocal client
            try:
                answer = client.request("POST", "/echo", body=b"x" * 1000)
            except clients.ClientError:
                client.close()
                client = self.wos.h1(WEB)
                raise
            if (answer.get("connection") or "").lower() == "close":
                client.close()  # told in time: that is no loss
                client = self.wos.h1(WEB)
            return answer
        while not self.stop.is_set():
            self.note("kept connection", one)
        client.close()

    def h2(self):
        client = self.wos.h2(WEB)

        def one():
            nonlocal client
            if client.goaway is not None:
                client.close()
                client = self.wos.h2(WEB)
            try:
                return client.request(path="/hello")
            except clients.ClientError:
                client.close()
                client = self.wos.h2(WEB)
                raise
        while not self.stop.is_set():
            self.note("http/2 connection", one)
        client.close()


def test_restart_loses_nothing_that_is_open(stack):
    traffic = Traffic(stack)
    pids = stack.service_pids("alpha")
    stack.ok("restart")
    traffic.check()
    assert stack.service_pids("alpha") == pids
    assert harness.alive(pids["web"])


def test_three_restarts_under_load_lose_no_request(stack):
    with Load(stack) as load:
        for _ in range(3):
            stack.ok("restart")
    assert not load.failures, load.failures[:5]


def test_whoever_is_local_is_so_during_a_restart(stack):
    """A daemon that went on with the gateway of the one before had 401 for local pages for a moment."""
    done = threading.Event()
    seen = []

    def ask():
        while not done.is_set():
            try:
                with clients.Http1(stack.web_port, "127.0.0.1",
                                   authority="127.0.0.1:%d" % stack.web_port) as client:
                    seen.append(client.request("GET", "/ui/v1/sessions").status)
            except (OSError, clients.ClientError):
                pass  # nobody listens for a moment
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            stack.ok("restart")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert set(seen) == {200}


def other_build(source, target):
    """A copy of the binary with another GNU build id: the same program, but a
    build of its own as far as anybody can tell."""
    data = bytearray(source.read_bytes())
    found = [m.end() for m in re.finditer(re.escape(
        b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"), data)]
    if not found:
        pytest.fail("the binary carries no GNU build id")
    for at in found:
        data[at:at + 20] = bytes(b ^ 0xA5 for b in data[at:at + 20])
    target.write_bytes(data)
    target.chmod(0o755)
    return target


def test_new_binary_takes_over_without_loss(stack, monkeypatch):
    """A new generation of the gateway on the inherited sockets; the old one
    drains."""
    old = stack.gateway_pid()
    traffic = Traffic(stack)
    monkeypatch.setattr(harness, "BIN", other_build(harness.BIN, stack.dir / "wos-next"))
    with Load(stack) as load:
        stack.ok("restart")
        harness.until("a new gateway", lambda: stack.gateway_pid() not in (None, old))
    assert not load.failures, load.failures[:5]
    traffic.check()
    harness.until("the old generation ended", lambda: not harness.alive(old), timeout=120)
    assert stack.get(WEB, "/hello").status == 200


class Drained:
    """A WebSocket and a kept connection of a gateway that another build has replaced."""

    def __init__(self, stack, monkeypatch, headers=()):
        self.stack, self.old = stack, stack.gateway_pid()
        origin = ("origin", stack.url("tool", "").rstrip("/"))
        self.headers = list(headers)
        self.ws = stack.ws("tool", headers=[*headers, origin])
        assert self.ws.open, self.ws.answer
        self.kept = stack.h1("tool")
        assert self.kept.request(path="/hello", headers=self.headers).status == 200
        monkeypatch.setattr(harness, "BIN", other_build(harness.BIN, stack.dir / "wos-next"))
        stack.ok("restart")
        harness.until("a new gateway", lambda: stack.gateway_pid() not in (None, self.old))
        self.goes_on()

    def goes_on(self):
        assert harness.alive(self.old)
        self.ws.send("still there")
        assert self.ws.recv()[1] == b"still there"

    def has_ended(self, status):
        with pytest.raises(clients.Closed):
            self.ws.recv()
        assert self.kept.request(path="/hello", headers=self.headers).status == status
        self.kept.close()


@pytest.fixture
def tool(stack):
    stack.ok("publish", "tool", stack.backend("own"))
    return stack


NOBODY_HERE = ("config", "set", "tunnel.serviceTunnels.whitelistIps", "192.0.2.0/24")


@pytest.mark.parametrize("change,status", [
    (NOBODY_HERE, 403),
    (("config", "set", "tunnel.serviceTunnels.access", "private"), 404),
    (("unpublish", "tool"), 404)])
def test_what_is_revoked_ends_at_a_replaced_gateway_too(tool, monkeypatch, change, status):
    """A gateway that drained never got another snapshot: for drainSeconds nothing could be revoked
    there."""
    drained = Drained(tool, monkeypatch)
    tool.ok("publish", "another", 9)
    drained.goes_on()
    tool.ok(*change)
    drained.has_ended(status)


def test_a_new_secret_counts_at_a_replaced_gateway_too(tool, monkeypatch):
    tool.ok("config", "set", "tunnel.serviceTunnels.secret", "-", text_input="first of the secrets")
    tool.ok("config", "set", "tunnel.serviceTunnels.access", "secret")
    drained = Drained(tool, monkeypatch, [("x-wos-secret", "first of the secrets")])
    tool.ok("config", "set", "tunnel.serviceTunnels.secret", "-", text_input="second of the secrets")
    drained.has_ended(401)


def test_a_later_daemon_finds_the_replaced_gateway(tool, monkeypatch):
    """Its socket had been replaced: nobody could tell it anything."""
    drained = Drained(tool, monkeypatch)
    tool.ok("restart")
    drained.goes_on()
    daemon = tool.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    harness.until("the daemon is dead", lambda: not harness.alive(daemon))
    drained.goes_on()
    tool.ok("start")
    drained.goes_on()
    tool.ok(*NOBODY_HERE)
    drained.has_ended(403)
    harness.until("it has ended", lambda: not harness.alive(drained.old))
    tool.ok("restart")
    harness.until("its socket is gone", lambda: not list(tool.home.glob("gateway-*.sock")))


def test_a_gateway_that_cannot_be_asked_now_is_not_forgotten(wos):
    """The socket of one that takes no connection at the moment was removed as that of a dead one."""
    path = wos.home / "gateway-1.sock"
    waiting = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with pytest.raises(BlockingIOError):  # as long as its queue has room
            for _ in range(100):
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(str(path))
        wos.ok("start")
        wos.ok("publish", "tool", 9)  # by a gateway of its own
        assert path.exists()
    harness.until("the socket nobody listens at is gone", lambda: not path.exists())
    for client in waiting:
        client.close()


def test_a_replaced_gateway_ends_with_stop(tool, monkeypatch):
    drained = Drained(tool, monkeypatch)
    daemon = tool.daemon_pid()
    os.kill(daemon, signal.SIGKILL)  # so nobody is there who knows it
    harness.until("the daemon is dead", lambda: not harness.alive(daemon))
    tool.ok("stop")
    harness.until("it has ended", lambda: not harness.alive(drained.old))
    drained.ws.close()
    drained.kept.close()


def test_a_replaced_gateway_ends_after_drain_seconds(tool, monkeypatch):
    """Whatever is still open there."""
    tool.ok("config", "set", "tunnel.drainSeconds", "1")
    tool.ok("restart")
    tool.wait_route("tool", "/hello")
    old = tool.gateway_pid()
    origin = ("origin", tool.url("tool", "").rstrip("/"))
    ws = tool.ws("tool", headers=[origin])
    assert ws.open, ws.answer
    monkeypatch.setattr(harness, "BIN", other_build(harness.BIN, tool.dir / "wos-next"))
    tool.ok("restart")
    with pytest.raises(clients.Closed):
        ws.recv()
    harness.until("it has ended", lambda: not harness.alive(old))
    assert tool.get("tool", "/hello").status == 200


def test_killed_daemon_leaves_routes_serving(stack):
    pids = stack.service_pids("alpha")
    gateway = stack.gateway_pid()
    traffic = Traffic(stack)
    with Load(stack) as load:
        daemon = stack.daemon_pid()
        os.kill(daemon, signal.SIGKILL)
        harness.until("the daemon is dead", lambda: not harness.alive(daemon))
        for _ in range(20):
            assert stack.get(WEB, "/hello").status == 200
    assert not load.failures, load.failures[:5]
    traffic.check()
    # The next command finds everything as it was.
    result = stack.ok("status", cwd="alpha")
    assert re.search(r"web +running", result.out), result
    assert stack.gateway_pid() == gateway
    assert stack.service_pids("alpha") == pids
    assert stack.get(WEB, "/hello").status == 200
    stack.down("alpha")
    assert not harness.alive(pids["web"])


def test_killed_gateway_is_started_again(stack):
    old = stack.gateway_pid()
    daemon = stack.daemon_pid()
    for _ in range(3):
        old = stack.gateway_pid()
        os.kill(old, signal.SIGKILL)
        harness.until("a new gateway", lambda: stack.gateway_pid() not in (None, old))
        assert stack.wait_route(WEB, "/hello").text == "hello from alpha\n"
    assert stack.daemon_pid() == daemon


def test_no_connection_is_refused_while_the_gateway_is_down(stack):
    """The daemon holds the listening sockets: who comes in between waits."""
    os.kill(stack.gateway_pid(), signal.SIGKILL)
    for _ in range(20):
        try:
            assert stack.get(WEB, "/hello").status == 200
        except ConnectionRefusedError:
            pytest.fail("the port was closed while the gateway was restarted")
        except (ConnectionResetError, clients.Closed, OSError):
            pass  # accepted by the dying one


def test_both_killed(stack):
    pids = stack.service_pids("alpha")
    stack.ok("publish", "tool", stack.backend("own"))
    gateway, daemon = stack.gateway_pid(), stack.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    os.kill(gateway, signal.SIGKILL)
    harness.until("both are dead", lambda: not harness.alive(daemon) and not harness.alive(gateway))
    stack.ok("status", cwd="alpha")
    assert stack.wait_route(WEB, "/hello").text == "hello from alpha\n"
    assert stack.wait_route("tool", "/hello").text == "hello from own\n"
    assert stack.service_pids("alpha") == pids


def test_stop_and_start_keep_services_and_routes(stack):
    pids = stack.service_pids("alpha")
    stack.ok("stop")
    assert harness.alive(pids["web"])
    with clients.Http1(stack.host_port("alpha"), "localhost") as client:
        assert client.request(path="/hello").status == 200
    stack.ok("start")
    assert stack.wait_route(WEB, "/hello").text == "hello from alpha\n"
    assert stack.service_pids("alpha") == pids


def test_service_that_died_while_the_daemon_was_away(stack):
    pid = stack.service_pids("alpha")["web"]
    stack.ok("stop")
    os.killpg(pid, signal.SIGKILL)
    harness.until("it is dead", lambda: not harness.alive(pid))
    stack.ok("start")
    result = stack.ok("status", cwd="alpha")
    assert not re.search(r"web +running", result.out), result
    assert stack.get(WEB, "/hello").status in (404, 502, 503)
    stack.up("alpha")
    assert stack.get(WEB, "/hello").status == 200


def test_restart_during_up(wos):
    """The operation ends with the daemon; the session can be brought up again
    and nothing is left over."""
    flag = wos.dir / "go"
    app = harness.shell_app(web=harness.python_service("web"))
    app["app"]["init_script"] = ["while [ ! -e %s ]; do sleep 0.1; done" % flag]
    wos.deploy(app)
    wos.up("alpha", "-d")
    wos.ok("restart")
    flag.touch()
    wos.up("alpha")
    assert wos.get(WEB, "/hello").status == 200
    wos.down("alpha")
    left = [x for x in wos.processes().values() if "backend.py" in x or "sleep" in x]
    assert not left, left


def test_up_and_down_disturb_no_other_route(stack):
    traffic = Traffic(stack)
    with Load(stack) as load:
        for _ in range(3):
            stack.up("beta")
            stack.down("beta")
    assert not load.failures, load.failures[:5]
    traffic.check()


def test_redeploy_is_never_a_404(stack):
    """During `up` of a running session its name answers 200 or 503."""
    seen = set()
    done = threading.Event()

    def look():
        while not done.is_set():
            try:
                seen.add(stack.get(WEB, "/hello").status)
            except Exception as error:
                seen.add(repr(error))
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    for _ in range(3):
        stack.up("alpha")
    done.set()
    thread.join(60)
    assert seen <= {200, 503} and 200 in seen, seen


def test_down_is_never_a_502(stack):
    """The name says that the service is stopped, then is unknown; nobody is
    sent to a service that is ending."""
    seen = []
    done = threading.Event()

    def look():
        while not done.is_set():
            try:
                seen.append(stack.get(WEB, "/hello").status)
            except Exception as error:
                seen.append(repr(error))
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    harness.until("it is looked at", lambda: len(seen) > 5)
    stack.down("alpha")
    harness.until("the name is gone", lambda: seen[-1] == 404)
    done.set()
    thread.join(60)
    kinds = [status for i, status in enumerate(seen) if i == 0 or seen[i - 1] != status]
    assert kinds in ([200, 503, 404], [200, 404]), kinds
