# What was seen, as a sample. Part of _swarm.pyx.

LATE = 1e6  # nanoseconds: a generator whose sends are later than this (p99) does not keep its schedule
BUSY = 0.95  # CPU seconds a second beyond which it may be what holds the load up


cdef dict live(swarm_t *s, double seconds):
    """For a progress bar."""
    cdef histogram_t *h = &s.each if s.each.n else &s.last
    return {
        "event": "progress",
        "seconds": round(seconds, 2),
        "sent": s.sent,
        "deliveries": s.deliveries,
        "p99_ms": round(percentile(h, 0.99) / 1e6, 3),
    }


cdef dict faults(const errors_t *e):
    return {
        "corrupt": e.corrupt,
        "lost": e.lost,
        "duplicate": e.duplicate,
        "order": e.order,
        "refused": e.refused,
        "closed": e.closed,
        "unexpected": e.unexpected,
        "unacknowledged": e.unacknowledged,
        "unsent": e.unsent,
    }


cdef dict sample(swarm_t *s, plan, double connect_seconds):
    cdef reading_t *a = &s.begun
    cdef reading_t *b = &s.ended
    cdef double seconds = (b.wall - a.wall) / 1e9
    cdef double own = (b.own - a.own) / 1e9
    cdef double used = max(0.0, own - (b.idle - a.idle) / 1e9)
    cdef double busy = used / seconds if seconds > 0 else 0.0
    cdef double late = percentile(&s.lateness, 0.99)
    cdef int i
    return {
        "seconds": round(seconds, 6),
        "server_cpu": round((b.server - a.server) / 1e9, 6),
        "own_cpu": round(own, 6),
        "busy": round(busy, 3),
        "saturated": bool(s.behind or busy > BUSY or late > LATE),
        "behind": bool(s.behind),
        "overloaded": bool(s.overloaded or s.behind),
        "offered": round(s.offered / seconds, 3) if seconds > 0 else 0.0,
        "achieved": round((b.completed - a.completed) / seconds, 3) if seconds > 0 else 0.0,
        "skipped": s.skipped,
        "undrained": s.outstanding if s.mode in (FLOOD, PACED) else 0,
        "members": s.ready,
        "deliveries": b.deliveries - a.deliveries,
        "messages": b.sent - a.sent,
        "replies": b.pongs - a.pongs,
        "bytes": b.bytes - a.bytes,
        "sent": s.sent,
        "acknowledged": s.acks,
        "refused_101": s.refused_101,
        "refused": {str(s.codes[i]): s.counts[i] for i in range(CODES) if s.counts[i]},
        "refused_connections": s.refused_connections,
        "last_us": summary(&s.last),
        "each_us": summary(&s.each),
        "lateness_us": summary(&s.lateness),
        "last_histogram": sparse(&s.last),
        "each_histogram": sparse(&s.each),
        "connect_seconds": round(connect_seconds, 3),
        "stalled": {
            "members": s.stalls,
            "cut": s.cut,
            "byes": s.byes,
            "gaps": s.gaps,
            "missed": s.missed,
            "most_bytes": max((s.all[i].received for i in range(s.clients - s.stalls, s.clients)), default=0),
        },
        "errors": faults(&s.errors),
        "first_error": s.first.decode("utf-8", "replace"),
    }
