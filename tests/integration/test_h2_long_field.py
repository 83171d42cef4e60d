"""A field of more than 64 KiB, which nghttp2 cannot read, was COMPRESSION_ERROR and not 431."""
import pytest

import h2wire as h
from rawservice import H2Service, h2_answer
from service_edge import ServiceEdge as Edge

SIZES = (65537, 70000, 200000)
WINDOW = [(h.INITIAL_WINDOW_SIZE, 1 << 20)]


@pytest.fixture(scope="module")
def edge():
    def handle(peer, event):
        if type(event).__name__ == "StreamEnded":
            h2_answer(peer, event.stream_id, body=b"b" * 16000)

    with H2Service(handle) as service, Edge(
            ["web=h2c:%d" % service.port], limits={"header_bytes_max": 32768}) as running:
        yield running


@pytest.fixture
def wire(edge):
    with h.Wire(edge.port, edge.host("web"), ca=edge.ca) as w:
        yield w.start(WINDOW)


def test_long_field_is_431_for_the_h2_library(edge):
    size = 70000 * 8 // 13  # the library's Huffman code has 13 bits for it
    assert edge.request("web", headers=[("x-long", "~" * size)], http="h2").status == 431
    assert edge.request("web", http="h2").status == 200


@pytest.mark.parametrize("first", (0x00, 0x10, 0x40))
@pytest.mark.parametrize("of", ("name", "value"))
@pytest.mark.parametrize("size", SIZES)
def test_long_string_is_431_and_others_are_answered(wire, size, of, first):
    """Whatever the representation; the connection ends gracefully, with what ran before."""
    name, value = (b"n" * size, b"v") if of == "name" else (b"x-long", b"~" * size)
    wire.headers(1, wire.get(), end=True)
    wire.headers(3, h.block(wire.get()) + h.literal(name, value, first=first,
                                                   prefix=6 if first == 0x40 else 4), end=True)
    assert wire.answer(3).status == 431
    assert wire.answer(1).status == 200 and len(wire.stream(1).body) == 16000
    wire.until(lambda: wire.over, "the connection to close")
    assert wire.goaway[0] == "NO_ERROR"


@pytest.mark.parametrize("piece", (1, 7, 16384))
def test_long_string_cut_into_frames(wire, piece):
    """The string's length may be cut anywhere."""
    text = h.block(wire.get()) + h.literal(b"x-long", b"~" * 70000)
    start = len(text) - 70010
    wire.frame(h.HEADERS, h.END_STREAM, 1, text[:start])
    for at in range(start, start + 12, piece):
        wire.frame(h.CONTINUATION, 0, 1, text[at:min(at + piece, start + 12)])
    for at in range(start + 12, len(text), 16384):
        wire.frame(h.CONTINUATION, 0, 1, text[at:at + 16384])
    assert wire.answer(1).status == 431


@pytest.mark.parametrize("pad", (0, 1, 255))
@pytest.mark.parametrize("cut", (1, 12, 1000))
def test_long_string_in_a_padded_block(wire, pad, cut):
    """A padded HEADERS frame ended in COMPRESSION_ERROR."""
    text = h.block(wire.get()) + h.literal(b"x-long", b"~" * 70000)
    first = len(text) - 70010 + cut
    wire.frame(h.HEADERS, h.END_STREAM | h.PADDED, 1, bytes([pad]) + text[:first] + b"\xff" * pad)
    for at in range(first, len(text), 16384):
        wire.frame(h.CONTINUATION, 0, 1, text[at:at + 16384])
    assert wire.answer(1).status == 431


def test_a_padded_block_is_read(wire):
    text = h.block(wire.get())
    wire.frame(h.HEADERS, h.END_STREAM | h.PADDED, 1, b"\x05" + text[:7] + b"\xff" * 5)
    wire.frame(h.CONTINUATION, h.END_HEADERS, 1, text[7:])
    assert wire.answer(1).status == 200


def test_a_string_of_64_kib_is_still_read(wire):
    """… and as its field is over the limit, its stream alone gets 431."""
    wire.headers(1, wire.get(extra=[("x-long", "~" * 65000)]), end=True)
    assert wire.answer(1).status == 431
    wire.alive()


def test_malformed_block_is_still_compression_error(wire):
    wire.frame(h.HEADERS, h.END_STREAM, 1, h.block(wire.get()) + b"\xff\xff\xff\xff\xff\xff\x7f")
    wire.connection_error("COMPRESSION_ERROR")


def test_long_trailer_ends_the_connection(wire):
    wire.headers(1, wire.post())
    wire.data(1, b"body")
    wire.headers(1, h.block([]) + h.literal(b"x-long", b"~" * 70000), end=True)
    wire.connection_error("ENHANCE_YOUR_CALM")
