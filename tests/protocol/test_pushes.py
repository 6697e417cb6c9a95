"""Replies and pushes: what a server encodes is what the plain library would, and what a client reads."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from fastchat.errors import Code, ProtocolError
from fastchat.protocol import codec
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Bye,
    Change,
    DirectPush,
    Error,
    Gap,
    Member,
    Message,
    Notice,
    Op,
    PingPush,
    PresencePush,
    Result,
    SignalPush,
)

TS = 1_790_000_000_000
ROOM, ADA, BOB, HI = pack("lobby"), pack("ada"), pack("bob"), pack("hi")
CASES: dict[str, tuple[bytes, list[Any], Any]] = {
    "result": (codec.result(7, {"a": 1}), [64, 7, {"a": 1}], Result(7, {"a": 1})),
    "result_raw": (codec.result_raw(7, b"\x80"), [64, 7, {}], Result(7, {})),
    "error": (codec.error(7, Code.NOT_A_MEMBER, "no"), [65, 7, 304, "no", {}], Error(7, 304, "no")),
    "error with all": (
        codec.error(0, Code.RATE, "slow", 250, "room"),
        [65, 0, 400, "slow", {"retry_ms": 250, "field": "room"}],
        Error(0, 400, "slow", 250, "room"),
    ),
    "message": (
        codec.message(ROOM, 42, TS, ADA, HI),
        [66, "lobby", 42, TS, "ada", "hi", {}],
        Message("lobby", 42, TS, "ada", "hi", {}),
    ),
    "presence": (
        codec.presence_push(ROOM, [codec.member(ADA, b"\x80", TS)], [BOB], 1),
        [67, "lobby", [["ada", {}, TS]], ["bob"], 1],
        PresencePush("lobby", (Member("ada", {}, TS),), ("bob",), 1),
    ),
    "presence without a state": (
        codec.presence_push(ROOM, [codec.member(ADA, codec.NIL, TS)], [], 1),
        [67, "lobby", [["ada", None, TS]], [], 1],
        PresencePush("lobby", (Member("ada", None, TS),), (), 1),
    ),
    "presence of many": (
        codec.presence_push(ROOM, [codec.member(ADA, b"\x80", TS)] * 20, [BOB] * 70000, 20),
        [67, "lobby", [["ada", {}, TS]] * 20, ["bob"] * 70000, 20],
        PresencePush("lobby", (Member("ada", {}, TS),) * 20, ("bob",) * 70000, 20),
    ),
    "direct": (
        codec.direct_push(TS, ADA, HI),
        [68, TS, "ada", "hi", {}],
        DirectPush(TS, "ada", "hi", {}),
    ),
    "change": (
        codec.change(ROOM, 43, TS, ADA, "edit", 42, HI),
        [69, "lobby", 43, TS, "ada", "edit", 42, "hi"],
        Change("lobby", 43, TS, "ada", "edit", 42, "hi"),
    ),
    "notice": (
        codec.notice(ROOM, "kick", BOB, seconds=60, reason="spam", by="ada"),
        [70, "lobby", "kick", "bob", {"seconds": 60, "reason": "spam", "by": "ada"}],
        Notice("lobby", "kick", "bob", 60, "spam", "ada"),
    ),
    "notice of a mark": (
        codec.notice(ROOM, "read", BOB, offset=7),
        [70, "lobby", "read", "bob", {"offset": 7}],
        Notice("lobby", "read", "bob", offset=7),
    ),
    "bare notice": (
        codec.notice(ROOM, "op", BOB),
        [70, "lobby", "op", "bob", {}],
        Notice("lobby", "op", "bob"),
    ),
    "gap": (codec.gap(ROOM, 1, 2, "slow"), [71, "lobby", 1, 2, "slow"], Gap("lobby", 1, 2, "slow")),
    "ping": (codec.ping_push(TS), [72, TS], PingPush(TS)),
    "signal": (codec.signal_push(ADA, HI), [73, "ada", "hi"], SignalPush("ada", "hi")),
    "bye": (
        codec.bye(Code.DRAINING, "bye", True, 1000),
        [74, 102, "bye", {"reconnect": True, "after_ms": 1000}],
        Bye(102, "bye", True, 1000),
    ),
    "bye for good": (
        codec.bye(Code.MALFORMED, "bye", False),
        [74, 300, "bye", {"reconnect": False}],
        Bye(300, "bye", False),
    ),
}


@pytest.mark.parametrize("made,plain,typed", CASES.values(), ids=list(CASES))
def test_encoded_and_read_back(made: bytes, plain: list[Any], typed: Any) -> None:
    assert made == msgpack.packb(plain)
    got = codec.decode_push(made)
    assert got == typed
    assert type(got) is type(typed)


def test_every_push_has_a_case() -> None:
    assert {plain[0] for _, plain, _ in CASES.values()} == {op for op in Op if op >= Op.RESULT}


ENTRIES = [codec.entry(41, TS, ADA, HI), codec.entry(42, TS, BOB, codec.NIL, codec.HIDDEN)]
PLAIN = [[41, TS, "ada", "hi", {}], [42, TS, "bob", None, {"hidden": True}]]


def test_join_body() -> None:
    body = codec.join_body(epoch="e", offset=42, recovered=None, messages=ENTRIES, members=3)
    expected: dict[str, Any] = {
        "epoch": "e", "offset": 42, "recovered": None, "messages": PLAIN, "members": 3,
    }  # fmt: skip
    assert body == msgpack.packb(expected)
    body = codec.join_body(
        epoch="e", offset=42, recovered=True, messages=ENTRIES, members=3,
        presence=[codec.member(ADA, b"\x80", TS)], more=True,
    )  # fmt: skip
    expected |= {"recovered": True, "presence": [["ada", {}, TS]], "more": True}
    assert body == msgpack.packb(expected)


def test_history_and_presence_bodies() -> None:
    assert codec.history_body(epoch="e", offset=42, messages=ENTRIES) == msgpack.packb(
        {"epoch": "e", "offset": 42, "messages": PLAIN}
    )
    assert codec.history_body(epoch="e", offset=42, messages=[], more=True) == msgpack.packb(
        {"epoch": "e", "offset": 42, "messages": [], "more": True}
    )
    assert codec.presence_body(1, [codec.member(ADA, b"\x80", TS)]) == msgpack.packb(
        {"count": 1, "members": [["ada", {}, TS]]}
    )


def test_connect_result_takes_packed_rooms() -> None:
    rooms = {f"r{number}": codec.history_body(epoch="e", offset=number, messages=[]) for number in range(20)}
    made = codec.connect_result(1, {"version": 1, "user": "ada"}, rooms)
    plain = {f"r{number}": {"epoch": "e", "offset": number, "messages": []} for number in range(20)}
    assert made == msgpack.packb([64, 1, {"version": 1, "user": "ada", "rooms": plain}])


def test_fit_cuts_at_a_message() -> None:
    entries = [b"x" * 10] * 5
    assert [codec.fit(entries, size) for size in (0, 9, 10, 49, 50, 1000)] == [0, 0, 1, 4, 5, 5]
    assert codec.fit([], 0) == 0


def test_entries_as_a_client_reads_them() -> None:
    assert codec.entry_of("lobby", PLAIN[0]) == Message("lobby", 41, TS, "ada", "hi", {})
    assert codec.entry_of("lobby", PLAIN[1]) == Gap("lobby", 42, 42, "hidden")
    assert codec.entry_of("lobby", [7, TS, "bob", None, {"expired": True}]) == Gap("lobby", 7, 7, "expired")
    assert codec.entry_of("lobby", [7, TS, "bob", None]) == Message("lobby", 7, TS, "bob", None, {})
    change = [43, TS, "ada", None, {"change": "edit", "target": 41, "value": "ho"}]
    assert codec.entry_of("lobby", change) == Change("lobby", 43, TS, "ada", "edit", 41, "ho")
    for wrong in (None, [], [1, TS, "ada"], ["1", TS, "ada", 0, {}], [1, TS, "ada", 0, []],
                  [1, TS, "ada", None, {"change": 1}], [1, TS, "ada", None, {"change": "edit"}]):  # fmt: skip
        with pytest.raises(ProtocolError):
            codec.entry_of("lobby", wrong)


def test_a_later_version_may_append() -> None:
    assert codec.decode_push(pack([72, TS, "later", {"more": 1}])) == PingPush(TS)
    assert codec.decode_push(pack([74, 999, "later", {"more": 1}])) == Bye(999, "later")
    assert codec.decode_push(pack([66, "r", 1, TS, "ada", "hi"])) == Message("r", 1, TS, "ada", "hi", {})
    assert codec.decode_push(pack([120, "what"])) is None
