/* SPDX-License-Identifier: MIT */
/*
 * fuzz_plan.c - a stranger's workflow under a policy that may be broken too: the input is a
 * workflow and, behind a line `%%`, a policy, and behind another one the recipe `r`; or a policy
 * alone, for a workflow that is fine. So the golden files of the unit tests are seeds as they are.
 * Plugins are stand-ins. Beside memory errors, it looks for promises that are broken: a plan or a
 * reason, a denial for whatever is wrong with the policy, problems in order and once each, the same
 * plan from the same text, a plan that comes back from its JSON as it was, and a recipe that is cut
 * out of the workflow and good, or a reason.
 *
 * Half of the inputs are changed by whole lines, some of them from a list of what people write: few
 * of libFuzzer's own changes leave anything that YAML can read.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/io.h"
#include "tests/unit/stand_ins.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

#define SEPARATOR "\n%%\n"

static const char fine_workflow[] =
    "version: 1\nsteps:\n"
    "  - { id: pick, uses: filter/glob }\n"
    "  - { id: lab, uses: push/hpfs, needs: [stage], with: { into: /lab } }\n"
    "  - { id: up, uses: push/cloud, needs: [pick, stage], with: { url: \"c://h/p\" } }\n";

/* ---- Changing inputs by lines */

static const char *const lines[] = {
    "  - { id: a, uses: filter/glob, with: { exclude: [x**, '*.nc'] } }\n",
    "  - { id: b, uses: filter/size, needs: [a], with: { max: 4 KiB } }\n",
    "  - { id: c, uses: transform/mask, needs: [a, b], with: { columns: [x] } }\n",
    "  - { id: s, uses: source/directory, with: { path: /usr } }\n",
    "  - { id: v, uses: validate, needs: [s], with: { manifest: m } }\n",
    "  - { id: p, uses: push/hpfs, needs: [a, s], after: [q], with: { path: /p } }\n",
    "  - { id: q, uses: push/cloud, with: { url: \"c://h/q\", connections: 4 } }\n",
    "  - &x { id: x, uses: filter/glob }\n",
    "  - *x\n",
    "    with: &y { include: [\"${lab}\"] }\n",
    "    with: *y\n",
    "    timeout: 1h30m\n",
    "    retry: { tries: 3, backoff: 1s, max_backoff: 1m }\n",
    "parameters: { lab: { type: int, default: 3 } }\n",
    "tree: { symlinks: copy, keep_empty_dirs: yes }\n",
    "%%\n",
    "policy: p\n",
    "revision: 7\n",
    "rules:\n",
    "steps:\n",
    "  - { id: r, mode: audit, limit: { entries: 5, total_bytes: 1 TB } }\n",
    "  - { id: t, mode: enforce, inject: [{ uses: transform/mask, with: { columns: [y] } }] }\n",
    "    when: { target.type: [cloud, hpfs], not: { user.name: u, target.host: \"h*\" } }\n",
    "    when: { dataset.type?: RAW, not: { not: { actor.name: a } } }\n",
    "    inject:\n",
    "      - { uses: filter/glob, with: { exclude: [raw/] } }\n",
    "      - <<: *x\n",
    "    mode: warn\n",
    "    allow: { target.host: [h, '*.org'], not: { target.path: /x } }\n",
    "    allow: { dataset.tags: human }\n",
    "exceptions:\n",
    "  - { rule: r, user: u, until: 2027-01-31, reason: x }\n",
    "  - { rule: t, dataset: usr, until: 2020-01-31, reason: x }\n",
    "tests:\n",
    "  - { name: n, given: { path: raw/a, size: 5 }, expect: { verdict: drop, rule: t } }\n",
    "  - { name: m, given: { target.type: cloud, entries: 6 }, expect: { verdict: deny } }\n",
    "  - { name: o, given: { dataset.tags: [human] }, expect: { verdict: keep } }\n",
    "        - >-\n          folded\n           text**\n",
};

/* Where one of the lines begins. */
static size_t line_at(const uint8_t *data, size_t size, unsigned number)
{
    size_t at = size ? number % size : 0;

    while (at > 0 && data[at - 1] != '\n')
        at--;
    return at;
}

static size_t insert(uint8_t *data, size_t size, size_t most, size_t at, const void *text,
                     size_t length)
{
    if (size + length > most)
        return size;
    memmove(data + at + length, data + at, size - at);
    memcpy(data + at, text, length);
    return size + length;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    unsigned next = seed * 2654435761u;
    size_t at = line_at(data, size, next >> 3);
    size_t from = line_at(data, size, next >> 11);
    const uint8_t *end = size > from ? memchr(data + from, '\n', size - from) : NULL;
    size_t length = end ? (size_t)(end - data) - from + 1 : size - from;
    const char *line = lines[(next >> 17) % DRAY_COUNT(lines)];
    uint8_t copy[512];

    switch (seed % 8) {
    case 0: /* a line twice */
        length = length < sizeof(copy) ? length : sizeof(copy);
        if (length)
            memcpy(copy, data + from, length);
        return insert(data, size, most, at, copy, length);
    case 1: /* a line less */
        if (length == size)
            return LLVMFuzzerMutate(data, size, most);
        memmove(data + from, data + from + length, size - from - length);
        return size - length;
    case 2:
    case 3:
        return insert(data, size, most, at, line, strlen(line));
    default:
        return LLVMFuzzerMutate(data, size, most);
    }
}

/* ---- Planning */

/* Where the policies lie: a directory of this process, made once and left to the system. */
static const char *policies(void)
{
    static char path[] = "/tmp/dray-fuzz-plan-XXXXXX";
    static int made;

    if (!made)
        assert(mkdtemp(path) != NULL);
    made = 1;
    return path;
}

static void write_policy(const char *text, size_t length)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/p.yaml", policies());
    if (!text) {
        (void)unlink(path);
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert(fd >= 0 && dray_write_all(fd, text, length) == 0);
    assert(dray_close(&fd) == 0);
}

/* The recipe that is made of a workflow. */
static void check_cut(const char *text, size_t length)
{
    dray_autofree char *path = dray_format("%s/w.file", policies());
    struct dray_asker asker = {stand_ins_answer, NULL};
    struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    dray_autofree char *recipe = NULL;

    assert(path && dray_write_file(path, text, length, 0600, &error) == 0);
    int result = dray_recipe_text(path, "r", NULL, &asker, &stand_ins_recipes, &diagnostics,
                                  &recipe, &error);
    assert((result == 0) == (recipe != NULL) && result == error.class_ && result != DRAY_BUG);
    assert(result != DRAY_INVALID || diagnostics.errors > 0);
    dray_diagnostics_free(&diagnostics);
}

static void check_plan(const struct dray_plan *plan)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *parsed = NULL;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 16u << 20};
    struct dray_error error = {0};
    json_t *json = dray_plan_json(plan);

    assert(json && dray_plan_parse(json, &parsed, &error) == 0);
    json_t *again = dray_plan_json(parsed);
    assert(json_equal(json, again));
    json_decref(json);
    json_decref(again);
    dray_plan_print(plan, &out);
    assert(out.failed == 0 && out.length > 0);
    assert(plan->target_count > 0 && strlen(plan->digest) == 64);
}

/* In order, each once, and each with something to read. */
static void check_problems(const struct dray_diagnostics *diagnostics)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 64u << 20};
    size_t errors = 0;

    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct dray_diagnostic *item = &diagnostics->items[i];
        const struct dray_diagnostic *last = i ? item - 1 : NULL;
        errors += item->severity == DRAY_SEVERITY_ERROR;
        assert(item->message[0]);
        if (!last || last->place.source != item->place.source)
            continue;
        assert(last->place.line <= item->place.line);
        assert(last->place.line < item->place.line || last->place.column <= item->place.column);
        assert(last->place.line < item->place.line || last->place.column < item->place.column ||
               strcmp(last->message, item->message) != 0);
    }
    assert(diagnostics->dropped || errors == diagnostics->errors);
    dray_diagnostics_print(diagnostics, 0, &out);
}

/* The same text, the same plan. */
static void check_again(const struct dray_plan_request *request, const struct dray_plan *plan)
{
    struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_plan_freep) struct dray_plan *again = NULL;
    struct dray_error error = {0};

    assert(dray_plan_make(request, &diagnostics, &again, &error) == 0);
    dray_diagnostics_free(&diagnostics);
    json_t *json = dray_plan_json(plan), *other = dray_plan_json(again);
    char *text = json_dumps(json, 0), *other_text = json_dumps(other, 0);
    assert(text && other_text && strcmp(text, other_text) == 0);
    free(text);
    free(other_text);
    json_decref(json);
    json_decref(other);
}

/* Under the policies that it was made under, a stored plan holds, and stays what it is. */
static void check_renewed(const struct dray_plan_request *request, const struct dray_plan *plan)
{
    struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_plan_freep) struct dray_plan *parsed = NULL, *renewed = NULL;
    dray_autofree char *kept = NULL;
    struct dray_error error = {0};
    json_t *json = dray_plan_json(plan);

    assert(dray_plan_parse(json, &parsed, &error) == 0);
    json_decref(json);
    assert(dray_plan_recheck(parsed, NULL, request, &kept, &error) == 0 && !kept);
    assert(dray_plan_renew(parsed, request, &diagnostics, &renewed, &error) == 0);
    assert(strcmp(plan->digest, renewed->digest) == 0);
    dray_diagnostics_free(&diagnostics);
}

/* What a set says of its tests and of a case is an answer or the problems of the set. */
static void check_questions(const struct dray_plan_request *request, int is_denied)
{
    struct dray_diagnostics diagnostics = {0}, others = {0};
    struct dray_error error = {0};
    json_t *tests = NULL, *answer = NULL;
    json_t *facts = json_pack("{s:s, s:s, s:s}", "dataset.name", "usr", "target.type", "cloud",
                              "target.host", "h");
    int result = dray_policy_test(request, &diagnostics, &tests, &error);

    assert(result == error.class_ && (result == 0 || is_denied || diagnostics.errors));
    assert(result != 0 || json_is_array(tests));
    const struct dray_policy_case of = {
        .facts = facts, .path = "raw/a", .size = 5, .total_bytes = 7, .entries = 2};
    int explained = dray_policy_explain(request, &of, &others, &answer, &error);
    assert((explained == 0) == (answer != NULL) && (explained == 0) == (result == 0));
    assert(explained != DRAY_BUG);
    json_decref(tests);
    json_decref(answer);
    json_decref(facts);
    dray_diagnostics_free(&diagnostics);
    dray_diagnostics_free(&others);
}

static void save_recipe(const char *text, size_t length)
{
    dray_autofree char *copy = strndup(text, length);

    assert(copy);
    stand_ins_save("r", copy);
}

static int is_recipe(const struct dray_diagnostics *diagnostics, size_t index)
{
    return strncmp(dray_place_file(diagnostics, diagnostics->items[index].place), "recipe/",
                   strlen("recipe/")) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *policy = size ? memmem(text, size, SEPARATOR, strlen(SEPARATOR)) : NULL;
    int is_alone = size && !policy && memmem(text, size, "\npolicy:", strlen("\npolicy:"));
    const char *recipe = policy ? memmem(policy + 1, size - (size_t)(policy + 1 - text), SEPARATOR,
                                         strlen(SEPARATOR))
                                : NULL;
    size_t end = recipe ? (size_t)(recipe - text) : size;
    const char *const directories[] = {policies()};
    size_t length = policy ? (size_t)(policy - text) : size;
    struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    struct dray_error error = {0};
    const struct dray_plan_request request = {
        .workflow_name = "w.yaml",
        .workflow_text = is_alone ? fine_workflow
                         : size   ? text
                                  : "",
        .workflow_length = is_alone ? strlen(fine_workflow) : length,
        .workflow_base = "/tmp",
        .dataset = "/usr",
        .dataset_base = "/tmp",
        .policy_directories = directories,
        .policy_directory_count = 1,
        .user = "u",
        .now = INT64_C(1780000000) * 1000000000,
        .actor = "a",
        .asker = {stand_ins_answer, NULL},
        .recipes = &stand_ins_recipes,
    };

    if (policy)
        policy += strlen(SEPARATOR);
    if (recipe && recipe < policy)
        recipe = NULL, end = size; /* the two share a line's end */
    if (is_alone)
        write_policy(text, size);
    else
        write_policy(policy, policy ? end - length - strlen(SEPARATOR) : 0);
    stand_ins_forget();
    if (recipe)
        save_recipe(recipe + strlen(SEPARATOR), size - end - strlen(SEPARATOR));
    int result = dray_plan_make(&request, &diagnostics, &plan, &error);
    assert((result == 0) == (plan != NULL));
    assert(result == error.class_ && (result == 0 || error.message[0]));
    /* the proof never has anything to find */
    assert(result != DRAY_BUG);
    if (plan) {
        check_plan(plan);
        check_again(&request, plan);
        check_renewed(&request, plan);
    } else
        assert(result != DRAY_INVALID || diagnostics.errors > 0 ||
               strstr(error.message, "more than"));
    check_problems(&diagnostics);
    for (size_t i = 0; i < diagnostics.count; i++)
        if (diagnostics.items[i].severity == DRAY_SEVERITY_ERROR &&
            diagnostics.items[i].place.source > 0 && !is_recipe(&diagnostics, i))
            assert(result != 0 && result != DRAY_INVALID);
    dray_diagnostics_free(&diagnostics);
    if (is_alone || policy)
        check_questions(&request, result == DRAY_DENIED);
    check_cut(size ? text : "", length);
    return 0;
}
