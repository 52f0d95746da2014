/* SPDX-License-Identifier: MIT */
/*
 * policy_test.c - `tests:` of a policy: cases, and what the policy must say of each. They are
 * judged whenever the policy is read, by the very code that plans, and one that fails stops every
 * delivery: a policy that does not do what its author wrote down is not understood.
 *
 * A test is about the rules of its own file, as they would hold if all were enforced, and without
 * exceptions, which end by themselves.
 */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"
#include "core/plan/keys.h"

static const char *const verdict_names[] = {
    [DRAY_EXPECT_KEEP] = "keep",
    [DRAY_EXPECT_DROP] = "drop",
    [DRAY_EXPECT_DENY] = "deny",
};
static const char *const given_keys[] = {"path", "size", "total_bytes", "entries"};

const char *dray_verdict_name(enum dray_expectation verdict)
{
    return verdict_names[verdict];
}

/* ---- reading */

/* A size, or a number of entries where `count`; -1 where there is none, or after a problem. */
static int64_t read_number(struct dray_draft *draft, const struct dray_node *given, const char *key,
                           int count)
{
    const struct dray_node *node = dray_node_get(given, key);
    const char *why = NULL;
    int64_t number = -1;

    if (!node)
        return -1;
    if (count) {
        if (dray_node_int(node, &number) && number >= 0)
            return number;
        dray_problem(draft, node->place, "`%s` is a number of entries, not %s", key,
                     dray_node_shown(node));
    } else if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "`%s` is a size, not %s", key, dray_node_what(node));
    } else if (dray_size_parse(node->text, node->length, &number, &why) != 0) {
        dray_problem(draft, node->place, "`%s` takes a size such as 50 TiB: %s", key, why);
    } else if (number == DRAY_NONE) {
        dray_problem(draft, node->place, "`%s` takes a size, not \"%s\"", key, node->text);
    } else {
        return number;
    }
    return -1;
}

int dray_is_entry(const char *path)
{
    for (const char *segment = path;;) {
        size_t length = strcspn(segment, "/");
        if (length == 0 || (length == 1 && segment[0] == '.') ||
            (length == 2 && segment[0] == '.' && segment[1] == '.'))
            return 0;
        if (segment[length] == '\0' || segment[length + 1] == '\0')
            return 1;
        segment += length + 1;
    }
}

static void read_path(struct dray_draft *draft, struct dray_policy_test *test,
                      const struct dray_node *node)
{
    if (!node)
        return;
    if (node->kind != DRAY_NODE_SCALAR || node->length == 0) {
        dray_problem(draft, node->place, "`path` is a path in a dataset, not %s",
                     node->kind == DRAY_NODE_SCALAR ? "an empty text" : dray_node_what(node));
        return;
    }
    if (!dray_is_entry(node->text)) {
        dray_problem(draft, node->place, "\"%s\" is no path in a dataset", node->text);
        dray_diagnose_hint(draft->diagnostics,
                           "it starts at the dataset's root, without `/`, `.` and `..`");
    } else {
        test->path = node->text;
    }
}

static int read_given(struct dray_draft *draft, struct dray_policy_test *test,
                      const struct dray_node *node)
{
    test->facts = json_object();
    test->total_bytes = test->entries = -1;
    if (!test->facts)
        return dray_fail_memory(draft->error);
    if (!node || node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node ? node->place : test->place,
                     "a test has `given`, a mapping of facts%s%s", node ? ", not " : "",
                     node ? dray_node_what(node) : "");
        return 0;
    }
    read_path(draft, test, dray_node_get(node, "path"));
    int64_t size = read_number(draft, node, "size", 0);
    if (size >= 0 && !dray_node_get(node, "path")) {
        dray_problem(draft, dray_node_get(node, "size")->place,
                     "`size` is that of the `path`, and there is none");
        dray_diagnose_hint(draft->diagnostics, "that of a whole delivery is `total_bytes`");
    }
    test->size = size < 0 ? 0 : size;
    test->total_bytes = read_number(draft, node, "total_bytes", 0);
    test->entries = read_number(draft, node, "entries", 1);
    return dray_facts_read(draft, node, given_keys, DRAY_COUNT(given_keys), test->facts);
}

static void read_rule(struct dray_draft *draft, const struct dray_policy *policy,
                      struct dray_policy_test *test, const struct dray_node *node)
{
    if (!node)
        return;
    if (node->kind != DRAY_NODE_SCALAR) {
        dray_problem(draft, node->place, "`rule` is the id of a rule, not %s",
                     dray_node_what(node));
        return;
    }
    test->rule = node->text;
    for (size_t i = 0; i < policy->rule_count; i++)
        if (policy->rules[i].id && strcmp(policy->rules[i].id, test->rule) == 0)
            return;
    dray_policy_no_rule(draft, policy, node, "a test");
}

/* What is expected, of a test whose `given` has no problem. */
static void check_expected(struct dray_draft *draft, const struct dray_policy_test *test,
                           const struct dray_node *expect)
{
    if (test->verdict == DRAY_EXPECT_KEEP && test->rule) {
        dray_problem(draft, dray_node_get(expect, "rule")->place,
                     "no rule keeps anything: with `keep` there is none to name");
    } else if (test->verdict == DRAY_EXPECT_DROP && !test->path) {
        dray_problem(draft, test->verdict_place,
                     "what is dropped is an entry, and `given` has no path");
    }
}

static void read_verdict(struct dray_draft *draft, struct dray_policy_test *test,
                         const struct dray_node *expect, int is_given)
{
    const struct dray_node *verdict = dray_node_get(expect, "verdict");

    if (!verdict) {
        dray_problem(draft, expect->place, "`expect` has no `verdict`: keep, drop or deny");
        dray_draft_follow(draft, expect, "verdict", DRAY_MAPPING_EXPECT);
        return;
    }
    test->verdict_place = verdict->place;
    for (size_t i = 0; verdict->kind == DRAY_NODE_SCALAR && i < DRAY_COUNT(verdict_names); i++) {
        if (strcmp(verdict->text, verdict_names[i]) != 0)
            continue;
        test->verdict = (enum dray_expectation)i;
        if (is_given)
            check_expected(draft, test, expect);
        return;
    }
    dray_problem(draft, verdict->place, "`verdict` is keep, drop or deny, not %s",
                 dray_node_shown(verdict));
    if (verdict->kind == DRAY_NODE_SCALAR)
        dray_diagnose_nearest(draft->diagnostics, verdict->text, verdict_names,
                              DRAY_COUNT(verdict_names));
}

static void read_expected(struct dray_draft *draft, const struct dray_policy *policy,
                          struct dray_policy_test *test, const struct dray_node *node, int is_given)
{
    if (!node || node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node ? node->place : test->place,
                     "a test has `expect`, a mapping with a `verdict`%s%s", node ? ", not " : "",
                     node ? dray_node_what(node) : "");
        dray_diagnose_hint(draft->diagnostics, "write expect: { verdict: drop }");
        return;
    }
    dray_keys_check(node, "`expect`", DRAY_MAPPING_EXPECT, draft->diagnostics);
    read_rule(draft, policy, test, dray_node_get(node, "rule"));
    read_verdict(draft, test, node, is_given);
}

static void read_name(struct dray_draft *draft, const struct dray_policy *policy,
                      struct dray_policy_test *test, const struct dray_node *node)
{
    if (!node || node->kind != DRAY_NODE_SCALAR || node->length == 0) {
        dray_problem(draft, node ? node->place : test->place,
                     node ? "the `name` of a test is a text, not %s" : "the test has no `name`",
                     !node                            ? ""
                     : node->kind == DRAY_NODE_SCALAR ? "empty"
                                                      : dray_node_what(node));
        return;
    }
    test->name = node->text;
    for (const struct dray_policy_test *other = policy->tests; other < test; other++) {
        if (!other->name || strcmp(other->name, test->name) != 0)
            continue;
        dray_problem(draft, node->place, "two tests have the name \"%s\": the other is on line %u",
                     test->name, other->place.line);
        return;
    }
}

static int read_test(struct dray_draft *draft, const struct dray_policy *policy,
                     struct dray_policy_test *test, const struct dray_node *node)
{
    test->place = node->place;
    test->verdict_place = node->place;
    if (node->kind != DRAY_NODE_MAPPING) {
        dray_problem(draft, node->place, "a test is a mapping with `given` and `expect`, not %s",
                     dray_node_what(node));
        return 0;
    }
    test->place.width = 1;
    dray_keys_check(node, "a test", DRAY_MAPPING_TEST, draft->diagnostics);
    read_name(draft, policy, test, dray_node_get(node, "name"));
    dray_draft_follow(draft, node, "name", DRAY_MAPPING_TEST);
    size_t before = draft->diagnostics->errors;
    int result = read_given(draft, test, dray_node_get(node, "given"));
    dray_draft_follow(draft, node, "given", DRAY_MAPPING_TEST);
    if (result != 0)
        return result;
    read_expected(draft, policy, test, dray_node_get(node, "expect"),
                  draft->diagnostics->errors == before);
    dray_draft_follow(draft, node, "expect", DRAY_MAPPING_TEST);
    return 0;
}

int dray_policy_tests_read(struct dray_draft *draft, struct dray_policy *policy,
                           const struct dray_node *node)
{
    int result = 0;

    if (!node)
        return 0;
    if (node->kind != DRAY_NODE_SEQUENCE) {
        dray_problem(draft, node->place, "`tests` is a list, not %s", dray_node_what(node));
        return 0;
    }
    policy->tests = dray_draft_array(draft, node->count, sizeof(*policy->tests));
    if (!policy->tests)
        return DRAY_NO_MEMORY;
    policy->test_count = node->count;
    for (size_t i = 0; result == 0 && i < node->count; i++)
        result = read_test(draft, policy, &policy->tests[i], node->items[i]);
    return result;
}

/* ---- asking: each injected filter is asked about the paths of all tests */

json_t *dray_draft_entry(const char *path, int64_t size)
{
    size_t length = strlen(path);
    int directory = length > 1 && path[length - 1] == '/';

    return json_pack("{s:s%, s:s, s:I}", "path", path, length - (size_t)directory, "type",
                     directory ? "directory" : "file", "bytes", (json_int_t)size);
}

static int add_entry(struct dray_draft *draft, json_t *entries, struct dray_policy_test *test)
{
    test->entry = json_array_size(entries);
    return json_array_append_new(entries, dray_draft_entry(test->path, test->size)) == 0
               ? 0
               : dray_fail_memory(draft->error);
}

static int prepare_policy(struct dray_draft *draft, struct dray_policy *policy)
{
    json_t *entries = json_array();
    int result = entries && (!draft->entry || json_array_append(entries, draft->entry) == 0)
                     ? 0
                     : dray_fail_memory(draft->error);

    for (size_t i = 0; result == 0 && i < policy->test_count; i++)
        if (policy->tests[i].path)
            result = add_entry(draft, entries, &policy->tests[i]);
    for (size_t k = 0; json_array_size(entries) > 0 && k < policy->rule_count; k++)
        for (size_t n = 0; n < policy->rules[k].inject_count; n++) {
            struct dray_draft_step *step = &policy->rules[k].inject[n];
            if (step->known && step->role == DRAY_STEP_FILTER)
                step->entries = json_incref(entries);
        }
    json_decref(entries);
    return result;
}

int dray_policy_tests_prepare(struct dray_draft *draft)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < draft->policy_count; i++)
        result = prepare_policy(draft, draft->policies[i]);
    return result;
}

/* ---- judging */

static void decide(struct dray_policy_test *test, enum dray_expectation verdict,
                   const struct dray_rule *rule, const char *why)
{
    test->seen = verdict;
    test->decided = rule;
    test->why = why;
}

/* -1: the filters of a rule were not asked, or cannot tell. */
static int judge_path(struct dray_policy_test *test, const struct dray_rule *rule)
{
    for (size_t i = 0; i < rule->inject_count; i++) {
        const struct dray_draft_step *step = &rule->inject[i];
        if (step->role != DRAY_STEP_FILTER)
            continue;
        const char *verdict = json_string_value(
            json_object_get(json_array_get(step->verdicts, test->entry), "verdict"));
        if (!verdict || strcmp(verdict, "undecided") == 0)
            return -1;
        if (strcmp(verdict, "drop") == 0 && test->seen == DRAY_EXPECT_KEEP)
            decide(test, DRAY_EXPECT_DROP, rule, NULL);
    }
    return 0;
}

/* NULL also when memory is out, which is noted. */
static const char *why_denied(struct dray_draft *draft, const struct dray_judgement *judgement)
{
    if (judgement->bearing == DRAY_BEARS)
        return "limit";
    if (judgement->bearing == DRAY_BEARS_UNKNOWN)
        return judgement->condition->name;
    return dray_judgement_text(draft, judgement);
}

/* DRAY_NOT_FOUND: a filter did not say. A denial stops all of a delivery, so it comes before what
 * becomes of one entry; among equals the first rule decides. */
static int judge(struct dray_draft *draft, struct dray_policy *policy,
                 struct dray_policy_test *test)
{
    decide(test, DRAY_EXPECT_KEEP, NULL, NULL);
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct dray_rule *rule = &policy->rules[i];
        struct dray_judgement judgement = dray_rule_judge(rule, test->facts, 0);
        if (judgement.bearing == DRAY_BEARS_NOT || judgement.bearing == DRAY_BEARS_EXCEPT)
            continue;
        int denies = judgement.bearing != DRAY_BEARS ||
                     dray_rule_exceeded(rule, test->total_bytes, test->entries);
        if (denies && test->seen != DRAY_EXPECT_DENY) {
            test->unknown = judgement.bearing == DRAY_BEARS_UNKNOWN;
            decide(test, DRAY_EXPECT_DENY, rule, why_denied(draft, &judgement));
            if (!test->why)
                return DRAY_NO_MEMORY;
        }
        if (!denies && test->path && judge_path(test, rule) != 0)
            return DRAY_NOT_FOUND;
    }
    return 0;
}

/* "keep", "drop by no-raw", "deny by size-cap (limit)" */
const char *dray_verdict_text(struct dray_draft *draft, enum dray_expectation verdict,
                              const char *rule, const char *why)
{
    return dray_draft_format(draft, "%s%s%s%s%s%s", verdict_names[verdict], rule ? " by " : "",
                             rule ? rule : "", why ? " (" : "", why ? why : "", why ? ")" : "");
}

static int report(struct dray_draft *draft, const struct dray_policy_test *test)
{
    const char *expected = dray_verdict_text(draft, test->verdict, test->rule, NULL);
    const char *seen =
        dray_verdict_text(draft, test->seen, test->decided ? test->decided->id : NULL, test->why);

    if (!expected || !seen)
        return DRAY_NO_MEMORY;
    dray_problem(draft, test->verdict_place,
                 "test \"%s\" fails: it expects %s, and the policy says %s",
                 test->name ? test->name : "?", expected, seen);
    if (test->unknown)
        dray_diagnose_hint(draft->diagnostics,
                           "%s is not `given`, and what is not known denies; `%s?` in the rule "
                           "passes over it",
                           test->why, test->why);
    else
        dray_diagnose_hint(draft->diagnostics, "mend the rule, or the test");
    draft->policy_failed = 1;
    return 0;
}

static void report_unjudged(struct dray_draft *draft, const struct dray_policy_test *test)
{
    dray_problem(draft, test->place,
                 "test \"%s\" cannot be judged: a filter of its rules did not "
                 "say what becomes of the path",
                 test->name ? test->name : "?");
    dray_diagnose_hint(draft->diagnostics, "a filter that reads bytes has none in a test");
    draft->policy_failed = 1;
}

int dray_policy_tests_judge(struct dray_draft *draft)
{
    if (draft->policy_failed)
        return 0; /* what a policy with faults says is nobody's will */
    for (size_t i = 0; i < draft->policy_count; i++) {
        struct dray_policy *policy = draft->policies[i];
        for (size_t k = 0; k < policy->test_count; k++) {
            struct dray_policy_test *test = &policy->tests[k];
            int result = judge(draft, policy, test);
            if (result == DRAY_NOT_FOUND) {
                report_unjudged(draft, test);
                continue;
            }
            if (result != 0)
                return result;
            test->judged = 1;
            test->met =
                test->seen == test->verdict &&
                (!test->rule || (test->decided && strcmp(test->decided->id, test->rule) == 0));
            if (!test->met && report(draft, test) != 0)
                return DRAY_NO_MEMORY;
        }
    }
    return 0;
}
