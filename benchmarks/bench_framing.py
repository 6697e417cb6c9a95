"""Framing, both twins, beside the usual loop in Python (TCP) and the `websockets` library alone.

pytest benchmarks/bench_framing.py --benchmark-enable --benchmark-group-by=group
"""

from __future__ import annotations

import struct
from typing import Any

import pytest
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from fastchat.protocol import codec
from fastchat.protocol.messages import Publish
from tests.protocol.test_framing import client_frame
from tests.twins import twins

LIMIT = 16 * 1024
PUBLISH = codec.encode_command(Publish(7, "lobby", codec.pack("x" * 98)))  # 110 bytes
TWINS = twins("fastchat.protocol._framing", "fastchat.protocol._framing_py")
READS = {"1 frame": [PUBLISH], "64 frames": [PUBLISH] * 64, "1 frame of 16 KiB": [b"x" * LIMIT]}
_LENGTH = struct.Struct(">I")


class UsualFramer:
    """The loop that everybody writes: a bytearray, cut from the front once per read."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def read(self, data: bytes) -> list[bytes]:
        buffer = self.buffer
        buffer += data
        at, payloads = 0, []
        while len(buffer) - at >= 4:
            (size,) = _LENGTH.unpack_from(buffer, at)
            if size > LIMIT:
                raise ValueError("too large")
            if len(buffer) - at - 4 < size:
                break
            payloads.append(bytes(buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        del buffer[:at]
        return payloads


class Library:
    """The `websockets` library without the fast path."""

    def __init__(self) -> None:
        self.protocol = ServerProtocol(state=OPEN, max_size=LIMIT)

    def read(self, data: bytes) -> list[bytes]:
        self.protocol.receive_data(data)
        return [frame.data for frame in self.protocol.events_received()]


def reader(cutter: Any) -> Any:
    def read(data: bytes) -> list[bytes]:
        cutter.feed(data)
        payloads: list[bytes] = cutter.cut(LIMIT)
        return payloads

    return read


@pytest.mark.parametrize("twin", [*TWINS, pytest.param(None, id="usual loop")])
@pytest.mark.parametrize("name", READS)
def test_tcp(benchmark: Any, name: str, twin: Any) -> None:
    benchmark.group = f"TCP, {name} a read"
    stream = b"".join(_LENGTH.pack(len(payload)) + payload for payload in READS[name])
    read = UsualFramer().read if twin is None else reader(twin.TcpFramer())
    assert benchmark(read, stream) == READS[name]


@pytest.mark.parametrize("twin", [*TWINS, pytest.param(None, id="websockets")])
@pytest.mark.parametrize("name", READS)
def test_websocket(benchmark: Any, name: str, twin: Any) -> None:
    benchmark.group = f"WebSocket, {name} a read"
    stream = b"".join(client_frame(payload) for payload in READS[name])
    read = Library().read if twin is None else reader(twin.WsCutter(2))
    assert [bytes(payload) for payload in benchmark(read, stream)] == READS[name]


@pytest.mark.parametrize("twin", TWINS)
def test_a_frame_byte_by_byte(benchmark: Any, twin: Any) -> None:
    benchmark.group = "TCP, 1 frame in 114 reads"
    pieces = [bytes((byte,)) for byte in _LENGTH.pack(len(PUBLISH)) + PUBLISH]
    read = reader(twin.TcpFramer())
    assert [one for one in benchmark(lambda: [read(piece) for piece in pieces]) if one] == [[PUBLISH]]
