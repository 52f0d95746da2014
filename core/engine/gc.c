/* SPDX-License-Identifier: MIT */
/*
 * gc.c - what nobody needs any more of scratch and its locks. Each delivery does it for what lies
 * in its way, `dray admin gc` says what it did. A lock that is free means that its process is dead;
 * what others hold is left alone, so that it may run beside any job.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/staged.h"

#define PREVIEW "preview-"
#define JOB_ID  36

struct collecting {
    struct dray_engine *engine;
    int dry;
    int (*tell)(void *arg, const struct dray_collected *collected);
    void *arg;
};

static int tell(const struct collecting *collecting, const struct dray_collected *collected)
{
    return collecting->tell ? collecting->tell(collecting->arg, collected) : 0;
}

/* Is it worth the walk to know how large it is? */
static uint64_t size_of(const struct collecting *collecting, const char *path)
{
    struct stat status;

    if (!collecting->tell)
        return 0;
    if (lstat(path, &status) == 0 && !S_ISDIR(status.st_mode))
        return (uint64_t)status.st_blocks * 512;
    return dray_disk_usage(path, NULL);
}

/* Say what becomes of it, and do that. What cannot be removed stays, with the reason. */
static int remove_one(const struct collecting *collecting, const char *what, const char *path,
                      const char *why)
{
    struct dray_collected collected = {.what = what, .path = path, .why = why, .removed = 1};
    struct dray_error error = {0};

    collected.bytes = size_of(collecting, path);
    if (!collecting->dry && dray_remove_tree(AT_FDCWD, path, &error) != 0) {
        collected.removed = 0;
        collected.failed = 1;
        collected.why = error.message;
    }
    return tell(collecting, &collected);
}

static int keep_one(const struct collecting *collecting, const char *what, const char *path,
                    const char *why, int64_t until)
{
    struct dray_collected collected = {.what = what, .path = path, .why = why, .until = until};

    if (!collecting->tell)
        return 0;
    collected.bytes = size_of(collecting, path);
    return tell(collecting, &collected);
}

/* ---- Scratch of attempts */

/* The lock of a job: 1, 0 when a process has it. A dry run only looks. */
static int take_job(const struct collecting *collecting, const char *job, int *ret_lock)
{
    struct dray_error ignored = {0};

    if (!collecting->dry)
        return dray_store_lock(collecting->engine->store, job, ret_lock, &ignored);
    int locked = dray_store_is_locked(collecting->engine->store, job);
    return locked < 0 ? locked : !locked;
}

/* Only a job's living engine holds its lock. */
static int collect_job(const struct collecting *collecting, const char *path, const char *name,
                       const char *dot)
{
    struct dray_engine *engine = collecting->engine;
    dray_autofree char *job = strndup(name, (size_t)(dot - name));
    int lock = -1;

    if (!job || !engine->store)
        return 0;
    int locked = take_job(collecting, job, &lock);
    if (locked == 0)
        return keep_one(collecting, "scratch", path, "its job is under way", 0);
    if (locked < 0)
        return 0; /* it is not the name of a job */
    int result = remove_one(collecting, "scratch", path, "its process is dead");
    dray_store_unlock(engine->store, job, &lock);
    return result;
}

/* A preview's directory is named for its process. */
static int collect_preview(const struct collecting *collecting, const char *path, const char *name)
{
    long process = strtol(name + strlen(PREVIEW), NULL, 10);

    if (process <= 0)
        return 0;
    return kill((pid_t)process, 0) != 0 && errno == ESRCH
               ? remove_one(collecting, "scratch", path, "its process is dead")
               : keep_one(collecting, "scratch", path, "its process is there", 0);
}

static int collect_scratch(const struct collecting *collecting, const char *parent)
{
    DIR *listing = opendir(parent);
    int result = 0;

    for (const struct dirent *one; listing && result == 0 && (one = readdir(listing));) {
        const char *dot = strchr(one->d_name, '.');
        dray_autofree char *path = dray_format("%s/%s", parent, one->d_name);
        if (!path)
            result = DRAY_NO_MEMORY;
        else if (strncmp(one->d_name, PREVIEW, strlen(PREVIEW)) == 0)
            result = collect_preview(collecting, path, one->d_name);
        else if (dot && dot > one->d_name)
            result = collect_job(collecting, path, one->d_name, dot);
    }
    if (listing)
        (void)closedir(listing);
    return result;
}

/* ---- What sources brought */

static int collect_parts(const struct collecting *collecting, const char *folder, const char *key)
{
    DIR *listing = opendir(folder);
    int result = 0;

    for (const struct dirent *one; listing && result == 0 && (one = readdir(listing));) {
        if (strncmp(one->d_name, key, DRAY_STAGED_KEY) != 0 ||
            strncmp(one->d_name + DRAY_STAGED_KEY, ".part-", 6) != 0)
            continue;
        dray_autofree char *path = dray_format("%s/%s", folder, one->d_name);
        result = path ? remove_one(collecting, "staged", path, "who brought it is dead")
                      : DRAY_NO_MEMORY;
    }
    if (listing)
        (void)closedir(listing);
    return result;
}

/* Its lock is held alone. It goes by a name that nobody takes for it, whatever happens then. */
static int collect_tree(const struct collecting *collecting, const char *folder, const char *key,
                        const char *path)
{
    const char *why;
    int64_t until = dray_staged_needed(collecting->engine, path, &why);
    struct dray_collected collected = {.what = "staged", .path = path, .why = why, .removed = 1};
    struct dray_error error = {0};

    if (until != 0)
        return keep_one(collecting, "staged", path, why, until);
    collected.bytes = size_of(collecting, path);
    if (!collecting->dry && dray_staged_remove(folder, key, &error) != 0) {
        collected.removed = 0;
        collected.failed = 1;
        collected.why = error.message;
    }
    return tell(collecting, &collected);
}

static int collect_key(const struct collecting *collecting, const char *folder, const char *key)
{
    dray_autofree char *path = dray_format("%s/%s", folder, key);
    dray_autoclose int lock = -1;
    struct dray_error ignored = {0};
    struct stat status;

    if (!path)
        return DRAY_NO_MEMORY;
    int locked = dray_staged_lock(folder, key, LOCK_EX, !collecting->dry, &lock, &ignored);
    int there = lstat(path, &status) == 0;
    if (locked == 0)
        return there ? keep_one(collecting, "staged", path, "it is in use", 0) : 0;
    if (locked < 0)
        return 0;
    int result = collect_parts(collecting, folder, key);
    if (result == 0 && there)
        result = collect_tree(collecting, folder, key, path);
    if (!collecting->dry && lstat(path, &status) != 0)
        dray_staged_forget(folder, key);
    return result;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int is_key(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");

    return digits == DRAY_STAGED_KEY && (name[digits] == '\0' || name[digits] == '.');
}

/* Each key that something there is named by, once. */
static int collect_staged(const struct collecting *collecting, const char *folder)
{
    DIR *listing = opendir(folder);
    char **keys = NULL;
    size_t count = 0, room = 0;
    int result = 0;

    for (const struct dirent *one; listing && result == 0 && (one = readdir(listing));) {
        if (!is_key(one->d_name))
            continue;
        char *key = strndup(one->d_name, DRAY_STAGED_KEY);
        if (!key || DRAY_GROW(keys, count, room) != 0) {
            free(key);
            result = DRAY_NO_MEMORY;
        } else {
            keys[count++] = key;
        }
    }
    if (listing)
        (void)closedir(listing);
    if (count > 0)
        qsort(keys, count, sizeof(*keys), by_name);
    for (size_t i = 0; i < count; i++) {
        if (result == 0 && (i == 0 || strcmp(keys[i - 1], keys[i]) != 0))
            result = collect_key(collecting, folder, keys[i]);
    }
    for (size_t i = 0; i < count; i++)
        free(keys[i]);
    free(keys);
    return result;
}

/* ---- Locks of jobs */

/* One that is free is of a job that ended, or of one whose process is dead: who goes on with that
 * makes it anew. */
static int collect_lock(const struct collecting *collecting, const char *parent, const char *name)
{
    struct dray_engine *engine = collecting->engine;
    dray_autofree char *path = dray_format("%s/%s", parent, name);
    dray_autofree char *job = strndup(name, JOB_ID);
    struct dray_collected collected = {
        .what = "lock", .path = path, .why = "its process is dead", .removed = 1};
    int lock = -1;

    if (!path || !job)
        return DRAY_NO_MEMORY;
    if (take_job(collecting, job, &lock) != 1)
        return 0;
    dray_store_unlock(engine->store, job, &lock);
    return tell(collecting, &collected);
}

static int collect_locks(const struct collecting *collecting)
{
    dray_autofree char *parent = dray_format("%s/jobs", collecting->engine->state);
    DIR *listing = parent && collecting->engine->store ? opendir(parent) : NULL;
    int result = parent ? 0 : DRAY_NO_MEMORY;

    for (const struct dirent *one; listing && result == 0 && (one = readdir(listing));)
        if (strlen(one->d_name) > JOB_ID && strcmp(one->d_name + JOB_ID, ".lock") == 0)
            result = collect_lock(collecting, parent, one->d_name);
    if (listing)
        (void)closedir(listing);
    return result;
}

static int collect_parent(void *arg, const char *parent)
{
    dray_autofree char *folder = dray_format("%s/staged", parent);
    int result = folder ? collect_staged(arg, folder) : DRAY_NO_MEMORY;

    return result == 0 ? collect_scratch(arg, parent) : result;
}

int dray_engine_collect(struct dray_engine *engine, int dry,
                        int (*hear)(void *arg, const struct dray_collected *collected), void *arg,
                        struct dray_error *error)
{
    struct collecting collecting = {.engine = engine, .dry = dry, .tell = hear, .arg = arg};
    int result = dray_scratch_each(engine, collect_parent, &collecting);

    if (result == 0 && hear)
        result = collect_locks(&collecting);
    else if (engine->store && !dry)
        dray_store_sweep_locks(engine->store);
    return result == 0 || error->class_ == result ? result : dray_fail_memory(error);
}

void dray_scratch_sweep(struct dray_engine *engine)
{
    struct dray_error ignored = {0};

    /* What cannot be removed now is tried again next time. */
    if (dray_engine_collect(engine, 0, NULL, NULL, &ignored) != 0)
        return;
}
