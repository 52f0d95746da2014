/* SPDX-License-Identifier: MIT */
/* services_destination.c - where a push to a file system may deliver. */
#include <string.h>

#include "core/run/run.h"
#include "core/tree/destination.h"
#include "core/tree/proof.h"

int dray_service_destination(struct dray_ctx *ctx, const char *path, char **ret_real,
                             int32_t *ret_fd)
{
    struct dray_call *call = (struct dray_call *)(void *)ctx;
    int fd = -1;
    int result =
        dray_destination_find(call->step->run->destinations, path, ret_real, &fd, &call->error);

    if (result == 0)
        *ret_fd = fd;
    return result;
}

int dray_service_permits(struct dray_ctx *ctx, int32_t directory, const char *gone)
{
    const struct dray_call *call = (struct dray_call *)(void *)ctx;
    const json_t *whom = call->step->run->whom;

    if (!whom)
        return 1;
    return gone ? dray_proof_lets_go(whom, directory, gone)
                : dray_proof_of(whom, directory, NULL) != NULL;
}

/* A path at or below which a plugin delivers by itself; it may come into being by that. */
static int check_path(const struct dray_run *run, const char *path, struct dray_error *error)
{
    const json_t *roots = run->destinations;
    dray_autofree char *real = NULL;
    dray_autofree char *above = NULL;
    dray_autoclose int fd = -1;
    int result = dray_destination_find(roots, path, &real, &fd, error);
    const char *slash = strrchr(path, '/');

    if (result == DRAY_NOT_FOUND && slash) {
        above = strndup(path, slash == path ? 1 : (size_t)(slash - path));
        result = above ? dray_destination_find(roots, above, &real, &fd, error)
                       : dray_fail_memory(error);
    }
    return result == 0 ? dray_proof_check(run->whom, fd, real, error) : result;
}

int dray_destination_check(const struct dray_step_run *step, const char *parent,
                           struct dray_error *error)
{
    const struct dray_plugin *plugin = &step->instance->loaded->plugin;
    const json_t *roots = step->run->destinations;
    int result = 0;

    if (!roots && !step->run->whom)
        return 0;
    if (step->instance->loaded->operations.push.target_type == DRAY_TARGET_HPFS) {
        dray_autofree char *real = NULL;
        dray_autoclose int fd = -1;
        return parent ? dray_destination_find(roots, parent, &real, &fd, error) : 0;
    }
    for (uint32_t i = 0; result == 0 && i < plugin->option_count; i++) {
        const char *path =
            json_string_value(json_object_get(step->step->with, plugin->options[i].name));
        if ((plugin->options[i].flags & DRAY_OPTION_DELIVERS) && path)
            result = check_path(step->run, path, error);
    }
    return result;
}

int dray_destination_prove(const struct dray_step_run *step, const char *directory,
                           struct dray_error *error)
{
    const struct dray_run *run = step->run;
    dray_autofree char *real = NULL;
    dray_autoclose int fd = -1;

    if (!run->whom || !directory ||
        step->instance->loaded->operations.push.target_type != DRAY_TARGET_HPFS)
        return 0;
    int result = dray_destination_find(run->destinations, directory, &real, &fd, error);
    return result == 0 ? dray_proof_check(run->whom, fd, real, error) : result;
}
