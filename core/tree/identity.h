/* SPDX-License-Identifier: MIT */
/* identity.h - which bytes of which file an entry is, as it was when it was listed. */
#ifndef DRAY_TREE_IDENTITY_H
#define DRAY_TREE_IDENTITY_H

#include "core/tree/tree.h"

/* Of a part of a container: the container, and where in it. Times in ns. */
struct dray_source_identity {
    uint64_t device, inode, bytes, offset;
    int64_t mtime, ctime;
};

/* 1, or 0 where nobody knows. */
int dray_source_identity(struct dray_roots *roots, const struct dray_tree_entry *entry,
                         struct dray_source_identity *ret_identity);
/* Are both of the same bytes, with no change in between? */
int dray_source_same(const struct dray_source_identity *a, const struct dray_source_identity *b);

#endif
