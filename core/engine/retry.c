/* SPDX-License-Identifier: MIT */
/* retry.c - after an attempt: which targets are given up, and whether another attempt is worth it
 * for the others. */
#include <string.h>
#include <sys/random.h>

#include "core/engine/deliver.h"
#include "core/run/run.h"

int64_t dray_retry_pause(const struct dray_retry *retry, uint32_t tried, int patient)
{
    int64_t longest = retry->backoff;
    uint32_t random = 0;

    for (uint32_t i = 1; i < tried && longest < retry->max_backoff; i++)
        longest = longest < retry->max_backoff / 2 ? longest * 2 : retry->max_backoff;
    if (longest > retry->max_backoff)
        longest = retry->max_backoff;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        random = UINT32_MAX;
    int64_t pause = longest / 65536 * (int64_t)(random >> 16);
    return patient ? longest / 2 + pause / 2 : pause;
}

static int is_open(const struct dray_attempt *attempt, size_t target)
{
    return !attempt->delivered[target] && !attempt->skip[target] && !attempt->given_up[target];
}

/* Did this step fail for now, and may be tried again? */
static int may_pass(const struct dray_attempt *attempt, size_t step, uint32_t tried)
{
    return dray_class_is_retried(attempt->failures[step].class_) &&
           tried < attempt->plan->steps[step].retry.tries;
}

/* Did it fail for good? */
static int lasts(const struct dray_attempt *attempt, size_t step, uint32_t tried)
{
    int class_ = attempt->failures[step].class_;

    return class_ != 0 && class_ != DRAY_LATER && !may_pass(attempt, step, tried);
}

/* The step for which a target cannot be delivered any more; -1: none. */
static long hopeless(const struct dray_attempt *attempt, size_t target, uint32_t tried)
{
    size_t push = attempt->plan->targets[target].step;

    for (size_t i = 0; i < attempt->plan->step_count; i++)
        if (lasts(attempt, i, tried) && (i == push || dray_plan_depends(attempt->plan, push, i)))
            return (long)i;
    return -1;
}

/* Is it to come after a target that was given up? */
static int comes_after(const struct dray_attempt *attempt, size_t target)
{
    const struct dray_step *push = &attempt->plan->steps[attempt->plan->targets[target].step];

    for (size_t i = 0; i < push->after_count; i++)
        for (size_t j = 0; j < attempt->plan->target_count; j++)
            if (attempt->plan->targets[j].step == push->after[i] && attempt->given_up[j])
                return 1;
    return 0;
}

/* How many targets were given up now. The first reason for one is kept. */
static size_t give_up(struct dray_attempt *attempt, uint32_t tried)
{
    size_t count = attempt->plan->target_count, fresh = 0, before;

    for (size_t i = 0; i < count; i++) {
        long step = is_open(attempt, i) ? hopeless(attempt, i, tried) : -1;
        if (step < 0)
            continue;
        attempt->given_up[i] = 1;
        fresh++;
        if (attempt->lasting.class_ == 0)
            attempt->lasting = attempt->failures[step];
    }
    do {
        before = fresh;
        for (size_t i = 0; i < count; i++)
            if (is_open(attempt, i) && comes_after(attempt, i)) {
                attempt->given_up[i] = 1;
                fresh++;
            }
    } while (fresh > before);
    return fresh;
}

/* Does a target that is still to be delivered need this step? */
static int is_needed(const struct dray_attempt *attempt, size_t step)
{
    for (size_t i = 0; i < attempt->plan->target_count; i++) {
        size_t push = attempt->plan->targets[i].step;
        if (is_open(attempt, i) && (push == step || dray_plan_depends(attempt->plan, push, step)))
            return 1;
    }
    return 0;
}

/* Would another attempt find something to do now? */
static int has_work(const struct dray_attempt *attempt)
{
    for (size_t i = 0; i < attempt->plan->target_count; i++)
        if (is_open(attempt, i) &&
            attempt->failures[attempt->plan->targets[i].step].class_ != DRAY_LATER)
            return 1;
    return 0;
}

int dray_retry_decide(struct dray_attempt *attempt, uint32_t tried,
                      const struct dray_step **ret_step, int64_t *ret_pause)
{
    /* Something else went wrong than a step: nothing is known of its targets. */
    int known = attempt->failed != NULL || attempt->settled;
    size_t fresh = give_up(attempt, tried);

    *ret_step = NULL;
    *ret_pause = 0;
    for (size_t i = 0; i < attempt->plan->step_count; i++) {
        if (!may_pass(attempt, i, tried) || !is_needed(attempt, i))
            continue;
        int64_t pause = dray_retry_pause(&attempt->plan->steps[i].retry, tried, 0);
        if (!*ret_step || pause > *ret_pause) {
            *ret_step = &attempt->plan->steps[i];
            *ret_pause = pause;
        }
    }
    /* Without a pause where targets were only taken down by one that is now left out, or that
     * turned out to be there. */
    return !attempt->engine->interrupted && known && has_work(attempt) &&
           (*ret_step != NULL || fresh > 0 || attempt->settled);
}
