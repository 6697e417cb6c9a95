"""Which twins a server in a test is made of."""

from __future__ import annotations

import importlib
from typing import NamedTuple

import pytest

from tests.twins import twins

FRAMING = ("fastchat.protocol._framing", "fastchat.protocol._framing_py")
BROADCAST = ("fastchat._broadcast", "fastchat._broadcast_py")


class Parts(NamedTuple):
    """The compiled twins, or the pure ones."""

    name: str


def both() -> list[object]:
    """For parametrize: the compiled parts (skipped where they are not built), and the pure ones."""
    marks = [param.marks for names in (FRAMING, BROADCAST) for param in twins(*names) if param.id == "cython"]
    compiled = pytest.param(Parts("cython"), id="cython", marks=[mark for each in marks for mark in each])
    return [compiled, pytest.param(Parts("pure"), id="pure")]


def install(parts: Parts, patch: pytest.MonkeyPatch) -> None:
    """Let servers be made of these parts."""
    place = 0 if parts.name == "cython" else 1
    framing = importlib.import_module(FRAMING[place])
    broadcast = importlib.import_module(BROADCAST[place])
    patch.setattr("fastchat.transports.tcp.TcpFramer", framing.TcpFramer)
    patch.setattr("fastchat.transports.websocket.WsCutter", framing.WsCutter)
    patch.setattr("fastchat.transports.websocket.ws_frame", framing.ws_frame)
    patch.setattr("fastchat.server.Broadcaster", broadcast.Broadcaster)
