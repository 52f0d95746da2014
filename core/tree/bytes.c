/* SPDX-License-Identifier: MIT */
/* bytes.c - opening an entry's bytes, proving that they are those of the walk, and reading them in
 * order. */
#include "core/tree/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/base/io.h"
#include "core/tree/internal.h"

/* ---- Messages ------------------------------------------------------------------------------ */

/* Where the bytes lie below their root; what they are called in a container. */
static const char *place_of(const struct dray_root *root, const struct dray_tree_entry *entry)
{
    if (root->directory && entry->at != NULL)
        return entry->at;
    return entry->path;
}

/* "reading /data/x/a/b" or "reading a/b in /data/x.tar", then why not. */
static int fail_source(const struct dray_root *root, const struct dray_tree_entry *entry,
                       int class_, const char *why, struct dray_error *error)
{
    const char *place = place_of(root, entry);
    int result;

    if (root->directory)
        result = dray_fail(error, class_, "reading %.400s/%.400s: %s", root->path, place, why);
    else
        result = dray_fail(error, class_, "reading %.400s in %.400s: %s", place, root->path, why);
    error->side = entry->flags & DRAY_ENTRY_OURS ? DRAY_SIDE_US : DRAY_SIDE_SOURCE;
    return result;
}

int dray_source_failed(const struct dray_root *root, const struct dray_tree_entry *entry,
                       int errnum, struct dray_error *error)
{
    const char *place = place_of(root, entry);
    int result;

    if (root->directory)
        result = dray_fail_errno(error, errnum, "reading %.400s/%.400s", root->path, place);
    else
        result = dray_fail_errno(error, errnum, "reading %.400s in %.400s", place, root->path);
    error->side = entry->flags & DRAY_ENTRY_OURS ? DRAY_SIDE_US : DRAY_SIDE_SOURCE;
    return result;
}

static int fail_size(const struct dray_root *root, const struct dray_tree_entry *entry,
                     uint64_t then, uint64_t now, struct dray_error *error)
{
    char why[128];

    (void)snprintf(why, sizeof why,
                   "it changed since it was listed: it had %llu bytes and has %llu",
                   (unsigned long long)then, (unsigned long long)now);
    return fail_source(root, entry, DRAY_CHANGED, why, error);
}

int dray_source_short(const struct dray_root *root, const struct dray_tree_entry *entry,
                      uint64_t position, struct dray_error *error)
{
    char why[128];

    (void)snprintf(why, sizeof why,
                   "it changed while it was read: it ended after %llu of %llu bytes",
                   (unsigned long long)position, (unsigned long long)entry->bytes);
    return fail_source(root, entry, DRAY_CHANGED, why, error);
}

/* ---- Is it the file that was listed? ------------------------------------------------------- */

/* NULL, or what is different. */
static const char *difference(const struct dray_file_identity *now,
                              const struct dray_file_identity *then)
{
    if (now->device != then->device || now->inode != then->inode)
        return "it was replaced by another file since it was listed";
    if (now->bytes != then->bytes || now->mtime != then->mtime)
        return "it changed since it was listed";
    if (now->ctime != then->ctime)
        return "it changed since it was listed (its status, or its content with the old time set)";
    return NULL;
}

static int check(const struct dray_root *root, const struct statx *status,
                 const struct dray_tree_entry *entry, struct dray_error *error)
{
    struct dray_file_identity now = dray_file_identity_of(status);
    struct dray_file_identity then = root->identity;
    const char *why = NULL;

    if (!S_ISREG(status->stx_mode))
        return fail_source(root, entry, DRAY_CHANGED, "it is no regular file any more", error);
    if (root->directory) {
        then = (struct dray_file_identity){entry->device, entry->inode, entry->bytes, entry->mtime,
                                           entry->ctime};
        if (entry->inode != 0)
            why = difference(&now, &then);
    } else {
        why = difference(&now, &then);
    }
    /* With another size the bytes cannot be those that were listed, whatever is recorded. */
    if (now.bytes < entry->offset + entry->bytes && why == NULL)
        return fail_source(root, entry, DRAY_INTEGRITY, "it ends before its last byte", error);
    if (now.bytes < entry->offset + entry->bytes ||
        (root->directory && entry->inode != 0 && now.bytes != entry->bytes))
        return fail_size(root, entry, then.bytes, now.bytes, error);
    /* Where a digest is recorded it decides, once all is read. */
    if (why == NULL || (entry->flags & (DRAY_ENTRY_SHA256 | DRAY_ENTRY_MD5)))
        return 0;
    return fail_source(root, entry, DRAY_CHANGED, why, error);
}

int dray_source_recheck(const struct dray_root *root, int fd, const struct dray_tree_entry *entry,
                        struct dray_error *error)
{
    struct statx status;

    if (dray_status_of(fd, &status) != 0)
        return dray_source_failed(root, entry, errno, error);
    return check(root, &status, entry, error);
}

static int find_root(struct dray_roots *roots, const struct dray_tree_entry *entry,
                     const struct dray_root **ret_root, struct dray_error *error)
{
    const struct dray_root *root = dray_roots_get(roots, entry->root);

    if (entry->type == DRAY_FILE && entry->root == DRAY_NO_ROOT)
        return dray_fail(error, DRAY_BUG,
                         "reading \"%.400s\": it was not brought, since a filter said that it "
                         "drops it, and kept it later",
                         entry->path);
    if (root == NULL || entry->type != DRAY_FILE)
        return dray_fail(error, DRAY_BUG, "reading \"%.400s\": it is %s of root %u", entry->path,
                         dray_tree_type_name(entry->type), entry->root);
    *ret_root = root;
    return 0;
}

static int fail_finding(const struct dray_root *root, const struct dray_tree_entry *entry,
                        int errnum, struct dray_error *error)
{
    if (errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP)
        return fail_source(root, entry, DRAY_CHANGED, "it is no longer there as it was listed",
                           error);
    return dray_source_failed(root, entry, errnum, error);
}

int dray_source_open_unchecked(struct dray_source_file *ret_file, struct dray_roots *roots,
                               struct dray_source_folder *folder,
                               const struct dray_tree_entry *entry, struct dray_error *error)
{
    struct dray_source_file file = {.fd = -1};
    int result = find_root(roots, entry, &file.root, error);

    if (result != 0)
        return result;
    if (file.root->directory) {
        const char *below = place_of(file.root, entry);
        int from = folder == NULL
                       ? file.root->fd
                       : dray_source_folder_find(folder, roots, file.root, below, 0, &below);
        if (from >= 0)
            file.fd = dray_roots_open_below(roots, from, below, O_RDONLY | O_NOCTTY);
        file.owned = 1;
    } else {
        file.fd = file.root->fd;
    }
    if (file.fd < 0)
        return fail_finding(file.root, entry, errno, error);
    *ret_file = file;
    return 0;
}

int dray_source_look(struct dray_source_file *ret_file, struct dray_roots *roots,
                     struct dray_source_folder *folder, const struct dray_tree_entry *entry,
                     struct dray_error *error)
{
    struct dray_source_file file = {.fd = -1};
    const char *below;
    int result = find_root(roots, entry, &file.root, error);

    if (result != 0)
        return result;
    int from =
        dray_source_folder_find(folder, roots, file.root, place_of(file.root, entry), 1, &below);
    if (from < 0 || statx(from, below, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
                          &file.status) != 0)
        return fail_finding(file.root, entry, errno, error);
    result = check(file.root, &file.status, entry, error);
    if (result == 0)
        *ret_file = file;
    return result;
}

int dray_source_open(struct dray_source_file *ret_file, struct dray_roots *roots,
                     struct dray_source_folder *folder, const struct dray_tree_entry *entry,
                     struct dray_error *error)
{
    struct dray_source_file file;
    int result = dray_source_open_unchecked(&file, roots, folder, entry, error);

    if (result != 0)
        return result;
    result = dray_status_of(file.fd, &file.status) != 0
                 ? dray_source_failed(file.root, entry, errno, error)
                 : check(file.root, &file.status, entry, error);
    if (result != 0) {
        if (file.owned)
            (void)close(file.fd);
        return result;
    }
    *ret_file = file;
    return 0;
}

int dray_source_settle(const struct dray_root *root, const struct dray_tree_entry *entry,
                       const uint8_t *sha256, const uint8_t *md5, struct dray_error *error)
{
    char found[DRAY_SHA256_HEX];
    char recorded[DRAY_SHA256_HEX];
    char why[2 * DRAY_SHA256_HEX + 64];
    const char *kind = NULL;

    if ((entry->flags & DRAY_ENTRY_SHA256) &&
        memcmp(sha256, entry->sha256, DRAY_SHA256_BYTES) != 0) {
        kind = "SHA-256";
        dray_hex(sha256, DRAY_SHA256_BYTES, found);
        dray_hex(entry->sha256, DRAY_SHA256_BYTES, recorded);
    } else if (md5 != NULL && memcmp(md5, entry->md5, DRAY_MD5_BYTES) != 0) {
        kind = "MD5";
        dray_hex(md5, DRAY_MD5_BYTES, found);
        dray_hex(entry->md5, DRAY_MD5_BYTES, recorded);
    }
    if (kind == NULL)
        return 0;
    (void)snprintf(why, sizeof why, "its %s is %s, recorded is %s", kind, found, recorded);
    return fail_source(root, entry, DRAY_INTEGRITY, why, error);
}

/* ---- Reading in order ---------------------------------------------------------------------- */

static void release(struct dray_bytes *bytes)
{
    dray_digest_free(bytes->sha256);
    dray_digest_free(bytes->md5);
    if (bytes->owned && bytes->fd >= 0)
        (void)close(bytes->fd);
    bytes->sha256 = NULL;
    bytes->md5 = NULL;
    bytes->fd = -1;
}

static int start_digests(struct dray_bytes *bytes, struct dray_error *error)
{
    int with_md5 = bytes->entry->flags & DRAY_ENTRY_MD5;

    bytes->sha256 = dray_digest_new(DRAY_SHA256);
    bytes->md5 = with_md5 ? dray_digest_new(DRAY_MD5) : NULL;
    if (bytes->sha256 == NULL || (with_md5 && bytes->md5 == NULL) ||
        dray_digest_start(bytes->sha256) != 0 || (with_md5 && dray_digest_start(bytes->md5) != 0))
        return dray_fail(error, DRAY_UNSUPPORTED,
                         "reading \"%.400s\": the cryptographic library computes no %s",
                         bytes->entry->path, bytes->sha256 == NULL ? "SHA-256" : "MD5");
    return 0;
}

int dray_bytes_open(struct dray_bytes *bytes, struct dray_roots *roots,
                    const struct dray_tree_entry *entry, struct dray_error *error)
{
    struct dray_source_file file;

    *bytes = (struct dray_bytes){.entry = entry, .roots = roots, .fd = -1};
    int result = dray_source_open(&file, roots, NULL, entry, error);
    if (result != 0)
        return result;
    bytes->fd = file.fd;
    bytes->owned = file.owned;
    result = start_digests(bytes, error);
    if (result != 0)
        release(bytes);
    return result;
}

int64_t dray_bytes_read(struct dray_bytes *bytes, void *buffer, size_t size,
                        struct dray_error *error)
{
    const struct dray_tree_entry *entry = bytes->entry;
    const struct dray_root *root = dray_roots_get(bytes->roots, entry->root);
    uint64_t left = entry->bytes - bytes->position;
    size_t wanted = size < left ? size : (size_t)left;

    if (wanted == 0)
        return 0;
    ssize_t got = dray_pread_full(bytes->fd, buffer, wanted, entry->offset + bytes->position);
    if (got < 0)
        return dray_source_failed(root, entry, errno, error);
    if ((size_t)got < wanted)
        return dray_source_short(root, entry, bytes->position + (uint64_t)got, error);
    int result = dray_digest_add(bytes->sha256, buffer, wanted);
    if (result == 0 && bytes->md5 != NULL)
        result = dray_digest_add(bytes->md5, buffer, wanted);
    if (result != 0)
        return dray_fail(error, result, "hashing \"%.400s\": the cryptographic library failed",
                         entry->path);
    bytes->position += wanted;
    return (int64_t)wanted;
}

static int settle(struct dray_bytes *bytes, const struct dray_root *root, uint8_t *ret_sha256,
                  struct dray_error *error)
{
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t md5[DRAY_MD5_BYTES];
    int result = dray_digest_end(bytes->sha256, sha256);

    if (result == 0 && bytes->md5 != NULL)
        result = dray_digest_end(bytes->md5, md5);
    if (result != 0)
        return dray_fail(error, result, "hashing \"%.400s\": the cryptographic library failed",
                         bytes->entry->path);
    result = dray_source_settle(root, bytes->entry, sha256, bytes->md5 == NULL ? NULL : md5, error);
    if (result == 0 && ret_sha256 != NULL)
        memcpy(ret_sha256, sha256, sizeof sha256);
    return result;
}

int dray_bytes_close(struct dray_bytes *bytes, uint8_t *ret_sha256, struct dray_error *error)
{
    const struct dray_tree_entry *entry = bytes->entry;
    const struct dray_root *root = dray_roots_get(bytes->roots, entry->root);
    int result = dray_source_recheck(root, bytes->fd, entry, error);

    if (result == 0 && bytes->position == entry->bytes)
        result = settle(bytes, root, ret_sha256, error);
    else if (result == 0 && ret_sha256 != NULL)
        result = dray_fail(error, DRAY_BUG, "reading \"%.400s\": closed after %llu of %llu bytes",
                           entry->path, (unsigned long long)bytes->position,
                           (unsigned long long)entry->bytes);
    release(bytes);
    return result;
}
