"""Numbers and tables as the laboratory prints them."""

from __future__ import annotations

from collections.abc import Sequence

from fastchat.bench.report_numbers import three


def milliseconds(seconds: float) -> str:
    return f"{three(seconds * 1e3)} ms"


def share(value: float) -> str:
    return f"{value:.0%}" if value >= 0.1 or value == 0 else f"{value:.1%}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Aligned lines; the first `left` columns to the left, the others, being numbers, to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return ("  " + "  ".join(cells)).rstrip()

    return [line(row) for row in (head, *rows)]
