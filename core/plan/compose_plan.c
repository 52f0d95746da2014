/* SPDX-License-Identifier: MIT */
/* compose_plan.c - nodes in order, and then as a plan that owns all it says. */
#include "core/plan/compose.h"

#include <string.h>

/* ---- order: of the steps that could come next, the one that stands first in the file */

/* Who waits for whom, the other way round: node n is waited for by to[start[n]] ... to[start[n +
 * 1]]. */
struct edges {
    size_t *start, *to, *pending;
};

static size_t after_of(const struct dray_compose *compose, const struct dray_compose_node *node,
                       size_t index)
{
    return compose->plain[node->from->after[index]];
}

static size_t after_count(const struct dray_compose_node *node)
{
    return node->from ? node->from->after_count : 0;
}

static int list_edges(struct dray_compose *compose, struct edges *edges)
{
    size_t count = compose->count;
    size_t total = 0;

    for (size_t i = 0; i < count; i++)
        total += compose->nodes[i].needs_count + after_count(&compose->nodes[i]);
    edges->start = dray_draft_array(compose->draft, count + 2, sizeof(size_t));
    edges->to = dray_draft_array(compose->draft, total, sizeof(size_t));
    edges->pending = dray_draft_array(compose->draft, count, sizeof(size_t));
    if (!edges->start || !edges->to || !edges->pending)
        return DRAY_NO_MEMORY;
    /* Counted two further on, so that filling moves each start to where it belongs. */
    for (int fill = 0; fill < 2; fill++) {
        for (size_t i = 0; i < count; i++) {
            const struct dray_compose_node *node = &compose->nodes[i];
            edges->pending[i] = node->needs_count + after_count(node);
            for (size_t k = 0; k < edges->pending[i]; k++) {
                size_t from = k < node->needs_count
                                  ? node->needs[k]
                                  : after_of(compose, node, k - node->needs_count);
                if (fill)
                    edges->to[edges->start[from + 1]++] = i;
                else
                    edges->start[from + 2]++;
            }
        }
        for (size_t i = 0; !fill && i < count; i++)
            edges->start[i + 2] += edges->start[i + 1];
    }
    return 0;
}

/* order[position] = node. A cycle cannot be: the workflow was checked. */
static int sort_nodes(struct dray_compose *compose, size_t *order)
{
    struct edges edges = {0};
    int result = list_edges(compose, &edges);

    for (size_t position = 0; result == 0 && position < compose->count; position++) {
        size_t best = compose->count;
        for (size_t i = 0; i < compose->count; i++)
            if (edges.pending[i] == 0 &&
                (best == compose->count || compose->nodes[i].rank < compose->nodes[best].rank))
                best = i;
        if (best == compose->count)
            return dray_fail(compose->draft->error, DRAY_BUG, "the plan has a cycle");
        edges.pending[best] = SIZE_MAX;
        compose->nodes[best].position = position;
        order[position] = best;
        for (size_t i = edges.start[best]; i < edges.start[best + 1]; i++)
            edges.pending[edges.to[i]]--;
    }
    return result;
}

/* ---- the plan's own copies */

static int copy(char **to, const char *text)
{
    *to = text ? strdup(text) : NULL;
    return text && !*to ? -1 : 0;
}

static int compare_positions(const void *left, const void *right)
{
    size_t a = *(const size_t *)left, b = *(const size_t *)right;

    return (a > b) - (a < b);
}

static int copy_needs(const struct dray_compose *compose, const struct dray_compose_node *node,
                      struct dray_step *step)
{
    step->needs = calloc(node->needs_count + 1, sizeof(*step->needs));
    step->after = calloc(after_count(node) + 1, sizeof(*step->after));
    if (!step->needs || !step->after)
        return -1;
    for (size_t i = 0; i < node->needs_count; i++)
        step->needs[i] = compose->nodes[node->needs[i]].position;
    for (size_t i = 0; i < after_count(node); i++)
        step->after[i] = compose->nodes[after_of(compose, node, i)].position;
    step->needs_count = node->needs_count;
    step->after_count = after_count(node);
    qsort(step->needs, step->needs_count, sizeof(*step->needs), compare_positions);
    qsort(step->after, step->after_count, sizeof(*step->after), compare_positions);
    return 0;
}

static int copy_origin(const struct dray_draft *draft, const struct dray_compose_node *node,
                       struct dray_origin *origin)
{
    const struct dray_rule *rule = node->rule;
    const struct dray_place *place = node->from ? &node->from->place : &rule->place;

    if (rule) {
        origin->line = place->line;
        return copy(&origin->file, rule->policy->file) ||
               copy(&origin->policy, rule->policy->name) || copy(&origin->rule, rule->id) ||
               copy(&origin->message, rule->message);
    }
    if (node->from->origin) {
        origin->line = node->from->origin->line;
        return copy(&origin->file, node->from->origin->file) ||
               copy(&origin->recipe, node->from->origin->recipe);
    }
    if (!node->from->node)
        return 0;
    origin->line = place->line;
    if (node->from->use)
        return copy(&origin->file, node->from->use->recipe->file) ||
               copy(&origin->recipe, node->from->use->recipe->label);
    return copy(&origin->file, draft->file);
}

static int copy_step(const struct dray_compose *compose, const struct dray_compose_node *node,
                     struct dray_step *step)
{
    const struct dray_draft_step *from = node->from;
    const struct dray_plugin_info *plugin = from ? from->plugin : NULL;
    struct dray_draft_step defaults = {0};

    dray_step_defaults(&defaults);
    if (!from)
        from = &defaults;
    step->role = node->from ? from->role : DRAY_STEP_GUARD;
    step->mode = node->rule ? node->rule->mode : DRAY_MODE_ENFORCE;
    step->timeout = from->timeout;
    step->stall = from->stall;
    step->retry = from->retry;
    step->rank = node->rule ? -1 : (int64_t)node->from->rank;
    step->with = json_deep_copy(node->with ? node->with : from->with);
    if (!step->with || copy(&step->id, node->id) || copy(&step->uses, node->uses) ||
        copy(&step->revision, from->revision) || copy_needs(compose, node, step) ||
        copy_origin(compose->draft, node, &step->origin))
        return -1;
    if (node->from && !node->rule && !(step->places = dray_step_places(node->from)))
        return -1;
    return plugin && (copy(&step->file, plugin->file) || copy(&step->digest, plugin->digest) ||
                      copy(&step->version, plugin->version))
               ? -1
               : 0;
}

static int copy_target(const struct dray_draft_target *from, size_t step,
                       struct dray_plan_target *target)
{
    target->step = step;
    target->target_type = from->type;
    target->presence = from->presence;
    target->found_entries = from->found_entries;
    target->found_bytes = from->found_bytes;
    target->goes_over = from->goes_over;
    target->free_known = from->free_known;
    target->free_bytes = from->free_bytes;
    return copy(&target->uri, from->uri) || copy(&target->host, from->host) ||
           copy(&target->path, from->path) || copy(&target->parent, from->parent) ||
           copy(&target->name, from->name) || copy(&target->found_key, from->found_key) ||
           copy(&target->found_job, from->found_job) ||
           copy(&target->found_time, from->found_time) ||
           copy(&target->found_what, from->found_what) ||
           copy(&target->found_note, from->found_note);
}

int dray_draft_policies(const struct dray_draft *draft, struct dray_plan *plan)
{
    plan->policies = calloc(draft->policy_count + 1, sizeof(*plan->policies));
    if (!plan->policies)
        return -1;
    plan->policy_count = draft->policy_count;
    for (size_t i = 0; i < draft->policy_count; i++) {
        const struct dray_policy *from = draft->policies[i];
        struct dray_plan_policy *policy = &plan->policies[i];
        size_t length;
        policy->revision = from->revision;
        if (copy(&policy->policy, from->name) || copy(&policy->file, from->file) ||
            copy(&policy->digest, from->digest) || copy(&policy->directory, from->base) ||
            copy(&policy->text, dray_document_text(from->document, &length)))
            return -1;
    }
    return 0;
}

/* One source's revision is the dataset's; what several say is told apart by its digest. */
static int set_revision(struct dray_plan *plan, struct dray_error *error)
{
    char digest[DRAY_SHA256_HEX];
    const char *only = NULL;
    size_t sources = 0;
    json_t *all = json_array();

    int result = all ? 0 : dray_fail_memory(error);
    for (size_t i = 0; result == 0 && i < plan->step_count; i++) {
        if (plan->steps[i].role != DRAY_STEP_SOURCE)
            continue;
        sources++;
        only = plan->steps[i].revision;
        if (json_array_append_new(all, json_string(only)) != 0)
            result = dray_fail_memory(error);
    }
    if (result == 0 && sources > 1)
        result = dray_json_digest(all, digest, error);
    json_decref(all);
    if (result == 0 && copy(&plan->revision, sources > 1 ? digest : only))
        result = dray_fail_memory(error);
    return result;
}

static int copy_head(const struct dray_compose *compose, struct dray_plan *plan)
{
    const struct dray_draft *draft = compose->draft;
    const struct dray_plan_request *request = compose->request;

    plan->keep_empty_dirs = draft->keep_empty_dirs;
    if (request->policy_key)
        memcpy(plan->policy_signer, dray_key_id(request->policy_key), DRAY_KEY_ID_BYTES);
    plan->workflow = strndup(request->workflow_text, request->workflow_length);
    plan->facts = json_deep_copy(draft->facts);
    plan->findings = json_incref(compose->findings);
    return !plan->workflow || !plan->facts ||
           copy(&plan->name, draft->name ? draft->name : draft->dataset) ||
           copy(&plan->dataset, draft->dataset) || copy(&plan->dataset_id, draft->dataset_id) ||
           copy(&plan->symlinks, draft->symlinks) || dray_draft_policies(draft, plan);
}

/* Of all sources together; one that did not count makes it unknown. */
static void set_count(const struct dray_compose *compose, struct dray_plan *plan)
{
    size_t sources = 0, counted = 0;
    int overflow = 0;

    for (size_t i = 0; i < compose->count; i++) {
        const struct dray_draft_step *from = compose->nodes[i].from;
        if (!from || from->role != DRAY_STEP_SOURCE)
            continue;
        sources++;
        counted += from->counted ? 1 : 0;
        overflow |= __builtin_add_overflow(plan->entries, from->counted_entries, &plan->entries);
        overflow |= __builtin_add_overflow(plan->bytes, from->counted_bytes, &plan->bytes);
    }
    plan->counted = sources > 0 && counted == sources && !overflow && plan->bytes <= INT64_MAX;
}

static int copy_steps(const struct dray_compose *compose, const size_t *order,
                      struct dray_plan *plan)
{
    plan->steps = calloc(compose->count, sizeof(*plan->steps));
    plan->targets = calloc(compose->match_count + 1, sizeof(*plan->targets));
    if (!plan->steps || !plan->targets)
        return -1;
    plan->step_count = compose->count;
    for (size_t i = 0; i < compose->count; i++) {
        const struct dray_compose_node *node = &compose->nodes[order[i]];
        if (copy_step(compose, node, &plan->steps[i]))
            return -1;
        if (plan->steps[i].role == DRAY_STEP_PUSH &&
            copy_target(node->from->target, i, &plan->targets[plan->target_count++]))
            return -1;
    }
    return 0;
}

/* What is known of each step's plugin, for the keys. */
static int set_keys(const struct dray_compose *compose, const size_t *order, struct dray_plan *plan)
{
    const struct dray_plugin_info **plugins =
        dray_draft_array(compose->draft, compose->count, sizeof(*plugins));

    if (!plugins)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < compose->count; i++) {
        const struct dray_compose_node *node = &compose->nodes[order[i]];
        plugins[i] = node->from ? node->from->plugin : NULL;
    }
    return dray_plan_keys(plan, plugins, compose->draft->error);
}

int dray_compose_plan(struct dray_compose *compose, struct dray_plan **ret_plan)
{
    struct dray_error *error = compose->draft->error;
    size_t *order = dray_draft_array(compose->draft, compose->count, sizeof(*order));
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = calloc(1, sizeof(*plan));

    if (!order || !plan)
        return dray_fail_memory(error);
    int result = sort_nodes(compose, order);
    if (result == 0 && (copy_head(compose, plan) || copy_steps(compose, order, plan)))
        result = dray_fail_memory(error);
    if (result == 0) {
        set_count(compose, plan);
        result = set_revision(plan, error);
    }
    if (result == 0)
        result = set_keys(compose, order, plan);
    if (result == 0)
        result = dray_plan_digests(plan, error);
    if (result == 0)
        *ret_plan = DRAY_TAKE(plan);
    return result;
}
