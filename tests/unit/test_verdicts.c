/* SPDX-License-Identifier: MIT */
/*
 * What a push tells of its entries: all of it with its rules, or that memory is out; by their names
 * in the source; and once for all that take the same tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/text.h"
#include "core/run/verdict_list.h"
#include "core/run/verdict_walk.h"
#include "tests/unit/failing.h"

void __wrap_dray_run_tell(struct dray_run *run, json_t *event);

/* What the engine was told. */
static json_t *told;

void __wrap_dray_run_tell(struct dray_run *run, json_t *event)
{
    (void)run;
    assert_int_equal(json_array_append_new(told, event), 0);
}

/* ---- a filter, a transform where wanted, and two pushes behind it */

enum { FILTER, MIDDLE, FIRST, SECOND, STEPS };

struct place {
    struct dray_plan plan;
    struct dray_step steps[STEPS];
    size_t needs[STEPS];
    struct dray_step_run runs[STEPS];
    struct dray_run run;
    struct dray_option options[1];
    struct dray_loaded loaded;
    struct dray_instance instance;
    struct dray_decision decisions[3];
};

static void add(struct dray_tree_builder *builder, const char *path, const char *at)
{
    struct dray_error error = {0};
    const struct dray_tree_entry entry = {.path = path,
                                          .path_length = (uint32_t)strlen(path),
                                          .at = at,
                                          .type = DRAY_FILE,
                                          .bytes = 7,
                                          .mode = 0644};

    assert_int_equal(dray_tree_builder_add(builder, &entry, &error), 0);
}

static struct dray_tree *make_tree(void)
{
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();
    struct dray_tree *tree = NULL;
    struct dray_error error = {0};

    assert_non_null(builder);
    add(builder, "a", NULL);
    add(builder, "drop", NULL);
    add(builder, "twin", "a");
    assert_int_equal(dray_tree_builder_finish(builder, &tree, &error), 0);
    return tree;
}

static int setup(void **state)
{
    static const uint8_t keep[] = {1, 0, 1};
    static char ids[STEPS][8] = {"pick", "middle", "first", "second"};
    struct place *place = calloc(1, sizeof *place);
    struct dray_tree *selected = NULL;
    struct dray_error error = {0};

    assert_non_null(place);
    told = json_array();
    place->options[0].name = "exclude";
    place->loaded.plugin.options = place->options;
    place->loaded.plugin.option_count = 1;
    place->instance.loaded = &place->loaded;
    place->plan.steps = place->steps;
    place->plan.step_count = STEPS;
    place->run.plan = &place->plan;
    place->run.steps = place->runs;
    assert_int_equal(pthread_mutex_init(&place->run.lock, NULL), 0);
    for (size_t i = 0; i < STEPS; i++) {
        place->runs[i] = (struct dray_step_run){
            .run = &place->run, .step = &place->steps[i], .index = i, .instance = &place->instance};
        place->needs[i] = i < FIRST ? i - 1 : MIDDLE;
        place->steps[i].id = ids[i];
        place->steps[i].needs = &place->needs[i];
        place->steps[i].needs_count = i > 0;
        place->steps[i].role = i < FIRST ? DRAY_STEP_FILTER : DRAY_STEP_PUSH;
        place->steps[i].mode = DRAY_MODE_ENFORCE;
    }
    place->steps[FILTER].with = json_pack("{s:[s]}", "exclude", "drop");
    for (size_t i = 0; i < DRAY_COUNT(place->decisions); i++)
        place->decisions[i] = (struct dray_decision){.index = keep[i] ? DRAY_NO_INDEX : 0,
                                                     .verdict = keep[i] ? DRAY_KEEP : DRAY_DROP,
                                                     .asked = 1};
    place->runs[FILTER].decisions = place->decisions;
    place->runs[FILTER].input = make_tree();
    assert_int_equal(dray_tree_select(place->runs[FILTER].input, keep, 0, &selected, &error), 0);
    place->runs[FIRST].input = selected;
    place->runs[SECOND].input = dray_tree_ref(selected);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    for (size_t i = 0; i < STEPS; i++)
        dray_tree_unref(place->runs[i].input);
    json_decref(place->steps[FILTER].with);
    (void)pthread_mutex_destroy(&place->run.lock);
    json_decref(told);
    free(place);
    return 0;
}

static int tell(struct place *place, size_t push)
{
    struct dray_error error = {0};
    int result = dray_verdicts_tell(&place->runs[push], &error);
    int end = dray_verdicts_told(&place->runs[push], &error);

    return result != 0 ? result : end;
}

static int see(void *arg, const struct dray_verdict_row *row)
{
    dray_buffer_format(arg, "%c %s %s;", row->verdict, row->path, row->by ? row->by : "-");
    return 0;
}

/* "k a -;" of each entry that was told, by one push, to the end. */
static void expect_told(const char *step, const char *expected)
{
    const json_t *chunk = json_array_get(told, 0), *end = json_array_get(told, 1);
    dray_cleanup(dray_buffer_free) struct dray_buffer seen = {.cap = 4096};
    struct dray_error error = {0};
    size_t length = 0;

    assert_int_equal(json_array_size(told), 2);
    assert_string_equal(json_string_value(json_object_get(chunk, "event")), "verdicts");
    assert_string_equal(json_string_value(json_object_get(chunk, "step")), step);
    assert_string_equal(json_string_value(json_object_get(end, "event")), "verdicts-told");
    assert_string_equal(json_string_value(json_object_get(end, "step")), step);
    assert_int_equal(json_integer_value(json_object_get(end, "chunks")), 1);
    assert_int_equal(json_integer_value(json_object_get(end, "entries")), 3);
    dray_autofree char *data =
        dray_base64_decode(json_string_value(json_object_get(chunk, "data")), &length);
    assert_non_null(data);
    assert_int_equal(dray_verdict_read(data, length, see, &seen, &error), 0);
    assert_string_equal(seen.data, expected);
}

static void the_first_push_that_runs_tells_all_with_its_end(void **state)
{
    struct place *place = *state;

    /* the one that stands before it may never run */
    assert_int_equal(tell(place, SECOND), 0);
    expect_told("second", "k a -;d drop pick.exclude[0];k twin -;");
    assert_int_equal(tell(place, FIRST), 0);
    assert_int_equal(json_array_size(told), 2);
    place->needs[FIRST] = FILTER;
    assert_int_equal(tell(place, FIRST), 0);
    assert_int_equal(json_array_size(told), 4);
}

static void an_entry_is_called_as_in_the_source(void **state)
{
    struct place *place = *state;

    /* a transform renamed it */
    const struct dray_tree *input = place->runs[FIRST].input;
    for (size_t i = 0; i < input->count; i++)
        if (strcmp(input->entries[i]->path, "twin") == 0)
            ((struct dray_tree_entry *)(uintptr_t)input->entries[i])->from = "a";
    assert_int_equal(tell(place, FIRST), 0);
    expect_told("first", "k a -;d drop pick.exclude[0];k a -;");
}

static void what_was_cancelled_has_no_end(void **state)
{
    struct place *place = *state;

    place->run.cancelled = 1;
    assert_int_equal(tell(place, FIRST), DRAY_CANCELLED);
    assert_int_equal(json_array_size(told), 0);
}

static void without_memory_there_is_no_end_and_no_rule_without_its_name(void **state)
{
    struct place *place = *state;
    int reported = 0;

    for (long nth = 0;; nth++) {
        (void)json_array_clear(told);
        place->runs[FIRST].tells = 0;
        failing_failed = 0;
        failing_left = nth;
        int result = tell(place, FIRST);
        failing_left = -1;
        if (!failing_failed)
            break;
        if (result == 0) {
            expect_told("first", "k a -;d drop pick.exclude[0];k twin -;");
            continue;
        }
        assert_int_equal(result, DRAY_NO_MEMORY);
        assert_true(json_array_size(told) < 2);
        reported++;
    }
    expect_told("first", "k a -;d drop pick.exclude[0];k twin -;");
    assert_in_range(reported, 5, 100);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_push_that_runs_tells_all_with_its_end),
        TEST(an_entry_is_called_as_in_the_source),
        TEST(what_was_cancelled_has_no_end),
        TEST(without_memory_there_is_no_end_and_no_rule_without_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
