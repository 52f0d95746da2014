/* SPDX-License-Identifier: MIT */
/* scratch.c - what processes that died left in scratch. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/io.h"
#include "core/engine/deliver.h"

#define PREVIEW "preview-"

/* A job's directory: only its living engine holds its lock. */
static void sweep_job(struct dray_engine *engine, int scratch, const char *name, const char *dot)
{
    dray_autofree char *job = strndup(name, (size_t)(dot - name));
    struct dray_error ignored = {0};
    int lock = -1;

    if (!job || dray_store_lock(engine->store, job, &lock, &ignored) != 1)
        return;
    /* What cannot be removed now is tried again next time. */
    if (dray_remove_tree(scratch, name, &ignored) == 0)
        dray_store_unlock(engine->store, job, &lock);
    dray_close_descriptor(&lock);
}

/* A preview's directory is named for its process. */
static void sweep_preview(int scratch, const char *name)
{
    long process = strtol(name + strlen(PREVIEW), NULL, 10);
    struct dray_error ignored = {0};

    if (process > 0 && kill((pid_t)process, 0) != 0 && errno == ESRCH &&
        dray_remove_tree(scratch, name, &ignored) != 0)
        return;
}

void dray_scratch_sweep(struct dray_engine *engine)
{
    dray_autofree char *path = dray_format("%s/scratch", engine->state);
    DIR *listing = path ? opendir(path) : NULL;

    dray_store_sweep_locks(engine->store);
    if (!listing)
        return;
    for (const struct dirent *one; (one = readdir(listing));) {
        const char *dot = strchr(one->d_name, '.');
        if (strncmp(one->d_name, PREVIEW, strlen(PREVIEW)) == 0)
            sweep_preview(dirfd(listing), one->d_name);
        else if (dot && dot > one->d_name)
            sweep_job(engine, dirfd(listing), one->d_name, dot);
    }
    (void)closedir(listing);
}
