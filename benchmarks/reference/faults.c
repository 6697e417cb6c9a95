/* Preloaded into a server, makes its kernel a bad one: sends on TCP sockets take only a part of what they are
 * given, or nothing (EAGAIN), as a seeded generator says. Counts go to the file that FAULTS_FILE names.
 *
 * Only sends of more than a few bytes are cut, and never to nothing twice in a row, so that everything gets
 * through in the end. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct { uint64_t sends, partial, refused; } Counts;

static Counts spare, *counts = &spare;
static uint64_t seed = 88172645463325252u;
static __thread int refused_last;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTS_FILE"), *text = getenv("FAULTS_SEED");
    if (text) seed ^= strtoull(text, NULL, 10) << 20;
    int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    if (fd < 0 || ftruncate(fd, sizeof *counts) != 0) return;
    void *shared = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED) counts = shared;
    close(fd);
}

static int is_tcp(int fd) {
    int type = 0, family = 0;
    socklen_t n = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0 || type != SOCK_STREAM) return 0;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) == 0 && (family == AF_INET || family == AF_INET6);
}

/* How many of n bytes may pass this time; 0: refuse. */
static size_t allowance(int fd, size_t n) {
    if (n < 8 || !is_tcp(fd)) return n;
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    counts->sends++;
    int fate = (int)(seed >> 33) & 3;
    if (fate == 0 && !refused_last) { counts->refused++; refused_last = 1; return 0; }
    refused_last = 0;
    if (fate != 1) return n;
    counts->partial++;
    return 1 + (size_t)(seed >> 20) % (n - 1);
}

static ssize_t refuse(void) { errno = EAGAIN; return -1; }

static ssize_t gathered(int fd, const struct iovec *parts, size_t count, int flags, ssize_t (*whole)(void *), void *call) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) n += parts[i].iov_len;
    size_t may = allowance(fd, n);
    if (may == n) return whole(call);
    if (may == 0) return refuse();
    struct iovec first[1024];
    size_t used = 0;
    for (; used < count && used < 1024 && may > 0; used++) {
        first[used] = parts[used];
        if (first[used].iov_len > may) first[used].iov_len = may;
        may -= first[used].iov_len;
    }
    struct msghdr m = {.msg_iov = first, .msg_iovlen = used};
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (!real) real = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    return real(fd, &m, flags);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t send(int fd, const void *p, size_t n, int flags) {
    REAL(send);
    size_t may = allowance(fd, n);
    return may ? real(fd, p, may, flags) : refuse();
}

ssize_t write(int fd, const void *p, size_t n) {
    REAL(write);
    size_t may = n ? allowance(fd, n) : 0;
    return may || n == 0 ? real(fd, p, may) : refuse();
}

typedef struct { int fd; const struct msghdr *m; int flags; } Sendmsg;
typedef struct { int fd; const struct iovec *parts; int count; } Writev;

static ssize_t whole_sendmsg(void *call) {
    REAL(sendmsg);
    Sendmsg *c = call;
    return real(c->fd, c->m, c->flags);
}

static ssize_t whole_writev(void *call) {
    REAL(writev);
    Writev *c = call;
    return real(c->fd, c->parts, c->count);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
    Sendmsg call = {fd, m, flags};
    if (m->msg_controllen) return whole_sendmsg(&call);
    return gathered(fd, m->msg_iov, m->msg_iovlen, flags, whole_sendmsg, &call);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    Writev call = {fd, parts, count};
    return gathered(fd, parts, (size_t)count, MSG_NOSIGNAL, whole_writev, &call);
}
