"""Another user of this machine: loopback and its ports are open to everybody, the daemon's API is
not. Asked as a user that has nothing, by curl."""
import base64
import json
import os
import shutil
import stat
import subprocess

import pytest

import harness
from api_client import Api

OTHER = 65534
SECRET = "a-long-secret-of-the-ui"
WEB_UI = {"webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET,
                    "terminalEnabled": True}}
JSON = ("-H", "Content-Type: application/json")
UPGRADE = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H",
           "Sec-WebSocket-Version: 13", "-H",
           "Sec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef").decode())


@pytest.fixture(scope="module", autouse=True)
def other_user():
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("to be another user needs root and setpriv")


def as_user(uid, *args):
    """curl's (status, body); a WebSocket that was accepted is 101 and left after a second."""
    drop = [] if uid is None else ["setpriv", "--reuid", str(uid), "--clear-groups"]
    done = subprocess.run(
        [*drop, "curl", "-s", "-k", "-g", "-w", "\n%{http_code}", "--noproxy", "*",
         "--max-time", "2" if UPGRADE[1] in args else "30", *args],
        cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    body, status = done.stdout.decode().rsplit("\n", 1)
    return int(status), body


@pytest.fixture(scope="module", params=["127.0.0.1", "::1", "127.0.0.1 tls"])
def web(request):
    """A listener of each kind, without a login to offer."""
    host, _, tls = request.param.partition(" ")
    port = harness.free_port()
    wos = harness.Wos(worktrees=(), config={"web": {
        "host": host, "port": port, "ssl": {"enabled": bool(tls), "source": "self-signed"}}})
    wos.ok("start")
    wos.web = "%s://%s:%d" % ("https" if tls else "http", "[::1]" if host == "::1" else host, port)
    try:
        yield wos
    finally:
        problems = wos.close()
        assert not problems, problems


def terminal(wos, uid):
    return as_user(uid, wos.web + "/ui/v1/terminals", *JSON, "-d",
                   json.dumps({"path": str(wos.trees["alpha"])}))


def test_the_own_user_is_local(web):
    status, body = as_user(None, web.web + "/ui/v1/health")
    assert status == 200 and json.loads(body)["home"] == str(web.home)
    status, body = terminal(web, None)
    assert status == 201, body
    path = "/ui/v1/terminals/%s" % json.loads(body)["id"]
    assert as_user(None, web.web + path + "/attach", *UPGRADE)[0] == 101
    assert as_user(None, web.web + path, "-X", "DELETE")[0] == 200


def test_another_user_gets_no_shell(web):
    _, body = terminal(web, None)
    path = "/ui/v1/terminals/%s" % json.loads(body)["id"]
    for status, answer in (terminal(web, OTHER),
                           as_user(OTHER, web.web + path + "/attach", *UPGRADE),
                           as_user(OTHER, web.web + path + "/attach", *UPGRADE, "-H",
                                   "Host: localhost")):
        assert status == 403 and json.loads(answer)["error"] == "forbidden", answer
    listed = json.loads(as_user(None, web.web + "/ui/v1/terminals")[1])["terminals"]
    assert [t["viewers"] for t in listed] == [0]
    assert as_user(None, web.web + path, "-X", "DELETE")[0] == 200


@pytest.mark.parametrize("method,path", [
    ("GET", "/status/all"), ("GET", "/settings/config"), ("PUT", "/settings/config"),
    ("GET", "/sessions"), ("GET", "/events"), ("POST", "/worktrees/up"), ("POST", "/worktrees/exec"),
    ("POST", "/daemon/stop"), ("POST", "/auth/connect"), ("POST", "/auth/login"),
    ("POST", "/auth/exchange"), ("GET", "/filesystem/directories?path=/"), ("POST", "/publish"),
    ("GET", "/nothing")])
@pytest.mark.parametrize("host", [None, "localhost", "[::1]"])
def test_another_user_gets_nothing(web, method, path, host):
    more = ("-H", "Host: " + host) if host else ()
    status, body = as_user(OTHER, web.web + "/ui/v1" + path, "-X", method, *JSON, *more,
                           *(("-d", "{}") if method != "GET" else ()))
    body = json.loads(body)
    assert status == 403 and body["error"] == "forbidden", body
    assert "another user" in body["message"] and "tunnel.webUi" in body["message"]


def test_what_everybody_may_see(web):
    assert json.loads(as_user(OTHER, web.web + "/ui/v1/health")[1]) == {"ok": True, "version": "1"}
    status, body = as_user(OTHER, web.web + "/ui/v1/auth/session")
    body = json.loads(body)
    assert status == 200 and not body["authenticated"] and body["requiresAuth"]
    assert as_user(OTHER, web.web + "/")[0] == 200


def test_who_leaves_is_nobody(web):
    """A closed connection is nobody's, or root's in older kernels' words: what it asked is not done."""
    path = json.dumps({"path": str(web.trees["alpha"])})
    request = ("POST /ui/v1/terminals HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
               % (len(path), path))
    if web.web.startswith("https"):
        pytest.skip("the handshake needs who asks")
    host, port = web.web.split("//")[1].rsplit(":", 1)
    code = ("import socket,sys\nfor i in range(50):\n"
            " s = socket.create_connection((%r, %s))\n s.sendall(%r)\n s.close()\n"
            % (host.strip("[]"), port, request.encode()))
    subprocess.run(["setpriv", "--reuid", str(OTHER), "--clear-groups", "/usr/bin/python3", "-c",
                    code], cwd="/", timeout=60, check=True)
    # All of them were seen before this one.
    listed = json.loads(as_user(None, web.web + "/ui/v1/terminals")[1])["terminals"]
    assert listed == []


def test_half_closed_is_still_ours(web):
    """A program that says it has no more to say, and reads."""
    if web.web.startswith("https"):
        pytest.skip("of TCP alone")
    import socket  # pylint: disable=import-outside-toplevel
    host, port = web.web.split("//")[1].rsplit(":", 1)
    for _ in range(50):  # its FIN may come at any moment of the look at it
        with socket.create_connection((host.strip("[]"), int(port)), 30) as raw:
            raw.sendall(b"GET /ui/v1/status/all HTTP/1.1\r\nHost: localhost\r\n"
                        b"Connection: close\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(64).startswith(b"HTTP/1.1 200")


def test_another_user_may_log_in(make_wos):
    """As by the public name, with what that may do, and no more."""
    wos = make_wos(worktrees=(), tunnel=WEB_UI)
    wos.ok("start")
    base = "http://127.0.0.1:%d/ui/v1" % wos.web_port
    status, body = as_user(OTHER, base + "/sessions")
    assert status == 401 and json.loads(body)["error"] == "unauthorized"
    assert "another user" in json.loads(body)["message"]
    assert as_user(OTHER, base + "/auth/login", *JSON, "-d", '{"secret": "wrong"}')[0] == 401
    status, body = as_user(OTHER, base + "/auth/login", *JSON, "-D", "-", "-d",
                           json.dumps({"secret": SECRET}))
    assert status == 200, body
    [cookie] = [line.split(":", 1)[1].split(";")[0].strip() for line in body.splitlines()
                if line.lower().startswith("set-cookie:")]
    cookie = ("-H", "Cookie: " + cookie)
    assert as_user(OTHER, base + "/sessions", *cookie)[0] == 200
    for path in ("/status/all", "/settings/config"):
        assert as_user(OTHER, base + path, *cookie)[0] == 403
    assert as_user(None, base + "/status/all")[0] == 200


def test_another_user_cannot_say_who_guesses(make_wos):
    """By the public name, past the gateway: its headers are not for others to write."""
    wos = make_wos(worktrees=(), tunnel=WEB_UI)
    wos.ok("start")
    wos.wait_route("wos")
    statuses = [as_user(OTHER, "http://127.0.0.1:%d/ui/v1/auth/login" % wos.web_port, *JSON,
                        "-H", "Host: " + wos.host("wos"), "-H", "X-Forwarded-For: 192.0.2.%d" % i,
                        "-d", json.dumps({"secret": "guess %d" % i}))[0] for i in range(8)]
    assert statuses[-1] == 429, statuses


def test_the_socket_is_not_for_other_users(make_wos):
    wos = make_wos(worktrees=())
    wos.ok("start")
    path = wos.home / "daemon.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ask = ("--unix-socket", str(path), "http://localhost/v1/status/all")
    assert as_user(OTHER, *ask)[0] == 0  # it cannot even connect
    # Were the modes wrong, who it is would still be looked at.
    for name in (wos.dir, wos.home):
        name.chmod(0o755)
    path.chmod(0o666)
    status, body = as_user(OTHER, *ask)
    assert status == 403 and json.loads(body)["error"] == "forbidden"
    assert as_user(None, *ask)[0] == 200


def test_a_daemon_of_another_user_serves_root(make_wos):
    """The two ways in have one rule: the own user and root."""
    wos = make_wos(worktrees=())
    shutil.chown(wos.dir, OTHER)
    for folder, _, files in os.walk(wos.dir):
        for name in [folder] + [os.path.join(folder, f) for f in files]:
            os.chown(name, OTHER, -1)
    proc = wos.start(["setpriv", "--reuid", str(OTHER), "--clear-groups", str(harness.BIN),
                      "start", "--foreground"], ready_port=wos.web_port, env=wos.env())
    base = "http://127.0.0.1:%d/ui/v1/status/all" % wos.web_port
    harness.until("it answers", lambda: as_user(OTHER, base)[0] == 200)
    assert as_user(None, base)[0] == 200
    assert as_user(None, "--unix-socket", str(wos.home / "daemon.sock"),
                   "http://localhost/v1/status/all")[0] == 200
    assert as_user(65533, base)[0] == 403
    assert Api(wos.web_port).post("/daemon/stop").status == 202
    harness.until("it ended", lambda: proc.poll() is not None)
