/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - what a runner may still do once it has given its rights away: limits, no_new_privs,
 * Landlock, seccomp, in this order, on one thread, before any plugin is loaded. It guards against a
 * plugin's bugs and hostile data, not against a hostile plugin (SECURITY.md).
 */
#ifndef DRAY_RUN_SANDBOX_H
#define DRAY_RUN_SANDBOX_H

#include "core/base/error.h"

enum dray_grant_kind {
    DRAY_GRANT_READ,    /* read files and list directories at and below it */
    DRAY_GRANT_WRITE,   /* everything at and below it but executing */
    DRAY_GRANT_REMOVE,  /* read and remove what is at and below it */
    DRAY_GRANT_DELIVER, /* make and remove directories, nothing more: a target's parent */
    DRAY_GRANT_EXECUTE, /* read and execute what is at and below it */
    DRAY_GRANT_CONNECT, /* connect to a TCP port: fd is its number */
};

/* What stays open. Start with `= { 0 }`. */
struct dray_sandbox {
    struct dray_grant {
        enum dray_grant_kind kind;
        char *path; /* or, when NULL: */
        int fd;     /* borrowed, a directory */
    } * grants;
    size_t count, capacity;
};
/* A path that is not there is left out: nothing below it can be opened either. */
DRAY_MUST_CHECK int dray_sandbox_path(struct dray_sandbox *sandbox, enum dray_grant_kind kind,
                                      const char *path, struct dray_error *error);
DRAY_MUST_CHECK int dray_sandbox_fd(struct dray_sandbox *sandbox, enum dray_grant_kind kind, int fd,
                                    struct dray_error *error);
DRAY_MUST_CHECK int dray_sandbox_port(struct dray_sandbox *sandbox, int port,
                                      struct dray_error *error);
/* A program with what the kernel executes to start it: the interpreter of a script, the dynamic
 * loader. */
DRAY_MUST_CHECK int dray_sandbox_program(struct dray_sandbox *sandbox, const char *path,
                                         struct dray_error *error);
void dray_sandbox_free(struct dray_sandbox *sandbox);

/* Give the rights away. On a kernel without Landlock it is DRAY_UNSUPPORTED. */
DRAY_MUST_CHECK int dray_sandbox_enter(const struct dray_sandbox *sandbox,
                                       struct dray_error *error);
/* Limits alone: no core file, not traceable, as many descriptors as allowed. */
DRAY_MUST_CHECK int dray_sandbox_limits(struct dray_error *error);

#endif
