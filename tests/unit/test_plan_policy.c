/* SPDX-License-Identifier: MIT */
/* Policies in a plan: which rules match which target, where their steps stand, and what stops a
 * delivery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"

#define HEAD     "version: 1\ndataset: ./data\nsteps:\n"
#define PICK     "  - { id: pick, uses: filter/glob, with: { include: [x] } }\n"
#define HPFS(ID) "  - { id: " ID ", uses: push/hpfs, with: { into: ./" ID " } }\n"
#define CLOUD(ID)                                                                                  \
    "  - { id: " ID ", uses: push/cloud, with: { url: \"s3://" ID ".example.edu/bucket/\" } }\n"

#define DROP(ID, WHEN)                                                                             \
    "  - id: " ID "\n    mode: enforce\n" WHEN                                                     \
    "    inject: [{ uses: filter/glob, with: { exclude: [" ID "] } }]\n"

static void test_injected_steps_stand_before_the_users_own(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "b-second", "rules:\n" DROP("r", ""));
    fixture_policy(fixture, "a-first",
                   "rules:\n"
                   "  - id: many\n    mode: enforce\n    message: Ask first.\n    inject:\n"
                   "      - { uses: filter/glob, with: { exclude: [one] } }\n"
                   "      - { uses: transform/mask, with: { columns: [two] } }\n" DROP("last", ""));
    fixture_plan_good(fixture, HEAD PICK HPFS("out"));
    assert_string_equal(fixture_order(fixture), "stage validate a-first/many a-first/many/2 "
                                                "a-first/last b-second/r pick out");
    assert_string_equal(fixture_needs(fixture, "a-first/many"), "validate");
    assert_string_equal(fixture_needs(fixture, "a-first/many/2"), "a-first/many");
    assert_string_equal(fixture_needs(fixture, "b-second/r"), "a-first/last");
    assert_string_equal(fixture_needs(fixture, "pick"), "b-second/r");

    const struct dray_step *step = fixture_step(fixture, "a-first/many/2");
    dray_autofree char *file = dray_format("%s/a-first.yaml", fixture->policies);
    assert_string_equal(step->origin.file, file);
    assert_int_equal(step->origin.line, 10);
    assert_string_equal(step->origin.policy, "a-first");
    assert_string_equal(step->origin.rule, "many");
    assert_string_equal(step->origin.message, "Ask first.");
    assert_int_equal(step->mode, DRAY_MODE_ENFORCE);

    assert_int_equal(fixture->plan->policy_count, 2);
    assert_string_equal(fixture->plan->policies[0].policy, "a-first");
    assert_int_equal(fixture->plan->policies[0].revision, 7);
    assert_int_equal(strlen(fixture->plan->policies[0].digest), 64);
    assert_int_equal(strlen(fixture->plan->policy_set_digest), 64);
}

static void test_targets_with_other_rules_get_their_own_chain(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n" DROP("all", "") DROP("cloud", "    when: { target.type: cloud }\n"));
    fixture_plan_good(fixture, HEAD PICK HPFS("a") HPFS("b") CLOUD("c") CLOUD("d"));
    assert_string_equal(fixture_order(fixture),
                        "stage validate p/all p/all@c p/cloud@c pick pick@c a b c d");
    assert_string_equal(fixture_needs(fixture, "a"), "pick");
    assert_string_equal(fixture_needs(fixture, "b"), "pick");
    assert_string_equal(fixture_needs(fixture, "pick"), "p/all");
    assert_string_equal(fixture_needs(fixture, "c"), "pick@c");
    assert_string_equal(fixture_needs(fixture, "d"), "pick@c");
    assert_string_equal(fixture_needs(fixture, "pick@c"), "p/cloud@c");
    assert_string_equal(fixture_needs(fixture, "p/cloud@c"), "p/all@c");
    assert_string_equal(fixture_needs(fixture, "p/all@c"), "validate");

    /* a target without any rule keeps the plain chain */
    fixture_policy(fixture, "p", "rules:\n" DROP("cloud", "    when: { target.type: cloud }\n"));
    fixture_plan_good(fixture, HEAD PICK CLOUD("c") HPFS("a"));
    assert_string_equal(fixture_order(fixture), "stage validate p/cloud pick pick@a c a");
    assert_string_equal(fixture_needs(fixture, "pick@a"), "validate");
    assert_string_equal(fixture_needs(fixture, "pick"), "p/cloud");
}

static void test_every_source_gets_what_is_injected(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n" DROP("r", "") DROP("cloud", "    when: { target.type: cloud }\n"));
    fixture_plan_good(
        fixture,
        HEAD "  - { id: one, uses: source/directory, with: { path: ./data } }\n"
             "  - { id: two, uses: source/directory, with: { path: ./other } }\n"
             "  - { id: out, uses: push/hpfs, needs: [one, two], with: { into: ./out } }\n"
             "  - { id: up, uses: push/cloud, needs: [two, one], with: { url: \"s3://h/\" } }\n");
    assert_string_equal(fixture_needs(fixture, "p/r"), "validate");
    assert_string_equal(fixture_needs(fixture, "p/r@validate-2"), "validate-2");
    assert_string_equal(fixture_needs(fixture, "out"), "p/r p/r@validate-2");
    assert_string_equal(fixture_needs(fixture, "up"), "p/cloud@up p/cloud@validate-2@up");
}

static void test_limits_are_guards_before_each_push(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n"
                   "  - { id: cap, mode: warn, limit: { total_bytes: 2 KiB, entries: 3 } }\n"
                   "  - id: both\n    mode: enforce\n    when: { target.type: cloud }\n"
                   "    inject: [{ uses: filter/size }]\n    limit: { entries: 1 }\n");
    fixture_plan_good(fixture, HEAD
                      "  - { id: l, uses: filter/glob, needs: [stage] }\n"
                      "  - { id: r, uses: filter/glob, needs: [stage] }\n"
                      "  - { id: out, uses: push/hpfs, needs: [l, r], with: { into: ./out } }\n"
                      "  - { id: up, uses: push/cloud, needs: [l], with: { url: \"s3://h/\" } }\n");
    assert_string_equal(fixture_needs(fixture, "out"), "p/cap@out");
    assert_string_equal(fixture_needs(fixture, "p/cap@out"), "l r");
    assert_string_equal(fixture_needs(fixture, "up"), "p/both/2@up");
    assert_string_equal(fixture_needs(fixture, "p/both/2@up"), "p/cap@up");
    assert_string_equal(fixture_needs(fixture, "p/cap@up"), "l@up");
    assert_string_equal(fixture_needs(fixture, "l@up"), "p/both");

    const struct dray_step *guard = fixture_step(fixture, "p/cap@out");
    assert_int_equal(guard->role, DRAY_STEP_GUARD);
    assert_int_equal(guard->mode, DRAY_MODE_WARN);
    assert_string_equal(guard->uses, "guard");
    assert_int_equal(json_integer_value(json_object_get(guard->with, "total_bytes")), 2048);
    assert_int_equal(json_integer_value(json_object_get(guard->with, "entries")), 3);
    assert_string_equal(guard->origin.rule, "cap");
    assert_int_equal(guard->retry.tries, 3);
}

static void test_a_limit_alone_splits_nothing(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n  - { id: cap, mode: enforce, when: { target.type: cloud }, limit: { "
                   "entries: 1 } }\n");
    fixture_plan_good(fixture, HEAD PICK HPFS("a") CLOUD("c"));
    assert_string_equal(fixture_order(fixture), "stage validate pick a p/cap@c c");
}

static void test_watched_filters_are_shadows(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n"
                   "  - { id: a, mode: audit, inject: [{ uses: filter/size }] }\n"
                   "  - { id: w, mode: warn, inject: [{ uses: filter/size }] }\n");
    fixture_plan_good(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture_step(fixture, "p/a")->mode, DRAY_MODE_AUDIT);
    assert_int_equal(fixture_step(fixture, "p/w")->mode, DRAY_MODE_WARN);
}

/* Does a rule with this `when` match a push to cloud host lab.example.edu, by operator asmith for
 * carol? */
static int matches(struct plan_fixture *fixture, const char *when)
{
    dray_autofree char *body = dray_format(
        "rules:\n  - id: r\n    mode: enforce\n    limit: { entries: 1 }\n    when: %s\n", when);

    fixture_policy(fixture, "p", body);
    fixture->request.user = "carol";
    fixture->request.actor = "asmith";
    fixture->request.role = "operator";
    fixture_plan_good(fixture, HEAD CLOUD("lab"));
    return fixture->plan->step_count == 4;
}

static void test_conditions_are_and_or_not(void **state)
{
    static const struct {
        const char *when;
        int matches;
    } table[] = {
        {"{ target.type: cloud }", 1},
        {"{ target.type: [hpfs, cloud] }", 1},
        {"{ target.type: hpfs }", 0},
        {"{ target.type: cloud, user.name: carol }", 1},
        {"{ target.type: cloud, user.name: asmith }", 0},
        {"{ actor.name: asmith }", 1},
        {"{ user.name: Carol }", 0},
        {"{ user.role: operator }", 1},
        {"{ user.role: [user, admin] }", 0},
        {"{ dataset.name: data }", 1},
        {"{ target.plugin: cloud }", 1},
        {"{ target.plugin: hpfs }", 0},
        {"{ target.host: lab.example.edu }", 1},
        {"{ target.host: \"*.example.edu\" }", 1},
        {"{ target.host: \"*.example\" }", 0},
        {"{ target.host: \"l*b.*.*du\" }", 1},
        {"{ target.host: \"*\" }", 1},
        {"{ target.path: \"/buck*\" }", 1},
        {"{ target.path: \"/buck\" }", 0},
        {"{ target.uri: \"s3://*/bucket/\" }", 1},
        {"{ not: { target.type: hpfs } }", 1},
        {"{ not: { target.type: cloud } }", 0},
        {"{ not: { target.type: cloud, user.role: user } }", 1},
        {"{ target.type: cloud, not: { not: { user.name: carol } } }", 1},
        {"{ dataset.type?: RAW_DATA }", 0},
        {"{ not: { dataset.tags?: human } }", 1},
        {"{ dataset.labels.project?: x, target.type: cloud }", 0},
        /* whatever the dataset's type is, this is for other targets */
        {"{ dataset.type: RAW_DATA, target.type: hpfs }", 0},
        {"{ target.type: hpfs, not: { dataset.owner: me } }", 0},
    };
    struct plan_fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(table); i++)
        if (matches(fixture, table[i].when) != table[i].matches)
            fail_msg("when: %s", table[i].when);
}

/* Else a workflow would deliver a dataset under the name of another. */
static void test_a_rule_holds_for_the_name_of_all_that_is_read(void **state)
{
    static const char workflow[] =
        HEAD "  - { id: one, uses: source/directory, with: { path: ./data/ } }\n"
             "  - { id: two, uses: source/directory, with: { path: ./policies/../other } }\n"
             "  - { id: out, uses: push/hpfs, needs: [one, two], with: { into: ./out } }\n";
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p", "rules:\n" DROP("r", "    when: { dataset.name: other }\n"));
    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture_needs(fixture, "out"), "p/r p/r@validate-2");
    fixture_policy(fixture, "p",
                   "rules:\n" DROP("r", "    when: { not: { dataset.name: data } }\n"));
    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture_needs(fixture, "out"), "p/r p/r@validate-2");
    fixture_policy(fixture, "p", "rules:\n" DROP("r", "    when: { dataset.name: third }\n"));
    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture_needs(fixture, "out"), "validate validate-2");
}

static void test_a_target_without_a_host_matches_no_host(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(
        fixture, "p",
        "rules:\n  - { id: a, mode: enforce, when: { target.host: \"*\" }, limit: { entries: 1 } "
        "}\n"
        "  - { id: b, mode: enforce, when: { not: { target.host: x } }, limit: { entries: 1 } }\n");
    fixture_plan_good(fixture, HEAD HPFS("out"));
    assert_string_equal(fixture_order(fixture), "stage validate p/b@out out");
}

static void assert_denied(struct plan_fixture *fixture, const char *when, const char *fact,
                          unsigned column)
{
    dray_autofree char *body = dray_format(
        "rules:\n  - id: r\n    mode: audit\n    limit: { entries: 1 }\n    when: %s\n", when);
    dray_autofree char *message = dray_format(
        "rule p/r asks for %s, which is not known of dataset \"data\", so it is not delivered",
        fact);
    dray_autofree char *hint = dray_format("writes `%s?:`", fact);
    dray_autofree char *where = dray_format("%s/p.yaml:8:%u", fixture->policies, column);

    fixture_policy(fixture, "p", body);
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_string_equal(fixture->error.message, message);
    assert_non_null(strstr(fixture->error.hint, hint));
    assert_string_equal(fixture->error.where, where);
}

static void test_what_is_not_known_of_a_dataset_stops_it(void **state)
{
    struct plan_fixture *fixture = *state;

    assert_denied(fixture, "{ dataset.type: RAW_DATA }", "dataset.type", 13);
    assert_denied(fixture, "{ target.type: hpfs, dataset.tags: [a, b] }", "dataset.tags", 32);
    assert_denied(fixture, "{ not: { dataset.owner: me } }", "dataset.owner", 20);
    assert_denied(fixture, "{ dataset.labels.project: x }", "dataset.labels.project", 13);
    fixture->request.user = NULL;
    assert_denied(fixture, "{ user.name: root }", "user.name", 13);
}

static void test_policies_are_read_in_order_and_once(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_autofree char *more = dray_format("%s/more", fixture->directory);
    dray_autofree char *again = dray_format("%s/../policies/", fixture->policies);
    const char *const directories[] = {fixture->policies, more, again};

    assert_int_equal(mkdir(more, 0700), 0);
    fixture_policy(fixture, "b", "rules: []\n");
    fixture_policy(fixture, "B", "rules: []\n");
    fixture_write(fixture, "policies/B.yaml",
                  "version: 1\npolicy: upper\nrevision: 1\nrules: []\n");
    fixture_write(fixture, "more/a.yaml", "version: 1\npolicy: a\nrevision: 1\nrules: []\n");
    fixture_write(fixture, "more/README", "not a policy");
    fixture_write(fixture, "more/.hidden.yaml", "an editor's");
    fixture_write(fixture, "more/a.yaml~", "an editor's");
    fixture->request.policy_directories = directories;
    fixture->request.policy_directory_count = 3;
    fixture_plan_good(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->plan->policy_count, 3);
    assert_string_equal(fixture->plan->policies[0].policy, "upper");
    assert_string_equal(fixture->plan->policies[1].policy, "b");
    assert_string_equal(fixture->plan->policies[2].policy, "a");

    fixture_write(fixture, "more/z.yaml", "version: 1\npolicy: b\nrevision: 1\nrules: []\n");
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_non_null(strstr(fixture->diagnostics.items[0].message,
                           "two policies are called \"b\": the other is "));
}

static void test_what_cannot_be_read_stops_every_delivery(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_autofree char *file = dray_format("%s/x.yaml", fixture->policies);
    const char *const nowhere[] = {"/nowhere/policies"};

    fixture_write(fixture, "policies/x.yml", "version: 1\npolicy: p\nrevision: 1\nrules: []\n");
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_string_equal(fixture->diagnostics.items[0].message,
                        "the name of a policy's file ends in .yaml");

    fixture_write(fixture, "policies/x.YAML", "version: 1\npolicy: q\nrevision: 1\nrules: []\n");
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_int_equal(fixture->diagnostics.errors, 2);

    assert_int_equal(mkfifo(file, 0600), 0);
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_non_null(strstr(fixture->error.message, "is not a regular file"));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink("gone", file), 0);
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_non_null(strstr(fixture->error.message, "x.yaml: No such file or directory"));

    fixture->request.policy_directories = nowhere;
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_NOT_FOUND);
    fixture->request.first_policy_optional = 1;
    fixture_plan_good(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->plan->policy_count, 0);

    /* a link to nothing says that there should be some */
    dray_autofree char *link = dray_format("%s/link", fixture->directory);
    const char *const dangling[] = {link};
    assert_int_equal(symlink("gone", link), 0);
    fixture->request.policy_directories = dangling;
    fixture_plan(fixture, HEAD HPFS("out"));
    assert_int_equal(fixture->result, DRAY_NOT_FOUND);
}

/* What follows a policy's problem is worth nothing, but what is wrong with the workflow is still
 * said. */
static void test_problems_of_both_files_come_together(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p", "rules: 5\n");
    fixture_plan(fixture, HEAD "  - { id: out, uses: push/hpfs, with: { itno: ./out } }\n");
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_string_equal(fixture->diagnostics.items[0].message, "push/hpfs has no option \"itno\"");
    assert_string_equal(fixture->diagnostics.items[fixture->diagnostics.count - 1].message,
                        "a policy has `rules`, a list, not a number");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_injected_steps_stand_before_the_users_own),
        TEST(test_targets_with_other_rules_get_their_own_chain),
        TEST(test_every_source_gets_what_is_injected),
        TEST(test_limits_are_guards_before_each_push),
        TEST(test_a_limit_alone_splits_nothing),
        TEST(test_watched_filters_are_shadows),
        TEST(test_conditions_are_and_or_not),
        TEST(test_a_rule_holds_for_the_name_of_all_that_is_read),
        TEST(test_a_target_without_a_host_matches_no_host),
        TEST(test_what_is_not_known_of_a_dataset_stops_it),
        TEST(test_policies_are_read_in_order_and_once),
        TEST(test_what_cannot_be_read_stops_every_delivery),
        TEST(test_problems_of_both_files_come_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
