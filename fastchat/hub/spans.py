"""How long something lasts, in words that people read.

Invariant: what is said is off by a fiftieth at most, or by a second.
"""

from __future__ import annotations

UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"))  # seconds
OFF = 50  # the part of a span by which what is said may be wrong: nobody waits with a watch


def span(ms: int) -> str:
    """Say a span in its largest unit that is near enough; what is begun of a second counts as one."""
    seconds = max(-(-ms // 1000), 1)
    for size, unit in UNITS:
        count = (seconds + size // 2) // size
        if count and abs(count * size - seconds) <= max(seconds // OFF, 1):
            return _counted(count, unit)
    return _counted(seconds, "second")


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
