/* SPDX-License-Identifier: MIT */
/* filter/time: where a time begins and ends, and what is no date. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/filter_fixture.h"

#define SECOND INT64_C(1000000000)
#define DAY    (86400 * SECOND)

static void check(struct filter_step *step, int64_t mtime, uint32_t verdict, const char *option)
{
    struct dray_entry entry = {
        .size = sizeof(entry), .type = DRAY_FILE, .path = "f", .path_length = 1, .mtime = mtime};
    filter_check(step, &entry, verdict, option, DRAY_NO_INDEX);
    entry.type = DRAY_LINK;
    filter_check(step, &entry, verdict, option, DRAY_NO_INDEX);
    entry.type = DRAY_DIRECTORY;
    filter_check(step, &entry, DRAY_KEEP, "after", DRAY_NO_INDEX);
}

static void a_range_begins_with_after_and_ends_before_before(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "time");
    filter_set_string(&step, "after", "2024-01-01");
    filter_set_string(&step, "before", "2024-03-01");
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    check(&step, 1704067200 * SECOND - 1, DRAY_DROP, "after");
    check(&step, 1704067200 * SECOND, DRAY_KEEP, "after");
    check(&step, 1704067200 * SECOND + 60 * DAY - 1, DRAY_KEEP, "after"); /* a leap year */
    check(&step, 1704067200 * SECOND + 60 * DAY, DRAY_DROP, "before");
    check(&step, INT64_MIN, DRAY_DROP, "after");
    check(&step, INT64_MAX, DRAY_DROP, "before");
    filter_finish(&step);
}

static void check_after(const char *text, int64_t begin)
{
    struct filter_step step;
    filter_new(&step, "time");
    filter_set_string(&step, "after", text);
    if (filter_prepare(&step) != DRAY_OK)
        fail_msg("%s: %s", text, step.fake.reports[0].message);
    check(&step, begin, DRAY_KEEP, "after");
    check(&step, begin - 1, DRAY_DROP, "after");
    filter_finish(&step);
}

static void dates_and_times_are_read(void **state)
{
    (void)state;
    check_after("1970-01-01", 0);
    check_after("1970-01-01T00:00:00.5Z", SECOND / 2);
    check_after("1969-12-31T23:59:59.999999999Z", -1);
    check_after("2000-02-29T12:34:56Z", 951827696 * SECOND);
    check_after("2100-03-01", 4107542400 * SECOND); /* 2100 is no leap year */
    check_after("1678-01-01", -9214560000 * SECOND);
    check_after("2261-12-31T23:59:59Z", 9214646399 * SECOND);
}

static void ages_count_from_the_begin_of_the_attempt(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "time");
    filter_set_number(&step, "newer_than", 30 * DAY);
    filter_set_number(&step, "older_than", DAY);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    check(&step, FILTER_NOW - 30 * DAY - 1, DRAY_DROP, "newer_than");
    check(&step, FILTER_NOW - 30 * DAY, DRAY_KEEP, "after");
    check(&step, FILTER_NOW - DAY - 1, DRAY_KEEP, "after");
    check(&step, FILTER_NOW - DAY, DRAY_DROP, "older_than");
    check(&step, FILTER_NOW + DAY, DRAY_DROP, "older_than"); /* a clock that went wrong */
    filter_finish(&step);
}

static void an_age_longer_than_all_time_is_no_bound(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "time");
    filter_set_number(&step, "newer_than", INT64_MAX - 1);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    check(&step, 0, DRAY_KEEP, "after");
    filter_finish(&step);
}

static void without_options_all_is_kept(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "time");
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    check(&step, INT64_MIN, DRAY_KEEP, "after");
    check(&step, INT64_MAX, DRAY_KEEP, "after");
    filter_finish(&step);
}

static void what_is_no_time_is_reported_with_its_place(void **state)
{
    static const struct {
        const char *text;
        uint64_t offset;
    } wrong[] = {
        {"", 0},
        {"yesterday", 0},
        {"2024-1-01", 6},
        {"2024/01/01", 4},
        {"2024-13-01", 5},
        {"2024-00-01", 5},
        {"2024-02-30", 8},
        {"2023-02-29", 8},
        {"1677-12-31", 0},
        {"2262-01-01", 0},
        {"2024-01-01 12:00:00Z", 10},
        {"2024-01-01T24:00:00Z", 11},
        {"2024-01-01T12:60:00Z", 14},
        {"2024-01-01T12:00Z", 16},
        {"2024-01-01T12:00:60Z", 17},
        {"2024-01-01T12:00:00", 19},
        {"2024-01-01T12:00:00+01:00", 19},
        {"2024-01-01T12:00:00.Z", 20},
        {"2024-01-01T12:00:00.1234567890Z", 29},
        {"2024-01-01T12:00:00Zx", 20},
        {"2024-01-01Z", 10},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct filter_step step;
        filter_new(&step, "time");
        filter_set_string(&step, "before", wrong[i].text);
        if (filter_prepare(&step) != DRAY_INVALID || step.fake.count != 1 ||
            strcmp(step.fake.reports[0].option, "before") != 0 ||
            step.fake.reports[0].offset != wrong[i].offset)
            fail_msg("%s: %u reports, at %u", wrong[i].text, step.fake.count,
                     (unsigned)step.fake.reports[0].offset);
        filter_drop(&step);
    }
}

static void both_wrong_times_are_reported(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "time");
    filter_set_string(&step, "after", "2024-13-01");
    filter_set_string(&step, "before", "x");
    assert_int_equal(filter_prepare(&step), DRAY_INVALID);
    filter_check_report(&step, 0, "after", DRAY_NO_INDEX, 5,
                        "a month is two digits, from 01 to 12");
    filter_check_report(&step, 1, "before", DRAY_NO_INDEX, 0,
                        "a date is written 2024-05-01, a time 2024-05-01T12:00:00Z");
    filter_drop(&step);
}

static void what_would_drop_everything_is_refused(void **state)
{
    struct filter_step step;
    (void)state;
    filter_new(&step, "time");
    filter_set_string(&step, "after", "2024-01-01");
    filter_set_string(&step, "before", "2024-01-01T00:00:00Z");
    filter_set_number(&step, "newer_than", DAY);
    filter_set_number(&step, "older_than", DAY);
    assert_int_equal(filter_prepare(&step), DRAY_INVALID);
    assert_int_equal(step.fake.count, 2);
    assert_string_equal(step.fake.reports[0].option, "after");
    assert_string_equal(step.fake.reports[1].option, "newer_than");
    filter_drop(&step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_begins_with_after_and_ends_before_before),
        cmocka_unit_test(dates_and_times_are_read),
        cmocka_unit_test(ages_count_from_the_begin_of_the_attempt),
        cmocka_unit_test(an_age_longer_than_all_time_is_no_bound),
        cmocka_unit_test(without_options_all_is_kept),
        cmocka_unit_test(what_is_no_time_is_reported_with_its_place),
        cmocka_unit_test(both_wrong_times_are_reported),
        cmocka_unit_test(what_would_drop_everything_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
