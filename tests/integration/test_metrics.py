"""/v1/metrics and /v1/stats: legal Prometheus text, and numbers that are true."""
import json
import re
import socket
import ssl
import time

import pytest

import clients
import harness

WEB = "alpha-web"
NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
VALUE = re.compile(r"^(NaN|[+-]Inf|[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)$")


class FormatError(AssertionError):
    pass


def parse_labels(text):
    """The inside of the braces; strict."""
    labels, at = {}, 0
    while at < len(text):
        eq = text.index('="', at)
        name, at, value = text[at:eq], eq + 2, ""
        if not LABEL.match(name) or name in labels:
            raise FormatError("label %r in %r" % (name, text))
        while text[at] != '"':
            if text[at] == "\\":
                value += {"\\": "\\", '"': '"', "n": "\n"}[text[at + 1]]
                at += 2
            else:
                value += text[at]
                at += 1
        labels[name] = value
        at += 1
        if at < len(text):
            if text[at] != "," or at + 1 == len(text):
                raise FormatError("after a label: %r" % text)
            at += 1
    return labels


def parse(text):
    """Exposition format 0.0.4, strictly: {name: [(labels, value)]} and {family: type}."""
    if not text.endswith("\n"):
        raise FormatError("no newline at the end")
    samples, types, helps, seen, current = {}, {}, set(), set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, _, help_text = line[7:].partition(" ")
            if not NAME.match(name) or name in helps or not help_text:
                raise FormatError(line)
            helps.add(name)
            current = name
            continue
        if line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            if name != current or name in types or kind not in ("counter", "gauge", "histogram",
                                                                "summary"):
                raise FormatError(line)
            types[name] = kind
            continue
        match = re.match(r"^([^{ ]+)(?:\{(.*)\})? (\S+)$", line)
        if not match or not NAME.match(match.group(1)) or not VALUE.match(match.group(3)):
            raise FormatError("no sample: %r" % line)
        name, labels = match.group(1), parse_labels(match.group(2) or "")
        parts = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}
        allowed = [current + suffix for suffix in parts.get(types.get(current), ("",))]
        if name not in allowed:
            raise FormatError("%s stands in the family %s" % (name, current))
        if types[current] == "counter" and not name.endswith("_total"):
            raise FormatError("a counter without _total: %s" % name)
        key = (name, tuple(sorted(labels.items())))
        if key in seen:
            raise FormatError("twice: %r" % line)
        seen.add(key)
        samples.setdefault(name, []).append((labels, float(match.group(3))))
    for family, kind in types.items():
        if kind == "histogram":
            check_histogram(samples, family)
    if helps != set(types):
        raise FormatError("HELP without TYPE")
    return samples, types


def check_histogram(samples, family):
    """Each set of labels has all buckets, cumulative and in order, and as many in the last as in all."""
    series = {}
    for labels, count in samples[family + "_bucket"]:
        rest = dict(labels)
        bound = float(rest.pop("le").replace("+Inf", "inf"))
        series.setdefault(tuple(sorted(rest.items())), []).append((bound, count))
    counts = {tuple(sorted(labels.items())): v for labels, v in samples[family + "_count"]}
    sums = {tuple(sorted(labels.items())) for labels, _ in samples[family + "_sum"]}
    if not set(series) == set(counts) == sums:
        raise FormatError("the parts of %s have other labels" % family)
    for labels, buckets in series.items():
        values = [v for _, v in buckets]
        if buckets != sorted(buckets) or values != sorted(values) or buckets[-1][0] != float("inf"):
            raise FormatError("buckets of %s %s" % (family, labels))
        if len({bound for bound, _ in buckets}) != len(buckets) or len(buckets) != 14:
            raise FormatError("bounds of %s %s" % (family, labels))
        if values[-1] != counts[labels]:
            raise FormatError("count of %s %s" % (family, labels))


def api(wos, path):
    """GET over the daemon's socket: (status, content type, body text)."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(str(wos.home / "daemon.sock"))
        s.sendall(("GET /v1%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                   % path).encode())
        data = b""
        while piece := s.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    kind = re.search(rb"(?i)content-type: ([^\r\n]+)", head).group(1).decode()
    return int(head.split()[1]), kind, body.decode("utf-8")


def metrics(wos):
    status, kind, text = api(wos, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return parse(text)[0]


def value(samples, name, **labels):
    """The sum of the samples with these labels."""
    return sum(v for lb, v in samples.get(name, [])
               if all(lb.get(k) == want for k, want in labels.items()))


def until_counted(wos, check):
    """A worker counts an exchange when it ends, which may be just after its answer."""
    def probe():
        check(metrics(wos))
        return True
    harness.until("the numbers", probe)


def test_the_text_is_legal(gate):
    gate.get(WEB, "/hello")
    samples, types = parse(api(gate, "/metrics")[2])
    for name, kind in {
            "wos_requests_total": "counter", "wos_request_duration_seconds": "histogram",
            "wos_body_bytes_total": "counter", "wos_connections_open": "gauge",
            "wos_connections_refused_total": "counter", "wos_tls_handshakes_total": "counter",
            "wos_upstream_errors_total": "counter", "wos_requests_denied_total": "counter",
            "wos_snapshot_generation": "gauge", "wos_access_log_dropped_total": "counter",
            "wos_route_requests_total": "counter", "wos_services": "gauge",
            "wos_route_request_duration_seconds": "histogram",
            "wos_route_requests_denied_total": "counter", "wos_route_upstream_errors_total": "counter",
            "wos_certificate_expiry_timestamp_seconds": "gauge"}.items():
        assert types[name] == kind
    assert value(samples, "wos_gateway_up") == 1
    assert value(samples, "wos_services", state="running") == 2
    assert value(samples, "wos_sessions") == 2
    assert value(samples, "wos_daemon_resident_memory_bytes") > 1 << 20
    assert value(samples, "wos_daemon_open_fds") > 5
    assert value(samples, "wos_certificate_expiry_timestamp_seconds") > time.time() + 86400
    assert gate.ok("metrics").out.startswith("# HELP wos_build_info ")
    assert gate.ok("metrics", "--json").data["gateway"]["requests"] >= 1


def test_requests_are_counted(gate, http):
    protocol = {"h1": "HTTP/1.1", "h2": "HTTP/2"}[http]
    host = gate.host(WEB)
    before = metrics(gate)
    with (gate.h1 if http == "h1" else gate.h2)(WEB) as client:
        for _ in range(5):
            client.request("POST", "/echo", body=b"x" * 100)
        out = sum(len(client.request(path="/status/503").body) for _ in range(2))
    assert out > 0

    def check(now):
        def more(name, **labels):
            return value(now, name, **labels) - value(before, name, **labels)
        assert more("wos_requests_total", protocol=protocol, **{"class": "2xx"}) == 5
        assert more("wos_requests_total", protocol=protocol, **{"class": "5xx"}) == 2
        assert more("wos_request_duration_seconds_count") == 7
        assert more("wos_route_requests_total", host=host, worktree="alpha", service="web") == 7
        assert more("wos_route_request_duration_seconds_count", host=host) == 7
        assert more("wos_route_request_duration_seconds_bucket", host=host, le="+Inf") == 7
        assert more("wos_route_body_bytes_total", host=host, direction="in") == 500
        assert more("wos_body_bytes_total", direction="in") == 500
        assert more("wos_body_bytes_total", direction="out") > out
        assert more("wos_tls_handshakes_total", result="full") == 1
        assert more("wos_upstream_reuses_total") + more("wos_upstream_dials_total") == 7
    until_counted(gate, check)


def test_failures_are_counted_by_kind(gate):
    host = gate.host(WEB)
    before = metrics(gate)
    assert gate.get("nobody-there", "/").status == 404
    with gate.h1(WEB) as client:
        client.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        assert client.read_answer().status == 400
    assert gate.get(WEB, "/die-before", "POST").status == 502
    with pytest.raises(clients.ClientError):
        gate.get(WEB, "/die?size=9000&after=100")
    with socket.create_connection(("127.0.0.1", gate.port)) as raw:
        raw.sendall(b"no TLS at all\r\n\r\n")
        while raw.recv(4096):
            pass
    closed = harness.free_port()
    gate.ok("publish", "closed", closed)
    assert gate.get("closed", "/").status == 502

    def check(now):
        for name, labels in (
                ("wos_requests_denied_total", {"reason": "unknown-host"}),
                ("wos_requests_denied_total", {"reason": "malformed"}),
                ("wos_upstream_errors_total", {"kind": "answer"}),
                ("wos_upstream_errors_total", {"kind": "cut"}),
                ("wos_upstream_errors_total", {"kind": "connect"}),
                ("wos_route_upstream_errors_total", {"kind": "answer", "host": host}),
                ("wos_route_upstream_errors_total", {"kind": "cut", "host": host}),
                ("wos_route_upstream_errors_total", {"kind": "connect",
                                                     "host": gate.host("closed")}),
                ("wos_requests_aborted_total", {"by": "service"}),
                ("wos_connections_refused_total", {"reason": "handshake"}),
                ("wos_tls_handshakes_total", {"result": "failed"})):
            assert value(now, name, **labels) - value(before, name, **labels) == 1, (name, labels)
    until_counted(gate, check)
    gate.ok("unpublish", "closed")


def test_refusals_are_counted_by_route(gate):
    """And a row outlives publishes, but not its route: it goes when that was told a last time."""
    gate.ok("publish", "inner", gate.backend(), "--whitelist", "192.0.2.1")
    for _ in range(3):
        assert gate.get("inner", "/").status == 403
    of_inner = {"host": gate.host("inner"), "service": "inner"}

    def check(now):
        assert value(now, "wos_route_requests_denied_total", reason="whitelist", **of_inner) == 3
        assert value(now, "wos_route_requests_total", **of_inner, **{"class": "4xx"}) == 3
        assert value(now, "wos_route_request_duration_seconds_count", **of_inner) == 3
    until_counted(gate, check)
    web = value(metrics(gate), "wos_route_requests_total", host=gate.host(WEB))
    gate.ok("publish", "passing", gate.backend())
    check(metrics(gate))
    assert gate.get("inner", "/").status == 403
    assert gate.get("passing", "/hello").status == 200
    gate.ok("unpublish", "inner")
    gate.ok("unpublish", "passing")
    harness.until("the route is gone", lambda: gate.get("passing", "/hello").status == 404)
    last = metrics(gate)
    assert value(last, "wos_route_requests_total", **of_inner) == 4
    assert value(last, "wos_route_requests_total", host=gate.host("passing"), service="passing") == 1
    now = metrics(gate)
    assert {"inner", "passing"}.isdisjoint(
        lb["service"] for lb, _ in now["wos_route_body_bytes_total"])
    assert value(now, "wos_route_requests_total", host=gate.host(WEB)) == web
    assert value(now, "wos_route_requests_total", host="other") == 0


def test_a_crashed_service_counts_as_failed(wos):
    wos.deploy(harness.shell_app(web=harness.python_service("web"),
                                 worker={"script": ["while [ ! -e gone ]; do sleep 0.1; done; exit 3"]}))
    wos.up("alpha")
    (wos.trees["alpha"] / "gone").touch()

    def probe():
        samples = parse(wos.ok("metrics").out)[0]
        return [value(samples, "wos_services", state=s) for s in ("running", "failed")] == [1, 1]
    harness.until("it is counted", probe)


def test_open_connections_and_websockets(gate, http):
    before = metrics(gate)
    ws = gate.ws(WEB, "/ws", http=http)
    clients.echo_many(ws, 1, 10)
    during = metrics(gate)
    assert value(during, "wos_tunnels_open") == value(before, "wos_tunnels_open") + 1
    assert value(during, "wos_connections_open") >= 1
    ws.end()
    ws.close()

    def check(now):
        assert value(now, "wos_tunnels_open") == value(before, "wos_tunnels_open")
        assert value(now, "wos_requests_total", protocol="websocket") == \
            value(before, "wos_requests_total", protocol="websocket") + 1
    until_counted(gate, check)


def test_resumed_handshakes(gate):
    before = metrics(gate)
    context = clients.tls_context(gate.ca, ["http/1.1"], maximum=ssl.TLSVersion.TLSv1_2)
    session = None
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", gate.port)) as raw:
            with context.wrap_socket(raw, server_hostname=gate.host(WEB), session=session) as tls:
                tls.sendall(b"GET /hello HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
                            % gate.host(WEB).encode())
                while tls.recv(65536):
                    pass
                session = tls.session

    def check(now):
        assert value(now, "wos_tls_handshakes_total", result="resumed") == \
            value(before, "wos_tls_handshakes_total", result="resumed") + 1
    until_counted(gate, check)


def test_stats_json(gate):
    gate.get(WEB, "/hello")
    status, kind, text = api(gate, "/stats")
    assert (status, kind) == (200, "application/json")
    stats = json.loads(text)
    gateway = stats["gateway"]
    assert gateway["workers"] >= 1
    assert gateway["generation"] == stats["snapshot"]["servedGeneration"]
    assert gateway["requests"] == sum(gateway["responses"].values())
    rows = {row["host"]: row for row in gateway["routes"]}
    assert rows[gate.host(WEB)]["responses"]["2xx"] >= 1
    assert stats["certificates"][0]["notAfterSeconds"] > time.time()
    assert stats["daemon"]["services"]["running"] == 2


def test_many_routes_are_bounded(make_wos):
    """metricRoutesMax: what is above it is in one row, and nothing is lost."""
    most, hosts = 3, 6
    wos = make_wos(tunnel={"workers": 2, "limits": {"metricRoutesMax": most}})
    wos.ok("start")
    assert wos.ca
    port = wos.backend()
    for i in range(hosts):
        wos.ok("publish", "n%d" % i, port)
    harness.until("a gateway serves", lambda: wos.status_all()["tunnel"]["state"] == "serving")

    def check(rounds):
        def probe(now):
            rows = {lb["host"] for lb, _ in now["wos_route_body_bytes_total"]}
            assert len(rows) == most + 1 and "other" in rows
            assert value(now, "wos_route_requests_total") == rounds * hosts
            assert value(now, "wos_route_request_duration_seconds_count") == rounds * hosts
            return rows
        return probe
    named = set()
    for rounds in (1, 2, 3):
        for i in reversed(range(hosts)) if rounds == 2 else range(hosts):
            assert wos.get("n%d" % i, "/hello").status == 200
        until_counted(wos, check(rounds))
        rows = check(rounds)(metrics(wos))
        named = named or rows
        assert rows == named  # who has a row keeps it
    for host in named - {"other"}:
        assert value(metrics(wos), "wos_route_requests_total", host=host) == 3
    gone = min(named - {"other"}).split(".")[0]
    wos.ok("unpublish", gone)
    left = "n%d" % next(i for i in range(hosts) if wos.host("n%d" % i) not in named)
    metrics(wos)

    def has_room(now):
        wos.get(left, "/hello")
        assert value(now, "wos_route_requests_total", host=wos.host(left)) >= 1
        assert value(now, "wos_route_requests_total", host=wos.host(gone)) == 0
    until_counted(wos, has_room)


def test_without_a_gateway(make_wos):
    wos = make_wos(tunnel={"enabled": False})
    wos.ok("start")
    samples = metrics(wos)
    assert value(samples, "wos_gateway_up") == 0
    assert "wos_requests_total" not in samples
    assert json.loads(api(wos, "/stats")[2])["gateway"] is None
