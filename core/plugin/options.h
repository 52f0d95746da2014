/* SPDX-License-Identifier: MIT */
/* options.h - what a user wrote below `with:` against a plugin's option table. */
#ifndef DRAY_PLUGIN_OPTIONS_H
#define DRAY_PLUGIN_OPTIONS_H

#include "core/conf/node.h"
#include "core/plugin/plugin.h"

/* Check a `with` mapping (NULL: absent) against the plugin's table: unknown names (with a
 * suggestion), types, units, ranges, choices, required ones (reported at `place`, the step). Gives
 * the options as JSON, in the table's order, defaults included, absent ones left out: bool, int;
 * sizes in bytes and durations in nanoseconds as ints ("none" where there is no bound); strings;
 * paths made absolute from base (NULL: one has to be); choices by name; lists and maps of strings.
 * `what` names the step in messages as "filter/glob". `expand` (may be NULL) turns a scalar's text
 * into the text to use (for
 * ${parameters}); it reports its own problems and returns NULL then. A literal in a secret option
 * is an error that says what to do. Returns 0 also when there are problems (diagnostics->errors
 * tells): *ret_with then has the defaults of the options that are wrong, or lacks these. A class
 * only when memory is out. A secret stands as its name. */
DRAY_MUST_CHECK int dray_options_check(const struct dray_plugin_info *plugin, const char *what,
                                       const struct dray_node *with, struct dray_place place,
                                       const char *base,
                                       char *(*expand)(void *arg, const struct dray_node *scalar),
                                       void *arg, struct dray_diagnostics *diagnostics,
                                       json_t **ret_with, struct dray_error *error);

#endif
