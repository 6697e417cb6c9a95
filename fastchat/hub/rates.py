"""How fast one user may go on: limits of so many a second, with a burst, in messages and in bytes.

The generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A): instead of tokens a
bucket keeps the time at which it will be full again. Each message moves that time on by the time that one
takes at the allowed rate, and is too early if it would then lie further ahead than the burst allows. So a
bucket is one number, and the wait until a message passes is a subtraction.

Invariant: in any span of t seconds at most burst + rate * t messages of one user pass a limit; a bucket that
is full again is as good as none, and forgotten.
"""

from __future__ import annotations

from math import ceil

SLIP = 0.01  # ms forgiven: server time in a float is good to a quarter of a microsecond
FEW = 1000  # buckets below which nobody looks whether some may be forgotten


class Bucket:
    """What one user has used up of one limit. Server ms at which it will be full again."""

    __slots__ = ("due", "due_bytes")

    def __init__(self, due: float, due_bytes: float) -> None:
        self.due = due
        self.due_bytes = due_bytes

    def full(self, now: int) -> bool:
        """Whether nothing is used up any more."""
        return self.due <= now and self.due_bytes <= now


class Limit:
    """One limit and the buckets of all users under it; a rate of 0 is no limit."""

    __slots__ = (
        "rate", "burst", "used", "_pace", "_slack", "_byte_pace", "_byte_slack", "_left", "_most"
    )  # fmt: skip

    def __init__(self, rate: float, burst: float, byte_rate: float = 0.0, byte_burst: float = 0.0) -> None:
        self.rate = rate  # a second
        self.burst = burst
        self.used: dict[str, Bucket] = {}  # by user
        self._pace = 1000 / rate if rate else 0.0  # ms that one takes
        self._slack = burst * self._pace
        self._byte_pace = 1000 / byte_rate if byte_rate else 0.0
        self._byte_slack = byte_burst * self._byte_pace
        self._left: dict[str, Bucket] = {}  # by origin: what those who are gone had used up
        self._most = FEW  # buckets at which the full ones are forgotten

    def __len__(self) -> int:
        return len(self.used) + len(self._left)

    def open(self, user: str, origin: str, now: int) -> Bucket:
        """Make the bucket of somebody who has none: as the last one from the same origin left theirs."""
        if len(self.used) >= self._most:
            self.forget(now)
        left = self._left.get(origin) if origin else None
        bucket = Bucket(0.0, 0.0) if left is None else Bucket(left.due, left.due_bytes)
        self.used[user] = bucket
        return bucket

    def take(
        self, bucket: Bucket, size: int, now: int, pace: float | None = None, slack: float = 0.0
    ) -> int:
        """Let one of so many bytes pass: 0, or the ms after which it may."""
        if pace is None:
            pace, slack = self._pace, self._slack
        due, due_bytes = bucket.due, bucket.due_bytes
        due = (due if due > now else now) + pace
        due_bytes = (due_bytes if due_bytes > now else now) + size * self._byte_pace
        wait = due - slack - now
        if due_bytes - self._byte_slack - now > wait:
            wait = due_bytes - self._byte_slack - now
        if wait > SLIP:
            return ceil(wait - SLIP)
        bucket.due, bucket.due_bytes = due, due_bytes
        return 0

    def take_at(self, bucket: Bucket, rate: float, burst: float, size: int, now: int) -> int:
        """Let one pass at a user's own rate and with a burst of their own; 0 for those of the limit."""
        pace = 1000 / rate if rate else self._pace
        return self.take(bucket, size, now, pace, (burst or self.burst) * pace)

    def add(self, bucket: Bucket, size: int, now: int) -> None:
        """Count bytes that have passed already, over the burst if need be."""
        bucket.due_bytes = max(bucket.due_bytes, now) + size * self._byte_pace

    def count(self, bucket: Bucket, count: int, size: int, now: int, rate: float, burst: float) -> int:
        """Count so many that have passed already, at this rate; returns the ms until they fit the burst."""
        pace = 1000 / rate if rate else 0.0
        bucket.due = max(bucket.due, now) + count * pace
        self.add(bucket, size, now)
        return max(0, ceil(bucket.due - burst * pace - now), ceil(bucket.due_bytes - self._byte_slack - now))

    def leave(self, user: str, origin: str, now: int) -> None:
        """The user is gone: whoever comes from there under another name finds their bucket as it is."""
        bucket = self.used.get(user)
        if bucket is None or bucket.full(now):
            return
        left = self._left.get(origin, bucket)
        self._left[origin] = Bucket(max(left.due, bucket.due), max(left.due_bytes, bucket.due_bytes))

    def forget(self, now: int) -> None:
        """Let go of the buckets that are full again."""
        self.used = {user: bucket for user, bucket in self.used.items() if not bucket.full(now)}
        self._left = {origin: bucket for origin, bucket in self._left.items() if not bucket.full(now)}
        self._most = max(FEW, 2 * len(self.used))
