/* SPDX-License-Identifier: MIT */
/* condition.c - reading `when:` and deciding it. Keys are AND, lists are OR. */
#include "core/plan/condition.h"

#include <string.h>

#include "core/plan/draft.h"

#define LABELS "dataset.labels."

/* In the order of enum dray_fact. */
static const struct {
    const char *name;
    int glob;               /* its values may hold `*` */
    const char *choices[5]; /* the values there are; none: any */
} facts[] = {
    [DRAY_FACT_DATASET_NAME] = {"dataset.name", 0, {0}},
    [DRAY_FACT_DATASET_TYPE] = {"dataset.type", 0, {0}},
    [DRAY_FACT_DATASET_TAGS] = {"dataset.tags", 0, {0}},
    [DRAY_FACT_DATASET_OWNER] = {"dataset.owner", 0, {0}},
    [DRAY_FACT_DATASET_LABEL] = {"dataset.labels.NAME", 0, {0}},
    [DRAY_FACT_TARGET_TYPE] = {"target.type", 0, {"hpfs", "cloud", "globus", "other"}},
    [DRAY_FACT_TARGET_PLUGIN] = {"target.plugin", 0, {0}},
    [DRAY_FACT_TARGET_HOST] = {"target.host", 1, {0}},
    [DRAY_FACT_TARGET_PATH] = {"target.path", 1, {0}},
    [DRAY_FACT_TARGET_URI] = {"target.uri", 1, {0}},
    [DRAY_FACT_USER_NAME] = {"user.name", 0, {0}},
    [DRAY_FACT_USER_ROLE] = {"user.role", 0, {"user", "operator", "admin"}},
    [DRAY_FACT_ACTOR_NAME] = {"actor.name", 0, {0}},
};
_Static_assert(sizeof(facts) / sizeof(facts[0]) == DRAY_FACT_COUNT, "a fact has no row");

static int is_of_target(enum dray_fact fact)
{
    return fact >= DRAY_FACT_TARGET_TYPE && fact <= DRAY_FACT_TARGET_URI;
}

static int find_fact(const char *name, enum dray_fact *ret_fact)
{
    if (strncmp(name, LABELS, strlen(LABELS)) == 0 && name[strlen(LABELS)] != '\0') {
        *ret_fact = DRAY_FACT_DATASET_LABEL;
        return 0;
    }
    for (size_t i = 0; i < DRAY_COUNT(facts); i++) {
        if (i != DRAY_FACT_DATASET_LABEL && strcmp(facts[i].name, name) == 0) {
            *ret_fact = (enum dray_fact)i;
            return 0;
        }
    }
    return -1;
}

static void report_fact(struct dray_draft *draft, const struct dray_node *key, const char *name)
{
    const char *names[DRAY_FACT_COUNT];

    for (size_t i = 0; i < DRAY_FACT_COUNT; i++)
        names[i] = facts[i].name;
    dray_problem(draft, key->place, "no fact is called \"%s\"", name);
    dray_diagnose_nearest(draft->diagnostics, name, names, DRAY_FACT_COUNT);
}

/* An address is compared as it is when all links are resolved: it has one spelling. */
static int is_canonical(const char *path)
{
    if (path[0] != '/' && path[0] != '*')
        return 0;
    if (path[1] == '\0')
        return 1;
    for (const char *segment = path[0] == '/' ? path + 1 : path;;) {
        size_t length = strcspn(segment, "/");
        if (length == 0 || (length == 1 && segment[0] == '.') ||
            (length == 2 && segment[0] == '.' && segment[1] == '.'))
            return 0;
        if (segment[length] == '\0')
            return 1;
        segment += length + 1;
    }
}

static int check_shape(struct dray_draft *draft, const struct dray_condition *condition,
                       const struct dray_node *node)
{
    if (node->length == 0) {
        dray_problem(draft, node->place, "%s is never empty", condition->name);
    } else if (condition->fact == DRAY_FACT_TARGET_PLUGIN && strchr(node->text, '/')) {
        dray_problem(draft, node->place, "a value of target.plugin is the name behind push/");
    } else if (condition->fact == DRAY_FACT_DATASET_NAME && strchr(node->text, '/')) {
        dray_problem(draft, node->place, "a dataset's name has no `/`, so this is never one");
        dray_diagnose_hint(draft->diagnostics, "of a path it is the last part");
    } else if (condition->fact == DRAY_FACT_TARGET_PATH && !is_canonical(node->text)) {
        dray_problem(draft, node->place, "target.path is never \"%s\"", node->text);
        dray_diagnose_hint(draft->diagnostics,
                           "it is absolute, without `.`, `..`, `//` and a `/` at its end; DIR/* is "
                           "what lies below DIR");
    } else {
        return 0;
    }
    return -1;
}

/* A value that can never match would be a rule that never holds, and nobody would notice. */
static int check_value(struct dray_draft *draft, const struct dray_condition *condition,
                       const struct dray_node *node)
{
    const char *const *choices = facts[condition->fact].choices;
    size_t count = 0;

    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "a value of %s is a text, not %s", condition->name,
                     dray_node_what(node));
        return -1;
    }
    if (!condition->glob && strchr(node->text, '*')) {
        dray_problem(draft, node->place, "`*` means nothing in a value of %s", condition->name);
        dray_diagnose_hint(draft->diagnostics, "target.host, target.path and target.uri take it");
        return -1;
    }
    if (check_shape(draft, condition, node) != 0)
        return -1;
    while (choices[count] && strcmp(choices[count], node->text) != 0)
        count++;
    if (!choices[0] || choices[count])
        return 0;
    dray_problem(draft, node->place, "%s is never \"%s\"", condition->name, node->text);
    dray_diagnose_hint(draft->diagnostics, condition->fact == DRAY_FACT_TARGET_TYPE
                                               ? "hpfs, cloud, globus or other"
                                               : "user, operator or admin");
    dray_diagnose_nearest(draft->diagnostics, node->text, choices, count);
    return -1;
}

static int read_values(struct dray_draft *draft, struct dray_condition *condition,
                       const struct dray_node *node, int *problems)
{
    size_t count = node->kind == DRAY_NODE_SEQUENCE ? node->count : 1;
    const char **values = dray_draft_array(draft, count, sizeof(*values));

    if (!values)
        return DRAY_NO_MEMORY;
    if (count == 0) {
        dray_problem(draft, node->place, "the list of %s is empty: nothing would ever match",
                     condition->name);
        (*problems)++;
    }
    for (size_t i = 0; i < count; i++) {
        const struct dray_node *item = node->kind == DRAY_NODE_SEQUENCE ? node->items[i] : node;
        if (check_value(draft, condition, item) != 0)
            (*problems)++;
        else
            values[i] = item->text;
    }
    condition->values = values;
    condition->value_count = count;
    return 0;
}

static int read_all(struct dray_draft *draft, const struct dray_node *node,
                    struct dray_condition *condition, int *problems);

static int read_pair(struct dray_draft *draft, const struct dray_pair *pair,
                     struct dray_condition *condition, int *problems)
{
    condition->place = pair->key->place;
    if (strcmp(pair->key->text, "not") == 0) {
        struct dray_condition *part = dray_draft_array(draft, 1, sizeof(*part));
        if (!part)
            return DRAY_NO_MEMORY;
        condition->kind = DRAY_CONDITION_NOT;
        condition->parts = part;
        condition->part_count = 1;
        return read_all(draft, pair->value, part, problems);
    }
    size_t length = pair->key->length;
    condition->kind = DRAY_CONDITION_FACT;
    condition->optional = length > 1 && pair->key->text[length - 1] == '?';
    condition->name = dray_draft_copy(draft, pair->key->text, length - (size_t)condition->optional);
    if (!condition->name)
        return DRAY_NO_MEMORY;
    if (find_fact(condition->name, &condition->fact) != 0) {
        report_fact(draft, pair->key, condition->name);
        (*problems)++;
        return 0;
    }
    condition->glob = facts[condition->fact].glob;
    return read_values(draft, condition, pair->value, problems);
}

static int read_all(struct dray_draft *draft, const struct dray_node *node,
                    struct dray_condition *condition, int *problems)
{
    condition->kind = DRAY_CONDITION_ALL;
    condition->place = node->place;
    if (node->kind != DRAY_NODE_MAPPING || node->count == 0) {
        dray_problem(draft, node->place, "conditions are a mapping of facts to values, not %s",
                     node->kind == DRAY_NODE_MAPPING ? "an empty one" : dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics, "a rule without `when` always holds");
        (*problems)++;
        return 0;
    }
    struct dray_condition *parts = dray_draft_array(draft, node->count, sizeof(*parts));
    int result = parts ? 0 : DRAY_NO_MEMORY;
    for (size_t i = 0; result == 0 && i < node->count; i++)
        result = read_pair(draft, &node->pairs[i], &parts[i], problems);
    condition->parts = parts;
    condition->part_count = node->count;
    return result;
}

int dray_condition_read(struct dray_draft *draft, const struct dray_node *node,
                        const struct dray_condition **ret_condition)
{
    struct dray_condition *condition = dray_draft_array(draft, 1, sizeof(*condition));
    int problems = 0;

    if (!condition)
        return DRAY_NO_MEMORY;
    int result = read_all(draft, node, condition, &problems);
    *ret_condition = result == 0 && problems == 0 ? condition : NULL;
    return result;
}

/* `*` stands for any text, also for none. Back to the last `*` where it fails: no more than the
 * product of both lengths. */
static int glob_matches(const char *pattern, const char *text)
{
    const char *star = NULL;
    const char *resume = text;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return 0;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static enum dray_truth fact_holds(const struct dray_condition *condition,
                                  const struct dray_facts *known,
                                  const struct dray_condition **ret_unknown)
{
    const char *value = known->values[condition->fact];

    if (!value) {
        if (condition->optional || is_of_target(condition->fact))
            return DRAY_FALSE;
        *ret_unknown = condition;
        return DRAY_UNKNOWN;
    }
    for (size_t i = 0; i < condition->value_count; i++) {
        const char *wanted = condition->values[i];
        if (condition->glob ? glob_matches(wanted, value) : strcmp(wanted, value) == 0)
            return DRAY_TRUE;
    }
    return DRAY_FALSE;
}

enum dray_truth dray_condition_holds(const struct dray_condition *condition,
                                     const struct dray_facts *known,
                                     const struct dray_condition **ret_unknown)
{
    enum dray_truth all = DRAY_TRUE;

    switch (condition->kind) {
    case DRAY_CONDITION_FACT:
        return fact_holds(condition, known, ret_unknown);
    case DRAY_CONDITION_NOT:
        switch (dray_condition_holds(&condition->parts[0], known, ret_unknown)) {
        case DRAY_TRUE:
            return DRAY_FALSE;
        case DRAY_FALSE:
            return DRAY_TRUE;
        case DRAY_UNKNOWN:
            return DRAY_UNKNOWN;
        }
        break;
    case DRAY_CONDITION_ALL:
        for (size_t i = 0; i < condition->part_count; i++) {
            const struct dray_condition *unknown = NULL;
            enum dray_truth truth = dray_condition_holds(&condition->parts[i], known, &unknown);
            if (truth == DRAY_FALSE)
                return DRAY_FALSE;
            if (truth == DRAY_UNKNOWN && all == DRAY_TRUE) {
                all = DRAY_UNKNOWN;
                *ret_unknown = unknown;
            }
        }
        break;
    }
    return all;
}
