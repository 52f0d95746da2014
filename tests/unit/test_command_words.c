/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugins/sources/command.h"

static const char *const items[] = {"/bin/hsi", "-P", "get {local} : {remote}", "{remote}",
                                    "{{local} {x"};
static const struct dray_strings argv = {5, items};

static void placeholders_are_filled_in_and_braces_kept(void **state)
{
    (void)state;
    char **words = command_words(&argv, "/s/x", "{local}");

    assert_non_null(words);
    assert_string_equal(words[0], "/bin/hsi");
    assert_string_equal(words[1], "-P");
    /* What a value holds is no placeholder. */
    assert_string_equal(words[2], "get /s/x : {local}");
    assert_string_equal(words[3], "{local}");
    assert_string_equal(words[4], "{local} {x");
    assert_null(words[5]);
    command_free(words);
}

static void a_value_inside_a_longer_word_must_not_end_it(void **state)
{
    static const char *const alone[] = {"/bin/cp", "{remote}", "{local}"};
    static const struct dray_strings copy = {3, alone};
    static const char *const unfit[] = {"a'b", "a\"b", "a\nb", "a;b", "a:b", "a\\b", "a`b"};

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(unfit); i++) {
        assert_int_equal(command_unfit(&argv, unfit[i], 1), 1);
        assert_int_equal(command_unfit(&copy, unfit[i], 1), -1);
    }
    assert_int_equal(command_unfit(&argv, "/hpss/with space.tar", 1), -1);
    assert_int_equal(command_unfit(&argv, "", 1), -1);
}

static void the_rule_of_hsi_quotes_and_refuses_what_it_cannot_keep(void **state)
{
    static const char *const words_[] = {"/bin/hsi", "get {local:hsi} : {remote:hsi}",
                                         "{remote:hsi}"};
    static const struct dray_strings hsi = {3, words_};
    static const char *const unfit[] = {"a'b", "a\"b", "a\nb", "a;b",   "a\\b",
                                        "a`b", "a*b",  "a?b",  "a[b",   "a]b",
                                        "a{b", "a}b",  "a^b",  "a\x7f", "a\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(unfit); i++)
        assert_int_equal(command_unfit(&hsi, unfit[i], 1), 1);
    assert_int_equal(command_unfit(&hsi, "/hpss/with space (2024): a|b.tar", 1), -1);
    assert_int_equal(command_unfit(&hsi, "a;b", 0), 1);
    char **words = command_words(&hsi, "/s/x y", "/hpss/a b");
    assert_non_null(words);
    assert_string_equal(words[1], "get \"/s/x y\" : \"/hpss/a b\"");
    assert_string_equal(words[2], "\"/hpss/a b\"");
    command_free(words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_are_filled_in_and_braces_kept),
        cmocka_unit_test(a_value_inside_a_longer_word_must_not_end_it),
        cmocka_unit_test(the_rule_of_hsi_quotes_and_refuses_what_it_cannot_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
