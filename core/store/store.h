/* SPDX-License-Identifier: MIT */
/*
 * core/store - what survives: jobs, their targets, attempts and step runs, in SQLite (PostgreSQL
 * comes later). Every change of state is one transaction. The store does not know how jobs run.
 *
 * store.h - the embedded store. One handle, one thread; several processes may have it open.
 *
 * Errors: DRAY_TEMPORARY when another process kept it locked for too long, DRAY_NO_SPACE,
 * DRAY_DENIED, DRAY_INTEGRITY for a damaged file, DRAY_BUG for what no caller should ask. Messages
 * say what was being done. Nothing was stored then.
 */
#ifndef DRAY_STORE_STORE_H
#define DRAY_STORE_STORE_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/error.h"

/* States of a job and of a target; `committing` is a target's alone, and read as running. */
enum dray_state {
    DRAY_QUEUED,
    DRAY_RUNNING,
    DRAY_WAITING,
    DRAY_COMMITTING,
    DRAY_JOB_DELIVERED,
    DRAY_FAILED,
    DRAY_JOB_CANCELLED,
};
const char *dray_state_name(enum dray_state state);
/* 0, or DRAY_INVALID for a name that is none. */
DRAY_MUST_CHECK int dray_state_of_name(const char *name, enum dray_state *ret_state);
/* Delivered, failed or cancelled. All others are live: they hold their destination. */
int dray_state_is_final(enum dray_state state);

struct dray_store;
/* Open `directory`/dray.db to read it, where it may not be written: what cannot be made is not
 * missed, and where there is no file the store is an empty one. One of an older schema is
 * DRAY_UNSUPPORTED. */
DRAY_MUST_CHECK int dray_store_read(const char *directory, struct dray_store **ret_store,
                                    struct dray_error *error);
/* Open or make `directory`/dray.db (directory 0700, file 0600), bring its schema up to date
 * (numbered steps, forward only; a newer schema than ours is DRAY_UNSUPPORTED). WAL and
 * synchronous=FULL; on a network file system journal mode DELETE. */
DRAY_MUST_CHECK int dray_store_open(const char *directory, struct dray_store **ret_store,
                                    struct dray_error *error);
void dray_store_close(struct dray_store *store);
void dray_store_closep(struct dray_store **store);

/* Changes between begin and commit are one transaction, and cost one sync. The write lock is held
 * all the while, so nothing slow belongs in between. After a change in it has failed there is only
 * rollback. Rollback and close undo what was not committed. */
DRAY_MUST_CHECK int dray_store_begin(struct dray_store *store, struct dray_error *error);
DRAY_MUST_CHECK int dray_store_commit(struct dray_store *store, struct dray_error *error);
void dray_store_rollback(struct dray_store *store);

struct dray_target_row {
    char *step;        /* the push step's id */
    char *push;        /* "push/hpfs" */
    char *destination; /* canonical, no secret */
    char *request_key;
    enum dray_state state;
    char *manifest_sha256; /* stored by may_commit; kept when the commit is not known to be done */
    char *receipt;         /* JSON text */
    json_t *confirmation;  /* object */
    uint64_t entries, bytes;
    int64_t delivered_at; /* ns; 0: not */
};
struct dray_step_row {
    char *step, *uses, *version;
    char *outcome; /* running, done, waiting, failed, skipped, cancelled */
    char *reason;  /* why it failed; NULL */
    char *class_;  /* name of the class of a failure; NULL */
    char *tree_digest;
    json_t *rules; /* what each rule did: [{"by", "why", "entries", "bytes"}]; NULL */
    uint64_t entries_in, bytes_in, entries_out, bytes_out;
    int64_t started, ended; /* ns; 0: not */
};
struct dray_attempt_row {
    uint32_t number;
    int64_t started, ended;
    char *outcome; /* running, delivered, failed, cancelled, interrupted */
    char *reason;
    struct dray_step_row *steps; /* in the order they were first stored */
    size_t step_count;
};
struct dray_job_row {
    char *id; /* UUID */
    char *dataset, *dataset_id;
    char *workflow;      /* text */
    char *workflow_file; /* NULL: none */
    char *plan;          /* JSON text */
    char *plan_digest;
    char *user, *actor;
    enum dray_state state;
    char *reason; /* why it failed or waits; NULL */
    char *hint;
    int64_t created, updated;
    struct dray_target_row *targets;
    size_t target_count;
    struct dray_attempt_row *attempts; /* oldest first */
    size_t attempt_count;
};
void dray_job_row_free(struct dray_job_row *job);
void dray_job_row_freep(struct dray_job_row **job);

/* A new job, queued, with its targets. A live job with the same canonical destination is
 * DRAY_CONFLICT and *ret_other (may be NULL) gets its id. job->id, states and times are set here.
 */
DRAY_MUST_CHECK int dray_store_add(struct dray_store *store, struct dray_job_row *job,
                                   char **ret_other, struct dray_error *error);
/* Is another job than this one live at a destination? Then DRAY_CONFLICT, and *ret_other (may be
 * NULL) gets its id. */
DRAY_MUST_CHECK int dray_store_check_free(struct dray_store *store, const char *job,
                                          const char *destination, char **ret_other,
                                          struct dray_error *error);
/* The job whose target has this key: the delivered one, else a live one, else the newest. *ret_job
 * NULL when there is none. */
DRAY_MUST_CHECK int dray_store_by_key(struct dray_store *store, const char *request_key,
                                      struct dray_job_row **ret_job, struct dray_error *error);
/* By id or a unique beginning of at least 4 characters. DRAY_NOT_FOUND; DRAY_INVALID when several
 * match. */
DRAY_MUST_CHECK int dray_store_job(struct dray_store *store, const char *id,
                                   struct dray_job_row **ret_job, struct dray_error *error);
/* The newest `limit` jobs, filters NULL or set, without plan, workflow and attempts. Frees: caller,
 * each job and the array. */
DRAY_MUST_CHECK int dray_store_jobs(struct dray_store *store, const char *state,
                                    const char *dataset, const char *user, int64_t since,
                                    size_t limit, struct dray_job_row ***ret_jobs,
                                    size_t *ret_count, struct dray_error *error);

/* What a delivered job took, in the attempt that delivered. */
struct dray_past_job {
    int64_t ended;            /* ns */
    uint64_t staged, pushed;  /* bytes: that its sources brought, that one push delivered at most */
    int64_t staging, pushing; /* ns, from the begin of its first source or push to the last's end */
};
/* The newest `most` delivered jobs of a dataset; when there is none, those of the user's datasets
 * of its name, and *ret_same is 0. */
DRAY_MUST_CHECK int dray_store_past(struct dray_store *store, const char *dataset_id,
                                    const char *dataset, const char *user,
                                    struct dray_past_job *ret_jobs, size_t most, size_t *ret_count,
                                    int *ret_same, struct dray_error *error);

/* A job is taken up by a plan that was made anew: plan, digest and workflow become those of `job`,
 * and each of its targets gets the step id that the target of its request key has there, with what
 * is kept under that id. `job` may have other targets besides; DRAY_BUG when it lacks one. */
DRAY_MUST_CHECK int dray_store_take_up(struct dray_store *store, const struct dray_job_row *job,
                                       struct dray_error *error);
/* An attempt begins: its number; job and open targets (all that are not delivered) become running.
 * An attempt that was left running has been interrupted. DRAY_CONFLICT when a target had ended and
 * another job has its destination now. */
DRAY_MUST_CHECK int dray_store_attempt(struct dray_store *store, const char *job,
                                       uint32_t *ret_number, struct dray_error *error);
/* Insert or update one step run of a running attempt. It survives our crash at once and a power
 * cut with the next change of another kind: it costs no sync of its own. */
DRAY_MUST_CHECK int dray_store_step(struct dray_store *store, const char *job, uint32_t attempt,
                                    const struct dray_step_row *step, struct dray_error *error);
/* The target of that request key goes on: committing with manifest digest and receipt; delivered
 * with confirmation, entries and bytes (delivered_at 0: now), and with the last one its job;
 * failed, cancelled. Other members are read only where they are set. Only moves that the one table
 * of transitions allows; else DRAY_BUG. */
DRAY_MUST_CHECK int dray_store_target(struct dray_store *store, const char *job,
                                      const struct dray_target_row *target,
                                      struct dray_error *error);
/* The attempt ends: its outcome; the job's state follows from its targets (delivered when all are,
 * else as given: queued, waiting, failed or cancelled). Targets that are live follow it, except
 * that a committing one stays so while the job is to go on; steps left running are cancelled.
 * attempt 0: the job ends outside of any, one left running was interrupted, `outcome` says
 * nothing. */
DRAY_MUST_CHECK int dray_store_end(struct dray_store *store, const char *job, uint32_t attempt,
                                   const char *outcome, enum dray_state state, const char *reason,
                                   const char *hint, struct dray_error *error);

/* One version of a saved recipe. */
struct dray_recipe_row {
    char *name;
    uint32_t version;
    char *text;
    char *digest; /* SHA-256 of the text */
    char *saved_by;
    int64_t saved_at; /* ns */
};
void dray_recipe_rows_free(struct dray_recipe_row *rows, size_t count);

/* Save a recipe: *ret_version is its newest version when that has this text (*ret_new is 0 then),
 * else a new one. Numbers begin at 1, and one that was given is never given again. */
DRAY_MUST_CHECK int dray_store_recipe_save(struct dray_store *store, const char *name,
                                           const char *text, const char *user,
                                           uint32_t *ret_version, int *ret_new,
                                           struct dray_error *error);
/* One version, 0 being the newest; or DRAY_NOT_FOUND. */
DRAY_MUST_CHECK int dray_store_recipe(struct dray_store *store, const char *name, uint32_t version,
                                      struct dray_recipe_row **ret_row, struct dray_error *error);
/* All versions, by name and the newest first. */
DRAY_MUST_CHECK int dray_store_recipes(struct dray_store *store, struct dray_recipe_row **ret_rows,
                                       size_t *ret_count, struct dray_error *error);
/* Delete one version, or with 0 all; DRAY_NOT_FOUND when there is none. */
DRAY_MUST_CHECK int dray_store_recipe_delete(struct dray_store *store, const char *name,
                                             uint32_t version, uint32_t *ret_count,
                                             struct dray_error *error);

/* A dataset of the catalog. */
struct dray_dataset_row {
    uint64_t id; /* 0: not stored yet */
    char *name;
    char *type;        /* "": none */
    char *external_id; /* of the platform that knows it; NULL: none. Likewise: */
    char *owner;
    json_t *tags;             /* array of texts */
    json_t *labels;           /* object of texts */
    char *source;             /* a path, or NAME:REMOTE */
    json_t *bundle;           /* of the file there: {"size"?, "sha256"?, "md5"?}; NULL: not known */
    uint64_t files, bytes;    /* of the list of files */
    int64_t listed;           /* when that was recorded, ns; 0: there is none */
    int64_t created, updated; /* ns */
};
void dray_dataset_row_clear(struct dray_dataset_row *row);
void dray_dataset_rows_free(struct dray_dataset_row *rows, size_t count);
/* One file of a dataset, with what is known of it. */
struct dray_dataset_file {
    const char *path; /* any bytes */
    uint64_t bytes;
    const char *sha256, *md5; /* lower-case hexadecimal; NULL: not known */
};
/* Store a dataset: a new one, which gets its id here, or all of that with the id but its list of
 * files. That list is of its source: with another one than before it goes, and `listed` is 0
 * afterwards. DRAY_CONFLICT when another one has its type and name, or its external id. */
DRAY_MUST_CHECK int dray_store_dataset_put(struct dray_store *store, struct dray_dataset_row *row,
                                           struct dray_error *error);
/* The datasets that fit all that is set; there may be none. By name, then type. */
struct dray_dataset_wanted {
    uint64_t id;                           /* 0: any */
    const char *name, *type, *external_id; /* NULL: any */
};
DRAY_MUST_CHECK int dray_store_datasets(struct dray_store *store,
                                        const struct dray_dataset_wanted *wanted,
                                        struct dray_dataset_row **ret_rows, size_t *ret_count,
                                        struct dray_error *error);
/* Each dataset that has a source, and that, until `source` returns other than 0. */
DRAY_MUST_CHECK int dray_store_dataset_sources(struct dray_store *store,
                                               int (*source)(void *arg, uint64_t id,
                                                             const char *source),
                                               void *arg, struct dray_error *error);
/* Forget a dataset and its list of files. */
DRAY_MUST_CHECK int dray_store_dataset_delete(struct dray_store *store, uint64_t id,
                                              struct dray_error *error);
/* The list of a dataset's files, made anew within one dray_store_begin: it begins as an empty one;
 * a file is added (DRAY_CONFLICT when it is there); it is whole, and recorded now. */
DRAY_MUST_CHECK int dray_store_dataset_list(struct dray_store *store, uint64_t id,
                                            struct dray_error *error);
DRAY_MUST_CHECK int dray_store_dataset_add(struct dray_store *store, uint64_t id,
                                           const struct dray_dataset_file *file,
                                           struct dray_error *error);
DRAY_MUST_CHECK int dray_store_dataset_listed(struct dray_store *store, uint64_t id,
                                              struct dray_error *error);
/* Hand over all, in byte order of their paths: 0, a class, or what `file` returned. */
DRAY_MUST_CHECK int dray_store_dataset_files(struct dray_store *store, uint64_t id,
                                             int (*file)(void *arg,
                                                         const struct dray_dataset_file *file),
                                             void *arg, struct dray_error *error);

/* Small values (to 64 KiB) that survive into the next attempt. put: NULL removes it. get:
 * *ret_value NULL when there is none. */
DRAY_MUST_CHECK int dray_store_checkpoint_put(struct dray_store *store, const char *job,
                                              const char *step, const char *key, const char *value,
                                              struct dray_error *error);
DRAY_MUST_CHECK int dray_store_checkpoint_get(struct dray_store *store, const char *job,
                                              const char *step, const char *key, char **ret_value,
                                              struct dray_error *error);

/* One file of a policy set that rules. */
struct dray_policy_row {
    const char *directory; /* its real path */
    const char *file;      /* as it was named when it was read */
    const char *policy;
    int64_t revision;
    const char *digest, *text;
};
/* A set rules: it is stored with its files, unless it is known with these files of these
 * directories. A set that moved to another directory gets its files once more. DRAY_DENIED when a
 * policy is older than one that ruled from there, or has its revision and another text. */
DRAY_MUST_CHECK int dray_store_policies_add(struct dray_store *store, const char *set,
                                            const struct dray_policy_row *rows, size_t count,
                                            struct dray_error *error);
/* The highest revision with which a policy of a directory ever ruled: 1, with the digest of the
 * first file that did and when its set first ruled; 0 when none did; or a class. */
DRAY_MUST_CHECK int dray_store_policy_highest(struct dray_store *store, const char *directory,
                                              const char *policy, int64_t *ret_revision,
                                              char ret_digest[static 65], int64_t *ret_since,
                                              struct dray_error *error);
/* Is there a store in the directory? Also 1 when that cannot be known: opening it tells. */
int dray_store_is_there(const char *directory);

/* What became of each entry: a packed chunk of it; one of the same number is replaced. It survives
 * a power cut as a step run does. */
DRAY_MUST_CHECK int dray_store_verdicts_add(struct dray_store *store, const char *job,
                                            uint32_t attempt, const char *step, uint64_t chunk,
                                            uint64_t entries, const void *data, size_t length,
                                            struct dray_error *error);
/* All are there: `chunks` of them with `entries` together, or it is a DRAY_BUG. Only now are they
 * read, and those of earlier attempts go. */
DRAY_MUST_CHECK int dray_store_verdicts_end(struct dray_store *store, const char *job,
                                            uint32_t attempt, const char *step, uint64_t chunks,
                                            uint64_t entries, struct dray_error *error);
/* Hand over the chunks of a push's last attempt that has all of them, in order: 1; 0 when none has;
 * a class, or what `chunk` returned when that was not 0. */
DRAY_MUST_CHECK int dray_store_verdicts(struct dray_store *store, const char *job, const char *step,
                                        int (*chunk)(void *arg, const void *data, size_t length),
                                        void *arg, struct dray_error *error);

/* The lock file of a live engine's job: `directory`/jobs/ID.lock. 1: ours now (*ret_fd holds it);
 * 0: another process has it and lives. Released by closing the descriptor, so by any death too. */
DRAY_MUST_CHECK int dray_store_lock(struct dray_store *store, const char *job, int *ret_fd,
                                    struct dray_error *error);
/* Does a process hold it? 1, 0, or -1: that cannot be said. Nothing is made, locked or removed. */
DRAY_MUST_CHECK int dray_store_is_locked(struct dray_store *store, const char *job);
/* Release it and remove the file: for a job that has ended. *fd becomes -1. */
void dray_store_unlock(struct dray_store *store, const char *job, int *fd);
/* Remove the lock files of engines that died, with what was left beside them. What cannot be
 * removed stays: it does no harm. */
void dray_store_sweep_locks(struct dray_store *store);

/* Leave word for the process that has a job in hand that `who` wants it cancelled: a file beside
 * the lock, `directory`/jobs/ID.cancel. Nothing happens when there is one already. */
DRAY_MUST_CHECK int dray_store_cancel(struct dray_store *store, const char *job, const char *who,
                                      struct dray_error *error);
/* Is there such word? 1 with who it was (NULL: no memory; the caller frees it), or 0. ret_who may
 * be NULL. */
int dray_store_cancel_asked(struct dray_store *store, const char *job, char **ret_who);
/* Remove it: for who holds the job's lock. Unlocking does so too. */
void dray_store_cancel_forget(struct dray_store *store, const char *job);

#endif
