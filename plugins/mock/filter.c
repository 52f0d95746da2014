/* SPDX-License-Identifier: MIT */
/* filter/mock: keeps everything, until it goes wrong as it was told. */
#include "plugins/mock/mock.h"

enum { DECIDE, PREPARE };

struct filter {
    struct mock mock;
};

static const struct dray_option options[] = {
    MOCK_OPTIONS(struct filter, "decide|prepare"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct filter *filter = self;

    return mock_act(&filter->mock, ctx, PREPARE);
}

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    struct filter *filter = self;

    (void)entry;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, 0, DRAY_NO_INDEX};
    return mock_act(&filter->mock, ctx, DECIDE);
}

static const struct dray_filter_operations operations = {sizeof(operations), 0, decide};

DRAY_PLUGIN(DRAY_KIND_FILTER, 0, "mock", "1.0.0", "Keep everything, or go wrong as told",
            struct filter, options, &operations, .prepare = prepare);
