"""Clients that are cut at random, in small, and proof that faults are found."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.durability.client import Client
from tests.durability.recovery import Recovery
from tests.server.wire import MESSAGE, RESULT

SEEDS = random.SystemRandom()


def cut(data: Path, clients: int, cuts: int, patience: float = 20.0) -> Recovery:
    seed = SEEDS.randrange(2**32)
    print(f"--clients {clients} --cuts {cuts} --life 0.05 --rate 300 --seed {seed}")
    run = Recovery(data, clients=clients, cuts=cuts, seed=seed, life=0.05, rate=300, patience=patience)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run.run())
    return run


def test_who_is_cut_misses_nothing_and_gets_nothing_twice(tmp_path: Path) -> None:
    run = cut(tmp_path / "data", 40, 10)
    assert run.faults == []
    assert sum(run.cuts.values()) == 400 and run.seen["recovered"] > 300
    assert run.seen["heard"] > run.seen["stored"] > 50


Take = Callable[[Client, list[Any]], None]


def lose(client: Client, message: list[Any], take: Take) -> None:
    if message[0] != MESSAGE or message[2] % 20:
        take(client, message)


def double(client: Client, message: list[Any], take: Take) -> None:
    take(client, message)
    if message[0] == MESSAGE and message[2] % 20 == 0:
        take(client, message)


def swap(client: Client, message: list[Any], take: Take) -> None:
    if message[0] == MESSAGE and client.member.name == "u0":
        message[5] += "?"
    take(client, message)


def claim(client: Client, message: list[Any], take: Take) -> None:
    """A recovery that lacks its last message."""
    if message[0] == RESULT and (rooms := message[2].get("rooms")):
        for room in rooms.values():
            room["messages"] = room["messages"][:-1]
    take(client, message)


@pytest.mark.parametrize(
    "plant, says",
    [(lose, "stood at"), (double, "stood at"), (swap, "offset reused"), (claim, "was recovered to")],
)
def test_a_planted_fault_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[Client, list[Any], Take], None],
    says: str,
) -> None:
    take = Client.take
    monkeypatch.setattr(Client, "take", lambda client, message: plant(client, message, take))
    run = cut(tmp_path / "data", 10, 5, patience=1.0)
    assert any(says in fault for fault in run.faults), run.faults
