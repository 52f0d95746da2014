/* SPDX-License-Identifier: MIT */
/* preview.h - what the files that make a preview share. */
#ifndef DRAY_RUN_PREVIEW_H
#define DRAY_RUN_PREVIEW_H

#include "core/run/run.h"

/* The reasons of one filter as they are printed, made when they are first needed: slots[i] for
 * element i-1 of the option that begins there. */
struct dray_reasons {
    const struct dray_step_run *filter;
    const struct dray_preview_format *format;
    size_t *starts; /* by option: its first slot */
    struct dray_buffer *slots;
    size_t slot_count;
    struct dray_buffer undecided;
};
DRAY_MUST_CHECK int dray_reasons_init(struct dray_reasons *reasons,
                                      const struct dray_step_run *filter,
                                      const struct dray_preview_format *format);
void dray_reasons_free(struct dray_reasons *reasons);
/* What stands behind an entry's path. NULL: no memory. */
const struct dray_buffer *dray_reasons_get(struct dray_reasons *reasons,
                                           const struct dray_decision *decision);

/* One entry as it is shown; verdict is DRAY_KEEP, DRAY_DROP or DRAY_UNDECIDED. target and reason
 * may be NULL. */
void dray_preview_line(struct dray_buffer *out, const struct dray_preview_format *format,
                       const struct dray_tree_entry *entry, unsigned verdict, const char *target,
                       const struct dray_buffer *reason);

/* What the rules of the workflow's own filters did otherwise than their author may have thought:
 * those that decided nothing, and patterns that matched where they were not meant to. Each goes to
 * `tell`, which takes the reference. Stops quietly where looking would take too long. */
void dray_lint_run(struct dray_run *run, void (*tell)(void *arg, json_t *lint), void *arg);

/* What a run would do to what is at the targets: what it replaces, what it adds to, and what is in
 * its way there. Members of the summary, each with a comma before it; or lines for people. */
void dray_preview_targets(struct dray_run *run, const struct dray_preview_format *format,
                          struct dray_buffer *out);

#endif
