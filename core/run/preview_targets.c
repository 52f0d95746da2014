/* SPDX-License-Identifier: MIT */
/* preview_targets.c - what a run would do to what is at the targets already. */
#include <string.h>

#include "core/base/text.h"
#include "core/run/preview.h"

static int is_delivered(const struct dray_plan_target *target)
{
    return target->found_key && strcmp(target->found_key, target->request_key) == 0;
}

/* Is there another delivery at the target, whose place that of a run would take? */
static int is_replaced(const struct dray_plan_target *target)
{
    return target->goes_over && target->goes_over != DRAY_GOES_INTO && !is_delivered(target);
}

static int is_added_to(const struct dray_plan_target *target)
{
    return target->goes_over == DRAY_GOES_INTO && !is_delivered(target);
}

/* Is there what a run neither replaces nor adds to? */
static int is_refused(const struct dray_plan_target *target)
{
    return !target->goes_over && !is_delivered(target) &&
           (target->presence == DRAY_OCCUPIED || target->presence == DRAY_DELIVERED);
}

/* Why, made with malloc; NULL: no memory. */
static char *refusal(const struct dray_plan_target *target)
{
    if (target->presence == DRAY_DELIVERED)
        return dray_format("another delivery, of %s",
                           target->found_time ? target->found_time : "an unknown time");
    return dray_format("%s", target->found_what ? target->found_what : "something else");
}

/* Ask the push what is in its way: 0, or a class with the reason. */
static int look(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_push_operations *push = &step->instance->loaded->operations.push;
    struct dray_call call;

    if (!push->look || !step->input)
        return 0;
    dray_call_init(&call, step);
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_PROBE);
    int result = push->look(step->instance->self, &call.ctx);
    dray_blame_leave(before);
    return dray_call_result(&call, result, DRAY_OPERATION_PROBE, error);
}

/* Takes `json`. */
static void add_json(struct dray_buffer *out, const char *member, uint64_t count, json_t *json)
{
    dray_autofree char *text = json ? json_dumps(json, JSON_PRESERVE_ORDER) : NULL;

    json_decref(json);
    if (count == 0)
        dray_buffer_format(out, ", \"%s\": [", member);
    dray_buffer_format(out, "%s%s", count > 0 ? ", " : "", text ? text : "null");
}

static void replaced_json(const struct dray_plan *plan, struct dray_buffer *out)
{
    uint64_t count = 0;

    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_plan_target *target = &plan->targets[i];
        if (is_replaced(target))
            add_json(out, "replaces", count++,
                     json_pack("{s:s, s:s?, s:s?, s:s?}", "target", target->uri, "job",
                               target->found_job, "request_key", target->found_key, "time",
                               target->found_time));
    }
    if (count > 0)
        dray_buffer_text(out, "]");
}

static void refused_json(const struct dray_plan *plan, struct dray_buffer *out)
{
    uint64_t count = 0;

    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_plan_target *target = &plan->targets[i];
        if (!is_refused(target))
            continue;
        dray_autofree char *found = refusal(target);
        add_json(out, "refused", count++,
                 json_pack("{s:s, s:s?}", "target", target->uri, "found", found));
    }
    if (count > 0)
        dray_buffer_text(out, "]");
}

static void added_json(struct dray_run *run, struct dray_buffer *out)
{
    const struct dray_plan *plan = run->plan;
    uint64_t count = 0;

    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_plan_target *target = &plan->targets[i];
        struct dray_error error = {0};
        if (!is_added_to(target))
            continue;
        int found = look(&run->steps[target->step], &error);
        json_t *json = json_pack("{s:s}", "target", target->uri);
        if (found != 0)
            (void)json_object_set_new(json, "in_the_way", json_string(error.message));
        add_json(out, "adds_to", count++, json);
    }
    if (count > 0)
        dray_buffer_text(out, "]");
}

static void add_text(struct dray_run *run, const struct dray_plan_target *target,
                     struct dray_buffer *out)
{
    struct dray_error error = {0};

    if (is_replaced(target)) {
        dray_utf8_add(out, target->uri, strlen(target->uri), 1);
        dray_buffer_format(out, " holds another delivery, of %s, which a run replaces\n",
                           target->found_time ? target->found_time : "an unknown time");
    } else if (is_added_to(target)) {
        int found = look(&run->steps[target->step], &error);
        dray_utf8_add(out, target->uri, strlen(target->uri), 1);
        dray_buffer_text(out, " is there, and a run adds to it; ");
        if (found != 0)
            dray_utf8_add(out, error.message, strlen(error.message), 1);
        else
            dray_buffer_text(out, "nothing is in the way");
        dray_buffer_text(out, "\n");
    } else if (is_refused(target)) {
        dray_autofree char *found = refusal(target);
        dray_utf8_add(out, target->uri, strlen(target->uri), 1);
        dray_buffer_text(out, " holds what a run does not touch, and so fails: ");
        dray_utf8_add(out, found ? found : "", found ? strlen(found) : 0, 1);
        dray_buffer_text(out, "\n");
    }
}

void dray_preview_targets(struct dray_run *run, const struct dray_preview_format *format,
                          struct dray_buffer *out)
{
    if (format->json) {
        replaced_json(run->plan, out);
        added_json(run, out);
        refused_json(run->plan, out);
        return;
    }
    for (size_t i = 0; i < run->plan->target_count; i++)
        add_text(run, &run->plan->targets[i], out);
}
