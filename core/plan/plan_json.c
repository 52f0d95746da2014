/* SPDX-License-Identifier: MIT */
/* plan_json.c - a plan as JSON: what `dray plan --json` prints, and what jobs keep. plan_parse.c
 * reads it back. */
#include "core/plan/draft.h"

#include <string.h>

/* Every function here returns NULL when memory is out, and json_pack passes that on. (Its `s*` is
 * not used: it takes a text that could not be copied for one that is not there.) */

static const char *const mode_names[] = {
    [DRAY_MODE_ENFORCE] = "enforce",
    [DRAY_MODE_WARN] = "warn",
    [DRAY_MODE_AUDIT] = "audit",
};
static const char *const presence_names[] = {
    [DRAY_ABSENT] = "absent",
    [DRAY_DELIVERED] = "delivered",
    [DRAY_OCCUPIED] = "occupied",
    [DRAY_UNSEEN] = "unseen",
};

const char *dray_mode_name(enum dray_mode mode)
{
    return mode_names[mode];
}

int dray_mode_of_name(const char *name, enum dray_mode *ret_mode)
{
    for (size_t i = 0; i < DRAY_COUNT(mode_names); i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            *ret_mode = (enum dray_mode)i;
            return 0;
        }
    }
    return -1;
}

const char *dray_presence_name(uint32_t presence)
{
    return presence < DRAY_COUNT(presence_names) ? presence_names[presence] : NULL;
}

int dray_goes_of_json(const json_t *presence)
{
    if (json_is_true(json_object_get(presence, "goes_into")))
        return DRAY_GOES_INTO;
    return json_is_true(json_object_get(presence, "goes_over"));
}

uint32_t dray_presence_of_json(const json_t *json)
{
    const char *name = json_string_value(json);
    json_int_t number = json_integer_value(json);

    /* Plugins give numbers, and have none for what they did not look at. */
    for (uint32_t i = DRAY_ABSENT; i <= DRAY_UNSEEN; i++)
        if (name ? strcmp(name, presence_names[i]) == 0 : number == i && i != DRAY_UNSEEN)
            return i;
    return 0;
}

uint32_t dray_target_type_of_json(const json_t *json)
{
    const char *name = json_string_value(json);
    json_int_t number = json_integer_value(json);

    for (uint32_t i = DRAY_TARGET_HPFS; i <= DRAY_TARGET_OTHER; i++)
        if (name ? strcmp(name, dray_target_type_name(i)) == 0 : number == i)
            return i;
    return 0;
}

json_t *dray_json_with(json_t *object, const char *key, const char *text)
{
    if (object && text && json_object_set_new(object, key, json_string(text)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *ids_json(const struct dray_plan *plan, const size_t *steps, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < count; i++) {
        if (json_array_append_new(list, json_string(plan->steps[steps[i]].id)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* Dray itself adds steps too: these have no file. */
static json_t *origin_json(const struct dray_origin *origin)
{
    if (!origin->file)
        return json_object();
    json_t *json = json_pack("{s:s, s:I}", "file", origin->file, "line", (json_int_t)origin->line);

    json = dray_json_with(json, "policy", origin->policy);
    json = dray_json_with(json, "rule", origin->rule);
    json = dray_json_with(json, "message", origin->message);
    return dray_json_with(json, "recipe", origin->recipe);
}

static json_t *plugin_json(const struct dray_step *step)
{
    return json_pack("{s:s, s:s, s:s}", "file", step->file, "digest", step->digest, "version",
                     step->version);
}

static json_t *step_json(const struct dray_plan *plan, const struct dray_step *step)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:o, s:o, s:O, s:s, s:I, s:I, s:{s:I, s:I, s:I}, s:o}", "id", step->id, "uses",
        step->uses, "needs", ids_json(plan, step->needs, step->needs_count), "after",
        ids_json(plan, step->after, step->after_count), "with", step->with, "mode",
        dray_mode_name(step->mode), "timeout", (json_int_t)step->timeout, "stall",
        (json_int_t)step->stall, "retry", "tries", (json_int_t)step->retry.tries, "backoff",
        (json_int_t)step->retry.backoff, "max_backoff", (json_int_t)step->retry.max_backoff,
        "origin", origin_json(&step->origin));

    json = dray_json_with(json, "revision", step->revision);
    if (json && step->rank >= 0 &&
        json_object_set_new(json, "rank", json_integer((json_int_t)step->rank)) != 0) {
        json_decref(json);
        return NULL;
    }
    if (json && step->file && json_object_set_new(json, "plugin", plugin_json(step)) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *presence_json(const struct dray_plan_target *target)
{
    json_t *json = json_pack("{s:s}", "state", dray_presence_name(target->presence));

    json = dray_json_with(json, "request_key", target->found_key);
    json = dray_json_with(json, "job", target->found_job);
    json = dray_json_with(json, "time", target->found_time);
    json = dray_json_with(json, "what", target->found_what);
    json = dray_json_with(json, "note", target->found_note);
    const char *goes = target->goes_over == DRAY_GOES_INTO ? "goes_into" : "goes_over";
    if (json && target->goes_over && json_object_set_new(json, goes, json_true()) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *target_json(const struct dray_plan *plan, const struct dray_plan_target *target)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:o}", "step", plan->steps[target->step].id,
                             "type", dray_target_type_name(target->target_type), "uri", target->uri,
                             "request_key", target->request_key, "presence", presence_json(target));

    json = dray_json_with(json, "host", target->host);
    json = dray_json_with(json, "path", target->path);
    json = dray_json_with(json, "parent", target->parent);
    return dray_json_with(json, "name", target->name);
}

static json_t *policy_json(const struct dray_plan_policy *policy)
{
    return json_pack("{s:s, s:I, s:s, s:s}", "policy", policy->policy, "revision",
                     (json_int_t)policy->revision, "digest", policy->digest, "file", policy->file);
}

static json_t *steps_json(const struct dray_plan *plan)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < plan->step_count; i++) {
        if (json_array_append_new(list, step_json(plan, &plan->steps[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *targets_json(const struct dray_plan *plan)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < plan->target_count; i++) {
        if (json_array_append_new(list, target_json(plan, &plan->targets[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *policies_json(const struct dray_plan *plan)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < plan->policy_count; i++) {
        if (json_array_append_new(list, policy_json(&plan->policies[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *dray_plan_json(const struct dray_plan *plan)
{
    json_t *json = json_pack(
        "{s:i, s:s, s:s, s:{s:s, s:s, s:s}, s:{s:s, s:b}, s:o, s:o, s:o, s:s, s:O, s:O}", "version",
        1, "digest", plan->digest, "name", plan->name, "dataset", "name", plan->dataset, "id",
        plan->dataset_id, "revision", plan->revision, "tree", "symlinks", plan->symlinks,
        "keep_empty_dirs", plan->keep_empty_dirs, "steps", steps_json(plan), "targets",
        targets_json(plan), "policies", policies_json(plan), "policy_set", plan->policy_set_digest,
        "facts", plan->facts, "findings", plan->findings);

    return dray_json_with(json, "policy_signer",
                          plan->policy_signer[0] ? plan->policy_signer : NULL);
}
