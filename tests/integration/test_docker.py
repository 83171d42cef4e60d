"""deploy.yaml's Docker modes on a real engine (engine.py starts one when none runs).

One wos per kind of Compose for what only looks, and its own for what breaks things. Where no
engine can run, or a kind of Compose is missing, the tests are skipped by name.
"""
import json
import os
import signal
import subprocess
import time

import pytest

import engine as engines
import harness
from harness import until

# Serves /www, ends at once when asked to; the environment is a page.
SERVE = ("mkdir -p /www && env > /www/env && echo \"$NAME\" > /www/index.html && "
         "(trap 'exit 0' TERM; httpd -f -p {port} -h /www & wait)")


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


@pytest.fixture(scope="module", params=engines.COMPOSE)
def shop(engine, request):
    """Mode generated, up: web with a dependency, api, an init script."""
    wos = start(engine, request.param)
    wos.deploy(generated(
        {"web": service(environment={"NAME": "web of ${NAME_ARG:-nobody}", "COST": "$5",
                                     "API": "${app.services.api.url[3001]}",
                                     "DB": "${deps.db.containerName}:${deps.db.hostPort[6000]}"},
                        dependencies=["api"]),
         "api": service(3001, environment={"NAME": "api"}, cwd="sub", volumes=["keep:/keep"])},
        app={"init_script": ["echo once >> /workspace/initialised", "mkdir -p /workspace/sub"]},
        deps={"db": {"image": engines.IMAGE, "ports": [6000], "environment": {"A": "b"}}},
        arguments=["NAME_ARG"]))
    wos.up("alpha", "--arg", "NAME_ARG=somebody")
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
    assert env["__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"] == "." + harness.DOMAIN
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
        "dev.wos.session": shop.session_dir().name, "dev.wos.project": state["projectName"],
        "dev.wos.service": "web", "dev.wos.deployment-id": state["deploymentId"],
        "dev.wos.tunnel.ports": "3000",
        "dev.wos.tunnel.3000.hostname": "alpha-web." + harness.DOMAIN,
        "dev.wos.tunnel.3000.host-port": str(shop.host_port())}.items(), labels
    assert state["backend"] == "docker" and state["mode"] == "generated"
    assert state["composeFile"] == str(shop.session_dir() / "compose.yaml")
    assert (shop.session_dir() / "compose.yaml").stat().st_mode & 0o777 == 0o600


def test_generated_init_script_runs_once(shop):
    tree = shop.trees["alpha"]
    assert (tree / "initialised").read_text() == "once\n"
    assert (tree / "sub").is_dir()


def test_generated_services_reach_each_other(shop):
    ident = shop.engine.container_id(shop.project(), "web")
    out = shop.engine.run("exec", ident, "wget", "-qO-", "http://api:3001/").stdout
    assert out == "api\n"


def test_restart_of_the_daemon_keeps_routes(shop):
    before = shop.containers()
    ident = shop.engine.container_id(shop.project(), "web")
    shop.ok("restart")
    assert shop.get("alpha-web").body == b"web of somebody\n"
    until("running again", lambda: shop.detail()["worktree"]["status"] == "running")
    assert shop.containers() == before
    assert shop.engine.container_id(shop.project(), "web") == ident


def test_killed_daemon_finds_containers_again(shop):
    os.kill(shop.daemon_pid(), signal.SIGKILL)
    shop.ok("start")
    until("running again", lambda: shop.detail()["worktree"]["status"] == "running")
    shop.wait_route("alpha-web")


def test_stopped_container_is_seen(shop):
    ident = shop.engine.container_id(shop.project(), "api")
    shop.engine.run("kill", ident)
    shop.wait_route("alpha-api", status=503)
    until("seen", lambda: [s for s in shop.detail()["services"] if s["service"] == "api"][0]
          ["state"] == "exited")
    assert shop.detail()["worktree"]["status"] == "running_partial"
    shop.engine.run("start", ident)
    shop.wait_route("alpha-api")
    until("running", lambda: shop.detail()["worktree"]["status"] == "running")


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
