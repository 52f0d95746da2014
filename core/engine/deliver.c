/* SPDX-License-Identifier: MIT */
/* deliver.c - a request from what is known of it already to its outcome: answered by an earlier
 * delivery, taken up again, or new. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/engine/deliver.h"
#include "core/run/run.h"

/* How often a lock that another process holds is looked at, ms. */
#define LOCK_TICK 300

void dray_outcome_free(struct dray_outcome *outcome)
{
    free(outcome->job);
    *outcome = (struct dray_outcome){0};
}

/* ---- Waiting ---- */

int dray_engine_sleep(struct dray_engine *engine, int64_t ms)
{
    for (int64_t left = ms; left > 0 && !engine->interrupted; left -= LOCK_TICK) {
        struct pollfd ready = {.fd = engine->interrupt_fd, .events = POLLIN};
        if (poll(&ready, 1, (int)(left < LOCK_TICK ? left : LOCK_TICK)) > 0)
            engine->interrupted = 1;
        dray_cancel_look(engine);
    }
    return !engine->interrupted;
}

/* The lock of a job: 1 with *ret_fd when it is ours, also after another process let go of it
 * (*ret_waited). */
static int lock_job(struct dray_engine *engine, const char *job, const char *uri, int *ret_fd,
                    int *ret_waited, struct dray_error *error)
{
    *ret_waited = 0;
    for (;;) {
        int locked = dray_store_lock(engine->store, job, ret_fd, error);
        if (locked != 0)
            return locked;
        if (!*ret_waited)
            dray_event_send(engine, job, 0,
                            json_pack("{s:s, s:s}", "event", "waiting", "for", uri));
        *ret_waited = 1;
        if (!dray_engine_sleep(engine, LOCK_TICK))
            return dray_fail(error, DRAY_CANCELLED, "interrupted while waiting for job %.8s", job);
    }
}

/* ---- A new job ---- */

/* It is for what is still to be delivered: an earlier job has the rest. `delivered` NULL: for all
 * of the plan. */
static int fill_job(const struct dray_engine *engine, const struct dray_plan *plan,
                    const char *workflow_file, const uint8_t *delivered, struct dray_job_row *job,
                    struct dray_error *error)
{
    json_t *json = dray_plan_json(plan);

    job->dataset = strdup(plan->dataset);
    job->dataset_id = strdup(plan->dataset_id);
    job->workflow = strdup(plan->workflow ? plan->workflow : "");
    job->workflow_file = workflow_file ? strdup(workflow_file) : NULL;
    job->plan = json ? json_dumps(json, JSON_COMPACT) : NULL;
    job->plan_digest = strdup(plan->digest);
    job->user = strdup(engine->user);
    job->actor = strdup(engine->actor);
    job->targets = calloc(plan->target_count + 1, sizeof(*job->targets));
    json_decref(json);
    int complete = job->dataset && job->dataset_id && job->workflow && job->plan &&
                   job->plan_digest && job->user && job->actor && job->targets;
    for (size_t i = 0; complete && i < plan->target_count; i++) {
        const struct dray_plan_target *target = &plan->targets[i];
        if (delivered && delivered[i])
            continue;
        struct dray_target_row *row = &job->targets[job->target_count++];
        row->step = strdup(plan->steps[target->step].id);
        row->push = strdup(plan->steps[target->step].uses);
        row->destination = strdup(target->uri);
        row->request_key = strdup(target->request_key);
        complete = row->step && row->push && row->destination && row->request_key;
    }
    return complete ? 0 : dray_fail_memory(error);
}

/* The plan's policies rule now. */
static int add_policies(struct dray_engine *engine, const struct dray_plan *plan,
                        struct dray_error *error)
{
    dray_autofree struct dray_policy_row *rows = calloc(plan->policy_count + 1, sizeof(*rows));

    if (!rows)
        return dray_fail_memory(error);
    for (size_t i = 0; i < plan->policy_count; i++) {
        const struct dray_plan_policy *policy = &plan->policies[i];
        if (!policy->text)
            return dray_fail(error, DRAY_BUG, "the text of policy %s is not known", policy->policy);
        rows[i] = (struct dray_policy_row){.directory = policy->directory,
                                           .file = policy->file,
                                           .policy = policy->policy,
                                           .revision = policy->revision,
                                           .digest = policy->digest,
                                           .text = policy->text};
    }
    return dray_store_policies_add(engine->store, plan->policy_set_digest, rows, plan->policy_count,
                                   error);
}

/* Store a new job and lock it in one transaction, so that nobody sees it without its lock.
 * DRAY_CONFLICT with *ret_other: another job holds a destination. */
static int add_job(struct dray_engine *engine, const struct dray_plan *plan,
                   const char *workflow_file, struct dray_standing *standing, int *ret_lock,
                   char **ret_other, struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = calloc(1, sizeof(*job));
    int result = job ? fill_job(engine, plan, workflow_file, standing->delivered, job, error)
                     : dray_fail_memory(error);

    if (result == 0)
        result = dray_store_begin(engine->store, error);
    if (result != 0)
        return result;
    result = dray_store_add(engine->store, job, ret_other, error);
    if (result == 0)
        result = add_policies(engine, plan, error);
    if (result == 0)
        result = dray_store_lock(engine->store, job->id, ret_lock, error);
    if (result == 0)
        result = dray_fail(error, DRAY_BUG, "a new job's lock is held by somebody");
    else if (result == 1)
        result = 0;
    if (result == 0)
        result = dray_store_commit(engine->store, error);
    else
        dray_store_rollback(engine->store);
    if (result == 0)
        standing->job = DRAY_TAKE(job);
    return result;
}

/* ---- A job that is taken up ---- */

/* Its lock is held: 1 when it went on since it was looked at; DRAY_CONFLICT with *ret_other when
 * another job has a destination of it now. */
static int check_job(struct dray_engine *engine, const struct dray_job_row *job, char **ret_other,
                     struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *now = NULL;
    int result = dray_store_job(engine->store, job->id, &now, error);

    if (result == 0 && now->updated != job->updated)
        return 1;
    for (size_t i = 0; result == 0 && i < job->target_count; i++)
        if (job->targets[i].state != DRAY_JOB_DELIVERED)
            result = dray_store_check_free(engine->store, job->id, job->targets[i].destination,
                                           ret_other, error);
    return result;
}

/* Merges that were begun in a target are brought to their end first: it may hold the delivery then,
 * also where nobody knows of it any more. One that another process is at work on, or
 * that is somebody else's, is in the way as anything else is. */
static int settle_merges(struct dray_engine *engine, struct dray_plan *plan,
                         struct dray_error *error)
{
    int any = 0;

    for (size_t i = 0; i < plan->target_count; i++) {
        struct dray_error why = {0};
        if (plan->targets[i].presence == DRAY_ABSENT)
            continue;
        int one = dray_settle_merge(engine, plan, i, NULL, &why);
        if (one < 0 && one != DRAY_TEMPORARY && one != DRAY_DENIED) {
            *error = why;
            return one;
        }
        any |= one > 0;
    }
    return any ? dray_targets_refresh(engine, plan, error) : 0;
}

/* Merges of this job that leave was given for, and whose end nobody told, before it is tried again:
 * 1 where there was one. One whose runner is still at it may yet deliver, so the job stays as it
 * is. */
static int settle_own_merges(struct dray_engine *engine, const struct dray_plan *plan,
                             const struct dray_job_row *job, struct dray_error *error)
{
    int any = 0;

    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_target_row *row = dray_row_of_key(job, plan->targets[i].request_key);
        int one = row && row->state == DRAY_COMMITTING
                      ? dray_settle_merge(engine, plan, i, job->id, error)
                      : 0;
        if (one < 0)
            return one;
        any |= one > 0;
    }
    return any;
}

/* From now on it is what this plan says, in one transaction with the policies of that: the ids of
 * its steps and its policies may be others than when it was last tried. */
static int renew_job(struct dray_engine *engine, const struct dray_plan *plan,
                     const char *workflow_file, const char *id, struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = calloc(1, sizeof(*job));
    int result =
        job ? fill_job(engine, plan, workflow_file, NULL, job, error) : dray_fail_memory(error);

    if (result == 0 && !(job->id = strdup(id)))
        result = dray_fail_memory(error);
    if (result == 0)
        result = dray_store_begin(engine->store, error);
    if (result != 0)
        return result;
    result = dray_store_take_up(engine->store, job, error);
    if (result == 0)
        result = add_policies(engine, plan, error);
    if (result == 0)
        result = dray_store_commit(engine->store, error);
    else
        dray_store_rollback(engine->store);
    return result;
}

/* ---- Attempts ---- */

static int all_delivered(const struct dray_attempt *attempt)
{
    for (size_t i = 0; i < attempt->plan->target_count; i++)
        if (!attempt->delivered[i] && !attempt->skip[i])
            return 0;
    return 1;
}

static size_t count_delivered(const struct dray_attempt *attempt)
{
    size_t count = 0;

    for (size_t i = 0; i < attempt->plan->target_count; i++)
        count += attempt->delivered[i] || attempt->skip[i];
    return count;
}

/* What a push says that asks to be called again; NULL: none does. */
static const struct dray_error *waiting_reason(const struct dray_attempt *attempt)
{
    for (size_t i = 0; i < attempt->plan->step_count; i++)
        if (attempt->failures[i].class_ == DRAY_LATER)
            return &attempt->failures[i];
    return NULL;
}

/* What is said of a job that was not delivered. One that waits goes on, whatever else failed. */
static const struct dray_error *reason_of(const struct dray_attempt *attempt)
{
    if (attempt->engine->interrupted)
        return &attempt->error;
    if (waiting_reason(attempt))
        return waiting_reason(attempt);
    return attempt->lasting.class_ != 0 ? &attempt->lasting : &attempt->error;
}

/* Of several targets some may be there. NULL: no memory. */
static char *reason_text(const struct dray_attempt *attempt, const struct dray_error *why)
{
    size_t all = attempt->plan->target_count, done = count_delivered(attempt);

    return all > 1 ? dray_format("%zu of %zu delivered; %s%s%s", done, all, why->where,
                                 why->where[0] ? ": " : "", why->message)
                   : strdup(why->message);
}

/* Why it ended is who cancelled it, not which step was first to hear of it. attempt->number is 0
 * between two attempts. */
static int end_cancelled(struct dray_attempt *attempt, enum dray_state state, const char *outcome,
                         struct dray_error *error)
{
    struct dray_engine *engine = attempt->engine;
    struct dray_error why = {0};

    (void)dray_fail(&why, DRAY_CANCELLED, "cancelled by %s", engine->cancelled_by);
    dray_autofree char *reason = reason_text(attempt, &why);
    return reason ? dray_store_end(engine->store, attempt->job, attempt->number, outcome, state,
                                   reason, NULL, error)
                  : dray_fail_memory(error);
}

/* Somebody does not want to wait for the next attempt. */
static int end_between(struct dray_attempt *attempt, struct dray_error *error)
{
    if (!attempt->engine->cancelled_by)
        return dray_store_end(attempt->engine->store, attempt->job, 0, "interrupted", DRAY_FAILED,
                              "interrupted", NULL, error);
    attempt->number = 0;
    return end_cancelled(attempt, DRAY_JOB_CANCELLED, "cancelled", error);
}

static int end_attempt(struct dray_attempt *attempt, int retry, struct dray_error *error)
{
    struct dray_engine *engine = attempt->engine;
    const struct dray_error *why = retry ? &attempt->error : reason_of(attempt);
    dray_autofree char *reason = why->class_ ? reason_text(attempt, why) : NULL;
    const char *outcome = all_delivered(attempt) ? "delivered"
                          : engine->cancelled_by ? "cancelled"
                          : engine->interrupted  ? "interrupted"
                                                 : "failed";
    /* A commit that may have happened is for a later probe to settle: the job goes on. */
    int open = memchr(attempt->committing, 1, attempt->plan->target_count) != NULL;
    enum dray_state state = retry || open             ? DRAY_QUEUED
                            : engine->cancelled_by    ? DRAY_JOB_CANCELLED
                            : waiting_reason(attempt) ? DRAY_WAITING
                                                      : DRAY_FAILED;

    if (why->class_ && !reason)
        return dray_fail_memory(error);
    if (engine->cancelled_by && !all_delivered(attempt))
        return end_cancelled(attempt, state, outcome, error);
    return dray_store_end(engine->store, attempt->job, attempt->number, outcome, state, reason,
                          why->hint[0] ? why->hint : NULL, error);
}

static void attempt_reset(struct dray_attempt *attempt)
{
    for (size_t i = 0; i < attempt->plan->step_count; i++) {
        json_decref(attempt->running[i]);
        attempt->running[i] = NULL;
        attempt->told[i] = 0;
    }
    memset(attempt->committing, 0, attempt->plan->target_count);
    memset(attempt->failures, 0, attempt->plan->step_count * sizeof(*attempt->failures));
    attempt->error.class_ = 0;
    attempt->failed = NULL;
    attempt->abandoned = 0;
    attempt->settled = 0;
}

/* Say so, and wait. 0 when the user does not want to. */
static int wait_to_retry(struct dray_attempt *attempt, const struct dray_step *step, int64_t pause,
                         uint32_t tried)
{
    int64_t ms = pause / 1000000;

    if (!step)
        return 1;
    dray_event_send(attempt->engine, attempt->job, attempt->number,
                    json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "event", "retrying", "step",
                              step->id, "milliseconds", (json_int_t)ms, "try",
                              (json_int_t)tried + 1, "tries", (json_int_t)step->retry.tries,
                              "message", attempt->failures[step - attempt->plan->steps].message));
    return dray_engine_sleep(attempt->engine, ms);
}

static int attempts(struct dray_attempt *attempt, struct dray_error *error)
{
    struct dray_engine *engine = attempt->engine;

    for (uint32_t tried = 1;; tried++) {
        attempt_reset(attempt);
        int result = dray_store_attempt(engine->store, attempt->job, &attempt->number, error);
        if (result != 0)
            return result;
        result = dray_attempt_run(attempt, error);
        if (result != 0) {
            struct dray_error ignored = {0};
            attempt->error = *error;
            return end_attempt(attempt, 0, &ignored) == 0 ? result : error->class_;
        }
        const struct dray_step *step = NULL;
        int64_t pause = 0;
        int again = dray_retry_decide(attempt, tried, &step, &pause);
        dray_attempt_clean(attempt, again);
        result = end_attempt(attempt, again, error);
        if (result != 0 || !again)
            return result;
        if (!wait_to_retry(attempt, step, pause, tried)) {
            dray_attempt_clean(attempt, 0);
            return end_between(attempt, error);
        }
        result = dray_attempt_settle(attempt, error);
        if (result != 0) /* the job stays queued, for a run that can ask its targets */
            return result;
        for (size_t i = 0; i < attempt->plan->target_count; i++)
            attempt->skip[i] |= attempt->delivered[i];
    }
}

/* The last event of a job, whatever came before. */
static void tell_end(struct dray_engine *engine, const char *job, uint32_t attempt,
                     enum dray_state state)
{
    dray_event_send(engine, job, attempt,
                    json_pack("{s:s, s:s}", "event", "job-ended", "state", dray_state_name(state)));
}

static int deliver_job(struct dray_engine *engine, const struct dray_plan *plan, const char *job,
                       struct dray_standing *standing, struct dray_error *error)
{
    dray_autofree uint8_t *delivered = calloc(plan->target_count + 1, 1);
    dray_autofree uint8_t *committing = calloc(plan->target_count + 1, 1);
    dray_autofree uint8_t *told = calloc(plan->step_count + 1, 1);
    dray_autofree json_t **running = calloc(plan->step_count + 1, sizeof(json_t *));
    dray_autofree struct dray_error *failures = calloc(plan->step_count + 1, sizeof(*failures));
    dray_autofree uint8_t *given_up = calloc(plan->target_count + 1, 1);
    struct dray_attempt attempt = {.engine = engine,
                                   .plan = plan,
                                   .job = job,
                                   .skip = standing->delivered,
                                   .delivered = delivered,
                                   .committing = committing,
                                   .told = told,
                                   .running = running,
                                   .failures = failures,
                                   .given_up = given_up};

    if (!delivered || !committing || !told || !running || !failures || !given_up)
        return dray_fail_memory(error);
    dray_autoclose int journal = dray_log_open(engine, job, 0, error);
    if (journal < 0)
        return journal;
    engine->journal = journal;
    engine->job = job;
    int result = attempts(&attempt, error);
    enum dray_state state = result == 0 && all_delivered(&attempt)    ? DRAY_JOB_DELIVERED
                            : result == 0 && engine->cancelled_by     ? DRAY_JOB_CANCELLED
                            : result == 0 && waiting_reason(&attempt) ? DRAY_WAITING
                                                                      : DRAY_FAILED;
    if (result == 0 && !all_delivered(&attempt)) {
        *error = *reason_of(&attempt);
        if (engine->cancelled_by)
            dray_fail(error, DRAY_CANCELLED, "job %.8s was cancelled by %s", job,
                      engine->cancelled_by);
        else if (engine->interrupted)
            dray_fail(error, DRAY_CANCELLED,
                      "interrupted; run the same command again to take it up");
        result = error->class_ != 0 ? error->class_
                                    : dray_fail(error, DRAY_BUG, "a target was not delivered");
    }
    attempt_reset(&attempt);
    tell_end(engine, job, attempt.number, state);
    engine->journal = -1;
    engine->job = NULL;
    if (engine->cancelled_by)
        engine->interrupted = 0; /* that was about this job */
    free(engine->cancelled_by);
    engine->cancelled_by = NULL;
    return result;
}

/* Have the job that delivers this, and its lock. 1: look again, since time has passed. */
static int have_job(struct dray_engine *engine, const struct dray_plan *plan,
                    const char *workflow_file, struct dray_standing *standing, int *ret_lock,
                    struct dray_error *error)
{
    dray_autofree char *other = NULL;
    int waited = 0, result;

    if (standing->job) {
        int locked =
            lock_job(engine, standing->job->id, plan->targets[0].uri, ret_lock, &waited, error);
        if (locked < 0 || waited)
            return locked;
        /* Whoever still wants that says it again. */
        dray_store_cancel_forget(engine->store, standing->job->id);
        result = check_job(engine, standing->job, &other, error);
        if (result == 0)
            result = settle_own_merges(engine, plan, standing->job, error);
        if (result == 0)
            result = renew_job(engine, plan, workflow_file, standing->job->id, error);
    } else {
        result = add_job(engine, plan, workflow_file, standing, ret_lock, &other, error);
    }
    if (result != DRAY_CONFLICT || !other)
        return result;
    dray_close_descriptor(ret_lock);
    *ret_lock = -1;
    int lock = -1, locked = lock_job(engine, other, plan->targets[0].uri, &lock, &waited, error);
    if (locked < 0)
        return locked;
    /* Its engine is dead and its request will not come again by itself: what it left is removed and
     * its target is free. */
    result = waited ? 0
                    : dray_job_bury(engine, other, DRAY_FAILED,
                                    "interrupted, and a later request took its target", error);
    dray_store_unlock(engine->store, other, &lock);
    return result != 0 ? result : 1;
}

int dray_engine_deliver(struct dray_engine *engine, struct dray_plan *plan,
                        const char *workflow_file, int again, struct dray_outcome *ret_outcome,
                        struct dray_error *error)
{
    struct dray_standing standing = {0};
    dray_autoclose int lock = -1;
    int result, fresh = 0;

    engine->anew = again ? dray_now() : 0;
    dray_scratch_sweep(engine);
    for (;; fresh = 1) {
        result = settle_merges(engine, plan, error);
        if (result != 0)
            break;
        result = dray_standing_look(engine, plan, again, &standing, error);
        if (result != 0)
            break;
        /* The plan may be older than a delivery that came since: look before calling it gone. */
        int all = standing.delivered_count == plan->target_count;
        if (all && (!standing.gone || fresh))
            break;
        if (engine->interrupted) {
            result = dray_fail(error, DRAY_CANCELLED, "interrupted");
            break;
        }
        result = all ? 1 : have_job(engine, plan, workflow_file, &standing, &lock, error);
        if (result <= 0)
            break;
        dray_close_descriptor(&lock);
        lock = -1;
        result = dray_targets_refresh(engine, plan, error);
        if (result != 0)
            break;
    }
    const char *job = standing.job ? standing.job->id : standing.delivered_by;
    ret_outcome->job = job ? strdup(job) : NULL;
    ret_outcome->already_delivered = result == 0 && standing.delivered_count == plan->target_count;
    ret_outcome->gone = standing.gone;
    if (result == 0 && !ret_outcome->already_delivered)
        result = deliver_job(engine, plan, job, &standing, error);
    else if (result == 0 && job)
        tell_end(engine, job, 0, DRAY_JOB_DELIVERED);
    if (lock >= 0 && job)
        dray_store_unlock(engine->store, job, &lock);
    dray_standing_free(&standing);
    return result;
}
