"""A store that fails refuses what it cannot keep, lets everything else go on, and comes back by itself."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pytest

from fastchat.config import KIB, MIB, Config, Durability, RoomOptions
from fastchat.engine.base import MAX_PAGE, UNREAD, Fact, Query, Stored
from fastchat.engine.jobs import Tick
from fastchat.engine.schema import FILE, connect
from fastchat.engine.writer import AHEAD, MOST_PAGES
from fastchat.errors import Code, ConfigError, ProtocolError
from fastchat.protocol.codec import pack
from tests.conftest import TIMEOUT
from tests.engine.contract import NOW, offsets, options
from tests.engine.rigs import StoreRig

MEMORY = "memory:x"
CONFIG = Config(rooms={"default": RoomOptions(), "memory": RoomOptions(durability=Durability.MEMORY)})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that failed is tried again with the next batch."""
    monkeypatch.setattr("fastchat.engine.writer.REOPEN_SECONDS", 0.0)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[StoreRig]:
    found = opened(tmp_path)
    yield found
    found.close()


def opened(folder: Path, config: Config = CONFIG, *rooms: str) -> StoreRig:
    rig = StoreRig(config, folder)
    for room in rooms or ("lobby", MEMORY):
        rig.engine.hold(room)
    return rig


def refused(rig: StoreRig, **given: Any) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        rig.append(**given)
    return caught.value


def down(error: ProtocolError) -> bool:
    return error.code is Code.STORE_UNAVAILABLE and bool(error.retry_ms)


def limit(rig: StoreRig, more: int) -> None:
    """Let the disk have room for so many pages more; it has one when all is settled."""
    rig.settle()
    pages = rig.store.database.execute("PRAGMA page_count").fetchone()[0]
    rig.store.database.execute(f"PRAGMA max_page_count = {pages + more}")


class Flaky:
    """A connection whose statements fail as they are told to."""

    def __init__(self, database: sqlite3.Connection, fails: Any) -> None:
        self._database = database
        self._fails = fails

    def execute(self, sql: str, *rest: Any) -> Any:
        self._fails(sql)
        return self._database.execute(sql, *rest)

    def executemany(self, sql: str, *rest: Any) -> Any:
        self._fails(sql)
        return self._database.executemany(sql, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def break_by(rig: StoreRig, fails: Any) -> None:
    """Let `fails` be asked before every statement of the store as it is open now."""
    rig.settle()
    flaky: Any = Flaky(rig.store.database, fails)
    rig.store.database = flaky
    rig.store.logs._database = flaky


def failure(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


# --- the disk is full


def test_a_full_disk_refuses_and_comes_back(rig: StoreRig, caplog: pytest.LogCaptureFixture) -> None:
    rig.append("first", key=("ada", "first"))
    limit(rig, 1)
    accepted = 1
    while True:
        try:
            rig.append("x" * 1000)
        except ProtocolError as error:
            assert down(error)
            break
        accepted += 1
    assert accepted < 50
    for _ in range(3):
        assert down(refused(rig, text="x" * 9000, key=("ada", "k")))
    assert rig.append(room=MEMORY).offset == 1
    page = rig.read()
    assert (page.offset, len(page.entries)) == (accepted, accepted), "it is still read"
    assert rig.append(keep=False).offset == 0
    assert not rig.engine.keep([Fact("role", "", "t:1", b"x" * 9000)], (), "fact")
    rig.settle()
    assert [down(one.value) for one in rig.log.told if one.ticket == "fact"] == [True]
    errors = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
    assert len(errors) == 1 and "full" in errors[0], "said once, not for every message"
    limit(rig, 10_000)
    assert rig.append("y", key=("ada", "k")) == Stored(accepted + 1, NOW, False), (
        "no hole, no key left behind"
    )
    assert offsets(rig.read()) == list(range(1, accepted + 2))
    assert rig.append(key=("ada", "first")).duplicate
    assert "works again" in caplog.text


def test_a_new_room_is_not_there_after_it_failed(rig: StoreRig) -> None:
    rig.engine.hold("new")
    epoch = rig.read("new").epoch
    limit(rig, 0)
    assert down(refused(rig, text="x" * 20_000, room="new"))
    assert rig.read("new", since=(epoch, 0)).recovered is True
    limit(rig, 10_000)
    assert rig.append(room="new").offset == 1
    assert rig.read("new", since=(epoch, 0)).recovered is True


def test_a_batch_fails_as_a_whole_and_is_told_in_order(rig: StoreRig) -> None:
    limit(rig, 1)
    tickets = [rig.ask("x" * 5000) for _ in range(100)]
    rig.engine.read([Query("lobby", 1000)], "page")
    tickets += [rig.ask("small", keep=False)]
    rig.settle()
    assert [one.ticket for one in rig.log.told] == [*tickets[:-1], "page", tickets[-1]]
    stored = [one.value.offset for one in rig.log.told if one.what == "stored"][:-1]
    assert stored == list(range(1, len(stored) + 1))
    page = next(one.value[0] for one in rig.log.told if one.what == "pages")
    assert offsets(page) == stored
    assert rig.log.told[-1].value == Stored(0, NOW, False)


# --- other failures


@pytest.mark.parametrize("seed", range(30))
def test_failures_at_random_places(tmp_path: Path, seed: int) -> None:
    """What was told as stored is there, what was told as failed is not; offsets have no holes."""
    chance = Random(seed)
    rig = opened(tmp_path, options(history=chance.choice((5, 1000))))
    codes = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CORRUPT)

    def fails(sql: str) -> None:
        if chance.random() < 0.1:
            raise failure("planted", chance.choice(codes))

    told: dict[int, bytes] = {}
    texts: dict[object, bytes] = {}
    for _ in range(60):
        if not isinstance(rig.store.database, Flaky):
            break_by(rig, fails)
        for _ in range(chance.randint(1, 8)):
            text = str(len(texts))
            texts[rig.ask(text, key=("ada", text) if chance.random() < 0.5 else None)] = pack(text)
        if chance.random() < 0.3:
            rig.engine.read([Query("lobby", 10)], f"page-{chance.random()}")
        rig.settle()
    rig.close()
    assert len({one.ticket for one in rig.log.told}) == len(rig.log.told)
    for one in rig.log.told:
        if one.what == "stored":
            assert one.value.offset not in told
            told[one.value.offset] = texts[one.ticket]
        elif one.what == "failed":
            assert down(one.value)
    assert list(told) == list(range(1, len(told) + 1))
    rig = opened(tmp_path, options(history=1000))
    kept = {entry.offset: entry.data for entry in rig.read().entries}
    assert kept == {offset: told[offset] for offset in kept}
    assert rig.read().offset == len(told)
    rig.close()


def test_a_job_that_cannot_be_done_does_not_spoil_the_others(
    rig: StoreRig, caplog: pytest.LogCaptureFixture
) -> None:
    before = rig.ask()
    wrong = rig.ask(author="\ud800")  # no text that a database can hold
    after = rig.ask()
    rig.settle()
    outcomes = {one.ticket: one.value for one in rig.log.told}
    assert (outcomes[before].offset, outcomes[after].offset) == (1, 2)
    assert outcomes[wrong].code is Code.INTERNAL
    assert "Append failed with UnicodeEncodeError" in caplog.text


def test_a_fault_of_whoever_is_told_keeps_nobody_else_from_it(
    rig: StoreRig, caplog: pytest.LogCaptureFixture
) -> None:
    stored = rig.log.stored

    def faulty(ticket: object, place: Stored) -> None:
        if place.offset == 2:
            raise RuntimeError("secret")
        stored(ticket, place)

    rig.log.stored = faulty  # type: ignore[method-assign]
    for _ in range(3):
        rig.ask()
    rig.settle()
    assert [one.value.offset for one in rig.log.told] == [1, 3]
    assert (rig.engine.bytes, rig.engine.jobs) == (0, 0)
    assert "RuntimeError" in caplog.text and "secret" not in caplog.text
    caplog.clear()


def test_missing_messages_are_never_a_page_with_a_hole(
    rig: StoreRig, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        rig.append()
    rig.store.database.execute("DELETE FROM messages WHERE offset = 3")
    rig.engine.read([Query("lobby", 1000)], "page")
    assert rig.append().offset == 6, "it is this room's trouble alone"
    assert down(next(one.value for one in rig.log.told if one.ticket == "page"))
    assert offsets(rig.read(limit=3)) == [4, 5, 6]
    assert "messages are missing" in caplog.text


def test_a_fault_of_ours_does_not_end_the_thread(rig: StoreRig, caplog: pytest.LogCaptureFixture) -> None:
    undone = rig.engine._writer._undone

    def faulty(*arguments: Any) -> Any:
        rig.engine._writer._undone = undone  # type: ignore[method-assign]
        raise RuntimeError("what somebody wrote")

    rig.engine._writer._undone = faulty  # type: ignore[method-assign]
    assert down(refused(rig, author="\ud800"))
    assert rig.append().offset == 1
    assert "the thread of the store failed with RuntimeError" in caplog.text


# --- a damaged file


def damage(folder: Path) -> bytes:
    garbage = b"not a database" * 1000
    for name in (FILE, f"{FILE}-wal"):
        (folder / name).unlink(missing_ok=True)
    (folder / FILE).write_bytes(garbage)
    return garbage


def test_a_damaged_file_leaves_memory_rooms_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    garbage = damage(tmp_path)
    rig = opened(tmp_path)
    assert rig.engine.facts() is None
    with pytest.raises(ProtocolError):
        rig.engine.keep([Fact("role", "", "t:1", b"x")], (), "fact")
    assert down(refused(rig))
    assert rig.engine.read([Query("lobby", 1)], "page") is None
    rig.settle()
    assert down(rig.log.told[-1].value)
    assert rig.append(room=MEMORY).offset == 1
    assert rig.append(keep=False) == Stored(0, NOW, False)
    called: list[str] = []
    rig.engine.after(lambda: called.append("now"))
    rig.settle()
    assert called == ["now"]
    errors = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
    assert len(errors) == 1 and "damaged" in errors[0] and "backup" in errors[0]
    assert (tmp_path / FILE).read_bytes() == garbage
    (tmp_path / FILE).unlink()
    assert rig.append().offset == 1, "somebody has moved it away"
    assert [one.value for one in rig.log.told if one.what in ("known", "moved")] == [[]]
    rig.close()


def test_memory_rooms_are_read_though_others_cannot_be(tmp_path: Path) -> None:
    damage(tmp_path)
    rig = opened(tmp_path)
    rig.append(room=MEMORY)
    rig.engine.read([Query("lobby", 5), Query(MEMORY, 5)], "both")
    rig.settle()
    lobby, memory = next(one.value for one in rig.log.told if one.ticket == "both")
    assert lobby is UNREAD and offsets(memory) == [1]
    rig.close()


def test_facts_that_could_not_be_read_are_told_once_they_can(tmp_path: Path) -> None:
    rig = opened(tmp_path)
    ban = Fact("ban", "", "u:eve", b"x")
    rig.engine.keep([ban], (), "fact")
    rig.settle()
    rig.close()
    (tmp_path / FILE).rename(tmp_path / "away")
    damage(tmp_path)
    rig = opened(tmp_path)
    assert rig.engine.facts() is None and down(refused(rig))
    (tmp_path / "away").rename(tmp_path / FILE)
    rig.log.told.clear()
    tickets = [rig.ask() for _ in range(3)]
    rig.settle()
    assert [one.what for one in rig.log.told] == ["known", "stored", "stored", "stored"]
    assert rig.log.told[0].value == [ban] and tickets
    rig.close()


# --- what is held while it fails


def lose(rig: StoreRig) -> None:
    """Let the connection be given up; the next batch opens another one."""

    def fails(sql: str) -> None:
        raise failure("planted", sqlite3.SQLITE_IOERR)

    break_by(rig, fails)
    assert down(refused(rig, text="lost"))


def test_a_room_that_is_held_is_not_forgotten_after_a_failure(tmp_path: Path) -> None:
    rig = opened(tmp_path, options(history_age_seconds=10))
    epoch = rig.read().epoch
    rig.engine.hold("quiet")
    quiet = rig.read("quiet").epoch
    for _ in range(3):
        rig.append()
    lose(rig)
    for second in range(20, 30, 2):
        rig.engine.tick(NOW + second * 1000)
        rig.settle()
    assert rig.append(now=NOW + 40_000).offset == 4
    assert rig.read(since=(epoch, 3)).recovered is True
    assert rig.read("quiet", since=(quiet, 0)).recovered is True
    assert not [one for one in rig.log.told if one.what == "moved"]
    rig.close()


@pytest.mark.parametrize(
    "change, offset",
    [
        ("DELETE FROM rooms", 1),
        ("UPDATE rooms SET head = 1", 2),
        ("UPDATE rooms SET head = 9", 10),
        ("UPDATE rooms SET epoch = 'another'", 4),
    ],
)
def test_who_holds_a_room_learns_that_it_is_another(tmp_path: Path, change: str, offset: int) -> None:
    rig = opened(tmp_path, options(history=0))
    epoch = rig.read().epoch
    for _ in range(3):
        rig.append()
    lose(rig)
    other = sqlite3.connect(tmp_path / FILE)
    other.execute(change)
    other.commit()
    other.close()
    rig.log.told.clear()
    assert rig.append().offset == offset
    assert [one.what for one in rig.log.told] == ["moved", "stored"]
    assert rig.log.told[0].value == ["lobby"]
    assert (rig.read().epoch == epoch) == (offset == 10), "no offset comes twice in an epoch"
    lose(rig)
    rig.log.told.clear()
    assert rig.append().offset == offset + 1
    assert [one.what for one in rig.log.told] == ["stored"], "told once"
    rig.close()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL])
def test_a_room_that_is_released_while_it_fails_is_not_held(rig: StoreRig, code: int) -> None:
    rig.append()

    def fails(sql: str) -> None:
        if sql.startswith("BEGIN"):
            raise failure("planted", code)

    break_by(rig, fails)
    for _ in range(2):
        rig.ask("lost")
        rig.engine.release("lobby", NOW)
        rig.settle()
        rig.engine.hold("lobby")
    rig.engine.release("lobby", NOW)
    rig.engine.hold("other")
    if isinstance(rig.store.database, Flaky):
        rig.store.database = rig.store.logs._database = rig.store.database._database
    assert rig.append(room="other").offset == 1
    assert list(rig.store.logs.held) == ["other"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_no_longer_there_is_not_written_to(
    rig: StoreRig, tmp_path: Path, caplog: pytest.LogCaptureFixture, replaced: bool
) -> None:
    rig.append()
    (tmp_path / FILE).rename(tmp_path / "away")
    if replaced:
        (tmp_path / FILE).write_bytes(b"")
    rig.engine.tick(NOW + 5000)
    for _ in range(3):
        assert down(refused(rig))
    assert (tmp_path / FILE).exists() == replaced
    if replaced:
        assert (tmp_path / FILE).read_bytes() == b""
    errors = [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]
    assert len(errors) == 1 and "put it back" in errors[0] and "moved, removed or replaced" in errors[0]
    (tmp_path / "away").replace(tmp_path / FILE)
    assert rig.append().offset == 2
    assert "works again" in caplog.text


def test_a_page_that_was_overwritten_is_found_at_the_start(tmp_path: Path) -> None:
    rig = opened(tmp_path)
    for _ in range(200):
        rig.append("x" * 500)
    rig.close()
    file = tmp_path / FILE
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = os.urandom(8192)
    file.write_bytes(content)
    rig = opened(tmp_path)
    assert down(refused(rig))
    rig.close()
    assert file.read_bytes() == content


def test_a_newer_file_is_an_error_of_the_settings(tmp_path: Path) -> None:
    database = connect(tmp_path / FILE)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ConfigError, match="newer fastchat"):
        opened(tmp_path)


# --- what waits


def test_the_loop_never_waits_for_the_store(tmp_path: Path) -> None:
    """Somebody else holds the database: everything is taken at once, and stored when they let go."""
    rig = opened(tmp_path)
    rig.append()
    other = connect(tmp_path / FILE)
    other.execute("BEGIN IMMEDIATE")
    tickets = [rig.ask() for _ in range(100)]
    assert rig.engine.jobs == 100
    stored = rig.engine.append(MEMORY, "ada", "", b"\1", b"\x80", None, 0, True, NOW, "memory")
    assert stored is not None and stored.offset == 1
    other.execute("ROLLBACK")
    other.close()
    rig.settle()
    assert [one.ticket for one in rig.log.told[1:]] == tickets
    assert offsets(rig.read()) == list(range(1, 102))
    rig.close()


def test_what_waits_for_the_store_is_bounded(tmp_path: Path) -> None:
    config = Config(store_queue_bytes=64 * KIB, max_frame=16 * KIB)
    rig = opened(tmp_path, config, "lobby")
    taken = 0
    with pytest.raises(ProtocolError) as caught:
        for _ in range(1000):
            rig.ask("x" * 1000)  # nobody is told meanwhile, so nothing leaves the queue
            taken += 1
    assert caught.value.code is Code.OVERLOADED and caught.value.retry_ms
    assert 40 <= taken <= 64 and rig.engine.bytes <= 64 * KIB
    for call in (
        lambda: rig.engine.keep([Fact("role", "", "x", b"x" * 2000)], (), "fact"),
        lambda: rig.engine.change("lobby", "a", "", "edit", 1, b"x" * 2000, False, NOW, "change"),
    ):
        with pytest.raises(ProtocolError):
            call()
    rig.settle()
    assert rig.engine.bytes == 0
    assert rig.append().offset == taken + 1, "what was refused left no hole"
    rig.close()


def test_pages_that_wait_to_be_told_are_bounded(tmp_path: Path) -> None:
    rig = opened(tmp_path, options(history_bytes=64 * MIB))
    big = b"\xc6" + (MAX_PAGE - 100).to_bytes(4, "big") + bytes(MAX_PAGE - 100)
    rig.append(data=big)
    batches: list[int] = []
    post = rig.engine._post

    def counted(tell: Any) -> None:
        batches.append(sum(len(big) for _, outcome in tell.args[0] if isinstance(outcome, list)))
        post(tell)

    rig.engine._post = counted
    for number in range(60):
        rig.engine.read([Query("lobby", 1)], number)
    rig.settle()
    assert [one.ticket for one in rig.log.told[1:]] == list(range(60))
    assert max(batches) <= MOST_PAGES + MAX_PAGE and len(batches) >= 60 * len(big) // (MOST_PAGES + MAX_PAGE)
    rig.close()


def test_the_thread_does_not_run_far_ahead_of_the_loop(rig: StoreRig) -> None:
    """At most AHEAD batches are handed over and not told, so their pages are bounded too."""
    for _ in range(5):
        for _ in range(600):
            rig.ask(keep=True)
        assert rig.posted.qsize() <= AHEAD
    rig.settle()
    assert offsets(rig.read())[-1] == 3000


def test_after_comes_after_all_that_was_asked_before(rig: StoreRig) -> None:
    told: list[int] = []
    for _ in range(2000):
        rig.ask()
    rig.engine.after(lambda: told.append(len(rig.log.told)))
    rig.ask()
    rig.settle()
    assert told == [2000]


def test_closing_stores_and_tells_what_waits(tmp_path: Path) -> None:
    rig = opened(tmp_path)
    tickets = [rig.ask() for _ in range(3000)]
    rig.close()
    assert [one.ticket for one in rig.log.told] == tickets
    assert all(one.what == "stored" for one in rig.log.told)


@pytest.mark.parametrize("twice", [False, True])
def test_what_is_put_off_is_told_once_whatever_becomes_of_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, twice: bool
) -> None:
    """A batch with more pages than it may have fails; what it has put off, the end too, is done after it."""
    rig = opened(tmp_path)
    big = b"\xc6" + (MAX_PAGE - 100).to_bytes(4, "big") + bytes(MAX_PAGE - 100)
    rig.append(data=big)
    rig.log.told.clear()
    writer: Any = rig.engine._writer
    if twice:
        writer._undone = None  # a fault where faults are handled
    writer.put = writer._jobs.append  # which wakes nobody, so that all of it is one batch
    wrong = rig.ask(author="\ud800")
    for number in range(30):
        rig.engine.read([Query("lobby", 1)], number)
    last = rig.ask("last")
    del writer.put
    rig.close()
    assert [one.ticket for one in rig.log.told] == [wrong, *range(30), last]
    assert "failed with" in caplog.text


def test_what_comes_after_the_end_does_not_hold_it_up(tmp_path: Path) -> None:
    rig = opened(tmp_path)
    big = b"\xc6" + (MAX_PAGE - 100).to_bytes(4, "big") + bytes(MAX_PAGE - 100)
    rig.append(data=big)
    for number in range(30):  # more pages than a batch may have, so that the end itself is put off
        rig.engine.read([Query("lobby", 1)], number)
    close = rig.engine._writer.put

    def noisy(job: Any) -> None:
        close(job)
        for _ in range(10):
            rig.engine._writer._jobs.append(Tick(NOW))

    rig.engine._writer.put = noisy  # type: ignore[method-assign]
    rig.close()
    assert [one.ticket for one in rig.log.told[1:]] == list(range(30))


def test_a_loop_that_is_closed_does_not_hold_up_the_end(tmp_path: Path) -> None:
    rig = opened(tmp_path)

    def closed(tell: Any) -> None:
        raise RuntimeError("Event loop is closed")

    rig.engine._post = closed
    for _ in range(3000):
        rig.ask()
    rig.close()
    rig = opened(tmp_path)
    assert rig.read().offset == 3000
    rig.close()


def test_reads_that_may_wait_do_not_hold_up_what_is_stored(tmp_path: Path) -> None:
    rig = opened(tmp_path, options(history_bytes=64 * MIB))
    big = b"\xc6" + (MAX_PAGE - 100).to_bytes(4, "big") + bytes(MAX_PAGE - 100)
    rig.append(data=big)
    gate, do = Event(), rig.engine._writer._do

    def gated(jobs: Any) -> Any:
        gate.wait(TIMEOUT)
        return do(jobs)

    rig.engine._writer._do = gated  # type: ignore[method-assign]
    first = rig.ask()
    for number in range(20):
        rig.engine.read([Query("lobby", 1, late=True)], f"read {number}")
    asked = [rig.ask() for _ in range(5)]
    gate.set()
    rig.settle()
    told = [one.ticket for one in rig.log.told[1:]]
    assert told[0] == first and told.index(asked[-1]) <= 6, "at most one read was under way by then"
    assert [one for one in told if isinstance(one, str)] == [f"read {number}" for number in range(20)]
    rig.close()


def test_after_and_the_end_wait_for_reads_that_may_wait(tmp_path: Path) -> None:
    rig = opened(tmp_path, options(history_bytes=64 * MIB))
    big = b"\xc6" + (MAX_PAGE - 100).to_bytes(4, "big") + bytes(MAX_PAGE - 100)
    rig.append(data=big)
    told: list[int] = []
    for number in range(10):
        rig.engine.read([Query("lobby", 1, late=True)], number)
    rig.engine.after(lambda: told.append(len(rig.log.told)))
    rig.settle()
    assert told == [11]
    for number in range(10):
        rig.engine.read([Query("lobby", 1, late=True)], number)
    rig.close()
    assert len(rig.log.told) == 21
