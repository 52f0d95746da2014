/* SPDX-License-Identifier: MIT */
/*
 * order.c - sorting entries by path. Trees come nearly in order: a walk gives all of one run, an
 * archive a few, and the join of trees as many runs as there are trees. So this is a merge sort of
 * the runs that are found.
 */
#include "core/tree/internal.h"

struct runs {
    size_t *starts; /* of each run, and one more: the end of the last */
    size_t count;
    size_t capacity;
};

static int compare(const struct dray_tree_entry *a, const struct dray_tree_entry *b)
{
    return dray_path_compare(a->path, a->path_length, b->path, b->path_length);
}

static void reverse(const struct dray_tree_entry **entries, size_t from, size_t to)
{
    while (from + 1 < to) {
        const struct dray_tree_entry *first = entries[from];
        entries[from++] = entries[--to];
        entries[to] = first;
    }
}

/* The end of the run that begins at `from`. One that strictly falls is turned round: equal paths
 * stay in their order. */
static size_t run_end(const struct dray_tree_entry **entries, size_t count, size_t from)
{
    size_t end = from + 1;

    if (end < count && compare(entries[from], entries[end]) > 0) {
        while (end < count && compare(entries[end - 1], entries[end]) > 0)
            end++;
        reverse(entries, from, end);
    }
    while (end < count && compare(entries[end - 1], entries[end]) <= 0)
        end++;
    return end;
}

static int find_runs(struct runs *runs, const struct dray_tree_entry **entries, size_t count)
{
    for (size_t start = 0; start < count; start = run_end(entries, count, start)) {
        if (DRAY_GROW(runs->starts, runs->count + 1, runs->capacity) != 0)
            return -1;
        runs->starts[runs->count++] = start;
    }
    if (runs->count > 0)
        runs->starts[runs->count] = count;
    return 0;
}

static void merge(const struct dray_tree_entry **to, const struct dray_tree_entry *const *from,
                  size_t start, size_t middle, size_t end)
{
    size_t left = start;
    size_t right = middle;

    for (size_t i = start; i < end; i++) {
        if (right >= end || (left < middle && compare(from[left], from[right]) <= 0))
            to[i] = from[left++];
        else
            to[i] = from[right++];
    }
}

/* Merge each two neighbours; half as many runs are left. */
static void merge_pairs(struct runs *runs, const struct dray_tree_entry **to,
                        const struct dray_tree_entry *const *from)
{
    size_t end = runs->starts[runs->count];
    size_t left = 0;

    for (size_t i = 0; i < runs->count; i += 2) {
        size_t middle = runs->starts[i + 1];
        size_t next = i + 2 <= runs->count ? runs->starts[i + 2] : end;
        merge(to, from, runs->starts[i], middle, next);
        runs->starts[left++] = runs->starts[i];
    }
    runs->starts[left] = end;
    runs->count = left;
}

int dray_tree_sort(const struct dray_tree_entry **entries, size_t count)
{
    struct runs runs = {.starts = NULL};
    const struct dray_tree_entry **other = NULL;
    const struct dray_tree_entry **from = entries;
    int result = find_runs(&runs, entries, count);

    if (result != 0 || runs.count < 2)
        goto out;
    other = malloc(count * sizeof *other);
    if (other == NULL) {
        result = -1;
        goto out;
    }
    while (runs.count > 1) {
        const struct dray_tree_entry **to = from == entries ? other : entries;
        merge_pairs(&runs, to, from);
        from = to;
    }
    for (size_t i = 0; from == other && i < count; i++)
        entries[i] = other[i];
out:
    free(other);
    free(runs.starts);
    return result;
}
