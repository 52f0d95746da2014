/* SPDX-License-Identifier: MIT */
/*
 * room.c - room in scratch for what a source is about to bring: what is free, less what stays free
 * (`scratch.reserve`) and what others were promised and have not used yet.
 *
 * Two bytes of `room.lock` are locked, by open file (F_OFD_SETLK). LOOK alone by who takes room,
 * for as long as that takes. BUSY with others by who uses what was brought or brings it, but not
 * while it waits for room or for another process: as long as another has it, some may become free.
 * Those who wait, whatever they hold, wait for nobody who waits for them.
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

/* How often is looked whether there is room, and whether the lock is free, ms. */
#define TICK      500
#define LOCK_TICK 50

/* Bytes of room.lock. */
enum { LOOK, BUSY };

struct room {
    uint64_t free, reserve, promised;
};

/* How much of what is being brought is there already, measured before the lock is taken: what came
 * since then is counted twice, which is on the safe side. */
struct part {
    char *name;
    uint64_t used;
};
struct parts {
    struct part *parts;
    size_t count, room;
};

static void free_parts(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        free(parts->parts[i].name);
    free(parts->parts);
}

/* ---- Locks */

/* 1: locked or let go, 0: others have it. */
static int lock_byte(int fd, int byte, short how, struct dray_error *error)
{
    struct flock lock = {.l_type = how, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 1;
    return errno == EAGAIN || errno == EACCES
               ? 0
               : dray_fail_errno(error, errno, "locking room.lock in scratch");
}

int dray_room_enter(struct dray_engine *engine, int *ret_fd, struct dray_error *error)
{
    dray_autofree char *folder = dray_staged_folder(engine, error);
    dray_autofree char *path = folder ? dray_format("%s/room.lock", folder) : NULL;

    if (!path)
        return folder ? dray_fail_memory(error) : error->class_;
    int result = dray_make_directories(folder, 0700, error);
    if (result != 0)
        return result;
    *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret_fd < 0)
        return dray_fail_errno(error, errno, "opening %s", path);
    return dray_room_busy(*ret_fd, 1, error);
}

int dray_room_busy(int fd, int busy, struct dray_error *error)
{
    int result = lock_byte(fd, BUSY, busy ? F_RDLCK : F_UNLCK, error);

    /* Nobody locks it alone. */
    return result < 0 ? result : 0;
}

/* Does another process use scratch, so that some may become free? */
static int others_are_busy(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BUSY, .l_len = 1};

    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

static int fail_interrupted(const char *folder, struct dray_error *error)
{
    return dray_fail(error, DRAY_CANCELLED, "interrupted while waiting for room in %s", folder);
}

static int lock_room(const struct dray_bringing *who, const char *folder, struct dray_error *error)
{
    int result;

    while ((result = lock_byte(who->room, LOOK, F_WRLCK, error)) == 0)
        if (!dray_engine_sleep(who->engine, LOCK_TICK))
            return fail_interrupted(folder, error);
    return result < 0 ? result : 0;
}

/* ---- Looking */

/* A process that is dead holds no lock, and its promise is void. */
static int is_alive(const char *folder, const char *name)
{
    dray_autofree char *key = strndup(name, DRAY_STAGED_KEY);
    dray_autoclose int fd = -1;
    struct dray_error ignored = {0};

    return !key || dray_staged_lock(folder, key, LOCK_SH, 0, &fd, &ignored) == 0;
}

static int is_part(const char *name)
{
    return strlen(name) > DRAY_STAGED_KEY && strncmp(name + DRAY_STAGED_KEY, ".part-", 6) == 0;
}

/* It takes as long as the trees are large: without the lock. */
static int measure(const struct dray_bringing *who, const char *folder, struct parts *parts,
                   struct dray_error *error)
{
    DIR *listing = opendir(folder);
    int result = 0;

    if (!listing)
        return dray_fail_errno(error, errno, "looking for room in %s", folder);
    for (const struct dirent *one; result == 0 && (one = readdir(listing));) {
        if (!is_part(one->d_name))
            continue;
        dray_autofree char *tree = dray_format("%s/%s/tree", folder, one->d_name);
        dray_autofree char *name = strdup(one->d_name);
        if (!tree || !name || DRAY_GROW(parts->parts, parts->count, parts->room) != 0) {
            result = dray_fail_memory(error);
            continue;
        }
        uint64_t used = dray_disk_usage(tree, who->engine);
        parts->parts[parts->count++] = (struct part){.name = DRAY_TAKE(name), .used = used};
        if (who->engine->interrupted)
            result = fail_interrupted(folder, error);
    }
    (void)closedir(listing);
    return result;
}

static uint64_t promise_of(const char *folder, const char *name, const struct parts *parts)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = 64};
    dray_autofree char *path = dray_format("%s/%s/promised", folder, name);
    struct dray_error ignored = {0};
    const char *why;
    int64_t bytes = 0;
    uint64_t used = 0;

    if (!path || dray_read_file(path, &text, &ignored) != 0 || !text.data ||
        dray_int_parse(text.data, text.length, &bytes, &why) != 0 || bytes < 0)
        return 0;
    for (size_t i = 0; i < parts->count; i++)
        if (strcmp(parts->parts[i].name, name) == 0)
            used = parts->parts[i].used;
    return used < (uint64_t)bytes ? (uint64_t)bytes - used : 0;
}

static int look(const struct dray_engine *engine, const char *folder, const struct parts *parts,
                struct room *room, struct dray_error *error)
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
    for (const struct dirent *one; (one = readdir(listing));)
        if (is_part(one->d_name) && is_alive(folder, one->d_name))
            room->promised += promise_of(folder, one->d_name, parts);
    (void)closedir(listing);
    return 0;
}

/* ---- Taking */

static int promise(const char *part, uint64_t bytes, struct dray_error *error)
{
    dray_autofree char *path = dray_format("%s/promised", part);
    dray_autofree char *text = dray_format("%llu", (unsigned long long)bytes);

    return path && text ? dray_write_file(path, text, strlen(text), 0600, error)
                        : dray_fail_memory(error);
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

/* The lock is held. 1: promised, 0: there is none yet; or DRAY_NO_SPACE, where all others wait. */
static int take_locked(const struct dray_bringing *who, const char *folder, const char *part,
                       uint64_t bytes, const struct parts *parts, struct room *room,
                       struct dray_error *error)
{
    uint64_t wanted = 0;
    int result = look(who->engine, folder, parts, room, error);

    if (result != 0)
        return result;
    int fits = !__builtin_add_overflow(room->reserve, room->promised, &wanted) &&
               !__builtin_add_overflow(wanted, bytes, &wanted) && wanted <= room->free;
    /* Who fails lets go of what it has: those who wait look again after that. */
    if (!fits && others_are_busy(who->room))
        return dray_room_busy(who->room, 0, error);
    result = dray_room_busy(who->room, 1, error);
    if (result == 0)
        result = fits ? promise(part, bytes, error) : fail_room(folder, bytes, room, error);
    return result == 0 ? 1 : result;
}

static int try_take(const struct dray_bringing *who, const char *folder, const char *part,
                    uint64_t bytes, struct room *room, struct dray_error *error)
{
    dray_cleanup(free_parts) struct parts parts = {0};
    struct dray_error unlocking = {0};
    int result = measure(who, folder, &parts, error);

    if (result == 0)
        result = lock_room(who, folder, error);
    if (result != 0)
        return result;
    result = take_locked(who, folder, part, bytes, &parts, room, error);
    if (lock_byte(who->room, LOOK, F_UNLCK, &unlocking) < 0 && result >= 0) {
        *error = unlocking;
        return error->class_;
    }
    return result;
}

int dray_room_take(const struct dray_bringing *who, const char *folder, const char *part,
                   uint64_t bytes, struct dray_error *error)
{
    struct room room = {0};
    int told = 0, result;

    while ((result = try_take(who, folder, part, bytes, &room, error)) == 0) {
        if (!told)
            dray_event_send(who->engine, who->job, who->attempt,
                            json_pack("{s:s, s:s, s:I, s:I}", "event", "waiting", "scratch", folder,
                                      "bytes", (json_int_t)bytes, "free", (json_int_t)room.free));
        told = 1;
        if (!dray_engine_sleep(who->engine, TICK))
            return fail_interrupted(folder, error);
    }
    return result < 0 ? result : 0;
}
