"""From result files to what the report draws.

A run may have been cut short, so whatever is there is taken, and an entry that cannot be read is left out
and named; it never costs the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from fastchat.bench.report_files import File
from fastchat.bench.report_points import (
    Calibration,
    Cell,
    Curve,
    Evidence,
    Holding,
    Knee,
    Overload,
    Predicted,
    Spread,
    Trial,
)

ACHIEVED = 0.99  # of what was offered: less means that the server does not carry it
OURS = ("fastchat", "fastchat-ws")
Entry = Mapping[str, Any]
Thing = TypeVar("Thing")
UNREADABLE = (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError, AttributeError)


def evidence(files: Mapping[str, File]) -> Evidence:
    """Everything that the files of the kinds capacity, compare, connections and overload have."""
    notices: list[str] = []
    read: dict[str, Any] = {}
    readers: tuple[tuple[str, str, Callable[[File, list[str]], list[Any]]], ...] = (
        ("calibrations", "capacity", calibrations),
        ("curves", "capacity", curves),
        ("knees", "capacity", knees),
        ("cells", "compare", cells),
        ("holdings", "connections", holdings),
        ("overloads", "overload", overloads),
    )
    for name, kind, taken in readers:
        if kind in files:
            read[name] = tuple(taken(files[kind], notices))
    return Evidence(**read, notices=tuple(notices))


def each(
    file: File, where: str, entries: object, notices: list[str], make: Callable[[Any], Thing | None]
) -> list[Thing]:
    """What is made of each entry of a list; those that are not as they should be are noticed."""
    made = []
    for place, entry in enumerate(entries if isinstance(entries, list) else []):
        try:
            thing = make(entry)
        except UNREADABLE as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            notices.append(f"{file.name}: {where}[{place}] was left out: {reason}")
            continue
        if thing is not None:
            made.append(thing)
    return made


def grouped(pairs: Iterable[tuple[tuple[Any, ...], Thing]]) -> dict[tuple[Any, ...], list[Thing]]:
    found: dict[tuple[Any, ...], list[Thing]] = {}
    for key, thing in pairs:
        found.setdefault(key, []).append(thing)
    return found


def interval(estimate: Entry) -> Spread:
    """An estimate of the model; an end that is infinite falls onto the value."""
    value = float(estimate["value"])
    low, high = estimate.get("low"), estimate.get("high")
    return Spread(value if low is None else low, value, value if high is None else high)


def seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3


# capacity


def calibrations(file: File, notices: list[str]) -> list[Calibration]:
    def calibration(pair: tuple[str, Entry]) -> Calibration | None:
        server, part = pair
        if "calibration" not in part:
            return None
        found = part["calibration"]
        coefficients = tuple((name, interval(one)) for name, one in found["coefficients"].items())
        drift = (part["drift"]["low"], part["drift"]["high"]) if part.get("drift") else None
        return Calibration(server, coefficients, found["residual"], len(found["loads"]), drift)

    return each(file, "servers", list(servers(file).items()), notices, calibration)


def servers(file: File) -> Mapping[str, Entry]:
    found = file.content.get("servers")
    return found if isinstance(found, Mapping) else {}


def knees(file: File, notices: list[str]) -> list[Knee]:
    found = []
    for server, part in servers(file).items():

        def knee(row: Entry, server: str = server) -> Knee:
            measured, passing = row["measured"], row.get("passing")
            return Knee(
                server, row["rooms"], float(row["rate"]), row["payload"], interval(row["predicted"]),
                measured["clients"], measured["low"], measured["high"], measured["end"], row["trials"],
                seconds(passing["p99_ms"]) if passing else None,
            )  # fmt: skip

        points = part.get("points") if isinstance(part, Mapping) else None
        found += each(file, f"servers.{server}.points", points, notices, knee)
    return found


def curves(file: File, notices: list[str]) -> list[Curve]:
    limit = float(file.content.get("settings", {}).get("limit_ms", 20.0)) / 1e3
    places = {
        (server, row["point"]): (row["rooms"], row["payload"])
        for server, part in servers(file).items()
        for row in part.get("points", ())
    }

    def sample(entry: Entry) -> tuple[tuple[str, str], tuple[Entry, Trial]] | None:
        if entry["kind"] != "curve":
            return None
        return (entry["server"], entry["point"]), (entry, trial(entry, limit))

    samples = each(file, "samples", file.content.get("samples"), notices, sample)
    found = []
    for (server, point), pairs in grouped(samples).items():
        first = pairs[0][0]
        rooms, payload = places.get((server, point)) or named(point)
        trials = sorted((one for _, one in pairs), key=lambda one: one.rho)
        allowed = interval(first["model"]["requests_per_second"])
        clients = first["clients"]
        kept = (servers(file).get(server) or {}).get("calibration") or {}
        coefficients = kept.get("model")
        found.append(Curve(server, rooms, payload, clients, allowed, limit, tuple(trials), coefficients))
    return found


def named(point: str) -> tuple[str, int]:
    """Rooms and payload out of a point's name: teams-5-r10-100B."""
    words = point.split("-")
    return "-".join(words[:-2]), int(words[-1].removesuffix("B"))


def trial(entry: Entry, limit: float) -> Trial:
    model = entry["model"]
    p99 = entry["p99_ms"] / 1e3
    return Trial(
        rho=entry["offered"] / model["requests_per_second"]["value"],
        offered=entry["offered"],
        achieved=entry["achieved"],
        p50=entry["p50_ms"] / 1e3,
        p99=p99,
        iteration=seconds(entry["iteration_ms"]),
        cpu=entry["cpu"],
        passed=entry["achieved"] >= ACHIEVED * entry["offered"] and p99 <= limit,
        saturated=bool(entry["saturated"]),
        model=Predicted(seconds(model["p50_ms"]), seconds(model["p99_ms"]), seconds(model["iteration_ms"])),
    )


# compare


def per_cpu(sample: Entry) -> float:
    return float(sample["deliveries"] / sample["server_cpu"])


def p99(sample: Entry) -> float:
    """Seconds: of each delivery where they were timed, else until the last member had the message."""
    kept = sample["each_us"] if sample["each_us"]["count"] else sample["last_us"]
    return float(kept["p99"]) / 1e6


def cells(file: File, notices: list[str]) -> list[Cell]:
    wires = {name: facts.get("wire", "tcp") for name, facts in servers(file).items()}

    def sample(entry: Entry) -> tuple[tuple[str, str, int], tuple[int, Entry]] | None:
        if entry["failed"]:
            return None
        taken = entry["sample"]
        per_cpu(taken), p99(taken), taken["seconds"]  # those without are left out here
        return (entry["server"], entry["mode"], entry["members"]), (entry["round"], taken)

    groups = grouped(each(file, "samples", file.content.get("samples"), notices, sample))
    rounds = {key: dict(pairs) for key, pairs in groups.items()}
    found = []
    for (server, mode, members), taken in rounds.items():
        ours = OURS[1] if wires.get(server) == "ws" and server != OURS[1] else OURS[0]
        mine = rounds.get((ours, mode, members)) if server != OURS[0] else None
        ratios = [per_cpu(mine[n]) / per_cpu(one) for n, one in taken.items() if n in mine] if mine else []
        found.append(
            Cell(
                server,
                mode,
                members,
                Spread.of([per_cpu(one) for one in taken.values()]),
                Spread.of([p99(one) for one in taken.values()]),
                Spread.of([one["server_cpu"] / one["seconds"] for one in taken.values()]),
                Spread.of(ratios) if ratios else None,
            )
        )
    return found


# connections


def grown(memory: Entry) -> float:
    """Bytes, from before the first connection until all were there; the kernel's has several parts."""
    before, after = memory["before"], memory["connected"]
    if isinstance(before, Mapping):
        return float(sum(after.values()) - sum(before.values()))
    return float(after - before)


def holdings(file: File, notices: list[str]) -> list[Holding]:
    def sample(entry: Entry) -> tuple[tuple[str, int], Sequence[float | None]] | None:
        if entry["failed"]:
            return None
        taken = entry["sample"]
        many, served = taken["members"], taken["connect_seconds"]
        kernel = grown(taken["kernel"]) / many if taken.get("kernel") else None
        figures = (grown(taken["resident"]) / many, kernel, many / served, served)
        return (entry["server"], entry["sessions"]), figures

    groups = grouped(each(file, "samples", file.content.get("samples"), notices, sample))
    found = []
    for (server, many), rows in groups.items():
        columns = [[one for one in column if one is not None] for column in zip(*rows, strict=True)]
        spreads = [Spread.of(column) if column else None for column in columns]
        resident, kernel, rate, served = spreads
        assert resident and rate and served  # only the kernel's memory may be unknown
        found.append(Holding(server, many, resident, kernel, rate, served))
    return found


# overload


def overloads(file: File, notices: list[str]) -> list[Overload]:
    def sample(entry: Entry) -> tuple[tuple[Any, ...], tuple[float, ...]] | None:
        if entry["kind"] != "overload":
            return None
        raw = entry["raw"]
        refused = entry["refused"] / raw["seconds"]
        figures = (entry["offered"], entry["achieved"], refused, entry["p50_ms"] / 1e3, entry["p99_ms"] / 1e3)
        key = (entry["server"], entry["case"], float(entry["rho"]), bool(entry["admission"]))
        return key, (*figures, entry["lost"])

    groups = grouped(each(file, "samples", file.content.get("samples"), notices, sample))
    found = []
    for (server, case, rho, admission), rows in groups.items():
        *columns, lost = zip(*rows, strict=True)
        offered, achieved, refused, p50, p99 = map(Spread.of, columns)
        many = int(sum(lost))
        found.append(Overload(server, case, rho, admission, offered, achieved, refused, many, p50, p99))
    return sorted(found, key=lambda one: (one.server, one.rooms, one.rho, not one.admission))
