"""A web.host beyond loopback: everything there needs the login, from wherever it is asked. Asked
from another host too: both are network namespaces."""
import json
import os
import shutil
import subprocess

import pytest

import clients
import harness
import network
from other_host import ip
from test_web_security import cookie_of, error

SECRET = "a-long-secret-of-the-ui"
HERE, HERE6, THERE, THERE6 = "10.213.78.1", "fd00:213:78::1", "10.213.78.2", "fd00:213:78::2"
JSON = ("Content-Type", "application/json")
CLOSED = [("GET", "/sessions"), ("GET", "/status/all"), ("GET", "/settings/config"),
          ("GET", "/events"), ("POST", "/daemon/stop"), ("POST", "/auth/connect"),
          ("POST", "/worktrees/down"), ("GET", "/stats"), ("GET", "/nothing")]


@pytest.fixture(scope="module")
def other_host():
    """This module's tests are in a network of their own, which reaches the namespace of this name,
    the other host: no other test sees an interface come or go."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    here, there = "wos-h-%d" % os.getpid(), "wos-o-%d" % os.getpid()
    before = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if ip("netns", "add", here, check=False).returncode != 0:
            pytest.skip("no network namespaces here")
        ip("netns", "add", there)
        if ip("link", "add", "va", "netns", here, "type", "veth", "peer", "name", "vb", "netns",
              there, check=False).returncode != 0:
            pytest.skip("no veth pairs here")
        for name, link, v4, v6 in ((here, "va", HERE, HERE6), (there, "vb", THERE, THERE6)):
            ip("-n", name, "addr", "add", v4 + "/24", "dev", link)
            ip("-n", name, "-6", "addr", "add", v6 + "/64", "dev", link, "nodad")
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", "lo", "up")
        network.enter("/run/netns/" + here)
        yield there
    finally:
        network.enter("/proc/self/fd/%d" % before)
        os.close(before)
        ip("netns", "del", here, check=False)
        ip("netns", "del", there, check=False)


def started(host, ssl=False):
    wos = harness.Wos(worktrees=(), tunnel={
        "webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET}})
    wos.config["web"].update(host=host, ssl={"enabled": ssl, "source": "self-signed"})
    wos.write_config()
    wos.ok("start")
    wos.wait_route("wos")
    return wos


@pytest.fixture(scope="module", params=[HERE, HERE6, "0.0.0.0", "::"])
def exposed(request, other_host):
    wos = started(request.param)
    wos.at = HERE6 if request.param == HERE6 else HERE
    try:
        yield wos
    finally:
        problems = wos.close()
        assert not problems, problems


def bracketed(address):
    return "[%s]" % address if ":" in address else address


def ask(wos, method, path, headers=(), body=None, host=None, address=None):
    """From this machine; `host` is what the Host header says."""
    address = address or wos.at
    authority = host or "%s:%d" % (bracketed(address), wos.web_port)
    with clients.Http1(wos.web_port, "h", address=address, authority=authority) as client:
        headers = list(headers) + ([JSON] if body is not None else [])
        return client.request(method, "/ui/v1" + path, headers=headers,
                              body=None if body is None else json.dumps(body).encode())


def from_there(wos, namespace, path, *more):
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, "curl", "-s", "-g", "--max-time", "20", "-i", *more,
         "http://%s:%d%s" % (bracketed(wos.at), wos.web_port, path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return int(done.stdout.split()[1]), done.stdout.decode()


@pytest.mark.parametrize("method,path", CLOSED)
def test_nothing_without_the_login(exposed, method, path):
    answer = ask(exposed, method, path, body={} if method == "POST" else None)
    assert error(answer) == (401, "unauthorized")


def test_nobody_is_local_there(exposed, other_host):
    """Neither who says so, nor who comes from loopback."""
    for host in ("localhost", "127.0.0.1", "[::1]", "localhost:%d" % exposed.web_port):
        assert error(ask(exposed, "GET", "/status/all", host=host)) == (401, "unauthorized")
    assert from_there(exposed, other_host, "/ui/v1/status/all", "-H", "Host: localhost")[0] == 401
    assert from_there(exposed, other_host, "/ui/v1/status/all", "-H", "X-Forwarded-For: 127.0.0.1",
                      "-H", "Host: " + exposed.host("wos"))[0] == 401
    if exposed.at == HERE:  # 127.0.0.1 is served for the gateway
        assert error(ask(exposed, "GET", "/status/all", address="127.0.0.1")) \
            == (401, "unauthorized")
    assert json.loads(ask(exposed, "GET", "/health").body) == {"ok": True, "version": "1"}


def test_dns_rebinding_gets_nothing(exposed):
    for host in ("evil.example", "evil.example:%d" % exposed.web_port, "10.213.78.9", "0.0.0.0",
                 "[::]", "alpha-web." + harness.DOMAIN):
        assert error(ask(exposed, "GET", "/auth/session", host=host)) == (403, "forbidden"), host


def test_a_page_of_another_origin_signs_nobody_in(exposed):
    for headers in ([("Origin", "http://evil.example")], [("Origin", "null")],
                    [("Sec-Fetch-Site", "cross-site")], [("Sec-Fetch-Site", "same-site")],
                    [("Origin", exposed.url("alpha-web", "").rstrip("/"))]):
        answer = ask(exposed, "POST", "/auth/login", headers, {"secret": SECRET})
        assert error(answer) == (403, "forbidden")


def test_from_another_host_with_the_secret(exposed, other_host, tmp_path):
    jar = str(tmp_path / "jar")
    assert from_there(exposed, other_host, "/")[0] == 200  # the form
    own = "http://%s:%d" % (bracketed(exposed.at), exposed.web_port)
    status, text = from_there(
        exposed, other_host, "/ui/v1/auth/login", "-c", jar, "-H", "Origin: " + own,
        "-H", "Content-Type: application/json", "-d", json.dumps({"secret": SECRET}))
    assert status == 200, text
    # Plain HTTP: host-only, without the prefix that promises HTTPS.
    assert "set-cookie: wos_public_auth=v2." in text.lower() and "secure" not in text.lower()
    assert from_there(exposed, other_host, "/ui/v1/sessions", "-b", jar)[0] == 200
    for path in ("/settings/config", "/settings/keys", "/status/all", "/setup/status",
                 "/filesystem/directories?path=/", "/metrics"):
        assert from_there(exposed, other_host, "/ui/v1" + path, "-b", jar)[0] == 403, path
    listed = from_there(exposed, other_host, "/ui/v1/auth/sessions", "-b", jar)[1]
    devices = json.loads(listed.split("\r\n\r\n", 1)[1])["sessions"]
    # Who it is comes from the connection, whatever its headers say.
    assert [d["address"] for d in devices if d["current"]] == \
        [THERE6 if exposed.at == HERE6 else THERE]
    status, _ = from_there(exposed, other_host, "/ui/v1/auth/logout", "-b", jar, "-X", "POST")
    assert status == 200
    assert from_there(exposed, other_host, "/ui/v1/sessions", "-b", jar)[0] == 401


def test_the_public_name_and_the_machine_say_so(exposed):
    assert exposed.get("wos", "/ui/v1/health").status == 200
    everything = exposed.status_all()
    assert everything["web"]["state"] == "listening" and everything["web"]["requiresAuth"]
    [problem] = [p for p in everything["config"]["problems"] if p["key"] == "web.host"]
    assert problem["warning"] and "web.ssl is off" in problem["message"]
    assert "web.ssl is off" in (exposed.home / "daemon.log").read_text()
    assert exposed.ok("web", "--no-open").out.strip().startswith("http://")


def test_headers_do_not_change_who_guesses(exposed):
    """Last: this address has to wait then."""
    statuses = [ask(exposed, "POST", "/auth/login", [("X-Forwarded-For", "192.0.2.%d" % i)],
                    {"secret": "guess %d" % i}).status for i in range(8)]
    assert statuses[-1] == 429, statuses


def test_with_tls_the_cookie_says_so(other_host):
    wos = started(HERE, ssl=True)
    try:
        done = subprocess.run(
            ["curl", "-s", "--cacert", wos.ca, "-i", "--max-time", "20", "-H", "Content-Type: application/json",
             "-d", json.dumps({"secret": SECRET}),
             "https://%s:%d/ui/v1/auth/login" % (HERE, wos.web_port)],
            stdout=subprocess.PIPE, check=False).stdout.decode()
        assert done.split()[1] == "200", done
        assert "__Host-wos_public_auth=v2." in done and "Secure" in done
        assert not [p for p in wos.status_all()["config"]["problems"] if p["key"] == "web.host"]
        answer = wos.get("wos", "/ui/v1/auth/login", method="POST", headers=[JSON],
                         body=json.dumps({"secret": SECRET}).encode())
        cookie = cookie_of(answer)
        assert wos.get("wos", "/ui/v1/sessions", headers=[cookie]).status == 200
        # A link for a device in this network.
        assert wos.ok("connect", "--json").data["url"].startswith(wos.url("wos", ""))
    finally:
        problems = wos.close()
    assert not problems, problems


@pytest.mark.parametrize("host,says", [("192.0.2.77", "tunnel.webUi.secret is not set"),
                                       ("0.0.0.0", "tunnel.webUi.secret is not set"),
                                       ("example.com", "is not an IP address")])
def test_refused_with_a_clear_sentence(make_wos, host, says):
    wos = make_wos()
    refused = wos.run("config", "set", "web.host", host)
    assert refused.code != 0 and says in refused.err, refused
    wos.config["web"]["host"] = host
    wos.write_config()
    wos.ok("start")  # only the web listener is off
    web = wos.status_all()["web"]
    assert web["state"] == "failed" and says in web["error"]
    assert wos.run("web", "--no-open").code == 1
