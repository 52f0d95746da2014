/* SPDX-License-Identifier: MIT */
/*
 * source_folder.c - the directory that a thread read from last. Entries come directory by
 * directory: from the second one on they are looked for by their name alone, however deep they lie.
 */
#include <assert.h>
#include <fcntl.h>
#include <string.h>

#include "core/tree/internal.h"

void dray_source_folder_close(struct dray_source_folder *folder)
{
    dray_close_descriptor(&folder->fd);
    folder->fd = -1;
    folder->root = NULL;
}

/* Is it the one that was noted last? If not, it is now. */
static int is_noted(struct dray_source_folder *folder, const struct dray_root *root,
                    const char *place, size_t length)
{
    if (folder->root == root && folder->length == length &&
        memcmp(folder->path, place, length) == 0)
        return 1;
    dray_source_folder_close(folder);
    memcpy(folder->path, place, length);
    folder->path[length] = '\0';
    folder->length = length;
    folder->root = root;
    return 0;
}

int dray_source_folder_find(struct dray_source_folder *folder, struct dray_roots *roots,
                            const struct dray_root *root, const char *place, int at_once,
                            const char **ret_below)
{
    const char *slash = strrchr(place, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - place);

    *ret_below = place;
    if (length == 0)
        return root->fd;
    assert(length < sizeof folder->path);
    if (!is_noted(folder, root, place, length) && !at_once)
        return root->fd;
    /* Held is only what was seen to lie beneath the root, through no link. */
    if (folder->fd < 0)
        folder->fd = dray_roots_open_below(roots, root->fd, folder->path, O_PATH | O_DIRECTORY);
    *ret_below = slash + 1;
    return folder->fd;
}
