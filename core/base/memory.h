/* SPDX-License-Identifier: MIT */
/*
 * core/base - what every layer stands on: memory, errors, text, digests, threads, processes.
 * It knows nothing of datasets, plugins or workflows.
 *
 * memory.h - owning locals clean up after themselves; allocation that reports instead of crashing.
 */
#ifndef DRAY_BASE_MEMORY_H
#define DRAY_BASE_MEMORY_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define DRAY_MUST_CHECK        __attribute__((warn_unused_result))
#define DRAY_FORMAT(FMT, ARGS) __attribute__((format(printf, FMT, ARGS)))

/* `dray_cleanup(fn) T *x = NULL;` calls fn(&x) when x leaves its scope. */
#define dray_cleanup(FUNCTION) __attribute__((cleanup(FUNCTION)))
#define dray_autofree          dray_cleanup(dray_free_pointer)
#define dray_autoclose         dray_cleanup(dray_close_descriptor)

/* Hand over ownership: yields the value and leaves NULL (or -1) behind. */
#define DRAY_TAKE(POINTER)                                                                         \
    __extension__({                                                                                \
        __typeof__(POINTER) taken_ = (POINTER);                                                    \
        (POINTER) = NULL;                                                                          \
        taken_;                                                                                    \
    })
#define DRAY_TAKE_FD(FD)                                                                           \
    __extension__({                                                                                \
        int taken_ = (FD);                                                                         \
        (FD) = -1;                                                                                 \
        taken_;                                                                                    \
    })

static inline void dray_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

/* For descriptors that were only read from; a written file is closed with dray_close (io.h). */
static inline void dray_close_descriptor(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* Make room for one more element of an array that doubles; 0, or -1 when memory is out. */
#define DRAY_GROW(ARRAY, COUNT, CAPACITY)                                                          \
    ((COUNT) < (CAPACITY)                                                                          \
         ? 0                                                                                       \
         : dray_grow((void **)&(ARRAY), &(CAPACITY), sizeof(*(ARRAY)), (COUNT) + 1))
DRAY_MUST_CHECK int dray_grow(void **array, size_t *capacity, size_t element, size_t wanted);

/* Formatted text on the heap; NULL when memory is out. The caller frees it. */
DRAY_MUST_CHECK char *dray_format(const char *format, ...) DRAY_FORMAT(1, 2);

/* Many small things that are freed together. Pointers stay valid until dray_arena_free. Not
 * thread-safe. */
struct dray_arena {
    struct dray_arena_block *blocks;
    size_t bytes; /* handed out so far */
};
DRAY_MUST_CHECK void *dray_arena_alloc(struct dray_arena *arena, size_t size, size_t align);
/* A copy of length bytes, with a NUL after them. */
DRAY_MUST_CHECK char *dray_arena_text(struct dray_arena *arena, const char *text, size_t length);
void dray_arena_free(struct dray_arena *arena);

#endif
