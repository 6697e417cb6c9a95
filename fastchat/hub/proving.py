"""Who a connection shows to be: what its token says, or that it is a guest who may come in.

Invariant: nothing is believed but what a token says that was verified now; a token for single use counts for
one session, and for those that take it over.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from fastchat.config import Guests
from fastchat.errors import Code, ProtocolError
from fastchat.hub.limits import MAX_GRANTS
from fastchat.hub.roles import Grant, role_in
from fastchat.identity.base import GUEST, Identity
from fastchat.identity.patterns import among
from fastchat.protocol.names import fold, user_name

if TYPE_CHECKING:
    from fastchat.hub.session import Peer, Session


def prove(session: Session, token: str | None, now: int) -> Identity:
    """Return who CONNECT shows, for a guest `GUEST`; raises ProtocolError with a code of 2xx."""
    if token is not None:
        return verify(session, token, now)
    guests = session.hub.config.guests
    if guests is Guests.ANYONE or (guests is Guests.LOCAL and _local(session.peer)):
        return GUEST
    where = " from other machines" if guests is Guests.LOCAL else ""
    raise ProtocolError(Code.FORBIDDEN, f"guests may not come in{where}: a token is needed", field="token")


def _local(peer: Peer) -> bool:
    """Tell whether somebody connects from this machine; over a Unix socket there is no address."""
    return not peer.address or ipaddress.ip_address(peer.address.partition("%")[0]).is_loopback


def verify(session: Session, token: str, now: int) -> Identity:
    """Return who a token shows; raises ProtocolError TOKEN_EXPIRED or TOKEN_INVALID."""
    verifier = session.hub.verifier
    if verifier is None:
        raise ProtocolError(Code.TOKEN_INVALID, "this server takes no tokens", field="token")
    return verifier.verify(token, now)


def token_name(identity: Identity) -> str:
    """Return the name that a token gives: the claim `name`, or else its `sub`."""
    if identity.name:
        return identity.name
    try:
        return user_name(identity.sub)
    except ProtocolError:
        text = "the token needs a name: its sub is none that is allowed"
        raise ProtocolError(Code.TOKEN_INVALID, text, field="token") from None


def same(before: Identity, identity: Identity) -> bool:
    """Tell whether who was `before` may go on as `identity`: a guest may as anybody, with the secret."""
    return before.id == identity.id or before.guest


def grant(session: Session, room: str, token: str, now: int) -> Identity:
    """Let a join token open a room to the session, and give it its role there until the token expires.

    The token must be of the same `sub`; or the session is a guest's, and the token names nobody else. Returns
    what is to be taken as used, `GUEST` where that is nothing. Raises ProtocolError.
    """
    given, mine = verify(session, token, now), session.identity
    foreign = given.id != mine.id
    if mine.guest:
        foreign = given.name != "" and fold(given.name) != session.user.key
    if foreign:
        raise ProtocolError(Code.TOKEN_INVALID, "the token is somebody else's", field="token")
    if not opens(session, given, room):
        raise ProtocolError(Code.FORBIDDEN, "the token is not for this room", field="token")
    grants = session.grants or {}
    held = grants.get(room)
    if len(grants) >= MAX_GRANTS and held is None:
        raise ProtocolError(Code.TOO_MANY_ROOMS, "too many rooms were opened by tokens")
    new = Grant(role_in(given, room), given.expires, given.once)
    session.grants = {**grants, room: new if held is None or held.expires <= now else max(new, held)}
    return GUEST if held is not None and held.once == given.once else given


def check_allowed(session: Session, room: str) -> None:
    """Raise ProtocolError FORBIDDEN where the session may not enter the room."""
    if not allowed(session, room):
        raise ProtocolError(Code.FORBIDDEN, "your token does not open this room")


def allowed(session: Session, room: str) -> bool:
    """Tell whether the session may enter the room, by its own token or by a join token."""
    return opens(session, session.identity, room) or room in (session.grants or ())


def opens(session: Session, identity: Identity, room: str) -> bool:
    """Tell whether an identity may enter the room.

    A token that names no rooms opens all that are not closed, as being a guest does.
    """
    if identity.rooms is None:
        return not session.hub.config.room(room).closed
    return among(identity.rooms, room)
