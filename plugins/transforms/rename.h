/* SPDX-License-Identifier: MIT */
/* rename.h - what the files of transform/rename share: its options, one path on its way through
 * them, and the tree that is made of it. */
#ifndef DRAY_TRANSFORMS_RENAME_H
#define DRAY_TRANSFORMS_RENAME_H

#include <dray/plugin.h>

#include <stddef.h>
#include <stdint.h>

/* What a path may have on its way; what comes out is shorter. */
#define RENAME_ROOM    8192
#define RENAME_LONGEST 4000
#define RENAME_SEGMENT 255

/* printf("%.*s", SHOWN(path, length)): messages hold two paths and the reason. */
#define SHOWN(PATH, LENGTH) ((LENGTH) < 400 ? (int)(LENGTH) : 400), (PATH)

enum { CASE_KEEP, CASE_LOWER, CASE_UPPER };
enum { UNICODE_KEEP, UNICODE_NFC };
enum { SAFE_NONE, SAFE_WINDOWS, SAFE_OBJECT_STORE };

struct rename_regex; /* compiled patterns with their replacements */

struct rename {
    int64_t strip;
    const char *strip_prefix;
    struct dray_map map;
    struct dray_map regex;
    const char *prefix;
    int64_t letters; /* `case` */
    int64_t unicode;
    int64_t safe;
    const char *mapping;
    uint64_t *by_key; /* rows of `map` in the order of their keys */
    struct rename_regex *compiled;
};

/* A path on its way through the options. */
struct rename_path {
    char bytes[RENAME_ROOM];
    size_t length;
    char spare[RENAME_ROOM]; /* where the next one is made */
};

/* Compile `regex`; every fault is reported. NULL where there are none. */
int rename_regex_compile(struct dray_ctx *ctx, const struct dray_map *map,
                         struct rename_regex **ret_regex);
void rename_regex_free(struct rename_regex *regex);
int rename_regex_apply(struct dray_ctx *ctx, const struct rename_regex *regex,
                       struct rename_path *path);

/* Sort `map`, check it and the prefixes. */
int rename_path_prepare(struct rename *rename, struct dray_ctx *ctx);
/* The new path of an entry; fails where it cannot be one, naming the entry. */
int rename_path_make(const struct rename *rename, struct dray_ctx *ctx, const char *old,
                     size_t length, struct rename_path *path);
/* NULL, or why it is no path of an entry: "would be empty". */
const char *rename_path_fault(const char *path, size_t length);
/* Put `length` bytes in the place of the path; 0, or -1 when there is no room. */
int rename_path_set(struct rename_path *path, const char *bytes, size_t length);

/* Names that are safe on Windows or in an object store. */
int rename_safe_apply(int64_t safe, struct rename_path *path);
/* NULL, or why the place cannot take it. */
const char *rename_safe_fault(int64_t safe, const char *path, size_t length);
/* As Windows compares names: text of its own (free), NULL when memory is out. */
char *rename_safe_fold(const char *path, size_t length, size_t *ret_length);

/* An entry with its new path. Directories that have something below them get theirs from that. */
struct rename_node {
    const char *path; /* NULL: no one place (a directory); borrowed for such, else in the arena */
    uint32_t length;
    uint32_t old_length;
    const char *old; /* in the arena */
    const char *key; /* of what is not a parent: by which collisions are found */
    uint64_t end;    /* behind all that is below it: a number of a node */
    uint64_t above;  /* the directory that it is in: a number of a node, the last is the root */
    uint32_t key_length;
    uint32_t mode;
    int64_t mtime;
    uint8_t type, parent, changed, split;
};

struct rename_tree {
    const struct rename *rename;
    struct dray_ctx *ctx;
    struct rename_node *nodes; /* count entries and the root */
    uint64_t count;
    uint64_t *order; /* nodes that are no parents, by key */
    uint64_t listed;
    struct rename_block *blocks; /* where paths lie */
};

/* A copy of text with a NUL, that lives as long as the tree; NULL when memory is out. */
char *rename_tree_keep(struct rename_tree *tree, const char *text, size_t length);
int rename_tree_read(struct rename_tree *tree);
/* Between two of many things to do, after so many: is the job to go on? */
int rename_go_on(struct dray_ctx *ctx, uint64_t done);
/* Sort numbers of nodes; `compare` gets the nodes as its third argument. */
int rename_sort(struct rename_tree *tree, uint64_t *items, uint64_t count,
                int (*compare)(const void *, const void *, void *));
void rename_tree_free(struct rename_tree *tree);
int rename_compare(const char *a, size_t a_length, const char *b, size_t b_length);
/* Do two entries get one path, or one a path below another's? */
int rename_tree_collide(struct rename_tree *tree);
/* The text that a link needs to lead where it led; NULL: as it is. */
int rename_link_target(struct rename_tree *tree, uint64_t id, const char *link, char *room,
                       const char **ret_target);
/* Write the file that lists what was renamed. */
int rename_mapping_write(struct rename_tree *tree);

#endif
