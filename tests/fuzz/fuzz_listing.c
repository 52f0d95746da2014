/* SPDX-License-Identifier: MIT */
/*
 * fuzz_listing.c - any bytes at all as a list of a dataset. It gives a tree in order, of paths that
 * may be an entry's, with every parent; or it is refused, with the line that is to blame.
 */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/io.h"
#include "core/tree/internal.h"
#include "core/tree/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tree(const struct dray_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        const struct dray_tree_entry *entry = tree->entries[i];
        const char *slash = strrchr(entry->path, '/');
        assert(dray_path_fault(entry->path, entry->path_length) == NULL);
        assert(entry->path[entry->path_length] == '\0');
        assert(entry->type >= DRAY_FILE && entry->type <= DRAY_LINK);
        assert(entry->type == DRAY_LINK ? entry->at != NULL : entry->at == NULL);
        if (i > 0)
            assert(dray_path_compare(tree->entries[i - 1]->path, tree->entries[i - 1]->path_length,
                                     entry->path, entry->path_length) < 0);
        if (slash == NULL)
            continue;
        int64_t parent = dray_tree_find(tree, entry->path, (size_t)(slash - entry->path));
        assert(parent >= 0 && tree->entries[parent]->type == DRAY_DIRECTORY);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dray_listing listing = {.fd = memfd_create("list", MFD_CLOEXEC), .name = "list"};
    struct dray_error error = {0};
    struct dray_tree *tree = NULL;
    struct dray_listed listed = {0};

    assert(listing.fd >= 0);
    assert(dray_write_all(listing.fd, data, size) == 0);
    assert(lseek(listing.fd, 0, SEEK_SET) == 0);
    int result = dray_listing_read(&listing, &tree, &listed, &error);
    (void)close(listing.fd);
    if (result == 0) {
        /* Parents that are added have entries below them and are not counted. */
        assert(tree != NULL && listed.entries >= tree->listed);
        check_tree(tree);
        dray_tree_unref(tree);
        return 0;
    }
    assert(tree == NULL && result == error.class_);
    assert(result == DRAY_INVALID);
    /* A sum of sizes that is too large is no line's fault. */
    assert(strncmp(error.where, "list:", 5) == 0 || strstr(error.message, "2^64") != NULL);
    return 0;
}
