"""The swarm speaks each peer's dialect: to fake servers always, to the peers where they are installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fastchat.bench.failure import BenchError
from fastchat.bench.peer_dialects import PEERS as DIALECTS
from fastchat.bench.plan import Plan
from fastchat.bench.processes import Cores, Place, running
from fastchat.bench.targets import Target, read_peers

from .fake_peers import serving
from .test_peer_dialects import BETWEEN, SIZES, WRONG, answers

_swarm = pytest.importorskip("fastchat.bench._swarm")
driver = pytest.importorskip("fastchat.bench.driver")

INSTALLED = read_peers(Path(__file__).parents[2] / "benchmarks" / "peers" / "peers.toml")
MEMBERS, COUNT = 5, 40
FLOOD: dict[str, Any] = {"mode": "flood", "count": COUNT, "window": 8, "publishers": 1}
PACED: dict[str, Any] = {"mode": "paced", "rate": 200.0, "seconds": 0.3, "publishers": 1}
SMALL = [size for size in SIZES if size <= 16_000]  # what a plan allows
WIRE = {"ws-relay": "ws", "socketio": "ws"}


def load(name: str, port: int, **options: Any) -> dict[str, Any]:
    """The sample of a load in that dialect."""
    general = {"groups": ((1, MEMBERS),), "wire": WIRE.get(name, "tcp"), "warmup": 0.0, "seconds": 8.0}
    plan = Plan(port=port, dialect=name, room="room", **{**general, **options})
    swarm = _swarm.Swarm(plan, driver.script_of(plan))
    swarm.connect()
    sample: dict[str, Any] = swarm.run()
    return sample


def faultless(sample: dict[str, Any]) -> bool:
    return set(sample["errors"].values()) == {0} and sample["first_error"] == ""


@pytest.mark.parametrize("payload", SMALL)
@pytest.mark.parametrize("name", DIALECTS)
def test_a_flood(name: str, payload: int) -> None:
    with serving(name) as (port, _):
        sample = load(name, port, payload=payload, **FLOOD)
    assert faultless(sample), (sample["errors"], sample["first_error"])
    assert (sample["messages"], sample["deliveries"]) == (COUNT, COUNT * MEMBERS)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_paced_load(name: str) -> None:
    with serving(name) as (port, _):
        sample = load(name, port, **PACED)
    assert faultless(sample), (sample["errors"], sample["first_error"])
    assert sample["messages"] > 0 and sample["each_us"]["count"] > 0


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "nats"])
def test_everybody_publishes(name: str) -> None:
    with serving(name) as (port, _):
        sample = load(name, port, **{**FLOOD, "publishers": MEMBERS, "window": 2})
    assert faultless(sample), (sample["errors"], sample["first_error"])
    assert sample["deliveries"] == COUNT * MEMBERS


def test_nats_has_one_publisher_only() -> None:
    with pytest.raises(BenchError, match="publishers must be 1"):
        driver.script_of(Plan(dialect="nats", groups=((1, MEMBERS),), publishers=2))


@pytest.mark.parametrize("name", DIALECTS)
def test_what_comes_between_is_passed_over_and_answered(name: str) -> None:
    between, asked = BETWEEN[name]
    with serving(name, between, piece=3) as (port, room):
        sample = load(name, port, **{**FLOOD, "count": 10})
        assert faultless(sample), (sample["errors"], sample["first_error"])
        assert answers(room, 10 * MEMBERS * asked) == 10 * MEMBERS * asked


@pytest.mark.parametrize("name", WRONG)
def test_an_error_is_counted_and_told(name: str) -> None:
    with serving(name, WRONG[name]) as (port, _):
        sample = load(name, port, seconds=1.0, timeout=1.0, **{**FLOOD, "count": 3})
    assert sum(sample["errors"].values()) > 0 and sample["first_error"]


@pytest.mark.parametrize("mode", ["flood", "paced"])
@pytest.mark.parametrize("peer", INSTALLED, ids=lambda peer: peer.name)
def test_an_installed_peer(peer: Target, mode: str) -> None:
    if missing := peer.missing():
        pytest.skip(f"{peer.name}: {missing}")
    with running(peer, Place(Cores(None, None), os.environ)) as server:
        options = FLOOD if mode == "flood" else {**PACED, "rate": 50.0}
        sample = load(peer.dialect, server.port, **options)
    assert faultless(sample), (sample["errors"], sample["first_error"])
    assert sample["messages"] > 0 and sample["deliveries"] > 0
