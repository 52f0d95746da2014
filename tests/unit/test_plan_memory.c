/* SPDX-License-Identifier: MIT */
/*
 * Planning when memory runs out: each allocation fails once, and every time the planner either says
 * that memory is out or gives the same answer as ever. The address sanitizer's build shows that
 * nothing leaks on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"
#include "tests/unit/failing.h"

static void *jansson_malloc(size_t size)
{
    return __wrap_malloc(size);
}

/* What answers is not what is tested. */
static int answer(void *arg, const json_t *request, json_t **ret_answer, struct dray_error *error)
{
    long saved = failing_left;

    failing_left = -1;
    int result = stand_ins_answer(arg, request, ret_answer, error);
    failing_left = saved;
    return result;
}

/* What came of it, as a text. */
static char *outcome(struct plan_fixture *fixture, const char *workflow)
{
    long saved;

    fixture_plan(fixture, workflow);
    saved = failing_left;
    failing_left = -1;
    json_t *json = fixture->plan ? dray_plan_json(fixture->plan) : NULL;
    char *text =
        json ? json_dumps(json, JSON_INDENT(1)) : dray_format("%s", fixture->error.message);
    json_decref(json);
    failing_left = saved;
    return text;
}

static void torture(struct plan_fixture *fixture, const char *workflow, int expected)
{
    fixture->request.asker = (struct dray_asker){answer, fixture};
    dray_autofree char *whole = outcome(fixture, workflow);
    long count = 0;

    assert_int_equal(fixture->result, expected);
    for (failing_failed = 1; failing_failed; count++) {
        assert_true(count < 20000);
        failing_failed = 0;
        failing_left = count;
        dray_autofree char *text = outcome(fixture, workflow);
        failing_left = -1;
        if (fixture->result == DRAY_NO_MEMORY)
            continue;
        if (fixture->result != expected || strcmp(text, whole) != 0)
            fail_msg("allocation %ld: class %d, not %d:\n%s", count, fixture->result, expected,
                     text);
    }
    assert_true(count > 50);
}

static const char workflow[] =
    "version: 1\nname: ${lab}\ndataset: ./data\nparameters: { lab: { default: smith } }\nsteps:\n"
    "  - { id: verify, uses: validate, with: { manifest: sums.txt } }\n"
    "  - { id: pick, uses: filter/glob, with: { include: [\"${lab}\"], ignore_case: true } }\n"
    "  - { id: out, uses: push/hpfs, with: { into: \"/hpfs/${lab}/delivered\" }, after: [up] }\n"
    "  - { id: up, uses: push/cloud, with: { url: \"s3://lab.example.edu/bucket/\" } }\n";

static void test_a_plan_is_made_whole_or_not_at_all(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n"
                   "  - { id: cap, mode: enforce, when: { target.type: [cloud], not: { user.name: "
                   "x } }, limit: { entries: 5 } }\n"
                   "  - { id: raw, mode: enforce, when: { target.host: \"*\" }, inject: [{ uses: "
                   "filter/glob, with: { exclude: [raw/] } }] }\n");
    torture(fixture, workflow, 0);
}

static const char recipe[] =
    "version: 1\nrecipe: r\nparameters: { a: { default: x }, b: {} }\nsteps:\n"
    "  - { id: pick, uses: filter/glob, with: { include: [\"${a}\", \"${b}\"] } }\n"
    "  - { id: small, uses: filter/size }\n";

static void test_a_recipe_is_put_in_whole_or_not_at_all(void **state)
{
    struct plan_fixture *fixture = *state;

    stand_ins_save("r", recipe);
    torture(fixture,
            "version: 1\ndataset: ./data\nsteps:\n  - { id: s, uses: recipe/r, with: { b: y } }\n"
            "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n",
            0);
}

static void test_problems_of_a_recipe_are_never_lost(void **state)
{
    struct plan_fixture *fixture = *state;

    stand_ins_save("r", recipe);
    torture(fixture,
            "version: 1\ndataset: ./data\nsteps:\n"
            "  - { id: s, uses: recipe/r, with: { b: \"a**\", c: d } }\n"
            "  - { id: t, uses: recipe/r@7 }\n  - { id: u, uses: recipe/q }\n"
            "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n",
            DRAY_INVALID);
}

/* What was cut out of a workflow is the text, or nothing. */
static void test_a_recipe_is_cut_out_whole_or_not_at_all(void **state)
{
    static const char expected[] =
        "version: 1\nrecipe: r\nparameters:\n  v: { type: string, default: \"x\" }\nsteps:\n"
        "  - { id: pick, uses: filter/glob, with: { include: [\"${v}\"] } }\n";
    struct plan_fixture *fixture = *state;
    struct dray_asker asker = {answer, fixture};
    dray_autofree char *path = dray_format("%s/w.yaml", fixture->directory);
    long count = 0;

    fixture_write(fixture, "w.yaml",
                  "version: 1\ndataset: ./data\nparameters: { v: { default: x } }\nsteps:\n"
                  "  - { id: pick, uses: filter/glob, with: { include: [\"${v}\"] } }\n"
                  "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n");
    /* once without a failure, for what the stand-ins keep */
    for (failing_failed = 1; failing_failed; count++) {
        struct dray_diagnostics diagnostics = {0};
        struct dray_error error = {0};
        char *text = NULL;
        assert_true(count < 20000);
        failing_failed = 0;
        failing_left = count - 1;
        int result = dray_recipe_text(path, "r", NULL, &asker, &stand_ins_recipes, &diagnostics,
                                      &text, &error);
        failing_left = -1;
        dray_diagnostics_free(&diagnostics);
        assert_true(result == DRAY_NO_MEMORY || result == 0);
        if (result == 0)
            assert_string_equal(text, expected);
        else
            assert_null(text);
        free(text);
        failing_failed |= count == 0;
    }
    assert_true(count > 100);
}

static void test_problems_are_never_lost(void **state)
{
    struct plan_fixture *fixture = *state;

    torture(fixture,
            "version: 2\ndataset: ./data\nsteps:\n"
            "  - { id: a, uses: filter/glob, needs: [b], with: { include: [a**b] } }\n"
            "  - { id: b, uses: filter/glob, needs: [a] }\n"
            "  - { id: out, uses: push/hpfs, needs: [b, x], with: { into: ./missing } }\n",
            DRAY_INVALID);
}

static void test_a_broken_policy_stays_a_denial(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(
        fixture, "p",
        "rules:\n  - { id: r, mode: maybe, when: { user.nam: x }, limit: { entires: 5 } }\n");
    torture(fixture, workflow, DRAY_DENIED);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

/* One revision older than what is in the policies: nothing to complain of. */
static int older(void *arg, const char *directory, const char *policy,
                 struct dray_policy_ruled *ret_ruled, struct dray_error *error)
{
    (void)arg;
    (void)directory;
    (void)policy;
    (void)error;
    *ret_ruled = (struct dray_policy_ruled){.revision = 6};
    return 1;
}

static void test_a_signed_set_is_verified_whole_or_not_at_all(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL;
    dray_autofree char *path = dray_format("%s/key", fixture->directory);
    struct dray_asker asker = {answer, fixture};
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    size_t count = 0;
    int result = DRAY_NO_MEMORY;

    fixture_policy(fixture, "p", "rules:\n  - { id: cap, mode: enforce, limit: { entries: 9 } }\n");
    fixture_policy(fixture, "q", "rules: []\n");
    assert_int_equal(dray_key_make(path, &key, &error), 0);
    for (long nth = 0; result == DRAY_NO_MEMORY; nth++) {
        failing_failed = 0;
        failing_left = nth;
        result =
            dray_policy_sign(fixture->policies, key, NULL, &asker, &diagnostics, &count, &error);
        failing_left = -1;
        dray_diagnostics_free(&diagnostics);
        diagnostics = (struct dray_diagnostics){0};
    }
    if (result != 0 || failing_failed)
        fail_msg("%s", error.message);
    assert_int_equal(count, 2);
    fixture->request.policy_key = key;
    fixture->request.policy_history = (struct dray_policy_history){older, NULL};
    torture(fixture, workflow, 0);
    fixture_policy(fixture, "q", "rules: [ ]\n");
    torture(fixture, workflow, DRAY_DENIED);
}

static const char many_rules[] =
    "rules:\n"
    "  - { id: raw, mode: enforce, inject: [{ uses: filter/glob, with: { exclude: [raw/] } }] }\n"
    "  - { id: hosts, mode: warn, when: { target.type: cloud }, message: Ask.,\n"
    "      allow: { target.host: [good, \"*.example.org\"] } }\n"
    "  - { id: cap, mode: audit, when: { not: { user.role: admin } }, limit: { total_bytes: 1 TB } "
    "}\n"
    "exceptions:\n"
    "  - { rule: cap, user: asmith, until: 2026-05-28, reason: RC-88 }\n"
    "  - { rule: raw, dataset: other, until: 2026-05-28, reason: RC-89 }\n"
    "tests:\n"
    "  - { name: raw goes, given: { path: s/raw/a, dataset.tags: [a, b], user.role: admin },\n"
    "      expect: { verdict: drop, rule: raw } }\n"
    "  - { name: not there, given: { target.type: cloud, target.host: evil, user.role: admin },\n"
    "      expect: { verdict: deny, rule: hosts } }\n"
    "  - { name: all else, given: { path: a, size: 5, user.role: user, total_bytes: 1 GB },\n"
    "      expect: { verdict: keep } }\n";

static void use_many_rules(struct plan_fixture *fixture)
{
    fixture->request.now = INT64_C(1780000000) * 1000000000;
    fixture->request.asker = (struct dray_asker){answer, fixture};
    fixture_policy(fixture, "p", many_rules);
}

static void test_a_policy_of_all_kinds_is_put_in_whole_or_not_at_all(void **state)
{
    struct plan_fixture *fixture = *state;

    use_many_rules(fixture);
    torture(fixture, workflow, 0);
}

/* ---- the catalog */

static const char rows[] =
    "[{\"id\": 1, \"name\": \"ocean\", \"source\": \"/\"},"
    " {\"id\": 2, \"name\": \"twin\", \"tags\": [\"human\"], \"labels\": {\"a\": \"b\"}, "
    "\"type\": \"RAW\", \"source\": \"/\", \"overlap\": \"same\"},"
    " {\"id\": 3, \"name\": \"sea\", \"owner\": \"mira\", \"source\": \"/x\", "
    "\"overlap\": \"below\"}]";

/* Allocations of who answers are not the planner's. */
static json_t *all_rows(void)
{
    long saved = failing_left;

    failing_left = -1;
    json_t *all = json_loads(rows, 0, NULL);
    failing_left = saved;
    return all;
}

static int find_row(void *arg, const char *reference, json_t **ret_dataset,
                    struct dray_error *error)
{
    json_t *all = all_rows();

    (void)error;
    assert_string_equal(reference, "ocean");
    *ret_dataset = json_incref(json_array_get(all, 0));
    (void)json_object_update((json_t *)(uintptr_t)*ret_dataset, arg);
    json_decref(all);
    return 0;
}

static int share_rows(void *arg, const char *source, json_t **ret_list, struct dray_error *error)
{
    (void)arg;
    (void)error;
    assert_int_equal(*source, '/');
    *ret_list = all_rows();
    return 0;
}

static void test_what_the_catalog_says_is_weighed_whole_or_not_at_all(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_autofree char *where = dray_format("%s/data", fixture->directory);

    json_t *at = json_pack("{s:s}", "source", where);
    const struct dray_catalog catalog = {find_row, share_rows, at};
    static const char of_catalog[] = "version: 1\ndataset: ocean\nsteps:\n"
                                     "  - { id: out, uses: push/hpfs, with: { into: /hpfs } }\n";

    fixture->request.catalog = &catalog;
    fixture_policy(
        fixture, "p",
        "rules:\n  - { id: r, mode: enforce, when: { \"dataset.tags?\": human }, inject: "
        "[{ uses: filter/glob, with: { exclude: [x] } }] }\n");
    fixture_plan(fixture, of_catalog);
    assert_int_equal(fixture->result, 0);
    assert_int_equal(json_array_size(fixture->plan->facts), 3); /* each row once */
    assert_int_equal(fixture->plan->step_count, 4);             /* the rule holds */
    torture(fixture, of_catalog, 0);
    json_decref(at);
}

static void test_a_failing_test_and_a_denial_are_never_lost(void **state)
{
    struct plan_fixture *fixture = *state;

    use_many_rules(fixture);
    fixture_policy(
        fixture, "q",
        "rules:\n  - { id: r, mode: enforce, when: { target.type: cloud }, allow: { "
        "target.host: h } }\n"
        "  - { id: s, mode: enforce, when: { dataset.type: x }, limit: { entries: 1 } }\n");
    torture(fixture, workflow, DRAY_DENIED);
    fixture_policy(
        fixture, "q",
        "rules: []\ntests:\n  - { name: t, given: { path: a }, expect: { verdict: drop } }\n");
    torture(fixture, workflow, DRAY_DENIED);
    fixture_policy(
        fixture, "q",
        "rules: []\nexceptions:\n  - { rule: x, user: \"*\", until: never }\n"
        "tests:\n  - { given: { a: b, path: /, size: x }, expect: { verdict: no, rule: x } }\n");
    torture(fixture, workflow, DRAY_DENIED);
}

/* One thing that is asked of policies; *ret_text: what came of it. */
typedef int (*question)(struct plan_fixture *fixture, const struct dray_plan *plan,
                        char **ret_text);

static char *text_of(const json_t *json, const char *otherwise)
{
    long saved = failing_left;

    failing_left = -1;
    char *text = json ? json_dumps(json, JSON_INDENT(1)) : dray_format("%s", otherwise);
    failing_left = saved;
    return text;
}

static int ask_explain(struct plan_fixture *fixture, const struct dray_plan *plan, char **ret_text)
{
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    json_t *answer_ = NULL;
    long saved = failing_left;

    (void)plan;
    failing_left = -1;
    json_t *facts =
        json_pack("{s:s, s:s, s:s, s:s, s:[s]}", "dataset.name", "data", "user.name", "asmith",
                  "target.type", "cloud", "target.host", "evil", "dataset.tags", "a");
    failing_left = saved;
    const struct dray_policy_case of = {
        .facts = facts, .path = "s/raw/a", .size = 7, .total_bytes = -1, .entries = -1};
    int result = dray_policy_explain(&fixture->request, &of, &diagnostics, &answer_, &error);
    *ret_text = text_of(answer_, error.message);
    assert_int_equal(result == 0, answer_ != NULL);
    json_decref(answer_);
    json_decref(facts);
    dray_diagnostics_free(&diagnostics);
    return result;
}

static int ask_test(struct plan_fixture *fixture, const struct dray_plan *plan, char **ret_text)
{
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    json_t *answer_ = NULL;

    (void)plan;
    int result = dray_policy_test(&fixture->request, &diagnostics, &answer_, &error);
    *ret_text = text_of(answer_, error.message);
    json_decref(answer_);
    dray_diagnostics_free(&diagnostics);
    return result;
}

static int ask_recheck(struct plan_fixture *fixture, const struct dray_plan *plan, char **ret_text)
{
    struct dray_error error = {0};
    dray_autofree char *kept = NULL;
    int result = dray_plan_recheck(plan, NULL, &fixture->request, &kept, &error);

    *ret_text = text_of(NULL, kept ? kept : error.message);
    return result;
}

static int ask_renew(struct plan_fixture *fixture, const struct dray_plan *plan, char **ret_text)
{
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    struct dray_plan *renewed = NULL;
    int result = dray_plan_renew(plan, &fixture->request, &diagnostics, &renewed, &error);
    long saved = failing_left;

    assert_int_equal(result == 0, renewed != NULL);
    failing_left = -1;
    json_t *json = renewed ? dray_plan_json(renewed) : NULL;
    *ret_text = text_of(json, error.message);
    json_decref(json);
    failing_left = saved;
    dray_plan_free(renewed);
    dray_diagnostics_free(&diagnostics);
    return result;
}

static void torture_question(struct plan_fixture *fixture, question ask, int expected)
{
    dray_autofree char *whole = NULL;
    long count = 0;

    assert_int_equal(ask(fixture, fixture->plan, &whole), expected);
    for (failing_failed = 1; failing_failed; count++) {
        dray_autofree char *text = NULL;
        assert_true(count < 20000);
        failing_failed = 0;
        failing_left = count;
        int result = ask(fixture, fixture->plan, &text);
        failing_left = -1;
        if (result == DRAY_NO_MEMORY)
            continue;
        if (result != expected || strcmp(text, whole) != 0)
            fail_msg("allocation %ld: class %d, not %d:\n%s", count, result, expected, text);
    }
    assert_true(count > 50);
}

static void test_questions_about_policies_are_answered_whole_or_not_at_all(void **state)
{
    struct plan_fixture *fixture = *state;

    use_many_rules(fixture);
    fixture_plan(fixture, workflow);
    assert_int_equal(fixture->result, 0);
    torture_question(fixture, ask_explain, 0);
    torture_question(fixture, ask_test, 0);
    torture_question(fixture, ask_recheck, 0);
    torture_question(fixture, ask_renew, 0);
    /* under another set */
    fixture_policy(fixture, "q",
                   "rules:\n  - { id: r, mode: enforce, when: { target.type: cloud }, inject: [{ "
                   "uses: filter/glob, with: { exclude: [x] } }], limit: { entries: 5 } }\n");
    torture_question(fixture, ask_recheck, DRAY_DENIED);
    torture_question(fixture, ask_renew, 0);
    fixture_policy(fixture, "q",
                   "rules:\n  - { id: r, mode: enforce, allow: { target.host: h } }\n");
    torture_question(fixture, ask_recheck, DRAY_DENIED);
    torture_question(fixture, ask_renew, DRAY_DENIED);
    /* under one with a problem */
    fixture_policy(
        fixture, "q",
        "rules: []\ntests:\n  - { name: t, given: { path: a }, expect: { verdict: drop } }\n");
    torture_question(fixture, ask_recheck, 0);
    torture_question(fixture, ask_test, DRAY_INVALID);
    torture_question(fixture, ask_explain, DRAY_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_plan_is_made_whole_or_not_at_all),
        TEST(test_a_recipe_is_put_in_whole_or_not_at_all),
        TEST(test_problems_of_a_recipe_are_never_lost),
        TEST(test_a_recipe_is_cut_out_whole_or_not_at_all),
        TEST(test_problems_are_never_lost),
        TEST(test_a_broken_policy_stays_a_denial),
        TEST(test_a_signed_set_is_verified_whole_or_not_at_all),
        TEST(test_a_policy_of_all_kinds_is_put_in_whole_or_not_at_all),
        TEST(test_what_the_catalog_says_is_weighed_whole_or_not_at_all),
        TEST(test_a_failing_test_and_a_denial_are_never_lost),
        TEST(test_questions_about_policies_are_answered_whole_or_not_at_all),
    };

    json_set_alloc_funcs(jansson_malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
