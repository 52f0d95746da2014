/* SPDX-License-Identifier: MIT */
/*
 * recheck.c - the policies once more, when time has passed since the plan was made: before an
 * attempt begins and before a delivery becomes visible. A plan that holds less than what is
 * required by then is not delivered. A set that got a problem meanwhile is not in force: the one
 * that the plan was made under stays so.
 */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

static int is_changed(const struct dray_draft *draft, const struct dray_plan *plan)
{
    if (draft->policy_count != plan->policy_count)
        return 1;
    for (size_t i = 0; i < plan->policy_count; i++)
        if (strcmp(draft->policies[i]->digest, plan->policies[i].digest) != 0)
            return 1;
    return 0;
}

/* Read the set of now. *ret_bad: it is not to be used. */
static int read_set(struct dray_draft *draft, const struct dray_plan_request *request,
                    const struct dray_plan *plan, int *ret_bad)
{
    int result = dray_policies_read(draft, request);

    /* What did not change was asked about when the plan was made. */
    if (result == 0 && draft->diagnostics->errors == 0 && is_changed(draft, plan))
        result = dray_draft_ask(draft, &request->asker);
    if (result == DRAY_NO_MEMORY || result == DRAY_CANCELLED || draft->diagnostics->no_memory)
        return result ? result : dray_fail_memory(draft->error);
    *ret_bad = result != 0 || draft->diagnostics->errors > 0;
    return 0;
}

static int deny(struct dray_draft *draft, const struct dray_demand *unmet)
{
    const struct dray_rule *rule = unmet->from;

    (void)dray_fail(draft->error, DRAY_DENIED,
                    "policy %s, rule %s now puts %s before push %s, and this delivery was planned "
                    "without it",
                    unmet->policy, unmet->rule,
                    strcmp(unmet->uses, "guard") == 0 ? "another limit" : unmet->uses, unmet->push);
    dray_where(draft->error, "%s:%u:%u", rule->policy->file, rule->place.line, rule->place.column);
    dray_hint(draft->error, "run the same command again: it is planned anew, under the policies of "
                            "now");
    return DRAY_DENIED;
}

static int check_target(struct dray_draft *draft, const struct dray_plan *plan,
                        const struct dray_plan_target *target, json_t *findings)
{
    const struct dray_step *push = &plan->steps[target->step];
    const struct dray_target_facts facts = {
        .type = dray_target_type_name(target->target_type),
        .plugin = strchr(push->uses, '/') + 1,
        .host = target->host,
        .path = target->path,
        .uri = target->uri,
    };
    const struct dray_rule **rules = NULL;
    const struct dray_demand *unmet = NULL;
    size_t count = 0, demand_count = 0;
    int result = dray_policies_match(draft, &facts, push->id, findings, &rules, &count);

    if (result != 0)
        return result;
    struct dray_demand *demands =
        dray_draft_array(draft, dray_demands_count(rules, count), sizeof(*demands));
    if (!demands)
        return DRAY_NO_MEMORY;
    dray_demands_of(rules, count, push->id, demands, &demand_count);
    if (dray_plan_unmet(plan, demands, demand_count, 1, &unmet) != 0)
        return dray_fail_memory(draft->error);
    return unmet ? deny(draft, unmet) : 0;
}

int dray_plan_recheck(const struct dray_plan *plan, const char *push,
                      const struct dray_plan_request *request, char **ret_kept,
                      struct dray_error *error)
{
    struct dray_diagnostics diagnostics = {0};
    struct dray_error own = {0};
    struct dray_draft draft = {
        .diagnostics = &diagnostics,
        .registry = request->registry,
        .error = &own,
        .checking = 1,
        .now = request->now ? request->now : dray_now(),
        .dataset = plan->dataset,
        .facts = json_incref(plan->facts),
    };
    json_t *findings = json_array();
    int bad = 0;
    int result = findings ? read_set(&draft, request, plan, &bad) : dray_fail_memory(&own);

    *ret_kept = NULL;
    if (result == 0 && bad) {
        if (own.class_ == 0)
            (void)dray_diagnostics_error(&diagnostics, &own);
        *ret_kept = dray_format("%s%s%s", own.where, own.where[0] ? ": " : "", own.message);
        result = *ret_kept ? 0 : dray_fail_memory(&own);
    }
    for (size_t i = 0; result == 0 && !bad && i < plan->target_count; i++)
        if (!push || strcmp(plan->steps[plan->targets[i].step].id, push) == 0)
            result = check_target(&draft, plan, &plan->targets[i], findings);
    if (result != 0)
        *error = own;
    json_decref(findings);
    dray_diagnostics_free(&diagnostics);
    dray_draft_free(&draft);
    return result;
}
