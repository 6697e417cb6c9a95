"""What every engine promises (`fastchat/engine/base.py`), as a suite that each engine's own tests inherit.

An engine that answers later gives a `Rig` whose `settle` waits until all is answered; the suite then sees
what the sink was told.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import pytest

from fastchat.config import Config, RoomOptions
from fastchat.engine.base import MAX_PAGE, Engine, Entry, Fact, Page, Query, Stored
from fastchat.errors import Code, ProtocolError
from fastchat.protocol.codec import pack, unpack

NOW = 1_000_000
EMPTY = b"\x80"


class Told(NamedTuple):
    """One call of the sink, or one answer given at once."""

    what: str
    ticket: object
    value: Any


class Log:
    """A sink that notes in which order it was told what."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def stored(self, ticket: object, stored: Stored) -> None:
        self.told.append(Told("stored", ticket, stored))

    def failed(self, ticket: object, error: ProtocolError) -> None:
        self.told.append(Told("failed", ticket, error))

    def kept(self, ticket: object) -> None:
        self.told.append(Told("kept", ticket, None))

    def known(self, facts: Sequence[Fact]) -> None:
        self.told.append(Told("known", None, facts))

    def moved(self, rooms: Sequence[str]) -> None:
        self.told.append(Told("moved", None, rooms))

    def pages(self, ticket: object, pages: Sequence[Page]) -> None:
        self.told.append(Told("pages", ticket, pages))


class Rig:
    """An engine under test and what it told."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.log = Log()
        self._tickets = 0
        engine.attach(self.log)

    def settle(self) -> None:
        """Wait until the engine has told everything; nothing to do where it answers at once."""

    def ask(self, text: str = "x", room: str = "lobby", **given: Any) -> int:
        """Append without waiting; returns the ticket."""
        self._tickets += 1
        with_defaults: dict[str, Any] = {
            "user": "ada", "author": "g:ada", "data": pack(text), "opts": EMPTY, "key": None, "expires": 0,
            "keep": True, "now": NOW,
        }  # fmt: skip
        answer = self.engine.append(room, **(with_defaults | given), ticket=self._tickets)
        if answer is not None:
            self.log.stored(self._tickets, answer)
        return self._tickets

    def append(self, text: str = "x", room: str = "lobby", **given: Any) -> Stored:
        """Append and wait."""
        return self._place(self.ask(text, room, **given))

    def _place(self, ticket: int) -> Stored:
        self.settle()
        told = [one.value for one in self.log.told if one.ticket == ticket]
        assert len(told) == 1
        if isinstance(told[0], ProtocolError):
            raise told[0]
        assert isinstance(told[0], Stored)
        return told[0]

    def ask_change(self, kind: str, target: int, value: Any = None, **given: Any) -> int:
        """Change without waiting; `value` is packed here. Returns the ticket."""
        self._tickets += 1
        with_defaults: dict[str, Any] = {
            "room": "lobby", "user": "ada", "author": "g:ada", "privileged": False, "now": NOW,
        }  # fmt: skip
        answer = self.engine.change(
            kind=kind, target=target, value=pack(value), ticket=self._tickets, **(with_defaults | given)
        )
        if answer is not None:
            self.log.stored(self._tickets, answer)
        return self._tickets

    def change(self, kind: str, target: int, value: Any = None, **given: Any) -> Stored:
        """Change and wait."""
        return self._place(self.ask_change(kind, target, value, **given))

    def read_all(self, *queries: Query) -> list[Page]:
        """Read and wait."""
        self._tickets += 1
        ticket = self._tickets
        answer = self.engine.read(queries, ticket)
        if answer is not None:
            self.log.pages(ticket, answer)
        self.settle()
        told = [one.value for one in self.log.told if one.ticket == ticket]
        assert len(told) == 1
        return list(told[0])

    def read(self, room: str = "lobby", limit: int = 1000, **given: Any) -> Page:
        """Read one page and wait."""
        return self.read_all(Query(room, limit, **given))[0]


def offsets(page: Page) -> list[int]:
    return [entry.offset for entry in page.entries]


def options(**given: Any) -> Config:
    """Make a configuration with these options for all rooms."""
    outer = {name: given.pop(name) for name in list(given) if name in Config.__dataclass_fields__}
    return Config(rooms={"default": RoomOptions(**given)}, **outer)


def folded(rig: Rig, room: str = "lobby") -> list[tuple[Any, Any]]:
    """List data and opts of all entries, decoded."""
    return [(unpack(entry.data), unpack(entry.opts)) for entry in rig.read(room).entries]


class ChangeContract:
    """What every engine promises of changes; part of `EngineContract`."""

    def held(self, config: Config | None = None, *rooms: str) -> Rig:
        raise NotImplementedError

    def test_an_edit_takes_an_offset_and_is_folded_into_its_message(self) -> None:
        rig = self.held()
        rig.append("one", opts=pack({"reply_to": 7, "mentions": ["bob"]}))
        rig.append("two")
        assert rig.change("edit", 1, "ONE", now=NOW + 5) == Stored(3, NOW + 5, False)
        assert folded(rig) == [
            ("ONE", {"reply_to": 7, "mentions": ["bob"], "edited": NOW + 5}),
            ("two", {}),
            (None, {"change": "edit", "target": 1, "value": "ONE"}),
        ]
        edited, _, change = rig.read().entries
        assert (edited.offset, edited.ts, edited.user, edited.author) == (1, NOW, "ada", "g:ada")
        assert (change.offset, change.ts, change.user, change.author) == (3, NOW + 5, "ada", "g:ada")

    def test_data_is_edited_byte_for_byte(self) -> None:
        rig = self.held()
        rig.append("one")
        odd = b"\xd9\x01x"  # a str in a longer form than need be
        ticket = rig.ask_change("edit", 1)
        rig.settle()
        rig.engine.change("lobby", "ada", "g:ada", "edit", 1, odd, False, NOW, ticket + 1000)
        rig.settle()
        assert rig.read().entries[0].data == odd
        assert rig.read().entries[2].opts.endswith(odd)

    def test_a_deleted_message_leaves_nothing_of_what_it_said(self) -> None:
        rig = self.held()
        rig.append("SECRET one", opts=pack({"reply_to": 7, "key": "SECRET key", "mentions": ["SECRET"]}))
        rig.append("other")
        for number in range(3):
            rig.change("edit", 1, f"SECRET {number}")
        rig.change("edit", 2, "kept")
        rig.change("react", 1, ["\N{THUMBS UP SIGN}", True], user="bob", author="g:bob")
        assert rig.change("delete", 1, now=NOW + 9) == Stored(8, NOW + 9, False)
        blank = (None, {"change": "edit", "target": 1, "value": None})
        assert folded(rig) == [
            (None, {"reply_to": 7, "deleted": NOW + 9}),
            ("kept", {"edited": NOW}),
            blank, blank, blank,
            (None, {"change": "edit", "target": 2, "value": "kept"}),
            (None, {"change": "react", "target": 1, "value": ["\N{THUMBS UP SIGN}", True]}),
            (None, {"change": "delete", "target": 1, "value": None}),
        ]  # fmt: skip
        assert all(b"SECRET" not in entry.data + entry.opts for entry in rig.read().entries)

    def test_reactions_are_gathered(self) -> None:
        rig = self.held()
        rig.append("one")
        for user, emoji, on in (
            ("ada", "+1", True), ("bob", "+1", True), ("bob", "heart", True), ("ada", "+1", False)
        ):  # fmt: skip
            assert not rig.change("react", 1, [emoji, on], user=user, author=f"g:{user}").duplicate
        assert folded(rig)[0] == ("one", {"reactions": {"+1": ["bob"], "heart": ["bob"]}})
        rig.change("react", 1, ["+1", False], user="BOB", author="g:bob")
        rig.change("react", 1, ["heart", False], user="bob", author="g:bob")
        assert folded(rig)[0] == ("one", {})
        assert offsets(rig.read()) == [1, 2, 3, 4, 5, 6, 7]

    def test_a_reaction_that_changes_nothing_takes_no_place(self) -> None:
        rig = self.held()
        rig.append("one")
        rig.change("react", 1, ["+1", True])
        for user, on in (("ada", True), ("Ada", True), ("bob", False)):
            assert rig.change("react", 1, ["+1", on], user=user, now=NOW + 1) == Stored(0, NOW + 1, True)
        assert rig.change("react", 1, ["heart", False]).duplicate
        assert offsets(rig.read()) == [1, 2]
        assert rig.append().offset == 3

    def test_reactions_are_bounded(self) -> None:
        rig = self.held(options(history=10_000))
        rig.append("many")
        rig.append("long")
        for number in range(64):
            rig.change("react", 1, [str(number), True])
        self.refused(rig, Code.BAD_ARGUMENT, "react", 1, ["64", True])
        rig.change("react", 1, ["63", True], user="bob")
        rig.change("react", 1, ["63", False])
        rig.change("react", 1, ["63", False], user="bob")
        assert rig.change("react", 1, ["64", True]).offset, "one gone makes room for one"
        with pytest.raises(ProtocolError) as caught:
            for number in range(1000):
                rig.change("react", 2, ["+1", True], user=f"user-{number:027}", author=f"g:{number}")
        assert caught.value.code is Code.BAD_ARGUMENT
        size = len(rig.read().entries[1].opts)
        assert 8000 < size <= 8 * 1024 + 32
        assert rig.change("react", 2, ["+1", False], user=f"user-{0:027}").offset

    def refused(self, rig: Rig, code: Code, kind: str, target: int, value: Any = None, **given: Any) -> None:
        """Check that a change is refused and stores nothing."""
        before = rig.read().entries
        with pytest.raises(ProtocolError) as caught:
            rig.change(kind, target, value, **given)
        assert caught.value.code is code
        assert list(rig.read().entries) == list(before)

    @pytest.mark.parametrize(
        ("kind", "value"),
        [("edit", "x"), ("delete", None), ("react", ["+1", True]), ("react", ["+1", False])],
    )
    def test_only_what_is_there_can_be_changed(self, kind: str, value: Any) -> None:
        rig = self.held(options(history=6))
        for expires in (0, 0, NOW + 10, 0):
            rig.append(expires=expires)
        rig.change("delete", 2)
        rig.change("edit", 4, "y")
        missing = Code.NO_SUCH_MESSAGE
        for target in (0, 2, 5, 6, 7, 2**53 - 1):  # none, deleted, a change, a change, in the future
            self.refused(rig, missing, kind, target, value, privileged=True)
        self.refused(rig, missing, kind, 3, value, now=NOW + 10)
        rig.append()
        self.refused(rig, missing, kind, 1, value)
        assert rig.change(kind, 4, value, now=NOW + 9).duplicate is (value == ["+1", False])

    def test_who_may_change_what(self) -> None:
        rig = self.held()
        for _ in range(3):
            rig.append()
        rig.append(author="")
        forbidden = Code.FORBIDDEN
        bob: dict[str, Any] = {"user": "bob", "author": "g:bob"}
        self.refused(rig, forbidden, "edit", 1, "x", **bob)
        self.refused(rig, forbidden, "edit", 1, "x", privileged=True, **bob)
        self.refused(rig, forbidden, "edit", 1, "x", author="g:other")  # the name alone says nothing
        self.refused(rig, forbidden, "delete", 1, **bob)
        self.refused(rig, forbidden, "edit", 4, "x", author="")  # nobody's
        assert rig.change("react", 1, ["+1", True], **bob).offset == 5
        assert rig.change("delete", 1, privileged=True, **bob).offset == 6
        assert rig.change("delete", 2, user="renamed").offset == 7
        assert rig.change("edit", 3, "x", user="renamed").offset == 8

    def test_an_edit_does_not_outlive_its_message(self) -> None:
        rig = self.held()
        rig.append(expires=NOW + 100)
        rig.change("edit", 1, "x", now=NOW + 50)
        assert [entry.expires for entry in rig.read().entries] == [NOW + 100, NOW + 100]

    def test_changes_and_messages_are_told_in_one_order(self) -> None:
        rig = self.held()
        tickets = [rig.ask("one"), rig.ask_change("edit", 1, "x")]
        tickets += [rig.ask("two"), rig.ask_change("delete", 3)]
        rig.settle()
        assert [(one.what, one.ticket, one.value.offset) for one in rig.log.told] == [
            ("stored", ticket, number + 1) for number, ticket in enumerate(tickets)
        ]
        epoch = rig.read().epoch
        assert offsets(rig.read(since=(epoch, 1))) == [2, 3, 4]

    def test_what_grows_by_changes_is_bounded_too(self) -> None:
        rig = self.held(options(history_bytes=20_000))
        for _ in range(20):
            rig.append("x" * 100)
        for target in range(15, 20):
            rig.change("edit", target, "y" * 3000)
        page = rig.read()
        assert offsets(page)[-1] == 25
        assert sum(len(entry.data) + len(entry.opts) for entry in page.entries) <= 20_000
        assert offsets(page) == list(range(offsets(page)[0], 26))


class EngineContract(ChangeContract):
    """Inherit this in a class `Test...` and say how to make the engine."""

    def make(self, config: Config) -> Rig:
        raise NotImplementedError

    def held(self, config: Config | None = None, *rooms: str) -> Rig:
        """Make an engine that holds these rooms, "lobby" if none is named."""
        rig = self.make(config or Config())
        for room in rooms or ("lobby",):
            rig.engine.hold(room)
        return rig

    def test_offsets_count_from_one_in_each_room(self) -> None:
        rig = self.held(None, "a", "b")
        assert [rig.append(room=room).offset for room in "aabab"] == [1, 2, 1, 3, 2]

    def test_an_entry_comes_back_as_it_was_appended(self) -> None:
        rig = self.held()
        data, opts = pack([1, None, b"\xff", {"a": 1.5}]), pack({"key": "k"})
        place = rig.append(user="Ádá", data=data, opts=opts, expires=NOW + 5, now=NOW)
        assert place == Stored(1, NOW, False)
        assert list(rig.read().entries) == [Entry(1, NOW, "Ádá", data, opts, NOW + 5, "g:ada")]

    def test_answers_come_in_the_order_of_the_appends(self) -> None:
        rig = self.held()
        tickets = [rig.ask(str(number)) for number in range(50)]
        rig.settle()
        assert [(one.what, one.ticket, one.value.offset) for one in rig.log.told] == [
            ("stored", ticket, number + 1) for number, ticket in enumerate(tickets)
        ]

    def test_a_page_stands_in_order_among_the_appends(self) -> None:
        rig = self.held()
        rig.ask()
        rig.ask()
        answer = rig.engine.read((Query("lobby", 10),), "page")
        if answer is not None:
            rig.log.pages("page", answer)
        rig.ask()
        rig.settle()
        assert [one.what for one in rig.log.told] == ["stored", "stored", "pages", "stored"]
        assert offsets(rig.log.told[2].value[0]) == [1, 2]

    def test_an_empty_room_reads_as_empty(self) -> None:
        rig = self.held()
        page = rig.read()
        assert (page.offset, list(page.entries), page.more, page.recovered) == (0, [], False, None)
        assert page.epoch and rig.read().epoch == page.epoch

    def test_newest(self) -> None:
        rig = self.held()
        for _ in range(5):
            rig.append()
        assert offsets(rig.read(limit=2)) == [4, 5]
        assert offsets(rig.read(limit=0)) == []
        assert offsets(rig.read(limit=9)) == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize(
        ("query", "expected", "more"),
        [
            ({"after": 2, "limit": 2}, [3, 4], True),
            ({"after": 0, "limit": 9}, [1, 2, 3, 4, 5], False),
            ({"after": 3, "limit": 2}, [4, 5], False),
            ({"after": 5, "limit": 2}, [], False),
            ({"after": 99, "limit": 2}, [], False),
            ({"after": 1, "limit": 0}, [], True),
            ({"before": 4, "limit": 2}, [2, 3], True),
            ({"before": 3, "limit": 2}, [1, 2], False),
            ({"before": 1, "limit": 2}, [], False),
            ({"before": 0, "limit": 2}, [], False),
            ({"before": 99, "limit": 2}, [4, 5], True),
            ({"before": 4, "limit": 0}, [], True),
        ],
    )
    def test_after_and_before(self, query: dict[str, Any], expected: list[int], more: bool) -> None:
        rig = self.held()
        for _ in range(5):
            rig.append()
        page = rig.read(**query)
        assert (offsets(page), page.more, page.offset) == (expected, more, 5)

    def test_recovery_is_complete_or_refused(self) -> None:
        rig = self.held(options(history=3))
        epoch = rig.read().epoch
        for _ in range(5):
            rig.append()
        for offset, expected in ((5, []), (4, [5]), (2, [3, 4, 5])):
            page = rig.read(since=(epoch, offset), limit=0)
            assert (page.recovered, offsets(page), page.more) == (True, expected, False)
        for since in ((epoch, 1), (epoch, 0), (epoch, 6), ("other", 5), ("", 0)):
            page = rig.read(since=since, limit=2)
            assert (page.recovered, offsets(page)) == (False, [4, 5]), since

    def test_several_rooms_in_one_read(self) -> None:
        rig = self.held(None, "a", "b")
        rig.append(room="a")
        pages = rig.read_all(Query("b", 5), Query("a", 5), Query("a", 0))
        assert [(page.offset, offsets(page)) for page in pages] == [(0, []), (1, [1]), (1, [])]

    def test_a_page_is_cut_but_never_empty(self) -> None:
        rig = self.held(options(history_bytes=64 * MAX_PAGE))
        big = b"\xc6" + (MAX_PAGE // 2).to_bytes(4, "big") + bytes(MAX_PAGE // 2)
        huge = b"\xc6" + (MAX_PAGE * 2).to_bytes(4, "big") + bytes(MAX_PAGE * 2)
        for data in (big, big, huge, big):
            rig.append(data=data)
        epoch = rig.read(limit=0).epoch
        cases: list[tuple[dict[str, Any], list[int], bool]] = [
            ({"since": (epoch, 0)}, [1], True),
            ({"since": (epoch, 2)}, [3], True),
            ({"after": 1}, [2], True),
            ({"after": 2}, [3], True),
            ({"before": 4}, [3], True),
            ({"before": 3}, [2], True),
            ({}, [4], True),
        ]
        for query, expected, more in cases:
            page = rig.read(**query)
            assert (offsets(page), page.more) == (expected, more), query

    def test_pages_of_one_read_are_cut_together(self) -> None:
        rig = self.held(options(history_bytes=64 * MAX_PAGE), "a", "b", "c")
        third = b"\xc6" + (MAX_PAGE // 3).to_bytes(4, "big") + bytes(MAX_PAGE // 3)
        for room in "abc":
            for _ in range(4):
                rig.append(room=room, data=third)
        pages = rig.read_all(*(Query(room, 4, after=0) for room in "abc"))
        assert [(offsets(page), page.more) for page in pages] == [([1, 2], True), ([1], True), ([1], True)]

    def test_history_is_bounded_by_count(self) -> None:
        rig = self.held(options(history=10))
        for _ in range(35):
            rig.append()
        page = rig.read()
        assert offsets(page) == list(range(26, 36))
        assert page.offset == 35

    def test_history_is_bounded_by_bytes(self) -> None:
        rig = self.held(options(history_bytes=20_000))
        for _ in range(100):
            rig.append(data=pack("x" * 1000))
        assert 1 <= len(rig.read().entries) <= 20
        assert offsets(rig.read())[-1] == 100

    def test_history_is_bounded_by_age(self) -> None:
        rig = self.held(options(history_age_seconds=60))
        rig.engine.tick(NOW)
        for second in range(5):
            rig.append(now=NOW + second * 1000)
        epoch = rig.read().epoch
        for later, left in ((59_999, [1, 2, 3, 4, 5]), (62_000, [4, 5]), (62_001, [4, 5]), (70_000, [])):
            rig.engine.tick(NOW + later)
            page = rig.read()
            assert (offsets(page), page.offset, page.epoch) == (left, 5, epoch)
            assert rig.read(since=(epoch, 5 - len(left))).recovered is True
            assert rig.read(since=(epoch, 4 - len(left))).recovered is False
        with pytest.raises(ProtocolError) as caught:
            rig.change("edit", 5, "x", now=NOW + 70_000)
        assert caught.value.code is Code.NO_SUCH_MESSAGE
        assert rig.append(now=NOW + 70_000).offset == 6
        assert offsets(rig.read()) == [6]

    def test_what_is_past_its_age_can_no_longer_be_changed(self) -> None:
        rig = self.held(options(history_age_seconds=60))
        rig.append()
        with pytest.raises(ProtocolError) as caught:
            rig.change("edit", 1, "x", now=NOW + 60_000)
        assert caught.value.code is Code.NO_SUCH_MESSAGE

    def test_a_room_may_keep_nothing(self) -> None:
        rig = self.held(options(history=0))
        epoch = rig.read().epoch
        assert [rig.append().offset for _ in range(3)] == [1, 2, 3]
        assert rig.read(since=(epoch, 3)).recovered is True
        assert rig.read(since=(epoch, 2)).recovered is False
        assert offsets(rig.read()) == []

    def test_what_is_not_kept_has_no_offset(self) -> None:
        rig = self.held()
        rig.append()
        assert rig.append(keep=False) == Stored(0, NOW, False)
        assert offsets(rig.read()) == [1]
        assert rig.append().offset == 2

    def test_a_key_stores_once(self) -> None:
        rig = self.held()
        first = rig.append("one", key=("ada", "k"), now=NOW)
        rig.append("between")
        assert rig.append("two", key=("ada", "k"), now=NOW + 299_000) == Stored(first.offset, NOW, True)
        assert len(rig.read().entries) == 2

    def test_a_key_belongs_to_its_owner_and_room(self) -> None:
        rig = self.held(None, "a", "b")
        places = [
            rig.append(room=room, key=key)
            for room, key in (
                ("a", ("ada", "k")), ("b", ("ada", "k")), ("a", ("bob", "k")), ("a", ("ada", "l"))
            )
        ]  # fmt: skip
        assert not any(place.duplicate for place in places)
        assert [place.offset for place in places] == [1, 1, 2, 3]

    def test_a_key_holds_for_what_is_not_kept(self) -> None:
        rig = self.held()
        assert rig.append(keep=False, key=("ada", "k")) == Stored(0, NOW, False)
        assert rig.append(keep=False, key=("ada", "k"), now=NOW + 1) == Stored(0, NOW, True)

    def test_a_key_outlives_the_room(self) -> None:
        rig = self.held(options(history_seconds=0))
        rig.append(key=("ada", "k"))
        rig.engine.release("lobby", NOW)
        rig.engine.hold("lobby")
        assert rig.append(key=("ada", "k"), now=NOW + 1).duplicate

    def test_keys_are_forgotten_after_their_time(self) -> None:
        rig = self.held(Config(idempotency_seconds=300))
        rig.append(key=("ada", "k"))
        rig.engine.tick(NOW + 299_999)
        assert rig.append(key=("ada", "k")).duplicate
        rig.engine.tick(NOW + 600_000)
        assert not rig.append(key=("ada", "k"), now=NOW + 600_000).duplicate

    def test_keys_are_bounded(self) -> None:
        rig = self.held(Config(idempotency_bytes=50_000))
        with pytest.raises(ProtocolError) as caught:
            for number in range(1000):
                rig.append(key=(f"user-{number}", "k"))
        assert caught.value.code is Code.OVERLOADED
        assert caught.value.retry_ms is not None and 1 <= caught.value.retry_ms <= 300_000
        before = rig.read(limit=0).offset
        assert rig.append().offset == before + 1, "without a key it goes on, and the refused one left no hole"
        rig.engine.tick(NOW + 301_000)
        assert not rig.append(key=("later", "k"), now=NOW + 301_000).duplicate

    def test_one_owner_cannot_use_up_all_keys(self) -> None:
        rig = self.held(Config(idempotency_bytes=50_000))
        with pytest.raises(ProtocolError):
            for number in range(1000):
                rig.append(key=("hog", str(number)))
        assert not rig.append(key=("other", "k")).duplicate

    def test_history_survives_an_empty_room_for_its_time(self) -> None:
        rig = self.held(options(history_seconds=60))
        rig.append()
        epoch = rig.read().epoch
        rig.engine.release("lobby", NOW)
        rig.engine.tick(NOW + 59_999)
        rig.engine.hold("lobby")
        page = rig.read(since=(epoch, 0))
        assert (page.recovered, offsets(page)) == (True, [1])

    def test_a_forgotten_room_comes_back_under_another_epoch(self) -> None:
        rig = self.held(options(history_seconds=60))
        rig.append()
        epoch = rig.read().epoch
        rig.engine.release("lobby", NOW)
        rig.engine.tick(NOW + 60_000)
        rig.engine.hold("lobby")
        page = rig.read(since=(epoch, 0))
        if page.offset == 0:  # an engine may keep longer; but offsets never begin again in the same epoch
            assert page.epoch != epoch
            assert page.recovered is False

    def test_a_room_that_never_had_a_message_loses_none(self) -> None:
        rig = self.held()
        epoch = rig.read().epoch
        rig.engine.release("lobby", NOW)
        rig.engine.tick(NOW + 10_000_000)
        rig.engine.hold("lobby")
        assert rig.read(since=(epoch, 0)).recovered is True

    @pytest.mark.parametrize("seed", range(40))
    def test_recovery_lacks_nothing(self, seed: int) -> None:
        """Whatever is kept: `recovered` is True exactly with all entries after the position."""
        chance = Random(seed)
        rig = self.held(options(history=chance.randint(0, 8), history_bytes=4000))
        epoch = rig.read().epoch
        texts = [pack("x" * chance.randint(0, 900)) for _ in range(chance.randint(0, 30))]
        for text in texts:
            rig.append(data=text)
        kept = offsets(rig.read())
        for since in range(len(texts) + 3):
            page = rig.read(since=(epoch, since), limit=3)
            if page.recovered:
                assert [entry.data for entry in page.entries] == texts[since:]
                assert offsets(page) == list(range(since + 1, len(texts) + 1))
            else:
                assert since > len(texts) or since + 1 not in kept
                assert offsets(page) == kept[-3:]
