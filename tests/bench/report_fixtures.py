"""Results that nobody measured, in the shape of those that `fastchat bench` writes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

LIMIT_MS = 20.0
HEAD: dict[str, Any] = {
    "schema": 1,
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "changed": False,
    "started": "2026-01-02T03:04:05+00:00",
    "seconds": 754.2,
    "machine": {
        "processor": "Imaginary 9000",
        "cores": 2,
        "memory": "8 kB",
        "virtual": True,
        "kernel": "6.1",
        "congestion_control": "cubic",
    },
    "versions": {"python": "3.11.7", "cc": "cc", "uvloop": "0.23.0", "fastchat": "0.1.0"},
}
MOST = {"room": 700, "teams-5": 9000, "teams-50": 4000, "mixed": 3000}  # clients at 5 messages a second
POINTS = ("room-r5-100B", "teams-5-r10-100B", "teams-50-r5-1000B")  # that have a curve
SHARE = {10: 0.2, 100: 0.8, 1000: 1.0, 5000: 0.3}  # of a server's best, by members
SPEED = {
    "fastchat": 9.9e6,
    "C": 9.4e6,
    "uWebSockets": 5e6,
    "nats": 6.1e6,
    "redis": 3.9e6,
    "picows": 2.5e5,
    "fastchat-ws": 9.1e6,
    "websockets": 1.2e5,
    "aiohttp": 1.1e5,
    "python-socketio": 2.1e4,
    "ws": 1.9e5,
    "socket.io": 9e4,
    "threaded": 1.9e5,
    "streams": 1.5e5,
    "mosquitto": 1.7e5,
}


class Noise:
    """Makes figures look measured, the same ones every time."""

    def __init__(self) -> None:
        self._random = Random(7)

    def __call__(self, value: float, share: float = 0.05) -> float:
        return value * self._random.uniform(1 - share, 1 + share)


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": 0.94 * value, "high": 1.07 * value}


def document(kind: str, command: str, **parts: Any) -> dict[str, Any]:
    return HEAD | {"kind": kind, "command": command} | parts


def load_of(server: str, clients: int, fraction: float, allowed: float, near: Noise) -> dict[str, Any]:
    """A load at a part of N: the formula of an iteration, with noise."""
    length = 1.5 / max(0.02, 1 - 0.86 * fraction)
    rate = fraction * allowed
    ours = server == "fastchat"
    return {
        "server": server,
        "verdict": "",
        "clients": clients,
        "offered": rate,
        "busy": 0.4,
        "saturated": False,
        "achieved": rate * (1.0 if fraction <= 1 else 0.97),
        "deliveries_per_second": rate * clients,
        "cpu": min(0.99, 0.45 + fraction) if ours else min(1.0, 0.98 * fraction),
        "p50_ms": near(length),
        "p99_ms": near(1.86 * length) * (1 if fraction < 1 else 1.3),
        "iteration_ms": near(length) if ours else None,
        "model": {
            "requests_per_second": estimate(allowed),
            "utilisation": fraction,
            "iteration_ms": length,
            "p50_ms": length,
            "p99_ms": 1.86 * length,
        },
        "raw": {"seconds": 3.0, "errors": {}},
    }


def capacity() -> dict[str, Any]:
    near = Noise()
    servers: dict[str, Any] = {}
    samples: list[dict[str, Any]] = []
    for server, scale in (("fastchat", 1.0), ("threaded", 0.2)):
        rows = []
        for rooms, most in MOST.items():
            for rate in (2.0, 5.0, 10.0):
                for payload in (100, 1000):
                    predicted = scale * most * (5 / rate) ** 0.6 * (100 / payload) ** 0.08
                    found = near(predicted, 0.13)
                    row = {
                        "point": f"{rooms}-r{rate:g}-{payload}B",
                        "rooms": rooms,
                        "rate": rate,
                        "payload": payload,
                        "predicted": estimate(predicted),
                        "error": predicted / found - 1,
                        "trials": 11,
                        "measured": {
                            "low": round(0.98 * found),
                            "high": round(1.02 * found),
                            "clients": found,
                            "end": "bracketed",
                        },
                        "passing": {"p99_ms": near(17.0)},
                        "failing": None,
                        "utilisation": 1.0,
                        "requests_per_second": estimate(predicted * rate),
                    }
                    rows.append(row)
        rows[-1] |= {"error": None}
        rows[-1]["measured"] |= {"clients": None, "high": None, "end": "generator saturated"}
        for point in POINTS if server == "fastchat" else POINTS[:1]:
            row = next(one for one in rows if one["point"] == point)
            clients = round(row["predicted"]["value"])
            for fraction in (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1):
                about = {"kind": "curve", "point": point, "fraction": fraction}
                samples.append(load_of(server, clients, fraction, clients * row["rate"], near) | about)
        samples.append({"kind": "trial", "server": server, "point": "room-r5-100B"})
        coefficients = {name: estimate(value) for name, value in (("a", 12e-6), ("b", 4e-6), ("c", 6e-8))}
        loads = [{"load": "1 x 50", "repeats": 3, "spread": 0.02, "residual": 0.01, "far": False}] * 12
        servers[server] = {
            "calibration": {"coefficients": coefficients, "residual": 0.031, "loads": loads},
            "points": rows,
            "summary": {},
            "replaced": {},
            "failures": [],
            "drift": {"low": -0.03, "high": 0.012},
        }
    return document(
        "capacity",
        "fastchat bench capacity --servers fastchat,threaded",
        servers=servers,
        samples=samples,
        settings={"quick": False, "limit_ms": LIMIT_MS},
    )


def compare() -> dict[str, Any]:
    near = Noise()
    samples: list[dict[str, Any]] = []
    for round_ in (1, 2, 3):
        for server, speed in SPEED.items():
            for members in SHARE:
                for mode in ("flood", "paced"):
                    rate = speed * SHARE[members] if mode == "flood" else 2.1e5
                    cpu = 2.0 if mode == "flood" else 0.2
                    timing = {"count": 0 if mode == "flood" else 9, "p50": 900.0, "p99": near(2000.0)}
                    sample = {
                        "deliveries": near(rate) * cpu,
                        "server_cpu": cpu,
                        "seconds": 2.0,
                        "each_us": timing,
                        "last_us": timing,
                        "members": members,
                    }
                    samples.append(
                        {
                            "round": round_,
                            "members": members,
                            "mode": mode,
                            "server": server,
                            "failed": "",
                            "sample": sample,
                        }
                    )
    samples[-1] |= {"failed": "the server died in the middle", "sample": None}
    servers = {name: {"wire": "ws" if name.endswith("ws") else "tcp"} for name in SPEED}
    return document(
        "compare",
        "fastchat bench compare",
        samples=samples,
        servers=servers,
        skipped={"centrifugo": "not installed"},
        settings={"quick": False},
    )


def connections() -> dict[str, Any]:
    samples = []
    for server, size in (("fastchat", 2900), ("fastchat-ws", 3000), ("threaded", 21000), ("streams", 9000)):
        for sessions in (100, 1000, 5000, 19000):
            sample = {
                "members": sessions,
                "connect_seconds": sessions / 9000,
                "resident": {"before": 30_000_000, "connected": 30_000_000 + size * sessions, "after": 0},
                "kernel": {
                    "before": {"slab": 100, "tcp_buffers": 0},
                    "connected": {"slab": 100 + 6100 * sessions, "tcp_buffers": 0},
                },
            }
            samples.append(
                {"round": 1, "server": server, "sessions": sessions, "failed": "", "sample": sample}
            )
    return document(
        "connections",
        "fastchat bench connections",
        samples=samples,
        servers={},
        skipped={},
        settings={"quick": False},
    )


def overload() -> dict[str, Any]:
    near = Noise()
    samples: list[dict[str, Any]] = []
    for case in ("room", "teams-50"):
        for rho, admission, p99 in ((0.9, True, 14.0), (2.0, True, 19.0), (2.0, False, 3100.0)):
            offered, achieved = 4000 * rho, 4000 * min(rho, 0.95 if admission else 1.02)
            samples += [
                {
                    "kind": "overload",
                    "server": "fastchat",
                    "case": case,
                    "rho": rho,
                    "admission": admission,
                    "offered": offered,
                    "achieved": achieved,
                    "p50_ms": p99 / 2,
                    "p99_ms": near(p99),
                    "lost": 0,
                    "refused": round(5 * max(0.0, offered - achieved)) if admission else 0,
                    "refused_connections": 0,
                    "raw": {"seconds": 5.0},
                }
                for _ in range(3)
            ]
    return document(
        "overload",
        "fastchat bench capacity --overload",
        samples=samples,
        servers={},
        settings={"quick": False},
    )


ALL = {"capacity": capacity, "compare": compare, "connections": connections, "overload": overload}


def write(folder: Path, *kinds: str) -> Path:
    """Put results of those kinds into a folder, all for none."""
    for kind in kinds or ALL:
        (folder / f"{kind}.json").write_text(json.dumps(ALL[kind]()))
    return folder
