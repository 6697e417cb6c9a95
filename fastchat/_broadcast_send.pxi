# The loop without the GIL: one send for each connection, in the order of the puts. Part of _broadcast.pyx.
#
# Only C arrays are touched here, and they do not move: the round owns its outboxes and batches.

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


cdef int serve(Broadcaster core, double now) except -1:
    """Go on with the round until it ends or the limits of one flush are reached."""
    cdef int served = 0
    cdef int begin, k
    cdef double deadline
    if core.at >= core.todo_count:
        return 0
    deadline = core.clock() + core.flush_seconds
    while True:
        begin = core.at
        with nogil:
            sweep(core, min(core.todo_count, begin + min(SWEEP, core.flush_sends - served)))
        served += core.at - begin
        if core.begun >= 0:  # a frame begun comes first: nothing another sink does may come between
            attend(core, &core.todos[core.begun], now)
        for k in range(core.later_count):
            attend(core, &core.todos[core.later[k]], now)
        if core.at >= core.todo_count or served >= core.flush_sends or core.clock() >= deadline:
            return 0


cdef int sweep(Broadcaster core, int stop) noexcept nogil:
    """Send what goes without the GIL; ends early after a send that took only a part."""
    cdef todo_t *todo
    cdef conn_t *conn
    core.later_count = 0
    core.begun = -1
    while core.at < stop:
        todo = &core.todos[core.at]
        core.at += 1
        conn = todo.conn
        if conn == NULL:
            continue
        if conn.fd >= 0 and not conn.paused and conn.queue == NULL and not todo.stale:
            if todo.source.next >= 0 or (
                todo.source.batch != NULL and (todo.item >= 0 or todo.source.more >= 0)
            ):
                send_merged(core, todo)
            elif todo.source.batch != NULL:
                send_range(core, todo)
            elif todo.item >= 0:
                send_items(core, todo)
        if todo.state == SENT and not conn.ending:
            conn.turn = -1
            continue
        if todo.state == PARTIAL and todo.sent:
            core.begun = core.at - 1
            break
        core.later[core.later_count] = core.at - 1
        core.later_count += 1
    return 0


cdef int send_range(Broadcaster core, todo_t *todo) noexcept nogil:
    cdef source_t *source = &todo.source
    cdef Py_ssize_t start = start_of(source.batch, source.first)
    cdef iovec slice
    if source.first == source.last:
        return 0
    slice.iov_base = source.batch.data + start
    slice.iov_len = start_of(source.batch, source.last) - start
    if push(core, todo, &slice, 1, slice.iov_len):
        todo.state = SENT
        core.deliveries += source.last - source.first
    return 0


cdef int send_items(Broadcaster core, todo_t *todo) noexcept nogil:
    cdef iovec slice
    cdef item_t *item = &core.arena.items[todo.item]
    if item.next >= 0:
        return send_merged(core, todo)
    slice.iov_base = core.arena.data + item.start
    slice.iov_len = item.end - item.start
    if push(core, todo, &slice, 1, slice.iov_len):
        todo.state = SENT
    return 0


cdef int send_merged(Broadcaster core, todo_t *todo) noexcept nogil:
    cdef iovec slices[SLICES]
    cdef merge_t merge
    cdef run_t run
    cdef Py_ssize_t size = 0
    cdef int64_t frames = 0
    cdef int count = 0
    begin_merge(core, todo, &merge)
    while next_run(core, &merge, &run):
        slices[count].iov_base = run.data
        slices[count].iov_len = run.size
        size += run.size
        frames += run.last - run.first
        count += 1
        if count == SLICES:
            if not push(core, todo, slices, count, size):
                return 0
            count = 0
            size = 0
    if count and not push(core, todo, slices, count, size):
        return 0
    if todo.sent or count:
        todo.state = SENT
        core.deliveries += frames
    return 0


cdef bint push(Broadcaster core, todo_t *todo, iovec *slices, int count, Py_ssize_t size) noexcept nogil:
    """One system call; True: it took all. Else the state tells, and `sent` counts what is out."""
    cdef ssize_t sent = -EINTR
    if not size:
        return True
    while sent == -EINTR:
        core.sent += 1
        sent = core.sender(&core.fault, todo.conn.fd, slices, count)
    if sent == size:
        todo.sent += sent
        core.bytes += sent
        return True
    if sent >= 0:
        core.partial += 1
        core.bytes += sent
        todo.sent += sent
        todo.state = PARTIAL
    elif sent == -EAGAIN:
        core.again += 1
        todo.state = PARTIAL
    else:
        todo.sent = -sent
        todo.state = REFUSED
    return False


cdef int begin_merge(Broadcaster core, todo_t *todo, merge_t *merge) noexcept nogil:
    """Begin with the whole share; there is room for every range of the round in `merging`."""
    cdef source_t *source = &todo.source
    merge.sources = core.merging
    merge.live = 0
    merge.item = todo.item
    while source.batch != NULL:
        if source.first < source.last:
            merge.sources[merge.live] = source[0]
            merge.live += 1
        if source.next < 0:
            break
        source = &core.sources[source.next]
    return 0


cdef bint next_run(Broadcaster core, merge_t *merge, run_t *run) noexcept nogil:
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
        item = &core.arena.items[merge.item]
        if source == NULL or item.order < least:
            run.data = core.arena.data + item.start
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
    if source.first < source.last:
        return True
    if source.more >= 0:
        advance(core, source)
        return True
    merge.live -= 1
    source[0] = merge.sources[merge.live]
    return True
