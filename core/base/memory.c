/* SPDX-License-Identifier: MIT */
/* memory.c - growing arrays, formatted text and arenas. */
#include "core/base/memory.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FIRST_ELEMENTS 8
#define SMALLEST_BLOCK ((size_t)4 << 10)
#define LARGEST_BLOCK  ((size_t)1 << 20)

struct dray_arena_block {
    struct dray_arena_block *next;
    size_t capacity; /* bytes of data */
    size_t used;
    max_align_t data[];
};

int dray_grow(void **array, size_t *capacity, size_t element, size_t wanted)
{
    size_t count = *capacity < FIRST_ELEMENTS / 2 ? FIRST_ELEMENTS : *capacity;
    size_t bytes;
    void *old;

    assert(element > 0);
    if (wanted <= *capacity)
        return 0;
    while (count < wanted || count == *capacity)
        if (__builtin_mul_overflow(count, (size_t)2, &count))
            return -1;
    if (__builtin_mul_overflow(count, element, &bytes))
        return -1;
    /* The array is of any type: its pointer is read and written as bytes. */
    memcpy(&old, array, sizeof old);
    void *grown = realloc(old, bytes);
    if (grown == NULL)
        return -1;
    memcpy(array, &grown, sizeof grown);
    *capacity = count;
    return 0;
}

char *dray_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : text;
}

/* Where in a block the next aligned byte lies, or SIZE_MAX when `size` bytes do not fit there. */
static size_t place(const struct dray_arena_block *block, size_t size, size_t align)
{
    uintptr_t base = (uintptr_t)block->data;
    uintptr_t start = (base + block->used + align - 1) & ~(uintptr_t)(align - 1);
    size_t offset = (size_t)(start - base);

    return offset <= block->capacity && size <= block->capacity - offset ? offset : SIZE_MAX;
}

/* A block that holds at least `least` bytes, first in the list unless it is made for one thing. */
static struct dray_arena_block *add_block(struct dray_arena *arena, size_t least)
{
    struct dray_arena_block *first = arena->blocks;
    size_t capacity = SMALLEST_BLOCK;
    size_t bytes;

    if (first != NULL)
        capacity = first->capacity < LARGEST_BLOCK / 2 ? 2 * first->capacity : LARGEST_BLOCK;
    int single = least > capacity / 2;
    if (single)
        capacity = least;
    if (__builtin_add_overflow(capacity, sizeof *first, &bytes))
        return NULL;
    struct dray_arena_block *block = malloc(bytes);
    if (block == NULL)
        return NULL;
    block->capacity = capacity;
    block->used = 0;
    if (single && first != NULL) {
        /* Behind the first one, which may still have room for small things. */
        block->next = first->next;
        first->next = block;
    } else {
        block->next = first;
        arena->blocks = block;
    }
    return block;
}

void *dray_arena_alloc(struct dray_arena *arena, size_t size, size_t align)
{
    struct dray_arena_block *block = arena->blocks;
    size_t offset = SIZE_MAX;
    size_t least;

    assert(align > 0 && (align & (align - 1)) == 0);
    if (block != NULL)
        offset = place(block, size, align);
    if (offset == SIZE_MAX) {
        if (__builtin_add_overflow(size, align - 1, &least))
            return NULL;
        block = add_block(arena, least);
        if (block == NULL)
            return NULL;
        offset = place(block, size, align);
        assert(offset != SIZE_MAX);
    }
    block->used = offset + size;
    arena->bytes += size;
    return (char *)block->data + offset;
}

char *dray_arena_text(struct dray_arena *arena, const char *text, size_t length)
{
    size_t bytes;

    if (__builtin_add_overflow(length, (size_t)1, &bytes))
        return NULL;
    char *copy = dray_arena_alloc(arena, bytes, 1);
    if (copy == NULL)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void dray_arena_free(struct dray_arena *arena)
{
    struct dray_arena_block *block = arena->blocks;

    while (block != NULL) {
        struct dray_arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
    arena->bytes = 0;
}
