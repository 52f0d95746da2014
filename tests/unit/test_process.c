/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/base/io.h"
#include "core/base/process.h"
#include "core/base/text.h"

/* Start a shell that runs `script`. */
static struct dray_process start(const char *script, const int *fds, size_t count, int quiet)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct dray_process process;
    struct dray_error error = {0};

    if (dray_process_start(&process, argv, NULL, fds, count, quiet, &error) != 0)
        fail_msg("%s", error.message);
    return process;
}

static int wait_for(struct dray_process *process)
{
    int status = 0;

    assert_int_equal(dray_process_wait(process, 60000, &status), 1);
    assert_int_equal(process->pidfd, -1);
    return status;
}

/* What a shell prints that runs `script`. */
static void run(const char *script, int quiet, char *output, size_t size)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct dray_process process = start(script, (const int[]){-1, ends[1], 2}, 3, quiet);
    (void)close(ends[1]);
    ssize_t length = dray_read_full(ends[0], output, size - 1);
    assert_true(length >= 0);
    output[length] = '\0';
    (void)close(ends[0]);
    assert_int_equal(wait_for(&process), 0);
}

static void an_exit_status_comes_back(void **state)
{
    struct dray_process process = start("exit 3", NULL, 0, 0);
    char text[80];

    (void)state;
    int status = wait_for(&process);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_string_equal(dray_status_print(status, text), "exited with status 3");
}

static void a_death_by_signal_is_told_in_words(void **state)
{
    struct dray_process process = start("kill -SEGV $$", NULL, 0, 0);
    char text[80];

    (void)state;
    assert_string_equal(dray_status_print(wait_for(&process), text),
                        "died of SIGSEGV (segmentation fault)");
    assert_string_equal(dray_status_print(SIGKILL, text), "died of SIGKILL (killed)");
    assert_string_equal(dray_status_print(SIGRTMIN + 3, text), "died of signal 37");
    assert_string_equal(dray_status_print(DRAY_STATUS_UNKNOWN, text), "ended, nobody knows how");
}

static void waiting_has_a_limit_and_a_signal_ends_it(void **state)
{
    struct dray_process process = start("exec sleep 600", NULL, 0, 0);
    int status = 77;

    (void)state;
    assert_int_equal(dray_process_wait(&process, 0, &status), 0);
    int64_t before = dray_monotonic();
    assert_int_equal(dray_process_wait(&process, 50, &status), 0);
    assert_true(dray_monotonic() - before >= 50 * 1000000);
    assert_int_equal(status, 77);
    dray_process_signal(&process, SIGTERM);
    status = wait_for(&process);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    /* It is gone: no second wait blocks, no signal reaches another process of that number. */
    dray_process_signal(&process, SIGKILL);
    assert_int_equal(dray_process_wait(&process, -1, &status), 1);
    assert_int_equal(status, DRAY_STATUS_UNKNOWN);
}

static void a_child_that_somebody_else_reaped_is_no_success(void **state)
{
    struct dray_process process = start("exit 0", NULL, 0, 0);

    (void)state;
    assert_int_equal(waitpid(process.pid, NULL, 0), process.pid);
    int status = wait_for(&process);
    assert_int_equal(status, DRAY_STATUS_UNKNOWN);
    assert_false(WIFEXITED(status));
}

static void a_program_that_cannot_start_is_named(void **state)
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    struct dray_process process = {.pid = 77, .pidfd = 78};
    struct dray_error error = {0};

    (void)state;
    assert_int_equal(dray_process_start(&process, argv, NULL, NULL, 0, 0, &error), DRAY_NOT_FOUND);
    assert_string_equal(error.message,
                        "cannot start /nonexistent/program: No such file or directory");
    assert_int_equal(process.pid, 77);
    assert_int_equal(process.pidfd, 78);
    /* A descriptor that is none is told as well. */
    const char *const shell[] = {"/bin/sh", NULL};
    assert_int_equal(dray_process_start(&process, shell, NULL, (const int[]){9999}, 1, 0, &error),
                     DRAY_BUG);
}

/* Pipes whose ends get exactly the numbers asked for. */
static void write_end_at(int *read_end, int number)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    *read_end = fcntl(ends[0], F_DUPFD_CLOEXEC, 100);
    assert_true(*read_end >= 100);
    (void)close(ends[0]);
    if (ends[1] != number) {
        assert_int_equal(dup3(ends[1], number, O_CLOEXEC), number);
        (void)close(ends[1]);
    }
}

static void expect_text(int fd, const char *wanted)
{
    char text[64];

    ssize_t length = dray_read_full(fd, text, sizeof text - 1);
    assert_true(length >= 0);
    text[length] = '\0';
    assert_string_equal(text, wanted);
    (void)close(fd);
}

static void descriptors_may_change_places(void **state)
{
    int ends[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        write_end_at(&ends[i], 50 + i);
    for (int i = 0; i < 3; i++) {
        (void)close(i + 5);
        assert_int_equal(dup3(50 + i, 5 + i, O_CLOEXEC), 5 + i);
        (void)close(50 + i);
    }
    /* 5 onto 6, 6 onto 5, and 7 onto itself, which must lose its CLOEXEC. */
    const int fds[] = {-1, 1, 2, -1, -1, 6, 5, 7};
    struct dray_process process = start("echo five >&5; echo six >&6; echo seven >&7", fds, 8, 0);
    for (int i = 0; i < 3; i++)
        (void)close(5 + i);
    assert_int_equal(wait_for(&process), 0);
    expect_text(ends[0], "six\n");
    expect_text(ends[1], "five\n");
    expect_text(ends[2], "seven\n");
}

static void a_child_gets_no_other_descriptor(void **state)
{
    char output[4096];

    (void)state;
    int leak = fcntl(2, F_DUPFD, 60); /* without CLOEXEC, as a library may have left it */
    assert_true(leak >= 60);
    run("ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> .*/\\1/p' | tr '\\n' ' '", 0, output,
        sizeof output);
    (void)close(leak);
    /* 3 is the directory that ls reads. */
    assert_string_equal(output, "0 1 2 3 ");
    run("readlink /proc/self/fd/0", 0, output, sizeof output);
    assert_string_equal(output, "/dev/null\n");
}

static void the_environment_is_ours_or_the_given_one(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c", "test \"$ONE-$DRAY_TEST_PROCESS\" = 1-", NULL};
    const char *const environment[] = {"ONE=1", NULL};
    struct dray_process process;
    struct dray_error error = {0};
    char output[64];

    (void)state;
    assert_int_equal(setenv("DRAY_TEST_PROCESS", "yes", 1), 0);
    run("printf %s \"$DRAY_TEST_PROCESS\"", 0, output, sizeof output);
    assert_string_equal(output, "yes");
    assert_int_equal(dray_process_start(&process, argv, environment, NULL, 0, 0, &error), 0);
    assert_int_equal(wait_for(&process), 0);
}

/* The last 7 digits are signals 1 to 28; glibc itself ignores two of the higher ones. */
static const char show_signals[] =
    "sed -n 's/^Sig\\(Blk\\|Ign\\):[[:space:]]*.\\{9\\}0*/\\1=/p' /proc/self/status | tr '\\n' ' '";

static void signals_of_a_child_are_as_after_login(void **state)
{
    sigset_t blocked;
    sigset_t before;
    char output[256];

    (void)state;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGCHLD);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    assert_true(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    run(show_signals, 0, output, sizeof output);
    assert_string_equal(output, "Blk= Ign= ");
    /* 2 is SIGINT, 4 SIGQUIT: bits 1 and 2. */
    run(show_signals, 1, output, sizeof output);
    assert_string_equal(output, "Blk=6 Ign= ");
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGUSR1, SIG_DFL);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
}

static void an_interrupt_does_not_reach_a_quiet_child(void **state)
{
    struct dray_process process = start("read line; exit 5", (const int[]){-1, 1, 2}, 3, 1);
    struct dray_process quiet = start("exec sleep 600", NULL, 0, 1);
    int status;

    (void)state;
    assert_int_equal(WEXITSTATUS(wait_for(&process)), 5);
    dray_process_signal(&quiet, SIGINT);
    dray_process_signal(&quiet, SIGQUIT);
    assert_int_equal(dray_process_wait(&quiet, 100, &status), 0);
    dray_process_signal(&quiet, SIGKILL);
    assert_int_equal(WTERMSIG(wait_for(&quiet)), SIGKILL);
}

static void no_descriptor_is_left_behind(void **state)
{
    char path[64];

    (void)state;
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(before);
    for (int i = 0; i < 20; i++) {
        struct dray_process process = start("exit 0", (const int[]){-1, -1, 2, 0}, 4, 0);
        (void)wait_for(&process);
    }
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "%d", after);
    assert_int_equal(after, before);
    (void)close(after);
}

static void a_helper_is_found_beside_the_program(void **state)
{
    struct dray_error error = {0};
    char self[4096];
    dray_autofree char *name = dray_format("dray-test-helper-%d", (int)getpid());

    (void)state;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    dray_autofree char *path = dray_format("%s/%s", self, name);
    assert_null(dray_helper_path(name, &error));
    assert_int_equal(error.class_, DRAY_NOT_FOUND);
    /* Both places are named, and what to do. */
    assert_non_null(strstr(error.message, path));
    assert_non_null(strstr(error.message, DRAY_LIBEXECDIR));
    assert_string_not_equal(error.hint, "");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_null(dray_helper_path(name, &error)); /* not executable */
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_int_equal(dray_close(&fd), 0);
    dray_autofree char *found = dray_helper_path(name, &error);
    assert_int_equal(unlink(path), 0);
    assert_string_equal(found, path);
}

static void a_signal_to_a_group_reaches_what_the_child_started(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c", "sleep 600 & echo x; exit 0", NULL};
    struct dray_process process;
    struct dray_error error = {0};
    char byte[8];
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(
        dray_process_start_group(&process, argv, NULL, (const int[]){-1, ends[1], 2}, 3, &error),
        0);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(read(ends[0], byte, sizeof(byte)), 2);
    /* It has ended, and its group is still there: the pipe ends when sleep does. */
    dray_process_signal_group(&process, SIGKILL);
    assert_int_equal(read(ends[0], byte, sizeof(byte)), 0);
    (void)wait_for(&process);
    dray_process_signal_group(&process, SIGKILL); /* nobody is there */
    assert_int_equal(close(ends[0]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exit_status_comes_back),
        cmocka_unit_test(a_death_by_signal_is_told_in_words),
        cmocka_unit_test(waiting_has_a_limit_and_a_signal_ends_it),
        cmocka_unit_test(a_child_that_somebody_else_reaped_is_no_success),
        cmocka_unit_test(a_program_that_cannot_start_is_named),
        cmocka_unit_test(descriptors_may_change_places),
        cmocka_unit_test(a_child_gets_no_other_descriptor),
        cmocka_unit_test(the_environment_is_ours_or_the_given_one),
        cmocka_unit_test(signals_of_a_child_are_as_after_login),
        cmocka_unit_test(an_interrupt_does_not_reach_a_quiet_child),
        cmocka_unit_test(a_signal_to_a_group_reaches_what_the_child_started),
        cmocka_unit_test(no_descriptor_is_left_behind),
        cmocka_unit_test(a_helper_is_found_beside_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
