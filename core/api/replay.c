/* SPDX-License-Identifier: MIT */
/*
 * replay.c - what another set of policies would have done to past jobs. Each job's own steps are
 * planned anew under the set, and previewed on the entries that its stored verdicts name: by the
 * same code that would deliver, and without the data. What a rule would have to read the data for
 * is said to be so, and not guessed.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/api/internal.h"
#include "core/base/io.h"
#include "core/base/text.h"
#include "core/run/verdict_list.h"

/* Of what a rule would have dropped, how many paths are named. */
#define EXAMPLES 5

struct row {
    const char *path;
    size_t length;
    uint64_t bytes;
    int64_t mtime;
    char type, verdict;
};

struct rows {
    struct dray_arena arena;
    struct row *items;
    size_t count, capacity;
};

static void rows_free(struct rows *rows)
{
    dray_arena_free(&rows->arena);
    free(rows->items);
}

struct replay {
    struct dray_api *api;
    struct dray_plan_request *request;
    struct dray_error *error;
    const struct dray_plan *renewed; /* of the job at hand, under the other set */
    json_t *watched; /* of the job at hand: what rules that only watch would have dropped */
    json_t *jobs;
    size_t same, changed, denied, skipped;
};

/* ---- what was */

struct reading {
    struct rows *rows;
    struct dray_error *error;
};

static int take_row(void *arg, const struct dray_verdict_row *from)
{
    struct reading *reading = arg;
    struct rows *rows = reading->rows;
    char *path = dray_arena_text(&rows->arena, from->path, from->path_length);

    if (!path || DRAY_GROW(rows->items, rows->count, rows->capacity))
        return dray_fail_memory(reading->error);
    rows->items[rows->count++] = (struct row){
        .path = path,
        .length = from->path_length,
        .bytes = from->bytes,
        .mtime = from->mtime,
        .type = from->type,
        .verdict = from->verdict,
    };
    return 0;
}

static int take_chunk(void *arg, const void *data, size_t length)
{
    struct reading *reading = arg;

    return dray_verdict_read(data, length, take_row, reading, reading->error);
}

/* The push whose verdicts are this one's too: it takes the same trees. */
static size_t told_by(const struct dray_plan *plan, size_t push)
{
    const struct dray_step *step = &plan->steps[push];

    for (size_t i = 0; i < push; i++) {
        const struct dray_step *other = &plan->steps[i];
        if (other->role == DRAY_STEP_PUSH && other->needs_count == step->needs_count &&
            memcmp(other->needs, step->needs, step->needs_count * sizeof(size_t)) == 0)
            return i;
    }
    return push;
}

/* 1: they are there, 0: none are. */
static int read_rows(struct replay *replay, const struct dray_plan *plan, const char *job,
                     size_t push, struct rows *rows)
{
    struct reading reading = {rows, replay->error};
    const char *step = plan->steps[told_by(plan, push)].id;
    int result = dray_store_verdicts(replay->api->engine.store, job, step, take_chunk, &reading,
                                     replay->error);

    /* One of two targets may have been delivered by another attempt. */
    if (result == 0 && told_by(plan, push) != push)
        result = dray_store_verdicts(replay->api->engine.store, job, plan->steps[push].id,
                                     take_chunk, &reading, replay->error);
    return result;
}

/* ---- what would be */

/* The entries as a list that stands for the dataset: an object a line. */
static int write_list(const struct rows *rows, int fd, struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 4u << 20};

    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        json_t *line = json_pack("{s:s, s:I, s:I}", "type", row->type == 'd' ? "directory" : "file",
                                 "size", (json_int_t)row->bytes, "mtime", (json_int_t)row->mtime);
        int failed = !line || dray_json_set_path(line, "path", row->path, row->length) != 0;
        dray_autofree char *text = failed ? NULL : json_dumps(line, JSON_COMPACT);
        json_decref(line);
        if (!text)
            return dray_fail_memory(error);
        dray_buffer_format(&out, "%s\n", text);
        if (out.length < (1u << 20) && i + 1 < rows->count)
            continue;
        if (out.failed || dray_write_all(fd, out.data, out.length) != 0)
            return dray_fail_memory(error);
        dray_buffer_clear(&out);
    }
    return lseek(fd, 0, SEEK_SET) == 0 ? 0 : dray_fail_memory(error);
}

/* What filters that only watch said. */
static void hear(void *arg, const json_t *event)
{
    struct replay *replay = arg;
    const json_t *rules = json_object_get(event, "rules");
    const char *step = json_string_value(json_object_get(event, "step"));
    size_t i;
    json_t *rule;

    for (i = 0; step && json_is_true(json_object_get(event, "undecided")) &&
                i < replay->renewed->step_count;
         i++) {
        const struct dray_step *of = &replay->renewed->steps[i];
        if ((of->mode != DRAY_MODE_ENFORCE || of->role == DRAY_STEP_GUARD) &&
            strcmp(of->id, step) == 0)
            (void)json_array_append_new(
                replay->watched,
                json_pack("{s:o, s:b}", "by",
                          json_sprintf("policy:%s/%s", of->origin.policy, of->origin.rule),
                          "not_replayed", 1));
    }

    json_array_foreach(rules, i, rule)
    {
        if (json_is_true(json_object_get(rule, "shadow")))
            (void)json_array_append(replay->watched, rule);
    }
}

static int preview(struct replay *replay, const struct dray_plan *plan, const struct rows *rows,
                   int out)
{
    struct dray_engine *engine = &replay->api->engine;
    const struct dray_preview_request request = {
        .json = 1, .kept = 1, .dropped = 1, .quiet = 1, .listing = "the stored verdicts"};
    struct dray_preview_request listed = request;
    dray_autoclose int list = memfd_create("dray-list", MFD_CLOEXEC);
    void (*on_event)(void *, const json_t *) = engine->on_event;
    void *arg = engine->arg;

    if (list < 0)
        return dray_fail_memory(replay->error);
    int result = write_list(rows, list, replay->error);
    if (result != 0)
        return result;
    listed.listing_fd = list;
    engine->on_event = hear;
    engine->arg = replay;
    result = dray_engine_preview(engine, plan, &listed, out, replay->error);
    engine->on_event = on_event;
    engine->arg = arg;
    return result;
}

/* ---- the difference */

struct difference {
    uint64_t was, was_bytes, would, would_bytes, more, more_bytes;
    json_t *dropped;   /* by rule */
    json_t *undecided; /* rules that would read the data */
};

static int count_up(json_t *object, const char *key, json_int_t more)
{
    return json_object_set_new(
        object, key, json_integer(json_integer_value(json_object_get(object, key)) + more));
}

/* One entry that was delivered and would not be. */
static int add_dropped(struct difference *difference, const json_t *line, uint64_t bytes)
{
    const char *by = json_string_value(json_object_get(line, "by"));
    json_t *rule = json_object_get(difference->dropped, by ? by : "?");

    if (!rule) {
        rule = json_pack("{s:i, s:i, s:[]}", "entries", 0, "bytes", 0, "examples");
        if (json_object_set_new(difference->dropped, by ? by : "?", rule) != 0)
            return -1;
    }
    json_t *examples = json_object_get(rule, "examples");
    if (json_array_size(examples) < EXAMPLES &&
        json_array_append(examples, json_object_get(line, "path")) != 0)
        return -1;
    return count_up(rule, "entries", 1) || count_up(rule, "bytes", (json_int_t)bytes) ? -1 : 0;
}

static int compare_line(struct difference *difference, const struct row *row, const json_t *line)
{
    const char *verdict = json_string_value(json_object_get(line, "verdict"));
    const char *by = json_string_value(json_object_get(line, "by"));
    int undecided = verdict && strcmp(verdict, "undecided") == 0;
    int dropped = verdict && strcmp(verdict, "drop") == 0;
    int failed = 0;

    if (undecided && by && strncmp(by, "policy:", strlen("policy:")) == 0)
        failed = json_object_set_new(difference->undecided, by, json_true());
    /* What a filter that reads the data said then, it would say again. */
    if (undecided)
        dropped = row->verdict != 'k';
    if (row->verdict == 'k') {
        difference->was++;
        difference->was_bytes += row->bytes;
    }
    if (!dropped) {
        difference->would++;
        difference->would_bytes += row->bytes;
    }
    if (row->verdict == 'k' && dropped)
        failed |= add_dropped(difference, line, row->bytes);
    if (row->verdict != 'k' && !dropped) {
        difference->more++;
        difference->more_bytes += row->bytes;
    }
    return failed ? -1 : 0;
}

/* Of the preview's lines those of one target; both are in the order of paths. */
static int compare_lines(FILE *lines, const struct rows *rows, const char *uri,
                         struct difference *difference, struct dray_error *error)
{
    dray_autofree char *text = NULL;
    size_t size = 0, at = 0;
    ssize_t length;

    rewind(lines);
    while ((length = getline(&text, &size, lines)) > 0 && at < rows->count) {
        json_t *line = json_loadb(text, (size_t)length, 0, NULL);
        const char *target = json_string_value(json_object_get(line, "target"));
        int ours = json_object_get(line, "path") && (!target || strcmp(target, uri) == 0);
        int failed = !line || (ours && compare_line(difference, &rows->items[at], line) != 0);
        json_decref(line);
        at += ours ? 1 : 0;
        if (failed)
            return dray_fail_memory(error);
    }
    return at == rows->count
               ? 0
               : dray_fail(error, DRAY_INTEGRITY, "the preview says nothing of %zu entries",
                           rows->count - at);
}

static json_t *difference_json(const struct dray_plan *plan, const struct dray_plan_target *target,
                               const struct difference *difference)
{
    json_t *rules = json_array(), *undecided = json_array();
    const char *by;
    json_t *rule;
    int failed = 0;

    json_object_foreach(difference->dropped, by, rule)
    {
        failed |= json_object_set_new(rule, "by", json_string(by));
        failed |= json_array_append(rules, rule);
    }
    json_object_foreach(difference->undecided, by, rule) failed |=
        json_array_append_new(undecided, json_string(by));
    json_t *json = json_pack(
        "{s:s, s:s, s:{s:I, s:I}, s:{s:I, s:I}, s:o, s:{s:I, s:I}, s:o}", "step",
        plan->steps[target->step].id, "destination", target->uri, "was", "entries",
        (json_int_t)difference->was, "bytes", (json_int_t)difference->was_bytes, "would", "entries",
        (json_int_t)difference->would, "bytes", (json_int_t)difference->would_bytes, "dropped",
        rules, "more", "entries", (json_int_t)difference->more, "bytes",
        (json_int_t)difference->more_bytes, "not_replayed", undecided);
    if (failed) {
        json_decref(json);
        return NULL;
    }
    return json;
}

static int compare_target(struct replay *replay, const struct dray_plan *plan,
                          const struct dray_plan_target *target, const char *job, FILE *lines,
                          json_t *targets, int *changed)
{
    dray_cleanup(rows_free) struct rows rows = {0};
    struct difference difference = {.dropped = json_object(), .undecided = json_object()};
    int result = read_rows(replay, plan, job, target->step, &rows);

    result = result < 0 ? result : 0;
    if (result == 0 && (!difference.dropped || !difference.undecided))
        result = dray_fail_memory(replay->error);
    if (result == 0)
        result = compare_lines(lines, &rows, target->uri, &difference, replay->error);
    if (result == 0 &&
        json_array_append_new(targets, difference_json(plan, target, &difference)) != 0)
        result = dray_fail_memory(replay->error);
    *changed |= json_object_size(difference.dropped) > 0 || difference.more > 0;
    json_decref(difference.dropped);
    json_decref(difference.undecided);
    return result;
}

/* ---- one job */

static int add_job(struct replay *replay, const struct dray_job_row *job, const char *outcome,
                   const char *reason, json_t *targets, json_t *findings)
{
    char created[24];
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "job", job->id, "dataset",
                             job->dataset, "user", job->user, "state", dray_state_name(job->state),
                             "created", dray_time_print(job->created, created), "outcome", outcome);

    if (json && reason && json_object_set_new(json, "reason", json_string(reason)) != 0) {
        json_decref(json);
        json = NULL;
    }
    if (json && targets &&
        (json_object_set(json, "targets", targets) || json_object_set(json, "findings", findings) ||
         json_object_set(json, "watched", replay->watched))) {
        json_decref(json);
        json = NULL;
    }
    return json_array_append_new(replay->jobs, json) == 0 ? 0 : dray_fail_memory(replay->error);
}

static int skip_job(struct replay *replay, const struct dray_job_row *job, const char *reason)
{
    replay->skipped++;
    return add_job(replay, job, "not-replayed", reason, NULL, NULL);
}

/* A denial is an answer, and so is that a plugin is gone; what else fails ends the replay. */
static int take_failure(struct replay *replay, const struct dray_job_row *job, int result)
{
    struct dray_error why = *replay->error;

    if (result != DRAY_DENIED && result != DRAY_NOT_FOUND)
        return result;
    *replay->error = (struct dray_error){0};
    if (result == DRAY_NOT_FOUND)
        return skip_job(replay, job, why.message);
    replay->denied++;
    return add_job(replay, job, "denied", why.message, NULL, NULL);
}

static size_t count_sources(const struct dray_plan *plan)
{
    size_t count = 0;

    for (size_t i = 0; i < plan->step_count; i++)
        count += plan->steps[i].role == DRAY_STEP_SOURCE;
    return count;
}

static void close_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static int compare_job(struct replay *replay, const struct dray_job_row *job,
                       const struct dray_plan *plan, const struct dray_plan *renewed, int out)
{
    dray_cleanup(close_file) FILE *lines = fdopen(dup(out), "r");
    json_t *targets = json_array();
    int changed = 0;
    int result = lines && targets ? 0 : dray_fail_memory(replay->error);

    for (size_t i = 0; result == 0 && i < plan->target_count; i++)
        result = compare_target(replay, plan, &plan->targets[i], job->id, lines, targets, &changed);
    if (result == 0) {
        replay->changed += (size_t)changed;
        replay->same += (size_t)!changed;
        result =
            add_job(replay, job, changed ? "changes" : "same", NULL, targets, renewed->findings);
    }
    json_decref(targets);
    return result;
}

static int replay_plan(struct replay *replay, const struct dray_job_row *job,
                       const struct dray_plan *plan)
{
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_plan_freep) struct dray_plan *renewed = NULL;
    dray_cleanup(rows_free) struct rows rows = {0};
    dray_autoclose int out = memfd_create("dray-preview", MFD_CLOEXEC);

    if (out < 0)
        return dray_fail_memory(replay->error);
    if (count_sources(plan) != 1)
        return skip_job(replay, job, "it has several sources, and a list stands for one");
    int result = dray_plan_renew(plan, replay->request, &diagnostics, &renewed, replay->error);
    if (result != 0)
        return take_failure(replay, job, result);
    result = read_rows(replay, plan, job->id, plan->targets[0].step, &rows);
    if (result < 0)
        return result;
    if (result == 0)
        return skip_job(replay, job, "no verdicts are stored of it");
    replay->renewed = renewed;
    result = preview(replay, renewed, &rows, out);
    return result == 0 ? compare_job(replay, job, plan, renewed, out)
                       : take_failure(replay, job, result);
}

static int replay_job(struct replay *replay, const char *id)
{
    dray_cleanup(dray_job_row_freep) struct dray_job_row *job = NULL;
    dray_cleanup(dray_plan_freep) struct dray_plan *plan = NULL;
    int result = dray_store_job(replay->api->engine.store, id, &job, replay->error);

    if (result != 0)
        return result;
    json_t *json = job->plan ? json_loads(job->plan, 0, NULL) : NULL;
    result = dray_plan_parse(json, &plan, replay->error);
    json_decref(json);
    json_decref(replay->watched);
    replay->watched = json_array();
    if (result != 0 || json_array_size(plan->facts) == 0) {
        *replay->error = (struct dray_error){0};
        return skip_job(replay, job, "its plan is of an earlier release");
    }
    return replay->watched ? replay_plan(replay, job, plan) : dray_fail_memory(replay->error);
}

static int replay_all(struct replay *replay, int64_t since, int64_t until)
{
    struct dray_job_row **jobs = NULL;
    size_t count = 0;
    int result = dray_store_jobs(replay->api->engine.store, NULL, NULL, NULL, since, 1000000, &jobs,
                                 &count, replay->error);

    for (size_t i = 0; i < count; i++) {
        if (result == 0 && (until == 0 || jobs[i]->created < until))
            result = replay_job(replay, jobs[i]->id);
        dray_job_row_free(jobs[i]);
    }
    free(jobs);
    return result;
}

int dray_api_policy_replay(struct dray_api *api, const char *const *paths, size_t count,
                           int64_t since, int64_t until, struct dray_diagnostics *diagnostics,
                           json_t **ret_answer, struct dray_error *error)
{
    dray_cleanup(dray_policy_paths_free) struct dray_policy_paths set = {0};
    struct dray_plan_request request;
    json_t *tests = NULL;
    int result = dray_api_plan_request(api, &request, diagnostics, error);

    if (result == 0)
        result = dray_policy_paths(paths, count, &set, &request, error);
    /* The set is read and asked about once, with its tests. */
    if (result == 0)
        result = dray_policy_test(&request, diagnostics, &tests, error);
    if (result == 0)
        result = dray_api_store_read(api, error);
    json_decref(tests);
    struct replay replay = {.api = api, .request = &request, .error = error, .jobs = json_array()};
    if (result == 0)
        result = replay.jobs ? replay_all(&replay, since, until) : dray_fail_memory(error);
    if (result == 0) {
        *ret_answer =
            json_pack("{s:O, s:{s:I, s:I, s:I, s:I}}", "jobs", replay.jobs, "totals", "same",
                      (json_int_t)replay.same, "changes", (json_int_t)replay.changed, "denied",
                      (json_int_t)replay.denied, "not_replayed", (json_int_t)replay.skipped);
        result = *ret_answer ? 0 : dray_fail_memory(error);
    }
    json_decref(replay.watched);
    json_decref(replay.jobs);
    return result;
}
