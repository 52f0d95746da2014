/* SPDX-License-Identifier: MIT */
/* commit.c - what makes a written tree a delivery: its records, durability, and one rename. */
#include "hpfs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

int hpfs_check_free(const struct hpfs *hpfs, struct dray_ctx *ctx,
                    const struct dray_staging *staging, const struct hpfs_place *place)
{
    const struct dray_host *host = ctx->host;
    struct stat status;

    if (fstatat(staging->parent, staging->final, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? DRAY_OK
                               : host->fail_errno(ctx, errno, "looking for %s", place->whole);
    int directory = S_ISDIR(status.st_mode);
    /* -1 where we may not look into it. */
    int64_t count = directory ? hpfs_count_names(staging->parent, staging->final) : -1;
    int result =
        count >= 0 ? host->fail(ctx, DRAY_CONFLICT,
                                "%s exists and holds %" PRId64 " %s; nothing was written",
                                place->whole, count, count == 1 ? "entry" : "entries")
                   : host->fail(ctx, DRAY_CONFLICT, "%s exists; nothing was written", place->whole);
    if (directory && hpfs->path != NULL)
        host->hint(ctx, "deliver below it:  into: %s", place->whole);
    else
        host->hint(ctx, "deliver to another place, or move away what is there");
    return result;
}

/* ---- Records ---- */

static int fail_record(struct dray_ctx *ctx, int reason, const char *what, const char *path)
{
    return ctx->host->fail_errno(ctx, reason, "%s %s of the delivery", what, path);
}

/* Every directory on the way to the record. */
static int make_parents(struct dray_ctx *ctx, int root, const char *path)
{
    char *directory = strdup(path);
    int result = directory == NULL
                     ? ctx->host->fail(ctx, DRAY_NO_MEMORY, "writing %s: out of memory", path)
                     : DRAY_OK;

    for (char *slash = directory; result == DRAY_OK && (slash = strchr(slash, '/')) != NULL;
         *slash++ = '/') {
        *slash = '\0';
        if (mkdirat(root, directory, 0700) != 0 && errno != EEXIST)
            result = fail_record(ctx, errno, "making", directory);
    }
    free(directory);
    return result;
}

struct record_file {
    int fd;
    const char *path;
};

static int write_piece(struct dray_ctx *ctx, void *arg, const void *piece, uint64_t length)
{
    const struct record_file *file = arg;
    const char *data = piece;

    while (length > 0) {
        /* What one call takes at most is a little less than 2 GiB. */
        ssize_t written = write(file->fd, data, length < (1u << 30) ? length : 1u << 30);
        if (written < 0 && errno == EINTR)
            continue;
        if (written == 0)
            errno = ENOSPC; /* no file system should say so, and none may keep us here */
        if (written <= 0)
            return fail_record(ctx, errno, "writing", file->path);
        data += written;
        length -= (uint64_t)written;
    }
    return DRAY_OK;
}

/* Record number `index`. */
static int write_record(struct dray_ctx *ctx, int root, const char *path, uint64_t index, int each)
{
    HPFS_FD fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

    if (fd < 0)
        return fail_record(ctx, errno, "making", path);
    struct record_file file = {fd, path};
    int result = ctx->host->record_bytes(ctx, index, write_piece, &file);
    if (result != DRAY_OK)
        return result;
    if (fchmod(fd, 0644) != 0 || (each && fsync(fd) != 0))
        return fail_record(ctx, errno, "writing", path);
    int closing = fd;
    fd = -1;
    return close(closing) == 0 || errno == EINTR ? DRAY_OK
                                                 : fail_record(ctx, errno, "writing", path);
}

/* The last record says that the delivery is whole: it appears when it is whole itself. */
static int write_marker(struct dray_ctx *ctx, int root, const struct dray_record *record,
                        uint64_t index, int each)
{
    char *path = ctx->host->format("%s.new", record->path);
    int result = path == NULL ? ctx->host->fail(ctx, DRAY_NO_MEMORY, "writing %s: out of memory",
                                                record->path)
                              : write_record(ctx, root, path, index, each);

    if (result == DRAY_OK && renameat(root, path, root, record->path) != 0)
        result = fail_record(ctx, errno, "renaming", path);
    ctx->host->free(path);
    return result;
}

/* Is it the directory of the record before? */
static int is_neighbour(const struct dray_record *record, const struct dray_record *before)
{
    const char *slash = strrchr(record->path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - record->path) + 1;

    return strncmp(record->path, before->path, length) == 0 &&
           strchr(before->path + length, '/') == NULL;
}

/* The directories that a record lies in, from the innermost out. They get their mode only now:
 * setting it takes away the set-group-ID bit of the parent, by which what is made in them gets its
 * group. */
static int finish_parents(struct dray_ctx *ctx, int root, const char *path, int each)
{
    char *directory = strdup(path);
    int result = directory == NULL
                     ? ctx->host->fail(ctx, DRAY_NO_MEMORY, "writing %s: out of memory", path)
                     : DRAY_OK;

    for (char *slash; result == DRAY_OK && (slash = strrchr(directory, '/')) != NULL;) {
        *slash = '\0';
        HPFS_FD fd = openat(root, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fchmod(fd, 0755) != 0)
            result = fail_record(ctx, errno, "setting the mode of", directory);
        else if (each && fsync(fd) != 0)
            result = fail_record(ctx, errno, "making durable", directory);
    }
    free(directory);
    return result;
}

int hpfs_write_records(const struct hpfs *hpfs, struct dray_ctx *ctx,
                       const struct dray_staging *staging)
{
    const struct dray_record *records;
    uint64_t count;
    int each = hpfs->durability == HPFS_FSYNC;
    int root = staging->directory;
    int result = ctx->host->record_list(ctx, &records, &count);

    for (uint64_t i = 0; result == DRAY_OK && i < count; i++) {
        result = make_parents(ctx, root, records[i].path);
        if (result == DRAY_OK)
            result = i + 1 == count ? write_marker(ctx, root, &records[i], i, each)
                                    : write_record(ctx, root, records[i].path, i, each);
    }
    for (uint64_t i = 0; result == DRAY_OK && i < count; i++)
        if (i == 0 || !is_neighbour(&records[i], &records[i - 1]))
            result = finish_parents(ctx, root, records[i].path, each);
    return result;
}

/* ---- Commit ---- */

/* The parent by the path of the plan, which had no links in it: one that has appeared since makes
 * it another, even where it leads to what was the parent. */
static int find_parent(struct dray_ctx *ctx, const struct hpfs_place *place,
                       struct stat *ret_status)
{
    char *real = NULL;
    HPFS_FD fd = -1;

    if (ctx->host->destination(ctx, place->parent, &real, &fd) != DRAY_OK)
        return -1;
    int same = strcmp(real, place->parent) == 0;
    ctx->host->free(real);
    return same ? fstat(fd, ret_status) : -1;
}

int hpfs_check_parent(struct dray_ctx *ctx, const struct dray_staging *staging,
                      const struct hpfs_place *place)
{
    struct stat held, named;

    if (fstat(staging->parent, &held) != 0)
        return ctx->host->fail_errno(ctx, errno, "looking at %s", place->parent);
    if (find_parent(ctx, place, &named) == 0 && held.st_dev == named.st_dev &&
        held.st_ino == named.st_ino)
        return DRAY_OK;
    return ctx->host->fail(
        ctx, DRAY_CONFLICT,
        "the directory %s was moved or replaced while it was delivered to; nothing was written",
        place->parent);
}

static int rename_plainly(const struct dray_staging *staging)
{
    struct stat status;

    /* This one would replace an empty directory; what was made since then can only be one. */
    if (fstatat(staging->parent, staging->final, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    if (errno != ENOENT)
        return -1;
    return renameat(staging->parent, staging->name, staging->parent, staging->final);
}

static int rename_into_place(const struct dray_staging *staging)
{
    if (renameat2(staging->parent, staging->name, staging->parent, staging->final,
                  RENAME_NOREPLACE) == 0)
        return 0;
    /* File systems that know no flags: NFS and Lustre among them. */
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ? rename_plainly(staging) : -1;
}

/* What has the delivery's name now must be what was put together: in a directory that others may
 * write, somebody can put a directory of theirs in its place at the last moment. */
static int check_committed(struct dray_ctx *ctx, const struct dray_staging *staging,
                           const struct hpfs_place *place)
{
    struct stat held, named;

    if (fstat(staging->directory, &held) != 0 ||
        fstatat(staging->parent, staging->final, &named, AT_SYMLINK_NOFOLLOW) != 0)
        return ctx->host->fail_errno(ctx, errno, "looking at the delivery %s", place->whole);
    if (held.st_dev == named.st_dev && held.st_ino == named.st_ino)
        return DRAY_OK;
    int result = ctx->host->fail(ctx, DRAY_CONFLICT,
                                 "%s is not what was delivered: somebody replaced it in %s",
                                 place->whole, place->parent);
    ctx->host->hint(ctx, "deliver into a directory that nobody else may write");
    return result;
}

static int is_named(const struct dray_staging *staging, const char *name, dev_t device, ino_t inode)
{
    struct stat status;

    return fstatat(staging->parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_dev == device && status.st_ino == inode;
}

/* Exchange the names once more. */
static int exchange_back(struct dray_ctx *ctx, const struct dray_staging *staging,
                         const struct hpfs_place *place)
{
    if (renameat2(staging->parent, staging->name, staging->parent, staging->final,
                  RENAME_EXCHANGE) == 0)
        return DRAY_OK;
    return ctx->host->fail_errno(ctx, errno, "giving back what is %s in %s now to %s",
                                 staging->name, place->parent, place->whole);
}

/* From now on nobody else gets into the old delivery, so that it stays what it is found to be;
 * unless it is another user's. */
static int close_old(const struct dray_staging *staging, mode_t *ret_mode)
{
    struct stat status;

    *ret_mode = fstat(staging->old, &status) == 0 ? status.st_mode & 07777 : 0;
    return *ret_mode != 0 && fchmod(staging->old, 0700) == 0;
}

/* The old delivery, whose names were exchanged: what was changed in it since it was last looked at
 * goes back to its place. */
static int check_exchanged(struct dray_ctx *ctx, const struct dray_staging *staging,
                           const struct hpfs_place *place, const struct hpfs_old *old)
{
    mode_t mode;
    int closed = close_old(staging, &mode);
    int changed = hpfs_old_check_held(ctx, staging, place, old);

    if (changed == DRAY_OK)
        return DRAY_OK;
    if (closed && fchmod(staging->old, mode) != 0)
        return ctx->host->fail_errno(ctx, errno, "giving %s its mode again, in %s of %s",
                                     place->whole, staging->name, place->parent);
    int back = exchange_back(ctx, staging, place);
    return back != DRAY_OK ? back : changed;
}

/* Both names are checked afterwards, since nobody can hold them meanwhile; what was not meant is
 * exchanged back. So it is when somebody changed the old delivery after it was last looked at: what
 * will be removed is what nobody finds by its name any more. */
static int exchange(struct dray_ctx *ctx, const struct dray_staging *staging,
                    const struct hpfs_place *place, const struct hpfs_old *old)
{
    const struct dray_host *host = ctx->host;
    struct stat held;

    if (fstat(staging->directory, &held) != 0)
        return host->fail_errno(ctx, errno, "looking at the delivery %s", place->whole);
    if (renameat2(staging->parent, staging->name, staging->parent, staging->final,
                  RENAME_EXCHANGE) != 0)
        return host->fail_errno(ctx, errno, "putting the finished delivery in the place of %s",
                                place->whole);
    if (is_named(staging, staging->name, old->device, old->inode) &&
        is_named(staging, staging->final, held.st_dev, held.st_ino))
        return check_exchanged(ctx, staging, place, old);
    int result = exchange_back(ctx, staging, place);
    if (result != DRAY_OK)
        return result;
    result = host->fail(ctx, DRAY_CONFLICT,
                        "somebody replaced names in %s while %s was replaced; that was undone",
                        place->parent, place->whole);
    host->hint(ctx, "deliver into a directory that nobody else may write");
    return result;
}

static int take_name(struct dray_ctx *ctx, const struct dray_staging *staging,
                     const struct hpfs_place *place)
{
    const struct dray_host *host = ctx->host;

    if (rename_into_place(staging) == 0)
        return check_committed(ctx, staging, place);
    if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
        return host->fail_errno(ctx, errno, "renaming the finished delivery to %s", place->whole);
    int result = host->fail(
        ctx, DRAY_CONFLICT,
        "%s came into being while the delivery was written, and was left as it is", place->whole);
    host->hint(ctx, "deliver to another place, or move away what is there");
    return result;
}

/* The root itself, after all that is in it: what it gets now no earlier sync has made durable. */
static int finish_root(const struct hpfs *hpfs, struct dray_ctx *ctx,
                       const struct dray_staging *staging)
{
    struct timespec times[2];

    hpfs_times(staging->mtime, times);
    if (futimens(staging->directory, times) != 0)
        return ctx->host->fail_errno(ctx, errno, "setting the time of the delivery's root");
    int result = hpfs_rights_root(hpfs, ctx, staging);
    if (result == DRAY_OK && fsync(staging->directory) != 0)
        result = ctx->host->fail_errno(ctx, errno, "making the delivery's root durable");
    return result;
}

int hpfs_commit(const struct hpfs *hpfs, struct dray_ctx *ctx, const struct dray_staging *staging,
                const struct hpfs_place *place, const struct hpfs_old *old)
{
    const struct dray_host *host = ctx->host;

    if (hpfs->durability == HPFS_SYNCFS && syncfs(staging->directory) != 0)
        return host->fail_errno(ctx, errno, "making the delivery in %s durable", place->parent);
    int result = hpfs_check_parent(ctx, staging, place);
    if (result == DRAY_OK && host->cancelled(ctx))
        result = host->fail(ctx, DRAY_CANCELLED, "cancelled");
    /* Nobody but us can look into what is refused after all. */
    if (result == DRAY_OK && old != NULL)
        result = hpfs_old_check(ctx, staging, place, old);
    if (result == DRAY_OK)
        result = finish_root(hpfs, ctx, staging);
    if (result == DRAY_OK)
        result = old != NULL ? exchange(ctx, staging, place, old) : take_name(ctx, staging, place);
    if (result == DRAY_OK && fsync(staging->parent) != 0)
        result = host->fail_errno(ctx, errno,
                                  "%s was delivered, but making its name in %s durable failed",
                                  place->whole, place->parent);
    return result;
}
