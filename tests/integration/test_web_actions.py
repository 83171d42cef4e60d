"""The web UI in a real browser, second part: forms, start options, two browsers at once, a daemon
that goes and comes; every view while it loads, fails and is offline; pages that attack."""
import json

import pytest

import clients
import harness
from test_realworld import CHROMIUM, node_modules  # noqa: F401 (a fixture)
from test_web_ui import COLOURS, SECRET, browse, local

pytestmark = [pytest.mark.own_network, pytest.mark.no_tsan(
    "to the threads a browser is what test_api.py, test_terminal.py and test_web_security.py ask")]


def app():
    out = harness.shell_app(
        web=harness.python_service("web", environment={"GIVEN": "${MODE:-none}"}),
        worker={"script": ["exec %s -c \"$(cat colours.py)\"" % harness.PYTHON]})
    out["app"]["init_script"] = ["echo init ran again"]
    out["targets"] = {"small": ["web"]}
    out["arguments"] = ["MODE"]
    return out


@pytest.fixture(scope="module")
def ui(node_modules):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    wos = harness.Wos(worktrees=("beta", "gamma"), tunnel={
        "webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET, "terminalEnabled": True}})
    try:
        for tree in wos.trees.values():
            (tree / "colours.py").write_text(COLOURS)
        (wos.trees["alpha"] / ".gitignore").write_text("colours.py\n")
        wos.deploy(app())
        wos.up("alpha")
        wos.up("beta")
        wos.wait_route("wos")
        yield wos
    finally:
        problems = wos.close()
        assert not problems, problems


def enter(wos, way):
    """How a scenario gets in: here, or by the public name over HTTPS."""
    return {"url": local(wos)} if way == "local" else {"url": wos.url("wos"), "secret": SECRET}


WAYS = pytest.mark.parametrize("way", ["local", "public"])


@WAYS
def test_make_edit_comment_remove_a_worktree(ui, way):
    name = "fix-" + way

    def do(what):
        verb, path = what.split(" ", 1)
        assert verb == "dirty"
        with open(path + "/unsaved", "w") as f:
            f.write("work\n")
    seen = browse(ui, "forms", do, name=name, project="alpha", source=str(ui.source),
                  look=way == "local", **enter(ui, way))
    assert "name" in seen["refused"]
    assert seen["path"].endswith("/" + name) and name in seen["facts"]
    assert seen["note"] == "waits for <b>review</b>"
    assert seen["comments"] == ["second"]
    assert "Review " + name in seen["card"] and "waits for <b>review</b>" in seen["card"]
    assert "1 not in git" in seen["dirty"] and not seen["mayRemove"]
    assert seen["sourceRemove"] == 0
    assert name not in ui.git("worktree", "list", cwd=ui.source)
    assert name in ui.git("branch", "--list", cwd=ui.source)
    if way == "public":
        assert seen["protocol"] == "h2"


def test_add_rename_and_forget_a_project(ui):
    other = ui.dir / "second"
    other.mkdir()
    ui.git("init", "-q", "-b", "main", cwd=other)
    ui.git("commit", "-q", "--allow-empty", "-m", "first", cwd=other)
    seen = browse(ui, "projects", other=str(other), **enter(ui, "local"))
    assert "Git worktree" in seen["refused"]
    assert (other / ".git").is_dir()


@WAYS
def test_start_with_options(ui, way):
    def do(_):
        # The page shows what runs before the operation that starts it is over.
        ui.wait_route("gamma-web")
        harness.until("only web runs", lambda: ui.service_pids("gamma").keys() == {"web"})
        assert ui.get("gamma-web", "/env").json["env"]["GIVEN"] == "from the form"
    seen = browse(ui, "options", do, path=str(ui.trees["gamma"]), **enter(ui, way))
    assert seen["target"] == ["web"]
    assert seen["services"] == ["worker"]
    ui.down("gamma")


def test_two_browsers_see_the_same(ui):
    browse(ui, "two", local=local(ui), **enter(ui, "public"))


@WAYS
def test_a_restart_is_no_reload(ui, way):
    def do(what):
        if what in ("stop", "start", "restart"):
            ui.ok(what)
            if what != "stop":
                ui.wait_route("wos")
        else:
            (ui.up if what == "up" else ui.down)("beta")
    seen = browse(ui, "reconnect", do, **enter(ui, way))
    assert seen["same"]


def test_follow(ui):
    seen = browse(ui, "follow", path=str(ui.trees["alpha"]), **enter(ui, "local"))
    assert seen["follows"] and seen["stays"]
    assert seen["left"]["top"] == 0 and seen["left"]["room"] > 100, seen["left"]


# --- states and the keyboard ------------------------------------------------------------------

@pytest.mark.parametrize("state", ["loading", "failing", "away"])
def test_every_view_has_its_states(ui, state):
    browse(ui, state, path=str(ui.trees["alpha"]))


def test_many_tabs(ui):
    def do(what):
        (ui.up if what == "up" else ui.down)("beta")
    seen = browse(ui, "tabs", do, path=str(ui.trees["alpha"]))
    assert set(seen["streams"]) == {"?history=0", "?follow=1"}, seen["streams"]


def test_a_page_that_does_not_arrive_whole(ui):
    assert browse(ui, "halved")["lost"] >= 2


def test_by_keyboard(ui):
    seen = browse(ui, "keyboard")
    assert seen["skip"] == "Skip to the page" and seen["back"] == ["Add a project"] * 3
    assert seen["outline"] == [] and seen["dragged"] == 1
    assert seen["title"] == "alpha – wos"
    assert min(seen["below"]) >= 0, seen["below"]


def test_a_narrow_screen_with_colours_of_its_own(ui):
    seen = browse(ui, "narrow")
    assert seen["nav"] <= 0
    assert seen["dots"] and all(seen["dots"]), seen["dots"]


# --- attacks --------------------------------------------------------------------------------------

def terminal(wos):
    """The path of a real one: without a login or a right Origin it must not open."""
    body = json.dumps({"path": str(wos.trees["alpha"]), "service": "web", "command": ["cat"]})
    with clients.Http1(wos.web_port, "127.0.0.1") as client:
        answer = client.request("POST", "/ui/v1/worktrees/exec", body=body.encode())
    assert answer.status == 201, answer.body
    return answer.json["attachPath"]


def test_pages_of_others_do_nothing(ui):
    pages = {"a foreign page": "http://evil.example",
             "a foreign secure page": "https://other.example",
             "a preview": ui.url("alpha-web", "").rstrip("/"),
             "a program's page": "http://127.0.0.1:%d" % ui.host_port("alpha")}
    before = ui.service_pids("alpha")
    seen = browse(ui, "attack", lambda _: terminal(ui), public=ui.url("wos"), secret=SECRET,
                  pages=pages, path=str(ui.trees["alpha"]))
    assert len(seen["results"]) == 8
    for name, result in seen["results"].items():
        for way in ("json", "simple", "delete"):
            assert result[way] == "TypeError", (name, way, result)
        # What a page may send blindly arrives, and is refused.
        assert result["no-cors"] in ("opaque", "TypeError"), (name, result)
        assert "alpha" not in str(result["read"]) or result["read"] == "TypeError", (name, result)
        assert result["socket"] == "refused", (name, result)
        assert result["script"] == "refused", (name, result)
        assert result["frame"] == "closed", (name, result)
        assert "forbidden" in result["form"], (name, result)
        answers = seen["answers"][name]
        posts = [a for a in answers if not a.startswith(("GET", "OPTIONS"))]
        assert posts and all(a.endswith((" 403", " 401")) for a in posts), (name, answers)
    assert ui.service_pids("alpha") == before
    assert ui.get("alpha-web").status == 200


def test_dns_rebinding_in_a_browser(ui):
    seen = browse(ui, "rebind", lambda _: terminal(ui))
    assert seen["first"] == 403 and seen["rest"] == [403, 403, 403, "refused"]
