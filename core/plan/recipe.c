/* SPDX-License-Identifier: MIT */
/* recipe.c - a recipe's file: its head and its steps, which form a chain. recipe_use.c puts them
 * into workflows. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/plan/keys.h"

/* `needs` and `after` are known, to say why they are not taken. */
static const char *const step_keys[] = {"id",    "uses",  "with",  "timeout",
                                        "stall", "retry", "needs", "after"};

struct dray_recipe *dray_recipe_add(struct dray_draft *draft, const char *label, const char *file,
                                    struct dray_document *document)
{
    struct dray_recipe *recipe = dray_draft_array(draft, 1, sizeof(*recipe));

    if (!recipe || DRAY_GROW(draft->recipes, draft->recipe_count, draft->recipe_capacity)) {
        dray_document_free(document);
        (void)dray_fail_memory(draft->error);
        return NULL;
    }
    recipe->document = document;
    recipe->label = label;
    recipe->file = file;
    recipe->place.source = (uint32_t)(draft->diagnostics->source_count - 1);
    draft->recipes[draft->recipe_count++] = recipe;
    return recipe;
}

/* ---- the head */

static void read_version(struct dray_draft *draft, const struct dray_recipe *recipe,
                         const struct dray_node *root)
{
    const struct dray_node *node = dray_node_get(root, "version");
    int64_t version;

    if (!node) {
        dray_problem(draft, recipe->place, "the recipe has no `version`");
        dray_diagnose_hint(draft->diagnostics, "version: 1");
    } else if (!dray_node_int(node, &version) || version != 1) {
        dray_problem(draft, node->place, "this release reads version 1 of recipes, not %s",
                     node->kind == DRAY_NODE_SCALAR ? node->text : dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics, "it is the format's; Dray numbers what is saved");
    }
}

static void read_names(struct dray_draft *draft, const struct dray_recipe *recipe,
                       const struct dray_node *root)
{
    const struct dray_node *name = dray_node_get(root, "recipe");
    const struct dray_node *summary = dray_node_get(root, "summary");

    if (name) {
        (void)dray_draft_id(draft, name, "the name of a recipe");
    } else {
        dray_problem(draft, recipe->place, "the recipe has no name");
        dray_diagnose_hint(draft->diagnostics, "recipe: NAME");
    }
    if (summary && summary->kind != DRAY_NODE_SCALAR)
        dray_problem(draft, summary->place, "`summary` is a text, not %s", dray_node_what(summary));
}

static void report_duplicates(struct dray_draft *draft, const struct dray_node *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        const struct dray_node *id = dray_node_get(steps->items[i], "id");
        for (size_t k = 0; id && id->kind == DRAY_NODE_SCALAR && k < i; k++) {
            const struct dray_node *other = dray_node_get(steps->items[k], "id");
            if (!other || other->kind != DRAY_NODE_SCALAR || strcmp(id->text, other->text) != 0)
                continue;
            dray_problem(draft, id->place, "two steps have the id \"%s\": the other is on line %u",
                         id->text, other->place.line);
            break;
        }
    }
}

static void find_steps(struct dray_draft *draft, struct dray_recipe *recipe,
                       const struct dray_node *root)
{
    const struct dray_node *steps = dray_node_get(root, "steps");

    if (!steps) {
        dray_problem(draft, recipe->place, "the recipe has no `steps`");
    } else if (steps->kind != DRAY_NODE_SEQUENCE || steps->count == 0) {
        dray_problem(draft, steps->place, "`steps` is a list of steps, not %s",
                     steps->kind == DRAY_NODE_SEQUENCE ? "an empty one" : dray_node_what(steps));
    } else if (steps->count > DRAY_WORKFLOW_MAX_STEPS) {
        dray_problem(draft, steps->place, "a recipe has at most %d steps, and this one %zu",
                     DRAY_WORKFLOW_MAX_STEPS, steps->count);
    } else {
        recipe->steps = steps;
        report_duplicates(draft, steps);
    }
}

/* Reported once, whoever uses the recipe how often. */
static int check_parameters(struct dray_draft *draft, const struct dray_recipe *recipe)
{
    struct dray_parameters parameters = {0};

    return dray_parameters_declared(draft, recipe->parameters, &parameters);
}

static int read_head(struct dray_draft *draft, struct dray_recipe *recipe, size_t before)
{
    const struct dray_node *root = dray_document_root(recipe->document);

    if (!root) {
        if (draft->diagnostics->errors == before)
            dray_problem(draft, recipe->place, "the recipe is empty");
        return 0;
    }
    recipe->place = root->place;
    recipe->place.width = 1;
    if (root->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, recipe->place,
                     "a recipe is a mapping with `recipe` and `steps`, not %s",
                     dray_node_what(root));
        return 0;
    }
    dray_keys_check(root, "a recipe", DRAY_MAPPING_RECIPE, draft->diagnostics);
    read_version(draft, recipe, root);
    read_names(draft, recipe, root);
    find_steps(draft, recipe, root);
    recipe->parameters = dray_node_get(root, "parameters");
    return check_parameters(draft, recipe);
}

int dray_recipe_read(struct dray_draft *draft, struct dray_recipe *recipe)
{
    size_t before = draft->diagnostics->errors;
    int result = read_head(draft, recipe, before);

    recipe->has_problems |= draft->diagnostics->errors > before;
    return result;
}

/* ---- the steps */

static void refuse_order(struct dray_draft *draft, const struct dray_node *node, const char *key)
{
    const struct dray_pair *pair = dray_node_pair(node, key);

    if (!pair)
        return;
    dray_problem(draft, pair->key->place, "a recipe's steps have no `%s`", key);
    dray_diagnose_hint(draft->diagnostics, "each takes the tree of the one above it");
}

static const char *why_not(enum dray_step_role role)
{
    switch (role) {
    case DRAY_STEP_SOURCE:
        return "the workflow that uses the recipe says where the bytes come from";
    case DRAY_STEP_VALIDATE:
        return "it stands behind a source, and a recipe behind both";
    case DRAY_STEP_GUARD:
        return "a policy's `limit` adds it";
    case DRAY_STEP_PUSH:
        return "the workflow that uses the recipe says where it is delivered";
    case DRAY_STEP_FILTER:
    case DRAY_STEP_TRANSFORM:
        break;
    }
    return NULL;
}

/* 1 after a problem. */
static int refuse_uses(struct dray_draft *draft, const struct dray_node *uses)
{
    enum dray_step_role role;

    if (!uses || uses->kind != DRAY_NODE_SCALAR)
        return 0;
    if (strncmp(uses->text, "recipe/", strlen("recipe/")) == 0) {
        dray_problem(draft, uses->place, "a recipe uses no other recipe, such as \"%s\"",
                     uses->text);
        dray_diagnose_hint(draft->diagnostics, "write its steps here: dray recipe show %s",
                           uses->text + strlen("recipe/"));
        return 1;
    }
    const char *why = dray_role_of_uses(uses->text, &role) == 0 ? why_not(role) : NULL;
    if (!why)
        return 0;
    dray_problem(draft, uses->place, "a recipe holds filters and transforms, not \"%s\"",
                 uses->text);
    dray_diagnose_hint(draft->diagnostics, "%s", why);
    return 1;
}

static int read_id(struct dray_draft *draft, const struct dray_recipe_use *use,
                   struct dray_draft_step *step)
{
    const struct dray_node *node = dray_node_get(step->node, "id");
    const char *id = node ? dray_draft_id(draft, node, "the id of a step") : NULL;

    if (!node) {
        dray_problem(draft, step->place, "the step has no `id`");
        dray_diagnose_hint(draft->diagnostics, "messages and reports name a step by it");
    }
    step->id = id && use && use->id ? dray_draft_format(draft, "%s/%s", use->id, id) : id;
    return id && !step->id ? DRAY_NO_MEMORY : 0;
}

static int read_step(struct dray_draft *draft, const struct dray_recipe_use *use,
                     struct dray_draft_step *step)
{
    const struct dray_node *node = step->node;

    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "a step is a mapping with `id` and `uses`, not %s",
                     dray_node_what(node));
        return 0;
    }
    step->place.width = 1;
    dray_node_known_keys(node, "a recipe's step", step_keys, DRAY_COUNT(step_keys),
                         draft->diagnostics);
    refuse_order(draft, node, "needs");
    refuse_order(draft, node, "after");
    int result = read_id(draft, use, step);
    if (result != 0)
        return result;
    dray_step_limits(draft, step, node);
    if (refuse_uses(draft, dray_node_get(node, "uses")))
        return 0;
    result = dray_step_uses(draft, step, node);
    return result == 0 ? dray_step_options(draft, step, NULL) : result;
}

int dray_recipe_steps(struct dray_draft *draft, const struct dray_recipe *recipe,
                      struct dray_recipe_use *use, const struct dray_draft_step *limits)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < recipe->steps->count; i++) {
        struct dray_draft_step *step = &draft->steps[draft->step_count++];
        step->timeout = limits->timeout;
        step->stall = limits->stall;
        step->retry = limits->retry;
        step->rank = 4 * draft->step_count;
        step->use = use;
        step->node = recipe->steps->items[i];
        step->place = step->node->place;
        step->uses_place = step->node->place;
        result = read_step(draft, use, step);
    }
    return result;
}
