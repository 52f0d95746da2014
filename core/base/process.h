/* SPDX-License-Identifier: MIT */
/* process.h - the one function that starts processes (posix_spawn) and the one that reaps them
 * (pidfd). */
#ifndef DRAY_BASE_PROCESS_H
#define DRAY_BASE_PROCESS_H

#include <sys/types.h>

#include "core/base/error.h"

struct dray_process {
    pid_t pid;
    int pidfd; /* readable when it has ended */
};

/* Start argv[0] (an absolute path). fds[i] becomes descriptor i of the child; -1: /dev/null. Of 0
 * to 2 those past fd_count are inherited; all others are closed. environment NULL: ours. Signals
 * are unblocked and at their defaults, except that SIGINT and SIGQUIT stay blocked when `quiet`
 * (the parent decides what an interrupt means). */
DRAY_MUST_CHECK int dray_process_start(struct dray_process *ret_process, const char *const *argv,
                                       const char *const *environment, const int *fds,
                                       size_t fd_count, int quiet, struct dray_error *error);
/* The same, quiet, as the leader of a process group of its own. */
DRAY_MUST_CHECK int dray_process_start_group(struct dray_process *ret_process,
                                             const char *const *argv,
                                             const char *const *environment, const int *fds,
                                             size_t fd_count, struct dray_error *error);
/* A wait status that is neither an exit nor a signal: the child was not there to be reaped. */
#define DRAY_STATUS_UNKNOWN (-1)
/* Wait up to timeout_ms (-1: for ever). 1: ended, *ret_status as from waitpid and pidfd closed; 0:
 * still running. */
int dray_process_wait(struct dray_process *process, int timeout_ms, int *ret_status);
void dray_process_signal(const struct dray_process *process, int signal_number);
/* To all of its group, which is there until it is waited for, also once it has ended. */
void dray_process_signal_group(const struct dray_process *process, int signal_number);
/* Watch a child of a process: pidfd, and a group if it leads one. -1 when it is not one, or has
 * ended and is waited for; it can be signalled, not waited for. */
int dray_process_watch(struct dray_process *ret_process, pid_t pid, pid_t parent);
/* Kill the group of a watched process, if it has not ended, and watch it no more. */
void dray_process_unwatch(struct dray_process *process, int is_killed);
/* "exited with status 3" or "died of SIGSEGV (segmentation fault)". Returns text. */
char *dray_status_print(int status, char text[static 80]);

/* A helper program: beside this executable, else in the directory where they are installed. Frees:
 * caller. */
DRAY_MUST_CHECK char *dray_helper_path(const char *name, struct dray_error *error);

#endif
