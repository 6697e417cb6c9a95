/* The generator's sockets: connecting in bounded parallel, the WebSocket upgrade, bytes in and out. */
#include "load.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { AT_ONCE = 256 }; /* clients that are connecting at the same time */

/* RFC 6455, section 1.3: the example's key, so that its answer is known. */
#define WS_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define WS_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "loadgen: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    exit(2);
}

static long number_of(const Client *c) { return c - load.clients; }

void watch(Client *c, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(load.ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void gone(Client *c, const char *how) {
    if (c->state != READY) fail("client %ld was closed (%s) before it was ready; %u are", number_of(c), how, load.ready);
    close(c->fd);
    c->state = CLOSED;
    if (c->stalled) { load.cut++; return; }
    load.live--;
    wrong(&load.errors.closed, c, how, 0, 0);
}

void push_out(Client *c) {
    if (c->out.n == 0 || c->state == CLOSED) return;
    ssize_t sent = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) { c->out.n = 0; return; } /* the next recv tells why */
    if (sent > 0) {
        c->out.n -= (size_t)sent;
        memmove(c->out.p, c->out.p + sent, c->out.n);
    }
    bool waiting = c->out.n > 0;
    if (waiting != c->writable_watched) watch(c, EPOLLIN | (waiting ? EPOLLOUT : 0));
    c->writable_watched = waiting;
}

static void say_masked(Client *c, uint8_t opcode, const uint8_t *payload, size_t n) {
    static uint32_t random = 2463534242u;
    random ^= random << 13, random ^= random >> 17, random ^= random << 5;
    uint8_t *p = reserve(&c->out, n + 14), *start = p, key[4];
    memcpy(key, &random, 4);
    *p++ = 0x80 | opcode;
    if (n < 126) *p++ = (uint8_t)(0x80 | n);
    else { *p++ = 0x80 | 126; p = put_bytes(p, n, 2); }
    memcpy(p, key, 4);
    p += 4;
    for (size_t i = 0; i < n; i++) p[i] = payload[i] ^ key[i & 3];
    c->out.n += (size_t)(p - start) + n;
}

/* Frame a payload and append it to what `push_out` sends. */
void say(Client *c, const uint8_t *payload, size_t n) {
    if (load.o.ws) { say_masked(c, 2, payload, n); return; }
    put_bytes(reserve(&c->out, n + 4), n, 4);
    c->out.n += 4;
    append(&c->out, payload, n);
}

static void start(Client *c) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load.o.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, rcvbuf = c->stalled ? 16384 : load.o.rcvbuf;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket: %s (client %ld)", strerror(errno), number_of(c));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (rcvbuf) setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    if (connect(c->fd, (void *)&a, sizeof a) && errno != EINPROGRESS)
        fail("connect to 127.0.0.1:%d: %s", load.o.port, strerror(errno));
    c->state = CONNECTING;
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
    epoll_ctl(load.ep, EPOLL_CTL_ADD, c->fd, &e);
}

static void connected(Client *c) {
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error) fail("connect to 127.0.0.1:%d: %s", load.o.port, strerror(error));
    watch(c, EPOLLIN);
    if (!load.o.ws) { greet(c); return; }
    uint8_t request[256];
    int size = snprintf((char *)request, sizeof request,
                        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: " WS_KEY "\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: fastchat.v1.msgpack\r\n\r\n", load.o.port);
    append(&c->out, request, (size_t)size);
    c->state = UPGRADING;
    push_out(c);
}

/* The bytes of the upgrade's answer, or 0 while it is incomplete. */
static size_t upgraded(const uint8_t *p, size_t n) {
    const uint8_t *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t size = (size_t)(end + 4 - p);
    if (memcmp(p, "HTTP/1.1 101 ", 13) || !memmem(p, size, WS_ACCEPT, sizeof WS_ACCEPT - 1))
        fail("the WebSocket upgrade was refused: %.*s", (int)(size < 200 ? size : 200), (const char *)p);
    return size;
}

/* One frame at p: its header's and its payload's length. False while it is incomplete. */
static bool cut(Client *c, const uint8_t *p, size_t n, size_t *head, size_t *size) {
    if (!load.o.ws) {
        if (n < 4) return false;
        *head = 4;
        *size = (size_t)big_endian(p, 4);
    } else {
        if (n < 2) return false;
        int wide = p[1] < 126 ? 0 : p[1] == 126 ? 2 : 8; /* a masked frame comes out as far too long */
        *head = 2 + (size_t)wide;
        if (n < *head) return false;
        *size = wide ? (size_t)big_endian(p + 2, wide) : p[1];
    }
    if (*size <= ROOM_FOR_TAIL - 16) return n - *head >= *size;
    wrong(&load.errors.corrupt, c, "frame length", *size, 0);
    fail("client %ld: a frame of %zu bytes: the framing is lost", number_of(c), *size);
}

static void on_control(Client *c, uint8_t first, const uint8_t *payload, size_t n) {
    if (first == 0x89) { say_masked(c, 10, payload, n); push_out(c); return; }
    if (first == 0x88) return; /* BYE came before it */
    wrong(&load.errors.corrupt, c, "WebSocket opcode", first, 0);
}

void readable(Client *c) {
    static uint8_t chunk[ROOM_FOR_TAIL + CHUNK];
    size_t kept = c->tail.n, head, size;
    if (kept) memcpy(chunk, c->tail.p, kept);
    ssize_t got = recv(c->fd, chunk + kept, (size_t)load.o.chunk, MSG_DONTWAIT);
    load.now = nanoseconds(CLOCK_MONOTONIC);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { gone(c, got == 0 ? "closed by the server" : strerror(errno)); return; }
    c->received += (uint64_t)got;
    load.bytes += (uint64_t)got;
    const uint8_t *p = chunk, *end = chunk + kept + got;
    if (c->state == UPGRADING) {
        p += upgraded(p, (size_t)(end - p));
        if (p > chunk) greet(c);
    }
    while (c->state != UPGRADING && cut(c, p, (size_t)(end - p), &head, &size)) {
        if (load.o.ws && p[0] != 0x82) on_control(c, p[0], p + head, size);
        else on_frame(c, p, head + size, p + head, size);
        p += head + size;
    }
    c->tail.n = 0;
    append(&c->tail, p, (size_t)(end - p));
}

/* Serve what is ready, or wait for it until the given time; returns the number of events. */
int wait_events(uint64_t until) {
    struct epoll_event events[1024];
    uint64_t now = nanoseconds(CLOCK_MONOTONIC), left = until > now ? until - now : 0;
    struct timespec t = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
    int n = epoll_pwait2(load.ep, events, 1024, &t, NULL);
    load.now = nanoseconds(CLOCK_MONOTONIC);
    for (int i = 0; i < n; i++) {
        Client *c = events[i].data.ptr;
        if (!c) { load.o.hold = false; epoll_ctl(load.ep, EPOLL_CTL_DEL, 0, NULL); continue; }
        if (c->state == CLOSED) continue;
        if (c->state == CONNECTING) { connected(c); continue; }
        if (c->stalled && !load.o.resume && c->state == READY) { /* cut while not reading: do not spin on it */
            epoll_ctl(load.ep, EPOLL_CTL_DEL, c->fd, NULL);
            continue;
        }
        if (events[i].events & EPOLLOUT) push_out(c);
        if (events[i].events & ~(uint32_t)EPOLLOUT) readable(c);
        advance(c);
    }
    return n;
}

void connect_all(void) {
    uint64_t deadline = nanoseconds(CLOCK_MONOTONIC) + (uint64_t)(load.o.timeout * 1e9);
    for (int started = 0; (int)load.ready < load.o.members;) {
        while (started < load.o.members && started - (int)load.ready < AT_ONCE) start(&load.clients[started++]);
        wait_events(nanoseconds(CLOCK_MONOTONIC) + 100000000);
        if (load.now > deadline) fail("%u of %d clients are ready after %g s", load.ready, load.o.members, load.o.timeout);
    }
}
