/* SPDX-License-Identifier: MIT */
/*
 * wire.c - who needs whom in a workflow. Afterwards the steps have one shape, whatever was left
 * out: sources, behind each nothing but validate steps, behind these the user's own, at the ends
 * pushes.
 */
#include "core/plan/draft.h"

#include <string.h>

#define NOWHERE SIZE_MAX

static int is_push(const struct dray_draft_step *step)
{
    return step->known && step->role == DRAY_STEP_PUSH;
}

static int is_source(const struct dray_draft_step *step)
{
    return step->known && step->role == DRAY_STEP_SOURCE;
}

static int is_validate(const struct dray_draft_step *step)
{
    return step->known && step->role == DRAY_STEP_VALIDATE;
}

/* Steps of a recipe have the name of the step that stands for them. */
static const char *name_of(const struct dray_draft_step *step)
{
    const char *id = dray_step_written_id(step);

    return id ? id : step->uses ? step->uses : "?";
}

static int takes(const struct dray_draft_step *step, size_t index)
{
    for (size_t i = 0; i < step->needs_count; i++)
        if (step->needs[i] == index)
            return 1;
    return 0;
}

/* The step of that id; of a recipe the last, whose tree is the recipe's. */
static size_t find(const struct dray_draft *draft, const char *id)
{
    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        const char *written = dray_step_written_id(step);
        if (written && strcmp(written, id) == 0)
            return step->use ? step->use->last : i;
    }
    return NOWHERE;
}

/* `wanted`, or the first of wanted-2, wanted-3, ... that no step has. */
static const char *free_id(struct dray_draft *draft, const char *wanted)
{
    const char *id = wanted;

    for (unsigned i = 2; id && find(draft, id) != NOWHERE; i++)
        id = dray_draft_format(draft, "%s-%u", wanted, i);
    return id;
}

static struct dray_draft_step *append(struct dray_draft *draft, const char *id,
                                      enum dray_step_role role, size_t rank)
{
    struct dray_draft_step *step = &draft->steps[draft->step_count];

    dray_step_defaults(step);
    step->id = free_id(draft, id);
    if (!step->id)
        return NULL;
    step->role = role;
    step->rank = rank;
    step->place = draft->top;
    step->known = 1;
    draft->step_count++;
    return step;
}

static void suggest_step(struct dray_draft *draft, const char *id)
{
    dray_autofree const char **names = calloc(draft->step_count + 1, sizeof(*names));
    size_t count = 0;

    for (size_t i = 0; names && i < draft->step_count; i++)
        if (dray_step_written_id(&draft->steps[i]))
            names[count++] = dray_step_written_id(&draft->steps[i]);
    if (names)
        dray_diagnose_nearest(draft->diagnostics, id, names, count);
}

/* The steps that a list names; unknown and repeated ones are reported and left out. */
static int read_list(struct dray_draft *draft, const struct dray_node *node, const char *key,
                     size_t **ret_steps, size_t *ret_count)
{
    if (node->kind != DRAY_NODE_SEQUENCE) {
        dray_problem(draft, node->place, "`%s` is a list of steps, not %s", key,
                     dray_node_what(node));
        if (node->kind == DRAY_NODE_SCALAR)
            dray_diagnose_hint(draft->diagnostics, "write %s: [%s]", key, node->text);
        return 0;
    }
    size_t *steps = dray_draft_array(draft, node->count, sizeof(*steps));
    size_t count = 0;
    if (!steps)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < node->count; i++) {
        const struct dray_node *item = node->items[i];
        size_t index = item->kind == DRAY_NODE_SCALAR ? find(draft, item->text) : NOWHERE;
        int repeated = 0;
        for (size_t k = 0; k < count; k++)
            repeated |= steps[k] == index;
        if (item->kind != DRAY_NODE_SCALAR) {
            dray_problem(draft, item->place, "`%s` lists ids of steps, not %s", key,
                         dray_node_what(item));
        } else if (index == NOWHERE) {
            dray_problem(draft, item->place, "no step has the id \"%s\"", item->text);
            suggest_step(draft, item->text);
        } else if (repeated) {
            dray_problem(draft, item->place, "\"%s\" stands here twice", item->text);
        } else {
            steps[count++] = index;
        }
    }
    *ret_steps = steps;
    *ret_count = count;
    return 0;
}

static int default_need(struct dray_draft *draft, size_t index)
{
    struct dray_draft_step *step = &draft->steps[index];

    step->needs = dray_draft_array(draft, 1, sizeof(*step->needs));
    if (!step->needs)
        return DRAY_NO_MEMORY;
    for (size_t i = index; i-- > 0;) {
        if (!is_push(&draft->steps[i])) {
            step->needs[step->needs_count++] = i;
            return 0;
        }
    }
    /* Above the first step is the implied source. */
    size_t stage = draft->step_count - 1;
    if (!draft->has_sources && is_source(&draft->steps[stage])) {
        step->needs[step->needs_count++] = stage;
        return 0;
    }
    dray_problem(draft, dray_step_written_place(step),
                 "\"%s\" has no tree to take: no step stands above it", name_of(step));
    dray_diagnose_hint(draft->diagnostics, "put a source above it, or name one with `needs`");
    return 0;
}

/* Where a list names a step. */
static struct dray_place place_in(const struct dray_node *list, const struct dray_draft_step *step)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i]->kind == DRAY_NODE_SCALAR &&
            strcmp(list->items[i]->text, name_of(step)) == 0)
            return list->items[i]->place;
    return list->place;
}

static int read_needs(struct dray_draft *draft, size_t index)
{
    struct dray_draft_step *step = &draft->steps[index];
    const struct dray_node *node = dray_node_get(dray_step_written(draft, index), "needs");

    if (is_source(step)) {
        if (node)
            dray_problem(draft, node->place,
                         "\"%s\" is a source: it takes no tree, so it needs no step",
                         name_of(step));
        return 0;
    }
    if (!node)
        return default_need(draft, index);
    if (node->kind == DRAY_NODE_SEQUENCE && node->count == 0) {
        dray_problem(draft, node->place, "`needs` is empty, and \"%s\" takes a tree",
                     name_of(step));
        dray_diagnose_hint(draft->diagnostics, "leave it out to take the tree of the step above");
        return 0;
    }
    int result = read_list(draft, node, "needs", &step->needs, &step->needs_count);
    for (size_t i = 0; result == 0 && i < step->needs_count; i++) {
        const struct dray_draft_step *other = &draft->steps[step->needs[i]];
        if (!is_push(other))
            continue;
        dray_problem(draft, place_in(node, other),
                     "\"%s\" is a push: it hands on no tree that \"%s\" could take", other->id,
                     name_of(step));
        dray_diagnose_hint(draft->diagnostics,
                           is_push(step) ? "to deliver after it, write after: [%s]"
                                         : "name the step whose tree \"%s\" delivers",
                           other->id);
    }
    return result;
}

static int read_after(struct dray_draft *draft, size_t index)
{
    struct dray_draft_step *step = &draft->steps[index];
    const struct dray_node *node = dray_node_get(dray_step_written(draft, index), "after");

    if (!node)
        return 0;
    if (step->known && !is_push(step)) {
        dray_problem(draft, node->place, "`after` orders pushes, and \"%s\" is none",
                     name_of(step));
        dray_diagnose_hint(draft->diagnostics, "use `needs`");
        return 0;
    }
    int result = read_list(draft, node, "after", &step->after, &step->after_count);
    for (size_t i = 0; result == 0 && i < step->after_count; i++) {
        const struct dray_draft_step *other = &draft->steps[step->after[i]];
        if (!other->known || is_push(other))
            continue;
        dray_problem(draft, place_in(node, other), "`after` orders pushes, and \"%s\" is none",
                     name_of(other));
        dray_diagnose_hint(draft->diagnostics, "use `needs`");
    }
    return result;
}

/* ---- cycles: depth first, the way on the stack */

struct search {
    struct dray_draft *draft;
    unsigned char *state; /* 0: new, 1: on the way, 2: done */
    size_t *way;
    size_t length;
};

/* The way from where it meets itself, begun at its first step in the file. */
static void report_cycle(struct search *search, size_t from)
{
    struct dray_draft *draft = search->draft;
    struct dray_buffer text = {.cap = 1u << 20};
    size_t count = search->length - from;
    size_t first = from, written = 0;
    const struct dray_recipe_use *use = NULL;

    for (size_t i = from; i < search->length; i++)
        if (search->way[i] < search->way[first])
            first = i;
    for (size_t i = 0; i <= count; i++) {
        const struct dray_draft_step *step =
            &draft->steps[search->way[from + (first - from + i) % count]];
        /* a way that meets a recipe runs through all of it: it is named once, or as its end */
        if (use && step->use == use && (i < count || written > 1))
            continue;
        use = step->use;
        dray_buffer_format(&text, written++ ? " -> %s" : "%s", name_of(step));
    }
    const struct dray_draft_step *step = &draft->steps[search->way[first]];
    size_t next = search->way[from + (first - from + 1) % count];
    const struct dray_node *node = dray_node_get(dray_step_written(draft, search->way[first]),
                                                 takes(step, next) ? "needs" : "after");
    struct dray_place place = node ? node->place : dray_step_written_place(step);
    if (text.failed)
        draft->diagnostics->no_memory = 1;
    else if (written == 2)
        dray_problem(draft, place, "\"%s\" waits for itself", name_of(step));
    else
        dray_problem(draft, place, "these steps wait for each other: %s", text.data);
    dray_buffer_free(&text);
}

static void visit(struct search *search, size_t index)
{
    const struct dray_draft_step *step = &search->draft->steps[index];

    search->state[index] = 1;
    search->way[search->length++] = index;
    for (size_t i = 0; i < step->needs_count + step->after_count; i++) {
        size_t next = i < step->needs_count ? step->needs[i] : step->after[i - step->needs_count];
        if (search->state[next] == 0) {
            visit(search, next); /* as deep as there are steps: 500 at most, and those implied */
        } else if (search->state[next] == 1) {
            size_t from = search->length - 1;
            while (search->way[from] != next)
                from--;
            report_cycle(search, from);
        }
    }
    search->length--;
    search->state[index] = 2;
}

static int report_cycles(struct dray_draft *draft)
{
    struct search search = {
        .draft = draft,
        .state = dray_draft_array(draft, draft->step_count, 1),
        .way = dray_draft_array(draft, draft->step_count, sizeof(size_t)),
    };

    if (!search.state || !search.way)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < draft->step_count; i++)
        if (search.state[i] == 0)
            visit(&search, i);
    return 0;
}

/* ---- validate behind every source */

/* Take `new` instead of `old`. */
static void replace(struct dray_draft_step *step, size_t old, size_t new)
{
    int already = takes(step, new);
    size_t kept = 0;

    for (size_t i = 0; i < step->needs_count; i++) {
        size_t need = step->needs[i];
        if (need != old)
            step->needs[kept++] = need;
        else if (!already)
            step->needs[kept++] = new;
    }
    step->needs_count = kept;
}

static void check_validate(struct dray_draft *draft, const struct dray_draft_step *step)
{
    for (size_t i = 0; i < step->needs_count; i++) {
        const struct dray_draft_step *other = &draft->steps[step->needs[i]];
        if (!other->known || is_source(other))
            continue;
        dray_problem(draft, step->place,
                     "`validate` checks what a source brought, and \"%s\" is none", name_of(other));
        dray_diagnose_hint(draft->diagnostics, "move it above \"%s\"", name_of(other));
    }
}

/* The validate step that takes the source's tree and no other; NOWHERE when there is none. */
static size_t validate_of(const struct dray_draft *draft, size_t source)
{
    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        if (is_validate(step) && step->needs_count == 1 && step->needs[0] == source)
            return i;
    }
    return NOWHERE;
}

/* Let everybody who takes a source's tree have it from its validate step. */
static int insert_validate(struct dray_draft *draft, size_t source)
{
    size_t takers = 0;

    for (size_t i = 0; i < draft->step_count; i++)
        takers += !is_validate(&draft->steps[i]) && takes(&draft->steps[i], source) ? 1 : 0;
    if (takers == 0)
        return 0;
    size_t validate = validate_of(draft, source);
    if (validate == NOWHERE) {
        struct dray_draft_step *step =
            append(draft, "validate", DRAY_STEP_VALIDATE, draft->steps[source].rank + 1);
        if (!step)
            return DRAY_NO_MEMORY;
        validate = (size_t)(step - draft->steps);
        step->uses = "validate";
        step->with = json_object();
        step->needs = dray_draft_array(draft, 1, sizeof(*step->needs));
        if (!step->needs || !step->with)
            return dray_fail_memory(draft->error);
        step->needs[0] = source;
        step->needs_count = 1;
    }
    for (size_t i = 0; i < draft->step_count; i++)
        if (!is_validate(&draft->steps[i]))
            replace(&draft->steps[i], source, validate);
    return 0;
}

static void report_dead_ends(struct dray_draft *draft)
{
    size_t pushes = 0;

    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        int taken = 0;
        if (!step->known)
            return; /* what it does is anybody's guess */
        pushes += is_push(step) ? 1 : 0;
        for (size_t k = 0; k < draft->step_count; k++)
            taken |= takes(&draft->steps[k], i);
        if (taken || is_push(step) || !step->node)
            continue;
        dray_problem(draft, dray_step_written_place(step), "no step takes the tree of \"%s\"",
                     name_of(step));
        dray_diagnose_hint(draft->diagnostics,
                           "name it in the `needs` of a later step, or leave it out");
    }
    if (pushes == 0) {
        const struct dray_pair *pair = dray_node_pair(dray_document_root(draft->document), "steps");
        dray_problem(draft, pair->key->place, "the workflow delivers nothing: it has no push step");
        dray_diagnose_hint(draft->diagnostics, "add one, for example uses: push/hpfs");
    }
}

int dray_workflow_wire(struct dray_draft *draft)
{
    size_t written = draft->step_count;
    size_t before = draft->diagnostics->errors;
    int result = 0;

    if (written == 0)
        return 0;
    if (!draft->has_sources && !append(draft, "stage", DRAY_STEP_SOURCE, 0))
        return DRAY_NO_MEMORY;
    for (size_t i = 0; result == 0 && i < written; i++) {
        result = read_needs(draft, i);
        if (result == 0)
            result = read_after(draft, i);
    }
    for (size_t i = 0; i < written; i++)
        if (is_validate(&draft->steps[i]))
            check_validate(draft, &draft->steps[i]);
    if (result == 0)
        result = report_cycles(draft);
    /* What is wrong so far would only make more of it. */
    if (result != 0 || draft->diagnostics->errors > before)
        return result;
    for (size_t i = 0, count = draft->step_count; result == 0 && i < count; i++)
        if (is_source(&draft->steps[i]))
            result = insert_validate(draft, i);
    if (result == 0 && !draft->reads_only)
        report_dead_ends(draft);
    return result;
}
