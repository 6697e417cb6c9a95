# Freezing what gathered into a round, and its end. Part of _broadcast.pyx.

cdef int freeze(Broadcaster core, double now) except -1:
    """Make a round of the due fan-outs' batches and the private frames."""
    cdef Fanout room
    cdef Outbox outbox
    cdef todo_t *todo
    cdef list rooms = core.ready
    cdef list gathered = core.gathered
    core.ready = []
    core.gathered = []
    if core.ticking:
        for room in list(core.ticking):
            if room.due <= now:
                del core.ticking[room]
                rooms.append(room)
    for room in rooms:
        freeze_room(core, room, now)
    for outbox in gathered:
        outbox.conn.gathered = False
        if outbox.conn.closed:
            continue
        todo = todo_of(core, &outbox.conn)
        todo.item = outbox.conn.item
        outbox.conn.item = outbox.conn.last_item = -1
        outbox.conn.mine = 0
    core.fresh, core.arena = core.arena, core.fresh
    if core.merging_slots <= core.source_count:
        core.merging = <source_t *>grown(
            core.merging, &core.merging_slots, core.source_count + 1, sizeof(source_t)
        )
    core.rounds += core.todo_count > 0
    return 0


cdef int freeze_room(Broadcaster core, Fanout room, double now) except -1:
    cdef batch_t *batches[3]
    cdef batch_t *batch
    cdef conn_t *conn
    cdef todo_t *todo
    cdef Outbox outbox
    cdef list left = room.left
    cdef list skips = room.skips
    cdef uint64_t since, until
    cdef int wire, i, first
    for wire in range(3):
        batch = batches[wire] = room.batches[wire]
        if batch == NULL:
            continue
        if core.frozen_count == core.frozen_slots:
            core.frozen = <batch_t **>grown(
                core.frozen, &core.frozen_slots, core.frozen_count + 1, sizeof(batch_t *)
            )
        core.frozen[core.frozen_count] = batch
        core.frozen_count += 1
        if batch.expiring:
            batch.stale = has_expired(batch, now)
        room.batches[wire] = NULL
        Py_INCREF(room)
    room.gathered = 0
    room.waiting = False
    if left:
        room.left = []
    if skips:
        room.skips = []
    if room.grid != NULL:
        return freeze_grid(core, room, batches, left)
    for outbox, since, until in left:
        conn = &outbox.conn
        batch = batches[conn.wire]
        first = after(batch, max(since, conn.floor), 0, batch.count)
        give(core, conn, batch, first, after(batch, until, first, batch.count), -1)
    for i in range(room.count):
        conn = room.members[i].conn
        batch = batches[conn.wire]
        if batch == NULL or not batch.count:
            continue
        first = after(batch, max(room.members[i].since, conn.floor), 0, batch.count)
        give(core, conn, batch, first, batch.count, -1)
    for outbox, since in skips:
        if batches[outbox.conn.wire] != NULL and outbox.conn.turn >= 0:
            skip_frame(core, &outbox.conn, batches[outbox.conn.wire], since)
            if batches[outbox.conn.wire].stale:
                todo = &core.todos[outbox.conn.turn]
                todo.stale = has_stale(core, todo)
    return 0


cdef bint has_stale(Broadcaster core, todo_t *todo) noexcept nogil:
    """Is something of a share from a stale batch?"""
    cdef source_t *source = &todo.source
    while True:
        if source.batch != NULL and source.batch.stale and (source.first < source.last or source.more >= 0):
            return True
        if source.next < 0:
            return False
        source = &core.sources[source.next]


cdef bint has_expired(batch_t *batch, double now) noexcept nogil:
    cdef int i
    for i in range(batch.count):
        if 0.0 < batch.frames[i].expires <= now:
            return True
    return False


cdef todo_t *todo_of(Broadcaster core, conn_t *conn) except NULL:
    """The connection's place in the round, made if it has none."""
    cdef todo_t *todo
    if conn.turn >= 0:
        return &core.todos[conn.turn]
    if core.todo_count == core.todo_slots:
        core.todos = <todo_t *>grown(core.todos, &core.todo_slots, core.todo_count + 1, sizeof(todo_t))
    core.owners.append(<object>conn.owner)
    todo = &core.todos[core.todo_count]
    conn.turn = core.todo_count
    core.todo_count += 1
    todo.conn = conn
    todo.source.batch = NULL
    todo.source.next = todo.source.more = -1
    todo.item = -1
    todo.stale = False
    todo.state = UNTRIED
    todo.sent = 0
    return todo


cdef int give(Broadcaster core, conn_t *conn, batch_t *batch, int first, int last, int more) except -1:
    """Add a range of a batch to the connection's share, and the chain of ranges that `more` begins."""
    cdef todo_t *todo
    cdef source_t *source
    if first == last or conn.over or conn.closed:
        return 0
    todo = todo_of(core, conn)
    todo.stale |= batch.stale
    source = &todo.source
    if source.batch != NULL:
        source = more_sources(core, todo)
    source.batch = batch
    source.first = first
    source.last = last
    source.more = more
    return 0


cdef source_t *more_sources(Broadcaster core, todo_t *todo) except NULL:
    """One more range of a share that has one."""
    cdef source_t *source
    if core.source_count == core.source_slots:
        core.sources = <source_t *>grown(
            core.sources, &core.source_slots, core.source_count + 1, sizeof(source_t)
        )
    source = &core.sources[core.source_count]
    source.next = todo.source.next
    source.more = -1
    todo.source.next = core.source_count
    core.source_count += 1
    return source


cdef int skip_frame(Broadcaster core, conn_t *conn, batch_t *batch, uint64_t order) except -1:
    """Take the frame of this order out of the connection's share."""
    cdef todo_t *todo = &core.todos[conn.turn]
    cdef source_t *source = &todo.source
    cdef int last
    cdef int at = after(batch, order - 1, 0, batch.count)
    while source.batch != batch or not source.first <= at < source.last:
        if source.next < 0:
            return 0
        source = &core.sources[source.next]
    if at == source.first:
        source.first += 1
    elif at == source.last - 1:
        source.last -= 1
    else:
        last = source.last
        source.last = at
        source = more_sources(core, todo)
        source.batch = batch
        source.first = at + 1
        source.last = last
    if todo.stale:
        todo.stale = any_stale(core, todo)  # perhaps no longer
    return 0


cdef bint any_stale(Broadcaster core, todo_t *todo) noexcept nogil:
    cdef source_t *source = &todo.source
    while True:
        if source.first < source.last and source.batch.stale:
            return True
        if source.next < 0:
            return False
        source = &core.sources[source.next]


cdef int thaw(Broadcaster core) except -1:
    """End the round: what no queue refers to goes."""
    cdef batch_t *batch
    cdef arena_t *arena = core.arena
    cdef int i
    for i in range(core.frozen_count):
        batch = core.frozen[i]
        if batch.joined != NULL:
            Py_DECREF(<object>batch.joined)
            batch.joined = NULL
        if batch.refs > 1:
            shrink(batch)
        unref(core, batch)
    core.frozen_count = core.todo_count = core.source_count = core.range_count = core.at = 0
    core.total -= arena.size
    arena.size = arena.count = 0
    if arena.space > KEPT_ARENA:
        free(arena.data)
        arena.data = NULL
        arena.space = 0
    core.owners.clear()
    return 0
