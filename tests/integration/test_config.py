"""config.json: defaults, one problem at a time, and the rest still works."""
import json

import pytest

import harness

pytestmark = pytest.mark.no_tsan(
    "the daemon has one thread; its gateway is seen in the tests of the gateway")

ONE = harness.shell_app(web=harness.python_service("web"))


def problems(wos):
    return {p["key"]: p["message"] for p in wos.status_all()["config"]["problems"]}


def test_missing_file_is_all_defaults(wos):
    (wos.home / "config.json").unlink()
    result = wos.run("start")
    assert result.code == 0, result
    data = wos.status_all()
    assert data["config"]["exists"] is False and data["config"]["problems"] == []
    assert data["web"]["port"] == 4949
    assert data["tunnel"]["enabled"] is False and data["tunnel"]["state"] == "disabled"
    assert not (wos.home / "config.json").exists() and not (wos.home / "logs" / "daemon.log").exists()
    # The log of the system before, from now on; the same events go to daemon.log.
    wos.ok("config", "set", "logging.enabled", "true", "logging.modules", '{"web": "off"}')
    lines = [json.loads(text) for text in (wos.home / "logs" / "daemon.log").read_text().splitlines()]
    assert {"level": "info", "module": "config"}.items() <= lines[0].items() and "saved" in lines[0]["msg"]
    assert list(lines[0])[:4] == ["ts", "level", "module", "msg"] and lines[0]["ts"].endswith("Z")
    assert wos.status_all()["config"]["problems"] == []
    wos.ok("config", "set", "logging.file", "elsewhere/mine.jsonl", "logging.level", "off")
    assert wos.run("restart").code == 0
    assert not (wos.home / "elsewhere").exists()
    wos.ok("config", "unset", "logging.level")
    assert "saved" in (wos.home / "elsewhere" / "mine.jsonl").read_text()


def test_services_run_without_a_tunnel(make_wos):
    wos = make_wos(tunnel={"enabled": False})
    wos.deploy(ONE)
    result = wos.up("alpha")
    assert "http://localhost:%d" % wos.host_port("alpha") in result.out
    assert not wos.routes()


@pytest.mark.parametrize("text", ["{", "{\"web\": }", "nonsense", "{\"a\": 1} trailing"])
def test_unparsable_file(wos, text):
    wos.write_config(text)
    assert wos.run("start").code == 0
    data = wos.status_all()
    assert len(data["config"]["problems"]) == 1
    assert "config.json" in json.dumps(data["config"])
    assert data["tunnel"]["enabled"] is False


def test_top_level_that_is_no_object(wos):
    wos.write_config("[1, 2]")
    assert wos.run("start").code == 0
    assert wos.status_all()["tunnel"]["enabled"] is False


@pytest.mark.parametrize("path,value", [
    ("web.host", ""), ("web.host", 7), ("tunnel.publicPort", 0), ("tunnel.publicPort", "x"),
    ("healthcheck.timeout", "soon"), ("healthcheck.timeout", -1), ("healthcheck.timeout", 1.5),
    ("healthcheck.retries", 0), ("healthcheck.retries", "5"), ("healthcheck.interval", "0s"),
    ("serviceBind", 5), ("terminalBackend", "screen"), ("editorCommand", 1),
    ("tunnel.serviceTunnels.host", "sideways"), ("tunnel.workers", 0), ("tunnel.workers", "x")])
def test_one_bad_value_is_named_and_the_rest_works(wos, path, value):
    at = wos.config
    *parents, last = path.split(".")
    for name in parents:
        at = at.setdefault(name, {})
    at[last] = value
    wos.write_config()
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200
    found = problems(wos)
    assert path in found and found[path], found
    assert len(found) == 1, found


def test_every_problem_is_named(wos):
    wos.config["web"] = {"port": wos.web_port, "host": 5}
    wos.config["healthcheck"] = {"retries": -1, "timeout": "x"}
    wos.config["tunnel"]["publicPort"] = 70000
    wos.write_config()
    assert wos.run("start").code == 0
    assert {"web.host", "healthcheck.retries", "healthcheck.timeout",
            "tunnel.publicPort"} <= set(problems(wos))


def test_bad_web_port_falls_back(wos):
    wos.config["web"] = {"port": "eighty"}
    wos.write_config()
    wos.ok("start")
    assert "web.port" in problems(wos)
    assert wos.status_all()["web"]["port"] == 4949


def test_bad_whitelist_disables_the_block(make_wos):
    """Fail closed: nobody is let in by a list that cannot be read."""
    wos = make_wos(service_tunnels={"whitelistIps": ["127.0.0.1", "not an address"]})
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status in (403, 404)
    assert any(k.startswith("tunnel.serviceTunnels") for k in problems(wos))


def test_bad_enabled_flags(make_wos):
    wos = make_wos(service_tunnels={"enabled": "yes"})
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 404
    assert any(k.startswith("tunnel.serviceTunnels") for k in problems(wos))


def test_tunnel_without_domain_is_disabled(wos):
    del wos.config["tunnel"]["domain"]
    wos.write_config()
    wos.ok("start")
    assert any(k in ("tunnel.domain", "tunnel") for k in problems(wos))
    assert wos.status_all()["tunnel"]["enabled"] is False


def test_bad_ssl_never_means_plaintext(make_wos):
    """A broken ssl block of an enabled ssl must not open a cleartext port."""
    wos = make_wos(ssl={"enabled": True, "source": "homemade"})
    wos.run("start")
    assert any(k.startswith("tunnel.ssl") for k in problems(wos))
    code, out, _ = wos.curl("-m", "10", "http://127.0.0.1:%d/" % wos.port,
                            "-H", "Host: alpha-web.wos.localhost")
    assert code != 0 or b"tunnel:" not in out


def test_unknown_keys_do_not_stop_anything(wos):
    wos.config["future"] = {"x": 1}
    wos.config["tunnel"]["another"] = True
    wos.write_config()
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200


def test_durations(make_wos):
    for value in ("20s", "20000ms", " 20000 ", "0.5M", 20000):
        wos = make_wos(config={"healthcheck": {"timeout": value}})
        wos.ok("start")
        assert problems(wos) == {}, value


def test_domain_in_capitals_routes(make_wos):
    wos = make_wos(tunnel={"domain": "WOS.LocalHost"})
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200


def test_home_defaults_to_dot_wos(wos):
    env = wos.env(WOS_HOME=None)
    config = wos.user_home / ".wos"
    config.mkdir()
    (config / "config.json").write_text(json.dumps({"web": {"port": harness.free_port()}}))
    try:
        assert wos.run("start", env=env).code == 0
        assert (config / "daemon.json").exists()
    finally:
        wos.run("stop", env=env)
        harness.until("it is gone", lambda: not (config / "daemon.json").exists())


def test_config_is_read_at_start_only(wos):
    wos.ok("start")
    before = wos.status_all()["tunnel"]["port"]
    wos.config["tunnel"]["port"] = harness.free_port()
    wos.write_config()
    assert wos.status_all()["tunnel"]["port"] == before
    wos.ok("restart")
    assert wos.status_all()["tunnel"]["port"] == wos.config["tunnel"]["port"]
    wos.port = wos.config["tunnel"]["port"]
    wos.deploy(ONE)
    wos.up("alpha")
    assert wos.get("alpha-web", "/hello").status == 200
