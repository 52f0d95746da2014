/* SPDX-License-Identifier: MIT */
/*
 * cancel.c - a wish that a job should end, left for the process that has it in hand: a file beside
 * the job's lock, `jobs/ID.cancel`, which holds the name of who asked. It is made whole or not at
 * all, and goes with the lock.
 */
#include "core/store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"

#define MOST_NAME 255

/* "jobs/ID.cancel" and what follows; an id that is none must not become a path. */
static int file_name(struct dray_store *store, const char *job, const char *rest, char *name,
                     size_t size, struct dray_error *error)
{
    if (strlen(job) != 36 || strspn(job, "0123456789abcdef-") != 36)
        return dray_store_fail(store, error, DRAY_BUG, "that is not the id of a job");
    (void)snprintf(name, size, "jobs/%s.cancel%s", job, rest);
    return 0;
}

int dray_store_cancel(struct dray_store *store, const char *job, const char *who,
                      struct dray_error *error)
{
    char name[80], made[112], own[32];

    dray_store_doing(store, "asking for job %s to be cancelled", job);
    (void)snprintf(own, sizeof own, ".%ld", (long)getpid());
    int result = file_name(store, job, "", name, sizeof name, error);
    if (result == 0)
        result = file_name(store, job, own, made, sizeof made, error);
    if (result != 0 || faccessat(store->directory_fd, name, F_OK, 0) == 0)
        return result;
    dray_autoclose int fd = openat(store->directory_fd, made,
                                   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dray_sql_fail_errno(store, error, errno, "making the file of the request");
    if (dray_write_all(fd, who, strnlen(who, MOST_NAME)) != 0 ||
        renameat(store->directory_fd, made, store->directory_fd, name) != 0)
        result = dray_sql_fail_errno(store, error, errno, "making the file of the request");
    if (result != 0)
        (void)unlinkat(store->directory_fd, made, 0);
    return result;
}

int dray_store_cancel_asked(struct dray_store *store, const char *job, char **ret_who)
{
    char name[80], who[MOST_NAME + 1];

    if (file_name(store, job, "", name, sizeof name, NULL) != 0)
        return 0;
    dray_autoclose int fd =
        openat(store->directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t length = fd >= 0 ? read(fd, who, MOST_NAME) : -1;
    if (fd < 0)
        return 0;
    /* Who it was is not known then; the wish stands. */
    who[length > 0 ? length : 0] = '\0';
    if (ret_who)
        *ret_who = strdup(who[0] ? who : "somebody");
    return 1;
}

void dray_store_cancel_forget(struct dray_store *store, const char *job)
{
    char name[80];

    if (file_name(store, job, "", name, sizeof name, NULL) == 0)
        (void)unlinkat(store->directory_fd, name, 0);
}
