"""The API table of the contract, line by line: which members an answer has, of which type, and which
codes. A member is documented there, or is one of docs/API.md's additions (ADDED); nothing else is sent."""
import json
import os
import stat
from urllib.parse import quote

import pytest

import harness
from api_client import Api, Events, Lines

TEXT, NUMBER, FLAG, LIST, MAP = str, (int, float), bool, list, dict


def shape(**members):
    """name=type: required; name_=type: may be absent or null."""
    return members


HEALTH = shape(ok=FLAG, version=TEXT, protocol=TEXT, pid=NUMBER, daemonId=TEXT, startedAt=TEXT,
               webHost=TEXT, webPort=NUMBER, webScheme=TEXT)
METADATA = shape(pid=NUMBER, startedAt=TEXT, protocol=TEXT, daemonId=TEXT, webUrl=TEXT, webHost=TEXT,
                 webPort=NUMBER, webScheme=TEXT, socketPath_=TEXT)
PROJECT = shape(id=TEXT, displayName=TEXT, sourcePath=TEXT, createdAt=TEXT, lastSeenAt=TEXT,
                colorSlot=NUMBER, order=NUMBER, error_=TEXT, stale=FLAG, worktrees=LIST)
WORKTREE = shape(path=TEXT, branch_=TEXT, branchRef_=TEXT, head_=TEXT, detached=FLAG, isSource=FLAG,
                 sessionName=TEXT, status=TEXT, displayName_=TEXT, note_=TEXT, workflowStatusId_=TEXT,
                 workflowOrder_=NUMBER, serviceSummary_=MAP, resourceUsage_=MAP, activeOperation_=MAP,
                 aheadCount_=NUMBER, behindCount_=NUMBER, uncommittedCount_=NUMBER,
                 lastCommitHash_=TEXT, lastCommitSubject_=TEXT, lastCommitTime_=TEXT)
DETAIL = shape(worktree=MAP, projectId_=TEXT, projectName=TEXT, state_=MAP, services=LIST,
               serviceSummary_=MAP, appPortHealthchecks=LIST, tunnels=LIST, activeOperation_=MAP,
               latestOperation_=MAP, failureContext_=MAP, statusError_=TEXT, deploymentOptions_=MAP,
               projectConfig=MAP, deployFreshness_=MAP, launchPreview_=MAP)
SERVICE = shape(service=TEXT, state=TEXT, status_=TEXT, ports=LIST, startedAt_=TEXT,
                restartCount_=NUMBER, resourceUsage_=MAP)
PORT = shape(containerPort=NUMBER, hostPort_=NUMBER, hostIp_=TEXT, protocol=TEXT)
HEALTH_ROW = shape(service=TEXT, containerPort=NUMBER, state=TEXT, enabled=FLAG, allowFailure=FLAG,
                   url_=TEXT, expectedStatus_=NUMBER, observedStatus_=NUMBER, timeoutMs_=NUMBER,
                   startPeriodMs_=NUMBER, intervalMs_=NUMBER, retries_=NUMBER, message_=TEXT)
FAILURE = shape(operationId=TEXT, kind=TEXT, message=TEXT, channel=TEXT, step=TEXT, logTail=LIST)
OPTIONS = shape(targets=LIST, appServices=LIST, deps=LIST, arguments=LIST, ports=LIST)
FRESHNESS = shape(lastUpAt=TEXT, deployDurationMs_=NUMBER, lastUpCommit_=TEXT,
                  commitsSinceDeploy_=NUMBER)
OPERATION = shape(operationId=TEXT, kind=TEXT, sessionName=TEXT, status=TEXT, startedAt=TEXT,
                  finishedAt_=TEXT, failureMessage_=TEXT)
ACCEPTED = shape(operationId=TEXT, sessionName=TEXT, kind=TEXT, startedAt=TEXT)
SERVICE_ACCEPTED = shape(service=TEXT, **ACCEPTED)
BUSY = shape(error=TEXT, sessionName=TEXT, active=MAP, message_=TEXT)
ERROR = shape(error=TEXT, message=TEXT)
ENVELOPE = shape(operationId=TEXT, sessionName=TEXT, sequence=NUMBER, timestamp=TEXT, event_=MAP,
                 terminal_=MAP)
EVENT = shape(id=NUMBER, timestamp=TEXT, type=TEXT, projectId_=TEXT, sessionName_=TEXT,
              worktreePath_=TEXT, operationId_=TEXT, event=MAP)
LOG = shape(sessionName=TEXT, sequence=NUMBER, timestamp=TEXT, channel=TEXT, service_=TEXT,
            stream=TEXT, chunk=TEXT)
STEPS = {"prepare", "release-ports", "first-run-setup", "init-script", "compose-up", "status",
         "healthcheck"}
EVENT_TYPES = {
    "step": shape(type=TEXT, id=TEXT, state=TEXT, message_=TEXT),
    "log": shape(type=TEXT, channel=TEXT, stream=TEXT, chunk=TEXT),
    "services-discovered": shape(type=TEXT, services=LIST, composeContext=MAP),
    "volume-clone": shape(type=TEXT, phase=TEXT, path=TEXT, index=NUMBER, total=NUMBER),
    "retry": shape(type=TEXT, attempt=NUMBER, maxAttempts=NUMBER, reason=TEXT),
    "healthcheck-attempt": shape(type=TEXT, service=TEXT, containerPort=NUMBER, attempt=NUMBER,
                                 maxAttempts=NUMBER, url=TEXT, status_=NUMBER, error_=TEXT,
                                 matched=FLAG),
    "complete": shape(type=TEXT, lastUp=TEXT),
    "failure": shape(type=TEXT, message=TEXT),
}
# What docs/API.md has beside the contract.
ADDED = {
    "health": {"build", "home", "webUrl", "socketPath"},
    "project": set(),
    "worktree": set(),
    "detail": {"webUrl"},
    "service": {"pid"},
    "terminal": {"code"},
    "operation": {"code"},
}


def fits(value, want, what, added=()):
    assert isinstance(value, dict), (what, value)
    known = set(added)
    for name, kind in want.items():
        plain = name.rstrip("_")
        known.add(plain)
        if name.endswith("_"):
            assert value.get(plain) is None or isinstance(value[plain], kind), (what, name, value)
        else:
            assert isinstance(value.get(plain), kind), (what, name, value)
    assert set(value) <= known, "%s has %s besides" % (what, sorted(set(value) - known))
    return value


def error(answer, status, code, want=None):
    assert answer.status == status, answer
    assert answer.json["error"] == code, answer
    return fits(answer.json, want or ERROR, code, {"path", "errors"})


@pytest.fixture(scope="module")
def wos():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s" % harness.BIN, pytrace=False)
    instance = harness.Wos(worktrees=("beta", "broken"))
    config = harness.shell_app(web=harness.python_service("web"),
                               idle={"script": ["exec sleep 1000"]})
    config["targets"] = {"some": ["web"]}
    config["arguments"] = ["WHO"]
    config["app"]["init_script"] = ["echo prepared; if [ -e gate ]; then cat gate; fi"]
    instance.deploy(config)
    instance.up("alpha")
    yield instance
    problems = instance.close()
    if problems:
        pytest.fail("\n".join(problems) + "\n" + instance.logs(), pytrace=False)


@pytest.fixture(scope="module")
def api(wos):
    """Found as a client of the contract finds it."""
    meta = fits(json.loads((wos.home / "daemon.json").read_text()), METADATA, "daemon.json")
    assert meta["protocol"] == "3" and meta["webUrl"].endswith(":%d" % meta["webPort"])
    api = Api(meta["webPort"])
    health = fits(api.get("/health").json, HEALTH, "health", ADDED["health"])
    assert (health["ok"], health["version"], health["protocol"]) == (True, "1", "3")
    assert all(health[name] == meta[name] for name in ("pid", "daemonId", "startedAt", "webPort"))
    return api


@pytest.fixture(scope="module")
def alpha(wos):
    return str(wos.trees["alpha"])


def check_operation(value):
    fits(value, OPERATION, "operation", ADDED["operation"])
    assert value["status"] in ("queued", "running", "succeeded", "failed", "conflict")
    return value


def check_detail(api, path):
    detail = fits(api.detail(path), DETAIL, "detail", ADDED["detail"])
    fits(detail["worktree"], WORKTREE, "worktree", ADDED["worktree"])
    for service in detail["services"]:
        fits(service, SERVICE, "service", ADDED["service"])
        for port in service["ports"]:
            fits(port, PORT, "port")
    for row in detail["appPortHealthchecks"]:
        fits(row, HEALTH_ROW, "health row")
        assert row["state"] in ("healthy", "failed", "failed-allowed", "disabled", "waiting")
    for name in ("activeOperation", "latestOperation"):
        if detail.get(name) is not None:
            check_operation(detail[name])
    if detail.get("failureContext") is not None:
        assert len(fits(detail["failureContext"], FAILURE, "failureContext")["logTail"]) <= 10
    if detail.get("deploymentOptions") is not None:
        fits(detail["deploymentOptions"], OPTIONS, "deploymentOptions")
    if detail.get("deployFreshness") is not None:
        fits(detail["deployFreshness"], FRESHNESS, "deployFreshness")
    assert detail["projectConfig"]["status"] in ("valid", "missing", "invalid", "unknown")
    return detail


def check_stream(api, accepted):
    """Every line of an operation: envelope, event, order; the last one."""
    with Lines(api.port, "/operations/%s/events" % accepted["operationId"]) as lines:
        got = list(lines.until(lambda line: "terminal" in line))
    for number, line in enumerate(got):
        fits(line, ENVELOPE, "envelope")
        assert line["operationId"] == accepted["operationId"]
        assert line["sequence"] == got[0]["sequence"] + number
        assert ("event" in line) != ("terminal" in line)
        if "event" in line:
            event = fits(line["event"], EVENT_TYPES[line["event"]["type"]], line["event"]["type"])
            assert event["type"] != "step" or event["id"] in STEPS, event
            assert event["type"] != "step" or event["state"] in (
                "pending", "running", "done", "failed"), event
    fits(got[-1]["terminal"], shape(status=TEXT, failureMessage_=TEXT), "terminal",
         ADDED["terminal"])
    return got


def test_projects_and_worktrees(wos, api, alpha):
    answer = api.get("/projects")
    assert answer.status == 200 and set(answer.json) == {"projects"}
    for project in answer.json["projects"]:
        fits(project, PROJECT, "project", ADDED["project"])
        assert 0 <= project["colorSlot"] <= 35
        for worktree in project["worktrees"]:
            fits(worktree, WORKTREE, "worktree", ADDED["worktree"])
    again = api.post("/projects", {"path": alpha})
    assert again.status == 200 and set(again.json) == {"project", "created"}
    assert again.json["created"] is False
    project = again.json["project"]["id"]
    changed = api.call("PATCH", "/projects/" + project, {"displayName": "sample"})
    assert changed.status == 200 and set(changed.json) == {"project", "projects"}
    assert changed.json["project"]["displayName"] == "sample"
    error(api.call("PATCH", "/projects/none", {"displayName": "x"}), 404, "not-found")
    error(api.call("PATCH", "/projects/" + project, {"colorSlot": 36}), 400, "validation")
    error(api.call("DELETE", "/projects/none"), 404, "not-found")
    error(api.post("/projects", {"path": str(wos.dir)}), 400, "validation")
    valid = api.get("/projects/validate?path=" + quote(alpha)).json
    assert valid["valid"] is True and set(valid) <= {"valid", "inputPath", "sourcePath", "message",
                                                     "warning"}


def test_directories(wos, api, alpha):
    body = api.get("/filesystem/directories?path=" + quote(str(wos.dir / "w"))).json
    assert set(body) == {"path", "entries"}
    assert {"path": alpha, "name": "alpha", "isGitWorktree": True} in body["entries"]
    error(api.get("/filesystem/directories?path=" + quote(alpha + "/README")), 400, "not-directory")
    error(api.get("/filesystem/directories?path=/no/such/thing/at/all"), 404, "not-found")


def test_detail_of_a_running_worktree(wos, api, alpha):
    detail = check_detail(api, alpha)
    assert detail["worktree"]["status"] == "running" and detail["state"]["initialized"] is True
    assert {s["service"] for s in detail["services"]} == {"web", "idle"}
    assert detail["appPortHealthchecks"][0]["state"] == "healthy"
    assert check_operation(detail["latestOperation"])["kind"] == "up"
    detail = check_detail(api, wos.trees["beta"])
    assert detail["worktree"]["status"] == "not_started" and detail["state"] is None


def test_up_while_up_down_and_their_streams(wos, api):
    """202, 409 while it runs, the stream, down that cancels: the up has succeeded then."""
    beta = str(wos.trees["beta"])
    gate = wos.trees["beta"] / "gate"
    os.mkfifo(gate)
    up = api.post("/worktrees/up", {"path": beta, "target": "some", "arguments": {"WHO": "x"}})
    assert up.status == 202 and fits(up.json, ACCEPTED, "accepted")["kind"] == "up"
    busy = error(api.post("/worktrees/up", {"path": beta}), 409, "session-busy", BUSY)
    assert check_operation(busy["active"])["operationId"] == up.json["operationId"]
    error(api.post("/worktrees/services/restart", {"path": beta, "service": "web"}), 409,
          "session-busy", BUSY)
    running = api.get("/operations/" + up.json["operationId"])
    assert check_operation(running.json)["status"] == "running"
    assert check_detail(api, beta)["activeOperation"]["operationId"] == up.json["operationId"]
    down = api.post("/worktrees/down", {"path": beta})
    assert down.status == 202 and fits(down.json, ACCEPTED, "accepted")["kind"] == "down"
    assert check_stream(api, up.json)[-1]["terminal"] == {"status": "succeeded", "code": "cancelled"}
    ended = check_operation(api.get("/operations/" + up.json["operationId"]).json)
    assert (ended["status"], ended["code"]) == ("succeeded", "cancelled")
    assert check_stream(api, down.json)[-1]["terminal"] == {"status": "succeeded"}
    gate.unlink()
    up = api.post("/worktrees/up", {"path": beta, "services": ["web"], "arguments": {"WHO": "x"},
                                    "force": True, "noTunnel": False})
    kinds = {line["event"]["type"] for line in check_stream(api, up.json)[:-1]}
    assert {"step", "log", "services-discovered", "healthcheck-attempt", "complete"} <= kinds
    done = check_operation(api.get("/operations/" + up.json["operationId"]).json)
    assert done["status"] == "succeeded" and done["finishedAt"]


@pytest.mark.parametrize("body", [{}, {"path": 1}, {"services": ["web"], "target": "some"},
                                  {"services": ["nope"]}, {"target": "nope"},
                                  {"arguments": {"UNDECLARED": "x"}}])
def test_ups_that_are_refused(api, alpha, body):
    request = body if "path" in body or not body else {"path": alpha, **body}
    error(api.post("/worktrees/up", request), 400, "validation")


def test_configs_that_are_missing_or_invalid(wos, api):
    broken = str(wos.trees["broken"])
    path = wos.source / ".wos" / "deploy.worktree.yaml"
    text = path.read_text()
    try:
        path.write_text("mode: nonsense\n")
        body = error(api.post("/worktrees/up", {"path": broken}), 400, "config-invalid")
        assert body["path"] == str(path)
        path.unlink()
        body = error(api.post("/worktrees/up", {"path": broken}), 400, "config-missing")
        assert body["path"] == str(path)
    finally:
        path.write_text(text)


def test_services_are_stopped_and_restarted(api, alpha):
    for verb, kind in (("stop", "service-stop"), ("restart", "service-restart")):
        answer = api.post("/worktrees/services/" + verb, {"path": alpha, "service": "web"})
        assert answer.status == 202, answer
        body = fits(answer.json, SERVICE_ACCEPTED, "accepted")
        assert (body["kind"], body["service"]) == (kind, "web")
        assert check_stream(api, body)[-1]["terminal"]["status"] == "succeeded"
    error(api.post("/worktrees/services/stop", {"path": alpha}), 400, "validation")


def test_exec(api, alpha):
    answer = api.post("/worktrees/exec", {"path": alpha, "service": "web", "command": ["true"],
                                          "cols": 80, "rows": 24})
    assert answer.status == 201, answer
    assert {"terminalId", "attachPath", "session"} <= set(answer.json)
    assert answer.json["attachPath"].startswith("/ui/v1/") or answer.json["attachPath"][0] == "/"
    error(api.post("/worktrees/exec", {"path": alpha, "service": "web", "command": []}), 400,
          "validation")


def test_logs_and_events(wos, api, alpha):
    session = api.detail(alpha)["worktree"]["sessionName"]
    with Lines(api.port, "/worktrees/logs?session=%s&channel=init" % session) as lines:
        line = next(iter(lines.until(lambda line: True)))
    assert fits(line, LOG, "log line", {"service"})["channel"] == "init"
    with Events(api.port, "/events?session=" + session) as events:
        got = list(events.until(lambda event: event[1] == "operation.finished"))
    for number, kind, data in got:
        fits(data, EVENT, kind)
        assert (data["id"], data["type"], data["event"]["type"]) == (number, kind, kind)
        assert data["sessionName"] == session
    assert got[0][0] >= 1 and [e[0] for e in got] == sorted(e[0] for e in got)


def test_settings(wos, api):
    body = api.get("/settings/config").json
    assert {"config", "certificateStatus"} <= set(body)
    assert {"path", "exists", "raw", "effective", "effectiveSsl"} <= set(body["config"])
    assert set(body["config"]["effectiveSsl"]) == {"web", "tunnel"}
    assert all("source" in entry for entry in body["config"]["effectiveSsl"].values())
    draft = json.loads((wos.home / "config.json").read_text())
    answer = api.call("PUT", "/settings/config", {**draft, "web": {"port": 70000}})
    refused = error(answer, 400, "validation")
    assert refused["errors"][0]["field"] == "web.port"
    assert refused["message"].endswith(refused["errors"][0]["message"]), "it names the field too"
    answer = api.call("PUT", "/settings/config", draft)
    assert answer.status == 200, answer
    assert {"config", "certificateStatus", "restartRequired"} <= set(answer.json)
    assert api.call("DELETE", "/settings/config").status == 405


def test_unknown_things(api):
    error(api.get("/nothing-of-that-name"), 404, "not-found")
    error(api.get("/operations/none"), 404, "not-found")
    error(api.post("/worktrees/down", b"\xff\xfe"), 400, "validation")
    status = api.get("/setup/status").json
    assert {"setupRequired", "globalConfig", "projectCount", "firstRunCompleted"} <= set(status)


def test_removal_and_the_end(wos, api, alpha):
    error(api.post("/worktrees/remove", {"path": alpha}), 400, "source-worktree")
    beta = wos.trees["beta"]
    (beta / "left").write_text("x")
    dirty = api.post("/worktrees/remove", {"path": str(beta)})
    assert dirty.status == 409 and dirty.json["error"] == "worktree-dirty", dirty
    fits(dirty.json, shape(error=TEXT, message=TEXT, path=TEXT, changes=MAP), "worktree-dirty")
    assert dirty.json["changes"] == {"total": 1, "staged": 0, "unstaged": 0, "untracked": 1,
                                     "unmerged": 0}
    removed = api.post("/worktrees/remove", {"path": str(beta), "discardChanges": True})
    assert removed.status == 202 and fits(removed.json, ACCEPTED, "accepted")
    assert check_stream(api, removed.json)[-1]["terminal"]["status"] == "succeeded"
    assert not beta.exists()
    with Events(api.port, "/events") as events:
        got = list(events.until(lambda event: event[1] == "worktree.removed"))
    dropped = [data["event"] for _, kind, data in got if kind == "tunnel.dropped"]
    assert {event["hostname"] for event in dropped} >= {"beta-web." + harness.DOMAIN}, dropped
    assert stat.S_IMODE((wos.home / "daemon.json").stat().st_mode) & 0o077 == 0
    answer = api.post("/daemon/stop")
    assert answer.status == 202 and set(answer.json) == {"status", "scheduledAt"}
    assert answer.json["status"] == "scheduled"
    harness.until("it is gone", lambda: not (wos.home / "daemon.json").exists())
