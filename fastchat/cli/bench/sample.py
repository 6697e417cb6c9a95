"""One sample as people read it, and how it comes about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastchat.bench.load import ACHIEVED, Sample, carried, deliveries_per_cpu_second, wrong
from fastchat.bench.report_numbers import number
from fastchat.cli.bench.numbers import milliseconds, share
from fastchat.cli.bench.progress import Progress

POINTS = ("p50", "p90", "p99", "p999", "max")
NAMES = {"p999": "p99.9"}
ONE = 1.5  # messages: one, and what rounding adds
LATE = 1000.0  # microseconds: later than this, a generator does not keep its schedule


def text(sample: Sample, limit_ms: float | None = None) -> str:
    """The table of `bench load`."""
    load, seconds = sample["load"], sample["seconds"]
    rows = [("server", f"{sample['server']}, {load['wire']}"), ("load", loaded(sample))]
    if load["mode"] == "paced":
        rows.append(("offered", f"{number(sample['offered'])} messages/s"))
        rows.append(("achieved", f"{number(sample['achieved'])} messages/s{missing(sample)}"))
    elif load["mode"] == "pings":
        rows.append(("replies", f"{number(sample['replies'] / seconds)} a second"))
    if sample["deliveries"]:
        rows.append(("deliveries", f"{number(sample['deliveries'] / seconds)} a second"))
    rows += latencies(sample)
    rows += used(sample)
    rows.append(("generator", generator(sample)))
    rows.append(("errors", errors(sample)))
    if limit_ms is not None:
        verdict = "carried" if carried(sample, limit_ms / 1e3) else "NOT carried"
        rows.append(("verdict", f"{verdict} within {limit_ms:g} ms"))
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def loaded(sample: Sample) -> str:
    load = sample["load"]
    rooms = " + ".join(f"{many} x {size:,}" if many > 1 else f"{size:,}" for many, size in load["groups"])
    flat = {"flood": f"flat out, {load['window']} messages under way", "pings": "pings, flat out"}
    how = flat.get(load["mode"], load["schedule"])
    return f"{sample['members']:,} clients, members per room {rooms}, {load['payload']} bytes, {how}"


def missing(sample: Sample) -> str:
    short = 1 - sample["achieved"] / sample["offered"] if sample["offered"] else 0.0
    return f" ({share(short)} less than offered)" if behind(sample) else ""


def behind(sample: Sample) -> bool:
    """More is missing than the one message that may be under way when the time is over, and than 1 %."""
    short = sample["offered"] - sample["achieved"]
    return bool(short > (1 - ACHIEVED) * sample["offered"] and short * sample["seconds"] > ONE)


def latencies(sample: Sample) -> list[tuple[str, str]]:
    """Percentiles of what was timed."""
    rows = []
    for name, key in (("each", "each_us"), ("to the last", "last_us")):
        found: Mapping[str, Any] = sample[key]
        if found["count"]:
            points = (f"{NAMES.get(point, point)} {milliseconds(found[point] / 1e6)}" for point in POINTS)
            rows.append((name, "  ".join(points)))
    return rows


def used(sample: Sample) -> list[tuple[str, str]]:
    """What the server used; nothing where its process is not known."""
    if not sample["server_cpu"]:
        return []
    rows = [("server CPU", f"{share(sample['server_cpu'] / sample['seconds'])} of a core")]
    if sample["deliveries"]:
        rate = number(deliveries_per_cpu_second(sample))
        rows.append(("", f"{rate} deliveries per CPU second"))
    memory = (sample["resident"]["connected"] - sample["resident"]["before"]) / max(1, sample["members"])
    rows.append(("memory", f"{memory / 1024:.1f} KiB resident for each connection"))
    return rows


def generator(sample: Sample) -> str:
    busy, late = f"{share(sample['busy'])} of a core", sample["lateness_us"]["p99"]
    if not sample["saturated"]:
        return f"{busy}, on time"
    lag = f"99 % of its sends were up to {milliseconds(late / 1e6)} late"
    why = lag if late > LATE else "it was busy"
    return f"{busy}; SATURATED: {why}: do not blame the server"


def errors(sample: Sample) -> str:
    """What was wrong with frames, by kind, and the first of it in words."""
    kinds = [f"{count:,} {kind}" for kind, count in sample["errors"].items() if count]
    refused = sample.get("refused_101", 0)
    shed = f"{refused:,} refused because of overload (101)" if refused else ""
    if not wrong(sample):
        return f"none; {shed}" if shed else "none"
    return "; ".join(filter(None, (f"{', '.join(kinds)}: {sample['first_error']}", shed)))


def doubts(sample: Sample) -> str:
    """What makes a sample doubtful, to be put behind it."""
    found = ["the generator was SATURATED"] if sample["saturated"] else []
    if sample["load"]["mode"] == "paced" and behind(sample):
        found.append(f"NOT carried: {number(sample['achieved'])} of {number(sample['offered'])} messages/s")
    return f" ({'; '.join(found)})" if found else ""


def going(line: Progress) -> Callable[[Mapping[str, Any]], None]:
    """A listener that says on the line what the generator says of itself twice a second."""

    def listen(event: Mapping[str, Any]) -> None:
        if "seconds" in event:
            rate = event["deliveries"] / event["seconds"] if event["seconds"] else 0.0
            line.live(f"{number(rate)} deliveries/s, p99 {event['p99_ms']:.3g} ms so far")
        elif "ready" in event:
            line.live(f"{event['ready']:,} connected")

    return listen
