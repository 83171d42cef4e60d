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
from datetime import datetime
from pathlib import Path

import pytest

import clients
import harness
from acme_peers import Dns, Pebble
from certs_world import (NAME, RECORD, assert_bundle, certificate, daemon_log, events,
                         everything_said, is_pebble, letsencrypt, post, script, shown,
                         until_failed, until_issued, verify)
from test_api import history

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
    seen = harness.until("the certificate is there", lambda: is_pebble(
        shown(world.port)) and shown(world.port))
    assert sorted(seen["names"]) == ["*.wos.localhost", "wos.localhost"]
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


def test_not_due_is_said(world):
    before = shown(world.port)["serial"]
    result = world.ok("cert", "renew")
    assert "not due before" in result.err and shown(world.port)["serial"] == before
    data = world.ok("cert", "renew", "--json").data
    assert data["renewals"][0]["listenerKind"] == "tunnel"
    assert data["renewals"][0]["steps"][0]["step"] == "schedule"


def test_stand_in_until_the_first_certificate(make_wos, ca, dns, folder):
    """Nothing waits for the CA: services are served at once, and the change drops no connection."""
    gate, both, running = folder / "gate", folder / "both", folder / "running"
    hook = script(folder, "gated.sh", """mkdir %s || touch %s
while [ ! -e %s ]; do sleep 0.1; done
%s
status=$?
rmdir %s
exit $status
""" % (running, both, gate, dns.hook, running))
    wos = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": hook, "deleteCommand": hook}))
    wos.deploy(ONE)
    wos.up("alpha")
    assert not is_pebble(shown(wos.port))
    with wos.h1("alpha-web") as client:  # trusts the local CA only
        assert client.request("GET", "/hello").status == 200
        seen = certificate(wos)
        assert seen["state"] == "issuing" and "local CA" in seen["warning"] and seen["caPath"]
        doctors = []
        doctor = threading.Thread(target=lambda: doctors.append(wos.ok("doctor", "cert", "--json")))
        doctor.start()
        harness.until("the doctor waits", lambda: "wait" in [
            e[2]["event"]["step"] for e in history(wos.web_port) if e[1] == "certificate.step"])
        gate.touch()
        until_issued(wos)
        doctor.join()
        assert not both.exists(), "two hook commands ran at the same time"
        assert [c["check"] for c in doctors[0].data["checks"]] == [
            "txt", "visible", "withdraw", "ca", "account", "certificate",
            "gateway"], "the order under way is not the doctor's"
        assert is_pebble(shown(wos.port))
        assert client.request("GET", "/hello").status == 200


def test_rsa_key_and_the_state_survives(make_wos, ca, dns):
    wos = make_wos(ssl=letsencrypt(ca, dns, keyType="rsa-2048"))
    wos.ok("start")
    first = until_issued(wos)
    assert "RSA" in verify(wos, ca).replace("rsaEncryption", "RSA")
    wos.ok("restart")
    again = certificate(wos)
    assert again["fingerprint"] == first["fingerprint"] and again["state"] == "active"
    assert again["nextAction"] == "renew" and again["lastSuccessAt"] == first["lastSuccessAt"]


# What goes wrong. Each ends with the stand-in or the old certificate, and a sentence.

def test_ca_down(world, make_wos, ca, dns):
    dead = "https://127.0.0.1:%d/dir" % harness.free_port()
    wos = make_wos(ssl=letsencrypt(ca, dns, directory=dead))
    wos.ok("start")
    cert = until_failed(wos)
    assert cert["state"] == "failed" and cert["nextAction"] == "retry" and cert["nextAt"]
    assert "cannot reach the CA" in cert["lastError"]["message"]
    assert not is_pebble(shown(wos.port))
    said = [e[2]["event"] for e in history(wos.web_port) if e[1] == "certificate.failed"]
    assert said == [{"type": "certificate.failed", "listenerKind": "tunnel", "source": "letsencrypt",
                     "hostnames": ["wos.localhost", "*.wos.localhost"],
                     "phase": cert["lastError"]["phase"], "errorType": "",
                     "message": cert["lastError"]["message"], "nextAt": cert["nextAt"]}]
    result = wos.run("cert", "renew", "--force")
    assert result.code == 1 and "cannot reach the CA" in result.err, result
    doctor = wos.run("doctor", "cert")
    assert doctor.code == 1 and "✗ CA: " in doctor.err, doctor
    assert "cannot reach the CA" in wos.ok("cert", "status").out


def test_hook_failing_keeps_the_old_one(make_wos, ca, dns, folder):
    broken = folder / "broken"
    hook = script(folder, "sometimes.sh", "[ -e %s ] && { echo the zone is locked >&2; exit 9; }\n"
                  "exec %s\n" % (broken, dns.hook))
    wos = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": hook}))
    wos.ok("start")
    before = until_issued(wos)
    broken.touch()
    result = wos.run("cert", "renew", "--force")
    assert result.code == 1 and "exit=9" in result.err and "the zone is locked" in result.err
    assert "✗ TXT records" in result.err
    cert = certificate(wos)
    assert cert["state"] == "stale" and cert["fingerprint"] == before["fingerprint"]
    assert cert["lastError"]["phase"] == "hook-create" and "zone is locked" in cert["lastError"]["message"]
    assert is_pebble(shown(wos.port)) and dns.txt(RECORD) == []
    assert "zone is locked" in daemon_log(wos)
    doctor = wos.run("doctor", "cert", "--json")
    assert doctor.code == 1 and "zone is locked" in doctor.json["error"]["message"]
    failed = [c["check"] for c in doctor.data["checks"] if not c["ok"]]
    assert failed[0] == "txt", doctor
    broken.unlink()
    assert wos.run("cert", "renew", "--force").code == 0
    assert certificate(wos)["state"] == "active" and certificate(wos)["lastError"] is None


def test_hook_hanging_is_ended_with_its_children(make_wos, ca, dns, folder):
    pids = folder / "pids"
    hook = script(folder, "hangs.sh", "sleep 600 &\necho $! $$ >> %s\nwait\n" % pids)
    wos = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": hook,
                                                       "hookTimeoutSeconds": 1}))
    wos.ok("start")
    cert = until_failed(wos)
    assert cert["lastError"]["phase"] == "hook-create"
    assert "1000 ms, the timeout" in cert["lastError"]["message"], cert
    for pid in pids.read_text().split():
        harness.until("%s is gone" % pid, lambda p=int(pid): not harness.alive(p), timeout=20)


def test_dns_slow_and_dns_never(make_wos, ca, dns, folder):
    slow = script(folder, "slow.sh", "(sleep 2; %s) >/dev/null 2>&1 &\nexit 0\n" % dns.hook)
    wos = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": slow}))
    wos.ok("start")
    until_issued(wos)  # waited for, not failed
    never = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": "true"},
                                     propagationTimeoutSeconds=2))
    never.ok("start")
    cert = until_failed(never)
    assert cert["lastError"]["phase"] == "propagation"
    assert RECORD in cert["lastError"]["message"] and "2 s" in cert["lastError"]["message"]
    doctor = never.run("doctor", "cert")
    assert doctor.code == 1 and "✗ TXT record seen" in doctor.err, doctor


# What people ask for.

def test_dry_run_installs_nothing(world, dns):
    before = certificate(world)
    result = world.ok("cert", "issue", "--dry-run")
    assert "✓ Download" in result.err and "Installation" not in result.err
    after = certificate(world)
    assert (after["fingerprint"], after["lastAttemptAt"]) == (before["fingerprint"],
                                                             before["lastAttemptAt"])
    assert dns.txt(RECORD) == []
    assert world.run("cert", "issue").code == 2


def test_doctor_when_all_is_well(world, dns):
    result = world.ok("doctor", "cert", "--json")
    checks = {c["check"]: c for c in result.data["checks"]}
    assert list(checks) == ["txt", "visible", "withdraw", "ca", "account", "certificate",
                            "gateway"]
    assert all(c["ok"] for c in checks.values()), checks
    assert dns.txt(RECORD) == []
    text = world.ok("doctor").err
    for part in ("✓ Daemon", "✓ Configuration", "✓ Gateway", "✓ Web listener", "✓ Account"):
        assert part in text, text


def test_operations_join_and_exclude(world, ca, dns, folder):
    """Asked twice it runs once; something else is refused; leaving and cancelling work."""
    first = post(world, "/certificates/renew", {"kind": "tunnel", "force": True})
    second = post(world, "/certificates/renew", {"kind": "tunnel", "force": True})
    third = post(world, "/certificates/revoke", {"kind": "tunnel"})
    assert first[0] == second[0] == 202, (first, second)
    assert first[1]["operationId"] == second[1]["operationId"]
    assert (first[1]["joined"], second[1]["joined"]) == (False, True)
    assert third[0] == 409 and third[1]["error"] == "certificate-busy"
    assert third[1]["active"]["operationId"] == first[1]["operationId"]
    lines = events(world, first[1]["operationId"])
    assert lines[-1]["terminal"]["status"] == "succeeded"
    kinds = [line["event"]["type"] for line in lines[:-1]]
    assert kinds.index("certificate.renewed") < kinds.index("certificate.activated")
    activated = next(l["event"] for l in lines[:-1] if l["event"]["type"] == "certificate.activated")
    assert activated["listenerKind"] == "tunnel" and activated["source"] == "letsencrypt"
    assert "*.wos.localhost" in activated["hostnames"] and activated["activatedAt"]
    assert events(world, first[1]["operationId"]) == lines  # again, from the history
    assert post(world, "/certificates/renew", {"kind": "mail"})[0] == 400
    assert post(world, "/certificates/renew", {"kind": "web"})[1]["error"] == "certificate-source"
    assert world.run("cert", "renew", "--kind", "web").code == 3


def test_cancelled(make_wos, ca, dns, folder):
    hook = script(folder, "waits.sh", "touch %s/waiting\nsleep 600\n" % folder)
    wos = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": hook,
                                                       "hookTimeoutSeconds": 8}))
    wos.ok("start")  # a hook that runs is waited for: it may have written the record
    harness.until("the hook runs", (folder / "waiting").exists)
    operation = post(wos, "/certificates/renew", {"force": True})[1]["operationId"]
    assert wos.run("cert", "revoke", "--yes").code == 5
    client = wos.popen("cert", "renew", "--force")
    assert "under way already" in client.stderr.readline()
    client.send_signal(signal.SIGINT)
    assert client.wait(30) == 130  # the operation goes on
    assert certificate(wos)["state"] == "issuing"
    assert wos.ok("cert", "cancel").out == "cancelled\n"
    last = events(wos, operation)[-1]["terminal"]
    assert (last["status"], last["code"]) == ("failed", "cancelled"), last
    assert dns.txt(RECORD) == []


def test_first_issuance_is_cancelled(make_wos, ca, dns, folder):
    """Nobody asked for it; it ends all the same, and the schedule leaves people an hour."""
    hook = script(folder, "first.sh", "touch %s/first\nsleep 600\n" % folder)
    wos = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": hook,
                                                       "hookTimeoutSeconds": 3}))
    wos.ok("start")
    harness.until("the hook runs", (folder / "first").exists)
    assert wos.ok("cert", "cancel").out == "cancelled\n"
    harness.until("it has ended", lambda: certificate(wos)["state"] != "issuing")
    status = certificate(wos)
    assert status["lastError"]["phase"] == "cancelled", status
    ended, again = (datetime.fromisoformat(text.replace("Z", "+00:00")) for text in
                    (status["lastError"]["at"], status["nextAt"]))
    assert (again - ended).total_seconds() >= 3590, status
    assert wos.ok("cert", "cancel").out == "nothing ran\n"


def test_records_of_a_doctor_that_died_are_withdrawn(make_wos, ca, dns):
    """The journal of a doctor that was killed between writing its record and withdrawing it."""
    wos = make_wos(ssl=letsencrypt(ca, dns))
    wos.ok("start")
    until_issued(wos)
    wos.ok("stop")
    dns.add_txt(RECORD, "left-behind")
    assert dns.txt(RECORD) == ["left-behind"]
    journal = wos.home / "certs/acme/state/tunnel.doctor.json"
    journal.write_text(json.dumps({"records": [{"name": RECORD, "value": "left-behind"}]}))
    wos.ok("start")
    harness.until("it is withdrawn", lambda: dns.txt(RECORD) == [] and not journal.exists())


def test_the_record_of_a_cancelled_doctor_is_withdrawn(make_wos, ca, dns, folder):
    hook = script(folder, "doctor.sh", """%s || exit 1
case $WOS_ACME_HOOK_PHASE-$WOS_ACME_RECORD_VALUE in
create-wos-doctor-*) sleep 600 ;;
esac
""" % dns.hook)
    wos = make_wos(ssl=letsencrypt(ca, dns, challenge={"createCommand": hook}))
    wos.ok("start")
    until_issued(wos)
    doctor = wos.popen("doctor", "cert")
    harness.until("it has written its record", lambda: dns.txt(RECORD) != [])
    assert wos.ok("cert", "cancel").out == "cancelled\n"
    doctor.communicate(timeout=harness.PATIENCE)
    journal = wos.home / "certs/acme/state/tunnel.doctor.json"
    harness.until("it is withdrawn", lambda: dns.txt(RECORD) == [] and not journal.exists())


def test_revoke_and_deactivate(make_wos, ca, dns):
    wos = make_wos(ssl=letsencrypt(ca, dns))
    wos.ok("start")
    until_issued(wos)
    serial = shown(wos.port)["serial"].lower()
    assert wos.run("cert", "revoke").code == 2  # --yes is wanted
    wos.ok("cert", "revoke", "--yes")
    assert '"Revoked"' in ca.manage("/cert-status-by-serial/" + serial)
    assert until_issued(wos) and shown(wos.port)["serial"].lower() != serial
    accounts = lambda: list((wos.home / "certs/acme/accounts").glob("*/account.json"))  # noqa: E731
    assert len(accounts()) == 1
    wos.ok("cert", "account", "deactivate", "--yes")
    assert accounts() == []
    result = wos.run("cert", "account", "deactivate", "--yes")
    assert result.code == 1 and "there is no account" in result.err


def test_keys_that_others_can_read_are_repaired(make_wos, ca, dns):
    wos = make_wos(ssl=letsencrypt(ca, dns))
    wos.ok("start")
    until_issued(wos)
    wos.ok("stop")
    certs = wos.home / "certs"
    opened = [certs / "ca.key", certs / "acme/live/tunnel/key.pem", certs / "ticket.keys",
              next(certs.glob("acme/accounts/*/account.json"))]
    for path in opened:
        path.chmod(0o644)
    certs.chmod(0o755)
    (certs / "acme").chmod(0o755)
    wos.ok("start")
    for path in opened:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert str(path.relative_to(wos.home)) in daemon_log(wos), path
    assert stat.S_IMODE(certs.stat().st_mode) == stat.S_IMODE((certs / "acme").stat().st_mode) == 0o700


def test_nothing_secret_is_said(world):
    secrets = []
    for path in (world.home / "certs").rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            body = json.loads(path.read_text())["privateKeyPem"] if path.suffix == ".json" else path.read_text()
            secrets.append(body.splitlines()[1])
    assert len(secrets) >= 3
    world.run("cert", "renew", "--force")
    said = everything_said(world)
    assert "PRIVATE KEY" not in said
    for secret in secrets:
        assert secret not in said


# The daemon killed, and the load.

def kill_daemon(wos):
    os.kill(wos.daemon_pid(), signal.SIGKILL)


KILLS = ["create-before", "create-after", "delete-before", "delete-after"]


@pytest.mark.parametrize("where", KILLS)
def test_kill_9_around_the_hook(world, ca, dns, folder, where):
    """The hook kills the daemon before or after it did its work. The restarted one tidies up."""
    phase, when = where.split("-")
    mark = folder / "kill"
    killer = ("if [ $WOS_ACME_HOOK_PHASE-%s = %s ] && [ -e %s ]; then rm %s; kill -9 $(sed "
              "'s/.*\"pid\": *\\([0-9]*\\).*/\\1/;t;d' %s/daemon.json); fi\n"
              % (when, where, mark, mark, world.home))
    hook = script(folder, "killer.sh", (killer if when == "before" else "") + "%s || exit\n" % dns.hook
                  + (killer if when == "after" else ""))
    config = world.home / "config.json"
    saved = config.read_text()
    config.write_text(saved.replace(str(dns.hook), hook))
    try:
        world.ok("restart")
        before = shown(world.port)["serial"]
        mark.touch()
        result = world.run("cert", "renew", "--force")
        assert result.code != 0 and not mark.exists(), result
        assert shown(world.port)["serial"] == before  # the gateway goes on
        world.ok("start")
        until_issued(world)
        harness.until("the records are withdrawn", lambda: dns.txt(RECORD) == [])
        renewed(world)
        assert dns.txt(RECORD) == []
        assert_bundle(world)
        assert not list((world.home / "certs/acme/orders").glob("*"))
    finally:
        config.write_text(saved)
        world.ok("restart")


def test_rotation_under_load(world, ca, folder):
    """New connections and old ones, while the certificate changes three times."""
    bundle = folder / "both.pem"
    bundle.write_text("".join(ca.manage("/roots/0")))
    stop, problems, counts, serials = threading.Event(), [], [0, 0], set()

    def guard(work):
        def run():
            try:
                work()
            except Exception as error:  # noqa: BLE001 (every failure counts)
                problems.append(repr(error))
        return threading.Thread(target=run)

    def fresh():
        while not stop.is_set():
            with clients.Http1(world.port, NAME, ca=str(bundle)) as client:
                assert client.request("GET", "/hello").status == 200
                counts[0] += 1

    def lasting():
        with clients.Http2(world.port, NAME, ca=str(bundle)) as client:
            while not stop.is_set():
                assert client.request("GET", "/hello").status == 200
                counts[1] += 1

    threads = [guard(fresh) for _ in range(3)] + [guard(lasting) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = tuple(counts)
            renewed(world)
            serials.add(shown(world.port)["serial"])
            harness.until("requests after it", lambda: counts[0] > before[0] and counts[1] > before[1])
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert problems == [] and len(serials) == 3
    assert counts[0] > 10 and counts[1] > 10
