# Sockets: connecting in bounded parallel, bytes in and out, waiting. Part of _swarm.pyx.


cdef char *failing(swarm_t *s) noexcept nogil:
    """Where to write why the run cannot go on; only the first reason is kept."""
    if s.failed_hard:
        return s.scratch
    s.failed_hard = True
    return s.failure


cdef uint8_t *reserve(swarm_t *s, buffer_t *b, size_t more) noexcept nogil:
    """Room for `more` bytes behind what the buffer holds; NULL, and the run fails, without memory."""
    cdef uint8_t *p
    cdef size_t cap
    if b.n + more > b.cap:
        cap = (b.n + more) * 2
        p = <uint8_t *>realloc(b.p, cap)
        if p == NULL:
            snprintf(failing(s), sizeof(s.failure), "out of memory")
            return NULL
        b.p = p
        b.cap = cap
    return b.p + b.n


cdef void append(swarm_t *s, buffer_t *b, const uint8_t *data, size_t n) noexcept nogil:
    cdef uint8_t *p
    if n == 0:
        return
    p = reserve(s, b, n)
    if p != NULL:
        memcpy(p, data, n)
        b.n += n


cdef void push_out(swarm_t *s, client_t *c) noexcept nogil:
    """Send what waits; what the kernel does not take goes out when epoll says so (edge-triggered)."""
    cdef ssize_t done
    if c.out.n == 0 or c.state == CLOSED:
        return
    done = send(c.fd, c.out.p, c.out.n, MSG_NOSIGNAL | MSG_DONTWAIT)
    if done < 0:
        if errno != EAGAIN and errno != EINTR:
            c.out.n = 0  # the next recv tells why
        return
    c.out.n -= <size_t>done
    if c.out.n:
        memmove(c.out.p, c.out.p + done, c.out.n)


cdef void say_masked(swarm_t *s, client_t *c, uint8_t opcode, const uint8_t *message, size_t n) noexcept nogil:
    """A frame as a WebSocket client has to send it (RFC 6455, section 5.3): masked with a fresh key."""
    cdef uint8_t *start = reserve(s, &c.out, n + 14)
    cdef uint8_t *p = start
    cdef uint32_t key = <uint32_t>chance(s)
    cdef uint64_t wide = <uint64_t>key << 32 | key, word
    cdef size_t i = 0
    if start == NULL:
        return
    p = put_bytes(p, 0x80 | opcode, 1)
    if n < 126:
        p = put_bytes(p, 0x80 | n, 1)
    elif n < 65536:
        p = put_bytes(put_bytes(p, 0xfe, 1), n, 2)
    else:
        p = put_bytes(put_bytes(p, 0xff, 1), n, 8)
    memcpy(p, &key, 4)
    p += 4
    while i + 8 <= n:
        memcpy(&word, message + i, 8)
        word ^= wide
        memcpy(p + i, &word, 8)
        i += 8
    while i < n:
        p[i] = message[i] ^ (<uint8_t *>&key)[i & 3]
        i += 1
    c.out.n += <size_t>(p - start) + n


cdef void say(swarm_t *s, client_t *c, const uint8_t *message, size_t n) noexcept nogil:
    """Frame a message and append it to what `push_out` sends."""
    cdef uint8_t length[4]
    if s.ws:
        say_masked(s, c, <uint8_t>s.opcode, message, n)
        return
    if not s.foreign:
        put_bytes(length, n, 4)
        append(s, &c.out, length, 4)
    append(s, &c.out, message, n)


cdef void start(swarm_t *s, client_t *c) noexcept nogil:
    """Begin to connect."""
    cdef sockaddr_in to, source
    cdef epoll_event event
    cdef int on = 1, rcvbuf = 16384 if c.stalled else s.rcvbuf
    memset(&to, 0, sizeof(to))
    to.sin_family = AF_INET
    to.sin_port = htons(<uint16_t>s.port)
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    source = to
    source.sin_port = 0
    source.sin_addr.s_addr = htonl(s.source + c.number // s.per_source)
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if c.fd < 0:
        snprintf(failing(s), sizeof(s.failure), "client %u has no socket: %s", c.number, strerror(errno))
        return
    c.state = CONNECTING
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
    if rcvbuf:
        setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf))
    if source.sin_addr.s_addr != to.sin_addr.s_addr:
        setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on))
        bind(c.fd, <const sockaddr *>&source, sizeof(source))
    if connect(c.fd, <const sockaddr *>&to, sizeof(to)) != 0 and errno != EINPROGRESS:
        snprintf(failing(s), sizeof(s.failure), "connect to 127.0.0.1:%d: %s", s.port, strerror(errno))
        return
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
    event.data.u64 = c.number
    if epoll_ctl(s.ep, EPOLL_CTL_ADD, c.fd, &event) != 0:
        snprintf(failing(s), sizeof(s.failure), "client %u cannot be watched: %s", c.number, strerror(errno))


cdef void connected(swarm_t *s, client_t *c) noexcept nogil:
    """What the kernel made of `start`; then the first words."""
    cdef int error = 0
    cdef socklen_t size = sizeof(error)
    getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size)
    if error:
        snprintf(
            failing(s), sizeof(s.failure), "connect to 127.0.0.1:%d: %s (client %u, %u are in)",
            s.port, strerror(error), c.number, s.ready,
        )
        return
    if s.step_count:
        begin_step(s, c, 0)
    else:
        greet(s, c)


cdef void watch(swarm_t *s, client_t *c, uint32_t events) noexcept nogil:
    cdef epoll_event event
    event.events = events
    event.data.u64 = c.number
    if epoll_ctl(s.ep, EPOLL_CTL_MOD, c.fd, &event) != 0:
        epoll_ctl(s.ep, EPOLL_CTL_ADD, c.fd, &event)


cdef int readable(swarm_t *s, client_t *c) noexcept nogil:
    """Take one chunk and look at every byte: EMPTY, SHORT (the socket was emptied) or FULL (there is more)."""
    cdef size_t kept = c.tail.n, used, whole
    cdef ssize_t got
    if kept:
        memcpy(s.bytes_in, c.tail.p, kept)
    got = recv(c.fd, s.bytes_in + kept, <size_t>s.chunk, MSG_DONTWAIT)
    if got < 0 and errno == EAGAIN:
        return EMPTY
    if got < 0 and errno == EINTR:
        return FULL
    s.now = nanoseconds(CLOCK_MONOTONIC)
    if got == 0:
        gone(s, c, "closed by the server")
        return EMPTY
    if got < 0:
        gone(s, c, strerror(errno))
        return EMPTY
    c.received += <uint64_t>got
    s.bytes += <uint64_t>got
    whole = kept + <size_t>got
    used = feed(s, c, s.bytes_in, whole)
    if c.state == CLOSED:
        return EMPTY
    c.tail.n = 0
    append(s, &c.tail, s.bytes_in + used, whole - used)
    return FULL if got == s.chunk else SHORT


cdef void serve_client(swarm_t *s, client_t *c, uint32_t events) noexcept nogil:
    cdef int found = FULL
    if c.state == CLOSED:
        return
    if c.state == CONNECTING:
        if events & (EPOLLOUT | EPOLLERR | EPOLLHUP):
            connected(s, c)
        if not events & EPOLLIN:
            return
    if c.stalled and not s.resumed and c.state == READY:  # cut while not reading: do not spin on it
        epoll_ctl(s.ep, EPOLL_CTL_DEL, c.fd, NULL)
        return
    if events & EPOLLOUT:
        push_out(s, c)
    if not events & ~<uint32_t>EPOLLOUT:
        return
    while found == FULL and c.state != CLOSED and not s.failed_hard:
        found = readable(s, c)
        if found == SHORT and events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            found = FULL  # the end of the stream stands behind what was read
        if c.stalled and c.state == READY and not s.resumed:
            return
        advance(s, c)
        if s.now >= s.due:
            send_due(s)


cdef void wait_events(swarm_t *s, uint64_t until) noexcept nogil:
    """Send what is due, serve what is ready, or wait for it until the given time.

    With `poll`, sleep to the next tick instead of in the kernel's epoll: whoever sends to a process that
    sleeps in epoll_wait pays for waking it, in a virtual machine more than for the send itself. With `spin`,
    never sleep, and count the looks that found nothing as idle.
    """
    cdef epoll_event events[EVENTS]
    cdef pollfd any
    cdef timespec t
    cdef uint64_t wake, looked
    cdef int n, i
    if s.now >= s.due:
        send_due(s)
    wake = min(until, s.due)
    looked = 0
    if s.spin:
        looked = nanoseconds(CLOCK_MONOTONIC)
    elif s.poll and not s.more:
        s.tick = max(s.tick + s.poll, s.now)
        wake = min(wake, s.tick)
        t.tv_sec = <time_t>(wake // 1000000000)
        t.tv_nsec = <long>(wake % 1000000000)
        if wake > s.now:
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)
    elif not s.more:
        wake = wake - s.now if wake > s.now else 0
        t.tv_sec = <time_t>(wake // 1000000000)
        t.tv_nsec = <long>(wake % 1000000000)
        any.fd = s.ep
        any.events = POLLIN
        ppoll(&any, 1, &t, NULL)  # to the nanosecond; epoll_pwait2 would need a newer kernel and library
    n = epoll_wait(s.ep, events, EVENTS, 0)
    s.now = nanoseconds(CLOCK_MONOTONIC)
    s.more = n == EVENTS
    if s.spin and not n:
        s.idle += min(s.now - looked, <uint64_t>LOOK)
    for i in range(n):
        serve_client(s, &s.all[<uint32_t>events[i].data.u64], events[i].events)
        if s.failed_hard:
            return
