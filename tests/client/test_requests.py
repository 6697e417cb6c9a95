from __future__ import annotations

import pytest

from fastchat.client.failures import Refused
from fastchat.client.feed import Feed
from fastchat.client.requests import (
    CONNECT_LIMIT,
    MAX_ID,
    Kind,
    Request,
    Requests,
    check_size,
    connect_payload,
    join_payload,
)
from fastchat.errors import Code
from fastchat.protocol.codec import decode_command
from fastchat.protocol.messages import Connect, Join
from tests.client.scripted import LIMITS


def test_ids_go_round_and_step_over_those_under_way() -> None:
    table = Requests()
    assert table.new_id() == 1
    table.add(2, Request(Kind.CALL, b"xyz"))
    assert table.new_id() == 3
    table._last = MAX_ID - 1
    assert table.new_id() == MAX_ID
    table.add(1, Request(Kind.CALL))
    assert table.new_id() == 3  # never 0, which asks for no reply


def test_bytes_are_those_of_what_is_under_way() -> None:
    table = Requests()
    table.add(1, Request(Kind.CALL, b"abc"))
    table.add(2, Request(Kind.CALL, b"de"))
    assert table.bytes == 5 and len(table) == 2 and 1 in table
    assert table.pop(1) is not None and table.pop(1) is None
    assert table.bytes == 2 and 1 not in table


def test_whoever_iterates_may_answer() -> None:
    table = Requests()
    for number in (1, 2, 3):
        table.add(number, Request(Kind.CALL))
    for number, _ in table:
        table.pop(number)
    assert len(table) == 0


def test_joining_finds_what_would_bring_a_room_back() -> None:
    table = Requests()
    for number, kind in enumerate(Kind, 1):
        table.add(number, Request(kind, room="lobby"))
    table.add(99, Request(Kind.JOIN, room="other"))
    assert {one.kind for _, one in table.joining("lobby")} == {Kind.JOIN, Kind.REJOIN, Kind.FILL}


def test_what_is_too_long_is_refused_here() -> None:
    check_size(b"x" * 10, 10)
    with pytest.raises(Refused) as refused:
        check_size(b"x" * 11, 10)
    assert refused.value.code is Code.TOO_LARGE


def known(room: str, epoch: str = "e1", offset: int = 7, token: str | None = None) -> Feed:
    feed = Feed(room, token=token)
    feed.joined({"epoch": epoch, "offset": offset, "messages": [], "members": 1}, 1)
    return feed


def test_connect_carries_the_rooms_that_stand_somewhere() -> None:
    feeds = [known("a"), Feed("never-answered"), known("b", offset=0), known("private", token="t")]
    command = decode_command(connect_payload(Connect(5, name="ada"), feeds), LIMITS)
    assert command == Connect(5, name="ada", rooms={"a": ("e1", 7), "b": ("e1", 0), "private": ("e1", 7)})


def test_connect_keeps_within_its_frame_however_many_rooms_there_are() -> None:
    feeds = [known(f"{number:064}", epoch="e" * 24, offset=2**53 - 1) for number in range(100)]
    payload = connect_payload(Connect(2**32 - 1, name="a" * 32, resume="r" * 64), feeds)
    command = decode_command(payload, LIMITS)
    assert isinstance(command, Connect)
    assert CONNECT_LIMIT - 300 < len(payload) <= CONNECT_LIMIT and len(command.rooms) > 60


def test_join_says_only_what_is_wanted() -> None:
    assert decode_command(join_payload(3, Feed("lobby")), LIMITS) == Join(3, "lobby")
    feed = Feed("lobby", since=("e1", 4), history=9, presence=True, token="t")
    assert decode_command(join_payload(3, feed), LIMITS) == Join(3, "lobby", ("e1", 4), 9, True, "t")
    assert decode_command(join_payload(3, known("lobby")), LIMITS) == Join(3, "lobby", ("e1", 7))
