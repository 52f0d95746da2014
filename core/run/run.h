/* SPDX-License-Identifier: MIT */
/*
 * run.h - what the files of this layer share inside a runner: the attempt, its steps, and a call
 * into a plugin.
 */
#ifndef DRAY_RUN_RUN_H
#define DRAY_RUN_RUN_H

#include <pthread.h>

#include "core/base/pool.h"
#include "core/plan/plan.h"
#include "core/plugin/load.h"
#include "core/run/adopt.h"
#include "core/run/blame.h"
#include "core/run/merge.h"
#include "core/run/pipe.h"
#include "core/run/sweep.h"
#include "core/tree/bytes.h"
#include "core/tree/tree.h"

enum dray_step_state {
    DRAY_STEP_PENDING,
    DRAY_STEP_RUNNING,
    DRAY_STEP_DONE,
    DRAY_STEP_BROKEN,
    DRAY_STEP_SKIPPED,   /* something it needs failed */
    DRAY_STEP_ABANDONED, /* its thread hangs in a plugin */
};

/* The verdict of a filter that could not be asked. */
#define DRAY_UNDECIDED 3u

/* What a filter decided about one entry of its input. */
struct dray_decision {
    int32_t index; /* DRAY_NO_INDEX: no single element */
    uint16_t option;
    uint8_t verdict;
    uint8_t asked; /* 0: a directory that follows what is below it */
};

/* What one rule of a filter dropped. */
struct dray_rule_count {
    uint16_t option;
    int32_t index;
    uint64_t entries, bytes;
};

/* The staging directory of a push to a file system, made before the sandbox is. */
struct dray_staging_place {
    int directory, parent;           /* -1: none */
    int old;                         /* the directory that the push goes over; -1: none */
    int into;                        /* the directory that it adds to; -1: none */
    struct dray_merge_holder holder; /* in which staging is then, by the name below */
    int64_t touched;                 /* atomic: when it was last said to be in use, ns */
    int merged;                      /* something was in it */
    char *name;
    struct dray_kept {
        char *name;                      /* in parent; of a holder, in into */
        int fd;                          /* of what was put together */
        struct dray_merge_holder holder; /* in which that is */
    } kept[DRAY_ADOPT_KEPT];             /* what earlier attempts left, to be adopted */
    size_t kept_count;
    struct dray_made made;             /* what is known to be ours in parent */
    uint64_t left;                     /* so much is left there of earlier attempts */
    struct dray_superseded superseded; /* when discarding: what the target's delivery replaced */
    struct dray_error error;           /* why there is none */
};

struct dray_run;

/* One step of the plan as it runs. */
/* Beside the bits of a mode: it was set. */
#define DRAY_MODE_SET 0x8000u

struct dray_step_run {
    struct dray_run *run;
    const struct dray_step *step;
    size_t index;
    const struct dray_plan_target *target; /* of a push, else NULL */
    struct dray_instance *instance;        /* of a plugin's step */
    struct dray_job job;                   /* what the plugin is told */

    /* guarded by run->lock */
    enum dray_step_state state;
    int delivered_before; /* a push whose target has it already: neither run nor told */
    int tells;            /* a push that tells verdicts, or did */
    pthread_t thread;
    int64_t started, ended; /* CLOCK_MONOTONIC, ns */
    int64_t wall_started;
    struct dray_tree *input, *output;

    /* of the step's thread until it is done */
    struct dray_error error;
    struct dray_tree_builder *builder;       /* of a source or transform */
    int counted;                             /* of a source: it asked for the revision of a tree */
    uint64_t counted_entries, counted_bytes; /* and that had so many */
    struct dray_writer_state *writers;       /* guarded by run->lock: files being made */
    struct dray_hard_link *links;            /* guarded by run->lock: same_as of added items */
    size_t link_count, link_capacity;
    struct dray_decision *decisions; /* of a filter: one for each entry of input */
    uint64_t recorded_digests; /* of a validate step: files with a digest that the catalog has */
    json_t *compared;          /* of a validate step: array, with what; NULL: with nothing */
    uint64_t read_files, read_bytes; /* of a validate step: what it read from end to end */
    int all_wanted;                  /* of a source: no file is left out for what filters say */
    int unread;     /* of a source or transform: it has entries without their bytes. Atomic */
    int undecided;  /* of a filter: it needs bytes that are not there; it decided nothing. Of
                       a guard: one before it did not */
    json_t *advice; /* of a preview: what its plugin said with advise_option, or NULL */
    struct dray_rule_count *rules;
    size_t rule_count;
    struct dray_error denial; /* of a guard in a preview: it would have stopped the delivery */
    json_t
        *exceeded; /* of a guard that only watches: what it would have stopped, as a rule; NULL */
    uint8_t (
        *digests)[DRAY_SHA256_BYTES]; /* of a push: what was read, one for each entry of input */
    uint8_t *digested;
    uint16_t
        *modes; /* of a push: modes at the target and DRAY_MODE_SET, by entry; NULL: their own */
    struct dray_verdict_teller *teller; /* of a push, until all is told */
    struct dray_adopt
        *adopt; /* of a push that lets files be adopted, until it commits; else NULL */
    struct dray_staging_place staging;
    struct dray_record *records;
    size_t record_count;
    json_t *confirmation; /* guarded by run->lock */
    json_t *superseded;   /* what the push said that its delivery takes the place of, or NULL */
    int committed;        /* may_commit was granted */
    uint64_t out_entries, out_bytes;

    /* atomics */
    uint64_t entries_done, bytes_done;
    int64_t last_progress; /* CLOCK_MONOTONIC, ns */
};

/* One attempt inside a runner. */
struct dray_run {
    struct dray_plan *plan;
    struct dray_pipe *pipe;
    struct dray_step_run *steps; /* plan->step_count */
    struct dray_roots *roots;
    struct dray_pool *pool;
    char *scratch; /* the attempt's scratch directory; NULL: none */
    int scratch_fd;
    char *job_id, *user, *actor;
    uint32_t attempt;
    int64_t clock;          /* CLOCK_REALTIME at the start, ns */
    int preview;            /* pushes are not run */
    const char *listing;    /* of a preview: what the list is called that stands for the source */
    const char *recorded;   /* the source whose files the catalog has a record of; NULL: none */
    const json_t *places;   /* of a preview: where elements of lists are written (part 3 of
                               docs/formats.md); NULL: not known */
    const json_t *programs; /* that sources may run, absolute paths; NULL: none */
    char *keeper;           /* where they are run: the path of dray-runner; NULL: none are */
    int has_slot;           /* DRAY_SLOT_FD holds the place of the source that brings */
    const json_t *brought;  /* by id of a source's step: the directory of what it brought */
    const char *bringing;   /* the source that does so now, and nothing else is done; NULL: none */
    /* roots of the site that deliveries go below, as destination.h; NULL: they may go anywhere */
    const json_t *destinations;
    /* the user, where the process is another one, as proof.h; NULL: it is not */
    const json_t *whom;
    uint64_t listed;  /* how many entries it has */
    int unread;       /* atomic: of a preview: there are entries without their bytes */
    int verifying;    /* differences from the record are told, and fail nothing */
    int recording;    /* and what is read is told, with its digest */
    int untold;       /* atomic: memory ran out for something that had to be told */
    int planning;     /* no step runs: plugins are only asked */
    int discarding;   /* what earlier attempts left is removed, nothing is made */
    int settled;      /* discarding: the target has its delivery */
    const char *made; /* the directory of struct dray_made */

    struct dray_running *running; /* programs of a source; guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;     /* a step ended, a reply came, or the job was cancelled */
    struct dray_reply *replies; /* waited for */
    uint64_t next_request;
    uint64_t next_scratch;
    int cancelled;                    /* atomic */
    struct dray_bytes_scratch **idle; /* guarded by lock */
    size_t idle_count, idle_capacity;
};

/* A call into a plugin: what its `ctx` is inside. */
struct dray_call {
    struct dray_ctx ctx; /* first */
    struct dray_step_run *step;
    struct dray_error error;            /* recorded by fail and its kin */
    json_t *problems;                   /* of fail_option; NULL where nobody listens */
    json_t *advice;                     /* of advise_option; likewise */
    int keeps;                          /* what it borrows for copying is given back at its end */
    struct dray_bytes_scratch *scratch; /* NULL: none yet */
};
/* Fill a call for a step; nothing is allocated. */
void dray_call_init(struct dray_call *call, struct dray_step_run *step);
/* The result of an operation with its error: a class without a recorded reason gets one, an unknown
 * number is DRAY_BUG. */
int dray_call_result(struct dray_call *call, int result, enum dray_operation operation,
                     struct dray_error *error);

/* Give back what a call borrowed for copying. */
void dray_scratch_return(struct dray_call *call);

/* The services that every plugin gets. */
extern const struct dray_host dray_services;

/* Services by file; dray_services lists them all. */
int dray_service_cancelled(struct dray_ctx *ctx);
int dray_service_parallel(struct dray_ctx *ctx, uint64_t count,
                          int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t index), void *arg);
void dray_service_progress(struct dray_ctx *ctx, uint64_t entries, uint64_t bytes);
uint64_t dray_service_count(struct dray_ctx *ctx);
int dray_service_entry(struct dray_ctx *ctx, uint64_t id, struct dray_entry *ret_entry);
int dray_service_open(struct dray_ctx *ctx, uint64_t id, struct dray_reader *ret_reader);
int64_t dray_service_read(struct dray_ctx *ctx, struct dray_reader *reader, void *buffer,
                          uint64_t size);
int dray_service_close(struct dray_ctx *ctx, struct dray_reader *reader);
int dray_service_copy(struct dray_ctx *ctx, uint64_t id, int32_t fd);
int dray_service_set_mode(struct dray_ctx *ctx, uint64_t id, uint32_t mode);
int dray_service_attributes(struct dray_ctx *ctx, uint64_t id,
                            int (*fn)(struct dray_ctx *ctx, void *arg, const char *name,
                                      const void *value, uint64_t size),
                            void *arg);
int dray_service_root(struct dray_ctx *ctx, const char *path, uint32_t *ret_root);
int dray_service_add(struct dray_ctx *ctx, const struct dray_item *item);
int dray_service_walk(struct dray_ctx *ctx, const char *path);
char *dray_service_revision(struct dray_ctx *ctx);
int dray_service_wanted(struct dray_ctx *ctx, const struct dray_item *item);
int dray_service_keep(struct dray_ctx *ctx, uint64_t id, const char *path);
int dray_service_keep_link(struct dray_ctx *ctx, uint64_t id, const char *path, const char *link);
int dray_service_create(struct dray_ctx *ctx, const struct dray_item *item,
                        struct dray_writer *ret_writer);
int dray_service_write(struct dray_ctx *ctx, struct dray_writer *writer, const void *data,
                       uint64_t size);
int dray_service_finish(struct dray_ctx *ctx, struct dray_writer *writer);
int dray_service_scratch_directory(struct dray_ctx *ctx, const char *name, char **ret_path);
int dray_service_program(struct dray_ctx *ctx, const struct dray_program *program,
                         struct dray_program_end *ret_end);
/* Kill all programs: the engine is gone, and nobody waits for them any more. */
void dray_programs_kill(struct dray_run *run);
int dray_service_scratch(struct dray_ctx *ctx, const char *name, int32_t *ret_fd);
int dray_service_destination(struct dray_ctx *ctx, const char *path, char **ret_real,
                             int32_t *ret_fd);
int dray_service_permits(struct dray_ctx *ctx, int32_t directory, const char *gone);
int dray_service_merge(struct dray_ctx *ctx, uint32_t conflicts);
int dray_service_adopt(struct dray_ctx *ctx, uint32_t flags, uint64_t every,
                       int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t id, int32_t fd),
                       void *arg);
int dray_service_staging(struct dray_ctx *ctx, struct dray_staging *ret_staging);
int dray_service_supersedes(struct dray_ctx *ctx, const char *job, const char *request_key,
                            const char *manifest_sha256);
int dray_service_may_commit(struct dray_ctx *ctx);
int dray_service_records(struct dray_ctx *ctx, const struct dray_record **ret_records,
                         uint64_t *ret_count);
int dray_service_record_list(struct dray_ctx *ctx, const struct dray_record **ret_records,
                             uint64_t *ret_count);
int dray_service_record_bytes(struct dray_ctx *ctx, uint64_t index,
                              int (*fn)(struct dray_ctx *ctx, void *arg, const void *data,
                                        uint64_t size),
                              void *arg);
int dray_service_confirm(struct dray_ctx *ctx, const char *key, const char *value);

/* Close what a source or transform left open, when its operation has ended. */
void dray_writers_drop(struct dray_step_run *step);
/* The builder of a source or transform becomes its tree, hard links resolved. */
DRAY_MUST_CHECK int dray_builder_take(struct dray_step_run *step, struct dray_tree **ret_tree,
                                      struct dray_error *error);

/* Will anything read the bytes of this entry of a source? */
int dray_is_wanted(struct dray_step_run *source, const struct dray_entry *entry);
/* After staging: does something lack bytes because this was asked too early? Then the output is
 * gone, and staging it again brings all. */
int dray_hand_down_failed(struct dray_step_run *source);

/* Fill the view of an entry. */
void dray_entry_view(const struct dray_tree *tree, size_t index, struct dray_entry *ret_entry);

/* Ask the engine and wait for its one reply. Takes `request` (an object without id). *ret_reply:
 * the reply's object. */
DRAY_MUST_CHECK int dray_run_ask(struct dray_run *run, json_t *request, json_t **ret_reply,
                                 struct dray_error *error);
/* Hand a reply to who waits for it. */
void dray_run_reply(struct dray_run *run, json_t *message);
/* Tell the engine; takes the reference. */
void dray_run_tell(struct dray_run *run, json_t *event);
int dray_run_cancelled(const struct dray_run *run);

/* Run one step to its end, on its own thread. */
DRAY_MUST_CHECK int dray_step_execute(struct dray_step_run *step, struct dray_error *error);
DRAY_MUST_CHECK int dray_filter_execute(struct dray_step_run *step, struct dray_error *error);
/* The input of a push becomes what it will deliver: links settled, all of it such that the target
 * can hold it. Before the push's thread is started; also in a preview. */
DRAY_MUST_CHECK int dray_push_settle(struct dray_step_run *step, struct dray_error *error);
DRAY_MUST_CHECK int dray_validate_execute(struct dray_step_run *step, struct dray_error *error);
/* Read all files of the step's output, and compare what is recorded of them: those that are not
 * what is recorded are named. */
DRAY_MUST_CHECK int dray_validate_read(struct dray_step_run *step, struct dray_error *error);
/* Note for the receipt with what the step's input was compared. Takes the reference; NULL: there
 * was no memory. */
DRAY_MUST_CHECK int dray_validate_note(struct dray_step_run *step, json_t *what,
                                       struct dray_error *error);
/* Send what must not get lost: else the step fails. Takes `event`; NULL: there was no memory. */
void dray_validate_send(struct dray_step_run *step, json_t *event);
/* Tell of a file that is not as recorded: "missing", "changed", "extra", "unreadable". `why` may be
 * NULL. */
void dray_validate_tell(struct dray_step_run *step, const char *what, const char *path,
                        size_t length, const char *why);
/* The step's input with the digests that the catalog records, where it has a record of it; its
 * names and sizes are compared: DRAY_INTEGRITY, with all that differ. */
DRAY_MUST_CHECK int dray_validate_recorded(struct dray_step_run *step, struct dray_tree **ret_tree,
                                           struct dray_error *error);
DRAY_MUST_CHECK int dray_guard_execute(struct dray_step_run *step, struct dray_error *error);
/* "pick.exclude[0]" or "policy:genomics/no-raw", and the text of the rule; both appended. */
void dray_rule_print(const struct dray_step *step, const struct dray_loaded *loaded,
                     uint16_t option, int32_t index, struct dray_buffer *by,
                     struct dray_buffer *why);
/* [{"by", "why", "entries", "bytes", "shadow"?, "mode"?}] of a filter or guard that ran. */
DRAY_MUST_CHECK json_t *dray_rules_json(const struct dray_step_run *step);
/* Does push `push` get its tree by way of step `index`? */
int dray_plan_depends(const struct dray_plan *plan, size_t push, size_t index);

/* Set up run->steps. */
DRAY_MUST_CHECK int dray_run_steps(struct dray_run *run, struct dray_error *error);
/* Load the plugins of all steps and prepare an instance for each. */
DRAY_MUST_CHECK int dray_run_prepare(struct dray_run *run, struct dray_error *error);
/* Run the DAG: 0 when every step ended, whatever its outcome; 1 when a step's thread had to be
 * abandoned. */
int dray_run_schedule(struct dray_run *run);

/* Complete step->digests: every file of the input was read, or is a hard link to one that was. */
DRAY_MUST_CHECK int dray_record_digests(struct dray_step_run *step, struct dray_error *error);
/* The text of the two lists that travel with a delivery, from its begin to its end: what fn returns
 * is returned where it is not 0, else DRAY_NO_MEMORY or 0. */
typedef int dray_record_piece(void *arg, const void *data, size_t length);
DRAY_MUST_CHECK int dray_record_manifest(const struct dray_step_run *step, dray_record_piece *fn,
                                         void *arg);
DRAY_MUST_CHECK int dray_record_tree(const struct dray_step_run *step, dray_record_piece *fn,
                                     void *arg);
/* Put manifest and tree.jsonl of a push, without their text, into step->records, and make its
 * receipt; the manifest's digest in hex. */
DRAY_MUST_CHECK int dray_records_build(struct dray_step_run *step,
                                       char ret_manifest[static DRAY_SHA256_HEX],
                                       json_t **ret_receipt, struct dray_error *error);
/* The engine's answer becomes part of the receipt: signature (may be NULL) and time; adds the
 * marker. */
DRAY_MUST_CHECK int dray_records_seal(struct dray_step_run *step, const char *manifest,
                                      json_t *receipt, const char *signature,
                                      struct dray_error *error);
void dray_records_free(struct dray_step_run *step);

/* Does the site let a push deliver where it says that it does, `parent` being what it said of that?
 * DRAY_DENIED when not. */
DRAY_MUST_CHECK int dray_destination_check(const struct dray_step_run *step, const char *parent,
                                           struct dray_error *error);
/* May the directory that a push works in be written for the job's user (proof.h)? That is the
 * parent of what it makes, or what it adds to. DRAY_DENIED when not. */
DRAY_MUST_CHECK int dray_destination_prove(const struct dray_step_run *step, const char *directory,
                                           struct dray_error *error);
/* Make the staging directory of each push to a file system, removing what earlier attempts of the
 * same request left; when discarding, only the latter. What fails is in step->staging.error. */
DRAY_MUST_CHECK int dray_staging_prepare(struct dray_run *run, struct dray_error *error);
/* Tell that this name in a directory stays, and why. */
void dray_staging_leave(struct dray_step_run *step, const char *directory, const char *name,
                        const char *why);
/* Remove it with all it holds, unless it was renamed to its place. What a push goes over is left.
 */
DRAY_MUST_CHECK int dray_staging_remove(struct dray_step_run *step, struct dray_error *error);
/* A push into a directory goes on. */
void dray_staging_touch(struct dray_step_run *step);
/* After a push that succeeded: remove what it went over. What cannot be removed is told. */
void dray_staging_delivered(struct dray_step_run *step);
/* When discarding, after the push was asked: remove what the target's delivery went over, if the
 * push found it to be as it was (`problem`: why not). What is left is told. */
void dray_staging_settled(struct dray_step_run *step, const struct dray_error *problem);
/* Of a target on a file system: name what any attempt left beside it, and remove nothing. */
DRAY_MUST_CHECK int dray_staging_name_left(const struct dray_plan_target *target,
                                           const json_t *roots, const struct dray_teller *teller,
                                           struct dray_error *error);
/* Finish or undo what any delivery left in the target directory, but for what an attempt of this
 * request can adopt: 1 where there was something. What is left alone is told. */
DRAY_MUST_CHECK int dray_staging_settle(const struct dray_plan_target *target, const json_t *roots,
                                        const struct dray_teller *teller, struct dray_error *error);

/* Write the verdict on every entry, for each target, to fd: text for people or JSON lines. */
struct dray_preview_format {
    int json;
    int kept, dropped; /* which to show */
    int quiet;         /* no lints */
};
DRAY_MUST_CHECK int dray_preview_write(struct dray_run *run, int fd,
                                       const struct dray_preview_format *format,
                                       struct dray_error *error);

#endif
