/* SPDX-License-Identifier: MIT */
/*
 * copy_ranges.c - one large file, copied by all threads that have nothing else to do.
 *
 * Each thread takes the next range of the file, reads it into a slot and writes it to its place.
 * Digests can only be computed in order: whoever finds the next range in its slot, and nobody at
 * it, hashes all that are there. Nobody gets further ahead than there are slots. So the bytes are
 * read once, and one file's ceiling is what one core hashes.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/tree/internal.h"

#define RANGE ((uint64_t)512 << 10)
#define SLOTS 8
#define PAGE  4096

struct ranges {
    const struct dray_ranges *file;
    uint8_t *buffers; /* SLOTS of RANGE bytes; range n lies in slot n % SLOTS */
    uint64_t count;
    _Atomic uint64_t next; /* the range that is taken next */

    pthread_mutex_t lock; /* a leaf */
    pthread_cond_t moved; /* a slot became free, or the copy failed */
    /* Guarded by lock. */
    uint64_t hashed;      /* ranges before this one are in the digests */
    uint8_t ready[SLOTS]; /* written, and not hashed yet */
    int hashing;          /* a thread is at it */
    int failed;
};

static uint8_t *slot_of(const struct ranges *ranges, uint64_t number)
{
    return ranges->buffers + number % SLOTS * RANGE;
}

static size_t length_of(const struct ranges *ranges, uint64_t number)
{
    uint64_t left = ranges->file->entry->bytes - number * RANGE;

    return (size_t)(left < RANGE ? left : RANGE);
}

/* The first failure is the reason. */
static int stop(struct ranges *ranges, const struct dray_error *error)
{
    (void)pthread_mutex_lock(&ranges->lock);
    if (ranges->failed == 0) {
        ranges->failed = error->class_;
        *ranges->file->error = *error;
    }
    (void)pthread_cond_broadcast(&ranges->moved);
    (void)pthread_mutex_unlock(&ranges->lock);
    return error->class_;
}

/* Wait for the slot of range `number`: 0, or the class of what failed elsewhere. */
static int wait_for_slot(struct ranges *ranges, uint64_t number)
{
    (void)pthread_mutex_lock(&ranges->lock);
    while (ranges->failed == 0 && number >= ranges->hashed + SLOTS)
        (void)pthread_cond_wait(&ranges->moved, &ranges->lock);
    int failed = ranges->failed;
    (void)pthread_mutex_unlock(&ranges->lock);
    return failed;
}

static int read_range(struct ranges *ranges, uint64_t number, struct dray_error *error)
{
    const struct dray_ranges *file = ranges->file;
    size_t length = length_of(ranges, number);
    ssize_t got = dray_pread_full(file->from, slot_of(ranges, number), length,
                                  file->entry->offset + number * RANGE);

    if (got < 0)
        return dray_source_failed(file->root, file->entry, errno, error);
    if ((size_t)got < length)
        return dray_source_short(file->root, file->entry, number * RANGE + (uint64_t)got, error);
    return 0;
}

static int write_range(struct ranges *ranges, uint64_t number, struct dray_error *error)
{
    const struct dray_ranges *file = ranges->file;

    if (dray_pwrite_all(file->to, slot_of(ranges, number), length_of(ranges, number),
                        number * RANGE) == 0)
        return 0;
    int result = dray_fail_errno(error, errno, "writing the copy of \"%.400s\"", file->entry->path);
    error->side = DRAY_SIDE_TARGET;
    return result;
}

static int hash_range(struct ranges *ranges, uint64_t number, struct dray_error *error)
{
    const struct dray_ranges *file = ranges->file;
    size_t length = length_of(ranges, number);
    int result = dray_digest_add(file->sha256, slot_of(ranges, number), length);

    if (result == 0 && file->md5 != NULL)
        result = dray_digest_add(file->md5, slot_of(ranges, number), length);
    return result == 0
               ? 0
               : dray_fail(error, result, "hashing \"%.400s\": the cryptographic library failed",
                           file->entry->path);
}

/* Range `number` is in its slot: hash it and what follows it, unless somebody does. The lock is
 * free while bytes are hashed. */
static int follow(struct ranges *ranges, uint64_t number, struct dray_error *error)
{
    int result = 0;

    (void)pthread_mutex_lock(&ranges->lock);
    ranges->ready[number % SLOTS] = 1;
    while (result == 0 && !ranges->hashing && ranges->hashed < ranges->count &&
           ranges->ready[ranges->hashed % SLOTS]) {
        uint64_t now = ranges->hashed;
        ranges->hashing = 1;
        (void)pthread_mutex_unlock(&ranges->lock);
        result = hash_range(ranges, now, error);
        (void)pthread_mutex_lock(&ranges->lock);
        ranges->ready[now % SLOTS] = 0;
        ranges->hashing = 0;
        ranges->hashed++;
        (void)pthread_cond_broadcast(&ranges->moved);
    }
    (void)pthread_mutex_unlock(&ranges->lock);
    return result;
}

/* Which range a call copies is settled when it runs: the pool hands out several indexes at once,
 * and the window is no wider than the slots. */
static int copy_range(void *arg, uint64_t index)
{
    struct ranges *ranges = arg;
    const struct dray_ranges *file = ranges->file;
    uint64_t number = atomic_fetch_add(&ranges->next, 1);
    struct dray_error error = {0};
    int result = wait_for_slot(ranges, number);

    (void)index;
    if (result != 0)
        return result;
    result = read_range(ranges, number, &error);
    if (result == 0)
        result = write_range(ranges, number, &error);
    if (result == 0)
        result = follow(ranges, number, &error);
    if (result == 0 && file->progress != NULL &&
        file->progress(file->arg, length_of(ranges, number)) != 0)
        result =
            dray_fail(&error, DRAY_CANCELLED, "copying \"%.400s\": cancelled", file->entry->path);
    return result == 0 ? 0 : stop(ranges, &error);
}

int dray_copy_ranges(struct dray_pool *pool, const struct dray_ranges *file)
{
    struct ranges ranges = {
        .file = file,
        .buffers = aligned_alloc(PAGE, SLOTS * RANGE),
        .count = (file->entry->bytes + RANGE - 1) / RANGE,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .moved = PTHREAD_COND_INITIALIZER,
    };

    if (ranges.buffers == NULL)
        return dray_fail_memory(file->error);
    int result = dray_pool_run(pool, ranges.count, copy_range, &ranges);
    /* Of two failures at once, the one whose reason is told. */
    if (result != 0)
        result = ranges.failed;
    (void)pthread_cond_destroy(&ranges.moved);
    (void)pthread_mutex_destroy(&ranges.lock);
    free(ranges.buffers);
    return result;
}
