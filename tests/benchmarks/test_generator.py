"""The load generator believes nothing: every kind of fault in a server's frames is seen and named."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from benchmarks.load import arguments
from benchmarks.programs import BUILD, Cores
from tests.benchmarks.faulty_server import Acknowledge, Fault, Message, serving

OPTIONS = {"members": 5, "count": 50, "window": 4, "warmup": 0, "timeout": 0.3}


def generate(port: int, **more: str | int | float) -> tuple[int, dict[str, Any], str]:
    """Exit status, the last report, and what was said on the error output."""
    options: dict[str, str | int | float] = {"port": port, **OPTIONS, **more}
    words = [str(BUILD / "loadgen"), *arguments(options)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr


def right(message: Message) -> list[Message]:
    return [message]


def one_answer(offset: int) -> list[int]:
    return [offset]


def changed(field: int, value: Any) -> Fault:
    """The faulty member gets the message with another value in that field."""

    def fault(message: Message) -> list[Message]:
        return [
            [*message[:field], value(message[field]) if callable(value) else value, *message[field + 1 :]]
        ]

    return fault


FAULTS: dict[str, tuple[Fault, str]] = {
    "lost": (lambda message: [], "lost"),
    "twice": (lambda message: [message, message], "duplicate"),
    "out of order": (lambda m: [[*m[:2], m[2] + 1, *m[3:]], m], "lost"),
    "one byte of the text": (changed(5, lambda text: text[:-1] + "~"), "corrupt"),
    "the stamp": (changed(5, lambda text: "f" + text[1:]), "corrupt"),
    "text cut short": (changed(5, lambda text: text[:-1]), "corrupt"),
    "another room": (changed(1, "cellar"), "corrupt"),
    "another author": (changed(4, "mallory"), "corrupt"),
    "another time than others": (changed(3, lambda ts: ts + 1), "corrupt"),
    "a field too many": (lambda message: [[*message, 0]], "corrupt"),
    "no time": (changed(3, 0), "corrupt"),
    "an error": (lambda message: [message, [65, 0, 100, "oh dear"]], "refused"),
    "an unknown operation": (lambda message: [message, [99]], "unexpected"),
    "a gap": (lambda message: [[71, message[1], message[2], message[2], "slow"]], "lost"),
    "a gap elsewhere": (
        lambda message: [[71, message[1], message[2] + 5, message[2] + 9, "slow"]],
        "corrupt",
    ),
    "a result of nothing": (lambda message: [message, [64, 4_000_000, {"offset": 1}]], "unexpected"),
}


@pytest.mark.parametrize("fault, kind", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_in_one_delivery_is_seen(cores: Cores, fault: Fault, kind: str) -> None:
    with serving(fault, one_answer) as port:
        status, report, _ = generate(port)
    assert status == 1
    assert report["errors"][kind] > 0, report
    assert report["first_error"]


ANSWERS: dict[str, tuple[Acknowledge, str]] = {
    "wrong offset": (lambda offset: [offset + (offset == 20)], "corrupt"),
    "no answer": (lambda offset: [] if offset == 47 else [offset], "unacknowledged"),
    "two answers": (lambda offset: [offset] * (1 + (offset == 20)), "unexpected"),
}


@pytest.mark.parametrize("acknowledge, kind", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_fault_in_an_acknowledgement_is_seen(cores: Cores, acknowledge: Acknowledge, kind: str) -> None:
    with serving(right, acknowledge) as port:
        status, report, _ = generate(port)
    assert (status, report["errors"][kind] > 0) == (1, True), report


def test_a_room_of_one(cores: Cores) -> None:
    with serving(right, one_answer) as port:
        status, report, _ = generate(port, members=1, count=10)
    assert status == 0 and report["deliveries"] == 10


@pytest.mark.parametrize("publishers", [1, 3])
def test_a_right_server_passes(cores: Cores, publishers: int) -> None:
    with serving(right, one_answer) as port:
        status, report, words = generate(port, publishers=publishers)
    assert (status, words) == (0, "")
    assert set(report["errors"].values()) == {0}
    assert report["deliveries"] == 50 * 5
    assert report["acknowledged"] == report["sent"] == 50
    assert report["last_us"]["count"] == 50


@pytest.mark.parametrize("schedule", ["fixed", "poisson", "phased"])
def test_an_open_loop_keeps_its_rate_and_times_every_receipt(cores: Cores, schedule: str) -> None:
    with serving(right, one_answer) as port:
        status, report, _ = generate(
            port, mode="paced", schedule=schedule, rate=200, publishers=5, seconds=0.5
        )
    assert status == 0
    assert 60 <= report["messages"] <= 140  # Poisson: 100 +- 10
    assert report["each_us"]["count"] == pytest.approx(5 * report["last_us"]["count"])
    assert report["each_us"]["p50"] <= report["last_us"]["p99"] <= report["last_us"]["max"]


def test_latency_counts_from_the_intended_time(cores: Cores) -> None:
    """A server that sleeps for 200 ms shows in the latency of all that was due meanwhile, not of one."""

    def sleepy(offset: int) -> list[int]:
        time.sleep(0.2 if offset == 20 else 0)
        return [offset]

    with serving(right, sleepy) as port:
        _, report, _ = generate(port, mode="paced", schedule="fixed", rate=200, seconds=0.5)
    assert report["last_us"]["max"] > 150_000
    assert report["last_us"]["mean"] > 20_000  # 40 of 100 waited 100 ms on average


def test_pings_are_answered_in_order(cores: Cores) -> None:
    with serving(right, one_answer) as port:
        status, report, _ = generate(port, mode="pings", rooms=0, depth=16, count=1000, seconds=5)
    assert status == 0 and report["replies"] >= 1000


@pytest.mark.parametrize(
    "options, words",
    [
        ({"members": 20_000}, "--members 1 to 19000"),
        ({"payload": 10}, "--payload"),
        ({"seconds": 100_000}, "--seconds"),
        ({"mode": "sideways"}, "not one of"),
        ({"host": "192.0.2.1"}, "unknown option"),
    ],
)
def test_it_refuses_what_is_out_of_bounds(cores: Cores, options: dict[str, str | int], words: str) -> None:
    status, report, said = generate(1, **options)
    assert (status, report) == (2, {})
    assert words in said


def test_a_server_that_is_not_there_is_named(cores: Cores) -> None:
    status, report, said = generate(1)
    assert (status, report) == (2, {})
    assert "connect to 127.0.0.1:1: Connection refused" in said
