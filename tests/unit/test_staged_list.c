/* SPDX-License-Identifier: MIT */
/* The list of what a source brought: what differs from it is named, however deep and however
 * called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/engine/staged.h"

#define DEPTH 1500

static char directory[] = "/tmp/dray-staged-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
    return mkdtemp(directory) && chdir(directory) == 0 && mkdir("tree", 0700) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct dray_error error = {0};

    (void)state;
    return chdir("/") == 0 ? dray_remove_tree(AT_FDCWD, directory, &error) : -1;
}

static void write_text(const char *path, const char *text)
{
    dray_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, text, strlen(text)), 0);
}

static void check_differs(const char *what)
{
    struct dray_error error = {0};

    assert_int_equal(dray_staged_list_check(directory, &error), DRAY_INTEGRITY);
    assert_non_null(strstr(error.message, what));
}

static void what_differs_is_named(void **state)
{
    struct dray_error error = {0};

    (void)state;
    write_text("tree/b", "bytes");
    write_text("tree/\xff", "no UTF-8");
    assert_int_equal(symlink("nowhere", "tree/link"), 0);
    assert_int_equal(dray_staged_list_write(directory, &error), 0);
    assert_int_equal(dray_staged_list_check(directory, &error), 0);
    write_text("tree/b", "more bytes");
    check_differs("b is not as it was brought");
    assert_int_equal(unlink("list"), 0);
    assert_int_equal(dray_staged_list_write(directory, &error), 0);
    write_text("tree/a", "");
    check_differs("a is not as it was brought");
    assert_int_equal(unlink("tree/a"), 0);
    assert_int_equal(dray_staged_list_check(directory, &error), 0);
    assert_int_equal(unlink("tree/\xff"), 0);
    check_differs("something is gone");
}

/* What a neighbour could do to hide it: bytes written, the time set back; a mode; a link's way. */
static void what_was_hidden_is_found(void **state)
{
    struct dray_error error = {0};
    struct stat before;

    (void)state;
    write_text("tree/b", "good");
    assert_int_equal(mkdir("tree/d", 0700), 0);
    assert_int_equal(symlink("/one", "tree/link"), 0);
    assert_int_equal(dray_staged_list_write(directory, &error), 0);
    assert_int_equal(dray_staged_list_check(directory, &error), 0);
    /* Its clock ticks a few hundred times a second. */
    (void)usleep(20000);
    assert_int_equal(stat("tree/b", &before), 0);
    dray_autoclose int fd = open("tree/b", O_WRONLY | O_CLOEXEC);
    assert_int_equal(dray_write_all(fd, "evil", 4), 0);
    assert_int_equal(futimens(fd, (struct timespec[]){before.st_atim, before.st_mtim}), 0);
    check_differs("b is not as it was brought");
    assert_int_equal(unlink("list"), 0);
    assert_int_equal(dray_staged_list_write(directory, &error), 0);
    assert_int_equal(chmod("tree/d", 0777), 0);
    check_differs("d is not as it was brought");
    assert_int_equal(chmod("tree/d", 0700), 0);
    assert_int_equal(dray_staged_list_check(directory, &error), 0);
    dray_autofree char *list = NULL;
    size_t room = 0;
    FILE *lines = fopen("list", "re");
    assert_non_null(lines);
    while (getline(&list, &room, lines) > 0 && !strstr(list, "link"))
        continue;
    assert_non_null(strstr(list, "\"target\":\"/one\""));
    (void)fclose(lines);
}

static void a_list_or_tree_that_is_gone_is_damage(void **state)
{
    struct dray_error error = {0};

    (void)state;
    check_differs("list");
    assert_int_equal(dray_staged_list_write(directory, &error), 0);
    assert_int_equal(rmdir("tree"), 0);
    check_differs("tree");
}

static void depth_costs_no_descriptors(void **state)
{
    struct rlimit few = {64, 64}, before;
    struct dray_error error = {0};
    dray_autofree char *path = malloc(6 + 2 * DEPTH);

    (void)state;
    assert_non_null(path);
    strncpy(path, "tree", 5);
    for (size_t i = 0; i < DEPTH; i++) {
        memcpy(path + 4 + 2 * i, "/d", 3);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(dray_staged_list_write(directory, &error), 0);
    assert_int_equal(dray_staged_list_check(directory, &error), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void what_it_takes_on_disk(void **state)
{
    (void)state;
    uint64_t empty = dray_disk_usage(directory, NULL);

    write_text("tree/b", "bytes");
    assert_true(dray_disk_usage(directory, NULL) > empty);
    assert_int_equal(dray_disk_usage("/nowhere/at/all", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_differs_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_hidden_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_list_or_tree_that_is_gone_is_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_costs_no_descriptors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_it_takes_on_disk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
