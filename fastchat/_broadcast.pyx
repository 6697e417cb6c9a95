# cython: language_level=3, cdivision=True
"""The broadcast core in C: the twin of `_broadcast_py`, with the same promises and the same bytes.

A fan-out keeps, per wire in use, one growing buffer of encoded frames (`batch_t`) with a small record for
each frame; a put costs one copy per wire, however many members there are. Private frames of all connections
gather in one arena, those of one connection that stand together as one item. `flush` freezes both into a
round: a to-do list of connections, each with its share (ranges of batches, a chain of items). A loop without
the GIL then gives every connection one `send`: of the batch's own buffer where the share is all of it, else
of slices merged by the order of the puts. What a connection does not take is handed to its transport under
the GIL; what waits longer is kept in its queue as references to the batches (`entry_t`).

Invariants. A `conn_t` lives inside its `Outbox`; whatever holds one holds the outbox too (a round and a
fan-out in their `owners`), or loses it when the outbox goes (`seat_t`). `close` sets the descriptor to -1
while it is still open, and the loop reads it there just before each send, so its number can never come to
mean another file. What a frozen round refers to does not move until the round ends. `total` counts each
batch, arena and handed byte once.

The parts, in order of reading: records, buffers, outbox, rooms, grid, chosen, this file, round, send,
deliver, queue, limits.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EINTR, EPIPE, errno
from libc.math cimport floor
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from fastchat._broadcast_base import CLOCK_SENDS as _CLOCK_SENDS
from fastchat._broadcast_base import HAND_BYTES as _HAND_BYTES
from fastchat._broadcast_base import MARGIN, MAX_COORDINATE, RADII, Stats
from fastchat._broadcast_base import RANGE_SHARE as _RANGE_SHARE
from fastchat.config import Policy

__all__ = ["Broadcaster", "Fanout", "Outbox"]

include "_broadcast_records.pxi"

cdef Py_ssize_t HAND = _HAND_BYTES
cdef Py_ssize_t RANGE_SHARE = _RANGE_SHARE
cdef double FARTHEST = MAX_COORDINATE
cdef double LEAST_RADIUS = RADII[0]
cdef double MOST_RADIUS = RADII[1]
cdef double LOOK = MARGIN
cdef object DISCONNECT = Policy.DISCONNECT
cdef object LATEST = Policy.LATEST
cdef tuple WHY = ("expired", "slow")  # of a gap

assert SWEEP == _CLOCK_SENDS

cdef class Fanout
cdef class Broadcaster

include "_broadcast_buffers.pxi"
include "_broadcast_outbox.pxi"
include "_broadcast_rooms.pxi"
include "_broadcast_grid.pxi"
include "_broadcast_chosen.pxi"


@cython.final
@cython.no_gc_clear
cdef class Broadcaster:
    """All outboxes and fan-outs of one server, and their flush."""

    cdef readonly Py_ssize_t total  # bytes held, shared frames once
    cdef object wake
    cdef object to_json
    cdef object clock
    cdef Py_ssize_t outbox_bytes
    cdef Py_ssize_t total_bytes
    cdef Py_ssize_t batch_bytes
    cdef int flush_sends
    cdef double flush_seconds
    cdef Py_ssize_t hand
    cdef uint64_t order  # of the last put on a fan-out
    cdef uint64_t stamp  # of the last sieve
    cdef uint64_t clears  # how often a queue was emptied: something may have changed under a callback
    cdef Py_ssize_t doomed  # handed bytes of connections that were cut: they go with the connection
    cdef bint armed
    cdef bint flushing
    cdef list ready  # fan-outs that have a batch, due now
    cdef dict ticking  # fan-outs that have a batch, due at their tick
    cdef list gathered  # outboxes that have something of their own
    cdef dict holders  # outboxes that have bytes pending
    cdef list cut_off
    cdef list done
    cdef list broken
    cdef list errors
    # the next round's arena, and the round under way
    cdef arena_t arenas[2]
    cdef arena_t *fresh
    cdef arena_t *arena
    cdef list owners
    cdef todo_t *todos
    cdef int todo_count
    cdef int todo_slots
    cdef int at  # the first one not served
    cdef source_t *sources
    cdef int source_count
    cdef int source_slots
    cdef range_t *ranges  # which sources lead on to
    cdef int range_count
    cdef int range_slots
    cdef batch_t **frozen
    cdef int frozen_count
    cdef int frozen_slots
    cdef source_t *merging  # scratch: the ranges of one share
    cdef int merging_slots
    cdef int later[SWEEP]
    cdef int later_count
    cdef int begun  # the connection that took only a part, -1: none
    cdef sender_t sender
    cdef fault_t fault
    # counters, see Stats
    cdef readonly int64_t messages
    cdef readonly int64_t deliveries
    cdef int64_t replies, rounds, sent, written, bytes, partial, again, failed
    cdef int64_t slow, cut, dropped, superseded, expired, refused

    def __cinit__(
        self,
        *,
        wake,
        to_json,
        clock,
        Py_ssize_t outbox_bytes,
        Py_ssize_t total_bytes,
        Py_ssize_t batch_bytes,
        int flush_sends=512,
        double flush_seconds=0.002,
    ):
        self.wake = wake
        self.to_json = to_json
        self.clock = clock
        self.outbox_bytes = outbox_bytes
        self.total_bytes = total_bytes
        self.batch_bytes = batch_bytes
        self.flush_sends = flush_sends
        self.flush_seconds = flush_seconds
        self.hand = min(HAND, outbox_bytes // 4)
        self.ready = []
        self.ticking = {}
        self.gathered = []
        self.holders = {}
        self.cut_off = []
        self.done = []
        self.broken = []
        self.errors = []
        self.owners = []
        self.fresh = &self.arenas[0]
        self.arena = &self.arenas[1]
        self.sender = kernel_send

    def __dealloc__(self):
        cdef int i
        for i in range(self.frozen_count):
            unref(self, self.frozen[i])
        for i in range(2):
            free(self.arenas[i].data)
            free(self.arenas[i].items)
        free(self.todos)
        free(self.sources)
        free(self.ranges)
        free(self.frozen)
        free(self.merging)

    def outbox(self, sink, int wire, int fd=-1):
        """A connection's outbox; `fd` (non-blocking, no TLS) allows sends on the descriptor itself."""
        return Outbox.__new__(Outbox, self, sink, wire, fd)

    def fanout(self, policy, gap, double coalesce=0.0, double radius=0.0):
        """A room; `gap(from, to, why)` makes the GAP payload, `coalesce` is its tick in seconds.

        With a `radius` its members have places, and a put `at` a place reaches those within the radius.
        """
        return Fanout.__new__(Fanout, self, policy, gap, coalesce, radius)

    @property
    def waiting(self):
        """Would a flush have something to do, whatever the time?"""
        return bool(self.ready) or bool(self.gathered) or self.at < self.todo_count

    @property
    def dirty(self):
        """Is anything queued at all, rooms that wait for their tick included?"""
        return self.waiting or bool(self.ticking)

    @property
    def sends(self):
        """Sends on descriptors and writes to transports since the start."""
        return self.sent + self.written

    def next_due(self, double now):
        """When the next tick of a room with something queued is due, on the clock; None: there is none."""
        cdef Fanout room
        cdef double due = 0.0
        if not self.ticking:
            return None
        for room in self.ticking:
            due = room.due if due == 0.0 or room.due < due else due
        return max(now, due)

    def watch(self):
        """Call `wake` again at the next put: for a flusher that holds back and looks again."""
        self.armed = False

    def stats(self):
        """The counters."""
        return Stats(
            self.messages, self.replies, self.deliveries, self.rounds, self.sent, self.written, self.bytes,
            self.partial, self.again, self.failed, self.slow, self.cut, self.dropped, self.superseded,
            self.expired, self.refused,
        )

    def flush(self, double now):
        """Send what gathered; True: the fairness limit cut it short, call again in the next iteration.

        Every sink is served before an ExceptionGroup of what sinks and gaps raised is raised.
        """
        if self.flushing:
            return True
        self.flushing = True
        self.armed = False
        try:
            if self.at >= self.todo_count:
                freeze(self, now)
            serve(self, now)
            if self.at >= self.todo_count:
                thaw(self)
                balance(self)
        finally:
            self.flushing = False
        tell(self)
        errors, self.errors = self.errors, []
        if self.ready or self.gathered or errors:
            self._arm()
        if errors:
            raise ExceptionGroup("sinks or gaps failed", errors)
        return self.at < self.todo_count

    def _inject(self, seed, int partial=0, int again=0, int interrupt=0, int broken=0):
        """For tests: make sends fail deterministically, rates per mille."""
        self.fault.state = seed
        self.fault.partial = partial
        self.fault.again = partial + again
        self.fault.interrupt = self.fault.again + interrupt
        self.fault.broken = self.fault.interrupt + broken
        self.sender = faulty_send

    cdef int _arm(self) except -1:
        if not self.armed:
            self.armed = True
            self.wake()
        return 0


include "_broadcast_round.pxi"
include "_broadcast_send.pxi"
include "_broadcast_deliver.pxi"
include "_broadcast_queue.pxi"
include "_broadcast_limits.pxi"
