"""A real server under real loads, shortly: what a sample has, and what happens when the server goes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from fastchat.bench.calibration import sample_of
from fastchat.bench.counters import Counters, counted, difference, observed
from fastchat.bench.failure import BenchError
from fastchat.bench.findings import figures
from fastchat.bench.knee import Verdict
from fastchat.bench.load import Died, trimmed
from fastchat.bench.processes import Cores, Place, free_port
from fastchat.bench.rig import Load, ServerRig, admission, judged, standing
from fastchat.bench.targets import BUILT_IN, choose
from fastchat.capacity import Group
from tests.bench.samples import sample as reported

PLACE = Place(Cores(None, None), os.environ)
LOAD = Load((Group(4, 5),), 200.0, 64, 1.1, 0.1)


@pytest.fixture(scope="module", params=["fastchat", "threaded"])
def rig(request: pytest.FixtureRequest) -> Iterator[ServerRig]:
    (target,) = choose([request.param], BUILT_IN)
    with standing(target, PLACE, admission(target, False, 0.02)) as found:
        yield found


def test_a_sample_has_what_the_model_and_the_judge_want(rig: ServerRig) -> None:
    heard: list[Mapping[str, Any]] = []
    sample = rig.put(LOAD, heard.append)
    assert sum(sample["errors"].values()) == 0, sample["first_error"]
    assert any(event["event"] == "progress" for event in heard)
    work = sample_of(sample)
    assert work.messages == pytest.approx(200 * work.seconds, rel=0.4)
    assert work.frames == pytest.approx(5 * work.messages, rel=0.1)
    assert work.sockets == 20 and 0 < work.cpu < 2 * work.seconds
    assert figures(sample)["clients"] == 20
    assert judged(sample, 100.0) is Verdict.PASSED
    assert judged(sample, 1e-9) in (Verdict.FAILED, Verdict.SATURATED)
    assert not any(name.endswith("_histogram") for name in trimmed(sample))


def test_the_connections_of_a_load_are_gone_before_the_next(rig: ServerRig) -> None:
    for _ in range(2):
        assert rig.put(LOAD._replace(seconds=0.3))["members"] == 20
    if rig._counters is not None:
        assert rig._counters.read()["counters"]["sessions"] == 0


def test_a_server_that_dies_is_said_to_have() -> None:
    (target,) = choose(["fastchat"], BUILT_IN)
    with standing(target, PLACE, admission(target, False, 0.02)) as doomed:
        process = doomed._server.process
        assert process is not None

        def listen(event: Mapping[str, Any]) -> None:
            if event["event"] == "progress":
                process.kill()
                process.wait()

        with pytest.raises(Died, match="(?s)the server died in the middle.*SIGKILL"):
            doomed.put(LOAD, listen)


def test_the_judge() -> None:
    sample = reported() | {"offered": 100.0, "achieved": 100.0, "saturated": False}
    sample["each_us"] = {**sample["each_us"], "count": 1, "p99": 20_000.0}
    assert judged(sample, 0.02) is Verdict.PASSED
    assert judged(sample, 0.0199) is Verdict.FAILED
    assert judged(sample | {"saturated": True}, 0.02) is Verdict.PASSED
    late = {"saturated": True, "busy": 0.5, "lateness_us": {"p99": 2_000.0}}
    assert judged(sample | late, 0.0199) is Verdict.SATURATED  # but for its own 2 ms it would have passed
    assert judged(sample | late, 0.0179) is Verdict.FAILED  # its own lateness does not explain that
    assert judged(sample | late | {"busy": 0.96}, 0.0179) is Verdict.SATURATED
    assert judged(sample | {"achieved": 98.9}, 0.02) is Verdict.FAILED
    assert judged(sample | {"errors": {"lost": 1}}, 0.02) is Verdict.FAILED


def test_what_lies_between_two_readings() -> None:
    before = dict.fromkeys(
        ("seconds", "cpu_seconds", "rounds", "round_seconds", "flush_seconds", "publishes", "sends",
         "deliveries", "bytes", "refused_publishes", "refused_connections", "sessions"), 1.0,
    )  # fmt: skip
    after = {name: 1.0 + i for i, name in enumerate(before)}
    between = difference(before, after)
    assert between["seconds"] == 0.0 and between["bytes"] == 8.0 and between["sessions"] == 12.0
    work = counted(between)
    assert (work.cpu, work.messages, work.sends, work.frames, work.sockets) == (1.0, 5, 6, 7, 12)


def test_a_server_without_counters_is_seen_from_outside() -> None:
    sample = reported() | {"server_cpu": 0.5, "seconds": 2.0, "messages": 10, "deliveries": 50, "bytes": 5000}
    work = observed(sample)
    assert (work.cpu, work.messages, work.sends, work.frames, work.rounds) == (0.5, 10, 50, 50, 0)


def test_counters_of_nobody_are_an_error() -> None:
    with pytest.raises(BenchError, match="GET /capacity"):
        Counters(free_port()).read()


def test_an_answer_without_counters_is_an_error() -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        counters = Counters(server.server_port)
        with pytest.raises(BenchError, match="answered 404 without counters"):
            counters.read()
        counters.close()
        thread.join()
