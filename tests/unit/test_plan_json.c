/* SPDX-License-Identifier: MIT */
/* A plan comes back from its JSON as it was, a broken one does not come back at all, and people can
 * read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"

static const char workflow[] =
    "version: 1\nname: ocean\ndataset: ./data\nsteps:\n"
    "  - { id: verify, uses: validate, with: { manifest: sums.txt } }\n"
    "  - id: pick\n    uses: filter/glob\n"
    "    with: { include: [\"*.nc\", \"*.csv\", a, b, c, d], exclude: [\"tmp/\"] }\n"
    "  - { id: out, uses: push/hpfs, with: { into: /hpfs/delivered }, after: [up] }\n"
    "  - { id: up, uses: push/cloud, with: { url: \"s3://lab.example.edu/bucket/\" } }\n"
    "  - { id: taken, uses: push/hpfs, with: { path: /hpfs/occupied } }\n";

static void make(struct plan_fixture *fixture)
{
    fixture_policy(
        fixture, "p",
        "rules:\n"
        "  - { id: cap, mode: enforce, when: { target.type: cloud }, limit: { total_bytes: 50 TiB "
        "} }\n"
        "  - { id: raw, mode: enforce, message: Raw files stay., inject: [{ uses: filter/glob, "
        "with: { exclude: [raw/] } }] }\n"
        "  - { id: big, mode: audit, inject: [{ uses: filter/size, with: { max: 1 TB } }] }\n");
    fixture_plan_good(fixture, workflow);
}

static void test_a_plan_comes_back_as_it_was(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    struct dray_error error = {0};

    make(fixture);
    json_t *json = dray_plan_json(fixture->plan);
    assert_non_null(json);
    if (dray_plan_parse(json, &plan, &error) != 0)
        fail_msg("%s", error.message);
    json_t *again = dray_plan_json(plan);
    dray_autofree char *a = json_dumps(json, JSON_INDENT(2));
    dray_autofree char *b = json_dumps(again, JSON_INDENT(2));
    assert_string_equal(a, b);
    assert_string_equal(plan->policy_set_digest, fixture->plan->policy_set_digest);
    assert_int_equal(plan->steps[2].role, fixture->plan->steps[2].role);
    json_decref(json);
    json_decref(again);
}

static void test_the_json_has_the_documented_keys(void **state)
{
    struct plan_fixture *fixture = *state;

    make(fixture);
    json_t *json = dray_plan_json(fixture->plan);
    const json_t *steps = json_object_get(json, "steps");
    const json_t *raw = json_array_get(steps, 2), *origin = json_object_get(raw, "origin");
    assert_int_equal(json_integer_value(json_object_get(json, "version")), 1);
    assert_string_equal(json_string_value(json_object_get(json, "digest")), fixture->plan->digest);
    assert_string_equal(json_string_value(json_object_get(raw, "id")), "p/raw");
    assert_string_equal(json_string_value(json_object_get(raw, "uses")), "filter/glob");
    assert_string_equal(json_string_value(json_array_get(json_object_get(raw, "needs"), 0)),
                        "verify");
    assert_true(json_is_object(json_object_get(raw, "with")));
    assert_int_equal(json_integer_value(json_object_get(origin, "line")), 6);
    assert_string_equal(json_string_value(json_object_get(origin, "policy")), "p");
    assert_string_equal(json_string_value(json_object_get(origin, "rule")), "raw");
    const json_t *policy = json_array_get(json_object_get(json, "policies"), 0);
    assert_string_equal(json_string_value(json_object_get(policy, "policy")), "p");
    assert_int_equal(json_integer_value(json_object_get(policy, "revision")), 7);
    assert_true(json_is_string(json_object_get(policy, "digest")));
    json_decref(json);
}

/* Set, or with NULL remove, what a path such as "steps/2/mode" names. */
static void change(json_t *json, const char *path, const char *value)
{
    char key[64];
    const char *slash;

    while ((slash = strchr(path, '/')) != NULL) {
        (void)snprintf(key, sizeof(key), "%.*s", (int)(slash - path), path);
        json = json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10))
                                   : json_object_get(json, key);
        assert_non_null(json);
        path = slash + 1;
    }
    json_t *parsed = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    assert_true(!value || parsed);
    if (json_is_array(json))
        assert_int_equal(json_array_set_new(json, strtoul(path, NULL, 10), parsed), 0);
    else if (parsed)
        assert_int_equal(json_object_set_new(json, path, parsed), 0);
    else
        assert_int_equal(json_object_del(json, path), 0);
}

static void test_a_broken_plan_does_not_come_back(void **state)
{
    static const struct {
        const char *path, *value;
    } changes[] = {
        {"version", "2"},
        {"digest", "\"abc\""},
        {"name", NULL},
        {"dataset/id", "5"},
        {"tree/symlinks", "\"follow\""},
        {"tree/keep_empty_dirs", "1"},
        {"steps", "[]"},
        {"steps", "{}"},
        {"steps/0", "5"},
        {"steps/0/id", NULL},
        {"steps/1/id", "\"stage\""},
        {"steps/1/uses", "\"notify/webhook\""},
        {"steps/1/uses", "\"validates\""},
        {"steps/1/needs", "[]"},
        {"steps/0/needs", "[\"verify\"]"},
        {"steps/1/needs", "[\"pick\"]"},
        {"steps/1/needs", "[\"verify\"]"},
        {"steps/1/needs", "[\"nobody\"]"},
        {"steps/1/needs", "[3]"},
        {"steps/2/mode", "\"maybe\""},
        {"steps/2/with", "[]"},
        {"steps/2/plugin", NULL},
        {"steps/1/plugin", "{\"file\": \"/x\", \"digest\": \"x\", \"version\": \"1\"}"},
        {"steps/2/plugin/file", "\"relative.so\""},
        {"steps/2/plugin/digest", NULL},
        {"steps/2/timeout", "0"},
        {"steps/2/stall", "\"1h\""},
        {"steps/2/retry/tries", "0"},
        {"steps/2/retry", NULL},
        {"steps/2/retry/max_backoff", "1"},
        {"steps/2/origin", NULL},
        {"steps/2/origin/rule", NULL},
        {"targets", "[]"},
        {"targets/0/step", "\"pick\""},
        {"targets/0/step", "\"taken\""},
        {"targets/0/type", "\"moon\""},
        {"targets/0/uri", NULL},
        {"targets/0/request_key", "\"zz\""},
        {"targets/0/presence", "{\"state\": \"perhaps\"}"},
        {"policies", NULL},
        {"policies/0/revision", "0"},
        {"policies/0/file", "null"},
        {"policy_set", NULL},
    };
    struct plan_fixture *fixture = *state;

    make(fixture);
    for (size_t i = 0; i < DRAY_COUNT(changes); i++) {
        struct dray_plan *plan = NULL;
        struct dray_error error = {0};
        json_t *json = dray_plan_json(fixture->plan);
        change(json, changes[i].path, changes[i].value);
        if (dray_plan_parse(json, &plan, &error) != DRAY_INVALID)
            fail_msg("%s: %s is taken", changes[i].path,
                     changes[i].value ? changes[i].value : "nothing");
        assert_null(plan);
        assert_int_equal(strncmp(error.message, "the plan cannot be read: ", 25), 0);
        json_decref(json);
    }
}

static void set(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
}

static void test_people_can_read_it(void **state)
{
    struct plan_fixture *fixture = *state;
    struct dray_buffer out = {.cap = 1u << 20};

    make(fixture);
    memcpy(fixture->plan->digest, "0123456789ab", 12);
    set(&fixture->plan->dataset_id, "/archive/data");
    set(&fixture->plan->policies[0].file, "/etc/dray/policies/p.yaml");
    memcpy(fixture->plan->policies[0].digest, "ba9876543210", 12);
    (void)json_object_set_new(fixture->plan->steps[0].with, "path", json_string("/archive/data"));
    dray_plan_print(fixture->plan, &out);
    assert_int_equal(out.failed, 0);
    fixture_golden("plan.expected", out.data);
    dray_buffer_free(&out);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_plan_comes_back_as_it_was),
        TEST(test_the_json_has_the_documented_keys),
        TEST(test_a_broken_plan_does_not_come_back),
        TEST(test_people_can_read_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
