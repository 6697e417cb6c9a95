"""What is known of who a connection is, whatever proved it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType


class Role(IntEnum):
    """What somebody is in a room; each may do what those below may."""

    GUEST = 0  # no token
    MEMBER = 1  # a token
    MODERATOR = 2
    OWNER = 3


NO_ROLES: Mapping[str, Role] = MappingProxyType({})  # shared: one of its own would cost each session 64 bytes
TOKEN_ID = "t:"  # what the id of somebody with a token begins with
GUEST_ID = "g:"  # ... and that of a guest


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a connection has shown to be.

    `id` tells people apart where names do not: "t:" and the token's `sub`, or "g:" and a random number that a
    guest keeps across `resume`.
    """

    id: str
    role: Role = Role.GUEST  # in rooms that `roles` does not name
    roles: Mapping[str, Role] = field(default_factory=lambda: NO_ROLES)  # by pattern of a room's name
    rooms: tuple[str, ...] | None = None  # patterns of the rooms it may enter; None: all
    expires: int = 0  # server time in ms when the token ends; 0: never
    hidden: bool = False  # a member that PRESENCE does not show
    rate: float = 0.0  # messages per second that the token allows; 0: as the room says
    burst: int = 0
    name: str = ""  # that the token gives, as NFKC; "": it gives none
    once: str = ""  # the token's `jti` where it may be used once only

    @property
    def guest(self) -> bool:
        """Whether no token has shown who it is."""
        return not self.id.startswith(TOKEN_ID)

    @property
    def sub(self) -> str:
        """The token's `sub`; of a guest the random number."""
        return self.id[len(TOKEN_ID) :]


GUEST = Identity("")  # of a session before CONNECT
