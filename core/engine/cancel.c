/* SPDX-License-Identifier: MIT */
/* cancel.c - the end of a job that somebody wants, or whose engine is dead. */
#include <poll.h>
#include <string.h>

#include "core/base/text.h"
#include "core/engine/deliver.h"

/* How often is looked for a wish to cancel, ns, and for the end that it brings, ms. */
#define LOOK  INT64_C(200000000)
#define AWAIT 100

void dray_cancel_look_now(struct dray_engine *engine)
{
    if (!engine->job || engine->interrupted)
        return;
    engine->looked = dray_monotonic();
    if (dray_store_cancel_asked(engine->store, engine->job, &engine->cancelled_by))
        engine->interrupted = 1;
}

void dray_cancel_look(struct dray_engine *engine)
{
    if (engine->job && dray_monotonic() - engine->looked > LOOK)
        dray_cancel_look_now(engine);
}

/* ---- A job without an engine ---- */

int dray_job_bury(struct dray_engine *engine, const char *id, enum dray_state state,
                  const char *reason, struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    int result = dray_store_job(engine->store, id, &job, error);
    json_t *json = result == 0 && job->plan ? json_loads(job->plan, 0, NULL) : NULL;

    if (result != 0 || dray_state_is_final(job->state)) {
        json_decref(json);
        return result;
    }
    uint32_t number = job->attempt_count ? job->attempts[job->attempt_count - 1].number : 0;
    result = dray_plan_parse(json, &plan, error);
    json_decref(json);
    if (result != 0)
        return result;
    dray_autofree uint8_t *skip = calloc(plan->target_count + 1, 1);
    if (!skip)
        return dray_fail_memory(error);
    int open = 0;
    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_target_row *row = dray_row_of_key(job, plan->targets[i].request_key);
        skip[i] = !row || row->state == DRAY_JOB_DELIVERED;
        open |= row && row->state == DRAY_COMMITTING;
    }
    result = open ? dray_settle(engine, plan, job->id, skip, error) : 0;
    if (result == 0)
        result = dray_attempt_discard(engine, plan, job->id, number, skip, 0, error);
    /* Outside of its attempts: it may have died between two. */
    if (result == 0)
        result =
            dray_store_end(engine->store, job->id, 0, "interrupted", state, reason, NULL, error);
    return result;
}

/* Its lock, once the process that has it in hand has let go: it is asked to, and once more where
 * another took the job up meanwhile. */
static int take_lock(struct dray_engine *engine, const char *job, int *ret_lock,
                     struct dray_error *error)
{
    for (;;) {
        int locked = dray_store_lock(engine->store, job, ret_lock, error);
        if (locked != 0)
            return locked < 0 ? locked : 0;
        int result = dray_store_cancel(engine->store, job, engine->actor, error);
        if (result != 0)
            return result;
        (void)poll(NULL, 0, AWAIT);
    }
}

int dray_engine_cancel(struct dray_engine *engine, const char *job, struct dray_error *error)
{
    dray_autofree char *reason = dray_format("cancelled by %s", engine->actor);
    dray_autoclose int lock = -1;
    int result = reason ? take_lock(engine, job, &lock, error) : dray_fail_memory(error);

    if (result != 0)
        return result;
    result = dray_job_bury(engine, job, DRAY_JOB_CANCELLED, reason, error);
    dray_store_unlock(engine->store, job, &lock);
    return result;
}
