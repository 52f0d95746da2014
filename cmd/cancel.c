/* SPDX-License-Identifier: MIT */
/* cancel.c - end jobs, also those of other processes. */
#include <string.h>

#include "cmd/command.h"

static void print_end(const json_t *job)
{
    const char *state = text(job, "state");

    if (json_is_true(json_object_get(job, "cancelled")))
        (void)printf("job %.8s is cancelled\n", text(job, "job"));
    else if (strcmp(state, "delivered") != 0)
        (void)printf("job %.8s had ended already: %s\n", text(job, "job"), state);
}

int command_cancel(struct options *options)
{
    dray_cleanup(dray_api_closep) struct dray_api *api = NULL;
    struct dray_api_settings settings = api_settings(options);
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics diagnostics = {0};
    struct dray_error error = {0};
    json_t *answer = NULL, *job;
    size_t i;

    int result = dray_api_open(&settings, &api, &error);
    if (result == 0)
        result = dray_api_cancel(api, options->arguments, (size_t)options->argument_count, &answer,
                                 &diagnostics, &error);
    if (options->json && result == 0)
        return print_json(answer);
    if (!options->json)
        json_array_foreach(json_object_get(answer, "jobs"), i, job) print_end(job);
    int status = result != 0 ? report(options, &error, &diagnostics, answer) : 0;
    json_decref(answer);
    return status;
}
