/* SPDX-License-Identifier: MIT */
/* condition.h - `when:` of a policy's rule: which facts there are, and whether a condition holds
 * for them. */
#ifndef DRAY_PLAN_CONDITION_H
#define DRAY_PLAN_CONDITION_H

#include "core/conf/node.h"

/* What can be known when a plan is made. */
enum dray_fact {
    DRAY_FACT_DATASET_NAME,
    DRAY_FACT_DATASET_TYPE,
    DRAY_FACT_DATASET_TAGS,
    DRAY_FACT_DATASET_OWNER,
    DRAY_FACT_DATASET_LABEL, /* dataset.labels.NAME */
    DRAY_FACT_TARGET_TYPE,
    DRAY_FACT_TARGET_PLUGIN,
    DRAY_FACT_TARGET_HOST,
    DRAY_FACT_TARGET_PATH,
    DRAY_FACT_TARGET_URI,
    DRAY_FACT_USER_NAME,
    DRAY_FACT_USER_ROLE,
    DRAY_FACT_ACTOR_NAME,
    DRAY_FACT_COUNT,
};

/* The facts of one target. NULL: a target has no such thing, and no value matches; for dataset,
 * user and actor it is not known, which is not the same: see dray_condition_holds. */
struct dray_facts {
    const char *values[DRAY_FACT_COUNT];
};

enum dray_condition_kind { DRAY_CONDITION_ALL, DRAY_CONDITION_NOT, DRAY_CONDITION_FACT };
struct dray_condition {
    enum dray_condition_kind kind;
    struct dray_place place;
    /* ALL: parts; NOT: one part */
    const struct dray_condition *parts;
    size_t part_count;
    /* FACT: any of the values */
    enum dray_fact fact;
    const char *name; /* as written, without `?` */
    int optional;     /* written with `?`: false where it is not known */
    int glob;         /* `*` in a value stands for any text */
    const char *const *values;
    size_t value_count;
};

/* UNKNOWN: the answer would depend on a fact that is not known. */
enum dray_truth { DRAY_FALSE, DRAY_TRUE, DRAY_UNKNOWN };

/* Read the mapping below `when:`; problems are reported and *ret_condition is then NULL. */
struct dray_draft;
DRAY_MUST_CHECK int dray_condition_read(struct dray_draft *draft, const struct dray_node *node,
                                        const struct dray_condition **ret_condition);
/* Does it hold? With UNKNOWN, *ret_unknown is the condition to blame. What is not known makes the
 * answer unknown only where it could change it: whichever value it had, a rule that asks for
 * another target does not match. */
enum dray_truth dray_condition_holds(const struct dray_condition *condition,
                                     const struct dray_facts *facts,
                                     const struct dray_condition **ret_unknown);

#endif
