/* SPDX-License-Identifier: MIT */
/*
 * dray/plugin.h - everything a Dray plugin needs, and all it may rely on.
 *
 * A plugin is a shared object that exports one object, `dray_plugin_v1`. Dray reads that descriptor
 * without calling anything in it, in a child process (dray-probe); later a runner loads the file,
 * fills an instance from the validated options and calls the operations of the plugin's kind.
 *
 * The promise
 *   A plugin built against M.x loads in every host of major M whose minor is at least the plugin's
 *   min_minor. While the major is 0 both numbers must be equal. Structs grow at their tail only and
 *   say their size first; the head of the descriptor is frozen for ever.
 *
 * Ownership
 *   What the host passes to a plugin is borrowed until the call returns. What a plugin stores
 * through a `ret_` parameter belongs to the host afterwards and was made with host->alloc or
 * host->format.
 *
 * Threads
 *   An instance is entered by one thread at a time unless the plugin declares DRAY_CAP_REENTRANT.
 *   Every host service may be called from any thread that got its `ctx` from the host.
 *
 * Errors
 *   An operation returns DRAY_OK or a negative class, after host->fail (or fail_errno, fail_option)
 *   recorded why. The class decides whether the step is tried again.
 *
 * Units
 *   Sizes and offsets are bytes. Times are nanoseconds since 1970-01-01 UTC, durations nanoseconds.
 *   A path is bytes, relative to the dataset's root, `/` between segments, without a leading or a
 *   trailing `/`; it ends with a NUL that its length does not count.
 */
#ifndef DRAY_PLUGIN_H
#define DRAY_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DRAY_ABI_MAJOR 0
#define DRAY_ABI_MINOR 3

/* "DRAYPLUG" as bytes in memory on a little-endian machine. */
#define DRAY_PLUGIN_MAGIC UINT64_C(0x47554c5059415244)

/* ---- Numbers ------------------------------------------------------------------------------- */

/* Kinds of plugin (head.kind). */
#define DRAY_KIND_SOURCE    1u
#define DRAY_KIND_FILTER    2u
#define DRAY_KIND_TRANSFORM 3u
#define DRAY_KIND_PUSH      4u
#define DRAY_KIND_NOTIFY    5u

/* Capabilities (head.caps): what a plugin can do beyond its contract. Unknown bits are ignored. */
#define DRAY_CAP_REENTRANT UINT64_C(1)  /* operations may run on several threads at once */
#define DRAY_CAP_STREAM    UINT64_C(2)  /* a push that takes entries of unknown size */
#define DRAY_CAP_LINKS     UINT64_C(4)  /* a push whose target holds links and empty directories */
#define DRAY_CAP_CONTENT   UINT64_C(8)  /* a filter that reads bytes (host->open): see decide */
#define DRAY_CAP_BRINGS    UINT64_C(16) /* a source with the operation `bring` */

/* Needs (head.needs): what a plugin cannot do without. A host refuses bits that it does not know.
 * None is defined yet. */

/* Results. 0 is success; the negative classes say what kind of failure it was. */
#define DRAY_OK          0
#define DRAY_TEMPORARY   (-1)  /* worth trying again: network, busy server, I/O error */
#define DRAY_PERMANENT   (-2)  /* trying again would fail the same way */
#define DRAY_INVALID     (-3)  /* an option, a file or a request is wrong */
#define DRAY_NOT_FOUND   (-4)  /* something that was named is not there */
#define DRAY_CONFLICT    (-5)  /* something is there already, or two things have one name */
#define DRAY_DENIED      (-6)  /* policy or permission forbids it */
#define DRAY_CREDENTIAL  (-7)  /* a credential is missing, wrong or expired */
#define DRAY_INTEGRITY   (-8)  /* bytes are not what they are recorded to be */
#define DRAY_CHANGED     (-9)  /* a source changed after it was planned, or while read */
#define DRAY_NO_SPACE    (-10) /* full disk or quota */
#define DRAY_NO_MEMORY   (-11)
#define DRAY_CANCELLED   (-12)
#define DRAY_TIMED_OUT   (-13)
#define DRAY_UNSUPPORTED (-14) /* this host, kernel or target cannot do it */
#define DRAY_BUG         (-15) /* a plugin or the host broke its contract */
#define DRAY_LATER       (-16) /* not a failure: see host->later */

/* Types of entry. */
#define DRAY_FILE      1u
#define DRAY_DIRECTORY 2u
#define DRAY_LINK      3u /* a symbolic link */

/* Types of option, and the C type of the member that each fills. */
#define DRAY_TYPE_BOOL     1u  /* int64_t: 0 or 1 */
#define DRAY_TYPE_INT      2u  /* int64_t */
#define DRAY_TYPE_SIZE     3u  /* int64_t: bytes, written as 10, 4 KiB, 1.5 GB; `none`: DRAY_NONE */
#define DRAY_TYPE_DURATION 4u  /* int64_t: ns, written as 30s, 10m, 24h; `none` is DRAY_NONE */
#define DRAY_TYPE_STRING   5u  /* const char *; NULL when absent and without default */
#define DRAY_TYPE_PATH     6u  /* const char *: absolute; a relative one starts at the file */
#define DRAY_TYPE_CHOICE   7u  /* int64_t: index into `choices` */
#define DRAY_TYPE_STRINGS  8u  /* struct dray_strings */
#define DRAY_TYPE_MAP      9u  /* struct dray_map: string to string, in the file's order */
#define DRAY_TYPE_SECRET   10u /* struct dray_secret: a handle, never the value */

/* Flags of an option. */
#define DRAY_OPTION_REQUIRED   1u
#define DRAY_OPTION_DEPRECATED 2u
#define DRAY_OPTION_READS      4u /* a path that the plugin must be able to read, with all below it */
#define DRAY_OPTION_DELIVERS   8u /* a path at or below which the plugin delivers */
/* [source] Other than with its default the entries get other paths than they have at the source:
 * refused where a policy puts steps behind it, which judge by paths. */
#define DRAY_OPTION_RENAMES 16u

/* Value of a size or duration written as `none`. */
#define DRAY_NONE INT64_MAX

/* Verdicts of a filter. */
#define DRAY_KEEP 1u
#define DRAY_DROP 2u
/* verdict.index when no single element of the option decided. */
#define DRAY_NO_INDEX (-1)

/* Of a number that the host lets a plugin fill in: it is not known. The host sets it beforehand. */
#define DRAY_NOT_KNOWN UINT64_MAX

/* item.root of a file whose bytes lie nowhere, because host->wanted said that nobody wants them. */
#define DRAY_NO_ROOT UINT32_MAX

/* What kind of place a push delivers to: what policies call target.type. */
#define DRAY_TARGET_HPFS   1u
#define DRAY_TARGET_CLOUD  2u
#define DRAY_TARGET_GLOBUS 3u
#define DRAY_TARGET_OTHER  4u

/* What a probe found at a target. */
#define DRAY_ABSENT    1u /* nothing: a delivery may be made */
#define DRAY_DELIVERED 2u /* a whole delivery of ours, named in the other fields */
#define DRAY_OCCUPIED  3u /* something else, or a delivery that is not whole */

/* Levels of a log event. */
#define DRAY_LOG_DEBUG 1u
#define DRAY_LOG_INFO  2u
#define DRAY_LOG_WARN  3u

/* ---- Values -------------------------------------------------------------------------------- */

struct dray_ctx;

/* A list of strings; items end with NUL and live as long as the instance. */
struct dray_strings {
    uint64_t count;
    const char *const *items;
};

/* Pairs of strings, keys unique, in the order of the file; they live as long as the instance. */
struct dray_map {
    uint64_t count;
    const char *const *keys;
    const char *const *values;
};

/* A credential that was handed over for this job; host->secret gives its bytes. 0: none. */
struct dray_secret {
    uint64_t handle;
};

/* One entry of a tree, as the host shows it for one call. Keep the id, never the pointers. */
struct dray_entry {
    uint32_t size; /* of this struct, set by the host */
    uint32_t type; /* DRAY_FILE, DRAY_DIRECTORY or DRAY_LINK */
    uint64_t id;   /* stable within the step's input tree, from 0 to host->count() - 1 */
    const char *path;
    uint64_t path_length;
    const char *link; /* a link's target as written, else NULL */
    uint64_t link_length;
    uint64_t bytes;        /* a file's size, else 0 */
    int64_t mtime;         /* last modification */
    uint32_t mode;         /* permission bits, 07777 at most */
    uint32_t parent;       /* 1: a directory that has entries of the tree below it */
    uint64_t link_group;   /* not 0: files of one group are hard links to each other */
    const uint8_t *sha256; /* 32 bytes, NULL where unknown */
    const uint8_t *md5;    /* 16 bytes, NULL where unknown */
};

/* An entry that a source or a transform adds. Unused fields are 0. */
struct dray_item {
    uint32_t size; /* sizeof(struct dray_item) */
    uint32_t type;
    const char *path;
    uint64_t path_length;
    const char *link; /* the target of a DRAY_LINK */
    uint64_t link_length;
    uint64_t bytes;
    int64_t mtime;
    uint32_t mode;
    uint32_t root;         /* for host->add of a file: which root holds its bytes (host->root) */
    uint64_t offset;       /* where in the root's file its bytes begin */
    const uint8_t *sha256; /* digests that are known already, else NULL */
    const uint8_t *md5;
    const char *same_as; /* for a hard link: the path of an earlier file with the same bytes */
    uint64_t same_as_length;
};

/* A filter's answer. `option` is the number of the row in the option table that decided, `index`
 * the element of its list or DRAY_NO_INDEX; the host renders the text. */
struct dray_verdict {
    uint32_t verdict; /* DRAY_KEEP or DRAY_DROP */
    uint32_t option;
    int64_t index;
};

/* Where a push delivers, in the one spelling that two requests for the same place share.
 * Made with host->format or host->alloc; NULL where it does not apply. */
struct dray_target {
    uint32_t size; /* set by the host */
    uint32_t reserved;
    char *uri;    /* the canonical target, without any secret */
    char *host;   /* the server's name */
    char *path;   /* the path on it */
    char *parent; /* DRAY_TARGET_HPFS: real path of the directory that will hold the delivery */
    char *name;   /* DRAY_TARGET_HPFS: the delivery's name in it */
};

/* What a probe found (DRAY_ABSENT, DRAY_DELIVERED, DRAY_OCCUPIED) and, of a delivery, what its
 * marker says. */
struct dray_presence {
    uint32_t size; /* set by the host */
    uint32_t state;
    char *request_key; /* 64 hexadecimal digits */
    char *job;
    char *time; /* RFC 3339 */
    char *what; /* DRAY_OCCUPIED: one line for a person */
    uint64_t entries;
    uint64_t bytes;
    uint64_t free_bytes; /* room for a delivery at the target; DRAY_NOT_KNOWN: not known */
    /* DRAY_DELIVERED: 1 where the push, as it is asked for, puts its delivery in the place of this
     * one. Other than DRAY_ABSENT: DRAY_GOES_INTO where it adds its delivery to the directory that
     * is there. */
    uint32_t goes_over;
    uint32_t reserved;
    char *note; /* one line for who plans, of what is good but should be known; NULL: none */
};

#define DRAY_GOES_INTO 2u

/* A directory on a file system target that the host made for one attempt's bytes. */
struct dray_staging {
    uint32_t size;     /* set by the host */
    int32_t directory; /* descriptor of the staging directory, mode 0700; borrowed */
    int32_t parent;    /* descriptor of the directory that holds it and will hold the delivery */
    uint32_t mode;     /* mode that the delivery's root gets */
    const char *name;  /* name of the staging directory in parent */
    const char *final; /* name of the delivery in parent */
    int64_t mtime;     /* modification time that the delivery's root gets */
    /* Descriptor of the directory that is at `final`, where the probe said that the push goes over
     * it: it may be read, and the host removes it once it has the staging directory's name after a
     * push that succeeded. -1: none. Borrowed. In discard, with `directory` -1: what a delivery
     * that is at `final` took the place of when its process died. The host removes it when the push
     * says with host->supersedes that it is still whole, and leaves it when it fails or says
     * nothing. */
    int32_t old;
    uint32_t reserved;
    /* Descriptor of the directory that is at `final`, where the probe said that the push adds to
     * it: the staging directory lies in it, and `name` is no name in `parent`. What is put together
     * gets to its place by host->merge, not by a rename of the push. -1: none. Borrowed. */
    int32_t into;
    uint32_t merged; /* 1: something was in it */
    uint32_t kept; /* 1: an attempt that was killed left something, which takes room until adopt */
};

/* A file that the host asks a push to place below the delivery's root. */
struct dray_record {
    const char *path; /* relative to the root, for example .dray/ocean/receipt.json */
    const char *data;
    uint64_t length;
};

/* Bytes of one entry. Filled by host->open. */
struct dray_reader {
    uint32_t size;  /* set by the host */
    uint32_t flags; /* DRAY_READER_* */
    int32_t fd;     /* borrowed; the bytes are [offset, offset + length) of it; -1 for a stream */
    uint32_t reserved;
    uint64_t offset;
    uint64_t length;
    void *private_; /* the host's */
};
#define DRAY_READER_SIZE_KNOWN   1u
#define DRAY_READER_DIGEST_KNOWN 2u
#define DRAY_READER_REPEATABLE   4u

/* A new file in scratch, hashed while it is written. Filled by host->create. */
struct dray_writer {
    uint32_t size; /* set by the host */
    int32_t fd;    /* borrowed; write through host->write only */
    void *private_;
};

/* A program to run: no shell, nothing but these words. */
struct dray_program {
    uint32_t size; /* sizeof(struct dray_program) */
    uint32_t reserved;
    uint64_t count;
    const char *const *argv; /* argv[0] is an absolute path; NULL behind the last */
    int64_t timeout;         /* ns, DRAY_NONE: none */
};

/* How a program ended. */
struct dray_program_end {
    uint32_t size;   /* set by the host */
    int32_t status;  /* its exit status; -1: a signal ended it */
    uint32_t signal; /* which, else 0 */
    uint32_t reserved;
    char last[400]; /* the last line that it wrote, without what is no text */
};

/* The job that a plugin works for; strings live as long as the instance, NULL where unknown. */
struct dray_job {
    uint32_t size;    /* set by the host */
    uint32_t attempt; /* from 1; 0: nothing is delivered, as in a preview */
    const char *id;
    const char *dataset;     /* the dataset's name: one path segment */
    const char *request_key; /* of the push that is called, 64 hexadecimal digits, else NULL */
    const char *user;
    const char *actor;
};

/* A key and its value in a log event. */
struct dray_field {
    const char *key;
    const char *value;
};

/* A network address that a name resolved to, in text. */
struct dray_address {
    char text[64];
};

/* What a notifier is told. `json` is the event as a JSON object, the same for all notifiers. */
struct dray_event {
    uint32_t size; /* set by the host */
    uint32_t reserved;
    const char *name; /* waiting, delivered, failed, cancelled, batch-ended or policy-warned */
    const char *json;
    uint64_t json_length;
};

/* ---- Host services ------------------------------------------------------------------------- */

#if defined(__GNUC__)
#define DRAY_PRINTF(FMT, ARGS) __attribute__((format(printf, FMT, ARGS)))
#else
#define DRAY_PRINTF(FMT, ARGS)
#endif

/* Services of the host, reached as ctx->host->NAME. A service that returns int returns DRAY_OK or a
 * class, with the reason already recorded: pass it on. In which kinds a service works is said in
 * brackets; elsewhere it fails with DRAY_BUG. */
struct dray_host {
    uint32_t size; /* of the host's struct: a service beyond it is not there */
    uint32_t minor;

    /* Memory for what a ret_ parameter hands over. NULL when there is none left. */
    void *(*alloc)(uint64_t size);
    void (*free)(void *pointer);
    char *(*format)(const char *format, ...)DRAY_PRINTF(1, 2);

    /* Record why an operation fails and return `class_`. The message says what was being done, on
     * what and why it failed: one line without a final full stop. */
    int (*fail)(struct dray_ctx *ctx, int class_, const char *format, ...) DRAY_PRINTF(3, 4);
    /* The same from an errno value: picks the class and appends the system's reason. */
    int (*fail_errno)(struct dray_ctx *ctx, int error, const char *format, ...) DRAY_PRINTF(3, 4);
    /* [prepare] An option's value is wrong: `index` is the element of a list (or DRAY_NO_INDEX),
     * `offset` the byte in the string where the fault is. Returns DRAY_INVALID. */
    int (*fail_option)(struct dray_ctx *ctx, const char *option, int64_t index, uint64_t offset,
                       const char *format, ...) DRAY_PRINTF(5, 6);
    /* Add what the reader can do about the failure recorded last. */
    void (*hint)(struct dray_ctx *ctx, const char *format, ...) DRAY_PRINTF(2, 3);

    void (*log)(struct dray_ctx *ctx, uint32_t level, const char *event,
                const struct dray_field *fields, uint64_t count);
    /* Entries and bytes done since the last call; a step silent for its `stall` is stopped. */
    void (*progress)(struct dray_ctx *ctx, uint64_t entries, uint64_t bytes);
    /* 1 once the job is cancelled or the lease is lost: clean up and return DRAY_CANCELLED. */
    int (*cancelled)(struct dray_ctx *ctx);
    const struct dray_job *(*job)(struct dray_ctx *ctx);
    /* Nanoseconds since 1970; the same for all steps of an attempt that ask at its start. */
    int64_t (*clock)(struct dray_ctx *ctx);

    /* Run fn(ctx, arg, index) for 0 <= index < count on the job's threads and the caller's, and
     * return DRAY_OK or the first failure; the rest is then skipped. */
    int (*parallel)(struct dray_ctx *ctx, uint64_t count,
                    int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t index), void *arg);

    /* [transform, push] The step's input tree: entries sorted by path as bytes, `/` before all
     * other bytes, so that a directory stands right before everything below it. */
    uint64_t (*count)(struct dray_ctx *ctx);
    int (*entry)(struct dray_ctx *ctx, uint64_t id, struct dray_entry *ret_entry);

    /* [filter, transform, push] Read an entry's bytes from first to last. They are hashed on the
     * way; close compares a recorded digest and fails with DRAY_INTEGRITY or DRAY_CHANGED. */
    int (*open)(struct dray_ctx *ctx, uint64_t id, struct dray_reader *ret_reader);
    /* Bytes read, 0 at the end, or a negative class. */
    int64_t (*read)(struct dray_ctx *ctx, struct dray_reader *reader, void *buffer, uint64_t size);
    int (*close)(struct dray_ctx *ctx, struct dray_reader *reader);
    /* [transform, push] Copy all bytes of an entry to the start of an empty file, with the checks
     * of open/read/close, in the fastest way the file systems allow; holes stay holes. Of an entry
     * of 0 bytes fd may be -1: then it is only checked. */
    int (*copy)(struct dray_ctx *ctx, uint64_t id, int32_t fd);

    /* [source] Say where bytes lie: a regular file (a container). Its number goes into item.root.
     */
    int (*root)(struct dray_ctx *ctx, const char *path, uint32_t *ret_root);
    /* [source] Add an entry. A file's bytes are [offset, offset + bytes) of its root. */
    int (*add)(struct dray_ctx *ctx, const struct dray_item *item);
    /* [source] Add everything below a directory, or one file, in place. */
    int (*walk)(struct dray_ctx *ctx, const char *path);
    /* [source] Digest over path, type, size and mtime of what was added so far: a revision. */
    char *(*revision)(struct dray_ctx *ctx);
    /* [source] 0 if the steps that follow are known to drop this entry: its bytes are not needed.
     * It is added all the same, with DRAY_NO_ROOT. A source may be asked to stage again when bytes
     * are needed after all. */
    int (*wanted)(struct dray_ctx *ctx, const struct dray_item *item);

    /* [transform] Pass an input entry on, under `path` (NULL: its own). */
    int (*keep)(struct dray_ctx *ctx, uint64_t id, const char *path);
    /* [source, transform] Make a new file in scratch; finish adds it to the output. A writer that
     * is not finished is removed when the operation ends. item.bytes is a hint. */
    int (*create)(struct dray_ctx *ctx, const struct dray_item *item,
                  struct dray_writer *ret_writer);
    int (*write)(struct dray_ctx *ctx, struct dray_writer *writer, const void *data, uint64_t size);
    int (*finish)(struct dray_ctx *ctx, struct dray_writer *writer);
    /* [source, transform, push] Open a private scratch file for reading and writing; the caller
     * closes it. */
    int (*scratch)(struct dray_ctx *ctx, const char *name, int32_t *ret_fd);

    /* A small value that survives into the next attempt, on any worker; returns after it is stored.
     * get: a string made with alloc, or NULL. */
    int (*checkpoint_put)(struct dray_ctx *ctx, const char *key, const char *value);
    int (*checkpoint_get)(struct dray_ctx *ctx, const char *key, char **ret_value);
    /* The bytes of a credential, valid until the operation returns. */
    int (*secret)(struct dray_ctx *ctx, struct dray_secret secret, const char **ret_data,
                  uint64_t *ret_length);
    /* Resolve a name under the address rules; the engine does it, a runner may not. */
    int (*resolve)(struct dray_ctx *ctx, const char *name, struct dray_address *ret_addresses,
                   uint32_t capacity, uint32_t *ret_count);

    /* [push] The staging directory of a DRAY_TARGET_HPFS push. */
    int (*staging)(struct dray_ctx *ctx, struct dray_staging *ret_staging);
    /* [push] Everything is at the target and nothing is visible yet: ask whether it may become so.
     * Every file of the input was read through open or copy by now. */
    int (*may_commit)(struct dray_ctx *ctx);
    /* [push, after may_commit] The files to place below .dray/, in this order, delivered.json last.
     * Borrowed until the operation returns. */
    int (*records)(struct dray_ctx *ctx, const struct dray_record **ret_records,
                   uint64_t *ret_count);
    /* [push] A fact about the delivery that is kept with the job (an ETag, a task id, a URI). */
    int (*confirm)(struct dray_ctx *ctx, const char *key, const char *value);
    /* [push] Give the process back and be called again in `seconds`; returns DRAY_LATER. */
    int (*later)(struct dray_ctx *ctx, uint32_t seconds, const char *reason);

    /* [prepare] An option's value is right but may not be what its author meant: a note at that
     * place, for who checks or plans. One line that says what it means and what to write. `instead`
     * is the value that may have been meant, or NULL: a preview compares what the two do and tells
     * of it where they differ. Other arguments as of fail_option. */
    void (*advise_option)(struct dray_ctx *ctx, const char *option, int64_t index, uint64_t offset,
                          const char *instead, const char *format, ...) DRAY_PRINTF(6, 7);

    /* [transform] Pass an input symbolic link on under `path` (NULL: its own) with another target.
     */
    int (*keep_link)(struct dray_ctx *ctx, uint64_t id, const char *path, const char *link);

    /* [push, before records] The mode that an entry has at the target, where that is not its own
     * without set-user-ID and set-group-ID: records say it. */
    int (*set_mode)(struct dray_ctx *ctx, uint64_t id, uint32_t mode);

    /* [push, before may_commit] The delivery takes the place of this one: the receipt says so. Also
     * in discard: see `old` of struct dray_staging. */
    int (*supersedes)(struct dray_ctx *ctx, const char *job, const char *request_key,
                      const char *manifest_sha256);

    /* [transform, push] Call fn for each extended attribute of the name space `user` (its whole
     * name, its bytes) of a file or directory that lies in place at the source, until fn returns
     * other than DRAY_OK, which is returned. Entries of archives have none. */
    int (*attributes)(struct dray_ctx *ctx, uint64_t id,
                      int (*fn)(struct dray_ctx *ctx, void *arg, const char *name,
                                const void *value, uint64_t size),
                      void *arg);

    /* [push, after may_commit] Put all that the staging directory holds, durable by now, into the
     * directory `into` of host->staging: all of it or nothing, also across a crash. `conflicts`:
     * what becomes of files that have a name which is needed. DRAY_CONFLICT: something has one. */
    int (*merge)(struct dray_ctx *ctx, uint32_t conflicts);

    /* [source, bring] Make an empty directory in what is kept, and say its absolute path (made
     * with alloc). [source, stage] Say that path: what bring put there can be read. */
    int (*scratch_directory)(struct dray_ctx *ctx, const char *name, char **ret_path);
    /* [source, bring] Run a program that the site's configuration lets this job run, and wait for
     * its end, whatever that is. What it writes goes to the job's log. It is stopped, with all
     * that it started, when the time is over (DRAY_TIMED_OUT) or the job is cancelled. */
    int (*program)(struct dray_ctx *ctx, const struct dray_program *program,
                   struct dray_program_end *ret_end);

    /* [push, after may_commit] As `records`, but nothing is held that grows with the delivery: data
     * is NULL and length DRAY_NOT_KNOWN of a record that is made while it is read. */
    int (*record_list)(struct dray_ctx *ctx, const struct dray_record **ret_records,
                       uint64_t *ret_count);
    /* [push, after may_commit] Call fn for the bytes of record number `index`, piece by piece,
     * until fn returns other than DRAY_OK, which is returned. */
    int (*record_bytes)(struct dray_ctx *ctx, uint64_t index,
                        int (*fn)(struct dray_ctx *ctx, void *arg, const void *data, uint64_t size),
                        void *arg);

    /* [push, once the staging directory has all its directories and before the first copy] Move
     * into it what an earlier attempt of the same request had copied when it was killed, each file
     * to the path of its entry, and remove what else that attempt left. fn is called for each, on
     * any thread, with the file open for reading, to give it what it would have got as a new one:
     * mode, times, attributes. What fn is not called for is to be copied. From then on, a file that
     * was copied to the path of its entry is noted for a later attempt, when it is durable: after
     * each `every` bytes, and every 10 s, once it has its entry's time, which it gets last. Once
     * copy has returned, its bytes must not be changed. */
    int (*adopt)(struct dray_ctx *ctx, uint32_t flags, uint64_t every,
                 int (*fn)(struct dray_ctx *ctx, void *arg, uint64_t id, int32_t fd), void *arg);

    /* [push] The directory of a file system that an absolute path leads to: its real path (made
     * with alloc) and a descriptor, O_PATH, which the caller closes. What a push to a file system
     * delivers into is found by this, and by no other way: DRAY_DENIED where the site does not let
     * it be delivered into, DRAY_NOT_FOUND where it is not there. */
    int (*destination)(struct dray_ctx *ctx, const char *path, char **ret_real, int32_t *ret_fd);
    /* [push] May the user whom it is delivered for make names in this directory below the one that
     * is added to (gone is NULL), or have this name taken from one that they may write in? 1 or 0:
     * always 1 where Dray runs as that user, and the kernel decides. The host asks it itself of
     * the directory that is added to, and of all again when it merges. */
    int (*permits)(struct dray_ctx *ctx, int32_t directory, const char *gone);
};
#define DRAY_ADOPT_EACH          1u /* make files durable one by one, not the whole file system */
#define DRAY_CONFLICTS_FAIL      0u
#define DRAY_CONFLICTS_SKIP_SAME 1u /* files with the same bytes and links to the same stay */
#define DRAY_CONFLICTS_REPLACE   2u /* files and links are replaced, directories never */

/* What a call hands to a plugin: the services. The rest of the object is the host's. */
struct dray_ctx {
    const struct dray_host *host;
};

/* ---- Options ------------------------------------------------------------------------------- */

/* One row of a plugin's option table. From it come validation with file:line:column, defaults,
 * `dray plugin show`, JSON Schema and forms. `fallback` and `choices` are written as in a workflow.
 */
struct dray_option {
    const char *name;     /* lower case, digits and `_` */
    const char *help;     /* one line, without a final full stop */
    const char *fallback; /* default; NULL: none */
    const char *choices;  /* DRAY_TYPE_CHOICE: "fail|merge|replace" */
    int64_t min;          /* INT, SIZE, DURATION: smallest and largest value */
    int64_t max;
    uint32_t type;
    uint32_t flags;
    uint32_t offset; /* of the member in the plugin's own struct */
    uint32_t reserved;
};

/* The offset of member M of struct T, refused at compile time when the member is not a C_TYPE. */
#ifdef __cplusplus
#define DRAY_OFFSET(T, M, C_TYPE) ((uint32_t)offsetof(T, M))
#else
#define DRAY_OFFSET(T, M, C_TYPE) _Generic(&((T *)0)->M, C_TYPE * : (uint32_t)offsetof(T, M))
#endif

#define DRAY_OPTION_ROW(T, M, C_TYPE, TYPE, FLAGS, FALLBACK, CHOICES, MIN, MAX, HELP)              \
    {                                                                                              \
#M, HELP, FALLBACK, CHOICES, MIN, MAX, TYPE, FLAGS, DRAY_OFFSET(T, M, C_TYPE), 0           \
    }

#define DRAY_OPTION_BOOL(T, M, FALLBACK, HELP)                                                     \
    DRAY_OPTION_ROW(T, M, int64_t, DRAY_TYPE_BOOL, 0, FALLBACK, NULL, 0, 1, HELP)
#define DRAY_OPTION_INT(T, M, FALLBACK, MIN, MAX, HELP)                                            \
    DRAY_OPTION_ROW(T, M, int64_t, DRAY_TYPE_INT, 0, FALLBACK, NULL, MIN, MAX, HELP)
#define DRAY_OPTION_SIZE(T, M, FALLBACK, HELP)                                                     \
    DRAY_OPTION_ROW(T, M, int64_t, DRAY_TYPE_SIZE, 0, FALLBACK, NULL, 0, INT64_MAX, HELP)
#define DRAY_OPTION_DURATION(T, M, FALLBACK, HELP)                                                 \
    DRAY_OPTION_ROW(T, M, int64_t, DRAY_TYPE_DURATION, 0, FALLBACK, NULL, 0, INT64_MAX, HELP)
#define DRAY_OPTION_STRING(T, M, FLAGS, FALLBACK, HELP)                                            \
    DRAY_OPTION_ROW(T, M, const char *, DRAY_TYPE_STRING, FLAGS, FALLBACK, NULL, 0, 0, HELP)
#define DRAY_OPTION_PATH(T, M, FLAGS, FALLBACK, HELP)                                              \
    DRAY_OPTION_ROW(T, M, const char *, DRAY_TYPE_PATH, FLAGS, FALLBACK, NULL, 0, 0, HELP)
#define DRAY_OPTION_CHOICE(T, M, FALLBACK, CHOICES, HELP)                                          \
    DRAY_OPTION_ROW(T, M, int64_t, DRAY_TYPE_CHOICE, 0, FALLBACK, CHOICES, 0, 0, HELP)
#define DRAY_OPTION_STRINGS(T, M, FLAGS, HELP)                                                     \
    DRAY_OPTION_ROW(T, M, struct dray_strings, DRAY_TYPE_STRINGS, FLAGS, NULL, NULL, 0, 0, HELP)
#define DRAY_OPTION_MAP(T, M, FLAGS, HELP)                                                         \
    DRAY_OPTION_ROW(T, M, struct dray_map, DRAY_TYPE_MAP, FLAGS, NULL, NULL, 0, 0, HELP)
#define DRAY_OPTION_SECRET(T, M, FLAGS, HELP)                                                      \
    DRAY_OPTION_ROW(T, M, struct dray_secret, DRAY_TYPE_SECRET, FLAGS, NULL, NULL, 0, 0, HELP)

/* ---- The descriptor ------------------------------------------------------------------------ */

/* Frozen for ever: any host can read the head of any plugin. */
struct dray_head {
    uint64_t magic; /* DRAY_PLUGIN_MAGIC */
    uint32_t major; /* the header's version that the plugin was built with */
    uint32_t minor;
    uint32_t min_minor; /* the oldest host that serves it */
    uint32_t size;      /* sizeof(struct dray_plugin) as the plugin knows it */
    uint32_t kind;      /* DRAY_KIND_* */
    uint32_t reserved;
    uint64_t needs;
    uint64_t caps;
};

struct dray_plugin {
    struct dray_head head;
    const char *name;    /* the part after the `/` in `uses: filter/glob` */
    const char *version; /* of the plugin: semantic versioning */
    const char *summary; /* one line */
    const struct dray_option *options;
    uint32_t option_count;
    uint32_t option_size; /* sizeof(struct dray_option) as the plugin knows it */
    uint64_t instance_size;
    /* Both may be NULL. `prepare` checks options against each other and compiles them; it touches
     * no data and no network. `destroy` is called if and only if `prepare` succeeded. */
    int (*prepare)(void *self, struct dray_ctx *ctx);
    void (*destroy)(void *self);
    const void *operations; /* struct dray_KIND_operations; begins with its own size */
};

/* A source brings a dataset's entries. It never writes to where they come from. */
struct dray_source_operations {
    uint32_t size;
    uint32_t reserved;
    /* The dataset's revision, without staging it. May use walk, root and add to look. */
    int (*identify)(void *self, struct dray_ctx *ctx, char **ret_revision);
    /* Make the entries readable and add each of them. */
    int (*stage)(void *self, struct dray_ctx *ctx);
    /* [DRAY_CAP_BRINGS, since 0.3] Put what stage reads into directories of
     * host->scratch_directory, where bringing it once for each attempt would cost too much: the
     * host keeps it, and other attempts and jobs with the same options use it, too. It runs by
     * itself, before anything else of an attempt. DRAY_LATER: ask again later; no try is used up.
     */
    int (*bring)(void *self, struct dray_ctx *ctx);
};

/* A filter gives each entry a verdict. It is pure: the same entry, the same verdict. Directories
 * that have entries below them are not asked about. One with DRAY_CAP_CONTENT is not asked at all
 * in a preview that has no bytes (of a list, or of an archive that is not extracted): what it gets
 * is then undecided, and passes. One without it may be asked about a file before that is staged, to
 * spare the staging of what is dropped, and again later: then it has no id (DRAY_NOT_KNOWN), no
 * link group, and no digests but those that the source has. */
struct dray_filter_operations {
    uint32_t size;
    uint32_t reserved;
    int (*decide)(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict);
};

/* A transform makes a new tree with keep and create. */
struct dray_transform_operations {
    uint32_t size;
    uint32_t reserved;
    int (*apply)(void *self, struct dray_ctx *ctx);
};

/* A push delivers its input tree to one target, in one act, or not at all. */
struct dray_push_operations {
    uint32_t size;
    uint32_t target_type; /* DRAY_TARGET_* */
    /* Without touching the target's data: where this delivers. What a place that is not there would
     * be called may be filled in before it fails with DRAY_NOT_FOUND: a preview of a list goes by
     * that. */
    int (*describe)(void *self, struct dray_ctx *ctx, struct dray_target *ret_target);
    /* What is at the target? */
    int (*probe)(void *self, struct dray_ctx *ctx, struct dray_presence *ret_presence);
    /* Deliver, ask may_commit, place the records, commit. */
    int (*push)(void *self, struct dray_ctx *ctx);
    /* Leave nothing behind of an attempt that failed, was cancelled or died. */
    int (*discard)(void *self, struct dray_ctx *ctx);
    /* May be NULL. In a preview, where the push would add its delivery to what is at the target:
     * would anything be in its way? The input is known, but no bytes are read, here or there.
     * DRAY_CONFLICT says what is. */
    int (*look)(void *self, struct dray_ctx *ctx);
};

/* A notifier tells somebody. Its failure never fails a job. */
struct dray_notify_operations {
    uint32_t size;
    uint32_t reserved;
    int (*notify)(void *self, struct dray_ctx *ctx, const struct dray_event *event);
};

#if defined(__GNUC__)
#define DRAY_EXPORT __attribute__((visibility("default")))
#else
#define DRAY_EXPORT
#endif

#define DRAY_COUNT(ARRAY) ((uint32_t)(sizeof(ARRAY) / sizeof((ARRAY)[0])))

/* Defines the exported descriptor; further members (.prepare, .destroy) may follow OPERATIONS. */
#define DRAY_PLUGIN(KIND, CAPS, NAME, VERSION, SUMMARY, INSTANCE, OPTIONS, ...)                    \
    DRAY_EXPORT extern const struct dray_plugin dray_plugin_v1;                                    \
    const struct dray_plugin dray_plugin_v1 = {                                                    \
        .head = {DRAY_PLUGIN_MAGIC, DRAY_ABI_MAJOR, DRAY_ABI_MINOR, DRAY_ABI_MINOR,                \
                 (uint32_t)sizeof(struct dray_plugin), KIND, 0, 0, CAPS},                          \
        .name = NAME,                                                                              \
        .version = VERSION,                                                                        \
        .summary = SUMMARY,                                                                        \
        .options = OPTIONS,                                                                        \
        .option_count = DRAY_COUNT(OPTIONS),                                                       \
        .option_size = (uint32_t)sizeof(struct dray_option),                                       \
        .instance_size = sizeof(INSTANCE),                                                         \
        .operations = __VA_ARGS__}

/* The short form for a filter without prepare and destroy, safe on several threads. */
#define DRAY_FILTER_PLUGIN(NAME, VERSION, SUMMARY, INSTANCE, OPTIONS, DECIDE)                      \
    static const struct dray_filter_operations dray_operations_ = {                                \
        (uint32_t)sizeof(struct dray_filter_operations), 0, DECIDE};                               \
    DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_REENTRANT, NAME, VERSION, SUMMARY, INSTANCE, OPTIONS,   \
                &dray_operations_)

#ifdef __cplusplus
}
#endif

#endif
