/* SPDX-License-Identifier: MIT */
/* push_directory.c - see push.h. */
#include "plugins/mock/push.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

/* ---- Names ---- */

/* One that does not fit is empty, and so is not found, rather than that of something else. */
static void name_of(char name[static PATH_MAX], const char *format, ...) DRAY_PRINTF(2, 3);
static void name_of(char name[static PATH_MAX], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(name, PATH_MAX, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= PATH_MAX)
        name[0] = '\0';
}

static void final_name(const struct push *push, struct dray_ctx *ctx, char name[static PATH_MAX])
{
    name_of(name, "%s/%s", push->path, ctx->host->job(ctx)->dataset);
}

/* `below` begins with a slash, or is empty. */
static void staging_name(const struct push *push, struct dray_ctx *ctx, const char *below,
                         char name[static PATH_MAX])
{
    name_of(name, "%s/.mock-%.16s%s", push->path, ctx->host->job(ctx)->request_key, below);
}

/* ---- What is there ---- */

struct seen {
    uint64_t entries, bytes;
};
static _Thread_local struct seen seen; /* nftw hands nothing through */

static int see(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)path;
    if (where->level == 1 && strcmp(path + where->base, ".dray") == 0)
        return FTW_SKIP_SUBTREE;
    if (where->level > 0) {
        seen.entries++;
        seen.bytes += type == FTW_F ? (uint64_t)status->st_size : 0;
    }
    return FTW_CONTINUE;
}

static json_t *load(const char *root, const char *dataset, const char *record)
{
    char name[PATH_MAX];

    name_of(name, "%s/.dray/%s/%s", root, dataset, record);
    return json_load_file(name, 0, NULL);
}

static char *text(struct dray_ctx *ctx, const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return ctx->host->format("%s", value ? value : "");
}

int push_look(const struct push *push, struct dray_ctx *ctx, struct dray_presence *ret_presence)
{
    const char *dataset = ctx->host->job(ctx)->dataset;
    char root[PATH_MAX];
    struct stat status;

    final_name(push, ctx, root);
    if (lstat(root, &status) != 0) {
        ret_presence->state = DRAY_ABSENT;
        return errno == ENOENT ? DRAY_OK : ctx->host->fail_errno(ctx, errno, "looking at %s", root);
    }
    json_t *marker = load(root, dataset, "delivered.json");
    json_t *receipt = load(root, dataset, "receipt.json");
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(receipt, "bytes"));
    seen = (struct seen){0};
    (void)nftw(root, see, 16, FTW_PHYS | FTW_ACTIONRETVAL);
    int whole = marker && receipt && bytes == seen.bytes;
    ret_presence->state = whole ? DRAY_DELIVERED : DRAY_OCCUPIED;
    ret_presence->entries = seen.entries;
    ret_presence->bytes = seen.bytes;
    if (whole) {
        ret_presence->request_key = text(ctx, marker, "request_key");
        ret_presence->job = text(ctx, marker, "job");
        ret_presence->time = text(ctx, marker, "time");
    } else if (marker) {
        ret_presence->what =
            ctx->host->format("a delivery with %" PRIu64 " bytes of %" PRIu64, seen.bytes, bytes);
    } else {
        ret_presence->what = ctx->host->format("something without a marker");
    }
    json_decref(marker);
    json_decref(receipt);
    return DRAY_OK;
}

/* ---- Writing ---- */

int push_begin(const struct push *push, struct dray_ctx *ctx)
{
    char name[PATH_MAX];
    int result = push_remove(push, ctx);

    staging_name(push, ctx, "", name);
    return result != DRAY_OK || mkdir(name, 0755) == 0
               ? result
               : ctx->host->fail_errno(ctx, errno, "making %s", name);
}

static int write_all(struct dray_ctx *ctx, const char *name, int fd, const char *data,
                     uint64_t length)
{
    while (length > 0) {
        ssize_t done = write(fd, data, length);
        if (done < 0 && errno != EINTR)
            return ctx->host->fail_errno(ctx, errno, "writing %s", name);
        data += done > 0 ? done : 0;
        length -= done > 0 ? (uint64_t)done : 0;
    }
    return DRAY_OK;
}

/* All is read, as the contract wants; what is written may be less. */
static int copy(const struct push *push, struct dray_ctx *ctx, const struct dray_entry *entry,
                const char *name, int fd)
{
    struct dray_reader reader = {.size = sizeof(reader)};
    uint64_t missing = (uint64_t)push->short_write,
             left = entry->bytes > missing ? entry->bytes - missing : 0;
    char bytes[65536];
    int64_t got = 0;
    int result = ctx->host->open(ctx, entry->id, &reader);

    if (result != DRAY_OK)
        return result;
    while (result == DRAY_OK && (got = ctx->host->read(ctx, &reader, bytes, sizeof(bytes))) > 0) {
        uint64_t part = (uint64_t)got < left ? (uint64_t)got : left;
        result = write_all(ctx, name, fd, bytes, part);
        left -= part;
        ctx->host->progress(ctx, 0, (uint64_t)got);
    }
    int closed = ctx->host->close(ctx, &reader);
    return result != DRAY_OK ? result : got < 0 ? (int)got : closed;
}

static int write_file(const struct push *push, struct dray_ctx *ctx, const struct dray_entry *entry,
                      const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0)
        return ctx->host->fail_errno(ctx, errno, "making %s", name);
    int result = copy(push, ctx, entry, name, fd);
    if (close(fd) != 0 && result == DRAY_OK)
        result = ctx->host->fail_errno(ctx, errno, "writing %s", name);
    return result;
}

int push_write(const struct push *push, struct dray_ctx *ctx, uint64_t id)
{
    struct dray_entry entry = {.size = sizeof(entry)};
    char name[PATH_MAX], below[PATH_MAX];
    int result = ctx->host->entry(ctx, id, &entry);

    if (result != DRAY_OK)
        return result;
    name_of(below, "/%s", entry.path);
    staging_name(push, ctx, below, name);
    if (entry.type == DRAY_FILE)
        result = write_file(push, ctx, &entry, name);
    else if ((entry.type == DRAY_DIRECTORY ? mkdir(name, 0755) : symlink(entry.link, name)) != 0)
        result = ctx->host->fail_errno(ctx, errno, "making %s", name);
    ctx->host->progress(ctx, 1, 0);
    return result;
}

/* ---- The end ---- */

static int write_record(const struct push *push, struct dray_ctx *ctx,
                        const struct dray_record *record)
{
    char name[PATH_MAX], below[PATH_MAX];

    name_of(below, "/%s", record->path);
    staging_name(push, ctx, below, name);
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    int result = fd < 0 ? ctx->host->fail_errno(ctx, errno, "making %s", name)
                        : write_all(ctx, name, fd, record->data, record->length);
    if (fd >= 0 && close(fd) != 0 && result == DRAY_OK)
        result = ctx->host->fail_errno(ctx, errno, "writing %s", name);
    return result;
}

int push_records(const struct push *push, struct dray_ctx *ctx)
{
    const struct dray_record *records = NULL;
    char folder[PATH_MAX], own[PATH_MAX];
    uint64_t count = 0;
    int result = ctx->host->records(ctx, &records, &count);

    staging_name(push, ctx, "/.dray", folder);
    name_of(own, "/.dray/%s", ctx->host->job(ctx)->dataset);
    if (result == DRAY_OK && mkdir(folder, 0755) != 0)
        result = ctx->host->fail_errno(ctx, errno, "making %s", folder);
    staging_name(push, ctx, own, folder);
    if (result == DRAY_OK && mkdir(folder, 0755) != 0)
        result = ctx->host->fail_errno(ctx, errno, "making %s", folder);
    for (uint64_t i = 0; result == DRAY_OK && i < count; i++)
        result = write_record(push, ctx, &records[i]);
    return result;
}

int push_commit(const struct push *push, struct dray_ctx *ctx)
{
    char from[PATH_MAX], to[PATH_MAX];

    staging_name(push, ctx, "", from);
    final_name(push, ctx, to);
    return rename(from, to) == 0 ? DRAY_OK
                                 : ctx->host->fail_errno(ctx, errno, "renaming %s to %s", from, to);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

int push_remove(const struct push *push, struct dray_ctx *ctx)
{
    char name[PATH_MAX];

    staging_name(push, ctx, "", name);
    if (nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return ctx->host->fail_errno(ctx, errno, "removing %s", name);
    return DRAY_OK;
}
