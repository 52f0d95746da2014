/* SPDX-License-Identifier: MIT */
/* A stored plan under other policies: judged by what was known when it was planned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"

#define WORKFLOW                                                                                   \
    "version: 1\ndataset: ./data\nsteps:\n"                                                        \
    "  - { id: one, uses: source/directory, with: { path: ./other } }\n"                           \
    "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n"
#define DROP(ID, WHEN)                                                                             \
    "  - id: " ID "\n    mode: enforce\n    when: { " WHEN " }\n"                                  \
    "    inject: [{ uses: filter/glob, with: { exclude: [x] } }]\n"

/* What the fixture planned, as a job keeps it. */
static void store_plan(struct plan_fixture *fixture)
{
    struct dray_plan *stored = NULL;
    json_t *json = dray_plan_json(fixture->plan);

    assert_non_null(json);
    assert_int_equal(dray_plan_parse(json, &stored, &fixture->error), 0);
    json_decref(json);
    dray_plan_free(fixture->plan);
    fixture->plan = stored;
}

static void renew(struct plan_fixture *fixture)
{
    struct dray_plan *renewed = NULL;
    int result = dray_plan_renew(fixture->plan, &fixture->request, &fixture->diagnostics, &renewed,
                                 &fixture->error);

    if (result != 0)
        fail_msg("%s", fixture->error.message);
    dray_plan_free(fixture->plan);
    fixture->plan = renewed;
}

static void test_rules_are_judged_by_the_facts_of_the_stored_plan(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, WORKFLOW);
    store_plan(fixture);
    fixture->request.user = "reviewer";
    fixture->request.actor = "reviewer";
    fixture->request.role = "admin";
    fixture_policy(fixture, "p",
                   "rules:\n" DROP("read", "dataset.name: other") DROP("name", "dataset.name: data")
                       DROP("user", "user.name: asmith") DROP("role", "user.role: user")
                           DROP("reviewer", "user.name: reviewer")
                               DROP("admin", "user.role: admin"));
    renew(fixture);
    assert_string_equal(fixture_order(fixture), "one validate p/read p/name p/user p/role out");
    assert_int_equal(json_array_size(fixture->plan->facts), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(fixture->plan->facts, 1), "dataset.name")),
        "other");
    /* and once more, of what came out */
    renew(fixture);
    assert_string_equal(fixture_order(fixture), "one validate p/read p/name p/user p/role out");
}

static void test_what_policies_had_put_in_goes(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p", "rules:\n" DROP("old", "target.type: hpfs"));
    fixture_plan_good(fixture, WORKFLOW);
    assert_string_equal(fixture_order(fixture), "one validate p/old out");
    store_plan(fixture);
    fixture_policy(fixture, "p", "rules:\n" DROP("new", "target.type: hpfs"));
    renew(fixture);
    assert_string_equal(fixture_order(fixture), "one validate p/new out");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rules_are_judged_by_the_facts_of_the_stored_plan),
        TEST(test_what_policies_had_put_in_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
