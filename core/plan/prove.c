/* SPDX-License-Identifier: MIT */
/*
 * prove.c - the last look at a plan before it may run: are the policies in it? It knows nothing of
 * how the plan was put together; it sees steps, who needs whom, and what is demanded.
 *
 * A demand is met when one of its steps dominates the push: stands on every way to it. Behind each
 * source stands a copy of its own, so the dominator is not one step but the set of those that do
 * what the demand says. The usual iteration serves: a step is covered when it is of the set, or
 * when it needs something and all that it needs is covered.
 */
#include "core/plan/draft.h"

#include <string.h>

/* Does a guard let nothing pass that one of those limits would stop? */
static int limits(const json_t *guard, const json_t *demanded)
{
    const char *name;
    json_t *most;

    json_object_foreach((json_t *)(uintptr_t)demanded, name, most)
    {
        const json_t *own = json_object_get(guard, name);
        if (!own || json_integer_value(own) > json_integer_value(most))
            return 0;
    }
    return 1;
}

/* Does the step do what the rule says, to the letter? `stricter`: it may also be enforced where
 * less is demanded, and let less pass. */
static int meets(const struct dray_step *step, const struct dray_demand *demand, int stricter)
{
    return step->origin.policy && step->origin.rule && strcmp(step->uses, demand->uses) == 0 &&
           strcmp(step->origin.policy, demand->policy) == 0 &&
           strcmp(step->origin.rule, demand->rule) == 0 &&
           (step->mode == demand->mode || (stricter && step->mode < demand->mode)) &&
           (json_equal(step->with, demand->with) ||
            (stricter && step->role == DRAY_STEP_GUARD && limits(step->with, demand->with)));
}

static int is_injected(const struct dray_step *step)
{
    return step->origin.rule &&
           (step->role == DRAY_STEP_FILTER || step->role == DRAY_STEP_TRANSFORM);
}

/* Before anything that a user wrote could rename or remake what it looks for. */
static int stands_first(const struct dray_plan *plan, const struct dray_step *step)
{
    for (size_t i = 0; i < step->needs_count; i++) {
        const struct dray_step *other = &plan->steps[step->needs[i]];
        if (other->role != DRAY_STEP_VALIDATE && !is_injected(other))
            return 0;
    }
    return step->needs_count > 0;
}

/* Nothing between a guard and the push but other guards, so that it counts what is delivered. */
static int stands_last(const struct dray_plan *plan, size_t guard)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct dray_step *step = &plan->steps[i];
        int takes = 0;
        for (size_t k = 0; k < step->needs_count; k++)
            takes |= step->needs[k] == guard;
        if (takes && step->role != DRAY_STEP_GUARD && step->role != DRAY_STEP_PUSH)
            return 0;
    }
    return 1;
}

static int covers(const struct dray_plan *plan, size_t index, const struct dray_demand *demand,
                  int stricter)
{
    const struct dray_step *step = &plan->steps[index];

    if (!meets(step, demand, stricter))
        return 0;
    return step->role == DRAY_STEP_GUARD ? stands_last(plan, index) : stands_first(plan, step);
}

/* covered[i]: every way from a source to step i passes a step that meets the demand. Begins with
 * all, and takes away until nothing changes. What stays in a cycle is not reached from a source,
 * which is asked for on its own. */
static void find_covered(const struct dray_plan *plan, const struct dray_demand *demand,
                         int stricter, unsigned char *meeting, unsigned char *covered)
{
    int changed = 1;

    for (size_t i = 0; i < plan->step_count; i++) {
        meeting[i] = (unsigned char)covers(plan, i, demand, stricter);
        covered[i] = 1;
    }
    while (changed) {
        changed = 0;
        for (size_t i = 0; i < plan->step_count; i++) {
            const struct dray_step *step = &plan->steps[i];
            int all = step->needs_count > 0;
            for (size_t k = 0; k < step->needs_count; k++)
                all &= covered[step->needs[k]];
            if (covered[i] && !meeting[i] && !all) {
                covered[i] = 0;
                changed = 1;
            }
        }
    }
}

static void find_reached(const struct dray_plan *plan, unsigned char *reached)
{
    int changed = 1;

    for (size_t i = 0; i < plan->step_count; i++)
        reached[i] = plan->steps[i].role == DRAY_STEP_SOURCE;
    while (changed) {
        changed = 0;
        for (size_t i = 0; i < plan->step_count; i++) {
            const struct dray_step *step = &plan->steps[i];
            for (size_t k = 0; k < step->needs_count && !reached[i]; k++)
                changed |= reached[i] = reached[step->needs[k]];
        }
    }
}

static size_t find_push(const struct dray_plan *plan, const char *id)
{
    size_t i = 0;

    while (i < plan->step_count &&
           (plan->steps[i].role != DRAY_STEP_PUSH || strcmp(plan->steps[i].id, id) != 0))
        i++;
    return i;
}

static int refuse(struct dray_error *error)
{
    dray_hint(error,
              "nothing was delivered; this is a fault of Dray, please report it with the output of "
              "`dray plan`");
    return error->class_;
}

int dray_plan_unmet(const struct dray_plan *plan, const struct dray_demand *demands, size_t count,
                    int stricter, const struct dray_demand **ret_unmet)
{
    dray_autofree unsigned char *meeting = calloc(plan->step_count + 1, 1);
    dray_autofree unsigned char *covered = calloc(plan->step_count + 1, 1);

    if (!meeting || !covered)
        return DRAY_NO_MEMORY;
    *ret_unmet = NULL;
    for (size_t i = 0; i < count && !*ret_unmet; i++) {
        size_t push = find_push(plan, demands[i].push);
        find_covered(plan, &demands[i], stricter, meeting, covered);
        if (push == plan->step_count || !covered[push])
            *ret_unmet = &demands[i];
    }
    return 0;
}

int dray_plan_prove(const struct dray_plan *plan, const struct dray_demand *demands, size_t count,
                    struct dray_error *error)
{
    dray_autofree unsigned char *covered = calloc(plan->step_count + 1, 1);
    const struct dray_demand *unmet = NULL;

    if (!covered)
        return dray_fail_memory(error);
    find_reached(plan, covered);
    for (size_t i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].role != DRAY_STEP_PUSH || covered[i])
            continue;
        (void)dray_fail(error, DRAY_BUG, "the plan is refused: no source is on the way to push %s",
                        plan->steps[i].id);
        return refuse(error);
    }
    if (dray_plan_unmet(plan, demands, count, 0, &unmet) != 0)
        return dray_fail_memory(error);
    if (!unmet)
        return 0;
    (void)dray_fail(error, DRAY_BUG,
                    "the plan is refused: there is a way to push %s past %s, which policy %s, rule "
                    "%s puts there",
                    unmet->push, unmet->uses, unmet->policy, unmet->rule);
    return refuse(error);
}
