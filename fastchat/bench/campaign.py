"""`bench capacity` for one server: calibrate, predict, find the knees, sweep some curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastchat.bench.calibration import Calibration, Light, Measured, drift, fit, lights, residual, sample_of
from fastchat.bench.failure import BenchError
from fastchat.bench.findings import Figures, disturbed, modelled, place, row, summary
from fastchat.bench.grid import Point, within_reach
from fastchat.bench.knee import Knee, Search, Verdict
from fastchat.bench.load import wrong
from fastchat.bench.logbook import Judge, Logbook, Opener
from fastchat.bench.pace import START_SECONDS, Pace
from fastchat.bench.rig import Load, Rig, Sample, judged
from fastchat.capacity import Estimate, Model


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
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _measured: list[Measured] = field(default_factory=list)
    _late: list[tuple[Light, float]] = field(default_factory=list)

    def run(self) -> None:
        """Do it all. What fails costs its own part only; Ctrl-C keeps what is there."""
        calibration = self.calibrate()
        if calibration is None:
            return
        model = calibration.model
        self.log.guarded("the grid", partial(self._grid, model))
        for point in self.curves:
            self.log.guarded(f"curve of {point.name}", partial(self._curve, point, model))
        if self.pace.again:
            self.log.guarded("calibration at the end", partial(self._again, model))

    def calibrate(self) -> Calibration | None:
        """Fit the model on light loads; None where that fails, which is said."""
        found: list[Calibration] = []

        def act() -> None:
            for number in range(self.pace.rounds):
                self._measured += self._lights(number + 1)
            found.append(fit(self._measured, self.coalescing, self._late))
            self.log.keep(calibration=found[0].to_json())

        return found[0] if self.log.guarded("calibration", act) else None

    def _lights(self, number: int) -> list[Measured]:
        """One round of the calibration, on a server of its own."""
        measured: list[Measured] = []
        with self.opened() as rig:
            for light in lights(self.coalescing, self.pace.few_lights):
                load = light.load(self.pace.light_seconds, self.pace.light_warmup)
                label = f"calibration {number}: {light.name}"
                about = {"kind": "calibration", "light": light.name}
                sample, seen = self._put(rig, label, load, None, about)
                if self.coalescing and not sample["counters"]:
                    raise BenchError(f"{label}: no readings of /capacity in the window; make it longer")
                measured.append((light, sample_of(sample)))
                if not (seen["saturated"] or disturbed(seen) or wrong(sample)):
                    self._late.append((light, seen["p99_ms"] / 1000))
        return measured

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

    def _again(self, model: Model) -> None:
        """Say how much dearer or cheaper the machine has become since the calibration."""
        measured = self._lights(self.pace.rounds + 1)
        loads = {light.name: residual(one, model) for light, one in measured}
        self.log.keep(drift={"median": drift(measured, model), "loads": loads})

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

    def _row(
        self, point: Point, model: Model, knee: Knee, trials: Sequence[tuple[Verdict, Figures]]
    ) -> dict[str, Any]:
        clients = place(knee)
        shape = point.shape(clients) if clients else ()
        capacity = model.requests_per_second(shape, point.payload, self.limit) if shape else None
        return row(point, self._predictions[point], capacity, knee, trials)

    def _knee(self, point: Point, model: Model) -> None:
        """Search one knee. The row is kept even when the search ends early."""
        pace, log = self.pace, self.log
        predicted = self._predicted(model, point)
        trials: list[tuple[Verdict, Figures]] = []
        left = pace.search(predicted) - START_SECONDS  # of the time planned for this point
        log.talk.add(pace.search(predicted) - pace.search())

        def attempt(clients: int) -> Verdict:
            nonlocal left
            shape, rate = point.shape(clients), point.rate * clients
            load = Load(shape, rate, point.payload, pace.seconds, pace.warmup)
            log.talk.add(max(0.0, load.duration - left))
            left = max(0.0, left - load.duration)
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
                self._rows.append(self._row(point, model, knee, trials))
                log.keep(points=self._rows, summary=summary(self._rows))
        log.talk.add(-left)
        log.talk.say(f"{log.name} {said(self._rows[-1])}")

    def _curve(self, point: Point, model: Model) -> None:
        """Loads from a fifth of N to beyond it, on the rooms of the predicted knee."""
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


