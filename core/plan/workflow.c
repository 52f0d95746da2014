/* SPDX-License-Identifier: MIT */
/* workflow.c - a workflow's file: its keys and its steps. Who needs whom is wire.c's. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

#define SECOND INT64_C(1000000000)

static const char *const top_keys[] = {"version", "name", "dataset", "parameters", "tree", "steps"};
static const char *const step_keys[] = {"id",    "uses",    "with",  "needs",
                                        "after", "timeout", "stall", "retry"};

static void read_version(struct dray_draft *draft, const struct dray_node *root)
{
    const struct dray_node *node = dray_node_get(root, "version");
    int64_t version;

    if (!node) {
        dray_problem(draft, draft->top, "the workflow has no `version`");
        dray_diagnose_hint(draft->diagnostics, "version: 1");
    } else if (!dray_node_int(node, &version) || version < 1) {
        dray_problem(draft, node->place, "`version` is 1, not %s",
                     node->kind == DRAY_NODE_SCALAR ? node->text : dray_node_what(node));
    } else if (version != 1) {
        dray_problem(draft, node->place, "this release reads version 1 of workflows, not %s",
                     node->text);
    }
}

/* A scalar's text with its parameters; NULL after a problem. */
static const char *read_text(struct dray_draft *draft, const struct dray_node *node,
                             const char *key)
{
    if (node->kind == DRAY_NODE_SCALAR)
        return dray_draft_expand(draft, node);
    dray_problem(draft, node->place, "`%s` is a text, not %s", key, dray_node_what(node));
    return NULL;
}

static void read_tree(struct dray_draft *draft, const struct dray_node *node)
{
    static const char *const keys[] = {"symlinks", "keep_empty_dirs"};
    static const char *const choices[] = {"keep", "skip", "copy", "fail"};

    if (!node)
        return;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "`tree` is a mapping, not %s", dray_node_what(node));
        return;
    }
    dray_node_known_keys(node, "`tree`", keys, DRAY_COUNT(keys), draft->diagnostics);
    const struct dray_node *empty = dray_node_get(node, "keep_empty_dirs");
    if (empty && !dray_node_bool(empty, &draft->keep_empty_dirs))
        dray_problem(draft, empty->place, "`keep_empty_dirs` is true or false, not %s",
                     dray_node_what(empty));
    const struct dray_node *links = dray_node_get(node, "symlinks");
    const char *text = links ? read_text(draft, links, "symlinks") : NULL;
    if (!text)
        return;
    for (size_t i = 0; i < DRAY_COUNT(choices); i++)
        if (strcmp(text, choices[i]) == 0)
            draft->symlinks = choices[i];
    if (strcmp(text, draft->symlinks) != 0) {
        dray_problem(draft, links->place, "`symlinks` is keep, skip, copy or fail, not \"%s\"",
                     text);
        dray_diagnose_nearest(draft->diagnostics, text, choices, DRAY_COUNT(choices));
    }
}

/* 1 and a duration; 0 when the node is missing or wrong. */
static int read_duration(struct dray_draft *draft, const struct dray_node *mapping, const char *key,
                         int64_t *ret_ns)
{
    const struct dray_node *node = dray_node_get(mapping, key);
    const char *why = NULL;
    int64_t ns;

    const char *text = node ? read_text(draft, node, key) : NULL;
    if (!text)
        return 0;
    if (dray_duration_parse(text, strlen(text), &ns, &why) != 0) {
        dray_problem(draft, node->place, "`%s` takes a duration such as 30s, 10m or 24h: %s", key,
                     why);
        return 0;
    }
    if (ns <= 0 || ns == DRAY_NONE) {
        dray_problem(draft, node->place, "`%s` takes a duration, not \"%s\"", key, text);
        dray_diagnose_hint(draft->diagnostics, "a step that hangs must come to an end");
        return 0;
    }
    *ret_ns = ns;
    return 1;
}

static void read_retry(struct dray_draft *draft, struct dray_draft_step *step,
                       const struct dray_node *node)
{
    static const char *const keys[] = {"tries", "backoff", "max_backoff"};
    int64_t tries;

    if (!node)
        return;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "`retry` is a mapping, not %s", dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics,
                           "write retry: { tries: 5, backoff: 10s, max_backoff: 10m }");
        return;
    }
    dray_node_known_keys(node, "`retry`", keys, DRAY_COUNT(keys), draft->diagnostics);
    const struct dray_node *count = dray_node_get(node, "tries");
    if (count && (!dray_node_int(count, &tries) || tries < 1 || tries > 100))
        dray_problem(draft, count->place, "`tries` is a number from 1 to 100");
    else if (count)
        step->retry.tries = (uint32_t)tries;
    (void)read_duration(draft, node, "backoff", &step->retry.backoff);
    int limited = read_duration(draft, node, "max_backoff", &step->retry.max_backoff);
    if (step->retry.max_backoff >= step->retry.backoff)
        return;
    if (limited)
        dray_problem(draft, dray_node_get(node, "max_backoff")->place,
                     "`max_backoff` is less than `backoff`");
    step->retry.max_backoff = step->retry.backoff;
}

static int read_step(struct dray_draft *draft, struct dray_draft_step *step,
                     const struct dray_node *node)
{
    step->node = node;
    step->place = node->place;
    step->uses_place = node->place;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "a step is a mapping with `id` and `uses`, not %s",
                     dray_node_what(node));
        return 0;
    }
    step->place.width = 1;
    dray_node_known_keys(node, "a step", step_keys, DRAY_COUNT(step_keys), draft->diagnostics);
    const struct dray_node *id = dray_node_get(node, "id");
    if (id) {
        step->id = dray_draft_id(draft, id, "the id of a step");
    } else {
        dray_problem(draft, step->place, "the step has no `id`");
        dray_diagnose_hint(draft->diagnostics, "messages and reports name a step by it");
    }
    (void)read_duration(draft, node, "timeout", &step->timeout);
    (void)read_duration(draft, node, "stall", &step->stall);
    read_retry(draft, step, dray_node_get(node, "retry"));
    int result = dray_step_uses(draft, step, node);
    if (result == 0)
        result = dray_step_options(draft, step, draft->base);
    return result;
}

static void report_duplicates(struct dray_draft *draft)
{
    for (size_t i = 0; i < draft->step_count; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct dray_draft_step *first = &draft->steps[k];
            struct dray_draft_step *step = &draft->steps[i];
            if (!step->id || !first->id || strcmp(step->id, first->id) != 0)
                continue;
            dray_problem(draft, dray_node_get(step->node, "id")->place,
                         "two steps have the id \"%s\": the other is on line %u", step->id,
                         first->place.line);
            break;
        }
    }
}

static int read_steps(struct dray_draft *draft, const struct dray_node *root)
{
    const struct dray_node *node = dray_node_get(root, "steps");

    if (!node) {
        dray_problem(draft, draft->top, "the workflow has no `steps`");
        return 0;
    }
    if (node->kind != DRAY_NODE_SEQUENCE || node->count == 0) {
        dray_problem(draft, node->place, "`steps` is a list of steps, not %s",
                     node->kind == DRAY_NODE_SEQUENCE ? "an empty one" : dray_node_what(node));
        return 0;
    }
    if (node->count > DRAY_WORKFLOW_MAX_STEPS) {
        dray_problem(draft, node->items[DRAY_WORKFLOW_MAX_STEPS]->place,
                     "a workflow has at most %d steps, and this one %zu", DRAY_WORKFLOW_MAX_STEPS,
                     node->count);
        return 0;
    }
    /* Each may be a source with a validate step to be added, and there may be one more of both. */
    draft->steps = dray_draft_array(draft, 2 * node->count + 2, sizeof(*draft->steps));
    if (!draft->steps)
        return DRAY_NO_MEMORY;
    int result = 0;
    for (size_t i = 0; result == 0 && i < node->count; i++) {
        struct dray_draft_step *step = &draft->steps[draft->step_count++];
        dray_step_defaults(step);
        step->rank = 4 * (i + 1);
        result = read_step(draft, step, node->items[i]);
        draft->has_sources |= step->known && step->role == DRAY_STEP_SOURCE;
    }
    report_duplicates(draft);
    return result;
}

void dray_step_defaults(struct dray_draft_step *step)
{
    step->timeout = 24 * 3600 * SECOND;
    step->stall = 600 * SECOND;
    step->retry = (struct dray_retry){3, 10 * SECOND, 600 * SECOND};
}

int dray_workflow_read(struct dray_draft *draft, const char *const *sets, size_t set_count)
{
    const struct dray_node *root = dray_document_root(draft->document);

    draft->symlinks = "keep";
    if (!root) {
        if (draft->diagnostics->errors == draft->errors_before)
            dray_problem(draft, draft->top, "the workflow is empty");
        return 0;
    }
    draft->top = root->place;
    draft->top.width = 1;
    if (root->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, draft->top,
                     "a workflow is a mapping with `version` and `steps`, not %s",
                     dray_node_what(root));
        return 0;
    }
    dray_node_known_keys(root, "a workflow", top_keys, DRAY_COUNT(top_keys), draft->diagnostics);
    read_version(draft, root);
    int result = dray_parameters_read(draft, sets, set_count);
    if (result != 0)
        return result;
    const struct dray_node *name = dray_node_get(root, "name");
    if (name)
        draft->name = read_text(draft, name, "name");
    draft->dataset_node = dray_node_get(root, "dataset");
    read_tree(draft, dray_node_get(root, "tree"));
    result = read_steps(draft, root);
    return draft->error->class_ ? draft->error->class_ : result;
}
