"""Programs that know nothing of wos: Vite in a browser, git, OpenCode.

Only a machine on which Node, npm or Chromium cannot be had skips here, and says so.
"""
import glob
import json
import os
import platform
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
import harness

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
                 if p), None)
pytestmark = pytest.mark.own_network
MODULES = harness.BROWSER / "node_modules"


@pytest.fixture(scope="session")
def node_modules():
    """tests/browser/node_modules, as package-lock.json says."""
    for program in ("node", "npm"):
        if not shutil.which(program):
            pytest.skip("%s is not installed" % program)
    stamp = MODULES / ".package-lock.json"
    lock = harness.BROWSER / "package-lock.json"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                              cwd=harness.BROWSER, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900,
                              check=False)
        if done.returncode != 0:
            pytest.skip("npm ci failed: " + done.stdout[-600:])
        os.utime(stamp)
    return MODULES


# --- Vite ---------------------------------------------------------------------------

INDEX = """<!doctype html>
<html><head><title>%s</title></head>
<body><h1 id="title">none</h1><script type="module" src="/main.js"></script></body></html>
"""
MAIN = """import { title } from './title.js';
const show = (text) => { document.getElementById('title').textContent = text; };
window.loads = (window.loads || 0) + 1;
show(title);
if (import.meta.hot) {
    import.meta.hot.accept('./title.js', (fresh) => { show(fresh.title); });
}
"""


def title_module(text):
    return "export const title = %s;\n" % json.dumps(text)


@pytest.fixture(scope="module")
def vite(node_modules):
    wos = harness.Wos()
    try:
        for name, tree in wos.trees.items():
            (tree / "index.html").write_text(INDEX % name)
            (tree / "main.js").write_text(MAIN)
            (tree / "title.js").write_text(title_module("one of " + name))
            (tree / "vite.config.js").write_text("export default { cacheDir: '.vite' };\n")
            (tree / "node_modules").symlink_to(node_modules)
        wos.deploy(harness.shell_app(web={
            "script": ["exec node node_modules/vite/bin/vite.js --port $WOS_SERVICE_PORT "
                       "--strictPort --host 127.0.0.1"],
            "ports": [5173]}))
        wos.up("alpha")
        wos.up("beta")
        yield wos
    finally:
        problems = wos.close()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


@pytest.mark.parametrize("tree", ["alpha", "beta"])
def test_vite_page_and_modules(vite, http, tree):
    label = tree + "-web"
    page = vite.get(label, "/", http=http, headers=[("accept", "text/html")])
    assert page.status == 200 and "<title>%s</title>" % tree in page.text, page
    assert "/@vite/client" in page.text
    module = vite.get(label, "/title.js", http=http)
    assert module.status == 200 and "javascript" in module.get("content-type")
    assert tree in module.text
    client = vite.get(label, "/@vite/client", http=http)
    assert client.status == 200 and client.size > 10000
    again = vite.get(label, "/title.js", http=http,
                     headers=[("if-none-match", module.get("etag"))])
    assert again.status == 304


def test_vite_hmr_socket(vite, http):
    """The dev server's own WebSocket: subprotocol vite-hmr, its token, its ping."""
    text = vite.get("alpha-web", "/@vite/client").text
    token = re.search(r'wsToken = "([^"]+)"', text).group(1)
    origin = vite.url("alpha-web", "").rstrip("/")
    with vite.ws("alpha-web", "/?token=" + token, http=http, protocols="vite-hmr",
                 headers=[("origin", origin)]) as ws:
        assert ws.open, ws.answer
        assert ws.answer.get("sec-websocket-protocol") == "vite-hmr"
        assert json.loads(ws.recv()[1]) == {"type": "connected"}


@pytest.fixture(scope="module")
def trusted(vite):
    """Arguments that make Chromium trust the local CA, as a user would."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    if not shutil.which("certutil"):
        return {"insecure": True}
    store = vite.user_home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    base = ["certutil", "-d", "sql:%s" % store]
    subprocess.run([*base, "-N", "--empty-password"], check=True)
    subprocess.run([*base, "-A", "-t", "C,,", "-n", "wos", "-i", vite.ca], check=True)
    return {"insecure": False}


@pytest.mark.parametrize("tree", ["alpha", "beta"])
def test_vite_hot_update_in_a_browser(vite, trusted, tree):
    before, after = "one of " + tree, "two of " + tree
    options = {"url": vite.url(tree + "-web", "/"), "first": before, "second": after,
               "file": str(vite.trees[tree] / "title.js"), "content": title_module(after),
               "chromium": CHROMIUM, "timeoutMs": 60000, **trusted}
    done = subprocess.run(["node", str(harness.BROWSER / "hmr.mjs"), json.dumps(options)],
                          cwd=harness.BROWSER, env=vite.env(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=220, check=False)
    assert done.stdout.strip(), done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert done.returncode == 0 and result["ok"], result
    assert (result["first"], result["second"]) == (before, after)
    assert result["loads"] == 1, "the page was loaded again: no hot update"
    assert result["protocol"] == "h2"
    sockets = [ws["url"] for ws in result["webSockets"]]
    wanted = "wss://%s:%d/" % (vite.host(tree + "-web"), vite.port)
    assert any(url.startswith(wanted) for url in sockets), sockets
    assert any('"update"' in f for ws in result["webSockets"] for f in ws["received"])


# --- git ---------------------------------------------------------------------------

def test_git_clone_fetch_and_push(wos):
    bare = wos.dir / "srv" / "repo.git"
    bare.mkdir(parents=True)
    wos.git("init", "-q", "--bare", "-b", "main", ".", cwd=bare)
    wos.git("config", "http.receivepack", "true", cwd=bare)
    (wos.source / "random").write_bytes(os.urandom(20 << 20))
    for i in range(200):
        (wos.source / ("file-%d" % i)).write_text("line %d\n" % i * 50)
    wos.git("add", ".", cwd=wos.source)
    wos.git("commit", "-q", "-m", "much", cwd=wos.source)
    wos.git("push", "-q", bare, "main", cwd=wos.source)
    port = harness.free_port()
    wos.start([harness.PYTHON, harness.FAKES / "git_http.py", "--port", port, "--root",
               bare.parent], ready_port=port)
    wos.ok("publish", "git", port)
    url = wos.url("git", "/repo.git")
    trust = ["-c", "http.sslCAInfo=%s" % wos.ca, "-c", "http.postBuffer=65536"]
    copy = wos.dir / "copy"
    wos.git(*trust, "clone", "-q", url, copy, cwd=wos.dir)
    wos.git("fsck", "--full", cwd=copy)
    assert (copy / "random").read_bytes() == (wos.source / "random").read_bytes()
    assert wos.git("rev-parse", "HEAD", cwd=copy) == wos.git("rev-parse", "main", cwd=wos.source)
    shallow = wos.dir / "shallow"
    wos.git(*trust, "-c", "http.version=HTTP/1.1", "clone", "-q", "--depth", "1", url, shallow,
            cwd=wos.dir)
    # A push above postBuffer is sent in chunks.
    (copy / "more").write_bytes(os.urandom(5 << 20))
    wos.git("add", ".", cwd=copy)
    wos.git("commit", "-q", "-m", "more", cwd=copy)
    wos.git(*trust, "push", "-q", "origin", "main", cwd=copy)
    assert wos.git("rev-parse", "main", cwd=bare) == wos.git("rev-parse", "HEAD", cwd=copy)
    wos.git("fsck", "--full", cwd=bare)


# --- OpenCode -------------------------------------------------------------------------

def opencode_binary(modules):
    """The package's own program for this machine; its start script needs an
    install step that npm need not run."""
    arch = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    names = ["opencode-linux-%s" % arch]
    with open("/proc/cpuinfo", encoding="latin-1") as f:
        if arch == "x64" and " avx2 " not in f.read().replace("\n", " "):
            names = ["opencode-linux-x64-baseline"]
    for name in names:
        for path in glob.glob(str(modules / name / "bin" / "opencode")):
            return path
    pytest.skip("opencode-ai has no program for %s" % platform.machine())


@pytest.fixture(scope="module")
def opencode(node_modules):
    binary = opencode_binary(node_modules)
    wos = harness.Wos()
    try:
        home = wos.dir / "oc"
        home.mkdir()
        (wos.trees["alpha"] / "big.txt").write_bytes(b"0123456789abcde\n" * (300 * 65536))
        wos.deploy(harness.shell_app(oc={
            "script": ["exec %s serve --port $WOS_SERVICE_PORT --hostname 127.0.0.1" % binary],
            "ports": [{"port": 4096, "healthcheck": {"url": "/global/health", "status": 200}}],
            "environment": {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"),
                            "XDG_DATA_HOME": str(home / "data"),
                            "XDG_CACHE_HOME": str(home / "cache"),
                            "XDG_STATE_HOME": str(home / "state"),
                            "OPENCODE_DISABLE_AUTOUPDATE": "1"}}))
        wos.up("alpha")
        yield wos
    finally:
        problems = wos.close()
        if problems:
            pytest.fail("\n".join(problems), pytrace=False)


OC = "alpha-oc"
JSON = ("content-type", "application/json")


def post(wos, path, value, http="h1", headers=(), **keys):
    return wos.get(OC, path, method="POST", headers=[JSON, *headers],
                   body=json.dumps(value).encode(), http=http, **keys)


def test_opencode_health(opencode, http):
    answer = opencode.get(OC, "/global/health", http=http)
    assert answer.status == 200 and answer.json["healthy"] is True


def test_opencode_events(opencode, http):
    with (opencode.h1 if http == "h1" else opencode.h2)(OC) as client:
        flow = client.stream("/event")
        assert flow.answer.get("content-type") == "text/event-stream"
        flow.wait(b"server.connected")
        session = post(opencode, "/session", {"title": "seen " + http}).json
        flow.wait(session["id"].encode())


def test_opencode_terminal(opencode, http):
    """Its ticket is given only when Origin and Host agree, so the public Host
    must have been kept; the WebSocket is then a real shell."""
    origin = opencode.url(OC, "").rstrip("/")
    pty = post(opencode, "/pty", {"command": "/bin/sh"}, http).json
    path = "/pty/%s/connect-token" % pty["id"]
    ticket = post(opencode, path, {}, http, [("origin", origin), ("x-opencode-ticket", "1")])
    assert ticket.status == 200, ticket
    refused = post(opencode, path, {}, http, [("origin", "https://evil.example"),
                                              ("x-opencode-ticket", "1")])
    assert refused.status == 403
    with opencode.ws(OC, "/pty/%s/connect?ticket=%s" % (pty["id"], ticket.json["ticket"]),
                     http=http, headers=[("origin", origin)]) as ws:
        assert ws.answer.status == (101 if http == "h1" else 200), ws.answer
        ws.send("echo marker-$((40+2))\n")
        seen = b""
        while b"marker-42" not in seen:
            seen += ws.recv()[1]


def test_opencode_terminal_refusal_is_its_own(opencode, http):
    """A foreign Origin: OpenCode's 403, not the gateway's 502."""
    pty = post(opencode, "/pty", {"command": "/bin/sh"}).json
    origin = opencode.url(OC, "").rstrip("/")
    ticket = post(opencode, "/pty/%s/connect-token" % pty["id"], {}, "h1",
                  [("origin", origin), ("x-opencode-ticket", "1")])
    assert ticket.status == 200, ticket
    with opencode.ws(OC, "/pty/%s/connect?ticket=%s" % (pty["id"], ticket.json["ticket"]), http=http,
                     headers=[("origin", "https://evil.example")]) as ws:
        assert not ws.open and ws.answer.status == 403


def test_opencode_two_megabyte_post(opencode, http):
    title = "t" * 2000000
    answer = post(opencode, "/session", {"title": title}, http)
    assert answer.status == 200 and answer.json["title"] == title


@pytest.mark.timeout(400)
def test_opencode_answer_of_300_megabytes(opencode, http):
    with (opencode.h1 if http == "h1" else opencode.h2)(OC) as client:
        answer = client.request(path="/file/content?path=big.txt", hash_only=True, timeout=300)
    direct = clients.Http1(opencode.host_port("alpha", "oc", 4096), "localhost")
    wanted = direct.request(path="/file/content?path=big.txt", hash_only=True, timeout=300)
    direct.close()
    assert answer.status == 200 and answer.size == wanted.size > 300 * 1024 * 1024
    assert answer.sha256 == wanted.sha256


@pytest.mark.no_tsan("a minute of waiting")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_opencode_request_of_over_a_minute(opencode):
    """A command of 65 s in a session: one POST that answers when it ends. Both at once: they wait."""
    def command(http):
        session = post(opencode, "/session", {"title": "slow " + http}).json
        return post(opencode, "/session/%s/shell" % session["id"],
                    {"agent": "build", "command": "sleep 65; echo finally-$((1+1))"}, http,
                    timeout=150)
    with ThreadPoolExecutor(2) as pool:
        for answer in pool.map(command, ("h1", "h2")):
            assert answer.status == 200 and "finally-2" in answer.text
