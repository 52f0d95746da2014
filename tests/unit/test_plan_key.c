/* SPDX-License-Identifier: MIT */
/* Which requests are the same delivery, and which plans are the same plan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "tests/unit/plan_fixture.h"

#define HEAD "version: 1\ndataset: ./data\nsteps:\n"
#define OUT  "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n"
#define PICK "  - { id: pick, uses: filter/glob, with: { include: [x] } }\n"

/* The request key of the workflow's first target. The caller frees it. */
static char *key(struct plan_fixture *fixture, const char *workflow)
{
    fixture_plan_good(fixture, workflow);
    return strdup(fixture->plan->targets[0].request_key);
}

static void assert_keys(struct plan_fixture *fixture, const char *one, const char *other, int same)
{
    dray_autofree char *a = key(fixture, one);
    dray_autofree char *b = key(fixture, other);

    assert_int_equal(strlen(a), 64);
    if ((strcmp(a, b) == 0) != same)
        fail_msg("should %sbe the same:\n%s\n%s", same ? "" : "not ", one, other);
}

static void test_what_is_delivered_makes_the_key(void **state)
{
    static const char *const others[] = {
        "version: 1\ndataset: ./other\nsteps:\n" PICK OUT,
        "version: 1\ndataset: ./data\ntree: { symlinks: skip }\nsteps:\n" PICK OUT,
        "version: 1\ndataset: ./data\ntree: { keep_empty_dirs: true }\nsteps:\n" PICK OUT,
        HEAD OUT,
        HEAD "  - { id: pick, uses: filter/glob, with: { include: [y] } }\n" OUT,
        HEAD "  - { id: pick, uses: filter/glob, with: { exclude: [x] } }\n" OUT,
        HEAD "  - { id: pick, uses: filter/glob, with: { include: [x], ignore_case: true } }\n" OUT,
        HEAD PICK "  - { id: out, uses: push/hpfs, with: { into: ./out2 } }\n",
        HEAD PICK
        "  - { id: out, uses: push/hpfs, with: { into: ./out, permissions: \"2770\" } }\n",
        HEAD "  - { id: verify, uses: validate, with: { manifest: sums } }\n" PICK OUT,
        HEAD PICK "  - { id: small, uses: filter/size }\n" OUT,
    };
    struct plan_fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(others); i++)
        assert_keys(fixture, HEAD PICK OUT, others[i], 0);
}

static void test_how_it_is_written_does_not(void **state)
{
    static const char *const others[] = {
        "version: 1\nname: other\ndataset: ./other/../data\nsteps:\n" PICK OUT,
        HEAD "  - { id: choose, uses: filter/glob, with: { include: [x] } }\n"
             "  - { id: deliver, uses: push/hpfs, with: { into: ./out } }\n",
        HEAD
        "  - { id: pick, uses: filter/glob, with: { include: [x], ignore_case: false } }\n" OUT,
        HEAD "  - { id: verify, uses: validate }\n" PICK OUT,
        HEAD PICK "  - { id: out, uses: push/hpfs, with: { into: ./out }, timeout: 1h, retry: { "
                  "tries: 9 } }\n",
        /* another option for the same place, and what to do when something is there */
        HEAD PICK "  - { id: out, uses: push/hpfs, with: { path: ./out/data } }\n",
        HEAD PICK "  - { id: out, uses: push/hpfs, with: { into: ./out, existing: merge } }\n",
        /* what other targets get */
        HEAD PICK OUT "  - { id: small, uses: filter/size }\n"
                      "  - { id: two, uses: push/hpfs, with: { into: ./two } }\n",
        "version: 1\nsteps:\n  - { id: s, uses: source/directory, with: { path: ./data } }\n" PICK
            OUT,
        HEAD "  - { id: s, uses: source/directory, with: { path: ./other/../data/ } }\n" PICK OUT,
    };
    struct plan_fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(others); i++)
        assert_keys(fixture, HEAD PICK OUT, others[i], 1);
}

/* A source of its own may read something else than what identifies the dataset. */
static void test_another_source_is_another_request(void **state)
{
    struct plan_fixture *fixture = *state;

    assert_keys(fixture, HEAD OUT,
                HEAD "  - { id: s, uses: source/directory, with: { path: ./other } }\n" OUT, 0);
}

static int answer_revision(void *arg, const json_t *request, json_t **ret_answer,
                           struct dray_error *error)
{
    int result = stand_ins_answer(NULL, request, ret_answer, error);
    const json_t *steps = json_object_get(*ret_answer, "steps");
    json_t *step;
    size_t index;

    json_array_foreach(steps, index, step) if (json_object_get(step, "revision"))(void)
        json_object_set_new(step, "revision", json_string(arg));
    return result;
}

static void test_a_changed_dataset_is_another_request(void **state)
{
    static char two[] = "r2";
    struct plan_fixture *fixture = *state;
    dray_autofree char *before = key(fixture, HEAD OUT);

    fixture->request.asker = (struct dray_asker){answer_revision, two};
    dray_autofree char *after = key(fixture, HEAD OUT);
    assert_string_not_equal(before, after);
    assert_string_equal(fixture->plan->revision, "r2");
}

static void test_policies_count_by_what_they_change(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_autofree char *none = key(fixture, HEAD PICK OUT);

    fixture_policy(fixture, "p",
                   "rules:\n  - { id: r, mode: enforce, limit: { entries: 5 } }\n"
                   "  - { id: a, mode: audit, inject: [{ uses: filter/size }] }\n"
                   "  - { id: w, mode: warn, inject: [{ uses: filter/size }] }\n");
    dray_autofree char *watched = key(fixture, HEAD PICK OUT);
    assert_string_equal(none, watched);
    fixture_policy(fixture, "p",
                   "rules:\n  - { id: r, mode: enforce, inject: [{ uses: filter/size }] }\n");
    dray_autofree char *enforced = key(fixture, HEAD PICK OUT);
    assert_string_not_equal(none, enforced);
    /* the same step by another rule is the same delivery */
    fixture_policy(fixture, "p",
                   "owner: me\nrules:\n  - { id: s, mode: enforce, message: no, inject: [{ uses: "
                   "filter/size }] }\n");
    dray_autofree char *renamed = key(fixture, HEAD PICK OUT);
    assert_string_equal(enforced, renamed);
}

/* The key outlives this release in markers: it may change only on purpose, and then formats.md says
 * so. */
static void test_the_canonical_text_is_fixed(void **state)
{
    struct plan_fixture *fixture = *state;
    char expected[DRAY_SHA256_HEX];
    uint8_t digest[DRAY_SHA256_BYTES];

    fixture_policy(fixture, "p",
                   "rules:\n  - { id: a, mode: audit, inject: [{ uses: filter/size }] }\n");
    fixture_plan_good(fixture, HEAD PICK OUT);
    dray_autofree char *text = dray_format(
        "{\"dataset\":\"%s/data\",\"steps\":["
        "{\"needs\":[],\"revision\":\"r1\",\"uses\":\"source/"
        "directory\",\"version\":\"1.0.0\",\"with\":{}},"
        "{\"needs\":[0],\"uses\":\"validate\",\"version\":null,\"with\":{}},"
        "{\"needs\":[1],\"uses\":\"filter/"
        "glob\",\"version\":\"1.0.0\",\"with\":{\"ignore_case\":false,\"include\":[\"x\"]}},"
        "{\"needs\":[2],\"uses\":\"push/hpfs\",\"version\":\"1.0.0\",\"with\":{}}],"
        "\"target\":\"hpfs:%s/out/"
        "data\",\"tree\":{\"keep_empty_dirs\":false,\"symlinks\":\"keep\"}}",
        fixture->directory, fixture->directory);
    assert_int_equal(dray_sha256(text, strlen(text), digest), 0);
    assert_string_equal(fixture->plan->targets[0].request_key,
                        dray_hex(digest, sizeof(digest), expected));
}

static char *plan_digest(struct plan_fixture *fixture, const char *workflow)
{
    fixture_plan_good(fixture, workflow);
    return strdup(fixture->plan->digest);
}

static void test_the_same_file_gives_the_same_plan(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_autofree char *first = plan_digest(fixture, HEAD PICK OUT);
    json_t *one = dray_plan_json(fixture->plan);
    dray_autofree char *again = plan_digest(fixture, HEAD PICK OUT);
    json_t *two = dray_plan_json(fixture->plan);
    dray_autofree char *a = json_dumps(one, JSON_INDENT(2));
    dray_autofree char *b = json_dumps(two, JSON_INDENT(2));

    assert_string_equal(first, again);
    assert_string_equal(a, b);
    json_decref(one);
    json_decref(two);
    /* where it is written down is no part of it */
    fixture->request.workflow_name = "elsewhere.yaml";
    dray_autofree char *moved = plan_digest(fixture, "# a comment\n" HEAD PICK OUT);
    assert_string_equal(first, moved);
    dray_autofree char *other = plan_digest(fixture, HEAD OUT);
    assert_string_not_equal(first, other);
    fixture_policy(fixture, "p", "rules: []\n");
    dray_autofree char *policy = plan_digest(fixture, HEAD PICK OUT);
    assert_string_not_equal(first, policy);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_delivered_makes_the_key),
        TEST(test_how_it_is_written_does_not),
        TEST(test_another_source_is_another_request),
        TEST(test_a_changed_dataset_is_another_request),
        TEST(test_policies_count_by_what_they_change),
        TEST(test_the_canonical_text_is_fixed),
        TEST(test_the_same_file_gives_the_same_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
