/* SPDX-License-Identifier: MIT */
/* A site's own push, of type "other": hands a dataset to a system that Dray knows nothing of. This
 * one reads every byte, takes its time, and lets them drop. */
#include <dray/plugin.h>

#include <inttypes.h>
#include <time.h>

struct drop {
    const char *host;
    const char *name;
    int64_t wait;
    int64_t fail;
};

static const struct dray_option options[] = {
    DRAY_OPTION_STRING(struct drop, host, DRAY_OPTION_REQUIRED, NULL, "The system to hand it to"),
    DRAY_OPTION_STRING(struct drop, name, DRAY_OPTION_REQUIRED, NULL, "What it is called there"),
    DRAY_OPTION_DURATION(struct drop, wait, "0s", "How long the system takes to answer"),
    DRAY_OPTION_BOOL(struct drop, fail, "false", "Let it refuse what it was handed"),
};

static int describe(void *self, struct dray_ctx *ctx, struct dray_target *ret_target)
{
    const struct drop *drop = self;

    ret_target->uri = ctx->host->format("drop://%s/%s", drop->host, drop->name);
    ret_target->host = ctx->host->format("%s", drop->host);
    ret_target->path = ctx->host->format("/%.40s", drop->name); /* it cuts what is longer */
    return ret_target->uri && ret_target->host && ret_target->path
               ? DRAY_OK
               : ctx->host->fail(ctx, DRAY_NO_MEMORY, "out of memory");
}

static int probe(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence)
{
    (void)self;
    (void)ctx;
    ret_presence->state = DRAY_ABSENT;
    return DRAY_OK;
}

static int read_entry(struct dray_ctx *ctx, uint64_t id)
{
    struct dray_reader reader = {.size = sizeof(reader)};
    struct dray_entry entry = {.size = sizeof(entry)};
    char bytes[65536];
    int64_t got = 0;
    int result = ctx->host->entry(ctx, id, &entry);

    if (result != DRAY_OK || entry.type != DRAY_FILE)
        return result;
    result = ctx->host->open(ctx, id, &reader);
    if (result != DRAY_OK)
        return result;
    while ((got = ctx->host->read(ctx, &reader, bytes, sizeof(bytes))) > 0)
        ctx->host->progress(ctx, 0, (uint64_t)got);
    int closed = ctx->host->close(ctx, &reader);
    return got < 0 ? (int)got : closed;
}

static int push(void *self, struct dray_ctx *ctx)
{
    const struct drop *drop = self;
    const struct dray_record *records = NULL;
    uint64_t count = ctx->host->count(ctx), placed = 0;
    int result = DRAY_OK;

    for (uint64_t i = 0; result == DRAY_OK && i < count; i++)
        result = read_entry(ctx, i);
    for (int64_t waited = 0; result == DRAY_OK && waited < drop->wait; waited += 10000000) {
        struct timespec tick = {0, 10000000};
        (void)nanosleep(&tick, NULL);
        if (ctx->host->cancelled(ctx))
            result = ctx->host->fail(ctx, DRAY_CANCELLED, "cancelled while waiting");
    }
    if (result == DRAY_OK && drop->fail)
        result = ctx->host->fail(ctx, DRAY_PERMANENT, "it was refused");
    if (result == DRAY_OK)
        result = ctx->host->may_commit(ctx);
    if (result == DRAY_OK)
        result = ctx->host->records(ctx, &records, &placed);
    return result == DRAY_OK ? ctx->host->confirm(ctx, "system", drop->host) : result;
}

static int discard(void *self, struct dray_ctx *ctx)
{
    (void)self;
    (void)ctx;
    return DRAY_OK;
}

static const struct dray_push_operations operations = {
    .size = sizeof(operations),
    .target_type = DRAY_TARGET_OTHER,
    .describe = describe,
    .probe = probe,
    .push = push,
    .discard = discard,
};

DRAY_PLUGIN(DRAY_KIND_PUSH, DRAY_CAP_LINKS, "drop", "1.0.0", "Hand a dataset to another system",
            struct drop, options, &operations);
