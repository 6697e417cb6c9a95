# What the swarm believes of what it receives: nothing that it has not compared. Part of _swarm.pyx.


cdef void wrong(
    swarm_t *s, uint64_t *counter, client_t *c, const char *what, uint64_t a, uint64_t b
) noexcept nogil:
    """Count a fault; the first of all is told in words."""
    counter[0] += 1
    if s.first[0]:
        return
    snprintf(
        s.first, sizeof(s.first), "client %u: %.160s (%llu, %llu)",
        c.number, what, <unsigned long long>a, <unsigned long long>b,
    )


cdef void put_hex(uint8_t *to, uint64_t value, int digits) noexcept nogil:
    cdef int i, digit
    for i in range(digits):
        digit = <int>(value >> (4 * (digits - 1 - i)) & 15)
        to[i] = <uint8_t>(48 + digit if digit < 10 else 87 + digit)


cdef uint64_t read_hex(const uint8_t *p, int digits) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(digits):
        value = value << 4 | <uint64_t>((p[i] - 48 if p[i] <= 57 else p[i] - 87) & 15)
    return value


cdef void fill_payload(swarm_t *s, uint8_t *to, message_t *m) noexcept nogil:
    """STAMP bytes that name the message, then a stretch of the pattern that depends on its number."""
    put_hex(to, m.number, 16)
    put_hex(to + 16, m.publisher, 8)
    put_hex(to + 24, m.sequence, 8)
    memcpy(to + STAMP, s.pattern + m.number % 61, <size_t>s.payload - STAMP)


cdef inline message_t *seen_at(swarm_t *s, uint32_t room, uint64_t offset) noexcept nogil:
    """The message whose first copy came at this offset, as long as it is kept; or NULL."""
    cdef room_t *r = &s.rooms[room]
    cdef message_t *m = &s.messages[r.ring[offset & r.mask] & s.mask]
    if m.frame != NULL and m.offset == offset and m.room == room:
        return m
    return NULL


cdef inline void receipt(swarm_t *s, client_t *c, message_t *m) noexcept nogil:
    """A member has this message: the right one, in its place, with the right bytes."""
    c.next = m.offset + 1
    c.got += 1
    if c.stalled:
        return
    s.deliveries += 1
    m.receipts += 1
    if m.publisher == c.number and not m.back:
        m.back = True
        if m.answered:
            c.flying -= 1
    if m.timed and s.mode == PACED:
        record(&s.each, s.now - m.intended if s.now > m.intended else 0)
    if m.receipts >= m.target:
        with_everybody(s, m)


cdef void with_everybody(swarm_t *s, message_t *m) noexcept nogil:
    """No member waits for it any more: its copy can go."""
    m.whole = True
    (<uint8_t **>m.frame)[0] = s.spare
    s.spare = m.frame
    m.frame = NULL
    if m.holed:
        s.failed += 1
    else:
        s.completed += 1
        if m.timed:
            record(&s.last, s.now - m.intended if s.now > m.intended else 0)
    if m.answered:
        close_message(s, m)


cdef void close_message(swarm_t *s, message_t *m) noexcept nogil:
    m.open = False
    s.outstanding -= 1


cdef void excuse(swarm_t *s, client_t *c, uint64_t begin, uint64_t end, bint lost) noexcept nogil:
    """This member will not get the offsets from begin up to, not including, end: wait for the others only."""
    cdef uint64_t offset
    cdef message_t *m
    if c.stalled:
        return
    if end - begin > s.rooms[c.room].mask:
        begin = end - s.rooms[c.room].mask - 1  # what lies below was with everybody long ago
    for offset in range(begin, end):
        m = seen_at(s, c.room, offset)
        if m == NULL:
            continue
        m.holed = m.holed or lost
        m.receipts += 1
        if m.receipts >= m.target:
            with_everybody(s, m)


cdef message_t *published(swarm_t *s, client_t *c, span_t text, uint64_t offset) noexcept nogil:
    """The published message that this text is, or NULL: its stamp and every byte must be right."""
    cdef uint8_t expected[LARGEST]
    cdef uint64_t number
    cdef message_t *m
    if text.n != <size_t>s.payload:
        wrong(s, &s.errors.corrupt, c, "payload length", text.n, offset)
        return NULL
    number = read_hex(text.p, 16)
    m = &s.messages[number & s.mask]
    if number >= s.sent or m.number != number:
        if number >= s.sent or not c.stalled:  # a stalled member may read what is kept no longer
            wrong(s, &s.errors.corrupt, c, "never published", number, offset)
        return NULL
    fill_payload(s, expected, m)
    if memcmp(expected, text.p, text.n) != 0:
        wrong(s, &s.errors.corrupt, c, "payload", number, offset)
        return NULL
    if m.room != c.room:
        wrong(s, &s.errors.corrupt, c, "published in another room", number, offset)
        return NULL
    return m


cdef bint by_author(swarm_t *s, client_t *c, message_t *m, span_t user, uint64_t offset) noexcept nogil:
    cdef char name[NAME + 16]
    cdef int n = snprintf(name, sizeof(name), "%s%u", s.prefix, m.publisher)
    if same(user, name, <size_t>n):
        return True
    wrong(s, &s.errors.corrupt, c, "author", m.number, offset)
    return False


cdef bint place(swarm_t *s, room_t *r, message_t *m, uint64_t offset) noexcept nogil:
    """Let the room's ring lead to the message; grow it where one that is still missed stands in the way."""
    cdef message_t *other
    cdef uint64_t *wider
    cdef uint64_t mask, number
    cdef uint32_t i
    while True:
        number = r.ring[offset & r.mask]
        other = &s.messages[number & s.mask]
        if other.frame == NULL or other.room != m.room or other.offset & r.mask != offset & r.mask:
            r.ring[offset & r.mask] = m.number
            return True
        mask = <uint64_t>r.mask * 2 + 1
        if mask >= 2 * SPAN_LIMIT:
            return False
        wider = <uint64_t *>calloc(mask + 1, sizeof(uint64_t))
        if wider == NULL:
            return False
        for i in range(r.mask + 1):
            other = &s.messages[r.ring[i] & s.mask]
            if other.frame != NULL and other.room == m.room:
                wider[other.offset & mask] = r.ring[i]
        free(r.ring)
        r.ring = wider
        r.mask = <uint32_t>mask


cdef bint keep_first(
    swarm_t *s, client_t *c, message_t *m, uint64_t offset, const uint8_t *frame, size_t size
) noexcept nogil:
    """Keep the first copy, for the others to be compared with."""
    cdef client_t *author = &s.all[m.publisher]
    cdef room_t *r = &s.rooms[c.room]
    if m.offset:
        wrong(s, &s.errors.duplicate, c, "one message, two offsets", m.offset, offset)
        return False
    if not m.open:
        wrong(s, &s.errors.unexpected, c, "refused, and yet delivered", m.number, offset)
        return False
    if m.sequence < author.ordered:  # refused ones leave holes
        wrong(s, &s.errors.order, c, "sequence of its author", m.sequence, author.ordered)
    author.ordered = m.sequence + 1
    if m.acked and m.acked != offset:
        wrong(s, &s.errors.corrupt, c, "offset acknowledged otherwise", m.acked, offset)
    if size > s.frame_size:
        wrong(s, &s.errors.corrupt, c, "frame size", size, offset)
        return False
    if s.spare != NULL:
        m.frame = s.spare
        s.spare = (<uint8_t **>m.frame)[0]
    else:
        m.frame = <uint8_t *>malloc(s.frame_size)
        if m.frame == NULL:
            snprintf(failing(s), sizeof(s.failure), "out of memory")
            return False
    memcpy(m.frame, frame, size)
    m.size = <uint32_t>size
    m.target = r.live
    if not place(s, r, m, offset):
        snprintf(failing(s), sizeof(s.failure), "a member of room %s is too far behind", r.name)
        return False
    m.offset = offset
    r.top = max(r.top, offset)
    return True


cdef void at_offset(
    swarm_t *s, client_t *c, uint64_t offset, span_t text, span_t user, const uint8_t *frame, size_t size
) noexcept nogil:
    """A delivery that is not simply the next one as others got it."""
    cdef message_t *m
    if offset < c.next:
        wrong(s, &s.errors.duplicate, c, "offset again", offset, c.next)
        return
    if offset > c.next:
        wrong(s, &s.errors.lost, c, "offsets missing", c.next, offset)
        s.errors.lost += offset - c.next - 1
        excuse(s, c, c.next, offset, True)
    c.next = offset + 1  # whatever follows: report each fault once
    m = seen_at(s, c.room, offset)
    if m != NULL:
        if m.size == size and memcmp(m.frame, frame, size) == 0:  # after a hole
            receipt(s, c, m)
            return
        wrong(s, &s.errors.corrupt, c, "not what others got at this offset", offset, size)
        excuse(s, c, offset, offset + 1, True)
        return
    m = published(s, c, text, offset)
    if m == NULL or (user.p != NULL and not by_author(s, c, m, user, offset)):
        return
    if c.stalled:
        c.got += 1
    elif keep_first(s, c, m, offset, frame, size):
        receipt(s, c, m)


cdef void on_delivery(swarm_t *s, client_t *c, const uint8_t *frame, size_t size) noexcept nogil:
    """A delivery of a server without offsets. A single publisher's sequence stands for them; messages of
    several are numbered as they are first seen, and the others held to that.
    """
    cdef span_t text, nobody
    cdef uint64_t number, offset = s.rooms[c.room].top + 1
    cdef message_t *m
    text.p = frame + s.front_n
    text.n = <size_t>s.payload
    nobody.p = NULL
    nobody.n = 0
    number = read_hex(text.p, 16)
    m = &s.messages[number & s.mask]
    if number < s.sent and m.number == number:
        if s.publisher_count == 1:
            offset = <uint64_t>m.sequence + 1
        elif m.offset:
            offset = m.offset
    at_offset(s, c, offset, text, nobody, frame, size)
