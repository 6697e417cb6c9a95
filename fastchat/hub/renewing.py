"""REFRESH: another token before the one in use expires, and BYE 201 when it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.errors import Code, ProtocolError
from fastchat.protocol.messages import Refresh

if TYPE_CHECKING:
    from fastchat.hub.session import Session


def refresh(session: Session, command: Refresh, now: int) -> None:
    """Answer REFRESH (PROTOCOL, "Commands")."""
    raise ProtocolError(Code.UNKNOWN_OPERATION, "not yet")
