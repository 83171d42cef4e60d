"""`wos worktree remove`: what it ends, what it refuses, and why it says so."""
import harness


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
