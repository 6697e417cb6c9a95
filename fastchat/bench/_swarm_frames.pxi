# From bytes to frames: the upgrade, a script's opening, the wires' framing. Part of _swarm.pyx.


cdef void begin_step(swarm_t *s, client_t *c, int number) noexcept nogil:
    """Say a step's words, and those of the steps after it as long as nothing is awaited."""
    cdef step_t *step
    cdef uint8_t *mark
    cdef size_t begin
    cdef char digits[16]
    c.state = OPENING
    while number < s.step_count:
        step = &s.steps[number]
        begin = c.out.n
        append(s, &c.out, step.say, step.say_n)
        if step.say_n and not s.failed_hard:
            mark = <uint8_t *>memmem(c.out.p + begin, step.say_n, "@CLIENT@", 8)
            if mark != NULL:
                snprintf(digits, sizeof(digits), "%08u", c.number % 100000000)
                memcpy(mark, digits, 8)
        if step.until_n:
            c.step = <uint8_t>number
            push_out(s, c)
            return
        number += 1
    push_out(s, c)
    if s.foreign:
        c.next = 1
        be_ready(s, c)
    else:
        greet(s, c)


cdef size_t opened(swarm_t *s, client_t *c, const uint8_t *p, size_t n) noexcept nogil:
    """The bytes up to the end of what the step awaits, 0 while that is not there."""
    cdef step_t *step = &s.steps[c.step]
    cdef const uint8_t *found = <const uint8_t *>memmem(p, n, step.until, step.until_n)
    cdef size_t size
    if found == NULL:
        if n >= MOST_OPENING:
            snprintf(
                failing(s), sizeof(s.failure), "client %u: the answer to step %d of the opening never ends: %.200s",
                c.number, c.step + 1, readable_text(s, p, n),
            )
        return 0
    size = <size_t>(found - p) + step.until_n
    if step.holds_n and memmem(p, size, step.holds, step.holds_n) == NULL:
        snprintf(
            failing(s), sizeof(s.failure), "client %u: step %d of the opening was refused: %.200s",
            c.number, c.step + 1, readable_text(s, p, size),
        )
        return 0
    begin_step(s, c, c.step + 1)
    return size


cdef const char *readable_text(swarm_t *s, const uint8_t *p, size_t n) noexcept nogil:
    """The printable part of at most 200 bytes, in the second half of the scratch buffer."""
    cdef size_t i
    cdef char *to = s.words
    n = min(n, <size_t>200)
    for i in range(n):
        to[i] = <char>p[i] if 32 <= p[i] < 127 else 32
    to[n] = 0
    return to


cdef size_t feed(swarm_t *s, client_t *c, const uint8_t *p, size_t n) noexcept nogil:
    """Serve every whole frame; return the bytes used.

    What another member has got already needs no cutting: the very next bytes must be the same.
    """
    cdef const uint8_t *at = p
    cdef const uint8_t *end = p + n
    cdef message_t *m
    cdef size_t taken
    while at < end and c.state > CONNECTING and not s.failed_hard:
        if c.state == OPENING:
            taken = opened(s, c, at, <size_t>(end - at))
        else:
            m = seen_at(s, c.room, c.next)
            if m != NULL and <size_t>(end - at) >= m.size and memcmp(at, m.frame, m.size) == 0:
                receipt(s, c, m)
                at += m.size
                continue
            if s.foreign:
                taken = cut_by_script(s, c, at, <size_t>(end - at))
            else:
                taken = cut(s, c, at, <size_t>(end - at))
        if taken == 0:
            break
        at += taken
    return <size_t>(at - p)


cdef size_t cut(swarm_t *s, client_t *c, const uint8_t *p, size_t n) noexcept nogil:
    """Serve the frame at p: its bytes, 0 while it is incomplete."""
    cdef size_t head = 4, size
    cdef int wide = 0
    if not s.ws:
        if n < 4:
            return 0
        size = <size_t>big_endian(p, 4)
    else:
        if n < 2:
            return 0
        if p[1] >= 126:
            wide = 2 if p[1] == 126 else 8  # a masked frame comes out as far too long
        head = 2 + wide
        if n < head:
            return 0
        size = <size_t>big_endian(p + 2, wide) if wide else p[1]
    if size > LONGEST - 16:
        lose_framing(s, c, p, n)
        return 0
    if n - head < size:
        return 0
    if s.ws and p[0] != 0x82:
        on_control(s, c, p[0], p + head, size)
    else:
        on_frame(s, c, p, head + size, p + head, size)
    return head + size


cdef void lose_framing(swarm_t *s, client_t *c, const uint8_t *p, size_t n) noexcept nogil:
    wrong(s, &s.errors.corrupt, c, "the framing is lost", n, 0)
    snprintf(
        failing(s), sizeof(s.failure), "client %u: the framing is lost at: %.200s", c.number, readable_text(s, p, n)
    )


cdef void on_control(swarm_t *s, client_t *c, uint8_t first, const uint8_t *payload, size_t n) noexcept nogil:
    """A frame that is no binary message (RFC 6455, section 5.5)."""
    if first == 0x89 and n < 126:
        say_masked(s, c, 10, payload, n)
        push_out(s, c)
    elif first != 0x8a and first != 0x88:  # BYE came before the close, else `gone` tells
        wrong(s, &s.errors.corrupt, c, "WebSocket opcode", first, 0)


cdef size_t cut_by_script(swarm_t *s, client_t *c, const uint8_t *p, size_t n) noexcept nogil:
    """Serve what stands at p: its bytes, 0 while it is incomplete."""
    cdef size_t whole = s.front_n + <size_t>s.payload + s.back_n, size, known
    cdef interlude_t *one
    cdef const uint8_t *found
    cdef int i
    if memcmp(p, s.front, min(n, s.front_n)) == 0:
        if n < whole:
            return 0
        if memcmp(p + whole - s.back_n, s.back, s.back_n) == 0:
            on_delivery(s, c, p, whole)
            return whole
    for i in range(s.interlude_count):
        one = &s.interludes[i]
        known = min(n, one.head_n)
        if memcmp(p, one.head, known) != 0:
            continue
        if known < one.head_n:
            return 0
        size = one.head_n
        if one.tail_n:
            found = <const uint8_t *>memmem(p + size, n - size, one.tail, one.tail_n)
            if found == NULL:
                if n >= LONGEST - 16:
                    lose_framing(s, c, p, n)
                return 0
            size = <size_t>(found - p) + one.tail_n
        if one.wrong:
            wrong(s, &s.errors.refused, c, readable_text(s, p, min(size, <size_t>100)), 0, 0)
        append(s, &c.out, one.answer, one.answer_n)
        push_out(s, c)
        return size
    if s.ws and 0x88 <= p[0] <= 0x8a:
        if n < 2 or n < 2 + <size_t>(p[1] & 0x7f):
            return 0
        on_control(s, c, p[0], p + 2, p[1] & 0x7f)
        return 2 + <size_t>(p[1] & 0x7f)
    lose_framing(s, c, p, n)
    return 0
