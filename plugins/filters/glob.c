/* SPDX-License-Identifier: MIT */
/* filter/glob: keep and drop entries by patterns of their paths (docs/filters.md). */
#include <dray/plugin.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

struct patterns {
    struct dray_pattern **items;
    uint64_t count;
};

struct glob {
    struct dray_strings include;
    struct dray_strings exclude;
    int64_t ignore_case;
    struct patterns included;
    struct patterns excluded;
};

enum { OPTION_INCLUDE, OPTION_EXCLUDE }; /* rows of the table */

static const struct dray_option options[] = {
    DRAY_OPTION_STRINGS(struct glob, include, 0, "Keep only what matches one of these patterns"),
    DRAY_OPTION_STRINGS(struct glob, exclude, 0, "Drop what matches one of these, kept or not"),
    DRAY_OPTION_BOOL(struct glob, ignore_case, "false", "Match without regard to case"),
};

static void patterns_free(struct patterns *patterns)
{
    for (uint64_t i = 0; i < patterns->count; i++)
        dray_pattern_free(patterns->items[i]);
    free(patterns->items);
}

static void destroy(void *self)
{
    struct glob *glob = self;
    patterns_free(&glob->included);
    patterns_free(&glob->excluded);
}

/* Who comes from gitignore takes a slash inside for an anchor. `**` in front of the pattern says
 * that it is none; of braces that hold an anchor nothing is said. */
static void advise(struct dray_ctx *ctx, uint32_t row, uint64_t index, const char *text)
{
    const char *slash = strchr(text, '/');

    if (slash == NULL || slash == text || slash[1] == '\0' || strncmp(text, "**/", 3) == 0 ||
        slash[-1] == '{' || slash[-1] == ',' || slash[-1] == '\\')
        return;
    char *anchored = ctx->host->format("/%s", text);
    if (anchored != NULL)
        ctx->host->advise_option(ctx, options[row].name, (int64_t)index, 0, anchored,
                                 "\"%s\" matches below the root too: write \"%s\" for the root "
                                 "only, or \"**%s\" if that is meant",
                                 text, anchored, anchored);
    ctx->host->free(anchored);
}

/* Compile one list. Every bad pattern is reported, not only the first. */
static int compile(struct dray_ctx *ctx, uint32_t row, const struct dray_strings *texts,
                   int64_t ignore_case, struct patterns *patterns)
{
    int result = DRAY_OK;
    patterns->items = calloc(texts->count + 1, sizeof(struct dray_pattern *));
    if (patterns->items == NULL)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "cannot compile %s: out of memory",
                               options[row].name);
    patterns->count = texts->count;
    for (uint64_t i = 0; i < texts->count; i++) {
        struct dray_pattern_fault fault;
        int compiled = dray_pattern_compile(texts->items[i], strlen(texts->items[i]),
                                            ignore_case ? DRAY_PATTERN_IGNORE_CASE : 0,
                                            &patterns->items[i], &fault);
        if (compiled == DRAY_PATTERN_NO_MEMORY)
            return ctx->host->fail(ctx, DRAY_NO_MEMORY,
                                   "cannot compile %s[%" PRIu64 "]: out of memory",
                                   options[row].name, i);
        if (compiled == DRAY_PATTERN_FAULTY)
            result = ctx->host->fail_option(ctx, options[row].name, (int64_t)i, fault.offset, "%s",
                                            fault.reason);
        if (compiled == DRAY_PATTERN_OK)
            advise(ctx, row, i, texts->items[i]);
    }
    return result;
}

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct glob *glob = self;
    glob->included = glob->excluded = (struct patterns){NULL, 0};
    int result = compile(ctx, OPTION_INCLUDE, &glob->include, glob->ignore_case, &glob->included);
    if (result == DRAY_OK || result == DRAY_INVALID) {
        int excluded =
            compile(ctx, OPTION_EXCLUDE, &glob->exclude, glob->ignore_case, &glob->excluded);
        result = excluded != DRAY_OK ? excluded : result;
    }
    if (result != DRAY_OK) /* then nobody calls destroy */
        destroy(glob);
    return result;
}

/* The number of the first pattern that matches, or DRAY_NO_INDEX. */
static int64_t find(const struct patterns *patterns, const struct dray_pattern_path *path)
{
    for (uint64_t i = 0; i < patterns->count; i++) {
        if (dray_pattern_matches(patterns->items[i], path))
            return (int64_t)i;
    }
    return DRAY_NO_INDEX;
}

static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    const struct glob *glob = self;
    struct dray_pattern_path path;
    (void)ctx;
    dray_pattern_path_init(&path, entry->path, entry->path_length, entry->type == DRAY_DIRECTORY);
    int64_t index = find(&glob->excluded, &path);
    if (index != DRAY_NO_INDEX) {
        *ret_verdict = (struct dray_verdict){DRAY_DROP, OPTION_EXCLUDE, index};
        return DRAY_OK;
    }
    index = find(&glob->included, &path);
    int keep = index != DRAY_NO_INDEX || glob->included.count == 0;
    *ret_verdict = (struct dray_verdict){keep ? DRAY_KEEP : DRAY_DROP, OPTION_INCLUDE, index};
    return DRAY_OK;
}

static const struct dray_filter_operations operations = {
    .size = sizeof(operations),
    .decide = decide,
};

DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT, "glob", "1.0.0",
            "Keep and drop entries by patterns of their paths", struct glob, options, &operations,
            .prepare = prepare, .destroy = destroy);
