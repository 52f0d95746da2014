/* SPDX-License-Identifier: MIT */
/*
 * The plugin layer when memory runs out: each allocation of an operation fails once, and every time
 * the operation either says that memory is out or gives the whole answer. The address sanitizer's
 * build shows that nothing leaks on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/plugin/load.h"
#include "core/plugin/options.h"
#include "tests/unit/made_plugins.h"
#include "tests/unit/failing.h"

/* Jansson's own allocations. Its reader drops characters without a word when one fails (2.14), so
 * they fail only where no JSON is read. */
static int jansson_fails;

static void *jansson_malloc(size_t size)
{
    return jansson_fails ? __wrap_malloc(size) : __real_malloc(size);
}

/* What the operations work on, made before anything fails. */
struct place {
    char *directory;
    char *file;
    const struct dray_plugin_info *info;
    struct dray_registry *registry;
    struct dray_loaded *loaded;
    struct dray_document *document;
    struct dray_diagnostics diagnostics;
    json_t *with;
};

/* An operation: a text that stands for its answer (freed by the caller), or NULL and a class in
 * error. */
typedef char *operation(const struct place *place, struct dray_error *error);

/* Fail each allocation in turn until none is left to fail; `reads_json`: only our own. */
static void torture(const struct place *place, operation *run, int reads_json)
{
    struct dray_error error = {0};
    char *expected = run(place, &error);
    long count = 0;

    assert_non_null(expected);
    jansson_fails = !reads_json;
    for (failing_failed = 1; failing_failed; count++) {
        char *found;
        assert_true(count < 5000);
        error = (struct dray_error){0};
        failing_failed = 0;
        failing_left = count;
        found = run(place, &error);
        failing_left = -1;
        if (found == NULL)
            assert_int_equal(error.class_, DRAY_NO_MEMORY);
        else
            assert_string_equal(found, expected);
        free(found);
    }
    assert_true(count > 1);
    free(expected);
}

static char *take_json(json_t *json, struct dray_error *error)
{
    failing_left = -1; /* jansson writes as it reads */
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);

    json_decref(json);
    if (text == NULL)
        (void)dray_fail_memory(error);
    return text;
}

static char *run_find(const struct place *place, const char *cache, struct dray_error *error)
{
    const char *const directories[] = {place->directory};
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    const struct dray_plugin_info *info = NULL;

    if (dray_registry_new(directories, 1, cache, &registry, error) != 0 ||
        dray_registry_find(registry, DRAY_KIND_PUSH, "all-types", &info, error) != 0)
        return NULL;
    return take_json(dray_plugin_json(info), error);
}

static char *run_find_by_probe(const struct place *place, struct dray_error *error)
{
    return run_find(place, NULL, error);
}

static char *run_find_by_cache(const struct place *place, struct dray_error *error)
{
    return run_find(place, place->directory, error);
}

static char *run_all(const struct place *place, struct dray_error *error)
{
    const char *const directories[] = {place->directory};
    dray_cleanup(dray_registry_freep) struct dray_registry *registry = NULL;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1 << 20};
    const struct dray_plugin_info *const *plugins = NULL;
    size_t count = 0;

    if (dray_registry_new(directories, 1, place->directory, &registry, error) != 0 ||
        dray_registry_all(registry, &plugins, &count, error) != 0)
        return NULL;
    dray_plugins_print(plugins, count, &out);
    for (size_t i = 0; i < count; i++)
        dray_plugin_print(plugins[i], &out);
    if (out.failed != 0)
        (void)dray_fail_memory(error);
    return out.failed != 0 ? NULL : DRAY_TAKE(out.data);
}

static char *run_schema(const struct place *place, struct dray_error *error)
{
    return take_json(dray_plugin_schema(place->info), error);
}

static char *run_options(const struct place *place, struct dray_error *error)
{
    const struct dray_place step = {0, 1, 1, 1};
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1 << 20};
    json_t *with = NULL;
    int result =
        dray_options_check(place->info, "push/all-types", dray_document_root(place->document), step,
                           "/base", NULL, NULL, &diagnostics, &with, error);

    if (result != 0)
        return NULL;
    json_decref(with);
    dray_diagnostics_sort(&diagnostics);
    dray_diagnostics_print(&diagnostics, 0, &out);
    if (diagnostics.no_memory || out.failed != 0) {
        (void)dray_fail_memory(error);
        return NULL;
    }
    return DRAY_TAKE(out.data);
}

static char *run_instance(const struct place *place, struct dray_error *error)
{
    struct dray_instance *instance = NULL;

    if (dray_instance_new(place->loaded, place->with, &instance, error) != 0)
        return NULL;
    dray_instance_free(instance);
    return __real_strdup("made");
}

static char *run_load(const struct place *place, struct dray_error *error)
{
    dray_autofree struct dray_loaded *loaded = NULL;

    if (dray_plugin_load(place->file, place->info->digest, &loaded, error) != 0)
        return NULL;
    return __real_strdup(loaded->plugin.name);
}

static void finding_a_plugin_survives_it(void **state)
{
    torture(*state, run_find_by_probe, 1);
    torture(*state, run_find_by_cache, 1);
}

static void listing_and_describing_plugins_survives_it(void **state)
{
    torture(*state, run_all, 1);
    torture(*state, run_schema, 0);
}

static void checking_options_survives_it(void **state)
{
    torture(*state, run_options, 0);
}

static void loading_and_filling_an_instance_survives_it(void **state)
{
    torture(*state, run_load, 0);
    torture(*state, run_instance, 0);
}

static int set_up(void **state)
{
    static const char yaml[] = "yes: 1\nnumber: 90\nsize: 1 XB\nduration: 5\nchoice: mrege\n"
                               "text: [a]\npath: out\nlist: a\nmap: { a: b, c: [] }\n"
                               "key: NOT A NAME\nmusk: x\n";
    struct place *place = calloc(1, sizeof *place);
    struct dray_error error = {0};

    assert_non_null(place);
    place->directory = plugins_directory();
    plugins_make(place->directory, "all-types", "push-all-types.so", NULL);
    plugins_make(place->directory, "good", "filter-other.so", NULL);
    plugins_write(place->directory, "odd.so", "odd");
    place->file = plugins_path(place->directory, "push-all-types.so");
    place->registry = plugins_registry(place->directory, NULL, place->directory);
    assert_int_equal(
        dray_registry_find(place->registry, DRAY_KIND_PUSH, "all-types", &place->info, &error), 0);
    assert_int_equal(dray_plugin_load(place->file, NULL, &place->loaded, &error), 0);
    assert_int_equal(dray_document_parse("w.yaml", yaml, sizeof yaml - 1, &place->diagnostics,
                                         &place->document, &error),
                     0);
    place->with = json_pack("{s:b, s:i, s:s, s:[s, s], s:{s:s}, s:s}", "yes", 1, "number", 3,
                            "path", "/a", "list", "b", "c", "map", "d", "e", "must", "f");
    assert_non_null(place->with);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    json_decref(place->with);
    dray_document_free(place->document);
    dray_diagnostics_free(&place->diagnostics);
    dray_registry_free(place->registry);
    free(place->loaded);
    plugins_remove(place->directory);
    free(place->file);
    free(place);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finding_a_plugin_survives_it),
        cmocka_unit_test(listing_and_describing_plugins_survives_it),
        cmocka_unit_test(checking_options_survives_it),
        cmocka_unit_test(loading_and_filling_an_instance_survives_it),
    };

    json_set_alloc_funcs(jansson_malloc, free);
    (void)umask(022);
    return cmocka_run_group_tests_name("plugin memory", tests, set_up, tear_down);
}
