/* SPDX-License-Identifier: MIT */
/* validate.h - what the files of validation share. */
#ifndef DRAY_RUN_VALIDATE_H
#define DRAY_RUN_VALIDATE_H

#include "core/run/run.h"
#include "core/tree/recorded.h"

/* No list that a dataset holds is larger. */
#define DRAY_VALIDATE_TEXT_CAP (256u << 20)

struct dray_validation {
    struct dray_step_run *step;
    struct dray_tree *tree; /* with the digests that the catalog records */
    struct dray_recorded_list list;
    struct dray_differences differences;
    uint8_t *passed;         /* by entry: nobody has to have listed it */
    struct dray_buffer what; /* as in "manifest.txt says" */
    int compares;            /* there is something to compare with */
    int extra;               /* files that nobody listed are passed on */
};

/* Where a file of that path is in the tree; -1: there is none. */
int64_t dray_validate_find(const struct dray_tree *tree, const char *path);
/* The whole of a small file of the dataset, into a buffer with that cap and a byte. */
DRAY_MUST_CHECK int dray_validate_text(const struct dray_validation *validation,
                                       const struct dray_tree_entry *entry,
                                       struct dray_buffer *text, struct dray_error *error);
/* What a BagIt bag says (RFC 8493), where the dataset is one: *ret_there. */
DRAY_MUST_CHECK int dray_validate_bag(struct dray_validation *validation, int *ret_there,
                                      struct dray_error *error);

#endif
