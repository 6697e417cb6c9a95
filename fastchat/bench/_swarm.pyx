# cython: language_level=3, cdivision=True
"""The load generator's swarm: tens of thousands of clients in one thread, without the GIL.

Every byte of every frame that a client receives is accounted for. The first copy of a message is parsed and
compared with what was published; every other member's copy must equal it byte for byte and come at the next
offset. Copies are kept only while somebody misses them.

Messages have numbers, counted over all rooms; `messages` is a ring of them from the oldest that is under way
to the newest, and grows on demand up to SPAN_LIMIT. Each room has a small ring that leads from an offset to
a number. A message is under way until it is with every member that reads and answered, or refused.

Invariants: nothing waits without a deadline (`serve` has one, and returns early where nothing more can
come); a fault is counted once where it happens, and the first is told in words; memory is bounded by what is
under way. The parts, in order of reading: records, wire, histogram, sockets, frames, checks, pushes,
clients, loads, this file.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINPROGRESS, EINTR, errno
from libc.math cimport log
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset, strerror, strlen

from fastchat.bench.failure import BenchError

__all__ = ["Histogram", "Swarm", "die_with_parent"]

include "_swarm_system.pxi"
include "_swarm_histogram.pxi"
include "_swarm_records.pxi"

cdef uint64_t NEVER = <uint64_t>0xffffffffffffffff

include "_swarm_wire.pxi"
include "_swarm_sockets.pxi"
include "_swarm_frames.pxi"
include "_swarm_checks.pxi"
include "_swarm_pushes.pxi"
include "_swarm_clients.pxi"
include "_swarm_loads.pxi"
include "_swarm_setup.pxi"
include "_swarm_report.pxi"

PROGRESS = 0.5  # seconds between two looks at the signals, and two reports
BROKEN_DRAIN = 1.0  # seconds of waiting for the rest after a connection broke or the load was given up


def die_with_parent():
    """Let the kernel end this process with its parent, and wake it to the nanosecond (prctl(2))."""
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    prctl(PR_SET_TIMERSLACK, 1)


@cython.final
cdef class Swarm:
    """The clients of one plan: connect, perhaps rest, run once, report."""

    cdef swarm_t *s
    cdef object plan
    cdef list kept  # the bytes that C refers to
    cdef double connect_seconds

    def __cinit__(self, plan, script=None):
        """Make the clients of a checked plan; `script` of another dialect than fastchat's own."""
        self.kept = []
        self.plan = plan
        self.s = <swarm_t *>calloc(1, sizeof(swarm_t))
        if self.s == NULL:
            raise MemoryError
        set_up(self.s, plan)
        if script is not None:
            follow(self.s, script, self.kept)
        make_room(self.s, plan)

    def __dealloc__(self):
        if self.s != NULL:
            tear_down(self.s)

    cdef bint _serve(self, double seconds, int goal, report) except -1:
        """Serve until the goal is reached or the seconds are over; signals are looked at meanwhile."""
        cdef uint64_t now = nanoseconds(CLOCK_MONOTONIC), end, slice_end
        cdef bint done = False
        end = now + <uint64_t>(max(seconds, 0.0) * 1e9)
        while now < end and not done:
            slice_end = min(end, now + <uint64_t>(PROGRESS * 1e9))
            with nogil:
                done = serve(self.s, slice_end, goal)
                now = nanoseconds(CLOCK_MONOTONIC)
            if self.s.failed_hard:
                raise BenchError(self.s.failure.decode("utf-8", "replace"))
            PyErr_CheckSignals()
            if report is not None:
                report()
            if not done and hopeless(self.s, goal):
                break
        return done

    def connect(self, progress=None):
        """Bring everybody in, within the plan's timeout; return how it went. Raises BenchError."""
        cdef swarm_t *s = self.s
        cdef uint64_t before = nanoseconds(CLOCK_MONOTONIC)
        report = None
        if progress is not None:
            def report():
                progress({"event": "connecting", "ready": s.ready, "clients": s.clients})
        if not self._serve(self.plan.timeout, ALL_READY, report):
            raise BenchError(f"{s.ready:,} of {s.clients:,} clients are ready after {self.plan.timeout:g} s")
        seconds = (nanoseconds(CLOCK_MONOTONIC) - before) / 1e9
        self.connect_seconds = seconds
        if s.live == 0:
            raise BenchError(f"the server refused all {s.clients:,} clients (101)")
        return {"members": s.ready, "refused_connections": s.refused_connections, "connect_seconds": seconds}

    def rest(self, double seconds):
        """Serve who is there, without a load."""
        self._serve(seconds, NOTHING, None)

    def run(self, progress=None):
        """Load, drain, check; return the whole sample."""
        cdef swarm_t *s = self.s
        plan = self.plan
        report = None
        begun = nanoseconds(CLOCK_MONOTONIC)
        if progress is not None:
            def report():
                seconds = (nanoseconds(CLOCK_MONOTONIC) - begun) / 1e9
                progress(live(self.s, seconds))
        s.timing_from = s.timing_end = NEVER
        if s.mode == PACED:
            self._paced(report)
        elif s.mode == IDLE:
            read_clocks(s, &s.begun)
            self._serve(plan.seconds, NOTHING, report)
            read_clocks(s, &s.ended)
        else:
            self._flat_out(report)
        if s.stalls and s.mode != IDLE:
            resume(s)
            self._serve(plan.timeout, CAUGHT_UP, report)
        check_end(s, not (s.overloaded or s.behind))
        return sample(s, plan, self.connect_seconds)

    cdef int _drain(self, report) except -1:
        """Wait for what is under way, not for ever."""
        cdef swarm_t *s = self.s
        cdef double left = self.plan.draining
        if s.broken or s.overloaded or s.behind:
            left = min(left, BROKEN_DRAIN)
        self._serve(left, SETTLED, report)
        return 0

    cdef int _pump(self, double seconds, uint64_t count, report) except -1:
        """A load without a schedule, from nothing under way to nothing under way."""
        cdef swarm_t *s = self.s
        s.stop_at = s.sent + count if count else NEVER
        with nogil:
            pump(s)
        self._serve(seconds, ALL_SENT if count else NOTHING, report)
        if count and s.sent < s.stop_at:
            wrong(s, &s.errors.unsent, s.all, "messages that the window never let out", s.stop_at, s.sent)
            s.errors.unsent = s.stop_at - s.sent
        s.pumping = False
        s.stop_at = 0
        self._drain(report)
        return 0

    cdef int _flat_out(self, report) except -1:
        """From idle to idle: every delivery of the window is counted with all that it cost."""
        cdef swarm_t *s = self.s
        if self.plan.warmup > 0:
            self._pump(self.plan.warmup, 0, report)
        s.timing_from = 0
        read_clocks(s, &s.begun)
        s.ended = s.begun
        self._pump(self.plan.seconds, self.plan.count, report)
        read_clocks(s, &s.ended)
        return 0

    cdef int _paced(self, report) except -1:
        """An open loop: latency counts from when a message was due, however late it went out."""
        cdef swarm_t *s = self.s
        s.started = s.due = nanoseconds(CLOCK_MONOTONIC) + 1000000
        s.timing_from = s.started + <uint64_t>(self.plan.warmup * 1e9)
        s.timing_end = s.timing_from + <uint64_t>(self.plan.seconds * 1e9)
        s.poll = <uint64_t>self.plan.polling * 1000
        s.spin = self.plan.spin
        next_due(s)
        self._until(s.timing_from, report)
        read_clocks(s, &s.begun)
        s.ended = s.begun
        self._until(s.timing_end, report)
        read_clocks(s, &s.ended)
        if s.due < s.timing_end:  # due in the window, and late: it counts all the same
            send_due(s)
        s.due = NEVER
        self._drain(report)
        s.poll = s.spin = 0
        return 0

    cdef int _until(self, uint64_t moment, report) except -1:
        cdef uint64_t now = nanoseconds(CLOCK_MONOTONIC)
        if moment > now:
            self._serve((moment - now) / 1e9, NOTHING, report)
        return 0
