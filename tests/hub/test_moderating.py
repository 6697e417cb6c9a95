"""MODERATE: every action by every role, and what follows from it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from fastchat.engine.base import Fact
from fastchat.errors import Code, ProtocolError
from fastchat.hub import Peer, formers
from fastchat.hub.acts import ACTS
from fastchat.hub.formers import KEEP_MS
from fastchat.hub.moderation import may_connect
from fastchat.hub.sanctions import Op, Sanction, packed, packed_op
from fastchat.identity.base import Identity, Role
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Bye,
    Connect,
    Direct,
    Error,
    Join,
    Leave,
    Moderate,
    Notice,
    Publish,
    Result,
    Signal,
)
from tests.hub.court import NAMES, act, become, come_from, court, notices, say
from tests.hub.stage import Stage, options, texts
from tests.identity.making import token, verifier

LEAST = {
    "kick": Role.MODERATOR, "ban": Role.MODERATOR, "unban": Role.MODERATOR, "mute": Role.MODERATOR,
    "unmute": Role.MODERATOR, "slow": Role.MODERATOR, "lock": Role.MODERATOR, "unlock": Role.MODERATOR,
    "cap": Role.MODERATOR, "op": Role.OWNER, "deop": Role.OWNER,
}  # fmt: skip
OF_ROOM = ("slow", "lock", "unlock", "cap")
OF_USER = [action for action in LEAST if action not in OF_ROOM]


def prepare(stage: Stage, action: str, user: str, room: str) -> None:
    """See to it that what is to be lifted is there."""
    value = packed(Sanction(0, Role.MODERATOR, user, "lord", ""))
    if action in ("unban", "unmute"):
        stage.hub.moderation.take(Fact(action[2:], room, f"u:{user}", value))
    elif action == "deop":
        here = stage.hub.users.get(user)
        assert here is not None
        stage.hub.moderation.take(Fact("role", room, here.id, packed_op(Op(Role.MODERATOR, user, "lord"))))


def test_the_table_names_every_action() -> None:
    assert {action: row.right for action, row in ACTS.items()} == LEAST
    assert [action for action, row in ACTS.items() if not row.about_user] == list(OF_ROOM)


@pytest.mark.parametrize("action, role, other", list(product(OF_USER, Role, Role)))
@pytest.mark.parametrize("room", ["lobby", ""])
def test_every_role_with_every_action_on_every_role(action: str, role: Role, other: Role, room: str) -> None:
    stage = Stage()
    clients = court(stage, "other")
    become(clients[-1], other)
    prepare(stage, action, "other", room)
    held = max(other, Role.MODERATOR) if action == "deop" else other
    may = role >= LEAST[action] and role > held
    outcome = act(clients[role], action, "other", room)
    assert outcome == (None if may else Code.FORBIDDEN)
    line = stage.engine.records[-1]  # type: ignore[attr-defined]
    assert (line.by, line.action, line.user, line.room) == (NAMES[role], action, "other", room)
    assert (b"refused" in line.detail) is not may
    if not may:
        assert clients[-1].open and clients[-1].take(Notice) == [] and "lobby" in clients[-1].session.rooms


@pytest.mark.parametrize("action, role", list(product(OF_ROOM, Role)))
def test_every_role_with_every_action_on_the_room(action: str, role: Role) -> None:
    stage = Stage()
    clients = court(stage)
    outcome = act(clients[role], action, seconds=5, members=50)
    assert outcome == (None if role >= LEAST[action] else Code.FORBIDDEN)
    told = [] if outcome else [action]
    assert [[one.action for one in notices(client)] for client in clients] == [told] * len(clients)


@pytest.mark.parametrize("action, role", list(product(OF_USER, Role)))
def test_nobody_acts_on_themselves_but_to_step_down(action: str, role: Role) -> None:
    stage = Stage()
    clients = court(stage)
    outcome = act(clients[role], action, NAMES[role])
    if action != "deop":
        assert outcome == Code.FORBIDDEN
    elif role < Role.MODERATOR:
        assert outcome == Code.BAD_ARGUMENT, "nobody gave it to them"
    else:
        assert outcome == Code.FORBIDDEN, "the token gave it to them"


def test_a_role_in_some_rooms_counts_there_alone() -> None:
    stage = Stage()
    clients = court(stage, "other")
    mod = become(clients[Role.GUEST], Role.MEMBER, **{"lob*": Role.MODERATOR})
    assert mod.ask(Join, "hall")["members"] == 1
    clients[-1].ask(Join, "hall")
    assert act(mod, "kick", "other", "hall") == Code.FORBIDDEN
    assert act(mod, "kick", "other", "") == Code.FORBIDDEN
    assert act(mod, "kick", "other") is None


def test_op_makes_a_moderator_and_deop_none() -> None:
    stage = Stage()
    guy, meg, mod, own = court(stage)
    assert act(own, "op", "meg") is None
    assert [one[:3] for one in notices(guy)] == [("lobby", "op", "meg")]
    assert act(meg, "kick", "mod") == Code.FORBIDDEN, "of the same role"
    assert act(meg, "slow", seconds=1) is None
    assert act(mod, "deop", "meg") == Code.FORBIDDEN
    assert act(own, "deop", "meg") is None
    assert act(meg, "slow", seconds=0) == Code.FORBIDDEN
    assert act(own, "op", "meg") is None and act(meg, "deop", "meg") is None, "one may step down"
    assert act(meg, "slow", seconds=0) == Code.FORBIDDEN
    assert act(own, "op", "meg", "") is None
    meg.ask(Join, "hall")
    assert act(meg, "slow", room="hall", seconds=1) is None, "on the whole server"


def test_the_role_of_a_guest_ends_with_the_guest() -> None:
    stage = Stage()
    guy, _, _, own = court(stage)
    assert act(own, "op", "guy") is None
    assert act(guy, "slow", seconds=1) is None
    assert [fact for fact in stage.engine.facts() if fact.kind == "role"] == []
    guy.close()
    stage.pass_time(299_000)
    assert stage.hub.moderation.of("lobby").ops  # type: ignore[union-attr]
    stage.pass_time(2_000)
    assert not stage.hub.moderation.of("lobby").ops and not stage.hub.moderation._guests  # type: ignore[union-attr]


def test_the_role_of_a_guest_who_came_back_stays() -> None:
    stage = Stage()
    guy, _, _, own = court(stage)
    assert act(own, "op", "guy") is None
    guy.close()
    stage.pass_time(200_000)
    back = stage.join("guy")[0]
    become(back, Role.GUEST)  # with the same identity, as after `resume`
    stage.pass_time(200_000)
    assert act(back, "slow", seconds=1) is None


def test_kick() -> None:
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    assert act(mod, "kick", "GUY", reason="manners") is None
    expected = Notice("lobby", "kick", "guy", None, "manners", "mod")
    assert guy.got == [expected] and notices(meg) == [expected] and notices(mod) == [expected]
    assert say(guy) == Code.NOT_A_MEMBER
    assert meg.ask(Join, "lobby")["members"] == 3
    meg.send(Publish(0, "lobby", pack("quiet here")))
    assert texts(guy.got) == []
    assert guy.ask(Join, "lobby")["members"] == 4, "they may come back"
    guy.ask(Leave, "lobby")
    assert act(mod, "kick", "guy") == act(mod, "kick", "nobody") == Code.BAD_ARGUMENT


def test_a_user_is_kicked_with_all_sessions_and_out_of_the_doorway() -> None:
    stage = Stage()
    guy, _, mod, own = court(stage)
    assert act(mod, "kick", "guy", "") is None
    bye = Bye(206, "a moderator ended this connection")
    assert guy.got == [Notice("", "kick", "guy", None, None, "mod"), bye]
    assert guy.code == Code.KICKED and own.ask(Join, "lobby")["members"] == 3
    assert own.take(Notice) == []
    assert stage.new("guy").open, "they may come back"


def test_ban_and_unban() -> None:
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    assert act(mod, "ban", "guy", seconds=60, reason="spam") is None
    assert notices(guy) == notices(meg) == [Notice("lobby", "ban", "guy", 60, "spam", "mod")]
    stage.pass_time(1000)
    refusal = guy.ask(Join, "lobby")
    assert (refusal.code, refusal.text) == (Code.BANNED, "banned for 1 minute: spam")
    assert guy.ask(Join, "hall")["members"] == 1, "it is of that room alone"
    guy.close()
    back = stage.new()
    assert back.connect("Guy", rooms={"lobby": None})["rooms"]["lobby"]["error"][0] == Code.BANNED
    assert act(mod, "unban", "guy") is None
    assert back.ask(Join, "lobby")["members"] == 4
    assert act(mod, "unban", "guy") == Code.BAD_ARGUMENT


def test_a_ban_between_two_ticks_has_its_whole_time() -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    stage.now += 50
    act(mod, "ban", "guy", seconds=60)
    assert guy.ask(Join, "lobby").text == "banned for 1 minute"


def test_a_ban_ends_in_time() -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    act(mod, "ban", "guy", seconds=5)
    stage.pass_time(4_900)
    assert guy.ask(Join, "lobby").code == Code.BANNED
    stage.pass_time(200)
    assert guy.ask(Join, "lobby")["members"] == 4
    assert not stage.hub.moderation.rules and not stage.engine.facts()


def test_who_is_banned_anew_is_banned_as_long_as_that_says() -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    act(mod, "ban", "guy", seconds=5)
    act(mod, "ban", "guy", seconds=60)
    stage.pass_time(10_000)
    assert guy.ask(Join, "lobby").code == Code.BANNED
    act(mod, "ban", "guy")
    stage.pass_time(100_000)
    assert guy.ask(Join, "lobby").text == "banned"


@pytest.mark.parametrize("action, lift", [("ban", "unban"), ("mute", "unmute")])
def test_what_a_higher_role_decided_stands(action: str, lift: str) -> None:
    stage = Stage()
    _, _, mod, own = court(stage)
    assert act(own, action, "guy", seconds=60) is None
    assert act(mod, lift, "guy") == act(mod, action, "guy", seconds=1) == Code.FORBIDDEN
    assert b"refused" in stage.engine.records[-1].detail  # type: ignore[attr-defined]
    stage.pass_time(60_100)
    assert act(mod, action, "guy") is None, "until it has ended"
    assert act(own, lift, "guy") is None


def test_the_ban_of_a_token_counts_under_every_name() -> None:
    stage = Stage()
    _, meg, mod, _ = court(stage)
    act(mod, "ban", "meg")
    meg.close()
    other = become(stage.new("margaret"), Role.MEMBER)
    other.session.identity = meg.session.identity
    assert other.ask(Join, "lobby").code == Code.BANNED
    assert act(mod, "unban", "meg") is None
    assert other.ask(Join, "lobby")["members"] == 4


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("room", ["lobby", ""])
def test_the_ban_of_a_token_takes_out_who_is_there_under_another_name(room: str, here: bool) -> None:
    stage = Stage(options(), verifier=verifier())
    first, other, boss, bob = (stage.new() for _ in range(4))
    for client, sub, name, role in (
        (first, "x", "xa", "member"),
        (other, "x", "xb", "member"),
        (boss, "x", "xc", "owner"),
        (bob, "y", "bob", "guest"),
    ):
        client.connect(token=token(sub=sub, name=name, role=role), rooms={"lobby": None})
    if not here:
        first.close()
    (mod,) = stage.join("mod")
    assert act(become(mod, Role.MODERATOR), "ban", "xa", room) is None
    assert {one.user.name for one in stage.hub.sessions if one.rooms} == {"xc", "bob", "mod"}
    assert other.code == (0 if room else Code.BANNED) and boss.open and bob.open
    if room:
        assert ("ban", "xb") in [(one.action, one.user) for one in notices(other)]
        assert other.ask(Join, "lobby").code == Code.BANNED
    again = stage.new().connect(token=token(sub="x", name="xd"), rooms={"lobby": None})
    assert (again["rooms"]["lobby"]["error"][0] if room else again.code) == Code.BANNED


def test_the_mute_of_a_token_that_is_not_here_counts_under_every_name() -> None:
    stage = Stage(options(), verifier=verifier())
    stage.new().connect(token=token(sub="x", name="xa"))
    next(iter(stage.hub.sessions)).lost(stage.now)
    (mod,) = stage.join("mod")
    assert act(become(mod, Role.MODERATOR), "mute", "xa") is None
    other = stage.new()
    other.connect(token=token(sub="x", name="xb"), rooms={"lobby": None})
    assert say(other) == Code.MUTED
    assert act(mod, "unmute", "xa") is None and say(other) is None


def test_the_ban_of_an_address() -> None:
    stage = Stage()
    guy, meg, mod, own = court(stage)
    gal, mate = come_from(stage.join("gal2")[0], "10.0.0.0"), come_from(stage.new("far"), "10.9.9.9")
    come_from(own, "10.0.0.0")
    assert act(mod, "ban", "guy", address=True) is None
    assert [one.user for one in notices(meg)] == ["guy", "gal2"]
    assert notices(gal) and "lobby" not in gal.session.rooms, "who is there from the same address goes too"
    assert "lobby" in own.session.rooms, "but nobody whose role is higher"
    assert come_from(stage.new("new"), "10.0.0.0").ask(Join, "lobby").code == Code.BANNED
    assert "members" in mate.ask(Join, "lobby")
    assert act(mod, "unban", "guy") is None
    assert "members" in gal.ask(Join, "lobby"), "lifted with the ban it came with"


@pytest.mark.parametrize("address", ["2001:db8:1:2::7", "::ffff:10.0.0.99"])
def test_the_ban_of_an_address_of_ipv6(address: str) -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    come_from(guy, address)
    assert act(mod, "ban", "guy", "", address=True) is None
    again = come_from(stage.new(), address.replace("::7", ":ffff::8"))
    assert again.connect("other").code == Code.BANNED
    assert again.code == Code.BANNED


def test_addresses_that_cannot_be_banned() -> None:
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    come_from(guy, mod.session.peer.address)
    come_from(meg, "")
    for user in ("guy", "meg", "nobody"):
        assert act(mod, "ban", user, address=True) == Code.BAD_ARGUMENT
    assert not stage.hub.moderation.rules


def test_a_ban_from_the_whole_server() -> None:
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    assert act(mod, "ban", "guy", "", reason="spam") is None
    assert guy.code == Code.BANNED and isinstance(guy.got[-1], Bye) and not guy.got[-1].reconnect
    assert [type(one) for one in guy.got] == [Notice, Bye]
    assert meg.take(Notice) == []
    back = stage.new()
    answers = back.send(Connect(1, name="guy"))
    assert [(type(one), getattr(one, "code", 0)) for one in answers] == [(Error, 204), (Bye, 204)]
    assert act(mod, "unban", "guy", "") is None
    assert stage.new().connect("guy")["user"] == "guy"


def test_a_pattern_for_all_rooms_counts_for_the_whole_server() -> None:
    stage = Stage()
    _, meg, mod, own = court(stage)
    boss = Identity("t:meg", Role.MEMBER, {"*": Role.OWNER})
    assert act(mod, "ban", "meg", "", seconds=60) is None and meg.code == Code.BANNED
    moderation, peer = stage.hub.moderation, own.session.peer
    may_connect(moderation, "meg", boss, peer, stage.now)  # a moderator's ban does not bind an owner
    with pytest.raises(ProtocolError):
        may_connect(moderation, "meg", Identity("t:meg", Role.MEMBER, {"x*": Role.OWNER}), peer, stage.now)


def test_mute_and_unmute() -> None:
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    assert act(mod, "mute", "guy", seconds=30, reason="noise") is None
    assert notices(guy) == notices(meg) == [Notice("lobby", "mute", "guy", 30, "noise", "mod")]
    refusal = guy.ask(Publish, "lobby", pack("x"))
    assert (refusal.code, refusal.text) == (Code.MUTED, "muted for 30 seconds: noise")
    assert "ts" in guy.ask(Direct, "meg", pack("x")), "in the room alone"
    assert texts(meg.got) == [] and say(meg) is None
    assert act(mod, "unmute", "guy") is None and say(guy) is None
    act(mod, "mute", "guy", seconds=30)
    stage.pass_time(30_100)
    assert say(guy) is None and not stage.hub.moderation.rules


def test_a_mute_on_the_whole_server() -> None:
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    assert act(mod, "mute", "guy", "") is None
    assert [one.room for one in notices(guy)] == [""] and notices(meg) == []
    guy.ask(Join, "hall")
    assert say(guy) == say(guy, room="hall") == Code.MUTED
    assert guy.ask(Direct, "meg", pack("x")).code == Code.MUTED
    assert guy.ask(Signal, "meg", pack("x")).code == Code.MUTED
    assert act(mod, "unmute", "guy", "") is None and "ts" in guy.ask(Direct, "meg", pack("x"))


def test_slow_mode() -> None:
    stage = Stage()
    guy, meg, mod, _ = court(stage)
    assert act(mod, "slow", seconds=10) is None
    assert notices(meg) == [Notice("lobby", "slow", "", 10, None, "mod")]
    assert say(guy) is None and say(meg) is None
    stage.pass_time(4000)
    refusal = guy.ask(Publish, "lobby", pack("again"))
    assert (refusal.code, refusal.retry_ms) == (Code.SLOW_MODE, 6000)
    assert say(mod) is None and say(mod) is None, "moderators are not slowed"
    stage.pass_time(6000)
    assert say(guy) is None
    assert act(mod, "slow", seconds=0) is None
    assert notices(meg)[-1].seconds == 0
    assert say(guy) is None and not stage.hub.moderation.rules


def test_what_was_refused_otherwise_does_not_count_for_slow_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    act(mod, "slow", seconds=10)
    monkeypatch.setattr(stage.hub.rooms["lobby"], "storing_bytes", 1 << 40)
    assert say(guy) == Code.OVERLOADED
    monkeypatch.undo()
    assert say(guy) is None


def test_lock_and_unlock() -> None:
    stage = Stage()
    guy, meg, mod, own = court(stage)
    new, boss = stage.new("new"), become(stage.new("boss"), Role.MODERATOR)
    assert act(mod, "lock") is None
    assert say(guy) == say(meg) == Code.FORBIDDEN
    assert say(mod) is None and say(own) is None
    assert new.ask(Join, "lobby").code == Code.FORBIDDEN
    assert "members" in boss.ask(Join, "lobby")
    assert "members" in guy.ask(Join, "lobby"), "a member stays one"
    guy.ask(Leave, "lobby")
    assert "members" in guy.ask(Join, "lobby"), "and comes back"
    assert act(mod, "kick", "guy") is None
    assert guy.ask(Join, "lobby").code == Code.FORBIDDEN
    assert act(mod, "unlock") is None
    assert "members" in new.ask(Join, "lobby") and say(new) is None
    assert not stage.hub.moderation.rules


def test_cap() -> None:
    stage = Stage()
    guy, meg, mod, own = court(stage)
    new = stage.new("new")
    assert act(mod, "cap", members=4) is None
    assert notices(meg) == [Notice("lobby", "cap", "", None, None, "mod", 4)]
    assert new.ask(Join, "lobby").code == Code.ROOM_FULL
    assert "members" in guy.ask(Join, "lobby"), "who is in stays in"
    assert "members" in become(stage.new("boss"), Role.MODERATOR).ask(Join, "lobby")
    assert act(mod, "cap", members=0) is None
    assert "members" in new.ask(Join, "lobby") and not stage.hub.moderation.rules


WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], Code]] = {
    "an unknown action": (("lobby", "smite", "guy"), {}, Code.BAD_ARGUMENT),
    "no action": (("lobby", "", "guy"), {}, Code.BAD_ARGUMENT),
    "nobody's name": (("lobby", "ban", ""), {}, Code.BAD_ARGUMENT),
    "no name": (("lobby", "ban", "a\nb"), {}, Code.BAD_ARGUMENT),
    "another room": (("hall", "ban", "guy"), {}, Code.NOT_A_MEMBER),
    "a long reason": (("lobby", "ban", "guy"), {"reason": "x" * 201}, Code.BAD_ARGUMENT),
    "a long time": (("lobby", "ban", "guy"), {"seconds": 1 << 50}, Code.BAD_ARGUMENT),
    "too slow": (("lobby", "slow", ""), {"seconds": 21_601}, Code.BAD_ARGUMENT),
    "a large cap": (("lobby", "cap", ""), {"members": 1_000_001}, Code.BAD_ARGUMENT),
    "a slow server": (("", "slow", ""), {"seconds": 1}, Code.BAD_ARGUMENT),
    "a locked server": (("", "lock", ""), {}, Code.BAD_ARGUMENT),
    "op of nobody": (("lobby", "op", "nobody"), {}, Code.BAD_ARGUMENT),
    "no ban": (("lobby", "unban", "guy"), {}, Code.BAD_ARGUMENT),
    "no mute": (("lobby", "unmute", "guy"), {}, Code.BAD_ARGUMENT),
    "a role from a token": (("lobby", "deop", "mod"), {}, Code.FORBIDDEN),
}


@pytest.mark.parametrize("arguments, given, code", WRONG.values(), ids=WRONG)
def test_bad_input(arguments: tuple[Any, ...], given: dict[str, Any], code: Code) -> None:
    stage = Stage()
    own = court(stage)[Role.OWNER]
    assert own.ask(Moderate, *arguments, **given).code == code
    assert not stage.hub.moderation.rules and not stage.engine.facts() and not stage.faults


def test_id_0_asks_for_no_result_but_errors_come() -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    answers = mod.send(Moderate(0, "lobby", "slow", "", 5))
    assert [type(one) for one in answers] == [Notice]
    answers = guy.send(Moderate(0, "lobby", "slow", "", 5))
    assert [type(one) for one in answers] == [Error]
    answers = mod.send(Moderate(7, "lobby", "kick", "guy"))
    assert {type(one) for one in answers} == {Notice, Result}


def newcomer(stage: Stage, name: str, address: str, reserved: bool = False) -> Any:
    """A guest who comes from an address."""
    one = stage.new()
    one.session.peer = Peer(address, "tcp", False, reserved, shared=reserved)
    one.connect(name)
    one.ask(Join, "lobby")
    return one


def test_another_name_ends_no_mute() -> None:
    stage = Stage()
    mod = court(stage)[2]
    eve, bob = newcomer(stage, "eve", "192.0.2.1"), newcomer(stage, "bob", "192.0.2.1")
    assert act(mod, "mute", "eve") is None and say(eve) == Code.MUTED
    eve.close()
    assert say(bob) is None, "who was there before is somebody else"
    assert say(newcomer(stage, "far", "192.0.2.2")) is None
    assert say(newcomer(stage, "mallory", "192.0.2.1")) == Code.MUTED
    assert act(mod, "unmute", "eve") is None
    assert say(newcomer(stage, "eva", "192.0.2.1")) is None
    assert act(mod, "mute", "eve") is None
    stage.pass_time(KEEP_MS)
    assert say(newcomer(stage, "late", "192.0.2.1")) is None


def test_another_name_ends_no_slow_mode() -> None:
    stage = Stage()
    mod = court(stage)[2]
    assert act(mod, "slow", seconds=60) is None
    for reserved, code in ((False, Code.SLOW_MODE), (True, None)):
        eve = newcomer(stage, "eve", "192.0.2.1", reserved)
        assert say(eve) is None
        eve.close()
        mallory = newcomer(stage, "mallory", "192.0.2.1", reserved)
        assert say(mallory) == code
        stage.pass_time(60_000)
        assert say(mallory) is None
        mallory.close()
        stage.pass_time(60_000)


def test_few_names_that_left_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formers, "MAX_ORIGINS", 3)
    stage = Stage()
    mod = court(stage)[2]
    assert act(mod, "slow", seconds=600) is None
    for number in range(20):
        eve = newcomer(stage, f"eve{number}", f"192.0.2.{number % 5}")
        say(eve)
        eve.close()
        left = stage.hub.moderation._formers._left
        assert len(left) <= 3 and all(len(names) <= formers.MAX_NAMES for names in left.values())
