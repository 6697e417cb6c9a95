/* What the generator believes of what it receives: nothing that it has not compared. */
#include "load.h"

static uint64_t top; /* the highest offset that anybody saw */

void wrong(uint64_t *counter, Client *c, const char *what, uint64_t a, uint64_t b) {
    *counter += 1;
    if (load.errors.first[0]) return;
    snprintf(load.errors.first, sizeof load.errors.first, "client %ld: %s (%llu, %llu)", c - load.clients, what,
             (unsigned long long)a, (unsigned long long)b);
}

static void put_hex(uint8_t *to, uint64_t value, int digits) {
    while (digits--) *to++ = (uint8_t) "0123456789abcdef"[value >> 4 * digits & 15];
}

/* STAMP bytes that name the message, then a stretch of the pattern that depends on its number. */
void fill_payload(uint8_t *to, uint64_t number, uint32_t publisher, uint32_t sequence) {
    put_hex(to, number, 16);
    put_hex(to + 16, publisher, 8);
    put_hex(to + 24, sequence, 8);
    memcpy(to + STAMP, load.pattern + number % 61, (size_t)load.o.payload - STAMP);
}

void prepare_checks(void) {
    load.frame_size = (size_t)load.o.payload + 160;
    for (load.ring = 4096; load.ring < 65536 && load.ring * load.frame_size < 32 << 20;) load.ring *= 2;
    load.messages = calloc(load.ring, sizeof *load.messages);
    load.copies = calloc(load.ring, sizeof *load.copies);
    load.frames = malloc(load.ring * load.frame_size);
    load.pattern = malloc((size_t)load.o.payload + 64);
    if (!load.messages || !load.copies || !load.frames || !load.pattern) fail("out of memory");
    for (int i = 0; i < load.o.payload + 64; i++) load.pattern[i] = (uint8_t)('!' + i * 7 % 90);
}

static uint8_t *frame_of(const Copy *copy) { return load.frames + (size_t)(copy - load.copies) * load.frame_size; }

static void receipt(Client *c, Copy *copy) {
    c->next = copy->offset + 1;
    c->got++;
    if (c->stalled) return;
    load.deliveries++;
    copy->receipts++;
    if (!load.timing && c->sent == 0 && copy->receipts < load.live) return;
    Message *m = &load.messages[copy->number & (load.ring - 1)];
    if (m->publisher == (uint32_t)(c - load.clients)) c->seen++;
    bool timed = load.timing && m->number >= load.base;
    if (timed && load.o.mode == PACED) record(&load.each, load.now - m->intended);
    if (copy->receipts != load.live) return;
    load.completed++;
    if (timed) record(&load.last, load.now - m->intended);
}

static uint64_t read_hex(const uint8_t *p, int digits) {
    uint64_t value = 0;
    for (; digits--; p++) value = value << 4 | (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    return value;
}

/* The published message this copy is, or NULL: its stamp, its whole text and its author must be right. */
static Message *published(Client *c, Span user, Span text, uint64_t offset) {
    if (text.n != (size_t)load.o.payload) { wrong(&load.errors.corrupt, c, "payload length", text.n, offset); return NULL; }
    uint8_t expected[LARGEST];
    char name[16];
    uint64_t number = read_hex(text.p, 16);
    Message *m = &load.messages[number & (load.ring - 1)];
    if (m->number != number || number >= load.sent) {
        if (number >= load.sent || !c->stalled) wrong(&load.errors.corrupt, c, "never published", number, offset);
        return NULL; /* a stalled member may read what the ring no longer holds */
    }
    fill_payload(expected, number, m->publisher, m->sequence);
    if (memcmp(expected, text.p, text.n)) { wrong(&load.errors.corrupt, c, "payload", number, offset); return NULL; }
    if (!same(user, name, (size_t)snprintf(name, sizeof name, "u%u", m->publisher))) {
        wrong(&load.errors.corrupt, c, "author", number, offset);
        return NULL;
    }
    return m;
}

static void keep_first(Client *c, Copy *copy, Message *m, uint64_t offset, const uint8_t *frame, size_t size) {
    Client *author = &load.clients[m->publisher];
    if (m->offset) { wrong(&load.errors.duplicate, c, "one message, two offsets", m->offset, offset); return; }
    if (m->sequence != author->ordered) wrong(&load.errors.order, c, "sequence of its author", m->sequence, author->ordered);
    author->ordered = m->sequence + 1;
    m->offset = offset;
    if (m->acked && m->acked != offset) wrong(&load.errors.corrupt, c, "offset acknowledged otherwise", m->acked, offset);
    *copy = (Copy){.offset = offset, .number = m->number, .n = (uint32_t)size};
    memcpy(frame_of(copy), frame, size);
    if (offset > top) top = offset;
}

static void on_message(Client *c, Reader *r, uint32_t fields, const uint8_t *frame, size_t size) {
    Span room = read_str(r);
    uint64_t offset = read_uint(r), ts = read_uint(r);
    Span user = read_str(r), text = read_str(r);
    skip(r); /* opts */
    if (r->bad || fields != 7 || r->at != r->end || ts < 1500000000000u || size > load.frame_size) {
        wrong(&load.errors.corrupt, c, "malformed message", offset, size);
        return;
    }
    if (!same(room, load.o.room, strlen(load.o.room))) { wrong(&load.errors.corrupt, c, "wrong room", offset, 0); return; }
    if (offset < c->next) { wrong(&load.errors.duplicate, c, "offset again", offset, c->next); return; }
    if (offset > c->next) {
        wrong(&load.errors.lost, c, "offsets missing", c->next, offset);
        load.errors.lost += offset - c->next - 1;
    }
    c->next = offset + 1; /* whatever follows: report each fault once */
    Copy *copy = &load.copies[offset & (load.ring - 1)];
    if (copy->offset == offset) {
        if (copy->n == size && memcmp(frame_of(copy), frame, size) == 0) receipt(c, copy); /* after a hole */
        else wrong(&load.errors.corrupt, c, "not what others got at this offset", offset, size);
        return;
    }
    Message *m = published(c, user, text, offset);
    if (!m) return;
    if (c->stalled) { c->got++; return; }
    keep_first(c, copy, m, offset, frame, size);
    if (copy->offset == offset) receipt(c, copy);
}

static void on_result(Client *c, Reader *r) {
    uint64_t id = read_uint(r);
    if (c->state != READY || load.o.mode == PINGS) {
        Reader body = *r;
        if (c->state == JOINING && read_key(&body, "offset")) c->next = read_uint(&body) + 1;
        if (c->state == READY && id != c->acked + 1) wrong(&load.errors.order, c, "reply", id, c->acked + 1);
        load.pongs += c->state == READY;
        c->acked++;
        return;
    }
    Message *m = &load.messages[(id - 1) & (load.ring - 1)];
    if (id == 0 || m->number != id - 1 || m->acked || &load.clients[m->publisher] != c) {
        wrong(&load.errors.unexpected, c, "result of nothing", id, 0);
        return;
    }
    if (!read_key(r, "offset")) { wrong(&load.errors.corrupt, c, "result without offset", id, 0); return; }
    m->acked = read_uint(r);
    if (m->offset && m->offset != m->acked) wrong(&load.errors.corrupt, c, "offset acknowledged", m->acked, m->offset);
    c->acked++;
    load.acks++;
}

static void on_error(Client *c, Reader *r) {
    uint64_t id = read_uint(r), code = read_uint(r);
    Span text = read_str(r);
    char what[120];
    snprintf(what, sizeof what, "ERROR: %.*s", (int)(text.n < 100 ? text.n : 100), (const char *)text.p);
    if (c->state != READY) fail("client %ld: %s (%llu)", c - load.clients, what, (unsigned long long)code);
    wrong(&load.errors.refused, c, what, code, id);
    c->acked++, c->seen++; /* gives its place in the window back */
}

static void on_gap(Client *c, Reader *r) {
    Span room = read_str(r);
    uint64_t from = read_uint(r), to = read_uint(r);
    if (r->bad || !same(room, load.o.room, strlen(load.o.room)) || from != c->next || to < from) {
        wrong(&load.errors.corrupt, c, "GAP", from, to);
        return;
    }
    if (!c->stalled) wrong(&load.errors.lost, c, "GAP for a member that reads", from, to);
    c->next = to + 1;
    load.gaps++;
    load.missed += to - from + 1;
}

void on_frame(Client *c, const uint8_t *frame, size_t size, const uint8_t *payload, size_t n) {
    Copy *copy = &load.copies[c->next & (load.ring - 1)];
    if (copy->n == size && copy->offset == c->next && memcmp(frame_of(copy), frame, size) == 0) {
        receipt(c, copy);
        return;
    }
    Reader r = {payload, payload + n, false};
    uint32_t fields = read_array(&r);
    uint64_t op = read_uint(&r);
    if (r.bad) wrong(&load.errors.corrupt, c, "not a message", size, 0);
    else if (op == MESSAGE) on_message(c, &r, fields, frame, size);
    else if (op == RESULT) on_result(c, &r);
    else if (op == ERROR) on_error(c, &r);
    else if (op == GAP) on_gap(c, &r);
    else if (op == BYE) c->said_bye = true, load.byes++;
    else if (op == PING_PUSH) say(c, (const uint8_t[]){0x92, PONG, 0}, 3), push_out(c);
    else if (op != PRESENCE) wrong(&load.errors.unexpected, c, "operation", op, 0);
}

/* Whether a member has everything that anybody has. */
bool complete(const Client *c) { return c->next == top + 1 || top == 0; }

/* After the drain: everything published must be acknowledged and be with every member that reads. */
void check_end(void) {
    uint64_t answered = load.acks + load.errors.refused;
    if (load.o.mode == PINGS || load.o.mode == IDLE) return;
    if (answered < load.sent) {
        wrong(&load.errors.unacknowledged, load.clients, "publishes without an answer", load.sent, answered);
        load.errors.unacknowledged = load.sent - answered;
    }
    for (Client *c = load.clients; c < load.clients + load.o.members; c++) {
        if (c->state != READY || complete(c) || (c->stalled && !load.o.resume)) continue;
        wrong(&load.errors.lost, c, "the last messages never came", c->next, top);
        load.errors.lost += top - c->next;
    }
    if (top == 0 && load.sent > load.errors.refused) wrong(&load.errors.lost, load.clients, "nothing came", load.sent, 0);
}
