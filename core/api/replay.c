/* SPDX-License-Identifier: MIT */
/*
 * replay.c - what another set of policies would have done to past jobs. Each job's own steps are
 * planned anew under the set, and previewed on the entries that its stored verdicts name: by the
 * same code that would deliver, and without the data. What a rule would have to read the data for
 * is said to be so, and not guessed.
 */
#include "core/api/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"

struct replay {
    struct dray_api *api;
    struct dray_plan_request *request;
    struct dray_error *error;
    const struct dray_plan *renewed; /* of the job at hand, under the other set */
    json_t *watched;     /* of the job at hand: what rules that only watch would have dropped */
    int lost;            /* some of that, for want of memory */
    char set_digest[65]; /* of the set, as it was read first */
    json_t *jobs;
    size_t same, changed, denied, skipped, left;
};

/* What the store knows of a target; NULL where it was not delivered by this job. */
static const struct dray_target_row *delivered(const struct dray_job_row *job,
                                               const struct dray_plan *plan, size_t push)
{
    for (size_t i = 0; i < job->target_count; i++)
        if (job->targets[i].state == DRAY_JOB_DELIVERED &&
            strcmp(job->targets[i].step, plan->steps[push].id) == 0)
            return &job->targets[i];
    return NULL;
}

/* The first push that delivered; the number of steps: none did. */
static size_t first_delivered(const struct dray_job_row *job, const struct dray_plan *plan)
{
    for (size_t i = 0; i < plan->target_count; i++)
        if (delivered(job, plan, plan->targets[i].step))
            return plan->targets[i].step;
    return plan->step_count;
}

/* ---- what would be */

/* A file that nobody else sees and that is gone when it is closed. */
static int open_scratch(const struct replay *replay, int *ret_fd)
{
    dray_autofree char *parent = dray_format("%s/scratch", replay->api->engine.state);
    dray_autofree char *path = parent ? dray_format("%s/replay-XXXXXX", parent) : NULL;

    if (!path)
        return dray_fail_memory(replay->error);
    int result = dray_make_directories(parent, 0700, replay->error);
    if (result != 0)
        return result;
    *ret_fd = mkostemp(path, O_CLOEXEC);
    if (*ret_fd < 0)
        return dray_fail_errno(replay->error, errno, "making a scratch file in %s", parent);
    if (unlink(path) != 0)
        return dray_fail_errno(replay->error, errno, "removing the scratch file %s", path);
    return 0;
}

/* Rules that only watch and would read the data. */
static void hear_undecided(struct replay *replay, const char *step)
{
    for (size_t i = 0; i < replay->renewed->step_count; i++) {
        const struct dray_step *of = &replay->renewed->steps[i];
        if ((of->mode == DRAY_MODE_ENFORCE && of->role != DRAY_STEP_GUARD) ||
            strcmp(of->id, step) != 0)
            continue;
        json_t *rule = json_pack("{s:o, s:b}", "by",
                                 json_sprintf("policy:%s/%s", of->origin.policy, of->origin.rule),
                                 "not_replayed", 1);
        replay->lost |= json_array_append_new(replay->watched, rule) != 0;
    }
}

/* What filters that only watch said. */
static void hear(void *arg, const json_t *event)
{
    struct replay *replay = arg;
    const json_t *rules = json_object_get(event, "rules");
    const char *step = json_string_value(json_object_get(event, "step"));
    size_t i;
    json_t *rule;

    if (step && json_is_true(json_object_get(event, "undecided")))
        hear_undecided(replay, step);
    json_array_foreach(rules, i, rule)
    {
        if (json_is_true(json_object_get(rule, "shadow")))
            replay->lost |= json_array_append(replay->watched, rule) != 0;
    }
}

static int preview(struct replay *replay, int list, int out)
{
    struct dray_engine *engine = &replay->api->engine;
    const struct dray_preview_request request = {.json = 1,
                                                 .kept = 1,
                                                 .dropped = 1,
                                                 .quiet = 1,
                                                 .listing = "the stored verdicts",
                                                 .listing_fd = list};
    void (*on_event)(void *, const json_t *) = engine->on_event;
    void *arg = engine->arg;

    engine->on_event = hear;
    engine->arg = replay;
    int result = dray_engine_preview(engine, replay->renewed, &request, out, replay->error);
    engine->on_event = on_event;
    engine->arg = arg;
    return result == 0 && replay->lost ? dray_fail_memory(replay->error) : result;
}

/* ---- one job */

static int add_job(struct replay *replay, const struct dray_job_row *job, const char *outcome,
                   const char *reason, json_t *targets, json_t *findings)
{
    char created[24];
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "job", job->id, "dataset",
                             job->dataset, "user", job->user, "state", dray_state_name(job->state),
                             "created", dray_time_print(job->created, created), "outcome", outcome);

    if (json && reason && json_object_set_new(json, "reason", json_string(reason)) != 0) {
        json_decref(json);
        json = NULL;
    }
    if (json && targets &&
        (json_object_set(json, "targets", targets) || json_object_set(json, "findings", findings) ||
         json_object_set(json, "watched", replay->watched))) {
        json_decref(json);
        json = NULL;
    }
    return json_array_append_new(replay->jobs, json) == 0 ? 0 : dray_fail_memory(replay->error);
}

static int skip_job(struct replay *replay, const struct dray_job_row *job, const char *reason)
{
    replay->skipped++;
    return add_job(replay, job, "not-replayed", reason, NULL, NULL);
}

/* A denial is an answer. What fails otherwise is this job's, and no reason to say nothing of the
 * others; but memory or scratch that is full, or somebody who wants to stop, ends the replay. */
static int take_failure(struct replay *replay, const struct dray_job_row *job, int result)
{
    struct dray_error why = *replay->error;

    if (result == DRAY_NO_MEMORY || result == DRAY_NO_SPACE || result == DRAY_CANCELLED)
        return result;
    *replay->error = (struct dray_error){0};
    if (result != DRAY_DENIED)
        return skip_job(replay, job, why.message);
    replay->denied++;
    return add_job(replay, job, "denied", why.message, NULL, NULL);
}

static size_t count_sources(const struct dray_plan *plan)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->step_count; i++)
        count += plan->steps[i].role == DRAY_STEP_SOURCE;
    return count;
}

static void close_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

/* The stored verdicts of one push: what cannot be read of them is a fault of the job, else it is
 * one of the store. *ret_own: which. */
static int read_past(struct replay *replay, const struct dray_job_row *job,
                     const struct dray_plan *plan, size_t push, struct dray_past *past,
                     int *ret_own)
{
    int result =
        dray_past_read(replay->api->engine.store, plan, job->id, push, past, replay->error);

    *ret_own = result == 0 || past->unusable;
    return result == 0  ? dray_fail(replay->error, DRAY_NOT_FOUND, "no verdicts are stored of it")
           : result < 0 ? result
                        : 0;
}

static int compare_target(struct replay *replay, const struct dray_job_row *job,
                          const struct dray_plan *plan, const struct dray_plan_target *target,
                          FILE *lines, json_t *targets, int *changed, int *ret_own)
{
    dray_cleanup(dray_past_free) struct dray_past past = {0};
    int result = read_past(replay, job, plan, target->step, &past, ret_own);

    if (result != 0)
        return result;
    *ret_own = 1;
    result = dray_past_judge(&past, lines, target->uri, replay->error);
    if (result == 0 &&
        json_array_append_new(targets, dray_past_compare(&past, plan->steps[target->step].id,
                                                         target->uri, changed)) != 0)
        result = dray_fail_memory(replay->error);
    return result;
}

static int compare_job(struct replay *replay, const struct dray_job_row *job,
                       const struct dray_plan *plan, FILE *lines)
{
    json_t *targets = json_array();
    int changed = 0, own = 0;
    int result = targets ? 0 : dray_fail_memory(replay->error);

    for (size_t i = 0; result == 0 && i < plan->target_count; i++)
        if (delivered(job, plan, plan->targets[i].step))
            result = compare_target(replay, job, plan, &plan->targets[i], lines, targets, &changed,
                                    &own);
    if (result == 0) {
        replay->changed += (size_t)changed;
        replay->same += (size_t)!changed;
        result = add_job(replay, job, changed ? "changes" : "same", NULL, targets,
                         replay->renewed->findings);
    } else if (own) {
        result = take_failure(replay, job, result);
    }
    json_decref(targets);
    return result;
}

/* The list of the entries is written before anything else is kept of them: there may be many. */
static int list_past(struct replay *replay, const struct dray_job_row *job,
                     const struct dray_plan *plan, int list, int *ret_own)
{
    dray_cleanup(dray_past_free) struct dray_past past = {0};
    int result = read_past(replay, job, plan, first_delivered(job, plan), &past, ret_own);

    if (result != 0)
        return result;
    *ret_own = 0;
    /* A link that is kept leads where it will. What would be copied in its place is not known. */
    return dray_past_write(&past, strcmp(plan->symlinks, "keep") == 0, list, replay->error);
}

static int replay_renewed(struct replay *replay, const struct dray_job_row *job,
                          const struct dray_plan *plan)
{
    dray_cleanup(close_file) FILE *lines = NULL;
    dray_autoclose int list = -1;
    dray_autoclose int out = -1;
    int own = 0;
    int result = open_scratch(replay, &list);

    if (result == 0)
        result = open_scratch(replay, &out);
    if (result == 0)
        result = list_past(replay, job, plan, list, &own);
    if (result != 0)
        return own ? take_failure(replay, job, result) : result;
    result = preview(replay, list, out);
    if (result != 0)
        return take_failure(replay, job, result);
    lines = fdopen(out, "r");
    if (!lines)
        return dray_fail_errno(replay->error, errno, "reading a preview from scratch");
    out = -1;
    return compare_job(replay, job, plan, lines);
}

/* The digest of the set as its files are now; "" where they are no set. */
static int read_digest(const struct replay *replay, char digest[65])
{
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics diagnostics = {0};
    struct dray_plan_request request = *replay->request;
    struct dray_error error = {0};
    json_t *set = NULL;

    request.policy_history = (struct dray_policy_history){0};
    int result = dray_policy_set_json(&request, &diagnostics, &set, &error);
    const char *text = json_string_value(json_object_get(set, "set"));
    (void)snprintf(digest, 65, "%s", text ? text : "");
    json_decref(set);
    if (result != DRAY_NO_MEMORY && result != DRAY_CANCELLED)
        return 0;
    *replay->error = error;
    return result;
}

/* Each job is planned under the set as its files are then: they must stay as they are. */
static int check_set(struct replay *replay, const char *digest)
{
    if (strcmp(replay->set_digest, digest) == 0)
        return 0;
    *replay->error = (struct dray_error){0};
    (void)dray_fail(replay->error, DRAY_CHANGED,
                    "the policies were changed while jobs were replayed");
    dray_hint(replay->error, "run the same command again");
    return DRAY_CHANGED;
}

/* Under which set a job is denied, no plan says. */
static int take_denial(struct replay *replay, const struct dray_job_row *job, int denied)
{
    struct dray_error why = *replay->error;
    char digest[65];
    int result = read_digest(replay, digest);

    if (result == 0)
        result = check_set(replay, digest);
    if (result != 0)
        return result;
    *replay->error = why;
    return take_failure(replay, job, denied);
}

static int replay_plan(struct replay *replay, const struct dray_job_row *job,
                       const struct dray_plan *plan)
{
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_plan_freep) struct dray_plan *renewed = NULL;

    if (first_delivered(job, plan) == plan->step_count)
        return skip_job(replay, job, "nothing of it was delivered");
    if (count_sources(plan) != 1)
        return skip_job(replay, job, "it has several sources, and a list stands for one");
    int result = dray_plan_renew(plan, replay->request, &diagnostics, &renewed, replay->error);
    if (result != 0)
        return take_denial(replay, job, result);
    replay->renewed = renewed;
    result = check_set(replay, renewed->policy_set_digest);
    return result == 0 ? replay_renewed(replay, job, plan) : result;
}

/* 1, 0: it is of an earlier release, or a class. */
static int parse_plan(const struct dray_job_row *job, struct dray_plan **ret_plan,
                      struct dray_error *error)
{
    json_error_t fault;
    json_t *json = job->plan ? json_loads(job->plan, 0, &fault) : NULL;

    if (job->plan && !json && json_error_code(&fault) == json_error_out_of_memory)
        return dray_fail_memory(error);
    int result = dray_plan_parse(json, ret_plan, error);
    json_decref(json);
    if (result == DRAY_NO_MEMORY)
        return result;
    if (result == 0 && json_array_size((*ret_plan)->facts) > 0)
        return 1;
    *error = (struct dray_error){0};
    return 0;
}

static int replay_job(struct replay *replay, const char *id)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    int result = dray_store_job(replay->api->engine.store, id, &job, replay->error);

    if (result != 0)
        return result;
    json_decref(replay->watched);
    replay->watched = json_array();
    if (!replay->watched)
        return dray_fail_memory(replay->error);
    result = parse_plan(job, &plan, replay->error);
    if (result == 0)
        return skip_job(replay, job, "its plan is of an earlier release");
    return result < 0 ? result : replay_plan(replay, job, plan);
}

static int replay_all(struct replay *replay, const struct dray_replay_request *request)
{
    struct dray_job_row **jobs = NULL;
    size_t count = 0, done = 0;
    int result = dray_store_jobs(replay->api->engine.store, NULL, request->dataset, request->user,
                                 request->since, SIZE_MAX, &jobs, &count, replay->error);

    for (size_t i = 0; i < count; i++) {
        int wanted = request->until == 0 || jobs[i]->created < request->until;
        if (wanted && request->limit > 0 && done == request->limit)
            replay->left++;
        else if (wanted && result == 0) {
            result = replay_job(replay, jobs[i]->id);
            done++;
        }
        dray_job_row_free(jobs[i]);
    }
    free(jobs);
    return result;
}

int dray_api_policy_replay(struct dray_api *api, const struct dray_replay_request *wanted,
                           struct dray_diagnostics *diagnostics, json_t **ret_answer,
                           struct dray_error *error)
{
    dray_cleanup(dray_policy_paths_free) struct dray_policy_paths set = {0};
    struct dray_plan_request request;
    json_t *tests = NULL;
    int result = dray_api_plan_request(api, &request, diagnostics, error);

    if (result == 0)
        result = dray_policy_paths(wanted->paths, wanted->path_count, &set, &request, error);
    /* What is wrong with the set is said once, and not of each job. */
    if (result == 0)
        result = dray_policy_test(&request, diagnostics, &tests, error);
    if (result == 0)
        result = dray_api_store_read(api, error);
    json_decref(tests);
    struct replay replay = {.api = api, .request = &request, .error = error, .jobs = json_array()};
    if (result == 0)
        result = read_digest(&replay, replay.set_digest);
    if (result == 0)
        result = replay.jobs ? replay_all(&replay, wanted) : dray_fail_memory(error);
    if (result == 0) {
        *ret_answer =
            json_pack("{s:O, s:{s:I, s:I, s:I, s:I}, s:I}", "jobs", replay.jobs, "totals", "same",
                      (json_int_t)replay.same, "changes", (json_int_t)replay.changed, "denied",
                      (json_int_t)replay.denied, "not_replayed", (json_int_t)replay.skipped,
                      "left_out", (json_int_t)replay.left);
        result = *ret_answer ? 0 : dray_fail_memory(error);
    }
    json_decref(replay.watched);
    json_decref(replay.jobs);
    return result;
}
