/* SPDX-License-Identifier: MIT */
/*
 * core/engine - owns what happens: starts runners, turns what they say into state, answers requests
 * that were met before, takes up what was interrupted. It knows nothing of HTTP or of terminals.
 *
 * engine.h - the embedded engine: one process, one job at a time.
 */
#ifndef DRAY_ENGINE_ENGINE_H
#define DRAY_ENGINE_ENGINE_H

#include <jansson.h>

#include "core/plan/plan.h"
#include "core/store/store.h"

/* So many things that are left alone are told once; more are told again when they are met again. */
#define DRAY_ENGINE_LEFT 16

struct dray_engine {
    const char *state;        /* directory of the store, scratch and logs */
    struct dray_store *store; /* NULL: only ask and preview work */
    struct dray_registry *registry;
    const char *user, *actor;
    int unconfined;        /* run plugins without the sandbox */
    const json_t *sources; /* what the site configured, as struct dray_plan_request; with "grants":
                              {"exec", "read", "connect"} */
    /* roots that the site lets be delivered below, as destination.h; NULL: anywhere */
    const json_t *destinations;
    /* the user, where this process is another one, as proof.h; NULL: it is not */
    const json_t *whom;
    const char *scratch; /* where it has a directory; NULL: in the state directory */
    int64_t keep_failed; /* how long what was brought is kept for another try, ns, DRAY_NONE: for
                            ever */
    int64_t reserve;     /* bytes of scratch that stay free, */
    int reserve_percent; /* or percents of its file system, where that is not 0 */
    int interrupt_fd;    /* readable: the user wants to stop (signalfd); -1: none */
    /* Hears every event, with "job", "attempt" and "time" put in. May be NULL. */
    void (*on_event)(void *arg, const json_t *event);
    void *arg;
    /* Do the policies of now let the plan go on? Asked before each attempt, and of one push before
     * each commit, as dray_plan_recheck. NULL: nobody is asked. */
    int (*recheck)(void *arg, const struct dray_plan *plan, const char *push, char **ret_kept,
                   struct dray_error *error);
    void *recheck_arg;
    /* private */
    int interrupted;
    int journal;        /* the log of the job in hand; -1: none */
    const char *job;    /* that job: a wish to cancel it is heeded; NULL: none */
    char *cancelled_by; /* who had that wish, once it was seen; then interrupted is set, too */
    int64_t anew;       /* what was brought before is not used, ns since 1970; 0: it is */
    int64_t looked;     /* when it was last looked for one: CLOCK_MONOTONIC, ns */
    uint64_t left[DRAY_ENGINE_LEFT]; /* digests of what was told to be left alone */
    size_t left_count;
};

/* The planner's questions, answered by a runner that may write nothing. For struct dray_asker: arg
 * is the engine. */
DRAY_MUST_CHECK int dray_engine_ask(void *engine, const json_t *request, json_t **ret_answer,
                                    struct dray_error *error);

struct dray_preview_request {
    int json, kept, dropped;
    int stage; /* extract what has to be extracted */
    int quiet; /* the verdicts alone, without what may not be meant */
    const char
        *listing;   /* what the list is called that is read in place of the source; NULL: none */
    int listing_fd; /* where it is read from; borrowed */
};
/* Write the verdicts on every entry to fd. */
DRAY_MUST_CHECK int dray_engine_preview(struct dray_engine *engine, const struct dray_plan *plan,
                                        const struct dray_preview_request *request, int fd,
                                        struct dray_error *error);

/* Run a plan without pushes whose validate step reads everything, and compare it with the catalog's
 * record; every event is heard (not 0: memory is out). Differences are events, and no failure.
 * `record`: what is there is told instead, and needs no record. */
DRAY_MUST_CHECK int dray_engine_verify(struct dray_engine *engine, const struct dray_plan *plan,
                                       int record, int (*on_event)(void *arg, const json_t *event),
                                       void *arg, struct dray_error *error);

/* The number that the dataset of a plan has in the catalog; 0: it is not from there. */
uint64_t dray_catalog_id(const struct dray_plan *plan);

/* Could the plan be delivered to its targets, as it found them? DRAY_CONFLICT when one is taken, as
 * dray_engine_deliver would say; 0 also when it holds this delivery already. */
DRAY_MUST_CHECK int dray_targets_free(const struct dray_plan *plan, struct dray_error *error);

/* How a delivery came out. */
struct dray_outcome {
    char *job;             /* its id */
    int already_delivered; /* nothing was done: an earlier delivery is the answer */
    int gone;              /* ... which is no longer at its target */
};
void dray_outcome_free(struct dray_outcome *outcome);

/* Deliver now; what the plan says is at its targets is renewed. Waits for another process that
 * delivers to the same target. 0 when every target has been delivered; DRAY_CANCELLED when
 * interrupted; else the class of what failed, also when *ret_outcome names a job. */
DRAY_MUST_CHECK int dray_engine_deliver(struct dray_engine *engine, struct dray_plan *plan,
                                        const char *workflow_file, int again,
                                        struct dray_outcome *ret_outcome, struct dray_error *error);

/* What nobody needs of scratch and its locks is removed, or only told (`dry`). `hear` returns 0, or
 * a class after it filled *error. */
struct dray_collected {
    const char *what; /* "staged", "scratch", "lock" */
    const char *path;
    const char *why; /* it is or is not removed */
    uint64_t bytes;  /* on disk */
    int64_t until;   /* when it will not be needed any more, ns; 0: not known */
    int removed;     /* or would be */
    int failed;      /* it should have been */
};
DRAY_MUST_CHECK int dray_engine_collect(struct dray_engine *engine, int dry,
                                        int (*hear)(void *arg,
                                                    const struct dray_collected *collected),
                                        void *arg, struct dray_error *error);

/* Have a job cancelled, in the name of the engine's actor: by the process that has it in hand,
 * which is waited for, or here, where there is none. What was begun is undone. 0 also when the job
 * had ended, or was delivered before it could be cancelled: its state tells. */
DRAY_MUST_CHECK int dray_engine_cancel(struct dray_engine *engine, const char *job,
                                       struct dray_error *error);

#endif
