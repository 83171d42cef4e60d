"""What the daemon does with the answers of gateways to its snapshots."""
import threading

import pytest

import fake_gateway
import harness
from fake_gateway import FakeGateway

ONE_WORKER = {"workers": 1}


@pytest.fixture
def refused(make_wos):
    """A wos whose gateway refuses each snapshot, and the gateway."""
    wos = make_wos(tunnel=ONE_WORKER)
    build = fake_gateway.build_of(wos)
    with FakeGateway(wos, build, lambda generation, payload: "snapshot: not to my taste") as fake:
        wos.ok("start")
        harness.until("a snapshot came", lambda: fake.seen(fake_gateway.SNAPSHOT))
        yield wos, fake
        wos.run("stop")


def test_a_refused_snapshot_is_not_sent_again_without_end(refused):
    """It was, as fast as both could: an answer without the snapshot's number looked like one to
    an older snapshot."""
    wos, fake = refused
    before = len(fake.seen(fake_gateway.SNAPSHOT))
    for i in range(20):  # many turns of both
        wos.ok("status", "--all")
    # Tried again, after pauses that grow: not thousands of times.
    assert len(fake.seen(fake_gateway.SNAPSHOT)) < before + 20


def test_who_waits_for_a_refused_snapshot_is_told_why(refused):
    wos, fake = refused
    result = wos.run("publish", "tool", 4567)
    assert "not to my taste" in result.out + result.err, result
    result = wos.run("publish", "other", 4568)  # the next is sent at once
    assert "not to my taste" in result.out + result.err, result
    log = (wos.home / "daemon.log").read_text()
    assert log.count("not to my taste") == 1, log[-2000:]


def test_a_snapshot_refused_once_is_tried_again(make_wos):
    """As after want of memory: nobody has to change anything. It greeted with generation -1, which
    is none: those of the daemon began again at 0, which no waiting command ever saw served."""
    wos = make_wos(tunnel=ONE_WORKER)
    build = fake_gateway.build_of(wos)
    tries = []

    def answer(generation, _):
        tries.append(generation)
        return "snapshot: out of memory" if tries.count(generation) < 2 else None
    with FakeGateway(wos, build, answer, generation=-1):
        wos.ok("start")
        harness.until("it is served", lambda: wos.status_all()["tunnel"]["state"] == "serving")
        assert 0 not in tries, tries
        assert len(tries) == len(set(tries)) + 1, tries
        wos.run("stop")


def test_no_free_wrong_secret_can_be_published(make_wos):
    """tunnel.limits.failedSecretsFree: 0 was allowed and then refused by the gateway."""
    wos = make_wos(service_tunnels={"access": "secret", "secret": "a secret of the test"})
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    wos.ok("config", "set", "tunnel.limits.failedSecretsFree", "0")
    wrong = [("x-wos-secret", "no")]
    assert wos.get("alpha-web", "/hello", headers=wrong).status == 401
    assert wos.get("alpha-web", "/hello", headers=wrong).status == 429


@pytest.mark.parametrize("key", ["tunnel.trustedProxies", "tunnel.proxyProtocol"])
def test_more_proxies_than_a_snapshot_holds_are_refused(wos, key):
    many = ["10.%d.%d.1" % (i // 250, i % 250) for i in range(1001)]
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    wos.up("alpha")
    result = wos.run("config", "set", key, "[%s]" % ",".join('"%s"' % ip for ip in many))
    assert result.code != 0 and "1001 entries, more than the 1000" in result.err, result
    wos.ok("config", "set", key, "[%s]" % ",".join('"%s"' % ip for ip in many[:1000]))
    assert wos.get("alpha-web", "/hello").status == 200


@pytest.fixture
def replaced(make_wos):
    """Starts a wos beside a gateway of another build, with the answers given, and waits until that
    one is told to drain."""
    fakes = []

    def start(answer):
        wos = make_wos(tunnel=ONE_WORKER)
        fake = FakeGateway(wos, "another", answer)
        fakes.append(fake)
        wos.ok("start")
        wos.ok("publish", "tool", 4567)
        harness.until("it is to drain", lambda: fake.seen(fake_gateway.DRAIN))
        return wos, fake
    yield start
    for fake in fakes:
        fake.wos.run("stop")
        fake.close()


@pytest.mark.parametrize("protocol", [fake_gateway.PROTOCOL, fake_gateway.PROTOCOL - 1])
def test_a_replaced_gateway_that_cannot_be_told_ends(make_wos, protocol):
    """It went on until something was taken away, counted from the first snapshot of this daemon: what
    had been taken away while none ran it went on to serve."""
    wos = make_wos(tunnel=ONE_WORKER)
    wos.ok("start")
    wos.ok("publish", "tool", 4567)
    wos.ok("stop")
    with FakeGateway(wos, "another", lambda *_: "snapshot: version 99, this program knows 1",
                     protocol=protocol) as fake:
        wos.config["tunnel"].update(serviceTunnels={"whitelistIps": ["192.0.2.0/24"]})
        wos.write_config()
        wos.ok("start")
        harness.until("it is told to end", lambda: fake.seen(fake_gateway.SHUTDOWN))
        # This one does not end, is found again and may be asked again.
        assert bool(fake.seen(fake_gateway.SNAPSHOT)) == (protocol == fake_gateway.PROTOCOL)
        harness.until("the new one serves",
                      lambda: wos.status_all()["tunnel"]["state"] == "serving")
        wos.ok("stop")


def test_who_waits_for_a_snapshot_waits_for_a_replaced_gateway(replaced):
    """What a command says has happened has happened there too."""
    hold = threading.Event()
    held = []

    def answer(generation, _):
        if hold.is_set():
            held.append(generation)
            return False
        return None
    wos, fake = replaced(answer)
    hold.set()
    command = wos.popen("publish", "another", 4568)
    harness.until("it has the snapshot", lambda: held)
    assert wos.status_all()["tunnel"]["state"] == "serving"
    assert command.poll() is None
    hold.clear()
    for generation in list(held):
        fake.send(fake_gateway.ACK, {"generation": generation})
    assert command.wait(60) == 0


def test_a_replaced_gateway_that_refuses_what_it_could_read_ends(replaced):
    broken = threading.Event()
    wos, fake = replaced(lambda *_: "snapshot: out of memory" if broken.is_set() else None)
    broken.set()
    wos.ok("publish", "another", 4568)
    assert fake.seen(fake_gateway.SHUTDOWN)


def test_a_gateway_ends_when_the_tunnel_was_disabled(make_wos):
    """It drained, for drainSeconds, and nothing could be revoked there."""
    wos = make_wos(tunnel={**ONE_WORKER, "enabled": False})
    with FakeGateway(wos) as fake:
        wos.ok("start")
        harness.until("it is told to end", lambda: fake.seen(fake_gateway.SHUTDOWN))
        wos.ok("stop")
