/* SPDX-License-Identifier: MIT */
/* path.h - what paths come to. */
#ifndef DRAY_BASE_PATH_H
#define DRAY_BASE_PATH_H

#include "core/base/error.h"

/* The text without empty segments, `.`, and `..` with what stands before it. A relative one stays
 * relative and may become "". NULL: no memory. Frees: caller. */
DRAY_MUST_CHECK char *dray_path_fold(const char *path);
/* The real path of what is there of an absolute path, links resolved, and the rest folded. NULL: no
 * memory. Frees: caller. */
DRAY_MUST_CHECK char *dray_path_real(const char *path);

#endif
