/* SPDX-License-Identifier: MIT */
/* condition.h - `when:` of a policy's rule: which facts there are, and whether a condition holds
 * for them. */
#ifndef DRAY_PLAN_CONDITION_H
#define DRAY_PLAN_CONDITION_H

#include <jansson.h>

#include "core/conf/node.h"

/* Facts are a JSON object, a text or a list of texts by the fact's name ("dataset.tags",
 * "dataset.labels.project"). A fact of a target that is not there is one that the target does not
 * have, and no value matches; one of a dataset, user or actor is not known, which is not the same:
 * see dray_condition_holds. */

enum dray_condition_kind { DRAY_CONDITION_ALL, DRAY_CONDITION_NOT, DRAY_CONDITION_FACT };
struct dray_condition {
    enum dray_condition_kind kind;
    struct dray_place place;
    /* ALL: parts; NOT: one part */
    const struct dray_condition *parts;
    size_t part_count;
    /* FACT: any of the values */
    const char *name; /* of the fact, without `?` */
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
/* Does it hold? With UNKNOWN, *ret_decisive is the condition to blame; with FALSE, the part that
 * does not hold. What is not known makes the answer unknown only where it could change it:
 * whichever value it had, a rule that asks for another target does not match. */
enum dray_truth dray_condition_holds(const struct dray_condition *condition, const json_t *facts,
                                     const struct dray_condition **ret_decisive);

/* Read a mapping of facts to values ("dataset.tags: [human]") into the object `facts`, keys that
 * `others` names left out; problems are reported. For tests. */
DRAY_MUST_CHECK int dray_facts_read(struct dray_draft *draft, const struct dray_node *node,
                                    const char *const *others, size_t other_count, json_t *facts);

/* The fact of that number, for those who list them all: its name, whether `*` stands for any text
 * in its values, and the values there are (ended by NULL; *ret_choices[0] NULL: any). -1 past the
 * last. dataset.labels.NAME stands for any name. */
int dray_fact_at(size_t index, const char **ret_name, int *ret_glob,
                 const char *const **ret_choices);

#endif
