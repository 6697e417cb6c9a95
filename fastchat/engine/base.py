"""The contract between the hub and whatever orders and keeps a room's messages.

An engine gives every message its offset. It may answer at once (memory) or later (a writer thread, a
server elsewhere); the hub is written for both and cannot tell them apart but by the `None` it gets.

Invariant: what the engine has told so far, by return value or through the sink, is exactly what `read`
shows. So a member that joins at the moment its page is told misses nothing and sees nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from fastchat.errors import ProtocolError
from fastchat.protocol.messages import Position

MAX_PAGE = 1024 * 1024  # bytes: no frame from the server is longer (PROTOCOL, "Framing")


class Stored(NamedTuple):
    """The place a message got in its room."""

    offset: int  # 1, 2, 3 ...; 0 for what is not stored
    ts: int  # server time, ms since 1970
    duplicate: bool  # True: its key was seen before, this is where the first one stands


class Entry(NamedTuple):
    """One stored message; `data` and `opts` are msgpack, byte for byte as they were appended."""

    offset: int
    ts: int
    user: str
    data: bytes
    opts: bytes
    expires: int  # server time in ms after which nobody may see the data any more; 0: never
    author: str  # `Identity.id` of who wrote it: a name may belong to somebody else tomorrow


class Query(NamedTuple):
    """Which entries of a room to read: `since` if given, else `after`, else `before`, else the newest."""

    room: str
    limit: int  # most entries; with `since` it binds only the newest entries of a failed recovery
    since: Position | None = None  # all after that position, if every one of them is still here
    after: int | None = None  # the oldest entries above this offset
    before: int | None = None  # the newest entries below this offset
    late: bool = False  # what is asked after it need not wait for it


class Page(NamedTuple):
    """The answer to a `Query`: contiguous entries in ascending order, as the room stood at one moment."""

    epoch: str
    offset: int  # the newest of the room, 0 when nothing was ever stored
    recovered: bool | None  # answers `since`: True only if `entries` lacks nothing; None: was not asked
    entries: Sequence[Entry]
    more: bool  # with `after` or `before`: more stand further on; else: some asked for did not fit


UNREAD = Page("", 0, None, (), False)  # stands for a page that could not be read, beside others that could


class Fact(NamedTuple):
    """What the hub knows beyond messages and keeps across restarts: a role, a ban, a setting, a read mark.

    One value per (kind, room, subject); the hub says what the kinds are and bounds how many there may be.
    """

    kind: str
    room: str  # "" for the whole server
    subject: str  # a user's key or id, an address; "" for the room itself
    value: bytes  # msgpack; b"" forgets it


class Record(NamedTuple):
    """One line of the audit log: who did what to whom; only ever appended."""

    ts: int  # server time, ms since 1970
    room: str  # "" for the whole server
    by: str
    action: str
    user: str  # to whom; "" for the room itself
    detail: bytes  # a msgpack map: seconds, reason, ...


class Sink(Protocol):
    """What an engine that answers later needs of the hub. Called on the loop's thread, never from within
    `append` or `read`."""

    def stored(self, ticket: object, stored: Stored) -> None:
        """Take the outcome of an `append`; per room these come in the order of the offsets."""

    def failed(self, ticket: object, error: ProtocolError) -> None:
        """Take the failure of an `append` or `read`: nothing of it is stored, and nothing will be."""

    def pages(self, ticket: object, pages: Sequence[Page]) -> None:
        """Take the pages of a `read`, in their place among the `stored` of each of their rooms.

        Where only some of them could be read, UNREAD stands for the others.
        """

    def known(self, facts: Sequence[Fact]) -> None:
        """Take the facts that `facts` did not have; nothing was kept until now."""

    def moved(self, rooms: Sequence[str]) -> None:
        """Take it that what was told of these held rooms no longer holds: their epoch or newest offset is
        another, for what keeps them was changed from outside or has lost something."""

    def kept(self, ticket: object) -> None:
        """Take it that what was given to `keep` is kept."""


class Engine(Protocol):
    """Orders, keeps and gives back the messages of rooms."""

    def attach(self, sink: Sink) -> None:
        """Say who is told later; called once, before everything else."""

    def hold(self, room: str) -> None:
        """Expect traffic: the room got its first member. Its epoch stands from here to `release`, or until
        the sink is told `moved`."""

    def release(self, room: str, now: int) -> None:
        """Expect silence: the room is empty and nothing of it is under way; keep its history its time."""

    def append(
        self,
        room: str,
        user: str,
        author: str,
        data: bytes,
        opts: bytes,
        key: tuple[str, str] | None,
        expires: int,
        keep: bool,
        now: int,
        ticket: object,
    ) -> Stored | None:
        """Give a message its place behind all that was appended to the held room before it.

        Returns its place, or None: then the sink is told the outcome with this `ticket`, per room in the
        order of the calls. A `Stored` that was told is as durable as the room's options say.
        `key` is (who, key): a second append with it within the idempotency time, in this room, stores
        nothing and tells the place of the first with `duplicate`. With `keep` False nothing is stored
        and the offset is 0, but order and key hold as well.
        Raises ProtocolError (OVERLOADED, STORE_UNAVAILABLE with retry_ms): then nothing is stored.
        """

    def change(
        self,
        room: str,
        user: str,
        author: str,
        kind: str,
        target: int,
        value: bytes,
        privileged: bool,
        now: int,
        ticket: object,
    ) -> Stored | None:
        """Append a CHANGE to the held room and fold it into the message at offset `target` (see `changes`).

        It takes an offset in the room's order; its entry has the data nil and the opts {change, target,
        value}. `kind` is "edit" (`value`: the new data), "delete" (nil) or "react" ([emoji, on]).
        A reaction that changes nothing stores nothing: its place is offset 0 with `duplicate`.
        Answers like `append`. Fails with ProtocolError NO_SUCH_MESSAGE where `target` is not kept, is a
        change itself, is deleted or has expired; FORBIDDEN where it is another author's, unless it is a
        reaction, or a deletion by somebody `privileged`; BAD_ARGUMENT for one reaction too many.
        """

    def facts(self) -> Sequence[Fact] | None:
        """Return all facts that are kept; called once, after `attach` and before everything else.

        None: they cannot be read yet. Nothing can be kept until then, and the sink is told them with `known`.
        """

    def keep(self, facts: Sequence[Fact], records: Sequence[Record], ticket: object) -> bool:
        """Keep facts, each in place of what was kept of its subject, and append records; all or none.

        Returns True if it is done; else the sink is told `kept` or `failed` with this `ticket`, in the order
        of the calls of `keep`. Raises ProtocolError (OVERLOADED, STORE_UNAVAILABLE): then nothing is kept.
        """

    def read(self, queries: Sequence[Query], ticket: object) -> Sequence[Page] | None:
        """Read pages of held rooms, one per query, all as of one moment.

        Returns them, or None: then the sink is told with this `ticket`, in the order of the calls unless all
        queries are `late`. A page is cut at the entry that takes it and those before it in this read beyond
        MAX_PAGE bytes of data, but is never empty for that reason.
        Raises ProtocolError (OVERLOADED, STORE_UNAVAILABLE).
        """

    def tick(self, now: int) -> None:
        """Do what time has made due (forgetting); called about ten times a second, never long."""
