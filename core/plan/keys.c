/* SPDX-License-Identifier: MIT */
/* keys.c - the keys of the files that people write. */
#include "core/plan/keys.h"

#include <string.h>

#define REQUIRED 1

/* What each step has that runs. */
#define STEP_TIMES                                                                                 \
    {"timeout", "duration", 0, "The step is given up after this; default 24h"},                    \
        {"stall", "duration", 0, "The step is given up after this without progress; default 10m"}, \
    {                                                                                              \
        "retry", "retry", 0, "How often the job is tried when this step failed for now"            \
    }

static const struct dray_file_key workflow_keys[] = {
    {"version", "version", REQUIRED, "Version of the format of workflows"},
    {"name", "text", 0, "For people; without it, the dataset's name"},
    {"dataset", "text", 0,
     "What is delivered: ./x, ../x or /x, a directory, a file or an archive; or a catalog's name"},
    {"parameters", "parameters", 0, "Names that ${NAME} stands for; --set NAME=VALUE sets one"},
    {"tree", "tree", 0, "What is done with links and empty directories"},
    {"steps", "steps", REQUIRED, "What is done, in the order in which it is read"},
};
static const struct dray_file_key parameter_keys[] = {
    {"type", "parameter-type", 0, "string, int or bool; default string"},
    {"default", "text", 0, "Its value where --set gives none; without it --set must"},
};
static const struct dray_file_key tree_keys[] = {
    {"symlinks", "symlinks", 0,
     "Links: keep them, skip them, copy the file that they name, or fail; default keep"},
    {"keep_empty_dirs", "boolean", 0,
     "Keep directories that the filters left empty; default false"},
};
static const struct dray_file_key step_keys[] = {
    {"id", "id", REQUIRED, "Messages, previews and receipts name the step by it"},
    {"uses", "uses", REQUIRED, "What the step does: KIND/PLUGIN, validate, or recipe/NAME"},
    {"with", "with", 0, "Options of the plugin"},
    {"needs", "needs", 0,
     "Steps whose trees it takes, joined; default: the nearest one above that is no push"},
    {"after", "[id]", 0, "Pushes that must have delivered before this one begins"},
    STEP_TIMES,
};
static const struct dray_file_key retry_keys[] = {
    {"tries", "tries", 0, "How often at most, the first time included; default 3"},
    {"backoff", "duration", 0, "How long to wait before the second try; default 10s"},
    {"max_backoff", "duration", 0, "Each wait is longer than the last, up to this; default 10m"},
};
static const struct dray_file_key policy_keys[] = {
    {"version", "version", REQUIRED, "Version of the format of policies"},
    {"policy", "id", REQUIRED, "Its name: no two files share one"},
    {"revision", "revision", REQUIRED, "A number that only grows, raised with every change"},
    {"owner", "text", 0, "Whom to ask; for people"},
    {"rules", "rules", REQUIRED, "What holds, each for itself"},
    {"exceptions", "[exception]", 0, "Who need not follow a rule of this file, and until when"},
    {"tests", "[test]", 0, "Cases, and what the rules must say of them; one that fails stops all"},
};
static const struct dray_file_key rule_keys[] = {
    {"id", "id", REQUIRED, "Plans, receipts and messages name the rule by it"},
    {"mode", "mode", REQUIRED,
     "enforce does it, warn only says so to the user, audit only records it"},
    {"when", "condition", 0, "Facts that must hold; without it the rule always does"},
    {"inject", "inject", 0, "Filters and transforms that are placed before the user's own steps"},
    {"allow", "condition", 0, "Facts that must hold wherever `when` does, or it is denied"},
    {"limit", "limit", 0, "What a target may get at most"},
    {"message", "text", 0, "What the user is told"},
};
static const struct dray_file_key injected_keys[] = {
    {"uses", "uses", REQUIRED, "A filter or a transform: KIND/PLUGIN"},
    {"with", "with", 0, "Options of the plugin"},
};
static const struct dray_file_key limit_keys[] = {
    {"total_bytes", "bytes", 0, "Bytes of all files, as in 50 TiB"},
    {"entries", "count", 0, "Files, links and empty directories"},
};
static const struct dray_file_key exception_keys[] = {
    {"rule", "id", REQUIRED, "The rule of this file that need not be followed"},
    {"user", "filled", 0, "Only for deliveries for this user"},
    {"dataset", "filled", 0, "Only for the dataset of this name"},
    {"until", "date", REQUIRED, "The last day on which it holds, in UTC, as in 2027-01-31"},
    {"reason", "filled", REQUIRED, "Why; for people, and for the audit trail"},
};
static const struct dray_file_key test_keys[] = {
    {"name", "filled", REQUIRED, "What the test shows"},
    {"given", "given", REQUIRED, "The facts of a delivery, and an entry or totals of it"},
    {"expect", "expect", REQUIRED, "What the rules of this file must say of it"},
};
static const struct dray_file_key expect_keys[] = {
    {"verdict", "verdict", REQUIRED,
     "keep: the path is delivered; drop: a filter drops it; deny: nothing is delivered"},
    {"rule", "id", 0, "The rule that decides so"},
};
static const struct dray_file_key recipe_keys[] = {
    {"version", "version", REQUIRED, "Version of the format of recipes"},
    {"recipe", "id", REQUIRED, "Its name: a workflow uses recipe/NAME"},
    {"summary", "text", 0, "What it is for, in one line"},
    {"parameters", "parameters", 0, "Names that ${NAME} stands for; a step's `with` sets them"},
    {"steps", "recipe-steps", REQUIRED, "Filters and transforms, one after the other"},
};
static const struct dray_file_key recipe_step_keys[] = {
    {"id", "id", REQUIRED, "Messages, previews and receipts name the step by it"},
    {"uses", "uses", REQUIRED, "A filter or a transform: KIND/PLUGIN"},
    {"with", "with", 0, "Options of the plugin"},
    STEP_TIMES,
};
static const struct dray_file_key condition_keys[] = {
    {"not", "condition", 0, "Holds where this group of facts does not"},
};
static const struct dray_file_key given_keys[] = {
    {"path", "entry-path", 0,
     "An entry's path below the dataset's root; a / at its end: directory"},
    {"size", "bytes", 0, "Bytes of that entry; default 0"},
    {"total_bytes", "bytes", 0, "Bytes of all that a push would deliver"},
    {"entries", "count", 0, "How many entries it would deliver"},
};

#define MAPPING(KEYS)                                                                              \
    {                                                                                              \
        KEYS, DRAY_COUNT(KEYS)                                                                     \
    }
static const struct {
    const struct dray_file_key *keys;
    size_t count;
} mappings[DRAY_MAPPING_COUNT] = {
    [DRAY_MAPPING_WORKFLOW] = MAPPING(workflow_keys),
    [DRAY_MAPPING_PARAMETER] = MAPPING(parameter_keys),
    [DRAY_MAPPING_TREE] = MAPPING(tree_keys),
    [DRAY_MAPPING_STEP] = MAPPING(step_keys),
    [DRAY_MAPPING_RETRY] = MAPPING(retry_keys),
    [DRAY_MAPPING_POLICY] = MAPPING(policy_keys),
    [DRAY_MAPPING_RULE] = MAPPING(rule_keys),
    [DRAY_MAPPING_INJECTED] = MAPPING(injected_keys),
    [DRAY_MAPPING_LIMIT] = MAPPING(limit_keys),
    [DRAY_MAPPING_EXCEPTION] = MAPPING(exception_keys),
    [DRAY_MAPPING_TEST] = MAPPING(test_keys),
    [DRAY_MAPPING_EXPECT] = MAPPING(expect_keys),
    [DRAY_MAPPING_RECIPE] = MAPPING(recipe_keys),
    [DRAY_MAPPING_RECIPE_STEP] = MAPPING(recipe_step_keys),
    [DRAY_MAPPING_CONDITION] = MAPPING(condition_keys),
    [DRAY_MAPPING_GIVEN] = MAPPING(given_keys),
};

/* More than any mapping has. */
#define KEYS_MAX 16

static const struct {
    const char *name, *help;
} facts[] = {
    {"dataset.name", "Name of the dataset: the catalog's, or the last part of its path without an "
                     "archive's suffix"},
    {"dataset.type", "Type that the catalog gives the dataset"},
    {"dataset.tags", "Tags that the catalog gives the dataset"},
    {"dataset.owner", "Owner of the dataset, as the catalog has it"},
    {"dataset.labels.NAME", "A label of the dataset, as the catalog has it"},
    {"target.type", "Kind of place that is delivered to"},
    {"target.plugin", "The push plugin: the name behind push/"},
    {"target.host", "Host of the target's address; * stands for any text"},
    {"target.path", "Path of the target's address, links resolved; * stands for any text"},
    {"target.uri", "The target's whole address; * stands for any text"},
    {"user.name", "Whom the delivery is for"},
    {"user.role", "Role of the user that the delivery is for"},
    {"actor.name", "Who asked for the delivery"},
};

const struct dray_file_key *dray_keys(enum dray_mapping mapping, size_t *ret_count)
{
    *ret_count = mappings[mapping].count;
    return mappings[mapping].keys;
}

const char *dray_fact_help(const char *name)
{
    for (size_t i = 0; i < DRAY_COUNT(facts); i++)
        if (strcmp(facts[i].name, name) == 0)
            return facts[i].help;
    return NULL;
}

static size_t names_of(enum dray_mapping mapping, const char *names[static KEYS_MAX])
{
    size_t count;
    const struct dray_file_key *keys = dray_keys(mapping, &count);

    for (size_t i = 0; i < count; i++)
        names[i] = keys[i].name;
    return count;
}

void dray_keys_check(const struct dray_node *node, const char *what, enum dray_mapping mapping,
                     struct dray_diagnostics *diagnostics)
{
    const char *names[KEYS_MAX];
    size_t count = names_of(mapping, names);

    dray_node_known_keys(node, what, names, count, diagnostics);
}

int dray_keys_meant(const struct dray_node *node, const char *key, enum dray_mapping mapping)
{
    const char *names[KEYS_MAX];
    size_t count = names_of(mapping, names);

    return dray_node_meant(node, key, names, count);
}
