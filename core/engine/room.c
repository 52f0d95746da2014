/* SPDX-License-Identifier: MIT */
/*
 * room.c - room in scratch for what a source is about to bring: what is free, less what stays free
 * (`scratch.reserve`) and what others were promised and have not used yet.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/text.h"
#include "core/engine/staged.h"

/* How often is looked whether there is room, ms. */
#define TICK 500

struct room {
    uint64_t free, reserve, promised;
};

static uint64_t promise_of(const char *part)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 64};
    dray_autofree char *path = dray_format("%s/promised", part);
    dray_autofree char *tree = dray_format("%s/tree", part);
    struct dray_error ignored = {0};
    const char *why;
    int64_t bytes = 0;

    if (!path || !tree || dray_read_file(path, &text, &ignored) != 0 || !text.data ||
        dray_int_parse(text.data, text.length, &bytes, &why) != 0 || bytes < 0)
        return 0;
    uint64_t used = dray_disk_usage(tree);
    return used < (uint64_t)bytes ? (uint64_t)bytes - used : 0;
}

/* A process that is dead holds no lock, and its promise is void. */
static int is_alive(const char *folder, const char *name)
{
    dray_autofree char *key = strndup(name, DRAY_STAGED_KEY);
    dray_autoclose int fd = -1;
    struct dray_error ignored = {0};

    return !key || dray_staged_lock(folder, key, LOCK_SH, &fd, &ignored) == 0;
}

static int look(const struct dray_engine *engine, const char *folder, struct room *room,
                struct dray_error *error)
{
    struct statvfs status;
    DIR *listing = statvfs(folder, &status) == 0 ? opendir(folder) : NULL;

    if (!listing)
        return dray_fail_errno(error, errno, "looking for room in %s", folder);
    uint64_t all = (uint64_t)status.f_blocks * status.f_frsize;
    *room = (struct room){.free = (uint64_t)status.f_bavail * status.f_frsize,
                          .reserve = engine->reserve_percent > 0
                                         ? all / 100 * (uint64_t)engine->reserve_percent
                                         : (uint64_t)engine->reserve};
    for (const struct dirent *one; (one = readdir(listing));) {
        if (strlen(one->d_name) <= DRAY_STAGED_KEY ||
            strncmp(one->d_name + DRAY_STAGED_KEY, ".part-", 6) != 0 ||
            !is_alive(folder, one->d_name))
            continue;
        dray_autofree char *part = dray_format("%s/%s", folder, one->d_name);
        if (part)
            room->promised += promise_of(part);
    }
    (void)closedir(listing);
    return 0;
}

/* Does another process use scratch, so that some may become free? Not only our own key. */
static int is_used(const char *folder, const char *part)
{
    const char *ours = strrchr(part, '/') + 1;
    DIR *listing = opendir(folder);
    int used = 0;

    if (!listing)
        return 0;
    for (const struct dirent *one; !used && (one = readdir(listing));) {
        const char *suffix = strrchr(one->d_name, '.');
        if (suffix && strcmp(suffix, ".lock") == 0 && suffix - one->d_name == DRAY_STAGED_KEY &&
            strncmp(one->d_name, ours, DRAY_STAGED_KEY) != 0) {
            dray_autofree char *key = strndup(one->d_name, DRAY_STAGED_KEY);
            dray_autoclose int fd = -1;
            struct dray_error ignored = {0};
            used = !key || dray_staged_lock(folder, key, LOCK_EX, &fd, &ignored) == 0;
        }
    }
    (void)closedir(listing);
    return used;
}

static int promise(const char *part, uint64_t bytes, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/promised", part);
    dray_autofree char *text = dray_format("%llu", (unsigned long long)bytes);

    return path && text ? dray_write_file(path, text, strlen(text), 0600, error)
                        : dray_fail_memory(error);
}

/* 1: promised. 0: there is none, *room says how much there is. */
static int try_take(const struct dray_bringing *who, const char *folder, const char *part,
                    uint64_t bytes, struct room *room, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/room.lock", folder);
    dray_autoclose int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    uint64_t wanted = 0;

    if (!path)
        return dray_fail_memory(error);
    /* It is held for as long as one takes to look. */
    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        return dray_fail_errno(error, errno, "locking %s", path);
    int result = look(who->engine, folder, room, error);
    if (result != 0)
        return result;
    if (__builtin_add_overflow(room->reserve, room->promised, &wanted) ||
        __builtin_add_overflow(wanted, bytes, &wanted) || wanted > room->free)
        return 0;
    result = promise(part, bytes, error);
    return result == 0 ? 1 : result;
}

static int fail_room(const char *folder, uint64_t bytes, const struct room *room,
                     struct dray_error *error)
{
    char wanted[24], have[24], reserve[24], promised[24];

    (void)dray_fail(error, DRAY_NO_SPACE,
                    "there is no room to bring it to %s: %s%s, %s are free, %s of them are to stay "
                    "free and %s are promised",
                    folder, bytes > 0 ? "it has " : "its size is not known",
                    bytes > 0 ? dray_size_print(bytes, wanted) : "",
                    dray_size_print(room->free, have), dray_size_print(room->reserve, reserve),
                    dray_size_print(room->promised, promised));
    dray_hint(error, "dray admin gc --dry-run shows what is kept there; `scratch` of the "
                     "configuration says where it lies and what stays free");
    error->side = DRAY_SIDE_US;
    return DRAY_NO_SPACE;
}

int dray_room_take(const struct dray_bringing *who, const char *folder, const char *part,
                   uint64_t bytes, struct dray_error *error)
{
    struct room room = {0};
    int told = 0, result;

    while ((result = try_take(who, folder, part, bytes, &room, error)) == 0) {
        if (!is_used(folder, part))
            return fail_room(folder, bytes, &room, error);
        if (!told)
            dray_event_send(who->engine, who->job, who->attempt,
                            json_pack("{s:s, s:s, s:I, s:I}", "event", "waiting", "scratch", folder,
                                      "bytes", (json_int_t)bytes, "free", (json_int_t)room.free));
        told = 1;
        if (!dray_engine_sleep(who->engine, TICK))
            return dray_fail(error, DRAY_CANCELLED, "interrupted while waiting for room in %s",
                             folder);
    }
    return result < 0 ? result : 0;
}
