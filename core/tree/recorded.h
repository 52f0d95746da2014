/* SPDX-License-Identifier: MIT */
/* recorded.h - what somebody recorded of a dataset's files, whoever that is (a manifest, a bag, a
 * catalog), and what is different in a tree. */
#ifndef DRAY_TREE_RECORDED_H
#define DRAY_TREE_RECORDED_H

#include "core/base/buffer.h"
#include "core/base/memory.h"
#include "core/tree/tree.h"

#define DRAY_RECORDED_SHA256 1u
#define DRAY_RECORDED_MD5    2u
#define DRAY_RECORDED_BYTES  4u

/* One file. */
struct dray_recorded {
    const char *path; /* ends with NUL */
    uint64_t bytes;
    uint32_t path_length;
    uint8_t has; /* DRAY_RECORDED_*: which of the others are known */
    uint8_t sha256[DRAY_SHA256_BYTES];
    uint8_t md5[DRAY_MD5_BYTES];
};

/* Start with {0}. A path may stand in it more than once, with other facts each time. */
struct dray_recorded_list {
    struct dray_recorded *items;
    size_t count, capacity;
    struct dray_arena paths;
};
void dray_recorded_free(struct dray_recorded_list *list);
/* Copies the path; path_length is used. A path that no entry can have is DRAY_INVALID. */
DRAY_MUST_CHECK int dray_recorded_add(struct dray_recorded_list *list,
                                      const struct dray_recorded *recorded,
                                      struct dray_error *error);
/* JSON lines, {"path" or "path_b64", "size"?, "sha256"?, "md5"?}; other keys say nothing here. A
 * line that is none is DRAY_INVALID with its place. */
DRAY_MUST_CHECK int dray_recorded_read(const char *name, const char *text, size_t length,
                                       struct dray_recorded_list *list, struct dray_error *error);

/* Names for a message: the first ones, as many as it has room for, and how many there are. */
struct dray_names {
    struct dray_buffer text;
    size_t count, shown;
    /* Hears of each, however many; NULL: nobody does. */
    void (*tell)(void *arg, const char *path, size_t length, const char *why);
    void *arg;
};
/* `why` may be NULL; it follows the name in parentheses. */
void dray_names_add(struct dray_names *names, const char *path, size_t length, const char *why);

/* Start with DRAY_DIFFERENCES. */
struct dray_differences {
    struct dray_names missing, changed, extra;
    struct dray_buffer facts; /* of the whole: sentences, "; " between them */
};
#define DRAY_DIFFERENCES                                                                           \
    {                                                                                              \
        .missing.text.cap = 8192, .changed.text.cap = 8192, .extra.text.cap = 8192,                \
        .facts.cap = 8192                                                                          \
    }
void dray_differences_free(struct dray_differences *differences);
void dray_differences_fact(struct dray_differences *differences, const char *format, ...)
    DRAY_FORMAT(2, 3);
/* 0 when there are none; else DRAY_INTEGRITY, the source's: "the dataset is not what WHAT:", every
 * kind with its names. `what` is as in "manifest.txt says". */
DRAY_MUST_CHECK int dray_differences_judge(const struct dray_differences *differences,
                                           const char *what, struct dray_error *error);

/* Which files of the tree are missing, changed (another size; another digest, where the tree has
 * one already; no file at all) or extra: not listed, and passed[i] is 0. *ret_tree: the same tree
 * with the digests recorded, which whoever reads the bytes compares; hard links to each other share
 * theirs. Two records of a file that contradict each other are DRAY_INTEGRITY. */
DRAY_MUST_CHECK int dray_recorded_compare(struct dray_tree *tree,
                                          const struct dray_recorded_list *list,
                                          const uint8_t *passed,
                                          struct dray_differences *differences,
                                          struct dray_tree **ret_tree, struct dray_error *error);

#endif
