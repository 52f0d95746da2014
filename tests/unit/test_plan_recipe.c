/* SPDX-License-Identifier: MIT */
/* Recipes in workflows: the plan is that of the same steps written there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "tests/unit/plan_fixture.h"

#define HEAD "version: 1\ndataset: ./data\nsteps:\n"
#define OUT  "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n"
#define USE(WHAT)                                                                                  \
    "  - { id: subset, uses: " WHAT ", with: { var: sst } }\n"                                     \
    "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n"

static const char ocean[] =
    "version: 1\nrecipe: ocean\nsummary: One variable\n"
    "parameters:\n  var: { type: string }\n"
    "  max: { type: string, default: 1 GB }\n"
    "steps:\n"
    "  - { id: pick, uses: filter/glob, with: { include: [\"${var}*\"] } }\n"
    "  - id: small\n    uses: filter/size\n    with: { max: \"${max}\" }\n"
    "    timeout: 2h\n";
static const char one_step[] = "version: 1\nrecipe: ocean\nparameters: { var: { default: x } }\n"
                               "steps:\n  - { id: pick, uses: filter/glob, with: { exclude: "
                               "[\"${var}\"] } }\n";

static void save_ocean(void)
{
    stand_ins_save("ocean", one_step);
    stand_ins_save("ocean", ocean);
}

static const char *option(const struct plan_fixture *fixture, const char *id, const char *name)
{
    const json_t *value = json_object_get(fixture_step(fixture, id)->with, name);

    return json_string_value(json_is_array(value) ? json_array_get(value, 0) : value);
}

static void assert_problem(const struct plan_fixture *fixture, size_t index, const char *file,
                           unsigned line, unsigned column, const char *message)
{
    assert_true(fixture->diagnostics.count > index);
    const struct dray_diagnostic *item = &fixture->diagnostics.items[index];
    assert_string_equal(item->message, message);
    assert_string_equal(dray_place_file(&fixture->diagnostics, item->place), file);
    assert_int_equal(item->place.line, line);
    assert_int_equal(item->place.column, column);
}

static void test_a_step_stands_for_the_recipes_steps(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan_good(fixture, HEAD USE("recipe/ocean"));
    assert_string_equal(fixture_order(fixture), "stage validate subset/pick subset/small out");
    assert_string_equal(fixture_needs(fixture, "subset/pick"), "validate");
    assert_string_equal(fixture_needs(fixture, "subset/small"), "subset/pick");
    assert_string_equal(fixture_needs(fixture, "out"), "subset/small");
    assert_string_equal(option(fixture, "subset/pick", "include"), "sst*");
    assert_int_equal(
        json_integer_value(json_object_get(fixture_step(fixture, "subset/small")->with, "max")),
        1000000000);
}

static void test_its_origin_is_in_the_recipe(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_plan_freep) struct dray_plan *parsed = NULL;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 20};
    struct dray_error error = {0};

    save_ocean();
    fixture_plan_good(fixture, HEAD USE("recipe/ocean"));
    const struct dray_origin *origin = &fixture_step(fixture, "subset/small")->origin;
    assert_string_equal(origin->file, "recipe/ocean@2");
    assert_string_equal(origin->recipe, "ocean@2");
    assert_int_equal(origin->line, 9);
    assert_null(origin->policy);
    assert_null(fixture_step(fixture, "out")->origin.recipe);

    json_t *json = dray_plan_json(fixture->plan);
    const json_t *step = json_array_get(json_object_get(json, "steps"), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(step, "origin"), "recipe")), "ocean@2");
    assert_int_equal(dray_plan_parse(json, &parsed, &error), 0);
    json_t *again = dray_plan_json(parsed);
    assert_true(json_equal(json, again));
    json_decref(again);
    /* what no plan of ours says */
    (void)json_object_set_new(json_object_get(step, "origin"), "policy", json_string("p"));
    (void)json_object_set_new(json_object_get(step, "origin"), "rule", json_string("r"));
    struct dray_plan *refused = NULL;
    assert_int_equal(dray_plan_parse(json, &refused, &error), DRAY_INVALID);
    assert_null(refused);
    json_decref(json);

    dray_plan_print(fixture->plan, &out);
    assert_non_null(strstr(out.data, "recipe/ocean@2:9\n"));
}

static void test_a_version_is_pinned_with_an_at_sign(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan_good(fixture, HEAD USE("recipe/ocean@1"));
    assert_string_equal(fixture_order(fixture), "stage validate subset/pick out");
    assert_string_equal(option(fixture, "subset/pick", "exclude"), "sst");
    fixture_plan_good(fixture, HEAD USE("recipe/ocean@2"));
    assert_string_equal(fixture_order(fixture), "stage validate subset/pick subset/small out");
}

/* Ids and where steps are written are no part of what is delivered. */
static void test_the_request_key_is_that_of_the_same_steps_written_out(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan_good(fixture, HEAD USE("recipe/ocean"));
    dray_autofree char *key = strdup(fixture->plan->targets[0].request_key);
    fixture_plan_good(fixture,
                      HEAD "  - { id: a, uses: filter/glob, with: { include: [\"sst*\"] } }\n"
                           "  - { id: b, uses: filter/size, with: { max: 1 GB } }\n" OUT);
    assert_string_equal(fixture->plan->targets[0].request_key, key);
    fixture_plan_good(fixture, HEAD USE("recipe/ocean@1"));
    assert_string_not_equal(fixture->plan->targets[0].request_key, key);
}

/* The digest of a plan does not say where its steps are written. */
static void test_the_digest_knows_no_recipes(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan_good(fixture, HEAD USE("recipe/ocean@1"));
    dray_autofree char *digest = strdup(fixture->plan->digest);
    stand_ins_save("ocean", one_step);
    fixture_plan_good(fixture, HEAD USE("recipe/ocean"));
    assert_string_equal(fixture_step(fixture, "subset/pick")->origin.recipe, "ocean@3");
    assert_string_equal(fixture->plan->digest, digest);
}

static void test_whoever_needs_it_takes_the_last_steps_tree(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan_good(fixture,
                      HEAD "  - { id: first, uses: filter/glob, with: { exclude: [a] } }\n"
                           "  - { id: other, uses: filter/glob, with: { exclude: [b] } }\n"
                           "  - { id: subset, uses: recipe/ocean, with: { var: v }, needs: [first, "
                           "other] }\n"
                           "  - { id: late, uses: filter/glob, needs: [subset] }\n"
                           "  - { id: out, uses: push/hpfs, with: { into: ./out } }\n"
                           "  - { id: raw, uses: push/hpfs, with: { into: ./raw }, needs: [subset] "
                           "}\n");
    assert_string_equal(fixture_needs(fixture, "subset/pick"), "first other");
    assert_string_equal(fixture_needs(fixture, "late"), "subset/small");
    assert_string_equal(fixture_needs(fixture, "raw"), "subset/small");
    assert_string_equal(fixture_needs(fixture, "out"), "late");
}

static void test_a_recipe_may_be_used_twice_with_other_values(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan_good(fixture,
                      HEAD "  - { id: a, uses: recipe/ocean, with: { var: one } }\n"
                           "  - { id: b, uses: recipe/ocean@2, with: { var: two, max: 5 } }\n" OUT);
    assert_string_equal(fixture_order(fixture), "stage validate a/pick a/small b/pick b/small out");
    assert_string_equal(option(fixture, "a/pick", "include"), "one*");
    assert_string_equal(option(fixture, "b/pick", "include"), "two*");
    /* the same version is one file to the diagnostics, by whatever name */
    assert_int_equal(fixture->diagnostics.source_count, 2);
}

/* Names in a recipe's text are the recipe's, those in `with` the workflow's. */
static void test_parameters_of_workflow_and_recipe_do_not_mix(void **state)
{
    struct plan_fixture *fixture = *state;
    static const char workflow[] =
        "version: 1\ndataset: ./data\nparameters:\n  var: { default: outer }\n"
        "  lab: { default: \"$x\" }\nsteps:\n"
        "  - { id: subset, uses: recipe/ocean, with: { var: \"${lab}-${var}\" } }\n"
        "  - { id: mine, uses: filter/glob, with: { include: [\"${var}\"] } }\n" OUT;

    save_ocean();
    fixture_plan_good(fixture, workflow);
    assert_string_equal(option(fixture, "subset/pick", "include"), "$x-outer*");
    assert_string_equal(option(fixture, "mine", "include"), "outer");

    stand_ins_save("leaky", "version: 1\nrecipe: leaky\nsteps:\n  - { id: a, uses: filter/glob, "
                            "with: { include: [\"${lab}\"] } }\n");
    fixture_plan(fixture, "version: 1\ndataset: ./data\nparameters: { lab: { default: x } }\n"
                          "steps:\n  - { id: subset, uses: recipe/leaky }\n" OUT);
    assert_int_equal(fixture->result, DRAY_INVALID);
    assert_problem(fixture, 1, "recipe/leaky@1", 4, 52, "there is no parameter \"lab\"");
}

static void test_a_value_is_not_expanded_again(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan_good(fixture, HEAD
                      "  - { id: subset, uses: recipe/ocean, with: { var: \"$${max}\" } }\n" OUT);
    assert_string_equal(option(fixture, "subset/pick", "include"), "${max}*");
}

static void test_limits_of_the_step_are_those_of_its_steps_unless_they_have_their_own(void **state)
{
    struct plan_fixture *fixture = *state;
    const int64_t minute = INT64_C(60000000000);

    save_ocean();
    fixture_plan_good(fixture,
                      HEAD "  - id: subset\n    uses: recipe/ocean\n    with: { var: x }\n"
                           "    timeout: 5m\n    stall: 1m\n    retry: { tries: 7 }\n" OUT);
    const struct dray_step *pick = fixture_step(fixture, "subset/pick");
    const struct dray_step *small = fixture_step(fixture, "subset/small");
    assert_int_equal(pick->timeout, 5 * minute);
    assert_int_equal(pick->stall, minute);
    assert_int_equal(pick->retry.tries, 7);
    assert_int_equal(small->timeout, 120 * minute);
    assert_int_equal(small->stall, minute);
    assert_int_equal(fixture_step(fixture, "out")->timeout, 24 * 60 * minute);
}

/* A recipe's steps are the user's: what policies demand stands before them, and is proved. */
static void test_injected_steps_stand_before_a_recipes(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_policy(fixture, "site",
                   "rules:\n"
                   "  - { id: raw, mode: enforce, inject: [{ uses: filter/glob, with: { exclude: "
                   "[raw/] } }] }\n"
                   "  - { id: cap, mode: enforce, when: { target.type: cloud }, limit: { entries: "
                   "5 } }\n"
                   "  - { id: tmp, mode: enforce, when: { target.type: cloud }, inject: [{ uses: "
                   "filter/glob, with: { exclude: [tmp/] } }] }\n");
    fixture_plan_good(fixture, HEAD USE("recipe/ocean") "  - { id: up, uses: push/cloud, with: { "
                                                        "url: \"s3://lab.example.edu/b/\" } "
                                                        "}\n");
    assert_string_equal(fixture_order(fixture),
                        "stage validate site/raw site/raw@up site/tmp@up subset/pick "
                        "subset/pick@up subset/small subset/small@up out site/cap@up up");
    assert_string_equal(fixture_needs(fixture, "subset/pick"), "site/raw");
    assert_string_equal(fixture_needs(fixture, "subset/pick@up"), "site/tmp@up");
    assert_string_equal(fixture_needs(fixture, "site/cap@up"), "subset/small@up");
    assert_string_equal(fixture_step(fixture, "subset/pick@up")->origin.recipe, "ocean@2");
    assert_null(fixture_step(fixture, "site/raw")->origin.recipe);
}

/* Ids of injected steps are made of two parts as well. */
static void test_a_step_is_not_called_like_a_rule(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_policy(fixture, "subset",
                   "rules:\n  - { id: pick, mode: enforce, inject: [{ uses: filter/glob, with: { "
                   "exclude: [raw/] } }] }\n");
    fixture_plan(fixture, HEAD USE("recipe/ocean"));
    assert_int_equal(fixture->result, DRAY_INVALID);
    dray_autofree char *message =
        dray_format("step \"pick\" of recipe/ocean@2 would be called \"subset/pick\" here, and so "
                    "is a rule of %s/subset.yaml",
                    fixture->policies);
    assert_problem(fixture, 0, "workflow.yaml", 4, 11, message);
}

static void test_a_fault_is_shown_in_the_recipe_and_noted_in_the_workflow(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan(fixture,
                 HEAD "  - { id: good, uses: recipe/ocean, with: { var: fine } }\n"
                      "  - { id: subset, uses: recipe/ocean, with: { var: \"a**b\" } }\n" OUT);
    assert_int_equal(fixture->result, DRAY_INVALID);
    assert_int_equal(fixture->diagnostics.count, 2);
    assert_problem(fixture, 0, "workflow.yaml", 5, 25,
                   "\"subset\" stands for the steps of recipe/ocean@2, where there is a problem");
    assert_int_equal(fixture->diagnostics.items[0].severity, DRAY_SEVERITY_NOTE);
    assert_problem(fixture, 1, "recipe/ocean@2", 8, 54,
                   "`**` stands only as a whole segment (with its parameters: \"a**b*\")");
    assert_string_equal(fixture->error.where, "recipe/ocean@2:8:54");
    assert_int_equal(fixture->diagnostics.errors, 1);
}

static void test_inner_steps_are_not_for_the_workflow(void **state)
{
    struct plan_fixture *fixture = *state;

    save_ocean();
    fixture_plan(fixture, HEAD "  - { id: subset, uses: recipe/ocean, with: { var: x } }\n"
                               "  - { id: out, uses: push/hpfs, with: { into: ./out }, needs: "
                               "[subset/pick] }\n");
    assert_int_equal(fixture->result, DRAY_INVALID);
    assert_problem(fixture, 0, "workflow.yaml", 5, 64, "no step has the id \"subset/pick\"");
}

static void test_who_cannot_have_recipes_is_told_so(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture->request.recipes = NULL;
    fixture_plan(fixture, HEAD USE("recipe/ocean"));
    assert_int_equal(fixture->result, DRAY_INVALID);
    assert_problem(fixture, 0, "workflow.yaml", 4, 25, "there is no recipe \"ocean\"");
}

/* A failure of the world is none of the file. */
static void test_a_store_that_cannot_be_read_stops_the_plan(void **state)
{
    struct plan_fixture *fixture = *state;

    fixture_plan(fixture, HEAD USE("recipe/locked"));
    assert_int_equal(fixture->result, DRAY_TEMPORARY);
    assert_string_equal(fixture->error.message, "the database is locked");
    assert_string_equal(fixture->error.where, "workflow.yaml:4:25");
}

static void test_steps_of_recipes_count(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1u << 20};

    save_ocean();
    dray_buffer_text(&text, HEAD);
    for (int i = 0; i < 251; i++)
        dray_buffer_format(&text, "  - { id: s%d, uses: recipe/ocean, with: { var: x } }\n", i);
    dray_buffer_text(&text, OUT);
    fixture_plan(fixture, text.data);
    assert_int_equal(fixture->result, DRAY_INVALID);
    assert_problem(fixture, 0, "workflow.yaml", 4, 3,
                   "a workflow has at most 500 steps, and this one 503 with those of its recipes");
}

static void test_check_knows_recipes_and_what_uses_them(void **state)
{
    struct plan_fixture *fixture = *state;
    struct dray_asker asker = {stand_ins_answer, NULL};
    struct dray_diagnostics fresh = {0};
    dray_autofree char *recipe = dray_format("%s/recipe.yaml", fixture->directory);
    dray_autofree char *workflow = dray_format("%s/work.yaml", fixture->directory);

    /* a value that is not known yet is no problem, neither here nor there */
    fixture_write(fixture, "recipe.yaml", ocean);
    fixture_write(fixture, "work.yaml",
                  "version: 1\ndataset: ./data\nparameters: { v: { type: string } }\nsteps:\n"
                  "  - { id: subset, uses: recipe/ocean, with: { var: \"${v}\" } }\n" OUT);
    assert_int_equal(
        dray_check_file(recipe, NULL, &asker, &stand_ins_recipes, &fresh, &fixture->error), 0);
    assert_int_equal(
        dray_check_file(workflow, NULL, &asker, &stand_ins_recipes, &fresh, &fixture->error),
        DRAY_INVALID);
    dray_diagnostics_free(&fresh);
    fresh = (struct dray_diagnostics){0};
    save_ocean();
    assert_int_equal(
        dray_check_file(workflow, NULL, &asker, &stand_ins_recipes, &fresh, &fixture->error), 0);
    dray_diagnostics_free(&fresh);
    fixture->error = (struct dray_error){0};
}

/* ---- what is saved */

/* The text for recipe `name` from that file; NULL when there were problems, which stay. */
static char *text_of(struct plan_fixture *fixture, const char *name, const char *file)
{
    struct dray_asker asker = {stand_ins_answer, NULL};
    dray_autofree char *path = dray_format("%s/file.yaml", fixture->directory);
    char *text = NULL;

    fixture_write(fixture, "file.yaml", file);
    dray_diagnostics_free(&fixture->diagnostics);
    fixture->result = dray_recipe_text(path, name, NULL, &asker, &stand_ins_recipes,
                                       &fixture->diagnostics, &text, &fixture->error);
    assert_int_equal(fixture->result == 0, text != NULL);
    return text;
}

static void test_a_recipes_file_is_saved_as_it_is(void **state)
{
    struct plan_fixture *fixture = *state;
    dray_autofree char *text = text_of(fixture, "ocean", ocean);

    assert_string_equal(text, ocean);
    assert_null(text_of(fixture, "sea", ocean));
    assert_string_equal(fixture->diagnostics.items[0].message,
                        "the recipe in this file is called \"ocean\", not \"sea\"");
}

static void test_a_workflows_steps_are_saved_in_their_own_words(void **state)
{
    static const char *const pairs[][2] = {
        {"version: 1\ndataset: ./data\nparameters:\n  v: { default: \"a \\\"b\" }\n"
         "  lab: { default: x }\n  n: { type: int, default: 7 }\n# steps\nsteps:\n"
         "  # remark\n  - id: pick  # why\n    uses: filter/glob\n    with:\n      include:\n"
         "        - \"${v}\"  # that\n\n  - id: small\n    uses: filter/size\n"
         "    needs: [pick]\n    with: { max: \"${n}\" }\n    timeout: 1h\n"
         "  # remark of the push\n  - { id: out, uses: push/hpfs, with: { into: \"./${lab}\" } }\n",
         "version: 1\nrecipe: r\nparameters:\n  v: { type: string, default: \"a \\\"b\" }\n"
         "  n: { type: int, default: 7 }\nsteps:\n"
         "  # remark\n  - id: pick  # why\n    uses: filter/glob\n    with:\n      include:\n"
         "        - \"${v}\"  # that\n\n  - id: small\n    uses: filter/size\n"
         "    with: { max: \"${n}\" }\n    timeout: 1h\n"},
        {HEAD "  - { id: a, uses: filter/glob, with: { exclude: [\"}, needs: [\"] }, needs: [v] }\n"
              "  - { id: v, uses: validate, needs: [s] }\n"
              "  - { id: s, uses: source/directory, with: { path: ./data } }\n"
              "  - { needs: [a], id: b, uses: filter/size }\n" OUT,
         "version: 1\nrecipe: r\nsteps:\n"
         "  - { id: a, uses: filter/glob, with: { exclude: [\"}, needs: [\"] } }\n"
         "  - { id: b, uses: filter/size }\n"},
        {HEAD "- id: b\n  uses: filter/size\n- id: c\n  uses: filter/size\n  needs:\n  - b\n"
              "- id: out\n  uses: push/hpfs\n  with: { into: ./out }\n",
         "version: 1\nrecipe: r\nsteps:\n- id: b\n  uses: filter/size\n"
         "- id: c\n  uses: filter/size\n"},
        {"version: 1\nsteps: [ { id: é, uses: push/hpfs } ]\n", NULL},
        {"version: 1\nsteps: [ { id: a, uses: filter/glob, with: { include: ['it''s ]', \"\\\"]\"] "
         "} }, # ] }\n  { id: out, uses: push/hpfs, with: { into: ./out } } ]\ndataset: ./data\n",
         "version: 1\nrecipe: r\nsteps:\n  - { id: a, uses: filter/glob, with: { include: ['it''s "
         "]', \"\\\"]\"] } }\n"},
    };
    struct plan_fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(pairs); i++) {
        dray_autofree char *text = text_of(fixture, "r", pairs[i][0]);
        if (pairs[i][1] && !text)
            fail_msg("%zu: %s", i, fixture->error.message);
        if (pairs[i][1])
            assert_string_equal(text, pairs[i][1]);
        else
            assert_null(text);
        fixture->error = (struct dray_error){0};
    }
}

static void test_a_workflow_that_cannot_be_saved_says_why(void **state)
{
    static const char *const pairs[][2] = {
        {HEAD OUT, "the workflow has no filter or transform that a recipe could hold"},
        {HEAD "  - { id: a, uses: filter/size }\n  - { id: b, uses: filter/size, needs: [v] }\n"
              "  - { id: v, uses: validate, needs: [s] }\n"
              "  - { id: s, uses: source/directory, with: { path: ./data } }\n"
              "  - { id: c, uses: filter/size, needs: [a, b] }\n" OUT,
         "\"a\" has no tree to take: no step stands above it"},
        {HEAD "  - { id: s, uses: source/directory, with: { path: ./data } }\n"
              "  - { id: a, uses: filter/size }\n  - { id: b, uses: filter/size, needs: [s] }\n"
              "  - { id: out, uses: push/hpfs, with: { into: ./out }, needs: [a, b] }\n",
         "\"b\" does not take the tree of \"a\" alone"},
        {HEAD "  - { id: s, uses: source/directory, with: { path: ./data } }\n"
              "  - { id: a, uses: filter/size }\n  - { id: b, uses: filter/size, needs: [a, s] }\n"
              "  - { id: out, uses: push/hpfs, with: { into: ./out }, needs: [b] }\n",
         "\"b\" does not take the tree of \"a\" alone"},
        {HEAD "  - { id: a, uses: filter/size }\n  - { id: r, uses: recipe/ocean@1 }\n" OUT,
         "\"r\" is a recipe itself, and a recipe uses no other"},
        {HEAD "  - { id: a, uses: filter/listed, with: { list: ./names } }\n" OUT,
         "option \"list\" of filter/listed takes an absolute path here, not \"./names\""},
        {"version: 1\ndataset: &x ./data\nsteps:\n"
         "  - { id: a, uses: filter/glob, with: { include: [ *x ] } }\n" OUT,
         "the steps cannot be taken out of this file as they are written"},
        {"version: 1\npolicy: p\nrevision: 1\nrules: []\n",
         "this is neither a recipe nor a workflow"},
        {"[]\n", "this is neither a recipe nor a workflow"},
        {"", "the file has nothing in it"},
    };
    struct plan_fixture *fixture = *state;

    save_ocean();
    for (size_t i = 0; i < DRAY_COUNT(pairs); i++) {
        assert_null(text_of(fixture, "r", pairs[i][0]));
        assert_int_equal(fixture->result, DRAY_INVALID);
        assert_string_equal(fixture->diagnostics.items[0].message, pairs[i][1]);
    }
    fixture->error = (struct dray_error){0};
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_step_stands_for_the_recipes_steps),
        TEST(test_its_origin_is_in_the_recipe),
        TEST(test_a_version_is_pinned_with_an_at_sign),
        TEST(test_the_request_key_is_that_of_the_same_steps_written_out),
        TEST(test_the_digest_knows_no_recipes),
        TEST(test_whoever_needs_it_takes_the_last_steps_tree),
        TEST(test_a_recipe_may_be_used_twice_with_other_values),
        TEST(test_parameters_of_workflow_and_recipe_do_not_mix),
        TEST(test_a_value_is_not_expanded_again),
        TEST(test_limits_of_the_step_are_those_of_its_steps_unless_they_have_their_own),
        TEST(test_injected_steps_stand_before_a_recipes),
        TEST(test_a_step_is_not_called_like_a_rule),
        TEST(test_a_fault_is_shown_in_the_recipe_and_noted_in_the_workflow),
        TEST(test_inner_steps_are_not_for_the_workflow),
        TEST(test_who_cannot_have_recipes_is_told_so),
        TEST(test_a_store_that_cannot_be_read_stops_the_plan),
        TEST(test_steps_of_recipes_count),
        TEST(test_check_knows_recipes_and_what_uses_them),
        TEST(test_a_recipes_file_is_saved_as_it_is),
        TEST(test_a_workflows_steps_are_saved_in_their_own_words),
        TEST(test_a_workflow_that_cannot_be_saved_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
