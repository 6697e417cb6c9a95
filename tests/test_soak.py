"""The soak in small, and proof that its ledger notices what it is there for."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from fastchat.client import Gap, Lost, Message
from tests.soak import Ear, Ledger, Soak


def said(offset: int, user: str = "ada", data: object = None) -> Message:
    return Message("lobby", offset, 0, user, data or f"{user} {offset}", {})


def heard(*events: object) -> list[str]:
    """What the ledger finds wrong once bob has heard these."""
    ledger = Ledger()
    ear = Ear(ledger, "lobby", "bob")
    for event in events:
        ear.hear(event)
    ear.settle()
    return ledger.faults


@pytest.mark.parametrize(
    "events",
    [
        (said(5), said(6), said(7)),
        (said(1), Gap("lobby", 2, 4, "slow"), said(5)),
        (said(1), Lost("lobby", ("e", 1), ("e", 9), 5), said(7)),
        (said(1), said(0), said(2)),
    ],
    ids=["in order", "an announced gap", "an announced loss", "something ephemeral"],
)
def test_what_may_be_heard(events: tuple[object, ...]) -> None:
    assert heard(*events) == []


@pytest.mark.parametrize(
    "events, says",
    [
        ((said(1), said(3)), "never got 2"),
        ((said(1), said(1)), "stood at 1"),
        ((said(2), said(1)), "stood at 2"),
        ((said(1), said(2, data="ada 1")), "stands at ('lobby', 1) and ('lobby', 2)"),
        ((said(1), Gap("lobby", 3, 4, "slow")), "never got 2"),
        ((said(1), Lost("lobby", ("e", 1), ("f", 9), None)), "another epoch"),
    ],
    ids=["a silent gap", "a duplicate", "the wrong order", "twice", "a short gap", "an epoch"],
)
def test_what_may_not(events: tuple[object, ...], says: str) -> None:
    assert any(says in fault for fault in heard(*events))


def test_two_orders_are_noticed() -> None:
    ledger = Ledger()
    Ear(ledger, "lobby", "bob").hear(said(1, "ada"))
    Ear(ledger, "lobby", "cyd").hear(said(1, "dan"))
    assert "lobby 1 is" in ledger.faults[0]


def test_what_was_acknowledged_and_never_came_is_noticed() -> None:
    ledger = Ledger()
    ear = Ear(ledger, "lobby", "bob")
    ear.hear(said(1))
    ledger.note("lobby", 2, "ada", "ada 2")
    ear.settle()
    assert "stands at 1 of 2" in ledger.faults[0]


def test_own_messages_without_echo_are_no_hole() -> None:
    ledger = Ledger()
    ear = Ear(ledger, "lobby", "bob")
    for event in (said(1), said(3)):
        ear.hear(event)
    for offset in (2, 4):
        ledger.note("lobby", offset, "bob", f"bob {offset}")
    ear.settle()
    assert ledger.faults == []


@pytest.mark.parametrize(
    "status, log, sizes, says",
    [
        (1, "", [1, 1], "ended with 1"),
        (0, "Traceback (most recent call last):", [1, 1], "logged"),
        (0, "", [10**8, 10**8, 2 * 10**8], "grew"),
    ],
)
def test_a_server_that_is_not_well_is_noticed(status: int, log: str, sizes: list[int], says: str) -> None:
    soak = Soak(1, 0.0, 1)
    soak.sizes = sizes
    soak.judge(status, log)
    assert says in soak.ledger.faults[0]


def test_a_short_soak() -> None:
    soak = Soak(seed=1, minutes=0.05, people=9)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(soak.run())
    assert soak.ledger.faults == []
    assert soak.ledger.seen["acknowledged"] > 20 and soak.ledger.seen["Message"] > 100
