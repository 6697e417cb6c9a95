"""The result of `bench capacity` as people read it: coefficients, predicted against measured, the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastchat.bench.report_numbers import number
from fastchat.cli.bench.numbers import share, table

HEAD = (
    "point", "predicted", "low", "high", "measured", "bracket", "error", "rho", "N", "p99 pass", "p99 fail",
    "T ms", "CPU", "deliveries/s", "generator",
)  # fmt: skip
UNITS = {
    "a": "per message in", "a1": "per byte of a message in", "b": "per send to a member",
    "b1": "per send and 1,000 sockets", "c": "per frame", "d": "per byte of a frame", "e": "per iteration",
}  # fmt: skip


def text(document: Mapping[str, Any]) -> str:
    """Everything, a part for each server."""
    limit = document["settings"]["limit_ms"]
    parts = ["\n".join(server(name, found, limit)) for name, found in document.get("servers", {}).items()]
    return "\n\n".join(parts) or "nothing was measured"


def server(name: str, found: Mapping[str, Any], limit_ms: float) -> list[str]:
    """One server's part."""
    lines = [f"{name}: the load model at p99 <= {limit_ms:g} ms"]
    if "calibration" in found:
        lines += coefficients(found["calibration"])
    if "drift" in found:
        low, high = found["drift"]["low"], found["drift"]["high"]
        lines.append(f"  {low:+.1%} to {high:+.1%} CPU for the same light loads while knees were searched")
    if "overload" in found:
        lines += ["", *beyond(found["overload"]), ""]
    rows: Sequence[Mapping[str, Any]] = found.get("points", ())
    if rows:
        lines += ["", "largest number of clients, predicted and measured:"]
        lines += [*table(HEAD, [cells(row) for row in rows]), ""]
        lines += summed(found["summary"])
    lines += [f"  FAILED {failure}" for failure in found["failures"]]
    return lines


def coefficients(calibration: Mapping[str, Any]) -> list[str]:
    """What each thing costs, with its interval, and how well the light loads are told again."""
    lines = []
    for name, one in calibration["coefficients"].items():
        low, high = (number(one[end] * 1e6) for end in ("low", "high"))
        unit = UNITS.get(name, "")
        lines.append(f"  {name:<3}{number(one['value'] * 1e6):>9} us  ({low} to {high})  {unit}".rstrip())
    far = [load["load"] for load in calibration["loads"] if load["far"]]
    lines.append(
        f"  {len(calibration['loads'])} light loads, half of them within"
        f" {share(calibration['residual'])} of the model"
        + (f"; left out as disturbed: {'; '.join(far)}" if far else "")
    )
    return lines


def beyond(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Twice the load: a line for each phase of each case, then whether it held."""
    head = ("case", "load", "offered", "achieved", "refused", "lost", "p50 ms", "p99 ms", "T ms", "CPU")
    rows, words = [], []
    for case in cases:
        for name, seen in case["phases"].items():
            if seen is None:
                continue
            counts = [f"{seen[key]:,.0f}" for key in ("offered", "achieved", "refused", "lost")]
            times = [decimal(seen.get(key)) for key in ("p50_ms", "p99_ms", "iteration_ms")]
            rows.append([case["case"], name, *counts, *times, share(seen["cpu"])])
        if case["ratio"] is not None:
            held = "kept" if case["kept"] else "NOT kept"
            words.append(
                f"  {case['case']}: with admission p99 is {case['ratio']:.2f} times that at 0.9 N,"
                f" {case['lost']:,} lost: {held}"
            )
    return [*table(head, rows, left=2), "", *words]


def cells(row: Mapping[str, Any]) -> list[str]:
    predicted, measured = row["predicted"], row["measured"]
    passing, failing = row["passing"] or {}, row["failing"] or {}
    ends = [f"{measured['low']:,}", f"{measured['high']:,}" if measured["high"] else "?"]
    known = measured["clients"] is not None
    return [
        row["point"],
        whole(predicted["value"]),
        whole(predicted["low"]),
        whole(predicted["high"]),
        whole(measured["clients"]) if known else measured["end"],
        "..".join(ends),
        f"{row['error']:+.1%}" if row["error"] is not None else "",
        f"{row['utilisation']:.2f}" if row["utilisation"] is not None else "",
        number(row["requests_per_second"]["value"]) if row["requests_per_second"] else "",
        decimal(passing.get("p99_ms")),
        decimal(failing.get("p99_ms")),
        decimal(passing.get("iteration_ms")),
        share(passing["cpu"]) if passing else "",
        number(passing["deliveries_per_second"]) if passing else "",
        share(passing["busy"]) if passing else "",
    ]


def whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def summed(summary: Mapping[str, Any]) -> list[str]:
    """`x of 24 within 10 %`, and why some points have no knee."""
    points = summary["points"]
    lines = [f"  {summary['within_10']} of {points} within 10 %, {summary['within_20']} within 20 %"]
    if "within_10_beforehand" in summary:
        lines[0] += f"; as predicted before the searches, {summary['within_10_beforehand']} within 10 %"
    if summary["median_error"] is not None:
        lines[0] += f"; median error {summary['median_error']:+.1%}"
    for end, count in summary["ends"].items():
        if count and end != "bracketed":
            lines.append(f"  {count} x {end}")
    return lines
