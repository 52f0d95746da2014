/* SPDX-License-Identifier: MIT */
/* The journal of a merge: read back as written, cut, corrupt, finished and undone. */
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
#include "core/run/merge.h"

#define HOLDER ".dray-0123456789abcdef.1-01234567"

/* A target with the files of others `mine` and `e/other`, and a holder whose journal takes `a` and
 * the directory `d` into it, and `mine` in the place of `mine`. */
struct place {
    char path[64];
    int target, holder, lock;
    struct dray_merge_journal journal;
};

static void write_file(int root, const char *name, const char *text)
{
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(dray_close(&fd), 0);
}

static int holds(struct place *place, const char *name, const char *text)
{
    char found[64] = "";
    int fd = openat(place->target, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t got = dray_read_full(fd, found, sizeof(found) - 1);
    (void)close(fd);
    return got == (ssize_t)strlen(text) && memcmp(found, text, strlen(text)) == 0;
}

static int exists(struct place *place, const char *name)
{
    struct stat status;

    return fstatat(place->target, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void add(struct place *place, enum dray_merge_act act, const char *where, const char *path)
{
    dray_autofree char *whole = dray_format("%s%s", where, path);
    struct dray_error error = {0};
    struct stat status;

    assert_non_null(whole);
    assert_int_equal(fstatat(place->target, whole, &status, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(dray_merge_journal_add(&place->journal, act, &status, path, &error), 0);
}

static int make_place(void **state)
{
    static const char data[] = HOLDER "/data/";
    struct place *place = calloc(1, sizeof(*place));
    struct dray_error error = {0};
    struct stat status;

    assert_non_null(place);
    (void)snprintf(place->path, sizeof(place->path), "/tmp/dray-test-merge-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->target = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(
        dray_merge_holder_make(place->target, HOLDER, &place->holder, &place->lock, &error), 0);
    assert_int_equal(fstat(place->holder, &status), 0);
    place->journal.holder = status.st_ino;
    assert_int_equal(mkdirat(place->holder, "data/d", 0700), 0);
    assert_int_equal(mkdirat(place->target, "e", 0700), 0);
    write_file(place->target, "mine", "theirs");
    write_file(place->target, "e/other", "other");
    write_file(place->holder, "data/a", "new a");
    write_file(place->holder, "data/d/b\n%", "new b");
    write_file(place->holder, "data/mine", "new mine");
    add(place, DRAY_MERGE_PUT, data, "a");
    add(place, DRAY_MERGE_ASIDE, "", "mine");
    add(place, DRAY_MERGE_PUT, data, "mine");
    assert_int_equal(fchmodat(place->holder, "data/d", 0555, 0), 0);
    add(place, DRAY_MERGE_PUT, data, "d");
    add(place, DRAY_MERGE_HAS, data, "d/b\n%");
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    (void)close(place->holder);
    (void)close(place->target);
    dray_close_descriptor(&place->lock);
    dray_merge_journal_free(&place->journal);
    int result = dray_remove_tree(AT_FDCWD, place->path, &error);
    free(place);
    return result;
}

static void write_journal(struct place *place)
{
    struct dray_error error = {0};

    assert_int_equal(dray_merge_journal_write(place->holder, &place->journal, &error), 0);
}

static void assert_merged(struct place *place)
{
    struct stat status;

    assert_true(holds(place, "a", "new a"));
    assert_true(holds(place, "mine", "new mine"));
    assert_true(holds(place, "d/b\n%", "new b"));
    assert_true(holds(place, "e/other", "other"));
    assert_int_equal(fstatat(place->target, "d", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0555);
}

static void assert_as_before(struct place *place)
{
    assert_false(exists(place, "a"));
    assert_false(exists(place, "d"));
    assert_true(holds(place, "mine", "theirs"));
    assert_true(holds(place, "e/other", "other"));
}

/* As the next process does: whoever made it is gone. */
static int try_to_settle(struct place *place, struct dray_error *error)
{
    dray_close_descriptor(&place->lock);
    place->lock = -1;
    return dray_merge_settle(place->target, HOLDER, -1, error);
}

static void settle(struct place *place)
{
    struct dray_error error = {0};
    int result = try_to_settle(place, &error);

    if (result != 0)
        print_error("%s\n", error.message);
    assert_int_equal(result, 0);
    assert_false(exists(place, HOLDER));
}

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

static void test_without_a_journal_nothing_was_begun(void **state)
{
    settle(*state);
    assert_as_before(*state);
}

static void test_what_it_says_is_done(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    write_journal(place);
    assert_int_equal(
        dray_merge_finish(place->target, place->holder, &place->journal, 0, NULL, &error), 0);
    assert_merged(place);
    settle(place);
    assert_merged(place);
}

/* Do the first steps only, as a process that is killed does. */
static void do_steps(struct place *place, size_t steps)
{
    struct dray_merge_journal part = place->journal;
    struct dray_error error = {0};

    part.count = steps;
    assert_int_equal(dray_merge_finish(place->target, place->holder, &part, 0, NULL, &error), 0);
    assert_int_equal(unlinkat(place->holder, "journal", 0), 0);
    write_journal(place);
}

static void test_killed_after_any_step_it_is_finished(void **state)
{
    for (size_t steps = 0; steps <= 5; steps++) {
        assert_int_equal(remove_place(state), 0);
        assert_int_equal(make_place(state), 0);
        write_journal(*state);
        do_steps(*state, steps);
        settle(*state);
        assert_merged(*state);
    }
}

static void test_what_is_not_there_is_undone_from_any_step(void **state)
{
    for (size_t steps = 0; steps <= 3; steps++) {
        assert_int_equal(remove_place(state), 0);
        assert_int_equal(make_place(state), 0);
        struct place *place = *state;
        write_journal(place);
        do_steps(place, steps);
        assert_int_equal(fchmodat(place->holder, "data/d", 0700, 0), 0);
        assert_int_equal(unlinkat(place->holder, "data/d/b\n%", 0), 0); /* a lost write */
        settle(place);
        assert_as_before(place);
    }
}

static void test_a_file_that_was_cut_is_undone(void **state)
{
    struct place *place = *state;

    write_journal(place);
    do_steps(place, 2);
    assert_int_equal(fchmodat(place->holder, "data/d", 0700, 0), 0);
    write_file(place->holder, "data/d/b\n%", "");
    settle(place);
    assert_as_before(place);
}

static void test_a_name_that_was_taken_is_left_and_the_rest_undone(void **state)
{
    struct place *place = *state;

    write_journal(place);
    do_steps(place, 3);
    write_file(place->target, "d", "of somebody");
    settle(place);
    assert_true(holds(place, "d", "of somebody"));
    assert_int_equal(unlinkat(place->target, "d", 0), 0);
    assert_as_before(place);
}

static void test_undone_it_leaves_what_others_put_below(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0}, kept = {0};

    write_journal(place);
    do_steps(place, 5);
    assert_int_equal(fchmodat(place->target, "d", 0755, 0), 0);
    write_file(place->target, "d/theirs", "theirs too");
    assert_int_equal(
        dray_merge_undo(place->target, place->holder, &place->journal, NULL, &kept, &error), 0);
    assert_int_equal(kept.class_, 0);
    assert_true(holds(place, "d/theirs", "theirs too"));
    assert_false(exists(place, "d/b\n%"));
    assert_false(exists(place, "a"));
    assert_true(holds(place, "mine", "theirs"));
    settle(place);
}

static void test_an_undoing_that_was_killed_goes_on(void **state)
{
    struct place *place = *state;
    int fd = -1;

    write_journal(place);
    do_steps(place, 5);
    fd = openat(place->holder, "journal", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(dray_write_all(fd, "undo\n", 5), 0);
    assert_int_equal(dray_close(&fd), 0);
    settle(place);
    assert_as_before(place);
}

static void test_files_of_others_are_kept_where_the_journal_is_lost(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    write_journal(place);
    do_steps(place, 2);
    assert_int_equal(unlinkat(place->holder, "journal", 0), 0);
    assert_int_equal(try_to_settle(place, &error), DRAY_INTEGRITY);
    assert_non_null(strstr(error.message, "files of others"));
    assert_true(holds(place, HOLDER "/old/1", "theirs"));
}

static void test_what_others_may_write_is_not_believed(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    write_journal(place);
    assert_int_equal(fchmodat(place->target, HOLDER, 0770, 0), 0);
    assert_int_equal(try_to_settle(place, &error), 1);
    assert_non_null(strstr(error.message, "others may"));
    assert_false(exists(place, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, make_place, remove_place)
        TEST(test_it_is_read_as_it_was_written),
        TEST(test_cut_anywhere_it_is_not_complete),
        TEST(test_a_changed_byte_never_passes),
        TEST(test_paths_that_lead_out_are_refused),
        TEST(test_without_a_journal_nothing_was_begun),
        TEST(test_what_it_says_is_done),
        TEST(test_killed_after_any_step_it_is_finished),
        TEST(test_what_is_not_there_is_undone_from_any_step),
        TEST(test_a_file_that_was_cut_is_undone),
        TEST(test_a_name_that_was_taken_is_left_and_the_rest_undone),
        TEST(test_undone_it_leaves_what_others_put_below),
        TEST(test_an_undoing_that_was_killed_goes_on),
        TEST(test_files_of_others_are_kept_where_the_journal_is_lost),
        TEST(test_what_others_may_write_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
