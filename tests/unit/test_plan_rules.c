/* SPDX-License-Identifier: MIT */
/* What policies say beside injecting steps: allowances, exceptions that end, and the tests that a
 * policy brings along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"

#define HEAD     "version: 1\ndataset: ./data\nsteps:\n"
#define HPFS(ID) "  - { id: " ID ", uses: push/hpfs, with: { into: ./" ID " } }\n"
#define CLOUD(ID)                                                                                  \
    "  - { id: " ID ", uses: push/cloud, with: { url: \"s3://" ID ".example.edu/bucket/\" } }\n"
#define SECOND INT64_C(1000000000)

#define ALLOW(MODE)                                                                                \
    "rules:\n"                                                                                     \
    "  - id: hosts\n"                                                                              \
    "    mode: " MODE "\n"                                                                         \
    "    when: { target.type: cloud }\n"                                                           \
    "    allow: { target.host: [\"*.example.org\", good.example.edu] }\n"                          \
    "    message: Ask the data office.\n"

static void test_what_is_not_allowed_is_denied(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_autofree char *where = dray_format("%s/p.yaml:8:14", fixture->policies);

    fixture_policy(fixture, "p", ALLOW("enforce"));
    fixture_plan_good(fixture, HEAD CLOUD("good"));
    fixture_plan_good(fixture, HEAD HPFS("lab"));
    assert_int_equal(json_array_size(fixture->plan->findings), 0);
    fixture_plan(fixture, HEAD CLOUD("bad") CLOUD("good") CLOUD("worse"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_string_equal(fixture->error.message,
                        "rule p/hosts does not allow the target of \"bad\": target.host is "
                        "bad.example.edu, not *.example.org or good.example.edu");
    assert_string_equal(fixture->error.hint, "Ask the data office.");
    assert_string_equal(fixture->error.where, where);
    assert_int_equal(fixture->diagnostics.count, 2);
    assert_string_equal(fixture->diagnostics.items[0].message, fixture->error.message);
    assert_string_equal(fixture->diagnostics.items[0].hint, "Ask the data office.");
    assert_non_null(strstr(fixture->diagnostics.items[1].message, "the target of \"worse\""));
}

static void assert_finding(const struct plan_fixture *fixture, const char *kind, const char *mode,
                           const char *what)
{
    const json_t *finding = json_array_get(fixture->plan->findings, 0);

    assert_int_equal(json_array_size(fixture->plan->findings), 1);
    assert_string_equal(json_string_value(json_object_get(finding, "kind")), kind);
    assert_string_equal(json_string_value(json_object_get(finding, "mode")), mode);
    if (!strstr(json_string_value(json_object_get(finding, "what")), what))
        fail_msg("%s", json_string_value(json_object_get(finding, "what")));
}

static void test_a_watched_allowance_is_recorded_and_only_warn_tells(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p", ALLOW("audit"));
    fixture_plan_good(fixture, HEAD CLOUD("bad"));
    assert_finding(fixture, "allow", "audit", "target.host is bad.example.edu");
    fixture_policy(fixture, "p", ALLOW("warn"));
    fixture_plan(fixture, HEAD CLOUD("bad"));
    assert_int_equal(fixture->result, 0);
    assert_finding(fixture, "allow", "warn", "target.host is bad.example.edu");
    assert_int_equal(fixture->diagnostics.count, 1);
    assert_int_equal(fixture->diagnostics.items[0].severity, DRAY_SEVERITY_WARNING);
    assert_string_equal(fixture->diagnostics.items[0].hint, "Ask the data office.");
}

static void test_a_target_without_the_fact_is_not_allowed(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n  - { id: r, mode: enforce, allow: { target.host: \"*\" } }\n");
    fixture_plan(fixture, HEAD HPFS("lab"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_non_null(strstr(fixture->error.message, "target.host has no value here"));
    fixture_policy(fixture, "p",
                   "rules:\n  - { id: r, mode: audit, allow: { dataset.type: X } }\n");
    fixture_plan(fixture, HEAD HPFS("lab"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_non_null(strstr(fixture->error.message, "asks for dataset.type, which is not known"));
}

/* ---- two datasets */

#define SOURCES                                                                                    \
    "version: 1\ndataset: ./data\nsteps:\n"                                                        \
    "  - { id: s, uses: source/directory, with: { path: ./other } }\n"                             \
    "  - { id: t, uses: source/directory, with: { path: ./data } }\n"                              \
    "  - { id: lab, uses: push/hpfs, needs: [s, t], with: { into: ./lab } }\n"

/* What is not known of one dataset is not made up for by the other, for which the rule holds, or
 * which it only watches. */
static void test_what_is_not_known_of_one_dataset_is_denied(void **state)
{
    struct plan_fixture *fixture = *state;
    static const char *const rules[] = {
        "allow: { not: { dataset.name: other, dataset.tags: cleared } }",
        "allow: { not: { dataset.name: other, dataset.tags: secret } }",
        "when: { not: { dataset.name: other, dataset.tags: cleared } }, limit: { entries: 5 }",
    };

    for (size_t i = 0; i < DRAY_COUNT(rules); i++) {
        dray_autofree char *body =
            dray_format("rules:\n  - { id: r, mode: audit, %s }\n", rules[i]);
        fixture_policy(fixture, "p", body);
        fixture_plan_good(fixture, HEAD HPFS("lab"));
        fixture_plan(fixture, SOURCES);
        assert_int_equal(fixture->result, DRAY_DENIED);
        assert_non_null(strstr(fixture->error.message,
                               "which is not known of dataset \"other\", so it is not delivered"));
    }
}

static void test_a_denial_names_the_dataset_that_decided(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n  - { id: r, mode: enforce, allow: { dataset.name: data } }\n");
    fixture_plan(fixture, SOURCES);
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_string_equal(fixture->error.message,
                        "rule p/r does not allow the target of \"lab\": dataset.name is other, "
                        "not data");
}

/* ---- exceptions */

#define EXCEPT(WHO)                                                                                \
    "rules:\n"                                                                                     \
    "  - id: no-raw\n"                                                                             \
    "    mode: enforce\n"                                                                          \
    "    inject: [{ uses: filter/glob, with: { exclude: [raw] } }]\n"                              \
    "exceptions:\n"                                                                                \
    "  - { rule: no-raw, " WHO ", until: 2027-01-31, reason: RC-88 }\n"

/* 2027-01-31, the last second of the day, and the next. */
#define LAST_SECOND INT64_C(1801439999)

static void test_an_exception_holds_to_the_end_of_its_day(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p", EXCEPT("user: asmith, dataset: data"));
    fixture->request.now = LAST_SECOND * SECOND;
    fixture_plan_good(fixture, HEAD HPFS("lab"));
    assert_string_equal(fixture_order(fixture), "stage validate lab");
    assert_finding(fixture, "exception", "enforce", "an exception until 2027-01-31 (RC-88)");
    fixture->request.now = (LAST_SECOND + 1) * SECOND;
    fixture_plan_good(fixture, HEAD HPFS("lab"));
    assert_string_equal(fixture_order(fixture), "stage validate p/no-raw lab");
    assert_int_equal(json_array_size(fixture->plan->findings), 0);
}

static void test_an_exception_is_for_whom_it_names(void **state)
{
    struct plan_fixture *fixture = *state;
    static const struct {
        const char *policy;
        int excepted;
    } cases[] = {
        {EXCEPT("user: asmith"), 1},
        {EXCEPT("user: bjones"), 0},
        {EXCEPT("dataset: data"), 1},
        {EXCEPT("dataset: other"), 0},
        {EXCEPT("user: asmith, dataset: other"), 0},
        {EXCEPT("user: bjones, dataset: data"), 0},
    };

    fixture->request.now = LAST_SECOND * SECOND;
    fixture->request.actor = "bjones"; /* who asks does not count, for whom it is does */
    for (size_t i = 0; i < DRAY_COUNT(cases); i++) {
        fixture_policy(fixture, "p", cases[i].policy);
        fixture_plan_good(fixture, HEAD HPFS("lab"));
        assert_string_equal(fixture_order(fixture), cases[i].excepted
                                                        ? "stage validate lab"
                                                        : "stage validate p/no-raw lab");
    }
}

static void test_an_exception_is_from_a_rule_of_its_own_file(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture->request.now = LAST_SECOND * SECOND;
    fixture_policy(fixture, "p", EXCEPT("user: bjones"));
    fixture_policy(fixture, "q",
                   "rules:\n  - { id: no-raw, mode: enforce, limit: { entries: 5 } }\n"
                   "exceptions:\n"
                   "  - { rule: no-raw, user: asmith, until: 2027-01-31, reason: mine }\n");
    fixture_plan_good(fixture, HEAD HPFS("lab"));
    assert_string_equal(fixture_order(fixture), "stage validate p/no-raw lab");
}

/* An exception also takes away what would have been denied because it is not known. */
static void test_an_exception_answers_what_is_not_known(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture->request.now = LAST_SECOND * SECOND;
    fixture_policy(fixture, "p",
                   "rules:\n  - { id: r, mode: enforce, when: { dataset.tags: x }, "
                   "limit: { entries: 5 } }\n"
                   "exceptions:\n"
                   "  - { rule: r, dataset: data, until: 2027-01-31, reason: looked at }\n");
    fixture_plan_good(fixture, HEAD HPFS("lab"));
    assert_finding(fixture, "exception", "enforce", "looked at");
}

/* ---- tests */

#define RULES                                                                                      \
    "rules:\n"                                                                                     \
    "  - id: no-raw\n"                                                                             \
    "    mode: audit\n"                                                                            \
    "    when: { target.type: cloud, not: { user.role: operator } }\n"                             \
    "    inject: [{ uses: filter/glob, with: { exclude: [\"*.bcl\", raw/] } }]\n"                  \
    "  - id: hosts\n"                                                                              \
    "    mode: enforce\n"                                                                          \
    "    when: { target.type: cloud, dataset.tags?: human }\n"                                     \
    "    allow: { target.host: good }\n"                                                           \
    "  - { id: cap, mode: enforce, when: { dataset.type: RAW }, limit: { total_bytes: 2 KiB } }\n" \
    "exceptions:\n"                                                                                \
    "  - { rule: no-raw, user: asmith, until: 2027-01-31, reason: none of a test's }\n"            \
    "tests:\n"

static void assert_test(struct plan_fixture *fixture, const char *given, const char *expect,
                        const char *fault)
{
    dray_autofree char *body =
        dray_format(RULES "  - name: t\n    given: { %s }\n    expect: { %s }\n", given, expect);

    fixture_policy(fixture, "p", body);
    /* no target of this plan has to do with the rules, and still their tests are judged */
    fixture->request.now = LAST_SECOND * SECOND;
    fixture_plan(fixture, HEAD HPFS("lab"));
    if (fault) {
        assert_int_equal(fixture->result, DRAY_DENIED);
        assert_int_equal(fixture->diagnostics.count, 1);
        assert_string_equal(fixture->diagnostics.items[0].message, fault);
    } else if (fixture->diagnostics.count != 1 ||
               strcmp(fixture->diagnostics.items[0].message, fixture->error.message) != 0) {
        /* the denial of `cap`, which is no test's */
        fail_msg("%s", fixture->diagnostics.items[0].message);
    }
}

#define CASE "dataset.type: T, target.type: cloud, "

static void test_a_policy_is_judged_by_its_tests(void **state)
{
    struct plan_fixture *fixture = *state;

    assert_test(fixture, CASE "user.role: user, path: s/raw/a", "verdict: drop, rule: no-raw",
                NULL);
    assert_test(fixture, CASE "user.role: user, path: a.bcl", "verdict: drop", NULL);
    assert_test(fixture, CASE "user.role: operator, path: a.bcl", "verdict: keep", NULL);
    assert_test(fixture, CASE "user.role: user, user.name: asmith, path: a.bcl", "verdict: drop",
                NULL);
    assert_test(fixture, CASE "user.role: user, path: a.nc", "verdict: keep", NULL);
    assert_test(fixture, CASE "user.role: user, dataset.tags: [x, human], target.host: bad",
                "verdict: deny, rule: hosts", NULL);
    assert_test(fixture, CASE "user.role: user, dataset.tags: human, target.host: good",
                "verdict: keep", NULL);
    assert_test(fixture, "dataset.type: RAW, target.type: hpfs, total_bytes: 2049",
                "verdict: deny, rule: cap", NULL);
    assert_test(fixture, "dataset.type: RAW, target.type: hpfs, total_bytes: 2 KiB",
                "verdict: keep", NULL);
    /* denied as a whole, whatever becomes of the path */
    assert_test(fixture, CASE "user.role: user, dataset.tags: human, target.host: bad, path: a.bcl",
                "verdict: deny, rule: hosts", NULL);
    /* not known, so denied */
    assert_test(fixture, "target.type: hpfs", "verdict: deny, rule: cap", NULL);
}

static void test_a_failing_test_stops_every_delivery(void **state)
{
    struct plan_fixture *fixture = *state;

    assert_test(fixture, CASE "user.role: user, path: s/raw/a", "verdict: keep",
                "test \"t\" fails: it expects keep, and the policy says drop by no-raw");
    assert_test(fixture, CASE "user.role: user, path: a.nc", "verdict: drop, rule: no-raw",
                "test \"t\" fails: it expects drop by no-raw, and the policy says keep");
    assert_test(fixture, CASE "user.role: user, path: a.bcl", "verdict: deny, rule: hosts",
                "test \"t\" fails: it expects deny by hosts, and the policy says drop by no-raw");
    assert_test(fixture, "target.type: hpfs, path: x", "verdict: keep",
                "test \"t\" fails: it expects keep, and the policy says deny by cap "
                "(dataset.type)");
    assert_test(fixture, "dataset.type: RAW, target.type: hpfs, total_bytes: 1 GiB",
                "verdict: keep",
                "test \"t\" fails: it expects keep, and the policy says deny by cap (limit)");
    assert_non_null(strstr(fixture->error.message, "the policy set has a problem"));
}

static void test_policies_are_tested_without_a_delivery(void **state)
{
    struct plan_fixture *fixture = *state;
    struct dray_error error = {0};
    json_t *answer = NULL;

    assert_test(fixture, CASE "user.role: user, path: a.nc", "verdict: drop, rule: no-raw",
                "test \"t\" fails: it expects drop by no-raw, and the policy says keep");
    dray_diagnostics_free(&fixture->diagnostics);
    assert_int_equal(dray_policy_test(&fixture->request, &fixture->diagnostics, &answer, &error),
                     DRAY_INVALID);
    const json_t *test = json_array_get(json_object_get(json_array_get(answer, 0), "tests"), 0);
    assert_true(json_is_false(json_object_get(test, "passed")));
    assert_string_equal(json_string_value(json_object_get(test, "expected")), "drop by no-raw");
    assert_string_equal(json_string_value(json_object_get(test, "seen")), "keep");
    json_decref(answer);
}

/* ---- explanations */

static const json_t *rule_of(const json_t *answer, const char *id)
{
    size_t i;
    json_t *rule;

    json_array_foreach(json_object_get(answer, "rules"), i,
                       rule) if (strcmp(json_string_value(json_object_get(rule, "rule")), id) ==
                                 0) return rule;
    fail_msg("no rule %s", id);
    return NULL;
}

static void assert_text(const json_t *object, const char *key, const char *expected)
{
    const char *seen = json_string_value(json_object_get(object, key));

    if (!seen || strcmp(seen, expected) != 0)
        fail_msg("%s is %s, not %s", key, seen ? seen : "not there", expected);
}

static int explain(struct plan_fixture *fixture, json_t *facts, const char *path,
                   int64_t total_bytes, json_t **ret_answer)
{
    const struct dray_policy_case of = {.facts = facts,
                                        .path = path,
                                        .size = path ? 7 : 0,
                                        .total_bytes = total_bytes,
                                        .entries = -1};

    return dray_policy_explain(&fixture->request, &of, &fixture->diagnostics, ret_answer,
                               &fixture->error);
}

static void test_every_rule_is_explained(void **state)
{
    struct plan_fixture *fixture = *state;
    json_t *facts = json_pack("{s:s, s:s, s:s, s:s, s:s}", "dataset.name", "data", "dataset.type",
                              "T", "target.type", "cloud", "user.role", "user", "user.name", "b");
    json_t *answer = NULL;

    fixture_policy(fixture, "p", RULES "  []\n");
    fixture->request.now = LAST_SECOND * SECOND;
    assert_int_equal(explain(fixture, facts, "raw/x", -1, &answer), 0);
    assert_text(answer, "verdict", "keep"); /* the rule only watches */
    assert_text(rule_of(answer, "no-raw"), "bearing", "holds");
    assert_text(rule_of(answer, "no-raw"), "verdict", "drop");
    assert_text(rule_of(answer, "no-raw"), "by", "filter/glob exclude[1] \"raw/\"");
    assert_text(rule_of(answer, "hosts"), "bearing", "not-about");
    assert_text(rule_of(answer, "cap"), "why", "dataset.type is T, not RAW");
    assert_int_equal(json_integer_value(json_object_get(rule_of(answer, "cap"), "line")), 13);
    json_decref(answer);
    assert_int_equal(json_object_set_new(facts, "user.name", json_string("asmith")), 0);
    assert_int_equal(json_object_set_new(facts, "dataset.tags", json_pack("[s]", "human")), 0);
    assert_int_equal(explain(fixture, facts, NULL, -1, &answer), 0);
    assert_text(answer, "verdict", "deny");
    assert_text(answer, "rule", "hosts");
    assert_text(rule_of(answer, "no-raw"), "bearing", "excepted");
    assert_text(rule_of(answer, "hosts"), "bearing", "denies");
    json_decref(answer);
    /* a limit, of a rule that holds */
    assert_int_equal(json_object_set_new(facts, "dataset.type", json_string("RAW")), 0);
    assert_int_equal(json_object_set_new(facts, "target.type", json_string("hpfs")), 0);
    assert_int_equal(explain(fixture, facts, NULL, 2048, &answer), 0);
    assert_text(answer, "verdict", "keep");
    json_decref(answer);
    assert_int_equal(explain(fixture, facts, NULL, 2049, &answer), 0);
    assert_text(answer, "verdict", "deny");
    assert_text(answer, "rule", "cap");
    assert_text(rule_of(answer, "cap"), "why", "the limit is exceeded");
    json_decref(answer);
    json_decref(facts);
}

/* Filters are asked about the path of the case and of every test, and each gets its own answer. */
static void test_explained_beside_tests(void **state)
{
    struct plan_fixture *fixture = *state;
    json_t *facts = json_pack("{s:s, s:s, s:s, s:s}", "dataset.name", "data", "dataset.type", "T",
                              "target.type", "cloud", "user.role", "user");
    json_t *answer = NULL;

    fixture_policy(fixture, "p",
                   RULES "  - { name: a, given: { " CASE "user.role: user, path: a.nc }, "
                         "expect: { verdict: keep } }\n"
                         "  - { name: b, given: { " CASE "user.role: user, path: a.bcl }, "
                         "expect: { verdict: drop, rule: no-raw } }\n"
                         "  - { name: c, given: { " CASE "user.role: user, path: raw/x }, "
                         "expect: { verdict: drop, rule: no-raw } }\n");
    if (explain(fixture, facts, "y.bcl", -1, &answer) != 0)
        fail_msg("%s", fixture->diagnostics.items[0].message);
    assert_text(rule_of(answer, "no-raw"), "by", "filter/glob exclude[0] \"*.bcl\"");
    json_decref(answer);
    assert_int_equal(explain(fixture, facts, "y.nc", -1, &answer), 0);
    assert_null(json_object_get(rule_of(answer, "no-raw"), "verdict"));
    json_decref(answer);
    json_decref(facts);
}

static void test_facts_of_a_command_line(void **state)
{
    json_t *facts = json_object();
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_facts_set(facts, "dataset.tags=a=b", &error), 0);
    assert_int_equal(dray_facts_set(facts, "dataset.tags=c", &error), 0);
    assert_int_equal(dray_facts_set(facts, "dataset.labels.x=y", &error), 0);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(facts, "dataset.tags"), 0)), "a=b");
    assert_int_equal(json_array_size(json_object_get(facts, "dataset.tags")), 2);
    assert_int_equal(dray_facts_set(facts, "dataset.tag=x", &error), DRAY_INVALID);
    assert_int_equal(dray_facts_set(facts, "dataset.tags", &error), DRAY_INVALID);
    assert_int_equal(dray_facts_set(facts, "user.role=king", &error), DRAY_INVALID);
    assert_string_equal(error.message, "\"king\" is no value of user.role: there is no such value");
    json_decref(facts);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_not_allowed_is_denied),
        TEST(test_a_watched_allowance_is_recorded_and_only_warn_tells),
        TEST(test_a_target_without_the_fact_is_not_allowed),
        TEST(test_what_is_not_known_of_one_dataset_is_denied),
        TEST(test_a_denial_names_the_dataset_that_decided),
        TEST(test_an_exception_holds_to_the_end_of_its_day),
        TEST(test_an_exception_is_for_whom_it_names),
        TEST(test_an_exception_is_from_a_rule_of_its_own_file),
        TEST(test_an_exception_answers_what_is_not_known),
        TEST(test_a_policy_is_judged_by_its_tests),
        TEST(test_a_failing_test_stops_every_delivery),
        TEST(test_policies_are_tested_without_a_delivery),
        TEST(test_every_rule_is_explained),
        TEST(test_explained_beside_tests),
        TEST(test_facts_of_a_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
