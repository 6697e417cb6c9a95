"""What moderators have decided about one room, or about the whole server, and how it is kept as facts.

Invariant: `Rules` change only through `take`, by facts that are kept (or by the op of a guest, which is not).
So a server that starts again and takes all facts has the rules of the one before.
"""

from __future__ import annotations

from typing import NamedTuple

from fastchat.engine.base import Fact
from fastchat.hub.addresses import network_of
from fastchat.identity.base import TOKEN_ID, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.values import load

KINDS = ("role", "ban", "mute", "room")  # of facts that are rules
USER, IDENTITY, ADDRESS = "u:", "i:", "a:"  # what the subject of a ban or mute begins with
SLOW, LOCKED, CAP = "slow", "locked", "members"  # subjects of the kind "room"


class Sanction(NamedTuple):
    """A ban or a mute."""

    until: int  # server time in ms; 0: for good
    rank: Role  # of who decided it: it binds those below
    user: str  # key of the user it was decided about, under which all that belongs to it is lifted
    by: str
    reason: str

    def binds(self, role: Role, now: int) -> bool:
        """Whether it counts for somebody of this role."""
        return role < self.rank and (not self.until or self.until > now)


class Op(NamedTuple):
    """A role that was given."""

    role: Role
    user: str  # key of the name its bearer had then
    by: str


class Rules:
    """What counts in one room."""

    __slots__ = ("bans", "mutes", "ops", "slow", "locked", "cap", "insiders", "spoken")

    def __init__(self) -> None:
        self.bans: dict[str, Sanction] = {}  # by subject: "u:" key, "i:" identity or "a:" address
        self.mutes: dict[str, Sanction] = {}
        self.ops: dict[str, Op] = {}  # by identity
        self.slow = 0  # ms between two messages of one user
        self.locked = False
        self.cap = 0  # most members; 0: as the room's options say
        self.insiders: set[str] = set()  # identities that were in the room when it was locked
        self.spoken: dict[str, int] = {}  # of slow mode: user's key, and when the last message came

    @property
    def empty(self) -> bool:
        """Whether nothing counts here."""
        return not (self.bans or self.mutes or self.ops or self.slow or self.locked or self.cap)

    def take(self, fact: Fact) -> int:
        """Let a fact count, or with an empty value count no more; returns when it ends, 0 for never."""
        kind, _, subject, value = fact
        if kind == "room":
            self._set(subject, load(value) if value else 0)
            return 0
        if kind == "role":
            if value:
                role, user, by = load(value)
                self.ops[subject] = Op(Role(role), user, by)
            else:
                self.ops.pop(subject, None)
            return 0
        sanctions = self.bans if kind == "ban" else self.mutes
        if not value:
            sanctions.pop(subject, None)
            return 0
        sanction = unpacked(value)
        sanctions[subject] = sanction
        return sanction.until

    def _set(self, subject: str, value: int) -> None:
        if subject == SLOW:
            self.slow = value * 1000
            if not value:
                self.spoken.clear()
        elif subject == LOCKED:
            self.locked = bool(value)
            if not value:
                self.insiders.clear()
        elif subject == CAP:
            self.cap = value


def packed(sanction: Sanction) -> bytes:
    """Encode the value of a fact."""
    return pack([sanction.until, int(sanction.rank), *sanction[2:]])


def unpacked(value: bytes) -> Sanction:
    """Decode the value of a fact."""
    until, rank, user, by, reason = load(value)
    return Sanction(until, Role(rank), user, by, reason)


def packed_op(op: Op) -> bytes:
    """Encode the value of a fact."""
    return pack([int(op.role), op.user, op.by])


def subjects(key: str, identity: str, address: str = "") -> list[str]:
    """List under what a ban or mute of somebody may stand."""
    found = [USER + key]
    if identity.startswith(TOKEN_ID):  # a guest's is as good as the name
        found.append(IDENTITY + identity)
    if address:
        found.append(ADDRESS + network_of(address))
    return found
