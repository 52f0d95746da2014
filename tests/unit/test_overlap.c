/* SPDX-License-Identifier: MIT */
/* Which sources hold bytes of each other: the same place, one above, one below, by any path. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/api/overlap.h"
#include "core/base/io.h"
#include "core/base/memory.h"
#include "core/base/path.h"
#include "core/base/text.h"

/* A directory of its own with d/secret/sub/f, and links to places in it. */
struct world {
    char directory[32];
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct dray_error error = {0};

    (void)strcpy(world->directory, "/tmp/dray-overlap-XXXXXX");
    if (!mkdtemp(world->directory) || chdir(world->directory) != 0 ||
        dray_make_directories("d/secret/sub", 0700, &error) != 0 ||
        dray_make_directories("d/secrets", 0700, &error) != 0)
        return -1;
    int fd = open("d/secret/sub/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    *state = world;
    return fd < 0 || close(fd) != 0 || link("d/secret/sub/f", "hard") != 0 ||
           symlink("d/secret", "link") != 0 || symlink("link", "chain") != 0 ||
           symlink("secret/sub", "d/in") != 0 || symlink("gone/x", "dangling") != 0 ||
           symlink("round", "round") != 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    struct dray_error error = {0};
    int result = chdir("/") != 0 || dray_remove_tree(AT_FDCWD, world->directory, &error) != 0;

    free(world);
    return result;
}

/* What begins with `@` lies in the directory. */
static char *place(const struct world *world, const char *text)
{
    return *text == '@' ? dray_format("%s%s", world->directory, text + 1) : strdup(text);
}

static const char *judge(const struct world *world, const char *read, const char *other)
{
    dray_cleanup(dray_overlap_clear) struct dray_overlap overlap = {0};
    struct dray_error error = {0};
    enum dray_overlap_kind kind = DRAY_OVERLAP_BELOW;
    dray_autofree char *source = place(world, read), *row = place(world, other);

    assert_int_equal(dray_overlap_begin(&overlap, source, &error), 0);
    assert_int_equal(dray_overlap_judge(&overlap, row, &kind, &error), 0);
    return kind == DRAY_OVERLAP_NONE ? "-" : dray_overlap_name(kind);
}

static void check(const struct world *world, const char *const (*rows)[3], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *seen = judge(world, rows[i][0], rows[i][1]);
        if (strcmp(seen, rows[i][2]) != 0)
            fail_msg("%s is read, of %s: %s, not %s", rows[i][0], rows[i][1], seen, rows[i][2]);
    }
}

static void paths_overlap_whatever_leads_to_them(void **state)
{
    static const char *const rows[][3] = {
        {"@/d/secret", "@/d/secret", "same"},
        {"@/d/secret", "@/chain", "same"},
        {"@/chain", "@/d/secret", "same"},
        {"@/link", "@/d/../d//./secret/", "same"},
        {"@/d/secret/sub/f", "@/hard", "same"}, /* one file of two names */
        {"@/d/secret/sub", "@/d/secret", "above"},
        {"@/d/in", "@/chain", "above"},
        {"@/link/sub/f", "@/d", "above"},
        {"@/d/secret/sub", "/", "above"},
        {"@/d", "@/d/secret/sub", "below"},
        {"@/d", "@/chain/sub/f", "below"},
        {"@/link", "@/d/in", "below"},
        {"/", "@/d/secret", "below"},
        {"/", "/", "same"},
        {"@/d/secret", "@/d/secrets", "-"},
        {"@/d/secrets", "@/d/secret", "-"},
        {"@/d/secret", "sda:/d/secret", "-"},
    };

    check(*state, rows, DRAY_COUNT(rows));
}

static void what_is_not_there_is_compared_by_its_text(void **state)
{
    static const char *const rows[][3] = {
        {"@/d/secret", "@/link/gone/x", "below"},
        {"@/d/secret", "@/gone/../d/secret", "same"},
        {"@/gone/a", "@/gone", "above"},
        {"@/gone/a", "@/gone/./a/", "same"},
        {"@/gone/a", "@/gone/ab", "-"},
        {"@/gone/a", "@", "above"},
        {"@/gone/a", "/", "above"},
        {"@/gone/a", "@/d", "-"},
        {"@/d", "@/dangling/x", "-"},
        {"@/round/x", "@/round", "above"},
        {"/", "/no/such/place", "below"},
        {"@/d/secret/sub/f/beyond", "@/link/sub", "above"}, /* below a file */
    };

    check(*state, rows, DRAY_COUNT(rows));
}

static void remotes_are_compared_by_what_their_paths_come_to(void **state)
{
    static const char *const rows[][3] = {
        {"sda:/tape/x.tar", "sda:/tape//x.tar", "same"},
        {"sda:/tape/./y/../x.tar/", "sda:/tape/x.tar", "same"},
        {"sda:/../tape/x.tar", "sda:/tape/x.tar", "same"},
        {"sda:tape/x.tar", "sda:./tape//x.tar", "same"},
        {"sda:/tape/x.tar", "sda:/tape", "above"},
        {"sda:/tape/x.tar", "sda:/", "above"},
        {"sda:/tape/", "sda://tape/x.tar", "below"},
        {"sda:tape/x", "sda:.", "above"},
        {"sda:/tape/x", "sda:/tape/x.tar", "-"},
        {"sda:/tape/x.tar", "sdb:/tape/x.tar", "-"},
        {"sda:/tape/x.tar", "sda:tape/x.tar", "-"},
        {"sda:/tape/x.tar", "/tape/x.tar", "-"},
        {"sda:/a:b", "sda:/a:b/c", "below"},
    };

    check(*state, rows, DRAY_COUNT(rows));
}

static void paths_are_folded(void **state)
{
    static const char *const rows[][2] = {
        {"/", "/"},
        {"//", "/"},
        {"/..", "/"},
        {"/a/..", "/"},
        {"/a/../..", "/"},
        {"/a/b/../c", "/a/c"},
        {"/a//./b/", "/a/b"},
        {"", ""},
        {".", ""},
        {"a/..", ""},
        {"..", ".."},
        {"../..", "../.."},
        {"../a/..", ".."},
        {"a/../..", ".."},
        {"a/../../b", "../b"},
        {"..a/.b", "..a/.b"},
        {"/.../a", "/.../a"},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(rows); i++) {
        dray_autofree char *path = dray_path_fold(rows[i][0]);
        assert_string_equal(path, rows[i][1]);
    }
}

/* The time is printed and not judged: the machine may be busy. */
static void many_rows_are_judged(void **state)
{
    enum { ROWS = 10000 };
    const struct world *world = *state;
    dray_cleanup(dray_overlap_clear) struct dray_overlap overlap = {0};
    dray_autofree char *source = place(world, "@/d");
    struct dray_error error = {0};
    struct timespec from, to;
    size_t below = 0;

    assert_int_equal(dray_overlap_begin(&overlap, source, &error), 0);
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < ROWS; i++) {
        static const char *const rows[] = {"@/d/secret/sub", "@/chain/sub/f", "@/hard", "@/gone"};
        dray_autofree char *row = place(world, rows[i % 4]);
        enum dray_overlap_kind kind = DRAY_OVERLAP_NONE;
        assert_int_equal(dray_overlap_judge(&overlap, row, &kind, &error), 0);
        below += kind == DRAY_OVERLAP_BELOW;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(below, ROWS / 2);
    print_message("%d sources judged in %.1f ms\n", ROWS,
                  (double)(to.tv_sec - from.tv_sec) * 1e3 +
                      (double)(to.tv_nsec - from.tv_nsec) / 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_overlap_whatever_leads_to_them),
        cmocka_unit_test(what_is_not_there_is_compared_by_its_text),
        cmocka_unit_test(remotes_are_compared_by_what_their_paths_come_to),
        cmocka_unit_test(paths_are_folded),
        cmocka_unit_test(many_rows_are_judged),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
