/* SPDX-License-Identifier: MIT */
/*
 * adopt.h - what an attempt that was killed had finished, the next one does not copy again.
 *
 * While a push copies into staging, files that are whole are noted in a journal beside them, each
 * only after a sync that covered it (adopt.c). The next attempt of the same request takes the old
 * staging directory's name away, so that nobody can commit it any more, moves out of it what its
 * journal proves, and removes the rest (adopt_take.c). It moves files, never directories: of a file
 * that was finished no old process writes another byte, while in a directory that it holds open it
 * could still make things.
 *
 * The journal is `.dray` in staging, a name that no dataset has there; it goes before a delivery is
 * committed. Format: docs/formats.md.
 */
#ifndef DRAY_RUN_ADOPT_H
#define DRAY_RUN_ADOPT_H

#include "core/base/buffer.h"
#include "core/tree/identity.h"

#define DRAY_ADOPT_JOURNAL ".dray"

/* Directories that earlier attempts left, of one target; more than these are removed unseen. */
#define DRAY_ADOPT_KEPT 4

struct dray_step_run;
struct dray_staging_place;

/* ---- Noting, in an attempt ---- */

/* What this attempt has noted, and does: step->adopt. */
struct dray_adopt;
/* Begin to note. `each`: make durable file by file. `every`: bytes between two syncs. */
DRAY_MUST_CHECK int dray_adopt_begin(struct dray_step_run *step, int each, uint64_t every,
                                     struct dray_error *error);
/* The entry was copied whole. Nothing where nobody began to note. From any thread. */
void dray_adopt_note(struct dray_step_run *step, uint64_t id);
/* Time passes. */
void dray_adopt_tick(struct dray_step_run *step);
/* Write these down now: they were durable before they were adopted. */
void dray_adopt_pass_on(struct dray_step_run *step, const uint64_t *ids, size_t count);
/* No more is noted, and the journal is gone from staging: before a commit. */
DRAY_MUST_CHECK int dray_adopt_end(struct dray_step_run *step, struct dray_error *error);
/* No more is noted: before staging is removed. */
void dray_adopt_stop(struct dray_step_run *step);

/* ---- Taking over ---- */

/* Before the sandbox: has this directory, known to be what an attempt of this request put together,
 * something that can be adopted? */
int dray_adopt_is_of_use(const struct dray_staging_place *staging, int fd);
/* Keep it, by a name in the parent that no old attempt knows: 1, and *fd is taken; 0: no memory. */
int dray_adopt_keep(struct dray_staging_place *staging, const char *name, int *fd);
/* The same of a holder below `into`, which keeps its name: who made it is dead when it can be
 * locked. 0: there is nothing in it, or somebody is at work. */
int dray_adopt_keep_holder(struct dray_staging_place *staging, int into, const char *name);
/* Remove what is kept, and was not adopted. What cannot be removed is told. */
void dray_adopt_remove_kept(struct dray_step_run *step);
/* Keep it no longer, and leave it as it is. */
void dray_adopt_let_go(struct dray_staging_place *staging);

/* ---- The journal ---- */

/* A file that was finished. Times in ns. */
struct dray_adopt_line {
    uint64_t inode, bytes; /* of the copy, as it lay in staging after the sync */
    int64_t mtime, ctime;
    struct dray_source_identity source; /* all 0: not known */
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t md5[DRAY_MD5_BYTES];
    int has_md5;      /* one was recorded, and the copy has it */
    const char *path; /* of the entry, and below staging; ends with NUL */
    size_t path_length;
};

/* The first line, for the request key; then a line each. Out of memory shows in the buffer. */
void dray_adopt_print_first(struct dray_buffer *out, const char *request_key);
void dray_adopt_print(struct dray_buffer *out, const struct dray_adopt_line *line);

/* The longest line, with its end: a path of 4000 bytes that are all escaped. */
#define DRAY_ADOPT_LONGEST 13000
/* A journal as it is read, from anybody, in pieces. Start with its first three members set. */
struct dray_adopt_reader {
    const char *request_key;
    /* Called for each line that is whole, until it returns other than 0. */
    int (*fn)(void *arg, const struct dray_adopt_line *line);
    void *arg;
    /* private */
    int begun; /* the first line was good */
    size_t length;
    char text[DRAY_ADOPT_LONGEST + 1];
};
/* 0: go on. 1: nothing behind this counts: a line was not valid, or it is another request's
 * journal. Else what fn returned. A line without its end is none. */
DRAY_MUST_CHECK int dray_adopt_feed(struct dray_adopt_reader *reader, const char *data,
                                    size_t length);

#endif
