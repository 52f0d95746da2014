/* SPDX-License-Identifier: MIT */
/*
 * bytes.h - reading an entry's bytes once, with every check on the way: the file is the one that
 * was walked (device, inode, size, mtime, ctime on the open descriptor, before the first and after
 * the last read), and a recorded digest is compared. Where a digest is recorded it decides
 * (DRAY_INTEGRITY); else a difference is DRAY_CHANGED, and so is another size in any case.
 */
#ifndef DRAY_TREE_BYTES_H
#define DRAY_TREE_BYTES_H

#include "core/base/digest.h"
#include "core/base/pool.h"
#include "core/tree/tree.h"

/* What a thread keeps between files: digests, a buffer, the directory that it read from. One user
 * at a time, and for one dray_roots. Threads of the pool
 * help to copy large files; NULL: nobody does. */
struct dray_bytes_scratch;
DRAY_MUST_CHECK struct dray_bytes_scratch *dray_bytes_scratch_new(struct dray_pool *pool);
void dray_bytes_scratch_free(struct dray_bytes_scratch *scratch);

/* An open entry. */
struct dray_bytes {
    const struct dray_tree_entry *entry;
    struct dray_roots *roots;
    int fd;
    int owned;         /* fd is closed by dray_bytes_close (a container's stays open) */
    uint64_t position; /* bytes read */
    struct dray_digest *sha256;
    struct dray_digest *md5; /* NULL where none is recorded */
};
/* Open and check. */
DRAY_MUST_CHECK int dray_bytes_open(struct dray_bytes *bytes, struct dray_roots *roots,
                                    const struct dray_tree_entry *entry, struct dray_error *error);
/* Read up to size more bytes in order: the number, 0 at the end, or a class. Short files are
 * DRAY_CHANGED. */
DRAY_MUST_CHECK int64_t dray_bytes_read(struct dray_bytes *bytes, void *buffer, size_t size,
                                        struct dray_error *error);
/* After the last read: compare, and give the SHA-256. Frees all in any case; reading only a part
 * skips the digest checks (ret_sha256 NULL says so). */
DRAY_MUST_CHECK int dray_bytes_close(struct dray_bytes *bytes, uint8_t *ret_sha256,
                                     struct dray_error *error);

/* Copy a whole entry into an empty file at fd, hashing on the way, holes kept. Of an entry of 0
 * bytes fd may be -1. `progress` (may be
 * NULL) hears of the bytes done since its last call and returns non-zero to cancel. Where the entry
 * is ours and its digest recorded, the kernel may copy (copy_file_range) without reading here. */
DRAY_MUST_CHECK int dray_bytes_copy(struct dray_roots *roots, const struct dray_tree_entry *entry,
                                    int fd, struct dray_bytes_scratch *scratch,
                                    int (*progress)(void *arg, uint64_t bytes), void *arg,
                                    uint8_t ret_sha256[static DRAY_SHA256_BYTES],
                                    struct dray_error *error);

#endif
