/* SPDX-License-Identifier: MIT */
/* verdict_walk.c - the verdicts of all filters before a push, merged in the order of paths. */
#include "core/run/verdict_walk.h"

#include <string.h>

/* One filter that a push's tree came through, and how far its input was walked. */
struct passed {
    const struct dray_step_run *filter;
    size_t drops, keeps; /* positions in its input */
    int transformed;     /* a transform behind it makes entries anew */
    int hidden;          /* and it was not asked */
};

struct walk {
    const struct dray_step_run *push;
    const struct dray_tree *input;
    dray_verdict_sink sink;
    void *arg;
    struct passed *filters; /* with room for all steps */
    size_t filter_count;
};

static int compare(const struct dray_tree_entry *a, const struct dray_tree_entry *b)
{
    return dray_path_compare(a->path, a->path_length, b->path, b->path_length);
}

/* The next entry that a filter dropped, or NULL. */
static const struct dray_tree_entry *next_drop(struct passed *passed)
{
    const struct dray_step_run *filter = passed->filter;

    for (; filter->decisions && passed->drops < filter->input->count; passed->drops++) {
        const struct dray_decision *decision = &filter->decisions[passed->drops];
        if (decision->asked && decision->verdict == DRAY_DROP)
            return filter->input->entries[passed->drops];
    }
    return NULL;
}

/* Of all filters the one whose next dropped entry comes first. */
static struct passed *first_drop(struct walk *walk, const struct dray_tree_entry **ret_entry)
{
    struct passed *first = NULL;

    for (size_t i = 0; i < walk->filter_count; i++) {
        const struct dray_tree_entry *entry = next_drop(&walk->filters[i]);
        if (entry && (!first || compare(entry, *ret_entry) < 0)) {
            first = &walk->filters[i];
            *ret_entry = entry;
        }
    }
    return first;
}

/* What the filter said of an entry that was renamed afterwards, or NULL. */
static const struct dray_decision *decision_before(const struct passed *passed,
                                                   const struct dray_tree_entry *entry)
{
    const struct dray_tree *input = passed->filter->input;
    int64_t found = dray_tree_find(input, entry->from, strlen(entry->from));

    return found >= 0 && !input->entries[found]->from && input->entries[found]->type == entry->type
               ? &passed->filter->decisions[found]
               : NULL;
}

/* Where the entry is in the filter's input, or NULL: it came another way. */
static const struct dray_decision *decision_on(struct passed *passed,
                                               const struct dray_tree_entry *entry)
{
    static const struct dray_decision undecided = {DRAY_NO_INDEX, 0, DRAY_UNDECIDED, 1};
    const struct dray_tree *input = passed->filter->input;

    while (passed->keeps < input->count && input->entries[passed->keeps] != entry &&
           compare(input->entries[passed->keeps], entry) < 0)
        passed->keeps++;
    if (passed->keeps >= input->count || input->entries[passed->keeps] != entry) {
        if (passed->hidden)
            return &undecided;
        return passed->transformed && entry->from ? decision_before(passed, entry) : NULL;
    }
    return passed->filter->undecided ? &undecided : &passed->filter->decisions[passed->keeps];
}

/* Why an entry was kept: the last filter in which one pattern of its own did it. One that a filter
 * could not be asked about is undecided whatever others say. */
static int pass_kept(struct walk *walk, const struct dray_tree_entry *entry)
{
    const struct dray_decision *decision = NULL;
    const struct dray_step_run *decided_by = NULL;
    unsigned verdict = DRAY_KEEP;

    for (size_t i = 0; i < walk->filter_count; i++) {
        struct passed *passed = &walk->filters[i];
        const struct dray_decision *one = decision_on(passed, entry);
        if (!one || verdict == DRAY_UNDECIDED)
            continue;
        if (one->verdict == DRAY_UNDECIDED)
            verdict = DRAY_UNDECIDED;
        else if (one->index == DRAY_NO_INDEX)
            continue;
        decided_by = passed->filter;
        decision = one;
    }
    return walk->sink(walk->arg, entry, verdict, decided_by, decision);
}

/* Does what a filter passes on come through a transform? */
static int is_transformed(const struct walk *walk, size_t filter)
{
    const struct dray_plan *plan = walk->push->run->plan;

    for (size_t i = filter + 1; i < plan->step_count; i++)
        if (plan->steps[i].role == DRAY_STEP_TRANSFORM && dray_plan_depends(plan, i, filter) &&
            dray_plan_depends(plan, walk->push->index, i))
            return 1;
    return 0;
}

static int collect_filters(struct walk *walk)
{
    const struct dray_run *run = walk->push->run;

    walk->filters = calloc(run->plan->step_count + 1, sizeof(*walk->filters));
    if (!walk->filters)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; i < run->plan->step_count; i++) {
        const struct dray_step_run *step = &run->steps[i];
        if (step->step->role == DRAY_STEP_FILTER && (step->decisions || step->undecided) &&
            step->step->mode == DRAY_MODE_ENFORCE &&
            dray_plan_depends(run->plan, walk->push->index, i))
            walk->filters[walk->filter_count++] =
                (struct passed){.filter = step, .transformed = is_transformed(walk, i)};
    }
    for (size_t i = 0; i < walk->filter_count; i++)
        walk->filters[i].hidden =
            walk->filters[i].transformed && walk->filters[i].filter->undecided;
    return 0;
}

/* Of branches that join, one may keep what another drops. Behind a transform another entry may have
 * the path now. */
static int is_kept(const struct passed *passed, const struct dray_tree_entry *dropped,
                   const struct dray_tree_entry *kept)
{
    return kept && compare(dropped, kept) == 0 && (!passed->transformed || !kept->from);
}

static int walk_all(struct walk *walk)
{
    const struct dray_tree *input = walk->input;
    const struct dray_tree_entry *dropped = NULL;
    struct passed *passed = first_drop(walk, &dropped);
    int result = 0;

    for (size_t i = 0; i <= input->count && result == 0; i++) {
        const struct dray_tree_entry *kept = i < input->count ? input->entries[i] : NULL;
        const struct dray_tree_entry *last = NULL;
        while (result == 0 && passed && (!kept || compare(dropped, kept) <= 0)) {
            /* Of branches that join, both may drop it. */
            if (!is_kept(passed, dropped, kept) && !(last && compare(dropped, last) == 0))
                result = walk->sink(walk->arg, dropped, DRAY_DROP, passed->filter,
                                    &passed->filter->decisions[passed->drops]);
            passed->drops++;
            last = dropped;
            passed = first_drop(walk, &dropped);
        }
        if (result == 0 && kept && !(kept->type == DRAY_DIRECTORY && dray_tree_is_parent(input, i)))
            result = pass_kept(walk, kept);
    }
    return result;
}

int dray_verdicts_walk(const struct dray_step_run *push, const struct dray_tree *input,
                       dray_verdict_sink sink, void *arg)
{
    struct walk walk = {.push = push, .input = input, .sink = sink, .arg = arg};
    int result = collect_filters(&walk);

    if (result == 0)
        result = walk_all(&walk);
    free(walk.filters);
    return result;
}
