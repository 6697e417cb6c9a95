"""A sample of one load: what is kept of it, and what it says when the server did not live to the end."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from fastchat.bench import load
from fastchat.bench.failure import BenchError
from fastchat.bench.load import Died, attempted, carried, latency, measure, sampled, status
from fastchat.bench.plan import Plan
from fastchat.bench.processes import Cores, Place, running
from fastchat.bench.targets import BUILT_IN, Target
from fastchat.capacity import Group
from tests.bench.samples import broken, sample

PLACE = Place(Cores(None, None), os.environ)
SMALL = Plan(groups=(Group(2, 5),), mode="paced", rate=200.0, seconds=0.3, warmup=0.1)

# Accepts, reads a little and is gone: the port answers, the conversation never does.
RUDE = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
listener.accept()[0].close()
connection = listener.accept()[0]
connection.recv(10)
sys.exit("I had enough")
"""


def test_a_sample_has_what_the_server_used_and_what_was_asked_for() -> None:
    heard: list[Any] = []
    taken = sampled(BUILT_IN[0], SMALL, PLACE, settle=0, listen=heard.append)
    assert taken["first_error"] == "" and taken["deliveries"] > 0
    assert taken["server"] == "fastchat" and taken["threads"] >= 1
    assert taken["resident"]["after"] > 1 << 20
    assert set(taken["kernel"]) == {"before", "connected"}
    assert taken["load"]["groups"] == [[2, 5]] and not {"port", "server_pid"} & set(taken["load"])
    assert heard


def test_a_server_that_ends_while_they_connect_is_told() -> None:
    rude = Target("rude", (sys.executable, "-c", RUDE, "{port}"))
    with pytest.raises(Died, match=r"died in the middle: rude ended with 1:\n(.|\n)*I had enough") as caught:
        sampled(rude, SMALL, PLACE, settle=0)
    assert caught.value.sample is None


def test_a_server_that_lives_and_refuses_is_quoted() -> None:
    foreign = Plan(groups=(Group(1, 2),), dialect="nats", publishers=1, timeout=0.5)
    with running(BUILT_IN[0], PLACE) as server:
        with pytest.raises(BenchError, match=r"fastchat said: (.|\n)*listens on"):
            measure(server, foreign, PLACE, settle=0)


def test_what_fails_costs_only_itself() -> None:
    def raising(error: BenchError) -> Any:
        def take() -> Any:
            raise error

        return take

    fine = attempted(lambda: sample(each_histogram=[[1, 2]]))
    wrong = attempted(lambda: sample(**broken(lost=3)))
    died = attempted(raising(Died("it died", sample(deliveries=7))))
    gone = attempted(raising(Died("it died early", None)))
    not_there = attempted(raising(BenchError("no such server")))
    assert fine["failed"] == "" and "each_histogram" not in fine["sample"]
    assert wrong["failed"] == "wrong frames: client 3: offset 7 never came"
    assert (died["failed"], died["sample"]["deliveries"]) == ("it died", 7)
    assert (gone["sample"], not_there) == (None, {"sample": None, "failed": "no such server"})
    assert (status([fine]), status([fine, not_there]), status([fine, gone, wrong])) == (0, 3, 1)


def test_a_load_is_carried_when_all_arrives_in_time() -> None:
    assert latency(sample(), "p99") == pytest.approx(0.003)
    assert latency(sample(mode="flood"), "p99") == pytest.approx(0.006)  # only the last member was timed
    assert carried(sample(), 0.004) and not carried(sample(), 0.002)
    assert carried(sample(achieved=99.0), 1) and not carried(sample(achieved=98.9), 1)
    assert not carried(sample(overloaded=True), 1)
    assert not carried(sample(offered=0.0, achieved=0.0), 1)  # given up before anything was timed
    assert load.deliveries_per_cpu_second(sample()) == 20_000
    assert load.deliveries_per_cpu_second(sample(server_cpu=0.0)) == 0
