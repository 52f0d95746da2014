/* SPDX-License-Identifier: MIT */
/* journal.c - what happens to a job, told to whoever watches and written to the job's log. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/deliver.h"

#define MAX_FIELDS 8

int dray_log_open(struct dray_engine *engine, const char *name, int anew, struct dray_error *error)
{
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (anew ? O_TRUNC : 0);
    dray_autofree char *parent = dray_format("%s/logs", engine->state);
    dray_autofree char *path = parent ? dray_format("%s/%s.log", parent, name) : NULL;

    if (!path)
        return dray_fail_memory(error);
    int result = dray_make_directories(parent, 0700, error);
    int fd = result == 0 ? open(path, flags, 0600) : -1;
    /* What is written anew each time is no record: it is not worth a failure. */
    if (fd < 0 && anew && (fd = open("/dev/null", O_WRONLY | O_CLOEXEC)) >= 0) {
        *error = (struct dray_error){0};
        return fd;
    }
    if (result == 0 && fd < 0)
        result = dray_fail_errno(error, errno, "opening the log %s", path);
    if (result == DRAY_DENIED)
        dray_hint(error, "let DRAY_STATE name a directory that you may write");
    return result == 0 ? fd : result;
}

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void add_text(struct dray_log_field *fields, size_t *count, const json_t *object,
                     const char *key)
{
    const char *value = text(object, key);

    if (value)
        fields[(*count)++] = DRAY_TEXT(key, value);
}

static void write_log(const struct dray_engine *engine, const char *job, uint32_t attempt,
                      const json_t *event)
{
    struct dray_log log = {
        .fd = engine->journal, .json = 1, .level = DRAY_LOG_INFO, .job = job, .attempt = attempt};
    const json_t *error = json_object_get(event, "error");
    const json_t *bytes = json_object_get(event, "bytes_out");
    json_int_t level = json_integer_value(json_object_get(event, "level"));
    struct dray_log_field fields[MAX_FIELDS];
    const char *name = text(event, "event");
    size_t count = 0;

    add_text(fields, &count, event, "uses");
    add_text(fields, &count, event, "outcome");
    add_text(fields, &count, event, "what");
    add_text(fields, &count, json_object_get(event, "fields"), "message");
    add_text(fields, &count, error, "class");
    add_text(fields, &count, error, "message");
    if (bytes) {
        fields[count++] =
            DRAY_INT("entries", json_integer_value(json_object_get(event, "entries_out")));
        fields[count++] = DRAY_SIZE("bytes", json_integer_value(bytes));
    }
    if (name && strcmp(name, "adopted") == 0) {
        fields[count++] =
            DRAY_INT("entries", json_integer_value(json_object_get(event, "entries")));
        fields[count++] = DRAY_SIZE("bytes", json_integer_value(json_object_get(event, "bytes")));
    }
    dray_log_write(&log,
                   error       ? DRAY_LOG_WARN
                   : level > 0 ? (uint32_t)level
                               : DRAY_LOG_INFO,
                   text(event, "step"), name ? name : "event", fields, count);
}

/* What is left alone is met by every attempt: once is enough. */
static int is_known(struct dray_engine *engine, const json_t *event)
{
    const char *what = text(event, "what");
    const char *message = text(json_object_get(event, "fields"), "message");
    uint8_t digest[DRAY_SHA256_BYTES];
    uint64_t mark;

    if (!what || !message || strcmp(what, "left alone") != 0 ||
        dray_sha256(message, strlen(message), digest) != 0)
        return 0;
    memcpy(&mark, digest, sizeof(mark));
    for (size_t i = 0; i < engine->left_count && i < DRAY_ENGINE_LEFT; i++)
        if (engine->left[i] == mark)
            return 1;
    engine->left[engine->left_count++ % DRAY_ENGINE_LEFT] = mark;
    return 0;
}

void dray_event_send(struct dray_engine *engine, const char *job, uint32_t attempt, json_t *event)
{
    const char *name = text(event, "event");
    char time[24];

    if (is_known(engine, event)) {
        json_decref(event);
        return;
    }
    if (engine->journal >= 0 && name && strcmp(name, "progress") != 0)
        write_log(engine, job, attempt, event);
    if (engine->on_event && event) {
        (void)json_object_set_new(event, "time", json_string(dray_time_print(dray_now(), time)));
        (void)json_object_set_new(event, "job", json_string(job));
        (void)json_object_set_new(event, "attempt", json_integer(attempt));
        engine->on_event(engine->arg, event);
    }
    json_decref(event);
}
