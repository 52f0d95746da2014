/* SPDX-License-Identifier: MIT */
/* rename_link.c - a symbolic link within the tree leads where it led, under the new names. */
#include "rename.h"

#include <string.h>

#define FOLLOWED 40

/* A walk along a link's target, from directory to directory. */
struct walk {
    const struct rename_tree *tree;
    uint64_t at;
    int moved; /* something on the way has another path now */
    int out;   /* it left the tree */
    int followed;
    char
        rest[RENAME_ROOM]; /* still to be walked, at its end: what is put before it moves nothing */
    const char *next;      /* where that begins */
};

/* The entry of that name in a directory, or -1. Entries are sorted by their old paths, so that all
 * that is below it comes right behind it. */
static int64_t find(const struct walk *walk, const char *name, size_t length)
{
    const struct rename_node *folder = &walk->tree->nodes[walk->at];
    size_t front = folder->old_length > 0 ? folder->old_length + (size_t)1 : 0;
    int root = walk->at == walk->tree->count;
    uint64_t low = root ? 0 : walk->at + 1, high = root ? walk->tree->count : folder->end;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        const struct rename_node *node = &walk->tree->nodes[middle];
        int order = rename_compare(name, length, node->old + front, node->old_length - front);
        if (order == 0)
            return (int64_t)middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* A link on the way is gone through: what it says comes before the rest. */
static int follow(struct walk *walk, uint64_t id, const char *rest)
{
    struct dray_entry entry = {.size = sizeof(entry)};
    struct dray_ctx *ctx = walk->tree->ctx;
    char *to = walk->rest + (rest - walk->rest);

    if (ctx->host->entry(ctx, id, &entry) != DRAY_OK || entry.link == NULL ||
        entry.link[0] == '/' || ++walk->followed > FOLLOWED ||
        entry.link_length + 1 > (uint64_t)(rest - walk->rest))
        return -1;
    *--to = '/';
    to -= entry.link_length;
    memcpy(to, entry.link, entry.link_length);
    walk->next = to;
    return 0;
}

/* One segment further; -1 where the target leads nowhere that is known. */
static int step(struct walk *walk, const char *name, size_t length, const char *rest)
{
    const struct rename_node *nodes = walk->tree->nodes;
    int last = rest[strspn(rest, "/")] == '\0';

    if (length == 2 && memcmp(name, "..", 2) == 0) {
        walk->out = walk->at == walk->tree->count;
        walk->at = nodes[walk->at].above;
    } else if (length != 1 || name[0] != '.') {
        int64_t id = find(walk, name, length);
        if (id < 0 || (!last && nodes[id].type == DRAY_FILE))
            return -1;
        walk->moved = walk->moved || nodes[id].changed;
        if (!last && nodes[id].type == DRAY_LINK)
            return follow(walk, (uint64_t)id, rest);
        walk->at = (uint64_t)id;
    }
    walk->moved = walk->moved || nodes[walk->at].changed;
    walk->next = rest;
    return walk->out ? -1 : 0;
}

static int walk_target(struct walk *walk)
{
    for (;;) {
        const char *name = walk->next + strspn(walk->next, "/");
        size_t length = strcspn(name, "/");
        if (length == 0)
            return 0;
        if (step(walk, name, length, name + length) != 0)
            return -1;
    }
}

/* From the directory of a path to another path. */
static int relative(const struct rename_node *from, const struct rename_node *to, char *room)
{
    size_t same = 0, at = 0;

    /* `same`: up to behind the last slash that both have. */
    for (size_t i = 0; i < from->length && i < to->length && from->path[i] == to->path[i]; i++)
        if (from->path[i] == '/')
            same = i + 1;
    /* Of a directory that the link is in, nothing is left to name. */
    if (to->length < from->length && from->path[to->length] == '/' &&
        memcmp(from->path, to->path, to->length) == 0)
        same = to->length + (size_t)1;
    if (to->length == 0)
        same = 0;
    for (size_t i = same; i < from->length; i++) {
        if (from->path[i] != '/')
            continue;
        if (at + 4 >= RENAME_LONGEST)
            return -1;
        memcpy(room + at, "../", 3);
        at += 3;
    }
    size_t rest = to->length > same ? to->length - same : 0;
    if (at + rest + 2 >= RENAME_LONGEST)
        return -1;
    if (rest > 0)
        memcpy(room + at, to->path + same, rest);
    at += rest;
    if (rest == 0 && at > 0)
        at--; /* the slash behind `..` */
    if (at == 0)
        room[at++] = '.';
    room[at] = '\0';
    return 0;
}

static int fail_link(struct rename_tree *tree, const struct rename_node *node, const char *link,
                     const char *why)
{
    struct dray_ctx *ctx = tree->ctx;
    int result = ctx->host->fail(ctx, DRAY_INVALID,
                                 "the symbolic link \"%.*s\" -> \"%.400s\" cannot be renamed: %s",
                                 SHOWN(node->old, node->old_length), link, why);

    ctx->host->hint(ctx, "leave links out:  tree: { symlinks: skip }");
    return result;
}

int rename_link_target(struct rename_tree *tree, uint64_t id, const char *link, char *room,
                       const char **ret_target)
{
    const struct rename_node *node = &tree->nodes[id];
    struct walk walk = {.tree = tree, .at = node->above, .moved = node->changed};

    *ret_target = NULL;
    size_t length = strlen(link);
    if (link[0] == '/' || length >= sizeof(walk.rest))
        return DRAY_OK;
    walk.next = memcpy(walk.rest + sizeof(walk.rest) - 1 - length, link, length + 1);
    walk.moved = walk.moved || tree->nodes[walk.at].changed;
    if (walk_target(&walk) != 0)
        return walk.out && node->changed ? fail_link(tree, node, link, "it leaves the dataset")
                                         : DRAY_OK;
    if (!walk.moved)
        return DRAY_OK;
    const struct rename_node *to = &tree->nodes[walk.at];
    if (to->path == NULL)
        return fail_link(tree, node, link, "the directory that it leads to is split up");
    if (relative(node, to, room) != 0)
        return fail_link(tree, node, link, "what it must lead to is too long");
    *ret_target = room;
    return DRAY_OK;
}
