/* SPDX-License-Identifier: MIT */
/* archive.h - what the files of source/archive share: archive.c decides what entries may be,
 * archive_open.c opens the file and says what is wrong with it, archive_stream.c expands it. */
#ifndef DRAY_PLUGINS_ARCHIVE_H
#define DRAY_PLUGINS_ARCHIVE_H

#include <dray/plugin.h>

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

/* How much of a name a message shows, and room for any path that a tree takes. */
#define ARCHIVE_SHOWN     400
#define ARCHIVE_PATH_ROOM 4096

struct archive_source {
    const char *path;
    int64_t max_bytes;
    int64_t max_ratio;
    int64_t max_entries;
    const char *strip;
    int64_t segments;                       /* what strip says, or less than 0: auto */
    const char *bundle_sha256, *bundle_md5; /* recorded of the file itself; NULL: nothing */
    int64_t bundle_size;                    /* DRAY_NONE: likewise */
};

struct archive_names {
    char **items;
    size_t count, room;
    size_t bytes; /* that they take, about */
};

/* One reading of the archive. */
struct reading {
    struct dray_ctx *ctx;
    const struct archive_source *options;
    struct archive *archive;
    int fd;
    struct archive_digest *digest;   /* of the file, while it is read; NULL: none is recorded */
    struct stat before;              /* the file when it was opened */
    int compressed;                  /* a compressed tar: it is read through the stream */
    int plain;                       /* an uncompressed tar: files are read where they lie */
    uint32_t root;                   /* number of the file as a root */
    int64_t next_header;             /* where it must begin, 0: anywhere */
    uint64_t entries;                /* read so far */
    uint64_t bytes;                  /* of their files */
    uint64_t extracted;              /* of them, written to scratch */
    char reached[ARCHIVE_SHOWN + 1]; /* name of the last entry that was read */
    int64_t segments;                /* to take off the front of every path */
    struct archive_names gone;       /* directories of which nothing was left then */
    struct archive_names fronts;     /* what was taken off of others */

    /* The stream of a compressed tar. */
    struct archive_gzip *gzip; /* either this */
    struct archive *filters;   /* or this, which reads into */
    void *block;
    int cancelled;
    int stream_errno;        /* why it failed, */
    char stream_reason[200]; /* if there is a reason */
    int64_t expanded;        /* bytes so far */
    int64_t last_byte;       /* where the last of them that is not 0 ends */
};

/* Add all entries. */
int archive_stage(const struct archive_source *options, struct dray_ctx *ctx);
/* Open the file and note what it is. */
int archive_open_file(struct reading *reading);
/* Open it as an archive. */
int archive_open(struct reading *reading);
void archive_close(struct reading *reading);
/* After the first header: which format is it? */
int archive_look_at_format(struct reading *reading);
/* Does a zip say the same in its table of contents as before each file? */
int archive_check_zip(struct reading *reading);
/* Note the name of an entry for messages. */
void archive_reach(struct reading *reading, const char *name);
/* Is a status of libarchive only about the character set of a name, which we take as it is? */
int archive_is_only_charset(struct reading *reading, int status);
/* Record what libarchive says, and where it was. */
int archive_failed(struct reading *reading);
/* There are no more entries: is that the archive's end, or was it cut off? */
int archive_check_end(struct reading *reading);
int archive_check_unchanged(struct reading *reading);
/* Is all that was read, and so many bytes more, within what the options allow? */
int archive_check_limits(struct reading *reading, uint64_t more);

/* A path as the tree has it: without `.` segments and superfluous slashes, empty for the root.
 * NULL, or why it may not be used. */
const char *archive_clean_path(const char *raw, char *path, size_t *ret_length);
/* prepare of the plugin: what does `strip` say? */
int archive_prepare_strip(void *self, struct dray_ctx *ctx);
/* How many segments are to be taken off? `auto` reads all names for that. */
int archive_find_strip(struct reading *reading);
/* What is left of a clean path, or NULL: nothing. */
const char *archive_strip(const struct reading *reading, const char *path);
/* Of a directory of which nothing is left: it may go when something lies below it. Is it what the
 * root of the dataset was? */
int archive_note_taken_off(struct reading *reading, const char *path, int *ret_root);
/* Of a path of which something is left. */
int archive_note_left(struct reading *reading, const char *path, const char *left);
/* At the end: did every directory that went have something below it? */
int archive_check_taken_off(struct reading *reading);
int archive_fail_vanishing(struct reading *reading);
void archive_free_names(struct archive_names *names);

/* prepare: are these the digits of digests? */
int archive_prepare_digest(const char *sha256, const char *md5, struct dray_ctx *ctx);
/* Be ready to compute what is recorded of the file. Closed in any case. */
int archive_digest_open(struct reading *reading);
void archive_digest_close(struct reading *reading);
/* The next bytes of the file. 0, or -1 where the library fails. */
int archive_digest_add(struct reading *reading, const void *data, size_t length);
/* Has the file as many bytes as are recorded? */
int archive_check_size(struct reading *reading);
/* Read all of it, and compare. */
int archive_digest_pass(struct reading *reading);
/* Compare a compressed file that was read to its end. */
int archive_digest_check(struct reading *reading);
/* All of that of a file that is not read as an archive. */
int archive_check_file(const struct archive_source *options, struct dray_ctx *ctx);

/* Find out whether the file is compressed, and be ready to expand it. */
int archive_stream_open(struct reading *reading);
void archive_stream_close(struct reading *reading);
/* For libarchive: the next expanded bytes. */
la_ssize_t archive_stream_read(struct archive *archive, void *arg, const void **ret_data);
/* Expand what is behind the tar's end: only then all checksums were compared. */
int archive_stream_drain(struct reading *reading);

#endif
