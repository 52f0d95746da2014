/* SPDX-License-Identifier: MIT */
/* merge.c - a delivery that is added to a directory which is there already: what is in its way is
 * found before the first byte is written. How it gets into place is the host's (host->merge). */
#include "others.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

/* Conflicts that a message names; all are counted. */
#define NAMED     8
#define READ_STEP ((size_t)256 << 10)
/* Beside the bits of a mode: it is that of what stays. */
#define STAYS 0x8000u

struct look {
    const struct hpfs *hpfs;
    struct dray_ctx *ctx;
    const struct dray_staging *staging;
    const struct hpfs_place *place;
    dev_t device; /* of the target */
    int unread;   /* a preview: bytes are not compared, only sizes */
    int earlier;  /* an earlier delivery of the dataset is in the way */
    uint32_t *stay;
    uint64_t conflicts;
    int denied;  /* some are not in the way, but may not be made or replaced */
    char *asked; /* the directory that was asked for last, made with host->format */
    int permits; /* and what the answer was */
    char *named; /* lines, made with host->format */
    struct hpfs_replaced replaced;
    /* What is below this path is neither there nor in the way of anything. */
    char *skipped; /* made with host->format; NULL: none */
    uint64_t skipped_length;
};

static int out_of_memory(struct dray_ctx *ctx)
{
    return ctx->host->fail(ctx, DRAY_NO_MEMORY, "looking for conflicts: out of memory");
}

/* Of the path, or "": `why` says it all. */
static int note_conflict(struct look *look, const char *path, const char *why)
{
    const struct dray_host *host = look->ctx->host;

    if (look->conflicts++ >= NAMED)
        return DRAY_OK;
    const char *mark = path[0] != '\0' ? "\"" : "", *blank = path[0] != '\0' ? " " : "";
    char *longer = host->format("%s%s%s%.*s%s%s%s", look->named == NULL ? "" : look->named,
                                look->named == NULL ? "" : "; ", mark, 80, path, mark, blank, why);
    host->free(look->named);
    look->named = longer;
    return longer != NULL ? DRAY_OK : out_of_memory(look->ctx);
}

static int skip_below(struct look *look, const struct dray_entry *entry)
{
    const struct dray_host *host = look->ctx->host;

    host->free(look->skipped);
    look->skipped = host->format("%s", entry->path);
    look->skipped_length = entry->path_length;
    return look->skipped != NULL ? DRAY_OK : out_of_memory(look->ctx);
}

static int is_skipped(const struct look *look, const struct dray_entry *entry)
{
    return look->skipped != NULL && entry->path_length > look->skipped_length &&
           entry->path[look->skipped_length] == '/' &&
           memcmp(entry->path, look->skipped, look->skipped_length) == 0;
}

/* ---- The right to change it ---- */

/* May names be made in this directory of the target? */
static int ask_directory(struct look *look, const char *path)
{
    const struct dray_host *host = look->ctx->host;

    if (look->asked != NULL && strcmp(look->asked, path) == 0)
        return DRAY_OK;
    HPFS_FD fd = openat(look->staging->into, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return host->fail_errno(look->ctx, errno, "opening \"%.*s\" in the target", HPFS_SHOWN,
                                path);
    host->free(look->asked);
    look->asked = host->format("%s", path);
    look->permits = host->permits(look->ctx, fd, NULL);
    return look->asked != NULL ? DRAY_OK : out_of_memory(look->ctx);
}

/* Of the directory that is added to, the host has asked already. */
static int look_at_right(struct look *look, const char *path)
{
    const struct dray_host *host = look->ctx->host;
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return DRAY_OK;
    char *directory = host->format("%.*s", (int)(slash - path), path);
    int result = directory == NULL ? out_of_memory(look->ctx) : ask_directory(look, directory);
    host->free(directory);
    if (result != DRAY_OK || look->permits)
        return result;
    look->denied = 1;
    return note_conflict(look, path, "is for a directory that they may not write in");
}

/* What has the name is to leave it. */
static int look_at_removal(struct look *look, const char *path)
{
    const struct dray_host *host = look->ctx->host;
    const char *slash = strrchr(path, '/');
    char *directory =
        host->format("%.*s", slash == NULL ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    if (directory == NULL)
        return out_of_memory(look->ctx);
    HPFS_FD fd =
        openat(look->staging->into, directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int reason = errno;
    host->free(directory);
    if (fd < 0)
        return host->fail_errno(look->ctx, reason, "opening the directory of \"%.*s\"", HPFS_SHOWN,
                                path);
    if (host->permits(look->ctx, fd, slash == NULL ? path : slash + 1))
        return look_at_right(look, path);
    look->denied = 1;
    return note_conflict(look, path, "is not theirs to replace, by the sticky bit");
}

/* ---- The same? ---- */

/* As much as there is, up to size; -1 with errno. */
static ssize_t read_full(int fd, char *buffer, size_t size)
{
    size_t had = 0;

    while (had < size) {
        ssize_t got = read(fd, buffer + had, size - had);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        had += (size_t)got;
    }
    return (ssize_t)had;
}

/* Both from their beginning to the first difference. */
static int compare_bytes(struct look *look, const struct dray_entry *entry, int fd,
                         struct dray_reader *reader, char *buffer, int *ret_same)
{
    const struct dray_host *host = look->ctx->host;

    *ret_same = 1;
    for (int64_t got = 1; got > 0;) {
        if (host->cancelled(look->ctx))
            return host->fail(look->ctx, DRAY_CANCELLED, "cancelled");
        host->progress(look->ctx, 0, 0);
        got = host->read(look->ctx, reader, buffer, READ_STEP);
        if (got < 0)
            return (int)got;
        /* At the end, is there more of the other? */
        ssize_t found = read_full(fd, buffer + READ_STEP, got > 0 ? (size_t)got : 1);
        if (found < 0)
            return host->fail_errno(look->ctx, errno, "reading \"%.*s\" in the target", HPFS_SHOWN,
                                    entry->path);
        if (found != got || memcmp(buffer, buffer + READ_STEP, (size_t)got) != 0)
            *ret_same = 0;
    }
    return DRAY_OK;
}

static int is_same_file(struct look *look, const struct dray_entry *entry,
                        const struct stat *status, int *ret_same)
{
    const struct dray_host *host = look->ctx->host;
    struct dray_reader reader = {.size = sizeof(reader)};

    *ret_same = 0;
    if ((uint64_t)status->st_size != entry->bytes)
        return DRAY_OK;
    HPFS_FD fd = openat(look->staging->into, entry->path,
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return host->fail_errno(look->ctx, errno, "opening \"%.*s\" in the target", HPFS_SHOWN,
                                entry->path);
    char *buffer = malloc(2 * READ_STEP);
    int result =
        buffer == NULL ? out_of_memory(look->ctx) : host->open(look->ctx, entry->id, &reader);
    if (buffer != NULL && result == DRAY_OK) {
        result = compare_bytes(look, entry, fd, &reader, buffer, ret_same);
        int closed = host->close(look->ctx, &reader);
        result = result != DRAY_OK ? result : closed;
    }
    free(buffer);
    return result;
}

static int is_same_link(struct look *look, const struct dray_entry *entry)
{
    char found[PATH_MAX];
    ssize_t got = readlinkat(look->staging->into, entry->path, found, sizeof(found));

    return got >= 0 && (uint64_t)got == entry->link_length &&
           memcmp(found, entry->link, (size_t)got) == 0;
}

/* ---- What is in the way ---- */

static const char *type_name(mode_t mode)
{
    return S_ISDIR(mode)   ? "is a directory there"
           : S_ISREG(mode) ? "is a file there"
           : S_ISLNK(mode) ? "is a symbolic link there"
                           : "is neither a file nor a directory there";
}

static int look_at_file(struct look *look, const struct dray_entry *entry,
                        const struct stat *status)
{
    mode_t type = entry->type == DRAY_LINK ? S_IFLNK : S_IFREG;
    int movable = S_ISREG(status->st_mode) || S_ISLNK(status->st_mode), same = 0;
    int result = DRAY_OK;

    if (movable && look->hpfs->conflicts == HPFS_CONFLICTS_REPLACE) {
        int allowed = look_at_removal(look, entry->path);
        return allowed == DRAY_OK ? hpfs_replaced_add(look->ctx, &look->replaced, entry->path)
                                  : allowed;
    }
    if (look->hpfs->conflicts == HPFS_CONFLICTS_SKIP_SAME && (status->st_mode & S_IFMT) == type) {
        if (type == S_IFLNK)
            same = is_same_link(look, entry);
        else if (look->unread)
            same = (uint64_t)status->st_size == entry->bytes;
        else
            result = is_same_file(look, entry, status, &same);
        if (result == DRAY_OK && same)
            look->stay[entry->id] = STAYS | (status->st_mode & 07777);
        if (result != DRAY_OK || same)
            return result;
        return note_conflict(look, entry->path, "is another one there");
    }
    return note_conflict(look, entry->path, movable ? "is there" : type_name(status->st_mode));
}

/* Something is mounted there, be it of the same file system: nothing can be renamed into it. */
static int is_mounted(struct look *look, const char *path, const struct stat *status)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    HPFS_FD fd = (int)syscall(SYS_openat2, look->staging->into, path, &how, sizeof(how));

    return (fd < 0 && errno == EXDEV) || status->st_dev != look->device;
}

/* What is put into it is as safe there as the right to write in it is narrow. */
static int look_at_directory(struct look *look, const char *path, const struct stat *status)
{
    const struct dray_host *host = look->ctx->host;

    if (is_mounted(look, path, status))
        return note_conflict(look, path, "is another file system, mounted there");
    char *whole = host->format("%s/%s", look->place->whole, path);
    int result = whole == NULL ? out_of_memory(look->ctx) : DRAY_OK;
    if (result == DRAY_OK)
        result = hpfs_check_mode(look->ctx, whole, status);
    host->free(whole);
    return result;
}

static int look_at(struct look *look, const struct dray_entry *entry)
{
    int directory = entry->type == DRAY_DIRECTORY;
    struct stat status;

    if (is_skipped(look, entry))
        return DRAY_OK;
    if (fstatat(look->staging->into, entry->path, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return look->ctx->host->fail_errno(
                look->ctx, errno, "looking in the target for \"%.*s\"", HPFS_SHOWN, entry->path);
        int right = look_at_right(look, entry->path);
        return right == DRAY_OK && directory ? skip_below(look, entry) : right;
    }
    if (!directory)
        return look_at_file(look, entry, &status);
    if (S_ISDIR(status.st_mode)) {
        look->stay[entry->id] = STAYS | (status.st_mode & 07777);
        return look_at_directory(look, entry->path, &status);
    }
    int result = note_conflict(look, entry->path, type_name(status.st_mode));
    return result == DRAY_OK ? skip_below(look, entry) : result;
}

/* Those of an earlier delivery are removed, and the directory loses them. */
static int look_at_old_records(struct look *look, const char *path)
{
    const struct dray_host *host = look->ctx->host;
    char *record = host->format("%s/delivered.json", path);
    int result = record == NULL ? out_of_memory(look->ctx) : look_at_removal(look, path);

    if (result == DRAY_OK)
        result = look_at_right(look, record);
    host->free(record);
    return result;
}

/* What lies where the records of the dataset go. */
static int look_at_ours(struct look *look, const char *path, const char *dataset)
{
    const struct dray_host *host = look->ctx->host;
    char *time = NULL, *why = NULL;
    int records = probe_only_records(look->ctx, look->staging->into, path, dataset, &time);

    if (records > 0 && look->hpfs->conflicts == HPFS_CONFLICTS_REPLACE) {
        host->free(time);
        return look_at_old_records(look, path);
    }
    if (records > 0)
        why = host->format("an earlier delivery of this dataset is there (%s)",
                           time != NULL ? time : "of an unknown time");
    else if (records == 0)
        why = host->format("holds something else than records of a delivery as they were written");
    else
        why = host->format("cannot be looked at: %s", strerror(errno));
    look->earlier = records > 0;
    int result =
        why == NULL ? out_of_memory(look->ctx) : note_conflict(look, records > 0 ? "" : path, why);
    host->free(time);
    host->free(why);
    return result;
}

/* Where the records go. */
static int look_at_records(struct look *look)
{
    const struct dray_host *host = look->ctx->host;
    const char *dataset = host->job(look->ctx)->dataset;
    struct stat status;
    int into = look->staging->into;

    if (fstatat(into, ".dray", &status, AT_SYMLINK_NOFOLLOW) != 0)
        return DRAY_OK; /* or a reason that shows when it is put there */
    if (!S_ISDIR(status.st_mode))
        return note_conflict(look, ".dray", type_name(status.st_mode));
    int result = look_at_directory(look, ".dray", &status);
    if (result != DRAY_OK)
        return result;
    char *path = host->format(".dray/%s", dataset);
    if (path == NULL)
        return out_of_memory(look->ctx);
    if (fstatat(into, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
        result = look_at_ours(look, path, dataset);
    else
        result = look_at_right(look, path);
    host->free(path);
    return result;
}

static void hint(struct look *look)
{
    const struct dray_host *host = look->ctx->host;

    if (look->denied)
        host->hint(look->ctx,
                   "%s, for whom it is delivered, has to own such a directory, or to be let write "
                   "in it by its group or ACL, and search all above it; what is delivered is "
                   "theirs with  owner: %s",
                   host->job(look->ctx)->user, host->job(look->ctx)->user);
    else if (look->hpfs->conflicts == HPFS_CONFLICTS_FAIL)
        host->hint(look->ctx, "to leave files that are the same:  conflicts: skip_same\n"
                              "to put others in their place:  conflicts: replace");
    else if (look->earlier)
        host->hint(look->ctx, "to put this delivery in the place of the earlier one, and its files "
                              "in the place of others:  conflicts: replace");
    else
        host->hint(look->ctx, "move away what is in the way, or deliver to another place");
}

static int tell(struct look *look, const struct hpfs_place *place)
{
    const struct dray_host *host = look->ctx->host;
    char *more = look->conflicts > NAMED
                     ? host->format("; and %" PRIu64 " more", look->conflicts - NAMED)
                     : NULL;
    int result =
        host->fail(look->ctx, look->denied ? DRAY_DENIED : DRAY_CONFLICT,
                   "%" PRIu64 " %s in the way in %s: %s%s%s", look->conflicts,
                   look->conflicts == 1 ? "name is" : "names are", place->whole, look->named,
                   more != NULL ? more : "", look->unread ? "" : "; nothing was written");
    hint(look);
    host->free(more);
    return result;
}

static int look_at_all(struct look *look)
{
    const struct dray_host *host = look->ctx->host;
    uint64_t count = host->count(look->ctx);
    struct dray_entry entry;
    struct stat status;

    if (fstat(look->staging->into, &status) != 0)
        return host->fail_errno(look->ctx, errno, "looking at %s", look->place->whole);
    look->device = status.st_dev;
    look->stay = calloc(count + 1, sizeof(*look->stay));
    int result = look->stay == NULL ? out_of_memory(look->ctx)
                                    : hpfs_check_mode(look->ctx, look->place->whole, &status);
    if (result == DRAY_OK)
        result = look_at_records(look);
    for (uint64_t id = 0; result == DRAY_OK && id < count; id++) {
        result = host->entry(look->ctx, id, &entry);
        if (result == DRAY_OK)
            result = look_at(look, &entry);
        host->progress(look->ctx, 0, 0);
        if (result == DRAY_OK && id % 1024 == 0 && host->cancelled(look->ctx))
            result = host->fail(look->ctx, DRAY_CANCELLED, "cancelled");
    }
    if (result == DRAY_OK && look->conflicts > 0)
        result = tell(look, look->place);
    if (result == DRAY_OK && look->replaced.count > 0)
        result =
            hpfs_others_look(look->ctx, look->staging->into, look->place->whole, &look->replaced);
    hpfs_replaced_free(&look->replaced);
    host->free(look->named);
    host->free(look->skipped);
    host->free(look->asked);
    return result;
}

int hpfs_merge_look(const struct hpfs *hpfs, struct dray_ctx *ctx,
                    const struct dray_staging *staging, const struct hpfs_place *place,
                    uint32_t **ret_stay)
{
    struct look look = {.hpfs = hpfs, .ctx = ctx, .staging = staging, .place = place};

    if (hpfs->existing != HPFS_MERGE && staging->merged)
        return hpfs_check_free(hpfs, ctx, staging, place);
    int result = look_at_all(&look);
    *ret_stay = look.stay;
    return result;
}

int hpfs_merge_preview(const struct hpfs *hpfs, struct dray_ctx *ctx,
                       const struct hpfs_place *place)
{
    HPFS_FD into = open(place->whole, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const struct dray_staging staging = {.size = sizeof(staging), .into = into};
    struct look look = {.hpfs = hpfs, .ctx = ctx, .staging = &staging, .place = place, .unread = 1};

    if (into < 0)
        return ctx->host->fail_errno(ctx, errno, "opening %s", place->whole);
    int result = look_at_all(&look);
    free(look.stay);
    return result;
}

int hpfs_merge_tell(struct dray_ctx *ctx, const uint32_t *stay)
{
    uint64_t count = ctx->host->count(ctx);
    int result = DRAY_OK;

    for (uint64_t id = 0; result == DRAY_OK && id < count; id++)
        if (stay[id] & STAYS)
            result = ctx->host->set_mode(ctx, id, stay[id] & 07777);
    return result;
}

static int is_at_its_place(const struct dray_staging *staging)
{
    struct stat held, named;

    return fstat(staging->into, &held) == 0 &&
           fstatat(staging->parent, staging->final, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

int hpfs_merge_commit(const struct hpfs *hpfs, struct dray_ctx *ctx,
                      const struct dray_staging *staging, const struct hpfs_place *place)
{
    const struct dray_host *host = ctx->host;
    int each = hpfs->durability == HPFS_FSYNC;

    if ((each ? fsync(staging->directory) : syncfs(staging->directory)) != 0)
        return host->fail_errno(ctx, errno, "making the delivery in %s durable", place->whole);
    if (host->cancelled(ctx))
        return host->fail(ctx, DRAY_CANCELLED, "cancelled");
    int result = hpfs_check_parent(ctx, staging, place);
    if (result != DRAY_OK)
        return result;
    if (!is_at_its_place(staging))
        return host->fail(ctx, DRAY_CONFLICT,
                          "%s was moved or replaced while it was delivered to; nothing was written",
                          place->whole);
    result = host->merge(ctx, (uint32_t)hpfs->conflicts);
    if (result == DRAY_OK && !is_at_its_place(staging))
        result = host->fail(ctx, DRAY_CONFLICT,
                            "%s was moved or replaced while it was delivered to, and the delivery "
                            "is in what was there before",
                            place->whole);
    return result;
}
