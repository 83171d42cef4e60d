"""The login page in a real browser, without JavaScript."""
import json
import os

import pytest

import harness
from edge import Edge
from test_access import APP, OTHER, SECRET, backend  # noqa: F401 (a fixture)
from test_realworld import CHROMIUM, node_modules  # noqa: F401 (a fixture)

pytestmark = pytest.mark.own_network


@pytest.mark.parametrize("tls", [True, False])
def test_a_person_gets_in_and_out(backend, node_modules, tls):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with Edge(["%s=%d,secret" % (APP, backend), "%s=%d" % (OTHER, backend)], secret=SECRET,
              tls=tls) as edge:
        url = edge.origin(APP) + "/hello"
        options = {"url": url, "other": edge.origin(OTHER), "secret": SECRET,
                   "chromium": CHROMIUM, "shots": os.environ.get("WOS_TEST_SHOTS")}
        done = harness.browser_script("login.mjs", options)
        assert done.returncode == 0, done.stdout + done.stderr
        seen = json.loads(done.stdout)
        assert seen["title"] == seen["after"] == "Secret needed"
        assert seen["alert"] == "That is not the secret."
        assert seen["inside"].strip() == "hello from app"
        [cookie] = seen["cookies"]
        assert cookie["name"] == ("__Host-wos-access" if tls else "wos-access")
        assert cookie["httpOnly"] and cookie["sameSite"] == "Lax" and cookie["secure"] == tls
        assert (seen["left"], seen["tossed"]) == (0, 0)
        assert seen["attack"] == "Forbidden"
        for line in ("401 GET /hello", "401 POST /.wos/login", "303 POST /.wos/login",
                     "200 GET /hello", "405 GET /.wos/logout", "303 POST /.wos/logout",
                     "401 GET /", "403 POST /.wos/login"):
            assert line in seen["statuses"], (line, seen["statuses"])
