/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/buffer.h"

/* Memory that is out is part of these tests: AddressSanitizer is to say so with NULL, as malloc
 * does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void appends_add_up_and_end_with_nul(void **state)
{
    struct dray_buffer buffer = {.cap = 1 << 20};

    (void)state;
    assert_null(buffer.data);
    for (int i = 0; i < 1000; i++) {
        dray_buffer_text(&buffer, "ab");
        dray_buffer_add(&buffer, "c\0d", 3);
        dray_buffer_format(&buffer, "%03d", i);
        assert_int_equal(buffer.data[buffer.length], '\0');
    }
    assert_int_equal(buffer.failed, 0);
    assert_int_equal(buffer.length, 8000);
    assert_memory_equal(buffer.data + 7992, "abc\0d999", 9);
    dray_buffer_free(&buffer);
    assert_null(buffer.data);
}

static void nothing_gets_past_the_cap(void **state)
{
    struct dray_buffer buffer = {.cap = 10};

    (void)state;
    dray_buffer_text(&buffer, "1234567890");
    assert_int_equal(buffer.failed, 0);
    dray_buffer_text(&buffer, "x");
    assert_int_equal(buffer.failed, DRAY_INVALID);
    assert_string_equal(buffer.data, "1234567890");
    assert_true(buffer.capacity <= 11);
    dray_buffer_free(&buffer);

    struct dray_buffer none = {0};
    dray_buffer_text(&none, "x");
    assert_int_equal(none.failed, DRAY_INVALID);
    dray_buffer_free(&none);
}

static void a_failure_stays_until_the_buffer_is_cleared(void **state)
{
    struct dray_buffer buffer = {.cap = 4};

    (void)state;
    dray_buffer_text(&buffer, "ab");
    dray_buffer_format(&buffer, "%s", "too long");
    /* This would fit, and would make a text with a hole. */
    dray_buffer_text(&buffer, "c");
    dray_buffer_format(&buffer, "%d", 1);
    assert_null(dray_buffer_reserve(&buffer, 1));
    assert_int_equal(buffer.failed, DRAY_INVALID);
    assert_string_equal(buffer.data, "ab");
    dray_buffer_clear(&buffer);
    assert_int_equal(buffer.length, 0);
    dray_buffer_text(&buffer, "wxyz");
    assert_int_equal(buffer.failed, 0);
    assert_string_equal(buffer.data, "wxyz");
    dray_buffer_free(&buffer);
}

static void a_reservation_does_not_change_the_text(void **state)
{
    struct dray_buffer buffer = {.cap = 100};

    (void)state;
    dray_buffer_text(&buffer, "abc");
    char *room = dray_buffer_reserve(&buffer, 97);
    assert_ptr_equal(room, buffer.data + 3);
    assert_int_equal(buffer.length, 3);
    memset(room, 'x', 97);
    buffer.length += 97;
    assert_int_equal(strlen(buffer.data), 100);
    assert_null(dray_buffer_reserve(&buffer, 1));
    dray_buffer_free(&buffer);
}

static void sizes_that_overflow_are_refused(void **state)
{
    struct dray_buffer buffer = {.cap = SIZE_MAX};

    (void)state;
    dray_buffer_text(&buffer, "abc");
    assert_null(dray_buffer_reserve(&buffer, SIZE_MAX - 3));
    assert_int_equal(buffer.failed, DRAY_INVALID);
    dray_buffer_clear(&buffer);
    assert_null(dray_buffer_reserve(&buffer, SIZE_MAX / 2));
    assert_int_equal(buffer.failed, DRAY_NO_MEMORY);
    dray_buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_add_up_and_end_with_nul),
        cmocka_unit_test(nothing_gets_past_the_cap),
        cmocka_unit_test(a_failure_stays_until_the_buffer_is_cleared),
        cmocka_unit_test(a_reservation_does_not_change_the_text),
        cmocka_unit_test(sizes_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
