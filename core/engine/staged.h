/* SPDX-License-Identifier: MIT */
/*
 * staged.h - what sources with `bring` brought: kept in scratch, shared by all attempts that need
 * the same, whatever their process, and brought once. The layout is part 3 of docs/formats.md.
 */
#ifndef DRAY_ENGINE_STAGED_H
#define DRAY_ENGINE_STAGED_H

#include "core/engine/deliver.h"

/* Who needs what a source brings. */
struct dray_bringing {
    struct dray_engine *engine;
    const struct dray_plan *plan;
    size_t step;     /* that source */
    const char *job; /* or another name of who needs it */
    uint32_t attempt;
    int is_job; /* its log is kept */
    int room;   /* room.lock, once something is to be held */
    /* Hears of the step: that it started, its progress, its log. */
    int (*hear)(void *arg, const json_t *event, struct dray_error *error);
    void *arg;
};

/* What is held for one step of a plan: nobody removes it meanwhile. */
struct dray_staged {
    char *path; /* NULL: nothing is */
    char *key;
    int lock;
};
struct dray_stagings {
    struct dray_staged *steps; /* by step of the plan */
    size_t count;
    int room; /* room.lock: whoever holds any may free room; only with `steps` */
};
/* Hold what each source of the plan brings that is marked in `needed` (by step; NULL: all), which
 * may mean to bring it, or to wait for another process that does. *ret_step: the one that
 * failed. */
DRAY_MUST_CHECK int dray_stagings_take(const struct dray_bringing *who, const uint8_t *needed,
                                       struct dray_stagings *stagings, size_t *ret_step,
                                       struct dray_error *error);
/* Where it is, put into the orders of a runner. */
DRAY_MUST_CHECK int dray_stagings_order(const struct dray_stagings *stagings,
                                        const struct dray_plan *plan, json_t *start,
                                        struct dray_error *error);
enum dray_release {
    DRAY_RELEASE_DONE, /* it is needed no more by this job, nor by the preview before it */
    DRAY_RELEASE_KEEP, /* it may be needed again */
    DRAY_RELEASE_BAD,  /* its bytes are in doubt: nobody uses it again */
};
/* Are the bytes of a source in doubt that fails by this class? */
int dray_in_doubt(int class_);
void dray_stagings_release(const struct dray_bringing *who, struct dray_stagings *stagings,
                           enum dray_release how);

/* ---- bring.c */

/* Have the source put it into a directory: by a runner of its own, once the source serves one more,
 * asked again while it says "later". */
DRAY_MUST_CHECK int dray_bring(const struct dray_bringing *who, const char *directory,
                               struct dray_error *error);

/* ---- slots.c: wait until the source serves one more. *ret_fd holds that, unless it is -1. */
DRAY_MUST_CHECK int dray_slot_take(const struct dray_bringing *who, int *ret_fd,
                                   struct dray_error *error);

/* ---- room.c */

/* Open room.lock, *ret_fd, as one who uses scratch. */
DRAY_MUST_CHECK int dray_room_enter(struct dray_engine *engine, int *ret_fd,
                                    struct dray_error *error);
/* While one waits for others it is not one who will free room. */
DRAY_MUST_CHECK int dray_room_busy(int fd, int busy, struct dray_error *error);
/* Wait until there is room for `bytes` more in scratch beside the reserve and what others were
 * promised, and promise it to `part`. DRAY_NO_SPACE when nobody is there who could free any: all
 * others wait themselves. */
DRAY_MUST_CHECK int dray_room_take(const struct dray_bringing *who, const char *folder,
                                   const char *part, uint64_t bytes, struct dray_error *error);

/* ---- staged_list.c: what is in a directory. */

/* Write the list of all below DIRECTORY/tree to DIRECTORY/list, durable as the tree is then. */
DRAY_MUST_CHECK int dray_staged_list_write(const char *directory, struct dray_error *error);
/* Is all there as the list says? DRAY_INTEGRITY, which names what is not. */
DRAY_MUST_CHECK int dray_staged_list_check(const char *directory, struct dray_error *error);
/* The bytes on disk of a directory with all below it, as far as it may be read; until `engine` is
 * interrupted, where that is not NULL. */
uint64_t dray_disk_usage(const char *path, struct dray_engine *engine);

/* ---- What keep and collection share. */

#define DRAY_STAGED_KEY 64 /* digits */
/* The directory of them in scratch; the caller frees it. NULL with *error. */
char *dray_staged_folder(const struct dray_engine *engine, struct dray_error *error);
/* The lock of a key, LOCK_EX or LOCK_SH: 1, 0 when others hold it, or a class. Without `make` a
 * file that is not there is not made: 1, and *ret_fd stays as it is. */
DRAY_MUST_CHECK int dray_staged_lock(const char *folder, const char *key, int kind, int make,
                                     int *ret_fd, struct dray_error *error);
/* Who needs it is a job, a "verify", or this. */
#define DRAY_STAGED_PREVIEW "preview"
/* Until when somebody may need it, ns; 0: nobody. *ret_why: who, for people. */
int64_t dray_staged_needed(const struct dray_engine *engine, const char *path,
                           const char **ret_why);
/* Remove what is kept of a key, by a name that nobody takes for it; its lock is held alone. */
DRAY_MUST_CHECK int dray_staged_remove(const char *folder, const char *key,
                                       struct dray_error *error);
/* Remove what is left of a key's being brought, by processes that are dead; its lock is held
 * alone. */
DRAY_MUST_CHECK int dray_staged_sweep(const char *folder, const char *key,
                                      struct dray_error *error);
/* Remove the lock file: for who holds it alone, when nothing is kept of the key. */
void dray_staged_forget(const char *folder, const char *key);

#endif
