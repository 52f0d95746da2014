/* SPDX-License-Identifier: MIT */
#include "core/run/inquiry.h"

#include <string.h>

#include "core/base/text.h"

/* The steps of a request as a plan that is never run. */
static int plan_of(const json_t *request, struct dray_run *run, struct dray_error *error)
{
    const json_t *steps = json_object_get(request, "steps");
    const char *dataset =
        json_string_value(json_object_get(json_object_get(request, "dataset"), "name"));
    struct dray_plan *plan = calloc(1, sizeof(*plan));

    run->plan = plan;
    if (!plan)
        return dray_fail_memory(error);
    plan->dataset = strdup(dataset ? dataset : "");
    plan->steps = calloc(json_array_size(steps) + 1, sizeof(*plan->steps));
    if (!plan->dataset || !plan->steps)
        return dray_fail_memory(error);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        json_t *from = json_array_get(steps, i);
        struct dray_step *to = &plan->steps[i];
        const char *id = json_string_value(json_object_get(from, "id"));
        const char *uses = json_string_value(json_object_get(from, "uses"));
        const char *file = json_string_value(json_object_get(from, "file"));
        const char *digest = json_string_value(json_object_get(from, "digest"));
        if (!uses || !file)
            return dray_fail(error, DRAY_BUG, "the planner asks about a step without a plugin");
        to->role = strncmp(uses, "source/", 7) == 0 ? DRAY_STEP_SOURCE : DRAY_STEP_PUSH;
        to->id = strdup(id ? id : uses);
        to->uses = strdup(uses);
        to->file = strdup(file);
        to->digest = digest ? strdup(digest) : NULL;
        to->with = json_incref(json_object_get(from, "with"));
        if (!to->id || !to->uses || !to->file || (digest && !to->digest))
            return dray_fail_memory(error);
        plan->step_count = i + 1;
    }
    return dray_run_steps(run, error);
}

static int prepare(struct dray_step_run *step, struct dray_call *call, json_t *answer,
                   struct dray_error *error)
{
    struct dray_loaded *loaded = NULL;
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_LOAD);
    int result = dray_plugin_load(step->step->file, step->step->digest, &loaded, error);

    dray_blame_leave(before);
    if (result == 0)
        result = dray_instance_new(loaded, step->step->with, &step->instance, error);
    if (result != 0)
        return result;
    call->problems = json_array();
    call->advice = json_array();
    if (json_object_set_new(answer, "problems", call->problems) != 0 ||
        json_object_set_new(answer, "advice", call->advice) != 0)
        return dray_fail_memory(error);
    if (loaded->plugin.prepare) {
        before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_PREPARE);
        result = loaded->plugin.prepare(step->instance->self, &call->ctx);
        dray_blame_leave(before);
    }
    step->instance->prepared = result == DRAY_OK;
    /* Faults in options say all there is to say. */
    if (result == DRAY_INVALID && json_array_size(call->problems) > 0)
        return dray_fail(error, DRAY_INVALID, "options");
    return dray_call_result(call, result, DRAY_OPERATION_PREPARE, error);
}

/* How much the source listed to say its revision, if it did: what it has added and not asked a
 * revision of counts too. Nothing is read for it. */
static int count(struct dray_step_run *step, json_t *answer, struct dray_error *error)
{
    dray_cleanup(dray_tree_unrefp) struct dray_tree *tree = NULL;
    struct dray_error ignored = {0}; /* it will be said when this is staged */

    if (!step->counted && dray_builder_take(step, &tree, &ignored) == 0 && tree->count > 0) {
        step->counted = 1;
        step->counted_entries = tree->listed;
        step->counted_bytes = tree->bytes;
    }
    if (!step->counted || step->counted_bytes > INT64_MAX)
        return 0;
    return json_object_set_new(answer, "entries",
                               json_integer((json_int_t)step->counted_entries)) != 0 ||
                   json_object_set_new(answer, "bytes",
                                       json_integer((json_int_t)step->counted_bytes)) != 0
               ? dray_fail_memory(error)
               : 0;
}

static int identify(struct dray_step_run *step, struct dray_call *call, json_t *answer,
                    struct dray_error *error)
{
    dray_autofree char *revision = NULL;

    step->builder = dray_tree_builder_new();
    if (!step->builder)
        return dray_fail_memory(error);
    struct dray_blame_note before =
        dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_IDENTIFY);
    int result = step->instance->loaded->operations.source.identify(step->instance->self,
                                                                    &call->ctx, &revision);
    dray_blame_leave(before);
    result = dray_call_result(call, result, DRAY_OPERATION_IDENTIFY, error);
    if (result == 0 && !revision)
        result = dray_fail(error, DRAY_BUG, "plugin %s gave no revision", step->step->uses);
    if (result == 0 && json_object_set_new(answer, "revision", json_string(revision)) != 0)
        result = dray_fail_memory(error);
    if (result == 0)
        result = count(step, answer, error);
    dray_tree_builder_freep(&step->builder);
    step->builder = NULL;
    return result;
}

/* Hand a text made by the plugin over to the answer. One that is no UTF-8 cannot be in it, and must
 * not be missing: rules look at it. */
static int give_text(const struct dray_step_run *step, json_t *object, const char *key, char *text,
                     struct dray_error *error)
{
    dray_autofree char *owned = text;

    if (!owned)
        return 0;
    if (!dray_utf8_valid(owned, strlen(owned)))
        return dray_fail(error, DRAY_INVALID,
                         "the %s that plugin %s says of its target is not UTF-8", key,
                         step->step->uses);
    return json_object_set_new(object, key, json_string(owned)) == 0 ? 0 : dray_fail_memory(error);
}

struct said {
    const char *key;
    char *text;
};

/* All of them, since each is freed; the first failure is told, unless there was one. */
static int give_texts(const struct dray_step_run *step, json_t *object, const struct said *said,
                      size_t count, int result, struct dray_error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct dray_error failure = {0};
        if (give_text(step, object, said[i].key, said[i].text, &failure) != 0 && result == 0) {
            *error = failure;
            result = failure.class_;
        }
    }
    return result;
}

/* A preview of a list need not find the place. What it would be called the plugin has said, or its
 * option says; what is there is not asked. 0, or -1 where it has no name. */
static int accept_missing(const struct dray_step_run *step, struct dray_target *target,
                          json_t *answer)
{
    const struct dray_plugin *plugin = &step->instance->loaded->plugin;

    for (uint32_t i = 0; !target->uri && i < plugin->option_count; i++) {
        const char *path =
            json_string_value(json_object_get(step->step->with, plugin->options[i].name));
        if (!(plugin->options[i].flags & DRAY_OPTION_DELIVERS) || !path)
            continue;
        target->uri = strdup(path);
        if (!target->path && path[0] == '/')
            target->path = strdup(path);
    }
    return target->uri
               ? json_object_set_new(answer, "presence", json_pack("{s:s}", "state", "unseen"))
               : -1;
}

static int describe(struct dray_step_run *step, struct dray_call *call, int listed, json_t *answer,
                    struct dray_error *error)
{
    const struct dray_push_operations *push = &step->instance->loaded->operations.push;
    struct dray_target target = {.size = sizeof(target)};
    json_t *object = json_object();
    struct dray_blame_note before =
        dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_DESCRIBE);
    int result = push->describe(step->instance->self, &call->ctx, &target);

    dray_blame_leave(before);
    result = dray_call_result(call, result, DRAY_OPERATION_DESCRIBE, error);
    if (result == DRAY_NOT_FOUND && listed && accept_missing(step, &target, answer) == 0)
        result = 0;
    if (result == 0 && !target.uri)
        result =
            dray_fail(error, DRAY_BUG, "plugin %s did not say where it delivers", step->step->uses);
    if (result == 0 && !json_object_get(answer, "presence"))
        result = dray_destination_check(step, target.parent, error);
    (void)json_object_set_new(object, "type", json_integer((json_int_t)push->target_type));
    const struct said said[] = {{"uri", target.uri},
                                {"host", target.host},
                                {"path", target.path},
                                {"parent", target.parent},
                                {"name", target.name}};
    result = give_texts(step, object, said, DRAY_COUNT(said), result, error);
    if (json_object_set_new(answer, "target", object) != 0 && result == 0)
        result = dray_fail_memory(error);
    return result;
}

static int probe(struct dray_step_run *step, struct dray_call *call, json_t *answer,
                 struct dray_error *error)
{
    struct dray_presence presence = {.size = sizeof(presence), .free_bytes = DRAY_NOT_KNOWN};
    json_t *object = json_object();
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_PROBE);
    int result =
        step->instance->loaded->operations.push.probe(step->instance->self, &call->ctx, &presence);

    dray_blame_leave(before);
    result = dray_call_result(call, result, DRAY_OPERATION_PROBE, error);
    (void)json_object_set_new(object, "state", json_integer((json_int_t)presence.state));
    const struct said said[] = {{"request_key", presence.request_key},
                                {"job", presence.job},
                                {"time", presence.time},
                                {"what", presence.what},
                                {"note", presence.note}};
    result = give_texts(step, object, said, DRAY_COUNT(said), result, error);
    (void)json_object_set_new(object, "entries", json_integer((json_int_t)presence.entries));
    (void)json_object_set_new(object, "bytes", json_integer((json_int_t)presence.bytes));
    if (presence.free_bytes <= INT64_MAX)
        (void)json_object_set_new(object, "free_bytes",
                                  json_integer((json_int_t)presence.free_bytes));
    if (presence.goes_over == DRAY_GOES_INTO && presence.state != DRAY_ABSENT)
        (void)json_object_set_new(object, "goes_into", json_true());
    else if (presence.goes_over && presence.state == DRAY_DELIVERED)
        (void)json_object_set_new(object, "goes_over", json_true());
    if (json_object_set_new(answer, "presence", object) != 0 && result == 0)
        result = dray_fail_memory(error);
    return result;
}

/* And may it be delivered there for whom it is? */
static int probe_for(struct dray_step_run *step, struct dray_call *call, json_t *answer,
                     struct dray_error *error)
{
    int result = probe(step, call, answer, error);
    const json_t *target = json_object_get(answer, "target");
    int into = json_is_true(json_object_get(json_object_get(answer, "presence"), "goes_into"));
    const char *worked_in = json_string_value(json_object_get(target, into ? "path" : "parent"));

    return result != 0 ? result : dray_destination_prove(step, worked_in, error);
}

/* What a filter says of entries that are only named: of those of tests, and of "what if". */
static int decide(struct dray_step_run *step, struct dray_call *call, const json_t *entries,
                  json_t *answer, struct dray_error *error)
{
    const struct dray_loaded *loaded = step->instance->loaded;
    json_t *verdicts = json_array();
    int result = 0;

    /* There are no bytes to read. */
    for (size_t i = 0;
         (loaded->plugin.head.caps & DRAY_CAP_CONTENT) && i < json_array_size(entries); i++)
        if (json_array_append_new(verdicts, json_pack("{s:s}", "verdict", "undecided")) != 0)
            result = dray_fail_memory(error);
    for (size_t i = json_array_size(verdicts); result == 0 && i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        const json_t *path = json_object_get(entry, "path");
        const char *type = json_string_value(json_object_get(entry, "type"));
        struct dray_verdict verdict = {0, 0, DRAY_NO_INDEX};
        struct dray_entry view = {
            .size = sizeof(view),
            .type = type && *type == 'd' ? DRAY_DIRECTORY : DRAY_FILE,
            .id = i,
            .path = json_string_value(path),
            .path_length = json_string_length(path),
            .bytes = (uint64_t)json_integer_value(json_object_get(entry, "bytes")),
            .mode = type && *type == 'd' ? 0755 : 0644,
        };
        struct dray_blame_note before =
            dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_DECIDE);
        result =
            loaded->operations.filter.decide(step->instance->self, &call->ctx, &view, &verdict);
        dray_blame_leave(before);
        result = dray_call_result(call, result, DRAY_OPERATION_DECIDE, error);
        if (result == 0 && (verdict.option >= loaded->plugin.option_count ||
                            (verdict.verdict != DRAY_KEEP && verdict.verdict != DRAY_DROP)))
            result = dray_fail(error, DRAY_BUG, "plugin %s gave no valid verdict on %s",
                               step->step->uses, view.path);
        if (result == 0 &&
            json_array_append_new(verdicts,
                                  json_pack("{s:s, s:s, s:I}", "verdict",
                                            verdict.verdict == DRAY_KEEP ? "keep" : "drop",
                                            "option", loaded->plugin.options[verdict.option].name,
                                            "index", (json_int_t)verdict.index)) != 0)
            result = dray_fail_memory(error);
    }
    if (json_object_set_new(answer, "verdicts", verdicts) != 0 && result == 0)
        result = dray_fail_memory(error);
    return result;
}

static json_t *answer_step(struct dray_step_run *step, const json_t *asked, int listed)
{
    json_t *answer = json_object();
    struct dray_error error = {0};
    struct dray_call call;

    dray_call_init(&call, step);
    int result = prepare(step, &call, answer, &error);
    int only_options =
        result == DRAY_INVALID && call.problems && json_array_size(call.problems) > 0;
    dray_call_init(&call, step);
    if (result == 0 && json_object_get(asked, "entries"))
        result = decide(step, &call, json_object_get(asked, "entries"), answer, &error);
    if (result == 0 && json_is_true(json_object_get(asked, "identify")))
        result = identify(step, &call, answer, &error);
    if (result == 0 && json_is_true(json_object_get(asked, "describe"))) {
        result = describe(step, &call, listed, answer, &error);
        if (result == 0 && !json_object_get(answer, "presence"))
            result = probe_for(step, &call, answer, &error);
    }
    if (result != 0 && !only_options)
        (void)json_object_set_new(answer, "error", dray_error_to_json(&error));
    if (step->instance) {
        struct dray_blame_note before =
            dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_DESTROY);
        dray_instance_free(DRAY_TAKE(step->instance));
        dray_blame_leave(before);
    }
    return answer;
}

int dray_inquiry_answer(struct dray_run *run, const json_t *request, json_t **ret_answer,
                        struct dray_error *error)
{
    int result = plan_of(request, run, error);
    int listed = json_is_true(json_object_get(request, "listed"));
    json_t *answers = json_array();

    for (size_t i = 0; result == 0 && i < run->plan->step_count; i++) {
        const json_t *asked = json_array_get(json_object_get(request, "steps"), i);
        if (json_array_append_new(answers, answer_step(&run->steps[i], asked, listed)) != 0)
            result = dray_fail_memory(error);
    }
    if (result == 0) {
        *ret_answer = json_pack("{s:o}", "steps", answers);
        return *ret_answer ? 0 : dray_fail_memory(error);
    }
    json_decref(answers);
    return result;
}
