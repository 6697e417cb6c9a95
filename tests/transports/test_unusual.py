"""The slow lane of a WebSocket: control frames, fragments and all that is wrong (RFC 6455)."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat.errors import Code, FrameError
from fastchat.transports.unusual import Happening, Kind, Unusual, read_header

LIMIT = 1000
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MOST = 1000


def client_frame(
    opcode: int, payload: bytes = b"", final: bool = True, *, mask: bool = True, first: int = 0
) -> bytes:
    """A frame as a client sends it; `first` adds bits to the first byte."""
    size = len(payload)
    masked = 0x80 if mask else 0
    head = bytes([(0x80 if final else 0) | opcode | first])
    if size < 126:
        head += bytes([masked | size])
    elif size < 1 << 16:
        head += bytes([masked | 126]) + size.to_bytes(2)
    else:
        head += bytes([masked | 127]) + size.to_bytes(8)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


def server_frame(opcode: int, payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes([0x80 | opcode, len(payload)]) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    return client_frame(CLOSE, code.to_bytes(2) + reason.encode())


def whole(data: bytes, limit: int = LIMIT) -> tuple[list[Happening], bytes, Unusual]:
    unusual = Unusual()
    taken = unusual.feed(data, limit, MOST)
    return taken.happenings, taken.rest, unusual


def by_bytes(data: bytes) -> list[Happening]:
    """Byte by byte, a new slow lane whenever the last has nothing left, as the connection does it."""
    unusual, happenings = Unusual(), []
    for place in range(len(data)):
        taken = unusual.feed(data[place : place + 1], LIMIT, MOST)
        assert taken.rest == b""
        happenings += taken.happenings
        if unusual.idle:
            unusual = Unusual()
    return happenings


def sent_code(happenings: list[Happening]) -> int:
    """The close code of the one frame that was sent; the connection must have been closed with it."""
    assert [kind for kind, _ in happenings] == [Kind.WRITE, Kind.CLOSED]
    frame = happenings[0].data
    assert frame[0] == 0x80 | CLOSE
    return int.from_bytes(frame[2:4])


def test_a_ping_is_answered_and_the_lane_is_free_again() -> None:
    happenings, rest, unusual = whole(client_frame(PING, b"hello") + client_frame(BINARY, b"next"))
    assert happenings == [(Kind.WRITE, server_frame(PONG, b"hello"))]
    assert read_header(rest) is not None and len(rest) == 10
    assert unusual.idle and unusual.pending == 0


def test_pongs_are_taken_in_silence() -> None:
    happenings, rest, unusual = whole(client_frame(PONG, b"who asked") * 3)
    assert (happenings, rest, unusual.idle) == ([], b"", True)


def test_fragments_become_one_message_with_controls_between_them() -> None:
    data = client_frame(TEXT, b"gr", False) + client_frame(PING, b"1")
    data += client_frame(CONT, "ü".encode()[:1], False) + client_frame(CONT, b"", False)
    data += client_frame(CONT, "ü".encode()[1:] + b"n", True) + client_frame(TEXT, b"after")
    expected = [(Kind.WRITE, server_frame(PONG, b"1")), (Kind.TEXT, "grün".encode())]
    happenings, rest, unusual = whole(data)
    assert happenings == expected
    assert len(rest) == 11 and unusual.idle
    assert by_bytes(data) == [*expected, (Kind.TEXT, b"after")]


def test_a_close_is_echoed_and_ends_the_input() -> None:
    happenings, rest, unusual = whole(close_frame(1000, "bye") + client_frame(BINARY, b"late"))
    assert happenings == [(Kind.WRITE, server_frame(CLOSE, b"\x03\xe8bye")), (Kind.CLOSED, b"")]
    assert rest == b"" and unusual.closed and not unusual.idle


def test_an_empty_close_is_echoed_empty() -> None:
    assert whole(client_frame(CLOSE))[0] == [(Kind.WRITE, server_frame(CLOSE, b"")), (Kind.CLOSED, b"")]


def test_a_close_within_a_fragmented_message_is_answered_like_any_other() -> None:
    data = client_frame(TEXT, b"half", False) + close_frame(1000) + client_frame(CONT, b"rest")
    assert sent_code(whole(data)[0]) == 1000
    assert sent_code(by_bytes(data)) == 1000


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(BINARY, b"x", mask=False), 1002),
        (client_frame(PING, b"x", mask=False), 1002),
        (client_frame(BINARY, b"x", first=0x40), 1002),
        (client_frame(PING, b"x", first=0x10), 1002),
        (client_frame(3, b"x"), 1002),
        (client_frame(11, b"x"), 1002),
        (client_frame(PING, b"x", False), 1002),
        (client_frame(PING, b"x" * 126), 1002),
        (b"\x89\xff" + (1 << 62).to_bytes(8) + b"mask", 1002),  # told before a byte of it is kept
        (client_frame(CONT, b"x"), 1002),
        (client_frame(TEXT, b"a", False) + client_frame(TEXT, b"b"), 1002),
        (client_frame(CLOSE, b"x"), 1002),
        (close_frame(1005), 1002),
        (close_frame(999), 1002),
        (client_frame(CLOSE, b"\x03\xe8\xff\xfe"), 1007),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(TEXT, b"\xce", False) + client_frame(CONT, b"x"), 1007),
        (client_frame(TEXT, b"\xce", False) + client_frame(CONT, b""), 1007),
        (b"\x82\xfe\x00\x05maskhello", 1002),  # 5 bytes told in 16 bits
        (b"\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05maskhello", 1002),
        (b"\x81\xff\x00\x00\x00\x00\x00\x00\x01\x00mask" + b"x" * 256, 1002),
    ],
)
def test_what_is_wrong_fails_the_connection(data: bytes, code: int) -> None:
    assert sent_code(whole(data)[0]) == code
    assert sent_code(by_bytes(data)) == code


@pytest.mark.parametrize(
    "data",
    [
        client_frame(TEXT, b"x" * (LIMIT + 1)),
        client_frame(TEXT, b"x" * LIMIT, False) + client_frame(CONT, b"x"),
        b"\x82\xff" + (1 << 62).to_bytes(8) + b"mask",
        b"\x82\xff" + b"\xff" * 8 + b"mask",
    ],
)
def test_a_message_over_the_limit_is_refused_by_its_header(data: bytes) -> None:
    with pytest.raises(FrameError) as caught:
        whole(data)
    assert caught.value.code is Code.TOO_LARGE


def test_a_message_of_exactly_the_limit_passes() -> None:
    data = client_frame(BINARY, b"x" * (LIMIT - 1), False) + client_frame(CONT, b"y")
    assert whole(data)[0] == [(Kind.BINARY, b"x" * (LIMIT - 1) + b"y")]


def test_turns_are_bounded_and_nothing_is_lost_between_them() -> None:
    unusual, rest, frames = Unusual(), client_frame(TEXT, b"a", False), 0
    rest += client_frame(CONT, b"", False) * 100 + client_frame(CONT, b"z")
    happenings: list[Happening] = []
    while rest:
        taken = unusual.feed(rest, LIMIT, 10)
        assert 0 < taken.frames <= 10
        rest, frames = taken.rest, frames + taken.frames
        happenings += taken.happenings
    assert happenings == [(Kind.TEXT, b"az")]
    assert frames == 102


def test_empty_fragments_cost_no_memory() -> None:
    unusual = Unusual()
    unusual.feed(client_frame(TEXT, b"", False) + client_frame(CONT, b"", False) * 500, LIMIT, MOST)
    assert unusual.pending == 0 and not unusual.idle


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, list[tuple[Kind, bytes]]]:
    """Valid frames of a client, fragmented at will with pings between, and what they amount to."""
    data, expected = b"", []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([Kind.TEXT, Kind.BINARY]))
        message = draw(st.text(max_size=40)).encode() if kind is Kind.TEXT else draw(st.binary(max_size=40))
        cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=3)))
        pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
        for place, piece in enumerate(pieces):
            data += client_frame(CONT if place else kind, piece, place == len(pieces) - 1)
            if place < len(pieces) - 1 and draw(st.booleans()):
                body = draw(st.binary(max_size=20))
                data += client_frame(PING, body)
                expected.append((Kind.WRITE, server_frame(PONG, body)))
        expected.append((kind, message))
    return data, expected


@given(conversations(), st.integers(1, 7))
def test_any_conversation_comes_out_whole_however_it_is_chopped(
    conversation: tuple[bytes, list[tuple[Kind, bytes]]], most: int
) -> None:
    data, expected = conversation
    assert by_bytes(data) == expected
    unusual, happenings = Unusual(), []
    while data:
        taken = unusual.feed(data, LIMIT, most)
        data = taken.rest
        happenings += taken.happenings
        if unusual.idle:
            unusual = Unusual()
    assert happenings == expected


def test_headers_are_read_when_they_are_complete() -> None:
    frame = client_frame(BINARY, b"x" * 70_000, False)
    assert [read_header(frame[:size]) for size in range(14)] == [None] * 14
    assert read_header(frame[:14]) == (BINARY, False, 14, 70_000, True)
    assert read_header(client_frame(TEXT, b"x" * 126)) == (TEXT, True, 8, 126, True)
