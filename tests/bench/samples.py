"""Samples made up for tests: what the generator and the laboratory report, with round numbers."""

from __future__ import annotations

from typing import Any

ERRORS = ("corrupt", "lost", "duplicate", "order", "refused", "closed", "unexpected", "unacknowledged")
NOTHING = {"count": 0, "mean": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0}
MIB = 1 << 20


def timed(p50: float) -> dict[str, float]:
    """Percentiles in microseconds, rising from p50."""
    points = {"p50": p50, "p90": 2 * p50, "p99": 3 * p50, "p999": 4 * p50, "max": 5 * p50}
    return {"count": 100, "mean": p50} | points


def kernel(slab: int) -> dict[str, int]:
    return {"slab": slab, "kernel_stacks": 0, "page_tables": 0, "tcp_buffers": 0}


def sample(server: str = "fastchat", members: int = 100, mode: str = "paced", **more: Any) -> dict[str, Any]:
    """A second of 100 messages to all members, half a core, nothing wrong."""
    load = {
        "dialect": "fastchat", "wire": "tcp", "groups": [[1, members]], "mode": mode, "rate": 100.0,
        "payload": 100, "window": 64, "seconds": 1.0, "warmup": 0.5, "schedule": "poisson",
    }  # fmt: skip
    each = timed(1000.0) if mode == "paced" else dict(NOTHING)
    return {
        "server": server,
        "load": load,
        "seconds": 1.0,
        "server_cpu": 0.5,
        "own_cpu": 0.1,
        "busy": 0.1,
        "saturated": False,
        "overloaded": False,
        "undrained": 0,
        "members": members,
        "deliveries": 100 * members,
        "messages": 100,
        "replies": 0,
        "bytes": 15_000 * members,
        "offered": 100.0,
        "achieved": 100.0,
        "last_us": timed(2000.0),
        "each_us": each,
        "lateness_us": timed(1.0),
        "connect_seconds": 0.5,
        "errors": dict.fromkeys(ERRORS, 0),
        "first_error": "",
        "resident": {"before": 40 * MIB, "connected": 41 * MIB, "after": 42 * MIB},
        "kernel": {"before": kernel(0), "connected": kernel(members * 4096)},
        "threads": 1,
        "load_average": 0.0,
    } | more


def broken(**errors: int) -> dict[str, Any]:
    """What to change of a sample in which frames were wrong."""
    return {"errors": dict.fromkeys(ERRORS, 0) | errors, "first_error": "client 3: offset 7 never came"}
