"""WebSockets over HTTP/1.1 and over HTTP/2 (RFC 8441)."""
import asyncio
import json
import shutil
import ssl

import pytest

import clients
import harness
import wsframe

WEB = "alpha-web"


def test_echo(gate, http):
    with gate.ws(WEB, http=http) as ws:
        assert ws.open, ws.answer
        ws.send("hällo")
        assert ws.recv() == (wsframe.TEXT, "hällo".encode())
        ws.send(b"\0\1\2" * 50000)
        assert ws.recv() == (wsframe.BINARY, b"\0\1\2" * 50000)
        ws.send(b"ping!", wsframe.PING)
        assert ws.recv() == (wsframe.PONG, b"ping!")
        assert ws.end(4321, b"bye") == (4321).to_bytes(2, "big") + b"bye"


def test_two_hundred_messages_of_a_megabyte(gate, http):
    with gate.ws(WEB, http=http) as ws:
        assert ws.open, ws.answer
        assert clients.echo_many(ws, 200, 1000000) == 200


def test_reader_that_starts_late_gets_everything(gate, gateway_pid, http):
    """100 MB wait for a client that does not read; nothing is lost, and the
    gateway holds next to none of it."""
    before = harness.rss_bytes(gateway_pid)
    with gate.ws(WEB, "/ws?flood=100&size=1000000", http=http) as ws:
        assert ws.open
        ws.recv()
        peak = 0
        for _ in range(30):
            peak = max(peak, harness.rss_bytes(gateway_pid))
            ws.http.channel.paused = True
            ws.http.channel.step(0.1)
        ws.http.channel.paused = False
        for i in range(1, 100):
            opcode, payload = ws.recv()
            assert (opcode, payload[:4], len(payload)) == (2, i.to_bytes(4, "big"), 1000000)
    assert peak - before < 24 << 20, "gateway grew by %d bytes" % (peak - before)


def test_head_as_the_service_sees_it(gate, http):
    headers = [("origin", "https://%s" % gate.host(WEB)), ("authorization", "Bearer x"),
               ("cookie", "a=1"), ("x-custom", "kept"), ("x-forwarded-for", "6.6.6.6"),
               ("sec-websocket-extensions", "permessage-deflate")]
    with gate.ws(WEB, "/ws?info=1&q=a%20b", http=http, headers=headers, protocols="one, two") as ws:
        assert ws.open, ws.answer
        assert ws.answer.get("sec-websocket-protocol") == "two"
        assert ws.answer.get("x-from") == "web-of-alpha"
        info = json.loads(ws.recv()[1])
    seen = {n.lower(): v for n, v in info["headers"]}
    assert info["target"] == "/ws?info=1&q=a%20b"
    assert seen["host"] == "%s:%d" % (gate.host(WEB), gate.port)
    assert seen["upgrade"].lower() == "websocket" and "upgrade" in seen["connection"].lower()
    assert seen["sec-websocket-version"] == "13" and seen["sec-websocket-key"]
    assert seen["sec-websocket-extensions"] == "permessage-deflate"
    assert seen["authorization"] == "Bearer x" and seen["x-custom"] == "kept"
    assert seen["origin"] == "https://%s" % gate.host(WEB)
    assert seen["cookie"] == "a=1"
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "https"


@pytest.mark.parametrize("code", [401, 403, 404])
def test_refusal_of_the_service_is_passed_on(gate, http, code):
    with gate.ws(WEB, "/ws?refuse=%d" % code, http=http) as ws:
        assert not ws.open
        assert (ws.answer.status, ws.answer.text) == (code, "not you\n")
        assert ws.answer.get("x-why") == "refused"


def test_close_from_the_service(gate, http):
    with gate.ws(WEB, "/ws?close=4000", http=http) as ws:
        opcode, payload = ws.recv()
        assert (opcode, payload) == (wsframe.CLOSE, (4000).to_bytes(2, "big") + b"bye")


def test_client_that_goes_away_ends_the_service_side(gate, http):
    path = "/ws?leaver=" + http

    def count():
        return gate.get(WEB, "/stats").json["active"].count(path)
    sockets = [gate.ws(WEB, path, http=http) for _ in range(5)]
    assert all(ws.open for ws in sockets)
    assert count() == 5
    for ws in sockets:
        ws.http.channel.abort()
    harness.until("they are gone at the service", lambda: count() == 0)


def test_unknown_host(gate, http):
    with gate.ws("nobody-web", http=http) as ws:
        assert (ws.answer.status, ws.answer.text) == (404, "tunnel: no route for host\n")


def test_many_on_one_http2_connection(gate):
    with gate.h2(WEB) as connection:
        sockets = [clients.WebSocket2(gate.port, gate.host(WEB), "/ws", http=connection)
                   for _ in range(20)]
        for i, ws in enumerate(sockets):
            ws.send("number %d" % i)
        for i, ws in enumerate(sockets):
            assert ws.recv() == (wsframe.TEXT, b"number %d" % i)
        assert connection.request(path="/hello").status == 200


def test_protocols_other_than_websocket_are_refused(gate):
    with gate.h2(WEB) as client:
        client.until(lambda: client.got_settings)
        stream = client.open("CONNECT", "/ws", end=False,
                             extra_pseudo=[(":protocol", "connect-ip")])
        client.until(lambda: stream.ended or stream.head_done, 20)
        assert stream.answer.reset is not None or stream.answer.status in (400, 501), stream.answer


def test_plain_connect_is_refused(gate):
    """No open proxy: CONNECT without :protocol asks for a raw tunnel."""
    with gate.h2(WEB) as client:
        stream = client.open(raw=[(":method", "CONNECT"), (":authority", "127.0.0.1:22")],
                             end=False)
        client.until(lambda: stream.ended or stream.head_done, 20)
        assert stream.answer.reset is not None or stream.answer.status in (400, 403, 404, 405, 501)


def test_websockets_library(gate):
    """An independent client, with permessage-deflate offered."""
    websockets = pytest.importorskip("websockets", reason="python3-websockets is not installed")

    uri = "wss://%s:%d/ws" % (gate.host(WEB), gate.port)

    async def echo():
        context = ssl.create_default_context(cafile=gate.ca)
        async with websockets.connect(uri, ssl=context, host="127.0.0.1", port=gate.port,
                                      server_hostname=gate.host(WEB), max_size=None) as ws:
            for size in (0, 1, 125, 126, 65535, 65536, 1000000):
                await ws.send(b"z" * size)
                assert len(await ws.recv()) == size
            await ws.send("text")
            assert await ws.recv() == "text"
    asyncio.run(asyncio.wait_for(echo(), 60))


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_node_service(gate, http):
    port = harness.free_port()
    gate.start(["node", harness.FAKES / "backend.mjs", port, "published"], ready_port=port)
    gate.ok("publish", "nodews", port)
    try:
        with gate.ws("nodews", http=http) as ws:
            assert ws.open, ws.answer
            assert clients.echo_many(ws, 20, 200000) == 20
        with (gate.h1 if http == "h1" else gate.h2)("nodews") as client:
            flow = client.stream("/sse")
            flow.wait(b"event 0")
            for i in (1, 2):
                assert gate.get("nodews", "/next", method="POST").status == 200
                flow.wait(b"event %d" % i)
    finally:
        gate.ok("unpublish", "nodews")
