/* SPDX-License-Identifier: MIT */
/* rename_tree.c - every entry with its new path: what has nothing below it by the options, a
 * directory by where that went. */
#include "rename.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)1 << 20)

struct rename_block {
    struct rename_block *next;
    size_t used;
    char bytes[BLOCK];
};

char *rename_tree_keep(struct rename_tree *tree, const char *text, size_t length)
{
    struct rename_block *block = tree->blocks;

    if (length >= BLOCK)
        return NULL;
    if (block == NULL || BLOCK - block->used <= length) {
        block = malloc(sizeof(*block));
        if (block == NULL)
            return NULL;
        block->used = 0;
        block->next = tree->blocks;
        tree->blocks = block;
    }
    char *kept = block->bytes + block->used;
    memcpy(kept, text, length);
    kept[length] = '\0';
    block->used += length + 1;
    return kept;
}

void rename_tree_free(struct rename_tree *tree)
{
    while (tree->blocks != NULL) {
        struct rename_block *block = tree->blocks;
        tree->blocks = block->next;
        free(block);
    }
    free(tree->nodes);
    free(tree->order);
}

/* The order of trees: `/` before every other byte. */
int rename_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t shorter = a_length < b_length ? a_length : b_length, i = 0;

    while (i < shorter && a[i] == b[i])
        i++;
    if (i == shorter)
        return (a_length > b_length) - (a_length < b_length);
    unsigned left = a[i] == '/' ? 0 : (unsigned char)a[i];
    unsigned right = b[i] == '/' ? 0 : (unsigned char)b[i];
    return left < right ? -1 : 1;
}

static int fail_memory(const struct rename_tree *tree)
{
    return tree->ctx->host->fail(tree->ctx, DRAY_NO_MEMORY, "renaming: out of memory");
}

static int is_same(const struct rename_node *node)
{
    return node->path != NULL && node->length == node->old_length &&
           memcmp(node->path, node->old, node->length) == 0;
}

/* By what collisions are found: the path, on Windows without regard to case. */
static int set_key(struct rename_tree *tree, struct rename_node *node)
{
    node->key = node->path;
    node->key_length = node->length;
    if (tree->rename->safe != SAFE_WINDOWS)
        return DRAY_OK;
    size_t length = 0;
    char *folded = rename_safe_fold(node->path, node->length, &length);
    char *kept = folded != NULL ? rename_tree_keep(tree, folded, length) : NULL;
    free(folded);
    if (kept == NULL)
        return fail_memory(tree);
    node->key = kept;
    node->key_length = (uint32_t)length;
    return DRAY_OK;
}

static int rename_entry(struct rename_tree *tree, uint64_t id, struct rename_path *path)
{
    struct rename_node *node = &tree->nodes[id];
    int result = rename_path_make(tree->rename, tree->ctx, node->old, node->old_length, path);

    if (result != DRAY_OK)
        return result;
    node->path = rename_tree_keep(tree, path->bytes, path->length);
    if (node->path == NULL)
        return fail_memory(tree);
    node->length = (uint32_t)path->length;
    node->changed = !is_same(node);
    tree->order[tree->listed++] = id;
    return set_key(tree, node);
}

static int read_entry(struct rename_tree *tree, uint64_t id, uint64_t *folder,
                      struct rename_path *path)
{
    struct dray_entry entry = {.size = sizeof(entry)};
    struct rename_node *node = &tree->nodes[id];
    int result = tree->ctx->host->entry(tree->ctx, id, &entry);

    if (result != DRAY_OK)
        return result;
    node->old = rename_tree_keep(tree, entry.path, entry.path_length);
    if (node->old == NULL)
        return fail_memory(tree);
    node->old_length = (uint32_t)entry.path_length;
    node->type = (uint8_t)entry.type;
    node->parent = entry.parent != 0;
    node->mode = entry.mode;
    node->mtime = entry.mtime;
    while (*folder != tree->count) {
        const struct rename_node *above = &tree->nodes[*folder];
        if (node->old_length > above->old_length && node->old[above->old_length] == '/' &&
            memcmp(node->old, above->old, above->old_length) == 0)
            break;
        *folder = above->above;
    }
    node->above = *folder;
    if (!node->parent)
        return rename_entry(tree, id, path);
    *folder = id;
    return DRAY_OK;
}

/* A directory goes where all that is right below it goes, or is split up. What is below an entry
 * comes behind it, so that from the last to the first each is known before it is needed. */
static void settle_directories(struct rename_tree *tree)
{
    for (uint64_t id = tree->count; id-- > 0;) {
        struct rename_node *node = &tree->nodes[id], *above = &tree->nodes[node->above];
        size_t length = node->length;
        node->end = node->end > id ? node->end : id + 1;
        above->end = above->end > node->end ? above->end : node->end;
        if (node->split)
            node->path = NULL;
        if (node->parent)
            node->changed = !is_same(node);
        if (node->path == NULL || node->length == 0)
            continue;
        while (length > 0 && node->path[length - 1] != '/')
            length--;
        length -= length > 0;
        if (above->path == NULL) {
            above->path = node->path;
            above->length = (uint32_t)length;
        } else if (above->length != length || memcmp(above->path, node->path, length) != 0) {
            above->split = 1;
        }
    }
    struct rename_node *root = &tree->nodes[tree->count];
    if (root->split || root->path == NULL) { /* then all of it is below the new root */
        root->path = "";
        root->length = 0;
    }
    root->changed = !is_same(root);
}

int rename_tree_read(struct rename_tree *tree)
{
    struct dray_ctx *ctx = tree->ctx;
    struct rename_path *path = malloc(sizeof(*path));
    uint64_t folder;
    int result = DRAY_OK;

    folder = tree->count = ctx->host->count(ctx);
    tree->nodes = calloc(tree->count + 1, sizeof(*tree->nodes));
    tree->order = calloc(tree->count + 1, sizeof(*tree->order));
    if (path == NULL || tree->nodes == NULL || tree->order == NULL) {
        free(path);
        return fail_memory(tree);
    }
    tree->nodes[tree->count] =
        (struct rename_node){.old = "", .above = tree->count, .type = DRAY_DIRECTORY, .parent = 1};
    for (uint64_t id = 0; id < tree->count && result == DRAY_OK; id++) {
        result = read_entry(tree, id, &folder, path);
        if (result == DRAY_OK)
            result = rename_go_on(ctx, id);
    }
    free(path);
    if (result == DRAY_OK)
        settle_directories(tree);
    return result;
}
