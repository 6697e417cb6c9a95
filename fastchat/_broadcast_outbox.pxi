# What waits for one connection. Part of _broadcast.pyx.

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
            if self.conn.turn >= 0:  # only where the collector takes a whole broadcaster apart
                self.core.todos[self.conn.turn].conn = NULL
            self._leave_all()
            empty_queue(self.core, &self.conn)
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
        """Bytes waiting in the queue or with the transport, and private ones of the next round."""
        return self.conn.pending + self.conn.mine

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
        returned(self.core, &self.conn)
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
        returned(self.core, conn)
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
            cut_off(core, self)
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
        empty_queue(self.core, conn)
        conn.pending = conn.handed
        conn.over = False
        return 0

    cdef int _leave_all(self) except -1:
        cdef conn_t *conn = &self.conn
        while conn.seated:
            (<Fanout>conn.seats[conn.seated - 1].room)._forget(conn, conn.seated - 1)
        return 0
