# Puts for those who are near, and what is each one's of a batch. Part of _broadcast.pyx.
#
# A frame stands once in its batch, whoever gets it. What is each member's is a chain of ranges of the batch of
# their wire; those of a room stand in one array, which a round takes over as it is, since a range says how much
# further on the next one is.

cdef int choose_but(Fanout room, at, skip, int *on_wire) except -1:
    """Choose, without those to skip, and count the chosen ones of each wire."""
    cdef grid_t *grid = room.grid
    cdef int i, k, number
    choose(room, at)
    for outbox in skip:
        if outbox not in room:
            continue
        k = seat_in(&(<Outbox>outbox).conn, <PyObject *>room)
        number = (<Outbox>outbox).conn.seats[k].at
        for i in range(grid.chosen_count):
            if grid.chosen[i] == number:
                grid.chosen_count -= 1
                grid.chosen[i] = grid.chosen[grid.chosen_count]
                break
    on_wire[0] = on_wire[1] = on_wire[2] = 0
    for i in range(grid.chosen_count):
        on_wire[room.members[grid.chosen[i]].conn.wire] += 1
    return 0


cdef bint put_chosen(
    Fanout room, bytes payload, int64_t offset, at, skip, double expires, bint keep
) except -1:
    """`Fanout.put` where there is a radius; the batch has room."""
    cdef Broadcaster core = room.core
    cdef grid_t *grid = room.grid
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef bytes text = None
    cdef int on_wire[3]
    cdef int wire, i
    choose_but(room, at, skip, on_wire)
    if on_wire[2]:
        text = core.to_json(payload)
        choose_but(room, at, skip, on_wire)  # again, for that was Python
        text = text if on_wire[2] else None
    for wire in range(3):  # whatever can fail comes before anything is queued
        if on_wire[wire]:
            room._reserve(wire, PyBytes_GET_SIZE(text) if wire == 2 else size)
    if grid.range_count + grid.chosen_count > grid.range_slots:
        grid.ranges = <range_t *>grown(
            grid.ranges, &grid.range_slots, grid.range_count + grid.chosen_count, sizeof(range_t)
        )
    core.messages += 1
    if not grid.chosen_count:
        return True
    core.order += 1
    for wire in range(3):
        if on_wire[wire]:
            room._append(wire, text if wire == 2 else payload, offset, expires, keep)
    for i in range(grid.chosen_count):
        pick(grid, grid.chosen[i], room.batches[room.members[grid.chosen[i]].conn.wire].count - 1)
    room.gathered += size
    room._stir()
    return True


cdef int pick(grid_t *grid, int at, int frame) noexcept:
    """Add a frame to what is the member's; there is room for one more range."""
    cdef spot_t *spot = &grid.spots[at]
    cdef range_t *last
    if spot.last >= 0:
        last = &grid.ranges[spot.last]
        if last.last == frame:
            last.last += 1
            return 0
        last.next = grid.range_count - spot.last
    else:
        spot.first = grid.range_count
    spot.last = grid.range_count
    last = &grid.ranges[grid.range_count]
    last.first = frame
    last.last = frame + 1
    last.next = 0
    grid.range_count += 1
    return 0


cdef int freeze_grid(Broadcaster core, Fanout room, batch_t **batches, list left) except -1:
    """Give all their ranges of the room's frozen batches."""
    cdef grid_t *grid = room.grid
    cdef int base = core.range_count
    cdef Outbox outbox
    cdef conn_t *conn
    cdef int i, first
    if not grid.range_count:
        return 0
    if base + grid.range_count > core.range_slots:
        core.ranges = <range_t *>grown(
            core.ranges, &core.range_slots, base + grid.range_count, sizeof(range_t)
        )
    memcpy(core.ranges + base, grid.ranges, grid.range_count * sizeof(range_t))
    core.range_count += grid.range_count
    grid.range_count = 0
    for outbox, first, _ in left:
        give_ranges(core, &outbox.conn, batches[outbox.conn.wire], base + first)
    for i in range(room.count):
        first = grid.spots[i].first
        if first >= 0:
            conn = room.members[i].conn
            give_ranges(core, conn, batches[conn.wire], base + first)
            grid.spots[i].first = grid.spots[i].last = -1
    return 0


cdef int give_ranges(Broadcaster core, conn_t *conn, batch_t *batch, int at) except -1:
    """Add a chain of ranges to the connection's share, but for what it has forgotten."""
    cdef int begin = after(batch, conn.floor, 0, batch.count)
    cdef range_t *piece = &core.ranges[at]
    while piece.last <= begin:
        if not piece.next:
            return 0
        at += piece.next
        piece = &core.ranges[at]
    return give(core, conn, batch, max(piece.first, begin), piece.last, at + piece.next if piece.next else -1)


cdef inline int advance(Broadcaster core, source_t *source) noexcept nogil:
    """Go to the next range of a chain."""
    cdef range_t *piece = &core.ranges[source.more]
    source.first = piece.first
    source.last = piece.last
    source.more = source.more + piece.next if piece.next else -1
    return 0
