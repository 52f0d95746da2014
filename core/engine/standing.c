/* SPDX-License-Identifier: MIT */
/* standing.c - what is known of a request before anything is done: what its targets hold, and what
 * the store says of it. */
#include <string.h>

#include "core/engine/deliver.h"
#include "core/run/run.h"

void dray_standing_free(struct dray_standing *standing)
{
    dray_job_row_free(standing->job);
    free(standing->delivered);
    free(standing->delivered_by);
    *standing = (struct dray_standing){0};
}

/* ---- What is at the targets now ---- */

static int set_presence(struct dray_plan_target *target, const json_t *answer,
                        struct dray_error *error)
{
    const json_t *failure = json_object_get(answer, "error");
    const json_t *presence = json_object_get(answer, "presence");
    const char *key = json_string_value(json_object_get(presence, "request_key"));
    const char *what = json_string_value(json_object_get(presence, "what"));
    const char *job = json_string_value(json_object_get(presence, "job"));
    const char *time = json_string_value(json_object_get(presence, "time"));

    if (failure) {
        dray_error_from_json(error, failure);
        return error->class_;
    }
    free(target->found_key);
    free(target->found_what);
    free(target->found_job);
    free(target->found_time);
    target->presence = (uint32_t)json_integer_value(json_object_get(presence, "state"));
    target->found_key = key ? strdup(key) : NULL;
    target->found_what = what ? strdup(what) : NULL;
    target->found_job = job ? strdup(job) : NULL;
    target->found_time = time ? strdup(time) : NULL;
    target->goes_over = dray_goes_of_json(presence);
    target->found_entries = (uint64_t)json_integer_value(json_object_get(presence, "entries"));
    target->found_bytes = (uint64_t)json_integer_value(json_object_get(presence, "bytes"));
    if ((key && !target->found_key) || (what && !target->found_what) ||
        (job && !target->found_job) || (time && !target->found_time))
        return dray_fail_memory(error);
    return 0;
}

/* Probe the targets again: time has passed since the plan was made. */
int dray_targets_refresh(struct dray_engine *engine, struct dray_plan *plan,
                         struct dray_error *error)
{
    json_t *answer = NULL;
    int result = dray_targets_probe(engine, plan, &answer, error);

    for (size_t i = 0; result == 0 && i < plan->target_count; i++)
        result = set_presence(&plan->targets[i],
                              json_array_get(json_object_get(answer, "steps"), i), error);
    json_decref(answer);
    return result;
}

const struct dray_target_row *dray_row_of_key(const struct dray_job_row *job, const char *key)
{
    for (size_t i = 0; job && i < job->target_count; i++)
        if (strcmp(job->targets[i].request_key, key) == 0)
            return &job->targets[i];
    return NULL;
}

static int occupied(const struct dray_plan_target *target, const struct dray_job_row *job,
                    int again, struct dray_error *error)
{
    const char *what = target->found_what ? target->found_what : "something else";
    const struct dray_target_row *row = dray_row_of_key(job, target->request_key);

    if (target->presence == DRAY_DELIVERED && again)
        dray_fail(error, DRAY_CONFLICT, "%s holds this delivery already; nothing was written",
                  target->uri);
    else if (target->presence == DRAY_DELIVERED)
        dray_fail(error, DRAY_CONFLICT, "%s holds another delivery, of %s; nothing was written",
                  target->uri, target->found_time ? target->found_time : "an unknown time");
    else if (row && row->state == DRAY_JOB_DELIVERED)
        dray_fail(error, DRAY_CONFLICT,
                  "%s was delivered by job %.8s, but is now %s; nothing was written", target->uri,
                  job->id, what);
    else
        dray_fail(error, DRAY_CONFLICT, "%s exists: %s; nothing was written", target->uri, what);
    dray_hint(error, "move away what is there, or deliver to another place\n"
                     "to put a dataset into a directory: --to DIRECTORY/, in a workflow into:");
    if (target->presence == DRAY_OCCUPIED && target->target_type == DRAY_TARGET_HPFS &&
        strncmp(what, "a directory with", 16) == 0)
        dray_hint(error, "move away what is there, or deliver to another place\n"
                         "to put a dataset into a directory: --to DIRECTORY/, in a workflow into:\n"
                         "to add to what is there, in a workflow:  existing: merge");
    if (target->presence == DRAY_OCCUPIED && row && row->state == DRAY_JOB_DELIVERED)
        dray_hint(error,
                  "to see what was changed:  dray verify '%s'\n"
                  "move it away, or deliver to another place",
                  target->uri);
    if (target->presence == DRAY_DELIVERED && target->target_type == DRAY_TARGET_HPFS)
        dray_hint(error, "to put this delivery in its place, in a workflow:  existing: replace");
    error->side = DRAY_SIDE_TARGET;
    return error->class_;
}

static int holds_request(const struct dray_plan_target *target)
{
    return target->presence == DRAY_DELIVERED && target->found_key &&
           strcmp(target->found_key, target->request_key) == 0;
}

int dray_targets_free(const struct dray_plan *plan, struct dray_error *error)
{
    for (size_t i = 0; i < plan->target_count; i++)
        if (plan->targets[i].presence != DRAY_ABSENT && !plan->targets[i].goes_over &&
            !holds_request(&plan->targets[i]))
            return occupied(&plan->targets[i], NULL, 0, error);
    return 0;
}

static int mark_delivered(struct dray_standing *standing, size_t target, const char *job,
                          struct dray_error *error)
{
    standing->delivered[target] = 1;
    standing->delivered_count++;
    if (!standing->delivered_by && job) {
        standing->delivered_by = strdup(job);
        if (!standing->delivered_by)
            return dray_fail_memory(error);
    }
    return 0;
}

/* ---- What was left beside them ---- */

void dray_left_tell(void *arg, const char *message)
{
    const struct dray_left *left = arg;

    dray_event_send(left->engine, left->job ? left->job : "", 0,
                    json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step", left->step,
                              "level", DRAY_LOG_WARN, "what", "left alone", "fields", "message",
                              message));
}

int dray_settle_merge(struct dray_engine *engine, const struct dray_plan *plan, size_t target,
                      const char *job, struct dray_error *error)
{
    struct dray_left left = {engine, job, plan->steps[plan->targets[target].step].id};
    const struct dray_teller teller = {dray_left_tell, &left};

    return dray_staging_settle(&plan->targets[target], engine->destinations, &teller, error);
}

/* Nothing of it is known here any more. */
static void name_left(struct dray_engine *engine, const struct dray_plan *plan, size_t target,
                      const char *job)
{
    struct dray_left left = {engine, job, plan->steps[plan->targets[target].step].id};
    const struct dray_teller teller = {dray_left_tell, &left};
    struct dray_error why = {0};

    if (dray_staging_name_left(&plan->targets[target], engine->destinations, &teller, &why) != 0)
        dray_left_tell(&left, why.message);
}

/* Remove what the delivery of this job took the place of, and what its attempts left: it is a
 * delivery also where that cannot be. */
static void clean_behind(struct dray_engine *engine, const struct dray_plan *plan, size_t target,
                         const struct dray_job_row *job)
{
    struct dray_left left = {engine, job->id, plan->steps[plan->targets[target].step].id};
    dray_autofree uint8_t *skip = malloc(plan->target_count + 1);
    struct dray_error why = {0};
    uint32_t number = job->attempt_count ? job->attempts[job->attempt_count - 1].number : 0;

    if (!skip) {
        dray_left_tell(&left, "out of memory");
        return;
    }
    memset(skip, 1, plan->target_count + 1);
    skip[target] = 0;
    if (dray_attempt_discard(engine, plan, job->id, number, skip, 1, &why) != 0)
        dray_left_tell(&left, why.message);
}

/* Who recorded it may have died while it removed what it replaced. */
static void clean_up_again(struct dray_engine *engine, const struct dray_plan *plan, size_t target,
                           const struct dray_job_row *job)
{
    dray_autofree char *directory = dray_made_directory(engine);
    dray_autofree char *file =
        directory ? dray_format("%s/%s", directory, plan->targets[target].request_key) : NULL;

    if (file && access(file, F_OK) == 0)
        clean_behind(engine, plan, target, job);
}

/* A target that has what was asked for, though the store does not know that its commit succeeded.
 * What it replaced may still be beside it. */
static int record_found(struct dray_engine *engine, const struct dray_plan *plan, size_t target,
                        const struct dray_job_row *job, const struct dray_target_row *row,
                        struct dray_error *error)
{
    struct dray_target_row found = {.step = row->step,
                                    .push = row->push,
                                    .destination = row->destination,
                                    .request_key = row->request_key,
                                    .state = DRAY_JOB_DELIVERED,
                                    .entries = row->entries,
                                    .bytes = row->bytes};

    if (row->state != DRAY_COMMITTING)
        return 0;
    clean_behind(engine, plan, target, job);
    return dray_store_target(engine->store, job->id, &found, error);
}

/* With --again, what is replaced may have the same request key. */
static int is_by(const json_t *presence, const struct dray_job_row *job)
{
    const char *by = json_string_value(json_object_get(presence, "job"));

    return !by || strcmp(by, job->id) == 0;
}

int dray_settle(struct dray_engine *engine, const struct dray_plan *plan, const char *id,
                uint8_t *delivered, struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    json_t *answer = NULL;
    int result = dray_store_job(engine->store, id, &job, error);

    for (size_t i = 0; result == 0 && i < plan->target_count; i++) {
        const struct dray_target_row *row = dray_row_of_key(job, plan->targets[i].request_key);
        int settled = row && row->state == DRAY_COMMITTING
                          ? dray_settle_merge(engine, plan, i, id, error)
                          : 0;
        result = settled < 0 ? settled : 0;
    }
    if (result == 0)
        result = dray_targets_probe(engine, plan, &answer, error);
    for (size_t i = 0; result == 0 && i < plan->target_count; i++) {
        const struct dray_target_row *row = dray_row_of_key(job, plan->targets[i].request_key);
        const json_t *presence =
            json_object_get(json_array_get(json_object_get(answer, "steps"), i), "presence");
        const char *key = json_string_value(json_object_get(presence, "request_key"));
        if (!row || row->state != DRAY_COMMITTING)
            continue;
        if (!presence)
            result = dray_fail(error, DRAY_TEMPORARY, "%s does not say what it holds",
                               plan->targets[i].uri);
        else if (json_integer_value(json_object_get(presence, "state")) == DRAY_DELIVERED && key &&
                 strcmp(key, row->request_key) == 0 && is_by(presence, job)) {
            result = record_found(engine, plan, i, job, row, error);
            delivered[i] = result == 0;
        }
    }
    json_decref(answer);
    return result;
}

static int is_at_work(struct dray_engine *engine, const char *id, int *ret_busy,
                      struct dray_error *error)
{
    dray_autoclose int lock = -1;
    int locked = dray_store_lock(engine->store, id, &lock, error);

    *ret_busy = locked == 0;
    return locked < 0 ? locked : 0;
}

/* The target has what this job is for: record it, unless its engine is at it just now. One that
 * never came to its commit did not deliver it (another state directory's did), and nothing is left
 * for it to do. */
static int settle_found(struct dray_engine *engine, const struct dray_plan *plan, size_t target,
                        const char *id, int *ret_busy, struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    int lock = -1, locked = dray_store_lock(engine->store, id, &lock, error);

    *ret_busy = locked == 0;
    if (locked <= 0)
        return locked;
    int result = dray_store_job(engine->store, id, &job, error);
    const struct dray_target_row *row = dray_row_of_key(job, plan->targets[target].request_key);
    if (result == 0 && row)
        result = record_found(engine, plan, target, job, row, error);
    if (result == 0 && row && row->state != DRAY_COMMITTING && job->target_count == 1)
        result = dray_job_bury(engine, id, DRAY_FAILED,
                               "interrupted, and another job delivered what it was for", error);
    dray_store_unlock(engine->store, id, &lock);
    return result;
}

static int look_at_target(struct dray_engine *engine, const struct dray_plan *plan, size_t index,
                          int again, struct dray_standing *standing, struct dray_error *error)
{
    const struct dray_plan_target *target = &plan->targets[index];
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    int result = dray_store_by_key(engine->store, target->request_key, &job, error);
    const struct dray_target_row *row = dray_row_of_key(job, target->request_key);
    int there = holds_request(target);

    if (result != 0)
        return result;
    if (!again && there) {
        int busy = 0;
        if (row && !dray_state_is_final(row->state))
            result = settle_found(engine, plan, index, job->id, &busy, error);
        else if (!row) /* lost, and with it what was left */
            name_left(engine, plan, index, target->found_job);
        else if (row->state == DRAY_JOB_DELIVERED)
            clean_up_again(engine, plan, index, job);
        if (busy) {
            if (!standing->job)
                standing->job = DRAY_TAKE(job);
            return 0;
        }
        int ours = row && (row->state == DRAY_COMMITTING || row->state == DRAY_JOB_DELIVERED);
        return result != 0
                   ? result
                   : mark_delivered(standing, index, ours ? job->id : target->found_job, error);
    }
    if (target->presence != DRAY_ABSENT && !target->goes_over) {
        int busy = 0;
        /* What is there may be what its engine has put together so far. */
        if (!again && row && !dray_state_is_final(row->state) && !standing->job)
            result = is_at_work(engine, job->id, &busy, error);
        if (busy)
            standing->job = DRAY_TAKE(job);
        if (result != 0 || busy)
            return result;
        /* Nobody is to be told to move away what somebody else is writing. */
        return dray_settle_merge(engine, plan, index, NULL, error) == DRAY_TEMPORARY
                   ? DRAY_TEMPORARY
                   : occupied(target, job, again, error);
    }
    /* What is there was looked at, and is not it: that counts for more than what we remember, and
     * it is delivered again. */
    if (!again && row && row->state == DRAY_JOB_DELIVERED && target->presence == DRAY_ABSENT) {
        standing->gone = 1;
        return mark_delivered(standing, index, job->id, error);
    }
    if (!again && job && !standing->job && job->state != DRAY_JOB_CANCELLED &&
        job->state != DRAY_JOB_DELIVERED)
        standing->job = DRAY_TAKE(job);
    return 0;
}

/* Is this job for just what is still to be delivered, so that an attempt of it does what was asked?
 */
static int same_targets(const struct dray_job_row *job, const struct dray_plan *plan,
                        const uint8_t *delivered)
{
    size_t common = 0;

    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_target_row *row = dray_row_of_key(job, plan->targets[i].request_key);
        /* What another job delivered would stay open in this one. */
        if (row ? delivered[i] && row->state != DRAY_JOB_DELIVERED : !delivered[i])
            return 0;
        common += row ? 1 : 0;
    }
    return common == job->target_count;
}

int dray_standing_look(struct dray_engine *engine, const struct dray_plan *plan, int again,
                       struct dray_standing *standing, struct dray_error *error)
{
    int result = 0;

    dray_standing_free(standing);
    standing->delivered = calloc(plan->target_count + 1, 1);
    if (!standing->delivered)
        return dray_fail_memory(error);
    for (size_t i = 0; result == 0 && i < plan->target_count; i++)
        result = look_at_target(engine, plan, i, again, standing, error);
    /* Meanwhile one of its targets may have been recorded as delivered. */
    if (result == 0 && standing->job) {
        dray_autofree char *id = DRAY_TAKE(standing->job->id);
        dray_job_row_free(standing->job);
        standing->job = NULL;
        result = dray_store_job(engine->store, id, &standing->job, error);
    }
    if (standing->job && !same_targets(standing->job, plan, standing->delivered)) {
        dray_job_row_free(standing->job);
        standing->job = NULL;
    }
    return result;
}
