/* SPDX-License-Identifier: MIT */
/*
 * core/tree - a dataset as an immutable, sorted list of entries: what one step hands to the next. A
 * tree is a list and not a copy: a filtered tree points at the entries it kept, and bytes stay
 * where they are until a push reads them. Here are entries, trees, walking a directory, reading an
 * entry's bytes with their checks, and manifests. The layer knows nothing of kinds of plugins.
 *
 * tree.h - entries and trees.
 *
 * Order: by path as bytes, except that `/` comes before every other byte; so a directory stands
 * right before all that is below it.
 */
#ifndef DRAY_TREE_TREE_H
#define DRAY_TREE_TREE_H

#include <stdint.h>

#include "core/base/digest.h"

#define DRAY_ENTRY_SHA256 1u /* sha256 is recorded: the bytes must have it */
#define DRAY_ENTRY_MD5    2u
#define DRAY_ENTRY_OURS   4u /* the bytes lie in our own scratch: nobody else can change them */

/* 128 bytes and its path: trees have millions of them. */
struct dray_tree_entry {
    const char *path; /* ends with NUL */
    const char *at;   /* file: where it lies below its root, NULL: at `path`; link: its target */
    const char *from; /* what the source calls it, where a transform renamed it; else NULL */
    uint64_t bytes;
    uint64_t offset; /* file: where its bytes begin */
    int64_t mtime;   /* ns */
    int64_t ctime;   /* ns; with device and inode: the file as it was walked */
    uint64_t device;
    uint64_t inode;     /* 0: not checked (a part of a container: the container is checked) */
    const uint8_t *md5; /* 16 bytes or NULL */
    uint32_t path_length;
    uint32_t root;       /* number in the roots */
    uint32_t link_group; /* not 0: hard links to each other within the tree */
    uint16_t mode;       /* 07777 at most */
    uint8_t type;        /* DRAY_FILE, ... */
    uint8_t flags;       /* DRAY_ENTRY_* */
    uint8_t sha256[DRAY_SHA256_BYTES];
};

/* Where bytes lie: directories and container files, opened once and shared by all trees of an
 * attempt. Thread-safe. */
struct dray_roots;
DRAY_MUST_CHECK struct dray_roots *dray_roots_new(void);
void dray_roots_free(struct dray_roots *roots);
/* Open a directory or a regular file (never through a link in the last part): its number. The same
 * path gives the same number. */
DRAY_MUST_CHECK int dray_roots_add(struct dray_roots *roots, const char *path, uint32_t *ret_root,
                                   struct dray_error *error);
/* A new number for dray_tree_entry.link_group, unique among all trees over these roots; 0 when they
 * ran out. */
uint32_t dray_roots_link_group(struct dray_roots *roots);

/* A tree; entries are shared with the trees it was made from. Reference counted, the count is
 * thread-safe. */
struct dray_tree {
    const struct dray_tree_entry *const *entries;
    size_t count;
    /* Totals over listed entries: files, links, and directories with nothing below them. */
    uint64_t listed;
    uint64_t bytes;
    int64_t root_mtime; /* of the dataset's root directory, ns */
    uint16_t root_mode; /* 0755 where the source has none */
    /* private */
    struct dray_tree_store **stores;
    size_t store_count;
    int references;
};
struct dray_tree *dray_tree_ref(struct dray_tree *tree);
void dray_tree_unref(struct dray_tree *tree); /* NULL is fine */
void dray_tree_unrefp(struct dray_tree **tree);
/* Fetch entry `index`, if there is one, into the processor's cache, ahead of its use: its path most
 * often lies right behind it. */
static inline void dray_tree_fetch(const struct dray_tree *tree, size_t index)
{
    if (index >= tree->count)
        return;
    const char *entry = (const char *)tree->entries[index];
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + 64);
    __builtin_prefetch(entry + 128);
}
/* Has entry `index` entries below it in this tree? */
int dray_tree_is_parent(const struct dray_tree *tree, size_t index);
/* The index of a path, or -1. */
int64_t dray_tree_find(const struct dray_tree *tree, const char *path, size_t length);
/* NULL, or why this is no path of an entry (as in "its path is ..."). */
const char *dray_path_fault(const char *path, size_t length);
int dray_path_compare(const char *a, size_t a_length, const char *b, size_t b_length);
/* SHA-256 over path, type, size, mode, mtime, link target and recorded digest of each entry, in
 * order. */
DRAY_MUST_CHECK int dray_tree_digest(const struct dray_tree *tree,
                                     uint8_t ret_digest[static DRAY_SHA256_BYTES]);
/* The revision of a source: SHA-256 over path, type, size and mtime; links by their target. As 64
 * hex digits. */
DRAY_MUST_CHECK char *dray_tree_revision(const struct dray_tree *tree);

/* A tree in the making. Thread-safe: sources and transforms may add from several threads. */
struct dray_tree_builder;
DRAY_MUST_CHECK struct dray_tree_builder *dray_tree_builder_new(void);
void dray_tree_builder_free(struct dray_tree_builder *builder);
void dray_tree_builder_freep(struct dray_tree_builder **builder);
/* Copies what it is given (path, at, md5; path_length is used, paths need not end with NUL).
 * Refuses, naming the path: an empty, absolute or `.`/`..`/`//` path, NUL inside, a segment over
 * 255 bytes, a path over 4000 (DRAY_INVALID), and `.dray` at the top, which is ours
 * (DRAY_CONFLICT). DRAY_ENTRY_MD5 follows from md5. */
DRAY_MUST_CHECK int dray_tree_builder_add(struct dray_tree_builder *builder,
                                          const struct dray_tree_entry *entry,
                                          struct dray_error *error);
/* Pass on an entry of `from` unchanged, without a copy; the builder keeps a reference to from's
 * stores. */
DRAY_MUST_CHECK int dray_tree_builder_keep(struct dray_tree_builder *builder,
                                           const struct dray_tree *from, size_t index,
                                           struct dray_error *error);
/* What is added is a delivery of ours: leave its `.dray` out instead of refusing it. */
void dray_tree_builder_delivery(struct dray_tree_builder *builder);
void dray_tree_builder_root(struct dray_tree_builder *builder, uint16_t mode, int64_t mtime);
/* Sort; add missing parent directories (mode 0755, mtime of the root); two entries of one path, or
 * an entry below a file or link, are DRAY_CONFLICT naming both, except two directories (the first
 * wins). Empties the builder. */
DRAY_MUST_CHECK int dray_tree_builder_finish(struct dray_tree_builder *builder,
                                             struct dray_tree **ret_tree, struct dray_error *error);
/* The ctime of the entry that made the last finish fail with DRAY_CONFLICT: the second of two of
 * one path, or the one below a file. */
int64_t dray_tree_builder_clash(const struct dray_tree_builder *builder);

/* A tree of the entries with keep[i] != 0. Directories that have entries below them in `tree` are
 * kept iff something below is, or when keep_empty and keep[i] (their keep[i] is looked at in no
 * other case). Keeps order; O(n). */
DRAY_MUST_CHECK int dray_tree_select(struct dray_tree *tree, const uint8_t *keep, int keep_empty,
                                     struct dray_tree **ret_tree, struct dray_error *error);
/* Join several trees; equal paths are DRAY_CONFLICT unless both are directories or the very same
 * entry. */
DRAY_MUST_CHECK int dray_tree_join(struct dray_tree *const *trees, size_t count,
                                   struct dray_tree **ret_tree, struct dray_error *error);

/* What happens to symbolic links, as the workflow's `tree: symlinks` says. `copy` puts a copy of
 * the file the link names in its place (only a file within the tree); a link that leaves the tree
 * is an error with keep and copy. */
enum dray_symlinks {
    DRAY_SYMLINKS_KEEP,
    DRAY_SYMLINKS_SKIP,
    DRAY_SYMLINKS_COPY,
    DRAY_SYMLINKS_FAIL
};
DRAY_MUST_CHECK int dray_tree_symlinks(struct dray_tree *tree, enum dray_symlinks what,
                                       struct dray_tree **ret_tree, struct dray_error *error);

#endif
