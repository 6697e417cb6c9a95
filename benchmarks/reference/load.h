/* The load generator's shared state: what was asked for, the clients, and what was seen.
 *
 * Invariant: every byte of every frame that a client receives is accounted for. The first copy of a room's
 * message is parsed and checked against what was published; every other member's copy must equal it byte
 * for byte and come at the next offset. */
#ifndef FASTCHAT_LOAD_H
#define FASTCHAT_LOAD_H

#define _GNU_SOURCE
#include "histogram.h"
#include "wire.h"

enum {
    MOST_CLIENTS = 19000,       /* descriptors are capped at 20,000 per process on small machines */
    LARGEST = 16000,            /* bytes of a payload: below the server's frame limit */
    STAMP = 32,                 /* bytes at the front of a payload: message, publisher, its sequence; hexadecimal */
    CHUNK = 256 * 1024,
    ROOM_FOR_TAIL = 2 << 20,    /* frames from the server are at most 1 MiB */
};

typedef enum { FLOOD, PACED, PINGS, IDLE } Mode;
typedef enum { FIXED, POISSON, PHASED } Schedule;

typedef struct {
    int port, members, rooms, publishers, window, payload, depth, stalled, rcvbuf, chunk;
    Mode mode;
    Schedule schedule;
    bool ws, hold, resume;
    double rate, seconds, warmup, timeout;
    uint64_t count, seed;
    pid_t server;
    const char *room;
} Options;

typedef enum { CLOSED, CONNECTING, UPGRADING, GREETING, JOINING, READY } State;

typedef struct {
    int fd;
    State state;
    bool stalled, writable_watched, said_bye;
    uint64_t next;              /* the offset that must come next */
    uint64_t sent, seen, acked; /* a publisher's own messages */
    uint64_t received;          /* bytes */
    uint64_t got;               /* messages */
    uint32_t ordered;           /* the sequence that must come next of those it published */
    Buf tail, out;              /* an incomplete frame; what the kernel did not take */
} Client;

/* A published message, by its number, and its first copy, by its offset; both rings of `ring` entries. */
typedef struct { uint64_t number, intended, offset, acked; uint32_t publisher, sequence; } Message;
typedef struct { uint64_t offset, number; uint32_t n, receipts; } Copy;

typedef struct { /* what went wrong, counted; `first` tells the first in words */
    uint64_t corrupt, lost, duplicate, order, refused, closed, unexpected, unacknowledged;
    char first[200];
} Errors;

typedef struct {
    Options o;
    int ep;
    Client *clients;
    Message *messages;
    Copy *copies;
    uint8_t *frames;            /* the copies' bytes, `frame_size` each */
    size_t ring, frame_size;
    uint8_t *pattern;           /* what payloads are cut from */
    uint64_t sent, deliveries, completed, acks, pongs, bytes, gaps, missed;
    uint64_t base;              /* messages below this number belong to the warm-up */
    uint64_t now;               /* monotonic nanoseconds, taken after each recv */
    uint32_t ready, live, cut, byes;
    bool timing, behind;
    Histogram last, each, lateness, connect;
    Errors errors;
} Load;

extern Load load;

/* clients.c: sockets, handshakes, bytes in and out */
void connect_all(void);
void say(Client *c, const uint8_t *payload, size_t n);
void push_out(Client *c);
void readable(Client *c);
void watch(Client *c, uint32_t events);
int wait_events(uint64_t until);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* checks.c: frames */
void on_frame(Client *c, const uint8_t *frame, size_t size, const uint8_t *payload, size_t n);
void wrong(uint64_t *counter, Client *c, const char *what, uint64_t a, uint64_t b);
void fill_payload(uint8_t *to, uint64_t number, uint32_t publisher, uint32_t sequence);
void prepare_checks(void);
void check_end(void);

/* loads.c: the modes */
void greet(Client *c);
void advance(Client *c);
uint64_t publish(Client *c, uint64_t intended);
void top_up(Client *c);
void run(void);

/* report.c */
void report(const char *event);
typedef struct { uint64_t wall, server, own, deliveries, sent, pongs, bytes; } Reading;
Reading read_all(void);
extern Reading begun, ended;

#endif
