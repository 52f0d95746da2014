/* SPDX-License-Identifier: MIT */
/*
 * adopt_take.c - taking over what an attempt that was killed had finished.
 *
 * What is kept has a new name since before the sandbox, so that the old attempt, should it live,
 * cannot commit it. A file of it is believed if it is the one that the journal names (inode, size,
 * both times, and no other name) and the entry is still what was copied then. It is moved by one
 * rename; the push then gives it mode, time and attributes as if it had been copied. Whatever else
 * lies there is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "core/base/io.h"
#include "core/run/merge.h"
#include "core/run/run.h"

#define SECOND INT64_C(1000000000)
/* Files that are moved before they are written down in the new journal. */
#define BATCH 1024
/* A default ACL that is longer is not compared. */
#define ACL_ROOM 4096
#define PIECE    65536

/* A line that an entry stands for. */
struct wanted {
    uint64_t id, inode, bytes;
    int64_t mtime, ctime;
    uint8_t sha256[DRAY_SHA256_BYTES];
    int taken;
};

struct taking {
    struct dray_ctx *ctx;
    struct dray_step_run *step;
    const struct dray_kept *kept;
    uint64_t device; /* of what is kept */
    int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t id, int32_t fd);
    void *arg;
    struct wanted *wanted; /* BATCH */
    size_t count;
    uint64_t files, bytes; /* adopted */
};

static struct dray_call *call_of(struct dray_ctx *ctx)
{
    return (struct dray_call *)(void *)ctx;
}

/* ---- What is kept ---- */

/* Ours, and nobody else could have written to it. */
static int is_private(const struct stat *status, mode_t type)
{
    return (status->st_mode & S_IFMT) == type && status->st_uid == geteuid() &&
           (status->st_mode & 077) == 0;
}

/* A directory of ours, or -1. */
static int open_private(int parent, const char *name)
{
    dray_autoclose int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;

    return fd >= 0 && fstat(fd, &status) == 0 && is_private(&status, S_IFDIR) ? DRAY_TAKE_FD(fd)
                                                                              : -1;
}

static int has_journal(int fd)
{
    struct stat status;

    return fstatat(fd, DRAY_ADOPT_JOURNAL, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_private(&status, S_IFREG);
}

/* Takes both descriptors where it is kept. */
static int keep(struct dray_staging_place *staging, const char *name, int *fd,
                const struct dray_merge_holder *holder)
{
    char *copy = staging->kept_count < DRAY_ADOPT_KEPT ? strdup(name) : NULL;

    if (!copy)
        return 0;
    staging->kept[staging->kept_count++] = (struct dray_kept){copy, DRAY_TAKE_FD(*fd), *holder};
    return 1;
}

int dray_adopt_is_of_use(const struct dray_staging_place *staging, int fd)
{
    struct stat status;

    return staging->kept_count < DRAY_ADOPT_KEPT && fstat(fd, &status) == 0 &&
           is_private(&status, S_IFDIR) && has_journal(fd);
}

int dray_adopt_keep(struct dray_staging_place *staging, const char *name, int *fd)
{
    const struct dray_merge_holder none = {-1, -1};

    return keep(staging, name, fd, &none);
}

int dray_adopt_keep_holder(struct dray_staging_place *staging, int into, const char *name)
{
    struct dray_merge_holder holder = {-1, -1};
    struct stat status;

    if (!dray_merge_holder_take(into, name, &holder))
        return 0;
    dray_autoclose int fd = open_private(holder.directory, "data");
    /* With a journal of the merge itself, files may have left it. */
    if (fd >= 0 && has_journal(fd) &&
        fstatat(holder.directory, "journal", &status, AT_SYMLINK_NOFOLLOW) != 0 &&
        errno == ENOENT && keep(staging, name, &fd, &holder))
        return 1;
    dray_close_descriptor(&holder.directory);
    dray_close_descriptor(&holder.lock);
    return 0;
}

static void remove_one(struct dray_step_run *step, struct dray_kept *kept)
{
    const struct dray_staging_place *staging = &step->staging;
    struct dray_error why = {0};
    int result = kept->holder.directory >= 0
                     ? dray_merge_settle(staging->into, kept->name, &kept->holder, &why)
                     : dray_remove_held(staging->parent, kept->name, kept->fd, &why);

    if (result != 0)
        dray_staging_leave(step,
                           kept->holder.directory >= 0 ? step->target->uri : step->target->parent,
                           kept->name, why.message);
}

void dray_adopt_remove_kept(struct dray_step_run *step)
{
    for (size_t i = 0; i < step->staging.kept_count; i++)
        remove_one(step, &step->staging.kept[i]);
    dray_adopt_let_go(&step->staging);
}

void dray_adopt_let_go(struct dray_staging_place *staging)
{
    while (staging->kept_count > 0) {
        struct dray_kept *last = &staging->kept[--staging->kept_count];
        dray_close_descriptor(&last->fd);
        dray_close_descriptor(&last->holder.directory);
        dray_close_descriptor(&last->holder.lock);
        free(last->name);
    }
}

/* Do new files get the same group and ACL in both? What the directory that holds them gives may
 * have been changed since. */
static int gives_the_same(int a, int b)
{
    static const char name[] = "system.posix_acl_default";
    char acl_of_a[ACL_ROOM], acl_of_b[ACL_ROOM];
    struct stat of_a, of_b;

    if (fstat(a, &of_a) != 0 || fstat(b, &of_b) != 0 || of_a.st_dev != of_b.st_dev ||
        of_a.st_gid != of_b.st_gid || (of_a.st_mode & S_ISGID) != (of_b.st_mode & S_ISGID))
        return 0;
    ssize_t length = fgetxattr(a, name, acl_of_a, sizeof(acl_of_a));
    int none = length < 0 && (errno == ENODATA || errno == EOPNOTSUPP);
    if (length < 0 && !none)
        return 0;
    ssize_t other = fgetxattr(b, name, acl_of_b, sizeof(acl_of_b));
    if (none)
        return other < 0 && (errno == ENODATA || errno == EOPNOTSUPP);
    return other == length && memcmp(acl_of_a, acl_of_b, (size_t)length) == 0;
}

/* ---- Files ---- */

static int64_t time_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * SECOND + time->tv_nsec;
}

/* Is this what the journal says? A second name would be one by which it could be changed later. */
static int is_that_file(const struct taking *taking, const struct wanted *wanted, int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
           status.st_uid == geteuid() && (uint64_t)status.st_dev == taking->device &&
           (uint64_t)status.st_ino == wanted->inode && (uint64_t)status.st_size == wanted->bytes &&
           time_of(&status.st_mtim) == wanted->mtime && time_of(&status.st_ctim) == wanted->ctime;
}

/* Through no link, and not out of it. Without openat2 nothing is adopted. */
static int open_below(int directory, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};

    return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

/* One that is not as it should be, or cannot be moved, is left to be copied. */
static int take_one(struct dray_ctx *ctx, void *arg, uint64_t index)
{
    struct taking *taking = arg;
    struct wanted *wanted = &taking->wanted[index];
    struct dray_step_run *step = taking->step;
    const char *path = step->input->entries[wanted->id]->path;
    dray_autoclose int fd = open_below(taking->kept->fd, path);

    if (fd < 0 || !is_that_file(taking, wanted, fd) ||
        renameat(taking->kept->fd, path, step->staging.directory, path) != 0)
        return DRAY_OK;
    int result = taking->fn(ctx, taking->arg, wanted->id, fd);
    if (result != DRAY_OK)
        return result;
    memcpy(step->digests[wanted->id], wanted->sha256, DRAY_SHA256_BYTES);
    __atomic_store_n(&step->digested[wanted->id], 1, __ATOMIC_RELEASE);
    wanted->taken = 1;
    dray_service_progress(ctx, 1, wanted->bytes);
    return DRAY_OK;
}

/* What was moved is in the new journal before more is: another kill loses no more than a batch. */
static int take_batch(struct taking *taking)
{
    uint64_t ids[BATCH];
    size_t taken = 0;
    int result = dray_service_parallel(taking->ctx, taking->count, take_one, taking);

    for (size_t i = 0; i < taking->count; i++) {
        if (!taking->wanted[i].taken)
            continue;
        ids[taken++] = taking->wanted[i].id;
        taking->bytes += taking->wanted[i].bytes;
    }
    taking->files += taken;
    taking->count = 0;
    dray_adopt_pass_on(taking->step, ids, taken);
    return result <= 0 ? result
                       : dray_fail(&call_of(taking->ctx)->error, DRAY_BUG,
                                   "plugin %s returned %d for a file that it was to adopt",
                                   taking->step->step->uses, result);
}

/* ---- Lines ---- */

static int same_md5(const struct dray_tree_entry *entry, const struct dray_adopt_line *line)
{
    return !(entry->flags & DRAY_ENTRY_MD5) ||
           (line->has_md5 && memcmp(entry->md5, line->md5, DRAY_MD5_BYTES) == 0);
}

/* Was the entry copied then as it is now? Where its SHA-256 is recorded, that decides. */
static int is_unchanged(const struct dray_step_run *step, const struct dray_tree_entry *entry,
                        const struct dray_adopt_line *line)
{
    struct dray_source_identity now;

    if (entry->bytes != line->bytes || !same_md5(entry, line))
        return 0;
    if (entry->flags & DRAY_ENTRY_SHA256)
        return memcmp(entry->sha256, line->sha256, DRAY_SHA256_BYTES) == 0;
    return dray_source_identity(step->run->roots, entry, &now) &&
           dray_source_same(&now, &line->source);
}

/* Hard links are copied again: whether the push takes this one for the file and the others for its
 * names, only the push knows. */
static int take_line(void *arg, const struct dray_adopt_line *line)
{
    struct taking *taking = arg;
    const struct dray_step_run *step = taking->step;
    int64_t id = dray_tree_find(step->input, line->path, line->path_length);
    const struct dray_tree_entry *entry = id < 0 ? NULL : step->input->entries[id];

    if (!entry || entry->type != DRAY_FILE || entry->link_group != 0 ||
        __atomic_load_n(&step->digested[id], __ATOMIC_ACQUIRE) || !is_unchanged(step, entry, line))
        return 0;
    taking->wanted[taking->count++] = (struct wanted){.id = (uint64_t)id,
                                                      .inode = line->inode,
                                                      .bytes = line->bytes,
                                                      .mtime = line->mtime,
                                                      .ctime = line->ctime};
    memcpy(taking->wanted[taking->count - 1].sha256, line->sha256, DRAY_SHA256_BYTES);
    return taking->count < BATCH ? 0 : take_batch(taking);
}

/* A directory has at most as many lines as files were copied into it: this bounds one that never
 * ends. */
static uint64_t longest_journal(const struct dray_step_run *step)
{
    return ((uint64_t)step->input->count + 1) * DRAY_ADOPT_LONGEST;
}

static int read_journal(struct taking *taking, int fd)
{
    dray_autofree struct dray_adopt_reader *reader = calloc(1, sizeof(*reader));
    dray_autofree char *piece = malloc(PIECE);
    uint64_t longest = longest_journal(taking->step);
    int result = 0;

    if (!reader || !piece)
        return dray_fail_memory(&call_of(taking->ctx)->error);
    *reader = (struct dray_adopt_reader){
        .request_key = taking->step->target->request_key, .fn = take_line, .arg = taking};
    for (uint64_t read = 0; result == 0 && read < longest;) {
        ssize_t got = dray_read_full(fd, piece, PIECE);
        if (got <= 0)
            break;
        read += (uint64_t)got;
        result = dray_adopt_feed(reader, piece, (size_t)got);
    }
    if (result >= 0 && taking->count > 0)
        result = take_batch(taking);
    return result < 0 ? result : 0;
}

static int take_kept(struct taking *taking)
{
    struct stat directory, journal;
    dray_autoclose int fd = open_below(taking->kept->fd, DRAY_ADOPT_JOURNAL);

    if (fd < 0 || fstat(taking->kept->fd, &directory) != 0 || fstat(fd, &journal) != 0 ||
        !is_private(&journal, S_IFREG) || journal.st_nlink != 1 ||
        !gives_the_same(taking->kept->fd, taking->step->staging.directory))
        return 0;
    taking->device = (uint64_t)directory.st_dev;
    return read_journal(taking, fd);
}

/* ---- The service ---- */

/* To whoever watches, and in what is stored of the delivery. */
static int tell(const struct taking *taking)
{
    const struct dray_step_run *step = taking->step;
    char files[24], bytes[24];

    if (taking->files == 0)
        return DRAY_OK;
    dray_run_tell(step->run, json_pack("{s:s, s:s, s:I, s:I}", "event", "adopted", "step",
                                       step->step->id, "entries", (json_int_t)taking->files,
                                       "bytes", (json_int_t)taking->bytes));
    (void)snprintf(files, sizeof(files), "%" PRIu64, taking->files);
    (void)snprintf(bytes, sizeof(bytes), "%" PRIu64, taking->bytes);
    int result = dray_service_confirm(taking->ctx, "adopted_files", files);
    return result == DRAY_OK ? dray_service_confirm(taking->ctx, "adopted_bytes", bytes) : result;
}

int dray_service_adopt(struct dray_ctx *ctx, uint32_t flags, uint64_t every,
                       int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t id, int32_t fd),
                       void *arg)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;
    dray_autofree struct wanted *wanted = NULL;
    struct taking taking = {.ctx = ctx, .step = step, .fn = fn, .arg = arg};

    if (step->staging.directory < 0 || !step->digests || step->adopt || step->committed)
        return dray_fail(&call->error, DRAY_BUG,
                         "plugin %s wants to adopt what it may not, or twice", step->step->uses);
    int result = dray_adopt_begin(step, (flags & DRAY_ADOPT_EACH) != 0, every, &call->error);
    if (result != 0 || step->staging.kept_count == 0)
        return result;
    taking.wanted = wanted = calloc(BATCH, sizeof(*wanted));
    if (!wanted)
        return dray_fail_memory(&call->error);
    for (size_t i = 0; result == 0 && i < step->staging.kept_count; i++) {
        taking.kept = &step->staging.kept[i];
        result = take_kept(&taking);
    }
    if (result != 0)
        return result;
    dray_adopt_remove_kept(step);
    return tell(&taking);
}
