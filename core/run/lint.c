/* SPDX-License-Identifier: MIT */
/*
 * lint.c - what a preview says of rules that may not do what their author thinks. The core does not
 * know what a rule means: it makes a second instance of the filter that has nothing but the rule in
 * question, asks that one about the same entries, and compares.
 */
#include <string.h>

#include "core/base/text.h"
#include "core/run/preview.h"

/* Entries that one task asks about, and how many questions a preview puts at most. */
#define CHUNK     2048u
#define QUESTIONS UINT64_C(10000000)

struct linting {
    struct dray_run *run;
    void (*tell)(void *arg, json_t *lint);
    void *arg;
    uint64_t asked;
    int stopped; /* it would take too long, or a plugin fails */
};

/* Which entries of a tree are asked about. */
enum among { AMONG_ALL, AMONG_DROPPED, AMONG_DECIDED };

/* One question to a second instance: which is the first entry that each of these elements decides
 * (or, when `otherwise`, that the one element does not)? */
struct search {
    struct dray_step_run *step;
    struct dray_instance *instance;
    uint32_t option;
    size_t elements;
    const struct dray_step_run *where; /* the step whose input is looked through */
    enum among among;
    int32_t index; /* AMONG_DECIDED: by this element */
    int otherwise;
    size_t *found; /* by element; SIZE_MAX: none. Atomic */
    size_t left;   /* elements without an entry. Atomic */
};

/* ---- A second instance ---- */

/* The step's options with nothing in any list but these elements in one. */
static json_t *only(const struct dray_step_run *step, uint32_t option, json_t *elements)
{
    const struct dray_plugin *plugin = &step->instance->loaded->plugin;
    json_t *with = json_copy(step->step->with);

    for (uint32_t i = 0; with && i < plugin->option_count; i++) {
        if (plugin->options[i].type != DRAY_TYPE_STRINGS)
            continue;
        json_t *list = i == option ? json_incref(elements) : json_array();
        if (json_object_set_new(with, plugin->options[i].name, list) != 0) {
            json_decref(with);
            return NULL;
        }
    }
    return with;
}

/* NULL where the plugin does not want these options, or memory is out: then nothing is said. */
static struct dray_instance *second_instance(struct dray_step_run *step, uint32_t option,
                                             json_t *elements)
{
    const struct dray_loaded *loaded = step->instance->loaded;
    struct dray_instance *instance = NULL;
    struct dray_error ignored = {0};
    struct dray_call call;
    json_t *with = only(step, option, elements);
    int result = with ? dray_instance_new(loaded, with, &instance, &ignored) : DRAY_NO_MEMORY;

    json_decref(with);
    if (result != 0)
        return NULL;
    dray_call_init(&call, step);
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_PREPARE);
    result = loaded->plugin.prepare ? loaded->plugin.prepare(instance->self, &call.ctx) : DRAY_OK;
    dray_blame_leave(before);
    instance->prepared = result == DRAY_OK;
    if (result == DRAY_OK)
        return instance;
    dray_instance_free(instance);
    return NULL;
}

static void drop_instance(const struct dray_step_run *step, struct dray_instance *instance)
{
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_DESTROY);

    dray_instance_free(instance);
    dray_blame_leave(before);
}

/* ---- Asking it ---- */

/* Entry `entry` is one that element `element` decides; the first in order is remembered. */
static void note(struct search *search, size_t element, size_t entry)
{
    size_t before = __atomic_load_n(&search->found[element], __ATOMIC_RELAXED);

    while (entry < before && !__atomic_compare_exchange_n(&search->found[element], &before, entry,
                                                          0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (before == SIZE_MAX)
        __atomic_sub_fetch(&search->left, 1, __ATOMIC_RELAXED);
}

static int is_among(const struct search *search, const struct dray_decision *decision)
{
    if (!decision->asked)
        return 0;
    if (search->among == AMONG_DROPPED)
        return decision->verdict == DRAY_DROP;
    return search->among == AMONG_ALL ||
           (decision->option == search->option && decision->index == search->index);
}

static int ask_about(struct search *search, struct dray_call *call, size_t index)
{
    const struct dray_loaded *loaded = search->instance->loaded;
    struct dray_verdict verdict = {0, 0, DRAY_NO_INDEX};
    struct dray_entry view;

    dray_entry_view(search->where->input, index, &view);
    dray_blame_entry(view.path, view.path_length);
    int result =
        loaded->operations.filter.decide(search->instance->self, &call->ctx, &view, &verdict);
    if (result != 0)
        return result;
    int decides = verdict.option == search->option && verdict.index >= 0 &&
                  (uint64_t)verdict.index < search->elements;
    if (search->otherwise && !decides)
        note(search, 0, index);
    else if (!search->otherwise && decides)
        note(search, (size_t)verdict.index, index);
    return 0;
}

/* Chunks begin in order, so once all is found the first ones have been. */
static int ask_chunk(void *arg, uint64_t chunk)
{
    struct search *search = arg;
    size_t count = search->where->input->count;
    size_t end = (chunk + 1) * CHUNK < count ? (size_t)(chunk + 1) * CHUNK : count;
    struct dray_call call;
    int result = 0;

    if (__atomic_load_n(&search->left, __ATOMIC_RELAXED) == 0)
        return 0;
    if (dray_run_cancelled(search->step->run))
        return DRAY_CANCELLED;
    dray_call_init(&call, search->step);
    struct dray_blame_note before =
        dray_blame_enter((uint32_t)search->step->index, DRAY_OPERATION_DECIDE);
    for (size_t i = (size_t)chunk * CHUNK; result == 0 && i < end; i++)
        if (is_among(search, &search->where->decisions[i]))
            result = ask_about(search, &call, i);
    dray_blame_leave(before);
    return result;
}

static void ask_all(struct linting *linting, struct search *search)
{
    size_t count = search->where->input->count;
    uint64_t chunks = (count + CHUNK - 1) / CHUNK;
    int result = 0;

    if (linting->asked + count > QUESTIONS)
        linting->stopped = 1;
    if (linting->stopped)
        return;
    linting->asked += count;
    if (search->instance->loaded->plugin.head.caps & DRAY_CAP_REENTRANT)
        result = dray_pool_run(linting->run->pool, chunks, ask_chunk, search);
    for (uint64_t i = 0; !(search->instance->loaded->plugin.head.caps & DRAY_CAP_REENTRANT) &&
                         result == 0 && i < chunks;
         i++)
        result = ask_chunk(search, i);
    linting->stopped = result != 0;
}

/* ---- Telling ---- */

static void print_rule(const struct dray_step_run *step, uint32_t option, int32_t index,
                       struct dray_buffer *out)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 64u << 10};

    dray_rule_print(step->step, step->instance->loaded, (uint16_t)option, index, out, &why);
    dray_buffer_format(out, " %s", why.data ? why.data : "");
}

/* `kind` is "unmatched", "covered" or "floating"; the example goes behind the message. */
static void tell(struct linting *linting, const struct dray_step_run *step, uint32_t option,
                 int32_t index, const char *kind, struct dray_buffer *message,
                 const struct dray_tree_entry *example)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer by = {.cap = 4096}, why = {.cap = 64u << 10};
    const struct dray_origin *origin = &step->step->origin;

    dray_rule_print(step->step, step->instance->loaded, (uint16_t)option, index, &by, &why);
    if (example) {
        dray_buffer_text(message, " (");
        dray_utf8_add(message, example->path, example->path_length, 1);
        dray_buffer_text(message, ")");
    }
    json_t *lint = message->failed ? NULL
                                   : json_pack("{s:s, s:s*, s:s*, s:s*, s:i, s:s}", "kind", kind,
                                               "by", by.data, "why", why.data, "file", origin->file,
                                               "line", (int)origin->line, "message", message->data);
    if (lint && example &&
        dray_json_set_path(lint, "path", example->path, example->path_length) != 0) {
        json_decref(lint);
        lint = NULL;
    }
    if (lint)
        linting->tell(linting->arg, lint);
}

static void tell_unmatched(struct linting *linting, const struct dray_step_run *step,
                           uint32_t option, int32_t index)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer message = {.cap = 128u << 10};

    print_rule(step, option, index, &message);
    dray_buffer_text(&message, " matches nothing in this dataset");
    tell(linting, step, option, index, "unmatched", &message, NULL);
}

/* `by` decided about its input's entry `entry`, which the element matches too. */
static void tell_covered(struct linting *linting, const struct dray_step_run *step, uint32_t option,
                         int32_t index, const struct dray_step_run *by, size_t entry)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer message = {.cap = 256u << 10};
    const struct dray_decision *decision = &by->decisions[entry];

    print_rule(step, option, index, &message);
    dray_buffer_format(&message, " decides nothing: what it matches is %s%s by ",
                       by == step ? "" : "already ",
                       decision->verdict == DRAY_DROP ? "dropped" : "kept");
    print_rule(by, decision->option, decision->index, &message);
    tell(linting, step, option, index, "covered", &message, by->input->entries[entry]);
}

/* ---- Rules that decided nothing ---- */

/* Where an element of the list was found to match: the entry of that step's input. */
struct outcome {
    const struct dray_step_run *by; /* NULL: nowhere */
    size_t entry;
};

/* Elements of one list that decided nothing: those that are still looked for. */
struct idle {
    size_t *elements;
    size_t *found;
    size_t count;
    struct outcome *outcomes; /* by element of the list */
};

/* Take out those that were found. */
static void take_found(struct idle *idle, const struct dray_step_run *where)
{
    size_t kept = 0;

    for (size_t i = 0; i < idle->count; i++) {
        if (idle->found[i] == SIZE_MAX)
            idle->elements[kept++] = idle->elements[i];
        else
            idle->outcomes[idle->elements[i]] = (struct outcome){where, idle->found[i]};
    }
    idle->count = kept;
}

static void look_once(struct linting *linting, struct search *search, const struct idle *idle)
{
    struct dray_step_run *step = search->step;
    const char *name = step->instance->loaded->plugin.options[search->option].name;
    const json_t *list = json_object_get(step->step->with, name);
    json_t *elements = json_array();

    for (size_t i = 0; i < idle->count; i++) {
        (void)json_array_append(elements, json_array_get(list, idle->elements[i]));
        idle->found[i] = SIZE_MAX;
    }
    search->elements = search->left = idle->count;
    search->instance = second_instance(step, search->option, elements);
    json_decref(elements);
    linting->stopped |= !search->instance;
    if (!search->instance)
        return;
    ask_all(linting, search);
    drop_instance(step, search->instance);
}

/* Look for them in the input of `where`. Of two that match the same entry the first has it: so
 * again with those that are left, until none is found. */
static void look_in(struct linting *linting, struct dray_step_run *step, uint32_t option,
                    struct idle *idle, const struct dray_step_run *where, enum among among)
{
    struct search search = {
        .step = step, .option = option, .where = where, .among = among, .found = idle->found};
    size_t before = 0;

    while (!linting->stopped && idle->count > 0 && idle->count != before) {
        before = idle->count;
        look_once(linting, &search, idle);
        if (!linting->stopped)
            take_found(idle, where);
    }
}

static void look_for(struct linting *linting, struct dray_step_run *step, uint32_t option,
                     struct idle *idle)
{
    const struct dray_plan *plan = linting->run->plan;

    look_in(linting, step, option, idle, step, AMONG_ALL);
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct dray_step_run *other = &linting->run->steps[i];
        if (other != step && other->decisions && other->step->mode == DRAY_MODE_ENFORCE &&
            dray_plan_depends(plan, step->index, i))
            look_in(linting, step, option, idle, other, AMONG_DROPPED);
    }
}

/* Is it the same step of the workflow, copied for another target? */
static int is_copy(const struct dray_step *a, const struct dray_step *b)
{
    return a->origin.line == b->origin.line && !b->origin.policy && strcmp(a->uses, b->uses) == 0 &&
           json_equal(a->with, b->with);
}

/* used[i] is set of each element of the list that decided something, in any of the step's copies.
 */
static void mark_used(const struct dray_run *run, const struct dray_step_run *step, uint32_t option,
                      uint8_t *used, size_t count)
{
    for (size_t k = 0; k < run->plan->step_count; k++) {
        const struct dray_step_run *copy = &run->steps[k];
        if (!copy->decisions || (copy != step && !is_copy(step->step, copy->step)))
            continue;
        for (size_t i = 0; i < copy->input->count; i++) {
            const struct dray_decision *decision = &copy->decisions[i];
            if (decision->asked && decision->option == option && decision->index >= 0 &&
                (size_t)decision->index < count)
                used[decision->index] = 1;
        }
    }
}

static void lint_list(struct linting *linting, struct dray_step_run *step, uint32_t option)
{
    const char *name = step->instance->loaded->plugin.options[option].name;
    size_t count = json_array_size(json_object_get(step->step->with, name));
    dray_autofree uint8_t *used = calloc(count + 1, 1);
    dray_autofree size_t *elements = calloc(count + 1, sizeof(*elements));
    dray_autofree size_t *found = calloc(count + 1, sizeof(*found));
    dray_autofree struct outcome *outcomes = calloc(count + 1, sizeof(*outcomes));
    struct idle idle = {elements, found, 0, outcomes};

    if (!used || !elements || !found || !outcomes || count == 0)
        return;
    mark_used(linting->run, step, option, used, count);
    for (size_t i = 0; i < count; i++)
        if (!used[i])
            elements[idle.count++] = i;
    look_for(linting, step, option, &idle);
    for (size_t i = 0; i < count; i++) {
        if (outcomes[i].by)
            tell_covered(linting, step, option, (int32_t)i, outcomes[i].by, outcomes[i].entry);
        else if (!used[i] && !linting->stopped)
            tell_unmatched(linting, step, option, (int32_t)i);
    }
}

/* ---- Values that may not be meant ---- */

/* Does the value that the plugin advises decide the same entries as the one that stands there? */
static void lint_advice(struct linting *linting, struct dray_step_run *step, const json_t *advice)
{
    const char *name = json_string_value(json_object_get(advice, "option"));
    json_t *instead = json_object_get(advice, "instead");
    const struct dray_plugin *plugin = &step->instance->loaded->plugin;
    dray_cleanup(dray_buffer_free) struct dray_buffer message = {.cap = 64u << 10};
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 64u << 10};
    size_t found = SIZE_MAX;
    uint32_t option = 0;

    while (option < plugin->option_count && strcmp(plugin->options[option].name, name) != 0)
        option++;
    if (!instead || option == plugin->option_count ||
        plugin->options[option].type != DRAY_TYPE_STRINGS)
        return;
    json_t *elements = json_pack("[O]", instead);
    struct search search = {.step = step,
                            .instance = elements ? second_instance(step, option, elements) : NULL,
                            .option = option,
                            .elements = 1,
                            .where = step,
                            .among = AMONG_DECIDED,
                            .index = (int32_t)json_integer_value(json_object_get(advice, "index")),
                            .otherwise = 1,
                            .found = &found,
                            .left = 1};
    json_decref(elements);
    if (!search.instance)
        return;
    ask_all(linting, &search);
    drop_instance(step, search.instance);
    if (linting->stopped || found == SIZE_MAX)
        return;
    dray_rule_print(step->step, step->instance->loaded, (uint16_t)option, search.index, &message,
                    &why);
    dray_buffer_format(&message, ": %s", json_string_value(json_object_get(advice, "message")));
    tell(linting, step, option, search.index, "floating", &message, step->input->entries[found]);
}

/* ---- Steps ---- */

/* Of copies of one step the first speaks for all. */
static int is_first(const struct dray_run *run, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (run->steps[i].decisions && is_copy(&run->plan->steps[index], &run->plan->steps[i]))
            return 0;
    return 1;
}

void dray_lint_run(struct dray_run *run, void (*tell_)(void *arg, json_t *lint), void *arg)
{
    struct linting linting = {.run = run, .tell = tell_, .arg = arg};

    for (size_t i = 0; i < run->plan->step_count && !linting.stopped; i++) {
        struct dray_step_run *step = &run->steps[i];
        const struct dray_plugin *plugin;
        /* Of what an admin wrote nothing is said to users. Bytes are not read a second time. */
        if (!step->decisions || step->step->origin.policy || !is_first(run, i) ||
            (step->instance->loaded->plugin.head.caps & DRAY_CAP_CONTENT))
            continue;
        plugin = &step->instance->loaded->plugin;
        for (uint32_t k = 0; k < plugin->option_count && !linting.stopped; k++)
            if (plugin->options[k].type == DRAY_TYPE_STRINGS)
                lint_list(&linting, step, k);
        for (size_t k = 0; k < json_array_size(step->advice) && !linting.stopped; k++)
            lint_advice(&linting, step, json_array_get(step->advice, k));
    }
}
