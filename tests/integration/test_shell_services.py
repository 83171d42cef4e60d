"""Single services that are stopped and started anew, and what of them the next daemon knows."""
import os
import signal

import pytest

import harness
from api_client import Api, Lines

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")


def ask(wos, verb, service, tree="alpha"):
    answer = Api(wos.web_port).post("/worktrees/services/" + verb,
                                    {"path": str(wos.trees[tree]), "service": service})
    assert answer.status == 202, answer
    return answer.json


def until_step(wos, accepted, step, state):
    """Reads the operation's stream up to this line."""
    with Lines(wos.web_port, "/operations/%s/events" % accepted["operationId"]) as lines:
        last = list(lines.until(lambda line: "terminal" in line or (
            line["event"].get("id"), line["event"].get("state")) == (step, state)))[-1]
    assert "terminal" not in last, last


def test_a_task_runs_once_when_it_is_restarted(wos):
    runs = wos.dir / "runs"
    wos.deploy(harness.shell_app(web=harness.python_service("web"),
                                 once={"script": ["echo x >> %s" % runs]}))
    wos.up("alpha")
    assert runs.read_text() == "x\n"
    api = Api(wos.web_port)
    api.done(ask(wos, "restart", "once"))
    assert runs.read_text() == "x\n" * 2
    api.done(ask(wos, "stop", "web"))  # nothing goes on behind it
    assert runs.read_text() == "x\n" * 2
    wos.down("alpha")
    assert runs.read_text() == "x\n" * 2


def test_a_down_ends_a_restart(wos):
    never = wos.dir / "never"
    wos.deploy(harness.shell_app(web={"script": [
        "test -e %s && exec sleep 1000; exec %s %s/backend.py --port $WOS_SERVICE_PORT --name web"
        % (never, harness.PYTHON, harness.FAKES)], "ports": [3000]}))
    wos.up("alpha")
    never.write_text("")
    accepted = ask(wos, "restart", "web")
    until_step(wos, accepted, "healthcheck", "running")
    wos.down("alpha")
    assert "terminal" in Api(wos.web_port).operation(accepted)[-1]
    assert not [line for line in wos.processes().values() if "sleep 1000" in line]
    never.unlink()
    wos.up("alpha")
    wos.wait_route("alpha-web")


def hang_once_asked(wos):
    """A service whose next start does not come to listen while the file returned exists."""
    flag = wos.dir / "hang"
    wos.deploy(harness.shell_app(web={"script": [
        "while test -e %s; do sleep 0.1; done; exec %s %s/backend.py --port $WOS_SERVICE_PORT "
        "--name web" % (flag, harness.PYTHON, harness.FAKES)], "ports": [3000]}))
    wos.up("alpha")
    flag.write_text("")
    return flag


def is_known(wos):
    """The one process group of the service is the one that status shows."""
    rows = wos.run("status", "--json", cwd="alpha").data["services"]
    groups = {os.getpgid(pid) for pid, line in wos.processes().items()
              if "backend.py" in line or "sleep 0.1" in line or "while test" in line}
    assert [(row["state"], row.get("pid")) for row in rows] == [("running", pid) for pid in groups]
    return True


def test_a_daemon_that_goes_during_a_restart_knows_the_new_process(wos):
    flag = hang_once_asked(wos)
    until_step(wos, ask(wos, "restart", "web"), "healthcheck", "running")
    os.kill(wos.daemon_pid(), signal.SIGKILL)
    wos.ok("start")
    harness.until("the process is known", lambda: is_known(wos))
    flag.unlink()
    wos.wait_route("alpha-web", "/hello")
    wos.down("alpha")
    assert not [line for line in wos.processes().values() if "backend.py" in line]


def test_a_daemon_that_dies_in_a_restart_knows_the_new_process(wos):
    hang_once_asked(wos).unlink()
    wos.ok("stop")
    wos.ok("start", env=wos.env(WOS_TEST_CRASH_AT="launch.spawned"))
    daemon = wos.daemon_pid()
    ask(wos, "restart", "web")
    harness.until("the daemon died", lambda: not harness.alive(daemon))
    wos.ok("start")
    harness.until("the process is known", lambda: is_known(wos))
    wos.wait_route("alpha-web", "/hello")
    wos.down("alpha")
    assert not [line for line in wos.processes().values() if "backend.py" in line]


def test_the_next_daemon_knows_how_services_ended(wos):
    wos.deploy(harness.shell_app(
        web=harness.python_service("web"), asked=harness.python_service("asked"),
        task={"script": ["true"]}, late={"script": ["sleep 2"]},
        broken={"script": ["while ! test -e %s; do sleep 0.1; done; exit 7" % (wos.dir / "end")]}))
    wos.up("alpha")
    Api(wos.web_port).done(ask(wos, "stop", "asked"))
    (wos.dir / "end").write_text("")

    def services():
        rows = wos.run("status", "--json", cwd="alpha").data["services"]
        return {row["service"]: (row["state"], row.get("status")) for row in rows}
    known = {"web": ("running", None), "asked": ("stopped", None), "task": ("stopped", "exit 0"),
             "late": ("stopped", "exit 0"), "broken": ("exited", "exit 7")}
    harness.until("all have ended", lambda: services() == known)
    wos.ok("restart")
    assert services() == known
    os.kill(wos.daemon_pid(), signal.SIGKILL)
    wos.ok("start")
    assert services() == known
    api = Api(wos.web_port)
    api.done(ask(wos, "restart", "task"))
    api.done(ask(wos, "restart", "asked"))
    assert services() == {**known, "asked": ("running", None)}


def test_a_deployment_whose_task_is_done_runs_after_a_restart_of_the_daemon(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("web"), task={"script": ["true"]}))
    wos.up("alpha")
    wos.ok("wait", "--timeout", "30", cwd="alpha")
    wos.ok("restart")
    wos.ok("wait", "--timeout", "30", cwd="alpha")


def test_down_leaves_nothing_that_left_its_group(wos):
    """What put itself into a session of its own goes too: of one service alone, after restarts of
    the daemon, and when the service itself has ended before."""
    script = "setsid -f sh -c 'trap \"\" TERM; while :; do sleep 2001; done'; setsid -f sleep 2002"
    wos.deploy(harness.shell_app(
        web=harness.python_service("web"), ended={"script": [script]},
        runs={"script": [script + "; exec sleep 2003"]},
        apart={"script": ["setsid -f sleep 2004; exec sleep 2005"]}))

    def asleep():
        return sorted(line for line in wos.processes().values() if line.startswith("sleep 200"))

    wos.up("alpha")
    harness.until("all of them", lambda: len(asleep()) == 7)
    wos.ok("restart")
    api = Api(wos.web_port)
    api.done(ask(wos, "stop", "apart"))
    assert not {"sleep 2004", "sleep 2005"} & set(asleep())
    assert len(asleep()) == 5, "the others' go on"
    wos.down("alpha")
    assert asleep() == []
    assert not [line for line in wos.processes().values() if "trap" in line]
