/* SPDX-License-Identifier: MIT */
/*
 * staging.c - the directory beside a file system target in which a delivery is put together. The
 * host makes it before the sandbox is entered, since the sandbox then lets a plugin write there and
 * nowhere else, and removes it after a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/merge.h"
#include "core/run/run.h"

/* ".dray-" and the first 16 digits of the request key. */
static char *prefix_of(const struct dray_plan_target *target)
{
    return dray_format(".dray-%.16s.", target->request_key);
}

/* Remove what another attempt left. Its name goes first: should that attempt live after all (one
 * that was frozen, or of another state directory), it can no longer rename what is being emptied
 * into place. */
static int take_over(const char *prefix, const char *name, int parent, struct dray_error *error)
{
    uint64_t random = 0;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return dray_fail_errno(error, errno, "asking for random bytes");
    dray_autofree char *doomed = dray_format("%sold-%016" PRIx64, prefix, random);
    if (!doomed)
        return dray_fail_memory(error);
    if (renameat(parent, name, parent, doomed) != 0)
        return errno == ENOENT ? 0 : dray_fail_errno(error, errno, "taking over %s", name);
    return dray_remove_tree(parent, doomed, error);
}

int dray_staging_sweep(const struct dray_plan_target *target, int parent, struct dray_error *error)
{
    dray_autofree char *prefix = prefix_of(target);
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
    int result = 0;

    if (!listing) {
        result = dray_fail_errno(error, errno, "listing %s", target->parent);
        dray_close_descriptor(&copy);
        return result;
    }
    if (!prefix)
        result = dray_fail_memory(error);
    for (const struct dirent *one; result == 0 && (one = readdir(listing));)
        if (strncmp(one->d_name, prefix, strlen(prefix)) == 0)
            result = take_over(prefix, one->d_name, parent, error);
    (void)closedir(listing);
    return result;
}

/* The parent as it was resolved when planning: a link that has appeared in its path since is
 * refused. */
static int open_parent(const char *path, struct dray_error *error)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_SYMLINKS};
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    if (fd < 0 && errno == ENOSYS)
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0
               ? fd
               : dray_fail_errno(error, errno, "opening the directory %s to deliver into", path);
}

int dray_staging_clean(const struct dray_plan_target *target, struct dray_error *error)
{
    if (target->target_type != DRAY_TARGET_HPFS || !target->parent || !target->name)
        return 0;
    dray_autoclose int parent = open_parent(target->parent, error);
    if (parent < 0)
        return error->class_;
    if (fsync(parent) != 0)
        return dray_fail_errno(error, errno, "making the names in %s durable", target->parent);
    if (dray_staging_settle(target, error) < 0)
        return error->class_;
    return dray_staging_sweep(target, parent, error);
}

/* What the push goes over is held from before the sandbox on. What it is by then, the push judges.
 */
static void hold_old(struct dray_step_run *step)
{
    if (step->target->goes_over && step->target->goes_over != DRAY_GOES_INTO)
        step->staging.old = openat(step->staging.parent, step->target->name,
                                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- Into a directory that is there ---- */

/* How often somebody else hears that it is in use, where locks are not known. */
#define TOUCH_EVERY (INT64_C(60) * 1000000000)

/* A holder that stays, and why. */
static void tell_left(const struct dray_step_run *step, const char *name, const char *why)
{
    dray_autofree char *message =
        dray_format("%s in %s is left alone: %s", name, step->target->uri, why);

    if (message)
        dray_run_tell(step->run, json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step",
                                           step->step->id, "level", DRAY_LOG_WARN, "what",
                                           "left alone", "fields", "message", message));
}

/* Other names in it than of holders, which are settled: 1, 0 or a class. What is left alone is told
 * where there is a step. */
static int settle_holders(const struct dray_plan_target *target, int into,
                          const struct dray_step_run *step, uint64_t *ret_settled,
                          struct dray_error *error)
{
    int copy = openat(into, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
    int result = 0, others = 0;

    if (!listing) {
        result = dray_fail_errno(error, errno, "listing %s", target->uri);
        dray_close_descriptor(&copy);
        return result;
    }
    for (const struct dirent *one; result == 0 && (one = readdir(listing));) {
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0)
            continue;
        if (!dray_merge_is_holder(one->d_name)) {
            others = 1;
            continue;
        }
        struct dray_error why = {0};
        int left = dray_merge_settle(into, one->d_name, -1, &why);
        if (left > 0 && step)
            tell_left(step, one->d_name, why.message);
        if (left < 0) {
            *error = why;
            result = left;
        }
        others |= left > 0;
        *ret_settled += left == 0;
    }
    (void)closedir(listing);
    return result != 0 ? result : others;
}

static int open_into(int parent, const struct dray_plan_target *target)
{
    return openat(parent, target->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int dray_staging_settle(const struct dray_plan_target *target, struct dray_error *error)
{
    uint64_t settled = 0;

    if (target->target_type != DRAY_TARGET_HPFS || !target->parent || !target->name)
        return 0;
    dray_autoclose int parent = open_parent(target->parent, error);
    if (parent < 0)
        return error->class_;
    dray_autoclose int into = open_into(parent, target);
    if (into < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES
                   ? 0
                   : dray_fail_errno(error, errno, "opening %s", target->uri);
    int result = settle_holders(target, into, NULL, &settled, error);
    return result < 0 ? result : settled > 0;
}

static int make_holder(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    struct dray_error why = {0};

    if (dray_merge_holder_make(staging->into, staging->name, &staging->holder, &staging->lock,
                               &why) != 0) {
        dray_fail(error, why.class_, "%s: %s", step->target->uri, why.message);
        return error->class_;
    }
    staging->directory =
        openat(staging->holder, "data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return staging->directory >= 0
               ? 0
               : dray_fail_errno(error, errno, "opening a directory in %s", step->target->uri);
}

void dray_staging_touch(struct dray_step_run *step)
{
    struct dray_staging_place *staging = &step->staging;
    int64_t now = dray_monotonic();

    if (staging->lock < 0 ||
        now - __atomic_load_n(&staging->touched, __ATOMIC_RELAXED) < TOUCH_EVERY)
        return;
    __atomic_store_n(&staging->touched, now, __ATOMIC_RELAXED);
    dray_merge_holder_touch(staging->lock);
}

static int prepare_into(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    uint64_t settled = 0;

    staging->into = open_into(staging->parent, step->target);
    if (staging->into < 0)
        return dray_fail_errno(error, errno, "opening %s to add to it", step->target->uri);
    int others = settle_holders(step->target, staging->into, step, &settled, error);
    if (others < 0 || step->run->discarding)
        return others < 0 ? others : 0;
    staging->merged = others;
    return make_holder(step, error);
}

static int prepare(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    dray_autofree char *prefix = prefix_of(step->target);

    /* Not the attempt alone: two state directories count by themselves, and the name of one must
     * not come to mean what the other makes. */
    dray_autofree char *name =
        prefix ? dray_format("%s%u-%.8s", prefix, step->run->attempt, step->run->job_id) : NULL;
    if (!name)
        return dray_fail_memory(error);
    staging->parent = open_parent(step->target->parent, error);
    if (staging->parent < 0)
        return error->class_;
    int result = dray_staging_sweep(step->target, staging->parent, error);
    if (result == 0 && step->target->goes_over == DRAY_GOES_INTO) {
        staging->name = DRAY_TAKE(name);
        return prepare_into(step, error);
    }
    if (result != 0 || step->run->discarding)
        return result;
    staging->name = DRAY_TAKE(name);
    hold_old(step);
    if (mkdirat(staging->parent, staging->name, 0700) != 0) {
        result = dray_fail_errno(error, errno, "making a directory in %s", step->target->parent);
        if (errno == EACCES || errno == EPERM || result == DRAY_DENIED)
            dray_hint(error, "ask its owner for the right to write there");
        return result;
    }
    staging->directory =
        openat(staging->parent, staging->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return staging->directory >= 0 ? 0
                                   : dray_fail_errno(error, errno, "opening %s in %s",
                                                     staging->name, step->target->parent);
}

int dray_staging_prepare(struct dray_run *run, struct dray_error *error)
{
    for (size_t i = 0; i < run->plan->step_count; i++) {
        struct dray_step_run *step = &run->steps[i];
        if (!step->target || step->target->target_type != DRAY_TARGET_HPFS ||
            !step->target->parent || !step->target->name)
            continue;
        /* One target that cannot be written must not stop the others: its push fails with this. */
        int result = prepare(step, &step->staging.error);
        if (result == DRAY_NO_MEMORY)
            return dray_fail_memory(error);
    }
    return 0;
}

/* Remove what has the staging directory's name if it is this directory: once names were exchanged
 * that may be the old delivery, or what somebody put there at that moment. */
static int remove_held(struct dray_step_run *step, int fd, struct dray_error *error)
{
    const struct dray_staging_place *staging = &step->staging;
    struct stat held, named;

    if (fstatat(staging->parent, staging->name, &named, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0
                               : dray_fail_errno(error, errno, "looking at %s in %s", staging->name,
                                                 step->target->parent);
    if (fd < 0 || fstat(fd, &held) != 0 || held.st_dev != named.st_dev ||
        held.st_ino != named.st_ino)
        return dray_fail(error, DRAY_CONFLICT, "%s in %s is something else by now", staging->name,
                         step->target->parent);
    return dray_remove_tree(staging->parent, staging->name, error);
}

int dray_staging_remove(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;

    if (staging->parent < 0 || !staging->name)
        return 0;
    if (staging->into >= 0) {
        int left = staging->holder < 0
                       ? 0
                       : dray_merge_settle(staging->into, staging->name, staging->holder, error);
        return left > 0 ? error->class_ : left;
    }
    if (step->target && step->target->goes_over == DRAY_GOES_INTO)
        return 0;
    return staging->old >= 0 ? remove_held(step, staging->directory, error)
                             : dray_remove_tree(staging->parent, staging->name, error);
}

/* What is left of a holder is no failure of what was done in it. */
int dray_staging_remove_old(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;

    if (staging->into < 0)
        return staging->old >= 0 ? remove_held(step, staging->old, error) : 0;
    struct dray_error why = {0};
    if (staging->holder >= 0 &&
        dray_merge_settle(staging->into, staging->name, staging->holder, &why) != 0)
        tell_left(step, staging->name, why.message);
    return 0;
}

/* ---- Merging ---- */

static void hear(void *arg)
{
    dray_service_progress(arg, 0, 0);
}

static int ask(void *arg)
{
    return dray_service_cancelled(arg);
}

/* What failed is undone. What cannot be, whoever comes next tries again. */
static int do_merge(struct dray_call *call, const struct dray_merge_journal *journal,
                    const struct dray_merge_watch *watch)
{
    const struct dray_staging_place *staging = &call->step->staging;
    struct dray_error also = {0}, kept = {0};
    int result = dray_merge_finish(staging->into, staging->holder, journal, 0, watch, &call->error);

    if (result == 0)
        return 0;
    if (dray_merge_undo(staging->into, staging->holder, journal, watch, &kept, &also) != 0)
        dray_hint(&call->error, "not all of it could be undone: %s; it lies in %s/%s", also.message,
                  call->step->target->uri, staging->name);
    else if (kept.class_ != 0)
        dray_hint(&call->error, "%s", kept.message);
    return result;
}

int dray_service_merge(struct dray_ctx *ctx, uint32_t conflicts)
{
    struct dray_call *call = (struct dray_call *)(void *)ctx;
    const struct dray_staging_place *staging = &call->step->staging;
    const struct dray_merge_watch watch = {hear, ask, ctx};
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal journal = {0};
    struct stat status;

    if (staging->holder < 0 || !call->step->committed)
        return dray_fail(&call->error, DRAY_BUG,
                         "plugin %s wants to merge what it may not, or nothing",
                         call->step->step->uses);
    if (fstat(staging->holder, &status) != 0)
        return dray_fail_errno(&call->error, errno, "looking at %s", staging->name);
    journal.holder = status.st_ino;
    int result = dray_merge_plan(staging->into, staging->directory, conflicts, &watch, &journal,
                                 &call->error);
    if (result == 0 && dray_service_cancelled(ctx))
        result = dray_fail(&call->error, DRAY_CANCELLED, "cancelled");
    if (result == 0)
        result = dray_merge_journal_write(staging->holder, &journal, &call->error);
    return result == 0 ? do_merge(call, &journal, &watch) : result;
}

int dray_service_staging(struct dray_ctx *ctx, struct dray_staging *ret_staging)
{
    struct dray_call *call = (struct dray_call *)(void *)ctx;
    struct dray_step_run *step = call->step;

    if (step->staging.error.class_ != 0) {
        call->error = step->staging.error;
        return call->error.class_;
    }
    if (step->staging.directory < 0)
        return dray_fail(&call->error, DRAY_NOT_FOUND, "there is no staging directory for %s",
                         step->step->uses);
    *ret_staging = (struct dray_staging){
        .size = sizeof(*ret_staging),
        .directory = step->staging.directory,
        .parent = step->staging.parent,
        .mode = step->input ? (uint32_t)(step->input->root_mode & 01777) : 0755,
        .name = step->staging.name,
        .final = step->target->name,
        .mtime = step->input ? step->input->root_mtime : 0,
        .old = step->staging.old,
        .into = step->staging.into,
        .merged = step->staging.merged ? 1 : 0,
    };
    return DRAY_OK;
}
