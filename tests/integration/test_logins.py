"""Logins of services behind the secret: told, listed, revoked, over restarts."""
from urllib.parse import urlencode

import pytest

import harness

SECRET = "a secret that is long enough"
LABEL = "alpha-web"


def set_secret(gate, text):
    gate.run("config", "set", "tunnel.serviceTunnels.secret", "-", text_input=text)


def log_in(gate, agent="a test"):
    """The cookie of a new login."""
    answer = gate.get(LABEL, "/.wos/login", method="POST", headers=[
        ("content-type", "application/x-www-form-urlencoded"), ("user-agent", agent),
        ("origin", gate.url(LABEL, "").rstrip("/"))],
        body=urlencode({"secret": SECRET, "next": "/hello"}).encode())
    assert answer.status == 303, answer
    return answer.get("set-cookie").split(";")[0]


def status(gate, cookie=None, **headers):
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if cookie is not None:
        fields.append(("cookie", cookie))
    return gate.get(LABEL, "/hello", headers=fields).status


def listed(gate, count):
    """The list, once the gateway has told of that many."""
    def rows():
        found = gate.ok("access", "list", "--json").data["logins"]
        return found if len(found) == count else None
    return harness.until("%d logins are listed" % count, rows)


@pytest.fixture
def secret(gate):
    """alpha's service, behind the secret; nobody is logged in."""
    gate.ok("config", "set", "tunnel.serviceTunnels.access", "secret")
    set_secret(gate, SECRET)
    gate.ok("access", "revoke", "--all")
    return gate


def test_without_a_secret_nobody_gets_in(secret):
    cookie = log_in(secret)
    assert (status(secret, cookie), status(secret, x_wos_secret=SECRET)) == (200, 200)
    secret.ok("config", "unset", "tunnel.serviceTunnels.secret")
    assert 200 not in (status(secret, cookie), status(secret, x_wos_secret=SECRET),
                       status(secret, x_wos_secret=""))


def test_a_login_is_listed_and_revoked(secret):
    first, second = log_in(secret, "one"), log_in(secret, "two")
    rows = listed(secret, 2)
    assert [row["host"] for row in rows] == [secret.host(LABEL)] * 2
    assert {row["address"] for row in rows} == {"127.0.0.1"}
    [mine] = [row for row in rows if row["userAgent"] == "one"]
    assert mine["createdAt"] <= mine["lastSeenAt"] < mine["expiresAt"]
    secret.ok("access", "revoke", mine["id"])
    assert (status(secret, first), status(secret, second)) == (401, 200)
    secret.ok("restart")
    assert (status(secret, first), status(secret, second)) == (401, 200)
    secret.ok("stop")
    secret.ok("start")
    secret.wait_route(LABEL, "/hello", 401)
    assert (status(secret, first), status(secret, second)) == (401, 200)
    listed(secret, 1)


def test_revoke_all_and_a_new_secret_end_every_login(secret):
    cookie = log_in(secret)
    assert status(secret, cookie) == 200
    secret.ok("access", "revoke", "--all")
    assert status(secret, cookie) == 401
    cookie = log_in(secret)
    set_secret(secret, SECRET + ", a new one")
    assert (status(secret, cookie), status(secret, x_wos_secret=SECRET)) == (401, 401)
