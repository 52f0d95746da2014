/* SPDX-License-Identifier: MIT */
/* place.c - where a delivery goes: its parent, with its real path, and its name there. */
#include "hpfs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_text(char **text)
{
    free(*text);
}
#define OWNED __attribute__((cleanup(free_text))) char *

int hpfs_check_mode(struct dray_ctx *ctx, const char *real, const struct stat *status)
{
    if ((status->st_mode & S_IWOTH) == 0 || (status->st_mode & S_ISVTX) != 0)
        return DRAY_OK;
    int result = ctx->host->fail(ctx, DRAY_DENIED,
                                 "everybody may rename and remove what is in %s: it is writable "
                                 "for all and has no sticky bit",
                                 real);
    ctx->host->hint(ctx,
                    "deliver elsewhere, or change it first:  chmod o-w '%s'  or  chmod +t '%s'",
                    real, real);
    return result;
}

/* An existing directory's real path, and it itself, which need not be readable. */
static int resolve(struct dray_ctx *ctx, const char *directory, char **ret_real, int *ret_fd)
{
    const struct dray_host *host = ctx->host;
    struct stat status;
    int32_t fd = -1;
    char *real = NULL;
    int result = host->destination(ctx, directory, &real, &fd);

    if (result == DRAY_NOT_FOUND && strstr(directory, "/$") != NULL)
        host->hint(ctx, "the environment is not read here: write the path itself, or "
                        "${NAME}, a parameter, which --set gives a value");
    else if (result == DRAY_NOT_FOUND)
        host->hint(ctx, "make it first:  mkdir -p '%s'", directory);
    if (result != DRAY_OK)
        return result;
    result = fstat(fd, &status) == 0
                 ? hpfs_check_mode(ctx, real, &status)
                 : host->fail_errno(ctx, errno, "looking at the directory %s", real);
    if (result != DRAY_OK) {
        host->free(real);
        (void)close(fd);
        return result;
    }
    *ret_real = real;
    *ret_fd = fd;
    return DRAY_OK;
}

static int check_name(struct dray_ctx *ctx, const char *name, const char *where)
{
    const char *fault = NULL;

    if (name == NULL || name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        fault = "ends in no name that the delivery could have";
    else if (strchr(name, '/') != NULL)
        fault = "is for a dataset whose name has a slash";
    else if (strcmp(name, ".dray") == 0 || strncmp(name, ".dray-", 6) == 0)
        fault = "ends in a name that Dray keeps for itself";
    if (fault == NULL)
        return DRAY_OK;
    int result = ctx->host->fail(ctx, DRAY_INVALID, "the destination %s %s", where, fault);
    ctx->host->hint(ctx, "end it with the name of the new directory, or use  into: DIRECTORY");
    return result;
}

/* A directory that is not there gives a place too, by the name that it is written with. */
static int fill(struct dray_ctx *ctx, const char *directory, const char *name,
                struct hpfs_place *ret_place)
{
    const struct dray_host *host = ctx->host;
    OWNED real = NULL;
    struct hpfs_place place = {.fd = -1};
    int result = resolve(ctx, directory, &real, &place.fd);

    if (result != DRAY_OK && result != DRAY_NOT_FOUND)
        return result;
    const char *parent = real != NULL ? real : directory;
    place.parent = host->format("%s", parent);
    place.name = host->format("%s", name);
    place.whole = host->format("%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name);
    if (place.parent == NULL || place.name == NULL || place.whole == NULL) {
        hpfs_place_free(host, &place);
        return host->fail(ctx, DRAY_NO_MEMORY, "finding out where to deliver: out of memory");
    }
    *ret_place = place;
    return result;
}

/* `path` without slashes at its end, cut into directory and name. */
static int split(struct dray_ctx *ctx, const char *path, struct hpfs_place *ret_place)
{
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        length--;
    OWNED directory = strndup(path, length);
    char *slash = directory == NULL ? NULL : strrchr(directory, '/');
    OWNED name = slash == NULL ? NULL : strdup(slash + 1);
    if (directory == NULL || (slash != NULL && name == NULL))
        return ctx->host->fail(ctx, DRAY_NO_MEMORY, "finding out where to deliver: out of memory");
    int result = check_name(ctx, name, path);
    if (result != DRAY_OK)
        return result;
    /* "/name" lies in "/". */
    slash[slash == directory] = '\0';
    return fill(ctx, directory, name, ret_place);
}

int hpfs_place_find(const struct hpfs *hpfs, struct dray_ctx *ctx, struct hpfs_place *ret_place)
{
    const struct dray_job *job = ctx->host->job(ctx);

    if (hpfs->path != NULL)
        return split(ctx, hpfs->path, ret_place);
    int result = check_name(ctx, job->dataset, hpfs->into);
    return result != DRAY_OK ? result : fill(ctx, hpfs->into, job->dataset, ret_place);
}

void hpfs_place_free(const struct dray_host *host, struct hpfs_place *place)
{
    host->free(place->parent);
    host->free(place->name);
    host->free(place->whole);
    hpfs_close(&place->fd);
    *place = (struct hpfs_place){.fd = -1};
}

int64_t hpfs_count_names(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    int64_t count = 0;

    if (listing == NULL) {
        int reason = errno;
        hpfs_close(&fd);
        errno = reason;
        return -1;
    }
    errno = 0;
    for (const struct dirent *one; (one = readdir(listing)) != NULL;)
        count += strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0;
    int reason = errno;
    (void)closedir(listing);
    errno = reason;
    return reason == 0 ? count : -1;
}
