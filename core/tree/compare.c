/* SPDX-License-Identifier: MIT */
/* compare.c - a tree against what is recorded of its files. Sizes and names are compared at once,
 * digests where the bytes are read: they are put into the tree for that. */
#include "core/tree/recorded.h"

#include <string.h>

#include "core/base/text.h"
#include "core/tree/internal.h"

/* A message has room for so many names of one kind, and so many bytes of them. */
#define NAMED        10
#define NAMES_LENGTH 190
#define NAME_LENGTH  120

/* ---- Differences ---- */

void dray_names_add(struct dray_names *names, const char *path, size_t length, const char *why)
{
    int cut = length > NAME_LENGTH;
    size_t shown = cut ? dray_utf8_cut(path, NAME_LENGTH) : length;

    names->count++;
    if (names->tell)
        names->tell(names->arg, path, length, why);
    /* Those behind one that is left out are left out too. */
    if (names->shown + 1 != names->count || names->shown == NAMED ||
        (names->shown > 0 && names->text.length + shown > NAMES_LENGTH))
        return;
    dray_buffer_text(&names->text, names->shown == 0 ? " " : ", ");
    dray_buffer_add(&names->text, path, shown);
    if (cut)
        dray_buffer_text(&names->text, "...");
    if (why)
        dray_buffer_format(&names->text, " (%s)", why);
    names->shown++;
}

void dray_differences_fact(struct dray_differences *differences, const char *format, ...)
{
    va_list arguments;

    if (differences->facts.length > 0)
        dray_buffer_text(&differences->facts, "; ");
    va_start(arguments, format);
    dray_buffer_format_va(&differences->facts, format, arguments);
    va_end(arguments);
}

void dray_differences_free(struct dray_differences *differences)
{
    dray_buffer_free(&differences->missing.text);
    dray_buffer_free(&differences->changed.text);
    dray_buffer_free(&differences->extra.text);
    dray_buffer_free(&differences->facts);
}

static void print_names(struct dray_buffer *out, const char *kind, const struct dray_names *names)
{
    if (names->count == 0)
        return;
    dray_buffer_format(out, "%s %s:", out->length > 0 ? ";" : "", kind);
    dray_buffer_text(out, names->text.data ? names->text.data : "");
    if (names->count > names->shown)
        dray_buffer_format(out, " and %zu more", names->count - names->shown);
}

int dray_differences_judge(const struct dray_differences *differences, const char *what,
                           struct dray_error *error)
{
    dray_cleanup(dray_buffer_free) struct dray_buffer out = {.cap = 1u << 16};

    if (differences->facts.length > 0)
        dray_buffer_format(&out, " %s", differences->facts.data);
    print_names(&out, "missing", &differences->missing);
    print_names(&out, "changed", &differences->changed);
    print_names(&out, "not listed", &differences->extra);
    if (out.failed || differences->missing.text.failed || differences->changed.text.failed ||
        differences->extra.text.failed || differences->facts.failed)
        return dray_fail_memory(error);
    if (out.length == 0)
        return 0;
    dray_fail(error, DRAY_INTEGRITY, "the dataset is not what %.200s:%s", what, out.data);
    dray_hint(error,
              "mend the dataset, or what is recorded of it, where it comes from, then run "
              "the same command again%s",
              differences->extra.count > 0
                  ? "\nfiles that nobody listed are passed on with `extra: ignore`"
                  : "");
    error->side = DRAY_SIDE_SOURCE;
    return error->class_;
}

/* ---- Comparing ---- */

struct compare {
    struct dray_tree *tree;
    const struct dray_recorded_list *list;
    struct dray_differences *differences;
    const struct dray_recorded **missing; /* list->count */
    size_t missing_count;
    uint32_t *facts; /* by entry: 1 + where in `known`, 0: nothing is recorded */
    struct dray_recorded *known;
    size_t known_count, known_capacity;
};

/* Two records of one file become one. */
static int merge(struct dray_recorded *into, const struct dray_recorded *from,
                 const struct dray_tree_entry *entry, struct dray_error *error)
{
    const uint8_t both = into->has & from->has;

    if (((both & DRAY_RECORDED_SHA256) && memcmp(into->sha256, from->sha256, DRAY_SHA256_BYTES)) ||
        ((both & DRAY_RECORDED_MD5) && memcmp(into->md5, from->md5, DRAY_MD5_BYTES)) ||
        ((both & DRAY_RECORDED_BYTES) && into->bytes != from->bytes)) {
        dray_fail(error, DRAY_INTEGRITY, "what is recorded of %.400s contradicts itself: %s",
                  entry->path,
                  entry->link_group
                      ? "it is listed twice, or has a hard link that is, with different digests"
                      : "it is listed twice, with different digests or sizes");
        dray_hint(error, "make the manifest anew where the dataset comes from");
        error->side = DRAY_SIDE_SOURCE;
        return error->class_;
    }
    if (from->has & DRAY_RECORDED_SHA256)
        memcpy(into->sha256, from->sha256, DRAY_SHA256_BYTES);
    if (from->has & DRAY_RECORDED_MD5)
        memcpy(into->md5, from->md5, DRAY_MD5_BYTES);
    if (from->has & DRAY_RECORDED_BYTES)
        into->bytes = from->bytes;
    into->has |= from->has;
    return 0;
}

static int note(struct compare *compare, size_t index, const struct dray_recorded *recorded,
                struct dray_error *error)
{
    uint32_t at = compare->facts[index];

    if (at > 0)
        return merge(&compare->known[at - 1], recorded, compare->tree->entries[index], error);
    if (compare->known_count >= UINT32_MAX - 1 ||
        DRAY_GROW(compare->known, compare->known_count, compare->known_capacity) != 0)
        return dray_fail_memory(error);
    compare->known[compare->known_count++] = *recorded;
    compare->facts[index] = (uint32_t)compare->known_count;
    return 0;
}

static int by_path(const void *left, const void *right)
{
    const struct dray_recorded *a = *(const struct dray_recorded *const *)left;
    const struct dray_recorded *b = *(const struct dray_recorded *const *)right;

    return dray_path_compare(a->path, a->path_length, b->path, b->path_length);
}

/* Each once, in order, however often it was listed. */
static void name_missing(struct compare *compare)
{
    const struct dray_recorded *last = NULL;

    qsort(compare->missing, compare->missing_count, sizeof(*compare->missing), by_path);
    for (size_t i = 0; i < compare->missing_count; i++) {
        const struct dray_recorded *one = compare->missing[i];
        if (!last || by_path(&last, &one) != 0)
            dray_names_add(&compare->differences->missing, one->path, one->path_length, NULL);
        last = one;
    }
}

static int find_all(struct compare *compare, struct dray_error *error)
{
    for (size_t i = 0; i < compare->list->count; i++) {
        const struct dray_recorded *recorded = &compare->list->items[i];
        int64_t found = dray_tree_find(compare->tree, recorded->path, recorded->path_length);
        if (found < 0) {
            compare->missing[compare->missing_count++] = recorded;
            continue;
        }
        int result = note(compare, (size_t)found, recorded, error);
        if (result != 0)
            return result;
    }
    name_missing(compare);
    return 0;
}

/* Hard links to each other are one file: what is recorded of one holds for all, and is compared
 * whichever of them is read. */
struct link {
    uint32_t group;
    size_t index;
};

static int by_group(const void *left, const void *right)
{
    const struct link *a = left, *b = right;

    if (a->group != b->group)
        return a->group < b->group ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static int share(struct compare *compare, const struct link *links, size_t count,
                 struct dray_error *error)
{
    struct dray_recorded all = {0};

    for (size_t i = 0; i < count; i++) {
        uint32_t at = compare->facts[links[i].index];
        if (at == 0)
            continue;
        int result =
            merge(&all, &compare->known[at - 1], compare->tree->entries[links[i].index], error);
        if (result != 0)
            return result;
    }
    /* One that nobody listed stays so: its fact is noted after the extra ones were named. */
    for (size_t i = 0; all.has && i < count; i++) {
        int result = note(compare, links[i].index, &all, error);
        if (result != 0)
            return result;
    }
    return 0;
}

static int share_all(struct compare *compare, struct dray_error *error)
{
    const struct dray_tree *tree = compare->tree;
    size_t count = 0;
    int result = 0;

    for (size_t i = 0; i < tree->count; i++)
        count += tree->entries[i]->link_group != 0;
    if (count == 0)
        return 0;
    dray_autofree struct link *links = calloc(count, sizeof(*links));
    if (!links)
        return dray_fail_memory(error);
    count = 0;
    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i]->link_group != 0)
            links[count++] = (struct link){tree->entries[i]->link_group, i};
    qsort(links, count, sizeof(*links), by_group);
    for (size_t from = 0, to; result == 0 && from < count; from = to) {
        for (to = from + 1; to < count && links[to].group == links[from].group; to++)
            continue;
        result = share(compare, links + from, to - from, error);
    }
    return result;
}

static void judge_entry(struct compare *compare, const struct dray_tree_entry *entry,
                        const struct dray_recorded *recorded)
{
    struct dray_names *changed = &compare->differences->changed;
    char why[80];

    if (entry->type != DRAY_FILE) {
        dray_names_add(changed, entry->path, entry->path_length, dray_tree_type_name(entry->type));
    } else if ((recorded->has & DRAY_RECORDED_BYTES) && recorded->bytes != entry->bytes) {
        (void)snprintf(why, sizeof(why), "%llu bytes, recorded are %llu",
                       (unsigned long long)entry->bytes, (unsigned long long)recorded->bytes);
        dray_names_add(changed, entry->path, entry->path_length, why);
    } else if ((recorded->has & DRAY_RECORDED_SHA256) && (entry->flags & DRAY_ENTRY_SHA256) &&
               memcmp(entry->sha256, recorded->sha256, DRAY_SHA256_BYTES) != 0) {
        dray_names_add(changed, entry->path, entry->path_length, "its SHA-256 differs");
    } else if ((recorded->has & DRAY_RECORDED_MD5) && entry->md5 &&
               memcmp(entry->md5, recorded->md5, DRAY_MD5_BYTES) != 0) {
        dray_names_add(changed, entry->path, entry->path_length, "its MD5 differs");
    }
}

static void judge_all(struct compare *compare, const uint8_t *passed)
{
    for (size_t i = 0; i < compare->tree->count; i++) {
        const struct dray_tree_entry *entry = compare->tree->entries[i];
        if (compare->facts[i] > 0)
            judge_entry(compare, entry, &compare->known[compare->facts[i] - 1]);
        else if (entry->type == DRAY_FILE && !passed[i])
            dray_names_add(&compare->differences->extra, entry->path, entry->path_length, NULL);
    }
}

/* The same tree with the digests that are recorded. */
static int record(const struct compare *compare, struct dray_tree **ret_tree,
                  struct dray_error *error)
{
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();
    const struct dray_tree *tree = compare->tree;
    int result = builder ? 0 : dray_fail_memory(error);

    if (builder)
        dray_tree_builder_root(builder, tree->root_mode, tree->root_mtime);
    for (size_t i = 0; result == 0 && i < tree->count; i++) {
        struct dray_tree_entry entry = *tree->entries[i];
        const struct dray_recorded *recorded =
            compare->facts[i] > 0 ? &compare->known[compare->facts[i] - 1] : NULL;
        if (!recorded || entry.type != DRAY_FILE ||
            !(recorded->has & (DRAY_RECORDED_SHA256 | DRAY_RECORDED_MD5))) {
            result = dray_tree_builder_keep(builder, tree, i, error);
            continue;
        }
        if (recorded->has & DRAY_RECORDED_SHA256) {
            memcpy(entry.sha256, recorded->sha256, DRAY_SHA256_BYTES);
            entry.flags |= DRAY_ENTRY_SHA256;
        }
        if (recorded->has & DRAY_RECORDED_MD5)
            entry.md5 = recorded->md5;
        result = dray_tree_builder_add(builder, &entry, error);
    }
    return result != 0 ? result : dray_tree_builder_finish(builder, ret_tree, error);
}

int dray_recorded_compare(struct dray_tree *tree, const struct dray_recorded_list *list,
                          const uint8_t *passed, struct dray_differences *differences,
                          struct dray_tree **ret_tree, struct dray_error *error)
{
    dray_autofree const struct dray_recorded **missing = calloc(list->count + 1, sizeof(*missing));
    dray_autofree uint32_t *facts = calloc(tree->count + 1, sizeof(*facts));
    struct compare compare = {
        .tree = tree, .list = list, .differences = differences, .missing = missing, .facts = facts};

    if (!missing || !facts)
        return dray_fail_memory(error);
    int result = find_all(&compare, error);
    if (result == 0) {
        judge_all(&compare, passed);
        result = share_all(&compare, error);
    }
    if (result == 0)
        result = record(&compare, ret_tree, error);
    free(compare.known);
    return result;
}
