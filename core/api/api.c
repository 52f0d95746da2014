/* SPDX-License-Identifier: MIT */
#include "core/api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/api/datasets.h"
#include "core/base/io.h"
#include "core/base/process.h"

/* ---- Where things are ---- */

static const char *home_of(const struct passwd *account)
{
    const char *home = getenv("HOME");

    return home && home[0] == '/' ? home : account ? account->pw_dir : "/";
}

static char *state_directory(const struct passwd *account)
{
    const char *given = getenv("DRAY_STATE"), *state = getenv("XDG_STATE_HOME");

    if (given && given[0]) {
        dray_autofree char *here = getcwd(NULL, 0);
        return here ? dray_path_absolute(here, given) : NULL;
    }
    if (state && state[0] == '/')
        return dray_format("%s/dray", state);
    return dray_format("%s/.local/state/dray", home_of(account));
}

/* The directory `plugins` beside this program, where a checkout has them. */
static char *plugins_beside(void)
{
    dray_autofree char *self = realpath("/proc/self/exe", NULL);
    char *slash = self ? strrchr(self, '/') : NULL;

    if (!slash)
        return NULL;
    *slash = '\0';
    return dray_format("%s/plugins", self);
}

static int open_registry(struct dray_api *api, const struct passwd *account,
                         struct dray_error *error)
{
    dray_autofree char *beside = plugins_beside();
    dray_autofree char *own = dray_format("%s/.local/lib/dray/plugins", home_of(account));
    dray_autofree char *cache = dray_format("%s/cache", api->state);

    if (!beside || !own || !cache)
        return dray_fail_memory(error);
    const char *directories[] = {beside, DRAY_PLUGINDIR, "/usr/local/lib/dray/plugins", own};
    size_t count = 0, total = sizeof(directories) / sizeof(directories[0]);
    for (size_t i = 0; i < total; i++) {
        int known = 0;
        for (size_t j = 0; j < count && !known; j++)
            known = strcmp(directories[j], directories[i]) == 0;
        if (!known)
            directories[count++] = directories[i];
    }
    return dray_registry_new(directories, count, cache, &api->registry, error);
}

static int recheck(void *arg, const struct dray_plan *plan, const char *push, char **ret_kept,
                   struct dray_error *error)
{
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics diagnostics = {0};
    struct dray_plan_request request;
    int result = dray_api_plan_request(arg, &request, &diagnostics, error);

    return result != 0 ? result : dray_plan_recheck(plan, push, &request, ret_kept, error);
}

int dray_api_open(const struct dray_api_settings *settings, struct dray_api **ret_api,
                  struct dray_error *error)
{
    dray_cleanup(dray_api_closep) struct dray_api *api = calloc(1, sizeof(*api));
    const struct passwd *account = getpwuid(geteuid());

    if (!api)
        return dray_fail_memory(error);
    api->settings = settings;
    api->here = getcwd(NULL, 0);
    if (!api->here)
        return dray_fail_errno(error, errno, "finding the working directory");
    api->state = state_directory(account);
    api->user = account ? strdup(account->pw_name) : dray_format("%u", (unsigned)geteuid());
    api->actor = api->user ? strdup(api->user) : NULL;
    if (!api->state || !api->actor)
        return dray_fail_memory(error);
    int result = settings->user ? dray_api_for(api, settings->user, error) : 0;
    if (result == 0)
        result = open_registry(api, account, error);
    if (result != 0)
        return result;
    api->engine = (struct dray_engine){.state = api->state,
                                       .registry = api->registry,
                                       .user = api->user,
                                       .actor = api->actor,
                                       .whom = api->whom,
                                       .unconfined = settings->unconfined,
                                       .interrupt_fd = settings->interrupt_fd,
                                       .journal = -1,
                                       .on_event = settings->on_event,
                                       .arg = settings->arg,
                                       .recheck = recheck,
                                       .recheck_arg = api};
    *ret_api = DRAY_TAKE(api);
    return 0;
}

void dray_api_close(struct dray_api *api)
{
    if (!api)
        return;
    dray_store_close(api->engine.store);
    dray_registry_free(api->registry);
    for (size_t i = 0; i < api->policy_count; i++)
        free(api->policies[i]);
    free(api->policies);
    dray_configuration_clear(&api->configuration);
    free(api->state);
    free(api->here);
    free(api->user);
    free(api->actor);
    json_decref(api->whom);
    free(api);
}

void dray_api_closep(struct dray_api **api)
{
    dray_api_close(*api);
}

struct dray_registry *dray_api_plugins(struct dray_api *api)
{
    return api->registry;
}

int dray_api_store(struct dray_api *api, struct dray_error *error)
{
    if (api->engine.store && !api->only_read)
        return 0;
    dray_store_close(api->engine.store);
    api->engine.store = NULL;
    int result = dray_store_open(api->state, &api->engine.store, error);
    if (result != 0 && error->hint[0] == '\0')
        dray_hint(error, "it is for Dray's own state; let DRAY_STATE name a directory that you may "
                         "write");
    return result;
}

int dray_api_store_read(struct dray_api *api, struct dray_error *error)
{
    struct dray_error denied = {0};

    if (api->engine.store)
        return 0;
    int result = dray_api_store(api, &denied);
    api->only_read = result == DRAY_DENIED;
    if (api->only_read)
        return dray_store_read(api->state, &api->engine.store, error);
    if (result != 0)
        *error = denied;
    return result;
}

/* ---- Planning ---- */

/* The directory that a file's relative paths start from: its real path, since the same file gives
 * the same plan from wherever it is planned. */
static char *base_of(const struct dray_api *api, const char *file)
{
    dray_autofree char *absolute = dray_path_absolute(api->here, file);
    char *slash = absolute ? strrchr(absolute, '/') : NULL;

    if (!slash)
        return NULL;
    slash[slash == absolute ? 1 : 0] = '\0';
    char *real = realpath(absolute, NULL);
    return real ? real : DRAY_TAKE(absolute);
}

static int is_standard_input(const char *listing)
{
    return strcmp(listing, "-") == 0;
}

/* Not by opening it, which a list that comes through a pipe allows once. */
static int check_listing(const char *listing, struct dray_error *error)
{
    struct stat status;

    if (is_standard_input(listing))
        return 0;
    if (stat(listing, &status) != 0 || access(listing, R_OK) != 0)
        return dray_fail_errno(error, errno, "reading the list %s", listing);
    return S_ISDIR(status.st_mode)
               ? dray_fail(error, DRAY_INVALID, "the list %s is a directory", listing)
               : 0;
}

int dray_api_plan(struct dray_api *api, const struct dray_workflow_request *request,
                  struct dray_diagnostics *diagnostics, struct dray_plan **ret_plan,
                  struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = DRAY_YAML_MAX_BYTES};
    dray_autofree char *base = request->file ? base_of(api, request->file) : strdup(api->here);

    if (!base)
        return dray_fail_memory(error);
    if (request->listing && check_listing(request->listing, error) != 0)
        return error->class_;
    if (request->file) {
        int result = dray_read_file(request->file, &text, error);
        if (result == DRAY_CONFLICT) {
            result = dray_fail(error, DRAY_INVALID,
                               "%s is a directory, and a workflow is a YAML file", request->file);
            dray_hint(error, "to deliver a directory without a workflow: dray push");
        }
        if (result != 0)
            return result;
    }
    struct dray_plan_request plan;
    int result = dray_api_plan_request(api, &plan, diagnostics, error);

    if (result != 0)
        return result;
    plan.workflow_name = request->file   ? request->file
                         : request->name ? request->name
                                         : "dray push --print-workflow";
    plan.workflow_text = request->file ? (text.data ? text.data : "") : request->text;
    plan.workflow_length = request->file ? text.length : strlen(request->text);
    plan.workflow_base = base;
    plan.dataset = request->dataset;
    plan.sets = request->sets;
    plan.set_count = request->set_count;
    plan.listed = request->listing != NULL || request->from_catalog;
    plan.advise = request->advise;
    plan.reads_only = request->reads_only;
    if (request->reads_only) {
        plan.policy_directory_count = 0;
        plan.first_policy_optional = plan.first_policy_mandatory = 0;
    }
    return dray_plan_make(&plan, diagnostics, ret_plan, error);
}

int dray_api_preview(struct dray_api *api, const struct dray_workflow_request *request,
                     const struct dray_preview_request *preview, int fd,
                     struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    struct dray_preview_request listed = *preview;
    dray_autofree char *name = NULL;
    dray_autoclose int opened = -1;
    int result = dray_api_plan(api, request, diagnostics, &plan, error);

    if (result != 0)
        return result;
    listed.listing = request->listing;
    listed.listing_fd = STDIN_FILENO;
    if (request->from_catalog) {
        result = dray_dataset_listing(api, plan, &opened, &name, error);
        if (result != 0)
            return result;
        listed.listing = name;
        listed.listing_fd = opened;
    } else if (request->listing && is_standard_input(request->listing)) {
        listed.listing = "standard input";
    } else if (request->listing) {
        opened = listed.listing_fd = open(request->listing, O_RDONLY | O_CLOEXEC);
        if (opened < 0)
            return dray_fail_errno(error, errno, "opening the list %s", request->listing);
    }
    return dray_engine_preview(&api->engine, plan, &listed, fd, error);
}

static int check_configuration(const char *file, struct dray_diagnostics *diagnostics,
                               struct dray_error *error)
{
    dray_cleanup(dray_configuration_clear) struct dray_configuration configuration = {0};

    return dray_configuration_load(file, diagnostics, &configuration, error);
}

/* The first file that cannot be read is the error of all; each other one is a problem of itself. */
static void not_checked(struct dray_diagnostics *diagnostics, const char *file,
                        const struct dray_error *error)
{
    uint32_t source = dray_diagnostics_source(diagnostics, file, "", 0);

    dray_diagnose(diagnostics, (struct dray_place){.source = source}, DRAY_SEVERITY_ERROR, "%s",
                  error->message);
}

int dray_api_check(struct dray_api *api, const char *const *files, size_t count,
                   struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    struct dray_asker asker = {dray_engine_ask, &api->engine};
    struct dray_recipes saved = dray_api_saved(api);
    struct dray_error unread = {0};

    for (size_t i = 0; i < count; i++) {
        size_t before = diagnostics->errors;
        int result =
            dray_configuration_is(files[i])
                ? check_configuration(files[i], diagnostics, error)
                : dray_check_file(files[i], api->registry, &asker, &saved, diagnostics, error);
        if (result == DRAY_CONFLICT)
            result = dray_fail(error, DRAY_INVALID,
                               "%s is a directory; workflows, policies and recipes are YAML files",
                               files[i]);
        /* Not a problem in the file: it could not be checked at all. The others can. */
        if (result == 0 || diagnostics->errors > before)
            continue;
        if (result != DRAY_NOT_FOUND && result != DRAY_DENIED && result != DRAY_INVALID)
            return result;
        if (unread.class_ != 0)
            not_checked(diagnostics, files[i], error);
        else
            unread = *error;
    }
    dray_diagnostics_sort(diagnostics);
    if (unread.class_ != 0) {
        *error = unread;
        return unread.class_;
    }
    return diagnostics->errors ? dray_diagnostics_error(diagnostics, error) : 0;
}

int dray_api_check_text(struct dray_api *api, const char *name, const char *text,
                        struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    struct dray_asker asker = {dray_engine_ask, &api->engine};

    struct dray_recipes saved = dray_api_saved(api);

    return dray_check_text(name, text, api->here, api->registry, &asker, &saved, diagnostics,
                           error);
}

int dray_api_try_text(struct dray_api *api, const char *name, const char *text,
                      struct dray_diagnostics *diagnostics, struct dray_error *error)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    struct dray_workflow_request request = {.text = text, .name = name};
    int result = dray_api_plan(api, &request, diagnostics, &plan, error);

    if (result == 0)
        result = dray_targets_free(plan, error);
    /* Nothing was begun: it is what was written that is wrong. */
    if (result == DRAY_CONFLICT)
        result = error->class_ = DRAY_INVALID;
    return result;
}

/* Which of a job's delivered targets are no longer there. */
static void mark_gone(const struct dray_plan *plan, const json_t *targets)
{
    for (size_t i = 0; i < plan->target_count; i++) {
        size_t j;
        json_t *one;
        if (plan->targets[i].presence != DRAY_ABSENT)
            continue;
        json_array_foreach(targets, j, one)
        {
            const char *key = json_string_value(json_object_get(one, "request_key"));
            if (key && strcmp(key, plan->targets[i].request_key) == 0)
                (void)json_object_set_new(one, "gone", json_true());
        }
    }
}

int dray_api_run(struct dray_api *api, const struct dray_workflow_request *request, int again,
                 struct dray_diagnostics *diagnostics, json_t **ret_job, struct dray_error *error)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    dray_cleanup(dray_outcome_free) struct dray_outcome outcome = {0};
    int result = dray_api_plan(api, request, diagnostics, &plan, error);

    if (result == 0)
        result = dray_api_store(api, error);
    if (result != 0)
        return result;
    result = dray_engine_deliver(&api->engine, plan, request->file, again, &outcome, error);
    struct dray_error ignored = {0};
    if (outcome.job && dray_api_show(api, outcome.job, ret_job, &ignored) == 0) {
        /* A marker's job may by chance be the beginning of another one of ours. */
        const char *shown = json_string_value(json_object_get(*ret_job, "job"));
        if (!shown || strcmp(shown, outcome.job) != 0) {
            json_decref(*ret_job);
            *ret_job = NULL;
        }
    }
    if (outcome.job && !*ret_job)
        *ret_job = dray_found_json(
            plan, outcome.job); /* our state was lost, and the target's marker answers */
    if (*ret_job && dray_complete_targets(api, plan, *ret_job, &ignored) != 0)
        return result != 0 ? result : dray_fail_memory(error);
    if (*ret_job && outcome.already_delivered) {
        (void)json_object_set_new(*ret_job, "already_delivered", json_true());
        mark_gone(plan, json_object_get(*ret_job, "targets"));
    } else if (*ret_job) {
        dray_mark_emptied(plan, *ret_job);
    }
    return result;
}
