/* SPDX-License-Identifier: MIT */
#include "core/run/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buffer.h"
#include "core/base/io.h"
#include "core/run/adopt.h"
#include "core/run/merge_move.h"

/* Of many that are left, so many are named. */
#define TOLD 4

struct sweep {
    const struct dray_plan_target *target;
    int parent;
    dev_t device;
    char *prefix;
    const struct dray_made *made;
    struct dray_staging_place *adopter;
    const struct dray_teller *teller;
    struct dray_superseded *superseded;
    const struct dray_made_line *line; /* of *superseded */
    uint64_t left;
    struct dray_error *error;
};

void dray_superseded_free(struct dray_superseded *superseded)
{
    dray_close_descriptor(&superseded->fd);
    free(superseded->name);
    *superseded = (struct dray_superseded){.fd = -1};
}

char *dray_sweep_prefix(const struct dray_plan_target *target)
{
    return dray_format(".dray-%.16s.", target->request_key);
}

/* ---- Telling ---- */

void dray_sweep_tell(const struct dray_teller *teller, const char *directory, const char *name,
                     const char *why)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer quoted = {.cap = 64u << 10};
    dray_autofree char *path =
        dray_format("%s/%s", strcmp(directory, "/") == 0 ? "" : directory, name);

    /* Within single quotes a shell takes everything as it is but the quote itself. */
    for (const char *at = path; at && *at; at++)
        dray_buffer_add(&quoted, *at == '\'' ? "'\\''" : at, *at == '\'' ? 4 : 1);
    dray_autofree char *message =
        path && !quoted.failed
            ? dray_format("%s: %s; when nothing in it is needed, remove it:  rm -rf '%s'", path,
                          why, quoted.data)
            : NULL;
    teller->tell(teller->arg, message ? message : why);
}

static void leave(struct sweep *sweep, const char *name, const char *why)
{
    if (sweep->left++ < TOLD)
        dray_sweep_tell(sweep->teller, sweep->target->parent, name, why);
}

static void tell_more(const struct sweep *sweep)
{
    if (sweep->left <= TOLD)
        return;
    dray_autofree char *message =
        dray_format("%s: %" PRIu64 " more names that begin with %s", sweep->target->parent,
                    sweep->left - TOLD, sweep->prefix);
    sweep->teller->tell(sweep->teller->arg, message ? message : "out of memory");
}

/* ---- One name ---- */

/* A name may have come to mean something else since it was opened: then it is given back. */
static int check_moved(int parent, const char *name, const char *moved, int held,
                       struct dray_error *error)
{
    struct stat status, found;

    if (fstat(held, &status) != 0 || fstatat(parent, moved, &found, AT_SYMLINK_NOFOLLOW) != 0)
        return dray_fail_errno(error, errno, "looking at it");
    if (status.st_dev == found.st_dev && status.st_ino == found.st_ino)
        return 0;
    if (dray_merge_rename_new(parent, moved, parent, name, found.st_mode) != 0)
        return dray_fail_errno(error, errno,
                               "something else came to its name, which is %s now: giving it back",
                               moved);
    return dray_fail(error, DRAY_CONFLICT, "something else came to its name, and was left there");
}

/* So that the attempt that made it, should it live after all, can no longer rename it into place. 0
 * also where it is gone itself. */
static int rename_away(const struct dray_plan_target *target, int parent, char **name, int held,
                       struct dray_error *error)
{
    dray_autofree char *prefix = dray_sweep_prefix(target);
    dray_autofree char *gone = prefix ? dray_format("%sold-", prefix) : NULL;
    uint64_t random = 0;

    if (!gone)
        return dray_fail_memory(error);
    if (strncmp(*name, gone, strlen(gone)) == 0) /* so it was, but not all in it could be removed */
        return 0;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return dray_fail_errno(error, errno, "asking for random bytes");
    dray_autofree char *doomed = dray_format("%s%016" PRIx64, gone, random);
    if (!doomed)
        return dray_fail_memory(error);
    if (renameat(parent, *name, parent, doomed) != 0)
        return errno == ENOENT ? 0 : dray_fail_errno(error, errno, "renaming it");
    int moved = check_moved(parent, *name, doomed, held, error);
    if (moved != 0)
        return moved;
    free(*name);
    *name = DRAY_TAKE(doomed);
    return 0;
}

int dray_sweep_remove(const struct dray_plan_target *target, int parent, char **name, int held,
                      struct dray_error *error)
{
    int result = rename_away(target, parent, name, held, error);

    return result == 0 ? dray_remove_held(parent, *name, held, error) : result;
}

/* The newest is held: an older one was left alone before, and is now. Nobody else gets into it any
 * more, so that it stays what it will be found to be. */
static void hold(struct sweep *sweep, const char *name, const struct dray_made_line *line, int *fd,
                 const struct stat *status)
{
    struct dray_superseded *superseded = sweep->superseded;
    char *copy = superseded && (superseded->fd < 0 || line > sweep->line) ? strdup(name) : NULL;

    if (!copy) {
        leave(sweep, name, "it is a delivery, which a newer one was to take the place of");
        return;
    }
    if (superseded->fd >= 0)
        leave(sweep, superseded->name,
              "it is a delivery, which a newer one was to take the place of");
    dray_superseded_free(superseded);
    superseded->fd = *fd;
    *fd = -1;
    superseded->name = copy;
    superseded->mode = status->st_mode & 07777;
    if (fchmod(superseded->fd, 0700) != 0) /* another's: it is checked all the same */
        superseded->mode = 0700;
    memcpy(superseded->manifest, line->manifest, sizeof(superseded->manifest));
    sweep->line = line;
}

/* Is it empty, and so was left between being made and being noted? Then it is gone. */
static int remove_empty(const struct sweep *sweep, const char *name)
{
    return unlinkat(sweep->parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/* What is a directory of this user's. */
static void sweep_ours(struct sweep *sweep, char **name, int *fd, const struct stat *status)
{
    const struct dray_made_line *line = dray_made_find(sweep->made, *fd);
    struct dray_error why = {0};

    if (line && line->what == DRAY_MADE_OLD)
        hold(sweep, *name, line, fd, status);
    else if (line && line->what == DRAY_MADE && sweep->adopter &&
             dray_adopt_is_of_use(sweep->adopter, *fd)) {
        if (rename_away(sweep->target, sweep->parent, name, *fd, &why) != 0)
            leave(sweep, *name, why.message);
        else if (!dray_adopt_keep(sweep->adopter, *name, fd))
            leave(sweep, *name, "there was no memory to take it over");
    } else if (line && line->what == DRAY_MADE) {
        if (dray_sweep_remove(sweep->target, sweep->parent, name, *fd, &why) != 0)
            leave(sweep, *name, why.message);
    } else if (!remove_empty(sweep, *name))
        leave(sweep, *name, "nothing here says that a delivery of yours made it");
}

static void sweep_name(struct sweep *sweep, char **name)
{
    struct stat status;
    dray_autoclose int fd =
        openat(sweep->parent, *name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return;
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
        leave(sweep, *name, "it is no directory, so no delivery made it");
    else if (fd < 0 || fstat(fd, &status) != 0)
        leave(sweep, *name, strerror(errno));
    else if (status.st_uid != geteuid())
        leave(sweep, *name, "it belongs to another user");
    else if (status.st_dev != sweep->device)
        leave(sweep, *name, "another file system is mounted there");
    else if (!sweep->made)
        leave(sweep, *name, "it was left by a delivery, or has the name of one");
    else
        sweep_ours(sweep, name, &fd, &status);
}

/* ---- All of them ---- */

/* First their names: while they are renamed and removed, a listing may show one twice. */
struct names {
    char **names;
    size_t count, capacity;
};

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
}

static int list(const struct sweep *sweep, DIR *listing, struct names *names)
{
    for (;;) {
        errno = 0;
        const struct dirent *one = readdir(listing);
        if (!one)
            return errno == 0
                       ? 0
                       : dray_fail_errno(sweep->error, errno, "listing %s", sweep->target->parent);
        if (strncmp(one->d_name, sweep->prefix, strlen(sweep->prefix)) != 0)
            continue;
        dray_autofree char *copy = strdup(one->d_name);
        if (!copy || DRAY_GROW(names->names, names->count, names->capacity) != 0)
            return dray_fail_memory(sweep->error);
        names->names[names->count++] = DRAY_TAKE(copy);
    }
}

static int sweep_all(struct sweep *sweep, DIR *listing)
{
    dray_cleanup(free_names) struct names names = {0};
    int result = list(sweep, listing, &names);

    for (size_t i = 0; result == 0 && i < names.count; i++)
        sweep_name(sweep, &names.names[i]);
    tell_more(sweep);
    return result;
}

int dray_sweep(const struct dray_plan_target *target, int parent, const struct dray_made *made,
               struct dray_staging_place *adopter, const struct dray_teller *teller,
               struct dray_superseded *ret_superseded, uint64_t *ret_left, struct dray_error *error)
{
    dray_autofree char *prefix = dray_sweep_prefix(target);
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
    struct stat status;
    int result = 0;

    if (!listing || fstat(parent, &status) != 0) {
        result = dray_fail_errno(error, errno, "listing %s", target->parent);
        if (listing)
            (void)closedir(listing);
        else
            dray_close_descriptor(&copy);
        return result;
    }
    struct sweep sweep = {.target = target,
                          .parent = parent,
                          .device = status.st_dev,
                          .prefix = prefix,
                          .made = made,
                          .adopter = adopter,
                          .teller = teller,
                          .superseded = ret_superseded,
                          .error = error};
    result = prefix ? sweep_all(&sweep, listing) : dray_fail_memory(error);
    (void)closedir(listing);
    if (ret_left)
        *ret_left = sweep.left;
    return result;
}
