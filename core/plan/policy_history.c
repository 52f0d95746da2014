/* SPDX-License-Identifier: MIT */
/* policy_history.c - revisions only grow: a policy is compared with what ever ruled from the same
 * directory under its name. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

static struct dray_place place_of(const struct dray_policy *policy)
{
    const struct dray_node *revision =
        dray_node_get(dray_document_root(policy->document), "revision");

    return revision ? revision->place : policy->place;
}

static void report(struct dray_draft *draft, const struct dray_policy *policy,
                   const struct dray_policy_ruled *ruled)
{
    char since[24];
    const char *day = dray_time_print(ruled->since, since);

    draft->policy_failed = draft->policy_outdated = 1;
    if (policy->revision < ruled->revision) {
        dray_problem(draft, place_of(policy),
                     "policy %s is at revision %lld, and revision %lld has ruled (since %.10s)",
                     policy->name, (long long)policy->revision, (long long)ruled->revision, day);
        dray_diagnose_hint(draft->diagnostics,
                           "bring revision %lld back; to return to an older text, give it revision "
                           "%lld or more",
                           (long long)ruled->revision, (long long)ruled->revision + 1);
        return;
    }
    dray_problem(draft, place_of(policy),
                 "policy %s was changed without raising its revision: another text with revision "
                 "%lld has ruled (since %.10s)",
                 policy->name, (long long)policy->revision, day);
    dray_diagnose_hint(draft->diagnostics, "revision: %lld", (long long)ruled->revision + 1);
}

int dray_policies_compare(struct dray_draft *draft, const struct dray_policy_history *history)
{
    for (size_t i = 0; history->highest && i < draft->policy_count; i++) {
        const struct dray_policy *policy = draft->policies[i];
        struct dray_policy_ruled ruled;
        if (!policy->name || policy->revision < 1)
            continue;
        int result =
            history->highest(history->arg, policy->base, policy->name, &ruled, draft->error);
        if (result < 0)
            return result;
        if (result == 1 &&
            (policy->revision < ruled.revision ||
             (policy->revision == ruled.revision && strcmp(policy->digest, ruled.digest) != 0)))
            report(draft, policy, &ruled);
    }
    return 0;
}
