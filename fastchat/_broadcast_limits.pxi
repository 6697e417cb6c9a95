# What waits too long or too much: dropped, announced, or cut. Part of _broadcast.pyx.

cdef int sieve(Broadcaster core, conn_t *conn, int mode, double now, Py_ssize_t excess) except -1:
    """Drop frames from a queue: `mode` says which, `excess` bytes are enough for OLDEST."""
    cdef queue_t *old = conn.queue
    cdef entry_t *entry
    cdef Fanout room
    cdef int i
    if (mode == EXPIRED and not old.expiring) or (mode == SUPERSEDED and not old.latest):
        return 0
    if mode == SUPERSEDED:
        find_newest(core, old)
    core.stamp += 1
    conn.queue = NULL
    for i in range(old.head, old.count):
        entry = &old.entries[i]
        if entry.batch == NULL:
            room = <Fanout>entry.room
            widen(core, conn, room, entry.start, entry.end, entry.why)
            Py_DECREF(room)
            continue
        if entry.batch.room == NULL:
            queue_push(conn)[0] = entry[0]
            core.stamp += 1  # it may be the reply to LEAVE or JOIN: no gap may widen across it
            continue
        room = <Fanout>entry.batch.room
        if (
            (mode == EXPIRED and entry.batch.expiring)
            or (mode == SUPERSEDED and room.latest)
            or (mode == OLDEST and room.droppable and excess > 0)
        ):
            excess -= strain(core, conn, entry, room, mode, now, excess)
            continue
        queue_push(conn)[0] = entry[0]
        room.stamp = core.stamp
        room.mark = -1
    if conn.queue != NULL:
        conn.queue.expiring |= old.expiring
        conn.queue.latest |= old.latest
    core.clears += 1
    free(old.entries)
    free(old)
    return 0


cdef Py_ssize_t strain(
    Broadcaster core, conn_t *conn, entry_t *entry, Fanout room, int mode, double now, Py_ssize_t excess
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
            core.expired += 1
        elif gone >= excess and mode == OLDEST:
            break
        elif frame.keep or (mode == SUPERSEDED and frame.order == room.newest):
            continue
        elif mode == SUPERSEDED:
            core.superseded += 1
        else:
            core.dropped += 1
        if begin < at:
            stay(core, conn, batch, room, begin, at, True)
        begin = at + 1
        size = span(batch, at, at + 1)
        gone += size
        conn.pending -= size
        if frame.offset:
            widen(core, conn, room, frame.offset, frame.offset, 0 if mode == EXPIRED else 1)
    if begin < entry.last:
        size = span(batch, begin, entry.last)
        stay(core, conn, batch, room, begin, entry.last, begin > entry.first and 8 * size < batch.size)
    unref(core, batch)
    return gone


cdef int stay(
    Broadcaster core, conn_t *conn, batch_t *batch, Fanout room, int first, int last, bint own
) except -1:
    keep_range(core, conn, batch, first, last, own)
    room.stamp = core.stamp
    room.mark = -1
    return 0


cdef int widen(Broadcaster core, conn_t *conn, Fanout room, int64_t start, int64_t end, int why) except -1:
    """Announce a gap here, or in the one before if nothing of the room stands between."""
    cdef entry_t *entry
    if room.stamp == core.stamp and room.mark >= 0:
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
    room.stamp = core.stamp
    room.mark = conn.queue.count - 1
    return 0


cdef int find_newest(Broadcaster core, queue_t *queue) except -1:
    cdef entry_t *entry
    cdef Fanout room
    cdef int i, at
    core.stamp += 1
    for i in range(queue.count - 1, queue.head - 1, -1):
        entry = &queue.entries[i]
        if entry.batch == NULL or entry.batch.room == NULL:
            continue
        room = <Fanout>entry.batch.room
        if not room.latest or room.stamp == core.stamp:
            continue
        for at in range(entry.last - 1, entry.first - 1, -1):
            if not entry.batch.frames[at].keep:
                room.stamp = core.stamp
                room.newest = entry.batch.frames[at].order
                break
    return 0


cdef int limit(Broadcaster core, Outbox outbox) except -1:
    cdef conn_t *conn = &outbox.conn
    sieve(core, conn, SUPERSEDED, 0.0, 0)
    if conn.queue != NULL and conn.pending > core.outbox_bytes:
        sieve(core, conn, OLDEST, 0.0, conn.pending - core.outbox_bytes)
    if conn.pending > core.outbox_bytes:
        core.slow += 1
        cut_off(core, outbox)
    return 0


cdef int balance(Broadcaster core) except -1:
    """While more is held than allowed, cut the connections that hold most."""
    cdef Outbox outbox
    if core.total - core.doomed <= core.total_bytes:
        return 0
    holders = [(-(<Outbox>held).conn.pending, i, held) for i, held in enumerate(core.holders)]
    for _, _, outbox in sorted(holders):
        if core.total - core.doomed <= core.total_bytes:
            break
        if not (outbox.conn.cut and (outbox.conn.ending or outbox.conn.over)):
            core.cut += 1
            cut_off(core, outbox)
    return 0


cdef int cut_off(Broadcaster core, Outbox outbox) except -1:
    cdef conn_t *conn = &outbox.conn
    outbox._clear()
    core.doomed += conn.handed - conn.doomed
    conn.doomed = conn.handed
    conn.cut = True
    if conn.ending:
        return finish(core, outbox)
    conn.over = True
    core.cut_off.append(outbox)
    return 0


cdef int give_up(Broadcaster core, Outbox outbox, int number) except -1:
    """The descriptor or the transport refused: nothing more is accepted or sent."""
    outbox._clear()
    outbox.conn.fd = -1
    outbox.conn.ending = outbox.conn.ended = True
    outbox._leave_all()
    core.failed += 1
    core.broken.append((outbox, number))
    return 0


cdef int tell(Broadcaster core) except -1:
    """Tell the sinks; each is told whatever the others raise."""
    cdef list broken = core.broken
    cdef list cut_off = core.cut_off
    cdef list done = core.done
    core.broken = []
    core.cut_off = []
    core.done = []
    calls = [(outbox, (<Outbox>outbox).sink.failed, (number,)) for outbox, number in broken]
    calls += [(outbox, (<Outbox>outbox).sink.slow, ()) for outbox in cut_off]
    calls += [(outbox, (<Outbox>outbox).sink.ended, ()) for outbox in done]
    for outbox, call, arguments in calls:
        if (<Outbox>outbox).conn.closed:
            continue
        try:
            call(*arguments)
        except Exception as error:
            core.errors.append(error)
    return 0
