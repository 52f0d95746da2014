/* SPDX-License-Identifier: MIT */
/*
 * failing.h - the allocation that a test chose fails, and no other. The linker sends those of our
 * code to failing.c (`fail_allocations` in local.mk); a library's are its own, unless it is told to
 * use the functions here.
 */
#ifndef DRAY_TESTS_FAILING_H
#define DRAY_TESTS_FAILING_H

#include <stdarg.h>
#include <stddef.h>

#include "core/base/error.h"

/* Allocations until one fails; negative: none does. Only one thread may allocate then. */
extern long failing_left;
/* One did. */
extern int failing_failed;
/* Those of our code do not count; what calls failing_now does. */
extern int failing_spared;

/* For what allocates by other means: is it the one that is to fail? errno says so then. */
int failing_now(void);

/* What the linker calls for ours, and what never fails. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t length);
int __real_vasprintf(char **text, const char *format, va_list arguments) DRAY_FORMAT(2, 0);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length);
int __wrap_vasprintf(char **text, const char *format, va_list arguments) DRAY_FORMAT(2, 0);

#endif
