"""The certificate engine against a CA that misbehaves, or has what pebble has not."""
import datetime
import email.utils
import json
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from acme_fake import Fake, unb64, urn
from acme_peers import Dns, assert_pair, probe, serial

pytestmark = [
    pytest.mark.skipif(shutil.which("pebble-challtestsrv") is None,
                       reason="pebble is not installed"),
    pytest.mark.no_tsan(
        "the engine has one thread beside keys that are made, which test_acme_engine.py sees"),
]


@pytest.fixture(scope="module")
def folder():
    path = Path(tempfile.mkdtemp(prefix="wos-acme-fake-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def dns(folder):
    server = Dns(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def server(folder):
    fake = Fake(folder / "fake")
    yield fake
    fake.close()


@pytest.fixture
def ca(server):
    server.reset()
    return server


@pytest.fixture
def home(folder):
    return Path(tempfile.mkdtemp(prefix="h-", dir=folder)) / "acme"


@pytest.fixture
def settings(ca, dns, home):
    return {"dir": str(home), "directory": ca.url, "directoryUrl": ca.url,
            "names": ["wos.example", "*.wos.example"], "createCommand": str(dns.hook),
            "deleteCommand": str(dns.hook), "resolvers": ["127.0.0.1:%d" % dns.port]}


def window(start_hours, end_hours):
    now = datetime.datetime.now(datetime.timezone.utc)
    text = [(now + datetime.timedelta(hours=h)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for h in (start_hours, end_hours)]
    return {"suggestedWindow": {"start": text[0], "end": text[1]},
            "explanationURL": "https://ca.example/why"}


def when(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(
        tzinfo=datetime.timezone.utc).timestamp()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_rate_limit_waits_as_long_as_the_ca_says(ca, settings, form):
    until = int(time.time()) + 40 * 3600
    value = "144000" if form == "seconds" else email.utils.formatdate(until, usegmt=True)
    ca.script("/newOrder", (429, {"Retry-After": value},
                            {"type": urn("rateLimited"), "detail": "too many certificates"}))
    run = probe(settings, "renew", "status", "renew", "start", "sleep:300", "status")
    first, second = run.of("result")
    assert first["errorType"] == "rateLimited" and "too many certificates" in first["message"]
    assert abs(first["retryAt"] - until) < 60
    assert abs(when(run.of("status")[0]["nextAt"]) - until) < 60
    assert "the CA wants no attempt before" in second["message"]
    assert ca.count("/newOrder") == 1, "neither by hand nor by the schedule"
    again = probe(settings, "start", "sleep:300", "status")
    assert ca.count("/newOrder") == 1 and abs(when(again.status["nextAt"]) - until) < 60
    assert probe(settings, "force").code == 0


def put_off(home, **changes):
    """The state file as after some failures: nothing for five hours."""
    path = home / "state/tunnel.json"
    state = json.loads(path.read_text())
    later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5 * 3600))
    path.write_text(json.dumps({**state, "failures": 9, "notUntil": later, **changes}))


def waits(settings, **changes):
    """How long the next attempt is waited for with such settings; nothing is tried."""
    status = probe({**settings, **changes}, "status").status
    return when(status["nextAt"]) - time.time()


def test_other_settings_end_the_pause(ca, settings, home):
    """Whatever takes part in an attempt; but no new version, and not what the CA said."""
    error = {"type": urn("serverInternal"), "detail": "no"}
    ca.script("/newOrder", *[(500, {}, error)] * 3)
    assert probe(settings, "renew").code == 1
    put_off(home)
    assert waits(settings) > 4 * 3600
    for change in ({"resolvers": ["127.0.0.1:9"]}, {"propagationTimeoutMs": 30000},
                   {"propagationMs": 1000}, {"hookTimeoutMs": 90000}, {"createCommand": "false"}):
        assert waits(settings, **change) < 60, change
        assert waits(settings) < 60  # back again is another change
        put_off(home)
    trusted = home / "ca.pem"
    for text in ("one", "two"):
        trusted.write_text(text)
        assert waits(settings, caFile=str(trusted)) < 60, text
        put_off(home)
        assert waits(settings, caFile=str(trusted)) > 4 * 3600
    assert waits(settings) < 60
    put_off(home)
    put_off(home, way="")  # of a version that did not keep it
    assert waits(settings) > 4 * 3600
    assert waits(settings, propagationMs=1000) < 60
    ca.script("/newOrder", (429, {"Retry-After": "144000"},
                            {"type": urn("rateLimited"), "detail": "too many certificates"}))
    assert probe(settings, "force").code == 1
    assert waits(settings, propagationMs=2000) > 30 * 3600
    assert probe(settings, "force").code == 0
    due = waits(settings)
    assert waits(settings, propagationMs=3000) > due - 3600  # what is valid is not got anew


def test_passing_errors_are_borne(ca, settings):
    ca.script("/newOrder", (503, {}, b"busy"), (500, {}, b"<html>"))
    ca.script("/dir", (502, {}, b"bad gateway"))
    assert probe(settings, "renew").code == 0
    assert ca.count("/newOrder") == 3 and ca.count("/dir") == 2


def test_bad_nonces_are_retried_but_not_for_ever(ca, settings):
    bad = (400, {}, {"type": urn("badNonce"), "detail": "no"})
    ca.script("/newAccount", *[bad] * 8)
    assert probe(settings, "renew").code == 0
    ca.script("/newOrder", *[bad] * 30)
    run = probe(settings, "force")
    assert run.result["errorType"] == "badNonce"
    assert ca.count("/newOrder") == 1 + 11


def test_new_terms_are_told_with_their_page(ca, settings):
    ca.script("/newOrder", (403, {}, {"type": urn("userActionRequired"), "detail": "terms changed",
                                      "instance": "https://ca.example/agree?a=1"}))
    message = probe(settings, "renew").result["message"]
    assert message.endswith("new terms agreed to: open https://ca.example/agree?a=1"), message


def test_subproblems_are_told(ca, settings):
    ca.script("/newOrder", (403, {}, {
        "type": urn("malformed"), "detail": "some names are refused",
        "subproblems": [{"type": urn("caa"), "detail": "CAA forbids", "identifier":
                         {"type": "dns", "value": "wos.example"}}]}))
    run = probe(settings, "renew")
    assert "some names are refused" in run.result["message"]
    assert "wos.example: CAA forbids (caa)" in run.result["message"]


def test_text_from_the_ca_is_cleaned(ca, settings):
    ca.script("/newOrder", (400, {}, {"type": "x\ny", "detail": "a\x1b[31m\nb" + "c" * 5000}))
    run = probe(settings, "renew")
    assert "\\u001b" not in run.text and "a [31m b" in run.result["message"]
    assert run.result["errorType"] == "" and len(run.result["message"]) < 512


@pytest.mark.parametrize("path,answer,says", [
    ("/dir", (200, {}, b"<html>hello</html>"), "is no ACME directory"),
    ("/dir", (200, {}, {"newNonce": "ftp://x/"}), "newNonce is not an https URL"),
    ("/dir", (404, {}, b"nothing"), "HTTP 404"),
    ("/dir", (200, {}, b"x" * 400000), "cannot reach the CA"),
    ("/newNonce", (200, {"No-Nonce": True}, b""), "Replay-Nonce"),
    ("/newAccount", (201, {}, {"status": "valid"}), "Location"),
    ("/newOrder", (201, {}, {"status": "pending"}), "Location"),
    ("/newOrder", (201, {"Location": "http://127.0.0.1:1/o"}, {"status": "pending"}), "finalize"),
    ("/newOrder", (201, {"Location": "http://127.0.0.1:1/o"}, b"[1,2"), "finalize"),
    ("/authz", (200, {}, {"status": "pending"}), "names no host"),
    ("/authz", (200, {}, {"status": "pending", "identifier": {"type": "dns", "value": "wos.example"},
                          "challenges": [{"type": "http-01"}, 7]}), "no DNS-01 challenge"),
    ("/challenge", (403, {}, {"type": urn("unauthorized"), "detail": "not yours"}), "not yours"),
    ("/finalize", (400, {}, {"type": urn("badCSR"), "detail": "weak key"}), "weak key"),
    ("/order", (200, {}, {"status": "invalid", "error": {"type": urn("caa"), "detail": "CAA!"}}),
     "CAA!"),
    ("/cert", (200, {}, b"not a certificate"), "no certificate in PEM form"),
])
def test_malformed_answers(ca, settings, home, path, answer, says, dns):
    ca.script(path, *[answer] * 20)
    run = probe(settings, "renew", "status")
    assert run.code == 1 and says in run.result["message"], run.text
    assert run.status["state"] == "failed"
    assert dns.txt("_acme-challenge.wos.example") == []
    if path in ("/newOrder", "/authz", "/order", "/cert"):
        ca.scripted.clear()
        assert probe(settings, "force").code == 0
        assert_pair(home)


def test_certificates_that_do_not_fit_are_refused(ca, settings, home):
    assert probe(settings, "renew").code == 0
    before = serial(home)
    ca.names = ["wos.example"]
    run = probe(settings, "force")
    assert run.result["phase"] == "validate-cert" and "*.wos.example" in run.result["message"] or \
        "does not cover" in run.result["message"], run.text
    ca.names = None
    ca.chain = lambda chain: chain + chain
    run = probe(settings, "force")
    assert run.result["phase"] == "validate-cert", run.text
    first = ca.orders["1"]["chain"]
    ca.chain = lambda chain: first
    run = probe(settings, "force")
    assert "does not belong" in run.result["message"]
    assert serial(home) == before
    assert_pair(home)


def test_order_whose_answer_got_lost(ca, settings, home):
    """The CA took the request but its answer did not come: the order is asked, not given up."""
    real = ca.do_finalize

    def lose(h, payload, rest):
        if ca.orders[rest[0]]["csr"]:
            return ca.send(h, 403, {"type": urn("orderNotReady"), "detail": "it is valid"})
        ca.orders[rest[0]]["csr"] = unb64(payload["csr"])
        h.close_connection = True
    ca.do_finalize = lose
    try:
        assert probe(settings, "renew").code == 0
    finally:
        ca.do_finalize = real
    assert ca.count("/finalize") == 2 and ca.count("/newOrder") == 1
    assert_pair(home)


def test_slow_orders(ca, settings, home):
    ca.processing = 2
    run = probe(settings, "renew")
    assert run.code == 0 and ca.count("/order") >= 3


def test_resumed_after_the_ca_went_away(ca, settings, home, dns):
    """The CA breaks down after finalize: the next attempt takes the same order up."""
    ca.script("/cert", *[(503, {"Retry-After": "600"}, b"down")] * 3)
    run = probe(settings, "renew", "status")
    assert run.code == 1 and dns.txt("_acme-challenge.wos.example") == []
    assert (home / "orders/tunnel.json").stat().st_mode & 0o777 == 0o600
    assert abs(when(run.status["nextAt"]) - time.time() - 600) < 60
    ca.scripted.clear()
    run = probe(settings, "force")
    assert run.code == 0 and ca.count("/newOrder") == 1 and ca.count("/finalize") == 1
    assert_pair(home)
    assert not (home / "orders/tunnel.json").exists()


def test_profiles(ca, settings):
    ca.profiles = {"classic": "https://x/", "shortlived": "https://y/"}
    run = probe({**settings, "profile": "tiny"}, "renew")
    assert "classic, shortlived" in run.result["message"] and run.result["isPermanent"]
    assert ca.count("/newOrder") == 0
    assert probe({**settings, "profile": "shortlived"}, "renew").code == 0
    assert ca.payloads("/newOrder")[0]["profile"] == "shortlived"


def test_renewal_information(ca, settings, home):
    asked = []
    ca.renewal_info = lambda cert_id: asked.append(cert_id) or window(48, 49)
    run = probe(settings, "renew", "start", "until:certificate.step", "sleep:500", "status")
    assert run.code == 0
    info = run.status["renewalWindow"]
    assert info["explanationUrl"] == "https://ca.example/why"
    assert when(info["start"]) <= when(run.status["nextAt"]) < when(info["end"])
    assert run.status["nextReason"] == "the CA suggests it"
    # Kept over a restart, and not asked for again at once.
    count = len(asked)
    again = probe(settings, "start", "sleep:300", "status")
    assert again.status["nextAt"] == run.status["nextAt"] and len(asked) == count
    # The order says what it replaces.
    assert "replaces" not in ca.payloads("/newOrder")[0]
    assert probe(settings, "force").code == 0
    assert ca.payloads("/newOrder")[1]["replaces"] == asked[0]
    # A CA that wants it no more gets the order without.
    ca.script("/newOrder", (409, {}, {"type": urn("alreadyReplaced"), "detail": "was"}))
    assert probe(settings, "force").code == 0
    first, second = ca.payloads("/newOrder")[-2:]
    assert "replaces" in first and "replaces" not in second


def age(home, days):
    """The certificate was installed that long ago."""
    path = home / "live/tunnel/meta.json"
    meta = json.loads(path.read_text())
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    meta["issuedAt"] = past.strftime("%Y-%m-%dT%H:%M:%SZ")
    path.write_text(json.dumps(meta))


def test_revocation_ahead_renews_once(ca, settings, home):
    """The window moves into the past: renewed at once, but only once."""
    assert probe(settings, "renew").code == 0
    age(home, 10)
    before = serial(home)
    ca.renewal_info = lambda cert_id: window(-3, -2)
    run = probe(settings, "start", "until:certificate.renewed", "sleep:1500", "status")
    assert serial(home) != before and ca.count("/newOrder") == 2
    assert len(run.of("certificate.renewed")) == 1
    assert run.status["state"] == "active" and when(run.status["nextAt"]) > time.time() + 3600


@pytest.mark.parametrize("answer", [(500, {}, b""), (404, {}, {"type": urn("malformed")}),
                                    (200, {}, b"<html>"), (200, {}, {"suggestedWindow": {}})])
def test_bad_renewal_information_does_no_harm(ca, settings, answer):
    ca.renewal_info = lambda cert_id: window(48, 49)
    ca.script("/ari", *[answer] * 10)
    run = probe(settings, "renew", "start", "sleep:600", "status")
    assert run.code == 0 and run.status["renewalWindow"] is None
    assert run.status["state"] == "active" and run.status["nextReason"].startswith("a good part")
    assert 1 <= ca.count("/ari") <= 3


# --- another e-mail address ------------------------------------------------------------

def accounts(home):
    return {json.loads(f.read_text())["email"]: json.loads(f.read_text())
            for f in home.glob("accounts/*/account.json")}


@pytest.mark.parametrize("status,kind", [
    (429, "rateLimited"), (503, None), (500, "serverInternal"), (400, "invalidContact")])
def test_a_failed_change_of_the_address_makes_no_account(ca, settings, home, status, kind):
    settings["email"] = "old@wos.example"
    assert probe(settings, "renew").code == 0
    settings["email"] = "new@wos.example"
    body = b"busy" if kind is None else {"type": urn(kind), "detail": "not now"}
    ca.script("/account/1", *[(status, {}, body)] * 3)
    run = probe(settings, "force", "force")
    failed, done = run.of("result")
    assert failed["phase"] == "account" and failed["errorType"] == (kind or failed["errorType"])
    assert ca.count("/newAccount") == 1
    if kind in (None, "serverInternal"):  # tried thrice already: the second run is let in
        assert done.get("phase") is None, done
        was = accounts(home)
        assert was["new@wos.example"]["privateKeyPem"] == was["old@wos.example"]["privateKeyPem"]
        assert ca.payloads("/account/1")[-1] == {"contact": ["mailto:new@wos.example"]}
    else:
        assert list(accounts(home)) == ["old@wos.example"]


@pytest.mark.parametrize("kind", ["accountDoesNotExist", "unauthorized"])
def test_an_account_that_is_gone_is_replaced_with_the_new_address(ca, settings, home, kind):
    settings["email"] = "old@wos.example"
    assert probe(settings, "renew").code == 0
    settings["email"] = "new@wos.example"
    ca.script("/account/1", (403, {}, {"type": urn(kind), "detail": "gone"}))
    assert probe(settings, "force").code == 0
    assert ca.count("/newAccount") == 2
    was = accounts(home)
    assert was["new@wos.example"]["privateKeyPem"] != was["old@wos.example"]["privateKeyPem"]
