/* SPDX-License-Identifier: MIT */
/*
 * staging.c - the directory beside a file system target in which a delivery is put together. The
 * host makes it before the sandbox is entered, since the sandbox then lets a plugin write there and
 * nowhere else, and removes it after a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/merge.h"
#include "core/run/run.h"
#include "core/run/sweep.h"
#include "core/tree/destination.h"
#include "core/tree/proof.h"

/* What was left alone is told beside the step that found it. */
static void tell_left(void *arg, const char *message)
{
    const struct dray_step_run *step = arg;

    dray_run_tell(step->run, json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step",
                                       step->step->id, "level", DRAY_LOG_WARN, "what", "left alone",
                                       "fields", "message", message));
}

static struct dray_teller teller_of(struct dray_step_run *step)
{
    return (struct dray_teller){tell_left, step};
}

void dray_staging_leave(struct dray_step_run *step, const char *directory, const char *name,
                        const char *why)
{
    const struct dray_teller teller = teller_of(step);

    step->staging.left++;
    dray_sweep_tell(&teller, directory, name, why);
}

int dray_staging_name_left(const struct dray_plan_target *target, const json_t *roots,
                           const struct dray_teller *teller, struct dray_error *error)
{
    if (target->target_type != DRAY_TARGET_HPFS || !target->parent || !target->name)
        return 0;
    dray_autoclose int parent = dray_destination_open(roots, target->parent, error);
    return parent < 0 ? error->class_
                      : dray_sweep(target, parent, NULL, NULL, teller, NULL, NULL, error);
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

/* What is not known to be one may be removed by who knows better, but not what another user is at
 * work in, nor what was kept since it is somebody's. */
static void tell_holder(const struct dray_teller *teller, const struct dray_plan_target *target,
                        const char *name, const struct dray_error *why)
{
    if (why->class_ == DRAY_DENIED) {
        dray_sweep_tell(teller, target->uri, name, why->message);
        return;
    }
    dray_autofree char *message = dray_format("%s/%s: %s", target->uri, name, why->message);
    teller->tell(teller->arg, message ? message : why->message);
}

/* One holder: 1 when it stays, and its reason is told. */
static int settle_holder(const struct dray_plan_target *target, int into, const char *name,
                         const struct dray_teller *teller, struct dray_error *error)
{
    struct dray_error why = {0};
    int result = dray_merge_settle(into, name, NULL, &why);

    if (result > 0)
        tell_holder(teller, target, name, &why);
    else if (result < 0)
        *error = why;
    return result;
}

/* May what is in this holder be adopted? Another request's may not. */
static int is_of_use(const struct dray_plan_target *target, struct dray_staging_place *adopter,
                     int into, const char *name)
{
    return adopter && strncmp(name + strlen(".dray-"), target->request_key, 16) == 0 &&
           dray_adopt_keep_holder(adopter, into, name);
}

/* Other names in it than of holders, which are settled, or kept for `adopter` (may be NULL): their
 * number, or a class. */
static int settle_holders(const struct dray_plan_target *target, int into,
                          struct dray_staging_place *adopter, uint64_t *ret_settled,
                          const struct dray_teller *teller, struct dray_error *error)
{
    int copy = openat(into, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
    int result = 0, others = 0;

    if (!listing) {
        result = dray_fail_errno(error, errno, "listing %s", target->uri);
        dray_close_descriptor(&copy);
        return result;
    }
    while (result >= 0) {
        errno = 0;
        const struct dirent *one = readdir(listing);
        if (!one && errno != 0)
            result = dray_fail_errno(error, errno, "listing %s", target->uri);
        if (!one)
            break;
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0)
            continue;
        if (!dray_merge_is_holder(one->d_name)) {
            others = 1;
            continue;
        }
        if (is_of_use(target, adopter, into, one->d_name))
            continue;
        result = settle_holder(target, into, one->d_name, teller, error);
        others |= result > 0;
        *ret_settled += result == 0;
    }
    (void)closedir(listing);
    return result < 0 ? result : others;
}

static int open_into(int parent, const struct dray_plan_target *target)
{
    return openat(parent, target->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int dray_staging_settle(const struct dray_plan_target *target, const json_t *roots,
                        const struct dray_teller *teller, struct dray_error *error)
{
    uint64_t settled = 0;

    if (target->target_type != DRAY_TARGET_HPFS || !target->parent || !target->name)
        return 0;
    dray_autoclose int parent = dray_destination_open(roots, target->parent, error);
    if (parent < 0)
        return error->class_;
    dray_autoclose int into = open_into(parent, target);
    if (into < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES
                   ? 0
                   : dray_fail_errno(error, errno, "opening %s", target->uri);
    /* What the attempt that comes next can adopt is left to it. */
    struct dray_staging_place spared = {.kept_count = 0};
    int result = settle_holders(target, into, target->goes_over == DRAY_GOES_INTO ? &spared : NULL,
                                &settled, teller, error);
    dray_adopt_let_go(&spared);
    return result < 0 ? result : settled > 0;
}

/* How often somebody else hears that it is in use, where locks are not known. */
#define TOUCH_EVERY (INT64_C(60) * 1000000000)

static int make_holder(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    struct dray_error why = {0};

    if (dray_merge_holder_make(staging->into, staging->name, &staging->holder, &why) != 0) {
        dray_fail(error, why.class_, "%s: %s", step->target->uri, why.message);
        return error->class_;
    }
    staging->directory =
        openat(staging->holder.directory, "data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return staging->directory >= 0
               ? 0
               : dray_fail_errno(error, errno, "opening a directory in %s", step->target->uri);
}

void dray_staging_touch(struct dray_step_run *step)
{
    struct dray_staging_place *staging = &step->staging;
    int64_t now = dray_monotonic();

    if (staging->holder.lock < 0 ||
        now - __atomic_load_n(&staging->touched, __ATOMIC_RELAXED) < TOUCH_EVERY)
        return;
    __atomic_store_n(&staging->touched, now, __ATOMIC_RELAXED);
    dray_merge_holder_touch(&staging->holder);
}

static int prepare_into(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    const struct dray_teller teller = teller_of(step);
    uint64_t settled = 0;

    staging->into = open_into(staging->parent, step->target);
    if (staging->into < 0)
        return dray_fail_errno(error, errno, "opening %s to add to it", step->target->uri);
    if (!step->run->discarding &&
        dray_proof_check(step->run->whom, staging->into, step->target->uri, error) != 0)
        return error->class_;
    int others = settle_holders(step->target, staging->into, step->run->discarding ? NULL : staging,
                                &settled, &teller, error);
    if (others < 0 || step->run->discarding)
        return others < 0 ? others : 0;
    staging->merged = others;
    return make_holder(step, error);
}

/* Where the target has its new delivery, the old one is to be removed: its name there must be
 * durable before. */
static int sweep(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    struct dray_superseded *superseded = step->run->settled ? &staging->superseded : NULL;
    int adopts = !step->run->discarding && step->target->goes_over != DRAY_GOES_INTO;
    struct dray_staging_place *adopter = adopts ? staging : NULL;
    const struct dray_teller teller = teller_of(step);
    int result = dray_made_open(step->run->made, step->target->request_key, !step->run->discarding,
                                &staging->made, error);

    if (result == 0 && superseded && fsync(staging->parent) != 0)
        result =
            dray_fail_errno(error, errno, "making the names in %s durable", step->target->parent);
    if (result == 0)
        result = dray_sweep(step->target, staging->parent, &staging->made, adopter, &teller,
                            superseded, &staging->left, error);
    if (result == 0 && staging->left == 0 && staging->superseded.fd < 0 && staging->kept_count == 0)
        dray_made_forget(&staging->made);
    return result;
}

/* What cannot be noted is taken back at once: nobody could tell later who made it. */
static int make(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    int result = 0;

    if (mkdirat(staging->parent, staging->name, 0700) != 0) {
        result = dray_fail_errno(error, errno, "making a directory in %s", step->target->parent);
        if (errno == EACCES || errno == EPERM || result == DRAY_DENIED)
            dray_hint(error, "ask its owner for the right to write there");
        return result;
    }
    staging->directory =
        openat(staging->parent, staging->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (staging->directory < 0)
        return dray_fail_errno(error, errno, "opening %s in %s", staging->name,
                               step->target->parent);
    result = dray_made_note(&staging->made, staging->directory, DRAY_MADE, NULL, error);
    if (result != 0 && unlinkat(staging->parent, staging->name, AT_REMOVEDIR) != 0)
        dray_hint(error, "%s in %s is left, and empty", staging->name, step->target->parent);
    if (result != 0)
        dray_close_descriptor(&staging->directory);
    if (result != 0)
        staging->directory = -1;
    return result;
}

static int prepare(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    dray_autofree char *prefix = dray_sweep_prefix(step->target);

    /* Not the attempt alone: two state directories count by themselves, and the name of one must
     * not come to mean what the other makes. */
    dray_autofree char *name =
        prefix ? dray_format("%s%u-%.8s", prefix, step->run->attempt, step->run->job_id) : NULL;
    if (!name)
        return dray_fail_memory(error);
    staging->parent = dray_destination_open(step->run->destinations, step->target->parent, error);
    if (staging->parent < 0)
        return error->class_;
    if (step->target->goes_over != DRAY_GOES_INTO && !step->run->discarding &&
        dray_proof_check(step->run->whom, staging->parent, step->target->parent, error) != 0)
        return error->class_;
    int result = sweep(step, error);
    if (result == 0 && step->target->goes_over == DRAY_GOES_INTO) {
        staging->name = DRAY_TAKE(name);
        return prepare_into(step, error);
    }
    if (result != 0 || step->run->discarding)
        return result;
    staging->name = DRAY_TAKE(name);
    hold_old(step);
    if (staging->old >= 0 && dray_proof_check_over(step->run->whom, staging->parent, staging->old,
                                                   step->target->uri, error) != 0)
        return error->class_;
    return make(step, error);
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

/* ---- Removing ---- */

/* Remove what has the staging directory's name if it is this directory: once names were exchanged
 * that may be the old delivery, or what somebody put there at that moment. */
static int remove_named(struct dray_step_run *step, int fd, struct dray_error *error)
{
    const struct dray_staging_place *staging = &step->staging;
    struct dray_error why = {0};
    int result = dray_remove_held(staging->parent, staging->name, fd, &why);

    return result == 0 ? 0
                       : dray_fail(error, result, "%s in %s: %s", staging->name,
                                   step->target->parent, why.message);
}

/* The holder: what is left of it is no failure of what was done in it. */
static int remove_holder(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;
    int result = staging->holder.directory < 0
                     ? 0
                     : dray_merge_settle(staging->into, staging->name, &staging->holder, error);

    return result > 0 ? error->class_ : result;
}

int dray_staging_remove(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_staging_place *staging = &step->staging;

    if (staging->parent < 0 || !staging->name)
        return 0;
    dray_adopt_stop(step);
    dray_adopt_remove_kept(step);
    if (staging->into >= 0)
        return remove_holder(step, error);
    if (staging->directory < 0)
        return 0;
    int result = remove_named(step, staging->directory, error);
    if (result == 0 && staging->left == 0)
        dray_made_forget(&staging->made);
    return result;
}

/* It was found to be as it was delivered: whoever finds half of it needs not ask again. */
static int remove_old(struct dray_staging_place *staging, const char *name, int held,
                      struct dray_error *error)
{
    int result = dray_made_note(&staging->made, held, DRAY_MADE, NULL, error);

    if (result == 0)
        result = dray_remove_held(staging->parent, name, held, error);
    /* Once the delivery is recorded, nobody looks for it again. */
    if (result == 0 && fsync(staging->parent) != 0)
        result = dray_fail_errno(error, errno, "making its removal durable");
    return result;
}

void dray_staging_delivered(struct dray_step_run *step)
{
    struct dray_staging_place *staging = &step->staging;
    const struct dray_teller teller = teller_of(step);
    struct dray_error why = {0};
    int result = 0;

    if (staging->parent < 0 || !staging->name)
        return;
    if (staging->into >= 0)
        result = remove_holder(step, &why);
    else if (staging->old >= 0)
        result = remove_old(staging, staging->name, staging->old, &why);
    if (result != 0 && staging->into >= 0)
        tell_holder(&teller, step->target, staging->name, &why);
    else if (result != 0)
        dray_sweep_tell(&teller, step->target->parent, staging->name, why.message);
    /* Whatever becomes of its name, the delivery is not staging any more. */
    struct dray_error ignored = {0};
    if (result == 0 && staging->left == 0)
        dray_made_forget(&staging->made);
    else if (staging->into < 0 && dray_made_note(&staging->made, staging->directory, DRAY_MADE_KEPT,
                                                 NULL, &ignored) != 0)
        tell_left(step, ignored.message);
}

void dray_staging_settled(struct dray_step_run *step, const struct dray_error *problem)
{
    struct dray_staging_place *staging = &step->staging;
    struct dray_superseded *old = &staging->superseded;
    const struct dray_teller teller = teller_of(step);
    const char *manifest = json_string_value(json_object_get(step->superseded, "manifest_sha256"));
    struct dray_error why = *problem;

    if (old->fd < 0)
        return;
    if (why.class_ == 0 && (!manifest || strcmp(manifest, old->manifest) != 0))
        dray_fail(&why, DRAY_CONFLICT, "it is not the delivery that was replaced");
    if (why.class_ == 0 && dray_made_note(&staging->made, old->fd, DRAY_MADE, NULL, &why) == 0 &&
        dray_sweep_remove(step->target, staging->parent, &old->name, old->fd, &why) == 0) {
        if (staging->left == 0)
            dray_made_forget(&staging->made);
        return;
    }
    (void)!fchmod(old->fd, old->mode);
    dray_sweep_tell(&teller, step->target->parent, old->name, why.message);
}

int dray_service_staging(struct dray_ctx *ctx, struct dray_staging *ret_staging)
{
    struct dray_call *call = (struct dray_call *)(void *)ctx;
    struct dray_step_run *step = call->step;

    if (step->staging.error.class_ != 0) {
        call->error = step->staging.error;
        return call->error.class_;
    }
    if (step->staging.directory < 0 && !step->run->discarding)
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
        .old = step->run->discarding ? step->staging.superseded.fd : step->staging.old,
        .into = step->staging.into,
        .merged = step->staging.merged ? 1 : 0,
        .kept = step->staging.kept_count > 0,
    };
    return DRAY_OK;
}
