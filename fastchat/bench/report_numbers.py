"""Numbers as people read them: three digits that mean something, with their unit."""

from __future__ import annotations

KIB = 1024
LETTERS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))
ROUNDED = 0.9995  # from there on three digits round up to the next power of ten


def three(value: float) -> str:
    """Three digits, never in scientific notation: 0.0123, 4.56, 789, 12345."""
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e+" in text else text


def number(value: float) -> str:
    """9.87 M, 12.3 k, 4.56, 0.0123."""
    for size, letter in LETTERS:
        if abs(value) >= size * ROUNDED:
            return f"{three(value / size)}{letter}"
    return three(value)


def count(value: float) -> str:
    """1,234"""
    return f"{value:,.0f}"


def milliseconds(seconds: float) -> str:
    """12.3 ms; 1.23 s from a second on."""
    return f"{three(seconds)} s" if seconds >= ROUNDED else f"{three(seconds * 1e3)} ms"


def share(value: float) -> str:
    """12 %; 1.2 % below ten."""
    return f"{value * 100:.0f} %" if abs(value) >= 0.0995 or value == 0 else f"{value * 100:.1f} %"


def deviation(value: float) -> str:
    """+4.5 %, with its sign."""
    return f"{value * 100:+.1f} %"


def kibibytes(size: float) -> str:
    """Bytes as 2.81 KiB."""
    return f"{three(size / KIB)} KiB"


def between(low: float, high: float) -> str:
    """12.3 k to 14.5 k; one number where both read alike."""
    first, last = number(low), number(high)
    return first if first == last else f"{first} to {last}"


def duration(seconds: float) -> str:
    """12 s, 3 minutes, 2.5 hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
