/* SPDX-License-Identifier: MIT */
/* renew.c - the steps of a stored plan under another set of policies: what was asked for stays,
 * what policies had put in goes, and what they ask for now is put in. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

#define NONE SIZE_MAX

struct renewal {
    struct dray_draft *draft;
    const struct dray_plan *plan;
    size_t *own; /* of each step of the plan, the draft's that it is; NONE: a policy's, or a copy */
};

static int is_of_policy(const struct dray_step *step)
{
    return step->origin.rule != NULL || step->role == DRAY_STEP_GUARD;
}

/* The plan's step that a copy for other targets is a copy of; NONE: it is none. */
static size_t original_of(const struct dray_plan *plan, const struct dray_step *step)
{
    const char *at = strchr(step->id, '@');
    size_t length = at ? (size_t)(at - step->id) : 0;

    for (size_t i = 0; at && i < plan->step_count; i++)
        if (strlen(plan->steps[i].id) == length &&
            strncmp(plan->steps[i].id, step->id, length) == 0)
            return i;
    return NONE;
}

static int find_plugin(struct dray_draft *draft, struct dray_draft_step *step)
{
    const char *slash = strchr(step->uses, '/');

    if (!slash)
        return 0;
    return dray_registry_find(draft->registry,
                              dray_kind_of_name(step->uses, (size_t)(slash - step->uses)),
                              slash + 1, &step->plugin, draft->error);
}

static int take_step(struct renewal *renewal, const struct dray_step *from, size_t rank)
{
    struct dray_draft *draft = renewal->draft;
    struct dray_draft_step *step = &draft->steps[draft->step_count++];

    *step = (struct dray_draft_step){
        .id = from->id,
        .uses = from->uses,
        .role = from->role,
        .known = 1,
        .origin = &from->origin,
        .with = json_incref(from->with),
        .rank = rank,
        .timeout = from->timeout,
        .stall = from->stall,
        .retry = from->retry,
        .revision = from->revision,
    };
    return find_plugin(draft, step);
}

static int take_targets(struct renewal *renewal)
{
    struct dray_draft *draft = renewal->draft;

    for (size_t i = 0; i < renewal->plan->target_count; i++) {
        const struct dray_plan_target *from = &renewal->plan->targets[i];
        struct dray_draft_target *target = dray_draft_array(draft, 1, sizeof(*target));
        if (!target)
            return DRAY_NO_MEMORY;
        *target = (struct dray_draft_target){.type = from->target_type,
                                             .uri = from->uri,
                                             .host = from->host,
                                             .path = from->path,
                                             .parent = from->parent,
                                             .name = from->name,
                                             .presence = DRAY_ABSENT};
        draft->steps[renewal->own[from->step]].target = target;
    }
    return 0;
}

static void add_need(struct dray_draft_step *step, size_t need)
{
    for (size_t i = 0; i < step->needs_count; i++)
        if (step->needs[i] == need)
            return;
    step->needs[step->needs_count++] = need;
}

/* What a step takes when nothing of policies is on the way. No deeper than the plan has steps. */
static void resolve(struct renewal *renewal, size_t index, struct dray_draft_step *step)
{
    const struct dray_step *at = &renewal->plan->steps[index];

    if (renewal->own[index] != NONE) {
        add_need(step, renewal->own[index]);
    } else if (is_of_policy(at)) {
        for (size_t i = 0; i < at->needs_count; i++)
            resolve(renewal, at->needs[i], step);
    } else {
        add_need(step, renewal->own[original_of(renewal->plan, at)]);
    }
}

static int wire(struct renewal *renewal)
{
    struct dray_draft *draft = renewal->draft;

    for (size_t i = 0; i < renewal->plan->step_count; i++) {
        const struct dray_step *from = &renewal->plan->steps[i];
        if (renewal->own[i] == NONE)
            continue;
        struct dray_draft_step *step = &draft->steps[renewal->own[i]];
        step->needs = dray_draft_array(draft, draft->step_count, sizeof(size_t));
        step->after = dray_draft_array(draft, from->after_count, sizeof(size_t));
        if (!step->needs || !step->after)
            return DRAY_NO_MEMORY;
        for (size_t k = 0; k < from->needs_count; k++)
            resolve(renewal, from->needs[k], step);
        for (size_t k = 0; k < from->after_count; k++)
            step->after[step->after_count++] = renewal->own[from->after[k]];
    }
    return 0;
}

/* A plan of an earlier release does not say it. */
static size_t rank_of(const struct dray_plan *plan, size_t index)
{
    return plan->steps[index].rank >= 0 ? (size_t)plan->steps[index].rank : 4 * (index + 1);
}

/* The workflow's own steps, in its order; *ret_count of them. NULL when memory is out. */
static size_t *list_own(struct renewal *renewal, size_t *ret_count)
{
    const struct dray_plan *plan = renewal->plan;
    size_t *list = dray_draft_array(renewal->draft, plan->step_count, sizeof(*list));
    size_t count = 0;

    for (size_t i = 0; list && i < plan->step_count; i++) {
        size_t at = count;
        if (is_of_policy(&plan->steps[i]) || original_of(plan, &plan->steps[i]) != NONE)
            continue;
        for (; at > 0 && rank_of(plan, list[at - 1]) > rank_of(plan, i); at--)
            list[at] = list[at - 1];
        list[at] = i;
        count++;
    }
    *ret_count = count;
    return list;
}

static int take_plan(struct renewal *renewal)
{
    const struct dray_plan *plan = renewal->plan;
    struct dray_draft *draft = renewal->draft;
    size_t count = 0;
    int result = 0;

    draft->name = plan->name;
    draft->dataset = plan->dataset;
    draft->dataset_id = plan->dataset_id;
    draft->symlinks = plan->symlinks;
    draft->keep_empty_dirs = plan->keep_empty_dirs;
    draft->facts = json_incref(plan->facts);
    draft->steps = dray_draft_array(draft, plan->step_count, sizeof(*draft->steps));
    renewal->own = dray_draft_array(draft, plan->step_count, sizeof(size_t));
    size_t *own = list_own(renewal, &count);
    if (!draft->steps || !renewal->own || !own)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < plan->step_count; i++)
        renewal->own[i] = NONE;
    for (size_t i = 0; result == 0 && i < count; i++) {
        renewal->own[own[i]] = i;
        result = take_step(renewal, &plan->steps[own[i]], rank_of(plan, own[i]));
    }
    if (result == 0)
        result = take_targets(renewal);
    return result == 0 ? wire(renewal) : result;
}

static int renew(struct dray_draft *draft, const struct dray_plan *plan,
                 const struct dray_plan_request *request, struct dray_plan **ret_plan)
{
    struct renewal renewal = {.draft = draft, .plan = plan};
    dray_cleanup(dray_plan_freep) struct dray_plan *made = NULL;
    struct dray_demand *demands = NULL;
    size_t count = 0;
    int result = dray_policies_read(draft, request);

    if (result == 0)
        result = dray_draft_verdict(draft);
    if (result == 0)
        result = take_plan(&renewal);
    if (result == 0)
        result = dray_draft_compose(draft, request, &made, &demands, &count);
    if (result == 0)
        result = dray_plan_prove(made, demands, count, draft->error);
    if (result == 0)
        *ret_plan = DRAY_TAKE(made);
    return result;
}

int dray_plan_renew(const struct dray_plan *plan, const struct dray_plan_request *request,
                    struct dray_diagnostics *diagnostics, struct dray_plan **ret_plan,
                    struct dray_error *error)
{
    struct dray_plan_request own_request = *request;
    struct dray_error own = {0};
    struct dray_draft draft = {
        .diagnostics = diagnostics,
        .registry = request->registry,
        .error = &own,
        .checking = 1,
        .now = request->now ? request->now : dray_now(),
    };

    own_request.workflow_text = "";
    own_request.workflow_length = 0;
    int result = renew(&draft, plan, &own_request, ret_plan);
    dray_diagnostics_sort(diagnostics);
    if (result != 0 && error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}
