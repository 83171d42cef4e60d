"""Shell mode: clone_volumes, caches, readiness of dependencies, down during up."""
import hashlib
import json
import os
import shutil
import stat

import pytest

import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")


def app(services=None, **top):
    return {**harness.shell_app(**(services or {"web": harness.python_service("web")})), **top}


def leftovers(tree):
    return [p for p in tree.rglob(".wos-*") if p.name != ".wos"]


def test_clone_volumes(wos):
    src, dst = wos.trees["alpha"], wos.trees["beta"]
    (src / "data" / "deep").mkdir(parents=True)
    (src / "data" / "deep" / "a").write_text("one")
    os.symlink("deep/a", src / "data" / "link")
    os.chmod(src / "data" / "deep" / "a", 0o640)
    (src / ".env").write_text("X=1\n")
    (src / "kept").write_text("source's")
    (dst / "kept").write_text("own")
    outside = wos.dir / "outside"
    wos.deploy(app(clone_volumes=["data", ".env:conf/.env",
                                  {"source": "kept", "destination": "kept"},
                                  {"source": str(src / ".env"), "destination": str(outside)}],
                   app={"init_script": ["cat data/link > seen-by-init"],
                        "services": {"web": harness.python_service("web")}}))
    wos.up("alpha")
    assert not outside.exists()
    result = wos.up("beta")
    assert "[clone 1/4] copying data..." in result.err and "✓ First-run setup" in result.err, result
    assert (dst / "data" / "deep" / "a").read_text() == "one"
    assert os.readlink(dst / "data" / "link") == "deep/a"
    assert stat.S_IMODE((dst / "data" / "deep" / "a").stat().st_mode) == 0o640
    assert (dst / "conf" / ".env").read_text() == "X=1\n" == outside.read_text()
    assert (dst / "kept").read_text() == "own"
    assert (dst / "seen-by-init").read_text() == "one"
    # A second up copies nothing, --force copies everything anew.
    (src / "data" / "deep" / "a").write_text("two")
    assert "[clone" not in wos.up("beta").err
    assert (dst / "data" / "deep" / "a").read_text() == "one"
    wos.up("beta", "--force")
    assert (dst / "data" / "deep" / "a").read_text() == "two"
    assert (dst / "kept").read_text() == "source's"
    harness.until("the trash is gone", lambda: not leftovers(dst))


def test_clone_that_fails(wos):
    wos.deploy(app(clone_volumes=["missing"]))
    wos.up("alpha")
    result = wos.run("up", cwd="beta")
    assert result.code == 3 and "clone_volumes[0]: %s does not exist" % (
        wos.source / "missing") in result.err, result
    # The copy itself fails: a destination below a file.
    (wos.source / "missing").write_text("x")
    (wos.trees["beta"] / "file").write_text("x")
    wos.deploy(app(clone_volumes=["missing:file/below"]))
    result = wos.run("up", cwd="beta")
    assert result.code == 1 and "clone_volumes[0]" in result.err, result
    assert not leftovers(wos.trees["beta"])


def test_cache(wos):
    alpha, beta = wos.trees["alpha"], wos.trees["beta"]
    entry = {"key": {"files": ["lock", "./sub/lock"]}, "paths": ["node_*", "pkg/{a,b}/out", "gone"]}
    init = ("mkdir -p node_modules pkg/a/out pkg/c/out; [ -e node_modules/x ] "
            "&& echo restored >> node_modules/x || { echo built > node_modules/x; "
            "echo o > pkg/a/out/o; }; ln -sfn / node_root")
    wos.deploy(app(cache=[entry], app={"init_script": [init], "services": {
        "web": harness.python_service("web")}}))
    for tree in (alpha, beta):
        (tree / "sub").mkdir()
        (tree / "lock").write_text("1")
        (tree / "sub" / "lock").write_text("2")
    wos.up("alpha")
    keys = list((wos.home / "cache").iterdir())
    assert len(keys) == 1 and len(keys[0].name) == 64
    listed = json.loads((keys[0] / "_manifest.json").read_text())
    assert listed == ["node_modules", "node_root", "pkg/a/out"]
    assert len(list(keys[0].iterdir())) == 4
    wos.up("beta")
    assert (beta / "node_modules" / "x").read_text() == "built\nrestored\n"
    assert (beta / "pkg" / "a" / "out" / "o").read_text() == "o\n"
    assert os.readlink(beta / "node_root") == "/"
    # beta's up replaced the entry as a whole: same key, newer contents.
    assert [p.name for p in (wos.home / "cache").iterdir() if "partial" not in p.name] == [
        keys[0].name]
    shutil.rmtree(alpha / "node_modules")
    wos.up("alpha", "--force")
    assert (alpha / "node_modules" / "x").read_text() == "built\nrestored\nrestored\n"
    # Another key: nothing to restore. A key whose file is missing: said, and the up goes on.
    (beta / "lock").write_text("other")
    shutil.rmtree(beta / "node_modules")
    wos.up("beta", "--force")
    assert (beta / "node_modules" / "x").read_text() == "built\n"
    (beta / "lock").unlink()
    wos.up("beta", "--force")
    harness.until("nothing half made is left", lambda: not list(
        (wos.home / "cache").glob("*partial*")))


def test_cache_that_lies_is_not_believed(wos):
    wos.deploy(app(cache=[{"key": "k", "paths": ["x"]}]))
    folder = wos.home / "cache" / hashlib.sha256(b"literal:k").hexdigest()
    folder.mkdir(parents=True)
    evil = "../escaped"
    (folder / hashlib.sha256(evil.encode()).hexdigest()).write_text("x")
    (folder / "_manifest.json").write_text(json.dumps([evil]))
    wos.up("alpha")
    assert not (wos.trees["alpha"].parent / "escaped").exists()


BACKEND = harness.python_service("x")["script"][0]


def test_services_wait_until_dependencies_are_ready(wos):
    gate = wos.dir / "open"
    slow = {"script": ["while ! [ -e %s ]; do sleep 0.05; done" % gate, BACKEND],
            "ports": [{"port": 3000, "healthcheck": {"interval": 50}}]}
    wos.deploy(harness.shell_app(
        db=slow, other=harness.python_service("other"),
        task={"script": ["echo migrated"], "dependencies": ["db"]},
        web=harness.python_service("web", dependencies=["db", "task"])))
    up = wos.popen("up", cwd="alpha")
    wos.wait_route("alpha-other")
    logs = wos.session_dir("alpha") / "shell" / "logs"
    assert set(wos.state("alpha")["shell"]["services"]) == {"db", "other"}
    gate.write_text("")
    assert up.wait(60) == 0, up.communicate()
    assert (logs / "task.stdout.log").read_text() == "migrated\n"
    assert set(wos.state("alpha")["shell"]["services"]) == {"db", "other", "task", "web"}
    assert wos.get("alpha-web", "/hello").status == 200


@pytest.mark.parametrize("db, said", [
    ({"script": ["echo no disk >&2; exit 3"], "ports": [3000]},
     "service db ended during up (exit 3)"),
    ({"script": [BACKEND], "ports": [{"port": 3000, "healthcheck": {
        "url": "/status/500", "status": 200, "timeout": 400, "interval": 50}}]},
     "health check of service db port 3000 failed")])
def test_dependency_that_fails_fails_its_dependents(wos, db, said):
    wos.deploy(harness.shell_app(db=db, web=harness.python_service("web", dependencies=["db"]),
                                 ui=harness.python_service("ui", dependencies=["web"])))
    result = wos.run("up", cwd="alpha")
    assert result.code == 1 and said in result.err, result
    assert "not started, because what they depend on is not ready: web, ui" in result.err, result
    assert not {"web", "ui"} & set(wos.state("alpha")["shell"]["services"])
    wos.down("alpha")


def block(name, wos):
    return "touch %s/at-%s; sleep 300" % (wos.dir, name)


@pytest.mark.parametrize("step", ["clone", "init", "ready", "health"])
def test_down_during_up(wos, step):
    """Whatever an up is doing, down ends it; nothing runs and nothing half made stays."""
    services = {"web": harness.python_service("web")}
    top = {}
    tree = "alpha"
    if step == "clone":
        (wos.source / "big").mkdir()
        top["clone_volumes"] = ["big"]
        tree = "beta"
        tools = wos.dir / "bin"
        tools.mkdir()
        (tools / "cp").write_text("#!/bin/sh\nmkdir \"$6\"; %s\n" % block("clone", wos))
        (tools / "cp").chmod(0o755)
        wos.ok("start", env=wos.env(PATH="%s:%s" % (tools, wos.env()["PATH"])))
    elif step == "ready":
        services["web"]["dependencies"] = ["db"]
        services["db"] = {"script": [block("ready", wos)], "ports": [3001]}
    elif step == "health":
        services["web"] = {"script": [block("health", wos)], "ports": [3000]}
    top["app"] = {"services": services}
    if step == "init":
        top["app"]["init_script"] = [block("init", wos)]
    wos.deploy(app(**top))
    up = wos.popen("up", cwd=tree)
    harness.until("the up is there", lambda: (wos.dir / ("at-%s" % step)).exists())
    wos.down(tree)
    assert up.wait(60) == 1, "it was cancelled"
    harness.until("nothing runs", lambda: not [
        line for line in wos.processes().values() if "sleep" in line or "backend.py" in line])
    assert not (wos.trees[tree] / "big").exists()
    harness.until("nothing half made", lambda: not leftovers(wos.trees[tree]))
    assert wos.run("status", "--json", cwd=tree).data["services"] == []


def test_logs_of_any_bytes(wos):
    """A NUL hides nothing, and what is no UTF-8 is shown as that."""
    wos.deploy(harness.shell_app(a={"script": [
        r"printf 'before\n\0after\nlat\351n\nlast\n'; exec sleep 1000"]}))
    wos.up("alpha")
    said = ["before", "\ufffdafter", "lat\ufffdn", "last"]
    harness.until("all of it", lambda: wos.ok("logs", "a", cwd="alpha").out.splitlines() == said)
    result = wos.run("logs", "nope", cwd="alpha")
    assert result.code == 1 and "no service named nope has run here; services: a" in result.err, result


def test_logs_of_all_services_and_across_restarts(wos):
    talk = "for i in 1 2 3; do echo %s line $i; done; echo oops >&2; exec sleep 1000"
    wos.deploy(harness.shell_app(a={"script": [talk % "a"]}, longer={"script": [talk % "b"]}))
    wos.up("alpha")
    result = wos.ok("logs", cwd="alpha")
    said = [line.split(" | ") for line in result.out.splitlines()]
    assert sorted((name.strip(), text) for name, text in said) == [
        (name, "%s line %d" % (short, i)) for name, short in (("a", "a"), ("longer", "b"))
        for i in (1, 2, 3)]
    assert "longer | oops" in result.err
    assert wos.ok("logs", "a", "-n", "2", cwd="alpha").out == "a line 2\na line 3\n"
    assert wos.run("logs", "-n", "0", cwd="alpha").code == 2
    follower = wos.popen("logs", "a", "-f", "-n", "1", cwd="alpha")
    assert follower.stdout.readline().strip() in ("a line 3", b"a line 3")
    wos.deploy(harness.shell_app(a={"script": ["echo a much longer text than there was before, so "
                                               "that the file is not shorter; exec sleep 1000"]}))
    wos.up("alpha")
    assert "much longer" in str(follower.stdout.readline())
    follower.terminate()
