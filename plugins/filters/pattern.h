/* SPDX-License-Identifier: MIT */
/*
 * plugins/filters - the plugins that say which entries of a tree are kept.
 *
 * pattern.h - the one meaning that a path pattern has in Dray (docs/filters.md). It stands alone:
 * no host, no plugin, so that whatever takes patterns can be built with it.
 *
 * A pattern is compiled once. Matching then allocates nothing and writes to nothing, so any number
 * of threads may use one pattern. Its time is at most proportional to the length of the path times
 * the length of the pattern with its braces expanded, whatever the pattern.
 */
#ifndef DRAY_FILTERS_PATTERN_H
#define DRAY_FILTERS_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Flags. */
#define DRAY_PATTERN_IGNORE_CASE 1u

/* Limits of one pattern, which comes from strangers: its bytes; how deep braces nest; how many
 * patterns its braces stand for; and the characters of all of those together. */
#define DRAY_PATTERN_MAX_LENGTH       16384u
#define DRAY_PATTERN_MAX_DEPTH        16u
#define DRAY_PATTERN_MAX_ALTERNATIVES 1000u
#define DRAY_PATTERN_MAX_EXPANDED     100000u

/* Results of compiling. */
#define DRAY_PATTERN_OK        0
#define DRAY_PATTERN_FAULTY    (-1) /* the text is not a pattern: see the fault */
#define DRAY_PATTERN_NO_MEMORY (-2)

/* What is wrong with a pattern: one line without a final full stop. */
struct dray_pattern_fault {
    size_t offset; /* the byte where the fault is, at most the pattern's length */
    char reason[176];
};

struct dray_pattern;

/* Compile `length` bytes of UTF-8. *ret_pattern and *ret_fault are written only when the result is
 * DRAY_PATTERN_OK and DRAY_PATTERN_FAULTY respectively. */
__attribute__((nonnull, warn_unused_result)) int dray_pattern_compile(
    const char *text, size_t length, uint32_t flags, struct dray_pattern **ret_pattern,
    struct dray_pattern_fault *ret_fault);
void dray_pattern_free(struct dray_pattern *pattern);

/* The ends of this many names of a path are kept; those of deeper ones are looked for when needed.
 */
#define DRAY_PATTERN_PATH_ENDS 32

/* What the names of a path are. One that is UTF-8 is matched by code point, any other by byte. */
#define DRAY_PATTERN_ASCII 0u
#define DRAY_PATTERN_UTF8  1u
#define DRAY_PATTERN_MIXED 2u /* some are not UTF-8 */

/* A path made ready to be matched by many patterns; it borrows the bytes. */
struct dray_pattern_path {
    const unsigned char *bytes;
    size_t length;
    size_t names;       /* how many, separated by `/` */
    uint32_t directory; /* 1: the last name is a directory; the others always are */
    uint32_t text;      /* DRAY_PATTERN_ASCII ... */
    uint64_t first;     /* set of the first bytes of the names, by their lower six bits */
    uint64_t last;      /* the same of the last bytes */
    size_t ends[DRAY_PATTERN_PATH_ENDS];
};

/* `path` is relative, with single slashes and neither a leading nor a trailing one. */
__attribute__((nonnull)) void dray_pattern_path_init(struct dray_pattern_path *ret_path,
                                                     const char *path, size_t length,
                                                     int directory);

/* 1 if the pattern matches the path or a directory above it, else 0. */
__attribute__((nonnull)) int dray_pattern_matches(const struct dray_pattern *pattern,
                                                  const struct dray_pattern_path *path);

#endif
