/* SPDX-License-Identifier: MIT */
/*
 * error.h - one error type through everything. A function that can fail returns 0 or a negative
 * class (the plugin ABI's: DRAY_TEMPORARY, ...) and fills the struct passed down to it.
 */
#ifndef DRAY_BASE_ERROR_H
#define DRAY_BASE_ERROR_H

#include <jansson.h>
#include <stdarg.h>

#include "core/base/memory.h"
#include "dray/plugin.h"

/* Who has to act. */
enum dray_side { DRAY_SIDE_NONE, DRAY_SIDE_SOURCE, DRAY_SIDE_TARGET, DRAY_SIDE_US };

struct dray_error {
    int class_; /* 0: no error */
    enum dray_side side;
    char message[1024]; /* what was being done, on what, why it failed; one line, no final stop */
    char hint[1024];    /* what to do, may be several lines; empty: unknown */
    char where[512];    /* file:line:column, or the step; empty: nowhere in particular */
};

/* Record an error; returns class_ (DRAY_BUG when that is no class of failure). Later calls
 * overwrite all of it, hint and place too; the arguments may be parts of the error itself. Long
 * text is cut at a character; control characters, and bytes that are not UTF-8, become U+FFFD.
 * error may be NULL. */
int dray_fail(struct dray_error *error, int class_, const char *format, ...) DRAY_FORMAT(3, 4);
int dray_fail_va(struct dray_error *error, int class_, const char *format, va_list arguments)
    DRAY_FORMAT(3, 0);
/* The same from errno: the class comes from dray_class_of_errno, ": " and the reason are appended.
 */
int dray_fail_errno(struct dray_error *error, int errnum, const char *format, ...)
    DRAY_FORMAT(3, 4);
int dray_fail_errno_va(struct dray_error *error, int errnum, const char *format, va_list arguments)
    DRAY_FORMAT(3, 0);
int dray_fail_memory(struct dray_error *error);
void dray_hint(struct dray_error *error, const char *format, ...) DRAY_FORMAT(2, 3);
void dray_hint_va(struct dray_error *error, const char *format, va_list arguments)
    DRAY_FORMAT(2, 0);
void dray_where(struct dray_error *error, const char *format, ...) DRAY_FORMAT(2, 3);

int dray_class_of_errno(int errnum);
/* "temporary", "permanent", ...; never NULL. */
const char *dray_class_name(int class_);
/* The class of a name; DRAY_BUG for an unknown one. */
int dray_class_of_name(const char *name);
/* May it pass by itself, so that another attempt is worth it? */
int dray_class_is_retried(int class_);
/* Exit status of a command that ended with this class (README.md). */
int dray_class_exit(int class_);

/* {"class", "message", "where", "hint", "side"}, empty parts left out. NULL when memory is out. */
DRAY_MUST_CHECK json_t *dray_error_to_json(const struct dray_error *error);
void dray_error_from_json(struct dray_error *error, const json_t *json);

#endif
