"""The command: life of the daemon, exit codes, output."""
import concurrent.futures
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import termios
import time

import pytest

import api_client
import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")

ONE = harness.shell_app(web=harness.python_service("$(basename $PWD)"))
OUTSIDE = "wos must be run from inside a Git worktree"


def waiting_init(wos):
    """deploy.yaml whose init script waits for the returned file."""
    flag = wos.dir / "init-go"
    app = harness.shell_app(web=harness.python_service("w"))
    app["app"]["init_script"] = ["echo init began", "while [ ! -e %s ]; do sleep 0.1; done" % flag]
    wos.deploy(app)
    return flag


def wait_for_socket(wos):
    """Without a command, which would start a daemon of its own."""
    def answers():
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(wos.home / "daemon.sock"))
        return (wos.home / "daemon.json").exists()
    harness.until("the daemon listens", answers)


# --- usage ---------------------------------------------------------------------

@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help(wos, word):
    result = wos.ok(word)
    for command in ("start", "stop", "restart", "up", "down", "status", "wait", "publish",
                    "unpublish", "cert"):
        assert re.search(r"\b%s\b" % command, result.out), command
    assert not wos.processes(), "help started a daemon"


@pytest.mark.parametrize("args", [
    ("no-such-command",), ("--no-such-flag",), ("start", "--no-such-flag"), ("start", "extra"),
    ("wait", "--timeout"), ("wait", "--timeout", "soon"), ("wait", "extra"), ("web", "extra"),
    ("cert",), ("cert", "nonsense"), ("unpublish",),
    ("up", "a", "b"), ("up", "--arg", "novalue"), ("up", "--arg", "=x"),
    ("up", "--arg", "A=1", "--arg", "A=2"), ("up", "web", "--target", "t"), ("up", "--unknown"),
    ("--cwd",), ("--cwd", ""), ("--cwd=",), ("--cwd", "-x", "status"), ("--cwd", "status"),
    ("--cwd", "up", "status")])
def test_usage_errors(wos, args):
    wos.deploy(ONE)
    result = wos.run(*args, cwd="alpha")
    assert result.code == 2, result
    assert result.err.strip() and not wos.processes()


def test_usage_error_as_json(wos):
    result = wos.run("up", "--unknown", "--json", cwd="alpha")
    assert result.code == 2
    assert result.json["success"] is False and result.json["error"]["code"]


# --- life ---------------------------------------------------------------------------

def test_start_stop(wos):
    result = wos.ok("start")
    assert "wos: daemon started" in result.err
    assert "Web UI: http://127.0.0.1:%d" % wos.web_port in result.out
    pid = wos.daemon_pid()
    result = wos.ok("start")
    assert "wos: daemon is already running" in result.err
    assert wos.daemon_pid() == pid
    result = wos.ok("stop")
    assert "wos: daemon stopped" in result.err
    assert not harness.alive(pid)
    assert not (wos.home / "daemon.json").exists()
    harness.until("gateway ended", lambda: not wos.processes())
    result = wos.ok("stop")
    assert "wos: no daemon was running" in result.err
    assert not wos.processes()


def test_no_command_means_start(wos):
    assert "wos: daemon started" in wos.ok().err
    assert harness.alive(wos.daemon_pid())


def test_restart(wos):
    wos.ok("start")
    first = wos.daemon_pid()
    result = wos.ok("restart")
    assert "wos: restarting daemon..." in result.err
    assert "wos: daemon restarted successfully" in result.err
    second = wos.daemon_pid()
    assert second != first and harness.alive(second) and not harness.alive(first)


def test_restart_without_a_daemon_starts_one(wos):
    wos.ok("restart")
    assert harness.alive(wos.daemon_pid())


def test_foreground(wos):
    proc = wos.popen("start", "--foreground")
    wait_for_socket(wos)
    assert wos.status_all()["daemon"]["pid"] == wos.daemon_pid() == proc.pid
    proc.send_signal(signal.SIGTERM)
    out, err = proc.communicate(timeout=30)
    assert proc.returncode == 0, (out, err)
    assert "wos daemon listening on http://127.0.0.1:%d" % wos.web_port in out + err
    assert "metadata: %s" % (wos.home / "daemon.json") in out + err


def test_loser_of_a_start_race_does_not_linger(wos):
    """Who starts second ends; it must not wait and take over after `wos stop`."""
    first = wos.popen("start", "--foreground")
    wos.ok("start")
    wait_for_socket(wos)
    wos.ok("stop")
    harness.until("the first one ended", lambda: first.poll() is not None)
    harness.until("all ended", lambda: not wos.processes(), timeout=15)
    for _ in range(20):
        assert not wos.processes(), "a daemon came back after stop"
        assert not (wos.home / "daemon.json").exists()
        time.sleep(0.1)


def test_foreground_beside_a_running_daemon_is_refused(wos):
    wos.ok("start")
    pid = wos.daemon_pid()
    result = wos.run("start", "--foreground", timeout=60)
    assert result.code == 1 and result.err.strip(), result
    assert wos.daemon_pid() == pid and harness.alive(pid)
    assert wos.ok("status", "--all", "--json").data["daemon"]["pid"] == pid


def test_one_daemon_per_home(wos):
    """Ten commands that all want to start it."""
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        results = list(pool.map(lambda _: wos.run("start"), range(10)))
    assert [r.code for r in results] == [0] * 10, results
    pid = wos.daemon_pid()
    daemons = [p for p, line in wos.processes().items() if "gateway" not in line]
    assert daemons == [pid], wos.processes()
    assert wos.ok("status", "--all", "--json").data["daemon"]["pid"] == pid


def test_ps_tells_the_gateway(wos):
    """By the daemon's own name for the program; its threads by what they do."""
    wos.ok("publish", "x", wos.backend())
    pid = wos.gateway_pid()

    def command(of):
        with open("/proc/%d/cmdline" % of, encoding="utf-8") as text:
            return text.read().rstrip("\0").split("\0")
    assert command(pid) == [command(wos.daemon_pid())[0], "gateway"]
    names = []
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, thread), encoding="ascii") as text:
            names.append(text.read().strip())
    assert {"wos-gateway", "wos-worker-0"} <= set(names), names
    assert wos.get("x").status == 200


def test_two_homes_do_not_meet(make_wos):
    one, two = make_wos(), make_wos()
    for wos in (one, two):
        wos.deploy(ONE)
        wos.up("alpha")
    assert one.daemon_pid() != two.daemon_pid()
    one.ok("stop")
    assert two.get("alpha-web", "/hello").status == 200


def test_stale_socket_and_metadata(wos):
    wos.ok("start")
    os.kill(wos.daemon_pid(), signal.SIGKILL)
    harness.until("daemon is dead", lambda: not harness.alive(wos.daemon_pid()))
    assert (wos.home / "daemon.sock").exists()
    wos.ok("status", "--all")
    assert harness.alive(wos.daemon_pid())


def test_stale_files_of_another_life(wos):
    """A dead socket, and metadata that names a living process of somebody else."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(wos.home / "daemon.sock"))
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        (wos.home / "daemon.json").write_text(json.dumps(
            {"pid": bystander.pid, "startedAt": "2020-01-01T00:00:00Z", "protocol": "3",
             "daemonId": "x", "webUrl": "http://127.0.0.1:1", "webHost": "127.0.0.1",
             "webPort": 1, "webScheme": "http"}))
        wos.ok("start")
        assert wos.daemon_pid() != bystander.pid
        wos.ok("stop")
        assert bystander.poll() is None, "stop killed a stranger"
    finally:
        bystander.kill()
        bystander.wait()


def test_unstartable_daemon_is_told(wos):
    (wos.home / "daemon.sock").mkdir()
    result = wos.run("start")
    assert result.code == 1 and result.err.strip(), result
    (wos.home / "daemon.sock").rmdir()


def test_socket_and_metadata(wos):
    wos.ok("start")
    info = (wos.home / "daemon.sock").stat()
    assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o600
    meta = json.loads((wos.home / "daemon.json").read_text())
    assert meta["protocol"] == "3" and meta["webPort"] == wos.web_port
    assert meta["webUrl"] == "http://127.0.0.1:%d" % wos.web_port
    answer = subprocess.run(["curl", "-sS", "--unix-socket", str(wos.home / "daemon.sock"),
                             "http://wos/v1/health"], stdout=subprocess.PIPE, check=True)
    health = json.loads(answer.stdout)
    assert health["ok"] is True and health["pid"] == meta["pid"]
    assert health["home"] == str(wos.home)


def test_busy_web_port_disables_only_the_ui(wos):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", wos.web_port))
        taken.listen()
        wos.deploy(ONE)
        wos.up("alpha")
        assert wos.get("alpha-web", "/hello").status == 200
        web = wos.status_all()["web"]
        assert web["state"] == "failed" and web["error"]


def test_web(wos):
    result = wos.ok("web", "--no-open")
    assert "http://127.0.0.1:%d" % wos.web_port in result.out


def test_loopback_api_minds_host_and_origin(wos):
    wos.ok("start")

    def ask(*args):
        done = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *args,
             "http://127.0.0.1:%d/ui/v1/health" % wos.web_port],
            stdout=subprocess.PIPE, check=True, text=True)
        return done.stdout
    assert ask() == "200"
    assert ask("-H", "Host: evil.example") == "403"
    assert ask("-H", "Host: localhost:%d" % wos.web_port) == "200"
    assert ask("-X", "POST", "-H", "Origin: http://evil.example", "-d", "{}") == "403"


# --- where -----------------------------------------------------------------------

@pytest.mark.parametrize("command", [("up",), ("down",), ("status",), ("wait",)])
def test_outside_a_worktree(wos, command):
    result = wos.run(*command, cwd=wos.user_home)
    assert result.code == 3, result
    assert OUTSIDE in result.err


def test_outside_a_worktree_as_json(wos):
    result = wos.run("up", "--json", cwd=wos.user_home)
    assert result.code == 3
    assert result.json["success"] is False and result.json["command"] == "up"
    assert OUTSIDE in result.json["error"]["message"]


def test_cwd_option(wos):
    wos.deploy(ONE)
    wos.ok("--cwd", wos.trees["alpha"], "up", cwd=wos.user_home)
    result = wos.ok("--cwd=%s" % wos.trees["alpha"], "status", cwd=wos.user_home)
    assert "web" in result.out
    deep = wos.trees["beta"] / "a" / "b"
    deep.mkdir(parents=True)
    wos.ok("up", cwd=deep)
    assert wos.get("beta-web", "/hello").text == "hello from beta\n"
    assert wos.run("--cwd", wos.dir / "missing", "status").code != 0


@pytest.mark.parametrize("command", [("up",), ("down",), ("status",), ("status", "--all"),
                                     ("web", "--no-open"), ("up", "-d")])
def test_commands_start_the_daemon(wos, command):
    wos.deploy(ONE)
    wos.ok(*command, cwd="alpha")
    assert harness.alive(wos.daemon_pid())
    if command == ("up", "-d"):
        wos.ok("wait", cwd="alpha")


# --- status, wait, up, down ---------------------------------------------------------

def test_status_table(wos):
    wos.deploy(ONE)
    result = wos.up("alpha")
    assert "Open in web UI: http://127.0.0.1:%d/worktree?path=" % wos.web_port in result.out
    for text in (result.out, wos.ok("status", cwd="alpha").out):
        header, row = [line for line in text.splitlines() if line.strip()][:2]
        assert header.split() == ["SERVICE", "STATUS", "ADDRESS", "HEALTH", "TUNNEL"]
        port = wos.host_port("alpha")
        wanted = (r"web +running +http://(localhost|127\.0\.0\.1):%d -> 3000/tcp +healthy 200 +%s$"
                  % (port, re.escape(wos.url("alpha-web", "").rstrip("/"))))
        assert re.match(wanted, row.rstrip()), row


def test_status_of_what_was_never_deployed(wos):
    result = wos.ok("status", cwd="alpha")
    assert ("(no services)" in result.out
            or "no wos deployment has been initialized for the current worktree" in result.out)


def test_status_json(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    result = wos.ok("status", "--json", cwd="alpha").json
    assert result["success"] is True and result["command"] == "status"
    assert result["error"] is None
    text = json.dumps(result["data"])
    assert "alpha-web.wos.localhost" in text and '"running"' in text


def test_status_all(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    wos.up("beta")
    wos.ok("publish", "tool", "3000")
    result = wos.ok("status", "--all", cwd=wos.user_home)
    for label in ("alpha-web", "beta-web", "tool"):
        assert "%s.wos.localhost" % label in result.out
    data = wos.status_all()
    assert {s["worktreePath"] for s in data["sessions"]} == {
        str(wos.trees["alpha"]), str(wos.trees["beta"])}
    assert {s["status"] for s in data["sessions"]} == {"running"}
    assert data["tunnel"]["state"] == "serving"
    assert data["tunnel"]["generation"] == data["tunnel"]["servedGeneration"]
    assert data["daemon"]["pid"] == wos.daemon_pid()


def test_wait(wos):
    wos.deploy(ONE)
    result = wos.run("wait", cwd="alpha")
    assert result.code == 1, result  # never started
    wos.up("alpha", "-d")
    result = wos.ok("wait", "--timeout", "60s", cwd="alpha")
    assert "web" in result.out and "running" in result.out
    wos.down("alpha")
    assert wos.run("wait", "--timeout=5s", cwd="alpha").code == 1  # stopped


def test_wait_times_out(wos):
    flag = waiting_init(wos)
    wos.up("alpha", "-d")
    result = wos.run("wait", "--timeout", "300ms", cwd="alpha")
    assert result.code == 124, result
    assert "wos wait: timed out after 300ms" in result.err
    result = wos.run("wait", "--timeout", "300ms", "--json", cwd="alpha")
    assert result.code == 124 and result.json["success"] is False
    flag.touch()
    wos.ok("wait", cwd="alpha")


def test_busy_session(wos):
    flag = waiting_init(wos)
    wos.up("alpha", "-d")
    result = wos.run("up", cwd="alpha")
    assert result.code == 5, result
    assert re.search(r"session \S+ is busy \(active op \S+\)", result.err), result
    result = wos.run("up", "--json", cwd="alpha")
    assert result.code == 5 and result.json["success"] is False
    # over the API: 409 with the operation
    answer = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", "--unix-socket", str(wos.home / "daemon.sock"),
         "-d", json.dumps({"path": str(wos.trees["alpha"])}), "http://wos/v1/worktrees/up"],
        stdout=subprocess.PIPE, check=True, text=True).stdout
    body, code = answer.rsplit("\n", 1)
    assert code == "409"
    assert json.loads(body)["error"] == "session-busy"
    assert json.loads(body)["active"]["kind"] == "up"
    wos.up("beta", "-d")  # another session is not busy
    flag.touch()
    wos.ok("wait", cwd="alpha")
    wos.ok("wait", cwd="beta")


def test_down_cancels_a_running_up(wos):
    waiting_init(wos)
    up = wos.popen("up", cwd="alpha")
    harness.until("the init script runs", lambda: [
        p for p, line in wos.processes().items() if "init-go" in line])
    wos.down("alpha")
    assert not wos.state("alpha").get("shell", {}).get("services")
    out, err = up.communicate(timeout=harness.PATIENCE)
    assert up.returncode == 1 and "wos up failed: cancelled: the deployment was stopped" in err, (out, err)
    assert wos.run("wait", cwd="alpha").code == 1
    # A restart that a down ends has failed.
    wos.deploy(ONE)
    api = api_client.Api(wos.web_port)
    path = str(wos.trees["alpha"])
    for _ in range(5):  # it may have been done before the down came
        wos.up("alpha")
        restart = api.post("/worktrees/services/restart", {"path": path, "service": "web"}).json
        api.done(api.post("/worktrees/down", {"path": path}).json)
        ended = api.get("/operations/" + restart["operationId"]).json
        if ended["status"] == "failed":
            break
    assert ended["code"] == "cancelled" and "stopped" in ended["failureMessage"], ended
    harness.until("the init script ended", lambda: not [
        p for p, line in wos.processes().items() if "init-go" in line])


def test_down_of_what_was_never_deployed(wos):
    result = wos.ok("down", cwd="alpha")
    assert "no wos deployment has been initialized for the current worktree" in result.out


def test_down_twice_and_silent(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.down("alpha").out == ""
    wos.down("alpha")


def test_up_progress_goes_to_stderr(wos):
    wos.deploy(ONE)
    result = wos.up("alpha")
    for step in ("Prepare", "Start services", "App-port healthchecks"):
        assert re.search(r"✓ %s" % re.escape(step), result.err), result
    assert "✓" not in result.out


def test_up_says_why_nothing_is_published(make_wos):
    wos = make_wos(tunnel={"enabled": False})
    wos.deploy(ONE)
    said = wos.up("alpha").err
    advice = re.search("nothing is published, tunnel.enabled is false: `wos (config set .*)`, then", said)
    wos.ok(*advice.group(1).split())
    wos.ok("restart")
    harness.until("its name", lambda: "https://alpha-web.wos.localhost" in wos.ok("status", cwd="alpha").out)


def test_a_worktree_without_its_config_is_told_what_to_do(wos):
    assert "deploy.yaml; wos init writes one" in wos.run("up", cwd="alpha").err
    wos.deploy(ONE)
    (wos.source / ".wos" / "deploy.worktree.yaml").unlink()
    assert "the main worktree's is deploy.yaml beside it: copy that" in wos.run("up", cwd="beta").err


def test_ctrl_c_at_a_secret_gives_the_terminal_back(wos):
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        proc = wos.popen("config", "set", "tunnel.serviceTunnels.secret", "-", stdin=slave)
        harness.until("it does not echo", lambda: not termios.tcgetattr(slave)[3] & termios.ECHO)
        proc.send_signal(signal.SIGINT)
        assert proc.wait(60) == -signal.SIGINT
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_every_command_refuses_as_json(wos):
    """Whatever is wrong with a call, programs get their object."""
    names = [c["name"] for c in wos.ok("help", "--json").data["commands"]]
    assert len(names) > 20 and {"up", "exec", "completion"} <= set(names)
    for name in names:
        result = wos.run(name, "--no-such-option", "--json")
        assert result.code == 2 and result.json["command"] == name, result
        assert result.json["success"] is False and result.json["error"]["code"] == "usage", result


def test_help_takes_json(wos):
    data = wos.ok("help", "up", "--json").data
    assert data["name"] == "up" and "Example" in data["help"], data
    assert wos.ok("help", "--markdown", "--json").data["text"].startswith("# The command line")


def test_output_that_cannot_be_written_is_no_success(wos):
    """A full disk is told, whatever flushed before; a reader that had enough is not."""
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200
    with open("/dev/full", "wb") as full:
        for args in (["status"], ["status", "--all"], ["status", "--json"], ["wait"], ["logs"],
                     ["logs", "web"], ["logs", "-f", "web"], ["logs", "--access"], ["metrics"],
                     ["cert", "show"], ["web", "--no-open"], ["help", "--markdown"], ["up", "--help"],
                     ["config", "docs"], ["config", "docs", "--json"], ["version"]):
            done = wos.popen(*args, cwd="alpha", stdout=full)
            _, errors = done.communicate(timeout=60)
            assert done.returncode == 1 and "cannot write the output" in errors, (args, errors)
    for args in (["config", "docs"], ["help", "--markdown"], ["status", "--all"]):
        done = wos.popen(*args, cwd="alpha")
        done.stdout.close()
        assert done.wait(60) == 0 and done.stderr.read() == "", args


@pytest.mark.parametrize("args", [("status",), ("status", "--all"), ("up",), ("down",),
                                  ("wait",), ("web", "--no-open"), ("start",), ("cert", "show"),
                                  ("publish", "tool", "3000"), ("restart",), ("stop",)])
def test_every_command_takes_json(wos, args):
    wos.deploy(ONE)
    wos.up("alpha")
    result = wos.ok(*args, "--json", cwd="alpha").json
    assert set(result) >= {"success", "command", "data", "error"}
    assert result["success"] is True and result["error"] is None
    assert result["command"].split()[0] == args[0]
