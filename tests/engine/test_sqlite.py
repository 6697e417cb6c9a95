"""The SQLite engine keeps the contract, and what it was told outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from fastchat.config import Config, Durability, RoomOptions
from fastchat.engine.base import Fact, Query, Record, Stored
from fastchat.errors import Code, ProtocolError
from fastchat.protocol.codec import pack
from tests.engine.contract import NOW, EngineContract, Rig, folded, offsets, options
from tests.engine.rigs import StoreRig

KINDS = Config(
    rooms={kind.value: RoomOptions(durability=kind) for kind in Durability} | {"default": RoomOptions()}
)
MEMORY, PROCESS, POWER = "memory:x", "process:x", "power:x"


class Place:
    """Where rigs are opened and closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rigs: list[StoreRig] = []
        self.copies = count()

    def open(self, config: Config | None = None, folder: Path | None = None, boot: str = "boot") -> StoreRig:
        rig = StoreRig(config or Config(), folder or self.folder, boot)
        self.rigs.append(rig)
        return rig

    def close(self, rig: StoreRig) -> None:
        rig.close()
        self.rigs.remove(rig)

    def again(
        self, rig: StoreRig, killed: bool, boot: str = "boot", config: Config | None = None
    ) -> StoreRig:
        """The same store in the next run, which holds the same rooms."""
        folder = rig.copy(self.folder / f"copy-{next(self.copies)}") if killed else rig.folder
        held = list(rig.engine._held)
        self.close(rig)
        found = self.open(config or rig.config, folder, boot)
        for room in held:
            found.engine.hold(room)
        return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    for rig in list(found.rigs):
        found.close(rig)


class TestSqlite(EngineContract):
    @pytest.fixture(autouse=True)
    def _place(self, place: Place) -> None:
        self.place = place

    def make(self, config: Config) -> Rig:
        return self.place.open(config)


class TestSqliteInMemory(EngineContract):
    """Rooms that live in the memory engine inside."""

    @pytest.fixture(autouse=True)
    def _place(self, place: Place) -> None:
        self.place = place

    def make(self, config: Config) -> Rig:
        rooms = {"default": RoomOptions()} | dict(config.rooms)
        fields = RoomOptions.__dataclass_fields__
        volatile = {
            name: RoomOptions(
                **{key: getattr(room, key) for key in fields} | {"durability": Durability.MEMORY}
            )
            for name, room in rooms.items()
        }
        outer = {key: getattr(config, key) for key in Config.__dataclass_fields__ if key != "rooms"}
        return self.place.open(Config(**outer, rooms=volatile))


def held(place: Place, config: Config | None = None, *rooms: str) -> StoreRig:
    rig = place.open(config)
    for room in rooms or ("lobby",):
        rig.engine.hold(room)
    return rig


# --- what outlives the server

both = pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])


@both
def test_messages_outlive_the_server(place: Place, killed: bool) -> None:
    rig = held(place)
    entry = {"user": "Ádá", "data": pack([1, None, b"\xff"]), "opts": pack({"key": "k"}), "expires": NOW + 9}
    rig.append(**entry)
    rig.append("two")
    before = rig.read()
    rig = place.again(rig, killed)
    assert rig.read() == before
    assert rig.read(since=(before.epoch, 1)).recovered is True
    assert rig.append().offset == 3


@both
def test_a_room_that_keeps_nothing_goes_on_counting(place: Place, killed: bool) -> None:
    rig = held(place, options(history=0))
    epoch = rig.read().epoch
    assert [rig.append().offset for _ in range(3)] == [1, 2, 3]
    rig = place.again(rig, killed)
    assert rig.read(since=(epoch, 3)).recovered is True
    assert rig.append().offset == 4


@both
def test_keys_outlive_the_server(place: Place, killed: bool) -> None:
    rig = held(place)
    rig.append(key=("ada", "k"))
    rig.append(key=("ada", "volatile"), keep=False)
    rig = place.again(rig, killed)
    assert rig.append(key=("ada", "k"), now=NOW + 1000) == Stored(1, NOW, True)
    assert rig.append(key=("ada", "volatile"), now=NOW + 1000) == Stored(0, NOW, True)
    rig.engine.tick(NOW + 300_000)
    assert rig.append(key=("ada", "k"), now=NOW + 300_000) == Stored(2, NOW + 300_000, False)
    rig = place.again(rig, killed)
    assert rig.append(key=("ada", "k"), now=NOW + 300_001) == Stored(2, NOW + 300_000, True)
    assert rig.store.database.execute("SELECT count(*) FROM keys").fetchone() == (1,)


def test_the_shares_of_keys_outlive_the_server(place: Place) -> None:
    rig = held(place, Config(idempotency_bytes=50_000))
    with pytest.raises(ProtocolError):
        for number in range(1000):
            rig.append(key=("hog", str(number)))
    rig = place.again(rig, True)
    with pytest.raises(ProtocolError) as caught:
        rig.append(key=("hog", "one more"))
    assert caught.value.code is Code.OVERLOADED
    assert rig.append(key=("other", "k")).offset == rig.read().offset


@both
def test_changes_outlive_the_server(place: Place, killed: bool) -> None:
    rig = held(place)
    for text in ("one", "two", "three"):
        rig.append(text)
    rig.change("edit", 1, "ONE")
    rig.change("react", 2, ["+1", True])
    rig.change("edit", 3, "SECRET")
    rig = place.again(rig, killed)
    rig.change("delete", 3)
    rig.change("react", 2, ["+1", True], user="bob", author="g:bob")
    rig = place.again(rig, killed)
    assert folded(rig)[:3] == [
        ("ONE", {"edited": NOW}), ("two", {"reactions": {"+1": ["ada", "bob"]}}), (None, {"deleted": NOW})
    ]  # fmt: skip
    assert all(b"SECRET" not in entry.data + entry.opts for entry in rig.read().entries)
    charged = sum(len(entry.data) + len(entry.opts) + 208 for entry in rig.read().entries)
    assert rig.store.logs.get("lobby").bytes == charged


@both
def test_facts_and_records_outlive_the_server(place: Place, killed: bool) -> None:
    rig = held(place)
    facts = [
        Fact("role", "lobby", "t:1", b"\1"),
        Fact("ban", "", "u:eve", b"\2"),
        Fact("role", "x", "t:1", b"\3"),
    ]
    records = [Record(NOW, "lobby", "ada", "ban", "eve", b"\x80")]
    assert rig.engine.keep(facts, records, "a") is False
    assert rig.engine.keep([facts[0]._replace(value=b"\4"), facts[1]._replace(value=b"")], (), "b") is False
    rig.settle()
    assert [(one.what, one.ticket) for one in rig.log.told] == [("kept", "a"), ("kept", "b")]
    rig = place.again(rig, killed)
    assert sorted(rig.engine.facts()) == [
        Fact("role", "lobby", "t:1", b"\4"),
        Fact("role", "x", "t:1", b"\3"),
    ]
    assert rig.store.database.execute("SELECT * FROM records").fetchall() == [(1, *records[0])]


def test_the_audit_log_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastchat.engine.store.MAX_RECORDS", 10)
    rig = held(place)
    for number in range(25):
        rig.engine.keep((), [Record(number, "", "ada", "ban", "eve", b"\x80")], number)
    rig.settle()
    kept = [ts for (ts,) in rig.store.database.execute("SELECT ts FROM records ORDER BY id")]
    assert kept == list(range(15, 25))


def test_memory_rooms_are_gone_with_the_server(place: Place) -> None:
    rig = held(place, KINDS, MEMORY, PROCESS)
    assert rig.append(room=MEMORY).offset == 1
    epoch = rig.read(MEMORY).epoch
    rig = place.again(rig, False)
    rig.engine.hold(MEMORY)
    assert rig.read(MEMORY).epoch != epoch and rig.read(MEMORY).offset == 0


def test_a_lower_limit_holds_from_the_next_start(place: Place) -> None:
    rig = held(place, options(history=100))
    for _ in range(50):
        rig.append()
    rig = place.again(rig, False, config=options(history=7))
    assert offsets(rig.read()) == list(range(44, 51))
    rig.append()
    assert rig.store.database.execute("SELECT count(*) FROM messages").fetchone() == (7,)


def test_a_room_that_is_to_keep_nothing_deletes_what_it_kept(place: Place) -> None:
    rig = held(place, options(history=100))
    for _ in range(50):
        rig.append()
    rig = place.again(rig, False, config=options(history=0))
    assert rig.append().offset == 51
    assert rig.store.database.execute("SELECT count(*) FROM messages").fetchone() == (0,)
    log = rig.store.logs.get("lobby")
    assert (log.head, log.oldest, log.bytes) == (51, 52, 0)
    rig = place.again(rig, False, config=options(history=100))
    rig.append()
    assert offsets(rig.read()) == [52]


def test_what_is_over_the_limits_is_deleted(place: Place) -> None:
    rig = held(place, options(history=100, history_bytes=100_000))
    for _ in range(300):
        rig.append("x" * 100)
        assert rig.store.database.execute("SELECT count(*) FROM messages").fetchone()[0] <= 113
    for _ in range(30):
        rig.append("x" * 10_000)
        size = rig.store.database.execute("SELECT sum(length(data)) FROM messages").fetchone()[0]
        assert size <= 100_000
    log = rig.store.logs.get("lobby")
    first, count, size = rig.store.database.execute(
        "SELECT min(offset), count(*), sum(length(data) + length(opts) + 208) FROM messages"
    ).fetchone()
    assert (log.oldest, log.head - log.oldest + 1, log.bytes) == (first, count, size)


def test_rooms_that_nobody_holds_age_too(place: Place) -> None:
    rig = held(place, options(history_age_seconds=60), "a", "b")
    rig.append(room="a")
    rig.append(room="b", now=NOW + 50_000)
    epochs = {room: rig.read(room).epoch for room in "ab"}
    for room in "ab":
        rig.engine.release(room, NOW)
    rig.engine.tick(NOW + 60_000)
    rig.engine.hold("a")
    page = rig.read("a")
    assert (page.offset, list(page.entries)) == (0, [])
    assert page.epoch not in epochs.values(), "it is forgotten, so its offsets begin again in another epoch"
    rig.engine.hold("b")
    assert rig.read("b", since=(epochs["b"], 0)).recovered is True
    assert rig.store.database.execute("SELECT name FROM rooms").fetchall() == [("b",)]


# --- what does not wait


def test_memory_rooms_answer_at_once(place: Place) -> None:
    rig = held(place, KINDS, MEMORY)
    stored = rig.engine.append(MEMORY, "ada", "", b"\1", b"\x80", None, 0, True, NOW, "t")
    assert stored == Stored(1, NOW, False)
    pages = rig.engine.read([Query(MEMORY, 5)], "t")
    assert pages is not None and offsets(pages[0]) == [1]
    assert rig.engine.change(MEMORY, "ada", "", "react", 1, pack(["+1", True]), False, NOW, "t")


def test_rooms_with_a_radius_answer_at_once(place: Place) -> None:
    rig = held(place, Config(rooms={"default": RoomOptions(radius=5.0)}), "world:1")
    ask = ("world:1", "ada", "", b"\1", b"\x80", ("ada", "k"), 0, False, NOW, "t")
    assert rig.engine.append(*ask) == Stored(0, NOW, False)
    assert rig.engine.append(*ask) == Stored(0, NOW, True)


def test_what_is_not_kept_waits_only_behind_its_room(place: Place) -> None:
    rig = held(place, None, "a", "b")
    volatile = {"data": b"\1", "opts": b"\x80", "expires": 0, "keep": False, "now": NOW}
    assert rig.engine.append("a", "ada", "", key=None, ticket=1, **volatile) == Stored(0, NOW, False)
    rig.ask(room="a")
    assert rig.engine.append("b", "ada", "", key=None, ticket=2, **volatile) == Stored(0, NOW, False)
    assert rig.engine.append("a", "ada", "", key=None, ticket=3, **volatile) is None
    rig.settle()
    assert [(one.ticket, one.value.offset) for one in rig.log.told] == [(1, 1), (3, 0)]
    assert rig.engine.append("a", "ada", "", key=None, ticket=4, **volatile) == Stored(0, NOW, False)


def test_a_read_of_both_kinds_shows_memory_as_it_is_when_it_is_told(place: Place) -> None:
    rig = held(place, KINDS, MEMORY, PROCESS)
    rig.append(room=PROCESS)
    assert rig.engine.read([Query(MEMORY, 5), Query(PROCESS, 5), Query(MEMORY, 0)], "both") is None
    rig.ask(room=MEMORY)  # told at once, so it must be in the page
    rig.ask(room=PROCESS)  # told after the page, so it must not
    rig.settle()
    pages = next(one.value for one in rig.log.told if one.ticket == "both")
    assert [offsets(page) for page in pages] == [[1], [1], []]


def test_a_room_that_is_held_again_has_not_changed(place: Place) -> None:
    rig = held(place)
    rig.append()
    page = rig.read()
    rig.engine.release("lobby", NOW)
    rig.engine.hold("lobby")
    assert rig.read() == page
    assert rig.append().offset == 2


# --- chance: whatever happens in whatever order, nothing told is lost, doubled or moved


@pytest.mark.parametrize("seed", range(25))
def test_restarts_at_random_places(place: Place, seed: int) -> None:
    chance = Random(seed)
    rooms = ("a", "b", "power:c")
    config = Config(
        rooms={
            "default": RoomOptions(
                history=chance.choice((0, 3, 1000)), history_bytes=chance.choice((2000, 10**6))
            ),
            "power": RoomOptions(durability=Durability.POWER),
        }
    )
    rig = held(place, config, *rooms)
    seen: dict[tuple[str, str, int], bytes] = {}  # room, epoch, offset
    heads = dict.fromkeys(rooms, 0)
    keys: dict[tuple[str, str], Stored] = {}
    for step in range(150):
        room = chance.choice(rooms)
        roll = chance.random()
        if roll < 0.6:
            key = str(chance.randrange(40)) if chance.random() < 0.5 else None
            text = f"{step}" + "x" * chance.randrange(200)
            now = NOW + step
            stored = rig.append(text, room, key=None if key is None else ("ada", key), now=now)
            known = keys.get((room, key)) if key is not None else None
            if known is not None:
                assert stored == known._replace(duplicate=True)
                continue
            heads[room] += 1
            assert stored == Stored(heads[room], now, False)
            if key is not None:
                keys[room, key] = stored
            assert seen.setdefault((room, rig.read(room).epoch, stored.offset), pack(text)) == pack(text)
        elif roll < 0.9:
            since = chance.randint(0, heads[room])
            epoch = rig.read(room).epoch
            page = rig.read(room, since=(epoch, since))
            assert page.offset == heads[room]
            for entry in page.entries:
                assert seen[room, epoch, entry.offset] == entry.data
            if page.recovered:
                assert offsets(page) == list(range(since + 1, heads[room] + 1))
        else:
            rig = place.again(rig, chance.random() < 0.7, "boot")
