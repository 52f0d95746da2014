/* SPDX-License-Identifier: MIT */
/* descriptor.h - a plugin's descriptor in memory against the rules of the ABI. Nothing in it is
 * called. */
#ifndef DRAY_PLUGIN_DESCRIPTOR_H
#define DRAY_PLUGIN_DESCRIPTOR_H

#include "core/plugin/load.h"
#include "core/plugin/plugin.h"

/* Bounds on what a descriptor may hold, so that a wild pointer or count is told from a table. */
#define DRAY_MOST_OPTIONS 512
#define DRAY_LONGEST_TEXT 4096

/* Copy what `found` says into ret_loaded, zero-filled beyond what the plugin knows, after checking
 * all of it. `readable` is how many bytes the object has (SIZE_MAX: not known). A refusal is one
 * line: file, what was found, what was expected. The copy's strings and tables are the plugin's
 * own. */
DRAY_MUST_CHECK int dray_descriptor_check(const char *file, const struct dray_plugin *found,
                                          size_t readable, struct dray_loaded *ret_loaded,
                                          struct dray_error *error);
/* The file's name must be KIND-NAME.so for the kind and name that the descriptor says. */
DRAY_MUST_CHECK int dray_descriptor_named(const char *file, const struct dray_plugin *plugin,
                                          struct dray_error *error);
/* Row `index` of the option table, zero-filled beyond what the plugin knows. */
struct dray_option dray_descriptor_option(const struct dray_plugin *plugin, uint32_t index);

#endif
