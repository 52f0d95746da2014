/* SPDX-License-Identifier: MIT */
/* How push/hpfs tells a file of an old delivery that was edited from one that was not, and both
 * from what says nothing about it: no memory, a cancelled job. */
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

#include <jansson.h>
#include <openssl/evp.h>

#include "plugins/hpfs/probe.h"

/* What is tested is the file itself, with its memory and its reads as the test wants them. */
static int no_memory, no_reading, reads;

static void *test_malloc(size_t size)
{
    return no_memory ? NULL : malloc(size);
}

#define malloc(SIZE) test_malloc(SIZE)
#include "plugins/hpfs/compare.c"
#undef malloc

#include <cmocka.h>

/* Of probe.c and place.c. */
int probe_open_file(int directory, const char *name)
{
    return openat(directory, name, O_RDONLY | O_CLOEXEC);
}

ssize_t probe_read(int fd, char *buffer, size_t size)
{
    reads++;
    errno = EIO;
    return no_reading ? -1 : read(fd, buffer, size < 4 ? size : 4);
}

const char *probe_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

int64_t hpfs_count_names(int parent, const char *name)
{
    (void)parent;
    (void)name;
    return 1;
}

/* ---- A host ---------------------------------------------------------------------------------- */

static int cancelled_at;

static char *fake_format(const char *format, ...) DRAY_PRINTF(1, 2);
static char *fake_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    assert_true(vasprintf(&text, format, arguments) >= 0);
    va_end(arguments);
    return text;
}

static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...) DRAY_PRINTF(3, 4);
static int fake_fail(struct dray_ctx *ctx, int class_, const char *format, ...)
{
    (void)ctx;
    (void)format;
    return class_;
}

static void fake_progress(struct dray_ctx *ctx, uint64_t entries, uint64_t bytes)
{
    (void)ctx;
    assert_int_equal(entries + bytes, 0);
}

static int fake_cancelled(struct dray_ctx *ctx)
{
    (void)ctx;
    return cancelled_at > 0 && reads >= cancelled_at;
}

static const struct dray_host host = {.size = sizeof(host),
                                      .free = free,
                                      .format = fake_format,
                                      .fail = fake_fail,
                                      .progress = fake_progress,
                                      .cancelled = fake_cancelled};

/* ---- A file of an old delivery --------------------------------------------------------------- */

struct place {
    char path[64];
    struct dray_ctx ctx;
    struct probe probe;
    json_t *line;
};

static const char content[] = "what was delivered";

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    unsigned char digest[32];
    char hex[65];

    assert_non_null(place);
    no_memory = no_reading = reads = cancelled_at = 0;
    (void)snprintf(place->path, sizeof(place->path), "/tmp/dray-test-compare-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->ctx.host = &host;
    place->probe = (struct probe){.ctx = &place->ctx, .strict = 1, .grain = 1};
    place->probe.root = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(place->probe.root, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    assert_int_equal(close(fd), 0);
    assert_int_equal(EVP_Digest(content, strlen(content), digest, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < sizeof(digest); i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    place->line = json_pack("{s:s, s:I}", "sha256", hex, "mtime", (json_int_t)1234567890123456789);
    assert_non_null(place->line);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;

    (void)unlinkat(place->probe.root, "f", 0);
    (void)unlinkat(place->probe.root, "tree.jsonl", 0);
    (void)unlinkat(place->probe.root, "delivered.json", 0);
    (void)unlinkat(place->probe.root, "manifest-sha256.txt", 0);
    (void)close(place->probe.root);
    assert_int_equal(rmdir(place->path), 0);
    json_decref(place->line);
    free(place->probe.why);
    free(place);
    return 0;
}

static void compare(struct place *place)
{
    struct stat status;

    assert_int_equal(fstatat(place->probe.root, "f", &status, 0), 0);
    compare_bytes(&place->probe, place->line, "f", &status);
}

static void set_time(const struct place *place, const char *name, int64_t seconds, long nanoseconds)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds}};

    assert_int_equal(utimensat(place->probe.root, name, times, 0), 0);
}

static void test_with_its_own_time_it_is_not_read(void **state)
{
    struct place *place = *state;

    set_time(place, "f", 1234567890, 123456789);
    compare(place);
    assert_int_equal(reads, 0);
    assert_null(place->probe.why);
}

static void test_with_another_time_its_bytes_decide(void **state)
{
    struct place *place = *state;

    compare(place);
    assert_true(reads > 0);
    assert_null(place->probe.why);
    assert_int_equal(json_object_set_new(place->line, "sha256", json_string("0")), 0);
    compare(place);
    assert_string_equal(place->probe.why, "f was changed");
    assert_int_equal(place->probe.failed, 0);
}

static void test_what_cannot_be_read_was_changed(void **state)
{
    struct place *place = *state;

    no_reading = 1;
    compare(place);
    assert_string_equal(place->probe.why, "f was changed, and cannot be read");
    assert_int_equal(place->probe.failed, 0);
}

static void test_without_memory_nothing_is_said_of_it(void **state)
{
    struct place *place = *state;

    no_memory = 1;
    compare(place);
    assert_int_equal(place->probe.failed, DRAY_NO_MEMORY);
    assert_null(place->probe.why);
}

static void test_who_cancels_need_not_wait_for_the_end_of_a_file(void **state)
{
    struct place *place = *state;

    cancelled_at = 2;
    compare(place);
    assert_int_equal(reads, 2);
    assert_int_equal(place->probe.failed, DRAY_CANCELLED);
    assert_null(place->probe.why);
}

/* ---- How finely times are kept --------------------------------------------------------------- */

static int64_t grain_with(const struct place *place, int64_t seconds, long nanoseconds)
{
    static const char *const names[] = {"delivered.json", "tree.jsonl", "manifest-sha256.txt"};

    for (size_t i = 0; i < 3; i++) {
        int fd = openat(place->probe.root, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        set_time(place, names[i], seconds + 2 * (int64_t)i, nanoseconds);
    }
    return grain_of(place->probe.root);
}

static void test_the_records_show_how_finely_times_are_kept(void **state)
{
    const struct place *place = *state;

    assert_int_equal(grain_with(place, 1000000001, 123456789), 1);
    assert_int_equal(grain_with(place, 1000000001, 123456700), 100);
    assert_int_equal(grain_with(place, 1000000001, 123456000), 1000);
    assert_int_equal(grain_with(place, 1000000001, 123000000), 1000000);
    assert_int_equal(grain_with(place, 1000000001, 0), 1000000000);
    assert_int_equal(grain_with(place, 1000000002, 0), 2000000000);
    set_time(place, "tree.jsonl", 1000000001, 123456789);
    assert_int_equal(grain_of(place->probe.root), 1);
}

static void test_a_time_is_the_given_one_as_it_is_kept(void **state)
{
    struct place *place = *state;
    struct stat status = {.st_mtim = {.tv_sec = 1234567890}};

    assert_false(is_time(&place->probe, 1234567890123456789, &status));
    place->probe.grain = 1000000000;
    assert_true(is_time(&place->probe, 1234567890123456789, &status));
    assert_true(is_time(&place->probe, 1234567890000000000, &status));
    assert_false(is_time(&place->probe, 1234567889999999999, &status));
    assert_false(is_time(&place->probe, 1234567891000000000, &status));
    status.st_mtim.tv_sec = -2; /* before 1970 */
    assert_true(is_time(&place->probe, -1000000001, &status));
    assert_false(is_time(&place->probe, -1000000000, &status));
    place->probe.grain = 2000000000;
    assert_true(is_time(&place->probe, -1000000000, &status));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_with_its_own_time_it_is_not_read),
        TEST(test_with_another_time_its_bytes_decide),
        TEST(test_what_cannot_be_read_was_changed),
        TEST(test_without_memory_nothing_is_said_of_it),
        TEST(test_who_cancels_need_not_wait_for_the_end_of_a_file),
        TEST(test_the_records_show_how_finely_times_are_kept),
        TEST(test_a_time_is_the_given_one_as_it_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
