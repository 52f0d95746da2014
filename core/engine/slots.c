/* SPDX-License-Identifier: MIT */
/*
 * slots.c - how many attempts may use one of the site's sources at the same time. A slot is a lock
 * on a file of the state directory, so that it is free again when its process is dead.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>

#include "core/base/io.h"
#include "core/engine/deliver.h"

/* How often is looked for a free one, ms. */
#define TICK 200

static int is_used(const struct dray_plan *plan, const char *source)
{
    for (size_t i = 0; i < plan->step_count; i++) {
        const char *name = json_string_value(json_object_get(plan->steps[i].with, "source"));
        if (strcmp(plan->steps[i].uses, "source/command") == 0 && name && strcmp(name, source) == 0)
            return 1;
    }
    return 0;
}

/* The first free one of `count`: 1 with *ret_fd, 0 when there is none. */
static int take_free(const char *directory, const char *source, json_int_t count, int *ret_fd,
                     struct dray_error *error)
{
    for (json_int_t i = 1; i <= count; i++) {
        dray_autofree char *path = dray_format("%s/%s.%lld", directory, source, (long long)i);
        if (!path)
            return dray_fail_memory(error);
        dray_autoclose int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return dray_fail_errno(error, errno, "opening %s", path);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            *ret_fd = fd;
            fd = -1;
            return 1;
        }
        if (errno != EWOULDBLOCK)
            return dray_fail_errno(error, errno, "locking %s", path);
    }
    return 0;
}

static int take(const struct dray_attempt *attempt, const char *directory, const char *source,
                json_int_t count, int *ret_fd, struct dray_error *error)
{
    struct dray_engine *engine = attempt->engine;
    int told = 0;

    for (;;) {
        int result = take_free(directory, source, count, ret_fd, error);
        if (result != 0)
            return result < 0 ? result : 0;
        if (!told)
            dray_event_send(engine, attempt->job, attempt->number,
                            json_pack("{s:s, s:s, s:I}", "event", "waiting", "source", source,
                                      "concurrency", count));
        told = 1;
        struct pollfd ready = {.fd = engine->interrupt_fd, .events = POLLIN};
        if (poll(&ready, 1, TICK) > 0)
            engine->interrupted = 1;
        dray_cancel_look(engine);
        if (engine->interrupted)
            return dray_fail(error, DRAY_CANCELLED, "interrupted while waiting for the source %s",
                             source);
    }
}

void dray_slots_free(struct dray_slots *slots)
{
    for (size_t i = 0; i < slots->count; i++)
        (void)close(slots->fds[i]);
    free(slots->fds);
    *slots = (struct dray_slots){0};
}

/* In the order of the configuration, whatever that of the plan: so no two wait for each other. */
int dray_slots_take(const struct dray_attempt *attempt, struct dray_slots *slots,
                    struct dray_error *error)
{
    const json_t *sources = attempt->engine->sources, *source;
    dray_autofree char *directory = dray_format("%s/sources", attempt->engine->state);
    const char *name;
    int result = 0;

    slots->fds = calloc(json_object_size(sources) + 1, sizeof(*slots->fds));
    if (!directory || !slots->fds)
        return dray_fail_memory(error);
    for (void *at = json_object_iter((json_t *)(uintptr_t)sources); result == 0 && at;
         at = json_object_iter_next((json_t *)(uintptr_t)sources, at)) {
        name = json_object_iter_key(at);
        source = json_object_iter_value(at);
        json_int_t count = json_integer_value(json_object_get(source, "concurrency"));
        if (count < 1 || !is_used(attempt->plan, name))
            continue;
        result = dray_make_directories(directory, 0700, error);
        if (result == 0)
            result = take(attempt, directory, name, count, &slots->fds[slots->count], error);
        slots->count += result == 0;
    }
    return result;
}
