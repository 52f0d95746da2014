/* SPDX-License-Identifier: MIT */
/* policies.c - which policies a request is under, and the operations on policies. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/api/internal.h"
#include "core/base/io.h"

/* ---- What a request is planned under ---- */

static int collect(struct dray_api *api, struct dray_error *error)
{
    const char *configured = api->configuration.policies;
    size_t count = api->settings->policy_count;

    api->policies = calloc(count + 1, sizeof(char *));
    if (!api->policies)
        return dray_fail_memory(error);
    api->policies[api->policy_count++] = strdup(configured ? configured : DRAY_SYSTEM_POLICIES);
    for (size_t i = 0; i < count; i++)
        api->policies[api->policy_count++] =
            dray_path_absolute(api->here, api->settings->policies[i]);
    for (size_t i = 0; i < api->policy_count; i++)
        if (!api->policies[i])
            return dray_fail_memory(error);
    return 0;
}

/* struct dray_policy_history, from the store, once there is one. */
static int highest(void *arg, const char *directory, const char *policy,
                   struct dray_policy_ruled *ret_ruled, struct dray_error *error)
{
    struct dray_api *api = arg;

    if (!api->engine.store && !dray_store_is_there(api->state))
        return 0;
    int result = dray_api_store_read(api, error);
    return result != 0 ? result
                       : dray_store_policy_highest(api->engine.store, directory, policy,
                                                   &ret_ruled->revision, ret_ruled->digest,
                                                   &ret_ruled->since, error);
}

int dray_api_configure(struct dray_api *api, struct dray_diagnostics *diagnostics,
                       struct dray_error *error)
{
    const struct dray_configuration_scratch *scratch = &api->configuration.scratch;

    if (api->configured)
        return 0;
    int result = dray_configuration_load(api->settings->configuration, diagnostics,
                                         &api->configuration, error);
    if (result != 0)
        return result;
    api->configured = 1;
    api->engine.sources = api->configuration.sources;
    api->engine.destinations = api->configuration.destinations;
    api->engine.scratch = scratch->path;
    api->engine.keep_failed = scratch->keep_failed;
    api->engine.reserve = scratch->reserve;
    api->engine.reserve_percent = scratch->reserve_percent;
    return 0;
}

int dray_api_plan_request(struct dray_api *api, struct dray_plan_request *ret_request,
                          struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    int result = dray_api_configure(api, diagnostics, error);

    if (result == 0 && !api->policies)
        result = collect(api, error);
    if (result != 0)
        return result;
    api->saved = dray_api_saved(api);
    api->catalog = dray_api_catalog(api);
    *ret_request = (struct dray_plan_request){
        .dataset_base = api->here,
        .policy_directories = (const char *const *)api->policies,
        .policy_directory_count = api->policy_count,
        .first_policy_optional = !api->configuration.policies && !api->configuration.mandatory,
        .first_policy_mandatory = api->configuration.mandatory,
        .policy_key = api->configuration.policy_key,
        .policy_history = {highest, api},
        .user = api->user,
        .actor = api->actor,
        .role = "user",
        .registry = api->registry,
        .asker = {dray_engine_ask, &api->engine},
        .recipes = &api->saved,
        .catalog = &api->catalog,
        .sources = api->configuration.sources,
        .durability = api->configuration.durability,
    };
    return 0;
}

int dray_policy_paths(const char *const *paths, size_t count, struct dray_policy_paths *set,
                      struct dray_plan_request *request, struct dray_error *error)
{
    struct stat status;

    set->files = calloc(count + 1, sizeof(char *));
    set->directories = calloc(count + 1, sizeof(char *));
    if (!set->files || !set->directories)
        return dray_fail_memory(error);
    request->policy_directories = set->directories;
    request->policy_files = set->files;
    request->policy_directory_count = request->policy_file_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (stat(paths[i], &status) != 0)
            return dray_fail_errno(error, errno, "reading %s", paths[i]);
        if (S_ISDIR(status.st_mode))
            set->directories[request->policy_directory_count++] = paths[i];
        else
            set->files[request->policy_file_count++] = paths[i];
    }
    request->first_policy_optional = request->first_policy_mandatory = 0;
    request->policy_key = NULL;
    request->policy_history = (struct dray_policy_history){0};
    return 0;
}

void dray_policy_paths_free(struct dray_policy_paths *set)
{
    free(set->files);
    free(set->directories);
}

/* ---- Operations ---- */

int dray_api_policy_list(struct dray_api *api, struct dray_diagnostics *diagnostics,
                         json_t **ret_set, struct dray_error *error)
{
    struct dray_plan_request request;
    int result = dray_api_plan_request(api, &request, diagnostics, error);

    return result != 0 ? result : dray_policy_set_json(&request, diagnostics, ret_set, error);
}

int dray_api_policy_sign(struct dray_api *api, const char *directory, const char *key_file,
                         struct dray_diagnostics *diagnostics, json_t **ret_signed,
                         struct dray_error *error)
{
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL;
    struct dray_asker asker = {dray_engine_ask, &api->engine};
    size_t count = 0;
    int result = dray_key_read_private(key_file, &key, error);

    if (result == 0)
        result =
            dray_policy_sign(directory, key, api->registry, &asker, diagnostics, &count, error);
    if (result != 0)
        return result;
    *ret_signed = json_pack("{s:s, s:I, s:s}", "directory", directory, "policies",
                            (json_int_t)count, "signed_by", dray_key_id(key));
    return *ret_signed ? 0 : dray_fail_memory(error);
}

int dray_api_policy_key(const char *file, json_t **ret_key, struct dray_error *error)
{
    dray_cleanup(dray_key_freep) struct dray_key *key = NULL;
    dray_autofree char *public = dray_format("%s.pub", file);
    int result = public ? dray_key_make(file, &key, error) : dray_fail_memory(error);

    if (result != 0)
        return result;
    *ret_key =
        json_pack("{s:s, s:s, s:s}", "key", dray_key_id(key), "private", file, "public", public);
    return *ret_key ? 0 : dray_fail_memory(error);
}
