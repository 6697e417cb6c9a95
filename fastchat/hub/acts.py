"""What each action of MODERATE needs and does: the table of acts.

An act plans first: it checks its arguments and says which facts are to be kept. Once they are, it is carried
out: sessions leave rooms, locks let in who is inside.

Invariant: who may do what is said by `ACTS` and by nothing else; planning changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub.addresses import network_of
from fastchat.hub.formers import noted
from fastchat.hub.removing import expel, expel_others
from fastchat.hub.roles import proved
from fastchat.hub.sanctions import (
    ADDRESS,
    CAP,
    LOCKED,
    SLOW,
    USER,
    Op,
    Rules,
    Sanction,
    packed,
    packed_op,
    subjects,
)
from fastchat.hub.users import User
from fastchat.identity.base import TOKEN_ID, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Moderate

if TYPE_CHECKING:
    from fastchat.hub.hub import Hub
    from fastchat.hub.session import Session

MAX_SECONDS = 10 * 365 * 86_400  # s of a ban or mute; longer is for good
MAX_SLOW = 6 * 3600  # s between two messages of one user
MAX_CAP = 1_000_000  # members
MAX_SANCTIONS = 1000  # bans, and mutes, of a room
MAX_SANCTIONS_EVERYWHERE = 10_000  # ... and of the whole server
MAX_OPS = 1000  # roles given in a room


@dataclass(slots=True)
class Deed:
    """One MODERATE that may be done."""

    hub: Hub
    session: Session
    command: Moderate
    role: Role  # of who does it
    user: str  # the name of whom it is about, "" where it is about the room
    key: str
    now: int
    facts: Sequence[Fact] = ()  # as planned

    @property
    def room(self) -> str:
        """Where it counts, "" for everywhere."""
        return self.command.room

    @property
    def rules(self) -> Rules | None:
        """What counts there already."""
        return self.hub.moderation.of(self.command.room)

    @property
    def target(self) -> User | None:
        """Whom it is about, if they are here."""
        return self.hub.users.get(self.key)

    def sanctions(self, kind: str) -> Mapping[str, Sanction]:
        """The bans or mutes that are known there, by subject."""
        rules = self.rules
        if rules is None:
            return {}
        return rules.bans if kind == "ban" else rules.mutes

    def until(self) -> int:
        """When it ends, 0 for never."""
        seconds = self.command.seconds
        if seconds > MAX_SECONDS:
            raise _bad("seconds", f"at most {MAX_SECONDS:,}; 0 is for good")
        return self.now + seconds * 1000 if seconds else 0


class Act(NamedTuple):
    """One row of the table."""

    right: Role  # the least role that may
    plan: Callable[[Deed], Sequence[Fact]]
    carry: Callable[[Deed], None]
    about_user: bool = True
    everywhere: bool = True  # whether it can be done on the whole server
    themselves: bool = False  # whether somebody may do it to themselves, whatever their role


def _bad(field: str, text: str) -> ProtocolError:
    return ProtocolError(Code.BAD_ARGUMENT, f"{field}: {text}", field=field)


def _nothing(deed: Deed) -> Sequence[Fact]:
    return ()


def _done(deed: Deed) -> None:
    """Need to do no more than to keep the facts."""


def _plan_ban(deed: Deed) -> Sequence[Fact]:
    return _sanction(deed, "ban", _networks(deed) if deed.command.address else [])


def _plan_mute(deed: Deed) -> Sequence[Fact]:
    return _sanction(deed, "mute", [])


def _sanction(deed: Deed, kind: str, networks: list[str]) -> Sequence[Fact]:
    command, target, owner = deed.command, deed.target, deed.hub.owners.owner(deed.key)
    value = Sanction(deed.until(), deed.role, deed.key, deed.session.user.name, command.reason or "")
    identity = target.id if target is not None else TOKEN_ID + owner if owner else ""
    under = [*subjects(deed.key, identity), *(ADDRESS + one for one in networks)]
    known = deed.sanctions(kind)
    for subject in under:
        _not_above(deed, known.get(subject))
    most = MAX_SANCTIONS if deed.room else MAX_SANCTIONS_EVERYWHERE
    if len(known) + sum(one not in known for one in under) > most:
        text = f"there are {most:,} of them already: lift some, or let them end with seconds"
        raise ProtocolError(Code.BAD_ARGUMENT, text, field="action")
    return [Fact(kind, deed.room, one, packed(value)) for one in under]


def _networks(deed: Deed) -> list[str]:
    """List the addresses the user is here from, as they are banned."""
    target = deed.target
    if target is None:
        raise _bad("address", "the user is not here, so their address is not known")
    peers = [one.peer for one in target.sessions if one.peer.address and not one.peer.reserved]
    found = sorted({network_of(peer.address) for peer in peers})
    if not found:
        raise _bad("address", "it cannot be banned")
    if network_of(deed.session.peer.address) in found:
        raise _bad("address", "it is yours as well")
    return found


def _carry_ban(deed: Deed) -> None:
    expel(deed.hub, deed.key, deed.room, Code.BANNED, deed.now)
    others = [fact.subject for fact in deed.facts if not fact.subject.startswith(USER)]
    if others:
        expel_others(deed.hub, others, deed.room, deed.role, deed.now)


def _carry_mute(deed: Deed) -> None:
    if deed.target is not None:
        noted(deed.target)


def _carry_kick(deed: Deed) -> None:
    rules = deed.rules
    if rules is not None and deed.target is not None:
        rules.insiders.discard(deed.target.id)
    expel(deed.hub, deed.key, deed.room, Code.KICKED, deed.now)


def _plan_kick(deed: Deed) -> Sequence[Fact]:
    target = deed.target
    if target is None or not (deed.room == "" or any(deed.room in one.rooms for one in target.sessions)):
        raise _bad("user", "they are not here")
    return ()


def _plan_unban(deed: Deed) -> Sequence[Fact]:
    return _lift(deed, "ban")


def _plan_unmute(deed: Deed) -> Sequence[Fact]:
    return _lift(deed, "mute")


def _lift(deed: Deed, kind: str) -> Sequence[Fact]:
    known = deed.sanctions(kind)
    found = [Fact(kind, deed.room, subject, b"") for subject, one in known.items() if one.user == deed.key]
    if not found:
        raise _bad("user", f"there is no {kind} of them here")
    for fact in found:
        _not_above(deed, known[fact.subject])
    return found


def _not_above(deed: Deed, known: Sanction | None) -> None:
    """Raise ProtocolError FORBIDDEN where somebody of a higher role has decided otherwise, and it counts."""
    if known is not None and known.binds(deed.role, deed.now):
        raise ProtocolError(Code.FORBIDDEN, "somebody of a higher role has decided that", field="user")


def _plan_op(deed: Deed) -> Sequence[Fact]:
    target, rules = deed.target, deed.rules
    if target is None:
        raise _bad("user", "they are not here")
    if rules is not None and target.id not in rules.ops and len(rules.ops) >= MAX_OPS:
        raise ProtocolError(Code.BAD_ARGUMENT, f"there are {MAX_OPS:,} moderators already", field="action")
    value = packed_op(Op(Role.MODERATOR, deed.key, deed.session.user.name))
    return [Fact("role", deed.room, target.id, value)]


def _plan_deop(deed: Deed) -> Sequence[Fact]:
    target, rules = deed.target, deed.rules
    ops = {} if rules is None else rules.ops
    found = [
        Fact("role", deed.room, identity, b"")
        for identity, op in ops.items()
        if op.user == deed.key or (target is not None and identity == target.id)
    ]
    if not found and target is not None:
        if any(proved(one, deed.room) >= Role.MODERATOR for one in target.sessions):
            raise ProtocolError(Code.FORBIDDEN, "their role is from their token", field="user")
    if not found:
        raise _bad("user", "no role was given to them here")
    return found


def _setting(subject: str, value: int, deed: Deed) -> Sequence[Fact]:
    return [Fact("room", deed.room, subject, pack(value) if value else b"")]


def _plan_slow(deed: Deed) -> Sequence[Fact]:
    if deed.command.seconds > MAX_SLOW:
        raise _bad("seconds", f"at most {MAX_SLOW:,} between two messages")
    return _setting(SLOW, deed.command.seconds, deed)


def _plan_lock(deed: Deed) -> Sequence[Fact]:
    return _setting(LOCKED, 1, deed)


def _plan_unlock(deed: Deed) -> Sequence[Fact]:
    return _setting(LOCKED, 0, deed)


def _plan_cap(deed: Deed) -> Sequence[Fact]:
    if deed.command.members > MAX_CAP:
        raise _bad("members", f"at most {MAX_CAP:,}; 0 is for no cap")
    return _setting(CAP, deed.command.members, deed)


def _carry_lock(deed: Deed) -> None:
    room, rules = deed.hub.rooms.get(deed.room), deed.rules
    if room is not None and rules is not None:
        rules.insiders = {member.user.id for member in room.presence.members.values()}
        rules.insiders.update(session.identity.id for session in room.hidden or ())


ACTS: Mapping[str, Act] = {
    "kick": Act(Role.MODERATOR, _plan_kick, _carry_kick),
    "ban": Act(Role.MODERATOR, _plan_ban, _carry_ban),
    "unban": Act(Role.MODERATOR, _plan_unban, _done),
    "mute": Act(Role.MODERATOR, _plan_mute, _carry_mute),
    "unmute": Act(Role.MODERATOR, _plan_unmute, _done),
    "slow": Act(Role.MODERATOR, _plan_slow, _done, about_user=False, everywhere=False),
    "lock": Act(Role.MODERATOR, _plan_lock, _carry_lock, about_user=False, everywhere=False),
    "unlock": Act(Role.MODERATOR, _plan_unlock, _done, about_user=False, everywhere=False),
    "cap": Act(Role.MODERATOR, _plan_cap, _done, about_user=False, everywhere=False),
    "op": Act(Role.OWNER, _plan_op, _done),
    "deop": Act(Role.OWNER, _plan_deop, _done, themselves=True),
}
