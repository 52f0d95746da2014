/* SPDX-License-Identifier: MIT */
/*
 * copy.c - a whole entry into an empty file, hashed on the way. This is what a delivery spends its
 * time in: for a small file it is openat2, pread, write, statx, close, for an empty one statx, and
 * nothing may be added to that without measuring.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/base/io.h"
#include "core/tree/bytes.h"
#include "core/tree/internal.h"

/* Hashing and writing find the bytes still in the core's own cache. */
#define CHUNK      ((size_t)256 << 10)
#define PAGE       4096
#define READ_AHEAD ((uint64_t)4 << 20)  /* from this size on the kernel is told what comes */
#define KERNEL_MAX ((size_t)64 << 20)   /* between two questions whether to go on */
#define SHARED     ((uint64_t)16 << 20) /* from this size on other threads help */

struct dray_bytes_scratch {
    struct dray_pool *pool; /* NULL: none */
    struct dray_digest *sha256;
    struct dray_digest *md5; /* NULL until one is needed */
    uint8_t *buffer;         /* CHUNK bytes */
    struct dray_source_folder folder;
};

struct dray_bytes_scratch *dray_bytes_scratch_new(struct dray_pool *pool)
{
    struct dray_bytes_scratch *scratch = calloc(1, sizeof *scratch);

    if (scratch == NULL)
        return NULL;
    scratch->pool = pool;
    scratch->folder.fd = -1;
    scratch->sha256 = dray_digest_new(DRAY_SHA256);
    scratch->buffer = aligned_alloc(PAGE, CHUNK);
    if (scratch->sha256 == NULL || scratch->buffer == NULL) {
        dray_bytes_scratch_free(scratch);
        return NULL;
    }
    return scratch;
}

void dray_bytes_scratch_free(struct dray_bytes_scratch *scratch)
{
    if (scratch == NULL)
        return;
    dray_digest_free(scratch->sha256);
    dray_digest_free(scratch->md5);
    dray_source_folder_close(&scratch->folder);
    free(scratch->buffer);
    free(scratch);
}

/* One copy. */
struct copy {
    const struct dray_tree_entry *entry;
    const struct dray_root *root;
    int from;
    int to;
    struct dray_bytes_scratch *scratch;
    struct dray_digest *md5; /* NULL: not needed */
    int in_kernel;   /* the one digest recorded is known and the bytes are ours: nobody sees them */
    uint64_t unseen; /* bytes that were not hashed: the digest is the recorded one */
    int (*progress)(void *arg, uint64_t bytes);
    void *arg;
    struct dray_error *error;
};

static int fail_digest(struct copy *copy, int class_)
{
    return dray_fail(copy->error, class_, "hashing \"%.400s\": the cryptographic library failed",
                     copy->entry->path);
}

static int fail_write(struct copy *copy, int errnum)
{
    int result =
        dray_fail_errno(copy->error, errnum, "writing the copy of \"%.400s\"", copy->entry->path);

    copy->error->side = DRAY_SIDE_TARGET;
    return result;
}

static int report(struct copy *copy, uint64_t bytes)
{
    if (copy->progress == NULL || copy->progress(copy->arg, bytes) == 0)
        return 0;
    return dray_fail(copy->error, DRAY_CANCELLED, "copying \"%.400s\": cancelled",
                     copy->entry->path);
}

static int hash(struct copy *copy, size_t length)
{
    if (copy->unseen > 0)
        return 0;
    int result = dray_digest_add(copy->scratch->sha256, copy->scratch->buffer, length);

    if (result == 0 && copy->md5 != NULL)
        result = dray_digest_add(copy->md5, copy->scratch->buffer, length);
    return result == 0 ? 0 : fail_digest(copy, result);
}

/* ---- Spans --------------------------------------------------------------------------------- */

/* Spans are [from, to) of the entry's bytes; the target's offset is at `from`, and at `to`
 * afterwards. */
static int copy_read(struct copy *copy, uint64_t from, uint64_t to)
{
    for (uint64_t position = from; position < to;) {
        size_t wanted = to - position < CHUNK ? (size_t)(to - position) : CHUNK;
        ssize_t got = dray_pread_full(copy->from, copy->scratch->buffer, wanted,
                                      copy->entry->offset + position);
        if (got < 0)
            return dray_source_failed(copy->root, copy->entry, errno, copy->error);
        if ((size_t)got < wanted)
            return dray_source_short(copy->root, copy->entry, position + (uint64_t)got,
                                     copy->error);
        int result = hash(copy, wanted);
        if (result != 0)
            return result;
        if (dray_write_all(copy->to, copy->scratch->buffer, wanted) != 0)
            return fail_write(copy, errno);
        result = report(copy, wanted);
        if (result != 0)
            return result;
        position += wanted;
    }
    return 0;
}

/* Not between these two files, or not on this kernel. */
static int is_unsupported(int errnum)
{
    return errnum == EXDEV || errnum == EINVAL || errnum == ENOSYS || errnum == EOPNOTSUPP ||
           errnum == EPERM || errnum == ETXTBSY;
}

/* Copies what the kernel will, at most up to `to`: *position is how far it came. */
static int copy_inside(struct copy *copy, uint64_t *position, uint64_t to)
{
    while (*position < to) {
        off_t offset = (off_t)(copy->entry->offset + *position);
        size_t wanted = to - *position < KERNEL_MAX ? (size_t)(to - *position) : KERNEL_MAX;
        ssize_t copied = copy_file_range(copy->from, &offset, copy->to, NULL, wanted, 0);
        if (copied < 0 && errno == EINTR)
            continue;
        /* Some file systems answer 0 for what they cannot copy; reading tells whether the file
         * ended. */
        if (copied == 0 || (copied < 0 && is_unsupported(errno)))
            return 0;
        if (copied < 0)
            return dray_fail_errno(copy->error, errno, "copying \"%.400s\" to the target",
                                   copy->entry->path);
        *position += (uint64_t)copied;
        copy->unseen += (uint64_t)copied;
        int result = report(copy, (uint64_t)copied);
        if (result != 0)
            return result;
    }
    return 0;
}

static int copy_data(struct copy *copy, uint64_t from, uint64_t to)
{
    int result = copy->in_kernel ? copy_inside(copy, &from, to) : 0;

    return result != 0 ? result : copy_read(copy, from, to);
}

/* A hole stays one; the digest sees its zeros. */
static int copy_hole(struct copy *copy, uint64_t from, uint64_t to)
{
    if (lseek(copy->to, (off_t)(to - from), SEEK_CUR) < 0)
        return fail_write(copy, errno);
    if (copy->in_kernel)
        copy->unseen += to - from;
    else
        memset(copy->scratch->buffer, 0, CHUNK);
    while (from < to) {
        size_t length = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
        int result = hash(copy, length);
        if (result == 0)
            result = report(copy, length);
        if (result != 0)
            return result;
        from += length;
    }
    return 0;
}

/* Where the next data, or the next hole, begins in the entry's bytes; the end when there is none
 * before. */
static int seek(struct copy *copy, uint64_t from, int whence, uint64_t *ret_position)
{
    uint64_t start = copy->entry->offset;
    off_t found = lseek(copy->from, (off_t)(start + from), whence);

    if (found < 0 && errno == ENXIO)
        *ret_position = copy->entry->bytes;
    else if (found < 0 && errno == EINVAL) /* a file system that does not say: all is data */
        *ret_position = whence == SEEK_DATA ? from : copy->entry->bytes;
    else if (found < 0)
        return dray_source_failed(copy->root, copy->entry, errno, copy->error);
    else if ((uint64_t)found - start > copy->entry->bytes)
        *ret_position = copy->entry->bytes;
    else
        *ret_position = (uint64_t)found - start;
    return 0;
}

static int copy_sparse(struct copy *copy)
{
    uint64_t size = copy->entry->bytes;
    uint64_t data;
    uint64_t hole;

    for (uint64_t position = 0; position < size; position = hole) {
        int result = seek(copy, position, SEEK_DATA, &data);
        if (result == 0 && data > position)
            result = copy_hole(copy, position, data);
        hole = size;
        if (result == 0 && data < size)
            result = seek(copy, data, SEEK_HOLE, &hole);
        if (result == 0)
            result = copy_data(copy, data, hole);
        if (result != 0)
            return result;
    }
    /* Seeking past the end does not make a file longer. */
    if (ftruncate(copy->to, (off_t)size) != 0)
        return fail_write(copy, errno);
    return 0;
}

/* ---- The whole ----------------------------------------------------------------------------- */

static int start(struct copy *copy)
{
    struct dray_bytes_scratch *scratch = copy->scratch;
    int result = dray_digest_start(scratch->sha256);

    if (copy->entry->flags & DRAY_ENTRY_MD5) {
        if (scratch->md5 == NULL)
            scratch->md5 = dray_digest_new(DRAY_MD5);
        if (scratch->md5 == NULL)
            return dray_fail(copy->error, DRAY_UNSUPPORTED,
                             "copying \"%.400s\": the cryptographic library computes no MD5, "
                             "which is recorded for it",
                             copy->entry->path);
        copy->md5 = scratch->md5;
        if (result == 0)
            result = dray_digest_start(copy->md5);
    }
    return result == 0 ? 0 : fail_digest(copy, result);
}

static int settle(struct copy *copy, uint8_t ret_sha256[static DRAY_SHA256_BYTES])
{
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t md5[DRAY_MD5_BYTES];

    if (copy->unseen > 0) {
        memcpy(ret_sha256, copy->entry->sha256, DRAY_SHA256_BYTES);
        return 0;
    }
    int result = dray_digest_end(copy->scratch->sha256, sha256);
    if (result == 0 && copy->md5 != NULL)
        result = dray_digest_end(copy->md5, md5);
    if (result != 0)
        return fail_digest(copy, result);
    result = dray_source_settle(copy->root, copy->entry, sha256, copy->md5 == NULL ? NULL : md5,
                                copy->error);
    if (result == 0)
        memcpy(ret_sha256, sha256, sizeof sha256);
    return result;
}

/* A file with fewer blocks than bytes has holes, or is compressed, which seeking tells apart. */
static int may_have_holes(const struct statx *status, uint64_t bytes)
{
    return bytes > PAGE && status->stx_blocks < status->stx_size / 512;
}

/* A file that one read takes whole is checked once, after it: a change before the read shows in its
 * ctime then as well. */
static int is_one_read(const struct dray_tree_entry *entry)
{
    return entry->bytes > 0 && entry->bytes <= PAGE;
}

/* A file in which nothing is read needs not be opened: looking at it says all. One of our own
 * scratch has no identity to look at. */
static int is_seen_whole(struct dray_roots *roots, const struct dray_tree_entry *entry)
{
    const struct dray_root *root = dray_roots_get(roots, entry->root);

    return entry->bytes == 0 && entry->inode != 0 && root != NULL && root->directory;
}

static int find_source(struct dray_source_file *ret_file, struct dray_roots *roots,
                       const struct dray_tree_entry *entry, struct dray_source_folder *folder,
                       struct dray_error *error)
{
    if (is_seen_whole(roots, entry))
        return dray_source_look(ret_file, roots, folder, entry, error);
    if (is_one_read(entry))
        return dray_source_open_unchecked(ret_file, roots, folder, entry, error);
    return dray_source_open(ret_file, roots, folder, entry, error);
}

static int copy_shared(struct copy *copy)
{
    struct dray_ranges ranges = {
        .entry = copy->entry,
        .root = copy->root,
        .from = copy->from,
        .to = copy->to,
        .sha256 = copy->scratch->sha256,
        .md5 = copy->md5,
        .progress = copy->progress,
        .arg = copy->arg,
        .error = copy->error,
    };

    return dray_copy_ranges(copy->scratch->pool, &ranges);
}

/* A read of a file that nobody had checked failed: if it is not the one that was listed, that is
 * the reason. */
static int explain(struct copy *copy)
{
    struct dray_error seen = *copy->error;
    int result = dray_source_recheck(copy->root, copy->from, copy->entry, copy->error);

    if (result != 0)
        return result;
    *copy->error = seen;
    return seen.class_;
}

static int copy_all(struct copy *copy, const struct dray_source_file *file,
                    uint8_t ret_sha256[static DRAY_SHA256_BYTES])
{
    uint64_t size = copy->entry->bytes;
    int result = start(copy);

    if (result != 0)
        return result;
    if (size >= READ_AHEAD && file->owned)
        (void)posix_fadvise(copy->from, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (may_have_holes(&file->status, size))
        result = copy_sparse(copy);
    else if (size >= SHARED && copy->scratch->pool != NULL && !copy->in_kernel)
        result = copy_shared(copy);
    else
        result = copy_data(copy, 0, size);
    /* Nothing was read of an empty file since it was checked. */
    if (result != 0 && is_one_read(copy->entry) && copy->error->side != DRAY_SIDE_TARGET)
        result = explain(copy);
    if (result == 0 && size > 0)
        result = dray_source_recheck(copy->root, copy->from, copy->entry, copy->error);
    return result != 0 ? result : settle(copy, ret_sha256);
}

int dray_bytes_copy(struct dray_roots *roots, const struct dray_tree_entry *entry, int fd,
                    struct dray_bytes_scratch *scratch, int (*progress)(void *arg, uint64_t bytes),
                    void *arg, uint8_t ret_sha256[static DRAY_SHA256_BYTES],
                    struct dray_error *error)
{
    struct dray_source_file file;
    int result = find_source(&file, roots, entry, &scratch->folder, error);

    if (result != 0)
        return result;
    struct copy copy = {
        .entry = entry,
        .root = file.root,
        .from = file.fd,
        .to = fd,
        .scratch = scratch,
        .in_kernel = (entry->flags & (DRAY_ENTRY_OURS | DRAY_ENTRY_SHA256 | DRAY_ENTRY_MD5)) ==
                     (DRAY_ENTRY_OURS | DRAY_ENTRY_SHA256),
        .progress = progress,
        .arg = arg,
        .error = error,
    };
    result = copy_all(&copy, &file, ret_sha256);
    if (file.owned)
        (void)close(file.fd);
    return result;
}
