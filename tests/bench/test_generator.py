"""The generator as a process: its events come, its failures are told in words, and it always ends."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from fastchat.bench import generator as module
from fastchat.bench.failure import BenchError
from fastchat.bench.generator import Generator
from fastchat.bench.plan import Plan
from tests.bench.faulty_server import Behaviour, serving

pytest.importorskip("fastchat.bench._swarm")
driver = pytest.importorskip("fastchat.bench.driver")

LOAD: dict[str, Any] = {
    "groups": ((1, 5),), "rate": 200, "warmup": 0.05, "seconds": 0.7, "timeout": 5.0,
}  # fmt: skip


def test_connect_rest_run() -> None:
    events: list[dict[str, Any]] = []
    with serving(Behaviour()) as port, Generator(Plan(port=port, server_pid=os.getpid(), **LOAD)) as swarm:
        ready = swarm.connect(lambda event: events.append(dict(event)))
        sample = swarm.run(lambda event: events.append(dict(event)))
        pid = swarm.pid
    assert ready["members"] == 5
    assert set(sample["errors"].values()) == {0} and sample["deliveries"] > 0
    assert sample["server_cpu"] > 0 and sample["own_cpu"] > 0
    assert {event["event"] for event in events} == {"connecting", "progress"}
    assert not Path(f"/proc/{pid}").exists()


def test_a_core_of_its_own() -> None:
    core = min(os.sched_getaffinity(0))
    with serving(Behaviour()) as port, Generator(Plan(port=port, **LOAD), core=core) as swarm:
        swarm.connect()
        assert os.sched_getaffinity(swarm.pid) == {core}


def test_a_server_that_is_not_there_is_named() -> None:
    with Generator(Plan(port=1, **LOAD)) as swarm, pytest.raises(BenchError, match="Connection refused"):
        swarm.connect()


def test_an_unknown_dialect_is_named() -> None:
    plan = Plan(dialect="morse", **LOAD)
    with Generator(plan) as swarm, pytest.raises(BenchError, match="no dialect 'morse'"):
        swarm.connect()


def test_a_generator_that_is_killed_says_so() -> None:
    with serving(Behaviour()) as port, Generator(Plan(port=port, **LOAD)) as swarm:
        swarm.connect()
        os.kill(swarm.pid, signal.SIGKILL)
        with pytest.raises(BenchError, match="the load generator ended with -9"):
            swarm.run()


def test_silence_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", -29.9)
    with Generator(Plan(port=1, timeout=30.0)) as swarm:
        os.kill(swarm.pid, signal.SIGSTOP)
        with pytest.raises(BenchError, match="did not say 'ready' in time"):
            swarm.connect()


def test_without_the_extension_it_says_how_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match="build_ext --inplace"):
        Generator(Plan())


def test_too_few_descriptors_are_told_with_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 1000))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: None)
    driver.open_descriptors(900)
    with pytest.raises(BenchError, match=r"2,000 clients need 2,032 .* limit is 1,000: .*`ulimit -n 2032`"):
        driver.open_descriptors(2000)


def test_the_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 5000))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: raised.append(limits))
    driver.open_descriptors(4000)
    assert raised == [(5000, 5000)]


def test_the_process_ends_when_nobody_wants_the_load_any_more() -> None:
    with serving(Behaviour()) as port:
        swarm = Generator(Plan(port=port, **LOAD))
        try:
            swarm.connect()
            process = swarm._process
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(5) == 0
            process.stdin = None
        finally:
            swarm.close()
