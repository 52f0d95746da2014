/* SPDX-License-Identifier: MIT */
/* verify.c - a dataset is read and compared with what the catalog records of it; nothing is
 * delivered. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/staged.h"

struct verifying {
    struct dray_engine *engine;
    struct dray_runner runner;
    int (*hear)(void *arg, const json_t *event);
    void *arg;
    int ended, record;
};

/* A plugin may ask for what only a job has. */
static int refuse(struct verifying *verifying, const json_t *message, struct dray_error *error)
{
    struct dray_error refusal = {0}, gone = {0};

    dray_fail(&refusal, DRAY_UNSUPPORTED, "a dataset that is only read has no job");
    json_t *reply = json_pack("{s:O, s:o}", "reply", json_object_get(message, "id"), "error",
                              dray_error_to_json(&refusal));
    if (!reply)
        return dray_fail_memory(error);
    /* A runner that is gone meanwhile shows at the next read. */
    if (dray_pipe_send(&verifying->runner.pipe, reply, &gone) != 0)
        return 0;
    return 0;
}

static int hear(struct verifying *verifying, const json_t *message, struct dray_error *error)
{
    const char *event = json_string_value(json_object_get(message, "event"));
    const json_t *failure = json_object_get(message, "error");
    const char *step = json_string_value(json_object_get(message, "step"));

    if (json_object_get(message, "request"))
        return refuse(verifying, message, error);
    if (!event)
        return 0;
    /* Of several failures the first is the reason. */
    if (failure && error->class_ == 0) {
        dray_error_from_json(error, failure);
        if (step)
            dray_where(error, "step %s", step);
    }
    verifying->ended = strcmp(event, "job-ended") == 0 || strcmp(event, "failed") == 0;
    if (verifying->engine->on_event)
        verifying->engine->on_event(verifying->engine->arg, message);
    return verifying->hear(verifying->arg, message) == 0 ? 0 : dray_fail_memory(error);
}

static int listen(struct verifying *verifying, struct dray_error *error)
{
    struct dray_error first = {0};
    json_t *message = NULL;
    int received = 0, result = 0;
    long step;

    while (result == 0 && !verifying->ended &&
           (received = dray_runner_next(verifying->engine, &verifying->runner, &message, error)) ==
               1) {
        result = hear(verifying, message, &first);
        json_decref(message);
    }
    if (verifying->engine->interrupted)
        return dray_fail(error, DRAY_CANCELLED, "interrupted");
    if (first.class_ != 0) {
        *error = first;
        return error->class_;
    }
    if (verifying->ended || received < 0)
        return received < 0 ? received : 0;
    int ended = dray_runner_end(&verifying->runner, &step, error);
    return ended != 0 ? ended : dray_fail(error, DRAY_BUG, "the runner ended without an answer");
}

static int start(struct verifying *verifying, const struct dray_plan *plan, const char *scratch,
                 const struct dray_stagings *stagings, struct dray_error *error)
{
    struct dray_engine *engine = verifying->engine;
    struct dray_runner_files files = DRAY_RUNNER_FILES;
    json_t *orders = dray_orders_make(engine, plan, "verify", "verify", 1, error);
    dray_autoclose int log = -1, recorded = -1;
    int result = orders ? 0 : error->class_;

    if (result == 0 && json_object_set_new(orders, "scratch", json_string(scratch)) != 0)
        result = dray_fail_memory(error);
    if (result == 0)
        result = dray_stagings_order(stagings, plan, orders, error);
    if (result == 0 && verifying->record && json_object_set_new(orders, "record", json_true()) != 0)
        result = dray_fail_memory(error);
    if (result == 0 && !verifying->record)
        result = dray_recorded_order(engine, plan, orders, &recorded, error);
    if (result == 0 && !verifying->record && recorded < 0)
        result = dray_fail(error, DRAY_INVALID, "the catalog has no list of the files of \"%s\"",
                           plan->dataset);
    if (result == 0)
        result = log = dray_log_open(engine, "verify", 1, error);
    if (result < 0) {
        json_decref(orders);
        return result;
    }
    files.log = log;
    files.recorded = recorded;
    return dray_runner_start(engine, &verifying->runner, orders, &files, error);
}

int dray_engine_verify(struct dray_engine *engine, const struct dray_plan *plan, int record,
                       int (*on_event)(void *arg, const json_t *event), void *arg,
                       struct dray_error *error)
{
    struct verifying verifying = {.engine = engine, .hear = on_event, .arg = arg, .record = record};
    /* Such a directory is swept when its process is gone. */
    dray_autofree char *name = dray_format("preview-%ld", (long)getpid());
    dray_autofree char *scratch = NULL;
    const struct dray_bringing who = {.engine = engine, .plan = plan, .job = "verify"};
    struct dray_stagings stagings = {0};
    size_t step;

    if (!name)
        return dray_fail_memory(error);
    int result = dray_stagings_take(&who, NULL, &stagings, &step, error);
    if (result == 0)
        result = dray_scratch_make(engine, name, 0, &scratch, error);
    if (result == 0)
        result = start(&verifying, plan, scratch, &stagings, error);
    if (result == 0) {
        result = listen(&verifying, error);
        dray_runner_drop(&verifying.runner);
    }
    struct dray_error removal = {0};
    if (scratch && dray_remove_tree(AT_FDCWD, scratch, &removal) != 0 && result == 0) {
        *error = removal;
        result = removal.class_;
    }
    dray_stagings_release(&who, &stagings, DRAY_RELEASE_DONE);
    return result;
}
