/* SPDX-License-Identifier: MIT */
/* The policies once more, after a plan was made: what lets it pass, what stops it, and when the set
 * of the plan stays in force. And what a rule says of several datasets at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"

static const char workflow[] =
    "version: 1\ndataset: ./data\nsteps:\n"
    "  - { id: pick, uses: filter/glob, with: { include: [\"*.nc\"] } }\n"
    "  - { id: lab, uses: push/hpfs, with: { path: /hpfs/x } }\n"
    "  - { id: up, uses: push/cloud, with: { url: \"s3://h/p\" } }\n";

#define DROP(MODE, WHAT)                                                                           \
    "rules:\n  - { id: r, mode: " MODE ", inject: [{ uses: filter/glob, with: { exclude: [" WHAT   \
    "] } }] }\n"
#define LIMIT(MODE, WHAT) "rules:\n  - { id: r, mode: " MODE ", limit: { " WHAT " } }\n"
#define ALLOW(MODE, WHAT)                                                                          \
    "rules:\n  - { id: r, mode: " MODE ", when: { target.type: cloud }, allow: { " WHAT " } }\n"
#define NOTHING    "rules: []\n"
#define UNTIL(DAY) "exceptions:\n  - { rule: r, user: asmith, until: " DAY ", reason: RC-88 }\n"

/* 2026-05-28T20:26:40Z */
#define NOW (INT64_C(1780000000) * 1000000000)

/* The plan as a job keeps it, under the policies of now. */
static int recheck(struct plan_fixture *fixture, char **ret_kept, struct dray_error *error)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *kept = NULL;
    json_t *json = dray_plan_json(fixture->plan);
    struct dray_plan_request request = fixture->request;

    assert_int_equal(dray_plan_parse(json, &kept, error), 0);
    json_decref(json);
    /* only policies, plugins and the clock are looked at */
    request.user = request.actor = request.role = NULL;
    request.workflow_text = NULL;
    return dray_plan_recheck(kept, NULL, &request, ret_kept, error);
}

/* NULL: it passes, and nothing is wrong with the set. */
static void check(struct plan_fixture *fixture, const char *what, const char *denied)
{
    dray_autofree char *kept = NULL;
    struct dray_error error = {0};
    int result = recheck(fixture, &kept, &error);

    if (kept)
        fail_msg("%s: the set is not used: %s", what, kept);
    if (result != (denied ? DRAY_DENIED : 0) || result != error.class_)
        fail_msg("%s: result %d: %s", what, result, error.message);
    if (denied && !strstr(error.message, denied))
        fail_msg("%s: \"%s\" does not say \"%s\"", what, error.message, denied);
    if (denied && (!strstr(error.where, "p.yaml:") || error.hint[0] == '\0'))
        fail_msg("%s: at %s, hint %s", what, error.where, error.hint);
}

static void test_what_asks_for_no_more_passes_and_the_rest_is_denied(void **state)
{
    static const struct {
        const char *what, *then, *now, *denied;
    } cases[] = {
        {"the same set", DROP("enforce", "raw/"), DROP("enforce", "raw/"), NULL},
        {"no set at all", NOTHING, NOTHING, NULL},
        {"a rule more", NOTHING, DROP("enforce", "raw/"),
         "policy p, rule r now puts filter/glob before push lab"},
        {"a rule more that only watches", NOTHING, DROP("audit", "raw/"), "before push lab"},
        {"a rule less", DROP("enforce", "raw/"), NOTHING, NULL},
        {"other options", DROP("enforce", "raw/"), DROP("enforce", "raw/, tmp/"),
         "before push lab"},
        {"fewer options", DROP("enforce", "raw/, tmp/"), DROP("enforce", "raw/"),
         "before push lab"},
        {"a stricter mode", DROP("warn", "raw/"), DROP("enforce", "raw/"), "before push lab"},
        {"from audit to warn", DROP("audit", "raw/"), DROP("warn", "raw/"), "before push lab"},
        {"a laxer mode", DROP("enforce", "raw/"), DROP("audit", "raw/"), NULL},
        {"a limit", NOTHING, LIMIT("enforce", "entries: 9"),
         "policy p, rule r now puts another limit before push lab"},
        {"a lower limit", LIMIT("enforce", "entries: 9"), LIMIT("enforce", "entries: 8"),
         "another limit"},
        {"a higher limit", LIMIT("enforce", "entries: 8"), LIMIT("enforce", "entries: 9"), NULL},
        {"one of two limits", LIMIT("enforce", "entries: 8, total_bytes: 1 GB"),
         LIMIT("enforce", "total_bytes: 2 GB"), NULL},
        {"one limit more", LIMIT("enforce", "entries: 8"),
         LIMIT("enforce", "entries: 9, total_bytes: 1 GB"), "another limit"},
        {"a higher limit, enforced", LIMIT("warn", "entries: 8"), LIMIT("enforce", "entries: 9"),
         "another limit"},
        {"what is allowed", ALLOW("enforce", "target.host: h"),
         ALLOW("enforce", "target.host: [h, i]"), NULL},
        {"what is no longer allowed", ALLOW("enforce", "target.host: h"),
         ALLOW("enforce", "target.host: i"),
         "rule p/r does not allow the target of \"up\": target.host is h, not i"},
        {"what is warned of", ALLOW("enforce", "target.host: h"), ALLOW("warn", "target.host: i"),
         NULL},
        {"what is enforced by now", ALLOW("warn", "target.host: i"),
         ALLOW("enforce", "target.host: i"), "does not allow"},
        {"what nobody knows", NOTHING, ALLOW("audit", "dataset.type: x"),
         "asks for dataset.type, which is not known of dataset \"data\""},
        {"an exception that still holds", DROP("enforce", "raw/") UNTIL("2026-05-29"),
         DROP("enforce", "raw/") UNTIL("2026-05-28"), NULL},
        {"an exception that was taken away", DROP("enforce", "raw/") UNTIL("2026-05-28"),
         DROP("enforce", "raw/") UNTIL("2026-05-27"), "before push lab"},
        {"an exception more", DROP("enforce", "raw/"), DROP("enforce", "raw/") UNTIL("2026-05-28"),
         NULL},
    };
    struct plan_fixture *fixture = *state;

    fixture->request.now = NOW;
    for (size_t i = 0; i < DRAY_COUNT(cases); i++) {
        fixture_policy(fixture, "p", cases[i].then);
        fixture_plan(fixture, workflow);
        if (fixture->result != 0)
            fail_msg("%s: %s", cases[i].what, fixture->error.message);
        fixture_policy(fixture, "p", cases[i].now);
        check(fixture, cases[i].what, cases[i].denied);
    }
}

static void test_an_exception_ends_with_its_day_whatever_the_plan_was_made_with(void **state)
{
    struct plan_fixture *fixture = *state;
    const int64_t day = INT64_C(86400) * 1000000000;

    fixture->request.now = NOW;
    fixture_policy(fixture, "p", DROP("enforce", "raw/") UNTIL("2026-05-28"));
    fixture_plan_good(fixture, workflow);
    fixture->request.now = (NOW / day + 1) * day - 1;
    check(fixture, "the last moment", NULL);
    fixture->request.now++;
    check(fixture, "the next day", "policy p, rule r now puts filter/glob before push lab");
}

static void test_what_did_not_change_is_not_asked_about_again(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p", DROP("enforce", "raw/"));
    fixture_plan_good(fixture, workflow);
    size_t before = fixture->askings;
    check(fixture, "the same", NULL);
    assert_int_equal(fixture->askings, before);
    fixture_policy(fixture, "p", DROP("enforce", "\"raw/\""));
    check(fixture, "the same in other words", NULL);
    assert_int_equal(fixture->askings, before + 1);
}

/* The set of the plan stays in force, and why is said. */
static void keeps(struct plan_fixture *fixture, const char *why)
{
    dray_autofree char *kept = NULL;
    struct dray_error error = {0};

    if (recheck(fixture, &kept, &error) != 0)
        fail_msg("%s: %s", why, error.message);
    if (!kept || !strstr(kept, why))
        fail_msg("\"%s\" does not say \"%s\"", kept ? kept : "(nothing)", why);
}

static void test_a_set_with_a_problem_is_not_in_force(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p", DROP("enforce", "raw/"));
    fixture_plan_good(fixture, workflow);
    fixture_write(fixture, "policies/p.yaml", "version: 1\npoli");
    keeps(fixture, "p.yaml");
    fixture_policy(fixture, "p", DROP("enforce", "a**"));
    keeps(fixture, "whole segment");
    fixture_policy(fixture, "p",
                   DROP("enforce", "raw/") "tests:\n  - { name: t, given: { path: raw/a }, "
                                           "expect: { verdict: keep } }\n");
    keeps(fixture, "test \"t\" fails");
    fixture_policy(fixture, "p", DROP("enforce", "raw/"));
    fixture_write(fixture, "policies/q.yml", "version: 1\npolicy: q\nrevision: 1\nrules: []\n");
    keeps(fixture, "ends in .yaml");
    assert_int_equal(unlink(fixture->policies), -1);
    dray_autofree char *away = dray_format("%s/away", fixture->directory);
    assert_int_equal(rename(fixture->policies, away), 0);
    keeps(fixture, "reading the policies of");
    assert_int_equal(rename(away, fixture->policies), 0);
}

static int highest(void *arg, const char *directory, const char *policy,
                   struct dray_policy_ruled *ret_ruled, struct dray_error *error)
{
    (void)arg;
    (void)directory;
    (void)policy;
    (void)error;
    *ret_ruled = (struct dray_policy_ruled){.revision = 8, .digest = "x"};
    return 1;
}

static void test_a_set_that_is_not_its_owners_is_not_in_force(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL;
    dray_autofree char *path = dray_format("%s/key", fixture->directory);
    struct dray_asker asker = {stand_ins_answer, NULL};
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    size_t count = 0;

    fixture_policy(fixture, "p", DROP("enforce", "raw/"));
    assert_int_equal(dray_key_make(path, &key, &error), 0);
    assert_int_equal(
        dray_policy_sign(fixture->policies, key, NULL, &asker, &diagnostics, &count, &error), 0);
    fixture->request.policy_key = key;
    fixture_plan_good(fixture, workflow);
    check(fixture, "the signed set", NULL);
    fixture_policy(fixture, "p", NOTHING);
    keeps(fixture, "p.yaml");
    /* signed, and stricter */
    fixture_policy(fixture, "p", DROP("enforce", "raw/, tmp/"));
    assert_int_equal(
        dray_policy_sign(fixture->policies, key, NULL, &asker, &diagnostics, &count, &error), 0);
    check(fixture, "the next signed set", "before push lab");
    /* older than what ruled meanwhile */
    fixture->request.policy_history = (struct dray_policy_history){highest, NULL};
    keeps(fixture, "revision 8 has ruled");
    dray_diagnostics_free(&diagnostics);
}

/* ---- Several datasets ---- */

#define TWO                                                                                        \
    "version: 1\ndataset: ./data\nsteps:\n"                                                        \
    "  - { id: a, uses: source/directory, with: { path: ./data } }\n"                              \
    "  - { id: b, uses: source/directory, with: { path: ./other } }\n"                             \
    "  - { id: up, uses: push/cloud, needs: [a, b], with: { url: \"s3://h/p\" } }\n"

static void denied(struct plan_fixture *fixture, const char *rule, const char *said)
{
    fixture_policy(fixture, "p", rule);
    fixture_plan(fixture, TWO);
    if (fixture->result != DRAY_DENIED || !strstr(fixture->error.message, said))
        fail_msg("%s: %s, not \"%s\"", dray_class_name(fixture->result), fixture->error.message,
                 said);
}

/* What a rule allows must be so of everything that is read, and be known of everything. */
static void test_no_dataset_hides_behind_another_that_is_allowed(void **state)
{
    struct plan_fixture *fixture = *state;

    denied(fixture, "rules:\n  - { id: r, mode: enforce, allow: { dataset.name: data } }\n",
           "dataset.name is other, not data");
    denied(fixture,
           "rules:\n  - { id: r, mode: enforce, allow: { not: { dataset.name: other, "
           "dataset.type: x } } }\n",
           "asks for dataset.type, which is not known of dataset \"other\"");
    /* not even where the rule only watches: what is not known is never let pass */
    denied(fixture,
           "rules:\n  - { id: r, mode: audit, allow: { dataset.name: other, dataset.type: x } }\n",
           "asks for dataset.type, which is not known of dataset \"other\"");
    denied(fixture,
           "rules:\n  - { id: r, mode: enforce, when: { not: { dataset.name: other, dataset.type: "
           "x } }, allow: { dataset.name: data } }\n",
           "asks for dataset.type, which is not known of dataset \"other\"");
}

static void test_a_rule_that_holds_for_one_dataset_holds_whatever_is_known_of_another(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n  - { id: r, mode: enforce, when: { not: { dataset.name: other, "
                   "dataset.type: x } }, limit: { entries: 5 } }\n");
    fixture_plan_good(fixture, TWO);
    (void)fixture_step(fixture, "p/r@up");
}

static void test_an_exception_for_one_dataset_is_none_for_another(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture->request.now = NOW;
    fixture_policy(fixture, "p",
                   DROP("enforce", "raw/") "exceptions:\n  - { rule: r, dataset: data, until: "
                                           "2026-05-28, reason: x }\n");
    fixture_plan_good(fixture, TWO);
    (void)fixture_step(fixture, "p/r");
    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture_order(fixture), "stage validate pick lab up");
    assert_int_equal(json_array_size(fixture->plan->findings), 2);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_asks_for_no_more_passes_and_the_rest_is_denied),
        TEST(test_an_exception_ends_with_its_day_whatever_the_plan_was_made_with),
        TEST(test_what_did_not_change_is_not_asked_about_again),
        TEST(test_a_set_with_a_problem_is_not_in_force),
        TEST(test_a_set_that_is_not_its_owners_is_not_in_force),
        TEST(test_no_dataset_hides_behind_another_that_is_allowed),
        TEST(test_a_rule_that_holds_for_one_dataset_holds_whatever_is_known_of_another),
        TEST(test_an_exception_for_one_dataset_is_none_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
