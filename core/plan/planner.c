/* SPDX-License-Identifier: MIT */
/* planner.c - from a request to a plan: the order in which the parts are called. */
#include "core/plan/draft.h"

#include <string.h>
#include <sys/stat.h>

#include "core/base/text.h"

static const struct dray_policy *policy_of(const struct dray_draft *draft, uint32_t source)
{
    for (size_t i = 0; i < draft->policy_count; i++)
        if (draft->policies[i]->place.source == source)
            return draft->policies[i];
    return NULL;
}

static int deny(struct dray_draft *draft)
{
    (void)dray_fail(
        draft->error, DRAY_DENIED,
        "the policy set has a problem, so nothing is delivered until an admin mends it");
    for (size_t i = 0; i < draft->diagnostics->count; i++) {
        const struct dray_diagnostic *item = &draft->diagnostics->items[i];
        const struct dray_policy *policy = policy_of(draft, item->place.source);
        if (!policy || item->severity != DRAY_SEVERITY_ERROR)
            continue;
        if (!draft->policy_outdated)
            dray_hint(draft->error, "dray check %s", policy->file);
        if (item->place.line)
            dray_where(draft->error, "%s:%u:%u", policy->file, item->place.line,
                       item->place.column);
        else
            dray_where(draft->error, "%s", policy->file);
        break;
    }
    return DRAY_DENIED;
}

int dray_draft_verdict(struct dray_draft *draft)
{
    if (draft->diagnostics->no_memory)
        return dray_fail_memory(draft->error);
    if (draft->diagnostics->errors == 0)
        return 0;
    dray_diagnostics_sort(draft->diagnostics);
    return draft->policy_failed ? deny(draft)
                                : dray_diagnostics_error(draft->diagnostics, draft->error);
}

/* What is known of one file cannot be compared with a directory. */
static int refuse_bundle(struct dray_draft *draft)
{
    struct stat status;

    if (!json_object_get(draft->known, "bundle") || draft->listed || draft->source_name ||
        stat(draft->dataset_path, &status) != 0 || !S_ISDIR(status.st_mode))
        return 0;
    dray_problem(draft, draft->dataset_place,
                 "the catalog has the size or digest of a file for \"%s\", and its source %s is a "
                 "directory",
                 draft->dataset, draft->dataset_path);
    dray_diagnose_hint(draft->diagnostics,
                       "dray dataset set %s --digest \"\" --bundle-size \"\" forgets it",
                       draft->dataset_id);
    return 1;
}

/* The source that a workflow without one gets. */
static int add_source(struct dray_draft *draft)
{
    if (draft->has_sources || (!draft->dataset_path && !draft->source_name) || refuse_bundle(draft))
        return 0;
    for (size_t i = 0; i < draft->step_count; i++) {
        struct dray_draft_step *step = &draft->steps[i];
        if (step->role != DRAY_STEP_SOURCE || !step->known || step->node)
            continue;
        step->place = draft->dataset_place;
        step->uses_place = draft->dataset_place;
        if (draft->source_name)
            return dray_step_command(draft, step);
        return dray_step_source(draft, step,
                                draft->dataset_is_archive ? "source/archive" : "source/directory",
                                draft->dataset_path);
    }
    return 0;
}

static struct dray_place place_of_target(const struct dray_draft_step *step)
{
    struct dray_place place = step->uses_place;

    (void)dray_step_flagged(step, DRAY_OPTION_DELIVERS, &place);
    return place;
}

static void report_same_targets(struct dray_draft *draft)
{
    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        for (size_t k = 0; step->target && k < i; k++) {
            const struct dray_draft_step *other = &draft->steps[k];
            if (!other->target || strcmp(other->target->uri, step->target->uri) != 0)
                continue;
            dray_problem(draft, place_of_target(step),
                         "\"%s\" delivers to the same place as \"%s\" on line %u: %s", step->id,
                         other->id, place_of_target(other).line, step->target->uri);
            break;
        }
    }
}

static int lies_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);

    return strcmp(directory, "/") == 0 ||
           (strncmp(path, directory, length) == 0 && path[length] == '/');
}

/* A delivery below the dataset would become part of it while it is read. */
static void report_targets_inside(struct dray_draft *draft)
{
    for (size_t i = 0; i < draft->step_count; i++) {
        const struct dray_draft_step *step = &draft->steps[i];
        const char *path = step->target ? step->target->path : NULL;
        const char *around = draft->dataset_path;
        for (size_t k = 0; path && k < draft->step_count; k++)
            if (draft->steps[k].reads && lies_below(path, draft->steps[k].reads))
                around = draft->steps[k].reads;
        if (!path || !around || !lies_below(path, around))
            continue;
        dray_problem(draft, place_of_target(step), "the target %s lies inside the dataset", path);
        dray_diagnose_hint(draft->diagnostics, "deliver to a place outside of %s", around);
    }
}

static int read_all(struct dray_draft *draft, const struct dray_plan_request *request)
{
    int result = dray_document_parse(request->workflow_name, request->workflow_text,
                                     request->workflow_length, draft->diagnostics, &draft->document,
                                     draft->error);

    if (result != 0)
        return result;
    draft->top.source = (uint32_t)(draft->diagnostics->source_count - 1);
    result = dray_check_is_workflow(draft);
    if (result == 0)
        result = dray_workflow_read(draft, request->sets, request->set_count);
    if (result == 0)
        result = dray_policies_read(draft, request);
    if (result == 0)
        dray_recipe_check_ids(draft);
    if (result == 0)
        result = dray_dataset_find(draft, request->dataset, request->dataset_base);
    if (result == 0)
        result = dray_dataset_sources(draft);
    if (result == 0)
        result = dray_workflow_wire(draft);
    return result;
}

static int make(struct dray_draft *draft, const struct dray_plan_request *request,
                struct dray_plan **ret_plan)
{
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    struct dray_demand *demands = NULL;
    size_t count = 0;
    int result = read_all(draft, request);

    if (result == 0)
        result = add_source(draft);
    if (result == 0) {
        result = dray_draft_ask(draft, &request->asker);
        /* Mistakes are mended first; what the world did today may be gone by then. */
        if (result != 0 && result != DRAY_NO_MEMORY && draft->diagnostics->errors > 0)
            result = 0;
    }
    if (result == 0) {
        report_same_targets(draft);
        report_targets_inside(draft);
        result = dray_draft_verdict(draft);
    }
    if (result == 0)
        result = dray_draft_compose(draft, request, &plan, &demands, &count);
    if (result == 0)
        result = dray_plan_prove(plan, demands, count, draft->error);
    if (result == 0)
        *ret_plan = DRAY_TAKE(plan);
    return result;
}

int dray_plan_make(const struct dray_plan_request *request, struct dray_diagnostics *diagnostics,
                   struct dray_plan **ret_plan, struct dray_error *error)
{
    struct dray_error own = {0};
    struct dray_draft draft = {
        .diagnostics = diagnostics,
        .registry = request->registry,
        .error = &own,
        .file = request->workflow_name,
        .base = request->workflow_base,
        .now = request->now ? request->now : dray_now(),
        .saved = request->recipes,
        .catalog = request->catalog,
        .listed = request->listed,
        .advise = request->advise,
        .reads_only = request->reads_only,
        .sources = request->sources,
        .durability = request->durability,
    };
    int result = make(&draft, request, ret_plan);

    dray_diagnostics_sort(diagnostics);
    if (result != 0 && error)
        *error = own;
    dray_draft_free(&draft);
    return result;
}
