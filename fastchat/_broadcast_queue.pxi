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
    begin_merge(core, todo, &merge)
    sent = enqueue(core, conn, &merge, sent)
    todo.source.batch = NULL
    todo.source.next = todo.item = -1
    core.holders[outbox] = None
    return drain(core, outbox, sent)


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


cdef Py_ssize_t enqueue(Broadcaster core, conn_t *conn, merge_t *merge, Py_ssize_t sent) except -1:
    """Let a share wait without its first `sent` bytes; returns how many of its first frame are out."""
    cdef run_t run
    cdef Py_ssize_t begun = 0
    cdef Py_ssize_t size
    cdef int i
    for i in range(merge.live):
        size = span(merge.sources[i].batch, merge.sources[i].first, merge.sources[i].last)
        merge.sources[i].own = 2 * size < merge.sources[i].batch.size
    while next_run(core, merge, &run):
        while sent and run.batch != NULL and run.first < run.last:
            size = span(run.batch, run.first, run.first + 1)
            if sent < size:
                break
            sent -= size
            run.size -= size
            run.first += 1
            core.deliveries += 1
        if sent >= run.size:
            sent -= run.size
            continue
        begun += sent
        sent = 0
        conn.pending += run.size
        if run.batch == NULL:
            copy_frame(core, conn, NULL, run.data, run.size)
        else:
            keep_range(core, conn, run.batch, run.first, run.last, run.own)
    return begun


cdef int keep_range(Broadcaster core, conn_t *conn, batch_t *batch, int first, int last, bint own) except -1:
    """Put a range at the end of the queue: a reference, or a copy where that would pin too much."""
    cdef entry_t *entry
    cdef int at
    cdef Fanout room = <Fanout>batch.room
    if own:
        for at in range(first, last):
            copy_frame(core, conn, batch, batch.data + start_of(batch, at), at)
    else:
        entry = queue_push(conn)
        entry.batch = batch
        entry.first = first
        entry.last = last
        batch.refs += 1
    conn.queue.expiring |= batch.expiring
    conn.queue.latest |= room.latest
    return 0


cdef int copy_frame(Broadcaster core, conn_t *conn, batch_t *source, char *data, Py_ssize_t what) except -1:
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
    core.total += size
    return 0


cdef int drain(Broadcaster core, Outbox outbox, Py_ssize_t sent) except -1:
    """Hand the queue to the transport until it pauses; of the first frame `sent` bytes are out."""
    cdef conn_t *conn = &outbox.conn
    cdef bytes data
    while conn.queue != NULL and (sent or not conn.paused):
        data = take(core, outbox, sent)
        sent = 0
        if data is not None:
            hand_over(core, outbox, data)
    return 0


cdef bytes take(Broadcaster core, Outbox outbox, Py_ssize_t sent):
    """Some whole frames from the head of the queue, without the first `sent` bytes; None: look again."""
    cdef conn_t *conn = &outbox.conn
    cdef queue_t *queue = conn.queue
    cdef entry_t *entry
    cdef uint64_t clears = core.clears
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t step
    cdef bint full = False
    cdef int i = queue.head
    cdef int last = 0  # of entry number i
    cdef bytes data
    while i < queue.count and not full:
        if queue.entries[i].batch == NULL:
            fill_gap(core, outbox, i)
            if core.clears != clears or conn.closed:
                return None
        entry = &queue.entries[i]
        last = entry.first
        while last < entry.last:
            step = span(entry.batch, last, last + 1)
            full = size > 0 and size + step > core.hand
            if full:
                break
            size += step
            last += 1
        if not full:
            i += 1
    data = PyBytes_FromStringAndSize(NULL, size - sent)
    pop(core, conn, i, last, PyBytes_AS_STRING(data), sent)
    conn.pending -= size
    return data


cdef int pop(Broadcaster core, conn_t *conn, int stop, int last, char *to, Py_ssize_t sent) except -1:
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
            core.deliveries += end - entry.first
        entry.first = end
        if queue.head == stop:
            break
        queue.head += 1
        unref(core, entry.batch)
    if queue.head == queue.count:
        conn.queue = NULL
        free(queue.entries)
        free(queue)
    return 0


cdef int fill_gap(Broadcaster core, Outbox outbox, int at) except -1:
    """Replace the gap at this place of the queue by its frame."""
    cdef conn_t *conn = &outbox.conn
    cdef entry_t *entry = &conn.queue.entries[at]
    cdef Fanout room = <Fanout>entry.room
    cdef uint64_t clears = core.clears
    cdef bytes payload
    cdef Py_ssize_t size, head
    cdef batch_t *batch
    try:
        payload = room.gap(entry.start, entry.end, WHY[entry.why])
        if conn.wire == 2:
            payload = core.to_json(payload)
        size = PyBytes_GET_SIZE(payload)
        head = head_size(conn.wire, size)
    except Exception as error:
        core.errors.append(error)
        payload = b""
        size = head = 0
    if core.clears != clears or conn.closed:
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
    core.total += batch.size
    conn.pending += batch.size
    entry = &conn.queue.entries[at]
    entry.batch = batch
    entry.first = 0
    entry.last = 1
    entry.room = NULL
    Py_DECREF(room)
    return 0


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
