"""The report as one HTML file: pictures are in it, nothing is loaded from anywhere, no script runs."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from fastchat.bench.report_files import File
from fastchat.bench.report_numbers import duration
from fastchat.bench.report_plain import PLAIN, tables
from fastchat.bench.report_points import Evidence
from fastchat.bench.report_sections import COMMANDS, SECTIONS, Section
from fastchat.bench.report_tables import Table

LONG = 30  # rows: a longer table is folded

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --faint: #5c5c5c; --line: #d8d8d8;
        --shade: #f4f4f4; --mark: #0b3c8c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #161616; --faint: #a6a6a6; --line: #3a3a3a; --shade: #222;
          --mark: #8ab4f8; }
  img { filter: invert(0.91) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
       color: var(--ink); font: 1rem/1.55 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 0.3rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1.3rem 0 0.4rem; }
p { max-width: 48rem; margin: 0.5rem 0; }
a { color: var(--mark); }
nav ol { padding-left: 1.3rem; }
img { display: block; width: 100%; max-width: 900px; height: auto; margin: 0.8rem 0; }
code { font: 0.9em ui-monospace, "DejaVu Sans Mono", monospace; background: var(--shade);
       padding: 0.1em 0.3em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; }
th { vertical-align: bottom; }
td { white-space: nowrap; }
.word { text-align: left; white-space: normal; min-width: 6.5em; }
.from { color: var(--faint); font-size: 0.86rem; }
.missing { border-left: 4px solid var(--mark); padding: 0.4rem 0.8rem; background: var(--shade); }
summary { cursor: pointer; font-weight: 600; margin: 1.2rem 0 0.4rem; }
@media print {
  :root { --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --shade: #f2f2f2; --mark: #000; }
  body { max-width: none; font-size: 10pt; }
  img { filter: none; max-width: 17cm; }
  h2 { break-after: avoid; } img, tr { break-inside: avoid; } .wide { overflow: visible; }
  table { font-size: 7.5pt; } th, td { padding: 0.15rem 0.35rem; white-space: normal; }
  details::details-content { content-visibility: visible; display: block; }
}
"""


def page(files: Mapping[str, File], found: Evidence, pictures: Mapping[str, bytes]) -> str:
    """The whole page; `pictures` are PNG files by their section's name."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>fastchat: what was measured</title>",
        f"<style>{STYLE}</style>",
        "<h1>fastchat: what was measured</h1>",
        paragraph(
            "A server is not overloaded while N >= r × C: C clients send r messages a second each, and N"
            " is the number of messages per second that it can process within the latency one accepts."
            " Everything here was measured over loopback on the machine that each section names; figures"
            " of other machines differ, ratios less."
        ),
        contents(),
        *(section(one, files, found, pictures.get(one.name)) for one in SECTIONS),
        *(plain(kind, title, files) for kind, title, _ in PLAIN),
        notices(files, found),
        "</html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph; `code` between backquotes."""
    made = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return f'<p class="{kind}">{made}</p>' if kind else f"<p>{made}</p>"


def contents() -> str:
    entries = [(one.name, one.title) for one in SECTIONS] + [(kind, title) for kind, title, _ in PLAIN]
    items = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title in entries)
    return f"<nav><ol>{items}</ol></nav>"


def section(one: Section, files: Mapping[str, File], found: Evidence, picture: bytes | None) -> str:
    """One plot with what it shows, its tables, and what they come from; or how to get them."""
    head = [f'<h2 id="{one.name}">{escape(one.title)}</h2>', paragraph(one.about)]
    file = files.get(one.kind)
    if file is None:
        return "\n".join([*head, paragraph(f"Not measured yet: `{COMMANDS[one.kind]}` does.", "missing")])
    if picture is None:
        text = f"{file.name} has nothing to draw here yet: `{COMMANDS[one.kind]}` measures all of it."
        return "\n".join(
            [*head, paragraph(text, "missing"), *map(table, one.tables(found)), provenance(file)]
        )
    data = b64encode(picture).decode("ascii")
    words = f"{one.title}: the numbers are in the tables"
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(words)}">'
    return "\n".join([*head, image, *map(table, one.tables(found)), provenance(file)])


def provenance(file: File) -> str:
    seconds = float(file.content.get("seconds") or 0.0)
    quick = " A quick run: a first impression only." if file.quick else ""
    text = f"{file.name}: `{file.command}`, {file.provenance}, in {duration(seconds)}.{quick}"
    return paragraph(text, "from")


def table(one: Table) -> str:
    """A table; a long one is folded."""
    rows = [cells("th", one.head, one.words), *(cells("td", row, one.words) for row in one.rows)]
    made = f'<div class="wide"><table>{"".join(rows)}</table></div>'
    if len(one.rows) > LONG:
        return f"<details><summary>{escape(one.title)}</summary>{made}</details>"
    return f"<h3>{escape(one.title)}</h3>{made}"


def cells(tag: str, row: Sequence[str], words: int) -> str:
    kinds = ((' class="word"' if place < words else "", text) for place, text in enumerate(row))
    return f"<tr>{''.join(f'<{tag}{kind}>{escape(text)}</{tag}>' for kind, text in kinds)}</tr>"


def plain(kind: str, title: str, files: Mapping[str, File]) -> str:
    """A result that has tables only."""
    head = f'<h2 id="{kind}">{escape(title)}</h2>'
    file = files.get(kind)
    if file is None:
        return head + paragraph(f"Not measured yet: `{COMMANDS[kind]}` does.", "missing")
    return "\n".join([head, *map(table, tables(kind, file.content)), provenance(file)])


def notices(files: Mapping[str, File], found: Evidence) -> str:
    """What was left out or went wrong, so that nobody has to guess."""
    lines = [*found.notices, *failures(files.values())]
    if not lines:
        return ""
    return f"<h2>Left out</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def failures(files: Iterable[File]) -> list[str]:
    """Samples that could not be taken, and servers that were not there, as the files say it."""
    found: list[str] = []
    for file in files:
        skipped = file.content.get("skipped")
        if isinstance(skipped, Mapping):
            found += [f"{file.name}: {name} was skipped: {reason}" for name, reason in skipped.items()]
        samples = file.content.get("samples")
        for sample in samples if isinstance(samples, list) else []:
            if isinstance(sample, Mapping) and sample.get("failed"):
                found.append(f"{file.name}: {sample.get('server')}: {sample['failed']}")
        servers = file.content.get("servers")
        for name, part in servers.items() if isinstance(servers, Mapping) else ():
            if isinstance(part, Mapping):
                found += [f"{file.name}: {name}: {text}" for text in part.get("failures", ())]
    return found
