/* SPDX-License-Identifier: MIT */
/*
 * cost.c - what a planned delivery will cost, as far as that is known: what its sources counted,
 * what earlier jobs took, and what room there is. Nothing is looked at for it but the store.
 */
#include <stdlib.h>
#include <string.h>

#include "core/api/internal.h"
#include "core/base/text.h"

/* Of past jobs the newest: machines and networks change. */
#define MOST_JOBS 5
/* A job says nothing of one that is so many times as large: what each job takes in any case would
 * be counted as many times. */
#define MOST_TIMES 10

struct estimate {
    double staging[MOST_JOBS], pushing[MOST_JOBS]; /* seconds, one of each job */
    size_t count;
    int64_t newest;
};

/* May something be left out or made anew between sources and pushes? */
static int is_filtered(const struct dray_plan *plan)
{
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].role == DRAY_STEP_TRANSFORM ||
            (plan->steps[i].role == DRAY_STEP_FILTER && plan->steps[i].mode == DRAY_MODE_ENFORCE))
            return 1;
    return 0;
}

static int is_delivered(const struct dray_plan *plan)
{
    for (size_t i = 0; i < plan->target_count; i++)
        if (plan->targets[i].presence != DRAY_DELIVERED || !plan->targets[i].found_key ||
            strcmp(plan->targets[i].found_key, plan->targets[i].request_key) != 0)
            return 0;
    return 1;
}

/* One past job's share. How much is left of a filtered dataset is not known: as much of it as was
 * left then. */
static void add_job(struct estimate *estimate, const struct dray_plan *plan,
                    const struct dray_past_job *job)
{
    uint64_t base = is_filtered(plan) ? job->staged : job->pushed;
    double staging = (double)job->staging / 1e9, pushing = (double)job->pushing / 1e9;

    if (plan->counted) {
        if (base == 0 || job->staged == 0 || base < plan->bytes / MOST_TIMES ||
            job->staged < plan->bytes / MOST_TIMES)
            return;
        staging *= (double)plan->bytes / (double)job->staged;
        pushing *= (double)plan->bytes / (double)base;
    }
    if (estimate->count == 0)
        estimate->newest = job->ended;
    estimate->staging[estimate->count] = staging;
    estimate->pushing[estimate->count++] = pushing;
}

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;

    return (one > other) - (one < other);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

static int add_seconds(struct dray_api *api, const struct dray_plan *plan, json_t *cost,
                       struct dray_error *error)
{
    struct dray_past_job jobs[MOST_JOBS];
    struct estimate estimate = {0};
    size_t count = 0;
    int same = 0;
    char newest[24];

    if (is_delivered(plan) || (!api->engine.store && !dray_store_is_there(api->state)))
        return 0;
    int result = dray_api_store_read(api, error);
    if (result == 0)
        result = dray_store_past(api->engine.store, plan->dataset_id, plan->dataset, api->user,
                                 jobs, MOST_JOBS, &count, &same, error);
    if (result != 0)
        return result;
    /* How long another dataset took says something only by its size. */
    for (size_t i = 0; i < count && (same || plan->counted); i++)
        add_job(&estimate, plan, &jobs[i]);
    if (estimate.count == 0)
        return 0;
    json_t *seconds = json_pack(
        "{s:f, s:f, s:I, s:s, s:s}", "staging", median(estimate.staging, estimate.count), "pushing",
        median(estimate.pushing, estimate.count), "jobs", (json_int_t)estimate.count, "newest",
        dray_time_print(estimate.newest, newest), "of", same ? "dataset" : "name");
    return json_object_set_new(cost, "seconds", seconds) == 0 ? 0 : dray_fail_memory(error);
}

static int add_count(const struct dray_plan *plan, json_t *cost, struct dray_error *error)
{
    if (!plan->counted)
        return 0;
    if (json_object_set_new(cost, "entries", json_integer((json_int_t)plan->entries)) != 0 ||
        json_object_set_new(cost, "bytes", json_integer((json_int_t)plan->bytes)) != 0 ||
        json_object_set_new(cost, "before_filters", json_boolean(is_filtered(plan))) != 0)
        return dray_fail_memory(error);
    return 0;
}

/* The plan's JSON has its targets in the plan's order. */
static int add_room(const struct dray_plan *plan, json_t *json, struct dray_error *error)
{
    json_t *targets = json_object_get(json, "targets");

    for (size_t i = 0; i < plan->target_count; i++)
        if (plan->targets[i].free_known &&
            json_object_set_new(json_array_get(targets, i), "free_bytes",
                                json_integer((json_int_t)plan->targets[i].free_bytes)) != 0)
            return dray_fail_memory(error);
    return 0;
}

int dray_api_plan_json(struct dray_api *api, const struct dray_plan *plan, json_t **ret_json,
                       struct dray_error *error)
{
    json_t *json = dray_plan_json(plan);
    json_t *cost = json_object();
    int result = json && json_object_set(json, "cost", cost) == 0 ? 0 : dray_fail_memory(error);

    if (result == 0)
        result = add_count(plan, cost, error);
    if (result == 0)
        result = add_seconds(api, plan, cost, error);
    if (result == 0)
        result = add_room(plan, json, error);
    json_decref(cost);
    if (result == 0)
        *ret_json = json;
    else
        json_decref(json);
    return result;
}
