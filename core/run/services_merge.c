/* SPDX-License-Identifier: MIT */
/* services_merge.c - what was put together gets its names in the directory that is added to. */
#include <errno.h>
#include <sys/stat.h>

#include "core/run/merge.h"
#include "core/run/run.h"
#include "core/tree/proof.h"

static void hear(void *arg)
{
    dray_service_progress(arg, 0, 0);
}

static int ask(void *arg)
{
    return dray_service_cancelled(arg);
}

/* Of the directory that is added to, whose path is known, a claim counts; of those below none does.
 */
static int permits(void *arg, int folder, const char *gone)
{
    const struct dray_call *call = arg;
    const struct dray_step_run *step = call->step;
    const json_t *whom = step->run->whom;
    struct stat target, status;

    if (!whom)
        return 1;
    if (fstat(folder, &status) != 0 || fstat(step->staging.into, &target) != 0)
        return 0;
    int is_target = target.st_dev == status.st_dev && target.st_ino == status.st_ino;
    return dray_proof_of(whom, folder, is_target ? step->target->uri : NULL) &&
           (!gone || dray_proof_lets_go(whom, folder, gone));
}

/* What failed is undone. What cannot be, whoever comes next tries again. */
static int do_merge(struct dray_call *call, const struct dray_merge_journal *journal,
                    const struct dray_merge_watch *watch)
{
    const struct dray_staging_place *staging = &call->step->staging;
    struct dray_error also = {0}, kept = {0};
    int result = dray_merge_finish(staging->into, staging->holder.directory, journal, 0, watch,
                                   &call->error);

    if (result == 0)
        return 0;
    if (dray_merge_undo(staging->into, staging->holder.directory, journal, watch, &kept, &also) !=
        0)
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
    const struct dray_merge_watch watch = {hear, ask, permits, ctx};
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal journal = {0};
    struct stat status;

    if (staging->holder.directory < 0 || !call->step->committed)
        return dray_fail(&call->error, DRAY_BUG,
                         "plugin %s wants to merge what it may not, or nothing",
                         call->step->step->uses);
    if (fstat(staging->holder.directory, &status) != 0)
        return dray_fail_errno(&call->error, errno, "looking at %s", staging->name);
    journal.holder = status.st_ino;
    int result = dray_merge_plan(staging->into, staging->directory, conflicts, &watch, &journal,
                                 &call->error);
    if (result == 0 && dray_service_cancelled(ctx))
        result = dray_fail(&call->error, DRAY_CANCELLED, "cancelled");
    if (result == 0)
        result = dray_merge_journal_write(staging->holder.directory, &journal, &call->error);
    return result == 0 ? do_merge(call, &journal, &watch) : result;
}
