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
    int result = dray_api_store_read(api, error);

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
    int result = dray_api_store_read(api, error);

    if (result == 0)
        result = dray_store_job(api->engine.store, id, &job, error);
    if (result != 0)
        return result;
    *ret_job = job_json(job, 1);
    return *ret_job ? 0 : dray_fail_memory(error);
}

/* ---- Cancelling ---- */

/* One job, which is there. *ret_job is what became of it. */
static int cancel_one(struct dray_api *api, const char *id, json_t **ret_job,
                      struct dray_error *error)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *before = NULL, *after = NULL;
    int result = dray_store_job(api->engine.store, id, &before, error);

    if (result == 0 && !dray_state_is_final(before->state))
        result = dray_engine_cancel(&api->engine, before->id, error);
    if (result == 0)
        result = dray_store_job(api->engine.store, before->id, &after, error);
    if (result != 0)
        return result;
    json_t *job = job_json(after, 0);
    int cancelled = after->state == DRAY_JOB_CANCELLED && !dray_state_is_final(before->state);
    if (!job || json_object_set_new(job, "cancelled", json_boolean(cancelled)) != 0) {
        json_decref(job);
        return dray_fail_memory(error);
    }
    *ret_job = job;
    if (after->state != DRAY_JOB_DELIVERED)
        return 0;
    dray_fail(error, DRAY_CONFLICT, "job %.8s has delivered, and a cancel undoes no delivery",
              after->id);
    return error->class_;
}

int dray_api_cancel(struct dray_api *api, const char *const *ids, size_t count, json_t **ret_jobs,
                    struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    json_t *list = json_array();
    /* Which says where scratch lies. */
    int result = dray_api_configure(api, diagnostics, error);

    if (result == 0)
        result = dray_api_store(api, error);

    for (size_t i = 0; result == 0 && i < count; i++) {
        dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
        result = dray_store_job(api->engine.store, ids[i], &job, error);
    }
    if (result != 0) {
        json_decref(list);
        return result;
    }
    for (size_t i = 0; i < count; i++) {
        struct dray_error failure = {0};
        json_t *job = NULL;
        int failed = cancel_one(api, ids[i], &job, &failure);
        if (failed != 0 && result == 0) {
            *error = failure;
            result = failed;
        }
        if (job && json_array_append_new(list, job) != 0 && result == 0)
            result = dray_fail_memory(error);
    }
    *ret_jobs = json_pack("{s:o}", "jobs", list);
    return *ret_jobs || result != 0 ? result : dray_fail_memory(error);
}

/* ---- Deliveries that answer a request ---- */

json_t *dray_found_json(const struct dray_plan *plan, const char *job)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:[], s:[]}", "job", job, "dataset", plan->dataset,
                     "state", "delivered", "already_delivered", 1, "targets", "attempts");
}

/* A target whose marker is all that is known of its delivery. */
static json_t *found_target(const struct dray_plan *plan, const struct dray_plan_target *target)
{
    const struct dray_step *step = &plan->steps[target->step];
    dray_autofree char *receipt =
        dray_format("%s/.dray/%s/receipt.json", target->uri, plan->dataset);
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "push", step->uses, "step",
                               step->id, "destination", target->uri, "state", "delivered",
                               "entries", (json_int_t)target->found_entries, "bytes",
                               (json_int_t)target->found_bytes, "request_key", target->request_key);

    set_text(object, "receipt", receipt);
    set_text(object, "delivered", target->found_time);
    set_text(object, "job", target->found_job);
    return object;
}

/* A target that another job has delivered, or that only its marker knows of. */
static json_t *other_target(struct dray_api *api, const struct dray_plan *plan,
                            const struct dray_plan_target *target)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    struct dray_error ignored = {0};

    if (dray_store_by_key(api->engine.store, target->request_key, &job, &ignored) != 0)
        return found_target(plan, target);
    for (size_t i = 0; job && i < job->target_count; i++) {
        if (strcmp(job->targets[i].request_key, target->request_key) != 0 ||
            job->targets[i].state != DRAY_JOB_DELIVERED)
            continue;
        json_t *object = target_json(job, &job->targets[i]);
        set_text(object, "job", job->id);
        return object;
    }
    return found_target(plan, target);
}

int dray_complete_targets(struct dray_api *api, const struct dray_plan *plan, json_t *job,
                          struct dray_error *error)
{
    json_t *known = json_object_get(job, "targets"), *one;
    json_t *all = json_array();
    size_t j;

    for (size_t i = 0; all && i < plan->target_count; i++) {
        const struct dray_plan_target *target = &plan->targets[i];
        json_t *found = NULL;
        json_array_foreach(known, j, one)
        {
            const char *key = json_string_value(json_object_get(one, "request_key"));
            if (key && strcmp(key, target->request_key) == 0)
                found = json_incref(one);
        }
        if (!found)
            found = other_target(api, plan, target);
        if (json_array_append_new(all, found) != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all && json_object_set_new(job, "targets", all) == 0 ? 0 : dray_fail_memory(error);
}
