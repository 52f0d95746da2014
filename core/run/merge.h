/* SPDX-License-Identifier: MIT */
/*
 * merge.h - a delivery that is added to a directory which is there already. It is put together in a
 * holder, a directory below the target:
 *
 *     .dray-KEY16.ATTEMPT-JOB8/holder   that it is one, and of which target; locked by who made it
 *                             /data/    the delivery, as it will be
 *                             /old/     what leaves the target, by number of its line
 *                             /journal  what is renamed, in this order (docs/formats.md)
 *
 * The journal is durable before the first rename. Whoever finds a holder later finishes what its
 * journal says, or undoes it where it cannot be finished. Only what was delivered is ever removed:
 * it is moved into the holder, where nobody else comes, and looked at there.
 */
#ifndef DRAY_RUN_MERGE_H
#define DRAY_RUN_MERGE_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "core/base/buffer.h"
#include "core/base/error.h"

enum dray_merge_act {
    DRAY_MERGE_PUT,   /* from data to the target, with all that is below it */
    DRAY_MERGE_HAS,   /* is below a directory that was put */
    DRAY_MERGE_ASIDE, /* from the target to old */
};

struct dray_merge_line {
    enum dray_merge_act act;
    mode_t mode;    /* and type: S_IFREG, S_IFDIR or S_IFLNK */
    uint64_t inode; /* of what is moved */
    uint64_t bytes; /* of a file */
    int64_t mtime;  /* of a file or link, ns */
    char *path;     /* below the target */
};

struct dray_merge_journal {
    uint64_t holder; /* the inode of the directory that it is of */
    struct dray_merge_line *lines;
    size_t count, capacity;
    int complete; /* read: its last line is there, and agrees with the others */
    int undo;     /* read: it is being undone */
    int done;     /* read: nothing is left to do but to remove the holder */
};
void dray_merge_journal_free(struct dray_merge_journal *journal);

/* Who hears that it goes on and is asked whether to stop, and whether a directory of the target may
 * get names and have the name `gone` (may be NULL) taken from it; a NULL pointer: nobody. */
struct dray_merge_watch {
    void (*progress)(void *arg);
    int (*cancelled)(void *arg);
    int (*permits)(void *arg, int folder, const char *gone);
    void *arg;
};

DRAY_MUST_CHECK int dray_merge_journal_add(struct dray_merge_journal *journal,
                                           enum dray_merge_act act, const struct stat *status,
                                           const char *path, struct dray_error *error);
/* All of it with its last line. Out of memory shows in the buffer. */
void dray_merge_journal_print(const struct dray_merge_journal *journal, struct dray_buffer *out);
/* A text that was cut is no error: it is not complete then. DRAY_INTEGRITY: it says what no journal
 * of ours says. */
DRAY_MUST_CHECK int dray_merge_journal_read(const char *text, size_t length,
                                            struct dray_merge_journal *ret_journal,
                                            struct dray_error *error);

/* Write the journal into the holder and make it durable, names included. When that fails, none is
 * there. */
DRAY_MUST_CHECK int dray_merge_journal_write(int holder, const struct dray_merge_journal *journal,
                                             struct dray_error *error);
/* The journal of a holder: 1, 0: there is none, or a class. */
DRAY_MUST_CHECK int dray_merge_journal_load(int holder, struct dray_merge_journal *ret_journal,
                                            struct dray_error *error);
/* A word behind its end. */
DRAY_MUST_CHECK int dray_merge_journal_note(int holder, const char *word, struct dray_error *error);

/* Do what it says. Without `again`, nothing of it was begun. DRAY_CONFLICT: something else has a
 * name that is needed, DRAY_INTEGRITY: something is not there; then it is to be undone. */
DRAY_MUST_CHECK int dray_merge_finish(int target, int holder,
                                      const struct dray_merge_journal *journal, int again,
                                      const struct dray_merge_watch *watch,
                                      struct dray_error *error);
/* Undo whatever of it was done, first noting in the journal that it is undone. *ret_kept says what
 * was put and stays, as somebody changed it; its class is 0 when there is nothing such. */
DRAY_MUST_CHECK int dray_merge_undo(int target, int holder,
                                    const struct dray_merge_journal *journal,
                                    const struct dray_merge_watch *watch,
                                    struct dray_error *ret_kept, struct dray_error *error);

/* A holder of the caller's own. */
struct dray_merge_holder {
    int directory; /* -1: none */
    int lock;      /* held for as long as it is open */
};
/* Make one in a target, durable and locked. */
DRAY_MUST_CHECK int dray_merge_holder_make(int target, const char *name,
                                           struct dray_merge_holder *ret_holder,
                                           struct dray_error *error);
/* It is still in use: said now and then, where locks are not known. */
void dray_merge_holder_touch(const struct dray_merge_holder *holder);
/* That of a dead attempt becomes the caller's own: 1, or 0 if it is not known to be ours, or its
 * maker may be at work. */
int dray_merge_holder_take(int target, const char *name, struct dray_merge_holder *ret_holder);
/* Bring a holder that an attempt left to its end and remove it. It may be gone. `own`: the
 * caller's, which is not finished but undone, and not locked any more afterwards; NULL: another's,
 * which may be at work (DRAY_TEMPORARY). 1 with *error: it is left alone, since it is not known to
 * be one (DRAY_DENIED) or belongs to somebody else, or it is at its end and something stays. */
DRAY_MUST_CHECK int dray_merge_settle(int target, const char *name, struct dray_merge_holder *own,
                                      struct dray_error *error);
/* The name of a holder? */
int dray_merge_is_holder(const char *name);

/* The journal of all that is in data: what a merge does. */
DRAY_MUST_CHECK int dray_merge_plan(int target, int data, uint32_t conflicts,
                                    const struct dray_merge_watch *watch,
                                    struct dray_merge_journal *journal, struct dray_error *error);
#define DRAY_MERGE_MARKER "delivered.json"
/* Does a directory hold the records of a delivery of this dataset as they were written, and nothing
 * else? 1, 0, or -1 with errno. */
DRAY_MUST_CHECK int dray_merge_is_records(int directory, const char *dataset);
/* Was the record not written to after the marker, which is written last? */
int dray_merge_is_as_written(int directory, const char *name);
/* Is it the name of a record? */
int dray_merge_is_record(const char *name);

static inline int dray_merge_permits(const struct dray_merge_watch *watch, int folder,
                                     const char *gone)
{
    return !watch || !watch->permits || watch->permits(watch->arg, folder, gone);
}

static inline void dray_merge_progress(const struct dray_merge_watch *watch)
{
    if (watch && watch->progress)
        watch->progress(watch->arg);
}

#endif
