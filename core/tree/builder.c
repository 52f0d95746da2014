/* SPDX-License-Identifier: MIT */
/* builder.c - trees in the making: what may become an entry, and a sorted, complete tree out of
 * entries in any order. */
#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "core/tree/internal.h"

struct dray_tree_builder {
    pthread_mutex_t lock; /* guards the parts; taken by nobody who holds another */
    struct dray_tree_parts parts;
    int delivery; /* set before anything is added */
    int64_t clash;
};

struct dray_tree_builder *dray_tree_builder_new(void)
{
    struct dray_tree_builder *builder = calloc(1, sizeof *builder);

    if (builder == NULL)
        return NULL;
    if (pthread_mutex_init(&builder->lock, NULL) != 0) {
        free(builder);
        return NULL;
    }
    builder->parts.root_mode = 0755;
    return builder;
}

void dray_tree_builder_free(struct dray_tree_builder *builder)
{
    if (builder == NULL)
        return;
    dray_tree_parts_clear(&builder->parts);
    (void)pthread_mutex_destroy(&builder->lock);
    free(builder);
}

void dray_tree_builder_freep(struct dray_tree_builder **builder)
{
    dray_tree_builder_free(*builder);
    *builder = NULL;
}

static void lock(struct dray_tree_builder *builder)
{
    int failed = pthread_mutex_lock(&builder->lock);
    assert(failed == 0);
}

static void unlock(struct dray_tree_builder *builder)
{
    int failed = pthread_mutex_unlock(&builder->lock);
    assert(failed == 0);
}

/* ---- Adding -------------------------------------------------------------------------------- */

/* `.dray`, `.dray-...` or anything below it, at the top, also where a file system knows no case. */
static int is_ours(const struct dray_tree_entry *entry)
{
    static const char name[] = ".dray";
    size_t length = sizeof name - 1;

    return entry->path_length >= length && strncasecmp(entry->path, name, length) == 0 &&
           (entry->path_length == length || entry->path[length] == '/' ||
            entry->path[length] == '-');
}

static int check_link(const struct dray_tree_entry *entry, struct dray_error *error)
{
    size_t length = entry->at == NULL ? 0 : strlen(entry->at);

    if (length == 0)
        return dray_fail(error, DRAY_INVALID, "adding \"%.*s\": the symbolic link has no target",
                         DRAY_SHOWN(entry->path, entry->path_length));
    if (length > DRAY_LINK_LONGEST)
        return dray_fail(error, DRAY_INVALID,
                         "adding \"%.*s\": the symbolic link's target is longer than %d bytes",
                         DRAY_SHOWN(entry->path, entry->path_length), DRAY_LINK_LONGEST);
    return 0;
}

static int check_file(const struct dray_tree_entry *entry, struct dray_error *error)
{
    uint64_t end;

    if (__builtin_add_overflow(entry->offset, entry->bytes, &end) || end > INT64_MAX)
        return dray_fail(error, DRAY_INVALID,
                         "adding \"%.*s\": no file has %llu bytes from %llu on",
                         DRAY_SHOWN(entry->path, entry->path_length),
                         (unsigned long long)entry->bytes, (unsigned long long)entry->offset);
    return 0;
}

static int check_entry(const struct dray_tree_entry *entry, struct dray_error *error)
{
    const char *fault = dray_path_fault(entry->path, entry->path_length);

    if (fault != NULL)
        return dray_fail(error, DRAY_INVALID, "adding an entry: its path \"%.*s\" %s",
                         DRAY_SHOWN(entry->path, entry->path_length), fault);
    if (is_ours(entry)) {
        int length = (int)strcspn(entry->path, "/");
        int result = dray_fail(error, DRAY_CONFLICT,
                               "adding \"%.*s\": a dataset may have no \"%.*s\" at its top",
                               DRAY_SHOWN(entry->path, entry->path_length), length, entry->path);
        dray_hint(error, "what a delivery says about itself goes there; "
                         "if this is an earlier delivery, remove or rename its .dray");
        return result;
    }
    switch (entry->type) {
    case DRAY_DIRECTORY:
        return 0;
    case DRAY_LINK:
        return check_link(entry, error);
    case DRAY_FILE:
        return check_file(entry, error);
    default:
        return dray_fail(error, DRAY_BUG, "adding \"%.*s\": %u is no type of entry",
                         DRAY_SHOWN(entry->path, entry->path_length), entry->type);
    }
}

int dray_tree_builder_add(struct dray_tree_builder *builder, const struct dray_tree_entry *entry,
                          struct dray_error *error)
{
    struct dray_tree_entry clean = *entry;

    if (builder->delivery && is_ours(entry))
        return 0;
    int result = check_entry(entry, error);
    if (result != 0)
        return result;
    clean.mode &= 07777;
    clean.flags = (uint8_t)((clean.flags & ~DRAY_ENTRY_MD5) | (clean.md5 ? DRAY_ENTRY_MD5 : 0));
    if (clean.type != DRAY_FILE)
        clean.bytes = clean.offset = 0;
    if (clean.type == DRAY_DIRECTORY)
        clean.at = NULL;
    if (clean.type == DRAY_FILE && clean.at != NULL && strlen(clean.at) == clean.path_length &&
        memcmp(clean.at, clean.path, clean.path_length) == 0)
        clean.at = NULL;
    lock(builder);
    const struct dray_tree_entry *copy = dray_tree_parts_copy(&builder->parts, &clean);
    if (copy == NULL || dray_tree_parts_list(&builder->parts, copy) != 0)
        result = dray_fail_memory(error);
    unlock(builder);
    return result;
}

int dray_tree_builder_keep(struct dray_tree_builder *builder, const struct dray_tree *from,
                           size_t index, struct dray_error *error)
{
    int result = 0;

    if (index >= from->count)
        return dray_fail(error, DRAY_BUG, "keeping entry %zu of a tree of %zu", index, from->count);
    lock(builder);
    if (dray_tree_parts_adopt(&builder->parts, from) != 0 ||
        dray_tree_parts_list(&builder->parts, from->entries[index]) != 0)
        result = dray_fail_memory(error);
    unlock(builder);
    return result;
}

void dray_tree_builder_delivery(struct dray_tree_builder *builder)
{
    builder->delivery = 1;
}

void dray_tree_builder_root(struct dray_tree_builder *builder, uint16_t mode, int64_t mtime)
{
    lock(builder);
    builder->parts.root_mode = mode & 07777;
    builder->parts.root_mtime = mtime;
    unlock(builder);
}

/* ---- Finishing ----------------------------------------------------------------------------- */

/* A pass over sorted entries. */
struct pass {
    struct dray_tree_parts *parts;
    struct dray_tree_parts out; /* only its entries are used */
    const struct dray_tree_entry *
        *above; /* the last entry and what it stands below, outermost first */
    size_t above_count;
    size_t above_capacity;
};

static int list(struct pass *pass, const struct dray_tree_entry *entry)
{
    if (dray_tree_parts_list(&pass->out, entry) != 0 ||
        DRAY_GROW(pass->above, pass->above_count, pass->above_capacity) != 0)
        return -1;
    pass->above[pass->above_count++] = entry;
    return 0;
}

/* The directories between the last one in `above` and the entry, which nobody added. */
static int list_parents(struct pass *pass, const struct dray_tree_entry *entry, size_t from)
{
    for (size_t i = from; i < entry->path_length; i++) {
        if (entry->path[i] != '/')
            continue;
        struct dray_tree_entry parent = {
            .path = entry->path,
            .path_length = (uint32_t)i,
            .type = DRAY_DIRECTORY,
            .mode = 0755,
            .mtime = pass->parts->root_mtime,
        };
        const struct dray_tree_entry *copy = dray_tree_parts_copy(pass->parts, &parent);
        if (copy == NULL || list(pass, copy) != 0)
            return -1;
    }
    return 0;
}

static int fail_twice(const struct dray_tree_entry *a, const struct dray_tree_entry *b,
                      struct dray_error *error)
{
    int result = dray_fail(
        error, DRAY_CONFLICT,
        "two entries have the path \"%.*s\": %s of %llu bytes and %s of %llu bytes",
        DRAY_SHOWN(a->path, a->path_length), dray_tree_type_name(a->type),
        (unsigned long long)a->bytes, dray_tree_type_name(b->type), (unsigned long long)b->bytes);

    dray_hint(error, "drop or rename one of them before they meet");
    return result;
}

static int same_path(const struct dray_tree_entry *a, const struct dray_tree_entry *b)
{
    return a->path_length == b->path_length && memcmp(a->path, b->path, a->path_length) == 0;
}

static int pass_entry(struct pass *pass, const struct dray_tree_entry *entry, int same_is_one,
                      struct dray_error *error)
{
    const struct dray_tree_entry *last = NULL;

    if (pass->out.count > 0)
        last = pass->out.entries[pass->out.count - 1];
    if (last != NULL && same_path(last, entry)) {
        if ((same_is_one && last == entry) ||
            (last->type == DRAY_DIRECTORY && entry->type == DRAY_DIRECTORY))
            return 0;
        pass->parts->clash = entry->ctime;
        return fail_twice(last, entry, error);
    }
    while (pass->above_count > 0) {
        last = pass->above[pass->above_count - 1];
        if (dray_path_is_below(entry->path, entry->path_length, last->path, last->path_length))
            break;
        pass->above_count--;
    }
    if (pass->above_count > 0 && last->type != DRAY_DIRECTORY) {
        pass->parts->clash = entry->ctime;
        return dray_fail(error, DRAY_CONFLICT, "\"%.*s\" cannot be below \"%.*s\", which is %s",
                         DRAY_SHOWN(entry->path, entry->path_length),
                         DRAY_SHOWN(last->path, last->path_length),
                         dray_tree_type_name(last->type));
    }
    size_t from = pass->above_count > 0 ? last->path_length + (size_t)1 : 0;
    if (list_parents(pass, entry, from) != 0 || list(pass, entry) != 0)
        return dray_fail_memory(error);
    return 0;
}

int dray_tree_parts_assemble(struct dray_tree_parts *parts, int same_is_one,
                             struct dray_tree **ret_tree, struct dray_error *error)
{
    struct pass pass = {.parts = parts};
    int result = 0;

    if (dray_tree_sort(parts->entries, parts->count) != 0)
        return dray_fail_memory(error);
    for (size_t i = 0; i < parts->count && result == 0; i++)
        result = pass_entry(&pass, parts->entries[i], same_is_one, error);
    free(pass.above);
    if (result != 0) {
        free(pass.out.entries);
        return result;
    }
    free(parts->entries);
    parts->entries = pass.out.entries;
    parts->count = pass.out.count;
    parts->capacity = pass.out.capacity;
    return dray_tree_parts_seal(parts, ret_tree, error);
}

int dray_tree_builder_finish(struct dray_tree_builder *builder, struct dray_tree **ret_tree,
                             struct dray_error *error)
{
    lock(builder);
    int result = dray_tree_parts_assemble(&builder->parts, 0, ret_tree, error);
    builder->clash = builder->parts.clash;
    dray_tree_parts_clear(&builder->parts);
    unlock(builder);
    return result;
}

int64_t dray_tree_builder_clash(const struct dray_tree_builder *builder)
{
    return builder->clash;
}
