/* SPDX-License-Identifier: MIT */
/*
 * verdict_list.h - verdicts on entries, packed for keeping: chunks that can each be read alone
 * (docs/formats.md). Sorted paths share their beginnings, which stand once; what is left is
 * compressed.
 */
#ifndef DRAY_RUN_VERDICT_LIST_H
#define DRAY_RUN_VERDICT_LIST_H

#include "core/base/buffer.h"
#include "core/base/error.h"

/* One verdict. type: 'f', 'l', 'd'; verdict: 'k', 'd', 'u'. */
struct dray_verdict_row {
    const char *path;
    size_t path_length;
    char type, verdict;
    uint64_t bytes;
    int64_t mtime;  /* ns */
    const char *by; /* the rule that decided; NULL: none of its own */
};

/* Chunks are made of rows in order; `full` gets each, and may fail. */
struct dray_verdict_writer {
    int (*full)(void *arg, const void *data, size_t length, uint64_t entries);
    void *arg;
    /* private */
    struct dray_buffer rows, last, rules, packed;
    uint64_t entries, rule_count, chunks;
};
void dray_verdict_writer_init(struct dray_verdict_writer *writer,
                              int (*full)(void *arg, const void *data, size_t length,
                                          uint64_t entries),
                              void *arg);
void dray_verdict_writer_free(struct dray_verdict_writer *writer);
/* Add a row: `rule` is its rule's number among those given by dray_verdict_rule, -1: none. */
DRAY_MUST_CHECK int dray_verdict_add(struct dray_verdict_writer *writer,
                                     const struct dray_verdict_row *row, int64_t rule);
/* A rule's text in the chunk under way: its number. -1: memory is out. */
DRAY_MUST_CHECK int64_t dray_verdict_rule(struct dray_verdict_writer *writer, const char *by);
/* Hand over the last chunk. */
DRAY_MUST_CHECK int dray_verdict_flush(struct dray_verdict_writer *writer);
/* Rows of a chunk are numbered anew; so are rules. How many chunks were handed over says when. */
uint64_t dray_verdict_chunk(const struct dray_verdict_writer *writer);

/* Unpack one chunk and hand over its rows; what a row points to is valid for the call. Not 0 from
 * `row` stops. DRAY_INTEGRITY for what is no chunk. */
DRAY_MUST_CHECK int dray_verdict_read(const void *data, size_t length,
                                      int (*row)(void *arg, const struct dray_verdict_row *row),
                                      void *arg, struct dray_error *error);

#endif
