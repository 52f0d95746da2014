/* SPDX-License-Identifier: MIT */
/* launch.h - a runner process and the conversation with it. */
#ifndef DRAY_ENGINE_LAUNCH_H
#define DRAY_ENGINE_LAUNCH_H

#include "core/base/process.h"
#include "core/engine/engine.h"
#include "core/run/blame.h"
#include "core/run/pipe.h"

struct dray_runner {
    struct dray_process process;
    struct dray_pipe pipe;
    struct dray_blame_page *blame;
    json_t *steps;                 /* what it runs, [{"id", "uses"}], to name who is to blame */
    struct dray_process *programs; /* that a source of it runs: none may outlive the runner */
    size_t program_count, program_capacity;
    int64_t cancelled_at; /* CLOCK_MONOTONIC, ns; 0: not */
    int running;
};

/* A program is run for a step only as the site's configuration of now has it. DRAY_DENIED. */
DRAY_MUST_CHECK int dray_program_allowed(const struct dray_engine *engine,
                                         const struct dray_step *step, struct dray_error *error);

/* Descriptors that a runner gets, borrowed; -1: the null device. */
struct dray_runner_files {
    int log;      /* gets what it and its plugins print */
    int preview;  /* gets a preview */
    int listing;  /* the list that stands for the source */
    int recorded; /* what the catalog records of the dataset's files */
};
#define DRAY_RUNNER_FILES                                                                          \
    {                                                                                              \
        -1, -1, -1, -1                                                                             \
    }
/* Start a runner and tell it what to do; takes `start`. */
DRAY_MUST_CHECK int dray_runner_start(struct dray_engine *engine, struct dray_runner *runner,
                                      json_t *start, const struct dray_runner_files *files,
                                      struct dray_error *error);
/* The next message: 1; 0 when the runner has closed the pipe; or a class. An interrupt of the user
 * is passed on as a cancel; a second one, or no answer to the first, kills. */
DRAY_MUST_CHECK int dray_runner_next(struct dray_engine *engine, struct dray_runner *runner,
                                     json_t **ret_message, struct dray_error *error);
/* Ask it to stop: its pushes clean up. dray_runner_next kills one that takes too long. */
void dray_runner_cancel(struct dray_runner *runner);
/* Wait for its end (killing what will not end) and say what the end was: 0 when it ended by itself
 * and well; else DRAY_BUG with the step and plugin to blame. *ret_step: the plan's step to blame,
 * or -1. */
int dray_runner_end(struct dray_runner *runner, long *ret_step, struct dray_error *error);

/* Kill it if it runs, and free what is left. Every started runner ends with this. */
void dray_runner_drop(struct dray_runner *runner);

/* What a plan's plugins read and where they lie, for the sandbox: {"reads": [...], "plugins":
 * [...]} put into start. */
DRAY_MUST_CHECK int dray_grants_of_step(struct dray_engine *engine, const char *uses,
                                        const char *file, const json_t *with, int deliveries,
                                        json_t *start, struct dray_error *error);

#endif
