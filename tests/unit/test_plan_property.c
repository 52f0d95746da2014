/* SPDX-License-Identifier: MIT */
/*
 * Whatever the workflow and the policies: no way to a push goes past what the rules that match it
 * put there. Random workflows (several sources, joins, implied steps, any order) are planned under
 * random policies; then every way from a source to every push of the plan is walked, one by one,
 * and held against what the test knows of both, with an evaluation of `when` of its own. It shares
 * no code with compose.c, condition.c and prove.c. That both it and the proof see what is wrong is
 * shown by plans that are tampered with.
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
#include "core/plan/draft.h"
#include "tests/unit/made.h"
#include "tests/unit/plan_fixture.h"

#define MAX_WAYS 300 /* from sources to one push */

/* ---- The ways of a plan -------------------------------------------------------------------- */

/* What is wrong with a plan; "" when nothing is. */
struct verdict {
    char text[512];
};

static void complain(struct verdict *verdict, const char *format, ...) DRAY_FORMAT(2, 3);
static void complain(struct verdict *verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (verdict->text[0] == '\0')
        (void)vsnprintf(verdict->text, sizeof(verdict->text), format, arguments);
    va_end(arguments);
}

/* The step of the workflow that a step of the plan does, of which it may be a copy: pick@out. */
static size_t made_of(const struct made *made, const struct dray_step *step)
{
    size_t length = strcspn(step->id, "@");
    for (size_t i = 0; i < made->count; i++)
        if (strlen(made->steps[i].id) == length && memcmp(made->steps[i].id, step->id, length) == 0)
            return i;
    return made->count;
}

/* Is it that step, to the letter, and does it say where it came from? */
static int is_demanded(const struct dray_step *step, const struct demanded *demanded)
{
    const struct made_injection *injection = demanded->injection;
    char word[16];
    if (!step->origin.policy || strcmp(step->origin.policy, demanded->policy->name) != 0 ||
        !step->origin.rule || strcmp(step->origin.rule, demanded->rule->id) != 0 ||
        step->mode != demanded->rule->mode || !step->origin.message ||
        strcmp(step->origin.message + 3, demanded->rule->id) != 0)
        return 0;
    size_t length = strlen(step->origin.file);
    if (length < 7 || step->origin.file[length - 6] != demanded->policy->name[0] ||
        step->origin.line != (injection ? injection->line : demanded->rule->line))
        return 0;
    if (!injection)
        return step->role == DRAY_STEP_GUARD &&
               json_integer_value(json_object_get(step->with, "entries")) == demanded->rule->limit;
    if (injection->kind == 'z')
        return strcmp(step->uses, "filter/size") == 0 &&
               json_integer_value(json_object_get(step->with, "max")) == injection->number;
    (void)snprintf(word, sizeof(word), "x%u", injection->number);
    const char *key = injection->kind == 'f' ? "exclude" : "columns";
    const char *found = json_string_value(json_array_get(json_object_get(step->with, key), 0));
    return strcmp(step->uses, injection->kind == 'f' ? "filter/glob" : "transform/mask") == 0 &&
           found && strcmp(found, word) == 0;
}

/* One way, from a push back to a source: what stands on it, source first. */
struct way {
    size_t steps[512];
    size_t count;
};

struct walk {
    const struct made *made;
    const struct dray_plan *plan;
    const struct demands *demands;
    struct verdict *verdict;
    char **seen; /* the user's own steps of each way, as "s0 f1 p2" */
    size_t count, capacity;
    struct way way; /* backwards */
};

static void see(struct walk *walk, char *text)
{
    assert_non_null(text);
    assert_int_equal(DRAY_GROW(walk->seen, walk->count, walk->capacity), 0);
    walk->seen[walk->count++] = text;
}

/* The steps of a way in their order: source, validate, what is injected, the user's, guards, push;
 * *at is the next. */
static void check_way(struct walk *walk)
{
    const struct dray_plan *plan = walk->plan;
    struct dray_buffer own = {.cap = 1u << 16};
    size_t at = walk->way.count;
    const struct dray_step *step = &plan->steps[walk->way.steps[--at]];
    const char *push = plan->steps[walk->way.steps[0]].id;

    dray_buffer_text(&own, walk->made->steps[made_of(walk->made, step) % walk->made->count].id);
    if (at == 0)
        complain(walk->verdict, "%s is both ends of a way", push);
    step = at ? &plan->steps[walk->way.steps[--at]] : step;
    if (step->role != DRAY_STEP_VALIDATE)
        complain(walk->verdict, "a way to %s begins without validate", push);
    for (size_t i = 0; i < walk->demands->injected; i++) {
        step = at ? &plan->steps[walk->way.steps[--at]] : step;
        if (!is_demanded(step, &walk->demands->steps[i]))
            complain(walk->verdict, "on a way to %s stands %s instead of %s/%s (%zu)", push,
                     step->id, walk->demands->steps[i].policy->name,
                     walk->demands->steps[i].rule->id, i);
    }
    for (; at > 0 && !plan->steps[walk->way.steps[at - 1]].origin.policy; at--) {
        step = &plan->steps[walk->way.steps[at - 1]];
        size_t index = made_of(walk->made, step);
        if (index == walk->made->count || step->role == DRAY_STEP_VALIDATE)
            complain(walk->verdict, "%s stands on a way to %s", step->id, push);
        else if (at > 1)
            dray_buffer_format(&own, " %s", walk->made->steps[index].id);
        if (at == 1)
            break;
    }
    for (size_t i = 0; i < walk->demands->guards; i++) {
        step = at ? &plan->steps[walk->way.steps[--at]] : step;
        if (!is_demanded(step, &walk->demands->steps[walk->demands->injected + i]))
            complain(walk->verdict, "before %s stands %s instead of a guard", push, step->id);
    }
    if (at != 1)
        complain(walk->verdict, "a way to %s has more on it: %s", push,
                 plan->steps[walk->way.steps[at ? at - 1 : 0]].id);
    see(walk, own.data);
}

static void walk_back(struct walk *walk, size_t index)
{
    const struct dray_step *step = &walk->plan->steps[index];
    if (walk->count > 4 * MAX_WAYS || walk->way.count == DRAY_COUNT(walk->way.steps)) {
        complain(walk->verdict, "there is no end of ways to %s",
                 walk->plan->steps[walk->way.steps[0]].id);
        return;
    }
    walk->way.steps[walk->way.count++] = index;
    if (step->role == DRAY_STEP_SOURCE)
        check_way(walk);
    else if (step->needs_count == 0)
        complain(walk->verdict, "%s takes a tree out of nowhere", step->id);
    for (size_t i = 0; i < step->needs_count; i++)
        walk_back(walk, step->needs[i]);
    walk->way.count--;
}

/* The same of the workflow as it was made up. */
static void walk_made(struct walk *walk, size_t index)
{
    const struct made_step *step = &walk->made->steps[index];
    walk->way.steps[walk->way.count++] = index;
    if (step->kind == 's') {
        struct dray_buffer own = {.cap = 1u << 16};
        for (size_t i = walk->way.count; i-- > 1;) {
            const struct made_step *other = &walk->made->steps[walk->way.steps[i]];
            if (other->kind != 'v')
                dray_buffer_format(&own, own.length ? " %s" : "%s", other->id);
        }
        see(walk, own.data);
    }
    for (size_t i = 0; i < step->needs_count; i++)
        walk_made(walk, step->needs[i]);
    walk->way.count--;
}

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Sort, and leave one of each. */
static void settle(struct walk *walk)
{
    size_t kept = 0;
    if (walk->count)
        qsort(walk->seen, walk->count, sizeof(*walk->seen), compare_texts);
    for (size_t i = 0; i < walk->count; i++) {
        if (kept && strcmp(walk->seen[kept - 1], walk->seen[i]) == 0)
            free(walk->seen[i]);
        else
            walk->seen[kept++] = walk->seen[i];
    }
    walk->count = kept;
}

static void forget(struct walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        free(walk->seen[i]);
    free(walk->seen);
}

static size_t find_push(const struct made *made, const struct dray_plan *plan, size_t push)
{
    size_t i = 0;
    while (i < plan->step_count && strcmp(plan->steps[i].id, made->steps[push].id) != 0)
        i++;
    return i;
}

static void judge_push(const struct made *made, const struct dray_plan *plan, size_t push,
                       const struct demands *demands, struct verdict *verdict)
{
    struct walk walk = {.made = made, .plan = plan, .demands = demands, .verdict = verdict};
    struct walk expected = {.made = made};
    size_t index = find_push(made, plan, push);

    if (index == plan->step_count) {
        complain(verdict, "%s is not in the plan", made->steps[push].id);
        return;
    }
    walk_back(&walk, index);
    walk_made(&expected, push);
    settle(&walk);
    settle(&expected);
    if (walk.count != expected.count)
        complain(verdict, "there are %zu ways to %s instead of %zu", walk.count,
                 made->steps[push].id, expected.count);
    for (size_t i = 0; i < walk.count && i < expected.count; i++)
        if (strcmp(walk.seen[i], expected.seen[i]) != 0)
            complain(verdict, "to %s there is the way %s instead of %s", made->steps[push].id,
                     walk.seen[i], expected.seen[i]);
    if (plan->steps[index].after_count != made->steps[push].after_count)
        complain(verdict, "%s waits for %zu pushes", made->steps[push].id,
                 plan->steps[index].after_count);
    forget(&walk);
    forget(&expected);
}

/* ---- Who shares what ----------------------------------------------------------------------- */

static void mark(const struct dray_plan *plan, size_t index, unsigned char *above)
{
    above[index] = 1;
    for (size_t i = 0; i < plan->steps[index].needs_count; i++)
        if (!above[plan->steps[index].needs[i]])
            mark(plan, plan->steps[index].needs[i], above);
}

static void judge_sharing(const struct dray_plan *plan, const unsigned char *one,
                          const unsigned char *two, int together, struct verdict *verdict)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct dray_step *step = &plan->steps[i];
        int is_common = step->role == DRAY_STEP_SOURCE || step->role == DRAY_STEP_VALIDATE;
        if (!together && !is_common && one[i] && two[i])
            complain(verdict, "%s is shared by targets with other rules", step->id);
        for (size_t k = 0; (together || is_common) && k < plan->step_count; k++) {
            size_t length = strcspn(step->id, "@");
            if (i != k && one[i] && two[k] && !step->origin.policy &&
                strncmp(step->id, plan->steps[k].id, length) == 0 &&
                strchr("@", plan->steps[k].id[length]))
                complain(verdict, "%s is not shared: there is %s", step->id, plan->steps[k].id);
        }
    }
}

static void judge_origin(const struct made *made, const struct dray_step *step,
                         struct verdict *verdict)
{
    size_t index = made_of(made, step);
    if (step->origin.policy)
        return; /* seen on the ways */
    if (index == made->count || made->steps[index].implied) {
        if (step->origin.file)
            complain(verdict, "%s was not written, and yet has a line", step->id);
    } else if (!step->origin.file || strcmp(step->origin.file, "workflow.yaml") != 0 ||
               step->origin.line != made->steps[index].line) {
        complain(verdict, "%s stands on line %u, not %u", step->id, made->steps[index].line,
                 step->origin.line);
    }
}

static void judge(const struct made *made, const struct dray_plan *plan, struct verdict *verdict)
{
    static struct demands demands[MAX_STEPS];
    static unsigned char above[MAX_STEPS][DRAY_PLAN_MAX_STEPS];
    unsigned char used[DRAY_PLAN_MAX_STEPS] = {0};
    size_t pushes = 0;

    *verdict = (struct verdict){0};
    memset(above, 0, sizeof(above));
    for (size_t i = 0; i < plan->step_count; i++)
        judge_origin(made, &plan->steps[i], verdict);
    for (size_t i = 0; i < made->count; i++) {
        if (!is_push(&made->steps[i]))
            continue;
        (void)list_demands(made, i, &demands[i]);
        judge_push(made, plan, i, &demands[i], verdict);
        if (verdict->text[0])
            return;
        pushes++;
        mark(plan, find_push(made, plan, i), above[i]);
        for (size_t k = 0; k < plan->step_count; k++)
            used[k] |= above[i][k];
        for (size_t k = 0; k < i; k++)
            if (is_push(&made->steps[k]))
                judge_sharing(plan, above[i], above[k], same_injections(&demands[i], &demands[k]),
                              verdict);
    }
    if (pushes != plan->target_count)
        complain(verdict, "%zu targets for %zu pushes", plan->target_count, pushes);
    for (size_t i = 0; i < plan->step_count; i++)
        if (!used[i])
            complain(verdict, "%s leads nowhere", plan->steps[i].id);
}

/* ---- Plans that are tampered with ---------------------------------------------------------- */

/* What the proof is told, from what the test knows. */
static int prove(const struct made *made, const struct dray_plan *plan, const json_t *const *withs)
{
    static struct dray_demand list[MAX_STEPS * MAX_POLICIES * MAX_RULES * (MAX_INJECT + 1)];
    static struct demands demands;
    struct dray_error error = {0};
    size_t count = 0;

    for (size_t i = 0; i < made->count; i++) {
        if (!is_push(&made->steps[i]))
            continue;
        (void)list_demands(made, i, &demands);
        for (size_t k = 0; k < demands.injected + demands.guards; k++) {
            const struct demanded *demanded = &demands.steps[k];
            const struct made_injection *injection = demanded->injection;
            list[count++] = (struct dray_demand){
                .push = made->steps[i].id,
                .policy = demanded->policy->name,
                .rule = demanded->rule->id,
                .uses = !injection               ? "guard"
                        : injection->kind == 'f' ? "filter/glob"
                        : injection->kind == 'z' ? "filter/size"
                                                 : "transform/mask",
                .with = withs[injection ? injection->number : demanded->rule->limit],
                .mode = demanded->rule->mode,
            };
        }
    }
    return dray_plan_prove(plan, list, count, &error);
}

/* The options of each demanded step, by its number, while the plan is as it was made. */
static void list_withs(const struct dray_plan *plan, const json_t **withs, size_t count)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const json_t *with = plan->steps[i].with;
        const char *word = json_string_value(json_array_get(json_object_get(with, "exclude"), 0));
        json_int_t number = json_integer_value(json_object_get(with, "entries"));
        if (!plan->steps[i].origin.policy)
            continue;
        if (!word)
            word = json_string_value(json_array_get(json_object_get(with, "columns"), 0));
        if (word)
            number = (json_int_t)strtoull(word + 1, NULL, 10);
        else if (plan->steps[i].role != DRAY_STEP_GUARD)
            number = json_integer_value(json_object_get(with, "max"));
        assert_in_range(number, 1, count - 1);
        withs[number] = with;
    }
}

/* Take what `index` takes, instead of `index` itself. 0 when nobody takes it. */
static int bypass(struct dray_plan *plan, size_t index, struct chance *chance)
{
    size_t takers[DRAY_PLAN_MAX_STEPS], count = 0;
    for (size_t i = 0; i < plan->step_count; i++)
        for (size_t k = 0; k < plan->steps[i].needs_count; k++)
            if (plan->steps[i].needs[k] == index)
                takers[count++] = i;
    if (count == 0)
        return 0;
    struct dray_step *taker = &plan->steps[takers[draw(chance, (uint32_t)count)]];
    for (size_t k = 0; k < taker->needs_count; k++)
        if (taker->needs[k] == index)
            taker->needs[k] = plan->steps[index].needs[0];
    return 1;
}

/* Do to an injected step or its surroundings what must never be. 0: not possible here. */
static int tamper(struct dray_plan *plan, size_t index, struct chance *chance)
{
    struct dray_step *step = &plan->steps[index];
    switch (draw(chance, 4)) {
    case 0:
        return bypass(plan, index, chance);
    case 1:
        step->mode = (enum dray_mode)(((unsigned)step->mode + 1) % 3);
        return 1;
    case 2: /* a second way to a push, right from a validate step */
        for (size_t i = plan->step_count; i-- > 0;) {
            struct dray_step *push = &plan->steps[i];
            if (push->role != DRAY_STEP_PUSH || push->needs_count == 0)
                continue;
            unsigned char above[DRAY_PLAN_MAX_STEPS] = {0};
            mark(plan, i, above);
            for (size_t k = 0; above[index] && k < plan->step_count; k++) {
                if (plan->steps[k].role != DRAY_STEP_VALIDATE)
                    continue;
                push->needs[push->needs_count++] = k; /* there is room for one more */
                return 1;
            }
        }
        return 0;
    default: /* the user's step and the policy's change places */
        if (step->role == DRAY_STEP_GUARD || step->needs_count != 1)
            return 0;
        for (size_t i = 0; i < plan->step_count; i++) {
            struct dray_step *own = &plan->steps[i];
            if (own->needs_count != 1 || own->needs[0] != index || own->origin.policy ||
                (own->role != DRAY_STEP_FILTER && own->role != DRAY_STEP_TRANSFORM))
                continue;
            own->needs[0] = step->needs[0];
            step->needs[0] = i;
            for (size_t k = 0; k < plan->step_count; k++)
                for (size_t n = 0; k != index && n < plan->steps[k].needs_count; n++)
                    if (plan->steps[k].needs[n] == i)
                        plan->steps[k].needs[n] = index;
            return 1;
        }
        return 0;
    }
}

/* ---- Rounds -------------------------------------------------------------------------------- */

struct tally {
    uint64_t made, denied, refused, tampered, split, joins, injected;
};

static void fail_round(const struct made *made, uint64_t seed, const char *what,
                       const struct plan_fixture *fixture)
{
    struct dray_buffer out = {.cap = 1u << 20};
    print_error("DRAY_SEED=%" PRIu64 " DRAY_ROUNDS=1: %s\n", seed, what);
    print_error("user %s, role %s, actor %s\n", made->user, made->role, made->actor);
    /* cmocka cuts long messages */
    for (size_t i = 0; i < strlen(made->workflow); i += 512)
        print_error("%.512s", made->workflow + i);
    for (size_t k = 0; k < made->policy_count; k++)
        for (size_t i = 0; i < strlen(made->texts[k]); i += 512)
            print_error("%.512s", made->texts[k] + i);
    if (fixture->plan)
        dray_plan_print(fixture->plan, &out);
    for (size_t i = 0; i < out.length; i += 512)
        print_error("%.512s", out.data + i);
    dray_buffer_free(&out);
    fail_msg("%s", what);
}

static size_t count_ways(const struct made *made, size_t index)
{
    size_t count = made->steps[index].kind == 's';
    for (size_t i = 0; i < made->steps[index].needs_count; i++)
        count += count_ways(made, made->steps[index].needs[i]);
    return count;
}

/* Are there few enough ways to walk all of them? */
static int is_small(const struct made *made)
{
    for (size_t i = 0; i < made->count; i++)
        if (is_push(&made->steps[i]) && count_ways(made, i) > MAX_WAYS)
            return 0;
    return 1;
}

static enum truth may_be(const struct made *made)
{
    static struct demands demands;
    for (size_t i = 0; i < made->count; i++)
        if (is_push(&made->steps[i]) && list_demands(made, i, &demands) != YES)
            return NO;
    return YES;
}

/* Without the syncing of fixture_write, which would take most of the time. */
static void write_policy(const char *path, const char *text)
{
    dray_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, text, strlen(text)), 0);
}

static void plan(struct plan_fixture *fixture, const struct made *made)
{
    for (size_t i = 0; i < MAX_POLICIES; i++) {
        char name[] = "policies/a.yaml";
        name[9] = (char)('a' + (int)i);
        dray_autofree char *path = dray_format("%s/%s", fixture->directory, name);
        if (i < made->policy_count)
            write_policy(path, made->texts[i]);
        else
            (void)unlink(path);
    }
    fixture->request.user = made->user;
    fixture->request.role = made->role;
    fixture->request.actor = made->actor;
    fixture->request.now = MADE_NOW;
    fixture_plan(fixture, made->workflow);
}

static void count_up(const struct dray_plan *plan, struct tally *tally)
{
    int split = 0, joins = 0, injected = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        split |= !plan->steps[i].origin.policy && strchr(plan->steps[i].id, '@') != NULL;
        joins |= plan->steps[i].needs_count > 1;
        injected |= plan->steps[i].origin.policy != NULL;
    }
    tally->split += (uint64_t)split;
    tally->joins += (uint64_t)joins;
    tally->injected += (uint64_t)injected;
    tally->made++;
}

static void play(struct plan_fixture *fixture, uint64_t seed, struct tally *tally)
{
    static struct made made;
    static const json_t *withs[MAX_POLICIES * MAX_RULES * (MAX_INJECT + 1) + 2];
    struct chance chance = {.state = seed};
    struct verdict verdict;

    do
        make(&made, &chance);
    while (!is_small(&made));
    plan(fixture, &made);
    if (fixture->result == DRAY_DENIED && strncmp(fixture->error.message, "rule ", 5) == 0) {
        if (may_be(&made) == YES)
            fail_round(&made, seed, fixture->error.message, fixture);
        tally->denied++;
        return;
    }
    if (fixture->result != 0)
        fail_round(&made, seed, fixture->error.message, fixture);
    if (may_be(&made) != YES)
        fail_round(&made, seed, "a rule forbids it or cannot be decided, and there is a plan",
                   fixture);
    judge(&made, fixture->plan, &verdict);
    if (verdict.text[0])
        fail_round(&made, seed, verdict.text, fixture);
    count_up(fixture->plan, tally);

    list_withs(fixture->plan, withs, DRAY_COUNT(withs));
    if (prove(&made, fixture->plan, withs) != 0)
        fail_round(&made, seed, "the proof refuses a good plan", fixture);
    size_t index = draw(&chance, (uint32_t)fixture->plan->step_count);
    if (!fixture->plan->steps[index].origin.policy || !tamper(fixture->plan, index, &chance))
        return;
    judge(&made, fixture->plan, &verdict);
    if (!verdict.text[0])
        fail_round(&made, seed, "the test does not see what was done to the plan", fixture);
    if (prove(&made, fixture->plan, withs) != DRAY_BUG)
        fail_round(&made, seed, "the proof does not see what was done to the plan", fixture);
    tally->tampered++;
}

static uint64_t number_from(const char *variable, uint64_t fallback)
{
    const char *text = getenv(variable);
    return text == NULL ? fallback : strtoull(text, NULL, 10);
}

static void test_no_way_to_a_push_goes_past_what_its_rules_put_there(void **state)
{
    uint64_t seed = number_from("DRAY_SEED", (uint64_t)time(NULL));
    uint64_t rounds = number_from("DRAY_ROUNDS", 2500);
    struct tally tally = {0};

    print_message("DRAY_SEED=%" PRIu64 "\n", seed);
    for (uint64_t i = 0; i < rounds; i++)
        play(*state, seed + i, &tally);
    print_message(
        "%" PRIu64 " plans: %" PRIu64 " with injected steps, %" PRIu64 " with joins, %" PRIu64
        " with copies; %" PRIu64 " denied, %" PRIu64 " tampered with\n",
        tally.made, tally.injected, tally.joins, tally.split, tally.denied, tally.tampered);
    /* All must be common, or it says little. */
    if (rounds >= 300)
        assert_true(tally.made > rounds / 2 && tally.injected > rounds / 4 &&
                    tally.joins > rounds / 5 && tally.split > rounds / 20 &&
                    tally.denied > rounds / 200 && tally.tampered > rounds / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_way_to_a_push_goes_past_what_its_rules_put_there,
                                        fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
