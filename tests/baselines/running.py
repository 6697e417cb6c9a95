"""Baselines in a thread of their own, and a blocking peer that speaks the wire byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack

from fastchat.baselines.streams import StreamsServer
from fastchat.baselines.threaded import ThreadedServer
from fastchat.config import Config
from tests.server.wire import CONNECT, ERROR, JOIN, RESULT, Message, tcp

KINDS = ("threaded", "streams")
PATIENCE = 20.0  # seconds for anything
TS = 1_790_000_000_000  # ms: what the server's clock always says


class Peer:
    """One connection."""

    def __init__(self, address: tuple[str, int], rcvbuf: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if rcvbuf:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.socket.connect(address)
        self._reader = self.socket.makefile("rb")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._reader.close()
        self.socket.close()

    def send(self, *message: Any) -> None:
        self.socket.sendall(tcp(*message))

    def raw(self, payload: bytes) -> None:
        """Send a payload as a frame."""
        self.socket.sendall(len(payload).to_bytes(4) + payload)

    def receive(self) -> Message:
        """The next message; EOFError where the connection ends, in the middle of a frame too."""
        payload = self._exactly(int.from_bytes(self._exactly(4)))
        message: Message = msgpack.unpackb(payload)
        return message

    def _exactly(self, size: int) -> bytes:
        try:
            data = self._reader.read(size)
        except ConnectionError:
            raise EOFError from None
        if len(data) < size:
            raise EOFError
        return data

    def ask(self, *command: Any) -> Message:
        """The result or error of a command; pushes before it are passed over."""
        self.send(*command)
        while True:
            message = self.receive()
            if message[0] in (RESULT, ERROR) and message[1] == command[1]:
                return message

    def connect(self, name: str | None = None, **opts: Any) -> dict[str, Any]:
        given = opts if name is None else {"name": name, **opts}
        op, _, body = self.ask(CONNECT, 1, 1, given)
        assert op == RESULT
        return dict(body)

    def join(self, room: str) -> dict[str, Any]:
        op, _, body = self.ask(JOIN, 2, room)
        assert op == RESULT
        return dict(body)

    def ended(self) -> bool:
        """Whether nothing more comes."""
        try:
            return self._reader.read(1) == b""
        except ConnectionError:
            return True


class Running:
    """A baseline that serves."""

    def __init__(self, kind: str, server: Any) -> None:
        self.kind = kind
        self.server = server
        server.listen()
        host, _, port = server.addresses[0].rpartition(":")
        self.address = (host, int(port))
        self.url = f"tcp://{server.addresses[0]}"
        self._thread = threading.Thread(target=server.serve, name=kind)
        self._thread.start()

    def dial(self, name: str | None = None, *rooms: str, rcvbuf: int = 0) -> Peer:
        """A connection, with CONNECT and JOINs done where they are asked for."""
        peer = Peer(self.address, rcvbuf)
        if name is not None:
            peer.connect(name)
        for room in rooms:
            peer.join(room)
        return peer

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def made(kind: str, patience: float = 0.2, **settings: Any) -> Any:
    """A baseline whose clock stands still."""
    config = Config(**{"port": 0, **settings})
    if kind == "streams":
        return StreamsServer(config, patience=patience, clock=lambda: TS * 1_000_000)
    return ThreadedServer(config, patience=patience, clock=lambda: TS * 1_000_000)


@contextmanager
def running(kind: str, **settings: Any) -> Iterator[Running]:
    """A baseline on a free port, stopped at the end."""
    one = Running(kind, made(kind, **settings))
    try:
        yield one
    finally:
        one.stop()
