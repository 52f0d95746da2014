/* SPDX-License-Identifier: MIT */
/* A step's `with` against a plugin's table: what comes out, and what a user is told of each way to
 * get it wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/text.h"
#include "core/plugin/options.h"

static char name_yes[] = "yes", name_number[] = "number", name_size[] = "size",
            name_wait[] = "wait", name_mode[] = "mode", name_text[] = "text", name_into[] = "into",
            name_include[] = "include", name_tags[] = "tags", name_key[] = "credentials",
            name_must[] = "must";
static char help[] = "What it is for", modes[] = "fail|merge|replace", default_size[] = "4 KiB",
            default_mode[] = "merge", default_into[] = "./out//", default_yes[] = "true",
            default_wait[] = "none";
static char name[] = "test", version[] = "1.0.0", summary[] = "A plugin of this test",
            file[] = "/f", digest[] = "d";

static struct dray_option_info rows[] = {
    {name_yes, help, default_yes, NULL, 0, 1, DRAY_TYPE_BOOL, 0},
    {name_number, help, NULL, NULL, 1, 100, DRAY_TYPE_INT, 0},
    {name_size, help, default_size, NULL, 0, 1 << 20, DRAY_TYPE_SIZE, 0},
    {name_wait, help, default_wait, NULL, INT64_C(1000000000), INT64_MAX, DRAY_TYPE_DURATION, 0},
    {name_mode, help, default_mode, modes, 0, 0, DRAY_TYPE_CHOICE, 0},
    {name_text, help, NULL, NULL, 0, 0, DRAY_TYPE_STRING, DRAY_OPTION_DEPRECATED},
    {name_into, help, default_into, NULL, 0, 0, DRAY_TYPE_PATH, 0},
    {name_include, help, NULL, NULL, 0, 0, DRAY_TYPE_STRINGS, 0},
    {name_tags, help, NULL, NULL, 0, 0, DRAY_TYPE_MAP, 0},
    {name_key, help, NULL, NULL, 0, 0, DRAY_TYPE_SECRET, 0},
    {name_must, help, NULL, NULL, 0, 0, DRAY_TYPE_STRING, DRAY_OPTION_REQUIRED},
};

static struct dray_plugin_info plugin = {
    .file = file,
    .digest = digest,
    .name = name,
    .version = version,
    .summary = summary,
    .kind = DRAY_KIND_FILTER,
    .minor = 1,
    .options = rows,
    .option_count = DRAY_COUNT(rows),
};

/* One check of the `with` in a document of that text. */
struct outcome {
    struct dray_diagnostics diagnostics;
    struct dray_document *document;
    json_t *with;
};

static void outcome_free(struct outcome *outcome)
{
    json_decref(outcome->with);
    dray_document_free(outcome->document);
    dray_diagnostics_free(&outcome->diagnostics);
}

/* ${who} is "world", ${seven} is 7; anything else in ${} is reported. */
static char *expand(void *arg, const struct dray_node *scalar)
{
    struct dray_diagnostics *diagnostics = arg;
    const char *start = strstr(scalar->text, "${");

    if (start == NULL)
        return strdup(scalar->text);
    if (strncmp(start, "${seven}", 8) == 0)
        return dray_format("%.*s7%s", (int)(start - scalar->text), scalar->text, start + 8);
    if (strncmp(start, "${who}", 6) == 0)
        return dray_format("%.*sworld%s", (int)(start - scalar->text), scalar->text, start + 6);
    if (strncmp(start, "${bytes}", 8) == 0)
        return strdup("\xff");
    dray_diagnose(diagnostics, scalar->place, DRAY_SEVERITY_ERROR, "no such parameter");
    return NULL;
}

static void check_from(const char *base, const char *yaml, struct outcome *ret_outcome)
{
    const struct dray_place step = {0, 1, 1, 1};
    struct dray_error error = {0};

    *ret_outcome = (struct outcome){0};
    assert_int_equal(dray_document_parse("w.yaml", yaml, strlen(yaml), &ret_outcome->diagnostics,
                                         &ret_outcome->document, &error),
                     0);
    assert_int_equal(ret_outcome->diagnostics.count, 0);
    assert_int_equal(
        dray_options_check(&plugin, "filter/test",
                           dray_node_get(dray_document_root(ret_outcome->document), "with"), step,
                           base, expand, &ret_outcome->diagnostics, &ret_outcome->diagnostics,
                           &ret_outcome->with, &error),
        0);
}

static void check(const char *yaml, struct outcome *ret_outcome)
{
    check_from("/data/flows", yaml, ret_outcome);
}

/* `with: { must: x, PART }` passes and gives that value for the option. */
static void assert_value(const char *part, const char *option, const char *expected)
{
    dray_cleanup(outcome_free) struct outcome outcome;
    dray_autofree char *yaml = dray_format("with: { must: x, %s }", part);
    dray_autofree char *found = NULL;

    check(yaml, &outcome);
    for (size_t i = 0; i < outcome.diagnostics.count; i++)
        if (outcome.diagnostics.items[i].severity == DRAY_SEVERITY_ERROR)
            fail_msg("%s: %s", part, outcome.diagnostics.items[i].message);
    found = json_dumps(json_object_get(outcome.with, option), JSON_ENCODE_ANY | JSON_COMPACT);
    assert_non_null(found);
    assert_string_equal(found, expected);
}

/* What is wrong is not used: its default is, where there is one that hangs on nothing else. */
static void assert_default(const json_t *with, const char *option)
{
    dray_cleanup(outcome_free) struct outcome outcome;
    const json_t *value = json_object_get(with, option);

    check("with: { must: x }", &outcome);
    const json_t *fallback = json_object_get(outcome.with, option);
    if (strcmp(option, "into") == 0 || strcmp(option, "must") == 0)
        assert_null(value);
    else if ((value || fallback) && !json_equal(value, fallback))
        fail_msg("%s has not its default", option);
}

/* `with: { must: x, PART }` has that one problem, at that column, and no value for the option. */
static void assert_wrong(const char *part, unsigned column, const char *message, const char *hint)
{
    dray_cleanup(outcome_free) struct outcome outcome;
    dray_autofree char *yaml = dray_format("with: { must: x, %s }", part);
    dray_autofree char *option = strndup(part, strcspn(part, ":"));
    const struct dray_diagnostic *item;

    check(yaml, &outcome);
    assert_int_equal(outcome.diagnostics.errors, 1);
    item = &outcome.diagnostics.items[outcome.diagnostics.count - 1];
    assert_string_equal(item->message, message);
    assert_int_equal(item->place.line, 1);
    assert_int_equal(item->place.column, column);
    if (hint == NULL)
        assert_null(item->hint);
    else if (item->hint == NULL)
        fail_msg("%s: no hint", part);
    else
        assert_string_equal(item->hint, hint);
    assert_default(outcome.with, option);
}

/* The first column of a value: "with: { must: x, " has 17 characters. */
#define AT(OPTION) (17 + (unsigned)sizeof(OPTION ": "))

static void defaults_come_out_typed_and_absent_options_are_left_out(void **state)
{
    dray_cleanup(outcome_free) struct outcome outcome;
    dray_autofree char *found = NULL;

    (void)state;
    check("with: { must: x }", &outcome);
    assert_int_equal(outcome.diagnostics.count, 0);
    found = json_dumps(outcome.with, JSON_COMPACT);
    assert_string_equal(found, "{\"yes\":true,\"size\":4096,\"wait\":\"none\",\"mode\":\"merge\","
                               "\"into\":\"/data/flows/out\",\"must\":\"x\"}");
}

static void options_come_out_in_the_tables_order(void **state)
{
    dray_cleanup(outcome_free) struct outcome outcome;
    dray_autofree char *found = NULL;

    (void)state;
    check("with:\n  must: m\n  include: [b, a]\n  tags: { z: 1, a: 2 }\n  mode: fail\n"
          "  number: 5\n  yes: false\n  into: /x\n  size: 1\n  wait: 1s\n",
          &outcome);
    assert_int_equal(outcome.diagnostics.count, 0);
    found = json_dumps(outcome.with, JSON_COMPACT);
    assert_string_equal(found, "{\"yes\":false,\"number\":5,\"size\":1,\"wait\":1000000000,"
                               "\"mode\":\"fail\",\"into\":\"/x\",\"include\":[\"b\",\"a\"],"
                               "\"tags\":{\"z\":\"1\",\"a\":\"2\"},\"must\":\"m\"}");
}

static void numbers_are_read_as_their_types(void **state)
{
    (void)state;
    assert_value("yes: True", "yes", "true");
    assert_value("number: 0x10", "number", "16");
    assert_value("number: +7", "number", "7");
    assert_value("size: 10", "size", "10");
    assert_value("size: 4 KiB", "size", "4096");
    assert_value("size: \"1.5 kB\"", "size", "1500");
    assert_value("wait: 1h30m", "wait", "5400000000000");
    assert_value("mode: replace", "mode", "\"replace\"");
    assert_value("mode: \"fail\"", "mode", "\"fail\"");
}

static void what_is_no_number_is_told_so(void **state)
{
    (void)state;
    assert_wrong("yes: no", AT("yes"),
                 "option \"yes\" of filter/test takes true or false, not \"no\"", "write false");
    assert_wrong("yes: maybe", AT("yes"),
                 "option \"yes\" of filter/test takes true or false, not \"maybe\"", NULL);
    assert_wrong("yes: \"true\"", AT("yes"),
                 "option \"yes\" of filter/test takes true or false, not a string",
                 "leave the quotes out");
    assert_wrong("number: many", AT("number"),
                 "option \"number\" of filter/test takes a whole number, not \"many\": it is not a "
                 "whole number",
                 NULL);
    assert_wrong("number: \"5\"", AT("number"),
                 "option \"number\" of filter/test takes a whole number, not a string",
                 "leave the quotes out");
    assert_wrong("number: 010", AT("number"),
                 "option \"number\" of filter/test takes a whole number, not \"010\": in YAML a "
                 "number has no leading zeros",
                 NULL);
    assert_wrong("number: 99999999999999999999", AT("number"),
                 "option \"number\" of filter/test takes a whole number, not "
                 "\"99999999999999999999\": it does not fit into 64 bits",
                 NULL);
    assert_wrong("number: [1]", AT("number"),
                 "option \"number\" of filter/test takes a whole number, not a list",
                 "write number: 1");
    assert_wrong("mode: [merge]", AT("mode"),
                 "option \"mode\" of filter/test takes fail, merge or replace, not a list",
                 "write mode: merge");
    assert_wrong("size: 4 KX", AT("size"),
                 "option \"size\" of filter/test takes a size (10, 4 KiB, 1.5 GB, none), not \"4 "
                 "KX\": its unit is none of B, kB, MB, GB, TB, PB (powers of 1000), KiB, MiB, GiB, "
                 "TiB, PiB (powers of 1024)",
                 NULL);
    assert_wrong("wait: 30", AT("wait"),
                 "option \"wait\" of filter/test takes a duration (30s, 10m, 1h30m, none), not "
                 "\"30\": a unit is missing: ms, s, m, h or d, as in 30s or 1h30m",
                 NULL);
}

static void values_out_of_range_are_told_the_bound(void **state)
{
    (void)state;
    assert_wrong("number: 0", AT("number"),
                 "option \"number\" of filter/test takes at least 1, not \"0\"", NULL);
    assert_wrong("number: 101", AT("number"),
                 "option \"number\" of filter/test takes at most 100, not \"101\"", NULL);
    assert_wrong("size: 2 MiB", AT("size"),
                 "option \"size\" of filter/test takes at most 1.0 MiB, not \"2 MiB\"", NULL);
    assert_wrong("size: none", AT("size"),
                 "option \"size\" of filter/test takes at most 1.0 MiB, not \"none\"", NULL);
    assert_wrong("wait: 500ms", AT("wait"),
                 "option \"wait\" of filter/test takes at least 1s, not \"500ms\"", NULL);
}

static void a_choice_suggests_the_nearest(void **state)
{
    (void)state;
    assert_wrong("mode: mrege", AT("mode"),
                 "option \"mode\" of filter/test takes fail, merge or replace, not \"mrege\"",
                 "did you mean \"merge\"?");
    assert_wrong("mode: xyz", AT("mode"),
                 "option \"mode\" of filter/test takes fail, merge or replace, not \"xyz\"", NULL);
}

static void a_string_takes_what_yaml_would_read_as_something_else(void **state)
{
    (void)state;
    assert_value("text: 2024", "text", "\"2024\"");
    assert_value("text: true", "text", "\"true\"");
    assert_value("text: 1.50", "text", "\"1.50\"");
    assert_value("text: \"\"", "text", "\"\"");
    assert_value("text: \"null\"", "text", "\"null\"");
    assert_value("include: [2024, no, 0640]", "include", "[\"2024\",\"no\",\"0640\"]");
    assert_wrong("text: [a]", AT("text"),
                 "option \"text\" of filter/test takes a string, not a list", "write text: a");
    assert_wrong("text: { a: b }", AT("text"),
                 "option \"text\" of filter/test takes a string, not a mapping", NULL);
}

static void no_value_is_an_error_for_every_type(void **state)
{
    static const char *const options[][2] = {
        {"yes", "true or false"},
        {"size", "a size (10, 4 KiB, 1.5 GB, none)"},
        {"text", "a string"},
        {"into", "a path"},
        {"include", "a list of strings"},
        {"tags", "a mapping of strings"},
        {"credentials", "the name of a secret"},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(options); i++) {
        dray_autofree char *part = dray_format("%s: null", options[i][0]);
        dray_autofree char *message =
            dray_format("option \"%s\" of filter/test has no value", options[i][0]);
        dray_autofree char *hint = dray_format("write %s, or leave the option out", options[i][1]);
        assert_wrong(part, 18 + (unsigned)strlen(options[i][0]) + 2, message, hint);
    }
}

static void paths_are_made_absolute_from_the_files_folder(void **state)
{
    (void)state;
    assert_value("into: out", "into", "\"/data/flows/out\"");
    assert_value("into: ./a//b/./c/", "into", "\"/data/flows/a/b/c\"");
    assert_value("into: ../x/", "into", "\"/data/flows/../x\"");
    assert_value("into: /hpfs//lab/", "into", "\"/hpfs/lab\"");
    assert_value("into: /", "into", "\"/\"");
    assert_value("into: 2024", "into", "\"/data/flows/2024\"");
    assert_value("into: \"a~\"", "into", "\"/data/flows/a~\"");
    assert_wrong("into: \"~/out\"", AT("into"),
                 "option \"into\" of filter/test takes a path, not \"~/out\": only a shell knows "
                 "what ~ stands for",
                 "write the whole path");
    assert_wrong("into: \"\"", AT("into"), "option \"into\" of filter/test takes a path, not \"\"",
                 NULL);
}

/* A file that is used from anywhere has no folder to start from. */
static void without_a_folder_paths_have_to_be_absolute(void **state)
{
    static const char *const pairs[][2] = {
        {"with: { must: x, into: out }",
         "option \"into\" of filter/test takes an absolute path here, not \"out\""},
        {"with: { must: x, into: \"${who}/out\" }",
         "option \"into\" of filter/test takes an absolute path here, not \"world/out\""},
        {"with: { must: x, into: \"\" }", "option \"into\" of filter/test takes a path, not \"\""},
        {"with: { must: x }", "option \"into\" of filter/test has to be given here: its default is "
                              "a relative path"},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(pairs); i++) {
        dray_cleanup(outcome_free) struct outcome outcome;
        check_from(NULL, pairs[i][0], &outcome);
        assert_int_equal(outcome.diagnostics.count, 1);
        assert_string_equal(outcome.diagnostics.items[0].message, pairs[i][1]);
        assert_null(json_object_get(outcome.with, "into"));
    }
    dray_cleanup(outcome_free) struct outcome outcome;
    check_from(NULL, "with: { must: x, into: /out//./x }", &outcome);
    assert_int_equal(outcome.diagnostics.count, 0);
    assert_string_equal(json_string_value(json_object_get(outcome.with, "into")), "/out/x");
}

static void a_list_takes_only_strings_and_shows_how_one_is_written(void **state)
{
    (void)state;
    assert_value("include: []", "include", "[]");
    assert_value("include: [\"*.nc\", '']", "include", "[\"*.nc\",\"\"]");
    assert_wrong("include: 5", AT("include"),
                 "option \"include\" of filter/test takes a list of strings, not a number",
                 "write [\"5\"]");
    assert_wrong("include: \"*.nc\"", AT("include"),
                 "option \"include\" of filter/test takes a list of strings, not a string",
                 "write [\"*.nc\"]");
    assert_wrong("include: 'say \"a\"'", AT("include"),
                 "option \"include\" of filter/test takes a list of strings, not a string",
                 "write [\"...\"]");
    assert_wrong("include: { a: b }", AT("include"),
                 "option \"include\" of filter/test takes a list of strings, not a mapping", NULL);
    assert_wrong("include: {a,b}", AT("include"),
                 "option \"include\" of filter/test takes a list of strings, not a mapping",
                 "quote patterns: \"{a,b}\"");
    assert_wrong("include: [a, [b]]", AT("include") + 4,
                 "option \"include\" of filter/test takes a list of strings, element 2 is a list",
                 "quote patterns: \"[b]\"");
    assert_wrong("include: [a, [[b]]]", AT("include") + 4,
                 "option \"include\" of filter/test takes a list of strings, element 2 is a list",
                 NULL);
    assert_wrong("include: [a, null]", AT("include") + 4,
                 "option \"include\" of filter/test takes a list of strings, element 2 is nothing",
                 NULL);
}

static void a_mapping_takes_only_strings(void **state)
{
    (void)state;
    assert_value("tags: { b: 1, a: \"2\" }", "tags", "{\"b\":\"1\",\"a\":\"2\"}");
    assert_wrong("tags: [a]", AT("tags"),
                 "option \"tags\" of filter/test takes a mapping of strings, not a list", NULL);
    assert_wrong("tags: { a: [] }", AT("tags") + 5,
                 "option \"tags\" of filter/test takes a mapping of strings, key \"a\" is a list",
                 NULL);
}

static void a_secret_is_named_and_never_repeated(void **state)
{
    static const char *const literals[] = {
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "\"sv=2022-11-02&sig=abc%3D\"",
        "0123456789abcdef0123456789abcdef",
        "{ access_key: a, secret_key: b }",
        "\"\"",
        "two words",
    };

    (void)state;
    assert_value("credentials: lab-aws", "credentials", "\"lab-aws\"");
    assert_value("credentials: ask", "credentials", "\"ask\"");
    for (size_t i = 0; i < DRAY_COUNT(literals); i++) {
        dray_autofree char *part = dray_format("credentials: %s", literals[i]);
        assert_wrong(
            part, AT("credentials"),
            "option \"credentials\" of filter/test takes the name of a secret (a-z, 0-9 and "
            "._-), never the secret itself",
            "hand it over with \"dray secret put NAME\" and write credentials: NAME");
    }
}

static void parameters_stand_in_every_type(void **state)
{
    (void)state;
    assert_value("text: \"hello ${who}\"", "text", "\"hello world\"");
    assert_value("number: \"${seven}\"", "number", "7");
    assert_value("size: \"${seven} KiB\"", "size", "7168");
    assert_value("into: \"out/${who}\"", "into", "\"/data/flows/out/world\"");
    assert_value("include: [\"${who}/*\"]", "include", "[\"world/*\"]");
    assert_value("tags: { a: \"${seven}\" }", "tags", "{\"a\":\"7\"}");
    assert_wrong(
        "number: \"${who}\"", AT("number"),
        "option \"number\" of filter/test takes a whole number, not \"world\": it is not a "
        "whole number",
        NULL);
    assert_wrong("include: [\"${nobody}\"]", AT("include") + 1, "no such parameter", NULL);
    assert_wrong("text: \"${bytes}\"", AT("text"),
                 "option \"text\" of filter/test got a parameter that is not UTF-8", NULL);
}

static void an_unknown_option_suggests_what_was_meant(void **state)
{
    (void)state;
    assert_wrong("includes: [a]", 18, "filter/test has no option \"includes\"",
                 "did you mean \"include\"?");
    assert_wrong("zzzzzz: [a]", 18, "filter/test has no option \"zzzzzz\"",
                 "it has: yes, number, size, wait, mode, text, into, include, tags, credentials, "
                 "must");
}

static void a_deprecated_option_works_and_warns(void **state)
{
    dray_cleanup(outcome_free) struct outcome outcome;

    (void)state;
    check("with: { must: x, text: a }", &outcome);
    assert_int_equal(outcome.diagnostics.errors, 0);
    assert_int_equal(outcome.diagnostics.count, 1);
    assert_int_equal(outcome.diagnostics.items[0].severity, DRAY_SEVERITY_WARNING);
    assert_int_equal(outcome.diagnostics.items[0].place.column, 18);
    assert_string_equal(outcome.diagnostics.items[0].message,
                        "option \"text\" of filter/test is deprecated");
    assert_string_equal(json_string_value(json_object_get(outcome.with, "text")), "a");
}

static void a_required_option_is_missed_at_the_step(void **state)
{
    static const char *const documents[] = {"with: {}", "with:", "other: 1"};

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(documents); i++) {
        dray_cleanup(outcome_free) struct outcome outcome;
        check(documents[i], &outcome);
        assert_int_equal(outcome.diagnostics.errors, 1);
        assert_string_equal(outcome.diagnostics.items[0].message,
                            "filter/test is missing its option \"must\"");
        assert_string_equal(outcome.diagnostics.items[0].hint, "must: What it is for");
        assert_int_equal(outcome.diagnostics.items[0].place.column, 1);
    }
}

static void with_must_be_a_mapping(void **state)
{
    dray_cleanup(outcome_free) struct outcome outcome;

    (void)state;
    check("with: [include, a]", &outcome);
    assert_int_equal(outcome.diagnostics.errors, 1);
    assert_string_equal(outcome.diagnostics.items[0].message,
                        "\"with\" of filter/test takes a mapping of options, not a list");
    assert_non_null(outcome.with);
}

static void all_problems_are_reported_in_one_go(void **state)
{
    dray_cleanup(outcome_free) struct outcome outcome;
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1 << 16};

    (void)state;
    check("with:\n"
          "  includes: [\"*.nc\"]\n"
          "  number: 0\n"
          "  tags: 3\n"
          "  size: 1 KiB\n",
          &outcome);
    dray_diagnostics_sort(&outcome.diagnostics);
    dray_diagnostics_print(&outcome.diagnostics, 0, &out);
    assert_string_equal(
        out.data, "w.yaml:1:1: error: filter/test is missing its option \"must\"\n"
                  "    1 | with:\n"
                  "      | ^ must: What it is for\n"
                  "w.yaml:2:3: error: filter/test has no option \"includes\"\n"
                  "    2 |   includes: [\"*.nc\"]\n"
                  "      |   ^~~~~~~~ did you mean \"include\"?\n"
                  "w.yaml:3:11: error: option \"number\" of filter/test takes at least 1, not "
                  "\"0\"\n"
                  "    3 |   number: 0\n"
                  "      |           ^\n"
                  "w.yaml:4:9: error: option \"tags\" of filter/test takes a mapping of "
                  "strings, not a number\n"
                  "    4 |   tags: 3\n"
                  "      |         ^\n");
    assert_int_equal(json_integer_value(json_object_get(outcome.with, "size")), 1024);
}

/* --- The same table as JSON Schema
 * ----------------------------------------------------------------- */

static void assert_schema(const json_t *schema, const char *option, const char *expected)
{
    json_t *found = json_object_get(json_object_get(schema, "properties"), option);
    json_t *wanted = json_loads(expected, 0, NULL);
    dray_autofree char *text = json_dumps(found, JSON_COMPACT);

    assert_non_null(wanted);
    if (!json_equal(found, wanted))
        fail_msg("%s: %s", option, text);
    json_decref(wanted);
}

static void the_schema_says_what_each_option_takes(void **state)
{
    json_t *schema = dray_plugin_schema(&plugin);

    (void)state;
    assert_non_null(schema);
    assert_string_equal(json_string_value(json_object_get(schema, "$schema")),
                        "https://json-schema.org/draft/2020-12/schema");
    assert_string_equal(json_string_value(json_object_get(schema, "title")), "filter/test");
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    assert_int_equal(json_array_size(json_object_get(schema, "required")), 1);
    assert_int_equal(json_object_size(json_object_get(schema, "properties")), DRAY_COUNT(rows));
    assert_schema(schema, "yes",
                  "{\"anyOf\":[{\"type\":\"boolean\"},{\"$ref\":\"#/$defs/parameter\"}],"
                  "\"description\":\"What it is for\",\"default\":true}");
    assert_schema(schema, "number",
                  "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":1,\"maximum\":100},"
                  "{\"$ref\":\"#/$defs/parameter\"}],"
                  "\"description\":\"What it is for\"}");
    assert_schema(schema, "mode",
                  "{\"anyOf\":[{\"enum\":[\"fail\",\"merge\",\"replace\"]},"
                  "{\"$ref\":\"#/$defs/parameter\"}],"
                  "\"description\":\"What it is for\",\"default\":\"merge\"}");
    assert_schema(schema, "include",
                  "{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\","
                  "\"boolean\"]},\"description\":\"What it is for\"}");
    assert_schema(schema, "tags",
                  "{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\","
                  "\"number\",\"boolean\"]},\"description\":\"What it is for\"}");
    assert_schema(schema, "text",
                  "{\"type\":[\"string\",\"number\",\"boolean\"],"
                  "\"description\":\"What it is for\",\"deprecated\":true}");
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_come_out_typed_and_absent_options_are_left_out),
        cmocka_unit_test(options_come_out_in_the_tables_order),
        cmocka_unit_test(numbers_are_read_as_their_types),
        cmocka_unit_test(what_is_no_number_is_told_so),
        cmocka_unit_test(values_out_of_range_are_told_the_bound),
        cmocka_unit_test(a_choice_suggests_the_nearest),
        cmocka_unit_test(a_string_takes_what_yaml_would_read_as_something_else),
        cmocka_unit_test(no_value_is_an_error_for_every_type),
        cmocka_unit_test(paths_are_made_absolute_from_the_files_folder),
        cmocka_unit_test(without_a_folder_paths_have_to_be_absolute),
        cmocka_unit_test(a_list_takes_only_strings_and_shows_how_one_is_written),
        cmocka_unit_test(a_mapping_takes_only_strings),
        cmocka_unit_test(a_secret_is_named_and_never_repeated),
        cmocka_unit_test(parameters_stand_in_every_type),
        cmocka_unit_test(an_unknown_option_suggests_what_was_meant),
        cmocka_unit_test(a_deprecated_option_works_and_warns),
        cmocka_unit_test(a_required_option_is_missed_at_the_step),
        cmocka_unit_test(with_must_be_a_mapping),
        cmocka_unit_test(all_problems_are_reported_in_one_go),
        cmocka_unit_test(the_schema_says_what_each_option_takes),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
