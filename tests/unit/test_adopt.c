/* SPDX-License-Identifier: MIT */
/* The journal of what was copied: read back as written, whatever a path is; cut, damaged, foreign;
 * and what gets into it, and when. */
#include <errno.h>
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

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/run.h"

#define KEY   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct seen {
    size_t count;
    struct dray_adopt_line last;
    char path[4096];
};

static int see(void *arg, const struct dray_adopt_line *line)
{
    struct seen *seen = arg;

    seen->count++;
    seen->last = *line;
    memcpy(seen->path, line->path, line->path_length + 1);
    return 0;
}

/* What dray_adopt_feed returns last, in pieces of that size. */
static int read_text(const char *text, size_t length, size_t piece, struct seen *seen)
{
    dray_autofree struct dray_adopt_reader *reader = calloc(1, sizeof(*reader));
    int result = 0;

    assert_non_null(reader);
    *seen = (struct seen){0};
    *reader = (struct dray_adopt_reader){.request_key = KEY, .fn = see, .arg = seen};
    for (size_t at = 0; result == 0 && at < length; at += piece)
        result = dray_adopt_feed(reader, text + at, length - at < piece ? length - at : piece);
    return result;
}

static struct dray_adopt_line line_of(const char *path)
{
    struct dray_adopt_line line = {.inode = UINT64_MAX,
                                   .bytes = 4096,
                                   .mtime = -1,
                                   .ctime = INT64_MAX,
                                   .source = {1, 2, 3, 4, -5, 6},
                                   .has_md5 = 1,
                                   .path = path,
                                   .path_length = strlen(path)};

    memset(line.sha256, 0xa5, sizeof(line.sha256));
    memset(line.md5, 0x5a, sizeof(line.md5));
    return line;
}

static void print(struct dray_buffer *out, const char *path)
{
    struct dray_adopt_line line = line_of(path);

    dray_adopt_print(out, &line);
    assert_int_equal(out->failed, 0);
}

static void test_a_line_is_read_as_it_was_written(void **state)
{
    static char longest[4001];
    /* 16 segments of 249 newlines each, with slashes between them. */
    for (size_t i = 0; i < sizeof(longest) - 1; i++)
        longest[i] = i % 250 == 249 && i < sizeof(longest) - 2 ? '/' : '\n';
    const char *const paths[] = {"a", "d/e f", "%", "%0A", "\n", "\xff\x01 \r\t\"'", longest};

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(paths); i++) {
        dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1 << 16};
        struct dray_adopt_line line = line_of(paths[i]);
        struct seen seen;
        dray_adopt_print_first(&text, KEY);
        print(&text, paths[i]);
        for (size_t piece = 1; piece <= text.length; piece += piece < 4 ? 1 : text.length / 3) {
            assert_int_equal(read_text(text.data, text.length, piece, &seen), 0);
            assert_int_equal(seen.count, 1);
            assert_string_equal(seen.path, paths[i]);
            assert_int_equal(seen.last.inode, line.inode);
            assert_int_equal(seen.last.bytes, line.bytes);
            assert_int_equal(seen.last.mtime, line.mtime);
            assert_int_equal(seen.last.ctime, line.ctime);
            assert_true(dray_source_same(&seen.last.source, &line.source));
            assert_memory_equal(seen.last.sha256, line.sha256, sizeof(line.sha256));
            assert_true(seen.last.has_md5);
            assert_memory_equal(seen.last.md5, line.md5, sizeof(line.md5));
        }
    }
}

static void test_a_line_that_is_cut_or_damaged_ends_the_journal(void **state)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1 << 16};
    struct seen seen;

    (void)state;
    dray_adopt_print_first(&text, KEY);
    print(&text, "a%b");
    size_t second = text.length;
    print(&text, "b");
    for (size_t length = 0; length <= text.length; length++) {
        assert_int_equal(read_text(text.data, length, 1024, &seen), 0);
        assert_int_equal(seen.count, (length >= second) + (length >= text.length));
    }
    for (size_t at = 0; at < text.length; at++) {
        text.data[at] ^= 1;
        int result = read_text(text.data, text.length, 1024, &seen);
        /* A line end that is none any more joins two lines. */
        assert_int_equal(seen.count, at >= second);
        assert_true(result == 1 || at == text.length - 1);
        text.data[at] ^= 1;
    }
}

static void test_what_no_journal_of_ours_says_ends_it(void **state)
{
    static const char *const firsts[] = {"", "dray-adopt 2 " KEY, "dray-adopt 1 " OTHER,
                                         "dray-adopt 1 " KEY " ", "dray-adopt 1"};
    static const char *const paths[] = {"", "/a", "a/", "../a", "a//b", ".", "a/./b"};
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 1 << 20};
    struct seen seen;

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(firsts); i++) {
        dray_buffer_clear(&text);
        dray_buffer_format(&text, "%s\n", firsts[i]);
        print(&text, "a");
        assert_int_equal(read_text(text.data, text.length, 4096, &seen), 1);
        assert_int_equal(seen.count, 0);
    }
    for (size_t i = 0; i < DRAY_COUNT(paths); i++) {
        dray_buffer_clear(&text);
        dray_adopt_print_first(&text, KEY);
        print(&text, paths[i]);
        assert_int_equal(read_text(text.data, text.length, 4096, &seen), 1);
        assert_int_equal(seen.count, 0);
    }
    dray_buffer_clear(&text);
    dray_adopt_print_first(&text, KEY);
    for (size_t i = 0; i <= DRAY_ADOPT_LONGEST; i++)
        dray_buffer_text(&text, "x");
    assert_int_equal(read_text(text.data, text.length, 4096, &seen), 1);
}

/* ---- Noting ---- */

#define FILES 3
static const char *const names[FILES] = {"a", "d/b", "d/c"};

/* A push of three files that are in staging by now, the last of them without its time. */
struct push {
    char path[64];
    struct dray_run run;
    struct dray_plan_target target;
    struct dray_step step;
    struct dray_step_run step_run;
    uint8_t digests[8][DRAY_SHA256_BYTES];
};

static void add_entry(struct dray_tree_builder *builder, struct push *push, size_t number,
                      uint32_t root)
{
    struct dray_tree_entry entry = {.path = names[number],
                                    .path_length = (uint32_t)strlen(names[number]),
                                    .bytes = 5,
                                    .mtime = INT64_C(1000000000000000005),
                                    .ctime = push->run.clock - INT64_C(3000000000),
                                    .device = 1,
                                    .inode = 100 + number,
                                    .root = root,
                                    .mode = 0644,
                                    .type = DRAY_FILE};
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = 1000000000, .tv_nsec = 5}};
    struct dray_error error = {0};
    int staging = push->step_run.staging.directory;
    dray_autoclose int fd = openat(staging, names[number], O_WRONLY | O_CREAT | O_EXCL, 0644);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, "bytes", 5), 0);
    if (number != 2)
        assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(dray_tree_builder_add(builder, &entry, &error), 0);
}

static int make_push(void **state)
{
    struct push *push = calloc(1, sizeof(*push));
    struct dray_tree_builder *builder = dray_tree_builder_new();
    struct dray_error error = {0};
    uint32_t root = 0;

    assert_non_null(push);
    (void)snprintf(push->path, sizeof(push->path), "/tmp/dray-adopt-XXXXXX");
    assert_non_null(mkdtemp(push->path));
    push->run.roots = dray_roots_new();
    push->run.clock = dray_now();
    push->target.request_key[0] = '\0';
    (void)snprintf(push->target.request_key, sizeof(push->target.request_key), "%s", KEY);
    push->step_run.run = &push->run;
    push->step_run.step = &push->step;
    push->step_run.target = &push->target;
    push->step_run.staging.directory = open(push->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(push->step_run.staging.directory >= 0);
    assert_int_equal(mkdirat(push->step_run.staging.directory, "d", 0700), 0);
    assert_int_equal(dray_roots_add(push->run.roots, push->path, &root, &error), 0);
    for (size_t i = 0; i < FILES; i++)
        add_entry(builder, push, i, root);
    assert_int_equal(dray_tree_builder_finish(builder, &push->step_run.input, &error), 0);
    dray_tree_builder_free(builder);
    push->step_run.digests = push->digests;
    *state = push;
    return 0;
}

static int drop_push(void **state)
{
    struct push *push = *state;
    struct dray_error error = {0};

    dray_adopt_stop(&push->step_run);
    dray_tree_unref(push->step_run.input);
    dray_roots_free(push->run.roots);
    (void)close(push->step_run.staging.directory);
    assert_int_equal(dray_remove_tree(AT_FDCWD, push->path, &error), 0);
    free(push);
    return 0;
}

static uint64_t id_of(const struct push *push, const char *name)
{
    int64_t id = dray_tree_find(push->step_run.input, name, strlen(name));

    assert_true(id >= 0);
    return (uint64_t)id;
}

static int has_journal(const struct push *push)
{
    struct stat status;

    return fstatat(push->step_run.staging.directory, DRAY_ADOPT_JOURNAL, &status, 0) == 0;
}

static size_t count_lines(const struct push *push, struct seen *seen)
{
    char text[65536];
    int fd = openat(push->step_run.staging.directory, DRAY_ADOPT_JOURNAL, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : dray_read_full(fd, text, sizeof(text));

    assert_true(got >= 0);
    dray_close_descriptor(&fd);
    assert_int_equal(read_text(text, (size_t)got, 4096, seen), 0);
    return seen->count;
}

static void wait_for_lines(const struct push *push, size_t count, struct seen *seen)
{
    for (int i = 0; i < 2000 && count_lines(push, seen) < count; i++)
        (void)usleep(5000);
    assert_int_equal(seen->count, count);
}

static void test_nothing_is_made_before_enough_was_copied(void **state)
{
    struct push *push = *state;
    struct dray_error error = {0};

    dray_adopt_note(&push->step_run, id_of(push, "a")); /* nobody began */
    assert_int_equal(dray_adopt_begin(&push->step_run, 0, 1000, &error), 0);
    dray_adopt_note(&push->step_run, id_of(push, "a"));
    dray_adopt_tick(&push->step_run);
    assert_int_equal(dray_adopt_end(&push->step_run, &error), 0);
    assert_null(push->step_run.adopt);
    assert_false(has_journal(push));
}

static void note_enough(struct push *push, int each)
{
    struct dray_error error = {0};
    struct seen seen;

    memset(push->digests[id_of(push, "d/b")], 0x77, DRAY_SHA256_BYTES);
    assert_int_equal(dray_adopt_begin(&push->step_run, each, 10, &error), 0);
    dray_adopt_note(&push->step_run, id_of(push, "a"));
    assert_false(has_journal(push));
    dray_adopt_note(&push->step_run, id_of(push, "d/b"));
    wait_for_lines(push, 2, &seen);
    assert_string_equal(seen.path, "d/b");
    assert_int_equal(seen.last.sha256[31], 0x77);
    assert_int_equal(seen.last.source.inode, 101);
    assert_int_equal(seen.last.mtime, INT64_C(1000000000000000005));
    assert_int_equal(dray_adopt_end(&push->step_run, &error), 0);
    assert_false(has_journal(push));
}

static void test_what_was_synced_is_noted_and_gone_before_a_commit(void **state)
{
    note_enough(*state, 0);
}

static void test_it_is_noted_file_by_file(void **state)
{
    note_enough(*state, 1);
}

static void test_a_file_is_noted_once_it_has_its_time(void **state)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = 1000000000, .tv_nsec = 5}};
    struct push *push = *state;
    struct dray_error error = {0};
    struct seen seen;

    assert_int_equal(dray_adopt_begin(&push->step_run, 0, 10, &error), 0);
    dray_adopt_note(&push->step_run, id_of(push, "d/c"));
    dray_adopt_note(&push->step_run, id_of(push, "a"));
    wait_for_lines(push, 1, &seen);
    assert_string_equal(seen.path, "a");
    assert_int_equal(utimensat(push->step_run.staging.directory, "d/c", times, 0), 0);
    dray_adopt_note(&push->step_run, id_of(push, "d/b"));
    dray_adopt_note(&push->step_run, id_of(push, "d/b"));
    wait_for_lines(push, 4, &seen);
}

static void test_what_may_change_without_a_trace_is_not_noted(void **state)
{
    struct push *push = *state;
    struct dray_error error = {0};
    struct seen seen;
    uint64_t ids[] = {id_of(push, "a"), id_of(push, "d/b")};

    push->run.clock -= INT64_C(2000000000); /* it began 1 s after the source was changed */
    assert_int_equal(dray_adopt_begin(&push->step_run, 0, 10, &error), 0);
    dray_adopt_pass_on(&push->step_run, ids, 2);
    assert_int_equal(count_lines(push, &seen), 0);
    push->run.clock += INT64_C(2000000000);
    dray_adopt_pass_on(&push->step_run, ids, 2);
    assert_int_equal(count_lines(push, &seen), 2);
}

/* In a sync, the thread waits a while for the other one to write. */
static int slow, inside, passed, both;

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
int __real_syncfs(int fd);
int __wrap_syncfs(int fd);

int __wrap_syncfs(int fd)
{
    if (__atomic_load_n(&slow, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
        for (int i = 0; i < 60 && !__atomic_load_n(&passed, __ATOMIC_SEQ_CST); i++)
            (void)usleep(5000);
        __atomic_store_n(&both, __atomic_load_n(&passed, __ATOMIC_SEQ_CST), __ATOMIC_SEQ_CST);
    }
    return __real_syncfs(fd);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static void test_a_plugin_that_copies_while_it_takes_over_has_one_journal(void **state)
{
    struct push *push = *state;
    struct dray_error error = {0};
    struct seen seen;
    uint64_t id = id_of(push, "d/b");

    __atomic_store_n(&slow, 1, __ATOMIC_SEQ_CST);
    assert_int_equal(dray_adopt_begin(&push->step_run, 0, 5, &error), 0);
    dray_adopt_note(&push->step_run, id_of(push, "a"));
    for (int i = 0; i < 2000 && !__atomic_load_n(&inside, __ATOMIC_SEQ_CST); i++)
        (void)usleep(5000);
    dray_adopt_pass_on(&push->step_run, &id, 1);
    __atomic_store_n(&passed, 1, __ATOMIC_SEQ_CST);
    wait_for_lines(push, 2, &seen);
    __atomic_store_n(&slow, 0, __ATOMIC_SEQ_CST);
    assert_true(__atomic_load_n(&inside, __ATOMIC_SEQ_CST));
    assert_false(__atomic_load_n(&both, __ATOMIC_SEQ_CST));
    assert_int_equal(dray_adopt_end(&push->step_run, &error), 0);
}

static void test_a_journal_that_cannot_be_made_stops_nothing(void **state)
{
    struct push *push = *state;
    struct dray_error error = {0};
    uint64_t id = id_of(push, "a");

    assert_int_equal(mkdirat(push->step_run.staging.directory, DRAY_ADOPT_JOURNAL, 0700), 0);
    assert_int_equal(dray_adopt_begin(&push->step_run, 0, 10, &error), 0);
    dray_adopt_pass_on(&push->step_run, &id, 1);
    assert_int_equal(dray_adopt_end(&push->step_run, &error), 0);
}

int main(void)
{
#define NOTING(TEST) cmocka_unit_test_setup_teardown(TEST, make_push, drop_push)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_read_as_it_was_written),
        cmocka_unit_test(test_a_line_that_is_cut_or_damaged_ends_the_journal),
        cmocka_unit_test(test_what_no_journal_of_ours_says_ends_it),
        NOTING(test_nothing_is_made_before_enough_was_copied),
        NOTING(test_what_was_synced_is_noted_and_gone_before_a_commit),
        NOTING(test_it_is_noted_file_by_file),
        NOTING(test_a_file_is_noted_once_it_has_its_time),
        NOTING(test_what_may_change_without_a_trace_is_not_noted),
        NOTING(test_a_plugin_that_copies_while_it_takes_over_has_one_journal),
        NOTING(test_a_journal_that_cannot_be_made_stops_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
