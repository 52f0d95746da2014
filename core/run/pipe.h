/* SPDX-License-Identifier: MIT */
/*
 * core/run - runs a plan inside a runner: a sandboxed process that loads the plan's plugins,
 * executes the DAG step by step and talks to its engine over a pipe. It knows nothing of the store.
 *
 * pipe.h - JSON objects, one a line, both ways between engine and runner (docs/formats.md lists
 * them).
 */
#ifndef DRAY_RUN_PIPE_H
#define DRAY_RUN_PIPE_H

#include <jansson.h>
#include <pthread.h>

#include "core/base/buffer.h"

/* The version that both sides say first; unequal ones are refused. */
#define DRAY_PIPE_VERSION 1
/* Largest line: a plan with its options, a receipt with what it lists. */
#define DRAY_PIPE_MAX_LINE (64u << 20)

struct dray_pipe {
    int in, out;                /* owned */
    struct dray_buffer pending; /* received and not yet taken */
    size_t taken;
    pthread_mutex_t sending; /* guards out */
};

DRAY_MUST_CHECK int dray_pipe_init(struct dray_pipe *pipe, int in, int out);
void dray_pipe_close(struct dray_pipe *pipe);
/* Send one object; safe on several threads. Takes the reference. DRAY_TEMPORARY when the other side
 * is gone. */
DRAY_MUST_CHECK int dray_pipe_send(struct dray_pipe *pipe, json_t *message,
                                   struct dray_error *error);
/* The next object: 1 and *ret_message; 0 at the end of input; a class when it is no object, too
 * long or unreadable. With wait 0 only what has arrived is looked at: 2 says that more has to come.
 */
DRAY_MUST_CHECK int dray_pipe_receive(struct dray_pipe *pipe, int wait, json_t **ret_message,
                                      struct dray_error *error);

#endif
