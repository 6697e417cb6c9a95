"""Nothing stays behind: references, rooms, buffers."""

from __future__ import annotations

import gc
import os
import resource
import sys
import tracemalloc
import weakref

import pytest

from fastchat.broadcast import Wire
from fastchat.config import Policy
from tests.broadcast.rig import BIG, Client, Rig, gap_payload

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # keeps freed memory for a while, to catch its use


class Sink:
    def write(self, data: bytes) -> None:
        pass

    slow = ended = lambda self: None  # noqa: E731

    def failed(self, errno: int) -> None:
        pass


def churn(r: Rig, turns: int) -> None:
    """Clients that come, stall, are dropped, cut, end and close, in rooms that come and go."""
    lasting = r.room(policy=Policy.DROP)
    for turn in range(turns):
        clients = [Client(r.core, wire, raw=wire == Wire.TCP) for wire in (*Wire, Wire.TCP, Wire.WS)]
        rooms = [lasting, r.room(policy=Policy.LATEST), r.room(coalesce=0.01)]
        for room in rooms:
            for client in clients:
                room.add(client.outbox)
        clients[turn % 5].transport.block()
        clients[(turn + 1) % 5].transport.blocked = True
        for i in range(30):
            for room in rooms:
                room.put(
                    b"x" * (i * 9), i + 1, skip=[clients[i % 5].outbox], keep=i % 7 == 0, expires=r.now + i
                )
            clients[i % 5].outbox.put(b"own")
            if i % 5 == turn % 5:
                r.flush()
        r.now += 3.0
        clients[0].outbox.end()
        clients[turn % 5].transport.unblock()
        r.flush()
        for client in clients:
            client.close()
    while r.core.dirty:
        r.now += 1.0
        r.flush()


def test_many_rounds_leave_nothing(twin):
    r = Rig(twin, outbox_bytes=3000, total_bytes=9000, flush_sends=4)
    churn(r, 50)
    gc.collect()
    assert r.core.total == 0
    tracemalloc.start()
    try:
        churn(r, 20)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        churn(r, 60)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 10_000
    if SANITIZED:
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    churn(r, 300)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 4000  # KiB


def test_a_closed_outbox_lets_go_of_its_sink(twin):
    r = Rig(twin)
    sink = Sink()
    outbox = r.core.outbox(sink, Wire.TCP)
    room = r.room()
    count = sys.getrefcount(sink)
    for _ in range(10):
        room.add(outbox)
        room.put(b"x")
        outbox.put(b"y")
        r.flush()
        room.remove(outbox)
    assert sys.getrefcount(sink) == count
    alive = weakref.ref(sink)
    outbox.close()
    r.flush()
    del outbox, sink
    assert alive() is None


def test_the_collector_finds_circles_that_nobody_closed(twin):
    """A sink usually knows its outbox, and a room's gap the room."""
    r = Rig(twin)
    sink = Sink()
    sink.outbox = r.core.outbox(sink, Wire.TCP)
    alive = weakref.ref(sink)
    owner = type("Owner", (), {"gap": lambda self, a, b, why: b""})()
    owner.room = r.core.fanout(Policy.DROP, owner.gap)
    owner.room.add(sink.outbox)
    owner_alive = weakref.ref(owner)
    owner.room.put(b"x")
    r.flush()
    del sink, owner
    gc.collect()
    assert alive() is None
    assert owner_alive() is None


@pytest.mark.parametrize("stage", ["put", "cut", "queued"])
def test_the_collector_takes_a_whole_broadcaster_apart(twin, stage):
    r = Rig(twin, flush_sends=1)
    alive = []
    for _ in range(4):
        sink = Sink()
        sink.outbox = r.core.outbox(sink, Wire.TCP)
        sink.core = r.core
        alive.append(weakref.ref(sink))
        r.clients.append(sink)
    room = r.core.fanout(Policy.DISCONNECT, gap_payload)
    for sink in r.clients:
        room.add(sink.outbox)
    room.put(b"x" * 100)
    sink.outbox.put(b"y")
    if stage == "cut":
        r.flush()
    if stage == "queued":
        for sink in r.clients:
            sink.outbox.pause()
        while r.flush():
            pass
        for sink in r.clients:
            sink.outbox.close()
    r.clients.clear()
    del sink, room, r
    gc.collect()
    gc.collect()
    if stage == "queued":
        assert not [each for each in alive if each() is not None]


def test_a_room_that_goes_leaves_its_members(twin):
    r = Rig(twin)
    client = r.client()
    rooms = [r.room(client) for _ in range(9)]
    for room in rooms:
        room.put(b"x")
    del room
    del rooms[3:6], rooms[0]
    gc.collect()
    r.flush()
    assert len(client.payloads()) == 9  # what was put still comes
    del rooms[1:3]
    gc.collect()
    late = r.room(client)
    late.put(b"late")
    r.flush()
    assert client.payloads()[9:] == [b"late"]
    client.outbox.end()
    assert len(late) == len(rooms[0]) == 0
    r.close()


def test_an_outbox_is_small(twin):
    if twin.__name__ != "fastchat._broadcast":
        pytest.skip("the pure twin is not")
    r = Rig(twin, outbox_bytes=BIG)
    room = r.room()
    sink = Sink()
    outboxes = [r.core.outbox(sink, Wire.TCP) for _ in range(1000)]
    assert sys.getsizeof(outboxes[0]) < 250
    for outbox in outboxes:
        room.add(outbox)
    for outbox in outboxes:
        outbox.close()
