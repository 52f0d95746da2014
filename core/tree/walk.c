/* SPDX-License-Identifier: MIT */
/*
 * walk.c - everything below a directory as entries.
 *
 * A folder is listed at once and sorted, and what is below it follows before the next name: entries
 * come in the order of a tree. A folder that waits holds memory but no descriptor; however deep the
 * tree is, a thread has one open at a time. Folders side by side are listed ahead by all threads, a
 * few at a time; what is found comes in the same order.
 */
#include "core/tree/walk.h"

#include <assert.h>
#include <string.h>

#include "core/tree/walk_folder.h"

/* How many folders are listed ahead, at each depth. */
#define AHEAD 32

/* A folder that was listed before its turn. */
struct ahead {
    const struct dray_listed_name *name; /* of its parent's */
    char *path;
    struct dray_folder folder;
    struct dray_error error; /* what listing it failed with, for when its turn comes */
};

/* A folder whose names are being passed on. */
struct level {
    struct dray_folder folder;
    size_t next;         /* the name that comes next */
    struct ahead *ahead; /* AHEAD of them, or NULL: its folders are listed one by one */
    size_t ahead_count, ahead_next;
};

/* Files with several names, by device and inode: open addressing, a free slot has group 0. */
struct linked {
    uint64_t device;
    uint64_t inode;
    uint32_t group;
};
struct linked_set {
    struct linked *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

struct walk {
    struct dray_tree_builder *builder;
    struct dray_roots *roots;
    const struct dray_root *root;
    uint32_t root_number;
    struct dray_pool *pool; /* NULL: this thread alone */
    int (*cancelled)(void *arg);
    void *arg;
    struct dray_error *error;
    struct level *levels; /* from the root down to the folder being walked */
    size_t depth;
    size_t depth_capacity;
    struct linked_set linked;
    unsigned asked;
    char path[DRAY_PATH_LONGEST + 1]; /* of the folder or name at hand, below the root */
};

static void ahead_free(struct level *level)
{
    for (size_t i = 0; i < level->ahead_count; i++) {
        dray_folder_free(&level->ahead[i].folder);
        free(level->ahead[i].path);
    }
    level->ahead_count = level->ahead_next = 0;
}

static void level_free(struct level *level)
{
    ahead_free(level);
    free(level->ahead);
    dray_folder_free(&level->folder);
}

static void walk_end(struct walk *walk)
{
    while (walk->depth > 0)
        level_free(&walk->levels[--walk->depth]);
    free(walk->levels);
    free(walk->linked.slots);
}

static int check_cancelled(struct walk *walk)
{
    if (walk->cancelled == NULL || walk->asked++ % 256 != 0 || !walk->cancelled(walk->arg))
        return 0;
    return dray_fail(walk->error, DRAY_CANCELLED, "listing %s: cancelled", walk->root->path);
}

/* ---- The path at hand ---------------------------------------------------------------------- */

static int enter_name(struct walk *walk, size_t folder_length,
                      const struct dray_listed_name *listed)
{
    size_t start = folder_length == 0 ? 0 : folder_length + 1;

    if (start + listed->name_length > DRAY_PATH_LONGEST) {
        walk->path[folder_length] = '\0';
        return dray_fail(walk->error, DRAY_INVALID,
                         "listing %s/%.400s: a path below it is longer than %d bytes",
                         walk->root->path, walk->path, DRAY_PATH_LONGEST);
    }
    if (start > 0)
        walk->path[start - 1] = '/';
    memcpy(walk->path + start, listed->name, listed->name_length + (size_t)1);
    return 0;
}

/* ---- Listing folders ----------------------------------------------------------------------- */

static struct dray_folder_place place_of(const struct walk *walk, const char *path,
                                         const struct dray_listed_name *expected)
{
    return (struct dray_folder_place){.roots = walk->roots,
                                      .root = walk->root,
                                      .path = path,
                                      .expected = expected,
                                      .cancelled = walk->cancelled,
                                      .arg = walk->arg};
}

struct ahead_loop {
    const struct walk *walk;
    struct ahead *ahead;
};

static int list_ahead(void *arg, uint64_t index)
{
    const struct ahead_loop *loop = arg;
    struct ahead *ahead = &loop->ahead[index];
    struct dray_folder_place place = place_of(loop->walk, ahead->path, ahead->name);

    /* Told in its turn. */
    return dray_folder_list(&place, &ahead->folder, &ahead->error) == DRAY_CANCELLED
               ? DRAY_CANCELLED
               : 0;
}

/* The folder's next folders, from its name number `from` on, are listed by all threads; walk->path
 * is that of the first of them. */
static int look_ahead(struct walk *walk, struct level *level, size_t from)
{
    const struct dray_folder *folder = &level->folder;

    ahead_free(level);
    if (level->ahead == NULL)
        level->ahead = calloc(AHEAD, sizeof *level->ahead);
    if (level->ahead == NULL)
        return dray_fail_memory(walk->error);
    for (size_t i = from; i < folder->count && level->ahead_count < AHEAD; i++) {
        struct ahead *ahead = &level->ahead[level->ahead_count];
        if (folder->names[i].type != DRAY_DIRECTORY)
            continue;
        int length = (int)folder->path_length;
        *ahead = (struct ahead){.name = &folder->names[i]};
        ahead->path = dray_format("%.*s%s%s", length, walk->path, length == 0 ? "" : "/",
                                  folder->names[i].name);
        if (ahead->path == NULL)
            return dray_fail_memory(walk->error);
        level->ahead_count++;
    }
    struct ahead_loop loop = {walk, level->ahead};
    if (dray_pool_run(walk->pool, level->ahead_count, list_ahead, &loop) != 0)
        return dray_fail(walk->error, DRAY_CANCELLED, "listing %s: cancelled", walk->root->path);
    return 0;
}

static int has_another_folder(const struct level *level, size_t from)
{
    for (size_t i = from; i < level->folder.count; i++)
        if (level->folder.names[i].type == DRAY_DIRECTORY)
            return 1;
    return 0;
}

/* The listing of the folder at walk->path, a name of the last level: made ahead, or now. */
static int list_next(struct walk *walk, const struct dray_listed_name *listed,
                     struct dray_folder *ret_folder)
{
    struct level *parent = &walk->levels[walk->depth - 1];

    if (walk->pool != NULL && parent->ahead_next == parent->ahead_count &&
        has_another_folder(parent, parent->next)) {
        int result = look_ahead(walk, parent, parent->next - 1);
        if (result != 0)
            return result;
    }
    if (parent->ahead_next == parent->ahead_count) {
        struct dray_folder_place place = place_of(walk, walk->path, listed);
        return dray_folder_list(&place, ret_folder, walk->error);
    }
    struct ahead *ahead = &parent->ahead[parent->ahead_next++];
    assert(ahead->name == listed);
    *ret_folder = ahead->folder;
    ahead->folder = (struct dray_folder){0};
    if (ahead->error.class_ != 0)
        *walk->error = ahead->error;
    return ahead->error.class_;
}

/* Enter the folder at walk->path; `listed` is what its parent's listing says, NULL for the root. */
static int enter_folder(struct walk *walk, const struct dray_listed_name *listed)
{
    struct level level = {.next = 0};
    int result;

    if (DRAY_GROW(walk->levels, walk->depth, walk->depth_capacity) != 0)
        return dray_fail_memory(walk->error);
    if (listed != NULL) {
        result = list_next(walk, listed, &level.folder);
    } else {
        struct dray_folder_place place = place_of(walk, walk->path, NULL);
        result = dray_folder_list(&place, &level.folder, walk->error);
    }
    walk->levels[walk->depth++] = level;
    return result;
}

/* ---- Hard links ---------------------------------------------------------------------------- */

static struct linked *find_linked(struct linked_set *set, uint64_t device, uint64_t inode)
{
    uint64_t hash = (inode ^ (device << 32 | device >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    size_t slot = (size_t)(hash >> 20) & (set->capacity - 1);

    while (set->slots[slot].group != 0 &&
           (set->slots[slot].device != device || set->slots[slot].inode != inode))
        slot = (slot + 1) & (set->capacity - 1);
    return &set->slots[slot];
}

static int grow_linked(struct linked_set *set)
{
    struct linked_set larger = {.capacity = set->capacity == 0 ? 64 : 2 * set->capacity,
                                .count = set->count};

    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return -1;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i].group != 0)
            *find_linked(&larger, set->slots[i].device, set->slots[i].inode) = set->slots[i];
    free(set->slots);
    *set = larger;
    return 0;
}

static int link_group(struct walk *walk, const struct dray_listed_name *listed, uint32_t *ret_group)
{
    *ret_group = 0;
    if (listed->type != DRAY_FILE || listed->links < 2)
        return 0;
    if (2 * walk->linked.count >= walk->linked.capacity && grow_linked(&walk->linked) != 0)
        return dray_fail_memory(walk->error);
    struct linked *linked =
        find_linked(&walk->linked, listed->identity.device, listed->identity.inode);
    if (linked->group == 0) {
        *linked = (struct linked){.device = listed->identity.device,
                                  .inode = listed->identity.inode,
                                  .group = dray_roots_link_group(walk->roots)};
        walk->linked.count += linked->group != 0;
    }
    *ret_group = linked->group;
    return 0;
}

/* ---- The walk ------------------------------------------------------------------------------ */

static int add_name(struct walk *walk, const struct dray_listed_name *listed)
{
    struct dray_tree_entry entry = {
        .path = walk->path,
        .path_length = (uint32_t)strlen(walk->path),
        .at = listed->link,
        .bytes = listed->identity.bytes,
        .mtime = listed->identity.mtime,
        .ctime = listed->identity.ctime,
        .device = listed->identity.device,
        .inode = listed->identity.inode,
        .root = walk->root_number,
        .mode = listed->mode,
        .type = listed->type,
    };
    int result = link_group(walk, listed, &entry.link_group);

    return result != 0 ? result : dray_tree_builder_add(walk->builder, &entry, walk->error);
}

static int walk_directory(struct walk *walk)
{
    int result = enter_folder(walk, NULL);

    while (result == 0 && walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        if (level->next == level->folder.count) {
            level_free(level);
            walk->depth--;
            continue;
        }
        const struct dray_listed_name *listed = &level->folder.names[level->next++];
        result = check_cancelled(walk);
        if (result == 0)
            result = enter_name(walk, level->folder.path_length, listed);
        if (result == 0)
            result = add_name(walk, listed);
        /* `listed` stays where it is: levels may move, their names do not. */
        if (result == 0 && listed->type == DRAY_DIRECTORY)
            result = enter_folder(walk, listed);
    }
    return result;
}

/* One file is a tree of one entry, with the file itself as root. */
static int add_file(struct walk *walk)
{
    const struct dray_file_identity *identity = &walk->root->identity;
    const char *slash = strrchr(walk->root->path, '/');
    const char *name = slash == NULL ? walk->root->path : slash + 1;
    struct dray_tree_entry entry = {
        .path = name,
        .path_length = (uint32_t)strlen(name),
        .bytes = identity->bytes,
        .mtime = identity->mtime,
        .ctime = identity->ctime,
        .device = identity->device,
        .inode = identity->inode,
        .root = walk->root_number,
        .mode = walk->root->mode,
        .type = DRAY_FILE,
    };

    dray_tree_builder_root(walk->builder, 0755, identity->mtime);
    return dray_tree_builder_add(walk->builder, &entry, walk->error);
}

int dray_walk(struct dray_tree_builder *builder, struct dray_roots *roots, struct dray_pool *pool,
              const char *path, int (*cancelled)(void *arg), void *arg, struct dray_error *error)
{
    struct walk walk = {.builder = builder,
                        .roots = roots,
                        .pool = pool,
                        .cancelled = cancelled,
                        .arg = arg,
                        .error = error};
    int result = dray_roots_add(roots, path, &walk.root_number, error);

    if (result != 0)
        return result;
    walk.root = dray_roots_get(roots, walk.root_number);
    assert(walk.root != NULL);
    if (walk.root->directory) {
        dray_tree_builder_root(builder, walk.root->mode, walk.root->identity.mtime);
        result = walk_directory(&walk);
    } else {
        result = add_file(&walk);
    }
    walk_end(&walk);
    if (result != 0 && result != DRAY_CANCELLED && result != DRAY_NO_MEMORY)
        error->side = DRAY_SIDE_SOURCE;
    return result;
}
