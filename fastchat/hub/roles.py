"""Who is what in a room: the role a user has there, from the token and from what moderators gave."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from fastchat.identity.base import Role

if TYPE_CHECKING:
    from fastchat.hub.session import Session


def role_of(session: Session, room: str) -> Role:
    """Return the highest role that the session's identity has in this room."""
    identity = session.identity
    given = (role for pattern, role in identity.roles.items() if fnmatchcase(room, pattern))
    return max(given, default=identity.role)
