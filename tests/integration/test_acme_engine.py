"""The certificate engine (acme/) against pebble: issuing, renewing, failing, being killed.

Each test has a home of its own; one pebble (15 % of its nonces refused, authorizations
never reused, three roots) and one DNS server serve the whole file.
"""
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import acme_peers
import harness
from acme_peers import Dns, Pebble, assert_pair, probe, serial, x509

pytestmark = pytest.mark.skipif(shutil.which("pebble") is None, reason="pebble is not installed")
RECORD = "_acme-challenge.wos.example"


@pytest.fixture(scope="module")
def folder():
    path = Path(tempfile.mkdtemp(prefix="wos-acme-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def dns(folder):
    server = Dns(folder)
    yield server
    server.close()


@pytest.fixture(scope="module")
def ca(folder, dns):
    server = Pebble(folder / "pebble", dns, domainBlocklist=["blocked-domain.example"])
    yield server
    server.close()


@pytest.fixture(scope="module")
def issued(folder, ca):
    """A home with a certificate and an account, to be copied."""
    home = folder / "issued"
    run = probe(ca.settings(home), "renew", "status")
    assert run.code == 0, run.text
    return home, run


@pytest.fixture
def home(folder, request):
    path = Path(tempfile.mkdtemp(prefix="h-", dir=folder)) / "acme"
    return path


@pytest.fixture
def copied(home, issued):
    shutil.copytree(issued[0], home)
    return home


def test_issues_domain_and_wildcard(issued, ca, dns, folder):
    home, run = issued
    live = home / "live/tunnel"
    assert run.steps() == ["directory", "account", "order", "authorizations", "dns", "propagation",
                           "respond", "validation", "finalize", "issuance", "download", "cleanup",
                           "install"]
    names = x509(live / "cert.pem", "-ext", "subjectAltName")
    assert "DNS:wos.example" in names and "DNS:*.wos.example" in names
    assert "prime256v1" in x509(live / "cert.pem", "-text")
    assert_pair(home)
    root = folder / "root.pem"
    root.write_text(ca.manage("/roots/0"))
    subprocess.run(["openssl", "verify", "-CAfile", root, "-untrusted", live / "fullchain.pem",
                    live / "cert.pem"], check=True, capture_output=True)
    meta = json.loads((live / "meta.json").read_text())
    assert meta["listenerKind"] == "tunnel" and meta["source"] == "letsencrypt"
    assert meta["directory"] == ca.url and meta["hostnames"] == ["wos.example", "*.wos.example"]
    assert run.status["state"] == "active" and run.status["usable"]
    assert run.status["nextAction"] == "renew" and run.status["failures"] == 0
    assert dns.txt(RECORD) == []


def test_modes_and_secrets(issued):
    home, run = issued
    for path in [home, *home.rglob("*")]:
        assert path.stat().st_mode & 0o7777 == (0o700 if path.is_dir() else 0o600), path
    assert "PRIVATE KEY" not in run.text + run.errors
    account = json.loads(next(home.glob("accounts/*/account.json")).read_text())
    assert sorted(account) == ["accountUrl", "createdAt", "directory", "email", "privateKeyPem"]
    assert account["accountUrl"] == run.status["accountUrl"]


def test_not_due_is_not_renewed(copied, ca):
    before = serial(copied)
    run = probe(ca.settings(copied), "renew", "start", "sleep:300", "status")
    assert run.code == 0 and run.of("certificate") == []
    assert any("not due before" in m for m in run.messages())
    assert serial(copied) == before


def test_forced_renewal_reuses_the_account(copied, ca):
    before, account = serial(copied), json.loads(
        next(copied.glob("accounts/*/account.json")).read_text())
    run = probe(ca.settings(copied), "force", "status")
    assert run.code == 0, run.text
    assert run.of("certificate.renewed") and serial(copied) != before
    assert run.status["accountUrl"] == account["accountUrl"]
    assert_pair(copied)


def test_rsa_key_for_the_certificate(home, ca):
    run = probe(ca.settings(home, keyType="rsa-2048", names=["rsa.example"]), "renew")
    assert run.code == 0, run.text
    assert "Public-Key: (2048 bit)" in x509(home / "live/tunnel/cert.pem", "-text")
    assert_pair(home)


def test_changed_names_and_directory_are_issued_at_once(copied, ca):
    settings = ca.settings(copied, names=["other.example"])
    run = probe(settings, "status", "start", "until:certificate.renewed", "status")
    first, last = run.of("status")
    assert not first["usable"] and first["nextAction"] == "issue"
    assert last["usable"] and "DNS:other.example" in x509(copied / "live/tunnel/cert.pem", "-ext",
                                                          "subjectAltName")
    settings["directory"] = "production"
    run = probe(settings, "status", "start", "until:certificate.renewed", "status")
    assert not run.of("status")[0]["usable"] and run.status["usable"]
    assert json.loads((copied / "live/tunnel/meta.json").read_text())["directory"] == "production"


def test_ca_down_keeps_the_old_certificate(copied, ca):
    before = serial(copied)
    dead = "https://127.0.0.1:%d/dir" % harness.free_port()
    run = probe(ca.settings(copied, directoryUrl=dead), "force", "status")
    assert run.code == 1 and run.result["phase"] == "resolve"
    assert "cannot reach the CA at 127.0.0.1" in run.result["message"]
    assert run.status["usable"] and run.status["state"] == "stale"
    assert run.status["failures"] == 1 and run.status["lastError"]["phase"] == "resolve"
    assert serial(copied) == before
    again = probe(ca.settings(copied, directoryUrl=dead), "status")
    assert again.status["failures"] == 1, "state survives a restart"
    changed = probe(ca.settings(copied), "force", "status")
    assert changed.status["failures"] == 0 and changed.status["lastError"] is None


def test_untrusted_ca_is_refused(home, ca, folder):
    other = folder / "other"
    other.mkdir(exist_ok=True)
    cert, _ = acme_peers.tls_pair(other)
    run = probe(ca.settings(home, caFile=str(cert)), "renew")
    assert run.code == 1 and "certificate" in run.result["message"]


def test_rejected_identifier_is_permanent(home, ca):
    run = probe(ca.settings(home, names=["blocked-domain.example"]), "renew", "status")
    assert run.result["errorType"] == "rejectedIdentifier" and run.result["isPermanent"]
    assert "blocked" in run.result["message"].lower()
    assert run.status["state"] == "failed" and run.status["nextAction"] == "retry"


def test_records_that_are_not_seen_stop_the_order(home, ca, dns):
    lying = home.parent / "lying.sh"
    lying.write_text("#!/bin/sh\n[ $WOS_ACME_HOOK_PHASE = delete ] && exec %s\n"
                     "WOS_ACME_RECORD_NAME=elsewhere.example exec %s\n" % (dns.hook, dns.hook))
    lying.chmod(0o755)
    # The propagation check stops it before the CA is bothered.
    run = probe(ca.settings(home, createCommand=str(lying), deleteCommand=str(lying),
                            propagationTimeoutMs=1500), "renew", "status")
    assert run.result["phase"] == "propagation", run.result
    assert "respond" not in run.steps("running")
    assert dns.txt(RECORD) == []
    # Resumed with the order of before.
    run = probe(ca.settings(home), "renew", "status")
    assert run.code == 0, run.text
    assert any("taking up the order" in m for m in run.messages())
    assert not list(home.glob("orders/*"))


def test_validation_failure_gives_the_order_up(home, ca, dns, folder):
    """We see the records, the CA looks elsewhere: its words are told, nothing is left behind."""
    (folder / "elsewhere").mkdir()
    other = Dns(folder / "elsewhere")
    try:
        run = probe(ca.settings(home, createCommand=str(other.hook), deleteCommand=str(other.hook),
                                resolvers=["127.0.0.1:%d" % other.port]), "renew", "status")
        assert run.result["phase"] == "validation", run.text
        assert "wos.example was not validated: the CA says: " in run.result["message"]
        assert run.result["errorType"] in ("unauthorized", "dns")
        assert other.txt(RECORD) == []
    finally:
        other.close()
    assert not (home / "orders/tunnel.json").exists(), "a dead order is not taken up again"
    assert probe(ca.settings(home), "renew").code == 0


def test_key_type_changed_while_an_order_was_under_way(home, ca):
    """The order and its key are kept, but what is configured now counts."""
    settings = ca.settings(home, names=["key-type.example"])
    assert probe(settings, "renew", PROBE_KILL="validation:done").code == -9
    saved = json.loads((home / "orders/tunnel.json").read_text())
    saved["privateKeyPem"] = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        check=True, capture_output=True, text=True).stdout
    (home / "orders/tunnel.json").write_text(json.dumps(saved))
    run = probe({**settings, "keyType": "ecdsa-p384"}, "renew")
    assert run.code == 0 and any("taking up the order" in m for m in run.messages())
    assert "secp384r1" in x509(home / "live/tunnel/cert.pem", "-text")
    assert_pair(home)


def test_a_failed_withdrawal_is_made_up_for_by_the_next_order(home, ca, dns):
    failing = home.parent / "no-delete.sh"
    failing.write_text("#!/bin/sh\n[ $WOS_ACME_HOOK_PHASE = create ] || exit 4\nexec %s\n" % dns.hook)
    failing.chmod(0o755)
    names = ["left.example"]
    run = probe(ca.settings(home, names=names, createCommand=str(failing),
                            deleteCommand=str(failing)), "renew")
    assert run.code == 0 and len(dns.txt("_acme-challenge.left.example")) == 1
    [journal] = home.glob("orders/*.dns.json")
    left = json.loads(journal.read_text())["records"]
    assert len(left) == 1
    again = probe(ca.settings(home, names=names, createCommand=str(failing),
                              deleteCommand=str(failing)), "force")
    assert again.code == 0, "it still cannot be withdrawn, and the order goes on"
    assert left[0] in json.loads(journal.read_text())["records"]
    run = probe(ca.settings(home, names=names), "force")
    assert run.code == 0 and run.steps()[0] == "sweep"
    assert dns.txt("_acme-challenge.left.example") == [] and not journal.exists()


def test_hook_failure_withdraws_the_first_record(home, ca, dns):
    failing = home.parent / "failing.sh"
    failing.write_text("#!/bin/sh\ncase $WOS_ACME_HOOK_PHASE-$WOS_ACME_RECORD_NAME in\n"
                       "create-*.two.example) echo no such zone >&2; exit 4 ;;\nesac\nexec %s\n" % dns.hook)
    failing.chmod(0o755)
    names = ["one.example", "two.example"]
    run = probe(ca.settings(home, names=names, createCommand=str(failing),
                            deleteCommand=str(failing)), "renew")
    assert run.result["phase"] == "hook-create" and "no such zone" in run.result["message"]
    assert dns.txt("_acme-challenge.one.example") == []
    assert not (home / "live/tunnel").exists()


def test_external_account_binding(home, folder, dns):
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    server = Pebble(folder / "eab", dns, externalAccountBindingRequired=True,
                    externalAccountMACKeys={"kid-1": key})
    try:
        run = probe(server.settings(home), "renew")
        assert run.result["errorType"] == "externalAccountRequired"
        assert "letsencrypt.eab" in run.result["message"]
        wrong = {"kid": "kid-1", "hmacKey": key[:-4] + "AAAA"}
        run = probe(server.settings(home, eab=wrong), "renew")
        assert run.code == 1 and run.result["phase"] == "account"
        assert wrong["hmacKey"] not in run.text + run.errors
        run = probe(server.settings(home, eab={"kid": "kid-1", "hmacKey": key}), "renew")
        assert run.code == 0, run.text
    finally:
        server.close()


def test_preferred_chain(home, ca, folder):
    roots = []
    for i in range(3):
        path = folder / ("root%d.pem" % i)
        path.write_text(ca.manage("/roots/%d" % i))
        roots.append(x509(path, "-subject", "-nameopt", "multiline").split("=")[-1].strip())
    run = probe(ca.settings(home, preferredChain=roots[2], names=["chain.example"]), "renew")
    assert run.code == 0, run.text
    subprocess.run(["openssl", "verify", "-CAfile", folder / "root2.pem", "-untrusted",
                    home / "live/tunnel/fullchain.pem", home / "live/tunnel/cert.pem"], check=True,
                   capture_output=True)
    text = (home / "live/tunnel/fullchain.pem").read_text()
    intermediate = home.parent / "intermediate.pem"
    intermediate.write_text("-----BEGIN" + text.split("-----BEGIN")[2])
    assert roots[2] in x509(intermediate, "-issuer")
    run = probe(ca.settings(home, preferredChain="No Such Root", names=["chain.example"]), "force")
    assert run.code == 0 and any("preferredChain" in m for m in run.messages())


def test_revoke(copied, ca):
    number = serial(copied).split("=")[1].lower()
    assert '"Valid"' in ca.manage("/cert-status-by-serial/" + number)
    run = probe(ca.settings(copied), "revoke", "status", "revoke")
    first, second = run.of("result")
    assert "phase" not in first and "no stored certificate" in second["message"]
    assert '"Revoked"' in ca.manage("/cert-status-by-serial/" + number)
    assert not run.status["usable"] and not (copied / "live/tunnel").exists()


def test_deactivated_account_is_replaced(home, ca):
    settings = ca.settings(home, names=["gone.example"])
    run = probe(settings, "renew", "status", "deactivate", "status", "deactivate")
    assert run.of("status")[0]["accountUrl"] and run.of("status")[1]["accountUrl"] is None
    assert "there is no account" in run.result["message"]
    assert list(home.glob("accounts/*/account.json")) == []
    # Deactivated, but the file is still there (another machine did it).
    probe(settings, "force")
    saved = next(home.glob("accounts/*/account.json"))
    text = saved.read_text()
    probe(settings, "deactivate")
    saved.parent.mkdir(mode=0o700)
    saved.write_text(text)
    saved.chmod(0o600)
    run = probe(settings, "force", "status")
    assert run.code == 0, run.text
    assert run.status["accountUrl"] != json.loads(text)["accountUrl"]


def test_reference_account_with_rsa_key(home, ca):
    """A file as the reference writes it; the CA does not know the account any more."""
    pem = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt",
                          "rsa_keygen_bits:2048"], check=True, capture_output=True, text=True).stdout
    settings = ca.settings(home, names=["rsa-account.example"], email="Probe@Example.org")
    import hashlib
    digest = hashlib.sha256((ca.url + "\nprobe@example.org").encode()).hexdigest()[:16]
    path = home / "accounts" / digest / "account.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"directory": ca.url, "email": "probe@example.org",
                                "accountUrl": ca.url.replace("/dir", "/my-account/1"),
                                "privateKeyPem": pem, "createdAt": "2025-01-01T00:00:00.000Z"}))
    run = probe(settings, "renew", "status")
    assert run.code == 0, run.text
    saved = json.loads(path.read_text())
    assert saved["privateKeyPem"] == pem and saved["accountUrl"] == run.status["accountUrl"]


def test_forgetful_ca(home, folder, dns):
    server = Pebble(folder / "forgetful", dns)
    try:
        assert probe(server.settings(home), "renew").code == 0
        server.restart()
        run = probe(server.settings(home), "force", "status")
        assert run.code == 0, run.text
        assert run.status["state"] == "active"
    finally:
        server.close()


def test_changed_email_keeps_the_account(copied, ca):
    run = probe(ca.settings(copied, email="new@example.org"), "force", "status")
    assert run.code == 0, run.text
    urls = {json.loads(p.read_text())["accountUrl"] for p in copied.glob("accounts/*/account.json")}
    assert urls == {run.status["accountUrl"]}


def test_lock(copied, ca):
    lock = copied / "locks/tunnel.lock"
    lock.write_text(json.dumps({"pid": os.getpid(), "token": "t", "acquiredAt": "x"}))
    run = probe(ca.settings(copied), "force", "status")
    assert run.result["errorType"] == "busy" and str(os.getpid()) in run.result["message"]
    assert run.status["failures"] == 0
    os.utime(lock, (1000, 1000))
    assert probe(ca.settings(copied), "force").code == 0
    assert not lock.exists()


def test_two_at_once_make_one_certificate(home, ca):
    settings = ca.settings(home, names=["twice.example"])
    children = [acme_peers.start_probe(settings, "renew") for _ in range(2)]
    runs = [acme_peers.end_probe(child) for child in children]
    issued = [r for r in runs if r.of("certificate.issued")]
    assert len(issued) == 1, [r.text for r in runs]
    others = [r for r in runs if r not in issued]
    assert others[0].code == 0 or others[0].result["errorType"] == "busy"
    assert_pair(home)


def test_readable_key_is_repaired_and_reported(copied, ca):
    (copied / "live/tunnel/key.pem").chmod(0o644)
    run = probe(ca.settings(copied), "status")
    assert "mode 0644" in run.of("certificate.warning")[0]["message"]
    assert (copied / "live/tunnel/key.pem").stat().st_mode & 0o777 == 0o600


def test_dry_run_installs_nothing(home, ca, dns):
    run = probe(ca.settings(home, names=["dry.example"]), "dry-run", "status")
    assert run.code == 0, run.text
    assert "download" in run.steps() and "install" not in run.steps()
    assert not run.status["usable"] and run.status["lastAttemptAt"] is None
    assert list((home / "live").iterdir()) == [] and list((home / "orders").iterdir()) == []
    assert dns.txt("_acme-challenge.dry.example") == []


@pytest.mark.parametrize("where", ["directory:running", "account:running", "authorizations:running",
                                   "dns:running", "dns:done", "propagation:running",
                                   "validation:running", "finalize:running", "cleanup:running"])
def test_cancelled_anywhere(copied, ca, dns, where):
    before = serial(copied)
    run = probe(ca.settings(copied), "force", "status", PROBE_CANCEL=where)
    if where != "cleanup:running":  # there it is done already
        assert run.result["phase"] == "cancelled", run.text
        assert serial(copied) == before
        assert run.status["failures"] == 0
    assert dns.txt(RECORD) == []
    assert_pair(copied)


@pytest.mark.parametrize("where", ["account:running", "dns:done", "validation:running",
                                   "finalize:running", "cleanup:running"])
def test_freed_anywhere(copied, ca, dns, where):
    probe(ca.settings(copied), "force", PROBE_FREE=where)
    run = probe(ca.settings(copied), "start", "renew", "status")
    assert run.code == 0 and run.status["usable"], run.text
    assert dns.txt(RECORD) == []
    assert_pair(copied)


STATES = ["directory:running", "account:running", "account:done", "order:done",
          "authorizations:done", "dns:running", "dns:done", "propagation:done", "respond:done",
          "validation:done", "finalize:running", "finalize:done", "issuance:done", "download:done",
          "cleanup:running", "cleanup:done", "install:running", "install:done"]


@pytest.mark.parametrize("where", STATES)
def test_killed_anywhere_then_restarted(copied, ca, dns, where):
    """kill -9 in a renewal: the old certificate or the new one, no TXT record left, and what the
    CA has made is not thrown away."""
    before = serial(copied)
    settings = ca.settings(copied)
    killed = probe(settings, "force", PROBE_KILL=where)
    assert killed.code == -9, killed.text
    run = probe(settings, "start", "renew", "status")
    assert run.code == 0 and run.status["usable"], run.text
    assert_pair(copied)
    assert dns.txt(RECORD) == []
    assert list(copied.glob("orders/*.dns.json")) == []
    made = STATES.index(where) >= STATES.index("finalize:done")
    assert (serial(copied) != before) == made, run.text
    if made and where != "install:done":
        assert any("taking up the order" in m for m in run.messages()), run.text


@pytest.mark.parametrize("where", ["account:running", "dns:done", "finalize:done", "install:done"])
def test_killed_at_the_first_issuance(home, ca, dns, where):
    settings = ca.settings(home)
    assert probe(settings, "renew", PROBE_KILL=where).code == -9
    run = probe(settings, "start", "renew", "status")
    assert run.code == 0 and run.status["usable"], run.text
    assert_pair(home)
    assert dns.txt(RECORD) == []
    assert len(list(home.glob("accounts/*"))) == 1
