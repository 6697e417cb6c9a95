# Who of a room is near: members by the cells of a grid as wide as the radius. Part of _broadcast.pyx.

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
    cdef double x = 0.0
    cdef double y = 0.0
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
