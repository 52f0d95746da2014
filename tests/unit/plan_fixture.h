/* SPDX-License-Identifier: MIT */
/* plan_fixture.h - planning in a directory of its own, with stand-ins for plugins. */
#ifndef DRAY_TESTS_PLAN_FIXTURE_H
#define DRAY_TESTS_PLAN_FIXTURE_H

#include "tests/unit/stand_ins.h"

struct plan_fixture {
    char
        *directory; /* real path of a new directory with data/, data.tar.gz, other/ and policies/ */
    struct dray_plan_request request; /* what fixture_plan asks for; set before it */
    const char *policies;             /* in request.policy_directories */
    /* the outcome */
    int result;
    struct dray_plan *plan;
    struct dray_diagnostics diagnostics;
    struct dray_error error;
    json_t *asked; /* the last question */
    size_t askings;
};

/* For cmocka_unit_test_setup_teardown. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A file in the fixture's directory. */
void fixture_write(const struct plan_fixture *fixture, const char *name, const char *text);
/* Plan a workflow; what was planned before is freed. */
void fixture_plan(struct plan_fixture *fixture, const char *workflow);
/* The same, and it must be fine. */
void fixture_plan_good(struct plan_fixture *fixture, const char *workflow);
/* One policy, policies/NAME.yaml, of that body: what follows `revision:`. */
void fixture_policy(const struct plan_fixture *fixture, const char *name, const char *body);

/* The step of that id; the test fails when there is none. */
const struct dray_step *fixture_step(const struct plan_fixture *fixture, const char *id);
/* "stage validate pick": the steps in order. Borrowed until the next call. */
const char *fixture_order(const struct plan_fixture *fixture);
/* "pick" for the steps that a step needs, separated by spaces. */
const char *fixture_needs(const struct plan_fixture *fixture, const char *id);
const struct dray_plan_target *fixture_target(const struct plan_fixture *fixture, const char *id);

/* `seen` is what tests/unit/golden/NAME says. With DRAY_GOLDEN=write what is seen becomes what is
 * expected: read the difference. */
void fixture_golden(const char *name, const char *seen);

#endif
