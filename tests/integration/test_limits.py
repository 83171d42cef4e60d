"""How much a client, an address and a route may have: connections, heads, rates."""
import contextlib
import http.client
import os
import resource
import socket
import ssl
import subprocess

import pytest

import clients
import harness

WEB, OTHER = "alpha-web", "beta-web"
HEAD_BYTES, HEAD_FIELDS, URI_BYTES = 4096, 20, 300
IN_ALL, BY_ADDRESS = 14, 8
PROXY, TRUSTED = "127.0.0.50", "127.0.0.60"
BURST, CONCURRENT = 5, 3
# The sanitizers' own memory (quarantine, shadow) is not the gateway's.
SANITIZED = any(name in (harness.BIN.read_bytes() if harness.BIN.exists() else b"")
                for name in (b"__asan_init", b"__tsan_init"))
GROWTH = (400 if SANITIZED else 16) << 20


def running(**keys):
    instance = harness.Wos(**keys)
    try:
        instance.deploy(harness.shell_app(web=harness.python_service("web-of-$(basename $PWD)")))
        instance.up("alpha")
        instance.up("beta")
        return instance
    except BaseException:
        instance.close()
        raise


def end(instance):
    problems = instance.close()
    if problems:
        pytest.fail("\n".join(problems) + "\n" + instance.logs(), pytrace=False)


@pytest.fixture(scope="module")
def small():
    """Small heads and few connections, two workers."""
    instance = running(tunnel={"workers": 2, "proxyProtocol": [PROXY],
                               "trustedProxies": [TRUSTED], "limits": {
        "headerBytesMax": HEAD_BYTES, "headerCountMax": HEAD_FIELDS, "uriBytesMax": URI_BYTES,
        "connectionsMax": IN_ALL, "connectionsPerAddress": BY_ADDRESS, "streamsMax": 20}})
    yield instance
    end(instance)


@pytest.fixture(scope="module")
def rated():
    """One request a second to a route, and few at once."""
    instance = running(service_tunnels={
        "rateLimit": {"requestsPerSecond": 1, "burst": BURST}, "maxConcurrent": CONCURRENT})
    yield instance
    end(instance)


# --- heads --------------------------------------------------------------------

def fields_up_to(client, path, size):
    """A head of exactly `size` bytes."""
    base = "GET %s HTTP/1.1\r\nHost: %s\r\nX-Fill: \r\n\r\n" % (path, client.authority)
    return base.replace("X-Fill: ", "X-Fill: " + "a" * (size - len(base)))


def refused(client, status, why=""):
    answer = client.read_answer()
    assert answer.status == status and why in answer.text
    client.channel.wait_closed()
    return answer


def test_head_of_the_largest_size(small):
    with small.h1(WEB) as client:
        client.send(fields_up_to(client, "/echo", HEAD_BYTES))
        assert client.read_answer().status == 200
        client.send(fields_up_to(client, "/echo", HEAD_BYTES + 1))
        refused(client, 431, "header section too large")


def test_head_that_never_ends(small):
    """Refused as soon as it is too large, not when it is complete."""
    with small.h1(WEB) as client:
        client.send("GET /echo HTTP/1.1\r\nHost: %s\r\nX-Fill: %s" % (client.authority,
                                                                     "a" * HEAD_BYTES))
        refused(client, 431)


def test_fields_of_a_head(small):
    for count, status in ((HEAD_FIELDS, 200), (HEAD_FIELDS + 1, 431)):
        with small.h1(WEB) as client:
            answer = client.request(path="/echo",
                                    headers=[("X-%d" % i, "1") for i in range(count - 1)])
            assert answer.status == status
            assert ("too many header fields" in answer.text) == (status == 431)


def test_target_of_the_largest_size(small):
    for size, status in ((URI_BYTES, 200), (URI_BYTES + 1, 414)):
        with small.h1(WEB) as client:
            answer = client.request(path="/echo?" + "q" * (size - len("/echo?")))
            assert answer.status == status
    with small.h1(WEB) as client:  # a request line larger than a head may be
        client.send("GET /" + "q" * HEAD_BYTES)
        refused(client, 414)


def test_target_of_the_largest_size_in_h2(small):
    with small.h2(WEB) as client:
        assert client.request(path="/echo?" + "q" * (URI_BYTES - 6)).status == 200
        assert client.request(path="/echo?" + "q" * (URI_BYTES - 5)).status == 414
        fields = [("x-%d" % i, "1") for i in range(HEAD_FIELDS + 1)]
        answer = client.request(path="/echo", headers=fields)
        assert (answer.status, answer.text.strip()) == (431, "tunnel: too many header fields")
        answer = client.request(path="/echo", headers=[("x-fill", "a" * HEAD_BYTES)])
        assert (answer.status, answer.text.strip()) == (431, "tunnel: header section too large")
        assert client.request(path="/echo").status == 200


@pytest.mark.release
def test_head_of_16_megabytes(small):
    """However much more comes, nothing is kept of it."""
    pid = small.gateway_pid()
    before = harness.rss_bytes(pid)
    with small.h1(WEB) as client:
        client.send("GET /echo HTTP/1.1\r\nHost: %s\r\n" % client.authority)
        for _ in range(256):
            client.send(b"X-Much: " + b"a" * 65528 + b"\r\n")
            client.channel.step(0)
            if client.channel.eof or client.channel.error:
                break
        client.channel.wait_closed()
    assert harness.rss_bytes(pid) - before < GROWTH
    assert small.get(WEB, "/hello").status == 200


def send_chunked(client, tail):
    client.send_head("POST", "/sink", [("Transfer-Encoding", "chunked")])
    client.send(tail)


def test_trailers_are_bounded_like_a_head(small):
    for count, status in ((HEAD_FIELDS, 200), (HEAD_FIELDS + 1, 400)):
        with small.h1(WEB) as client:
            send_chunked(client, "3\r\nabc\r\n0\r\n%s\r\n"
                         % "".join("X-%d: 1\r\n" % i for i in range(count)))
            answer = client.read_answer()
            assert answer.status == status
    with small.h1(WEB) as client:
        send_chunked(client, "3\r\nabc\r\n0\r\nX-Fill: " + "a" * HEAD_BYTES)
        refused(client, 400)


def test_chunk_extensions_are_bounded(small):
    with small.h1(WEB) as client:
        send_chunked(client, "3;x=%s\r\nabc\r\n0\r\n\r\n" % ("y" * 4000))
        assert client.read_answer().json["size"] == 3
        send_chunked(client, "3;x=" + "y" * 8192)
        refused(client, 400)


def test_chunks_of_one_byte(small):
    with small.h1(WEB) as client:
        send_chunked(client, b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n")
        assert client.read_answer().json["size"] == 20000


@pytest.mark.release
def test_pipeline_that_nobody_reads(small):
    """The gateway stops reading: what it cannot answer waits in the client."""
    pid, count = small.gateway_pid(), 300
    before = harness.rss_bytes(pid)
    with small.h1(WEB) as client:
        client.channel.paused = True
        for i in range(count):
            client.send("GET /big?%d&size=100000 HTTP/1.1\r\nHost: %s\r\nX-Fill: %s\r\n\r\n"
                        % (i, client.authority, "a" * 3000))
        for _ in range(15):
            client.channel.step(0.1)
        assert harness.rss_bytes(pid) - before < GROWTH
        client.channel.paused = False
        assert {client.read_answer().size for i in range(count)} == {100000}


@pytest.mark.release
def test_pipeline_of_refusals_that_nobody_reads(small):
    """The gateway's own answers are made as they leave, not all at once; and all of them leave."""
    pid, count = small.gateway_pid(), 6000
    before = harness.rss_bytes(pid)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(small.h1(WEB)) for _ in range(BY_ADDRESS - 1)]
        for client in crowd:
            client.channel.paused = True
            client.send("GET / HTTP/1.1\r\nHost: a.b\r\nAccept: text/html\r\n\r\n" * count)
            for _ in range(5):
                client.channel.step(0.1)
        assert harness.rss_bytes(pid) - before < GROWTH
        crowd[0].channel.paused = False
        assert {crowd[0].read_answer().status for i in range(count)} == {404}


# --- connections ----------------------------------------------------------------

def source(address):
    """A client's socket from one of loopback's many addresses."""
    s = socket.socket()
    s.bind((address, 0))
    s.settimeout(harness.PATIENCE)
    return s


class Client:
    """HTTP/1.1 from an address of the caller's choice."""

    def __init__(self, wos, address, path=None, behind=None):
        self.wos = wos
        self.raw = source(address)
        self.sock = None
        try:
            self.raw.connect(("127.0.0.1", wos.port))
            if behind is not None:
                self.raw.sendall(b"PROXY TCP4 %s 127.0.0.1 1000 443\r\n" % behind.encode())
            self.sock = clients.tls_context(wos.ca).wrap_socket(
                self.raw, server_hostname=wos.host(WEB))
        except OSError:
            self.close()
            raise
        if path is not None:
            self.ask(path)

    def ask(self, path):
        self.sock.sendall(b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n"
                          % (path.encode(), self.wos.host(WEB).encode()))

    def status(self):
        answer = http.client.HTTPResponse(self.sock)
        try:
            answer.begin()
            answer.read()
            return answer.status
        finally:
            answer.close()

    def get(self, path="/hello"):
        self.ask(path)
        return self.status()

    def is_closed(self, wait=0.0):
        """Only for one that no answer is expected on."""
        self.sock.settimeout(wait or 0.001)
        try:
            return self.sock.recv(1) == b""
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        finally:
            self.sock.settimeout(harness.PATIENCE)

    def close(self):
        (self.sock or self.raw).close()


@contextlib.contextmanager
def held(wos, places):
    """Requests under way from these addresses, until the end."""
    name = "held-%d" % os.urandom(4)[0]
    opened = []
    try:
        for address in places:
            opened.append(Client(wos, address, "/hold/" + name))
        yield opened
    finally:
        for client in opened:
            client.close()
        harness.until("their places are free again", lambda: is_free(wos))


def is_free(wos):
    """All places but those of this probe can be had."""
    opened = []
    try:
        for i in range(BY_ADDRESS):
            opened.append(Client(wos, "127.0.0.77"))
            assert opened[-1].get() == 200
        return True
    finally:
        for client in opened:
            client.close()


def test_address_over_its_limit_is_refused(small):
    with held(small, ["127.0.0.2"] * BY_ADDRESS):
        for _ in range(5):
            with pytest.raises(OSError):
                Client(small, "127.0.0.2")
        other = Client(small, "127.0.0.3")  # nobody else pays
        assert other.get() == 200
        other.close()


def test_proxies_are_not_their_clients(small):
    """Behind a PROXY header its source counts, a trusted proxy not at all."""
    opened = []
    try:
        for _ in range(BY_ADDRESS):
            opened.append(Client(small, PROXY, "/hold/proxied", behind="198.51.100.1"))
        with pytest.raises(OSError):
            Client(small, PROXY, behind="198.51.100.1")
        opened.append(Client(small, PROXY, behind="198.51.100.2"))
        assert opened[-1].get() == 200
        while opened:
            opened.pop().close()
        harness.until("their places are free again", lambda: is_free(small))
        for _ in range(BY_ADDRESS + 2):
            opened.append(Client(small, TRUSTED, "/hold/trusted"))
        assert Client(small, "127.0.0.3").get() == 200
    finally:
        for client in opened:
            client.close()
        harness.until("all places are free again", lambda: is_free(small))


def test_idle_connection_makes_room_for_its_address(small):
    with held(small, ["127.0.0.2"] * (BY_ADDRESS - 1)):
        idle = Client(small, "127.0.0.2")
        assert idle.get() == 200

        # Only one of the same worker can go; the kernel chooses the worker.
        def take_its_place():
            client = Client(small, "127.0.0.2")
            try:
                return client.get() == 200
            finally:
                client.close()
        harness.until("the idle one went for a new one", take_its_place, timeout=30)
        harness.until("it is closed", lambda: idle.is_closed(0.1))
        idle.close()


def test_total_is_exact_over_all_workers(small):
    """Over it a client waits, and is served as soon as one goes."""
    places = ["127.0.0.%d" % (10 + i % 4) for i in range(IN_ALL)]
    with held(small, places) as busy:
        waiting = source("127.0.0.20")
        waiting.connect(("127.0.0.1", small.port))  # by the kernel
        waiting.settimeout(1.0)
        tls = clients.tls_context(small.ca).wrap_socket(
            waiting, server_hostname=small.host(WEB), do_handshake_on_connect=False)
        with pytest.raises((TimeoutError, ssl.SSLWantReadError)):
            tls.do_handshake()
        busy.pop().close()
        tls.settimeout(harness.PATIENCE)
        tls.do_handshake()
        tls.sendall(b"GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n" % small.host(WEB).encode())
        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        tls.close()


def test_idle_connections_make_room_in_all(small):
    """Idle ones fill every place; new clients are served all the same."""
    idle = []
    try:
        for i in range(IN_ALL):
            idle.append(Client(small, "127.0.0.%d" % (10 + i % 4)))
        for _ in range(4):
            client = Client(small, "127.0.0.20")
            idle.append(client)
            assert client.get() == 200
        assert sum(c.is_closed(0.05) for c in idle) >= 4
    finally:
        for client in idle:
            client.close()


def test_half_open_tls_locks_nobody_out(small):
    """Connections that never say a word hold every place, and go for who does."""
    silent = []
    try:
        for i in range(IN_ALL):
            silent.append(source("127.0.0.%d" % (10 + i % 4)))
            silent[-1].connect(("127.0.0.1", small.port))
        client = Client(small, "127.0.0.20")
        assert client.get() == 200
        client.close()
    finally:
        for s in silent:
            s.close()


def test_h2_connections_are_idle_without_a_stream(small):
    """One with a stream stays, however long; one without goes."""
    opened = []
    try:
        for _ in range(BY_ADDRESS - 1):
            opened.append(small.h2(WEB))
            opened[-1].request(path="/hello")
        busy = opened[0]
        stream = busy.open(path="/hold/h2-busy")
        busy.until(lambda: not busy.channel.out)

        def is_served():
            with small.h2(WEB) as client, small.h2(WEB) as second:
                return client.request(path="/hello").status == second.request(
                    path="/hello").status == 200
        harness.until("room was made", is_served, timeout=30)
        small_gate = Client(small, "127.0.0.9")
        small_gate.ask("/gate/h2-busy")
        assert small_gate.status() == 200
        small_gate.close()
        assert busy.finish(stream).text == "released\n"
    finally:
        for client in opened:
            client.close()


# --- descriptors -----------------------------------------------------------------

def open_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def test_out_of_descriptors(small):
    """The queue does not stand still, those who are in go on, and it passes."""
    pid = small.gateway_pid()
    kept = Client(small, "127.0.0.2")
    assert kept.get() == 200
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    clients_in = []
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 2, limits[1]))
        outcomes = []
        for _ in range(6):
            try:
                clients_in.append(Client(small, "127.0.0.3"))
                outcomes.append("in")
            except OSError:
                outcomes.append("reset")
            assert kept.get() == 200
        assert "reset" in outcomes
    finally:
        for client in clients_in:
            client.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)

    def is_served():
        client = Client(small, "127.0.0.3")
        try:
            return client.get() == 200
        finally:
            client.close()
    harness.until("new clients are served again", is_served)
    assert "out of file descriptors" in small.logs()
    kept.close()


def test_few_descriptors_from_the_start(make_wos):
    """connectionsMax is what the descriptors allow, and the log says so."""
    wos = make_wos()
    wos.deploy(harness.shell_app(web=harness.python_service("web")))
    done = subprocess.run(["prlimit", "--nofile=200:200", str(harness.BIN), "up"],
                          cwd=wos.trees["alpha"], env=wos.env(), timeout=120, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert wos.get(WEB, "/hello").status == 200
    log = (wos.home / "logs" / "gateway.log").read_text() if (
        wos.home / "logs" / "gateway.log").exists() else wos.logs()
    assert "allows fewer connections" in log and "allowed=160" in log
    with open("/proc/%d/limits" % wos.gateway_pid(), encoding="ascii") as f:
        assert "Max open files            200                  200" in f.read()


# --- rates -----------------------------------------------------------------------

def until_limited(wos, label, http):
    """Asks until it is refused: how often it was served before, and the refusal."""
    with (wos.h1(label) if http == "h1" else wos.h2(label)) as client:
        for served in range(300):
            answer = client.request(path="/hello")
            if answer.status != 200:
                assert client.request(path="/hello").status == 429  # the connection is kept
                return served, answer
    raise AssertionError("300 requests were served")


def test_rate_of_a_route(rated, http):
    served, answer = until_limited(rated, WEB, http)
    assert served >= (BURST if http == "h1" else 0)
    assert answer.status == 429
    assert answer.get("retry-after") == "1"
    assert answer.get("cache-control") == "no-store"
    assert rated.get(OTHER, "/hello").status == 200  # another route's bucket
    harness.until("the next token", lambda: rated.get(WEB, "/hello").status == 200)


def test_rate_outlives_a_publish(rated):
    """A burst is not had anew by whatever makes the daemon publish."""
    until_limited(rated, WEB, "h1")
    rated.ok("publish", "quick", str(rated.backend()))
    answers = [rated.get(WEB, "/hello").status for _ in range(BURST)]
    rated.ok("unpublish", "quick")
    assert 429 in answers


def test_requests_refused_with_a_body(rated):
    until_limited(rated, WEB, "h1")
    for _ in range(20):
        with rated.h1(WEB) as client:
            answer = client.request("POST", "/sink", body=b"x" * 100000)
        if answer.status == 429:
            return
    raise AssertionError("never refused")


def test_exchanges_under_way(rated, http):
    """WebSockets count as long as they live."""
    published = "many-" + http
    rated.ok("publish", published, str(rated.backend()))
    label = published
    opened = []
    try:
        while len(opened) < CONCURRENT:
            ws = rated.ws(label, http=http)
            if ws.open:
                opened.append(ws)
            else:
                assert ws.answer.status == 429
                ws.close()
        # The rate alone cannot be the reason for this long.
        for _ in range(8):
            answer = rated.get(label, "/hello", http=http)
            assert (answer.status, answer.get("retry-after")) == (429, "1")
        opened.pop().close()
        harness.until("its place is free",
                      lambda: rated.get(label, "/hello", http=http).status == 200)
    finally:
        for ws in opened:
            ws.close()
        rated.ok("unpublish", published)
