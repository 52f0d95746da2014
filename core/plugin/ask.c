/* SPDX-License-Identifier: MIT */
/* ask.c - starting dray-probe for one file and understanding how it went. */
#include "core/plugin/examine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "core/base/io.h"
#include "core/base/process.h"
#include "core/base/text.h"

/* How much of what a plugin writes to standard error is kept, and shown. */
#define STDERR_MOST_BYTES ((size_t)16 << 10)

/* A running dray-probe, and what it said so far. */
struct probe {
    struct dray_process process;
    int running;
    int out, err;
    struct dray_buffer answer;
    struct dray_buffer words; /* its standard error */
};

static void probe_stop(struct probe *probe)
{
    int status;

    if (probe->running) {
        dray_process_signal(&probe->process, SIGKILL);
        (void)dray_process_wait(&probe->process, -1, &status);
    }
    dray_close_descriptor(&probe->out);
    dray_close_descriptor(&probe->err);
    dray_buffer_free(&probe->answer);
    dray_buffer_free(&probe->words);
}

static int probe_start(struct probe *probe, const char *program, const char *entry,
                       struct dray_error *error)
{
    const char *const argv[] = {program, entry, NULL};
    int out[2] = {-1, -1};
    int err[2] = {-1, -1};
    int result;

    if (pipe2(out, O_CLOEXEC) != 0)
        return dray_fail_errno(error, errno, "%s: making a pipe for dray-probe", entry);
    probe->out = out[0];
    if (pipe2(err, O_CLOEXEC) != 0) {
        (void)close(out[1]);
        return dray_fail_errno(error, errno, "%s: making a pipe for dray-probe", entry);
    }
    probe->err = err[0];
    const int fds[] = {-1, out[1], err[1]};
    result = dray_process_start(&probe->process, argv, NULL, fds, DRAY_COUNT(fds), 1, error);
    (void)close(out[1]);
    (void)close(err[1]);
    if (result != 0)
        return result;
    probe->running = 1;
    if (fcntl(probe->out, F_SETFL, O_NONBLOCK) != 0 || fcntl(probe->err, F_SETFL, O_NONBLOCK) != 0)
        return dray_fail_errno(error, errno, "%s: setting up the pipes of dray-probe", entry);
    return 0;
}

/* What is in the pipe now: more than a pipe holds is not waited for, since a writer may never stop.
 * What does not fit is read and forgotten. The descriptor is closed at its end. */
static void drain(int *fd, struct dray_buffer *into)
{
    char piece[8192];

    for (int pieces = 0; pieces < 32 && *fd >= 0; pieces++) {
        ssize_t got = read(*fd, piece, sizeof piece);
        if (got > 0) {
            size_t room = into->cap - into->length;
            size_t bytes = (size_t)got;
            dray_buffer_add(into, piece, bytes < room ? bytes : room);
        } else if (got == 0) {
            dray_close_descriptor(fd);
            *fd = -1;
        } else if (errno != EINTR) {
            return;
        }
    }
}

/* Read until the process ends or its time is up. The pipes may stay open longer: a constructor may
 * have forked. 1: ended, with its status; 0: still running. */
static int probe_finish(struct probe *probe, int *ret_status)
{
    const int64_t second = INT64_C(1000000000);
    const int64_t deadline = dray_monotonic() + DRAY_PROBE_SECONDS * second;

    for (;;) {
        int64_t left = deadline - dray_monotonic();
        struct pollfd fds[] = {
            {probe->process.pidfd, POLLIN, 0}, {probe->out, POLLIN, 0}, {probe->err, POLLIN, 0}};
        if (left <= 0)
            return 0;
        (void)poll(fds, DRAY_COUNT(fds), (int)(left / 1000000 + 1));
        /* Asked before the pipes are read: what was written before the end is then in them. */
        int ended = dray_process_wait(&probe->process, 0, ret_status);
        drain(&probe->out, &probe->answer);
        drain(&probe->err, &probe->words);
        if (ended) {
            probe->running = 0;
            return 1;
        }
    }
}

/* The last line that the plugin wrote to standard error: often a library's own reason. */
static void hint_words(const struct dray_buffer *words, struct dray_error *refused)
{
    const char *text = words->data;
    size_t end = words->length;
    size_t start;

    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == ' '))
        end--;
    if (end == 0)
        return;
    for (start = end; start > 0 && text[start - 1] != '\n';)
        start--;
    if (end - start > 300)
        end = start + dray_utf8_cut(text + start, 300);
    dray_hint(refused, "it wrote: %.*s", (int)(end - start), text + start);
}

/* A probe that ended without an answer was ended by the plugin. */
static void blame(const char *entry, int opened, int status, const struct dray_buffer *words,
                  struct dray_error *refused)
{
    char text[80];

    (void)dray_fail(refused, DRAY_INVALID, "%s: dray-probe %s while %s", entry,
                    dray_status_print(status, text),
                    opened ? "its descriptor was read, every pointer in it must be good"
                           : "it was loaded, a plugin must do nothing then");
    hint_words(words, refused);
}

/* Each line ends with a newline, the last one too. What dray-probe wrote is JSON: when it cannot be
 * read, the plugin is not to blame. */
static int read_answer(const char *entry, const struct probe *probe, int status,
                       json_t **ret_plugin, struct dray_error *refused, struct dray_error *error)
{
    const char *text = probe->answer.data == NULL ? "" : probe->answer.data;
    const char *second = strchr(text, '\n');
    const char *end = second == NULL ? NULL : strchr(second + 1, '\n');
    json_t *json;
    json_t *plugin;

    if (status != 0 || end == NULL) {
        blame(entry, second != NULL, status, &probe->words, refused);
        return 0;
    }
    json = json_loadb(second + 1, (size_t)(end - second - 1), JSON_REJECT_DUPLICATES, NULL);
    plugin = json_object_get(json, "plugin");
    if (plugin != NULL)
        *ret_plugin = json_incref(plugin);
    else if (json != NULL)
        dray_error_from_json(refused, json_object_get(json, "refused"));
    json_decref(json);
    if (plugin == NULL && refused->class_ == DRAY_OK)
        return dray_fail(error, DRAY_BUG,
                         "%s: the answer of dray-probe cannot be read, or memory is out", entry);
    return 0;
}

int dray_probe_ask(const char *entry, const char *program, json_t **ret_plugin,
                   struct dray_error *refused, struct dray_error *error)
{
    dray_cleanup(probe_stop) struct probe probe = {
        .out = -1,
        .err = -1,
        .answer = {.cap = DRAY_PROBE_MOST_BYTES},
        .words = {.cap = STDERR_MOST_BYTES},
    };
    int result = probe_start(&probe, program, entry, error);
    int status = 0;

    if (result != 0)
        return result;
    if (!probe_finish(&probe, &status)) {
        (void)dray_fail(refused, DRAY_INVALID,
                        "%s: still being loaded after %d seconds and stopped, a plugin must do "
                        "nothing then",
                        entry, DRAY_PROBE_SECONDS);
        hint_words(&probe.words, refused);
        return 0;
    }
    if (probe.answer.failed == DRAY_NO_MEMORY || probe.words.failed == DRAY_NO_MEMORY)
        return dray_fail_memory(error);
    return read_answer(entry, &probe, status, ret_plugin, refused, error);
}
