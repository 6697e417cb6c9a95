"""Any sequence of calls gives every client the bytes of a simple model, over every backend and both twins.

The same calls go to several worlds: one for each twin and backend. The model knows for each client which
frames were put for it. In rooms that never drop, the client must get exactly these; where a policy drops,
what is missing must be droppable and announced by the right gaps in the right places.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from fastchat.broadcast import Wire
from fastchat.config import Policy
from tests.broadcast.rig import Client, Rig, framed
from tests.twins import twins

CLIENTS = 5
POLICIES = [Policy.DISCONNECT, Policy.DROP, Policy.LATEST, Policy.DROP, Policy.DROP, Policy.DISCONNECT]
COALESCE = [0.0, 0.0, 0.0, 0.05, 0.0, 0.05]
RADII = [0.0, 0.0, 0.0, 0.0, 10.0, 10.0]
PLACES = [(0.0, 0.0), (6.0, 8.0), (-9.0, 9.0), (30.0, 0.0)]
INDEX = st.integers(0, CLIENTS - 1)
ROOM = st.integers(0, len(POLICIES) - 1)


@dataclass(frozen=True, eq=False)
class Sent:
    """One frame as the model knows it."""

    payload: bytes
    room: int = -1  # private
    offset: int = 0
    expires: float = 0.0
    keep: bool = True


@dataclass
class Expected:
    """What one client of one world should get."""

    frames: list[Sent] = field(default_factory=list)
    live: bool = True  # False: closed or cut, what it got must only be a beginning
    done: bool = False  # closed: nothing is looked at any more
    last: bytes | None = None  # the goodbye after a cut


class World:
    """One twin over one backend."""

    def __init__(self, name: str, twin: Any, raw: bool, faults: int, limits: dict[str, Any]) -> None:
        self.name = name
        self.rig = Rig(twin, **limits)
        if faults:
            self.rig.core._inject(faults, partial=300, again=100, interrupt=100)
        wires = [Wire.TCP, Wire.TCP, Wire.WS, Wire.WS_JSON, Wire.TCP]
        self.clients = [self.rig.client(wire, raw=raw) for wire in wires]
        for client in self.clients:
            client.transport.lazy = faults > 0
        self.rooms = [
            self.rig.core.fanout(
                policy, lambda a, b, why, i=i: f"GAP {i} {a} {b} {why}".encode(), coalesce, radius
            )
            for i, (policy, coalesce, radius) in enumerate(zip(POLICIES, COALESCE, RADII, strict=True))
        ]
        self.expected = [Expected() for _ in wires]
        for i, client in enumerate(self.clients):
            client.transport.on_slow = lambda i=i: self.goodbye(i)

    def goodbye(self, i: int) -> None:
        """The owner's answer to `slow`."""
        self.forget(i)
        self.expected[i].last = b"BYE %d" % i
        outbox = self.clients[i].outbox
        outbox.clear()
        outbox.put(b"BYE %d" % i)
        outbox.end()

    def forget(self, i: int) -> None:
        """Let the model forget what is not with kernel or transport: a whole number of frames is."""
        got = self.payloads(i, self.clients[i].handed())
        self.expected[i].frames = explain(self.expected[i].frames, got, whole=False)

    def payloads(self, i: int, data: bytes) -> list[bytes]:
        from_wire = []
        wire = self.clients[i].wire
        while data:
            size = frame_size(wire, data)
            assert size <= len(data), "part of a frame"
            from_wire.append(data[:size])
            data = data[size:]
        return from_wire

    def flush(self) -> None:
        cut = self.rig.flush()
        assert not self.rig.core.waiting or cut or self.rig.wakes, "nobody was woken"
        self.rig.wakes = 0 if not self.rig.core.waiting else self.rig.wakes

    def check(self) -> None:
        stats = self.rig.core.stats()
        for i, (client, expected) in enumerate(zip(self.clients, self.expected, strict=True)):
            if expected.done:
                continue
            got = self.payloads(i, client.pump())
            assert not client.transport.buffer, self.name
            if expected.last is not None:
                assert got.pop() == framed(client.wire, expected.last)
            spared = expected.live or not stats.slow + stats.cut  # one who ends may be cut without a word
            try:
                explain(expected.frames, got, whole=spared and expected.last is None)
            except AssertionError as error:
                raise AssertionError(f"{self.name}, client {i}: {expected.frames} became {got}") from error
            assert client.outbox.pending == 0


def frame_size(wire: int, data: bytes) -> int:
    if wire == Wire.TCP:
        return 4 + int.from_bytes(data[:4], "big")
    if data[1] < 126:
        return 2 + data[1]
    width = 2 if data[1] == 126 else 8
    return 2 + width + int.from_bytes(data[2 : 2 + width], "big")


def unframed(frame: bytes) -> bytes:
    if frame[0] == 0:
        return frame[4:]
    body = frame[{126: 4, 127: 10}.get(frame[1], 2) :]
    return bytes.fromhex(body[1:-1].decode()) if frame[0] == 0x81 else body


def explain(frames: list[Sent], got: list[bytes], whole: bool) -> list[Sent]:
    """See that `got` is what the frames may become; returns those whose fate it has told.

    One room after the other for what is dropped and announced, then over all for the order. Whether two gaps
    could have been one is not asked: the transport may have taken the first before there was more to say.
    """
    payloads = [unframed(frame) for frame in got]
    told: set[int] = set()
    for room in range(-1, len(POLICIES)):
        mine = [(at, frame) for at, frame in enumerate(frames) if frame.room == room]
        known = {frame.payload for _, frame in mine}
        seen = [p for p in payloads if p in known or p.startswith(b"GAP %d " % room)]
        told |= _explain_room(mine, seen, whole)
    places = {frame.payload: at for at, frame in enumerate(frames)}
    order = [places[p] for p in payloads if not p.startswith(b"GAP")]
    order = [at for at in order if frames[at].room < 0 or not COALESCE[frames[at].room]]  # ticks wait
    assert order == sorted(order), "out of order"
    return [frame for at, frame in enumerate(frames) if at in told]


def _explain_room(frames: list[tuple[int, Sent]], got: list[bytes], whole: bool) -> set[int]:
    told: set[int] = set()
    rest = list(frames)

    def lose(why: bytes) -> Sent:
        at, frame = rest.pop(0)
        told.add(at)
        if why == b"expired":
            assert frame.expires, frame
        else:
            assert not frame.keep and POLICIES[frame.room] is not Policy.DISCONNECT, frame
        return frame

    for payload in got:
        if not payload.startswith(b"GAP"):
            while rest[0][1].payload != payload:
                assert not rest[0][1].offset, "lost without a word"
                lose(b"expired" if rest[0][1].expires else b"slow")
            told.add(rest.pop(0)[0])
            continue
        _, _, start, end, why = payload.split()
        assert int(start) > 0
        while rest[0][1].offset != int(start):
            assert not rest[0][1].offset, "a gap in the wrong place"
            lose(b"expired" if rest[0][1].expires else b"slow")
        while True:
            frame = rest[0][1]
            lose(why if frame.offset else b"expired" if frame.expires else b"slow")
            if frame.offset == int(end):
                break
    if whole:
        assert not [frame for _, frame in rest if frame.offset], "the end is missing"
        while rest:
            lose(b"expired" if rest[0][1].expires else b"slow")
    return told


PUT: dict[str, Any] = {
    "room": ROOM,
    "count": st.sampled_from([1, 2, 5, 20]),
    "size": st.sampled_from([0, 10, 130, 300]),
    "stored": st.sampled_from([True, True, True, False]),
    "keep": st.sampled_from([False] * 7 + [True]),
    "ttl": st.sampled_from([0.0, 0.0, 0.0, 1.0]),
    "skip": st.sets(INDEX, max_size=2),
    "at": st.sampled_from([*PLACES, *PLACES, None]),  # where the room has a radius
}


class Machine(RuleBasedStateMachine):
    """Rules do the same to all worlds and to the model."""

    limits: dict[str, Any] = {}
    alike = False  # twins must count alike, too: where no round is cut, their order of members plays no part

    @initialize(seed=st.integers(1, 1 << 32), stalled=st.sets(INDEX))
    def begin(self, seed: int, stalled: set[int]) -> None:
        self.worlds = []
        for param in twins("fastchat._broadcast", "fastchat._broadcast_py"):
            if param.values[0] is None:
                continue
            for backend, raw, faults in (("transport", False, 0), ("raw", True, 0), ("faulty", True, seed)):
                name = f"{param.id}-{backend}"
                self.worlds.append(World(name, param.values[0], raw, faults, self.limits))
        self.members: list[list[int]] = [[] for _ in POLICIES]
        self.places: list[dict[int, tuple[float, float]]] = [{} for _ in POLICIES]
        self.offsets = [0] * len(POLICIES)
        self.gone: set[int] = set()
        self.counter = 0
        self.now = 100.0
        for room in range(len(POLICIES)):
            for i in range(CLIENTS):
                if POLICIES[room] is not Policy.DISCONNECT or i % 2:  # where all else may be dropped
                    self.add(room, i)
                    self.place(room, i, PLACES[i % len(PLACES)])
        for i in stalled:
            self.stall(i, True)

    def payload(self, size: int) -> bytes:
        self.counter += 1
        return (b"%d " % self.counter).ljust(size, b".")

    def each(self, i: int) -> list[tuple[World, Client]]:
        return [(world, world.clients[i]) for world in self.worlds]

    def accepts(self, world: World, i: int) -> bool:
        expected = world.expected[i]
        return expected.live and expected.last is None and not expected.done

    @rule(**PUT)
    def put_and_flush(self, **what: Any) -> None:
        self.put(**what)
        self.flush()

    @rule(**PUT)
    def put(
        self,
        room: int,
        count: int,
        size: int,
        stored: bool,
        keep: bool,
        ttl: float,
        skip: set[int],
        at: tuple[float, float] | None,
    ) -> None:
        where = {"at": at} if RADII[room] else {}
        reached = [i for i in self.members[room] if i not in skip and self.hears(room, i, where.get("at"))]
        for _ in range(count):
            stored = stored and not keep
            self.offsets[room] += stored
            expires = self.now + ttl if ttl else 0.0
            offset = self.offsets[room] if stored else 0
            sent = Sent(self.payload(size), room, offset, expires, keep)
            for world in self.worlds:
                skipped = [world.clients[i].outbox for i in skip]
                assert world.rooms[room].put(
                    sent.payload, offset, skip=skipped, expires=expires, keep=keep, **where
                )
                for i in reached:
                    if self.accepts(world, i):
                        world.expected[i].frames.append(sent)

    def hears(self, room: int, i: int, at: tuple[float, float] | None) -> bool:
        """Does what is put at this place reach the member?"""
        if at is None:
            return True
        place = self.places[room].get(i)
        return place is not None and (place[0] - at[0]) ** 2 + (place[1] - at[1]) ** 2 <= RADII[room] ** 2

    @rule(room=ROOM, i=INDEX, place=st.sampled_from([*PLACES, None]))
    def place(self, room: int, i: int, place: tuple[float, float] | None) -> None:
        if not RADII[room] or i not in self.members[room]:
            return
        self.places[room].pop(i, None)
        if place is not None:
            self.places[room][i] = place
        for world in self.worlds:
            if place is None:
                world.rooms[room].unplace(world.clients[i].outbox)
            else:
                world.rooms[room].place(world.clients[i].outbox, *place)

    @rule(i=INDEX, count=st.sampled_from([1, 1, 3]), size=st.sampled_from([0, 10, 10, 130]))
    def put_private(self, i: int, count: int, size: int) -> None:
        for _ in range(count):
            sent = Sent(self.payload(size))
            for world, client in self.each(i):
                client.outbox.put(sent.payload)
                if self.accepts(world, i):
                    world.expected[i].frames.append(sent)

    @rule(i=INDEX)
    def put_raw(self, i: int) -> None:
        sent = Sent(self.payload(20))
        for world, client in self.each(i):
            client.outbox.put_raw(framed(client.wire, sent.payload))
            if self.accepts(world, i):
                world.expected[i].frames.append(sent)

    def add(self, room: int, i: int) -> None:
        for world in self.worlds:
            world.rooms[room].add(world.clients[i].outbox)
        if i not in self.members[room] and i not in self.gone:
            self.members[room].append(i)

    def remove(self, room: int, i: int) -> None:
        for world in self.worlds:
            world.rooms[room].remove(world.clients[i].outbox)
        self.places[room].pop(i, None)
        if i in self.members[room]:
            self.members[room].remove(i)

    @rule(room=ROOM, i=INDEX, leave=st.booleans(), enter=st.booleans())
    def move(self, room: int, i: int, leave: bool, enter: bool) -> None:
        if leave:
            self.remove(room, i)
        if enter:
            self.add(room, i)

    @rule(i=INDEX, blocked=st.sampled_from([True, True, False]))
    def stall(self, i: int, blocked: bool) -> None:
        for _, client in self.each(i):
            if client.outbox.closed:
                continue
            if blocked:
                client.transport.block()
            else:
                client.transport.unblock()

    @rule()
    def flush(self) -> None:
        for world in self.worlds:
            world.flush()

    @rule()
    def read(self) -> None:
        for world in self.worlds:
            for client in world.clients:
                if not client.outbox.closed:
                    client.pump()

    @rule(seconds=st.sampled_from([0.01, 0.06, 1.5]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for world in self.worlds:
            world.rig.now = self.now

    def clear(self, i: int) -> None:
        for world, client in self.each(i):
            if world.expected[i].last is not None:
                continue  # cut in this world: its owner has said goodbye
            if not world.expected[i].done:
                world.forget(i)
            client.outbox.clear()

    def end(self, i: int) -> None:
        for world, client in self.each(i):
            client.outbox.end()
            world.expected[i].live = False
        self.leave(i)

    def close(self, i: int) -> None:
        for world, client in self.each(i):
            if not world.expected[i].done and world.expected[i].last is None:
                world.forget(i)
            client.outbox.close()
            world.expected[i].done = True
        self.leave(i)

    @rule(i=INDEX, what=st.sampled_from(["clear", "clear", "clear", "end", "close"]))
    def disturb(self, i: int, what: str) -> None:
        if what == "clear":
            self.clear(i)
        elif len(self.gone) < CLIENTS - 2:
            self.end(i) if what == "end" else self.close(i)

    def leave(self, i: int) -> None:
        self.gone.add(i)
        for members in self.members:
            if i in members:
                members.remove(i)

    def teardown(self) -> None:
        worlds = getattr(self, "worlds", [])
        try:
            for world in worlds:
                self.finish(world)
            for backend in ("transport", "raw") if self.alike else ():
                same = [world.rig.core.stats() for world in worlds if world.name.endswith(backend)]
                stats = {each._replace(writes=0, rounds=0) for each in same}
                assert len(stats) <= 1, "the twins count differently"
        finally:
            for world in worlds:
                for client in world.clients:
                    client.close()

    def finish(self, world: World) -> None:
        for _ in range(8):
            world.flush()  # what waits has to wait for somebody before he reads again
        for client in world.clients:
            if client.outbox.closed:
                world.rig.clients.remove(client)
            else:
                client.transport.unblock()
        world.rig.settle()
        world.check()
        for client, expected in zip(world.clients, world.expected, strict=True):
            ended = not expected.live or expected.last is not None
            assert ("ended" in client.transport.events) is ended or expected.done, world.name
            assert client.transport.events.count("ended") <= 1
        assert world.rig.core.total == 0, world.name


class Unlimited(Machine):
    """Nothing is ever over a limit, only `latest` and time drop."""

    limits = {"flush_sends": 3}


class Limited(Machine):
    """Limits so low that all policies are at work."""

    limits = {"outbox_bytes": 3000}
    alike = True


class Scarce(Machine):
    """The total is exceeded, too."""

    limits = {"flush_sends": 4, "outbox_bytes": 4000, "total_bytes": 12_000}


EXAMPLES = int(os.environ.get("FASTCHAT_BROADCAST_EXAMPLES", "40"))
SETTINGS = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("machine", [Unlimited, Limited, Scarce])
def test_every_client_gets_what_the_model_says(machine: type[Machine]) -> None:
    case = machine.TestCase
    case.settings = SETTINGS
    case("runTest").runTest()
