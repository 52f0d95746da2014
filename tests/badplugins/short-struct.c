/* SPDX-License-Identifier: MIT */
/* Says that its descriptor is shorter than any release's. */
#define NAME "short-struct"
#define SIZE (uint32_t)(sizeof(struct dray_plugin) - 8)
#include "base.h"
