/* SPDX-License-Identifier: MIT */
/* workflow.c - a workflow's file: its keys and its steps. Who needs whom is wire.c's. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"
#include "core/plan/keys.h"

#define SECOND INT64_C(1000000000)

static void read_version(struct dray_draft *draft, const struct dray_node *root)
{
    const struct dray_node *node = dray_node_get(root, "version");
    int64_t version;

    if (!node) {
        dray_problem(draft, draft->top, "the workflow has no `version`");
        dray_diagnose_hint(draft->diagnostics, "version: 1");
        dray_draft_follow(draft, root, "version", DRAY_MAPPING_WORKFLOW);
    } else if (!dray_node_int(node, &version) || version < 1) {
        dray_problem(draft, node->place, "`version` is 1, not %s", dray_node_shown(node));
        dray_diagnose_hint(draft->diagnostics, "version: 1");
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
    static const char *const choices[] = {"keep", "skip", "copy", "fail"};

    if (!node)
        return;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "`tree` is a mapping, not %s", dray_node_what(node));
        return;
    }
    dray_keys_check(node, "`tree`", DRAY_MAPPING_TREE, draft->diagnostics);
    const struct dray_node *empty = dray_node_get(node, "keep_empty_dirs");
    if (empty && !dray_node_bool(empty, &draft->keep_empty_dirs)) {
        dray_problem(draft, empty->place, "`keep_empty_dirs` is true or false, not %s",
                     dray_node_what(empty));
        if (dray_node_old_bool(empty))
            dray_diagnose_hint(draft->diagnostics, "write %s", dray_node_old_bool(empty));
    }
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
        dray_problem(draft, node->place,
                     "`%s` takes a duration such as 30s, 10m or 24h, not \"%s\": %s", key, text,
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
    int64_t tries;

    if (!node)
        return;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "`retry` is a mapping, not %s", dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics,
                           "write retry: { tries: 5, backoff: 10s, max_backoff: 10m }");
        return;
    }
    dray_keys_check(node, "`retry`", DRAY_MAPPING_RETRY, draft->diagnostics);
    const struct dray_node *count = dray_node_get(node, "tries");
    if (count && (!dray_node_int(count, &tries) || tries < 1 || tries > 100))
        dray_problem(draft, count->place, "`tries` is a number from 1 to 100, not %s",
                     dray_node_shown(count));
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

void dray_step_limits(struct dray_draft *draft, struct dray_draft_step *step,
                      const struct dray_node *node)
{
    (void)read_duration(draft, node, "timeout", &step->timeout);
    (void)read_duration(draft, node, "stall", &step->stall);
    read_retry(draft, step, dray_node_get(node, "retry"));
}

static void read_id(struct dray_draft *draft, struct dray_place place, const struct dray_node *node,
                    const char **ret_id)
{
    const struct dray_node *id = dray_node_get(node, "id");

    if (id) {
        *ret_id = dray_draft_id(draft, id, "the id of a step");
    } else {
        dray_problem(draft, place, "the step has no `id`");
        dray_diagnose_hint(draft->diagnostics, "messages and reports name a step by it");
        dray_draft_follow(draft, node, "id", DRAY_MAPPING_STEP);
    }
}

static int read_use(struct dray_draft *draft, struct dray_recipe_use *use)
{
    use->place.width = 1;
    dray_keys_check(use->node, "a step", DRAY_MAPPING_STEP, draft->diagnostics);
    read_id(draft, use->place, use->node, &use->id);
    return dray_recipe_expand(draft, use);
}

/* `- filter/glob: { include: … }`: the plugin's name where a key belongs. */
static int is_named_by_key(const struct dray_node *node)
{
    return node->count == 1 && strchr(node->pairs[0].key->text, '/') != NULL;
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
    if (is_named_by_key(node)) {
        const struct dray_node *key = node->pairs[0].key;
        dray_problem(draft, key->place, "a step says what it does with `uses`");
        dray_diagnose_hint(draft->diagnostics, "write { id: NAME, uses: %s, with: … }", key->text);
        return 0;
    }
    step->place.width = 1;
    dray_keys_check(node, "a step", DRAY_MAPPING_STEP, draft->diagnostics);
    read_id(draft, step->place, node, &step->id);
    dray_step_limits(draft, step, node);
    int result = dray_step_uses(draft, step, node);
    dray_draft_follow(draft, node, "uses", DRAY_MAPPING_STEP);
    /* options that stand below a misspelled `with` are not missing */
    if (result == 0 && (step->with_node || !dray_keys_meant(node, "with", DRAY_MAPPING_STEP)))
        result = dray_step_options(draft, step, draft->base);
    return result;
}

/* Of two steps with one id; an alias is the step itself, at the place where that is written. */
static void report_duplicate(struct dray_draft *draft, const struct dray_node *first,
                             struct dray_place place, const struct dray_node *node, const char *id)
{
    dray_problem(draft, dray_node_get(node, "id")->place,
                 node == first ? "an alias repeats this step, so two steps have the id \"%s\""
                               : "two steps have the id \"%s\": the other is on line %u",
                 id, place.line);
    if (node == first)
        dray_diagnose_hint(draft->diagnostics, "write the other out, with an id of its own");
}

/* Several steps of one recipe are one step here. */
static void report_duplicates(struct dray_draft *draft)
{
    for (size_t i = 0; i < draft->step_count; i++) {
        const char *id = dray_step_written_id(&draft->steps[i]);
        const struct dray_node *node = dray_step_written(draft, i);
        for (size_t k = 0; id && node && k < i; k++) {
            const char *first = dray_step_written_id(&draft->steps[k]);
            if (!first || strcmp(id, first) != 0)
                continue;
            report_duplicate(draft, dray_step_written(draft, k),
                             dray_step_written_place(&draft->steps[k]), node, id);
            break;
        }
    }
}

static int report_too_many(struct dray_draft *draft, const struct dray_node *node, size_t count)
{
    dray_problem(draft, node->place,
                 "a workflow has at most %d steps, and this one %zu with those of its recipes",
                 DRAY_WORKFLOW_MAX_STEPS, count);
    return 0;
}

/* The recipes that steps use, NULL for other steps; and how many steps there will be. */
static int find_recipes(struct dray_draft *draft, const struct dray_node *node,
                        struct dray_recipe_use **uses, size_t *ret_count)
{
    size_t count = 0;

    for (size_t i = 0; i < node->count; i++) {
        count++;
        if (!dray_recipe_is_used(node->items[i]))
            continue;
        int result = dray_recipe_find(draft, node->items[i], &uses[i]);
        if (result != 0)
            return result;
        if (uses[i]->recipe && uses[i]->recipe->steps)
            count += uses[i]->recipe->steps->count - 1;
    }
    *ret_count = count;
    return 0;
}

static int read_each(struct dray_draft *draft, const struct dray_node *node,
                     struct dray_recipe_use *const *uses)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < node->count; i++) {
        if (uses[i]) {
            result = read_use(draft, uses[i]);
            continue;
        }
        struct dray_draft_step *step = &draft->steps[draft->step_count++];
        dray_step_defaults(step);
        step->rank = 4 * draft->step_count;
        result = read_step(draft, step, node->items[i]);
        draft->has_sources |= step->known && step->role == DRAY_STEP_SOURCE;
    }
    return result;
}

static int read_steps(struct dray_draft *draft, const struct dray_node *root)
{
    const struct dray_node *node = dray_node_get(root, "steps");
    size_t count = 0;

    if (!node) {
        dray_problem(draft, draft->top, "the workflow has no `steps`");
        dray_draft_follow(draft, root, "steps", DRAY_MAPPING_WORKFLOW);
        return 0;
    }
    if (node->kind != DRAY_NODE_SEQUENCE || node->count == 0) {
        dray_problem(draft, node->place, "`steps` is a list of steps, not %s",
                     node->kind == DRAY_NODE_SEQUENCE ? "an empty one" : dray_node_what(node));
        dray_diagnose_hint(draft->diagnostics, node->kind == DRAY_NODE_MAPPING
                                                   ? "begin each step with `- `"
                                                   : "- { id: NAME, uses: KIND/PLUGIN, with: … }");
        return 0;
    }
    if (node->count > DRAY_WORKFLOW_MAX_STEPS) {
        dray_problem(draft, node->items[DRAY_WORKFLOW_MAX_STEPS]->place,
                     "a workflow has at most %d steps, and this one %zu", DRAY_WORKFLOW_MAX_STEPS,
                     node->count);
        return 0;
    }
    struct dray_recipe_use **uses = dray_draft_array(draft, node->count, sizeof(*uses));
    int result = uses ? find_recipes(draft, node, uses, &count) : DRAY_NO_MEMORY;
    if (result != 0)
        return result;
    if (count > DRAY_WORKFLOW_MAX_STEPS)
        return report_too_many(draft, node, count);
    /* Each may be a source with a validate step to be added, and there may be one more of both. */
    draft->steps = dray_draft_array(draft, 2 * count + 2, sizeof(*draft->steps));
    if (!draft->steps)
        return DRAY_NO_MEMORY;
    result = read_each(draft, node, uses);
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
    dray_keys_check(root, "a workflow", DRAY_MAPPING_WORKFLOW, draft->diagnostics);
    read_version(draft, root);
    draft->parameters_lost = !dray_node_get(root, "parameters") &&
                             dray_keys_meant(root, "parameters", DRAY_MAPPING_WORKFLOW);
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
