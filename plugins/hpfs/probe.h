/* SPDX-License-Identifier: MIT */
/* probe.h - what the two files that look at a target share: probe.c reads the marker and tells what
 * is there, compare.c holds tree.jsonl against it. Everything there may have been written by
 * anybody. */
#ifndef DRAY_PLUGINS_HPFS_PROBE_H
#define DRAY_PLUGINS_HPFS_PROBE_H

#include "hpfs.h"

#include <jansson.h>
#include <stdlib.h>

struct probe {
    struct dray_ctx *ctx;
    int root;   /* the directory at the target */
    char *why;  /* NULL, or why it is not a whole delivery; made with host->format */
    int failed; /* a class: something that says nothing about the target */
    /* What tree.jsonl lists: all, those that are no directories with something in them, and the
     * bytes. */
    uint64_t names, listed, bytes;
    int64_t grain;  /* ns: how finely times are kept there */
    int merged;     /* others have something in it: that is none of its business */
    int strict;     /* it may be removed: there must be nothing else in it, nor an edited file */
    char *manifest; /* of a whole delivery: the manifest's digest, made with host->format */
};

static inline void probe_no_memory(struct probe *probe)
{
    probe->failed =
        probe->ctx->host->fail(probe->ctx, DRAY_NO_MEMORY, "looking at the target: out of memory");
}

static inline int probe_is_cancelled(struct probe *probe)
{
    if (probe->failed == 0 && probe->ctx->host->cancelled(probe->ctx))
        probe->failed = probe->ctx->host->fail(probe->ctx, DRAY_CANCELLED, "cancelled");
    return probe->failed != 0;
}

/* Note why it is not whole; the first reason stays. */
#define PROBE_NOT_WHOLE(PROBE, ...)                                                                \
    do {                                                                                           \
        if ((PROBE)->why == NULL && (PROBE)->failed == 0) {                                        \
            (PROBE)->why = (PROBE)->ctx->host->format(__VA_ARGS__);                                \
            if ((PROBE)->why == NULL)                                                              \
                probe_no_memory(PROBE);                                                            \
        }                                                                                          \
    } while (0)

/* Open a regular file, whatever else may stand there by its name: -1 with errno. */
int probe_open_file(int directory, const char *name);
ssize_t probe_read(int fd, char *buffer, size_t size);
/* A member of a JSON object, "" where it is missing or no text. */
const char *probe_text(const json_t *object, const char *key);

/* What is in root; probe->failed says whether that could be found out. The caller frees why and
 * manifest. */
void probe_look_inside(struct probe *probe, struct dray_presence *presence);

/* Has the directory at path records of this dataset as they were written with its marker, and
 * nothing else? Then *ret_time is the marker's, made with host->format. 1, 0, or -1 with errno: it
 * cannot be looked at. */
int probe_only_records(struct dray_ctx *ctx, int root, const char *path, const char *dataset,
                       char **ret_time);

/* Is the manifest in the directory of records the one of this digest, and does the tree.jsonl say
 * what is there? Sets why, failed and the numbers. */
void probe_compare(struct probe *probe, int records, const char *digest);

/* ---- Ownership ---- */

static inline void probe_free_json(json_t **json)
{
    json_decref(*json);
}
#define PROBE_JSON __attribute__((cleanup(probe_free_json))) json_t *

static inline void probe_free_text(char **text)
{
    free(*text);
}
#define PROBE_TEXT __attribute__((cleanup(probe_free_text))) char *

#endif
