/* SPDX-License-Identifier: MIT */
/* merge_settle.c - the renames of a merge's journal: done, finished after a crash, or undone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/beneath.h"
#include "core/base/io.h"
#include "core/run/merge.h"

#define JOURNAL_CAP ((size_t)1 << 30)
#define NAME_ROOM   24
#define MARK_ROOM   48
#define NAME_SHOWN  400

/* The directory that a path lies in, and its name there. Others may write in the target: no link
 * on the way is followed. -1 with errno. */
int dray_merge_open_folder(int root, const char *path, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    int no_openat2 = 0;

    *ret_name = slash ? slash + 1 : path;
    if (!slash)
        return openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    dray_autofree char *folder = strndup(path, (size_t)(slash - path));
    if (!folder) {
        errno = ENOMEM;
        return -1;
    }
    return dray_open_beneath(root, folder, O_PATH | O_DIRECTORY, &no_openat2);
}

/* Is what the line says there? 1, 0 (nothing or something else) or -1 with errno. */
static int is_there(int root, const char *path, const struct dray_merge_line *line)
{
    const char *name = NULL;
    struct stat status;
    dray_autoclose int folder = dray_merge_open_folder(root, path, &name);

    if (folder < 0 || fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV ? 0 : -1;
    return (status.st_mode & S_IFMT) == line->type && status.st_ino == line->inode &&
           (line->type != S_IFREG || (uint64_t)status.st_size == line->bytes);
}

static void name_of(size_t index, char ret_name[static NAME_ROOM])
{
    (void)snprintf(ret_name, NAME_ROOM, "%zu", index);
}

/* Some file systems know no flags (NFS and Lustre among them): there nothing holds the name between
 * the look and the rename. */
static int rename_new(int from, const char *old, int to, const char *name)
{
    struct stat status;

    if (renameat2(from, old, to, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return -1;
    if (fstatat(to, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? renameat(from, old, to, name) : -1;
}

/* A directory whose mode keeps its owner from writing cannot be moved to another one: its `..`
 * changes. Its mode is given back in any case. */
static int move(int from_root, const char *from_path, int to_root, const char *to_path, mode_t type)
{
    const char *from_name = NULL, *to_name = NULL;
    struct stat status;
    dray_autoclose int from = dray_merge_open_folder(from_root, from_path, &from_name);
    dray_autoclose int to = from < 0 ? -1 : dray_merge_open_folder(to_root, to_path, &to_name);

    if (from < 0 || to < 0)
        return -1;
    if (rename_new(from, from_name, to, to_name) == 0)
        return 0;
    if (errno != EACCES || !S_ISDIR(type) ||
        fstatat(from, from_name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode) ||
        (status.st_mode & 0200) != 0 || status.st_uid != geteuid())
        return -1;
    if (fchmodat(from, from_name, (status.st_mode | 0200) & 07777, 0) != 0)
        return -1;
    int moved = rename_new(from, from_name, to, to_name), reason = errno;
    if (fchmodat(moved == 0 ? to : from, moved == 0 ? to_name : from_name, status.st_mode & 07777,
                 0) != 0 &&
        moved == 0)
        return -1;
    errno = reason;
    return moved;
}

/* A crash may have come between a directory's rename and giving it its mode back. */
static int give_mode(int root, const char *path, const struct dray_merge_line *line,
                     struct dray_error *error)
{
    const char *name = NULL;
    struct stat status;

    if (!S_ISDIR(line->type) || line->bytes == 0)
        return 0;
    dray_autoclose int folder = dray_merge_open_folder(root, path, &name);
    if (folder < 0 || fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISDIR(status.st_mode) || status.st_ino != line->inode ||
        (status.st_mode & 07777) == line->bytes ||
        fchmodat(folder, name, (mode_t)line->bytes & 07777, 0) == 0)
        return 0;
    return dray_fail_errno(error, errno, "setting the mode of \"%.*s\"", NAME_SHOWN, path);
}

/* ---- Doing ---- */

static int fail_at(struct dray_error *error, int reason, const char *what, const char *path)
{
    if (reason == EEXIST || reason == ENOTEMPTY || reason == ENOTDIR || reason == ELOOP ||
        reason == EXDEV)
        return dray_fail(error, DRAY_CONFLICT,
                         "%s \"%.*s\": something else came to its name while the delivery was "
                         "written",
                         what, NAME_SHOWN, path);
    return dray_fail_errno(error, reason, "%s \"%.*s\"", what, NAME_SHOWN, path);
}

static int put(int target, int data, const struct dray_merge_line *line, int again,
               struct dray_error *error)
{
    int there = again ? is_there(target, line->path, line) : 0;

    if (there == 0 && move(data, line->path, target, line->path, line->type) == 0)
        there = 1;
    if (there <= 0)
        return fail_at(error, errno, "putting into place", line->path);
    return again ? give_mode(target, line->path, line, error) : 0;
}

/* What is moved must be what was looked at: otherwise it goes back. */
static int aside(int target, int old, size_t index, const struct dray_merge_line *line, int again,
                 struct dray_error *error)
{
    char name[NAME_ROOM];

    name_of(index, name);
    if (again && is_there(old, name, line) > 0)
        return 0;
    if (move(target, line->path, old, name, line->type) != 0)
        return fail_at(error, errno, "moving aside", line->path);
    if (is_there(old, name, line) > 0)
        return 0;
    if (move(old, name, target, line->path, line->type) != 0)
        return fail_at(error, errno, "giving back", line->path);
    return dray_fail(error, DRAY_CONFLICT, "\"%.*s\" was changed while the delivery was written",
                     NAME_SHOWN, line->path);
}

/* Before anything is finished after a crash: is all of it there, here or there? */
static int check_there(int target, int data, int old, const struct dray_merge_journal *journal,
                       struct dray_error *error)
{
    char name[NAME_ROOM];

    for (size_t i = 0; i < journal->count; i++) {
        const struct dray_merge_line *line = &journal->lines[i];
        name_of(i, name);
        int there = is_there(target, line->path, line);
        if (there == 0)
            there = line->act == DRAY_MERGE_ASIDE ? is_there(old, name, line)
                                                  : is_there(data, line->path, line);
        if (there < 0)
            return dray_fail_errno(error, errno, "looking for \"%.*s\"", NAME_SHOWN, line->path);
        if (there == 0)
            return dray_fail(error, DRAY_INTEGRITY,
                             "\"%.*s\" is not what the journal of the delivery says", NAME_SHOWN,
                             line->path);
    }
    return 0;
}

/* The names in the directory that the path lies in, each directory once while paths are sorted. */
static int sync_folders(int target, const struct dray_merge_journal *journal,
                        struct dray_error *error)
{
    const char *last = NULL;
    size_t last_length = 0;

    for (size_t i = 0; i < journal->count; i++) {
        const struct dray_merge_line *line = &journal->lines[i];
        const char *name = NULL;
        if (line->act == DRAY_MERGE_HAS)
            continue;
        dray_autoclose int folder = dray_merge_open_folder(target, line->path, &name);
        size_t length = (size_t)(name - line->path);
        if (folder < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            continue; /* of what was undone */
        if (last && length == last_length && memcmp(last, line->path, length) == 0)
            continue;
        dray_autoclose int fd = folder < 0 ? -1 : openat(folder, ".", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) != 0)
            return dray_fail_errno(error, errno, "making the names beside \"%.*s\" durable",
                                   NAME_SHOWN, line->path);
        last = line->path;
        last_length = length;
    }
    return 0;
}

/* A word behind the end of the journal. */
static int note(int holder, const char *word, struct dray_error *error)
{
    dray_autoclose int fd = openat(holder, "journal", O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || dray_write_all(fd, word, strlen(word)) != 0 || fsync(fd) != 0 ||
        dray_close(&fd) != 0)
        return dray_fail_errno(error, errno, "writing the journal of the delivery");
    return 0;
}

static int open_part(int holder, const char *name, struct dray_error *error)
{
    int fd = openat(holder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd >= 0 ? fd : dray_fail_errno(error, errno, "opening \"%s\" of the delivery", name);
}

int dray_merge_finish(int target, int holder, const struct dray_merge_journal *journal, int again,
                      struct dray_error *error)
{
    dray_autoclose int data = open_part(holder, "data", error);
    dray_autoclose int old = data < 0 ? -1 : open_part(holder, "old", error);

    if (data < 0 || old < 0)
        return error->class_;
    int result = again ? check_there(target, data, old, journal, error) : 0;
    for (size_t i = 0; result == 0 && i < journal->count; i++) {
        const struct dray_merge_line *line = &journal->lines[i];
        if (line->act == DRAY_MERGE_PUT)
            result = put(target, data, line, again, error);
        else if (line->act == DRAY_MERGE_ASIDE)
            result = aside(target, old, i, line, again, error);
    }
    if (result == 0)
        result = sync_folders(target, journal, error);
    return result == 0 ? note(holder, "done\n", error) : result;
}

/* ---- Undoing ---- */

/* Take away one thing that was put, unless something else has its name. A directory stays when
 * others have something in it. */
static int take_away(int target, const struct dray_merge_line *line, struct dray_error *error)
{
    const char *name = NULL;
    int there = is_there(target, line->path, line), directory = S_ISDIR(line->type);

    if (there < 0)
        return dray_fail_errno(error, errno, "looking for \"%.*s\"", NAME_SHOWN, line->path);
    if (there == 0)
        return 0;
    dray_autoclose int folder = dray_merge_open_folder(target, line->path, &name);
    if (folder < 0)
        return fail_at(error, errno, "taking away", line->path);
    if (unlinkat(folder, name, directory ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT ||
        (directory && (errno == ENOTEMPTY || errno == EEXIST)))
        return 0;
    return dray_fail_errno(error, errno, "taking away \"%.*s\"", NAME_SHOWN, line->path);
}

/* Directories of ours are emptied, whatever their mode is. */
static void open_up(int target, const struct dray_merge_line *line)
{
    const char *name = NULL;
    dray_autoclose int folder = dray_merge_open_folder(target, line->path, &name);
    dray_autoclose int fd =
        folder < 0 ? -1 : openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;

    int failed = 0; /* which shows when it is emptied */

    if (folder >= 0 && fd < 0 && errno == EACCES && is_there(target, line->path, line) > 0)
        failed = fchmodat(folder, name, 0700, 0);
    else if (fd >= 0 && fstat(fd, &status) == 0 && status.st_ino == line->inode &&
             (status.st_mode & 0700) != 0700)
        failed = fchmod(fd, (status.st_mode & 07777) | 0700);
    (void)failed;
}

static int give_back(int target, int old, size_t index, const struct dray_merge_line *line,
                     struct dray_error *error)
{
    char name[NAME_ROOM];

    name_of(index, name);
    int there = is_there(old, name, line);
    if (there < 0)
        return dray_fail_errno(error, errno, "looking for what was at \"%.*s\"", NAME_SHOWN,
                               line->path);
    if (there > 0 && move(old, name, target, line->path, line->type) != 0)
        return fail_at(error, errno, "giving back", line->path);
    return give_mode(target, line->path, line, error);
}

int dray_merge_undo(int target, int holder, const struct dray_merge_journal *journal,
                    struct dray_error *error)
{
    dray_autoclose int old = open_part(holder, "old", error);
    int result = old < 0 ? error->class_ : 0;

    if (result == 0 && !journal->undo)
        result = note(holder, "undo\n", error);
    for (size_t i = 0; result == 0 && i < journal->count; i++)
        if (journal->lines[i].act != DRAY_MERGE_ASIDE && S_ISDIR(journal->lines[i].type))
            open_up(target, &journal->lines[i]);
    for (size_t i = journal->count; result == 0 && i > 0; i--) {
        const struct dray_merge_line *line = &journal->lines[i - 1];
        result = line->act == DRAY_MERGE_ASIDE ? give_back(target, old, i - 1, line, error)
                                               : take_away(target, line, error);
    }
    if (result == 0)
        result = sync_folders(target, journal, error);
    return result == 0 ? note(holder, "done\n", error) : result;
}

/* ---- What an attempt left ---- */

int dray_merge_journal_write(int holder, const struct dray_merge_journal *journal,
                             struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = JOURNAL_CAP};

    dray_merge_journal_print(journal, &text);
    if (text.failed != 0)
        return text.failed == DRAY_NO_MEMORY
                   ? dray_fail_memory(error)
                   : dray_fail(error, DRAY_UNSUPPORTED, "the journal of the delivery is too long");
    dray_autoclose int fd =
        openat(holder, "journal.new", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || dray_write_all(fd, text.data, text.length) != 0 || fsync(fd) != 0 ||
        dray_close(&fd) != 0 || renameat(holder, "journal.new", holder, "journal") != 0 ||
        fsync(holder) != 0)
        return dray_fail_errno(error, errno, "writing the journal of the delivery");
    return 0;
}

/* 1 with the journal, 0: there is none, or a class. */
static int read_journal(int holder, struct dray_merge_journal *ret_journal,
                        struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer text = {.cap = JOURNAL_CAP};
    dray_autoclose int fd =
        openat(holder, "journal", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &status) != 0)
        return dray_fail_errno(error, errno, "opening its journal");
    if (!S_ISREG(status.st_mode) || status.st_size < 0 || (uint64_t)status.st_size > JOURNAL_CAP)
        return dray_fail(error, DRAY_INTEGRITY, "its journal is none");
    char *room = dray_buffer_reserve(&text, (size_t)status.st_size + 1);
    if (!room)
        return dray_fail_memory(error);
    ssize_t got = dray_read_full(fd, room, (size_t)status.st_size);
    if (got < 0)
        return dray_fail_errno(error, errno, "reading its journal");
    int result = dray_merge_journal_read(room, (size_t)got, ret_journal, error);
    return result == 0 ? 1 : result;
}

/* What cannot be listed may hold anything. */
static int is_empty(int holder, const char *name)
{
    int fd = openat(holder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
    int count = 0;

    if (!listing) {
        int missing = errno == ENOENT;
        dray_close_descriptor(&fd);
        return missing;
    }
    errno = 0;
    while (readdir(listing))
        count++;
    int failed = errno != 0;
    (void)closedir(listing);
    return !failed && count <= 2;
}

/* Finish it, or undo it where that cannot be. */
static int bring_to_end(int target, int holder, const struct dray_merge_journal *journal,
                        struct dray_error *error)
{
    int result =
        journal->undo ? DRAY_CONFLICT : dray_merge_finish(target, holder, journal, 1, error);

    return result == DRAY_CONFLICT || result == DRAY_INTEGRITY
               ? dray_merge_undo(target, holder, journal, error)
               : result;
}

static int settle(int target, int holder, struct dray_error *error)
{
    dray_cleanup(dray_merge_journal_free) struct dray_merge_journal journal = {0};
    int found = read_journal(holder, &journal, error);

    if (found < 0)
        return found;
    if (!journal.complete && !is_empty(holder, "old"))
        return dray_fail(error, DRAY_INTEGRITY,
                         "its journal is not whole, and it holds files of others in \"old\"");
    return journal.complete && !journal.done ? bring_to_end(target, holder, &journal, error) : 0;
}

/* ---- Whose it is ---- */

/* The name of a directory in it that says which holder it is, of which target: what nobody else
 * can make there, nor bring there from another place. -1 with errno. */
static int mark_of(int target, int holder, char ret_name[static MARK_ROOM])
{
    struct stat above, status;

    if (fstat(target, &above) != 0 || fstat(holder, &status) != 0)
        return -1;
    (void)snprintf(ret_name, MARK_ROOM, "of-%" PRIu64 "-%" PRIu64, (uint64_t)above.st_ino,
                   (uint64_t)status.st_ino);
    return 0;
}

int dray_merge_mark(int target, int holder, struct dray_error *error)
{
    char mark[MARK_ROOM];

    return mark_of(target, holder, mark) == 0 && mkdirat(holder, mark, 0700) == 0
               ? 0
               : dray_fail_errno(error, errno, "making a directory in the target");
}

/* NULL, or why it is not believed. */
static const char *doubt(int target, int holder)
{
    struct stat status;
    char mark[MARK_ROOM];

    if (fstat(holder, &status) != 0)
        return strerror(errno);
    if (status.st_uid != geteuid() || (status.st_mode & 0077) != 0)
        return "it was not left by a delivery of this user";
    if (mark_of(target, holder, mark) != 0 ||
        fstatat(holder, mark, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode))
        return "nothing in it says that a delivery made it here";
    return NULL;
}

int dray_merge_is_known(int target, int holder)
{
    return doubt(target, holder) == NULL;
}

/* The journal goes after all else, and the mark after the journal: whatever is left is known. */
static int remove_settled(int target, const char *name, int holder, struct dray_error *error)
{
    static const char *const parts[] = {"data", "old", "journal.new", "journal"};
    int result = 0;

    for (size_t i = 0; result == 0 && i < DRAY_COUNT(parts); i++)
        result = dray_remove_tree(holder, parts[i], error);
    if (result == 0)
        result = dray_remove_held(target, name, holder, error);
    /* Once the delivery is recorded, nobody looks for it again. */
    if (result == 0 && fsync(target) != 0)
        result = dray_fail_errno(error, errno, "making its removal durable");
    return result;
}

/* .dray-KEY16.ATTEMPT-JOB8 */
int dray_merge_is_holder(const char *name)
{
    static const char hex[] = "0123456789abcdef";

    if (strncmp(name, ".dray-", 6) != 0 || strspn(name + 6, hex) != 16 || name[22] != '.')
        return 0;
    size_t digits = strspn(name + 23, "0123456789");
    const char *job = name + 23 + digits;
    return digits > 0 && job[0] == '-' && strspn(job + 1, hex) == 8 && job[9] == '\0';
}

int dray_merge_settle(int target, const char *name, int own, struct dray_error *error)
{
    struct dray_error why = {0};
    dray_autoclose int holder =
        openat(target, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (holder < 0 && errno == ENOENT)
        return 0;
    if (holder < 0) {
        dray_fail_errno(error, errno, "opening it");
        return 1;
    }
    const char *doubted = own < 0 ? doubt(target, holder) : NULL;
    if (doubted) {
        /* One that is empty is nobody's loss: an attempt died when it had just made it. */
        if (unlinkat(target, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        dray_fail(error, DRAY_DENIED, "%s", doubted);
        return 1;
    }
    if (own < 0 && flock(holder, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return dray_fail(error, DRAY_TEMPORARY, "another delivery is at work in the target: %s",
                         name);
    int result = settle(target, holder, &why);
    if (result == 0)
        return remove_settled(target, name, holder, error) == 0 ? 0 : 1;
    dray_fail(error, result,
              "what a delivery left in \"%s\" of the target could not be brought to "
              "its end: %s",
              name, why.message);
    dray_hint(error, "look at it, and move it away when nothing in it is needed");
    return error->class_;
}
