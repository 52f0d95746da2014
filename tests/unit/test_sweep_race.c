/* SPDX-License-Identifier: MIT */
/* Sweeping while somebody exchanges names: the linker sends a rename to a function of this test,
 * which acts just before it. */
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
#include "core/run/sweep.h"

#define NAME ".dray-0123456789abcdef.1-01234567"

static int exchanged; /* it is done before the next rename */
static char path[64];

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_renameat(int from, const char *old, int to, const char *name);
int __wrap_renameat(int from, const char *old, int to, const char *name);

int __wrap_renameat(int from, const char *old, int to, const char *name)
{
    if (exchanged) {
        exchanged = 0;
        assert_int_equal(__real_renameat(from, old, from, "ours"), 0);
        assert_int_equal(mkdirat(from, old, 0700), 0);
        assert_int_equal(mkdirat(from, NAME "/theirs", 0700), 0);
    }
    return __real_renameat(from, old, to, name);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static int has(int directory, const char *name)
{
    struct stat status;

    return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void remove_it(int exchange, int wanted)
{
    struct dray_plan_target target = {.request_key = "0123456789abcdef0123"};
    struct dray_error error = {0};

    (void)snprintf(path, sizeof(path), "/tmp/dray-test-sweep-XXXXXX");
    assert_non_null(mkdtemp(path));
    dray_autoclose int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(parent, NAME, 0700), 0);
    dray_autoclose int held = openat(parent, NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dray_autofree char *name = strdup(NAME);
    assert_true(parent >= 0 && held >= 0 && name);
    exchanged = exchange;
    assert_int_equal(dray_sweep_remove(&target, parent, &name, held, &error), wanted);
    assert_int_equal(has(parent, "ours"), exchange);
    assert_int_equal(has(parent, NAME "/theirs"), exchange);
    if (wanted != 0)
        assert_non_null(strstr(error.message, "something else came to its name"));
    assert_string_equal(exchange ? name : NAME, NAME);
    assert_int_equal(dray_remove_tree(AT_FDCWD, path, &error), 0);
}

static void test_what_is_held_is_removed(void **state)
{
    (void)state;
    remove_it(0, 0);
}

static void test_what_came_to_its_name_is_given_back(void **state)
{
    (void)state;
    remove_it(1, DRAY_CONFLICT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_held_is_removed),
        cmocka_unit_test(test_what_came_to_its_name_is_given_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
