/* What a chat line needs of msgpack and of the framing (docs/PROTOCOL.md): a bounded reader that never runs past
 * its end, and writers into reserved room. */
#ifndef FASTCHAT_WIRE_H
#define FASTCHAT_WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

enum { CONNECT = 1, JOIN = 2, PUBLISH = 4, PING = 16, PONG = 17 };
enum { RESULT = 64, ERROR = 65, MESSAGE = 66, PRESENCE = 67, GAP = 71, PING_PUSH = 72, BYE = 74 };

typedef struct { uint8_t *p; size_t n, cap; } Buf;
typedef struct { const uint8_t *p; size_t n; } Span;
typedef struct { const uint8_t *at, *end; bool bad; } Reader; /* once bad, everything read is 0 or empty */

static inline uint8_t *reserve(Buf *b, size_t more) {
    if (b->n + more > b->cap) {
        b->cap = (b->n + more) * 2;
        b->p = realloc(b->p, b->cap);
        if (!b->p) { perror("realloc"); exit(2); }
    }
    return b->p + b->n;
}

static inline void append(Buf *b, const void *from, size_t n) {
    if (n == 0) return;
    memcpy(reserve(b, n), from, n);
    b->n += n;
}

static inline uint64_t big_endian(const uint8_t *p, int n) {
    uint64_t value = 0;
    while (n--) value = value << 8 | *p++;
    return value;
}

static inline uint8_t *put_bytes(uint8_t *p, uint64_t value, int n) {
    while (n--) *p++ = (uint8_t)(value >> 8 * n);
    return p;
}

static inline uint8_t *put_uint(uint8_t *p, uint64_t v) {
    if (v < 0x80) { *p++ = (uint8_t)v; return p; }
    if (v < 1 << 8) { *p++ = 0xcc; return put_bytes(p, v, 1); }
    if (v < 1 << 16) { *p++ = 0xcd; return put_bytes(p, v, 2); }
    if (v < 1ULL << 32) { *p++ = 0xce; return put_bytes(p, v, 4); }
    *p++ = 0xcf;
    return put_bytes(p, v, 8);
}

static inline uint8_t *put_str(uint8_t *p, const void *text, size_t n) {
    if (n < 32) *p++ = (uint8_t)(0xa0 | n);
    else if (n < 256) { *p++ = 0xd9; p = put_bytes(p, n, 1); }
    else { *p++ = 0xda; p = put_bytes(p, n, 2); }
    memcpy(p, text, n);
    return p + n;
}

static inline uint8_t *put_text(uint8_t *p, const char *text) { return put_str(p, text, strlen(text)); }

static inline uint64_t read_number(Reader *r, int n) {
    if (r->bad || r->end - r->at < n) { r->bad = true; return 0; }
    uint64_t value = big_endian(r->at, n);
    r->at += n;
    return value;
}

/* The length of a container whose short form is `fix | n` (n <= mask) and whose 16-bit form is `wide`. */
static inline uint32_t read_count(Reader *r, uint8_t fix, uint8_t mask, uint8_t wide) {
    uint8_t head = (uint8_t)read_number(r, 1);
    if (!r->bad && (head & ~mask) == fix) return head & mask;
    if (!r->bad && head == wide) return (uint32_t)read_number(r, 2);
    if (!r->bad && head == wide + 1) return (uint32_t)read_number(r, 4);
    r->bad = true;
    return 0;
}

static inline uint32_t read_array(Reader *r) { return read_count(r, 0x90, 0x0f, 0xdc); }
static inline uint32_t read_map(Reader *r) { return read_count(r, 0x80, 0x0f, 0xde); }

static inline uint64_t read_uint(Reader *r) {
    uint8_t head = (uint8_t)read_number(r, 1);
    if (head < 0x80) return head;
    if (head >= 0xcc && head <= 0xcf) return read_number(r, 1 << (head - 0xcc));
    r->bad = true;
    return 0;
}

static inline Span read_span(Reader *r, size_t n) {
    if (r->bad || (size_t)(r->end - r->at) < n) { r->bad = true; return (Span){r->at, 0}; }
    Span span = {r->at, n};
    r->at += n;
    return span;
}

static inline Span read_str(Reader *r) {
    uint8_t head = (uint8_t)read_number(r, 1);
    if ((head & 0xe0) == 0xa0) return read_span(r, head & 0x1f);
    if (head >= 0xd9 && head <= 0xdb) return read_span(r, (size_t)read_number(r, 1 << (head - 0xd9)));
    r->bad = true;
    return (Span){r->at, 0};
}

/* Pass over one value of any type; what is left to pass is counted, so nesting costs no stack. */
static inline void skip(Reader *r) {
    static const uint8_t fixed[32] = /* body bytes of 0xc0..0xdf where they do not depend on a length */
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17};
    for (uint64_t left = 1; left > 0 && !r->bad; left--) {
        uint8_t h = (uint8_t)read_number(r, 1);
        if (h < 0x80 || h >= 0xe0) continue;
        if (h < 0x90) left += 2u * (h & 0x0f);
        else if (h < 0xa0) left += h & 0x0f;
        else if (h < 0xc0) read_span(r, h & 0x1f);
        else if (h >= 0xc4 && h <= 0xc6) read_span(r, read_number(r, 1 << (h - 0xc4)));
        else if (h >= 0xc7 && h <= 0xc9) read_span(r, read_number(r, 1 << (h - 0xc7)) + 1);
        else if (h >= 0xd9 && h <= 0xdb) read_span(r, read_number(r, 1 << (h - 0xd9)));
        else if (h == 0xdc || h == 0xdd) left += read_number(r, h == 0xdc ? 2 : 4);
        else if (h == 0xde || h == 0xdf) left += 2 * read_number(r, h == 0xde ? 2 : 4);
        else read_span(r, fixed[h - 0xc0]);
    }
}

/* Whether the next value, a map, has `key`; the reader stands at its value then, else behind the map. */
static inline bool read_key(Reader *r, const char *key) {
    for (uint32_t n = read_map(r); n > 0 && !r->bad; n--) {
        Span name = read_str(r);
        if (name.n == strlen(key) && memcmp(name.p, key, name.n) == 0) return !r->bad;
        skip(r);
    }
    return false;
}

static inline bool same(Span span, const char *text, size_t n) {
    return span.n == n && memcmp(span.p, text, n) == 0;
}

static inline uint64_t nanoseconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
