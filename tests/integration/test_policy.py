"""Who may see a route: deploy.yaml, wos publish, and changes while everything runs."""
import json
import os
import stat

import pytest

import harness

EVERYONE = "127.0.0.0/8"
NOBODY_HERE = "192.0.2.0/24"
SECRET = "a secret that is long enough"


def ports_app(**options):
    """One service; `options` are the members of its port."""
    return harness.shell_app(web=harness.python_service(
        "web", ports=[{"port": 3000, **options}]))


def route(wos, label):
    return wos.routes()[wos.host(label)]


def set_config(wos, key, value):
    return wos.ok("config", "set", key, value)


def set_secret(wos, text=SECRET):
    return wos.run("config", "set", "tunnel.serviceTunnels.secret", "-", text_input=text + "\n")


def api(wos, method, path, body=None):
    args = ["-s", "-X", method, "--unix-socket", wos.home / "daemon.sock", "-w", "\n%{http_code}",
            "http://wos/v1" + path]
    if body is not None:
        args += ["--data", json.dumps(body)]
    text, _, code = wos.curl(*args)[1].decode().rpartition("\n")
    return int(code), json.loads(text)


def config_file(wos):
    return json.loads((wos.home / "config.json").read_text())


@pytest.fixture
def quiet(gate):
    """The running wos of this file, with the settings it began with."""
    before = (gate.home / "config.json").read_text()
    yield gate
    for item in gate.ok("publish", "--list", "--json").data["published"]:
        gate.ok("unpublish", item["name"])
    gate.write_config(before)
    gate.ok("config", "unset", "editorCommand")  # reads the file again, and applies it


# --- deploy.yaml ----------------------------------------------------------------

def test_options_of_a_port_reach_the_route_and_survive_a_restart(wos):
    wos.deploy(ports_app(access="private", backend="https", insecure=True, healthcheck=False,
                         whitelistIps=[EVERYONE, "::1"], rate_limit=5, max_concurrent=3))
    result = wos.up("alpha")
    assert "private" in result.out

    def check():
        found = route(wos, "alpha-web")
        assert (found["access"], found["backend"]) == ("private", "https-insecure")
        assert (found["whitelistCount"], found["classWhitelistCount"]) == (2, 0)
        assert found["rateLimit"] == {"requestsPerSecond": 5, "burst": 50}
        assert found["maxConcurrent"] == 3
        assert "url" not in found and "warning" not in found
        [tunnel] = wos.ok("status", "--json", cwd="alpha").data["tunnels"]
        assert (tunnel["state"], tunnel["hostname"]) == ("private", wos.host("alpha-web"))
        assert "url" not in tunnel
        assert wos.get("alpha-web", "/hello").status == 404
    check()
    wos.ok("restart")
    check()
    wos.deploy(ports_app(whitelist_ips=[NOBODY_HERE]))
    assert wos.url("alpha-web", "").rstrip("/") in wos.up("alpha").out
    assert wos.get("alpha-web", "/hello").status == 403
    wos.deploy(ports_app())
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200


def test_a_private_port_is_localhost_to_the_others(wos):
    app = ports_app(access="private")
    app["app"]["services"]["web"]["environment"] = {
        "SEEN": "${app.services.web.url[3000]} ${app.services.web.hostname[3000]}"}
    wos.deploy(app)
    wos.up("alpha")
    [pid] = wos.service_pids("alpha").values()
    with open("/proc/%d/environ" % pid, "rb") as f:
        seen = dict(line.split(b"=", 1) for line in f.read().split(b"\0") if b"=" in line)
    assert seen[b"SEEN"].decode() == "http://localhost:%d localhost" % wos.host_port("alpha")


def test_every_mistake_has_its_place(wos):
    wos.deploy(source="mode: shell\napp:\n  services:\n    web:\n      script: [true]\n"
                      "      ports:\n        - port: 3000\n          access: everyone\n"
                      "          backend: http3\n          whitelist_ips: [10.0.0.1/8]\n"
                      "          max_concurrent: 0\n")
    result = wos.run("up", cwd="alpha")
    assert result.code == 3
    for place, what in (("8:19", "public, secret or private"), ("9:20", "http, https or h2c"),
                        ("10:27", "beyond the first 8"), ("11:27", "1 to 1000000")):
        assert "deploy.yaml:%s: app.services.web.ports[0]" % place in result.err, result
        assert what in result.err, result


def test_more_than_the_machine_allows_is_capped_and_told(make_wos):
    wos = make_wos(service_tunnels={"access": "secret", "secret": SECRET})
    wos.deploy(ports_app(access="public"))
    result = wos.up("alpha")
    told = "service web, port 3000 asks for access public; tunnel.serviceTunnels.access allows " \
           "secret at most"
    assert "warning: %s" % told in result.out and "(secret)" in result.out
    found = route(wos, "alpha-web")
    assert (found["access"], found["warning"]) == ("secret", told)
    assert told in (wos.home / "daemon.log").read_text()
    result = wos.ok("publish", "tool", "1234", "--access", "public", "--json")
    assert result.data["effectiveAccess"] == "secret"
    assert "allows secret at most" in result.data["warning"]
    # No more words about it in the log than once.
    wos.ok("config", "set", "tunnel.hsts", "60")
    assert (wos.home / "daemon.log").read_text().count(told) == 1


# --- wos publish ------------------------------------------------------------------

def test_publish_again_replaces_all_options(quiet):
    port = quiet.backend("own")
    quiet.ok("publish", "tool", port, "--access", "private", "--max-concurrent", "2")
    assert quiet.get("tool", "/hello").status == 404
    assert route(quiet, "tool")["access"] == "private"
    quiet.ok("publish", "tool", port, "--whitelist", NOBODY_HERE, "--whitelist", "::1")
    assert quiet.get("tool", "/hello").status == 403
    assert "maxConcurrent" not in route(quiet, "tool")
    quiet.ok("publish", "tool", port, "--whitelist", EVERYONE)
    assert quiet.get("tool", "/hello").text == "hello from own\n"
    quiet.ok("publish", "tool", port)
    assert route(quiet, "tool")["whitelistCount"] == 0
    listed = quiet.ok("publish", "--list").out
    assert "public" in listed and "https://tool." in listed


def test_published_options_survive_a_restart(wos):
    port = wos.backend("own")
    wos.ok("publish", "tool", port, "--whitelist", NOBODY_HERE, "--backend", "h2c", "--rate", "7")
    wos.ok("publish", "hidden", port, "--access", "private")
    wos.ok("restart")
    assert wos.get("tool", "/hello").status == 403
    assert wos.get("hidden", "/hello").status == 404
    found = route(wos, "tool")
    assert (found["backend"], found["rateLimit"]["requestsPerSecond"]) == ("h2c", 7)
    # What cannot be read any more is nobody's.
    wos.ok("stop")
    path = wos.home / "published.json"
    path.write_text(path.read_text().replace(NOBODY_HERE, "everyone"))
    wos.ok("start")
    assert wos.get("tool", "/hello").status == 404
    assert route(wos, "tool")["access"] == "private"


def test_publish_tells_of_a_bad_address(quiet):
    result = quiet.run("publish", "tool", "80", "--whitelist", "10.0.0.1/8")
    assert result.code == 2 and "whitelistIps[0]: 10.0.0.1/8" in result.err, result
    assert quiet.host("tool") not in quiet.routes()


# --- while everything runs ----------------------------------------------------------

def test_whitelist_reaches_open_connections(quiet, http):
    with (quiet.h1 if http == "h1" else quiet.h2)("alpha-web") as client:
        assert client.request(path="/hello").status == 200
        set_config(quiet, "tunnel.serviceTunnels.whitelistIps", NOBODY_HERE + ",10.0.0.0/8")
        assert client.request(path="/hello").status == 403
        set_config(quiet, "tunnel.serviceTunnels.whitelistIps", EVERYONE)
        assert client.request(path="/hello").status == 200
        assert quiet.routes()[quiet.host("alpha-web")]["classWhitelistCount"] == 1
        quiet.ok("config", "unset", "tunnel.serviceTunnels.whitelistIps")
        assert client.request(path="/hello").status == 200


def test_both_lists_have_to_allow(quiet):
    port = quiet.backend("own")
    quiet.ok("publish", "tool", port, "--whitelist", EVERYONE)
    set_config(quiet, "tunnel.serviceTunnels.whitelistIps", EVERYONE)
    assert quiet.get("tool", "/hello").status == 200
    quiet.ok("publish", "tool", port, "--whitelist", NOBODY_HERE)
    assert quiet.get("tool", "/hello").status == 403
    quiet.ok("publish", "tool", port, "--whitelist", EVERYONE)
    set_config(quiet, "tunnel.serviceTunnels.whitelistIps", NOBODY_HERE)
    assert quiet.get("tool", "/hello").status == 403


def test_access_applies_at_once(quiet):
    pid = quiet.gateway_pid()
    set_config(quiet, "tunnel.serviceTunnels.access", "private")
    assert quiet.get("alpha-web", "/hello").status == 404
    assert route(quiet, "alpha-web")["access"] == "private"
    set_config(quiet, "tunnel.serviceTunnels.access", "public")
    assert quiet.get("alpha-web", "/hello").status == 200
    set_config(quiet, "tunnel.serviceTunnels.enabled", "false")
    assert quiet.get("alpha-web", "/hello").status == 404
    assert quiet.host("alpha-web") not in quiet.routes()
    set_config(quiet, "tunnel.serviceTunnels.enabled", "true")
    assert quiet.get("alpha-web", "/hello").text == "hello from web-of-alpha\n"
    assert quiet.gateway_pid() == pid


def test_secret_without_a_secret_is_closed_and_told(quiet):
    result = set_config(quiet, "tunnel.serviceTunnels.access", "secret")
    assert "warning: tunnel.serviceTunnels.access" in result.err
    found = route(quiet, "alpha-web")
    assert found["access"] == "secret" and "closed to everyone" in found["warning"]
    result = set_secret(quiet, "short")
    assert result.code == 0 and "less than 12 characters" in result.err
    result = set_secret(quiet)
    assert result.code == 0 and "warning" not in result.err
    assert "warning" not in route(quiet, "alpha-web")


def test_a_secret_comes_from_stdin_only_and_stays_inside(quiet):
    result = quiet.run("config", "set", "tunnel.serviceTunnels.secret", SECRET)
    assert result.code == 2 and "stdin" in result.err and SECRET not in result.err
    result = quiet.run("config", "set", "tunnel.serviceTunnels", json.dumps({"secret": SECRET}))
    assert result.code == 2 and SECRET not in result.err
    assert set_secret(quiet).code == 0
    assert config_file(quiet)["tunnel"]["serviceTunnels"]["secret"] == SECRET
    assert stat.S_IMODE((quiet.home / "config.json").stat().st_mode) == 0o600
    for path in quiet.home.rglob("*"):
        if path.is_file() and path.name != "config.json":
            assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in quiet.ok("status", "--all", "--json").out
    code, data = api(quiet, "GET", "/settings/config")
    assert code == 200 and SECRET not in json.dumps(data)
    assert data["secrets"] == ["tunnel.serviceTunnels.secret"]


def test_a_wrong_value_changes_nothing(quiet):
    before = (quiet.home / "config.json").read_bytes()
    for args, said in (
            (("tunnel.serviceTunnels.access", "open"), "public|secret|private"),
            (("tunnel.serviceTunnels.whitelistIps", "10.0.0.1/8"), "entry 1"),
            (("tunnel.serviceTunnels.acess", "public"), "did you mean"),
            (("tunnel.hsts", "soon"), "an integer"),
            (("tunnel.hsts", "60", "tunnel.tls.minVersion", "1.1"), "1.2|1.3"),
            (("tunnel.domain", "a b"), "not a domain"),
            (("tunnel.hsts",), "KEY VALUE"),
            (("tunnel.limits", "7"), "must be an object")):
        result = quiet.run("config", "set", *args)
        assert result.code == 2 and said in result.err, result
    assert quiet.run("config", "unset", "nonsense").code == 2
    assert quiet.run("config", "unset").code == 2
    assert (quiet.home / "config.json").read_bytes() == before


def test_unknown_keys_stay_and_others_wait_for_the_restart(quiet):
    config = json.loads((quiet.home / "config.json").read_text())
    config["fromTheFuture"] = {"a": [1, None, "x"]}
    quiet.write_config(json.dumps(config))
    result = quiet.ok("config", "set", "tunnel.drainSeconds", "599", "tunnel.hsts", "60")
    assert "tunnel.drainSeconds takes effect after `wos restart`" in result.err
    assert "tunnel.hsts takes" not in result.err
    saved = config_file(quiet)
    assert saved["fromTheFuture"] == {"a": [1, None, "x"]}
    assert saved["tunnel"]["drainSeconds"] == 599 and saved["tunnel"]["hsts"] == 60
    data = quiet.ok("config", "set", "tunnel.hsts", "0", "--json").data
    assert data["restartKeys"] == ["tunnel.drainSeconds"] and data["restartRequired"] is True
    assert data["served"] is True
    shown = api(quiet, "GET", "/settings/config")[1]
    assert (shown["restartRequired"], shown["restartKeys"]) == (True, ["tunnel.drainSeconds"])
    assert api(quiet, "GET", "/status/all")[1]["config"]["restartKeys"] == ["tunnel.drainSeconds"]
    quiet.ok("config", "unset", "fromTheFuture")
    assert "fromTheFuture" not in config_file(quiet)


def test_limits_apply_at_once(quiet):
    with quiet.h1("alpha-web") as client:
        long = "/hello?" + "x" * 600
        assert client.request(path=long).status == 200
        set_config(quiet, "tunnel.limits.uriBytesMax", "256")
        with quiet.h1("alpha-web") as fresh:
            assert fresh.request(path=long).status == 414
        quiet.ok("config", "unset", "tunnel.limits.uriBytesMax")
        with quiet.h1("alpha-web") as fresh:
            assert fresh.request(path=long).status == 200


# --- the API ---------------------------------------------------------------------------

def test_put_is_the_whole_configuration_but_what_it_cannot_show(quiet):
    assert set_secret(quiet).code == 0
    config = config_file(quiet)
    config["fromTheFuture"] = 1
    config["commitMessages"] = {"model": "x"}
    quiet.write_config(json.dumps(config))
    code, shown = api(quiet, "GET", "/settings/config")
    assert code == 200
    draft = shown["config"]["raw"]
    assert "secret" not in draft["tunnel"]["serviceTunnels"] and "fromTheFuture" not in draft
    draft["tunnel"]["hsts"] = 30
    del draft["tunnel"]["serviceTunnels"]["enabled"]
    code, answer = api(quiet, "PUT", "/settings/config", draft)
    assert (code, answer["restartRequired"]) == (200, False), answer
    saved = config_file(quiet)
    assert saved["tunnel"]["hsts"] == 30
    assert saved["tunnel"]["serviceTunnels"] == {"secret": SECRET}
    assert saved["fromTheFuture"] == 1 and saved["commitMessages"] == {"model": "x"}
    assert quiet.host("alpha-web") not in quiet.routes()
    draft["tunnel"]["serviceTunnels"] = {"enabled": True, "secret": None}
    code, answer = api(quiet, "PUT", "/settings/config", draft)
    assert code == 200 and config_file(quiet)["tunnel"]["serviceTunnels"] == {"enabled": True}
    assert quiet.get("alpha-web", "/hello").status == 200
    draft["tunnel"]["hsts"] = "x"
    draft["tunnel"]["port"] = 0
    code, answer = api(quiet, "PUT", "/settings/config", draft)
    assert (code, answer["error"]) == (400, "validation")
    assert {e["field"] for e in answer["errors"]} == {"tunnel.hsts", "tunnel.port"}


@pytest.mark.parametrize("method,path,body", [
    ("PUT", "/settings/config", None), ("POST", "/settings/config", {"set": []}),
    ("POST", "/settings/config", {"unset": {}}), ("POST", "/settings/config", {"unset": [1]}),
    ("POST", "/settings/config", {"set": {"no.such": 1}}), ("DELETE", "/access/logins/xyz", None),
    ("POST", "/publish", {"name": "a", "port": 80, "access": "all"})])
def test_bad_requests(gate, method, path, body):
    code, answer = api(gate, method, path, body)
    assert (code, answer["error"]) == (400, "validation"), answer


# --- logins ------------------------------------------------------------------------------

def test_access_list_and_revoke(quiet):
    assert "nobody is logged in" in quiet.ok("access", "list").out
    assert quiet.run("access", "revoke", "0123456789abcdef").code == 1
    for wrong in ((), ("revoke",), ("revoke", "x/y"), ("list", "--all"), ("revoke", "--all", "a")):
        assert quiet.run("access", *wrong).code == 2, wrong
    key = quiet.home / "access" / "key"
    before = key.read_bytes()
    assert len(before) == 32 and stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert quiet.ok("access", "revoke", "--all", "--json").data["served"] is True
    assert key.read_bytes() != before
    assert quiet.ok("access", "list", "--json").data["logins"] == []


# --- without a daemon -----------------------------------------------------------------------

def test_config_set_that_is_refused_tells_only_the_fault(quiet):
    """Nothing is written, so nothing of what it would have led to."""
    before = (quiet.home / "config.json").read_text()
    for key, value, told in (
            ("tunnel.port", "0", "tunnel.port: must be an integer from 1 to 65535, not 0"),
            ("tunnel.serviceTunnels.whitelistIps", "1.2.3.4/33",
             "tunnel.serviceTunnels.whitelistIps: entry 1: 1.2.3.4/33: the prefix length must be "
             "0 to 32"),
            ("tunnel.domain", "bad_domain", 'tunnel.domain: "bad_domain" is not a domain name: '
             "letters, digits and hyphens in labels separated by dots")):
        result = quiet.run("config", "set", key, value)
        lines = result.err.splitlines()
        assert result.code == 2 and lines[0] == "wos config failed: " + told, result
        assert lines[1] == "nothing was changed", result
    assert (quiet.home / "config.json").read_text() == before


def test_config_set_without_a_daemon_writes_the_file(wos):
    wos.ok("config", "set", "tunnel.serviceTunnels.access", "private", "tunnel.hsts", "5")
    assert config_file(wos)["tunnel"]["serviceTunnels"] == {"enabled": True, "access": "private"}
    assert not (wos.home / "daemon.json").exists()
    assert wos.run("config", "set", "tunnel.hsts", "x").code == 2
    (wos.home / "config.json").write_text("{")
    result = wos.run("config", "set", "tunnel.hsts", "5")
    assert result.code == 3 and "repair" in result.err
    assert (wos.home / "config.json").read_text() == "{"


def test_config_set_keeps_a_link(wos):
    real = wos.dir / "elsewhere.json"
    os.rename(wos.home / "config.json", real)
    (wos.home / "config.json").symlink_to(real)
    wos.ok("config", "set", "tunnel.hsts", "5")
    assert (wos.home / "config.json").is_symlink()
    assert json.loads(real.read_text())["tunnel"]["hsts"] == 5


@pytest.mark.parametrize("broken", [
    {"whitelistIps": ["everyone"]}, {"access": "sercet"}, "public"])
def test_what_cannot_be_read_of_who_may_see_publishes_nothing(make_wos, broken):
    wos = make_wos()
    wos.config["tunnel"]["serviceTunnels"] = broken
    wos.write_config()
    wos.ok("start")
    wos.ok("publish", "tool", wos.backend("own"))
    assert wos.get("tool", "/hello").status == 404
    assert route(wos, "tool")["access"] == "private"


def test_without_a_tunnel_there_is_nothing_to_wait_for(make_wos):
    wos = make_wos(tunnel={"enabled": False})
    wos.ok("start")
    assert "served" not in wos.ok("config", "set", "tunnel.hsts", "5", "--json").data
    assert wos.ok("access", "revoke", "--all").out == "everybody has to log in again\n"
