/* SPDX-License-Identifier: MIT */
/* services.c - struct dray_host: errors, log, progress, threads, and the table of all services. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/run/run.h"

static struct dray_call *call_of(struct dray_ctx *ctx)
{
    return (struct dray_call *)(void *)ctx;
}

void dray_call_init(struct dray_call *call, struct dray_step_run *step)
{
    call->ctx.host = &dray_services;
    call->step = step;
    call->problems = call->advice = NULL;
    call->keeps = 0;
    call->scratch = NULL;
    call->error.class_ = 0;
    call->error.side = DRAY_SIDE_NONE;
    call->error.message[0] = call->error.hint[0] = call->error.where[0] = '\0';
}

int dray_call_result(struct dray_call *call, int result, enum dray_operation operation,
                     struct dray_error *error)
{
    const struct dray_step *step = call->step->step;

    if (result == DRAY_OK)
        return 0;
    if (result > 0 || result < DRAY_LATER)
        dray_fail(&call->error, DRAY_BUG,
                  "plugin %s returned %d from %s, which is no result that it may give", step->uses,
                  result, dray_operation_name(operation));
    else if (call->error.class_ == 0)
        dray_fail(&call->error, result, "plugin %s failed in %s without saying why", step->uses,
                  dray_operation_name(operation));
    else if (result < 0)
        call->error.class_ = result;
    *error = call->error;
    return error->class_;
}

/* ---- Memory and errors ---- */

static void *service_alloc(uint64_t size)
{
    return malloc(size > 0 ? size : 1);
}

static void service_free(void *pointer)
{
    free(pointer);
}

DRAY_FORMAT(1, 2)
static char *service_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : text;
}

DRAY_FORMAT(3, 4)
static int service_fail(struct dray_ctx *ctx, int class_, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int result =
        dray_fail_va(&call_of(ctx)->error, class_ < 0 ? class_ : DRAY_BUG, format, arguments);
    va_end(arguments);
    return result;
}

DRAY_FORMAT(3, 4)
static int service_fail_errno(struct dray_ctx *ctx, int errnum, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int result = dray_fail_errno_va(&call_of(ctx)->error, errnum, format, arguments);
    va_end(arguments);
    return result;
}

DRAY_FORMAT(5, 6)
static int service_fail_option(struct dray_ctx *ctx, const char *option, int64_t index,
                               uint64_t offset, const char *format, ...)
{
    struct dray_call *call = call_of(ctx);
    va_list arguments;

    va_start(arguments, format);
    int result = dray_fail_va(&call->error, DRAY_INVALID, format, arguments);
    va_end(arguments);
    if (call->problems) {
        json_t *problem =
            json_pack("{s:s, s:I, s:I, s:s}", "option", option, "index", (json_int_t)index,
                      "offset", (json_int_t)offset, "message", call->error.message);
        if (!problem || json_array_append_new(call->problems, problem) != 0)
            return dray_fail_memory(&call->error);
    }
    return result;
}

DRAY_FORMAT(6, 7)
static void service_advise_option(struct dray_ctx *ctx, const char *option, int64_t index,
                                  uint64_t offset, const char *instead, const char *format, ...)
{
    struct dray_call *call = call_of(ctx);
    struct dray_error note = {0};
    va_list arguments;

    if (!call->advice)
        return;
    va_start(arguments, format);
    (void)dray_fail_va(&note, DRAY_INVALID, format, arguments);
    va_end(arguments);
    /* One that gets lost harms nobody. */
    (void)json_array_append_new(call->advice,
                                json_pack("{s:s, s:I, s:I, s:s, s:s*}", "option", option, "index",
                                          (json_int_t)index, "offset", (json_int_t)offset,
                                          "message", note.message, "instead", instead));
}

DRAY_FORMAT(2, 3)
static void service_hint(struct dray_ctx *ctx, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    dray_hint_va(&call_of(ctx)->error, format, arguments);
    va_end(arguments);
}

/* ---- The job ---- */

static void service_log(struct dray_ctx *ctx, uint32_t level, const char *event,
                        const struct dray_field *fields, uint64_t count)
{
    struct dray_step_run *step = call_of(ctx)->step;
    json_t *values = json_object();

    for (uint64_t i = 0; values && i < count; i++)
        (void)json_object_set_new(values, fields[i].key, json_string(fields[i].value));
    dray_run_tell(step->run,
                  json_pack("{s:s, s:s, s:i, s:s, s:o}", "event", "log", "step", step->step->id,
                            "level", (int)level, "what", event, "fields", values));
}

void dray_service_progress(struct dray_ctx *ctx, uint64_t entries, uint64_t bytes)
{
    struct dray_step_run *step = call_of(ctx)->step;

    __atomic_fetch_add(&step->entries_done, entries, __ATOMIC_RELAXED);
    __atomic_fetch_add(&step->bytes_done, bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&step->last_progress, dray_monotonic(), __ATOMIC_RELAXED);
    dray_staging_touch(step);
}

int dray_service_cancelled(struct dray_ctx *ctx)
{
    return dray_run_cancelled(call_of(ctx)->step->run);
}

static const struct dray_job *service_job(struct dray_ctx *ctx)
{
    return &call_of(ctx)->step->job;
}

static int64_t service_clock(struct dray_ctx *ctx)
{
    return call_of(ctx)->step->run->clock;
}

/* ---- Threads ---- */

struct parallel {
    struct dray_call *call;
    struct dray_blame_note note;
    int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t index);
    void *arg;
    pthread_mutex_t lock; /* guards call->error */
};

static int parallel_one(void *arg, uint64_t index)
{
    struct parallel *loop = arg;
    struct dray_call call;

    dray_call_init(&call, loop->call->step);
    call.keeps = 1;
    if (dray_service_cancelled(&call.ctx))
        return DRAY_CANCELLED;
    struct dray_blame_note before =
        dray_blame_enter(loop->note.step, (enum dray_operation)loop->note.operation);
    int result = loop->fn(&call.ctx, loop->arg, index);
    dray_blame_leave(before);
    dray_scratch_return(&call);
    if (result == DRAY_OK)
        return 0;
    pthread_mutex_lock(&loop->lock);
    /* The first failure is the cause; others follow from it. */
    if (loop->call->error.class_ == 0)
        loop->call->error = call.error;
    pthread_mutex_unlock(&loop->lock);
    return result;
}

int dray_service_parallel(struct dray_ctx *ctx, uint64_t count,
                          int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t index), void *arg)
{
    struct dray_call *call = call_of(ctx);
    struct dray_step_run *step = call->step;
    struct parallel loop = {.call = call, .fn = fn, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct dray_blame_note note = dray_blame_enter((uint32_t)step->index, DRAY_OPERATION_NONE);

    loop.note = note;
    call->error.class_ = 0;
    int result = dray_pool_run(step->run->pool, count, parallel_one, &loop);
    dray_blame_leave(note);
    if (result == DRAY_CANCELLED && call->error.class_ == 0)
        return dray_fail(&call->error, DRAY_CANCELLED, "cancelled");
    return result;
}

/* ---- What only the engine can do ---- */

static int ask(struct dray_ctx *ctx, json_t *request, json_t **ret_reply)
{
    struct dray_call *call = call_of(ctx);

    return dray_run_ask(call->step->run, request, ret_reply, &call->error);
}

static int service_checkpoint_put(struct dray_ctx *ctx, const char *key, const char *value)
{
    json_t *reply = NULL;

    if (!value || !dray_utf8_valid(key, strlen(key)) || !dray_utf8_valid(value, strlen(value)))
        return dray_fail(&call_of(ctx)->error, DRAY_BUG,
                         "plugin %s stores a checkpoint that is not UTF-8 text",
                         call_of(ctx)->step->step->uses);
    int result = ask(ctx,
                     json_pack("{s:s, s:s, s:s, s:s}", "request", "checkpoint", "step",
                               call_of(ctx)->step->step->id, "key", key, "value", value),
                     &reply);

    json_decref(reply);
    return result;
}

static int service_checkpoint_get(struct dray_ctx *ctx, const char *key, char **ret_value)
{
    json_t *reply = NULL;
    int result = ask(ctx,
                     json_pack("{s:s, s:s, s:s}", "request", "checkpoint", "step",
                               call_of(ctx)->step->step->id, "key", key),
                     &reply);

    if (result != 0)
        return result;
    const char *value = json_string_value(json_object_get(reply, "value"));
    *ret_value = value ? strdup(value) : NULL;
    result = value && !*ret_value ? dray_fail_memory(&call_of(ctx)->error) : 0;
    json_decref(reply);
    return result;
}

static int service_secret(struct dray_ctx *ctx, struct dray_secret secret, const char **ret_data,
                          uint64_t *ret_length)
{
    (void)secret;
    (void)ret_data;
    (void)ret_length;
    return dray_fail(&call_of(ctx)->error, DRAY_CREDENTIAL,
                     "no credential was handed over for this job");
}

static int service_resolve(struct dray_ctx *ctx, const char *name,
                           struct dray_address *ret_addresses, uint32_t capacity,
                           uint32_t *ret_count)
{
    (void)ret_addresses;
    (void)capacity;
    (void)ret_count;
    /* The sandbox lets no plugin connect anywhere either. */
    return dray_fail(&call_of(ctx)->error, DRAY_DENIED,
                     "resolving %s: no target of this plan needs the network", name);
}

static int service_later(struct dray_ctx *ctx, uint32_t seconds, const char *reason)
{
    struct dray_call *call = call_of(ctx);

    dray_fail(&call->error, DRAY_LATER, "%s", reason);
    dray_hint(&call->error, "to be asked again in %u s", seconds);
    return DRAY_LATER;
}

const struct dray_host dray_services = {
    .size = sizeof(struct dray_host),
    .minor = DRAY_ABI_MINOR,
    .alloc = service_alloc,
    .free = service_free,
    .format = service_format,
    .fail = service_fail,
    .fail_errno = service_fail_errno,
    .fail_option = service_fail_option,
    .hint = service_hint,
    .log = service_log,
    .progress = dray_service_progress,
    .cancelled = dray_service_cancelled,
    .job = service_job,
    .clock = service_clock,
    .parallel = dray_service_parallel,
    .count = dray_service_count,
    .entry = dray_service_entry,
    .open = dray_service_open,
    .read = dray_service_read,
    .close = dray_service_close,
    .copy = dray_service_copy,
    .root = dray_service_root,
    .add = dray_service_add,
    .walk = dray_service_walk,
    .revision = dray_service_revision,
    .wanted = dray_service_wanted,
    .keep = dray_service_keep,
    .keep_link = dray_service_keep_link,
    .create = dray_service_create,
    .write = dray_service_write,
    .finish = dray_service_finish,
    .scratch = dray_service_scratch,
    .checkpoint_put = service_checkpoint_put,
    .checkpoint_get = service_checkpoint_get,
    .secret = service_secret,
    .resolve = service_resolve,
    .staging = dray_service_staging,
    .may_commit = dray_service_may_commit,
    .records = dray_service_records,
    .confirm = dray_service_confirm,
    .later = service_later,
    .advise_option = service_advise_option,
    .set_mode = dray_service_set_mode,
    .supersedes = dray_service_supersedes,
    .attributes = dray_service_attributes,
    .merge = dray_service_merge,
    .scratch_directory = dray_service_scratch_directory,
    .program = dray_service_program,
    .record_list = dray_service_record_list,
    .record_bytes = dray_service_record_bytes,
    .adopt = dray_service_adopt,
    .destination = dray_service_destination,
    .permits = dray_service_permits,
};
