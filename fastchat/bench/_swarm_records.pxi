# What everything else is about: clients, rooms, messages. Part of _swarm.pyx, whose docstring explains them.

cdef enum:
    STAMP = 32  # bytes at the front of a payload: message, publisher, its sequence; hexadecimal
    LARGEST = 16000  # bytes of a payload: below the server's frame limit
    AROUND = 192  # bytes that a delivery may have besides its payload
    CHUNK = 256 * 1024  # bytes of one recv at most
    LONGEST = 2 << 20  # bytes of a frame: those from the server are at most 1 MiB
    SPAN_LIMIT = 1 << 20  # messages from the oldest that is under way to the newest
    CODES = 16  # different codes of ERROR that are told apart
    EVENTS = 1024
    LOOK = 20000  # nanoseconds: a look that found nothing and took longer was interrupted
    AT_ONCE = 256  # clients that are connecting at the same time
    BATCH = 64  # messages that are due at once and go out before the next look at the sockets
    MOST_OPENING = 4096  # bytes before a step of the opening is through
    NAME = 64  # bytes of a name, with its 0

cdef enum:  # a client's state
    CLOSED = 0
    CONNECTING
    UPGRADING
    OPENING  # going through a script
    GREETING
    JOINING
    READY

cdef enum:  # modes and schedules
    FLOOD = 0
    PACED
    PINGS
    IDLE
    POISSON = 0
    FIXED
    PHASED

cdef enum:  # what a recv found
    EMPTY = 0
    SHORT
    FULL

cdef enum:  # what serve() may wait for
    NOTHING = 0
    ALL_READY
    ALL_SENT
    SETTLED
    CAUGHT_UP

ctypedef struct buffer_t:
    uint8_t *p
    size_t n, cap

ctypedef struct client_t:
    int fd
    uint32_t room
    uint8_t state, step
    bint stalled, publishes, dirty
    uint32_t number
    uint64_t next  # the offset that must come next
    uint64_t sent, acked, got  # publishes or PINGs, replies, messages
    uint64_t received  # bytes
    uint32_t flying  # own messages that are not yet both acknowledged and back
    uint32_t ordered  # the sequence that must come next of those it published
    uint64_t bye  # the code
    buffer_t tail, out  # an incomplete frame; what the kernel did not take yet

ctypedef struct message_t:
    uint64_t number, intended
    uint64_t offset, acked  # where it was seen, and what was acknowledged; 0: not yet
    uint8_t *frame  # its first copy, while a member misses it
    uint32_t size, publisher, sequence, room
    uint32_t receipts, target  # members who have it, of how many
    bint open, timed, whole, answered, back, holed

ctypedef struct room_t:
    char name[NAME]
    int length
    uint32_t first, members, live, mask
    uint64_t top  # the highest offset that anybody saw
    uint64_t *ring  # numbers of messages by offset

ctypedef struct interlude_t:
    const uint8_t *head
    const uint8_t *tail
    const uint8_t *answer
    size_t head_n, tail_n, answer_n
    bint wrong

ctypedef struct step_t:
    const uint8_t *say
    const uint8_t *until
    const uint8_t *holds
    size_t say_n, until_n, holds_n

ctypedef struct reading_t:
    uint64_t wall, server, own, idle, deliveries, sent, pongs, bytes, completed

ctypedef struct errors_t:
    uint64_t corrupt, lost, duplicate, order, refused, closed, unexpected, unacknowledged, unsent

ctypedef struct swarm_t:
    # what was asked for
    int port, clients, mode, schedule, window, payload, depth, stalls, rcvbuf, chunk, server
    bint ws, join, admission, foreign
    uint64_t poll, seed, outstanding_limit
    bint spin
    uint64_t idle  # nanoseconds of looks that found nothing, with `spin`
    double rate
    uint32_t source  # the first address that clients come from, host order
    uint32_t per_source  # clients from each address
    char prefix[NAME]
    # a script's
    step_t *steps
    interlude_t *interludes
    int step_count, interlude_count, opcode
    const uint8_t *before  # of a publish
    const uint8_t *after
    const uint8_t *front  # of a delivery
    const uint8_t *back
    size_t before_n, after_n, front_n, back_n
    # what there is
    int ep
    client_t *all
    room_t *rooms
    uint32_t room_count
    message_t *messages
    uint64_t mask  # of `messages`, by number
    uint64_t oldest  # below this number nothing is under way
    uint8_t *spare  # copies to use again, linked by their first bytes
    size_t frame_size
    uint8_t *pattern
    uint32_t *publishers
    double *phases
    uint32_t publisher_count
    uint32_t *dirty
    uint32_t dirty_count
    uint8_t *bytes_in
    uint8_t *bytes_out
    # the schedule
    uint64_t due, started, turn, stop_at, timing_from, timing_end
    uint32_t due_publisher
    bint pumping, resumed, more
    # what was seen
    uint64_t now, tick  # monotonic nanoseconds
    uint64_t sent, deliveries, completed, failed, acks, pongs, bytes, gaps, missed
    uint64_t outstanding  # messages that are not yet with everybody, or not answered
    uint64_t offered  # messages due in the window
    uint64_t skipped  # due to clients that are not there
    uint32_t started_clients, ready, live, live_publishers, cut, byes, refused_connections
    uint64_t codes[CODES]
    uint64_t counts[CODES]
    uint64_t refused_101, answered_errors
    bint behind, overloaded, broken, failed_hard
    errors_t errors
    char first[240]
    char failure[400]
    char scratch[400]
    char words[208]
    histogram_t last, each, lateness
    reading_t begun, ended
