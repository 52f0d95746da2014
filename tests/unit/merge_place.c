/* SPDX-License-Identifier: MIT */
/* merge_place.c - a target with a holder, as tests of a merge's journal need one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/merge_place.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"

void place_write(int root, const char *name, const char *text)
{
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(dray_close(&fd), 0);
}

int place_holds(struct place *place, const char *name, const char *text)
{
    char found[64] = "";
    int fd = openat(place->target, name, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    ssize_t got = dray_read_full(fd, found, sizeof(found) - 1);
    (void)close(fd);
    return got == (ssize_t)strlen(text) && memcmp(found, text, strlen(text)) == 0;
}

int place_has(struct place *place, const char *name)
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

int place_make(void **state)
{
    static const char data[] = HOLDER "/data/";
    struct place *place = calloc(1, sizeof(*place));
    struct dray_error error = {0};
    struct stat status;

    assert_non_null(place);
    (void)snprintf(place->path, sizeof(place->path), "/tmp/dray-test-merge-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->target = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dray_merge_holder holder;
    assert_int_equal(dray_merge_holder_make(place->target, HOLDER, &holder, &error), 0);
    place->holder = holder.directory;
    place->lock = holder.lock;
    assert_int_equal(fstat(place->holder, &status), 0);
    place->journal.holder = status.st_ino;
    assert_int_equal(mkdirat(place->holder, "data/d", 0700), 0);
    assert_int_equal(mkdirat(place->target, "e", 0700), 0);
    place_write(place->target, "mine", "theirs");
    place_write(place->target, "e/other", "other");
    place_write(place->holder, "data/a", "new a");
    place_write(place->holder, "data/d/b\n%", "new b");
    place_write(place->holder, "data/mine", "new mine");
    add(place, DRAY_MERGE_PUT, data, "a");
    add(place, DRAY_MERGE_ASIDE, "", "mine");
    add(place, DRAY_MERGE_PUT, data, "mine");
    assert_int_equal(fchmodat(place->holder, "data/d", 0555, 0), 0);
    add(place, DRAY_MERGE_PUT, data, "d");
    add(place, DRAY_MERGE_HAS, data, "d/b\n%");
    *state = place;
    return 0;
}

int place_remove(void **state)
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

void place_write_journal(struct place *place)
{
    struct dray_error error = {0};

    assert_int_equal(dray_merge_journal_write(place->holder, &place->journal, &error), 0);
}

void place_assert_merged(struct place *place)
{
    struct stat status;

    assert_true(place_holds(place, "a", "new a"));
    assert_true(place_holds(place, "mine", "new mine"));
    assert_true(place_holds(place, "d/b\n%", "new b"));
    assert_true(place_holds(place, "e/other", "other"));
    assert_int_equal(fstatat(place->target, "d", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0555);
}

void place_assert_as_before(struct place *place)
{
    assert_false(place_has(place, "a"));
    assert_false(place_has(place, "d"));
    assert_true(place_holds(place, "mine", "theirs"));
    assert_true(place_holds(place, "e/other", "other"));
}

/* As the next process does: whoever made it is gone. */
int place_try_to_settle(struct place *place, struct dray_error *error)
{
    dray_close_descriptor(&place->lock);
    place->lock = -1;
    return dray_merge_settle(place->target, HOLDER, NULL, error);
}

int place_settle_own(struct place *place, struct dray_error *error)
{
    struct dray_merge_holder own = {place->holder, place->lock};
    int result = dray_merge_settle(place->target, HOLDER, &own, error);

    place->lock = own.lock;
    return result;
}

void place_settle(struct place *place)
{
    struct dray_error error = {0};
    int result = place_try_to_settle(place, &error);

    if (result != 0)
        print_error("%s\n", error.message);
    assert_int_equal(result, 0);
    assert_false(place_has(place, HOLDER));
}

/* Do the first steps only, as a process that is killed does. */
void place_do_steps(struct place *place, size_t steps)
{
    struct dray_merge_journal part = place->journal;
    struct dray_error error = {0};

    part.count = steps;
    assert_int_equal(dray_merge_finish(place->target, place->holder, &part, 0, NULL, &error), 0);
    assert_int_equal(unlinkat(place->holder, "journal", 0), 0);
    place_write_journal(place);
}
