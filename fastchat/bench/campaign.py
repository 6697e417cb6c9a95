"""`bench capacity` for one server: calibrate, predict, find the knees, sweep some curves.

A machine that others share is a tenth faster or slower a minute later. So light loads go on while the knees
are searched, between the trials and on the same server. The model is fitted on all of them, and what those
around a knee cost more than usual is in its prediction; the knee's own trials never are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

from fastchat.bench.calibration import Calibration, Measured, fit, sample_of, tells
from fastchat.bench.drift import drifts, evened
from fastchat.bench.failure import BenchError
from fastchat.bench.findings import Figures, disturbed, modelled, place, row, summary
from fastchat.bench.grid import Point, within_reach
from fastchat.bench.knee import Knee, Search, Verdict
from fastchat.bench.light import Light, lights
from fastchat.bench.load import wrong
from fastchat.bench.logbook import Judge, Logbook, Opener
from fastchat.bench.pace import START_SECONDS, Pace
from fastchat.bench.rig import Load, Rig, Sample, judged
from fastchat.capacity import Estimate, Model

EVENED = 3  # fits without the drift that the one before tells


@dataclass(frozen=True, slots=True)
class Searched:
    """What the search for one knee found, and which of the light loads were measured meanwhile."""

    point: Point
    knee: Knee
    trials: Sequence[tuple[Verdict, Figures]]
    lights: slice


@dataclass(slots=True)
class Campaign:
    """One server through calibration, grid and curves."""

    log: Logbook
    opened: Opener
    coalescing: bool  # whether several frames may share a send: which model applies
    pace: Pace
    limit: float  # seconds, for p99
    points: Sequence[Point]
    curves: Sequence[Point] = ()
    _predictions: dict[Point, Estimate] = field(default_factory=dict)
    _searched: list[Searched] = field(default_factory=list)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _measured: list[Measured] = field(default_factory=list)
    _late: list[tuple[Light, float]] = field(default_factory=list)
    _turn: Iterator[Light] = field(default_factory=lambda: iter(()))

    def run(self) -> None:
        """Do it all. What fails costs its own part only; Ctrl-C keeps what is there."""
        calibration = self.calibrate()
        if calibration is None:
            return
        self.log.guarded("the grid", partial(self._grid, calibration.model))
        if self.pace.between and self._searched:
            calibration = self._again(calibration.model) or calibration
        for point in self.curves:
            self.log.guarded(f"curve of {point.name}", partial(self._curve, point, calibration.model))

    def calibrate(self) -> Calibration | None:
        """Fit the model on light loads; None where that fails, which is said."""
        chosen = lights(self.coalescing, self.pace.few_lights)
        self._turn = cycle(chosen)

        def act() -> None:
            for number in range(self.pace.rounds):
                with self.opened() as rig:
                    for light in chosen:
                        self._light(rig, light, f"calibration {number + 1}")

        found: list[Calibration] = []

        def fitted() -> None:
            act()
            found.append(fit(self._measured, self.coalescing, self._late))
            self.log.keep(calibration=found[0].to_json())

        return found[0] if self.log.guarded("calibration", fitted) else None

    def _again(self, model: Model) -> Calibration | None:
        """The model from all light loads, without the drift of their times, and what it predicts."""
        times, found = self._times, []
        self.log.talk.say(f"{self.log.name}: fitting on {sum(map(len, times))} samples of light loads")

        def act() -> None:
            known = model
            for _ in range(EVENED):
                found.append(fit(evened(times, drifts(times, known)), self.coalescing, self._late))
                known = found[-1].model
            moved = self._drifts(known)
            self._rows = [self._row(*one, known) for one in zip(self._searched, moved, strict=True)]
            drift = {"low": min(moved), "high": max(moved)}
            self.log.keep(
                calibration=found[-1].to_json(), points=self._rows, summary=summary(self._rows), drift=drift
            )

        return found[-1] if self.log.guarded("the fit on all light loads", act) else None

    def _between(self, rig: Rig, what: str) -> None:
        """One of the light loads between trials; the search goes on without it where it fails."""
        try:
            self._light(rig, next(self._turn), what)
        except BenchError as error:
            self.log.talk.say(f"{self.log.name} {error}: left out")

    def _light(self, rig: Rig, light: Light, what: str) -> None:
        """One light load, for the calibration."""
        load = light.load(self.pace.light_seconds, self.pace.light_warmup)
        label = f"{what}: {light.name}"
        sample, seen = self._put(rig, label, load, None, {"kind": "calibration", "light": light.name})
        if self.coalescing and not sample["counters"]:
            raise BenchError(f"{label}: no readings of /capacity in the window; make it longer")
        one = sample_of(sample)
        if not tells(one):
            self.log.talk.say(f"{self.log.name} {label}: nothing relayed, or others had the core; left out")
            return
        self._measured.append((light, one))
        if not (seen["saturated"] or disturbed(seen) or wrong(sample)):
            self._late.append((light, seen["p99_ms"] / 1000))

    def _put(
        self, rig: Rig, label: str, load: Load, judge: Judge | None, about: Mapping[str, Any]
    ) -> tuple[Sample, Figures]:
        """One load; again while others disturb it, unless it passes all the same."""
        for _ in range(self.pace.patience):
            sample, seen = self.log.put(rig, label, load, judge, **about)
            if not disturbed(seen) or (judge is not None and judge(sample) is Verdict.PASSED):
                return sample, seen
            self.log.talk.add(load.duration)
            self.log.talk.say(f"{self.log.name} {label}: others used {seen['foreign']:.2f} cores; again")
        return self.log.put(rig, label, load, judge, **about)

    def _grid(self, model: Model) -> None:
        chosen = within_reach(self.points, partial(self._predicted, model))
        instead = {point.name: one.name for point, one in chosen.items() if one != point}
        for asked, taken in instead.items():
            self.log.talk.say(f"{self.log.name}: {asked} needs too many connections, {taken} stands for it")
        self.log.keep(replaced=instead)
        for point in chosen.values():
            self.log.guarded(point.name, partial(self._knee, point, model))

    def _predicted(self, model: Model, point: Point) -> float:
        """The largest number of clients by the model, which takes a moment to say."""
        if point not in self._predictions:
            found = model.max_clients(point.rate, point.shape, point.payload, self.limit)
            self._predictions[point] = found
        return self._predictions[point].value

    @property
    def _times(self) -> list[Sequence[Measured]]:
        """The light loads before all searches, and during each."""
        before = self._measured[: self._searched[0].lights.start]
        return [before, *(self._measured[one.lights] for one in self._searched)]

    def _drifts(self, model: Model) -> list[float]:
        """How much dearer everything was while each knee was searched."""
        return drifts(self._times, model)[1:]

    def _row(self, found: Searched, drift: float, model: Model) -> dict[str, Any]:
        """What the model says of a knee, with the prices of that time."""
        point, now = found.point, model.dearer(drift)
        clients = place(found.knee)
        shape = point.shape(clients) if clients else ()
        predicted = now.max_clients(point.rate, point.shape, point.payload, self.limit)
        capacity = now.requests_per_second(shape, point.payload, self.limit) if shape else None
        before = self._predictions[point].value
        return row(point, predicted, capacity, found.knee, found.trials, drift, before)

    def _knee(self, point: Point, model: Model) -> None:
        """Search one knee. The row is kept even when the search ends early."""
        pace, log = self.pace, self.log
        predicted = self._predicted(model, point)
        trials: list[tuple[Verdict, Figures]] = []
        first = len(self._measured)
        left = pace.search(predicted) - START_SECONDS  # of the time planned for this point
        log.talk.add(pace.search(predicted) - pace.search())

        def spend(seconds: float) -> None:
            nonlocal left
            log.talk.add(max(0.0, seconds - left))
            left = max(0.0, left - seconds)

        def attempt(clients: int) -> Verdict:
            if pace.between and len(trials) % pace.between == 0:
                spend(pace.light())
                self._between(rig, f"{point.name}, between")
            shape, rate = point.shape(clients), point.rate * clients
            load = Load(shape, rate, point.payload, pace.seconds, pace.warmup)
            spend(load.duration)
            label = f"{point.name} {clients:,} clients"
            judge = partial(judged, limit=self.limit)
            sample, seen = self._put(rig, label, load, judge, {"kind": "trial", "point": point.name})
            trials.append((judge(sample), seen))
            return trials[-1][0]

        search = Search(attempt, pace.course(predicted))
        knee = search.knee()
        try:
            with self.opened() as rig:
                knee = search.run()
        finally:
            knee = knee if knee.low or knee.high else search.knee()
            if trials:
                self._searched.append(Searched(point, knee, trials, slice(first, len(self._measured))))
                self._rows.append(self._row(self._searched[-1], self._drifts(model)[-1], model))
                log.keep(points=self._rows, summary=summary(self._rows))
        log.talk.add(-left)
        log.talk.say(f"{log.name} {said(self._rows[-1])}")

    def _curve(self, point: Point, model: Model) -> None:
        """Loads from a fifth of N to beyond it, on the rooms of the predicted knee, at the last prices."""
        model = model.dearer(self._rows[-1]["drift"]) if self._rows else model
        shape = point.shape(round(self._predicted(model, point)))
        capacity = model.requests_per_second(shape, point.payload, self.limit).value
        with self.opened() as rig:
            for fraction in self.pace.fractions:
                rate = fraction * capacity
                load = Load(shape, rate, point.payload, self.pace.seconds, self.pace.warmup)
                self.log.put(
                    rig, f"curve of {point.name} at {fraction:g} N", load,
                    kind="curve", point=point.name, fraction=fraction, rate=rate,
                    model=modelled(model, rate, shape, point.payload, self.limit),
                )  # fmt: skip


def said(found: Mapping[str, Any]) -> str:
    """A row in one line."""
    measured, error = found["measured"], found["error"]
    there = f"{measured['low']:,} to {measured['high']:,}" if measured["high"] else f"{measured['low']:,}"
    off = f", {error:+.1%}" if error is not None else f" ({measured['end']})"
    return f"{found['point']}: predicted {found['predicted']['value']:,.0f}, measured {there}{off}"
