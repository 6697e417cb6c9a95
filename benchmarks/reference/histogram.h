/* A histogram of nanoseconds: 128 buckets to each power of two, so a percentile is at most 0.8 % too high. */
#ifndef FASTCHAT_HISTOGRAM_H
#define FASTCHAT_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { BUCKETS = 58 * 128 };

typedef struct { uint64_t counts[BUCKETS], n, max; double sum; } Histogram;

/* A value below 256 is its own bucket; a larger one is cut to 8 bits, `shift` counts those cut off. */
static inline void record(Histogram *h, uint64_t value) {
    int shift = value < 256 ? 0 : 56 - __builtin_clzll(value);
    h->counts[shift * 128 + (int)(value >> shift)]++;
    h->n++;
    h->sum += (double)value;
    if (value > h->max) h->max = value;
}

/* The largest value of the bucket in which the share ends. */
static inline double percentile(const Histogram *h, double share) {
    uint64_t wanted = (uint64_t)(share * (double)h->n), so_far = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        so_far += h->counts[i];
        if (so_far <= wanted) continue;
        size_t shift = i < 256 ? 0 : i / 128 - 1;
        double upper = (double)((i - shift * 128 + 1) << shift) - 1;
        return upper < (double)h->max ? upper : (double)h->max;
    }
    return (double)h->max;
}

#endif
