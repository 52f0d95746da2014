/* SPDX-License-Identifier: MIT */
/* push/hpfs: deliver a tree to a directory of a file system, whole or not at all. */
#include "hpfs.h"

#include <stdlib.h>

static const struct dray_option options[] = {
    DRAY_OPTION_PATH(struct hpfs, path, DRAY_OPTION_DELIVERS, NULL,
                     "The new directory that the delivery becomes; its parent must exist"),
    DRAY_OPTION_PATH(
        struct hpfs, into, DRAY_OPTION_DELIVERS, NULL,
        "An existing directory; the delivery becomes a new one in it, named like the dataset"),
    DRAY_OPTION_CHOICE(
        struct hpfs, durability, "syncfs", "syncfs|fsync",
        "How bytes are made durable before the delivery becomes visible: the whole file system, "
        "or file by file"),
    DRAY_OPTION_STRING(
        struct hpfs, permissions, 0, "keep",
        "`keep` for the entries' own modes, `private`, `group`, `public`, or the mode of "
        "directories in octal, which files get without x where their owner may not execute them"),
    DRAY_OPTION_STRING(struct hpfs, group, 0, NULL,
                       "The group, by name or number, that everything delivered gets"),
    DRAY_OPTION_STRING(struct hpfs, owner, 0, NULL,
                       "The user, by name or number, that everything delivered is to belong to, "
                       "which takes the right to give files away"),
    DRAY_OPTION_STRINGS(
        struct hpfs, acl, 0,
        "Who may what besides, as user:NAME:rwX or group:NAME:r-X; directories get it as their "
        "default too"),
    DRAY_OPTION_CHOICE(
        struct hpfs, existing, "fail", "fail|merge|replace",
        "What if something is there already: refuse, add to the directory, or take the place of a "
        "whole delivery of the same dataset in which nothing was changed"),
    DRAY_OPTION_CHOICE(
        struct hpfs, conflicts, "fail", "fail|skip_same|replace",
        "With `existing: merge`, what of files that are there by the same name: refuse, leave them "
        "where their bytes are the same, or put the new ones in their place"),
    DRAY_OPTION_CHOICE(struct hpfs, xattrs, "none", "none|user",
                       "Extended attributes of files and directories that lie in place at the "
                       "source: none, or those of the name space `user`"),
    DRAY_OPTION_ROW(struct hpfs, sync_every, int64_t, DRAY_TYPE_SIZE, 0, "1GiB", NULL, 1 << 20,
                    INT64_MAX,
                    "After so many bytes, and every 10 s, what was copied is made durable, so that "
                    "it need not be copied again if the delivery is killed"),
};

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct hpfs *hpfs = self;

    if (hpfs->path != NULL && hpfs->into != NULL)
        return ctx->host->fail_option(ctx, "into", DRAY_NO_INDEX, 0,
                                      "give either `path` or `into`, not both");
    if (hpfs->path == NULL && hpfs->into == NULL)
        return ctx->host->fail_option(
            ctx, "path", DRAY_NO_INDEX, 0,
            "say where to deliver: `path` is the new directory itself, `into` one "
            "that will hold it");
    if (hpfs->conflicts != HPFS_CONFLICTS_FAIL && hpfs->existing != HPFS_MERGE)
        return ctx->host->fail_option(ctx, "conflicts", DRAY_NO_INDEX, 0,
                                      "`conflicts` is for `existing: merge`");
    return hpfs_rights_prepare(hpfs, ctx);
}

static int describe(void *self, struct dray_ctx *ctx, struct dray_target *ret_target)
{
    struct hpfs_place place = {.fd = -1};
    int result = hpfs_place_find(self, ctx, &place);

    if (place.whole == NULL)
        return result;
    ret_target->uri = place.whole;
    ret_target->parent = place.parent;
    ret_target->name = place.name;
    ret_target->path = ctx->host->format("%s", place.whole);
    hpfs_close(&place.fd);
    return ret_target->path != NULL
               ? result
               : ctx->host->fail(ctx, DRAY_NO_MEMORY,
                                 "finding out where to deliver: out of memory");
}

/* Into a directory that is there. */
static int merge(const struct hpfs *hpfs, struct dray_ctx *ctx, const struct hpfs_place *place,
                 const struct dray_staging *staging)
{
    uint32_t *stay = NULL;
    int result = hpfs_merge_look(hpfs, ctx, staging, place, &stay);

    if (result == DRAY_OK)
        result = staging->kept ? DRAY_OK : hpfs_check_space(ctx, staging, place, NULL);
    if (result == DRAY_OK)
        result = hpfs_acl_check(hpfs, ctx, staging);
    if (result == DRAY_OK)
        result = hpfs_write_tree(hpfs, ctx, staging, place);
    if (result == DRAY_OK)
        result = hpfs_rights_tell(hpfs, ctx);
    if (result == DRAY_OK)
        result = hpfs_merge_tell(ctx, stay);
    if (result == DRAY_OK)
        result = ctx->host->may_commit(ctx);
    if (result == DRAY_OK)
        result = hpfs_write_records(hpfs, ctx, staging);
    if (result == DRAY_OK)
        result = hpfs_rights_records(hpfs, ctx, staging);
    if (result == DRAY_OK)
        result = hpfs_merge_commit(hpfs, ctx, staging, place);
    free(stay);
    return result == DRAY_OK ? ctx->host->confirm(ctx, "path", place->whole) : result;
}

static int deliver(const struct hpfs *hpfs, struct dray_ctx *ctx, const struct hpfs_place *place)
{
    struct dray_staging staging = {.size = sizeof(staging)};
    struct hpfs_old old = {.job = NULL};
    int result = ctx->host->staging(ctx, &staging);
    if (result == DRAY_OK && staging.into >= 0)
        return merge(hpfs, ctx, place, &staging);
    int replaces = result == DRAY_OK && hpfs->existing == HPFS_REPLACE && staging.old >= 0;

    if (result == DRAY_OK)
        result = replaces ? hpfs_old_look(ctx, &staging, place, &old)
                          : hpfs_check_free(hpfs, ctx, &staging, place);
    if (result == DRAY_OK)
        result = staging.kept ? DRAY_OK : hpfs_check_space(ctx, &staging, place, NULL);
    if (result == DRAY_OK)
        result = hpfs_acl_check(hpfs, ctx, &staging);
    if (result == DRAY_OK)
        result = hpfs_write_tree(hpfs, ctx, &staging, place);
    if (result == DRAY_OK && replaces)
        result = ctx->host->supersedes(ctx, old.job, old.request_key, old.manifest_sha256);
    if (result == DRAY_OK)
        result = hpfs_rights_tell(hpfs, ctx);
    if (result == DRAY_OK)
        result = ctx->host->may_commit(ctx);
    if (result == DRAY_OK)
        result = hpfs_write_records(hpfs, ctx, &staging);
    if (result == DRAY_OK)
        result = hpfs_rights_records(hpfs, ctx, &staging);
    if (result == DRAY_OK)
        result = hpfs_commit(hpfs, ctx, &staging, place, replaces ? &old : NULL);
    hpfs_old_free(ctx->host, &old);
    return result == DRAY_OK ? ctx->host->confirm(ctx, "path", place->whole) : result;
}

static int push(void *self, struct dray_ctx *ctx)
{
    struct hpfs_place place = {.fd = -1};
    int result = hpfs_place_find(self, ctx, &place);

    if (result == DRAY_OK)
        result = deliver(self, ctx, &place);
    hpfs_place_free(ctx->host, &place);
    return result;
}

/* All that a failed attempt leaves is in staging, which the host made and removes. */
static int discard(void *self, struct dray_ctx *ctx)
{
    struct dray_staging staging = {.size = sizeof(staging)};

    (void)self;
    if (ctx->host->staging(ctx, &staging) != DRAY_OK || staging.directory >= 0 || staging.old < 0)
        return DRAY_OK;
    return hpfs_old_settle(ctx, &staging);
}

static int look(void *self, struct dray_ctx *ctx)
{
    struct hpfs_place place = {NULL, NULL, NULL};
    int result = hpfs_place_find(self, ctx, &place);

    if (result == DRAY_OK)
        result = hpfs_merge_preview(self, ctx, &place);
    hpfs_place_free(ctx->host, &place);
    return result;
}

static const struct dray_push_operations operations = {
    .size = sizeof(operations),
    .target_type = DRAY_TARGET_HPFS,
    .describe = describe,
    .probe = hpfs_probe,
    .push = push,
    .discard = discard,
    .look = look,
};

DRAY_PLUGIN(DRAY_KIND_PUSH, DRAY_CAP_REENTRANT | DRAY_CAP_LINKS, "hpfs", "1.0.0",
            "Deliver to a directory of a file system", struct hpfs, options, &operations,
            .prepare = prepare);
