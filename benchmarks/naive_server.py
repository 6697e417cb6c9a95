"""The chat server one writes first: a Python loop over `transport.write`, one call per message and member.

It speaks CONNECT, JOIN, PUBLISH and PING over TCP on uvloop. A message is encoded once, so what it lacks
against fastchat is only what fastchat is measured for: nothing is gathered, every delivery is a send.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import struct
import time
from collections import defaultdict
from typing import Any, cast

import msgpack  # type: ignore[import-untyped]
import uvloop

from fastchat.protocol.messages import Op

HEADER = struct.Struct(">I")


class Room:
    """The members of a room and its last offset."""

    def __init__(self) -> None:
        self.members: set[NaiveProtocol] = set()
        self.offset = 0


class Hall:
    """What the connections of one server share."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = defaultdict(Room)
        self.guests = itertools.count(1)


def frame(value: list[Any]) -> bytes:
    payload: bytes = msgpack.packb(value)
    return HEADER.pack(len(payload)) + payload


class NaiveProtocol(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.buffer = b""
        self.user = f"guest-{next(hall.guests)}"
        self.joined: set[Room] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def connection_lost(self, exc: Exception | None) -> None:
        for room in self.joined:
            room.members.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= 4:
            (size,) = HEADER.unpack_from(self.buffer, at)
            if len(self.buffer) - at - 4 < size:
                break
            self.command(msgpack.unpackb(self.buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        self.buffer = self.buffer[at:]

    def command(self, command: list[Any]) -> None:
        op, id, *rest = command
        now = time.time_ns() // 1_000_000
        match op:
            case Op.PUBLISH:
                self.publish(id, rest[0], rest[1], now)
            case Op.PING:
                self.result(id, {"time": now})
            case Op.CONNECT:
                self.user = (rest[1] if len(rest) > 1 else {}).get("name", self.user)
                self.result(id, {"version": 1, "user": self.user, "node": "naive", "time": now})
            case Op.JOIN:
                self.join(id, rest[0])
            case _:
                self.transport.write(frame([Op.ERROR, id, 301, "not spoken here"]))

    def result(self, id: int, body: dict[str, Any]) -> None:
        self.transport.write(frame([Op.RESULT, id, body]))

    def join(self, id: int, name: str) -> None:
        room = self.hall.rooms[name]
        room.members.add(self)
        self.joined.add(room)
        self.result(id, {"epoch": "1", "offset": room.offset, "recovered": None, "messages": []})

    def publish(self, id: int, name: str, data: Any, now: int) -> None:
        room = self.hall.rooms[name]
        if room not in self.joined:
            self.transport.write(frame([Op.ERROR, id, 304, "join first"]))
            return
        room.offset += 1
        message = frame([Op.MESSAGE, name, room.offset, now, self.user, data, {}])
        for member in room.members:
            member.transport.write(message)
        if id:
            self.result(id, {"offset": room.offset, "ts": now})


async def serve(port: int) -> None:
    hall = Hall()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: NaiveProtocol(hall), "127.0.0.1", port, backlog=4096)
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))
