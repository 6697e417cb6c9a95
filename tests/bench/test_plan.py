"""A plan that exists is within bounds, and comes through JSON as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastchat.bench.failure import BenchError
from fastchat.bench.plan import Plan
from fastchat.capacity import Group

PLAN = Plan(groups=(Group(60, 5), Group(2, 50)), rate=1000, publishers=2)


def test_a_plan_comes_through_json() -> None:
    again = Plan.from_json(json.loads(json.dumps(PLAN.to_json())))
    assert again == PLAN
    assert again.groups[0].members == 5


def test_what_follows_from_a_plan() -> None:
    assert PLAN.clients == 400
    assert PLAN.speakers == 2 * 62
    assert (PLAN.polling, PLAN.limit) == (50, 3000)
    assert Plan(mode="flood", groups=(Group(1, 10),)).polling == 0
    assert Plan(poll_us=0).polling == 0
    assert Plan(outstanding=7).limit == 7
    assert Plan(groups=(Group(1, 10),), stalled=3).speakers == 7
    assert PLAN.longest == 1 + 3 + 90
    assert Plan(drain=0.5).draining == 0.5


def test_plain_tuples_are_groups_too() -> None:
    values: dict[str, Any] = {"groups": [[3, 4]]}
    assert Plan(**values).groups == (Group(3, 4),)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "port": ({"port": 0}, "port 0"),
    "wire": ({"wire": "pigeon"}, "'pigeon' is not one of tcp, ws"),
    "mode": ({"mode": "sideways"}, "not one of paced"),
    "schedule": ({"schedule": "weekly"}, "not one of poisson"),
    "no groups": ({"groups": ()}, "groups"),
    "an empty room": ({"groups": ((1, 0),)}, "groups"),
    "too many clients": ({"groups": ((1000, 1000),)}, "1,000,000 clients"),
    "all stalled": ({"groups": ((1, 5),), "stalled": 5}, "fewer than all"),
    "more publishers than members": ({"groups": ((1, 50), (1, 5)), "publishers": 6}, "0 to 5"),
    "publishers who do not read": ({"groups": ((1, 5),), "stalled": 2, "publishers": 4}, "who read"),
    "payload": ({"payload": 10}, "32 to 16,000"),
    "window": ({"window": 0}, "window"),
    "windows": ({"mode": "flood", "window": 1024}, "65,536 messages"),
    "depth": ({"depth": 65}, "depth"),
    "rate": ({"rate": 0}, "rate"),
    "seconds": ({"seconds": 100_000}, "seconds"),
    "not a number": ({"seconds": float("nan")}, "seconds"),
    "warmup": ({"warmup": -1}, "warm-up"),
    "timeout": ({"timeout": 0}, "timeout"),
    "drain": ({"drain": 0}, "drain"),
    "count": ({"count": -1}, "count"),
    "poll": ({"poll_us": -1}, "poll_us"),
    "outstanding": ({"outstanding": 10**9}, "outstanding"),
    "chunk": ({"chunk": 1 << 20}, "chunk"),
    "rcvbuf": ({"rcvbuf": -1}, "rcvbuf"),
    "pid": ({"server_pid": -1}, "pid"),
    "seed": ({"seed": -1}, "seed"),
    "room": ({"room": "x" * 60}, "room"),
    "prefix": ({"prefix": ""}, "prefix"),
    "source": ({"source": "192.0.2.1"}, "127.0.0.0/8"),
    "no address": ({"source": "home"}, "127.0.0.0/8"),
    "silent speakers": ({"join": False}, "does not join"),
    "many rooms elsewhere": ({"dialect": "nats", "groups": ((2, 5),)}, "one room"),
    "PING elsewhere": ({"dialect": "nats", "mode": "pings"}, "no PING"),
}


@pytest.mark.parametrize("values, words", WRONG.values(), ids=WRONG)
def test_what_is_out_of_bounds_is_refused_with_the_bound(values: dict[str, Any], words: str) -> None:
    with pytest.raises(BenchError, match="out of bounds") as caught:
        Plan(**values)
    assert words in str(caught.value)


@pytest.mark.parametrize("values", [{"speed": 9}, {"groups": [[1, 2, 3]]}, {"rate": "fast"}, {"groups": 7}])
def test_json_that_is_no_plan_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BenchError):
        Plan.from_json(values)
