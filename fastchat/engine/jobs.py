"""What the thread of a store is asked to do, in order.

Invariant: a job is never changed once it is queued, so two threads may hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from fastchat.engine.base import Fact, Query, Record

JOB_BYTES = 300  # bytes charged per job besides what it carries: tuple, ticket, places in queues


class Append(NamedTuple):
    """`Engine.append`; `charge` is what it takes of the queue's bytes until its outcome is told."""

    ticket: object
    charge: int
    power: bool  # to be synced before its outcome is told
    room: str
    user: str
    author: str
    data: bytes
    opts: bytes
    key: tuple[str, str] | None
    expires: int
    keep: bool
    now: int


class Change(NamedTuple):
    """`Engine.change`."""

    ticket: object
    charge: int
    power: bool
    room: str
    user: str
    author: str
    kind: str
    target: int
    value: bytes
    privileged: bool
    now: int


class Keep(NamedTuple):
    """`Engine.keep`."""

    ticket: object
    charge: int
    facts: Sequence[Fact]
    records: Sequence[Record]


class Read(NamedTuple):
    """`Engine.read`; `volatile` are the places of queries that memory answers when the outcome is told."""

    ticket: object
    charge: int
    queries: Sequence[Query]
    volatile: frozenset[int]
    now: int
    late: bool = False  # jobs behind it may be done before


class Release(NamedTuple):
    """`Engine.release`: nothing of the room need be remembered."""

    room: str


class Tick(NamedTuple):
    """`Engine.tick`: forget what is past its time."""

    now: int


class Stop(NamedTuple):
    """Nothing comes after it."""


Told: TypeAlias = Append | Change | Keep | Read  # those whose outcome is told
Job: TypeAlias = Told | Release | Tick | Stop
WRITES = (Append, Change)  # for isinstance, which is slower with the unions themselves
SILENT = (Release, Tick, Stop)
