"""Certificates from a CA through the daemon and the gateway, against a real pebble."""
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

import clients
import harness
from acme_peers import Dns, Pebble
from certs_world import (NAME, RECORD, assert_bundle, certificate, daemon_log, events,
                         everything_said, is_pebble, letsencrypt, post, script, shown,
                         until_failed, until_issued, verify)

pytestmark = pytest.mark.skipif(shutil.which("pebble") is None, reason="pebble is not installed")
ONE = harness.shell_app(web=harness.python_service("web"))


@pytest.fixture(scope="module")
def folder():
    path = Path(tempfile.mkdtemp(prefix="wos-ca-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def dns(folder):
    server = Dns(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def ca(folder, dns):
    server = Pebble(folder / "pebble", dns)
    yield server
    server.close()


@pytest.fixture(scope="module")
def world(ca, dns):
    """One running wos with a certificate of the CA and a service, for tests that leave it good."""
    wos = harness.Wos(ssl=letsencrypt(ca, dns))
    try:
        wos.deploy(ONE)
        wos.up("alpha")
        wos.first = shown(wos.port)
        until_issued(wos)
        yield wos
    finally:
        problems = wos.close()
        if problems:
            pytest.fail("\n".join(problems) + "\n" + wos.logs(), pytrace=False)


def renewed(wos, *args):
    result = wos.run("cert", "renew", "--force", *args)
    assert result.code == 0, result
    return result


def test_first_issuance_is_shown_by_the_gateway(world, ca, dns):
    seen = shown(world.port)
    assert is_pebble(seen) and sorted(seen["names"]) == ["*.wos.localhost", "wos.localhost"]
    assert verify(world, ca).count("BEGIN CERTIFICATE") >= 2
    assert dns.txt(RECORD) == []
    assert_bundle(world)
    status = world.ok("cert", "status").out
    for text in ("letsencrypt", "*.wos.localhost", "Pebble", "until", "next", "renew"):
        assert text in status, status
    assert "error" not in status


def test_renewal_forced(world):
    before = shown(world.port)["serial"]
    result = renewed(world)
    assert shown(world.port)["serial"] != before  # served when the command ends
    for text in ("TXT records", "Propagation", "Installation", "In use"):
        assert "✓ " + text in result.err, result
    assert_bundle(world)
