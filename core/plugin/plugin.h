/* SPDX-License-Identifier: MIT */
/*
 * core/plugin - the host's side of the plugin ABI: which files are plugins, what a descriptor says,
 * which are refused and why, options checked against a plugin's table, and loading. It knows
 * nothing of workflows.
 *
 * plugin.h - what is known of a plugin without loading it here: dray-probe, a child process, read
 * its descriptor.
 */
#ifndef DRAY_PLUGIN_PLUGIN_H
#define DRAY_PLUGIN_PLUGIN_H

#include <jansson.h>

#include "core/base/buffer.h"
#include "core/base/error.h"

/* A flag of lists in tables of our own: one string may stand for a list of one, and stays one. */
#define DRAY_OPTION_OR_ONE 0x80000000u

/* One option, as a plugin's table says. */
struct dray_option_info {
    char *name, *help, *fallback, *choices; /* fallback and choices may be NULL */
    int64_t min, max;
    uint32_t type, flags; /* DRAY_TYPE_*, DRAY_OPTION_* */
};

struct dray_plugin_info {
    char *file;   /* real, absolute path */
    char *digest; /* SHA-256 of the file, hex */
    char *name, *version, *summary;
    uint32_t kind, major, minor;
    uint64_t caps;
    uint32_t target_type; /* DRAY_TARGET_*, of a push, else 0 */
    struct dray_option_info *options;
    size_t option_count;
    /* class_ != 0: it is no use, and why; then only file and refused are sure. */
    struct dray_error refused;
};

/* The plugins that a process knows. Used by one thread at a time. */
struct dray_registry;
/* `directories`: earlier wins. `cache` is a directory for probe answers that may be made (NULL:
 * none). */
DRAY_MUST_CHECK int dray_registry_new(const char *const *directories, size_t count,
                                      const char *cache, struct dray_registry **ret_registry,
                                      struct dray_error *error);
void dray_registry_free(struct dray_registry *registry);
void dray_registry_freep(struct dray_registry **registry);
/* The plugin that `uses: KIND/NAME` names: the file KIND-NAME.so of the first directory that has
 * it, probed now if it was not. DRAY_NOT_FOUND when there is none (with a hint listing where was
 * looked and the nearest name); the refusal's class and message when it is refused. Borrowed. */
DRAY_MUST_CHECK int dray_registry_find(struct dray_registry *registry, uint32_t kind,
                                       const char *name, const struct dray_plugin_info **ret_plugin,
                                       struct dray_error *error);
/* Probe every *.so of every directory, sorted by kind and name; a file hidden by an earlier one of
 * the same name is refused with that reason. Borrowed. */
DRAY_MUST_CHECK int dray_registry_all(struct dray_registry *registry,
                                      const struct dray_plugin_info *const **ret_plugins,
                                      size_t *ret_count, struct dray_error *error);
/* Names of a kind by their file names, without probing, for suggestions. Borrowed; may be none. */
const char *const *dray_registry_names(struct dray_registry *registry, uint32_t kind,
                                       size_t *ret_count);

/* "source", "filter", ...; NULL for an unknown number (as below). 0 for an unknown name. */
const char *dray_kind_name(uint32_t kind);
uint32_t dray_kind_of_name(const char *name, size_t length);
/* "hpfs", "cloud", "globus", "other". */
const char *dray_target_type_name(uint32_t target_type);
/* "bool", "int", "size", "duration", "string", "path", "choice", "strings", "map", "secret". */
const char *dray_type_name(uint32_t type);

/* {"name", "kind", "version", "summary", "file", "digest", "abi": "0.1", "target_type"?, "options":
 * [{"name", "type", "required", "help", "default"?, "choices"?, "min"?, "max"?, "deprecated"?}]};
 * of a refused one {"file", "refused", "name"?, "kind"?} with the names that its file has. Defaults
 * stand as in a workflow. NULL: out of memory. */
DRAY_MUST_CHECK json_t *dray_plugin_json(const struct dray_plugin_info *plugin);
/* JSON Schema (2020-12) of the `with` of a plugin that is not refused. NULL: out of memory. */
DRAY_MUST_CHECK json_t *dray_plugin_schema(const struct dray_plugin_info *plugin);
/* `dray plugin show` for people: an aligned table of options. */
void dray_plugin_print(const struct dray_plugin_info *plugin, struct dray_buffer *out);
/* `dray plugin list` for people: a table of those that are good, then why each other one is
 * refused. */
void dray_plugins_print(const struct dray_plugin_info *const *plugins, size_t count,
                        struct dray_buffer *out);
/* `dray plugin manual`: a manual page (roff, section 5, dray-plugins) of those that are good, with
 * all their options. What is built in has kind 0. */
void dray_plugins_manual(const struct dray_plugin_info *const *plugins, size_t count,
                         struct dray_buffer *out);

/* The body of the dray-probe program: open the one file named, check the descriptor, print it as
 * JSON on standard output. Runs in a process of its own, which the plugin may crash or hang;
 * returns only to refuse its arguments. */
int dray_probe_main(int argc, char **argv);

#endif
