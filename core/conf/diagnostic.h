/* SPDX-License-Identifier: MIT */
/* diagnostic.h - all problems of a file, each with its place, printed with the line and a caret, or
 * as JSON. */
#ifndef DRAY_CONF_DIAGNOSTIC_H
#define DRAY_CONF_DIAGNOSTIC_H

#include <jansson.h>
#include <stdint.h>

#include "core/base/buffer.h"

enum dray_severity { DRAY_SEVERITY_ERROR, DRAY_SEVERITY_WARNING, DRAY_SEVERITY_NOTE };

/* Line and column start at 1; columns count characters. `source` indexes the diagnostics' sources.
 * line 0: the file as a whole. */
struct dray_place {
    uint32_t source;
    uint32_t line;
    uint32_t column;
    uint32_t width; /* characters to underline, at least 1 */
};

struct dray_diagnostic {
    struct dray_place place;
    enum dray_severity severity;
    char *message;
    char *hint; /* what stands behind the caret: a suggestion or the way to mend; NULL: nothing */
    int follows, alone, secret; /* set by dray_diagnose_follows, _alone and _secret */
};

/* So that a hostile file cannot fill memory with its problems: later ones are counted, not kept. */
#define DRAY_DIAGNOSTICS_MAX 1000

struct dray_source_text {
    char *name;
    char *text;
    size_t length;
};

/* Start with `= { 0 }`. */
struct dray_diagnostics {
    struct dray_diagnostic *items;
    size_t count, capacity;
    struct dray_source_text *sources;
    size_t source_count, source_capacity;
    size_t errors;    /* how many problems are errors, counting those not kept */
    size_t dropped;   /* problems past DRAY_DIAGNOSTICS_MAX */
    int last_dropped; /* the last problem was not kept: a hint for it goes nowhere */
    int no_memory;    /* one could not be kept: treat as failed */
};

/* Register a file's text (copied; NULL: it is not quoted) for later quoting: its number, or 0 with
 * no_memory set. */
uint32_t dray_diagnostics_source(struct dray_diagnostics *diagnostics, const char *name,
                                 const char *text, size_t length);
/* Add a problem. Control characters and broken UTF-8 in the message are shown as escapes, and a
 * long one is cut, so that names from a file may be put in as they are. */
void dray_diagnose(struct dray_diagnostics *diagnostics, struct dray_place place,
                   enum dray_severity severity, const char *format, ...) DRAY_FORMAT(4, 5);
/* Give the problem added last a hint; replaces an earlier one. */
void dray_diagnose_hint(struct dray_diagnostics *diagnostics, const char *format, ...)
    DRAY_FORMAT(2, 3);
/* Suggest the nearest of the candidates for the item added last: did you mean "include"? Nothing
 * when none is near. */
void dray_diagnose_nearest(struct dray_diagnostics *diagnostics, const char *word,
                           const char *const *candidates, size_t count);
/* The error added last goes away with another that was reported: sorting drops it, so that people
 * read of the cause only. Until then it counts. */
void dray_diagnose_follows(struct dray_diagnostics *diagnostics);
/* Whatever else is wrong at the place of the error added last follows from it, likewise. */
void dray_diagnose_alone(struct dray_diagnostics *diagnostics);
/* The line of the problem added last may hold a secret: it is not shown. */
void dray_diagnose_secret(struct dray_diagnostics *diagnostics);
/* Sort by source, line, column; same place and message only once. */
void dray_diagnostics_sort(struct dray_diagnostics *diagnostics);
/* The format of workflow.md: file:line:column: error: message, the line, the caret line with the
 * hint. */
void dray_diagnostics_print(const struct dray_diagnostics *diagnostics, int colour,
                            struct dray_buffer *out);
/* [{"file", "line", "column", "severity", "message", "hint"}], hint null where there is none; NULL:
 * memory is out. */
DRAY_MUST_CHECK json_t *dray_diagnostics_json(const struct dray_diagnostics *diagnostics);
const char *dray_place_file(const struct dray_diagnostics *diagnostics, struct dray_place place);
/* The error that stands for the whole: the first error, "and N more". DRAY_INVALID, DRAY_NO_MEMORY
 * when a problem could not be kept, 0 when there are no errors (warnings are none). */
int dray_diagnostics_error(const struct dray_diagnostics *diagnostics, struct dray_error *error);
void dray_diagnostics_free(struct dray_diagnostics *diagnostics);

#endif
