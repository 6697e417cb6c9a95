# The loads: flat out, after a schedule, PINGs; and the loop that serves until a time or a goal. Part of
# _swarm.pyx.

cdef enum:
    PING_BYTES = 16


cdef void send_pings(swarm_t *s, client_t *c) noexcept nogil:
    cdef uint8_t out[PING_BYTES]
    cdef uint8_t *p
    cdef int i
    for i in range(s.depth):
        c.sent += 1
        p = put_uint(put_bytes(out, 0x9210, 2), c.sent)
        say(s, c, out, <size_t>(p - out))
    s.sent += <uint64_t>s.depth
    push_out(s, c)


cdef void top_up(swarm_t *s, client_t *c) noexcept nogil:
    """Flat out: as many as the window of own messages that are not back and acknowledged allows."""
    while s.sent < s.stop_at and c.flying < <uint32_t>s.window:
        if not publish(s, c, s.now):
            break
    push_out(s, c)


cdef void advance(swarm_t *s, client_t *c) noexcept nogil:
    """What a client does after its events were served."""
    if c.state == GREETING:
        if c.acked == 1 and s.join:
            join(s, c)
        elif c.acked == 1:
            be_ready(s, c)
    elif c.state == JOINING:
        if c.acked == 2:
            be_ready(s, c)
    elif s.pumping and c.state == READY:
        if s.mode == FLOOD and c.publishes:
            top_up(s, c)
        elif s.mode == PINGS and not c.stalled and c.acked == c.sent:
            send_pings(s, c)


cdef void next_due(swarm_t *s) noexcept nogil:
    """When the next message is due, and from whom."""
    cdef uint64_t n = s.publisher_count
    cdef double at
    if s.schedule == POISSON:
        s.due += <uint64_t>(-log(uniform(s)) / s.rate * 1e9)
        s.due_publisher = s.publishers[<uint32_t>(chance(s) % n)]
        return
    if s.schedule == FIXED:
        at = <double>s.turn / s.rate
    else:
        at = <double>(s.turn // n) * <double>n / s.rate + s.phases[s.turn % n]
    s.due = s.started + <uint64_t>(at * 1e9)
    s.due_publisher = s.publishers[s.turn % n]
    s.turn += 1


cdef void send_due(swarm_t *s) noexcept nogil:
    """Publish what is due; what one client has to say at once goes out in one send."""
    cdef uint64_t dues[BATCH]
    cdef uint32_t speakers[BATCH]
    cdef int n, many, i
    cdef client_t *c
    while s.now >= s.due and s.due != NEVER:
        n = many = 0
        while s.now >= s.due and n < BATCH:
            c = &s.all[s.due_publisher]
            if s.outstanding >= s.outstanding_limit:
                s.overloaded = True
            elif c.state != READY:
                s.skipped += 1
            elif publish(s, c, s.due):
                dues[n] = s.due
                n += 1
                if not c.dirty:
                    c.dirty = True
                    speakers[many] = c.number
                    many += 1
            if s.overloaded or s.behind:
                s.due = NEVER
                break
            next_due(s)
        for i in range(many):
            c = &s.all[speakers[i]]
            c.dirty = False
            push_out(s, c)
        s.now = nanoseconds(CLOCK_MONOTONIC)
        for i in range(n):
            if s.timing_from <= dues[i] < s.timing_end:
                record(&s.lateness, s.now - dues[i])


cdef bint settled(swarm_t *s) noexcept nogil:
    return s.pongs >= s.sent if s.mode == PINGS else s.outstanding == 0


cdef bint complete(swarm_t *s, client_t *c) noexcept nogil:
    """Whether a member has everything that anybody in its room has."""
    cdef uint64_t top = s.rooms[c.room].top
    return top == 0 or c.next == top + 1


cdef bint caught_up(swarm_t *s) noexcept nogil:
    cdef int i
    for i in range(s.clients - s.stalls, s.clients):
        if s.all[i].state == READY and not complete(s, &s.all[i]):
            return False
    return True


cdef bint reached(swarm_t *s, int goal) noexcept nogil:
    if goal == ALL_READY:
        return s.ready + s.refused_connections >= <uint32_t>s.clients
    if goal == ALL_SENT:
        return s.sent >= s.stop_at
    if goal == SETTLED:
        return settled(s)
    return goal == CAUGHT_UP and caught_up(s)


cdef bint hopeless(swarm_t *s, int goal) noexcept nogil:
    """Nothing more is to be expected: nobody is there, or too much is under way."""
    if s.failed_hard:
        return True
    if goal == ALL_READY or goal == CAUGHT_UP:
        return False
    if s.live == 0 or (s.mode == FLOOD and s.pumping and s.live_publishers == 0):
        return True
    return goal != SETTLED and (s.overloaded or s.behind)


cdef bint serve(swarm_t *s, uint64_t until, int goal) noexcept nogil:
    """Serve everybody until the goal is reached (True), the time has come or nothing more can happen."""
    s.now = nanoseconds(CLOCK_MONOTONIC)
    while not hopeless(s, goal):
        if goal == ALL_READY:
            while s.started_clients < <uint32_t>s.clients and not s.failed_hard:
                if s.started_clients - s.ready - s.refused_connections >= AT_ONCE:
                    break
                start(s, &s.all[s.started_clients])
                s.started_clients += 1
        if reached(s, goal):
            return True
        if s.now >= until:
            return False
        wait_events(s, until)
    return False


cdef void pump(swarm_t *s) noexcept nogil:
    """Begin a load without a schedule."""
    cdef int i
    s.now = nanoseconds(CLOCK_MONOTONIC)
    s.pumping = True
    for i in range(s.clients):
        advance(s, &s.all[i])


cdef void resume(swarm_t *s) noexcept nogil:
    """Those who never read begin to: they find GAPs, or that they were cut."""
    cdef int i
    s.resumed = True
    for i in range(s.clients - s.stalls, s.clients):
        if s.all[i].state == READY:
            watch(s, &s.all[i], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)


cdef void read_clocks(swarm_t *s, reading_t *r) noexcept nogil:
    cdef uint64_t server = 0
    if s.server > 0:
        server = nanoseconds(((~s.server) << 3) | 2)  # clock_getcpuclockid(3): all its threads
    r.server = max(server, r.server)  # 0 if it has died: then what was read before stands
    r.wall = nanoseconds(CLOCK_MONOTONIC)
    r.own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID)
    r.idle = s.idle
    r.deliveries = s.deliveries
    r.sent = s.sent
    r.pongs = s.pongs
    r.bytes = s.bytes
    r.completed = s.completed


cdef void check_end(swarm_t *s, bint strict) noexcept nogil:
    """After the drain everything published must be answered, and be with every member that reads."""
    cdef uint64_t number
    cdef message_t *m
    cdef client_t *c
    cdef int i
    if s.mode == PINGS or s.mode == IDLE or not strict:
        return
    for number in range(s.oldest, s.sent):
        m = &s.messages[number & s.mask]
        if not m.open:
            continue
        if not m.answered:
            wrong(s, &s.errors.unacknowledged, &s.all[m.publisher], "a publish without an answer", number, 0)
        if not m.offset:
            wrong(s, &s.errors.lost, &s.all[m.publisher], "a message that nobody got", number, 0)
    for i in range(s.clients):
        c = &s.all[i]
        if c.state != READY or complete(s, c) or (c.stalled and not s.resumed):
            continue
        wrong(s, &s.errors.lost, c, "the last messages never came", c.next, s.rooms[c.room].top)
        s.errors.lost += s.rooms[c.room].top - c.next
