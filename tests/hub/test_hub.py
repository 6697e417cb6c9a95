"""The hub's own doings: time, pushes in portions, and many leaving at once."""

from __future__ import annotations

from fastchat.config import Config, RoomOptions
from fastchat.errors import Code
from fastchat.hub.blocks import Blocks
from fastchat.hub.hub import _portion
from fastchat.hub.limits import PUSH_BYTES
from fastchat.hub.users import NO_BLOCKS, User
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import Block, Bye, Gap, Join, PresencePush, Publish, State
from tests.hub.stage import Stage, texts


def test_portions_lose_nothing_and_end() -> None:
    items = [bytes(size) for size in (1, PUSH_BYTES, 5, PUSH_BYTES * 2, 7, 8)]
    found: list[list[bytes]] = []
    rest = items
    while rest:
        portion, rest = _portion(rest)
        found.append(portion)
    assert [item for portion in found for item in portion] == items
    assert [len(portion) for portion in found] == [1, 1, 1, 1, 2]


def test_everybody_is_told_when_the_server_goes() -> None:
    stage = Stage()
    clients = stage.join(*(f"user-{number}" for number in range(50)))
    for one in clients:
        one.post(Publish(0, "lobby", pack("bye")))
    stage.hub.drain(stage.now, 1500)
    stage.hub.drain(stage.now, 1500)
    stage.flush()
    for one in clients:
        assert len(texts(one.got)) == 50, "what was said before still comes"
        assert one.got[-1] == Bye(Code.DRAINING, "the server is going down", True, 1500)
    hub = stage.hub
    assert not hub.sessions and not hub.rooms and len(hub.users) == 0


def test_each_namespace_has_its_own_window() -> None:
    quick, slow = RoomOptions(presence_ms=100), RoomOptions(presence_ms=1000)
    stage = Stage(Config(rate_limits=False, rooms={"default": quick, "slow": slow}))
    ada, bob = stage.new("ada"), stage.new("bob")
    for room in ("quick", "slow:1"):
        ada.ask(Join, room, presence=True)
        bob.ask(Join, room)
    stage.pass_time(200)
    assert [one.room for one in ada.take(PresencePush)] == ["quick"]
    stage.pass_time(900)
    assert [one.room for one in ada.take(PresencePush)] == ["slow:1"]


def test_a_room_that_is_gone_is_not_told_about() -> None:
    stage = Stage()
    ada, bob = stage.new("ada"), stage.new("bob")
    ada.ask(Join, "lobby", presence=True)
    bob.ask(Join, "lobby")
    bob.ask(State, "lobby", pack({"x": 1}))
    ada.close()
    bob.close()
    stage.pass_time(1000)
    assert not stage.faults and not stage.hub._changed


def test_blocks_are_found_from_both_sides() -> None:
    blocks = Blocks()
    ada, bob = User("Ada", "ada"), User("bob", "bob")
    blocks.add(ada, ())
    assert ada.blocks is NO_BLOCKS
    blocks.add(ada, ["eve", "bob"])
    blocks.add(bob, ["eve"])
    assert blocks.by == {"eve": {"ada", "bob"}, "bob": {"ada"}}
    blocks.remove(ada, ["eve", "nobody"])
    assert blocks.by == {"eve": {"bob"}, "bob": {"ada"}} and ada.blocks == {"bob"}
    blocks.remove(bob, bob.blocks)
    blocks.remove(ada, ada.blocks)
    assert blocks.by == {}


def test_a_publisher_who_is_blocked_by_many_elsewhere() -> None:
    stage = Stage()
    ada, bob, eve = stage.join("ada", "bob", "eve")
    for number in range(1000):
        stage.hub.blocks.add(User(f"u{number}", f"u{number}"), ["ada"])
    eve.ask(Block, "ada", True)
    ada.send(Publish(0, "lobby", pack("x")))
    assert texts(bob.got) == ["x"]
    assert eve.take(Gap) == [Gap("lobby", 1, 1, "hidden")] and texts(eve.got) == []
