/* SPDX-License-Identifier: MIT */
/* old.c - the delivery that another one takes the place of. It is removed in the end: so it must be
 * ours, whole, and as it was delivered, before the first byte and again right before its end. */
#include "probe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Does the name still lead to the directory that the host holds? */
static int check_name(struct dray_ctx *ctx, const struct dray_staging *staging,
                      const struct hpfs_place *place, struct hpfs_old *old)
{
    struct stat held, named;

    if (fstat(staging->old, &held) != 0)
        return ctx->host->fail_errno(ctx, errno, "looking at %s", place->whole);
    if (fstatat(staging->parent, staging->final, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
        named.st_dev != held.st_dev || named.st_ino != held.st_ino)
        return ctx->host->fail(ctx, DRAY_CONFLICT,
                               "%s was moved or replaced since it was looked at; nothing was "
                               "written",
                               place->whole);
    old->device = held.st_dev;
    old->inode = held.st_ino;
    return DRAY_OK;
}

/* Take what a probe found. */
static int take_presence(struct dray_ctx *ctx, const struct hpfs_place *place, struct probe *probe,
                         struct dray_presence *presence, struct hpfs_old *old)
{
    const struct dray_host *host = ctx->host;

    if (probe->failed != 0)
        return probe->failed;
    if (presence->state != DRAY_DELIVERED) {
        int result = host->fail(ctx, DRAY_CONFLICT, "%s is %s; nothing was written", place->whole,
                                presence->what != NULL ? presence->what : "no delivery");
        host->hint(ctx, "only a delivery of the same dataset is replaced, and only while nothing "
                        "in it was changed");
        return result;
    }
    old->job = presence->job;
    old->request_key = presence->request_key;
    old->manifest_sha256 = probe->manifest;
    presence->job = presence->request_key = probe->manifest = NULL;
    return DRAY_OK;
}

static void free_probe(const struct dray_host *host, const struct probe *probe,
                       const struct dray_presence *presence)
{
    host->free(probe->manifest);
    host->free(probe->why);
    host->free(presence->job);
    host->free(presence->request_key);
    host->free(presence->time);
    host->free(presence->what);
}

/* What the host holds, whatever it is called. */
static int look_inside(struct dray_ctx *ctx, const struct dray_staging *staging,
                       const struct hpfs_place *place, struct hpfs_old *ret_old)
{
    struct dray_presence presence = {.size = sizeof(presence), .state = DRAY_OCCUPIED};
    struct probe probe = {.ctx = ctx, .root = staging->old, .strict = 1};

    probe_look_inside(&probe, &presence);
    int result = take_presence(ctx, place, &probe, &presence, ret_old);
    free_probe(ctx->host, &probe, &presence);
    return result;
}

static int look(struct dray_ctx *ctx, const struct dray_staging *staging,
                const struct hpfs_place *place, struct hpfs_old *ret_old)
{
    int result = check_name(ctx, staging, place, ret_old);

    return result == DRAY_OK ? look_inside(ctx, staging, place, ret_old) : result;
}

/* Whether a file system can exchange two names shows only when it does. */
static int try_exchange(struct dray_ctx *ctx, const struct dray_staging *staging,
                        const struct hpfs_place *place)
{
    static const char one[] = ".dray-one", other[] = ".dray-other";
    int root = staging->directory, reason = 0;

    if (mkdirat(root, one, 0700) != 0 || mkdirat(root, other, 0700) != 0)
        return ctx->host->fail_errno(ctx, errno, "making a first directory in the delivery");
    if (renameat2(root, one, root, other, RENAME_EXCHANGE) != 0)
        reason = errno;
    if (unlinkat(root, one, AT_REMOVEDIR) != 0 || unlinkat(root, other, AT_REMOVEDIR) != 0)
        return ctx->host->fail_errno(ctx, errno, "removing a first directory in the delivery");
    if (reason == 0)
        return DRAY_OK;
    if (reason != EINVAL && reason != ENOSYS && reason != EOPNOTSUPP)
        return ctx->host->fail_errno(ctx, reason, "exchanging two names in %s", place->parent);
    int result = ctx->host->fail(ctx, DRAY_UNSUPPORTED,
                                 "the file system of %s cannot exchange two names in one act, so "
                                 "%s cannot be replaced; nothing was written",
                                 place->parent, place->whole);
    ctx->host->hint(ctx, "move the old delivery away, then deliver anew");
    return result;
}

int hpfs_old_look(struct dray_ctx *ctx, const struct dray_staging *staging,
                  const struct hpfs_place *place, struct hpfs_old *ret_old)
{
    int result = look(ctx, staging, place, ret_old);

    return result == DRAY_OK ? try_exchange(ctx, staging, place) : result;
}

int hpfs_old_check_held(struct dray_ctx *ctx, const struct dray_staging *staging,
                        const struct hpfs_place *place, const struct hpfs_old *old)
{
    struct hpfs_old now = {.job = NULL};
    int result = look_inside(ctx, staging, place, &now);

    if (result == DRAY_OK &&
        (strcmp(now.job, old->job) != 0 || strcmp(now.request_key, old->request_key) != 0 ||
         strcmp(now.manifest_sha256, old->manifest_sha256) != 0))
        result = ctx->host->fail(ctx, DRAY_CONFLICT,
                                 "%s holds another delivery than before; nothing was written",
                                 place->whole);
    hpfs_old_free(ctx->host, &now);
    return result;
}

int hpfs_old_check(struct dray_ctx *ctx, const struct dray_staging *staging,
                   const struct hpfs_place *place, const struct hpfs_old *old)
{
    struct hpfs_old now = {.job = NULL};
    int result = check_name(ctx, staging, place, &now);

    return result == DRAY_OK ? hpfs_old_check_held(ctx, staging, place, old) : result;
}

int hpfs_old_settle(struct dray_ctx *ctx, const struct dray_staging *staging)
{
    const struct dray_host *host = ctx->host;
    struct dray_presence presence = {.size = sizeof(presence), .state = DRAY_OCCUPIED};
    struct probe probe = {.ctx = ctx, .root = staging->old, .strict = 1};

    probe_look_inside(&probe, &presence);
    int result = probe.failed;
    if (result == DRAY_OK && presence.state == DRAY_DELIVERED)
        result = host->supersedes(ctx, presence.job, presence.request_key, probe.manifest);
    else if (result == DRAY_OK)
        result = host->fail(ctx, DRAY_CONFLICT, "the delivery that was replaced is %s now",
                            presence.what != NULL ? presence.what : "something else");
    free_probe(host, &probe, &presence);
    return result;
}

void hpfs_old_free(const struct dray_host *host, struct hpfs_old *old)
{
    host->free(old->job);
    host->free(old->request_key);
    host->free(old->manifest_sha256);
    *old = (struct hpfs_old){.job = NULL};
}
