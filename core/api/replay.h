/* SPDX-License-Identifier: MIT */
/* replay.h - what the files of `policy replay` share: what became of a job's entries then, and what
 * would become of them now. */
#ifndef DRAY_API_REPLAY_H
#define DRAY_API_REPLAY_H

#include <stdio.h>

#include "core/api/internal.h"

/* One entry, as it is called in the source. */
struct dray_past_row {
    const char *path;
    size_t length;
    uint64_t bytes;
    int64_t mtime;
    char type, verdict; /* as they are stored */
    char would;         /* 'k', 'd' or 'u'; 0: the preview has not told of it */
    const char *by;     /* what decided that; NULL: no rule of its own */
};

/* The entries that came to a push or were left out on the way, by path, each once. */
struct dray_past {
    struct dray_arena arena;
    struct dray_past_row *rows;
    size_t count, capacity;
    json_t *names; /* what rows' `by` points into */
    int unusable;  /* what was stored cannot be read: a fault of this job, and not of the store */
};
void dray_past_free(struct dray_past *past);
/* Those of one push of a job, or of one that takes the same trees: 1; 0 when none are stored, or a
 * class. */
DRAY_MUST_CHECK int dray_past_read(struct dray_store *store, const struct dray_plan *plan,
                                   const char *job, size_t push, struct dray_past *past,
                                   struct dray_error *error);
/* Write them as a list that stands for the dataset (docs/formats.md), links as links or as files:
 * where they lead is not stored. */
DRAY_MUST_CHECK int dray_past_write(const struct dray_past *past, int links, int fd,
                                    struct dray_error *error);

/* Take from a preview's lines what would become of each entry on its way to one target.
 * DRAY_INTEGRITY when they are not of these entries. */
DRAY_MUST_CHECK int dray_past_judge(struct dray_past *past, FILE *lines, const char *uri,
                                    struct dray_error *error);
/* The difference, as `targets` of `policy replay --json` has it; *changed is set where there is
 * one. NULL: no memory. */
DRAY_MUST_CHECK json_t *dray_past_compare(const struct dray_past *past, const char *step,
                                          const char *uri, int *changed);

#endif
