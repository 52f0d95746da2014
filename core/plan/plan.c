/* SPDX-License-Identifier: MIT */
/* plan.c - the end of a plan. */
#include "core/plan/plan.h"

#include <string.h>

static void free_step(struct dray_step *step)
{
    free(step->id);
    free(step->uses);
    free(step->file);
    free(step->digest);
    free(step->version);
    json_decref(step->with);
    json_decref(step->places);
    free(step->revision);
    free(step->needs);
    free(step->after);
    free(step->origin.file);
    free(step->origin.policy);
    free(step->origin.rule);
    free(step->origin.message);
    free(step->origin.recipe);
}

static void free_target(struct dray_plan_target *target)
{
    free(target->uri);
    free(target->host);
    free(target->path);
    free(target->parent);
    free(target->name);
    free(target->found_key);
    free(target->found_job);
    free(target->found_time);
    free(target->found_what);
    free(target->found_note);
}

static void free_policy(struct dray_plan_policy *policy)
{
    free(policy->policy);
    free(policy->file);
    free(policy->digest);
    free(policy->directory);
    free(policy->text);
}

void dray_plan_free(struct dray_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->step_count; i++)
        free_step(&plan->steps[i]);
    for (size_t i = 0; i < plan->target_count; i++)
        free_target(&plan->targets[i]);
    for (size_t i = 0; i < plan->policy_count; i++)
        free_policy(&plan->policies[i]);
    json_decref(plan->facts);
    json_decref(plan->findings);
    free(plan->steps);
    free(plan->targets);
    free(plan->policies);
    free(plan->name);
    free(plan->workflow);
    free(plan->dataset);
    free(plan->dataset_id);
    free(plan->revision);
    free(plan->symlinks);
    free(plan);
}

void dray_plan_freep(struct dray_plan **plan)
{
    dray_plan_free(*plan);
}

size_t dray_plan_alike(const struct dray_plan *plan, size_t push)
{
    const struct dray_step *step = &plan->steps[push];

    for (size_t i = 0; i < push; i++) {
        const struct dray_step *other = &plan->steps[i];
        if (other->role == DRAY_STEP_PUSH && other->needs_count == step->needs_count &&
            memcmp(other->needs, step->needs, step->needs_count * sizeof(size_t)) == 0)
            return i;
    }
    return push;
}
