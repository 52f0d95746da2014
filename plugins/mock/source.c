/* SPDX-License-Identifier: MIT */
/* source/mock: makes files up, as many and as large as asked, until it goes wrong as it was told.
 */
#include "plugins/mock/mock.h"

#include <stdio.h>
#include <string.h>

enum { STAGE, IDENTIFY, PREPARE };

struct source {
    struct mock mock;
    int64_t entries, bytes;
};

static const struct dray_option options[] = {
    MOCK_OPTIONS(struct source, "stage|identify|prepare"),
    DRAY_OPTION_INT(struct source, entries, "3", 0, 10000000, "How many files there are"),
    DRAY_OPTION_SIZE(struct source, bytes, "10", "How large each is"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct source *source = self;

    return mock_act(&source->mock, ctx, PREPARE);
}

static int identify(void *self, struct dray_ctx *ctx, char **ret_revision)
{
    struct source *source = self;
    int result = mock_act(&source->mock, ctx, IDENTIFY);

    if (result != DRAY_OK)
        return result;
    *ret_revision = ctx->host->format("mock-%" PRId64 "x%" PRId64, source->entries, source->bytes);
    return *ret_revision ? DRAY_OK : ctx->host->fail(ctx, DRAY_NO_MEMORY, "out of memory");
}

/* File number n holds the letter that n comes to. */
static int make_file(struct dray_ctx *ctx, int64_t number, int64_t bytes)
{
    char path[32], block[65536];
    struct dray_item item = {.size = sizeof(item),
                             .type = DRAY_FILE,
                             .path = path,
                             .bytes = (uint64_t)bytes,
                             .mtime = INT64_C(1700000000000000000),
                             .mode = 0644};
    struct dray_writer writer = {.size = sizeof(writer)};

    item.path_length = (uint64_t)snprintf(path, sizeof(path), "file-%07" PRId64, number);
    memset(block, 'a' + (int)(number % 26), sizeof(block));
    int result = ctx->host->create(ctx, &item, &writer);
    while (result == DRAY_OK && bytes > 0) {
        uint64_t part = bytes < (int64_t)sizeof(block) ? (uint64_t)bytes : sizeof(block);
        result = ctx->host->write(ctx, &writer, block, part);
        bytes -= (int64_t)part;
    }
    return result == DRAY_OK ? ctx->host->finish(ctx, &writer) : result;
}

static int stage(void *self, struct dray_ctx *ctx)
{
    struct source *source = self;
    int result = DRAY_OK;

    for (int64_t i = 0; result == DRAY_OK && i < source->entries; i++) {
        result = mock_act(&source->mock, ctx, STAGE);
        if (result == DRAY_OK)
            result = make_file(ctx, i, source->bytes);
        ctx->host->progress(ctx, 1, (uint64_t)source->bytes);
    }
    return result;
}

static const struct dray_source_operations operations = {
    .size = sizeof(operations),
    .identify = identify,
    .stage = stage,
};

DRAY_PLUGIN(DRAY_KIND_SOURCE, 0, "mock", "1.0.0", "Make files up, or go wrong as told",
            struct source, options, &operations, .prepare = prepare);
