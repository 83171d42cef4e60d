"""Events that come of what goes wrong or away, as a client of the stream sees them."""
import os
import signal
import socket

import harness
from api_client import Api
from test_api import history


def types(wos, session=None):
    return [event[1] for event in history(wos.web_port, session=session)]


def seen(wos, *wanted):
    """Waits until the stream has all of them; the list of them all."""
    return harness.until("events " + ", ".join(wanted),
                         lambda: (lambda got: got if set(wanted) <= set(got) else None)(types(wos)))


def told(wos, kind, count=1):
    """Waits until the stream has `count` of the kind; the envelopes."""
    return harness.until("%d of %s" % (count, kind), lambda: (
        lambda got: got if len(got) >= count else None)([e[2] for e in history(wos.web_port) if e[1] == kind]))


def of_session(wos, envelope, tree="alpha"):
    """What every event of a session says about it."""
    assert envelope["sessionName"], envelope
    return envelope["worktreePath"] == str(wos.trees[tree]) and envelope["type"] == envelope["event"]["type"]


def test_services_that_come_crash_and_go(make_wos):
    wos = make_wos()
    wos.deploy(harness.shell_app(web=harness.python_service("web"), side=harness.python_service("side")))
    wos.up("alpha")
    assert seen(wos, "service.discovered").count("service.discovered") == 2
    assert not {"service.crashed", "service.removed"} & set(types(wos))
    pid = wos.state("alpha")["shell"]["services"]["side"]["pid"]
    os.killpg(pid, signal.SIGKILL)
    crash = harness.until("the crash", lambda: [e for e in history(wos.web_port) if e[1] == "service.crashed"])
    assert len(crash) == 1 and "side" in str(crash), crash
    another_port(wos)
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    removed = harness.until("side is gone", lambda: [e for e in history(wos.web_port) if e[1] == "service.removed"])
    assert "side" in str(removed), removed


def another_port(wos):
    """Somebody took the port of `side`, which is down: its name leads to another one."""
    before = wos.host_port(service="side")
    assert "tunnel.reset" not in types(wos)
    with socket.create_server(("127.0.0.1", before)):
        wos.up("alpha")
    [reset] = told(wos, "tunnel.reset")
    assert of_session(wos, reset), reset
    tunnel = {"service": "side", "containerPort": 3000, "hostPort": wos.host_port(service="side"),
              "state": "active", "hostname": "alpha-side.wos.localhost",
              "url": wos.url("alpha-side", "")}
    assert reset["event"].items() >= tunnel.items() and tunnel["hostPort"] != before, reset


def test_the_tunnel_fails_and_comes_back(make_wos):
    """Nobody does anything to the session meanwhile."""
    wos = make_wos()
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    with socket.create_server(("0.0.0.0", wos.port)):
        wos.run("up", cwd="alpha")
        [failed] = told(wos, "tunnel.failed")
        assert of_session(wos, failed), failed
        [row] = Api(wos.web_port).detail(wos.trees["alpha"])["tunnels"]
        assert row["state"] == "failed" and "port %d is in use" % wos.port in row["message"], row
        assert failed["event"] == {"type": "tunnel.failed", **row}
    opened = told(wos, "tunnel.opened")[-1]
    assert of_session(wos, opened) and opened["event"]["hostname"] == "alpha-web.wos.localhost"
    assert opened["id"] > failed["id"] and opened["event"]["state"] == "active", opened


def test_volume_clone(make_wos):
    wos = make_wos()
    (wos.trees["alpha"] / "data").mkdir()
    (wos.trees["alpha"] / "data" / "file").write_text("of the source\n")
    wos.deploy({**harness.shell_app(web=harness.python_service("web")), "clone_volumes": ["data"]})
    wos.up("beta")
    assert seen(wos, "deployment.volume-clone").count("deployment.volume-clone") == 2
