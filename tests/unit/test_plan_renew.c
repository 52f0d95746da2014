/* SPDX-License-Identifier: MIT */
/*
 * A stored plan under another set of policies is what planning under that set would have made: the
 * same steps, in the same order, with the same needs, origins, keys and digest. Random workflows
 * are planned under random policies, kept as JSON, read again and renewed under others, and held
 * against a fresh plan under these.
 *
 * DRAY_SEED=N repeats a run, DRAY_ROUNDS=N makes it longer; a failure says both for its own round.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "tests/unit/made.h"
#include "tests/unit/plan_fixture.h"

static void write_policies(const struct plan_fixture *fixture, const struct made *made)
{
    for (size_t i = 0; i < MAX_POLICIES; i++) {
        dray_autofree char *path = dray_format("%s/%c.yaml", fixture->policies, 'a' + (int)i);
        (void)unlink(path);
        if (i >= made->policy_count)
            continue;
        dray_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(dray_write_all(fd, made->texts[i], strlen(made->texts[i])), 0);
    }
}

static void plan(struct plan_fixture *fixture, const struct made *made)
{
    write_policies(fixture, made);
    fixture->request.user = made->user;
    fixture->request.role = made->role;
    fixture->request.actor = made->actor;
    fixture->request.now = MADE_NOW;
    fixture_plan(fixture, made->workflow);
}

/* The plan as a job keeps it. */
static struct dray_plan *keep(const struct dray_plan *plan)
{
    struct dray_error error = {0};
    struct dray_plan *kept = NULL;
    json_t *json = dray_plan_json(plan);
    char *text = json_dumps(json, JSON_COMPACT);
    json_t *read = json_loads(text, 0, NULL);

    assert_int_equal(dray_plan_parse(read, &kept, &error), 0);
    json_decref(json);
    json_decref(read);
    free(text);
    return kept;
}

/* What came of it, as a text: the plan, or why there is none. */
static char *outcome(const struct dray_plan *plan, const struct dray_error *error)
{
    if (!plan)
        return dray_format("%s: %s\n%s\n%s", dray_class_name(error->class_), error->message,
                           error->where, error->hint);
    json_t *json = dray_plan_json(plan);
    char *text = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    return text;
}

/* Somebody else asks, at the same time: what counts is whose the job is. */
static char *renew(struct plan_fixture *fixture, const struct dray_plan *kept)
{
    struct dray_plan_request request = fixture->request;
    dray_cleanup(dray_plan_freep) struct dray_plan *renewed = NULL;
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};

    request.user = request.actor = "somebody";
    request.role = "admin";
    request.workflow_text = NULL;
    int result = dray_plan_renew(kept, &request, &diagnostics, &renewed, &error);
    dray_diagnostics_free(&diagnostics);
    if ((result == 0) != (renewed != NULL) || result != error.class_)
        fail_msg("result %d, class %d, %s plan", result, error.class_, renewed ? "a" : "no");
    return outcome(renewed, &error);
}

struct tally {
    uint64_t renewed, denied, split, joins;
};

static void count_up(const struct dray_plan *kept, struct tally *tally)
{
    int split = 0, joins = 0;

    for (size_t i = 0; i < kept->step_count; i++) {
        split |= strchr(kept->steps[i].id, '@') && !kept->steps[i].origin.policy;
        joins |= kept->steps[i].needs_count > 1;
    }
    tally->split += (uint64_t)split;
    tally->joins += (uint64_t)joins;
    tally->renewed++;
}

static void say(const char *text)
{
    /* cmocka cuts long messages */
    for (size_t i = 0; i < strlen(text); i += 512)
        print_error("%.512s", text + i);
}

static void fail_round(const struct made *made, uint64_t seed, const char *expected,
                       const char *seen)
{
    size_t same = 0;

    while (expected[same] && expected[same] == seen[same])
        same++;
    print_error("DRAY_SEED=%" PRIu64 " DRAY_ROUNDS=1\n", seed);
    say(made->workflow);
    for (size_t k = 0; k < made->policy_count; k++)
        say(made->texts[k]);
    print_error("planned:\n");
    say(expected);
    print_error("renewed:\n");
    say(seen);
    fail_msg("they differ from byte %zu on", same);
}

static void play(struct plan_fixture *fixture, uint64_t seed, struct tally *tally)
{
    static struct made made;
    struct chance chance = {.state = seed};

    make(&made, &chance);
    plan(fixture, &made);
    if (fixture->result == DRAY_DENIED)
        return;
    if (fixture->result != 0)
        fail_msg("DRAY_SEED=%" PRIu64 ": %s", seed, fixture->error.message);
    dray_cleanup(dray_plan_freep) struct dray_plan *kept = keep(fixture->plan);
    make_policies(&made, &chance);
    plan(fixture, &made);
    dray_autofree char *expected = outcome(fixture->plan, &fixture->error);
    dray_autofree char *seen = renew(fixture, kept);
    if (strcmp(expected, seen) != 0)
        fail_round(&made, seed, expected, seen);
    if (fixture->result == 0)
        count_up(kept, tally);
    else
        tally->denied++;
}

static uint64_t number_from(const char *variable, uint64_t fallback)
{
    const char *text = getenv(variable);
    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

static void test_a_renewed_plan_is_the_one_that_would_be_made(void **state)
{
    uint64_t seed = number_from("DRAY_SEED", (uint64_t)time(NULL));
    uint64_t rounds = number_from("DRAY_ROUNDS", 2000);
    struct tally tally = {0};

    print_message("DRAY_SEED=%" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < rounds; i++)
        play(*state, seed + i, &tally);
    print_message("%" PRIu64 " plans renewed: %" PRIu64 " with joins, %" PRIu64
                  " with copies; %" PRIu64 " denied\n",
                  tally.renewed, tally.joins, tally.split, tally.denied);
    if (rounds >= 300)
        assert_true(tally.renewed > rounds / 2 && tally.joins > rounds / 5 &&
                    tally.split > rounds / 20 && tally.denied > rounds / 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_renewed_plan_is_the_one_that_would_be_made,
                                        fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
