/* SPDX-License-Identifier: MIT */
/*
 * configuration_hpfs.c - `hpfs:` of the configuration: below which directories may be delivered,
 * and how bytes are made durable where a workflow does not say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/api/configuration.h"
#include "core/base/io.h"
#include "core/base/text.h"

static const char *const hpfs_keys[] = {"roots", "durability"};

#define problem(DIAGNOSTICS, NODE, ...)                                                            \
    dray_diagnose(DIAGNOSTICS, (NODE)->place, DRAY_SEVERITY_ERROR, __VA_ARGS__)

/* The root's real path, which the caller frees; NULL after a problem, or without memory. */
static char *real_of(const struct dray_node *node, const char *path,
                     struct dray_diagnostics *diagnostics)
{
    struct stat status;

    errno = 0;
    dray_autofree char *real = realpath(path, NULL);
    if (!real || stat(real, &status) != 0) {
        if (errno == ENOMEM)
            return NULL;
        problem(diagnostics, node, "the root %s cannot be found: %s", path, strerror(errno));
        return NULL;
    }
    if (!S_ISDIR(status.st_mode)) {
        problem(diagnostics, node, "%s is not a directory, and deliveries go below one", path);
        return NULL;
    }
    if (!dray_utf8_valid(real, strlen(real))) {
        problem(diagnostics, node, "the real path of %s is not UTF-8", path);
        return NULL;
    }
    return DRAY_TAKE(real);
}

static int add_root(json_t *roots, const struct dray_node *node,
                    struct dray_diagnostics *diagnostics)
{
    if (node->kind != DRAY_NODE_SCALAR || node->length == 0) {
        problem(diagnostics, node, "`roots` lists directories, not %s",
                node->kind == DRAY_NODE_SCALAR ? "nothing" : dray_node_what(node));
        return 0;
    }
    if (node->text[0] != '/') {
        problem(diagnostics, node, "%s is no absolute path", node->text);
        return 0;
    }
    size_t before = diagnostics->errors;
    dray_autofree char *path = dray_path_absolute("/", node->text);
    dray_autofree char *real = path ? real_of(node, path, diagnostics) : NULL;
    if (diagnostics->errors > before)
        return 0;
    return real && json_array_append_new(roots,
                                         json_pack("{s:s, s:s}", "path", path, "real", real)) == 0
               ? 0
               : DRAY_NO_MEMORY;
}

/* None would forbid every delivery, which is more likely a slip than meant. */
static int read_roots(const struct dray_node *node, struct dray_diagnostics *diagnostics,
                      struct dray_configuration *configuration)
{
    if (node->kind != DRAY_NODE_SEQUENCE || node->count == 0) {
        problem(diagnostics, node, "`roots` is a list of directories, not %s",
                node->kind == DRAY_NODE_SEQUENCE ? "an empty one" : dray_node_what(node));
        dray_diagnose_hint(diagnostics,
                           "without `roots`, deliveries go wherever the caller may write");
        return 0;
    }
    configuration->destinations = json_array();
    int result = configuration->destinations ? 0 : DRAY_NO_MEMORY;
    for (size_t i = 0; result == 0 && i < node->count; i++)
        result = add_root(configuration->destinations, node->items[i], diagnostics);
    return result;
}

static void read_durability(const struct dray_node *node, struct dray_diagnostics *diagnostics,
                            struct dray_configuration *configuration)
{
    static const char *const words[] = {"syncfs", "fsync"};

    for (size_t i = 0; node->kind == DRAY_NODE_SCALAR && i < DRAY_COUNT(words); i++)
        if (strcmp(node->text, words[i]) == 0)
            configuration->durability = words[i];
    if (!configuration->durability)
        problem(diagnostics, node, "`durability` is syncfs or fsync, not %s",
                node->kind == DRAY_NODE_SCALAR && node->length > 0 ? node->text
                                                                   : dray_node_what(node));
}

int dray_configuration_hpfs(const struct dray_node *node, struct dray_diagnostics *diagnostics,
                            struct dray_configuration *configuration)
{
    const struct dray_node *roots = dray_node_get(node, "roots"),
                           *durability = dray_node_get(node, "durability");

    if (!node)
        return 0;
    if (node->kind != DRAY_NODE_MAPPING) {
        problem(diagnostics, node, "`hpfs` is a mapping, not %s", dray_node_what(node));
        dray_diagnose_hint(diagnostics, "hpfs: { roots: [DIRECTORY], durability: syncfs }");
        return 0;
    }
    dray_node_known_keys(node, "hpfs", hpfs_keys, DRAY_COUNT(hpfs_keys), diagnostics);
    if (durability)
        read_durability(durability, diagnostics, configuration);
    return roots ? read_roots(roots, diagnostics, configuration) : 0;
}
