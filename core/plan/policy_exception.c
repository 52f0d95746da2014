/* SPDX-License-Identifier: MIT */
/* policy_exception.c - `exceptions:` of a policy: who need not follow one of its rules, for which
 * dataset, until when and why. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"
#include "core/plan/keys.h"

#define DAY INT64_C(86400000000000)

/* The value of a key that is a text and not empty; NULL where there is none, or after a problem. */
static const char *read_text(struct dray_draft *draft, const struct dray_node *mapping,
                             const char *key)
{
    const struct dray_node *node = dray_node_get(mapping, key);

    if (!node)
        return NULL;
    if (node->kind == DRAY_NODE_SCALAR && node->length > 0)
        return node->text;
    dray_problem(draft, node->place, "`%s` is %s, not %s", key,
                 strcmp(key, "until") == 0 ? "a date" : "a text",
                 node->kind == DRAY_NODE_SCALAR ? "empty" : dray_node_what(node));
    return NULL;
}

/* A user or a dataset: one, by its name. Anything else would never be met, or not be noticed. */
static const char *read_whom(struct dray_draft *draft, const struct dray_node *mapping,
                             const char *key)
{
    const char *text = read_text(draft, mapping, key);
    const struct dray_node *node = dray_node_get(mapping, key);

    if (!text)
        return NULL;
    if (strchr(text, '*')) {
        dray_problem(draft, node->place, "`*` means nothing in the `%s` of an exception", key);
        dray_diagnose_hint(draft->diagnostics,
                           "an exception is for one; what holds for many is the rule's `when`");
    } else if (strcmp(key, "dataset") == 0 && strchr(text, '/')) {
        dray_problem(draft, node->place, "a dataset's name has no `/`, so this is never one");
        dray_diagnose_hint(draft->diagnostics, "of a path it is the last part");
    }
    return text;
}

static void read_until(struct dray_draft *draft, struct dray_exception *exception,
                       const struct dray_node *node)
{
    int result = dray_date_parse(exception->until, &exception->end);

    exception->end += DAY;
    if (result == 0)
        return;
    if (result == -2) {
        dray_problem(draft, node->place, "\"%s\" is not a date from %d to %d", exception->until,
                     DRAY_FIRST_YEAR, DRAY_LAST_YEAR);
        dray_diagnose_hint(draft->diagnostics,
                           "exceptions end; a rule that shall not hold at all is changed");
        return;
    }
    dray_problem(draft, node->place, "\"%s\" is no date", exception->until);
    dray_diagnose_hint(draft->diagnostics, "the last day, in UTC, as 2027-01-31");
}

static int names_rule(const struct dray_policy *policy, const char *rule)
{
    for (size_t i = 0; i < policy->rule_count; i++)
        if (policy->rules[i].id && strcmp(policy->rules[i].id, rule) == 0)
            return 1;
    return 0;
}

void dray_policy_no_rule(struct dray_draft *draft, const struct dray_policy *policy,
                         const struct dray_node *node, const char *what)
{
    dray_autofree const char **names = calloc(policy->rule_count + 1, sizeof(*names));
    size_t count = 0;

    dray_problem(draft, node->place, "this policy has no rule \"%s\"", node->text);
    dray_diagnose_hint(draft->diagnostics, "%s is about a rule of its own file, by its id", what);
    for (size_t i = 0; names && i < policy->rule_count; i++)
        if (policy->rules[i].id)
            names[count++] = policy->rules[i].id;
    if (names)
        dray_diagnose_nearest(draft->diagnostics, node->text, names, count);
}

static void read_exception(struct dray_draft *draft, const struct dray_policy *policy,
                           struct dray_exception *exception, const struct dray_node *node)
{
    size_t count = 0;

    exception->place = node->place;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place,
                     "an exception is a mapping with `rule` and `until`, not %s",
                     dray_node_what(node));
        return;
    }
    exception->place.width = 1;
    dray_keys_check(node, "an exception", DRAY_MAPPING_EXCEPTION, draft->diagnostics);
    exception->rule = read_text(draft, node, "rule");
    exception->user = read_whom(draft, node, "user");
    exception->dataset = read_whom(draft, node, "dataset");
    exception->until = read_text(draft, node, "until");
    exception->reason = read_text(draft, node, "reason");
    if (exception->rule && !names_rule(policy, exception->rule))
        dray_policy_no_rule(draft, policy, dray_node_get(node, "rule"), "an exception");
    if (exception->until)
        read_until(draft, exception, dray_node_get(node, "until"));
    const struct dray_file_key *known = dray_keys(DRAY_MAPPING_EXCEPTION, &count);
    for (size_t i = 0; i < count; i++) {
        if (!known[i].required || dray_node_get(node, known[i].name))
            continue;
        dray_problem(draft, exception->place, "the exception has no `%s`", known[i].name);
        dray_draft_follow(draft, node, known[i].name, DRAY_MAPPING_EXCEPTION);
    }
    if (!dray_node_get(node, "user") && !dray_node_get(node, "dataset")) {
        dray_problem(draft, exception->place, "the exception is for everybody and everything");
        dray_diagnose_hint(draft->diagnostics, "name a `user`, a `dataset` or both");
        dray_draft_follow(draft, node, "user", DRAY_MAPPING_EXCEPTION);
        dray_draft_follow(draft, node, "dataset", DRAY_MAPPING_EXCEPTION);
    }
}

int dray_exceptions_read(struct dray_draft *draft, struct dray_policy *policy,
                         const struct dray_node *node)
{
    if (!node)
        return 0;
    if (node->kind != DRAY_NODE_SEQUENCE) {
        dray_problem(draft, node->place, "`exceptions` is a list, not %s", dray_node_what(node));
        return 0;
    }
    policy->exceptions = dray_draft_array(draft, node->count, sizeof(*policy->exceptions));
    if (!policy->exceptions)
        return DRAY_NO_MEMORY;
    policy->exception_count = node->count;
    for (size_t i = 0; i < node->count; i++)
        read_exception(draft, policy, &policy->exceptions[i], node->items[i]);
    return 0;
}

static int is_for(const char *wanted, const json_t *facts, const char *fact)
{
    const char *known = json_string_value(json_object_get(facts, fact));

    return !wanted || (known && strcmp(known, wanted) == 0);
}

const struct dray_exception *dray_exception_find(const struct dray_rule *rule, const json_t *facts,
                                                 int64_t now)
{
    const struct dray_policy *policy = rule->policy;

    for (size_t i = 0; i < policy->exception_count; i++) {
        const struct dray_exception *exception = &policy->exceptions[i];
        if (exception->rule && strcmp(exception->rule, rule->id) == 0 && now < exception->end &&
            is_for(exception->user, facts, "user.name") &&
            is_for(exception->dataset, facts, "dataset.name"))
            return exception;
    }
    return NULL;
}
