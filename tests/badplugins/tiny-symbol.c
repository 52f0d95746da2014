/* SPDX-License-Identifier: MIT */
/* Exports an object of the right name that is shorter than a descriptor's head. */
#include <dray/plugin.h>

extern const uint64_t dray_plugin_v1;
const uint64_t dray_plugin_v1 = DRAY_PLUGIN_MAGIC;
