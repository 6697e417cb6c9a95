# What the kernel offers. Part of _swarm.pyx.

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    struct timespec:
        time_t tv_sec
        long tv_nsec
    enum:
        CLOCK_MONOTONIC
        CLOCK_PROCESS_CPUTIME_ID
        TIMER_ABSTIME
    int clock_gettime(int clock, timespec *t)
    int clock_nanosleep(int clock, int flags, const timespec *t, timespec *left)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLLRDHUP
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLL_CLOEXEC
    uint32_t EPOLLET
    int epoll_create1(int flags)
    int epoll_ctl(int ep, int what, int fd, epoll_event *event)
    int epoll_wait(int ep, epoll_event *events, int most, int timeout)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN
    int ppoll(pollfd *fds, unsigned long count, const timespec *timeout, const void *mask)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    enum:
        AF_INET
        SOCK_STREAM
        SOCK_NONBLOCK
        SOCK_CLOEXEC
        SOL_SOCKET
        SO_ERROR
        SO_RCVBUF
        MSG_NOSIGNAL
        MSG_DONTWAIT
    int socket(int family, int kind, int protocol)
    int bind(int fd, const sockaddr *address, socklen_t size)
    int connect(int fd, const sockaddr *address, socklen_t size)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
    ssize_t send(int fd, const void *data, size_t size, int flags)
    ssize_t recv(int fd, void *data, size_t size, int flags)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    enum:
        IPPROTO_IP
        IPPROTO_TCP
        IP_BIND_ADDRESS_NO_PORT
    uint32_t INADDR_LOOPBACK
    uint16_t htons(uint16_t port)
    uint32_t htonl(uint32_t address)

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NODELAY

cdef extern from "<sys/prctl.h>" nogil:
    enum:
        PR_SET_PDEATHSIG
        PR_SET_TIMERSLACK
    int prctl(int option, unsigned long value)

cdef extern from "<signal.h>" nogil:
    enum:
        SIGKILL

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <string.h>
    """
    void *memmem(const void *hay, size_t hay_n, const void *needle, size_t needle_n)
