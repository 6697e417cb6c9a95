"""A server and many people, all out of one seed: they come, talk, stall, die and come back.

`World.step` does one random thing; `World.settle` lets everything come to rest and has the oracle look.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from fastchat.broadcast import Broadcaster, Wire
from fastchat.config import Config, Policy, RoomOptions
from fastchat.protocol.codec import pack
from fastchat.protocol.jsonwire import to_json
from fastchat.protocol.messages import (
    Block,
    Command,
    Connect,
    Delete,
    Direct,
    Edit,
    History,
    Join,
    Leave,
    Ping,
    Presence,
    Publish,
    Push,
    React,
    Result,
    Signal,
    State,
)
from tests.engine.later import LaterEngine
from tests.hub.stage import Client, Stage
from tests.simulation.oracle import Broken, Oracle, View, check_presence, check_store, state_of

ROOMS = RoomOptions(history=50)
CONFIG = Config(
    rate_limits=False,
    outbox_bytes=20_000,
    batch_bytes=30_000,
    rooms={
        "default": ROOMS,
        "drop": RoomOptions(history=50, policy=Policy.DROP),
        "latest": RoomOptions(history=50, policy=Policy.LATEST),
        "tick": RoomOptions(history=50, coalesce_ms=50),
        "small": RoomOptions(history=5, members=5),
        "brief": RoomOptions(history=4, history_seconds=1),
        "crowd": RoomOptions(history=50, presence_members=8),
    },
)
KINDS = ("lobby", "drop:", "latest:", "tick:", "small:", "crowd:", "default:", "brief:")


class Line(Client):
    """A person's connection; tells its view what it sends and gets."""

    view: View

    def arrived(self, push: Push) -> None:
        try:
            self.view.got(push)
        except Broken as broken:
            self.view.oracle.broken = self.view.oracle.broken or broken
        self.got.append(push)
        if len(self.got) > 50:
            del self.got[:25]

    def close(self) -> None:
        super().close()
        self.view.waiting.clear()


class World(Stage):
    """One server and `people`."""

    client = Line

    def __init__(
        self,
        seed: int,
        people: int,
        *,
        rooms: int = 8,
        core: type[Broadcaster] = Broadcaster,
        later: bool = False,
        config: Config = CONFIG,
    ) -> None:
        self.later = LaterEngine(config) if later else None
        super().__init__(config, engine=self.later, core=core, seed=seed, to_json=to_json)
        self.chance = Random(seed)
        self.oracle = Oracle()
        self.rooms = [f"{KINDS[number % len(KINDS)]}{number}" for number in range(rooms)]
        self.people = [Person(self, f"Person-{number}") for number in range(people)]
        self.numbers = 0

    def number(self) -> int:
        """Make every message unique."""
        self.numbers += 1
        return self.numbers

    def step(self) -> None:
        """Let one random thing happen."""
        roll = self.chance.random()
        if roll < 0.15:
            self.flush()
        elif roll < 0.20:
            self.pass_time(self.chance.choice((1, 20, 100, 300)))
        elif roll < 0.30 and self.later is not None:
            act = self.later.fail if self.chance.random() < 0.1 else self.later.answer
            act(self.chance.randint(1, 5))
        else:
            self.chance.choice(self.people).act()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()
            self.judge()
        self.settle()

    def judge(self) -> None:
        """Raise what the oracle has found."""
        if self.oracle.broken is not None:
            raise self.oracle.broken

    def rest(self) -> None:
        """Let everything that is under way arrive."""
        for person in self.people:
            if person.line is not None and person.line.open:
                person.line.read()
        for _ in range(4):
            if self.later is not None:
                self.later.answer()
            self.flush()
            self.pass_time(300)
        for person in self.people:
            if person.line is not None and not person.line.open:
                person.line = None

    def settle(self) -> None:
        """Come to rest and check everything."""
        self.rest()
        self.judge()
        assert self.faults == []
        views = [person.line.view for person in self.people if person.line is not None]
        for view in views:
            view.quiet()
        crowded = {room for room in self.hub.rooms if self.hub.rooms[room].presence.large}
        for view in views:
            for room in view.rooms:
                if room.startswith("crowd:") or room in crowded:
                    view.rooms[room].present = None  # there only the count is told
        check_presence(views, self.states())
        self.audit()

    def states(self) -> dict[tuple[str, str], Any]:
        """What people last said of themselves in each room."""
        return {
            (room, person.line.view.user): state
            for person in self.people
            if person.line is not None
            for room, state in person.states.items()
        }

    def audit(self) -> None:
        """Read every room with members as a newcomer would."""
        for room in sorted(self.hub.rooms):
            if room.startswith(("small:", "brief:")):
                continue
            auditor = Person(self, f"auditor-{self.number()}")
            auditor.connect(rooms={})
            auditor.say(Join, room, history=1000)
            self.rest()
            line = auditor.line
            assert line is not None
            results = [one for one in line.got if isinstance(one, Result) and "messages" in one.body]
            check_store(self.oracle, line.view, room, results[0].body)
            line.close()


class Person:
    """A name, and what its bearer remembers across connections."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.line: Line | None = None
        self.secret: str | None = None
        self.positions: dict[str, tuple[str, int]] = {}
        self.states: dict[str, Any] = {}
        self.own: dict[str, int] = {}  # what it goes on changing in each room
        self.keyed: list[tuple[str, str, bytes]] = []  # room, key, data: may be sent again
        self.ids = 0

    def say(self, make: Callable[..., Command], *arguments: Any, quietly: bool = False, **given: Any) -> None:
        """Send a command; `quietly` without an id."""
        line = self.line
        assert line is not None
        self.ids += 1
        command = make(0 if quietly else self.ids, *arguments, **given)
        line.view.sent(command)
        line.post(command)
        if isinstance(command, State) and command.room in line.session.rooms:
            self.states[command.room] = state_of(command)

    def act(self) -> None:
        """Do something a client may do."""
        world, line = self.world, self.line
        if line is None or not line.open:
            self.remember()
            if world.chance.random() < 0.5:
                self.connect()
            return
        if line.session.closing:
            world.flush()
            return
        if not line.session.connected and not line.view.user:
            return  # the engine has not answered
        action = world.chance.choices(ACTIONS, WEIGHTS)[0]
        action(self, line)

    def connect(self, rooms: dict[str, Any] | None = None) -> None:
        """Open a line and come back into the rooms it was in."""
        world = self.world
        back = dict(self.positions) if rooms is None else rooms
        line = world.client(world, world.chance.choice((Wire.TCP, Wire.TCP, Wire.WS, Wire.WS_JSON)))
        line.view = View(world.oracle)
        self.line = line
        self.states.clear()
        self.say(Connect, name=self.name, resume=self.secret, rooms=back)

    def remember(self) -> None:
        """Keep what is needed to come back."""
        line, self.line = self.line, None
        if line is None:
            return
        self.secret = line.view.secret or self.secret
        self.positions = {room: (one.epoch, one.position) for room, one in line.view.rooms.items()}

    def room(self) -> str:
        return self.world.chance.choice(self.world.rooms)

    def own_room(self, line: Line) -> str:
        mine = list(line.view.rooms)
        return self.world.chance.choice(mine) if mine else self.room()


def publish(person: Person, line: Line) -> None:
    world, chance = person.world, person.world.chance
    room = person.own_room(line)
    data = pack(f"{person.name}#{world.number()}" + "x" * chance.choice((0, 10, 100, 1500)))
    key = f"k{world.number()}" if chance.random() < 0.3 else None
    ephemeral = chance.random() < 0.1
    if key is not None and not ephemeral:
        person.keyed.append((room, key, data))
    person.say(
        Publish,
        room,
        data,
        quietly=chance.random() < 0.2,
        key=key,
        echo=chance.random() < 0.8,
        ephemeral=ephemeral,
        ttl_ms=chance.choice((0, 0, 0, 400)) if room.startswith("drop:") else 0,
    )


def publish_again(person: Person, line: Line) -> None:
    if person.keyed:
        room, key, data = person.world.chance.choice(person.keyed[-5:])
        person.say(Publish, room, data, key=key)


def change(person: Person, line: Line) -> None:
    """Edit, delete or react to something near the end of a room, there or not, one's own or not."""
    world, chance = person.world, person.world.chance
    room = person.own_room(line)
    newest = line.view.rooms[room].position if room in line.view.rooms else 0
    own = person.own.get(room, 0)
    target = own if own and chance.random() < 0.7 else max(newest + chance.randint(-9, 1), 0)
    make, given = chance.choice((
        (Edit, (pack(f"{person.name}~{world.number()}"),)), (Delete, ()),
        (React, (chance.choice(("+1", "heart")), True)), (React, ("+1", False)),
    ))  # fmt: skip
    person.say(make, room, target, *given, quietly=chance.random() < 0.2)
    if target != own or make is Delete:
        mine = [offset for id, offset in line.view.placed.get(room, {}).items() if id in line.view.written]
        person.own[room] = max(mine, default=0)


def join(person: Person, line: Line) -> None:
    room = person.room()
    member = line.view.rooms.get(room)
    if member is not None and (line.view.waiting or not line.reading):
        return  # where it stands is not sure while messages are on their way
    since = person.positions.get(room)
    if member is not None:
        person.world.flush()
        if line.view.bye is not None:
            return
        since = (member.epoch, member.position)
    chance = person.world.chance
    person.say(Join, room, since=since, history=chance.choice((0, 3)), presence=chance.random() < 0.4)


def leave(person: Person, line: Line) -> None:
    room = person.own_room(line)
    member = line.view.rooms.get(room)
    if member is not None:
        person.positions[room] = (member.epoch, member.position)
    person.states.pop(room, None)
    person.say(Leave, room)


def talk(person: Person, line: Line) -> None:
    other = person.world.chance.choice(person.world.people)
    make = person.world.chance.choice((Direct, Signal))
    person.say(make, other.name.upper(), pack(f"{person.name}>{other.name}#{person.world.number()}"))


def block(person: Person, line: Line) -> None:
    other = person.world.chance.choice(person.world.people)
    person.say(Block, other.name, person.world.chance.random() < 0.5)


def state(person: Person, line: Line) -> None:
    chance = person.world.chance
    what = {"n": chance.randint(0, 3)} if chance.random() < 0.7 else {}
    person.say(State, person.own_room(line), pack(what))


def ask(person: Person, line: Line) -> None:
    chance = person.world.chance
    room = person.own_room(line)
    chance.choice((
        lambda: person.say(History, room, limit=5),
        lambda: person.say(Presence, room),
        lambda: person.say(Ping),
    ))()


def stall(person: Person, line: Line) -> None:
    line.reading = False


def read(person: Person, line: Line) -> None:
    line.read()


def die(person: Person, line: Line) -> None:
    line.close()


def replace(person: Person, line: Line) -> None:
    """Come back while the server has not seen the old connection die."""
    if line.view.secret is None:
        return
    person.remember()
    person.connect()


ACTIONS: tuple[Callable[[Person, Line], None], ...] = (
    publish, publish_again, change, join, leave, talk, block, state, ask, stall, read, die, replace,
)  # fmt: skip
WEIGHTS = (40, 5, 12, 14, 4, 6, 2, 5, 5, 2, 4, 2, 2)
