/* SPDX-License-Identifier: MIT */
/*
 * slots.c - how many may use one of the site's sources at the same time, such as drives of a tape
 * library. A slot is a lock on a file of the state directory, so that it is free again when its
 * process is dead. It is held while the source's program runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/engine/staged.h"

/* How often is looked for a free one, ms. */
#define TICK 200

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

int dray_slot_take(const struct dray_bringing *who, int *ret_fd, struct dray_error *error)
{
    struct dray_engine *engine = who->engine;
    const char *source =
        json_string_value(json_object_get(who->plan->steps[who->step].with, "source"));
    json_int_t count = source ? json_integer_value(json_object_get(
                                    json_object_get(engine->sources, source), "concurrency"))
                              : 0;
    dray_autofree char *directory = dray_format("%s/sources", engine->state);
    int told = 0;

    if (!directory)
        return dray_fail_memory(error);
    if (count < 1)
        return 0;
    int result = dray_make_directories(directory, 0700, error);
    while (result == 0 && (result = take_free(directory, source, count, ret_fd, error)) == 0) {
        if (!told)
            dray_event_send(engine, who->job, who->attempt,
                            json_pack("{s:s, s:s, s:I}", "event", "waiting", "source", source,
                                      "concurrency", count));
        told = 1;
        if (!dray_engine_sleep(engine, TICK))
            return dray_fail(error, DRAY_CANCELLED, "interrupted while waiting for the source %s",
                             source);
    }
    return result < 0 ? result : 0;
}
