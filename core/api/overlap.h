/* SPDX-License-Identifier: MIT */
/* overlap.h - whether the source of one dataset holds bytes of another one. */
#ifndef DRAY_API_OVERLAP_H
#define DRAY_API_OVERLAP_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

/* How another source lies to the one that is read. */
enum dray_overlap_kind {
    DRAY_OVERLAP_NONE,
    DRAY_OVERLAP_SAME,
    DRAY_OVERLAP_ABOVE, /* what is read is a part of it */
    DRAY_OVERLAP_BELOW, /* it is a part of what is read */
};

/* What tells a file or directory from all others. */
struct dray_inode {
    uint32_t major, minor;
    uint64_t number;
};

/* A source that is read: all zero before dray_overlap_begin() and after dray_overlap_clear(). */
struct dray_overlap {
    char *remote;              /* NAME: of what a program brings; NULL: it is a path */
    char *path;                /* the real one, or the folded REMOTE */
    int there;                 /* the last of `inodes` is that of `path` */
    struct dray_inode *inodes; /* from the root down */
    size_t count;
};

DRAY_MUST_CHECK int dray_overlap_begin(struct dray_overlap *overlap, const char *source,
                                       struct dray_error *error);
/* What cannot be looked at is compared by its text. */
DRAY_MUST_CHECK int dray_overlap_judge(const struct dray_overlap *overlap, const char *source,
                                       enum dray_overlap_kind *ret_kind, struct dray_error *error);
void dray_overlap_clear(struct dray_overlap *overlap);

/* "same", "above", "below". */
const char *dray_overlap_name(enum dray_overlap_kind kind);

#endif
