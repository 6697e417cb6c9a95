"""The swarm believes nothing: every fault in a server's frames is seen and named, and nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from fastchat.bench.failure import BenchError
from fastchat.bench.plan import Plan
from tests.bench.faulty_server import CLOSE, Behaviour, Message, serving

_swarm = pytest.importorskip("fastchat.bench._swarm")
driver = pytest.importorskip("fastchat.bench.driver")

FLOOD: dict[str, Any] = {
    "groups": ((1, 5),), "publishers": 1, "mode": "flood", "count": 50, "window": 4, "warmup": 0,
    "seconds": 8.0,
}  # fmt: skip
FAULTY = {**FLOOD, "seconds": 1.0, "drain": 0.5}  # what never comes is not waited for long
PACED: dict[str, Any] = {
    "groups": ((1, 5),), "publishers": 1, "mode": "paced", "rate": 200, "warmup": 0, "seconds": 0.4,
}  # fmt: skip
LONGEST = 12.0  # seconds: no run above may take as long, whatever the server does
WIRES = ("tcp", "ws")

Sample = dict[str, Any]


def load(behaviour: Behaviour, options: dict[str, Any] = FLOOD, **more: Any) -> Sample:
    with serving(behaviour) as port:
        begun = time.monotonic()
        plan = Plan(port=port, **{**options, **more})
        swarm = _swarm.Swarm(plan, driver.script_of(plan))
        swarm.connect()
        sample: Sample = swarm.run()
        assert time.monotonic() - begun < LONGEST
    return sample


def faultless(sample: Sample) -> bool:
    return set(sample["errors"].values()) == {0} and sample["first_error"] == ""


def changed(field: int, value: Any) -> Callable[[Message], list[Message]]:
    """The faulty member gets the message with another value in that field."""

    def fault(message: Message) -> list[Message]:
        new = value(message[field]) if callable(value) else value
        return [[*message[:field], new, *message[field + 1 :]]]

    return fault


DELIVERIES: dict[str, tuple[Callable[[Message], list[Message]], str]] = {
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
    "offset 0": (changed(2, 0), "corrupt"),
    "an error": (lambda message: [message, [65, 0, 100, "oh dear"]], "refused"),
    "an unknown operation": (lambda message: [message, [99]], "unexpected"),
    "no array": (lambda message: [message, {"a": 1}], "corrupt"),  # type: ignore[list-item]
    "a gap": (lambda message: [[71, message[1], message[2], message[2], "slow"]], "lost"),
    "a gap elsewhere": (lambda m: [[71, m[1], m[2] + 5, m[2] + 9, "slow"]], "corrupt"),
    "a gap without end": (lambda m: [m, [71, m[1], m[2] + 1, (1 << 64) - 1, "slow"]], "lost"),
    "a result of nothing": (lambda message: [message, [64, 4_000_000, {"offset": 1}]], "unexpected"),
    "an error for nothing": (lambda message: [message, [65, 4_000_000, 101, "?"]], "unexpected"),
    "closed": (lambda message: [CLOSE], "closed"),
    "closed behind it": (lambda message: [message, [74, 102, "bye", {}], CLOSE], "closed"),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("fault, kind", DELIVERIES.values(), ids=DELIVERIES.keys())
def test_a_fault_in_one_delivery_is_seen(
    fault: Callable[[Message], list[Message]], kind: str, wire: str
) -> None:
    sample = load(Behaviour(deliver=fault), FAULTY, wire=wire)
    assert sample["errors"][kind] > 0, sample
    assert sample["first_error"].startswith("client 3: ")
    assert sample["sent"] == 50  # it never keeps the others from going on


@pytest.mark.parametrize("fault, kind", DELIVERIES.values(), ids=DELIVERIES.keys())
def test_a_fault_that_befalls_a_publisher_is_seen(
    fault: Callable[[Message], list[Message]], kind: str
) -> None:
    sample = load(Behaviour(deliver=fault), FAULTY, publishers=5, count=100)
    assert sample["errors"][kind] > 0, sample


ANSWERS: dict[str, tuple[Callable[[int], list[int]], str]] = {
    "wrong offset": (lambda offset: [offset + (offset == 20)], "corrupt"),
    "no answer": (lambda offset: [] if offset == 47 else [offset], "unacknowledged"),
    "never an answer": (lambda offset: [], "unacknowledged"),
    "two answers": (lambda offset: [offset] * (1 + (offset == 20)), "unexpected"),
}


@pytest.mark.parametrize("fault, kind", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_fault_in_an_acknowledgement_is_seen(fault: Callable[[int], list[int]], kind: str) -> None:
    sample = load(Behaviour(acknowledge=fault), FAULTY)
    assert sample["errors"][kind] > 0, sample


def test_what_the_window_never_let_out_is_told() -> None:
    sample = load(Behaviour(acknowledge=lambda offset: []), FAULTY, seconds=0.3)
    assert sample["errors"]["unsent"] == 46
    assert sample["errors"]["unacknowledged"] == 4


class Nobody(dict[str, list[Any]]):
    """Rooms that forget who joins them."""

    def __missing__(self, name: str) -> list[Any]:
        return []


def test_an_acknowledged_message_that_nobody_gets_is_lost() -> None:
    behaviour = Behaviour()
    behaviour.rooms = Nobody()
    sample = load(behaviour, FAULTY, window=64)
    assert sample["errors"]["lost"] == sample["undrained"] == 50


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("publishers", [1, 3, 0])
@pytest.mark.parametrize("offset", [0, 7, 1 << 40])
def test_a_right_server_passes(publishers: int, wire: str, offset: int) -> None:
    sample = load(Behaviour(offset=offset), publishers=publishers, wire=wire)
    assert faultless(sample)
    assert sample["deliveries"] == 50 * 5
    assert sample["acknowledged"] == sample["sent"] == sample["messages"] == 50
    assert sample["last_us"]["count"] == 50
    assert sample["undrained"] == 0


def test_a_room_of_one() -> None:
    sample = load(Behaviour(), groups=((1, 1),), count=10)
    assert faultless(sample) and sample["deliveries"] == 10


@pytest.mark.parametrize("payload", [32, 100, 127, 250, 9000])
@pytest.mark.parametrize("wire", WIRES)
def test_payloads_of_every_size(payload: int, wire: str) -> None:
    sample = load(Behaviour(), payload=payload, wire=wire)
    assert faultless(sample) and sample["bytes"] > 250 * payload


@pytest.mark.parametrize("chunk", [1, 7, 100])
@pytest.mark.parametrize("wire", WIRES)
def test_frames_that_come_in_pieces(chunk: int, wire: str) -> None:
    assert faultless(load(Behaviour(), chunk=chunk, wire=wire))


@pytest.mark.parametrize("mode", ["flood", "paced"])
def test_rooms_of_many_shapes_have_their_own_order(mode: str) -> None:
    groups = ((10, 5), (3, 2), (1, 30))
    options = FLOOD if mode == "flood" else PACED
    sample = load(Behaviour(), options, groups=groups, publishers=0, count=400)
    assert faultless(sample)
    assert sample["members"] == 86
    assert sample["deliveries"] >= 2 * sample["messages"] > 0


def test_a_message_in_the_wrong_room_is_seen() -> None:
    behaviour = Behaviour(deliver=changed(1, "lobby-1"))
    assert load(behaviour, FAULTY, groups=((2, 5),), publishers=0, count=300)["errors"]["corrupt"] > 0


@pytest.mark.parametrize("schedule", ["fixed", "poisson", "phased"])
def test_an_open_loop_keeps_its_rate_and_times_every_receipt(schedule: str) -> None:
    sample = load(Behaviour(), PACED, schedule=schedule, publishers=0, seconds=0.5)
    assert faultless(sample)
    assert 60 <= sample["messages"] <= 140  # Poisson: 100 +- 10
    assert sample["each_us"]["count"] == 5 * sample["last_us"]["count"]
    assert sample["offered"] * sample["seconds"] == pytest.approx(sample["last_us"]["count"], abs=0.01)
    assert sample["each_us"]["p50"] <= sample["last_us"]["p99"] <= sample["last_us"]["max"]
    assert sum(count for _, count in sample["each_histogram"]) == sample["each_us"]["count"]


def test_a_schedule_can_be_repeated() -> None:
    samples = [load(Behaviour(), PACED, seed=7)["last_us"]["count"] for _ in range(2)]
    assert samples[0] == samples[1]


@pytest.mark.parametrize("waiting", [{"poll_us": 0}, {"poll_us": 50}, {"poll_us": 2000}, {"spin": True}])
def test_latency_counts_from_the_intended_time(waiting: dict[str, Any]) -> None:
    """A server that sleeps for 200 ms shows in the latency of all that was due meanwhile, not of one."""
    behaviour = Behaviour(delay=lambda offset: 0.2 * (offset == 20))
    sample = load(behaviour, PACED, schedule="fixed", seconds=0.5, **waiting)
    assert sample["last_us"]["max"] > 150_000
    assert sample["last_us"]["mean"] > 20_000  # 40 of 100 waited 100 ms on average
    if "spin" in waiting:
        assert sample["own_cpu"] > 0.5 * sample["seconds"] and sample["busy"] < 0.5 * sample["own_cpu"]


def test_refusals_under_admission_are_no_error_and_all_else_stays_strict() -> None:
    sample = load(Behaviour(refuse=lambda n: 101 * (n % 3 == 0)), PACED, publishers=0)
    assert faultless(sample)
    assert sample["refused_101"] == sample["refused"]["101"] == sample["sent"] // 3
    assert sample["acknowledged"] == sample["sent"] - sample["refused_101"]
    assert 0 < sample["achieved"] < 0.8 * sample["offered"]
    assert sample["undrained"] == 0


def test_other_refusals_are_errors_by_their_code() -> None:
    sample = load(Behaviour(refuse=lambda n: 400 if n == 10 else 101 * (n == 20)), PACED)
    assert sample["errors"]["refused"] == 1
    assert sample["refused"] == {"400": 1, "101": 1}
    assert "ERROR: not now (400" in sample["first_error"]


def test_flat_out_a_101_is_an_error_too_and_gives_its_place_back() -> None:
    sample = load(Behaviour(refuse=lambda n: 101 * (n <= 4)))
    assert sample["errors"]["refused"] == sample["refused_101"] == 4
    assert sample["sent"] == 50 and sample["acknowledged"] == 46


def test_connections_that_admission_refuses_are_counted() -> None:
    behaviour = Behaviour(admit=lambda user: 101 * (user in ("u1", "u4")))
    with serving(behaviour) as port:
        plan = Plan(port=port, **{**PACED, "publishers": 0}, admission=True)
        swarm = _swarm.Swarm(plan)
        ready = swarm.connect()
        sample = swarm.run()
    assert (ready["members"], ready["refused_connections"]) == (3, 2)
    assert faultless(sample)
    assert sample["skipped"] > 0 and sample["each_us"]["count"] == 3 * sample["last_us"]["count"] > 0


@pytest.mark.parametrize("code, admission", [(101, False), (404, True)])
def test_a_refused_connection_is_a_clear_failure_otherwise(code: int, admission: bool) -> None:
    with serving(Behaviour(admit=lambda user: code)) as port:
        swarm = _swarm.Swarm(Plan(port=port, **PACED, admission=admission))
        with pytest.raises(BenchError, match=f"sent away with BYE {code} before it was ready"):
            swarm.connect()


def test_a_load_where_all_are_refused_is_a_clear_failure() -> None:
    with serving(Behaviour(admit=lambda user: 101)) as port:
        swarm = _swarm.Swarm(Plan(port=port, **PACED, admission=True))
        with pytest.raises(BenchError, match="refused all 5 clients"):
            swarm.connect()


def test_a_hopeless_load_ends_early_and_says_so() -> None:
    sample = load(Behaviour(delay=lambda offset: 0.02), PACED, rate=2000, seconds=5, outstanding=100)
    assert sample["overloaded"] is True
    assert sample["seconds"] < 4
    assert sample["achieved"] < sample["offered"]
    assert sample["undrained"] > 0 and sample["errors"]["lost"] == 0


def test_a_server_that_dies_leaves_what_was_seen() -> None:
    """All connections are cut in the middle: the run ends at once, with a sample."""
    behaviour = Behaviour()

    def die(offset: int) -> list[int]:
        if offset == 30:
            for peer in behaviour.rooms["lobby"]:
                peer.transport.abort()
        return [offset]

    behaviour.acknowledge = die
    begun = time.monotonic()
    sample = load(behaviour, PACED, seconds=8)
    assert time.monotonic() - begun < 5
    assert sample["errors"]["closed"] == 5
    assert sample["first_error"] and sample["deliveries"] > 0


def test_pings_are_answered_in_order() -> None:
    options = {**FLOOD, "mode": "pings", "count": 0, "seconds": 0.2}
    sample = load(Behaviour(), options, join=False, depth=16)
    assert faultless(sample) and sample["replies"] >= 80 and sample["replies"] == sample["sent"]


def test_who_is_idle_stays() -> None:
    sample = load(Behaviour(), {**FLOOD, "mode": "idle", "seconds": 0.1})
    assert faultless(sample) and (sample["members"], sample["sent"]) == (5, 0)


def test_a_stalled_member_finds_its_gap_when_it_reads_again() -> None:
    def gap(message: Message) -> list[Message]:
        return [[71, message[1], message[2], message[2], "slow"]]

    behaviour = Behaviour(deliver=gap, everywhere=True)
    sample = load(behaviour, groups=((1, 4),), stalled=1)
    assert faultless(sample)
    assert sample["stalled"]["gaps"] == sample["stalled"]["missed"] == 50
    assert sample["deliveries"] == 150


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(BenchError, match="connect to 127.0.0.1:1: Connection refused"):
        _swarm.Swarm(Plan(port=1, **FLOOD)).connect()


def test_clients_come_from_the_source_that_was_asked_for() -> None:
    assert faultless(load(Behaviour(), source="127.0.0.9"))


def test_more_clients_than_ports_come_from_the_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_swarm, "ADDRESS_CLIENTS", 2)
    behaviour = Behaviour()
    hosts = []
    with serving(behaviour) as port:
        swarm = _swarm.Swarm(Plan(port=port, **FLOOD))
        swarm.connect()
        for peer in behaviour.rooms["lobby"]:
            hosts.append(peer.transport.get_extra_info("peername")[0])
    assert sorted(hosts) == ["127.0.0.1"] * 2 + ["127.0.0.2"] * 2 + ["127.0.0.3"]


def test_progress_is_told() -> None:
    events: list[dict[str, Any]] = []
    with serving(Behaviour()) as port:
        swarm = _swarm.Swarm(Plan(port=port, **{**PACED, "seconds": 0.7}))
        swarm.connect(events.append)
        swarm.rest(0.01)
        swarm.run(events.append)
    assert {event["event"] for event in events} == {"connecting", "progress"}
    assert events[-1]["deliveries"] == 5 * events[-1]["sent"] > 0
