/* SPDX-License-Identifier: MIT */
/* filter/size: keep files by their size (docs/filters.md). */
#include <dray/plugin.h>

#include <inttypes.h>

struct size {
    int64_t min;
    int64_t max;
};

enum { OPTION_MIN, OPTION_MAX }; /* rows of the table */

static const struct dray_option options[] = {
    DRAY_OPTION_SIZE(struct size, min, "0", "Drop files that are smaller; one of this size stays"),
    DRAY_OPTION_SIZE(struct size, max, "none",
                     "Drop files that are larger; one of this size stays"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    const struct size *size = self;

    if (size->min <= size->max && size->min != DRAY_NONE)
        return DRAY_OK;
    (void)ctx->host->fail_option(ctx, options[OPTION_MIN].name, DRAY_NO_INDEX, 0,
                                 size->min == DRAY_NONE
                                     ? "no file is that large; leave min out to keep small files"
                                     : "min is larger than max, so every file would be dropped");
    return DRAY_INVALID;
}

/* Links and empty directories have no size. */
static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    const struct size *size = self;
    (void)ctx;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, OPTION_MIN, DRAY_NO_INDEX};
    if (entry->type != DRAY_FILE)
        return DRAY_OK;
    if (entry->bytes < (uint64_t)size->min)
        ret_verdict->verdict = DRAY_DROP;
    else if (size->max != DRAY_NONE && entry->bytes > (uint64_t)size->max)
        *ret_verdict = (struct dray_verdict){DRAY_DROP, OPTION_MAX, DRAY_NO_INDEX};
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {
    .size = sizeof(operations),
    .decide = decide,
};

DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT, "size", "1.0.0", "Keep files by size",
            struct size, options, &operations, .prepare = prepare);
