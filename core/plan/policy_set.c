/* SPDX-License-Identifier: MIT */
/* policy_set.c - the policies in force, to be looked at. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

static json_t *rules_json(const struct dray_policy *policy)
{
    json_int_t counts[] = {[DRAY_MODE_ENFORCE] = 0, [DRAY_MODE_WARN] = 0, [DRAY_MODE_AUDIT] = 0};

    for (size_t i = 0; i < policy->rule_count; i++)
        counts[policy->rules[i].mode]++;
    return json_pack("{s:I, s:I, s:I}", "enforce", counts[DRAY_MODE_ENFORCE], "warn",
                     counts[DRAY_MODE_WARN], "audit", counts[DRAY_MODE_AUDIT]);
}

/* Whom it lets off, and whether that has ended. */
static json_t *exceptions_json(const struct dray_policy *policy, int64_t now)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < policy->exception_count; i++) {
        const struct dray_exception *exception = &policy->exceptions[i];
        json_t *json =
            json_pack("{s:s, s:s, s:s, s:b}", "rule", exception->rule, "until", exception->until,
                      "reason", exception->reason, "ended", now >= exception->end);
        json = dray_json_with(json, "user", exception->user);
        json = dray_json_with(json, "dataset", exception->dataset);
        if (!json || json_array_append_new(list, json) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* When this text first ruled; NULL when it has not, or something newer has. */
static int first_ruled(const struct dray_policy *policy, const struct dray_policy_history *history,
                       char time[static 24], const char **ret_time, struct dray_error *error)
{
    struct dray_policy_ruled ruled;
    int result = history->highest
                     ? history->highest(history->arg, policy->base, policy->name, &ruled, error)
                     : 0;

    *ret_time = NULL;
    if (result == 1 && ruled.revision == policy->revision &&
        strcmp(ruled.digest, policy->digest) == 0)
        *ret_time = dray_time_print(ruled.since, time);
    return result < 0 ? result : 0;
}

static int add_policy(const struct dray_policy *policy, const struct dray_policy_history *history,
                      int64_t now, json_t *list, struct dray_error *error)
{
    const struct dray_node *owner = dray_node_get(dray_document_root(policy->document), "owner");
    char time[24];
    const char *since;
    int result = first_ruled(policy, history, time, &since, error);

    if (result != 0)
        return result;
    json_t *json = json_pack("{s:s, s:I, s:s, s:s, s:s, s:o, s:o}", "policy", policy->name,
                             "revision", (json_int_t)policy->revision, "digest", policy->digest,
                             "file", policy->file, "directory", policy->base, "rules",
                             rules_json(policy), "exceptions", exceptions_json(policy, now));
    json = dray_json_with(json, "owner", owner ? owner->text : NULL);
    json = dray_json_with(json, "first_ruled", since);
    return json && json_array_append_new(list, json) == 0 ? 0 : dray_fail_memory(error);
}

static int describe(struct dray_draft *draft, const struct dray_plan_request *request,
                    json_t **ret_set)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = calloc(1, sizeof(*plan));
    json_t *list = json_array();
    int result = plan && list && dray_draft_policies(draft, plan) == 0
                     ? dray_plan_policy_set(plan, draft->error)
                     : dray_fail_memory(draft->error);

    int64_t now = request->now ? request->now : dray_now();
    for (size_t i = 0; result == 0 && i < draft->policy_count; i++)
        result = add_policy(draft->policies[i], &request->policy_history, now, list, draft->error);
    if (result != 0) {
        json_decref(list);
        return result;
    }
    json_t *set = json_pack("{s:s, s:o}", "set", plan->policy_set_digest, "policies", list);
    set = dray_json_with(set, "signed_by",
                         request->policy_key ? dray_key_id(request->policy_key) : NULL);
    if (!set)
        return dray_fail_memory(draft->error);
    *ret_set = set;
    return 0;
}

int dray_policy_set_json(const struct dray_plan_request *request,
                         struct dray_diagnostics *diagnostics, json_t **ret_set,
                         struct dray_error *error)
{
    struct dray_error own = {0};
    struct dray_draft draft = {
        .diagnostics = diagnostics, .registry = request->registry, .error = &own, .checking = 1};
    int result = dray_policies_read(&draft, request);

    /* A set that denies everything because a test fails is not one that is in force. */
    if (result == 0)
        result = dray_draft_ask(&draft, &request->asker);
    if (result == 0)
        result = dray_draft_verdict(&draft);
    if (result == 0)
        result = describe(&draft, request, ret_set);
    dray_diagnostics_sort(diagnostics);
    if (result != 0 && error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}
