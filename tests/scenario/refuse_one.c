/* SPDX-License-Identifier: MIT */
/*
 * refuse_one.c - run a program in which one system call fails:
 *     refuse_one NAME ERRNO BELOW NUMBER COUNTED PROGRAM ARGUMENT...
 * Of the calls of NAME on a descriptor of something at or below the directory BELOW, call NUMBER
 * (from 1; 0: none) fails with ERRNO. Of close, only those of what can be written count. How many
 * there were, and of what the one that failed was, is written to the file COUNTED. A close that
 * fails closes nothing.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAL 4096

/* Shares its descriptors with us until it executes the program, and so the filter's. */
static void run(int call, int told, char **program)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int listener = -1;

    if (filter == NULL || seccomp_rule_add(filter, SCMP_ACT_NOTIFY, call, 0) != 0 ||
        seccomp_load(filter) != 0 || (listener = seccomp_notify_fd(filter)) < 0 ||
        write(told, &listener, sizeof(listener)) != sizeof(listener))
        _exit(98);
    (void)execv(program[0], program);
    _exit(97);
}

static int is_written(pid_t pid, unsigned fd)
{
    char path[64], line[128];
    unsigned flags = 0;

    (void)snprintf(path, sizeof(path), "/proc/%ld/fdinfo/%u", (long)pid, fd);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "flags: %o", &flags) == 1)
            break;
    if (file != NULL)
        (void)fclose(file);
    return (flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH);
}

static int is_below(pid_t pid, unsigned fd, const char *below, char real[static REAL])
{
    char path[64];
    size_t length = strlen(below);

    (void)snprintf(path, sizeof(path), "/proc/%ld/fd/%u", (long)pid, fd);
    ssize_t got = readlink(path, real, REAL - 1);
    real[got > 0 ? got : 0] = '\0';
    return strncmp(real, below, length) == 0 && (real[length] == '\0' || real[length] == '/');
}

static void answer(int listener, struct seccomp_notif *asked, struct seccomp_notif_resp *response,
                   int fails, int error)
{
    memset(response, 0, sizeof(*response));
    response->id = asked->id;
    response->error = fails ? -error : 0;
    response->flags = fails ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    (void)seccomp_notify_respond(listener, response);
}

int main(int argc, char **argv)
{
    int pipes[2], listener = -1, status = 0;
    char real[REAL], failed[REAL] = "";
    unsigned long count = 0;
    struct seccomp_notif *asked = NULL;
    struct seccomp_notif_resp *response = NULL;

    if (argc < 7 || pipe(pipes) != 0 || seccomp_notify_alloc(&asked, &response) != 0)
        return 99;
    int call = seccomp_syscall_resolve_name(argv[1]), is_close = strcmp(argv[1], "close") == 0;
    unsigned long wanted = strtoul(argv[4], NULL, 10);
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        run(call, pipes[1], argv + 6);
    if (child < 0 || read(pipes[0], &listener, sizeof(listener)) != sizeof(listener))
        return 99;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        if (poll(&ready, 1, 50) <= 0 || !(ready.revents & POLLIN))
            continue;
        memset(asked, 0, sizeof(*asked));
        if (seccomp_notify_receive(listener, asked) != 0)
            continue;
        unsigned fd = (unsigned)asked->data.args[0];
        int counts = is_below((pid_t)asked->pid, fd, argv[3], real) &&
                     (!is_close || is_written((pid_t)asked->pid, fd));
        count += counts ? 1 : 0;
        if (counts && count == wanted)
            (void)strcpy(failed, real);
        answer(listener, asked, response, counts && count == wanted, atoi(argv[2]));
    }
    FILE *counted = fopen(argv[5], "w");
    if (counted == NULL || fprintf(counted, "%lu\n%s\n", count, failed) < 0 || fclose(counted) != 0)
        return 99;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 96;
}
