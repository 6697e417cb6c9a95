# What a chat line needs of msgpack: a bounded reader that never runs past its end, and writers into room that
# the caller has made. Part of _swarm.pyx.

ctypedef struct span_t:
    const uint8_t *p
    size_t n

ctypedef struct reader_t:  # once bad, everything read is 0 or empty
    const uint8_t *at
    const uint8_t *end
    bint bad

cdef enum:
    OP_CONNECT = 1
    OP_JOIN = 2
    OP_PUBLISH = 4
    OP_PING = 16
    OP_PONG = 17
    OP_RESULT = 64
    OP_ERROR = 65
    OP_MESSAGE = 66
    OP_PRESENCE = 67
    OP_GAP = 71
    OP_PING_PUSH = 72
    OP_BYE = 74
    OVERLOADED = 101

# Body bytes of the heads 0xc0 to 0xdf where they do not depend on a length.
cdef uint8_t[32] FIXED_BODIES = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0, 0, 0, 0, 0, 0,
]


cdef uint64_t big_endian(const uint8_t *p, int n) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(n):
        value = value << 8 | p[i]
    return value


cdef uint8_t *put_bytes(uint8_t *p, uint64_t value, int n) noexcept nogil:
    while n > 0:
        n -= 1
        p[0] = <uint8_t>(value >> (8 * n))
        p += 1
    return p


cdef uint8_t *put_uint(uint8_t *p, uint64_t v) noexcept nogil:
    if v < 0x80:
        return put_bytes(p, v, 1)
    if v < 1 << 8:
        return put_bytes(put_bytes(p, 0xcc, 1), v, 1)
    if v < 1 << 16:
        return put_bytes(put_bytes(p, 0xcd, 1), v, 2)
    if v >> 32 == 0:
        return put_bytes(put_bytes(p, 0xce, 1), v, 4)
    return put_bytes(put_bytes(p, 0xcf, 1), v, 8)


cdef uint8_t *put_str_head(uint8_t *p, size_t n) noexcept nogil:
    """The head of a text of at most 65,535 bytes."""
    if n < 32:
        return put_bytes(p, 0xa0 | n, 1)
    if n < 256:
        return put_bytes(put_bytes(p, 0xd9, 1), n, 1)
    return put_bytes(put_bytes(p, 0xda, 1), n, 2)


cdef uint8_t *put_text(uint8_t *p, const char *text) noexcept nogil:
    cdef size_t n = strlen(text)
    p = put_str_head(p, n)
    memcpy(p, text, n)
    return p + n


cdef uint64_t read_number(reader_t *r, int n) noexcept nogil:
    cdef uint64_t value
    if r.bad or r.end - r.at < n:
        r.bad = True
        return 0
    value = big_endian(r.at, n)
    r.at += n
    return value


cdef uint32_t read_count(reader_t *r, uint8_t fix, uint8_t mask, uint8_t wide) noexcept nogil:
    """The length of a container whose short form is `fix | n` (n <= mask) and whose 16-bit form is `wide`."""
    cdef uint8_t head = <uint8_t>read_number(r, 1)
    if r.bad:
        return 0
    if head & <uint8_t>~mask == fix:
        return head & mask
    if head == wide:
        return <uint32_t>read_number(r, 2)
    if head == wide + 1:
        return <uint32_t>read_number(r, 4)
    r.bad = True
    return 0


cdef uint32_t read_array(reader_t *r) noexcept nogil:
    return read_count(r, 0x90, 0x0f, 0xdc)


cdef uint64_t read_uint(reader_t *r) noexcept nogil:
    cdef uint8_t head = <uint8_t>read_number(r, 1)
    if head < 0x80:
        return head
    if 0xcc <= head <= 0xcf:
        return read_number(r, 1 << (head - 0xcc))
    r.bad = True
    return 0


cdef span_t read_span(reader_t *r, size_t n) noexcept nogil:
    cdef span_t span
    span.p = r.at
    span.n = 0
    if r.bad or <size_t>(r.end - r.at) < n:
        r.bad = True
        return span
    span.n = n
    r.at += n
    return span


cdef span_t read_str(reader_t *r) noexcept nogil:
    cdef uint8_t head = <uint8_t>read_number(r, 1)
    cdef span_t nothing
    if head & 0xe0 == 0xa0:
        return read_span(r, head & 0x1f)
    if 0xd9 <= head <= 0xdb:
        return read_span(r, <size_t>read_number(r, 1 << (head - 0xd9)))
    r.bad = True
    nothing.p = r.at
    nothing.n = 0
    return nothing


cdef void skip(reader_t *r) noexcept nogil:
    """Pass over one value of any type; what is left to pass is counted, so nesting costs no stack."""
    cdef uint64_t left = 1
    cdef uint8_t h
    while left > 0 and not r.bad:
        left -= 1
        h = <uint8_t>read_number(r, 1)
        if h < 0x80 or h >= 0xe0:
            continue
        if h < 0x90:
            left += 2 * (h & 0x0f)
        elif h < 0xa0:
            left += h & 0x0f
        elif h < 0xc0:
            read_span(r, h & 0x1f)
        elif 0xc4 <= h <= 0xc6:
            read_span(r, <size_t>read_number(r, 1 << (h - 0xc4)))
        elif 0xc7 <= h <= 0xc9:
            read_span(r, <size_t>read_number(r, 1 << (h - 0xc7)) + 1)
        elif 0xd9 <= h <= 0xdb:
            read_span(r, <size_t>read_number(r, 1 << (h - 0xd9)))
        elif 0xdc <= h <= 0xdd:
            left += read_number(r, 2 if h == 0xdc else 4)
        elif h >= 0xde:
            left += 2 * read_number(r, 2 if h == 0xde else 4)
        else:
            read_span(r, FIXED_BODIES[h - 0xc0])


cdef bint read_key(reader_t *r, const char *key) noexcept nogil:
    """Whether the next value, a map, has `key`; the reader stands at its value then, else behind the map."""
    cdef uint32_t n = read_count(r, 0x80, 0x0f, 0xde)
    cdef size_t length = strlen(key)
    cdef span_t name
    while n > 0 and not r.bad:
        n -= 1
        name = read_str(r)
        if same(name, key, length):
            return not r.bad
        skip(r)
    return False


cdef bint same(span_t span, const char *text, size_t n) noexcept nogil:
    return span.n == n and memcmp(span.p, text, n) == 0


cdef uint64_t nanoseconds(int clock) noexcept nogil:
    cdef timespec t
    if clock_gettime(clock, &t) != 0:
        return 0
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec
