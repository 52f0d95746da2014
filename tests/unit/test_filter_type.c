/* SPDX-License-Identifier: MIT */
/* filter/type: what an extension is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/filter_fixture.h"

static void extensions_ignore_case_and_may_have_several_dots(void **state)
{
    const char *const extensions[] = {"fastq.gz", ".CSV", NULL};
    struct filter_step step;
    (void)state;
    filter_new(&step, "type");
    assert_int_equal(step.plugin->head.caps & DRAY_CAP_CONTENT, 0);
    filter_set_strings(&step, "extensions", extensions);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    filter_check_path(&step, "a/b.fastq.gz", DRAY_FILE, DRAY_KEEP, "extensions", 0);
    filter_check_path(&step, "b.x.FastQ.GZ", DRAY_FILE, DRAY_KEEP, "extensions", 0);
    filter_check_path(&step, "b.gz", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "b.fastq", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "t.csv", DRAY_FILE, DRAY_KEEP, "extensions", 1);
    filter_check_path(&step, "t.csv", DRAY_LINK, DRAY_KEEP, "extensions", 1);
    filter_check_path(&step, "tcsv", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "t.Xcsv", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    /* a name that begins with its only dot has none, and a directory's is not that of its files */
    filter_check_path(&step, ".csv", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "d/.csv", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "d.csv/x", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "empty", DRAY_DIRECTORY, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "bad\xff.csv", DRAY_FILE, DRAY_KEEP, "extensions", 1);
    filter_finish(&step);
}

static void only_letters_have_case(void **state)
{
    const char *const extensions[] = {"a@b", "x\xc3\xa9", NULL};
    struct filter_step step;
    (void)state;
    filter_new(&step, "type");
    filter_set_strings(&step, "extensions", extensions);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    filter_check_path(&step, "f.A@B", DRAY_FILE, DRAY_KEEP, "extensions", 0);
    filter_check_path(&step, "f.a`b", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "f.X\xc3\xa9", DRAY_FILE, DRAY_KEEP, "extensions", 1);
    filter_check_path(&step, "f.x\xc3\x89", DRAY_FILE, DRAY_DROP, "extensions", DRAY_NO_INDEX);
    filter_finish(&step);
}

static void exclude_wins(void **state)
{
    const char *const extensions[] = {"gz", NULL};
    const char *const excluded[] = {"bak", "tar.gz", NULL};
    struct filter_step step;
    (void)state;
    filter_new(&step, "type");
    filter_set_strings(&step, "extensions", extensions);
    filter_set_strings(&step, "exclude_extensions", excluded);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    filter_check_path(&step, "a.gz", DRAY_FILE, DRAY_KEEP, "extensions", 0);
    filter_check_path(&step, "a.tar.gz", DRAY_FILE, DRAY_DROP, "exclude_extensions", 1);
    filter_finish(&step);
    filter_new(&step, "type");
    filter_set_strings(&step, "exclude_extensions", excluded);
    assert_int_equal(filter_prepare(&step), DRAY_OK);
    filter_check_path(&step, "a", DRAY_FILE, DRAY_KEEP, "extensions", DRAY_NO_INDEX);
    filter_check_path(&step, "a.BAK", DRAY_FILE, DRAY_DROP, "exclude_extensions", 0);
    filter_check_path(&step, "empty", DRAY_DIRECTORY, DRAY_KEEP, "extensions", DRAY_NO_INDEX);
    filter_finish(&step);
}

static void every_bad_extension_is_reported_with_its_place(void **state)
{
    const char *const extensions[] = {"", "csv", "*.csv", "a/b", NULL};
    const char *const excluded[] = {".", "a..b", "a.", "..gz", NULL};
    static const char *const pattern = "an extension is no pattern: write csv, not *.csv; patterns "
                                       "are for filter/glob";
    struct filter_step step;
    (void)state;
    filter_new(&step, "type");
    filter_set_strings(&step, "extensions", extensions);
    filter_set_strings(&step, "exclude_extensions", excluded);
    assert_int_equal(filter_prepare(&step), DRAY_INVALID);
    assert_int_equal(step.fake.count, 7);
    filter_check_report(&step, 0, "extensions", 0, 0, "the extension is empty");
    filter_check_report(&step, 1, "extensions", 2, 0, pattern);
    filter_check_report(&step, 2, "extensions", 3, 1,
                        "no extension holds a slash; filter/glob matches paths");
    filter_check_report(&step, 3, "exclude_extensions", 0, 0, "the extension is empty");
    filter_check_report(&step, 4, "exclude_extensions", 1, 1, "nothing stands between two dots");
    filter_check_report(&step, 5, "exclude_extensions", 2, 1, "nothing stands after the last dot");
    filter_check_report(&step, 6, "exclude_extensions", 3, 1, "nothing stands between two dots");
    filter_drop(&step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extensions_ignore_case_and_may_have_several_dots),
        cmocka_unit_test(only_letters_have_case),
        cmocka_unit_test(exclude_wins),
        cmocka_unit_test(every_bad_extension_is_reported_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
