/* SPDX-License-Identifier: MIT */
/* attempt.c - one runner and what it says, turned into state. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/staged.h"
#include "core/run/made.h"
#include "core/run/run.h"

char *dray_made_directory(const struct dray_engine *engine)
{
    return dray_format("%s/made", engine->state);
}

json_t *dray_orders_make(struct dray_engine *engine, const struct dray_plan *plan, const char *mode,
                         const char *job, uint32_t attempt, struct dray_error *error)
{
    dray_autofree char *made = dray_made_directory(engine);
    json_t *start = made ? json_pack("{s:s, s:o, s:s, s:i, s:s, s:s, s:s}", "mode", mode, "plan",
                                     dray_plan_json(plan), "job", job, "attempt", (int)attempt,
                                     "user", engine->user, "actor", engine->actor, "made", made)
                         : NULL;

    if (!start) {
        dray_fail_memory(error);
        return NULL;
    }
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct dray_step *step = &plan->steps[i];
        if (dray_grants_of_step(engine, step->uses, step->file, step->with, 0, start, error) != 0) {
            json_decref(start);
            return NULL;
        }
    }
    return start;
}

/* What earlier attempts of the job left in scratch when they died. */
static int sweep_scratch(const char *parent, const char *job, struct dray_error *error)
{
    DIR *listing = opendir(parent);
    size_t length = strlen(job);
    int result = 0;

    if (!listing)
        return errno == ENOENT ? 0 : dray_fail_errno(error, errno, "listing %s", parent);
    while (result == 0) {
        errno = 0;
        const struct dirent *one = readdir(listing);
        if (!one && errno != 0)
            result = dray_fail_errno(error, errno, "listing %s", parent);
        if (!one)
            break;
        if (strncmp(one->d_name, job, length) == 0 && one->d_name[length] == '.')
            result = dray_remove_tree(dirfd(listing), one->d_name, error);
    }
    (void)closedir(listing);
    return result;
}

int dray_scratch_make(struct dray_engine *engine, const char *job, uint32_t attempt,
                      char **ret_path, struct dray_error *error)
{
    dray_autofree char *parent = dray_scratch_parent(engine, error);
    dray_autofree char *path = parent ? dray_format("%s/%s.%u", parent, job, attempt) : NULL;

    if (!path)
        return parent ? dray_fail_memory(error) : error->class_;
    int result = dray_make_directories(parent, 0700, error);
    if (result == 0)
        result = sweep_scratch(parent, job, error);
    if (result == 0 && mkdir(path, 0700) != 0)
        result = dray_fail_errno(error, errno, "making the scratch directory %s", path);
    if (result == 0)
        *ret_path = DRAY_TAKE(path);
    return result;
}

/* ---- Steps ---- */

static long step_number(const struct dray_plan *plan, const json_t *message)
{
    const char *id = json_string_value(json_object_get(message, "step"));

    for (size_t i = 0; id && i < plan->step_count; i++)
        if (strcmp(plan->steps[i].id, id) == 0)
            return (long)i;
    return -1;
}

static long target_number(const struct dray_plan *plan, long step)
{
    for (size_t i = 0; i < plan->target_count; i++)
        if ((long)plan->targets[i].step == step)
            return (long)i;
    return -1;
}

static void note_failure(struct dray_attempt *attempt, const struct dray_error *failure,
                         const struct dray_step *step)
{
    /* What was cancelled was so because of something else: that is the better reason, whenever it
     * is heard. */
    int better = attempt->error.class_ == DRAY_CANCELLED && failure->class_ != DRAY_CANCELLED;

    if (attempt->error.class_ == 0 || better) {
        attempt->error = *failure;
        attempt->failed = step;
    }
    struct dray_error *first = step ? &attempt->failures[step - attempt->plan->steps] : NULL;
    if (first && first->class_ == 0 && failure->class_ != DRAY_CANCELLED)
        *first = *failure;
}

static uint64_t number(const json_t *message, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(message, key));

    return value > 0 ? (uint64_t)value : 0;
}

static char *text(const json_t *message, const char *key)
{
    /* The store only reads its rows. */
    return (char *)(uintptr_t)json_string_value(json_object_get(message, key));
}

static int store_step(struct dray_attempt *attempt, const json_t *message,
                      const struct dray_error *failure, struct dray_error *error)
{
    struct dray_step_row row = {
        .step = text(message, "step"),
        .uses = text(message, "uses"),
        .outcome = text(message, "outcome"),
        .reason = failure && failure->class_ ? (char *)(uintptr_t)failure->message : NULL,
        .class_ =
            failure && failure->class_ ? (char *)(uintptr_t)dray_class_name(failure->class_) : NULL,
        .tree_digest = text(message, "tree_digest"),
        .rules = json_object_get(message, "rules"),
        .entries_in = number(message, "entries_in"),
        .bytes_in = number(message, "bytes_in"),
        .entries_out = number(message, "entries_out"),
        .bytes_out = number(message, "bytes_out"),
        .started = (int64_t)number(message, "started"),
    };

    /* The end of a step does not say it again. */
    long step = step_number(attempt->plan, message);
    if (step >= 0)
        row.version = attempt->plan->steps[step].version;
    int64_t began = row.started;
    /* What a source brought before is part of its step. */
    if (step >= 0 && row.started != 0 && attempt->running[step])
        row.started = (int64_t)number(attempt->running[step], "started");
    if (!row.outcome)
        row.outcome = (char *)(uintptr_t) "running";
    else if (__builtin_add_overflow(began, (int64_t)number(message, "nanoseconds"), &row.ended))
        row.ended = row.started;
    return dray_store_step(attempt->engine->store, attempt->job, attempt->number, &row, error);
}

static int store_target(struct dray_attempt *attempt, long target, enum dray_state state,
                        const json_t *message, struct dray_error *error)
{
    const struct dray_plan_target *to = &attempt->plan->targets[target];
    struct dray_target_row row = {.step = attempt->plan->steps[to->step].id,
                                  .push = attempt->plan->steps[to->step].uses,
                                  .destination = to->uri,
                                  .request_key = (char *)(uintptr_t)to->request_key,
                                  .state = state};
    dray_autofree char *receipt = NULL;

    if (state == DRAY_COMMITTING) {
        receipt = json_dumps(json_object_get(message, "receipt"), JSON_COMPACT);
        if (!receipt)
            return dray_fail_memory(error);
        row.receipt = receipt;
        row.manifest_sha256 = text(message, "manifest_sha256");
        row.entries = number(message, "entries");
        row.bytes = number(message, "bytes");
    } else if (state == DRAY_JOB_DELIVERED) {
        json_t *confirmation = json_object_get(message, "confirmation");
        row.confirmation = json_is_object(confirmation) ? confirmation : NULL;
        row.entries = number(message, "entries_out");
        row.bytes = number(message, "bytes_out");
    }
    return dray_store_target(attempt->engine->store, attempt->job, &row, error);
}

static int store_verdicts(struct dray_attempt *attempt, const json_t *message,
                          struct dray_error *error)
{
    const char *step = text(message, "step"), *packed = text(message, "data");
    size_t length = 0;
    dray_autofree char *data = packed ? dray_base64_decode(packed, &length) : NULL;

    if (!step || !data)
        return packed ? dray_fail_memory(error)
                      : dray_fail(error, DRAY_BUG, "the runner told verdicts without data");
    return dray_store_verdicts_add(attempt->engine->store, attempt->job, attempt->number, step,
                                   number(message, "chunk"), number(message, "entries"), data,
                                   length, error);
}

static int end_verdicts(struct dray_attempt *attempt, const json_t *message,
                        struct dray_error *error)
{
    const char *step = text(message, "step");

    if (!step)
        return dray_fail(error, DRAY_BUG, "the runner ended verdicts of no step");
    return dray_store_verdicts_end(attempt->engine->store, attempt->job, attempt->number, step,
                                   number(message, "chunks"), number(message, "entries"), error);
}

static int unknown_step(struct dray_error *error)
{
    return dray_fail(error, DRAY_BUG, "the runner spoke of a step that the plan does not have");
}

static int step_ended(struct dray_attempt *attempt, const json_t *message, struct dray_error *error)
{
    long step = step_number(attempt->plan, message);
    long target = target_number(attempt->plan, step);
    const char *outcome = text(message, "outcome");
    struct dray_error failure = {0};

    if (step < 0 || !outcome)
        return unknown_step(error);
    attempt->told[step] = 1;
    if (json_object_get(message, "error"))
        dray_error_from_json(&failure, json_object_get(message, "error"));
    if (strcmp(outcome, "failed") == 0 || strcmp(outcome, "waiting") == 0 ||
        strcmp(outcome, "cancelled") == 0)
        note_failure(attempt, &failure, &attempt->plan->steps[step]);
    int result = store_step(attempt, message, &failure, error);
    if (result != 0 || target < 0 || attempt->skip[target])
        return result;
    if (strcmp(outcome, "done") == 0) {
        result = store_target(attempt, target, DRAY_JOB_DELIVERED, message, error);
        attempt->delivered[target] = result == 0;
        attempt->committing[target] = 0;
    } else if (attempt->committing[target] == 0 && strcmp(outcome, "failed") == 0) {
        result = store_target(attempt, target, DRAY_FAILED, message, error);
    }
    return result;
}

/* ---- Requests ---- */

/* Of one push, or of all (NULL). */
static int recheck(struct dray_attempt *attempt, const char *push, struct dray_error *error)
{
    struct dray_engine *engine = attempt->engine;
    dray_autofree char *kept = NULL;

    if (!engine->recheck)
        return 0;
    int result = engine->recheck(engine->recheck_arg, attempt->plan, push, &kept, error);
    if (kept)
        dray_event_send(
            engine, attempt->job, attempt->number,
            json_pack("{s:s, s:s, s:i, s:s, s:{s:s}}", "event", "log", "step", "", "level",
                      DRAY_LOG_WARN, "what",
                      "the policies have a problem, and those of the plan stay in force", "fields",
                      "message", kept));
    return result;
}

static int may_commit(struct dray_attempt *attempt, const json_t *message, struct dray_error *error)
{
    long target = target_number(attempt->plan, step_number(attempt->plan, message));

    if (target < 0)
        return dray_fail(error, DRAY_BUG, "a step that is no push wants to commit");
    if (!json_is_object(json_object_get(message, "receipt")))
        return dray_fail(error, DRAY_BUG, "a push wants to commit without a receipt");
    dray_cancel_look_now(attempt->engine);
    if (attempt->engine->interrupted)
        return dray_fail(error, DRAY_CANCELLED, "interrupted");
    int result = recheck(attempt, text(message, "step"), error);
    if (result == 0)
        result = store_target(attempt, target, DRAY_COMMITTING, message, error);
    attempt->committing[target] = result == 0;
    return result;
}

static int checkpoint(struct dray_attempt *attempt, const json_t *message, json_t *reply,
                      struct dray_error *error)
{
    const char *step = text(message, "step"), *key = text(message, "key"),
               *value = text(message, "value");
    dray_autofree char *stored = NULL;

    if (!step || !key)
        return dray_fail(error, DRAY_BUG, "a checkpoint without a step or key");
    if (value)
        return dray_store_checkpoint_put(attempt->engine->store, attempt->job, step, key, value,
                                         error);
    int result =
        dray_store_checkpoint_get(attempt->engine->store, attempt->job, step, key, &stored, error);
    if (result == 0 && stored && json_object_set_new(reply, "value", json_string(stored)) != 0)
        result = dray_fail_memory(error);
    return result;
}

static int answer_request(struct dray_attempt *attempt, struct dray_runner *runner,
                          const json_t *message, struct dray_error *error)
{
    const char *request = text(message, "request");
    struct dray_error refusal = {0};
    json_t *reply = json_pack("{s:O}", "reply", json_object_get(message, "id"));
    int result;

    if (!reply)
        return json_object_get(message, "id")
                   ? dray_fail_memory(error)
                   : dray_fail(error, DRAY_BUG, "the runner made a request without an id");
    if (strcmp(request, "may_commit") == 0)
        result = may_commit(attempt, message, &refusal);
    else if (strcmp(request, "checkpoint") == 0)
        result = checkpoint(attempt, message, reply, &refusal);
    else
        result = dray_fail(&refusal, DRAY_BUG,
                           "the runner asked for %s, which this engine does not know", request);
    /* A refusal that cannot be said must not become leave. */
    if (result != 0 && json_object_set_new(reply, "error", dray_error_to_json(&refusal)) != 0) {
        json_decref(reply);
        return dray_fail_memory(error);
    }
    /* While the policies were looked at, it was their runner that heard of an interrupt. */
    if (attempt->engine->interrupted && runner->cancelled_at == 0)
        dray_runner_cancel(runner);
    /* A runner that is gone meanwhile shows at the next read. */
    struct dray_error gone = {0};
    if (dray_pipe_send(&runner->pipe, reply, &gone) != 0)
        return 0;
    return 0;
}

/* ---- The conversation ---- */

static int hear(struct dray_attempt *attempt, struct dray_runner *runner, json_t *message,
                int *ret_ended, struct dray_error *error)
{
    const char *event = text(message, "event");
    int result = 0;

    if (text(message, "request"))
        return answer_request(attempt, runner, message, error);
    if (!event)
        return 0;
    if (strcmp(event, "step-started") == 0) {
        long step = step_number(attempt->plan, message);
        if (step < 0)
            return unknown_step(error);
        result = store_step(attempt, message, NULL, error);
        if (!attempt->running[step])
            attempt->running[step] = json_incref(message);
    } else if (strcmp(event, "step-ended") == 0) {
        result = step_ended(attempt, message, error);
    } else if (strcmp(event, "verdicts") == 0) {
        return store_verdicts(attempt, message, error); /* nobody else needs to hear of it */
    } else if (strcmp(event, "verdicts-told") == 0) {
        return end_verdicts(attempt, message, error);
    } else if (strcmp(event, "failed") == 0) {
        struct dray_error failure = {0};
        dray_error_from_json(&failure, json_object_get(message, "error"));
        note_failure(attempt, &failure, NULL);
        *ret_ended = 1;
    } else if (strcmp(event, "job-ended") == 0) {
        attempt->abandoned = json_is_true(json_object_get(message, "abandoned"));
        *ret_ended = 1;
        return 0;
    }
    dray_event_send(attempt->engine, attempt->job, attempt->number, json_incref(message));
    return result;
}

/* Steps whose end was never told, because the runner died: one is to blame, the others fell with
 * it. */
static int close_open_steps(struct dray_attempt *attempt, long blamed,
                            const struct dray_error *failure, struct dray_error *error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < attempt->plan->step_count; i++) {
        if (!attempt->running[i] || attempt->told[i])
            continue;
        struct dray_error other = {0};
        dray_fail(&other, DRAY_CANCELLED, "stopped when the runner died");
        const struct dray_error *why = (long)i == blamed || blamed < 0 ? failure : &other;
        json_t *message = json_deep_copy(attempt->running[i]);
        (void)json_object_set_new(message, "event", json_string("step-ended"));
        (void)json_object_set_new(message, "outcome",
                                  json_string(why == failure ? "failed" : "cancelled"));
        (void)json_object_set_new(message, "error", dray_error_to_json(why));
        result = message ? step_ended(attempt, message, error) : dray_fail_memory(error);
        dray_event_send(attempt->engine, attempt->job, attempt->number, message);
    }
    return result;
}

static int converse(struct dray_attempt *attempt, struct dray_runner *runner,
                    struct dray_error *error)
{
    struct dray_error end = {0};
    json_t *message = NULL;
    int ended = 0, result = 0, received = 0;
    long blamed = -1;

    while (result == 0 &&
           (received = dray_runner_next(attempt->engine, runner, &message, &end)) == 1) {
        result = hear(attempt, runner, message, &ended, error);
        json_decref(message);
    }
    if (result != 0)
        return result; /* our own state cannot be kept: the runner is dropped */
    struct dray_error unreadable = end;
    int died = dray_runner_end(runner, &blamed, &end);
    if (ended && died == 0)
        return 0;
    attempt->abandoned = 1;
    if (received < 0)
        end = unreadable; /* if it died, then because nobody listened any more */
    else if (died == 0)
        dray_fail(&end, DRAY_BUG, "the runner ended before its work was done");
    if (attempt->engine->interrupted)
        dray_fail(&end, DRAY_CANCELLED, "interrupted");
    note_failure(attempt, &end, blamed >= 0 ? &attempt->plan->steps[blamed] : NULL);
    return close_open_steps(attempt, blamed, &end, error);
}

/* The ids of the pushes that are marked. */
static int name_targets(const struct dray_plan *plan, const uint8_t *marks, json_t *start,
                        const char *key)
{
    json_t *ids = json_array();

    for (size_t i = 0; ids && marks && i < plan->target_count; i++)
        if (marks[i] &&
            json_array_append_new(ids, json_string(plan->steps[plan->targets[i].step].id)) != 0) {
            json_decref(ids);
            ids = NULL;
        }
    return json_object_set_new(start, key, ids);
}

static int start_runner(struct dray_attempt *attempt, const char *mode, const char *scratch,
                        struct dray_runner *runner, struct dray_error *error)
{
    json_t *start = dray_orders_make(attempt->engine, attempt->plan, mode, attempt->job,
                                     attempt->number, error);
    dray_autoclose int log = -1, recorded = -1;

    if (!start)
        return error->class_;
    if (name_targets(attempt->plan, attempt->skip, start, "skip") != 0 ||
        name_targets(attempt->plan, attempt->given_up, start, "given_up") != 0) {
        json_decref(start);
        return dray_fail_memory(error);
    }
    if (scratch)
        (void)json_object_set_new(start, "scratch", json_string(scratch));
    int result =
        attempt->stagings ? dray_stagings_order(attempt->stagings, attempt->plan, start, error) : 0;
    if (result == 0 && strcmp(mode, "run") == 0)
        result = dray_recorded_order(attempt->engine, attempt->plan, start, &recorded, error);
    log = result == 0 ? dray_log_open(attempt->engine, attempt->job, 0, error) : -1;
    if (log < 0) {
        json_decref(start);
        return error->class_;
    }
    struct dray_runner_files files = DRAY_RUNNER_FILES;
    files.log = log;
    files.recorded = recorded;
    return dray_runner_start(attempt->engine, runner, start, &files, error);
}

/* The files that say what may be left beside targets, where nothing is. */
static void drop_made(const struct dray_engine *engine, const struct dray_plan *plan)
{
    dray_autofree char *directory = dray_made_directory(engine);

    for (size_t i = 0; directory && i < plan->target_count; i++)
        dray_made_drop(directory, plan->targets[i].request_key);
}

static int hear_discard(struct dray_attempt *attempt, json_t *message, struct dray_error *error)
{
    const char *event = text(message, "event");

    if (event && strcmp(event, "log") == 0)
        dray_event_send(attempt->engine, attempt->job, attempt->number, json_incref(message));
    if (!event || strcmp(event, "failed") != 0)
        return 0;
    dray_error_from_json(error, json_object_get(message, "error"));
    return error->class_;
}

int dray_attempt_discard(struct dray_engine *engine, const struct dray_plan *plan, const char *job,
                         uint32_t number_, uint8_t *skip, int settled, struct dray_error *error)
{
    struct dray_attempt attempt = {
        .engine = engine, .plan = plan, .job = job, .number = number_, .skip = skip};
    struct dray_runner runner;
    json_t *message = NULL;
    int result = start_runner(&attempt, settled ? "settle" : "discard", NULL, &runner, error);

    if (result != 0)
        return result;
    int received = 0;
    while (result == 0 && (received = dray_runner_next(engine, &runner, &message, error)) == 1) {
        result = hear_discard(&attempt, message, error);
        json_decref(message);
    }
    long step;
    if (result == 0)
        result = received < 0 ? received : dray_runner_end(&runner, &step, error);
    dray_runner_drop(&runner);
    drop_made(engine, plan);
    dray_autofree char *scratch = result == 0 ? dray_scratch_parent(engine, error) : NULL;
    if (result == 0)
        result = scratch ? sweep_scratch(scratch, job, error) : error->class_;
    return result;
}

/* A push that failed after its commit has delivered: its failure is no reason for anything. */
static void forget_failure(struct dray_attempt *attempt, size_t step)
{
    attempt->failures[step].class_ = 0;
    if (attempt->failed != &attempt->plan->steps[step])
        return;
    attempt->error.class_ = 0;
    attempt->failed = NULL;
    for (size_t i = 0; i < attempt->plan->step_count && !attempt->failed; i++)
        if (attempt->failures[i].class_ != 0) {
            attempt->error = attempt->failures[i];
            attempt->failed = &attempt->plan->steps[i];
        }
}

int dray_attempt_settle(struct dray_attempt *attempt, struct dray_error *error)
{
    size_t count = attempt->plan->target_count;

    if (!memchr(attempt->committing, 1, count))
        return 0;
    int result =
        dray_settle(attempt->engine, attempt->plan, attempt->job, attempt->delivered, error);
    if (result != 0)
        return result;
    for (size_t i = 0; i < count; i++)
        if (attempt->committing[i] && attempt->delivered[i]) {
            forget_failure(attempt, attempt->plan->targets[i].step);
            attempt->settled = 1;
        }
    memset(attempt->committing, 0, count);
    return 0;
}

/* What the host put together for it is of use to the attempt that follows, which takes it over. */
static int is_taken_over(const struct dray_attempt *attempt, size_t target)
{
    return attempt->plan->targets[target].target_type == DRAY_TARGET_HPFS &&
           !attempt->given_up[target];
}

/* Let pushes that were left clean up, but for those that have or may have delivered. `again`:
 * another attempt follows. */
static int discard_rest(struct dray_attempt *attempt, int again, struct dray_error *error)
{
    size_t count = attempt->plan->target_count;
    dray_autofree uint8_t *skip = calloc(count + 1, 1);
    size_t left = 0;

    if (!skip)
        return dray_fail_memory(error);
    for (size_t i = 0; i < count; i++) {
        skip[i] = attempt->skip[i] || attempt->delivered[i] || attempt->committing[i] ||
                  (again && is_taken_over(attempt, i));
        left += !skip[i];
    }
    return left == 0 ? 0
                     : dray_attempt_discard(attempt->engine, attempt->plan, attempt->job,
                                            attempt->number, skip, 0, error);
}

void dray_attempt_clean(struct dray_attempt *attempt, int again)
{
    struct dray_error left = {0};

    if (attempt->abandoned && discard_rest(attempt, again, &left) != 0)
        dray_hint(&attempt->error, "not all of it could be removed: %s", left.message);
}

/* ---- What sources bring, before anything else runs */

static int hear_source(void *arg, const json_t *event, struct dray_error *error)
{
    struct dray_attempt *attempt = arg;
    const char *name = text(event, "event");
    long step = step_number(attempt->plan, event);
    int result = 0;

    if (step >= 0 && strcmp(name, "step-started") == 0 && !attempt->running[step]) {
        result = store_step(attempt, event, NULL, error);
        attempt->running[step] = json_incref((json_t *)(uintptr_t)event);
    }
    dray_event_send(attempt->engine, attempt->job, attempt->number,
                    json_incref((json_t *)(uintptr_t)event));
    return result;
}

/* The end of a step that no runner tells. */
static int end_step(struct dray_attempt *attempt, size_t index, const char *outcome,
                    const struct dray_error *why, struct dray_error *error)
{
    const struct dray_step *step = &attempt->plan->steps[index];
    json_t *message = attempt->running[index]
                          ? json_deep_copy(attempt->running[index])
                          : json_pack("{s:s, s:s}", "step", step->id, "uses", step->uses);
    int failed = !message ||
                 json_object_set_new(message, "event", json_string("step-ended")) != 0 ||
                 json_object_set_new(message, "outcome", json_string(outcome)) != 0;

    if (!failed && attempt->running[index])
        failed = json_object_set_new(
                     message, "nanoseconds",
                     json_integer(dray_now() - (int64_t)number(message, "started"))) != 0;
    if (!failed && why)
        failed = json_object_set_new(message, "error", dray_error_to_json(why)) != 0;
    int result = failed ? dray_fail_memory(error) : step_ended(attempt, message, error);
    dray_event_send(attempt->engine, attempt->job, attempt->number, message);
    return result;
}

/* Without what a source brings no step begins. */
static int end_without(struct dray_attempt *attempt, size_t source, const struct dray_error *why,
                       struct dray_error *error)
{
    const char *outcome = why->class_ == DRAY_CANCELLED ? "cancelled" : "failed";
    int result = end_step(attempt, source, outcome, why, error);

    for (size_t i = 0; result == 0 && i < attempt->plan->step_count; i++) {
        long target = target_number(attempt->plan, (long)i);
        if (i != source && !attempt->told[i] && (target < 0 || !attempt->skip[target]))
            result = end_step(attempt, i, "skipped", NULL, error);
    }
    return result;
}

/* *ret_ready: all is there. */
static int take_stagings(struct dray_attempt *attempt, const struct dray_bringing *who,
                         struct dray_stagings *stagings, int *ret_ready, struct dray_error *error)
{
    const struct dray_plan *plan = attempt->plan;
    dray_autofree uint8_t *needed = calloc(plan->step_count + 1, 1);
    struct dray_error why = {0};
    size_t step = 0;

    if (!needed)
        return dray_fail_memory(error);
    for (size_t i = 0; i < plan->target_count; i++)
        for (size_t j = 0; !attempt->skip[i] && !attempt->given_up[i] && j < plan->step_count; j++)
            needed[j] |= dray_plan_depends(plan, plan->targets[i].step, j) != 0;
    int result = dray_stagings_take(who, needed, stagings, &step, &why);
    *ret_ready = result == 0;
    return result == 0 ? 0 : end_without(attempt, step, &why, error);
}

/* Are the bytes that were brought what the attempt failed for? */
static int in_doubt(const struct dray_attempt *attempt)
{
    for (size_t i = 0; i < attempt->plan->step_count; i++) {
        int class_ = attempt->failures[i].class_;
        if (class_ == DRAY_INTEGRITY && attempt->failures[i].side != DRAY_SIDE_TARGET)
            return 1;
        if (attempt->plan->steps[i].role == DRAY_STEP_SOURCE && dray_in_doubt(class_))
            return 1;
    }
    return 0;
}

static enum dray_release release_of(const struct dray_attempt *attempt)
{
    int all = 1;

    for (size_t i = 0; i < attempt->plan->target_count; i++)
        all &= attempt->skip[i] || attempt->delivered[i];
    if (all || attempt->engine->cancelled_by)
        return DRAY_RELEASE_DONE;
    return in_doubt(attempt) ? DRAY_RELEASE_BAD : DRAY_RELEASE_KEEP;
}

/* Run the plan, on what its sources brought. */
static int run(struct dray_attempt *attempt, struct dray_error *error)
{
    dray_autofree char *scratch = NULL;
    struct dray_runner runner;
    int result = dray_scratch_make(attempt->engine, attempt->job, attempt->number, &scratch, error);

    if (result == 0)
        result = start_runner(attempt, "run", scratch, &runner, error);
    if (result == 0) {
        result = converse(attempt, &runner, error);
        dray_runner_drop(&runner);
    }
    struct dray_error removal = {0};
    if (scratch && dray_remove_tree(AT_FDCWD, scratch, &removal) != 0)
        note_failure(attempt, &removal, NULL);
    struct dray_error unsettled = {0};
    if (dray_attempt_settle(attempt, &unsettled) != 0) /* then it stays open */
        dray_hint(result != 0 ? error : &attempt->error,
                  "whether it was delivered could not be found out: %s", unsettled.message);
    drop_made(attempt->engine, attempt->plan);
    struct dray_error left = {0};
    if (result != 0 && discard_rest(attempt, 0, &left) != 0)
        dray_hint(error, "not all of it could be removed: %s", left.message);
    return result;
}

int dray_attempt_run(struct dray_attempt *attempt, struct dray_error *error)
{
    struct dray_bringing who = {.engine = attempt->engine,
                                .plan = attempt->plan,
                                .job = attempt->job,
                                .attempt = attempt->number,
                                .is_job = 1,
                                .hear = hear_source,
                                .arg = attempt};
    struct dray_stagings stagings = {0};
    int result = recheck(attempt, NULL, error), ready = 0;

    if (result == 0)
        result = take_stagings(attempt, &who, &stagings, &ready, error);
    attempt->stagings = &stagings;
    if (result == 0 && ready)
        result = run(attempt, error);
    attempt->stagings = NULL;
    dray_stagings_release(&who, &stagings, release_of(attempt));
    return result;
}
