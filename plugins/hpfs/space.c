/* SPDX-License-Identifier: MIT */
/*
 * space.c - is there room at the target? Asked before the first byte, so that nobody waits hours
 * for a disk to be full. Files are counted by their bytes, not by the blocks that they will take,
 * which a file system alone knows: what is refused here could not have fitted. A quota may be less,
 * and somebody else may be quicker, so writing may fail all the same.
 */
#include "hpfs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* A file that is smaller is not asked for its holes. */
#define HOLES_FROM 65536

struct space {
    struct dray_ctx *ctx;
    uint64_t bytes;
    uint64_t names;         /* that need an inode */
    int allocated;          /* count what is allocated at the source, where that is known */
    const uint8_t *adopted; /* by entry: it is there; NULL: nothing is */
    uint8_t *seen;          /* by link group: was one of its files counted? */
    uint64_t seen_count;
};

/* Hard links share their bytes and their inode. */
static int is_counted(struct space *space, const struct dray_entry *entry, int *ret_counted)
{
    *ret_counted = 0;
    if (entry->link_group == 0)
        return DRAY_OK;
    if (entry->link_group >= space->seen_count) {
        uint64_t count = entry->link_group + 1 + entry->link_group / 2;
        uint8_t *grown = realloc(space->seen, count);
        if (grown == NULL)
            return space->ctx->host->fail(space->ctx, DRAY_NO_MEMORY,
                                          "counting what the delivery needs: out of memory");
        memset(grown + space->seen_count, 0, count - space->seen_count);
        space->seen = grown;
        space->seen_count = count;
    }
    *ret_counted = space->seen[entry->link_group];
    space->seen[entry->link_group] = 1;
    return DRAY_OK;
}

/* A file that lies alone in one at the source needs what that one takes: holes stay holes. */
static int ask_allocated(struct space *space, const struct dray_entry *entry, uint64_t *ret_bytes)
{
    const struct dray_host *host = space->ctx->host;
    struct dray_reader reader = {.size = sizeof(reader)};
    struct stat status;
    int result = host->open(space->ctx, entry->id, &reader);

    if (result != DRAY_OK)
        return result;
    if (reader.fd >= 0 && reader.offset == 0 && fstat(reader.fd, &status) == 0 &&
        (uint64_t)status.st_size == entry->bytes && (uint64_t)status.st_blocks * 512 < entry->bytes)
        *ret_bytes = (uint64_t)status.st_blocks * 512;
    return host->close(space->ctx, &reader);
}

static int add_entry(struct space *space, const struct dray_entry *entry)
{
    uint64_t bytes = entry->bytes;
    int counted;

    if (space->adopted != NULL && (entry->type == DRAY_DIRECTORY || space->adopted[entry->id]))
        return DRAY_OK;
    int result = is_counted(space, entry, &counted);

    if (result != DRAY_OK || counted)
        return result;
    if (space->allocated && entry->type == DRAY_FILE && bytes >= HOLES_FROM)
        result = ask_allocated(space, entry, &bytes);
    if (__builtin_add_overflow(space->bytes, bytes, &space->bytes))
        space->bytes = UINT64_MAX;
    space->names++;
    return result;
}

static int add_all(struct space *space)
{
    const struct dray_host *host = space->ctx->host;
    uint64_t count = host->count(space->ctx);
    struct dray_entry entry;
    int result = DRAY_OK;

    space->bytes = space->names = 0;
    for (uint64_t id = 0; result == DRAY_OK && id < count; id++) {
        result = host->entry(space->ctx, id, &entry);
        if (result == DRAY_OK)
            result = add_entry(space, &entry);
        if (result == DRAY_OK && id % 1024 == 0 && host->cancelled(space->ctx))
            result = host->fail(space->ctx, DRAY_CANCELLED, "cancelled");
    }
    free(space->seen);
    space->seen = NULL;
    space->seen_count = 0;
    return result;
}

/* What root may still write is more than what others may. */
static uint64_t free_bytes(const struct statvfs *status)
{
    uint64_t blocks = geteuid() == 0 ? status->f_bfree : status->f_bavail;
    uint64_t bytes;

    /* Some file systems that keep no blocks say nothing by saying 0. */
    if (status->f_blocks == 0 || __builtin_mul_overflow(blocks, (uint64_t)status->f_frsize, &bytes))
        return UINT64_MAX;
    return bytes;
}

static uint64_t free_names(const struct statvfs *status)
{
    if (status->f_files == 0) /* a file system that makes them as they are needed */
        return UINT64_MAX;
    return geteuid() == 0 ? status->f_ffree : status->f_favail;
}

static int refuse(struct dray_ctx *ctx, const char *where, const char *what, uint64_t needed,
                  uint64_t left)
{
    return ctx->host->fail(ctx, DRAY_NO_SPACE,
                           "the delivery needs %" PRIu64 " %s and %s has %" PRIu64
                           " free; nothing was written",
                           needed, what, where, left);
}

int hpfs_check_space(struct dray_ctx *ctx, const struct dray_staging *staging,
                     const struct hpfs_place *place, const uint8_t *adopted)
{
    struct space space = {.ctx = ctx, .adopted = adopted};
    const char *where = staging->into >= 0 ? place->whole : place->parent;
    struct statvfs status;

    if (fstatvfs(staging->directory, &status) != 0)
        return ctx->host->fail_errno(ctx, errno, "asking for free space in %s", where);
    uint64_t bytes = free_bytes(&status), names = free_names(&status);
    int result = add_all(&space);
    if (result == DRAY_OK && space.bytes > bytes) {
        space.allocated = 1;
        result = add_all(&space);
    }
    if (result != DRAY_OK)
        return result;
    if (space.bytes > bytes)
        return refuse(ctx, where, "bytes", space.bytes, bytes);
    if (space.names > names)
        return refuse(ctx, where, "inodes (files, directories and links)", space.names, names);
    return DRAY_OK;
}
