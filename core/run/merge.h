/* SPDX-License-Identifier: MIT */
/*
 * merge.h - a delivery that is added to a directory which is there already. It is put together in a
 * holder, a directory below the target:
 *
 *     .dray-KEY16.ATTEMPT-JOB8/data/    the delivery, as it will be
 *                             /old/     files of the target that it takes the place of, by number
 *                             /journal  what is renamed, in this order (docs/formats.md)
 *                             /of-T-H/  empty: T and H are the inodes of target and holder
 *
 * The journal is durable before the first rename. Whoever finds a holder later finishes what its
 * journal says, or undoes it where it cannot be finished. Only what was delivered is ever removed,
 * which is known by its inode.
 */
#ifndef DRAY_RUN_MERGE_H
#define DRAY_RUN_MERGE_H

#include <stdint.h>
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
    mode_t type;    /* S_IFREG, S_IFDIR or S_IFLNK */
    uint64_t inode; /* of what is moved */
    uint64_t bytes; /* of a file; of a directory its mode */
    char *path;     /* below the target */
};

struct dray_merge_journal {
    struct dray_merge_line *lines;
    size_t count, capacity;
    int complete; /* read: its last line is there, and agrees with the others */
    int undo;     /* read: it is being undone */
    int done;     /* read: nothing is left to do but to remove the holder */
};
void dray_merge_journal_free(struct dray_merge_journal *journal);

DRAY_MUST_CHECK int dray_merge_journal_add(struct dray_merge_journal *journal,
                                           enum dray_merge_act act, mode_t type, uint64_t inode,
                                           uint64_t bytes, const char *path,
                                           struct dray_error *error);
/* All of it with its last line. Out of memory shows in the buffer. */
void dray_merge_journal_print(const struct dray_merge_journal *journal, struct dray_buffer *out);
/* A text that was cut is no error: it is not complete then. DRAY_INTEGRITY: it says what no journal
 * of ours says. */
DRAY_MUST_CHECK int dray_merge_journal_read(const char *text, size_t length,
                                            struct dray_merge_journal *ret_journal,
                                            struct dray_error *error);

/* Write the journal into the holder and make it durable, names included. */
DRAY_MUST_CHECK int dray_merge_journal_write(int holder, const struct dray_merge_journal *journal,
                                             struct dray_error *error);
/* Do what it says. Without `again`, nothing of it was begun. DRAY_CONFLICT: something else has a
 * name that is needed, DRAY_INTEGRITY: something is not there; then it is to be undone. */
DRAY_MUST_CHECK int dray_merge_finish(int target, int holder,
                                      const struct dray_merge_journal *journal, int again,
                                      struct dray_error *error);
/* Undo whatever of it was done, first noting in the journal that it is undone. */
DRAY_MUST_CHECK int dray_merge_undo(int target, int holder,
                                    const struct dray_merge_journal *journal,
                                    struct dray_error *error);
/* Say in a new holder that it is one, and where. */
DRAY_MUST_CHECK int dray_merge_mark(int target, int holder, struct dray_error *error);
/* Bring a holder that an attempt left to its end and remove it. It may be gone. `own`: the
 * descriptor by which the caller locked it, -1: another's, which may be at work (DRAY_TEMPORARY).
 * 1 with *error: it is left alone, since it is not known to be one, or is at its end but could not
 * be removed. */
DRAY_MUST_CHECK int dray_merge_settle(int target, const char *name, int own,
                                      struct dray_error *error);
/* The name of a holder? */
int dray_merge_is_holder(const char *name);

/* The directory that a path below root lies in (O_PATH), and its name there; no link is followed.
 * -1 with errno. */
DRAY_MUST_CHECK int dray_merge_open_folder(int root, const char *path, const char **ret_name);
/* The journal of all that is in data: what a merge does. */
DRAY_MUST_CHECK int dray_merge_plan(int target, int data, uint32_t conflicts,
                                    struct dray_merge_journal *journal, struct dray_error *error);

#endif
