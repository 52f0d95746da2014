/* SPDX-License-Identifier: MIT */
/* rule.c - one rule of a policy. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"
#include "core/plan/keys.h"

static void read_mode(struct dray_draft *draft, struct dray_rule *rule,
                      const struct dray_node *node)
{
    static const char *const names[] = {"audit", "warn", "enforce"};

    if (!node) {
        dray_problem(draft, rule->place, "the rule has no `mode`");
        dray_diagnose_hint(draft->diagnostics, "audit, warn or enforce");
    } else if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "`mode` is audit, warn or enforce, not %s",
                     dray_node_what(node));
    } else if (dray_mode_of_name(node->text, &rule->mode) != 0) {
        dray_problem(draft, node->place, "`mode` is audit, warn or enforce, not \"%s\"",
                     node->text);
        dray_diagnose_nearest(draft->diagnostics, node->text, names, DRAY_COUNT(names));
    }
}

/* A policy may add what only takes away from a tree or remakes it, and nothing that brings or
 * sends. */
static void check_role(struct dray_draft *draft, const struct dray_rule *rule,
                       const struct dray_draft_step *step)
{
    switch (step->role) {
    case DRAY_STEP_FILTER:
        return;
    case DRAY_STEP_TRANSFORM:
        if (rule->mode == DRAY_MODE_ENFORCE)
            return;
        dray_problem(draft, step->uses_place,
                     "a transform cannot only be watched, and the rule's mode is %s",
                     dray_mode_name(rule->mode));
        dray_diagnose_hint(draft->diagnostics, "mode: enforce");
        return;
    case DRAY_STEP_SOURCE:
    case DRAY_STEP_VALIDATE:
    case DRAY_STEP_GUARD:
    case DRAY_STEP_PUSH:
        dray_problem(draft, step->uses_place, "a policy injects filters and transforms, not \"%s\"",
                     step->uses);
        return;
    }
}

static int read_step(struct dray_draft *draft, const struct dray_rule *rule,
                     struct dray_draft_step *step, size_t number, const struct dray_node *node)
{
    dray_step_defaults(step);
    step->rule = rule;
    step->node = node;
    step->place = node->place;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "an injected step is a mapping with `uses`, not %s",
                     dray_node_what(node));
        return 0;
    }
    step->place.width = 1;
    dray_keys_check(node, "an injected step", DRAY_MAPPING_INJECTED, draft->diagnostics);
    const char *policy = rule->policy->name ? rule->policy->name : "?";
    const char *id = rule->id ? rule->id : "?";
    step->id = number == 0 ? dray_draft_format(draft, "%s/%s", policy, id)
                           : dray_draft_format(draft, "%s/%s/%zu", policy, id, number + 1);
    if (!step->id)
        return DRAY_NO_MEMORY;
    int result = dray_step_uses(draft, step, node);
    dray_draft_follow(draft, node, "uses", DRAY_MAPPING_INJECTED);
    if (result == 0 && step->known)
        check_role(draft, rule, step);
    if (result == 0 && (step->with_node || !dray_keys_meant(node, "with", DRAY_MAPPING_INJECTED)))
        result = dray_step_options(draft, step, rule->policy->base);
    return result;
}

static int read_inject(struct dray_draft *draft, struct dray_rule *rule,
                       const struct dray_node *node)
{
    if (node->kind != DRAY_NODE_SEQUENCE || node->count == 0) {
        dray_problem(draft, node->place, "`inject` is a list of steps, not %s",
                     node->kind == DRAY_NODE_SEQUENCE ? "an empty one" : dray_node_what(node));
        return 0;
    }
    if (node->count > DRAY_WORKFLOW_MAX_STEPS) {
        dray_problem(draft, node->place, "a rule injects at most %d steps",
                     DRAY_WORKFLOW_MAX_STEPS);
        return 0;
    }
    rule->inject = dray_draft_array(draft, node->count, sizeof(*rule->inject));
    if (!rule->inject)
        return DRAY_NO_MEMORY;
    rule->inject_count = node->count;
    int result = 0;
    for (size_t i = 0; result == 0 && i < node->count; i++)
        result = read_step(draft, rule, &rule->inject[i], i, node->items[i]);
    return result;
}

/* -1: not given, or wrong. */
static int64_t read_bytes(struct dray_draft *draft, const struct dray_node *node)
{
    const char *why = NULL;
    int64_t bytes = -1;

    if (!node)
        return -1;
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "`total_bytes` is a size, not %s", dray_node_what(node));
    } else if (dray_size_parse(node->text, node->length, &bytes, &why) != 0) {
        dray_problem(draft, node->place, "`total_bytes` takes a size such as 50 TiB: %s", why);
        return -1;
    } else if (bytes == DRAY_NONE || bytes < 0) {
        dray_problem(draft, node->place, "`total_bytes` takes a size, not \"%s\"", node->text);
        return -1;
    }
    return bytes;
}

static int read_limit(struct dray_draft *draft, struct dray_rule *rule,
                      const struct dray_node *node)
{
    if (node->kind != DRAY_NODE_MAPPING || node->count == 0) {
        dray_problem(draft, node->place, "`limit` is a mapping, not %s",
                     node->kind == DRAY_NODE_MAPPING ? "an empty one" : dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics,
                           "write limit: { total_bytes: 50 TiB, entries: 20000000 }");
        return 0;
    }
    dray_keys_check(node, "`limit`", DRAY_MAPPING_LIMIT, draft->diagnostics);
    const struct dray_node *count = dray_node_get(node, "entries");
    int64_t entries = -1;
    if (count && (!dray_node_int(count, &entries) || entries < 0)) {
        dray_problem(draft, count->place, "`entries` is a number of entries, not %s",
                     dray_node_shown(count));
        entries = -1;
    }
    int64_t bytes = read_bytes(draft, dray_node_get(node, "total_bytes"));
    rule->limit = json_object();
    if (!rule->limit ||
        (bytes >= 0 && json_object_set_new(rule->limit, "total_bytes", json_integer(bytes))) ||
        (entries >= 0 && json_object_set_new(rule->limit, "entries", json_integer(entries))))
        return dray_fail_memory(draft->error);
    return 0;
}

static void read_message(struct dray_draft *draft, struct dray_rule *rule,
                         const struct dray_node *node)
{
    if (!node)
        return;
    if (node->kind == DRAY_NODE_SCALAR)
        rule->message = node->text;
    else
        dray_problem(draft, node->place, "`message` is a text, not %s", dray_node_what(node));
}

int dray_rule_read(struct dray_draft *draft, struct dray_policy *policy, struct dray_rule *rule,
                   const struct dray_node *node)
{
    rule->policy = policy;
    rule->place = node->place;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "a rule is a mapping with `id` and `mode`, not %s",
                     dray_node_what(node));
        return 0;
    }
    rule->place.width = 1;
    dray_keys_check(node, "a rule", DRAY_MAPPING_RULE, draft->diagnostics);
    const struct dray_node *id = dray_node_get(node, "id");
    if (id)
        rule->id = dray_draft_id(draft, id, "the id of a rule");
    else
        dray_problem(draft, rule->place, "the rule has no `id`");
    dray_draft_follow(draft, node, "id", DRAY_MAPPING_RULE);
    read_mode(draft, rule, dray_node_get(node, "mode"));
    dray_draft_follow(draft, node, "mode", DRAY_MAPPING_RULE);
    read_message(draft, rule, dray_node_get(node, "message"));

    const struct dray_node *when = dray_node_get(node, "when");
    const struct dray_node *inject = dray_node_get(node, "inject");
    const struct dray_node *limit = dray_node_get(node, "limit");
    const struct dray_node *allow = dray_node_get(node, "allow");
    int result = when ? dray_condition_read(draft, when, &rule->when) : 0;
    if (result == 0 && inject)
        result = read_inject(draft, rule, inject);
    if (result == 0 && limit)
        result = read_limit(draft, rule, limit);
    if (result == 0 && allow)
        result = dray_condition_read(draft, allow, &rule->allow);
    if (allow && (allow->kind != DRAY_NODE_MAPPING || allow->count == 0))
        dray_diagnose_hint(draft->diagnostics, "write allow: { FACT: [VALUE, VALUE] }");
    if (!inject && !limit && !allow) {
        dray_problem(draft, rule->place,
                     "the rule does nothing: it has none of `inject`, `limit` and `allow`");
        dray_draft_follow(draft, node, "inject", DRAY_MAPPING_RULE);
        dray_draft_follow(draft, node, "limit", DRAY_MAPPING_RULE);
        dray_draft_follow(draft, node, "allow", DRAY_MAPPING_RULE);
    }
    return result;
}
