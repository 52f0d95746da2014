/* SPDX-License-Identifier: MIT */
/* merge_settle.c - the renames of a merge's journal: done, finished after a crash, or undone. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/run/merge_move.h"

#define NAME_ROOM  24
#define NAME_SHOWN 400

struct work {
    int target, data, old;
    const struct dray_merge_journal *journal;
    const struct dray_merge_watch *watch;
    struct dray_error *error;
};

static void name_of(size_t index, char ret_name[static NAME_ROOM])
{
    (void)snprintf(ret_name, NAME_ROOM, "%zu", index);
}

static int fail_at(struct work *work, int reason, const char *what, const char *path)
{
    if (reason == EXDEV)
        return dray_fail(work->error, DRAY_CONFLICT,
                         "%s \"%.*s\": another file system is mounted there", what, NAME_SHOWN,
                         path);
    if (reason == EEXIST || reason == ENOTEMPTY || reason == ENOTDIR || reason == ELOOP ||
        reason == ESTALE)
        return dray_fail(work->error, DRAY_CONFLICT,
                         "%s \"%.*s\": something else came to its name while the delivery was "
                         "written",
                         what, NAME_SHOWN, path);
    return dray_fail_errno(work->error, reason, "%s \"%.*s\"", what, NAME_SHOWN, path);
}

static int open_part(int holder, const char *name, struct dray_error *error)
{
    int fd = openat(holder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 ? fd : dray_fail_errno(error, errno, "opening \"%s\" of the delivery", name);
}

/* A directory gets the mode that it had, should one that was killed have made it writable to move
 * it. */
static int restore_mode(struct work *work, const struct dray_merge_line *line)
{
    if (!S_ISDIR(line->mode) || dray_merge_set_mode(work->target, line, line->mode) == 0)
        return 0;
    return fail_at(work, errno, "setting the mode of", line->path);
}

/* ---- Doing ---- */

/* The directory that the line's name is in. It is asked for again: another one may have come to the
 * path. EACCES: it may not be changed. */
static int open_permitted(struct work *work, const struct dray_merge_line *line,
                          const char **ret_name)
{
    dray_autoclose int folder = dray_merge_open_folder(work->target, line->path, ret_name);

    if (folder < 0)
        return -1;
    if (dray_merge_permits(work->watch, folder, line->act == DRAY_MERGE_ASIDE ? *ret_name : NULL))
        return DRAY_TAKE_FD(folder);
    errno = EACCES;
    return -1;
}

static int put(struct work *work, const struct dray_merge_line *line, int again)
{
    int there = again ? dray_merge_is_there(work->target, line->path, line) : 0;
    const char *name = NULL;
    dray_autoclose int folder = there == 0 ? open_permitted(work, line, &name) : -1;

    if (there < 0 || (there == 0 && (folder < 0 || dray_merge_move_out(work->data, line->path,
                                                                       folder, name) != 0)))
        return fail_at(work, errno, "putting into place", line->path);
    return again ? restore_mode(work, line) : 0;
}

/* What is moved must be what was looked at: otherwise it goes back. */
static int aside(struct work *work, size_t index, int again)
{
    const struct dray_merge_line *line = &work->journal->lines[index];
    char name[NAME_ROOM];
    const char *theirs = NULL;

    name_of(index, name);
    if (again && dray_merge_is_there(work->old, name, line) > 0)
        return 0;
    dray_autoclose int folder = open_permitted(work, line, &theirs);
    if (folder < 0 || dray_merge_move_in(folder, theirs, work->old, name) != 0)
        return fail_at(work, errno, "moving aside", line->path);
    if (dray_merge_is_there(work->old, name, line) > 0)
        return 0;
    if (dray_merge_move_back(work->old, name, work->target, line->path) != 0)
        return fail_at(work, errno, "giving back", line->path);
    return dray_fail(work->error, DRAY_CONFLICT,
                     "\"%.*s\" was changed while the delivery was written", NAME_SHOWN, line->path);
}

/* Before anything is finished after a crash: is all of it there, here or there? */
static int check_there(struct work *work)
{
    char name[NAME_ROOM];

    for (size_t i = 0; i < work->journal->count; i++) {
        const struct dray_merge_line *line = &work->journal->lines[i];
        int is_aside = line->act == DRAY_MERGE_ASIDE;
        name_of(i, name);
        int there = dray_merge_is_there(work->target, line->path, line);
        if (there == 0)
            there = dray_merge_is_there(is_aside ? work->old : work->data,
                                        is_aside ? name : line->path, line);
        if (there < 0)
            return dray_fail_errno(work->error, errno, "looking for \"%.*s\"", NAME_SHOWN,
                                   line->path);
        if (there == 0)
            return dray_fail(work->error, DRAY_INTEGRITY,
                             "\"%.*s\" is not what the journal of the delivery says", NAME_SHOWN,
                             line->path);
        dray_merge_progress(work->watch);
    }
    return 0;
}

/* One that may not be read is made durable with all the file system. */
static int sync_folder(struct work *work, int folder)
{
    dray_autoclose int fd = folder < 0 ? -1 : openat(folder, ".", O_RDONLY | O_CLOEXEC);

    if (fd < 0 && folder >= 0 && errno == EACCES)
        return syncfs(work->target);
    return fd < 0 ? -1 : fsync(fd);
}

/* The names in the directory that the path lies in, each directory once while paths are sorted. */
static int sync_folders(struct work *work)
{
    const char *last = NULL;
    size_t last_length = 0;

    for (size_t i = 0; i < work->journal->count; i++) {
        const struct dray_merge_line *line = &work->journal->lines[i];
        const char *name = NULL;
        if (line->act == DRAY_MERGE_HAS)
            continue;
        dray_autoclose int folder = dray_merge_open_folder(work->target, line->path, &name);
        size_t length = (size_t)(name - line->path);
        if (folder < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            continue; /* of what was undone */
        if (last && length == last_length && memcmp(last, line->path, length) == 0)
            continue;
        if (sync_folder(work, folder) != 0)
            return dray_fail_errno(work->error, errno, "making the names beside \"%.*s\" durable",
                                   NAME_SHOWN, line->path);
        last = line->path;
        last_length = length;
        dray_merge_progress(work->watch);
    }
    return 0;
}

int dray_merge_finish(int target, int holder, const struct dray_merge_journal *journal, int again,
                      const struct dray_merge_watch *watch, struct dray_error *error)
{
    dray_autoclose int data = open_part(holder, "data", error);
    dray_autoclose int old = data < 0 ? -1 : open_part(holder, "old", error);
    struct work work = {target, data, old, journal, watch, error};

    if (data < 0 || old < 0)
        return error->class_;
    int result = again ? check_there(&work) : 0;
    for (size_t i = 0; result == 0 && i < journal->count; i++) {
        if (journal->lines[i].act == DRAY_MERGE_PUT)
            result = put(&work, &journal->lines[i], again);
        else if (journal->lines[i].act == DRAY_MERGE_ASIDE)
            result = aside(&work, i, again);
        dray_merge_progress(watch);
    }
    if (result == 0)
        result = sync_folders(&work);
    return result == 0 ? dray_merge_journal_note(holder, "done", error) : result;
}

/* ---- Undoing ---- */

/* Is it what was put, but changed since? */
static int is_changed(struct work *work, const struct dray_merge_line *line)
{
    const char *name = NULL;
    struct stat status;
    dray_autoclose int folder = dray_merge_open_folder(work->target, line->path, &name);

    return folder >= 0 && fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_ino == line->inode && (status.st_mode & S_IFMT) == (line->mode & S_IFMT);
}

static void keep(struct dray_error *kept, const struct dray_merge_line *line)
{
    if (kept->class_ == 0)
        dray_fail(kept, DRAY_CONFLICT,
                  "\"%.*s\", which was put there by a delivery that was undone, was changed since "
                  "and stays",
                  NAME_SHOWN, line->path);
}

static int give_back(struct work *work, size_t index)
{
    const struct dray_merge_line *line = &work->journal->lines[index];
    char name[NAME_ROOM];
    struct stat status;

    name_of(index, name);
    if (fstatat(work->old, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : fail_at(work, errno, "looking for what was at", line->path);
    if (dray_merge_move_back(work->old, name, work->target, line->path) != 0) {
        dray_autofree char *reason = strdup(strerror(errno));
        return dray_fail(work->error, DRAY_INTEGRITY,
                         "what was at \"%.*s\" could not be given back, and is kept as old/%s: %s",
                         NAME_SHOWN, line->path, name, reason ? reason : "");
    }
    return S_ISDIR(status.st_mode) && status.st_ino == line->inode ? restore_mode(work, line) : 0;
}

/* A file or link is moved to the holder, where nobody can exchange it, and removed there if it is
 * what was put: else it goes back. One that was killed may have left it there. */
static int take_away(struct work *work, size_t index, struct dray_error *kept)
{
    const struct dray_merge_line *line = &work->journal->lines[index];
    char name[NAME_ROOM];
    struct stat status;

    name_of(index, name);
    if (fstatat(work->old, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        int there = errno == ENOENT ? dray_merge_is_there(work->target, line->path, line) : -1;
        if (there < 0)
            return fail_at(work, errno, "looking for", line->path);
        if (there == 0 && is_changed(work, line))
            keep(kept, line);
        if (there == 0)
            return 0;
        if (dray_merge_move_in(work->target, line->path, work->old, name) != 0)
            return errno == ENOENT ? 0 : fail_at(work, errno, "taking away", line->path);
    }
    if (dray_merge_is_there(work->old, name, line) > 0)
        return unlinkat(work->old, name, 0) == 0 ? 0
                                                 : fail_at(work, errno, "taking away", line->path);
    keep(kept, line);
    return give_back(work, index);
}

/* At most one that is empty is removed, whosever it may be by then. */
static int take_folder_away(struct work *work, const struct dray_merge_line *line)
{
    const char *name = NULL;
    int there = dray_merge_is_there(work->target, line->path, line);

    if (there <= 0)
        return there == 0 ? 0 : fail_at(work, errno, "looking for", line->path);
    dray_autoclose int folder = dray_merge_open_folder(work->target, line->path, &name);
    if (folder < 0)
        return fail_at(work, errno, "taking away", line->path);
    if (unlinkat(folder, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return errno == ENOTEMPTY || errno == EEXIST ? restore_mode(work, line)
                                                 : fail_at(work, errno, "taking away", line->path);
}

static int undo_line(struct work *work, size_t index, struct dray_error *kept)
{
    const struct dray_merge_line *line = &work->journal->lines[index];

    if (line->act == DRAY_MERGE_ASIDE)
        return give_back(work, index);
    return S_ISDIR(line->mode) ? take_folder_away(work, line) : take_away(work, index, kept);
}

/* Directories of ours are emptied, whatever their mode is: where this fails, that shows then. */
static void open_up(struct work *work)
{
    for (size_t i = 0; i < work->journal->count; i++) {
        const struct dray_merge_line *line = &work->journal->lines[i];
        if (line->act != DRAY_MERGE_ASIDE && S_ISDIR(line->mode) && (line->mode & 0700) != 0700)
            (void)!dray_merge_set_mode(work->target, line, line->mode | 0700);
    }
}

/* Where nothing could be noted in it, and all is undone. */
static int forget(int holder, struct dray_error *error)
{
    return unlinkat(holder, "journal", 0) == 0 && fsync(holder) == 0
               ? 0
               : dray_fail_errno(error, errno, "removing the journal of the delivery");
}

/* What fails keeps nothing else from being undone; the first failure is told. */
int dray_merge_undo(int target, int holder, const struct dray_merge_journal *journal,
                    const struct dray_merge_watch *watch, struct dray_error *ret_kept,
                    struct dray_error *error)
{
    dray_autoclose int old = open_part(holder, "old", error);
    struct dray_error first = {0};
    struct work work = {target, -1, old, journal, watch, error};

    *ret_kept = (struct dray_error){0};
    if (old < 0)
        return error->class_;
    int noted = journal->undo || dray_merge_journal_note(holder, "undo", error) == 0;
    open_up(&work);
    for (size_t i = journal->count; i > 0; i--) {
        if (undo_line(&work, i - 1, ret_kept) != 0 && first.class_ == 0)
            first = *error;
        dray_merge_progress(watch);
    }
    if (sync_folders(&work) != 0 && first.class_ == 0)
        first = *error;
    *error = first;
    if (first.class_ == 0)
        return noted ? dray_merge_journal_note(holder, "done", error) : forget(holder, error);
    return first.class_;
}
