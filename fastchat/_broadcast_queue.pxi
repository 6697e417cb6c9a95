# What waits for a connection that does not keep up: references to batches. Part of _broadcast.pyx.

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


cdef Py_ssize_t enqueue(Broadcaster core, conn_t *conn, merge_t *merge, Py_ssize_t sent) except -1:
    """Let a share wait without its first `sent` bytes; returns how many of its first frame are out."""
    cdef run_t run
    cdef Py_ssize_t begun = 0
    cdef Py_ssize_t size
    cdef int i
    for i in range(merge.live):
        size = span(merge.sources[i].batch, merge.sources[i].first, merge.sources[i].last)
        merge.sources[i].own = merge.sources[i].more >= 0 or 2 * size < merge.sources[i].batch.size
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


cdef int empty_queue(Broadcaster core, conn_t *conn) except -1:
    cdef queue_t *queue = conn.queue
    cdef int i
    if queue == NULL:
        return 0
    conn.queue = NULL
    core.clears += 1
    for i in range(queue.head, queue.count):
        if queue.entries[i].batch != NULL:
            unref(core, queue.entries[i].batch)
        else:
            Py_DECREF(<object>queue.entries[i].room)
    free(queue.entries)
    free(queue)
    return 0
