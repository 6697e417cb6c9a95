"""The memory engine keeps the contract, and its memory is bounded."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from fastchat.config import MIB, Config, RoomOptions
from fastchat.engine.memory import ENTRY_BYTES, LOG_BYTES, MemoryEngine
from fastchat.errors import ProtocolError
from tests.engine.contract import NOW, EngineContract, Rig, offsets, options
from tests.engine.later import LaterEngine


class TestMemory(EngineContract):
    def make(self, config: Config) -> Rig:
        return Rig(MemoryEngine(config, "test"))


class LaterRig(Rig):
    engine: LaterEngine

    def settle(self) -> None:
        self.engine.answer()


class TestLater(EngineContract):
    """The engine that the hub's tests use for answers that come later keeps the contract too."""

    def make(self, config: Config) -> Rig:
        return LaterRig(LaterEngine(config))


def rig_of(config: Config, *rooms: str) -> tuple[Rig, MemoryEngine]:
    engine = MemoryEngine(config, "test")
    for room in rooms:
        engine.hold(room)
    return Rig(engine), engine


def test_two_runs_have_different_epochs() -> None:
    one, other = MemoryEngine(Config(), "a"), MemoryEngine(Config(), "b")
    one.hold("x")
    other.hold("x")
    assert Rig(one).read("x").epoch != Rig(other).read("x").epoch


def test_rooms_without_messages_are_not_kept() -> None:
    _, engine = rig_of(Config())
    for number in range(1000):
        engine.hold(f"room-{number}")
        engine.release(f"room-{number}", NOW)
    assert len(engine) == 0
    assert engine.bytes == 0


def test_everything_is_given_back_in_the_end() -> None:
    rig, engine = rig_of(options(history_seconds=60), "a", "b")
    for room in "abab":
        rig.append(room=room)
    engine.release("a", NOW)
    engine.release("b", NOW + 1000)
    engine.tick(NOW + 60_500)
    assert len(engine) == 1
    engine.tick(NOW + 61_000)
    assert (len(engine), engine.bytes) == (0, 0)


def test_an_empty_room_that_is_used_again_is_not_forgotten_meanwhile() -> None:
    rig, engine = rig_of(options(history_seconds=60), "a")
    rig.append(room="a")
    engine.release("a", NOW)
    engine.hold("a")
    engine.tick(NOW + 61_000)
    assert offsets(rig.read("a")) == [1]
    engine.release("a", NOW + 61_000)
    engine.tick(NOW + 61_001)
    assert len(engine) == 1, "the time begins anew"


def test_all_rooms_together_are_bounded() -> None:
    config = Config(history_total_bytes=MIB, rooms={"default": RoomOptions(history_bytes=MIB)})
    rooms = [f"room-{number}" for number in range(10)]
    rig, engine = rig_of(config, *rooms)
    for number in range(3000):
        rig.append("x" * 1000, room=rooms[number % 10])
        assert engine.bytes <= MIB
    assert engine.bytes > MIB // 2
    for room in rooms:
        assert offsets(rig.read(room))[-1] == 300


def test_large_rooms_give_way_before_small_ones() -> None:
    """Nobody can push out the others' history by filling rooms of his own."""
    config = Config(history_total_bytes=MIB, rooms={"default": RoomOptions(history=10**6, history_bytes=MIB)})
    rig, engine = rig_of(config, "small", "hog-1", "hog-2")
    for _ in range(20):
        rig.append("hello", room="small")
    for number in range(5000):
        rig.append("x" * 1000, room=f"hog-{1 + number % 2}")
    assert offsets(rig.read("small")) == list(range(1, 21))
    assert engine.bytes <= MIB


def test_empty_rooms_give_way_before_those_with_members() -> None:
    config = Config(history_total_bytes=100_000)
    rig, engine = rig_of(config, "members")
    rig.append("x" * 30_000, room="members")
    for number in range(50):
        name = f"left-{number}"
        engine.hold(name)
        rig.append("x" * 1000, room=name)
        engine.release(name, NOW + number)
    assert offsets(rig.read("members")) == [1]
    assert engine.bytes <= 100_000
    engine.hold("left-0")
    assert offsets(rig.read("left-0")) == [], "the longest empty was the first to go"
    engine.hold("left-49")
    assert offsets(rig.read("left-49")) == [1]


def test_a_message_larger_than_the_room_may_keep_still_has_its_place() -> None:
    rig, engine = rig_of(options(history_bytes=1000), "lobby")
    rig.append()
    assert rig.append("x" * 5000).offset == 2
    assert offsets(rig.read()) == []
    assert rig.append().offset == 3
    assert offsets(rig.read()) == [3]
    assert engine.bytes == LOG_BYTES + ENTRY_BYTES + 3


def test_many_small_rooms_are_shed_quickly() -> None:
    """Rooms are found by size class, not by looking at all of them."""
    config = Config(history_total_bytes=4 * MIB)
    rig, engine = rig_of(config)
    for number in range(4000):
        engine.hold(f"room-{number}")
        rig.append(room=f"room-{number}")
    visited = 0
    classify = engine._classify

    def counted(log: object) -> None:
        nonlocal visited
        visited += 1
        classify(log)  # type: ignore[arg-type]

    engine._classify = counted  # type: ignore[method-assign]
    for number in range(100):
        rig.append("x" * 2000, room=f"room-{number}")
    assert visited < 1000


@pytest.mark.parametrize("seed", range(10))
def test_what_changes_add_and_take_is_charged(seed: int) -> None:
    chance = Random(seed)
    rig, engine = rig_of(options(history=30, history_bytes=20_000), "lobby")
    for _ in range(300):
        kind = chance.choice(("append", "append", "edit", "edit", "react", "delete"))
        if kind == "append":
            rig.append("x" * chance.randrange(500))
            continue
        value = {"edit": "x" * chance.randrange(2000), "react": [str(chance.randrange(9)), True]}.get(kind)
        with suppress(ProtocolError):
            rig.change(kind, rig.read(limit=0).offset - chance.randrange(20), value)
        entries = rig.read().entries
        charged = sum(len(entry.data) + len(entry.opts) + ENTRY_BYTES for entry in entries)
        assert engine.bytes == charged + LOG_BYTES
        assert charged <= 20_000 and len(entries) <= 30


@pytest.mark.parametrize("order", [(3, 1, 2), (1, 2, 3)])
def test_rooms_are_forgotten_by_their_own_namespaces_time(order: tuple[int, ...]) -> None:
    config = Config(
        rooms={f"n{n}": RoomOptions(history_seconds=n * 10) for n in (1, 2, 3)} | {"default": RoomOptions()}
    )
    rig, engine = rig_of(config)
    for n in order:
        engine.hold(f"n{n}:x")
        rig.append(room=f"n{n}:x")
        engine.release(f"n{n}:x", NOW)
    for seconds, left in ((9, 3), (10, 2), (20, 1), (30, 0)):
        engine.tick(NOW + seconds * 1000)
        assert len(engine) == left
