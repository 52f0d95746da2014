/* SPDX-License-Identifier: MIT */
/* recipe_use.c - a workflow's step that stands for a recipe's steps: `uses: recipe/NAME@VERSION`.
 */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

#define PREFIX "recipe/"

int dray_recipe_is_used(const struct dray_node *step)
{
    const struct dray_node *uses = dray_node_get(step, "uses");

    return uses && uses->kind == DRAY_NODE_SCALAR &&
           strncmp(uses->text, PREFIX, strlen(PREFIX)) == 0;
}

void dray_recipe_note(struct dray_draft *draft, struct dray_recipe_use *use)
{
    if (!use || use->noted)
        return;
    use->noted = 1;
    dray_diagnose(draft->diagnostics, use->uses_place, DRAY_SEVERITY_NOTE,
                  "\"%s\" stands for the steps of %s, where there is a problem",
                  use->id ? use->id : "?", use->recipe->file);
    dray_diagnose_hint(draft->diagnostics, "dray recipe show %s prints them", use->recipe->label);
}

/* ---- finding it */

/* What is written behind `recipe/`: the name, and the version or 0. -1 after a problem. */
static int read_reference(struct dray_draft *draft, const struct dray_node *uses,
                          const char **ret_name, int64_t *ret_version)
{
    const char *text = uses->text + strlen(PREFIX);
    const char *at = strchr(text, '@');
    size_t length = at ? (size_t)(at - text) : strlen(text);
    const char *why = NULL;

    *ret_version = 0;
    *ret_name = dray_draft_copy(draft, text, length);
    if (!*ret_name)
        return draft->error->class_;
    if (!dray_is_id(text, length)) {
        dray_problem(draft, uses->place, "\"%s\" cannot be the name of a recipe", *ret_name);
        dray_diagnose_hint(draft->diagnostics, "write recipe/NAME or recipe/NAME@VERSION");
        return -1;
    }
    if (at &&
        (dray_int_parse(at + 1, strlen(at + 1), ret_version, &why) != 0 || *ret_version < 1)) {
        dray_problem(draft, dray_node_place_at(uses, (size_t)(at + 1 - uses->text)),
                     "\"%s\" is no version of a recipe", at + 1);
        dray_diagnose_hint(draft->diagnostics,
                           "a number from 1 on, or nothing from the `@` on for the newest");
        return -1;
    }
    return 0;
}

/* All versions of the list's recipe of that name, for a hint. */
static void hint_versions(struct dray_draft *draft, const json_t *recipe)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1u << 10};
    const json_t *versions = json_object_get(recipe, "versions");
    size_t count = json_array_size(versions);

    for (size_t i = 0; i < count && i < 8; i++)
        dray_buffer_format(&text,
                           i           ? ", %lld"
                           : count > 1 ? "it has versions %lld"
                                       : "it has version %lld",
                           (long long)json_integer_value(json_array_get(versions, i)));
    if (count > 8)
        dray_buffer_format(&text, " and %zu more", count - 8);
    if (text.data)
        dray_diagnose_hint(draft->diagnostics, "%s", text.data);
}

/* What there is instead of a recipe that is not there. */
static void suggest(struct dray_draft *draft, const char *name, const json_t *list)
{
    size_t count = json_array_size(list);
    dray_autofree const char **names = calloc(count + 1, sizeof(*names));

    dray_diagnose_hint(draft->diagnostics, count ? "dray recipe list names all"
                                                 : "none is saved yet: dray recipe save NAME FILE");
    for (size_t i = 0; names && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        names[i] = json_string_value(json_object_get(item, "name"));
        if (!names[i])
            return;
        if (strcmp(names[i], name) == 0) {
            hint_versions(draft, item);
            return;
        }
    }
    if (names)
        dray_diagnose_nearest(draft->diagnostics, name, names, count);
}

static int report_missing(struct dray_draft *draft, const struct dray_node *uses, const char *name,
                          int64_t version)
{
    json_t *list = NULL;
    int result = draft->saved ? draft->saved->list(draft->saved->arg, &list, draft->error) : 0;

    if (result != 0)
        return result;
    if (version)
        dray_problem(draft, uses->place, "there is no version %lld of a recipe \"%s\"",
                     (long long)version, name);
    else
        dray_problem(draft, uses->place, "there is no recipe \"%s\"", name);
    suggest(draft, name, list);
    json_decref(list);
    return 0;
}

/* The recipe of that label, read at most once. */
static int take_text(struct dray_draft *draft, const char *name, int64_t version, const char *text,
                     const struct dray_recipe **ret_recipe)
{
    const char *label = dray_draft_format(draft, "%s@%lld", name, (long long)version);
    const char *file = label ? dray_draft_format(draft, PREFIX "%s", label) : NULL;
    struct dray_document *document = NULL;
    size_t before = draft->diagnostics->errors;

    if (!file)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < draft->recipe_count; i++) {
        if (strcmp(draft->recipes[i]->label, label) == 0) {
            *ret_recipe = draft->recipes[i];
            return 0;
        }
    }
    int result =
        dray_document_parse(file, text, strlen(text), draft->diagnostics, &document, draft->error);
    if (result != 0)
        return result;
    struct dray_recipe *recipe = dray_recipe_add(draft, label, file, document);
    if (!recipe)
        return DRAY_NO_MEMORY;
    recipe->has_problems = draft->diagnostics->errors > before;
    *ret_recipe = recipe;
    return dray_recipe_read(draft, recipe);
}

static int find(struct dray_draft *draft, const struct dray_node *uses,
                const struct dray_recipe **ret_recipe)
{
    dray_autofree char *text = NULL;
    const char *name = NULL;
    int64_t version = 0, found = 0;
    int result = read_reference(draft, uses, &name, &version);

    if (result != 0)
        return draft->error->class_;
    result = draft->saved
                 ? draft->saved->find(draft->saved->arg, name, version, &text, &found, draft->error)
                 : DRAY_NOT_FOUND;
    if (result == DRAY_NOT_FOUND) {
        *draft->error = (struct dray_error){0};
        return report_missing(draft, uses, name, version);
    }
    if (result != 0) {
        if (draft->error->where[0] == '\0')
            dray_where(draft->error, "%s:%u:%u", dray_place_file(draft->diagnostics, uses->place),
                       uses->place.line, uses->place.column);
        return result;
    }
    return take_text(draft, name, found, text, ret_recipe);
}

int dray_recipe_find(struct dray_draft *draft, const struct dray_node *step,
                     struct dray_recipe_use **ret_use)
{
    const struct dray_node *uses = dray_node_get(step, "uses");
    struct dray_recipe_use *use = dray_draft_array(draft, 1, sizeof(*use));

    if (!use)
        return DRAY_NO_MEMORY;
    use->node = step;
    use->place = step->place;
    use->uses_place = uses->place;
    *ret_use = use;
    return find(draft, uses, &use->recipe);
}

/* ---- putting its steps in */

/* One of which nothing is known, as for a plugin that is not there. */
static void add_unknown(struct dray_draft *draft, const struct dray_recipe_use *use)
{
    struct dray_draft_step *step = &draft->steps[draft->step_count++];

    dray_step_defaults(step);
    step->id = use->id;
    step->node = use->node;
    step->place = use->place;
    step->uses_place = use->uses_place;
    step->rank = 4 * draft->step_count;
}

int dray_recipe_expand(struct dray_draft *draft, struct dray_recipe_use *use)
{
    struct dray_parameters own = {0}, outer = draft->parameters;
    struct dray_draft_step limits = {0};

    dray_step_defaults(&limits);
    dray_step_limits(draft, &limits, use->node);
    if (use->recipe && use->recipe->has_problems)
        dray_recipe_note(draft, use);
    if (!use->recipe || !use->recipe->steps) {
        add_unknown(draft, use);
        return draft->error->class_;
    }
    int result = dray_parameters_declared(draft, use->recipe->parameters, &own);
    if (result == 0)
        result = dray_parameters_give(draft, use->recipe->file, dray_node_get(use->node, "with"),
                                      use->uses_place, &own);
    if (result != 0)
        return result;
    size_t before = draft->diagnostics->errors;
    draft->parameters = own;
    result = dray_recipe_steps(draft, use->recipe, use, &limits);
    draft->parameters = outer;
    use->last = draft->step_count - 1;
    if (draft->diagnostics->errors > before)
        dray_recipe_note(draft, use);
    return result;
}

/* The rule whose steps would have the id of a recipe's step. */
static const struct dray_rule *rule_of_id(const struct dray_draft *draft, const char *policy,
                                          const char *rule)
{
    for (size_t i = 0; i < draft->policy_count; i++) {
        const struct dray_policy *from = draft->policies[i];
        for (size_t k = 0; from->name && strcmp(from->name, policy) == 0 && k < from->rule_count;
             k++)
            if (from->rules[k].id && strcmp(from->rules[k].id, rule) == 0)
                return &from->rules[k];
    }
    return NULL;
}

void dray_recipe_check_ids(struct dray_draft *draft)
{
    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        if (!step->use || !step->use->id || !step->id)
            continue;
        const char *own = step->id + strlen(step->use->id) + 1;
        const struct dray_rule *rule = rule_of_id(draft, step->use->id, own);
        if (!rule)
            continue;
        dray_problem(draft, dray_node_get(step->use->node, "id")->place,
                     "step \"%s\" of %s would be called \"%s\" here, and so is a rule of %s", own,
                     step->use->recipe->file, step->id, rule->policy->file);
        dray_diagnose_hint(draft->diagnostics, "give it another id");
    }
}

/* ---- as the workflow knows it */

const char *dray_step_written_id(const struct dray_draft_step *step)
{
    return step->use ? step->use->id : step->id;
}

const struct dray_node *dray_step_written(const struct dray_draft *draft, size_t index)
{
    const struct dray_draft_step *step = &draft->steps[index];

    if (!step->use)
        return step->node;
    return index > 0 && draft->steps[index - 1].use == step->use ? NULL : step->use->node;
}

struct dray_place dray_step_written_place(const struct dray_draft_step *step)
{
    return step->use ? step->use->place : step->place;
}
