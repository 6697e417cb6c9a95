# Growing arrays, batches and their frames, frame headers. Part of _broadcast.pyx.

cdef inline void *grown(void *array, int *slots, int needed, size_t size) except NULL:
    """The array with room for `needed` elements of `size` bytes; doubling."""
    cdef int wanted = slots[0] * 2 if slots[0] else 4
    cdef void *moved
    while wanted < needed:
        wanted *= 2
    moved = realloc(array, wanted * size)
    if moved == NULL:
        raise MemoryError
    slots[0] = wanted
    return moved


cdef inline int reserve(char **data, Py_ssize_t *space, Py_ssize_t needed) except -1:
    """Make room for `needed` bytes in all; the buffer is there even for none."""
    cdef Py_ssize_t wanted = space[0] * 2 if space[0] else 512
    cdef char *moved
    if needed <= space[0] and data[0] != NULL:
        return 0
    while wanted < needed:
        wanted *= 2
    moved = <char *>realloc(data[0], wanted)
    if moved == NULL:
        raise MemoryError
    data[0] = moved
    space[0] = wanted
    return 0


cdef batch_t *batch_new(PyObject *room) except NULL:
    cdef batch_t *batch = <batch_t *>calloc(1, sizeof(batch_t))
    if batch == NULL:
        raise MemoryError
    batch.room = room
    batch.refs = 1
    return batch


cdef int batch_reserve(batch_t *batch, Py_ssize_t size) except -1:
    """Make room for one more frame of `size` bytes."""
    reserve(&batch.data, &batch.space, batch.size + size)
    if batch.count == batch.slots:
        batch.frames = <frame_t *>grown(batch.frames, &batch.slots, batch.count + 1, sizeof(frame_t))
    return 0


cdef inline Py_ssize_t start_of(batch_t *batch, int at) noexcept nogil:
    return batch.frames[at - 1].end if at else 0


cdef inline Py_ssize_t span(batch_t *batch, int first, int last) noexcept nogil:
    return start_of(batch, last) - start_of(batch, first)


cdef int after(batch_t *batch, uint64_t order, int low, int high) noexcept nogil:
    """Index of the first frame in [low, high) put after `order`."""
    cdef int middle
    if low < high and batch.frames[low].order > order:
        return low
    if low < high and batch.frames[high - 1].order <= order:
        return high
    while low < high:
        middle = (low + high) // 2
        if batch.frames[middle].order > order:
            high = middle
        else:
            low = middle + 1
    return low


cdef inline Py_ssize_t head_size(int wire, Py_ssize_t size) noexcept nogil:
    if wire == 0:
        return 4
    return 2 if size < 126 else 4 if size < 65536 else 10


cdef inline char *put_head(char *to, int wire, Py_ssize_t size) noexcept nogil:
    """PROTOCOL "Framing"; RFC 6455 section 5.2: FIN, no mask, the shortest length."""
    cdef int i
    if wire == 0:
        for i in range(4):
            to[i] = <char>(size >> (24 - 8 * i))
        return to + 4
    to[0] = <char>(0x81 if wire == 2 else 0x82)
    if size < 126:
        to[1] = <char>size
        return to + 2
    if size < 65536:
        to[1] = 126
        to[2] = <char>(size >> 8)
        to[3] = <char>size
        return to + 4
    to[1] = 127
    for i in range(8):
        to[2 + i] = <char>(<uint64_t>size >> (56 - 8 * i))
    return to + 10


cdef int shrink(batch_t *batch) except -1:
    """Give back what a batch did not need, now that a queue keeps it."""
    cdef void *moved = realloc(batch.data, batch.size)
    if moved != NULL:
        batch.data = <char *>moved
        batch.space = batch.size
    moved = realloc(batch.frames, batch.count * sizeof(frame_t))
    if moved != NULL:
        batch.frames = <frame_t *>moved
        batch.slots = batch.count
    return 0


cdef int unref(Broadcaster core, batch_t *batch) except -1:
    batch.refs -= 1
    if batch.refs:
        return 0
    core.total -= batch.size
    room = batch.room
    free(batch.data)
    free(batch.frames)
    free(batch)
    if room != NULL:
        Py_DECREF(<object>room)
    return 0
