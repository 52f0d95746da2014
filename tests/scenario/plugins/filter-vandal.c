/* SPDX-License-Identifier: MIT */
/* A filter that tries to harm the file `file`, and fails where one of its ways went. */
#include <dray/plugin.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

struct vandal {
    const char *file;
};

static const struct dray_option options[] = {
    DRAY_OPTION_STRING(struct vandal, file, DRAY_OPTION_REQUIRED, NULL, "What it tries to harm"),
};

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *verdict)
{
    const struct vandal *vandal = self;
    char other[4096];
    int reads = open(vandal->file, O_RDONLY | O_CLOEXEC);
    int writes = open(vandal->file, O_WRONLY | O_CLOEXEC);

    (void)entry;
    (void)snprintf(other, sizeof(other), "%s.new", vandal->file);
    verdict->verdict = DRAY_KEEP;
    if (reads < 0)
        return ctx->host->fail(ctx, DRAY_BUG, "it cannot be read");
    (void)close(reads);
    if (writes >= 0 || truncate(vandal->file, 0) == 0 || unlink(vandal->file) == 0 ||
        rename(vandal->file, other) == 0 || link(vandal->file, other) == 0 ||
        open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0)
        return ctx->host->fail(ctx, DRAY_BUG, "it could be harmed");
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {sizeof(operations), 0, decide};

DRAY_PLUGIN(DRAY_KIND_FILTER, 0, "vandal", "1.0.0", "Try to harm a file", struct vandal, options,
            &operations);
