# Who of a room is near: members by the cells of a grid as wide as the radius. Part of _broadcast.pyx.
#
# A frame stands once in its batch, whoever gets it. What is each member's is a chain of ranges of the batch of
# their wire; those of a room stand in one array, which a round takes over as it is, since a range says how much
# further on the next one is.

cdef grid_t *grid_new(double radius) except NULL:
    cdef grid_t *grid
    if not LEAST_RADIUS <= radius <= MOST_RADIUS:
        raise ValueError(f"a radius is from {LEAST_RADIUS:g} to {MOST_RADIUS:g}")
    grid = <grid_t *>calloc(1, sizeof(grid_t))
    if grid == NULL:
        raise MemoryError
    grid.radius = radius
    return grid


cdef int grid_free(grid_t *grid) noexcept:
    if grid != NULL:
        free(grid.spots)
        free(grid.buckets)
        free(grid.ranges)
        free(grid.chosen)
        free(grid)
    return 0


cdef int check_place(double x, double y) except -1:
    if not (-FARTHEST <= x <= FARTHEST and -FARTHEST <= y <= FARTHEST):  # NaN fails every comparison
        raise ValueError(f"coordinates are numbers from {-FARTHEST:g} to {FARTHEST:g}")
    return 0


cdef int more_spots(grid_t *grid, int count) except -1:
    """Make room for one more member than `count`, who is nowhere yet."""
    cdef spot_t *spot
    if count >= grid.slots:
        grid.spots = <spot_t *>grown(grid.spots, &grid.slots, count + 1, sizeof(spot_t))
    spot = &grid.spots[count]
    spot.placed = False
    spot.first = spot.last = -1
    return 0


cdef inline int64_t cell_of(grid_t *grid, double coordinate) noexcept:
    return <int64_t>floor(coordinate / grid.radius)


cdef inline int *bucket_of(grid_t *grid, int64_t column, int64_t row) noexcept:
    cdef uint64_t mixed = <uint64_t>column * <uint64_t>0x9E3779B97F4A7C15ULL
    mixed = (mixed ^ <uint64_t>row) * <uint64_t>0xBF58476D1CE4E5B9ULL
    return &grid.buckets[(mixed ^ (mixed >> 32)) & <uint64_t>(grid.bucket_count - 1)]


cdef int link_spot(grid_t *grid, int at) noexcept:
    cdef spot_t *spot = &grid.spots[at]
    cdef int *bucket = bucket_of(grid, spot.column, spot.row)
    spot.before = -1
    spot.next = bucket[0]
    if spot.next >= 0:
        grid.spots[spot.next].before = at
    bucket[0] = at
    return 0


cdef int lift_spot(grid_t *grid, int at) noexcept:
    """Take a member from the grid."""
    cdef spot_t *spot = &grid.spots[at]
    if not spot.placed:
        return 0
    spot.placed = False
    grid.placed -= 1
    if spot.next >= 0:
        grid.spots[spot.next].before = spot.before
    if spot.before >= 0:
        grid.spots[spot.before].next = spot.next
    else:
        bucket_of(grid, spot.column, spot.row)[0] = spot.next
    return 0


cdef int place_spot(grid_t *grid, int count, int at, double x, double y) except -1:
    """Put member number `at` of `count` at this place."""
    cdef spot_t *spot = &grid.spots[at]
    cdef int64_t column = cell_of(grid, x)
    cdef int64_t row = cell_of(grid, y)
    if spot.placed and spot.column == column and spot.row == row:
        spot.x = x
        spot.y = y
        return 0
    if grid.placed >= grid.bucket_count:
        more_buckets(grid, count)
    lift_spot(grid, at)
    spot.x = x
    spot.y = y
    spot.column = column
    spot.row = row
    spot.placed = True
    grid.placed += 1
    link_spot(grid, at)
    return 0


cdef int more_buckets(grid_t *grid, int count) except -1:
    cdef int wanted = grid.bucket_count * 2 if grid.bucket_count else 8
    cdef int *made = <int *>realloc(NULL, wanted * sizeof(int))
    cdef int i
    if made == NULL:
        raise MemoryError
    memset(made, 0xFF, wanted * sizeof(int))  # -1 in each
    free(grid.buckets)
    grid.buckets = made
    grid.bucket_count = wanted
    for i in range(count):
        if grid.spots[i].placed:
            link_spot(grid, i)
    return 0


cdef int drop_spot(grid_t *grid, int at, int last) noexcept:
    """Member number `at` goes, and the last one takes that number."""
    cdef bint placed = grid.spots[last].placed
    lift_spot(grid, at)
    if at == last:
        return 0
    lift_spot(grid, last)
    grid.spots[at] = grid.spots[last]
    if placed:
        grid.spots[at].placed = True
        grid.placed += 1
        link_spot(grid, at)
    return 0


cdef int choose(Fanout room, at) except -1:
    """Make `chosen` the numbers of the members near a place, or of all where it is None."""
    cdef grid_t *grid = room.grid
    cdef double x, y
    cdef int i
    grid.chosen_count = 0
    if at is not None:
        x, y = at
        check_place(x, y)
    if room.count > grid.chosen_slots:
        grid.chosen = <int *>grown(grid.chosen, &grid.chosen_slots, room.count, sizeof(int))
    if at is not None:
        return choose_near(grid, x, y)
    for i in range(room.count):
        grid.chosen[i] = i
    grid.chosen_count = room.count
    return 0


cdef int choose_near(grid_t *grid, double x, double y) noexcept:
    cdef double reach = grid.radius * LOOK
    cdef int64_t left = cell_of(grid, x - reach)
    cdef int64_t right = cell_of(grid, x + reach)
    cdef int64_t low = cell_of(grid, y - reach)
    cdef int64_t high = cell_of(grid, y + reach)
    cdef int64_t column, row
    cdef spot_t *spot
    cdef double dx, dy
    cdef int i
    if not grid.placed:
        return 0
    for column in range(left, right + 1):
        for row in range(low, high + 1):
            i = bucket_of(grid, column, row)[0]
            while i >= 0:
                spot = &grid.spots[i]
                dx = spot.x - x
                dy = spot.y - y
                # others may be in the same bucket, and are seen where it is their cell's turn
                if spot.column == column and spot.row == row and dx * dx + dy * dy <= grid.radius * grid.radius:
                    grid.chosen[grid.chosen_count] = i
                    grid.chosen_count += 1
                i = spot.next
    return 0


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
