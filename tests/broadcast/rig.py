"""A broadcaster with clients whose bytes can be looked at, behind real sockets or a small transport alone."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from fastchat.broadcast import Wire
from fastchat.config import Policy

BIG = 1 << 30


def to_json(payload: bytes) -> bytes:
    """Stands for jsonwire.to_json: longer than the payload, and a text."""
    return b'"' + payload.hex().encode() + b'"'


def gap_payload(start: int, end: int, why: str) -> bytes:
    return f"GAP {start} {end} {why}".encode()


def framed(wire: int, payload: bytes) -> bytes:
    """What the payload must look like on the wire, written down once more and independently."""
    if wire == Wire.TCP:
        return len(payload).to_bytes(4, "big") + payload
    body = to_json(payload) if wire == Wire.WS_JSON else payload
    head = bytes([0x81 if wire == Wire.WS_JSON else 0x82])
    if len(body) <= 125:
        return head + bytes([len(body)]) + body
    if len(body) <= 0xFFFF:
        return head + bytes([126]) + len(body).to_bytes(2, "big") + body
    return head + bytes([127]) + len(body).to_bytes(8, "big") + body


def parsed(wire: int, data: bytes) -> list[bytes]:
    """The payloads (JSON left as it is) of whole frames; anything else is an error."""
    payloads = []
    while data:
        if wire == Wire.TCP:
            start, size = 4, int.from_bytes(data[:4], "big")
        else:
            assert data[0] == (0x81 if wire == Wire.WS_JSON else 0x82), data[:16]
            start, size = 2, data[1]
            if size >= 126:
                start = 4 if size == 126 else 10
                size = int.from_bytes(data[2:start], "big")
        assert len(data) >= start + size, "a frame was cut"
        payload = data[start : start + size]
        payloads.append(bytes.fromhex(payload[1:-1].decode()) if wire == Wire.WS_JSON else payload)
        data = data[start + size :]
    return payloads


class Transport:
    """As a transport with write_buffer_limits(high=0): pauses in `write`, and only while it holds bytes."""

    def __init__(self, sock: socket.socket | None = None) -> None:
        self.sock = sock
        self.outbox: Any = None
        self.buffer = b""
        self.blocked = False
        self.lazy = False  # sends nothing from within `write`, as if the socket had just filled
        self.taken = b""  # without a socket: what the client has got
        self.writes: list[bytes] = []
        self.events: list[Any] = []
        self.on_slow: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.buffer, "written to while paused"
        self.writes.append(data)
        self.buffer += data
        if not self.lazy:
            self._send()
        if self.buffer:
            self.outbox.pause()

    def _send(self) -> None:
        if self.blocked:
            return
        if self.sock is None:
            self.taken += self.buffer
            self.buffer = b""
            return
        while self.buffer:
            try:
                self.buffer = self.buffer[self.sock.send(self.buffer) :]
            except BlockingIOError:
                return

    def block(self) -> None:
        """The client stops reading."""
        self.blocked = True
        self.outbox.pause()

    def unblock(self) -> None:
        self.blocked = False
        self.writable()

    def writable(self) -> None:
        """The loop saw that the socket takes bytes again."""
        if self.blocked:
            return
        self._send()
        if not self.buffer and not self.outbox.closed:
            self.outbox.resume()

    def slow(self) -> None:
        self.events.append("slow")
        self.on_slow()

    def ended(self) -> None:
        self.events.append("ended")

    def failed(self, errno: int) -> None:
        self.events.append(("failed", errno))


class Client:
    """One connection: its outbox, its transport, and the far end of its socket if it has one."""

    def __init__(self, broadcaster: Any, wire: int = Wire.TCP, *, raw: bool = False, sndbuf: int = 0) -> None:
        self.wire = wire
        self.far: socket.socket | None = None
        near = None
        if raw:
            near, self.far = socket.socketpair()
            near.setblocking(False)
            self.far.setblocking(False)
            if sndbuf:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
        self.transport = Transport(near)
        self.outbox = broadcaster.outbox(self.transport, wire, near.fileno() if near else -1)
        self.transport.outbox = self.outbox
        self.got = b""

    def read(self) -> bytes:
        """Take all that has arrived; returns all that ever arrived."""
        if self.far is None:
            self.got = self.transport.taken
            return self.got
        while True:
            try:
                data = self.far.recv(1 << 16)
            except BlockingIOError:
                return self.got
            if not data:
                return self.got
            self.got += data

    def pump(self) -> bytes:
        """Read and let the transport write, until both rest."""
        before = -1
        while before != len(self.got):
            before = len(self.got)
            self.read()
            if self.transport.buffer:
                self.transport.writable()
        return self.got

    def handed(self) -> bytes:
        """All that kernel and transport have taken for this client."""
        return self.read() + self.transport.buffer

    def payloads(self) -> list[bytes]:
        return parsed(self.wire, self.pump())

    def close(self) -> None:
        self.outbox.close()
        for sock in (self.transport.sock, self.far):
            if sock is not None:
                sock.close()


class Rig:
    """One broadcaster of one twin with a clock that stands still."""

    def __init__(self, twin: Any, **limits: Any) -> None:
        self.now = 100.0
        self.wakes = 0
        settings: dict[str, Any] = {"outbox_bytes": BIG, "total_bytes": BIG, "batch_bytes": BIG} | limits
        self.core = twin.Broadcaster(wake=self._wake, to_json=to_json, clock=lambda: self.now, **settings)
        self.clients: list[Client] = []

    def _wake(self) -> None:
        self.wakes += 1

    def client(self, wire: int = Wire.TCP, *, raw: bool = False, sndbuf: int = 0) -> Client:
        client = Client(self.core, wire, raw=raw, sndbuf=sndbuf)
        self.clients.append(client)
        return client

    def room(
        self,
        *clients: Client,
        policy: Policy = Policy.DISCONNECT,
        coalesce: float = 0.0,
        radius: float = 0.0,
    ) -> Any:
        room = self.core.fanout(policy, gap_payload, coalesce, radius)
        for client in clients:
            room.add(client.outbox)
        return room

    def flush(self) -> bool:
        return bool(self.core.flush(self.now))

    def settle(self) -> None:
        """Flush and read until nothing waits."""
        for _ in range(10_000):
            self.flush()
            for client in self.clients:
                client.pump()
            due = self.core.next_due(self.now)
            self.now = due if due is not None else self.now
            if not self.core.dirty:
                return
        raise AssertionError("it never comes to rest")

    def close(self) -> None:
        for client in self.clients:
            client.close()
        while self.core.dirty:
            self.now += 1000.0
            self.core.flush(self.now)
