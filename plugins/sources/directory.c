/* SPDX-License-Identifier: MIT */
/* source/directory: a directory with all below it, or one file, read where it lies. */
#include <dray/plugin.h>

struct directory {
    const char *path;
};

static const struct dray_option options[] = {
    DRAY_OPTION_PATH(struct directory, path, DRAY_OPTION_REQUIRED | DRAY_OPTION_READS, NULL,
                     "The directory or file to deliver"),
};

static int stage(void *self, struct dray_ctx *ctx)
{
    const struct directory *directory = self;

    return ctx->host->walk(ctx, directory->path);
}

static int identify(void *self, struct dray_ctx *ctx, char **ret_revision)
{
    int result = stage(self, ctx);

    if (result != DRAY_OK)
        return result;
    *ret_revision = ctx->host->revision(ctx);
    /* A walk lists nothing twice, so only memory can be what is missing. */
    return *ret_revision != NULL ? DRAY_OK : DRAY_NO_MEMORY;
}

static const struct dray_source_operations operations = {
    .size = sizeof(operations),
    .identify = identify,
    .stage = stage,
};

DRAY_PLUGIN(DRAY_KIND_SOURCE, 0, "directory", "1.0.0",
            "Bring a directory with all below it, or one file, in place", struct directory, options,
            &operations);
