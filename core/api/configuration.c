/* SPDX-License-Identifier: MIT */
/*
 * configuration.c - see configuration.h. It fails closed: a setting that this release does not know
 * could be one that protects, so it is refused and not passed over.
 */
#include "core/api/configuration.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "core/api/internal.h"
#include "core/base/io.h"

#define SYSTEM_FILE "/etc/dray/dray.yaml"

/* Keys of the whole format. Of the top ones this release reads the first five. */
static const char *const top_keys[] = {
    "version", "policies", "sources",  "scratch", "hpfs",    "database", "listen", "receipts",
    "plugins", "secrets",  "outgoing", "limits",  "windows", "globus",   "audit",  "notify"};
#define READ_KEYS 5
static const char *const policies_keys[] = {"path", "mandatory", "verify_key"};

struct reader {
    struct dray_diagnostics *diagnostics;
    struct dray_configuration *configuration;
    const char *base; /* the directory that relative paths start from */
    int no_memory;
};

#define problem(READER, NODE, ...)                                                                 \
    dray_diagnose((READER)->diagnostics, (NODE)->place, DRAY_SEVERITY_ERROR, __VA_ARGS__)

void dray_configuration_clear(struct dray_configuration *configuration)
{
    free(configuration->policies);
    dray_key_free(configuration->policy_key);
    json_decref(configuration->sources);
    free(configuration->scratch.path);
    json_decref(configuration->destinations);
    *configuration = (struct dray_configuration){0};
}

static void read_version(struct reader *reader, const struct dray_node *root)
{
    const struct dray_node *version = dray_node_get(root, "version");
    int64_t number;

    if (!version) {
        struct dray_place place = root->place;
        place.width = 1;
        dray_diagnose(reader->diagnostics, place, DRAY_SEVERITY_ERROR,
                      "the configuration has no `version`");
        dray_diagnose_hint(reader->diagnostics, "version: 1");
    } else if (!dray_node_int(version, &number) || number != 1) {
        problem(reader, version, "this release reads version 1 of configurations, not %s",
                version->kind == DRAY_NODE_SCALAR ? version->text : dray_node_what(version));
    }
}

/* What the format has and this release does not: refused, since it may be what protects. */
static void refuse_others(struct reader *reader, const struct dray_node *root)
{
    for (size_t i = READ_KEYS; i < DRAY_COUNT(top_keys); i++) {
        const struct dray_pair *pair = dray_node_pair(root, top_keys[i]);
        if (!pair)
            continue;
        problem(reader, pair->key, "this release does not know `%s` yet", top_keys[i]);
        dray_diagnose_hint(reader->diagnostics, "remove it: what is ignored does not protect");
    }
}

/* A path that a key names, made absolute; NULL when there is none, or after a problem. */
static char *read_path(struct reader *reader, const struct dray_node *policies, const char *key)
{
    const struct dray_node *node = dray_node_get(policies, key);

    if (!node)
        return NULL;
    if (node->kind != DRAY_NODE_SCALAR || node->length == 0) {
        problem(reader, node, "`%s` is a path, not %s", key,
                node->kind == DRAY_NODE_SCALAR ? "nothing" : dray_node_what(node));
        return NULL;
    }
    char *path = dray_path_absolute(reader->base, node->text);
    reader->no_memory |= !path;
    return path;
}

static void check_directory(struct reader *reader, const struct dray_node *node, const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        problem(reader, node, "the directory of policies %s cannot be found: %s", path,
                strerror(errno));
    else if (!S_ISDIR(status.st_mode))
        problem(reader, node, "%s is not a directory, and policies are the files of one", path);
}

static void read_key(struct reader *reader, const struct dray_node *policies)
{
    const struct dray_node *node = dray_node_get(policies, "verify_key");
    dray_autofree char *path = read_path(reader, policies, "verify_key");
    struct dray_error error = {0};

    if (!path)
        return;
    int result = dray_key_read_public(path, &reader->configuration->policy_key, &error);
    reader->no_memory |= result == DRAY_NO_MEMORY;
    if (result == 0)
        return;
    problem(reader, node, "%s", error.message);
    if (error.hint[0])
        dray_diagnose_hint(reader->diagnostics, "%s", error.hint);
}

static void read_policies(struct reader *reader, const struct dray_node *policies)
{
    struct dray_configuration *configuration = reader->configuration;
    const struct dray_node *mandatory = dray_node_get(policies, "mandatory");
    const struct dray_node *path = dray_node_get(policies, "path");

    if (!policies)
        return;
    if (policies->kind != DRAY_NODE_MAPPING) {
        problem(reader, policies, "`policies` is a mapping, not %s", dray_node_what(policies));
        dray_diagnose_hint(reader->diagnostics, "policies: { path: DIRECTORY }");
        return;
    }
    dray_node_known_keys(policies, "policies", policies_keys, DRAY_COUNT(policies_keys),
                         reader->diagnostics);
    if (mandatory && !dray_node_bool(mandatory, &configuration->mandatory))
        problem(reader, mandatory, "`mandatory` is true or false, not %s",
                mandatory->kind == DRAY_NODE_SCALAR ? mandatory->text : dray_node_what(mandatory));
    configuration->policies = read_path(reader, policies, "path");
    if (configuration->policies)
        check_directory(reader, path, configuration->policies);
    else if (!path && configuration->mandatory)
        check_directory(reader, mandatory, DRAY_SYSTEM_POLICIES);
    read_key(reader, policies);
}

static void read_root(struct reader *reader, const struct dray_node *root, uint32_t source)
{
    if (!root)
        return; /* it was said why */
    if (root->kind != DRAY_NODE_MAPPING) {
        dray_diagnose(reader->diagnostics,
                      (struct dray_place){.source = source, .line = 1, .column = 1, .width = 1},
                      DRAY_SEVERITY_ERROR, "a configuration is a mapping with `version`, not %s",
                      dray_node_what(root));
        return;
    }
    dray_node_known_keys(root, "a configuration", top_keys, DRAY_COUNT(top_keys),
                         reader->diagnostics);
    read_version(reader, root);
    refuse_others(reader, root);
    read_policies(reader, dray_node_get(root, "policies"));
    if (dray_configuration_scratch(dray_node_get(root, "scratch"), reader->base,
                                   reader->diagnostics, &reader->configuration->scratch) != 0)
        reader->no_memory = 1;
    if (dray_configuration_sources(dray_node_get(root, "sources"), reader->diagnostics,
                                   &reader->configuration->sources) != 0)
        reader->no_memory = 1;
    if (dray_configuration_hpfs(dray_node_get(root, "hpfs"), reader->diagnostics,
                                reader->configuration) != 0)
        reader->no_memory = 1;
}

/* The directory that the file lies in, by the name that it was given. */
static char *base_of(const char *path)
{
    dray_autofree char *absolute = dray_path_absolute(NULL, path);
    char *slash = absolute ? strrchr(absolute, '/') : NULL;

    if (!slash)
        return NULL;
    slash[slash == absolute] = '\0';
    return DRAY_TAKE(absolute);
}

static int load(const char *path, struct dray_diagnostics *diagnostics,
                struct dray_configuration *configuration, struct dray_error *error)
{
    dray_cleanup(dray_document_freep) struct dray_document *document = NULL;
    dray_autofree char *base = base_of(path);
    struct reader reader = {
        .diagnostics = diagnostics, .configuration = configuration, .base = base};
    size_t before = diagnostics->errors;

    if (!base)
        return dray_fail_memory(error);
    int result = dray_document_load(path, diagnostics, &document, error);
    if (result != 0 && result != DRAY_NO_MEMORY) {
        dray_autofree char *why = strdup(error->message);
        (void)dray_fail(error, DRAY_INVALID, "the configuration cannot be read: %s",
                        why ? why : path);
        dray_hint(error, "nothing is delivered without it");
        return DRAY_INVALID;
    }
    if (result != 0)
        return result;
    read_root(&reader, dray_document_root(document), (uint32_t)(diagnostics->source_count - 1));
    if (reader.no_memory || diagnostics->no_memory)
        return dray_fail_memory(error);
    dray_diagnostics_sort(diagnostics);
    return diagnostics->errors > before ? dray_diagnostics_error(diagnostics, error) : 0;
}

int dray_configuration_load(const char *path, struct dray_diagnostics *diagnostics,
                            struct dray_configuration *ret_configuration, struct dray_error *error)
{
    dray_cleanup(dray_configuration_clear) struct dray_configuration configuration = {
        .scratch = {.keep_failed = DRAY_KEEP_FAILED}};
    struct stat status;

    /* A link to nothing says that there should be one. */
    if (!path && lstat(SYSTEM_FILE, &status) != 0 && errno == ENOENT) {
        *ret_configuration = configuration;
        return 0;
    }
    int result = load(path ? path : SYSTEM_FILE, diagnostics, &configuration, error);
    if (result != 0)
        return result;
    *ret_configuration = configuration;
    configuration = (struct dray_configuration){0};
    return 0;
}

int dray_configuration_is(const char *path)
{
    dray_cleanup(dray_diagnostics_free) struct dray_diagnostics diagnostics = {0};
    dray_cleanup(dray_document_freep) struct dray_document *document = NULL;
    const char *slash = strrchr(path, '/');
    struct dray_error error = {0};
    struct stat status;

    /* What can be read once only is left to its reader. */
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) ||
        dray_document_load(path, &diagnostics, &document, &error) != 0)
        return 0;
    const struct dray_node *root = dray_document_root(document);
    if (dray_node_get(root, "steps") || dray_node_get(root, "dataset") ||
        dray_node_get(root, "policy") || dray_node_get(root, "rules"))
        return 0;
    const struct dray_node *policies = dray_node_get(root, "policies");
    int known = strcmp(slash ? slash + 1 : path, "dray.yaml") == 0 ||
                (policies && policies->kind == DRAY_NODE_MAPPING) ||
                dray_node_pair(root, "sources") != NULL ||
                dray_node_pair(root, "scratch") != NULL || dray_node_pair(root, "hpfs") != NULL;
    for (size_t i = READ_KEYS; !known && i < DRAY_COUNT(top_keys); i++)
        known = dray_node_pair(root, top_keys[i]) != NULL;
    return known;
}
