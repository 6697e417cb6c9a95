"""`fastchat ping`: how long an answer takes, as percentiles."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import click

from fastchat.cli.options import Target, with_target
from fastchat.cli.text import json_line
from fastchat.errors import FastChatError

POINTS = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}


@click.command(
    epilog="""\b
Examples:
  fastchat ping
  fastchat ping -c 1000 -i 0 --url ws://127.0.0.1:9999/ws
  fastchat ping -c 20 --json
"""
)
@click.option(
    "-c", "--count", type=click.IntRange(1), metavar="N", default=10, show_default=True, help="How many."
)
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0),
    metavar="SECONDS",
    default=0.1,
    show_default=True,
    help="Between two.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, times in milliseconds.")
@with_target
def command(target: Target, count: int, interval: float, as_json: bool) -> None:
    """Measure round trips: PING to RESULT, through everything a message goes through but the room.

    Ctrl-C ends early and reports what there is.
    """
    trips: list[float] = []
    try:
        asyncio.run(_ping(target, count, interval, trips))
    except KeyboardInterrupt:
        pass
    except FastChatError:
        if trips:
            click.echo(report(target.url, trips, as_json))
        raise
    if trips:
        click.echo(report(target.url, trips, as_json))


async def _ping(target: Target, count: int, interval: float, trips: list[float]) -> None:
    async with target.connect() as chat:
        for number in range(count):
            if number and interval:
                await asyncio.sleep(interval)
            trips.append(await chat.ping())


def report(url: str, trips: Sequence[float], as_json: bool) -> str:
    """Percentiles of `trips`, in seconds, as a line or as JSON (milliseconds)."""
    found = {name: percentile(trips, share) * 1000 for name, share in POINTS.items()}
    if as_json:
        return json_line({"url": url, "count": len(trips), "unit": "ms"} | found)
    points = "  ".join(f"{name} {value:.3f} ms" for name, value in found.items())
    return f"{len(trips)} round trips to {url}: {points}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
