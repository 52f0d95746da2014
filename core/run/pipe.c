/* SPDX-License-Identifier: MIT */
#include "core/run/pipe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/base/io.h"

#define CHUNK (64u << 10)

int dray_pipe_init(struct dray_pipe *pipe, int in, int out)
{
    *pipe = (struct dray_pipe){.in = in, .out = out, .pending = {.cap = DRAY_PIPE_MAX_LINE}};
    return pthread_mutex_init(&pipe->sending, NULL) == 0 ? 0 : DRAY_NO_MEMORY;
}

void dray_pipe_close(struct dray_pipe *pipe)
{
    dray_close_descriptor(&pipe->in);
    if (pipe->out != pipe->in)
        dray_close_descriptor(&pipe->out);
    pipe->in = pipe->out = -1;
    dray_buffer_free(&pipe->pending);
    (void)pthread_mutex_destroy(&pipe->sending);
}

int dray_pipe_send(struct dray_pipe *pipe, json_t *message, struct dray_error *error)
{
    dray_autofree char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

    json_decref(message);
    if (!text)
        return dray_fail_memory(error);
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL: one write, one line */
    pthread_mutex_lock(&pipe->sending);
    int result = dray_write_all(pipe->out, text, length + 1);
    int reason = errno;
    pthread_mutex_unlock(&pipe->sending);
    if (result != 0)
        return dray_fail(error, DRAY_TEMPORARY, "the other side of the pipe is gone: %s",
                         strerror(reason));
    return 0;
}

/* Cut the first line off what is pending. */
static int take_line(struct dray_pipe *pipe, json_t **ret_message, struct dray_error *error)
{
    const char *start = pipe->pending.data ? pipe->pending.data + pipe->taken : NULL;
    size_t length = pipe->pending.length - pipe->taken;
    const char *end = start ? memchr(start, '\n', length) : NULL;

    if (!end)
        return 2;
    json_error_t reason;
    json_t *message = json_loadb(start, (size_t)(end - start), JSON_REJECT_DUPLICATES, &reason);
    pipe->taken += (size_t)(end - start) + 1;
    if (pipe->taken == pipe->pending.length) {
        dray_buffer_clear(&pipe->pending);
        pipe->taken = 0;
    }
    if (!json_is_object(message)) {
        json_decref(message);
        return dray_fail(error, DRAY_BUG, "a line on the pipe is not a JSON object: %s",
                         reason.text);
    }
    *ret_message = message;
    return 1;
}

int dray_pipe_receive(struct dray_pipe *pipe, int wait, json_t **ret_message,
                      struct dray_error *error)
{
    for (;;) {
        int result = take_line(pipe, ret_message, error);
        if (result != 2)
            return result;
        struct pollfd ready = {.fd = pipe->in, .events = POLLIN};
        int polled = poll(&ready, 1, wait ? -1 : 0);
        if (polled == 0)
            return 2;
        if (polled < 0 && errno == EINTR)
            continue;
        if (pipe->taken > 0) {
            memmove(pipe->pending.data, pipe->pending.data + pipe->taken,
                    pipe->pending.length - pipe->taken);
            pipe->pending.length -= pipe->taken;
            pipe->taken = 0;
        }
        char *room = dray_buffer_reserve(&pipe->pending, CHUNK);
        if (!room)
            return dray_fail(error, pipe->pending.failed, "a line on the pipe is too long");
        ssize_t got = read(pipe->in, room, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        /* A socket is reset when the other side dies before it has read all: that is its end. */
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return 0;
        if (got < 0)
            return dray_fail_errno(error, errno, "reading the pipe");
        pipe->pending.length += (size_t)got;
    }
}
