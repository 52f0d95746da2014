/* SPDX-License-Identifier: MIT */
/* walk.h - everything below a directory as entries, by openat2 and statx, following no link. */
#ifndef DRAY_TREE_WALK_H
#define DRAY_TREE_WALK_H

#include "core/base/pool.h"
#include "core/tree/tree.h"

/* Add all below `path` (a directory; or one regular file, which becomes a tree of one entry) to
 * builder, in place. Sockets, devices and fifos are errors that name them; so is a top-level
 * `.dray` (the name is ours). Hard links within the walk share a link_group. `cancelled` (may be
 * NULL) is asked now and then, from any thread; those of the pool help (NULL: nobody does). */
DRAY_MUST_CHECK int dray_walk(struct dray_tree_builder *builder, struct dray_roots *roots,
                              struct dray_pool *pool, const char *path, int (*cancelled)(void *arg),
                              void *arg, struct dray_error *error);

#endif
