"""More of certificates from a CA through the daemon: Cloudflare's API (a stand-in), two listeners side by
side, a CA that limits, suggests times and issues for days only, and the daemon killed at each of its answers."""
import datetime
import json
import os
import shutil
import signal
import ssl
import tempfile
import time
from pathlib import Path

import pytest

import cloudflare
import fakedns
import harness
from acme_fake import Fake, urn
from acme_peers import Dns, Pebble, tls_pair
from certs_world import (NAME, RECORD, assert_bundle, certificate, everything_said, is_pebble,
                         letsencrypt, shown, until_failed, until_issued, until_shown, verify)

pytestmark = [
    pytest.mark.skipif(shutil.which("pebble") is None, reason="pebble is not installed"),
    pytest.mark.no_tsan(
        "the engine has one thread beside keys that are made, which test_acme_engine.py sees"),
]
TOKEN = "kMGeX2sbN6_7xhk0Ct7U-token-of-the-tests"
ZONE = "wos.localhost"


@pytest.fixture(scope="module")
def folder():
    path = Path(tempfile.mkdtemp(prefix="wos-cb-"))
    yield path
    shutil.rmtree(path)


# Cloudflare, with DNS servers of the tests' own.

class Cloud:
    def __init__(self, folder):
        self.net = fakedns.Net(harness.free_port())
        self.net.zone(ZONE, [self.net.authority("ns1"), self.net.authority("ns2")])
        self.api = cloudflare.Cloudflare(self.net)
        self.zone = self.api.add_zone(ZONE)
        self.api.add_token(TOKEN, {ZONE: {"read", "edit"}})
        self.ca = Pebble(folder / "cloud", self.net)

    def ssl(self, **challenge):
        resolver = "127.0.0.1:%d" % self.net.port
        block = {"email": "admin@example.com", "acceptTerms": True, "directory": self.ca.url,
                 "caFile": str(self.ca.ca_file), "resolvers": [resolver],
                 "challenge": {"type": "dns-01", "provider": "cloudflare",
                               "apiBaseUrl": self.api.url, **challenge}}
        return {"enabled": True, "source": "letsencrypt", "letsencrypt": block}

    def close(self):
        self.ca.close()
        self.api.close()
        self.net.close()


@pytest.fixture(scope="module")
def cloud(folder):
    made = Cloud(folder)
    yield made
    made.close()


def test_cloudflare_token_from_a_file(make_wos, cloud, folder):
    """Issued, withdrawn, and the token is nowhere but in its file and in the requests."""
    secret, trusted = folder / "token", folder / "trusted.pem"
    secret.write_text("a-token-that-was-rolled-meanwhile-012345\n")
    secret.chmod(0o600)
    (folder / "other").mkdir()
    trusted.write_text(tls_pair(folder / "other")[0].read_text())
    block = cloud.ssl(apiTokenFile=str(secret))
    block["letsencrypt"]["caFile"] = str(trusted)
    wos = make_wos(ssl=block)
    wos.ok("start")
    assert "cannot reach the CA" in until_failed(wos)["lastError"]["message"]
    # Both files are mended under a daemon that runs: each is read anew.
    trusted.write_text(cloud.ca.ca_file.read_text())
    result = wos.run("cert", "renew")
    assert result.code == 1 and "copied whole" in result.err, result
    assert "token: " in wos.run("doctor", "cert", "--json").json["error"]["message"]
    secret.write_text(TOKEN + "\n")
    checks = wos.run("doctor", "cert", "--json").data["checks"]
    assert [c["check"] for c in checks if not c["ok"]] == ["certificate"], checks
    wos.ok("cert", "issue", "--dry-run")
    # Another token ends the pause of six hours after the last one.
    assert until_issued(wos)["challengeProvider"] == "cloudflare"
    harness.until("it is shown", lambda: is_pebble(shown(wos.port)))
    assert cloud.api.contents(RECORD) == []
    assert any(m == "POST" for m, _, _ in cloud.api.requests)
    doctor = wos.ok("doctor", "cert", "--json")
    assert [c["check"] for c in doctor.data["checks"]][:2] == ["token", "zone"]
    assert all(c["ok"] for c in doctor.data["checks"]) and cloud.api.contents(RECORD) == []
    assert TOKEN not in everything_said(wos)
    assert TOKEN not in doctor.out


def test_cloudflare_refusing_names_the_one_thing(make_wos, cloud):
    """A token that is none: the stand-in serves, each place says it, none shows the token."""
    wrong = "a-token-that-is-not-known-to-anybody-0123"
    wos = make_wos(ssl=cloud.ssl(apiTokenEnv="WOS_TEST_TOKEN"))
    wos.ok("start", env=wos.env(WOS_TEST_TOKEN=wrong))
    cert = until_failed(wos)
    assert not is_pebble(shown(wos.port)) and cert["lastError"]["phase"].startswith("cloudflare")
    doctor = wos.run("doctor", "cert", "--json")
    first = [c["check"] for c in doctor.data["checks"] if not c["ok"]][0]
    assert doctor.code == 1 and first == "token" and doctor.json["error"]["message"].startswith("token: ")
    assert wrong not in everything_said(wos) + doctor.out + doctor.err
    unset = make_wos(ssl=cloud.ssl(apiTokenEnv="WOS_TEST_TOKEN_UNSET"))
    unset.ok("start")
    assert "WOS_TEST_TOKEN_UNSET" in until_failed(unset)["lastError"]["message"]


def test_doctor_of_cloudflare(make_wos, cloud):
    """Pebble names no CAA identity, so that step is left out."""
    wos = make_wos(ssl=cloud.ssl(apiToken=TOKEN))
    wos.ok("start")
    until_issued(wos)
    checks = [c["check"] for c in wos.ok("doctor", "cert", "--json").data["checks"]]
    assert checks == ["token", "zone", "txt", "visible", "withdraw", "ca", "account", "certificate",
                      "gateway"]
    assert TOKEN not in everything_said(wos)


def test_web_and_tunnel_side_by_side(make_wos, cloud):
    """The UI's name lies deeper than the wildcard reaches: its own certificate, by SNI."""
    ui = "ui.deep.wos.localhost"
    port = harness.free_port()
    wos = make_wos(ssl=cloud.ssl(apiToken=TOKEN), tunnel={
        "webUi": {"enabled": True, "subdomain": "ui.deep.wos.localhost", "secret": "long-enough-secret"}},
        config={"web": {"port": port, "ssl": cloud.ssl(apiToken=TOKEN)}})
    wos.ok("start")
    until_issued(wos)
    until_issued(wos, "web")
    harness.until("both are shown", lambda: is_pebble(shown(wos.port, ui)))
    assert ui in shown(wos.port, ui)["names"]
    assert "*.wos.localhost" in shown(wos.port, NAME)["names"]
    assert shown(port, ui)["names"] == [ui]
    verify(wos, cloud.ca, name=ui)
    verify(wos, cloud.ca, port=port, name=ui)
    before, tunnel = shown(port, ui)["serial"], shown(wos.port)["serial"]
    wos.ok("cert", "renew", "--force", "--kind", "web")
    assert shown(port, ui)["serial"] != before and shown(wos.port)["serial"] == tunnel
    assert cloud.api.contents("_acme-challenge." + ui) == []


# A CA that does what pebble does not.

@pytest.fixture(scope="module")
def dns(folder):
    server = Dns(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def fake(folder):
    made = Fake(folder / "fake")
    made.ca_file, key = tls_pair(folder / "fake")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.ca_file, key)
    made.server.socket = context.wrap_socket(made.server.socket, server_side=True)
    made.base = made.base.replace("http:", "https:")
    made.url = made.base + "/dir"
    yield made
    made.close()


@pytest.fixture
def ca(fake):
    fake.reset()
    return fake


def until_fake(wos):
    return until_shown(wos, harness.until("issued", lambda: (
        lambda c: c if c["state"] == "active" and "Fake Root" in c["issuer"] else None
    )(certificate(wos)), timeout=60))


def window(start_hours, end_hours):
    now = datetime.datetime.now(datetime.timezone.utc)
    text = [(now + datetime.timedelta(hours=h)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for h in (start_hours, end_hours)]
    return {"suggestedWindow": {"start": text[0], "end": text[1]}}


def seconds_until(text):
    when = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    return when.replace(tzinfo=datetime.timezone.utc).timestamp() - time.time()


def test_rate_limit_is_waited_for(make_wos, ca, dns):
    ca.script("/newOrder", (429, {"Retry-After": "7200"},
                            {"type": urn("rateLimited"), "detail": "too many certificates"}))
    wos = make_wos(ssl=letsencrypt(ca, dns))
    wos.ok("start")
    cert = until_failed(wos)
    assert cert["lastError"]["type"] == "rateLimited"
    assert 7000 < seconds_until(cert["nextAt"]) < 7300
    result = wos.run("cert", "renew")
    assert result.code == 1 and "the CA wants no attempt before" in result.err
    wos.ok("restart")
    assert 7000 < seconds_until(certificate(wos)["nextAt"]) < 7300  # not forgotten
    assert ca.count("/newOrder") == 1
    wos.ok("cert", "renew", "--force")
    assert "Fake Root" in shown(wos.port)["issuer"]


@pytest.mark.parametrize("days,share", [(6, 0.5), (45, 2 / 3), (90, 2 / 3)])
def test_lifetimes(make_wos, ca, dns, days, share):
    """When the next one is due; and no loop: one order only."""
    ca.days = days
    wos = make_wos(ssl=letsencrypt(ca, dns))
    wos.ok("start")
    cert = until_fake(wos)
    due = seconds_until(cert["nextAt"]) / 86400
    assert days * share * 0.85 < due < days * share * 1.15, cert
    assert wos.ok("cert", "renew").err.count("not due before") == 1
    assert ca.count("/newOrder") == 1


def test_the_ca_suggests_now(make_wos, ca, dns):
    """A window in the past (the CA is about to revoke): renewed by itself, once, with `replaces`."""
    wos = make_wos(ssl=letsencrypt(ca, dns))
    wos.ok("start")
    first = until_fake(wos)
    wos.ok("stop")
    meta = wos.home / "certs/acme/live/tunnel/meta.json"
    text = json.loads(meta.read_text())
    text["issuedAt"] = "2025-01-01T00:00:00Z"
    meta.write_text(json.dumps(text))
    ca.renewal_info = lambda cert_id: window(-3, -2)
    wos.ok("start")
    renewed = harness.until("renewed", lambda: (lambda c: c if c["fingerprint"] != first["fingerprint"]
                                                and c["state"] == "active" else None)(certificate(wos)))
    assert ca.count("/newOrder") == 2 and "replaces" in ca.payloads("/newOrder")[1]
    until_shown(wos, renewed)


def test_profile(make_wos, ca, dns):
    ca.profiles = {"classic": "https://x/", "shortlived": "https://y/"}
    wos = make_wos(ssl=letsencrypt(ca, dns, profile="shortlived"))
    wos.ok("start")
    assert until_fake(wos)["profile"] == "shortlived"
    assert ca.payloads("/newOrder")[0]["profile"] == "shortlived"


# Killed.

class Killer:
    """Kills the daemon when the CA is asked for something, before or after it answers."""

    def __init__(self, ca, wos):
        self.ca, self.wos, self.prefix, self.original = ca, wos, None, ca.answer
        ca.answer = self.answer

    def answer(self, handler, body):
        hit = self.prefix is not None and handler.path.startswith(self.prefix[1])
        if hit:
            when, self.prefix = self.prefix[0], None
            if when == "before":
                self.kill()
        self.original(handler, body)
        if hit and when == "after":
            handler.wfile.flush()
            self.kill()

    def kill(self):
        os.kill(self.wos.daemon_pid(), signal.SIGKILL)

    def close(self):
        self.ca.answer = self.original


@pytest.fixture(scope="module")
def victim(fake, dns):
    fake.reset()
    wos = harness.Wos(ssl=letsencrypt(fake, dns))
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    until_fake(wos)
    yield wos
    problems = wos.close()
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


STEPS = [("before", "/dir"), ("before", "/newOrder"), ("after", "/newOrder"), ("after", "/authz"),
         ("before", "/challenge"), ("after", "/challenge"), ("before", "/finalize"),
         ("after", "/finalize"), ("before", "/cert"), ("after", "/cert")]


@pytest.mark.parametrize("step", STEPS, ids=lambda s: "-".join(s).replace("/", ""))
def test_kill_9_at_every_answer(victim, ca, dns, step):
    """The old certificate is served on; the next daemon withdraws the records and goes on."""
    wos = victim
    before = shown(wos.port)["serial"]
    killer = Killer(ca, wos)
    try:
        killer.prefix = step
        result = wos.run("cert", "renew", "--force")
        assert result.code == 1 and killer.prefix is None, result
    finally:
        killer.close()
    seen = shown(wos.port)  # the gateway is alone
    assert "Fake Root" in seen["issuer"] and wos.get("alpha-web", "/hello", **trust(wos)).status == 200
    if step != ("after", "/cert"):
        assert seen["serial"] == before
    wos.ok("start")
    until_fake(wos)
    harness.until("the records are withdrawn", lambda: dns.txt(RECORD) == [])
    wos.ok("cert", "renew", "--force")
    assert shown(wos.port)["serial"] != before
    assert dns.txt(RECORD) == []
    assert_bundle(wos)


def trust(wos):
    wos._ca = str(wos.home / "certs/acme/live/tunnel/fullchain.pem")  # ends with the root
    return {}
