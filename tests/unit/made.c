/* SPDX-License-Identifier: MIT */
/* made.c - see made.h. */
#include "tests/unit/made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- Chance -------------------------------------------------------------------------------- */

/* splitmix64: rounds that follow each other have nothing in common. */
uint32_t draw(struct chance *chance, uint32_t below)
{
    uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % below);
}

const char *pick(struct chance *chance, const char *const *items)
{
    uint32_t count = 0;
    while (items[count])
        count++;
    return items[draw(chance, count)];
}

int is_push(const struct made_step *step)
{
    return step->kind == 'p' || step->kind == 'c';
}

static void put(struct made *made, char *text, size_t size, const char *format, ...)
    DRAY_FORMAT(4, 5);
static void put(struct made *made, char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text + made->used, size - made->used, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && (size_t)length < size - made->used);
    for (const char *at = text + made->used; *at; at++)
        made->line += *at == '\n';
    made->used += (size_t)length;
}

static void need(struct made_step *step, size_t index)
{
    for (size_t i = 0; i < step->needs_count; i++)
        if (step->needs[i] == index)
            return;
    step->needs[step->needs_count++] = index;
}

static int is_taken(const struct made *made, size_t index)
{
    for (size_t i = 0; i < made->count; i++)
        for (size_t k = 0; k < made->steps[i].needs_count; k++)
            if (made->steps[i].needs[k] == index)
                return 1;
    return 0;
}

/* One of the steps before `below` that hands on a tree. */
static size_t any_tree(const struct made *made, struct chance *chance, size_t below)
{
    size_t index;
    do
        index = draw(chance, (uint32_t)below);
    while (is_push(&made->steps[index]));
    return index;
}

static struct made_step *add_step(struct made *made, char kind)
{
    struct made_step *step = &made->steps[made->count];
    assert_true(made->count < MAX_STEPS);
    step->kind = kind;
    (void)snprintf(step->id, sizeof(step->id), "%c%zu", kind, made->count);
    made->order[made->count] = made->count;
    made->count++;
    return step;
}

static void make_sources(struct made *made, struct chance *chance)
{
    size_t count = draw(chance, 3) == 0 ? 1 + draw(chance, 3) : 0;
    for (size_t i = 0; i < count; i++)
        add_step(made, 's')->reads = PICK(chance, "data", "other");
    if (count == 0) {
        struct made_step *stage = add_step(made, 's');
        (void)snprintf(stage->id, sizeof(stage->id), "stage");
        stage->implied = 1;
        stage->reads = "data";
    }
    made->sources = made->count;
}

static void make_step(struct made *made, struct chance *chance, int explicit)
{
    size_t index = made->count;
    struct made_step *step = add_step(made, PICK(chance, "f", "f", "z", "t", "v", "p", "c")[0]);
    size_t above = index - 1;
    while (is_push(&made->steps[above]))
        above--;
    step->is_default = !explicit && draw(chance, 2) == 0;
    if (step->kind == 'v') {
        /* it checks what sources brought */
        step->is_default &= above < made->sources;
        size_t most = step->is_default ? 0 : 1 + draw(chance, 8) / 7;
        for (size_t i = 0; i < most; i++)
            need(step, draw(chance, (uint32_t)made->sources));
    } else if (!step->is_default) {
        for (size_t i = 1 + draw(chance, 3); i > 0; i--)
            need(step, any_tree(made, chance, index));
    }
    if (step->is_default)
        need(step, above);
    for (size_t i = made->sources; is_push(step) && i < index; i++)
        if (is_push(&made->steps[i]) && draw(chance, 6) == 0)
            step->after[step->after_count++] = i;
    if (step->kind == 'f' && draw(chance, 12) == 0)
        (void)snprintf(step->id, sizeof(step->id), index % 2 ? "validate" : "validate-2");
}

static void make_steps(struct made *made, struct chance *chance)
{
    int explicit = draw(chance, 4) == 0;
    make_sources(made, chance);
    for (size_t i = 1 + draw(chance, 9); i > 0; i--)
        make_step(made, chance, explicit);
    /* the last push takes what nobody took */
    struct made_step *last = add_step(made, 'p');
    for (size_t i = 0; i + 1 < made->count; i++)
        if (!is_push(&made->steps[i]) && !is_taken(made, i))
            need(last, i);
    if (last->needs_count == 0)
        need(last, any_tree(made, chance, made->count - 1));
    /* two steps cannot have one id */
    for (size_t i = 0; i < made->count; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(made->steps[i].id, made->steps[k].id) == 0)
                (void)snprintf(made->steps[i].id, sizeof(made->steps[i].id), "again%zu", i);
    /* who says what is needed may stand anywhere */
    for (size_t i = made->count; explicit && i > 1; i--) {
        size_t other = draw(chance, (uint32_t)i);
        size_t kept = made->order[i - 1];
        made->order[i - 1] = made->order[other];
        made->order[other] = kept;
    }
}

static void put_list(struct made *made, const char *key, const size_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(made, made->workflow, sizeof(made->workflow), "%s%s", i ? ", " : key,
            made->steps[list[i]].id);
    if (count)
        put(made, made->workflow, sizeof(made->workflow), "]");
}

static void put_step(struct made *made, size_t index)
{
    struct made_step *step = &made->steps[index];
    const char *uses = step->kind == 's'   ? "source/directory"
                       : step->kind == 'v' ? "validate"
                       : step->kind == 'f' ? "filter/glob"
                       : step->kind == 'z' ? "filter/size"
                       : step->kind == 't' ? "transform/mask"
                       : step->kind == 'p' ? "push/hpfs"
                                           : "push/cloud";
    step->line = made->line;
    put(made, made->workflow, sizeof(made->workflow), "  - { id: %s, uses: %s", step->id, uses);
    if (!step->is_default && step->kind != 's')
        put_list(made, ", needs: [", step->needs, step->needs_count);
    put_list(made, ", after: [", step->after, step->after_count);
    if (step->kind == 's')
        put(made, made->workflow, sizeof(made->workflow), ", with: { path: ./%s }", step->reads);
    else if (step->kind == 't')
        put(made, made->workflow, sizeof(made->workflow), ", with: { columns: [a] }");
    else if (step->kind == 'p')
        put(made, made->workflow, sizeof(made->workflow), ", with: { path: /lab/p%zu }", index);
    else if (step->kind == 'c')
        put(made, made->workflow, sizeof(made->workflow), ", with: { url: \"cloud://h%zu/p%zu\" }",
            index % 2, index);
    put(made, made->workflow, sizeof(made->workflow), " }\n");
}

static void put_workflow(struct made *made)
{
    made->used = 0;
    made->line = 1;
    put(made, made->workflow, sizeof(made->workflow), "version: 1\ndataset: ./data\nsteps:\n");
    for (size_t i = 0; i < made->count; i++)
        if (!made->steps[made->order[i]].implied)
            put_step(made, made->order[i]);
}

/* ---- Rules --------------------------------------------------------------------------------- */

static void make_test(struct chance *chance, struct made_test *test)
{
    static const char *const pools[][6] = {
        {"target.type", "hpfs", "cloud", "globus", NULL},
        {"target.plugin", "hpfs", "cloud", "s3", NULL},
        {"target.path", "/lab/*", "/lab/p5", "*", "/p*", "*/p3"},
        {"target.host", "h0", "h1", "h*", "*", NULL},
        {"target.uri", "hpfs:*", "cloud://*", "*4", NULL},
        {"user.name", "asmith", "bob", NULL},
        {"user.role", "user", "operator", "admin", NULL},
        {"actor.name", "asmith", "robot", NULL},
        {"dataset.name", "data", "other", "third", NULL},
        {"dataset.tags", "human", NULL},
        {"dataset.type", "RAW", NULL},
    };
    uint32_t chosen = draw(chance, DRAY_COUNT(pools) + 18);
    const char *const *pool = pools[chosen < DRAY_COUNT(pools) ? chosen : chosen % 4];
    size_t count = 0;
    while (count < 5 && pool[count + 1])
        count++;
    *test = (struct made_test){.fact = pool[0]};
    for (size_t i = 1 + draw(chance, 2); i > 0; i--)
        test->values[test->count++] = pool[1 + draw(chance, (uint32_t)count)];
    /* what is not known stops the delivery: seldom */
    int unknown = strcmp(pool[0], "dataset.tags") == 0 || strcmp(pool[0], "dataset.type") == 0;
    test->optional = unknown ? draw(chance, 8) > 0 : draw(chance, 8) == 0;
}

static int has_fact(const struct made_test *tests, size_t count, const char *fact)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tests[i].fact, fact) == 0)
            return 1;
    return 0;
}

static size_t make_tests(struct chance *chance, struct made_test *tests, size_t most)
{
    size_t count = 0;
    for (size_t i = draw(chance, (uint32_t)most + 1); i > 0; i--) {
        make_test(chance, &tests[count]);
        count += !has_fact(tests, count, tests[count].fact);
    }
    return count;
}

static void make_rule(struct chance *chance, struct made_rule *rule, size_t index, unsigned *number)
{
    (void)snprintf(rule->id, sizeof(rule->id), "r%zu", index);
    rule->mode = (enum dray_mode)draw(chance, 3);
    rule->when.count = make_tests(chance, rule->when.tests, 2);
    rule->when.other_count = draw(chance, 3) == 0 ? make_tests(chance, rule->when.others, 2) : 0;
    rule->when.twice = draw(chance, 5) == 0;
    rule->inject_count = draw(chance, MAX_INJECT + 1);
    for (size_t i = 0; i < rule->inject_count; i++) {
        rule->inject[i].kind = PICK(chance, "f", "z", "t")[0];
        if (rule->mode != DRAY_MODE_ENFORCE && rule->inject[i].kind == 't')
            rule->inject[i].kind = 'f';
        rule->inject[i].number = (*number)++;
    }
    if (rule->inject_count == 0 || draw(chance, 4) == 0)
        rule->limit = (*number)++;
    memset(&rule->allow, 0, sizeof(rule->allow));
    if (draw(chance, 6) == 0) {
        rule->allow.count = make_tests(chance, rule->allow.tests, 2);
        rule->allow.other_count = draw(chance, 2) ? make_tests(chance, rule->allow.others, 2) : 0;
    }
}

static void make_exceptions(struct chance *chance, struct made_policy *policy)
{
    policy->exception_count = policy->count && draw(chance, 3) == 0 ? 1 + draw(chance, 2) : 0;
    for (size_t i = 0; i < policy->exception_count; i++) {
        struct made_exception *exception = &policy->exceptions[i];
        uint32_t whose = draw(chance, 3);
        exception->rule = draw(chance, (uint32_t)policy->count);
        exception->user = whose ? PICK(chance, "asmith", "bob") : NULL;
        exception->dataset = whose != 1 ? PICK(chance, "data", "other") : NULL;
        exception->is_over = draw(chance, 4) == 0;
    }
}

static void put_tests(struct made *made, char *text, const struct made_test *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(made, text, sizeof(made->texts[0]), "%s\"%s%s\": ", i ? ", " : "", tests[i].fact,
            tests[i].optional ? "?" : "");
        if (tests[i].count == 1)
            put(made, text, sizeof(made->texts[0]), "\"%s\"", tests[i].values[0]);
        else
            put(made, text, sizeof(made->texts[0]), "[\"%s\", \"%s\"]", tests[i].values[0],
                tests[i].values[1]);
    }
}

static void put_when(struct made *made, char *text, const char *key, const struct made_when *when)
{
    size_t size = sizeof(made->texts[0]);
    if (when->count + when->other_count == 0)
        return;
    put(made, text, size, "    %s: { ", key);
    put_tests(made, text, when->tests, when->count);
    if (when->other_count) {
        put(made, text, size, "%snot: { %s", when->count ? ", " : "", when->twice ? "not: { " : "");
        put_tests(made, text, when->others, when->other_count);
        put(made, text, size, when->twice ? " } }" : " }");
    }
    put(made, text, size, " }\n");
}

static void put_rule(struct made *made, char *text, struct made_rule *rule)
{
    static const char *const modes[] = {"enforce", "warn", "audit"};
    size_t size = sizeof(made->texts[0]);
    rule->line = made->line;
    put(made, text, size, "  - id: %s\n    mode: %s\n    message: of %s\n", rule->id,
        modes[rule->mode], rule->id);
    put_when(made, text, "when", &rule->when);
    put_when(made, text, "allow", &rule->allow);
    if (rule->inject_count)
        put(made, text, size, "    inject:\n");
    for (size_t i = 0; i < rule->inject_count; i++) {
        struct made_injection *injection = &rule->inject[i];
        injection->line = made->line;
        put(made, text, size,
            injection->kind == 'f' ? "      - { uses: filter/glob, with: { exclude: [x%u] } }\n"
            : injection->kind == 'z'
                ? "      - { uses: filter/size, with: { max: %u } }\n"
                : "      - { uses: transform/mask, with: { columns: [x%u] } }\n",
            injection->number);
    }
    if (rule->limit)
        put(made, text, size, "    limit: { entries: %u }\n", rule->limit);
}

static void put_exceptions(struct made *made, char *text, const struct made_policy *policy)
{
    size_t size = sizeof(made->texts[0]);
    put(made, text, size, policy->exception_count ? "exceptions:\n" : "");
    for (size_t i = 0; i < policy->exception_count; i++) {
        const struct made_exception *exception = &policy->exceptions[i];
        put(made, text, size, "  - { rule: %s, until: %s, reason: x",
            policy->rules[exception->rule].id, exception->is_over ? "2026-05-27" : "2026-05-28");
        if (exception->user)
            put(made, text, size, ", user: %s", exception->user);
        if (exception->dataset)
            put(made, text, size, ", dataset: %s", exception->dataset);
        put(made, text, size, " }\n");
    }
}

void make_policies(struct made *made, struct chance *chance)
{
    unsigned number = 1;
    made->policy_count = draw(chance, 8) ? 1 + draw(chance, MAX_POLICIES) : 0;
    for (size_t i = 0; i < made->policy_count; i++) {
        struct made_policy *policy = &made->policies[i];
        policy->name[0] = (char)('a' + (int)i);
        policy->count = draw(chance, MAX_RULES + 1);
        made->used = 0;
        made->line = 1;
        put(made, made->texts[i], sizeof(made->texts[i]),
            "version: 1\npolicy: %s\nrevision: 7\nrules:%s\n", policy->name,
            policy->count ? "" : " []");
        for (size_t k = 0; k < policy->count; k++) {
            make_rule(chance, &policy->rules[k], k, &number);
            put_rule(made, made->texts[i], &policy->rules[k]);
        }
        make_exceptions(chance, policy);
        put_exceptions(made, made->texts[i], policy);
    }
}

void make(struct made *made, struct chance *chance)
{
    memset(made, 0, sizeof(*made));
    make_steps(made, chance);
    put_workflow(made);
    make_policies(made, chance);
    made->user = PICK(chance, "asmith", "bob");
    made->role = PICK(chance, "user", "user", "operator", "admin");
    made->actor = PICK(chance, "asmith", "robot");
}

/* ---- Which rules match, by the words of docs/policy.md ------------------------------------- */

static int fits(const char *pattern, const char *text)
{
    if (*pattern == '*')
        return fits(pattern + 1, text) || (*text && fits(pattern, text + 1));
    return *pattern == *text && (*text == '\0' || fits(pattern + 1, text + 1));
}

/* The value of a fact for a push; NULL: there is none, or it is not known. */
static const char *value_of(const struct made *made, size_t push, const char *name,
                            const char *fact, char text[static 64])
{
    int is_cloud = made->steps[push].kind == 'c';
    if (strcmp(fact, "target.type") == 0 || strcmp(fact, "target.plugin") == 0)
        return is_cloud ? "cloud" : "hpfs";
    if (strcmp(fact, "target.path") == 0)
        (void)snprintf(text, 64, is_cloud ? "/p%zu" : "/lab/p%zu", push);
    else if (strcmp(fact, "target.uri") == 0 && is_cloud)
        (void)snprintf(text, 64, "cloud://h%zu/p%zu", push % 2, push);
    else if (strcmp(fact, "target.uri") == 0)
        (void)snprintf(text, 64, "hpfs:/lab/p%zu", push);
    else if (strcmp(fact, "target.host") == 0 && is_cloud)
        (void)snprintf(text, 64, "h%zu", push % 2);
    else
        return strcmp(fact, "user.name") == 0      ? made->user
               : strcmp(fact, "user.role") == 0    ? made->role
               : strcmp(fact, "actor.name") == 0   ? made->actor
               : strcmp(fact, "dataset.name") == 0 ? name
                                                   : NULL;
    return text;
}

static enum truth holds_test(const struct made *made, size_t push, const char *name,
                             const struct made_test *test)
{
    char text[64];
    const char *value = value_of(made, push, name, test->fact, text);
    if (!value)
        return test->optional || strncmp(test->fact, "target.", 7) == 0 ? NO : UNKNOWN;
    for (size_t i = 0; i < test->count; i++)
        if (fits(test->values[i], value))
            return YES;
    return NO;
}

static enum truth holds_all(const struct made *made, size_t push, const char *name,
                            const struct made_test *tests, size_t count)
{
    enum truth all = YES;
    for (size_t i = 0; i < count; i++) {
        enum truth one = holds_test(made, push, name, &tests[i]);
        if (one == NO)
            return NO;
        all = one == UNKNOWN ? UNKNOWN : all;
    }
    return all;
}

static enum truth holds(const struct made *made, size_t push, const char *name,
                        const struct made_when *when)
{
    enum truth own = holds_all(made, push, name, when->tests, when->count);
    enum truth others = holds_all(made, push, name, when->others, when->other_count);
    if (when->other_count == 0)
        return own;
    if (!when->twice && others != UNKNOWN)
        others = others == YES ? NO : YES;
    if (own == NO || others == NO)
        return NO;
    return own == UNKNOWN || others == UNKNOWN ? UNKNOWN : YES;
}

static int is_excepted(const struct made *made, const struct made_policy *policy, size_t rule,
                       const char *dataset)
{
    for (size_t i = 0; i < policy->exception_count; i++) {
        const struct made_exception *exception = &policy->exceptions[i];
        if (exception->rule == rule && !exception->is_over &&
            (!exception->user || strcmp(exception->user, made->user) == 0) &&
            (!exception->dataset || strcmp(exception->dataset, dataset) == 0))
            return 1;
    }
    return 0;
}

/* Of one dataset. */
static enum truth applies(const struct made *made, size_t push, const char *dataset,
                          const struct made_policy *policy, size_t rule, enum truth *ret_allowed)
{
    const struct made_rule *of = &policy->rules[rule];
    enum truth truth = holds(made, push, dataset, &of->when);
    *ret_allowed = holds(made, push, dataset, &of->allow);
    return is_excepted(made, policy, rule, dataset) ? NO : truth;
}

/* By the dataset's name, or by that of anything that a source of the workflow reads. What the rule
 * allows must be so of each that it holds for; a rule that allows must be known to hold or not, one
 * that does not may hold for another dataset anyhow. */
static enum truth matches(const struct made *made, size_t push, const struct made_policy *policy,
                          size_t rule)
{
    const struct made_rule *of = &policy->rules[rule];
    int allows = of->allow.count + of->allow.other_count > 0;
    enum truth all = NO;
    for (size_t i = 0; i <= made->sources; i++) {
        const struct made_step *source = i ? &made->steps[i - 1] : NULL;
        enum truth allowed;
        if (source && source->implied)
            continue;
        enum truth one =
            applies(made, push, source ? source->reads : "data", policy, rule, &allowed);
        if ((one == UNKNOWN || (one == YES && allowed == UNKNOWN)) && allows)
            return UNKNOWN;
        if (one == YES && allowed == NO && of->mode == DRAY_MODE_ENFORCE)
            all = DENIED;
        if (all != DENIED && (one == YES || (one == UNKNOWN && all == NO)))
            all = one;
    }
    return all;
}

enum truth list_demands(const struct made *made, size_t push, struct demands *demands)
{
    struct demanded guards[MAX_POLICIES * MAX_RULES];
    enum truth known = YES;
    *demands = (struct demands){0};
    for (size_t i = 0; i < made->policy_count; i++) {
        for (size_t k = 0; k < made->policies[i].count; k++) {
            const struct made_rule *rule = &made->policies[i].rules[k];
            struct demanded demanded = {&made->policies[i], rule, NULL};
            enum truth truth = matches(made, push, &made->policies[i], k);
            if (truth == UNKNOWN || truth == DENIED)
                known = truth;
            if (truth != YES)
                continue;
            if (rule->limit)
                guards[demands->guards++] = demanded;
            for (size_t n = 0; n < rule->inject_count; n++) {
                demanded.injection = &rule->inject[n];
                demands->steps[demands->injected++] = demanded;
            }
        }
    }
    for (size_t i = 0; i < demands->guards; i++)
        demands->steps[demands->injected + i] = guards[i];
    return known;
}

int same_injections(const struct demands *a, const struct demands *b)
{
    if (a->injected != b->injected)
        return 0;
    for (size_t i = 0; i < a->injected; i++)
        if (a->steps[i].injection != b->steps[i].injection)
            return 0;
    return 1;
}
