"""The session table, enumerated whole, and the frame limits before CONNECT."""

from __future__ import annotations

import msgpack
import pytest

from fastchat.errors import Code, FrameError
from fastchat.protocol.codec import encode_command
from fastchat.protocol.framing import TcpFramer, WsCutter, tcp_frame
from fastchat.protocol.messages import Connect, Op
from fastchat.protocol.session import COMMANDS, RULES, Phase, check, frame_limit, struck_out
from tests.protocol.test_framing import client_frame

MAX = 16 * 1024


def expected(phase: Phase, op: Op) -> Code | None:
    """PROTOCOL's sentences, written out a second time."""
    if phase is Phase.CLOSING:
        return Code.CONNECT_FIRST
    if op in (Op.PING, Op.PONG):
        return None
    if op is Op.CONNECT:
        return None if phase is Phase.NEW else Code.ALREADY_CONNECTED
    return None if phase is Phase.LIVE else Code.CONNECT_FIRST


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("op", COMMANDS)
def test_every_cell(phase: Phase, op: Op) -> None:
    assert check(phase, op) == RULES[phase][op] == expected(phase, op)


def test_the_table_has_every_phase_and_every_command_of_a_client() -> None:
    assert set(RULES) == set(Phase)
    assert {int(op) for op in COMMANDS} == set(range(1, 19))
    assert all(set(row) == set(COMMANDS) for row in RULES.values())


def test_three_strikes() -> None:
    assert [struck_out(strikes) for strikes in range(5)] == [False, False, False, True, True]


CONNECT_BEGINNINGS = [
    "9101", "930101", "9f01", "dc000301", "dd0000000301", "93cc01", "93cd0001", "93ce00000001",
    "93cf0000000000000001", "93d001", "93d10001", "93d200000001", "93d30000000000000001",
    "dd00000003cf0000000000000001",
]  # fmt: skip
OTHER_BEGINNINGS = [
    "90", "9202", "930401", "9310", "93cc02", "93cc11", "93cd0101", "93cd0100", "93cf0000000100000001",
    "93d0ff", "93c3", "93a131", "9391", "8101", "01", "c1", "00", "dc000304", "dd0000000304",
    "93cb3ff0000000000000",
]  # fmt: skip


@pytest.mark.parametrize("hex", CONNECT_BEGINNINGS)
def test_what_begins_like_connect_may_be_8_kib(hex: str) -> None:
    begun = bytes.fromhex(hex)
    for end in range(len(begun) + 1):  # the benefit of the doubt as long as it may become one
        assert frame_limit(Phase.NEW, begun[:end], MAX) == 8192
    assert frame_limit(Phase.NEW, begun + b"more", MAX) == 8192


@pytest.mark.parametrize("hex", OTHER_BEGINNINGS)
def test_anything_else_may_be_1_kib(hex: str) -> None:
    assert frame_limit(Phase.NEW, bytes.fromhex(hex), MAX) == 1024
    assert frame_limit(Phase.NEW, bytes.fromhex(hex) + b"more and more", MAX) == 1024


@pytest.mark.parametrize("text", ["", "[", "[1", "[1,", " [ 1 ,", "\n[\t1]", "[1,1,1,{"])
def test_connect_in_json(text: str) -> None:
    assert frame_limit(Phase.NEW, text.encode(), MAX, json=True) == 8192


NOT_CONNECT = ["[16", "[10,", "[1.0", "[1e0", "[4,", '["1"', "{", "1", "[[1", "\x91\x01", "x"]


@pytest.mark.parametrize("text", NOT_CONNECT)
def test_not_connect_in_json(text: str) -> None:
    assert frame_limit(Phase.NEW, text.encode(), MAX, json=True) == 1024


def test_limits_of_the_other_phases() -> None:
    assert frame_limit(Phase.CONNECTING, b"\x93\x01", MAX) == 1024
    assert frame_limit(Phase.CLOSING, b"\x93\x01", MAX) == 1024
    assert frame_limit(Phase.LIVE, b"\x93\x04", MAX) == MAX
    assert frame_limit(Phase.LIVE, b"[4", MAX, json=True) == MAX


def test_the_configured_limit_binds_where_it_is_lower() -> None:
    assert frame_limit(Phase.NEW, b"\x93\x01", 4096) == 4096
    assert frame_limit(Phase.NEW, b"\x93\x04", 512) == 512


def test_with_the_framers_as_a_transport_uses_it() -> None:
    """A long CONNECT passes; a long anything else is refused as soon as its first bytes are there."""
    connect = encode_command(Connect(1, token="t" * 7000))
    publish = msgpack.packb([4, 1, "lobby", "x" * 2000])
    for framer, frame in ((TcpFramer(), tcp_frame), (WsCutter(2), client_frame)):
        for byte in frame(connect):
            framer.feed(bytes((byte,)))
            payloads = framer.cut(frame_limit(Phase.NEW, framer.peek(), MAX), 1)
        assert payloads == [connect]
        refused_at = None
        for at, byte in enumerate(frame(publish)):
            framer.feed(bytes((byte,)))
            try:
                framer.cut(frame_limit(Phase.NEW, framer.peek(), MAX), 1)
            except FrameError as error:
                assert error.code is Code.TOO_LARGE
                refused_at = at
                break
        assert refused_at is not None and refused_at < 16
