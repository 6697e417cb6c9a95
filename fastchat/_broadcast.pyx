# cython: language_level=3, cdivision=True
"""The broadcast core in C: the twin of `_broadcast_py`, with the same promises and the same bytes.

A fan-out keeps, per wire in use, one growing buffer of encoded frames (`batch_t`) with a small record for each
frame; a put costs one copy per wire, however many members there are. Private frames of all connections gather
in one arena, those of one connection that stand together as one item. `flush` freezes both into a round: a
to-do list of connections, each with its share (ranges of batches, a chain of items). A loop without the GIL then
gives every connection one `send`: of the batch's own buffer where the share is all of it, else of slices merged by
the order of the puts. What a connection does not take is handed to its transport under the GIL; what waits
longer is kept as references to the batches (`entry_t`).

Invariants. A `conn_t` lives inside its `Outbox`; whatever holds one also holds the outbox (the round in
`owners`, a fan-out in `owners`), or is cut off when it goes (`seat_t`). `close` sets the descriptor to -1 while it
is still open, and the loop reads it there just before it sends, so no number can come to mean another file. The
arrays of a frozen round do not move until it ends. `total` counts each batch, arena and handed byte once.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EINTR, EPIPE, errno
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from fastchat._broadcast_base import CLOCK_SENDS as _CLOCK_SENDS
from fastchat._broadcast_base import HAND_BYTES as _HAND_BYTES
from fastchat._broadcast_base import Stats
from fastchat.config import Policy

__all__ = ["Broadcaster", "Fanout", "Outbox"]

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t send(int fd, const void *data, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL

cdef enum:
    SLICES = 1024  # IOV_MAX of Linux: what one sendmsg may carry
    SWEEP = 64  # connections between two looks at the clock, which is Python
    KEPT_ARENA = 1 << 20  # bytes: a larger arena is given back after its round
    # why a sieve drops
    EXPIRED = 0
    SUPERSEDED = 1
    OLDEST = 2
    # how far the sweep came with a connection
    UNTRIED = 0
    SENT = 1
    PARTIAL = 2
    REFUSED = 3

assert SWEEP == _CLOCK_SENDS

cdef Py_ssize_t HAND = _HAND_BYTES
cdef object DISCONNECT = Policy.DISCONNECT
cdef object LATEST = Policy.LATEST

# ---------------------------------------------------------------- records

cdef struct frame_t:
    uint64_t order  # of the put, over all fan-outs
    Py_ssize_t end  # where it ends in the batch
    int64_t offset  # in the room, 0: not stored
    double expires  # on the clock, 0: never
    bint keep

cdef struct batch_t:
    char *data
    Py_ssize_t size
    Py_ssize_t space
    frame_t *frames
    int count
    int slots
    int refs
    bint expiring
    bint own  # a copy for one queue
    PyObject *room  # Fanout, NULL: private; borrowed until the batch is frozen
    PyObject *joined  # the data as bytes, for transports; made once, for the time of its round

cdef struct item_t:  # private frames of one connection that stand together in the arena
    Py_ssize_t start
    Py_ssize_t end
    uint64_t order  # of the last put on a fan-out before them
    int next

cdef struct arena_t:
    char *data
    Py_ssize_t size
    Py_ssize_t space
    item_t *items
    int count
    int slots

cdef struct entry_t:  # in a queue: a range of a batch, or (batch NULL) a gap
    batch_t *batch
    int first
    int last
    PyObject *room  # of a gap
    int64_t start
    int64_t end
    int why

cdef struct queue_t:
    entry_t *entries
    int head
    int count  # one past the last
    int slots
    bint expiring
    bint latest

cdef struct seat_t:  # a membership as the outbox knows it
    PyObject *room  # Fanout, borrowed: it takes its seats away when it goes
    int at  # index among its members

cdef struct conn_t:
    PyObject *owner  # the Outbox around it
    int fd
    uint8_t wire
    uint8_t paused
    uint8_t closed
    uint8_t ending
    uint8_t ended
    uint8_t over  # cut: nothing is accepted until clear()
    uint8_t gathered  # will be in the next round
    int turn  # index in the to-do list of the round under way, -1: none or served
    int item  # first private item of the next round, -1: none
    int last_item
    int seated
    int seat_slots
    seat_t *seats
    queue_t *queue  # NULL: nothing waits
    uint64_t floor  # frames up to this order were forgotten
    Py_ssize_t mine  # private bytes for the next round
    Py_ssize_t pending  # bytes in the queue or with the transport
    Py_ssize_t handed  # with a transport that has paused us
    Py_ssize_t doomed  # of these, what goes because we were cut

cdef struct member_t:
    conn_t *conn
    uint64_t since  # order when it was added

cdef struct source_t:  # one range of a share
    batch_t *batch
    int first
    int last
    int next
    bint own  # used by queues: copy rather than refer

cdef struct todo_t:
    conn_t *conn  # NULL: closed meanwhile
    source_t source  # batch NULL: none; more of them follow from source.next
    int item
    int state
    Py_ssize_t sent  # bytes out when PARTIAL, errno when REFUSED

cdef struct merge_t:  # what is left of a share
    source_t *sources
    int live
    int item

cdef struct run_t:  # what goes next: a slice of a batch, or (batch NULL) an item of the arena
    char *data
    Py_ssize_t size
    batch_t *batch
    int first
    int last
    bint own

cdef struct fault_t:  # tests: see _broadcast_base.Faults
    uint64_t state
    unsigned int partial
    unsigned int again
    unsigned int interrupt
    unsigned int broken

ctypedef ssize_t (*sender_t)(fault_t *fault, int fd, iovec *slices, int count) noexcept nogil

# ---------------------------------------------------------------- sending

cdef ssize_t kernel_send(fault_t *fault, int fd, iovec *slices, int count) noexcept nogil:
    """Bytes taken, or minus errno."""
    cdef msghdr message
    cdef ssize_t sent
    if count == 1:
        sent = send(fd, slices.iov_base, slices.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
    else:
        memset(&message, 0, sizeof(message))
        message.msg_iov = slices
        message.msg_iovlen = count
        sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
    return sent if sent >= 0 else -errno


cdef ssize_t faulty_send(fault_t *fault, int fd, iovec *slices, int count) noexcept nogil:
    """The same with deterministic trouble before it."""
    cdef uint64_t z
    cdef unsigned int verdict
    cdef size_t most, whole = 0, kept
    cdef ssize_t sent
    cdef int i
    fault.state += <uint64_t>0x9E3779B97F4A7C15ULL
    z = fault.state
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EBULL
    z ^= z >> 31
    verdict = <unsigned int>((z >> 32) % 1000)
    if verdict >= fault.broken:
        return kernel_send(fault, fd, slices, count)
    if verdict >= fault.interrupt:
        return -EPIPE
    if verdict >= fault.again:
        return -EINTR
    if verdict >= fault.partial:
        return -EAGAIN
    for i in range(count):
        whole += slices[i].iov_len
    most = 1 + <size_t>(z & <uint64_t>0xFFFFFFFFULL) % whole
    i = 0
    while most > slices[i].iov_len:
        most -= slices[i].iov_len
        i += 1
    kept = slices[i].iov_len
    slices[i].iov_len = most
    sent = kernel_send(fault, fd, slices, i + 1)
    slices[i].iov_len = kept
    return sent

# ---------------------------------------------------------------- batches, arenas, queues

cdef inline void *grown(void *array, int *slots, int needed, size_t size) except NULL:
    """The array with room for `needed` elements of `size` bytes; doubling."""
    cdef int wanted = slots[0] * 2 if slots[0] else 4
    cdef void *moved
    while wanted < needed:
        wanted *= 2
    moved = realloc(array, wanted * size)
    if moved == NULL:
        raise MemoryError
    slots[0] = wanted
    return moved


cdef inline int reserve(char **data, Py_ssize_t *space, Py_ssize_t needed) except -1:
    cdef Py_ssize_t wanted = space[0] * 2 if space[0] else 512
    cdef char *moved
    if needed <= space[0]:
        return 0
    while wanted < needed:
        wanted *= 2
    moved = <char *>realloc(data[0], wanted)
    if moved == NULL:
        raise MemoryError
    data[0] = moved
    space[0] = wanted
    return 0


cdef batch_t *batch_new(PyObject *room) except NULL:
    cdef batch_t *batch = <batch_t *>calloc(1, sizeof(batch_t))
    if batch == NULL:
        raise MemoryError
    batch.room = room
    batch.refs = 1
    return batch


cdef int batch_reserve(batch_t *batch, Py_ssize_t size) except -1:
    """Make room for one more frame of `size` bytes."""
    reserve(&batch.data, &batch.space, batch.size + size)
    if batch.count == batch.slots:
        batch.frames = <frame_t *>grown(batch.frames, &batch.slots, batch.count + 1, sizeof(frame_t))
    return 0


cdef inline Py_ssize_t start_of(batch_t *batch, int at) noexcept nogil:
    return batch.frames[at - 1].end if at else 0


cdef inline Py_ssize_t span(batch_t *batch, int first, int last) noexcept nogil:
    return start_of(batch, last) - start_of(batch, first)


cdef int after(batch_t *batch, uint64_t order, int low, int high) noexcept nogil:
    """Index of the first frame in [low, high) put after `order`."""
    cdef int middle
    if low < high and batch.frames[low].order > order:
        return low
    if low < high and batch.frames[high - 1].order <= order:
        return high
    while low < high:
        middle = (low + high) // 2
        if batch.frames[middle].order > order:
            high = middle
        else:
            low = middle + 1
    return low


cdef inline Py_ssize_t head_size(int wire, Py_ssize_t size) noexcept nogil:
    if wire == 0:
        return 4
    return 2 if size < 126 else 4 if size < 65536 else 10


cdef inline char *put_head(char *to, int wire, Py_ssize_t size) noexcept nogil:
    """PROTOCOL "Framing"; RFC 6455 section 5.2: FIN, no mask, the shortest length."""
    cdef int i
    if wire == 0:
        for i in range(4):
            to[i] = <char>(size >> (24 - 8 * i))
        return to + 4
    to[0] = <char>(0x81 if wire == 2 else 0x82)
    if size < 126:
        to[1] = <char>size
        return to + 2
    if size < 65536:
        to[1] = 126
        to[2] = <char>(size >> 8)
        to[3] = <char>size
        return to + 4
    to[1] = 127
    for i in range(8):
        to[2 + i] = <char>(<uint64_t>size >> (56 - 8 * i))
    return to + 10


cdef entry_t *queue_push(conn_t *conn) except NULL:
    """A new, zeroed entry at the end of the connection's queue."""
    cdef queue_t *queue = conn.queue
    cdef entry_t *entry
    if queue == NULL:
        queue = <queue_t *>calloc(1, sizeof(queue_t))
        if queue == NULL:
            raise MemoryError
        conn.queue = queue
    if queue.count == queue.slots and queue.head > queue.count // 2:
        queue.count -= queue.head
        memmove(queue.entries, queue.entries + queue.head, queue.count * sizeof(entry_t))
        queue.head = 0
    if queue.count == queue.slots:
        queue.entries = <entry_t *>grown(queue.entries, &queue.slots, queue.count + 1, sizeof(entry_t))
    entry = &queue.entries[queue.count]
    queue.count += 1
    memset(entry, 0, sizeof(entry_t))
    return entry


# ---------------------------------------------------------------- what waits for one connection

cdef class Fanout
cdef class Broadcaster


@cython.final
@cython.no_gc_clear
cdef class Outbox:
    """What waits for one connection; made by `Broadcaster.outbox`."""

    cdef conn_t conn
    cdef Broadcaster core
    cdef object sink

    def __cinit__(self, Broadcaster core not None, sink, int wire, int fd):
        if not 0 <= wire <= 2:
            raise ValueError(f"no such wire: {wire}")
        self.core = core
        self.sink = sink
        self.conn.owner = <PyObject *>self
        self.conn.wire = wire
        self.conn.fd = fd
        self.conn.turn = self.conn.item = self.conn.last_item = -1

    def __dealloc__(self):
        if self.core is not None:
            self._leave_all()
            self.core._empty_queue(&self.conn)
            self.core.total -= self.conn.handed
            self.core.doomed -= self.conn.doomed
        free(self.conn.seats)

    @property
    def wire(self):
        return self.conn.wire

    @property
    def closed(self):
        return self.conn.closed != 0

    @property
    def pending(self):
        """Bytes waiting in the queue or with the transport."""
        return self.conn.pending

    def put(self, bytes payload not None):
        """Queue one payload, framed for this wire."""
        if self.conn.wire == 2:
            payload = self.core.to_json(payload)
        self._put(payload, True)

    def put_raw(self, bytes frame not None):
        """Queue bytes that are framed already."""
        self._put(frame, False)

    def pause(self):
        """The transport holds bytes: nothing more may be sent."""
        self.conn.paused = True

    def resume(self):
        """The transport holds nothing any more."""
        self.conn.paused = False
        self.core._returned(&self.conn)
        if self.conn.queue != NULL:
            self._gather()

    def clear(self):
        """Forget what waits; what kernel or transport have begun is theirs."""
        self._clear()
        if self.conn.ending and not self.conn.ended and not self.conn.closed:
            self._gather()

    def end(self):
        """Accept nothing more, leave all rooms; `Sink.ended` follows when all is handed over."""
        cdef conn_t *conn = &self.conn
        cdef Fanout room
        if conn.ending or conn.closed:
            return
        conn.ending = True
        while conn.seated:
            room = <Fanout>conn.seats[conn.seated - 1].room
            room._hurry()
            room.remove(self)
        self._gather()

    def close(self):
        """The connection is lost, its descriptor still open: forget the descriptor and everything else."""
        cdef conn_t *conn = &self.conn
        if conn.closed:
            return
        conn.closed = True
        conn.fd = -1
        self._clear()
        self.core._returned(conn)
        if conn.turn >= 0:
            self.core.todos[conn.turn].conn = NULL
            conn.turn = -1
        self._leave_all()

    cdef int _put(self, bytes payload, bint framed) except -1:
        cdef conn_t *conn = &self.conn
        cdef Broadcaster core = self.core
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef Py_ssize_t whole = size + head_size(conn.wire, size) if framed else size
        cdef arena_t *arena = core.fresh
        cdef item_t *item
        cdef char *to
        if conn.ending or conn.over or conn.closed:
            return 0
        core.replies += 1
        if conn.pending + conn.mine > core.outbox_bytes:
            core.slow += 1
            core._cut(self)
            return self._gather()
        reserve(&arena.data, &arena.space, arena.size + whole)
        item = &arena.items[conn.last_item] if conn.last_item >= 0 else NULL
        if item == NULL or item.end != arena.size or item.order != core.order:
            if arena.count == arena.slots:
                arena.items = <item_t *>grown(arena.items, &arena.slots, arena.count + 1, sizeof(item_t))
            if conn.last_item >= 0:
                arena.items[conn.last_item].next = arena.count
            else:
                conn.item = arena.count
            conn.last_item = arena.count
            item = &arena.items[arena.count]
            arena.count += 1
            item.start = item.end = arena.size
            item.order = core.order
            item.next = -1
        to = arena.data + arena.size
        if framed:
            to = put_head(to, conn.wire, size)
        memcpy(to, PyBytes_AS_STRING(payload), size)
        arena.size += whole
        item.end = arena.size
        core.total += whole
        conn.mine += whole
        return self._gather()

    cdef int _gather(self) except -1:
        if not self.conn.gathered:
            self.core.gathered.append(self)
            self.conn.gathered = True
        self.core._arm()
        return 0

    cdef int _clear(self) except -1:
        cdef conn_t *conn = &self.conn
        cdef todo_t *todo
        conn.floor = self.core.order
        if conn.turn >= 0:
            todo = &self.core.todos[conn.turn]
            todo.source.batch = NULL
            todo.source.next = todo.item = -1
        conn.item = conn.last_item = -1
        conn.mine = 0
        self.core._empty_queue(conn)
        conn.pending = conn.handed
        conn.over = False
        return 0

    cdef int _leave_all(self) except -1:
        cdef conn_t *conn = &self.conn
        while conn.seated:
            (<Fanout>conn.seats[conn.seated - 1].room)._forget(conn, conn.seated - 1)
        return 0


# ---------------------------------------------------------------- rooms

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
    cdef batch_t *batches[3]
    cdef list left  # (outbox, since, until) of members removed since the last round
    cdef list skips  # (outbox, order)
    cdef Py_ssize_t gathered  # payload bytes
    cdef bint waiting
    cdef uint64_t stamp  # of the sieve that uses the next two
    cdef int mark  # its last entry of this room, -1: a frame stands after it
    cdef uint64_t newest

    def __cinit__(self, Broadcaster core not None, policy, gap, double coalesce):
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

    def __dealloc__(self):
        cdef int i
        cdef int k
        for i in range(self.count):
            k = seat_in(self.members[i].conn, <PyObject *>self)
            if k >= 0:
                self.members[i].conn.seated -= 1
                self.members[i].conn.seats[k] = self.members[i].conn.seats[self.members[i].conn.seated]
        free(self.members)
        for i in range(3):
            if self.batches[i] != NULL:
                self.batches[i].room = NULL  # it was borrowed
                self.core._unref(self.batches[i])

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
        since = self.members[conn.seats[k].at].since
        if batch != NULL and batch.count and batch.frames[batch.count - 1].order > since:
            self.left.append((outbox, since, self.core.order))
        self._forget(conn, k)

    def full(self, Py_ssize_t size):
        """Would a payload of `size` bytes be refused?"""
        return 0 < self.gathered and self.gathered + size > self.core.batch_bytes

    def put(self, bytes payload not None, int64_t offset=0, *, skip=(), double expires=0.0, bint keep=False):
        """Queue one payload for every member but `skip`; False: the batch is full and nothing was queued.

        `offset` 0 is for what is not stored, `expires` is on the broadcaster's clock (0: never), `keep`
        frames are never dropped by policy and never refused.
        """
        cdef Broadcaster core = self.core
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef bytes text = None
        cdef int wire
        if not keep and 0 < self.gathered and self.gathered + size > core.batch_bytes:
            core.refused += 1
            return False
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
        if not self.waiting:
            self._wait()
        elif not self.coalesce:
            core._arm()
        return True

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


# ---------------------------------------------------------------- the flush

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
        self, *, wake, to_json, clock, Py_ssize_t outbox_bytes, Py_ssize_t total_bytes, Py_ssize_t batch_bytes,
        int flush_sends=512, double flush_seconds=0.002,
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
            self._unref(self.frozen[i])
        for i in range(2):
            free(self.arenas[i].data)
            free(self.arenas[i].items)
        free(self.todos)
        free(self.sources)
        free(self.frozen)
        free(self.merging)

    def outbox(self, sink, int wire, int fd=-1):
        """A connection's outbox; `fd` (non-blocking, no TLS) allows sends on the descriptor itself."""
        return Outbox.__new__(Outbox, self, sink, wire, fd)

    def fanout(self, policy, gap, double coalesce=0.0):
        """A room; `gap(from, to, why)` makes the GAP payload, `coalesce` is its tick in seconds."""
        return Fanout.__new__(Fanout, self, policy, gap, coalesce)

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
                self._freeze(now)
            self._serve(now)
            if self.at >= self.todo_count:
                self._thaw()
                self._balance()
        finally:
            self.flushing = False
        self._call()
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

    # ------------------------------------------------------------ freezing

    cdef int _freeze(self, double now) except -1:
        """Make a round of the due fan-outs' batches and the private frames."""
        cdef Fanout room
        cdef Outbox outbox
        cdef todo_t *todo
        cdef list rooms = self.ready
        cdef list gathered = self.gathered
        self.ready = []
        self.gathered = []
        if self.ticking:
            for room in list(self.ticking):
                if room.due <= now:
                    del self.ticking[room]
                    rooms.append(room)
        for room in rooms:
            self._freeze_room(room)
        for outbox in gathered:
            outbox.conn.gathered = False
            if outbox.conn.closed:
                continue
            todo = self._todo(&outbox.conn)
            todo.item = outbox.conn.item
            outbox.conn.item = outbox.conn.last_item = -1
            outbox.conn.mine = 0
        self.fresh, self.arena = self.arena, self.fresh
        if self.merging_slots <= self.source_count:
            self.merging = <source_t *>grown(
                self.merging, &self.merging_slots, self.source_count + 1, sizeof(source_t)
            )
        self.rounds += self.todo_count > 0
        return 0

    cdef int _freeze_room(self, Fanout room) except -1:
        cdef batch_t *batches[3]
        cdef batch_t *batch
        cdef conn_t *conn
        cdef Outbox outbox
        cdef list left = room.left
        cdef list skips = room.skips
        cdef uint64_t since, until
        cdef int wire, i, first
        for wire in range(3):
            batch = batches[wire] = room.batches[wire]
            if batch == NULL:
                continue
            if self.frozen_count == self.frozen_slots:
                self.frozen = <batch_t **>grown(
                    self.frozen, &self.frozen_slots, self.frozen_count + 1, sizeof(batch_t *)
                )
            self.frozen[self.frozen_count] = batch
            self.frozen_count += 1
            room.batches[wire] = NULL
            Py_INCREF(room)
        room.gathered = 0
        room.waiting = False
        for outbox, since, until in left:
            conn = &outbox.conn
            batch = batches[conn.wire]
            first = after(batch, max(since, conn.floor), 0, batch.count)
            self._give(conn, batch, first, after(batch, until, first, batch.count))
        for i in range(room.count):
            conn = room.members[i].conn
            batch = batches[conn.wire]
            if batch == NULL or not batch.count:
                continue
            first = after(batch, max(room.members[i].since, conn.floor), 0, batch.count)
            self._give(conn, batch, first, batch.count)
        for outbox, since in skips:
            if batches[outbox.conn.wire] != NULL and outbox.conn.turn >= 0:
                self._skip(&outbox.conn, batches[outbox.conn.wire], since)
        if left:
            room.left = []
        if skips:
            room.skips = []
        return 0

    cdef todo_t *_todo(self, conn_t *conn) except NULL:
        """The connection's place in the round, made if it has none."""
        cdef todo_t *todo
        if conn.turn >= 0:
            return &self.todos[conn.turn]
        if self.todo_count == self.todo_slots:
            self.todos = <todo_t *>grown(self.todos, &self.todo_slots, self.todo_count + 1, sizeof(todo_t))
        self.owners.append(<object>conn.owner)
        todo = &self.todos[self.todo_count]
        conn.turn = self.todo_count
        self.todo_count += 1
        todo.conn = conn
        todo.source.batch = NULL
        todo.source.next = -1
        todo.item = -1
        todo.state = UNTRIED
        todo.sent = 0
        return todo

    cdef int _give(self, conn_t *conn, batch_t *batch, int first, int last) except -1:
        """Add a range of a batch to the connection's share."""
        cdef todo_t *todo
        cdef source_t *source
        if first == last or conn.over or conn.closed:
            return 0
        todo = self._todo(conn)
        source = &todo.source
        if source.batch != NULL:
            source = self._more_sources(todo)
        source.batch = batch
        source.first = first
        source.last = last
        return 0

    cdef source_t *_more_sources(self, todo_t *todo) except NULL:
        """One more range of a share that has one."""
        cdef source_t *source
        if self.source_count == self.source_slots:
            self.sources = <source_t *>grown(
                self.sources, &self.source_slots, self.source_count + 1, sizeof(source_t)
            )
        source = &self.sources[self.source_count]
        source.next = todo.source.next
        todo.source.next = self.source_count
        self.source_count += 1
        return source

    cdef int _skip(self, conn_t *conn, batch_t *batch, uint64_t order) except -1:
        """Take the frame of this order out of the connection's share."""
        cdef todo_t *todo = &self.todos[conn.turn]
        cdef source_t *source = &todo.source
        cdef int last
        cdef int at = after(batch, order - 1, 0, batch.count)
        while source.batch != batch or not source.first <= at < source.last:
            if source.next < 0:
                return 0
            source = &self.sources[source.next]
        if at == source.first:
            source.first += 1
        elif at == source.last - 1:
            source.last -= 1
        else:
            last = source.last
            source.last = at
            source = self._more_sources(todo)
            source.batch = batch
            source.first = at + 1
            source.last = last
        return 0

    cdef int _thaw(self) except -1:
        """End the round: what no queue refers to goes."""
        cdef batch_t *batch
        cdef arena_t *arena = self.arena
        cdef int i
        for i in range(self.frozen_count):
            batch = self.frozen[i]
            if batch.joined != NULL:
                Py_DECREF(<object>batch.joined)
                batch.joined = NULL
            if batch.refs > 1:
                shrink(batch)
            self._unref(batch)
        self.frozen_count = self.todo_count = self.source_count = self.at = 0
        self.total -= arena.size
        arena.size = arena.count = 0
        if arena.space > KEPT_ARENA:
            free(arena.data)
            arena.data = NULL
            arena.space = 0
        self.owners.clear()
        return 0

    cdef int _unref(self, batch_t *batch) except -1:
        batch.refs -= 1
        if batch.refs:
            return 0
        self.total -= batch.size
        room = batch.room
        free(batch.data)
        free(batch.frames)
        free(batch)
        if room != NULL:
            Py_DECREF(<object>room)
        return 0

    # ------------------------------------------------------------ the loop

    cdef int _serve(self, double now) except -1:
        """Go on with the round until it ends or the limits of one flush are reached."""
        cdef int served = 0
        cdef int begin, k
        cdef double deadline
        if self.at >= self.todo_count:
            return 0
        deadline = self.clock() + self.flush_seconds
        while True:
            begin = self.at
            with nogil:
                self._sweep(min(self.todo_count, begin + min(SWEEP, self.flush_sends - served)))
            served += self.at - begin
            if self.begun >= 0:  # a frame begun comes first: nothing another sink does may come between
                self._attend(&self.todos[self.begun], now)
            for k in range(self.later_count):
                self._attend(&self.todos[self.later[k]], now)
            if self.at >= self.todo_count or served >= self.flush_sends or self.clock() >= deadline:
                return 0

    cdef int _sweep(self, int stop) noexcept nogil:
        """Send what goes without the GIL; ends early after a send that took only a part."""
        cdef todo_t *todo
        cdef conn_t *conn
        self.later_count = 0
        self.begun = -1
        while self.at < stop:
            todo = &self.todos[self.at]
            self.at += 1
            conn = todo.conn
            if conn == NULL:
                continue
            if conn.fd >= 0 and not conn.paused and conn.queue == NULL:
                if todo.source.next >= 0 or (todo.source.batch != NULL and todo.item >= 0):
                    self._send_merged(todo)
                elif todo.source.batch != NULL:
                    self._send_range(todo)
                elif todo.item >= 0:
                    self._send_items(todo)
            if todo.state == SENT and not conn.ending:
                conn.turn = -1
                continue
            if todo.state == PARTIAL and todo.sent:
                self.begun = self.at - 1
                break
            self.later[self.later_count] = self.at - 1
            self.later_count += 1
        return 0

    cdef int _send_range(self, todo_t *todo) noexcept nogil:
        cdef source_t *source = &todo.source
        cdef Py_ssize_t start = start_of(source.batch, source.first)
        cdef iovec slice
        if source.first == source.last:
            return 0
        slice.iov_base = source.batch.data + start
        slice.iov_len = start_of(source.batch, source.last) - start
        if self._push(todo, &slice, 1, slice.iov_len):
            todo.state = SENT
            self.deliveries += source.last - source.first
        return 0

    cdef int _send_items(self, todo_t *todo) noexcept nogil:
        cdef iovec slice
        cdef item_t *item = &self.arena.items[todo.item]
        if item.next >= 0:
            return self._send_merged(todo)
        slice.iov_base = self.arena.data + item.start
        slice.iov_len = item.end - item.start
        if self._push(todo, &slice, 1, slice.iov_len):
            todo.state = SENT
        return 0

    cdef int _send_merged(self, todo_t *todo) noexcept nogil:
        cdef iovec slices[SLICES]
        cdef merge_t merge
        cdef run_t run
        cdef Py_ssize_t size = 0
        cdef int64_t frames = 0
        cdef int count = 0
        self._merge(todo, &merge)
        while self._next_run(&merge, &run):
            slices[count].iov_base = run.data
            slices[count].iov_len = run.size
            size += run.size
            frames += run.last - run.first
            count += 1
            if count == SLICES:
                if not self._push(todo, slices, count, size):
                    return 0
                count = 0
                size = 0
        if count and not self._push(todo, slices, count, size):
            return 0
        if todo.sent or count:
            todo.state = SENT
            self.deliveries += frames
        return 0

    cdef bint _push(self, todo_t *todo, iovec *slices, int count, Py_ssize_t size) noexcept nogil:
        """One system call; True: it took all. Else the state tells, and `sent` counts what is out."""
        cdef ssize_t sent = -EINTR
        if not size:
            return True
        while sent == -EINTR:
            self.sent += 1
            sent = self.sender(&self.fault, todo.conn.fd, slices, count)
        if sent == size:
            todo.sent += sent
            self.bytes += sent
            return True
        if sent >= 0:
            self.partial += 1
            self.bytes += sent
            todo.sent += sent
            todo.state = PARTIAL
        elif sent == -EAGAIN:
            self.again += 1
            todo.state = PARTIAL
        else:
            todo.sent = -sent
            todo.state = REFUSED
        return False

    cdef int _merge(self, todo_t *todo, merge_t *merge) noexcept nogil:
        """Begin with the whole share; there is room for every range of the round in `merging`."""
        cdef source_t *source = &todo.source
        merge.sources = self.merging
        merge.live = 0
        merge.item = todo.item
        while source.batch != NULL:
            if source.first < source.last:
                merge.sources[merge.live] = source[0]
                merge.live += 1
            if source.next < 0:
                break
            source = &self.sources[source.next]
        return 0

    cdef bint _next_run(self, merge_t *merge, run_t *run) noexcept nogil:
        """The next slice in the order of the puts, as long as possible; False: there is none."""
        cdef uint64_t least = <uint64_t>-1
        cdef uint64_t bound = <uint64_t>-1  # the run ends before this order
        cdef uint64_t order
        cdef source_t *source = NULL
        cdef item_t *item
        cdef int i
        for i in range(merge.live):
            order = merge.sources[i].batch.frames[merge.sources[i].first].order
            if order < least:
                bound = least
                least = order
                source = &merge.sources[i]
            elif order < bound:
                bound = order
        if merge.item >= 0:
            item = &self.arena.items[merge.item]
            if source == NULL or item.order < least:
                run.data = self.arena.data + item.start
                run.size = item.end - item.start
                run.batch = NULL
                run.first = run.last = 0
                merge.item = item.next
                return True
            bound = min(bound, item.order + 1)
        if source == NULL:
            return False
        run.batch = source.batch
        run.own = source.own
        run.first = source.first
        run.last = after(source.batch, bound - 1, source.first, source.last)
        run.data = source.batch.data + start_of(source.batch, run.first)
        run.size = span(source.batch, run.first, run.last)
        source.first = run.last
        if source.first == source.last:
            merge.live -= 1
            source[0] = merge.sources[merge.live]
        return True

    # ------------------------------------------------------------ with the GIL

    cdef int _attend(self, todo_t *todo, double now) except -1:
        """Finish with a connection that the sweep could not serve."""
        cdef conn_t *conn = todo.conn
        cdef Py_ssize_t sent = todo.sent if todo.state == PARTIAL else 0
        cdef Outbox outbox
        if conn == NULL:
            return 0
        outbox = <Outbox>conn.owner
        if todo.state == REFUSED:
            conn.turn = -1
            return self._fail(outbox, todo.sent)
        if conn.queue != NULL and not conn.paused:
            self._sieve(conn, EXPIRED, now, 0)
        if todo.state != SENT:
            self._deliver(outbox, todo, sent)
        conn.turn = -1
        if conn.queue != NULL:
            self._limit(outbox)
        return self._finish(outbox)

    cdef int _finish(self, Outbox outbox) except -1:
        cdef conn_t *conn = &outbox.conn
        if conn.ending and not conn.ended and not conn.closed and conn.queue == NULL and not conn.gathered:
            conn.ended = True
            self.done.append(outbox)
        return 0

    cdef int _deliver(self, Outbox outbox, todo_t *todo, Py_ssize_t sent) except -1:
        """Hand over what is left of a share after `sent` bytes, or let it wait."""
        cdef conn_t *conn = &outbox.conn
        cdef merge_t merge
        cdef run_t run
        cdef Py_ssize_t size = 0
        cdef int64_t frames = 0
        cdef bytes data
        self._merge(todo, &merge)
        while self._next_run(&merge, &run):
            size += run.size
            frames += run.last - run.first
        if not size:
            return self._drain(outbox, 0)
        if conn.queue == NULL and (sent or not conn.paused) and size - sent <= self.hand:
            self.deliveries += frames
            data = self._rest(todo, size, sent)
            todo.source.batch = NULL
            todo.source.next = todo.item = -1
            return self._write(outbox, data)
        self._merge(todo, &merge)
        sent = self._enqueue(conn, &merge, sent)
        todo.source.batch = NULL
        todo.source.next = todo.item = -1
        self.holders[outbox] = None
        return self._drain(outbox, sent)

    cdef bytes _rest(self, todo_t *todo, Py_ssize_t size, Py_ssize_t sent):
        """A share of `size` bytes without the first `sent`; one object for all who get a whole batch."""
        cdef source_t *source = &todo.source
        cdef batch_t *batch = source.batch
        cdef merge_t merge
        cdef run_t run
        cdef bytes data
        cdef char *to
        if not sent and source.next < 0 and todo.item < 0 and size == batch.size:
            if batch.joined == NULL:
                data = PyBytes_FromStringAndSize(batch.data, batch.size)
                Py_INCREF(data)
                batch.joined = <PyObject *>data
            return <bytes>batch.joined
        data = PyBytes_FromStringAndSize(NULL, size - sent)
        to = PyBytes_AS_STRING(data)
        self._merge(todo, &merge)
        while self._next_run(&merge, &run):
            if run.size <= sent:
                sent -= run.size
                continue
            memcpy(to, run.data + sent, run.size - sent)
            to += run.size - sent
            sent = 0
        return data

    cdef Py_ssize_t _enqueue(self, conn_t *conn, merge_t *merge, Py_ssize_t sent) except -1:
        """Let a share wait without its first `sent` bytes; returns how many of its first frame are out."""
        cdef run_t run
        cdef Py_ssize_t begun = 0
        cdef Py_ssize_t size
        cdef int i
        for i in range(merge.live):
            size = span(merge.sources[i].batch, merge.sources[i].first, merge.sources[i].last)
            merge.sources[i].own = 2 * size < merge.sources[i].batch.size
        while self._next_run(merge, &run):
            while sent and run.batch != NULL and run.first < run.last:
                size = span(run.batch, run.first, run.first + 1)
                if sent < size:
                    break
                sent -= size
                run.size -= size
                run.first += 1
                self.deliveries += 1
            if sent >= run.size:
                sent -= run.size
                continue
            begun += sent
            sent = 0
            conn.pending += run.size
            if run.batch == NULL:
                self._copy(conn, NULL, run.data, run.size)
            else:
                self._keep(conn, run.batch, run.first, run.last, run.own)
        return begun

    cdef int _keep(self, conn_t *conn, batch_t *batch, int first, int last, bint own) except -1:
        """Put a range at the end of the queue: a reference, or a copy where that would pin too much."""
        cdef entry_t *entry
        cdef int at
        cdef Fanout room = <Fanout>batch.room
        if own:
            for at in range(first, last):
                self._copy(conn, batch, batch.data + start_of(batch, at), at)
        else:
            entry = queue_push(conn)
            entry.batch = batch
            entry.first = first
            entry.last = last
            batch.refs += 1
        conn.queue.expiring |= batch.expiring
        conn.queue.latest |= room.latest
        return 0

    cdef int _copy(self, conn_t *conn, batch_t *source, char *data, Py_ssize_t what) except -1:
        """Put a frame of the queue's own at its end: number `what` of `source`, or `what` private bytes."""
        cdef queue_t *queue = conn.queue
        cdef entry_t *entry = NULL
        cdef batch_t *batch
        cdef frame_t *frame
        cdef PyObject *room = NULL
        cdef Py_ssize_t size = what
        if source != NULL:
            room = source.room
            size = span(source, what, what + 1)
        if queue != NULL and queue.head < queue.count:
            entry = &queue.entries[queue.count - 1]
        if not (
            entry != NULL and entry.batch != NULL and entry.batch.own and entry.batch.refs == 1
            and entry.batch.room == room and entry.last == entry.batch.count
        ):
            entry = queue_push(conn)
            entry.batch = batch_new(room)
            entry.batch.own = True
            if room != NULL:
                Py_INCREF(<object>room)
        batch = entry.batch
        batch_reserve(batch, size)
        frame = &batch.frames[batch.count]
        if source != NULL:
            frame[0] = source.frames[what]
            batch.expiring |= source.expiring
        else:
            memset(frame, 0, sizeof(frame_t))
            frame.keep = True
        memcpy(batch.data + batch.size, data, size)
        batch.size += size
        batch.count += 1
        frame.end = batch.size
        entry.last = batch.count
        self.total += size
        return 0

    cdef int _drain(self, Outbox outbox, Py_ssize_t sent) except -1:
        """Hand the queue to the transport until it pauses; of the first frame `sent` bytes are out."""
        cdef conn_t *conn = &outbox.conn
        cdef bytes data
        while conn.queue != NULL and (sent or not conn.paused):
            data = self._take(outbox, sent)
            sent = 0
            if data is not None:
                self._write(outbox, data)
        return 0

    cdef bytes _take(self, Outbox outbox, Py_ssize_t sent):
        """Some whole frames from the head of the queue, without the first `sent` bytes; None: look again."""
        cdef conn_t *conn = &outbox.conn
        cdef queue_t *queue = conn.queue
        cdef entry_t *entry
        cdef uint64_t clears = self.clears
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t step
        cdef bint full = False
        cdef int i = queue.head
        cdef int last = 0  # of entry number i
        cdef bytes data
        while i < queue.count and not full:
            if queue.entries[i].batch == NULL:
                self._fill_gap(outbox, i)
                if self.clears != clears or conn.closed:
                    return None
            entry = &queue.entries[i]
            last = entry.first
            while last < entry.last:
                step = span(entry.batch, last, last + 1)
                full = size > 0 and size + step > self.hand
                if full:
                    break
                size += step
                last += 1
            if not full:
                i += 1
        data = PyBytes_FromStringAndSize(NULL, size - sent)
        self._pop(conn, i, last, PyBytes_AS_STRING(data), sent)
        conn.pending -= size
        return data

    cdef int _pop(self, conn_t *conn, int stop, int last, char *to, Py_ssize_t sent) except -1:
        """Move the entries before number `stop`, and that one's frames before `last`, out of the queue."""
        cdef queue_t *queue = conn.queue
        cdef entry_t *entry
        cdef Py_ssize_t start, size
        cdef int end
        while queue.head < queue.count and queue.head <= stop:
            entry = &queue.entries[queue.head]
            end = entry.last if queue.head < stop else last
            start = start_of(entry.batch, entry.first) + sent
            size = start_of(entry.batch, end) - start
            if entry.first == end:
                break
            memcpy(to, entry.batch.data + start, size)
            to += size
            sent = 0
            if entry.batch.room != NULL:
                self.deliveries += end - entry.first
            entry.first = end
            if queue.head == stop:
                break
            queue.head += 1
            self._unref(entry.batch)
        if queue.head == queue.count:
            conn.queue = NULL
            free(queue.entries)
            free(queue)
        return 0

    cdef int _fill_gap(self, Outbox outbox, int at) except -1:
        """Replace the gap at this place of the queue by its frame."""
        cdef conn_t *conn = &outbox.conn
        cdef entry_t *entry = &conn.queue.entries[at]
        cdef Fanout room = <Fanout>entry.room
        cdef uint64_t clears = self.clears
        cdef bytes payload
        cdef Py_ssize_t size, head
        cdef batch_t *batch
        try:
            payload = room.gap(entry.start, entry.end, WHY[entry.why])
            if conn.wire == 2:
                payload = self.to_json(payload)
            size = PyBytes_GET_SIZE(payload)
            head = head_size(conn.wire, size)
        except Exception as error:
            self.errors.append(error)
            payload = b""
            size = head = 0
        if self.clears != clears or conn.closed:
            return 0
        batch = batch_new(NULL)
        batch_reserve(batch, head + size)
        if head:
            memcpy(put_head(batch.data, conn.wire, size), PyBytes_AS_STRING(payload), size)
        batch.own = True
        batch.size = head + size
        batch.count = 1
        memset(batch.frames, 0, sizeof(frame_t))
        batch.frames[0].keep = True
        batch.frames[0].end = batch.size
        self.total += batch.size
        conn.pending += batch.size
        entry = &conn.queue.entries[at]
        entry.batch = batch
        entry.first = 0
        entry.last = 1
        entry.room = NULL
        Py_DECREF(room)
        return 0

    cdef int _write(self, Outbox outbox, bytes data) except -1:
        cdef conn_t *conn = &outbox.conn
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        self.written += 1
        self.bytes += size
        conn.handed += size
        conn.pending += size
        self.total += size
        self.holders[outbox] = None
        try:
            outbox.sink.write(data)
        except Exception as error:
            self.errors.append(error)
            self._fail(outbox, getattr(error, "errno", None) or 0)
        if not conn.paused:
            self._returned(conn)
        return 0

    cdef int _returned(self, conn_t *conn) except -1:
        """The transport holds nothing any more."""
        self.total -= conn.handed
        self.doomed -= conn.doomed
        conn.pending -= conn.handed
        conn.handed = conn.doomed = 0
        if conn.queue == NULL and self.holders:
            self.holders.pop(<object>conn.owner, None)
        return 0

    # ------------------------------------------------------------ limits

    cdef int _sieve(self, conn_t *conn, int mode, double now, Py_ssize_t excess) except -1:
        """Drop frames from a queue: `mode` says which, `excess` bytes are enough for OLDEST."""
        cdef queue_t *old = conn.queue
        cdef entry_t *entry
        cdef Fanout room
        cdef int i
        if (mode == EXPIRED and not old.expiring) or (mode == SUPERSEDED and not old.latest):
            return 0
        if mode == SUPERSEDED:
            self._find_newest(old)
        self.stamp += 1
        conn.queue = NULL
        for i in range(old.head, old.count):
            entry = &old.entries[i]
            if entry.batch == NULL:
                room = <Fanout>entry.room
                self._widen(conn, room, entry.start, entry.end, entry.why)
                Py_DECREF(room)
                continue
            if entry.batch.room == NULL:
                queue_push(conn)[0] = entry[0]
                continue
            room = <Fanout>entry.batch.room
            if (
                (mode == EXPIRED and entry.batch.expiring)
                or (mode == SUPERSEDED and room.latest)
                or (mode == OLDEST and room.droppable and excess > 0)
            ):
                excess -= self._strain(conn, entry, room, mode, now, excess)
                continue
            queue_push(conn)[0] = entry[0]
            room.stamp = self.stamp
            room.mark = -1
        if conn.queue != NULL:
            conn.queue.expiring |= old.expiring
            conn.queue.latest |= old.latest
        self.clears += 1
        free(old.entries)
        free(old)
        return 0

    cdef Py_ssize_t _strain(
        self, conn_t *conn, entry_t *entry, Fanout room, int mode, double now, Py_ssize_t excess
    ) except -1:
        """Move what stays of one entry to the end of the queue; returns the bytes that were dropped."""
        cdef batch_t *batch = entry.batch
        cdef frame_t *frame
        cdef Py_ssize_t size
        cdef Py_ssize_t gone = 0
        cdef int begin = entry.first
        cdef int at
        for at in range(entry.first, entry.last):
            frame = &batch.frames[at]
            if mode == EXPIRED:
                if not 0.0 < frame.expires <= now:
                    continue
                self.expired += 1
            elif gone >= excess and mode == OLDEST:
                break
            elif frame.keep or (mode == SUPERSEDED and frame.order == room.newest):
                continue
            elif mode == SUPERSEDED:
                self.superseded += 1
            else:
                self.dropped += 1
            if begin < at:
                self._stay(conn, batch, room, begin, at, True)
            begin = at + 1
            size = span(batch, at, at + 1)
            gone += size
            conn.pending -= size
            if frame.offset:
                self._widen(conn, room, frame.offset, frame.offset, 0 if mode == EXPIRED else 1)
        if begin < entry.last:
            size = span(batch, begin, entry.last)
            self._stay(conn, batch, room, begin, entry.last, begin > entry.first and 8 * size < batch.size)
        self._unref(batch)
        return gone

    cdef int _stay(self, conn_t *conn, batch_t *batch, Fanout room, int first, int last, bint own) except -1:
        self._keep(conn, batch, first, last, own)
        room.stamp = self.stamp
        room.mark = -1
        return 0

    cdef int _widen(self, conn_t *conn, Fanout room, int64_t start, int64_t end, int why) except -1:
        """Announce a gap here, or in the one before if nothing of the room stands between."""
        cdef entry_t *entry
        if room.stamp == self.stamp and room.mark >= 0:
            entry = &conn.queue.entries[room.mark]
            if entry.why == why:
                entry.end = end
                return 0
        entry = queue_push(conn)
        entry.room = <PyObject *>room
        Py_INCREF(room)
        entry.start = start
        entry.end = end
        entry.why = why
        room.stamp = self.stamp
        room.mark = conn.queue.count - 1
        return 0

    cdef int _find_newest(self, queue_t *queue) except -1:
        cdef entry_t *entry
        cdef Fanout room
        cdef int i, at
        self.stamp += 1
        for i in range(queue.count - 1, queue.head - 1, -1):
            entry = &queue.entries[i]
            if entry.batch == NULL or entry.batch.room == NULL:
                continue
            room = <Fanout>entry.batch.room
            if not room.latest or room.stamp == self.stamp:
                continue
            for at in range(entry.last - 1, entry.first - 1, -1):
                if not entry.batch.frames[at].keep:
                    room.stamp = self.stamp
                    room.newest = entry.batch.frames[at].order
                    break
        return 0

    cdef int _limit(self, Outbox outbox) except -1:
        cdef conn_t *conn = &outbox.conn
        self._sieve(conn, SUPERSEDED, 0.0, 0)
        if conn.queue != NULL and conn.pending > self.outbox_bytes:
            self._sieve(conn, OLDEST, 0.0, conn.pending - self.outbox_bytes)
        if conn.pending > self.outbox_bytes:
            self.slow += 1
            self._cut(outbox)
        return 0

    cdef int _balance(self) except -1:
        """While more is held than allowed, cut the connections that hold most."""
        cdef Outbox outbox
        if self.total - self.doomed <= self.total_bytes:
            return 0
        for _, _, outbox in sorted([(-(<Outbox>held).conn.pending, i, held) for i, held in enumerate(self.holders)]):
            if self.total - self.doomed <= self.total_bytes:
                break
            if outbox.conn.queue != NULL or not outbox.conn.doomed:
                self.cut += 1
                self._cut(outbox)
        return 0

    cdef int _cut(self, Outbox outbox) except -1:
        cdef conn_t *conn = &outbox.conn
        outbox._clear()
        self.doomed += conn.handed - conn.doomed
        conn.doomed = conn.handed
        if conn.ending:
            return self._finish(outbox)
        conn.over = True
        self.cut_off.append(outbox)
        return 0

    cdef int _fail(self, Outbox outbox, int number) except -1:
        """The descriptor or the transport refused: nothing more is accepted or sent."""
        outbox._clear()
        outbox.conn.fd = -1
        outbox.conn.ending = outbox.conn.ended = True
        outbox._leave_all()
        self.failed += 1
        self.broken.append((outbox, number))
        return 0

    cdef int _empty_queue(self, conn_t *conn) except -1:
        cdef queue_t *queue = conn.queue
        cdef int i
        if queue == NULL:
            return 0
        conn.queue = NULL
        self.clears += 1
        for i in range(queue.head, queue.count):
            if queue.entries[i].batch != NULL:
                self._unref(queue.entries[i].batch)
            else:
                Py_DECREF(<object>queue.entries[i].room)
        free(queue.entries)
        free(queue)
        return 0

    cdef int _call(self) except -1:
        """Tell the sinks; each is told whatever the others raise."""
        cdef list broken = self.broken
        cdef list cut_off = self.cut_off
        cdef list done = self.done
        self.broken = []
        self.cut_off = []
        self.done = []
        calls = [(outbox, (<Outbox>outbox).sink.failed, (number,)) for outbox, number in broken]
        calls += [(outbox, (<Outbox>outbox).sink.slow, ()) for outbox in cut_off]
        calls += [(outbox, (<Outbox>outbox).sink.ended, ()) for outbox in done]
        for outbox, call, arguments in calls:
            if (<Outbox>outbox).conn.closed:
                continue
            try:
                call(*arguments)
            except Exception as error:
                self.errors.append(error)
        return 0


WHY = ("expired", "slow")  # of a gap


cdef int shrink(batch_t *batch) except -1:
    """Give back what a batch did not need, now that a queue keeps it."""
    cdef void *moved = realloc(batch.data, batch.size)
    if moved != NULL:
        batch.data = <char *>moved
        batch.space = batch.size
    moved = realloc(batch.frames, batch.count * sizeof(frame_t))
    if moved != NULL:
        batch.frames = <frame_t *>moved
        batch.slots = batch.count
    return 0
