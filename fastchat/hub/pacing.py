"""How fast one connection may send, whatever it sends: PING, LEAVE and BLOCK cost the server time, too.

Invariant: nothing is refused and nothing is lost. Who sends faster is read from later, as on a slower line;
and whoever keeps within the limits of users is never held up here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastchat.config import MIB, Config, RoomOptions
from fastchat.hub.limits import MAX_STATE, MOST_PAUSE_MS, STATE_SECONDS
from fastchat.hub.rates import Bucket, Limit

if TYPE_CHECKING:
    from fastchat.hub.session import Session

COMMANDS_RATE, COMMANDS = 200.0, 400  # commands a second, and at once: ten times what a busy client sends
BYTES_RATE, BYTES = 1 * MIB, 2 * MIB  # bytes of them


class Pacing:
    """The pace of every connection: the above, or twice what the limits of a user let pass if more."""

    __slots__ = ("_limit", "_namespaces")

    def __init__(self, config: Config) -> None:
        rooms = list(({"default": config.room("default")} | dict(config.rooms)).values())
        rates = [config.join_rate, *(one.rate for one in rooms), *(one.state_rate for one in rooms)]
        burst = config.join_burst + sum(one.burst + one.state_rate * STATE_SECONDS for one in rooms)
        sizes = [*(_bytes(one, config) for one in rooms), *(one.state_rate * MAX_STATE for one in rooms)]
        self._limit = Limit(
            max(COMMANDS_RATE, 2 * sum(rates)) if all(rates) else 0.0,  # 0 is no limit, as it is of users
            max(COMMANDS, burst),
            max(BYTES_RATE, 2 * sum(sizes)) if all(sizes) else 0.0,
            max(BYTES, 4 * sum(sizes)),
        )
        self._namespaces = len(rooms)

    def came(self, session: Session, bucket: Bucket, count: int, size: int, now: int) -> None:
        """Count what has come from a connection, and read from it later if it was too much."""
        limit, identity = self._limit, session.identity
        rate = limit.rate
        if rate and identity.rate:
            rate = max(rate, 2 * identity.rate * self._namespaces)  # a token's rate holds in each of them
        wait = limit.count(bucket, count, size, now, rate, max(limit.burst, identity.burst))
        if wait:
            session.link.pause(min(wait, MOST_PAUSE_MS))


def _bytes(options: RoomOptions, config: Config) -> float:
    """Bytes of messages a second that one user may send to a namespace; 0: no limit."""
    return options.rate_bytes or options.rate * config.max_frame
