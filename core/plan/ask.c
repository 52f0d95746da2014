/* SPDX-License-Identifier: MIT */
/* ask.c - what only plugins can say: one question about all steps, and each part of the answer to
 * its place. */
#include "core/plan/draft.h"

#include <string.h>

/* All steps of the draft that a plugin runs: the workflow's, then those of the policies. */
struct asked {
    struct dray_draft_step **steps;
    size_t count;
};

static size_t count_steps(const struct dray_draft *draft)
{
    size_t count = draft->step_count;

    for (size_t i = 0; i < draft->policy_count; i++)
        for (size_t k = 0; k < draft->policies[i]->rule_count; k++)
            count += draft->policies[i]->rules[k].inject_count;
    return count;
}

static void collect(struct dray_draft_step *steps, size_t count, struct asked *asked)
{
    for (size_t i = 0; i < count; i++) {
        int may_be = !steps[i].rule || steps[i].role == DRAY_STEP_FILTER ||
                     steps[i].role == DRAY_STEP_TRANSFORM;
        if (steps[i].plugin && (steps[i].with || steps[i].trial) && may_be)
            asked->steps[asked->count++] = &steps[i];
    }
}

static int collect_all(struct dray_draft *draft, struct asked *asked)
{
    asked->steps = dray_draft_array(draft, count_steps(draft), sizeof(*asked->steps));
    if (!asked->steps)
        return DRAY_NO_MEMORY;
    collect(draft->steps, draft->step_count, asked);
    for (size_t i = 0; i < draft->policy_count; i++) {
        const struct dray_policy *policy = draft->policies[i];
        for (size_t k = 0; k < policy->rule_count; k++)
            collect(policy->rules[k].inject, policy->rules[k].inject_count, asked);
    }
    return 0;
}

static json_t *question(const struct dray_draft *draft, const struct dray_draft_step *step)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:O}", "id", step->id ? step->id : step->uses,
                             "uses", step->uses, "file", step->plugin->file, "digest",
                             step->plugin->digest, "with", step->with ? step->with : step->trial);

    /* Half of the options say what is wrong with them, and nothing else. */
    if (!step->with)
        return json;
    if (json && step->entries && json_object_set(json, "entries", step->entries) != 0) {
        json_decref(json);
        return NULL;
    }
    if (!json || draft->checking)
        return json;
    int full = 0;
    if (step->role == DRAY_STEP_SOURCE && !draft->listed)
        full = json_object_set_new(json, "identify", json_true());
    else if (step->role == DRAY_STEP_PUSH && draft->dataset)
        full = json_object_set_new(json, "describe", json_true());
    if (full != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *request_of(const struct dray_draft *draft, const struct asked *asked)
{
    json_t *dataset = dray_json_with(json_object(), "name", draft->dataset);
    json_t *request = json_pack("{s:o, s:[]}", "dataset", dataset, "steps");
    json_t *steps = json_object_get(request, "steps");

    if (draft->listed && json_object_set_new(request, "listed", json_true()) != 0) {
        json_decref(request);
        return NULL;
    }
    for (size_t i = 0; request && i < asked->count; i++) {
        if (json_array_append_new(steps, question(draft, asked->steps[i])) != 0) {
            json_decref(request);
            return NULL;
        }
    }
    return request;
}

/* Where the option, or its element `index`, is written; NULL: nowhere. */
static const struct dray_node *node_of(const struct dray_draft_step *step, const json_t *problem)
{
    const char *option = json_string_value(json_object_get(problem, "option"));
    const json_t *index = json_object_get(problem, "index");
    json_int_t number = json_is_integer(index) ? json_integer_value(index) : DRAY_NO_INDEX;
    const struct dray_node *node = option ? dray_node_get(step->with_node, option) : NULL;

    if (node && number >= 0 && node->kind == DRAY_NODE_SEQUENCE && (size_t)number < node->count)
        return node->items[number];
    if (node && number >= 0 && node->kind == DRAY_NODE_MAPPING && (size_t)number < node->count)
        return node->pairs[number].value;
    return node;
}

/* What it came to with the values of its parameters; NULL where it holds none. */
static const char *expanded_of(const struct dray_draft_step *step, const json_t *problem)
{
    const struct dray_node *node = node_of(step, problem);
    const json_t *value = json_object_get(step->with ? step->with : step->trial,
                                          json_string_value(json_object_get(problem, "option")));

    if (!node || node->kind != DRAY_NODE_SCALAR || step->rule || !strstr(node->text, "${"))
        return NULL;
    if (json_is_array(value))
        value =
            json_array_get(value, (size_t)json_integer_value(json_object_get(problem, "index")));
    else if (json_is_object(value))
        value = NULL;
    const char *text = json_string_value(value);
    return text && strcmp(text, node->text) != 0 ? text : NULL;
}

/* Where byte `offset` of element `index` of an option is written. Behind a ${name} nothing is where
 * it was. */
static struct dray_place place_of(const struct dray_draft_step *step, const json_t *problem)
{
    json_int_t offset = json_integer_value(json_object_get(problem, "offset"));
    const struct dray_node *node = node_of(step, problem);

    if (!node)
        return step->with_node && step->node ? step->uses_place : step->place;
    if (node->kind != DRAY_NODE_SCALAR)
        return node->place;
    const char *parameter = step->rule ? NULL : strstr(node->text, "${");
    if (offset <= 0 || (parameter && offset >= parameter - node->text))
        return node->place;
    return dray_node_place_at(node, (size_t)offset);
}

static void report(struct dray_draft *draft, const struct dray_draft_step *step,
                   struct dray_place place, const char *message)
{
    dray_problem(draft, place, "%s", message);
    draft->policy_failed |= step->rule != NULL;
}

/* Of options of which some are wrong, only what is said of one that is written and good counts. */
static int is_judged(const struct dray_draft_step *step, const json_t *problem)
{
    const char *option = json_string_value(json_object_get(problem, "option"));

    return step->with || (option && json_object_get(step->trial, option) &&
                          dray_node_get(step->with_node, option));
}

static int take_problems(struct dray_draft *draft, const struct dray_draft_step *step,
                         const json_t *answer)
{
    const json_t *problems = json_object_get(answer, "problems");

    for (size_t i = 0; i < json_array_size(problems); i++) {
        const json_t *problem = json_array_get(problems, i);
        const char *message = json_string_value(json_object_get(problem, "message"));
        if (!message)
            return dray_fail(draft->error, DRAY_BUG,
                             "the answer about %s holds a problem without a message", step->uses);
        if (!is_judged(step, problem))
            continue;
        const char *expanded = expanded_of(step, problem);
        if (expanded)
            message =
                dray_draft_format(draft, "%s (with its parameters: \"%s\")", message, expanded);
        if (!message)
            return DRAY_NO_MEMORY;
        report(draft, step, place_of(step, problem), message);
    }
    return 0;
}

/* Notes. What an admin may have meant is told to who checks the policy, not to its users. */
static void take_advice(struct dray_draft *draft, const struct dray_draft_step *step,
                        const json_t *answer)
{
    const json_t *advice = json_object_get(answer, "advice");

    if (!draft->advise || (step->rule && !draft->checking))
        return;
    for (size_t i = 0; i < json_array_size(advice); i++) {
        const json_t *note = json_array_get(advice, i);
        const char *message = json_string_value(json_object_get(note, "message"));
        if (message)
            dray_diagnose(draft->diagnostics, place_of(step, note), DRAY_SEVERITY_NOTE, "%s",
                          message);
    }
}

/* Is it a mistake that somebody can mend in the file, rather than the state of the world? */
static int is_mistake(int class_)
{
    return class_ == DRAY_INVALID || class_ == DRAY_NOT_FOUND || class_ == DRAY_CONFLICT ||
           class_ == DRAY_PERMANENT || class_ == DRAY_UNSUPPORTED;
}

/* What is wrong with a step as a whole is most often the place that it reads or delivers to. */
static struct dray_place place_of_step(const struct dray_draft_step *step)
{
    struct dray_place place = step->uses_place;

    if (!step->node)
        return step->place;
    if (step->role == DRAY_STEP_PUSH)
        (void)dray_step_flagged(step, DRAY_OPTION_DELIVERS, &place);
    else if (step->role == DRAY_STEP_SOURCE)
        (void)dray_step_flagged(step, DRAY_OPTION_READS, &place);
    return place;
}

static int take_error(struct dray_draft *draft, const struct dray_draft_step *step,
                      const json_t *answer)
{
    const json_t *json = json_object_get(answer, "error");
    struct dray_place place = place_of_step(step);
    struct dray_error error = {0};

    if (!json)
        return 0;
    dray_error_from_json(&error, json);
    if (error.class_ == 0)
        error.class_ = DRAY_BUG;
    if (is_mistake(error.class_)) {
        report(draft, step, place, error.message);
        dray_step_hint(draft, &error);
        return 0;
    }
    if (error.where[0] == '\0')
        dray_where(&error, "%s:%u:%u", dray_place_file(draft->diagnostics, place), place.line,
                   place.column);
    *draft->error = error;
    return error.class_;
}

/* A text of the answer in the arena; NULL where there is none. */
static int take_text(struct dray_draft *draft, const json_t *json, const char *key,
                     const char **ret_text)
{
    const char *text = json_string_value(json_object_get(json, key));

    *ret_text = text ? dray_draft_copy(draft, text, strlen(text)) : NULL;
    return text && !*ret_text ? DRAY_NO_MEMORY : 0;
}

/* How much a source listed. */
static void take_count(struct dray_draft_step *step, const json_t *answer)
{
    const json_t *entries = json_object_get(answer, "entries");
    const json_t *bytes = json_object_get(answer, "bytes");

    step->counted = json_is_integer(entries) && json_is_integer(bytes) &&
                    json_integer_value(entries) >= 0 && json_integer_value(bytes) >= 0;
    step->counted_entries = (uint64_t)json_integer_value(entries);
    step->counted_bytes = (uint64_t)json_integer_value(bytes);
}

static int take_target(struct dray_draft *draft, struct dray_draft_step *step, const json_t *answer)
{
    const json_t *json = json_object_get(answer, "target");
    const json_t *presence = json_object_get(answer, "presence");
    struct dray_draft_target *target = dray_draft_array(draft, 1, sizeof(*target));

    if (!target || take_text(draft, json, "uri", &target->uri) ||
        take_text(draft, json, "host", &target->host) ||
        take_text(draft, json, "path", &target->path) ||
        take_text(draft, json, "parent", &target->parent) ||
        take_text(draft, json, "name", &target->name) ||
        take_text(draft, presence, "request_key", &target->found_key) ||
        take_text(draft, presence, "job", &target->found_job) ||
        take_text(draft, presence, "time", &target->found_time) ||
        take_text(draft, presence, "what", &target->found_what) ||
        take_text(draft, presence, "note", &target->found_note))
        return DRAY_NO_MEMORY;
    target->type = dray_target_type_of_json(json_object_get(json, "type"));
    target->presence = dray_presence_of_json(json_object_get(presence, "state"));
    target->found_entries = (uint64_t)json_integer_value(json_object_get(presence, "entries"));
    target->found_bytes = (uint64_t)json_integer_value(json_object_get(presence, "bytes"));
    target->goes_over = dray_goes_of_json(presence);
    const json_t *free_bytes = json_object_get(presence, "free_bytes");
    target->free_known = json_is_integer(free_bytes) && json_integer_value(free_bytes) >= 0;
    target->free_bytes = (uint64_t)json_integer_value(free_bytes);
    if (!target->uri || target->type == 0)
        return dray_fail(draft->error, DRAY_BUG, "%s did not say where step %s delivers",
                         step->uses, step->id);
    if (target->presence == 0)
        return dray_fail(draft->error, DRAY_BUG, "%s did not say what is at %s", step->uses,
                         target->uri);
    step->target = target;
    return 0;
}

static int take_answer(struct dray_draft *draft, struct dray_draft_step *step, const json_t *answer)
{
    size_t before = draft->diagnostics->errors;
    int result = take_problems(draft, step, answer);

    if (!step->with)
        return result;
    take_advice(draft, step, answer);
    if (result == 0)
        result = take_error(draft, step, answer);
    step->verdicts = json_incref(json_object_get(answer, "verdicts"));
    if (draft->diagnostics->errors > before)
        dray_recipe_note(draft, step->use);
    if (result != 0 || draft->checking || draft->diagnostics->errors > before)
        return result;
    if (step->role == DRAY_STEP_SOURCE && draft->listed) {
        step->revision = "listed";
    } else if (step->role == DRAY_STEP_SOURCE) {
        take_count(step, answer);
        result = take_text(draft, answer, "revision", &step->revision);
        if (result == 0 && !step->revision)
            result =
                dray_fail(draft->error, DRAY_BUG, "%s gave no revision of the dataset", step->uses);
    } else if (step->role == DRAY_STEP_PUSH && draft->dataset) {
        result = take_target(draft, step, answer);
    }
    return result;
}

int dray_draft_ask(struct dray_draft *draft, const struct dray_asker *asker)
{
    struct asked asked = {0};
    json_t *answer = NULL;
    int result = dray_policy_tests_prepare(draft);

    if (result == 0)
        result = collect_all(draft, &asked);
    if (result != 0 || !asker)
        return result;
    if (asked.count == 0)
        return dray_policy_tests_judge(draft);
    json_t *request = request_of(draft, &asked);
    result = request ? asker->ask(asker->arg, request, &answer, draft->error)
                     : dray_fail_memory(draft->error);
    json_decref(request);
    if (result != 0)
        return result;
    const json_t *answers = json_object_get(answer, "steps");
    if (!json_is_array(answers) || json_array_size(answers) != asked.count)
        result = dray_fail(draft->error, DRAY_BUG,
                           "asking the plugins gave %zu answers to %zu questions",
                           json_array_size(answers), asked.count);
    /* One failure of the world must not hide the mistakes behind it. */
    struct dray_error first = {0};
    for (size_t i = 0; result == 0 && i < asked.count; i++) {
        int failed = take_answer(draft, asked.steps[i], json_array_get(answers, i));
        if (failed != 0 && first.class_ == 0)
            first = *draft->error;
    }
    json_decref(answer);
    if (result == 0 && first.class_ != 0) {
        *draft->error = first;
        result = first.class_;
    }
    return result == 0 ? dray_policy_tests_judge(draft) : result;
}
