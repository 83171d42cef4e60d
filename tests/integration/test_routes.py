"""Names: which exist, when, and what answers in their place."""
import json
import os
import signal
import socket

import pytest

import clients
import harness

ONE = harness.shell_app(web=harness.python_service("$(basename $PWD)"))


def test_each_worktree_has_its_name(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    wos.up("beta")
    assert wos.get("alpha-web", "/hello").text == "hello from alpha\n"
    assert wos.get("beta-web", "/hello").text == "hello from beta\n"
    routes = wos.routes()
    assert set(routes) == {"alpha-web.wos.localhost", "beta-web.wos.localhost"}
    route = routes["alpha-web.wos.localhost"]
    assert route["url"] == wos.url("alpha-web", "").rstrip("/")
    assert (route["class"], route["state"], route["service"]) == ("service", "live", "web")
    assert route["hostMode"] == "preserve"
    assert route["port"] == wos.host_port("alpha")


def test_up_prints_urls_that_serve_already(wos):
    wos.deploy(ONE)
    result = wos.up("alpha")
    assert wos.url("alpha-web", "").rstrip("/") in result.out
    assert wos.get("alpha-web", "/hello").status == 200


def test_down_closes_and_up_gives_the_same_name(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    wos.up("beta")
    port = wos.host_port("alpha")
    wos.down("alpha")
    answer = wos.get("alpha-web", "/hello")
    assert (answer.status, answer.text) == (404, "tunnel: no route for host\n")
    assert wos.get("beta-web", "/hello").status == 200
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").text == "hello from alpha\n"
    assert wos.host_port("alpha") == port


def test_names_are_stable_across_order_and_restarts(wos):
    """Two worktrees that end in the same name, started in either order."""
    other = wos.dir / "elsewhere"
    other.mkdir()
    wos.git("worktree", "add", "-q", "-b", "twin", other / "alpha", cwd=wos.source)
    wos.trees["twin"] = other / "alpha"
    wos.deploy(harness.shell_app(web=harness.python_service("$PWD")))
    wos.up("alpha")
    wos.up("twin")
    names = {h: r["owner"] for h, r in wos.routes().items()}
    assert len(names) == 2
    assert "alpha-web.wos.localhost" in names and "alpha2-web.wos.localhost" in names
    assert wos.get("alpha2-web", "/hello").text == "hello from %s\n" % (other / "alpha")
    wos.down("alpha")
    wos.down("twin")
    wos.ok("stop")
    wos.up("twin")  # first now, and still the second name
    wos.up("alpha")
    assert {h: r["owner"] for h, r in wos.routes().items()} == names
    assert wos.get("alpha2-web", "/hello").text == "hello from %s\n" % (other / "alpha")


def test_second_port_of_a_service_has_its_port_in_the_name(wos):
    script = "%s %s/backend.py --port $WOS_SERVICE_PORT --name first & " % (
        harness.PYTHON, harness.FAKES)
    script += "exec %s %s/backend.py --port $SECOND --name second" % (
        harness.PYTHON, harness.FAKES)
    wos.deploy(harness.shell_app(web={
        "script": [script], "ports": [3000, 3001],
        "environment": {"SECOND": "${app.services.web.hostPort[3001]}"}}))
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").text == "hello from first\n"
    assert wos.get("alpha-web-3001", "/hello").text == "hello from second\n"


def test_long_names_fit_a_label(wos):
    tree = "w" * 60
    wos.add_worktree(tree)
    wos.deploy(ONE)
    wos.up(tree)
    [host] = wos.routes()
    label = host.split(".")[0]
    assert len(label) <= 63
    assert label.startswith("w" * 40) and label[-7] == "-"
    int(label[-6:], 16)
    assert wos.get(host, "/hello").status == 200


def test_odd_worktree_names_become_labels(wos):
    wos.add_worktree("Feature_X+Y..Z")
    wos.deploy(ONE)
    wos.up("Feature_X+Y..Z")
    assert list(wos.routes()) == ["feature-x-y-z-web.wos.localhost"]
    assert wos.get("feature-x-y-z-web", "/hello").status == 200


def test_unknown_host(wos, http):
    wos.deploy(ONE)
    wos.up("alpha")
    for name in ("nobody", "web", "wos.localhost"):
        answer = wos.get(name, "/hello", http=http)
        assert (answer.status, answer.text) == (404, "tunnel: no route for host\n"), name
        assert answer.get("content-type").startswith("text/plain")
    with wos.h1("alpha-web", authority="evil.example") as client:
        answer = client.request(path="/hello")
        assert (answer.status, answer.text) == (404, "tunnel: no route for host\n")


def test_starting_service_answers_503_with_its_state(wos, http):
    flag = wos.dir / "go"
    wos.deploy(harness.shell_app(web=harness.python_service("late", "--wait-for %s" % flag)))
    result = wos.up("alpha", "-d")
    assert "wos up: deployment started in the background." in result.out
    answer = wos.wait_route("alpha-web", "/hello", 503)
    assert "starting" in answer.text.lower() and "web" in answer.text

    def page():
        return wos.get("alpha-web", "/hello", headers=[("Accept", "application/json")], http=http)
    harness.until("the phase", lambda: page().json.get("phase") == "health checks")
    answer = page()
    assert answer.status == 503 and answer.json["elapsedSeconds"] >= 0
    flag.touch()
    assert wos.wait_route("alpha-web", "/hello", 200).text == "hello from late\n"
    wos.ok("wait", cwd="alpha")


def test_dead_service_is_told_by_name(wos, http):
    port = wos.backend("gone")
    wos.ok("publish", "gone", port)
    assert wos.get("gone", "/hello").status == 200
    wos.procs[-1].kill()
    wos.procs[-1].wait()
    answer = wos.get("gone", "/hello", http=http)
    assert answer.status == 502
    assert "gone" in answer.text and "refused" in answer.text.lower()
    assert answer.get("content-type").startswith("text/plain")


def test_stopped_shell_service_does_not_leave_its_name_open(wos):
    """The process is gone: nothing else may be served under its name."""
    wos.deploy(ONE)
    wos.up("alpha")
    pid = wos.service_pids("alpha")["web"]
    os.kill(pid, signal.SIGKILL)

    def told():
        answer = wos.get("alpha-web", "/hello")
        assert answer.status in (502, 503), answer
        return True
    harness.until("the death is told", told)
    assert "web" in wos.get("alpha-web", "/hello").text


def test_service_that_takes_no_connection_is_a_504(wos):
    """A listener with a full backlog drops SYNs: connecting takes for ever."""
    port = harness.free_port()
    held = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        listener = socket.socket(family)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(0)
        held.append(listener)
        for _ in range(4):
            client = socket.socket(family)
            client.setblocking(False)
            client.connect_ex((host, port))
            held.append(client)
    try:
        wos.ok("publish", "full", port)
        answer = wos.get("full", "/hello")
        assert answer.status == 504, answer
        assert "full" in answer.text
    finally:
        for s in held:
            s.close()


# --- publish -------------------------------------------------------------------

def test_publish_and_unpublish(wos):
    port = wos.backend("own")
    result = wos.ok("publish", "tool", port)
    assert wos.url("tool", "").rstrip("/") in result.out
    assert wos.get("tool", "/hello").text == "hello from own\n"
    route = wos.routes()["tool.wos.localhost"]
    assert (route["class"], route["owner"], route["port"]) == ("published", "publish", port)
    other = wos.backend("other")
    wos.ok("publish", "tool", other)
    assert wos.get("tool", "/hello").text == "hello from other\n"
    wos.ok("unpublish", "tool")
    assert wos.get("tool", "/hello").status == 404
    assert wos.run("unpublish", "tool").code == 1


def test_publish_is_kept_across_restarts(wos):
    port = wos.backend("own")
    wos.ok("publish", "tool", port)
    wos.ok("restart")
    assert wos.get("tool", "/hello").text == "hello from own\n"
    wos.ok("stop")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", wos.port), 5).close()
    wos.ok("start")
    assert wos.wait_route("tool", "/hello").text == "hello from own\n"
    wos.ok("unpublish", "tool")
    wos.ok("restart")
    assert wos.get("tool", "/hello").status == 404


def test_publish_outlives_a_kill(wos):
    """Changes are a log until the daemon ends properly, or the next one starts."""
    own, other = wos.backend("own"), wos.backend("other")
    wos.ok("publish", "tool", own)
    wos.ok("publish", "gone", own)
    wos.ok("publish", "tool", other)
    wos.ok("unpublish", "gone")
    log = wos.home / "published.log"
    assert len(log.read_text().splitlines()) == 4 and log.stat().st_mode & 0o777 == 0o600
    daemon = wos.daemon_pid()
    os.kill(daemon, signal.SIGKILL)
    harness.until("it is dead", lambda: not harness.alive(daemon))
    with open(log, "a", encoding="ascii") as out:
        out.write('{"name":"half","po')  # nobody was told that this was published
    wos.ok("status", "--all")
    assert wos.wait_route("tool", "/hello").text == "hello from other\n"
    assert wos.get("gone", "/hello").status == 404
    assert not log.exists()
    kept = json.loads((wos.home / "published.json").read_text())["published"]
    assert [(row["name"], row["port"]) for row in kept] == [("tool", other)]


def test_publish_json(wos):
    port = wos.backend("own")
    result = wos.ok("publish", "tool", port, "--json").json
    assert result["success"] is True and result["command"] == "publish"
    assert result["error"] is None
    assert result["data"]["hostname"] == "tool.wos.localhost"
    assert result["data"]["url"] == wos.url("tool", "").rstrip("/")


@pytest.mark.parametrize("args", [("tool",), (), ("tool", "0"), ("tool", "65536"), ("tool", "x"),
                                  ("tool", "80", "81"), ("tool", "80", "--host", "other")])
def test_publish_usage(wos, args):
    assert wos.run("publish", *args).code == 2


def test_publish_refuses_bad_names(wos):
    for name in ("a b", "-a", "a-", "a/b", "ü", "x" * 64, ""):
        result = wos.run("publish", name, "3000")
        assert result.code in (1, 2), (name, result)
        assert result.err.strip(), result
    assert not wos.routes()


def test_publish_does_not_take_a_services_name(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    port = wos.backend("thief")
    result = wos.run("publish", "alpha-web", port)
    assert result.code == 1, result
    assert wos.get("alpha-web", "/hello").text == "hello from alpha\n"


# --- Host ---------------------------------------------------------------------

def seen_host(wos, label, **keys):
    echo = wos.get(label, "/echo", **keys).json
    return [v for n, v in echo["headers"] if n.lower() == "host"]


def test_host_rewrite_of_a_published_port(wos, http):
    port = wos.backend("own")
    wos.ok("publish", "kept", port)
    wos.ok("publish", "changed", port, "--host", "rewrite")
    assert seen_host(wos, "kept", http=http) == ["kept.wos.localhost:%d" % wos.port]
    assert seen_host(wos, "changed", http=http) == ["localhost:%d" % port]
    echo = wos.get("changed", "/echo", http=http).json
    [forwarded] = [v for n, v in echo["headers"] if n.lower() == "x-forwarded-host"]
    assert forwarded.split(":")[0] == "changed.wos.localhost"
    assert wos.routes()["changed.wos.localhost"]["hostMode"] == "rewrite"


def test_host_rewrite_of_a_deployed_port(wos):
    wos.deploy(harness.shell_app(
        web=harness.python_service("web", ports=[{"port": 3000, "host": "rewrite"}]),
        api=harness.python_service("api")))
    wos.up("alpha")
    assert seen_host(wos, "alpha-web") == ["localhost:%d" % wos.host_port("alpha", "web")]
    assert seen_host(wos, "alpha-api") == ["alpha-api.wos.localhost:%d" % wos.port]


def test_host_rewrite_for_all(make_wos):
    wos = make_wos(service_tunnels={"host": "rewrite"})
    wos.deploy(harness.shell_app(
        web=harness.python_service("web"),
        api=harness.python_service("api", ports=[{"port": 3000, "host": "preserve"}])))
    wos.up("alpha")
    assert seen_host(wos, "alpha-web") == ["localhost:%d" % wos.host_port("alpha", "web")]
    assert seen_host(wos, "alpha-api") == ["alpha-api.wos.localhost:%d" % wos.port]


# --- who may --------------------------------------------------------------------

@pytest.mark.parametrize("allowed,status", [
    (["127.0.0.1"], 200), (["127.0.0.0/8"], 200), (["10.0.0.0/8"], 403),
    (["10.0.0.1", "127.0.0.2"], 403), (["::1"], 403), (["10.0.0.0/8", "127.0.0.1/32"], 200)])
def test_whitelist(make_wos, allowed, status):
    wos = make_wos(service_tunnels={"whitelistIps": allowed})
    wos.deploy(ONE)
    wos.up("alpha")
    answer = wos.get("alpha-web", "/hello")
    assert answer.status == status
    if status == 403:
        assert answer.text == "tunnel: forbidden\n"
        # A client cannot claim an address.
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
            value = "for=10.0.0.1" if header == "Forwarded" else "10.0.0.1"
            assert wos.get("alpha-web", "/hello", headers=[(header, value)]).status == 403


def test_whitelist_ipv6(make_wos):
    wos = make_wos(service_tunnels={"whitelistIps": ["::1"]})
    wos.deploy(ONE)
    wos.up("alpha")
    with wos.h1("alpha-web", address="::1") as client:
        assert client.request(path="/hello").status == 200
    assert wos.get("alpha-web", "/hello").status == 403


def test_whitelist_is_asked_before_a_websocket(make_wos, http):
    wos = make_wos(service_tunnels={"whitelistIps": ["10.0.0.0/8"]})
    wos.deploy(ONE)
    wos.up("alpha")
    with wos.ws("alpha-web", http=http) as ws:
        assert ws.answer.status == 403


def test_service_tunnels_off_publishes_no_service(make_wos):
    wos = make_wos(service_tunnels={"enabled": False})
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 404
    assert not wos.routes()
    with clients.Http1(wos.host_port("alpha"), "localhost") as client:
        assert client.request(path="/hello").status == 200


def test_no_tunnel_flag(wos):
    wos.deploy(ONE)
    wos.up("alpha", "--no-tunnel")
    assert wos.get("alpha-web", "/hello").status == 404
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200


# --- addresses ------------------------------------------------------------------

def test_ipv6_listener(wos, http):
    wos.deploy(ONE)
    wos.up("alpha")
    open_it = wos.h1 if http == "h1" else wos.h2
    with open_it("alpha-web", address="::1") as client:
        echo = client.request(path="/echo").json
    headers = {n.lower(): v for n, v in echo["headers"]}
    assert headers["x-forwarded-for"] == "::1"
    assert '"[::1]"' in headers["forwarded"]  # RFC 7239: brackets and quotes


def test_service_on_ipv6_only(wos):
    port = wos.backend("six", hosts=("::1",))
    wos.ok("publish", "six", port)
    assert wos.get("six", "/hello").text == "hello from six\n"


def test_ip_hosts_are_no_route(wos):
    wos.deploy(ONE)
    wos.up("alpha")
    for authority in ("127.0.0.1", "[::1]:%d" % wos.port, "[::1]"):
        with wos.h1("alpha-web", authority=authority) as client:
            answer = client.request(path="/hello")
            assert (answer.status, answer.text) == (404, "tunnel: no route for host\n"), authority


def test_cleartext_when_ssl_is_off(make_wos):
    wos = make_wos(ssl={"enabled": False})
    wos.deploy(ONE)
    result = wos.up("alpha")
    assert "http://alpha-web.wos.localhost:%d" % wos.port in result.out
    with wos.ws("alpha-web") as ws:
        assert ws.open
        assert clients.echo_many(ws, 3, 100000) == 3


def test_public_port_is_in_urls_and_headers(make_wos):
    wos = make_wos(tunnel={"publicPort": 443})
    wos.deploy(ONE)
    result = wos.up("alpha")
    assert "https://alpha-web.wos.localhost\n" in result.out.replace(" ", "\n")
    echo = wos.get("alpha-web", "/echo").json
    assert ["443"] == [v for n, v in echo["headers"] if n.lower() == "x-forwarded-port"]


def test_tunnel_port_in_use_is_told(make_wos):
    port = harness.free_port()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", port))
        taken.listen()
        wos = make_wos(tunnel={"port": port})
        wos.deploy(ONE)
        wos.run("start")
        tunnel = wos.status_all()["tunnel"]
        assert tunnel["state"] == "failed"
        assert str(port) in json.dumps(tunnel["error"])


def test_workers_setting(make_wos):
    wos = make_wos(tunnel={"workers": 3})
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.status_all()["tunnel"]["workers"] == 3
    for _ in range(50):
        assert wos.get("alpha-web", "/hello").status == 200
