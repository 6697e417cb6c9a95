"""Fan-outs with a radius: whoever is near gets it, whoever is not does not, and all else holds as well."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat._broadcast_base import MAX_COORDINATE, RADII
from fastchat.broadcast import Wire
from fastchat.config import Policy
from tests.broadcast.rig import BIG, Rig
from tests.twins import twins

Make = Callable[..., Rig]
WIRES = [Wire.TCP, Wire.WS, Wire.WS_JSON]


def scene(rig: Rig, *places: tuple[float, float], radius: float = 10.0, **options: Any) -> tuple[Any, Any]:
    """A room with a member at each place, over all wires in turn."""
    clients = [rig.client(WIRES[i % 3]) for i in range(len(places))]
    room = rig.room(*clients, radius=radius, **options)
    for client, (x, y) in zip(clients, places, strict=True):
        room.place(client.outbox, x, y)
    return room, clients


def got(rig: Rig, clients: Any) -> list[list[bytes]]:
    rig.settle()
    return [client.payloads() for client in clients]


def test_who_is_near_gets_it(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0), (6, 8), (6.001, 8), (-10, 0), (0, 10.0001), (3, -3))
    assert room.put(b"here", at=(0, 0))
    assert got(r, clients) == [[b"here"], [b"here"], [], [b"here"], [], [b"here"]]
    assert r.core.stats().deliveries == 4


def test_without_a_place_a_put_is_for_all(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0), (500, 0))
    nowhere = r.client()
    room.add(nowhere.outbox)
    room.put(b"near", at=(0, 0))
    room.put(b"all", keep=True)
    room.put(b"far", at=(500, 0))
    assert got(r, [*clients, nowhere]) == [[b"near", b"all"], [b"all", b"far"], [b"all"]]


def test_nobody_near_costs_nothing(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0))
    assert room.put(b"alone", at=(100, 100))
    assert not r.core.dirty and r.core.total == 0
    assert r.core.stats().messages == 1


def test_a_member_moves_and_vanishes(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0))
    outbox = clients[0].outbox
    assert room.position(outbox) == (0, 0)
    room.place(outbox, 1000, -1000)
    room.put(b"too late", at=(0, 0))
    room.put(b"there", at=(1001, -1001))
    room.place(outbox, 1001.5, -1000)  # within its cell
    assert room.position(outbox) == (1001.5, -1000)
    room.unplace(outbox)
    room.unplace(outbox)
    assert room.position(outbox) is None
    room.put(b"nowhere", at=(1001, -1001))
    room.remove(outbox)
    room.place(outbox, 0, 0)
    assert room.position(outbox) is None, "no member"
    assert got(r, clients) == [[b"there"]]


def test_who_leaves_still_gets_what_was_put(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0), (1, 1), (2, 2))
    room.put(b"1", at=(0, 0))
    room.put(b"2", at=(0, 0))
    room.remove(clients[0].outbox)
    room.remove(clients[1].outbox)
    room.put(b"3", at=(0, 0))
    room.add(clients[0].outbox)
    room.put(b"4", at=(0, 0))
    room.place(clients[0].outbox, 0, 0)
    room.put(b"5", at=(0, 0))
    room.remove(clients[0].outbox)
    assert got(r, clients) == [[b"1", b"2", b"5"], [b"1", b"2"], [b"1", b"2", b"3", b"4", b"5"]]


def test_who_is_closed_or_cleared_gets_nothing_of_it(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, *[(0, 0)] * 6)
    room.put(b"1", at=(0, 0))
    clients[0].outbox.close()
    clients[1].outbox.clear()
    clients[2].outbox.end()
    room.put(b"2", at=(0, 0))
    room.remove(clients[3].outbox)
    clients[3].outbox.close()
    both = [b"1", b"2"]
    assert got(r, clients) == [[], [b"2"], [b"1"], [], both, both]
    assert clients[2].transport.events == ["ended"]


def test_skipped_members(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0), (1, 1), (2, 2), (900, 900))
    outboxes = [client.outbox for client in clients]
    room.put(b"1", at=(0, 0), skip=[outboxes[0], outboxes[0], outboxes[3], r.client().outbox])
    room.put(b"2", skip=outboxes[:3])
    room.put(b"3", at=(0, 0), skip=outboxes)
    assert got(r, clients) == [[], [b"1"], [b"1"], [b"2"]]


def test_a_tick_gathers_for_each(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0), (15, 0), (30, 0), coalesce=0.05)
    for number in range(6):
        room.put(b"%d" % number, at=(5 + 20 * (number % 2), 0))
    r.flush()
    assert [client.payloads() for client in clients] == [[], [], []]
    assert r.core.next_due(r.now) is not None
    before = r.core.sends
    assert got(r, clients) == [[b"0", b"2", b"4"], [b"0", b"1", b"2", b"3", b"4", b"5"], [b"1", b"3", b"5"]]
    assert r.core.sends - before == 3, "one send for each"


def test_frames_of_several_rooms_keep_their_order(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0), (30, 0), (0, 0))
    other = r.room(*clients)
    expected: list[list[bytes]] = [[], [], []]
    for number in range(50):
        name = b"%d" % number
        who = [[0, 2], [1], [0, 1, 2], [1]][number % 4]
        if number % 4 == 2:
            other.put(name, number)
        elif number % 4 == 3:
            clients[1].outbox.put(name)
        else:
            room.put(name, at=(30 * (number % 4), 0))
        for i in who:
            expected[i].append(name)
    assert got(r, clients) == expected


def test_what_has_expired_goes_from_the_queue(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0), (0, 0))
    clients[0].transport.block()
    room.put(b"short", at=(0, 0), expires=r.now + 1)
    room.put(b"long", at=(0, 0), expires=r.now + 100)
    room.put(b"far", at=(90, 0), expires=r.now + 1)
    r.flush()
    r.now += 2
    clients[0].transport.unblock()
    assert got(r, clients) == [[b"long"], [b"short", b"long"]]
    assert r.core.stats().expired == 1


@pytest.mark.parametrize("policy", list(Policy))
def test_a_slow_member_pays_alone(rig: Make, policy: Policy) -> None:
    r = rig(outbox_bytes=1000)
    room, clients = scene(r, (0, 0), (5, 0), (5, 0), policy=policy)
    slow = clients[1]
    slow.transport.on_slow = slow.outbox.clear
    slow.transport.block()
    for number in range(100):
        room.put(b"%04d" % number * 10, at=(-6, 0))
        room.put(b"%04d" % number * 10, at=(0, 0))
        r.flush()
    assert slow.outbox.pending <= 1000
    assert [len(client.payloads()) for client in clients] == [200, 0, 100]
    stats = r.core.stats()
    if policy is Policy.DISCONNECT:
        assert "slow" in slow.transport.events and stats.slow
    elif policy is Policy.DROP:
        assert stats.dropped and not stats.slow
        slow.transport.unblock()
        assert got(r, [slow])[0][-1] == b"0099" * 10
    else:
        slow.transport.unblock()
        assert got(r, [slow]) == [[b"0099" * 10]]
        assert stats.superseded == 99


def test_the_batch_is_bounded(rig: Make) -> None:
    r = rig(batch_bytes=1000)
    room, clients = scene(r, (0, 0), (50, 0))
    assert room.put(b"x" * 900, at=(0, 0)) and room.full(101)
    assert not room.put(b"x" * 101, at=(0, 0))
    assert room.put(b"y" * 101, at=(0, 0), keep=True)
    assert r.core.stats().refused == 1
    assert got(r, clients) == [[b"x" * 900, b"y" * 101], []]


def test_the_ranges_of_a_batch_are_bounded(rig: Make) -> None:
    r = rig(batch_bytes=800)
    room, clients = scene(r, *[(0, 0)] * 30, *[(90, 0)] * 30)
    number = 0
    while room.put(b"%d" % number, at=(90 * (number % 2), 0)):
        number += 1
    assert number == 4, "of 30 ranges each, and 100 may wait"
    assert room.full(1)
    first, *_, last = got(r, clients)
    assert (first, last) == ([b"0", b"2"], [b"1", b"3"])
    assert not room.full(1)
    for number in range(100):  # what stands together is one range
        assert room.put(b"%d" % number, at=(0, 0))


@pytest.mark.parametrize("place", [(math.nan, 0), (0, math.inf), (-math.inf, 0), (1e9 * 1.001, 0), (0, -2e9)])
def test_a_place_that_is_none(rig: Make, place: tuple[float, float]) -> None:
    r = rig()
    room, clients = scene(r, (0, 0))
    for outbox in (clients[0].outbox, r.client().outbox):
        with pytest.raises(ValueError, match="coordinates"):
            room.place(outbox, *place)
    with pytest.raises(ValueError, match="coordinates"):
        room.put(b"x", at=place)
    assert room.position(clients[0].outbox) == (0, 0)
    assert not r.core.dirty


def test_wrong_types(rig: Make) -> None:
    r = rig()
    room, clients = scene(r, (0, 0))
    for wrong in ("1", None, [1]):
        with pytest.raises((TypeError, ValueError)):
            room.place(clients[0].outbox, wrong, 0)
        with pytest.raises((TypeError, ValueError)):
            room.put(b"x", at=(0, wrong))
    for at in ((), (1,), (1, 2, 3), 5):
        with pytest.raises((TypeError, ValueError)):
            room.put(b"x", at=at)
    assert not r.core.dirty


def test_without_a_radius_there_are_no_places(rig: Make) -> None:
    r = rig()
    client = r.client()
    room = r.room(client)
    with pytest.raises(ValueError, match="no radius"):
        room.place(client.outbox, 0, 0)
    with pytest.raises(ValueError, match="no radius"):
        room.put(b"x", at=(0, 0))
    room.unplace(client.outbox)
    assert room.position(client.outbox) is None
    for radius in (-1.0, math.nan, math.inf, RADII[0] / 2, RADII[1] * 2):
        with pytest.raises(ValueError, match="a radius"):
            r.room(radius=radius)


def test_what_cannot_be_said_in_json_is_queued_for_nobody(rig: Make, twin: Any) -> None:
    def broken(payload: bytes) -> bytes:
        raise ValueError("no JSON")

    r = rig()
    r.core = twin.Broadcaster(
        wake=lambda: None, to_json=broken, clock=lambda: 0.0,
        outbox_bytes=BIG, total_bytes=BIG, batch_bytes=BIG,
    )  # fmt: skip
    room, clients = scene(r, (0, 0), (0, 0), (99, 0))
    assert room.put(b"x", at=(0, 0)), "nobody near speaks JSON"
    assert room.put(b"x", at=(0, 0), skip=[clients[2].outbox])
    room.place(clients[2].outbox, 1, 1)
    with pytest.raises(ValueError, match="no JSON"):
        room.put(b"y", at=(0, 0))
    assert r.core.stats().messages == 2
    for client in clients:
        client.outbox.close()
    r.core.flush(0.0)


NUMBERS = [0.0, 0.5, 1.0, 9.999999, 10.0, 10.0000001, 20.0, 30.0, 1e9, 1e9 - 10, 123456.789]
COORDINATE = st.one_of(
    st.sampled_from([sign * number for number in NUMBERS for sign in (1, -1)]),
    st.integers(-40, 40),
    st.floats(-50, 50),
    st.floats(-MAX_COORDINATE, MAX_COORDINATE),
)
PLACE = st.tuples(COORDINATE, COORDINATE)
ASIDE = st.sampled_from([(1, 0), (-1, 0), (0, 1), (0.6, 0.8), (-0.6, -0.8), (0.8, -0.6000001)])
RADIUS = st.one_of(st.sampled_from([10.0, 0.001, 1.0, 3.3, 1e9]), st.floats(*RADII))


@pytest.mark.parametrize("twin", twins("fastchat._broadcast", "fastchat._broadcast_py"))
@settings(max_examples=200, deadline=None)
@given(data=st.data(), radius=RADIUS)
def test_everybody_within_the_radius_and_nobody_else(twin: Any, data: st.DataObject, radius: float) -> None:
    """Against comparing with each: places anywhere, and near each other by about the radius."""
    r = Rig(twin)
    places: list[tuple[float, float]] = []
    for place in data.draw(st.lists(PLACE, min_size=1, max_size=12)):
        places.append(place)
        aside = data.draw(ASIDE)
        moved = (place[0] + aside[0] * radius, place[1] + aside[1] * radius)
        if max(map(abs, moved)) <= MAX_COORDINATE:
            places.append(moved)
    room, clients = scene(r, *places, radius=radius)
    expected: list[list[bytes]] = [[] for _ in places]
    for number, (x, y) in enumerate(places):
        room.put(b"%d" % number, at=(x, y))
        for i, (a, b) in enumerate(places):
            if (a - x) * (a - x) + (b - y) * (b - y) <= radius * radius:
                expected[i].append(b"%d" % number)
    assert got(r, clients) == expected
    r.close()


@pytest.mark.parametrize("seed", range(5))
def test_a_crowd_that_moves_comes_and_goes(rig: Make, seed: int) -> None:
    draw = random.Random(seed)
    r = rig(flush_sends=7)
    clients = [r.client(wire, raw=draw.random() < 0.5) for wire in WIRES * 20]
    room = r.room(radius=10.0, coalesce=draw.choice([0.0, 0.05]))
    places: dict[int, tuple[float, float] | None] = {}
    expected: list[list[bytes]] = [[] for _ in clients]
    for number in range(2000):
        i = draw.randrange(len(clients))
        outbox = clients[i].outbox
        match draw.randrange(10):
            case 0 if i not in places:
                room.add(outbox)
                places[i] = None
            case 0:
                room.remove(outbox)
                del places[i]
            case 1 | 2 | 3 | 4 if i in places:
                places[i] = place = (draw.uniform(-60, 60), draw.uniform(-60, 60))
                room.place(outbox, *place)
            case 5 if i in places and draw.random() < 0.2:
                places[i] = None
                room.unplace(outbox)
            case 6 if draw.random() < 0.3:
                r.flush()
            case _:
                x, y = draw.uniform(-60, 60), draw.uniform(-60, 60)
                room.put(b"%d" % number, at=(x, y))
                for k, there in places.items():
                    if there is not None and math.dist(there, (x, y)) <= 10.0:
                        expected[k].append(b"%d" % number)
        assert room.position(outbox) == places.get(i)
    assert sum(map(len, expected)) > 300
    assert got(r, clients) == expected
