/* SPDX-License-Identifier: MIT */
/* trust.c - who could have written a plugin: looked at before anything in the file is read. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/plugin/load.h"

/* Belongs to root or to us, and has no write bit for others. An access list's rights show in the
 * group bits. */
static int check_owner(const char *file, const char *what, const char *path,
                       const struct stat *status, struct dray_error *error)
{
    int result = 0;

    if (status->st_uid != 0 && status->st_uid != geteuid()) {
        result = dray_fail(error, DRAY_DENIED,
                           "%s: %s belongs to user %u, a plugin must belong to "
                           "root or to the user who runs Dray (%u)",
                           file, what, (unsigned)status->st_uid, (unsigned)geteuid());
        dray_hint(error, "if you trust it: chown root '%s'", path);
    } else if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        result = dray_fail(error, DRAY_DENIED,
                           "%s: %s may be written by others (mode %04o), only "
                           "its owner may write a plugin",
                           file, what, (unsigned)status->st_mode & 07777u);
        dray_hint(error, "if you trust it: chmod go-w '%s'", path);
    }
    return result;
}

static int check_directory_of(const char *file, const char *path, struct dray_error *error)
{
    struct stat status;
    const char *slash = strrchr(path, '/');
    dray_autofree char *directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    dray_autofree char *what = NULL;

    if (directory == NULL)
        return dray_fail_memory(error);
    what = dray_format("its directory %s", directory);
    if (what == NULL)
        return dray_fail_memory(error);
    if (stat(directory, &status) != 0)
        return dray_fail_errno(error, errno, "%s: looking at %s", file, what);
    return check_owner(file, what, directory, &status, error);
}

int dray_plugin_trusted(const char *file, struct dray_error *error)
{
    struct stat status;
    dray_autofree char *real = NULL;
    int result;

    if (file[0] != '/')
        return dray_fail(error, DRAY_BUG, "%s: a plugin is named by its absolute path", file);
    real = realpath(file, NULL);
    if (real == NULL)
        return dray_fail_errno(error, errno, "%s: looking at the plugin", file);
    if (lstat(real, &status) != 0)
        return dray_fail_errno(error, errno, "%s: looking at the plugin", file);
    if (!S_ISREG(status.st_mode))
        return dray_fail(error, DRAY_INVALID, "%s: is not a file, a plugin is one", file);
    result = check_owner(file, "the file", real, &status, error);
    if (result == 0)
        result = check_directory_of(file, real, error);
    /* A link can be pointed elsewhere by whoever may write where it lies. */
    if (result == 0 && strcmp(file, real) != 0)
        result = check_directory_of(file, file, error);
    return result;
}
