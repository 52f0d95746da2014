/* SPDX-License-Identifier: MIT */
/*
 * mock.h - what the mocks have in common: options that say how a plugin is to go wrong, and the act
 * itself. Mocks are built for tests and never installed.
 *
 * Each operation calls mock_act once for each entry. At the operation that `at` names, and once
 * `after` calls of it went well, it does what the options say. `delay` comes before each call of
 * it. All of that in the first `times` attempts only, or in all.
 */
#ifndef MOCK_H
#define MOCK_H

#include <dray/plugin.h>

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct mock {
    int64_t at;
    int64_t fail, signal, exit, hang;
    int64_t after, times, delay;
    int64_t called; /* how often, at `at` */
};

/* In the order of plugin.h, so that a choice is the class with its sign turned. */
#define MOCK_CLASSES                                                                               \
    "nothing|temporary|permanent|invalid|not_found|conflict|denied|credential|integrity|changed|"  \
    "no_space|no_memory|cancelled|timed_out|unsupported|bug|later"

static const int mock_signals[] = {0, SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGTERM, SIGKILL};
#define MOCK_SIGNALS "none|SEGV|ABRT|BUS|FPE|ILL|TERM|KILL"

/* A row for a member of `mock` in struct T. */
#define MOCK_ROW(T, M, TYPE, FALLBACK, CHOICES, MIN, MAX, HELP)                                    \
    {                                                                                              \
#M, HELP, FALLBACK, CHOICES, MIN, MAX, TYPE, 0, DRAY_OFFSET(T, mock.M, int64_t), 0         \
    }

/* OPERATIONS: names that `at` may have, the usual one first; a number of them goes to mock_act. */
#define MOCK_OPTIONS(T, OPERATIONS)                                                                \
    MOCK_ROW(T, at, DRAY_TYPE_CHOICE, NULL, OPERATIONS, 0, 0, "The operation that goes wrong"),    \
        MOCK_ROW(T, fail, DRAY_TYPE_CHOICE, "nothing", MOCK_CLASSES, 0, 0,                         \
                 "Fail with this class of error"),                                                 \
        MOCK_ROW(T, signal, DRAY_TYPE_CHOICE, "none", MOCK_SIGNALS, 0, 0, "Die of this signal"),   \
        MOCK_ROW(T, exit, DRAY_TYPE_INT, "-1", NULL, -1, 255,                                      \
                 "End the process with this status; -1: do not"),                                  \
        MOCK_ROW(T, hang, DRAY_TYPE_BOOL, "false", NULL, 0, 1, "Never return"),                    \
        MOCK_ROW(T, after, DRAY_TYPE_INT, "0", NULL, 0, INT64_MAX,                                 \
                 "How many entries go well before it happens"),                                    \
        MOCK_ROW(T, times, DRAY_TYPE_INT, "0", NULL, 0, INT64_MAX,                                 \
                 "Only in the first so many attempts; 0: in all"),                                 \
        MOCK_ROW(T, delay, DRAY_TYPE_DURATION, "0s", NULL, 0, INT64_MAX,                           \
                 "How long each entry takes")

/* Wait, and heed a cancel. */
static inline int mock_wait(struct dray_ctx *ctx, int64_t duration)
{
    const struct timespec tick = {0, 10000000};

    for (int64_t waited = 0; waited < duration; waited += tick.tv_nsec) {
        if (ctx->host->cancelled(ctx))
            return ctx->host->fail(ctx, DRAY_CANCELLED, "the mock was cancelled");
        (void)nanosleep(&tick, NULL);
    }
    return DRAY_OK;
}

static inline int mock_fail(const struct mock *mock, struct dray_ctx *ctx)
{
    if (mock->fail == -DRAY_LATER)
        return ctx->host->later(ctx, 1, "the mock is not ready");
    return ctx->host->fail(ctx, (int)-mock->fail, "the mock fails as it was told, after %" PRId64,
                           mock->after);
}

/* One call of operation number `operation`: DRAY_OK where it is to go well. */
static inline int mock_act(struct mock *mock, struct dray_ctx *ctx, int64_t operation)
{
    if (operation != mock->at || (mock->times > 0 && ctx->host->job(ctx)->attempt > mock->times))
        return DRAY_OK;
    int result = mock_wait(ctx, mock->delay);
    if (result != DRAY_OK || mock->called++ < mock->after)
        return result;
    while (mock->hang)
        (void)pause();
    if (mock->signal != 0)
        (void)raise(mock_signals[mock->signal]);
    if (mock->exit >= 0)
        exit((int)mock->exit);
    return mock->fail != 0 ? mock_fail(mock, ctx) : DRAY_OK;
}

#endif
