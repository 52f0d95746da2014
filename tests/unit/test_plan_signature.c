/* SPDX-License-Identifier: MIT */
/* Whose policies they are, and whether they are older than what ruled: as the planner sees it, with
 * stand-ins for plugins and for what ruled before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"

static const char workflow[] = "version: 1\ndataset: ./data\nsteps:\n"
                               "  - { id: out, uses: push/hpfs, with: { path: /hpfs/x } }\n";
static const char rules[] = "rules:\n  - { id: r, mode: enforce, limit: { entries: 5 } }\n";

/* A new key, which the fixture's request then asks for. */
static struct dray_key *make_key(struct plan_fixture *fixture, const char *name)
{
    struct dray_error error = {0};
    struct dray_key *key = NULL;
    dray_autofree char *path = dray_format("%s/%s", fixture->directory, name);

    if (dray_key_make(path, &key, &error) != 0)
        fail_msg("%s", error.message);
    fixture->request.policy_key = key;
    return key;
}

static size_t sign(struct plan_fixture *fixture, const struct dray_key *key, int expected)
{
    struct dray_asker asker = {stand_ins_answer, NULL};
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    size_t count = 0;
    int result =
        dray_policy_sign(fixture->policies, key, NULL, &asker, &diagnostics, &count, &error);

    if (result != expected)
        fail_msg("%d: %s", result, error.message);
    assert_int_equal(error.class_, expected);
    dray_diagnostics_free(&diagnostics);
    return count;
}

static void denied(struct plan_fixture *fixture, const char *said)
{
    fixture_plan(fixture, workflow);
    assert_int_equal(fixture->result, DRAY_DENIED);
    if (!strstr(fixture->error.message, said))
        fail_msg("\"%s\" does not say \"%s\"", fixture->error.message, said);
}

static void a_plan_names_the_key_of_a_signed_set(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_key_freep) struct dray_key *key = make_key(fixture, "key");
    dray_cleanup(dray_plan_freep) struct dray_plan *again = NULL;
    struct dray_error error = {0};

    fixture_policy(fixture, "a", rules);
    fixture_policy(fixture, "b", rules);
    assert_int_equal(sign(fixture, key, 0), 2);
    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture->plan->policy_signer, dray_key_id(key));
    assert_string_equal(fixture->plan->policies[1].directory, fixture->policies);
    assert_non_null(strstr(fixture->plan->policies[1].text, "policy: b"));
    json_t *json = dray_plan_json(fixture->plan);
    assert_int_equal(dray_plan_parse(json, &again, &error), 0);
    assert_string_equal(again->policy_signer, dray_key_id(key));
    assert_null(again->policies[1].text);
    (void)json_object_set_new(json, "policy_signer", json_string("short"));
    dray_plan_free(DRAY_TAKE(again));
    assert_int_not_equal(dray_plan_parse(json, &again, &error), 0);
    assert_non_null(strstr(error.message, "policy_signer"));
    json_decref(json);
}

static void each_change_of_a_signed_set_has_its_message(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_key_freep) struct dray_key *key = make_key(fixture, "key");

    denied(fixture, "are not signed: there is no policies.sha256");
    fixture_policy(fixture, "a", rules);
    assert_int_equal(sign(fixture, key, 0), 1);
    fixture_policy(fixture, "b", rules);
    denied(fixture, "b.yaml was added after the set was signed");
    assert_int_equal(sign(fixture, key, 0), 2);
    fixture_policy(fixture, "b", "rules: []\n");
    denied(fixture, "b.yaml was changed after the set was signed");
    dray_autofree char *path = dray_format("%s/b.yaml", fixture->policies);
    assert_int_equal(unlink(path), 0);
    denied(fixture, "b.yaml was removed after the set was signed");
    dray_cleanup(dray_key_freep) struct dray_key *other = make_key(fixture, "second");
    denied(fixture, "is not that of key");
    /* Nobody asks for a key: the files are not looked at. */
    fixture->request.policy_key = NULL;
    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture->plan->policy_signer, "");
    (void)other;
}

static void a_set_with_a_problem_is_not_signed(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_key_freep) struct dray_key *key = make_key(fixture, "key");
    dray_autofree char *list = dray_format("%s/policies.sha256", fixture->policies);

    (void)sign(fixture, key, DRAY_INVALID);
    fixture_policy(fixture, "a", "rules: 3\n");
    (void)sign(fixture, key, DRAY_INVALID);
    assert_int_equal(access(list, F_OK), -1);
}

static void a_directory_that_must_hold_policies_holds_some(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture->request.first_policy_mandatory = 1;
    denied(fixture, "holds no policies, and the configuration says that it must");
    fixture_policy(fixture, "a", rules);
    fixture_plan_good(fixture, workflow);
}

/* ---- what ruled before */

struct past {
    int answer; /* 1: ruled, 0: nothing, or a class */
    struct dray_policy_ruled ruled;
    char asked[256];
};

static int highest(void *arg, const char *directory, const char *policy,
                   struct dray_policy_ruled *ret_ruled, struct dray_error *error)
{
    struct past *past = arg;

    (void)snprintf(past->asked, sizeof(past->asked), "%s %s", directory, policy);
    if (past->answer < 0)
        return dray_fail(error, past->answer, "the store is gone");
    *ret_ruled = past->ruled;
    return past->answer;
}

static void revisions_only_grow(void **state)
{
    struct plan_fixture *fixture = *state;
    struct past past = {.ruled = {.revision = 8, .since = INT64_C(1795132800000000000)}};
    dray_autofree char *asked = dray_format("%s a", fixture->policies);

    memset(past.ruled.digest, 'a', 64);
    fixture->request.policy_history = (struct dray_policy_history){highest, &past};
    fixture_policy(fixture, "a", rules); /* revision 7 */
    fixture_plan_good(fixture, workflow);
    assert_string_equal(past.asked, asked);
    char digest[65];
    memcpy(digest, fixture->plan->policies[0].digest, sizeof(digest));

    past.answer = 1;
    denied(fixture, "the policy set has a problem");
    assert_int_equal(fixture->diagnostics.errors, 1);
    assert_string_equal(fixture->diagnostics.items[0].message,
                        "policy a is at revision 7, and revision 8 has ruled (since 2026-11-20)");
    assert_int_equal(fixture->diagnostics.items[0].place.line, 3);
    assert_int_equal(fixture->diagnostics.items[0].place.column, 11);

    past.ruled.revision = 7;
    denied(fixture, "the policy set has a problem");
    assert_non_null(strstr(fixture->diagnostics.items[0].message,
                           "policy a was changed without raising its revision"));
    memcpy(past.ruled.digest, digest, sizeof(digest));
    fixture_plan_good(fixture, workflow);
    past.ruled.revision = 6;
    memset(past.ruled.digest, 'a', 64);
    fixture_plan_good(fixture, workflow);
}

static void a_past_that_cannot_be_read_is_no_excuse(void **state)
{
    struct plan_fixture *fixture = *state;
    struct past past = {.answer = DRAY_TEMPORARY};

    fixture->request.policy_history = (struct dray_policy_history){highest, &past};
    fixture_policy(fixture, "a", rules);
    fixture_plan(fixture, workflow);
    assert_int_equal(fixture->result, DRAY_TEMPORARY);
    assert_string_equal(fixture->error.message, "the store is gone");
}

static void the_list_of_policies_says_what_is_in_force(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_key_freep) struct dray_key *key = make_key(fixture, "key");
    struct past past = {.answer = 1, .ruled = {.revision = 7, .since = 1}};
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    json_t *set = NULL;

    fixture_policy(fixture, "a",
                   "owner: ops\nrules:\n  - { id: r, mode: enforce, limit: { entries: 5 } }\n"
                   "  - { id: s, mode: audit, limit: { entries: 6 } }\n");
    assert_int_equal(sign(fixture, key, 0), 1);
    fixture_plan_good(fixture, workflow);
    memcpy(past.ruled.digest, fixture->plan->policies[0].digest, sizeof(past.ruled.digest));
    fixture->request.policy_history = (struct dray_policy_history){highest, &past};
    assert_int_equal(dray_policy_set_json(&fixture->request, &diagnostics, &set, &error), 0);
    json_t *expected = json_pack(
        "{s:s, s:s, s:[{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:{s:i, s:i, s:i}, s:[]}]}", "set",
        fixture->plan->policy_set_digest, "signed_by", dray_key_id(key), "policies", "policy", "a",
        "revision", 7, "digest", fixture->plan->policies[0].digest, "file",
        fixture->plan->policies[0].file, "directory", fixture->policies, "owner", "ops",
        "first_ruled", "1970-01-01T00:00:00Z", "rules", "enforce", 1, "warn", 0, "audit", 1,
        "exceptions");
    assert_true(json_equal(set, expected));
    json_decref(set);
    json_decref(expected);
    dray_diagnostics_free(&diagnostics);
}

#define WITH_FIXTURE(TEST) cmocka_unit_test_setup_teardown(TEST, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(a_plan_names_the_key_of_a_signed_set),
        WITH_FIXTURE(each_change_of_a_signed_set_has_its_message),
        WITH_FIXTURE(a_set_with_a_problem_is_not_signed),
        WITH_FIXTURE(a_directory_that_must_hold_policies_holds_some),
        WITH_FIXTURE(revisions_only_grow),
        WITH_FIXTURE(a_past_that_cannot_be_read_is_no_excuse),
        WITH_FIXTURE(the_list_of_policies_says_what_is_in_force),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
