/* SPDX-License-Identifier: MIT */
/* examine.h - what one file is: trusted, then answered by the cache or by dray-probe. */
#ifndef DRAY_PLUGIN_EXAMINE_H
#define DRAY_PLUGIN_EXAMINE_H

#include <sys/stat.h>

#include "core/base/digest.h"
#include "core/plugin/plugin.h"

/* How long a plugin may take to be opened and read, and how much dray-probe may say. */
#define DRAY_PROBE_SECONDS    5
#define DRAY_PROBE_MOST_BYTES (4u << 20)

/* Examine the file `entry` (absolute path, called KIND-NAME.so) with the program `probe` and the
 * cache directory `cache` (NULL: none). A refusal is an answer: 0 with info->refused set. What is
 * no fault of the file (no memory, no helper program) is a failure. */
DRAY_MUST_CHECK int dray_plugin_examine(const char *entry, const char *probe, const char *cache,
                                        struct dray_plugin_info **ret_info,
                                        struct dray_error *error);

/* The info of a file that is refused for what the message says, unexamined. */
DRAY_MUST_CHECK int dray_plugin_refuse(const char *entry, struct dray_plugin_info **ret_info,
                                       struct dray_error *error, const char *format, ...)
    DRAY_FORMAT(4, 5);

/* SHA-256 of a file's bytes in hex, and its status when they were read. */
DRAY_MUST_CHECK int dray_plugin_digest(const char *file, char text[static DRAY_SHA256_HEX],
                                       struct stat *ret_status, struct dray_error *error);

/* Ask dray-probe: 0 with what it packed, or a refusal in `refused`; a failure as above. */
DRAY_MUST_CHECK int dray_probe_ask(const char *entry, const char *probe, json_t **ret_plugin,
                                   struct dray_error *refused, struct dray_error *error);

/* Which bytes an answer is about. */
struct dray_file_key {
    struct stat status;
    const char *digest; /* SHA-256, hex */
};
/* The kept answer about this very file, or NULL. */
json_t *dray_cache_get(const char *cache, const char *entry, const struct dray_file_key *key);
/* Keep an answer. A cache that cannot be written costs time, never a result, so nothing is
 * reported. */
void dray_cache_put(const char *cache, const char *entry, const struct dray_file_key *key,
                    const json_t *plugin);

#endif
