/* SPDX-License-Identifier: MIT */
/* Breaks nothing: a push with an option of every type. */
#include "all-types.h"

static const struct dray_option options[] = {
    DRAY_OPTION_BOOL(struct all_types, yes, "true", "A truth"),
    DRAY_OPTION_INT(struct all_types, number, "-5", -10, 10, "A number"),
    DRAY_OPTION_SIZE(struct all_types, size, "none", "A size"),
    DRAY_OPTION_DURATION(struct all_types, duration, "1h30m", "A duration"),
    DRAY_OPTION_CHOICE(struct all_types, choice, "merge", "fail|merge|replace", "A choice"),
    DRAY_OPTION_STRING(struct all_types, text, 0, NULL, "A text"),
    DRAY_OPTION_PATH(struct all_types, path, DRAY_OPTION_READS, "data", "A path"),
    DRAY_OPTION_STRINGS(struct all_types, list, 0, "A list"),
    DRAY_OPTION_MAP(struct all_types, map, DRAY_OPTION_DEPRECATED, "A mapping"),
    DRAY_OPTION_SECRET(struct all_types, key, 0, "A secret"),
    DRAY_OPTION_STRING(struct all_types, must, DRAY_OPTION_REQUIRED, NULL, "What must be said"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    (void)self;
    (void)ctx;
    return DRAY_OK;
}

static void destroy(void *self)
{
    const struct all_types *all = self;

    if (all->destroyed != NULL)
        ++*all->destroyed;
}

static int describe(void *self, struct dray_ctx *ctx, struct dray_target *ret_target)
{
    (void)self;
    (void)ctx;
    (void)ret_target;
    return DRAY_UNSUPPORTED;
}

static int probe(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence)
{
    (void)self;
    (void)ctx;
    (void)ret_presence;
    return DRAY_UNSUPPORTED;
}

static int push(void *self, struct dray_ctx *ctx)
{
    (void)self;
    (void)ctx;
    return DRAY_UNSUPPORTED;
}

static const struct dray_push_operations operations = {
    .size = (uint32_t)sizeof operations,
    .target_type = DRAY_TARGET_CLOUD,
    .describe = describe,
    .probe = probe,
    .push = push,
    .discard = push,
};

DRAY_PLUGIN(DRAY_KIND_PUSH, DRAY_CAP_STREAM, "all-types", "2.1.0", "Every type of option",
            struct all_types, options, &operations, .prepare = prepare, .destroy = destroy);
