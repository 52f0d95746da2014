/* SPDX-License-Identifier: MIT */
/* load.h - loading a plugin into this process (a runner) and making instances. load.c is the only
 * user of libltdl. */
#ifndef DRAY_PLUGIN_LOAD_H
#define DRAY_PLUGIN_LOAD_H

#include <jansson.h>

#include "core/base/error.h"

/* A loaded plugin; never unloaded. The descriptor is our copy, zero-filled beyond what the plugin
 * knows, and its `operations` point to the copy here: do not copy the struct. One that is no longer
 * needed is freed with free. */
struct dray_loaded {
    struct dray_plugin plugin;
    union {
        struct dray_source_operations source;
        struct dray_filter_operations filter;
        struct dray_transform_operations transform;
        struct dray_push_operations push;
        struct dray_notify_operations notify;
    } operations;
};

/* Load the file by absolute path and check its descriptor. digest (may be NULL): the file must have
 * this SHA-256 in hex, else DRAY_CHANGED. The message of a refusal is one line with the file, what
 * was found and what was expected. */
DRAY_MUST_CHECK int dray_plugin_load(const char *file, const char *digest,
                                     struct dray_loaded **ret_loaded, struct dray_error *error);
/* The file and its directory belong to root or the running user, and nobody else may write them. */
DRAY_MUST_CHECK int dray_plugin_trusted(const char *file, struct dray_error *error);

/* An instance and the memory that its option values live in. */
struct dray_instance {
    const struct dray_loaded *loaded;
    void *self; /* instance_size bytes, aligned to max_align_t */
    int prepared;
    struct dray_arena values;
};
/* Allocate and fill from the JSON of dray_options_check; does not call prepare. A secret's handle
 * is its option's number in the table plus 1: whoever serves host->secret finds the secret's name
 * in `with`. What does not fit the table is DRAY_BUG. */
DRAY_MUST_CHECK int dray_instance_new(const struct dray_loaded *loaded, const json_t *with,
                                      struct dray_instance **ret_instance,
                                      struct dray_error *error);
/* Calls destroy iff `prepared` is set. */
void dray_instance_free(struct dray_instance *instance);

#endif
