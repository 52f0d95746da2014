/* SPDX-License-Identifier: MIT */
/* schedule.c - the DAG: each step on a thread of its own as soon as what it needs is there;
 * independent branches side by side. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "core/base/text.h"
#include "core/run/run.h"

/* How often the clock is looked at for timeouts, ns. */
#define TICK INT64_C(200000000)
/* How long steps may take to clean up after a cancel or beside one that hangs, ns. */
#define GRACE INT64_C(10000000000)

static const char *outcome_of(const struct dray_step_run *step)
{
    switch (step->state) {
    case DRAY_STEP_PENDING:
    case DRAY_STEP_RUNNING:
        return "running";
    case DRAY_STEP_DONE:
        return "done";
    case DRAY_STEP_SKIPPED:
        return "skipped";
    case DRAY_STEP_ABANDONED:
        return "failed";
    case DRAY_STEP_BROKEN:
        break;
    }
    return step->error.class_ == DRAY_CANCELLED ? "cancelled"
           : step->error.class_ == DRAY_LATER   ? "waiting"
                                                : "failed";
}

static void tell_started(struct dray_step_run *step)
{
    dray_run_tell(step->run, json_pack("{s:s, s:s, s:s, s:s, s:I}", "event", "step-started", "step",
                                       step->step->id, "uses", step->step->uses, "version",
                                       step->step->version ? step->step->version : "", "started",
                                       (json_int_t)step->wall_started));
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text && text[0])
        (void)json_object_set_new(object, key, json_string(text));
}

static void tell_ended(struct dray_step_run *step)
{
    /* The thread of a step that was abandoned may still be writing results. */
    int done = step->state == DRAY_STEP_DONE;
    const struct dray_tree *output = !done ? NULL : step->output ? step->output : step->input;
    uint8_t digest[DRAY_SHA256_BYTES];
    char hex[DRAY_SHA256_HEX] = "";

    if (output && !step->run->preview && dray_tree_digest(output, digest) == 0)
        dray_hex(digest, sizeof(digest), hex);
    json_t *event = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "event", "step-ended", "step",
        step->step->id, "uses", step->step->uses, "outcome", outcome_of(step), "entries_in",
        (json_int_t)(step->input ? step->input->listed : 0), "bytes_in",
        (json_int_t)(step->input ? step->input->bytes : 0), "entries_out",
        (json_int_t)(done ? step->out_entries : 0), "bytes_out",
        (json_int_t)(done ? step->out_bytes : 0), "started", (json_int_t)step->wall_started,
        "nanoseconds", (json_int_t)(step->started ? step->ended - step->started : 0));
    if (!event)
        return;
    set_text(event, "tree_digest", hex);
    if (step->error.class_ != 0)
        (void)json_object_set_new(event, "error", dray_error_to_json(&step->error));
    if (done && (step->decisions || step->exceeded))
        (void)json_object_set_new(event, "rules", dray_rules_json(step));
    if (done && step->undecided)
        (void)json_object_set_new(event, "undecided", json_true());
    if (step->confirmation)
        (void)json_object_set(event, "confirmation", step->confirmation);
    dray_run_tell(step->run, event);
}

static void *step_thread(void *arg)
{
    struct dray_step_run *step = arg;
    struct dray_run *run = step->run;

    struct dray_error error = {0};

    dray_blame_thread(NULL);
    int result = dray_step_execute(step, &error);
    dray_blame_thread_end();
    pthread_mutex_lock(&run->lock);
    /* A step that was given up meanwhile keeps the reason for that. */
    if (step->state == DRAY_STEP_RUNNING) {
        if (result != 0)
            step->error = error;
        step->state = result == 0 ? DRAY_STEP_DONE : DRAY_STEP_BROKEN;
        step->ended = dray_monotonic();
    }
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

/* Have all these steps ended well (1), has one not (-1), or is it too early to say (0)? Of what has
 * ended the engine must have been told: if the next step takes us down, nobody else can tell it. */
static int look_at(const struct dray_run *run, const uint8_t *told, const size_t *steps,
                   size_t count)
{
    int all = 1;

    for (size_t i = 0; i < count; i++) {
        switch (run->steps[steps[i]].state) {
        case DRAY_STEP_PENDING:
        case DRAY_STEP_RUNNING:
            all = 0;
            break;
        case DRAY_STEP_DONE:
            if (!told[steps[i]] && !run->steps[steps[i]].delivered_before)
                all = 0;
            break;
        case DRAY_STEP_BROKEN:
        case DRAY_STEP_SKIPPED:
        case DRAY_STEP_ABANDONED:
            return -1;
        }
    }
    return all;
}

/* The step that people know a tree by: not one that a policy or Dray itself put behind it. */
static const char *name_of_tree(const struct dray_plan *plan, size_t index)
{
    const struct dray_step *step = &plan->steps[index];

    while (step->needs_count == 1 &&
           (step->origin.policy || (step->role == DRAY_STEP_VALIDATE && !step->origin.file)))
        step = &plan->steps[step->needs[0]];
    return step->id;
}

/* Say which two trees do not go together: on their own they fail likewise. */
static void name_conflict(struct dray_step_run *step, struct dray_tree *const *trees)
{
    const struct dray_step *plan = step->step;

    for (size_t i = 0; i < plan->needs_count; i++) {
        for (size_t k = i + 1; k < plan->needs_count; k++) {
            struct dray_tree *const pair[] = {trees[i], trees[k]};
            struct dray_tree *joined = NULL;
            struct dray_error error = {0};
            int result = dray_tree_join(pair, 2, &joined, &error);
            dray_tree_unref(joined);
            if (result != DRAY_CONFLICT)
                continue;
            (void)dray_fail(&step->error, result, "\"%s\" and \"%s\" cannot be joined: %s",
                            name_of_tree(step->run->plan, plan->needs[i]),
                            name_of_tree(step->run->plan, plan->needs[k]), error.message);
            dray_hint(&step->error, "%s", error.hint);
            return;
        }
    }
}

static int gather_input(struct dray_step_run *step)
{
    struct dray_run *run = step->run;
    size_t count = step->step->needs_count;

    if (count == 0)
        return 0;
    if (count == 1) {
        step->input = dray_tree_ref(run->steps[step->step->needs[0]].output);
        return 0;
    }
    dray_autofree struct dray_tree **trees = calloc(count, sizeof(struct dray_tree *));
    if (!trees)
        return dray_fail_memory(&step->error);
    for (size_t i = 0; i < count; i++)
        trees[i] = run->steps[step->step->needs[i]].output;
    int result = dray_tree_join(trees, count, &step->input, &step->error);
    if (result == DRAY_CONFLICT)
        name_conflict(step, trees);
    return result;
}

/* Called with the lock held; released while the engine is told. */
static void start(struct dray_step_run *step)
{
    step->started = step->last_progress = dray_monotonic();
    step->wall_started = dray_now();
    step->state = DRAY_STEP_RUNNING;
    int result = gather_input(step);
    pthread_mutex_unlock(&step->run->lock);
    tell_started(step);
    /* Only this thread looks at the inputs of steps that have no thread yet. */
    if (result == 0 && step->step->role == DRAY_STEP_PUSH)
        result = dray_push_settle(step, &step->error);
    pthread_mutex_lock(&step->run->lock);
    if (result == 0) {
        int failure = pthread_create(&step->thread, NULL, step_thread, step);
        if (failure != 0)
            result = dray_fail_errno(&step->error, failure, "starting a thread");
    }
    if (result != 0) {
        step->state = DRAY_STEP_BROKEN;
        step->ended = dray_monotonic();
        step->thread = 0;
    }
}

static int is_over(const struct dray_step_run *step)
{
    return step->state != DRAY_STEP_PENDING && step->state != DRAY_STEP_RUNNING;
}

/* Called with the lock held, released while the engine is told: join what ended since the last
 * look; how many that were. */
static size_t collect(struct dray_run *run, uint8_t *told)
{
    size_t count = 0;

    for (size_t i = 0; i < run->plan->step_count; i++) {
        struct dray_step_run *step = &run->steps[i];
        if (told[i] || !is_over(step) || step->delivered_before)
            continue;
        told[i] = 1;
        count++;
        if (step->error.class_ != 0 && step->error.where[0] == '\0')
            dray_where(&step->error, "step %s", step->step->id);
        /* A thread that was abandoned may still write to its step: then the lock stays. */
        if (step->state == DRAY_STEP_ABANDONED) {
            tell_ended(step);
            continue;
        }
        pthread_mutex_unlock(&run->lock);
        if (step->thread)
            (void)pthread_join(step->thread, NULL);
        tell_ended(step);
        pthread_mutex_lock(&run->lock);
    }
    return count;
}

/* A preview goes as far as a push could begin. */
static enum dray_step_state preview_push(struct dray_step_run *step)
{
    int result = gather_input(step);

    if (result == 0)
        result = dray_push_settle(step, &step->error);
    return result == 0 ? DRAY_STEP_DONE : DRAY_STEP_BROKEN;
}

/* Called with the lock held: 1 when something changed. */
static int advance(struct dray_run *run, const uint8_t *told)
{
    int changed = 0;

    for (size_t i = 0; i < run->plan->step_count; i++) {
        struct dray_step_run *step = &run->steps[i];
        if (step->state != DRAY_STEP_PENDING)
            continue;
        int ready = look_at(run, told, step->step->needs, step->step->needs_count);
        int after = look_at(run, told, step->step->after, step->step->after_count);
        if (ready < 0 || after < 0 || dray_run_cancelled(run) ||
            (run->preview && step->step->role == DRAY_STEP_PUSH && ready > 0)) {
            step->state = run->preview && ready > 0 ? preview_push(step) : DRAY_STEP_SKIPPED;
            changed = 1;
        } else if (ready > 0 && after > 0) {
            start(step);
            changed = 1;
        }
    }
    return changed;
}

/* Called with the lock held: give up on steps that take too long. Their threads cannot be stopped,
 * only left. */
static void check_clocks(struct dray_run *run, int64_t now)
{
    char text[24];

    for (size_t i = 0; i < run->plan->step_count; i++) {
        struct dray_step_run *step = &run->steps[i];
        int64_t last = __atomic_load_n(&step->last_progress, __ATOMIC_RELAXED);
        if (step->state != DRAY_STEP_RUNNING)
            continue;
        if (step->step->timeout != DRAY_NONE && now - step->started > step->step->timeout)
            dray_fail(&step->error, DRAY_TIMED_OUT, "%s took longer than its timeout of %s",
                      step->step->uses,
                      dray_seconds_print((double)step->step->timeout / 1e9, text));
        else if (step->step->stall != DRAY_NONE && now - last > step->step->stall)
            dray_fail(&step->error, DRAY_TIMED_OUT, "%s made no progress for %s", step->step->uses,
                      dray_seconds_print((double)step->step->stall / 1e9, text));
        else
            continue;
        step->state = DRAY_STEP_ABANDONED;
        step->ended = now;
    }
}

static int unfinished(const struct dray_run *run)
{
    int found = 0;

    for (size_t i = 0; i < run->plan->step_count; i++)
        found += !is_over(&run->steps[i]);
    return found;
}

static int abandoned(const struct dray_run *run)
{
    for (size_t i = 0; i < run->plan->step_count; i++)
        if (run->steps[i].state == DRAY_STEP_ABANDONED)
            return 1;
    return 0;
}

/* Called with the lock held, released while the engine is told: progress of running steps, for
 * whoever watches. */
static void tell_progress(struct dray_run *run)
{
    for (size_t i = 0; i < run->plan->step_count; i++) {
        struct dray_step_run *step = &run->steps[i];
        if (step->state != DRAY_STEP_RUNNING)
            continue;
        json_t *event =
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "event", "progress", "step",
                      step->step->id, "nanoseconds", (json_int_t)(dray_monotonic() - step->started),
                      "entries", (json_int_t)__atomic_load_n(&step->entries_done, __ATOMIC_RELAXED),
                      "bytes", (json_int_t)__atomic_load_n(&step->bytes_done, __ATOMIC_RELAXED),
                      "of_entries", (json_int_t)(step->input ? step->input->listed : 0), "of_bytes",
                      (json_int_t)(step->input ? step->input->bytes : 0));
        pthread_mutex_unlock(&run->lock);
        dray_run_tell(run, event);
        pthread_mutex_lock(&run->lock);
    }
}

/* Called with the lock held. */
static void wait_a_tick(struct dray_run *run)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t end = (int64_t)until.tv_sec * 1000000000 + until.tv_nsec + TICK;
    until = (struct timespec){end / 1000000000, end % 1000000000};
    (void)pthread_cond_timedwait(&run->changed, &run->lock, &until);
}

/* Called with the lock held. */
static void abandon_all(struct dray_run *run, int64_t now)
{
    for (size_t i = 0; i < run->plan->step_count; i++) {
        struct dray_step_run *step = &run->steps[i];
        if (step->state != DRAY_STEP_RUNNING)
            continue;
        dray_fail(&step->error, DRAY_BUG, "%s went on after the job was cancelled",
                  step->step->uses);
        step->state = DRAY_STEP_ABANDONED;
        step->ended = now;
    }
}

int dray_run_schedule(struct dray_run *run)
{
    dray_autofree uint8_t *told = calloc(run->plan->step_count + 1, 1);
    int64_t cancelled_at = 0, last_told = dray_monotonic();

    if (!told)
        return 1;
    pthread_mutex_lock(&run->lock);
    for (;;) {
        /* Both release the lock, and a step may have ended then: look again. */
        if (collect(run, told) > 0 || advance(run, told))
            continue;
        if (unfinished(run) == 0)
            break;
        wait_a_tick(run);
        int64_t now = dray_monotonic();
        check_clocks(run, now);
        if (now - last_told > TICK) {
            tell_progress(run);
            last_told = now;
        }
        if (cancelled_at == 0 && (dray_run_cancelled(run) || abandoned(run))) {
            __atomic_store_n(&run->cancelled, 1, __ATOMIC_RELAXED);
            cancelled_at = now;
        }
        if (cancelled_at != 0 && now - cancelled_at > GRACE)
            abandon_all(run, now);
    }
    int left = abandoned(run);
    pthread_mutex_unlock(&run->lock);
    return left;
}
