"""What is known of who a connection is, whatever proved it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Role(IntEnum):
    """What somebody is in a room; each may do what those below may."""

    GUEST = 0  # no token
    MEMBER = 1  # a token
    MODERATOR = 2
    OWNER = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a connection has shown to be.

    `id` tells people apart where names do not: "t:" and the token's `sub`, or "g:" and a random number that a
    guest keeps across `resume`.
    """

    id: str
    role: Role = Role.GUEST  # in rooms that `roles` does not name
    roles: Mapping[str, Role] = field(default_factory=dict)  # by pattern of a room's name ("team:*")
    rooms: tuple[str, ...] | None = None  # patterns of the rooms it may enter; None: all
    expires: int = 0  # server time in ms when the token ends; 0: never
    hidden: bool = False  # a member that PRESENCE does not show
    rate: float = 0.0  # messages per second that the token allows; 0: as the room says
    burst: int = 0


GUEST = Identity("")  # of a session before CONNECT
