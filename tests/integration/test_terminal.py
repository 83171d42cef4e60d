"""Terminals of the web UI: what they are, what viewers get, what ends them, and attacks on them."""
import base64
import json
import os
import re
import socket
import struct
import subprocess

import pytest

import clients
import harness
from api_client import Api, Events, WebSocket

SECRET = "a-long-secret-of-the-ui"
ENABLED = "tunnel.webUi.terminalEnabled"
HELLO = {"type": "hello", "v": 1, "clientId": "t", "cols": 80, "rows": 24,
         "desiredControl": "controller", "encoding": "binary", "skip": True}


@pytest.fixture(scope="module")
def ui():
    options = pytest.MonkeyPatch()
    # What a sanitizer keeps of freed memory is none of the daemon's.
    options.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4")
    wos = harness.Wos(worktrees=("beta", "gamma"), tunnel={
        "webUi": {"enabled": True, "subdomain": "wos", "secret": SECRET}})
    try:
        wos.deploy(harness.shell_app(web=harness.python_service(
            "web", environment={"MINE": "of the service"})))
        wos.up("alpha")
        wos.wait_route("wos")
        yield wos
    finally:
        problems = wos.close()
        options.undo()
        assert not problems, problems


@pytest.fixture
def api(ui):
    """Afterwards no terminal is open."""
    api = Api(ui.web_port)
    yield api
    for terminal in api.get("/terminals").json["terminals"]:
        api.call("DELETE", "/terminals/" + terminal["id"])
    harness.until("all are gone", lambda: api.get("/terminals").json["terminals"] == [])


def opened(ui, api, tree="alpha", **body):
    answer = api.post("/terminals", {"path": str(ui.trees[tree]), **body})
    assert answer.status == 201, answer.body
    return answer.json


class Viewer:
    """A WebSocket with what came on it: `text` is the program's output since the last skip."""

    def __init__(self, ui, terminal, since=0, hello=(), ws=None, headers=()):
        self.ws = ws or WebSocket(ui.web_port, terminal["attachPath"], list(headers))
        assert self.ws.status == 101
        self.seq, self.text, self.said, self.exit = since, b"", [], None
        self.ws.send({**HELLO, "since": since, **dict(hello)})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ws.sock.close()

    def step(self):
        opcode, data = self.ws.frame()
        if opcode == 2:
            seq = struct.unpack("!Q", data[:8])[0]
            assert seq == self.seq, "nothing is missing, nothing comes twice"
            self.seq += len(data) - 8
            self.text += data[8:]
        elif opcode == 1:
            message = json.loads(data)
            self.said.append(message)
            if message["type"] == "skipped":
                assert message["seq"] > self.seq
                self.seq, self.text = message["seq"], b""
            if message["type"] in ("exit", "error"):
                self.exit = message
        elif opcode == 8:
            raise ConnectionError("closed: %r" % data)
        elif opcode == 9:
            self.ws.send(data, 10)

    def until(self, test):
        while not test():
            self.step()

    def shows(self, text):
        self.until(lambda: text in self.text)

    def ended(self):
        """Reads to the end of the connection; the last of what was said."""
        try:
            while True:
                self.step()
        except ConnectionError:
            return self.exit

    def type(self, text):
        self.ws.send(text.encode() + b"\r", 2)


# --- what they are ------------------------------------------------------------------------

def test_list_open_rename_close(ui, api):
    assert api.get("/terminals").json == {"terminals": []}
    with Events(ui.web_port, "/events") as events:
        one = opened(ui, api, title="build", cols=100, rows=30)
        assert set(one) == {"id", "attachPath", "title", "path", "sessionName", "createdAt", "cols",
                            "rows", "viewers", "state"}
        assert one["title"] == "build" and one["path"] == str(ui.trees["alpha"])
        assert (one["cols"], one["rows"], one["viewers"], one["state"]) == (100, 30, 0, "running")
        two = opened(ui, api, tree="beta")
        assert [t["id"] for t in api.get("/terminals").json["terminals"]] == [one["id"], two["id"]]
        only = api.get("/terminals?path=" + str(ui.trees["beta"])).json["terminals"]
        assert [t["id"] for t in only] == [two["id"]]
        renamed = api.call("PATCH", "/terminals/" + one["id"], {"title": "tests ✓"})
        assert renamed.status == 200 and renamed.json["title"] == "tests ✓"
        with Viewer(ui, one) as viewer:
            viewer.until(lambda: viewer.said)
        before = list(events.until(lambda e: e[1] == "terminal.detached"))
        assert [name for _, name, data in before if name.startswith("terminal.")
                and data["event"]["terminal"]["id"] == one["id"]] == [
                    "terminal.started", "terminal.updated", "terminal.attached", "terminal.detached"]
        left = before[-1][2]
        [now] = [t for t in api.get("/terminals").json["terminals"] if t["id"] == one["id"]]
        assert left["event"] == {"type": "terminal.detached", "terminal": now}, left
        assert (now["viewers"], now["state"]) == (0, "running")
        assert left["worktreePath"] == now["path"] and left["sessionName"] == now["sessionName"]
        with Viewer(ui, one) as viewer:
            viewer.type("exit 4")
            assert viewer.ended() == {"type": "exit", "exit": {"exitCode": 4}}
        [kept] = [t for t in api.get("/terminals").json["terminals"] if t["id"] == one["id"]]
        assert kept["state"] == "exited" and kept["exit"] == {"exitCode": 4}
        with Viewer(ui, one) as late:
            assert late.ended() == {"type": "exit", "exit": {"exitCode": 4}}
            assert b"exit 4" in late.text
        assert api.call("DELETE", "/terminals/" + one["id"]).json == {"closed": True}
        seen = [(name, data["event"]["terminal"]["title"]) for _, name, data in events.until(
            lambda e: e[1] == "terminal.removed") if name.startswith("terminal.")]
    of_it = [name for name, title in seen if title in ("build", "tests ✓")]
    assert of_it[:2] == ["terminal.attached", "terminal.exited"] and of_it[-1] == "terminal.removed", seen
    assert api.call("DELETE", "/terminals/" + one["id"]).status == 404


def test_bad_requests(ui, api):
    path = str(ui.trees["alpha"])
    for body in ({"cols": 0}, {"cols": 1001}, {"rows": -1}, {"rows": "many"}, {"title": ""},
                 {"title": "x" * 81}, {"title": "a\x1b[2J"}, {"title": 1}, {"service": 1}):
        answer = api.post("/terminals", {"path": path, **body})
        assert (answer.status, answer.json["error"]) == (400, "validation"), body
    assert api.post("/terminals", {"path": "/"}).json["error"] == "not-a-worktree"
    assert api.post("/terminals", {"path": path, "service": "no"}).json["error"] == "unknown-service"
    other = api.post("/terminals", {"path": str(ui.trees["beta"]), "service": "web"})
    assert other.json["error"] == "not-deployed"
    assert api.call("PATCH", "/terminals/" + "0" * 32, {"title": "x"}).status == 404
    assert api.call("PATCH", "/terminals/" + "0" * 32, {}).status == 400
    assert api.get("/terminals").json["terminals"] == []


def test_a_shell_in_the_worktree(ui, api):
    with Viewer(ui, opened(ui, api), hello={"cols": 91, "rows": 17}) as viewer:
        viewer.type("pwd; stty size; echo term=$TERM; env | grep -c ^WOS_TEST; tty")
        viewer.shows(b"/dev/pts/")
        assert str(ui.trees["alpha"]).encode() + b"\r\n" in viewer.text
        assert b"\r\n17 91\r\n" in viewer.text and b"term=xterm-256color" in viewer.text
        viewer.ws.send({"type": "resize", "cols": 120, "rows": 40})
        viewer.until(lambda: {"type": "size", "cols": 120, "rows": 40} in viewer.said)
        viewer.type("stty size | sed s/^/now=/")
        viewer.shows(b"now=40 120")


def test_a_shell_in_a_service(ui, api):
    terminal = opened(ui, api, service="web")
    assert terminal["service"] == "web" and terminal["title"].startswith("web ")
    with Viewer(ui, terminal) as viewer:
        viewer.type('echo "[$MINE] $WOS_SERVICE_PORT."')
        viewer.shows(b"[of the service] %d." % ui.host_port("alpha"))


def test_several_viewers(ui, api):
    terminal = opened(ui, api)
    with Viewer(ui, terminal) as one, Viewer(ui, terminal, hello={"cols": 50, "rows": 10}) as two:
        one.until(lambda: {"type": "size", "cols": 50, "rows": 10} in one.said)
        one.type("echo one-$((1))")
        two.shows(b"one-1\r\n")
        two.type("echo two-$((2))")
        one.shows(b"two-2\r\n")
        assert api.get("/terminals").json["terminals"][0]["viewers"] == 2


def test_one_viewer_answers(ui, api):
    """The one that came, typed or resized last, whatever their sizes: the others are told."""
    terminal = opened(ui, api)

    def turns(viewer):
        return [m["yours"] for m in viewer.said if m["type"] == "answers"]
    with Viewer(ui, terminal) as one:
        one.until(lambda: turns(one) == [True])
        with Viewer(ui, terminal) as two:
            two.until(lambda: turns(two) == [True])
            one.until(lambda: turns(one) == [True, False])
            one.type("echo one-$((1))")
            two.shows(b"one-1\r\n")
            assert turns(two) == [True, False], "told before what it caused"
            two.ws.send({"type": "resize", "cols": 80, "rows": 24})  # as it was
            one.until(lambda: turns(one) == [True, False, True, False])
            assert turns(two) == [True, False]
            two.until(lambda: turns(two) == [True, False, True])
        one.until(lambda: turns(one) == [True, False, True, False, True])


def test_replay_from_where_one_was(ui, api):
    terminal = opened(ui, api)
    with Viewer(ui, terminal) as one:
        one.type("echo before-$((1))")
        one.shows(b"before-1\r\n")
        assert one.said[0] == {"type": "attached", "seq": 0}, "all of it is new"
        was, text = one.seq, one.text
        one.type("(sleep 0.1; echo after-$((2)); seq 1 5000; echo done-$((3))) &")
    # What is written while nobody looks is there for who comes back, once.
    with Viewer(ui, terminal, since=was) as again:
        again.shows(b"done-3\r\n")
        assert b"before-1" not in again.text and b"after-2" in again.text
        text += again.text
    with Viewer(ui, terminal) as anew:
        anew.until(lambda: len(anew.text) >= len(text))
        assert anew.said[0]["type"] == "attached" and anew.said[0]["seq"] >= len(text)
        assert anew.text.startswith(text)
    # A number of nothing that was is none.
    with Viewer(ui, terminal, since=was, hello={"since": 1 << 50}) as ahead:
        ahead.seq = anew.seq
        ahead.type("echo ahead-$((4))")
        ahead.shows(b"ahead-4")


def test_a_slow_viewer_skips_and_holds_up_nobody(ui, api):
    terminal = opened(ui, api)
    with Viewer(ui, terminal) as slow, Viewer(ui, terminal) as quick:
        slow.until(lambda: slow.text)
        slow.ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        before = harness.rss_bytes(ui.daemon_pid())
        quick.type("stty -echo; yes 0123456789 | head -c 12000000; echo EN''D")
        quick.shows(b"END")
        assert harness.rss_bytes(ui.daemon_pid()) < before + (40 << 20)
        slow.shows(b"END")
        skips = [m for m in slow.said if m["type"] == "skipped"]
        assert skips, "twelve MB do not wait for it"
        slow.type("echo more-$((5))")
        slow.shows(b"more-5")


def test_much_input_is_told_as_taken(ui, api):
    with Viewer(ui, opened(ui, api)) as viewer:
        line = "stty raw -echo; echo read''y; head -c 500000 | cksum; stty sane"
        viewer.type(line)
        viewer.shows(b"ready")
        data = os.urandom(500000)
        wanted = len(line) + 1
        for at in range(0, len(data), 16000):
            piece = data[at:at + 16000]
            viewer.ws.send(piece, 2)
            wanted += len(piece)
            viewer.until(lambda: {"type": "taken", "bytes": wanted} in viewer.said)
        result = subprocess.run(["cksum"], input=data, capture_output=True, check=True)
        viewer.shows(result.stdout.strip())


# --- what ends them -----------------------------------------------------------------------------

def run_in(viewer, seconds):
    viewer.type("sleep %s & sleep %s" % (seconds, seconds))


def sleepers(ui, seconds):
    return [line for line in ui.processes().values() if line == "sleep %s" % seconds]


def test_closing_ends_what_runs_in_it(ui, api):
    terminal = opened(ui, api)
    with Viewer(ui, terminal) as viewer:
        run_in(viewer, 1011)
        harness.until("they run", lambda: len(sleepers(ui, 1011)) == 2)
        assert api.call("DELETE", "/terminals/" + terminal["id"]).status == 200
        assert viewer.ended()["type"] == "exit"
    harness.until("all ended", lambda: not sleepers(ui, 1011))


@pytest.mark.parametrize("by", ["wos", "git"])
def test_the_worktree_goes(ui, api, by):
    name = "gone-" + by
    ui.add_worktree(name)
    terminal = opened(ui, api, tree=name)
    with Viewer(ui, terminal) as viewer:
        run_in(viewer, 1012)
        harness.until("they run", lambda: len(sleepers(ui, 1012)) == 2)
        if by == "git":
            ui.git("worktree", "remove", "--force", str(ui.trees[name]), cwd=ui.trees["alpha"])
        else:
            api.done(api.post("/worktrees/remove", {"path": str(ui.trees[name]),
                                                    "discardChanges": True}).json)
        assert viewer.ended()["type"] == "exit"
    harness.until("it is gone", lambda: api.get("/terminals").json["terminals"] == [])
    assert not sleepers(ui, 1012)


def test_a_restart_of_the_daemon_ends_them(ui, api):
    terminal = opened(ui, api)
    marker = ui.home / "hung-up"
    with Viewer(ui, terminal) as viewer:
        viewer.type("trap 'echo hung up > %s; exit' HUP; echo trap-$((1))" % marker)
        viewer.shows(b"trap-1")
        run_in(viewer, 1013)
        harness.until("they run", lambda: len(sleepers(ui, 1013)) == 2)
        ui.ok("restart")
        viewer.ended()
    harness.until("all ended", lambda: not sleepers(ui, 1013))
    assert marker.read_text() == "hung up\n", "shells had the time to say goodbye"
    assert api.get("/terminals").json["terminals"] == []
    assert ui.get("alpha-web", "/hello").status == 200, "services went on"


# --- attacks ----------------------------------------------------------------------------------------

HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""},
    {"Origin": "http://127.0.0.1:1"}, {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Host": "evil.example"}, {"Host": "alpha-web.wos.localhost"}])
def test_other_pages_get_no_terminal(ui, api, headers):
    terminal = opened(ui, api)
    answer = api.get(terminal["attachPath"][6:], headers={**HANDSHAKE, **headers})
    assert answer.status == 403, answer.body
    if "Host" not in headers:
        answer = api.post("/terminals", {"path": str(ui.trees["alpha"])}, headers=headers)
        assert answer.status == 403
    assert len(api.get("/terminals").json["terminals"]) == 1
    assert api.get("/terminals").json["terminals"][0]["viewers"] == 0


def test_our_own_page_gets_one(ui, api):
    with Viewer(ui, opened(ui, api), headers=["Origin: http://127.0.0.1:%d" % ui.web_port,
                                              "Sec-Fetch-Site: same-origin"]) as viewer:
        viewer.type("echo ours-$((1))")
        viewer.shows(b"ours-1")


def frame(first, body=b"", size=None):
    """A masked frame that says what it likes about its size."""
    size = len(body) if size is None else size
    length = (bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0x80 | 126, size)
              if size < 65536 else struct.pack("!BQ", 0x80 | 127, size))
    return bytes([first]) + length + b"\0\0\0\0" + body


@pytest.mark.parametrize("attack", [
    frame(0x82, b"x", size=1 << 62),                        # without end
    frame(0x82, b"x" * (1 << 20) + b"y"),                   # larger than a message may be
    frame(0x02, b"x" * 600000) + frame(0x80, b"x" * 600000),  # the same in two pieces
    frame(0x01, b"") + frame(0x00, b"") * 1100 + frame(0x80),  # a message in very many pieces
    frame(0x81, b"\xc3\x28"),                               # no UTF-8
    frame(0x81, b'{"type":"input","data":"\xed\xa0\x80"}'),  # half of a surrogate pair
    frame(0x82, b"x" * (300 << 10)),                        # more than a program takes
    frame(0x81, b"{" * 5000), frame(0x81, b"[]"), frame(0x81, b"null"),
    frame(0x81, b'{"type":"hello","v":1}'),                 # hello again
    frame(0x81, b'{"type":"input"}'), frame(0x81, b'{"type":"input","dataBase64":"%%%"}'),
    frame(0x89, b"x" * 126), frame(0xf2, b"x"), frame(0x8b, b"x"),
])
def test_frames_that_end_the_connection(ui, api, attack):
    terminal = opened(ui, api)
    with Viewer(ui, terminal) as viewer, Viewer(ui, terminal) as other:
        viewer.type("stty raw -echo; sleep 1014")  # so that input is not taken
        harness.until("it sleeps", lambda: sleepers(ui, 1014))
        try:
            viewer.ws.sock.sendall(attack)
        except (BrokenPipeError, ConnectionResetError):
            pass  # ended before it had all
        viewer.ended()
        # The terminal and its other viewer do not care.
        assert api.get("/terminals").json["terminals"][0]["state"] == "running"
        other.ws.send({"type": "resize", "cols": 33, "rows": 11})
        other.until(lambda: {"type": "size", "cols": 33, "rows": 11} in other.said)


def test_binary_needs_a_hello_that_says_so(ui, api):
    terminal = opened(ui, api)
    for hello in (None, {"encoding": "base64"}, {"encoding": "other"}):
        with WebSocket(ui.web_port, terminal["attachPath"]) as ws:
            if hello:
                ws.send({**HELLO, **hello})
            ws.send(b"touch x\r", 2)
            message = ws.message()
            while message["type"] != "error":
                message = ws.message()
            assert "hello" in message["message"]


def test_resize_nonsense(ui, api):
    with Viewer(ui, opened(ui, api)) as viewer:
        for cols, rows in ((0, 0), (-1, -1), (10 ** 9, 10 ** 9), (1e300, -1e300), ("80", "24"),
                           (None, None), ([], {}), (True, False), (1.5, 2.5)):
            viewer.ws.send({"type": "resize", "cols": cols, "rows": rows})
        viewer.ws.send({"type": "resize"})
        viewer.ws.send({"type": "resize", "cols": 99999, "rows": 0})
        viewer.until(lambda: {"type": "size", "cols": 1000, "rows": 1} in viewer.said)
        assert all(1 <= m["cols"] <= 1000 and 1 <= m["rows"] <= 1000
                   for m in viewer.said if m["type"] == "size")
        viewer.ws.send({"type": "resize", "cols": 70, "rows": 20})
        viewer.type("stty size | sed s/^/size=/")
        viewer.shows(b"size=20 70")


def test_a_flood_of_pings_costs_no_memory(ui, api):
    terminal = opened(ui, api)
    with Viewer(ui, terminal) as viewer:
        viewer.until(lambda: viewer.said)
        before = harness.rss_bytes(ui.daemon_pid())
        flood = frame(0x89, b"p" * 125) * 5000
        viewer.ws.sock.settimeout(2)
        try:
            for _ in range(200):  # 130 MB, and nothing is read
                viewer.ws.sock.sendall(flood)
        except (TimeoutError, ConnectionError):
            pass  # it is not read any more either, or let go
        assert harness.rss_bytes(ui.daemon_pid()) < before + (40 << 20)
        with Viewer(ui, terminal) as other:
            other.type("echo still-$((1))")
            other.shows(b"still-1")


def test_a_hundred_opens(ui, api):
    ui.ok("config", "set", "terminals.max", "6")
    try:
        answers = [api.post("/terminals", {"path": str(ui.trees["alpha"])}) for _ in range(100)]
        assert [a.status for a in answers] == [201] * 6 + [503] * 94
        assert "terminals.max" in answers[-1].json["message"]
        assert len(api.get("/terminals").json["terminals"]) == 6
        # `wos exec` has places of its own.
        assert ui.ok("exec", "web", "--", "echo", "hi", cwd="alpha").out == "hi\n"
    finally:
        ui.ok("config", "unset", "terminals.max")


def test_a_hundred_viewers(ui, api):
    terminal = opened(ui, api)
    sockets = [WebSocket(ui.web_port, terminal["attachPath"]) for _ in range(100)]
    try:
        for ws in sockets:
            ws.send(HELLO)
        refused = 0
        for ws in sockets:
            opcode, data = ws.frame()
            refused += opcode == 1 and json.loads(data)["type"] == "error"
        assert refused == 84 and len(sockets) == 100
        assert api.get("/terminals").json["terminals"][0]["viewers"] == 16
    finally:
        for ws in sockets:
            ws.sock.close()


# --- by the public name ------------------------------------------------------------------------------

def public(ui, method, path, headers=(), body=None):
    headers = [*headers, ("Content-Type", "application/json")]
    return ui.get("wos", "/ui/v1" + path, method=method, headers=headers,
                  body=None if body is None else json.dumps(body).encode())


@pytest.fixture
def cookie(ui):
    answer = public(ui, "POST", "/auth/login", body={"secret": SECRET})
    yield ("Cookie", re.match("[^;]*", answer.get("set-cookie")).group())
    ui.ok("config", "unset", ENABLED)


@pytest.fixture
def enabled(ui):
    ui.ok("config", "set", ENABLED, "true")


def attach(ui, terminal, http, *headers):
    return ui.ws("wos", terminal["attachPath"], http=http, headers=list(headers))


def test_from_outside_only_when_enabled(ui, api, cookie):
    terminal = opened(ui, api)
    path = {"path": str(ui.trees["alpha"])}
    asked = [("GET", "/terminals", None), ("POST", "/terminals", path),
             ("PATCH", "/terminals/" + terminal["id"], {"title": "mine"}),
             ("DELETE", "/terminals/" + terminal["id"], None),
             ("POST", "/worktrees/exec", {**path, "service": "web", "command": ["true"]})]
    for method, where, body in asked:
        assert public(ui, method, where, body=body).status == 401
        answer = public(ui, method, where, [cookie], body)
        assert (answer.status, answer.json["error"]) == (403, "forbidden")
    for http in ("h1", "h2"):
        for headers, status in (((), 401), ((cookie,), 403)):
            with attach(ui, terminal, http, *headers) as ws:
                assert not ws.open and ws.answer.status == status
    assert len(api.get("/terminals").json["terminals"]) == 1


def types_for(ui, headers, last):
    """The types of all events up to the number `last`, as this client gets them."""
    with Events(ui.web_port, "/events", headers) as events:
        return {e[1] for e in events.until(lambda e: e[0] >= last)}


def test_events_tell_the_outside_only_what_it_may_ask_for(ui, api):
    host = {"Host": ui.host("wos")}
    login = api.post("/auth/login", {"secret": SECRET}, headers=host)
    host["Cookie"] = login.headers["set-cookie"].partition(";")[0]
    project = api.get("/projects").json["projects"][0]["id"]
    with Events(ui.web_port, "/events?history=0") as events:
        opened(ui, api, title="a name of mine")
        ui.ok("config", "set", "tunnel.hsts", "60")
        ui.ok("config", "unset", "tunnel.hsts")
        api.call("PATCH", "/projects/" + project, {"colorSlot": 5})
        last = list(events.until(lambda e: e[1] == "project.updated"))[-1][0]
    here = types_for(ui, {}, last)
    closed = {t for t in here if t.startswith(("terminal.", "certificate.", "config."))}
    assert {"terminal.started", "config.changed", "certificate.activated"} <= closed
    assert types_for(ui, host, last) == here - closed
    ui.ok("config", "set", ENABLED, "true")
    try:
        assert types_for(ui, host, last) == here - {t for t in closed if not t.startswith("terminal.")}
    finally:
        ui.ok("config", "set", ENABLED, "false")


def said(ws, test):
    """Until a message passes; what came meanwhile, without the heads of output."""
    text = b""
    while True:
        opcode, data = ws.recv()
        text += data[8:] if opcode == 2 else b""
        if test(opcode, data, text):
            return text


@pytest.mark.parametrize("http", ["h1", "h2"])
def test_from_outside(ui, api, cookie, enabled, http):
    terminal = public(ui, "POST", "/terminals", [cookie],
                      {"path": str(ui.trees["alpha"])}).json
    ours = ("Origin", "https://%s:%d" % (ui.host("wos"), ui.port))
    for bad in (("Origin", "https://%s:%d" % (ui.host("alpha-web"), ui.port)),
                ("Origin", ours[1].replace("https", "http")), ("Origin", ours[1].replace("https", "ftp")),
                ("Origin", "null"), ("Sec-Fetch-Site", "same-site")):
        with attach(ui, terminal, http, cookie, bad) as ws:
            assert not ws.open and ws.answer.status == 403, bad
    with attach(ui, terminal, http, cookie, ours) as ws:
        assert ws.open
        ws.send(json.dumps(HELLO))
        ws.send(b"echo outside-$((6*7))\r")
        said(ws, lambda _op, _data, text: b"outside-42" in text)
        # Switched off, it ends; nothing that is typed then reaches the shell.
        ui.ok("config", "set", ENABLED, "false")
        ws.send(b"touch " + str(ui.home / "touched").encode() + b"\r")
        said(ws, lambda op, data, _text: op == 1 and b"restricted to trusted" in data)
        with pytest.raises(clients.ClientError):
            while True:
                ws.recv()
    assert not (ui.home / "touched").exists()


def test_switched_off_ends_silent_viewers_too(ui, api, cookie, enabled):
    terminal = opened(ui, api)
    with attach(ui, terminal, "h1", cookie) as ws, Viewer(ui, terminal) as local:
        ws.send(json.dumps(HELLO))
        local.until(lambda: api.get("/terminals").json["terminals"][0]["viewers"] == 2
                    or local.step())
        ui.ok("config", "set", ENABLED, "false")
        said(ws, lambda op, data, _text: op == 1 and b"restricted to trusted" in data)
        local.type("echo local-$((1))")
        local.shows(b"local-1")


def test_a_revoked_login_loses_its_terminals(ui, api, cookie, enabled):
    terminal = opened(ui, api)
    other = public(ui, "POST", "/auth/login", body={"secret": SECRET})
    theirs = ("Cookie", re.match("[^;]*", other.get("set-cookie")).group())
    with attach(ui, terminal, "h1", theirs) as ws, attach(ui, terminal, "h2", cookie) as mine:
        for one in (ws, mine):
            one.send(json.dumps(HELLO))
            said(one, lambda op, data, _text: op == 1 and b"size" in data)
        devices = public(ui, "GET", "/auth/sessions", [theirs]).json["sessions"]
        [device] = [d["id"] for d in devices if d["current"]]
        assert public(ui, "DELETE", "/auth/sessions/" + device, [cookie]).status == 200
        with pytest.raises(clients.ClientError):
            while True:
                ws.recv()
        mine.send(b"echo mine-$((1))\r")
        said(mine, lambda _op, _data, text: b"mine-1" in text)
