"""Somebody who sends far more than they may, as a process of its own.

    python -m benchmarks.flooder PORT RATE SECONDS

It says "ready" when it is in its room, floods for SECONDS once it gets a line, and reports as JSON what was
tried, sent, refused and relayed: of what it tries the kernel takes less where the server reads from it later.
A witness in the same room counts what passes. A rate of 0 only waits.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections import Counter
from typing import Any

from fastchat.hub.limiting import SILENT_TEXT
from fastchat.protocol.codec import encode_command, pack
from fastchat.protocol.framing import TcpFramer, tcp_frame
from fastchat.protocol.messages import Command, Connect, Op, Publish

ROOM = "flood"
TURN = 0.01  # seconds between two lots
CHUNK = 1 << 16  # bytes of one recv
MIB = 1 << 20
PATIENCE = 10.0  # seconds for an answer
SILENT = SILENT_TEXT.encode()


class Line:
    """One connection that never blocks."""

    def __init__(self, port: int, name: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.open = True
        self._framer = TcpFramer()
        self._rest = b""
        self.say(Connect(1, name=name, rooms={ROOM: None}))
        while not self.hear():
            select.select([self.sock], [], [], PATIENCE)
        self.sock.setblocking(False)

    def say(self, command: Command) -> None:
        self.sock.sendall(tcp_frame(encode_command(command)))

    def pour(self, frames: bytes) -> int:
        """Send as much of it as the kernel takes; returns how many bytes, none while the last lot waits."""
        waiting = self._rest or frames
        try:
            sent = self.sock.send(waiting)
        except BlockingIOError:
            return 0
        except OSError:
            self.open = False
            return 0
        self._rest = waiting[sent:]
        return sent

    def hear(self) -> list[bytes]:
        """What has come, as payloads."""
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.open = False
            return []
        self._framer.feed(data)
        return self._framer.cut(MIB, CHUNK)


def flood(port: int, rate: int, seconds: float) -> dict[str, Any]:
    eve, witness = Line(port, "flooder"), Line(port, "witness")
    lot = [Publish(number + 1, ROOM, pack("x" * 20)) for number in range(max(1, round(rate * TURN)))]
    frames = b"".join(tcp_frame(encode_command(one)) for one in lot)
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.monotonic()
    turn = tried = sent = relayed = 0
    heard: Counter[int] = Counter()
    muted = cut = last = 0.0
    while (now := time.monotonic() - begun) < seconds:
        if now < turn * TURN:
            select.select([eve.sock] if eve.open else [], [], [], turn * TURN - now)
        else:
            turn = int(now / TURN) + 1  # what the kernel did not take in time is not made up for
            if rate and eve.open:
                tried += len(lot)
                sent += eve.pour(frames)
        came = eve.hear() if eve.open else []
        heard.update(payload[1] for payload in came)
        if not muted and any(SILENT in payload for payload in came):
            muted = time.monotonic() - begun
        if not cut and heard[Op.BYE]:
            cut = time.monotonic() - begun
        if passed := sum(payload[1] == Op.MESSAGE for payload in witness.hear()):
            relayed += passed
            last = time.monotonic() - begun
    return {
        "offered": round(len(lot) / TURN) if rate else 0,
        "seconds": round(seconds, 3),
        "tried": tried,
        "sent": round(sent * len(lot) / len(frames)),
        "refused": heard[Op.ERROR],
        "relayed": relayed,
        "relayed_until": round(last, 3),
        "muted_after": round(muted, 3),
        "cut_after": round(cut, 3),
    }


if __name__ == "__main__":
    os.nice(19)  # the generator measures on this core
    print(json.dumps(flood(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))), flush=True)
