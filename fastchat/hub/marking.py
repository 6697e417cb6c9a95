"""MARK: how far a user has read a room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.errors import Code, ProtocolError
from fastchat.protocol.messages import Mark

if TYPE_CHECKING:
    from fastchat.hub.session import Session


def mark(session: Session, command: Mark, now: int) -> None:
    """Answer MARK (PROTOCOL, "Commands")."""
    raise ProtocolError(Code.UNKNOWN_OPERATION, "not yet")
