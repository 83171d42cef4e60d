"""The command alone, against a daemon that says what the test wants: messages,
exit codes, the --json envelope. docs/API.md is what this fake speaks."""
import json
import os
import re
import signal
import socketserver
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")

HEALTH = {"ok": True, "version": "1", "protocol": "3", "build": "x", "pid": 0,
          "webUrl": "http://127.0.0.1:4949"}
DETAIL = {
    "worktree": {"path": "/repo/main", "sessionName": "repo-main", "status": "running"},
    "services": [{"service": "web", "state": "running",
                  "ports": [{"containerPort": 3000, "hostPort": 20001, "protocol": "tcp"}]}],
    "appPortHealthchecks": [{"service": "web", "containerPort": 3000, "state": "healthy",
                             "observedStatus": 200}],
    "tunnels": [{"service": "web", "containerPort": 3000, "hostPort": 20001, "state": "active",
                 "url": "https://main-web.wos.localhost:5858"}],
}
TABLE = ("SERVICE  STATUS   ADDRESS                             HEALTH       TUNNEL\n"
         "web      running  http://localhost:20001 -> 3000/tcp  healthy 200  "
         "https://main-web.wos.localhost:5858\n")
NEVER = "no wos deployment has been initialized for the current worktree"
ACCEPTED = {"operationId": "op1", "sessionName": "repo-main", "kind": "up"}
COMMANDS = ["access", "up", "down", "status", "wait", "exec", "init", "worktree", "logs", "publish", "unpublish", "web", "start", "stop",
            "restart", "cert", "config", "version", "help", "gateway", "forward"]


def event(**keys):
    return {"operationId": "op1", "sequence": 1, "event": keys}


def end(status="succeeded", **keys):
    return {"operationId": "op1", "sequence": 2, "terminal": {"status": status, **keys}}


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.seen.append((self.command, self.path, body))
        status, answer = self.server.answers.get(
            (self.command, self.path.partition("?")[0]),
            (404, {"error": "not-found", "message": "no such endpoint"}))
        self.send_response(status)
        self.end_headers()
        for line in answer if isinstance(answer, list) else [answer]:
            if callable(line):
                line()
                continue
            self.wfile.write(json.dumps(line).encode() + b"\n")
            self.wfile.flush()

    do_GET = do_POST = do_DELETE = answer

    def address_string(self):
        return "client"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a command that hangs up early is part of the tests


class Fake:
    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="wos-c-", dir="/tmp")
        self.home = Path(self.dir.name)
        self.server = Server(str(self.home / "daemon.sock"), Handler)
        self.server.seen = []
        self.server.answers = {
            ("GET", "/v1/health"): (200, HEALTH),
            ("GET", "/v1/worktrees"): (200, DETAIL),
        }
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def on(self, method, path, answer, status=200):
        self.server.answers[(method, "/v1" + path)] = (status, answer)

    def sent(self, method, path):
        return [body for m, p, body in self.server.seen
                if (m, p.partition("?")[0]) == (method, "/v1" + path)]

    def env(self, **extra):
        return {**os.environ, "WOS_HOME": str(self.home), **extra}

    def run(self, *args, **extra):
        done = subprocess.run([str(harness.BIN), *args], env=self.env(**extra), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              cwd=self.home, check=False)
        return harness.Result(args, done.returncode, done.stdout, done.stderr)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.dir.cleanup()


@pytest.fixture
def fake():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s" % harness.BIN, pytrace=False)
    instance = Fake()
    yield instance
    instance.close()


def test_every_command_explains_itself_with_an_example(fake):
    for name in COMMANDS:
        result = fake.run(name, "--help")
        assert result.code == 0 and "Example" in result.out and "] %s" % name in result.out
        whole = fake.run(name, "--help", "--json").json
        assert (whole["success"], whole["command"]) == (True, name), whole
        assert whole["data"]["name"] == name and whole["data"]["help"] in result.out
    assert fake.run("help", "up", "--json").data["name"] == "up"
    assert fake.server.seen == []


@pytest.mark.parametrize("args", [
    ["up", "a,,b"], ["up", "--arg", "X"], ["publish", "a"], ["publish", "a", "0"],
    ["publish", "a", "80", "--host", "x"], ["publish", "--list", "a"], ["cert", "show", "--ca"],
    ["config"], ["help", "bogus"], ["stop", "x"], ["logs", "a", "b"], ["gateway"], ["--bogus"]])
def test_usage_errors_ask_nobody(fake, args):
    result = fake.run(*args)
    assert result.code == 2 and result.out == "" and result.err, result
    envelope = fake.run(*args, "--json").json
    assert envelope["success"] is False and envelope["error"]["code"] == "usage"
    assert fake.server.seen == []


def test_start_finds_the_running_daemon(fake):
    result = fake.run()
    assert result.code == 0, result
    assert result.err == "wos: daemon is already running\n"
    assert result.out == "Web UI: http://127.0.0.1:4949\n"


def test_another_protocol_asks_for_a_restart(fake):
    fake.on("GET", "/health", {**HEALTH, "protocol": "2"})
    result = fake.run("status")
    assert result.code == 1 and "wos restart" in result.err


def test_status_table(fake):
    result = fake.run("status")
    assert (result.code, result.out, result.err) == (0, TABLE, "")
    envelope = fake.run("status", "--json").json
    assert envelope == {"success": True, "command": "status", "data": DETAIL, "error": None}


@pytest.mark.parametrize("words", [("status", "web"), ("status", "--bogus"), ("status", "-x"),
                                   ("down", "web"), ("down", "--all")])
def test_status_and_down_take_nothing_else(fake, tmp_path, words):
    result = fake.run(*words)
    assert (result.code, result.out) == (2, "") and words[1] in result.err
    assert fake.run(*words, "--json").json["error"]["code"] == "usage"
    home = tmp_path / "no" / "home"  # and nothing is begun for it, no daemon and no directory
    subprocess.run([str(harness.BIN), *words], env={"WOS_HOME": str(home), "PATH": "/usr/bin"},
                   stderr=subprocess.DEVNULL, check=False)
    assert not home.parent.exists()


def test_status_of_what_was_never_deployed(fake):
    fake.on("GET", "/worktrees", {"worktree": {"status": "not_started"}, "services": []})
    result = fake.run("status")
    assert (result.code, result.out) == (0, NEVER + "\n")


def test_cwd_is_what_the_daemon_is_asked_about(fake):
    (fake.home / "a b").mkdir()
    assert fake.run("--cwd", "a b", "status").code == 0
    path = [p for _, p, _ in fake.server.seen if p.startswith("/v1/worktrees?")][0]
    assert path.endswith("path=" + str(fake.home).replace("/", "%2F") + "%2Fa%20b")


def test_up_tells_the_steps_and_ends_with_the_table(fake):
    fake.on("POST", "/worktrees/up", ACCEPTED, 202)
    fake.on("GET", "/operations/op1/events", [
        event(type="step", id="prepare", state="running"),
        event(type="step", id="prepare", state="done"),
        event(type="log", channel="init", stream="stdout", chunk="from init\n"),
        event(type="log", channel="deployment", stream="stdout", chunk="not shown\n"),
        event(type="log", channel="service:web", stream="stderr", chunk="not shown\n"),
        event(type="retry", attempt=1, maxAttempts=3, reason="port taken"),
        event(type="volume-clone", phase="start", path="node_modules", index=1, total=2),
        event(type="step", id="compose-up", state="running"), end()])
    result = fake.run("up", "web, api", "--force", "--arg", "MODE=a=b", "--arg=EMPTY=", MARK="7")
    assert result.code == 0, result
    assert result.err == ("▸ Prepare\n✓ Prepare\n[retry 1/3] port taken\n"
                          "[clone 1/2] copying node_modules...\n▸ Start services\n")
    assert result.out == "from init\n" + TABLE + (
        "Open in web UI: http://127.0.0.1:4949/worktree?path=%2Frepo%2Fmain\n")
    for mode in ("generated", "compose"):
        fake.on("GET", "/worktrees", {**DETAIL, "projectConfig": {"mode": mode}})
        assert fake.run("up").err.endswith("\n▸ docker compose up\n")
    request = fake.sent("POST", "/worktrees/up")[0]
    assert request["services"] == ["web", "api"]
    assert request["arguments"] == {"MODE": "a=b", "EMPTY": ""}
    assert request["force"] is True and request["noTunnel"] is False
    assert request["environment"]["MARK"] == "7"


def test_up_in_json_prints_one_object(fake):
    fake.on("POST", "/worktrees/up", ACCEPTED, 202)
    fake.on("GET", "/operations/op1/events",
            [event(type="log", channel="init", stream="stdout", chunk="noise\n"), end()])
    result = fake.run("up", "--json")
    assert (result.code, result.err, result.data) == (0, "", DETAIL)


def test_up_that_fails(fake):
    fake.on("POST", "/worktrees/up", ACCEPTED, 202)
    fake.on("GET", "/operations/op1/events", [
        event(type="step", id="healthcheck", state="failed", message="web: got 500"),
        event(type="failure", message="web is not healthy"),
        end("failed", failureMessage="web is not healthy")])
    result = fake.run("up")
    assert result.code == 1 and result.out == ""
    assert result.err == ("✗ App-port healthchecks: web: got 500\n"
                          "wos up failed: web is not healthy\n")
    fake.on("GET", "/operations/op1/events", [
        event(type="step", id="compose-up", state="failed", message="web ended:\nno module"),
        event(type="failure", message="web ended"), end("failed", failureMessage="another")])
    assert fake.run("up").err == ("✗ Start services: web ended\n[failure] web ended\n"
                                  "wos up failed: another\n")
    fake.on("GET", "/operations/op1/events",
            [end("failed", failureMessage="cycle: a -> a", code="config-invalid")])
    assert fake.run("up").code == 3


def test_up_names_every_problem_of_deploy_yaml(fake):
    problems = ["deploy.yaml:3:5: unknown key", "deploy.yaml:9:1: not a port"]
    fake.on("POST", "/worktrees/up", {"error": "config-invalid", "message": "2 problems",
                                      "path": "x", "errors": problems}, 400)
    result = fake.run("up")
    assert result.code == 3
    assert result.err == "wos up failed: 2 problems\n" + "".join("  %s\n" % p for p in problems)
    error = fake.run("up", "--json").json["error"]
    assert error == {"code": "config-invalid", "message": "2 problems", "errors": problems}


@pytest.mark.parametrize("command", ["up", "down"])
def test_refusals_have_their_sentence_and_code(fake, command):
    outside = "wos must be run from inside a Git worktree"
    busy = "session repo-main is busy (active op op7)"
    fake.on("POST", "/worktrees/" + command, {"error": "not-a-worktree", "message": outside}, 400)
    result = fake.run(command)
    assert (result.code, result.err) == (3, outside + "\n")
    fake.on("POST", "/worktrees/" + command, {"error": "session-busy", "message": busy}, 409)
    result = fake.run(command)
    assert (result.code, result.err) == (5, busy + "\n")
    result = fake.run(command, "--json")
    assert result.code == 5 and result.json["error"]["code"] == "session-busy"


def test_up_detached(fake):
    fake.on("POST", "/worktrees/up", ACCEPTED, 202)
    result = fake.run("up", "-d")
    assert result.code == 0
    assert result.out == (
        "wos up: deployment started in the background.\n"
        "Progress and logs: http://127.0.0.1:4949/worktree?path=%2Frepo%2Fmain\n")


def test_interrupted_up_says_how_to_go_on(fake):
    going_on = threading.Event()
    fake.on("POST", "/worktrees/up", ACCEPTED, 202)
    fake.on("GET", "/operations/op1/events",
            [event(type="step", id="prepare", state="running"), going_on.wait, end()])
    proc = subprocess.Popen([str(harness.BIN), "up"], env=fake.env(), cwd=fake.home, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert proc.stderr.readline() == "▸ Prepare\n"
        proc.send_signal(signal.SIGINT)
        out, err = proc.communicate(timeout=60)
    finally:
        going_on.set()
        proc.kill()
    assert proc.returncode == 130 and out == ""
    assert "`wos wait` follows it" in err and "`wos down` stops it" in err


def test_daemon_lost_while_it_deploys(fake):
    fake.on("POST", "/worktrees/up", ACCEPTED, 202)
    fake.on("GET", "/operations/op1/events", [event(type="step", id="prepare", state="running")])
    result = fake.run("up")
    assert result.code == 1 and "wos status" in result.err


def test_down_says_nothing(fake):
    fake.on("POST", "/worktrees/down", {**ACCEPTED, "kind": "down"}, 202)
    fake.on("GET", "/operations/op1/events",
            [event(type="step", id="release-ports", state="running"), end()])
    result = fake.run("down")
    assert (result.code, result.out, result.err) == (0, "", "")
    fake.on("POST", "/worktrees/down", {"error": "not-deployed", "message": NEVER}, 404)
    result = fake.run("down")
    assert (result.code, result.out, result.err) == (0, NEVER + "\n", "")
    fake.on("POST", "/worktrees/down",
            {"error": "not-found", "message": "/a/b: No such file or directory"}, 404)
    result = fake.run("down")
    assert (result.code, result.out) == (1, "") and "/a/b: No such file" in result.err


def set_status(fake, status, **keys):
    fake.on("GET", "/worktrees",
            {**DETAIL, "worktree": {**DETAIL["worktree"], "status": status}, **keys})


def test_wait(fake):
    assert fake.run("wait").out == TABLE
    set_status(fake, "not_started")
    result = fake.run("wait")
    assert result.code == 1 and NEVER in result.err
    set_status(fake, "failed", failureContext={"message": "init script: exit 3"})
    result = fake.run("wait")
    assert result.code == 1 and result.out == ""
    assert result.err == "wos wait failed: the deployment failed: init script: exit 3\n" + TABLE
    set_status(fake, "pending")
    result = fake.run("wait", "--timeout=0.2s")
    assert result.code == 124 and result.out == ""
    assert result.err == "wos wait: timed out after 200ms (last status: pending)\n" + TABLE
    result = fake.run("wait", "--timeout", "1", "--json")
    assert result.code == 124 and result.json["error"]["code"] == "timeout"


def test_wait_goes_on_until_it_runs(fake):
    set_status(fake, "checking")
    timer = threading.Timer(1.0, set_status, (fake, "running"))
    timer.start()
    result = fake.run("wait")
    timer.join()
    assert (result.code, result.out) == (0, TABLE)


def test_web_prints_the_address(fake):
    result = fake.run("web", "--no-open")
    assert (result.code, result.out) == (0, HEALTH["webUrl"] + "\n")
    # Without any opener on PATH that is a warning, no failure.
    result = fake.run("web", PATH="/nonexistent")
    assert result.code == 0 and "browser" in result.err
    fake.on("GET", "/health", {**HEALTH, "webUrl": None})
    assert fake.run("web", "--no-open").code == 1


def test_publish(fake):
    answer = {"name": "db", "url": "https://db.wos.localhost", "port": 80, "host": "rewrite",
              "effectiveAccess": "secret", "served": True}
    fake.on("POST", "/publish", answer)
    result = fake.run("publish", "db", "80", "--host", "rewrite")
    assert (result.code, result.out) == (0, "https://db.wos.localhost\n")
    assert fake.sent("POST", "/publish") == [{"name": "db", "port": 80, "host": "rewrite"}]
    fake.on("POST", "/publish", {**answer, "served": False, "message": "no gateway"})
    result = fake.run("publish", "db", "80")
    assert result.code == 1 and result.out == "" and "no gateway" in result.err
    fake.on("POST", "/publish", {"error": "name-taken", "message": "db belongs to s"}, 409)
    result = fake.run("publish", "db", "80")
    assert (result.code, result.err) == (1, "wos publish failed: db belongs to s\n")
    fake.on("GET", "/publish", {"published": [answer]})
    assert fake.run("publish", "--list").out.splitlines()[1].split() == [
        "db", "80", "rewrite", "secret", "https://db.wos.localhost"]
    fake.on("DELETE", "/publish/db", {"name": "db", "removed": True})
    assert fake.run("unpublish", "db").code == 0
    assert fake.run("unpublish", "other").code == 1


def test_publish_options(fake):
    fake.on("POST", "/publish", {"name": "db", "hostname": "db.wos.localhost", "port": 80,
                                 "served": True, "warning": "it is capped"})
    result = fake.run("publish", "db", "80", "--access=public", "--backend", "https", "--insecure",
                      "--whitelist", "10.0.0.0/8, ::1", "--whitelist", "192.0.2.1", "--rate", "10",
                      "--max-concurrent", "3")
    assert result.code == 0 and "private" in result.out
    assert result.err == "wos publish: warning: it is capped\n"
    assert fake.sent("POST", "/publish") == [{
        "name": "db", "port": 80, "access": "public", "backend": "https", "insecure": True,
        "whitelistIps": ["10.0.0.0/8", "::1", "192.0.2.1"], "rateLimit": 10, "maxConcurrent": 3}]
    for wrong in (["--access", "all"], ["--backend", "ftp"], ["--insecure"], ["--rate", "0"],
                  ["--rate", "x"], ["--max-concurrent", "1000001"], ["--whitelist", ""],
                  ["--whitelist", "::1,,::2"], ["--backend", "h2c", "--insecure"]):
        result = fake.run("publish", "db", "80", *wrong)
        assert result.code == 2 and wrong[0] in result.err or "--insecure" in result.err, result


def test_cert(fake):
    cert = {"listenerKind": "tunnel", "source": "self-signed", "state": "active",
            "path": "/h/chain.pem", "caPath": "/h/ca.pem", "names": ["*.wos.localhost"]}
    fake.on("GET", "/certificates", {"certificates": [cert]})
    assert fake.run("cert", "path").out == "/h/chain.pem\n"
    assert fake.run("cert", "path", "--ca").out == "/h/ca.pem\n"
    assert "*.wos.localhost" in fake.run("cert", "show").out
    del cert["caPath"]
    assert fake.run("cert", "path", "--ca").code == 1


def test_cert_renew_tries_every_listener(fake):
    """A listener that fails does not keep the next one from being renewed."""
    def as_often_as_asked(*answers):
        status, answer = answers[0]
        fake.on("POST", "/certificates/renew",
                [lambda: as_often_as_asked(*(answers[1:] or answers)), answer], status)
    busy = (409, {"error": "certificate-busy", "message": "a doctor is at it"})
    begun = (202, {"operationId": "op1"})
    fake.on("GET", "/certificates", {"certificates": [
        {"listenerKind": kind, "source": "letsencrypt"} for kind in ("tunnel", "web")]})
    fake.on("GET", "/operations/op1/events", [
        event(type="certificate.step", step="order", state="done", message=""), end()])

    as_often_as_asked(busy, begun)
    result = fake.run("cert", "renew", "--force", "--json")
    assert result.code == 1 and result.json["success"] is False, result
    assert [body["kind"] for body in fake.sent("POST", "/certificates/renew")] == ["tunnel", "web"]
    failed, good = result.json["data"]["renewals"]
    assert failed == {"listenerKind": "tunnel", "error": {"code": "certificate-busy",
                                                          "message": "a doctor is at it"}}
    assert good["listenerKind"] == "web" and good["error"] is None and good["steps"]
    assert result.json["error"] == {"code": "failed", "message": "tunnel: a doctor is at it"}

    as_often_as_asked(begun, busy)
    result = fake.run("cert", "renew", "--json")
    assert result.code == 1 and result.json["error"]["code"] == "failed", result
    fake.on("GET", "/operations/op1/events", [end("failed", failureMessage="no zone")])
    as_often_as_asked(begun, begun)
    result = fake.run("cert", "renew")
    assert result.code == 1 and "tunnel's certificate\nweb's certificate\n" in result.err, result
    assert "failed: tunnel: no zone; web: no zone" in result.err

    as_often_as_asked(busy)
    assert fake.run("cert", "renew", "--kind", "web").code == 5


def test_logs(fake):
    lines = [{"sequence": 1, "service": "web", "stream": "stdout", "chunk": "one\n"},
             {"sequence": 2, "service": "web", "stream": "stderr", "chunk": "two\n"}]
    fake.on("GET", "/sessions/repo-main/logs", lines)
    result = fake.run("logs", "web")
    assert (result.code, result.out, result.err) == (0, "one\n", "two\n")
    assert fake.run("logs", "--json").data["lines"] == lines
    fake.on("GET", "/sessions/repo-main/logs", {"error": "not-found", "message": "no service x"}, 404)
    result = fake.run("logs", "x")
    assert (result.code, result.err) == (1, "wos logs failed: no service x\n")


def test_config_needs_no_daemon(fake):
    assert fake.run("config", "check").code == 0
    (fake.home / "config.json").write_text('{"tunnel": {"port": "x"}}')
    result = fake.run("config", "check")
    assert result.code == 3 and "tunnel.port" in result.out
    assert fake.run("config", "check", "--json").json["data"]["problems"]
    json.loads(fake.run("config", "defaults").out)
    assert "tunnel.port" in fake.run("config", "docs").out
    assert fake.server.seen == []


def test_stop_ends_the_process_that_does_not_answer(fake):
    # Asked to stop it refuses: the process it names gets SIGTERM.
    victim = subprocess.Popen(["sleep", "600"])
    try:
        fake.on("GET", "/health", {**HEALTH, "pid": victim.pid})
        fake.on("POST", "/daemon/stop", {"error": "server-error", "message": "stuck"}, 500)
        result = fake.run("stop")
        assert result.code == 0 and result.err == "wos: daemon stopped\n", result
        assert victim.wait(10) == -signal.SIGTERM
    finally:
        victim.kill()
        victim.wait()


def test_stop_without_a_daemon(fake):
    os.unlink(fake.home / "daemon.sock")
    result = fake.run("stop")
    assert (result.code, result.err) == (0, "wos: no daemon was running\n")


def test_home_too_long_for_a_socket(fake):
    result = fake.run("status", WOS_HOME="/tmp/" + "x" * 120)
    assert result.code == 2 and "too long" in result.err


def test_answer_that_is_no_json(fake):
    fake.on("GET", "/worktrees", [])
    result = fake.run("status")
    assert result.code == 1 and result.err.startswith("wos status failed:")


def test_slips_are_named(fake):
    """Every command refuses an option it does not know, and names the one that was meant."""
    for words, meant in ((["status", "--al"], "--all"), (["up", "--targt", "x"], "--target"),
                         (["up", "--no-tunel"], "--no-tunnel"), (["wait", "--timout=3"], "--timeout"),
                         (["staus"], "wos status"), (["dwon"], "wos down")):
        result = fake.run(*words)
        assert result.code == 2 and "did you mean %s?" % meant in result.err, result
    for words in (["status", "--bogus"], ["frobnicate"]):
        result = fake.run(*words)
        assert result.code == 2 and "did you mean" not in result.err, result


def test_every_command_refuses_options_it_does_not_know(fake):
    listed = fake.run("help").out
    names = re.findall(r"^  ([a-z]+)  ", listed, re.M)
    assert {"up", "down", "status", "exec", "cert", "help"} <= set(names)
    for name in names:
        result = fake.run(name, "--bogus")
        assert result.code == 2 and "usage: wos %s" % name in result.err, result
