/* SPDX-License-Identifier: MIT */
/* A workflow becomes a plan: what it may leave out, who needs whom, and what a plan says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/plan_fixture.h"

#define HEAD     "version: 1\ndataset: ./data\nsteps:\n"
#define PUSH(ID) "  - { id: " ID ", uses: push/hpfs, with: { into: ./" ID " } }\n"
#define PICK(ID) "  - { id: " ID ", uses: filter/glob, with: { include: [" ID "] } }\n"

#define SECOND INT64_C(1000000000)

static void test_source_and_validate_are_added(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, HEAD PUSH("out"));
    assert_string_equal(fixture_order(fixture), "stage validate out");
    assert_string_equal(fixture_needs(fixture, "stage"), "");
    assert_string_equal(fixture_needs(fixture, "validate"), "stage");
    assert_string_equal(fixture_needs(fixture, "out"), "validate");

    const struct dray_step *stage = fixture_step(fixture, "stage");
    assert_string_equal(stage->uses, "source/directory");
    assert_int_equal(stage->role, DRAY_STEP_SOURCE);
    assert_string_equal(json_string_value(json_object_get(stage->with, "path")),
                        fixture->plan->dataset_id);
    assert_string_equal(stage->revision, "r1");
    assert_string_equal(fixture->plan->revision, "r1");
    assert_null(stage->origin.file);
    assert_null(fixture_step(fixture, "validate")->origin.file);
    assert_null(fixture_step(fixture, "validate")->file);

    const struct dray_step *out = fixture_step(fixture, "out");
    assert_string_equal(out->origin.file, "workflow.yaml");
    assert_int_equal(out->origin.line, 4);
    assert_string_equal(out->file, "/plugins/push-hpfs.so");
    assert_string_equal(out->version, "1.0.0");
    assert_string_equal(json_string_value(json_object_get(out->with, "existing")), "fail");
    assert_string_equal(fixture->plan->dataset, "data");
    assert_string_equal(fixture->plan->name, "data");
    assert_string_equal(fixture->plan->symlinks, "keep");
}

static void test_an_archive_is_known_by_its_suffix(void **state)
{
    static const char *const suffixes[] = {".tar",  ".tar.gz", ".tgz", ".tar.bz2",
                                           ".tbz2", ".tar.xz", ".txz", ".tar.zst",
                                           ".tzst", ".zip",    ".7z",  ".TGZ"};
    struct plan_fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(suffixes); i++) {
        dray_autofree char *name = dray_format("a.b%s", suffixes[i]);
        dray_autofree char *dataset = dray_format("./%s", name);
        fixture_write(fixture, name, "");
        fixture->request.dataset = dataset;
        fixture_plan_good(fixture, HEAD PUSH("out"));
        assert_string_equal(fixture->plan->dataset, "a.b");
        assert_string_equal(fixture_step(fixture, "stage")->uses, "source/archive");
    }
    fixture_write(fixture, "plain.gz", "");
    fixture->request.dataset = "./plain.gz";
    fixture_plan_good(fixture, HEAD PUSH("out"));
    assert_string_equal(fixture->plan->dataset, "plain.gz");
    assert_string_equal(fixture_step(fixture, "stage")->uses, "source/directory");
}

/* Its records are kept under its name. */
static void test_a_dataset_is_never_named_by_dots_alone(void **state)
{
    static const char *const names[] = {"...tar", "..tar", "...tar.gz", "..7z"};
    struct plan_fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(names); i++) {
        dray_autofree char *dataset = dray_format("./%s", names[i]);
        dray_autofree char *name = dray_dataset_name(names[i]);
        fixture_write(fixture, names[i], "");
        fixture->request.dataset = dataset;
        fixture_plan_good(fixture, HEAD PUSH("out"));
        assert_string_equal(fixture->plan->dataset, names[i]);
        assert_string_equal(name, names[i]);
    }
    dray_autofree char *dots = dray_dataset_name("....tar");
    assert_string_equal(dots, "...");
}

static void test_the_command_line_overrides_the_dataset(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture->request.dataset = "./other/../other";
    fixture_plan_good(fixture, HEAD PUSH("out"));
    assert_string_equal(fixture->plan->dataset, "other");
    dray_autofree char *id = dray_format("%s/other", fixture->directory);
    assert_string_equal(fixture->plan->dataset_id, id);

    fixture->request.dataset = "other";
    fixture_plan(fixture, HEAD PUSH("out"));
    assert_int_equal(fixture->result, DRAY_NOT_FOUND);
    assert_string_equal(fixture->error.message, "there is no dataset \"other\" in the catalog");
    assert_string_equal(fixture->error.hint, "for the path of that name write ./other");

    fixture->request.dataset = "./nowhere";
    fixture_plan(fixture, HEAD PUSH("out"));
    assert_int_equal(fixture->result, DRAY_NOT_FOUND);
    assert_non_null(strstr(fixture->error.message, "/nowhere cannot be read: No such file"));
    assert_int_equal(fixture->diagnostics.count, 0);
}

static void test_two_pushes_deliver_the_same_tree(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, HEAD PICK("pick") PUSH("a") PUSH("b") PICK("more") PUSH("c"));
    assert_string_equal(fixture_order(fixture), "stage validate pick a b more c");
    assert_string_equal(fixture_needs(fixture, "a"), "pick");
    assert_string_equal(fixture_needs(fixture, "b"), "pick");
    assert_string_equal(fixture_needs(fixture, "more"), "pick");
    assert_string_equal(fixture_needs(fixture, "c"), "more");
    assert_int_equal(fixture->plan->target_count, 3);
}

static void test_needs_may_join_branch_and_look_ahead(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(
        fixture,
        HEAD "  - { id: out, uses: push/hpfs, needs: [right, left], with: { into: ./out } }\n"
             "  - { id: left, uses: filter/glob, needs: [stage], with: { include: [l] } }\n"
             "  - { id: right, uses: filter/glob, needs: [stage], with: { include: [r] } }\n");
    assert_string_equal(fixture_order(fixture), "stage validate left right out");
    assert_string_equal(fixture_needs(fixture, "left"), "validate");
    assert_string_equal(fixture_needs(fixture, "right"), "validate");
    assert_string_equal(fixture_needs(fixture, "out"), "left right");
}

static void test_after_orders_pushes(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(
        fixture,
        HEAD "  - { id: a, uses: push/hpfs, after: [b], with: { into: ./a } }\n" PUSH("b"));
    assert_string_equal(fixture_order(fixture), "stage validate b a");
    const struct dray_step *a = fixture_step(fixture, "a");
    assert_int_equal(a->after_count, 1);
    assert_string_equal(fixture->plan->steps[a->after[0]].id, "b");
    assert_string_equal(fixture_needs(fixture, "a"), "validate");
}

static void test_the_users_own_validate_is_the_sources(void **state)
{
    struct plan_fixture *fixture = *state;

    /* `pick` names the source, and still gets what was validated */
    fixture_plan_good(fixture,
                      HEAD "  - { id: verify, uses: validate, with: { manifest: sums.txt } }\n"
                           "  - { id: pick, uses: filter/glob, needs: [stage] }\n" PUSH("out"));
    assert_string_equal(fixture_order(fixture), "stage verify pick out");
    assert_string_equal(fixture_needs(fixture, "pick"), "verify");
    assert_string_equal(
        json_string_value(json_object_get(fixture_step(fixture, "verify")->with, "manifest")),
        "sums.txt");
}

static void test_every_source_gets_a_validate_of_its_own(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(
        fixture, "version: 1\ndataset: ./data\nsteps:\n"
                 "  - { id: one, uses: source/directory, with: { path: ./data } }\n"
                 "  - { id: two, uses: source/archive, with: { path: ./data.tar.gz } }\n"
                 "  - { id: out, uses: push/hpfs, needs: [one, two], with: { into: ./out } }\n");
    assert_string_equal(fixture_order(fixture), "one validate two validate-2 out");
    assert_string_equal(fixture_needs(fixture, "validate"), "one");
    assert_string_equal(fixture_needs(fixture, "validate-2"), "two");
    assert_string_equal(fixture_needs(fixture, "out"), "validate validate-2");
    assert_int_equal(strlen(fixture->plan->revision), 64);
    assert_string_equal(fixture_step(fixture, "one")->revision, "r1");
}

static void test_implied_ids_give_way(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, HEAD PICK("stage") PICK("validate") PUSH("out"));
    assert_string_equal(fixture_order(fixture), "stage-2 validate-2 stage validate out");
}

static void test_a_source_says_the_dataset_where_nothing_else_does(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(
        fixture, "version: 1\nsteps:\n"
                 "  - { id: s, uses: source/archive, with: { path: data.tar.gz } }\n" PUSH("out"));
    assert_string_equal(fixture->plan->dataset, "data");
}

static void test_parameters_are_replaced(void **state)
{
    static const char workflow[] =
        "version: 1\nname: to ${lab}\ndataset: ./${what}\n"
        "parameters:\n"
        "  lab: { type: string, default: smith }\n"
        "  what: { default: data }\n"
        "  tries: { type: int, default: 2 }\n"
        "  fold: { type: bool, default: false }\n"
        "steps:\n"
        "  - id: pick\n"
        "    uses: filter/glob\n"
        "    with: { include: [\"$${x}-${lab}-$$\"], ignore_case: \"${fold}\" }\n"
        "  - { id: out, uses: push/hpfs, with: { into: \"/hpfs/${lab}\" } }\n";
    static const char *const sets[] = {"lab=jones=${what}", "fold=true"};
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture->plan->name, "to smith");
    assert_string_equal(fixture_target(fixture, "out")->uri, "hpfs:/hpfs/smith/data");
    const json_t *with = fixture_step(fixture, "pick")->with;
    assert_string_equal(json_string_value(json_array_get(json_object_get(with, "include"), 0)),
                        "${x}-smith-$$");
    assert_true(json_is_false(json_object_get(with, "ignore_case")));

    /* a value is text and never looked into again */
    fixture->request.sets = sets;
    fixture->request.set_count = 2;
    fixture_plan_good(fixture, workflow);
    assert_string_equal(fixture_target(fixture, "out")->uri, "hpfs:/hpfs/jones=${what}/data");
    assert_true(json_is_true(json_object_get(fixture_step(fixture, "pick")->with, "ignore_case")));
}

static void test_wrong_sets_are_shown_with_the_command_line(void **state)
{
    static const char *const sets[] = {"lba=x", "n=many", "nothing", "n=3", "n=4"};
    struct plan_fixture *fixture = *state;
    struct dray_buffer out = {.cap = 1u << 16};

    fixture->request.sets = sets;
    fixture->request.set_count = DRAY_COUNT(sets);
    fixture_plan(fixture,
                 "version: 1\ndataset: ./data\n"
                 "parameters: { lab: { default: x }, n: { type: int } }\nsteps:\n" PUSH("out"));
    assert_int_equal(fixture->result, DRAY_INVALID);
    dray_diagnostics_print(&fixture->diagnostics, 0, &out);
    assert_non_null(strstr(out.data,
                           "command line:1:7: error: the workflow has no parameter \"lba\"\n"
                           "    1 | --set lba=x\n"
                           "      |       ^~~ did you mean \"lab\"?\n"));
    assert_non_null(
        strstr(out.data, "command line:1:9: error: \"many\" is no int for parameter \"n\""));
    assert_non_null(strstr(out.data, "--set takes NAME=VALUE"));
    assert_non_null(strstr(out.data, "parameter \"n\" is set twice"));
    dray_buffer_free(&out);
}

static void test_timeouts_and_retries_have_defaults(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, HEAD "  - id: out\n    uses: push/hpfs\n    with: { into: ./out }\n "
                                    "   timeout: 6h\n    stall: 90s\n"
                                    "    retry: { tries: 5, backoff: 20m }\n");
    const struct dray_step *out = fixture_step(fixture, "out");
    assert_int_equal(out->timeout, 6 * 3600 * SECOND);
    assert_int_equal(out->stall, 90 * SECOND);
    assert_int_equal(out->retry.tries, 5);
    assert_int_equal(out->retry.backoff, 1200 * SECOND);
    assert_int_equal(out->retry.max_backoff, 1200 * SECOND);
    const struct dray_step *stage = fixture_step(fixture, "stage");
    assert_int_equal(stage->timeout, 24 * 3600 * SECOND);
    assert_int_equal(stage->stall, 600 * SECOND);
    assert_int_equal(stage->retry.tries, 3);
    assert_int_equal(stage->retry.backoff, 10 * SECOND);
    assert_int_equal(stage->retry.max_backoff, 600 * SECOND);
}

static void test_all_steps_are_asked_about_at_once(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_policy(fixture, "p",
                   "rules:\n  - id: r\n    mode: enforce\n    when: { target.type: cloud }\n"
                   "    inject: [{ uses: filter/size, with: { max: 1 GB } }]\n");
    fixture_plan_good(fixture, HEAD PICK("pick") PUSH("out"));
    assert_int_equal(fixture->askings, 1);
    const json_t *steps = json_object_get(fixture->asked, "steps");
    assert_int_equal(json_array_size(steps), 4);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(fixture->asked, "dataset"), "name")),
        "data");
    const json_t *push = json_array_get(steps, 1), *stage = json_array_get(steps, 2),
                 *rule = json_array_get(steps, 3);
    assert_string_equal(json_string_value(json_object_get(push, "id")), "out");
    assert_true(json_is_true(json_object_get(push, "describe")));
    assert_null(json_object_get(push, "identify"));
    assert_string_equal(json_string_value(json_object_get(stage, "id")), "stage");
    assert_true(json_is_true(json_object_get(stage, "identify")));
    assert_string_equal(json_string_value(json_object_get(rule, "id")), "p/r");
    assert_string_equal(json_string_value(json_object_get(rule, "file")),
                        "/plugins/filter-size.so");
    /* although it does not match this target */
    assert_string_equal(fixture_order(fixture), "stage validate pick out");
}

static void test_the_state_of_the_world_is_an_error_with_its_place(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan(fixture, HEAD PUSH("forbidden"));
    assert_int_equal(fixture->result, DRAY_DENIED);
    assert_string_equal(fixture->error.message, "you may not write there");
    assert_string_equal(fixture->error.where, "workflow.yaml:4:53");
    fixture_plan(fixture, HEAD PUSH("busy"));
    assert_int_equal(fixture->result, DRAY_TEMPORARY);
    /* what can be mended is mended first */
    fixture_plan(fixture, HEAD PUSH("busy") PUSH("missing"));
    assert_int_equal(fixture->result, DRAY_INVALID);
}

static void test_what_is_at_the_target_is_kept(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan_good(fixture, HEAD PUSH("out") PUSH("delivered") PUSH("occupied"));
    assert_int_equal(fixture_target(fixture, "out")->presence, DRAY_ABSENT);
    const struct dray_plan_target *delivered = fixture_target(fixture, "delivered");
    assert_int_equal(delivered->presence, DRAY_DELIVERED);
    assert_string_equal(delivered->found_job, "j-1");
    assert_string_equal(delivered->found_time, "2026-11-23T12:34:31Z");
    assert_int_equal(fixture_target(fixture, "occupied")->presence, DRAY_OCCUPIED);
    assert_string_equal(fixture_target(fixture, "occupied")->found_what, "14 entries");
}

/* An asker that answers something else than was asked. */
static int answer_nothing(void *arg, const json_t *request, json_t **ret_answer,
                          struct dray_error *error)
{
    const char *answer = arg;

    (void)request;
    if (!answer)
        return dray_fail(error, DRAY_UNSUPPORTED, "no runner");
    *ret_answer = json_loads(answer, 0, NULL);
    return 0;
}

static void test_an_answer_is_not_taken_on_trust(void **state)
{
    static char few[] = "{\"steps\": [{}]}", silent[] = "{\"steps\": [{}, {}]}", wrong[] = "[]";
    static char *const answers[] = {few, silent, wrong};
    struct plan_fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(answers); i++) {
        fixture->request.asker = (struct dray_asker){answer_nothing, answers[i]};
        fixture_plan(fixture, HEAD PUSH("out"));
        assert_int_equal(fixture->result, DRAY_BUG);
    }
    fixture->request.asker = (struct dray_asker){answer_nothing, NULL};
    fixture_plan(fixture, HEAD PUSH("out"));
    assert_int_equal(fixture->result, DRAY_UNSUPPORTED);
    assert_string_equal(fixture->error.message, "no runner");
}

static void test_check_needs_no_dataset_and_no_values(void **state)
{
    struct plan_fixture *fixture = *state;
    struct dray_asker asker = fixture->request.asker;
    dray_autofree char *path = dray_format("%s/w.yaml", fixture->directory);

    fixture_write(
        fixture, "w.yaml",
        "version: 1\ndataset: ./not-there\nparameters: { lab: { type: string } }\nsteps:\n"
        "  - { id: pick, uses: filter/glob, with: { include: [\"${lab}\"] } }\n" PUSH("missing"));
    assert_int_equal(
        dray_check_file(path, NULL, &asker, NULL, &fixture->diagnostics, &fixture->error), 0);
    assert_int_equal(fixture->diagnostics.count, 0);
    /* the push is prepared and no more; what the filter will be told is not known */
    assert_int_equal(json_array_size(json_object_get(fixture->asked, "steps")), 1);
    assert_null(
        json_object_get(json_array_get(json_object_get(fixture->asked, "steps"), 0), "describe"));

    fixture_write(fixture, "w.yaml", "version: 1\nsteps:\n" PICK("a**b") PUSH("out"));
    assert_int_equal(
        dray_check_file(path, NULL, &asker, NULL, &fixture->diagnostics, &fixture->error),
        DRAY_INVALID);
    fixture_write(fixture, "w.yaml", "version: 1\npolicy: p\nrevision: 1\nrules: []\n");
    struct dray_diagnostics fresh = {0};
    assert_int_equal(dray_check_file(path, NULL, &asker, NULL, &fresh, &fixture->error), 0);
    fixture_write(fixture, "w.yaml", "version: 1\npolicy: p\nrevision: 0\nrules: []\n");
    assert_int_equal(dray_check_file(path, NULL, &asker, NULL, &fresh, &fixture->error),
                     DRAY_INVALID);
    assert_string_equal(fresh.items[0].message, "`revision` is a number from 1 on, not 0");
    dray_diagnostics_free(&fresh);
    fixture_write(fixture, "w.yaml", "hello: 1\n");
    assert_int_equal(dray_check_file(path, NULL, &asker, NULL, &fresh, &fixture->error),
                     DRAY_INVALID);
    dray_diagnostics_free(&fresh);
    assert_int_equal(
        dray_check_file("/nowhere/w.yaml", NULL, &asker, NULL, &fresh, &fixture->error),
        DRAY_NOT_FOUND);
    dray_diagnostics_free(&fresh);
}

static void test_who_only_reads_needs_no_push(void **state)
{
    static const char text[] = HEAD "  - { id: check, uses: validate, with: { read: now } }\n";
    struct plan_fixture *fixture = *state;

    fixture_plan(fixture, text);
    assert_int_equal(fixture->result, DRAY_INVALID);
    fixture->request.reads_only = 1;
    fixture_plan_good(fixture, text);
    assert_string_equal(fixture_order(fixture), "stage check");
    assert_string_equal(fixture_needs(fixture, "check"), "stage");
    assert_int_equal(fixture->plan->target_count, 0);

    /* A runner takes it. */
    json_t *json = dray_plan_json(fixture->plan);
    dray_cleanup(dray_plan_freep) struct dray_plan *again = NULL;
    assert_int_equal(dray_plan_parse(json, &again, &fixture->error), 0);
    assert_int_equal(again->step_count, 2);
    json_decref(json);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_source_and_validate_are_added),
        TEST(test_an_archive_is_known_by_its_suffix),
        TEST(test_a_dataset_is_never_named_by_dots_alone),
        TEST(test_the_command_line_overrides_the_dataset),
        TEST(test_two_pushes_deliver_the_same_tree),
        TEST(test_needs_may_join_branch_and_look_ahead),
        TEST(test_after_orders_pushes),
        TEST(test_the_users_own_validate_is_the_sources),
        TEST(test_every_source_gets_a_validate_of_its_own),
        TEST(test_implied_ids_give_way),
        TEST(test_a_source_says_the_dataset_where_nothing_else_does),
        TEST(test_parameters_are_replaced),
        TEST(test_wrong_sets_are_shown_with_the_command_line),
        TEST(test_timeouts_and_retries_have_defaults),
        TEST(test_all_steps_are_asked_about_at_once),
        TEST(test_the_state_of_the_world_is_an_error_with_its_place),
        TEST(test_what_is_at_the_target_is_kept),
        TEST(test_an_answer_is_not_taken_on_trust),
        TEST(test_check_needs_no_dataset_and_no_values),
        TEST(test_who_only_reads_needs_no_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
