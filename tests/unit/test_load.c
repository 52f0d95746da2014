/* SPDX-License-Identifier: MIT */
/* Loading a plugin into this process: only the file that was probed, by the plugin's own sizes; and
 * instances from checked options. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "core/plugin/load.h"
#include "tests/badplugins/all-types.h"
#include "tests/unit/made_plugins.h"

/* The directory that the tests of this program share, with push-all-types.so in it. */
struct place {
    char *directory;
    char *file;
    struct dray_loaded *all_types;
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    struct dray_error error = {0};

    assert_non_null(place);
    place->directory = plugins_directory();
    plugins_make(place->directory, "all-types", "push-all-types.so", NULL);
    place->file = plugins_path(place->directory, "push-all-types.so");
    if (dray_plugin_load(place->file, NULL, &place->all_types, &error) != 0)
        fail_msg("%s", error.message);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    plugins_remove(place->directory);
    free(place->all_types);
    free(place->file);
    free(place);
    return 0;
}

static void the_descriptor_and_the_operations_are_copies_of_the_plugins(void **state)
{
    const struct place *place = *state;
    const struct dray_loaded *loaded = place->all_types;
    struct dray_target target = {0};

    assert_string_equal(loaded->plugin.name, "all-types");
    assert_int_equal(loaded->plugin.option_count, 11);
    assert_ptr_equal(loaded->plugin.operations, &loaded->operations);
    assert_int_equal(loaded->operations.push.target_type, DRAY_TARGET_CLOUD);
    assert_int_equal(loaded->operations.push.describe(NULL, NULL, &target), DRAY_UNSUPPORTED);
}

static void only_the_bytes_that_were_probed_are_loaded(void **state)
{
    const struct place *place = *state;
    dray_cleanup(dray_registry_freep) struct dray_registry *registry =
        plugins_registry(place->directory, NULL, NULL);
    dray_autofree struct dray_loaded *loaded = NULL;
    const struct dray_plugin_info *info = NULL;
    struct dray_error error = {0};
    dray_autofree char *expected = NULL;
    dray_autofree char *other =
        strdup("0000000000000000000000000000000000000000000000000000000000000000");

    assert_int_equal(dray_registry_find(registry, DRAY_KIND_PUSH, "all-types", &info, &error), 0);
    assert_int_equal(dray_plugin_load(info->file, other, &loaded, &error), DRAY_CHANGED);
    expected = dray_format("%s: was changed since it was probed: its SHA-256 is %s, not %s",
                           info->file, info->digest, other);
    assert_string_equal(error.message, expected);
    assert_null(loaded);
    assert_int_equal(dray_plugin_load(info->file, info->digest, &loaded, &error), 0);
    assert_non_null(loaded);
}

static void what_is_refused_by_the_probe_is_refused_here_too(void **state)
{
    const struct place *place = *state;
    dray_autofree char *kind = plugins_make_filter(place->directory, "wrong-kind");
    dray_autofree char *undefined = plugins_make_filter(place->directory, "missing-symbol");
    dray_autofree char *expected =
        dray_format("%s: of kind 9, this Dray knows 1 (source) to 5 (notify)", kind);
    dray_autofree char *missing =
        dray_format("%s: has no symbol \"dray_plugin_v1\", every plugin exports it", undefined);
    dray_autofree struct dray_loaded *loaded = NULL;
    struct dray_error error = {0};

    assert_int_equal(dray_plugin_load(kind, NULL, &loaded, &error), DRAY_INVALID);
    assert_string_equal(error.message, expected);
    assert_int_equal(dray_plugin_load(undefined, NULL, &loaded, &error), DRAY_INVALID);
    assert_string_equal(error.message, missing);
    assert_int_equal(chmod(kind, 0666), 0);
    assert_int_equal(dray_plugin_load(kind, NULL, &loaded, &error), DRAY_DENIED);
    assert_int_equal(dray_plugin_load("filter-good.so", NULL, &loaded, &error), DRAY_BUG);
    assert_null(loaded);
}

static void a_later_plugins_longer_structs_are_read_by_its_sizes(void **state)
{
    const struct place *place = *state;
    dray_autofree char *file = plugins_make_filter(place->directory, "long-rows");
    dray_autofree struct dray_loaded *loaded = NULL;
    struct dray_instance *instance = NULL;
    struct dray_error error = {0};
    struct dray_verdict verdict = {0};
    const struct all_types *all;
    json_t *with = json_pack("{s:i, s:s, s:[s]}", "number", 3, "text", "t", "list", "one");

    assert_int_equal(dray_plugin_load(file, NULL, &loaded, &error), 0);
    assert_int_equal(dray_instance_new(loaded, with, &instance, &error), 0);
    all = instance->self;
    assert_int_equal(all->number, 3);
    assert_string_equal(all->text, "t");
    assert_int_equal(all->list.count, 1);
    assert_string_equal(all->list.items[0], "one");
    assert_int_equal(loaded->operations.filter.decide(instance->self, NULL, NULL, &verdict), 0);
    assert_int_equal(verdict.index, 3);
    dray_instance_free(instance);
    json_decref(with);
}

/* The options of a plan, for every type. */
static json_t *all_options(void)
{
    return json_pack("{s:b, s:i, s:s, s:I, s:s, s:s, s:s, s:[s, s], s:{s:s, s:s, s:s}, s:s, s:s}",
                     "yes", 1, "number", -3, "size", "none", "duration", (json_int_t)5000000000,
                     "choice", "replace", "text", "words", "path", "/a/b", "list", "*.nc", "",
                     "map", "z", "1", "a", "2", "m", "3", "key", "lab-aws", "must", "done");
}

static void an_instance_holds_every_option_as_its_own_type(void **state)
{
    const struct place *place = *state;
    struct dray_instance *instance = NULL;
    struct dray_error error = {0};
    const struct all_types *all;
    json_t *with = all_options();

    assert_non_null(with);
    assert_int_equal(dray_instance_new(place->all_types, with, &instance, &error), 0);
    /* The values are the instance's own: the plan may go. */
    json_decref(with);
    all = instance->self;
    assert_int_equal((uintptr_t)instance->self % alignof(max_align_t), 0);
    assert_int_equal(all->yes, 1);
    assert_int_equal(all->number, -3);
    assert_true(all->size == DRAY_NONE);
    assert_int_equal(all->duration, INT64_C(5000000000));
    assert_int_equal(all->choice, 2);
    assert_string_equal(all->text, "words");
    assert_string_equal(all->path, "/a/b");
    assert_int_equal(all->list.count, 2);
    assert_string_equal(all->list.items[0], "*.nc");
    assert_string_equal(all->list.items[1], "");
    assert_int_equal(all->map.count, 3);
    assert_string_equal(all->map.keys[0], "z");
    assert_string_equal(all->map.values[0], "1");
    assert_string_equal(all->map.keys[1], "a");
    assert_string_equal(all->map.keys[2], "m");
    assert_int_equal(all->key.handle, 10); /* the tenth row of the table */
    assert_string_equal(all->must, "done");
    dray_instance_free(instance);
}

static void options_that_are_absent_stay_empty(void **state)
{
    const struct place *place = *state;
    struct dray_instance *instance = NULL;
    struct dray_error error = {0};
    const struct all_types *all;
    json_t *with = json_pack("{s:s}", "must", "x");

    assert_int_equal(dray_instance_new(place->all_types, with, &instance, &error), 0);
    all = instance->self;
    assert_null(all->text);
    assert_int_equal(all->list.count, 0);
    assert_int_equal(all->map.count, 0);
    assert_int_equal(all->key.handle, 0);
    assert_int_equal(all->number, 0);
    dray_instance_free(instance);
    json_decref(with);
}

static void what_does_not_fit_the_table_is_refused(void **state)
{
    static const char *const table[][2] = {
        {"{}", "option \"must\" of push/all-types is required and missing"},
        {"{\"must\": \"x\", \"other\": 1}", "push/all-types got 1 options that it does not have"},
        {"{\"must\": 1}", "option \"must\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"yes\": 1}",
         "option \"yes\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"number\": true}",
         "option \"number\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"size\": \"4 KiB\"}",
         "option \"size\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"choice\": \"never\"}",
         "option \"choice\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"list\": \"a\"}",
         "option \"list\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"list\": [1]}",
         "option \"list\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"map\": {\"a\": []}}",
         "option \"map\" of push/all-types got a value of another type"},
        {"{\"must\": \"x\", \"key\": 3}",
         "option \"key\" of push/all-types got a value of another type"},
    };
    const struct place *place = *state;

    for (size_t i = 0; i < DRAY_COUNT(table); i++) {
        struct dray_instance *instance = NULL;
        struct dray_error error = {0};
        json_t *with = json_loads(table[i][0], 0, NULL);
        assert_non_null(with);
        assert_int_equal(dray_instance_new(place->all_types, with, &instance, &error), DRAY_BUG);
        assert_string_equal(error.message, table[i][1]);
        assert_null(instance);
        json_decref(with);
    }
}

static void destroy_is_called_only_after_prepare_succeeded(void **state)
{
    const struct place *place = *state;
    int64_t destroyed = 0;

    for (int prepared = 0; prepared < 2; prepared++) {
        struct dray_instance *instance = NULL;
        struct dray_error error = {0};
        struct all_types *all;
        json_t *with = all_options();
        assert_int_equal(dray_instance_new(place->all_types, with, &instance, &error), 0);
        json_decref(with);
        all = instance->self;
        all->destroyed = &destroyed;
        assert_false(instance->prepared);
        instance->prepared = prepared;
        dray_instance_free(instance);
        assert_int_equal(destroyed, prepared);
    }
    dray_instance_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_descriptor_and_the_operations_are_copies_of_the_plugins),
        cmocka_unit_test(only_the_bytes_that_were_probed_are_loaded),
        cmocka_unit_test(what_is_refused_by_the_probe_is_refused_here_too),
        cmocka_unit_test(a_later_plugins_longer_structs_are_read_by_its_sizes),
        cmocka_unit_test(an_instance_holds_every_option_as_its_own_type),
        cmocka_unit_test(options_that_are_absent_stay_empty),
        cmocka_unit_test(what_does_not_fit_the_table_is_refused),
        cmocka_unit_test(destroy_is_called_only_after_prepare_succeeded),
    };

    (void)umask(022);
    return cmocka_run_group_tests_name("load", tests, set_up, tear_down);
}
