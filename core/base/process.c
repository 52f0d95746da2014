/* SPDX-License-Identifier: MIT */
/* process.c - see process.h. */
#include "core/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "core/base/text.h"

/* Descriptors 0 to 2 are the child's even when the caller does not name them. */
#define STANDARD_DESCRIPTORS ((size_t)3)

/* What a child is started with, in one place so that it is given back in one. */
struct preparation {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int have_actions;
    int have_attributes;
    int *copies; /* of the caller's descriptors, with numbers that are no child's */
    size_t copy_count;
};

static void free_preparation(struct preparation *preparation)
{
    if (preparation->have_actions)
        (void)posix_spawn_file_actions_destroy(&preparation->actions);
    if (preparation->have_attributes)
        (void)posix_spawnattr_destroy(&preparation->attributes);
    for (size_t i = 0; i < preparation->copy_count; i++)
        (void)close(preparation->copies[i]);
    free(preparation->copies);
}

/* fds[i] as descriptor i. Through copies above all of them, so that no dup2 overwrites one that is
 * still needed, and none is onto itself, which would leave CLOEXEC set. Returns an errno. */
static int place_descriptors(struct preparation *preparation, const int *fds, size_t fd_count)
{
    size_t kept = fd_count > STANDARD_DESCRIPTORS ? fd_count : STANDARD_DESCRIPTORS;

    if (fd_count > INT_MAX / 2)
        return EINVAL;
    dray_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return errno;
    preparation->copies = calloc(fd_count + 1, sizeof *preparation->copies);
    if (preparation->copies == NULL)
        return ENOMEM;
    for (size_t i = 0; i < fd_count; i++) {
        int copy = fcntl(fds[i] < 0 ? null : fds[i], F_DUPFD_CLOEXEC, (int)kept);
        if (copy < 0)
            return errno;
        preparation->copies[preparation->copy_count++] = copy;
        int failed = posix_spawn_file_actions_adddup2(&preparation->actions, copy, (int)i);
        if (failed != 0)
            return failed;
    }
    /* Everything of ours is CLOEXEC; this is for what a library opened without it. */
    return posix_spawn_file_actions_addclosefrom_np(&preparation->actions, (int)kept);
}

static int set_signals(struct preparation *preparation, int quiet, short more)
{
    posix_spawnattr_t *attributes = &preparation->attributes;
    sigset_t blocked;
    sigset_t defaults;

    (void)sigemptyset(&blocked);
    if (quiet) {
        (void)sigaddset(&blocked, SIGINT);
        (void)sigaddset(&blocked, SIGQUIT);
    }
    (void)sigfillset(&defaults);
    (void)sigdelset(&defaults, SIGKILL);
    (void)sigdelset(&defaults, SIGSTOP);
    int failed = posix_spawnattr_setsigmask(attributes, &blocked);
    if (failed == 0)
        failed = posix_spawnattr_setsigdefault(attributes, &defaults);
    if (failed == 0)
        failed = posix_spawnattr_setflags(
            attributes, (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | more));
    return failed;
}

/* Returns an errno. */
static int prepare(struct preparation *preparation, const int *fds, size_t fd_count, int quiet,
                   short more)
{
    int failed = posix_spawn_file_actions_init(&preparation->actions);
    if (failed != 0)
        return failed;
    preparation->have_actions = 1;
    failed = posix_spawnattr_init(&preparation->attributes);
    if (failed != 0)
        return failed;
    preparation->have_attributes = 1;
    failed = set_signals(preparation, quiet, more);
    return failed != 0 ? failed : place_descriptors(preparation, fds, fd_count);
}

/* posix_spawn takes arrays that it could write but does not. */
static char *const *unconst(const char *const *strings)
{
    union {
        const char *const *from;
        char *const *to;
    } both = {.from = strings};

    return both.to;
}

static int start(struct dray_process *ret_process, const char *const *argv,
                 const char *const *environment, const int *fds, size_t fd_count, int quiet,
                 short more, struct dray_error *error)
{
    dray_cleanup(free_preparation) struct preparation preparation = {0};
    pid_t pid;

    int failed = prepare(&preparation, fds, fd_count, quiet, more);
    if (failed == 0)
        failed = posix_spawn(&pid, argv[0], &preparation.actions, &preparation.attributes,
                             unconst(argv), environment == NULL ? environ : unconst(environment));
    if (failed != 0)
        return dray_fail_errno(error, failed, "cannot start %s", argv[0]);
    /* CLOEXEC by itself. The number is still the child's: only we can reap it. */
    long pidfd = syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        int reason = errno;
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return dray_fail_errno(error, reason, "cannot watch %s, which was stopped again", argv[0]);
    }
    *ret_process = (struct dray_process){.pid = pid, .pidfd = (int)pidfd};
    return 0;
}

int dray_process_start(struct dray_process *ret_process, const char *const *argv,
                       const char *const *environment, const int *fds, size_t fd_count, int quiet,
                       struct dray_error *error)
{
    return start(ret_process, argv, environment, fds, fd_count, quiet, 0, error);
}

/* The group's number is 0 by default, which means the child's own. */
int dray_process_start_group(struct dray_process *ret_process, const char *const *argv,
                             const char *const *environment, const int *fds, size_t fd_count,
                             struct dray_error *error)
{
    return start(ret_process, argv, environment, fds, fd_count, 1, POSIX_SPAWN_SETPGROUP, error);
}

/* 1 when the descriptor became readable in time. */
static int wait_readable(int fd, int timeout_ms)
{
    int64_t end = dray_monotonic() + (int64_t)timeout_ms * 1000000;
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    for (;;) {
        int ready = poll(&wait, 1, timeout_ms);
        /* A failed poll: who waits for ever is served by waitpid as well. */
        if (ready >= 0 || errno != EINTR)
            return ready < 0 ? timeout_ms < 0 : ready;
        if (timeout_ms > 0) {
            int64_t left = (end - dray_monotonic() + 999999) / 1000000;
            timeout_ms = left > 0 ? (int)left : 0;
        }
    }
}

int dray_process_wait(struct dray_process *process, int timeout_ms, int *ret_status)
{
    int status = DRAY_STATUS_UNKNOWN;
    pid_t reaped;

    if (process->pidfd < 0) {
        *ret_status = DRAY_STATUS_UNKNOWN;
        return 1;
    }
    if (!wait_readable(process->pidfd, timeout_ms))
        return 0;
    do
        reaped = waitpid(process->pid, &status, 0);
    while (reaped < 0 && errno == EINTR);
    /* ECHILD: somebody else reaped it, so how it ended is lost, and that is no success. */
    *ret_status = reaped == process->pid ? status : DRAY_STATUS_UNKNOWN;
    (void)close(process->pidfd);
    process->pidfd = -1;
    process->pid = -1;
    return 1;
}

void dray_process_signal(const struct dray_process *process, int signal_number)
{
    /* It may have ended by itself: then there is nobody to tell. */
    if (process->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, process->pidfd, signal_number, NULL, 0);
}

void dray_process_signal_group(const struct dray_process *process, int signal_number)
{
    if (process->pidfd >= 0 && process->pid > 1)
        (void)kill(-process->pid, signal_number);
}

/* Field 4 of /proc/PID/stat, behind a name that may hold anything. */
static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    int parent = -1;

    (void)snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    dray_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    const char *name_end = strrchr(text, ')');
    char *end = NULL;
    if (name_end != NULL && strlen(name_end) > 4)
        parent = (int)strtol(name_end + 4, &end, 10);
    return end != NULL && *end == ' ' ? parent : -1;
}

int dray_process_watch(struct dray_process *ret_process, pid_t pid, pid_t parent)
{
    long pidfd = pid > 1 ? syscall(SYS_pidfd_open, pid, 0) : -1;

    if (pidfd < 0)
        return -1;
    /* Of that very process: its number is not given again while it is held. */
    if (parent_of(pid) != parent || getpgid(pid) != pid) {
        (void)close((int)pidfd);
        return -1;
    }
    *ret_process = (struct dray_process){.pid = pid, .pidfd = (int)pidfd};
    return 0;
}

void dray_process_unwatch(struct dray_process *process, int is_killed)
{
    if (process->pidfd < 0)
        return;
    if (is_killed && !wait_readable(process->pidfd, 0))
        dray_process_signal_group(process, SIGKILL);
    (void)close(process->pidfd);
    *process = (struct dray_process){.pid = -1, .pidfd = -1};
}

char *dray_status_print(int status, char text[static 80])
{
    if (status != DRAY_STATUS_UNKNOWN && WIFEXITED(status)) {
        (void)snprintf(text, 80, "exited with status %d", WEXITSTATUS(status));
    } else if (status != DRAY_STATUS_UNKNOWN && WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        const char *meaning = sigdescr_np(WTERMSIG(status));
        if (name == NULL || meaning == NULL) {
            (void)snprintf(text, 80, "died of signal %d", WTERMSIG(status));
        } else {
            char first = meaning[0] >= 'A' && meaning[0] <= 'Z' ? (char)(meaning[0] + 'a' - 'A')
                                                                : meaning[0];
            (void)snprintf(text, 80, "died of SIG%s (%c%s)", name, first,
                           meaning + (first != '\0'));
        }
    } else {
        (void)snprintf(text, 80, "ended, nobody knows how");
    }
    return text;
}

/* The folder of this program's file. Frees: caller. */
static char *own_directory(struct dray_error *error)
{
    dray_autofree char *path = malloc(PATH_MAX);

    if (path == NULL) {
        (void)dray_fail_memory(error);
        return NULL;
    }
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    const char *slash = length > 0 && length < PATH_MAX ? memrchr(path, '/', (size_t)length) : NULL;
    if (slash == NULL) {
        (void)dray_fail_errno(error, length < 0 ? errno : ENAMETOOLONG,
                              "cannot tell where this program lies: reading /proc/self/exe failed");
        return NULL;
    }
    path[slash - path] = '\0';
    return DRAY_TAKE(path);
}

char *dray_helper_path(const char *name, struct dray_error *error)
{
    dray_autofree char *directory = own_directory(error);

    if (directory == NULL)
        return NULL;
    dray_autofree char *beside = dray_format("%s/%s", directory, name);
    dray_autofree char *installed = dray_format("%s/%s", DRAY_LIBEXECDIR, name);
    if (beside == NULL || installed == NULL) {
        (void)dray_fail_memory(error);
        return NULL;
    }
    if (access(beside, X_OK) == 0)
        return DRAY_TAKE(beside);
    if (access(installed, X_OK) == 0)
        return DRAY_TAKE(installed);
    (void)dray_fail(error, DRAY_NOT_FOUND,
                    "cannot find the helper program %s: it is neither %s nor %s", name, beside,
                    installed);
    dray_hint(error,
              "install Dray again (make install), or run it from the folder that it was built in");
    return NULL;
}
