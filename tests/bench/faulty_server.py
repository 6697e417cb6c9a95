"""A server that is right but for what a test asks it to do wrong, over TCP or WebSocket.

What is wrong in a delivery befalls one member only, by its name: whoever joins first.
"""

from __future__ import annotations

import asyncio
import threading
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from queue import Queue
from typing import Any

import msgpack

FAULTY_MEMBER = "u3"  # not the publisher
FAULTY_OFFSET = 20
ROUNDS = 10  # of the loop, enough for whatever a connection has to go through
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

Message = list[Any]  # [66, room, offset, ts, user, data, opts]
CLOSE: Message = []  # instead of a message: the connection is closed


@dataclass(slots=True)
class Behaviour:
    """What the server does; by default all of it right."""

    deliver: Callable[[Message], list[Message]] = lambda message: [message]  # to the faulty member, once
    acknowledge: Callable[[int], list[int]] = lambda offset: [offset]  # the offsets told for one
    refuse: Callable[[int], int] = lambda count: 0  # a code instead of serving the nth publish
    admit: Callable[[str], int] = lambda user: 0  # a code of BYE instead of a CONNECT's result
    offset: int = 0  # of every room before the load
    everywhere: bool = False  # `deliver` is for every message to the faulty member
    delay: Callable[[int], float] = lambda offset: 0.0  # seconds before a message goes out
    rooms: dict[str, list[Peer]] = field(default_factory=lambda: defaultdict(list))
    offsets: dict[str, int] = field(default_factory=dict)
    publishes: int = 0


class Peer(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, behaviour: Behaviour, peers: list[Peer]) -> None:
        self.behaviour = behaviour
        self.peers = peers
        self.data = b""
        self.user = ""
        self.ws = self.upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peers.append(self)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.ws = self.ws or self.data.startswith(b"GET ")
        if self.ws and not self.upgraded:
            self.upgrade()
        while (command := self.cut()) is not None:
            self.obey(*msgpack.unpackb(command))

    def upgrade(self) -> None:
        head, end, rest = self.data.partition(b"\r\n\r\n")
        if not end:
            return
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = b64encode(sha1(key + GUID).digest())
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self.data, self.upgraded = rest, True

    def cut(self) -> bytes | None:
        data = self.data
        if self.ws and (not self.upgraded or len(data) < 6):
            return None
        if not self.ws:
            size, head = int.from_bytes(data[:4], "big"), 4
        elif data[1] & 0x7F == 126:
            size, head = int.from_bytes(data[2:4], "big"), 8
        else:
            size, head = data[1] & 0x7F, 6
        if len(data) < max(head, 4) + size:
            return None
        body, self.data = data[head : head + size], data[head + size :]
        if not self.ws:
            return body
        key = data[head - 4 : head]
        return bytes(byte ^ key[i % 4] for i, byte in enumerate(body))

    def say(self, message: Message) -> None:
        if self.transport.is_closing():
            return
        if message is CLOSE:
            self.transport.close()
            return
        body = msgpack.packb(message)
        size = len(body)
        if not self.ws:
            head = size.to_bytes(4, "big")
        elif size < 126:
            head = bytes((0x82, size))
        else:
            head = b"\x82\x7e" + size.to_bytes(2, "big")
        self.transport.write(head + body)

    def obey(self, op: int, id: int, *rest: Any) -> None:
        if op == 1:
            self.connect(id, rest[1]["name"])
        elif op == 2:
            self.behaviour.rooms[rest[0]].append(self)
            offset = self.behaviour.offsets.setdefault(rest[0], self.behaviour.offset)
            self.say([64, id, {"epoch": "e", "offset": offset, "messages": []}])
        elif op == 4:
            self.publish(id, *rest[:2])
        elif op == 16:
            self.say([64, id, {"time": 1}])

    def connect(self, id: int, user: str) -> None:
        self.user = user
        if code := self.behaviour.admit(user):
            self.say([74, code, "go away", {"reconnect": True}])
            self.transport.close()
            return
        self.say([64, id, {"version": 1, "user": user}])
        self.say([72, 1])  # a PING, to be answered at some time

    def publish(self, id: int, room: str, data: Any) -> None:
        behaviour = self.behaviour
        behaviour.publishes += 1
        if code := behaviour.refuse(behaviour.publishes):
            self.say([65, id, code, "not now", {"retry_ms": 100}])
            return
        behaviour.offsets[room] += 1
        offset = behaviour.offsets[room]
        time.sleep(behaviour.delay(offset))
        message: Message = [66, room, offset, int(time.time() * 1000), self.user, data, {}]
        for member in behaviour.rooms[room]:
            faulty = member.user == FAULTY_MEMBER
            faulty = faulty and (behaviour.everywhere or offset == behaviour.offset + FAULTY_OFFSET)
            for one in behaviour.deliver(message) if faulty else [message]:
                member.say(one)
        for acknowledged in behaviour.acknowledge(offset):
            self.say([64, id, {"offset": acknowledged, "ts": 1}])


async def _serve(ports: Queue[int], stop: asyncio.Event, behaviour: Behaviour) -> None:
    peers: list[Peer] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(behaviour, peers), "127.0.0.1", 0, backlog=1024)
    ports.put(server.sockets[0].getsockname()[1])
    await stop.wait()
    for _ in range(ROUNDS):  # those that are just being accepted
        await asyncio.sleep(0)
    server.close()
    for peer in peers:
        peer.transport.abort()
    for _ in range(ROUNDS):  # their connection_lost
        await asyncio.sleep(0)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[int]:
    """The port of such a server, on a loop in a thread of its own."""
    ports: Queue[int] = Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(_serve(ports, stop, behaviour),))
    thread.start()
    try:
        yield ports.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
