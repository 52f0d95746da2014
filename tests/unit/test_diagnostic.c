/* SPDX-License-Identifier: MIT */
/* Problems come out in order, once each, with their line and a caret, and harmless to a terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/text.h"
#include "core/conf/diagnostic.h"

static void add(struct dray_diagnostics *diagnostics, uint32_t line, uint32_t column,
                uint32_t width, const char *message)
{
    struct dray_place place = {.line = line, .column = column, .width = width};
    dray_diagnose(diagnostics, place, DRAY_SEVERITY_ERROR, "%s", message);
}

static void use_source(struct dray_diagnostics *diagnostics, const char *name, const char *text)
{
    *diagnostics = (struct dray_diagnostics){0};
    assert_int_equal(dray_diagnostics_source(diagnostics, name, text, strlen(text)), 0);
}

static void assert_printed(const struct dray_diagnostics *diagnostics, int colour,
                           const char *expected)
{
    struct dray_buffer out = {.cap = 1 << 20};
    dray_diagnostics_print(diagnostics, colour, &out);
    assert_false(out.failed);
    assert_string_equal(out.data ? out.data : "", expected);
    dray_buffer_free(&out);
}

static void test_the_form_is_that_of_the_documentation(void **state)
{
    static const char *const options[] = {"exclude", "include"};
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "ocean.yaml",
               "1\n2\n3\n4\n5\n6\n7\n8\n    with: { includes: [\"*.nc\"] }\n");
    add(&diagnostics, 9, 13, 8, "filter/glob has no option \"includes\"");
    dray_diagnose_nearest(&diagnostics, "includes", options, 2);
    assert_printed(&diagnostics, 0,
                   "ocean.yaml:9:13: error: filter/glob has no option \"includes\"\n"
                   "    9 |     with: { includes: [\"*.nc\"] }\n"
                   "      |             ^~~~~~~~ did you mean \"include\"?\n");
    dray_diagnostics_free(&diagnostics);
}

static void test_nothing_near_leaves_no_suggestion(void **state)
{
    static const char *const options[] = {"exclude", "include"};
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "f.yaml", "zzz: 1\n");
    dray_diagnose_nearest(&diagnostics, "zzz", options, 2);
    dray_diagnose_hint(&diagnostics, "of nothing");
    assert_int_equal(diagnostics.count, 0);
    add(&diagnostics, 1, 1, 3, "unknown");
    dray_diagnose_nearest(&diagnostics, "zzz", options, 2);
    assert_null(diagnostics.items[0].hint);
    dray_diagnostics_free(&diagnostics);
}

static void test_problems_are_sorted_and_told_once(void **state)
{
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "f.yaml", "one\ntwo\nthree\n");
    assert_int_equal(dray_diagnostics_source(&diagnostics, "g.yaml", "x", 1), 1);
    struct dray_place other = {.source = 1, .line = 1, .column = 1};
    dray_diagnose(&diagnostics, other, DRAY_SEVERITY_WARNING, "odd");
    add(&diagnostics, 2, 3, 1, "b");
    add(&diagnostics, 2, 1, 1, "a");
    add(&diagnostics, 2, 3, 4, "b");
    dray_diagnose_hint(&diagnostics, "mend it");
    add(&diagnostics, 0, 0, 1, "whole");
    add(&diagnostics, 1, 1, 1, "z");
    assert_int_equal(diagnostics.errors, 5);
    dray_diagnostics_sort(&diagnostics);
    assert_int_equal(diagnostics.errors, 4);
    assert_printed(&diagnostics, 0,
                   "f.yaml: error: whole\n"
                   "f.yaml:1:1: error: z\n"
                   "    1 | one\n"
                   "      | ^\n"
                   "f.yaml:2:1: error: a\n"
                   "    2 | two\n"
                   "      | ^\n"
                   "f.yaml:2:3: error: b\n"
                   "    2 | two\n"
                   "      |   ^ mend it\n"
                   "g.yaml:1:1: warning: odd\n"
                   "    1 | x\n"
                   "      | ^\n");
    dray_diagnostics_free(&diagnostics);
}

/* What only follows from another problem would send people to the wrong place. */
static void test_what_follows_from_another_problem_is_not_told(void **state)
{
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "f.yaml", "use: x\n*y\n");
    add(&diagnostics, 1, 1, 1, "no `uses`");
    dray_diagnose_follows(&diagnostics);
    add(&diagnostics, 2, 1, 1, "no alias y");
    dray_diagnose_alone(&diagnostics);
    add(&diagnostics, 2, 1, 1, "nothing here");
    add(&diagnostics, 2, 2, 1, "odd");
    assert_int_equal(diagnostics.errors, 4);
    dray_diagnostics_sort(&diagnostics);
    assert_int_equal(diagnostics.errors, 2);
    assert_printed(&diagnostics, 0,
                   "f.yaml:2:1: error: no alias y\n    2 | *y\n      | ^\n"
                   "f.yaml:2:2: error: odd\n    2 | *y\n      |  ^\n");
    dray_diagnostics_free(&diagnostics);
    /* but never nothing */
    use_source(&diagnostics, "f.yaml", "use: x\n");
    add(&diagnostics, 1, 1, 1, "no `uses`");
    dray_diagnose_follows(&diagnostics);
    add(&diagnostics, 1, 2, 1, "no `id`");
    dray_diagnose_follows(&diagnostics);
    dray_diagnostics_sort(&diagnostics);
    assert_int_equal(diagnostics.errors, 2);
    assert_int_equal(diagnostics.count, 2);
    dray_diagnostics_free(&diagnostics);
}

static void test_a_line_that_may_hold_a_secret_is_not_shown(void **state)
{
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "f.yaml", "{ a: b, key: hunter2 }\nc\n");
    add(&diagnostics, 1, 3, 1, "no a");
    add(&diagnostics, 1, 14, 7, "never the secret itself");
    dray_diagnose_hint(&diagnostics, "name it");
    dray_diagnose_secret(&diagnostics);
    add(&diagnostics, 2, 1, 1, "odd");
    assert_printed(&diagnostics, 0,
                   "f.yaml:1:3: error: no a\n"
                   "f.yaml:1:14: error: never the secret itself\n"
                   "      | name it\n"
                   "f.yaml:2:1: error: odd\n    2 | c\n      | ^\n");
    dray_diagnostics_free(&diagnostics);
}

static void test_a_caret_stands_below_its_character(void **state)
{
    struct dray_diagnostics diagnostics;
    (void)state;
    /* Tabs stay tabs, wide characters take two columns, combining marks none. */
    use_source(&diagnostics, "f.yaml",
               "\ta:\tbcd\r\n\xe6\xb5\xb7\xe6\xb4\x8b: xy\re\xcc\x81: z\nlast");
    add(&diagnostics, 1, 5, 3, "tab");
    add(&diagnostics, 2, 2, 4, "wide");
    add(&diagnostics, 3, 5, 1, "combining");
    add(&diagnostics, 4, 5, 9, "end");
    add(&diagnostics, 4, 99, 2, "far");
    add(&diagnostics, 99, 1, 1, "no such line");
    assert_printed(&diagnostics, 0,
                   "f.yaml:1:5: error: tab\n"
                   "    1 | \ta:\tbcd\n"
                   "      | \t  \t^~~\n"
                   "f.yaml:2:2: error: wide\n"
                   "    2 | \xe6\xb5\xb7\xe6\xb4\x8b: xy\n"
                   "      |   ^~~~~\n"
                   "f.yaml:3:5: error: combining\n"
                   "    3 | e\xcc\x81: z\n"
                   "      |    ^\n"
                   "f.yaml:4:5: error: end\n"
                   "    4 | last\n"
                   "      |     ^\n"
                   "f.yaml:4:99: error: far\n"
                   "    4 | last\n"
                   "      |     ^\n"
                   "f.yaml:99:1: error: no such line\n");
    dray_diagnostics_free(&diagnostics);
}

static void test_line_numbers_keep_the_gutter_straight(void **state)
{
    struct dray_diagnostics diagnostics;
    struct dray_buffer text = {.cap = 1 << 24};
    (void)state;
    for (int i = 0; i < 123455; i++)
        dray_buffer_text(&text, "\n");
    dray_buffer_text(&text, "here");
    use_source(&diagnostics, "f.yaml", text.data);
    add(&diagnostics, 123456, 1, 4, "deep");
    assert_printed(&diagnostics, 0,
                   "f.yaml:123456:1: error: deep\n"
                   "123456 | here\n"
                   "       | ^~~~\n");
    dray_buffer_free(&text);
    dray_diagnostics_free(&diagnostics);
}

static void test_long_lines_are_cut_around_the_place(void **state)
{
    struct dray_diagnostics diagnostics;
    struct dray_buffer out = {.cap = 1 << 16};
    char line[1001];
    (void)state;
    memset(line, 'x', 1000);
    line[1000] = '\0';
    line[599] = 'H';
    use_source(&diagnostics, "f.yaml", line);
    add(&diagnostics, 1, 600, 900, "far in");
    dray_diagnose_hint(&diagnostics, "hint");
    dray_diagnostics_print(&diagnostics, 0, &out);
    char *quote = strchr(out.data, '\n') + 1;
    char *caret = strchr(quote, '\n') + 1;
    assert_true(strchr(caret, '\n') - caret < 230);
    assert_memory_equal(quote, "    1 | \xe2\x80\xa6x", 12);
    assert_memory_equal(caret - 5, "x\xe2\x80\xa6\n", 5);
    /* The ellipsis is three bytes in one column. */
    assert_int_equal(strchr(quote, 'H') - quote - 2, strchr(caret, '^') - caret);
    dray_buffer_free(&out);
    dray_diagnostics_free(&diagnostics);
}

static void test_hostile_text_cannot_reach_the_terminal(void **state)
{
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "f\x1b[2J.yaml", "a\x1b]0;x\x07 \xff \xe2\x80\xae \xc2\x9b y\n");
    add(&diagnostics, 1, 15, 1, "\x1b[31m\n\t\x7f\xc2\x9b\xe2\x80\xae\xff");
    dray_diagnose_hint(&diagnostics, "%s", "a\x1b[0m\nb");
    assert_printed(
        &diagnostics, 0,
        "f\xef\xbf\xbd[2J.yaml:1:15: error: "
        "\\x1b[31m\\n\\t\\x7f\\x9b\\u202e\xef\xbf\xbd\n"
        "    1 | a\xef\xbf\xbd]0;x\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd y\n"
        "      |               ^ a\\x1b[0m\\nb\n");
    dray_diagnostics_free(&diagnostics);
}

static void test_colour_comes_only_when_asked_for(void **state)
{
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "f.yaml", "a: b\n");
    add(&diagnostics, 1, 4, 1, "bad");
    dray_diagnose_hint(&diagnostics, "mend");
    assert_printed(&diagnostics, 1,
                   "\033[1mf.yaml:1:4:\033[0m \033[1;31merror:\033[0m \033[1mbad\033[0m\n"
                   "    1 | a: b\n"
                   "      | \033[1;32m   ^ mend\033[0m\n");
    dray_diagnostics_free(&diagnostics);
}

static void test_a_flood_of_problems_is_counted_and_not_kept(void **state)
{
    struct dray_diagnostics diagnostics;
    struct dray_buffer out = {.cap = 1 << 20};
    (void)state;
    use_source(&diagnostics, "f.yaml", "a\n");
    for (uint32_t i = 0; i < DRAY_DIAGNOSTICS_MAX + 5; i++) {
        add(&diagnostics, 1, i + 1, 1, "bad");
        dray_diagnose_hint(&diagnostics, "number %u", i);
    }
    assert_int_equal(diagnostics.count, DRAY_DIAGNOSTICS_MAX);
    assert_int_equal(diagnostics.errors, DRAY_DIAGNOSTICS_MAX + 5);
    assert_string_equal(diagnostics.items[DRAY_DIAGNOSTICS_MAX - 1].hint, "number 999");
    dray_diagnostics_print(&diagnostics, 0, &out);
    assert_non_null(strstr(out.data, "\n5 more problems are not shown\n"));
    dray_buffer_free(&out);
    dray_diagnostics_free(&diagnostics);
}

static void test_a_message_of_any_length_is_kept_short(void **state)
{
    struct dray_diagnostics diagnostics;
    char *word = calloc(1, 100001);
    (void)state;
    assert_non_null(word);
    for (int i = 0; i < 100000; i += 2)
        memcpy(word + i, "\xc3\xa9", 2);
    use_source(&diagnostics, "f.yaml", "a\n");
    add(&diagnostics, 1, 1, 1, word);
    size_t length = strlen(diagnostics.items[0].message);
    assert_true(length > 1000 && length < 3000);
    assert_true(dray_utf8_valid(diagnostics.items[0].message, length));
    assert_memory_equal(diagnostics.items[0].message + length - 3, "\xe2\x80\xa6", 3);
    free(word);
    dray_diagnostics_free(&diagnostics);
}

static void test_json_has_the_documented_keys(void **state)
{
    struct dray_diagnostics diagnostics;
    (void)state;
    use_source(&diagnostics, "f.yaml", "a: b\n");
    add(&diagnostics, 1, 4, 1, "bad \"x\"");
    dray_diagnose_hint(&diagnostics, "mend");
    dray_diagnose(&diagnostics, (struct dray_place){.line = 0}, DRAY_SEVERITY_WARNING, "odd");
    json_t *json = dray_diagnostics_json(&diagnostics);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text,
                        "[{\"file\":\"f.yaml\",\"line\":1,\"column\":4,\"severity\":\"error\","
                        "\"message\":\"bad \\\"x\\\"\",\"hint\":\"mend\"},"
                        "{\"file\":\"f.yaml\",\"line\":0,\"column\":0,\"severity\":\"warning\","
                        "\"message\":\"odd\",\"hint\":null}]");
    free(text);
    json_decref(json);
    dray_diagnostics_free(&diagnostics);
}

static void test_the_error_for_the_whole_is_the_first_and_a_count(void **state)
{
    struct dray_diagnostics diagnostics;
    struct dray_error error = {0};
    (void)state;
    use_source(&diagnostics, "f.yaml", "a: b\nc\n");
    dray_diagnose(&diagnostics, (struct dray_place){.line = 1, .column = 1}, DRAY_SEVERITY_WARNING,
                  "odd");
    assert_int_equal(dray_diagnostics_error(&diagnostics, &error), 0);
    add(&diagnostics, 2, 1, 1, "second");
    add(&diagnostics, 1, 4, 1, "first");
    dray_diagnose_hint(&diagnostics, "mend");
    assert_int_equal(dray_diagnostics_error(&diagnostics, &error), DRAY_INVALID);
    assert_string_equal(error.message, "first (and 1 more)");
    assert_string_equal(error.where, "f.yaml:1:4");
    assert_string_equal(error.hint, "mend");
    diagnostics.no_memory = 1;
    assert_int_equal(dray_diagnostics_error(&diagnostics, &error), DRAY_NO_MEMORY);
    dray_diagnostics_free(&diagnostics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_form_is_that_of_the_documentation),
        cmocka_unit_test(test_nothing_near_leaves_no_suggestion),
        cmocka_unit_test(test_problems_are_sorted_and_told_once),
        cmocka_unit_test(test_what_follows_from_another_problem_is_not_told),
        cmocka_unit_test(test_a_line_that_may_hold_a_secret_is_not_shown),
        cmocka_unit_test(test_a_caret_stands_below_its_character),
        cmocka_unit_test(test_line_numbers_keep_the_gutter_straight),
        cmocka_unit_test(test_long_lines_are_cut_around_the_place),
        cmocka_unit_test(test_hostile_text_cannot_reach_the_terminal),
        cmocka_unit_test(test_colour_comes_only_when_asked_for),
        cmocka_unit_test(test_a_flood_of_problems_is_counted_and_not_kept),
        cmocka_unit_test(test_a_message_of_any_length_is_kept_short),
        cmocka_unit_test(test_json_has_the_documented_keys),
        cmocka_unit_test(test_the_error_for_the_whole_is_the_first_and_a_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
