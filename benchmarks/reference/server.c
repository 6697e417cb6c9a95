/* A plain C chat server: what fastchat's fan-out is measured against.
 *
 * It speaks CONNECT, JOIN, PUBLISH and PING of the fastchat wire over TCP, one room per connection, and
 * keeps neither history nor limits. One thread, level-triggered epoll. Messages and replies of one loop
 * iteration are gathered, then every member gets one send for all of them; what the kernel does not take
 * waits in the connection's own buffer. --no-coalesce sends every message to every member by itself. */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CHUNK = 256 * 1024,       /* bytes taken by one recv, as uvloop takes them */
    MAX_FRAME = 16 * 1024,    /* bytes a client may send in one frame */
    MOST_OWED = 8 << 20,      /* bytes a slow member may leave unread before it is cut */
    MOST_ROOMS = 10000,
    SNDBUF = 128 * 1024,      /* the socket options are those of fastchat's defaults */
    NOTSENT_LOWAT = 64 * 1024,
};

typedef struct Conn Conn;
typedef struct Room {
    char name[64];
    uint8_t name_n;
    bool dirty;
    uint32_t n, cap;
    Conn **members;
    uint64_t offset;
    Buf batch; /* frames of this iteration */
} Room;

struct Conn {
    int fd;
    bool doomed, dirty, waiting;
    char user[33];
    uint8_t user_n;
    Room *room;
    uint32_t slot; /* where it stands in room->members */
    Buf in, own, owed; /* an incomplete frame; replies of this iteration; what the kernel did not take */
    size_t paid;       /* bytes at the front of `owed` that are sent */
};

static bool coalesce = true;
static int ep;
static uint64_t now_ms, guests;
static Room *rooms[MOST_ROOMS], *dirty_rooms[MOST_ROOMS];
static uint32_t rooms_n, dirty_rooms_n;
static Conn **dirty, **doomed;
static uint32_t dirty_n, dirty_cap, doomed_n, doomed_cap;

static void push(Conn ***list, uint32_t *n, uint32_t *cap, Conn *c) {
    if (*n == *cap) *list = realloc(*list, (*cap = *cap * 2 + 64) * sizeof *list);
    (*list)[(*n)++] = c;
}

static void doom(Conn *c) {
    if (c->doomed) return;
    c->doomed = true;
    push(&doomed, &doomed_n, &doomed_cap, c);
}

static void watch(Conn *c, bool writable) {
    if (c->waiting == writable) return;
    c->waiting = writable;
    struct epoll_event e = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void owe(Conn *c, const uint8_t *p, size_t n) {
    if (c->owed.n - c->paid + n > MOST_OWED) { doom(c); return; }
    append(&c->owed, p, n);
    watch(c, true);
}

/* One send of the connection's own replies and `shared`; the rest, if any, is owed. */
static void deliver(Conn *c, const uint8_t *shared, size_t n) {
    if (c->doomed) return;
    if (c->owed.n) {
        owe(c, c->own.p, c->own.n);
        owe(c, shared, n);
        c->own.n = 0;
        return;
    }
    ssize_t sent;
    if (c->own.n == 0) {
        sent = send(c->fd, shared, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        struct iovec parts[2] = {{c->own.p, c->own.n}, {(void *)shared, n}};
        struct msghdr m = {.msg_iov = parts, .msg_iovlen = n ? 2 : 1};
        sent = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    if (sent < 0 && errno != EAGAIN) { doom(c); return; }
    size_t done = sent < 0 ? 0 : (size_t)sent, own = c->own.n;
    c->own.n = 0;
    if (done == own + n) return;
    if (done < own) { owe(c, c->own.p + done, own - done); done = own; }
    owe(c, shared + (done - own), n - (done - own));
}

static void pay(Conn *c) { /* EPOLLOUT */
    ssize_t sent = send(c->fd, c->owed.p + c->paid, c->owed.n - c->paid, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) doom(c);
    if (sent > 0) c->paid += (size_t)sent;
    if (c->paid < c->owed.n) return;
    c->owed.n = c->paid = 0;
    watch(c, false);
}

static void flush_room(Room *r) {
    for (uint32_t i = 0; i < r->n; i++) deliver(r->members[i], r->batch.p, r->batch.n);
    r->batch.n = 0;
}

static void reply(Conn *c, const uint8_t *payload, const uint8_t *end) {
    uint8_t head[4];
    put_bytes(head, (uint64_t)(end - payload), 4);
    append(&c->own, head, 4);
    append(&c->own, payload, (size_t)(end - payload));
    if (!coalesce) { deliver(c, NULL, 0); return; }
    if (!c->dirty) push(&dirty, &dirty_n, &dirty_cap, c);
    c->dirty = true;
}

static uint8_t *result(uint8_t *p, uint64_t id, int keys) {
    *p++ = 0x93;
    *p++ = RESULT;
    p = put_uint(p, id);
    *p++ = (uint8_t)(0x80 | keys);
    return p;
}

static void refuse(Conn *c, uint64_t id, uint64_t code, const char *text) {
    uint8_t out[128], *p = out;
    *p++ = 0x94;
    *p++ = ERROR;
    reply(c, out, put_text(put_uint(put_uint(p, id), code), text));
}

static void on_connect(Conn *c, uint64_t id, Reader *r) {
    uint8_t out[256], *p = result(out, id, 5);
    skip(r); /* version */
    Span name = read_key(r, "name") ? read_str(r) : (Span){0};
    if (r->bad || name.n > 32) { refuse(c, id, 302, "name"); return; }
    c->user_n = name.n ? (uint8_t)name.n
                       : (uint8_t)snprintf(c->user, sizeof c->user, "guest-%llu", (unsigned long long)++guests);
    if (name.n) memcpy(c->user, name.p, name.n);
    p = put_uint(put_text(p, "version"), 1);
    p = put_str(put_text(p, "user"), c->user, c->user_n);
    p = put_text(put_text(p, "session"), "none");
    p = put_text(put_text(p, "node"), "reference");
    reply(c, out, put_uint(put_text(p, "time"), now_ms));
}

static Room *find_room(Span name) {
    for (uint32_t i = rooms_n; i-- > 0;)
        if (same(name, rooms[i]->name, rooms[i]->name_n)) return rooms[i];
    if (rooms_n == MOST_ROOMS) return NULL;
    Room *r = rooms[rooms_n++] = calloc(1, sizeof *r);
    memcpy(r->name, name.p, r->name_n = (uint8_t)name.n);
    return r;
}

static void on_join(Conn *c, uint64_t id, Reader *r) {
    Span name = read_str(r);
    if (r->bad || name.n == 0 || name.n > 64) { refuse(c, id, 302, "room"); return; }
    Room *room = c->room ? NULL : find_room(name);
    if (!room) { refuse(c, id, 402, "one room per connection here"); return; }
    if (room->batch.n) flush_room(room); /* who joins gets nothing from before */
    push(&room->members, &room->n, &room->cap, c);
    c->room = room;
    c->slot = room->n - 1;
    uint8_t out[128], *p = result(out, id, 5);
    p = put_text(put_text(p, "epoch"), "1");
    p = put_uint(put_text(p, "offset"), room->offset);
    p = put_text(p, "recovered");
    *p++ = 0xc0;
    p = put_text(p, "messages");
    *p++ = 0x90;
    reply(c, out, put_uint(put_text(p, "members"), room->n));
}

static void on_publish(Conn *c, uint64_t id, Reader *r) {
    Span name = read_str(r);
    const uint8_t *data = r->at;
    skip(r);
    if (r->bad) { refuse(c, id, 302, "data"); return; }
    Room *room = c->room;
    if (!room || !same(name, room->name, room->name_n)) { refuse(c, id, 304, "join first"); return; }
    size_t data_n = (size_t)(r->at - data);
    uint8_t *frame = reserve(&room->batch, data_n + 160), *p = frame + 4, out[64];
    *p++ = 0x97;
    *p++ = MESSAGE;
    p = put_uint(put_uint(put_str(p, room->name, room->name_n), ++room->offset), now_ms);
    p = put_str(p, c->user, c->user_n);
    memcpy(p, data, data_n);
    p += data_n;
    *p++ = 0x80;
    put_bytes(frame, (uint64_t)(p - frame - 4), 4);
    room->batch.n += (size_t)(p - frame);
    if (!coalesce) flush_room(room);
    if (coalesce && !room->dirty) dirty_rooms[dirty_rooms_n++] = room;
    room->dirty = coalesce;
    if (id == 0) return;
    p = put_uint(put_text(result(out, id, 2), "offset"), room->offset);
    reply(c, out, put_uint(put_text(p, "ts"), now_ms));
}

static void on_frame(Conn *c, const uint8_t *payload, size_t n) {
    Reader r = {payload, payload + n, false};
    uint8_t out[32];
    read_array(&r);
    uint64_t op = read_uint(&r), id = read_uint(&r);
    if (r.bad) { refuse(c, 0, 300, "malformed"); return; }
    if (op == PUBLISH) on_publish(c, id, &r);
    else if (op == PING) reply(c, out, put_uint(put_text(result(out, id, 1), "time"), now_ms));
    else if (op == CONNECT) on_connect(c, id, &r);
    else if (op == JOIN) on_join(c, id, &r);
    else if (op != PONG) refuse(c, id, 301, "not spoken here");
}

static void readable(Conn *c) {
    static uint8_t chunk[CHUNK + MAX_FRAME + 4];
    size_t kept = c->in.n;
    if (kept) memcpy(chunk, c->in.p, kept);
    ssize_t got = recv(c->fd, chunk + kept, CHUNK, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) { doom(c); return; }
    if (got < 0) return;
    const uint8_t *p = chunk, *end = chunk + kept + got;
    while (end - p >= 4) {
        size_t n = (size_t)big_endian(p, 4);
        if (n > MAX_FRAME) { doom(c); return; }
        if ((size_t)(end - p) < 4 + n) break;
        on_frame(c, p + 4, n);
        p += 4 + n;
    }
    c->in.n = 0;
    append(&c->in, p, (size_t)(end - p));
}

static void admit(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int on = 1, sndbuf = SNDBUF, lowat = NOTSENT_LOWAT;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
        Conn *c = calloc(1, sizeof *c);
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    }
}

static void bury(Conn *c) {
    if (c->room) {
        Conn *last = c->room->members[--c->room->n];
        c->room->members[last->slot = c->slot] = last;
    }
    close(c->fd);
    free(c->in.p), free(c->own.p), free(c->owed.p), free(c);
}

static int listen_on(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (void *)&a, n) || listen(fd, 4096) || getsockname(fd, (void *)&a, &n)) { perror("listen"); exit(2); }
    printf("listening on 127.0.0.1:%d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    int port = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-coalesce")) coalesce = false;
        else if (!strcmp(argv[i], "--port") && i + 1 < argc) port = atoi(argv[++i]);
        else { fprintf(stderr, "usage: server [--port N] [--no-coalesce]\n"); return 2; }
    }
    ep = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(port);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[1024];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(ep, events, 1024, -1);
        now_ms = nanoseconds(CLOCK_REALTIME) / 1000000;
        for (int i = 0; i < n; i++) {
            Conn *c = events[i].data.ptr;
            if (!c) { admit(listener); continue; }
            if (events[i].events & EPOLLOUT && !c->doomed) pay(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT && !c->doomed) readable(c);
        }
        for (uint32_t i = 0; i < dirty_rooms_n; i++) { flush_room(dirty_rooms[i]); dirty_rooms[i]->dirty = false; }
        dirty_rooms_n = 0;
        for (uint32_t i = 0; i < dirty_n; i++) { /* replies of those whose room had nothing */
            dirty[i]->dirty = false;
            if (dirty[i]->own.n) deliver(dirty[i], NULL, 0);
        }
        dirty_n = 0;
        for (uint32_t i = 0; i < doomed_n; i++) bury(doomed[i]);
        doomed_n = 0;
    }
}
