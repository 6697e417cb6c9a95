"""A room: its fan-outs, who is in it, and what of it is under way in the engine.

Invariant: a room exists from its first member until it is empty and nothing of it is under way.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastchat.broadcast import Broadcaster, Fanout
from fastchat.config import RoomOptions
from fastchat.engine.base import Page
from fastchat.hub.limits import HEADER_BYTES
from fastchat.hub.presence import Presence
from fastchat.hub.rates import Limit
from fastchat.protocol.codec import gap, pack

if TYPE_CHECKING:
    from fastchat.hub.screening import Screen
    from fastchat.hub.session import Session


class Room:
    """One room of this server."""

    __slots__ = (
        "name", "packed", "options", "members", "watchers", "presence", "entering", "busy",
        "storing_bytes", "overhead", "epoch", "newest", "limit", "near", "hidden",
        "screen",
    )  # fmt: skip

    def __init__(
        self, name: str, options: RoomOptions, broadcaster: Broadcaster, limit: Limit | None = None
    ) -> None:
        self.name = name
        self.packed = pack(name)
        self.options = options
        self.members: Fanout = broadcaster.fanout(
            options.policy, partial(gap, self.packed), options.coalesce_ms / 1000, options.radius
        )
        self.near = options.radius > 0  # members hear who is near, and nothing is stored
        self.watchers: Fanout | None = None  # those who want PRESENCE; most rooms have none
        self.presence = Presence(options.presence_members)
        self.hidden: set[Session] | None = None  # members that presence does not show; most rooms have none
        self.entering = 0  # JOINs that the engine has not answered
        self.busy = 0  # PUBLISHes and HISTORYs that the engine has not answered
        self.storing_bytes = 0  # of these PUBLISHes: once stored they must find room in the batch
        self.epoch = ""  # as the engine told it with the page of the last member that came
        self.newest = 0  # the newest offset that was told
        self.overhead = len(self.packed) + HEADER_BYTES  # bytes of a MESSAGE besides user, data, opts
        self.screen: Screen | None = None  # what looks at messages before they count; most rooms have none
        self.limit = limit  # of what each user may say in rooms of this namespace; None: as much as they like

    def stand(self, page: Page) -> None:
        """Take it from a page where the room stands."""
        self.epoch, self.newest = page.epoch, page.offset

    @property
    def idle(self) -> bool:
        """Whether nobody needs the room."""
        return not (self.presence.members or self.hidden or self.entering or self.busy)

    @property
    def crowded(self) -> bool:
        """Whether the room's own limit of members is reached."""
        return 0 < self.options.members <= self.taken

    @property
    def taken(self) -> int:
        """How many places are taken: hidden members take none."""
        return len(self.members) - len(self.hidden or ()) + self.entering

    def show(self, session: Session, now: int) -> None:
        """Count a new member in, seen by others unless it is hidden."""
        if not session.identity.hidden:
            self.presence.join(session.user, now)
            return
        if self.hidden is None:
            self.hidden = set()
        self.hidden.add(session)

    def shows(self, session: Session) -> bool:
        """Whether others see this member."""
        return self.hidden is None or session not in self.hidden

    def unshow(self, session: Session) -> None:
        """Count a member out, as it was counted in."""
        if self.hidden is None or session not in self.hidden:
            self.presence.leave(session.user, session)
            return
        self.hidden.remove(session)
        self.hidden = self.hidden or None
