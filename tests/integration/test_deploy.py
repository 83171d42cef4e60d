"""deploy.yaml in shell mode: what a service gets, when it starts, how it ends."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest

import clients
import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")


def env_of(wos, label="alpha-web"):
    return wos.get(label, "/env").json


def test_environment_of_a_service(wos):
    (wos.trees["alpha"] / "vars.env").write_text(
        "# comment\nFROM_FILE=file\nBOTH=file\nQUOTED=\"a b\"\n")
    wos.deploy(harness.shell_app(web=harness.python_service(
        "web", env_file="vars.env", environment={
            "INLINE": "x", "BOTH": "inline", "NUMBER": 7, "BOOL": True,
            "WOS_SERVICE_PORT": "1", "WOS_SERVICE_HOSTNAME": "lie"})))
    wos.up("alpha")
    info = env_of(wos)
    env = info["env"]
    assert env["WOS_SERVICE_PORT"] == str(wos.host_port("alpha"))
    assert env["WOS_SERVICE_HOSTNAME"] == "alpha-web.wos.localhost"
    assert env["__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"] == ".wos.localhost"
    assert (env["INLINE"], env["BOTH"], env["FROM_FILE"]) == ("x", "inline", "file")
    assert (env["NUMBER"], env["BOOL"], env["QUOTED"]) == ("7", "true", "a b")
    assert info["cwd"] == str(wos.trees["alpha"])


def test_service_has_its_own_group(wos):
    wos.deploy(harness.shell_app(a=harness.python_service("a"), b=harness.python_service("b")))
    wos.up("alpha")
    a, b = env_of(wos, "alpha-a"), env_of(wos, "alpha-b")
    assert a["pgid"] == wos.service_pids("alpha")["a"] and a["pgid"] == a["sid"]
    assert a["pgid"] != b["pgid"] != os.getpgid(wos.daemon_pid())


def test_vite_variable_can_be_set_by_the_user(wos):
    wos.deploy(harness.shell_app(web=harness.python_service(
        "web", environment={"__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS": "own"})))
    wos.up("alpha")
    assert env_of(wos)["env"]["__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"] == "own"


def test_callers_environment_reaches_the_service(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.ok("start")
    wos.up("alpha", env=wos.env(CALLER_SAYS="hello"))
    assert env_of(wos)["env"]["CALLER_SAYS"] == "hello"


def test_cwd_of_a_service(wos):
    (wos.trees["alpha"] / "sub").mkdir()
    wos.deploy(harness.shell_app(web=harness.python_service("web", cwd="sub")))
    wos.up("alpha")
    assert env_of(wos)["cwd"] == str(wos.trees["alpha"] / "sub")


def test_templates(wos):
    app = harness.shell_app(
        web=harness.python_service("web", environment={
            "API": "${app.services.api.url[3000]}/v1", "PORT": "${app.services.api.hostPort[3000]}",
            "NAME": "<${app.services.api.hostname[3000]}>", "GIVEN": "${MODE}",
            "DEFAULT": "${LEVEL:-low}", "TWO": "${MODE}-${LEVEL:-x}"}),
        api=harness.python_service("api"))
    app["arguments"] = ["MODE", "LEVEL"]
    wos.deploy(app)
    wos.up("alpha", "--arg", "MODE=fast")
    env = env_of(wos)["env"]
    assert env["API"] == wos.url("alpha-api", "/v1")
    assert env["PORT"] == str(wos.host_port("alpha", "api"))
    assert env["NAME"] == "<alpha-api.wos.localhost>"
    assert (env["GIVEN"], env["DEFAULT"], env["TWO"]) == ("fast", "low", "fast-x")


def test_templates_without_tunnels(make_wos):
    wos = make_wos(service_tunnels={"enabled": False})
    wos.deploy(harness.shell_app(web=harness.python_service("web", environment={
        "URL": "${app.services.web.url[3000]}", "NAME": "${app.services.web.hostname[3000]}"})))
    wos.up("alpha")
    port = wos.host_port("alpha")
    with clients.Http1(port, "localhost") as client:
        env = client.request(path="/env").json["env"]
    assert env["URL"] == "http://localhost:%d" % port
    assert env["NAME"] == "localhost" and env["WOS_SERVICE_HOSTNAME"] == "localhost"


@pytest.mark.parametrize("value", ["${NOPE}", "${app.services.web.hostPort[1]}",
                                   "${app.services.none.url[3000]}", "${deps.db.hostPort[1]}",
                                   "${hostname[3000]}", "${GIVEN}"])
def test_bad_templates_stop_up_before_anything_starts(wos, value):
    app = harness.shell_app(web=harness.python_service("web", environment={"X": value}))
    app["arguments"] = ["GIVEN"]
    wos.deploy(app)
    result = wos.run("up", cwd="alpha")
    assert result.code == (2 if value == "${GIVEN}" else 3), result
    assert value in result.err or value[2:-1] in result.err, result
    assert not [line for line in wos.processes().values() if "backend.py" in line]


def test_worktree_has_its_own_config_file(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("from-source")),
               harness.shell_app(web=harness.python_service("from-worktree")))
    wos.up("alpha")
    wos.up("beta")
    assert wos.get("alpha-web", "/hello").text == "hello from from-source\n"
    assert wos.get("beta-web", "/hello").text == "hello from from-worktree\n"


def test_missing_deploy_config(wos):
    result = wos.run("up", cwd="alpha")
    assert result.code == 3, result
    assert "deploy config not found at %s" % (wos.source / ".wos" / "deploy.yaml") in result.err
    wos.deploy(harness.shell_app(web=harness.python_service("x")))
    (wos.source / ".wos" / "deploy.worktree.yaml").unlink()
    result = wos.run("up", cwd="beta")
    assert result.code == 3 and "deploy.worktree.yaml" in result.err


BAD = """\
mode: shell
host_ports:
  range:
    start: 30000
    end: 20000
app:
  services:
    web:
      script: echo
      ports: [0, 99999]
      dependencies: [nobody]
      image: nginx
    api:
      ports: [3000]
    self:
      script: ['true']
      dependencies: [self]
      environment: [a]
targets:
  all: [web, missing]
arguments: [1x]
volumes: {}
"""


def test_every_error_at_once(wos):
    wos.deploy(BAD)
    result = wos.run("up", cwd="alpha")
    assert result.code == 3, result
    path = str(wos.source / ".wos" / "deploy.yaml")
    found = re.findall(re.escape(path) + r":(\d+):(\d+): (.+)", result.err)
    lines = {int(line) for line, _, _ in found}
    text = result.err
    assert all(int(column) >= 1 for _, column, _ in found)
    assert {9, 10, 11, 12, 17, 18, 20, 21, 22} <= lines, text
    assert lines & {3, 4, 5}, text  # the range
    assert lines & {13, 14}, text  # no script
    assert len([1 for line, _, _ in found if line == "10"]) == 2, text
    assert len(found) == len(set(found)), "an error is told twice: " + text
    for word in ("script", "nobody", "image", "missing", "1x", "volumes"):
        assert word in text, word
    assert not (wos.home / "sessions").exists() or not list(
        (wos.home / "sessions").glob("*/shell"))
    result = wos.run("up", "--json", cwd="alpha")
    assert result.code == 3 and result.json["success"] is False
    assert "deploy.yaml" in json.dumps(result.json["error"])


def test_warnings_come_with_the_errors(wos):
    """A misspelt key is only a warning, and often the reason of an error."""
    wos.deploy("mode: shell\napp:\n  services:\n    web:\n      scripts: [x]\n      ports: [1]\n")
    result = wos.run("up", cwd="alpha")
    path = wos.source / ".wos" / "deploy.yaml"
    assert result.code == 3 and "warning: %s:5:7: " % path in result.err, result
    assert "script is required" in result.err.split("warning: ")[0], result
    error = wos.run("up", "--json", cwd="alpha").json["error"]
    assert len(error["errors"]) == 1 and "scripts" in error["warnings"][0], error


@pytest.mark.parametrize("text,where", [
    ("mode: shell\napp:\n  services:\n    web: [\n", 4),
    ("mode: shell\napp:\n\tservices: {}\n", 3),
    ("just text\n", 1),
    ("mode: sideways\n", 1),
    ("mode: shell\napp:\n  services:\n    web:\n      script: ['true']\n      script: ['x']\n", 6),
    ("mode: shell\ndeps:\n  db:\n    image: x\n", 2),
    ("mode: shell\napp:\n  services:\n    web:\n      script: ['true']\n      ports:\n"
     "        - port: 3000\n          healthcheck: {url: nope}\n", 8),
    ("mode: shell\napp:\n  services:\n    a: {script: ['true'], dependencies: [b]}\n"
     "    b: {script: ['true'], dependencies: [a]}\n", None)])
def test_bad_files(wos, text, where):
    wos.deploy(text)
    result = wos.run("up", cwd="alpha")
    assert result.code == 3, result
    assert result.err.strip()
    if where:
        lines = [int(n) for n in re.findall(r"deploy\.yaml:(\d+):\d+: ", result.err)]
        assert any(abs(n - where) <= 1 for n in lines), result
    else:
        assert "cycle" in result.err


# --- ports ----------------------------------------------------------------------

def test_ports_come_from_the_range_and_stay(wos):
    app = harness.shell_app(a=harness.python_service("a"), b=harness.python_service("b"))
    start = harness.free_port()
    app["host_ports"] = {"range": {"start": start, "end": start + 40}}
    wos.deploy(app)
    wos.up("alpha")
    wos.up("beta")
    first = {(t, s): wos.host_port(t, s) for t in ("alpha", "beta") for s in ("a", "b")}
    assert len(set(first.values())) == 4
    assert all(start <= p <= start + 40 for p in first.values())
    for tree in ("beta", "alpha"):
        wos.down(tree)
    wos.ok("restart")
    for tree in ("beta", "alpha"):
        wos.up(tree)
    assert {(t, s): wos.host_port(t, s) for t, s in first} == first


def test_a_port_taken_by_another_program_is_left_alone(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    port = wos.host_port("alpha")
    wos.down("alpha")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", port))
        taken.listen()
        wos.up("alpha")
        assert wos.host_port("alpha") != port
        assert wos.get("alpha-web", "/hello").text == "hello from web\n"


def test_static_ports(wos):
    port = harness.free_port()
    app = harness.shell_app(web=harness.python_service("web", ports=[port]))
    app["dynamic_ports"] = False
    wos.deploy(app)
    wos.up("alpha")
    assert wos.host_port("alpha", "web", port) == port
    result = wos.run("up", cwd="beta")  # the same port again
    assert result.code in (1, 3) and str(port) in result.err, result
    assert wos.get("alpha-web", "/hello").status == 200


# --- order, selection, init ----------------------------------------------------------

def test_init_script_runs_once(wos):
    app = harness.shell_app(web=harness.python_service("web", init_script=["echo svc >> ran"]))
    app["app"]["init_script"] = ["echo first-run setup", "echo app >> ran"]
    wos.deploy(app)
    result = wos.up("alpha")
    assert "first-run setup" in result.out + result.err
    ran = wos.trees["alpha"] / "ran"
    assert ran.read_text() == "app\nsvc\n"
    wos.up("alpha")
    wos.down("alpha")
    wos.up("alpha")
    assert ran.read_text() == "app\nsvc\n"
    wos.up("alpha", "--force")
    assert ran.read_text() == "app\nsvc\n" * 2


def test_failed_init_script_stops_up(wos):
    app = harness.shell_app(web=harness.python_service("web"))
    app["app"]["init_script"] = ["echo going wrong >&2", "exit 7", "touch never"]
    wos.deploy(app)
    result = wos.run("up", cwd="alpha")
    assert result.code == 1, result
    assert "going wrong" in result.err + result.out and "7" in result.err
    assert not (wos.trees["alpha"] / "never").exists()
    assert not [line for line in wos.processes().values() if "backend.py" in line]
    app["app"]["init_script"] = ["true"]
    wos.deploy(app)
    wos.up("alpha")  # never initialised: it runs again


def test_dependencies_start_first(wos):
    def service(name, *needs):
        return harness.python_service(name, dependencies=list(needs))
    wos.deploy(harness.shell_app(aa=service("aa", "mm"), mm=service("mm", "zz"), zz=service("zz")))
    wos.up("alpha")
    services = wos.state("alpha")["shell"]["services"]
    order = sorted(services, key=lambda s: (services[s]["startedAt"], services[s]["pid"]))
    assert order == ["zz", "mm", "aa"]


def test_ports_of_what_is_stopped_are_the_last_to_be_taken(wos):
    """A range is not used up by worktrees that are down; what runs keeps its ports."""
    app = harness.shell_app(web=harness.python_service("web"))
    first, last = harness.free_port(), harness.free_port()
    while last != first + 1:
        first, last = last, harness.free_port()
    app["host_ports"] = {"range": {"start": first, "end": last}}
    wos.deploy(app)
    gamma = wos.add_worktree("ports-gamma").name
    wos.up("alpha")
    wos.down("alpha")
    wos.up("beta")
    ports = {tree: wos.host_port(tree) for tree in ("alpha", "beta")}
    assert sorted(ports.values()) == [first, last], "a free one is taken first"
    wos.up("alpha")
    assert wos.host_port("alpha") == ports["alpha"]
    full = wos.run("up", cwd=gamma)
    assert full.code == 1 and "no free port left in host_ports.range" in full.err, full
    wos.down("beta")
    wos.up(gamma)
    assert wos.host_port(gamma) == ports["beta"] and wos.host_port("alpha") == ports["alpha"]
    assert wos.get("alpha-web", "/hello").status == 200
    full = wos.run("up", cwd="beta")
    assert full.code == 1 and "no free port left in host_ports.range" in full.err, full


def test_selection_and_target(wos):
    app = harness.shell_app(a=harness.python_service("a"), c=harness.python_service("c"),
                            b=harness.python_service("b", dependencies=["c"]))
    app["targets"] = {"two": ["b", "c"]}
    wos.deploy(app)
    assert "only these services, not those they depend on\n" in wos.ok("up", "--help").out
    wos.up("alpha", "a,b")
    assert set(wos.service_pids("alpha")) == {"a", "b"}
    assert wos.get("alpha-c", "/").status == 404
    wos.up("alpha", "--target", "two")
    assert set(wos.service_pids("alpha")) == {"b", "c"}
    assert wos.get("alpha-a", "/").status == 404
    assert wos.get("alpha-c", "/hello").status == 200
    pids = wos.service_pids("alpha")
    for args, says in ((["nosuch"], "no service named nosuch; services: a, b, c"),
                       (["--target", "nosuch"], "no target named nosuch in "),
                       (["--arg", "NO=1"], "argument NO is not declared under arguments in ")):
        result = wos.run("up", *args, cwd="alpha")
        assert result.code == 2 and says in result.err, result
        result = wos.run("up", *args, "--json", cwd="alpha")
        assert result.code == 2 and result.json["error"]["code"] == "validation", result
    assert wos.service_pids("alpha") == pids and set(map(harness.alive, pids.values())) == {True}
    app["app"]["services"]["a"]["environment"] = {"MODE": "${MODE}"}
    wos.deploy({**app, "arguments": ["MODE"]})  # what only the up itself can know
    result = wos.run("up", "--json", cwd="alpha")
    assert result.code == 2 and result.json["error"]["code"] == "usage", result
    assert "--arg MODE=VALUE" in result.json["error"]["message"]


def test_up_again_replaces_the_processes(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("one")))
    wos.up("alpha")
    pid = wos.service_pids("alpha")["web"]
    wos.deploy(harness.shell_app(web=harness.python_service("two")))
    wos.up("alpha")
    assert wos.service_pids("alpha")["web"] != pid and not harness.alive(pid)
    assert wos.get("alpha-web", "/hello").text == "hello from two\n"


# --- ends --------------------------------------------------------------------------

def test_down_leaves_nothing(wos):
    """Children, grandchildren and one that ignores SIGTERM, all gone."""
    wos.deploy(harness.shell_app(
        web=harness.python_service("web"),
        deep={"script": ["sh -c 'sleep 1000 & sleep 1001 & wait' & sh -c 'sleep 1002'"]},
        deaf={"script": ["trap '' TERM; while :; do sleep 1; done"]}))
    wos.up("alpha")
    pids = list(wos.service_pids("alpha").values())
    assert len(pids) == 3
    harness.until("the grandchildren run", lambda: len(
        [x for x in wos.processes().values() if re.search(r"sleep 100[012]", x)]) >= 3)
    wos.down("alpha")
    assert not [p for p in pids if harness.alive(p)]
    ours = {wos.daemon_pid(), wos.gateway_pid()}
    left = {p: x for p, x in wos.processes().items() if p not in ours}
    assert not left, left
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", wos.host_port("alpha")), 5)
    assert not wos.state("alpha")["shell"]["services"]


def test_term_comes_before_kill(wos):
    note = wos.dir / "note"
    wos.deploy(harness.shell_app(polite={
        "script": ["trap 'echo asked > %s; exit 0' TERM; while :; do sleep 0.1; done" % note]}))
    wos.up("alpha")
    wos.down("alpha")
    assert note.read_text() == "asked\n"


def test_logs_are_files(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    logs = wos.session_dir("alpha") / "shell" / "logs"
    assert "listening on %d" % wos.host_port("alpha") in (logs / "web.stdout.log").read_text()
    assert "errors go here" in (logs / "web.stderr.log").read_text()


def test_service_that_ends_at_once_is_a_failure(wos):
    wos.deploy(harness.shell_app(web={"script": ["echo no luck >&2", "exit 3"], "ports": [3000]}))
    result = wos.run("up", cwd="alpha")
    assert result.code == 1, result
    assert "web" in result.err and "no luck" in result.err
    result = wos.run("status", "--json", cwd="alpha")
    assert '"failed"' in result.out
    assert result.data["failureContext"]["logTail"] == ["no luck"], result
    for words in ((), ("web",)):  # nothing runs, and that is when one wants to know
        assert "no luck" in wos.ok("logs", *words, cwd="alpha").err
    never = wos.run("logs", cwd="beta")
    assert never.code == 1 and "no service has run here yet" in never.err, never


def test_env_file_missing(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("web", env_file="missing.env")))
    result = wos.run("up", cwd="alpha")
    assert result.code == 3 and "missing.env" in result.err
    assert not [line for line in wos.processes().values() if "backend.py" in line]


def test_mistakes_that_can_be_known_leave_what_runs(wos):
    """env_file, cwd and templates are looked at before anything is stopped, all of them at once."""
    web = harness.python_service("web")
    wos.deploy(harness.shell_app(web=web))
    wos.up("alpha")
    pid = wos.service_pids("alpha")["web"]
    (wos.source / "bad.env").write_text("A=1\nnonsense\n")
    wos.deploy(harness.shell_app(
        web=dict(web, env_file=".env.local"), api=harness.python_service("api", cwd="nowhere"),
        bad=harness.python_service("bad", env_file="bad.env")))
    result = wos.run("up", cwd="alpha")
    path = str(wos.source / ".wos" / "deploy.yaml")
    assert result.code == 3 and result.err.count(path) >= 3, result
    for text in (".env.local", "cwd %s/nowhere is not a directory" % wos.source, "bad.env:2: "):
        assert text in result.err, result
    wos.deploy(harness.shell_app(
        web=dict(web, environment={"API": "${app.services.api.url[3000]}"}),
        api=harness.python_service("api")))
    result = wos.run("up", "web", cwd="alpha")
    assert result.code == 3 and "api is not among the services to start" in result.err, result
    assert wos.service_pids("alpha")["web"] == pid and harness.alive(pid)
    assert wos.get("alpha-web", "/hello").status == 200
    assert "healthy 200" in health(wos)["web"]


def test_a_first_run_may_make_what_services_need(wos):
    app = harness.shell_app(web=harness.python_service("web", env_file="made.env", cwd="made"))
    app["app"]["init_script"] = ["echo MADE=yes > made.env", "mkdir -p made"]
    wos.deploy(app)
    wos.up("alpha")
    assert env_of(wos)["env"]["MADE"] == "yes"


GENERATED = {"app": {"services": {"web": {"image": "nginx", "ports": [3000]}}}}


@pytest.mark.parametrize("engine", ["off", "missing"])
def test_a_forgotten_mode_locks_nothing(wos, engine):
    """Where no engine answers, mode generated fails and leaves a session that is free again."""
    docker = wos.dir / "docker"
    if engine == "off":
        docker.write_text("""#!/bin/sh
case $* in "compose version"*) exit 0 ;; esac
echo Cannot connect to the engine >&2
exit 1
""")
        docker.chmod(0o755)
    env = wos.env(WOS_DOCKER_BIN=str(docker))
    hint = "mode is generated, the default; without Docker: mode: shell"
    shell = harness.shell_app(web=harness.python_service("web"))
    wos.deploy(GENERATED)
    for tree in ("alpha", "beta"):
        result = wos.run("up", cwd=tree, env=env)
        assert result.code == 1 and hint in result.err, result
    wos.deploy(dict(GENERATED, mode="generated"))
    result = wos.run("up", cwd="beta", env=env)
    assert result.code == 1 and "mode is generated; without Docker" in result.err, result
    wos.deploy(shell)
    wos.ok("up", cwd="alpha", env=env)
    assert wos.get("alpha-web", "/hello").status == 200
    wos.ok("restart", env=env)
    wos.ok("down", cwd="beta", env=env)
    wos.ok("worktree", "remove", "--force", cwd="beta", env=env)
    assert not wos.trees["beta"].exists()


# --- health ----------------------------------------------------------------------

def health(wos):
    text = wos.run("status", cwd="alpha").out
    return {line.split()[0]: line for line in text.splitlines()[1:] if line.strip()}


def test_no_file_of_a_repository_holds_the_daemon_up(wos):
    config = wos.source / ".wos" / "deploy.worktree.yaml"
    wos.deploy(harness.shell_app(web=harness.python_service("web", env_file="vars.env")))
    wos.ok("start")
    os.mkfifo(wos.trees["beta"] / "vars.env")
    result = wos.run("up", cwd="beta")
    assert result.code == 3 and "vars.env: not a regular file" in result.err, result
    for make in (os.mkfifo, lambda path: os.symlink("/dev/ptmx", path)):
        config.unlink()
        make(config)
        result = wos.run("up", cwd="beta")
        assert result.code == 3 and "deploy.worktree.yaml: not a regular file" in result.err, result
        wos.run("status", cwd="beta")
        wos.ok("status", "--all")


def test_failed_healthcheck_fails_up_and_leaves_it_running(wos):
    check = {"url": "/status/500", "timeout": "60s", "start_period": "0.1s", "interval": "100ms",
             "retries": 60}  # time to come up
    wos.deploy(harness.shell_app(web=harness.python_service(
        "web", ports=[{"port": 3000, "healthcheck": check}])))
    result = wos.run("up", cwd="alpha")
    assert result.code == 1, result
    assert "500" in result.err or "500" in result.out
    assert "errors go here" in result.err  # the end of its log
    failure = wos.run("status", "--json", cwd="alpha").data["failureContext"]
    assert failure["kind"] == "up" and "errors go here" in failure["logTail"], failure
    assert harness.alive(wos.service_pids("alpha")["web"])
    assert wos.get("alpha-web", "/hello").status == 200  # failing still gets its requests
    assert "FAILED" in health(wos)["web"] and "got 500" in health(wos)["web"]


def test_a_script_that_listens_elsewhere_is_told_so(wos):
    """Once while the checks go on, and in the failure; the table says it in two words."""
    check = {"timeout": "60s", "start_period": "1ms", "interval": "50ms", "retries": 5}
    elsewhere = harness.free_port()
    wos.deploy(harness.shell_app(web={
        "script": ["exec %s -m http.server -b 127.0.0.1 %d" % (harness.PYTHON, elsewhere)],
        "ports": [{"port": 3000, "healthcheck": check}]}))
    result = wos.run("up", cwd="alpha")
    said = "nothing listens on port %d: does the script use $WOS_SERVICE_PORT?" % wos.host_port()
    assert result.code == 1, result
    assert result.err.count("service web port 3000: " + said) == 1, result
    assert "health check of service web port 3000 failed: " + said in result.err, result
    assert "FAILED — no answer" in health(wos)["web"]
    row = wos.run("status", "--json", cwd="alpha").data["appPortHealthchecks"][0]
    assert row["message"] == said, row


def test_allowed_failure(wos):
    check = {"url": "/status/503", "start_period": "0.1s", "interval": "100ms", "retries": 2}
    wos.deploy(harness.shell_app(web=harness.python_service(
        "web", ports=[{"port": 3000, "healthcheck": check, "allow_failure": True}])))
    wos.up("alpha")
    assert "failed (allowed)" in health(wos)["web"]


def test_expected_status_redirect_and_off(wos):
    wos.deploy(harness.shell_app(
        a=harness.python_service("a", ports=[
            {"port": 3000, "healthcheck": {"url": "/status/404", "status": 404}}]),
        b=harness.python_service("b", ports=[
            {"port": 3000, "healthcheck": {"url": "/redirect?to=/hello", "status": 200}}]),
        c=harness.python_service("c", ports=[{"port": 3000, "healthcheck": False}]),
        d=harness.python_service("d", ports=[
            {"port": 3000, "healthcheck": {"url": "/status/404"}}])))
    wos.up("alpha")
    rows = health(wos)
    assert "healthy 404" in rows["a"] and "healthy 200" in rows["b"]
    assert "disabled" in rows["c"] and "healthy 404" in rows["d"]


SPEAKS_TLS = """
import http.server, os, ssl
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["WOS_SERVICE_PORT"])),
                                http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("own.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
SPEAKS_H2C = """
import os, socket, threading, h2.connection, h2.config, h2.events
def serve(sock):
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    conn.initiate_connection()
    while True:
        sock.sendall(conn.data_to_send())
        data = sock.recv(65536)
        if not data:
            return
        for event in conn.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                conn.send_headers(event.stream_id, [(":status", "415")], end_stream=True)
listener = socket.create_server(("127.0.0.1", int(os.environ["WOS_SERVICE_PORT"])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def test_health_checks_speak_what_the_service_speaks(wos):
    """backend: https, with a certificate nobody knows, and h2c, where a GET is no gRPC call."""
    for name, text in (("tls.py", SPEAKS_TLS), ("h2c.py", SPEAKS_H2C)):
        (wos.source / name).write_text(text)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x",
                    "-keyout", "key.pem", "-out", "cert.pem"], cwd=wos.dir, check=True,
                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (wos.source / "own.pem").write_text((wos.dir / "key.pem").read_text() +
                                        (wos.dir / "cert.pem").read_text())

    def service(script, **port):
        check = {"retries": 2, "start_period": "20s", "interval": "1s"}
        return {"script": ["exec %s %s" % (harness.PYTHON, script)],
                "ports": [{"port": 3000, "healthcheck": check, **port}]}

    wos.deploy(harness.shell_app(
        tls=service("tls.py", backend="https", insecure=True),
        checked=service("tls.py", backend="https"),
        grpc=service("h2c.py", backend="h2c")))
    out = wos.up("alpha", "--no-tunnel").out
    rows = {line.split()[0]: line for line in out.splitlines()[1:] if "->" in line}
    assert "https://localhost:" in rows["tls"] and "healthy 200" in rows["tls"], out
    assert "https://localhost:" in rows["checked"] and "healthy 200" in rows["checked"], out
    assert " http://localhost:" in rows["grpc"] and "healthy 415" in rows["grpc"], out
    wos.ok("restart")
    harness.until("the monitor speaks it too", lambda: "healthy 200" in health(wos)["tls"] and
                  "healthy 415" in health(wos)["grpc"])


def test_global_healthcheck_defaults(make_wos):
    wos = make_wos(config={"healthcheck": {"retries": 2, "interval": 50, "start_period": "10ms"}})
    wos.deploy(harness.shell_app(web=harness.python_service(
        "web", ports=[{"port": 3000, "healthcheck": {"url": "/status/500"}}])))
    assert wos.run("up", cwd="alpha").code == 1


def test_up_waits_for_a_slow_starter(wos):
    flag = wos.dir / "go"
    wos.deploy(harness.shell_app(web=harness.python_service("late", "--wait-for %s" % flag)))
    proc = wos.popen("up", cwd="alpha")
    harness.until("it is starting", lambda: wos.get("alpha-web", "/").status == 503)
    assert proc.poll() is None
    flag.touch()
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == 0, err
    assert "healthy 200" in out


def test_reused_pid_is_not_touched(wos):
    """state.json names a pid that is somebody else's now."""
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    path = wos.session_dir("alpha") / "state.json"
    wos.ok("stop")
    pid = wos.service_pids("alpha")["web"]
    os.killpg(pid, signal.SIGKILL)
    stranger = wos.start(["sleep", "600"])
    state = json.loads(path.read_text())
    text = re.sub(r'("(?:pid|processGroupId)": ?)%d\b' % pid, r"\g<1>%d" % stranger.pid,
                  json.dumps(state))
    path.write_text(text)
    wos.down("alpha")
    assert stranger.poll() is None, "down ended a stranger's process"
