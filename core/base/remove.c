/* SPDX-License-Identifier: MIT */
/*
 * remove.c - dray_remove_tree and dray_remove_held. They go down without following a link or
 * entering another file system that is mounted there, hold a bounded number of descriptors however
 * deep the tree is, and come back up through `..` only after having seen that it is the directory
 * that they came from.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/base/io.h"

/* So many levels keep their stream open while those below are removed. Deeper ones are opened anew.
 */
#define OPEN_LEVELS ((size_t)64)

/* A directory that is being emptied. */
struct level {
    char *name;  /* in the level above */
    DIR *stream; /* NULL while closed */
    dev_t device;
    ino_t inode;
    int removed; /* something, since it was last read from its beginning */
};

struct removal {
    int top; /* the caller's directory */
    struct level *levels;
    size_t count;
    size_t capacity;
    struct dray_error *error;
};

static void free_removal(struct removal *removal)
{
    for (size_t i = 0; i < removal->count; i++) {
        if (removal->levels[i].stream != NULL)
            (void)closedir(removal->levels[i].stream);
        free(removal->levels[i].name);
    }
    free(removal->levels);
}

static struct level *deepest(struct removal *removal)
{
    return &removal->levels[removal->count - 1];
}

/* The directory that holds level `index`, whose stream must be open. */
static int parent_of(const struct removal *removal, size_t index)
{
    return index == 0 ? removal->top : dirfd(removal->levels[index - 1].stream);
}

/* The path as far as it is worth showing: the first and the last names. */
static int fail_at(struct removal *removal, int errnum, const char *what, const char *name)
{
    if (removal->count == 0)
        return dray_fail_errno(removal->error, errnum, "cannot remove %s: %s failed", name, what);
    const char *first = removal->levels[0].name;
    const char *last = removal->count > 1 ? deepest(removal)->name : "";
    const char *between = removal->count > 2 ? "/.../" : removal->count > 1 ? "/" : "";
    return dray_fail_errno(removal->error, errnum, "cannot remove %s%s%s/%s: %s failed", first,
                           between, last, name, what);
}

/* EXDEV where something is mounted there, be it of the same file system. */
static int open_here(int parent, const char *name)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    struct stat above, status;

    int fd = (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));
    /* A sandbox older than the call answers EPERM. */
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd;
    fd = openat(parent, name, (int)how.flags);
    if (fd < 0 ||
        (fstat(parent, &above) == 0 && fstat(fd, &status) == 0 && above.st_dev == status.st_dev))
        return fd;
    (void)close(fd);
    errno = EXDEV;
    return -1;
}

/* Open a directory for reading, and give us the rights to empty it: we may have made it 0000. */
static int open_directory(int parent, const char *name, struct stat *ret_status)
{
    int fd = open_here(parent, name);
    if (fd < 0 && errno == EACCES && fchmodat(parent, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
        fd = open_here(parent, name);
    if (fd < 0)
        return -1;
    if (fstat(fd, ret_status) != 0) {
        int reason = errno;
        (void)close(fd);
        errno = reason;
        return -1;
    }
    /* Where this fails, what is inside may be removable all the same, or says why not. */
    if ((ret_status->st_mode & 0700) != 0700)
        (void)fchmod(fd, 0700);
    return fd;
}

static int set_stream(struct level *level, int *fd)
{
    level->stream = fdopendir(*fd);
    if (level->stream == NULL)
        return -1;
    *fd = -1; /* the stream's */
    return 0;
}

/* Begin to empty `name`, which unlink refused with `refusal`: it may be a directory, or not. */
static int go_down(struct removal *removal, const char *name, int refusal)
{
    struct stat status;

    if (DRAY_GROW(removal->levels, removal->count, removal->capacity) != 0)
        return dray_fail_memory(removal->error);
    dray_autofree char *copy = strdup(name);
    if (copy == NULL)
        return dray_fail_memory(removal->error);
    dray_autoclose int fd = open_directory(parent_of(removal, removal->count), name, &status);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        return fail_at(removal, refusal, "unlinking", name);
    if (fd < 0 && errno == EXDEV)
        return dray_fail(removal->error, DRAY_CONFLICT,
                         "cannot remove %s: another file system is mounted there", name);
    if (fd < 0)
        return fail_at(removal, errno, "opening the directory", name);
    struct level level = {.device = status.st_dev, .inode = status.st_ino};
    if (set_stream(&level, &fd) != 0)
        return fail_at(removal, errno, "reading the directory", name);
    level.name = DRAY_TAKE(copy);
    if (removal->count > OPEN_LEVELS) {
        (void)closedir(deepest(removal)->stream);
        deepest(removal)->stream = NULL;
    }
    removal->levels[removal->count++] = level;
    return 0;
}

/* Open the level above the deepest one again, and prove that it is the same directory as before. */
static int reopen_parent(struct removal *removal)
{
    struct level *parent = &removal->levels[removal->count - 2];
    struct stat status;

    /* Not open_directory: nothing may be changed before it is known to be ours. */
    dray_autoclose int fd =
        openat(dirfd(deepest(removal)->stream), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        return fail_at(removal, errno, "opening the directory above", "..");
    if (status.st_dev != parent->device || status.st_ino != parent->inode)
        return dray_fail(removal->error, DRAY_CONFLICT,
                         "cannot remove %s: something below it was moved away at the same time",
                         removal->levels[0].name);
    parent->removed = 0;
    return set_stream(parent, &fd) == 0
               ? 0
               : fail_at(removal, errno, "reading the directory above", "..");
}

/* The deepest level was read to its end: remove it, or read it again if it is not empty by now. */
static int go_up(struct removal *removal)
{
    size_t index = removal->count - 1;
    struct level *level = deepest(removal);

    if (index > 0 && removal->levels[index - 1].stream == NULL) {
        int result = reopen_parent(removal);
        if (result != 0)
            return result;
    }
    int failed =
        unlinkat(parent_of(removal, index), level->name, AT_REMOVEDIR) != 0 && errno != ENOENT;
    int reason = failed ? errno : 0;
    /* Some file systems skip names while others are removed; others are made while we remove. */
    if ((reason == ENOTEMPTY || reason == EEXIST) && level->removed) {
        level->removed = 0;
        rewinddir(level->stream);
        return 0;
    }
    (void)closedir(level->stream);
    dray_autofree char *name = level->name;
    removal->count--;
    if (failed)
        return fail_at(removal, reason, "removing the directory", name);
    if (removal->count > 0)
        deepest(removal)->removed = 1;
    return 0;
}

/* Remove one name of a directory: at once, or by going down into it. */
static int remove_name(struct removal *removal, const char *name)
{
    if (unlinkat(parent_of(removal, removal->count), name, 0) == 0) {
        if (removal->count > 0)
            deepest(removal)->removed = 1;
        return 0;
    }
    if (errno == ENOENT)
        return 0;
    /* Linux says EISDIR for a directory, POSIX EPERM, and Landlock EACCES where only directories
     * may be removed. */
    int refusal = errno;
    if (refusal == EISDIR || refusal == EPERM || refusal == EACCES)
        return go_down(removal, name, refusal);
    return fail_at(removal, refusal, "unlinking", name);
}

static int remove_all(struct removal *removal)
{
    while (removal->count > 0) {
        errno = 0;
        const struct dirent *entry = readdir(deepest(removal)->stream);
        int result = 0;
        if (entry == NULL && errno != 0)
            return fail_at(removal, errno, "reading the directory", ".");
        if (entry == NULL)
            result = go_up(removal);
        else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = remove_name(removal, entry->d_name);
        if (result != 0)
            return result;
    }
    return 0;
}

/* `name` in the directory `top`. */
static int remove_in(int top, const char *name, struct dray_error *error)
{
    dray_cleanup(free_removal) struct removal removal = {.top = top, .error = error};

    /* With more than one name in it, links in front of the last one would be followed. */
    if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return dray_fail(error, DRAY_BUG, "cannot remove \"%s\": it is not one name", name);
    int result = remove_name(&removal, name);
    return result == 0 ? remove_all(&removal) : result;
}

/* What is held becomes the first level. */
static int hold(struct removal *removal, const char *name, int held, const struct stat *status)
{
    if (DRAY_GROW(removal->levels, removal->count, removal->capacity) != 0)
        return dray_fail_memory(removal->error);
    dray_autofree char *copy = strdup(name);
    if (copy == NULL)
        return dray_fail_memory(removal->error);
    /* Where this fails, what is inside may be removable all the same, or says why not. */
    if ((status->st_mode & 0700) != 0700)
        (void)fchmod(held, 0700);
    dray_autoclose int fd = openat(held, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_at(removal, errno, "opening the directory", name);
    struct level level = {.device = status->st_dev, .inode = status->st_ino};
    if (set_stream(&level, &fd) != 0)
        return fail_at(removal, errno, "reading the directory", name);
    level.name = DRAY_TAKE(copy);
    removal->levels[removal->count++] = level;
    return 0;
}

int dray_remove_held(int directory, const char *name, int held, struct dray_error *error)
{
    dray_cleanup(free_removal) struct removal removal = {.top = directory, .error = error};
    struct stat ours, named;

    if (fstat(held, &ours) != 0)
        return dray_fail_errno(error, errno, "looking at the directory to remove, %s", name);
    if (fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : dray_fail_errno(error, errno, "looking at %s", name);
    if (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino)
        return dray_fail(error, DRAY_CONFLICT, "%s is something else by now", name);
    int result = hold(&removal, name, held, &ours);
    return result == 0 ? remove_all(&removal) : result;
}

int dray_remove_tree(int directory, const char *name, struct dray_error *error)
{
    const char *slash = directory == AT_FDCWD ? strrchr(name, '/') : NULL;

    if (slash == NULL)
        return remove_in(directory, name, error);
    dray_autofree char *path = strndup(name, (size_t)(slash - name) + 1);
    if (path == NULL)
        return dray_fail_memory(error);
    dray_autoclose int parent = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 && errno == ENOENT)
        return 0;
    if (parent < 0)
        return dray_fail_errno(error, errno, "cannot remove %s: opening its folder failed", name);
    return remove_in(parent, slash + 1, error);
}
