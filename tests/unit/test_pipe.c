/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/run/pipe.h"

/* One side as programs have it, and the bare descriptor of the other. */
struct fixture {
    struct dray_pipe pipe;
    int other;
};

static int open_pair(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    int pair[2];

    if (fixture == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    (void)signal(SIGPIPE, SIG_IGN);
    fixture->other = pair[1];
    *state = fixture;
    return dray_pipe_init(&fixture->pipe, pair[0], pair[0]);
}

static void close_other(struct fixture *fixture)
{
    dray_close_descriptor(&fixture->other);
    fixture->other = -1;
}

static int close_pair(void **state)
{
    struct fixture *fixture = *state;

    dray_pipe_close(&fixture->pipe);
    dray_close_descriptor(&fixture->other);
    free(fixture);
    return 0;
}

static void put(const struct fixture *fixture, const char *text)
{
    assert_int_equal(dray_write_all(fixture->other, text, strlen(text)), 0);
}

static int receive(struct fixture *fixture, int wait, json_t **ret_message,
                   struct dray_error *error)
{
    *ret_message = NULL;
    return dray_pipe_receive(&fixture->pipe, wait, ret_message, error);
}

/* The next message is there, and is {"n": number}. */
static void assert_number(struct fixture *fixture, int wait, json_int_t number)
{
    struct dray_error error = {0};
    json_t *message;

    assert_int_equal(receive(fixture, wait, &message, &error), 1);
    assert_int_equal(json_integer_value(json_object_get(message, "n")), number);
    json_decref(message);
}

static void assert_nothing_yet(struct fixture *fixture)
{
    struct dray_error error = {0};
    json_t *message;

    assert_int_equal(receive(fixture, 0, &message, &error), 2);
    assert_null(message);
    assert_int_equal(error.class_, 0);
}

static void assert_end(struct fixture *fixture)
{
    struct dray_error error = {0};
    json_t *message;

    assert_int_equal(receive(fixture, 1, &message, &error), 0);
    assert_null(message);
}

static void each_message_is_one_line(void **state)
{
    struct fixture *fixture = *state;
    struct dray_error error = {0};
    char text[128];

    assert_int_equal(
        dray_pipe_send(&fixture->pipe, json_pack("{s:s}", "text", "two\nlines\r\n"), &error), 0);
    assert_int_equal(dray_pipe_send(&fixture->pipe, json_pack("{s:i}", "n", 7), &error), 0);
    ssize_t got = read(fixture->other, text, sizeof text - 1);
    assert_true(got > 0);
    text[got] = '\0';
    assert_string_equal(text, "{\"text\":\"two\\nlines\\r\\n\"}\n{\"n\":7}\n");
}

static void lines_that_came_together_are_taken_one_by_one(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "{\"n\":1}\n{\"n\":2}\n \t{ \"n\" : 3 } \r\n");
    for (json_int_t number = 1; number <= 3; number++)
        assert_number(fixture, 0, number);
    assert_nothing_yet(fixture);
}

static void a_line_may_come_in_pieces(void **state)
{
    struct fixture *fixture = *state;
    const char *text = "{\"n\":1}\n{\"n\":2}\n";

    for (const char *at = text; *at != '\0'; at++) {
        char piece[] = {*at, '\0'};
        if (at != text + 8) /* the first line has just been completed */
            assert_nothing_yet(fixture);
        put(fixture, piece);
        if (*at == '\n')
            assert_number(fixture, 0, at == text + 7 ? 1 : 2);
    }
    assert_nothing_yet(fixture);
}

static void the_beginning_of_a_line_waits_behind_a_whole_one(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "{\"n\":1}\n{\"n\"");
    assert_number(fixture, 1, 1);
    assert_nothing_yet(fixture);
    put(fixture, ":2}\n{");
    assert_number(fixture, 1, 2);
    put(fixture, "\"n\":3}\n");
    assert_number(fixture, 1, 3);
}

static void *put_late(void *arg)
{
    struct fixture *fixture = arg;
    struct timespec pause = {.tv_nsec = 30000000};

    (void)nanosleep(&pause, NULL);
    if (dray_write_all(fixture->other, "{\"n\"", 4) != 0)
        return fixture;
    (void)nanosleep(&pause, NULL);
    return dray_write_all(fixture->other, ":5}\n", 4) == 0 ? NULL : fixture;
}

static void waiting_lasts_until_a_line_is_whole(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, put_late, fixture), 0);
    assert_number(fixture, 1, 5);
    (void)pthread_join(thread, NULL);
}

static void the_end_of_input_is_told_after_what_came_before_it(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "{\"n\":1}\n{\"n\":2}\n");
    close_other(fixture);
    assert_number(fixture, 0, 1);
    assert_number(fixture, 1, 2);
    assert_end(fixture);
    assert_end(fixture);
}

/* Who died in the middle of a message did not say it. */
static void half_a_line_at_the_end_is_no_message(void **state)
{
    struct fixture *fixture = *state;

    put(fixture, "{\"n\":1}");
    close_other(fixture);
    assert_end(fixture);
}

static void what_is_no_object_is_refused_and_the_next_line_is_read(void **state)
{
    static const char *const lines[] = {
        "",
        "null",
        "[1]",
        "7",
        "\"text\"",
        "{\"n\":1",
        "{\"n\":1}}",
        "{\"n\":1} {\"n\":2}",
        "{\"n\":1,\"n\":2}",
        "{\"n\":\"\xff\"}",
        "{\"n\":1e999}",
        "{\"n\":\"\\u0000\"}",
        "{'n':1}",
        "rubbish",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < DRAY_COUNT(lines); i++) {
        struct dray_error error = {0};
        json_t *message;
        put(fixture, lines[i]);
        put(fixture, "\n{\"n\":9}\n");
        if (receive(fixture, 1, &message, &error) != DRAY_BUG)
            fail_msg("\"%s\" was taken", lines[i]);
        assert_null(message);
        assert_memory_equal(error.message, "a line on the pipe is not a JSON object", 39);
        assert_number(fixture, 0, 9);
    }
}

static void nesting_without_end_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct dray_error error = {0};
    char line[6001];
    json_t *message;

    memset(line, '[', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    line[sizeof line - 1] = '\0';
    put(fixture, "{\"n\":");
    put(fixture, line);
    assert_int_equal(receive(fixture, 1, &message, &error), DRAY_BUG);
}

/* Sends `count` bytes without a line's end, then what ends them. */
struct flood {
    int fd;
    size_t count;
    const char *end;
};

static void *send_flood(void *arg)
{
    const struct flood *flood = arg;
    char block[64 << 10];

    memset(block, 'x', sizeof block);
    for (size_t left = flood->count; left > 0;) {
        size_t piece = left < sizeof block ? left : sizeof block;
        if (dray_write_all(flood->fd, block, piece) != 0)
            return NULL;
        left -= piece;
    }
    return dray_write_all(flood->fd, flood->end, strlen(flood->end)) == 0 ? arg : NULL;
}

static void a_line_that_is_too_long_is_refused_and_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct flood flood = {fixture->other, (size_t)DRAY_PIPE_MAX_LINE + (1u << 20), "\n"};
    struct dray_error error = {0};
    pthread_t thread;
    json_t *message;

    assert_int_equal(pthread_create(&thread, NULL, send_flood, &flood), 0);
    assert_int_equal(receive(fixture, 1, &message, &error), DRAY_INVALID);
    assert_string_equal(error.message, "a line on the pipe is too long");
    assert_true(fixture->pipe.pending.length <= DRAY_PIPE_MAX_LINE);
    /* What still comes is not read: the sender hears of it. */
    assert_int_equal(shutdown(fixture->pipe.in, SHUT_RDWR), 0);
    (void)pthread_join(thread, NULL);
}

static void a_line_of_nearly_that_length_is_received(void **state)
{
    struct fixture *fixture = *state;
    struct flood flood = {fixture->other, (size_t)DRAY_PIPE_MAX_LINE - (1u << 20), "\"}\n"};
    struct dray_error error = {0};
    pthread_t thread;
    json_t *message;

    put(fixture, "{\"n\":\"");
    assert_int_equal(pthread_create(&thread, NULL, send_flood, &flood), 0);
    assert_int_equal(receive(fixture, 1, &message, &error), 1);
    (void)pthread_join(thread, NULL);
    assert_int_equal(json_string_length(json_object_get(message, "n")), flood.count);
    json_decref(message);
}

static void what_cannot_be_read_is_said(void **state)
{
    struct dray_error error = {0};
    struct dray_pipe pipe;
    json_t *message = NULL;

    (void)state;
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dray_pipe_init(&pipe, fd, fd), 0);
    assert_true(dray_pipe_receive(&pipe, 1, &message, &error) < 0);
    assert_string_equal(error.message, "reading the pipe: Is a directory");
    dray_pipe_close(&pipe);
    assert_int_equal(pipe.in, -1);
}

static void sending_to_who_is_gone_is_an_error_and_no_signal(void **state)
{
    struct fixture *fixture = *state;
    struct dray_error error = {0};

    close_other(fixture);
    assert_int_equal(dray_pipe_send(&fixture->pipe, json_pack("{s:i}", "n", 1), &error),
                     DRAY_TEMPORARY);
    assert_string_equal(error.message, "the other side of the pipe is gone: Broken pipe");
}

static void a_message_that_could_not_be_made_is_not_sent(void **state)
{
    struct fixture *fixture = *state;
    struct dray_error error = {0};

    assert_int_equal(dray_pipe_send(&fixture->pipe, NULL, &error), DRAY_NO_MEMORY);
    close_other(fixture);
    assert_end(fixture);
}

#define SENDERS  4
#define MESSAGES 500

static void *send_many(void *arg)
{
    struct fixture *fixture = arg;
    struct dray_error error = {0};
    char filling[3001];

    memset(filling, 'y', sizeof filling - 1);
    filling[sizeof filling - 1] = '\0';
    for (int i = 0; i < MESSAGES; i++)
        if (dray_pipe_send(&fixture->pipe, json_pack("{s:i, s:s}", "n", i, "text", filling),
                           &error) != 0)
            return fixture;
    return NULL;
}

static void what_several_threads_send_is_not_mixed(void **state)
{
    struct fixture *fixture = *state;
    struct dray_pipe other;
    struct dray_error error = {0};
    pthread_t threads[SENDERS];
    size_t sum = 0;

    assert_int_equal(dray_pipe_init(&other, fixture->other, fixture->other), 0);
    fixture->other = -1;
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, fixture), 0);
    for (int i = 0; i < SENDERS * MESSAGES; i++) {
        json_t *message = NULL;
        assert_int_equal(dray_pipe_receive(&other, 1, &message, &error), 1);
        assert_int_equal(json_string_length(json_object_get(message, "text")), 3000);
        sum += (size_t)json_integer_value(json_object_get(message, "n"));
        json_decref(message);
    }
    assert_int_equal(sum, (size_t)SENDERS * MESSAGES * (MESSAGES - 1) / 2);
    for (int i = 0; i < SENDERS; i++) {
        void *failed;
        (void)pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    dray_pipe_close(&other);
}

#define ON_A_PAIR(TEST) cmocka_unit_test_setup_teardown(TEST, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_PAIR(each_message_is_one_line),
        ON_A_PAIR(lines_that_came_together_are_taken_one_by_one),
        ON_A_PAIR(a_line_may_come_in_pieces),
        ON_A_PAIR(the_beginning_of_a_line_waits_behind_a_whole_one),
        ON_A_PAIR(waiting_lasts_until_a_line_is_whole),
        ON_A_PAIR(the_end_of_input_is_told_after_what_came_before_it),
        ON_A_PAIR(half_a_line_at_the_end_is_no_message),
        ON_A_PAIR(what_is_no_object_is_refused_and_the_next_line_is_read),
        ON_A_PAIR(nesting_without_end_is_refused),
        ON_A_PAIR(a_line_that_is_too_long_is_refused_and_not_kept),
        ON_A_PAIR(a_line_of_nearly_that_length_is_received),
        cmocka_unit_test(what_cannot_be_read_is_said),
        ON_A_PAIR(sending_to_who_is_gone_is_an_error_and_no_signal),
        ON_A_PAIR(a_message_that_could_not_be_made_is_not_sent),
        ON_A_PAIR(what_several_threads_send_is_not_mixed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
