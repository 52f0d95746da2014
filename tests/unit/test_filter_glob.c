/* SPDX-License-Identifier: MIT */
/* The plugin filter/glob as the host sees it: the built file, its option table, its verdicts. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dray/plugin.h>

#define REPORTS 8

/* ---- A host that remembers what it was told -------------------------------------------------- */

struct report {
    char option[16];
    int64_t index;
    uint64_t offset;
    char message[128];
};

struct fake {
    struct dray_ctx ctx; /* first: what the plugin holds is a pointer to it */
    struct report reports[REPORTS];
    size_t count;
};

static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...) DRAY_PRINTF(5, 6);

static int fake_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                            uint64_t offset, const char *format, ...)
{
    struct fake *fake = (struct fake *)ctx;
    assert_true(fake->count < REPORTS);
    struct report *report = &fake->reports[fake->count++];
    va_list arguments;
    (void)snprintf(report->option, sizeof(report->option), "%s", option);
    report->index = index;
    report->offset = offset;
    va_start(arguments, format);
    (void)vsnprintf(report->message, sizeof(report->message), format, arguments);
    va_end(arguments);
    return DRAY_INVALID;
}

static const struct dray_host host = {.size = sizeof(host), .fail_option = fake_fail_option};

/* ---- The plugin ------------------------------------------------------------------------------ */

struct step {
    const struct dray_plugin *plugin;
    const struct dray_filter_operations *operations;
    void *self;
    struct fake fake;
};

static const struct dray_plugin *load(void)
{
    char path[4096];
    const char *build = getenv("DRAY_BUILD");
    (void)snprintf(path, sizeof(path), "%s/plugins/filter-glob.so", build != NULL ? build : ".");
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL)
        fail_msg("%s", dlerror());
    const struct dray_plugin *plugin = dlsym(object, "dray_plugin_v1");
    assert_non_null(plugin);
    return plugin;
}

static uint32_t row(const struct dray_plugin *plugin, const char *name)
{
    for (uint32_t i = 0; i < plugin->option_count; i++) {
        if (strcmp(plugin->options[i].name, name) == 0)
            return i;
    }
    fail_msg("filter/glob has no option %s", name);
    return 0;
}

static void set_strings(struct step *step, const char *name, const char *const *items)
{
    const struct dray_option *option = &step->plugin->options[row(step->plugin, name)];
    struct dray_strings strings = {0, items};
    assert_int_equal(option->type, DRAY_TYPE_STRINGS);
    while (items[strings.count] != NULL)
        strings.count++;
    memcpy((char *)step->self + option->offset, &strings, sizeof(strings));
}

/* Fill an instance by the table, as the host does, and prepare it. */
static int prepare(struct step *step, const char *const *include, const char *const *exclude,
                   int64_t ignore_case)
{
    *step = (struct step){.plugin = load(), .fake = {.ctx = {&host}}};
    step->operations = step->plugin->operations;
    step->self = calloc(1, step->plugin->instance_size);
    assert_non_null(step->self);
    set_strings(step, "include", include);
    set_strings(step, "exclude", exclude);
    const struct dray_option *option = &step->plugin->options[row(step->plugin, "ignore_case")];
    assert_int_equal(option->type, DRAY_TYPE_BOOL);
    assert_string_equal(option->fallback, "false");
    memcpy((char *)step->self + option->offset, &ignore_case, sizeof(ignore_case));
    return step->plugin->prepare(step->self, &step->fake.ctx);
}

static void finish(struct step *step)
{
    step->plugin->destroy(step->self);
    free(step->self);
}

static struct dray_verdict decide(struct step *step, const char *path, uint32_t type)
{
    struct dray_entry entry = {
        .size = sizeof(entry), .type = type, .path = path, .path_length = strlen(path)};
    struct dray_verdict verdict = {0};
    assert_int_equal(step->operations->decide(step->self, &step->fake.ctx, &entry, &verdict),
                     DRAY_OK);
    return verdict;
}

static void check(struct step *step, const char *path, uint32_t type, uint32_t wanted,
                  const char *option, int64_t index)
{
    struct dray_verdict verdict = decide(step, path, type);
    if (verdict.verdict != wanted || verdict.option != row(step->plugin, option) ||
        verdict.index != index)
        fail_msg("%s: verdict %u by %s[%d]", path, verdict.verdict,
                 step->plugin->options[verdict.option].name, (int)verdict.index);
}

static const char *const none[] = {NULL};

/* ---- What it does ---------------------------------------------------------------------------- */

static void the_descriptor_says_what_it_is(void **state)
{
    (void)state;
    const struct dray_plugin *plugin = load();
    assert_true(plugin->head.magic == DRAY_PLUGIN_MAGIC);
    assert_int_equal(plugin->head.kind, DRAY_KIND_FILTER);
    assert_true((plugin->head.caps & DRAY_CAP_REENTRANT) != 0);
    assert_string_equal(plugin->name, "glob");
    assert_int_equal(plugin->option_count, 3);
}

static void exclude_wins_whatever_the_order(void **state)
{
    (void)state;
    const char *const include[] = {"*.csv", "*.nc", NULL};
    const char *const exclude[] = {"tmp/", "secret.*", NULL};
    struct step step;
    assert_int_equal(prepare(&step, include, exclude, 0), DRAY_OK);
    check(&step, "a/b.nc", DRAY_FILE, DRAY_KEEP, "include", 1);
    check(&step, "b.csv", DRAY_FILE, DRAY_KEEP, "include", 0);
    check(&step, "tmp/b.csv", DRAY_FILE, DRAY_DROP, "exclude", 0);
    check(&step, "a/secret.csv", DRAY_FILE, DRAY_DROP, "exclude", 1);
    check(&step, "a/b.txt", DRAY_FILE, DRAY_DROP, "include", DRAY_NO_INDEX);
    finish(&step);
}

static void without_include_all_is_kept_that_is_not_excluded(void **state)
{
    (void)state;
    const char *const exclude[] = {"*.tmp", NULL};
    struct step step;
    assert_int_equal(prepare(&step, none, exclude, 0), DRAY_OK);
    check(&step, "a/b", DRAY_FILE, DRAY_KEEP, "include", DRAY_NO_INDEX);
    check(&step, "a/b.tmp", DRAY_FILE, DRAY_DROP, "exclude", 0);
    check(&step, "empty", DRAY_DIRECTORY, DRAY_KEEP, "include", DRAY_NO_INDEX);
    finish(&step);
    assert_int_equal(prepare(&step, none, none, 0), DRAY_OK);
    check(&step, "a", DRAY_FILE, DRAY_KEEP, "include", DRAY_NO_INDEX);
    finish(&step);
}

static void only_a_directory_is_one(void **state)
{
    (void)state;
    const char *const exclude[] = {"d/", NULL};
    struct step step;
    assert_int_equal(prepare(&step, none, exclude, 0), DRAY_OK);
    check(&step, "d", DRAY_DIRECTORY, DRAY_DROP, "exclude", 0);
    check(&step, "d/x", DRAY_FILE, DRAY_DROP, "exclude", 0);
    check(&step, "d", DRAY_FILE, DRAY_KEEP, "include", DRAY_NO_INDEX);
    check(&step, "d", DRAY_LINK, DRAY_KEEP, "include", DRAY_NO_INDEX);
    finish(&step);
}

static void an_empty_directory_needs_a_pattern_when_there_are_any(void **state)
{
    (void)state;
    const char *const include[] = {"*.csv", "keep/", NULL};
    struct step step;
    assert_int_equal(prepare(&step, include, none, 0), DRAY_OK);
    check(&step, "empty", DRAY_DIRECTORY, DRAY_DROP, "include", DRAY_NO_INDEX);
    check(&step, "a/keep", DRAY_DIRECTORY, DRAY_KEEP, "include", 1);
    finish(&step);
}

static void ignore_case_holds_for_both_lists(void **state)
{
    (void)state;
    const char *const include[] = {"*.Csv", NULL};
    const char *const exclude[] = {"TMP/", NULL};
    struct step step;
    assert_int_equal(prepare(&step, include, exclude, 1), DRAY_OK);
    check(&step, "a.CSV", DRAY_FILE, DRAY_KEEP, "include", 0);
    check(&step, "tmp/a.csv", DRAY_FILE, DRAY_DROP, "exclude", 0);
    finish(&step);
}

static void every_bad_pattern_is_reported_with_its_place(void **state)
{
    (void)state;
    const char *const include[] = {"*.csv", "a**b", "[x", NULL};
    const char *const exclude[] = {"", "tmp/", "x//y", NULL};
    static const struct report wanted[] = {
        {"include", 1, 1, "`**` stands only alone between slashes; write `*` within a name"},
        {"include", 2, 0, "`[` has no `]`; write `\\[` for the character"},
        {"exclude", 0, 0, "the pattern is empty"},
        {"exclude", 2, 2, "nothing stands between two slashes"},
    };
    struct step step;
    assert_int_equal(prepare(&step, include, exclude, 0), DRAY_INVALID);
    assert_int_equal(step.fake.count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(step.fake.reports[i].option, wanted[i].option);
        assert_int_equal(step.fake.reports[i].index, wanted[i].index);
        assert_int_equal(step.fake.reports[i].offset, wanted[i].offset);
        assert_string_equal(step.fake.reports[i].message, wanted[i].message);
    }
    free(step.self); /* destroy is not called when prepare failed; a leak would be found here */
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void *decide_often(void *arg)
{
    struct step *step = arg;
    uintptr_t kept = 0;
    for (int i = 0; i < 20000; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "data/run-%d/sample_%d.%s", i % 7, i,
                       i % 2 ? "nc" : "md");
        kept += decide(step, path, DRAY_FILE).verdict == DRAY_KEEP;
    }
    return (void *)kept; /* no pointer: a count */
}

static void threads_share_an_instance(void **state)
{
    (void)state;
    const char *const include[] = {"sample_*[0-9].{nc,csv}", NULL};
    const char *const exclude[] = {"/data/**/run-3/**", NULL};
    struct step step;
    pthread_t threads[4];
    uintptr_t expected = 0;
    for (int i = 0; i < 20000; i++)
        expected += i % 2 == 1 && i % 7 != 3;
    assert_int_equal(prepare(&step, include, exclude, 0), DRAY_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decide_often, &step), 0);
    for (size_t i = 0; i < 4; i++) {
        void *kept = NULL;
        assert_int_equal(pthread_join(threads[i], &kept), 0);
        assert_true((uintptr_t)kept == expected);
    }
    finish(&step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_descriptor_says_what_it_is),
        cmocka_unit_test(exclude_wins_whatever_the_order),
        cmocka_unit_test(without_include_all_is_kept_that_is_not_excluded),
        cmocka_unit_test(only_a_directory_is_one),
        cmocka_unit_test(an_empty_directory_needs_a_pattern_when_there_are_any),
        cmocka_unit_test(ignore_case_holds_for_both_lists),
        cmocka_unit_test(every_bad_pattern_is_reported_with_its_place),
        cmocka_unit_test(threads_share_an_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
