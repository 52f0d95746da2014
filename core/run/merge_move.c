/* SPDX-License-Identifier: MIT */
/* merge_move.c - one name from a holder to its target or back. */
#include "core/run/merge_move.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* On a kernel without openat2: one name after the other. */
static int open_by_names(int root, char *folder)
{
    struct stat above, status;
    int fd = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (char *rest = folder, *name; fd >= 0 && (name = strsep(&rest, "/"));) {
        dray_autoclose int before = fd;
        fd = openat(before, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || (fstat(before, &above) == 0 && fstat(fd, &status) == 0 &&
                       above.st_dev == status.st_dev))
            continue;
        (void)close(fd);
        fd = -1;
        errno = EXDEV;
    }
    return fd;
}

int dray_merge_open_folder(int root, const char *path, const char **ret_name)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    const char *slash = strrchr(path, '/');
    dray_autofree char *folder = strndup(slash ? path : ".", slash ? (size_t)(slash - path) : 1);

    *ret_name = slash ? slash + 1 : path;
    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    int fd = (int)syscall(SYS_openat2, root, folder, &how, sizeof(how));
    /* Some sandboxes answer EPERM to what they do not know. */
    return fd >= 0 || (errno != ENOSYS && errno != EPERM) ? fd : open_by_names(root, folder);
}

/* Inodes are counted by each file system, whose own number is another one after it was mounted
 * anew: what is looked at must be on that of the directory it lies in. */
int dray_merge_is_there(int root, const char *path, const struct dray_merge_line *line)
{
    const char *name = NULL;
    struct stat status, above;
    dray_autoclose int folder = dray_merge_open_folder(root, path, &name);

    if (folder < 0 || fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV ? 0 : -1;
    if (fstat(folder, &above) != 0)
        return -1;
    return status.st_dev == above.st_dev && (status.st_mode & S_IFMT) == (line->mode & S_IFMT) &&
           status.st_ino == line->inode &&
           (S_ISDIR(line->mode) ||
            (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec == line->mtime) &&
           (!S_ISREG(line->mode) || (uint64_t)status.st_size == line->bytes);
}

/* ---- Modes ---- */

/* Of a directory that is held by O_PATH: it need not be readable, and no name leads elsewhere. */
static int chmod_held(int fd, mode_t mode)
{
    char path[32];

    if (syscall(SYS_fchmodat2, fd, "", mode & 07777, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM)
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return chmod(path, mode & 07777);
}

static int hold_directory(int folder, const char *name, uint64_t inode, struct stat *ret_status)
{
    int fd = openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return -1;
    if (fstat(fd, ret_status) == 0 && ret_status->st_ino == inode)
        return fd;
    (void)close(fd);
    errno = ESTALE;
    return -1;
}

int dray_merge_set_mode(int root, const struct dray_merge_line *line, mode_t mode)
{
    const char *name = NULL;
    struct stat status;
    dray_autoclose int folder = dray_merge_open_folder(root, line->path, &name);
    dray_autoclose int fd = folder < 0 ? -1 : hold_directory(folder, name, line->inode, &status);

    if (fd < 0)
        return -1;
    return ((status.st_mode ^ mode) & 07777) == 0 ? 0 : chmod_held(fd, mode);
}

/* ---- Moving ---- */

typedef int rename_one(int from, const char *old, int to, const char *name, mode_t mode);

static int knows_no_flags(int reason)
{
    return reason == EINVAL || reason == ENOSYS || reason == EOPNOTSUPP;
}

/* Nothing holds the name between the look and the rename. */
static int rename_after_look(int from, const char *old, int to, const char *name, mode_t mode)
{
    struct stat status;

    (void)mode;
    if (fstatat(to, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? renameat(from, old, to, name) : -1;
}

/* Two names of one file: a move that was killed between its two steps. */
static int is_linked(int from, const char *old, int to, const char *name)
{
    struct stat one, other;

    return fstatat(from, old, &one, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstatat(to, name, &other, AT_SYMLINK_NOFOLLOW) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* Some file systems know no flags (NFS and Lustre among them): a hard link is never made over
 * anything either. `from` is a holder, so what is unlinked is what was linked. */
int dray_merge_rename_new(int from, const char *old, int to, const char *name, mode_t mode)
{
    if (renameat2(from, old, to, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EEXIST && !S_ISDIR(mode) && is_linked(from, old, to, name))
        return unlinkat(from, old, 0);
    if (!knows_no_flags(errno))
        return -1;
    if (S_ISDIR(mode))
        return rename_after_look(from, old, to, name, mode);
    if (linkat(from, old, to, name, 0) == 0)
        return unlinkat(from, old, 0);
    if (errno == EEXIST && is_linked(from, old, to, name))
        return unlinkat(from, old, 0);
    return -1;
}

/* A directory whose mode keeps its owner from writing cannot be moved to another one: its `..`
 * changes. It is held meanwhile, and gets its mode back in any case. */
static int move_locked(int from, const char *old, int to, const char *name,
                       const struct stat *status, rename_one *rename)
{
    struct stat held_status;
    dray_autoclose int held = hold_directory(from, old, status->st_ino, &held_status);

    if (held < 0)
        return -1;
    if (chmod_held(held, held_status.st_mode | 0200) != 0)
        return -1;
    int moved = rename(from, old, to, name, status->st_mode), reason = errno;
    if (chmod_held(held, held_status.st_mode) != 0 && moved == 0)
        return -1;
    errno = reason;
    return moved;
}

static int move(int from_root, const char *from_path, int to_root, const char *to_path,
                rename_one *rename)
{
    const char *old = NULL, *name = NULL;
    struct stat status;
    dray_autoclose int from = dray_merge_open_folder(from_root, from_path, &old);
    dray_autoclose int to = from < 0 ? -1 : dray_merge_open_folder(to_root, to_path, &name);

    if (to < 0 || fstatat(from, old, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if (rename(from, old, to, name, status.st_mode) == 0)
        return 0;
    if (errno != EACCES || !S_ISDIR(status.st_mode) || (status.st_mode & 0200) != 0 ||
        status.st_uid != geteuid())
        return -1;
    return move_locked(from, old, to, name, &status, rename);
}

int dray_merge_move_out(int holder, const char *path, int target, const char *to)
{
    return move(holder, path, target, to, dray_merge_rename_new);
}

int dray_merge_move_in(int target, const char *path, int holder, const char *to)
{
    return move(target, path, holder, to, rename_after_look);
}

int dray_merge_move_back(int holder, const char *path, int target, const char *to)
{
    int moved = dray_merge_move_out(holder, path, target, to);

    return moved == 0 || (errno != EPERM && errno != EMLINK && !knows_no_flags(errno))
               ? moved
               : move(holder, path, target, to, rename_after_look);
}
