/* SPDX-License-Identifier: MIT */
/* services_program.c - the services with which a source runs a program of the site. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/process.h"
#include "core/base/text.h"
#include "core/run/run.h"

/* How often is looked whether the job was cancelled, ms, and how long a program may take to end
 * once it was asked to, ns. */
#define TICK  200
#define GRACE INT64_C(5000000000)
/* So much of what a program writes goes to the log; the rest is read and dropped. */
#define MOST_LOGGED ((uint64_t)1 << 20)

struct dray_running {
    struct dray_running *next; /* of run->running */
    struct dray_call *call;
    struct dray_process process;
    int output;
    uint64_t logged;
    char line[400]; /* the last that is not empty, so far as it is there */
    size_t length;
    int ended_line; /* the next byte begins another */
    int64_t asked;  /* when it was told to end, monotonic; 0: not */
    int class_;     /* why */
};

static struct dray_call *call_of(struct dray_ctx *ctx)
{
    return (struct dray_call *)(void *)ctx;
}

int dray_service_scratch_directory(struct dray_ctx *ctx, const char *name, char **ret_path)
{
    struct dray_call *call = call_of(ctx);
    struct dray_run *run = call->step->run;
    const char *brought = json_string_value(json_object_get(run->brought, call->step->step->id));

    if (!brought)
        return dray_fail(&call->error, DRAY_UNSUPPORTED,
                         "plugin %s needs scratch space, which this command does not give",
                         call->step->step->uses);
    if (strchr(name, '/'))
        return dray_fail(&call->error, DRAY_BUG, "a scratch directory's name has a slash: %s",
                         name);
    dray_autofree char *path = dray_format("%s/%s", brought, name);
    if (!path)
        return dray_fail_memory(&call->error);
    if (run->bringing && mkdir(path, 0700) != 0)
        return dray_fail_errno(&call->error, errno, "making the scratch directory %s", path);
    *ret_path = DRAY_TAKE(path);
    return DRAY_OK;
}

/* ---- What it writes ---- */

static void log_output(struct dray_running *running, const char *data, size_t length)
{
    static const char more[] = "\n(what else the program writes is left out)\n";
    uint64_t left = MOST_LOGGED - running->logged;
    size_t part = length < left ? length : (size_t)left;

    /* A log that cannot be written is no reason to stop. */
    if (part > 0 && dray_write_all(2, data, part) != 0)
        part = (size_t)left;
    running->logged += part;
    if (part > 0 && running->logged == MOST_LOGGED &&
        dray_write_all(2, more, sizeof(more) - 1) != 0)
        running->logged = MOST_LOGGED;
}

static void keep_line(struct dray_running *running, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c == '\n' || c == '\r') {
            running->ended_line = 1;
            continue;
        }
        if (running->ended_line && c > ' ') {
            running->length = 0;
            running->ended_line = 0;
        }
        if (!running->ended_line && running->length < sizeof(running->line) - 1)
            running->line[running->length++] = c >= ' ' && c < 127 ? (char)c : '?';
    }
}

/* What there is now, without waiting: more than a pipe holds. 0 at its end. */
static int take_output(struct dray_running *running)
{
    char data[16384];

    for (int i = 0; i < 64; i++) {
        ssize_t got = read(running->output, data, sizeof(data));
        if (got == 0 || (got < 0 && errno != EINTR))
            return got < 0 && errno == EAGAIN;
        if (got < 0)
            continue;
        log_output(running, data, (size_t)got);
        keep_line(running, data, (size_t)got);
    }
    return 1;
}

/* ---- Its life ---- */

static void stop(struct dray_running *running, int class_)
{
    if (running->asked == 0) {
        running->asked = dray_monotonic();
        running->class_ = class_;
        dray_process_signal_group(&running->process, SIGTERM);
    } else if (dray_monotonic() - running->asked > GRACE) {
        dray_process_signal_group(&running->process, SIGKILL);
    }
}

/* Until it has ended; not yet waited for, so that its group is still there. */
static void attend(struct dray_running *running, int64_t timeout)
{
    int64_t begun = dray_monotonic();
    int open = 1;

    for (;;) {
        struct pollfd ready[] = {{.fd = running->process.pidfd, .events = POLLIN},
                                 {.fd = open ? running->output : -1, .events = POLLIN}};
        (void)poll(ready, 2, TICK);
        dray_service_progress(&running->call->ctx, 0, 0);
        if (open && ready[1].revents)
            open = take_output(running);
        if (ready[0].revents)
            return;
        if (dray_service_cancelled(&running->call->ctx))
            stop(running, DRAY_CANCELLED);
        else if (running->asked || (timeout != DRAY_NONE && dray_monotonic() - begun > timeout))
            stop(running, running->asked ? running->class_ : DRAY_TIMED_OUT);
    }
}

/* ---- All that run */

static void note_running(struct dray_running *running)
{
    struct dray_run *run = running->call->step->run;

    pthread_mutex_lock(&run->lock);
    running->next = run->running;
    run->running = running;
    pthread_mutex_unlock(&run->lock);
}

/* Before it is waited for: from then on its number may be another's. */
static void note_ended(struct dray_running *running)
{
    struct dray_run *run = running->call->step->run;

    pthread_mutex_lock(&run->lock);
    for (struct dray_running **at = &run->running; *at; at = &(*at)->next)
        if (*at == running) {
            *at = running->next;
            break;
        }
    pthread_mutex_unlock(&run->lock);
}

void dray_programs_kill(struct dray_run *run)
{
    pthread_mutex_lock(&run->lock);
    for (const struct dray_running *one = run->running; one; one = one->next)
        dray_process_signal_group(&one->process, SIGKILL);
    pthread_mutex_unlock(&run->lock);
}

static int is_allowed(const struct dray_run *run, const char *program)
{
    const json_t *one;
    size_t i;

    json_array_foreach(run->programs, i,
                       one) if (strcmp(json_string_value(one), program) == 0) return 1;
    return 0;
}

static int start(struct dray_running *running, const char *const *argv, struct dray_error *error)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return dray_fail_errno(error, errno, "making a pipe to %s", argv[0]);
    running->output = ends[0];
    dray_autoclose int write_end = ends[1];
    const int fds[] = {-1, write_end, write_end};
    if (fcntl(running->output, F_SETFL, O_NONBLOCK) != 0)
        return dray_fail_errno(error, errno, "making a pipe to %s", argv[0]);
    int result = dray_process_start_group(&running->process, argv, NULL, fds, 3, error);
    if (result == DRAY_DENIED)
        dray_hint(error, "the sandbox lets only programs run that the configuration names, and "
                         "their interpreters");
    return result;
}

static void say_end(struct dray_running *running, int status, struct dray_program_end *ret_end)
{
    int exited = status != DRAY_STATUS_UNKNOWN && WIFEXITED(status);
    int killed = status != DRAY_STATUS_UNKNOWN && WIFSIGNALED(status);

    *ret_end = (struct dray_program_end){.size = sizeof(*ret_end),
                                         .status = exited ? WEXITSTATUS(status) : -1,
                                         .signal = killed ? (uint32_t)WTERMSIG(status) : 0};
    memcpy(ret_end->last, running->line, running->length);
}

int dray_service_program(struct dray_ctx *ctx, const struct dray_program *program,
                         struct dray_program_end *ret_end)
{
    struct dray_running running = {.call = call_of(ctx), .output = -1};
    struct dray_error *error = &running.call->error;
    const char *name = program->count > 0 ? program->argv[0] : "nothing";
    int status = 0;

    if (!running.call->step->run->bringing)
        return dray_fail(error, DRAY_BUG,
                         "plugin %s asks for a program, which only a source may that brings bytes",
                         running.call->step->step->uses);
    if (!is_allowed(running.call->step->run, name))
        return dray_fail(error, DRAY_DENIED, "the configuration does not let %s run %s",
                         running.call->step->step->uses, name);
    int result = start(&running, program->argv, error);
    if (result == 0) {
        note_running(&running);
        dray_run_tell(running.call->step->run,
                      json_pack("{s:s, s:i}", "event", "program", "pid", (int)running.process.pid));
        attend(&running, program->timeout);
        /* What it started and left behind must not write any more. */
        dray_process_signal_group(&running.process, SIGKILL);
        note_ended(&running);
        (void)dray_process_wait(&running.process, -1, &status);
        (void)take_output(&running);
        say_end(&running, status, ret_end);
    }
    dray_close_descriptor(&running.output);
    if (result == 0 && running.class_ == DRAY_CANCELLED)
        return dray_fail(error, DRAY_CANCELLED, "cancelled");
    if (result == 0 && running.class_ != 0)
        return dray_fail(error, running.class_, "%s did not end in time, and was stopped", name);
    return result;
}
