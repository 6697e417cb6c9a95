"""A room: its fan-outs, who is in it, and what of it is under way in the engine.

Invariant: a room exists from its first member until it is empty and nothing of it is under way.
"""

from __future__ import annotations

from functools import partial

from fastchat.broadcast import Broadcaster, Fanout
from fastchat.config import RoomOptions
from fastchat.engine.base import Page
from fastchat.hub.limits import HEADER_BYTES
from fastchat.hub.presence import Presence
from fastchat.hub.rates import Limit
from fastchat.protocol.codec import gap, pack


class Room:
    """One room of this server."""

    __slots__ = (
        "name", "packed", "options", "members", "watchers", "presence", "entering", "busy",
        "storing_bytes", "overhead", "epoch", "newest", "limit",
    )  # fmt: skip

    def __init__(
        self, name: str, options: RoomOptions, broadcaster: Broadcaster, limit: Limit | None = None
    ) -> None:
        self.name = name
        self.packed = pack(name)
        self.options = options
        self.members: Fanout = broadcaster.fanout(
            options.policy, partial(gap, self.packed), options.coalesce_ms / 1000
        )
        self.watchers: Fanout | None = None  # those who want PRESENCE; most rooms have none
        self.presence = Presence(options.presence_members)
        self.entering = 0  # JOINs that the engine has not answered
        self.busy = 0  # PUBLISHes and HISTORYs that the engine has not answered
        self.storing_bytes = 0  # of these PUBLISHes: once stored they must find room in the batch
        self.epoch = ""  # as the engine told it with the page of the last member that came
        self.newest = 0  # the newest offset that was told
        self.overhead = len(self.packed) + HEADER_BYTES  # bytes of a MESSAGE besides user, data, opts
        self.limit = limit  # of what each user may say in rooms of this namespace; None: as much as they like

    def stand(self, page: Page) -> None:
        """Take it from a page where the room stands."""
        self.epoch, self.newest = page.epoch, page.offset

    @property
    def idle(self) -> bool:
        """Whether nobody needs the room."""
        return not (self.presence.members or self.entering or self.busy)

    @property
    def crowded(self) -> bool:
        """Whether the room's own limit of members is reached."""
        most = self.options.members
        return 0 < most <= len(self.members) + self.entering
