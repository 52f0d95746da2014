/* SPDX-License-Identifier: MIT */
/* ask.c - runners that deliver nothing: those that answer a planner, and previews. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/launch.h"
#include "core/engine/staged.h"

/* The error that an event carries, or that the runner's end says. */
static int failed(const json_t *event, struct dray_error *error)
{
    dray_error_from_json(error, json_object_get(event, "error"));
    return error->class_ != 0 ? error->class_
                              : dray_fail(error, DRAY_BUG, "the runner failed without saying why");
}

/* Listen until the event `wanted`; its message, or the reason why it did not come. */
static int listen_for(struct dray_engine *engine, struct dray_runner *runner, const char *wanted,
                      json_t **ret_message, struct dray_error *error)
{
    json_t *message = NULL;
    int received;

    while ((received = dray_runner_next(engine, runner, &message, error)) == 1) {
        const char *event = json_string_value(json_object_get(message, "event"));
        if (event && strcmp(event, wanted) == 0) {
            *ret_message = message;
            return 0;
        }
        int result = event && strcmp(event, "failed") == 0 ? failed(message, error) : 0;
        if (engine->on_event && event)
            engine->on_event(engine->arg, message);
        json_decref(message);
        if (result != 0)
            return result;
    }
    long step;
    int ended = dray_runner_end(runner, &step, error);
    if (engine->interrupted)
        return dray_fail(error, DRAY_CANCELLED, "interrupted");
    return ended != 0 ? ended : dray_fail(error, DRAY_BUG, "the runner ended without an answer");
}

static int ask(struct dray_engine *engine, const json_t *request, json_t **ret_answer,
               struct dray_error *error)
{
    const json_t *steps = json_object_get(request, "steps");
    json_t *start =
        json_pack("{s:s, s:O, s:s, s:s}", "mode", "plan", "request", (json_t *)(uintptr_t)request,
                  "user", engine->user, "actor", engine->actor);
    json_t *message = NULL;
    struct dray_runner runner;
    int result = start ? 0 : dray_fail_memory(error);

    for (size_t i = 0; result == 0 && i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        result = dray_grants_of_step(engine, json_string_value(json_object_get(step, "uses")),
                                     json_string_value(json_object_get(step, "file")),
                                     json_object_get(step, "with"), 1, start, error);
    }
    if (result != 0) {
        json_decref(start);
        return result;
    }
    dray_autoclose int log = dray_log_open(engine, "plan", 1, error);
    if (log < 0) {
        json_decref(start);
        return error->class_;
    }
    struct dray_runner_files files = DRAY_RUNNER_FILES;
    files.log = log;
    result = dray_runner_start(engine, &runner, start, &files, error);
    if (result != 0)
        return result;
    result = listen_for(engine, &runner, "answer", &message, error);
    if (result == 0) {
        *ret_answer = json_incref(json_object_get(message, "answer"));
        json_decref(message);
        if (!*ret_answer)
            result = dray_fail(error, DRAY_BUG, "the runner's answer is empty");
    }
    dray_runner_drop(&runner);
    return result;
}

int dray_engine_ask(void *arg, const json_t *request, json_t **ret_answer, struct dray_error *error)
{
    struct dray_engine *engine = arg;
    int result = ask(engine, request, ret_answer, error);

    /* An answer that came all the same: nobody wants to go on with it. */
    if (result == 0 && engine->interrupted) {
        json_decref(*ret_answer);
        *ret_answer = NULL;
        result = dray_fail(error, DRAY_CANCELLED, "interrupted");
    }
    return result;
}

int dray_targets_probe(struct dray_engine *engine, const struct dray_plan *plan,
                       json_t **ret_answer, struct dray_error *error)
{
    json_t *steps = json_array();

    for (size_t i = 0; i < plan->target_count; i++) {
        const struct dray_step *step = &plan->steps[plan->targets[i].step];
        if (json_array_append_new(steps, json_pack("{s:s, s:s, s:s, s:s, s:O, s:b}", "id", step->id,
                                                   "uses", step->uses, "file", step->file, "digest",
                                                   step->digest, "with", step->with, "describe",
                                                   1)) != 0) {
            json_decref(steps);
            return dray_fail_memory(error);
        }
    }
    json_t *request = json_pack("{s:{s:s}, s:o}", "dataset", "name", plan->dataset, "steps", steps);
    int result = request ? ask(engine, request, ret_answer, error) : dray_fail_memory(error);
    json_decref(request);
    return result;
}

/* Of each step that has lists where their elements are written: {ID: {OPTION: [[line, column,
 * width]]}}. NULL: no memory. */
static json_t *places_of(const struct dray_plan *plan)
{
    json_t *places = json_object();

    for (size_t i = 0; places && i < plan->step_count; i++) {
        const struct dray_step *step = &plan->steps[i];
        if (json_object_size(step->places) > 0 &&
            json_object_set(places, step->id, step->places) != 0) {
            json_decref(places);
            return NULL;
        }
    }
    return places;
}

/* What the runner is told of a preview. NULL: no memory. */
static json_t *show_of(const struct dray_plan *plan, const struct dray_preview_request *request)
{
    json_t *show =
        json_pack("{s:b, s:b, s:b, s:b, s:o}", "json", request->json, "kept", request->kept,
                  "dropped", request->dropped, "quiet", request->quiet, "places", places_of(plan));

    if (show && request->listing &&
        dray_json_set_path(show, "listing", request->listing, strlen(request->listing)) != 0) {
        json_decref(show);
        return NULL;
    }
    return show;
}

/* Previews may run side by side: each has a name of its own. */
static int scratch_of_preview(struct dray_engine *engine, char **ret_path, struct dray_error *error)
{
    dray_autofree char *name = dray_format("preview-%ld", (long)getpid());

    return name ? dray_scratch_make(engine, name, 0, ret_path, error) : dray_fail_memory(error);
}

int dray_engine_preview(struct dray_engine *engine, const struct dray_plan *plan,
                        const struct dray_preview_request *request, int fd,
                        struct dray_error *error)
{
    const struct dray_bringing who = {.engine = engine, .plan = plan, .job = DRAY_STAGED_PREVIEW};
    struct dray_stagings stagings = {0};
    dray_autofree char *scratch = NULL;
    dray_autoclose int recorded = -1;
    struct dray_runner runner;
    json_t *message = NULL;
    size_t step;
    json_t *start = dray_orders_make(engine, plan, "preview", "preview", 0, error);
    int result = start ? 0 : error->class_;

    if (result == 0 && request->stage)
        result = dray_stagings_take(&who, NULL, &stagings, &step, error);
    if (result == 0 && request->stage)
        result = dray_stagings_order(&stagings, plan, start, error);
    if (result == 0 && request->stage)
        result = scratch_of_preview(engine, &scratch, error);
    if (result == 0 &&
        (json_object_set_new(start, "preview", show_of(plan, request)) != 0 ||
         (scratch && json_object_set_new(start, "scratch", json_string(scratch)) != 0)))
        result = dray_fail_memory(error);
    if (result == 0 && !request->listing)
        result = dray_recorded_order(engine, plan, start, &recorded, error);
    dray_autoclose int log = result == 0 ? dray_log_open(engine, "preview", 1, error) : -1;
    if (result == 0 && log < 0)
        result = error->class_;
    const struct dray_runner_files files = {.log = log,
                                            .preview = fd,
                                            .listing = request->listing ? request->listing_fd : -1,
                                            .recorded = recorded};
    if (result == 0)
        result = dray_runner_start(engine, &runner, start, &files, error);
    else
        json_decref(start);
    if (result == 0) {
        result = listen_for(engine, &runner, "job-ended", &message, error);
        json_decref(message);
        dray_runner_drop(&runner);
    }
    struct dray_error removal = {0};
    if (scratch && dray_remove_tree(AT_FDCWD, scratch, &removal) != 0 && result == 0) {
        *error = removal;
        result = removal.class_;
    }
    /* The delivery that it was a preview of may come. */
    dray_stagings_release(&who, &stagings,
                          dray_in_doubt(result) ? DRAY_RELEASE_BAD : DRAY_RELEASE_KEEP);
    return result;
}
