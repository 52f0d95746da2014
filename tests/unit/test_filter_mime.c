/* SPDX-License-Identifier: MIT */
/* filter/mime: types of content, patterns of types, how much is read, and threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/filter_fixture.h"

#define PNG "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0"

static const char *const none[] = {NULL};

static int prepare(struct filter_step *step, const char *const *include, const char *const *exclude)
{
    filter_new(step, "mime");
    filter_set_strings(step, "include", include);
    filter_set_strings(step, "exclude", exclude);
    return filter_prepare(step);
}

static struct dray_entry holding(struct filter_step *step, const char *bytes, uint64_t length)
{
    step->fake.bytes = bytes;
    step->fake.length = length;
    return (struct dray_entry){.size = sizeof(struct dray_entry),
                               .type = DRAY_FILE,
                               .path = "f.txt",
                               .path_length = 5,
                               .bytes = length};
}

static void check(struct filter_step *step, const char *bytes, uint64_t length, uint32_t verdict,
                  const char *option, int64_t index)
{
    struct dray_entry entry = holding(step, bytes, length);
    filter_check(step, &entry, verdict, option, index);
}

static void content_decides_and_exclude_wins(void **state)
{
    const char *const include[] = {"image/*", "TEXT/plain", NULL};
    const char *const exclude[] = {"*/gif", NULL};
    struct filter_step step;
    (void)state;
    assert_int_equal(prepare(&step, include, exclude), DRAY_OK);
    assert_true((step.plugin->head.caps & DRAY_CAP_CONTENT) != 0);
    check(&step, PNG, sizeof(PNG) - 1, DRAY_KEEP, "include", 0);
    check(&step, "plain words\n", 12, DRAY_KEEP, "include", 1);
    check(&step, "GIF89a\1\0\1\0\0\0\0", 13, DRAY_DROP, "exclude", 0);
    check(&step, "\0\1\2\3", 4, DRAY_DROP, "include", DRAY_NO_INDEX);
    assert_int_equal(step.fake.opened, 4);
    assert_int_equal(step.fake.closed, 4);
    filter_finish(&step);
    assert_int_equal(prepare(&step, none, exclude), DRAY_OK);
    check(&step, PNG, sizeof(PNG) - 1, DRAY_KEEP, "include", DRAY_NO_INDEX);
    filter_finish(&step);
}

static void what_has_no_bytes_is_not_opened(void **state)
{
    const char *const include[] = {"inode/symlink", "inode/dir*", "inode/x-empty", NULL};
    struct filter_step step;
    (void)state;
    assert_int_equal(prepare(&step, include, none), DRAY_OK);
    filter_check_path(&step, "l", DRAY_LINK, DRAY_KEEP, "include", 0);
    filter_check_path(&step, "d", DRAY_DIRECTORY, DRAY_KEEP, "include", 1);
    filter_check_path(&step, "f", DRAY_FILE, DRAY_KEEP, "include", 2);
    assert_int_equal(step.fake.opened, 0);
    filter_finish(&step);
}

static void a_star_is_anything_but_a_slash(void **state)
{
    static const struct {
        const char *pattern;
        int matches;
    } cases[] = {
        {"*/*", 1},        {"image/*", 1},  {"*/png", 1},    {"im*ge/p*g", 1}, {"*e/*n*g*", 1},
        {"image/png*", 1}, {"image/pn", 0}, {"image/x*", 0}, {"*x*/png", 0},   {"*/pngx", 0},
        {"i*/png", 1},     {"i*/p*n", 0},   {"*/*a*", 0},    {"mage/png", 0},  {"**/**", 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const exclude[] = {cases[i].pattern, NULL};
        struct filter_step step;
        struct dray_verdict verdict = {0};
        assert_int_equal(prepare(&step, none, exclude), DRAY_OK);
        struct dray_entry entry = holding(&step, PNG, sizeof(PNG) - 1);
        assert_int_equal(filter_decide(&step, &entry, &verdict), DRAY_OK);
        if ((verdict.verdict == DRAY_DROP) != cases[i].matches)
            fail_msg("%s", cases[i].pattern);
        filter_finish(&step);
    }
}

static void only_the_begin_of_a_file_is_read(void **state)
{
    static char large[1 << 20];
    const char *const include[] = {"text/plain", NULL};
    struct filter_step step;
    (void)state;
    memset(large, 'a', sizeof(large));
    memset(large + (1 << 19), 0, 1 << 19);
    assert_int_equal(prepare(&step, include, none), DRAY_OK);
    check(&step, large, sizeof(large), DRAY_KEEP, "include", 0);
    assert_int_equal(step.fake.position, 262144);
    filter_finish(&step);
}

static void a_file_that_cannot_be_opened_has_no_verdict(void **state)
{
    const char *const include[] = {"*/*", NULL};
    struct filter_step step;
    struct dray_verdict verdict;
    (void)state;
    assert_int_equal(prepare(&step, include, none), DRAY_OK);
    struct dray_entry entry = holding(&step, NULL, 1);
    assert_int_equal(filter_decide(&step, &entry, &verdict), DRAY_DENIED);
    check(&step, "x\n", 2, DRAY_KEEP, "include", 0); /* and the next one has */
    filter_finish(&step);
}

static void every_bad_type_is_reported_with_its_place(void **state)
{
    const char *const include[] = {"image", "", "/png", "image/", "image/*", NULL};
    const char *const exclude[] = {"a/b/c", "a b/c", "a/b ", NULL};
    struct filter_step step;
    (void)state;
    assert_int_equal(prepare(&step, include, exclude), DRAY_INVALID);
    assert_int_equal(step.fake.count, 7);
    filter_check_report(&step, 0, "include", 0, 5,
                        "a type has two parts: text/csv, or text/* for all of text");
    filter_check_report(&step, 1, "include", 1, 0, "the type is empty");
    filter_check_report(&step, 2, "include", 2, 0, "a type is written text/csv or image/*");
    filter_check_report(&step, 3, "include", 3, 6,
                        "nothing stands after the slash; write * for all");
    filter_check_report(&step, 4, "exclude", 0, 3, "this stands in no type");
    filter_check_report(&step, 5, "exclude", 1, 1, "this stands in no type");
    filter_check_report(&step, 6, "exclude", 2, 3, "this stands in no type");
    filter_drop(&step);
}

/* ---- Threads --------------------------------------------------------------------------------- */

struct share {
    const struct filter_step *step;
    uintptr_t images;
};

/* A host of its own for each thread, and one instance for all. */
static void *decide_often(void *arg)
{
    struct share *share = arg;
    struct filter_step step = *share->step;
    for (int i = 0; i < 200; i++) {
        struct dray_verdict verdict = {0};
        struct dray_entry entry =
            i % 2 ? holding(&step, PNG, sizeof(PNG) - 1) : holding(&step, "words\n", 6);
        if (filter_decide(&step, &entry, &verdict) == DRAY_OK)
            share->images += verdict.verdict == DRAY_KEEP;
    }
    return NULL;
}

static void threads_share_an_instance(void **state)
{
    const char *const include[] = {"image/png", NULL};
    struct filter_step step;
    struct share shares[4];
    pthread_t threads[4];
    (void)state;
    assert_int_equal(prepare(&step, include, none), DRAY_OK);
    for (size_t i = 0; i < 4; i++) {
        shares[i] = (struct share){&step, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, decide_often, &shares[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(shares[i].images, 100);
    }
    filter_finish(&step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_decides_and_exclude_wins),
        cmocka_unit_test(what_has_no_bytes_is_not_opened),
        cmocka_unit_test(a_star_is_anything_but_a_slash),
        cmocka_unit_test(only_the_begin_of_a_file_is_read),
        cmocka_unit_test(a_file_that_cannot_be_opened_has_no_verdict),
        cmocka_unit_test(every_bad_type_is_reported_with_its_place),
        cmocka_unit_test(threads_share_an_instance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
