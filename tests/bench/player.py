"""One client of a `Script` over a plain socket: the second reading of what the swarm does in C."""

from __future__ import annotations

import socket
from types import TracebackType

from fastchat.bench.dialects import CLIENT, MOST_OPENING, Interlude, Script, header, masked

PATIENCE = 10.0  # seconds for anything a server has to say


class Player:
    """A member of the room; raises AssertionError for whatever the script does not provide for."""

    def __init__(self, script: Script, port: int, number: int) -> None:
        self.script = script
        self.number = number
        self.held = b""
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Player:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.socket.close()

    def more(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"closed after {self.held!r}"
        self.held += data

    def open(self) -> None:
        for step in self.script.opening:
            if step.say:
                self.socket.sendall(step.say.replace(CLIENT, b"%08d" % self.number))
            while step.until not in self.held:
                assert len(self.held) <= MOST_OPENING, self.held
                self.more()
            end = self.held.index(step.until) + len(step.until)
            passed, self.held = self.held[:end], self.held[end:]
            assert step.holds in passed, passed

    def publish(self, payload: bytes) -> None:
        message = self.script.publish.before + payload + self.script.publish.after
        if self.script.websocket:
            message = masked(self.script.opcode, message)
        self.socket.sendall(message)

    def receive(self, size: int) -> bytes:
        """The payload of the next delivery; interludes before it are passed over and answered."""
        before, after = self.script.delivery
        whole = len(before) + size + len(after)
        while True:
            if self.held.startswith(before):
                while len(self.held) < whole:
                    self.more()
                frame, self.held = self.held[:whole], self.held[whole:]
                assert frame.endswith(after), frame
                return frame[len(before) : len(before) + size]
            if not self.pass_over():
                self.more()

    def pass_over(self) -> bool:
        """Take one interlude off what is held; False if more has to come first."""
        for one in self.interludes():
            if self.held.startswith(one.head) and one.tail in self.held:
                end = len(one.head) if not one.tail else self.held.index(one.tail) + len(one.tail)
                passed, self.held = self.held[:end], self.held[end:]
                assert not one.wrong, passed
                if one.answer:
                    self.socket.sendall(one.answer)
                return True
        heads = [self.script.delivery.before, *(one.head for one in self.interludes())]
        possible = any(head.startswith(self.held) or self.held.startswith(head) for head in heads)
        assert possible, f"nothing in the script begins like {self.held[:100]!r}"
        return False

    def interludes(self) -> tuple[Interlude, ...]:
        if not self.script.websocket:
            return self.script.interludes
        ping, pong = header(9, 0), header(10, 0)
        return (*self.script.interludes, Interlude(ping, answer=masked(10, b"")), Interlude(pong))
