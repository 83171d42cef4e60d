"""deploy.yaml's Docker modes on a real engine (engine.py starts one when none runs).

One wos per kind of Compose for what only looks, and its own for what breaks things. Where no
engine can run, or a kind of Compose is missing, the tests are skipped by name.
"""
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import engine as engines
import harness
from api_client import Api
from harness import until
from other_host import OtherHost
from test_api import history
from test_terminal import Viewer

pytestmark = pytest.mark.no_tsan("the engine is asked by the daemon's one thread, as in shell mode")

# Serves /www, ends at once when asked to; the environment is a page.
SERVE = ("trap 'exit 0' TERM; mkdir -p /www; env > /www/env; echo \"$NAME\" > /www/index.html; "
         "httpd -f -p {port} -h /www & wait")


def service(port=3000, **keys):
    return {"script": [SERVE.format(port=port)], "ports": [port], **keys}


def generated(services, **keys):
    app = {"image": engines.IMAGE, "services": services}
    app.update(keys.pop("app", {}))
    return {"mode": "generated", "app": app, **keys}


@pytest.fixture(scope="session")
def engine():
    reason = engines.missing()
    if reason:
        pytest.skip("no Docker engine: " + reason)
    running = engines.Engine()
    yield running
    problems = running.close()
    assert not problems, problems


class DockerWos(harness.Wos):
    """A wos whose every command finds the test's engine and kind of Compose."""

    def __init__(self, engine, kind, **keys):
        self.engine, self.kind, self.extra = engine, kind, {}
        super().__init__(**keys)
        self.extra = engine.compose_env(kind, self.dir)

    def env(self, **extra):
        return super().env(**{**self.extra, **extra})

    def project(self, tree="alpha"):
        return self.state(tree)["projectName"]

    def containers(self, tree="alpha"):
        return self.engine.containers(self.project(tree))

    def detail(self, tree="alpha"):
        return self.ok("status", "--json", cwd=tree).data

    def compose(self, tree="alpha"):
        return (self.session_dir(tree) / "compose.yaml").read_text()


def start(engine, kind, **keys):
    reason = engines.compose_missing(kind)
    if reason:
        pytest.skip("Compose %s: %s" % (kind, reason))
    if not harness.BIN.exists():
        pytest.fail("no binary at %s: build it, or set WOS_BIN" % harness.BIN, pytrace=False)
    return DockerWos(engine, kind, **keys)


def finish(wos):
    problems = wos.close()
    if problems:
        pytest.fail("\n".join(problems) + "\n" + wos.logs(), pytrace=False)


def first_up(wos, *args):
    """Of a fixture: what is not yielded has to be closed here."""
    try:
        wos.up("alpha", *args)
    except BaseException:
        wos.close()
        raise


HOSTS = "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"

# Without a real v2, what is called like one.
KINDS = ("v1", "v2" if engines.compose_missing("v2") is None else "plugin")


@pytest.fixture(scope="module", params=KINDS)
def shop(engine, request):
    """Mode generated, up: web with a dependency, api, an init script."""
    wos = start(engine, request.param)
    (wos.source / "api.env").write_text(HOSTS + "=of env_file\n")
    wos.deploy(generated(
        {"web": service(environment={"NAME": "web of ${NAME_ARG:-nobody}", "COST": "$5",
                                     "API": "${app.services.api.url[3001]}",
                                     "DB": "${deps.db.containerName}:${deps.db.hostPort[6000]}"},
                        dependencies=["api"]),
         "api": service(3001, environment={"NAME": "api"}, cwd="sub", volumes=["keep:/keep"],
                        env_file="api.env")},
        app={"init_script": ["echo once >> /workspace/initialised", "mkdir -p /workspace/sub"]},
        deps={"db": {"image": engines.IMAGE, "ports": [6000], "environment": {"A": "b"}}},
        arguments=["NAME_ARG"]))
    wos.extra[HOSTS] = "of the caller"
    first_up(wos, "--arg", "NAME_ARG=somebody")
    del wos.extra[HOSTS]
    yield wos
    finish(wos)


def test_generated_is_served_at_its_name(shop):
    assert shop.get("alpha-web").body == b"web of somebody\n"
    assert shop.get("alpha-api").body == b"api\n"
    detail = shop.detail()
    assert {s["service"]: s["state"] for s in detail["services"]}.items() >= {
        "web": "running", "api": "running"}.items(), detail
    assert all(row["state"] == "healthy" for row in detail["appPortHealthchecks"]
               if row["service"] != "db"), detail


def test_generated_environment(shop):
    env = dict(line.split("=", 1) for line in
               shop.get("alpha-web", "/env").body.decode().splitlines() if "=" in line)
    state = shop.state()
    assert env["COST"] == "$5"
    assert env["API"] == "https://alpha-api.%s:%d" % (harness.DOMAIN, shop.port)
    assert env["DB"] == "%s-db:%d" % (state["projectName"], shop.host_port(service="db", port=6000))
    assert env["WOS_SERVICE_PORT"] == str(shop.host_port())
    assert env["WOS_SERVICE_HOSTNAME"] == "alpha-web." + harness.DOMAIN
    assert env["WOS_SERVICE_HOSTNAME_3000"] == "alpha-web." + harness.DOMAIN
    assert env[HOSTS] == "." + harness.DOMAIN, "nothing of the caller's comes into a container"
    assert HOSTS + "=of env_file\n" in shop.get("alpha-api", "/env").body.decode()
    assert env["PWD"] == "/workspace"


def test_generated_binds_the_loopback_only(shop):
    """Nothing is published on all interfaces, and dependencies have no public name."""
    for name in ("web", "api"):
        text = shop.engine.run("inspect", shop.engine.container_id(shop.project(), name)).stdout
        bindings = json.loads(text)[0]["HostConfig"]["PortBindings"]
        assert [b["HostIp"] for rows in bindings.values() for b in rows] == ["127.0.0.1"], bindings
    assert sorted(shop.routes()) == ["alpha-api." + harness.DOMAIN, "alpha-web." + harness.DOMAIN]


def test_generated_labels_and_state(shop):
    text = shop.engine.run("inspect", shop.engine.container_id(shop.project(), "web")).stdout
    labels = json.loads(text)[0]["Config"]["Labels"]
    state = shop.state()
    assert {k: v for k, v in labels.items() if k.startswith("dev.wos.")}.items() >= {
        "dev.wos.managed": "true", "dev.wos.schema": "1", "dev.wos.mode": "generated",
        "dev.wos.home-hash": hashlib.sha256(str(shop.home).encode()).hexdigest()[:16],
        "dev.wos.session": shop.session_dir().name, "dev.wos.project": state["projectName"],
        "dev.wos.service": "web", "dev.wos.deployment-id": state["deploymentId"],
        "dev.wos.tunnel.ports": "3000",
        "dev.wos.tunnel.3000.hostname": "alpha-web." + harness.DOMAIN,
        "dev.wos.tunnel.3000.host-port": str(shop.host_port())}.items(), labels
    assert state["backend"] == "docker" and state["mode"] == "generated"
    assert labels["com.docker.compose.version"].startswith(
        "2." if shop.kind == "v2" else "1."), labels
    assert state["docker"]["composeProgram"] == (
        "docker-compose" if shop.kind == "v1" else ""), "the plugin comes first"
    assert state["composeFile"] == str(shop.session_dir() / "compose.yaml")
    assert (shop.session_dir() / "compose.yaml").stat().st_mode & 0o777 == 0o600


def test_usage_of_containers(shop):
    """Processor and memory are those of the container's processes, not of shell mode alone."""
    services = {s["service"]: s.get("resourceUsage") for s in shop.detail()["services"]}
    assert set(services) == {"web", "api", "db"}
    for name, usage in services.items():
        assert usage and set(usage) == {"cpuPercent", "memUsedBytes"}, (name, services)
        ident = shop.engine.container_id(shop.project(), name)
        pids = shop.engine.run("top", ident, "-o", "pid").stdout.split()[1:]
        resident = [int(open("/proc/%s/statm" % pid, encoding="ascii").read().split()[1]) for pid in pids]
        assert len(pids) > 1 and resident[0] * 4096 < usage["memUsedBytes"] < 64 << 20, (name, usage)
    trees = [t for p in Api(shop.web_port).get("/projects").json["projects"] for t in p["worktrees"]]
    tree = next(t for t in trees if t["path"] == str(shop.trees["alpha"]))
    assert tree["resourceUsage"]["memUsedBytes"] >= max(u["memUsedBytes"] for u in services.values())


def test_generated_init_script_runs_once(shop):
    tree = shop.trees["alpha"]
    assert (tree / "initialised").read_text() == "once\n"
    assert (tree / "sub").is_dir()


def test_generated_services_reach_each_other(shop):
    ident = shop.engine.container_id(shop.project(), "web")
    out = shop.engine.run("exec", ident, "wget", "-qO-", "http://api:3001/").stdout
    assert out == "api\n"


def test_logs(shop):
    """What there is, and what comes: across a restart of the container."""
    ident = shop.engine.container_id(shop.project(), "db")
    assert shop.ok("logs", cwd="alpha").code == 0
    shop.engine.run("exec", ident, "sh", "-c", "echo so far > /proc/1/fd/1")
    until("the log", lambda: "so far" in shop.ok("logs", "db", cwd="alpha").out)
    shop.engine.run("exec", ident, "sh", "-c", "for i in 1 2 3 4; do echo $i; done > /proc/1/fd/1")
    until("the log", lambda: "4\n" in shop.ok("logs", "db", cwd="alpha").out)
    lines = [line.split()[-1] for line in shop.ok("logs", "db", "-n", "2",
                                                  cwd="alpha").out.splitlines()]
    assert lines == ["3", "4"], lines
    shop.engine.run("exec", ident, "sh", "-c", "echo so far > /proc/1/fd/1")
    until("the log", lambda: shop.ok("logs", "db", cwd="alpha").out.endswith("so far\n"))
    proc = shop.popen("logs", "db", "-f", "-n", "1", cwd="alpha")
    assert "so far" in proc.stdout.readline()
    shop.engine.run("exec", ident, "sh", "-c", "echo live one > /proc/1/fd/1")
    assert "live one" in proc.stdout.readline()
    shop.engine.run("restart", ident)
    shop.engine.run("exec", ident, "sh", "-c", "echo another run > /proc/1/fd/1")
    assert "another run" in proc.stdout.readline()
    single_service(shop, "restart", "db")
    assert shop.engine.container_id(shop.project(), "db") != ident
    shop.engine.run("exec", shop.engine.container_id(shop.project(), "db"),
                    "sh", "-c", "echo another container > /proc/1/fd/1")
    assert "another container" in proc.stdout.readline()
    proc.terminate()


def test_restart_of_the_daemon_keeps_routes(shop):
    before = shop.containers()
    ident = shop.engine.container_id(shop.project(), "web")
    shop.ok("restart")
    assert shop.get("alpha-web").body == b"web of somebody\n"
    until("running again", lambda: shop.detail()["worktree"]["status"] == "running")
    assert shop.containers() == before
    assert shop.engine.container_id(shop.project(), "web") == ident


def test_killed_daemon_finds_containers_again(shop):
    """What only looked ends with it, whatever the state says of it; what ran in a container ends
    with the next start."""
    follower = shop.popen("logs", "web", "-f", cwd="alpha")
    until("the log is followed", lambda: [
        line for line in shop.processes().values() if "--follow" in line])
    command = shop.popen("exec", "web", "--", "sh", "-c", "trap '' HUP; sleep 1023; true",
                         cwd="alpha")
    until("the command runs", lambda: "sleep 1023" in run_in(shop, "web"))
    os.kill(shop.daemon_pid(), signal.SIGKILL)
    assert follower.wait(60) != 0 and command.wait(60) != 0
    until("nobody asks the engine", lambda: at_work(shop, daemon=-1) == [])
    assert "sleep 1023" in run_in(shop, "web")
    shop.ok("start")
    until("the command ended", lambda: "1023" not in " ".join(run_in(shop, "web")))
    until("running again", lambda: shop.detail()["worktree"]["status"] == "running")
    shop.wait_route("alpha-web")


def test_stopped_container_is_seen(shop):
    ident = shop.engine.container_id(shop.project(), "api")
    shop.engine.run("kill", ident)
    shop.wait_route("alpha-api", status=503)
    until("seen", lambda: [s for s in shop.detail()["services"] if s["service"] == "api"][0]
          ["state"] == "exited")
    assert shop.detail()["worktree"]["status"] == "running_partial"
    rows = [row.split() for row in shop.ok("status", cwd="alpha").out.splitlines()]
    row, = (row for row in rows if row[0] == "api")
    assert row[1] == "exited" and "localhost" not in " ".join(row), rows
    shop.engine.run("start", ident)
    shop.wait_route("alpha-api")
    until("running", lambda: shop.detail()["worktree"]["status"] == "running")


def test_generated_terminal_in_a_container(shop):
    check_terminal(shop)


def test_second_up_and_down(shop):
    ports = shop.state()["portAssignments"]
    names = sorted(shop.routes())
    shop.up("alpha")
    assert shop.get("alpha-web").body == b"web of nobody\n"
    assert shop.state()["portAssignments"] == ports and sorted(shop.routes()) == names
    assert (shop.trees["alpha"] / "initialised").read_text() == "once\n"
    shop.down("alpha")
    assert shop.containers() == {} and shop.routes() == {}
    networks = shop.engine.run("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert shop.project() + "_default" not in networks
    volumes = shop.engine.run("volume", "ls", "--format", "{{.Name}}").stdout.split()
    assert shop.project() + "_keep" in volumes, "down must not remove volumes"
    assert shop.detail()["worktree"]["status"] == "stopped"


# --- mode compose --------------------------------------------------------------------

def in_yaml(script):
    return script.replace('"', '\\"').replace("$", "$$")


USER_FILE = """\
version: "3.8"
x-common: &common
  image: %s
  ports: ["0.0.0.0:18999:3000"]
  environment: &env {SHARED: "yes", __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS: own}
services:
  web:
    <<: *common
    command: ["sh", "-c", "wget -qO /dev/null http://helper:80/ || exit 9; %s"]
    environment:
      <<: *env
      NAME: "web at ${PLACE:?PLACE is needed}"
      NUMBER: !!str 010
      CALLER: "${CALLER:-nobody}"
    volumes: ["./data:/data:ro"]
    depends_on: {helper: {condition: service_healthy}}
  helper:
    image: %s
    ports: ["18998:80"]
    networks: [default, back]
    command: ["sh", "-c", "sleep 1; %s"]
    healthcheck: {test: "wget -qO /dev/null http://127.0.0.1:80/", interval: 500ms, retries: 60}
networks: {back: {}}
""" % (engines.IMAGE, in_yaml(SERVE.format(port=3000)), engines.IMAGE,
       in_yaml(SERVE.format(port=80)))


@pytest.fixture(scope="module", params=("v1", "v2"))
def composed(engine, request):
    wos = start(engine, request.param)
    for tree in wos.trees.values():
        (tree / "docker" / "data").mkdir(parents=True)
        (tree / "docker" / "data" / "file").write_text("from the worktree\n")
        (tree / "docker" / "compose.yml").write_text(USER_FILE)
        (tree / "vars.env").write_text("# places\nPLACE='here'\nOTHER=x\n")
    wos.deploy({"mode": "compose", "compose": {
        "config": "docker/compose.yml", "expose": ["web:3000"], "env_file": "vars.env",
        "environment": {"URL": "${expose.web.url[3000]}"}}})
    wos.extra["CALLER"] = "somebody"
    first_up(wos)
    del wos.extra["CALLER"]
    yield wos
    finish(wos)


def test_compose_mode_publishes_what_is_exposed(composed):
    assert composed.get("alpha-web").body == b"web at here\n"
    env = composed.get("alpha-web", "/env").body.decode()
    assert "CALLER=somebody\n" in env
    assert "SHARED=yes\n" in env and "NUMBER=010\n" in env and HOSTS + "=own\n" in env
    assert "WOS_SERVICE_PORT=%d\n" % composed.host_port() in env
    ident = composed.engine.container_id(composed.project(), "web")
    info = json.loads(composed.engine.run("inspect", ident).stdout)[0]
    bindings = info["HostConfig"]["PortBindings"]
    assert bindings == {"3000/tcp": [{"HostIp": "127.0.0.1",
                                      "HostPort": str(composed.host_port())}]}
    helper = json.loads(composed.engine.run(
        "inspect", composed.engine.container_id(composed.project(), "helper")).stdout)[0]
    assert not helper["HostConfig"]["PortBindings"], "the user's ports must not be published"
    out = composed.engine.run("exec", ident, "cat", "/data/file").stdout
    assert out == "from the worktree\n", "relative paths begin at the user's file"


def test_compose_mode_exec_and_single_services(composed):
    check_exec(composed)
    check_terminal(composed)
    check_single_services(composed, "web", ["helper"])


def test_compose_mode_files_and_state(composed):
    state = composed.state()
    base, overlay = state["composeFiles"]
    assert state["composeFile"] == base and base.endswith("/compose-base.yaml")
    assert overlay.endswith("/compose-overlay.yaml") and state["mode"] == "compose"
    assert "ports" not in open(base, encoding="utf-8").read().split("\nservices:")[1]
    services = {s["service"]: s["state"] for s in composed.detail()["services"]}
    assert services == {"web": "running", "helper": "running"}


def test_compose_mode_two_worktrees_and_restart(composed):
    composed.up("beta")
    assert composed.get("beta-web").body == b"web at here\n"
    composed.ok("restart")
    assert composed.get("alpha-web").body == b"web at here\n"
    removed(composed, "beta")
    assert composed.get("alpha-web").status == 200


def test_compose_mode_single_services_of_another_daemon(composed):
    """The variables of the caller of up are in the containers only, and stay there."""
    composed.up("alpha", env=composed.env(CALLER="of two daemons"))
    composed.ok("restart")
    ident = composed.engine.container_id(composed.project(), "web")
    until("running", lambda: composed.detail()["worktree"]["status"] == "running")
    for verb, status in (("restart", 200), ("stop", 503), ("restart", 200)):
        single_service(composed, verb, "web")
        assert composed.get("alpha-web").status == status
    assert composed.engine.container_id(composed.project(), "web") == ident
    assert "CALLER=of two daemons\n" in composed.get("alpha-web", "/env").body.decode()
    kept = "".join(p.read_text(errors="replace") for p in composed.home.rglob("*") if p.is_file())
    assert "of two daemons" not in kept, "no file has the values"
    composed.engine.run("rm", "-f", ident)
    api = Api(composed.web_port)
    accepted = api.post("/worktrees/services/restart",
                        {"path": str(composed.trees["alpha"]), "service": "web"}).json
    end = api.operation(accepted)[-1]["terminal"]
    assert end["status"] == "failed" and "run wos up" in end["failureMessage"], end
    # Compose cannot read its file without PLACE; nothing is left all the same.
    composed.down("alpha")
    assert composed.containers() == {}
    networks = composed.engine.run("network", "ls", "--format", "{{.Name}}").stdout
    assert composed.project() not in networks, networks
    composed.up("alpha")
    assert "CALLER=nobody\n" in composed.get("alpha-web", "/env").body.decode()


def test_compose_mode_refuses_what_it_cannot_do(composed):
    for args in (["web"], ["--target", "t"], ["--arg", "A=1"]):
        result = composed.run("up", *args, cwd="alpha")
        assert result.code == 2 and "mode compose starts every service" in result.err, result
    composed.deploy({"mode": "compose", "compose": {"config": "docker/compose.yml",
                                                    "expose": ["nobody:1"]}})
    result = composed.run("up", cwd="alpha")
    assert result.code == 3, result
    assert "deploy.yaml:" in result.err and "has no service nobody" in result.err, result
    composed.deploy({"mode": "compose", "compose": {"config": "absent.yml", "expose": ["a:1"]}})
    result = composed.run("up", cwd="alpha")
    assert result.code == 3 and "absent.yml" in result.err, result


OTHER_FILE = '''
services:
  web: {image: %s, ports: [%s], command: ["sh", "-c", "%s"]}
'''


@pytest.mark.parametrize("kind,way", (("v1", "extends"), ("v2", "extends"), ("v2", "include")))
def test_compose_mode_ports_of_other_files_are_not_published(engine, kind, way):
    """What an included or extended file publishes on all addresses starts nowhere."""
    wos = start(engine, kind)
    try:
        tree = wos.trees["alpha"]
        (tree / "compose.yml").write_text({
            "extends": "services: {web: {extends: {file: more/other.yml, service: web}}}\n",
            "include": "include: [more/other.yml]\nservices: {side: {image: %s}}\n"
                       % engines.IMAGE}[way])
        (tree / "more").mkdir()
        other = tree / "more" / "other.yml"
        wos.deploy({"mode": "compose", "compose": {
            "config": "compose.yml", "expose": ["web:3000"] if way == "extends" else ["side:1"]}})
        for ports in ('"18997:3000"', "3000", '"0.0.0.0:18997:3000"'):
            other.write_text(OTHER_FILE % (engines.IMAGE, ports, in_yaml(SERVE.format(port=3000))))
            result = wos.run("up", cwd="alpha")
            assert result.code == 3, result
            for part in ("compose.yml: service web publishes port", "more/other.yml", "127.0.0.1"):
                assert part in result.err, result
            assert wos.engine.run("ps", "-aq").stdout == "", "nothing was started"
        other.write_text(OTHER_FILE % (engines.IMAGE, '"127.0.0.1:18997:3000"',
                                       in_yaml(SERVE.format(port=3000))))
        wos.up("alpha")
        assert wos.containers()["web"] == "running"
        bound = json.loads(engine.run("inspect", engine.container_id(wos.project(), "web"))
                           .stdout)[0]["HostConfig"]["PortBindings"]
        assert {b["HostIp"] for b in bound["3000/tcp"]} == {"127.0.0.1"}, bound
        wos.down("alpha")
    finally:
        finish(wos)


# --- what goes wrong -------------------------------------------------------------------

@pytest.fixture
def own(engine):
    """A wos of the test's own with the best Compose there is."""
    kind = [k for k in ("v2", "plugin") if engines.compose_missing(k) is None]
    wos = start(engine, kind[0] if kind else "v1")
    yield wos
    finish(wos)


def test_missing_tools_are_named(own):
    own.deploy(generated({"web": service()}))
    own.extra = {"WOS_DOCKER_BIN": "/nonexistent/docker", "PATH": str(own.dir / "bin")}
    (own.dir / "bin").mkdir()
    for tool in ("git", "sh", "dirname"):
        (own.dir / "bin" / tool).symlink_to("/usr/bin/" + tool)
    result = own.run("up", cwd="alpha")
    assert result.code == 1, result
    assert "/nonexistent/docker compose version: cannot be run" in result.err, result
    assert "docker-compose version: cannot be run" in result.err, result
    assert "WOS_DOCKER_BIN" in result.err, result


def test_engine_that_is_away(own):
    own.deploy(generated({"web": service()}))
    own.extra["DOCKER_HOST"] = "unix://%s/no.sock" % own.dir
    result = own.run("up", cwd="alpha")
    assert result.code == 1 and "no.sock" in result.err, result
    assert own.detail()["worktree"]["status"] == "failed"


def test_service_that_ends_says_why(own):
    own.deploy(generated({"web": {"script": ["echo broken pieces", "exit 7"], "ports": [3000]}}))
    result = own.run("up", cwd="alpha")
    assert result.code == 1, result
    assert "service web ended during up (exit 7):\nbroken pieces" in result.err, result
    failed = [line for line in result.err.splitlines() if line.startswith("✗")]
    assert len(failed) == 1 and "service web ended during up" in failed[0], result


def test_init_script_that_fails(own):
    own.deploy(generated({"web": service()}, app={"init_script": ["echo no luck >&2; exit 3"]}))
    result = own.run("up", cwd="alpha")
    assert result.code == 1 and "init script failed (exit 3)" in result.err, result
    assert "no luck" in result.err, result
    own.down("alpha")
    assert own.engine.containers(own.project()) == {}


def test_caches_files_and_volumes(own):
    tree = own.trees["alpha"]
    cache = own.dir / "npm"
    cache.mkdir()
    (own.user_home / ".bun" / "install" / "cache").mkdir(parents=True)
    (tree / "vars.env").write_text("FROM_FILE=file\nNAME=overridden\n")
    (tree / "data").mkdir()
    own.deploy(generated(
        {"web": service(env_file="vars.env", environment={"NAME": "inline"},
                        volumes=["./data:/data"], init_script=["pwd > /workspace/where"],
                        cwd="sub dir")},
        app={"init_script": ["mkdir -p 'sub dir'", "echo $((1+1)) >> $NPM_CONFIG_CACHE/hit",
                             "echo x > $BUN_INSTALL_CACHE_DIR/hit"],
             "connect_npm_cache": str(cache), "connect_bun_cache": True,
             "connect_yarn_cache": False}))
    own.up("alpha")
    assert (cache / "hit").read_text() == "2\n"
    assert (own.user_home / ".bun/install/cache/hit").exists()
    assert (tree / "where").read_text() == "/workspace/sub dir\n"
    env = own.get("alpha-web", "/env").body.decode()
    assert "FROM_FILE=file\n" in env and "NAME=inline\n" in env
    assert "PWD=/workspace/sub dir\n" in env
    own.up("alpha", "--force")
    assert (cache / "hit").read_text() == "2\n2\n"
    (own.session_dir() / "compose.yaml").unlink()
    project = own.project()
    own.down("alpha")
    assert own.engine.containers(project) == {}
    networks = own.engine.run("network", "ls", "--format", "{{.Name}}").stdout.split()
    assert project + "_default" not in networks


def test_clones_and_kept_paths(own):
    """What a secondary worktree gets before its init script runs in the container."""
    (own.source / "secrets.env").write_text("FROM_CLONE=yes\n")
    (own.source / "seed").mkdir()
    (own.source / "seed" / "rows").write_text("1\n")
    (own.trees["beta"] / "lock").write_text("3\n")
    own.deploy(generated(
        {"web": service(env_file="secrets.env", volumes=["./dev/data:/data"])},
        app={"init_script": ["cat dev/data/rows >> ran",
                             "[ -e modules/x ] || { mkdir modules && date > modules/x; }"]},
        clone_volumes=["secrets.env", "seed:dev/data"],
        cache=[{"key": {"files": ["lock"]}, "paths": ["modules"]}]))
    own.up("beta")
    tree = own.trees["beta"]
    assert "FROM_CLONE=yes\n" in own.get("beta-web", "/env").body.decode()
    ident = own.engine.container_id(own.project("beta"), "web")
    assert own.engine.run("exec", ident, "cat", "/data/rows").stdout == "1\n"
    made = (tree / "modules" / "x").read_text()
    shutil.rmtree(tree / "modules")
    (own.source / "seed" / "rows").write_text("2\n")
    own.up("beta", "--force")
    assert (tree / "modules" / "x").read_text() == made, "kept, so not made again"
    assert (tree / "ran").read_text() == "1\n2\n", "--force clones again"
    removed(own, "beta", by_git=True)
    assert (own.source / "seed" / "rows").exists(), "what was cloned stays where it was"


def test_selection_dependencies_and_static_ports(own):
    port = harness.free_port()
    own.deploy(generated({"web": service(port, dependencies=["db"]), "other": service(3001)},
                         deps={"db": {"image": engines.IMAGE}}, dynamic_ports=False,
                         targets={"front": ["web", "db"]}))
    own.up("alpha", "--target", "front")
    assert own.containers() == {"web": "running", "db": "running"}
    assert own.host_port(port=port) == port
    assert '"db"' in own.compose() and '"other"' not in own.compose()
    own.up("alpha", "web", "--no-tunnel")
    assert own.containers() == {"web": "running"}
    assert own.routes() == {}


@pytest.fixture
def other_host():
    host = OtherHost(78)
    try:
        reason = host.open()
        if reason:
            pytest.skip(reason)
        yield host
    finally:
        host.close()


def test_service_bind_from_another_host(own, other_host):
    """The loopback alone, unless config.json names an address."""
    (own.trees["alpha"] / "compose.yml").write_text("services:\n  web:\n    image: %s\n"
        "    command: [sh, -c, '%s']\n    ports: ['3000']\n"
        % (engines.IMAGE, SERVE.format(port=3000).replace("'", "''").replace("$", "$$")))
    v4, v6 = other_host.v4, other_host.v6
    in_compose = {"mode": "compose", "compose": {"config": "compose.yml", "expose": ["web:3000"]}}
    for bind, deploy, addresses, reached in (
            (None, generated({"web": service()}), ["127.0.0.1"], None),
            (v4, generated({"web": service()}), ["127.0.0.1", v4], v4),
            (v6, in_compose, ["127.0.0.1", v6], v6),
            ("0.0.0.0", in_compose, ["0.0.0.0"], v4)):
        own.config["serviceBind"] = bind
        own.write_config()
        own.ok("restart")
        own.deploy(deploy)
        own.up("alpha", "--no-tunnel")
        ident = own.engine.container_id(own.project(), "web")
        info = json.loads(own.engine.run("inspect", ident).stdout)[0]
        rows = info["HostConfig"]["PortBindings"]["3000/tcp"]
        assert sorted(r["HostIp"].strip("[]") for r in rows) == sorted(addresses), rows
        assert "WOS_SERVICE_HOSTNAME=%s" % (bind or "localhost") in info["Config"]["Env"]
        port = own.host_port()
        if reached is None:
            assert other_host.curl(v4, port).returncode == 7
            assert other_host.curl(v6, port).returncode == 7
        else:
            assert b"WOS_SERVICE_PORT=%d\n" % port in other_host.curl(reached, port, "/env").stdout
        with socket.create_connection(("127.0.0.1", port), 10):
            pass
    own.config["serviceBind"] = "192.0.2.9"
    own.write_config()
    own.ok("restart")
    result = own.run("up", cwd="alpha")
    assert result.code == 1 and "192.0.2.9" in result.err, result
    assert "cannot assign requested address" in result.err and "[retry" not in result.err, result


def test_port_taken_before_a_later_wave(own):
    """Somebody takes the port of a service that still waits for another."""
    own.deploy(generated({"web": needing_api(), "api": {
        "script": ["while [ ! -e go ]; do sleep 0.1; done", SERVE.format(port=3001)],
        "ports": [3001]}}, app={"init_script": ["echo x >> ran"]}))
    proc = own.popen("up", cwd="alpha")
    project = project_of(own)
    until("the first wave", lambda: own.engine.containers(project).get("api") == "running")
    taken = int(re.search(r'127\.0\.0\.1:(\d+):3000', own.compose()).group(1))
    first = own.host_port(service="api", port=3001)
    with socket.create_server(("127.0.0.1", taken)):
        (own.trees["alpha"] / "go").touch()
        out, err = proc.communicate(timeout=120)
    assert proc.returncode == 0, err
    assert "[retry 2/3]" in err and "[retry 3/3]" not in err, err
    assert own.host_port() != taken and own.host_port(service="api", port=3001) == first
    assert own.get("alpha-web").status == 200 and own.get("alpha-api").status == 200
    assert own.containers() == {"web": "running", "api": "running"}
    assert (own.trees["alpha"] / "ran").read_text() == "x\n", "init scripts run once"
    assert len(own.routes()) == 2


def test_port_conflict_is_tried_again(own):
    """Compose complains about our port twice; the third set of ports is good."""
    real = subprocess.run(["which", "docker"], env=own.env(), stdout=subprocess.PIPE,
                          text=True, check=True).stdout.strip()
    wrapper = own.dir / "docker"
    wrapper.write_text(
        "#!/bin/sh\n"
        "case \" $* \" in *' up -d '*)\n"
        "  n=$(cat {0}/n 2>/dev/null || echo 0); echo $((n + 1)) > {0}/n\n"
        "  if [ $n -lt 2 ]; then\n"
        "    p=$(sed -n 's/.*127.0.0.1:\\([0-9]*\\):.*/\\1/p' {0}/h/sessions/*/compose.yaml)\n"
        "    echo \"Error response from daemon: Bind for 127.0.0.1:$p failed: "
        "port is already allocated\" >&2; echo $p >> {0}/refused; exit 1\n"
        "  fi;;\n"
        "esac\n"
        "exec {1} \"$@\"\n".format(own.dir, real))
    wrapper.chmod(0o755)
    own.extra["WOS_DOCKER_BIN"] = str(wrapper)
    own.deploy(generated({"web": service()}, app={"init_script": ["echo x >> ran"]}))
    result = own.up("alpha")
    assert "[retry 2/3]" in result.err and "[retry 3/3]" in result.err, result
    refused = (own.dir / "refused").read_text().split()
    assert len(set(refused)) == 2 and str(own.host_port()) not in refused
    retries = [e[2] for e in history(own.web_port) if e[1] == "deployment.retry"]
    assert [(r["event"]["attempt"], r["event"]["maxAttempts"]) for r in retries] == [(2, 3), (3, 3)]
    for retry, port in zip(retries, refused):
        assert set(retry["event"]) == {"type", "attempt", "maxAttempts", "reason"}, retry
        assert "%s failed: port is already allocated" % port in retry["event"]["reason"], retry
        assert retry["operationId"] and retry["worktreePath"] == str(own.trees["alpha"]), retry
    assert own.get("alpha-web").status == 200
    assert (own.trees["alpha"] / "ran").read_text() == "x\n", "init scripts run once"
    (own.dir / "n").write_text("-9")
    result = own.run("up", cwd="alpha")
    assert result.code == 1 and "port is already allocated" in result.err, result


def test_engine_that_goes_away_is_unknown(own):
    """Nothing is claimed while the engine does not answer; when it does, all is known again."""
    wrapper = own.dir / "docker"
    wrapper.write_text("#!/bin/sh\n[ ! -e %s/away ] || { echo away >&2; exit 1; }\n"
                       "exec docker \"$@\"\n" % own.dir)
    wrapper.chmod(0o755)
    own.extra["WOS_DOCKER_BIN"] = str(wrapper)
    own.deploy(generated({"web": service()}))
    own.up("alpha")
    (own.dir / "away").touch()
    del own.extra["WOS_DOCKER_BIN"]  # the session knows it, whoever starts the daemon
    own.ok("restart")
    until("unknown", lambda: own.detail()["worktree"]["status"] == "unknown")
    assert own.run("down", cwd="alpha").code == 1
    assert own.get("alpha-web").status == 503, "not 404: what runs keeps its name"
    (own.dir / "away").unlink()
    until("running", lambda: own.detail()["worktree"]["status"] == "running")
    own.wait_route("alpha-web")


def test_containers_of_another_home_are_not_ours(own):
    """The same worktree, so the same project; routes of a dead daemon must not lead there."""
    own.deploy(generated({"web": service()}))
    own.up("alpha")
    os.kill(own.daemon_pid(), signal.SIGKILL)
    other = own.dir / "h2"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"web": {"port": harness.free_port()}}))
    env = own.env(WOS_HOME=str(other))
    try:
        own.ok("up", cwd="alpha", env=env)
        assert own.containers() == {"web": "running"}
        own.ok("start")
        until("seen", lambda: [s["state"] for s in own.detail()["services"]] == ["stopped"])
        own.wait_route("alpha-web", status=503)
        assert own.containers() == {"web": "running"}, "and nothing happens to it"
    finally:
        own.run("down", cwd="alpha", env=env)
        own.run("stop", env=env)


def test_mode_can_change(own):
    own.deploy(generated({"web": service()}))
    own.up("alpha")
    project = own.project()
    own.deploy(harness.shell_app(web=harness.python_service("shell")))
    own.up("alpha")
    assert own.engine.containers(project) == {}
    assert own.state()["backend"] == "shell" and "docker" not in own.state()
    own.deploy(generated({"web": service()}))
    own.up("alpha")
    assert own.containers() == {"web": "running"} and own.service_pids() == {}


# --- docs/DEPLOY.md ------------------------------------------------------------------------

NPM = """\
serve() {
    mkdir -p /www; echo "$1 in $PWD" > /www/index.html; echo fine > /www/health; env > /www/env
    trap 'exit 0' TERM; httpd -f -p $2 -h /www & wait
}
case "$*" in
ci) echo "$PWD $NPM_CONFIG_CACHE" >> /workspace/installed ;;
"run dev -- --host 0.0.0.0") serve web 3000 ;;
"run api") serve api 8080 ;;
*) echo "npm $*?" >&2; exit 2 ;;
esac
"""


@pytest.fixture
def examples():
    """The examples of docs/DEPLOY.md by mode."""
    text = (harness.ROOT / "docs" / "DEPLOY.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found = {re.match(r"(?:# |mode: )(\w+)", block).group(1): block for block in blocks}
    assert sorted(found) == ["compose", "generated", "shell"], blocks
    return found


def test_example_of_generated(own, examples):
    own.engine.image("node:22", {"npm": NPM})
    own.engine.image("postgres:16", {})
    (own.user_home / ".npm").mkdir()
    (own.trees["alpha"] / "packages" / "api").mkdir(parents=True)
    own.deploy(examples["generated"])
    result = own.up("alpha")
    assert "warning" not in result.err, result
    assert (own.trees["alpha"] / "installed").read_text() == "/workspace /wos-cache/npm\n"
    assert own.get("alpha-web").body == b"web in /workspace\n"
    assert own.get("alpha-api").body == b"api in /workspace/packages/api\n"
    assert own.containers() == dict.fromkeys(["web", "api", "db"], "running")
    assert b"API_URL=https://alpha-api." in own.get("alpha-web", "/env").body
    env = own.get("alpha-api", "/env").body.decode()
    assert "DATABASE_URL=postgres://postgres:x@%s-db/app\n" % own.project() in env
    ident = own.engine.container_id(own.project(), "db")
    info = json.loads(own.engine.run("inspect", ident).stdout)[0]
    assert [m["Name"] for m in info["Mounts"]] == [own.project() + "_data"]


def test_example_of_compose(own, examples):
    tree = own.trees["alpha"]
    own.engine.image("node:22", {"npm": NPM})
    (tree / ".env").write_text("TAG=22\n")
    (tree / "docker-compose.yml").write_text(
        "services:\n"
        "  web: {image: 'node:${TAG}', command: npm run dev -- --host 0.0.0.0,"
        " environment: [PUBLIC_URL]}\n"
        "  api: {image: 'node:${TAG}', command: npm run api, ports: ['8080:8080']}\n")
    own.config["tunnel"]["serviceTunnels"]["secret"] = "only for those who know it"
    own.write_config()
    own.deploy(examples["compose"])
    result = own.up("alpha")
    assert "warning" not in result.err, result
    assert own.get("alpha-web").body == b"web in /\n"
    assert b"PUBLIC_URL=https://alpha-web." in own.get("alpha-web", "/env").body
    assert own.get("alpha-api").status == 401, "access: secret"
    port = own.host_port(service="api", port=8080)
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"api in /\n" in sock.makefile("rb").read()
    assert own.containers() == dict.fromkeys(["web", "api"], "running")


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_example_of_shell(own, examples):
    tree = own.trees["alpha"]
    start = "%s %s/backend.py --name dev" % (harness.PYTHON, harness.FAKES)
    (tree / "package.json").write_text(json.dumps(
        {"name": "x", "version": "1.0.0", "scripts": {"dev": start}}))
    (tree / "package-lock.json").write_text(json.dumps(
        {"name": "x", "version": "1.0.0", "lockfileVersion": 3,
         "packages": {"": {"name": "x", "version": "1.0.0"}}}))
    own.deploy(examples["shell"])
    result = own.up("alpha")
    assert "warning" not in result.err, result
    assert own.get("alpha-web", "/hello").body == b"hello from dev\n"


# --- commands in containers, single services, order ---------------------------------------

def check_exec(wos):
    """What `wos exec` runs is in the container: exit code, both streams, pipes, a terminal."""
    result = wos.run("exec", "web", "--", "sh", "-c", "pwd >&2; echo $WOS_SERVICE_PORT; exit 7",
                     cwd="alpha")
    assert (result.code, result.out) == (7, "%d\n" % wos.host_port()), result
    data = os.urandom(300_000)
    done = subprocess.run([str(harness.BIN), "exec", "web", "--", "sh", "-c", "cat; echo end >&2"],
                          input=data, cwd=wos.trees["alpha"], env=wos.env(), timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    assert done.stdout == data and done.stderr == b"end\n"
    master, slave = pty.openpty()
    try:
        proc = subprocess.Popen(
            [str(harness.BIN), "exec", "web", "sh", "-c", "test -t 0 && test -t 1 || exit 9; exit 5"],
            cwd=wos.trees["alpha"], env=wos.env(), stdin=slave, stdout=slave, stderr=slave)
        assert proc.wait(60) == 5
    finally:
        os.close(slave)
        os.close(master)
    missing = wos.run("exec", "nobody", "true", cwd="alpha")
    assert missing.code == 1 and "nobody" in missing.err, missing


def run_in(wos, service):
    """Command lines of a container's processes."""
    ident = wos.engine.container_id(wos.project(), service)
    return [line.split(None, 7)[7] for line in wos.engine.run("top", ident).stdout.splitlines()[1:]]


def check_terminal(wos):
    """The web UI's terminals and `wos exec` on a terminal, in the container of a service."""
    api = Api(wos.web_port)
    opened = api.post("/terminals", {"path": str(wos.trees["alpha"]), "service": "web"})
    assert opened.status == 201, opened
    with Viewer(wos, opened.json, hello={"cols": 91, "rows": 17}) as viewer:
        # `docker exec` tells the first size later, and on a busy machine gives up: it is made to tell
        # it again.
        viewer.type("until stty size | grep '^17 91'; do sleep 0.1; done")
        viewer.shows(b"\r\n17 91")
        viewer.type("hostname; echo port=$WOS_SERVICE_PORT.")
        viewer.shows(b"port=%d." % wos.host_port())
        ident = wos.engine.container_id(wos.project(), "web")
        assert ident[:12].encode() + b"\r\n" in viewer.text, viewer.text
        viewer.ws.send({"type": "resize", "cols": 120, "rows": 40})
        viewer.type("until stty size | grep 120; do sleep 0.1; done")
        viewer.shows(b"\r\n40 120")
        viewer.type("sleep 1021 & sleep 1022")
        until("they run", lambda: {"sleep 1021", "sleep 1022"} <= set(run_in(wos, "web")))
        assert api.call("DELETE", "/terminals/" + opened.json["id"]).status == 200
        assert viewer.ended()["type"] == "exit"
    until("what ran in it ended", lambda: not {"sleep 1021", "sleep 1022"} & set(run_in(wos, "web")))


def removed(wos, tree, by_git=False):
    """`wos worktree remove` while the containers run: refused for changes, then all of it goes; also
    of a worktree that git alone removed."""
    path, project, session = wos.trees[tree], wos.project(tree), wos.session_dir(tree)
    before = wos.containers(tree)
    kept = wos.run("worktree", "remove", cwd=tree)
    assert kept.code == 1 and "uncommitted changes" in kept.err, kept
    assert before and wos.containers(tree) == before and wos.get(tree + "-web").status == 200
    if by_git:
        wos.git("worktree", "remove", "--force", str(path), cwd=wos.source)
        wos.ok("--cwd", str(path), "worktree", "remove", cwd="alpha")
    else:
        assert wos.ok("worktree", "remove", "--force", cwd=tree).out == "removed %s\n" % path
    assert wos.engine.containers(project) == {} and not path.exists() and not session.exists()
    networks = wos.engine.run("network", "ls", "--format", "{{.Name}}").stdout
    assert project not in networks, networks
    assert wos.get(tree + "-web").status == 404
    assert str(path) not in wos.git("worktree", "list", cwd=wos.source)


def single_service(wos, verb, name, tree="alpha"):
    api = Api(wos.web_port)
    answer = api.post("/worktrees/services/" + verb,
                      {"path": str(wos.trees[tree]), "service": name})
    assert answer.status == 202, answer
    api.done(answer.json)


def check_single_services(wos, name, others):
    """Stopped and started anew through the API, while the others go on."""
    idents = {s: wos.engine.container_id(wos.project(), s) for s in others + [name]}
    for verb, state in (("stop", "stopped"), ("restart", "running"), ("restart", "running")):
        single_service(wos, verb, name)
        states = {s["service"]: s["state"] for s in wos.detail()["services"]}
        assert states == {**{s: "running" for s in others}, name: state}
        assert wos.get("alpha-" + name).status == (200 if state == "running" else 503)
        assert {s: wos.engine.container_id(wos.project(), s) for s in others} == {
            s: idents[s] for s in others}
    assert wos.engine.container_id(wos.project(), name) != idents[name]


NEEDS_API = "wget -qO /dev/null http://api:3001/ || { echo no api; exit 9; }"


def needing_api():
    return {"script": [NEEDS_API, SERVE.format(port=3000)], "ports": [3000],
            "dependencies": ["api"]}


def test_a_service_starts_when_those_it_needs_are_ready(own):
    own.deploy(generated(
        {"web": needing_api(), "other": service(3002),
         "api": {"script": ["sleep 2", SERVE.format(port=3001)], "ports": [3001],
                 "dependencies": ["db"]}},
        deps={"db": {"image": engines.IMAGE}}))
    own.up("alpha")
    assert own.get("alpha-web").status == 200
    assert own.containers() == dict.fromkeys(["web", "api", "db", "other"], "running")
    check_exec(own)
    check_single_services(own, "api", ["web", "db", "other"])
    own.down("alpha")
    assert own.containers() == {}


def test_what_others_need_ends(own):
    own.deploy(generated({"web": needing_api(), "api": {
        "script": ["sleep 1", "echo api broke", "exit 4"], "ports": [3001]}}))
    result = own.run("up", cwd="alpha")
    assert result.code == 1, result
    assert "service api ended during up (exit 4):\napi broke" in result.err, result
    assert "not ready: web" in result.err, result
    assert own.containers() == {"api": "exited"}
    own.down("alpha")
    assert own.containers() == {}


# --- interrupted -------------------------------------------------------------------------

PAUSE = "trap 'exit 0' TERM; sleep %s & wait"
SLOW = PAUSE % 1 + "; " + SERVE.format(port=3000)


def parent(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def at_work(wos, daemon=None):
    """Docker commands of this home that still run (its daemon's one event watcher does not count)."""
    daemon = daemon or wos.daemon_pid()
    found = {pid: line for pid, line in wos.processes().items()
             if "docker" in line.replace(str(harness.BIN), "wos")}
    watchers = [pid for pid, line in found.items() if " events " in line and parent(pid) == daemon]
    return [line for pid, line in found.items() if pid not in watchers[:1]]


def agrees(wos, project, tree="alpha"):
    """State, containers and routes say the same."""
    detail = wos.detail(tree)
    there = {k: v for k, v in wos.engine.containers(project).items() if k != "wos-init"}
    told = {s["service"]: s["state"] for s in detail["services"]}
    running = {k for k, v in there.items() if v == "running"}
    assert {k for k, v in told.items() if v == "running"} == running, (told, there)
    assert not at_work(wos), at_work(wos)
    if not there:
        assert detail["worktree"]["status"] in ("not_started", "stopped", "failed"), detail
    for name in running - {"db"}:
        assert wos.get("%s-%s" % (tree, name)).status == 200
    return True


def begun(wos, proc, mark):
    """Reads the command's progress up to a mark; False when it ended before."""
    for line in proc.stderr:
        if mark in line:
            return True
    return False


@pytest.mark.parametrize("mark", ["Prepare", "Release", "Init script", "docker compose up",
                                  "Collect", "healthchecks"])
def test_down_during_up(own, mark):
    own.deploy(generated({"web": {"script": [SLOW], "ports": [3000]}},
                         app={"init_script": [PAUSE % 2]}))
    proc = own.popen("up", cwd="alpha")
    assert begun(own, proc, mark)
    own.down("alpha")
    proc.wait(60)
    project = own.state()["projectName"] if mark != "Prepare" else None
    assert not at_work(own) and own.routes() == {}
    if project:
        assert own.engine.containers(project) == {}
    own.up("alpha")
    assert own.get("alpha-web").status == 200


@pytest.mark.slow
@pytest.mark.parametrize("again, mark", [
    (True, "Prepare"), (True, "Release"), (False, "Init script"), (False, "docker compose up"),
    (True, "docker compose up"), (True, "Collect"), (False, "healthchecks")])
def test_daemon_killed_during_up(own, mark, again):
    """kill -9 at every step, then start: nothing is lost, nothing runs that nobody knows."""
    own.deploy(generated({"web": {"script": [SLOW], "ports": [3000]}, "api": service(3001)},
                         app={"init_script": [PAUSE % 1]},
                         deps={"db": {"image": engines.IMAGE}}))
    if again:
        own.up("alpha")
    proc = own.popen("up", "--force", cwd="alpha")
    assert begun(own, proc, mark)
    os.kill(own.daemon_pid(), signal.SIGKILL)
    proc.wait(60)
    project = "wos-alpha-" + hashlib.sha1(str(own.trees["alpha"]).encode()).hexdigest()[:8]
    own.ok("start")
    until("state, containers and routes agree", lambda: agrees(own, project), timeout=60)
    own.up("alpha")
    assert own.get("alpha-web").status == 200
    until("a look at what changed is over", lambda: agrees(own, project), timeout=60)
    own.down("alpha")
    assert own.engine.containers(project) == {}


def down_again(wos):
    """The daemon goes on with a down that was interrupted; until that is over it is busy."""
    def accepted():
        done = wos.run("down", cwd="alpha")
        assert done.code == 0 or "is busy" in done.err, done
        return done.code == 0
    until("a down", accepted, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0, 0.15, 0.4, 0.8])
def test_daemon_killed_during_down(own, delay):
    own.deploy(generated({"web": service(), "api": service(3001)}))
    own.up("alpha")
    project = own.project()
    proc = own.popen("down", cwd="alpha")
    time.sleep(delay)
    os.kill(own.daemon_pid(), signal.SIGKILL)
    proc.wait(60)
    own.ok("start")
    until("state, containers and routes agree", lambda: agrees(own, project), timeout=60)
    down_again(own)
    assert own.engine.containers(project) == {} and own.routes() == {}


POINTS_UP = ["up.prepare", "up.release", "up.released", "up.ports", "up.publish", "up.setup",
             "up.init", "up.save", "up.launch", "compose.spawned", "compose.starting",
             "compose.started", "up.status", "up.health", "up.live", "up.end"]
POINTS_DOWN = ["down.begin", "down.withdrawn", "down.stopping", "down.stopped", "down.saved"]


@pytest.fixture(scope="module")
def victim(engine):
    wos = start(engine, "v1")
    wos.deploy(generated({"web": needing_api(), "api": service(3001)},
                         app={"init_script": ["echo x >> ran"]}))
    yield wos
    finish(wos)


def project_of(wos):
    return "wos-alpha-" + hashlib.sha1(str(wos.trees["alpha"]).encode()).hexdigest()[:8]


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS_UP + POINTS_DOWN)
def test_daemon_dies_inside(victim, point):
    """As by kill -9, at each internal step; what the next daemon says is so."""
    verb = "down" if point in POINTS_DOWN else "up"
    if verb == "down":
        victim.up("alpha")
    victim.ok("stop")
    victim.ok("start", env=victim.env(WOS_TEST_CRASH_AT=point))
    daemon = victim.daemon_pid()
    victim.run(verb, *(["--force"] if verb == "up" else []), cwd="alpha", timeout=60)
    until("the daemon died at " + point, lambda: not harness.alive(daemon))
    victim.ok("start")
    until("state, containers and routes agree", lambda: agrees(victim, project_of(victim)))
    if point in ("compose.spawned", "compose.starting", "compose.started"):
        victim.up("alpha")
        assert victim.get("alpha-web").status == 200
    down_again(victim)
    assert victim.engine.containers(project_of(victim)) == {} and victim.routes() == {}
