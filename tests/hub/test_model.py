"""Sessions, rooms and recovery against a model that a page can hold.

After every command everything has arrived, so the model says exactly what each client gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastchat.errors import Code
from fastchat.protocol.codec import pack
from fastchat.protocol.messages import (
    Block,
    Bye,
    Connect,
    Error,
    Gap,
    History,
    Join,
    Leave,
    Message,
    PresencePush,
    Publish,
)
from fastchat.protocol.names import fold
from tests.hub.stage import Client, Stage, options

KEPT = 5
NAMES = ("Ada", "ADA", "bob", "Eve")
ROOMS = ("a", "b", "c")
WHO = st.integers(0, 3)
ROOM = st.sampled_from(ROOMS)


@dataclass
class ModelRoom:
    """What a room has to be."""

    epoch: str | None = None  # not known before the first result tells it
    old: set[str] = field(default_factory=set)
    offset: int = 0
    kept: list[tuple[int, int, str, Any]] = field(default_factory=list)  # offset, ts, user, data
    members: dict[int, bool] = field(default_factory=dict)  # seat: whether it watches
    empty_since: int = 0

    def emptied(self, now: int) -> None:
        """The last member is gone; without a message the room is forgotten, and its epoch may move on."""
        self.empty_since = now
        if not self.offset:
            self.epoch = None

    def after(self, offset: int) -> list[tuple[int, int, str, Any]]:
        return [one for one in self.kept if one[0] > offset]


class HubMachine(RuleBasedStateMachine):
    """Four seats, each with a connection that may be cut, and names that they take."""

    @initialize()
    def begin(self) -> None:
        self.stage = Stage(options(history=KEPT, history_seconds=60, max_rooms=2, members=3))
        self.seats: list[Client | None] = [None] * 4
        self.names: list[str | None] = [None] * 4
        self.secrets: list[tuple[str, str] | None] = [None] * 4  # name, secret of the last connection
        self.ended: list[tuple[int, set[str]]] = [(0, set()) for _ in range(4)]  # when, and its blocks
        self.positions: list[dict[str, tuple[str, int]]] = [{} for _ in range(4)]
        self.blocks: list[set[str]] = [set() for _ in range(4)]
        self.rooms = {room: ModelRoom() for room in ROOMS}
        self.keys: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.numbers = 0
        for seat, name in enumerate(("Ada", "bob", "Eve")):  # begin where things happen
            self.connect(seat, name, False, False)
            self.join(seat, "a", False, 0, False)

    def take(self, seat: int) -> list[Any]:
        """What came since the last look, without presence, which has tests of its own."""
        client = self.seats[seat]
        assert client is not None
        got, client.got = client.got, []
        return [one for one in got if not isinstance(one, PresencePush)]

    def live(self, seat: int) -> Client | None:
        client = self.seats[seat]
        return client if client is not None and self.names[seat] is not None else None

    def ask(self, seat: int, make: Any, *arguments: Any, **given: Any) -> Any:
        client = self.seats[seat]
        assert client is not None
        return client.ask(make, *arguments, **given)

    def gone(self, seat: int) -> None:
        """Take the seat out of the model."""
        self.ended[seat] = (self.stage.now, self.blocks[seat])
        self.names[seat] = None
        self.seats[seat] = None
        self.blocks[seat] = set()
        for room in self.rooms.values():
            if room.members.pop(seat, None) is not None and not room.members:
                room.emptied(self.stage.now)

    @rule(seat=WHO, name=st.sampled_from(NAMES), resume=st.booleans(), back=st.booleans())
    def connect(self, seat: int, name: str, resume: bool, back: bool) -> None:
        if self.live(seat) is not None:
            assert self.ask(seat, Connect, name=name).code == Code.ALREADY_CONNECTED
            self.take(seat)
            return
        if self.seats[seat] is None:
            self.seats[seat] = self.stage.new()
        known = self.secrets[seat]
        holder = next((one for one in range(4) if fold(self.names[one] or "") == fold(name)), None)
        rooms = {room: since for room, since in self.positions[seat].items()} if back else {}
        secret = known[1] if resume and known is not None else None
        at, blocks = self.ended[seat]
        if secret and known and fold(known[0]) == fold(name) and at + 300_000 > self.stage.now:
            self.blocks[seat] = blocks  # nothing changes if the name is taken: the seat is nobody's then
        answer = self.ask(seat, Connect, name=name, resume=secret, rooms=rooms)
        self.take(seat)
        if holder is not None:
            assert isinstance(answer, Error) and answer.code == Code.NAME_TAKEN
            self.blocks[seat] = set()
            refused = self.seats[seat]
            if refused is not None and refused.session.refused >= 5:  # soon it would get BYE
                refused.close()
                self.gone(seat)
            return
        assert answer["user"] == name
        self.names[seat] = name
        self.secrets[seat] = (name, answer["session"])
        for room, since in rooms.items():
            self.joined(seat, room, answer["rooms"][room], since, 0)

    @rule(seat=WHO)
    def cut(self, seat: int) -> None:
        client = self.seats[seat]
        if client is not None:
            client.close()
            self.gone(seat)

    @rule(seat=WHO, other=WHO)
    def take_over(self, seat: int, other: int) -> None:
        """Come back at another seat with the secret of a connection that still lives."""
        if self.live(seat) is None or self.seats[other] is not None:
            return
        name, secret = self.secrets[seat] or ("", "")
        blocks = self.blocks[seat]
        old = self.seats[seat]
        self.seats[other] = self.stage.new()
        answer = self.ask(other, Connect, resume=secret)
        assert answer["user"] == name
        assert old is not None and not old.open and isinstance(old.got[-1], Bye)
        assert old.got[-1].code == Code.REPLACED
        self.gone(seat)
        self.secrets[seat] = None
        self.take(other)
        self.names[other] = name
        self.secrets[other] = (name, answer["session"])
        self.blocks[other] = blocks

    @rule(seat=WHO, room=ROOM, since=st.booleans(), history=st.integers(0, 9), watch=st.booleans())
    def join(self, seat: int, room: str, since: bool, history: int, watch: bool) -> None:
        if self.live(seat) is None:
            return
        model = self.rooms[room]
        stand = self.positions[seat].get(room) if since else None
        answer = self.ask(seat, Join, room, since=stand, history=history, presence=watch)
        mine = [one for one in ROOMS if seat in self.rooms[one].members]
        self.take(seat)
        if isinstance(answer, Error):
            full = seat not in model.members and len(model.members) >= 3
            expected = Code.TOO_MANY_ROOMS if room not in mine and len(mine) >= 2 else Code.ROOM_FULL
            assert answer.code == expected and (full or len(mine) >= 2)
            assert answer.retry_ms
            return
        self.joined(seat, room, answer, stand, history)
        assert ("presence" in answer) == watch

    def joined(
        self, seat: int, room: str, body: Any, since: tuple[str, int] | None, history: int
    ) -> None:
        model = self.rooms[room]
        if "error" in body:
            assert body["error"][0] in (Code.TOO_MANY_ROOMS, Code.ROOM_FULL)
            return
        mine = [one for one in ROOMS if seat in self.rooms[one].members]
        assert room in mine or (len(mine) < 2 and len(model.members) < 3)
        model.members[seat] = True
        assert body["offset"] == model.offset and body["members"] == len(model.members)
        assert model.epoch in (None, body["epoch"]) and body["epoch"] not in model.old
        model.epoch = body["epoch"]
        expected: list[Any] = model.kept[-history:] if history else []
        recovered: bool | None = None
        if since is not None:
            first = model.offset - len(model.kept)
            recovered = since[0] == model.epoch and first <= since[1] <= model.offset
            expected = model.after(since[1]) if recovered else expected
        assert body["recovered"] is recovered
        self.entries(seat, body["messages"], expected)
        self.positions[seat][room] = (body["epoch"], body["offset"])

    def entries(self, seat: int, got: list[Any], expected: list[tuple[int, int, str, Any]]) -> None:
        for entry, (offset, ts, user, data) in zip(got, expected, strict=True):
            if fold(user) in self.blocks[seat]:
                assert entry == [offset, ts, user, None, {"hidden": True}]
            else:
                assert entry[:4] == [offset, ts, user, data]

    @rule(seat=WHO, room=ROOM)
    def leave(self, seat: int, room: str) -> None:
        if self.live(seat) is None:
            return
        answer = self.ask(seat, Leave, room)
        self.take(seat)
        model = self.rooms[room]
        if seat not in model.members:
            assert answer.code == Code.NOT_A_MEMBER
            return
        assert answer == {}
        del model.members[seat]
        if not model.members:
            model.emptied(self.stage.now)

    @rule(
        seat=WHO, room=ROOM, key=st.sampled_from([None, None, "k", "l"]), echo=st.booleans(),
        ephemeral=st.sampled_from([False, False, True]), quiet=st.booleans(),
    )  # fmt: skip
    def publish(
        self, seat: int, room: str, key: str | None, echo: bool, ephemeral: bool, quiet: bool
    ) -> None:
        client = self.live(seat)
        if client is None:
            return
        self.numbers += 1
        name = self.names[seat] or ""
        model = self.rooms[room]
        given = {"key": key, "echo": echo, "ephemeral": ephemeral}
        if quiet:
            client.send(Publish(0, room, pack(self.numbers), **given))  # type: ignore[arg-type]
            answer: Any = None
        else:
            answer = self.ask(seat, Publish, room, pack(self.numbers), **given)
        if seat not in model.members:
            assert quiet or answer.code == Code.NOT_A_MEMBER
            assert [one.code for one in self.take(seat) if isinstance(one, Error)] == [Code.NOT_A_MEMBER]
            return
        known = self.keys.get((room, fold(name), key)) if key is not None else None
        if known is not None:
            assert quiet or answer == {"offset": known[0], "ts": known[1], "duplicate": True}
            self.nobody_gets_anything()
            return
        if not ephemeral:
            model.offset += 1
            model.kept = [*model.kept, (model.offset, self.stage.now, name, self.numbers)][-KEPT:]
        offset = 0 if ephemeral else model.offset
        if key is not None:
            self.keys[room, fold(name), key] = (offset, self.stage.now)
        assert quiet or answer == {"offset": offset, "ts": self.stage.now}
        for one in range(4):
            if self.seats[one] is not None:
                self.received(one, seat, room, offset, echo, quiet)

    def received(self, one: int, sender: int, room: str, offset: int, echo: bool, quiet: bool) -> None:
        got: list[Any] = [push for push in self.take(one) if isinstance(push, Message | Gap | Error)]
        if one not in self.rooms[room].members:
            assert got == []
            return
        if offset:
            self.positions[one][room] = (self.positions[one][room][0], offset)
        hidden = (one == sender and not echo) or fold(self.names[sender] or "") in self.blocks[one]
        if not hidden:
            assert [(push.room, push.offset, push.data) for push in got] == [(room, offset, self.numbers)]
        elif offset and (one != sender or quiet):
            assert got == [Gap(room, offset, offset, "hidden")]
        else:
            assert got == []

    def nobody_gets_anything(self) -> None:
        for one in range(4):
            if self.seats[one] is not None:
                assert not [push for push in self.take(one) if isinstance(push, Message | Gap | Error)]

    @rule(seat=WHO, room=ROOM, after=st.integers(0, 12), limit=st.integers(0, 4))
    def history(self, seat: int, room: str, after: int, limit: int) -> None:
        if self.live(seat) is None:
            return
        model = self.rooms[room]
        answer = self.ask(seat, History, room, after=after, limit=limit)
        self.take(seat)
        if seat not in model.members:
            assert answer.code == Code.NOT_A_MEMBER
            return
        expected = model.after(after)
        self.entries(seat, answer["messages"], expected[:limit])
        assert answer.get("more", False) == (len(expected) > limit)

    @rule(seat=WHO, name=st.sampled_from(NAMES), on=st.booleans())
    def block(self, seat: int, name: str, on: bool) -> None:
        if self.live(seat) is None:
            return
        answer = self.ask(seat, Block, name, on)
        self.take(seat)
        if fold(name) == fold(self.names[seat] or ""):
            assert answer.code == Code.BAD_ARGUMENT
            return
        assert answer == {}
        (self.blocks[seat].add if on else self.blocks[seat].discard)(fold(name))

    @rule(ms=st.sampled_from([100, 59_000, 61_000, 400_000]))
    def wait(self, ms: int) -> None:
        self.stage.pass_time(ms)
        self.keys = {key: where for key, where in self.keys.items() if where[1] + 300_000 > self.stage.now}
        for model in self.rooms.values():
            if not model.members and model.kept and model.empty_since + 60_000 <= self.stage.now:
                assert model.epoch is not None
                model.old.add(model.epoch)
                model.epoch, model.offset, model.kept = None, 0, []

    @invariant()
    def nothing_broke(self) -> None:
        if not hasattr(self, "stage"):
            return
        assert self.stage.faults == []
        assert len(self.stage.hub.users) == sum(name is not None for name in self.names)
        rooms = self.stage.hub.rooms
        assert set(rooms) == {name for name, model in self.rooms.items() if model.members}
        for name, room in rooms.items():
            assert len(room.members) == len(room.presence) == len(self.rooms[name].members)


TestHub = HubMachine.TestCase
TestHub.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
