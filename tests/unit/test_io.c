/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "core/base/io.h"

/* Each test works in a fresh directory, which is removed with what is tested here. */
struct place {
    char path[64];
    int fd;
};

static int make_place(void **state)
{
    struct place *place = calloc(1, sizeof *place);

    if (place == NULL)
        return -1;
    (void)snprintf(place->path, sizeof place->path, "/tmp/dray-test-io-XXXXXX");
    if (mkdtemp(place->path) == NULL)
        return -1;
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return place->fd < 0 ? -1 : 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    (void)close(place->fd);
    int result = dray_remove_tree(AT_FDCWD, place->path, &error);
    if (result != 0)
        print_error("%s\n", error.message);
    free(place);
    return result;
}

static char *in_place(const struct place *place, const char *name)
{
    char *path = dray_format("%s/%s", place->path, name);

    assert_non_null(path);
    return path;
}

static void put(const struct place *place, const char *name, const char *text)
{
    int fd = openat(place->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(dray_write_all(fd, text, strlen(text)), 0);
    assert_int_equal(dray_close(&fd), 0);
}

static int is_there(const struct place *place, const char *name)
{
    struct stat status;

    return fstatat(place->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- Reading and writing ---- */

enum { MUCH = 3 << 20 };

static void ignore(int signal_number)
{
    (void)signal_number;
}

/* Reads slowly, so that the writer meets a full pipe again and again. */
static void *read_slowly(void *arg)
{
    int fd = *(int *)arg;
    unsigned char *bytes = malloc(MUCH + 1);
    struct timespec pause = {.tv_nsec = 2000000};
    size_t total = 0;
    sigset_t interrupts;

    /* They are for the writer. */
    (void)sigemptyset(&interrupts);
    (void)sigaddset(&interrupts, SIGALRM);
    (void)pthread_sigmask(SIG_BLOCK, &interrupts, NULL);
    if (bytes == NULL)
        return NULL;
    while (total < MUCH) {
        ssize_t done = read(fd, bytes + total, 65536 < MUCH - total ? 65536 : MUCH - total);
        if (done <= 0 && errno != EINTR)
            break;
        total += done > 0 ? (size_t)done : 0;
        (void)nanosleep(&pause, NULL);
    }
    return bytes;
}

static void write_through_pipe(int flags)
{
    struct sigaction action = {.sa_handler = ignore}; /* no SA_RESTART: calls are interrupted */
    struct itimerval often = {{0, 500}, {0, 500}};
    struct itimerval never = {0};
    unsigned char *bytes = malloc(MUCH);
    unsigned char *received = NULL;
    pthread_t reader;
    int ends[2];

    assert_non_null(bytes);
    for (size_t i = 0; i < MUCH; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, flags), 0);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_slowly, &ends[0]), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(dray_write_all(ends[1], bytes, MUCH), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    (void)close(ends[1]);
    assert_int_equal(pthread_join(reader, (void **)&received), 0);
    assert_non_null(received);
    assert_memory_equal(received, bytes, MUCH);
    (void)close(ends[0]);
    free(received);
    free(bytes);
}

static void a_write_survives_interrupts_and_full_pipes(void **state)
{
    (void)state;
    write_through_pipe(0);
    write_through_pipe(O_NONBLOCK);
}

static void a_read_collects_what_comes_in_pieces(void **state)
{
    int ends[2];
    char text[16] = "";

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        struct timespec pause = {.tv_nsec = 20000000};
        for (const char *piece = "abcdef"; *piece != '\0'; piece++) {
            (void)!write(ends[1], piece, 1);
            (void)nanosleep(&pause, NULL);
        }
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(dray_read_full(ends[0], text, 4), 4);
    assert_string_equal(text, "abcd");
    assert_int_equal(dray_read_full(ends[0], text, sizeof text), 2); /* the end */
    assert_int_equal(dray_read_full(ends[0], text, sizeof text), 0);
    (void)close(ends[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(dray_read_full(-1, text, 1), -1);
    assert_int_equal(errno, EBADF);
}

static void reading_at_an_offset_checks_the_offset(void **state)
{
    struct place *place = *state;
    char text[16] = "";

    put(place, "f", "0123456789");
    dray_autoclose int fd = openat(place->fd, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dray_pread_full(fd, text, 4, 3), 4);
    assert_memory_equal(text, "3456", 4);
    assert_int_equal(dray_pread_full(fd, text, 4, 8), 2);
    assert_int_equal(dray_pread_full(fd, text, 4, 100), 0);
    assert_int_equal(dray_pread_full(fd, text, 4, (uint64_t)INT64_MAX - 1), -1);
    assert_int_equal(errno, EOVERFLOW);
    assert_int_equal(dray_pread_full(fd, text, 4, UINT64_MAX), -1);
}

static void writing_at_an_offset_leaves_what_is_around_it(void **state)
{
    struct place *place = *state;
    char text[16] = "";

    put(place, "f", "0123456789");
    dray_autoclose int fd = openat(place->fd, "f", O_RDWR | O_CLOEXEC);
    assert_int_equal(dray_pwrite_all(fd, "abc", 3, 4), 0);
    assert_int_equal(dray_pread_full(fd, text, sizeof text, 0), 10);
    assert_memory_equal(text, "0123abc789", 10);
    assert_int_equal(dray_pwrite_all(fd, "abc", 3, (uint64_t)INT64_MAX - 1), -1);
    assert_int_equal(errno, EOVERFLOW);
    assert_int_equal(dray_pwrite_all(-1, "abc", 3, 0), -1);
    assert_int_equal(errno, EBADF);
}

static void closing_says_what_went_wrong(void **state)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)state;
    int number = fd;
    assert_int_equal(dray_close(&fd), 0);
    assert_int_equal(fd, -1);
    assert_int_equal(dray_close(&number), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(number, -1);
}

static void a_file_is_read_up_to_the_cap(void **state)
{
    struct place *place = *state;
    struct dray_buffer buffer = {.cap = 13};
    struct dray_error error = {0};
    dray_autofree char *path = in_place(place, "f");

    put(place, "f", "0123456789");
    dray_buffer_text(&buffer, "abc");
    assert_int_equal(dray_read_file(path, &buffer, &error), 0);
    assert_string_equal(buffer.data, "abc0123456789");
    dray_buffer_clear(&buffer);
    dray_buffer_text(&buffer, "abcd");
    assert_int_equal(dray_read_file(path, &buffer, &error), DRAY_INVALID);
    assert_non_null(strstr(error.message, path));
    assert_non_null(strstr(error.message, "larger than the 13 bytes"));
    assert_int_equal(buffer.length, 4); /* nothing of it is left */
    assert_string_equal(buffer.data, "abcd");
    assert_int_equal(buffer.failed, 0);
    dray_buffer_free(&buffer);
}

static void files_that_do_not_say_their_size_are_read_whole(void **state)
{
    struct place *place = *state;
    struct dray_buffer buffer = {.cap = 1 << 20};
    struct dray_error error = {0};
    dray_autofree char *empty = in_place(place, "empty");

    assert_int_equal(dray_read_file("/proc/self/status", &buffer, &error), 0);
    assert_true(buffer.length > 100);
    assert_non_null(strstr(buffer.data, "VmPeak"));
    assert_non_null(strstr(buffer.data, "voluntary_ctxt_switches"));
    dray_buffer_clear(&buffer);
    put(place, "empty", "");
    assert_int_equal(dray_read_file(empty, &buffer, &error), 0);
    assert_int_equal(buffer.length, 0);
    dray_buffer_free(&buffer);
}

/* Opening it would wait for a writer, and no signal would end that. */
static void a_pipe_is_read_if_somebody_writes_and_empty_if_nobody_does(void **state)
{
    struct place *place = *state;
    struct dray_buffer buffer = {.cap = 1 << 20};
    struct dray_error error = {0};
    dray_autofree char *path = in_place(place, "pipe");

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(dray_read_file(path, &buffer, &error), 0);
    assert_int_equal(buffer.length, 0);
    int writer = open(path, O_RDWR | O_CLOEXEC);
    assert_true(writer >= 0);
    pid_t child = fork();
    if (child == 0) {
        (void)usleep(50000);
        _exit(write(writer, "late", 4) == 4 ? 0 : 1);
    }
    (void)close(writer);
    assert_int_equal(dray_read_file(path, &buffer, &error), 0);
    assert_int_equal(buffer.length, 4);
    assert_int_equal(waitpid(child, NULL, 0), child);
    dray_buffer_free(&buffer);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    struct place *place = *state;
    struct dray_buffer buffer = {.cap = 100};
    struct dray_error error = {0};
    dray_autofree char *path = in_place(place, "missing");

    assert_int_equal(dray_read_file(path, &buffer, &error), DRAY_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(dray_read_file(place->path, &buffer, &error), DRAY_CONFLICT);
    assert_non_null(strstr(error.message, "Is a directory"));
    dray_buffer_free(&buffer);
}

static void writing_a_file_replaces_it_with_the_given_mode(void **state)
{
    struct place *place = *state;
    struct dray_buffer buffer = {.cap = 100};
    struct dray_error error = {0};
    struct stat status;
    dray_autofree char *path = in_place(place, "f");
    mode_t before = umask(0077);

    put(place, "f", "old, and longer than the new");
    assert_int_equal(dray_write_file(path, "new", 3, 0644, &error), 0);
    (void)umask(before);
    assert_int_equal(dray_read_file(path, &buffer, &error), 0);
    assert_string_equal(buffer.data, "new");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    dray_buffer_free(&buffer);
    assert_int_equal(unlinkat(place->fd, "f", 0), 0);
    assert_int_equal(rmdir(place->path), 0); /* nothing else was left */
    assert_int_equal(mkdir(place->path, 0700), 0);
}

static void writing_a_file_replaces_a_link_and_not_what_it_names(void **state)
{
    struct place *place = *state;
    struct dray_buffer buffer = {.cap = 100};
    struct dray_error error = {0};
    struct stat status;
    dray_autofree char *path = in_place(place, "link");
    dray_autofree char *precious = in_place(place, "precious");

    put(place, "precious", "keep");
    assert_int_equal(symlinkat("precious", place->fd, "link"), 0);
    assert_int_equal(dray_write_file(path, "new", 3, 0600, &error), 0);
    assert_int_equal(lstat(path, &status), 0);
    assert_true(S_ISREG(status.st_mode));
    assert_int_equal(dray_read_file(precious, &buffer, &error), 0);
    assert_string_equal(buffer.data, "keep");
    dray_buffer_free(&buffer);
}

static void a_write_that_fails_leaves_nothing(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    dray_autofree char *missing = in_place(place, "no/f");
    dray_autofree char *directory = in_place(place, "d");

    assert_int_equal(dray_write_file(missing, "x", 1, 0600, &error), DRAY_NOT_FOUND);
    assert_non_null(strstr(error.message, missing));
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(dray_write_file(directory, "x", 1, 0600, &error), DRAY_CONFLICT);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(rmdir(place->path), 0); /* no temporary file either */
    assert_int_equal(mkdir(place->path, 0700), 0);
}

static void missing_directories_are_made(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    struct stat status;
    dray_autofree char *deep = in_place(place, "a//b/./c/");
    dray_autofree char *through = in_place(place, "f/x");
    dray_autofree char *file = in_place(place, "f");

    assert_int_equal(dray_make_directories(deep, 0700, &error), 0);
    assert_int_equal(dray_make_directories(deep, 0700, &error), 0);
    assert_int_equal(fstatat(place->fd, "a/b/c", &status, 0), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(dray_make_directories("/", 0700, &error), 0);
    put(place, "f", "");
    assert_int_equal(dray_make_directories(through, 0700, &error), DRAY_CONFLICT);
    assert_non_null(strstr(error.message, file));
    assert_int_equal(dray_make_directories("", 0700, &error), DRAY_INVALID);
    assert_int_equal(dray_make_directories("/proc/no/such", 0700, &error), DRAY_NOT_FOUND);
}

static void paths_become_absolute(void **state)
{
    static const char *const rows[][3] = {
        {"/base", "/a/b", "/a/b"},
        {"/base", "a", "/base/a"},
        {"/base/", "./a//b/.", "/base/a/b"},
        {"/base", "../a", "/base/../a"},
        {"/base", "", "/base"},
        {"/", "..x/.y", "/..x/.y"},
        {"/", ".", "/"},
        {"/base", "//", "/"},
    };

    (void)state;
    for (size_t i = 0; i < DRAY_COUNT(rows); i++) {
        dray_autofree char *path = dray_path_absolute(rows[i][0], rows[i][1]);
        assert_string_equal(path, rows[i][2]);
    }
    dray_autofree char *here = getcwd(NULL, 0);
    dray_autofree char *wanted = dray_format("%s/some/where", strcmp(here, "/") == 0 ? "" : here);
    dray_autofree char *from_null = dray_path_absolute(NULL, "some/where");
    dray_autofree char *from_relative = dray_path_absolute("./some", "where");
    assert_string_equal(from_null, wanted);
    assert_string_equal(from_relative, wanted);
}

/* ---- Removing ---- */

static void everything_below_a_name_is_removed(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    assert_int_equal(mkdirat(place->fd, "t", 0700), 0);
    for (int i = 0; i < 300; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "t/d%d", i);
        assert_int_equal(mkdirat(place->fd, name, 0700), 0);
        (void)snprintf(name, sizeof name, "t/d%d/f", i);
        put(place, name, "x");
        (void)snprintf(name, sizeof name, "t/f%d", i);
        put(place, name, "x");
    }
    assert_int_equal(mkfifoat(place->fd, "t/fifo", 0600), 0);
    assert_int_equal(symlinkat("/nonexistent", place->fd, "t/broken"), 0);
    assert_int_equal(dray_remove_tree(place->fd, "t", &error), 0);
    assert_false(is_there(place, "t"));
    put(place, "file", "x");
    assert_int_equal(dray_remove_tree(place->fd, "file", &error), 0);
    assert_false(is_there(place, "file"));
    assert_int_equal(dray_remove_tree(place->fd, "file", &error), 0); /* a missing one is fine */
}

static void links_are_removed_and_not_followed(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    assert_int_equal(mkdirat(place->fd, "precious", 0700), 0);
    put(place, "precious/f", "x");
    assert_int_equal(mkdirat(place->fd, "t", 0700), 0);
    assert_int_equal(symlinkat("../precious", place->fd, "t/link"), 0);
    assert_int_equal(symlinkat("precious", place->fd, "top"), 0);
    assert_int_equal(dray_remove_tree(place->fd, "t", &error), 0);
    assert_int_equal(dray_remove_tree(place->fd, "top", &error), 0);
    assert_false(is_there(place, "t"));
    assert_false(is_there(place, "top"));
    assert_true(is_there(place, "precious/f"));
}

static void what_is_held_is_removed_and_nothing_else(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};

    assert_int_equal(mkdirat(place->fd, "ours", 0700), 0);
    assert_int_equal(mkdirat(place->fd, "ours/d", 0), 0);
    put(place, "ours/f", "x");
    assert_int_equal(symlinkat("../theirs", place->fd, "ours/link"), 0);
    assert_int_equal(mkdirat(place->fd, "theirs", 0700), 0);
    put(place, "theirs/f", "x");
    dray_autoclose int held = openat(place->fd, "ours", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dray_remove_held(place->fd, "theirs", held, &error), DRAY_CONFLICT);
    assert_true(is_there(place, "theirs/f"));
    assert_true(is_there(place, "ours/f"));
    assert_int_equal(dray_remove_held(place->fd, "ours", held, &error), 0);
    assert_false(is_there(place, "ours"));
    assert_true(is_there(place, "theirs/f"));
    assert_int_equal(dray_remove_held(place->fd, "ours", held, &error), 0); /* it is gone */
}

static void more_than_one_name_is_refused(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    static const char *const names[] = {"", ".", "..", "a/b", "/", "a/", "../x"};

    for (size_t i = 0; i < DRAY_COUNT(names); i++)
        assert_int_equal(dray_remove_tree(place->fd, names[i], &error), DRAY_BUG);
}

static void a_path_may_lead_to_what_is_removed(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    dray_autofree char *path = in_place(place, "d/link");
    dray_autofree char *missing = in_place(place, "no/such");
    dray_autofree char *itself = in_place(place, "d/.");
    dray_autofree char *empty = in_place(place, "d/");

    assert_int_equal(mkdirat(place->fd, "d", 0700), 0);
    assert_int_equal(mkdirat(place->fd, "precious", 0700), 0);
    assert_int_equal(symlinkat("../precious", place->fd, "d/link"), 0);
    assert_int_equal(dray_remove_tree(AT_FDCWD, path, &error), 0);
    assert_false(is_there(place, "d/link"));
    assert_true(is_there(place, "precious"));
    assert_int_equal(dray_remove_tree(AT_FDCWD, missing, &error), 0);
    assert_int_equal(dray_remove_tree(AT_FDCWD, itself, &error), DRAY_BUG);
    assert_int_equal(dray_remove_tree(AT_FDCWD, empty, &error), DRAY_BUG);
    assert_true(is_there(place, "d"));
}

/* A chain of directories with files beside it at every level, `depth` deep. */
static void make_chain(const struct place *place, int depth)
{
    int fd = dup(place->fd);

    for (int i = 0; i < depth; i++) {
        assert_int_equal(mkdirat(fd, "m", 0700), 0);
        int below = openat(fd, "m", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(below >= 0);
        (void)close(fd);
        fd = below;
        for (const char *name = "az"; i % 10 == 0 && *name != '\0'; name++) {
            const char text[] = {*name, '\0'};
            assert_int_equal(mkdirat(fd, text, 0700), 0);
        }
    }
    (void)close(fd);
}

static void a_very_deep_tree_is_removed_with_few_descriptors(void **state)
{
    struct place *place = *state;
    struct dray_error error = {0};
    struct rlimit before;

    make_chain(place, 5000);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit few = {.rlim_cur = 128, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int result = dray_remove_tree(place->fd, "m", &error);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    if (result != 0)
        fail_msg("%s", error.message);
    assert_false(is_there(place, "m"));
}

/* In a child that is not root, whom permissions would not stop. */
static void as_nobody(const struct place *place, void (*work)(const struct place *place))
{
    if (geteuid() == 0)
        assert_int_equal(chown(place->path, 65534, 65534), 0);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 &&
            (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0))
            _exit(99);
        work(place);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* In a child cmocka's asserts cannot be used. */
#define MUST(CONDITION)                                                                            \
    do {                                                                                           \
        if (!(CONDITION)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s\n", __LINE__, #CONDITION);                          \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void remove_closed_directories(const struct place *place)
{
    struct dray_error error = {0};

    MUST(mkdirat(place->fd, "t", 0700) == 0);
    MUST(mkdirat(place->fd, "t/a", 0700) == 0);
    MUST(mkdirat(place->fd, "t/a/b", 0700) == 0);
    MUST(symlinkat("f", place->fd, "t/a/b/f") == 0);
    MUST(fchmodat(place->fd, "t/a/b", 0000, 0) == 0);
    MUST(fchmodat(place->fd, "t/a", 0500, 0) == 0);
    MUST(fchmodat(place->fd, "t", 0000, 0) == 0);
    MUST(dray_remove_tree(place->fd, "t", &error) == 0);
    MUST(!is_there(place, "t"));
}

static void directories_that_nobody_may_enter_are_removed(void **state)
{
    as_nobody(*state, remove_closed_directories);
}

static void remove_what_is_not_ours(const struct place *place)
{
    struct dray_error error = {0};

    MUST(dray_remove_tree(place->fd, "theirs", &error) == DRAY_DENIED);
    MUST(strstr(error.message, "theirs/") != NULL);
    MUST(strstr(error.message, "Permission denied") != NULL);
    /* A link that cannot be removed is not gone through either. */
    MUST(dray_remove_tree(place->fd, "links", &error) == DRAY_DENIED);
    MUST(strstr(error.message, "links/ours") != NULL);
}

static void what_may_not_be_removed_is_named(void **state)
{
    struct place *place = *state;

    if (geteuid() != 0)
        skip(); /* nothing here belongs to somebody else */
    assert_int_equal(mkdirat(place->fd, "theirs", 0755), 0);
    put(place, "theirs/f", "x");
    assert_int_equal(mkdirat(place->fd, "ours", 0777), 0);
    put(place, "ours/f", "x");
    assert_int_equal(fchownat(place->fd, "ours", 65534, 65534, 0), 0);
    assert_int_equal(fchownat(place->fd, "ours/f", 65534, 65534, 0), 0);
    assert_int_equal(mkdirat(place->fd, "links", 0755), 0);
    assert_int_equal(symlinkat("../ours", place->fd, "links/ours"), 0);
    as_nobody(place, remove_what_is_not_ours);
    assert_true(is_there(place, "theirs/f"));
    assert_true(is_there(place, "links/ours"));
    assert_true(is_there(place, "ours/f"));
}

/* Exits with 77 where nothing can be mounted. */
static void remove_around_a_mount(struct place *place, unsigned long flags)
{
    struct dray_error error = {0};
    dray_autofree char *path = in_place(place, "t/d");
    dray_autofree char *from = in_place(place, "from");

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(flags ? from : "none", path, flags ? NULL : "tmpfs", flags, NULL) != 0)
        _exit(77);
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* of this name space */
    put(place, "t/d/f", "x");
    MUST(dray_remove_tree(place->fd, "t", &error) == DRAY_CONFLICT);
    MUST(strstr(error.message, "another file system is mounted there") != NULL);
    MUST(is_there(place, "t/d/f"));
}

/* A bind mount is of the same device. */
static void what_is_mounted_is_not_entered(void **state)
{
    struct place *place = *state;

    assert_int_equal(mkdirat(place->fd, "t", 0700), 0);
    assert_int_equal(mkdirat(place->fd, "t/d", 0700), 0);
    assert_int_equal(mkdirat(place->fd, "from", 0700), 0);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        int status = 0;
        assert_true(child >= 0);
        if (child == 0) {
            remove_around_a_mount(place, i == 0 ? 0 : MS_BIND);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
    }
}

/* What a runner may do beside a delivery: make and remove directories, nothing more. */
static void remove_under_landlock(const struct place *place)
{
    struct landlock_ruleset_attr handled = {.handled_access_fs = LANDLOCK_ACCESS_FS_REMOVE_DIR |
                                                                 LANDLOCK_ACCESS_FS_REMOVE_FILE};
    struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_REMOVE_DIR};
    struct dray_error error = {0};

    MUST(mkdirat(place->fd, "t", 0700) == 0);
    MUST(mkdirat(place->fd, "t/a", 0700) == 0);
    put(place, "f", "x");
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
    if (ruleset < 0)
        return; /* a kernel without it */
    rule.parent_fd = place->fd;
    MUST(syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0);
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(syscall(SYS_landlock_restrict_self, ruleset, 0) == 0);
    MUST(dray_remove_tree(place->fd, "t", &error) == 0);
    MUST(!is_there(place, "t"));
    MUST(dray_remove_tree(place->fd, "f", &error) == DRAY_DENIED);
}

static void directories_are_removed_where_files_may_not_be(void **state)
{
    as_nobody(*state, remove_under_landlock);
}

#define IN_PLACE(TEST) cmocka_unit_test_setup_teardown(TEST, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_survives_interrupts_and_full_pipes),
        cmocka_unit_test(a_read_collects_what_comes_in_pieces),
        IN_PLACE(reading_at_an_offset_checks_the_offset),
        IN_PLACE(writing_at_an_offset_leaves_what_is_around_it),
        cmocka_unit_test(closing_says_what_went_wrong),
        IN_PLACE(a_file_is_read_up_to_the_cap),
        IN_PLACE(files_that_do_not_say_their_size_are_read_whole),
        IN_PLACE(a_pipe_is_read_if_somebody_writes_and_empty_if_nobody_does),
        IN_PLACE(a_file_that_cannot_be_read_is_named),
        IN_PLACE(writing_a_file_replaces_it_with_the_given_mode),
        IN_PLACE(writing_a_file_replaces_a_link_and_not_what_it_names),
        IN_PLACE(a_write_that_fails_leaves_nothing),
        IN_PLACE(missing_directories_are_made),
        cmocka_unit_test(paths_become_absolute),
        IN_PLACE(everything_below_a_name_is_removed),
        IN_PLACE(links_are_removed_and_not_followed),
        IN_PLACE(what_is_held_is_removed_and_nothing_else),
        IN_PLACE(what_is_mounted_is_not_entered),
        IN_PLACE(more_than_one_name_is_refused),
        IN_PLACE(a_path_may_lead_to_what_is_removed),
        IN_PLACE(a_very_deep_tree_is_removed_with_few_descriptors),
        IN_PLACE(directories_that_nobody_may_enter_are_removed),
        IN_PLACE(what_may_not_be_removed_is_named),
        IN_PLACE(directories_are_removed_where_files_may_not_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
