/* SPDX-License-Identifier: MIT */
/* The proof refuses plans in which a policy's step can be gone round, however they came to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/plan/draft.h"

/* A plan made by hand: "id role needs...", the needs as numbers. Roles: s, v, f, t (the user's), F,
 * T (rule p/r's), g (a guard of p/r), p. */
struct hand {
    struct dray_plan plan;
    struct dray_step steps[16];
    size_t needs[16][8];
    char texts[16][32];
    json_t *with;
};

static enum dray_step_role role_of(char letter)
{
    switch (letter) {
    case 's':
        return DRAY_STEP_SOURCE;
    case 'v':
        return DRAY_STEP_VALIDATE;
    case 'f':
    case 'F':
        return DRAY_STEP_FILTER;
    case 't':
    case 'T':
        return DRAY_STEP_TRANSFORM;
    case 'g':
        return DRAY_STEP_GUARD;
    default:
        return DRAY_STEP_PUSH;
    }
}

static char policy[] = "p", rule[] = "r", filter[] = "filter/glob", guard[] = "guard";

static void make(struct hand *hand, const char *const *lines)
{
    memset(hand, 0, sizeof(*hand));
    hand->with = json_pack("{s:[s]}", "exclude", "raw/");
    for (size_t i = 0; lines[i]; i++) {
        struct dray_step *step = &hand->steps[i];
        char *space = strchr(lines[i], ' ');
        (void)snprintf(hand->texts[i], sizeof(hand->texts[i]), "%.*s", (int)(space - lines[i]),
                       lines[i]);
        step->id = hand->texts[i];
        step->role = role_of(space[1]);
        step->uses = step->role == DRAY_STEP_GUARD ? guard : filter;
        step->with = hand->with;
        step->needs = hand->needs[i];
        if (strchr("FTg", space[1])) {
            step->origin.policy = policy;
            step->origin.rule = rule;
        }
        char *rest = space + 2;
        for (char *end; *rest; rest = end)
            step->needs[step->needs_count++] = strtoul(rest, &end, 10);
        hand->plan.step_count = i + 1;
    }
    hand->plan.steps = hand->steps;
}

static int prove(struct hand *hand, const char *push, const char *uses, struct dray_error *error)
{
    struct dray_demand demand = {push, policy, rule, uses, hand->with, DRAY_MODE_ENFORCE};

    *error = (struct dray_error){0};
    return dray_plan_prove(&hand->plan, &demand, uses ? 1 : 0, error);
}

static void assert_proof(const char *const *lines, const char *uses, int expected)
{
    struct hand hand;
    struct dray_error error;

    make(&hand, lines);
    int result = prove(&hand, "out", uses, &error);
    json_decref(hand.with);
    if (result != expected)
        fail_msg("%s ...: %d, not %d: %s", lines[0], result, expected, error.message);
}

#define PLAN(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_a_step_on_every_way_is_enough(void **state)
{
    (void)state;
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "pick f 2", "out p 3"), filter, 0);
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "l f 2", "r f 2", "out p 3 4"), filter,
                 0);
    /* one behind each source */
    assert_proof(PLAN("a s", "b s", "va v 0", "vb v 1", "ra F 2", "rb F 3", "out p 4 5"), filter,
                 0);
    /* behind another one */
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "more T 2", "out p 3"), filter, 0);
    /* for another push nothing is demanded */
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "other p 1", "out p 2"), filter, 0);
    assert_proof(PLAN("stage s", "validate v 0", "cap g 1", "out p 2"), guard, 0);
    assert_proof(PLAN("stage s", "validate v 0", "cap g 1", "cap2 g 2", "out p 3"), guard, 0);
}

static void test_a_way_past_it_is_refused(void **state)
{
    (void)state;
    /* not there at all */
    assert_proof(PLAN("stage s", "validate v 0", "pick f 1", "out p 2"), filter, DRAY_BUG);
    /* a branch that goes round it */
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "pick f 1", "out p 2 3"), filter,
                 DRAY_BUG);
    /* straight from the source */
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "out p 0 2"), filter, DRAY_BUG);
    /* behind one of two sources */
    assert_proof(PLAN("a s", "b s", "va v 0", "vb v 1", "ra F 2", "out p 4 3"), filter, DRAY_BUG);
    /* on the way to another push */
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "other p 2", "out p 1"), filter,
                 DRAY_BUG);
    /* a tree out of nowhere */
    assert_proof(PLAN("stage s", "validate v 0", "raw F 1", "odd f", "out p 2 3"), filter,
                 DRAY_BUG);
}

static void test_it_must_stand_where_it_works(void **state)
{
    (void)state;
    /* a user's transform before it may have renamed what it looks for */
    assert_proof(PLAN("stage s", "validate v 0", "rename t 1", "raw F 2", "out p 3"), filter,
                 DRAY_BUG);
    assert_proof(PLAN("stage s", "raw F 0", "out p 1"), filter, DRAY_BUG);
    /* what comes behind the guard is not counted by it */
    assert_proof(PLAN("stage s", "validate v 0", "cap g 1", "unpack t 2", "out p 3"), guard,
                 DRAY_BUG);
}

static void test_it_must_be_what_the_rule_says(void **state)
{
    static const char *const lines[] = {"stage s", "validate v 0", "raw F 1", "out p 2", NULL};
    struct hand hand;
    struct dray_error error;
    char other[] = "q";

    (void)state;
    make(&hand, lines);
    assert_int_equal(prove(&hand, "out", filter, &error), 0);
    hand.steps[2].mode = DRAY_MODE_AUDIT;
    assert_int_equal(prove(&hand, "out", filter, &error), DRAY_BUG);
    hand.steps[2].mode = DRAY_MODE_ENFORCE;
    hand.steps[2].origin.rule = other;
    assert_int_equal(prove(&hand, "out", filter, &error), DRAY_BUG);
    hand.steps[2].origin.rule = rule;
    hand.steps[2].with = json_pack("{s:[s]}", "exclude", "raw2/");
    assert_int_equal(prove(&hand, "out", filter, &error), DRAY_BUG);
    json_decref(hand.steps[2].with);
    hand.steps[2].with = hand.with;
    assert_int_equal(prove(&hand, "out", "filter/size", &error), DRAY_BUG);
    assert_int_equal(prove(&hand, "nowhere", filter, &error), DRAY_BUG);
    assert_string_equal(
        error.message,
        "the plan is refused: there is a way to push nowhere past filter/glob, which "
        "policy p, rule r puts there");
    json_decref(hand.with);
}

static void test_a_push_without_a_source_is_refused(void **state)
{
    (void)state;
    assert_proof(PLAN("stage s", "pick f 2", "more f 1", "out p 2"), NULL, DRAY_BUG);
    assert_proof(PLAN("stage s", "out p"), NULL, DRAY_BUG);
    /* a cycle of what is demanded covers itself, and is not reached */
    assert_proof(PLAN("stage s", "raw F 2", "more F 1", "out p 2"), filter, DRAY_BUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step_on_every_way_is_enough),
        cmocka_unit_test(test_a_way_past_it_is_refused),
        cmocka_unit_test(test_it_must_stand_where_it_works),
        cmocka_unit_test(test_it_must_be_what_the_rule_says),
        cmocka_unit_test(test_a_push_without_a_source_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
