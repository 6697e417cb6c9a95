"""MODERATE: who may do what to whom in a room, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.errors import Code, ProtocolError
from fastchat.protocol.messages import Moderate

if TYPE_CHECKING:
    from fastchat.hub.session import Session


def moderate(session: Session, command: Moderate, now: int) -> None:
    """Answer MODERATE (PROTOCOL, "Commands")."""
    raise ProtocolError(Code.UNKNOWN_OPERATION, "not yet")
