/* SPDX-License-Identifier: MIT */
/* plan_print.c - `dray plan` for people. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

/* Of a list, how many values are shown, and of a value, how many bytes. */
#define SHOWN_VALUES 4
#define SHOWN_BYTES  60
/* Longer ids do not push the other columns away. */
#define ID_WIDTH_MAX 40

static void cell(struct dray_buffer *out, const char *text, size_t width)
{
    size_t characters = 0;

    for (const char *c = text; *c; c++)
        characters += ((unsigned char)*c & 0xc0) != 0x80;
    dray_utf8_add(out, text, strlen(text), 1);
    for (; characters < width; characters++)
        dray_buffer_text(out, " ");
    dray_buffer_text(out, "  ");
}

static void shortened(struct dray_buffer *out, const char *text)
{
    size_t length = strlen(text);
    size_t shown = 0;

    while (shown < length && shown < SHOWN_BYTES) {
        size_t bytes = dray_utf8_length(text + shown, length - shown);
        shown += bytes ? bytes : 1;
    }
    dray_utf8_add(out, text, shown, 1);
    if (shown < length)
        dray_buffer_text(out, "\xe2\x80\xa6");
}

/* Is this option a number of bytes? A plan keeps values, and not their types. */
static int is_size(const char *uses, const char *key)
{
    static const char *const keys[] = {"total_bytes", "max_bytes", "bundle_size", "sync_every"};

    for (size_t i = 0; i < DRAY_COUNT(keys); i++)
        if (strcmp(key, keys[i]) == 0)
            return 1;
    return strcmp(uses, "filter/size") == 0 ||
           (strcmp(uses, "validate") == 0 && strcmp(key, "bytes") == 0);
}

/* In the largest unit that it is a whole number of: as it may be written, and exact. */
static void whole_size(struct dray_buffer *out, int64_t bytes)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {
        {"TiB", INT64_C(1) << 40},   {"TB", INT64_C(1000000000000)}, {"GiB", INT64_C(1) << 30},
        {"GB", INT64_C(1000000000)}, {"MiB", INT64_C(1) << 20},      {"MB", INT64_C(1000000)},
        {"KiB", INT64_C(1) << 10},   {"kB", INT64_C(1000)},
    };

    for (size_t i = 0; bytes > 0 && i < DRAY_COUNT(units); i++) {
        if (bytes % units[i].bytes != 0)
            continue;
        dray_buffer_format(out, "%lld %s", (long long)(bytes / units[i].bytes), units[i].name);
        return;
    }
    dray_buffer_format(out, "%lld", (long long)bytes);
}

static void value(struct dray_buffer *out, const char *uses, const char *key, const json_t *json)
{
    if (json_is_string(json))
        shortened(out, json_string_value(json));
    else if (json_is_boolean(json))
        dray_buffer_text(out, json_is_true(json) ? "true" : "false");
    else if (json_is_integer(json) && is_size(uses, key))
        whole_size(out, json_integer_value(json));
    else if (json_is_integer(json))
        dray_buffer_format(out, "%lld", (long long)json_integer_value(json));
}

static void list(struct dray_buffer *out, const json_t *json)
{
    size_t count = json_array_size(json);

    dray_buffer_text(out, "[");
    for (size_t i = 0; i < count && i < SHOWN_VALUES; i++) {
        dray_buffer_text(out, i ? ", \"" : "\"");
        shortened(out, json_string_value(json_array_get(json, i)));
        dray_buffer_text(out, "\"");
    }
    if (count > SHOWN_VALUES)
        dray_buffer_format(out, ", %zu more", count - SHOWN_VALUES);
    dray_buffer_text(out, "]");
}

/* What says nothing: no, an empty list, an empty text. */
static int is_silent(const json_t *json)
{
    return json_is_false(json) || (json_is_array(json) && json_array_size(json) == 0) ||
           (json_is_object(json) && json_object_size(json) == 0) ||
           (json_is_string(json) && json_string_length(json) == 0);
}

static void options(struct dray_buffer *out, const char *uses, json_t *with)
{
    const char *key;
    json_t *item;
    size_t shown = 0;

    json_object_foreach(with, key, item)
    {
        if (is_silent(item))
            continue;
        dray_buffer_text(out, shown++ ? ", " : "      ");
        dray_buffer_format(out, "%s: ", key);
        if (json_is_array(item))
            list(out, item);
        else if (json_is_object(item))
            dray_buffer_format(out, "{%zu entries}", json_object_size(item));
        else
            value(out, uses, key, item);
    }
    if (shown)
        dray_buffer_text(out, "\n");
}

static void names(struct dray_buffer *out, const struct dray_plan *plan, const size_t *steps,
                  size_t count)
{
    for (size_t i = 0; i < count; i++)
        dray_buffer_format(out, "%s%s", i ? ", " : "", plan->steps[steps[i]].id);
}

static void needs(struct dray_buffer *out, const struct dray_plan *plan,
                  const struct dray_step *step)
{
    if (step->needs_count) {
        dray_buffer_text(out, "takes ");
        names(out, plan, step->needs, step->needs_count);
    }
    if (step->after_count) {
        dray_buffer_text(out, " after ");
        names(out, plan, step->after, step->after_count);
    }
}

/* Only the file's name: where it lies is said once, or known to who gave it. */
static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void origin(struct dray_buffer *out, const struct dray_step *step)
{
    const struct dray_origin *from = &step->origin;

    if (!from->file) {
        dray_buffer_text(out, "added by Dray\n");
        return;
    }
    if (from->recipe)
        dray_buffer_text(out, "recipe/");
    dray_utf8_add(out, file_name(from->file), strlen(file_name(from->file)), 1);
    dray_buffer_format(out, ":%u", from->line);
    if (from->rule)
        dray_buffer_format(out, "  policy %s, rule %s", from->policy, from->rule);
    if (step->mode != DRAY_MODE_ENFORCE)
        dray_buffer_format(out, " (%s: nothing is left out)", dray_mode_name(step->mode));
    dray_buffer_text(out, "\n");
    if (!from->message)
        return;
    dray_buffer_text(out, "      ");
    dray_utf8_add(out, from->message, strcspn(from->message, "\n"), 1);
    dray_buffer_text(out, "\n");
}

static size_t widest(size_t width, const char *text)
{
    size_t length = strlen(text);

    return length > width && length <= ID_WIDTH_MAX ? length : width;
}

static void steps(struct dray_buffer *out, const struct dray_plan *plan)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer needed = {.cap = out->cap};
    size_t id_width = 0, uses_width = 0, needs_width = 0;

    dray_buffer_text(out, "\nsteps\n");
    for (size_t i = 0; i < plan->step_count; i++) {
        id_width = widest(id_width, plan->steps[i].id);
        uses_width = widest(uses_width, plan->steps[i].uses);
        dray_buffer_clear(&needed);
        needs(&needed, plan, &plan->steps[i]);
        needs_width = widest(needs_width, needed.data ? needed.data : "");
    }
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct dray_step *step = &plan->steps[i];
        dray_buffer_clear(&needed);
        needs(&needed, plan, step);
        if (needed.failed)
            out->failed = needed.failed;
        dray_buffer_text(out, "  ");
        cell(out, step->id, id_width);
        cell(out, step->uses, uses_width);
        cell(out, needed.length ? needed.data : "", needs_width);
        origin(out, step);
        options(out, step->uses, step->with);
    }
}

#define ADDED_TO                                                                                   \
    ", and will be added to; a run looks for conflicts first, and dray preview names them"

static void presence(struct dray_buffer *out, const struct dray_plan_target *target)
{
    if (target->presence == DRAY_ABSENT) {
        dray_buffer_text(out, "nothing is there yet\n");
    } else if (target->presence == DRAY_UNSEEN) {
        dray_buffer_text(out, "not looked at\n");
    } else if (target->presence == DRAY_OCCUPIED) {
        dray_buffer_text(out, "something is there: ");
        shortened(out, target->found_what ? target->found_what : "not a delivery of ours");
        dray_buffer_format(out, "%s\n", target->goes_over ? ADDED_TO : "");
    } else if (target->found_key && strcmp(target->found_key, target->request_key) == 0) {
        dray_buffer_format(out, "already delivered %s\n",
                           target->found_time ? target->found_time : "");
    } else {
        dray_buffer_format(out, "another delivery is there, of %s%s\n",
                           target->found_time ? target->found_time : "an unknown time",
                           target->goes_over == DRAY_GOES_INTO ? ADDED_TO
                           : target->goes_over                 ? ", and will be replaced"
                                                               : "");
    }
}

static void targets(struct dray_buffer *out, const struct dray_plan *plan)
{
    size_t id_width = 0, uri_width = 0;

    dray_buffer_text(out, "\ntargets\n");
    for (size_t i = 0; i < plan->target_count; i++) {
        id_width = widest(id_width, plan->steps[plan->targets[i].step].id);
        uri_width = widest(uri_width, plan->targets[i].uri);
    }
    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_plan_target *target = &plan->targets[i];
        dray_buffer_text(out, "  ");
        cell(out, plan->steps[target->step].id, id_width);
        cell(out, target->uri, uri_width);
        presence(out, target);
        if (!target->found_note)
            continue;
        dray_buffer_text(out, "      note: ");
        dray_utf8_add(out, target->found_note, strlen(target->found_note), 1);
        dray_buffer_text(out, "\n");
    }
}

static void policies(struct dray_buffer *out, const struct dray_plan *plan)
{
    size_t width = 0;

    if (plan->policy_count == 0) {
        dray_buffer_text(out, "\nno policies\n");
        return;
    }
    dray_buffer_text(out, "\npolicies");
    if (plan->policy_signer[0])
        dray_buffer_format(out, ", signed by key %s", plan->policy_signer);
    dray_buffer_text(out, "\n");
    for (size_t i = 0; i < plan->policy_count; i++)
        width = widest(width, plan->policies[i].policy);
    for (size_t i = 0; i < plan->policy_count; i++) {
        const struct dray_plan_policy *policy = &plan->policies[i];
        dray_buffer_text(out, "  ");
        cell(out, policy->policy, width);
        dray_buffer_format(out, "revision %lld  %.12s  ", (long long)policy->revision,
                           policy->digest);
        dray_utf8_add(out, policy->file, strlen(policy->file), 1);
        dray_buffer_text(out, "\n");
    }
}

static void findings(struct dray_buffer *out, const struct dray_plan *plan)
{
    size_t i;
    json_t *finding;

    json_array_foreach(plan->findings, i, finding)
    {
        static const char *const keys[] = {"kind", "policy", "rule", "what"};
        static const char *const before[] = {"  ", " ", "/", ": "};
        for (size_t k = 0; k < DRAY_COUNT(keys); k++) {
            const char *text = json_string_value(json_object_get(finding, keys[k]));
            dray_buffer_text(out, before[k]);
            dray_utf8_add(out, text ? text : "", text ? strlen(text) : 0, 1);
        }
        dray_buffer_text(out, "\n");
    }
}

void dray_plan_print(const struct dray_plan *plan, struct dray_buffer *out)
{
    dray_buffer_text(out, "plan     ");
    dray_utf8_add(out, plan->name, strlen(plan->name), 1);
    dray_buffer_format(out, "\ndigest   %.12s\ndataset  ", plan->digest);
    dray_utf8_add(out, plan->dataset, strlen(plan->dataset), 1);
    dray_buffer_text(out, "  ");
    dray_utf8_add(out, plan->dataset_id, strlen(plan->dataset_id), 1);
    dray_buffer_format(out, "\ntree     symlinks: %s, keep_empty_dirs: %s\n", plan->symlinks,
                       plan->keep_empty_dirs ? "true" : "false");
    steps(out, plan);
    targets(out, plan);
    policies(out, plan);
    findings(out, plan);
}
