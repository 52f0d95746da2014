/* SPDX-License-Identifier: MIT */
/* A site's own filter that keeps everything, and takes long to say whether its options are right.
 */
#include <dray/plugin.h>

#include <time.h>

struct slow {
    int64_t wait;
};

static const struct dray_option options[] = {
    DRAY_OPTION_DURATION(struct slow, wait, "0s", "How long it takes"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    const struct slow *slow = self;
    struct timespec tick = {0, 10000000};

    for (int64_t waited = 0; waited < slow->wait; waited += 10000000) {
        (void)nanosleep(&tick, NULL);
        if (ctx->host->cancelled(ctx))
            return ctx->host->fail(ctx, DRAY_CANCELLED, "cancelled");
    }
    return DRAY_OK;
}

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *verdict)
{
    (void)self;
    (void)ctx;
    (void)entry;
    verdict->verdict = DRAY_KEEP;
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {sizeof(operations), 0, decide};

DRAY_PLUGIN(DRAY_KIND_FILTER, 0, "slow", "1.0.0", "Keep everything, slowly", struct slow, options,
            &operations, .prepare = prepare);
