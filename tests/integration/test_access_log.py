"""The access log: one line per exchange, no secrets, none lost; X-Request-Id."""
import json
import os
import re
import resource
import signal
import socket
import stat
import threading
import time

import pytest

import access_log
import clients
import harness
from edge import Edge

WEB = "alpha-web"
OWN_ID = re.compile(r"^[0-9a-hjkmnp-tv-z]{26}$")
PROTOCOL = {"h1": "HTTP/1.1", "h2": "HTTP/2"}


@pytest.fixture(scope="module")
def edge():
    """One wos with a small log, a trusted client, and a published port; no sessions."""
    if not harness.BIN.exists():
        pytest.fail("no binary at %s" % harness.BIN, pytrace=False)
    wos = harness.Wos(tunnel={"accessLog": {"maxSize": 20000, "keep": 900},
                              "trustedProxies": ["127.0.0.2"], "workers": 2})
    try:
        wos.published_port = wos.backend()
        wos.ok("publish", "own", wos.published_port)
        assert wos.ca
        yield wos
    finally:
        problems = wos.close()
        if problems:
            pytest.fail("\n".join(problems) + "\n" + wos.logs(), pytrace=False)


# --- what a line says ---------------------------------------------------------------


def test_a_request_leaves_one_line(gate, http):
    path = "/echo?of=%s" % http
    answer = gate.get(WEB, path, "POST", body=b"12345", http=http)
    line = access_log.one(gate, path=path)
    assert line["id"] == answer.get("x-request-id")
    assert OWN_ID.match(line["id"])
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", line["time"])
    host = gate.host(WEB)
    assert {k: line[k] for k in ("peer", "host", "route", "worktree", "service", "method", "status",
                                 "in", "out", "protocol", "upstream", "reason", "tls")} == {
        "peer": "127.0.0.1", "host": "%s:%d" % (host, gate.port), "route": host,
        "worktree": "alpha", "service": "web", "method": "POST", "status": 200, "in": 5,
        "out": len(answer.body), "protocol": PROTOCOL[http],
        "upstream": "127.0.0.1:%d" % gate.host_port(), "reason": "allowed", "tls": "TLSv1.3"}
    assert line["cipher"].startswith("TLS_")
    assert 0 < line["firstMs"] <= line["ms"]
    assert "aborted" not in line


def test_http_1_0(gate):
    with gate.h1(WEB) as client:
        client.send("GET /hello?old HTTP/1.0\r\nHost: %s\r\n\r\n" % client.authority)
        client.read_answer()
    assert access_log.one(gate, path="/hello?old")["protocol"] == "HTTP/1.0"


def test_reuse_of_the_service_connection_is_told(gate):
    with gate.h1(WEB) as client:
        for i in range(3):
            client.request(path="/hello?reuse=%d" % i)
    assert access_log.one(gate, path="/hello?reuse=2")["reused"] is True


def test_websocket_leaves_a_line_at_its_end(gate, http):
    path = "/ws?line-%s" % http
    ws = gate.ws(WEB, path, http=http)
    clients.echo_many(ws, 3, 100)
    assert access_log.lines(gate, path=path) == []
    ws.end()
    ws.close()
    line = access_log.one(gate, path=path)
    assert line["protocol"] == PROTOCOL[http]
    assert line["upgrade"] == "websocket"
    assert line["status"] == (101 if http == "h1" else 200)
    assert line["in"] > 300 and line["out"] > 300
    assert (line["worktree"], line["service"]) == ("alpha", "web")


def test_a_client_that_leaves(gate, http):
    path = "/hold/nobody-opens-%s" % http
    client = (gate.h1 if http == "h1" else gate.h2)(WEB)
    if http == "h1":
        client.send_head("GET", path)
        client.channel.flush()
    else:
        stream = client.open("GET", path)
    harness.until("the service has it",
                  lambda: path in gate.get(WEB, "/stats").json["active"])
    if http == "h1":
        client.channel.abort()
    else:
        client.reset(stream)
        client.pump()
    line = access_log.one(gate, path=path)
    assert (line["aborted"], line["status"]) == ("client", 0)
    client.close()


def test_a_service_that_dies(gate, http):
    path = "/die?size=9000&after=5000&%s" % http
    try:
        gate.get(WEB, path, http=http)
    except clients.ClientError:
        pass
    line = access_log.one(gate, path=path)
    assert (line["aborted"], line["status"], line["out"]) == ("service", 200, 5000)
    path = "/die-before?%s" % http
    assert gate.get(WEB, path, "POST", http=http).status == 502
    line = access_log.one(gate, path=path)
    assert (line["status"], line["reason"]) == (502, "allowed")
    assert line["upstreamError"]


def test_refused_requests_say_why(gate, http):
    answer = gate.get("nobody-there", "/a", http=http)
    assert answer.status == 404
    line = access_log.one(gate, id=answer.get("x-request-id"))
    assert line["reason"] == "unknown-host" and "route" not in line and "upstream" not in line
    answer = gate.get(WEB, "/" + "x" * 20000, http=http)
    assert answer.status in (414, 431)
    line = access_log.one(gate, id=answer.get("x-request-id"))
    assert line["reason"] == "limit"
    assert len(line.get("path", "")) < 3000


def test_refusals_by_policy_and_state(edge, tmp_path):
    log = tmp_path / "access.log"
    port = edge.published_port
    routes = ["%s.wos.localhost=%d%s" % (name, port, words) for name, words in (
        ("app", ",secret"), ("nobody", ",nobody"), ("starting", ",starting"),
        ("stopped", ",stopped"))]
    wanted = []
    with Edge(routes, secret="right", free=2, delay_max=60000, access_log=log) as alone:
        def ask(reason, status, host, *args, **keys):
            answer = alone.request(host + ".wos.localhost", *args, **keys)
            assert answer.status == status, answer
            wanted.append((answer.get("x-request-id"), reason, status))
        for http in ("h1", "h2"):
            ask("whitelist", 403, "nobody", http=http)
            ask("state", 503, "starting", http=http)
            ask("state", 503, "stopped", http=http)
            ask("secret", 401, "app", http=http)
            ask("allowed", 200, "app", "/hello", headers=[("X-Wos-Secret", "right")], http=http)
            ask("origin", 403, "app", "/.wos/logout", "POST", http=http,
                headers=[("Origin", "https://other.example")])
        for _ in range(3):
            ask("secret", 401, "app", headers=[("X-Wos-Secret", "wrong")])
        ask("throttle", 429, "app", headers=[("X-Wos-Secret", "wrong")])
    text = log.read_text()  # the gateway has ended: all of it is there
    found = {line["id"]: line for line in map(json.loads, text.splitlines())}
    assert [(i, found[i]["reason"], found[i]["status"]) for i, _, _ in wanted] == wanted
    assert "right" not in text and "wrong" not in text


def test_a_malformed_request_is_one_legal_line(gate):
    with gate.h1(WEB) as client:
        client.send(b"GE\"T /\xff\x01?\"\\ HTTP/1.1\r\nHost: \xc3(\"\r\nX: 1\r\n\r\n")
        answer = client.read_answer()
        assert answer.status == 400
    assert access_log.one(gate, id=answer.get("x-request-id"))["reason"] == "malformed"
    with gate.h1(WEB) as client:
        client.send(b"GET /caf\xc3\xa9-\xff-bytes HTTP/1.1\r\nHost: %s\r\n\r\n"
                    % client.authority.encode())
        answer = client.read_answer()
    line = access_log.one(gate, id=answer.get("x-request-id"))
    assert line["status"] == answer.status


def test_secrets_stay_out(gate, http):
    targets = [
        "/a?token=SECRET1&x=1", "/a?ACCESS_TOKEN=SECRET2", "/a?api%5Fkey=SECRET3",
        "/a?%61uth=SECRET4", "/a?x=1;password=SECRET5", "/a;jsessionid=SECRET6/b",
        "/a?X-Amz-Signature=SECRET7&ok=yes", "/a?user%5Bpassword%5D=SECRET8",
        "/a?next=https%3A%2F%2Fu:SECRET9%40h%2F", "/a?sig=SECRET10", "/a?code=SECRET11",
        "/a?%2574oken=SECRET12", "/hello?client-secret=" + "SECRET13" * 400,
        "/a?redirect=%2Fcb%3Ftoken%3DSECRET14", "/a?token%3DSECRET15", "//u:SECRET16@h/x",
        "/a?data=%7B%22password%22%3A%22SECRET17%22%7D", "/cb%3Fsecret%3DSECRET18",
    ]
    ids = []
    with (gate.h1 if http == "h1" else gate.h2)(WEB) as client:
        for target in targets:
            ids.append(client.request(path=target, headers=[
                ("Authorization", "Bearer SECRETHEADER"), ("Cookie", "a=SECRETCOOKIE"),
                ("X-Wos-Secret", "SECRETOWN")]).get("x-request-id"))
    for target, request_id in zip(targets, ids):
        line = access_log.one(gate, id=request_id)
        assert "***" in line["path"], (target, line)
    assert b"SECRET" not in access_log.text(gate)
    assert access_log.one(gate, id=ids[6])["path"] == "/a?X-Amz-Signature=***&ok=yes"


def test_connections_refused_before_a_request(edge):
    def refused():
        return [line for line in access_log.lines(edge, event="refused")
                if line["reason"] == "handshake"]
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", edge.port)) as raw:
            raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while raw.recv(4096):
                pass
    found = harness.until("a line about the handshakes", refused)
    assert found[0]["peer"] == "127.0.0.1" and found[0]["detail"]
    assert len(found) < 60, "not bounded"


def test_files_are_private(edge):
    assert stat.S_IMODE((edge.home / "logs").stat().st_mode) == 0o700
    edge.get("own", "/hello")
    for path in access_log.files(edge):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- X-Request-Id -------------------------------------------------------------------


def test_the_id_is_ours_in_every_place(gate, http):
    answer = gate.get(WEB, "/own-id", headers=[("X-Request-Id", "mine"), ("X_Request_Id", "too")],
                      http=http)
    assert len(answer.all("x-request-id")) == 1
    given = answer.get("x-request-id")
    assert OWN_ID.match(given)
    assert answer.json == [given]
    access_log.one(gate, id=given, path="/own-id")


def from_proxy(wos, http, headers):
    open_it = clients.Http1 if http == "h1" else clients.Http2
    with open_it(wos.port, wos.host("own"), ca=wos.ca, source="127.0.0.2") as client:
        return client.request(path="/own-id", headers=headers)


def test_a_trusted_proxy_may_give_the_id(edge, http):
    given = "A-b.c_d~e+f/g=h-%s" % http
    answer = from_proxy(edge, http, [("X-Request-Id", given)])
    assert (answer.json, answer.get("x-request-id")) == ([given], given)
    assert access_log.one(edge, id=given)["peer"] == "127.0.0.2"
    answer = from_proxy(edge, http, [("X-Forwarded-For", "192.0.2.7")])
    line = access_log.one(edge, id=answer.get("x-request-id"))
    assert (line["peer"], line["via"]) == ("192.0.2.7", "127.0.0.2")
    for headers in ([("X-Request-Id", "two words")], [("X-Request-Id", "x" * 129)],
                    [("X-Request-Id", "a"), ("X-Request-Id", "b")]):
        answer = from_proxy(edge, http, headers)
        assert OWN_ID.match(answer.get("x-request-id")), headers
        assert answer.json == [answer.get("x-request-id")]


def test_ids_are_unique(gate):
    ids = set()
    with gate.h2(WEB) as client:
        for _ in range(300):
            ids.add(client.request(path="/hello").get("x-request-id"))
    assert len(ids) == 300


# --- the file -----------------------------------------------------------------------


def hammer(wos, tag, threads=4, each=150):
    """Requests over both versions at once; how many."""
    failures = []

    def run(number):
        try:
            open_it = wos.h1 if number % 2 else wos.h2
            with open_it("own") as client:
                for i in range(each):
                    answer = client.request(path="/hello?%s=%d-%d" % (tag, number, i))
                    assert answer.status == 200, answer
        except Exception as error:  # told to the test below
            failures.append(error)
    jobs = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert not failures, failures
    return threads * each


def tagged(wos, tag):
    return [line for line in access_log.lines(wos) if ("?%s=" % tag) in line.get("path", "")]


def all_there(wos, tag, count):
    def probe():
        found = tagged(wos, tag)
        assert len(found) >= count, "%d of %d" % (len(found), count)
        return found
    found = harness.until("all lines", probe)
    assert len({line["path"] for line in found}) == len(found) == count


def test_rotation_under_load_loses_nothing(edge):
    before = len(access_log.files(edge))
    rounds = 0
    count = 0
    while len(access_log.files(edge)) < before + 3 and rounds < 100:
        count += hammer(edge, "turn", each=50) if rounds == 0 else hammer(edge, "more%d" % rounds)
        rounds += 1
    assert len(access_log.files(edge)) >= before + 3
    all_there(edge, "turn", 200)
    for i in range(1, rounds):
        all_there(edge, "more%d" % i, 600)


def test_sighup_and_external_rotation(edge):
    daemon, gateway = edge.daemon_pid(), edge.gateway_pid()
    hammer(edge, "before", each=20)
    all_there(edge, "before", 80)
    path = edge.home / "logs" / "access.log"
    moved = edge.home / "logs" / "access.log.moved"
    os.rename(path, moved)
    os.kill(daemon, signal.SIGHUP)
    harness.until("a new file", path.exists)
    edge.get("own", "/hello?after=hup")
    harness.until("a line in it", lambda: b"after=hup" in path.read_bytes())
    assert harness.alive(daemon)
    assert (edge.daemon_pid(), edge.gateway_pid()) == (daemon, gateway)
    os.rename(path, edge.home / "logs" / "access.log.moved-too")  # and without any signal
    harness.until("a new file", path.exists)


def test_a_full_disk_loses_lines_and_no_requests(edge):
    gateway = edge.gateway_pid()
    edge.get("own", "/hello?room=1")
    access_log.one(edge, path="/hello?room=1")
    size = (edge.home / "logs" / "access.log").stat().st_size
    soft, hard = resource.prlimit(gateway, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway, resource.RLIMIT_FSIZE, (size + 700, hard))
    try:
        hammer(edge, "full")
        stats = edge.ok("metrics", "--json").data
        harness.until("lines are lost", lambda: edge.ok("metrics", "--json").data["gateway"]
                      ["accessLogDropped"] > 0)
        assert stats["gateway"]["requests"] >= 600
    finally:
        resource.prlimit(gateway, resource.RLIMIT_FSIZE, (soft, hard))
    edge.get("own", "/hello?room=2")
    access_log.one(edge, path="/hello?room=2")  # reads all lines: none is broken
    assert len(tagged(edge, "full")) < 600
    harness.until("the log says so",
                  lambda: "access log lines are lost" in (edge.home / "gateway.log").read_text())


def test_the_gateway_logs_on_without_a_daemon(edge):
    daemon, gateway = edge.daemon_pid(), edge.gateway_pid()
    os.kill(daemon, signal.SIGKILL)
    harness.until("the daemon is dead", lambda: not harness.alive(daemon))
    hammer(edge, "orphan", each=20)
    all_there(edge, "orphan", 80)
    edge.ok("start")
    harness.until("the gateway is adopted", lambda: edge.gateway_pid() == gateway)
    hammer(edge, "adopted", each=20)
    all_there(edge, "adopted", 80)


def test_a_gateway_that_ends_writes_everything(edge):
    gateway = edge.gateway_pid()
    count = hammer(edge, "last", each=25)
    os.kill(gateway, signal.SIGTERM)
    harness.until("the gateway ended", lambda: not harness.alive(gateway))
    all_there(edge, "last", count)
    harness.until("another one serves",
                  lambda: edge.gateway_pid() not in (None, gateway) and
                  edge.get("own", "/hello?next=1").status == 200)
    harness.until("it logs too", lambda: tagged(edge, "next"))


def set_config(wos, **values):
    body = json.dumps({"set": values}).encode()
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(str(wos.home / "daemon.sock"))
        s.sendall(b"POST /v1/settings/config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        data = b""
        while piece := s.recv(65536):
            data += piece
    assert data.startswith(b"HTTP/1.1 200"), data


def test_switched_off_and_on_while_it_runs(edge):
    def logged(tag):
        edge.get("own", "/hello?%s=1" % tag)
        return tagged(edge, tag)
    set_config(edge, **{"tunnel.accessLog.enabled": False})
    path = edge.home / "logs" / "access.log"

    def has_stopped():
        edge.get("own", "/hello?off=1")
        edge.get("own", "/hello?off=2")
        size = path.stat().st_size
        time.sleep(0.4)  # longer than a worker keeps its lines
        return path.stat().st_size == size
    harness.until("no more lines", has_stopped)
    set_config(edge, **{"tunnel.accessLog.enabled": True})
    harness.until("lines again", lambda: logged("on"))


# --- for people ---------------------------------------------------------------------


def test_wos_logs_access(edge):
    edge.get("own", "/status/404?seen=1")
    harness.until("the first line", lambda: tagged(edge, "seen"))  # order holds within a worker
    edge.get("own", "/hello?seen=2")
    harness.until("both lines", lambda: len(tagged(edge, "seen")) == 2)
    assert len(edge.ok("logs", "--access", "-n", "2").out.splitlines()) == 2
    # Late lines of the tests before, by another worker, may stand between the two.
    shown = [line for line in edge.ok("logs", "--access", "-n", "50").out.splitlines()
             if "seen=" in line]
    assert len(shown) == 2 and "\033" not in shown[0]
    assert "404  GET  %s:%d/status/404?seen=1" % (edge.host("own"), edge.port) in shown[0]
    assert "200  GET" in shown[1] and "127.0.0.1" in shown[1]
    raw = edge.ok("logs", "--access", "-n", "3", "--json", "--status", "4xx").out.splitlines()
    assert {json.loads(line)["status"] // 100 for line in raw} == {4}
    assert json.loads(raw[-1])["path"] == "/status/404?seen=1"

    def is_what_the_files_have():  # late lines of the tests before may end a file meanwhile
        many = edge.ok("logs", "--access", "--json", "-n", "100000").out.splitlines()
        return many and many == access_log.text(edge).decode().splitlines()
    harness.until("all files, in order", is_what_the_files_have)
    assert edge.ok("logs", "--access", "--host", "nobody").out == ""
    assert edge.ok("logs", "--access", "--worktree", "nobody").out == ""
    assert edge.ok("logs", "--access", "--host", "own", "-n", "1", "--status", "404").out
    for bad in (["--status", "abc"], ["--lines", "x"], ["web"]):
        assert edge.run("logs", "--access", *bad).code == 2
    assert edge.run("logs", "--host", "x").code == 2


def test_following_across_rotation(edge):
    proc = edge.popen("logs", "--access", "-f", "--json", "-n", "0")
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(proc.stdout))
    reader.start()
    try:
        def is_following():
            edge.get("own", "/hello?follow=ready")
            return any("follow=ready" in line for line in list(seen))
        harness.until("it follows", is_following)
        before = len(access_log.files(edge))
        wanted = 0
        for i in range(100):
            wanted += hammer(edge, "follow%d" % i, each=40)
            if len(access_log.files(edge)) >= before + 2:
                break
        harness.until("every line", lambda: len(
            [1 for line in list(seen) if re.search(r"\?follow\d", line)]) >= wanted)
    finally:
        proc.terminate()
        proc.wait(20)
        reader.join()
    assert len([1 for line in seen if re.search(r"\?follow\d", line)]) == wanted
