/* SPDX-License-Identifier: MIT */
/* attributes.h - extended attributes of entries that lie in place in a directory. */
#ifndef DRAY_TREE_ATTRIBUTES_H
#define DRAY_TREE_ATTRIBUTES_H

#include "core/tree/tree.h"

/* Call fn for each attribute of the name space `user` that a file or a directory has, until it
 * returns other than 0, which is returned. What lies in an archive, in our scratch or nowhere has
 * none, and links cannot have any. The entry's file is checked as for reading its bytes. */
DRAY_MUST_CHECK int dray_attributes_read(struct dray_roots *roots,
                                         const struct dray_tree_entry *entry,
                                         int (*fn)(void *arg, const char *name, const void *value,
                                                   uint64_t size),
                                         void *arg, struct dray_error *error);

#endif
