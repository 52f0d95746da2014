/* SPDX-License-Identifier: MIT */
/* The site's configuration: what it says, and that nothing half read comes of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/api/configuration.h"
#include "core/base/io.h"
#include "tests/unit/failing.h"

/* A configuration of this text is loaded. */
struct loaded {
    struct dray_configuration configuration;
    struct dray_diagnostics diagnostics;
    struct dray_error error;
    int result;
};

static char path[64];

static int make_file(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/dray-test-configuration-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void load(struct loaded *loaded, const char *text)
{
    write_text(text);
    loaded->result =
        dray_configuration_load(path, &loaded->diagnostics, &loaded->configuration, &loaded->error);
}

static void forget(struct loaded *loaded)
{
    dray_configuration_clear(&loaded->configuration);
    dray_diagnostics_free(&loaded->diagnostics);
}

static void test_what_it_says_is_kept(void **state)
{
    struct loaded loaded = {0};

    (void)state;
    load(&loaded, "version: 1\npolicies: { path: ../usr, mandatory: true }\n");
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.configuration.policies, "/tmp/../usr");
    assert_true(loaded.configuration.mandatory);
    assert_null(loaded.configuration.policy_key);
    forget(&loaded);
}

static void test_sources_are_kept_as_options_of_their_plugin(void **state)
{
    struct loaded loaded = {0};

    (void)state;
    load(&loaded, "version: 1\nsources: { a: { uses: source/command, concurrency: 2,"
                  " with: { argv: [/b, '{remote}', '{local}'], exits: { 7: retry } },"
                  " grants: { connect: ['h:1217'] } } }\n");
    assert_int_equal(loaded.result, 0);
    json_t *wanted =
        json_pack("{s:{s:{s:[sss],s:{s:s}},s:{s:[i]},s:i}}", "a", "with", "argv", "/b", "{remote}",
                  "{local}", "exits", "7", "retry", "grants", "connect", 1217, "concurrency", 2);
    assert_true(json_equal(loaded.configuration.sources, wanted));
    json_decref(wanted);
    forget(&loaded);
}

static void test_roots_are_kept_with_their_real_paths(void **state)
{
    struct loaded loaded = {0};

    (void)state;
    load(&loaded, "version: 1\nhpfs: { roots: [/usr//., /tmp/../usr], durability: fsync }\n");
    assert_int_equal(loaded.result, 0);
    json_t *wanted = json_pack("[{s:s, s:s}, {s:s, s:s}]", "path", "/usr", "real", "/usr", "path",
                               "/tmp/../usr", "real", "/usr");
    assert_true(json_equal(loaded.configuration.destinations, wanted));
    assert_string_equal(loaded.configuration.durability, "fsync");
    json_decref(wanted);
    forget(&loaded);
}

static void test_of_one_with_a_problem_nothing_is_kept(void **state)
{
    struct loaded loaded = {0};

    (void)state;
    load(&loaded, "version: 1\npolicies: { path: ../usr, mandatry: true }\n");
    assert_int_equal(loaded.result, DRAY_INVALID);
    assert_int_equal(loaded.diagnostics.errors, 1);
    assert_null(loaded.configuration.policies);
    forget(&loaded);
}

static void test_a_failed_allocation_is_reported(void **state)
{
    static const char text[] =
        "version: 1\npolicies: { path: ../usr, mandatory: true }\n"
        "sources: { a: { uses: source/command, with: { argv: [/b, '{remote}', '{local}'],"
        " exits: { 7: retry }, later_exits: [8], timeout: 1h, outputs: [x], strip: auto }, "
        "concurrency: 2,"
        " grants: { exec: [/c], read: [/d], connect: ['h:1'] } } }\n"
        "hpfs: { roots: [/usr, /tmp/../usr], durability: fsync }\n";
    long number = 0;

    (void)state;
    write_text(text);
    do {
        struct loaded loaded = {0};
        failing_failed = 0;
        failing_left = number++;
        loaded.result = dray_configuration_load(path, &loaded.diagnostics, &loaded.configuration,
                                                &loaded.error);
        failing_left = -1;
        assert_int_equal(loaded.result, failing_failed ? DRAY_NO_MEMORY : 0);
        assert_int_equal(loaded.configuration.policies != NULL, !failing_failed);
        assert_int_equal(loaded.configuration.sources != NULL, !failing_failed);
        assert_int_equal(loaded.configuration.destinations != NULL, !failing_failed);
        forget(&loaded);
    } while (failing_failed);
    assert_true(number > 10);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, make_file, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_it_says_is_kept),
        TEST(test_sources_are_kept_as_options_of_their_plugin),
        TEST(test_roots_are_kept_with_their_real_paths),
        TEST(test_of_one_with_a_problem_nothing_is_kept),
        TEST(test_a_failed_allocation_is_reported),
    };

    json_set_alloc_funcs(__wrap_malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
