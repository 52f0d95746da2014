/* SPDX-License-Identifier: MIT */
/* xattrs.c - the user's extended attributes of files and directories, where `xattrs` asks for them.
 */
#include "hpfs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

struct keeping {
    int fd;
    const char *path;
};

static int is_kept(int fd, const char *name, const void *value, uint64_t size)
{
    char *kept = malloc(size + 1);
    ssize_t got = kept == NULL ? -1 : fgetxattr(fd, name, kept, size + 1);
    int same = got >= 0 && (uint64_t)got == size && memcmp(kept, value, size) == 0;

    free(kept);
    return same;
}

static int keep(struct dray_ctx *ctx, void *arg, const char *name, const void *value, uint64_t size)
{
    const struct keeping *keeping = arg;

    if (fsetxattr(keeping->fd, name, value, size, 0) != 0) {
        int result = ctx->host->fail_errno(ctx, errno,
                                           "setting the attribute %s of \"%.*s\" of the delivery",
                                           name, HPFS_SHOWN, keeping->path);
        ctx->host->hint(ctx, "with  xattrs: none  attributes are left out");
        return result;
    }
    if (is_kept(keeping->fd, name, value, size))
        return DRAY_OK;
    return ctx->host->fail(ctx, DRAY_UNSUPPORTED,
                           "\"%.*s\" of the delivery was given the attribute %s, but the file "
                           "system there keeps another",
                           HPFS_SHOWN, keeping->path, name);
}

int hpfs_xattrs_keep(struct dray_ctx *ctx, const struct dray_entry *entry, int fd)
{
    struct keeping keeping = {fd, entry->path};

    return ctx->host->attributes(ctx, entry->id, keep, &keeping);
}

/* Names of the list that are the user's, one after the other. */
static int remove_all(int fd, const char *names, size_t length)
{
    for (size_t at = 0; at < length; at += strlen(names + at) + 1)
        if (strncmp(names + at, "user.", 5) == 0 && fremovexattr(fd, names + at) != 0 &&
            errno != ENODATA)
            return -1;
    return 0;
}

int hpfs_xattrs_clear(struct dray_ctx *ctx, const struct dray_entry *entry, int fd)
{
    /* Attributes are set by those only who may write the file. */
    int failed = fchmod(fd, 0600) != 0;
    ssize_t length = failed ? -1 : flistxattr(fd, NULL, 0);
    char *names = length > 0 ? malloc((size_t)length) : NULL;

    if (length > 0 && names == NULL)
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "looking at attributes: out of memory");
    if (length > 0)
        length = flistxattr(fd, names, (size_t)length);
    failed = failed || (length < 0 && errno != EOPNOTSUPP) ||
             (length > 0 && remove_all(fd, names, (size_t)length) != 0);
    int reason = errno;
    free(names);
    return failed ? ctx->host->fail_errno(ctx, reason, "taking attributes from \"%.*s\"",
                                          HPFS_SHOWN, entry->path)
                  : DRAY_OK;
}
