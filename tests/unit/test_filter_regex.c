/* SPDX-License-Identifier: MIT */
/* filter/regex: whole paths, by code point or byte, and never for long. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/filter_fixture.h"

static const char *const none[] = {NULL};

static int prepare(struct filter_step *step, const char *const *include, const char *const *exclude,
                   int64_t ignore_case)
{
    filter_new(step, "regex");
    filter_set_strings(step, "include", include);
    filter_set_strings(step, "exclude", exclude);
    filter_set_number(step, "ignore_case", ignore_case);
    return filter_prepare(step);
}

static void check(struct filter_step *step, const char *path, uint32_t verdict, const char *option,
                  int64_t index)
{
    filter_check_path(step, path, DRAY_FILE, verdict, option, index);
}

static void the_whole_path_is_matched(void **state)
{
    const char *const include[] = {"[^/]*\\.csv", "raw/.*|raw", NULL};
    struct filter_step step;
    (void)state;
    assert_int_equal(prepare(&step, include, none, 0), DRAY_OK);
    check(&step, "a.csv", DRAY_KEEP, "include", 0);
    check(&step, "d/a.csv", DRAY_DROP, "include", DRAY_NO_INDEX);
    check(&step, "a.csv.bak", DRAY_DROP, "include", DRAY_NO_INDEX);
    check(&step, "a.csv\n", DRAY_DROP, "include", DRAY_NO_INDEX);
    check(&step, "raw/x\ny", DRAY_KEEP, "include", 1);
    check(&step, "raws", DRAY_DROP, "include", DRAY_NO_INDEX);
    check(&step, "a.CSV", DRAY_DROP, "include", DRAY_NO_INDEX);
    filter_check_path(&step, "raw", DRAY_DIRECTORY, DRAY_KEEP, "include", 1);
    filter_check_path(&step, "empty", DRAY_DIRECTORY, DRAY_DROP, "include", DRAY_NO_INDEX);
    filter_finish(&step);
}

static void exclude_wins(void **state)
{
    const char *const include[] = {".*\\.csv", NULL};
    const char *const exclude[] = {"tmp/.*", ".*_v(\\d)\\1\\..*", NULL};
    struct filter_step step;
    (void)state;
    assert_int_equal(prepare(&step, include, exclude, 0), DRAY_OK);
    check(&step, "tmp/a.csv", DRAY_DROP, "exclude", 0);
    check(&step, "a_v11.csv", DRAY_DROP, "exclude", 1);
    check(&step, "a_v12.csv", DRAY_KEEP, "include", 0);
    filter_finish(&step);
    assert_int_equal(prepare(&step, none, exclude, 0), DRAY_OK);
    check(&step, "x", DRAY_KEEP, "include", DRAY_NO_INDEX);
    filter_finish(&step);
}

static void case_is_ignored_on_request(void **state)
{
    const char *const include[] = {".*\\.csv", "\xc3\xa9", NULL};
    struct filter_step step;
    (void)state;
    assert_int_equal(prepare(&step, include, none, 1), DRAY_OK);
    check(&step, "A.Csv", DRAY_KEEP, "include", 0);
    check(&step, "\xc3\x89", DRAY_KEEP, "include", 1);
    filter_finish(&step);
}

static void a_path_that_is_not_utf_8_is_matched_by_byte(void **state)
{
    const char *const include[] = {"a.b", "c..d", "\xc3\xa9\xff?", NULL};
    struct filter_step step;
    (void)state;
    assert_int_equal(prepare(&step, include, none, 0), DRAY_INVALID); /* itself not UTF-8 */
    assert_int_equal(step.fake.count, 1);
    assert_int_equal(step.fake.reports[0].index, 2);
    filter_drop(&step);
    const char *const valid[] = {"a.b", "c..d", "\xc3\xa9.", NULL};
    assert_int_equal(prepare(&step, valid, none, 0), DRAY_OK);
    check(&step,
          "a\xc3\xa9"
          "b",
          DRAY_KEEP, "include", 0);
    check(&step,
          "c\xc3\xa9"
          "d",
          DRAY_DROP, "include", DRAY_NO_INDEX);
    check(&step,
          "a\xff"
          "b",
          DRAY_KEEP, "include", 0);
    check(&step,
          "c\xff\xfe"
          "d",
          DRAY_KEEP, "include", 1);
    check(&step, "\xc3\xa9\xff", DRAY_KEEP, "include", 2);
    filter_finish(&step);
}

static void characters_that_no_byte_is_stop_at_a_path_of_bytes(void **state)
{
    const char *const exclude[] = {"x\\x{100}", NULL};
    struct filter_step step;
    struct dray_verdict verdict;
    struct dray_entry entry = {
        .size = sizeof(entry), .type = DRAY_FILE, .path = "x\xff", .path_length = 2};
    (void)state;
    assert_int_equal(prepare(&step, none, exclude, 0), DRAY_OK);
    check(&step, "x\xc4\x80", DRAY_DROP, "exclude", 0);
    assert_int_equal(filter_decide(&step, &entry, &verdict), DRAY_INVALID);
    assert_non_null(strstr(step.fake.failure, "exclude[0] \"x\\x{100}\" with x\xff"));
    filter_finish(&step);
}

static void a_hostile_expression_is_given_up(void **state)
{
    static const char *const hostile[] = {"(a+)+$",       "(a|a)*", "(.*a){20}",
                                          "(\\w+\\s?)*!", "(a*)*b", "(?:a?){60}a{60}b"};
    char path[512] = "";
    (void)state;
    memset(path, 'a', 200);
    path[200] = '\t';
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        for (size_t j = 0; j < 2; j++) {
            const char *const exclude[] = {hostile[i], NULL};
            struct dray_entry entry = {
                .size = sizeof(entry), .type = DRAY_FILE, .path = path, .path_length = 201 + j};
            struct dray_verdict verdict;
            struct filter_step step;
            struct timespec begin, end;
            path[201] = j ? '\xff' : '\0';
            assert_int_equal(prepare(&step, none, exclude, 0), DRAY_OK);
            assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &begin), 0);
            int result = filter_decide(&step, &entry, &verdict);
            assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &end), 0);
            if (end.tv_sec - begin.tv_sec > 20)
                fail_msg("%s took %lld s", hostile[i], (long long)(end.tv_sec - begin.tv_sec));
            if (i == 0) {
                assert_int_equal(result, DRAY_INVALID);
                assert_non_null(strstr(step.fake.failure, "exclude[0] \"(a+)+$\" with aaaa"));
                assert_non_null(strstr(step.fake.failure, "match limit exceeded"));
            }
            filter_finish(&step);
        }
    }
}

static void an_expression_cannot_raise_the_limits(void **state)
{
    const char *const exclude[] = {"(*LIMIT_MATCH=4000000000)(*NO_JIT)(a+)+$", NULL};
    struct filter_step step;
    struct dray_verdict verdict;
    struct dray_entry entry = {.size = sizeof(entry),
                               .type = DRAY_FILE,
                               .path = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
                               .path_length = 45};
    (void)state;
    assert_int_equal(prepare(&step, none, exclude, 0), DRAY_OK);
    assert_int_equal(filter_decide(&step, &entry, &verdict), DRAY_INVALID);
    filter_finish(&step);
}

static void a_long_path_is_no_hostile_one(void **state)
{
    const char *const include[] = {"(a|b)*", "(?:[^/]+/)*x", NULL};
    static char path[4096];
    struct filter_step step;
    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    assert_int_equal(prepare(&step, include, none, 0), DRAY_OK);
    check(&step, path, DRAY_KEEP, "include", 0);
    for (size_t i = 1; i < sizeof(path) - 2; i += 2)
        path[i] = '/';
    path[sizeof(path) - 3] = '/';
    path[sizeof(path) - 2] = 'x';
    check(&step, path, DRAY_KEEP, "include", 1);
    filter_finish(&step);
}

static void every_bad_expression_is_reported_with_its_place(void **state)
{
    static char huge[20000];
    const char *const include[] = {"a", "a(", "", NULL};
    const char *const exclude[] = {"x[z-a]", "\\C", huge, NULL};
    struct filter_step step;
    (void)state;
    memset(huge, 'a', sizeof(huge) - 1);
    assert_int_equal(prepare(&step, include, exclude, 0), DRAY_INVALID);
    assert_int_equal(step.fake.count, 5);
    filter_check_report(&step, 0, "include", 1, 2, "missing closing parenthesis");
    filter_check_report(&step, 1, "include", 2, 0, "the expression is empty, and no path is");
    filter_check_report(&step, 2, "exclude", 0, 4, "range out of order in character class");
    assert_int_equal(step.fake.reports[3].index, 1);
    assert_int_equal(step.fake.reports[4].index, 2);
    filter_drop(&step);
}

static void *decide_often(void *arg)
{
    struct filter_step *step = arg;
    uintptr_t kept = 0;
    for (int i = 0; i < 20000; i++) {
        char path[64];
        struct dray_verdict verdict = {0};
        int length = snprintf(path, sizeof(path), "run-%d/s_%d.%s", i % 7, i, i % 2 ? "nc" : "md");
        struct dray_entry entry = {.size = sizeof(entry),
                                   .type = DRAY_FILE,
                                   .path = path,
                                   .path_length = (uint64_t)length};
        (void)filter_decide(step, &entry, &verdict);
        kept += verdict.verdict == DRAY_KEEP;
    }
    return (void *)kept; /* no pointer: a count */
}

static void threads_share_an_instance(void **state)
{
    const char *const include[] = {".*\\.nc", NULL};
    const char *const exclude[] = {"run-3/.*", NULL};
    struct filter_step step;
    pthread_t threads[4];
    uintptr_t expected = 0;
    (void)state;
    for (int i = 0; i < 20000; i++)
        expected += i % 2 == 1 && i % 7 != 3;
    assert_int_equal(prepare(&step, include, exclude, 0), DRAY_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decide_often, &step), 0);
    for (size_t i = 0; i < 4; i++) {
        void *kept = NULL;
        assert_int_equal(pthread_join(threads[i], &kept), 0);
        assert_true((uintptr_t)kept == expected);
    }
    filter_finish(&step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_path_is_matched),
        cmocka_unit_test(exclude_wins),
        cmocka_unit_test(case_is_ignored_on_request),
        cmocka_unit_test(a_path_that_is_not_utf_8_is_matched_by_byte),
        cmocka_unit_test(characters_that_no_byte_is_stop_at_a_path_of_bytes),
        cmocka_unit_test(a_hostile_expression_is_given_up),
        cmocka_unit_test(an_expression_cannot_raise_the_limits),
        cmocka_unit_test(a_long_path_is_no_hostile_one),
        cmocka_unit_test(every_bad_expression_is_reported_with_its_place),
        cmocka_unit_test(threads_share_an_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
