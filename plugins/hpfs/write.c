/* SPDX-License-Identifier: MIT */
/*
 * write.c - a tree into the staging directory.
 *
 * Directories are made first, by one thread, open to us only. Files and links follow on all
 * threads, a batch of neighbours at a time: neighbours share a directory, whose descriptor is kept,
 * so that a small file costs openat, write, futimens and close, an empty one mknodat and utimensat.
 * Then hard links, and last the directories get their modes and times, each after everything below
 * it. What an attempt that was killed had copied is moved into the new directories first.
 */
#include "hpfs.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Entries and bytes of a batch; a larger file is a batch of its own. */
#define BATCH_ENTRIES 64
#define BATCH_BYTES   (UINT64_C(8) << 20)
/* Threads that make files in one directory wait for each other: the next batch is always one of
 * another part of the tree. */
#define PARTS 8
/* Longer than any path of a tree. */
#define PATH_ROOM 4096

struct batch {
    uint64_t first, count; /* entries */
    uint64_t bytes;
};

struct write {
    const struct hpfs *hpfs;
    struct dray_ctx *ctx; /* of the caller: not for other threads */
    int root;             /* of the delivery, in staging */
    int rights;           /* others than the entries' own are asked for */
    int xattrs;           /* extended attributes are kept */
    int each;             /* sync file by file */
    uint32_t lost;        /* mode bits that a new file does not get: a umask, or a default ACL */
    uint64_t count;
    uint8_t *adopted;  /* by entry: it needs no copy */
    uint64_t *leaders; /* by link group: 1 + the group's first entry, which is the one copied */
    uint64_t leader_count;
    struct batch *batches; /* largest files first */
    uint64_t batch_count, batch_capacity;
    uint64_t large_count;      /* of them, single large files */
    atomic_uint_fast64_t next; /* number of the batch that is taken next: see take_batch */
};

/* The directory that a thread works in. */
struct folder {
    int fd; /* -1: none yet */
    uint64_t length;
    char path[PATH_ROOM];
};

static int out_of_memory(struct dray_ctx *ctx)
{
    return ctx->host->fail(ctx, DRAY_NO_MEMORY, "preparing to write the delivery: out of memory");
}

static int fail_at(struct dray_ctx *ctx, int reason, const char *what,
                   const struct dray_entry *entry)
{
    return ctx->host->fail_errno(ctx, reason, "%s \"%.*s\" of the delivery", what, HPFS_SHOWN,
                                 entry->path);
}

/* ---- What there is to do ---- */

/* Of each group of hard links, the first is copied. */
static int note_link(struct write *write, const struct dray_entry *entry)
{
    if (entry->link_group >= write->leader_count) {
        uint64_t count = entry->link_group + 1 + entry->link_group / 2;
        uint64_t *grown = reallocarray(write->leaders, count, sizeof(*grown));
        if (grown == NULL)
            return out_of_memory(write->ctx);
        memset(grown + write->leader_count, 0, (count - write->leader_count) * sizeof(*grown));
        write->leaders = grown;
        write->leader_count = count;
    }
    if (write->leaders[entry->link_group] == 0)
        write->leaders[entry->link_group] = entry->id + 1;
    return DRAY_OK;
}

/* Is it a hard link to an entry before it? */
static int is_follower(const struct write *write, const struct dray_entry *entry)
{
    return entry->type == DRAY_FILE && entry->link_group != 0 &&
           write->leaders[entry->link_group] != entry->id + 1;
}

static int add_to_batch(struct write *write, const struct dray_entry *entry)
{
    struct batch *last = write->batch_count > 0 ? &write->batches[write->batch_count - 1] : NULL;

    if (last != NULL && last->count < BATCH_ENTRIES && last->bytes + entry->bytes <= BATCH_BYTES) {
        last->count = entry->id + 1 - last->first;
        last->bytes += entry->bytes;
        return DRAY_OK;
    }
    if (write->batch_count == write->batch_capacity) {
        uint64_t capacity = write->batch_capacity > 0 ? 2 * write->batch_capacity : 256;
        struct batch *grown = reallocarray(write->batches, capacity, sizeof(*grown));
        if (grown == NULL)
            return out_of_memory(write->ctx);
        write->batches = grown;
        write->batch_capacity = capacity;
    }
    write->batches[write->batch_count++] = (struct batch){entry->id, 1, entry->bytes};
    return DRAY_OK;
}

/* Large files first, so that no thread ends long after the others; the rest as it stands in the
 * tree. */
static int compare_batches(const void *a, const void *b)
{
    const struct batch *left = a, *right = b;
    uint64_t left_large = left->bytes > BATCH_BYTES ? left->bytes : 0;
    uint64_t right_large = right->bytes > BATCH_BYTES ? right->bytes : 0;

    if (left_large != right_large)
        return left_large > right_large ? -1 : 1;
    return left->first < right->first ? -1 : left->first > right->first;
}

static int make_directory(struct write *write, const struct dray_entry *entry)
{
    if (mkdirat(write->root, entry->path, 0700) != 0)
        return fail_at(write->ctx, errno, "making the directory", entry);
    return DRAY_OK;
}

/* Make the directories and cut everything else into batches. */
static int look_through(struct write *write)
{
    struct dray_ctx *ctx = write->ctx;
    struct dray_entry entry;
    int result = DRAY_OK;

    for (uint64_t id = 0; result == DRAY_OK && id < write->count; id++) {
        result = ctx->host->entry(ctx, id, &entry);
        if (result == DRAY_OK && entry.link_group != 0)
            result = note_link(write, &entry);
        if (result != DRAY_OK)
            break;
        result = entry.type == DRAY_DIRECTORY ? make_directory(write, &entry)
                                              : add_to_batch(write, &entry);
        if (result == DRAY_OK && id % 1024 == 0 && ctx->host->cancelled(ctx))
            result = ctx->host->fail(ctx, DRAY_CANCELLED, "cancelled");
    }
    if (result == DRAY_OK && write->batch_count > 1)
        qsort(write->batches, write->batch_count, sizeof(*write->batches), compare_batches);
    while (write->large_count < write->batch_count &&
           write->batches[write->large_count].bytes > BATCH_BYTES)
        write->large_count++;
    return result;
}

/* Which mode bits a new file does not get can only be seen on one. */
static int find_lost_bits(struct write *write)
{
    static const char name[] = ".dray-mode";
    struct dray_ctx *ctx = write->ctx;
    struct stat status;
    HPFS_FD fd =
        openat(write->root, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 01777);

    if (fd < 0 || fstat(fd, &status) != 0 || unlinkat(write->root, name, 0) != 0)
        return ctx->host->fail_errno(ctx, errno, "making a first file in the delivery");
    write->lost = 01777 & ~(uint32_t)status.st_mode;
    return DRAY_OK;
}

/* ---- Files and links ---- */

/* The descriptor of the directory that the entry lies in, and its name there. */
static int enter(struct write *write, struct dray_ctx *ctx, const struct dray_entry *entry,
                 struct folder *folder, int *ret_directory, const char **ret_name)
{
    const char *slash = memrchr(entry->path, '/', entry->path_length);
    uint64_t length = slash == NULL ? 0 : (uint64_t)(slash - entry->path);

    *ret_name = slash == NULL ? entry->path : slash + 1;
    if (length == 0) {
        *ret_directory = write->root;
        return DRAY_OK;
    }
    if (folder->fd < 0 || folder->length != length ||
        memcmp(folder->path, entry->path, length) != 0) {
        if (length >= sizeof(folder->path))
            return fail_at(ctx, ENAMETOOLONG, "opening the directory of", entry);
        hpfs_close(&folder->fd);
        memcpy(folder->path, entry->path, length);
        folder->path[length] = '\0';
        folder->length = length;
        folder->fd =
            openat(write->root, folder->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder->fd < 0)
            return fail_at(ctx, errno, "opening the directory of", entry);
    }
    *ret_directory = folder->fd;
    return DRAY_OK;
}

/* What a new file gets besides its bytes, in the order in which nothing takes away what was given
 * before. */
static int finish_file(struct write *write, struct dray_ctx *ctx, const struct dray_entry *entry,
                       int fd, int adopted)
{
    uint32_t mode = hpfs_rights_mode(write->hpfs, 0, entry->mode);
    struct timespec times[2];
    int result = DRAY_OK;

    if (write->xattrs)
        result = hpfs_xattrs_keep(ctx, entry, fd);
    if (result == DRAY_OK && write->rights)
        result = hpfs_rights_set(write->hpfs, ctx, fd, 0, mode, entry->path);
    if (result != DRAY_OK)
        return result;
    if (!write->rights && (adopted || write->xattrs || (mode & write->lost) != 0) &&
        fchmod(fd, mode) != 0)
        return fail_at(ctx, errno, "setting the mode of", entry);
    hpfs_times(entry->mtime, times);
    if (futimens(fd, times) != 0)
        return fail_at(ctx, errno, "setting the time of", entry);
    if (write->each && fsync(fd) != 0)
        return fail_at(ctx, errno, "making durable", entry);
    return DRAY_OK;
}

static int write_file(struct write *write, struct dray_ctx *ctx, const struct dray_entry *entry,
                      int directory, const char *name)
{
    /* Attributes are set by those only who may write the file. */
    HPFS_FD fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        write->xattrs ? 0600 : hpfs_rights_mode(write->hpfs, 0, entry->mode));

    if (fd < 0)
        return fail_at(ctx, errno, "making the file", entry);
    int result = ctx->host->copy(ctx, entry->id, fd);
    if (result == DRAY_OK)
        result = finish_file(write, ctx, entry, fd, 0);
    if (result != DRAY_OK)
        return result;
    /* A file system over a network may say only now that there was no room. */
    int closing = fd;
    fd = -1;
    return close(closing) == 0 || errno == EINTR ? DRAY_OK : fail_at(ctx, errno, "closing", entry);
}

/* A file that was copied by an attempt that was killed, maybe before it got all that it gets. */
static int adopt_file(struct dray_ctx *ctx, void *arg, uint64_t id, int32_t fd)
{
    struct write *write = arg;
    struct dray_entry entry;
    int result = ctx->host->entry(ctx, id, &entry);

    if (result == DRAY_OK && write->xattrs)
        result = hpfs_xattrs_clear(ctx, &entry, fd);
    if (result == DRAY_OK)
        result = finish_file(write, ctx, &entry, fd, 1);
    if (result == DRAY_OK)
        write->adopted[id] = 1;
    return result;
}

/* Of an empty file the name is all there is to make. Where a file system makes files in no other
 * way than by opening them, that way says what is wrong. */
static int make_empty(struct write *write, struct dray_ctx *ctx, const struct dray_entry *entry,
                      int directory, const char *name)
{
    struct timespec times[2];

    if (mknodat(directory, name, S_IFREG | (entry->mode & 01777), 0) != 0)
        return write_file(write, ctx, entry, directory, name);
    int result = ctx->host->copy(ctx, entry->id, -1);
    if (result != DRAY_OK)
        return result;
    hpfs_times(entry->mtime, times);
    if (utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_at(ctx, errno, "setting the time of", entry);
    return DRAY_OK;
}

/* May it be made by its name? Nothing else is asked for, it gets its mode at once, and nobody wants
 * a descriptor of it to sync. */
static int is_name_enough(const struct write *write, const struct dray_entry *entry)
{
    return entry->bytes == 0 && !write->rights && !write->xattrs && !write->each &&
           (entry->mode & write->lost) == 0;
}

static int write_link(struct write *write, struct dray_ctx *ctx, const struct dray_entry *entry,
                      int directory, const char *name)
{
    struct timespec times[2];

    if (symlinkat(entry->link, directory, name) != 0)
        return fail_at(ctx, errno, "making the symbolic link", entry);
    hpfs_times(entry->mtime, times);
    if (utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_at(ctx, errno, "setting the time of", entry);
    ctx->host->progress(ctx, 1, 0);
    return hpfs_rights_set_link(write->hpfs, ctx, directory, name, entry->path);
}

static int write_one(struct write *write, struct dray_ctx *ctx, const struct dray_entry *entry,
                     struct folder *folder)
{
    const char *name = NULL;
    int directory = -1;

    if (entry->type == DRAY_DIRECTORY || write->adopted[entry->id] || is_follower(write, entry))
        return DRAY_OK;
    int result = enter(write, ctx, entry, folder, &directory, &name);
    if (result != DRAY_OK)
        return result;
    if (entry->type == DRAY_LINK)
        return write_link(write, ctx, entry, directory, name);
    return is_name_enough(write, entry) ? make_empty(write, ctx, entry, directory, name)
                                        : write_file(write, ctx, entry, directory, name);
}

/* The number-th batch to be written: large files in their order, then the first batch of each part,
 * the second of each part, and so on. */
static const struct batch *take_batch(struct write *write)
{
    uint64_t number = atomic_fetch_add(&write->next, 1);

    if (number < write->large_count)
        return &write->batches[number];
    number -= write->large_count;
    uint64_t rest = write->batch_count - write->large_count;
    uint64_t part = number % PARTS, longer = rest % PARTS;
    uint64_t start = part * (rest / PARTS) + (part < longer ? part : longer);
    return &write->batches[write->large_count + start + number / PARTS];
}

/* One call for each batch, but which one a call takes is settled when it runs. */
static int write_batch(struct dray_ctx *ctx, void *arg, uint64_t index)
{
    struct write *write = arg;
    const struct batch *batch = take_batch(write);
    struct folder folder = {.fd = -1};
    struct dray_entry entry;
    int result = DRAY_OK;

    (void)index;
    for (uint64_t i = 0; result == DRAY_OK && i < batch->count; i++) {
        result = ctx->host->entry(ctx, batch->first + i, &entry);
        if (result == DRAY_OK)
            result = write_one(write, ctx, &entry, &folder);
    }
    hpfs_close(&folder.fd);
    return result;
}

/* ---- What comes last ---- */

static int write_followers(struct write *write)
{
    struct dray_ctx *ctx = write->ctx;
    struct dray_entry entry, leader;
    int result = DRAY_OK;

    for (uint64_t id = 0; write->leader_count > 0 && result == DRAY_OK && id < write->count; id++) {
        result = ctx->host->entry(ctx, id, &entry);
        if (result != DRAY_OK || !is_follower(write, &entry))
            continue;
        result = ctx->host->entry(ctx, write->leaders[entry.link_group] - 1, &leader);
        if (result == DRAY_OK && linkat(write->root, leader.path, write->root, entry.path, 0) != 0)
            result = fail_at(ctx, errno, "making the hard link", &entry);
        ctx->host->progress(ctx, 1, 0);
    }
    return result;
}

static int sync_directory(struct write *write, const struct dray_entry *entry, int fd)
{
    if (write->each && fsync(fd) != 0)
        return fail_at(write->ctx, errno, "making durable", entry);
    return DRAY_OK;
}

static int finish_directory(struct write *write, const struct dray_entry *entry)
{
    struct timespec times[2];
    /* Its mode may take away the right to open it. */
    HPFS_FD fd = -1;

    if (write->each || write->rights || write->xattrs) {
        fd = openat(write->root, entry->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return fail_at(write->ctx, errno, "opening the directory", entry);
    }
    int result = write->xattrs ? hpfs_xattrs_keep(write->ctx, entry, fd) : DRAY_OK;
    if (result != DRAY_OK)
        return result;
    hpfs_times(entry->mtime, times);
    if (utimensat(write->root, entry->path, times, AT_SYMLINK_NOFOLLOW) != 0)
        return fail_at(write->ctx, errno, "setting the time of", entry);
    if (write->rights) {
        result = hpfs_rights_set(write->hpfs, write->ctx, fd, 1,
                                 hpfs_rights_mode(write->hpfs, 1, entry->mode), entry->path);
        if (result != DRAY_OK)
            return result;
    } else if (fchmodat(write->root, entry->path, entry->mode & 01777, 0) != 0) {
        return fail_at(write->ctx, errno, "setting the mode of", entry);
    }
    if (!entry->parent)
        write->ctx->host->progress(write->ctx, 1, 0);
    return sync_directory(write, entry, fd);
}

/* From the last to the first: what lies below a directory comes before it. */
static int finish_directories(struct write *write)
{
    struct dray_ctx *ctx = write->ctx;
    struct dray_entry entry;
    int result = DRAY_OK;

    for (uint64_t id = write->count; result == DRAY_OK && id > 0; id--) {
        result = ctx->host->entry(ctx, id - 1, &entry);
        if (result == DRAY_OK && entry.type == DRAY_DIRECTORY)
            result = finish_directory(write, &entry);
    }
    return result;
}

static int adopt(struct write *write, const struct dray_staging *staging,
                 const struct hpfs_place *place)
{
    struct dray_ctx *ctx = write->ctx;
    int result = ctx->host->adopt(ctx, write->each ? DRAY_ADOPT_EACH : 0,
                                  (uint64_t)write->hpfs->sync_every, adopt_file, write);

    /* Only now is the room free again that the earlier attempt took. */
    return result == DRAY_OK && staging->kept
               ? hpfs_check_space(ctx, staging, place, write->adopted)
               : result;
}

int hpfs_write_tree(const struct hpfs *hpfs, struct dray_ctx *ctx,
                    const struct dray_staging *staging, const struct hpfs_place *place)
{
    struct write write = {
        .hpfs = hpfs,
        .ctx = ctx,
        .rights = hpfs_rights_asked(hpfs),
        .xattrs = hpfs->xattrs == HPFS_XATTRS_USER,
        .root = staging->directory,
        .each = hpfs->durability == HPFS_FSYNC,
        .count = ctx->host->count(ctx),
    };
    write.adopted = calloc(write.count + 1, 1);
    int result = write.adopted == NULL ? out_of_memory(ctx) : find_lost_bits(&write);

    if (result == DRAY_OK)
        result = look_through(&write);
    if (result == DRAY_OK)
        result = adopt(&write, staging, place);
    if (result == DRAY_OK)
        result = ctx->host->parallel(ctx, write.batch_count, write_batch, &write);
    if (result == DRAY_OK)
        result = write_followers(&write);
    if (result == DRAY_OK)
        result = finish_directories(&write);
    free(write.adopted);
    free(write.leaders);
    free(write.batches);
    return result;
}
