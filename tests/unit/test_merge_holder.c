/* SPDX-License-Identifier: MIT */
/* Whose a holder is, whether somebody is at work in it, and what of it is removed. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "tests/unit/merge_place.h"

/* What a lock is answered with; 0: the kernel's answer. */
static int lock_reason;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_fcntl(int fd, int command, ...);
int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);

static int answer(int fd, int command, void *argument)
{
    if (command != F_OFD_SETLK || lock_reason == 0)
        return __real_fcntl64(fd, command, argument);
    errno = lock_reason;
    return -1;
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return answer(fd, command, argument);
}

int __wrap_fcntl64(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return answer(fd, command, argument);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static int setup(void **state)
{
    lock_reason = 0;
    return place_make(state);
}

static void assert_left(struct place *place, const char *why)
{
    struct dray_error error = {0};
    int result = place_try_to_settle(place, &error);

    if (result != 1 || !strstr(error.message, why))
        print_error("%d: %s\n", result, error.message);
    assert_int_equal(result, 1);
    assert_non_null(strstr(error.message, why));
    assert_true(place_holds(place, HOLDER "/data/a", "new a"));
    assert_false(place_has(place, "a"));
}

/* ---- Whose it is ---- */

/* A dataset may bring a directory of that name, journal and all. */
static void test_what_has_only_the_name_is_left(void **state)
{
    struct place *place = *state;

    place_write_journal(place);
    assert_int_equal(unlinkat(place->holder, "holder", 0), 0);
    assert_left(place, "nothing in it says");
}

static void test_the_mark_of_another_one_is_none(void **state)
{
    struct place *place = *state;

    place_write_journal(place);
    place_write(place->holder, "holder", "dray-holder 1\ntarget 2\nholder 3\nby 1 - - x\n");
    assert_left(place, "nothing in it says");
}

static void test_the_journal_of_another_one_is_none(void **state)
{
    struct place *place = *state;

    place->journal.holder++;
    place_write_journal(place);
    assert_left(place, "another directory");
}

static void test_a_mark_that_is_a_link_is_none(void **state)
{
    struct place *place = *state;

    place_write_journal(place);
    assert_int_equal(renameat(place->holder, "holder", place->target, "mark"), 0);
    assert_int_equal(symlinkat("../mark", place->holder, "holder"), 0);
    assert_left(place, "nothing in it says");
}

static void test_that_of_another_user_is_left_to_them(void **state)
{
    struct place *place = *state;

    if (geteuid() != 0)
        skip();
    place_write_journal(place);
    assert_int_equal(fchown(place->holder, 4321, (gid_t)-1), 0);
    assert_left(place, "it belongs to user 4321");
}

static void test_what_is_no_directory_is_left(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    place_write(place->target, "file", "text");
    assert_int_equal(dray_merge_settle(place->target, "file", NULL, &error), 1);
    assert_true(place_holds(place, "file", "text"));
}

/* An attempt was killed when it had just made it. */
static void test_one_without_anything_in_it_goes(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    for (int marked = 0; marked < 2; marked++) {
        assert_int_equal(mkdirat(place->target, "new", 0700), 0);
        if (marked)
            place_write(place->target, "new/holder", "");
        assert_int_equal(dray_merge_settle(place->target, "new", NULL, &error), 0);
        assert_false(place_has(place, "new"));
    }
}

/* It is being made: its mark is locked, and not written yet. */
static void test_one_that_is_being_made_is_at_work(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    assert_int_equal(mkdirat(place->target, "new", 0700), 0);
    place_write(place->target, "new/holder", "");
    int fd = openat(place->target, "new/holder", O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
    assert_int_equal(dray_merge_settle(place->target, "new", NULL, &error), DRAY_TEMPORARY);
    assert_true(place_has(place, "new/holder"));
    (void)close(fd);
}

static void test_what_is_not_of_a_holder_stays_in_it(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    place_write_journal(place);
    place_write(place->holder, "precious", "of somebody");
    assert_int_equal(place_try_to_settle(place, &error), 1);
    place_assert_merged(place);
    assert_true(place_holds(place, HOLDER "/precious", "of somebody"));
}

/* ---- At work ---- */

static void test_one_that_is_locked_is_at_work(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    place_write_journal(place);
    assert_int_equal(dray_merge_settle(place->target, HOLDER, NULL, &error), DRAY_TEMPORARY);
    assert_non_null(strstr(error.message, "is at work"));
    place_settle(place);
}

static void mark_by(struct place *place, const char *by)
{
    struct stat target, holder;

    assert_int_equal(fstat(place->target, &target), 0);
    assert_int_equal(fstat(place->holder, &holder), 0);
    dray_autofree char *text =
        dray_format("dray-holder 1\ntarget %llu\nholder %llu\nby %s\n",
                    (unsigned long long)target.st_ino, (unsigned long long)holder.st_ino, by);
    assert_non_null(text);
    place_write(place->holder, "holder", text);
}

static void test_where_locks_are_not_known_a_process_here_is_looked_for(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    char mark[1024] = "", *by = NULL;

    lock_reason = ENOSYS;
    place_write_journal(place);
    assert_int_equal(place_try_to_settle(place, &error), DRAY_TEMPORARY);
    assert_non_null(strstr(error.message, "may be at work"));
    assert_non_null(strstr(error.hint, "touch"));
    /* The same machine, and a process that is none. */
    int fd = openat(place->holder, "holder", O_RDONLY | O_CLOEXEC);
    assert_true(dray_read_full(fd, mark, sizeof(mark) - 1) > 0);
    (void)close(fd);
    by = strstr(mark, "\nby ") + 4;
    by[strcspn(by, "\n")] = '\0';
    dray_autofree char *other = dray_format("%d%s", 0x3fffffff, by + strspn(by, "0123456789"));
    assert_non_null(other);
    mark_by(place, other);
    place_settle(place);
    place_assert_merged(place);
}

static void test_where_locks_are_not_known_one_of_elsewhere_is_alive_while_it_is_young(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - 2 * 86400}};

    lock_reason = EOPNOTSUPP;
    place_write_journal(place);
    mark_by(place, "1 boot pids elsewhere");
    assert_int_equal(place_try_to_settle(place, &error), DRAY_TEMPORARY);
    assert_non_null(strstr(error.message, "process 1 of elsewhere"));
    assert_false(place_has(place, "a"));
    assert_int_equal(utimensat(place->holder, "holder", times, 0), 0);
    place_settle(place);
    place_assert_merged(place);
}

static void test_it_is_heard_of_while_it_works(void **state)
{
    struct place *place = *state;
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct stat status;

    assert_int_equal(futimens(place->lock, times), 0);
    dray_merge_holder_touch(&(struct dray_merge_holder){place->holder, place->lock});
    assert_int_equal(fstatat(place->holder, "holder", &status, 0), 0);
    assert_true(status.st_mtim.tv_sec > time(NULL) - 60);
}

/* ---- Rights ---- */

static void test_the_set_group_id_bit_stays(void **state)
{
    static const char *const parts[] = {".", "data", "old"};
    struct place *place = *state;
    struct dray_error error = {0};
    struct stat status;
    struct dray_merge_holder holder = {-1, -1};

    assert_int_equal(fchmod(place->target, 02775), 0);
    assert_int_equal(dray_merge_holder_make(place->target, HOLDER "2", &holder, &error), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fstatat(holder.directory, parts[i], &status, 0), 0);
        assert_int_equal(status.st_mode & 07777, 02700);
    }
    assert_int_equal(fstat(holder.lock, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    (void)close(holder.directory);
    (void)close(holder.lock);
}

/* ---- Records ---- */

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MARKER(DATASET)                                                                            \
    "{\"version\":1,\"dataset\":\"" DATASET "\",\"request_key\":\"" DIGEST                         \
    "\",\"manifest_sha256\":\"" DIGEST "\"}"

static int are_records(struct place *place)
{
    int fd = openat(place->target, "r", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int are = dray_merge_is_records(fd, "data");

    (void)close(fd);
    return are;
}

static void test_only_records_of_the_dataset_are_records(void **state)
{
    struct place *place = *state;

    assert_int_equal(mkdirat(place->target, "r", 0700), 0);
    assert_int_equal(are_records(place), 0);
    place_write(place->target, "r/tree.jsonl", "");
    place_write(place->target, "r/delivered.json", MARKER("other"));
    assert_int_equal(are_records(place), 0);
    place_write(place->target, "r/delivered.json", MARKER("data"));
    assert_int_equal(are_records(place), 1);
    const struct timespec later[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + 9}};
    assert_int_equal(utimensat(place->target, "r/tree.jsonl", later, 0), 0); /* an edit */
    assert_int_equal(are_records(place), 0);
    assert_int_equal(utimensat(place->target, "r/delivered.json", later, 0), 0);
    assert_int_equal(are_records(place), 1);
    place_write(place->target, "r/notes", "of somebody");
    assert_int_equal(are_records(place), 0);
    assert_int_equal(unlinkat(place->target, "r/notes", 0), 0);
    assert_int_equal(mkdirat(place->target, "r/receipt.sig", 0700), 0);
    assert_int_equal(are_records(place), 0);
}

/* They were moved aside, and somebody who was in there wrote into one. */
static void test_a_record_that_was_edited_while_it_was_aside_is_kept(void **state)
{
    const struct timespec later[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + 9}};

    for (int edited = 0; edited < 2; edited++) {
        struct place *place = *state;
        struct dray_error error = {0};
        struct stat status;
        assert_int_equal(mkdirat(place->target, "r", 0700), 0);
        place_write(place->target, "r/README.txt", "text");
        place_write(place->target, "r/delivered.json", MARKER("r"));
        assert_int_equal(fstatat(place->target, "r", &status, 0), 0);
        assert_int_equal(
            dray_merge_journal_add(&place->journal, DRAY_MERGE_ASIDE, &status, "r", &error), 0);
        place_write_journal(place);
        place_do_steps(place, place->journal.count);
        if (edited)
            assert_int_equal(utimensat(place->holder, "old/5/README.txt", later, 0), 0);
        int result = place_try_to_settle(place, &error);
        assert_int_equal(result, edited);
        assert_int_equal(place_has(place, HOLDER "/old/5/README.txt"), edited);
        assert_int_equal(place_has(place, HOLDER "/old/5/delivered.json"), edited);
        if (edited)
            assert_non_null(strstr(error.message, "is kept: it was \"r\" of the target"));
        assert_int_equal(place_remove(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, place_remove)
        TEST(test_what_has_only_the_name_is_left),
        TEST(test_the_mark_of_another_one_is_none),
        TEST(test_the_journal_of_another_one_is_none),
        TEST(test_a_mark_that_is_a_link_is_none),
        TEST(test_that_of_another_user_is_left_to_them),
        TEST(test_what_is_no_directory_is_left),
        TEST(test_one_without_anything_in_it_goes),
        TEST(test_one_that_is_being_made_is_at_work),
        TEST(test_what_is_not_of_a_holder_stays_in_it),
        TEST(test_one_that_is_locked_is_at_work),
        TEST(test_where_locks_are_not_known_a_process_here_is_looked_for),
        TEST(test_where_locks_are_not_known_one_of_elsewhere_is_alive_while_it_is_young),
        TEST(test_it_is_heard_of_while_it_works),
        TEST(test_the_set_group_id_bit_stays),
        TEST(test_only_records_of_the_dataset_are_records),
        TEST(test_a_record_that_was_edited_while_it_was_aside_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
