/* SPDX-License-Identifier: MIT */
/*
 * locks.c - who has a job in hand. An engine holds a lock on the job's file while it lives; the
 * kernel lets go of it whatever way the engine dies, so a free lock means dead. The locks belong to
 * the open file (F_OFD_SETLK), not to the process: they also keep two handles of one process apart,
 * and closing some other descriptor of the file does not drop them.
 */
#include "core/store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDER "jobs"

/* "jobs/ID.lock"; an id that is none must not become a path. */
static int lock_name(struct dray_store *store, const char *job, char *name, size_t size,
                     struct dray_error *error)
{
    if (strlen(job) != 36 || strspn(job, "0123456789abcdef-") != 36)
        return dray_store_fail(store, error, DRAY_BUG, "that is not the id of a job");
    (void)snprintf(name, size, FOLDER "/%s.lock", job);
    return 0;
}

/* Is the locked file still the one of that name? The last holder may have removed it between our
 * opening and our locking. */
static int still_there(const struct dray_store *store, const char *name, int fd)
{
    struct stat ours;
    struct stat named;

    return fstat(fd, &ours) == 0 &&
           fstatat(store->directory_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static int fail_lock(struct dray_store *store, const char *name, struct dray_error *error)
{
    int errnum = errno;
    char what[128];

    (void)snprintf(what, sizeof what, "locking %s", name);
    int result = dray_sql_fail_errno(store, error, errnum, what);
    if (errnum == ENOLCK || errnum == ENOSYS || errnum == EOPNOTSUPP)
        dray_hint(error, "its file system has no locks: let DRAY_STATE name a directory that is on "
                         "a local disk");
    return result;
}

/* 1: locked; 0: another has it. */
static int try_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 1;
    return errno == EAGAIN || errno == EACCES ? 0 : -1;
}

int dray_store_lock(struct dray_store *store, const char *job, int *ret_fd,
                    struct dray_error *error)
{
    char name[64];

    dray_store_doing(store, "taking job %s in hand", job);
    int result = lock_name(store, job, name, sizeof name, error);
    if (result != 0)
        return result;
    if (mkdirat(store->directory_fd, FOLDER, 0700) != 0 && errno != EEXIST)
        return dray_sql_fail_errno(store, error, errno, "making the directory " FOLDER);
    for (;;) {
        dray_autoclose int fd =
            openat(store->directory_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int locked = fd < 0 ? -1 : try_lock(fd);
        if (locked < 0)
            return fail_lock(store, name, error);
        if (locked == 0)
            return 0;
        if (still_there(store, name, fd)) {
            *ret_fd = DRAY_TAKE_FD(fd);
            return 1;
        }
    }
}

int dray_store_is_locked(struct dray_store *store, const char *job)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char name[64];

    if (lock_name(store, job, name, sizeof name, NULL) != 0)
        return -1;
    dray_autoclose int fd = openat(store->directory_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 ? lock.l_type != F_UNLCK : -1;
}

void dray_store_unlock(struct dray_store *store, const char *job, int *fd)
{
    char name[64];

    /* While it is locked: whoever opened this file before sees that it is gone. A file that is left
     * over does no harm. */
    if (*fd >= 0 && lock_name(store, job, name, sizeof name, NULL) == 0) {
        dray_store_cancel_forget(store, job);
        (void)unlinkat(store->directory_fd, name, 0);
    }
    dray_close_descriptor(fd);
    *fd = -1;
}

/* One that died between making its lock and giving it back, when no later request is for its job.
 */
void dray_store_sweep_locks(struct dray_store *store)
{
    int folder =
        openat(store->directory_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *listing = folder >= 0 ? fdopendir(folder) : NULL;

    if (!listing) {
        dray_close_descriptor(&folder);
        return;
    }
    for (const struct dirent *one; (one = readdir(listing));) {
        struct dray_error ignored = {0};
        size_t length = strcspn(one->d_name, ".");
        char job[37];
        int lock = -1;
        if (length != sizeof job - 1 || (strcmp(one->d_name + length, ".lock") != 0 &&
                                         strcmp(one->d_name + length, ".cancel") != 0))
            continue;
        (void)snprintf(job, sizeof job, "%.36s", one->d_name);
        if (dray_store_lock(store, job, &lock, &ignored) == 1)
            dray_store_unlock(store, job, &lock);
    }
    (void)closedir(listing);
}
