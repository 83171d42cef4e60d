"""`wos worktree remove`: what it ends, what it refuses, and why it says so."""
import os
import signal

import pytest

import harness
from api_client import Api, Lines

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")


def test_worktree_remove(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("beta")
    session = wos.session_dir("beta")
    source = wos.run("worktree", "remove", cwd="alpha")
    assert source.code == 1 and "source worktree cannot be removed" in source.err, source
    beta = wos.trees["beta"]
    (beta / "new-file").write_text("x")
    dirty = wos.run("worktree", "remove", cwd="beta")
    assert dirty.code == 1 and "uncommitted changes (1 untracked)" in dirty.err, dirty
    assert "busy" not in dirty.err and wos.get("beta-web", "/hello").status == 200
    assert wos.run("worktree", cwd="beta").code == 2
    (beta / "inside").mkdir()
    removed = wos.ok("worktree", "remove", "--force", cwd=beta / "inside")
    assert removed.out == "removed %s\n" % beta
    assert not beta.exists() and not session.exists()
    assert "beta" not in wos.git("worktree", "list", cwd=wos.source)
    assert not [route for route in wos.routes() if route["worktree"] == "beta"]
    assert not [line for line in wos.processes().values() if "backend.py" in line]


def test_a_worktree_with_changes_is_kept_while_a_restart_settles(wos):
    """A removal is accepted then; that it was must not mean that changes are discarded."""
    wos.deploy(harness.shell_app(web=harness.python_service("web"),
                                 two=harness.python_service("two")))
    wos.up("beta")
    api, beta = Api(wos.web_port), wos.trees["beta"]
    (beta / "work-of-a-week").write_text("not committed")
    gateway = wos.gateway_pid()
    os.kill(gateway, signal.SIGSTOP)  # the routes of the restart are not acknowledged
    try:
        accepted = api.post("/worktrees/services/restart", {"path": str(beta), "service": "two"})
        assert accepted.status == 202, accepted
        with Lines(wos.web_port, "/operations/%s/events" % accepted.json["operationId"]) as lines:
            settling = list(lines.until(lambda line: line.get("event", {}).get("id") == "healthcheck"
                                        and line["event"]["state"] == "done"))
        assert "terminal" not in settling[-1]
        answer = api.post("/worktrees/remove", {"path": str(beta)})
        assert (answer.status, answer.json["error"]) == (409, "worktree-dirty"), answer
    finally:
        os.kill(gateway, signal.SIGCONT)
    api.operation(accepted.json)
    assert (beta / "work-of-a-week").exists()


def test_what_was_removed_without_wos_is_stopped_and_forgotten(wos):
    """The services of a worktree that git removed run on: `down` and `worktree remove` end them, and
    a path where nothing ever was is an error, not "never deployed"."""
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    (wos.dir / "link").symlink_to(wos.dir)
    for name in ("down", "remove"):
        tree = wos.add_worktree("gone-" + name)
        (tree / "sub").mkdir()
        wos.up(tree.name)
        pids = list(wos.service_pids(tree.name).values())
        session = wos.session_dir(tree.name)
        wos.git("worktree", "remove", "--force", str(tree), cwd=wos.source)
        assert not tree.exists() and all(map(harness.alive, pids))
        there = str(wos.dir / "link" / tree.relative_to(wos.dir) / "sub")
        for path in (str(tree.parent / "no-such-tree"), str(wos.trees["alpha"] / "no" / "such")):
            lost = wos.run("--cwd", path, "down", cwd="alpha")
            assert lost.code == 1 and lost.out == "" and "No such file" in lost.err, lost
        if name == "down":
            assert wos.ok("--cwd", there, "down", cwd="alpha").out == ""
            assert session.exists()
        assert wos.ok("--cwd", there, "worktree", "remove", cwd="alpha").code == 0
        assert not any(map(harness.alive, pids)) and not session.exists()
        assert not [route for route in wos.routes() if route["worktree"] == tree.name]
        again = wos.run("--cwd", str(tree), "worktree", "remove", cwd="alpha")
        assert again.code == 1 and "No such file" in again.err, again
