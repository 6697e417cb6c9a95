"""What is measured and what it must reach: the scenarios of the whole server, as data."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.figures import Case, Claim, Scenario
from benchmarks.load import Options


def flood(members: int, **more: str | int | float) -> Options:
    load: Options = {"mode": "flood", "members": members, "window": 64, "seconds": 3, "warmup": 1}
    return {"payload": 100, **load, **more}


def fanout(members: int, ratio: float | None, naive: float | None, over_ws: float | None) -> Scenario:
    tcp, ws = flood(members), flood(members, wire="ws")
    rate = "deliveries/CPU s"
    return Scenario(
        f"fanout-{members}",
        f"{members:,} members of one room, one publisher flat out, 100 bytes, window 64",
        (
            Case("fastchat", "fastchat", tcp),
            Case("C", "reference", tcp),
            Case("naive", "naive", tcp),
            Case("fastchat-ws", "fastchat", ws),
        ),
        (rate, "p99 last ms", "generator CPU share"),
        (
            Claim(rate, "fastchat", "C", at_least=ratio),
            Claim(rate, "fastchat", "naive", at_least=naive),
            Claim(rate, "fastchat-ws", "fastchat", at_least=over_ws),
        ),
    )


def holdback(name: str, about: str, publishers: int) -> Scenario:
    load: Options = {
        "mode": "paced", "schedule": "poisson", "members": 100, "publishers": publishers, "rate": 5000,
        "seconds": 5, "warmup": 1,
    }  # fmt: skip
    never = {"FASTCHAT_FLUSH_BUDGET_MS": "0"}
    rate = "deliveries/CPU s"
    return Scenario(
        name,
        f"5,000 messages a second (Poisson) from {about} into a room of 100, latency from the intended time",
        (
            Case("fastchat", "fastchat", load),
            Case("fastchat, flush every iteration", "fastchat", load, never),
            Case("C", "reference", load),
            Case("fastchat-ws", "fastchat", {**load, "wire": "ws"}),
        ),
        (rate, "p99 each ms", "p99 last ms", "p50 last ms", "CPU share", "generator CPU share"),
        (
            Claim(rate, "fastchat", "fastchat, flush every iteration", at_least=2.0),
            Claim("p99 each ms", "fastchat", at_most=3.0),
            Claim("p99 last ms", "fastchat", at_most=3.0),
            Claim(rate, "fastchat-ws", "fastchat", at_least=0.8),
        ),
    )


def pings() -> Scenario:
    load: Options = {"mode": "pings", "members": 100, "rooms": 0, "depth": 16, "seconds": 3, "warmup": 1}
    rate = "replies/CPU s"
    return Scenario(
        "pings",
        "16 pipelined PINGs from each of 100 connections, flat out",
        (
            Case("fastchat", "fastchat", load),
            Case("C", "reference", load),
            Case("naive", "naive", load),
            Case("fastchat-ws", "fastchat", {**load, "wire": "ws"}),
        ),
        (rate, "generator CPU share"),
        (
            Claim(rate, "fastchat", at_least=400_000),
            Claim(rate, "fastchat-ws", "fastchat", at_least=0.8),
            Claim(rate, "fastchat", "C"),
            Claim(rate, "fastchat", "naive"),
        ),
    )


def paced() -> Scenario:
    load: Options = {
        "mode": "paced", "schedule": "phased", "members": 200, "publishers": 200, "rate": 200,
        "seconds": 10, "warmup": 1,
    }  # fmt: skip
    return Scenario(
        "paced",
        "a room of 200, each member publishes once a second at its own phase, latency from the intended time",
        (
            Case("fastchat", "fastchat", load),
            Case("C", "reference", load),
            Case("naive", "naive", load),
            Case("fastchat-ws", "fastchat", {**load, "wire": "ws"}),
        ),
        ("p50 last ms", "p99 last ms", "p99 each ms", "CPU share", "generator CPU share"),
        (
            Claim("p99 last ms", "fastchat", "C", at_most=1.5),
            Claim("p99 last ms", "fastchat-ws", "C"),
            Claim("p99 last ms", "naive", "C"),
        ),
    )


def memory(sessions: int) -> Scenario:
    load: Options = {"mode": "idle", "members": sessions, "timeout": 60}
    teams: Options = {**load, "rooms": sessions // 10}
    alone: Options = {**load, "rooms": sessions}
    figure = "KiB/session"
    return Scenario(
        "memory",
        f"{sessions:,} idle sessions, each in one room: the same for all, one for every 10, one for each",
        (
            Case("TCP, one room", "fastchat", load),
            Case("TCP, teams of 10", "fastchat", teams),
            Case("TCP, a room each", "fastchat", alone),
            Case("WebSocket, one room", "fastchat", {**load, "wire": "ws"}),
            Case("WebSocket, teams of 10", "fastchat", {**teams, "wire": "ws"}),
            Case("naive, one room", "naive", load),
            Case("C, one room", "reference", load),
        ),
        (figure,),
        (
            Claim(figure, "TCP, one room", at_most=6),
            Claim(figure, "TCP, teams of 10", at_most=6),
            Claim(figure, "TCP, a room each"),
            Claim(figure, "WebSocket, one room", at_most=8),
            Claim(figure, "WebSocket, teams of 10", at_most=8),
        ),
        rounds=3,
    )


def stalled() -> Scenario:
    all_read: Options = {
        "mode": "paced", "schedule": "fixed", "members": 1000, "rate": 40, "payload": 4000,
        "seconds": 15, "warmup": 1, "timeout": 20,
    }  # fmt: skip
    load: Options = {**all_read, "stalled": 50}
    policies = ("disconnect", "drop", "latest")
    policy = '[rooms.default]\npolicy = "{}"\n'
    return Scenario(
        "stalled",
        "50 of 1,000 members never read; 40 messages of 4,000 bytes a second, until well past 1 MiB for each",
        (
            Case("all read", "fastchat", all_read),
            Case("disconnect", "fastchat", load, rooms=policy.format("disconnect")),
            Case("drop", "fastchat", load, rooms=policy.format("drop")),
            Case("latest", "fastchat", load, rooms=policy.format("latest")),
        ),
        ("p99 each ms", "p99 last ms", "cut", "gaps", "MiB kept", "MiB grown"),
        (
            *(Claim("p99 each ms", case, "all read", at_most=1.3) for case in policies),
            *(Claim("p99 last ms", case, "all read", at_most=1.3) for case in policies),
            Claim("cut", "disconnect", at_least=50),
            Claim("gaps", "drop", at_least=50),
            Claim("cut", "drop", at_most=0),
            Claim("gaps", "latest", at_least=50),
            Claim("cut", "latest", at_most=0),
            # outbox_bytes, twice SO_SNDBUF, the reader's own buffer and the frames in flight
            *(Claim("MiB kept", case, at_most=1.75) for case in policies),
        ),
        rounds=3,
    )


def partial() -> Scenario:
    """Half of the sends are taken only in part or not at all, and the kernel's buffers are small besides."""
    load = flood(1000, count=1000, warmup=0, seconds=60, payload=200, rcvbuf=8192, chunk=3000)
    settings = {"FASTCHAT_SNDBUF": "8192", "FASTCHAT_NOTSENT_LOWAT": "4096"}
    return Scenario(
        "partial",
        "1,000 messages to 1,000 members while half of the sends are cut short or refused",
        (
            Case("fastchat", "fastchat", load, settings, faults=True),
            Case("fastchat-ws", "fastchat", {**load, "wire": "ws"}, settings, faults=True),
            Case("C", "reference", load, faults=True),
        ),
        ("errors", "partial sends"),
        (
            Claim("errors", "fastchat", at_most=0),
            Claim("errors", "fastchat-ws", at_most=0),
            Claim("partial sends", "fastchat", at_least=1000),
            Claim("partial sends", "fastchat-ws", at_least=1000),
        ),
        rounds=3,
    )


def everything() -> tuple[Scenario, ...]:
    return (
        fanout(1000, ratio=0.85, naive=20, over_ws=0.8),
        fanout(100, ratio=None, naive=None, over_ws=None),
        fanout(5000, ratio=None, naive=None, over_ws=None),
        holdback("holdback", "all members", publishers=100),
        holdback("holdback-one", "one member", publishers=1),
        pings(),
        paced(),
        memory(10_000),
        stalled(),
        partial(),
    )


QUICK: dict[str, tuple[dict[str, int | float], tuple[str, ...]]] = {
    # by the scenario's name or its load's mode: what its load becomes, and its cases (none named: all)
    "partial": ({}, ()),
    "stalled": (
        {"members": 300, "payload": 8000, "rate": 100, "seconds": 4.0, "warmup": 0.3},
        ("all read", "disconnect", "drop"),
    ),
    "flood": ({"seconds": 1.0, "warmup": 0.3}, ()),
    "pings": ({"seconds": 1.0, "warmup": 0.3}, ()),
    "paced": ({"seconds": 2.0, "warmup": 0.3}, ()),
    "idle": ({"members": 3000}, ("TCP, one room", "WebSocket, one room", "naive, one room")),
}


def shortened(scenario: Scenario) -> Scenario:
    """For a first impression: one round of a second or so each."""
    changes, labels = QUICK.get(scenario.name) or QUICK[str(scenario.cases[0].load["mode"])]
    chosen = [case for case in scenario.cases if case.label in labels or not labels]
    cases = tuple(
        replace(case, load={**case.load, **{key: changes[key] for key in changes if key in case.load}})
        for case in chosen
    )
    there = {case.label for case in cases} | {""}
    claims = tuple(one for one in scenario.claims if {one.case, one.over} <= there)
    return replace(scenario, about=f"{scenario.about} (shortened)", cases=cases, claims=claims, rounds=1)
