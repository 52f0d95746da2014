/* SPDX-License-Identifier: MIT */
/* identity.c - which bytes of which file an entry is. */
#include "core/tree/identity.h"

#include "core/tree/internal.h"

int dray_source_identity(struct dray_roots *roots, const struct dray_tree_entry *entry,
                         struct dray_source_identity *ret_identity)
{
    const struct dray_root *root =
        entry->root == DRAY_NO_ROOT ? NULL : dray_roots_get(roots, entry->root);

    *ret_identity = (struct dray_source_identity){0};
    if (root == NULL || (root->directory && entry->inode == 0))
        return 0;
    if (root->directory)
        *ret_identity = (struct dray_source_identity){entry->device, entry->inode, entry->bytes,
                                                      entry->offset, entry->mtime, entry->ctime};
    else
        *ret_identity = (struct dray_source_identity){root->identity.device, root->identity.inode,
                                                      root->identity.bytes,  entry->offset,
                                                      root->identity.mtime,  root->identity.ctime};
    return 1;
}

int dray_source_same(const struct dray_source_identity *a, const struct dray_source_identity *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->offset == b->offset && a->mtime == b->mtime && a->ctime == b->ctime;
}
