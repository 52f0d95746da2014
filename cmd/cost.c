/* SPDX-License-Identifier: MIT */
/* cost.c - what a plan will cost, for people. */
#include <string.h>

#include "cmd/command.h"
#include "core/base/text.h"

/* Two digits: it is an estimate. */
static void add_time(struct dray_buffer *out, double seconds)
{
    static const struct {
        double seconds, most;
        const char *unit;
    } units[] = {{1, 99.5, "s"}, {60, 99.5, "min"}, {3600, 47.5, "h"}};

    if (seconds < 1) {
        dray_buffer_text(out, "less than 1 s");
        return;
    }
    for (size_t i = 0; i < DRAY_COUNT(units); i++) {
        double value = seconds / units[i].seconds;
        if (value < units[i].most) {
            dray_buffer_format(out, "%.2g %s", value, units[i].unit);
            return;
        }
    }
    dray_buffer_format(out, "%.0f days", seconds / 86400);
}

static void add_seconds(struct dray_buffer *out, const json_t *seconds)
{
    const char *newest = json_string_value(json_object_get(seconds, "newest"));
    const char *of = json_string_value(json_object_get(seconds, "of"));
    json_int_t jobs = json_integer_value(json_object_get(seconds, "jobs"));
    double staging = json_real_value(json_object_get(seconds, "staging"));
    double pushing = json_real_value(json_object_get(seconds, "pushing"));
    double whole = staging + pushing;

    if (!seconds)
        return;
    dray_buffer_text(out, whole < 1 ? "  time     " : "  time     about ");
    add_time(out, whole);
    if (whole >= 1) {
        dray_buffer_text(out, ": staging ");
        add_time(out, staging);
        dray_buffer_text(out, ", pushing ");
        add_time(out, pushing);
    }
    dray_buffer_format(out, " (from %lld job%s%s, last %.10s)\n", (long long)jobs,
                       jobs == 1 ? "" : "s",
                       of && strcmp(of, "name") == 0 ? " of other datasets of this name" : "",
                       newest ? newest : "");
}

static void add_count(struct dray_buffer *out, const json_t *cost)
{
    const json_t *entries = json_object_get(cost, "entries");
    json_int_t count = json_integer_value(entries);
    char size[24];

    if (!entries)
        return;
    (void)dray_size_print((uint64_t)json_integer_value(json_object_get(cost, "bytes")), size);
    dray_buffer_format(
        out, "  dataset  %lld %s, %s%s\n", (long long)count, count == 1 ? "entry" : "entries", size,
        json_is_true(json_object_get(cost, "before_filters")) ? ", before filters" : "");
}

static void add_room(struct dray_buffer *out, const json_t *targets)
{
    const char *label = "free";
    char size[24];
    size_t i, width = 0;
    json_t *target;

    json_array_foreach(targets, i, target)
    {
        size_t length = json_string_length(json_object_get(target, "step"));
        if (json_object_get(target, "free_bytes") && length > width)
            width = length;
    }
    json_array_foreach(targets, i, target)
    {
        const json_t *room = json_object_get(target, "free_bytes");
        if (!room)
            continue;
        dray_buffer_format(out, "  %-7s  %-*s  %s\n", label, (int)width,
                           json_string_value(json_object_get(target, "step")),
                           dray_size_print((uint64_t)json_integer_value(room), size));
        label = "";
    }
}

void cost_add(struct dray_buffer *out, const json_t *plan)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer lines = {.cap = out->cap};
    const json_t *cost = json_object_get(plan, "cost");

    add_count(&lines, cost);
    add_seconds(&lines, json_object_get(cost, "seconds"));
    add_room(&lines, json_object_get(plan, "targets"));
    if (lines.failed)
        out->failed = lines.failed;
    if (lines.length == 0)
        return;
    dray_buffer_text(out, "\ncost\n");
    dray_buffer_add(out, lines.data, lines.length);
}

void cost_warn(const json_t *plan)
{
    const json_t *cost = json_object_get(plan, "cost"), *targets = json_object_get(plan, "targets");
    json_int_t bytes = json_integer_value(json_object_get(cost, "bytes"));
    char size[24], room[24];
    size_t i;
    json_t *target;

    json_array_foreach(targets, i, target)
    {
        const json_t *free_bytes = json_object_get(target, "free_bytes");
        const json_t *state = json_object_get(json_object_get(target, "presence"), "state");
        int goes_over =
            json_is_true(json_object_get(json_object_get(target, "presence"), "goes_over")) ||
            json_is_true(json_object_get(json_object_get(target, "presence"), "goes_into"));
        if (!free_bytes || json_integer_value(free_bytes) >= bytes ||
            (strcmp(json_string_value(state), "absent") != 0 && !goes_over))
            continue;
        (void)fprintf(stderr, "warning: step %s: the dataset has %s%s, and %s are free at ",
                      json_string_value(json_object_get(target, "step")),
                      dray_size_print((uint64_t)bytes, size),
                      json_is_true(json_object_get(cost, "before_filters")) ? " before filters"
                                                                            : "",
                      dray_size_print((uint64_t)json_integer_value(free_bytes), room));
        print_text(stderr, json_string_value(json_object_get(target, "uri")));
        (void)fputc('\n', stderr);
    }
}
