/* SPDX-License-Identifier: MIT */
/* beneath.h - opening what lies below a directory that is held, never by way of a link. */
#ifndef DRAY_BASE_BENEATH_H
#define DRAY_BASE_BENEATH_H

#include "core/base/memory.h"

/* Open what has this path below the directory, by openat2 where there is one, else a segment at a
 * time: a descriptor, or -1 with errno, also where any segment is a link, `.` or `..`. *no_openat2
 * remembers that this kernel has none (atomic; starts as 0). */
DRAY_MUST_CHECK int dray_open_beneath(int directory, const char *path, int flags, int *no_openat2);

#endif
