/* SPDX-License-Identifier: MIT */
/* compose.h - the steps of a plan while they are put together (compose.c), and made into a plan
 * (compose_plan.c). */
#ifndef DRAY_PLAN_COMPOSE_H
#define DRAY_PLAN_COMPOSE_H

#include "core/plan/draft.h"

/* One step of the plan to be. */
struct dray_compose_node {
    const struct dray_draft_step *from; /* NULL: a guard */
    const struct dray_rule *rule;       /* that asks for it; NULL: the workflow's own */
    const char *id, *uses;
    const json_t *with; /* of a guard */
    size_t rank;
    size_t *needs;
    size_t needs_count;
    size_t position; /* in the plan */
};

/* A push and the rules that match it. */
struct dray_match {
    size_t push; /* the draft's step */
    const struct dray_rule **rules;
    size_t count;
    size_t first; /* the first push with the same injections: its chain is this one's too */
};

/* The steps between validate and push for one set of injections. */
struct dray_chain {
    const struct dray_match *match;
    size_t number; /* of the chains before it that inject something */
    size_t *nodes; /* of each step of the draft, the node that does it here */
    size_t *tails; /* of each validate step, the last node injected behind it */
};

struct dray_compose {
    struct dray_draft *draft;
    const struct dray_plan_request *request;
    struct dray_match *matches;
    size_t match_count;
    json_t *findings; /* what rules say without changing a step */
    struct dray_compose_node *nodes;
    size_t count, capacity;
    size_t *plain;          /* of each step of the draft, the node that bears its own id */
    size_t injected_behind; /* the validate step whose injected steps bear plain ids */
};

/* Sort the nodes and make them a plan with targets and policies, without keys and digests. */
DRAY_MUST_CHECK int dray_compose_plan(struct dray_compose *compose, struct dray_plan **ret_plan);

#endif
