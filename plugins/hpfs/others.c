/* SPDX-License-Identifier: MIT */
/* others.c - which other datasets in the target lose files to a merge that replaces them. Their
 * records may have been written by anybody, and are read so far only. */
#include "others.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* As much of all records is read; a longer line says nothing. */
#define READ_CAP ((uint64_t)256 << 20)
#define LINE_CAP ((size_t)256 << 10)
/* So many datasets are named. */
#define NAMED 8

struct others {
    struct dray_ctx *ctx;
    const struct hpfs_replaced *replaced;
    char *line; /* LINE_CAP bytes */
    uint64_t left;
    uint64_t count; /* datasets */
    char *names;    /* of those that are named, made with host->format; NULL: none */
    int failed;     /* a class */
};

static int compare_paths(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* Does the line of a tree.jsonl list what is replaced? */
static int lists_replaced(struct others *others)
{
    PROBE_JSON line = json_loads(others->line, JSON_REJECT_DUPLICATES, NULL);
    const char *path = json_string_value(json_object_get(line, "path"));

    return path != NULL && bsearch(&path, others->replaced->paths, others->replaced->count,
                                   sizeof(*others->replaced->paths), compare_paths) != NULL;
}

/* How many of the files that its records list are replaced. */
static uint64_t count_replaced(struct others *others, int records)
{
    const struct dray_host *host = others->ctx->host;
    int fd = probe_open_file(records, "tree.jsonl");
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    uint64_t count = 0;
    int inside = 0; /* a line that is too long */

    if (file == NULL) {
        hpfs_close(&fd);
        return 0;
    }
    for (uint64_t lines = 0; others->failed == 0 && others->left > 0 &&
                             fgets(others->line, (int)LINE_CAP, file) != NULL;
         lines++) {
        size_t length = strlen(others->line);
        int whole = length > 0 && others->line[length - 1] == '\n';
        others->left -= length < others->left ? length : others->left;
        if (whole && !inside && lists_replaced(others))
            count++;
        inside = !whole;
        host->progress(others->ctx, 0, 0);
        if (lines % 1024 == 0 && host->cancelled(others->ctx))
            others->failed = host->fail(others->ctx, DRAY_CANCELLED, "cancelled");
    }
    (void)fclose(file);
    return count;
}

static void name(struct others *others, const char *dataset, uint64_t files)
{
    const struct dray_host *host = others->ctx->host;

    if (others->count++ >= NAMED)
        return;
    char *longer = host->format(
        "%s%s%.80s (%" PRIu64 " %s)", others->names == NULL ? "" : others->names,
        others->names == NULL ? "" : ", ", dataset, files, files == 1 ? "file" : "files");
    host->free(others->names);
    others->names = longer;
    if (longer == NULL)
        others->failed =
            host->fail(others->ctx, DRAY_NO_MEMORY, "looking at other datasets: out of memory");
}

static void look_at_all(struct others *others, int ours, DIR *listing)
{
    const char *dataset = others->ctx->host->job(others->ctx)->dataset;
    const struct dirent *one;

    while (others->failed == 0 && others->left > 0 && (one = readdir(listing)) != NULL) {
        if (one->d_name[0] == '.' || strcmp(one->d_name, dataset) == 0)
            continue;
        HPFS_FD records =
            openat(ours, one->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        uint64_t files = records < 0 ? 0 : count_replaced(others, records);
        if (files > 0)
            name(others, one->d_name, files);
    }
}

/* Also in the result and, since its records are not written yet, in the receipt. */
static void tell(struct others *others, const char *whole)
{
    const struct dray_host *host = others->ctx->host;
    char *message =
        host->format("in %s files of other datasets are replaced, whose deliveries are not "
                     "whole then: %s%s",
                     whole, others->names, others->count > NAMED ? ", and of more" : "");

    if (message == NULL) {
        others->failed =
            host->fail(others->ctx, DRAY_NO_MEMORY, "looking at other datasets: out of memory");
        return;
    }
    const struct dray_field field = {"message", message};
    host->log(others->ctx, DRAY_LOG_WARN, "files of other datasets", &field, 1);
    host->free(message);
    others->failed = host->confirm(others->ctx, "replaces_files_of", others->names);
}

int hpfs_others_look(struct dray_ctx *ctx, int into, const char *whole,
                     const struct hpfs_replaced *replaced)
{
    HPFS_FD ours = openat(into, ".dray", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int copy = ours < 0 ? -1 : openat(ours, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    struct others others = {
        .ctx = ctx, .replaced = replaced, .line = malloc(LINE_CAP), .left = READ_CAP};

    if (listing == NULL || others.line == NULL) {
        int reason = errno;
        if (listing != NULL)
            (void)closedir(listing);
        else
            hpfs_close(&copy);
        int missing = listing == NULL && (reason == ENOENT || ours < 0);
        free(others.line);
        return missing
                   ? DRAY_OK
                   : ctx->host->fail_errno(ctx, reason, "looking at other datasets in %s", whole);
    }
    qsort(replaced->paths, replaced->count, sizeof(*replaced->paths), compare_paths);
    look_at_all(&others, ours, listing);
    if (others.failed == 0 && others.count > 0)
        tell(&others, whole);
    (void)closedir(listing);
    free(others.line);
    ctx->host->free(others.names);
    return others.failed;
}

int hpfs_replaced_add(struct dray_ctx *ctx, struct hpfs_replaced *replaced, const char *path)
{
    if (replaced->count == replaced->capacity) {
        size_t capacity = replaced->capacity == 0 ? 64 : 2 * replaced->capacity;
        char **paths = reallocarray(replaced->paths, capacity, sizeof(*paths));
        if (paths == NULL)
            return ctx->host->fail(ctx, DRAY_NO_MEMORY, "looking for conflicts: out of memory");
        replaced->paths = paths;
        replaced->capacity = capacity;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "looking for conflicts: out of memory");
    replaced->paths[replaced->count++] = copy;
    return DRAY_OK;
}

void hpfs_replaced_free(struct hpfs_replaced *replaced)
{
    for (size_t i = 0; i < replaced->count; i++)
        free(replaced->paths[i]);
    free(replaced->paths);
}
