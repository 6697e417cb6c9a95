# With the GIL: what a connection did not take goes to its transport, or waits. Part of _broadcast.pyx.

cdef int attend(Broadcaster core, todo_t *todo, double now) except -1:
    """Finish with a connection that the sweep could not serve."""
    cdef conn_t *conn = todo.conn
    cdef Py_ssize_t sent = todo.sent if todo.state == PARTIAL else 0
    cdef Outbox outbox
    if conn == NULL:
        return 0
    outbox = <Outbox>conn.owner
    if todo.state == REFUSED:
        conn.turn = -1
        return give_up(core, outbox, todo.sent)
    if todo.stale:
        wait(core, outbox, todo, 0)
    if conn.queue != NULL and not conn.paused:
        sieve(core, conn, EXPIRED, now, 0)
    if todo.state != SENT:
        deliver(core, outbox, todo, sent)
    conn.turn = -1
    if conn.queue != NULL:
        limit(core, outbox)
    return finish(core, outbox)


cdef int finish(Broadcaster core, Outbox outbox) except -1:
    cdef conn_t *conn = &outbox.conn
    if conn.ending and not conn.ended and not conn.closed and conn.queue == NULL and not conn.gathered:
        conn.ended = True
        core.done.append(outbox)
    return 0


cdef int deliver(Broadcaster core, Outbox outbox, todo_t *todo, Py_ssize_t sent) except -1:
    """Hand over what is left of a share after `sent` bytes, or let it wait."""
    cdef conn_t *conn = &outbox.conn
    cdef merge_t merge
    cdef run_t run
    cdef Py_ssize_t size = 0
    cdef int64_t frames = 0
    cdef bytes data
    begin_merge(core, todo, &merge)
    while next_run(core, &merge, &run):
        size += run.size
        frames += run.last - run.first
    if not size:
        return drain(core, outbox, 0)
    if conn.queue == NULL and (sent or not conn.paused) and size - sent <= core.hand:
        core.deliveries += frames
        data = rest_of(core, todo, size, sent)
        todo.source.batch = NULL
        todo.source.next = todo.item = -1
        return hand_over(core, outbox, data)
    return drain(core, outbox, wait(core, outbox, todo, sent))


cdef Py_ssize_t wait(Broadcaster core, Outbox outbox, todo_t *todo, Py_ssize_t sent) except -1:
    """Let a share wait without its first `sent` bytes; returns how many of its first frame are out."""
    cdef merge_t merge
    begin_merge(core, todo, &merge)
    sent = enqueue(core, &outbox.conn, &merge, sent)
    todo.source.batch = NULL
    todo.source.next = todo.item = -1
    core.holders[outbox] = None
    return sent


cdef bytes rest_of(Broadcaster core, todo_t *todo, Py_ssize_t size, Py_ssize_t sent):
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
    begin_merge(core, todo, &merge)
    while next_run(core, &merge, &run):
        if run.size <= sent:
            sent -= run.size
            continue
        memcpy(to, run.data + sent, run.size - sent)
        to += run.size - sent
        sent = 0
    return data


cdef int hand_over(Broadcaster core, Outbox outbox, bytes data) except -1:
    cdef conn_t *conn = &outbox.conn
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    core.written += 1
    core.bytes += size
    conn.handed += size
    conn.pending += size
    core.total += size
    core.holders[outbox] = None
    try:
        outbox.sink.write(data)
    except Exception as error:
        core.errors.append(error)
        give_up(core, outbox, getattr(error, "errno", None) or 0)
    if not conn.paused:
        returned(core, conn)
    return 0


cdef int returned(Broadcaster core, conn_t *conn) except -1:
    """The transport holds nothing any more."""
    core.total -= conn.handed
    core.doomed -= conn.doomed
    conn.pending -= conn.handed
    conn.handed = conn.doomed = 0
    if conn.queue == NULL and core.holders:
        core.holders.pop(<object>conn.owner, None)
    return 0
