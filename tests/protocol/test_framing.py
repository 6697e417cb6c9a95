"""Framing, both twins: whole, byte by byte, in random pieces, and what is refused or left to others."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import Code, FrameError
from fastchat.protocol import _framing_py
from tests.twins import twins

TWINS = twins("fastchat.protocol._framing", "fastchat.protocol._framing_py")
both = pytest.mark.parametrize("framing", TWINS)
PAYLOADS = [b"", b"a", b"\x92\x10\x01", bytes(range(125)), b"x" * 126, b"y" * 65535, b"z" * 65536]
KEY = bytes.fromhex("37fa213d")  # the mask of RFC 6455's examples


def client_frame(payload: bytes, first: int = 0x82, key: bytes = KEY, wide: int | None = None) -> bytes:
    """Frame as a client does, plainly; `wide` forces 0, 2 or 8 bytes of extended length."""
    size = len(payload)
    wide = wide if wide is not None else 0 if size < 126 else 2 if size < 65536 else 8
    short = size if wide == 0 else 126 if wide == 2 else 127
    masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return bytes((first, 0x80 | short)) + (size.to_bytes(wide, "big") if wide else b"") + key + masked


def drain(framer: Any, limit: int = 1 << 20) -> list[bytes]:
    taken: list[bytes] = []
    while payloads := framer.cut(limit):
        taken += payloads
    return taken


def makers(framing: Any) -> list[tuple[Any, Any]]:
    """Each cutter with the function that frames for it."""
    return [(framing.TcpFramer(), _framing_py.tcp_frame), (framing.WsCutter(2), client_frame)]


@both
def test_tcp_frame_is_length_and_payload(framing: Any) -> None:
    assert framing.tcp_frame(b"") == b"\0\0\0\0"
    assert framing.tcp_frame(b"\x92\x10\x01") == b"\0\0\0\x03\x92\x10\x01"
    assert framing.tcp_frame(b"x" * 70000)[:4] == b"\x00\x01\x11\x70"


@both
def test_ws_frame_has_the_shortest_length_form(framing: Any) -> None:
    assert framing.ws_frame(b"") == b"\x82\x00"
    assert framing.ws_frame(b"[72,0]", 1) == b"\x81\x06[72,0]"
    assert framing.ws_frame(b"x" * 125)[:2] == b"\x82\x7d"
    assert framing.ws_frame(b"x" * 126)[:4] == b"\x82\x7e\x00\x7e"
    assert framing.ws_frame(b"x" * 65535)[:4] == b"\x82\x7e\xff\xff"
    assert framing.ws_frame(b"x" * 65536)[:10] == b"\x82\x7f\0\0\0\0\0\x01\0\0"


@both
def test_frames_come_out_whole_and_byte_by_byte(framing: Any) -> None:
    for _, frame in makers(framing):
        stream = b"".join(frame(payload) for payload in PAYLOADS)
        for step in (len(stream), 1, 7, 4096):
            cutter = next(one for one, maker in makers(framing) if maker is frame)
            taken = []
            for at in range(0, len(stream), step):
                cutter.feed(stream[at : at + step])
                taken += cutter.cut(1 << 20)
            assert taken == PAYLOADS
            assert cutter.pending == 0


@both
def test_rfc_6455_example(framing: Any) -> None:
    cutter = framing.WsCutter(1)
    cutter.feed(bytes.fromhex("818537fa213d7f9f4d5158"))  # 5.7: a masked "Hello"
    assert cutter.cut(100) == [b"Hello"]


@both
def test_most_bounds_one_cut_and_loses_nothing(framing: Any) -> None:
    for cutter, frame in makers(framing):
        cutter.feed(b"".join(frame(bytes((number,))) for number in range(10)))
        assert cutter.cut(100, 4) == [b"\0", b"\1", b"\2", b"\3"]
        assert cutter.cut(100, 4) == [b"\4", b"\5", b"\6", b"\7"]
        cutter.feed(frame(b"more"))
        assert cutter.cut(100, 4) == [b"\x08", b"\x09", b"more"]
        assert cutter.cut(100, 4) == []


@both
def test_a_frame_over_the_limit_is_refused_by_its_length_alone(framing: Any) -> None:
    for cutter, frame in makers(framing):
        cutter.feed(frame(b"fits") + frame(b"x" * 11)[:10])
        assert cutter.cut(10) == [b"fits"]
        for _ in range(2):  # the refusal stands
            with pytest.raises(FrameError) as refused:
                cutter.cut(10)
            assert refused.value.code is Code.TOO_LARGE
        assert cutter.cut(11) == []  # nothing was lost by refusing


@both
@pytest.mark.parametrize(
    "header", ["82fe4001", "82ff0000000000010000", "82ff8000000000000000", "82ffffffffffffffffff"]
)
def test_ws_lengths_are_refused_before_the_payload(framing: Any, header: str) -> None:
    cutter = framing.WsCutter(2)
    for byte in bytes.fromhex(header)[:-1]:
        cutter.feed(bytes((byte,)))
        assert cutter.cut(16384) == []
    cutter.feed(bytes.fromhex(header)[-1:])
    with pytest.raises(FrameError, match="over the limit of 16384"):
        cutter.cut(16384)


@both
def test_tcp_length_is_refused_with_its_fourth_byte(framing: Any) -> None:
    framer = framing.TcpFramer()
    framer.feed(b"\xff\xff\xff")
    assert framer.cut(16384) == []
    framer.feed(b"\xff")
    with pytest.raises(FrameError, match="4294967295 bytes is over the limit of 16384"):
        framer.cut(16384)


UNUSUAL = {
    "text where binary is spoken": client_frame(b"hi", 0x81),
    "first of fragments": client_frame(b"hi", 0x02),
    "continuation": client_frame(b"hi", 0x80),
    "ping": client_frame(b"hi", 0x89),
    "pong": client_frame(b"hi", 0x8A),
    "close": client_frame(b"\x03\xe8", 0x88),
    "reserved opcode": client_frame(b"hi", 0x83),
    "RSV1": client_frame(b"hi", 0xC2),
    "RSV2": client_frame(b"hi", 0xA2),
    "RSV3": client_frame(b"hi", 0x92),
    "not masked": b"\x82\x02hi",
    "16 bits for 5 bytes": client_frame(b"hello", wide=2),
    "64 bits for 5 bytes": client_frame(b"hello", wide=8),
    "64 bits for 65535 bytes": client_frame(b"x" * 65535, wide=8),
}


@both
@pytest.mark.parametrize("frame", UNUSUAL.values(), ids=list(UNUSUAL))
def test_unusual_frames_are_handed_over_untouched(framing: Any, frame: bytes) -> None:
    cutter = framing.WsCutter(2)
    cutter.feed(client_frame(b"usual") + frame)
    assert not cutter.unusual()
    assert cutter.cut(1 << 20) == [b"usual"]
    assert cutter.unusual()
    assert cutter.cut(1 << 20) == []
    assert cutter.pending == len(frame)
    assert cutter.take() == frame
    assert cutter.pending == 0
    assert not cutter.unusual()
    cutter.feed(client_frame(b"usual again"))
    assert cutter.cut(1 << 20) == [b"usual again"]


@both
def test_an_incomplete_ordinary_frame_is_not_unusual(framing: Any) -> None:
    for payload in (b"", b"hello", b"x" * 300, b"x" * 70000):
        frame = client_frame(payload)
        cutter = framing.WsCutter(2)
        for at in range(min(len(frame) - 1, 20)):
            cutter.feed(frame[at : at + 1])
            assert not cutter.unusual()
            assert cutter.cut(1 << 20) == []
        cutter.feed(frame[min(len(frame) - 1, 20) :])
        assert cutter.cut(1 << 20) == [payload]


@both
def test_take_after_a_partial_cut_gives_the_rest(framing: Any) -> None:
    cutter = framing.WsCutter(2)
    rest = client_frame(b"two") + b"\x89"
    cutter.feed(client_frame(b"one") + rest[:3])
    cutter.feed(rest[3:])
    assert cutter.cut(100, 1) == [b"one"]
    assert cutter.take() == rest


@both
def test_peek_shows_the_payload_that_waits(framing: Any) -> None:
    for cutter, frame in makers(framing):
        assert cutter.peek() == b""
        whole = frame(bytes(range(100)))
        head = len(whole) - 100
        for at in range(60):
            cutter.feed(whole[at : at + 1])
            assert cutter.peek() == bytes(range(100))[: max(0, min(at + 1 - head, 16))]
        cutter.feed(whole[60:] + frame(b"next"))
        assert cutter.cut(1000, 1) == [bytes(range(100))]
        assert cutter.peek() == b"next"  # and not beyond its end
        assert cutter.cut(1000) == [b"next"]


@both
def test_peek_of_an_unusual_frame_is_empty(framing: Any) -> None:
    cutter = framing.WsCutter(2)
    cutter.feed(client_frame(b"hello", 0x89))
    assert cutter.peek() == b""


@both
def test_an_idle_framer_is_tiny_and_a_tail_pins_no_more_than_itself(framing: Any) -> None:
    for cutter, frame in makers(framing):
        assert sys.getsizeof(cutter) < 150
        cutter.feed(frame(b"x" * 60000) + frame(b"tail")[:-1])
        assert cutter.cut(1 << 20) == [b"x" * 60000]
        held = getattr(cutter, "_data", b"")
        assert sys.getsizeof(cutter) + sys.getsizeof(held) < 300
        cutter.feed(frame(b"tail")[-1:])
        assert cutter.cut(1 << 20) == [b"tail"]
        assert sys.getsizeof(cutter) < 150


@both
@pytest.mark.parametrize("step", [1, 65536])
def test_work_is_linear(framing: Any, step: int) -> None:
    """Four times the bytes take about four times as long, and not sixteen."""

    def spent(size: int) -> float:
        best = 60.0
        for _ in range(3):
            cutter = framing.TcpFramer()
            stream = _framing_py.tcp_frame(b"x" * size) if step == 1 else b"\0\0\0\x01x" * (size // 5)
            pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
            began = time.process_time()
            for piece in pieces:
                cutter.feed(piece)
                while cutter.cut(1 << 30, 64):
                    pass
            best = min(best, time.process_time() - began)
        return best

    assert spent(400_000) < 10 * spent(100_000) + 0.01


@both
def test_only_bytes_are_taken(framing: Any) -> None:
    if framing is _framing_py:
        pytest.skip("the pure twin relies on its types")
    for call in (framing.TcpFramer().feed, framing.tcp_frame, framing.ws_frame):
        for wrong in (None, bytearray(b"x"), "x"):
            with pytest.raises(TypeError):
                call(wrong)


@given(st.integers(0, 2**32), st.booleans(), st.integers(0, 5))
def test_twins_agree_on_anything(seed: int, websocket: bool, most: int) -> None:
    """Frames, broken here and there, in random pieces: the same payloads, refusals and rests."""
    modules = [param.values[0] for param in TWINS if not param.marks]
    source = random.Random(seed)
    frame = client_frame if websocket else _framing_py.tcp_frame
    stream = bytearray(
        b"".join(frame(source.randbytes(source.choice((0, 3, 125, 126, 300)))) for _ in range(8))
    )
    for _ in range(source.choice((0, 0, 1, 3))):
        stream[source.randrange(len(stream))] = source.randrange(256)
    cutters = [module.WsCutter(2) if websocket else module.TcpFramer() for module in modules]
    at = 0
    while at < len(stream):
        piece = bytes(stream[at : at + source.choice((1, 2, 7, 100, 1000))])
        at += len(piece)
        seen = []
        for cutter in cutters:
            cutter.feed(piece)
            try:
                told: Any = (cutter.cut(200, most), cutter.peek())
            except FrameError as error:
                told = str(error)
            if websocket and cutter.unusual():
                told = (told, cutter.take())
            seen.append((told, cutter.pending))
        assert all(one == seen[0] for one in seen)
