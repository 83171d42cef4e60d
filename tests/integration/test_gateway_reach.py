"""The gateway reaches every port of the loopback, the daemon's web listener too. There it is a
stranger, whatever it says: a service's name that leads to that port with the Host of this machine
is what a gateway in hostile hands would do, done by the one that runs."""
import json

import pytest

import harness
from api_client import Api

JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def wos():
    wos = harness.Wos(worktrees=())
    try:
        wos.ok("start")
        wos.ok("publish", "api", wos.web_port, "--host", "rewrite")
        wos.wait_route("api", "/ui/v1/health")
        yield wos
    finally:
        problems = wos.close()
        assert not problems, problems


def refused(answer):
    body = json.loads(answer.body)
    return (answer.status, body["error"]) == (403, "forbidden") and "gateway" in body["message"]


def through_gateway(wos, method, path, body=None):
    return wos.get("api", "/ui/v1" + path, method=method, headers=[JSON] if body else [],
                   body=json.dumps(body).encode() if body else None)


def check(wos):
    assert json.loads(through_gateway(wos, "GET", "/health").body) == {"ok": True, "version": "1"}
    tree = {"path": str(wos.trees["alpha"])}
    assert refused(through_gateway(wos, "POST", "/terminals", tree))
    for path in ("/status/all", "/settings/config", "/terminals", "/sessions"):
        assert refused(through_gateway(wos, "GET", path)), path
    assert refused(through_gateway(wos, "POST", "/daemon/stop", {"x": 1}))
    api = Api(wos.web_port)
    assert api.get("/terminals").json == {"terminals": []}
    assert api.get("/health").json["home"] == str(wos.home)


def test_the_gateway_is_not_local(wos):
    check(wos)


def test_nor_for_the_next_daemon(wos):
    pid = wos.gateway_pid()
    wos.ok("restart")
    harness.until("it serves", lambda: wos.status_all()["tunnel"]["state"] == "serving")
    assert wos.gateway_pid() == pid
    check(wos)


def test_nor_with_many_connections(wos):
    """Its descriptors are looked through, all of them."""
    clients = []
    try:
        for _ in range(300):
            clients.append(wos.h1("api"))
        check(wos)
    finally:
        for client in clients:
            client.close()


def test_those_that_drain_are_known(wos):
    """A gateway that was replaced lives as long as its connections, and may outlive its daemon."""
    wos.ok("publish", "x", wos.backend())
    before = wos.gateway_pid()
    with wos.ws("x"):
        wos.config["tunnel"]["workers"] = 3
        wos.write_config()
        for _ in range(2):
            wos.ok("restart")
            harness.until("the new one serves", lambda: wos.status_all()["tunnel"].get(
                "gatewayPid") not in (None, before) and
                wos.status_all()["tunnel"]["state"] == "serving")
        assert harness.alive(before)
        listed = json.loads((wos.home / "gateways.json").read_text())
        assert {g["pid"] for g in listed} == {before, wos.gateway_pid()}
        check(wos)


def test_a_list_that_cannot_be_read_means_nobody(wos):
    """Whose a connection is cannot be told then; the command does not need it."""
    path = wos.home / "gateways.json"
    good = path.read_bytes()
    path.write_bytes(b"[{")
    try:
        answer = Api(wos.web_port).get("/status/all")
        assert answer.status == 403 and "cannot be told" in answer.json["message"]
        assert wos.status_all()["tunnel"]["state"] == "serving"
    finally:
        path.write_bytes(good)
    assert Api(wos.web_port).get("/status/all").status == 200


def test_the_ui_by_its_name_goes_on(make_wos):
    """What the gateway is there for: who signed in, and from where, as its headers say."""
    secret = "a-long-secret-of-the-ui"
    wos = make_wos(worktrees=(), tunnel={
        "webUi": {"enabled": True, "subdomain": "wos", "secret": secret}})
    wos.ok("start")
    wos.wait_route("wos")
    answer = wos.get("wos", "/ui/v1/auth/login", method="POST", headers=[JSON],
                     body=json.dumps({"secret": secret}).encode())
    assert answer.status == 200 and "__Host-" in answer.get("set-cookie")
    cookie = ("Cookie", answer.get("set-cookie").split(";")[0])
    assert wos.get("wos", "/ui/v1/sessions", headers=[cookie]).status == 200
    assert wos.get("wos", "/ui/v1/status/all", headers=[cookie]).status == 403
