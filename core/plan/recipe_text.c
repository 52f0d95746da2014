/* SPDX-License-Identifier: MIT */
/* recipe_text.c - from a file to the text of a recipe that can be saved. */
#include "core/plan/draft.h"

#include <errno.h>
#include <string.h>

int dray_is_recipe_name(const char *text)
{
    return dray_is_id(text, strlen(text));
}

/* A text that was made is checked like one that somebody wrote. */
static int check_made(const struct dray_draft *workflow, const struct dray_asker *asker,
                      const char *name, const char *text)
{
    dray_autofree char *file = dray_format("recipe/%s", name);
    struct dray_document *document = NULL;
    struct dray_draft draft = {
        .diagnostics = workflow->diagnostics,
        .registry = workflow->registry,
        .error = workflow->error,
        .checking = 1,
        .errors_before = workflow->diagnostics->errors,
        .file = file,
    };

    if (!file)
        return dray_fail_memory(workflow->error);
    int result =
        dray_document_parse(file, text, strlen(text), draft.diagnostics, &document, draft.error);
    if (result != 0)
        return result;
    draft.top.source = (uint32_t)(draft.diagnostics->source_count - 1);
    if (!dray_recipe_is_cut(workflow, document)) {
        dray_document_free(document);
        dray_problem(workflow,
                     dray_node_get(dray_document_root(workflow->document), "steps")->place,
                     "the steps cannot be taken out of this file as they are written");
        dray_diagnose_hint(workflow->diagnostics,
                           "write a recipe's file, or the steps without anchors and aliases");
        return dray_diagnostics_error(workflow->diagnostics, workflow->error);
    }
    result = dray_check_end(&draft, dray_check_recipe(&draft, document), asker);
    dray_draft_free(&draft);
    return result;
}

static int of_workflow(struct dray_draft *draft, struct dray_document *document, const char *name,
                       const struct dray_asker *asker, char **ret_text)
{
    dray_autofree char *text = NULL;
    int result = dray_check_end(draft, dray_check_workflow(draft, document), asker);

    if (result == 0)
        result = dray_check_end(draft, dray_recipe_cut(draft, name, &text), NULL);
    if (result == 0)
        result = check_made(draft, asker, name, text);
    if (result == 0)
        *ret_text = DRAY_TAKE(text);
    return result;
}

static int of_recipe(struct dray_draft *draft, struct dray_document *document, const char *name,
                     const struct dray_asker *asker, char **ret_text)
{
    const struct dray_node *own = dray_node_get(dray_document_root(document), "recipe");
    size_t length = 0;

    if (own->kind == DRAY_NODE_SCALAR && dray_is_id(own->text, own->length) &&
        strcmp(own->text, name) != 0) {
        dray_problem(draft, own->place, "the recipe in this file is called \"%s\", not \"%s\"",
                     own->text, name);
        dray_diagnose_hint(draft->diagnostics, "dray recipe save %s FILE, or change it here",
                           own->text);
    }
    int result = dray_check_end(draft, dray_check_recipe(draft, document), asker);
    if (result != 0)
        return result;
    const char *text = dray_document_text(document, &length);
    *ret_text = strndup(text, length);
    return *ret_text ? 0 : dray_fail_memory(draft->error);
}

/* Takes the document. */
static int of_document(struct dray_draft *draft, struct dray_document *document, const char *name,
                       const struct dray_asker *asker, char **ret_text)
{
    const struct dray_node *root = dray_document_root(document);

    enum dray_file_is is = root ? dray_file_is(root) : DRAY_FILE_IS_UNKNOWN;

    if (is == DRAY_FILE_IS_RECIPE)
        return of_recipe(draft, document, name, asker, ret_text);
    if (is == DRAY_FILE_IS_WORKFLOW)
        return of_workflow(draft, document, name, asker, ret_text);
    if (root || draft->diagnostics->errors == draft->errors_before) {
        dray_problem(draft, root ? root->place : draft->top,
                     "this is neither a recipe nor a workflow");
        dray_diagnose_hint(draft->diagnostics, "a recipe has `recipe` and `steps`");
    }
    dray_document_free(document);
    return dray_check_end(draft, 0, NULL);
}

int dray_recipe_text(const char *path, const char *name, struct dray_registry *registry,
                     const struct dray_asker *asker, const struct dray_recipes *recipes,
                     struct dray_diagnostics *diagnostics, char **ret_text,
                     struct dray_error *error)
{
    dray_autofree char *base = dray_check_directory(path);
    struct dray_document *document = NULL;
    struct dray_error own = {0};
    struct dray_draft draft = {
        .diagnostics = diagnostics,
        .registry = registry,
        .error = &own,
        .checking = 1,
        .errors_before = diagnostics->errors,
        .file = path,
        .base = base,
        .saved = recipes,
    };
    int result = base ? dray_document_load(path, diagnostics, &document, &own)
                      : dray_fail_errno(&own, errno, "reading %s", path);

    if (result == 0) {
        draft.top.source = (uint32_t)(diagnostics->source_count - 1);
        result = of_document(&draft, document, name, asker, ret_text);
    }
    dray_diagnostics_sort(diagnostics);
    if (result != 0 && error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}
