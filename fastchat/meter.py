"""What the server does, in numbers: counters since the start, and how long its iterations last.

An iteration is what a coalescing server does over and over: messages gather, then one flush brings them to
everybody. It begins with the first put, or when the flush before it ended if that is later, and ends with the
end of its own flush (docs/LOAD_MODEL.md).

Invariant: a message costs nothing here, a flush some additions; no lock, no clock, and nothing is kept per
message, member or flush.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastchat.broadcast import Stats

FINE = 8  # buckets per power of two: a bucket is at most an eighth of its lowest value wide
EXACT = 2 * FINE  # values below it have a bucket each
SLOTS = 192  # buckets, which reach to 2^26: 67 seconds where the unit is a microsecond
MOST = (1 << 26) - 1  # whatever is longer counts as this
MICRO = 1_000_000  # microseconds in a second, the unit of lengths in buckets


class Done(NamedTuple):
    """What whole iterations have done: what one put the same one sent."""

    rounds: int
    messages: int
    sends: int
    deliveries: int


class Totals(NamedTuple):
    """Everything counted since the start, as it stood at `time`; never reset."""

    time: float  # seconds on the monotonic clock
    cpu: float  # CPU seconds of the thread that runs the loop
    rounds: int  # iterations that ended with a flush in which something was sent
    round_seconds: float  # how long they lasted, summed up
    flush_seconds: float  # how much of that was the flush
    publishes: int  # PUBLISH commands that came, refused ones too
    refused: int  # PUBLISH commands that admission refused
    messages: int  # puts on fan-outs: what was published, and changes of presence
    sends: int  # system calls and writes to transports
    deliveries: int  # frames of fan-outs taken by kernel or transport, once per member
    bytes: int  # taken by kernel or transport
    sessions: int  # open now
    opened: int  # sessions since the start
    done: Done  # the same as far as flushes have ended


class Meter:
    """Counts the flushes of one server; `Flusher` tells it of each."""

    __slots__ = (
        "rounds", "round_seconds", "flush_seconds", "lengths", "flush_sends", "flush_frames",
        "messages", "sends", "deliveries", "_ended",
    )  # fmt: skip

    def __init__(self) -> None:
        self.rounds = 0
        self.round_seconds = 0.0
        self.flush_seconds = 0.0
        self.lengths = [0] * SLOTS  # iterations by length, us
        self.flush_sends = [0] * SLOTS  # flushes by their sends
        self.flush_frames = [0] * SLOTS  # flushes by frames per send
        self.messages = 0  # puts up to the end of the last batch that was flushed
        self.sends = 0  # up to the end of its flush
        self.deliveries = 0
        self._ended = 0.0  # when that was

    def flushed(
        self, first: float, ended: float, seconds: float, messages: int, sends: int, deliveries: int
    ) -> None:
        """Count a whole flush that took `seconds` and ended at `ended`.

        `messages` were put until it began, the other counters are as they stand after it. `first` is when the
        first put of its batch happened; negative where nobody knows, as for the tick of a room, which is long
        by choice: then only the flush counts. A flush that sent nothing is none.
        """
        sent = sends - self.sends
        before, self._ended = self._ended, ended
        if not sent:
            return
        self.sends = sends
        self.messages = messages
        if first < 0.0:
            length = seconds
        else:
            length = ended - (first if first > before else before)
        self.rounds += 1
        self.round_seconds += length
        self.flush_seconds += seconds
        self.lengths[slot(int(length * MICRO))] += 1
        self.flush_sends[slot(sent)] += 1
        frames = (deliveries - self.deliveries + (sent >> 1)) // sent
        self.flush_frames[frames if frames < EXACT else slot(frames)] += 1
        self.deliveries = deliveries

    def totals(
        self, time: float, cpu: float, stats: Stats, publishes: int, refused: int, sessions: int, opened: int
    ) -> Totals:
        """Put together what is counted here and what others count."""
        return Totals(
            time,
            cpu,
            self.rounds,
            self.round_seconds,
            self.flush_seconds,
            publishes,
            refused,
            stats.messages,
            stats.sends + stats.writes,
            stats.deliveries,
            stats.bytes,
            sessions,
            opened,
            Done(self.rounds, self.messages, self.sends, self.deliveries),
        )


def slot(value: int) -> int:
    """Tell the bucket of a value: exact below 16, then eight to each power of two."""
    if value < EXACT:
        return value if value > 0 else 0
    if value > MOST:
        value = MOST
    shift = value.bit_length() - 4
    return shift * FINE + (value >> shift)


def middle(index: int) -> float:
    """Tell the value that stands for a bucket: its middle."""
    if index < EXACT:
        return float(index)
    shift = index // FINE - 1
    return ((FINE + index % FINE) << shift) + ((1 << shift) - 1) / 2


def percentile(counts: Sequence[int], share: float) -> float:
    """Tell the value below which that share of what was counted lies; 0 where nothing was counted."""
    wanted = share * sum(counts)
    if not wanted:
        return 0.0
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= wanted:
            return middle(index)
    return middle(SLOTS - 1)


class Recent:
    """Buckets of the recent past: between one and two spans of time, from buckets that only grow."""

    __slots__ = ("_span", "_counts", "_older", "_newer", "_turned")

    def __init__(self, counts: list[int], span: float) -> None:
        self._span = span  # seconds
        self._counts = counts
        self._older = list(counts)  # as they stood one to two spans ago
        self._newer = list(counts)
        self._turned = 0.0  # when the newer were taken

    def turn(self, now: float) -> None:
        """Let what is older than two spans go; to be called now and then."""
        if now - self._turned < self._span:
            return
        self._older, self._newer = self._newer, list(self._counts)
        self._turned = now

    def percentile(self, share: float) -> float:
        """Tell a percentile of what came since."""
        return percentile([now - then for now, then in zip(self._counts, self._older, strict=True)], share)
