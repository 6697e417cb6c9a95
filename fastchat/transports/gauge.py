"""Reads what the server has counted: at every beat for the load model, and when somebody asks `/capacity`.

Here the parts that count meet the clocks; what follows from the numbers is in `capacity_live`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastchat.capacity_live import Live
from fastchat.capacity_report import limits, report
from fastchat.hub import Hub
from fastchat.meter import MICRO, Meter, Recent, Totals
from fastchat.transports.flusher import Flusher
from fastchat.transports.wiring import Wiring

SPAN = 5.0  # seconds: percentiles are of the last five to ten
MOMENT = 0.15  # seconds, the same for what the gates look at

LOG = logging.getLogger(__name__)


class Gauge:
    """The instruments of one server. `cpu` reads the CPU seconds of the thread that calls it."""

    def __init__(
        self, wiring: Wiring, hub: Hub, meter: Meter, flusher: Flusher, cpu: Callable[[], float]
    ) -> None:
        config = wiring.config
        self._wiring = wiring
        self._hub = hub
        self._meter = meter
        self._flusher = flusher
        self._cpu = cpu
        self._idle = cpu()  # CPU seconds before the server began
        self._lengths = Recent(meter.lengths, SPAN)
        self._moment = Recent(meter.lengths, MOMENT)
        self._sends = Recent(meter.flush_sends, SPAN)
        self._frames = Recent(meter.flush_frames, SPAN)
        self.live = Live(config)

    def totals(self, now: float) -> Totals:
        """Read all counters."""
        hub = self._hub
        admission = hub.admission
        return self._meter.totals(
            now,
            self._cpu() - self._idle,
            hub.broadcaster.stats(),
            admission.publishes,
            admission.refused_publishes,
            self._wiring.sessions,
            hub.opened,
        )

    def beat(self, now: float) -> None:
        """Let the model learn, and the gates open or close; called ten times a second."""
        for recent in (self._lengths, self._sends, self._frames, self._moment):
            recent.turn(now)
        median = self._moment.percentile(0.5) / MICRO
        try:
            outlook = self.live.beat(self.totals(now), median, self._flusher.age(now))
        except ArithmeticError:  # whatever numbers brought us there, the server goes on, gates open
            LOG.exception("the load model starts anew")
            self.live = Live(self._wiring.config)
            outlook = self.live.outlook
        self._hub.admission.judge(outlook, self._hub.now)

    def capacity(self, now: float) -> dict[str, object]:
        """Tell what `/capacity` says (docs/CONFIGURATION.md, "Headroom")."""
        totals = self.totals(now)
        wiring, admission, lengths = self._wiring, self._hub.admission, self._lengths
        told: dict[str, object] = report(self.live)
        told["iteration_ms"] = {
            "p50": lengths.percentile(0.5) / 1000,
            "p99": lengths.percentile(0.99) / 1000,
            "mean": self.live.mean * 1000,
        }
        told["flush"] = {
            "sends": self.live.sends,
            "frames_per_send": self.live.frames,
            "sends_p99": self._sends.percentile(0.99),
            "frames_per_send_p99": self._frames.percentile(0.99),
        }
        told["limits"], told["reason"] = limits(
            self.live, wiring.caps.most - wiring.caps.total, wiring.broadcaster.total, wiring.config
        )
        told["admission"] = {
            "on": admission.on,
            "connections": "closed" if admission.full else "open",
            "publishes": "closed" if admission.closed else "open",
            "connections_refused": admission.refused_connections,
            "publishes_refused": admission.refused_publishes,
        }
        told["counters"] = {
            "seconds": now,
            "cpu_seconds": totals.cpu,
            "rounds": totals.rounds,
            "round_seconds": totals.round_seconds,
            "flush_seconds": totals.flush_seconds,
            "publishes": totals.publishes,
            "messages": totals.messages,
            "sends": totals.sends,
            "deliveries": totals.deliveries,
            "bytes": totals.bytes,
            "sessions": totals.sessions,
            "sessions_opened": totals.opened,
            "refused_connections": admission.refused_connections + wiring.caps.refused,
            "refused_publishes": totals.refused,
        }
        return told
