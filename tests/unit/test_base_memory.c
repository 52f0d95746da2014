/* SPDX-License-Identifier: MIT */
/* Every allocation of core/base fails in turn (the linker sends our calls here): it is reported,
 * and nothing is lost or half done. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/pool.h"
#include "core/base/process.h"
#include "core/base/text.h"
#include "tests/unit/failing.h"

static char place[64];
static int place_fd;

/* Each of these does one thing, checks it where it succeeded, and returns 0 or a class. */

static int read_and_write_file(void)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer buffer = {.cap = 1000};
    struct dray_error error = {0};
    char path[80];

    (void)snprintf(path, sizeof path, "%s/f", place);
    int result = dray_write_file(path, "text", 4, 0600, &error);
    if (result == 0)
        result = dray_read_file(path, &buffer, &error);
    if (result == 0)
        assert_string_equal(buffer.data, "text");
    assert_true(result == 0 || error.message[0] != '\0');
    return result;
}

static int make_and_remove_tree(void)
{
    struct dray_error error = {0};
    char path[80];
    struct stat status;

    (void)snprintf(path, sizeof path, "%s/t/a/b/c/d", place);
    int result = dray_make_directories(path, 0700, &error);
    path[strlen(place) + 2] = '\0';
    if (result == 0)
        result = dray_remove_tree(AT_FDCWD, path, &error);
    if (result == 0)
        assert_int_equal(stat(path, &status), -1);
    assert_true(result == 0 || error.message[0] != '\0');
    return result;
}

static int join_paths(void)
{
    dray_autofree char *path = dray_path_absolute("relative", "a/./b");
    dray_autofree char *helper = NULL;
    struct dray_error error = {0};

    if (path == NULL)
        return DRAY_NO_MEMORY;
    helper = dray_helper_path("no such helper", &error);
    assert_null(helper);
    return error.class_ == DRAY_NOT_FOUND ? 0 : error.class_;
}

static int json_of_a_path(void)
{
    json_t *object = json_object();

    int result = dray_json_set_path(object, "path", "a\xff", 2);
    if (result == 0)
        assert_string_equal(json_string_value(json_object_get(object, "path_b64")), "Yf8=");
    json_decref(object);
    if (result != 0)
        return result;
    size_t length;
    dray_autofree char *bytes = dray_base64_decode("Yf8=", &length);
    return bytes == NULL ? DRAY_NO_MEMORY : 0;
}

static int start_process(void)
{
    const char *const argv[] = {"/bin/true", NULL};
    struct dray_process process;
    struct dray_error error = {0};
    int status;

    int result = dray_process_start(&process, argv, NULL, (const int[]){-1, -1, -1}, 3, 0, &error);
    if (result == 0)
        assert_int_equal(dray_process_wait(&process, -1, &status), 1);
    return result;
}

static int do_nothing(void *arg, uint64_t index)
{
    (void)arg;
    (void)index;
    return 0;
}

static int run_pool(void)
{
    struct dray_pool *pool = dray_pool_new(2, NULL, NULL);

    if (pool == NULL)
        return DRAY_NO_MEMORY;
    int result = dray_pool_run(pool, 100, do_nothing, NULL);
    dray_pool_free(pool);
    return result;
}

static int hash(void)
{
    dray_cleanup(dray_digest_freep) struct dray_digest *digest = dray_digest_new(DRAY_SHA256);

    return digest == NULL ? DRAY_NO_MEMORY : dray_digest_start(digest);
}

static int fill_arena(void)
{
    struct dray_arena arena = {0};
    int result = 0;

    for (size_t i = 0; i < 3000 && result == 0; i += 100)
        if (dray_arena_text(&arena, place, 10) == NULL ||
            dray_arena_alloc(&arena, i * 10, 8) == NULL)
            result = DRAY_NO_MEMORY;
    dray_arena_free(&arena);
    return result;
}

static int write_log(void)
{
    struct dray_log log = {.json = 1};
    char line[512] = "";

    log.fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(log.fd >= 0);
    const struct dray_log_field fields[] = {
        DRAY_TEXT("path", "a long text\xff"),
        DRAY_TEXT("more", "to make the line grow beyond the buffer's first capacity")};
    dray_log_write(&log, DRAY_LOG_INFO, NULL, "an event", fields, 2);
    (void)!dray_pread_full(log.fd, line, sizeof line - 1, 0);
    (void)close(log.fd);
    /* One whole line in any case: the record, or that there was one. */
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    return strstr(line, "a log record was lost") != NULL ? DRAY_NO_MEMORY : 0;
}

static void each_allocation_may_fail(void **state)
{
    static int (*const operations[])(void) = {
        read_and_write_file,
        make_and_remove_tree,
        join_paths,
        json_of_a_path,
        start_process,
        run_pool,
        hash,
        fill_arena,
        write_log,
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(operations); i++) {
        for (long nth = 1;; nth++) {
            failing_left = nth - 1;
            failing_failed = 0;
            int result = operations[i]();
            failing_left = -1;
            if (failing_failed ? result != DRAY_NO_MEMORY : result != 0)
                fail_msg("operation %zu: allocation %ld gave %s", i, nth, dray_class_name(result));
            if (!failing_failed)
                break;
        }
    }
}

static void a_removal_that_ran_out_of_memory_can_be_finished(void **state)
{
    struct dray_error error = {0};
    struct stat status;

    (void)state;
    for (long nth = 1; nth < 20; nth++) {
        char path[200];
        (void)snprintf(path, sizeof path, "%s/r/a/a/a/a/a/a/a/a/a/a", place);
        assert_int_equal(dray_make_directories(path, 0700, &error), 0);
        failing_left = nth - 1;
        (void)!dray_remove_tree(place_fd, "r", &error);
        failing_left = -1;
        assert_int_equal(dray_remove_tree(place_fd, "r", &error), 0);
        assert_int_equal(fstatat(place_fd, "r", &status, 0), -1);
    }
}

static int make_place(void **state)
{
    (void)state;
    (void)snprintf(place, sizeof place, "/tmp/dray-test-memory-XXXXXX");
    if (mkdtemp(place) == NULL)
        return -1;
    place_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return place_fd < 0 ? -1 : 0;
}

static int remove_place(void **state)
{
    struct dray_error error;

    (void)state;
    (void)close(place_fd);
    return dray_remove_tree(AT_FDCWD, place, &error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(a_removal_that_ran_out_of_memory_can_be_finished),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
