/* SPDX-License-Identifier: MIT */
/* rename_check.c - no two entries may meet in one path, and the file that lists what was renamed.
 */
#include "rename.h"

#include <stdlib.h>
#include <string.h>

/* ---- Collisions ---- */

static int by_key(const void *left, const void *right, void *arg)
{
    const struct rename_node *nodes = arg;
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    int order =
        rename_compare(nodes[a].key, nodes[a].key_length, nodes[b].key, nodes[b].key_length);

    return order != 0 ? order : (a > b) - (a < b);
}

static int is_below(const char *path, size_t length, const char *folder, size_t folder_length)
{
    return length > folder_length && path[folder_length] == '/' &&
           memcmp(path, folder, folder_length) == 0;
}

static int hint(struct dray_ctx *ctx, int result)
{
    ctx->host->hint(ctx, "give one of them another name in `map`, or leave it out with a filter "
                         "before this step");
    return result;
}

static int fail_same(struct dray_ctx *ctx, const struct rename_node *a, const struct rename_node *b)
{
    if (a->length == b->length && memcmp(a->path, b->path, a->length) == 0)
        return hint(ctx, ctx->host->fail(ctx, DRAY_CONFLICT,
                                         "\"%.*s\" and \"%.*s\" would both become \"%.*s\"",
                                         SHOWN(a->old, a->old_length), SHOWN(b->old, b->old_length),
                                         SHOWN(a->path, a->length)));
    return hint(ctx, ctx->host->fail(ctx, DRAY_CONFLICT,
                                     "\"%.*s\" and \"%.*s\" would become \"%.*s\" and \"%.*s\", "
                                     "which are one path on Windows",
                                     SHOWN(a->old, a->old_length), SHOWN(b->old, b->old_length),
                                     SHOWN(a->path, a->length), SHOWN(b->path, b->length)));
}

/* The length of the first segment. */
static size_t segment(const char *path, const char *end)
{
    const char *slash = memchr(path, '/', (size_t)(end - path));

    return (size_t)((slash != NULL ? slash : end) - path);
}

/* Are two directories one on Windows that are written differently? Their keys say that they are
 * one; a key has as many segments as its path. */
static int folders_clash(const struct rename_node *a, const struct rename_node *b)
{
    const char *key = a->key, *other = b->key, *left = a->path, *right = b->path;
    const char *key_end = key + a->key_length, *other_end = other + b->key_length;

    for (;;) {
        size_t length = segment(key, key_end), written = segment(left, a->path + a->length);
        if (length != segment(other, other_end) || memcmp(key, other, length) != 0)
            return 0;
        if (written != segment(right, b->path + b->length) || memcmp(left, right, written) != 0)
            return 1;
        key += length + 1;
        other += length + 1;
        left += written + 1;
        right += written + 1;
        if (key >= key_end || other >= other_end)
            return 0;
    }
}

static int check_pair(struct rename_tree *tree, const struct rename_node *a,
                      const struct rename_node *b)
{
    struct dray_ctx *ctx = tree->ctx;

    if (a->key_length == b->key_length && memcmp(a->key, b->key, a->key_length) == 0)
        return fail_same(ctx, a, b);
    if (is_below(b->key, b->key_length, a->key, a->key_length))
        return hint(ctx,
                    ctx->host->fail(ctx, DRAY_CONFLICT,
                                    "\"%.*s\" would become \"%.*s\", which must be a directory "
                                    "for \"%.*s\", that would become \"%.*s\"",
                                    SHOWN(a->old, a->old_length), SHOWN(a->path, a->length),
                                    SHOWN(b->old, b->old_length), SHOWN(b->path, b->length)));
    if (tree->rename->safe == SAFE_WINDOWS && folders_clash(a, b))
        return fail_same(ctx, a, b);
    return DRAY_OK;
}

/* The mapping file is an entry too. */
static int check_mapping(struct rename_tree *tree)
{
    const char *path = tree->rename->mapping;
    size_t length = 0;
    int result = DRAY_OK;

    if (path == NULL)
        return DRAY_OK;
    char *folded = tree->rename->safe == SAFE_WINDOWS
                       ? rename_safe_fold(path, strlen(path), &length)
                       : strdup(path);
    if (folded == NULL)
        return tree->ctx->host->fail(tree->ctx, DRAY_NO_MEMORY, "renaming: out of memory");
    length = strlen(folded);
    const struct rename_node mapping = {.path = path,
                                        .length = (uint32_t)strlen(path),
                                        .key = folded,
                                        .key_length = (uint32_t)length};
    for (uint64_t i = 0; i < tree->listed && result == DRAY_OK; i++) {
        const struct rename_node *node = &tree->nodes[tree->order[i]];
        if ((node->key_length == length && memcmp(node->key, folded, length) == 0) ||
            is_below(node->key, node->key_length, folded, length) ||
            is_below(folded, length, node->key, node->key_length) ||
            (tree->rename->safe == SAFE_WINDOWS && folders_clash(&mapping, node))) {
            result = tree->ctx->host->fail(tree->ctx, DRAY_CONFLICT,
                                           "the mapping \"%.400s\" cannot be beside \"%.*s\", that "
                                           "would become \"%.*s\"",
                                           path, SHOWN(node->old, node->old_length),
                                           SHOWN(node->path, node->length));
            tree->ctx->host->hint(tree->ctx, "give `mapping` a path that nothing else has");
        }
        if (result == DRAY_OK)
            result = rename_go_on(tree->ctx, i);
    }
    free(folded);
    return result;
}

int rename_tree_collide(struct rename_tree *tree)
{
    int result = rename_sort(tree, tree->order, tree->listed, by_key);

    for (uint64_t i = 1; i < tree->listed && result == DRAY_OK; i++) {
        result = check_pair(tree, &tree->nodes[tree->order[i - 1]], &tree->nodes[tree->order[i]]);
        if (result == DRAY_OK)
            result = rename_go_on(tree->ctx, i);
    }
    return result == DRAY_OK ? check_mapping(tree) : result;
}

/* ---- The mapping ---- */

/* Like TSV elsewhere: `\t`, `\n`, `\r` and `\\` for the bytes that would end a field or a line. */
static size_t add_field(char *out, const char *path, size_t length)
{
    size_t at = 0;

    for (size_t i = 0; i < length; i++) {
        const char *found = memchr("\t\n\r\\", path[i], 4);
        if (found == NULL) {
            out[at++] = path[i];
            continue;
        }
        out[at++] = '\\';
        out[at++] = *found == '\t' ? 't' : *found == '\n' ? 'n' : *found == '\r' ? 'r' : '\\';
    }
    return at;
}

static int write_lines(struct rename_tree *tree, struct dray_writer *writer, char *buffer,
                       size_t capacity)
{
    const struct dray_host *host = tree->ctx->host;
    static const char head[] = "new\told\n";
    size_t at = sizeof(head) - 1;
    int result = DRAY_OK;

    memcpy(buffer, head, at);
    for (uint64_t i = 0; i < tree->listed && result == DRAY_OK; i++) {
        const struct rename_node *node = &tree->nodes[tree->order[i]];
        if (!node->changed)
            continue;
        if (capacity - at < 2 * ((size_t)node->length + node->old_length) + 2) {
            result = host->write(tree->ctx, writer, buffer, at);
            at = 0;
        }
        at += add_field(buffer + at, node->path, node->length);
        buffer[at++] = '\t';
        at += add_field(buffer + at, node->old, node->old_length);
        buffer[at++] = '\n';
        if (result == DRAY_OK)
            result = rename_go_on(tree->ctx, i);
    }
    return result == DRAY_OK ? host->write(tree->ctx, writer, buffer, at) : result;
}

int rename_mapping_write(struct rename_tree *tree)
{
    const struct dray_host *host = tree->ctx->host;
    const size_t capacity = (size_t)256 << 10; /* far more than one line */
    struct dray_writer writer = {.size = sizeof(writer)};
    struct dray_item item = {.size = sizeof(item), .type = DRAY_FILE, .mode = 0644};

    item.path = tree->rename->mapping;
    item.path_length = strlen(item.path);
    /* The newest time of the dataset: the same dataset gives the same tree. */
    for (uint64_t i = 0; i < tree->count; i++)
        if (i == 0 || tree->nodes[i].mtime > item.mtime)
            item.mtime = tree->nodes[i].mtime;
    char *buffer = malloc(capacity);
    if (buffer == NULL)
        return host->fail(tree->ctx, DRAY_NO_MEMORY, "writing the mapping: out of memory");
    int result = host->create(tree->ctx, &item, &writer);
    if (result == DRAY_OK)
        result = write_lines(tree, &writer, buffer, capacity);
    if (result == DRAY_OK)
        result = host->finish(tree->ctx, &writer);
    free(buffer);
    return result;
}
