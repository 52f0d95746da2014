/* SPDX-License-Identifier: MIT */
/* merge.c - what a merge does: all that was put together, held against what is in the target. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/run/merge_move.h"

#define NAME_SHOWN 400
#define READ_SIZE  (256u << 10)

/* A directory of data whose names are still to be looked at. */
struct folder {
    char *path; /* "": data itself */
    int whole;  /* it is put with all that is in it */
};

struct merging {
    int target, data;
    dev_t device; /* of both */
    const struct dray_merge_watch *watch;
    uint32_t conflicts;
    struct dray_merge_journal *journal;
    struct folder *folders;
    size_t count, capacity;
    struct dray_error *error;
};

static void free_merging(struct merging *merging)
{
    for (size_t i = 0; i < merging->count; i++)
        free(merging->folders[i].path);
    free(merging->folders);
}

static int fail_at(struct merging *merging, const char *what, const char *path)
{
    return dray_fail_errno(merging->error, errno, "%s \"%.*s\"", what, NAME_SHOWN, path);
}

static int fail_mounted(struct merging *merging, const char *path)
{
    return dray_fail(merging->error, DRAY_CONFLICT,
                     "\"%.*s\" is on another file system, which is mounted in the target; nothing "
                     "was written",
                     NAME_SHOWN, path);
}

/* Nothing of it has a name in the target yet: it may stop. */
static int go_on(struct merging *merging)
{
    const struct dray_merge_watch *watch = merging->watch;

    dray_merge_progress(watch);
    return watch && watch->cancelled && watch->cancelled(watch->arg)
               ? dray_fail(merging->error, DRAY_CANCELLED, "cancelled")
               : 0;
}

static int look(int root, const char *path, struct stat *ret_status)
{
    const char *name = NULL;
    dray_autoclose int folder = dray_merge_open_folder(root, path, &name);

    return folder < 0 ? -1 : fstatat(folder, name, ret_status, AT_SYMLINK_NOFOLLOW);
}

static int add(struct merging *merging, enum dray_merge_act act, const struct stat *status,
               const char *path)
{
    return dray_merge_journal_add(merging->journal, act, status, path, merging->error);
}

/* Of the directory that the path lies in. */
static int check_right(struct merging *merging, const char *path, int is_aside)
{
    const char *name = NULL;
    dray_autoclose int folder = dray_merge_open_folder(merging->target, path, &name);

    if (folder < 0)
        return fail_at(merging, "opening the directory of", path);
    if (dray_merge_permits(merging->watch, folder, is_aside ? name : NULL))
        return 0;
    return dray_fail(merging->error, DRAY_DENIED,
                     "whoever it is delivered for may not %s \"%.*s\" in the target; nothing was "
                     "written",
                     is_aside ? "replace" : "make", NAME_SHOWN, path);
}

static int push_folder(struct merging *merging, const char *path, int whole)
{
    dray_autofree char *copy = strdup(path);

    if (!copy || DRAY_GROW(merging->folders, merging->count, merging->capacity) != 0)
        return dray_fail_memory(merging->error);
    merging->folders[merging->count++] = (struct folder){DRAY_TAKE(copy), whole};
    return 0;
}

/* ---- What has the name already ---- */

static int open_file(int root, const char *path)
{
    const char *name = NULL;
    dray_autoclose int folder = dray_merge_open_folder(root, path, &name);

    return folder < 0
               ? -1
               : openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* 1, 0, -1 with errno, or DRAY_CANCELLED. */
static int same_bytes(struct merging *merging, const char *path)
{
    dray_autoclose int one = open_file(merging->data, path);
    dray_autoclose int other = one < 0 ? -1 : open_file(merging->target, path);
    dray_autofree char *buffers = malloc((size_t)2 * READ_SIZE);

    if (one < 0 || other < 0 || !buffers)
        return -1;
    for (;;) {
        if (go_on(merging) != 0)
            return DRAY_CANCELLED;
        ssize_t got = dray_read_full(one, buffers, READ_SIZE);
        ssize_t found = dray_read_full(other, buffers + READ_SIZE, READ_SIZE);
        if (got < 0 || found < 0)
            return -1;
        if (got != found || memcmp(buffers, buffers + READ_SIZE, (size_t)got) != 0)
            return 0;
        if (got == 0)
            return 1;
    }
}

static int same_link(struct merging *merging, const char *path)
{
    char one[PATH_MAX], other[PATH_MAX];
    const char *name = NULL, *other_name = NULL;
    dray_autoclose int data = dray_merge_open_folder(merging->data, path, &name);
    dray_autoclose int target = dray_merge_open_folder(merging->target, path, &other_name);

    if (data < 0 || target < 0)
        return -1;
    ssize_t got = readlinkat(data, name, one, sizeof(one));
    ssize_t found = readlinkat(target, other_name, other, sizeof(other));
    return got < 0 || found < 0 ? -1 : got == found && memcmp(one, other, (size_t)got) == 0;
}

static int is_same(struct merging *merging, const char *path, const struct stat *ours,
                   const struct stat *theirs)
{
    if ((ours->st_mode & S_IFMT) != (theirs->st_mode & S_IFMT))
        return 0;
    if (S_ISLNK(ours->st_mode))
        return same_link(merging, path);
    return ours->st_size == theirs->st_size ? same_bytes(merging, path) : 0;
}

/* The records of a dataset, which are of one delivery. */
static int is_records(const char *path)
{
    return strncmp(path, ".dray/", 6) == 0 && strchr(path + 6, '/') == NULL;
}

/* 1 where it is what a merge may take the place of, 0, or a class. */
static int may_replace_records(struct merging *merging, const char *path)
{
    const char *name = NULL;
    dray_autoclose int folder = dray_merge_open_folder(merging->target, path, &name);
    dray_autoclose int fd =
        folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int are = fd < 0 ? -1 : dray_merge_is_records(fd, name);

    /* It loses them. */
    if (are > 0 && !dray_merge_permits(merging->watch, fd, NULL))
        return dray_fail(merging->error, DRAY_DENIED,
                         "whoever it is delivered for may not remove the records in \"%.*s\"; "
                         "nothing was written",
                         NAME_SHOWN, path);
    return are >= 0 ? are : fail_at(merging, "looking at the records in", path);
}

static int is_movable(mode_t mode)
{
    return S_ISREG(mode) || S_ISLNK(mode);
}

static int put_whole(struct merging *merging, const char *path, const struct stat *ours)
{
    int result = check_right(merging, path, 0);

    if (result == 0)
        result = add(merging, DRAY_MERGE_PUT, ours, path);
    return result == 0 && S_ISDIR(ours->st_mode) ? push_folder(merging, path, 1) : result;
}

static int settle_name(struct merging *merging, const char *path, const struct stat *ours,
                       const struct stat *theirs)
{
    int both = S_ISDIR(ours->st_mode) && S_ISDIR(theirs->st_mode);

    if (both && !is_records(path))
        return push_folder(merging, path, 0);
    int fits = both ? may_replace_records(merging, path)
                    : is_movable(ours->st_mode) && is_movable(theirs->st_mode);
    if (fits < 0)
        return fits;
    if (fits && merging->conflicts == DRAY_CONFLICTS_REPLACE) {
        int result = check_right(merging, path, 1);
        if (result == 0)
            result = add(merging, DRAY_MERGE_ASIDE, theirs, path);
        return result == 0 ? put_whole(merging, path, ours) : result;
    }
    if (fits && !both && merging->conflicts == DRAY_CONFLICTS_SKIP_SAME) {
        int same = is_same(merging, path, ours, theirs);
        if (same == DRAY_CANCELLED)
            return same;
        if (same < 0)
            return fail_at(merging, "comparing", path);
        if (same)
            return 0;
    }
    return dray_fail(merging->error, DRAY_CONFLICT,
                     "\"%.*s\" is in the target already; nothing was written", NAME_SHOWN, path);
}

/* ---- All of it ---- */

static int consider(struct merging *merging, const char *path, int whole)
{
    struct stat ours, theirs;

    if (go_on(merging) != 0)
        return merging->error->class_;
    if (look(merging->data, path, &ours) != 0)
        return fail_at(merging, "looking at", path);
    if (whole) {
        int result = add(merging, DRAY_MERGE_HAS, &ours, path);
        return result == 0 && S_ISDIR(ours.st_mode) ? push_folder(merging, path, 1) : result;
    }
    if (look(merging->target, path, &theirs) == 0)
        return theirs.st_dev == merging->device ? settle_name(merging, path, &ours, &theirs)
                                                : fail_mounted(merging, path);
    if (errno == EXDEV)
        return fail_mounted(merging, path);
    return errno == ENOENT ? put_whole(merging, path, &ours)
                           : fail_at(merging, "looking in the target for", path);
}

static int list_folder(struct merging *merging, const struct folder *folder)
{
    int fd = openat(merging->data, folder->path[0] ? folder->path : ".",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
    int result = 0;

    if (!listing) {
        result = fail_at(merging, "listing", folder->path);
        dray_close_descriptor(&fd);
        return result;
    }
    while (result == 0) {
        errno = 0;
        const struct dirent *one = readdir(listing);
        if (!one && errno != 0)
            result = fail_at(merging, "listing", folder->path);
        if (!one)
            break;
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 ||
            (folder->path[0] == '\0' && strcmp(one->d_name, ".dray") == 0))
            continue;
        dray_autofree char *path =
            dray_format("%s%s%s", folder->path, folder->path[0] ? "/" : "", one->d_name);
        result = path ? consider(merging, path, folder->whole) : dray_fail_memory(merging->error);
    }
    (void)closedir(listing);
    return result;
}

static int list_folders(struct merging *merging)
{
    int result = 0;

    while (result == 0 && merging->count > 0) {
        struct folder folder = merging->folders[--merging->count];
        result = list_folder(merging, &folder);
        free(folder.path);
    }
    return result;
}

/* The records come last, and with them the marker. */
int dray_merge_plan(int target, int data, uint32_t conflicts, const struct dray_merge_watch *watch,
                    struct dray_merge_journal *journal, struct dray_error *error)
{
    dray_cleanup(free_merging) struct merging merging = {.target = target,
                                                         .data = data,
                                                         .conflicts = conflicts,
                                                         .watch = watch,
                                                         .journal = journal,
                                                         .error = error};
    struct stat status;

    if (fstat(target, &status) != 0)
        return dray_fail_errno(error, errno, "looking at the target");
    merging.device = status.st_dev;
    int result = push_folder(&merging, "", 0);
    if (result == 0)
        result = list_folders(&merging);
    if (result == 0)
        result = consider(&merging, ".dray", 0);
    return result == 0 ? list_folders(&merging) : result;
}
