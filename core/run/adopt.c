/* SPDX-License-Identifier: MIT */
/*
 * adopt.c - noting what is finished, while a push copies. Copying adds the entry's number to a list
 * and does nothing else. Once enough is on it, or has been for a while, a thread makes that durable
 * and then writes it down, in this order. A delivery that ends sooner never has the thread, nor a
 * journal.
 *
 * Once begun, nothing here makes a delivery fail: what is not noted is copied again, should it be
 * killed. An error of the disk shows in the sync that the push itself makes, since the kernel tells
 * it to each open descriptor, and the one of this thread is its own.
 */
#include "core/run/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/run.h"

#define SECOND INT64_C(1000000000)
/* What is finished waits no longer for a sync. */
#define LONGEST (10 * SECOND)
/* A source that was changed less than this before the attempt began could be changed once more
 * without getting another time: clocks of file systems tick as coarsely as that. */
#define TICK (2 * SECOND)
/* Of lines, before they are written. */
#define BLOCK (UINT32_C(1) << 20)
/* Beside the number of an entry on the list: how often it was looked at too early. */
#define LOOK  (UINT64_C(1) << 56)
#define LOOKS 10
#define ID    (LOOK - 1)

struct dray_adopt {
    struct dray_step_run *step;
    int each;
    uint64_t every;
    int synced;  /* staging, opened before the first write; only this file syncs by it */
    int journal; /* -1: none yet */
    /* Held while the journal is made or written: by the thread, and where what is taken over is
     * passed on, during which a plugin may have begun to copy. */
    pthread_mutex_t writing;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t moved;
    pthread_t thread;
    int started;
    int stop;
    int failed;    /* nothing is noted any more */
    uint64_t *ids; /* finished, not written down */
    size_t count, capacity;
    uint64_t bytes; /* of these */
    int64_t since;  /* the last sync, CLOCK_MONOTONIC; also read without the lock, atomically */
};

static void free_adopt(struct dray_adopt *adopt)
{
    dray_close_descriptor(&adopt->synced);
    dray_close_descriptor(&adopt->journal);
    (void)pthread_cond_destroy(&adopt->moved);
    (void)pthread_mutex_destroy(&adopt->lock);
    (void)pthread_mutex_destroy(&adopt->writing);
    free(adopt->ids);
    free(adopt);
}

int dray_adopt_begin(struct dray_step_run *step, int each, uint64_t every, struct dray_error *error)
{
    struct dray_adopt *adopt = calloc(1, sizeof(*adopt));
    pthread_condattr_t monotonic;

    if (!adopt || pthread_condattr_init(&monotonic) != 0) {
        free(adopt);
        return dray_fail_memory(error);
    }
    *adopt = (struct dray_adopt){.step = step,
                                 .each = each,
                                 .every = every,
                                 .synced = -1,
                                 .journal = -1,
                                 .writing = PTHREAD_MUTEX_INITIALIZER,
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .since = dray_monotonic()};
    int failed = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
                 pthread_cond_init(&adopt->moved, &monotonic) != 0;
    (void)pthread_condattr_destroy(&monotonic);
    if (failed) {
        free(adopt);
        return dray_fail_memory(error);
    }
    adopt->synced = openat(step->staging.directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (adopt->synced < 0) {
        int result = dray_fail_errno(error, errno, "opening the staging directory");
        free_adopt(adopt);
        return result;
    }
    step->adopt = adopt;
    return 0;
}

/* ---- Writing down ---- */

/* Could it be changed without anybody noticing, or is what it is known by its digest? */
static int is_settled(const struct dray_run *run, const struct dray_tree_entry *entry,
                      const struct dray_source_identity *source, int known)
{
    return (entry->flags & DRAY_ENTRY_SHA256) || (known && source->ctime < run->clock - TICK);
}

/* The copy of an entry, as it is in staging; made durable first where that is to be done file by
 * file. 0, or -1: it is not noted. */
static int look_at(const struct dray_adopt *adopt, const struct dray_tree_entry *entry,
                   struct stat *ret_status)
{
    int staging = adopt->step->staging.directory;

    if (!adopt->each)
        return fstatat(staging, entry->path, ret_status, AT_SYMLINK_NOFOLLOW);
    dray_autoclose int fd =
        openat(staging, entry->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? fstat(fd, ret_status) : -1;
}

static int64_t time_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * SECOND + time->tv_nsec;
}

/* The push gives a file its time last. What has another one may still get its mode, and with it
 * another ctime than would be noted: it is looked at again after the next sync. A file system may
 * round times. */
static int is_early(struct dray_adopt *adopt, uint64_t number, const struct stat *status)
{
    const struct dray_tree_entry *entry = adopt->step->input->entries[number & ID];
    int64_t apart;

    if (!__builtin_sub_overflow(time_of(&status->st_mtim), entry->mtime, &apart) && apart < TICK &&
        apart > -TICK)
        return 0;
    pthread_mutex_lock(&adopt->lock);
    if (number / LOOK < LOOKS && DRAY_GROW(adopt->ids, adopt->count, adopt->capacity) == 0)
        adopt->ids[adopt->count++] = number + LOOK;
    pthread_mutex_unlock(&adopt->lock);
    return 1;
}

static void print_file(struct dray_adopt *adopt, uint64_t number, struct dray_buffer *out)
{
    const struct dray_step_run *step = adopt->step;
    uint64_t id = number & ID;
    const struct dray_tree_entry *entry = step->input->entries[id];
    struct dray_adopt_line line = {.path = entry->path, .path_length = entry->path_length};
    struct stat status;

    int known = dray_source_identity(step->run->roots, entry, &line.source);
    if (!is_settled(step->run, entry, &line.source, known) || look_at(adopt, entry, &status) != 0 ||
        !S_ISREG(status.st_mode) || (uint64_t)status.st_size != entry->bytes ||
        is_early(adopt, number, &status))
        return;
    line.inode = status.st_ino;
    line.bytes = entry->bytes;
    line.mtime = time_of(&status.st_mtim);
    line.ctime = time_of(&status.st_ctim);
    memcpy(line.sha256, step->digests[id], sizeof(line.sha256));
    line.has_md5 = (entry->flags & DRAY_ENTRY_MD5) != 0;
    if (line.has_md5)
        memcpy(line.md5, entry->md5, sizeof(line.md5));
    dray_adopt_print(out, &line);
}

static int make_journal(struct dray_adopt *adopt)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer first = {.cap = 4096};
    const struct dray_step_run *step = adopt->step;

    adopt->journal = openat(step->staging.directory, DRAY_ADOPT_JOURNAL,
                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0600);
    dray_adopt_print_first(&first, step->target->request_key);
    /* Its name is durable with the next sync; file by file, now. */
    return adopt->journal >= 0 && first.failed == 0 &&
                   dray_write_all(adopt->journal, first.data, first.length) == 0 &&
                   (!adopt->each || fsync(adopt->synced) == 0)
               ? 0
               : -1;
}

static int flush(const struct dray_adopt *adopt, struct dray_buffer *out)
{
    int result = out->failed == 0 ? dray_write_all(adopt->journal, out->data, out->length) : -1;

    dray_buffer_clear(out);
    return result;
}

static int write_lines(struct dray_adopt *adopt, const uint64_t *ids, size_t count)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 2 * BLOCK};
    int result = 0;

    for (size_t i = 0; result == 0 && i < count; i++) {
        print_file(adopt, ids[i], &out);
        if (out.length >= BLOCK)
            result = flush(adopt, &out);
    }
    return result == 0 && (out.length > 0 || out.failed) ? flush(adopt, &out) : result;
}

/* First the bytes, then what is said of them. */
static int write_down(struct dray_adopt *adopt, const uint64_t *ids, size_t count)
{
    if (adopt->journal < 0 && make_journal(adopt) != 0)
        return -1;
    if (!adopt->each && syncfs(adopt->synced) != 0)
        return -1;
    return write_lines(adopt, ids, count) == 0 ? fdatasync(adopt->journal) : -1;
}

void dray_adopt_pass_on(struct dray_step_run *step, const uint64_t *ids, size_t count)
{
    struct dray_adopt *adopt = step->adopt;

    pthread_mutex_lock(&adopt->writing);
    /* What is not noted is copied again. */
    if (count > 0 && (adopt->journal >= 0 || make_journal(adopt) == 0))
        (void)!write_lines(adopt, ids, count);
    pthread_mutex_unlock(&adopt->writing);
}

/* ---- The thread ---- */

static int is_due(const struct dray_adopt *adopt, int64_t now)
{
    return adopt->count > 0 && (adopt->bytes >= adopt->every || now - adopt->since >= LONGEST);
}

/* The lock is held. */
static void wait_a_while(struct dray_adopt *adopt)
{
    int64_t until = adopt->since + LONGEST, now = dray_monotonic();

    /* While there is nothing, time does not matter. */
    if (adopt->count == 0)
        until = now + LONGEST;
    struct timespec end = {.tv_sec = (time_t)(until / SECOND), .tv_nsec = (long)(until % SECOND)};
    (void)pthread_cond_timedwait(&adopt->moved, &adopt->lock, &end);
}

/* The list as it is now, which is empty then. The lock is held. */
static uint64_t *take_list(struct dray_adopt *adopt, size_t *ret_count)
{
    *ret_count = adopt->count;
    adopt->count = adopt->capacity = 0;
    adopt->bytes = 0;
    return DRAY_TAKE(adopt->ids);
}

static void tell_end(const struct dray_adopt *adopt, int reason)
{
    struct dray_error why = {0};

    (void)dray_fail_errno(&why, reason,
                          "what is copied from now on would be copied again after a kill, since it "
                          "cannot be noted");
    dray_run_tell(adopt->step->run,
                  json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step",
                            adopt->step->step->id, "level", DRAY_LOG_INFO, "what",
                            "nothing more is noted", "fields", "message", why.message));
}

static void *write_all_down(void *arg)
{
    struct dray_adopt *adopt = arg;

    pthread_mutex_lock(&adopt->lock);
    while (!adopt->stop && !adopt->failed) {
        if (!is_due(adopt, dray_monotonic())) {
            wait_a_while(adopt);
            continue;
        }
        size_t count;
        dray_autofree uint64_t *ids = take_list(adopt, &count);
        __atomic_store_n(&adopt->since, dray_monotonic(), __ATOMIC_RELAXED);
        pthread_mutex_unlock(&adopt->lock);
        pthread_mutex_lock(&adopt->writing);
        int failed = write_down(adopt, ids, count) != 0, reason = errno;
        pthread_mutex_unlock(&adopt->writing);
        if (failed)
            tell_end(adopt, reason);
        pthread_mutex_lock(&adopt->lock);
        adopt->failed = failed;
    }
    pthread_mutex_unlock(&adopt->lock);
    return NULL;
}

/* Have the thread look at the list. The lock is held. */
static void wake(struct dray_adopt *adopt)
{
    if (!adopt->started)
        adopt->started = pthread_create(&adopt->thread, NULL, write_all_down, adopt) == 0;
    else
        (void)pthread_cond_signal(&adopt->moved);
}

void dray_adopt_note(struct dray_step_run *step, uint64_t id)
{
    struct dray_adopt *adopt = step->adopt;

    if (!adopt)
        return;
    pthread_mutex_lock(&adopt->lock);
    if (!adopt->failed && DRAY_GROW(adopt->ids, adopt->count, adopt->capacity) == 0) {
        adopt->ids[adopt->count++] = id;
        adopt->bytes += step->input->entries[id]->bytes;
    }
    if (is_due(adopt, dray_monotonic()))
        wake(adopt);
    pthread_mutex_unlock(&adopt->lock);
}

void dray_adopt_tick(struct dray_step_run *step)
{
    struct dray_adopt *adopt = step->adopt;
    int64_t now = dray_monotonic();

    if (!adopt || now - __atomic_load_n(&adopt->since, __ATOMIC_RELAXED) < LONGEST)
        return;
    pthread_mutex_lock(&adopt->lock);
    /* Once it runs, it keeps time itself. */
    if (!adopt->started && is_due(adopt, now))
        wake(adopt);
    pthread_mutex_unlock(&adopt->lock);
}

static void join(struct dray_adopt *adopt)
{
    pthread_mutex_lock(&adopt->lock);
    adopt->stop = 1;
    (void)pthread_cond_signal(&adopt->moved);
    pthread_mutex_unlock(&adopt->lock);
    if (adopt->started)
        (void)pthread_join(adopt->thread, NULL);
}

void dray_adopt_stop(struct dray_step_run *step)
{
    struct dray_adopt *adopt = DRAY_TAKE(step->adopt);

    if (!adopt)
        return;
    join(adopt);
    free_adopt(adopt);
}

int dray_adopt_end(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_adopt *adopt = DRAY_TAKE(step->adopt);

    if (!adopt)
        return 0;
    join(adopt);
    int made = adopt->journal >= 0;
    free_adopt(adopt);
    if (made && unlinkat(step->staging.directory, DRAY_ADOPT_JOURNAL, 0) != 0)
        return dray_fail_errno(error, errno, "removing the journal of what was copied");
    return 0;
}
