/* SPDX-License-Identifier: MIT */
/* jobs.c - looking at jobs. */
#include <string.h>

#include "core/api/internal.h"
#include "core/base/text.h"

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text)
        (void)json_object_set_new(object, key, json_string(text));
}

static void set_time(json_t *object, const char *key, int64_t time)
{
    char text[24];

    if (time != 0)
        set_text(object, key, dray_time_print(time, text));
}

/* Where a receipt lies beside what was delivered. */
static char *receipt_path(const struct dray_job_row *job, const struct dray_target_row *target)
{
    return dray_format("%s/.dray/%s/receipt.json", target->destination, job->dataset);
}

static json_t *target_json(const struct dray_job_row *job, const struct dray_target_row *target)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "push", target->push, "step", target->step,
                  "destination", target->destination, "state", dray_state_name(target->state),
                  "entries", (json_int_t)target->entries, "bytes", (json_int_t)target->bytes,
                  "request_key", target->request_key);

    if (!object)
        return NULL;
    if (target->state == DRAY_JOB_DELIVERED) {
        dray_autofree char *receipt = receipt_path(job, target);
        set_text(object, "receipt", receipt);
        set_text(object, "verified", "SHA-256 of every file, computed while it was delivered");
        set_time(object, "delivered", target->delivered_at);
    }
    set_text(object, "manifest_sha256", target->manifest_sha256);
    if (target->confirmation)
        (void)json_object_set(object, "confirmation", target->confirmation);
    return object;
}

static json_t *step_json(const struct dray_step_row *step)
{
    double seconds = step->ended > step->started ? (double)(step->ended - step->started) / 1e9 : 0;
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f}", "id", step->step, "uses", step->uses, "outcome",
        step->outcome, "entries_in", (json_int_t)step->entries_in, "entries_out",
        (json_int_t)step->entries_out, "bytes_in", (json_int_t)step->bytes_in, "bytes_out",
        (json_int_t)step->bytes_out, "seconds", seconds);

    if (!object)
        return NULL;
    set_text(object, "version", step->version);
    set_text(object, "reason", step->reason);
    set_text(object, "class", step->class_);
    set_text(object, "tree_digest", step->tree_digest);
    if (step->rules)
        (void)json_object_set(object, "rules", step->rules);
    return object;
}

static json_t *attempt_json(const struct dray_attempt_row *attempt)
{
    json_t *steps = json_array();
    json_t *object = json_pack("{s:i, s:s, s:o}", "number", (int)attempt->number, "outcome",
                               attempt->outcome, "steps", steps);

    for (size_t i = 0; object && i < attempt->step_count; i++)
        (void)json_array_append_new(steps, step_json(&attempt->steps[i]));
    if (object) {
        set_text(object, "reason", attempt->reason);
        set_time(object, "started", attempt->started);
        set_time(object, "ended", attempt->ended);
    }
    return object;
}

static json_t *job_json(const struct dray_job_row *job, int whole)
{
    json_t *targets = json_array(), *attempts = json_array();
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:o}", "job", job->id, "dataset", job->dataset,
                  "state", dray_state_name(job->state), "already_delivered", 0, "user", job->user,
                  "actor", job->actor, "targets", targets);

    if (!object) {
        json_decref(attempts);
        return NULL;
    }
    for (size_t i = 0; i < job->target_count; i++)
        (void)json_array_append_new(targets, target_json(job, &job->targets[i]));
    set_time(object, "created", job->created);
    set_time(object, "updated", job->updated);
    set_text(object, "reason", job->state == DRAY_JOB_DELIVERED ? NULL : job->reason);
    set_text(object, "hint", job->state == DRAY_JOB_DELIVERED ? NULL : job->hint);
    if (!whole) {
        json_decref(attempts);
        return object;
    }
    for (size_t i = 0; i < job->attempt_count; i++)
        (void)json_array_append_new(attempts, attempt_json(&job->attempts[i]));
    (void)json_object_set_new(object, "attempts", attempts);
    set_text(object, "plan", job->plan_digest);
    set_text(object, "workflow_file", job->workflow_file);
    return object;
}

int dray_api_jobs(struct dray_api *api, const struct dray_jobs_request *request, json_t **ret_jobs,
                  struct dray_error *error)
{
    struct dray_job_row **jobs = NULL;
    size_t count = 0;
    int result = dray_api_store(api, error);

    if (result == 0)
        result = dray_store_jobs(api->engine.store, request->state, request->dataset, request->user,
                                 request->since, request->limit, &jobs, &count, error);
    if (result != 0)
        return result;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        if (list)
            (void)json_array_append_new(list, job_json(jobs[i], 0));
        dray_job_row_free(jobs[i]);
    }
    free(jobs);
    *ret_jobs = list;
    return list ? 0 : dray_fail_memory(error);
}

int dray_api_show(struct dray_api *api, const char *id, json_t **ret_job, struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    int result = dray_api_store(api, error);

    if (result == 0)
        result = dray_store_job(api->engine.store, id, &job, error);
    if (result != 0)
        return result;
    *ret_job = job_json(job, 1);
    return *ret_job ? 0 : dray_fail_memory(error);
}

json_t *dray_found_json(const struct dray_plan *plan, const char *job)
{
    json_t *targets = json_array();
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b, s:o, s:[]}", "job", job, "dataset", plan->dataset, "state",
                  "delivered", "already_delivered", 1, "targets", targets, "attempts");

    for (size_t i = 0; object && i < plan->target_count; i++) {
        const struct dray_plan_target *target = &plan->targets[i];
        dray_autofree char *receipt =
            dray_format("%s/.dray/%s/receipt.json", target->uri, plan->dataset);
        json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:s}", "push", plan->steps[target->step].uses,
                                "step", plan->steps[target->step].id, "destination", target->uri,
                                "state", "delivered", "request_key", target->request_key);
        set_text(one, "receipt", receipt);
        set_text(one, "delivered", target->found_time);
        (void)json_array_append_new(targets, one);
    }
    return object;
}
