/* SPDX-License-Identifier: MIT */
/* info.h - what is known of a plugin: made from its descriptor, and as the JSON between dray-probe,
 * cache and registry. */
#ifndef DRAY_PLUGIN_INFO_H
#define DRAY_PLUGIN_INFO_H

#include "core/plugin/plugin.h"

/* The longest name of a plugin or an option. */
#define DRAY_LONGEST_NAME 64

/* Is it a plugin's name: a-z, 0-9 and - ? Any other must not become part of a path. */
int dray_plugin_name_valid(const char *name);
/* An option's: a-z, 0-9 and _ */
int dray_option_name_valid(const char *name);

/* Take KIND-NAME.so, with or without a path before it, apart: 1, or 0 when a file is called
 * otherwise. The name is borrowed. */
int dray_plugin_file_parse(const char *file, uint32_t *ret_kind, const char **ret_name,
                           size_t *ret_length);

/* A checked descriptor as JSON, with all that struct dray_plugin_info holds but file, digest and
 * refused. */
DRAY_MUST_CHECK json_t *dray_info_pack(const struct dray_plugin *plugin, uint32_t target_type);
/* Fill the rest of `info` from it. The JSON may come from anywhere: DRAY_INVALID when it is not
 * what pack makes. */
DRAY_MUST_CHECK int dray_info_unpack(struct dray_plugin_info *info, const json_t *json);
void dray_info_free(struct dray_plugin_info *info);
void dray_info_freep(struct dray_plugin_info **info);

#endif
