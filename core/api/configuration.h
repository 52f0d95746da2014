/* SPDX-License-Identifier: MIT */
/* configuration.h - the site's configuration file (docs/configuration.md). */
#ifndef DRAY_API_CONFIGURATION_H
#define DRAY_API_CONFIGURATION_H

#include <jansson.h>

#include "core/base/sign.h"
#include "core/conf/node.h"

/* How long what was brought is kept for another try, ns, where it does not say: 48 hours. */
#define DRAY_KEEP_FAILED (INT64_C(48) * 3600 * 1000000000)

/* `scratch:` */
struct dray_configuration_scratch {
    char *path;          /* absolute; NULL: in the state directory */
    int64_t keep_failed; /* ns, DRAY_NONE: for ever */
    int64_t reserve;     /* bytes that stay free, */
    int reserve_percent; /* or percents of the file system, where that is not 0 */
};

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
    struct dray_configuration_scratch scratch;
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
/* Read `scratch:` (NULL: none), which changes what *scratch has by default. */
DRAY_MUST_CHECK int dray_configuration_scratch(const struct dray_node *node, const char *base,
                                               struct dray_diagnostics *diagnostics,
                                               struct dray_configuration_scratch *scratch);
/* Read `hpfs:` (NULL: none) likewise, into destinations and durability. */
DRAY_MUST_CHECK int dray_configuration_hpfs(const struct dray_node *node,
                                            struct dray_diagnostics *diagnostics,
                                            struct dray_configuration *configuration);
/* Is a file a configuration, rather than a workflow or a policy? By its keys; 0 also when it cannot
 * be read. */
int dray_configuration_is(const char *path);

#endif
