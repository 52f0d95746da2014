/* SPDX-License-Identifier: MIT */
/* How push/hpfs commits where a file system knows less than most, or fails: NFS and Lustre answer
 * EINVAL to a rename that must not replace, and disks fail when they are asked to be sure. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is tested is the file itself, with its system calls sent to the functions below. It comes
 * first: cmocka has a macro by the name of one of the host's services. */
#include "plugins/hpfs/commit.c"

#include <cmocka.h>

/* ---- A file system that answers as it is told ------------------------------------------------ */

static struct answers {
    int no_replace; /* errno of renameat2, 0: it works */
    int swaps;      /* somebody puts a directory of theirs in the place of ours */
    int exchanges;  /* names are exchanged */
    int exchanged;  /* calls of renameat2 until one was interfered with */
    int takes;      /* somebody puts a directory of theirs in the place of the old one */
    int changed;    /* the old delivery is another one by now */
    int late;       /* it changed after that was last looked at */
    int appears;    /* something appears at the last moment before renameat */
    int syncfs;     /* errno */
    int fsync;
    unsigned first; /* calls of fsync that succeed first */
    unsigned syncs; /* calls of fsync */
    int root;       /* descriptor of the root: how often it was synced */
    unsigned root_syncs;
    unsigned plain; /* calls of renameat */
} answers;

int __real_renameat2(int from, const char *old, int to, const char *new_name, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *new_name, unsigned flags);
int __real_renameat(int from, const char *old, int to, const char *new_name);
int __wrap_renameat(int from, const char *old, int to, const char *new_name);
int __wrap_syncfs(int fd);
int __wrap_fsync(int fd);

int __wrap_renameat2(int from, const char *old, int to, const char *new_name, unsigned flags)
{
    assert_int_equal(flags, answers.exchanges ? RENAME_EXCHANGE : RENAME_NOREPLACE);
    if (answers.swaps && answers.exchanged++ == 0) {
        assert_int_equal(__real_renameat(from, old, from, "ours"), 0);
        assert_int_equal(mkdirat(from, old, 0755), 0);
    }
    if (answers.takes && answers.exchanged++ == 0) {
        assert_int_equal(__real_renameat(to, new_name, to, "ours"), 0);
        assert_int_equal(mkdirat(to, new_name, 0755), 0);
    }
    if (answers.no_replace == 0)
        return __real_renameat2(from, old, to, new_name, flags);
    errno = answers.no_replace;
    return -1;
}

int __wrap_renameat(int from, const char *old, int to, const char *new_name)
{
    answers.plain++;
    if (answers.appears) {
        assert_int_equal(mkdirat(to, new_name, 0755), 0);
        int fd = openat(to, new_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(mkdirat(fd, "theirs", 0755), 0);
        assert_int_equal(close(fd), 0);
    }
    return __real_renameat(from, old, to, new_name);
}

static int answer(int reason)
{
    errno = reason;
    return reason == 0 ? 0 : -1;
}

int __wrap_syncfs(int fd)
{
    (void)fd;
    return answer(answers.syncfs);
}

int __wrap_fsync(int fd)
{
    answers.root_syncs += fd == answers.root;
    return answer(answers.syncs++ < answers.first ? 0 : answers.fsync);
}

/* Of place.c, for messages. */
int64_t hpfs_count_names(int parent, const char *name)
{
    (void)parent;
    (void)name;
    return -1;
}

/* Of rights.c: nothing is asked for. */
int hpfs_rights_root(const struct hpfs *hpfs, struct dray_ctx *ctx,
                     const struct dray_staging *staging)
{
    (void)hpfs;
    (void)ctx;
    assert_int_equal(answers.root_syncs, 0); /* what comes after is not durable */
    return fchmod(staging->directory, staging->mode) == 0 ? DRAY_OK : DRAY_TEMPORARY;
}

/* Of old.c. */
int hpfs_old_check(struct dray_ctx *ctx, const struct dray_staging *staging,
                   const struct hpfs_place *place, const struct hpfs_old *old)
{
    (void)staging;
    (void)place;
    (void)old;
    (void)ctx;
    return answers.changed ? DRAY_CONFLICT : DRAY_OK;
}

int hpfs_old_check_held(struct dray_ctx *ctx, const struct dray_staging *staging,
                        const struct hpfs_place *place, const struct hpfs_old *old)
{
    struct stat status;

    (void)place;
    (void)old;
    (void)ctx;
    assert_int_equal(fstat(staging->old, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700); /* nobody else changes it any more */
    return answers.late ? DRAY_CONFLICT : DRAY_OK;
}

/* ---- A host that remembers what it was told -------------------------------------------------- */

struct fake {
    struct dray_ctx ctx; /* first: what the plugin holds is a pointer to it */
    char message[512];
    int cancelled;
};

static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...) DRAY_PRINTF(3, 4);
static int fake_fail_errno(struct dray_ctx *ctx, int error, const char *format, ...)
    DRAY_PRINTF(3, 4);
static void fake_hint(struct dray_ctx *ctx, const char *format, ...) DRAY_PRINTF(2, 3);

static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...)
{
    struct fake *fake = (struct fake *)ctx;
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(fake->message, sizeof(fake->message), format, arguments);
    va_end(arguments);
    return class_;
}

static int fake_fail_errno(struct dray_ctx *ctx, int error, const char *format, ...)
{
    struct fake *fake = (struct fake *)ctx;
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(fake->message, sizeof(fake->message), format, arguments);
    va_end(arguments);
    return error == ENOSPC ? DRAY_NO_SPACE : DRAY_TEMPORARY;
}

static void fake_hint(struct dray_ctx *ctx, const char *format, ...)
{
    (void)ctx;
    (void)format;
}

static int fake_cancelled(struct dray_ctx *ctx)
{
    return ((struct fake *)ctx)->cancelled;
}

static int fake_destination(struct dray_ctx *ctx, const char *path, char **ret_real,
                            int32_t *ret_fd)
{
    (void)ctx;
    *ret_real = realpath(path, NULL);
    *ret_fd = *ret_real ? open(*ret_real, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    return *ret_fd >= 0 ? DRAY_OK : DRAY_NOT_FOUND;
}

static const struct dray_host host = {.size = sizeof(host),
                                      .free = free,
                                      .destination = fake_destination,
                                      .fail = fake_fail,
                                      .fail_errno = fake_fail_errno,
                                      .hint = fake_hint,
                                      .cancelled = fake_cancelled};

/* ---- A delivery that is ready ---------------------------------------------------------------- */

struct ready {
    struct fake fake;
    struct hpfs hpfs;
    struct dray_staging staging;
    struct hpfs_place place;
    char parent[64];
    char whole[80];
};

static int prepare(void **state)
{
    struct ready *ready = calloc(1, sizeof(*ready));
    char name[] = "staging", final[] = "final";

    assert_non_null(ready);
    answers = (struct answers){0};
    (void)snprintf(ready->parent, sizeof(ready->parent), "/tmp/dray-commit-XXXXXX");
    assert_non_null(mkdtemp(ready->parent));
    (void)snprintf(ready->whole, sizeof(ready->whole), "%s/%s", ready->parent, final);
    ready->fake.ctx.host = &host;
    ready->place = (struct hpfs_place){.parent = ready->parent, .whole = ready->whole, .fd = -1};
    ready->staging = (struct dray_staging){
        .size = sizeof(ready->staging), .mode = 0750, .name = "staging", .final = "final"};
    ready->staging.mtime = -INT64_C(1500000000);
    ready->staging.parent = open(ready->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(ready->staging.parent, name, 0700), 0);
    ready->staging.directory =
        openat(ready->staging.parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(ready->staging.directory >= 0);
    ready->staging.old = -1;
    answers.root = ready->staging.directory;
    *state = ready;
    return 0;
}

static int clean(void **state)
{
    struct ready *ready = *state;

    (void)unlinkat(ready->staging.parent, "final/theirs", AT_REMOVEDIR);
    (void)unlinkat(ready->staging.parent, "final", AT_REMOVEDIR);
    (void)unlinkat(ready->staging.parent, "staging", AT_REMOVEDIR);
    (void)unlinkat(ready->staging.parent, "ours", AT_REMOVEDIR);
    (void)close(ready->staging.directory);
    if (ready->staging.old >= 0)
        (void)close(ready->staging.old);
    (void)close(ready->staging.parent);
    assert_int_equal(rmdir(ready->parent), 0);
    free(ready);
    return 0;
}

static int commit(struct ready *ready)
{
    return hpfs_commit(&ready->hpfs, &ready->fake.ctx, &ready->staging, &ready->place, NULL);
}

/* In the place of an old delivery. */
static int commit_over(struct ready *ready)
{
    char final[] = "final";
    struct hpfs_old old = {.job = NULL};
    struct stat status;

    answers.exchanges = 1;
    assert_int_equal(mkdirat(ready->staging.parent, final, 0711), 0);
    assert_int_equal(fstatat(ready->staging.parent, final, &status, 0), 0);
    old.device = status.st_dev;
    old.inode = status.st_ino;
    ready->staging.old = openat(ready->staging.parent, final, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return hpfs_commit(&ready->hpfs, &ready->fake.ctx, &ready->staging, &ready->place, &old);
}

/* Which directory of the test has the name, by its mode; 0: none. */
static unsigned mode_at(const struct ready *ready, const char *name)
{
    struct stat status;

    return fstatat(ready->staging.parent, name, &status, 0) == 0 ? status.st_mode & 07777 : 0;
}

static int is_there(const struct ready *ready, const char *name)
{
    return faccessat(ready->staging.parent, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void assert_told(const struct ready *ready, const char *part)
{
    if (strstr(ready->fake.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", ready->fake.message, part);
}

/* ---- What is proved -------------------------------------------------------------------------- */

static void test_the_root_gets_its_mode_and_time(void **state)
{
    struct ready *ready = *state;
    struct stat status;

    assert_int_equal(commit(ready), DRAY_OK);
    assert_int_equal(fstatat(ready->staging.parent, "final", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0750);
    assert_int_equal(status.st_mtim.tv_sec, -2);
    assert_int_equal(status.st_mtim.tv_nsec, 500000000);
    assert_false(is_there(ready, "staging"));
    assert_int_equal(answers.plain, 0);
}

static void test_a_plain_rename_where_flags_are_unknown(void **state)
{
    static const int unknown[] = {EINVAL, ENOSYS, EOPNOTSUPP};
    struct ready *ready = *state;

    for (size_t i = 0; i < DRAY_COUNT(unknown); i++) {
        answers.no_replace = unknown[i];
        assert_int_equal(commit(ready), DRAY_OK);
        assert_int_equal(answers.plain, i + 1);
        assert_true(is_there(ready, "final"));
        answers.root_syncs = 0;
        assert_int_equal(
            __real_renameat(ready->staging.parent, "final", ready->staging.parent, "staging"), 0);
    }
}

static void test_a_plain_rename_does_not_replace_an_empty_directory(void **state)
{
    struct ready *ready = *state;

    answers.no_replace = EINVAL;
    assert_int_equal(mkdirat(ready->staging.parent, "final", 0711), 0);
    assert_int_equal(commit(ready), DRAY_CONFLICT);
    assert_told(ready, "came into being while the delivery was written");
    assert_int_equal(answers.plain, 0);
    assert_true(is_there(ready, "staging"));
}

static void test_a_plain_rename_loses_against_whoever_is_quicker(void **state)
{
    struct ready *ready = *state;

    answers.no_replace = EINVAL;
    answers.appears = 1;
    assert_int_equal(commit(ready), DRAY_CONFLICT);
    assert_told(ready, "came into being while the delivery was written");
    assert_true(is_there(ready, "final/theirs"));
    assert_true(is_there(ready, "staging"));
}

static void test_other_failures_of_the_rename_are_told(void **state)
{
    struct ready *ready = *state;

    answers.no_replace = EACCES;
    assert_int_equal(commit(ready), DRAY_TEMPORARY);
    assert_told(ready, "renaming the finished delivery to /tmp/dray-commit-");
    assert_int_equal(answers.plain, 0);
}

static void test_nothing_appears_that_is_not_durable(void **state)
{
    struct ready *ready = *state;

    answers.syncfs = ENOSPC;
    assert_int_equal(commit(ready), DRAY_NO_SPACE);
    assert_false(is_there(ready, "final"));
    answers.syncfs = 0;
    answers.fsync = EIO;
    for (int64_t durability = HPFS_SYNCFS; durability <= HPFS_FSYNC; durability++) {
        ready->hpfs.durability = durability;
        answers.root_syncs = 0;
        assert_int_equal(commit(ready), DRAY_TEMPORARY);
        assert_int_equal(answers.root_syncs, 1);
        assert_false(is_there(ready, "final"));
    }
}

static void test_a_name_that_is_not_durable_is_told(void **state)
{
    struct ready *ready = *state;

    answers.fsync = EIO;
    answers.first = 1; /* the root */
    assert_int_equal(commit(ready), DRAY_TEMPORARY);
    assert_told(ready, "was delivered, but making its name in");
    assert_true(is_there(ready, "final"));
}

static void test_a_delivery_that_was_swapped_is_none(void **state)
{
    struct ready *ready = *state;

    answers.swaps = 1;
    assert_int_equal(commit(ready), DRAY_CONFLICT);
    assert_told(ready, "is not what was delivered: somebody replaced it in");
}

static void test_a_late_cancel_makes_nothing_visible(void **state)
{
    struct ready *ready = *state;

    ready->fake.cancelled = 1;
    assert_int_equal(commit(ready), DRAY_CANCELLED);
    assert_false(is_there(ready, "final"));
}

static void test_an_old_delivery_gets_the_name_of_the_staging_directory(void **state)
{
    struct ready *ready = *state;

    assert_int_equal(commit_over(ready), DRAY_OK);
    assert_int_equal(mode_at(ready, "final"), 0750);
    assert_int_equal(mode_at(ready, "staging"), 0700);
    assert_int_equal(answers.plain, 0);
}

static void test_an_old_delivery_that_changed_is_left(void **state)
{
    struct ready *ready = *state;

    answers.changed = 1;
    assert_int_equal(commit_over(ready), DRAY_CONFLICT);
    assert_int_equal(mode_at(ready, "final"), 0711);
    assert_int_equal(mode_at(ready, "staging"), 0700); /* not opened for what is refused */
}

/* What somebody wrote into it while the names were exchanged is not removed with it. */
static void test_an_old_delivery_that_changed_at_last_gets_its_name_back(void **state)
{
    struct ready *ready = *state;

    answers.late = 1;
    assert_int_equal(commit_over(ready), DRAY_CONFLICT);
    assert_int_equal(mode_at(ready, "final"), 0711);
    assert_int_equal(mode_at(ready, "staging"), 0750);
}

/* There is no plain rename that could do it. */
static void test_an_exchange_that_fails_changes_nothing(void **state)
{
    struct ready *ready = *state;

    answers.no_replace = EINVAL;
    assert_int_equal(commit_over(ready), DRAY_TEMPORARY);
    assert_told(ready, "putting the finished delivery in the place of");
    assert_int_equal(mode_at(ready, "final"), 0711);
    assert_int_equal(answers.plain, 0);
}

static void test_what_took_the_place_of_the_old_delivery_gets_it_back(void **state)
{
    struct ready *ready = *state;

    answers.takes = 1;
    assert_int_equal(commit_over(ready), DRAY_CONFLICT);
    assert_told(ready, "that was undone");
    assert_int_equal(mode_at(ready, "final"), 0755);
    assert_int_equal(mode_at(ready, "staging"), 0750);
    assert_int_equal(mode_at(ready, "ours"), 0711);
}

static void test_what_took_the_place_of_the_new_delivery_is_not_shown(void **state)
{
    struct ready *ready = *state;

    answers.swaps = 1;
    assert_int_equal(commit_over(ready), DRAY_CONFLICT);
    assert_told(ready, "that was undone");
    assert_int_equal(mode_at(ready, "final"), 0711);
    assert_int_equal(mode_at(ready, "staging"), 0755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_root_gets_its_mode_and_time, prepare, clean),
        cmocka_unit_test_setup_teardown(test_a_plain_rename_where_flags_are_unknown, prepare,
                                        clean),
        cmocka_unit_test_setup_teardown(test_a_plain_rename_does_not_replace_an_empty_directory,
                                        prepare, clean),
        cmocka_unit_test_setup_teardown(test_a_plain_rename_loses_against_whoever_is_quicker,
                                        prepare, clean),
        cmocka_unit_test_setup_teardown(test_other_failures_of_the_rename_are_told, prepare, clean),
        cmocka_unit_test_setup_teardown(test_nothing_appears_that_is_not_durable, prepare, clean),
        cmocka_unit_test_setup_teardown(test_a_name_that_is_not_durable_is_told, prepare, clean),
        cmocka_unit_test_setup_teardown(test_a_delivery_that_was_swapped_is_none, prepare, clean),
        cmocka_unit_test_setup_teardown(test_a_late_cancel_makes_nothing_visible, prepare, clean),
        cmocka_unit_test_setup_teardown(test_an_old_delivery_gets_the_name_of_the_staging_directory,
                                        prepare, clean),
        cmocka_unit_test_setup_teardown(test_an_old_delivery_that_changed_is_left, prepare, clean),
        cmocka_unit_test_setup_teardown(
            test_an_old_delivery_that_changed_at_last_gets_its_name_back, prepare, clean),
        cmocka_unit_test_setup_teardown(test_an_exchange_that_fails_changes_nothing, prepare,
                                        clean),
        cmocka_unit_test_setup_teardown(test_what_took_the_place_of_the_old_delivery_gets_it_back,
                                        prepare, clean),
        cmocka_unit_test_setup_teardown(test_what_took_the_place_of_the_new_delivery_is_not_shown,
                                        prepare, clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
