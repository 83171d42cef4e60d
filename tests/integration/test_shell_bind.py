"""serviceBind in shell mode, seen from another host: a network namespace with a veth pair."""
import hashlib
import os
import signal

import pytest

import clients
import harness
from other_host import OtherHost

HOST = OtherHost(77)
V4, V6 = HOST.v4, HOST.v6


@pytest.fixture(scope="module")
def other_host():
    """A namespace that reaches this machine at V4 and V6 only."""
    try:
        reason = HOST.open()
        if reason:
            pytest.skip(reason)
        yield HOST
    finally:
        HOST.close()


def curl(host, address, port, path="/hello", *more):
    return host.curl(address, port, path, *more)


@pytest.mark.parametrize("address", [V4, V6])
def test_reachable_from_another_host(make_wos, other_host, address):
    wos = make_wos(config={"serviceBind": address}, service_tunnels={"enabled": False})
    wos.deploy(harness.shell_app(web=harness.python_service("web", environment={
        "URL": "${app.services.web.url[3000]}"})))
    wos.up("alpha")
    port = wos.host_port("alpha")
    assert curl(other_host, address, port).stdout == b"hello from web\n"
    with clients.Http1(port, "localhost") as client:
        env = client.request(path="/env").json["env"]
    bracketed = "[%s]" % address if ":" in address else address
    assert env["URL"] == "http://%s:%d" % (bracketed, port)
    assert env["WOS_SERVICE_HOSTNAME"] == address
    # It is another process's traffic: the daemon can go, and come again.
    wos.ok("stop")
    assert curl(other_host, address, port).stdout == b"hello from web\n"
    wos.ok("start")
    assert curl(other_host, address, port).stdout == b"hello from web\n"
    # A body in both directions, larger than any buffer.
    big = wos.dir / "big"
    big.write_bytes(os.urandom(3_000_000))
    told = curl(other_host, address, port, "/sink", "--data-binary", "@%s" % big).stdout.decode()
    assert hashlib.sha256(big.read_bytes()).hexdigest() in told, told
    assert len(curl(other_host, address, port, "/big?size=3000000").stdout) == 3000000
    os.kill(wos.daemon_pid(), signal.SIGKILL)
    wos.up("alpha")
    assert wos.host_port("alpha") == port
    assert curl(other_host, address, port).stdout == b"hello from web\n"
    wos.down("alpha")
    assert curl(other_host, address, port).returncode == 7


def test_not_reachable_when_unset(make_wos, other_host):
    wos = make_wos()
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    assert curl(other_host, V4, wos.host_port("alpha")).returncode == 7
    assert "forward" not in " ".join(wos.processes().values())


def test_service_that_listens_everywhere(make_wos, other_host):
    wos = make_wos(config={"serviceBind": V4})
    (wos.source / "index.html").write_text("everywhere")
    wos.deploy(harness.shell_app(web={
        "script": ["exec %s -m http.server --bind 0.0.0.0 $WOS_SERVICE_PORT" % harness.PYTHON],
        "ports": [3000]}))
    wos.up("alpha")
    assert curl(other_host, V4, wos.host_port("alpha"), "/index.html").stdout == b"everywhere"


def test_wildcard_is_every_address(make_wos, other_host):
    wos = make_wos(config={"serviceBind": "0.0.0.0"})
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    assert curl(other_host, V4, wos.host_port("alpha")).stdout == b"hello from web\n"


def test_address_of_nobody_is_said(make_wos):
    wos = make_wos(config={"serviceBind": "192.0.2.9"})
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200


def test_forwarder_of_a_daemon_that_died(make_wos, other_host):
    """It was started and not yet recorded: found again, and ended by down."""
    wos = make_wos(config={"serviceBind": V4})
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.ok("start", env=wos.env(WOS_TEST_CRASH_AT="forward.spawned"))
    assert wos.run("up", cwd="alpha").code != 0
    wos.ok("start")
    assert curl(other_host, V4, wos.host_port("alpha")).stdout == b"hello from web\n"
    wos.down("alpha")
    assert not [line for line in wos.processes().values() if "forward" in line]


def forwarders(wos):
    return [pid for pid, line in wos.processes().items() if " forward " in line + " "]


def test_forwarder_that_dies_is_started_again(make_wos, other_host):
    """By the daemon at once, also one that died while there was none; never after down."""
    wos = make_wos(config={"serviceBind": V4})
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    port = wos.host_port("alpha")

    def is_back(before):
        now = forwarders(wos)
        return now and now != before and (
            curl(other_host, V4, port).stdout == b"hello from web\n") and now
    before = forwarders(wos)
    for _ in range(3):
        assert len(before) == 1, before
        os.kill(before[0], signal.SIGKILL)
        before = harness.until("there is another", lambda old=before: is_back(old))
    wos.ok("stop")
    os.kill(before[0], signal.SIGKILL)
    harness.until("it is dead", lambda: not forwarders(wos))
    wos.ok("start")
    before = harness.until("the next daemon starts one", lambda: is_back(before))
    assert wos.state("alpha")["shell"]["forward"]["pid"] == before[0]
    wos.down("alpha")
    assert forwarders(wos) == [] and curl(other_host, V4, port).returncode == 7


def test_services_that_stay_after_a_failed_check_are_bound(make_wos, other_host):
    """And stay so when the check succeeds later."""
    wos = make_wos(config={"serviceBind": V4})
    (wos.source / "index.html").write_text("not ready")
    wos.deploy(harness.shell_app(web={
        "script": ["exec %s -m http.server --bind 127.0.0.1 $WOS_SERVICE_PORT" % harness.PYTHON],
        "ports": [{"port": 3000, "healthcheck": {"url": "/ready", "status": 200, "retries": 1,
                                                 "start_period": "1ms", "interval": "100ms"}}]}))
    result = wos.run("up", cwd="alpha")
    assert result.code == 1 and "health check of service web port 3000 failed" in result.err, result
    port = wos.host_port("alpha")
    harness.until("it listens: the check may have failed before",
                  lambda: wos.get("alpha-web", "/").body == b"not ready")
    assert curl(other_host, V4, port, "/").stdout == b"not ready"
    (wos.source / "ready").write_text("")
    wos.ok("wait", cwd="alpha")
    assert curl(other_host, V4, port, "/ready").returncode == 0
    wos.down("alpha")
    assert forwarders(wos) == [] and curl(other_host, V4, port).returncode == 7
