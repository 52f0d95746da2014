/* SPDX-License-Identifier: MIT */
/* internal.h - what the files of this layer share. */
#ifndef DRAY_API_INTERNAL_H
#define DRAY_API_INTERNAL_H

#include "core/api/api.h"
#include "core/api/configuration.h"

#define DRAY_SYSTEM_POLICIES "/etc/dray/policies"

struct dray_api {
    const struct dray_api_settings *settings;
    char *here;   /* the working directory */
    char *state;  /* the state directory */
    char *user;   /* for whom it is */
    char *actor;  /* who runs this */
    json_t *whom; /* the user, where that is another one, as proof.h; else NULL */
    struct dray_configuration configuration; /* once it was asked for, */
    int configured;
    /* and these, once something is planned: */
    char **policies; /* directories, the site's first; NULL: not yet */
    size_t policy_count;
    struct dray_recipes saved;
    struct dray_catalog catalog;
    struct dray_registry *registry;
    struct dray_engine engine; /* its store is NULL until needed */
    int only_read;             /* what it holds then can only be read */
};

/* Read the configuration, once. */
DRAY_MUST_CHECK int dray_api_configure(struct dray_api *api, struct dray_diagnostics *diagnostics,
                                       struct dray_error *error);
/* What every plan of this caller is made with: the policies that hold here and how they are judged
 * (the configuration is read for that, once), names, plugins and recipes. */
DRAY_MUST_CHECK int dray_api_plan_request(struct dray_api *api,
                                          struct dray_plan_request *ret_request,
                                          struct dray_diagnostics *diagnostics,
                                          struct dray_error *error);
/* Files and directories of policies that a command line names, in the place of those that hold
 * here. Drafts are neither signed, nor have they ruled. Free it after the request. */
struct dray_policy_paths {
    const char **files, **directories;
};
DRAY_MUST_CHECK int dray_policy_paths(const char *const *paths, size_t count,
                                      struct dray_policy_paths *set,
                                      struct dray_plan_request *request, struct dray_error *error);
void dray_policy_paths_free(struct dray_policy_paths *set);
/* From now on it is for this user. DRAY_DENIED where the caller may deliver for themselves only. */
DRAY_MUST_CHECK int dray_api_for(struct dray_api *api, const char *user, struct dray_error *error);
/* Open the store when it is not open yet. */
DRAY_MUST_CHECK int dray_api_store(struct dray_api *api, struct dray_error *error);
/* The same for who only reads: one that may not be written will do, and so will none. */
DRAY_MUST_CHECK int dray_api_store_read(struct dray_api *api, struct dray_error *error);
/* What the planner sees of the saved recipes; valid as long as the api. */
struct dray_recipes dray_api_saved(struct dray_api *api);
/* And of the catalog. */
struct dray_catalog dray_api_catalog(struct dray_api *api);
/* A delivery that only its targets know of, in the shape of `run --json`, still without targets.
 * NULL when memory is out. */
DRAY_MUST_CHECK json_t *dray_found_json(const struct dray_plan *plan, const char *job);
/* Of a job that was just delivered, note at each target that got nothing the step that left nothing
 * of what it got: "emptied_by". */
void dray_mark_emptied(const struct dray_plan *plan, json_t *job);
/* A job has the targets that were still to be delivered when it was made: put in those of the plan
 * that came from elsewhere, each with the job that delivered it. */
DRAY_MUST_CHECK int dray_complete_targets(struct dray_api *api, const struct dray_plan *plan,
                                          json_t *job, struct dray_error *error);

#endif
