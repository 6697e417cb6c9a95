"""The load model: what it says about rates and clients, and the formulas that it contains."""

from __future__ import annotations

import doctest
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastchat import capacity
from fastchat.capacity import (
    NAMES,
    SHAPES,
    CapacityError,
    Crowd,
    Group,
    Model,
    clients,
    mixed,
    one_room,
    teams,
)  # fmt: skip
from fastchat.capacity_search import largest_rate, most_clients

RELAY = Model(a=8e-6, b=4e-6, c=40e-9, d=0.1e-9, e=30e-6, overhead=48)
THREADS = Model(a=20e-6, b=5e-6, d=0.1e-9, overhead=48, coalescing=False)
LIMIT = 0.02

costs = st.builds(
    Model,
    a=st.floats(1e-6, 1e-4),
    b=st.floats(1e-6, 2e-5),
    c=st.floats(1e-9, 2e-7),
    d=st.floats(0, 1e-9),
    e=st.floats(0, 1e-4),
    b1=st.floats(0, 1e-6),
)
shapes = st.lists(st.builds(Group, st.integers(1, 50), st.integers(1, 200)), min_size=1, max_size=3)


def textbook(model: Model, members: int, rate: float) -> float:
    """The issue's formula: T = M b / (1 - lambda (a + M c))."""
    return members * model.b / (1 - rate * (model.a + members * model.c))


# What was measured before the first line: b = 3.8 us, M = 100, frames a send at two rates.
@pytest.mark.parametrize("rate, predicted, least, most", [(5000, 1.95, 1.95, 2.2), (15_000, 6.2, 6.2, 6.8)])
def test_the_frames_per_send_of_the_prototypes(rate, predicted, least, most):
    model = Model(a=3.2e-6, b=3.8e-6, c=22e-9)
    assert rate * textbook(model, 100, rate) == pytest.approx(predicted, rel=0.01)
    gathered = rate * model.iteration(rate, 100)
    assert least <= gathered + math.exp(-gathered) <= most  # idle rounds carry one message each


def test_one_busy_room_is_the_textbook_formula():
    model = Model(a=8e-6, b=4e-6, c=40e-9)
    assert model.iteration(12_000, 1000) == pytest.approx(textbook(model, 1000, 12_000), rel=1e-6)


def test_many_quiet_rooms_pay_a_send_per_delivery():
    model = Model(a=8e-6, b=4e-6, c=40e-9)
    most = model.requests_per_second((Group(100_000, 5),), 0, LIMIT).value
    assert most == pytest.approx(1 / (8e-6 + 5 * (4e-6 + 40e-9)), rel=0.02)


def test_one_room_grows_with_the_square_root():
    """Where r C (a + C c) is what counts, four times the talk leaves half the clients."""
    model = Model(a=0, b=1e-9, c=1e-6)
    slow, fast = (model.max_clients(r, one_room, 0, 0.1).value for r in (1, 4))
    assert slow / fast == pytest.approx(2, rel=0.03)


def test_a_crowd_is_the_same_as_its_rooms():
    rooms = (Group(20, 50),)
    assert RELAY.iteration(9000, Crowd(1000, 50), 100) == pytest.approx(RELAY.iteration(9000, rooms, 100))
    assert RELAY.iteration(9000, 1000, 100) == RELAY.iteration(9000, one_room(1000), 100)


def test_a_room_whose_flush_takes_too_long_has_no_rate():
    assert RELAY.requests_per_second(10_000, 100, LIMIT) == (0, 0, 0)
    assert RELAY.utilisation(1, 10_000, 100, LIMIT) == math.inf


def test_the_example_of_the_module():
    assert doctest.testmod(capacity).failed == 0


def test_a_search_finds_the_last_that_is_within():
    for edge in (1, 2, 17, 63, 64, 1000, 123_456):
        tried: list[int] = []

        def excess(count: int, edge: int = edge, tried: list[int] = tried) -> float:
            tried.append(count)
            return max(-1.0, 1.0 - edge / count) if count > edge else -1.0 + 0.5 * count / edge

        assert most_clients(excess) == edge
        assert len(tried) <= 35
    assert most_clients(lambda count: 1.0) == 0
    assert most_clients(lambda count: -1.0) >= 1 << 24
    assert largest_rate(lambda rate: rate - 0.3, 10.0) == pytest.approx(0.3, rel=1e-3)
    assert largest_rate(lambda rate: 1.0, 10.0) == 0.0


def test_utilisation_is_rate_by_capacity():
    most = RELAY.requests_per_second(one_room(500), 100, LIMIT).value
    assert RELAY.utilisation(most / 4, one_room(500), 100, LIMIT) == pytest.approx(0.25)


@pytest.mark.parametrize("model", [RELAY, THREADS], ids=["relay", "threads"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_largest_number_of_clients_is_the_last_within_the_limit(model, name):
    most = int(model.max_clients(5, SHAPES[name], 100, LIMIT).value)
    assert model.latency(5 * most, SHAPES[name](most), 100) <= LIMIT
    more = most + 1 + most // 100
    assert model.latency(5 * more, SHAPES[name](more), 100) > LIMIT


def test_a_larger_frame_and_more_sockets_cost_more():
    small = RELAY.requests_per_second(one_room(1000), 100, LIMIT).value
    assert RELAY.requests_per_second(one_room(1000), 10_000, LIMIT).value < small
    assert replace(RELAY, b1=1e-6).requests_per_second(one_room(1000), 100, LIMIT).value < small


def test_exact_coefficients_have_no_interval_and_uncertain_ones_have_one():
    assert len(set(RELAY.requests_per_second(one_room(300), 100, LIMIT))) <= 3
    rows = [[0.0] * len(NAMES) for _ in NAMES]
    rows[1][1] = (0.1 * RELAY.b) ** 2
    unsure = replace(RELAY, covariance=tuple(map(tuple, rows)))
    value, low, high = unsure.max_clients(5, one_room, 100, LIMIT)
    assert low < 0.95 * value < value < 0.95 * high
    assert unsure.coefficients()["b"].high == pytest.approx(RELAY.b * 1.196, rel=0.01)
    exact = RELAY.max_clients(5, one_room, 100, LIMIT)
    assert exact.high - exact.low <= 0.005 * exact.value


def test_the_interval_covers_what_other_coefficients_would_give():
    rows = [[0.0] * len(NAMES) for _ in NAMES]
    rows[1][1] = (0.05 * RELAY.b) ** 2
    unsure = replace(RELAY, covariance=tuple(map(tuple, rows)))
    _, low, high = unsure.requests_per_second(one_room(1000), 100, LIMIT)
    dear = replace(RELAY, b=RELAY.b * (1 + 0.05 * 1.96)).requests_per_second(one_room(1000), 100, LIMIT)
    cheap = replace(RELAY, b=RELAY.b * (1 - 0.05 * 1.96)).requests_per_second(one_room(1000), 100, LIMIT)
    assert low == pytest.approx(dear.value, rel=0.03)
    assert high == pytest.approx(cheap.value, rel=0.03)


def test_a_model_survives_json():
    rows = tuple(tuple(float(i * j) for j in range(6)) for i in range(6))
    model = replace(RELAY, covariance=rows, freedom=7, hold=0.002)
    assert Model.from_dict(json.loads(json.dumps(model.as_dict()))) == model


@settings(max_examples=60, deadline=None)
@given(costs, shapes, st.floats(1, 1e5), st.floats(1.001, 3))
def test_an_iteration_gets_longer_with_the_rate(model, rooms, rate, more):
    one_room_only = len(rooms) == 1 and rooms[0].rooms == 1
    shorter, longer = (model.iteration(r, rooms, 100) for r in (rate, rate * more))
    if one_room_only or longer > 10 * shorter:
        assert longer >= shorter * (1 - 1e-6)
    assert longer >= shorter * 0.9  # a round that waited for one message may have met a dear one


@settings(max_examples=60, deadline=None)
@given(costs, shapes, st.floats(1, 1e5))
def test_the_length_of_an_iteration_is_what_its_work_takes(model, rooms, rate):
    seconds = model.iteration(rate, rooms, 100)
    count = clients(rooms)
    per_message = sum(g.rooms * g.members**2 for g in rooms) / count
    send = model.b + model.b1 * count / 1000
    frame = model.c + model.d * 100
    if seconds == math.inf:
        assert rate * (model.a + per_message * frame) >= 1 - 1e-9
        return
    sends = sum(g.rooms * g.members * -math.expm1(-rate / count * g.members * seconds) for g in rooms)
    alone = model.a + per_message * (send + frame)
    work = model.e + sends * send + rate * seconds * (model.a + per_message * frame)
    assert work + math.exp(-rate * seconds) * alone == pytest.approx(seconds, rel=1e-5)


@settings(max_examples=3, deadline=None)
@given(costs, st.lists(st.builds(Group, st.integers(1, 50), st.integers(1, 200)), min_size=1, max_size=2),
       st.floats(0.005, 0.1))  # fmt: skip
def test_a_longer_limit_never_allows_less(model, rooms, limit):
    assert (
        model.requests_per_second(rooms, 100, limit).value
        <= model.requests_per_second(rooms, 100, 2 * limit).value * 1.01
    )


@settings(max_examples=5, deadline=None)
@given(costs, st.integers(2, 300), st.floats(0.005, 0.1), st.booleans())
def test_more_members_never_allow_more(model, members, limit, coalescing):
    model = replace(model, coalescing=coalescing)
    small = model.requests_per_second(members, 100, limit).value
    assert model.requests_per_second(2 * members, 100, limit).value <= small * 1.01


@settings(max_examples=5, deadline=None)
@given(costs, st.integers(1, 300), st.floats(0.1, 0.9), st.booleans())
def test_latency_grows_with_percentile_and_rate(model, members, load, coalescing):
    model = replace(model, coalescing=coalescing)
    each = model.c + model.d * 100 + (0 if coalescing else model.b + model.b1 * 2)
    rate = load / (model.a + members * each)
    found = [model.latency(r, members, 100, p) for r, p in ((rate, 0.5), (rate, 0.99), (rate * 1.1, 0.99))]
    assert found[0] <= found[1] <= found[2] * 1.02


@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 20_000))
def test_shapes_hold_exactly_their_clients(name, count):
    shape = SHAPES[name](count)
    assert clients(shape) == count
    assert all(group.rooms > 0 and group.members > 0 for group in shape)


def test_the_shapes_are_what_their_names_say():
    assert one_room(7) == (Group(1, 7),)
    assert teams(5)(12) == (Group(2, 5), Group(1, 2))
    assert set(mixed(1000)) == {Group(120, 5), Group(6, 50), Group(1, 100)}


BAD = {
    "a negative price": (lambda: Model(a=-1e-6, b=1e-6), "none negative"),
    "nothing costs anything": (lambda: Model(a=0, b=0), "costs something"),
    "a price that is no number": (lambda: Model(a=math.nan, b=1e-6), "none negative"),
    "no room": (lambda: RELAY.iteration(1, ()), "at least one Group"),
    "a room of nobody": (lambda: RELAY.iteration(1, (Group(1, 0),)), "positive numbers"),
    "a fan-out beyond all": (lambda: RELAY.iteration(1, Crowd(5, 6)), "at most all"),
    "no rate": (lambda: RELAY.iteration(0, 10), "positive number"),
    "an endless rate": (lambda: RELAY.latency(math.inf, 10), "positive number"),
    "a negative payload": (lambda: RELAY.latency(1, 10, -1), "0 or more"),
    "no limit": (lambda: RELAY.requests_per_second(10, 100, 0), "number of seconds"),
    "a percentage": (lambda: RELAY.latency(1, 10, 100, 99), "such as 0.99"),
    "silent clients": (lambda: RELAY.max_clients(0, one_room, 100, 1), "positive number"),
    "no client": (lambda: one_room(0), "at least one"),
    "empty teams": (lambda: teams(0), "at least one member"),
    "not a model": (lambda: Model.from_dict({"a": 1, "x": 2}), "no model"),
}  # fmt: skip


@pytest.mark.parametrize("call, says", BAD.values(), ids=BAD)
def test_bad_input_says_what_to_do(call, says):
    with pytest.raises(CapacityError, match=says):
        call()
