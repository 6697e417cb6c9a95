"""Twice the load, on servers that shed it or do not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastchat.bench.logbook import Logbook
from fastchat.bench.overload import CASES, Lengths, Overload, beyond
from fastchat.bench.results import Record, mistakes
from fastchat.bench.rig import Load
from tests.bench.simulated import SimulatedServer
from tests.bench.test_campaign import Silent

pytestmark = pytest.mark.usefixtures("coarse")

SCHEMA = Path(__file__).parents[2] / "bench_results" / "schema-overload.json"
MODEL = SimulatedServer().model


class Guarded(SimulatedServer):
    """Admission lets in what can be done in time, and refuses the rest."""

    admission = True
    losing = 0
    choosing = True  # whether it is admission that refuses
    giving_up = False  # the generator, since too much is under way

    def put(self, load: Load, listen: Any = None) -> dict[str, Any]:
        if not self.admission:
            return super().put(load, listen)
        most = 0.95 * MODEL.requests_per_second(load.shape, load.payload, 0.02).value
        sample = super().put(load._replace(rate=min(load.rate, most)), listen)
        over = max(0.0, load.rate - most)
        sample["errors"]["lost"] = self.losing if over else 0
        refused = round(over * load.seconds)
        sample["counters"]["refused_publishes"] = refused if self.choosing else 0
        return sample | {"offered": load.rate, "refused_101": refused, "overloaded": self.giving_up}


def overload(server: Guarded, path: Path | None = None, lengths: Lengths | None = None) -> Overload:
    @contextmanager
    def opened(admission: bool) -> Iterator[Guarded]:
        server.admission = admission
        yield server

    log = Logbook("fastchat", Record({"kind": "overload"}, path), Silent())
    return Overload(log, opened, MODEL, 0.02, lengths or Lengths())


def cases(run: Overload) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run.log.record.document["servers"]["fastchat"]["overload"]
    return found


def test_a_server_that_sheds_keeps_those_it_lets_in() -> None:
    run = overload(Guarded())
    run.run()
    assert [case["kept"] for case in cases(run)] == [True] * len(CASES)
    for case in cases(run):
        calm, shed, free = case["phases"].values()
        assert calm["refused"] == 0 and shed["refused"] > 0 and free["refused"] == 0
        assert shed["p99_ms"] < 2 * calm["p99_ms"] < free["p99_ms"]
        assert calm["offered"] == pytest.approx(0.9 * case["requests_per_second"])


def test_a_server_that_sheds_nothing_does_not() -> None:
    class Careless(Guarded):
        def put(self, load: Load, listen: Any = None) -> dict[str, Any]:
            self.admission = False
            return super().put(load, listen)

    run = overload(Careless())
    run.run()
    assert [case["kept"] for case in cases(run)] == [False] * len(CASES)


def test_an_acknowledged_message_that_is_lost_counts() -> None:
    server = Guarded()
    server.losing = 1
    run = overload(server)
    run.run()
    assert [case["lost"] for case in cases(run)] == [3, 3]
    assert [case["kept"] for case in cases(run)] == [False, False]


@pytest.mark.parametrize("what", ["choosing", "giving_up"])
def test_what_admission_had_no_part_in_is_not_its_merit(what: str) -> None:
    server = Guarded()
    setattr(server, what, what == "giving_up")
    run = overload(server)
    run.run()
    assert [case["kept"] for case in cases(run)] == [False, False]


def test_a_server_that_dies_costs_its_own_sample() -> None:
    run = overload(Guarded(dies_after=2), lengths=Lengths(rounds=1))
    run.run()
    log = run.log
    assert len(log.record.samples) == 2 and len(log.failures) == 4
    assert cases(run)[0]["phases"]["2 N, no admission"] is None
    assert cases(run)[1]["kept"] is None


def test_the_time_it_takes_is_told() -> None:
    run = overload(Guarded(), lengths=beyond(quick=True))
    talk = run.log.talk
    run.run()
    assert isinstance(talk, Silent)
    assert talk.done < beyond(quick=True).total() < 60


def test_a_result_is_what_its_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "overload.json"
    overload(Guarded(), path, beyond(quick=True)).run()
    rules = json.loads(SCHEMA.read_text())
    rules["required"] = ["kind", "samples", "servers"]
    assert mistakes(json.loads(path.read_text()), rules) == []
