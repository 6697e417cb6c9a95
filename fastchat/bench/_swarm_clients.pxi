# A client's way: connect, greet, join, and one day go. Part of _swarm.pyx.


cdef uint64_t chance(swarm_t *s) noexcept nogil:
    """splitmix64: the seed makes a run repeatable."""
    cdef uint64_t z
    s.seed += <uint64_t>0x9e3779b97f4a7c15
    z = s.seed
    z = (z ^ (z >> 30)) * <uint64_t>0xbf58476d1ce4e5b9
    z = (z ^ (z >> 27)) * <uint64_t>0x94d049bb133111eb
    return z ^ (z >> 31)


cdef double uniform(swarm_t *s) noexcept nogil:
    """In (0, 1)."""
    return (<double>(chance(s) >> 11) + 0.5) / <double>(<uint64_t>1 << 53)


cdef void greet(swarm_t *s, client_t *c) noexcept nogil:
    cdef uint8_t out[NAME + 64]
    cdef char name[NAME + 16]
    cdef uint8_t *p = out
    snprintf(name, sizeof(name), "%s%u", s.prefix, c.number)
    p = put_bytes(p, <uint64_t>0x9401010181, 5)  # [1 CONNECT, id 1, version 1, {
    p = put_text(put_text(p, "name"), name)
    say(s, c, out, <size_t>(p - out))
    push_out(s, c)
    c.state = GREETING


cdef void join(swarm_t *s, client_t *c) noexcept nogil:
    cdef uint8_t out[NAME + 64]
    cdef uint8_t *p = out
    p = put_text(put_bytes(p, 0x930202, 3), s.rooms[c.room].name)  # [2 JOIN, id 2, room]
    say(s, c, out, <size_t>(p - out))
    push_out(s, c)
    c.state = JOINING


cdef void be_ready(swarm_t *s, client_t *c) noexcept nogil:
    c.state = READY
    c.acked = 0
    s.ready += 1
    if c.stalled:
        watch(s, c, EPOLLET)
        return
    s.live += 1
    s.live_publishers += c.publishes
    s.rooms[c.room].live += 1


cdef void turned_away(swarm_t *s, client_t *c) noexcept nogil:
    """Admission keeps this client out; its room does without it."""
    close(c.fd)
    c.state = CLOSED
    s.refused_connections += 1


cdef void gone(swarm_t *s, client_t *c, const char *how) noexcept nogil:
    """The connection ended before its time. Nobody waits for what this member misses."""
    cdef room_t *r = &s.rooms[c.room]
    cdef uint64_t number
    cdef message_t *m
    if c.state != READY:
        if s.admission and c.bye == OVERLOADED:
            turned_away(s, c)
            return
        if c.bye:
            snprintf(
                failing(s), sizeof(s.failure), "client %u was sent away with BYE %llu before it was ready; %u are in",
                c.number, <unsigned long long>c.bye, s.ready,
            )
        else:
            snprintf(
                failing(s), sizeof(s.failure), "client %u was closed (%s) before it was ready; %u are in",
                c.number, how, s.ready,
            )
        return
    close(c.fd)
    c.state = CLOSED
    if c.stalled:
        s.cut += 1
        return
    wrong(s, &s.errors.closed, c, how, c.bye, 0)
    s.broken = True
    s.live -= 1
    s.live_publishers -= c.publishes
    r.live -= 1
    if s.live == 0:
        return
    excuse(s, c, c.next, r.top + 1, False)
    for number in range(s.oldest, s.sent):
        m = &s.messages[number & s.mask]
        if m.open and not m.answered and m.publisher == c.number:
            s.errors.unacknowledged += 1
            answer(s, c, m)


cdef bint grow(swarm_t *s) noexcept nogil:
    """Twice the room for messages under way; False at the limit."""
    cdef uint64_t cap = (s.mask + 1) * 2, number
    cdef message_t *wider
    if cap > SPAN_LIMIT:
        return False
    wider = <message_t *>calloc(cap, sizeof(message_t))
    if wider == NULL:
        return False
    for number in range(s.sent - s.mask - 1, s.sent):  # full: each slot holds one of these
        wider[number & (cap - 1)] = s.messages[number & s.mask]
    free(s.messages)
    s.messages = wider
    s.mask = cap - 1
    return True


cdef bint publish(swarm_t *s, client_t *c, uint64_t intended) noexcept nogil:
    """Put a message into the client's outgoing bytes; False if too much is under way."""
    cdef message_t *m
    cdef uint8_t *p = s.bytes_out
    while s.oldest < s.sent and not s.messages[s.oldest & s.mask].open:
        s.oldest += 1
    if s.sent - s.oldest > s.mask and not grow(s):
        s.behind = True
        return False
    m = &s.messages[s.sent & s.mask]
    memset(m, 0, sizeof(message_t))
    m.number = s.sent
    m.intended = intended
    m.publisher = c.number
    m.sequence = <uint32_t>c.sent
    m.room = c.room
    m.open = True
    m.answered = s.foreign
    m.timed = s.timing_from <= intended < s.timing_end
    s.offered += m.timed
    s.sent += 1
    s.outstanding += 1
    c.sent += 1
    c.flying += 1
    if s.foreign:
        memcpy(p, s.before, s.before_n)
        fill_payload(s, p + s.before_n, m)
        p += s.before_n + <size_t>s.payload
        memcpy(p, s.after, s.after_n)
        p += s.after_n
    else:
        p = put_uint(put_bytes(p, 0x9404, 2), m.number + 1)  # [4 PUBLISH, id, room, data]
        p = put_str_head(put_text(p, s.rooms[c.room].name), <size_t>s.payload)
        fill_payload(s, p, m)
        p += s.payload
    say(s, c, s.bytes_out, <size_t>(p - s.bytes_out))
    return True
