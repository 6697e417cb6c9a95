# What fastchat's operations mean to a member (docs/PROTOCOL.md, "Pushes and replies"). Part of _swarm.pyx.


cdef void on_frame(
    swarm_t *s, client_t *c, const uint8_t *frame, size_t size, const uint8_t *payload, size_t n
) noexcept nogil:
    cdef reader_t r
    cdef uint32_t fields
    cdef uint64_t op
    cdef uint8_t pong[3]
    r.at = payload
    r.end = payload + n
    r.bad = False
    fields = read_array(&r)
    op = read_uint(&r)
    if r.bad:
        wrong(s, &s.errors.corrupt, c, "not a message", size, 0)
    elif op == OP_MESSAGE:
        on_message(s, c, &r, fields, frame, size)
    elif op == OP_RESULT:
        on_result(s, c, &r)
    elif op == OP_ERROR:
        on_error(s, c, &r)
    elif op == OP_GAP:
        on_gap(s, c, &r)
    elif op == OP_BYE:
        c.bye = read_uint(&r)
        s.byes += c.state == READY
    elif op == OP_PING_PUSH:
        pong[0] = 0x92
        pong[1] = OP_PONG
        pong[2] = 0
        say(s, c, pong, 3)
        push_out(s, c)
    elif op != OP_PRESENCE:
        wrong(s, &s.errors.unexpected, c, "operation", op, 0)


cdef void on_message(
    swarm_t *s, client_t *c, reader_t *r, uint32_t fields, const uint8_t *frame, size_t size
) noexcept nogil:
    cdef span_t room = read_str(r), user, text
    cdef uint64_t offset = read_uint(r), ts = read_uint(r)
    cdef room_t *home = &s.rooms[c.room]
    user = read_str(r)
    text = read_str(r)
    skip(r)  # opts
    if r.bad or fields != 7 or r.at != r.end or offset == 0 or ts < <uint64_t>1500000000000:
        wrong(s, &s.errors.corrupt, c, "malformed message", offset, size)
    elif not same(room, home.name, <size_t>home.length):
        wrong(s, &s.errors.corrupt, c, "wrong room", offset, 0)
    elif c.state != READY:
        wrong(s, &s.errors.unexpected, c, "a message before its room was joined", offset, 0)
    else:
        at_offset(s, c, offset, text, user, frame, size)


cdef message_t *own_message(swarm_t *s, client_t *c, uint64_t id) noexcept nogil:
    """The message that this client published with that id and that has no answer yet, or NULL."""
    cdef message_t *m
    if id == 0 or id > s.sent:
        return NULL
    m = &s.messages[(id - 1) & s.mask]
    if m.number != id - 1 or not m.open or m.answered or m.publisher != c.number:
        return NULL
    return m


cdef void on_result(swarm_t *s, client_t *c, reader_t *r) noexcept nogil:
    cdef uint64_t id = read_uint(r)
    cdef message_t *m
    if c.state != READY or s.mode == PINGS:
        if c.state == JOINING and read_key(r, "offset"):
            c.next = read_uint(r) + 1
        if c.state == READY and id != c.acked + 1:
            wrong(s, &s.errors.order, c, "reply", id, c.acked + 1)
        s.pongs += c.state == READY
        c.acked += 1
        return
    m = own_message(s, c, id)
    if m == NULL:
        wrong(s, &s.errors.unexpected, c, "result of nothing", id, 0)
        return
    if read_key(r, "offset"):
        m.acked = read_uint(r)
        if m.offset and m.offset != m.acked:
            wrong(s, &s.errors.corrupt, c, "offset acknowledged", m.acked, m.offset)
    else:
        wrong(s, &s.errors.corrupt, c, "result without offset", id, 0)
    s.acks += 1
    c.acked += 1
    answer(s, c, m)


cdef void answer(swarm_t *s, client_t *c, message_t *m) noexcept nogil:
    m.answered = True
    if m.back:
        c.flying -= 1
    if m.whole:
        close_message(s, m)


cdef void count_code(swarm_t *s, uint64_t code) noexcept nogil:
    cdef int i
    for i in range(CODES):
        if s.codes[i] == code or s.counts[i] == 0:
            s.codes[i] = code
            s.counts[i] += 1
            return


cdef void on_error(swarm_t *s, client_t *c, reader_t *r) noexcept nogil:
    """A refusal. 101 in an open loop is the server's admission at work: that message is not awaited."""
    cdef uint64_t id = read_uint(r), code = read_uint(r)
    cdef span_t text = read_str(r)
    cdef message_t *m
    cdef char what[160]
    snprintf(what, sizeof(what), "ERROR: %.120s", readable_text(s, text.p, min(text.n, <size_t>120)))
    if c.state != READY:
        c.bye = code
        if not (s.admission and code == OVERLOADED):
            snprintf(
                failing(s), sizeof(s.failure), "client %u was refused: %s (%llu); %u are in",
                c.number, what, <unsigned long long>code, s.ready,
            )
        else:
            turned_away(s, c)
        return
    count_code(s, code)
    if code == OVERLOADED:
        s.refused_101 += 1
    if code != OVERLOADED or s.mode != PACED:
        wrong(s, &s.errors.refused, c, what, code, id)
    if s.mode == PINGS:
        c.acked += 1
        s.pongs += 1
        return
    m = own_message(s, c, id)
    if m == NULL:
        if id or code == OVERLOADED:
            wrong(s, &s.errors.unexpected, c, "an error for nothing that waits", code, id)
        return
    s.answered_errors += 1
    if m.offset:
        wrong(s, &s.errors.unexpected, c, "delivered, and yet refused", code, m.offset)
        answer(s, c, m)
        return
    m.answered = True
    c.flying -= 1
    close_message(s, m)


cdef void on_gap(swarm_t *s, client_t *c, reader_t *r) noexcept nogil:
    cdef span_t room = read_str(r)
    cdef uint64_t begin = read_uint(r), end = read_uint(r)
    cdef room_t *home = &s.rooms[c.room]
    if r.bad or not same(room, home.name, <size_t>home.length) or begin != c.next or end < begin:
        wrong(s, &s.errors.corrupt, c, "GAP", begin, end)
        return
    if not c.stalled:
        wrong(s, &s.errors.lost, c, "GAP for a member that reads", begin, end)
        excuse(s, c, begin, end + 1, True)
    c.next = end + 1
    s.gaps += 1
    s.missed += end - begin + 1
