/* SPDX-License-Identifier: MIT */
/* tree.c - trees: what they are made of, finding in them, selecting from them. */
#include "core/tree/tree.h"

#include <string.h>

#include "core/tree/internal.h"

_Static_assert(sizeof(struct dray_tree_entry) == 128, "trees have millions of entries");

/* ---- Stores and parts ---------------------------------------------------------------------- */

static struct dray_tree_store *store_ref(struct dray_tree_store *store)
{
    (void)__atomic_add_fetch(&store->references, 1, __ATOMIC_RELAXED);
    return store;
}

static void store_unref(struct dray_tree_store *store)
{
    if (__atomic_sub_fetch(&store->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    dray_arena_free(&store->arena);
    free(store);
}

void dray_tree_parts_clear(struct dray_tree_parts *parts)
{
    for (size_t i = 0; i < parts->store_count; i++)
        store_unref(parts->stores[i]);
    free(parts->stores);
    free(parts->entries);
    *parts = (struct dray_tree_parts){.root_mode = 0755};
}

/* Takes a reference over. */
static int add_store(struct dray_tree_parts *parts, struct dray_tree_store *store)
{
    if (DRAY_GROW(parts->stores, parts->store_count, parts->store_capacity) != 0) {
        store_unref(store);
        return -1;
    }
    parts->stores[parts->store_count++] = store;
    return 0;
}

int dray_tree_parts_adopt(struct dray_tree_parts *parts, const struct dray_tree *tree)
{
    for (size_t i = 0; i < tree->store_count; i++) {
        size_t known = 0;
        while (known < parts->store_count && parts->stores[known] != tree->stores[i])
            known++;
        if (known == parts->store_count && add_store(parts, store_ref(tree->stores[i])) != 0)
            return -1;
    }
    return 0;
}

static struct dray_tree_store *own_store(struct dray_tree_parts *parts)
{
    if (parts->own != NULL)
        return parts->own;
    struct dray_tree_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->references = 1;
    if (add_store(parts, store) != 0)
        return NULL;
    parts->own = store;
    return store;
}

/* Text at the end of an entry's own piece of memory, with a NUL. */
static char *put(char **room, const char *text, size_t length)
{
    char *copy = *room;

    memcpy(copy, text, length);
    copy[length] = '\0';
    *room += length + 1;
    return copy;
}

const struct dray_tree_entry *dray_tree_parts_copy(struct dray_tree_parts *parts,
                                                   const struct dray_tree_entry *entry)
{
    struct dray_tree_store *store = own_store(parts);
    size_t at_length = entry->at == NULL ? 0 : strlen(entry->at);
    size_t from_length = entry->from == NULL ? 0 : strlen(entry->from);
    size_t md5_length = entry->md5 == NULL ? 0 : DRAY_MD5_BYTES;
    size_t size = sizeof *entry + entry->path_length + 1 + (entry->at == NULL ? 0 : at_length + 1) +
                  (entry->from == NULL ? 0 : from_length + 1) + md5_length;

    if (store == NULL)
        return NULL;
    /* One piece for all: what is sorted and compared lies together. */
    struct dray_tree_entry *copy = dray_arena_alloc(&store->arena, size, _Alignof(uint64_t));
    if (copy == NULL)
        return NULL;
    char *room = (char *)(copy + 1);
    *copy = *entry;
    copy->path = put(&room, entry->path, entry->path_length);
    if (entry->at != NULL)
        copy->at = put(&room, entry->at, at_length);
    if (entry->from != NULL)
        copy->from = put(&room, entry->from, from_length);
    if (entry->md5 != NULL) {
        memcpy(room, entry->md5, DRAY_MD5_BYTES);
        copy->md5 = (const uint8_t *)room;
    }
    return copy;
}

int dray_tree_parts_list(struct dray_tree_parts *parts, const struct dray_tree_entry *entry)
{
    if (DRAY_GROW(parts->entries, parts->count, parts->capacity) != 0)
        return -1;
    parts->entries[parts->count++] = entry;
    return 0;
}

/* Is there anything below entries[index]? It would stand right behind it. */
static int has_below(const struct dray_tree_entry *const *entries, size_t count, size_t index)
{
    const struct dray_tree_entry *entry = entries[index];

    return entry->type == DRAY_DIRECTORY && index + 1 < count &&
           dray_path_is_below(entries[index + 1]->path, entries[index + 1]->path_length,
                              entry->path, entry->path_length);
}

static int add_totals(struct dray_tree *tree, struct dray_error *error)
{
    for (size_t i = 0; i < tree->count; i++) {
        tree->listed += !has_below(tree->entries, tree->count, i);
        if (tree->entries[i]->type == DRAY_FILE &&
            __builtin_add_overflow(tree->bytes, tree->entries[i]->bytes, &tree->bytes))
            return dray_fail(error, DRAY_INVALID,
                             "adding up the sizes of %zu entries: the sum is over 2^64 bytes",
                             tree->count);
    }
    return 0;
}

int dray_tree_parts_seal(struct dray_tree_parts *parts, struct dray_tree **ret_tree,
                         struct dray_error *error)
{
    struct dray_tree *tree = calloc(1, sizeof *tree);

    if (tree == NULL)
        return dray_fail_memory(error);
    tree->references = 1;
    tree->entries = parts->entries;
    tree->count = parts->count;
    tree->root_mtime = parts->root_mtime;
    tree->root_mode = parts->root_mode;
    int result = add_totals(tree, error);
    if (result != 0) {
        free(tree);
        return result;
    }
    if (parts->count > 0 && parts->count < parts->capacity) {
        /* An array that doubled may be half empty. */
        void *exact = realloc(parts->entries, parts->count * sizeof *parts->entries);
        tree->entries = exact == NULL ? parts->entries : exact;
    }
    tree->stores = parts->stores;
    tree->store_count = parts->store_count;
    *parts = (struct dray_tree_parts){.root_mode = 0755};
    *ret_tree = tree;
    return 0;
}

/* ---- Trees --------------------------------------------------------------------------------- */

struct dray_tree *dray_tree_ref(struct dray_tree *tree)
{
    (void)__atomic_add_fetch(&tree->references, 1, __ATOMIC_RELAXED);
    return tree;
}

void dray_tree_unref(struct dray_tree *tree)
{
    if (tree == NULL || __atomic_sub_fetch(&tree->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < tree->store_count; i++)
        store_unref(tree->stores[i]);
    free(tree->stores);
    /* The array is const for its readers and ours to free. */
    free((void *)(uintptr_t)tree->entries);
    free(tree);
}

void dray_tree_unrefp(struct dray_tree **tree)
{
    dray_tree_unref(*tree);
    *tree = NULL;
}

int dray_tree_is_parent(const struct dray_tree *tree, size_t index)
{
    return has_below(tree->entries, tree->count, index);
}

int64_t dray_tree_find(const struct dray_tree *tree, const char *path, size_t length)
{
    size_t from = 0;
    size_t to = tree->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        const struct dray_tree_entry *entry = tree->entries[middle];
        int order = dray_path_compare(entry->path, entry->path_length, path, length);
        if (order == 0)
            return (int64_t)middle;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return -1;
}

/* Which entries stay, from the last to the first, so that what is below a directory is settled
 * before it: the kept entries, at the end of `kept`. Returns how many. */
static size_t choose(const struct dray_tree *tree, const uint8_t *keep, int keep_empty,
                     const struct dray_tree_entry **kept)
{
    size_t first = tree->count;

    for (size_t i = tree->count; i-- > 0;) {
        const struct dray_tree_entry *entry = tree->entries[i];
        int stays = keep[i] != 0;
        if (dray_tree_is_parent(tree, i)) {
            const struct dray_tree_entry *next = first < tree->count ? kept[first] : NULL;
            stays = (stays && keep_empty) ||
                    (next != NULL && dray_path_is_below(next->path, next->path_length, entry->path,
                                                        entry->path_length));
        }
        if (stays)
            kept[--first] = entry;
    }
    return tree->count - first;
}

int dray_tree_select(struct dray_tree *tree, const uint8_t *keep, int keep_empty,
                     struct dray_tree **ret_tree, struct dray_error *error)
{
    struct dray_tree_parts parts = {.root_mode = tree->root_mode, .root_mtime = tree->root_mtime};

    parts.capacity = tree->count > 0 ? tree->count : 1;
    parts.entries = calloc(parts.capacity, sizeof *parts.entries);
    if (parts.entries == NULL)
        return dray_fail_memory(error);
    parts.count = choose(tree, keep, keep_empty, parts.entries);
    if (parts.count == tree->count) {
        dray_tree_parts_clear(&parts);
        *ret_tree = dray_tree_ref(tree);
        return 0;
    }
    memmove(parts.entries, parts.entries + (tree->count - parts.count),
            parts.count * sizeof *parts.entries);
    int result = dray_tree_parts_adopt(&parts, tree) != 0
                     ? dray_fail_memory(error)
                     : dray_tree_parts_seal(&parts, ret_tree, error);
    if (result != 0)
        dray_tree_parts_clear(&parts);
    return result;
}

int dray_tree_join(struct dray_tree *const *trees, size_t count, struct dray_tree **ret_tree,
                   struct dray_error *error)
{
    struct dray_tree_parts parts = {.root_mode = 0755};
    int result = 0;

    if (count == 1) {
        *ret_tree = dray_tree_ref(trees[0]);
        return 0;
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        if (dray_tree_parts_adopt(&parts, trees[i]) != 0)
            result = dray_fail_memory(error);
        for (size_t j = 0; j < trees[i]->count && result == 0; j++)
            if (dray_tree_parts_list(&parts, trees[i]->entries[j]) != 0)
                result = dray_fail_memory(error);
    }
    if (count > 0) {
        parts.root_mode = trees[0]->root_mode;
        parts.root_mtime = trees[0]->root_mtime;
    }
    if (result == 0)
        result = dray_tree_parts_assemble(&parts, 1, ret_tree, error);
    dray_tree_parts_clear(&parts);
    return result;
}
