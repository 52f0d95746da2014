/* SPDX-License-Identifier: MIT */
/*
 * A plugin of a later minor version, as today's host must take it once the major is 1: its
 * descriptor, its operations and the rows of its options have members at their tails that the host
 * has never heard of. It must be accepted.
 */
#include "all-types.h"

struct later_option {
    struct dray_option row;
    const char *unit;
    uint64_t more;
};

struct later_operations {
    struct dray_filter_operations filter;
    void (*more)(void);
};

struct later_plugin {
    struct dray_plugin plugin;
    const void *more;
    uint64_t even_more[4];
};

static const struct later_option options[] = {
    {DRAY_OPTION_INT(struct all_types, number, "7", 0, 10, "A number"), "metres", 1},
    {DRAY_OPTION_STRING(struct all_types, text, 0, "hello", "A text"), "words", 2},
    {DRAY_OPTION_STRINGS(struct all_types, list, 0, "A list"), "words", 3},
};

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    (void)ctx;
    (void)entry;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, 0, ((struct all_types *)self)->number};
    return DRAY_OK;
}

static void more(void)
{
}

static const struct later_operations operations = {{(uint32_t)sizeof operations, 0, decide}, more};

DRAY_EXPORT extern const struct later_plugin dray_plugin_v1;
const struct later_plugin dray_plugin_v1 = {
    .plugin =
        {
            .head = {DRAY_PLUGIN_MAGIC, DRAY_ABI_MAJOR, DRAY_ABI_MINOR, DRAY_ABI_MINOR,
                     (uint32_t)sizeof(struct later_plugin), DRAY_KIND_FILTER, 0, 0,
                     UINT64_C(1) << 50},
            .name = "long-rows",
            .version = "1.0.0",
            .summary = "Rows longer than the host knows",
            .options = &options[0].row,
            .option_count = DRAY_COUNT(options),
            .option_size = (uint32_t)sizeof(struct later_option),
            .instance_size = sizeof(struct all_types),
            .operations = &operations.filter,
        },
    .more = &operations,
    .even_more = {1, 2, 3, 4},
};
