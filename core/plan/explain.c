/* SPDX-License-Identifier: MIT */
/* explain.c - what a set of policies says of a case, without any workflow: `policy explain` and
 * `policy test`. */
#include "core/plan/draft.h"

#include <string.h>

#include "core/base/text.h"

static struct dray_draft draft_of(const struct dray_plan_request *request,
                                  struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    return (struct dray_draft){
        .diagnostics = diagnostics,
        .registry = request->registry,
        .error = error,
        .checking = 1,
        .now = request->now ? request->now : dray_now(),
    };
}

/* ---- explain */

static const char *const bearings[] = {
    [DRAY_BEARS_NOT] = "not-about",   [DRAY_BEARS_EXCEPT] = "excepted",
    [DRAY_BEARS_UNKNOWN] = "unknown", [DRAY_BEARS] = "holds",
    [DRAY_BEARS_DENIES] = "denies",
};

struct explanation {
    struct dray_draft *draft;
    const struct dray_policy_case *of;
    json_t *facts; /* of it, and then of the datasets that overlap with it */
    const char *path;
    json_t *rules;
    enum dray_expectation verdict;
    const struct dray_rule *decided;
    const char *why; /* where the rule's message does not say it; NULL */
};

/* Let the filters of rules be asked about the path. */
static int prepare(struct explanation *explanation)
{
    struct dray_draft *draft = explanation->draft;

    if (!dray_is_entry(explanation->path)) {
        (void)dray_fail(draft->error, DRAY_INVALID, "\"%s\" is no path in a dataset",
                        explanation->path);
        dray_hint(draft->error, "it starts at the dataset's root, without `/`, `.` and `..`");
        return DRAY_INVALID;
    }
    draft->entry = dray_draft_entry(explanation->path, explanation->of->size);
    return draft->entry ? 0 : dray_fail_memory(draft->error);
}

/* The text of the element that decided: exclude[1] "raw/". */
static const char *by_text(struct dray_draft *draft, const struct dray_draft_step *step,
                           const json_t *verdict)
{
    const char *option = json_string_value(json_object_get(verdict, "option"));
    json_int_t index = json_integer_value(json_object_get(verdict, "index"));
    const json_t *list = json_object_get(step->with, option);
    const char *element =
        index >= 0 ? json_string_value(json_array_get(list, (size_t)index)) : NULL;

    if (!element)
        return dray_draft_format(draft, "%s %s", step->uses, option ? option : "");
    return dray_draft_format(draft, "%s %s[%lld] \"%s\"", step->uses, option, (long long)index,
                             element);
}

static int add_does(struct explanation *explanation, const struct dray_rule *rule, json_t *object)
{
    json_t *does = json_array();
    int failed = !does;

    for (size_t i = 0; i < rule->inject_count; i++)
        failed |=
            json_array_append_new(does, json_pack("{s:s, s:O}", "inject", rule->inject[i].uses,
                                                  "with", rule->inject[i].with));
    if (rule->limit)
        failed |= json_array_append_new(does, json_pack("{s:O}", "limit", rule->limit));
    if (rule->allow)
        failed |= json_array_append_new(does, json_pack("{s:b}", "allow", 1));
    return json_object_set_new(object, "does", does) || failed
               ? dray_fail_memory(explanation->draft->error)
               : 0;
}

/* What a rule that holds makes of the path. */
static int add_verdict(struct explanation *explanation, const struct dray_rule *rule,
                       json_t *object)
{
    struct dray_draft *draft = explanation->draft;

    for (size_t i = 0; i < rule->inject_count; i++) {
        const struct dray_draft_step *step = &rule->inject[i];
        const json_t *answer = json_array_get(step->verdicts, 0);
        const char *verdict = json_string_value(json_object_get(answer, "verdict"));
        if (verdict && strcmp(verdict, "undecided") == 0 &&
            json_object_set_new(object, "verdict", json_string("undecided")) != 0)
            return dray_fail_memory(draft->error);
        if (!verdict || strcmp(verdict, "drop") != 0)
            continue;
        const char *by = by_text(draft, step, answer);
        if (!by)
            return DRAY_NO_MEMORY;
        if (json_object_set_new(object, "verdict", json_string("drop")) ||
            json_object_set_new(object, "by", json_string(by)))
            return dray_fail_memory(draft->error);
        if (explanation->verdict == DRAY_EXPECT_KEEP && rule->mode == DRAY_MODE_ENFORCE) {
            explanation->verdict = DRAY_EXPECT_DROP;
            explanation->decided = rule;
        }
        break;
    }
    return 0;
}

/* One entry is as large as a delivery at least. */
static int exceeds(const struct dray_policy_case *of, const struct dray_rule *rule)
{
    int64_t total = of->total_bytes > of->size ? of->total_bytes : of->size;

    return dray_rule_exceeded(rule, total, of->entries);
}

static int explain_rule(struct explanation *explanation, const struct dray_rule *rule)
{
    struct dray_draft *draft = explanation->draft;
    struct dray_judgement judgement = dray_rule_weigh(rule, explanation->facts, draft->now);
    const char *why = dray_judgement_text(draft, &judgement);
    int unknown = judgement.bearing == DRAY_BEARS_UNKNOWN;
    int exceeded = judgement.bearing >= DRAY_BEARS && exceeds(explanation->of, rule);
    int denies = unknown || ((judgement.bearing == DRAY_BEARS_DENIES || exceeded) &&
                             rule->mode == DRAY_MODE_ENFORCE);

    if (why && exceeded && judgement.bearing == DRAY_BEARS)
        why = "the limit is exceeded";
    const char *origin = why ? dray_judgement_origin(draft, &judgement) : NULL;
    why = origin ? dray_draft_format(draft, "%s%s", why, origin) : NULL;
    if (!why)
        return DRAY_NO_MEMORY;
    const struct dray_place *place =
        judgement.condition ? &judgement.condition->place : &rule->place;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s}", "policy", rule->policy->name, "rule",
                  rule->id, "mode", dray_mode_name(rule->mode), "file", rule->policy->file, "line",
                  (json_int_t)place->line, "bearing", bearings[judgement.bearing], "why", why);
    object = dray_json_with(object, "message", rule->message);
    if (!object || json_array_append_new(explanation->rules, object) != 0)
        return dray_fail_memory(draft->error);
    if (denies && explanation->verdict != DRAY_EXPECT_DENY) {
        explanation->verdict = DRAY_EXPECT_DENY;
        explanation->decided = rule;
        explanation->why = unknown ? why : NULL;
    }
    int result = add_does(explanation, rule, object);
    if (result == 0 && explanation->path && judgement.bearing >= DRAY_BEARS)
        result = add_verdict(explanation, rule, object);
    return result;
}

static int explain(struct explanation *explanation, json_t **ret_answer)
{
    struct dray_draft *draft = explanation->draft;
    int result = 0;

    for (size_t i = 0; i < draft->policy_count; i++)
        for (size_t k = 0; result == 0 && k < draft->policies[i]->rule_count; k++)
            result = explain_rule(explanation, &draft->policies[i]->rules[k]);
    if (result != 0)
        return result;
    json_t *answer =
        json_pack("{s:O, s:O, s:s}", "facts", explanation->of->facts, "rules", explanation->rules,
                  "verdict", dray_verdict_name(explanation->verdict));
    answer = dray_json_with(answer, "path", explanation->path);
    if (explanation->decided) {
        answer = dray_json_with(answer, "policy", explanation->decided->policy->name);
        answer = dray_json_with(answer, "rule", explanation->decided->id);
        answer = dray_json_with(
            answer, "message", explanation->why ? explanation->why : explanation->decided->message);
    }
    *ret_answer = answer;
    return answer ? 0 : dray_fail_memory(draft->error);
}

/* What reading the policies came to. */
static int verdict_of_reading(struct dray_draft *draft)
{
    if (draft->diagnostics->no_memory)
        return dray_fail_memory(draft->error);
    dray_diagnostics_sort(draft->diagnostics);
    return draft->diagnostics->errors ? dray_diagnostics_error(draft->diagnostics, draft->error)
                                      : 0;
}

/* NULL when memory is out. */
static json_t *all_facts(const struct dray_policy_case *of)
{
    json_t *all = json_array();

    if (all && json_array_append(all, of->facts) == 0 &&
        (!of->others || json_array_extend(all, of->others) == 0))
        return all;
    json_decref(all);
    return NULL;
}

int dray_policy_explain(const struct dray_plan_request *request, const struct dray_policy_case *of,
                        struct dray_diagnostics *diagnostics, json_t **ret_answer,
                        struct dray_error *error)
{
    struct dray_error own = {0};
    struct dray_draft draft = draft_of(request, diagnostics, &own);
    struct explanation explanation = {
        .draft = &draft, .of = of, .facts = all_facts(of), .path = of->path, .rules = json_array()};
    int result = explanation.rules && explanation.facts ? dray_policies_read(&draft, request)
                                                        : dray_fail_memory(&own);

    if (result == 0)
        result = verdict_of_reading(&draft);
    if (result == 0 && of->path)
        result = prepare(&explanation);
    if (result == 0)
        result = dray_draft_ask(&draft, &request->asker);
    if (result == 0)
        result = verdict_of_reading(&draft);
    if (result == 0)
        result = explain(&explanation, ret_answer);
    json_decref(explanation.rules);
    json_decref(explanation.facts);
    if (result != 0 && error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}

/* ---- test */

static json_t *test_json(struct dray_draft *draft, const struct dray_policy_test *test)
{
    const char *expected = dray_verdict_text(draft, test->verdict, test->rule, NULL);
    const char *seen = test->judged
                           ? dray_verdict_text(draft, test->seen,
                                               test->decided ? test->decided->id : NULL, test->why)
                           : NULL;

    if (!expected || (test->judged && !seen))
        return NULL;
    json_t *json = json_pack("{s:s, s:I, s:b, s:s}", "name", test->name ? test->name : "?", "line",
                             (json_int_t)test->place.line, "passed", test->judged && test->met,
                             "expected", expected);
    return dray_json_with(json, "seen", seen);
}

static json_t *policy_json(struct dray_draft *draft, const struct dray_policy *policy)
{
    json_t *tests = json_array();

    for (size_t i = 0; tests && i < policy->test_count; i++) {
        if (json_array_append_new(tests, test_json(draft, &policy->tests[i])) != 0) {
            json_decref(tests);
            tests = NULL;
        }
    }
    return json_pack("{s:s, s:s, s:I, s:s, s:o}", "policy", policy->name ? policy->name : "?",
                     "file", policy->file, "revision", (json_int_t)policy->revision, "digest",
                     policy->digest, "tests", tests);
}

static json_t *policies_json(struct dray_draft *draft)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < draft->policy_count; i++) {
        if (json_array_append_new(list, policy_json(draft, draft->policies[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

int dray_policy_test(const struct dray_plan_request *request, struct dray_diagnostics *diagnostics,
                     json_t **ret_answer, struct dray_error *error)
{
    struct dray_error own = {0};
    struct dray_draft draft = draft_of(request, diagnostics, &own);
    int result = dray_policies_read(&draft, request);

    if (result == 0)
        result = dray_draft_ask(&draft, &request->asker);
    if (result == 0)
        result = verdict_of_reading(&draft);
    if (result == 0 || (result == DRAY_INVALID && diagnostics->errors)) {
        *ret_answer = policies_json(&draft);
        if (!*ret_answer)
            result = dray_fail_memory(&own);
    }
    if (result != 0 && error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}
