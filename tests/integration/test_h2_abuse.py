"""HTTP/2 floods. Each ends its own connection with GOAWAY ENHANCE_YOUR_CALM, costs
bounded memory, and the next client does not notice."""
import os
import struct
import time

import pytest

import h2wire as h
import harness
from h2wire import pack

pytestmark = pytest.mark.release

WEB = "alpha-web"
RESETS = 50
CONTROL = 100
MIB = 1 << 20


@pytest.fixture(scope="module")
def edge():
    """Low limits, so that no test has to send for long."""
    # Freed memory that a sanitizer keeps back says nothing about the gateway.
    options = pytest.MonkeyPatch()
    options.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4")
    wos = harness.Wos(tunnel={"limits": {
        "resetsMax": RESETS, "controlFramesMax": CONTROL, "headerBytesMax": 16384,
        "headerTimeout": "3s", "writeTimeout": "3s"}})
    try:
        wos.deploy(harness.shell_app(web=harness.python_service("web")))
        wos.up("alpha")
        for _ in range(3):
            wos.get(WEB, "/hello", http="h2")
        binary = harness.BIN.read_bytes()
        wos.sanitized = b"__asan_init" in binary or b"__tsan_init" in binary
        wos.rss = harness.rss_bytes(wos.gateway_pid())
        yield wos
        assert wos.get(WEB, "/hello", http="h2").status == 200
    finally:
        options.undo()
        problems = wos.close()
        assert not problems, problems


@pytest.fixture
def wire(edge):
    with h.Wire(edge.port, edge.host(WEB), ca=edge.ca) as w:
        yield w


@pytest.fixture(autouse=True)
def others_are_served(edge):
    """A connection opened before the flood works after it, and memory is back."""
    with h.Wire(edge.port, edge.host(WEB), ca=edge.ca) as other:
        other.start()
        yield
        other.headers(1, other.get(), end=True)
        assert other.answer(1).status == 200
    grown = harness.rss_bytes(edge.gateway_pid()) - edge.rss
    most = 64 if edge.sanitized else 12
    assert grown < most * MIB, "the gateway grew by %d MiB" % (grown // MIB)


def calm(w):
    w.connection_error("ENHANCE_YOUR_CALM")


def flood(w, frames):
    """Sends one by one, and reads between: what comes after a reset is lost."""
    for frame in frames:
        w.send(frame)
        w.channel.step(0)
        w._take()
        if w.goaway or w.over:
            break
    w.channel.out.clear()
    calm(w)


def fields_of(w, **keys):
    return h.block(w.get(**keys))


# --- resets --------------------------------------------------------------------------
def test_rapid_reset(wire):
    """CVE-2023-44487."""
    wire.start()
    block = fields_of(wire, path="/hold/h2-rapid")
    wire.send(b"".join(
        pack(h.HEADERS, h.END_HEADERS | h.END_STREAM, i, block)
        + pack(h.RST_STREAM, 0, i, struct.pack(">I", 8)) for i in range(1, 2 * 500, 2)))
    calm(wire)


def test_resets_within_the_limit(wire):
    wire.start()
    for i in range(1, 2 * RESETS, 2):
        wire.headers(i, wire.get(path="/hold/h2-few"), end=True)
        wire.reset(i)
    wire.alive()
    wire.headers(201, wire.get(), end=True)
    assert wire.answer(201).status == 200
    wire.headers(203, wire.get(), end=True)
    wire.reset(203)
    calm(wire)


def provoke(kind):
    """Frames on stream i that leave a server no choice but to reset it."""
    def frames(w, i):
        head = pack(h.HEADERS, h.END_HEADERS, i, h.block(w.post()))
        short = pack(h.HEADERS, h.END_HEADERS, i, h.block(w.post([("content-length", "1")])))
        return {
            "malformed": pack(h.HEADERS, h.END_HEADERS, i, h.block(w.get(extra=[("a b", "c")]))),
            "empty-headers": pack(h.HEADERS, h.END_HEADERS, i),
            "host-differs": pack(h.HEADERS, h.END_HEADERS | h.END_STREAM, i,
                                 h.block(w.get(extra=[("host", "other.example")]))),
            "body-too-long": short + pack(h.DATA, 0, i, b"xy"),
            "second-head": head + pack(h.HEADERS, h.END_HEADERS, i, h.block([("a", "b")])),
            "window-overflow": head + pack(h.WINDOW_UPDATE, 0, i, b"\x7f\xff\xff\xff"),
        }[kind]
    return frames


@pytest.mark.parametrize("kind", ["malformed", "empty-headers", "host-differs", "body-too-long",
                                  "second-head", "window-overflow"])
def test_made_you_reset(wire, kind):
    """CVE-2025-8671: the server is made to reset, the client never does."""
    wire.start()
    frames = provoke(kind)
    for i in range(1, 2 * (RESETS + 10), 2):
        wire.send(frames(wire, i))
        if wire.goaway is None and not wire.over:
            got = wire.stream(i)
            wire.until(lambda: got.reset or wire.goaway, "a reset", or_over=True)
        if wire.goaway or wire.over:
            break
    calm(wire)
    assert sum(1 for a in wire.answers.values() if a.reset) >= RESETS


def test_refused_streams_nobody_reads(wire):
    """More streams than allowed, and no reading: resets may not pile up."""
    wire.start([(h.INITIAL_WINDOW_SIZE, 0)])
    block = fields_of(wire)
    wire.send(b"".join(pack(h.HEADERS, h.END_HEADERS | h.END_STREAM, i, block)
                       for i in range(1, 2 * 3000, 2)))
    wire.connection_error("ENHANCE_YOUR_CALM", "PROTOCOL_ERROR")


# --- control frames ----------------------------------------------------------------------
def one_request(w):
    return pack(h.HEADERS, h.END_HEADERS, 1, h.block(w.post(path="/sink")))


FLOODS = {
    "ping": lambda w, i: pack(h.PING, 0, 0, b"%08d" % i),
    "ping-ack": lambda w, i: pack(h.PING, h.ACK, 0, b"%08d" % i),
    "settings": lambda w, i: pack(h.SETTINGS, 0, 0),
    "settings-window": lambda w, i: pack(h.SETTINGS, 0, 0,
                                         h.settings([(h.INITIAL_WINDOW_SIZE, i)])),
    "settings-table": lambda w, i: pack(h.SETTINGS, 0, 0,
                                        h.settings([(h.HEADER_TABLE_SIZE, i % 2 * 4096)])),
    "settings-ack": lambda w, i: pack(h.SETTINGS, h.ACK, 0),
    "priority": lambda w, i: pack(h.PRIORITY, 0, 2 * i + 1, b"\0\0\0\0\x10"),
    "priority-update": lambda w, i: pack(h.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=%d" % (i % 8)),
    "window-connection": lambda w, i: pack(h.WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"),
    "window-stream": lambda w, i: (one_request(w) if i == 0 else b"")
    + pack(h.WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"),
    "empty-data": lambda w, i: (one_request(w) if i == 0 else b"") + pack(h.DATA, 0, 1),
    "padding-only": lambda w, i: (one_request(w) if i == 0 else b"")
    + pack(h.DATA, h.PADDED, 1, b"\xff" + b"\0" * 255),
    "unknown": lambda w, i: pack(0x42, 0, 0, b"?"),
    "goaway": lambda w, i: pack(h.GOAWAY, 0, 0, b"\0" * 8),
}


@pytest.mark.parametrize("kind", sorted(FLOODS))
def test_control_flood(wire, kind):
    wire.start()
    wire.send(b"".join(FLOODS[kind](wire, i) for i in range(3000)))
    # An ACK of nothing is an error before it is a flood.
    wire.connection_error("ENHANCE_YOUR_CALM", *["PROTOCOL_ERROR"] * (kind == "settings-ack"))


@pytest.mark.parametrize("kind", ["ping", "settings"])
def test_flood_without_reading(edge, kind):
    """Answers to a client that takes none are bounded, too."""
    with h.Wire(edge.port, edge.host(WEB), ca=edge.ca) as w:
        w.start()
        w.channel.paused = True
        # Less than what the gateway still reads of a connection that it ends.
        w.send(b"".join(FLOODS[kind](w, i) for i in range(30000)))
        w.channel.flush()
        assert edge.get(WEB, "/hello").status == 200
        w.channel.paused = False
        calm(w)


def test_control_frames_within_the_limit(wire):
    wire.start()  # SETTINGS and an ACK
    for i in range(CONTROL - 3):
        wire.frame(h.PING, 0, 0, b"%08d" % i)
    wire.alive()
    wire.frame(h.PING, 0, 0, b"one more")
    calm(wire)


def test_window_updates_of_a_download_do_not_count(edge):
    """python-h2 sends two for each DATA frame: far more than the limit."""
    with edge.h2(WEB) as client:
        size = 16 * MIB
        answer = client.request(path="/big?size=%d" % size, hash_only=True)
        assert (answer.status, answer.size) == (200, size)
        assert size // 16384 * 2 > 10 * CONTROL


def test_one_octet_at_a_time(wire):
    """CVE-2019-9511: a window for one octet, again and again."""
    wire.start([(h.INITIAL_WINDOW_SIZE, 0)])
    wire.headers(1, wire.get(path="/big?size=1000000"), end=True)
    wire.until(lambda: wire.stream(1).heads, "a head")
    for i in range(CONTROL + 10):
        wire.window(1, 1)
        wire.until(lambda: len(wire.stream(1).body) > i or wire.goaway, "an octet", or_over=True)
        if wire.goaway or wire.over:
            break
    calm(wire)


def test_small_answers_that_are_not_cut_are_fine(wire):
    """A client that gives every octet back at once, as some do."""
    wire.start()
    for i in range(CONTROL):
        wire.headers(2 * i + 1, wire.get(), end=True)
        size = len(wire.answer(2 * i + 1).body)
        wire.window(0, size)
        wire.frame(h.PING, 0, 0, b"a path..")
    wire.alive()


# --- heads -----------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 1000, 16384])
def test_continuation_flood(wire, size):
    """CVE-2024-27316: a block that never ends."""
    wire.start()
    field = h.literal("x", "y" * max(size - 5, 0))[:size]
    wire.headers(1, wire.get(), flags=h.END_STREAM)
    flood(wire, [pack(h.CONTINUATION, 0, 1, field)] * 1000)


def test_head_of_16_mib(wire):
    wire.start()
    wire.headers(1, wire.get(), flags=h.END_STREAM)
    flood(wire, [pack(h.CONTINUATION, 0, 1, h.literal("x-a", "y" * 16300))] * 1024)


def test_hpack_bomb(wire):
    """One octet for 4000: a field of the dynamic table, again and again."""
    wire.start()
    wire.headers(1, h.block(wire.get()) + h.literal("x-bomb", "b" * 4000, 0x40), end=True)
    assert wire.answer(1).status == 200
    wire.headers(3, h.block(wire.get()) + b"\xbe" * 16000, end=True)
    calm(wire)


def test_head_somewhat_too_large_is_answered(wire):
    """Within four times the limit: 431, and the connection goes on."""
    wire.start()
    wire.headers(1, wire.get(extra=[("x-%d" % i, "y" * 1000) for i in range(20)]), end=True)
    assert wire.answer(1).status == 431
    wire.alive()


def test_trailers_too_large(wire):
    wire.start()
    wire.headers(1, wire.post())
    wire.headers(1, [("x-%d" % i, "y" * 1000) for i in range(20)], end=True)
    wire.until(lambda: wire.stream(1).reset or wire.stream(1).ended, "an end")
    wire.alive()


def test_empty_trailers_on_one_stream(wire):
    wire.start()
    wire.send(one_request(wire) + pack(h.HEADERS, h.END_HEADERS, 1) * 1000)
    wire.connection_error("ENHANCE_YOUR_CALM", "PROTOCOL_ERROR", "STREAM_CLOSED")


def test_huge_header_table(wire):
    """We do not take what is offered: our encoder stays at 4096 octets."""
    wire.start([(h.HEADER_TABLE_SIZE, 0xffffffff)])
    for i in range(200):
        wire.headers(2 * i + 1, wire.get(), end=True)
        wire.answer(2 * i + 1)
    assert wire.decoder.header_table_size <= 4096


# --- clients that do not go on ------------------------------------------------------------------
def nothing(w):
    pass


def half_a_preface(w):
    w.send(h.PREFACE[:10])


def no_settings(w):
    w.send(h.PREFACE)


def half_a_head(w):
    w.start()
    w.headers(1, w.get(), flags=h.END_STREAM)


def no_window(w):
    """Answers wait for a window: after writeTimeout that is over."""
    w.start([(h.INITIAL_WINDOW_SIZE, 0)])
    for i in range(1, 200, 2):
        w.headers(i, w.get(path="/big?size=10000000"), end=True)


def no_connection_window(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 1 << 30)])
    w.headers(1, w.get(path="/big?size=10000000"), end=True)


def test_clients_that_do_not_go_on(edge):
    """All at once, since each has to wait for its time limit."""
    kinds = [nothing, half_a_preface, no_settings, half_a_head, no_window, no_connection_window]
    wires = []
    try:
        for kind in kinds:
            wires.append(h.Wire(edge.port, edge.host(WEB), ca=edge.ca))
            kind(wires[-1])
        for kind, w in zip(kinds, wires):
            if kind in (no_window, no_connection_window):
                calm(w)
            else:
                w.until(lambda w=w: w.over, "the end of " + kind.__name__)
    finally:
        for w in wires:
            w.channel.close()


def test_window_never_opened_but_pings(wire):
    """Frames do not put that off."""
    wire.start([(h.INITIAL_WINDOW_SIZE, 0)])
    wire.headers(1, wire.get(path="/big?size=10000000"), end=True)
    for i in range(CONTROL // 2):
        wire.frame(h.PING, 0, 0, b"%08d" % i)
        wire.channel.step(0)
        wire.until(lambda: len(wire.pongs) > i or wire.goaway, "a PING", or_over=True)
        if wire.goaway or wire.over:
            break
        time.sleep(0.2)
    calm(wire)


def test_window_that_opens_slowly_is_fine(wire):
    wire.start([(h.INITIAL_WINDOW_SIZE, 1)])
    wire.headers(1, wire.get(), end=True)
    for count in range(1, 8):
        wire.until(lambda: len(wire.stream(1).body) == count, "octet %d" % count)
        time.sleep(0.6)  # together longer than writeTimeout
        wire.window(1, 1)
    wire.alive()


def test_settings_never_acknowledged(wire):
    wire.start(ack=False)
    for i in range(CONTROL // 2):
        wire.frame(h.PING, 0, 0, b"%08d" % i)
        wire.until(lambda: len(wire.pongs) > i or wire.goaway, "a PING", or_over=True)
        if wire.goaway or wire.over:
            break
        time.sleep(0.2)
    wire.connection_error("SETTINGS_TIMEOUT")
