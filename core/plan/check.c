/* SPDX-License-Identifier: MIT */
/* check.c - the problems of one file, a workflow, a policy or a recipe, without planning anything.
 */
#include "core/plan/draft.h"

#include <errno.h>
#include <string.h>

/* The directory that relative paths in the file start from. */
char *dray_check_directory(const char *path)
{
    char *real = realpath(path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;

    if (slash)
        slash[slash == real] = '\0';
    return real;
}

int dray_check_workflow(struct dray_draft *draft, struct dray_document *document)
{
    draft->document = document;
    int result = dray_workflow_read(draft, NULL, 0);

    if (result == 0)
        result = dray_dataset_find(draft, NULL, NULL);
    return result == 0 ? dray_workflow_wire(draft) : result;
}

static int check_policy(struct dray_draft *draft, struct dray_document *document)
{
    struct dray_policy *policy = dray_policy_add(draft, draft->file, draft->base);

    if (!policy) {
        dray_document_free(document);
        return DRAY_NO_MEMORY;
    }
    policy->document = document;
    policy->place.source = draft->top.source;
    int result = dray_policy_read(draft, policy);
    draft->policy_failed = draft->diagnostics->errors > draft->errors_before;
    return result;
}

/* The recipe stands for itself: its parameters have their defaults, if they have one. */
int dray_check_recipe(struct dray_draft *draft, struct dray_document *document)
{
    struct dray_recipe *recipe = dray_recipe_add(draft, draft->file, draft->file, document);
    struct dray_draft_step limits = {0};

    if (!recipe)
        return DRAY_NO_MEMORY;
    recipe->place.source = draft->top.source;
    int result = dray_recipe_read(draft, recipe);
    if (result == 0)
        result = dray_parameters_declared(draft, recipe->parameters, &draft->parameters);
    if (result != 0 || !recipe->steps)
        return result;
    draft->steps = dray_draft_array(draft, recipe->steps->count, sizeof(*draft->steps));
    if (!draft->steps)
        return DRAY_NO_MEMORY;
    dray_step_defaults(&limits);
    result = dray_recipe_steps(draft, recipe, NULL, &limits);
    return draft->error->class_ ? draft->error->class_ : result;
}

/* Does the mapping have one of two keys, or, when `nearly`, one that is likely to mean it? */
static int has(const struct dray_node *root, const char *key, const char *other, int nearly)
{
    const char *const keys[] = {key, other};

    return dray_node_get(root, key) || dray_node_get(root, other) ||
           (nearly &&
            (dray_node_meant(root, key, keys, 2) || dray_node_meant(root, other, keys, 2)));
}

enum dray_file_is dray_file_is(const struct dray_node *root)
{
    int is_policy = has(root, "policy", "rules", 0);
    int is_workflow = has(root, "steps", "dataset", 0);
    const struct dray_node *policies = dray_node_get(root, "policies");

    if (dray_node_get(root, "recipe"))
        return DRAY_FILE_IS_RECIPE;
    if (!is_policy && !is_workflow && policies && policies->kind == DRAY_NODE_MAPPING)
        return DRAY_FILE_IS_CONFIGURATION;
    if (!is_policy && !is_workflow) {
        is_workflow = has(root, "steps", "dataset", 1);
        is_policy = !is_workflow && has(root, "policy", "rules", 1);
    }
    if (is_policy && !is_workflow)
        return DRAY_FILE_IS_POLICY;
    return is_workflow || !root ? DRAY_FILE_IS_WORKFLOW : DRAY_FILE_IS_UNKNOWN;
}

/* Takes the document. */
static int check_document(struct dray_draft *draft, struct dray_document *document)
{
    const struct dray_node *root = dray_document_root(document);

    switch (dray_file_is(root)) {
    case DRAY_FILE_IS_RECIPE:
        return dray_check_recipe(draft, document);
    case DRAY_FILE_IS_POLICY:
        return check_policy(draft, document);
    case DRAY_FILE_IS_WORKFLOW:
        return dray_check_workflow(draft, document);
    case DRAY_FILE_IS_CONFIGURATION: /* is not read in this layer */
    case DRAY_FILE_IS_UNKNOWN:
        break;
    }
    struct dray_place place = root->place;
    place.width = 1;
    dray_problem(draft, place, "this is no workflow, policy, recipe or configuration");
    dray_diagnose_hint(
        draft->diagnostics,
        "a workflow has `steps`, a policy `policy` and `rules`, a recipe `recipe` and "
        "`steps`, a configuration `policies: {…}`");
    dray_document_free(document);
    return 0;
}

int dray_check_is_workflow(struct dray_draft *draft)
{
    const struct dray_node *root = dray_document_root(draft->document);
    enum dray_file_is is = dray_file_is(root);
    struct dray_place place = root ? root->place : draft->top;

    place.width = 1;
    if (is == DRAY_FILE_IS_RECIPE && !dray_node_get(root, "dataset")) {
        dray_problem(draft, place, "this is a recipe, not a workflow");
        dray_diagnose_hint(draft->diagnostics,
                           "dray recipe save NAME %s, and in a workflow's step "
                           "uses: recipe/NAME",
                           draft->file);
    } else if (is == DRAY_FILE_IS_POLICY) {
        dray_problem(draft, place, "this is a policy, not a workflow");
        dray_diagnose_hint(draft->diagnostics,
                           "give a workflow, and --policies with the policy's directory");
    } else if (is == DRAY_FILE_IS_CONFIGURATION) {
        dray_problem(draft, place, "this is a configuration, not a workflow");
        dray_diagnose_hint(draft->diagnostics, "give a workflow, and --config %s", draft->file);
    } else {
        return 0;
    }
    return dray_diagnostics_error(draft->diagnostics, draft->error);
}

int dray_check_end(struct dray_draft *draft, int result, const struct dray_asker *asker)
{
    if (result == 0)
        result = dray_draft_ask(draft, asker);
    if (draft->diagnostics->no_memory)
        return dray_fail_memory(draft->error);
    dray_diagnostics_sort(draft->diagnostics); /* what was met twice counts once */
    if (result != DRAY_NO_MEMORY && draft->diagnostics->errors > draft->errors_before)
        return dray_diagnostics_error(draft->diagnostics, draft->error);
    return result;
}

/* `text` NULL: what is in the file. */
static int check(struct dray_draft *draft, const char *text, const struct dray_asker *asker)
{
    struct dray_document *document = NULL;
    int result = text
                     ? dray_document_parse(draft->file, text, strlen(text), draft->diagnostics,
                                           &document, draft->error)
                     : dray_document_load(draft->file, draft->diagnostics, &document, draft->error);

    if (result != 0)
        return result;
    draft->top.source = (uint32_t)(draft->diagnostics->source_count - 1);
    return dray_check_end(draft, check_document(draft, document), asker);
}

/* `base` NULL: the file's directory cannot be found, and errno says why. */
static int check_at(const char *name, const char *text, const char *base,
                    struct dray_registry *registry, const struct dray_asker *asker,
                    const struct dray_recipes *recipes, struct dray_diagnostics *diagnostics,
                    struct dray_error *error)
{
    struct dray_error own = {0};
    struct dray_draft draft = {
        .diagnostics = diagnostics,
        .registry = registry,
        .error = &own,
        .checking = 1,
        .advise = 1,
        .errors_before = diagnostics->errors,
        .file = name,
        .base = base,
        .saved = recipes,
    };
    int result =
        base ? check(&draft, text, asker) : dray_fail_errno(&own, errno, "reading %s", name);

    dray_diagnostics_sort(diagnostics);
    if (result != 0 && error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}

int dray_check_file(const char *path, struct dray_registry *registry,
                    const struct dray_asker *asker, const struct dray_recipes *recipes,
                    struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    dray_autofree char *base = dray_check_directory(path);

    return check_at(path, NULL, base, registry, asker, recipes, diagnostics, error);
}

int dray_check_text(const char *name, const char *text, const char *base,
                    struct dray_registry *registry, const struct dray_asker *asker,
                    const struct dray_recipes *recipes, struct dray_diagnostics *diagnostics,
                    struct dray_error *error)
{
    return check_at(name, text, base, registry, asker, recipes, diagnostics, error);
}
