/* SPDX-License-Identifier: MIT */
/* plan_parse.c - a plan back from its JSON, which came over a pipe or out of a database: nothing in
 * it is taken on trust. */
#include "core/plan/draft.h"

#include <stdarg.h>
#include <string.h>

/* Reading goes on after a fault; the first one is kept. */
struct reader {
    struct dray_error *error;
    int result;
};

static void fail(struct reader *reader, const char *format, ...) DRAY_FORMAT(2, 3);
static void fail(struct reader *reader, const char *format, ...)
{
    char text[256];
    va_list arguments;

    if (reader->result != 0)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    reader->result = dray_fail(reader->error, DRAY_INVALID, "the plan cannot be read: %s", text);
}

static void fail_memory(struct reader *reader)
{
    if (reader->result == 0)
        reader->result = dray_fail_memory(reader->error);
}

/* A text that may be missing. */
static char *maybe_text(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *json = json_object_get(object, key);

    if (!json || reader->result != 0)
        return NULL;
    if (!json_is_string(json)) {
        fail(reader, "\"%s\" is no text", key);
        return NULL;
    }
    char *text = strdup(json_string_value(json));
    if (!text)
        fail_memory(reader);
    return text;
}

static char *text(struct reader *reader, const json_t *object, const char *key)
{
    if (!json_object_get(object, key))
        fail(reader, "\"%s\" is missing", key);
    return maybe_text(reader, object, key);
}

static void hex(struct reader *reader, const json_t *object, const char *key,
                char ret_hex[static DRAY_SHA256_HEX])
{
    uint8_t bytes[DRAY_SHA256_BYTES];
    const char *value = json_string_value(json_object_get(object, key));

    if (!value || strlen(value) != DRAY_SHA256_HEX - 1 ||
        dray_unhex(value, DRAY_SHA256_BYTES, bytes) != 0)
        fail(reader, "\"%s\" is no SHA-256 digest", key);
    else
        (void)dray_hex(bytes, DRAY_SHA256_BYTES, ret_hex);
}

static int64_t number(struct reader *reader, const json_t *object, const char *key, int64_t min,
                      int64_t max)
{
    const json_t *json = json_object_get(object, key);

    if (!json_is_integer(json) || json_integer_value(json) < min || json_integer_value(json) > max)
        fail(reader, "\"%s\" is no number in its range", key);
    return json_integer_value(json);
}

static const json_t *list(struct reader *reader, const json_t *object, const char *key)
{
    const json_t *json = json_object_get(object, key);

    if (!json_is_array(json))
        fail(reader, "\"%s\" is no list", key);
    return json;
}

static size_t find(const struct dray_plan *plan, size_t count, const char *id)
{
    for (size_t i = 0; id && i < count; i++)
        if (strcmp(plan->steps[i].id, id) == 0)
            return i;
    return SIZE_MAX;
}

/* Steps that stand before step `index`: so there can be no cycle. */
static size_t *earlier(struct reader *reader, const struct dray_plan *plan, size_t index,
                       const json_t *object, const char *key, size_t *ret_count)
{
    const json_t *ids = list(reader, object, key);
    size_t count = json_array_size(ids);
    size_t *steps = calloc(count + 1, sizeof(*steps));

    if (!steps)
        fail_memory(reader);
    for (size_t i = 0; reader->result == 0 && i < count; i++) {
        steps[i] = find(plan, index, json_string_value(json_array_get(ids, i)));
        if (steps[i] == SIZE_MAX)
            fail(reader, "\"%s\" of step %s names no earlier step", key, plan->steps[index].id);
        else if (i > 0 && steps[i] <= steps[i - 1])
            fail(reader, "\"%s\" of step %s is not in order", key, plan->steps[index].id);
    }
    *ret_count = reader->result == 0 ? count : 0;
    return steps;
}

static void read_origin(struct reader *reader, const json_t *json, struct dray_origin *origin)
{
    if (!json_is_object(json)) {
        fail(reader, "\"origin\" is missing");
        return;
    }
    origin->file = maybe_text(reader, json, "file");
    if (origin->file)
        origin->line = (uint32_t)number(reader, json, "line", 0, UINT32_MAX);
    origin->policy = maybe_text(reader, json, "policy");
    origin->rule = maybe_text(reader, json, "rule");
    origin->message = maybe_text(reader, json, "message");
    origin->recipe = maybe_text(reader, json, "recipe");
    if (origin->recipe && (!origin->file || origin->policy))
        fail(reader, "an origin has a recipe without a file, or one and a policy");
    if (!origin->policy != !origin->rule)
        fail(reader, "an origin has a policy without a rule, or a rule without a policy");
}

static void read_plugin(struct reader *reader, const json_t *json, struct dray_step *step)
{
    int built_in = step->role == DRAY_STEP_VALIDATE || step->role == DRAY_STEP_GUARD;

    if (built_in != !json)
        fail(reader,
             built_in ? "step %s is built in and names a plugin"
                      : "step %s does not name its plugin's file",
             step->id);
    if (!json)
        return;
    step->file = text(reader, json, "file");
    step->digest = text(reader, json, "digest");
    step->version = text(reader, json, "version");
    if (step->file && step->file[0] != '/')
        fail(reader, "the plugin of step %s has no absolute path", step->id);
}

static void read_retry(struct reader *reader, const json_t *json, struct dray_retry *retry)
{
    retry->tries = (uint32_t)number(reader, json, "tries", 1, UINT32_MAX);
    retry->backoff = number(reader, json, "backoff", 0, INT64_MAX);
    retry->max_backoff = number(reader, json, "max_backoff", retry->backoff, INT64_MAX);
}

static void read_step(struct reader *reader, struct dray_plan *plan, size_t index,
                      const json_t *json)
{
    struct dray_step *step = &plan->steps[index];

    step->id = text(reader, json, "id");
    step->uses = text(reader, json, "uses");
    const char *mode = json_string_value(json_object_get(json, "mode"));
    if (reader->result == 0 && find(plan, index, step->id) != SIZE_MAX)
        fail(reader, "two steps have the id %s", step->id);
    if (reader->result == 0 && dray_role_of_uses(step->uses, &step->role) != 0)
        fail(reader, "step %s uses \"%s\"", step->id, step->uses);
    if (!mode || dray_mode_of_name(mode, &step->mode) != 0)
        fail(reader, "\"mode\" is unknown");
    if (!json_is_object(json_object_get(json, "with")))
        fail(reader, "\"with\" is missing");
    if (reader->result != 0)
        return;
    step->with = json_deep_copy(json_object_get(json, "with"));
    if (!step->with)
        fail_memory(reader);
    step->needs = earlier(reader, plan, index, json, "needs", &step->needs_count);
    step->after = earlier(reader, plan, index, json, "after", &step->after_count);
    if (reader->result == 0 && (step->role == DRAY_STEP_SOURCE) != (step->needs_count == 0))
        fail(reader, "step %s takes a tree and should not, or should and does not", step->id);
    for (size_t i = 0; reader->result == 0 && i < step->needs_count; i++)
        if (plan->steps[step->needs[i]].role == DRAY_STEP_PUSH)
            fail(reader, "step %s needs a push", step->id);
    step->timeout = number(reader, json, "timeout", 1, INT64_MAX);
    step->stall = number(reader, json, "stall", 1, INT64_MAX);
    step->revision = maybe_text(reader, json, "revision");
    /* Plans of earlier releases have none. */
    step->rank = json_object_get(json, "rank") ? number(reader, json, "rank", 0, UINT32_MAX) : -1;
    read_retry(reader, json_object_get(json, "retry"), &step->retry);
    read_origin(reader, json_object_get(json, "origin"), &step->origin);
    read_plugin(reader, json_object_get(json, "plugin"), step);
}

static void read_steps(struct reader *reader, const json_t *json, struct dray_plan *plan)
{
    const json_t *steps = list(reader, json, "steps");
    size_t count = json_array_size(steps);

    if (count == 0 || count > DRAY_PLAN_MAX_STEPS)
        fail(reader, "it has %zu steps", count);
    if (reader->result != 0)
        return;
    plan->steps = calloc(count, sizeof(*plan->steps));
    if (!plan->steps) {
        fail_memory(reader);
        return;
    }
    for (size_t i = 0; reader->result == 0 && i < count; i++) {
        plan->step_count = i + 1;
        read_step(reader, plan, i, json_array_get(steps, i));
    }
}

static void read_target(struct reader *reader, const struct dray_plan *plan, const json_t *json,
                        struct dray_plan_target *target)
{
    const json_t *presence = json_object_get(json, "presence");

    target->step = find(plan, plan->step_count, json_string_value(json_object_get(json, "step")));
    if (target->step == SIZE_MAX || plan->steps[target->step].role != DRAY_STEP_PUSH)
        fail(reader, "a target belongs to no push");
    target->target_type = dray_target_type_of_json(json_object_get(json, "type"));
    target->presence = dray_presence_of_json(json_object_get(presence, "state"));
    if (target->target_type == 0 || target->presence == 0)
        fail(reader, "a target's type or presence is unknown");
    target->uri = text(reader, json, "uri");
    target->host = maybe_text(reader, json, "host");
    target->path = maybe_text(reader, json, "path");
    target->parent = maybe_text(reader, json, "parent");
    target->name = maybe_text(reader, json, "name");
    hex(reader, json, "request_key", target->request_key);
    target->found_key = maybe_text(reader, presence, "request_key");
    target->found_job = maybe_text(reader, presence, "job");
    target->found_time = maybe_text(reader, presence, "time");
    target->found_what = maybe_text(reader, presence, "what");
    target->found_note = maybe_text(reader, presence, "note");
    target->goes_over = dray_goes_of_json(presence);
}

static void read_targets(struct reader *reader, const json_t *json, struct dray_plan *plan)
{
    const json_t *targets = list(reader, json, "targets");
    size_t count = json_array_size(targets);
    size_t pushes = 0;

    for (size_t i = 0; i < plan->step_count; i++)
        pushes += plan->steps[i].role == DRAY_STEP_PUSH;
    if (count != pushes)
        fail(reader, "it has %zu targets for %zu pushes", count, pushes);
    if (reader->result != 0)
        return;
    plan->targets = calloc(count + 1, sizeof(*plan->targets));
    if (!plan->targets) {
        fail_memory(reader);
        return;
    }
    for (size_t i = 0; reader->result == 0 && i < count; i++) {
        plan->target_count = i + 1;
        read_target(reader, plan, json_array_get(targets, i), &plan->targets[i]);
        if (i > 0 && plan->targets[i].step <= plan->targets[i - 1].step)
            fail(reader, "its targets are not in the order of its steps");
    }
}

static void read_policies(struct reader *reader, const json_t *json, struct dray_plan *plan)
{
    const json_t *policies = list(reader, json, "policies");
    size_t count = json_array_size(policies);

    plan->policies = calloc(count + 1, sizeof(*plan->policies));
    if (!plan->policies) {
        fail_memory(reader);
        return;
    }
    for (size_t i = 0; reader->result == 0 && i < count; i++) {
        const json_t *item = json_array_get(policies, i);
        struct dray_plan_policy *policy = &plan->policies[plan->policy_count++];
        policy->policy = text(reader, item, "policy");
        policy->file = text(reader, item, "file");
        policy->digest = text(reader, item, "digest");
        policy->revision = number(reader, item, "revision", 1, INT64_MAX);
    }
}

static void read_signer(struct reader *reader, const json_t *json, struct dray_plan *plan)
{
    dray_autofree char *signer = maybe_text(reader, json, "policy_signer");

    if (!signer)
        return;
    if (strlen(signer) != sizeof(plan->policy_signer) - 1)
        fail(reader, "\"policy_signer\" is not a key's id");
    else
        memcpy(plan->policy_signer, signer, sizeof(plan->policy_signer));
}

static void read_tree(struct reader *reader, const json_t *json, struct dray_plan *plan)
{
    static const char *const choices[] = {"keep", "skip", "copy", "fail"};
    const json_t *empty = json_object_get(json, "keep_empty_dirs");
    int known = 0;

    plan->symlinks = text(reader, json, "symlinks");
    for (size_t i = 0; plan->symlinks && i < DRAY_COUNT(choices); i++)
        known |= strcmp(plan->symlinks, choices[i]) == 0;
    if (!known || !json_is_boolean(empty))
        fail(reader, "\"tree\" is not understood");
    plan->keep_empty_dirs = json_is_true(empty);
}

int dray_plan_parse(const json_t *json, struct dray_plan **ret_plan, struct dray_error *error)
{
    struct reader reader = {.error = error};
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = calloc(1, sizeof(*plan));
    const json_t *dataset = json_object_get(json, "dataset");

    if (!plan)
        return dray_fail_memory(error);
    if (json_integer_value(json_object_get(json, "version")) != 1)
        fail(&reader, "its version is not 1");
    hex(&reader, json, "digest", plan->digest);
    hex(&reader, json, "policy_set", plan->policy_set_digest);
    plan->name = text(&reader, json, "name");
    plan->dataset = text(&reader, dataset, "name");
    plan->dataset_id = text(&reader, dataset, "id");
    plan->revision = text(&reader, dataset, "revision");
    read_tree(&reader, json_object_get(json, "tree"), plan);
    read_steps(&reader, json, plan);
    read_targets(&reader, json, plan);
    read_policies(&reader, json, plan);
    /* Plans of earlier releases have neither. */
    plan->facts = json_object_get(json, "facts") ? json_deep_copy(json_object_get(json, "facts"))
                                                 : json_array();
    plan->findings = json_object_get(json, "findings")
                         ? json_deep_copy(json_object_get(json, "findings"))
                         : json_array();
    if (reader.result == 0 && (!plan->facts || !plan->findings))
        return dray_fail_memory(error);
    if (reader.result == 0 && (!json_is_array(plan->facts) || !json_is_array(plan->findings)))
        fail(&reader, "\"facts\" or \"findings\" is not understood");
    read_signer(&reader, json, plan);
    if (reader.result == 0)
        *ret_plan = DRAY_TAKE(plan);
    return reader.result;
}
