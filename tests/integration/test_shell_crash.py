"""kill -9 of the daemon at every step of up and down; then state, processes and routes agree."""
import json
import os
import pty
import signal
import subprocess

import pytest

import harness

pytestmark = pytest.mark.no_tsan("the daemon has one thread, and its end is what this is about")
UP = ["up.prepare", "up.release", "up.released", "up.ports", "up.publish", "up.setup", "up.init",
      "up.save", "up.launch", "launch.spawned", "up.status", "up.health", "up.live", "up.end"]
DOWN = ["down.begin", "down.noted", "down.withdrawn", "down.stopping", "down.stopped", "down.saved"]


@pytest.fixture(scope="module")
def victim():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s" % harness.BIN, pytrace=False)
    wos = harness.Wos()
    app = harness.shell_app(
        web=harness.python_service("web", dependencies=["db"]), db=harness.python_service("db"))
    app["app"]["init_script"] = ["echo ran >> init-ran; [ -e stuck ] && sleep 1001; true"]
    app["clone_volumes"] = ["big"]
    wos.deploy(app)
    (wos.source / "big").write_text("x")
    yield wos
    problems = wos.close()
    assert not problems, "\n".join(problems)


def service_processes(wos):
    """The leaders of the sessions that services, or what is left of them, are in."""
    leaders = set()
    for pid, line in wos.processes().items():
        if "backend.py" in line or "sleep 100" in line:
            try:
                leaders.add(os.getsid(pid))
            except ProcessLookupError:
                pass
    return leaders


def check_agreement(wos, tree):
    """What status says runs, runs; what runs is known; a route is live only where there is somebody."""
    harness.until("what is to end has ended", lambda: service_processes(wos) == set(
        pid for pid in pids(wos, tree).values() if harness.alive(pid)))
    rows = wos.run("status", "--json", cwd=tree).data["services"]
    known = pids(wos, tree)
    for row in rows:
        assert (row["state"] == "running") == harness.alive(known[row["service"]]), rows
    running = {row["service"] for row in rows if row["state"] == "running"}
    for route in wos.status_all()["routes"]:
        if route["worktree"] == tree and route["state"] in ("live", "failing"):
            assert route["service"] in running, (route, rows)


def pids(wos, tree):
    try:
        return {name: row["pid"] for name, row in wos.state(tree)["shell"]["services"].items()}
    except (AssertionError, KeyError, FileNotFoundError):
        return {}


def crash(wos, point, verb):
    wos.ok("stop")
    wos.ok("start", env=wos.env(WOS_TEST_CRASH_AT=point))
    daemon = wos.daemon_pid()
    result = wos.run(verb, cwd="beta", timeout=60)
    harness.until("the daemon died at %s" % point, lambda: not harness.alive(daemon))
    assert point.endswith((".end", ".saved")) or result.code != 0, result
    wos.ok("start")
    if verb == "up" or point == "down.begin":  # else the daemon goes on with it by itself
        check_agreement(wos, "beta")


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("point", UP)
def test_crash_in_up(victim, point, running):
    if running and point in ("up.setup", "up.init", "up.save", "up.live"):
        pytest.skip("as with nothing running before")
    if running:
        victim.up("beta")
    crash(victim, point, "up")
    victim.up("beta")
    check_agreement(victim, "beta")
    assert set(pids(victim, "beta")) == {"web", "db"}
    assert victim.get("beta-web", "/hello").status == 200
    victim.down("beta")
    assert not service_processes(victim)


@pytest.mark.parametrize("point", DOWN)
def test_crash_in_down(victim, point):
    victim.up("beta")
    crash(victim, point, "down")
    if point == "down.begin":  # nothing of it was written down yet
        victim.down("beta")
    harness.until("the next daemon goes on with it", lambda: not service_processes(victim) and (
        victim.run("status", "--json", cwd="beta").data["worktree"]["status"] == "stopped"))
    assert "stopping" not in victim.state("beta")
    victim.down("beta")
    check_agreement(victim, "beta")
    assert not service_processes(victim)
    assert victim.run("status", "--json", cwd="beta").data["services"] == []


def test_crash_while_an_init_script_runs(victim):
    """The script's processes end with the next start: nobody would look at how it ends."""
    stuck = victim.trees["beta"] / "stuck"
    stuck.write_text("")
    victim.ok("start")
    up = victim.popen("up", "--force", cwd="beta")
    harness.until("the init script hangs", lambda: [
        line for line in victim.processes().values() if "sleep 1001" in line])
    os.kill(victim.daemon_pid(), signal.SIGKILL)
    assert up.wait(60) != 0
    assert service_processes(victim)
    victim.ok("start")
    check_agreement(victim, "beta")
    assert not service_processes(victim)
    stuck.unlink()
    victim.up("beta", "--force")
    victim.down("beta")


def test_crash_while_commands_run_beside_a_service(victim):
    """Those of wos exec, whom they started, and one that does not mind its terminal's end."""
    victim.ok("start")
    victim.up("beta")
    stubborn = "trap '' HUP; (sleep 1003; :) & sleep 1004; :"
    clients = [victim.popen("exec", "web", "--", "sh", "-c", stubborn, cwd="beta"),
               victim.popen("exec", "web", "--", "sleep", "1005", cwd="beta")]
    master, slave = pty.openpty()
    clients.append(subprocess.Popen(
        [str(harness.BIN), "exec", "web", "--", "sh", "-c", stubborn], cwd=victim.trees["beta"],
        env=victim.env(), stdin=slave, stdout=slave, stderr=slave))
    harness.until("they run", lambda: sorted(
        line for line in victim.processes().values() if line.startswith("sleep 100"))
        == ["sleep 1003", "sleep 1003", "sleep 1004", "sleep 1004", "sleep 1005"])
    os.kill(victim.daemon_pid(), signal.SIGKILL)
    for client in clients:
        assert client.wait(60) != 0
    os.close(master)
    os.close(slave)
    victim.ok("start")
    check_agreement(victim, "beta")
    assert set(pids(victim, "beta")) == {"web", "db"}
    victim.down("beta")
    assert not service_processes(victim)


def test_forged_pid_is_never_signalled(victim):
    """A recorded pid that is somebody else's by now: neither watched nor stopped."""
    victim.up("beta")
    stranger = subprocess.Popen(["sleep", "1002"], start_new_session=True)
    try:
        victim.ok("stop")
        path = victim.session_dir("beta") / "state.json"
        state = json.loads(path.read_text())
        web = state["shell"]["services"]["web"]
        real = web["pid"]
        web["pid"] = web["processGroupId"] = stranger.pid
        path.write_text(json.dumps(state))
        victim.ok("start")
        rows = {row["service"]: row for row in
                victim.run("status", "--json", cwd="beta").data["services"]}
        assert rows["web"]["state"] == "exited" and rows["db"]["state"] == "running"
        victim.down("beta")
        assert stranger.poll() is None
        os.killpg(real, signal.SIGKILL)
    finally:
        stranger.kill()
        stranger.wait()
    harness.until("nothing is left", lambda: not service_processes(victim))
