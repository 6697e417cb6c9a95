/* Clocks and the JSON that the generator prints. */
#include "load.h"

static void print_histogram(const char *name, const Histogram *h) {
    printf(", \"%s_us\": {\"count\": %llu, \"mean\": %.1f, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}",
           name, (unsigned long long)h->n, h->n ? h->sum / (double)h->n / 1e3 : 0, percentile(h, 0.5) / 1e3, percentile(h, 0.9) / 1e3,
           percentile(h, 0.99) / 1e3, percentile(h, 0.999) / 1e3, (double)h->max / 1e3);
}

Reading read_all(void) {
    clockid_t clock = ((~(clockid_t)load.o.server) << 3) | 2; /* clock_getcpuclockid(3): all its threads */
    return (Reading){nanoseconds(CLOCK_MONOTONIC), load.o.server ? nanoseconds(clock) : 0,
                     nanoseconds(CLOCK_PROCESS_CPUTIME_ID), load.deliveries, load.sent, load.pongs, load.bytes};
}

static void print_count(const char *name, uint64_t n) { printf(", \"%s\": %llu", name, (unsigned long long)n); }

static uint64_t most_received_by_stalled(void) {
    uint64_t most = 0;
    for (Client *c = load.clients; c < load.clients + load.o.members; c++)
        if (c->stalled && c->received > most) most = c->received;
    return most;
}

void report(const char *event) {
    const Errors *e = &load.errors;
    double seconds = (double)(ended.wall - begun.wall) / 1e9, own = (double)(ended.own - begun.own) / 1e9;
    double busy = seconds > 0 ? own / seconds : 0;
    bool saturated = load.behind || busy > 0.95 || percentile(&load.lateness, 0.99) > 1e6;
    printf("{\"event\": \"%s\", \"seconds\": %.6f, \"server_cpu\": %.6f, \"own_cpu\": %.6f, \"busy\": %.3f, \"saturated\": %s, \"behind\": %s",
           event, seconds, (double)(ended.server - begun.server) / 1e9, own, busy, saturated ? "true" : "false",
           load.behind ? "true" : "false");
    print_count("members", load.ready);
    print_count("deliveries", ended.deliveries - begun.deliveries);
    print_count("messages", ended.sent - begun.sent);
    print_count("replies", ended.pongs - begun.pongs);
    print_count("bytes", ended.bytes - begun.bytes);
    print_count("sent", load.sent);
    print_count("acknowledged", load.acks);
    print_histogram("last", &load.last);
    print_histogram("each", &load.each);
    print_histogram("lateness", &load.lateness);
    printf(", \"connect_seconds\": %.3f", (double)load.connect.max / 1e9);
    printf(", \"stalled\": {\"members\": %d, \"cut\": %u", load.o.stalled, load.cut);
    print_count("byes", load.byes);
    print_count("gaps", load.gaps);
    print_count("missed", load.missed);
    print_count("most_bytes", most_received_by_stalled());
    printf("}, \"errors\": {\"corrupt\": %llu", (unsigned long long)e->corrupt);
    print_count("lost", e->lost);
    print_count("duplicate", e->duplicate);
    print_count("order", e->order);
    print_count("refused", e->refused);
    print_count("closed", e->closed);
    print_count("unexpected", e->unexpected);
    print_count("unacknowledged", e->unacknowledged);
    printf("}, \"first_error\": \"");
    for (const char *p = e->first; *p; p++)
        if (*p >= ' ' && *p != '"' && *p != '\\' && *p < 127) putchar(*p);
    printf("\"}\n");
    fflush(stdout);
}
