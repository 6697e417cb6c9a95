"""Where edits stand: found by their message, forgotten with the room's oldest entries."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from fastchat.config import Config, RoomOptions
from fastchat.engine import memory
from fastchat.engine.base import Entry, Query
from fastchat.engine.edits import FEW, Edits
from fastchat.engine.memory import MemoryEngine
from fastchat.protocol.codec import EMPTY, pack, unpack


def test_edits_are_found_by_their_message() -> None:
    edits = Edits()
    for offset, target in enumerate((1, 2, 1, 3, 1), 10):
        edits.note(target, offset, oldest=1)
    assert (list(edits.of(1)), list(edits.of(3)), list(edits.of(4))) == ([10, 12, 14], [13], [])


def test_what_is_no_longer_kept_is_forgotten() -> None:
    edits, chance = Edits(), random.Random(1)
    for offset in range(1000, 11_000):
        oldest = offset - 99  # a room of 100
        edits.note(chance.randint(oldest, offset - 1), offset, oldest)
        assert len(edits) <= max(FEW, 2 * 100 + 1)
    assert all(10_900 <= offset for target in range(10_980, 11_000) for offset in edits.of(target))


def room(history: int) -> MemoryEngine:
    options = RoomOptions(history=history, history_bytes=1 << 24)
    engine = MemoryEngine(Config(rooms={"default": options}), "e")
    engine.hold("r")
    return engine


def say(engine: MemoryEngine, now: int = 1) -> None:
    engine.append("r", "ada", "g:1", pack("x"), EMPTY, None, 0, True, now, None)


def change(engine: MemoryEngine, kind: str, target: int, value: object) -> None:
    engine.change("r", "ada", "g:1", kind, target, pack(value), False, 2, None)


def test_a_deletion_does_not_look_through_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long room it would keep the loop for tens of milliseconds."""
    engine = room(20_000)
    for _ in range(10_000):
        say(engine)
    change(engine, "edit", 2, "secret")
    made: list[Any] = []
    make = Entry._make

    class Counting(Entry):
        @classmethod
        def _make(cls, values: Any) -> Entry:
            made.append(values)
            return make(values)

    class Watched(type(engine._logs["r"].entries)):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError("walks through the whole room")

    monkeypatch.setattr(memory, "Entry", Counting)
    engine._logs["r"].entries = Watched(engine._logs["r"].entries)
    change(engine, "delete", 2, None)
    assert len(made) == 2  # the message and its edit


def test_the_right_edits_are_blanked_however_the_room_has_moved() -> None:
    engine, chance = room(50), random.Random(7)
    targets: list[int] = []
    for turn in range(2000):
        page = engine.read([Query("r", 100)], None)
        assert page is not None
        kept = {entry.offset for entry in page[0].entries}
        alive = [target for target in targets if target in kept]
        if alive and turn % 3 == 1:
            change(engine, "edit", chance.choice(alive), f"secret {turn}")
        elif alive and turn % 7 == 2:
            gone = chance.choice(alive)
            targets.remove(gone)
            change(engine, "delete", gone, None)
            page = engine.read([Query("r", 100)], None)
            assert page is not None
            for entry in page[0].entries:
                opts: Any = unpack(entry.opts)
                if opts.get("change") == "edit":
                    assert (opts["value"] is None) == (opts["target"] not in targets), opts
        else:
            say(engine)
            targets.append(engine._logs["r"].offset)
