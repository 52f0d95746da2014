/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/error.h"
#include "core/base/text.h"

static void a_failure_is_recorded_and_its_class_returned(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_fail(&error, DRAY_CONFLICT, "cannot copy %s", "a"), DRAY_CONFLICT);
    assert_int_equal(error.class_, DRAY_CONFLICT);
    assert_string_equal(error.message, "cannot copy a");
    assert_int_equal(dray_fail_memory(&error), DRAY_NO_MEMORY);
    assert_int_equal(dray_fail(NULL, DRAY_DENIED, "nobody listens"), DRAY_DENIED);
}

static void errno_gives_class_and_reason(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_fail_errno(&error, ENOENT, "cannot open %s", "/x"), DRAY_NOT_FOUND);
    assert_string_equal(error.message, "cannot open /x: No such file or directory");
    assert_int_equal(dray_class_of_errno(EACCES), DRAY_DENIED);
    assert_int_equal(dray_class_of_errno(EEXIST), DRAY_CONFLICT);
    assert_int_equal(dray_class_of_errno(EDQUOT), DRAY_NO_SPACE);
    assert_int_equal(dray_class_of_errno(EIO), DRAY_TEMPORARY);
    assert_int_equal(dray_class_of_errno(ETIMEDOUT), DRAY_TIMED_OUT);
    assert_int_equal(dray_class_of_errno(ENOSYS), DRAY_UNSUPPORTED);
    assert_int_equal(dray_class_of_errno(12345), DRAY_PERMANENT);
}

static void a_later_failure_leaves_nothing_of_the_earlier(void **state)
{
    struct dray_error error = {0};

    (void)state;
    (void)dray_fail(&error, DRAY_INVALID, "first");
    dray_hint(&error, "do this");
    dray_where(&error, "a.yaml:%d:%d", 3, 4);
    error.side = DRAY_SIDE_TARGET;
    assert_string_equal(error.hint, "do this");
    assert_string_equal(error.where, "a.yaml:3:4");
    (void)dray_fail(&error, DRAY_TEMPORARY, "second");
    assert_string_equal(error.message, "second");
    assert_string_equal(error.hint, "");
    assert_string_equal(error.where, "");
    assert_int_equal(error.side, DRAY_SIDE_NONE);
}

static void an_error_can_be_made_of_itself(void **state)
{
    struct dray_error error = {0};

    (void)state;
    (void)dray_fail(&error, DRAY_PERMANENT, "inner");
    dray_hint(&error, "hint");
    (void)dray_fail(&error, error.class_, "outer: %s (%s)", error.message, error.hint);
    assert_string_equal(error.message, "outer: inner (hint)");
    (void)dray_fail_errno(&error, EIO, "%s", error.message);
    assert_string_equal(error.message, "outer: inner (hint): Input/output error");
}

static void success_cannot_be_recorded_as_a_failure(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_fail(&error, DRAY_OK, "x"), DRAY_BUG);
    assert_int_equal(dray_fail(&error, 7, "x"), DRAY_BUG);
    assert_int_equal(dray_fail(&error, -1000, "x"), DRAY_BUG);
    assert_int_equal(dray_fail(NULL, 0, "x"), DRAY_BUG);
    assert_int_equal(error.class_, DRAY_BUG);
}

static void a_message_is_one_line_of_printable_utf8(void **state)
{
    struct dray_error error = {0};

    (void)state;
    (void)dray_fail(&error, DRAY_INVALID, "name \x1b[2J\n\xff \xc2\x9b k\xc3\xb6ln");
    assert_string_equal(error.message,
                        "name \xef\xbf\xbd[2J\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd k\xc3\xb6ln");
    dray_hint(&error, "one\n two\r");
    assert_string_equal(error.hint, "one\n two\xef\xbf\xbd");
}

static void long_text_is_cut_at_a_character_and_keeps_its_reason(void **state)
{
    struct dray_error error = {0};
    char name[4000];

    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        memset(name, 'x', shift);
        for (size_t i = shift; i + 4 < sizeof name; i += 4)
            memcpy(name + i, "\xf0\x9f\x9a\x9a\0", 5);
        (void)dray_fail(&error, DRAY_INVALID, "%s", name);
        size_t length = strlen(error.message);
        assert_in_range(length, sizeof error.message - 4, sizeof error.message - 1);
        assert_true(dray_utf8_valid(error.message, length));
        assert_memory_equal(error.message + length - 4, "\xf0\x9f\x9a\x9a", 4);
        (void)dray_fail_errno(&error, ENOSPC, "cannot write %s", name);
        length = strlen(error.message);
        assert_true(dray_utf8_valid(error.message, length));
        assert_non_null(strstr(error.message, "\x9a\x9a: No space left on device"));
    }
}

static void every_class_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int class_ = DRAY_LATER; class_ <= DRAY_OK; class_++)
        assert_int_equal(dray_class_of_name(dray_class_name(class_)), class_);
    assert_string_equal(dray_class_name(DRAY_TIMED_OUT), "timed_out");
    assert_string_equal(dray_class_name(-99), "bug");
    assert_int_equal(dray_class_of_name("no such class"), DRAY_BUG);
}

static void exit_status_and_retry_follow_the_class(void **state)
{
    (void)state;
    assert_int_equal(dray_class_exit(DRAY_OK), 0);
    assert_int_equal(dray_class_exit(DRAY_PERMANENT), 1);
    assert_int_equal(dray_class_exit(DRAY_INTEGRITY), 1);
    assert_int_equal(dray_class_exit(DRAY_INVALID), 2);
    assert_int_equal(dray_class_exit(DRAY_DENIED), 3);
    assert_int_equal(dray_class_exit(DRAY_NOT_FOUND), 4);
    assert_int_equal(dray_class_exit(DRAY_CANCELLED), 5);
    assert_int_equal(dray_class_exit(DRAY_LATER), 6);
    assert_int_equal(dray_class_exit(DRAY_TEMPORARY), 75);
    assert_int_equal(dray_class_exit(-1000), 1);
    for (int class_ = -17; class_ <= 0; class_++)
        assert_int_equal(dray_class_is_retried(class_),
                         class_ == DRAY_TEMPORARY || class_ == DRAY_TIMED_OUT);
}

static void json_carries_an_error_and_back(void **state)
{
    struct dray_error error = {0};
    struct dray_error back;

    (void)state;
    (void)dray_fail(&error, DRAY_NO_SPACE, "cannot write \"%s\"", "k\xc3\xb6ln");
    json_t *json = dray_error_to_json(&error);
    assert_int_equal(json_object_size(json), 2); /* empty parts are left out */
    json_decref(json);
    dray_hint(&error, "one\ntwo");
    dray_where(&error, "step to-lab");
    error.side = DRAY_SIDE_TARGET;
    json = dray_error_to_json(&error);
    assert_string_equal(json_string_value(json_object_get(json, "class")), "no_space");
    assert_string_equal(json_string_value(json_object_get(json, "side")), "target");
    memset(&back, 'x', sizeof back);
    dray_error_from_json(&back, json);
    assert_int_equal(back.class_, DRAY_NO_SPACE);
    assert_int_equal(back.side, DRAY_SIDE_TARGET);
    assert_string_equal(back.message, error.message);
    assert_string_equal(back.hint, error.hint);
    assert_string_equal(back.where, error.where);
    json_decref(json);
}

static void json_that_is_no_error_becomes_a_bug(void **state)
{
    static const char *const texts[] = {
        "{}", "[]", "{\"class\":3,\"message\":{},\"side\":\"moon\"}", "{\"class\":\"nonsense\"}"};

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(texts); i++) {
        struct dray_error error;
        json_t *json = json_loads(texts[i], 0, NULL);
        dray_error_from_json(&error, json);
        assert_int_equal(error.class_, DRAY_BUG);
        assert_int_equal(error.side, DRAY_SIDE_NONE);
        assert_string_not_equal(error.message, "");
        json_decref(json);
    }
}

static void an_error_filled_by_hand_still_makes_json(void **state)
{
    struct dray_error error = {.class_ = DRAY_PERMANENT, .side = (enum dray_side)77};

    (void)state;
    memset(error.message, 0xff, sizeof error.message); /* no UTF-8 and no NUL */
    json_t *json = dray_error_to_json(&error);
    assert_non_null(json);
    const char *message = json_string_value(json_object_get(json, "message"));
    assert_memory_equal(message, "\xef\xbf\xbd", 3);
    assert_null(json_object_get(json, "side"));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_recorded_and_its_class_returned),
        cmocka_unit_test(errno_gives_class_and_reason),
        cmocka_unit_test(a_later_failure_leaves_nothing_of_the_earlier),
        cmocka_unit_test(an_error_can_be_made_of_itself),
        cmocka_unit_test(success_cannot_be_recorded_as_a_failure),
        cmocka_unit_test(a_message_is_one_line_of_printable_utf8),
        cmocka_unit_test(long_text_is_cut_at_a_character_and_keeps_its_reason),
        cmocka_unit_test(every_class_has_a_name_of_its_own),
        cmocka_unit_test(exit_status_and_retry_follow_the_class),
        cmocka_unit_test(json_carries_an_error_and_back),
        cmocka_unit_test(json_that_is_no_error_becomes_a_bug),
        cmocka_unit_test(an_error_filled_by_hand_still_makes_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
