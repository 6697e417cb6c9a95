# The members of a room and what gathers for them until the next round. Part of _broadcast.pyx.

cdef str NO_RADIUS = "this fan-out has no radius"


@cython.final
@cython.no_gc_clear
cdef class Fanout:
    """The members of one room; made by `Broadcaster.fanout`."""

    cdef readonly object policy
    cdef readonly object gap
    cdef Broadcaster core
    cdef bint droppable
    cdef bint latest
    cdef double coalesce  # seconds of a tick, 0: none
    cdef double phase
    cdef double due
    cdef member_t *members
    cdef int count
    cdef int slots
    cdef int on_wire[3]
    cdef list owners  # the outboxes of `members`, in the same places
    cdef grid_t *grid  # NULL: no radius
    cdef batch_t *batches[3]
    # (outbox, since, until) of members removed since the last round; with a radius (outbox, range, 0)
    cdef list left
    cdef list skips  # (outbox, order)
    cdef Py_ssize_t gathered  # payload bytes
    cdef bint waiting
    cdef uint64_t stamp  # of the sieve that uses the next two
    cdef int mark  # its last entry of this room, -1: a frame stands after it
    cdef uint64_t newest

    def __cinit__(self, Broadcaster core not None, policy, gap, double coalesce, double radius):
        self.core = core
        self.policy = Policy(policy)
        self.gap = gap
        self.droppable = self.policy is not DISCONNECT
        self.latest = self.policy is LATEST
        self.coalesce = coalesce
        self.phase = core.clock() if coalesce else 0.0
        self.owners = []
        self.left = []
        self.skips = []
        if radius:
            self.grid = grid_new(radius)

    def __dealloc__(self):
        cdef int i
        cdef int k
        for i in range(self.count):
            k = seat_in(self.members[i].conn, <PyObject *>self)
            if k >= 0:
                self.members[i].conn.seated -= 1
                self.members[i].conn.seats[k] = self.members[i].conn.seats[self.members[i].conn.seated]
        free(self.members)
        grid_free(self.grid)
        for i in range(3):
            if self.batches[i] != NULL:
                self.batches[i].room = NULL  # it was borrowed
                unref(self.core, self.batches[i])

    def __len__(self):
        return self.count

    def __contains__(self, outbox):
        return isinstance(outbox, Outbox) and seat_in(&(<Outbox>outbox).conn, <PyObject *>self) >= 0

    def add(self, Outbox outbox not None):
        """Give the outbox every later put."""
        cdef conn_t *conn = &outbox.conn
        if conn.ending or conn.closed or seat_in(conn, <PyObject *>self) >= 0:
            return
        if self.count == self.slots:
            self.members = <member_t *>grown(self.members, &self.slots, self.count + 1, sizeof(member_t))
        if conn.seated == conn.seat_slots:
            self._more_seats(conn)
        if self.grid != NULL:
            more_spots(self.grid, self.count)
        self.owners.append(outbox)
        self.members[self.count].conn = conn
        self.members[self.count].since = self.core.order
        conn.seats[conn.seated].room = <PyObject *>self
        conn.seats[conn.seated].at = self.count
        conn.seated += 1
        self.count += 1
        self.on_wire[conn.wire] += 1

    def remove(self, Outbox outbox not None):
        """Give the outbox no later put; what was put before still comes."""
        cdef conn_t *conn = &outbox.conn
        cdef int k = seat_in(conn, <PyObject *>self)
        cdef batch_t *batch = self.batches[conn.wire]
        cdef uint64_t since
        if k < 0:
            return
        if self.grid != NULL:
            if self.grid.spots[conn.seats[k].at].first >= 0:
                self.left.append((outbox, self.grid.spots[conn.seats[k].at].first, 0))
            self._forget(conn, k)
            return
        since = self.members[conn.seats[k].at].since
        if batch != NULL and batch.count and batch.frames[batch.count - 1].order > since:
            self.left.append((outbox, since, self.core.order))
        self._forget(conn, k)

    def place(self, Outbox outbox not None, double x, double y):
        """Let a member be at this place; raises ValueError for what is none, or where there is no radius."""
        cdef int k = seat_in(&outbox.conn, <PyObject *>self)
        if self.grid == NULL:
            raise ValueError(NO_RADIUS)
        check_place(x, y)
        if k >= 0:
            place_spot(self.grid, self.count, outbox.conn.seats[k].at, x, y)

    def unplace(self, Outbox outbox not None):
        """Let a member be nowhere, as at first."""
        cdef int k = seat_in(&outbox.conn, <PyObject *>self)
        if self.grid != NULL and k >= 0:
            lift_spot(self.grid, outbox.conn.seats[k].at)

    def position(self, Outbox outbox not None):
        """Tell where a member is."""
        cdef int k = seat_in(&outbox.conn, <PyObject *>self)
        cdef spot_t *spot
        if self.grid == NULL or k < 0:
            return None
        spot = &self.grid.spots[outbox.conn.seats[k].at]
        return (spot.x, spot.y) if spot.placed else None

    def full(self, Py_ssize_t size):
        """Would a payload of `size` bytes be refused?"""
        return self._full(size)

    cdef bint _full(self, Py_ssize_t size) noexcept:
        cdef Py_ssize_t most = self.core.batch_bytes
        if self.grid != NULL and self.grid.range_count > most // RANGE_SHARE:
            return True
        return 0 < self.gathered and self.gathered + size > most

    def put(
        self,
        bytes payload not None,
        int64_t offset=0,
        *,
        skip=(),
        double expires=0.0,
        bint keep=False,
        at=None,
    ):
        """Queue one payload for every member but `skip`; False: the batch is full and nothing was queued.

        `offset` 0 is for what is not stored, `expires` is on the broadcaster's clock (0: never), `keep`
        frames are never dropped by policy and never refused. `at` a place only those near it get it.
        """
        cdef Broadcaster core = self.core
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef bytes text = None
        cdef int wire
        if at is not None and self.grid == NULL:
            raise ValueError(NO_RADIUS)
        if not keep and self._full(size):
            core.refused += 1
            return False
        if self.grid != NULL:
            return put_chosen(self, payload, offset, at, skip, expires, keep)
        if self.on_wire[2]:
            text = core.to_json(payload)
        for wire in range(3):  # whatever can fail comes before anything is queued
            if self.on_wire[wire]:
                self._reserve(wire, PyBytes_GET_SIZE(text) if wire == 2 else size)
        core.messages += 1
        if not self.count:
            return True
        core.order += 1
        for wire in range(3):
            if self.on_wire[wire]:
                self._append(wire, text if wire == 2 else payload, offset, expires, keep)
        for outbox in skip:
            if outbox in self:
                self.skips.append((outbox, core.order))
        self.gathered += size
        self._stir()
        return True

    cdef int _stir(self) except -1:
        """See to it that what was put goes out in time."""
        if not self.waiting:
            return self._wait()
        return 0 if self.coalesce else self.core._arm()

    cdef int _reserve(self, int wire, Py_ssize_t size) except -1:
        if self.batches[wire] == NULL:
            self.batches[wire] = batch_new(<PyObject *>self)
        return batch_reserve(self.batches[wire], size + head_size(wire, size))

    cdef int _append(self, int wire, bytes payload, int64_t offset, double expires, bint keep) except -1:
        cdef batch_t *batch = self.batches[wire]
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef char *to = put_head(batch.data + batch.size, wire, size)
        cdef frame_t *frame = &batch.frames[batch.count]
        memcpy(to, PyBytes_AS_STRING(payload), size)
        size += head_size(wire, size)
        batch.size += size
        batch.count += 1
        batch.expiring |= expires > 0.0
        frame.order = self.core.order
        frame.end = batch.size
        frame.offset = offset
        frame.expires = expires
        frame.keep = keep
        self.core.total += size
        return 0

    cdef int _wait(self) except -1:
        cdef Broadcaster core = self.core
        self.waiting = True
        if not self.coalesce:
            core.ready.append(self)
            return core._arm()
        now = core.clock()
        self.due = self.phase + ((now - self.phase) // self.coalesce + 1) * self.coalesce
        core.ticking[self] = None
        core.wake()
        return 0

    cdef int _hurry(self) except -1:
        """Go out with the next flush: a member ends, and its last frame must come last."""
        if self.waiting and self in self.core.ticking:
            del self.core.ticking[self]
            self.core.ready.append(self)
            self.core._arm()
        return 0

    cdef int _more_seats(self, conn_t *conn) except -1:
        cdef int slots = conn.seat_slots * 2 if conn.seat_slots else 1
        cdef seat_t *moved = <seat_t *>realloc(conn.seats, slots * sizeof(seat_t))
        if moved == NULL:
            raise MemoryError
        conn.seats = moved
        conn.seat_slots = slots
        return 0

    cdef int _forget(self, conn_t *conn, int k) except -1:
        """Take away the connection's seat number k, which is one of this room."""
        cdef int at = conn.seats[k].at
        cdef int last = self.count - 1
        cdef conn_t *moved = self.members[last].conn
        cdef bint owned = len(self.owners) == self.count  # not while the collector takes garbage apart
        if self.grid != NULL:
            drop_spot(self.grid, at, last)
        conn.seated -= 1
        conn.seats[k] = conn.seats[conn.seated]
        self.count = last
        self.on_wire[conn.wire] -= 1
        if at != last:
            self.members[at] = self.members[last]
            moved.seats[seat_in(moved, <PyObject *>self)].at = at
            if owned:
                self.owners[at], self.owners[last] = self.owners[last], self.owners[at]
        if owned:
            self.owners.pop()  # may free the outbox
        return 0


cdef int seat_in(conn_t *conn, PyObject *room) noexcept:
    cdef int k
    for k in range(conn.seated):
        if conn.seats[k].room == room:
            return k
    return -1
