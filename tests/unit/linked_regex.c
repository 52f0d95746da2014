/* SPDX-License-Identifier: MIT */
/* The plugin linked into a test, which so has its allocations in hand. */
#define dray_plugin_v1 linked_regex
#include "plugins/filters/regex.c"
