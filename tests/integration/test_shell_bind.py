"""serviceBind in shell mode, seen from another host: a network namespace with a veth pair."""
import hashlib
import os
import shutil
import signal
import subprocess

import pytest

import clients
import harness

V4, V6 = "10.213.77.1", "fd00:213:77::1"
PEER4, PEER6 = "10.213.77.2", "fd00:213:77::2"


def ip(*args, check=True):
    return subprocess.run(["ip", *args], check=check, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def other_host():
    """The name of a namespace that reaches this machine at V4 and V6 only."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    name = "wos-t-%d" % os.getpid()
    here, there = "wt%da" % (os.getpid() % 100000), "wt%db" % (os.getpid() % 100000)
    made = ip("netns", "add", name, check=False)
    if made.returncode != 0:
        pytest.skip("no network namespaces here: %s" % made.stdout.strip())
    try:
        made = ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name,
                  check=False)
        if made.returncode != 0:
            pytest.skip("no veth pairs here: %s" % made.stdout.strip())
        ip("addr", "add", V4 + "/24", "dev", here)
        ip("-6", "addr", "add", V6 + "/64", "dev", here, "nodad")
        ip("link", "set", here, "up")
        ip("-n", name, "addr", "add", PEER4 + "/24", "dev", there)
        ip("-n", name, "-6", "addr", "add", PEER6 + "/64", "dev", there, "nodad")
        ip("-n", name, "link", "set", there, "up")
        yield name
    finally:
        ip("link", "del", here, check=False)
        ip("netns", "del", name, check=False)


def curl(host, address, port, path="/hello", *more):
    return subprocess.run(
        ["ip", "netns", "exec", host, "curl", "-s", "-g", "--max-time", "20", *more,
         "http://%s:%d%s" % ("[%s]" % address if ":" in address else address, port, path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


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
