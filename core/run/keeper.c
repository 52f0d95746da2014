/* SPDX-License-Identifier: MIT */
/*
 * keeper.c - the process that stands between a runner and a program of the site, so that the
 * program ends with all that it started, whoever is killed. It leads their process group, which
 * none of them can leave; it hears when the runner dies; what they leave behind becomes its child.
 */
#include "core/run/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/process.h"

/* Who is in a session or group of its own would outlive the kill of ours. */
static int close_group(struct dray_error *error)
{
    static const int refused[] = {SCMP_SYS(setsid), SCMP_SYS(setpgid)};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0)
        return dray_fail_errno(error, errno, "giving up new privileges");
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int result = filter ? 0 : -ENOMEM;
    for (size_t i = 0; result == 0 && i < DRAY_COUNT(refused); i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result == 0 ? 0 : dray_fail_errno(error, -result, "loading the system call filter");
}

static int start(char **argv, struct dray_process *ret_program, struct dray_error *error)
{
    const int fds[] = {-1, 1, 2, DRAY_KEEPER_SLOT};
    int has_slot = fcntl(DRAY_KEEPER_SLOT, F_GETFD) >= 0;

    if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) != 0)
        return dray_fail_errno(error, errno, "becoming the parent of what a program leaves behind");
    int result = close_group(error);
    if (result == 0)
        result = dray_process_start(ret_program, (const char *const *)argv, NULL, fds,
                                    has_slot ? 4 : 3, 1, error);
    /* Nothing of ours is taken for what it says; 0 is the null device. */
    if (result == 0 && (dup2(0, 1) < 0 || dup2(0, 2) < 0))
        result = dray_fail_errno(error, errno, "letting go of what %s writes", argv[0]);
    return result;
}

/* Its status, once it has ended. Without the parent nobody may go on, the keeper itself included.
 */
static int await(pid_t program, pid_t parent, const sigset_t *signals)
{
    pid_t ended;
    int status;

    for (;;) {
        if (getppid() != parent)
            (void)kill(0, SIGKILL);
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
            if (ended == program)
                return status;
        if (ended < 0 && errno == ECHILD)
            return DRAY_STATUS_UNKNOWN;
        (void)sigwaitinfo(signals, NULL);
    }
}

int dray_keeper_main(int argc, char **argv)
{
    struct dray_keeper_report report = {.status = DRAY_STATUS_UNKNOWN};
    struct dray_process program;
    sigset_t all;

    pid_t parent = argc > 3 ? (pid_t)strtol(argv[2], NULL, 10) : -1;
    /* What the program sends to its group, or the runner to end the program, is not meant for the
     * keeper; SIGTERM is also how it hears of its parent's end. */
    (void)sigfillset(&all);
    if (sigprocmask(SIG_BLOCK, &all, NULL) != 0 ||
        prctl(PR_SET_PDEATHSIG, (long)SIGTERM, 0L, 0L, 0L) != 0 || getppid() != parent ||
        getpgrp() != getpid() || fcntl(DRAY_KEEPER_REPORT, F_SETFD, FD_CLOEXEC) != 0)
        return 2;
    if (start(argv + 3, &program, &report.error) == 0)
        report.status = await(program.pid, parent, &all);
    return dray_write_all(DRAY_KEEPER_REPORT, &report, sizeof(report)) == 0 ? 0 : 1;
}
