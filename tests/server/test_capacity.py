"""`GET /capacity`, and a server that is made to believe that it is overloaded."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from fastchat.admission import Admission, Outlook
from fastchat.capacity_live import Live
from fastchat.meter import Totals
from fastchat.server import Server
from tests.conftest import Runner
from tests.server.parts import Parts
from tests.server.wire import BYE, CONNECT, ERROR, MESSAGE, PUBLISH, RESULT, dial, get, http, serving

FLOODED = Outlook(True, 1000.0, 1100.0, 2000.0, 300.0, 0.02, 0.05, 0.06)
CALM = FLOODED._replace(offered=10.0, iteration=0.001)

KEYS: dict[str, Any] = {
    "model": dict.fromkeys((*"abcdef", "confidence", "samples")),
    "latency_limit_ms": None,
    "effective_limit_ms": None,
    "requests_per_second": dict.fromkeys(("value", "low", "high")),
    "clients": None,
    "rate_per_client": None,
    "load": None,
    "utilisation": None,
    "headroom": dict.fromkeys(("clients", "messages_per_second")),
    "fan_out": None,
    "recipients": None,
    "frame_bytes": None,
    "cpu_share": None,
    "core_share": None,
    "iteration_ms": dict.fromkeys(("p50", "p99", "mean")),
    "flush": dict.fromkeys(("sends", "frames_per_send", "sends_p99", "frames_per_send_p99")),
    "limits": None,
    "reason": None,
    "admission": dict.fromkeys(
        ("on", "connections", "publishes", "connections_refused", "publishes_refused")
    ),
    "counters": dict.fromkeys(
        (
            "seconds", "cpu_seconds", "rounds", "round_seconds", "flush_seconds", "publishes", "messages",
            "sends", "deliveries", "bytes", "sessions", "sessions_opened", "refused_connections",
            "refused_publishes",
        )
    ),
}  # fmt: skip


async def capacity(server: Server) -> dict[str, Any]:
    status, headers, body = await http(server, get("/capacity"))
    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert headers["cache-control"] == "no-store"
    told: dict[str, Any] = json.loads(body)
    return told


def keys(value: object) -> object:
    return {key: keys(part) for key, part in value.items()} if isinstance(value, dict) else None


def believe(server: Server, outlook: Outlook) -> None:
    """Let the server take this for its load from now on."""

    class Convinced(Live):
        def beat(self, totals: Totals, median: float, age: float) -> Outlook:
            return outlook

    server.gauge.live = Convinced(server.wiring.config)
    server.gauge.beat(server.wiring.time())


def test_every_key_is_there_from_the_beginning(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            told = await capacity(server)
            assert keys(told) == KEYS
            assert (told["limits"], told["utilisation"]) == ("idle", None)
            assert told["admission"] == {
                "on": True,
                "connections": "open",
                "publishes": "open",
                "connections_refused": 0,
                "publishes_refused": 0,
            }

    run(scenario())


def test_the_counters_are_exact_at_the_time_of_the_request(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, name="ada") as ada, dial(server, "ws", "bob") as bob:
            await ada.join("lobby")
            await bob.join("lobby")
            before = (await capacity(server))["counters"]
            for _ in range(20):
                ada.send(PUBLISH, 9, "lobby", "x" * 50)
                await ada.until(RESULT)
            for _ in range(20):
                await bob.until(MESSAGE)
            after = (await capacity(server))["counters"]
            grown = {key: after[key] - before[key] for key in before}
            assert (grown["publishes"], grown["messages"], grown["deliveries"]) == (20, 20, 40)
            assert (after["sessions"], grown["sessions_opened"]) == (2, 0)
            assert 40 <= grown["sends"] <= 60 and grown["bytes"] > 40 * 60
            assert 20 <= grown["rounds"] <= 40
            assert 0.0 < grown["flush_seconds"] <= grown["round_seconds"] <= grown["seconds"]
            assert 0.0 < grown["cpu_seconds"] < grown["seconds"] + 0.01  # two clocks

    run(scenario())


def test_work_is_seen(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, name="ada") as ada:
            await ada.join("lobby")
            told: dict[str, Any] = {"requests_per_second": {"value": None}}
            while told["requests_per_second"]["value"] is None:
                for _ in range(500):
                    ada.send(PUBLISH, 0, "lobby", "x" * 50)
                for _ in range(500):
                    await ada.until(MESSAGE)
                told = await capacity(server)
            assert keys(told) == KEYS
            assert told["load"] > 0 and told["limits"] != "idle"
            assert told["fan_out"] == pytest.approx(1.0, rel=0.02)
            assert told["model"]["samples"] >= 1 and told["model"]["a"] > 0
            assert told["admission"]["publishes"] == "open"

    run(scenario())


def test_it_is_told_while_draining_too(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            server.wiring.draining = True
            assert keys(await capacity(server)) == KEYS

    run(scenario())


def test_nothing_but_get(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving() as server:
            post = b"POST /capacity HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            assert (await http(server, post))[0] == 405
            assert (await http(server, get("/capacity/x")))[0] == 404
            assert (await http(server, get("/capacity?limit=nan")))[0] == 200

    run(scenario())


@pytest.mark.parametrize("wire", ["tcp", "ws", "json"])
def test_overloaded_it_refuses_connections_and_surplus_messages(run: Runner, parts: Parts, wire: str) -> None:
    async def scenario() -> None:
        async with serving() as server, dial(server, wire, "ada") as ada:
            await ada.join("lobby")
            believe(server, FLOODED)
            async with dial(server, wire) as bob:
                bob.send(CONNECT, 7, 1, {"name": "bob"})
                error, bye = await bob.receive(), await bob.receive()
                assert error[:3] == [ERROR, 7, 101] and error[4] == {"retry_ms": 4000}
                assert bye[:2] == [BYE, 101] and bye[3] == {"reconnect": True, "after_ms": 4000}
                await bob.rest()
            answers: list[Any] = []
            for number in range(50):
                ada.send(PUBLISH, 100 + number, "lobby", number)
            acknowledged = 0
            messages: list[Any] = []
            while len(answers) < 50 or len(messages) < acknowledged:
                one = await ada.receive()
                if one[0] == MESSAGE:
                    messages.append(one[5])
                else:
                    answers.append(one)
                    acknowledged += one[0] == RESULT
            refused = [one for one in answers if one[0] == ERROR]
            assert refused and all(one[2] == 101 and one[4] == {"retry_ms": 2000} for one in refused)
            served = sorted(one[1] - 100 for one in answers if one[0] == RESULT)
            assert messages == served  # what was acknowledged came, and nothing else
            counted = (await capacity(server))["counters"]
            assert counted["refused_publishes"] == len(refused) == 50 - len(served)
            assert counted["refused_connections"] == 1
            believe(server, CALM)
            async with dial(server, wire, "bob") as bob:
                bob.send(PUBLISH, 3, "lobby", 1)
                assert (await bob.until(ERROR))[2] == 304

    run(scenario())


def test_the_reserved_come_in_and_are_heard(run: Runner, parts: Parts, tmp_path: Path) -> None:
    async def scenario() -> None:
        path = str(tmp_path / "chat")
        reserved = ("127.0.0.0/8",) if parts.name == "pure" else ()
        async with serving(unix=path, reserved_addresses=reserved) as server:
            believe(server, FLOODED._replace(rate=0.0))
            async with dial(server, unix="" if reserved else path, name="admin") as admin:
                await admin.join("lobby")
                admin.send(PUBLISH, 9, "lobby", "all hands")
                assert (await admin.until(RESULT))[1] == 9
            told = await capacity(server)
            assert told["admission"]["connections_refused"] == told["admission"]["publishes_refused"] == 0
            assert (told["admission"]["connections"], told["admission"]["publishes"]) == ("closed",) * 2

    run(scenario())


def test_switched_off_nobody_is_refused(run: Runner, parts: Parts) -> None:
    async def scenario() -> None:
        async with serving(admission=False) as server:
            believe(server, FLOODED)
            async with dial(server, name="ada") as ada:
                await ada.join("lobby")
                ada.send(PUBLISH, 9, "lobby", "hello")
                assert (await ada.until(RESULT))[1] == 9
            assert (await capacity(server))["admission"]["on"] is False

    run(scenario())


def test_a_model_that_fails_opens_the_gates(
    run: Runner, parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with serving() as server:
            believe(server, FLOODED)

            class Broken(Live):
                def beat(self, totals: Totals, median: float, age: float) -> Outlook:
                    raise ZeroDivisionError

            server.gauge.live = Broken(server.wiring.config)
            with caplog.at_level(logging.CRITICAL, "fastchat"):
                server.gauge.beat(server.wiring.time())
            admission: Admission = server.hub.admission
            assert not (admission.closed or admission.full)
            await asyncio.sleep(0)
            assert keys(await capacity(server)) == KEYS

    run(scenario())
