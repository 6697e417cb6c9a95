/* What the clients do: the conversation up to READY, then one of the loads. */
#include "load.h"

#include <math.h>
#include <sys/epoll.h>

static uint64_t due = UINT64_MAX, stop_at; /* the next paced message; how many messages a flood may send */
static int due_publisher;
static uint64_t started, turn;
static double *phases; /* PHASED: of each publisher, in seconds, ascending */
static bool pumping;
Reading begun, ended;

bool complete(const Client *c);

static double uniform(void) { /* splitmix64 in (0, 1] */
    uint64_t z = (load.o.seed += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53 + 0x1p-54;
}

static long number_of(const Client *c) { return c - load.clients; }

void greet(Client *c) {
    uint8_t out[96], *p = out;
    char name[16];
    snprintf(name, sizeof name, "u%d", (int)number_of(c));
    memcpy(p, (uint8_t[]){0x94, CONNECT, 1, 1, 0x81}, 5);
    p = put_text(put_text(p + 5, "name"), name);
    say(c, out, (size_t)(p - out));
    push_out(c);
    c->state = GREETING;
}

static void join(Client *c) {
    uint8_t out[96], *p = out;
    char name[80];
    if (load.o.rooms == 1) snprintf(name, sizeof name, "%s", load.o.room);
    else snprintf(name, sizeof name, "%s-%ld", load.o.room, number_of(c) % load.o.rooms);
    memcpy(p, (uint8_t[]){0x93, JOIN, 2}, 3);
    p = put_text(p + 3, name);
    say(c, out, (size_t)(p - out));
    push_out(c);
    c->state = JOINING;
}

static void be_ready(Client *c) {
    c->state = READY;
    c->acked = 0;
    load.ready++;
    if (c->stalled) watch(c, 0);
    else load.live++;
}

static void send_pings(Client *c) {
    for (int i = 0; i < load.o.depth; i++) {
        uint8_t out[16] = {0x92, PING}, *p = put_uint(out + 2, ++c->sent);
        say(c, out, (size_t)(p - out));
    }
    load.sent += (uint64_t)load.o.depth;
    push_out(c);
}

uint64_t publish(Client *c, uint64_t intended) {
    uint64_t number = load.sent++;
    uint8_t out[LARGEST + 128], text[LARGEST], *p = out;
    Message *m = &load.messages[number & (load.ring - 1)];
    *m = (Message){number, intended, 0, 0, (uint32_t)number_of(c), (uint32_t)c->sent++};
    fill_payload(text, number, m->publisher, m->sequence);
    *p++ = 0x94;
    *p++ = PUBLISH;
    p = put_text(put_uint(p, number + 1), load.o.room);
    p = put_str(p, text, (size_t)load.o.payload);
    say(c, out, (size_t)(p - out));
    return number;
}

/* Flat out: as many as the window of unreceived own messages and acknowledgements allows. */
void top_up(Client *c) {
    if (number_of(c) >= load.o.publishers || c->state != READY) return;
    while (load.sent < stop_at) {
        uint64_t back = c->seen < c->acked ? c->seen : c->acked;
        if (c->sent - back >= (uint64_t)load.o.window) break;
        publish(c, load.now);
    }
    push_out(c);
}

static void next_due(void) {
    Options *o = &load.o;
    int p = o->publishers;
    double at;
    if (o->schedule == POISSON) {
        due += (uint64_t)(-log(uniform()) / o->rate * 1e9);
        due_publisher = (int)(uniform() * 0.999999 * p);
        return;
    }
    if (o->schedule == FIXED) at = (double)turn / o->rate;
    else at = (double)(turn / (uint64_t)p) * p / o->rate + phases[turn % (uint64_t)p];
    due = started + (uint64_t)(at * 1e9);
    due_publisher = (int)(turn++ % (uint64_t)p);
}

static void send_due(void) {
    while (load.now >= due) {
        if (load.sent - load.errors.refused - load.completed >= load.ring / 2) { load.behind = true; due = UINT64_MAX; return; }
        Client *c = &load.clients[due_publisher];
        if (load.timing) record(&load.lateness, load.now - due);
        publish(c, due);
        push_out(c);
        next_due();
        load.now = nanoseconds(CLOCK_MONOTONIC);
    }
}

/* What a client does after its events were served. */
void advance(Client *c) {
    if (c->state == GREETING && c->acked == 1) {
        if (load.o.rooms) join(c);
        else be_ready(c);
    } else if (c->state == JOINING && c->acked == 2) {
        be_ready(c);
    } else if (pumping && load.o.mode == FLOOD) {
        top_up(c);
    } else if (pumping && load.o.mode == PINGS && c->acked == c->sent) {
        send_pings(c);
    }
    if (load.now >= due) send_due();
}

static bool settled(void) {
    if (load.o.mode == PINGS) return load.pongs >= load.sent;
    uint64_t sent = load.sent - load.errors.refused;
    return load.completed >= sent && load.acks >= sent;
}

static void drain(void) {
    uint64_t deadline = nanoseconds(CLOCK_MONOTONIC) + (uint64_t)(load.o.timeout * 1e9);
    while (!settled() && load.now < deadline && load.errors.closed == 0) wait_events(load.now + 50000000);
}

static void pump(double seconds, uint64_t count) {
    load.now = nanoseconds(CLOCK_MONOTONIC);
    uint64_t end = load.now + (uint64_t)(seconds * 1e9);
    stop_at = count ? load.sent + count : UINT64_MAX;
    pumping = true;
    for (Client *c = load.clients; c < load.clients + load.o.members; c++) advance(c);
    while ((count ? load.sent < stop_at : load.now < end) && load.errors.closed == 0) wait_events(end);
    pumping = false;
    drain();
}

/* From idle to idle: every delivery of the window is counted with all that it cost. */
static void flat_out(void) {
    if (load.o.warmup > 0) pump(load.o.warmup, 0);
    load.base = load.sent;
    load.timing = true;
    begun = read_all();
    pump(load.o.seconds, load.o.count);
    ended = read_all();
}

static int ascending(const void *a, const void *b) { return *(double *)a < *(double *)b ? -1 : 1; }

static void paced(void) {
    uint64_t from, end;
    started = due = nanoseconds(CLOCK_MONOTONIC) + 1000000;
    from = started + (uint64_t)(load.o.warmup * 1e9);
    end = from + (uint64_t)(load.o.seconds * 1e9);
    phases = calloc((size_t)load.o.publishers, sizeof *phases);
    for (int i = 0; i < load.o.publishers; i++) phases[i] = uniform() * load.o.publishers / load.o.rate;
    qsort(phases, (size_t)load.o.publishers, sizeof *phases, ascending);
    next_due();
    while (load.now < end) {
        if (!load.timing && load.now >= from) {
            load.timing = true;
            load.base = load.sent;
            begun = read_all();
        }
        wait_events(due < end ? due : end);
        if (load.now >= due && due < end) send_due();
    }
    ended = read_all();
    due = UINT64_MAX;
    drain();
}

/* Those who never read begin to: they find GAPs, or that they were cut. */
static void resume(void) {
    load.o.resume = true;
    for (Client *c = load.clients; c < load.clients + load.o.members; c++) {
        if (!c->stalled || c->state != READY) continue;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(load.ep, EPOLL_CTL_MOD, c->fd, &e) != 0) epoll_ctl(load.ep, EPOLL_CTL_ADD, c->fd, &e);
    }
    uint64_t deadline = nanoseconds(CLOCK_MONOTONIC) + (uint64_t)(load.o.timeout * 1e9);
    for (bool all = false; !all && load.now < deadline;) {
        wait_events(load.now + 50000000);
        all = true;
        for (Client *c = load.clients; c < load.clients + load.o.members; c++)
            if (c->stalled && c->state == READY && !complete(c)) all = false;
    }
}

void run(void) {
    uint64_t before = nanoseconds(CLOCK_MONOTONIC);
    connect_all();
    record(&load.connect, nanoseconds(CLOCK_MONOTONIC) - before);
    report("ready");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (load.o.hold && epoll_ctl(load.ep, EPOLL_CTL_ADD, 0, &e) != 0) fail("--hold needs a pipe on standard input");
    while (load.o.hold) wait_events(load.now + 1000000000);
    if (load.o.mode == PACED) paced();
    else if (load.o.mode != IDLE) flat_out();
    if (load.o.stalled && load.o.mode != IDLE) resume();
    check_end();
    report("done");
}
