"""What is under way ends when it is no longer allowed: WebSockets, long answers, long polls."""
import json
import time
from urllib.parse import urlencode

import pytest

import access_log
import harness
from clients import Closed

EVERYONE = "127.0.0.0/8"
NOBODY_HERE = "192.0.2.0/24"
SECRET = "a secret that is long enough"
NAME = "tool"


class UnderWay:
    """A WebSocket, an answer that has begun and a request that waits, on connections of their own."""
    number = 0

    def __init__(self, wos, http, headers=()):
        UnderWay.number += 1
        self.wos, self.http, self.name = wos, http, "review-%d" % UnderWay.number
        open_it = wos.h1 if http == "h1" else wos.h2
        self.ws = wos.ws(NAME, http=http, headers=[*headers, ("origin", wos.url(NAME, "").rstrip("/"))])
        assert self.ws.open, self.ws.answer
        self.flow_client, self.poll_client = open_it(NAME), open_it(NAME)
        self.flow = self.flow_client.stream("/sse/%s?count=3" % self.name, headers=headers)
        self.flow.wait(b"event 0")
        if http == "h1":
            self.poll_client.send_head("GET", "/hold/" + self.name, headers)
            self.poll_client.channel._write()
        else:
            self.poll = self.poll_client.open("GET", "/hold/" + self.name, headers)
            self.poll_client.pump(0)
        harness.until("the service has the request", lambda: "/hold/" + self.name in wos.active())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in (self.ws, self.flow_client, self.poll_client):
            client.close()

    def gate(self, name):
        assert self.wos.direct("POST", "/gate/" + name)[0] == 200

    def goes_on(self):
        self.ws.send("still there")
        assert self.ws.recv()[1] == b"still there"
        self.gate(self.name + "-1")
        self.flow.wait(b"event 1")

    def polled(self):
        if self.http == "h1":
            return self.poll_client.read_answer()
        return self.poll_client.finish(self.poll)

    def has_ended(self, status):
        """`status`: how the request without an answer was answered."""
        with pytest.raises(Closed):
            self.ws.recv()
        with pytest.raises(Closed):
            self.flow.wait(b"event 2")
        assert self.polled().status == status
        if self.http == "h2":  # the stream ended, its connection did not
            assert self.flow.answer.reset == 8, "CANCEL"
            assert self.flow_client.request(path="/hello").status == status


@pytest.fixture(scope="module")
def world(gate):
    """The running wos with the published service `tool`, asked directly where a test looks on."""
    port = gate.backend("own")

    def direct(method, path):
        done = gate.curl("-X", method, "-w", "\n%{http_code}", "http://127.0.0.1:%d%s" % (port, path))
        text, _, code = done[1].decode().rpartition("\n")
        return int(code), text
    gate.direct = direct
    gate.active = lambda: json.loads(direct("GET", "/stats")[1])["active"]
    gate.tool = lambda *args: gate.ok("publish", NAME, port, *args)
    return gate


@pytest.fixture
def quiet(world):
    yield world
    for item in world.ok("publish", "--list", "--json").data["published"]:
        world.ok("unpublish", item["name"])
    world.ok("config", "unset", "tunnel.serviceTunnels.whitelistIps")
    world.ok("config", "unset", "tunnel.serviceTunnels.access")


def test_whitelist(quiet, http):
    quiet.tool()
    with UnderWay(quiet, http) as it:
        quiet.ok("config", "set", "tunnel.serviceTunnels.whitelistIps", EVERYONE)
        it.goes_on()
        quiet.ok("config", "set", "tunnel.serviceTunnels.whitelistIps", NOBODY_HERE)
        it.has_ended(403)
    quiet.ok("config", "unset", "tunnel.serviceTunnels.whitelistIps")
    quiet.tool()
    with UnderWay(quiet, http) as it:
        quiet.tool("--whitelist", EVERYONE)
        it.goes_on()
        quiet.tool("--whitelist", NOBODY_HERE)
        it.has_ended(403)


@pytest.mark.parametrize("how", ["unpublish", "private"])
def test_route_is_gone(quiet, http, how):
    quiet.tool()
    with UnderWay(quiet, http) as it:
        quiet.ok("publish", "another", 9)
        it.goes_on()
        if how == "unpublish":
            quiet.ok("unpublish", NAME)
        else:
            quiet.ok("config", "set", "tunnel.serviceTunnels.access", "private")
        it.has_ended(404)

    def ends():
        lines = [json.loads(line) for line in access_log.text(quiet).splitlines() if line]
        return {line["path"]: line.get("aborted") for line in lines if it.name in line["path"]}
    harness.until("the log tells", lambda: ends() == {
        "/sse/%s?count=3" % it.name: "policy", "/hold/" + it.name: None})


def log_in(wos):
    answer = wos.get(NAME, "/.wos/login", method="POST", headers=[
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", wos.url(NAME, "").rstrip("/"))], body=urlencode({"secret": SECRET}).encode())
    assert answer.status == 303, answer
    return [("cookie", answer.get("set-cookie").split(";")[0])]


def logins(wos):
    return wos.ok("access", "list", "--json").data["logins"]


@pytest.fixture
def secret(quiet):
    quiet.run("config", "set", "tunnel.serviceTunnels.secret", "-", text_input=SECRET)
    quiet.ok("access", "revoke", "--all")
    quiet.tool("--access", "secret")
    yield quiet
    quiet.ok("config", "unset", "tunnel.serviceTunnels.secret")


def test_login_is_revoked(secret, http):
    mine = log_in(secret)
    [row] = harness.until("the login is listed", lambda: logins(secret))
    other = log_in(secret)
    with UnderWay(secret, http, mine) as it, UnderWay(secret, http, other) as theirs, \
            UnderWay(secret, http, [("x-wos-secret", SECRET)]) as script:
        secret.ok("access", "revoke", row["id"])
        it.has_ended(401)
        theirs.goes_on()
        script.goes_on()
        secret.ok("access", "revoke", "--all")  # a new key: whoever knows the secret has to say it again
        theirs.has_ended(401)


def test_a_new_secret_and_a_route_that_gets_one(secret, http):
    with UnderWay(secret, http, [("x-wos-secret", SECRET)]) as it:
        secret.ok("publish", "another", 9)
        it.goes_on()
        secret.run("config", "set", "tunnel.serviceTunnels.secret", "-", text_input=SECRET + "!")
        it.has_ended(401)
    secret.tool("--access", "public")
    with UnderWay(secret, http) as it:
        secret.tool("--access", "secret")
        it.has_ended(401)


def test_a_login_is_seen(secret):
    cookie = log_in(secret)
    [row] = harness.until("the login is listed", lambda: logins(secret))
    time.sleep(0.01)  # times have milliseconds
    assert secret.get(NAME, "/hello", headers=cookie).status == 200

    def seen():
        [now] = logins(secret)
        assert now["createdAt"] == row["createdAt"]
        return now["lastSeenAt"] > row["lastSeenAt"]
    harness.until("the login was seen again", seen)
