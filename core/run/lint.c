/* SPDX-License-Identifier: MIT */
/*
 * lint.c - what a preview says of rules that may not do what their author thinks. The core does not
 * know what a rule means: it makes a second instance of the filter that has nothing but the rule in
 * question, asks that one about the same entries, and compares.
 */
#include <string.h>

#include "core/base/text.h"
#include "core/run/preview.h"

/* Entries that one task asks about, and how many a preview goes through at most, those that it goes
 * through again counted again. */
#define CHUNK   2048u
#define ENTRIES UINT64_C(20000000)
#define AHEAD   12u
/* How many values that may not be meant are compared, of one step. */
#define MAX_ADVICE 64

struct linting {
    struct dray_run *run;
    void (*tell)(void *arg, json_t *lint);
    void *arg;
    uint64_t asked;
    int stopped; /* it would take too long, or a plugin fails */
};

/* Which entries of a tree are asked about. */
enum among { AMONG_ALL, AMONG_DROPPED, AMONG_DECIDED };

/* What a second instance is asked: which is the first entry that each of these elements decides
 * (or, when `otherwise`, that the one element does not)? */
struct question {
    struct dray_instance *instance;
    uint32_t option;
    size_t elements;
    enum among among;
    int32_t index; /* AMONG_DECIDED: by this element */
    int otherwise;
    size_t *found; /* by element; SIZE_MAX: none. Atomic */
    size_t left;   /* elements without an entry. Atomic */
};

/* All questions that are put while one tree is gone through. */
struct round {
    struct dray_step_run *step;        /* whose rules they are about */
    const struct dray_step_run *where; /* the step whose input is looked through */
    struct question *questions;
    size_t count;
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
static void note(struct question *question, size_t element, size_t entry)
{
    size_t before = __atomic_load_n(&question->found[element], __ATOMIC_RELAXED);

    while (entry < before && !__atomic_compare_exchange_n(&question->found[element], &before, entry,
                                                          0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (before == SIZE_MAX)
        (void)__atomic_sub_fetch(&question->left, 1, __ATOMIC_RELAXED);
}

static int is_among(const struct question *question, const struct dray_decision *decision)
{
    if (question->among == AMONG_DROPPED)
        return decision->verdict == DRAY_DROP;
    return question->among == AMONG_ALL ||
           (decision->option == question->option && decision->index == question->index);
}

static int put(struct question *question, struct dray_call *call, const struct dray_entry *view)
{
    const struct dray_loaded *loaded = question->instance->loaded;
    struct dray_verdict verdict = {0, 0, DRAY_NO_INDEX};
    int result =
        loaded->operations.filter.decide(question->instance->self, &call->ctx, view, &verdict);

    if (result != 0)
        return result;
    int decides = verdict.option == question->option && verdict.index >= 0 &&
                  (uint64_t)verdict.index < question->elements;
    if (question->otherwise && !decides)
        note(question, 0, view->id);
    else if (!question->otherwise && decides)
        note(question, (size_t)verdict.index, view->id);
    return 0;
}

static int ask_about(const struct round *round, struct dray_call *call, size_t index)
{
    const struct dray_decision *decision = &round->where->decisions[index];
    struct dray_entry view = {.size = 0};
    int result = 0;

    for (size_t i = 0; result == 0 && i < round->count; i++) {
        struct question *question = &round->questions[i];
        if (!is_among(question, decision) ||
            __atomic_load_n(&question->left, __ATOMIC_RELAXED) == 0)
            continue;
        if (view.size == 0) {
            dray_entry_view(round->where->input, index, &view);
            dray_blame_entry(view.path, view.path_length);
        }
        result = put(question, call, &view);
    }
    return result;
}

static size_t left_of(const struct round *round)
{
    size_t left = 0;

    for (size_t i = 0; i < round->count; i++)
        left += __atomic_load_n(&round->questions[i].left, __ATOMIC_RELAXED);
    return left;
}

/* Chunks begin in order, so once all is found the first ones have been. */
static int ask_chunk(void *arg, uint64_t chunk)
{
    const struct round *round = arg;
    size_t count = round->where->input->count;
    size_t end = (size_t)(chunk + 1) * CHUNK < count ? (size_t)(chunk + 1) * CHUNK : count;
    struct dray_call call;
    int result = 0;

    if (left_of(round) == 0)
        return 0;
    if (dray_run_cancelled(round->step->run))
        return DRAY_CANCELLED;
    dray_call_init(&call, round->step);
    struct dray_blame_note before =
        dray_blame_enter((uint32_t)round->step->index, DRAY_OPERATION_DECIDE);
    for (size_t i = (size_t)chunk * CHUNK; result == 0 && i < end; i++)
        if (round->where->decisions[i].asked) {
            dray_tree_fetch(round->where->input, i + AHEAD);
            result = ask_about(round, &call, i);
        }
    dray_blame_leave(before);
    return result;
}

static void ask_all(struct linting *linting, struct round *round)
{
    size_t count = round->where->input->count;
    uint64_t chunks = (count + CHUNK - 1) / CHUNK;
    int result = 0;

    linting->asked += count;
    if (linting->asked > ENTRIES)
        linting->stopped = 1;
    if (linting->stopped || left_of(round) == 0)
        return;
    if (round->step->instance->loaded->plugin.head.caps & DRAY_CAP_REENTRANT) {
        result = dray_pool_run(linting->run->pool, chunks, ask_chunk, round);
    } else {
        for (uint64_t i = 0; result == 0 && i < chunks; i++)
            result = ask_chunk(round, i);
    }
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

/* The element's own place in the file, where the planner knew it. */
static void set_place(json_t *lint, const struct dray_step_run *step, uint32_t option,
                      int32_t index)
{
    const char *name = step->instance->loaded->plugin.options[option].name;
    const json_t *lists = json_object_get(step->run->places, step->step->id);
    const json_t *place = json_array_get(json_object_get(lists, name), (size_t)index);

    if (index < 0 || json_array_size(place) != 3)
        return;
    (void)json_object_set(lint, "line", json_array_get(place, 0));
    (void)json_object_set(lint, "column", json_array_get(place, 1));
    (void)json_object_set(lint, "width", json_array_get(place, 2));
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
    if (lint)
        set_place(lint, step, option, index);
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

/* One list of a step. */
struct list {
    uint32_t option;
    size_t count;
    uint8_t *used;    /* by element: it decided something */
    size_t *elements; /* the others, as long as they are looked for */
    size_t idle;      /* how many these are */
    size_t *found;
    struct outcome *outcomes; /* by element */
    int again;                /* worth another round */
    int unknown;              /* the plugin takes no such instance: nothing can be said */
};

static void list_free(struct list *list)
{
    free(list->used);
    free(list->elements);
    free(list->found);
    free(list->outcomes);
}

/* Take out those that were found. Of two that match the same entry the first has it: so those that
 * are left are looked for again, until none is found. */
static void take_found(struct list *list, const struct dray_step_run *where)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->idle; i++) {
        if (list->found[i] == SIZE_MAX)
            list->elements[kept++] = list->elements[i];
        else
            list->outcomes[list->elements[i]] = (struct outcome){where, list->found[i]};
    }
    list->again = kept > 0 && kept < list->idle;
    list->idle = kept;
}

static void give_up(struct list *list)
{
    list->unknown = 1;
    list->again = 0;
    list->idle = 0;
}

/* 0, or -1 where there can be no such instance. */
static int ask_of_list(struct dray_step_run *step, const struct list *list, enum among among,
                       struct question *question)
{
    const char *name = step->instance->loaded->plugin.options[list->option].name;
    const json_t *values = json_object_get(step->step->with, name);
    json_t *elements = json_array();

    for (size_t i = 0; i < list->idle; i++) {
        /* Without one of them the others would stand for the wrong ones. */
        if (json_array_append(elements, json_array_get(values, list->elements[i])) != 0) {
            json_decref(elements);
            return -1;
        }
        list->found[i] = SIZE_MAX;
    }
    *question = (struct question){.instance = second_instance(step, list->option, elements),
                                  .option = list->option,
                                  .elements = list->idle,
                                  .among = among,
                                  .found = list->found,
                                  .left = list->idle};
    json_decref(elements);
    return question->instance ? 0 : -1;
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

static int list_init(const struct dray_run *run, const struct dray_step_run *step, uint32_t option,
                     struct list *list)
{
    const char *name = step->instance->loaded->plugin.options[option].name;
    size_t count = json_array_size(json_object_get(step->step->with, name));

    *list = (struct list){.option = option,
                          .count = count,
                          .used = calloc(count + 1, 1),
                          .elements = calloc(count + 1, sizeof(*list->elements)),
                          .found = calloc(count + 1, sizeof(*list->found)),
                          .outcomes = calloc(count + 1, sizeof(*list->outcomes))};
    if (!list->used || !list->elements || !list->found || !list->outcomes)
        return -1;
    mark_used(run, step, option, list->used, count);
    for (size_t i = 0; i < count; i++)
        if (!list->used[i])
            list->elements[list->idle++] = i;
    list->again = list->idle > 0;
    return 0;
}

static void tell_list(struct linting *linting, const struct dray_step_run *step,
                      const struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct outcome *outcome = &list->outcomes[i];
        if (outcome->by)
            tell_covered(linting, step, list->option, (int32_t)i, outcome->by, outcome->entry);
        else if (!list->used[i] && !list->unknown && !linting->stopped)
            tell_unmatched(linting, step, list->option, (int32_t)i);
    }
}

/* ---- Values that may not be meant ---- */

/* Does the value that the plugin advises decide the same entries as the one that stands there? 0,
 * or -1 where that cannot be asked. */
static int ask_of_advice(struct dray_step_run *step, const json_t *advice, size_t *found,
                         struct question *question)
{
    const char *name = json_string_value(json_object_get(advice, "option"));
    json_t *instead = json_object_get(advice, "instead");
    const struct dray_plugin *plugin = &step->instance->loaded->plugin;
    uint32_t option = 0;

    while (option < plugin->option_count && strcmp(plugin->options[option].name, name) != 0)
        option++;
    if (!instead || option == plugin->option_count ||
        plugin->options[option].type != DRAY_TYPE_STRINGS)
        return -1;
    json_t *elements = json_pack("[O]", instead);
    *found = SIZE_MAX;
    *question =
        (struct question){.instance = elements ? second_instance(step, option, elements) : NULL,
                          .option = option,
                          .elements = 1,
                          .among = AMONG_DECIDED,
                          .index = (int32_t)json_integer_value(json_object_get(advice, "index")),
                          .otherwise = 1,
                          .found = found,
                          .left = 1};
    json_decref(elements);
    return question->instance ? 0 : -1;
}

static void tell_floating(struct linting *linting, const struct dray_step_run *step,
                          const json_t *advice, const struct question *question)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer message = {.cap = 64u << 10};
    dray_cleanup(dray_buffer_free) struct dray_buffer why = {.cap = 64u << 10};

    dray_rule_print(step->step, step->instance->loaded, (uint16_t)question->option, question->index,
                    &message, &why);
    dray_buffer_format(&message, ": %s", json_string_value(json_object_get(advice, "message")));
    tell(linting, step, question->option, question->index, "floating", &message,
         step->input->entries[*question->found]);
}

/* ---- One step ---- */

/* What is looked for of one step: elements of its lists, and advice, which is asked about once. */
struct study {
    struct list *lists;
    size_t list_count;
    struct question *questions; /* room for all lists and all advice */
    const json_t *advised[MAX_ADVICE];
    size_t advised_found[MAX_ADVICE];
};

static void drop_questions(const struct dray_step_run *step, struct question *questions,
                           size_t count)
{
    for (size_t i = 0; i < count; i++)
        drop_instance(step, questions[i].instance);
}

/* One pass over the input of `where`. */
static void go_round(struct linting *linting, struct dray_step_run *step, struct study *study,
                     const struct dray_step_run *where, enum among among, int advice)
{
    struct round round = {.step = step, .where = where, .questions = study->questions};
    size_t advised = 0;

    for (size_t i = 0; i < study->list_count; i++)
        if (study->lists[i].again) {
            if (ask_of_list(step, &study->lists[i], among, &round.questions[round.count]) == 0)
                round.count++;
            else
                give_up(&study->lists[i]);
        }
    size_t of_lists = round.count;
    for (size_t i = 0; advice && i < json_array_size(step->advice) && advised < MAX_ADVICE; i++)
        if (ask_of_advice(step, json_array_get(step->advice, i), &study->advised_found[advised],
                          &round.questions[round.count]) == 0) {
            study->advised[advised++] = json_array_get(step->advice, i);
            round.count++;
        }
    ask_all(linting, &round);
    for (size_t i = 0; !linting->stopped && i < study->list_count; i++)
        if (study->lists[i].again)
            take_found(&study->lists[i], where);
    for (size_t i = 0; !linting->stopped && i < advised; i++)
        if (study->advised_found[i] != SIZE_MAX)
            tell_floating(linting, step, study->advised[i], &round.questions[of_lists + i]);
    drop_questions(step, round.questions, round.count);
}

static int any_again(const struct study *study)
{
    int again = 0;

    for (size_t i = 0; i < study->list_count; i++)
        again |= study->lists[i].again;
    return again;
}

static void look_in(struct linting *linting, struct dray_step_run *step, struct study *study,
                    const struct dray_step_run *where, enum among among, int advice)
{
    for (size_t i = 0; i < study->list_count; i++)
        study->lists[i].again = study->lists[i].idle > 0;
    for (; !linting->stopped && (advice || any_again(study)); advice = 0)
        go_round(linting, step, study, where, among, advice);
}

static void look_everywhere(struct linting *linting, struct dray_step_run *step,
                            struct study *study)
{
    const struct dray_plan *plan = linting->run->plan;

    look_in(linting, step, study, step, AMONG_ALL, json_array_size(step->advice) > 0);
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct dray_step_run *other = &linting->run->steps[i];
        if (other != step && other->decisions && other->step->mode == DRAY_MODE_ENFORCE &&
            dray_plan_depends(plan, step->index, i))
            look_in(linting, step, study, other, AMONG_DROPPED, 0);
    }
    for (size_t i = 0; i < study->list_count; i++)
        tell_list(linting, step, &study->lists[i]);
}

static void lint_step(struct linting *linting, struct dray_step_run *step)
{
    const struct dray_plugin *plugin = &step->instance->loaded->plugin;
    dray_autofree struct list *lists = calloc((size_t)plugin->option_count + 1, sizeof(*lists));
    dray_autofree struct question *questions =
        calloc((size_t)plugin->option_count + MAX_ADVICE, sizeof(*questions));
    struct study study = {.lists = lists, .questions = questions};
    int failed = !lists || !questions;

    for (uint32_t i = 0; !failed && i < plugin->option_count; i++)
        if (plugin->options[i].type == DRAY_TYPE_STRINGS)
            failed = list_init(linting->run, step, i, &lists[study.list_count++]) != 0;
    if (!failed)
        look_everywhere(linting, step, &study);
    for (size_t i = 0; i < study.list_count; i++)
        list_free(&lists[i]);
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
        /* Of what an admin wrote nothing is said to users. Bytes are not read a second time. */
        if (step->decisions && !step->step->origin.policy && is_first(run, i) &&
            !(step->instance->loaded->plugin.head.caps & DRAY_CAP_CONTENT))
            lint_step(&linting, step);
    }
}
