/* SPDX-License-Identifier: MIT */
/* condition.c - reading `when:` and deciding it. Keys are AND, lists are OR. */
#include "core/plan/condition.h"

#include <string.h>

#include "core/plan/draft.h"

#define LABELS "dataset.labels."

/* The facts that there are. */
struct fact {
    const char *name;
    int glob;               /* its values may hold `*` */
    int many;               /* a dataset may have several */
    const char *choices[5]; /* the values there are; none: any */
};
static const struct fact facts[] = {
    {"dataset.name", 0, 0, {0}},
    {"dataset.type", 0, 0, {0}},
    {"dataset.tags", 0, 1, {0}},
    {"dataset.owner", 0, 0, {0}},
    {"target.type", 0, 0, {"hpfs", "cloud", "globus", "other"}},
    {"target.plugin", 0, 0, {0}},
    {"target.host", 1, 0, {0}},
    {"target.path", 1, 0, {0}},
    {"target.uri", 1, 0, {0}},
    {"user.name", 0, 0, {0}},
    {"user.role", 0, 0, {"user", "operator", "admin"}},
    {"actor.name", 0, 0, {0}},
    {"dataset.labels.NAME", 0, 0, {0}}, /* the last: NAME stands for any name */
};

/* "hpfs, cloud, globus or other"; in `out`. */
static const char *choices_text(const struct fact *fact, char out[64])
{
    size_t length = 0;

    for (size_t i = 0; fact->choices[i]; i++)
        length += (size_t)snprintf(out + length, 64 - length, "%s%s",
                                   i == 0                 ? ""
                                   : fact->choices[i + 1] ? ", "
                                                          : " or ",
                                   fact->choices[i]);
    return out;
}

static int is_of_target(const char *name)
{
    return strncmp(name, "target.", strlen("target.")) == 0;
}

static const struct fact *find_fact(const char *name)
{
    size_t labels = DRAY_COUNT(facts) - 1;

    if (strncmp(name, LABELS, strlen(LABELS)) == 0 && name[strlen(LABELS)] != '\0')
        return &facts[labels];
    for (size_t i = 0; i < labels; i++)
        if (strcmp(facts[i].name, name) == 0)
            return &facts[i];
    return NULL;
}

#define OTHERS 8

/* `others` are keys that may stand beside facts. */
static void report_fact(struct dray_draft *draft, const struct dray_node *key, const char *name,
                        const char *const *others, size_t other_count)
{
    const char *names[DRAY_COUNT(facts) + OTHERS];
    size_t count = 0;

    for (size_t i = 0; i < DRAY_COUNT(facts); i++)
        names[count++] = facts[i].name;
    for (size_t i = 0; i < other_count && i < OTHERS; i++)
        names[count++] = others[i];
    dray_problem(draft, key->place, "no fact is called \"%s\"", name);
    dray_diagnose_hint(draft->diagnostics, "facts are dataset.name, target.type, user.role …");
    dray_diagnose_nearest(draft->diagnostics, name, names, count);
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

static int check_shape(struct dray_draft *draft, const char *name, const struct dray_node *node)
{
    if (node->length == 0) {
        dray_problem(draft, node->place, "%s is never empty", name);
    } else if (strcmp(name, "target.plugin") == 0 && strchr(node->text, '/')) {
        dray_problem(draft, node->place, "a value of target.plugin is the name behind push/");
    } else if (strcmp(name, "dataset.name") == 0 && strchr(node->text, '/')) {
        dray_problem(draft, node->place, "a dataset's name has no `/`, so this is never one");
        dray_diagnose_hint(draft->diagnostics, "of a path it is the last part");
    } else if (strcmp(name, "target.path") == 0 && !is_canonical(node->text)) {
        dray_problem(draft, node->place, "target.path is never \"%s\"", node->text);
        dray_diagnose_hint(draft->diagnostics,
                           "it is absolute, without `.`, `..`, `//` and a `/` at its end; DIR/* is "
                           "what lies below DIR");
    } else {
        return 0;
    }
    return -1;
}

/* Is it one of the values that there are, where they are known? */
static int check_choice(struct dray_draft *draft, const struct fact *fact, const char *name,
                        const struct dray_node *node)
{
    size_t count = 0;
    char among[64];

    while (fact->choices[count] && strcmp(fact->choices[count], node->text) != 0)
        count++;
    if (!fact->choices[0] || fact->choices[count])
        return 0;
    dray_problem(draft, node->place, "%s is never \"%s\"", name, node->text);
    dray_diagnose_hint(draft->diagnostics, "%s", choices_text(fact, among));
    dray_diagnose_nearest(draft->diagnostics, node->text, fact->choices, count);
    return -1;
}

/* A value that can never match would be a rule that never holds, and nobody would notice. */
static int check_value(struct dray_draft *draft, const struct dray_condition *condition,
                       const struct dray_node *node)
{
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "a value of %s is a text, not %s", condition->name,
                     dray_node_what(node));
        if (dray_node_get(node, "not"))
            dray_diagnose_hint(draft->diagnostics, "write not: { %s: VALUE }", condition->name);
        return -1;
    }
    if (node->text[0] == '!' && strncmp(condition->name, "dataset.", strlen("dataset.")) != 0) {
        dray_problem(draft, node->place, "`!` means nothing in a value of %s", condition->name);
        dray_diagnose_hint(draft->diagnostics, "write not: { %s: %s }", condition->name,
                           node->text + 1);
        return -1;
    }
    if (!condition->glob && strchr(node->text, '*')) {
        dray_problem(draft, node->place, "`*` means nothing in a value of %s", condition->name);
        dray_diagnose_hint(draft->diagnostics, "target.host, target.path and target.uri take it");
        return -1;
    }
    if (check_shape(draft, condition->name, node) != 0)
        return -1;
    return check_choice(draft, find_fact(condition->name), condition->name, node);
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
        int result = read_all(draft, pair->value, part, problems);
        if (pair->value->count == 0)
            dray_diagnose_hint(draft->diagnostics, "write not: { FACT: VALUE }");
        return result;
    }
    size_t length = pair->key->length;
    condition->kind = DRAY_CONDITION_FACT;
    condition->optional = length > 1 && pair->key->text[length - 1] == '?';
    condition->name = dray_draft_copy(draft, pair->key->text, length - (size_t)condition->optional);
    if (!condition->name)
        return DRAY_NO_MEMORY;
    const struct fact *fact = find_fact(condition->name);
    if (!fact) {
        static const char *const others[] = {"not"};
        report_fact(draft, pair->key, condition->name, others, DRAY_COUNT(others));
        (*problems)++;
        return 0;
    }
    condition->glob = fact->glob;
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

static int value_matches(const struct dray_condition *condition, const json_t *known)
{
    const char *value = json_string_value(known);

    for (size_t i = 0; value && i < condition->value_count; i++) {
        const char *wanted = condition->values[i];
        if (condition->glob ? glob_matches(wanted, value) : strcmp(wanted, value) == 0)
            return 1;
    }
    return 0;
}

static enum dray_truth fact_holds(const struct dray_condition *condition, const json_t *facts_known)
{
    const json_t *known = json_object_get(facts_known, condition->name);

    /* A dataset without tags lacks them. */
    if (!known || (json_is_array(known) && json_array_size(known) == 0))
        return condition->optional || is_of_target(condition->name) ? DRAY_FALSE : DRAY_UNKNOWN;
    if (value_matches(condition, known))
        return DRAY_TRUE;
    for (size_t i = 0; i < json_array_size(known); i++)
        if (value_matches(condition, json_array_get(known, i)))
            return DRAY_TRUE;
    return DRAY_FALSE;
}

/* All parts hold, or the first that does not, or the first that is not known. */
static enum dray_truth all_hold(const struct dray_condition *condition, const json_t *known,
                                const struct dray_condition **ret_decisive)
{
    enum dray_truth all = DRAY_TRUE;

    for (size_t i = 0; i < condition->part_count; i++) {
        const struct dray_condition *decisive = NULL;
        enum dray_truth truth = dray_condition_holds(&condition->parts[i], known, &decisive);
        if (truth == DRAY_FALSE || (truth == DRAY_UNKNOWN && all == DRAY_TRUE))
            *ret_decisive = decisive;
        if (truth == DRAY_FALSE)
            return DRAY_FALSE;
        if (truth == DRAY_UNKNOWN)
            all = DRAY_UNKNOWN;
    }
    return all;
}

enum dray_truth dray_condition_holds(const struct dray_condition *condition, const json_t *known,
                                     const struct dray_condition **ret_decisive)
{
    enum dray_truth truth = DRAY_TRUE;

    switch (condition->kind) {
    case DRAY_CONDITION_FACT:
        *ret_decisive = condition;
        return fact_holds(condition, known);
    case DRAY_CONDITION_ALL:
        return all_hold(condition, known, ret_decisive);
    case DRAY_CONDITION_NOT:
        truth = dray_condition_holds(&condition->parts[0], known, ret_decisive);
        if (truth == DRAY_UNKNOWN)
            return truth;
        *ret_decisive = condition;
        return truth == DRAY_TRUE ? DRAY_FALSE : DRAY_TRUE;
    }
    return truth;
}

/* ---- facts that somebody writes: in tests and on the command line */

/* Why a text cannot be what a fact is; NULL: it can. */
static const char *refusal(const struct fact *fact, const char *text)
{
    size_t count = 0;

    if (*text == '\0')
        return "it is never empty";
    while (fact->choices[count] && strcmp(fact->choices[count], text) != 0)
        count++;
    return !fact->choices[0] || fact->choices[count] ? NULL : "there is no such value";
}

static int set_fact(json_t *facts_known, const struct fact *fact, const char *name,
                    const char *text)
{
    json_t *value = json_string(text);
    json_t *before = json_object_get(facts_known, name);

    if (!fact->many)
        return json_object_set_new(facts_known, name, value);
    return before ? json_array_append_new(before, value)
                  : json_object_set_new(facts_known, name, json_pack("[o]", value));
}

/* What somebody says is the case: not what it may match. */
static int check_fact(struct dray_draft *draft, const struct fact *fact, const char *name,
                      const struct dray_node *node)
{
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "a value of %s is a text, not %s", name,
                     dray_node_what(node));
        return -1;
    }
    if (fact->glob && strchr(node->text, '*')) {
        dray_problem(draft, node->place, "\"%s\" is a pattern, and a test is about one case",
                     node->text);
        dray_diagnose_hint(draft->diagnostics, "write a value that the pattern matches");
        return -1;
    }
    if (check_shape(draft, name, node) != 0)
        return -1;
    return check_choice(draft, fact, name, node);
}

static void report_given(struct dray_draft *draft, const struct dray_node *key,
                         const char *const *others, size_t other_count)
{
    if (strcmp(key->text, "not") != 0) {
        report_fact(draft, key, key->text, others, other_count);
        return;
    }
    dray_problem(draft, key->place, "what is given is one case, without `not`");
    dray_diagnose_hint(draft->diagnostics, "write the facts of that case");
}

static int read_fact(struct dray_draft *draft, const struct dray_pair *pair,
                     const char *const *others, size_t other_count, json_t *facts_known)
{
    const char *name = pair->key->text;
    const struct fact *fact = find_fact(name);
    const struct dray_node *node = pair->value;
    size_t count = node->kind == DRAY_NODE_SEQUENCE ? node->count : 1;

    if (!fact) {
        report_given(draft, pair->key, others, other_count);
        return 0;
    }
    if (node->kind == DRAY_NODE_SEQUENCE && !fact->many) {
        dray_problem(draft, node->place, "%s is one value, not a list", name);
        dray_diagnose_hint(draft->diagnostics, "write a test for each");
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        const struct dray_node *item = node->kind == DRAY_NODE_SEQUENCE ? node->items[i] : node;
        if (check_fact(draft, fact, name, item) == 0 &&
            set_fact(facts_known, fact, name, item->text) != 0)
            return dray_fail_memory(draft->error);
    }
    return 0;
}

int dray_facts_read(struct dray_draft *draft, const struct dray_node *node,
                    const char *const *others, size_t other_count, json_t *facts_known)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < node->count; i++) {
        int other = 0;
        for (size_t k = 0; k < other_count; k++)
            other |= strcmp(node->pairs[i].key->text, others[k]) == 0;
        if (!other)
            result = read_fact(draft, &node->pairs[i], others, other_count, facts_known);
    }
    return result;
}

int dray_facts_set(json_t *facts_known, const char *text, struct dray_error *error)
{
    const char *equals = strchr(text, '=');
    dray_autofree char *name = equals ? strndup(text, (size_t)(equals - text)) : strdup(text);
    const struct fact *fact = name ? find_fact(name) : NULL;

    if (!name)
        return dray_fail_memory(error);
    if (!equals || !fact) {
        (void)dray_fail(error, DRAY_INVALID,
                        equals ? "no fact is called \"%s\"" : "%s is not NAME=VALUE", name);
        dray_hint(error, "for example dataset.tags=human, target.type=cloud, user.role=operator");
        return error->class_;
    }
    const char *why = refusal(fact, equals + 1);
    if (why) {
        char among[64];
        (void)dray_fail(error, DRAY_INVALID, "\"%s\" is no value of %s: %s", equals + 1, name, why);
        if (fact->choices[0])
            dray_hint(error, "%s", choices_text(fact, among));
        return error->class_;
    }
    return set_fact(facts_known, fact, name, equals + 1) == 0 ? 0 : dray_fail_memory(error);
}
int dray_fact_at(size_t index, const char **ret_name, int *ret_glob,
                 const char *const **ret_choices)
{
    if (index >= DRAY_COUNT(facts))
        return -1;
    *ret_name = facts[index].name;
    *ret_glob = facts[index].glob;
    *ret_choices = facts[index].choices;
    return 0;
}
