"""The web UI in a real browser: every page and action, locally and by its public name.

A picture of each view at desktop and phone size, light and dark, is kept in `screenshots` beside the
binary, or in WOS_TEST_SHOTS.
"""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

import clients
import harness
from test_realworld import CHROMIUM, node_modules  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.own_network, pytest.mark.no_tsan(
    "to the threads a browser is what test_api.py, test_terminal.py and test_web_security.py ask")]
SECRET = "a-long-secret-of-the-ui"
AXE = harness.BROWSER / "node_modules" / "axe-core" / "axe.min.js"

COLOURS = r"""
import sys, time
print('one needle in the haystack')
while True:
    print('\033[32mgreen\033[0m and \033[1;31mred\033[0m at %d' % time.time())
    print('something for stderr', file=sys.stderr)
    sys.stdout.flush()
    time.sleep(0.3)
"""


PAINT = (r"\033[38;5;196mpalette\033[0m\n\033[38;2;0;0;0mnight\n\033[38:2::255:128:0mcolons\033[0m plain\n"
         r"\033[31mred\nstill red\033[0m\n\033[48;2;255;255;0mback\033[0m\n10%%\r\033[32m50%%\033[0m\n"
         r"<b>bold</b>\npassword> ")


def app(works=True):
    services = {
        "web": harness.python_service("web"),
        "worker": {"script": ["exec %s -c \"$(cat colours.py)\"" % harness.PYTHON]},
        "paint": {"script": ["printf '%s'; exec sleep 100000" % PAINT]},
        "silent": {"script": ["exec sleep 100000"]},
    }
    out = harness.shell_app(**services)
    out["app"]["init_script"] = ["echo copying the data", "printf 'no such table' >&2; exit 3"] \
        if not works else ["true"]
    return out


@pytest.fixture(scope="module")
def ui(node_modules):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    wos = harness.Wos(worktrees=("beta", "gamma"), tunnel={
        "webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET}})
    try:
        for tree in wos.trees.values():
            (tree / "colours.py").write_text(COLOURS)
        wos.deploy(app())
        wos.up("alpha")
        wos.up("beta")
        yield wos
    finally:
        problems = wos.close()
        assert not problems, problems


def local(wos):
    return "http://127.0.0.1:%d/" % wos.web_port


def browse(wos, scenario, do=None, url=None, **options):
    """Runs one scenario of ui.mjs; `do` answers what it asks for. What it saw."""
    shots = Path(os.environ.get("WOS_TEST_SHOTS") or harness.BIN.parent / "screenshots")
    shots.mkdir(parents=True, exist_ok=True)
    given = {"scenario": scenario, "url": url or local(wos), "chromium": CHROMIUM,
             "shots": str(shots), "axe": str(AXE),
             "patienceMs": harness.PATIENCE * 1000, **options}
    with subprocess.Popen(["node", str(harness.BROWSER / "ui.mjs"), json.dumps(given)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as proc:
        try:
            last = ""
            for line in proc.stdout:
                last += line
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                if "ready" in message:
                    answer = do(message["ready"]) or ""
                    proc.stdin.write(answer + "\n")
                    proc.stdin.flush()
            proc.wait(60)
        finally:
            if proc.poll() is None:
                proc.kill()
    assert proc.returncode == 0, last
    seen = json.loads(last.strip().splitlines()[-1])
    assert seen["errors"] == [] and seen["foreign"] == [], (seen["errors"], seen["foreign"])
    assert seen["axe"] == {}, json.dumps(seen["axe"], indent=1)
    return seen


def test_the_board(ui):
    seen = browse(ui, "board")
    assert seen["links"] == [ui.url("alpha-web")]
    assert seen["services"] == ["paint", "silent", "web", "worker"]
    assert seen["qr"] == "QR code of " + ui.url("alpha-web", "")
    assert seen["dialogs"] == 0 and seen["focus"] in ("A", "BUTTON")
    # The aim is 300 ms; a loaded machine with sanitizers may take longer.
    print("first paint: %.0f ms" % seen["paint"])
    assert 0 < seen["paint"] < 10000


def test_the_board_is_live(ui):
    def do(what):
        verb, tree = what.split()
        (ui.up if verb == "up" else ui.down)(tree)
    browse(ui, "live", do)


def contrast(one, other):
    """WCAG 2's, of two colours as getComputedStyle says them."""
    def luminance(colour):
        parts = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_logs(ui):
    seen = browse(ui, "worktree")
    assert not seen["escapes"] and seen["paused"]
    assert seen["found"] == ["workerone needle in the haystack"]
    assert seen["downloaded"] == "worker: one needle in the haystack\n"
    lines = [text for text, _, _ in seen["painted"]]
    assert lines == ["palette", "night", "colons plain", "red", "still red", "back", "50%",
                     "<b>bold</b>", "password> "] and seen["markup"] == 0
    colours = {text: colour for text, colour, _ in seen["painted"]}
    assert colours["colons plain"] == "rgb(255, 128, 0)"
    assert colours["red"] == colours["still red"] != colours["password> "]
    assert len(set(colours.values())) == 7, colours  # plain: <b>bold</b> and password>
    for text, colour, back in seen["painted"]:
        seen_on = "rgb(20, 23, 28)" if back == "rgba(0, 0, 0, 0)" else back
        assert contrast(colour, seen_on) >= 4.5, (text, colour, back)
    assert seen["silent"][0].endswith("-silent.log") and seen["silent"][1] == "", seen["silent"]
    assert seen["title"] == "alpha – wos"


def test_start_fail_repair_stop(ui):
    ui.deploy(app(works=False))
    try:
        seen = browse(ui, "actions", lambda _: ui.deploy(app()), path=str(ui.trees["gamma"]))
    finally:
        ui.deploy(app())
    assert "no such table" in seen["whatFailed"] and seen["firstOnPage"]
    assert any("init script" in s for s in seen["steps"]), seen["steps"]
    assert seen["failures"] == 0


AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
          "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36")


class People:
    """Two are signed in to the UI, and to a service behind a secret."""

    def __init__(self, wos):
        self.wos = wos
        wos.ok("config", "set", "tunnel.serviceTunnels.whitelistIps", '["127.0.0.0/8"]')
        wos.run("config", "set", "tunnel.serviceTunnels.secret", "-", text_input=SECRET)
        wos.ok("publish", "tool", wos.host_port("alpha"), "--access", "secret",
               "--whitelist", "127.0.0.1,192.0.2.0/24")
        self.cookies = [(self.enter("wos", "/ui/v1/auth/login", agent, "application/json",
                                    json.dumps({"secret": SECRET}), 200),
                         self.enter("tool", "/.wos/login", agent, "application/x-www-form-urlencoded",
                                    urlencode({"secret": SECRET, "next": "/hello"}), 303))
                        for agent in AGENTS]
        harness.until("they are known", lambda: len(
            wos.ok("access", "list", "--json").data["logins"]) == 2)

    def enter(self, label, path, agent, kind, body, status):
        answer = self.wos.get(label, path, method="POST", body=body.encode(), headers=[
            ("content-type", kind), ("user-agent", agent),
            ("origin", self.wos.url(label, "").rstrip("/"))])
        assert answer.status == status, answer
        return answer.get("set-cookie").split(";")[0]

    def seen(self):
        """What each of them gets: of the UI, of the service."""
        return [(self.wos.get("wos", "/ui/v1/projects", headers=[("cookie", ui)]).status,
                 self.wos.get("tool", "/hello", headers=[("cookie", tool)]).status)
                for ui, tool in self.cookies]

    def leave(self):
        self.wos.ok("unpublish", "tool")
        for key in ("secret", "whitelistIps"):
            self.wos.ok("config", "unset", "tunnel.serviceTunnels." + key)


def test_the_edge(ui):
    people = []

    def do(what):
        if what == "requests":
            for _ in range(3):
                assert ui.get("alpha-web", "/hello").status == 200
            assert ui.get("nobody", "/").status == 404
        elif what == "people":
            people.append(People(ui))
            assert people[0].seen() == [(200, 200), (200, 200)]
        else:
            one = 200 if what == "one signed out" else 401
            assert people[0].seen() == [(401, 401), (one, one)]
    ui.wait_route("wos")
    try:
        seen = browse(ui, "edge", do)
    finally:
        for one in people:
            one.leave()
    assert seen["people"] == [2, 2]
    assert seen["whitelists"] == ["127.0.0.0/8", "from everywhere, with its secret",
                                  "2 addresses of its own, which also have to be above"]
    assert "unknown-host" in seen["denied"] and "hello" not in seen["denied"]
    assert ui.host("alpha-web") in seen["row"][0]
    assert "self-signed" in seen["certificate"] and harness.DOMAIN in seen["certificate"]
    assert "serving" in seen["listener"] and str(ui.port) in seen["listener"]


def test_settings(ui):
    key = "tunnel.limits.resetsMax"
    seen = browse(ui, "settings", numberKey=key, number="321", secret=SECRET)
    assert "integer" in seen["problem"] and seen["problems"] == 0
    assert seen["placeholder"].startswith("is set") and seen["secret"] == "" and not seen["html"]
    saved = json.loads((ui.home / "config.json").read_text())
    assert saved["tunnel"]["limits"]["resetsMax"] == 321
    assert saved["tunnel"]["webUi"]["secret"] == SECRET
    ui.ok("config", "unset", key)


def test_leaving_with_unsaved_settings(ui):
    key = "tunnel.limits.resetsMax"
    seen = browse(ui, "unsaved", key=key)
    assert seen["stays"] == [True] * 4 and seen["closing"] == "beforeunload"
    assert seen["left"] == "/edge" and seen["value"] == "" and seen["questions"] == 0
    assert json.loads((ui.home / "config.json").read_text())["tunnel"]["limits"]["resetsMax"] == 321
    ui.ok("config", "unset", key)


def test_a_setting_that_waits_is_applied_by_the_button(ui):
    before = ui.daemon_pid()
    gateway = ui.gateway_pid()
    seen = browse(ui, "restart", key="tunnel.drainSeconds", value="77")
    assert seen["value"] == "77" and seen["buttons"] == 0
    assert seen["scrolled"] and seen["inView"] == [True, True]
    assert json.loads(seen["modules"]) == {"api": "debug"}
    assert json.loads((ui.home / "config.json").read_text())["logging"] == {"modules": {"api": "debug"}}
    assert ui.daemon_pid() != before and ui.gateway_pid() == gateway
    assert ui.get("alpha-web", "/hello").status == 200
    ui.ok("config", "unset", "tunnel.drainSeconds", "logging")


def test_every_page_by_keyboard(ui):
    seen = browse(ui, "everyPage", path=str(ui.trees["alpha"]))
    assert seen["problems"] == [], "\n".join(seen["problems"])
    for where, stops in seen["stops"].items():
        assert stops[:2] == ["Skip to the page", "wos"] and len(stops) > 6, (where, stops)
    assert seen["pressed"] == "Restart web" and seen["after"] == "Edit"
    assert seen["begins"] == "Name on the board" and seen["cut"] == []


def test_offline_and_back(ui):
    def do(what):
        ui.ok(what)
    seen = browse(ui, "offline", do)
    assert seen["still"] == 1


def test_from_outside(ui):
    def do(_):
        return ui.ok("connect", "--json").data["url"]
    ui.wait_route("wos")
    seen = browse(ui, "remote", do, url=ui.url("wos"), secret=SECRET)
    assert seen["wrong"] == "Invalid secret."
    [cookie] = seen["cookies"]
    assert cookie["name"] == "__Host-wos_public_auth" and cookie["secure"] and cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax" and cookie["path"] == "/" and seen["script"] == ""
    assert "Settings" not in seen["pages"]
    assert seen["forbidden"] == [403] * 8
    assert seen["shells"] == 0
    assert "connect" not in seen["address"]
    assert "used already" in seen["second"]
    assert seen["sameTab"] == seen["address"] == ui.url("wos", "/")
    assert seen["devices"] == 3


def test_first_run(make_wos, node_modules):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    wos = make_wos(config={"tunnel": {"enabled": False}})
    wos.tls = False
    wos.ok("start")
    seen = browse(wos, "firstrun")
    assert "tunnel.domain" in seen["next"]


# --- much of everything -------------------------------------------------------------------

FLOOD = r"""
import sys, time
n = 0
while True:
    sys.stdout.write(''.join('line %d of very many\n' % (n + i) for i in range(1000)))
    sys.stdout.flush()
    n += 1000
    time.sleep(0.1)
"""


def test_ten_thousand_lines_a_second(make_wos, node_modules):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    wos = make_wos()
    (wos.source / "flood.py").write_text(FLOOD)
    wos.deploy(harness.shell_app(flood={
        "script": ["exec %s -c \"$(cat flood.py)\"" % harness.PYTHON]}))
    wos.up("alpha")
    seen = browse(wos, "flood", path=str(wos.source))
    assert 0 < seen["drawn"] < 200
    print("longest frame under the flood: %.0f ms" % seen["longest"])


def test_two_hundred_worktrees(make_wos, node_modules):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    wos = make_wos(worktrees=())
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    with clients.Http1(wos.web_port, "127.0.0.1") as client:
        if client.request("GET", "/ui/v1/projects").status == 404:
            pytest.skip("this daemon keeps no list of projects")
    for i in range(199):
        wos.git("worktree", "add", "-q", "--detach", wos.dir / "w" / ("tree-%d" % i),
                cwd=wos.source)
    seen = browse(wos, "many", count=200)
    assert seen["cards"] == 200
    # What is out of view is neither laid out nor painted.
    assert seen["visibility"] == ["auto"] * 200 and seen["skipped"] > 150
    print("longest frame while scrolling 200 worktrees: %.0f ms" % seen["longest"])


# --- the build ----------------------------------------------------------------------------

WEB = harness.ROOT / "daemon" / "web"


def test_the_types(tmp_path):
    """TypeScript's own check, with the modules that the build fetched."""
    modules = harness.BIN.parent / "web" / "npm" / "node_modules"
    if not (modules / "typescript").is_dir():
        pytest.skip("built without the web UI")
    shutil.copytree(WEB / "src", tmp_path / "src")
    shutil.copy(WEB / "tsconfig.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    done = subprocess.run(["node", "node_modules/typescript/bin/tsc"], cwd=tmp_path, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mode,code", [("off", 0), ("auto", 0), ("on", 1)])
def test_the_build_without_a_registry(tmp_path, mode, code):
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "npm").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (fake / "npm").chmod(0o755)
    out = tmp_path / "out"
    done = subprocess.run([str(WEB / "build.sh"), mode, str(out)], text=True, timeout=60,
                          env={**os.environ, "PATH": "%s:/usr/bin:/bin" % fake}, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == code, done.stderr
    if code == 0:
        made = (out / "web_assets_data.c").read_text()
        assert "without the web UI" in made
        subprocess.run(["cc", "-std=c17", "-fsyntax-only", "-I", str(harness.ROOT), "-x", "c", "-"],
                       input=made, text=True, check=True, timeout=60)
    else:
        assert "no network" in done.stderr
