"""Comparisons: the order of samples, figures of right ones only, ratios paired within a round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastchat.bench import compare
from fastchat.bench.compare import (
    FIGURES,
    FULL,
    QUICK,
    Point,
    Windows,
    figures,
    ours,
    plan,
    points,
    ratios,
    turns,
)
from fastchat.bench.targets import BUILT_IN, Target
from tests.bench.samples import sample

US, WS, THREADED, STREAMS = BUILT_IN
PEER = Target("peer", ("peer", "{port}"), dialect="ws-relay", wire="ws")
POINT = Point(100, "flood")
RATE = "deliveries/CPU s"


def entry(turn: int, server: str, cpu: float, failed: str = "", point: Point = POINT) -> dict[str, Any]:
    taken = None if failed == "died" else sample(server, point.members, point.mode, server_cpu=cpu)
    return {"round": turn, **point._asdict(), "server": server, "failed": failed, "sample": taken}


def test_the_order_rotates_and_everybody_gets_every_load() -> None:
    where = points((10, 100))
    order = list(turns((US, THREADED, PEER), where, rounds=4))
    assert len(order) == len({(turn, point, one.name) for turn, point, one in order}) == 4 * 4 * 3
    first = [target.name for turn, point, target in order if point == where[0]]
    assert first[:9] == ["fastchat", "threaded", "peer", "threaded", "peer", "fastchat", "peer", "fastchat",
                         "threaded"]  # fmt: skip


def test_ratios_are_of_the_same_round_and_medians_of_all() -> None:
    taken = [
        entry(1, "fastchat", 0.1), entry(1, "threaded", 1.0),
        entry(2, "threaded", 4.0), entry(2, "fastchat", 0.2),  # a slow round for both
        entry(3, "fastchat", 0.1), entry(3, "threaded", 3.0),
        entry(4, "fastchat", 0.1), entry(4, "threaded", 9.0, failed="wrong frames: x"),
        entry(5, "threaded", 9.0),
    ]  # fmt: skip
    (row,) = [one for one in ratios(taken, [POINT], (US, THREADED)) if one["figure"] == RATE]
    assert (row["server"], row["over"], row["rounds"]) == ("fastchat", "threaded", 3)
    assert [row[name] for name in ("low", "median", "high")] == pytest.approx([10, 20, 30])
    found = [one for one in figures(taken, [POINT], ["threaded"]) if one["figure"] == RATE]
    assert found[0]["high"] == pytest.approx(10_000)  # the wrong one is left out


def test_what_was_not_measured_has_no_figures() -> None:
    taken = [entry(1, "fastchat", 0.1, failed="died")]
    assert figures(taken, [POINT], ["fastchat"]) == ratios(taken, [POINT], (US, PEER)) == []


def test_a_clock_that_could_not_be_read_gives_no_ratio() -> None:
    taken = [entry(1, "fastchat", 0.1), entry(1, "threaded", 0.0)]
    assert {one["figure"] for one in ratios(taken, [POINT], (US, THREADED))} == set(FIGURES) - {
        RATE, "CPU share"
    }  # fmt: skip


@pytest.mark.parametrize(
    "target, servers, expected",
    [
        (THREADED, ["fastchat", "fastchat-ws", "threaded"], "fastchat"),
        (PEER, ["fastchat", "fastchat-ws", "peer"], "fastchat-ws"),
        (PEER, ["fastchat", "peer"], "fastchat"),
        (WS, ["fastchat", "fastchat-ws"], "fastchat"),
        (US, ["fastchat", "fastchat-ws"], ""),
        (PEER, ["threaded", "peer"], ""),
    ],
)
def test_each_is_compared_with_us_on_its_own_wire(target: Target, servers: list[str], expected: str) -> None:
    assert ours(target, servers) == expected


def test_loads_are_what_they_are_said_to_be() -> None:
    for point in points(compare.MEMBERS):
        load = plan(point, FULL, 100, seed=3)
        assert (load.mode, load.publishers, load.payload, load.seed) == (point.mode, 1, 100, 3)
        assert [(group.rooms, group.members) for group in load.groups] == [(1, point.members)]
        assert load.window == (16 if point.members == 5000 else 64)
        assert load.rate * point.members == compare.PACED
        assert compare.seconds(point, FULL) > compare.seconds(point, QUICK) > 1
    assert FULL.rate(50) == 1000 and FULL.rate(100_000) == 1
    assert replace(FULL, deliveries=5000.0).rate(10) == 500


def test_a_server_that_cannot_deliver_its_window_gets_a_smaller_one_from_then_on() -> None:
    windows, load = Windows(), plan(POINT, FULL, 100, seed=1)
    late = {"sample": sample(undrained=9), "failed": "wrong frames: lost"}
    assert not windows.learn("threaded", POINT, {"sample": None, "failed": "x"})
    assert not windows.learn("threaded", Point(100, "paced"), late)
    assert windows.suit("threaded", POINT, load).window == 64
    assert windows.learn("threaded", POINT, late)
    assert not windows.learn("threaded", POINT, late)  # once is enough
    assert windows.suit("threaded", POINT, load).window == compare.WINDOW_OF_SLOW
    assert windows.suit("streams", POINT, load) == load


def test_a_paced_load_has_enough_messages() -> None:
    for members in compare.MEMBERS:
        assert FULL.seconds(Point(members, "paced")) * FULL.rate(members) >= FULL.messages
