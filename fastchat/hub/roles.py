"""Who is what in a room: the role a user has there, from the token and from what owners gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from fastchat.identity.base import Identity, Role
from fastchat.identity.patterns import matches

if TYPE_CHECKING:
    from fastchat.hub.hub import Hub
    from fastchat.hub.session import Session

class Grant(NamedTuple):
    """What a join token gave in a room, which itself stays open."""

    role: Role  # until the token has expired
    expires: int  # server time, ms
    once: str = ""  # the `jti` of a token for single use, which counts once for the session that has it


EVERYWHERE = ""  # stands for all rooms where the name of a room is expected


def role_of(session: Session, room: str) -> Role:
    """Return the highest role that the session has in this room, or with "" on the whole server."""
    identity = session.identity
    role = proved(session, room)
    for rules in (session.hub.moderation.of(room), session.hub.moderation.of(EVERYWHERE)):
        op = None if rules is None else rules.ops.get(identity.id)
        if op is not None and op.role > role:
            role = op.role
    return role


def proved(session: Session, room: str) -> Role:
    """Return the role that the session's own token, or a join token that has not expired, gives it."""
    role = role_in(session.identity, room)
    grant = None if session.grants is None else session.grants.get(room)
    return role if grant is None or grant.expires <= session.hub.now else max(role, grant.role)


def without_roles(grants: Mapping[str, Grant] | None) -> Mapping[str, Grant] | None:
    """Return what join tokens opened, without the roles they gave: another token says what counts now."""
    return None if grants is None else dict.fromkeys(grants, Grant(Role.GUEST, 0))


def role_of_key(hub: Hub, key: str, room: str) -> Role:
    """Return the highest role of a user; of one who is not here only what owners gave counts."""
    user = hub.users.get(key)
    if user is not None:
        return max(role_of(session, room) for session in user.sessions)
    found = [
        op.role
        for rules in (hub.moderation.of(room), hub.moderation.of(EVERYWHERE))
        if rules is not None
        for op in rules.ops.values()
        if op.user == key
    ]
    return max(found, default=Role.GUEST)


def role_in(identity: Identity, room: str) -> Role:
    """Return the role that an identity has in a room: the highest of the patterns that stand for it."""
    if not identity.roles:
        return identity.role
    found = (role for pattern, role in identity.roles.items() if matches(pattern, room))
    return max(found, default=identity.role)
