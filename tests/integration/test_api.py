"""The API at /ui/v1, endpoint by endpoint: status codes and shapes as docs/API.md has them.

One wos for the file. `alpha` is the source worktree and deployed; `beta` and those that tests make
are for what changes things. The projects of other repositories are the tests' own.
"""
import json
import os
import subprocess
import time
from urllib.parse import quote

import pytest

import harness
from api_client import Api, Events, Lines, Stream, WebSocket

ENV_PROBE = ("exec %s -c \"import os,http.server\nclass H(http.server.BaseHTTPRequestHandler):\n"
             " def do_GET(s):\n  s.send_response(200);s.end_headers();"
             "s.wfile.write(os.environ.get('FROM_CALLER','-').encode())\n"
             " def log_message(s,*a):pass\n"
             "http.server.HTTPServer(('127.0.0.1',int(os.environ['WOS_SERVICE_PORT'])),H)"
             ".serve_forever()\"" % harness.PYTHON)


def manifest():
    config = harness.shell_app(web=harness.python_service("web"),
                               api={"script": [ENV_PROBE], "ports": [4000]})
    config["targets"] = {"front": ["web"]}
    config["app"]["init_script"] = ["echo prepared by the init script"]
    return config


@pytest.fixture(scope="module")
def wos():
    if not harness.BIN.exists():
        pytest.fail("no binary at %s" % harness.BIN, pytrace=False)
    instance = harness.Wos(worktrees=("beta", "gamma"))
    instance.deploy(manifest())
    instance.ok("up", cwd="alpha", env=instance.env(FROM_CALLER="the caller"))
    yield instance
    problems = instance.close()
    if problems:
        pytest.fail("\n".join(problems) + "\n" + instance.logs(), pytrace=False)


@pytest.fixture
def api(wos):
    return Api(wos.web_port)


@pytest.fixture
def alpha(wos):
    return str(wos.trees["alpha"])


def repository(wos, name):
    """Another repository with one commit."""
    path = wos.dir / "w" / name
    path.mkdir()
    wos.git("init", "-q", "-b", "main", ".", cwd=path)
    (path / "file").write_text("one\n")
    wos.git("add", ".", cwd=path)
    wos.git("commit", "-q", "-m", "one", cwd=path)
    return path


def error(answer, status, code):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert body["error"] == code and isinstance(body["message"], str) and body["message"], body
    return body


def one(answer, status=200):
    assert answer.status == status, answer
    return answer.json


# --- health, daemon.json, set-up ------------------------------------------------------------

def test_health_and_daemon_json(wos, api):
    meta = json.loads((wos.home / "daemon.json").read_text())
    assert {"pid", "startedAt", "protocol", "daemonId", "webUrl", "webHost", "webPort",
            "webScheme"} <= set(meta)
    assert meta["webUrl"] == "http://127.0.0.1:%d" % wos.web_port
    health = one(api.get("/health"))
    assert {k: health[k] for k in ("ok", "version", "protocol", "webScheme")} == {
        "ok": True, "version": "1", "protocol": "3", "webScheme": "http"}
    for key in ("pid", "daemonId", "startedAt", "webHost", "webPort"):
        assert health[key] == meta[key]


def test_setup_status(wos, api):
    body = one(api.get("/setup/status"))
    assert set(body) == {"setupRequired", "globalConfig", "projectCount", "firstRunCompleted"}
    assert body["setupRequired"] is False and body["firstRunCompleted"] is None
    assert body["globalConfig"]["path"] == str(wos.home / "config.json")
    assert body["projectCount"] >= 1


def test_setup_environment_and_complete(wos, api):
    body = one(api.get("/setup/environment"))
    assert set(body) == {"platform", "home", "tools"} and body["home"] == str(wos.home)
    tools = {tool["name"]: tool for tool in body["tools"]}
    assert tools["git"]["available"] is True and os.access(tools["git"]["path"], os.X_OK)
    assert {"git", "docker", "docker-compose", "tmux"} == set(tools)
    done = one(api.post("/setup/complete", {}))
    assert set(done) == {"firstRunCompleted"} and done["firstRunCompleted"]
    assert one(api.get("/setup/status"))["firstRunCompleted"] == done["firstRunCompleted"]
    config = json.loads((wos.home / "config.json").read_text())
    assert config["firstRunCompleted"] == done["firstRunCompleted"]
    assert one(api.post("/setup/complete")) == done


def test_unknown_things(api):
    error(api.get("/nonsense"), 404, "not-found")
    error(api.call("DELETE", "/settings/config"), 405, "method-not-allowed")
    error(api.get("/operations/no-such-id"), 404, "not-found")
    error(api.get("/operations/no-such-id/events"), 404, "not-found")
    error(api.post("/worktrees/up", b"{not json"), 400, "validation")
    error(api.post("/worktrees/up", b"[]"), 400, "validation")
    error(api.post("/worktrees/up"), 400, "validation")


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_pages_of_others_change_nothing(wos, api, headers):
    before = len(one(api.get("/projects"))["projects"])
    error(api.post("/projects", {"path": str(wos.trees["alpha"])}, headers=headers), 403,
          "forbidden")
    assert len(one(api.get("/projects"))["projects"]) == before


def from_now(wos):
    """Without this header a reader gets all that is kept."""
    return {"Last-Event-ID": str(history(wos.web_port)[-1][0])}


# --- projects -----------------------------------------------------------------------------------

SUMMARY = {"id", "displayName", "sourcePath", "createdAt", "lastSeenAt", "colorSlot", "order",
           "stale", "worktrees"}


def test_a_deployed_repository_is_a_project(wos, api, alpha):
    projects = one(api.get("/projects"))["projects"]
    project = [p for p in projects if p["sourcePath"] == alpha]
    assert len(project) == 1 and set(project[0]) == SUMMARY
    project = project[0]
    assert project["displayName"] == "alpha" and project["stale"] is False
    assert 0 <= project["colorSlot"] <= 35
    trees = {t["path"]: t for t in project["worktrees"]}
    tree = trees[alpha]
    assert tree["isSource"] is True and tree["detached"] is False
    assert (tree["branch"], tree["branchRef"]) == ("main", "refs/heads/main")
    assert tree["status"] == "running" and tree["serviceSummary"] == {"running": 2, "total": 2}
    assert set(tree["resourceUsage"]) == {"cpuPercent", "memUsedBytes"}
    assert tree["resourceUsage"]["memUsedBytes"] > 1 << 20
    beta = trees[str(wos.trees["gamma"])]
    assert beta["isSource"] is False and beta["status"] == "not_started"
    assert "serviceSummary" not in beta


def test_facts_of_git_come_without_waiting(wos, api, alpha):
    (wos.trees["gamma"] / "new").write_text("x")

    def known():
        for project in one(api.get("/projects"))["projects"]:
            for tree in project["worktrees"]:
                if tree["path"] == str(wos.trees["gamma"]):
                    return tree if tree.get("uncommittedCount") == 1 else None
        return None
    tree = harness.until("the uncommitted file is counted", known)
    assert tree["lastCommitSubject"] == "first" and len(tree["lastCommitHash"]) == 40
    (wos.trees["gamma"] / "new").unlink()


def test_adding_changing_and_removing_a_project(wos, api):
    path = repository(wos, "other")
    (path / "sub").mkdir()
    assert one(api.get("/projects/validate?path=" + quote(str(path / "sub")))) == {
        "valid": True, "inputPath": str(path / "sub"), "sourcePath": str(path),
        "warning": {"code": "missing-config",
                    "message": "deploy config not found at %s/.wos/deploy.yaml" % path}}
    added = one(api.post("/projects", {"path": str(path / "sub")}), 201)
    assert added["created"] is True and added["project"]["sourcePath"] == str(path)
    again = one(api.post("/projects", {"path": str(path)}), 200)
    assert again["created"] is False and again["project"]["id"] == added["project"]["id"]
    mine = "/projects/" + added["project"]["id"]
    changed = one(api.call("PATCH", mine, {"displayName": "Другой", "colorSlot": 7, "order": 0}))
    assert changed["project"]["displayName"] == "Другой" and changed["project"]["colorSlot"] == 7
    assert [p["id"] for p in changed["projects"]][0] == added["project"]["id"]
    assert [p["order"] for p in changed["projects"]] == list(range(len(changed["projects"])))
    stored = json.loads((wos.home / "projects.json").read_text())["projects"]
    assert stored[0]["displayName"] == "Другой"
    assert (wos.home / "projects.json").stat().st_mode & 0o777 == 0o600
    left = one(api.call("DELETE", mine))["projects"]
    assert added["project"]["id"] not in [p["id"] for p in left]
    error(api.call("DELETE", mine), 404, "not-found")
    error(api.call("PATCH", mine, {"order": 0}), 404, "not-found")


@pytest.mark.parametrize("body", [
    {}, {"displayName": ""}, {"displayName": "x" * 121}, {"displayName": "a\nb"},
    {"displayName": 7}, {"colorSlot": 36}, {"colorSlot": -1}, {"colorSlot": 1.5},
    {"order": -1}, {"order": "0"}])
def test_bad_changes_of_a_project(api, body):
    project = one(api.get("/projects"))["projects"][0]
    error(api.call("PATCH", "/projects/" + project["id"], body), 400, "validation")
    assert one(api.get("/projects"))["projects"][0]["displayName"] == project["displayName"]


def test_paths_that_are_no_repository(wos, api):
    for path in (str(wos.dir), "/no/such/place", "relative", None):
        error(api.post("/projects", {"path": path}), 400, "validation")
    body = one(api.get("/projects/validate?path=" + quote(str(wos.dir))))
    assert body["valid"] is False and "Git worktree" in body["message"]
    assert one(api.get("/projects/validate"))["valid"] is False


def test_a_project_whose_directory_is_gone_is_stale(wos, api):
    path = repository(wos, "fleeting")
    project = one(api.post("/projects", {"path": str(path)}), 201)["project"]
    subprocess.run(["rm", "-rf", str(path)], check=True)
    with Events(wos.web_port, "/events", from_now(wos)) as events:
        stale = [p for p in one(api.get("/projects"))["projects"] if p["id"] == project["id"]][0]
        repository(wos, "fleeting")
        one(api.get("/projects"))
        got = list(events.until(lambda e: e[1] == "project.recovered"))
    assert [(name, data["projectId"]) for _, name, data in got
            if name in ("project.stale", "project.recovered")] == [
                ("project.stale", project["id"]), ("project.recovered", project["id"])]
    assert stale["stale"] is True and stale["error"] and stale["worktrees"] == []
    assert one(api.call("DELETE", "/projects/" + project["id"]))


def test_names_and_notes_of_worktrees(wos, api):
    path = str(wos.trees["gamma"])
    body = one(api.call("PATCH", "/worktrees/name", {"path": path, "displayName": "Try"}))
    assert body["worktree"]["displayName"] == "Try"
    body = one(api.call("PATCH", "/worktrees/note", {"path": path, "note": "line 1\nline 2"}))
    assert body["worktree"]["note"] == "line 1\nline 2"
    worktree = api.detail(path)["worktree"]
    assert (worktree["displayName"], worktree["note"]) == ("Try", "line 1\nline 2")
    for url, bad in (("name", {"displayName": "x" * 121}), ("name", {"displayName": 1}),
                     ("name", {}), ("note", {"note": "x" * 1001}), ("note", {"note": "a\x07"})):
        error(api.call("PATCH", "/worktrees/" + url, {"path": path, **bad}), 400, "validation")
    one(api.call("PATCH", "/worktrees/name", {"path": path, "displayName": None}))
    one(api.call("PATCH", "/worktrees/note", {"path": path, "note": ""}))
    assert not {"displayName", "note"} & set(api.detail(path)["worktree"])
    error(api.call("PATCH", "/worktrees/name", {"path": "/", "displayName": "x"}), 400,
          "not-a-worktree")


# --- the board: statuses, places, comments --------------------------------------------------------

def test_the_catalog_of_statuses(wos, api):
    first = one(api.post("/statuses", {"name": "To do"}), 201)
    assert set(first["status"]) == {"id", "name", "colorSlot", "order"}
    assert first["status"]["name"] == "To do" and first["statuses"][-1] == first["status"]
    second = one(api.post("/statuses", {"name": "Review", "colorSlot": 7}), 201)["status"]
    assert second["colorSlot"] == 7
    moved = one(api.call("PATCH", "/statuses/" + second["id"], {"name": "In review", "order": 0}))
    assert moved["status"] == {**second, "name": "In review", "order": 0}
    assert [s["name"] for s in moved["statuses"]] == ["In review", "To do"]
    assert [s["order"] for s in moved["statuses"]] == [0, 1]
    assert one(api.get("/statuses")) == {"statuses": moved["statuses"]}
    kept = json.loads((wos.home / "statuses.json").read_text())
    assert kept == {"statuses": moved["statuses"]}
    for bad in ({}, {"name": " "}, {"name": "x" * 121}, {"name": "a\n"}, {"name": 1},
                {"name": "x", "colorSlot": 36}):
        error(api.post("/statuses", bad), 400, "validation")
    for bad in ({}, {"order": -1}, {"order": 51}, {"name": ""}):
        error(api.call("PATCH", "/statuses/" + second["id"], bad), 400, "validation")
    error(api.call("PATCH", "/statuses/none", {"name": "x"}), 404, "not-found")
    error(api.call("DELETE", "/statuses/none"), 404, "not-found")
    for i in range(48):
        one(api.post("/statuses", {"name": str(i)}), 201)
    assert "50" in error(api.post("/statuses", {"name": "x"}), 400, "validation")["message"]
    for status in one(api.get("/statuses"))["statuses"]:
        left = one(api.call("DELETE", "/statuses/" + status["id"]))
    assert left == {"statuses": []}


def test_a_worktrees_place_on_the_board(wos, api):
    path = str(wos.trees["gamma"])
    status = one(api.post("/statuses", {"name": "Doing"}), 201)["status"]["id"]
    body = one(api.call("PATCH", "/worktrees/status",
                        {"path": path, "workflowStatusId": status, "workflowOrder": 3}))
    assert set(body) == {"worktree"} and body["worktree"]["path"] == path
    for tree in (body["worktree"], api.detail(path)["worktree"]):
        assert (tree["workflowStatusId"], tree["workflowOrder"]) == (status, 3)
    one(api.call("PATCH", "/worktrees/status", {"path": path, "workflowOrder": None}))
    tree = api.detail(path)["worktree"]
    assert tree["workflowStatusId"] == status and "workflowOrder" not in tree
    for bad in ({}, {"workflowStatusId": "none"}, {"workflowStatusId": 1}, {"workflowOrder": -1},
                {"workflowOrder": 1.5}, {"workflowOrder": "1"}):
        error(api.call("PATCH", "/worktrees/status", {"path": path, **bad}), 400, "validation")
    one(api.call("DELETE", "/statuses/" + status))  # a status that is gone is nobody's
    assert "workflowStatusId" not in api.detail(path)["worktree"]


def test_comments_of_a_worktree(wos, api):
    path = str(wos.trees["gamma"])
    url = "/worktrees/comments"
    assert one(api.get(url + "?path=" + quote(path))) == {"comments": []}
    first = one(api.post(url, {"path": path, "text": "one\ntwo"}), 201)
    assert set(first["comment"]) == {"id", "text", "createdAt"}
    assert first["comments"] == [first["comment"]] and first["comment"]["text"] == "one\ntwo"
    second = one(api.post(url, {"path": path, "text": "é" * 2000}), 201)["comment"]
    assert one(api.get(url + "?path=" + quote(path)))["comments"] == [first["comment"], second]
    for bad in ({}, {"text": ""}, {"text": " \n"}, {"text": "x" * 2001}, {"text": "a\x07"}):
        error(api.post(url, {"path": path, **bad}), 400, "validation")
    error(api.call("DELETE", url, {"path": path}), 400, "validation")
    error(api.call("DELETE", url, {"path": path, "id": "none"}), 404, "not-found")
    error(api.get(url + "?path=/"), 400, "not-a-worktree")
    left = one(api.call("DELETE", url, {"path": path, "id": first["comment"]["id"]}))
    assert left == {"comments": [second]}
    query = "?path=%s&id=%s" % (quote(path), second["id"])  # a DELETE may have no body
    assert one(api.call("DELETE", url + query)) == {"comments": []}


def test_events_of_the_board(wos, api):
    path = str(wos.trees["gamma"])
    with Events(wos.web_port, "/events", from_now(wos)) as events:
        one(api.call("DELETE", "/statuses/" + one(api.post("/statuses", {"name": "x"}),
                                                  201)["status"]["id"]))
        one(api.call("PATCH", "/worktrees/status", {"path": path, "workflowOrder": 1}))
        one(api.post("/worktrees/comments", {"path": path, "text": "x"}), 201)
        got = list(events.until(lambda event: event[1] == "worktree.comment.changed"))
    got = [data for _, name, data in got if name.split(".")[0] in ("status", "worktree")
           and name.endswith("changed") and name != "worktree.deployment-status.changed"]
    assert [data["type"] for data in got] == [
        "status.catalog.changed"] * 2 + ["worktree.board.changed", "worktree.comment.changed"]
    assert got[0]["event"]["statuses"][0]["name"] == "x" and got[1]["event"]["statuses"] == []
    assert all(data["worktreePath"] == data["event"]["path"] == path for data in got[2:])


def test_directories(wos, api):
    top = wos.dir / "w" / "dirs"
    for name in ("b", "a", ".hidden"):
        (top / name).mkdir(parents=True)
    (top / "file").write_text("")
    (top / "link").symlink_to(wos.trees["alpha"])
    body = one(api.get("/filesystem/directories?path=" + quote(str(top))))
    assert body == {"path": str(top), "entries": [
        {"path": str(top / "a"), "name": "a", "isGitWorktree": False},
        {"path": str(top / "b"), "name": "b", "isGitWorktree": False},
        {"path": str(top / "link"), "name": "link", "isGitWorktree": True}]}
    half = one(api.get("/filesystem/directories?path=" + quote(str(top / "half-a-na"))))
    assert half["path"] == str(top)
    error(api.get("/filesystem/directories?path=" + quote(str(top / "file"))), 400, "not-directory")
    error(api.get("/filesystem/directories?path=" + quote(str(top / "x" / "y"))), 404, "not-found")
    error(api.get("/filesystem/directories?path=relative"), 400, "validation")
    for i in range(230):
        (top / "a" / ("n%03d" % i)).mkdir()
    assert len(one(api.get("/filesystem/directories?path=%s/a" % top))["entries"]) == 200


# --- details --------------------------------------------------------------------------------------

def test_detail_of_a_running_worktree(wos, api, alpha):
    detail = api.detail(alpha)
    assert {"worktree", "projectId", "projectName", "state", "services", "serviceSummary",
            "appPortHealthchecks", "tunnels", "latestOperation", "deploymentOptions",
            "projectConfig", "deployFreshness", "launchPreview"} <= set(detail)
    assert detail["projectId"] == [p["id"] for p in one(api.get("/projects"))["projects"]
                                   if p["sourcePath"] == alpha][0]
    assert detail["worktree"]["status"] == "running" and detail["worktree"]["isSource"] is True
    assert detail["projectConfig"]["status"] == "valid"
    assert detail["projectConfig"]["mode"] == "shell"
    options = detail["deploymentOptions"]
    assert options["targets"] == [{"name": "front", "services": ["web"]}]
    assert options["appServices"] == ["api", "web"] and options["deps"] == []
    assert options["ports"] == [{"service": "api", "containerPort": 4000},
                                {"service": "web", "containerPort": 3000}]
    assert detail["launchPreview"]["serviceCount"] == 2
    fresh = detail["deployFreshness"]
    assert fresh["lastUpAt"] == detail["state"]["lastUp"] and fresh["commitsSinceDeploy"] == 0
    assert fresh["lastUpCommit"] == detail["worktree"]["head"]
    service = [s for s in detail["services"] if s["service"] == "web"][0]
    assert service["state"] == "running" and "startedAt" in service
    assert set(service["ports"][0]) == {"containerPort", "hostPort", "hostIp", "protocol"}
    assert set(service["resourceUsage"]) == {"cpuPercent", "memUsedBytes"}
    row = [h for h in detail["appPortHealthchecks"] if h["service"] == "web"][0]
    assert {"service", "containerPort", "state", "enabled", "allowFailure", "url",
            "observedStatus", "timeoutMs", "startPeriodMs", "intervalMs", "retries"} <= set(row)
    assert row["state"] == "healthy" and row["observedStatus"] == 200


def test_detail_of_what_never_ran(wos, api):
    detail = api.detail(wos.trees["gamma"])
    assert detail["state"] is None and detail["services"] == []
    assert detail["worktree"]["status"] == "not_started"
    assert "deployFreshness" not in detail and "failureContext" not in detail
    assert "latestOperation" not in detail and "activeOperation" not in detail


def test_commits_since_the_deployment_are_counted(wos, api):
    path = repository(wos, "counted")
    (path / ".wos").mkdir()
    (path / ".wos" / "deploy.yaml").write_text(json.dumps(
        harness.shell_app(idle={"script": ["exec sleep 1000"]})))
    accepted = one(api.post("/worktrees/up", {"path": str(path)}), 202)
    api.done(accepted)
    try:
        for i in range(3):
            wos.git("commit", "-q", "--allow-empty", "-m", "more %d" % i, cwd=path)
        harness.until("three commits are counted", lambda: api.detail(path)["deployFreshness"].get(
            "commitsSinceDeploy") == 3)
    finally:
        api.done(one(api.post("/worktrees/down", {"path": str(path)}), 202))


def test_configs_that_are_missing_or_wrong(wos, api):
    path = repository(wos, "broken")
    detail = api.detail(path)
    assert detail["projectConfig"]["status"] == "missing"
    body = error(api.post("/worktrees/up", {"path": str(path)}), 400, "config-missing")
    assert body["path"] == str(path / ".wos" / "deploy.yaml")
    (path / ".wos").mkdir()
    (path / ".wos" / "deploy.yaml").write_text("mode: shell\napp:\n  services:\n    a: 7\n")
    detail = api.detail(path)
    assert detail["projectConfig"]["status"] == "invalid" and detail["projectConfig"]["errors"]
    assert "deploymentOptions" not in detail
    body = error(api.post("/worktrees/up", {"path": str(path)}), 400, "config-invalid")
    assert body["path"] == str(path / ".wos" / "deploy.yaml") and body["errors"]
    error(api.post("/worktrees/down", {"path": str(path)}), 404, "not-deployed")
    error(api.post("/worktrees/up", {"path": str(wos.dir)}), 400, "not-a-worktree")


# --- operations ---------------------------------------------------------------------------------------

def test_an_up_its_stream_and_what_is_refused_meanwhile(wos, api):
    path = str(wos.trees["beta"])
    gate = wos.dir / "gate"
    config = manifest()
    config["app"]["init_script"] = ["echo waiting; while ! test -e %s; do sleep 0.05; done; "
                                    "echo to stderr >&2" % gate]
    wos.deploy(worktree=config)
    accepted = one(api.post("/worktrees/up", {"path": path, "services": ["web"]}), 202)
    assert set(accepted) == {"operationId", "sessionName", "kind", "startedAt"}
    assert accepted["kind"] == "up"
    harness.until("the init script runs", lambda: any(
        s.get("id") == "init-script" for s in steps_so_far(api, accepted)))
    detail = api.detail(path)
    assert detail["worktree"]["status"] == "pending"
    assert detail["activeOperation"]["operationId"] == accepted["operationId"]
    busy = error(api.post("/worktrees/up", {"path": path}), 409, "session-busy")
    assert busy["sessionName"] == accepted["sessionName"]
    assert busy["active"]["operationId"] == accepted["operationId"]
    assert {"operationId", "kind", "sessionName", "status", "startedAt"} == set(busy["active"])
    error(api.post("/worktrees/services/stop", {"path": path, "service": "web"}), 409,
          "session-busy")
    gate.write_text("")
    lines = api.operation(accepted)
    assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    for line in lines[:-1]:
        assert set(line) == {"operationId", "sessionName", "sequence", "timestamp", "event"}
    assert set(lines[-1]) == {"operationId", "sessionName", "sequence", "timestamp", "terminal"}
    assert lines[-1]["terminal"] == {"status": "succeeded"}
    events = [line["event"] for line in lines[:-1]]
    done = [e["id"] for e in events if e["type"] == "step" and e["state"] == "done"]
    assert done == ["prepare", "release-ports", "init-script", "compose-up", "status",
                    "healthcheck"]
    assert {"type": "log", "channel": "init", "stream": "stderr", "chunk": "to stderr\n"} in events
    found = [e for e in events if e["type"] == "services-discovered"][0]
    assert found["services"] == ["web"] and "projectName" in found["composeContext"]
    tries = [e for e in events if e["type"] == "healthcheck-attempt"]
    assert tries and tries[-1]["matched"] is True
    assert {"service", "containerPort", "attempt", "maxAttempts", "url"} <= set(tries[-1])
    assert set(events[-1]) == {"type", "lastUp"} and events[-1]["type"] == "complete"
    assert api.operation(accepted) == lines, "the history of a finished operation is the same"
    ended = one(api.get("/operations/" + accepted["operationId"]))
    assert ended["status"] == "succeeded" and "finishedAt" in ended
    api.done(one(api.post("/worktrees/down", {"path": path}), 202))
    assert api.detail(path)["worktree"]["status"] == "stopped"


def steps_so_far(api, accepted):
    """The step events that are in the history now."""
    found = []
    with Lines(api.port, "/operations/%s/events" % accepted["operationId"], silence=0.5) as lines:
        try:
            for line in lines.until(lambda line: "terminal" in line):
                if line.get("event", {}).get("type") == "step":
                    found.append(line["event"])
        except TimeoutError:
            pass
    return found


@pytest.mark.parametrize("body", [
    {"services": "web"}, {"services": []}, {"services": [1]},
    {"services": ["web"], "target": "front"}, {"arguments": ["A=1"]}, {"arguments": {"A": 1}}])
def test_bad_requests_for_an_up(wos, api, body):
    error(api.post("/worktrees/up", {"path": str(wos.trees["gamma"]), **body}), 400, "validation")


def test_a_failed_up_says_where_it_stopped(wos, api):
    path = repository(wos, "failing")
    (path / ".wos").mkdir()
    config = harness.shell_app(bad={"script": ["echo the reason; exit 3"], "ports": [3000]})
    (path / ".wos" / "deploy.yaml").write_text(json.dumps(config))
    lines = api.operation(one(api.post("/worktrees/up", {"path": str(path)}), 202))
    assert lines[-1]["terminal"]["status"] == "failed"
    assert lines[-2]["event"]["type"] == "failure"
    context = api.detail(path)["failureContext"]
    assert {"operationId", "kind", "message", "channel", "step", "logTail"} <= set(context)
    assert context["kind"] == "up" and "the reason" in context["logTail"]
    assert context["step"] in ("compose-up", "status", "healthcheck")
    assert api.detail(path)["worktree"]["status"] == "failed"
    api.done(one(api.post("/worktrees/down", {"path": str(path)}), 202))


# --- single services -------------------------------------------------------------------------------------

def service(api, path, name):
    return [s for s in api.detail(path)["services"] if s["service"] == name][0]


def test_one_service_is_stopped_and_started_anew(wos, api, alpha):
    assert wos.get("alpha-api").body == b"the caller"
    web = service(api, alpha, "web")["pid"]
    before = service(api, alpha, "api")["pid"]
    accepted = one(api.post("/worktrees/services/restart", {"path": alpha, "service": "api"}), 202)
    assert set(accepted) == {"operationId", "sessionName", "kind", "service", "startedAt"}
    assert (accepted["kind"], accepted["service"]) == ("service-restart", "api")
    api.done(accepted)
    after = service(api, alpha, "api")
    assert after["state"] == "running" and after["pid"] != before and not harness.alive(before)
    assert wos.get("alpha-api").body == b"the caller", "with the environment it was started with"

    api.done(one(api.post("/worktrees/services/stop", {"path": alpha, "service": "api"}), 202))
    detail = api.detail(alpha)
    assert detail["worktree"]["status"] == "running_partial"
    assert service(api, alpha, "api")["state"] == "stopped"
    assert service(api, alpha, "web")["pid"] == web, "the others go on"
    harness.until("its name says that it does not run",
                  lambda: wos.get("alpha-api").status == 503)
    assert wos.get("alpha-web", "/hello").status == 200
    api.done(one(api.post("/worktrees/services/restart", {"path": alpha, "service": "api"}), 202))
    wos.wait_route("alpha-api")
    assert api.detail(alpha)["worktree"]["status"] == "running"


def test_services_that_cannot_be_stopped(wos, api, alpha):
    for what in ("stop", "restart"):
        url = "/worktrees/services/" + what
        error(api.post(url, {"path": alpha, "service": "nope"}), 400, "unknown-service")
        error(api.post(url, {"path": alpha}), 400, "validation")
        error(api.post(url, {"path": str(wos.trees["gamma"]), "service": "web"}), 400,
              "not-deployed")
    assert api.detail(alpha)["latestOperation"]["status"] == "succeeded"


# --- commands and their terminals ----------------------------------------------------------------

def run(api, alpha, *command, **body):
    return api.post("/worktrees/exec", {"path": alpha, "service": "web", "command": list(command),
                                        **body})


def test_a_command_and_its_terminal(wos, api, alpha):
    answer = run(api, alpha, "sh", "-c", "stty size; read line; echo got $line; exit 3", cols=100,
                 rows=30)
    body = one(answer, 201)
    assert set(body) == {"terminalId", "attachPath", "session"}
    assert body["attachPath"].startswith("/ui/v1/")
    with WebSocket(wos.web_port, body["attachPath"]) as ws:
        assert ws.status == 101
        ws.send({"type": "hello", "v": 1, "clientId": "t", "cols": 120, "rows": 40,
                 "desiredControl": "controller"})
        ws.send({"type": "resize", "cols": 121, "rows": 41})
        ws.send({"type": "input", "data": "häß\n"})
        messages = []
        while not messages or messages[-1]["type"] != "exit":
            messages.append(ws.message())
        assert ws.frame()[0] == 8, "then it closes"
    assert messages[-1] == {"type": "exit", "exit": {"exitCode": 3}}
    text = "".join(m["data"] for m in messages[:-1])
    assert "got häß" in text
    assert {m["type"] for m in messages[:-1]} == {"output"} and messages[0]["seq"] == 0
    error(api.get(body["attachPath"][6:]), 404, "not-found")


def test_bad_requests_for_a_command(wos, api, alpha):
    for body in ({"command": []}, {"command": "ls"}, {"command": [1]}, {"command": [""]},
                 {"command": ["ls"], "service": 1}):
        error(run(api, alpha, **body), 400, "validation")
    error(run(api, alpha, "ls", service="nope"), 400, "unknown-service")
    error(run(api, str(wos.trees["gamma"]), "ls"), 400, "not-deployed")


HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


@pytest.mark.parametrize("change,status", [
    ({"Upgrade": None}, 426), ({"Connection": "close"}, 426), ({"Sec-WebSocket-Version": "8"}, 426),
    ({"Sec-WebSocket-Key": "short"}, 400), ({"Sec-WebSocket-Key": None}, 400),
    ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=!"}, 400),
    ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403)])
def test_handshakes_that_are_refused(wos, api, alpha, change, status):
    path = one(run(api, alpha, "sleep", "1000"), 201)["attachPath"]
    headers = {k: v for k, v in {**HANDSHAKE, **change}.items() if v is not None}
    assert api.get(path[6:], headers=headers).status == status
    with WebSocket(wos.web_port, path, ["Origin: http://127.0.0.1:%d" % wos.web_port]) as ws:
        assert ws.status == 101
        ws.send({"type": "input", "data": "no hello before"})
        assert ws.message() == {"type": "error", "fatal": True,
                                "message": "the first message must be a hello"}


@pytest.mark.parametrize("frame", [
    b"\x81\x05hello",                                   # not masked
    b"\xc1\x80\0\0\0\0",                               # a reserved bit
    b"\x83\x80\0\0\0\0",                               # a reserved opcode
    b"\x09\x80\0\0\0\0",                               # a ping in pieces
    b"\x89\xfe\x00\x7e" + b"\0" * 130,                # a ping that is too long
    b"\x81\xff\x7f" + b"\xff" * 7 + b"\0" * 4 + b"x",  # a message without end
    b"\x81\x81\0\0\0\0\xff",                          # no UTF-8
    b"\x80\x80\0\0\0\0",                               # the continuation of nothing
])
def test_broken_frames_end_the_connection(wos, api, alpha, frame):
    path = one(run(api, alpha, "sleep", "1000"), 201)["attachPath"]
    with WebSocket(wos.web_port, path) as ws:
        ws.sock.sendall(frame)
        with pytest.raises(ConnectionError):
            while True:
                ws.message()
    assert one(api.get("/health"))["ok"] is True


def test_a_reader_that_is_slow_stops_the_program_not_the_daemon(wos, api, alpha):
    hello = {"type": "hello", "v": 1, "clientId": "t", "cols": 80, "rows": 24}
    before = harness.rss_bytes(wos.daemon_pid())
    path = one(run(api, alpha, "sh", "-c", "yes | head -c 1000000000"), 201)["attachPath"]
    with WebSocket(wos.web_port, path) as ws:
        ws.send(hello)
        time.sleep(1)
        assert harness.rss_bytes(wos.daemon_pid()) < before + (100 << 20)
    path = one(run(api, alpha, "sh", "-c", "yes | head -c 8000000; echo; echo END"),
               201)["attachPath"]
    with WebSocket(wos.web_port, path) as ws:
        ws.send(hello)
        time.sleep(0.5)
        size, tail = 0, ""
        while True:
            message = ws.message()
            if message["type"] == "exit":
                break
            size += len(message["data"])
            tail = (tail + message["data"])[-100:]
    assert size > 8000000 and "END" in tail


# --- worktrees ----------------------------------------------------------------------------------------------

def project_id(api, source):
    return [p["id"] for p in one(api.get("/projects"))["projects"] if p["sourcePath"] == source][0]


def create(api, alpha, **body):
    return api.post("/worktrees/create", {"projectId": project_id(api, alpha), **body})


def test_worktrees_are_made_and_removed(wos, api, alpha):
    made = one(create(api, alpha, name="made", branch="topic/made"), 202)
    assert made["kind"] == "worktree-create" and made["branch"] == "topic/made"
    assert made["projectId"] == project_id(api, alpha)
    api.done(made)
    path = made["targetPath"]
    assert path.startswith(str(wos.home / "worktrees")) and os.path.isfile(path + "/README")
    tree = api.detail(path)["worktree"]
    assert tree["branch"] == "topic/made" and tree["isSource"] is False
    api.done(one(api.post("/worktrees/up", {"path": path, "services": ["web"]}), 202))
    pid = service(api, path, "web")["pid"]
    session = tree["sessionName"]
    assert (wos.home / "sessions" / session).is_dir()

    with open(path + "/README", "a") as f:
        f.write("changed\n")
    with open(path + "/untracked", "w") as f:
        f.write("new\n")
    wos.git("add", "README", cwd=path)
    dirty = error(api.post("/worktrees/remove", {"path": path}), 409, "worktree-dirty")
    assert dirty["path"] == path and dirty["changes"] == {
        "total": 2, "staged": 1, "unstaged": 0, "untracked": 1, "unmerged": 0}
    assert harness.alive(pid), "nothing was stopped"
    api.done(one(api.post("/worktrees/remove", {"path": path, "discardChanges": True}), 202))
    assert not os.path.exists(path) and not harness.alive(pid)
    assert not (wos.home / "sessions" / session).exists()
    assert path not in wos.git("worktree", "list", cwd=alpha)
    error(api.post("/worktrees/remove", {"path": path}), 404, "not-found")

    again = one(create(api, alpha, name="made"), 202)
    api.done(again)
    assert api.detail(path)["worktree"]["detached"] is True, "no branch: a detached HEAD"
    error(create(api, alpha, name="made"), 409, "name-taken")
    api.done(one(api.post("/worktrees/remove", {"path": path}), 202))
    lines = api.operation(one(create(api, alpha, name="made", branch="main"), 202))
    assert lines[-1]["terminal"]["status"] == "failed", "main is checked out elsewhere"
    assert "git worktree add" in lines[-1]["terminal"]["failureMessage"]


@pytest.mark.parametrize("body", [
    {"name": ""}, {"name": ".."}, {"name": "a/b"}, {"name": "-x"}, {"name": "x" * 101},
    {"name": "ok", "branch": "-f"}, {"name": "ok", "branch": "a..b"}, {"name": "ok", "branch": "a b"},
    {}])
def test_bad_requests_for_a_worktree(api, alpha, body):
    error(create(api, alpha, **body), 400, "validation")


def test_worktrees_that_are_not_made_or_removed(wos, api, alpha):
    error(api.post("/worktrees/create", {"name": "x"}), 400, "validation")
    error(api.post("/worktrees/create", {"name": "x", "projectId": "none"}), 404, "not-found")
    body = error(api.post("/worktrees/remove", {"path": alpha}), 400, "source-worktree")
    assert body["message"] == "primary/source worktree cannot be removed by wos"


# --- events and logs ----------------------------------------------------------------------------------------

def history(port, after=0, session=None):
    """What is kept, up to now."""
    path = "/events" + ("?session=" + session if session else "")
    found = []
    with Events(port, path, {"Last-Event-ID": str(after)}, silence=0.5) as events:
        assert events.headers["content-type"] == "text/event-stream"
        try:
            for event in events.until(lambda event: False):
                found.append(event)
        except TimeoutError:
            pass
    return found


def test_events_can_be_had_again(wos, api):
    everything = history(wos.web_port)
    ids = [e[0] for e in everything]
    assert ids == list(range(ids[0], ids[0] + len(ids))) and ids[0] == 1
    for number, kind, data in everything:
        assert {"id", "timestamp", "type", "event"} <= set(data)
        assert (data["id"], data["type"], data["event"]["type"]) == (number, kind, kind)
    types = {e[1] for e in everything}
    wanted = {
            "operation.started", "operation.finished", "operation.failed", "operation.conflict",
            "deployment.step",
            "deployment.completed", "deployment.failed", "deployment.services-discovered",
            "deployment.healthcheck-attempt", "worktree.deployment-status.changed",
            "compose.status.changed", "service.started", "service.stopped",
            "service.state.changed", "healthcheck.changed", "tunnel.opened", "tunnel.closed",
            "log.appended", "project.added", "project.updated", "project.removed",
            "worktree.created", "worktree.removed", "worktree.updated",
            "certificate.issued", "certificate.activated", "tunnel.dropped"}
    assert not wanted - types
    middle = ids[len(ids) // 2]
    assert [e[0] for e in history(wos.web_port, after=middle)] == list(range(middle + 1,
                                                                            ids[-1] + 1))
    assert [e[0] for e in history(wos.web_port, after=10 ** 9)] == ids, "of another daemon"


def test_events_are_live_and_of_one_session(wos, api, alpha):
    session = api.detail(alpha)["worktree"]["sessionName"]
    of_session = history(wos.web_port, session=session)
    assert of_session and {e[2]["sessionName"] for e in of_session} == {session}
    changed = [e for e in of_session if e[1] == "worktree.deployment-status.changed"]
    assert {"sessionName", "status", "summary"} <= set(changed[0][2]["event"])
    assert changed[0][2]["worktreePath"] == alpha and changed[-1][2]["projectId"]
    newest = history(wos.web_port)[-1][0]
    with Events(wos.web_port, "/events") as events:  # without an id: all that is kept, then live
        project = one(api.get("/projects"))["projects"][0]
        one(api.call("PATCH", "/projects/" + project["id"], {"colorSlot": 3}))
        seen = list(events.until(lambda e: e[1] == "project.updated" and e[0] > newest))
    assert seen[-1][2]["event"]["project"]["id"] == project["id"]
    assert [e[0] for e in seen] == list(range(1, seen[-1][0] + 1))
    for header, first in (({}, seen[-1][0] + 1), ({"Last-Event-ID": str(newest)}, newest + 1)):
        with Events(wos.web_port, "/events?history=0", header) as events:  # without what is kept
            one(api.call("PATCH", "/projects/" + project["id"], {"colorSlot": 4}))
            assert [e[0] for e in events.until(lambda e: True)] == [first]


def test_worktrees_of_git_itself_are_noticed(wos, api, alpha):
    """Not made by wos: told when a list shows them; and when they are gone again."""
    newest = history(wos.web_port)[-1][0]
    one(api.get("/projects"))
    path = str(wos.dir / "w" / "by-hand")
    wos.git("worktree", "add", "-q", "--detach", path, cwd=alpha)
    one(api.get("/projects"))
    one(api.get("/projects"))
    wos.git("worktree", "remove", path, cwd=alpha)
    one(api.get("/projects"))
    told = [e for e in history(wos.web_port, after=newest)
            if e[2].get("worktreePath") == path and e[1] != "worktree.updated"]
    assert [e[1] for e in told] == ["worktree.added", "worktree.removed"], told
    assert told[0][2]["event"]["path"] == path and told[0][2]["projectId"]


def test_the_socket_has_them_too(wos):
    done = subprocess.run(
        ["curl", "-sS", "-N", "-m", "2", "--unix-socket", str(wos.home / "daemon.sock"),
         "-H", "Last-Event-ID: 0", "http://localhost/v1/events"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    assert b"\nevent: operation.started\ndata: {" in done.stdout


def test_log_channels(wos, api, alpha):
    session = api.detail(alpha)["worktree"]["sessionName"]

    def first(channel, test):
        url = "/worktrees/logs?session=%s&channel=%s" % (session, channel)
        with Lines(wos.web_port, url) as lines:
            assert lines.headers["content-type"] == "application/x-ndjson"
            return list(lines.until(test))[-1]
    line = first("init", lambda line: "prepared" in line["chunk"])
    assert line["channel"] == "init" and line["stream"] == "stdout"
    assert {"sessionName", "sequence", "timestamp", "chunk"} <= set(line)
    line = first("deployment", lambda line: "started web" in line["chunk"])
    assert line["channel"] == "deployment"
    wos.get("alpha-web", "/hello")
    line = first("service:web", lambda line: True)
    assert (line["channel"], line["service"]) == ("service:web", "web")
    for query, status, code in (("", 400, "validation"), ("?session=" + session, 400, "validation"),
                                ("?session=%s&channel=x" % session, 400, "validation"),
                                ("?session=none&channel=init", 404, "not-found"),
                                ("?session=%s&channel=service:no" % session, 404, "not-found")):
        error(api.get("/worktrees/logs" + query), status, code)


# --- settings -----------------------------------------------------------------------------------------------------

def test_settings(wos, api):
    body = one(api.get("/settings/config"))
    assert set(body["config"]) == {"path", "exists", "raw", "effective", "effectiveSsl"}
    assert body["config"]["raw"]["web"] == {"port": wos.web_port}
    effective = body["config"]["effective"]
    assert effective["healthcheck"]["retries"] == 20 and effective["web"]["host"] == "127.0.0.1"
    assert body["config"]["effectiveSsl"] == {"web": {"source": "disabled"},
                                              "tunnel": {"source": "self-signed"}}
    types = {k["key"]: k["type"] for k in api.get("/settings/keys").json["keys"]}
    assert None not in types.values(), types
    assert types["tunnel.ssl.letsencrypt.resolvers"] == "texts"
    status = body["certificateStatus"]
    assert (status["web"]["state"], status["web"]["active"]) == ("disabled", False)
    assert (status["tunnel"]["state"], status["tunnel"]["active"]) == ("active", True)
    assert "*.wos.localhost" in status["tunnel"]["hostnames"]

    before = [e[1] for e in history(wos.web_port)].count("config.changed")
    draft = json.loads((wos.home / "config.json").read_text())
    draft["healthcheck"] = {"retries": 21}
    draft["tunnel"]["serviceTunnels"]["secret"] = "a secret that nobody sees"
    saved = one(api.call("PUT", "/settings/config", draft))
    assert saved["restartRequired"] is False
    assert saved["config"]["effective"]["healthcheck"]["retries"] == 21
    shown = api.get("/settings/config")
    assert b"nobody sees" not in shown.body
    assert shown.json["secrets"] == ["tunnel.serviceTunnels.secret"]
    draft["healthcheck"] = {"retries": 0}
    wrong = error(api.call("PUT", "/settings/config", draft), 400, "validation")
    assert wrong["errors"][0]["field"] == "healthcheck.retries"
    assert set(wrong["errors"][0]) == {"field", "message"}
    draft["healthcheck"] = {}
    draft["tunnel"]["serviceTunnels"]["secret"] = None
    one(api.call("PUT", "/settings/config", draft))
    assert [e[1] for e in history(wos.web_port)].count("config.changed") == before + 2


@pytest.mark.parametrize("text", ("{\"web\": ", "[]", ""))
def test_settings_of_an_unparsable_file(wos, api, text):
    """The page of settings opens when the file is broken: raw is null, and it says why."""
    path = wos.home / "config.json"
    good = path.read_text()
    try:
        path.write_text(text)
        body = one(api.get("/settings/config"))
        assert body["config"]["raw"] is None and "repair the file first" in body["config"]["error"]
        assert body["config"]["effective"]["web"]["port"] == wos.web_port
        assert set(body) == {"config", "secrets", "certificateStatus", "problems", "restartRequired", "restartKeys"}
        assert (body["restartRequired"], body["restartKeys"]) == (False, [])
        for method, draft in (("PUT", {}), ("POST", {"set": {"web.port": 1}})):
            error(api.call(method, "/settings/config", draft), 400, "config-invalid")
        assert path.read_text() == text, "nothing overwrites what cannot be read"
    finally:
        path.write_text(good)
    body = one(api.get("/settings/config"))
    assert body["config"]["raw"] is not None and "error" not in body["config"]


def test_streams_of_clients_that_went_are_forgotten(wos, api):
    for _ in range(20):
        with Stream(wos.web_port, "/events") as stream:
            assert stream.status == 200
    assert one(api.get("/health"))["ok"] is True


def test_a_daemon_that_restarts_knows_its_projects(wos, api, alpha):
    failing = repository(wos, "failing-init")
    (failing / ".wos").mkdir()
    config = harness.shell_app(web={"script": ["true"]})
    config["app"]["init_script"] = ["exit 4"]
    (failing / ".wos" / "deploy.yaml").write_text(json.dumps(config))
    lines = api.operation(one(api.post("/worktrees/up", {"path": str(failing)}), 202))
    assert lines[-1]["terminal"]["status"] == "failed"
    reason = {**api.detail(failing)["failureContext"], "logTail": []}
    assert (reason["step"], reason["channel"]) == ("init-script", "init")
    before = {(p["id"], p["sourcePath"]) for p in one(api.get("/projects"))["projects"]}
    wos.ok("restart")
    assert {**api.detail(failing)["failureContext"], "logTail": []} == reason
    after = {(p["id"], p["sourcePath"]) for p in one(api.get("/projects"))["projects"]}
    assert before <= after, "and those of sessions that it finds"
    assert api.detail(alpha)["worktree"]["status"] in ("running", "running_partial")
    first = history(wos.web_port)
    assert not first or first[0][0] == 1, "numbers begin anew"
    deadline = time.monotonic() + 30
    while api.detail(alpha)["worktree"]["status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    api.done(one(api.post("/worktrees/services/restart", {"path": alpha, "service": "api"}), 202))
    assert wos.get("alpha-api").body == b"the caller", "also of a process the daemon adopted"


# --- by the public name -----------------------------------------------------------------------

@pytest.fixture(scope="module")
def public():
    """A wos whose UI has a public name; nothing is deployed."""
    instance = harness.Wos(tunnel={"webUi": {"enabled": True, "subdomain": "ui",
                                             "secret": "correct horse battery staple"}})
    instance.ok("start")
    yield instance
    problems = instance.close()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


REFUSED = [("GET", "/setup/status"), ("GET", "/settings/config"), ("PUT", "/settings/config"),
           ("POST", "/daemon/restart"), ("POST", "/daemon/stop"), ("GET", "/status/all"),
           ("POST", "/worktrees/exec"), ("GET", "/filesystem/directories"),
           ("GET", "/projects/validate?path=/"),
           ("GET", "/terminals/00000000000000000000000000000000/attach")]


def test_what_the_public_name_has(public):
    api = Api(public.web_port)
    host = {"Host": "ui." + harness.DOMAIN}
    assert one(api.get("/health", headers=host)) == {"ok": True, "version": "1"}
    for method, path in [*REFUSED, ("GET", "/projects"), ("GET", "/events"),
                         ("POST", "/worktrees/up")]:
        assert api.call(method, path, headers=host).status == 401, path
    login = api.post("/auth/login", {"secret": "correct horse battery staple"}, headers=host)
    assert login.status == 200
    host["Cookie"] = login.headers["set-cookie"].partition(";")[0]
    for method, path in REFUSED:
        error(api.call(method, path, {} if method != "GET" else None, headers=host), 403,
              "forbidden")
    assert one(api.get("/projects", headers=host)) == {"projects": []}
    error(api.post("/projects", {"path": str(public.trees["alpha"])},
                   headers={**host, "Origin": "https://alpha-web." + harness.DOMAIN}), 403,
          "forbidden")
    with Events(public.web_port, "/events", host) as events:
        assert events.status == 200
