/* SPDX-License-Identifier: MIT */
/*
 * The schema of files, from real plugins: what only the tables can tell, a file that is not there
 * yet, and memory that runs out at each allocation of its own (the address sanitizer's build shows
 * that nothing leaks on the way).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/plan/condition.h"
#include "core/plan/keys.h"
#include "core/plan/plan.h"
#include "tests/unit/made_plugins.h"
#include "tests/unit/failing.h"

/* Jansson's own are left alone: its reader drops characters without a word when one fails. */
static void *jansson_malloc(size_t size)
{
    return __real_malloc(size);
}

static char *directory;
static struct dray_registry *registry;

/* The schema as a text, or NULL and the class. */
static char *schema_of(const char *kind, int *ret_class)
{
    struct dray_error error = {0};
    json_t *schema = NULL;

    *ret_class = dray_file_schema(kind, registry, &schema, &error);
    failing_left = -1;
    assert_int_equal(*ret_class, error.class_);
    char *text = schema ? json_dumps(schema, JSON_COMPACT) : NULL;
    json_decref(schema);
    return text;
}

static void every_fact_is_explained(void **state)
{
    const char *name, *const *choices;
    int glob;
    size_t count = 0;

    (void)state;
    while (dray_fact_at(count, &name, &glob, &choices) == 0) {
        if (!dray_fact_help(name))
            fail_msg("keys.c says nothing of %s", name);
        count++;
    }
    assert_true(count >= 13);
    assert_null(dray_fact_help("dataset.nothing"));
}

static void every_mapping_has_keys_that_are_explained(void **state)
{
    (void)state;
    for (int mapping = 0; mapping < DRAY_MAPPING_COUNT; mapping++) {
        size_t count = 0;
        const struct dray_file_key *keys = dray_keys((enum dray_mapping)mapping, &count);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++) {
            size_t length = strlen(keys[i].help);
            assert_true(length > 5 && length < 100 && keys[i].help[length - 1] != '.');
        }
    }
}

static void a_schema_is_made_whole_or_not_at_all(void **state)
{
    static const char *const kinds[] = {"workflow", "policy", "recipe"};

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(kinds); i++) {
        int class_;
        char *expected = schema_of(kinds[i], &class_);
        long count = 0;
        assert_non_null(expected);
        for (failing_failed = 1; failing_failed; count++) {
            assert_true(count < 5000);
            failing_failed = 0;
            failing_left = count;
            char *found = schema_of(kinds[i], &class_);
            if (found)
                assert_string_equal(found, expected);
            else
                assert_int_equal(class_, DRAY_NO_MEMORY);
            free(found);
        }
        assert_true(count > 20);
        free(expected);
    }
}

static void a_refused_plugin_has_no_part_in_it(void **state)
{
    int class_;

    (void)state;
    dray_autofree char *text = schema_of("workflow", &class_);
    assert_non_null(strstr(text, "\"push.all-types\""));
    assert_null(strstr(text, "odd"));
    assert_null(schema_of("plan", &class_));
    assert_int_equal(class_, DRAY_INVALID);
}

static void the_manual_is_made_whole_or_not_at_all(void **state)
{
    const struct dray_plugin_info *const *plugins = NULL;
    struct dray_error error = {0};
    size_t count = 0;
    char *expected = NULL;

    (void)state;
    assert_int_equal(dray_registry_all(registry, &plugins, &count, &error), 0);
    failing_left = -1;
    for (long number = -1; number < 0 || failing_failed; number++) {
        dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 20};
        failing_failed = 0;
        failing_left = number;
        dray_plugins_manual(plugins, count, &out);
        failing_left = -1;
        if (number < 0)
            expected = DRAY_TAKE(out.data);
        else if (!out.failed)
            assert_string_equal(out.data, expected);
    }
    assert_non_null(strstr(expected, "push/all\\-types"));
    free(expected);
}

static int answer(void *arg, const json_t *request, json_t **ret_answer, struct dray_error *error)
{
    (void)arg;
    (void)error;
    *ret_answer = json_pack("{s:[]}", "steps");
    for (size_t i = 0; i < json_array_size(json_object_get(request, "steps")); i++)
        (void)json_array_append_new(json_object_get(*ret_answer, "steps"), json_object());
    return 0;
}

static void a_text_is_checked_before_it_is_a_file(void **state)
{
    const struct dray_asker asker = {answer, NULL};
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_check_text("new.yaml",
                                     "version: 1\ndataset: /\nsteps:\n  - { id: a, uses: "
                                     "push/all-types, with: { must: x, mst: y } }\n",
                                     "/", registry, &asker, NULL, &diagnostics, &error),
                     DRAY_INVALID);
    assert_int_equal(diagnostics.errors, 1);
    assert_string_equal(error.where, "new.yaml:4:53");
    dray_diagnostics_free(&diagnostics);
}

static int set_up(void **state)
{
    (void)state;
    directory = plugins_directory();
    plugins_make(directory, "all-types", "push-all-types.so", NULL);
    plugins_write(directory, "filter-odd.so", "odd");
    registry = plugins_registry(directory, NULL, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dray_registry_free(registry);
    plugins_remove(directory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fact_is_explained),
        cmocka_unit_test(every_mapping_has_keys_that_are_explained),
        cmocka_unit_test(a_refused_plugin_has_no_part_in_it),
        cmocka_unit_test(a_schema_is_made_whole_or_not_at_all),
        cmocka_unit_test(the_manual_is_made_whole_or_not_at_all),
        cmocka_unit_test(a_text_is_checked_before_it_is_a_file),
    };

    json_set_alloc_funcs(jansson_malloc, free);
    (void)umask(022);
    return cmocka_run_group_tests_name("file schema", tests, set_up, tear_down);
}
