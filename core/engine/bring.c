/* SPDX-License-Identifier: MIT */
/*
 * bring.c - a source brings what it stages: by a runner of its own, which alone may run the site's
 * program and write where that puts what it brings.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/engine/staged.h"

/* What was heard of the step. */
struct hearing {
    const struct dray_bringing *who;
    int done, ended;
    struct dray_error failure;
};

static json_t *orders(const struct dray_bringing *who, const char *directory,
                      struct dray_error *error)
{
    const struct dray_step *step = &who->plan->steps[who->step];
    json_t *start = json_pack(
        "{s:s, s:s, s:{s:s}, s:o, s:s, s:i, s:s, s:s}", "mode", "bring", "bring", step->id,
        "brought", step->id, directory, "plan", dray_plan_json(who->plan), "job", who->job,
        "attempt", (int)who->attempt, "user", who->engine->user, "actor", who->engine->actor);

    if (!start) {
        dray_fail_memory(error);
        return NULL;
    }
    if (dray_grants_of_step(who->engine, step->uses, step->file, step->with, 0, start, error) == 0)
        return start;
    json_decref(start);
    return NULL;
}

static int start(const struct dray_bringing *who, const char *directory, struct dray_runner *runner,
                 struct dray_error *error)
{
    struct dray_runner_files files = DRAY_RUNNER_FILES;
    json_t *message = orders(who, directory, error);
    dray_autoclose int log =
        message
            ? dray_log_open(who->engine, who->is_job ? who->job : "preview", !who->is_job, error)
            : -1;

    if (log < 0) {
        json_decref(message);
        return error->class_;
    }
    files.log = log;
    return dray_runner_start(who->engine, runner, message, &files, error);
}

static int hear(struct hearing *hearing, const json_t *message, struct dray_error *error)
{
    const struct dray_bringing *who = hearing->who;
    const char *event = json_string_value(json_object_get(message, "event"));
    const char *step = json_string_value(json_object_get(message, "step"));
    const char *outcome = json_string_value(json_object_get(message, "outcome"));
    int ours = step && strcmp(step, who->plan->steps[who->step].id) == 0;

    if (!event)
        return 0;
    if (strcmp(event, "failed") == 0 || (ours && strcmp(event, "step-ended") == 0)) {
        hearing->done = outcome && strcmp(outcome, "done") == 0;
        if (!hearing->done)
            dray_error_from_json(&hearing->failure, json_object_get(message, "error"));
        return 0;
    }
    hearing->ended |= strcmp(event, "job-ended") == 0;
    return ours && who->hear ? who->hear(who->arg, message, error) : 0;
}

static int listen(struct hearing *hearing, struct dray_runner *runner, struct dray_error *error)
{
    struct dray_engine *engine = hearing->who->engine;
    json_t *message = NULL;
    int result = 0, received = 0;
    long step;

    while (result == 0 && (received = dray_runner_next(engine, runner, &message, error)) == 1) {
        result = hear(hearing, message, error);
        json_decref(message);
    }
    if (result != 0 || received < 0)
        return result != 0 ? result : received;
    int died = dray_runner_end(runner, &step, error);
    if (engine->interrupted)
        return dray_fail(error, DRAY_CANCELLED, "interrupted");
    if (hearing->failure.class_ != 0) {
        *error = hearing->failure;
        return error->class_;
    }
    if (died == 0 && !(hearing->done && hearing->ended))
        return dray_fail(error, DRAY_BUG, "the runner ended before its work was done");
    return died;
}

static int ask(const struct dray_bringing *who, const char *directory, struct dray_error *error)
{
    struct hearing hearing = {.who = who};
    struct dray_runner runner;
    int result = start(who, directory, &runner, error);

    if (result != 0)
        return result;
    result = listen(&hearing, &runner, error);
    dray_runner_drop(&runner);
    return result;
}

/* What a program left that could not do it now. */
static int empty(const char *directory, struct dray_error *error)
{
    int result = dray_remove_tree(AT_FDCWD, directory, error);

    return result != 0 ? result : dray_make_directories(directory, 0700, error);
}

int dray_bring(const struct dray_bringing *who, const char *directory, struct dray_error *error)
{
    const struct dray_step *step = &who->plan->steps[who->step];

    for (uint32_t asked = 1;; asked++) {
        dray_autoclose int slot = -1;
        int result = dray_slot_take(who, &slot, error);
        if (result == 0)
            result = ask(who, directory, error);
        dray_close_descriptor(&slot);
        slot = -1;
        if (result != DRAY_LATER)
            return result;
        int64_t ms = dray_retry_pause(&step->retry, asked, 1) / 1000000;
        dray_event_send(who->engine, who->job, who->attempt,
                        json_pack("{s:s, s:s, s:I, s:s}", "event", "waiting", "later", step->id,
                                  "milliseconds", (json_int_t)ms, "message", error->message));
        if (!dray_engine_sleep(who->engine, ms))
            return dray_fail(error, DRAY_CANCELLED, "interrupted while waiting to ask %s again",
                             step->uses);
        *error = (struct dray_error){0};
        result = empty(directory, error);
        if (result != 0)
            return result;
    }
}
