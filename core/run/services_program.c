/* SPDX-License-Identifier: MIT */
/* services_program.c - the services with which a source runs a program of the site. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/process.h"
#include "core/base/text.h"
#include "core/run/keeper.h"
#include "core/run/run.h"
#include "core/run/runner.h"

/* How often is looked whether the job was cancelled, ms, and how long a program may take to end
 * once it was asked to, ns. */
#define TICK  200
#define GRACE INT64_C(5000000000)
/* So much of what a program writes goes to the log; the rest is read and dropped. */
#define MOST_LOGGED ((uint64_t)1 << 20)
/* What stands in the log as it was written. */
#define PLAIN                                                                                      \
    " !#$%&'()*+,-./"                                                                              \
    "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~"

/* About so many bytes has a record of the log beside its text. */
#define RECORD ((uint64_t)200)

struct dray_running {
    struct dray_running *next; /* of run->running */
    struct dray_call *call;
    struct dray_process process; /* the keeper, which leads the group */
    int output, report;
    uint64_t logged;
    char line[4096]; /* that is being written, so far as it is logged */
    size_t length;
    char last[400]; /* that was not empty, so far as it is there */
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

/* A record for each line, so that no program writes one that is not its own. */
static void log_line(struct dray_running *running)
{
    const struct dray_run *run = running->call->step->run;
    const struct dray_log log = {
        .fd = 2, .json = 1, .level = DRAY_LOG_INFO, .job = run->job_id, .attempt = run->attempt};
    size_t plain = strspn(running->line, PLAIN);
    uint64_t part = RECORD + running->length * (plain == running->length ? 1 : 6);

    if (running->logged > MOST_LOGGED)
        return;
    running->logged += part;
    const char *text = running->logged > MOST_LOGGED ? "(what else the program writes is left out)"
                                                     : running->line;
    dray_log_write(&log, DRAY_LOG_INFO, running->call->step->step->id, "output",
                   &DRAY_TEXT("message", text), 1);
}

static void end_line(struct dray_running *running)
{
    size_t first = 0, length = running->length;

    running->line[length] = '\0';
    running->length = length;
    while (first < length && (unsigned char)running->line[first] <= ' ')
        first++;
    if (first < length) {
        log_line(running);
        if (length - first > sizeof(running->last) - 1)
            length = first + sizeof(running->last) - 1;
        memset(running->last, 0, sizeof(running->last));
        for (size_t i = first; i < length; i++)
            running->last[i - first] =
                running->line[i] >= ' ' && running->line[i] < 127 ? running->line[i] : '?';
    }
    running->length = 0;
}

static void keep_output(struct dray_running *running, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n' || data[i] == '\r')
            end_line(running);
        else if (running->length < sizeof(running->line) - 1)
            running->line[running->length++] = (char)(data[i] == '\0' ? '?' : data[i]);
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
        keep_output(running, data, (size_t)got);
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

/* The words of the keeper. The caller frees the list. */
static const char **keeper_words(const struct dray_run *run, const struct dray_program *program,
                                 char parent[static 16])
{
    const char **words = calloc(program->count + 4, sizeof(*words));

    (void)snprintf(parent, 16, "%ld", (long)getpid());
    if (words) {
        words[0] = run->keeper;
        words[1] = DRAY_KEEPER_WORD;
        words[2] = parent;
        memcpy(words + 3, program->argv, program->count * sizeof(*words));
    }
    return words;
}

static int start(struct dray_running *running, const struct dray_program *program,
                 struct dray_error *error)
{
    const struct dray_run *run = running->call->step->run;
    char parent[16];
    dray_autofree const char **words = keeper_words(run, program, parent);
    int output[2], report[2];

    if (!words)
        return dray_fail_memory(error);
    /* What the keeper leaves behind, if it is killed, is waited for here. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) != 0 || pipe2(output, O_CLOEXEC) != 0)
        return dray_fail_errno(error, errno, "making a pipe to %s", program->argv[0]);
    running->output = output[0];
    dray_autoclose int write_end = output[1];
    if (fcntl(running->output, F_SETFL, O_NONBLOCK) != 0 || pipe2(report, O_CLOEXEC) != 0)
        return dray_fail_errno(error, errno, "making a pipe to %s", program->argv[0]);
    running->report = report[0];
    dray_autoclose int report_end = report[1];
    const int fds[] = {-1, write_end, write_end, report_end, DRAY_SLOT_FD};
    return dray_process_start_group(&running->process, words, NULL, fds, run->has_slot ? 5 : 4,
                                    error);
}

/* What it started and left behind must not write any more: none is left when this returns. Returns
 * how the keeper ended. */
static int end_group(struct dray_running *running)
{
    pid_t group = running->process.pid;
    int status = 0;

    dray_process_signal_group(&running->process, SIGKILL);
    note_ended(running);
    (void)dray_process_wait(&running->process, -1, &status);
    while (waitpid(-group, NULL, 0) > 0 || errno == EINTR)
        ;
    return status;
}

static int say_end(const struct dray_running *running, int keeper, struct dray_program_end *ret_end,
                   struct dray_error *error)
{
    struct dray_keeper_report report;
    int status = keeper;

    if (dray_read_full(running->report, &report, sizeof(report)) == (ssize_t)sizeof(report)) {
        status = report.status;
        if (report.error.class_ != 0) {
            *error = report.error;
            if (error->class_ == DRAY_DENIED)
                dray_hint(error, "the sandbox lets only programs run that the configuration names, "
                                 "and their interpreters");
            return error->class_;
        }
    } else if (keeper == DRAY_STATUS_UNKNOWN || !WIFSIGNALED(keeper)) {
        return dray_fail(error, DRAY_BUG, "the process that runs a source's program failed");
    }
    int exited = status != DRAY_STATUS_UNKNOWN && WIFEXITED(status);
    int killed = status != DRAY_STATUS_UNKNOWN && WIFSIGNALED(status);
    *ret_end = (struct dray_program_end){.size = sizeof(*ret_end),
                                         .status = exited ? WEXITSTATUS(status) : -1,
                                         .signal = killed ? (uint32_t)WTERMSIG(status) : 0};
    memcpy(ret_end->last, running->last, sizeof(ret_end->last));
    return 0;
}

int dray_service_program(struct dray_ctx *ctx, const struct dray_program *program,
                         struct dray_program_end *ret_end)
{
    struct dray_running running = {.call = call_of(ctx), .output = -1, .report = -1};
    struct dray_error *error = &running.call->error;
    const char *name = program->count > 0 ? program->argv[0] : "nothing";

    if (!running.call->step->run->bringing)
        return dray_fail(error, DRAY_BUG,
                         "plugin %s asks for a program, which only a source may that brings bytes",
                         running.call->step->step->uses);
    if (!is_allowed(running.call->step->run, name))
        return dray_fail(error, DRAY_DENIED, "the configuration does not let %s run %s",
                         running.call->step->step->uses, name);
    int result = start(&running, program, error);
    if (result == 0) {
        note_running(&running);
        dray_run_tell(running.call->step->run,
                      json_pack("{s:s, s:i}", "event", "program", "pid", (int)running.process.pid));
        attend(&running, program->timeout);
        int keeper = end_group(&running);
        (void)take_output(&running);
        end_line(&running);
        if (running.class_ == 0)
            result = say_end(&running, keeper, ret_end, error);
    }
    dray_close_descriptor(&running.report);
    dray_close_descriptor(&running.output);
    if (result == 0 && running.class_ == DRAY_CANCELLED)
        return dray_fail(error, DRAY_CANCELLED, "cancelled");
    if (result == 0 && running.class_ != 0)
        return dray_fail(error, running.class_, "%s did not end in time, and was stopped", name);
    return result;
}
