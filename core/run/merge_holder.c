/* SPDX-License-Identifier: MIT */
/*
 * merge_holder.c - the directory below a target in which a merge is put together: made, known
 * again, locked, brought to its end and removed. In a target may be anything: datasets bring
 * directories of any name, and others who may write there rename them. So nothing is believed of a
 * holder but what only its maker could write, and nothing of it is removed but what a holder has.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/run/merge_move.h"

#define MARK "holder"
/* Of a mark: all that is in it. */
#define MARK_ROOM 1024
/* Where locks are not known, one that was touched in so many seconds is taken for alive. */
#define ALIVE_FOR (24 * 60 * 60)

struct holder {
    int target, directory, lock;
    const char *name;
    struct dray_merge_journal journal;
};

static void free_holder(struct holder *holder)
{
    dray_close_descriptor(&holder->directory);
    dray_close_descriptor(&holder->lock);
    dray_merge_journal_free(&holder->journal);
}

/* ---- Its mark ---- */

static void read_line_of(const char *path, char *ret_text, size_t size)
{
    dray_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : dray_read_full(fd, ret_text, size - 1);

    ret_text[got > 0 ? got : 0] = '\0';
    ret_text[strcspn(ret_text, " \n")] = '\0';
}

/* This boot of this machine, and in it the process ids that we see. */
static void print_machine(char *ret_text, size_t size)
{
    char boot[64], pids[64];
    ssize_t got = readlink("/proc/self/ns/pid", pids, sizeof(pids) - 1);

    pids[got > 0 ? got : 0] = '\0';
    read_line_of("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
    (void)snprintf(ret_text, size, "%s %s", boot[0] ? boot : "-", pids[0] ? pids : "-");
}

/* Which holder it is, of which target. The file system's own number is none of it: it is another
 * one after the next mount. */
static int print_identity(int target, int directory, char *ret_text, size_t size)
{
    struct stat above, status;

    if (fstat(target, &above) != 0 || fstat(directory, &status) != 0)
        return -1;
    (void)snprintf(ret_text, size, "dray-holder 1\ntarget %" PRIu64 "\nholder %" PRIu64 "\n",
                   (uint64_t)above.st_ino, (uint64_t)status.st_ino);
    return 0;
}

static int write_mark(int target, int directory, int lock)
{
    char identity[128], machine[160], host[256] = "";
    char text[MARK_ROOM];

    if (print_identity(target, directory, identity, sizeof(identity)) != 0)
        return -1;
    if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
        (void)snprintf(host, sizeof(host), "-");
    print_machine(machine, sizeof(machine));
    (void)snprintf(text, sizeof(text), "%sby %ld %s %s\n", identity, (long)getpid(), machine, host);
    return dray_write_all(lock, text, strlen(text)) == 0 && fsync(lock) == 0 ? 0 : -1;
}

/* 0, or an errno: EAGAIN while somebody has it. */
static int lock_mark(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
        return 0;
    return errno == EACCES ? EAGAIN : errno;
}

void dray_merge_holder_touch(const struct dray_merge_holder *holder)
{
    (void)!futimens(holder->lock, NULL);
}

/* ---- Making one ---- */

/* Nothing is in it yet. */
static int fail_making(int target, int directory, const char *name, struct dray_error *error)
{
    int reason = errno;

    if (directory >= 0 && ((unlinkat(directory, "data", AT_REMOVEDIR) != 0 && errno != ENOENT) ||
                           (unlinkat(directory, "old", AT_REMOVEDIR) != 0 && errno != ENOENT) ||
                           (unlinkat(directory, MARK, 0) != 0 && errno != ENOENT) ||
                           (unlinkat(target, name, AT_REMOVEDIR) != 0 && errno != ENOENT)))
        return dray_fail_errno(error, reason, "making %s, which stays, in the target", name);
    /* Whoever looked into the target at that moment took it for one that a kill left. */
    if (reason == ENOENT)
        return dray_fail(error, DRAY_TEMPORARY, "making %s in the target: it was removed again",
                         name);
    return dray_fail_errno(error, reason, "making %s in the target", name);
}

/* Others get no right in it that a default ACL would give; a set-group-ID bit stays, by which what
 * is delivered gets its group. */
static int close_to_others(int directory)
{
    struct stat status;

    if (fstat(directory, &status) != 0)
        return -1;
    return (status.st_mode & 0777) == 0700 ? 0
                                           : fchmod(directory, 0700 | (status.st_mode & S_ISGID));
}

int dray_merge_holder_make(int target, const char *name, struct dray_merge_holder *ret_holder,
                           struct dray_error *error)
{
    if (mkdirat(target, name, 0700) != 0)
        return fail_making(target, -1, name, error);
    dray_autoclose int directory =
        openat(target, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0 || close_to_others(directory) != 0)
        return fail_making(target, directory, name, error);
    dray_autoclose int lock =
        openat(directory, MARK, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0)
        return fail_making(target, directory, name, error);
    /* Where locks are not known, the mark says who is at work. */
    if (lock_mark(lock) == EAGAIN)
        return dray_fail(error, DRAY_TEMPORARY, "%s in the target is locked", name);
    if (write_mark(target, directory, lock) != 0 || mkdirat(directory, "old", 0700) != 0 ||
        mkdirat(directory, "data", 0700) != 0 || fsync(directory) != 0 || fsync(target) != 0)
        return fail_making(target, directory, name, error);
    ret_holder->directory = DRAY_TAKE_FD(directory);
    ret_holder->lock = DRAY_TAKE_FD(lock);
    return 0;
}

/* ---- Whose it is ---- */

/* It is left alone: why. */
static int leave(struct dray_error *error, const char *why)
{
    dray_fail(error, DRAY_DENIED, "%s", why);
    return 1;
}

static int leave_to_owner(const struct stat *status, struct dray_error *error)
{
    struct passwd entry, *found = NULL;
    char room[4096];

    if (getpwuid_r(status->st_uid, &entry, room, sizeof(room), &found) == 0 && found)
        dray_fail(error, DRAY_TEMPORARY, "it belongs to %s", found->pw_name);
    else
        dray_fail(error, DRAY_TEMPORARY, "it belongs to user %lu", (unsigned long)status->st_uid);
    return 1;
}

static int fail_at_work(const struct holder *holder, struct dray_error *error)
{
    return dray_fail(error, DRAY_TEMPORARY, "another delivery is at work in the target: %s",
                     holder->name);
}

/* An attempt that was killed while it made it has left nothing in it, or an empty mark. */
static int remove_unmarked(struct holder *holder, const struct stat *mark, struct dray_error *error)
{
    static const char why[] = "nothing in it says that a delivery made it here";

    if (holder->lock >= 0 && mark->st_size == 0 && lock_mark(holder->lock) == EAGAIN)
        return fail_at_work(holder, error);
    if (holder->lock >= 0 && (mark->st_size > 0 || unlinkat(holder->directory, MARK, 0) != 0))
        return leave(error, why);
    return unlinkat(holder->target, holder->name, AT_REMOVEDIR) == 0 || errno == ENOENT
               ? 2
               : leave(error, why);
}

/* 0 with its mark in ret_text, 1: it is left alone, 2: it was removed, or a class. */
static int know(struct holder *holder, char ret_text[static MARK_ROOM], struct dray_error *error)
{
    char identity[128];
    struct stat status, mark = {0};

    if (fstat(holder->directory, &status) != 0)
        return leave(error, strerror(errno));
    if (status.st_uid != geteuid())
        return leave_to_owner(&status, error);
    if ((status.st_mode & 0077) != 0)
        return leave(error, "others may look into it or write there");
    holder->lock =
        openat(holder->directory, MARK, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (holder->lock >= 0 && (fstat(holder->lock, &mark) != 0 || !S_ISREG(mark.st_mode)))
        return leave(error, "its mark is none");
    ssize_t got = holder->lock < 0 ? 0 : dray_pread_full(holder->lock, ret_text, MARK_ROOM - 1, 0);
    ret_text[got > 0 ? got : 0] = '\0';
    if (print_identity(holder->target, holder->directory, identity, sizeof(identity)) == 0 &&
        strncmp(ret_text, identity, strlen(identity)) == 0)
        return 0;
    return remove_unmarked(holder, &mark, error);
}

/* "by PID BOOT PIDS HOST": of a process that we can see, whether it lives; of another one, whether
 * it was heard of lately. */
static int is_alive(struct holder *holder, const char *by)
{
    char machine[160];
    struct stat status;
    char *end = NULL;

    print_machine(machine, sizeof(machine));
    long pid = strncmp(by, "by ", 3) == 0 ? strtol(by + 3, &end, 10) : 0;
    if (pid > 0 && *end == ' ' && strncmp(end + 1, machine, strlen(machine)) == 0 &&
        end[1 + strlen(machine)] == ' ' && machine[0] != '-')
        return kill((pid_t)pid, 0) == 0 || errno == EPERM;
    return fstat(holder->lock, &status) != 0 || time(NULL) - status.st_mtim.tv_sec < ALIVE_FOR;
}

static int lock_holder(struct holder *holder, const char *mark, struct dray_error *error)
{
    int reason = lock_mark(holder->lock);
    const char *by = strstr(mark, "\nby ");

    if (reason == 0)
        return 0;
    if (reason == EAGAIN)
        return fail_at_work(holder, error);
    by = by ? by + 1 : "";
    if (!is_alive(holder, by))
        return 0;
    const char *host = strrchr(by, ' ');
    dray_fail(error, DRAY_TEMPORARY,
              "another delivery may be at work in the target: %s, by process %ld of %.*s; its file "
              "system has no locks that would tell (%s)",
              holder->name, by[0] ? strtol(by + 3, NULL, 10) : 0L,
              host ? (int)strcspn(host + 1, "\n") : 1, host ? host + 1 : "?", strerror(reason));
    dray_hint(error, "if that process has ended:  touch -d '2 days ago' DIRECTORY/%s/" MARK,
              holder->name);
    return error->class_;
}

/* ---- Removing ---- */

/* What was moved aside: only what it was then is removed, and of records none that was written to
 * since. */
static void remove_old(int old, const struct dray_merge_line *line, size_t index)
{
    char name[24];

    (void)snprintf(name, sizeof(name), "%zu", index);
    if (line->act != DRAY_MERGE_ASIDE || dray_merge_is_there(old, name, line) <= 0)
        return;
    if (!S_ISDIR(line->mode)) {
        (void)unlinkat(old, name, 0);
        return;
    }
    int fd = openat(old, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *listing = fd >= 0 ? fdopendir(fd) : NULL;
    if (!listing) {
        dray_close_descriptor(&fd);
        return;
    }
    int kept = 0;
    for (const struct dirent *one; (one = readdir(listing));) {
        if (strcmp(one->d_name, ".") == 0 || strcmp(one->d_name, "..") == 0 ||
            strcmp(one->d_name, DRAY_MERGE_MARKER) == 0)
            continue;
        kept |= !dray_merge_is_record(one->d_name) || !dray_merge_is_as_written(fd, one->d_name) ||
                unlinkat(fd, one->d_name, 0) != 0;
    }
    /* The marker goes last: by its time the others are known. */
    if (!kept)
        (void)unlinkat(fd, DRAY_MERGE_MARKER, 0);
    (void)closedir(listing);
    (void)unlinkat(old, name, AT_REMOVEDIR);
}

/* Names the first thing that is in `old`. */
static int fail_kept(struct holder *holder, const struct dray_merge_journal *journal,
                     struct dray_error *error)
{
    dray_autoclose int fd =
        openat(holder->directory, "old", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char name[24];

    for (size_t i = 0; fd >= 0 && i < journal->count; i++) {
        struct stat status;
        (void)snprintf(name, sizeof(name), "%zu", i);
        if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            return dray_fail(error, DRAY_INTEGRITY,
                             "\"%s/old/%s\" is kept: it was \"%.400s\" of the target, and is not "
                             "what the journal says, or could not be given back",
                             holder->name, name, journal->lines[i].path);
    }
    return dray_fail(error, DRAY_INTEGRITY, "\"%s/old\" is kept: it holds files of others",
                     holder->name);
}

static int remove_parts(struct holder *holder, struct dray_error *error)
{
    const struct dray_merge_journal *journal = &holder->journal;
    int finished = journal->complete && !journal->undo;
    dray_autoclose int old = openat(holder->directory, "old", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = 0; old >= 0 && finished && i < journal->count; i++)
        remove_old(old, &journal->lines[i], i);
    if (unlinkat(holder->directory, "old", AT_REMOVEDIR) != 0 && errno != ENOENT)
        return errno == ENOTEMPTY || errno == EEXIST
                   ? fail_kept(holder, journal, error)
                   : dray_fail_errno(error, errno, "removing \"%s/old\"", holder->name);
    return dray_remove_tree(holder->directory, "data", error);
}

/* The journal goes after all that it speaks of, and the mark after the journal: whatever is left is
 * known. NFS keeps what is open by another name, in the directory that is to be removed. */
static int remove_files(struct holder *holder, struct dray_error *error)
{
    static const char *const names[] = {"journal.new", "journal", MARK};

    dray_close_descriptor(&holder->lock);
    holder->lock = -1;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (unlinkat(holder->directory, names[i], 0) != 0 && errno != ENOENT)
            return dray_fail_errno(error, errno, "removing \"%s/%s\"", holder->name, names[i]);
    return 0;
}

/* It is empty now; if its name leads to something else, at most an empty directory goes with it. */
static int remove_itself(struct holder *holder, struct dray_error *error)
{
    struct stat held, named;

    if (fstatat(holder->target, holder->name, &named, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        return 0;
    if (fstat(holder->directory, &held) != 0 || held.st_ino != named.st_ino ||
        held.st_dev != named.st_dev)
        return dray_fail(error, DRAY_CONFLICT, "something else has its name; it is empty");
    if (unlinkat(holder->target, holder->name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return dray_fail_errno(error, errno, "removing \"%s\" from the target", holder->name);
    /* Once the delivery is recorded, nobody looks for it again. */
    return fsync(holder->target) == 0
               ? 0
               : dray_fail_errno(error, errno, "making the removal of \"%s\" durable",
                                 holder->name);
}

/* ---- To its end ---- */

/* Finish it, or undo it where that cannot be, and always one's own: it failed. */
static int bring_to_end(struct holder *holder, int own, struct dray_error *ret_kept,
                        struct dray_error *error)
{
    struct dray_merge_journal *journal = &holder->journal;
    int result = journal->undo || own ? DRAY_CONFLICT
                                      : dray_merge_finish(holder->target, holder->directory,
                                                          journal, 1, NULL, error);

    if (result != DRAY_CONFLICT && result != DRAY_INTEGRITY)
        return result;
    result = dray_merge_undo(holder->target, holder->directory, journal, NULL, ret_kept, error);
    journal->undo = 1;
    return result;
}

/* 1: its end is reached, and *error says what is kept. */
static int settle(struct holder *holder, int own, struct dray_error *error)
{
    struct dray_merge_journal *journal = &holder->journal;
    struct dray_error kept = {0};
    struct stat status;
    int found = dray_merge_journal_load(holder->directory, journal, error);

    if (found < 0)
        return found;
    if (journal->complete &&
        (fstat(holder->directory, &status) != 0 || (uint64_t)status.st_ino != journal->holder))
        return leave(error, "its journal is that of another directory");
    int result = journal->complete && !journal->done ? bring_to_end(holder, own, &kept, error) : 0;
    if (result != 0)
        return result;
    result = remove_parts(holder, error);
    if (result == 0)
        result = remove_files(holder, error);
    /* What was done is done, whatever is left of it. */
    if (result != 0)
        return journal->complete && !journal->undo ? 1 : result;
    if (remove_itself(holder, error) != 0)
        return 1;
    if (kept.class_ != 0)
        *error = kept;
    return kept.class_ != 0;
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

/* 0: it is known and ours now, 1: it is left alone, 2: it is gone, or a class. */
static int take(struct holder *holder, struct dray_error *error)
{
    char mark[MARK_ROOM];

    if (holder->directory < 0 && errno == ENOENT)
        return 2;
    if (holder->directory < 0) {
        struct stat status;
        if (fstatat(holder->target, holder->name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            status.st_uid != geteuid())
            return leave_to_owner(&status, error);
        return leave(error, "it is no directory that can be opened");
    }
    int result = know(holder, mark, error);
    return result == 0 ? lock_holder(holder, mark, error) : result;
}

int dray_merge_holder_take(int target, const char *name, struct dray_merge_holder *ret_holder)
{
    struct dray_error ignored = {0};
    dray_cleanup(free_holder) struct holder holder = {
        .target = target, .directory = -1, .lock = -1, .name = name};

    holder.directory = openat(target, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (take(&holder, &ignored) != 0)
        return 0;
    ret_holder->directory = DRAY_TAKE_FD(holder.directory);
    ret_holder->lock = DRAY_TAKE_FD(holder.lock);
    return 1;
}

int dray_merge_settle(int target, const char *name, struct dray_merge_holder *own,
                      struct dray_error *error)
{
    struct dray_error why = {0};
    dray_cleanup(free_holder) struct holder holder = {
        .target = target, .directory = -1, .lock = -1, .name = name};
    int taken = 0;

    if (own) {
        holder.directory = fcntl(own->directory, F_DUPFD_CLOEXEC, 0);
        holder.lock = DRAY_TAKE_FD(own->lock);
        if (holder.directory < 0)
            return dray_fail_errno(error, errno, "opening \"%s\"", name);
    } else {
        holder.directory = openat(target, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        taken = take(&holder, error);
    }
    if (taken != 0)
        return taken == 2 ? 0 : taken;
    int result = settle(&holder, own != NULL, &why);
    if (result == 0)
        return 0;
    *error = why;
    if (result > 0)
        return 1;
    dray_fail(error, result,
              "what a delivery left in \"%s\" of the target could not be brought to "
              "its end: %s",
              name, why.message);
    dray_hint(error, "look at it, and move it away when nothing in it is needed");
    return error->class_;
}
