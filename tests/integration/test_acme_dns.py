"""DNS-01 without a CA: hooks, Cloudflare's API, propagation, CAA and the doctor, through
tests/acme/dns_probe.c against DNS servers and an API of the tests' own."""
import json
import os
import signal
import stat
import subprocess
import threading
import time

import dns.rcode
import pytest

import cloudflare
import fakedns
import harness

pytestmark = pytest.mark.no_tsan("dns_probe has one thread")
PROBE = harness.BIN.parent / "dns_probe"
WRAPPERS = harness.ROOT / "scripts" / "dns"
ZONE = "example.test"
RECORD = "_acme-challenge." + ZONE
TOKEN = "kMGeX2sbN6_7xhk0Ct7U-token"


class Probe:
    """Settings and a journal of a test's own; run() gives the lines printed."""

    def __init__(self, path, **settings):
        self.dir = path
        self.journal = path / "state" / "journal.json"
        self.settings = {"journal": str(self.journal), "names": [ZONE, "*." + ZONE]}
        self.settings.update(settings)

    def start(self, *args, env=None, **settings):
        file = self.dir / "settings.json"
        file.write_text(json.dumps({**self.settings, **settings}))
        return subprocess.Popen([str(PROBE), str(file), *args], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **(env or {})})

    def run(self, *args, env=None, **settings):
        process = self.start(*args, env=env, **settings)
        try:
            out, err = process.communicate(timeout=harness.PATIENCE * 2)
        finally:
            process.kill()
        assert process.returncode in (0, 1), (process.returncode, out, err)
        assert "ERROR: AddressSanitizer" not in err and "LeakSanitizer" not in err, err
        self.err = err
        return Lines(json.loads(line) for line in out.splitlines())


class Lines(list):
    def all(self, key):
        return [line[key] for line in self if key in line]

    @property
    def failures(self):
        return [f for f in self.all("failure") if f is not None]

    @property
    def failure(self):
        assert len(self.failures) == 1, self
        return self.failures[0]

    @property
    def ok(self):
        return self[-1] == {"done": 0}


@pytest.fixture(scope="module")
def net():
    if not PROBE.exists():
        pytest.fail("no %s: build it (WOS_TESTS)" % PROBE, pytrace=False)
    made = fakedns.Net(harness.free_port())
    made.ns = [made.authority("ns1"), made.authority("ns2"), made.authority("ns3")]
    yield made
    made.close()


@pytest.fixture
def dns_net(net):
    """The zone anew; every server well."""
    for server in [net.resolver] + net.authorities:
        server.zones = {}
        server.reset()
    net.zone(ZONE, net.ns)
    return net


@pytest.fixture
def probe(tmp_path, net):
    return Probe(tmp_path, bootstrap="127.0.0.1:%d" % net.port, authorityPort=net.port,
                 propagationTimeoutMs=60000)


@pytest.fixture
def api(dns_net):
    made = cloudflare.Cloudflare(dns_net)
    made.zone = made.add_zone(ZONE)
    made.add_token(TOKEN, {ZONE: {"read", "edit"}})
    yield made
    made.close()


@pytest.fixture
def cf(probe, api):
    probe.settings.update(provider="cloudflare", apiToken=TOKEN, apiBaseUrl=api.url)
    return probe


def after_asking(server, count, what):
    """Calls what() once the server was asked `count` times for a TXT record."""
    def watch():
        harness.until("%d questions" % count,
                      lambda: sum(q[1] == "TXT" for q in list(server.asked)) >= count)
        what()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


# Propagation.

def test_wait_asks_every_authority(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"one"')
    dns_net.add(RECORD, "TXT", '"two" "halves"')
    lines = probe.run("wait", RECORD, "one", RECORD, "twohalves")
    assert lines.ok
    assert lines.all("note") == ["3 of 3 name servers show the record"]
    for server in dns_net.ns:
        assert (RECORD, "TXT", "udp", False) in server.asked
    assert not any(q[1] == "TXT" for q in dns_net.resolver.asked)


def test_wait_for_a_record_that_appears_late(dns_net, probe):
    after_asking(dns_net.ns[0], 2, lambda: dns_net.add(RECORD, "TXT", '"late"'))
    lines = probe.run("wait", RECORD, "late")
    assert lines.ok
    assert lines.all("note")[0] == "0 of 3 name servers show the record"
    assert sum(q[1] == "TXT" for q in dns_net.ns[0].asked) >= 3


def test_wait_for_the_server_that_lags(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"v"', only=dns_net.ns[:2])
    after_asking(dns_net.ns[2], 3,
                 lambda: dns_net.add(RECORD, "TXT", '"v"', only=dns_net.ns[2:]))
    lines = probe.run("wait", RECORD, "v")
    assert lines.ok
    assert lines.all("note") == ["2 of 3 name servers show the record",
                                 "3 of 3 name servers show the record"]
    # Who has shown it is not asked again.
    assert sum(q[1] == "TXT" for q in dns_net.ns[0].asked) == 1


def test_wait_times_out_and_names_the_servers(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"v"', only=dns_net.ns[:1])
    dns_net.add(RECORD, "TXT", '"old"', only=dns_net.ns[1:2])
    failure = probe.run("wait", RECORD, "v", propagationTimeoutMs=2000).failure
    assert failure["phase"] == "propagation"
    port = dns_net.port
    assert failure["message"] == (
        "The TXT record %s did not appear everywhere within 2 s: ns2.%s (127.0.0.3:%d): other values "
        "only, ns3.%s (127.0.0.4:%d): NXDOMAIN." % (RECORD, ZONE, port, ZONE, port))
    assert not failure["permanent"]


def test_wait_both_values_of_one_name(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"a"')
    after_asking(dns_net.ns[0], 2, lambda: dns_net.add(RECORD, "TXT", '"b"'))
    assert probe.run("wait", RECORD, "a", RECORD, "b").ok
    failure = probe.run("wait", RECORD, "a", RECORD, "c", propagationTimeoutMs=1000).failure
    assert "not all of the values" in failure["message"]


@pytest.mark.parametrize("mood", ["refused", "servfail", "lame", "garbage"])
def test_wait_leaves_out_a_server_without_answers(dns_net, probe, mood):
    dns_net.add(RECORD, "TXT", '"v"')
    bad = dns_net.ns[1]
    if mood == "lame":
        bad.is_lame = True
    else:
        bad.mood = {"refused": fakedns.refuses(dns.rcode.REFUSED),
                    "servfail": fakedns.refuses(dns.rcode.SERVFAIL),
                    "garbage": fakedns.garbage}[mood]
    lines = probe.run("wait", RECORD, "v")
    assert lines.ok
    assert lines.all("note")[-1] == ("2 of 3 name servers show the record; 1 of them gives no usable "
                                     "answer")
    assert sum(q[1] == "TXT" for q in bad.asked) >= 3


def test_wait_with_a_silent_server(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"v"')
    dns_net.ns[2].mood = fakedns.silent
    failure = probe.run("wait", RECORD, "v", propagationTimeoutMs=7000).failure
    assert "127.0.0.4" in failure["message"] and "no answer" in failure["message"]
    assert "127.0.0.2" not in failure["message"]


def test_wait_fails_when_only_lame_servers_are_left(dns_net, probe):
    for server in dns_net.ns:
        server.mood = fakedns.refuses(dns.rcode.REFUSED)
    failure = probe.run("wait", RECORD, "v", propagationTimeoutMs=3000).failure
    assert failure["message"].count("REFUSED") == 3
    assert "within 3 s (if this host cannot ask them, set resolvers): ns1." in failure["message"]


def test_wait_with_slow_servers(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"v"')
    gate = threading.Event()

    def slow(query, protocol):
        gate.wait(harness.PATIENCE)

    dns_net.ns[0].mood = slow
    after_asking(dns_net.ns[0], 1, gate.set)
    assert probe.run("wait", RECORD, "v").ok


def test_wait_truncated_answers_come_over_tcp(dns_net, probe):
    for i in range(60):
        dns_net.add(RECORD, "TXT", '"filler-%d-%s"' % (i, "x" * 100))
    dns_net.add(RECORD, "TXT", '"v"')
    for server in dns_net.ns:
        server.truncates = True
    assert probe.run("wait", RECORD, "v").ok
    for server in dns_net.ns:
        assert (RECORD, "TXT", "tcp", False) in server.asked


def test_wait_with_a_server_that_makes_noise(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"v"')
    dns_net.ns[2].mood = fakedns.noise
    lines = probe.run("wait", RECORD, "v")
    assert lines.ok
    assert "1 of them gives no usable answer" in lines.all("note")[-1]


def test_wait_with_a_server_out_of_reach(dns_net, probe):
    # An address no host has a route to, as every IPv6 address is on a host without IPv6.
    dns_net.add("ns1." + ZONE, "AAAA", "fe80::53")
    dns_net.add(RECORD, "TXT", '"v"')
    assert probe.run("wait", RECORD, "v").all("note") == ["3 of 3 name servers show the record"]
    for server in dns_net.ns:
        dns_net.remove(server.name + "." + ZONE, "A")
    failure = probe.run("wait", RECORD, "v", propagationTimeoutMs=1000).failure
    assert "has an address this host has a route to" in failure["message"]


def test_wait_at_configured_resolvers(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"v"', only=[dns_net.resolver])
    lines = probe.run("wait", RECORD, "v", resolvers=["127.0.0.1:%d" % dns_net.port])
    assert lines.ok
    assert lines.all("note") == ["1 of 1 resolver shows the record"]
    assert not any(server.asked for server in dns_net.ns)
    assert (RECORD, "TXT", "udp", True) in dns_net.resolver.asked


def test_resolvers_by_name(dns_net, probe):
    dns_net.add(RECORD, "TXT", '"v"', only=[dns_net.resolver])
    lines = probe.run("wait", RECORD, "v", resolvers=["localhost:%d" % dns_net.port])
    assert lines.ok and lines.all("note")[-1] == "1 of 1 resolver shows the record"
    assert (RECORD, "TXT", "udp", True) in dns_net.resolver.asked
    # One that cannot be found is left out, and alone it is named with its key.
    both = ["no-such-host.invalid:53", "localhost:%d" % dns_net.port]
    assert probe.run("delegate", RECORD, resolvers=both).all("name") == [RECORD]
    lines = probe.run("caa", ZONE, "-", resolvers=both[:1])
    assert "no-such-host.invalid, of letsencrypt.resolvers, has no address" in json.dumps(lines), lines


def test_wait_without_a_zone_says_so(dns_net, probe):
    failure = probe.run("wait", "_acme-challenge.other.invalid", "v",
                        propagationTimeoutMs=1000).failure
    assert "the zone of _acme-challenge.other.invalid: there is none" in failure["message"]
    dns_net.resolver.mood = fakedns.refuses(dns.rcode.SERVFAIL)
    failure = probe.run("wait", RECORD, "v", propagationTimeoutMs=1000).failure
    assert "the SOA record of %s: SERVFAIL" % RECORD in failure["message"]


def test_wait_for_several_names_and_an_extra_time(dns_net, probe):
    other = "_acme-challenge.sub." + ZONE
    dns_net.add(RECORD, "TXT", '"v"')
    dns_net.add(other, "TXT", '"w"')
    lines = probe.run("wait", RECORD, "v", other, "w", propagationMs=50)
    assert lines.ok
    assert len(lines.all("note")) == 2


# Delegation by CNAME.

def test_delegate(dns_net, probe):
    assert probe.run("delegate", RECORD).all("name") == [RECORD]
    dns_net.zone("elsewhere.test", dns_net.ns[:1])
    dns_net.add(RECORD, "CNAME", "one.elsewhere.test.")
    dns_net.add("one.elsewhere.test", "CNAME", "Two.Elsewhere.test.")
    assert probe.run("delegate", RECORD).all("name") == ["two.elsewhere.test"]
    dns_net.add("two.elsewhere.test", "TXT", '"v"')
    dns_net.resolver.asked = []
    assert probe.run("wait", "two.elsewhere.test", "v").all("note") == [
        "1 of 1 name server shows the record"]


def test_delegate_in_a_circle(dns_net, probe):
    dns_net.add(RECORD, "CNAME", "b.%s." % ZONE)
    dns_net.add("b." + ZONE, "CNAME", RECORD + ".")
    failure = probe.run("delegate", RECORD).failure
    assert "lead in a circle" in failure["message"] and failure["permanent"]


def test_delegate_does_not_ask_a_resolver_for_the_name(dns_net, probe):
    # It would remember that there is none, and say so when the record is there.
    assert probe.run("delegate", RECORD, resolvers=["127.0.0.1:%d" % dns_net.port]).ok
    assert not any(q[0] == RECORD for q in dns_net.resolver.asked)
    assert any(q[:2] == (RECORD, "CNAME") and not q[3] for s in dns_net.ns for q in s.asked)


def test_delegate_by_resolvers_where_authorities_do_not_answer(dns_net, probe):
    dns_net.add(RECORD, "CNAME", "b.%s." % ZONE)
    for server in dns_net.ns:
        server.mood = fakedns.refuses(dns.rcode.REFUSED)
    assert probe.run("delegate", RECORD).all("name") == ["b." + ZONE]


def test_delegate_without_answers(dns_net, probe):
    for server in dns_net.ns + [dns_net.resolver]:
        server.mood = fakedns.refuses(dns.rcode.SERVFAIL)
    failure = probe.run("delegate", RECORD).failure
    assert failure["phase"] == "propagation" and "SERVFAIL" in failure["message"]
    assert sum(q[:2] == (RECORD, "CNAME") for q in dns_net.resolver.asked) >= 3


# CAA.

@pytest.mark.parametrize("name, records, verdict, text", [
    ("a." + ZONE, [], "allowed", "There are no CAA records"),
    ("a." + ZONE, [(ZONE, '0 issue "ca.test"')], "allowed", ""),
    ("a." + ZONE, [(ZONE, '0 issue "other.test"')], "forbidden",
     'add %s CAA 0 issue "ca.test"' % ZONE),
    ("a." + ZONE, [(ZONE, '0 issue "other.test"'), ("a." + ZONE, '0 issue "CA.test; x=y"')],
     "allowed", ""),
    ("*." + ZONE, [(ZONE, '0 issue "ca.test"'), (ZONE, '0 issuewild ";"')], "forbidden",
     "issuewild"),
    (ZONE, [(ZONE, '0 issue "ca.test"'), (ZONE, '0 issuewild ";"')], "allowed", ""),
    ("*." + ZONE, [(ZONE, '0 issue "ca.test"')], "allowed", ""),
    ("*." + ZONE, [(ZONE, '0 iodef "mailto:a@b.test"')], "allowed", ""),
    (ZONE, [(ZONE, '128 tbs "unknown"')], "forbidden", "critical"),
    (ZONE, [(ZONE, '0 issue "ca.test; accounturi=https://ca.test/acct/1"')], "allowed", ""),
    (ZONE, [(ZONE, '0 issue "ca.test; accounturi=https://ca.test/acct/2"')], "forbidden",
     "accounturi"),
    (ZONE, [(ZONE, '0 issue "ca.test; validationmethods=http-01"')], "forbidden",
     "validationmethods"),
    (ZONE, [(ZONE, '0 issue "ca.test; validationmethods=http-01,dns-01"')], "allowed", ""),
    (ZONE, [(ZONE, '0 issue ";"')], "forbidden", ""),
])
def test_caa(dns_net, probe, name, records, verdict, text):
    for owner, record in records:
        dns_net.add(owner, "CAA", record)
    lines = probe.run("caa", name, "https://ca.test/acct/1", "ca.test", "ca2.test")
    assert lines.all("caa") == [verdict], lines
    assert text in lines.all("message")[0]


def test_caa_servfail_is_no_permission(dns_net, probe):
    dns_net.resolver.mood = fakedns.refuses(dns.rcode.SERVFAIL)
    lines = probe.run("caa", ZONE, "-", "ca.test")
    assert lines.all("caa") == ["unknown"] and "SERVFAIL" in lines.all("message")[0]


# Hooks.

def script(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_hook_environment(probe):
    command = "env > $OUT.$WOS_ACME_HOOK_PHASE; readlink /proc/self/fd/0 > $OUT.stdin; echo $# > $OUT.args"
    out = str(probe.dir / "out")
    settings = {"createCommand": command, "deleteCommand": command}
    env = {"OUT": out, "WOS_ACME_RECORD_VALUE": "stale", "MINE": "passes"}
    assert probe.run("present", RECORD, "va'l$ue", env=env, **settings).ok
    seen = dict(line.split("=", 1) for line in open(out + ".create").read().splitlines())
    assert {k: v for k, v in seen.items() if k.startswith("WOS_ACME_")} == {
        "WOS_ACME_HOOK_PHASE": "create", "WOS_ACME_RECORD_NAME": RECORD,
        "WOS_ACME_RECORD_VALUE": "va'l$ue", "WOS_ACME_BASE_DOMAIN": ZONE,
        "WOS_ACME_LISTENER_KIND": "tunnel",
        "WOS_ACME_CERTIFICATE_NAMES": "%s,*.%s" % (ZONE, ZONE)}
    assert seen["MINE"] == "passes"
    assert open(out + ".stdin").read().strip() == "/dev/null"
    assert open(out + ".args").read().strip() == "0"
    assert probe.run("withdraw", RECORD, "va'l$ue", env=env, **settings).ok
    assert "WOS_ACME_HOOK_PHASE=delete\n" in open(out + ".delete").read()


def test_hook_failing_tells_its_last_lines(probe):
    failure = probe.run("present", RECORD, "v", createCommand=(
        "for i in 1 2 3 4; do echo line $i >&2; done; head -c 100000 /dev/zero; exit 3")).failure
    assert failure["phase"] == "hook-create"
    prefix, _, rest = failure["message"].partition("ms): ")
    assert prefix.startswith("DNS create via hook failed (")
    assert rest == "exit=3 line 2 | line 3 | line 4"
    assert not failure["permanent"]
    failure = probe.run("withdraw", RECORD, "v", deleteCommand="echo only this; exit 1").failure
    assert failure["phase"] == "hook-delete"
    assert failure["message"].startswith("DNS delete via hook failed (")
    assert failure["message"].endswith("exit=1 only this")
    failure = probe.run("present", RECORD, "v", createCommand="/no/such/program").failure
    assert "exit=127" in failure["message"] and failure["permanent"]
    failure = probe.run("present", RECORD, "v", createCommand="").failure
    assert "no command is configured" in failure["message"] and failure["permanent"]
    failure = probe.run("present", RECORD, "v", createCommand="kill -9 $$").failure
    assert "exit=no-exit (signal 9" in failure["message"]


def test_hook_hanging_ends_with_all_its_processes(probe):
    pids = probe.dir / "pids"
    command = ("echo $$ >> %s; (trap '' TERM; sh -c 'echo $$ >> %s; exec sleep 1000' & "
               "echo $! >> %s; wait) & wait" % (pids, pids, pids))
    failure = probe.run("present", RECORD, "v", createCommand=command, hookTimeoutMs=2000).failure
    assert "exit=no-exit (ended after 2000 ms, the timeout)" in failure["message"]
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) >= 2
    assert [pid for pid in started if harness.alive(pid)] == []


def test_hook_leaving_a_process_behind_is_done_at_its_own_end(probe):
    pid = probe.dir / "pid"
    try:
        assert probe.run("present", RECORD, "v",
                         createCommand="sleep 1000 & echo $! > %s" % pid).ok
        assert harness.alive(int(pid.read_text()))
    finally:
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)


def test_hooks_run_one_at_a_time(probe):
    lock = probe.dir / "lock"
    command = "mkdir %s || exit 9; sleep 0.05; rmdir %s" % (lock, lock)
    pairs = [x for i in range(5) for x in ("r%d.%s" % (i % 2, ZONE), "v%d" % i)]
    assert probe.run("present", *pairs, createCommand=command).ok


def journal(probe):
    if not probe.journal.exists():
        return None
    return [(r["name"], r["value"]) for r in json.loads(probe.journal.read_text())["records"]]


def test_journal_is_written_first_and_removed_last(probe):
    seen = probe.dir / "seen"
    settings = {"createCommand": "cp %s %s" % (probe.journal, seen), "deleteCommand": "true"}
    assert probe.run("present", RECORD, "a", RECORD, "b", **settings).ok
    # What the second hook saw: the journal as it was before its record could be in DNS.
    assert [r["value"] for r in json.loads(seen.read_text())["records"]] == ["a", "b"]
    assert journal(probe) == [(RECORD, "a"), (RECORD, "b")]
    assert stat.S_IMODE(probe.journal.stat().st_mode) == 0o600
    assert stat.S_IMODE(probe.journal.parent.stat().st_mode) == 0o700
    assert probe.run("withdraw", RECORD, "a", **settings).ok
    assert journal(probe) == [(RECORD, "b")]
    # A deletion that fails is remembered.
    assert probe.run("withdraw", RECORD, "b", deleteCommand="exit 1").failure
    assert journal(probe) == [(RECORD, "b")]
    assert probe.run("sweep", **settings).ok
    assert journal(probe) is None
    assert probe.run("sweep", deleteCommand="false").ok


def test_journal_that_cannot_be_written_stops_the_record(probe):
    probe.journal.parent.write_text("a file where the directory should be")
    marker = probe.dir / "ran"
    failure = probe.run("present", RECORD, "v", createCommand="touch %s" % marker).failure
    assert failure["phase"] == "storage" and not marker.exists()


def test_journal_that_is_damaged_is_told(probe):
    probe.journal.parent.mkdir()
    probe.journal.write_text('{"records": [')
    failure = probe.run("sweep").failure
    assert failure["phase"] == "storage" and str(probe.journal) in failure["message"]
    assert probe.run("present", RECORD, "v", createCommand="true").ok
    assert journal(probe) == [(RECORD, "v")]


def test_kill_9_and_sweep(probe):
    deleted = probe.dir / "deleted"
    started = probe.dir / "started"
    command = "touch %s; exec sleep 1000" % started
    process = probe.start("present", RECORD, "v", createCommand="echo $$ > %s; %s"
                          % (probe.dir / "pid", command))
    try:
        harness.until("the hook runs", started.exists)
        process.kill()
        process.communicate()
        assert journal(probe) == [(RECORD, "v")]
        assert probe.run("sweep", deleteCommand="echo $WOS_ACME_RECORD_NAME $WOS_ACME_RECORD_VALUE >> %s"
                         % deleted).ok
        assert deleted.read_text() == "%s v\n" % RECORD
        assert journal(probe) is None
    finally:
        process.kill()
        os.kill(int((probe.dir / "pid").read_text()), signal.SIGKILL)


def test_stopping_ends_the_hook_and_keeps_the_journal(probe):
    pid = probe.dir / "pid"
    process = probe.start("present", RECORD, "v", createCommand=(
        "trap '' TERM; (trap '' TERM; exec sleep 1000) & echo $! >> %s; echo $$ >> %s; wait"
        % (pid, pid)))
    harness.until("the hook runs", lambda: pid.exists() and len(pid.read_text().split()) == 2)
    process.terminate()
    _, err = process.communicate(timeout=harness.PATIENCE)
    assert "Sanitizer" not in err, err
    for one in pid.read_text().split():
        harness.until("the hook is gone", lambda: not harness.alive(int(one)))
    assert journal(probe) == [(RECORD, "v")]


# Wrappers around scripts of other clients.

def test_wrapper_acmesh_alone(probe):
    out = probe.dir / "out"
    api = script(probe.dir / "dns_mine.sh", """
dns_mine_add() {
    _debug "not shown"
    MINE_Key="${MINE_Key:-$(_readaccountconf_mutable MINE_Key)}"
    [ -n "$MINE_Key" ] || { _err "set MINE_Key"; return 1; }
    _saveaccountconf_mutable MINE_Key "$MINE_Key"
    _contains "$1" "%s" && _startswith "$1" _acme || return 1
    echo "add $1 $2 $MINE_Key" >> %s
}
dns_mine_rm() { echo "rm $1 $2" >> %s; }
""" % (ZONE, out, out))
    command = "%s/wos-hook-acmesh %s" % (WRAPPERS, api)
    settings = {"createCommand": command, "deleteCommand": command}
    failure = probe.run("present", RECORD, "v", **settings).failure
    assert "exit=1 set MINE_Key" in failure["message"]
    assert probe.run("present", RECORD, "v", env={"MINE_Key": "k", "ACME_SH": "/none"}, **settings).ok
    assert probe.run("withdraw", RECORD, "v", **settings).ok
    assert out.read_text() == "add %s v k\nrm %s v\n" % (RECORD, RECORD)


def test_wrapper_acmesh_alone_speaks_http(probe, api):
    # A script of acme.sh's kind against Cloudflare's API, with the stand-ins for acme.sh's functions.
    script(probe.dir / "dns_flare.sh", """
flare() {
    export _H1="Authorization: Bearer $FLARE_Token" _H2='X-Odd: "quoted\\" and more'
    _H3="Content-Type: application/json"
    if [ "$1" = GET ]; then response=$(_get "$FLARE/$2"); else
        response=$(_post "$3" "$FLARE/$2" "" "$1"); fi
    _contains "$response" '"success": true' || { _err "$response"; return 1; }
}
dns_flare_add() {
    flare GET "zones?name=%s" || return 1
    zone=$(echo "$response" | _egrep_o '"id": *"[^"]*"' | _head_n 1 | cut -d '"' -f 4)
    flare POST "zones/$zone/dns_records" '{"type":"TXT","name":"'"$1"'","content":"'"$2"'","ttl":60}'
}
dns_flare_rm() {
    flare GET "zones?name=%s" || return 1
    zone=$(echo "$response" | _egrep_o '"id": *"[^"]*"' | _head_n 1 | cut -d '"' -f 4)
    flare GET "zones/$zone/dns_records?type=TXT&name=$1" || return 1
    record=$(echo "$response" | _egrep_o '"id": *"[^"]*"' | _head_n 1 | cut -d '"' -f 4)
    flare DELETE "zones/$zone/dns_records/$record" ""
}
""" % (ZONE, ZONE))
    command = "%s/wos-hook-acmesh %s/dns_flare.sh" % (WRAPPERS, probe.dir)
    env = {"ACME_SH": "/none", "FLARE": api.url, "FLARE_Token": TOKEN}
    settings = {"createCommand": command, "deleteCommand": command}
    assert probe.run("present", RECORD, "v", env=env, **settings).ok
    assert api.contents(RECORD) == ["v"]
    assert probe.run("withdraw", RECORD, "v", env=env, **settings).ok
    assert api.contents(RECORD) == []
    env["FLARE_Token"] = "wrong"
    assert "Invalid access token" in probe.run("present", RECORD, "v", env=env,
                                               **settings).failure["message"]


def test_wrapper_acmesh_with_acmesh(probe):
    # Of the form of acme.sh: functions, and a main that prints help without arguments.
    home = probe.dir / "acme.sh home"
    (home / "dnsapi").mkdir(parents=True)
    script(home / "acme.sh", """
_initpath() { ACCOUNT_CONF_PATH=$(dirname "$ACME_SH")/account.conf; }
_readaccountconf_mutable() { sed -n "s/^SAVED_$1='\\(.*\\)'/\\1/p" "$ACCOUNT_CONF_PATH"; }
main() { [ -z "$1" ] && echo "Usage: acme.sh" && return; "$@"; }
main "$@"
""")
    (home / "account.conf").write_text("SAVED_MINE_Key='from conf'\n")
    script(home / "dnsapi" / "dns_mine.sh",
           'dns_mine_add() { echo "$1 $2 $(_readaccountconf_mutable MINE_Key)" > "$OUT"; }\n'
           'dns_mine_rm() { return 5; }\n')
    command = "%s/wos-hook-acmesh dns_mine" % WRAPPERS
    env = {"ACME_SH": str(home / "acme.sh"), "OUT": str(probe.dir / "out")}
    assert probe.run("present", RECORD, "v", env=env, createCommand=command).ok
    assert (probe.dir / "out").read_text() == "%s v from conf\n" % RECORD
    assert "exit=5" in probe.run("withdraw", RECORD, "v", env=env,
                                 deleteCommand=command).failure["message"]
    failure = probe.run("present", RECORD, "v", env=env, createCommand=command + "x").failure
    assert "exit=127 wos-hook-acmesh: there is no " in failure["message"]


def test_wrapper_dehydrated(probe):
    out = probe.dir / "out"
    hook = script(probe.dir / "hook.sh", """
deploy_challenge() {
    local DOMAIN="${1}" TOKEN_FILENAME="${2}" TOKEN_VALUE="${3}"
    echo "deploy _acme-challenge.$DOMAIN $TOKEN_VALUE ${TOKEN_FILENAME:+token}" >> "$OUT"
}
clean_challenge() { echo "clean _acme-challenge.$1 $3" >> "$OUT"; }
HANDLER="$1"; shift
case $HANDLER in deploy_challenge|clean_challenge) "$HANDLER" "$@" ;; esac
""")
    command = "%s/wos-hook-dehydrated %s" % (WRAPPERS, hook)
    settings = {"createCommand": command, "deleteCommand": command, "env": {"OUT": str(out)}}
    assert probe.run("present", RECORD, "v", **settings).ok
    assert probe.run("withdraw", RECORD, "v", **settings).ok
    assert out.read_text() == "deploy %s v token\nclean %s v\n" % (RECORD, RECORD)
    failure = probe.run("present", "elsewhere." + ZONE, "v", **settings).failure
    assert "remove the CNAME or use another hook" in failure["message"]


def test_wrapper_lego(probe):
    program = script(probe.dir / "update-dns.sh", 'echo "$@" >> "$OUT"\n')
    command = "%s/wos-hook-lego %s --extra" % (WRAPPERS, program)
    settings = {"createCommand": command, "deleteCommand": command,
                "env": {"OUT": str(probe.dir / "out")}}
    assert probe.run("present", RECORD, "v", **settings).ok
    assert probe.run("withdraw", RECORD, "v", **settings).ok
    assert (probe.dir / "out").read_text() == (
        "--extra present %s. v\n--extra cleanup %s. v\n" % (RECORD, RECORD))


# Cloudflare.

def test_cloudflare_create_and_delete(cf, api):
    assert cf.run("present", RECORD, "a", RECORD, "b").ok
    assert api.contents(RECORD) == ["a", "b"]
    assert cf.run("wait", RECORD, "a", RECORD, "b").ok
    record = next(r for r in api.records.values() if r["content"] == "a")
    assert (record["type"], record["ttl"], record["proxied"]) == ("TXT", 60, False)
    assert api.requests[0][:2] == ("GET", "/zones")
    names = [query["name"] for _, path, query in api.requests if path == "/zones"]
    assert names[:2] == [RECORD, ZONE]
    # The second record of the name knows the zone.
    assert len(names) == 2
    assert cf.run("withdraw", RECORD, "a").ok
    assert api.contents(RECORD) == ["b"]
    assert cf.run("sweep").ok
    assert api.contents(RECORD) == [] and journal(cf) is None


def test_cloudflare_twice_is_success(cf, api):
    assert cf.run("present", RECORD, "a").ok
    assert cf.run("present", RECORD, "a").ok
    assert api.contents(RECORD) == ["a"]
    assert cf.run("withdraw", RECORD, "a").ok
    assert cf.run("withdraw", RECORD, "a").ok
    assert len(api.paths("DELETE")) == 1


def test_cloudflare_touches_only_what_is_ours(cf, api):
    for content in ("keep", '"keep too"', "a ", "ab"):
        api.add_record(api.zone, RECORD, content)
    api.add_record(api.zone, "other." + ZONE, "a")
    api.add_record(api.zone, RECORD, '"a"')
    assert cf.run("withdraw", RECORD, "a").ok
    assert api.contents(RECORD) == ['"keep too"', "a ", "ab", "keep"]
    assert api.contents("other." + ZONE) == ["a"]


def test_cloudflare_pages_of_records(cf, api):
    for i in range(249):
        api.add_record(api.zone, RECORD, "filler %d" % i)
    api.add_record(api.zone, RECORD, "ours")
    assert cf.run("withdraw", RECORD, "ours").ok
    pages = [q["page"] for m, path, q in api.requests if path.endswith("/dns_records")]
    assert pages == ["1", "2", "3"]
    assert len(api.contents(RECORD)) == 249


def test_cloudflare_pages_of_zones(cf, api):
    # The same name in other accounts, moved away; the active one comes last.
    api.zones.clear()
    api.page_limit = 1
    for status in ("moved", "pending"):
        api.add_zone(ZONE, status)
    active = api.add_zone(ZONE)
    assert cf.run("zone", RECORD).all("zone") == [active]
    assert [q["page"] for _, _, q in api.requests if q["name"] == ZONE] == ["1", "2", "3"]


def test_cloudflare_closest_zone_wins(cf, api):
    closer = api.add_zone("sub." + ZONE)
    api.add_token(TOKEN, {ZONE: {"read", "edit"}, "sub." + ZONE: {"read", "edit"}})
    assert cf.run("zone", "_acme-challenge.a.sub." + ZONE).all("zone") == [closer]
    assert cf.run("zone", "_acme-challenge.a.b." + ZONE).all("zone") == [api.zone]


def test_cloudflare_explicit_zone(cf, api):
    api.tokens[TOKEN]["zones"] = {ZONE: {"edit", "read"}}
    assert cf.run("present", RECORD, "a", zoneId=api.zone).ok
    assert api.paths("GET") == []
    failure = cf.run("present", RECORD, "b", zoneId="0" * 32).failure
    assert "code=7003" in failure["message"] and " is invalid? Check zoneId." in failure["message"]
    assert failure["permanent"]
    failure = cf.run("present", RECORD, "b", zoneId="../user").failure
    assert "zoneId" in failure["message"] and failure["permanent"]


@pytest.mark.parametrize("status, headers", [(429, {"Retry-After": "0"}), (429, {"Retry-After": "1"}),
                                             (500, {}), (503, {"Retry-After": "0"}), (0, {})])
def test_cloudflare_tries_again(cf, api, status, headers):
    fault = {"match": "POST", "headers": headers, "times": 2}
    fault.update({"drop": True} if status == 0 else {"status": status})
    api.faults.append(fault)
    assert cf.run("present", RECORD, "a").ok
    assert len(api.paths("POST")) == 3
    assert api.contents(RECORD) == ["a"]


def test_cloudflare_create_whose_answer_was_lost(cf, api):
    # The record was made, the answer not seen: the next try finds it there.
    api.add_record(api.zone, RECORD, "a")
    api.faults.append({"match": "POST", "status": 502, "times": 1})
    assert cf.run("present", RECORD, "a").ok
    assert api.contents(RECORD) == ["a"]


def test_cloudflare_does_not_try_for_ever(cf, api):
    api.faults.append({"match": "POST", "status": 429, "headers": {"Retry-After": "0"}, "times": 99})
    failure = cf.run("present", RECORD, "a").failure
    assert failure["phase"] == "cloudflare-create" and failure["type"] == "rateLimited"
    assert not failure["permanent"] and len(api.paths("POST")) == 5
    api.faults[:] = [{"match": "POST", "status": 429, "headers": {"Retry-After": "3600"}, "times": 9}]
    before = time.time()
    failure = cf.run("present", RECORD, "a").failure
    assert before + 3590 < failure["retryAt"] < time.time() + 3610
    assert len(api.paths("POST")) == 6


def test_cloudflare_errors_say_what_to_do(cf, api):
    failure = cf.run("present", RECORD, "a", apiToken="wrong-" + TOKEN).failure
    assert failure["message"].startswith(
        "Cloudflare, looking for the zone %s: code=9109 Invalid access token" % RECORD)
    assert "DNS:Edit" in failure["message"] and failure["permanent"]
    api.tokens["other"] = {"zones": {}, "status": "active", "account": False}
    failure = cf.run("present", RECORD, "a", apiToken="other").failure
    assert "no zone for " + RECORD in failure["message"] and "Zone:Read" in failure["message"]
    api.tokens[TOKEN]["zones"] = {ZONE: {"read"}}
    failure = cf.run("present", RECORD, "a").failure
    assert "code=10000" in failure["message"] and "DNS:Edit" in failure["message"]
    assert failure["permanent"]
    api.faults.append({"match": "GET", "body": b"<html>", "times": 1})
    failure = cf.run("present", RECORD, "a").failure
    assert "the answer (HTTP 200) is not JSON" in failure["message"]
    api.faults.append({"match": "GET", "body": b"[]", "status": 400, "times": 1})
    assert "HTTP 400" in cf.run("present", RECORD, "a").failure["message"]


def test_cloudflare_without_a_token(cf, api):
    settings = {"apiToken": None, "tokenProblem": "the environment variable CF_TOKEN is not set"}
    failure = cf.run("present", RECORD, "a", **settings).failure
    assert "the environment variable CF_TOKEN is not set" in failure["message"]
    assert failure["permanent"] and failure["phase"] == "cloudflare-create"
    assert cf.run("withdraw", RECORD, "a", **settings).ok
    assert journal(cf) == [(RECORD, "a")]  # it was not asked: to be withdrawn later
    failure = cf.run("present", RECORD, "a", apiToken="two lines\nX: y").failure
    assert "copy it again" in failure["message"]
    assert api.requests == []


def test_cloudflare_token_is_never_shown(cf, api):
    api.faults.append({"match": "POST", "status": 500, "times": 9})
    process = cf.start("present", RECORD, "a")
    harness.until("a request", lambda: api.paths("POST"))
    with open("/proc/%d/cmdline" % process.pid, "rb") as f:
        assert TOKEN.encode() not in f.read()
    api.faults.clear()
    out, err = process.communicate(timeout=harness.PATIENCE)
    assert process.returncode == 0 and TOKEN not in out + err
    assert TOKEN not in cf.journal.read_text()


def test_cloudflare_verify(cf, api):
    assert cf.run("verify").ok
    api.tokens[TOKEN]["status"] = "expired"
    assert "is expired: make a new one" in cf.run("verify").failure["message"]


def test_cloudflare_kill_9_and_sweep(cf, api):
    api.faults.append({"match": "DELETE", "status": 500, "times": 99})
    assert cf.run("present", RECORD, "a").ok
    process = cf.start("withdraw", RECORD, "a")
    harness.until("the request", lambda: api.paths("DELETE"))
    process.kill()
    process.communicate()
    assert api.contents(RECORD) == ["a"] and journal(cf) == [(RECORD, "a")]
    api.faults.clear()
    assert cf.run("sweep").ok
    assert api.contents(RECORD) == [] and journal(cf) is None


# The doctor.

def steps(lines):
    return [(line["step"], line["ok"]) for line in lines if "step" in line]


def test_doctor_cloudflare(cf, api):
    lines = cf.run("doctor", "ca.test")
    assert steps(lines) == [("token", True), ("zone", True), ("caa", True), ("txt", True),
                            ("visible", True), ("withdraw", True)] and lines.ok
    assert api.contents(RECORD) == [] and journal(cf) is None
    api.tokens[TOKEN]["account"] = True
    assert steps(cf.run("doctor", "ca.test"))[0] == ("token", True)
    lines = cf.run("doctor", "ca.test", apiToken="wrong")
    assert steps(lines) == [("token", False)] and not lines.ok
    assert steps(cf.run("doctor", zoneId=api.zone))[:2] == [("token", True), ("zone", True)]
    lines = cf.run("doctor", zoneId=api.zone, apiToken="wrong")
    assert steps(lines) == [("token", False)] and "code=9109" in lines.all("message")[0]
    api.tokens[TOKEN]["zones"] = {}
    assert steps(cf.run("doctor")) == [("token", True), ("zone", False)]
    api.tokens[TOKEN]["account"] = False
    lines = cf.run("doctor", zoneId="0" * 32)
    assert steps(lines) == [("token", True), ("zone", False)]
    assert "code=7003" in lines.all("message")[1]
    assert steps(cf.run("doctor")) == [("token", True), ("zone", False)]
    api.tokens[TOKEN]["zones"] = {ZONE: {"read"}}
    lines = cf.run("doctor")
    assert steps(lines)[-2:] == [("txt", False), ("withdraw", True)] and not lines.ok


def test_doctor_judges_the_token_without_dns(cf, api, dns_net):
    """What is known of the token is said before DNS is asked, which may be away as well."""
    dns_net.resolver.mood = fakedns.refuses(dns.rcode.SERVFAIL)
    resolvers = ["127.0.0.1:%d" % dns_net.port]
    lines = cf.run("doctor", apiToken=None, resolvers=resolvers)
    assert steps(lines) == [("token", False)] and api.requests == []
    assert "there is no API token" in lines.all("message")[0]
    assert steps(cf.run("doctor", apiToken="wrong", resolvers=resolvers)) == [("token", False)]
    api.tokens[TOKEN]["account"] = True
    assert steps(cf.run("doctor", resolvers=resolvers)) == [("token", True), ("txt", False)]


def test_doctor_names_caa_and_what_is_not_visible(cf, api, dns_net):
    dns_net.add(ZONE, "CAA", '0 issuewild "other.test"')
    lines = cf.run("doctor", "ca.test")
    assert steps(lines)[-1] == ("caa", False) and api.paths("POST") == []
    assert lines.all("message")[-1] == (
        '*.%s: The CAA records of %s (issuewild "other.test") do not allow it: add %s CAA 0 issuewild '
        '"ca.test".' % (ZONE, ZONE, ZONE)), lines
    dns_net.remove(ZONE, "CAA")
    api.publishes = False
    lines = cf.run("doctor", "ca.test", propagationTimeoutMs=1500)
    assert steps(lines)[-2:] == [("visible", False), ("withdraw", True)]
    assert api.contents(RECORD) == [] and not lines.ok


def test_doctor_hook(probe, dns_net):
    out = probe.dir / "out"
    command = "echo $WOS_ACME_HOOK_PHASE >> %s" % out
    lines = probe.run("doctor", createCommand=command, deleteCommand=command,
                      propagationTimeoutMs=1000)
    assert steps(lines) == [("txt", True), ("visible", False), ("withdraw", True)]
    assert out.read_text() == "create\ndelete\n"
    lines = probe.run("doctor", createCommand="echo no such zone >&2; exit 1", deleteCommand=command)
    assert steps(lines) == [("txt", False), ("withdraw", True)]
    assert any("no such zone" in m for m in lines.all("message"))


def test_doctor_follows_the_cname(cf, api, dns_net):
    dns_net.zone("elsewhere.test", dns_net.ns[:1])
    api.add_zone("elsewhere.test")
    api.tokens[TOKEN]["zones"]["elsewhere.test"] = {"read", "edit"}
    dns_net.add(RECORD, "CNAME", "challenge.elsewhere.test.")
    lines = cf.run("doctor", "ca.test")
    assert lines.ok and any("challenge.elsewhere.test" in m for m in lines.all("message"))
