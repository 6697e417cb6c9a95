"""What `/capacity` says of the model: every key always there, numbers or None, and what would bind first."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fastchat.capacity_filter import TYPICAL, Costs, Shape
from fastchat.capacity_live import P99_ITERATIONS, Live
from fastchat.capacity_report import clients, limits, report
from fastchat.config import Config
from tests.coalescing import Coalescing

SLOW = Costs(*(4 * cost for cost in TYPICAL))
ROOM = Shape(1000.0, 1000.0, 130.0)
TEAMS = Shape(5.0, 1000.0, 130.0)
PLENTY = 10**6  # connections


def worked(shape: Shape, share: float, config: Config | None = None) -> Coalescing:
    """A server that has worked at that part of its capacity."""
    config = config or Config()
    world = Coalescing(SLOW, shape, int(shape.recipients), config)
    allowed = max(config.latency_limit_ms / 1000 / P99_ITERATIONS, 4 * SLOW.bare(shape))
    for part in (0.3, share):
        world.pace(part * SLOW.rate(allowed, shape), 6)
    return world


def test_before_there_was_work_nothing_is_known() -> None:
    told: Any = report(Live(Config()))
    assert json.loads(json.dumps(told)) == told
    assert told["model"] == {**dict.fromkeys("abcdef"), "confidence": 0.0, "samples": 0}
    assert told["requests_per_second"] == dict.fromkeys(("value", "low", "high"))
    assert told["headroom"] == dict.fromkeys(("clients", "messages_per_second"))
    assert (told["utilisation"], told["load"], told["clients"]) == (None, 0.0, 0)
    assert told["latency_limit_ms"] == told["effective_limit_ms"] == pytest.approx(100.0)


def test_after_work_everything_is_a_number() -> None:
    told: Any = report(worked(ROOM, 0.6).live)

    def numbers(value: object) -> None:
        if isinstance(value, dict):
            for part in value.values():
                numbers(part)
            return
        assert isinstance(value, int | float) and value >= 0

    numbers(json.loads(json.dumps(told, allow_nan=False)))
    n = told["requests_per_second"]
    assert n["low"] < n["value"] < n["high"]
    assert told["utilisation"] == pytest.approx(told["load"] / n["value"])
    assert told["rate_per_client"] * told["clients"] == pytest.approx(told["load"])
    assert told["headroom"]["messages_per_second"] == pytest.approx(n["value"] - told["load"])
    assert 0.5 < told["model"]["confidence"] < 1.0


def test_in_one_room_clients_cost_twice() -> None:
    """Each brings messages, and is one more to send every message to: the limit is quadratic."""
    world = worked(ROOM, 0.25)
    more = clients(world.live)
    assert more is not None
    assert 0.4 * world.sessions < more < 1.2 * world.sessions
    teams = worked(TEAMS, 0.25)
    more = clients(teams.live)
    assert more is not None
    assert more > 1.2 * teams.sessions


def test_clients_who_say_nothing_tell_nothing() -> None:
    world = worked(ROOM, 0.5)
    world.live.load = 0.0
    assert clients(world.live) is None


def test_overloaded_there_is_no_room() -> None:
    world = worked(ROOM, 0.6, Config(admission=False))
    world.live.load = 3 * world.live.capacity
    told: Any = report(world.live)
    assert told["headroom"] == {"clients": 0, "messages_per_second": 0.0}
    assert told["utilisation"] == pytest.approx(3.0)


def test_idle() -> None:
    config = Config()
    assert limits(Live(config), PLENTY, 0, config)[0] == "idle"
    world = worked(ROOM, 0.5)
    world.live.load = 0.0
    assert limits(world.live, PLENTY, 0, config)[0] == "idle"


LIMITS: dict[str, tuple[Shape, dict[str, Any], int, int, str, str]] = {
    "a room that must be served in time": (
        Shape(100.0, 100.0, 130.0), {"latency_limit_ms": 20.0}, PLENTY, 0, "latency", "latency_limit_ms"
    ),
    "a room whose flush is long": (
        ROOM, {"latency_limit_ms": 20.0}, PLENTY, 0, "latency", "a flush to 1000 members takes"
    ),
    "patience that buys nothing": (
        Shape(10.0, 10.0, 130.0), {"batch_bytes": 128 * 1024}, PLENTY, 0, "cpu", "hardly save"
    ),
    "few descriptors": (ROOM, {"latency_limit_ms": 20.0}, 3, 0, "connections", "3 more connections"),
    "much waits": (ROOM, {}, PLENTY, 250 * 1024 * 1024, "memory", "that do not read"),
    "long frames": (
        Shape(10.0, 10.0, 10_000.0), {"batch_bytes": 40 * 1024}, PLENTY, 0, "memory", "batch_bytes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape, settings, room, waiting, kind, says", LIMITS.values(), ids=LIMITS)
def test_what_binds_first(
    shape: Shape, settings: dict[str, Any], room: int, waiting: int, kind: str, says: str
) -> None:
    config = replace(Config(), **settings)
    world = worked(shape, 0.5, config)
    got, reason = limits(world.live, room, waiting, config)
    assert (got, says in reason) == (kind, True), reason


def test_a_core_that_others_use() -> None:
    config = Config()
    world = worked(ROOM, 0.5, config)
    world.live.share = 0.5
    assert limits(world.live, PLENTY, 0, config) == ("cpu", "others leave the server 50% of its core")
