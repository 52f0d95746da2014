/* SPDX-License-Identifier: MIT */
/* runner.c - the life of a runner: greet, get told, give rights away, load plugins, run, tell. */
#include "core/run/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/base/io.h"
#include "core/base/process.h"
#include "core/base/text.h"
#include "core/run/inquiry.h"
#include "core/run/run.h"
#include "core/run/sandbox.h"
#include "core/tree/destination.h"
#include "core/tree/proof.h"

#define MAX_THREADS 16

/* What the engine said at the start. */
struct orders {
    json_t *message;
    const char *mode;
    struct dray_run run;
    struct dray_pipe pipe;
};

/* A plugin may print and read as it likes: descriptors 0 and 1 become the null device and the log.
 */
static int move_pipe(struct dray_pipe *pipe, struct dray_error *error)
{
    int in = fcntl(0, F_DUPFD_CLOEXEC, 10), out = fcntl(1, F_DUPFD_CLOEXEC, 10);
    dray_autoclose int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (in < 0 || out < 0 || null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0)
        return dray_fail_errno(error, errno, "moving the pipe to the engine");
    return dray_pipe_init(pipe, in, out) == 0 ? 0 : dray_fail_memory(error);
}

static int greet(struct dray_pipe *pipe, struct dray_error *error)
{
    json_t *message = NULL;
    int result = dray_pipe_send(pipe, json_pack("{s:i}", "hello", DRAY_PIPE_VERSION), error);

    if (result == 0)
        result = dray_pipe_receive(pipe, 1, &message, error) == 1 ? 0 : DRAY_BUG;
    json_int_t version = json_integer_value(json_object_get(message, "hello"));
    json_decref(message);
    if (result == 0 && version != DRAY_PIPE_VERSION)
        return dray_fail(error, DRAY_BUG,
                         "the engine speaks version %lld of the pipe, this runner %d",
                         (long long)version, DRAY_PIPE_VERSION);
    return result;
}

/* ---- The sandbox ---- */

static int grant_paths(struct dray_sandbox *sandbox, enum dray_grant_kind kind, const json_t *paths,
                       struct dray_error *error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < json_array_size(paths); i++)
        result =
            dray_sandbox_path(sandbox, kind, json_string_value(json_array_get(paths, i)), error);
    return result;
}

/* Reading is all that loading needs, and finding users and groups by their names; nothing may be
 * executed as a program. */
static int grant_common(struct dray_sandbox *sandbox, const struct orders *orders,
                        struct dray_error *error)
{
    static const char *const system[] = {
        "/usr",        "/lib",       "/lib64",          "/etc/ld.so.cache", "/etc/nsswitch.conf",
        "/etc/passwd", "/etc/group", "/var/lib/sss/mc", "/etc/magic"};
    int result = 0;

    for (size_t i = 0; result == 0 && i < sizeof(system) / sizeof(system[0]); i++)
        result = dray_sandbox_path(sandbox, DRAY_GRANT_READ, system[i], error);
    if (result == 0)
        result = grant_paths(sandbox, DRAY_GRANT_READ, json_object_get(orders->message, "plugins"),
                             error);
    if (result == 0)
        result =
            grant_paths(sandbox, DRAY_GRANT_READ, json_object_get(orders->message, "reads"), error);
    return result;
}

/* What the site's sources run, and the null device that programs are started with. */
static int grant_programs(struct dray_sandbox *sandbox, const struct orders *orders,
                          struct dray_error *error)
{
    static const char *const keys[] = {"programs", "exec"};
    const json_t *ports = json_object_get(orders->message, "connect");
    int result = 0;

    for (size_t k = 0; k < 2; k++) {
        const json_t *paths = json_object_get(orders->message, keys[k]);
        for (size_t i = 0; result == 0 && i < json_array_size(paths); i++)
            result =
                dray_sandbox_program(sandbox, json_string_value(json_array_get(paths, i)), error);
    }
    if (result == 0 && orders->run.keeper)
        result = dray_sandbox_program(sandbox, orders->run.keeper, error);
    if (result == 0 && orders->run.keeper)
        result = dray_sandbox_path(sandbox, DRAY_GRANT_WRITE, "/dev/null", error);
    for (size_t i = 0; result == 0 && i < json_array_size(ports); i++)
        result =
            dray_sandbox_port(sandbox, (int)json_integer_value(json_array_get(ports, i)), error);
    return result;
}

static int grant_staging(struct dray_sandbox *sandbox, const struct dray_run *run,
                         struct dray_error *error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < run->plan->step_count; i++) {
        const struct dray_staging_place *staging = &run->steps[i].staging;
        if (staging->superseded.fd >= 0) {
            result = dray_sandbox_fd(sandbox, DRAY_GRANT_REMOVE, staging->superseded.fd, error);
            if (result == 0)
                result = dray_sandbox_fd(sandbox, DRAY_GRANT_DELIVER, staging->parent, error);
        }
        if (staging->directory < 0)
            continue;
        /* What is added to a directory is renamed within it. */
        int into = staging->into >= 0;
        result = dray_sandbox_fd(sandbox, DRAY_GRANT_WRITE,
                                 into ? staging->into : staging->directory, error);
        if (result == 0 && !into)
            result = dray_sandbox_fd(sandbox, DRAY_GRANT_DELIVER, staging->parent, error);
        if (result == 0 && staging->old >= 0)
            result = dray_sandbox_fd(sandbox, DRAY_GRANT_REMOVE, staging->old, error);
        for (size_t j = 0; result == 0 && j < staging->kept_count; j++)
            result = dray_sandbox_fd(sandbox, DRAY_GRANT_WRITE, staging->kept[j].fd, error);
    }
    return result;
}

/* What a source brought is written by itself alone, and while it brings it. */
static int grant_brought(struct dray_sandbox *sandbox, const struct dray_run *run,
                         struct dray_error *error)
{
    enum dray_grant_kind kind = run->bringing ? DRAY_GRANT_WRITE : DRAY_GRANT_READ;
    const char *step;
    json_t *path;
    int result = 0;

    json_object_foreach((json_t *)(uintptr_t)run->brought, step, path)
    {
        if (result == 0)
            result = dray_sandbox_path(sandbox, kind, json_string_value(path), error);
    }
    return result;
}

/* Where a push writes itself. What was found is held, so that its name may come to mean what it
 * likes. */
static int grant_writes(struct dray_sandbox *sandbox, const struct orders *orders,
                        struct dray_error *error)
{
    const json_t *roots = orders->run.destinations,
                 *paths = json_object_get(orders->message, "writes");
    int result = 0;

    if (!roots && !orders->run.whom)
        return grant_paths(sandbox, DRAY_GRANT_WRITE, paths, error);
    for (size_t i = 0; result == 0 && i < json_array_size(paths); i++) {
        dray_autofree char *real = NULL;
        int fd = -1; /* until the runner ends */
        result = dray_destination_find(roots, json_string_value(json_array_get(paths, i)), &real,
                                       &fd, error);
        if (result == 0)
            result = dray_proof_check(orders->run.whom, fd, real, error);
        if (result == 0)
            result = dray_sandbox_fd(sandbox, DRAY_GRANT_WRITE, fd, error);
        else if (result == DRAY_NOT_FOUND)
            result = 0;
    }
    return result;
}

/* What a preview reads of a directory that a delivery is to be added to: the records in it. One
 * that is not there or cannot be opened says so when it is looked at. */
static int grant_records(struct dray_sandbox *sandbox, const struct dray_run *run,
                         struct dray_error *error)
{
    int result = 0;

    for (size_t i = 0; result == 0 && i < run->plan->target_count; i++) {
        const struct dray_plan_target *target = &run->plan->targets[i];
        struct dray_error ignored = {0};
        dray_autofree char *real = NULL;
        dray_autoclose int found = -1;
        if (target->goes_over != DRAY_GOES_INTO || target->target_type != DRAY_TARGET_HPFS)
            continue;
        if (!run->destinations)
            found = open(target->uri, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        else if (dray_destination_find(run->destinations, target->uri, &real, &found, &ignored) !=
                 0)
            continue;
        /* Held until the runner ends. */
        int records =
            found < 0 ? -1 : openat(found, ".dray", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (records >= 0)
            result = dray_sandbox_fd(sandbox, DRAY_GRANT_READ, records, error);
    }
    return result;
}

static int enter_sandbox(struct orders *orders, struct dray_error *error)
{
    const json_t *wanted = json_object_get(orders->message, "sandbox");
    struct dray_sandbox sandbox = {0};

    if (json_is_false(wanted))
        return 0;
    int result = grant_common(&sandbox, orders, error);
    if (result == 0)
        result = grant_programs(&sandbox, orders, error);
    if (result == 0 && orders->run.scratch)
        result = dray_sandbox_path(&sandbox, DRAY_GRANT_WRITE, orders->run.scratch, error);
    if (result == 0)
        result = grant_brought(&sandbox, &orders->run, error);
    if (result == 0 && orders->run.steps && !orders->run.planning)
        result = grant_staging(&sandbox, &orders->run, error);
    if (result == 0 && orders->run.preview)
        result = grant_records(&sandbox, &orders->run, error);
    if (result == 0 && !orders->run.preview)
        result = grant_writes(&sandbox, orders, error);
    if (result == 0)
        result = dray_sandbox_enter(&sandbox, error);
    dray_sandbox_free(&sandbox);
    return result;
}

/* ---- Threads ---- */

/* Listens to the engine: replies, cancel, and its end. */
static void *listen(void *arg)
{
    struct orders *orders = arg;
    struct dray_run *run = &orders->run;
    struct dray_error error = {0};
    json_t *message;

    while (dray_pipe_receive(&orders->pipe, 1, &message, &error) == 1) {
        if (json_object_get(message, "reply")) {
            dray_run_reply(run, message);
            continue;
        }
        if (json_object_get(message, "cancel")) {
            __atomic_store_n(&run->cancelled, 1, __ATOMIC_RELAXED);
            pthread_mutex_lock(&run->lock);
            pthread_cond_broadcast(&run->changed);
            pthread_mutex_unlock(&run->lock);
        }
        json_decref(message);
    }
    /* The engine is gone and nobody is left to say whether a commit is allowed: stop at once. What
     * is left in staging is removed by the next attempt. */
    dray_programs_kill(run);
    _exit(DRAY_RUNNER_ORPHANED);
}

static int start_threads(struct orders *orders, struct dray_error *error)
{
    struct dray_run *run = &orders->run;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = cores > 0 ? (unsigned)cores : 1;
    pthread_t listener;

    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    /* The caller of a loop works in it too. */
    run->pool = dray_pool_new(threads - 1, dray_blame_thread, NULL);
    if (!run->pool)
        return dray_fail_memory(error);
    int failure = pthread_create(&listener, NULL, listen, orders);
    if (failure != 0)
        return dray_fail_errno(error, failure, "starting a thread");
    (void)pthread_detach(listener);
    return 0;
}

/* ---- Running a plan ---- */

static int set_text(char **to, const json_t *from, const char *key, struct dray_error *error)
{
    const char *text = json_string_value(json_object_get(from, key));

    if (!text)
        return 0;
    *to = strdup(text);
    return *to ? 0 : dray_fail_memory(error);
}

/* Waits with a limit go by a clock that nobody sets. */
static int init_lock(struct dray_run *run, struct dray_error *error)
{
    pthread_condattr_t monotonic;

    if (pthread_mutex_init(&run->lock, NULL) != 0 || pthread_condattr_init(&monotonic) != 0)
        return dray_fail_memory(error);
    int failed = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
                 pthread_cond_init(&run->changed, &monotonic) != 0;
    (void)pthread_condattr_destroy(&monotonic);
    return failed ? dray_fail_memory(error) : 0;
}

static int init_run(struct orders *orders, struct dray_error *error)
{
    struct dray_run *run = &orders->run;

    run->clock = dray_now();
    run->scratch_fd = -1;
    run->attempt = (uint32_t)json_integer_value(json_object_get(orders->message, "attempt"));
    run->preview = strcmp(orders->mode, "preview") == 0;
    run->verifying = strcmp(orders->mode, "verify") == 0;
    run->recording = json_is_true(json_object_get(orders->message, "record"));
    run->planning = strcmp(orders->mode, "plan") == 0;
    run->listing =
        json_string_value(json_object_get(json_object_get(orders->message, "preview"), "listing"));
    run->places = json_object_get(json_object_get(orders->message, "preview"), "places");
    run->recorded = json_string_value(json_object_get(orders->message, "recorded"));
    run->unread = run->listing != NULL;
    run->programs = json_object_get(orders->message, "programs");
    run->brought = json_object_get(orders->message, "brought");
    run->bringing = json_string_value(json_object_get(orders->message, "bring"));
    run->has_slot = json_is_true(json_object_get(orders->message, "slot"));
    run->destinations = json_object_get(orders->message, "destinations");
    run->whom = json_object_get(orders->message, "whom");
    run->settled = strcmp(orders->mode, "settle") == 0;
    run->discarding = run->settled || strcmp(orders->mode, "discard") == 0;
    run->made = json_string_value(json_object_get(orders->message, "made"));
    int result = init_lock(run, error);
    if (result != 0)
        return result;
    run->roots = dray_roots_new();
    if (!run->roots)
        return dray_fail_memory(error);
    if (run->programs && !(run->keeper = dray_helper_path("dray-runner", error)))
        return error->class_;
    result = set_text(&run->job_id, orders->message, "job", error);
    if (result == 0)
        result = set_text(&run->user, orders->message, "user", error);
    if (result == 0)
        result = set_text(&run->actor, orders->message, "actor", error);
    if (result == 0)
        result = set_text(&run->scratch, orders->message, "scratch", error);
    if (result == 0 && run->scratch) {
        run->scratch_fd = open(run->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (run->scratch_fd < 0)
            result =
                dray_fail_errno(error, errno, "opening the scratch directory %s", run->scratch);
    }
    return result;
}

static void drop_instances(struct dray_run *run)
{
    for (size_t i = 0; run->steps && i < run->plan->step_count; i++) {
        if (!run->steps[i].instance)
            continue;
        struct dray_blame_note before = dray_blame_enter((uint32_t)i, DRAY_OPERATION_DESTROY);
        dray_instance_free(run->steps[i].instance);
        dray_blame_leave(before);
    }
}

static int discard(struct dray_step_run *step, struct dray_error *error)
{
    struct dray_call call;
    struct dray_error problem = {0};

    dray_call_init(&call, step);
    struct dray_blame_note before = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_DISCARD);
    int result = step->instance->loaded->operations.push.discard(step->instance->self, &call.ctx);
    dray_blame_leave(before);
    result = dray_call_result(&call, result, DRAY_OPERATION_DISCARD, &problem);
    if (step->staging.superseded.fd >= 0) {
        dray_staging_settled(step, &problem);
        return 0;
    }
    *error = result == 0 ? step->staging.error : problem;
    return error->class_;
}

static int discard_all(struct dray_run *run, struct dray_error *error)
{
    struct dray_error one = {0};
    int result = 0;

    for (size_t i = 0; i < run->plan->step_count; i++)
        if (run->steps[i].target && discard(&run->steps[i], &one) != 0 && result == 0) {
            *error = one;
            result = one.class_;
        }
    return result;
}

static int run_preview(struct orders *orders, struct dray_error *error)
{
    const json_t *show = json_object_get(orders->message, "preview");
    struct dray_preview_format format = {json_is_true(json_object_get(show, "json")),
                                         json_is_true(json_object_get(show, "kept")),
                                         json_is_true(json_object_get(show, "dropped")),
                                         json_is_true(json_object_get(show, "quiet"))};

    for (size_t i = 0; i < orders->run.plan->step_count; i++) {
        if (orders->run.steps[i].state == DRAY_STEP_DONE)
            continue;
        if (orders->run.steps[i].error.class_ == 0)
            continue;
        *error = orders->run.steps[i].error;
        return error->class_;
    }
    if (dray_run_cancelled(&orders->run))
        return dray_fail(error, DRAY_CANCELLED, "cancelled");
    int result = dray_preview_write(&orders->run, DRAY_PREVIEW_FD, &format, error);
    for (size_t i = 0; result == 0 && i < orders->run.plan->step_count; i++) {
        *error = orders->run.steps[i].denial;
        result = error->class_;
        if (result != 0)
            dray_where(error, "step %s", orders->run.plan->steps[i].id);
    }
    return result;
}

/* Pushes that are delivered already are done before they begin. */
static void skip_delivered(struct orders *orders)
{
    const json_t *skip = json_object_get(orders->message, "skip");

    for (size_t i = 0; i < json_array_size(skip); i++) {
        const char *id = json_string_value(json_array_get(skip, i));
        for (size_t j = 0; id && j < orders->run.plan->step_count; j++) {
            if (!orders->run.steps[j].target || strcmp(orders->run.plan->steps[j].id, id) != 0)
                continue;
            orders->run.steps[j].delivered_before = 1;
            orders->run.steps[j].state = DRAY_STEP_DONE;
            orders->run.steps[j].target = NULL;
        }
    }
}

static int is_named(const json_t *ids, const char *id)
{
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (strcmp(json_string_value(json_array_get(ids, i)), id) == 0)
            return 1;
    return 0;
}

/* Pushes that failed for good in an earlier attempt are left out, and so is what only they need. */
static void skip_given_up(struct orders *orders)
{
    const json_t *given_up = json_object_get(orders->message, "given_up");
    struct dray_run *run = &orders->run;

    if (json_array_size(given_up) == 0)
        return;
    for (size_t i = 0; i < run->plan->step_count; i++) {
        if (!is_named(given_up, run->plan->steps[i].id))
            continue;
        run->steps[i].state = DRAY_STEP_SKIPPED;
        run->steps[i].target = NULL;
    }
    for (size_t i = 0; i < run->plan->step_count; i++) {
        int needed = run->plan->steps[i].role == DRAY_STEP_PUSH;
        for (size_t j = 0; !needed && j < run->plan->step_count; j++)
            needed = run->steps[j].target && dray_plan_depends(run->plan, j, i);
        if (!needed)
            run->steps[i].state = DRAY_STEP_SKIPPED;
    }
}

/* One source brings what it stages later, and nothing else is done. */
static void skip_all_but(struct dray_run *run, const char *source)
{
    for (size_t i = 0; i < run->plan->step_count; i++) {
        if (strcmp(run->plan->steps[i].id, source) == 0)
            continue;
        run->steps[i].state = DRAY_STEP_SKIPPED;
        run->steps[i].target = NULL;
    }
}

/* Staging of pushes that never began, because something before them failed or they could not be
 * started. */
static int remove_unused(struct dray_run *run, struct dray_error *error)
{
    int result = 0;

    for (size_t i = 0; i < run->plan->step_count; i++)
        if ((run->steps[i].state == DRAY_STEP_SKIPPED ||
             (run->steps[i].state == DRAY_STEP_BROKEN && !run->steps[i].thread)) &&
            dray_staging_remove(&run->steps[i], error) != 0)
            result = error->class_;
    return result;
}

static int run_plan(struct orders *orders, struct dray_error *error)
{
    struct dray_run *run = &orders->run;
    int result = dray_plan_parse(json_object_get(orders->message, "plan"), &run->plan, error);

    if (result == 0)
        result = dray_run_steps(run, error);
    if (result == 0)
        skip_delivered(orders);
    if (result == 0)
        skip_given_up(orders);
    if (result == 0 && run->bringing)
        skip_all_but(run, run->bringing);
    if (result == 0 && !run->preview && !run->bringing)
        result = dray_staging_prepare(run, error);
    if (result == 0)
        result = enter_sandbox(orders, error);
    if (result == 0)
        result = dray_run_prepare(run, error);
    if (result == 0)
        result = start_threads(orders, error);
    if (result != 0) {
        struct dray_error ignored = {0};
        for (size_t i = 0; run->steps && i < run->plan->step_count; i++)
            if (dray_staging_remove(&run->steps[i], &ignored) != 0)
                dray_hint(error, "%s", ignored.message);
        return result;
    }
    if (run->discarding)
        return discard_all(run, error);
    int abandoned = dray_run_schedule(run);
    if (abandoned)
        dray_programs_kill(run);
    if (!run->preview && !run->bringing)
        result = remove_unused(run, error);
    if (run->preview)
        result = run_preview(orders, error);
    if (!abandoned)
        drop_instances(run);
    if (result == 0)
        dray_run_tell(run, json_pack("{s:s, s:b}", "event", "job-ended", "abandoned", abandoned));
    return result;
}

/* ---- Answering a planner ---- */

static int run_inquiry(struct orders *orders, struct dray_error *error)
{
    struct dray_run *run = &orders->run;
    json_t *answer = NULL;
    int result = enter_sandbox(orders, error);

    if (result == 0)
        result = start_threads(orders, error);
    if (result == 0)
        result =
            dray_inquiry_answer(run, json_object_get(orders->message, "request"), &answer, error);
    if (result == 0)
        dray_run_tell(run, json_pack("{s:s, s:o}", "event", "answer", "answer", answer));
    return result;
}

static int run_orders(struct orders *orders, struct dray_error *error)
{
    json_t *message = NULL;
    int result = greet(&orders->pipe, error);

    if (result == 0)
        result = dray_pipe_receive(&orders->pipe, 1, &message, error) == 1 ? 0 : DRAY_BUG;
    if (result != 0)
        return result;
    orders->message = json_incref(json_object_get(message, "start"));
    json_decref(message);
    orders->mode = json_string_value(json_object_get(orders->message, "mode"));
    if (!orders->mode)
        return dray_fail(error, DRAY_BUG, "the engine did not say what to run");
    result = dray_sandbox_limits(error);
    if (result == 0)
        result = init_run(orders, error);
    if (result != 0)
        return result;
    return orders->run.planning ? run_inquiry(orders, error) : run_plan(orders, error);
}

int dray_runner_main(int argc, char **argv)
{
    /* Threads may still look at it when the process ends: it lives as long as that. */
    static struct orders orders;
    struct dray_error error = {0};

    (void)argv;
    if (argc > 1 || isatty(0)) {
        (void)fprintf(stderr, "dray-runner is started by dray; see dray(1)\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    /* Before there is a thread that hears the engine's end, a plugin may hang while it is loaded:
     * nobody would be left to stop it. (The kernel means the thread that started us.) An engine
     * that is gone already shows as the end of input. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
    int result = dray_blame_attach(&error);
    if (result == 0)
        result = move_pipe(&orders.pipe, &error);
    orders.run.pipe = &orders.pipe;
    if (result != 0) {
        (void)fprintf(stderr, "dray-runner: %s\n", error.message);
        return 1;
    }
    result = run_orders(&orders, &error);
    if (result != 0)
        dray_run_tell(&orders.run, json_pack("{s:s, s:o}", "event", "failed", "error",
                                             dray_error_to_json(&error)));
    /* Not exit: a plugin's own handlers have no business here. */
    _exit(0);
}
