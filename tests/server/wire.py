"""Small clients that speak the wire byte by byte, right or wrong; they share no code with the server."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack

from fastchat.config import Config
from fastchat.server import Server

CONNECT, JOIN, LEAVE, PUBLISH, HISTORY, PING, PONG = 1, 2, 3, 4, 6, 16, 17
RESULT, ERROR, MESSAGE, PING_PUSH, BYE = 64, 65, 66, 72, 74
TEXT, BINARY, CLOSE, WS_PING, WS_PONG = 1, 2, 8, 9, 10
KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="
MASK = b"\x12\x34\x56\x78"

Message = list[Any]


def pack(*message: Any) -> bytes:
    return bytes(msgpack.packb(list(message)))


def tcp(*message: Any) -> bytes:
    """A message as a TCP frame."""
    payload = pack(*message)
    return len(payload).to_bytes(4) + payload


def client_frame(opcode: int, payload: bytes = b"", first: int = 0x80) -> bytes:
    """A masked WebSocket frame; `first` holds FIN and the reserved bits."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2)
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8)
    masked = bytes(byte ^ MASK[place % 4] for place, byte in enumerate(payload))
    return bytes([first | opcode]) + length + MASK + masked


def ws(*message: Any) -> bytes:
    """A message as a binary WebSocket frame."""
    return client_frame(BINARY, pack(*message))


def ws_json(*message: Any) -> bytes:
    """A message as a text WebSocket frame."""
    return client_frame(TEXT, json.dumps(message).encode())


def upgrade(subprotocol: str = "", path: str = "/ws", host: str = "chat", extra: str = "") -> bytes:
    """A WebSocket handshake."""
    offer = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}{extra}\r\n"
    ).encode()


class Peer:
    """One connection, whatever it speaks."""

    frame = staticmethod(tcp)

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, *message: Any) -> None:
        self.writer.write(self.frame(*message))

    async def receive(self) -> Message:
        """The next message; raises IncompleteReadError where the connection ends."""
        size = int.from_bytes(await self.reader.readexactly(4))
        message: Message = msgpack.unpackb(await self.reader.readexactly(size))
        return message

    async def until(self, op: int) -> Message:
        """The next message with that operation; what comes before it is passed over."""
        while True:
            message = await self.receive()
            if message[0] == op:
                return message

    async def connect(self, name: str, **opts: Any) -> Message:
        self.send(CONNECT, 1, 1, {"name": name, **opts})
        return await self.until(RESULT)

    async def join(self, room: str) -> Message:
        self.send(JOIN, 2, room, {})
        return await self.until(RESULT)

    async def rest(self) -> bytes:
        """What comes until the other side closes; b"" too where it resets the connection."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


class WsPeer(Peer):
    """A WebSocket with the subprotocol fastchat.v1.msgpack."""

    frame = staticmethod(ws)
    subprotocol = "fastchat.v1.msgpack"

    async def shake(self) -> bytes:
        self.write(upgrade(self.subprotocol))
        answer = await self.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        return answer

    async def receive_frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload; it must be final and unmasked."""
        first, second = await self.reader.readexactly(2)
        assert first & 0xF0 == 0x80 and second < 0x80
        size = second
        if second > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def receive(self) -> Message:
        opcode, payload = await self.receive_frame()
        assert opcode == BINARY, (opcode, payload)
        message: Message = msgpack.unpackb(payload)
        return message

    async def close_code(self) -> int:
        """The code of the Close that comes next, after which nothing may come."""
        opcode, payload = await self.receive_frame()
        assert opcode == CLOSE, (opcode, payload)
        assert await self.rest() == b""
        return int.from_bytes(payload[:2])


class JsonPeer(WsPeer):
    """A WebSocket with the subprotocol fastchat.v1.json."""

    frame = staticmethod(ws_json)
    subprotocol = "fastchat.v1.json"

    async def receive(self) -> Message:
        opcode, payload = await self.receive_frame()
        assert opcode == TEXT, (opcode, payload)
        message: Message = json.loads(payload)
        return message


WIRES: dict[str, type[Peer]] = {"tcp": Peer, "ws": WsPeer, "json": JsonPeer}


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Server]:
    """A server on a free port, stopped at the end; without rate limits unless they are asked for."""
    server = Server(Config(**{"port": 0, "rate_limits": False, **settings}))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def dial(
    server: Server, wire: str = "tcp", name: str = "", *, unix: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Any]:
    """A connection to the server, with CONNECT done where a name is given."""
    if unix:
        reader, writer = await asyncio.open_unix_connection(unix)
    else:
        host = None if tls is None else "localhost"
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=tls, server_hostname=host
        )
    peer = WIRES[wire](reader, writer)
    try:
        if isinstance(peer, WsPeer):
            await peer.shake()
        if name:
            await peer.connect(name)
        yield peer
    finally:
        await peer.close()


async def http(server: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send a request and read until the server closes: status, headers in lower case, body."""
    async with dial(server) as peer:
        peer.write(request)
        head, _, body = (await peer.rest()).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in headers.items()}, body


def get(path: str, extra: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n{extra}\r\n".encode()
