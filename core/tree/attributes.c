/* SPDX-License-Identifier: MIT */
/* attributes.c - the user's extended attributes of an entry, read through an open descriptor. */
#include "core/tree/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#include "core/base/io.h"
#include "core/tree/internal.h"

/* The kernel's own limits of a list of names and of a value. */
#define LIST_MOST  ((size_t)64 << 10)
#define VALUE_MOST ((size_t)64 << 10)

struct reading {
    const struct dray_root *root;
    const struct dray_tree_entry *entry;
    int fd;
    int (*fn)(void *arg, const char *name, const void *value, uint64_t size);
    void *arg;
    struct dray_error *error;
};

/* Below a directory, or the one file that is the dataset: a part of a container has no inode. */
static int is_in_place(const struct dray_root *root, const struct dray_tree_entry *entry)
{
    return root != NULL && entry->inode != 0 && (entry->flags & DRAY_ENTRY_OURS) == 0 &&
           entry->type != DRAY_LINK;
}

static int open_entry(struct dray_roots *roots, const struct dray_root *root,
                      const struct dray_tree_entry *entry, int *ret_fd, struct dray_error *error)
{
    struct dray_source_file file;

    if (entry->type == DRAY_FILE) {
        int result = dray_source_open(&file, roots, NULL, entry, error);
        if (result != 0)
            return result;
        *ret_fd = file.owned ? file.fd : fcntl(file.fd, F_DUPFD_CLOEXEC, 0);
        return *ret_fd >= 0 ? 0 : dray_source_failed(root, entry, errno, error);
    }
    *ret_fd = dray_roots_open_below(roots, root->fd, entry->at != NULL ? entry->at : entry->path,
                                    O_RDONLY | O_DIRECTORY);
    return *ret_fd >= 0 ? 0 : dray_source_failed(root, entry, errno, error);
}

static int tell(const struct reading *reading, const char *name, void *value)
{
    ssize_t size = fgetxattr(reading->fd, name, value, VALUE_MOST);

    if (size < 0 && errno == ENODATA) /* it was there a moment ago */
        return dray_fail(reading->error, DRAY_CHANGED,
                         "reading the attribute %s of \"%.400s\": it was removed meanwhile", name,
                         reading->entry->path);
    if (size < 0)
        return dray_source_failed(reading->root, reading->entry, errno, reading->error);
    return reading->fn(reading->arg, name, value, (uint64_t)size);
}

static int tell_all(const struct reading *reading)
{
    ssize_t length = flistxattr(reading->fd, NULL, 0);

    if (length == 0 || (length < 0 && errno == EOPNOTSUPP))
        return 0;
    dray_autofree char *names = malloc(LIST_MOST);
    dray_autofree char *value = malloc(VALUE_MOST);
    if (names == NULL || value == NULL)
        return dray_fail_memory(reading->error);
    length = flistxattr(reading->fd, names, LIST_MOST);
    if (length < 0)
        return dray_source_failed(reading->root, reading->entry, errno, reading->error);
    int result = 0;
    for (const char *name = names; result == 0 && name < names + length; name += strlen(name) + 1)
        if (strncmp(name, "user.", 5) == 0)
            result = tell(reading, name, value);
    return result;
}

int dray_attributes_read(struct dray_roots *roots, const struct dray_tree_entry *entry,
                         int (*fn)(void *arg, const char *name, const void *value, uint64_t size),
                         void *arg, struct dray_error *error)
{
    const struct dray_root *root = dray_roots_get(roots, entry->root);
    dray_autoclose int fd = -1;

    if (!is_in_place(root, entry))
        return 0;
    int result = open_entry(roots, root, entry, &fd, error);
    struct reading reading = {root, entry, fd, fn, arg, error};
    return result == 0 ? tell_all(&reading) : result;
}
