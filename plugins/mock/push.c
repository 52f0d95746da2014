/* SPDX-License-Identifier: MIT */
/* push/mock: delivers to a directory of a system that Dray knows nothing of, as plainly as a push
 * may that keeps its contract, until it goes wrong as it was told. */
#include "plugins/mock/push.h"

enum { PUSH, PREPARE, DESCRIBE, PROBE, COMMIT, COMMITTED, DISCARD };

static const struct dray_option options[] = {
    MOCK_OPTIONS(struct push, "push|prepare|describe|probe|commit|committed|discard"),
    DRAY_OPTION_PATH(struct push, path, DRAY_OPTION_REQUIRED | DRAY_OPTION_DELIVERS, NULL,
                     "A directory that exists; the delivery becomes one in it"),
    DRAY_OPTION_STRING(struct push, host, 0, "mock.example", "The system that it belongs to"),
    DRAY_OPTION_INT(struct push, short_write, "0", 0, INT64_MAX,
                    "Write so many bytes less of each file, and say nothing of it"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct push *push = self;

    return mock_act(&push->mock, ctx, PREPARE);
}

static int describe(void *self, struct dray_ctx *ctx, struct dray_target *ret_target)
{
    struct push *push = self;
    const char *dataset = ctx->host->job(ctx)->dataset;
    int result = mock_act(&push->mock, ctx, DESCRIBE);

    if (result != DRAY_OK)
        return result;
    ret_target->uri = ctx->host->format("mock://%s%s/%s", push->host, push->path, dataset);
    ret_target->host = ctx->host->format("%s", push->host);
    ret_target->path = ctx->host->format("%s/%s", push->path, dataset);
    return ret_target->uri && ret_target->host && ret_target->path
               ? DRAY_OK
               : ctx->host->fail(ctx, DRAY_NO_MEMORY, "out of memory");
}

static int probe(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence)
{
    struct push *push = self;
    int result = mock_act(&push->mock, ctx, PROBE);

    return result == DRAY_OK ? push_look(push, ctx, ret_presence) : result;
}

/* What the attempt before this one left as a checkpoint becomes a fact of the delivery. */
static int follow_on(struct dray_ctx *ctx)
{
    char *earlier = NULL, number[16];
    int result = ctx->host->checkpoint_get(ctx, "attempt", &earlier);

    if (result == DRAY_OK && earlier)
        result = ctx->host->confirm(ctx, "earlier_attempt", earlier);
    ctx->host->free(earlier);
    (void)snprintf(number, sizeof(number), "%u", ctx->host->job(ctx)->attempt);
    return result == DRAY_OK ? ctx->host->checkpoint_put(ctx, "attempt", number) : result;
}

static int write_entries(struct push *push, struct dray_ctx *ctx)
{
    uint64_t count = ctx->host->count(ctx);
    int result = DRAY_OK;

    for (uint64_t i = 0; result == DRAY_OK && i < count; i++) {
        result = mock_act(&push->mock, ctx, PUSH);
        if (result == DRAY_OK)
            result = push_write(push, ctx, i);
    }
    return result;
}

static int deliver(void *self, struct dray_ctx *ctx)
{
    struct push *push = self;
    int result = follow_on(ctx);

    if (result == DRAY_OK)
        result = push_begin(push, ctx);
    if (result == DRAY_OK)
        result = write_entries(push, ctx);
    if (result == DRAY_OK)
        result = ctx->host->may_commit(ctx);
    if (result == DRAY_OK)
        result = mock_act(&push->mock, ctx, COMMIT);
    if (result == DRAY_OK)
        result = push_records(push, ctx);
    if (result == DRAY_OK)
        result = push_commit(push, ctx);
    return result == DRAY_OK ? mock_act(&push->mock, ctx, COMMITTED) : result;
}

static int discard(void *self, struct dray_ctx *ctx)
{
    struct push *push = self;
    int result = mock_act(&push->mock, ctx, DISCARD);

    return result == DRAY_OK ? push_remove(push, ctx) : result;
}

static const struct dray_push_operations operations = {
    .size = sizeof(operations),
    .target_type = DRAY_TARGET_OTHER,
    .describe = describe,
    .probe = probe,
    .push = deliver,
    .discard = discard,
};

DRAY_PLUGIN(DRAY_KIND_PUSH, DRAY_CAP_LINKS, "mock", "1.0.0",
            "Deliver to a directory, or go wrong as told", struct push, options, &operations,
            .prepare = prepare);
