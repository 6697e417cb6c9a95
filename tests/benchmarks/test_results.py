"""Results follow their schema, judgements follow the samples, and the document follows the results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_server, figures, results, scenarios, table
from benchmarks.figures import Case, Claim, Scenario
from benchmarks.load import Sample
from benchmarks.programs import BenchError, Cores

SCHEMA = results.schema("server")
CLEAN = dict.fromkeys(
    ("corrupt", "lost", "duplicate", "order", "refused", "closed", "unexpected", "unacknowledged"), 0
)


def sample(deliveries: int, cpu: float, **errors: int) -> Sample:
    return {"deliveries": deliveries, "server_cpu": cpu, "errors": CLEAN | errors, "first_error": ""}


RATE = "deliveries/CPU s"
SCENARIO = Scenario(
    "fake",
    "made up",
    (Case("fastchat", "fastchat", {}), Case("C", "reference", {})),
    (RATE,),
    (Claim(RATE, "fastchat", "C", at_least=0.85), Claim(RATE, "C", at_most=10), Claim(RATE, "C", "fastchat")),
)
ROUNDS = [
    {"fastchat": sample(90, 1.0), "C": sample(100, 1.0)},
    {"fastchat": sample(45, 1.0), "C": sample(50, 1.0)},  # a slow round for both
    {"fastchat": sample(100, 1.0), "C": sample(200, 1.0)},
]


def test_ratios_are_taken_within_a_round_before_the_median() -> None:
    ratio, most, reported = figures.judge(SCENARIO, ROUNDS)
    assert ratio["claim"] == "deliveries/CPU s: fastchat / C"
    assert (ratio["low"], ratio["median"], ratio["high"], ratio["met"]) == (0.5, 0.9, 0.9, "yes")
    assert (most["median"], most["target"], most["met"]) == (100, "<= 10", "no")
    assert (reported["target"], reported["met"]) == ("reported", "")


def test_a_missing_sample_costs_only_its_round() -> None:
    rounds = [{"C": ROUNDS[0]["C"]}, ROUNDS[1]]
    assert figures.judge(SCENARIO, rounds)[0]["median"] == 0.9
    assert [row["case"] for row in figures.evaluate(SCENARIO, rounds)] == ["fastchat", "C"]
    assert figures.judge(SCENARIO, [{}]) == figures.evaluate(SCENARIO, [{}]) == []


def test_wrong_frames_are_told() -> None:
    (fault,) = figures.faults([{"C": sample(1, 1.0, lost=2), "fastchat": sample(1, 1.0)}])
    assert (fault["round"], fault["case"], fault["errors"]["lost"]) == (1, "C", 2)


def test_each_mistake_against_the_schema_is_named() -> None:
    schema = {
        "type": "object",
        "required": ["a", "b"],
        "additionalProperties": False,
        "properties": {"a": {"type": "number"}, "b": {"type": "array", "items": {"enum": ["x"]}}},
    }
    assert results.mistakes({"a": 1.5, "b": ["x"]}, schema) == []
    assert results.mistakes({"a": True, "b": ["y"], "c": 0}, schema) == [
        ".a: not number",
        ".b[0]: not one of ['x']",
        ".c is unknown",
    ]
    assert results.mistakes({}, schema) == [".a is missing", ".b is missing"]
    assert results.mistakes([], schema) == ["document: not object"]


def small(mode: str) -> Scenario:
    load: dict[str, Any] = {"mode": mode, "members": 10, "seconds": 0.1, "warmup": 0, "rate": 100}
    case = Case("C", "reference", load)
    broken = Case("broken", "reference", load | {"members": 0})
    return Scenario(mode, "small", (case, broken), (RATE,), (Claim(RATE, "C", at_least=1),), rounds=2)


@pytest.fixture
def small_run(cores: Cores) -> dict[str, Any]:
    result = results.document("server", "a test", {"quick": True, "pinned": False})
    result["scenarios"] = [bench_server.run(small("flood"), cores), bench_server.run(small("paced"), cores)]
    return result


def test_a_run_follows_the_schema_and_keeps_what_it_could_measure(
    small_run: dict[str, Any], tmp_path: Path
) -> None:
    results.write(tmp_path / "some.json", small_run)
    written = json.loads((tmp_path / "some.json").read_text())
    assert results.mistakes(written, SCHEMA) == []
    flood, paced = written["scenarios"]
    assert [set(one) for one in flood["rounds"]] == [{"C"}, {"C"}]
    assert len(flood["failures"]) == 2 and "groups are rooms and members, 1 or more" in flood["failures"][0]
    assert flood["claims"][0]["met"] == "yes" and paced["faults"] == []
    assert bench_server.status(written) == 2
    words = table.plain(written)
    assert "deliveries/CPU s: C" in words and "FAILED in paced round 2, broken" in words


def test_status_tells_misses_and_wrong_frames() -> None:
    met = {"claims": [{"met": "yes"}, {"met": ""}], "faults": [], "failures": []}
    assert bench_server.status({"scenarios": [met]}) == 0
    assert bench_server.status({"scenarios": [met, met | {"claims": [{"met": "no"}]}]}) == 1
    assert bench_server.status({"scenarios": [met, met | {"faults": [{}]}]}) == 1
    assert bench_server.status({"scenarios": [met | {"failures": ["x"]}]}) == 2


def test_unknown_scenarios_are_refused() -> None:
    with pytest.raises(BenchError, match="no scenario nonsense; there are fanout-1000"):
        bench_server.chosen("pings,nonsense", quick=False, rounds=0)


def test_quick_and_rounds_shorten() -> None:
    (full,) = bench_server.chosen("pings", quick=False, rounds=0)
    (quick,) = bench_server.chosen("pings", quick=True, rounds=0)
    assert quick.rounds == 1 and (quick.cases[0].load["seconds"], full.cases[0].load["seconds"]) == (1.0, 3)
    assert bench_server.chosen("pings", quick=True, rounds=4)[0].rounds == 4


def test_scenarios_claim_only_what_they_measure() -> None:
    for scenario in (*scenarios.everything(), *map(scenarios.shortened, scenarios.everything())):
        labels = {case.label for case in scenario.cases}
        assert len(labels) == len(scenario.cases)
        assert {claim.case for claim in scenario.claims} <= labels
        assert {claim.over for claim in scenario.claims} <= labels | {""}
        assert set(scenario.figures) | {claim.figure for claim in scenario.claims} <= set(figures.FIGURES)


COMMITTED = results.FOLDER / "server.json"


def test_committed_results_follow_their_schema_and_are_listed() -> None:
    files = {path.name for path in results.FOLDER.glob("*.json")}
    files = {name for name in files if name != results.INDEX.name and not name.startswith("schema-")}
    index = json.loads(results.INDEX.read_text())["results"] if results.INDEX.exists() else {}
    assert set(index) == files
    for name, listed in index.items():
        result = json.loads((results.FOLDER / name).read_text())
        assert results.mistakes(result, results.schema(result["kind"])) == []
        assert (listed["commit"], listed["started"]) == (result["commit"], result["started"])


def test_the_document_says_what_the_results_say() -> None:
    document = table.DOCUMENT.read_text()
    assert document == table.rendered(document, json.loads(COMMITTED.read_text()))
