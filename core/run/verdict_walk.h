/* SPDX-License-Identifier: MIT */
/* verdict_walk.h - what became of every entry that could have come to a push: what previews print
 * and what is kept of a delivery. */
#ifndef DRAY_RUN_VERDICT_WALK_H
#define DRAY_RUN_VERDICT_WALK_H

#include "core/run/run.h"

/* One entry: verdict is DRAY_KEEP, DRAY_DROP or DRAY_UNDECIDED; `filter` decided by `decision`,
 * both NULL where no rule of its own did. Not 0: stop. */
typedef int (*dray_verdict_sink)(void *arg, const struct dray_tree_entry *entry, unsigned verdict,
                                 const struct dray_step_run *filter,
                                 const struct dray_decision *decision);

/* Walk the entries of one push in the order of their paths. `input` is the tree that it takes,
 * before or after links were settled. 0, or what the sink returned, or DRAY_NO_MEMORY. */
DRAY_MUST_CHECK int dray_verdicts_walk(const struct dray_step_run *push,
                                       const struct dray_tree *input, dray_verdict_sink sink,
                                       void *arg);

/* ---- verdicts.c: what is kept of a delivery, for `policy replay` (docs/formats.md) */

/* Tell the engine what became of every entry of a push that is about to run, on a thread beside it.
 * Nothing is told where another push that runs or ran takes the same tree. */
DRAY_MUST_CHECK int dray_verdicts_tell(struct dray_step_run *push, struct dray_error *error);
/* Wait until all is told: before a delivery becomes visible, and at the latest when the push ended.
 * The second time there is nothing to wait for. */
DRAY_MUST_CHECK int dray_verdicts_told(struct dray_step_run *push, struct dray_error *error);

#endif
