"""Tiny servers that speak the peers' protocols, written from their specifications and not from the scripts.

Each relays to everybody in one room, in one order, and puts what its protocol allows to come between in front
of every delivery. Bytes go out in small pieces, so that a reader meets them cut anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PATIENCE = 10.0  # seconds for a client to say something
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Gone(Exception):
    """The client has left."""


@dataclass(eq=False)
class Wire:
    """One accepted connection."""

    socket: socket.socket
    piece: int
    held: bytes = b""
    writing: threading.Lock = field(default_factory=threading.Lock)

    def exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            data = self.socket.recv(65536)
            if not data:
                raise Gone
            self.held += data
        taken, self.held = self.held[:size], self.held[size:]
        return taken

    def until(self, end: bytes) -> bytes:
        taken = b""
        while not taken.endswith(end):
            taken += self.exactly(1)
        return taken.removesuffix(end)

    def send(self, data: bytes) -> None:
        with self.writing:
            for start in range(0, len(data), self.piece):
                self.socket.sendall(data[start : start + self.piece])


@dataclass
class Room:
    """Everybody who subscribed, and what a test wants to know afterwards."""

    between: bytes = b""  # in front of every delivery
    members: list[Wire] = field(default_factory=list)
    names: set[bytes] = field(default_factory=set)
    answers: int = 0
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def join(self, wire: Wire, answer: bytes) -> None:
        """Answer and enter at once: no delivery may come before the answer."""
        with self.lock:
            wire.send(answer)
            self.members.append(wire)

    def relay(self, frame: bytes) -> None:
        with self.lock:
            for member in self.members:
                with suppress(OSError):  # it left
                    member.send(self.between + frame)

    def answered(self) -> None:
        with self.lock:
            self.answers += 1


def nats(wire: Wire, room: Room) -> None:
    wire.send(b'INFO {"server_id":"FAKE","version":"2.9.10","max_payload":1048576}\r\n')
    subscription = b""
    while True:
        verb, *words = wire.until(b"\r\n").split(b" ")
        if verb == b"CONNECT":
            assert json.loads(b" ".join(words))["verbose"] is False
        elif verb == b"SUB":
            subject, subscription = words
            assert subject == b"room"
        elif verb == b"PING":
            assert subscription
            room.join(wire, b"PONG\r\n")
        elif verb == b"PONG":
            room.answered()
        else:
            assert verb == b"PUB" and words[0] == b"room", (verb, words)
            payload = wire.exactly(int(words[1]))
            assert wire.exactly(2) == b"\r\n"
            room.relay(b"MSG room %b %d\r\n%b\r\n" % (subscription, len(payload), payload))


def redis(wire: Wire, room: Room) -> None:
    def command() -> list[bytes]:
        head = wire.until(b"\r\n")
        assert head[:1] == b"*", head
        words = []
        for _ in range(int(head[1:])):
            size = wire.until(b"\r\n")
            assert size[:1] == b"$", size
            words.append(wire.exactly(int(size[1:])))
            assert wire.exactly(2) == b"\r\n"
        return words

    assert command() == [b"HELLO", b"3"]
    wire.send(b"%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n")
    assert command() == [b"SUBSCRIBE", b"room"]
    room.join(wire, b">3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n")
    while True:
        verb, channel, payload = command()
        assert (verb, channel) == (b"PUBLISH", b"room")
        room.relay(b">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$%d\r\n%b\r\n" % (len(payload), payload))
        wire.send(b":%d\r\n" % len(room.members))


def mqtt(wire: Wire, room: Room) -> None:
    def packet() -> tuple[int, bytes, bytes]:
        first, sizes = wire.exactly(1), b""
        while not sizes or sizes[-1] & 128:
            sizes += wire.exactly(1)
        size = sum((byte & 127) << 7 * place for place, byte in enumerate(sizes))
        body = wire.exactly(size)
        return first[0], body, first + sizes + body

    kind, body, _ = packet()
    assert kind == 0x10 and body[:10] == b"\x00\x04MQTT\x04\x02\x00\x00", body
    name = body[12:]
    assert int.from_bytes(body[10:12], "big") == len(name) and name not in room.names
    room.names.add(name)
    wire.send(b"\x20\x02\x00\x00")
    kind, body, _ = packet()
    assert (kind, body) == (0x82, b"\x00\x01\x00\x04room\x00")
    room.join(wire, b"\x90\x03\x00\x01\x00")
    while True:
        kind, body, whole = packet()
        assert kind == 0x30 and body.startswith(b"\x00\x04room")
        room.relay(whole)


def frame(first: int, body: bytes) -> bytes:
    """A frame from a WebSocket server (RFC 6455, section 5.2)."""
    size = len(body)
    if size < 126:
        return bytes((first, size)) + body
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + body
    return bytes((first, 127)) + size.to_bytes(8, "big") + body


def shake_hands(wire: Wire, path: bytes) -> bytes:
    """Read the request for that path; return the answer."""
    request, *lines = wire.until(b"\r\n\r\n").split(b"\r\n")
    assert request == b"GET %b HTTP/1.1" % path, request
    headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
    assert headers[b"upgrade"].lower() == b"websocket" and headers[b"sec-websocket-version"] == b"13"
    accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


def message(wire: Wire) -> tuple[int, bytes]:
    """Opcode and text of the next frame from the client, which has to be masked and whole."""
    first, size = wire.exactly(2)
    assert first & 0x80 and size & 0x80, "not final, or not masked"
    size &= 0x7F
    if size > 125:
        size = int.from_bytes(wire.exactly(2 if size == 126 else 8), "big")
    mask, body = wire.exactly(4), wire.exactly(size)
    return first & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(body))


def ws_relay(wire: Wire, room: Room) -> None:
    room.join(wire, shake_hands(wire, b"/"))
    while True:
        opcode, body = message(wire)
        if opcode == 10:
            room.answered()
        else:
            assert opcode == 2, opcode
            room.relay(frame(0x82, body))


def socketio(wire: Wire, room: Room) -> None:
    wire.send(shake_hands(wire, b"/socket.io/?EIO=4&transport=websocket"))
    wire.send(frame(0x81, b'0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'))
    assert message(wire) == (1, b"40")
    room.join(wire, frame(0x81, b'40{"sid":"b"}'))
    while True:
        opcode, body = message(wire)
        assert opcode == 1, opcode
        if body == b"3":
            room.answered()
        else:
            name, text = json.loads(body.removeprefix(b"42"))
            assert name == "m"
            room.relay(frame(0x81, b'42["m","%b"]' % text.encode()))


SPEAKS: dict[str, Callable[[Wire, Room], None]] = {
    "ws-relay": ws_relay, "nats": nats, "redis": redis, "mqtt": mqtt, "socketio": socketio,
}  # fmt: skip


@contextmanager
def serving(dialect: str, between: bytes = b"", piece: int = 1 << 20) -> Iterator[tuple[int, Room]]:
    """The port and the room of a fake server; it writes `piece` bytes at a time."""
    room = Room(between)
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def serve(wire: Wire) -> None:
        try:
            SPEAKS[dialect](wire, room)
        except (Gone, OSError):
            pass
        except Exception as error:  # told to the test: an assertion in a thread would be lost
            room.refused.append(f"{type(error).__name__}: {error}")
            with suppress(OSError):
                wire.socket.shutdown(socket.SHUT_RDWR)

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.settimeout(PATIENCE)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.append(client)
            threads.append(threading.Thread(target=serve, args=(Wire(client, piece),), daemon=True))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        acceptor = threading.Thread(target=accept, args=(listener,), daemon=True)
        acceptor.start()
        try:
            yield listener.getsockname()[1], room
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            acceptor.join(PATIENCE)
            for client in sockets:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(PATIENCE)
            for client in sockets:
                client.close()
    assert room.refused == []
