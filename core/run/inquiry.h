/* SPDX-License-Identifier: MIT */
/* inquiry.h - what a planner wants to know of plugins, answered inside a runner that may write
 * nothing. */
#ifndef DRAY_RUN_INQUIRY_H
#define DRAY_RUN_INQUIRY_H

#include "core/run/run.h"

/* Prepare every step of the request (struct dray_asker) and, where asked, identify or describe and
 * probe. */
DRAY_MUST_CHECK int dray_inquiry_answer(struct dray_run *run, const json_t *request,
                                        json_t **ret_answer, struct dray_error *error);

#endif
