/* SPDX-License-Identifier: MIT */
/* What plugins said of size and room is in the plan, and no part of what it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/plan/draft.h"
#include "tests/unit/plan_fixture.h"

#define HEAD "version: 1\ndataset: ./data\nsteps:\n"
#define OUT  "  - { id: out, uses: push/hpfs, with: { path: /roomy } }\n"

static void test_a_source_that_counts_is_counted(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, HEAD OUT);
    assert_true(fixture->plan->counted);
    assert_int_equal(fixture->plan->entries, 3);
    assert_int_equal(fixture->plan->bytes, 1000);
}

static void test_sources_are_counted_together_or_not_at_all(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture,
                      HEAD "  - { id: a, uses: source/directory, with: { path: ./data } }\n"
                           "  - { id: b, uses: source/directory, with: { path: ./policies } }\n"
                           "  - { id: out, uses: push/hpfs, needs: [a, b], with: { path: /x } }\n");
    assert_true(fixture->plan->counted);
    assert_int_equal(fixture->plan->entries, 6);
    assert_int_equal(fixture->plan->bytes, 2000);
    fixture_plan_good(fixture,
                      HEAD "  - { id: a, uses: source/directory, with: { path: ./data } }\n"
                           "  - { id: b, uses: source/directory, with: { path: ./other } }\n"
                           "  - { id: out, uses: push/hpfs, needs: [a, b], with: { path: /x } }\n");
    assert_false(fixture->plan->counted);
}

static void test_what_nobody_counted_is_not_known(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture->request.dataset = "./data.tar.gz";
    fixture_plan_good(fixture, HEAD OUT);
    assert_false(fixture->plan->counted);
    fixture->request.dataset = NULL;
    fixture->request.listed = 1;
    fixture_plan_good(fixture, HEAD OUT);
    assert_false(fixture->plan->counted);
}

static void test_room_is_of_each_target_and_none_is_not_unknown(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture,
                      HEAD OUT "  - { id: full, uses: push/hpfs, with: { path: /crammed } }\n"
                               "  - { id: up, uses: push/cloud, with: { url: \"c://h/p\" } }\n");
    assert_true(fixture_target(fixture, "out")->free_known);
    assert_int_equal(fixture_target(fixture, "out")->free_bytes, 5000);
    assert_true(fixture_target(fixture, "full")->free_known);
    assert_int_equal(fixture_target(fixture, "full")->free_bytes, 0);
    assert_false(fixture_target(fixture, "up")->free_known);
}

/* A stored plan says nothing of a day that is past, and two days' plans are one. */
static void test_neither_is_kept_nor_part_of_the_plan(void **state)
{
    struct plan_fixture *fixture = *state;
    char digest[DRAY_SHA256_HEX];
    struct dray_error error = {0};

    fixture_plan_good(fixture, HEAD OUT);
    json_t *json = dray_plan_json(fixture->plan);
    dray_autofree char *text = json_dumps(json, 0);
    json_decref(json);
    assert_null(strstr(text, "free_bytes"));
    assert_null(strstr(text, "\"bytes\""));
    memcpy(digest, fixture->plan->digest, sizeof(digest));
    fixture->plan->entries = fixture->plan->bytes = 7;
    fixture->plan->targets[0].free_known = 0;
    assert_int_equal(dray_plan_digests(fixture->plan, &error), 0);
    assert_string_equal(fixture->plan->digest, digest);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_source_that_counts_is_counted),
        TEST(test_sources_are_counted_together_or_not_at_all),
        TEST(test_what_nobody_counted_is_not_known),
        TEST(test_room_is_of_each_target_and_none_is_not_unknown),
        TEST(test_neither_is_kept_nor_part_of_the_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
