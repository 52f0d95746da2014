/* SPDX-License-Identifier: MIT */
/* The journal of a merge: read back as written, cut, corrupt, finished and undone. */
#include <dirent.h>
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
#include "core/base/text.h"
#include "tests/unit/merge_place.h"

/* So many names can be read, and then the disk fails; -1: all. */
static int readable = -1;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
struct dirent *__real_readdir(DIR *listing);
struct dirent *__wrap_readdir(DIR *listing);
struct dirent *__wrap_readdir(DIR *listing)
{
    if (readable == 0) {
        errno = EIO;
        return NULL;
    }
    readable -= readable > 0;
    return __real_readdir(listing);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static void test_it_is_read_as_it_was_written(void **state)
{
    struct place *place = *state;
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1 << 20};
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal read = {0};
    struct dray_error error = {0};

    dray_merge_journal_print(&place->journal, &text);
    assert_int_equal(text.failed, 0);
    assert_int_equal(dray_merge_journal_read(text.data, text.length, &read, &error), 0);
    assert_true(read.complete && !read.undo && !read.done);
    assert_int_equal(read.count, place->journal.count);
    for (size_t i = 0; i < read.count; i++) {
        assert_int_equal(read.lines[i].act, place->journal.lines[i].act);
        assert_int_equal(read.lines[i].mode, place->journal.lines[i].mode);
        assert_int_equal(read.lines[i].mtime, place->journal.lines[i].mtime);
        assert_int_equal(read.lines[i].inode, place->journal.lines[i].inode);
        assert_int_equal(read.lines[i].bytes, place->journal.lines[i].bytes);
        assert_string_equal(read.lines[i].path, place->journal.lines[i].path);
    }
}

static void test_cut_anywhere_it_is_not_complete(void **state)
{
    struct place *place = *state;
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1 << 20};
    struct dray_error error = {0};

    dray_merge_journal_print(&place->journal, &text);
    for (size_t length = 0; length < text.length; length++) {
        dray_cleanup(dray_merge_journal_free) struct dray_merge_journal read = {0};
        assert_int_equal(dray_merge_journal_read(text.data, length, &read, &error), 0);
        assert_false(read.complete);
    }
}

static void test_a_changed_byte_never_passes(void **state)
{
    struct place *place = *state;
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1 << 20};
    struct dray_error error = {0};

    dray_merge_journal_print(&place->journal, &text);
    for (size_t at = 0; at < text.length; at++) {
        dray_cleanup(dray_merge_journal_free) struct dray_merge_journal read = {0};
        text.data[at] ^= 1;
        int result = dray_merge_journal_read(text.data, text.length, &read, &error);
        assert_true(result == DRAY_INTEGRITY || (result == 0 && !read.complete));
        text.data[at] ^= 1;
    }
}

static void test_paths_that_lead_out_are_refused(void **state)
{
    static const char *const paths[] = {"/a", "..",  "a/../b", "a//b", "a/",
                                        ".",  "%00", "%4",     "%zz"};
    struct dray_error error = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        dray_cleanup(dray_merge_journal_free) struct dray_merge_journal read = {0};
        dray_autofree char *text = dray_format("dray-merge 2 1\nput f 0644 1 1 1 %s\n", paths[i]);
        assert_non_null(text);
        assert_int_equal(dray_merge_journal_read(text, strlen(text), &read, &error),
                         DRAY_INTEGRITY);
    }
}

/* A full disk cut it, and what was noted later begins on a line of its own. */
static void test_a_word_that_was_cut_says_nothing(void **state)
{
    static const char *const tails[] = {"", "\nun", "\nundo\n", "\nun\ndone\n",
                                        "\nundo\n\ndo\ndone\n"};
    static const int says[][2] = {{0, 0}, {0, 0}, {1, 0}, {0, 1}, {1, 1}};
    struct place *place = *state;
    struct dray_error error = {0};

    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1 << 20};
        dray_cleanup(dray_merge_journal_free) struct dray_merge_journal read = {0};
        dray_merge_journal_print(&place->journal, &text);
        dray_buffer_text(&text, tails[i]);
        assert_int_equal(dray_merge_journal_read(text.data, text.length, &read, &error), 0);
        assert_true(read.complete);
        assert_int_equal(read.undo, says[i][0]);
        assert_int_equal(read.done, says[i][1]);
    }
}

static void test_noted_twice_it_is_read_again(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal read = {0};

    place_write_journal(place);
    assert_int_equal(dray_merge_journal_note(place->holder, "undo", &error), 0);
    assert_int_equal(dray_merge_journal_note(place->holder, "done", &error), 0);
    assert_int_equal(dray_merge_journal_load(place->holder, &read, &error), 1);
    assert_true(read.complete && read.undo && read.done);
}

/* As many as a large dataset has: what is hashed for each line again takes hours. */
static void test_a_long_journal_is_read_in_no_time(void **state)
{
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal journal = {0}, read = {0};
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = (size_t)1 << 30};
    struct dray_error error = {0};
    struct stat status = {.st_mode = S_IFREG | 0644, .st_ino = 123456789, .st_size = 1 << 20};
    char path[64];

    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        (void)snprintf(path, sizeof(path), "some/what/longer/path/name%06u.nc", i);
        assert_int_equal(dray_merge_journal_add(&journal, DRAY_MERGE_PUT, &status, path, &error),
                         0);
    }
    dray_merge_journal_print(&journal, &text);
    assert_int_equal(text.failed, 0);
    int64_t start = dray_monotonic();
    assert_int_equal(dray_merge_journal_read(text.data, text.length, &read, &error), 0);
    assert_true(read.complete);
    assert_int_equal(read.count, 300000);
    assert_true(dray_monotonic() - start < INT64_C(60) * 1000000000);
}

static void test_without_a_journal_nothing_was_begun(void **state)
{
    place_settle(*state);
    place_assert_as_before(*state);
}

static void test_what_it_says_is_done(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    place_write_journal(place);
    assert_int_equal(
        dray_merge_finish(place->target, place->holder, &place->journal, 0, NULL, &error), 0);
    place_assert_merged(place);
    place_settle(place);
    place_assert_merged(place);
}

static void test_killed_after_any_step_it_is_finished(void **state)
{
    for (size_t steps = 0; steps <= 5; steps++) {
        assert_int_equal(place_remove(state), 0);
        assert_int_equal(place_make(state), 0);
        place_write_journal(*state);
        place_do_steps(*state, steps);
        place_settle(*state);
        place_assert_merged(*state);
    }
}

static void test_what_is_not_there_is_undone_from_any_step(void **state)
{
    for (size_t steps = 0; steps <= 3; steps++) {
        assert_int_equal(place_remove(state), 0);
        assert_int_equal(place_make(state), 0);
        struct place *place = *state;
        place_write_journal(place);
        place_do_steps(place, steps);
        assert_int_equal(fchmodat(place->holder, "data/d", 0700, 0), 0);
        assert_int_equal(unlinkat(place->holder, "data/d/b\n%", 0), 0); /* a lost write */
        place_settle(place);
        place_assert_as_before(place);
    }
}

static void test_a_file_that_was_cut_is_undone(void **state)
{
    struct place *place = *state;

    place_write_journal(place);
    place_do_steps(place, 2);
    assert_int_equal(fchmodat(place->holder, "data/d", 0700, 0), 0);
    place_write(place->holder, "data/d/b\n%", "");
    place_settle(place);
    place_assert_as_before(place);
}

static void test_a_name_that_was_taken_is_left_and_the_rest_undone(void **state)
{
    struct place *place = *state;

    place_write_journal(place);
    place_do_steps(place, 3);
    place_write(place->target, "d", "of somebody");
    place_settle(place);
    assert_true(place_holds(place, "d", "of somebody"));
    assert_int_equal(unlinkat(place->target, "d", 0), 0);
    place_assert_as_before(place);
}

static void test_undone_it_leaves_what_others_put_below(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0}, kept = {0};

    place_write_journal(place);
    place_do_steps(place, 5);
    assert_int_equal(fchmodat(place->target, "d", 0755, 0), 0);
    place_write(place->target, "d/theirs", "theirs too");
    assert_int_equal(
        dray_merge_undo(place->target, place->holder, &place->journal, NULL, &kept, &error), 0);
    assert_int_equal(kept.class_, 0);
    assert_true(place_holds(place, "d/theirs", "theirs too"));
    assert_false(place_has(place, "d/b\n%"));
    assert_false(place_has(place, "a"));
    assert_true(place_holds(place, "mine", "theirs"));
    place_settle(place);
}

static void test_an_undoing_that_was_killed_goes_on(void **state)
{
    struct place *place = *state;
    int fd = -1;

    place_write_journal(place);
    place_do_steps(place, 5);
    fd = openat(place->holder, "journal", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(dray_write_all(fd, "undo\n", 5), 0);
    assert_int_equal(dray_close(&fd), 0);
    place_settle(place);
    place_assert_as_before(place);
}

static void test_files_of_others_are_kept_where_the_journal_is_lost(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    place_write_journal(place);
    place_do_steps(place, 2);
    assert_int_equal(unlinkat(place->holder, "journal", 0), 0);
    assert_int_equal(place_try_to_settle(place, &error), DRAY_INTEGRITY);
    assert_non_null(strstr(error.message, "files of others"));
    assert_true(place_holds(place, HOLDER "/old/1", "theirs"));
}

/* The disk fails: what could not be listed is not what is not there. */
static void test_names_that_cannot_be_read_are_no_end(void **state)
{
    struct place *place = *state;
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal journal = {0};
    struct dray_error error = {0};
    dray_autoclose int data =
        openat(place->holder, "data", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    readable = 3;
    int result =
        dray_merge_plan(place->target, data, DRAY_CONFLICTS_REPLACE, NULL, &journal, &error);
    readable = -1;
    assert_int_equal(result, DRAY_TEMPORARY);
    assert_non_null(strstr(error.message, "listing"));
    place_write_journal(place);
    place_do_steps(place, 2);
    assert_int_equal(unlinkat(place->holder, "journal", 0), 0);
    readable = 0;
    result = place_try_to_settle(place, &error);
    readable = -1;
    assert_int_equal(result, DRAY_INTEGRITY);
    assert_true(place_holds(place, HOLDER "/old/1", "theirs"));
}

static void test_what_others_may_write_is_not_believed(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    place_write_journal(place);
    assert_int_equal(fchmodat(place->target, HOLDER, 0770, 0), 0);
    assert_int_equal(place_try_to_settle(place, &error), 1);
    assert_non_null(strstr(error.message, "others may"));
    assert_false(place_has(place, "a"));
}

/* ---- While it goes on ---- */

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

static int is_cancelled(void *arg)
{
    return *(unsigned *)arg >= 3;
}

static void test_every_step_is_heard_of(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0}, kept = {0};
    unsigned heard = 0;
    const struct dray_merge_watch watch = {count, NULL, NULL, &heard};

    place_write_journal(place);
    assert_int_equal(
        dray_merge_finish(place->target, place->holder, &place->journal, 0, &watch, &error), 0);
    assert_true(heard >= place->journal.count);
    heard = 0;
    assert_int_equal(
        dray_merge_undo(place->target, place->holder, &place->journal, &watch, &kept, &error), 0);
    assert_true(heard >= place->journal.count);
    place_assert_as_before(place);
}

/* Two files of some pieces that are the same. */
static void test_it_can_be_cancelled_until_its_journal_is_written(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal journal = {0};
    unsigned heard = 0;
    const struct dray_merge_watch watch = {count, is_cancelled, NULL, &heard};

    assert_int_equal(mkdirat(place->holder, "new", 0700), 0);
    dray_autoclose int data = openat(place->holder, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place_write(data, "big", "");
    place_write(place->target, "big", "");
    for (int i = 0; i < 2; i++) {
        dray_autoclose int fd = openat(i ? data : place->target, "big", O_WRONLY | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, 8 << 20), 0);
    }
    assert_int_equal(
        dray_merge_plan(place->target, data, DRAY_CONFLICTS_SKIP_SAME, &watch, &journal, &error),
        DRAY_CANCELLED);
    assert_int_equal(heard, 3);
}

/* ---- What whoever it is for may change ---- */

struct asked {
    unsigned count, refused; /* the one that is refused */
    int gone;                /* names that were to leave */
};

static int permits(void *arg, int folder, const char *gone)
{
    struct asked *asked = arg;
    struct stat status;

    assert_int_equal(fstat(folder, &status), 0);
    asked->gone += gone != NULL;
    return ++asked->count != asked->refused;
}

static void test_each_name_is_asked_for_when_it_is_moved(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0}, kept = {0};
    struct asked asked = {0};
    const struct dray_merge_watch watch = {NULL, NULL, permits, &asked};
    unsigned moves = 0;

    for (size_t i = 0; i < place->journal.count; i++)
        moves += place->journal.lines[i].act != DRAY_MERGE_HAS;
    asked.refused = moves;
    place_write_journal(place);
    assert_int_equal(
        dray_merge_finish(place->target, place->holder, &place->journal, 0, &watch, &error),
        DRAY_DENIED);
    assert_int_equal(asked.count, moves);
    assert_true(asked.gone > 0);
    assert_int_equal(
        dray_merge_undo(place->target, place->holder, &place->journal, &watch, &kept, &error), 0);
    place_assert_as_before(place);
}

static void test_nothing_is_planned_that_they_may_not_do(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal journal = {0};
    struct asked asked = {0};
    const struct dray_merge_watch watch = {NULL, NULL, permits, &asked};

    assert_int_equal(mkdirat(place->holder, "new", 0700), 0);
    dray_autoclose int data = openat(place->holder, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place_write(data, "both", "new");
    place_write(data, "fresh", "");
    place_write(place->target, "both", "old");
    assert_int_equal(mkdirat(data, ".dray", 0755), 0);
    assert_int_equal(
        dray_merge_plan(place->target, data, DRAY_CONFLICTS_REPLACE, &watch, &journal, &error), 0);
    assert_true(asked.count > 1 && asked.gone > 0);
    unsigned all = asked.count;
    for (unsigned refused = 1; refused <= all; refused++) {
        asked = (struct asked){.refused = refused};
        dray_merge_journal_free(&journal);
        assert_int_equal(
            dray_merge_plan(place->target, data, DRAY_CONFLICTS_REPLACE, &watch, &journal, &error),
            DRAY_DENIED);
        assert_non_null(strstr(error.message, "whoever it is delivered for may not "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, place_make, place_remove)
        TEST(test_it_is_read_as_it_was_written),
        TEST(test_cut_anywhere_it_is_not_complete),
        TEST(test_a_changed_byte_never_passes),
        TEST(test_paths_that_lead_out_are_refused),
        TEST(test_a_word_that_was_cut_says_nothing),
        TEST(test_noted_twice_it_is_read_again),
        TEST(test_a_long_journal_is_read_in_no_time),
        TEST(test_without_a_journal_nothing_was_begun),
        TEST(test_what_it_says_is_done),
        TEST(test_killed_after_any_step_it_is_finished),
        TEST(test_what_is_not_there_is_undone_from_any_step),
        TEST(test_a_file_that_was_cut_is_undone),
        TEST(test_a_name_that_was_taken_is_left_and_the_rest_undone),
        TEST(test_undone_it_leaves_what_others_put_below),
        TEST(test_an_undoing_that_was_killed_goes_on),
        TEST(test_files_of_others_are_kept_where_the_journal_is_lost),
        TEST(test_names_that_cannot_be_read_are_no_end),
        TEST(test_what_others_may_write_is_not_believed),
        TEST(test_every_step_is_heard_of),
        TEST(test_it_can_be_cancelled_until_its_journal_is_written),
        TEST(test_each_name_is_asked_for_when_it_is_moved),
        TEST(test_nothing_is_planned_that_they_may_not_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
