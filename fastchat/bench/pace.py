"""How thoroughly `bench capacity` measures: the durations of its parts, and what they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from fastchat.bench.grid import MOST_CLIENTS, Point
from fastchat.bench.knee import Course
from fastchat.bench.light import lights
from fastchat.bench.rig import AROUND, CONNECT

START_SECONDS = 1.0  # a server process from start to end
USUAL_CLIENTS = 1500  # for the time that is left, while nothing is predicted yet
FRACTIONS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1)  # of N, for a curve
QUICK_FRACTIONS = (0.4, 0.8, 1.1)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds and rounds of everything."""

    rounds: int  # of the calibration
    light_seconds: float
    light_warmup: float
    seconds: float  # of a trial
    warmup: float
    resolution: float  # of a knee's bracket
    start: float  # of the prediction: where a search begins
    trials: int  # of one search at most
    fractions: tuple[float, ...]  # of a curve
    few_lights: bool  # whether half of the calibration loads must do
    patience: int  # how often a sample is taken again that others disturbed
    between: int  # trials from one light load to the next while a knee is searched; 0: none

    def course(self, predicted: float, most: int = MOST_CLIENTS) -> Course:
        """The search for a knee; it begins far below the prediction, and does not depend on it closely."""
        start = max(2, min(most, round(self.start * predicted)))
        return Course(start, most=most, resolution=self.resolution, trials=self.trials)

    def light(self) -> float:
        """Seconds that one calibration load takes."""
        return AROUND + CONNECT * USUAL_CLIENTS / 2 + self.light_warmup + self.light_seconds

    def trial(self, clients: float = USUAL_CLIENTS) -> float:
        """Seconds that one trial takes."""
        return AROUND + CONNECT * clients + self.warmup + self.seconds

    def search(self, clients: float = USUAL_CLIENTS) -> float:
        """Seconds that the search at one point usually takes."""
        trials = min(self.trials, self.course(clients).typical(1 / self.start))
        return START_SECONDS + trials * self.trial(clients) + self.lights(trials) * self.light()

    def lights(self, trials: float) -> int:
        """Light loads among so many trials."""
        return ceil(trials / self.between) if self.between else 0

    def curve(self, clients: float = USUAL_CLIENTS) -> float:
        return START_SECONDS + len(self.fractions) * self.trial(clients)

    def total(self, coalescing: bool, points: Sequence[Point], curves: Sequence[Point]) -> float:
        """Seconds that one server usually takes."""
        once = START_SECONDS + len(lights(coalescing, self.few_lights)) * self.light()
        return self.rounds * once + len(points) * self.search() + len(curves) * self.curve()


FULL = Pace(
    rounds=2, light_seconds=1.3, light_warmup=0.3, seconds=1.8, warmup=0.4, resolution=0.05, start=0.5,
    trials=30, fractions=FRACTIONS, few_lights=False, patience=3, between=1,
)  # fmt: skip
QUICK = Pace(
    rounds=1, light_seconds=1.1, light_warmup=0.2, seconds=1.2, warmup=0.4, resolution=0.12, start=0.6,
    trials=9, fractions=QUICK_FRACTIONS, few_lights=True, patience=0, between=0,
)  # fmt: skip
