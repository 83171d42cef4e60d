"""Terminals of the web UI in a real browser: tabs, resizing, replay, two browsers, services, outside."""
import os
import signal

import pytest

import harness
from test_realworld import CHROMIUM, node_modules  # noqa: F401 (a fixture)
from test_web_ui import browse

pytestmark = [pytest.mark.own_network, pytest.mark.no_tsan(
    "to the threads a browser is what test_api.py, test_terminal.py and test_web_security.py ask")]
SECRET = "a-long-secret-of-the-ui"
KEY = "tunnel.webUi.terminalEnabled"


@pytest.fixture(scope="module")
def ui(node_modules):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    wos = harness.Wos(tunnel={"webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET}})
    try:
        wos.deploy(harness.shell_app(web=harness.python_service("web")))
        wos.up("alpha")
        yield wos
    finally:
        problems = wos.close()
        assert not problems, problems


def path(wos):
    return str(wos.trees["alpha"])


def test_a_shell(ui):
    seen = browse(ui, "terminal", path=path(ui))
    assert seen["nowhere"] == 0, "nothing can be started there"
    assert seen["cwd"] and seen["tabs"] == 2
    assert seen["colour"] not in ("rgb(0, 0, 0)", "rgb(23, 27, 34)"), "styles of spans work"
    assert 10 < seen["cellHeight"] < 40
    assert seen["underscores"], "they can be seen"
    assert seen["leave"] == ["Terminal input", "Copy", "Terminal input"]
    assert "Ctrl+Shift+Enter leaves" in seen["hint"]
    assert seen["tidy"] == [True], "what a replay asks is not answered"


def test_two_browsers_and_a_restart(ui):
    seen = browse(ui, "terminalTwo", lambda what: ui.ok(what) and "", path=path(ui))
    assert seen["sizes"][0] != seen["sizes"][1]
    assert seen["beside"] == [[True, True, False]] * 2
    assert seen["same"] and seen["tidy"] == [True] * 3, "one view answers"


def test_a_service(ui):
    browse(ui, "terminalService", path=path(ui), port=ui.host_port("alpha"))


def test_from_outside(ui):
    def do(what):
        if what == "break":
            old = ui.gateway_pid()
            os.kill(old, signal.SIGKILL)
            harness.until("another gateway", lambda: ui.gateway_pid() not in (None, 0, old))
            ui.wait_route("wos")
        else:
            ui.ok("config", "set", KEY, "true" if what == "on" else "false")
    ui.wait_route("wos")
    seen = browse(ui, "terminalPublic", do, url=ui.url("wos"), path=path(ui), secret=SECRET)
    assert seen["refused"] == 403 and seen["links"] == 0
    assert seen["protocol"] == "h2" and seen["once"] == 2
