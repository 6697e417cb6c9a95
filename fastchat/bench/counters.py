"""What a server counts itself (`GET /capacity`), read while it is under load.

Two readings of the steady part of a load make a sample for the model: the server takes all its counters at
one moment, so it does not matter when exactly that is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any

from fastchat.bench.failure import BenchError
from fastchat.capacity import Sample

SECONDS = 20.0  # a server far beyond its capacity answers late
NAMES = (
    "seconds", "cpu_seconds", "rounds", "round_seconds", "flush_seconds", "publishes", "sends", "deliveries",
    "bytes", "refused_publishes", "refused_connections",
)  # fmt: skip


class Counters:
    """One kept connection to a fastchat server on 127.0.0.1, so that a reading costs it little."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def read(self) -> dict[str, Any]:
        """All that `/capacity` says. Raises BenchError where nothing sensible answers."""
        for attempt in (1, 2):  # a kept connection may have been closed meanwhile
            try:
                self._connection.request("GET", "/capacity")
                response = self._connection.getresponse()
                body = response.read()
                break
            except (OSError, HTTPException) as error:
                self._connection.close()
                if attempt == 2:
                    raise BenchError(f"GET /capacity: {error or type(error).__name__}") from error
        try:
            found = json.loads(body)
            if response.status == 200 and isinstance(found["counters"], dict):
                return dict(found)
        except (ValueError, KeyError, TypeError):
            pass
        raise BenchError(f"GET /capacity answered {response.status} without counters: is it fastchat?")

    def close(self) -> None:
        self._connection.close()


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """What happened between two readings of the counters; sessions as they stood at the second."""
    found = {name: after[name] - before[name] for name in NAMES}
    return found | {"sessions": after["sessions"]}


def counted(interval: Mapping[str, float]) -> Sample:
    """The model's sample of an interval, from the server's own counters."""
    return Sample(
        cpu=interval["cpu_seconds"],
        seconds=interval["seconds"],
        messages=int(interval["publishes"]),
        sends=int(interval["sends"]),
        frames=int(interval["deliveries"]),
        bytes=int(interval["bytes"]),
        rounds=int(interval["rounds"]),
        sockets=int(interval["sessions"]),
        flush=min(interval["flush_seconds"], interval["cpu_seconds"]) or None,  # it is told by the clock
    )


def observed(sample: Mapping[str, Any]) -> Sample:
    """The model's sample of a server without counters, from outside: each delivery is a send of its own."""
    return Sample(
        cpu=sample["server_cpu"],
        seconds=sample["seconds"],
        messages=sample["messages"],
        sends=sample["deliveries"],
        frames=sample["deliveries"],
        bytes=sample["bytes"],
        rounds=0,
        sockets=sample["members"],
    )
