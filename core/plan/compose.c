/* SPDX-License-Identifier: MIT */
/*
 * compose.c - the plan's steps from the workflow's and the policies'. Targets for which the same
 * rules inject steps share all they can; every other set of rules gets its own copy of the chain
 * between validate and push.
 */
#include "core/plan/compose.h"

#include <string.h>

#define NONE SIZE_MAX

/* ---- which rules match which push */

/* Rules in the order of the set. */
static int match_push(struct dray_compose *compose, struct dray_match *match)
{
    const struct dray_draft_step *step = &compose->draft->steps[match->push];
    const struct dray_draft_target *target = step->target;
    const struct dray_target_facts facts = {
        .type = dray_target_type_name(target->type),
        .plugin = strchr(step->uses, '/') + 1,
        .host = target->host,
        .path = target->path,
        .uri = target->uri,
    };

    return dray_policies_match(compose->draft, &facts, step->id, compose->findings, &match->rules,
                               &match->count);
}

/* The rules of a match that inject, one after the other; NULL at the end. */
static const struct dray_rule *next_injecting(const struct dray_match *match, size_t *at)
{
    while (*at < match->count) {
        const struct dray_rule *rule = match->rules[(*at)++];
        if (rule->inject_count)
            return rule;
    }
    return NULL;
}

static int same_injections(const struct dray_match *a, const struct dray_match *b)
{
    const struct dray_rule *left, *right;
    size_t i = 0, k = 0;

    do {
        left = next_injecting(a, &i);
        right = next_injecting(b, &k);
    } while (left && left == right);
    return left == right;
}

static int match_all(struct dray_compose *compose)
{
    struct dray_draft *draft = compose->draft;

    compose->matches = dray_draft_array(draft, draft->step_count, sizeof(*compose->matches));
    if (!compose->matches)
        return DRAY_NO_MEMORY;
    int denied = 0;
    for (size_t i = 0; i < draft->step_count; i++) {
        struct dray_match *match = &compose->matches[compose->match_count];
        if (draft->steps[i].role != DRAY_STEP_PUSH)
            continue;
        match->push = i;
        match->first = i;
        int result = match_push(compose, match);
        denied |= result == DRAY_DENIED;
        if (result != 0 && result != DRAY_DENIED)
            return result;
        for (size_t k = 0; k < compose->match_count; k++) {
            if (same_injections(&compose->matches[k], match)) {
                match->first = compose->matches[k].first;
                break;
            }
        }
        compose->match_count++;
    }
    return denied ? DRAY_DENIED : 0;
}

/* ---- the nodes */

static size_t add_node(struct dray_compose *compose, const struct dray_draft_step *from,
                       const char *id, size_t rank, size_t needs)
{
    struct dray_draft *draft = compose->draft;

    if (!id)
        return NONE;
    if (compose->count >= DRAY_PLAN_MAX_STEPS) {
        (void)dray_fail(
            draft->error, DRAY_INVALID,
            "the plan would have more than %d steps, with what the policies put behind each source "
            "and before each push",
            DRAY_PLAN_MAX_STEPS);
        return NONE;
    }
    size_t *list = dray_draft_array(draft, needs, sizeof(*list));
    if (!list)
        return NONE;
    if (DRAY_GROW(compose->nodes, compose->count, compose->capacity)) {
        (void)dray_fail_memory(draft->error);
        return NONE;
    }
    compose->nodes[compose->count] = (struct dray_compose_node){
        .from = from,
        .id = id,
        .uses = from ? from->uses : "guard",
        .rank = rank,
        .needs = list,
    };
    return compose->count++;
}

static void add_need(struct dray_compose *compose, size_t node, size_t need)
{
    struct dray_compose_node *to = &compose->nodes[node];

    for (size_t i = 0; i < to->needs_count; i++)
        if (to->needs[i] == need)
            return;
    to->needs[to->needs_count++] = need;
}

/* An id that tells copies apart: the first has the plain one, others the first push that they are
 * for. */
static const char *copy_id(struct dray_compose *compose, const char *id,
                           const struct dray_chain *chain, int is_copy)
{
    return is_copy ? dray_draft_format(compose->draft, "%s@%s", id,
                                       compose->draft->steps[chain->match->push].id)
                   : id;
}

/* The steps that the chain's rules put behind one validate step; the last of them. */
static size_t inject(struct dray_compose *compose, const struct dray_chain *chain, size_t validate)
{
    struct dray_draft *draft = compose->draft;
    const struct dray_draft_step *behind = &draft->steps[validate];
    size_t last = compose->plain[validate];
    size_t at = 0;
    const struct dray_rule *rule;

    while (last != NONE && (rule = next_injecting(chain->match, &at)) != NULL) {
        for (size_t i = 0; last != NONE && i < rule->inject_count; i++) {
            const char *id = rule->inject[i].id;
            /* several sources: the first one's chain has the plain ids */
            if (compose->injected_behind != NONE && compose->injected_behind != validate)
                id = dray_draft_format(draft, "%s@%s", id, behind->id);
            id = id ? copy_id(compose, id, chain, chain->number > 0) : NULL;
            size_t node = add_node(compose, &rule->inject[i], id, behind->rank + 2, 1);
            if (node != NONE) {
                compose->nodes[node].rule = rule;
                add_need(compose, node, last);
            }
            last = node;
        }
    }
    if (compose->injected_behind == NONE)
        compose->injected_behind = validate;
    return last;
}

static size_t node_of(struct dray_compose *compose, struct dray_chain *chain, size_t step);

/* A step's tree as the chain's steps see it: behind a validate step with what is injected there. */
static size_t tail_of(struct dray_compose *compose, struct dray_chain *chain, size_t step)
{
    if (compose->draft->steps[step].role != DRAY_STEP_VALIDATE)
        return node_of(compose, chain, step);
    if (node_of(compose, chain, step) == NONE)
        return NONE;
    if (chain->tails[step] == NONE)
        chain->tails[step] = inject(compose, chain, step);
    return chain->tails[step];
}

/* The node that does a step of the workflow in the chain, made when it is first needed. Sources and
 * validate steps are shared by all chains. The way up is no longer than the workflow has steps. */
static size_t node_of(struct dray_compose *compose, struct dray_chain *chain, size_t step)
{
    const struct dray_draft_step *from = &compose->draft->steps[step];
    int shared = from->role == DRAY_STEP_SOURCE || from->role == DRAY_STEP_VALIDATE;

    if (chain->nodes[step] != NONE)
        return chain->nodes[step];
    if (shared && compose->plain[step] != NONE)
        return compose->plain[step];
    const char *id = copy_id(compose, from->id, chain, compose->plain[step] != NONE);
    size_t node = add_node(compose, from, id, from->rank, from->needs_count);
    if (node == NONE)
        return NONE;
    chain->nodes[step] = node;
    if (compose->plain[step] == NONE)
        compose->plain[step] = node;
    for (size_t i = 0; i < from->needs_count; i++) {
        size_t need = tail_of(compose, chain, from->needs[i]);
        if (need == NONE)
            return NONE;
        add_need(compose, node, need);
    }
    return node;
}

/* Put the guards of a push's rules before it, one behind the other; the first joins what the push
 * takes. */
static int add_guards(struct dray_compose *compose, const struct dray_match *match, size_t push)
{
    const struct dray_draft_step *step = &compose->draft->steps[match->push];

    for (size_t i = 0; i < match->count; i++) {
        const struct dray_rule *rule = match->rules[i];
        if (!rule->limit)
            continue;
        const char *name =
            rule->inject_count
                ? dray_draft_format(compose->draft, "%s/%s/%zu@%s", rule->policy->name, rule->id,
                                    rule->inject_count + 1, step->id)
                : dray_draft_format(compose->draft, "%s/%s@%s", rule->policy->name, rule->id,
                                    step->id);
        size_t guard = add_node(compose, NULL, name, step->rank - 1, 1);
        if (guard == NONE)
            return compose->draft->error->class_;
        struct dray_compose_node *node = &compose->nodes[guard];
        struct dray_compose_node *target = &compose->nodes[push];
        size_t *needs = target->needs;
        node->rule = rule;
        node->with = rule->limit;
        target->needs = node->needs;
        node->needs = needs;
        node->needs_count = target->needs_count;
        target->needs[0] = guard;
        target->needs_count = 1;
    }
    return 0;
}

static size_t *indexes(struct dray_compose *compose)
{
    size_t count = compose->draft->step_count;
    size_t *list = dray_draft_array(compose->draft, count, sizeof(*list));

    for (size_t i = 0; list && i < count; i++)
        list[i] = NONE;
    return list;
}

/* All pushes that share the chain of a match. */
static int add_chain(struct dray_compose *compose, const struct dray_match *first, size_t number)
{
    struct dray_chain chain = {
        .match = first,
        .number = number,
        .nodes = indexes(compose),
        .tails = indexes(compose),
    };

    if (!chain.nodes || !chain.tails)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < compose->match_count; i++) {
        const struct dray_match *match = &compose->matches[i];
        if (match->first != first->push)
            continue;
        size_t push = node_of(compose, &chain, match->push);
        if (push == NONE)
            return compose->draft->error->class_;
        int result = add_guards(compose, match, push);
        if (result != 0)
            return result;
    }
    return 0;
}

/* Where nothing is delivered, no push asks for the steps that read. */
static int add_reading(struct dray_compose *compose)
{
    static const struct dray_match nothing = {0};
    struct dray_chain chain = {
        .match = &nothing, .nodes = indexes(compose), .tails = indexes(compose)};

    if (!chain.nodes || !chain.tails)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < compose->draft->step_count; i++)
        if (compose->draft->steps[i].role == DRAY_STEP_VALIDATE &&
            node_of(compose, &chain, i) == NONE)
            return compose->draft->error->class_;
    return 0;
}

static int add_chains(struct dray_compose *compose)
{
    size_t chains = 0;

    compose->plain = indexes(compose);
    compose->injected_behind = NONE;
    if (!compose->plain)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < compose->match_count; i++) {
        const struct dray_match *match = &compose->matches[i];
        if (match->first != match->push)
            continue;
        int result = add_chain(compose, match, chains);
        if (result != 0)
            return result;
        size_t at = 0;
        chains += next_injecting(match, &at) != NULL;
    }
    return compose->draft->reads_only ? add_reading(compose) : 0;
}

/* ---- what is demanded, for the proof */

size_t dray_demands_count(const struct dray_rule *const *rules, size_t count)
{
    size_t demands = 0;

    for (size_t i = 0; i < count; i++)
        demands += rules[i]->inject_count + (rules[i]->limit ? 1 : 0);
    return demands;
}

void dray_demands_of(const struct dray_rule *const *rules, size_t count, const char *push,
                     struct dray_demand *demands, size_t *demand_count)
{
    for (size_t i = 0; i < count; i++) {
        const struct dray_rule *rule = rules[i];
        struct dray_demand demand = {
            .push = push,
            .policy = rule->policy->name,
            .rule = rule->id,
            .mode = rule->mode,
            .from = rule,
        };
        for (size_t n = 0; n < rule->inject_count; n++) {
            demand.uses = rule->inject[n].uses;
            demand.with = rule->inject[n].with;
            demands[(*demand_count)++] = demand;
        }
        if (rule->limit) {
            demand.uses = "guard";
            demand.with = rule->limit;
            demands[(*demand_count)++] = demand;
        }
    }
}

static int list_demands(struct dray_compose *compose, struct dray_demand **ret_demands,
                        size_t *ret_count)
{
    size_t count = 0;

    for (size_t i = 0; i < compose->match_count; i++)
        count += dray_demands_count(compose->matches[i].rules, compose->matches[i].count);
    struct dray_demand *demands = dray_draft_array(compose->draft, count, sizeof(*demands));
    if (!demands)
        return DRAY_NO_MEMORY;
    count = 0;
    for (size_t i = 0; i < compose->match_count; i++) {
        const struct dray_match *match = &compose->matches[i];
        dray_demands_of(match->rules, match->count, compose->draft->steps[match->push].id, demands,
                        &count);
    }
    *ret_demands = demands;
    *ret_count = count;
    return 0;
}

/* Whoever is named first in `needs`: what is made of a workflow must not hang on it. */
static void order_needs(struct dray_draft *draft, struct dray_draft_step *step)
{
    for (size_t i = 1; i < step->needs_count; i++) {
        size_t need = step->needs[i], k = i;
        for (; k > 0 && draft->steps[step->needs[k - 1]].rank > draft->steps[need].rank; k--)
            step->needs[k] = step->needs[k - 1];
        step->needs[k] = need;
    }
}

int dray_draft_compose(struct dray_draft *draft, const struct dray_plan_request *request,
                       struct dray_plan **ret_plan, struct dray_demand **ret_demands,
                       size_t *ret_count)
{
    struct dray_compose compose = {.draft = draft, .request = request, .findings = json_array()};
    int result = compose.findings ? 0 : dray_fail_memory(draft->error);

    /* A stored plan brings its own: whoever asks, they are of the user whose job it is. */
    if (result == 0 && !draft->facts)
        result = dray_draft_facts(draft, request);
    for (size_t i = 0; i < draft->step_count; i++)
        order_needs(draft, &draft->steps[i]);
    if (result == 0)
        result = match_all(&compose);
    if (result == 0)
        result = add_chains(&compose);
    if (result == 0)
        result = list_demands(&compose, ret_demands, ret_count);
    if (result == 0)
        result = dray_compose_plan(&compose, ret_plan);
    json_decref(compose.findings);
    free(compose.nodes);
    return result;
}
