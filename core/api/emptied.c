/* SPDX-License-Identifier: MIT */
/* emptied.c - deliveries of nothing, which are most often a rule that says something else than was
 * meant. */
#include <string.h>

#include "core/api/internal.h"

static const json_t *step_named(const json_t *steps, const char *id)
{
    size_t i;
    json_t *step;

    json_array_foreach(steps, i, step)
    {
        const char *name = json_string_value(json_object_get(step, "id"));
        if (name && strcmp(name, id) == 0)
            return step;
    }
    return NULL;
}

/* The step that got something and left nothing, on the way to one that got nothing; NULL: none. A
 * plan's steps come after all that they need, so that this ends. */
static const json_t *culprit(const struct dray_plan *plan, size_t index, const json_t *ran)
{
    const struct dray_step *step = &plan->steps[index];
    const json_t *run = step_named(ran, step->id);
    const json_t *found = NULL;

    if (json_integer_value(json_object_get(run, "entries_in")) > 0)
        return json_integer_value(json_object_get(run, "entries_out")) == 0 ? run : NULL;
    for (size_t i = 0; !found && i < step->needs_count; i++)
        found = culprit(plan, step->needs[i], ran);
    return found;
}

void dray_mark_emptied(const struct dray_plan *plan, json_t *job)
{
    const json_t *attempts = json_object_get(job, "attempts");
    const json_t *last = json_array_get(attempts, json_array_size(attempts) - 1);
    const json_t *targets = json_object_get(job, "targets");

    for (size_t i = 0; i < plan->target_count; i++) {
        size_t k;
        json_t *target;
        json_array_foreach(targets, k, target)
        {
            const char *key = json_string_value(json_object_get(target, "request_key"));
            const char *state = json_string_value(json_object_get(target, "state"));
            if (!key || strcmp(key, plan->targets[i].request_key) != 0 || !state ||
                strcmp(state, "delivered") != 0 || json_object_get(target, "job") ||
                json_integer_value(json_object_get(target, "entries")) != 0)
                continue;
            const json_t *step =
                culprit(plan, plan->targets[i].step, json_object_get(last, "steps"));
            if (step)
                (void)json_object_set_new(target, "emptied_by",
                                          json_pack("{s:O, s:O, s:O}", "step",
                                                    json_object_get(step, "id"), "uses",
                                                    json_object_get(step, "uses"), "entries",
                                                    json_object_get(step, "entries_in")));
        }
    }
}
