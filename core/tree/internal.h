/* SPDX-License-Identifier: MIT */
/* internal.h - what the files of core/tree share with each other and with nobody else. */
#ifndef DRAY_TREE_INTERNAL_H
#define DRAY_TREE_INTERNAL_H

#include <sys/stat.h>

#include "core/base/digest.h"
#include "core/base/pool.h"
#include "core/tree/tree.h"

/* The longest path of an entry, and the longest target of a link. */
#define DRAY_PATH_LONGEST 4000
#define DRAY_LINK_LONGEST 4095

/* How much of a path from outside a message shows, so that two of them leave room for the reason:
 * printf("%.*s", DRAY_SHOWN(path, length)). */
#define DRAY_SHOWN(PATH, LENGTH) ((LENGTH) < 400 ? (int)(LENGTH) : 400), (PATH)

/* Is `path` below `folder`? */
int dray_path_is_below(const char *path, size_t length, const char *folder, size_t folder_length);
/* Nanoseconds; a time outside their range (1677 to 2262) is the nearest that is inside. */
int64_t dray_tree_time(int64_t seconds, int64_t nanoseconds);
/* "a file", "a directory", "a symbolic link". */
const char *dray_tree_type_name(uint8_t type);

/* Where entries and their paths lie in memory. Shared by every tree that lists one of them. */
struct dray_tree_store {
    struct dray_arena arena;
    int references;
};

/* What becomes a tree: entries in any order, and the stores they lie in. */
struct dray_tree_parts {
    const struct dray_tree_entry **entries;
    size_t count;
    size_t capacity;
    struct dray_tree_store **stores; /* a reference to each */
    size_t store_count;
    size_t store_capacity;
    struct dray_tree_store *own; /* one of them: where new entries are made; NULL: none yet */
    int64_t root_mtime;
    uint16_t root_mode;
    int64_t clash; /* ctime of the entry that could not be assembled with another */
};

void dray_tree_parts_clear(struct dray_tree_parts *parts);
/* Refer to the stores of a tree. */
DRAY_MUST_CHECK int dray_tree_parts_adopt(struct dray_tree_parts *parts,
                                          const struct dray_tree *tree);
/* A copy of an entry in the parts' own store, not listed yet. NULL: no memory. */
DRAY_MUST_CHECK const struct dray_tree_entry *dray_tree_parts_copy(
    struct dray_tree_parts *parts, const struct dray_tree_entry *entry);
DRAY_MUST_CHECK int dray_tree_parts_list(struct dray_tree_parts *parts,
                                         const struct dray_tree_entry *entry);
/* Make a tree of sorted, complete entries and empty the parts. */
DRAY_MUST_CHECK int dray_tree_parts_seal(struct dray_tree_parts *parts, struct dray_tree **ret_tree,
                                         struct dray_error *error);
/* Sort, add parents, check, seal. `same_is_one`: an entry listed twice counts once. */
DRAY_MUST_CHECK int dray_tree_parts_assemble(struct dray_tree_parts *parts, int same_is_one,
                                             struct dray_tree **ret_tree, struct dray_error *error);

/* Sort by path; equal paths keep their order. 0, or -1 when memory is out. */
DRAY_MUST_CHECK int dray_tree_sort(const struct dray_tree_entry **entries, size_t count);

/* A file as it was when we looked. */
struct dray_file_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t bytes;
    int64_t mtime;
    int64_t ctime;
};

/* One root. Never moves and never changes once it has its number. */
struct dray_root {
    char *path;
    int fd;
    int directory;
    uint16_t mode;
    struct dray_file_identity identity;
};

struct dray_file_identity dray_file_identity_of(const struct statx *status);
/* The status of an open file; 0, or -1 with errno. */
int dray_status_of(int fd, struct statx *ret_status);
/* NULL for a number that was never given. */
const struct dray_root *dray_roots_get(struct dray_roots *roots, uint32_t root);
/* Open `path` below a directory for reading, through no link and never outside: a descriptor, or -1
 * with errno. */
int dray_roots_open_below(struct dray_roots *roots, int directory, const char *path, int flags);

/* The directory that a thread read from last; what is found is for one dray_roots. At its start:
 * {.fd = -1}. */
struct dray_source_folder {
    const struct dray_root *root; /* NULL: none yet */
    int fd;                       /* -1: nothing else was looked for in it yet */
    size_t length;
    char path[DRAY_PATH_LONGEST + 1];
};
void dray_source_folder_close(struct dray_source_folder *folder);
/* Where to look for `place`, a path below `root`, which is a directory: a descriptor, borrowed, and
 * the path below that; -1 with errno. `at_once`: that is one name, which no link can lead from. */
int dray_source_folder_find(struct dray_source_folder *folder, struct dray_roots *roots,
                            const struct dray_root *root, const char *place, int at_once,
                            const char **ret_below);

/* An entry's file, open and found to be the one that was listed. */
struct dray_source_file {
    const struct dray_root *root;
    int fd;
    int owned; /* to be closed */
    struct statx status;
};
DRAY_MUST_CHECK int dray_source_open(struct dray_source_file *ret_file, struct dray_roots *roots,
                                     struct dray_source_folder *folder,
                                     const struct dray_tree_entry *entry, struct dray_error *error);
/* Only open: ret_file->status stays empty. It must be rechecked after the read. `folder` may be
 * NULL. */
DRAY_MUST_CHECK int dray_source_open_unchecked(struct dray_source_file *ret_file,
                                               struct dray_roots *roots,
                                               struct dray_source_folder *folder,
                                               const struct dray_tree_entry *entry,
                                               struct dray_error *error);
/* Of an empty file of a directory: is it the one that was listed? It is not opened, as there is
 * nothing to read: what the name leads to has the device, inode, size and times that were listed,
 * or it fails. ret_file->fd stays -1. */
DRAY_MUST_CHECK int dray_source_look(struct dray_source_file *ret_file, struct dray_roots *roots,
                                     struct dray_source_folder *folder,
                                     const struct dray_tree_entry *entry, struct dray_error *error);
/* Is it still that file? */
DRAY_MUST_CHECK int dray_source_recheck(const struct dray_root *root, int fd,
                                        const struct dray_tree_entry *entry,
                                        struct dray_error *error);
/* It ended, `position` bytes into the entry. */
int dray_source_short(const struct dray_root *root, const struct dray_tree_entry *entry,
                      uint64_t position, struct dray_error *error);
int dray_source_failed(const struct dray_root *root, const struct dray_tree_entry *entry,
                       int errnum, struct dray_error *error);
/* Compare with what is recorded; md5 is NULL when none was computed. */
DRAY_MUST_CHECK int dray_source_settle(const struct dray_root *root,
                                       const struct dray_tree_entry *entry, const uint8_t *sha256,
                                       const uint8_t *md5, struct dray_error *error);

/* A large file to copy: all bytes of the entry to the start of `to`. `progress` may come from any
 * thread. */
struct dray_ranges {
    const struct dray_tree_entry *entry;
    const struct dray_root *root;
    int from, to;
    struct dray_digest *sha256, *md5; /* started; md5 may be NULL */
    int (*progress)(void *arg, uint64_t bytes);
    void *arg;
    struct dray_error *error;
};
DRAY_MUST_CHECK int dray_copy_ranges(struct dray_pool *pool, const struct dray_ranges *file);

#endif
