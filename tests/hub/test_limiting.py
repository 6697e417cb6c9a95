"""Limits of what one user may do, as clients meet them; without sockets, on a clock turned by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fastchat.broadcast import Wire
from fastchat.config import Config, RoomOptions
from fastchat.errors import Code
from fastchat.hub.ladder import CALM_MS, LADDER, Standing
from fastchat.hub.limiting import SILENT_TEXT, TEXT
from fastchat.hub.limits import MISTAKES, MOST_PAUSE_MS, TIDY_MS
from fastchat.identity.base import TOKEN_ID, Identity
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Block,
    Bye,
    Command,
    Connect,
    Delete,
    Direct,
    Edit,
    Error,
    History,
    Join,
    Leave,
    Mark,
    Message,
    Moderate,
    Ping,
    Pong,
    Presence,
    Publish,
    React,
    Refresh,
    Result,
    Signal,
    State,
)
from tests.hub.stage import Client, Stage, options, texts

EMPTY_MAP = pack({})


def limited(**given: Any) -> Stage:
    return Stage(options(rate_limits=True, **given))


def answers(client: Client, *commands: Command) -> list[Any]:
    """What each command was answered, in order."""
    found = {one.id: one for one in client.send(*commands) if isinstance(one, Result | Error)}
    return [found.get(one.id) for one in commands]


def passed(client: Client, *commands: Command) -> int:
    """How many of these commands were not over a limit; all must have been answered."""
    found = answers(client, *commands)
    assert None not in found
    return sum(not isinstance(one, Error) or one.code != Code.RATE for one in found)


def said(client: Client, count: int, room: str = "lobby", data: object = "x") -> int:
    """Publish so many in one go; how many passed."""
    return passed(client, *(Publish(100 + place, room, pack(data)) for place in range(count)))


def come(stage: Stage, name: str, address: str, room: str = "lobby") -> Client:
    """Somebody new from an address."""
    one = stage.client(stage, Wire.TCP)
    one.session.peer = replace(one.session.peer, address=address)
    one.connect(name, rooms={room: None})
    one.got.clear()
    return one


def test_the_surplus_is_refused_and_the_rest_relayed() -> None:
    stage = limited()
    ada, bob = stage.join("ada", "bob")
    found = answers(ada, *(Publish(100 + place, "lobby", pack(place)) for place in range(12)))
    assert [type(one) for one in found] == [Result] * 10 + [Error] * 2
    assert found[-1] == Error(111, Code.RATE, TEXT, 200)
    assert texts(bob.got) == list(range(10))
    stage.now += 200
    assert (said(ada, 2), said(bob, 1)) == (1, 1)
    assert stage.hub.limiting is not None and stage.hub.limiting.refused == 3


def test_what_was_refused_was_not_kept() -> None:
    stage = limited(burst=1)
    (ada,) = stage.join("ada")
    said(ada, 5)
    assert ada.ask(History, "lobby")["offset"] == 1


def test_the_wait_that_is_told_is_exact() -> None:
    stage = limited(rate=3.0, burst=2)
    (ada,) = stage.join("ada")
    for number in range(50):
        answer = ada.ask(Publish, "lobby", pack(number))
        if isinstance(answer, Error):
            assert answer.retry_ms is not None
            stage.now += answer.retry_ms
            assert isinstance(ada.ask(Publish, "lobby", pack(number)), dict)
    assert ada.session.user.conduct is not None
    assert ada.session.user.conduct.standing is Standing.REFUSED, "they came back when they were told to"
    assert not ada.pauses


def test_bytes_count_too() -> None:
    stage = limited(rate=0.0, rate_bytes=1000, max_frame=4096)
    (ada,) = stage.join("ada")
    large = "x" * 4000  # a full bucket lets the longest frame pass, whatever the rate
    assert said(ada, 2, data=large) == 1
    (refused,) = answers(ada, Publish(1, "lobby", pack(large)))
    assert 3900 <= refused.retry_ms <= 4010
    stage.now += refused.retry_ms
    assert said(ada, 2, data=large) == 1


def test_each_namespace_that_is_named_has_its_own_limits() -> None:
    rooms = {"default": RoomOptions(rate=1.0, burst=2), "game": RoomOptions(rate=1.0, burst=5)}
    stage = Stage(Config(rooms=rooms))
    ada = stage.new("ada")
    for room in ("lobby", "hall", "other:1", "game:1", "game:2"):
        ada.ask(Join, room)
    assert said(ada, 1, "lobby") + said(ada, 5, "hall") == 2
    assert said(ada, 5, "other:1") == 0, "its namespace is not named"
    assert said(ada, 3, "game:1") + said(ada, 5, "game:2") == 5


def test_all_sessions_of_a_user_share_their_limits() -> None:
    stage = limited()
    (ada,) = stage.join("ada")
    other = stage.client(stage, Wire.TCP)
    other.connect()
    stage.hub.users.unseat(other.session)
    other.session.user = ada.session.user
    ada.session.user.sessions += (other.session,)
    other.ask(Join, "lobby")
    assert said(ada, 7) + said(other, 7) == 10


def test_limits_off() -> None:
    stage = Stage(options(rate_limits=False))
    (ada,) = stage.join("ada")
    assert stage.hub.limiting is None
    assert said(ada, 500) == 500
    assert stage.client(stage, Wire.TCP).connect("bob")["limits"] == {
        "max_frame": 16 * 1024, "rooms": 100, "rate": 0, "burst": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "rate", "burst"),
    [({}, 5, 10), ({"rate": 2.5, "burst": 3}, 2.5, 3), ({"rate": 0.0}, 0, 0)],
)
def test_connect_tells_the_limits(given: dict[str, Any], rate: float, burst: int) -> None:
    told = limited(**given).client(limited(**given), Wire.TCP).connect("ada")["limits"]
    assert (told["rate"], told["burst"]) == (rate, burst)


def test_a_token_may_carry_a_rate_of_its_own() -> None:
    stage = limited()
    (ada,) = stage.join("ada")
    ada.session.identity = Identity(TOKEN_ID + "ada", rate=1.0, burst=3)
    assert said(ada, 5) == 3
    stage.now += 1000
    assert said(ada, 5) == 1
    assert passed(ada, *(State(id, "lobby", EMPTY_MAP) for id in range(1, 51))) == 40, "of messages, that is"
    ada.session.identity = Identity(TOKEN_ID + "ada")
    assert stage.hub.limiting is not None
    assert stage.hub.limiting.about(ada.session) == {"rate": 5, "burst": 10}


# Every command: how many pass at once. None: it has no limit.
COSTS: dict[str, tuple[Callable[[int], Command], int | None]] = {
    "PUBLISH": (lambda id: Publish(id, "lobby", pack("x")), 10),
    "DIRECT": (lambda id: Direct(id, "bob", pack("x")), 10),
    "SIGNAL": (lambda id: Signal(id, "bob", pack("x")), 10),
    "EDIT": (lambda id: Edit(id, "lobby", 1, pack("x")), 10),
    "DELETE": (lambda id: Delete(id, "lobby", 1), 10),
    "REACT": (lambda id: React(id, "lobby", 1, "+", True), 10),
    "STATE": (lambda id: State(id, "lobby", EMPTY_MAP), 40),
    "MARK": (lambda id: Mark(id, "lobby", 0), 40),
    "MODERATE": (lambda id: Moderate(id, "lobby", "kick", "bob"), 40),
    "REFRESH": (lambda id: Refresh(id, "x"), MISTAKES // 2),  # each is a mistake as well
    "JOIN": (lambda id: Join(id, "lobby"), 31),
    "HISTORY": (lambda id: History(id, "lobby"), 60),
    "PRESENCE": (lambda id: Presence(id, "lobby"), 60),
    "LEAVE": (lambda id: Leave(id, "nowhere"), None),
    "BLOCK": (lambda id: Block(id, "bob", True), None),
    "PING": (Ping, None),
}


@pytest.mark.parametrize("command", COSTS)
def test_every_command_has_its_limit(command: str) -> None:
    make, most = COSTS[command]
    stage = limited(join_burst=31, read_rate=1024, read_burst=64 * 1024)
    ada, _ = stage.join("ada", "bob")
    found = passed(ada, *(make(100 + place) for place in range(150)))
    slip = 4 if command in ("HISTORY", "PRESENCE") else 0
    assert found == (150 if most is None else pytest.approx(most, abs=slip))


def test_pong_is_nothing() -> None:
    stage = limited()
    (ada,) = stage.join("ada")
    assert ada.send(*[Pong(0)] * 1000) == []
    assert ada.session.user.conduct is None


def test_edits_and_messages_share_a_limit_and_so_do_direct_ones() -> None:
    stage = limited()
    ada, bob = stage.join("ada", "bob")
    assert said(ada, 4) == 4
    assert passed(ada, *(Direct(id, "bob", pack("x")) for id in range(1, 5))) == 4
    assert passed(ada, *(React(id, "lobby", 1, "+", True) for id in range(1, 5))) == 2


# --- joins and reads


def test_rooms_of_connect_count_as_joins() -> None:
    stage = limited(join_burst=5)
    ada = stage.client(stage, Wire.TCP)
    rooms = ada.connect("ada", rooms={f"r{number}": None for number in range(7)})["rooms"]
    assert [name for name, body in rooms.items() if "error" in body] == ["r5", "r6"]
    code, text, opts = rooms["r6"]["error"]
    assert (code, text, opts) == (Code.RATE, TEXT, {"retry_ms": 100})
    assert ada.session.user.conduct is None, "whoever asks in one breath could not know"
    stage.now += 100
    assert isinstance(ada.ask(Join, "r5"), dict)
    assert ada.ask(Join, "r6").code == Code.RATE


def test_long_histories_make_the_next_one_wait() -> None:
    stage = limited(rate=0.0, rate_bytes=0, read_rate=100_000, read_burst=100_000)
    ada, bob = stage.join("ada", "bob")
    said(ada, 100, data="x" * 1000)
    assert len(bob.ask(History, "lobby", limit=100)["messages"]) == 100
    refused = bob.ask(History, "lobby", limit=1)
    assert refused.code == Code.RATE
    assert bob.ask(Join, "lobby", history=1).code == Code.RATE
    assert bob.ask(Presence, "lobby").code == Code.RATE
    assert isinstance(bob.ask(Join, "lobby"), dict), "nothing of the past is asked for"
    assert said(bob, 1) == 1, "what is said has its own limit"
    stage.now += refused.retry_ms + 1  # the result of JOIN had some bytes as well
    assert isinstance(bob.ask(History, "lobby", limit=1), dict)


@pytest.mark.parametrize("again", [True, False])
def test_recovery_counts_as_reading(again: bool) -> None:
    stage = limited(rate=0.0, rate_bytes=0, read_rate=1000, read_burst=70_000)
    (ada,) = stage.join("ada")
    epoch = ada.ask(History, "lobby")["epoch"]
    said(ada, 100, data="x" * 1000)
    bob = stage.client(stage, Wire.TCP)
    if again:
        bob.connect("bob", rooms={"lobby": (epoch, 0)})
    else:
        bob.connect("bob")
        bob.ask(Join, "lobby", since=(epoch, 0))
    assert bob.ask(History, "lobby").code == Code.RATE


# --- who comes back


def test_another_name_or_connection_brings_a_guest_no_new_burst() -> None:
    stage = limited()
    for name in ("ada", "bob", "ada"):
        one = come(stage, name, "192.0.2.1")
        assert said(one, 15) == (10 if name == "ada" and stage.hub.opened == 1 else 0)
        one.close()
    assert said(come(stage, "eve", "192.0.2.2"), 15) == 10
    stage.pass_time(2000)
    assert said(come(stage, "bob", "192.0.2.1"), 15) == 10


@pytest.mark.parametrize("first, second, shared", [
    ("2001:db8::1", "2001:db8::2", True),
    ("2001:db8::1", "2001:db8:0:1::1", False),
    ("::ffff:192.0.2.1", "192.0.2.1", True),
    ("", "", True),
])  # fmt: skip
def test_an_address_is_a_network(first: str, second: str, shared: bool) -> None:
    stage = limited()
    one = come(stage, "ada", first)
    assert said(one, 15) == 10
    one.close()
    assert said(come(stage, "bob", second), 15) == (0 if shared else 10)


def test_who_has_a_token_leaves_nothing_to_others() -> None:
    stage = limited()
    one = come(stage, "ada", "192.0.2.1")
    one.session.identity = Identity(TOKEN_ID + "ada")
    one.session.user.id = TOKEN_ID + "ada"
    assert said(one, 15) == 10
    one.close()
    assert said(come(stage, "bob", "192.0.2.1"), 15) == 10
    two = come(stage, "ada", "192.0.2.9")
    two.session.user.id = TOKEN_ID + "ada"
    assert said(two, 15) == 0


def test_nothing_is_kept_of_who_is_quiet() -> None:
    stage = limited()
    people = stage.join(*(f"p{number}" for number in range(20)))
    for one in people:
        said(one, 3)
    limiting = stage.hub.limiting
    assert limiting is not None
    assert sum(len(limit) for limit in limiting._limits) >= 20
    stage.pass_time(TIDY_MS * (len(limiting._limits) + 1) + 2000)
    assert [len(limit) for limit in limiting._limits] == [0] * len(limiting._limits)


# --- flooders


def flood(stage: Stage, one: Client, ms: int, each: int = 20, count: int = 30) -> list[tuple[int, Standing]]:
    """Publish `count` every `each` ms; when the standing changed."""
    began, seen, found = stage.now, Standing.OK, []
    while stage.now < began + ms and one.open:
        conduct = one.session.user.conduct
        one.send(*(Publish(7, "lobby", pack("flood")) for _ in range(count)))
        conduct = one.session.user.conduct or conduct
        if conduct is not None and conduct.standing not in (seen, Standing.REFUSED):
            seen = conduct.standing
            found.append((stage.now - began, seen))
        stage.pass_time(each)
    return found


def test_a_flooder_is_slowed_then_muted_then_cut_off() -> None:
    stage = limited()
    stage.hub.pacing = None  # the ladder alone
    eve, bob = stage.join("eve", "bob")
    began = stage.now
    steps = flood(stage, eve, 60_000)
    assert [standing for _, standing in steps] == [Standing.SLOWED, Standing.MUTED, Standing.CUT]
    (slowed, _), (muted, _), (cut, _) = steps
    assert slowed <= 20 and 10_000 <= muted < 10_200 and 20_000 <= cut < 20_400
    relayed = [one.ts - began for one in bob.got if isinstance(one, Message)]
    assert max(relayed) <= muted, "nothing passes of who is muted"
    assert len(relayed) == pytest.approx(10 + 5 * muted / 1000, rel=0.05)
    assert all(ms <= MOST_PAUSE_MS for ms in eve.pauses) and eve.pauses
    told = [one for one in eve.got if isinstance(one, Error) and one.text == SILENT_TEXT]
    assert told[0].retry_ms == LADDER[Standing.MUTED].silent_ms
    bye = eve.got[-1]
    assert bye == Bye(Code.RATE, SILENT_TEXT, True, LADDER[Standing.CUT].silent_ms)
    assert stage.hub.limiting is not None
    assert stage.hub.limiting.climbed == {
        Standing.OK: 0, Standing.REFUSED: 1, Standing.SLOWED: 1, Standing.MUTED: 1, Standing.CUT: 1,
    }  # fmt: skip
    assert stage.faults == []


def test_every_command_of_a_flooder_is_answered() -> None:
    stage = limited()
    (eve,) = stage.join("eve")
    sent = 0
    while eve.open:
        ids = range(sent + 1, sent + 51)
        found = answers(eve, *(Publish(id, "lobby", pack("x")) for id in ids))
        assert None not in found or not eve.open
        sent += 50
        stage.pass_time(50)
    assert sent > 1000


def test_ping_is_answered_whatever_one_has_done() -> None:
    stage = limited()
    (eve,) = stage.join("eve")
    flood(stage, eve, 15_000)
    conduct = eve.session.user.conduct
    assert conduct is not None and conduct.standing is Standing.MUTED
    assert "time" in eve.ask(Ping)
    assert isinstance(eve.ask(History, "lobby", limit=1), dict), "they may still read"
    assert eve.ask(State, "lobby", EMPTY_MAP).text == SILENT_TEXT, "but not even type"


def test_the_mute_ends_and_all_is_forgiven() -> None:
    stage = limited()
    (eve,) = stage.join("eve")
    flood(stage, eve, 11_000)
    assert said(eve, 1) == 0
    stage.pass_time(LADDER[Standing.MUTED].silent_ms)
    assert said(eve, 15) == 10
    stage.pass_time(CALM_MS)
    assert said(eve, 1) == 1
    assert eve.session.user.conduct is None


def test_who_comes_back_too_early_is_still_muted() -> None:
    stage = limited()
    bob, eve = (come(stage, name, "192.0.2.1") for name in ("bob", "eve"))
    flood(stage, eve, 60_000)
    assert not eve.open and eve.code == Code.RATE
    stage.pass_time(5000)
    back = come(stage, "Eve", "192.0.2.1")
    (answer,) = answers(back, Publish(1, "lobby", pack("me again")))
    silent = LADDER[Standing.CUT].silent_ms
    assert answer.code == Code.RATE and silent - 6000 < answer.retry_ms < silent
    assert said(bob, 1) == 1, "who was there before is not"
    assert said(come(stage, "other", "192.0.2.1"), 1) == 0, "another name buys nothing"
    back.close()
    stage.pass_time(silent)
    assert said(come(stage, "eve", "192.0.2.1"), 1) == 1


def test_a_name_at_another_address_is_somebody_else() -> None:
    stage = limited()
    eve = come(stage, "eve", "192.0.2.1")
    flood(stage, eve, 11_000)
    eve.close()
    assert said(come(stage, "eve", "192.0.2.2"), 1) == 1


def test_what_left_is_forgotten() -> None:
    stage = limited()
    for number in range(5):
        eve = come(stage, f"eve{number}", f"192.0.2.{number}")
        flood(stage, eve, 100)
        eve.close()
    limiting = stage.hub.limiting
    assert limiting is not None and len(limiting._conducts) == 5
    stage.pass_time(CALM_MS + TIDY_MS)
    assert not limiting._conducts


def test_thousands_of_mistakes_are_a_flood_as_well() -> None:
    stage = limited()
    (eve,) = stage.join("eve")
    assert said(eve, MISTAKES + 9, "elsewhere") == MISTAKES + 9
    conduct = eve.session.user.conduct
    assert conduct is not None and conduct.standing is Standing.REFUSED
    while eve.open:
        found = eve.send(*(Publish(id, "elsewhere", pack("x")) for id in range(1, 50)))
        assert {one.code for one in found if isinstance(one, Error)} == {Code.NOT_A_MEMBER}
        stage.pass_time(100)
    assert eve.code == Code.RATE


def test_who_is_not_let_in_cannot_go_on_asking() -> None:
    stage = limited()
    come(stage, "ada", "192.0.2.1")
    refused = 0
    for _ in range(20):
        eve = stage.client(stage, Wire.TCP)
        eve.session.peer = replace(eve.session.peer, address="192.0.2.1")
        found = eve.send(*(Connect(id, name="ada") for id in range(1, 11)))
        refused += sum(isinstance(one, Error) and one.code == Code.NAME_TAKEN for one in found)
    assert MISTAKES <= refused < MISTAKES + 20
    assert found[-1] == Bye(Code.RATE, TEXT, True, 50)
    assert said(come(stage, "bob", "192.0.2.1"), 1) == 1, "who is let in makes no mistake"
    stage.now += 1000
    assert stage.client(stage, Wire.TCP).connect("ada").code == Code.NAME_TAKEN


def test_a_flooding_session_does_not_end_the_others_of_its_user() -> None:
    stage = limited()
    (eve,) = stage.join("eve")
    other = stage.client(stage, Wire.TCP)
    other.connect()
    stage.hub.users.unseat(other.session)
    other.session.user = eve.session.user
    eve.session.user.sessions += (other.session,)
    flood(stage, eve, 60_000)
    assert not eve.open and other.open
    other.ask(Join, "lobby")
    assert said(other, 1) == 0
