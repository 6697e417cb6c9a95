"""What `GET /capacity` says of the model: numbers with their units in the keys' documentation, no persons.

The keys are explained in docs/CONFIGURATION.md, "Headroom". What is not known yet is None.
"""

from __future__ import annotations

from fastchat.capacity_filter import Z95, Shape
from fastchat.capacity_live import P99_ITERATIONS, Live
from fastchat.config import Config

CEILING = 0.9  # of what the core could do with endless patience: beyond it more patience brings nothing
FULL = 0.9  # of the bytes that may wait
SHORT = 0.9  # of the capacity: with less because of batch_bytes these are what limits
TIMES = 1000.0  # no server is told that it could bear more than so many times its load
HALVINGS = 40
ALONE = 0.8  # of a core: with less of it others are what limits us


def report(live: Live) -> dict[str, object]:
    """Tell the model, what it says, and what it was made from."""
    costs, known = live.filter.costs, live.costs is not None
    half = Z95 * live.deviation
    value = live.capacity
    return {
        "model": {
            **{name: cost if known else None for name, cost in costs._asdict().items()},
            "confidence": max(0.0, 1.0 - half / value) if value else 0.0,
            "samples": live.filter.windows,
        },
        "latency_limit_ms": live.limit * 1000,
        "effective_limit_ms": live.allowed * P99_ITERATIONS * 1000,
        "requests_per_second": {
            "value": value if known else None,
            "low": max(0.0, value - half) if known else None,
            "high": value + half if known else None,
        },
        "clients": live.clients,
        "rate_per_client": live.load / live.clients if live.clients else 0.0,
        "load": live.load,
        "utilisation": live.load / value if value else None,
        "headroom": {
            "clients": clients(live),
            "messages_per_second": max(0.0, value - live.load) if known else None,
        },
        "fan_out": live.shape.fan_out,
        "recipients": live.shape.recipients,
        "frame_bytes": live.shape.size,
        "cpu_share": live.cpu,
        "core_share": live.share,
    }


def clients(live: Live) -> int | None:
    """Tell how many more clients could come who do what the present ones do; None while nobody knows.

    Where there is but one room they join it and it grows; else they bring rooms of their own.
    """
    costs, shape, load = live.costs, live.shape, live.load
    if costs is None or not load or not live.clients:
        return None
    low, high = 0.0, TIMES
    for _ in range(HALVINGS):
        times = (low + high) / 2
        if costs.work(_grown(shape, times))(load * times * live.allowed) < live.allowed:
            low = times
        else:
            high = times
    return max(0, int((low - 1.0) * live.clients))


def _grown(shape: Shape, times: float) -> Shape:
    fan_out = shape.fan_out * times if shape.recipients < 2 * shape.fan_out else shape.fan_out
    return Shape(fan_out, shape.recipients * times, shape.size)


def limits(live: Live, connections: int, waiting: int, config: Config) -> tuple[str, str]:
    """Tell what would bind first if more of the same came, and why.

    `connections` may still be opened, `waiting` bytes are held.
    """
    if waiting > FULL * config.total_bytes:
        return "memory", f"{waiting} of {config.total_bytes} bytes wait for clients that do not read"
    costs, shape = live.costs, live.shape
    if costs is None or not live.load:
        return "idle", "there is too little work to tell"
    more = clients(live)
    if more is not None and connections < more:
        return "connections", f"{connections} more connections may be opened"
    rooms = max(1.0, shape.recipients / shape.fan_out)
    full = config.batch_bytes * rooms / (live.capacity * shape.size)  # seconds until a batch is
    if full < live.allowed and costs.rate(full, shape) < SHORT * live.capacity:
        return "memory", f"a room gathers batch_bytes in {full * 1000:.1f} ms, before it is worth a flush"
    if live.share < ALONE:
        return "cpu", f"others leave the server {live.share:.0%} of its core"
    if live.capacity >= CEILING / costs.message(shape):
        return "cpu", "a longer iteration would hardly save anything"
    if live.allowed * P99_ITERATIONS > live.limit * 1.001:
        bare = costs.bare(shape) * 1000
        return "latency", f"a flush to {shape.recipients:.0f} members takes {bare:.1f} ms by itself"
    return "latency", "deliveries would be later than latency_limit_ms"
