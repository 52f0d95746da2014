/* SPDX-License-Identifier: MIT */
/* states.c - the states of jobs and targets, and the two tables that say which may follow which. */
#include "core/store/internal.h"

#include <string.h>

const char *dray_state_name(enum dray_state state)
{
    switch (state) {
    case DRAY_QUEUED:
        return "queued";
    case DRAY_RUNNING:
        return "running";
    case DRAY_WAITING:
        return "waiting";
    case DRAY_COMMITTING:
        return "committing";
    case DRAY_JOB_DELIVERED:
        return "delivered";
    case DRAY_FAILED:
        return "failed";
    case DRAY_JOB_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}

int dray_state_of_name(const char *name, enum dray_state *ret_state)
{
    for (int state = 0; state < DRAY_STATE_COUNT; state++) {
        if (strcmp(name, dray_state_name((enum dray_state)state)) == 0) {
            *ret_state = (enum dray_state)state;
            return 0;
        }
    }
    return DRAY_INVALID;
}

int dray_state_is_final(enum dray_state state)
{
    switch (state) {
    case DRAY_QUEUED:
    case DRAY_RUNNING:
    case DRAY_WAITING:
    case DRAY_COMMITTING:
        return 0;
    case DRAY_JOB_DELIVERED:
    case DRAY_FAILED:
    case DRAY_JOB_CANCELLED:
        return 1;
    }
    return 1;
}

#define TO(STATE) (1u << DRAY_##STATE)

/* What each state of a target may become. Delivered is for ever, and reached only through
 * committing: no commit without leave. Running follows itself and committing when an attempt died
 * or a commit did not happen, and the two failures when a new attempt takes the target up again. */
static const unsigned target_moves[DRAY_STATE_COUNT] = {
    [DRAY_QUEUED] = TO(RUNNING) | TO(WAITING) | TO(FAILED) | TO(JOB_CANCELLED),
    [DRAY_RUNNING] =
        TO(RUNNING) | TO(QUEUED) | TO(WAITING) | TO(COMMITTING) | TO(FAILED) | TO(JOB_CANCELLED),
    [DRAY_WAITING] = TO(RUNNING) | TO(QUEUED) | TO(WAITING) | TO(FAILED) | TO(JOB_CANCELLED),
    /* Committing once more: a push that is tried again asks again. */
    [DRAY_COMMITTING] =
        TO(RUNNING) | TO(COMMITTING) | TO(JOB_DELIVERED) | TO(FAILED) | TO(JOB_CANCELLED),
    [DRAY_JOB_DELIVERED] = 0,
    [DRAY_FAILED] = TO(RUNNING) | TO(QUEUED),
    [DRAY_JOB_CANCELLED] = TO(RUNNING) | TO(QUEUED),
};

/* What each state of a job may become. A job of several targets may be delivered while it waits:
 * what is left of it may have been found delivered. */
static const unsigned job_moves[DRAY_STATE_COUNT] = {
    [DRAY_QUEUED] = TO(RUNNING) | TO(WAITING) | TO(FAILED) | TO(JOB_CANCELLED),
    [DRAY_RUNNING] =
        TO(RUNNING) | TO(QUEUED) | TO(WAITING) | TO(JOB_DELIVERED) | TO(FAILED) | TO(JOB_CANCELLED),
    [DRAY_WAITING] =
        TO(RUNNING) | TO(QUEUED) | TO(WAITING) | TO(JOB_DELIVERED) | TO(FAILED) | TO(JOB_CANCELLED),
    [DRAY_COMMITTING] = 0,
    [DRAY_JOB_DELIVERED] = TO(JOB_DELIVERED),
    [DRAY_FAILED] = TO(RUNNING) | TO(QUEUED),
    [DRAY_JOB_CANCELLED] = TO(RUNNING) | TO(QUEUED),
};

static int may_become(const unsigned *moves, enum dray_state from, enum dray_state to)
{
    if ((unsigned)from >= DRAY_STATE_COUNT || (unsigned)to >= DRAY_STATE_COUNT)
        return 0;
    return (moves[from] >> to & 1u) != 0;
}

int dray_target_may_become(enum dray_state from, enum dray_state to)
{
    return may_become(target_moves, from, to);
}

int dray_job_may_become(enum dray_state from, enum dray_state to)
{
    return may_become(job_moves, from, to);
}
