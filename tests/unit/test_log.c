/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define log_event(LOG, LEVEL, STEP, EVENT, ...)                                                    \
    dray_log_write(LOG, LEVEL, STEP, EVENT, (const struct dray_log_field[]){__VA_ARGS__},          \
                   sizeof((const struct dray_log_field[]){__VA_ARGS__}) /                          \
                       sizeof(struct dray_log_field))

static struct dray_log new_log(int json)
{
    struct dray_log log = {.json = json, .level = DRAY_LOG_INFO};

    log.fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(log.fd >= 0);
    assert_int_equal(fcntl(log.fd, F_SETFL, O_APPEND), 0);
    return log;
}

/* All that was logged. Frees: caller. */
static char *logged(const struct dray_log *log)
{
    enum { ROOM = 1 << 20 };
    char *text = malloc(ROOM);

    assert_non_null(text);
    ssize_t length = dray_pread_full(log->fd, text, ROOM - 1, 0);
    assert_true(length >= 0);
    text[length] = '\0';
    return text;
}

static void people_get_one_readable_line(void **state)
{
    struct dray_log log = new_log(0);

    (void)state;
    log.job = "3f2a91c0";
    log_event(&log, DRAY_LOG_INFO, "to-lab", "copied", DRAY_INT("files", 3),
              DRAY_SIZE("bytes", 4096));
    dray_autofree char *text = logged(&log);
    /* hh:mm:ss */
    for (size_t i = 0; i < 8; i++)
        assert_true(i % 3 == 2 ? text[i] == ':' : text[i] >= '0' && text[i] <= '9');
    assert_string_equal(text + 8,
                        " info  job 3f2a91c0 step to-lab: copied files=3 bytes=4.0 KiB\n");
    (void)close(log.fd);
}

static void people_see_where_a_value_ends_and_no_control_characters(void **state)
{
    struct dray_log log = new_log(0);

    (void)state;
    log_event(&log, DRAY_LOG_WARN, NULL, "odd\nname", DRAY_TEXT("path", "a b\"c\\d"),
              DRAY_TEXT("line", "x\n\x1b[2Jy\xff"), DRAY_TEXT("empty", ""),
              DRAY_TEXT("plain", "a/b"), DRAY_TEXT("none", NULL));
    dray_autofree char *text = logged(&log);
    assert_string_equal(
        text + 8, " warn  odd\xef\xbf\xbdname path=\"a b\\\"c\\\\d\" "
                  "line=x\xef\xbf\xbd\xef\xbf\xbd[2Jy\xef\xbf\xbd empty=\"\" plain=a/b none=\n");
    (void)close(log.fd);
}

static void a_json_line_has_all_that_was_said(void **state)
{
    struct dray_log log = new_log(1);
    json_error_t why;

    (void)state;
    log.job = "3f2a91c0";
    log.attempt = 2;
    log_event(&log, DRAY_LOG_WARN, "to-lab", "copied", DRAY_INT("files", -3),
              DRAY_SIZE("bytes", INT64_MAX),
              DRAY_TEXT("text", "\"\\\n\t\x01\x7f k\xc3\xb6ln \xc2\x9b"), DRAY_TEXT("none", NULL),
              DRAY_TEXT("path", "a\xff"));
    dray_autofree char *text = logged(&log);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    for (const char *c = text; *c != '\n'; c++)
        assert_true((unsigned char)*c >= 0x20);
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL)
        fail_msg("%s: %s", why.text, text);
    assert_int_equal(strlen(json_string_value(json_object_get(json, "time"))), 20);
    assert_string_equal(json_string_value(json_object_get(json, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(json, "job")), "3f2a91c0");
    assert_int_equal(json_integer_value(json_object_get(json, "attempt")), 2);
    assert_string_equal(json_string_value(json_object_get(json, "step")), "to-lab");
    assert_string_equal(json_string_value(json_object_get(json, "event")), "copied");
    json_t *fields = json_object_get(json, "fields");
    assert_int_equal(json_object_size(fields), 6);
    assert_int_equal(json_integer_value(json_object_get(fields, "files")), -3);
    assert_true(json_integer_value(json_object_get(fields, "bytes")) == INT64_MAX);
    assert_string_equal(json_string_value(json_object_get(fields, "text")),
                        "\"\\\n\t\x01\x7f k\xc3\xb6ln \xc2\x9b");
    assert_true(json_is_null(json_object_get(fields, "none")));
    assert_string_equal(json_string_value(json_object_get(fields, "path")), "a\xef\xbf\xbd");
    assert_string_equal(json_string_value(json_object_get(fields, "path_b64")), "Yf8=");
    json_decref(json);
    (void)close(log.fd);
}

static void what_there_is_not_is_left_out(void **state)
{
    struct dray_log log = new_log(1);

    (void)state;
    dray_log_write(&log, DRAY_LOG_INFO, NULL, "started", NULL, 0);
    dray_autofree char *text = logged(&log);
    assert_null(strstr(text, "job"));
    assert_null(strstr(text, "attempt"));
    assert_null(strstr(text, "step"));
    assert_non_null(strstr(text, "\"event\":\"started\",\"fields\":{}}\n"));
    (void)close(log.fd);
}

static void lower_levels_are_left_out(void **state)
{
    struct dray_log log = new_log(0);

    (void)state;
    dray_log_write(&log, DRAY_LOG_DEBUG, NULL, "detail", NULL, 0);
    log.level = DRAY_LOG_WARN;
    dray_log_write(&log, DRAY_LOG_INFO, NULL, "news", NULL, 0);
    dray_autofree char *nothing = logged(&log);
    assert_string_equal(nothing, "");
    log.level = DRAY_LOG_DEBUG;
    dray_log_write(&log, DRAY_LOG_DEBUG, NULL, "detail", NULL, 0);
    dray_autofree char *text = logged(&log);
    assert_string_equal(text + 8, " debug detail\n");
    (void)close(log.fd);
}

static void long_values_are_cut_at_a_character(void **state)
{
    struct dray_log log = new_log(1);
    enum { LENGTH = 100001 };
    char *value = malloc(LENGTH + 1);

    (void)state;
    assert_non_null(value);
    value[0] = 'x';
    for (size_t i = 1; i < LENGTH; i += 2)
        memcpy(value + i, "\xc3\xb6", 2);
    value[LENGTH] = '\0';
    log_event(&log, DRAY_LOG_INFO, NULL, "long", DRAY_TEXT("value", value));
    log.json = 0;
    log_event(&log, DRAY_LOG_INFO, NULL, "long", DRAY_TEXT("value", value));
    dray_autofree char *text = logged(&log);
    assert_true(strlen(text) < 9000);
    assert_true(dray_utf8_valid(text, strlen(text)));
    assert_non_null(strstr(text, "\xc3\xb6\xe2\x80\xa6\"}}\n"));
    assert_non_null(strstr(text, "\xc3\xb6\xe2\x80\xa6\n"));
    free(value);
    (void)close(log.fd);
}

static void a_record_that_is_too_long_leaves_a_trace(void **state)
{
    enum { COUNT = 200 };
    struct dray_log log = new_log(1);
    struct dray_log_field fields[COUNT];
    char value[4001];

    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (size_t i = 0; i < COUNT; i++)
        fields[i] = DRAY_TEXT("value", value);
    dray_log_write(&log, DRAY_LOG_INFO, NULL, "huge", fields, COUNT);
    dray_autofree char *text = logged(&log);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(
        strstr(json_string_value(json_object_get(json, "event")), "a log record was lost"));
    json_decref(json);
    (void)close(log.fd);
}

enum { WRITERS = 4, LINES = 200 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_event((const struct dray_log *)arg, DRAY_LOG_INFO, "step", "line",
                  DRAY_INT("number", i), DRAY_TEXT("text", "some text that makes the line longer"));
    return NULL;
}

static void lines_of_many_threads_stay_whole(void **state)
{
    struct dray_log log = new_log(1);
    pthread_t writers[WRITERS];
    unsigned lines = 0;

    (void)state;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_lines, &log), 0);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    dray_autofree char *text = logged(&log);
    for (char *line = text; *line != '\0'; lines++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_non_null(json);
        json_decref(json);
        line = end + 1;
    }
    assert_int_equal(lines, WRITERS * LINES);
    (void)close(log.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_get_one_readable_line),
        cmocka_unit_test(people_see_where_a_value_ends_and_no_control_characters),
        cmocka_unit_test(a_json_line_has_all_that_was_said),
        cmocka_unit_test(what_there_is_not_is_left_out),
        cmocka_unit_test(lower_levels_are_left_out),
        cmocka_unit_test(long_values_are_cut_at_a_character),
        cmocka_unit_test(a_record_that_is_too_long_leaves_a_trace),
        cmocka_unit_test(lines_of_many_threads_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
