"""Server time for the wire: milliseconds since 1970 that never go back.

It follows the wall clock where that runs ahead, and where the wall clock was set back it runs at half
speed until the two agree, so that `ts` in a room neither falls nor stands still.
"""

from __future__ import annotations

SLEWED = 0.5  # share of the elapsed time that a correction backwards may take


class Clock:
    """Turns monotonic seconds into server milliseconds; `sync` is told both clocks now and then."""

    __slots__ = ("_offset", "_synced")

    def __init__(self, monotonic: float, wall: float) -> None:
        self._offset = wall - monotonic
        self._synced = monotonic

    def ms(self, monotonic: float) -> int:
        """Server time at that moment of the monotonic clock."""
        return int((monotonic + self._offset) * 1000.0)

    def sync(self, monotonic: float, wall: float) -> None:
        """Follow the wall clock: at once when it is ahead, slowly when it was set back."""
        behind = self._offset - (wall - monotonic)
        most = max(0.0, monotonic - self._synced) * SLEWED
        self._offset -= min(behind, most)
        self._synced = monotonic
