"""The edge page and a certificate of a CA: next renewal, the renew button, the last error."""
import shutil

import pytest

import harness
from acme_peers import Pebble
from certs_world import certificate, is_pebble, letsencrypt, shown, until_issued
from test_acme import dns, folder  # noqa: F401 (fixtures)
from test_realworld import CHROMIUM, node_modules  # noqa: F401 (a fixture)
from test_web_ui import browse

pytestmark = [pytest.mark.own_network, pytest.mark.skipif(
    shutil.which("pebble") is None, reason="pebble is not installed")]


def test_renew_from_the_page(make_wos, folder, dns, node_modules):  # noqa: F811
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    ca = Pebble(folder / "pebble", dns)
    try:
        wos = make_wos(ssl=letsencrypt(ca, dns))
        wos.deploy(harness.shell_app(web=harness.python_service("web")))
        wos.up("alpha")
        until_issued(wos)
        first = shown(wos.port)
        assert is_pebble(first)

        def do(what):
            if what == "renewed":
                harness.until("another certificate is shown",
                              lambda: shown(wos.port)["serial"] != first["serial"])
            else:
                ca.close()
        seen = browse(wos, "renew", do)
        assert certificate(wos)["lastError"]["message"] in seen["error"]
    finally:
        ca.close()
    assert "letsencrypt" in seen["certificate"] and "UTC" in seen["certificate"]
    assert "Pebble" in seen["certificate"] and "Last errornone" in seen["certificate"]
    assert "*.wos.localhost" in seen["certificate"]
