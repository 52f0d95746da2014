/* SPDX-License-Identifier: MIT */
/*
 * order.c - sorting entries by path. Trees come nearly in order: a walk gives all of one run, an
 * archive a few, and the join of trees as many runs as there are trees. So this is a merge sort of
 * the runs that are found.
 */
#include <string.h>

#include "core/tree/internal.h"

/* After so many from one run, the next that is not is looked for in larger steps. */
#define IN_A_ROW 8

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

/* How many entries of [start, end) come before `entry`, or, when `equal`, not after it. Looked for
 * from the start on in steps that double: runs of different directories do not interleave, and then
 * few comparisons move many entries. */
static size_t count_before(const struct dray_tree_entry *const *from, size_t start, size_t end,
                           const struct dray_tree_entry *entry, int equal)
{
    size_t low = start;
    size_t step = 1;

    while (low + step <= end && compare(from[low + step - 1], entry) < equal) {
        low += step;
        step *= 2;
    }
    /* All before `low` do, and the one at `high` does not. */
    size_t high = low + step <= end ? low + step - 1 : end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(from[middle], entry) < equal)
            low = middle + 1;
        else
            high = middle;
    }
    return low - start;
}

static void merge(const struct dray_tree_entry **to, const struct dray_tree_entry *const *from,
                  size_t start, size_t middle, size_t end)
{
    size_t left = start;
    size_t right = middle;
    size_t row = 0; /* how often the same side came first, one by one */
    int last = 0;

    while (left < middle && right < end) {
        int is_left = compare(from[left], from[right]) <= 0;
        *to++ = is_left ? from[left++] : from[right++];
        row = is_left == last ? row + 1 : 1;
        last = is_left;
        if (row < IN_A_ROW || left == middle || right == end)
            continue;
        size_t count = is_left ? count_before(from, left, middle, from[right], 1)
                               : count_before(from, right, end, from[left], 0);
        memcpy(to, from + (is_left ? left : right), count * sizeof *from);
        to += count;
        left += is_left ? count : 0;
        right += is_left ? 0 : count;
        row = 0;
    }
    memcpy(to, from + left, (middle - left) * sizeof *from);
    to += middle - left;
    memcpy(to, from + right, (end - right) * sizeof *from);
}

/* Two arrays of the entries; runs are merged from one into the other. */
struct sorting {
    const struct runs *runs;
    const struct dray_tree_entry **arrays[2];
};

/* Sort runs [first, last) into arrays[into]. Small neighbours are merged while they are still in
 * the processor's cache, so depth comes first; it is at most the logarithm of the runs. */
static void sort_runs(const struct sorting *sorting, size_t first, size_t last, int into)
{
    const struct dray_tree_entry **to = sorting->arrays[into];
    const struct dray_tree_entry **from = sorting->arrays[!into];
    const size_t *starts = sorting->runs->starts;
    size_t middle = first + (last - first) / 2;

    if (last - first > 1) {
        sort_runs(sorting, first, middle, !into);
        sort_runs(sorting, middle, last, !into);
        merge(to + starts[first], from, starts[first], starts[middle], starts[last]);
    } else if (into == 1) { /* what is found lies in arrays[0] */
        memcpy(to + starts[first], from + starts[first],
               (starts[last] - starts[first]) * sizeof *to);
    }
}

int dray_tree_sort(const struct dray_tree_entry **entries, size_t count)
{
    struct runs runs = {.starts = NULL};
    const struct dray_tree_entry **other = NULL;
    int result = find_runs(&runs, entries, count);

    if (result == 0 && runs.count > 1) {
        other = malloc(count * sizeof *other);
        struct sorting sorting = {&runs, {entries, other}};
        if (other == NULL)
            result = -1;
        else
            sort_runs(&sorting, 0, runs.count, 0);
    }
    free(other);
    free(runs.starts);
    return result;
}
