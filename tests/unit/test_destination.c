/* SPDX-License-Identifier: MIT */
/* The directories that deliveries go into: what begins with a root, what leads out of it, and that
 * nothing is left open. */
#include "tests/unit/tree_files.h"

#include <limits.h>

#include "core/base/beneath.h"
#include "core/tree/destination.h"
#include "tests/unit/failing.h"

/* ---- The roots `root` and `other`, and links in them ------------------------------------------
 */

static json_t *make_roots(const struct files *files)
{
    static const char *const folders[] = {"root", "root/a", "root/a/b", "other", "outside"};
    char real[PATH_MAX], path[2 * PATH_MAX];

    assert_non_null(realpath(files->path, real));
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        assert_int_equal(mkdirat(files->fd, folders[i], 0755), 0);
    assert_int_equal(symlinkat("a/../a/b", files->fd, "root/near"), 0);
    assert_int_equal(symlinkat("../outside", files->fd, "root/out"), 0);
    (void)snprintf(path, sizeof(path), "%s/other", real);
    assert_int_equal(symlinkat(path, files->fd, "root/there"), 0);
    json_t *roots = json_array();
    for (size_t i = 0; i < 2; i++) {
        const char *name = i == 0 ? "root" : "other";
        char given[PATH_MAX + 16], at[PATH_MAX + 16];
        (void)snprintf(given, sizeof(given), "/called/%s", name);
        (void)snprintf(at, sizeof(at), "%s/%s", real, name);
        assert_int_equal(
            json_array_append_new(roots, json_pack("{s:s, s:s}", "path", given, "real", at)), 0);
    }
    return roots;
}

/* Where `path` leads to is `real`, below the folder; NULL: what class it is instead. */
static void check(const struct files *files, const json_t *roots, const char *path,
                  const char *real, int class_)
{
    char base[PATH_MAX], expected[2 * PATH_MAX];
    struct dray_error error = {0};
    dray_autofree char *found = NULL;
    dray_autoclose int fd = -1;
    struct stat by_fd, by_path;
    int result = dray_destination_find(roots, path, &found, &fd, &error);

    assert_non_null(realpath(files->path, base));
    if (!real) {
        assert_int_equal(result, class_);
        assert_int_equal(error.class_, class_);
        assert_null(found);
        assert_int_equal(fd, -1);
        return;
    }
    assert_int_equal(result, 0);
    (void)snprintf(expected, sizeof(expected), "%s/%s", base, real);
    assert_string_equal(found, expected);
    assert_int_equal(fstat(fd, &by_fd), 0);
    assert_int_equal(stat(expected, &by_path), 0);
    assert_int_equal(by_fd.st_ino, by_path.st_ino);
    dray_autoclose int opened = dray_destination_open(roots, found, &error);
    assert_true(opened >= 0);
    assert_int_equal(fstat(opened, &by_fd), 0);
    assert_int_equal(by_fd.st_ino, by_path.st_ino);
}

static void test_a_path_begins_with_a_root(void **state)
{
    const struct files *files = *state;
    json_t *roots = make_roots(files);

    check(files, roots, "/called/root", "root", 0);
    check(files, roots, "/called//root/./a/", "root/a", 0);
    check(files, roots, "/called/root/near", "root/a/b", 0);
    check(files, roots, "/called/root/near/..", "root/a", 0);
    check(files, roots, "/called/root/there", "other", 0);
    check(files, roots, "/called/other", "other", 0);
    check(files, roots, "/called/rooted", NULL, DRAY_DENIED);
    check(files, roots, "/called", NULL, DRAY_DENIED);
    check(files, roots, "/", NULL, DRAY_DENIED);
    check(files, roots, "/called/root/out", NULL, DRAY_DENIED);
    check(files, roots, "/called/root/a/../..", NULL, DRAY_DENIED);
    check(files, roots, "/called/root/nowhere", NULL, DRAY_NOT_FOUND);
    check(files, roots, "/called/root/nowhere/..", NULL, DRAY_NOT_FOUND);
    json_decref(roots);
}

static void test_without_roots_all_is_below_the_root_of_all(void **state)
{
    const struct files *files = *state;
    char path[PATH_MAX];

    json_decref(make_roots(files));
    (void)snprintf(path, sizeof(path), "%s/root/out/../../../../../../..%s/root/near", files->path,
                   files->path);
    check(files, NULL, path, "root/a/b", 0);
    (void)snprintf(path, sizeof(path), "%s/root/out", files->path);
    check(files, NULL, path, "outside", 0);
}

static void test_a_real_path_is_opened_by_no_link(void **state)
{
    const struct files *files = *state;
    json_t *roots = make_roots(files);
    struct dray_error error = {0};
    char base[PATH_MAX], path[2 * PATH_MAX];

    assert_non_null(realpath(files->path, base));
    (void)snprintf(path, sizeof(path), "%s/root/near", base);
    assert_true(dray_destination_open(roots, path, &error) < 0);
    assert_true(dray_destination_open(NULL, path, &error) < 0);
    (void)snprintf(path, sizeof(path), "%s/outside", base);
    assert_int_equal(dray_destination_open(roots, path, &error), DRAY_DENIED);
    assert_non_null(strstr(error.hint, "\n  /called/root\n  /called/other"));
    /* Names that were configured are for people; what a plan holds is the real path. */
    assert_int_equal(dray_destination_open(roots, "/called/root", &error), DRAY_DENIED);
    json_decref(roots);
}

static void test_a_failed_allocation_is_reported_and_leaves_nothing_open(void **state)
{
    static const char *const paths[] = {"/called/root/near/../../there", "/called/root/out",
                                        "/called/root/there/.."};
    const struct files *files = *state;
    json_t *roots = make_roots(files);

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        long number = 0;
        do {
            struct dray_error error = {0};
            char *real = NULL;
            int fd = -1, next = dup(0);
            assert_int_equal(close(next), 0);
            failing_failed = 0;
            failing_left = number++;
            int result = dray_destination_find(roots, paths[i], &real, &fd, &error);
            failing_left = -1;
            assert_true(!failing_failed || result == DRAY_NO_MEMORY || result == DRAY_DENIED);
            assert_int_equal(real != NULL, result == 0);
            assert_int_equal(fd >= 0, result == 0);
            free(real);
            if (fd >= 0)
                assert_int_equal(close(fd), 0);
            int now = dup(0);
            assert_int_equal(now, next);
            assert_int_equal(close(now), 0);
        } while (failing_failed);
        assert_true(number > 3);
    }
    json_decref(roots);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, files_setup, files_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_path_begins_with_a_root),
        TEST(test_without_roots_all_is_below_the_root_of_all),
        TEST(test_a_real_path_is_opened_by_no_link),
        TEST(test_a_failed_allocation_is_reported_and_leaves_nothing_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
