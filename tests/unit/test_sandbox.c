/* SPDX-License-Identifier: MIT */
/* What each kind of grant lets a runner do, and what not: asked of the kernel, in a process that
 * gave its rights away. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/run/sandbox.h"

#include <cmocka.h>

/* What could be done below a directory, as bits. */
enum { LISTS = 1, READS = 2, WRITES = 4, MAKES = 8, REMOVES = 16, MAKES_FOLDER = 32, REFUSED = 64 };

static int could(int result, int bit)
{
    if (result >= 0)
        (void)close(result);
    return result >= 0 ? bit : 0;
}

/* In a process of its own, since there is no way back. */
static int try_all(enum dray_grant_kind kind, int fd)
{
    struct dray_sandbox sandbox = {0};
    struct dray_error error = {0};

    if (dray_sandbox_fd(&sandbox, kind, fd, &error) != 0 ||
        dray_sandbox_enter(&sandbox, &error) != 0)
        return REFUSED;
    dray_sandbox_free(&sandbox);
    int done = could(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), LISTS) |
               could(openat(fd, "file", O_RDONLY | O_CLOEXEC), READS) |
               could(openat(fd, "file", O_WRONLY | O_CLOEXEC), WRITES) |
               could(openat(fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644), MAKES);
    if (unlinkat(fd, "file", 0) == 0)
        done |= REMOVES;
    if (mkdirat(fd, "folder", 0755) == 0)
        done |= MAKES_FOLDER;
    return done;
}

static int rights_of_kind(enum dray_grant_kind kind)
{
    char root[] = "/tmp/dray-sandbox-XXXXXX";
    int status = 0;

    assert_non_null(mkdtemp(root));
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    int file = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(try_all(kind, fd));
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    (void)unlinkat(fd, "file", 0);
    (void)unlinkat(fd, "new", 0);
    (void)unlinkat(fd, "folder", AT_REMOVEDIR);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rmdir(root), 0);
    return WEXITSTATUS(status);
}

static void test_what_each_kind_allows(void **state)
{
    (void)state;
    assert_int_equal(rights_of_kind(DRAY_GRANT_READ), LISTS | READS);
    assert_int_equal(rights_of_kind(DRAY_GRANT_WRITE),
                     LISTS | READS | WRITES | MAKES | REMOVES | MAKES_FOLDER);
    assert_int_equal(rights_of_kind(DRAY_GRANT_REMOVE), LISTS | READS | REMOVES);
    assert_int_equal(rights_of_kind(DRAY_GRANT_DELIVER), MAKES_FOLDER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_each_kind_allows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
