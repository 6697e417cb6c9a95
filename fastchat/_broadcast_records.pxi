# The records that everything else is about. Part of _broadcast.pyx, whose docstring explains them.

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t send(int fd, const void *data, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL

cdef enum:
    SLICES = 1024  # IOV_MAX of Linux: what one sendmsg may carry
    SWEEP = 64  # connections between two looks at the clock, which is Python
    KEPT_ARENA = 1 << 20  # bytes: a larger arena is given back after its round
    # why a sieve drops
    EXPIRED = 0
    SUPERSEDED = 1
    OLDEST = 2
    # how far the sweep came with a connection
    UNTRIED = 0
    SENT = 1
    PARTIAL = 2
    REFUSED = 3

cdef struct frame_t:
    uint64_t order  # of the put, over all fan-outs
    Py_ssize_t end  # where it ends in the batch
    int64_t offset  # in the room, 0: not stored
    double expires  # on the clock, 0: never
    bint keep

cdef struct batch_t:
    char *data
    Py_ssize_t size
    Py_ssize_t space
    frame_t *frames
    int count
    int slots
    int refs
    bint expiring
    bint stale  # since it was frozen: a frame had waited too long by then
    bint own  # a copy for one queue
    PyObject *room  # Fanout, NULL: private; borrowed until the batch is frozen
    PyObject *joined  # the data as bytes, for transports; made once, for the time of its round

cdef struct item_t:  # private frames of one connection that stand together in the arena
    Py_ssize_t start
    Py_ssize_t end
    uint64_t order  # of the last put on a fan-out before them
    int next

cdef struct arena_t:
    char *data
    Py_ssize_t size
    Py_ssize_t space
    item_t *items
    int count
    int slots

cdef struct entry_t:  # in a queue: a range of a batch, or (batch NULL) a gap
    batch_t *batch
    int first
    int last
    PyObject *room  # of a gap
    int64_t start
    int64_t end
    int why

cdef struct queue_t:
    entry_t *entries
    int head
    int count  # one past the last
    int slots
    bint expiring
    bint latest

cdef struct seat_t:  # a membership as the outbox knows it
    PyObject *room  # Fanout, borrowed: it takes its seats away when it goes
    int at  # index among its members

cdef struct conn_t:  # what the loop reads comes first, for the cache
    PyObject *owner  # the Outbox around it
    queue_t *queue  # NULL: nothing waits
    int fd
    uint8_t wire
    uint8_t paused
    uint8_t closed
    uint8_t ending
    uint8_t ended
    uint8_t over  # cut: nothing is accepted until clear()
    uint8_t cut  # has been cut: what waits now is its goodbye
    uint8_t gathered  # will be in the next round
    int turn  # index in the to-do list of the round under way, -1: none or served
    int item  # first private item of the next round, -1: none
    int last_item
    int seated
    int seat_slots
    seat_t *seats
    uint64_t floor  # frames up to this order were forgotten
    Py_ssize_t mine  # private bytes for the next round
    Py_ssize_t pending  # bytes in the queue or with the transport
    Py_ssize_t handed  # with a transport that has paused us
    Py_ssize_t doomed  # of these, what goes because we were cut

cdef struct member_t:
    conn_t *conn
    uint64_t since  # order when it was added

cdef struct range_t:  # frames of a batch that were put for one member of a room with a radius
    int first
    int last
    int next  # how much further on the member's next range stands, 0: this is the last one

cdef struct spot_t:  # where a member is, beside its member_t
    double x
    double y
    int64_t column
    int64_t row
    int before  # in its bucket
    int next
    int first  # range of the member, -1: none
    int last
    bint placed

cdef struct grid_t:  # of a room with a radius
    double radius
    spot_t *spots  # as many as members, in the same places
    int slots
    int placed
    int *buckets  # first members of chains
    int bucket_count  # a power of two, 0 before the first member is placed
    range_t *ranges  # since the last round
    int range_count
    int range_slots
    int *chosen  # scratch: numbers of members
    int chosen_count
    int chosen_slots

cdef struct source_t:  # one range of a share
    batch_t *batch
    int first
    int last
    int next
    int more  # first of a chain of further ranges of this batch, -1: none
    bint own  # used by queues: copy rather than refer

cdef struct todo_t:
    conn_t *conn  # NULL: closed meanwhile
    source_t source  # batch NULL: none; more of them follow from source.next
    int item
    bint stale  # something of it has waited too long: it must go through the sieve
    int state
    Py_ssize_t sent  # bytes out when PARTIAL, errno when REFUSED

cdef struct merge_t:  # what is left of a share
    source_t *sources
    int live
    int item

cdef struct run_t:  # what goes next: a slice of a batch, or (batch NULL) an item of the arena
    char *data
    Py_ssize_t size
    batch_t *batch
    int first
    int last
    bint own

cdef struct fault_t:  # tests: see _broadcast_base.Faults
    uint64_t state
    unsigned int partial
    unsigned int again
    unsigned int interrupt
    unsigned int broken

ctypedef ssize_t (*sender_t)(fault_t *fault, int fd, iovec *slices, int count) noexcept nogil
