"""Attacks on the web UI and the API behind it: from pages, from the network, with stolen or old
cookies. Each test does what an attacker would do and looks at what came of it."""
import errno
import gzip
import json
import re
import socket
import stat
import subprocess

import pytest

import clients
import harness

SECRET = "a-long-secret-of-the-ui"
COOKIE = "__Host-wos_public_auth"
JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def ui():
    wos = harness.Wos(tunnel={"webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET}})
    try:
        wos.deploy(harness.shell_app(web=harness.python_service("web")))
        wos.up("alpha")
        wos.wait_route("wos")
        yield wos
    finally:
        problems = wos.close()
        assert not problems, problems


def local(wos, method, path, headers=(), body=None, host=None):
    """One request on the loopback listener, as any program or page could send it."""
    authority = host or "127.0.0.1:%d" % wos.web_port
    with clients.Http1(wos.web_port, "127.0.0.1", authority=authority) as client:
        return client.request(method, path, headers=list(headers), body=body)


def public(wos, method, path, headers=(), body=None, http="h1"):
    headers = list(headers)
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers.append(JSON)
    return wos.get("wos", path, method=method, headers=headers, body=body, http=http)


def cookie_of(answer):
    match = re.match(r"([^=]+)=([^;]*)", answer.get("set-cookie"))
    return ("Cookie", "%s=%s" % match.groups())


def sign_in(wos, secret=SECRET):
    answer = public(wos, "POST", "/ui/v1/auth/login", body={"secret": secret})
    assert answer.status == 200, answer.body
    return cookie_of(answer)


def error(answer):
    return answer.status, json.loads(answer.body)["error"]


@pytest.fixture
def fresh(ui):
    """A signed-in device; afterwards nobody is, and wrong tries are forgotten."""
    yield sign_in(ui)
    cookie = sign_in(ui)
    public(ui, "DELETE", "/ui/v1/auth/sessions", [cookie])


# --- pages on this machine ----------------------------------------------------------------

@pytest.mark.parametrize("host", ["evil.example", "evil.example:4949", "127.0.0.1.evil.example",
                                  "localhost.evil.example", "0.0.0.0", "wos.localhost.evil.example",
                                  "[::2]", "alpha-web.wos.localhost"])
@pytest.mark.parametrize("path", ["/", "/ui/v1/health", "/ui/v1/status/all"])
def test_dns_rebinding_gets_nothing(ui, host, path):
    assert error(local(ui, "GET", path, host=host)) == (403, "forbidden")


@pytest.mark.parametrize("headers", [
    [("Origin", "http://evil.example")], [("Origin", "null")], [("Origin", "file://")],
    [("Origin", "http://localhost.evil.example")], [("Origin", "http://127.0.0.1:1")],
    [("Origin", "https://alpha-web.wos.localhost")],
    [("Sec-Fetch-Site", "cross-site")], [("Sec-Fetch-Site", "same-site")],
    [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")]])
@pytest.mark.parametrize("method,path", [
    ("POST", "/ui/v1/worktrees/down"), ("POST", "/ui/v1/daemon/stop"),
    ("PUT", "/ui/v1/settings/config"), ("DELETE", "/ui/v1/auth/sessions"),
    ("POST", "/ui/v1/auth/connect"), ("POST", "/ui/v1/auth/login")])
def test_a_page_of_another_origin_changes_nothing(ui, headers, method, path):
    # A "simple" request: no preflight would stop it.
    answer = local(ui, method, path, [("Content-Type", "text/plain"), *headers],
                   json.dumps({"path": str(ui.trees["alpha"])}).encode())
    assert error(answer) == (403, "forbidden")
    assert ui.get("alpha-web").status == 200


def test_our_own_page_may(ui):
    own = "http://127.0.0.1:%d" % ui.web_port
    answer = local(ui, "POST", "/ui/v1/auth/connect",
                   [("Origin", own), ("Sec-Fetch-Site", "same-origin"), JSON], b"{}")
    assert answer.status == 200


@pytest.mark.parametrize("http", ["h1", "h2"])
def test_the_scheme_is_a_part_of_the_origin(ui, fresh, http):
    """A page that came in the clear under the same name and port may be anybody's."""
    own = ui.url("wos", "")
    for origin, status in ((own, 200), (own.replace("https:", "http:"), 403), (own.replace("https:", "ftp:"), 403)):
        answer = public(ui, "POST", "/ui/v1/auth/login", [("Origin", origin)], {"secret": SECRET}, http)
        assert answer.status == status, (origin, answer.body)
    own = "127.0.0.1:%d" % ui.web_port
    for scheme, status in (("http", 200), ("https", 403), ("ftp", 403)):
        answer = local(ui, "POST", "/ui/v1/auth/connect", [("Origin", scheme + "://" + own), JSON], b"{}")
        assert answer.status == status, (scheme, answer.body)


def test_no_page_may_read_across_origins(ui):
    for method in ("GET", "OPTIONS"):
        answer = local(ui, method, "/ui/v1/status/all", [
            ("Origin", "http://evil.example"), ("Access-Control-Request-Method", "GET")])
        assert not [n for n, _ in answer.headers if n.lower().startswith("access-control")]


# --- from outside -------------------------------------------------------------------------

def test_without_login_there_is_only_the_form(ui, http):
    for path in ("/ui/v1/sessions", "/ui/v1/stats", "/ui/v1/auth/sessions", "/ui/v1/settings/config",
                 "/ui/v1/nothing", "/ui/v1/worktrees?path=/"):
        assert error(public(ui, "GET", path, http=http)) == (401, "unauthorized"), path
    assert json.loads(public(ui, "GET", "/ui/v1/health", http=http).body) == {
        "ok": True, "version": "1"}
    assert public(ui, "GET", "/", http=http).status == 200
    for method, path in (("GET", "/v1/status/all"), ("POST", "/v1/daemon/stop"), ("GET", "/v1/"),
                         ("GET", "/ui/../v1/status/all"), ("GET", "/%76%31/status/all")):
        assert error(public(ui, method, path, http=http)) in (
            (404, "not-found"), (400, "bad-request")), path


LOCAL_ONLY = [("GET", "/settings/config"), ("PUT", "/settings/config"), ("POST", "/settings/config"),
              ("GET", "/settings/keys"), ("POST", "/daemon/stop"), ("POST", "/daemon/restart"),
              ("GET", "/status/all"), ("GET", "/metrics"), ("POST", "/auth/connect"),
              ("GET", "/access/logins"), ("DELETE", "/access/logins"), ("POST", "/publish"),
              ("DELETE", "/publish/web"), ("GET", "/setup/status"), ("GET", "/setup/environment"),
              ("POST", "/setup/complete"), ("GET", "/certificates"),
              ("POST", "/certificates/renew"), ("POST", "/certificates/revoke"),
              # Terminals and files, as tunnel.webUi.terminalEnabled is not set:
              ("POST", "/worktrees/exec"), ("GET", "/terminals/x/attach"),
              ("GET", "/filesystem/directories?path=/"), ("GET", "/projects/validate?path=/")]


@pytest.mark.parametrize("method,path", LOCAL_ONLY)
def test_who_is_logged_in_cannot_touch_the_machine(ui, fresh, method, path):
    assert error(public(ui, method, "/ui/v1" + path, [fresh], {} if method != "GET" else None)) \
        == (403, "forbidden")


WITH_A_PATH = [("GET", "/worktrees?path=%s"), ("GET", "/worktrees/comments?path=%s"),
               ("POST", "/projects"), ("POST", "/worktrees/up"), ("POST", "/worktrees/down"),
               ("POST", "/worktrees/remove"), ("POST", "/worktrees/services/stop"),
               ("POST", "/worktrees/services/restart"), ("PATCH", "/worktrees/name"),
               ("PATCH", "/worktrees/note"), ("PATCH", "/worktrees/status"),
               ("POST", "/worktrees/comments"), ("DELETE", "/worktrees/comments"),
               # With a terminal only:
               ("POST", "/terminals"), ("POST", "/worktrees/exec")]


def test_who_is_logged_in_names_known_projects_only(ui, fresh):
    """A stolen login must not deploy, list or change a repository that nobody added here."""
    other = ui.dir / "w" / "private"
    run = ui.dir / "run-in-private"
    (other / ".wos").mkdir(parents=True)
    ui.git("init", "-q", "-b", "main", ".", cwd=other)
    (other / ".wos" / "deploy.yaml").write_text(
        "mode: shell\napp: {init_script: ['touch %s'], services: {web: {script: [sleep 100]}}}\n" % run)
    ui.git("add", ".", cwd=other)
    ui.git("commit", "-q", "-m", "one", cwd=other)
    rest = {"service": "web", "command": ["true"], "name": "x", "displayName": "x", "note": "x",
            "text": "x", "id": "x", "statusId": None}
    # The last is a known worktree's parent: its name is no way up.
    paths = [other, other / ".wos", "/", "/etc/passwd", ui.dir / "nothing",
             "%s/../w/private" % ui.source.parent, str(ui.trees["alpha"]) + "/.."]
    ui.run("status", cwd=other)  # that somebody here looked at it makes it no project
    answers = set()
    for method, where in WITH_A_PATH:
        for path in paths:
            body = None if method == "GET" else {**rest, "path": str(path)}
            url = "/ui/v1" + (where % path if method == "GET" else where)
            answer = public(ui, method, url, [fresh], body)
            terminal = where in ("/terminals", "/worktrees/exec")
            assert error(answer) == ((403, "forbidden") if terminal else (404, "not-found")), (url, path)
            answers |= set() if terminal else {answer.body}
    assert len(answers) == 1, answers  # nobody learns what is there
    projects = json.loads(local(ui, "GET", "/ui/v1/projects").body)["projects"]
    assert str(other) not in [p["sourcePath"] for p in projects] and not run.exists()
    # A known one is as before, by the public name too; and local clients name what they like.
    url = "/ui/v1/worktrees?path="
    assert public(ui, "GET", url + str(ui.trees["alpha"]), [fresh]).status == 200
    assert local(ui, "GET", url + str(other)).status == 200


def test_who_has_no_terminal_sets_no_environment(ui, fresh):
    run = ui.dir / "run-by-a-device"
    body = {"path": str(ui.trees["beta"]), "environment": {"BASH_ENV": "$(touch %s)" % run,
                                                           "ENV": "$(touch %s)" % run}}
    assert error(public(ui, "POST", "/ui/v1/worktrees/up", [fresh], body)) == (403, "forbidden")
    body["environment"] = {}
    assert error(public(ui, "POST", "/ui/v1/worktrees/up", [fresh], body)) == (403, "forbidden")
    body["environment"] = None
    answer = public(ui, "POST", "/ui/v1/worktrees/up", [fresh], body)
    assert answer.status == 202, answer.body
    ui.wait_route("beta-web")
    ui.down("beta")
    assert not run.exists()


@pytest.mark.parametrize("headers", [
    [("X-Forwarded-Host", "localhost")], [("X-Forwarded-Host", "127.0.0.1")],
    [("X-Forwarded-For", "127.0.0.1")], [("Forwarded", "for=127.0.0.1;host=localhost")]])
def test_no_header_makes_the_outside_local(ui, fresh, headers):
    assert error(public(ui, "GET", "/ui/v1/status/all", [fresh, *headers])) == (403, "forbidden")


SMUGGLED = (b"POST /ui/v1/settings/config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 36\r\n\r\n" + b'{"set":{"healthcheck.retries":7777}}')
FRAMINGS = [b"Content-Length: %d\r\n\r\n%s" % (len(SMUGGLED), SMUGGLED),
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
            b"Transfer-Encoding: chunked\r\n\r\n" + SMUGGLED]
METHODS = [b"HEAD", b"GET", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND"]


@pytest.mark.parametrize("framing", FRAMINGS, ids=["length", "chunked", "bad-chunk"])
@pytest.mark.parametrize("method", METHODS)
def test_content_is_never_the_next_request(ui, method, framing):
    """HEAD's content was, from outside and without a login (at the daemon, by evhttp)."""
    target = b"localhost:%d" % ui.web_port if method == b"CONNECT" else b"/ui/v1/health"
    head = method + b" " + target + b" HTTP/1.1\r\nHost: localhost:%d\r\n" % ui.web_port
    with socket.create_connection(("127.0.0.1", ui.web_port), 20) as raw:
        data = b""
        try:
            raw.sendall(head + framing)
            raw.shutdown(socket.SHUT_WR)
            while piece := raw.recv(65536):
                data += piece
        except (ConnectionResetError, BrokenPipeError):  # it closed before it had read all
            pass
        except OSError as problem:
            assert problem.errno == errno.ENOTCONN, problem  # reset before the end was announced
    assert data.count(b"HTTP/1.1 ") <= 1, data
    assert data.startswith(b"HTTP/1.1 400 ") or method != b"HEAD", data
    assert "7777" not in (ui.home / "config.json").read_text()


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_after_a_refusal_is_no_request(ui, method):
    """After CONNECT with a bad chunk the connection was kept, and the content was the next request (evhttp)."""
    target = b"localhost:%d" % ui.web_port if method == b"CONNECT" else b"/ui/v1/health"
    head = method + b" " + target + b" HTTP/1.1\r\nHost: localhost:%d\r\n" % ui.web_port
    smuggled = SMUGGLED.replace(b"Host: localhost", b"Host: localhost:%d" % ui.web_port)
    with socket.create_connection(("127.0.0.1", ui.web_port), 20) as raw:
        raw.sendall(head + b"Transfer-Encoding: chunked\r\n\r\nno size\r\n")
        data = raw.recv(65536)
        try:
            raw.sendall(smuggled)
            while piece := raw.recv(65536):
                data += piece
        except (ConnectionResetError, BrokenPipeError):  # it closed before it had read all
            pass
    assert data.count(b"HTTP/1.1 ") == 1 and data.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), data
    assert "7777" not in (ui.home / "config.json").read_text()


@pytest.mark.parametrize("path", ["/ui/v1/health", "/"])
def test_the_content_of_head_goes_nowhere(ui, http, path):
    assert public(ui, "HEAD", path, body=SMUGGLED, http=http).status == 400
    assert "7777" not in (ui.home / "config.json").read_text()


def test_a_sibling_service_cannot_use_the_cookie(ui, fresh):
    for headers in ([("Origin", ui.url("alpha-web", ""))], [("Sec-Fetch-Site", "same-site")]):
        answer = public(ui, "DELETE", "/ui/v1/auth/sessions", [fresh, *headers])
        assert error(answer) == (403, "forbidden")
    assert public(ui, "GET", "/ui/v1/sessions", [fresh]).status == 200


# --- cookies --------------------------------------------------------------------------------

def test_the_cookie(ui, fresh):
    answer = public(ui, "POST", "/ui/v1/auth/login", body={"secret": SECRET})
    text = answer.get("set-cookie")
    assert json.loads(answer.body) == {"ok": True}
    assert re.fullmatch(COOKIE + r"=v2\.[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Lax; "
                        r"Max-Age=2592000; Secure", text)
    value = text.split("=", 1)[1].split(";")[0]
    files = [p for p in (ui.home / "web").iterdir()]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in files) and len(files) == 2
    assert stat.S_IMODE((ui.home / "web").stat().st_mode) == 0o700
    for path in ui.home.rglob("*"):
        if path.is_file() and not path.is_socket() and path.name != "config.json":
            data = path.read_bytes()
            assert value.encode() not in data and SECRET.encode() not in data, path


def test_forged_cookies(ui, fresh):
    name, value = fresh[1].split("=")
    forged = [value[:-1] + ("0" if value[-1] != "0" else "1"), value[:-1], value + "0", "", "v2.",
              value.upper(), "v1." + value[3:], "v2." + "0" * 64, "v1.9999999999999." + "0" * 64]
    for bad in forged:
        answer = public(ui, "GET", "/ui/v1/sessions", [("Cookie", "%s=%s" % (name, bad))])
        assert answer.status == 401, bad
    # The plain name, which any sibling could set, does not count over HTTPS.
    assert public(ui, "GET", "/ui/v1/sessions",
                  [("Cookie", "wos_public_auth=" + value)]).status == 401
    # A tossed cookie beside the right one shuts nobody out.
    both = "%s=v2.%s; %s=%s" % (name, "0" * 64, name, value)
    assert public(ui, "GET", "/ui/v1/sessions", [("Cookie", both)]).status == 200


def test_logout_ends_the_cookie_on_the_server(ui, fresh):
    answer = public(ui, "POST", "/ui/v1/auth/logout", [fresh], {})
    assert answer.status == 200 and "Max-Age=0" in answer.get("set-cookie")
    assert public(ui, "GET", "/ui/v1/sessions", [fresh]).status == 401


def test_one_device_is_revoked_and_what_it_reads_ends(ui, fresh):
    other = sign_in(ui)
    devices = json.loads(public(ui, "GET", "/ui/v1/auth/sessions", [fresh]).body)["sessions"]
    [mine] = [d["id"] for d in devices if d["current"]]
    [theirs] = [d["id"] for d in devices if not d["current"]]
    name = ui.status_all()["sessions"][0]["sessionName"]
    stream = subprocess.Popen(
        ["curl", "-sN", "--cacert", ui.ca, "-H", "%s: %s" % other,
         "--resolve", "%s:%d:127.0.0.1" % (ui.host("wos"), ui.port),
         ui.url("wos", "/ui/v1/sessions/%s/logs?follow=1" % name)],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert stream.stdout.readline().startswith(b"{")
        answer = public(ui, "DELETE", "/ui/v1/auth/sessions/" + theirs, [fresh])
        assert answer.status == 200
        stream.communicate(timeout=30)  # it ends
    finally:
        stream.kill()
        stream.wait()
    assert public(ui, "GET", "/ui/v1/sessions", [other]).status == 401
    assert public(ui, "GET", "/ui/v1/sessions", [fresh]).status == 200
    assert public(ui, "DELETE", "/ui/v1/auth/sessions/" + theirs, [fresh]).status == 404
    assert public(ui, "DELETE", "/ui/v1/auth/sessions/" + mine, [fresh]).status == 200
    assert public(ui, "GET", "/ui/v1/sessions", [fresh]).status == 401


def test_logout_everywhere_and_a_restart(ui, fresh):
    other = sign_in(ui)
    ui.ok("restart")
    ui.wait_route("wos")
    for cookie in (fresh, other):  # devices stay over a restart
        assert public(ui, "GET", "/ui/v1/sessions", [cookie]).status == 200
    assert public(ui, "DELETE", "/ui/v1/auth/sessions", [fresh]).status == 200
    ui.ok("restart")
    ui.wait_route("wos")
    for cookie in (fresh, other):
        assert public(ui, "GET", "/ui/v1/sessions", [cookie]).status == 401


def test_a_new_secret_signs_everybody_out(ui, fresh):
    try:
        ui.ok("config", "set", "tunnel.webUi.secret", "-", text_input="another secret\n")
        ui.ok("restart")
        ui.wait_route("wos")
        assert public(ui, "GET", "/ui/v1/sessions", [fresh]).status == 401
    finally:
        ui.ok("config", "set", "tunnel.webUi.secret", "-", text_input=SECRET + "\n")
        ui.ok("restart")
        ui.wait_route("wos")
    assert public(ui, "GET", "/ui/v1/sessions", [fresh]).status == 401


# --- guessing ---------------------------------------------------------------------------------

def test_guessing_is_slowed_down(make_wos):
    wos = make_wos(tunnel={"webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET}})
    wos.ok("start")
    wos.wait_route("wos")
    statuses = [public(wos, "POST", "/ui/v1/auth/login", body={"secret": "guess %d" % i}).status
                for i in range(6)]
    assert statuses == [401] * 6
    # Now even the right one waits, and so does the right way in by links.
    answer = public(wos, "POST", "/ui/v1/auth/login", body={"secret": SECRET})
    assert error(answer) == (429, "too-many-attempts") and int(answer.get("retry-after")) >= 1
    assert public(wos, "POST", "/ui/v1/auth/exchange", body={"grant": "x"}).status == 429
    log = (wos.home / "daemon.log").read_text()
    assert "a wrong secret or link" in log and "guess 1" not in log and SECRET not in log


# --- one-time links -----------------------------------------------------------------------------

def grant_of(wos, *args):
    data = wos.ok("connect", "--json", *args).data
    url, _, grant = data["url"].partition("#connect=")
    assert url == wos.url("wos")
    return grant


def exchange(wos, grant):
    return public(wos, "POST", "/ui/v1/auth/exchange", body={"grant": grant})


def test_a_link_is_good_once(ui, fresh):
    grant = grant_of(ui)
    answer = exchange(ui, grant)
    assert answer.status == 200
    assert public(ui, "GET", "/ui/v1/sessions", [cookie_of(answer)]).status == 200
    assert error(exchange(ui, grant)) == (401, "unauthorized")


def test_a_link_ends(ui, fresh):
    grant = grant_of(ui, "--ttl", "1s")
    harness.until("the link is over", lambda: exchange_later(ui, grant), pause=1.2)


def exchange_later(ui, grant, done=set()):
    if grant not in done:  # the first call only lets time pass
        done.add(grant)
        return False
    return exchange(ui, grant).status == 401


def test_no_new_links_from_outside_and_none_over_a_restart(ui, fresh):
    grant = grant_of(ui)
    ui.ok("restart")
    ui.wait_route("wos")
    assert exchange(ui, grant).status == 401


@pytest.mark.parametrize("args,code", [(["--ttl", "2h"], 2), (["--ttl", "never"], 2), (["x"], 2)])
def test_connect_refuses(ui, args, code):
    result = ui.run("connect", *args)
    assert result.code == code, result


def test_connect_shows_a_qr_code(ui):
    out = ui.ok("connect", "--qr").out
    assert out.count("\n") > 15 and "█" in out and "#connect=" in out.splitlines()[-1]


def test_connect_needs_a_public_name(wos):
    result = wos.run("connect")
    assert result.code == 1 and "tunnel.webUi" in result.err


# --- files ----------------------------------------------------------------------------------------

def test_files_have_tags_codings_and_a_policy(ui):
    page = local(ui, "GET", "/")
    assert page.status == 200 and page.get("content-type") == "text/html; charset=utf-8"
    policy = page.get("content-security-policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.get("cache-control") == "no-cache"
    text = page.body.decode()
    assert "<style" not in text and " style=" not in text and not re.search(r"https?://", text)
    paths = re.findall(r'(?:src|href)="(/assets/[^"]+)"', text)
    if not paths:
        pytest.skip("built without the web UI")
    for path in paths:
        plain = local(ui, "GET", path)
        packed = local(ui, "GET", path, [("Accept-Encoding", "gzip")])
        assert "immutable" in plain.get("cache-control")
        assert plain.get("vary") == packed.get("vary") == "Accept-Encoding"
        assert packed.get("content-encoding") == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert plain.get("etag") != packed.get("etag")
        brotli = local(ui, "GET", path, [("Accept-Encoding", "gzip, br;q=0.9")])
        assert brotli.get("content-encoding") == "br" and len(brotli.body) < len(packed.body)
        refused = local(ui, "GET", path, [("Accept-Encoding", "br;q=0, identity")])
        assert refused.get("content-encoding") is None and refused.body == plain.body
        again = local(ui, "GET", path, [("If-None-Match", plain.get("etag"))])
        assert again.status == 304 and again.body == b""
        head = local(ui, "HEAD", path)
        assert head.body == b"" and head.get("content-length") == str(len(plain.body))


@pytest.mark.parametrize("path", ["/assets/", "/assets/../index.html", "/config.json", "/..%2f",
                                  "/index.html/", "/.git", "//", "/assets/app.js"])
def test_there_are_no_other_files(ui, path):
    assert local(ui, "GET", path).status == 404


def test_the_first_script_is_small(ui):
    page = local(ui, "GET", "/").body.decode()
    scripts = re.findall(r'src="(/assets/[^"]+\.js)"', page)
    if not scripts:
        pytest.skip("built without the web UI")
    total = 0
    while scripts:
        body = gzip.decompress(local(ui, "GET", scripts[0], [("Accept-Encoding", "gzip")]).body)
        total += len(gzip.compress(body, 9))
        scripts = scripts[1:] + ["/assets/" + name for name in
                                 re.findall(r'from"\./([^"]+\.js)"', body.decode())]
    assert total < 60 * 1024
