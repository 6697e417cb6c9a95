# From a plan to memory, and back. Part of _swarm.pyx. The plan has been checked: its numbers are in bounds.

MODES = {"flood": FLOOD, "paced": PACED, "pings": PINGS, "idle": IDLE}
SCHEDULES = {"poisson": POISSON, "fixed": FIXED, "phased": PHASED}
FIRST_RING = 4096  # messages
FIRST_ROOM_RING = 8  # messages of one room
ADDRESS_CLIENTS = 10_000  # clients from one address: beyond 14,000 the kernel searches long for a free port
ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


cdef int set_up(swarm_t *s, plan) except -1:
    """Take over what was asked for."""
    s.port = plan.port
    s.clients = plan.clients
    s.mode = MODES[plan.mode]
    s.schedule = SCHEDULES[plan.schedule]
    s.window = plan.window
    s.payload = plan.payload
    s.depth = plan.depth
    s.stalls = plan.stalled
    s.rcvbuf = plan.rcvbuf
    s.chunk = plan.chunk
    s.server = plan.server_pid
    s.rate = plan.rate
    s.seed = plan.seed
    s.join = plan.join
    s.admission = plan.admission
    s.outstanding_limit = plan.limit
    s.ws = plan.wire == "ws"
    s.opcode = 2
    s.source = int.from_bytes(bytes(map(int, plan.source.split("."))), "big")
    s.per_source = ADDRESS_CLIENTS
    prefix = plan.prefix.encode()
    memcpy(s.prefix, <const char *>prefix, len(prefix) + 1)
    s.due = NEVER
    return 0


cdef const uint8_t *lend(bytes text, list kept) except? NULL:
    kept.append(text)
    return <const uint8_t *><const char *>text


cdef int follow(swarm_t *s, script, list kept) except -1:
    """Speak another server's dialect, or only its opening."""
    cdef int i
    s.steps = <step_t *>calloc(len(script.opening) + 1, sizeof(step_t))
    s.interludes = <interlude_t *>calloc(len(script.interludes) + 1, sizeof(interlude_t))
    if s.steps == NULL or s.interludes == NULL:
        raise MemoryError
    for i, step in enumerate(script.opening):
        s.steps[i].say, s.steps[i].say_n = lend(step.say, kept), len(step.say)
        s.steps[i].until, s.steps[i].until_n = lend(step.until, kept), len(step.until)
        s.steps[i].holds, s.steps[i].holds_n = lend(step.holds, kept), len(step.holds)
    s.step_count = len(script.opening)
    for i, one in enumerate(script.interludes):
        s.interludes[i].head, s.interludes[i].head_n = lend(one.head, kept), len(one.head)
        s.interludes[i].tail, s.interludes[i].tail_n = lend(one.tail, kept), len(one.tail)
        s.interludes[i].answer, s.interludes[i].answer_n = lend(one.answer, kept), len(one.answer)
        s.interludes[i].wrong = one.wrong
    s.interlude_count = len(script.interludes)
    if script.publish is None:
        return 0
    s.foreign = True
    s.ws = script.websocket
    s.opcode = script.opcode
    s.before, s.before_n = lend(script.publish.before, kept), len(script.publish.before)
    s.after, s.after_n = lend(script.publish.after, kept), len(script.publish.after)
    s.front, s.front_n = lend(script.delivery.before, kept), len(script.delivery.before)
    s.back, s.back_n = lend(script.delivery.after, kept), len(script.delivery.after)
    return 0


cdef int make_room(swarm_t *s, plan) except -1:
    """Allocate clients, rooms, rings and buffers; nobody connects yet."""
    cdef int i
    s.frame_size = <size_t>s.payload + AROUND + s.front_n + s.back_n
    s.mask = FIRST_RING - 1
    s.room_count = sum(rooms for rooms, _ in plan.groups)
    s.all = <client_t *>calloc(s.clients, sizeof(client_t))
    s.rooms = <room_t *>calloc(s.room_count, sizeof(room_t))
    s.messages = <message_t *>calloc(FIRST_RING, sizeof(message_t))
    s.publishers = <uint32_t *>calloc(s.clients, sizeof(uint32_t))
    s.pattern = <uint8_t *>malloc(s.payload + 64)
    s.bytes_in = <uint8_t *>malloc(LONGEST + CHUNK)
    s.bytes_out = <uint8_t *>malloc(s.payload + 256 + s.before_n + s.after_n)
    if not (s.all and s.rooms and s.messages and s.publishers and s.pattern and s.bytes_in and s.bytes_out):
        raise MemoryError
    for i in range(s.payload + 64):
        s.pattern[i] = ALPHABET[i * 7 % len(ALPHABET)]
    furnish(s, plan)
    s.phases = <double *>calloc(s.publisher_count, sizeof(double))
    if s.phases == NULL:
        raise MemoryError
    phases = sorted(uniform(s) * s.publisher_count / s.rate for _ in range(s.publisher_count))
    for i in range(<int>s.publisher_count):
        s.phases[i] = phases[i]
    s.ep = epoll_create1(EPOLL_CLOEXEC)
    if s.ep < 0:
        raise BenchError("no descriptor is left for epoll: see `ulimit -n`")
    return 0


cdef int furnish(swarm_t *s, plan) except -1:
    """Put the clients into their rooms. The last `stalled` of all do not read."""
    cdef uint32_t client = 0, number = 0
    cdef room_t *r
    cdef client_t *c
    for rooms, members in plan.groups:
        for _ in range(rooms):
            r = &s.rooms[number]
            name = (plan.room if s.room_count == 1 else f"{plan.room}-{number}").encode()
            r.length = len(name)
            memcpy(r.name, <const char *>name, len(name) + 1)
            r.first, r.members, r.mask = client, members, FIRST_ROOM_RING - 1
            r.ring = <uint64_t *>calloc(FIRST_ROOM_RING, sizeof(uint64_t))
            if r.ring == NULL:
                raise MemoryError
            for place in range(members):
                c = &s.all[client]
                c.number, c.room, c.fd = client, number, -1
                c.stalled = client >= <uint32_t>(s.clients - s.stalls)
                c.publishes = not c.stalled and (plan.publishers == 0 or place < plan.publishers)
                if c.publishes:
                    s.publishers[s.publisher_count] = client
                    s.publisher_count += 1
                client += 1
            number += 1
    return 0


cdef void tear_down(swarm_t *s) noexcept:
    cdef int i
    cdef uint64_t slot
    cdef uint8_t *frame
    for i in range(s.clients if s.all != NULL else 0):
        if s.all[i].state != CLOSED:
            close(s.all[i].fd)
        free(s.all[i].tail.p)
        free(s.all[i].out.p)
    for i in range(<int>s.room_count if s.rooms != NULL else 0):
        free(s.rooms[i].ring)
    for slot in range(s.mask + 1 if s.messages != NULL else 0):
        free(s.messages[slot].frame)
    while s.spare != NULL:
        frame = s.spare
        s.spare = (<uint8_t **>frame)[0]
        free(frame)
    if s.ep > 0:
        close(s.ep)
    free(s.all)
    free(s.rooms)
    free(s.messages)
    free(s.publishers)
    free(s.phases)
    free(s.pattern)
    free(s.bytes_in)
    free(s.bytes_out)
    free(s.steps)
    free(s.interludes)
    free(s)
