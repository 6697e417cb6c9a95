"""The benchmark of the store: it measures what it claims, follows its schema, and sees what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import acks, bench_store, figures, results
from benchmarks.bench_server import run
from benchmarks.programs import BenchError, Cores, Running, running

SMALL: dict[str, Any] = {
    "seconds": 0.3, "warmup": 0.1, "members": 4, "publishers": 2, "window": 4, "rate": 300, "count": 5,
}  # fmt: skip


def small(scenario: figures.Scenario) -> figures.Scenario:
    cases = tuple(
        replace(case, load={key: SMALL.get(key, value) for key, value in case.load.items()})
        for case in scenario.cases
    )
    return replace(scenario, cases=cases, rounds=1)


def test_a_small_run_follows_the_schema(
    cores: Cores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "IDLE", 0.1)
    result = results.document("store", "a test", {"quick": True, "pinned": False, "filesystem": "ext4"})
    result["scenarios"] = [run(small(one), cores, bench_store.measure) for one in bench_store.scenarios()]
    results.write(tmp_path / "store.json", result)
    written = json.loads((tmp_path / "store.json").read_text())
    assert results.mistakes(written, results.schema("store")) == []
    disk, throughput, acknowledgement = written["scenarios"]
    assert all(one["failures"] == one["faults"] == [] for one in written["scenarios"]), written
    assert set(throughput["rounds"][0]) == set(acknowledgement["rounds"][0]) == {"memory", "process", "power"}
    for sample in acknowledgement["rounds"][0].values():
        assert sample["messages"] == 120 and sample["ack_us"]["count"] == 90
        assert 0 < sample["ack_us"]["p50"] <= sample["ack_us"]["p99"] and sample["ping_us"]["count"] > 10
    assert {row["figure"] for row in disk["figures"]} == {"p50 sync ms", "p99 sync ms"}


def test_scenarios_claim_only_what_they_measure() -> None:
    for scenario in (*bench_store.scenarios(), *map(bench_store.shortened, bench_store.scenarios())):
        labels = {case.label for case in scenario.cases}
        assert {claim.case for claim in scenario.claims} | {
            claim.over for claim in scenario.claims
        } <= labels | {""}
        assert set(scenario.figures) | {claim.figure for claim in scenario.claims} <= set(figures.FIGURES)


LOAD: dict[str, Any] = {
    "members": 2, "rate": 200, "payload": 32, "seconds": 0.3, "warmup": 0.0, "keyed": False,
}  # fmt: skip


def test_a_refused_publish_is_an_error_and_not_an_acknowledgement(
    cores: Cores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "IDLE", 0.1)
    with running("fastchat", cores, arguments=["--limits", "on"]) as server:
        sample = acks.drive(server, cores, LOAD)
    assert sample["errors"]["refused"] > 0 and sample["errors"]["unacknowledged"] == 0
    assert sample["first_error"] and figures.errors(sample) > 0


def test_a_server_that_dies_is_told(cores: Cores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acks, "IDLE", 0.1)
    microseconds = acks._microseconds

    def dying(server: Running) -> None:
        def once(*given: Any) -> Any:
            server.stop()
            return microseconds(*given)

        monkeypatch.setattr(acks, "_microseconds", once)

    with running("fastchat", cores) as server:
        dying(server)
        with pytest.raises(BenchError, match="closed a connection|went away|gone|does not answer"):
            acks.drive(server, cores, LOAD)


def test_the_publishes_that_count_have_keys_of_their_own(
    cores: Cores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library makes one for each: what remembering them costs belongs to an acknowledgement."""
    sent: list[Any] = []
    send = acks.Connection.send

    def noting(self: acks.Connection, due: float, op: int, *rest: Any) -> None:
        sent.extend(rest[2].get("key") for _ in range(op == acks.PUBLISH))
        send(self, due, op, *rest)

    monkeypatch.setattr(acks, "IDLE", 0.1)
    monkeypatch.setattr(acks.Connection, "send", noting)
    with running("fastchat", cores) as server:
        acks.drive(server, cores, {**LOAD, "keyed": True})
        assert len(sent) == len(set(sent)) == 60 and all(len(key) == 24 for key in sent)
        sent.clear()
        acks.drive(server, cores, LOAD)
        assert set(sent) == {None}
    assert all(
        case.load["keyed"] for one in bench_store.scenarios() for case in one.cases if "rate" in case.load
    )


def sample(p99_ms: float) -> dict[str, Any]:
    return {"ping_us": {"p99": p99_ms * 1000}, "ack_us": {"p50": 1.0, "p99": 1.0}}


@pytest.mark.parametrize(
    ("memory", "process", "met"),
    [(0.2, 2.9, "yes"), (0.2, 4.6, "no"), (4.0, 6.0, "yes"), (4.0, 6.1, "no"), (9.0, 2.0, "yes")],
)
def test_a_loop_that_the_store_holds_up_is_seen(memory: float, process: float, met: str) -> None:
    scenario = bench_store.scenarios()[-1]
    rounds = [{"memory": sample(memory), "process": sample(process), "power": sample(process)}]
    loops = [row for row in figures.judge(scenario, rounds) if row["claim"].startswith("p99 loop ms")]
    assert [row["met"] for row in loops] == [met, met]


def test_on_a_disk_in_memory_nothing_is_claimed_of_power() -> None:
    for scenario in bench_store.scenarios():
        assert bench_store.honest(scenario, "ext4") is scenario
        told = bench_store.honest(scenario, "tmpfs")
        assert "tmpfs" in told.about and all(claim.case != "power" for claim in told.claims)


def test_the_kind_of_a_file_system_is_found(tmp_path: Path) -> None:
    assert acks.filesystem("/proc") == "proc"
    assert acks.filesystem(str(tmp_path)) not in ("", "proc")
