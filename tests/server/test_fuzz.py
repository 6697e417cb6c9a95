"""Damaged conversations of every kind at the socket: the server stays well and others do not notice."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from fastchat.server import Server
from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import (
    BINARY,
    CLOSE,
    CONNECT,
    HISTORY,
    JOIN,
    MESSAGE,
    PING,
    PUBLISH,
    WS_PING,
    client_frame,
    dial,
    get,
    serving,
    tcp,
    upgrade,
    ws,
    ws_json,
)

CONNECTIONS = 250  # of one run
ABREAST = 50

CONVERSATION = [
    (CONNECT, 1, 1, {"name": "eve"}),
    (JOIN, 2, "lobby", {"presence": True, "history": 5}),
    (PUBLISH, 3, "attic", "x" * 50),
    (PING, 4),
    (HISTORY, 5, "lobby", {"limit": 3}),
    (8, 6, "lobby", {"typing": True}),
    (5, 7, "bob", "psst"),
]
STREAMS = [
    b"".join(tcp(*message) for message in CONVERSATION),
    upgrade() + b"".join(ws(*message) for message in CONVERSATION),
    upgrade("fastchat.v1.json") + b"".join(ws_json(*message) for message in CONVERSATION),
    get("/") + get("/healthz"),
    upgrade()
    + client_frame(BINARY, b"\x92\x10", 0)
    + client_frame(WS_PING, b"p")
    + client_frame(0, b"\x05")
    + client_frame(CLOSE, b"\x03\xe8"),
]


def damaged(stream: bytes, rnd: random.Random) -> bytes:
    """Change, cut out, put in and repeat some bytes."""
    data = bytearray(stream)
    for _ in range(rnd.choice((0, 1, 2, 5, 20))):
        place = rnd.randrange(len(data) + 1)
        kind = rnd.randrange(10)
        if kind < 5:
            data[place : place + 1] = rnd.randbytes(1)
        elif kind < 7:
            del data[place : place + rnd.randrange(1, 9)]
        elif kind < 9:
            data[place:place] = rnd.randbytes(rnd.randrange(1, 9))
        else:
            data[place:place] = data[: rnd.randrange(len(data) + 1)]
    return bytes(data)


async def attack(server: Server, seed: int) -> None:
    """Send one damaged conversation in pieces, then read on, shut, or reset the connection."""
    rnd = random.Random(seed)
    loop = asyncio.get_running_loop()
    data = damaged(rnd.choice(STREAMS), rnd)
    with socket.socket() as raw:
        raw.setblocking(False)
        try:
            await loop.sock_connect(raw, ("127.0.0.1", server.port))
            place = 0
            while place < len(data):
                size = rnd.choice((1, 7, 100, 5000))
                await loop.sock_sendall(raw, data[place : place + size])
                place += size
            end = rnd.randrange(3)
            if end == 0:
                raw.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(raw, 65536):
                    pass
            elif end == 1:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        except OSError:
            pass  # the server had enough of it


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_the_peers_own(run: Runner, parts: Parts, seed: int) -> None:
    async def scenario() -> None:
        few = {"connect_seconds": 1.0, "linger_seconds": 0.5}
        async with serving(**few) as server, dial(server, "tcp", "b") as bob, dial(server, "ws", "c") as cy:
            await bob.join("lobby")
            await cy.join("lobby")
            abreast = asyncio.Semaphore(ABREAST)

            async def bounded(number: int) -> None:
                async with abreast:
                    await attack(server, seed * CONNECTIONS + number)

            await asyncio.gather(*(bounded(number) for number in range(CONNECTIONS)))
            bob.send(PUBLISH, 9, "lobby", "the end")
            for peer in (bob, cy):
                offsets = []
                while (message := await peer.until(MESSAGE))[5] != "the end":
                    offsets.append(message[2])
                assert [*offsets, message[2]] == list(range(1, len(offsets) + 2))
            while server.connections > 2:  # the last of them meet their deadlines
                await asyncio.sleep(0.01)
            assert len(server.hub.sessions) == 2
            assert server.broadcaster.total == 0

    run(scenario())
