/* SPDX-License-Identifier: MIT */
/* made_plugins.h - directories of plugins that a test compiles from tests/badplugins. */
#ifndef DRAY_TESTS_MADE_PLUGINS_H
#define DRAY_TESTS_MADE_PLUGINS_H

#include "core/plugin/plugin.h"

/* A new directory, mode 0700; the real path. Ended with plugins_remove. */
char *plugins_directory(void);
void plugins_remove(char *directory);
/* Compile tests/badplugins/SOURCE.c to DIRECTORY/FILE, with one more argument for the compiler
 * (NULL: none). */
void plugins_make(const char *directory, const char *source, const char *file, const char *more);
/* The same for filter-SOURCE.so; _make_filter returns its path, which the caller frees. */
void plugins_add(const char *directory, const char *source);
char *plugins_make_filter(const char *directory, const char *source);
/* A file of that text. */
void plugins_write(const char *directory, const char *file, const char *text);
/* DIRECTORY/FILE; the caller frees it. */
char *plugins_path(const char *directory, const char *file);
/* Bytes of a file; 0 when there is none. */
size_t plugins_size(const char *directory, const char *file);
/* A registry of two directories (the second may be NULL) with a cache (NULL: none). */
struct dray_registry *plugins_registry(const char *first, const char *second, const char *cache);

#endif
