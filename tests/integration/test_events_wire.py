"""Events that come of what goes wrong or away, as a client of the stream sees them."""
import os
import signal

import harness
from test_api import history


def types(wos, session=None):
    return [event[1] for event in history(wos.web_port, session=session)]


def seen(wos, *wanted):
    """Waits until the stream has all of them; the list of them all."""
    return harness.until("events " + ", ".join(wanted),
                         lambda: (lambda got: got if set(wanted) <= set(got) else None)(types(wos)))


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
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    removed = harness.until("side is gone", lambda: [e for e in history(wos.web_port) if e[1] == "service.removed"])
    assert "side" in str(removed), removed


def test_volume_clone(make_wos):
    wos = make_wos()
    (wos.trees["alpha"] / "data").mkdir()
    (wos.trees["alpha"] / "data" / "file").write_text("of the source\n")
    wos.deploy({**harness.shell_app(web=harness.python_service("web")), "clone_volumes": ["data"]})
    wos.up("beta")
    assert seen(wos, "deployment.volume-clone").count("deployment.volume-clone") == 2
