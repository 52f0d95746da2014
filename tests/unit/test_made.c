/* SPDX-License-Identifier: MIT */
/* What is known of the directories that attempts made: it is kept, it survives a cut, and it takes
 * nothing for ours that is not. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/run/made.h"

#define KEY    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

struct place {
    char path[64], file[160];
    int fd, one, other;
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    assert_non_null(place);
    (void)snprintf(place->path, sizeof(place->path), "/tmp/dray-test-made-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    (void)snprintf(place->file, sizeof(place->file), "%s/" KEY, place->path);
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(place->fd, "one", 0700), 0);
    assert_int_equal(mkdirat(place->fd, "other", 0700), 0);
    place->one = openat(place->fd, "one", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->other = openat(place->fd, "other", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    (void)close(place->fd);
    (void)close(place->one);
    (void)close(place->other);
    int result = dray_remove_tree(AT_FDCWD, place->path, &error);
    free(place);
    return result;
}

static void open_it(const struct place *place, int make, struct dray_made *made)
{
    struct dray_error error = {0};

    assert_int_equal(dray_made_open(place->path, KEY, make, made, &error), 0);
}

static void test_what_was_noted_is_known_by_whatever_name(void **state)
{
    const struct place *place = *state;
    struct dray_made made;
    struct dray_error error = {0};

    open_it(place, 1, &made);
    assert_null(dray_made_find(&made, place->one));
    assert_int_equal(dray_made_note(&made, place->one, DRAY_MADE, NULL, &error), 0);
    dray_made_close(&made);
    assert_int_equal(renameat(place->fd, "one", place->fd, "two"), 0);
    open_it(place, 0, &made);
    assert_non_null(dray_made_find(&made, place->one));
    assert_int_equal(dray_made_find(&made, place->one)->what, DRAY_MADE);
    assert_null(dray_made_find(&made, place->other));
    dray_made_close(&made);
}

static void test_the_newest_line_holds(void **state)
{
    const struct place *place = *state;
    struct dray_made made;
    struct dray_error error = {0};

    open_it(place, 1, &made);
    assert_int_equal(dray_made_note(&made, place->one, DRAY_MADE, NULL, &error), 0);
    assert_int_equal(dray_made_note(&made, place->one, DRAY_MADE_KEPT, NULL, &error), 0);
    assert_int_equal(dray_made_note(&made, place->other, DRAY_MADE_OLD, DIGEST, &error), 0);
    assert_int_equal(dray_made_find(&made, place->one)->what, DRAY_MADE_KEPT);
    dray_made_close(&made);
    open_it(place, 0, &made);
    assert_int_equal(dray_made_find(&made, place->one)->what, DRAY_MADE_KEPT);
    assert_int_equal(dray_made_find(&made, place->other)->what, DRAY_MADE_OLD);
    assert_string_equal(dray_made_find(&made, place->other)->manifest, DIGEST);
    dray_made_close(&made);
}

static void test_where_nothing_is_left_the_file_goes(void **state)
{
    const struct place *place = *state;
    struct dray_made made;
    struct dray_error error = {0};

    open_it(place, 0, &made);
    assert_int_equal(made.fd, -1);
    assert_int_equal(dray_made_note(&made, place->one, DRAY_MADE, NULL, &error), DRAY_BUG);
    dray_made_forget(&made);
    dray_made_close(&made);
    open_it(place, 1, &made);
    assert_int_equal(dray_made_note(&made, place->one, DRAY_MADE, NULL, &error), 0);
    dray_made_drop(place->path, KEY);
    assert_int_equal(access(place->file, F_OK), 0);
    dray_made_forget(&made);
    assert_null(dray_made_find(&made, place->one));
    dray_made_close(&made);
    dray_made_drop(place->path, KEY);
    assert_int_equal(access(place->file, F_OK), -1);
}

static void append(const struct place *place, const char *text)
{
    int fd = open(place->file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(close(fd), 0);
}

static void test_other_lines_say_nothing(void **state)
{
    const struct place *place = *state;
    struct dray_made made;
    struct dray_error error = {0};

    append(place, "\n\nmade\nmade 1\nmade x 2\nmade 1 2 3\nold 1 2\nold 1 2 abc\nold 1 2 " DIGEST
                  "0\nmade 1 2 " DIGEST "\nnews 1 2\nmade 7 8");
    open_it(place, 1, &made);
    assert_int_equal(made.count, 0);
    assert_int_equal(dray_made_note(&made, place->one, DRAY_MADE, NULL, &error), 0);
    dray_made_close(&made);
    append(place, "made 7 8\nold 9 10 " DIGEST "\nkept 11 12\n");
    open_it(place, 1, &made);
    assert_int_equal(made.count, 5); /* the cut one was ended by what came after */
    assert_non_null(dray_made_find(&made, place->one));
    assert_int_equal(made.lines[3].inode, 9);
    assert_int_equal(made.lines[4].what, DRAY_MADE_KEPT);
    dray_made_close(&made);
}

/* Its newest lines would not be read. */
static void test_of_a_file_that_is_too_long_nothing_is_believed(void **state)
{
    const struct place *place = *state;
    struct dray_made made;
    struct dray_error error = {0};
    char blank[4097];

    open_it(place, 1, &made);
    assert_int_equal(dray_made_note(&made, place->one, DRAY_MADE, NULL, &error), 0);
    dray_made_close(&made);
    memset(blank, '\n', sizeof(blank) - 1);
    blank[sizeof(blank) - 1] = '\0';
    for (int i = 0; i < 127; i++)
        append(place, blank);
    open_it(place, 1, &made);
    assert_non_null(dray_made_find(&made, place->one));
    dray_made_close(&made);
    append(place, blank);
    open_it(place, 1, &made);
    assert_null(dray_made_find(&made, place->one));
    dray_made_close(&made);
}

/* A file system that does not say when a directory was born has its inode only. */
static void test_an_inode_that_was_given_again_is_another(void **state)
{
    const struct place *place = *state;
    struct dray_made made;
    struct statx status;
    char text[80];

    assert_int_equal(statx(place->one, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &status), 0);
    if (!(status.stx_mask & STATX_BTIME))
        skip();
    (void)snprintf(text, sizeof(text), "made %llu 17\n", (unsigned long long)status.stx_ino);
    append(place, text);
    open_it(place, 0, &made);
    assert_null(dray_made_find(&made, place->one));
    dray_made_close(&made);
    (void)snprintf(text, sizeof(text), "made %llu 0\n", (unsigned long long)status.stx_ino);
    append(place, text);
    open_it(place, 0, &made);
    assert_non_null(dray_made_find(&made, place->one));
    dray_made_close(&made);
}

#define IN_PLACE(TEST) cmocka_unit_test_setup_teardown(TEST, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_what_was_noted_is_known_by_whatever_name),
        IN_PLACE(test_the_newest_line_holds),
        IN_PLACE(test_where_nothing_is_left_the_file_goes),
        IN_PLACE(test_other_lines_say_nothing),
        IN_PLACE(test_of_a_file_that_is_too_long_nothing_is_believed),
        IN_PLACE(test_an_inode_that_was_given_again_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
