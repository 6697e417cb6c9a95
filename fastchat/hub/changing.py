"""EDIT, DELETE, REACT and MARK: what becomes of a message after it was published.

Invariant: a change takes an offset in the room's order like a message, and every member gets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.errors import Code, ProtocolError
from fastchat.protocol.messages import Delete, Edit, Mark, React

if TYPE_CHECKING:
    from fastchat.hub.session import Session


def edit(session: Session, command: Edit, now: int) -> None:
    """Answer EDIT (PROTOCOL, "Commands")."""
    raise ProtocolError(Code.UNKNOWN_OPERATION, "not yet")


def delete(session: Session, command: Delete, now: int) -> None:
    """Answer DELETE (PROTOCOL, "Commands")."""
    raise ProtocolError(Code.UNKNOWN_OPERATION, "not yet")


def react(session: Session, command: React, now: int) -> None:
    """Answer REACT (PROTOCOL, "Commands")."""
    raise ProtocolError(Code.UNKNOWN_OPERATION, "not yet")


def mark(session: Session, command: Mark, now: int) -> None:
    """Answer MARK (PROTOCOL, "Commands")."""
    raise ProtocolError(Code.UNKNOWN_OPERATION, "not yet")
