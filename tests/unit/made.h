/* SPDX-License-Identifier: MIT */
/*
 * made.h - random workflows and policies, as a model that a test can hold a plan against, and as
 * text to plan. What the rules demand is worked out here by the words of docs/policy.md, without
 * any code of core/plan.
 */
#ifndef DRAY_TESTS_MADE_H
#define DRAY_TESTS_MADE_H

#include <stddef.h>
#include <stdint.h>

#include "core/plan/plan.h"

#define MAX_STEPS      24
#define MAX_POLICIES   3
#define MAX_RULES      4
#define MAX_INJECT     3
#define MAX_EXCEPTIONS 2

/* Exceptions end on a day before this or after it; ns since 1970. */
#define MADE_NOW (INT64_C(1780000000) * 1000000000)

/* Where chance comes from: the same seed makes the same. */
struct chance {
    uint64_t state;
};
/* 0 to below - 1. */
uint32_t draw(struct chance *chance, uint32_t below);
/* One of the texts, which end with NULL. */
const char *pick(struct chance *chance, const char *const *items);
#define PICK(CHANCE, ...) pick(CHANCE, (const char *const[]){__VA_ARGS__, NULL})

struct made_step {
    char kind; /* s, v, f, z (by size), t, p (to a directory), c (to a cloud) */
    int implied;
    int is_default; /* it does not say what it needs */
    char id[32];
    size_t needs[MAX_STEPS], needs_count;
    size_t after[MAX_STEPS], after_count;
    const char *reads; /* of a source: the name of what it reads */
    uint32_t line;
};

/* One condition; `fact` is written with `?` when optional. */
struct made_test {
    const char *fact;
    const char *values[3];
    size_t count;
    int optional;
};
/* All of `tests`, and not all of `others`. */
struct made_when {
    struct made_test tests[3], others[2];
    size_t count, other_count;
    int twice; /* not: { not: ... }, so all of others too */
};

struct made_injection {
    char kind; /* f, z, t */
    unsigned number;
    uint32_t line;
};
struct made_rule {
    char id[24];
    enum dray_mode mode;
    struct made_when when;
    struct made_injection inject[MAX_INJECT];
    size_t inject_count;
    unsigned limit;         /* 0: none */
    struct made_when allow; /* without conditions: there is none */
    uint32_t line;
};
/* From one rule, for a user, a dataset or both (NULL: any), still or no longer. */
struct made_exception {
    size_t rule;
    const char *user, *dataset;
    int is_over;
};
struct made_policy {
    char name[2];
    struct made_rule rules[MAX_RULES];
    size_t count;
    struct made_exception exceptions[MAX_EXCEPTIONS];
    size_t exception_count;
};

struct made {
    struct made_step steps[MAX_STEPS];
    size_t count, sources;
    size_t order[MAX_STEPS]; /* in the file */
    struct made_policy policies[MAX_POLICIES];
    size_t policy_count;
    const char *user, *role, *actor;
    char workflow[8192];
    char texts[MAX_POLICIES][8192];
    size_t used;
    uint32_t line;
};

void make(struct made *made, struct chance *chance);
/* Other policies for the same workflow. */
void make_policies(struct made *made, struct chance *chance);
int is_push(const struct made_step *step);

/* UNKNOWN: the answer hangs on what is not known of the dataset. DENIED: a rule forbids it. */
enum truth { NO, YES, UNKNOWN, DENIED };

/* A step that rules put before a push. */
struct demanded {
    const struct made_policy *policy;
    const struct made_rule *rule;
    const struct made_injection *injection; /* NULL: the guard */
};
struct demands {
    struct demanded steps[MAX_POLICIES * MAX_RULES * (MAX_INJECT + 1)];
    size_t injected, guards; /* first those, then these */
};

/* What the rules put before a push: YES. UNKNOWN: they cannot be decided, DENIED: one forbids the
 * target; then nothing is delivered. */
enum truth list_demands(const struct made *made, size_t push, struct demands *demands);
int same_injections(const struct demands *a, const struct demands *b);

#endif
