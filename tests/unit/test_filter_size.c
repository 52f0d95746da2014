/* SPDX-License-Identifier: MIT */
/* filter/size: bounds are inclusive, and only files have a size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/filter_fixture.h"

static void check(struct filter_step *step, uint64_t bytes, uint32_t verdict, const char *option)
{
    struct dray_entry entry = {
        .size = sizeof(entry), .type = DRAY_FILE, .path = "f", .path_length = 1, .bytes = bytes};
    filter_check(step, &entry, verdict, option, DRAY_NO_INDEX);
}

static void both_bounds_are_kept(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "size");
    filter_set_number(&step, "min", 10);
    filter_set_number(&step, "max", 20);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    check(&step, 0, DRAY_DROP, "min");
    check(&step, 9, DRAY_DROP, "min");
    check(&step, 10, DRAY_KEEP, "min");
    check(&step, 20, DRAY_KEEP, "min");
    check(&step, 21, DRAY_DROP, "max");
    check(&step, UINT64_MAX, DRAY_DROP, "max");
    filter_finish(&step);
}

static void one_size_alone_may_be_meant(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "size");
    filter_set_number(&step, "min", 10);
    filter_set_number(&step, "max", 10);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    check(&step, 10, DRAY_KEEP, "min");
    filter_finish(&step);
}

static void without_bounds_all_is_kept(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "size");
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    check(&step, 0, DRAY_KEEP, "min");
    check(&step, UINT64_MAX, DRAY_KEEP, "min");
    filter_finish(&step);
}

static void links_and_directories_have_no_size(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "size");
    filter_set_number(&step, "min", 10);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    filter_check_path(&step, "l", DRAY_LINK, DRAY_KEEP, "min", DRAY_NO_INDEX);
    filter_check_path(&step, "d", DRAY_DIRECTORY, DRAY_KEEP, "min", DRAY_NO_INDEX);
    filter_finish(&step);
}

static void what_would_drop_everything_is_refused(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "size");
    filter_set_number(&step, "min", 11);
    filter_set_number(&step, "max", 10);
    assert_int_equal(filter_prepare(&step), DRAY_INVALID);
    filter_check_report(&step, 0, "min", DRAY_NO_INDEX, 0,
                        "min is larger than max, so every file would be dropped");
    filter_drop(&step);
    filter_new(&step, "size");
    filter_set_number(&step, "min", DRAY_NONE);
    assert_int_equal(filter_prepare(&step), DRAY_INVALID);
    assert_int_equal(step.fake.count, 1);
    filter_drop(&step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_bounds_are_kept),
        cmocka_unit_test(one_size_alone_may_be_meant),
        cmocka_unit_test(without_bounds_all_is_kept),
        cmocka_unit_test(links_and_directories_have_no_size),
        cmocka_unit_test(what_would_drop_everything_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
