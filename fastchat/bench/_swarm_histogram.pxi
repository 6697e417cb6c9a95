# A histogram of nanoseconds: 128 buckets to each power of two, so a percentile is at most 0.8 % too high.
# Part of _swarm.pyx. Recording is a few instructions without the GIL; benchmarks/bench_swarm.py compares.

cdef extern from * nogil:
    int highest_zeros "__builtin_clzll"(unsigned long long value)

cdef enum:
    BUCKETS = 58 * 128

ctypedef struct histogram_t:
    uint64_t counts[BUCKETS]
    uint64_t n, top
    double total


cdef inline void record(histogram_t *h, uint64_t value) noexcept nogil:
    """A value below 256 is its own bucket; a larger one is cut to its 8 highest bits."""
    cdef int shift = 0 if value < 256 else 56 - highest_zeros(value)
    h.counts[shift * 128 + <int>(value >> shift)] += 1
    h.n += 1
    h.total += <double>value
    if value > h.top:
        h.top = value


cdef uint64_t lowest(int bucket) noexcept nogil:
    """The smallest value of a bucket."""
    cdef int shift = 0 if bucket < 256 else bucket // 128 - 1
    return <uint64_t>(bucket - shift * 128) << shift


cdef double percentile(const histogram_t *h, double share) noexcept nogil:
    """The largest value of the bucket in which the share ends."""
    cdef uint64_t wanted = <uint64_t>(share * <double>h.n), so_far = 0, upper
    cdef int i
    for i in range(BUCKETS):
        so_far += h.counts[i]
        if so_far > wanted:
            upper = lowest(i + 1) - 1
            return <double>min(upper, h.top)
    return <double>h.top


cdef dict summary(const histogram_t *h):
    """Microseconds, as in every sample."""
    return {
        "count": h.n,
        "mean": round(h.total / h.n / 1e3, 1) if h.n else 0.0,
        "p50": round(percentile(h, 0.5) / 1e3, 1),
        "p90": round(percentile(h, 0.9) / 1e3, 1),
        "p99": round(percentile(h, 0.99) / 1e3, 1),
        "p999": round(percentile(h, 0.999) / 1e3, 1),
        "max": round(h.top / 1e3, 1),
    }


cdef list sparse(const histogram_t *h):
    """The buckets that are not empty: their lowest value in nanoseconds, and their count."""
    cdef int i
    return [[lowest(i), h.counts[i]] for i in range(BUCKETS) if h.counts[i]]


@cython.final
cdef class Histogram:
    """The swarm's own histogram, for tests and for comparing it with others."""

    cdef histogram_t h

    def record(self, uint64_t value):
        """Count a value of nanoseconds."""
        record(&self.h, value)

    def repeat(self, uint64_t value, uint64_t times):
        """Count values from `value` on, as the swarm does: without the GIL, one by one."""
        cdef uint64_t i
        with nogil:
            for i in range(times):
                record(&self.h, value + i * 7919)

    def percentile(self, double share):
        """Nanoseconds, at most 0.8 % above the value that the share of all does not exceed."""
        return percentile(&self.h, share)

    def summary(self):
        """Count, mean, percentiles and greatest in microseconds."""
        return summary(&self.h)

    def sparse(self):
        """The buckets that are not empty: [lowest value in nanoseconds, count], ascending."""
        return sparse(&self.h)
