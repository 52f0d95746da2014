/* SPDX-License-Identifier: MIT */
/*
 * The same file gives the same plan, byte for byte: a thousand times over, in whatever order the
 * policies' files were made, and in processes with other locales, time zones, directories, masks
 * and seeds of hash tables. For those the test starts itself anew.
 */
#include <fcntl.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/base/process.h"
#include "tests/unit/plan_fixture.h"

static const char workflow[] =
    "version: 1\n"
    "name: \xc3\xbc"
    "ber ${lab}\n"
    "dataset: ./data\n"
    "parameters: { lab: { default: smith }, n: { type: int, default: 3 } }\n"
    "tree: { symlinks: copy, keep_empty_dirs: true }\n"
    "steps:\n"
    "  - { id: more, uses: source/directory, with: { path: ./other } }\n"
    "  - { id: bring, uses: source/directory, with: { path: ./data } }\n"
    "  - { id: pick, uses: filter/glob, with: { include: [b, a, B, \"\xc3\xa4\"] } }\n"
    "  - { id: small, uses: filter/size, needs: [more], with: { max: 1.5 GiB } }\n"
    "  - { id: lab, uses: push/hpfs, needs: [small, pick], with: { into: /lab } }\n"
    "  - id: up\n"
    "    uses: push/cloud\n"
    "    needs: [pick, small]\n"
    "    after: [lab]\n"
    "    with: { url: \"c://h/p\", labels: { z: 1, a: 2, m: 3, I: 4, i: 5 } }\n"
    "    retry: { tries: 5, backoff: 1.5s }\n"
    "    timeout: 1h30m\n";

static const char *const policies[][2] = {
    {"policies/B.yaml",
     "version: 1\npolicy: b\nrevision: 2\nrules:\n"
     "  - { id: cap, mode: enforce, limit: { entries: 5, total_bytes: 1.5 TB } }\n"},
    {"policies/a.yaml", "version: 1\npolicy: a\nrevision: 1\nrules:\n"
                        "  - id: raw\n    mode: enforce\n    when: { target.type: cloud }\n"
                        "    inject: [{ uses: filter/glob, with: { exclude: [raw/, tmp/] } }]\n"},
    {"policies/\xc3\xa4.yaml",
     "version: 1\npolicy: c\nrevision: 3\nrules:\n"
     "  - id: mask\n    mode: enforce\n"
     "    inject: [{ uses: transform/mask, with: { columns: [b, a] } }]\n"},
};

/* The plan as text, as it is shown to people and as it is kept. Freed by the caller. */
static char *plan_text(const char *directory)
{
    dray_autofree char *set = dray_format("%s/policies", directory);
    const char *const sets[] = {set};
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 20};
    struct dray_diagnostics diagnostics = {0};
    struct dray_plan *plan = NULL;
    struct dray_error error = {0};
    const struct dray_plan_request request = {
        .workflow_name = "workflow.yaml",
        .workflow_text = workflow,
        .workflow_length = strlen(workflow),
        .workflow_base = directory,
        .dataset_base = directory,
        .policy_directories = sets,
        .policy_directory_count = 1,
        .user = "asmith",
        .actor = "asmith",
        .role = "user",
        .asker = {stand_ins_answer, NULL},
    };

    if (dray_plan_make(&request, &diagnostics, &plan, &error) != 0)
        return dray_format("%s", error.message);
    json_t *json = dray_plan_json(plan);
    char *text = json_dumps(json, JSON_INDENT(1));
    dray_plan_print(plan, &out);
    char *both = dray_format("%s\n%s", text, out.data);
    free(text);
    json_decref(json);
    dray_plan_free(plan);
    dray_diagnostics_free(&diagnostics);
    return both;
}

static void assert_same(const char *expected, const char *seen)
{
    size_t i = 0;
    while (expected[i] && expected[i] == seen[i])
        i++;
    if (expected[i] != seen[i])
        fail_msg("after %zu bytes: %.60s and not %.60s", i, seen + i, expected + i);
}

static void write_policies(const struct plan_fixture *fixture, size_t first)
{
    for (size_t i = 0; i < DRAY_COUNT(policies); i++) {
        const char *const *policy = policies[(first + i) % DRAY_COUNT(policies)];
        fixture_write(fixture, policy[0], policy[1]);
    }
}

static void test_a_thousand_plannings_give_one_plan(void **state)
{
    struct plan_fixture *fixture = *state;

    write_policies(fixture, 0);
    dray_autofree char *expected = plan_text(fixture->directory);
    assert_non_null(strstr(expected, "\"c/mask\""));
    assert_non_null(strstr(expected, "\"a/raw@up\""));
    for (size_t i = 0; i < 1000; i++) {
        dray_autofree char *seen = plan_text(fixture->directory);
        assert_same(expected, seen);
    }
}

static void test_the_order_in_which_policies_were_made_does_not_matter(void **state)
{
    struct plan_fixture *fixture = *state;

    write_policies(fixture, 0);
    dray_autofree char *expected = plan_text(fixture->directory);
    for (size_t first = 1; first < DRAY_COUNT(policies); first++) {
        for (size_t i = 0; i < DRAY_COUNT(policies); i++) {
            dray_autofree char *path = dray_format("%s/%s", fixture->directory, policies[i][0]);
            assert_int_equal(unlink(path), 0);
        }
        write_policies(fixture, first);
        dray_autofree char *seen = plan_text(fixture->directory);
        assert_same(expected, seen);
    }
}

/* What this test prints when it is started anew as its own child. */
static void run_elsewhere(const char *directory, const char *script, const char *const *environment,
                          struct dray_buffer *out)
{
    char self[4096];
    char piece[4096];
    int ends[2], status = 0;
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    struct dray_process process;
    struct dray_error error = {0};

    assert_true(length > 0);
    self[length] = '\0';
    const char *const argv[] = {"/bin/sh", "-c", script, self, directory, NULL};
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    if (dray_process_start(&process, argv, environment, (const int[]){-1, ends[1], 2}, 3, 0,
                           &error) != 0)
        fail_msg("%s", error.message);
    (void)close(ends[1]);
    while ((length = read(ends[0], piece, sizeof(piece))) > 0)
        dray_buffer_add(out, piece, (size_t)length);
    (void)close(ends[0]);
    assert_int_equal(dray_process_wait(&process, 60000, &status), 1);
    assert_int_equal(status, 0);
}

static void test_another_process_makes_the_same_plan(void **state)
{
    static const struct {
        const char *script;
        const char *environment[5];
    } elsewhere[] = {
        {"exec \"$0\" \"$1\"", {"LC_ALL=C", NULL}},
        {"cd / && umask 077 && exec \"$0\" \"$1\"", {"LC_ALL=C.UTF-8", "TZ=Asia/Kolkata", NULL}},
        {"cd /usr && umask 0 && exec \"$0\" \"$1\"",
         {"LC_ALL=tr_TR.UTF-8", "TZ=:nowhere", "HOME=/nowhere", "JANSSON_SEED=1", NULL}},
        {"cd /tmp && exec 0</dev/null && exec \"$0\" \"$1\"",
         {"LANG=de_DE", "LC_NUMERIC=de_DE", "PATH=", "USER=root", NULL}},
    };
    struct plan_fixture *fixture = *state;

    write_policies(fixture, 0);
    dray_autofree char *expected = plan_text(fixture->directory);
    for (size_t i = 0; i < 4 * DRAY_COUNT(elsewhere); i++) {
        size_t which = i % DRAY_COUNT(elsewhere);
        dray_cleanup(dray_buffer_free) struct dray_buffer seen = {.cap = 1u << 20};
        run_elsewhere(fixture->directory, elsewhere[which].script, elsewhere[which].environment,
                      &seen);
        dray_buffer_text(&seen, "");
        assert_same(expected, seen.data);
    }
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_thousand_plannings_give_one_plan),
        TEST(test_the_order_in_which_policies_were_made_does_not_matter),
        TEST(test_another_process_makes_the_same_plan),
    };
    if (argc < 2)
        return cmocka_run_group_tests(tests, NULL, NULL);
    (void)setlocale(LC_ALL, "");
    char *text = plan_text(argv[1]);
    (void)fputs(text, stdout);
    free(text);
    stand_ins_free();
    return 0;
}
