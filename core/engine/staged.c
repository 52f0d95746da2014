/* SPDX-License-Identifier: MIT */
/*
 * staged.c - what sources brought, by a key of what determines its bytes. It is made under a name
 * that no other process uses, by who holds the key's lock alone, and gets its own name when it is
 * whole and durable. Who uses it holds the lock with others. A lock goes with its process: whatever
 * is killed, the next one finds nothing, what is whole, or what it removes.
 */
#include "core/engine/staged.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/plan/draft.h"

/* How often is looked whether another process is ready, ms. */
#define TICK 200

/* ---- Names and locks */

char *dray_staged_folder(const struct dray_engine *engine, struct dray_error *error)
{
    dray_autofree char *scratch = dray_scratch_parent(engine, error);
    char *folder = scratch ? dray_format("%s/staged", scratch) : NULL;

    if (scratch && !folder)
        dray_fail_memory(error);
    return folder;
}

/* Is the locked file still the one of that name? */
static int still_there(const char *path, int fd)
{
    struct stat ours, named;

    return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

int dray_staged_lock(const char *folder, const char *key, int kind, int make, int *ret_fd,
                     struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/%s.lock", folder, key);

    if (!path)
        return dray_fail_memory(error);
    for (;;) {
        dray_autoclose int fd =
            open(path, O_RDWR | (make ? O_CREAT : 0) | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && !make && errno == ENOENT)
            return 1;
        if (fd < 0)
            return dray_fail_errno(error, errno, "opening %s", path);
        if (flock(fd, kind | LOCK_NB) != 0)
            return errno == EWOULDBLOCK ? 0 : dray_fail_errno(error, errno, "locking %s", path);
        if (still_there(path, fd)) {
            *ret_fd = DRAY_TAKE_FD(fd);
            return 1;
        }
    }
}

void dray_staged_forget(const char *folder, const char *key)
{
    dray_autofree char *path = dray_format("%s/%s.lock", folder, key);

    /* One that is left does no harm. */
    if (path)
        (void)unlink(path);
}

/* A name that no other process has, also none that is dead and whose program goes on. */
static char *part_name(const char *folder, const char *key)
{
    uint64_t random = 0;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        random = (uint64_t)dray_monotonic();
    return dray_format("%s/%s.part-%016llx", folder, key, (unsigned long long)random);
}

int dray_staged_remove(const char *folder, const char *key, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/%s", folder, key);
    dray_autofree char *part = part_name(folder, key);

    if (!path || !part)
        return dray_fail_memory(error);
    if (rename(path, part) != 0)
        return errno == ENOENT ? 0 : dray_fail_errno(error, errno, "removing %s", path);
    return dray_remove_tree(AT_FDCWD, part, error);
}

int dray_staged_sweep(const char *folder, const char *key, struct dray_error *error)
{
    DIR *listing = opendir(folder);
    int result = 0;

    if (!listing)
        return dray_fail_errno(error, errno, "listing %s", folder);
    for (const struct dirent *one; result == 0 && (one = readdir(listing));)
        if (strncmp(one->d_name, key, DRAY_STAGED_KEY) == 0 &&
            strncmp(one->d_name + DRAY_STAGED_KEY, ".part-", 6) == 0)
            result = dray_remove_tree(dirfd(listing), one->d_name, error);
    (void)closedir(listing);
    return result;
}

/* ---- Who needs it */

/* A file of this name, as old as the last time that it was needed. */
static int note_need(const char *path, const char *job, struct dray_error *error)
{
    dray_autofree char *name = dray_format("%s/jobs/%s", path, job);
    dray_autoclose int fd =
        name ? open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

    if (!name)
        return dray_fail_memory(error);
    if (fd < 0 || futimens(fd, NULL) != 0)
        return dray_fail_errno(error, errno, "noting at %s who needs it", path);
    return 0;
}

static int is_bad(const char *path)
{
    dray_autofree char *name = dray_format("%s/bad", path);

    return !name || access(name, F_OK) == 0;
}

/* Is it a job that was delivered since, or cancelled? */
static int is_settled(const struct dray_engine *engine, const char *name)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    struct dray_error ignored = {0};

    return engine->store && strlen(name) == 36 &&
           dray_store_job(engine->store, name, &job, &ignored) == 0 &&
           (job->state == DRAY_JOB_DELIVERED || job->state == DRAY_JOB_CANCELLED);
}

int64_t dray_staged_needed(const struct dray_engine *engine, const char *path, const char **ret_why)
{
    dray_autofree char *jobs = dray_format("%s/jobs", path);
    DIR *listing = jobs && !is_bad(path) ? opendir(jobs) : NULL;
    int64_t latest = 0, now = dray_now();
    struct stat status;

    *ret_why = "nobody needs it";
    if (!listing)
        return 0;
    for (const struct dirent *one; (one = readdir(listing));) {
        if (one->d_name[0] == '.' || is_settled(engine, one->d_name) ||
            fstatat(dirfd(listing), one->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        int64_t at = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec, until;
        /* A clock that was set back must not keep it for ever. */
        if (at > now)
            at = now;
        if (engine->keep_failed == DRAY_NONE ||
            __builtin_add_overflow(at, engine->keep_failed, &until))
            until = INT64_MAX;
        if (until <= latest)
            continue;
        latest = until;
        *ret_why = strcmp(one->d_name, DRAY_STAGED_PREVIEW) == 0
                       ? "a preview brought it, and its delivery may need it"
                       : "a job that did not deliver may need it";
    }
    (void)closedir(listing);
    return latest > now ? latest : 0;
}

/* ---- Its key */

/* By what is its content determined? By which steps come later it is not. */
static int is_of_bytes(const struct dray_step *step, const char *option)
{
    static const char *const others[] = {"exits",     "later_exits", "timeout",    "strip",
                                         "max_bytes", "max_ratio",   "max_entries"};

    if (strcmp(step->uses, "source/command") != 0)
        return 1;
    for (size_t i = 0; i < DRAY_COUNT(others); i++)
        if (strcmp(option, others[i]) == 0)
            return 0;
    return 1;
}

static int key_of(const struct dray_step *step, char ret_key[static DRAY_SHA256_HEX],
                  struct dray_error *error)
{
    json_t *with = json_object(), *value;
    const char *option;
    int failed = !with;

    json_object_foreach(step->with, option, value)
    {
        if (is_of_bytes(step, option))
            failed |= json_object_set(with, option, value) != 0;
    }
    json_t *key = json_pack("{s:s, s:s?, s:s?, s:o}", "uses", step->uses, "version", step->version,
                            "revision", step->revision, "with", with);
    int result = key && !failed ? dray_json_digest(key, ret_key, error) : dray_fail_memory(error);
    json_decref(key);
    return result;
}

/* ---- Making it */

static void tell(const struct dray_bringing *who, uint32_t level, const char *what,
                 const char *message)
{
    dray_event_send(who->engine, who->job, who->attempt,
                    json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step",
                              who->plan->steps[who->step].id, "level", level, "what", what,
                              "fields", "message", message));
}

static int make_directory(const char *parent, const char *name, struct dray_error *error)
{
    dray_autofree char *path = name ? dray_format("%s/%s", parent, name) : strdup(parent);

    if (!path)
        return dray_fail_memory(error);
    return mkdir(path, 0700) == 0 ? 0 : dray_fail_errno(error, errno, "making %s", path);
}

static int sync_directory(const char *path, struct dray_error *error)
{
    dray_autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 && fsync(fd) == 0 ? 0 : dray_fail_errno(error, errno, "making %s durable", path);
}

/* What people want to know of it. */
static int write_about(const struct dray_bringing *who, const char *part, struct dray_error *error)
{
    const struct dray_step *step = &who->plan->steps[who->step];
    dray_autofree char *path = dray_format("%s/about.json", part);
    char now[24];
    json_t *about = json_pack("{s:s, s:s, s:s, s:O?, s:O?}", "dataset", who->plan->dataset, "uses",
                              step->uses, "brought", dray_time_print(dray_now(), now), "source",
                              json_object_get(step->with, "source"), "remote",
                              json_object_get(step->with, "remote"));
    dray_autofree char *text = about ? json_dumps(about, JSON_COMPACT) : NULL;

    json_decref(about);
    return path && text ? dray_write_file(path, text, strlen(text), 0600, error)
                        : dray_fail_memory(error);
}

/* What the catalog says of the size of the bundle, or else of the dataset; 0: it does not know. */
static int expected_bytes(const struct dray_bringing *who, uint64_t *ret_bytes,
                          struct dray_error *error)
{
    struct dray_dataset_wanted wanted = {.id = dray_catalog_id(who->plan)};
    struct dray_dataset_row *rows = NULL;
    size_t count = 0;

    json_int_t bundle =
        json_integer_value(json_object_get(who->plan->steps[who->step].with, "bundle_size"));
    *ret_bytes = bundle > 0 && bundle != DRAY_NONE ? (uint64_t)bundle : 0;
    if (*ret_bytes > 0 || !who->engine->store || wanted.id == 0)
        return 0;
    int result = dray_store_datasets(who->engine->store, &wanted, &rows, &count, error);
    if (result == 0 && count == 1 && rows[0].listed != 0)
        *ret_bytes = rows[0].bytes;
    dray_dataset_rows_free(rows, count);
    return result;
}

static int fill(const struct dray_bringing *who, const char *folder, const char *part,
                struct dray_error *error)
{
    dray_autofree char *tree = dray_format("%s/tree", part);
    dray_autofree char *promised = dray_format("%s/promised", part);
    uint64_t bytes = 0;
    int result = tree && promised ? make_directory(part, NULL, error) : dray_fail_memory(error);

    if (result == 0)
        result = make_directory(part, "tree", error);
    if (result == 0)
        result = make_directory(part, "jobs", error);
    if (result == 0)
        result = expected_bytes(who, &bytes, error);
    if (result == 0)
        result = dray_room_take(who, folder, part, bytes, error);
    if (result == 0)
        result = dray_bring(who, tree, error);
    if (result == 0)
        result = dray_staged_list_write(part, error);
    if (result == 0)
        result = write_about(who, part, error);
    if (result == 0)
        result = note_need(part, who->job, error);
    /* All is there: while it is removed some day nothing is promised any more. */
    if (result == 0 && unlink(promised) != 0)
        result = dray_fail_errno(error, errno, "removing %s", promised);
    return result == 0 ? sync_directory(part, error) : result;
}

static int make(const struct dray_bringing *who, const char *folder, const char *key,
                const char *path, struct dray_error *error)
{
    dray_autofree char *part = part_name(folder, key);
    struct dray_error left = {0};
    int result = part ? fill(who, folder, part, error) : dray_fail_memory(error);

    if (result == 0 && rename(part, path) != 0)
        result = dray_fail_errno(error, errno, "giving %s its name", path);
    if (result == 0)
        return sync_directory(folder, error);
    if (part && dray_remove_tree(AT_FDCWD, part, &left) != 0 && error->hint[0] == '\0')
        dray_hint(error, "not all that was begun could be removed: %s", left.message);
    return result;
}

/* ---- Holding it */

/* Was it whole before that time? */
static int is_before(const char *path, int64_t time)
{
    dray_autofree char *list = dray_format("%s/list", path);
    struct stat status;

    return !list || (time > 0 && stat(list, &status) == 0 &&
                     (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec < time);
}

/* Is it there (1), as it was brought? DRAY_INTEGRITY says that it is not. */
static int look(const struct dray_bringing *who, const char *path, struct dray_error *error)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return errno == ENOENT ? 0 : dray_fail_errno(error, errno, "looking at %s", path);
    if (is_bad(path))
        return dray_fail(error, DRAY_INTEGRITY, "a delivery of it failed for its bytes");
    if (is_before(path, who->engine->anew))
        return dray_fail(error, DRAY_INTEGRITY, "--again was given");
    int result = dray_staged_list_check(path, error);
    return result == 0 ? 1 : result;
}

/* Nobody wonders where old bytes came from. */
static void tell_reused(const struct dray_bringing *who, const char *path)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 64u << 10};
    dray_autofree char *file = dray_format("%s/about.json", path);
    struct dray_error ignored = {0};
    json_t *about = file && dray_read_file(file, &text, &ignored) == 0 && text.data
                        ? json_loadb(text.data, text.length, 0, NULL)
                        : NULL;
    json_t *brought = json_object_get(about, "brought");

    dray_event_send(who->engine, who->job, who->attempt,
                    json_pack("{s:s, s:s, s:O*}", "event", "reused", "step",
                              who->plan->steps[who->step].id, "brought", brought));
    json_decref(about);
}

/* The lock is held alone: use what is there, or bring it. */
static int make_ready(const struct dray_bringing *who, const char *folder, const char *key,
                      const char *path, int *ret_made, struct dray_error *error)
{
    struct dray_error why = {0};
    int result = dray_staged_sweep(folder, key, error), there = 0;

    if (result == 0)
        there = look(who, path, &why);
    if (there == DRAY_INTEGRITY) {
        tell(who, DRAY_LOG_WARN, "what was brought earlier is thrown away and brought again",
             why.message);
        result = dray_staged_remove(folder, key, error);
    } else if (there < 0) {
        *error = why;
        return there;
    }
    *ret_made = result == 0 && there != 1;
    return *ret_made ? make(who, folder, key, path, error) : result;
}

/* For a job: nobody removes it while it is held with others. 1; 0: it is gone again. */
static int hold(const struct dray_bringing *who, const char *path, const char *lock_path, int fd,
                struct dray_error *error)
{
    struct stat status;
    int result = note_need(path, who->job, error);

    if (result != 0)
        return result;
    /* To change a lock is to let go of it for a moment. */
    if (flock(fd, LOCK_SH | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? 0 : dray_fail_errno(error, errno, "locking %s", lock_path);
    return still_there(lock_path, fd) && lstat(path, &status) == 0;
}

/* 1: held, 0: not yet. */
static int try_take(const struct dray_bringing *who, const char *folder, const char *key,
                    const char *path, int *ret_fd, struct dray_error *error)
{
    int made = 0;
    dray_autofree char *lock_path = dray_format("%s/%s.lock", folder, key);
    dray_autoclose int fd = -1;
    struct dray_error why = {0};

    if (!lock_path)
        return dray_fail_memory(error);
    int result = dray_staged_lock(folder, key, LOCK_EX, 1, &fd, error);
    if (result == 1) {
        result = make_ready(who, folder, key, path, &made, error);
        if (result != 0) {
            dray_staged_forget(folder, key);
            return result;
        }
        result = hold(who, path, lock_path, fd, error);
    } else if (result == 0) {
        result = dray_staged_lock(folder, key, LOCK_SH, 1, &fd, error);
        /* One that is damaged is left to who uses it, who will notice. */
        if (result == 1 && look(who, path, &why) != 1)
            return 0;
        if (result == 1)
            result = hold(who, path, lock_path, fd, error);
    }
    if (result == 1 && !made)
        tell_reused(who, path);
    if (result == 1)
        *ret_fd = DRAY_TAKE_FD(fd);
    return result;
}

static int take(const struct dray_bringing *who, struct dray_staged *staged,
                struct dray_error *error)
{
    dray_autofree char *folder = dray_staged_folder(who->engine, error);
    char key[DRAY_SHA256_HEX];
    int told = 0;
    int result = folder ? key_of(&who->plan->steps[who->step], key, error) : error->class_;

    if (result != 0)
        return result;
    dray_autofree char *path = dray_format("%s/%s", folder, key);
    staged->key = strdup(key);
    if (!path || !staged->key)
        return dray_fail_memory(error);
    while ((result = try_take(who, folder, key, path, &staged->lock, error)) == 0) {
        result = dray_room_busy(who->room, 0, error);
        if (result != 0)
            return result;
        if (!told)
            dray_event_send(
                who->engine, who->job, who->attempt,
                json_pack("{s:s, s:s}", "event", "waiting", "staging", who->plan->dataset));
        told = 1;
        if (!dray_engine_sleep(who->engine, TICK))
            return dray_fail(error, DRAY_CANCELLED,
                             "interrupted while waiting for what another "
                             "process brings");
        result = dray_room_busy(who->room, 1, error);
        if (result != 0)
            return result;
    }
    if (result < 0)
        return result;
    staged->path = DRAY_TAKE(path);
    return 0;
}

/* Does a source bring what it stages? */
static int brings(const struct dray_engine *engine, const struct dray_step *step)
{
    const struct dray_plugin_info *plugin = NULL;
    const char *slash = strchr(step->uses, '/');
    struct dray_error ignored = {0};

    return step->role == DRAY_STEP_SOURCE && slash &&
           dray_registry_find(engine->registry, DRAY_KIND_SOURCE, slash + 1, &plugin, &ignored) ==
               0 &&
           (plugin->caps & DRAY_CAP_BRINGS);
}

int dray_stagings_take(const struct dray_bringing *who, const uint8_t *needed,
                       struct dray_stagings *stagings, size_t *ret_step, struct dray_error *error)
{
    struct dray_bringing one = *who;
    int result = 0;

    *ret_step = 0;
    stagings->count = who->plan->step_count;
    stagings->steps = calloc(stagings->count + 1, sizeof(*stagings->steps));
    if (!stagings->steps)
        return dray_fail_memory(error);
    stagings->room = -1;
    for (size_t i = 0; i < stagings->count; i++)
        stagings->steps[i].lock = -1;
    for (size_t i = 0; result == 0 && i < stagings->count; i++) {
        if ((needed && !needed[i]) || !brings(who->engine, &who->plan->steps[i]))
            continue;
        one.step = *ret_step = i;
        result = dray_program_allowed(who->engine, &who->plan->steps[i], error);
        if (result == 0 && stagings->room < 0)
            result = dray_room_enter(who->engine, &stagings->room, error);
        one.room = stagings->room;
        if (result == 0)
            result = take(&one, &stagings->steps[i], error);
    }
    if (result != 0)
        dray_where(error, "step %s", who->plan->steps[*ret_step].id);
    return result;
}

int dray_stagings_order(const struct dray_stagings *stagings, const struct dray_plan *plan,
                        json_t *start, struct dray_error *error)
{
    json_t *brought = json_object();
    int failed = !brought;

    for (size_t i = 0; !failed && i < stagings->count; i++) {
        dray_autofree char *tree =
            stagings->steps[i].path ? dray_format("%s/tree", stagings->steps[i].path) : NULL;
        if (stagings->steps[i].path)
            failed =
                !tree || json_object_set_new(brought, plan->steps[i].id, json_string(tree)) != 0;
    }
    failed |= json_object_set_new(start, "brought", brought) != 0;
    return failed ? dray_fail_memory(error) : 0;
}

/* ---- Letting go */

int dray_in_doubt(int class_)
{
    return class_ == DRAY_INTEGRITY || class_ == DRAY_INVALID || class_ == DRAY_PERMANENT ||
           class_ == DRAY_CHANGED;
}

static void mark(const struct dray_bringing *who, const char *path, enum dray_release how)
{
    dray_autofree char *need = dray_format("%s/jobs/%s", path, who->job);
    dray_autofree char *preview = dray_format("%s/jobs/" DRAY_STAGED_PREVIEW, path);
    dray_autofree char *bad = dray_format("%s/bad", path);
    struct dray_error ignored = {0};

    if (how == DRAY_RELEASE_DONE && need)
        (void)unlink(need);
    /* It was a preview of this delivery. */
    if (how == DRAY_RELEASE_DONE && preview && who->is_job)
        (void)unlink(preview);
    if (how == DRAY_RELEASE_BAD && bad)
        dray_close_descriptor(&(int){open(bad, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)});
    /* As it was noted when it was taken, then. */
    if (how == DRAY_RELEASE_KEEP && note_need(path, who->job, &ignored) != 0)
        return;
}

static void release(const struct dray_bringing *who, struct dray_staged *staged,
                    enum dray_release how)
{
    dray_autoclose int lock = DRAY_TAKE_FD(staged->lock);
    struct dray_error why = {0};
    const char *reason;

    if (!staged->path)
        return;
    dray_autofree char *folder = dray_staged_folder(who->engine, &why);
    if (!folder)
        return;
    mark(who, staged->path, how);
    dray_autofree char *lock_path = dray_format("%s.lock", staged->path);
    /* Others that hold it, or come now, decide when they let go. */
    if (!lock_path || flock(lock, LOCK_EX | LOCK_NB) != 0 || !still_there(lock_path, lock) ||
        dray_staged_needed(who->engine, staged->path, &reason) != 0)
        return;
    if (dray_staged_remove(folder, staged->key, &why) != 0)
        tell(who, DRAY_LOG_WARN, "what was brought could not be removed; dray admin gc tries again",
             why.message);
    else
        dray_staged_forget(folder, staged->key);
}

void dray_stagings_release(const struct dray_bringing *who, struct dray_stagings *stagings,
                           enum dray_release how)
{
    struct dray_bringing one = *who;

    for (size_t i = 0; i < stagings->count && stagings->steps; i++) {
        one.step = i;
        release(&one, &stagings->steps[i], how);
        free(stagings->steps[i].path);
        free(stagings->steps[i].key);
    }
    if (stagings->steps)
        dray_close_descriptor(&stagings->room);
    free(stagings->steps);
    *stagings = (struct dray_stagings){0};
}
