"""DIRECT, SIGNAL, BLOCK and STATE: from one user to another, and nobody is harmed."""

from __future__ import annotations

from fastchat.errors import Code
from fastchat.hub.limits import MAX_BLOCKS, MAX_STATE
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Direct, DirectPush, Error, Ping, Signal, SignalPush, State
from tests.hub.court import act, court
from tests.hub.stage import Stage, options


def test_a_direct_message_reaches_the_user() -> None:
    stage = Stage()
    ada, bob = stage.new("Ada"), stage.new("bob")
    assert ada.ask(Direct, "BOB", pack({"x": 1})) == {"ts": stage.now, "sessions": 1}
    assert bob.got == [DirectPush(stage.now, "Ada", {"x": 1}, {})]
    ada.send(Direct(0, "bob", pack(2)))
    assert [one.data for one in bob.take(DirectPush)] == [{"x": 1}, 2]


def test_a_user_who_is_not_online() -> None:
    ada = Stage().new("ada")
    for make in (Direct, Signal):
        refusal = ada.ask(make, "nobody", pack(1))
        assert refusal.code == Code.USER_NOT_ONLINE and refusal.retry_ms
        refusal = ada.ask(make, "x" * 5000, pack(1))
        assert (refusal.code, refusal.field) == (Code.BAD_ARGUMENT, "user")


def test_a_direct_message_with_a_key_comes_once() -> None:
    stage = Stage()
    ada, bob = stage.new("ada"), stage.new("bob")
    first = ada.ask(Direct, "bob", pack(1), key="k")
    stage.pass_time(1000)
    assert ada.ask(Direct, "Bob", pack(1), key="k") == {**first, "duplicate": True}
    assert len(bob.take(DirectPush)) == 1
    bob.close()
    assert ada.ask(Direct, "bob", pack(1), key="k")["duplicate"], "it was delivered, whatever came later"
    stage.pass_time(301_000)
    assert ada.ask(Direct, "bob", pack(1), key="k").code == Code.USER_NOT_ONLINE


def test_a_key_that_did_not_get_through_counts_not() -> None:
    stage = Stage()
    ada = stage.new("ada")
    assert ada.ask(Direct, "bob", pack(1), key="k").code == Code.USER_NOT_ONLINE
    bob = stage.new("bob")
    assert ada.ask(Direct, "bob", pack(1), key="k") == {"ts": stage.now, "sessions": 1}
    assert len(bob.take(DirectPush)) == 1


def test_keys_of_direct_messages_are_bounded() -> None:
    stage = Stage(options(idempotency_bytes=64_000))
    ada = stage.new("ada")
    stage.new("bob")
    answers = [ada.ask(Direct, "bob", pack(1), key=str(number)) for number in range(40)]
    refused = [one for one in answers if isinstance(one, Error)]
    assert refused and refused[0].code == Code.OVERLOADED and refused[0].retry_ms


def test_every_session_of_a_user_gets_it() -> None:
    """Guests have one session; users with a token will have several."""
    stage = Stage()
    ada, phone, desk = stage.new("ada"), stage.new("bob"), stage.new()
    bob = stage.hub.users.get("bob")
    assert bob is not None
    desk.connect("desk")
    stage.hub.users.unseat(desk.session)
    stage.hub.users.seat(desk.session, "bob")
    assert ada.ask(Direct, "bob", pack(1))["sessions"] == 2
    assert len(phone.take(DirectPush)) == len(desk.take(DirectPush)) == 1
    assert ada.ask(Signal, "bob", pack(1)) == {"sessions": 2}
    assert len(phone.take(SignalPush)) == len(desk.take(SignalPush)) == 1


def test_signal() -> None:
    stage = Stage()
    ada, bob = stage.new("ada"), stage.new("bob")
    assert ada.ask(Signal, "bob", pack({"sdp": "..."})) == {"sessions": 1}
    assert bob.got == [SignalPush("ada", {"sdp": "..."})]


def test_a_flood_of_direct_messages_does_not_cut_the_one_who_gets_it() -> None:
    stage = Stage(options(outbox_bytes=100_000))
    ada, bob = stage.new("ada"), stage.new("bob")
    bob.reading = False
    for _ in range(100):
        for make in (Direct, Signal):
            ada.post(make(1, "bob", pack("x" * 2000)))
            stage.flush()
    refused = [one for one in ada.got if isinstance(one, Error)]
    assert refused and all(one.code == Code.OVERLOADED and one.retry_ms for one in refused)
    assert bob.open
    bob.read()
    assert bob.ask(Ping)
    assert len(bob.take(DirectPush)) + len(bob.take(SignalPush)) == 200 - len(refused)


def test_who_is_blocked_does_not_notice() -> None:
    stage = Stage()
    ada, bob = stage.new("ada"), stage.new("Bob")
    assert ada.ask(Block, "bob", True) == ada.ask(Block, "BOB", True) == {}
    assert bob.ask(Direct, "ada", pack(1)) == {"ts": stage.now, "sessions": 1}
    assert bob.ask(Signal, "ada", pack(1)) == {"sessions": 1}
    assert ada.take(DirectPush) == ada.take(SignalPush) == []
    assert ada.ask(Direct, "bob", pack(1))["sessions"] == 1, "it hides only one way"
    ada.ask(Block, "bob", False)
    ada.ask(Block, "bob", False)
    bob.send(Direct(0, "ada", pack(2)))
    assert [one.data for one in ada.take(DirectPush)] == [2]
    assert stage.hub.blocks.by == {}


def test_nobody_blocks_themselves_nor_nonsense() -> None:
    ada = Stage().new("ada")
    for name in ("ADA", "", "\n"):
        refusal = ada.ask(Block, name, True)
        assert (refusal.code, refusal.field) == (Code.BAD_ARGUMENT, "user")


def test_blocks_are_bounded() -> None:
    stage = Stage()
    ada = stage.new("ada")
    for number in range(MAX_BLOCKS):
        assert ada.ask(Block, f"user-{number}", True) == {}
    refusal = ada.ask(Block, "one-more", True)
    assert (refusal.code, refusal.field) == (Code.BAD_ARGUMENT, "user")
    assert ada.ask(Block, "user-7", True) == {}, "that one is there already"
    assert ada.ask(Block, "user-7", False) == {}
    assert ada.ask(Block, "one-more", True) == {}
    assert len(stage.hub.blocks.by) == MAX_BLOCKS
    ada.close()
    assert stage.hub.blocks.by == {}


def test_a_state_is_bounded() -> None:
    stage = Stage()
    ada = stage.join("ada")[0]
    state = {"x": "y" * (MAX_STATE - 6)}
    assert len(pack(state)) == MAX_STATE
    assert ada.ask(State, "lobby", pack(state)) == {}
    refusal = ada.ask(State, "lobby", pack({"x": "y" * (MAX_STATE - 5)}))
    assert (refusal.code, refusal.field) == (Code.TOO_LARGE, "state")
    refusal = ada.ask(State, "lobby", pack([1]))
    assert (refusal.code, refusal.field) == (Code.BAD_ARGUMENT, "state")


def test_a_burst_of_direct_messages_cuts_nobody() -> None:
    """What one iteration brings counts before it is flushed."""
    stage = Stage(options(outbox_bytes=100_000))
    ada, bob = stage.new("ada"), stage.new("bob")
    ada.post(*(Direct(number, "bob", pack("x" * 5000)) for number in range(1, 65)))
    stage.flush()
    refused = [one for one in ada.got if isinstance(one, Error)]
    assert refused and all(one.code == Code.OVERLOADED and one.retry_ms for one in refused)
    assert bob.open and len(bob.take(DirectPush)) == 64 - len(refused)


def test_who_is_muted_says_nothing_by_a_state() -> None:
    stage = Stage()
    guy, _, mod, _ = court(stage)
    assert act(mod, "mute", "guy") is None
    for state in ({"away": "insult"}, {"insult": True}, {"typing": ["x"]}, {"at": {"x": 1}}):
        assert guy.ask(State, "lobby", pack(state)).code == Code.MUTED, state
    for quiet in ({"typing": True}, {"away": False}, {"at": [1, 2]}, {}):
        assert guy.ask(State, "lobby", pack(quiet)) == {}
    assert act(mod, "unmute", "guy") is None and act(mod, "lock") is None
    assert guy.ask(State, "lobby", pack({"away": "tea"})) == {}, "a locked room is about messages"
