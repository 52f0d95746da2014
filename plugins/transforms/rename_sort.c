/* SPDX-License-Identifier: MIT */
/* rename_sort.c - sorting millions of entries, in pieces: who cancels need not wait for it. */
#include "rename.h"

#include <stdlib.h>
#include <string.h>

#define PIECE UINT64_C(4096)

struct sorting {
    struct rename_tree *tree;
    int (*compare)(const void *, const void *, void *);
    uint64_t count;
};

int rename_go_on(struct dray_ctx *ctx, uint64_t done)
{
    if (done % 64 == 0)
        ctx->host->progress(ctx, 0, 0);
    return ctx->host->cancelled(ctx) ? ctx->host->fail(ctx, DRAY_CANCELLED, "cancelled") : DRAY_OK;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Pairs of sorted runs of `width` become runs of twice that. */
static int merge(const struct sorting *sorting, const uint64_t *from, uint64_t *to, uint64_t width)
{
    int result = DRAY_OK;

    for (uint64_t start = 0, at = 0; start < sorting->count && result == DRAY_OK;
         start += 2 * width) {
        uint64_t left = start, middle = least(start + width, sorting->count);
        uint64_t right = middle, end = least(middle + width, sorting->count);
        for (; at < end && result == DRAY_OK; at++) {
            int first = left < middle &&
                        (right == end ||
                         sorting->compare(&from[left], &from[right], sorting->tree->nodes) <= 0);
            to[at] = first ? from[left++] : from[right++];
            if (at % PIECE == 0)
                result = rename_go_on(sorting->tree->ctx, 0);
        }
    }
    return result;
}

int rename_sort(struct rename_tree *tree, uint64_t *items, uint64_t count,
                int (*compare)(const void *, const void *, void *))
{
    const struct sorting sorting = {.tree = tree, .compare = compare, .count = count};
    uint64_t *spare = count > PIECE ? calloc(count, sizeof(*spare)) : NULL;
    uint64_t *from = items, *to = spare;
    int result = DRAY_OK;

    if (count > PIECE && spare == NULL)
        return tree->ctx->host->fail(tree->ctx, DRAY_NO_MEMORY, "renaming: out of memory");
    for (uint64_t start = 0; start < count && result == DRAY_OK; start += PIECE) {
        qsort_r(items + start, least(PIECE, count - start), sizeof(*items), compare, tree->nodes);
        result = rename_go_on(tree->ctx, 0);
    }
    for (uint64_t width = PIECE; width < count && result == DRAY_OK; width *= 2) {
        result = merge(&sorting, from, to, width);
        uint64_t *merged = to;
        to = from;
        from = merged;
    }
    if (from != items && result == DRAY_OK)
        memcpy(items, from, count * sizeof(*items));
    free(spare);
    return result;
}
