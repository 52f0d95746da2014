/* SPDX-License-Identifier: MIT */
/*
 * tests/badplugins - plugins that each break one promise, and the exact message that each must get.
 * Those that break it when they are found or loaded are made from this header: a filter that is
 * right, but for what the source that includes it defines first.
 */
#include <dray/plugin.h>

#ifndef MAGIC
#define MAGIC DRAY_PLUGIN_MAGIC
#endif
#ifndef MAJOR
#define MAJOR DRAY_ABI_MAJOR
#endif
#ifndef MINOR
#define MINOR DRAY_ABI_MINOR
#endif
#ifndef MIN_MINOR
#define MIN_MINOR DRAY_ABI_MINOR
#endif
#ifndef SIZE
#define SIZE (uint32_t)sizeof(struct dray_plugin)
#endif
#ifndef KIND
#define KIND DRAY_KIND_FILTER
#endif
#ifndef NEEDS
#define NEEDS 0
#endif
#ifndef VERSION
#define VERSION "1.0.0"
#endif
#ifndef SUMMARY
#define SUMMARY "Keeps everything"
#endif
#ifndef OPERATIONS_SIZE
#define OPERATIONS_SIZE (uint32_t)sizeof(struct dray_filter_operations)
#endif
#ifndef DECIDE
#define DECIDE decide
#endif
#ifndef OPERATIONS
#define OPERATIONS &operations
#endif

struct instance {
    int64_t limit;
    const char *text;
};

#ifndef OPTIONS
#define OPTIONS DRAY_OPTION_INT(struct instance, limit, "10", 0, 100, "Does nothing")
#endif
static const struct dray_option options[] = {OPTIONS};

#ifndef OPTION_COUNT
#define OPTION_COUNT DRAY_COUNT(options)
#endif
#ifndef OPTION_SIZE
#define OPTION_SIZE (uint32_t)sizeof(struct dray_option)
#endif
#ifndef OPTION_ROWS
#define OPTION_ROWS options
#endif
#ifndef INSTANCE_SIZE
#define INSTANCE_SIZE sizeof(struct instance)
#endif

__attribute__((unused)) static int decide(void *self, struct dray_ctx *ctx,
                                          const struct dray_entry *entry,
                                          struct dray_verdict *ret_verdict)
{
    (void)self;
    (void)ctx;
    (void)entry;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, 0, DRAY_NO_INDEX};
    return DRAY_OK;
}

__attribute__((unused)) static const struct dray_filter_operations operations = {OPERATIONS_SIZE, 0,
                                                                                 DECIDE};

DRAY_EXPORT extern const struct dray_plugin dray_plugin_v1;
const struct dray_plugin dray_plugin_v1 = {
    .head = {MAGIC, MAJOR, MINOR, MIN_MINOR, SIZE, KIND, 0, NEEDS, DRAY_CAP_REENTRANT},
    .name = NAME,
    .version = VERSION,
    .summary = SUMMARY,
    .options = OPTION_ROWS,
    .option_count = OPTION_COUNT,
    .option_size = OPTION_SIZE,
    .instance_size = INSTANCE_SIZE,
    .operations = OPERATIONS,
};
