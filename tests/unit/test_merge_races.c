/* SPDX-License-Identifier: MIT */
/* A merge while others change the target, and while its file system fails: the linker sends system
 * calls to functions of this test, which act just before them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "tests/unit/merge_place.h"

/* Called before a call; what it returns is the call's errno, 0: it is done. */
static int (*before)(const char *call, const char *from, const char *to);
static struct place *place;
static int happened;

static int refused(const char *call, const char *from, const char *to)
{
    int (*now)(const char *, const char *, const char *) = before;

    if (!now)
        return 0;
    before = NULL; /* what it does itself is not watched */
    int reason = now(call, from, to);
    before = now;
    errno = reason;
    return reason != 0;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __real_renameat(int from, const char *old, int to, const char *name);
int __real_linkat(int from, const char *old, int to, const char *name, int flags);
int __real_unlinkat(int directory, const char *name, int flags);
int __real_fsync(int fd);
ssize_t __real_write(int fd, const void *data, size_t length);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __wrap_renameat(int from, const char *old, int to, const char *name);
int __wrap_linkat(int from, const char *old, int to, const char *name, int flags);
int __wrap_unlinkat(int directory, const char *name, int flags);
int __wrap_fsync(int fd);
ssize_t __wrap_write(int fd, const void *data, size_t length);

int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
    return refused("renameat2", old, name) ? -1 : __real_renameat2(from, old, to, name, flags);
}

int __wrap_renameat(int from, const char *old, int to, const char *name)
{
    return refused("renameat", old, name) ? -1 : __real_renameat(from, old, to, name);
}

int __wrap_linkat(int from, const char *old, int to, const char *name, int flags)
{
    return refused("linkat", old, name) ? -1 : __real_linkat(from, old, to, name, flags);
}

int __wrap_unlinkat(int directory, const char *name, int flags)
{
    return refused("unlinkat", name, "") ? -1 : __real_unlinkat(directory, name, flags);
}

int __wrap_fsync(int fd)
{
    return refused("fsync", "", "") ? -1 : __real_fsync(fd);
}

/* An old kernel has neither openat2 nor fchmodat2. */
static int old_kernel;

long __wrap_syscall(long number, ...)
{
    va_list arguments;
    long word[4];

    va_start(arguments, number);
    for (size_t i = 0; i < 4; i++)
        word[i] = va_arg(arguments, long);
    va_end(arguments);
    if (!old_kernel)
        return __real_syscall(number, word[0], word[1], word[2], word[3]);
    errno = ENOSYS;
    return -1;
}

/* One that is refused writes two bytes before. */
ssize_t __wrap_write(int fd, const void *data, size_t length)
{
    if (!refused("write", "", ""))
        return __real_write(fd, data, length);
    int reason = errno;
    (void)!__real_write(fd, data, length < 2 ? length : 2);
    errno = reason;
    return -1;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static int setup(void **state)
{
    before = NULL;
    happened = old_kernel = 0;
    int result = place_make(state);
    place = *state;
    return result;
}

static int teardown(void **state)
{
    before = NULL;
    return place_remove(state);
}

static int finish(struct dray_error *error)
{
    place_write_journal(place);
    return dray_merge_finish(place->target, place->holder, &place->journal, 0, NULL, error);
}

static void undo(struct dray_error *ret_kept, struct dray_error *error)
{
    assert_int_equal(
        dray_merge_undo(place->target, place->holder, &place->journal, NULL, ret_kept, error), 0);
}

static void append(const char *name, const char *text)
{
    int fd = openat(place->target, name, O_WRONLY | O_APPEND | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(dray_close(&fd), 0);
}

/* ---- What is aside, while somebody has it open ---- */

static void test_what_grew_while_it_was_aside_is_given_back(void **state)
{
    (void)state;
    place_write_journal(place);
    place_do_steps(place, 3);
    append(HOLDER "/old/1", ", and more");
    place_settle(place);
    assert_true(place_holds(place, "mine", "theirs, and more"));
    assert_int_equal(unlinkat(place->target, "mine", 0), 0);
    place_write(place->target, "mine", "theirs");
    place_assert_as_before(place);
}

/* Killed between moving aside what somebody had exchanged, and giving it back. */
static void test_what_was_exchanged_before_it_was_moved_aside_is_given_back(void **state)
{
    (void)state;
    place_write_journal(place);
    place_do_steps(place, 1);
    place_write(place->target, "another", "of somebody");
    assert_int_equal(renameat(place->target, "another", place->holder, "old/1"), 0);
    assert_int_equal(unlinkat(place->target, "mine", 0), 0);
    place_settle(place);
    assert_true(place_holds(place, "mine", "of somebody"));
    assert_false(place_has(place, "a"));
}

static void test_what_grew_after_all_was_done_is_kept_and_named(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(finish(&error), 0);
    append(HOLDER "/old/1", ", and more");
    assert_int_equal(place_try_to_settle(place, &error), 1);
    assert_non_null(strstr(error.message, HOLDER "/old/1\" is kept: it was \"mine\""));
    place_assert_merged(place);
    assert_true(place_holds(place, HOLDER "/old/1", "theirs, and more"));
    assert_int_equal(unlinkat(place->holder, "old/1", 0), 0);
    place_settle(place);
}

static void test_what_cannot_be_given_back_is_kept_and_named(void **state)
{
    struct dray_error error = {0};

    (void)state;
    place_write_journal(place);
    place_do_steps(place, 2);
    place_write(place->target, "mine", "came meanwhile");
    assert_int_equal(place_try_to_settle(place, &error), DRAY_INTEGRITY);
    assert_non_null(
        strstr(error.message, "\"mine\" could not be given back, and is kept as old/1"));
    assert_true(place_holds(place, "mine", "came meanwhile"));
    assert_true(place_holds(place, HOLDER "/old/1", "theirs"));
    assert_false(place_has(place, "a"));
}

/* ---- What comes between a look and an act ---- */

static int knows_no_flags(const char *call, const char *from, const char *to)
{
    (void)from;
    if (strcmp(call, "renameat2") == 0)
        return EINVAL;
    if ((strcmp(call, "linkat") == 0 || strcmp(call, "renameat") == 0) && strcmp(to, "a") == 0)
        place_write(place->target, "a", "came meanwhile");
    return 0;
}

static void test_nothing_is_replaced_also_where_renames_know_no_flags(void **state)
{
    struct dray_error error = {0};

    (void)state;
    before = knows_no_flags;
    assert_int_equal(finish(&error), DRAY_CONFLICT);
    assert_true(place_holds(place, "a", "came meanwhile"));
}

static int only_no_flags(const char *call, const char *from, const char *to)
{
    (void)from;
    (void)to;
    return strcmp(call, "renameat2") == 0 ? ENOSYS : 0;
}

static void test_without_flags_a_merge_is_done_and_undone(void **state)
{
    struct dray_error error = {0}, kept = {0};

    (void)state;
    before = only_no_flags;
    assert_int_equal(finish(&error), 0);
    place_assert_merged(place);
    undo(&kept, &error);
    assert_int_equal(kept.class_, 0);
    place_assert_as_before(place);
}

static void test_a_move_by_hard_link_that_was_killed_goes_on(void **state)
{
    (void)state;
    place_write_journal(place);
    assert_int_equal(linkat(place->holder, "data/a", place->target, "a", 0), 0);
    place_settle(place);
    place_assert_merged(place);
    assert_int_equal(teardown(state), 0);
    assert_int_equal(setup(state), 0);
    place_write_journal(place);
    place_do_steps(place, 2);
    assert_int_equal(linkat(place->holder, "old/1", place->target, "mine", 0), 0);
    assert_int_equal(unlinkat(place->holder, "data/mine", 0), 0); /* so that it is undone */
    place_settle(place);
    place_assert_as_before(place);
}

static int knows_neither(const char *call, const char *from, const char *to)
{
    (void)from;
    (void)to;
    return strcmp(call, "renameat2") == 0 ? EINVAL : strcmp(call, "linkat") == 0 ? EPERM : 0;
}

static void test_without_flags_and_links_nothing_is_begun(void **state)
{
    struct dray_error error = {0};

    (void)state;
    before = knows_neither;
    assert_int_equal(dray_merge_journal_write(place->holder, &place->journal, &error),
                     DRAY_UNSUPPORTED);
    assert_non_null(strstr(error.message, "neither"));
    before = NULL;
    place_settle(place);
    place_assert_as_before(place);
}

/* What was put has the name of somebody's file by the time that it is taken away. */
static int exchange_what_was_put(const char *call, const char *from, const char *to)
{
    (void)to;
    (void)call;
    if (happened || strcmp(from, "a") != 0)
        return 0;
    happened = 1;
    assert_int_equal(renameat(place->target, "a", place->target, "away"), 0);
    place_write(place->target, "a", "of somebody");
    return 0;
}

static void test_what_somebody_exchanged_is_not_taken_away(void **state)
{
    struct dray_error error = {0}, kept = {0};

    (void)state;
    assert_int_equal(finish(&error), 0);
    before = exchange_what_was_put;
    undo(&kept, &error);
    assert_int_equal(happened, 1);
    assert_true(place_holds(place, "a", "of somebody"));
    assert_int_equal(kept.class_, DRAY_CONFLICT);
}

static void test_an_edit_of_the_same_size_stays_and_is_named(void **state)
{
    static const char *const edited[] = {"a", "d/b\n%"};

    for (size_t i = 0; i < 2; i++) {
        struct dray_error error = {0}, kept = {0};
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
        assert_int_equal(finish(&error), 0);
        int fd = openat(place->target, edited[i], O_WRONLY | O_CLOEXEC);
        assert_int_equal(dray_write_all(fd, "NEW", 3), 0);
        assert_int_equal(dray_close(&fd), 0);
        undo(&kept, &error);
        assert_int_equal(kept.class_, DRAY_CONFLICT);
        assert_non_null(strstr(kept.message, i == 0 ? "\"a\"" : "d/b"));
        assert_true(place_holds(place, edited[i], i == 0 ? "NEW a" : "NEW b"));
        assert_true(place_holds(place, "mine", "theirs"));
    }
}

/* ---- The holder's own name ---- */

static int take_its_name(const char *call, const char *from, const char *to)
{
    (void)to;
    if (happened || strcmp(call, "unlinkat") != 0 || strncmp(from, "journal", 7) != 0)
        return 0;
    happened = 1;
    assert_int_equal(renameat(place->target, HOLDER, place->target, "away"), 0);
    assert_int_equal(renameat(place->target, "e", place->target, HOLDER), 0);
    return 0;
}

static void test_what_has_the_holders_name_at_the_end_is_not_emptied(void **state)
{
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(finish(&error), 0);
    before = take_its_name;
    assert_int_equal(place_try_to_settle(place, &error), 1);
    assert_int_equal(happened, 1);
    assert_true(place_holds(place, HOLDER "/other", "other"));
    assert_true(place_has(place, "away"));
    assert_false(place_has(place, "away/data"));
}

/* ---- Modes ---- */

/* Moving d needs that it is made writable; as soon as it is there, a link has its name. */
static int swap_for_a_link(const char *call, const char *from, const char *to)
{
    (void)to;
    if (strcmp(call, "renameat2") != 0 || strcmp(from, "d") != 0)
        return 0;
    if (happened++ == 0)
        return EACCES;
    assert_int_equal(renameat(place->holder, "data/d", place->target, "away"), 0);
    assert_int_equal(symlinkat("mine", place->target, "d"), 0);
    return EEXIST;
}

static void test_no_mode_is_set_through_a_link(void **state)
{
    for (int old = 0; old < 2; old++) {
        struct dray_error error = {0};
        struct stat status;
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
        old_kernel = old;
        before = swap_for_a_link;
        assert_int_equal(finish(&error), DRAY_CONFLICT);
        assert_int_equal(happened, 2);
        assert_int_equal(fstatat(place->target, "mine", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0644);
        assert_int_equal(fstatat(place->target, "away", &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 0555);
    }
}

static void test_an_old_kernel_does_it_too(void **state)
{
    struct dray_error error = {0}, kept = {0};

    (void)state;
    old_kernel = 1;
    assert_int_equal(finish(&error), 0);
    place_assert_merged(place);
    undo(&kept, &error);
    place_assert_as_before(place);
}

static void test_a_mode_that_a_kill_left_is_set_right(void **state)
{
    for (int put = 0; put < 2; put++) {
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
        place_write_journal(place);
        place_do_steps(place, put ? 4 : 3);
        if (put)
            assert_int_equal(fchmodat(place->target, "d", 0755, 0), 0);
        else
            assert_int_equal(fchmodat(place->holder, "data/d", 0755, 0), 0);
        place_settle(place);
        place_assert_merged(place);
    }
}

/* ---- A file system that fails ---- */

static int second_fsync_fails(const char *call, const char *from, const char *to)
{
    (void)from;
    (void)to;
    return strcmp(call, "fsync") == 0 && ++happened == 2 ? EIO : 0;
}

static void test_a_journal_that_is_not_durable_is_none(void **state)
{
    struct dray_error error = {0};

    (void)state;
    before = second_fsync_fails;
    assert_int_equal(dray_merge_journal_write(place->holder, &place->journal, &error),
                     DRAY_TEMPORARY);
    before = NULL;
    assert_int_equal(happened, 2);
    assert_false(place_has(place, HOLDER "/journal"));
    assert_false(place_has(place, HOLDER "/journal.new"));
    assert_int_equal(place_settle_own(place, &error), 0);
    place_assert_as_before(place);
}

static void test_ones_own_that_failed_is_undone(void **state)
{
    struct dray_error error = {0};

    (void)state;
    place_write_journal(place);
    place_do_steps(place, 3);
    assert_int_equal(place_settle_own(place, &error), 0);
    place_assert_as_before(place);
    assert_false(place_has(place, HOLDER));
}

static int disk_is_full(const char *call, const char *from, const char *to)
{
    (void)from;
    (void)to;
    return strcmp(call, "write") == 0 ? ENOSPC : 0;
}

/* Of "undo" two bytes are written. */
static void test_what_could_not_be_noted_is_undone_all_the_same(void **state)
{
    struct dray_error error = {0}, kept = {0};

    (void)state;
    place_write_journal(place);
    place_do_steps(place, 1);
    before = disk_is_full;
    undo(&kept, &error);
    before = NULL;
    place_settle(place);
    place_assert_as_before(place);
}

static int watch_fsync(const char *call, const char *from, const char *to)
{
    (void)from;
    (void)to;
    happened += strcmp(call, "fsync") == 0;
    return 0;
}

/* The mark, what is in it, and its own name. */
static void test_a_new_holder_is_durable(void **state)
{
    struct dray_error error = {0};
    struct dray_merge_holder holder = {-1, -1};

    (void)state;
    before = watch_fsync;
    assert_int_equal(dray_merge_holder_make(place->target, HOLDER "2", &holder, &error), 0);
    before = NULL;
    assert_int_equal(happened, 3);
    (void)close(holder.directory);
    (void)close(holder.lock);
}

static void test_a_holder_that_cannot_be_made_leaves_nothing(void **state)
{
    struct dray_error error = {0};
    struct dray_merge_holder holder = {-1, -1};

    (void)state;
    before = disk_is_full;
    assert_int_equal(dray_merge_holder_make(place->target, HOLDER "2", &holder, &error),
                     DRAY_NO_SPACE);
    before = NULL;
    assert_false(place_has(place, HOLDER "2"));
}

static int remove_the_new_one(const char *call, const char *from, const char *to)
{
    (void)from;
    (void)to;
    if (strcmp(call, "write") == 0) {
        assert_int_equal(unlinkat(place->target, HOLDER "2/holder", 0), 0);
        assert_int_equal(unlinkat(place->target, HOLDER "2", AT_REMOVEDIR), 0);
    }
    return 0;
}

static void test_one_that_was_removed_while_it_was_made_is_made_later(void **state)
{
    struct dray_error error = {0};
    struct dray_merge_holder holder = {-1, -1};

    (void)state;
    before = remove_the_new_one;
    assert_int_equal(dray_merge_holder_make(place->target, HOLDER "2", &holder, &error),
                     DRAY_TEMPORARY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
        TEST(test_what_grew_while_it_was_aside_is_given_back),
        TEST(test_what_was_exchanged_before_it_was_moved_aside_is_given_back),
        TEST(test_what_grew_after_all_was_done_is_kept_and_named),
        TEST(test_what_cannot_be_given_back_is_kept_and_named),
        TEST(test_nothing_is_replaced_also_where_renames_know_no_flags),
        TEST(test_without_flags_a_merge_is_done_and_undone),
        TEST(test_a_move_by_hard_link_that_was_killed_goes_on),
        TEST(test_without_flags_and_links_nothing_is_begun),
        TEST(test_what_somebody_exchanged_is_not_taken_away),
        TEST(test_an_edit_of_the_same_size_stays_and_is_named),
        TEST(test_what_has_the_holders_name_at_the_end_is_not_emptied),
        TEST(test_no_mode_is_set_through_a_link),
        TEST(test_an_old_kernel_does_it_too),
        TEST(test_a_mode_that_a_kill_left_is_set_right),
        TEST(test_a_journal_that_is_not_durable_is_none),
        TEST(test_ones_own_that_failed_is_undone),
        TEST(test_what_could_not_be_noted_is_undone_all_the_same),
        TEST(test_a_new_holder_is_durable),
        TEST(test_a_holder_that_cannot_be_made_leaves_nothing),
        TEST(test_one_that_was_removed_while_it_was_made_is_made_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
