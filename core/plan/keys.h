/* SPDX-License-Identifier: MIT */
/*
 * keys.h - which keys a workflow, a policy and a recipe have, what each takes and what it is for.
 * Readers refuse other keys by these tables, and the JSON Schema of the files is made from them.
 */
#ifndef DRAY_PLAN_KEYS_H
#define DRAY_PLAN_KEYS_H

#include "core/conf/node.h"
#include "core/plugin/plugin.h"

/* Each mapping that is written in a file, other than a plugin's `with`. */
enum dray_mapping {
    DRAY_MAPPING_WORKFLOW,
    DRAY_MAPPING_PARAMETER,
    DRAY_MAPPING_TREE,
    DRAY_MAPPING_STEP,
    DRAY_MAPPING_RETRY,
    DRAY_MAPPING_POLICY,
    DRAY_MAPPING_RULE,
    DRAY_MAPPING_INJECTED,
    DRAY_MAPPING_LIMIT,
    DRAY_MAPPING_EXCEPTION,
    DRAY_MAPPING_TEST,
    DRAY_MAPPING_EXPECT,
    DRAY_MAPPING_RECIPE,
    DRAY_MAPPING_RECIPE_STEP,
    DRAY_MAPPING_CONDITION, /* and all facts */
    DRAY_MAPPING_GIVEN,     /* likewise */
    DRAY_MAPPING_COUNT,
};

struct dray_file_key {
    const char *name;
    const char *type; /* what it takes: a definition of file_schema.c; "[x]" is a list of x */
    int required;
    const char *help; /* one sentence */
};

/* The keys of a mapping. */
const struct dray_file_key *dray_keys(enum dray_mapping mapping, size_t *ret_count);
/* What a fact is, by its name in the table of condition.c. NULL: unknown. */
const char *dray_fact_help(const char *name);
/* Was that key, which is missing, meant by another (dray_node_meant)? */
int dray_keys_meant(const struct dray_node *node, const char *key, enum dray_mapping mapping);
/* Report each key of a node that the mapping has not; `what` as in dray_node_known_keys. */
void dray_keys_check(const struct dray_node *node, const char *what, enum dray_mapping mapping,
                     struct dray_diagnostics *diagnostics);

#endif
