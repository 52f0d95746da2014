/* SPDX-License-Identifier: MIT */
/* deliver.h - what the files of this layer share. */
#ifndef DRAY_ENGINE_DELIVER_H
#define DRAY_ENGINE_DELIVER_H

#include "core/engine/engine.h"
#include "core/engine/launch.h"

/* The orders of a runner: mode, plan, job, attempt, user, actor, grants. NULL with *error. */
DRAY_MUST_CHECK json_t *dray_orders_make(struct dray_engine *engine, const struct dray_plan *plan,
                                         const char *mode, const char *job, uint32_t attempt,
                                         struct dray_error *error);
/* Where the catalog has a record of the files that the plan's source brings: that and the source's
 * name go into the orders. *ret_fd (-1: there is none) is the caller's, also after a failure. */
DRAY_MUST_CHECK int dray_recorded_order(struct dray_engine *engine, const struct dray_plan *plan,
                                        json_t *start, int *ret_fd, struct dray_error *error);
/* The directory of all scratch; the caller frees it. NULL with *error. */
char *dray_scratch_parent(const struct dray_engine *engine, struct dray_error *error);
/* Each directory where scratch lies or once lay, until one is not 0. Nothing is made. */
DRAY_MUST_CHECK int dray_scratch_each(const struct dray_engine *engine,
                                      int (*visit)(void *arg, const char *parent), void *arg);
/* A new, empty scratch directory for an attempt. The caller frees the path and removes the
 * directory. */
DRAY_MUST_CHECK int dray_scratch_make(struct dray_engine *engine, const char *job, uint32_t attempt,
                                      char **ret_path, struct dray_error *error);
/* What is known of a request before anything is done. */
struct dray_standing {
    struct dray_job_row *job; /* the job to go on with; NULL: a new one */
    uint8_t *delivered;       /* by target */
    char *delivered_by;       /* id of the job that delivered the first of these */
    size_t delivered_count;
    int gone; /* one that the store calls delivered is no longer there */
};
void dray_standing_free(struct dray_standing *standing);
/* Find out. DRAY_CONFLICT when a target holds something else. */
DRAY_MUST_CHECK int dray_standing_look(struct dray_engine *engine, const struct dray_plan *plan,
                                       int again, struct dray_standing *standing,
                                       struct dray_error *error);
/* Probe the targets again: time has passed since the plan was made. */
DRAY_MUST_CHECK int dray_targets_refresh(struct dray_engine *engine, struct dray_plan *plan,
                                         struct dray_error *error);
/* The target of a job that has this request key, or NULL. */
const struct dray_target_row *dray_row_of_key(const struct dray_job_row *job, const char *key);

/* Remove what processes that died left in scratch; what is not to be removed now stays. */
void dray_scratch_sweep(struct dray_engine *engine);
/* A log in the state directory, opened to append; `anew` empties it first, and does
 * without one that cannot be written. A descriptor or a class. */
DRAY_MUST_CHECK int dray_log_open(struct dray_engine *engine, const char *name, int anew,
                                  struct dray_error *error);

/* One attempt of a job, from start to its last word. `skip[i]` says that target i is delivered
 * already. `states` (one for each target) gets how each came out. Returns 0 when all that was asked
 * is delivered; else the class of what failed first. */
struct dray_attempt {
    struct dray_engine *engine;
    const struct dray_plan *plan;
    const char *job;
    uint32_t number;
    uint8_t *skip;
    uint8_t *delivered;             /* by target */
    uint8_t *committing;            /* by target: leave was given, and nothing heard since */
    uint8_t *told;                  /* by step: its end was heard */
    json_t **running;               /* by step: its step-started event, until it ends */
    struct dray_error error;        /* the first failure */
    const struct dray_step *failed; /* the step of that failure; NULL: none in particular */
    struct dray_error *failures;    /* by step: its failure in this attempt, but for a cancel */
    uint8_t *given_up;              /* by target: it failed for good in this run */
    struct dray_error lasting;      /* the first reason for that */
    struct dray_stagings *stagings; /* what its sources brought */
    int abandoned;                  /* a push was left without having cleaned up */
    int settled;                    /* one that failed turned out to have delivered */
};
DRAY_MUST_CHECK int dray_attempt_run(struct dray_attempt *attempt, struct dray_error *error);
/* After an attempt that left something behind: clean up, but for what another one that follows will
 * take over. What cannot be removed becomes a hint of attempt->error. */
void dray_attempt_clean(struct dray_attempt *attempt, int again);
/* What became of commits that leave was given for and whose end was not told. They stay open where
 * the target cannot be asked. */
DRAY_MUST_CHECK int dray_attempt_settle(struct dray_attempt *attempt, struct dray_error *error);
/* After attempt number `tried` of this run: give up targets that failed for good, and say whether
 * another attempt is worth it for the rest: 1, after *ret_pause ns. *ret_step (NULL: none) is the
 * step that may pass and waits longest. */
int dray_retry_decide(struct dray_attempt *attempt, uint32_t tried,
                      const struct dray_step **ret_step, int64_t *ret_pause);
/* The pause after try number `tried`, ns: exponential backoff with full jitter; `patient`: at least
 * half of it. */
int64_t dray_retry_pause(const struct dray_retry *retry, uint32_t tried, int patient);
/* Let the pushes of a job that died clean up behind it; skip[i]: not that of target i. `settled`:
 * the others have what they were to have, and what that took the place of goes. What has to be left
 * is told. */
DRAY_MUST_CHECK int dray_attempt_discard(struct dray_engine *engine, const struct dray_plan *plan,
                                         const char *job, uint32_t number, uint8_t *skip,
                                         int settled, struct dray_error *error);
/* Where is noted what attempts made beside targets. NULL: no memory. Frees: caller. */
char *dray_made_directory(const struct dray_engine *engine);

/* Tell, beside a step, that something was left alone at its target. */
struct dray_left {
    struct dray_engine *engine;
    const char *job, *step; /* job NULL: none that the store knows */
};
void dray_left_tell(void *left, const char *message);
/* Finish or undo a merge that was left in the target: 1 when there was one. */
DRAY_MUST_CHECK int dray_settle_merge(struct dray_engine *engine, const struct dray_plan *plan,
                                      size_t target, const char *job, struct dray_error *error);

/* What is at the plan's targets now: {"steps": [{"presence"} or {"error"}]}, one for each target.
 */
DRAY_MUST_CHECK int dray_targets_probe(struct dray_engine *engine, const struct dray_plan *plan,
                                       json_t **ret_answer, struct dray_error *error);
/* A commit of this job that nobody told the end of is recorded as delivered if its target has it;
 * delivered[i] becomes 1 then. The caller holds the job's lock. */
DRAY_MUST_CHECK int dray_settle(struct dray_engine *engine, const struct dray_plan *plan,
                                const char *job, uint8_t *delivered, struct dray_error *error);

/* Does somebody want the job in hand cancelled? Then the engine is interrupted, and who it was is
 * kept. Looks at most five times a second; _now at once. */
void dray_cancel_look(struct dray_engine *engine);
void dray_cancel_look_now(struct dray_engine *engine);
/* A job that is not final and whose lock is held, since its engine is dead: what it left is
 * removed, and it ends in this state; or delivered, where its targets turn out to be. */
DRAY_MUST_CHECK int dray_job_bury(struct dray_engine *engine, const char *id, enum dray_state state,
                                  const char *reason, struct dray_error *error);

/* Pass an event on, with job, attempt and time, and write it to the job's log. Takes `event`. */
void dray_event_send(struct dray_engine *engine, const char *job, uint32_t attempt, json_t *event);

/* Wait: 1 when the time is over, 0 when somebody wants to stop. */
int dray_engine_sleep(struct dray_engine *engine, int64_t ms);

#endif
