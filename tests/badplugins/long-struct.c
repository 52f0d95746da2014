/* SPDX-License-Identifier: MIT */
/* Says that its descriptor is longer than the object that it exports. */
#define NAME "long-struct"
#define SIZE (uint32_t)(sizeof(struct dray_plugin) + 4096)
#include "base.h"
