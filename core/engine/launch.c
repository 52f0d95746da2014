/* SPDX-License-Identifier: MIT */
#include "core/engine/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/deliver.h"

/* How long a cancelled runner may take to clean up, ns; past that it is killed. */
#define CANCEL_GRACE INT64_C(20000000000)
/* How often is looked for somebody who wants the job cancelled, ms. */
#define CANCEL_TICK 300
/* How long a runner may take to end once it has closed the pipe, ms. */
#define END_GRACE 5000

/* ---- Grants ---- */

static int append_text(json_t *start, const char *key, const char *text)
{
    json_t *list = json_object_get(start, key);

    if (!list) {
        list = json_array();
        if (json_object_set_new(start, key, list) != 0)
            return -1;
    }
    return json_array_append_new(list, json_string(text));
}

static int append_all(json_t *start, const char *key, json_t *values)
{
    json_t *list = json_object_get(start, key);

    if (!list && json_object_set_new(start, key, list = json_array()) != 0)
        return -1;
    return values ? json_array_extend(list, values) : 0;
}

static const json_t *source_of(const struct dray_engine *engine, const json_t *with)
{
    const char *name = json_string_value(json_object_get(with, "source"));

    return name ? json_object_get(engine->sources, name) : NULL;
}

/* The plan may be old, or somebody else's. */
static int check_program(const struct dray_engine *engine, const json_t *with,
                         struct dray_error *error)
{
    const char *name = json_string_value(json_object_get(with, "source"));
    const json_t *argv = json_object_get(json_object_get(source_of(engine, with), "with"), "argv");

    if (argv && json_equal(argv, json_object_get(with, "argv")))
        return 0;
    (void)dray_fail(error, DRAY_DENIED,
                    "the configuration does not let source/command run what this plan has for "
                    "the source %s",
                    name ? name : "without a name");
    dray_hint(error, "plan it anew");
    return DRAY_DENIED;
}

int dray_program_allowed(const struct dray_engine *engine, const struct dray_step *step,
                         struct dray_error *error)
{
    return strcmp(step->uses, "source/command") == 0 ? check_program(engine, step->with, error) : 0;
}

static int grant_program(struct dray_engine *engine, const json_t *with, json_t *start,
                         struct dray_error *error)
{
    const json_t *grants = json_object_get(source_of(engine, with), "grants");
    const json_t *argv = json_object_get(with, "argv");
    int result = check_program(engine, with, error);

    if (result != 0)
        return result;
    if (append_text(start, "programs", json_string_value(json_array_get(argv, 0))) != 0 ||
        append_all(start, "exec", json_object_get(grants, "exec")) != 0 ||
        append_all(start, "reads", json_object_get(grants, "read")) != 0 ||
        append_all(start, "connect", json_object_get(grants, "connect")) != 0)
        return dray_fail_memory(error);
    return 0;
}

int dray_grants_of_step(struct dray_engine *engine, const char *uses, const char *file,
                        const json_t *with, int deliveries, json_t *start, struct dray_error *error)
{
    const struct dray_plugin_info *plugin = NULL;
    const char *slash = strchr(uses, '/');
    uint32_t wanted = DRAY_OPTION_READS | (deliveries ? DRAY_OPTION_DELIVERS : 0);

    if (!file || !slash)
        return 0;
    if (append_text(start, "plugins", file) != 0)
        return dray_fail_memory(error);
    int result =
        dray_registry_find(engine->registry, dray_kind_of_name(uses, (size_t)(slash - uses)),
                           slash + 1, &plugin, error);
    /* The host makes staging for a file system target; another push that delivers to a directory
     * writes there itself. */
    uint32_t written = !deliveries && result == 0 && plugin->kind == DRAY_KIND_PUSH &&
                               plugin->target_type != DRAY_TARGET_HPFS
                           ? DRAY_OPTION_DELIVERS
                           : 0;
    for (size_t i = 0; result == 0 && i < plugin->option_count; i++) {
        const char *path = json_string_value(json_object_get(with, plugin->options[i].name));
        uint32_t flags = path ? plugin->options[i].flags : 0;
        if (((flags & wanted) && append_text(start, "reads", path) != 0) ||
            ((flags & written) && append_text(start, "writes", path) != 0))
            result = dray_fail_memory(error);
    }
    /* Who does not bring it runs none. */
    const char *mode = json_string_value(json_object_get(start, "mode"));
    int runs = mode && strcmp(mode, "bring") == 0;
    if (result == 0 && runs && strcmp(uses, "source/command") == 0)
        result = grant_program(engine, with, start, error);
    return result;
}

/* ---- Starting ---- */

/* A plugin sees of our environment what says where and in which words it runs, and no more: a
 * service's holds secrets. */
static int is_passed_on(const char *variable)
{
    static const char *const names[] = {
        "HOME=",         "LANG=",          "LC_",           "PATH=",        "TMPDIR=", "TZ=",
        "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS=", "LSAN_OPTIONS="};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return 1;
    return 0;
}

static int spawn(struct dray_runner *runner, int child, int blame_fd,
                 const struct dray_runner_files *files, struct dray_error *error)
{
    dray_autofree char *helper = dray_helper_path("dray-runner", error);
    dray_autofree const char **environment = NULL;
    const char *argv[] = {helper, NULL};
    int fds[] = {child,          child,          files->log,      blame_fd,
                 files->preview, files->listing, files->recorded, files->slot};
    size_t count = 0;

    if (!helper)
        return error->class_;
    while (environ[count])
        count++;
    environment = calloc(count + 2, sizeof(*environment));
    if (!environment)
        return dray_fail_memory(error);
    /* libltdl binds lazily: an undefined symbol has to fail when a plugin is loaded, not in the
     * middle of its work. */
    environment[0] = "LD_BIND_NOW=1";
    size_t kept = 1;
    for (size_t i = 0; i < count; i++)
        if (is_passed_on(environ[i]))
            environment[kept++] = environ[i];
    return dray_process_start(&runner->process, argv, environment, fds, DRAY_COUNT(fds), 1, error);
}

static int converse(struct dray_engine *engine, struct dray_runner *runner, json_t *start,
                    struct dray_error *error)
{
    json_t *hello = NULL;

    int result =
        dray_pipe_send(&runner->pipe, json_pack("{s:i}", "hello", DRAY_PIPE_VERSION), error);
    if (result == 0)
        result = dray_pipe_send(&runner->pipe, json_pack("{s:O}", "start", start), error);
    int received = result == 0 ? dray_runner_next(engine, runner, &hello, error) : 0;
    json_int_t version = json_integer_value(json_object_get(hello, "hello"));
    json_decref(hello);
    if (received == 1 && version == DRAY_PIPE_VERSION)
        return 0;
    if (received == 1)
        return dray_fail(error, DRAY_BUG,
                         "dray-runner speaks version %lld of the pipe, this program %d",
                         (long long)version, DRAY_PIPE_VERSION);
    long step;
    struct dray_error end = {0};
    if (dray_runner_end(runner, &step, &end) != 0)
        *error = end;
    else
        dray_fail(error, DRAY_BUG, "dray-runner ended before it said anything");
    return error->class_;
}

void dray_runner_drop(struct dray_runner *runner)
{
    struct dray_error ignored;
    long step;

    if (runner->running) {
        dray_process_signal(&runner->process, SIGKILL);
        (void)dray_runner_end(runner, &step, &ignored);
    }
    dray_blame_free(runner->blame);
    runner->blame = NULL;
    json_decref(runner->steps);
    runner->steps = NULL;
}

int dray_runner_start(struct dray_engine *engine, struct dray_runner *runner, json_t *start,
                      const struct dray_runner_files *files, struct dray_error *error)
{
    dray_autoclose int blame_fd = -1, ours = -1, child = -1;
    int pair[2];

    const json_t *steps = json_object_get(json_object_get(start, "plan"), "steps");
    if (!steps)
        steps = json_object_get(json_object_get(start, "request"), "steps");
    *runner = (struct dray_runner){.steps = json_incref((json_t *)(uintptr_t)steps),
                                   .process = {.pid = -1, .pidfd = -1},
                                   .pipe = {.in = -1, .out = -1}};
    int result =
        start ? dray_blame_create(&runner->blame, &blame_fd, error) : dray_fail_memory(error);
    if (result == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        result = dray_fail_errno(error, errno, "making a pipe to the runner");
    else if (result == 0) {
        ours = pair[0];
        child = pair[1];
    }
    if (result == 0 &&
        (json_object_set_new(start, "sandbox", json_boolean(!engine->unconfined)) != 0 ||
         (engine->destinations &&
          json_object_set(start, "destinations", (json_t *)(uintptr_t)engine->destinations) != 0) ||
         (engine->whom && json_object_set(start, "whom", (json_t *)(uintptr_t)engine->whom) != 0)))
        result = dray_fail_memory(error);
    if (result == 0)
        result = spawn(runner, child, blame_fd, files, error);
    if (result == 0) {
        runner->running = 1;
        if (dray_pipe_init(&runner->pipe, ours, ours) != 0)
            result = dray_fail_memory(error);
        else
            ours = -1;
    }
    dray_close_descriptor(&child);
    child = -1;
    if (result == 0)
        result = converse(engine, runner, start, error);
    json_decref(start);
    if (result != 0)
        dray_runner_drop(runner);
    return result;
}

/* ---- Listening ---- */

static void pass_interrupt_on(struct dray_engine *engine, struct dray_runner *runner)
{
    struct signalfd_siginfo info;

    if (read(engine->interrupt_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    engine->interrupted = 1;
    if (runner->cancelled_at != 0)
        dray_process_signal(&runner->process, SIGKILL);
    else
        dray_runner_cancel(runner);
}

static void pass_cancel_on(struct dray_engine *engine, struct dray_runner *runner)
{
    int before = engine->interrupted;

    dray_cancel_look(engine);
    if (!before && engine->interrupted)
        dray_runner_cancel(runner);
}

void dray_runner_cancel(struct dray_runner *runner)
{
    struct dray_error ignored = {0};

    runner->cancelled_at = dray_monotonic();
    /* One that is gone is noticed by its end of the pipe. */
    if (dray_pipe_send(&runner->pipe, json_pack("{s:b}", "cancel", 1), &ignored) != 0)
        return;
}

/* Watch those no more that have ended; `all`: kill the others. */
static void forget_programs(struct dray_runner *runner, int all)
{
    size_t kept = 0;

    for (size_t i = 0; i < runner->program_count; i++) {
        struct pollfd ended = {.fd = runner->programs[i].pidfd, .events = POLLIN};
        if (!all && poll(&ended, 1, 0) == 0)
            runner->programs[kept++] = runner->programs[i];
        else
            dray_process_unwatch(&runner->programs[i], all);
    }
    runner->program_count = kept;
    if (!all)
        return;
    free(runner->programs);
    runner->programs = NULL;
    runner->program_capacity = 0;
}

/* A runner may say what it likes: only a child of it is taken for its program. */
static int is_program(struct dray_runner *runner, const json_t *message)
{
    const char *event = json_string_value(json_object_get(message, "event"));
    pid_t pid = (pid_t)json_integer_value(json_object_get(message, "pid"));
    struct dray_process program = {.pid = -1, .pidfd = -1};

    if (!event || strcmp(event, "program") != 0)
        return 0;
    forget_programs(runner, 0);
    /* One that has ended by now needs no watching. */
    if (dray_process_watch(&program, pid, runner->process.pid) != 0)
        return 1;
    if (DRAY_GROW(runner->programs, runner->program_count, runner->program_capacity) != 0)
        dray_process_unwatch(&program, 1); /* rather than let one go that nobody watches */
    else
        runner->programs[runner->program_count++] = program;
    return 1;
}

int dray_runner_next(struct dray_engine *engine, struct dray_runner *runner, json_t **ret_message,
                     struct dray_error *error)
{
    for (;;) {
        /* First, so that a runner that never stops talking can be stopped. */
        struct pollfd interrupt = {.fd = engine->interrupt_fd, .events = POLLIN};
        if (poll(&interrupt, 1, 0) > 0 && (interrupt.revents & POLLIN))
            pass_interrupt_on(engine, runner);
        pass_cancel_on(engine, runner);
        if (runner->cancelled_at && dray_monotonic() - runner->cancelled_at > CANCEL_GRACE)
            dray_process_signal(&runner->process, SIGKILL);
        int result = dray_pipe_receive(&runner->pipe, 0, ret_message, error);
        if (result == 1 && is_program(runner, *ret_message)) {
            json_decref(*ret_message);
            continue;
        }
        if (result != 2)
            return result;
        struct pollfd ready[] = {{.fd = runner->pipe.in, .events = POLLIN}, interrupt};
        if (poll(ready, 2,
                 runner->cancelled_at ? 500
                 : engine->job        ? CANCEL_TICK
                                      : -1) < 0 &&
            errno != EINTR)
            return dray_fail_errno(error, errno, "waiting for the runner");
    }
}

/* ---- Its end ---- */

static void blame_plugin(const struct dray_runner *runner, const struct dray_blame_slot *slot,
                         int status, struct dray_error *error)
{
    const json_t *step = json_array_get(runner->steps, slot->step);
    const char *id = json_string_value(json_object_get(step, "id"));
    const char *uses = json_string_value(json_object_get(step, "uses"));
    const char *plugin = uses ? uses : "of an unknown step";
    const char *operation = dray_operation_name((enum dray_operation)slot->operation);
    char how[80];

    if (slot->signal == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        dray_fail(
            error, DRAY_TEMPORARY,
            "the runner was killed from outside (memory may have run out), in %s of plugin %s",
            operation, plugin);
    else if (slot->signal == 0 && WIFEXITED(status))
        dray_fail(error, DRAY_BUG, "plugin %s ended its process in %s: it called exit(%d)", plugin,
                  operation, WEXITSTATUS(status));
    else
        dray_fail(error, DRAY_BUG, "plugin %s crashed in %s: it %s", plugin, operation,
                  dray_status_print(status, how));
    if (slot->entry[0] != '\0')
        dray_hint(error, "it was working on %.200s", slot->entry);
    if (id)
        dray_where(error, "step %s", id);
}

int dray_runner_end(struct dray_runner *runner, long *ret_step, struct dray_error *error)
{
    int status = 0, result = 0;
    char how[80];

    *ret_step = -1;
    if (!runner->running)
        return 0;
    if (dray_process_wait(&runner->process, END_GRACE, &status) == 0) {
        dray_process_signal(&runner->process, SIGKILL);
        (void)dray_process_wait(&runner->process, -1, &status);
    }
    runner->running = 0;
    forget_programs(runner, 1);
    const struct dray_blame_slot *slot = dray_blame_find(runner->blame);
    int well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (slot && slot->operation != DRAY_OPERATION_NONE) {
        /* The runner could write there what it liked. */
        if (slot->step < json_array_size(runner->steps))
            *ret_step = (long)slot->step;
        blame_plugin(runner, slot, status, error);
        result = error->class_;
    } else if (!well) {
        result = dray_fail(
            error, WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? DRAY_TEMPORARY : DRAY_BUG,
            "the runner %s", dray_status_print(status, how));
    }
    dray_pipe_close(&runner->pipe);
    dray_blame_free(runner->blame);
    runner->blame = NULL;
    return result;
}
