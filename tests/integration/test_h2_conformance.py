"""HTTP/2 as RFC 9113, 7541, 8441 and 9218 demand of a server, frame by frame.

Each case gets a connection of its own on one running gateway. Numbers are the
sections of RFC 9113 (or 7541 where the name says hpack). The cases cover what
the public conformance suites ask, and more. By hand against any server:

    PYTHONPATH=tests/fakes /usr/bin/python3 tests/integration/test_h2_conformance.py PORT [HOST [PATH]]
"""
import struct
import sys

import hpack
import pytest

import h2wire as h
from h2wire import literal, pack

WEB = "alpha-web"
CASES = {}
MALFORMED = {}  # name → fields that replace or follow a good request's


def case(name):
    def add(function):
        assert name not in CASES
        CASES[name] = function
        return function
    return add


def get(w, stream=1, **keys):
    w.headers(stream, w.get(**keys), end=True)
    return w.answer(stream)


# --- 3: starting ------------------------------------------------------------------
@case("3.4 the server's preface is SETTINGS")
def _(w):
    w.until(lambda: w.frames, "a frame")
    assert w.frames[0].kind == h.SETTINGS and not w.frames[0].flags & h.ACK
    w.start()
    w.alive()


@case("3.4 an invalid preface ends the connection")
def _(w):
    w.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
    w.connection_error("PROTOCOL_ERROR")


@case("3.4 the preface without SETTINGS")
def _(w):
    w.send(h.PREFACE + pack(h.PING, 0, 0, b"x" * 8))
    w.connection_error("PROTOCOL_ERROR")


@case("3.4 an ACK is no first SETTINGS")
def _(w):
    w.send(h.PREFACE + pack(h.SETTINGS, h.ACK, 0))
    w.connection_error("PROTOCOL_ERROR")


@case("3.4 a preface byte by byte, and a request right behind")
def _(w):
    everything = (h.PREFACE + pack(h.SETTINGS, 0, 0)
                  + pack(h.HEADERS, h.END_HEADERS | h.END_STREAM, 1, h.block(w.get())))
    for i in range(len(everything)):
        w.send(everything[i:i + 1])
        w.channel.flush()
    w.answer(1)


# --- 4: frames -----------------------------------------------------------------------
@case("4.1 an unknown frame type is ignored")
def _(w):
    w.start()
    w.frame(0xbe, 0xff, 0, b"\0" * 100)
    w.frame(0xbe, 0xff, 77, b"")
    get(w)


@case("4.1 undefined flags are ignored")
def _(w):
    w.start()
    w.frame(h.PING, 0x16, 0, b"flagged!")
    w.until(lambda: b"flagged!" in w.pongs)
    w.headers(1, w.get(), flags=h.END_HEADERS | h.END_STREAM | 0xc2)
    w.answer(1)


@case("4.1 the reserved bit is ignored")
def _(w):
    w.start()
    w.frame(h.PING, 0, 1 << 31, b"reserved")
    w.until(lambda: b"reserved" in w.pongs)
    w.headers(1 | 1 << 31, w.get(), end=True)
    w.answer(1)


@case("4.2 DATA of 2^14 octets")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.data(1, b"x" * 16384, end=True)
    w.answer(1)


@case("4.2 DATA beyond SETTINGS_MAX_FRAME_SIZE")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.data(1, b"x" * 16385, end=True)
    w.stream_error(1, "FRAME_SIZE_ERROR", connection=True)


@case("4.2 HEADERS beyond SETTINGS_MAX_FRAME_SIZE")
def _(w):
    w.start()
    w.headers(1, w.get(extra=[("x-long", "y" * 16385)]), end=True, raw=True)
    w.connection_error("FRAME_SIZE_ERROR")


for _kind in (h.PING, h.SETTINGS, h.RST_STREAM, h.WINDOW_UPDATE, h.CONTINUATION, 0xbe):
    @case("4.2 any frame beyond the size, type %d" % _kind)
    def _(w, kind=_kind):
        w.start()
        w.frame(kind, 0, 0, b"\0" * 16386)
        w.connection_error("FRAME_SIZE_ERROR", "PROTOCOL_ERROR")


@case("4.3 a header block that does not decode")
def _(w):
    w.start()
    w.headers(1, literal(":method", "GET") + b"\xff\xff\xff\xff\xff\xff\xff\xff", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("4.3 PRIORITY inside a header block")
def _(w):
    w.start()
    w.headers(1, w.get(), flags=h.END_STREAM)
    w.frame(h.PRIORITY, 0, 1, b"\0\0\0\0\x10")
    w.connection_error("PROTOCOL_ERROR")


@case("4.3 HEADERS of another stream inside a header block")
def _(w):
    w.start()
    w.headers(1, w.get(), flags=h.END_STREAM)
    w.headers(3, w.get(), end=True)
    w.connection_error("PROTOCOL_ERROR")


@case("4.3 DATA of another stream inside a header block")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.headers(3, w.get(), flags=h.END_STREAM)
    w.data(1, b"x")
    w.connection_error("PROTOCOL_ERROR")


# --- 5.1: stream states ------------------------------------------------------------------
for _name, _kind, _payload in (("DATA", h.DATA, b"x"), ("RST_STREAM", h.RST_STREAM, b"\0\0\0\x08"),
                               ("WINDOW_UPDATE", h.WINDOW_UPDATE, b"\0\0\0\x64"),
                               ("CONTINUATION", h.CONTINUATION, b"\x82")):
    @case("5.1 idle: %s" % _name)
    def _(w, kind=_kind, payload=_payload):
        w.start()
        w.frame(kind, h.END_HEADERS if kind == h.CONTINUATION else 0, 1, payload)
        w.connection_error("PROTOCOL_ERROR")


@case("5.1 idle: PRIORITY is fine")
def _(w):
    w.start()
    w.frame(h.PRIORITY, 0, 1, b"\0\0\0\0\x10")
    get(w)


def half_closed(w):
    """Stream 1 ended by the client, held open by its window."""
    w.start([(h.INITIAL_WINDOW_SIZE, 0)])
    w.headers(1, w.get(), end=True)


@case("5.1 half-closed (remote): DATA")
def _(w):
    half_closed(w)
    w.data(1, b"x", end=True)
    w.stream_error(1, "STREAM_CLOSED", connection=True)


@case("5.1 half-closed (remote): HEADERS")
def _(w):
    half_closed(w)
    w.headers(1, w.get(), end=True)
    w.stream_error(1, "STREAM_CLOSED", connection=True)


@case("5.1 half-closed (remote): CONTINUATION")
def _(w):
    half_closed(w)
    w.frame(h.CONTINUATION, h.END_HEADERS, 1, b"\x82")
    w.connection_error("STREAM_CLOSED", "PROTOCOL_ERROR")


@case("5.1 half-closed (remote): WINDOW_UPDATE and PRIORITY are fine")
def _(w):
    half_closed(w)
    w.frame(h.PRIORITY, 0, 1, b"\0\0\0\0\x10")
    w.window(1, 1 << 20)
    w.answer(1)


@case("5.1 half-closed (remote): RST_STREAM is fine")
def _(w):
    half_closed(w)
    w.reset(1)
    w.alive()


for _name, _kind in (("DATA", h.DATA), ("HEADERS", h.HEADERS), ("CONTINUATION", h.CONTINUATION)):
    @case("5.1 closed by RST_STREAM: %s" % _name)
    def _(w, kind=_kind):
        w.start()
        w.headers(1, w.post())
        w.reset(1)
        w.frame(kind, h.END_STREAM | (h.END_HEADERS if kind != h.DATA else 0), 1,
                h.block(w.get()) if kind == h.HEADERS else b"x")
        codes = ("STREAM_CLOSED", "PROTOCOL_ERROR") if kind == h.CONTINUATION else (
            "STREAM_CLOSED",)
        w.stream_error(1, *codes, connection=True)

    @case("5.1 closed by END_STREAM: %s" % _name)
    def _(w, kind=_kind):
        w.start()
        get(w)
        w.frame(kind, h.END_STREAM | (h.END_HEADERS if kind != h.DATA else 0), 1,
                h.block(w.get()) if kind == h.HEADERS else b"x")
        codes = ("STREAM_CLOSED", "PROTOCOL_ERROR") if kind == h.CONTINUATION else (
            "STREAM_CLOSED",)
        w.connection_error(*codes)


@case("5.1 closed: PRIORITY, WINDOW_UPDATE and RST_STREAM are fine")
def _(w):
    w.start()
    get(w)
    w.frame(h.PRIORITY, 0, 1, b"\0\0\0\0\x10")
    w.window(1, 100)
    w.reset(1)
    w.alive()


@case("5.1 closed by us: what was on its way is ignored")
def _(w):
    w.start()
    w.headers(1, w.post([("content-length", "1")]))
    w.data(1, b"xyz")  # malformed: reset
    w.data(1, b"more")
    w.data(1, b"", end=True)
    w.stream_error(1, "PROTOCOL_ERROR")


@case("5.1.1 an even stream id")
def _(w):
    w.start()
    w.headers(2, w.get(), end=True)
    w.connection_error("PROTOCOL_ERROR")


@case("5.1.1 a stream id lower than the last")
def _(w):
    w.start()
    w.headers(5, w.get(), end=True)
    w.headers(3, w.get(), end=True)
    w.connection_error("PROTOCOL_ERROR")


@case("5.1.1 ids may be left out")
def _(w):
    w.start()
    for number in (1, 7, 9, 101, 0x7ffffffd):
        get(w, number)


@case("5.1.2 more streams than allowed")
def _(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 0)])
    most = w.settings[h.MAX_CONCURRENT_STREAMS]
    encoder = hpack.Encoder()
    fields = [encoder.encode(w.get()) for _ in range(most + 1)]
    for i in range(most + 1):
        w.headers(1 + 2 * i, fields[i], end=True)
    w.stream_error(1 + 2 * most, "PROTOCOL_ERROR", "REFUSED_STREAM", connection=True)


@case("5.3 HEADERS that depend on themselves")
def _(w):
    w.start()
    w.frame(h.HEADERS, h.END_HEADERS | h.END_STREAM | h.PRIO, 1,
            b"\0\0\0\x01\x10" + h.block(w.get()))
    w.stream_error(1, "PROTOCOL_ERROR", connection=True)


@case("5.3 PRIORITY that depends on itself")
def _(w):
    w.start()
    w.frame(h.PRIORITY, 0, 1, b"\0\0\0\x01\x10")
    w.stream_error(1, "PROTOCOL_ERROR", connection=True)


@case("5.3 every weight, exclusive, on idle streams")
def _(w):
    w.start()
    for stream, spec in ((1, b"\0\0\0\0\0"), (3, b"\0\0\0\0\xff"), (5, b"\x80\0\0\x03\x0f"),
                         (7, b"\0\0\0\x63\x0f")):
        w.frame(h.PRIORITY, 0, stream, spec)
    w.frame(h.HEADERS, h.END_HEADERS | h.END_STREAM | h.PRIO, 9,
            b"\x80\0\0\x07\x10" + h.block(w.get()))
    w.answer(9)


@case("5.4.1 a connection error closes the connection, after GOAWAY")
def _(w):
    w.start()
    get(w)
    w.frame(h.PING, 0, 0, b"short")
    w.connection_error("FRAME_SIZE_ERROR")
    if w.strict:
        assert w.goaway[1] == 1, "last stream: %d" % w.goaway[1]


@case("5.5 an extension frame inside a header block")
def _(w):
    w.start()
    w.headers(1, w.get(), flags=h.END_STREAM)
    w.frame(0xbe, 0, 0, b"")
    w.connection_error("PROTOCOL_ERROR")


# --- 6: each frame ---------------------------------------------------------------------------
for _name, _kind, _payload in (("DATA", h.DATA, b"x"), ("HEADERS", h.HEADERS, b"\x82"),
                               ("PRIORITY", h.PRIORITY, b"\0\0\0\0\x10"),
                               ("RST_STREAM", h.RST_STREAM, b"\0\0\0\x08"),
                               ("CONTINUATION", h.CONTINUATION, b"\x82")):
    @case("6 %s on stream 0" % _name)
    def _(w, kind=_kind, payload=_payload):
        w.start()
        w.frame(kind, h.END_HEADERS, 0, payload)
        w.connection_error("PROTOCOL_ERROR")

for _name, _kind, _payload in (("SETTINGS", h.SETTINGS, b""), ("PING", h.PING, b"x" * 8),
                               ("GOAWAY", h.GOAWAY, b"\0" * 8)):
    @case("6 %s on a stream" % _name)
    def _(w, kind=_kind, payload=_payload):
        w.start()
        w.frame(kind, 0, 1, payload)
        w.connection_error("PROTOCOL_ERROR")

for _name, _kind, _stream, _size, _error in (
        ("PRIORITY", h.PRIORITY, 1, 4, "stream"), ("PRIORITY", h.PRIORITY, 1, 6, "stream"),
        ("RST_STREAM", h.RST_STREAM, 1, 3, "connection"),
        ("RST_STREAM", h.RST_STREAM, 1, 5, "connection"),
        ("PING", h.PING, 0, 6, "connection"), ("PING", h.PING, 0, 9, "connection"),
        ("SETTINGS", h.SETTINGS, 0, 3, "connection"), ("SETTINGS", h.SETTINGS, 0, 7, "connection"),
        ("WINDOW_UPDATE", h.WINDOW_UPDATE, 0, 3, "connection"),
        ("WINDOW_UPDATE", h.WINDOW_UPDATE, 1, 5, "connection"),
        ("GOAWAY", h.GOAWAY, 0, 7, "connection")):
    @case("6 %s of %d octets" % (_name, _size))
    def _(w, kind=_kind, stream=_stream, size=_size, error=_error):
        w.start()
        if stream:
            w.headers(1, w.post())
        w.frame(kind, 0, stream, b"\0" * size)
        if error == "stream":
            w.stream_error(1, "FRAME_SIZE_ERROR", connection=True)
        else:
            w.connection_error("FRAME_SIZE_ERROR")


@case("6.1 several DATA frames, one with padding, one empty")
def _(w):
    w.start()
    w.headers(1, w.post([("content-length", "8")]))
    w.data(1, b"test")
    w.data(1, b"")
    w.frame(h.DATA, h.PADDED | h.END_STREAM, 1, b"\x06test" + b"\0" * 6)
    w.answer(1)


@case("6.1 a padding longer than the payload: DATA")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.frame(h.DATA, h.PADDED | h.END_STREAM, 1, b"\x06test")
    w.connection_error("PROTOCOL_ERROR")


@case("6.1 a padding of the payload's length: DATA")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.frame(h.DATA, h.PADDED | h.END_STREAM, 1, b"\x05test")
    w.connection_error("PROTOCOL_ERROR")


@case("6.1 PADDED without a payload: DATA")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.frame(h.DATA, h.PADDED | h.END_STREAM, 1, b"")
    w.connection_error("PROTOCOL_ERROR", "FRAME_SIZE_ERROR")


@case("6.2 HEADERS with padding and priority")
def _(w):
    w.start()
    w.frame(h.HEADERS, h.END_HEADERS | h.END_STREAM | h.PADDED | h.PRIO, 1,
            b"\x0a" + b"\0\0\0\0\x10" + h.block(w.get()) + b"\0" * 10)
    w.answer(1)


@case("6.2 a padding longer than the payload: HEADERS")
def _(w):
    w.start()
    w.frame(h.HEADERS, h.END_HEADERS | h.END_STREAM | h.PADDED, 1, b"\xff" + h.block(w.get())[:90])
    w.connection_error("PROTOCOL_ERROR")


@case("6.2 PADDED without a payload: HEADERS")
def _(w):
    w.start()
    w.frame(h.HEADERS, h.END_HEADERS | h.END_STREAM | h.PADDED, 1, b"")
    w.connection_error("PROTOCOL_ERROR", "FRAME_SIZE_ERROR")


@case("6.2 PRIORITY flag without room for it")
def _(w):
    w.start()
    w.frame(h.HEADERS, h.END_HEADERS | h.END_STREAM | h.PRIO, 1, b"\0\0\0")
    w.connection_error("PROTOCOL_ERROR", "FRAME_SIZE_ERROR")


@case("6.4 RST_STREAM cancels, with known and unknown codes")
def _(w):
    w.start()
    for stream, code in ((1, 8), (3, 0xff), (5, 0xffffffff)):
        w.headers(stream, w.post())
        w.reset(stream, code)
    w.alive()
    get(w, 7)


@case("6.5 an ACK with a payload")
def _(w):
    w.start()
    w.frame(h.SETTINGS, h.ACK, 0, b"\0" * 6)
    w.connection_error("FRAME_SIZE_ERROR")


for _name, _key, _value, _code in (
        ("ENABLE_PUSH", h.ENABLE_PUSH, 2, "PROTOCOL_ERROR"),
        ("INITIAL_WINDOW_SIZE", h.INITIAL_WINDOW_SIZE, 1 << 31, "FLOW_CONTROL_ERROR"),
        ("MAX_FRAME_SIZE too small", h.MAX_FRAME_SIZE, 16383, "PROTOCOL_ERROR"),
        ("MAX_FRAME_SIZE too large", h.MAX_FRAME_SIZE, 1 << 24, "PROTOCOL_ERROR"),
        ("ENABLE_CONNECT_PROTOCOL", h.ENABLE_CONNECT_PROTOCOL, 2, "PROTOCOL_ERROR"),
        ("NO_RFC7540_PRIORITIES", h.NO_RFC7540_PRIORITIES, 2, "PROTOCOL_ERROR")):
    @case("6.5.2 %s out of range" % _name)
    def _(w, key=_key, value=_value, code=_code):
        w.start()
        w.frame(h.SETTINGS, 0, 0, h.settings([(key, value)]))
        w.connection_error(code)


@case("6.5.2 an unknown setting is ignored")
def _(w):
    w.start([(0xff, 1), (0x0a0a, 0xffffffff)])
    get(w)


@case("6.5.2 RFC 9218: priorities may not be switched later")
def _(w):
    w.start([(h.NO_RFC7540_PRIORITIES, 0)])
    w.frame(h.SETTINGS, 0, 0, h.settings([(h.NO_RFC7540_PRIORITIES, 1)]))
    w.connection_error("PROTOCOL_ERROR")


@case("6.5.3 values apply in order")
def _(w):
    w.start()
    w.frame(h.SETTINGS, 0, 0, h.settings([(h.INITIAL_WINDOW_SIZE, 100),
                                          (h.INITIAL_WINDOW_SIZE, 1)]))
    w.headers(1, w.get(), end=True)
    w.until(lambda: any(f.kind == h.DATA for f in w.frames), "DATA")
    first = next(f for f in w.frames if f.kind == h.DATA)
    assert len(first.payload) == 1, first


@case("6.5.3 each SETTINGS is acknowledged")
def _(w):
    w.start()
    for _ in range(5):
        w.frame(h.SETTINGS, 0, 0, h.settings([(h.MAX_CONCURRENT_STREAMS, 100)]))
    w.until(lambda: w.acked == 6, "six ACKs")


@case("6.6 PUSH_PROMISE of a client")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.frame(h.PUSH_PROMISE, h.END_HEADERS, 1, b"\0\0\0\x02" + h.block(w.get()))
    w.connection_error("PROTOCOL_ERROR")


@case("6.7 PING is answered with its payload, an ACK is not")
def _(w):
    w.start()
    w.frame(h.PING, h.ACK, 0, b"ignored!")
    w.frame(h.PING, 0, 0, b"answered")
    w.until(lambda: w.pongs, "a PING")
    assert w.pongs == [b"answered"]


@case("6.8 GOAWAY of a client, with an unknown code")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.frame(h.GOAWAY, 0, 0, struct.pack(">II", 0, 0xff) + b"debug data")
    w.data(1, b"x", end=True)
    w.answer(1)


@case("6.9 WINDOW_UPDATE works for stream and connection")
def _(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 0)])
    w.headers(1, w.get(), end=True)
    w.until(lambda: w.stream(1).heads, "a head")
    w.window(0, 100)
    w.window(1, 1)
    w.until(lambda: len(w.stream(1).body) == 1, "one octet")
    w.window(1, 1 << 20)
    w.answer(1)


@case("6.9 an increment of 0: connection")
def _(w):
    w.start()
    w.window(0, 0)
    w.connection_error("PROTOCOL_ERROR")


@case("6.9 an increment of 0: stream")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.window(1, 0)
    w.stream_error(1, "PROTOCOL_ERROR", connection=True)


@case("6.9.1 no more than the window: one octet at a time")
def _(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 1)])
    w.headers(1, w.get(), end=True)
    w.until(lambda: any(f.kind == h.DATA for f in w.frames), "DATA")
    w.alive()
    assert [len(f.payload) for f in w.frames if f.kind == h.DATA] == [1]


@case("6.9.1 a window beyond 2^31-1: connection")
def _(w):
    w.start()
    w.window(0, 0x7fffffff)
    w.window(0, 0x7fffffff)
    w.connection_error("FLOW_CONTROL_ERROR")


@case("6.9.1 a window beyond 2^31-1: stream")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.window(1, 0x7fffffff)
    w.window(1, 0x7fffffff)
    w.stream_error(1, "FLOW_CONTROL_ERROR")


@case("6.9.1 DATA beyond our window of a stream")
def _(w):
    w.start(ack=False)  # so that 65535 still holds
    w.headers(1, w.post(path="/hold/h2-window" if w.strict else None))
    for _ in range(800):  # more than sockets hold
        w.data(1, b"x" * 16384)
    w.stream_error(1, "FLOW_CONTROL_ERROR", connection=True)


@case("6.9.2 INITIAL_WINDOW_SIZE changes open streams")
def _(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 0)])
    w.headers(1, w.get(), end=True)
    w.until(lambda: w.stream(1).heads, "a head")
    w.frame(h.SETTINGS, 0, 0, h.settings([(h.INITIAL_WINDOW_SIZE, 1)]))
    w.until(lambda: len(w.stream(1).body) == 1, "one octet")


@case("6.9.2 a window can become negative")
def _(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 3)])
    w.headers(1, w.get(), end=True)
    w.until(lambda: len(w.stream(1).body) == 3, "three octets")
    w.frame(h.SETTINGS, 0, 0, h.settings([(h.INITIAL_WINDOW_SIZE, 2)]))
    w.window(1, 1)
    w.alive()
    assert len(w.stream(1).body) == 3
    w.window(1, 1)
    w.until(lambda: len(w.stream(1).body) == 4, "the fourth octet")


@case("6.9.2 INITIAL_WINDOW_SIZE that overflows a stream's window")
def _(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 100)])
    w.headers(1, w.post())
    w.window(1, 0x7fffffff - 100)
    w.frame(h.SETTINGS, 0, 0, h.settings([(h.INITIAL_WINDOW_SIZE, 101)]))
    w.stream_error(1, "FLOW_CONTROL_ERROR", connection=True)


@case("6.10 several CONTINUATIONs, empty ones too")
def _(w):
    w.start()
    fields = h.block(w.get(extra=[("x-dummy", "a" * 50)]))
    w.headers(1, fields[:5], flags=h.END_STREAM)
    w.frame(h.CONTINUATION, 0, 1, b"")
    w.frame(h.CONTINUATION, 0, 1, fields[5:70])
    w.frame(h.CONTINUATION, h.END_HEADERS, 1, fields[70:])
    w.answer(1)


@case("6.10 another frame between CONTINUATIONs")
def _(w):
    w.start()
    w.headers(1, w.get(), flags=h.END_STREAM)
    w.frame(h.CONTINUATION, 0, 1, literal("x-a", "b"))
    w.data(1, b"x")
    w.connection_error("PROTOCOL_ERROR")


@case("6.10 CONTINUATION of another stream")
def _(w):
    w.start()
    w.headers(1, w.get(), flags=h.END_STREAM)
    w.frame(h.CONTINUATION, h.END_HEADERS, 3, literal("x-a", "b"))
    w.connection_error("PROTOCOL_ERROR")


@case("6.10 CONTINUATION after END_HEADERS in HEADERS")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.frame(h.CONTINUATION, h.END_HEADERS, 1, literal("x-a", "b"))
    w.connection_error("PROTOCOL_ERROR")


@case("6.10 CONTINUATION after END_HEADERS in CONTINUATION")
def _(w):
    w.start()
    w.headers(1, w.post(), flags=0)
    w.frame(h.CONTINUATION, h.END_HEADERS, 1, literal("x-a", "b"))
    w.frame(h.CONTINUATION, h.END_HEADERS, 1, literal("x-b", "b"))
    w.connection_error("PROTOCOL_ERROR")


@case("6.10 CONTINUATION after DATA")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.data(1, b"x")
    w.frame(h.CONTINUATION, h.END_HEADERS, 1, literal("x-a", "b"))
    w.connection_error("PROTOCOL_ERROR")


# --- 8: messages ---------------------------------------------------------------------------
@case("8.1 GET, HEAD, OPTIONS *, POST, POST with trailers")
def _(w):
    w.start()
    get(w)
    head = get(w, 3, method="HEAD")
    assert head.body == b"" and head.get("content-length")
    w.headers(5, w.post())
    w.data(5, b"test", end=True)
    w.answer(5)
    w.headers(7, w.post())
    w.data(7, b"test")
    w.headers(7, [("x-test", "ok")], end=True)
    w.answer(7)
    get(w, 9, method="OPTIONS", path="*")


@case("8.1 interim answers, pushes and connection fields: none in a plain answer")
def _(w):
    w.start()
    answer = get(w)
    names = {n for n, _ in answer.heads[-1]}
    assert not names & {"connection", "keep-alive", "transfer-encoding", "upgrade"}, names
    assert len(answer.heads) == 1


def malformed(w, fields, trailers=None, body=None):
    """Sends it as GET, or with a body, or with trailers: a stream error."""
    w.start()
    whole = trailers is None and body is None
    w.headers(1, fields, end=whole)
    if body is not None:
        for piece in body:
            w.data(1, piece)
        if trailers is None:
            w.data(1, b"", end=True)
    if trailers is not None:
        w.headers(1, trailers, end=True)
    w.stream_error(1, "PROTOCOL_ERROR")


ADDED = {
    "8.2.1 an upper-case name": ("X-Test", "ok"),
    "8.2.1 an upper-case letter in a name": ("x-tEst", "ok"),
    "8.2.1 an empty name": ("", "ok"),
    "8.2.1 a colon in a name": ("x:test", "ok"),
    "8.2.1 CR LF in a value": ("x-test", "a\r\nx-injected: 1"),
    "8.2.1 LF in a value": ("x-test", "a\nb"),
    "8.2.1 CR in a value": ("x-test", "a\rb"),
    "8.2.1 NUL in a value": ("x-test", "a\0b"),
    "8.2.1 a control octet in a value": ("x-test", "a\x01b"),
    "8.2.1 DEL in a value": ("x-test", "a\x7fb"),
    "8.2.1 a space before a value": ("x-test", " ok"),
    "8.2.1 a space after a value": ("x-test", "ok "),
    "8.2.1 a tab before a value": ("x-test", "\tok"),
    "8.2.1 a tab after a value": ("x-test", "ok\t"),
    "8.2.2 connection": ("connection", "keep-alive"),
    "8.2.2 connection: close": ("connection", "close"),
    "8.2.2 keep-alive": ("keep-alive", "timeout=5"),
    "8.2.2 proxy-connection": ("proxy-connection", "keep-alive"),
    "8.2.2 transfer-encoding": ("transfer-encoding", "chunked"),
    "8.2.2 transfer-encoding: identity": ("transfer-encoding", "identity"),
    "8.2.2 upgrade": ("upgrade", "h2c"),
    "8.2.2 te: gzip": ("te", "gzip"),
    "8.2.2 te: trailers, deflate": ("te", "trailers, deflate;q=0.5"),
    "8.3 an unknown pseudo field": (":test", "ok"),
    "8.3 a pseudo field of answers": (":status", "200"),
    "8.3 a pseudo field after others, again": (":path", "/second"),
    "8.3 a second :method": (":method", "POST"),
    "8.3.1 host differs from :authority": ("host", "other.example"),
    "8.3.1 content-length of no number": ("content-length", "abc"),
    "8.3.1 content-length with a sign": ("content-length", "+0"),
    "8.3.1 content-length below zero": ("content-length", "-1"),
    "8.3.1 content-length in hex": ("content-length", "0x0"),
    "8.3.1 content-length as a list that differs": ("content-length", "0, 1"),
    "8.3.1 content-length too large for anybody": ("content-length", "99999999999999999999"),
    "8.1.1 content-length without a body": ("content-length", "5"),
}
for _octet in [*range(0x00, 0x21), *b"\"(),/;<=>?@[\\]{}", 0x7f, 0x80, 0xff]:
    ADDED["8.2.1 octet %02x in a name" % _octet] = ("x-%c-y" % _octet, "ok")

for _name, _field in ADDED.items():
    @case(_name)
    def _(w, field=_field):
        malformed(w, w.get(extra=[field]))

    if not _name.startswith(("8.3.1", "8.1.1")):
        @case(_name + ", in a trailer")
        def _(w, field=_field):
            malformed(w, w.post(), [field], [b"x"])

for _name in (":method", ":scheme", ":authority", ":path"):
    @case("8.3.1 without %s" % _name)
    def _(w, name=_name):
        malformed(w, [f for f in w.get() if f[0] != name])

    @case("8.3.1 %s twice" % _name)
    def _(w, name=_name):
        fields = w.get()
        at = [f[0] for f in fields].index(name)
        malformed(w, fields[:at] + [fields[at]] + fields[at:])

    @case("8.3.1 %s empty" % _name)
    def _(w, name=_name):
        malformed(w, [(n, "" if n == name else v) for n, v in w.get()])

    @case("8.3 %s after a regular field" % _name)
    def _(w, name=_name):
        fields = w.get()
        moved = [f for f in fields if f[0] == name]
        malformed(w, [f for f in fields if f[0] != name] + [("x-a", "b")] + moved)

    @case("8.1 %s in a trailer" % _name)
    def _(w, name=_name):
        malformed(w, w.post(), [f for f in w.get() if f[0] == name], [b"x"])

REPLACED = {
    "8.3.1 :path without a slash": (":path", "hello"),
    "8.3.1 :path with a space": (":path", "/a b"),
    "8.3.1 :path with a fragment": (":path", "/a#b"),
    "8.3.1 :path with a control octet": (":path", "/a\x01b"),
    "8.3.1 :path with CR LF": (":path", "/ HTTP/1.1\r\nhost: evil"),
    "8.3.1 :path of * for GET": (":path", "*"),
    "8.3.1 :path in absolute form": (":path", "https://other.example/"),
    "8.3.1 :method with a space": (":method", "GET /x"),
    "8.3.1 :method with CR LF": (":method", "GET\r\n"),
    "8.3.1 :scheme of no scheme": (":scheme", "ht tp"),
    "8.3.1 :authority with user information": (":authority", "user@alpha-web.wos.localhost"),
    "8.3.1 :authority with a space": (":authority", "alpha web"),
    "8.3.1 :authority with a path": (":authority", "alpha-web.wos.localhost/x"),
    "8.3.1 :authority with CR LF": (":authority", "alpha-web.wos.localhost\r\nx: y"),
    "8.3.1 :authority with a port of no number": (":authority", "alpha-web.wos.localhost:http"),
}
for _name, _field in REPLACED.items():
    @case(_name)
    def _(w, field=_field):
        malformed(w, [field if f[0] == field[0] else f for f in w.get()])


@case("8.1 a second HEADERS without END_STREAM")
def _(w):
    w.start()
    w.headers(1, w.post())
    w.headers(1, [("x-test", "ok")])
    w.stream_error(1, "PROTOCOL_ERROR", connection=True)


@case("8.1 DATA after trailers")
def _(w):
    w.start([(h.INITIAL_WINDOW_SIZE, 0)])
    w.headers(1, w.post())
    w.headers(1, [("x-test", "ok")], end=True)
    w.data(1, b"x")
    w.stream_error(1, "STREAM_CLOSED", connection=True)


@case("8.1.1 a body longer than content-length")
def _(w):
    malformed(w, w.post([("content-length", "3")]), body=[b"test"])


@case("8.1.1 a body shorter than content-length")
def _(w):
    malformed(w, w.post([("content-length", "5")]), body=[b"test"])


@case("8.1.1 several DATA that do not make content-length")
def _(w):
    malformed(w, w.post([("content-length", "9")]), body=[b"test", b"test"])


@case("8.1.1 a body shorter than content-length, with trailers")
def _(w):
    malformed(w, w.post([("content-length", "9")]), [("x-a", "b")], [b"test"])


@case("8.1.1 two content-lengths")
def _(w):
    malformed(w, w.post([("content-length", "4"), ("content-length", "5")]), body=[b"test"])


@case("8.2.2 te: trailers is fine")
def _(w):
    w.start()
    w.headers(1, w.get(extra=[("te", "trailers")]), end=True)
    w.answer(1)


@case("8.2.1 all of a field value's octets")
def _(w):
    w.start()
    value = bytes(range(0x21, 0x7f)) + bytes(range(0x80, 0x100)) + b"\t "
    w.headers(1, w.get(extra=[("x-all", (value + b".").decode("latin-1")), ("x-empty", "")]),
              end=True)
    w.answer(1)


@case("8.3.1 host instead of :authority, and host equal to it")
def _(w):
    w.start()
    fields = [f for f in w.get() if f[0] != ":authority"]
    w.headers(1, fields + [("host", w.authority)], end=True)
    w.answer(1)
    w.headers(3, w.get(extra=[("host", w.authority)]), end=True)
    w.answer(3)


@case("8.3.1 a path of any other octets")
def _(w):
    w.start()
    get(w, path=w.path + "?a[]=%00|\\^`{}'\"<>//../.&=#"[:-1])


# --- 7541: HPACK -------------------------------------------------------------------------------
@case("hpack 2.3.3 an index beyond the tables")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + h.integer(70, 7, 0x80), end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 2.3.3 an index beyond the tables, as a name")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + h.integer(70, 6, 0x40) + b"\x05empty", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 4.2 a table size at the end of a block")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + b"\x21", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 4.2 table sizes at the start of a block")
def _(w):
    w.start()
    w.headers(1, b"\x20" + h.integer(4096, 5, 0x20) + h.block(w.get()), end=True)
    w.answer(1)


@case("hpack 5.1 an integer without end")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + b"\x7f" + b"\xff" * 12 + b"\x7f", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 5.2 a Huffman code padded by more than seven bits")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 5.2 a Huffman code padded with zeros")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + b"\x00\x85\xf2\xb2\x4a\x87\xff\x83\x49\x50\x90", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 5.2 a Huffman code with EOS")
def _(w):
    w.start()
    w.headers(1, h.block(w.get())
              + b"\x00\x85\xf2\xb2\x4a\x87\xff\x87\x49\x51\xff\xff\xff\xfa\x7f", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 5.2 a string longer than its block")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + b"\x00\x05x-abc\x7f\x80\x01short", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 6.1 index 0")
def _(w):
    w.start()
    w.headers(1, h.block(w.get()) + b"\x80", end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 6.3 a table size above the setting")
def _(w):
    w.start()
    w.headers(1, h.integer(4097, 5, 0x20) + h.block(w.get()), end=True)
    w.connection_error("COMPRESSION_ERROR")


@case("hpack 6 every representation, plain and Huffman")
def _(w):
    w.start()
    stream = 1
    for huffman in (False, True):
        for first, prefix in ((0x40, 6), (0x00, 4), (0x10, 4)):
            def string(value):
                coder = hpack.huffman.HuffmanEncoder(hpack.huffman_constants.REQUEST_CODES,
                                                     hpack.huffman_constants.REQUEST_CODES_LENGTH)
                code = coder.encode(value) if huffman else value
                return h.integer(len(code), 7, 0x80 if huffman else 0) + code
            fields = (b"\x82\x87" + h.integer(4, prefix, first) + string(w.path.encode())
                      + h.integer(1, prefix, first) + string(w.authority.encode())
                      + bytes([first]) + string(b"user-agent") + string(b"")
                      + bytes([first]) + string(b"x-test") + string(b"ok"))
            w.headers(stream, fields, end=True)
            w.answer(stream)
            stream += 2


@case("hpack 6.1 an entry of the dynamic table")
def _(w):
    w.start()
    encoder = hpack.Encoder()
    for stream in (1, 3, 5):
        fields = encoder.encode(w.get(extra=[("x-test", "ok")]))
        w.headers(stream, fields, end=True)
        w.answer(stream)
    assert len(fields) < 12, "the encoder should have used the table"


@case("hpack 4.2 our own encoder obeys a table size of 0")
def _(w):
    w.start([(h.HEADER_TABLE_SIZE, 0)])
    w.decoder.max_allowed_table_size = 0
    get(w)
    get(w, 3)


# --- 8441, 8.5: CONNECT; 9218: priorities -------------------------------------------------------------
@case("8.5 CONNECT with :path")
def _(w):
    malformed(w, w.get(method="CONNECT"))


@case("8.5 CONNECT without :authority")
def _(w):
    malformed(w, [(":method", "CONNECT")])


@case("8441 :protocol without CONNECT")
def _(w):
    malformed(w, w.get(extra=[])[:4] + [(":protocol", "websocket")])


for _name in (":scheme", ":path", ":authority"):
    @case("8441 extended CONNECT without %s" % _name)
    def _(w, name=_name):
        malformed(w, [f for f in w.get(method="CONNECT") if f[0] != name]
                  + [(":protocol", "websocket")])


@case("9218 PRIORITY_UPDATE for a stream to come, and for an open one")
def _(w):
    w.start([(h.NO_RFC7540_PRIORITIES, 1)])
    w.frame(h.PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"u=0")
    w.headers(1, w.post())
    w.frame(h.PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"u=7, i")
    w.frame(h.PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"not a dictionary!!")
    w.frame(h.PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"x" * 4000)
    w.data(1, b"", end=True)
    w.answer(1)


# Cases that servers which do not speak RFC 9218 need not know.
OURS = {}


def ours(name):
    def add(function):
        OURS[name] = function
        return function
    return add


@ours("9218 PRIORITY_UPDATE on a stream")
def _(w):
    w.start()
    w.frame(h.PRIORITY_UPDATE, 0, 1, struct.pack(">I", 1) + b"u=0")
    w.connection_error("PROTOCOL_ERROR")


@ours("9218 PRIORITY_UPDATE for stream 0")
def _(w):
    w.start()
    w.frame(h.PRIORITY_UPDATE, 0, 0, struct.pack(">I", 0) + b"u=0")
    w.connection_error("PROTOCOL_ERROR")


@ours("9218 PRIORITY_UPDATE of three octets")
def _(w):
    w.start()
    w.frame(h.PRIORITY_UPDATE, 0, 0, b"\0\0\0")
    w.connection_error("FRAME_SIZE_ERROR")


@ours("settings: streams, window, extended CONNECT, RFC 9218; no push")
def _(w):
    w.start()
    assert w.settings[h.MAX_CONCURRENT_STREAMS] == 128
    assert w.settings[h.INITIAL_WINDOW_SIZE] == 256 * 1024
    assert w.settings[h.MAX_HEADER_LIST_SIZE] == 65536
    assert w.settings[h.ENABLE_CONNECT_PROTOCOL] == 1
    assert w.settings[h.NO_RFC7540_PRIORITIES] == 1


@ours("8.5 CONNECT to anywhere is refused, not malformed")
def _(w):
    w.start()
    w.headers(1, [(":method", "CONNECT"), (":authority", "example.com:443")])
    w.answer(1, 405)
    w.alive()


@ours("8441 extended CONNECT with another protocol is not implemented")
def _(w):
    w.start()
    for stream, protocol in ((1, "connect-udp"), (3, "webtransport"), (5, "WebSocket2")):
        w.headers(stream, w.get(method="CONNECT", path="/ws")[:4] + [(":protocol", protocol)])
        w.answer(stream, 501)
    w.alive()


@ours("refused requests are answered, not reset")
def _(w):
    w.start()
    w.headers(1, w.get(path="/" + "x" * 17000), end=True)
    w.answer(1, 414)
    w.headers(3, w.get(extra=[("x-%d" % i, "y" * 400) for i in range(170)]), end=True)
    w.answer(3, 431)
    w.headers(5, w.get(extra=[("x-%d" % i, "y") for i in range(250)]), end=True)
    w.answer(5, 431)
    w.headers(7, [(n, "nobody.wos.localhost" if n == ":authority" else v) for n, v in w.get()],
              end=True)
    w.answer(7, 404)
    w.headers(9, [(n, "ftp" if n == ":scheme" else v) for n, v in w.get()], end=True)
    w.answer(9, 421)
    w.headers(11, w.get(method="BREW"), end=True)
    w.answer(11)
    w.alive()


# --- running ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [*CASES, *OURS])
def test_case(gate, name):
    with h.Wire(gate.port, gate.host(WEB), ca=gate.ca) as w:
        {**CASES, **OURS}[name](w)


def test_nothing_malformed_reached_the_service(gate):
    """After all of the above: what the service saw of the malformed requests."""
    before = gate.get(WEB, "/stats").json["requests"]
    with h.Wire(gate.port, gate.host(WEB), ca=gate.ca) as w:
        w.start()
        stream = 1
        for field in ADDED.values():
            w.headers(stream, w.get(path="/smuggled", extra=[field]), end=True)
            w.stream_error(stream, "PROTOCOL_ERROR")
            stream += 2
    assert gate.get(WEB, "/stats").json["requests"] == before + 1


def main(port, host="localhost", path="/"):
    """Every case against a server of whatever kind, as the suites judge."""
    import ssl
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    failed = 0
    for name, run in CASES.items():
        try:
            with h.Wire(int(port), host, context=context, path=path, post=path, strict=False,
                        timeout=3.0) as w:
                run(w)
        except Exception as error:  # whatever a server does is a line of the report
            failed += 1
            print("%s: %s: %s" % (name, type(error).__name__, error))
    print("%d of %d failed" % (failed, len(CASES)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
