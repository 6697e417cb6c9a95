/* A load generator for servers that speak the fastchat wire, over TCP or WebSocket, on this machine only.
 *
 *   loadgen --port N [--wire tcp|ws] --mode flood|paced|pings|idle --members M ... ; see usage below
 *
 * Prints one JSON object when everybody is connected and one at the end. Exit status: 0 everything checked
 * out, 1 the server did wrong, 2 it could not be measured. */
#include "load.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

Load load;

static const char *usage =
    "loadgen --port N [--wire tcp|ws] [--mode flood|paced|pings|idle] [--members 1000] [--publishers 1]\n"
    "  [--rooms 1] [--room lobby] [--payload 100] [--window 64] [--depth 16] [--rate 200]\n"
    "  [--schedule fixed|poisson|phased] [--seconds 3] [--warmup 1] [--count 0] [--seed 1] [--timeout 30]\n"
    "  [--stalled 0] [--rcvbuf 0] [--chunk 262144] [--server PID] [--hold 0|1]\n"
    "flood: each publisher keeps --window messages under way for --seconds, or --count messages in all\n"
    "paced: --rate messages a second in all, latency from the intended time (open loop)\n"
    "pings: --depth pipelined PINGs from every member; idle: connected, joined, silent\n"
    "--stalled: this many of the members do not read until the end; --hold: wait for a line before the load\n";

static int choice(const char *value, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (!strcmp(value, names[i])) return i;
    fail("'%s' is not one of the choices\n%s", value, usage);
}

static void set(Options *o, const char *name, const char *value) {
    static const char *const modes[] = {"flood", "paced", "pings", "idle", NULL};
    static const char *const schedules[] = {"fixed", "poisson", "phased", NULL};
    static const char *const wires[] = {"tcp", "ws", NULL};
    const struct { const char *name; int *to; } numbers[] = {
        {"--port", &o->port}, {"--members", &o->members}, {"--publishers", &o->publishers}, {"--rooms", &o->rooms},
        {"--payload", &o->payload}, {"--window", &o->window}, {"--depth", &o->depth}, {"--stalled", &o->stalled},
        {"--rcvbuf", &o->rcvbuf}, {"--chunk", &o->chunk}, {"--server", &o->server}, {NULL, NULL}};
    const struct { const char *name; double *to; } reals[] = {
        {"--rate", &o->rate}, {"--seconds", &o->seconds}, {"--warmup", &o->warmup}, {"--timeout", &o->timeout}, {NULL, NULL}};
    for (int i = 0; numbers[i].name; i++)
        if (!strcmp(name, numbers[i].name)) { *numbers[i].to = atoi(value); return; }
    for (int i = 0; reals[i].name; i++)
        if (!strcmp(name, reals[i].name)) { *reals[i].to = atof(value); return; }
    if (!strcmp(name, "--wire")) o->ws = choice(value, wires);
    else if (!strcmp(name, "--mode")) o->mode = (Mode)choice(value, modes);
    else if (!strcmp(name, "--schedule")) o->schedule = (Schedule)choice(value, schedules);
    else if (!strcmp(name, "--room")) o->room = value;
    else if (!strcmp(name, "--hold")) o->hold = atoi(value);
    else if (!strcmp(name, "--count")) o->count = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--seed")) o->seed = strtoull(value, NULL, 10);
    else fail("unknown option %s\n%s", name, usage);
}

static void check_options(const Options *o) {
    struct { bool right; const char *rule; } rules[] = {
        {o->port > 0 && o->port < 65536, "--port 1 to 65535"},
        {o->members > 0 && o->members <= MOST_CLIENTS, "--members 1 to 19000"},
        {o->publishers > 0 && o->publishers <= o->members - o->stalled, "--publishers are members who read"},
        {o->stalled >= 0 && o->stalled < o->members, "--stalled below --members"},
        {o->payload >= STAMP && o->payload <= LARGEST, "--payload 32 to 16000"},
        {o->window > 0 && (o->mode == FLOOD ? o->window * o->publishers : o->window) <= 1024, "--window 1 to 1024, in all in mode flood"},
        {o->depth > 0 && o->depth <= 64, "--depth 1 to 64"},
        {o->rate > 0 && o->rate <= 1e6, "--rate up to 1,000,000"},
        {o->seconds > 0 && o->seconds <= 600 && o->warmup >= 0 && o->warmup <= 60, "--seconds to 600, --warmup to 60"},
        {o->timeout > 0 && o->timeout <= 300, "--timeout to 300"},
        {o->chunk > 0 && o->chunk <= CHUNK, "--chunk 1 to 262144"},
        {o->rooms == 1 || o->mode == IDLE || (o->rooms == 0 && o->mode == PINGS), "--rooms 1, except in mode idle; 0 in mode pings"},
        {strlen(o->room) > 0 && strlen(o->room) < 50, "--room 1 to 49 characters"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!rules[i].right) fail("out of bounds: %s", rules[i].rule);
}

int main(int argc, char **argv) {
    load.o = (Options){.members = 1000, .publishers = 1, .rooms = 1, .window = 64, .payload = 100, .depth = 16, .rate = 200,
                       .seconds = 3, .warmup = 1, .timeout = 30, .chunk = CHUNK, .room = "lobby", .seed = 1};
    if (argc % 2 == 0) { fputs(usage, stderr); return 2; }
    for (int i = 1; i < argc; i += 2) set(&load.o, argv[i], argv[i + 1]);
    check_options(&load.o);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)(load.o.seconds + load.o.warmup + 4 * load.o.timeout) + 120); /* whatever happens, it ends */
    prctl(PR_SET_TIMERSLACK, 1);
    load.ep = epoll_create1(EPOLL_CLOEXEC);
    load.clients = calloc((size_t)load.o.members, sizeof *load.clients);
    for (int i = load.o.members - load.o.stalled; i < load.o.members; i++) load.clients[i].stalled = true;
    prepare_checks();
    run();
    return load.errors.first[0] ? 1 : 0;
}
