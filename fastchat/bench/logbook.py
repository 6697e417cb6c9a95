"""What is written down about one server while it is measured.

Invariant: every sample is in the result before the next one is taken, and what follows from the samples is
brought up to date whenever a part ends, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from fastchat.bench.failure import BenchError
from fastchat.bench.findings import Figures, figures
from fastchat.bench.knee import Verdict
from fastchat.bench.load import trimmed
from fastchat.bench.results import Record
from fastchat.bench.rig import Load, Rig, Sample
from fastchat.capacity import CapacityError

Opener: TypeAlias = Callable[[], AbstractContextManager[Rig]]  # starts a server; ends it with the block
Judge: TypeAlias = Callable[[Sample], Verdict]


class Talk(Protocol):
    """How far it is, for whoever waits (`cli.bench.progress.Progress`)."""

    def begin(self, label: str, seconds: float) -> None: ...
    def live(self, text: str) -> None: ...
    def end(self, text: str) -> None: ...
    def add(self, seconds: float) -> None: ...
    def say(self, text: str) -> None: ...


@dataclass(slots=True)
class Logbook:
    """One server's part of a result."""

    name: str
    record: Record
    talk: Talk
    seed: int = 0
    failures: list[str] = field(default_factory=list)
    _found: dict[str, Any] = field(default_factory=dict)

    def keep(self, **parts: Any) -> None:
        """Bring what follows from the samples up to date."""
        self._found.update(parts, failures=self.failures)
        servers: dict[str, Any] = self.record.document.setdefault("servers", {})
        servers[self.name] = self._found
        self.record.save()

    def guarded(self, what: str, act: Callable[[], None]) -> bool:
        """Do it; what fails is said, costs its own part only, and gives False."""
        try:
            act()
        except (BenchError, CapacityError) as error:
            self.failures.append(f"{what}: {error}")
            self.talk.say(f"{self.name}: {what} FAILED: {error}")
            self.keep()
            return False
        return True

    def put(
        self,
        rig: Rig,
        label: str,
        load: Load,
        judge: Judge | None = None,
        more: Callable[[Sample], Figures] | None = None,
        **about: Any,
    ) -> tuple[Sample, Figures]:
        """One load, kept with what it was for, the verdict of a judge, and more figures than the usual."""
        self.seed += 1
        self.talk.begin(f"{self.name} {label}", load.duration)
        sample = rig.put(load._replace(seed=self.seed), lambda event: self.talk.live(going(event)))
        seen = figures(sample) | (more(sample) if more else {})
        verdict = judge(sample).value if judge else ""
        self.record.add({"server": self.name, "verdict": verdict, **about, **seen, "raw": trimmed(sample)})
        self.talk.end(f"p99 {seen['p99_ms']:.2f} ms, {seen['achieved']:,.0f}/s {verdict}".rstrip())
        return sample, seen


def going(event: Mapping[str, Any]) -> str:
    """What the generator says of itself, in words."""
    if "p99_ms" in event:
        return f"p99 {event['p99_ms']:.3g} ms so far"
    return f"{event['ready']:,} connected" if "ready" in event else ""
