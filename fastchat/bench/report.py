"""`bench report`: pictures and a page out of result files. Needs matplotlib (extra: bench)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from fastchat.bench import report_curves, report_limits, report_servers
from fastchat.bench.failure import BenchError
from fastchat.bench.report_files import load
from fastchat.bench.report_page import page
from fastchat.bench.report_points import Evidence
from fastchat.bench.report_reading import evidence
from fastchat.bench.report_sections import COMMANDS, SECTIONS
from fastchat.bench.report_style import png, styled

PAGE = "index.html"
PLOTS: Mapping[str, Callable[[Evidence], Figure | None]] = {
    "throughput": lambda found: report_curves.throughput(found.curves),
    "latency": lambda found: report_curves.latency(found.curves),
    "utilisation": lambda found: report_curves.utilisation(found.curves),
    "knees": lambda found: report_limits.knees(found.knees),
    "fan-out": lambda found: report_servers.fan_out(found.cells),
    "memory": lambda found: report_servers.memory(found.holdings),
    "overload": lambda found: report_limits.overload(found.overloads),
}


class Report(NamedTuple):
    """What was written, and what is not in it."""

    written: tuple[Path, ...]  # the page first
    missing: tuple[str, ...]  # in words, with the command that measures it
    notices: tuple[str, ...]  # entries of the files that were left out


def report(source: Path, out: Path) -> Report:
    """Draw what the results in `source` hold into `out`. Raises BenchError for a file that is no result."""
    files = load(source)
    found = evidence(files)
    pictures = draw(found)
    try:
        out.mkdir(parents=True, exist_ok=True)
        paths = [out / PAGE]
        paths[0].write_text(page(files, found, pictures), encoding="utf-8")
        for section in SECTIONS:
            path = out / f"{section.name}.png"
            if section.name in pictures:
                path.write_bytes(pictures[section.name])
                paths.append(path)
            else:
                path.unlink(missing_ok=True)  # of an earlier report: it would belong to nothing
    except OSError as error:
        raise BenchError(f"{out}: {error.strerror or error}") from error
    missing = tuple(
        f"{section.name}: not measured yet, {COMMANDS[section.kind]} does"
        for section in SECTIONS
        if section.name not in pictures
    )
    return Report(tuple(paths), missing, found.notices)


def draw(found: Evidence) -> dict[str, bytes]:
    """The PNG files by their section's name; none for a section without data."""
    pictures = {}
    with styled():
        for name, plot in PLOTS.items():
            made = plot(found)
            if made is not None:
                pictures[name] = png(made)
    return pictures
