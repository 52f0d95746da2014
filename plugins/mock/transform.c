/* SPDX-License-Identifier: MIT */
/* transform/mock: passes everything on, or writes it anew, until it goes wrong as it was told. */
#include "plugins/mock/mock.h"

enum { APPLY, PREPARE };

struct transform {
    struct mock mock;
    int64_t rewrite;
};

static const struct dray_option options[] = {
    MOCK_OPTIONS(struct transform, "apply|prepare"),
    DRAY_OPTION_BOOL(struct transform, rewrite, "false",
                     "Make new files of the bytes of the old ones"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct transform *transform = self;

    return mock_act(&transform->mock, ctx, PREPARE);
}

/* What could not be finished the host removes. */
static int rewrite(struct dray_ctx *ctx, const struct dray_entry *entry)
{
    const struct dray_item item = {.size = sizeof(item),
                                   .type = DRAY_FILE,
                                   .path = entry->path,
                                   .path_length = entry->path_length,
                                   .bytes = entry->bytes,
                                   .mtime = entry->mtime,
                                   .mode = entry->mode};
    struct dray_reader reader = {.size = sizeof(reader)};
    struct dray_writer writer = {.size = sizeof(writer)};
    char bytes[65536];
    int64_t got = 0;
    int result = ctx->host->open(ctx, entry->id, &reader);

    if (result != DRAY_OK)
        return result;
    result = ctx->host->create(ctx, &item, &writer);
    while (result == DRAY_OK && (got = ctx->host->read(ctx, &reader, bytes, sizeof(bytes))) > 0)
        result = ctx->host->write(ctx, &writer, bytes, (uint64_t)got);
    if (got < 0)
        result = (int)got;
    int closed = ctx->host->close(ctx, &reader);
    if (result == DRAY_OK)
        result = closed;
    return result == DRAY_OK ? ctx->host->finish(ctx, &writer) : result;
}

static int apply(void *self, struct dray_ctx *ctx)
{
    struct transform *transform = self;
    uint64_t count = ctx->host->count(ctx);
    int result = DRAY_OK;

    for (uint64_t i = 0; result == DRAY_OK && i < count; i++) {
        struct dray_entry entry = {.size = sizeof(entry)};
        result = mock_act(&transform->mock, ctx, APPLY);
        if (result == DRAY_OK)
            result = ctx->host->entry(ctx, i, &entry);
        if (result == DRAY_OK)
            result = transform->rewrite && entry.type == DRAY_FILE ? rewrite(ctx, &entry)
                                                                   : ctx->host->keep(ctx, i, NULL);
        ctx->host->progress(ctx, 1, 0);
    }
    return result;
}

static const struct dray_transform_operations operations = {sizeof(operations), 0, apply};

DRAY_PLUGIN(DRAY_KIND_TRANSFORM, 0, "mock", "1.0.0", "Pass everything on, or go wrong as told",
            struct transform, options, &operations, .prepare = prepare);
