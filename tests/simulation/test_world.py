"""Whole servers in a deterministic world keep every promise, with both twins of the broadcast core."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.simulation.world import World
from tests.twins import twins

CORES = twins("fastchat._broadcast", "fastchat._broadcast_py")


def history_of(world: World) -> list[object]:
    """Everything that anybody got, in order."""
    return [push for person in world.people if person.line is not None for push in person.line.got]


@pytest.mark.parametrize("later", [False, True], ids=["now", "later"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("core", CORES)
def test_forty_people(core: ModuleType, seed: int, later: bool) -> None:
    world = World(seed, 40, core=core.Broadcaster, later=later)
    world.run(3000)
    assert world.oracle.seen["Message"] > 1000


@pytest.mark.parametrize("core", CORES)
def test_a_thousand_people(core: ModuleType) -> None:
    world = World(1, 1000, rooms=24, core=core.Broadcaster)
    world.run(15_000)
    seen = world.oracle.seen
    assert seen["Message"] > 20_000 and seen["recovered True"] and seen["Gap"] and seen["Bye"]


@pytest.mark.parametrize("core", CORES)
def test_the_same_seed_makes_the_same_world(core: ModuleType) -> None:
    one, other = (World(5, 20, core=core.Broadcaster) for _ in range(2))
    for world in (one, other):
        world.run(800)
    assert history_of(one) == history_of(other) and history_of(one)
    assert one.oracle.seen == other.oracle.seen


def test_both_twins_make_the_same_world() -> None:
    worlds = [World(6, 20, core=core.values[0].Broadcaster) for core in CORES if core.values[0] is not None]
    for world in worlds:
        world.run(800)
        assert history_of(world) == history_of(worlds[0])
