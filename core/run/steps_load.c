/* SPDX-License-Identifier: MIT */
/* steps_load.c - the plan's plugins loaded and an instance of each step prepared. */
#include <string.h>

#include "core/run/run.h"

static const struct dray_plan_target *target_of(const struct dray_plan *plan, size_t step)
{
    for (size_t i = 0; i < plan->target_count; i++)
        if (plan->targets[i].step == step)
            return &plan->targets[i];
    return NULL;
}

static int load_step(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_loaded *loaded = NULL;
    struct dray_call call;

    if (!step->step->file)
        return 0;
    if (step->run->bringing && strcmp(step->run->bringing, step->step->id) != 0)
        return 0;
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_LOAD);
    int result = dray_plugin_load(step->step->file, step->step->digest, &loaded, error);
    dray_blame_leave(before);
    if (result == 0)
        result = dray_instance_new(loaded, step->step->with, &step->instance, error);
    if (result != 0 || !loaded->plugin.prepare) {
        if (result == 0)
            step->instance->prepared = 1;
        return result;
    }
    dray_call_init(&call, step);
    if (step->run->preview)
        call.advice = step->advice = json_array();
    before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_PREPARE);
    result = loaded->plugin.prepare(step->instance->self, &call.ctx);
    dray_blame_leave(before);
    step->instance->prepared = result == DRAY_OK;
    return dray_call_result(&call, result, DRAY_OPERATION_PREPARE, error);
}

int dray_run_steps(struct dray_run *run, struct dray_error *error)
{
    const struct dray_plan *plan = run->plan;

    run->steps = calloc(plan->step_count + 1, sizeof(*run->steps));
    if (!run->steps)
        return dray_fail_memory(error);
    for (size_t i = 0; i < plan->step_count; i++) {
        struct dray_step_run *step = &run->steps[i];
        step->run = run;
        step->step = &plan->steps[i];
        step->index = i;
        step->target = target_of(plan, i);
        step->staging.directory = step->staging.parent = step->staging.old = -1;
        step->staging.into = -1;
        step->staging.holder = (struct dray_merge_holder){-1, -1};
        step->staging.made.fd = step->staging.superseded.fd = -1;
        step->job =
            (struct dray_job){.size = sizeof(step->job),
                              .attempt = run->attempt,
                              .id = run->job_id,
                              .dataset = plan->dataset,
                              .request_key = step->target ? step->target->request_key : NULL,
                              .user = run->user,
                              .actor = run->actor};
    }
    return 0;
}

int dray_run_prepare(struct dray_run *run, struct dray_error *error)
{
    for (size_t i = 0; i < run->plan->step_count; i++) {
        int result = load_step(&run->steps[i], error);
        if (result != 0) {
            dray_where(error, "step %s", run->plan->steps[i].id);
            return result;
        }
    }
    return 0;
}
