/* SPDX-License-Identifier: MIT */
/* transform/rename: other paths for entries (docs/transforms.md). */
#include "rename.h"

#include <stdlib.h>
#include <string.h>

static const struct dray_option options[] = {
    DRAY_OPTION_INT(struct rename, strip, "0", 0, 1000, "Take so many leading segments away"),
    DRAY_OPTION_STRING(struct rename, strip_prefix, 0, NULL,
                       "Take this directory away from the paths below it"),
    DRAY_OPTION_MAP(struct rename, map, 0, "Path or directory and its new path; the longest wins"),
    DRAY_OPTION_MAP(
        struct rename, regex, 0,
        "Pattern (PCRE2) and what replaces its matches in the path, with $1 for groups"),
    DRAY_OPTION_STRING(struct rename, prefix, 0, NULL, "Put all into this directory"),
    {"case", "Letters of all paths", "keep", "keep|lower|upper", 0, 0, DRAY_TYPE_CHOICE, 0,
     DRAY_OFFSET(struct rename, letters, int64_t), 0},
    DRAY_OPTION_CHOICE(struct rename, unicode, "keep", "keep|NFC", "Normal form of all paths"),
    DRAY_OPTION_CHOICE(struct rename, safe, "none", "none|windows|object-store",
                       "Replace by _ what names cannot have there"),
    DRAY_OPTION_STRING(struct rename, mapping, 0, NULL,
                       "Add a file of this path that lists new and old paths"),
};

static void destroy(void *self)
{
    struct rename *rename = self;
    rename_regex_free(rename->compiled);
    free(rename->by_key);
}

static int prepare(void *self, struct dray_ctx *ctx)
{
    struct rename *rename = self;
    rename->compiled = NULL;
    rename->by_key = NULL;
    int result = rename_path_prepare(rename, ctx);
    int compiled = rename_regex_compile(ctx, &rename->regex, &rename->compiled);
    result = compiled != DRAY_OK && result != DRAY_NO_MEMORY ? compiled : result;
    if (result != DRAY_OK) /* then nobody calls destroy */
        destroy(rename);
    return result;
}

static int keep_link(struct rename_tree *tree, uint64_t id)
{
    const struct dray_host *host = tree->ctx->host;
    const struct rename_node *node = &tree->nodes[id];
    struct dray_entry entry = {.size = sizeof(entry)};
    const char *target = NULL;
    char room[RENAME_ROOM];
    int result = host->entry(tree->ctx, id, &entry);

    if (result == DRAY_OK)
        result = rename_link_target(tree, id, entry.link, room, &target);
    if (result != DRAY_OK)
        return result;
    if (target != NULL && strcmp(target, entry.link) != 0)
        return host->keep_link(tree->ctx, id, node->path, target);
    return host->keep(tree->ctx, id, node->changed ? node->path : NULL);
}

static int keep_listed(struct rename_tree *tree)
{
    int result = DRAY_OK;

    for (uint64_t id = 0; id < tree->count && result == DRAY_OK; id++) {
        const struct rename_node *node = &tree->nodes[id];
        if (node->type == DRAY_LINK)
            result = keep_link(tree, id);
        else if (!node->parent)
            result = tree->ctx->host->keep(tree->ctx, id, node->changed ? node->path : NULL);
        if (result == DRAY_OK)
            result = rename_go_on(tree->ctx, id);
    }
    return result;
}

/* Directories by their new paths; of one path the one that lets in fewest comes first. */
static int by_place(const void *left, const void *right, void *arg)
{
    const struct rename_node *nodes = arg;
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    int order = rename_compare(nodes[a].path, nodes[a].length, nodes[b].path, nodes[b].length);

    if (order == 0)
        order = __builtin_popcount(nodes[a].mode & 0777) - __builtin_popcount(nodes[b].mode & 0777);
    return order != 0 ? order : (a > b) - (a < b);
}

static int keep_directory(struct rename_tree *tree, uint64_t id)
{
    const struct rename_node *node = &tree->nodes[id];
    const char *path = NULL;

    if (node->changed) {
        path = rename_tree_keep(tree, node->path, node->length);
        if (path == NULL)
            return tree->ctx->host->fail(tree->ctx, DRAY_NO_MEMORY, "renaming: out of memory");
    }
    return tree->ctx->host->keep(tree->ctx, id, path);
}

/* Directories keep mode and time where they have one place; the host makes the others. */
static int keep_directories(struct rename_tree *tree)
{
    struct rename_node *nodes = tree->nodes;
    uint64_t *order = tree->order, count = 0;

    for (uint64_t id = 0; id < tree->count; id++)
        if (nodes[id].parent && nodes[id].path != NULL && nodes[id].length > 0)
            order[count++] = id;
    int result = rename_sort(tree, order, count, by_place);
    for (uint64_t i = 0; i < count && result == DRAY_OK; i++) {
        if (i == 0 || rename_compare(nodes[order[i]].path, nodes[order[i]].length,
                                     nodes[order[i - 1]].path, nodes[order[i - 1]].length) != 0)
            result = keep_directory(tree, order[i]);
        if (result == DRAY_OK)
            result = rename_go_on(tree->ctx, i);
    }
    return result;
}

static int apply(void *self, struct dray_ctx *ctx)
{
    const struct rename *rename = self;
    struct rename_tree tree = {.rename = rename, .ctx = ctx};
    int result = rename_tree_read(&tree);

    if (result == DRAY_OK)
        result = rename_tree_collide(&tree);
    if (result == DRAY_OK)
        result = keep_listed(&tree);
    if (result == DRAY_OK && rename->mapping != NULL)
        result = rename_mapping_write(&tree);
    if (result == DRAY_OK)
        result = keep_directories(&tree);
    rename_tree_free(&tree);
    return result;
}

static const struct dray_transform_operations operations = {
    .size = sizeof(operations),
    .apply = apply,
};

DRAY_PLUGIN(DRAY_KIND_TRANSFORM, 0, "rename", "1.0.0", "Give entries other paths", struct rename,
            options, &operations, .prepare = prepare, .destroy = destroy);
