/* SPDX-License-Identifier: MIT */
/* configuration.h - the site's configuration file (docs/configuration.md). */
#ifndef DRAY_API_CONFIGURATION_H
#define DRAY_API_CONFIGURATION_H

#include <jansson.h>

#include "core/base/sign.h"
#include "core/conf/node.h"

/* What it says; all of it as if there were no file when there is none. */
struct dray_configuration {
    char *policies;              /* directory of policies; NULL: the system's */
    int mandatory;               /* it must hold at least one */
    struct dray_key *policy_key; /* that signs policies; NULL: signatures are not looked at */
    json_t *destinations;   /* roots that file systems are delivered to below, [{"path", "real"}];
                               NULL: what the caller may write */
    const char *durability; /* of push/hpfs where a workflow says none; NULL: the plugin's */
    json_t *sources; /* {NAME: {"with": options of source/command as written, "grants": {"exec",
                        "read": paths, "connect": ports}}}; NULL: none */
};

/* Read a configuration. `path` NULL: the system's, where there is one. Problems go to diagnostics;
 * DRAY_INVALID then, and when it cannot be read. */
DRAY_MUST_CHECK int dray_configuration_load(const char *path, struct dray_diagnostics *diagnostics,
                                            struct dray_configuration *ret_configuration,
                                            struct dray_error *error);
void dray_configuration_clear(struct dray_configuration *configuration);
/* Read `sources:` (NULL: none); problems go to diagnostics. DRAY_NO_MEMORY, or 0. */
DRAY_MUST_CHECK int dray_configuration_sources(const struct dray_node *node,
                                               struct dray_diagnostics *diagnostics,
                                               json_t **ret_sources);
/* Read `hpfs:` (NULL: none) likewise, into destinations and durability. */
DRAY_MUST_CHECK int dray_configuration_hpfs(const struct dray_node *node,
                                            struct dray_diagnostics *diagnostics,
                                            struct dray_configuration *configuration);
/* Is a file a configuration, rather than a workflow or a policy? By its keys; 0 also when it cannot
 * be read. */
int dray_configuration_is(const char *path);

#endif
