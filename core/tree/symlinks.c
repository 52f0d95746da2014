/* SPDX-License-Identifier: MIT */
/*
 * symlinks.c - what happens to symbolic links. A target is followed as a system would follow it
 * where the tree is delivered: from the link's folder, through other links of the tree, and never
 * out of the tree.
 */
#include <string.h>

#include "core/base/buffer.h"
#include "core/tree/internal.h"

#define LINKS_FOLLOWED 40 /* as many as Linux does */
#define LINKS_LISTED   5  /* in a message */
#define LISTED_BYTES   80 /* of each path and target there */

enum lead { LEADS_INSIDE, LEADS_OUT, LEADS_NOWHERE, LEADS_IN_A_CIRCLE };

/* Following one link. */
struct trail {
    const struct dray_tree *tree;
    struct dray_buffer path; /* where we stand, without links, `.` and `..` */
    struct dray_buffer rest; /* what is still to be followed, from `next` on */
    size_t next;
    unsigned followed;
    int64_t index; /* of `path` in the tree; -1: the root, or nothing */
    int missing;   /* nothing is there, or something that is no directory */
};

static void up(struct dray_buffer *path)
{
    const char *slash = path->data == NULL ? NULL : memrchr(path->data, '/', path->length);

    path->length = slash == NULL ? 0 : (size_t)(slash - path->data);
}

/* Put the target of a link before the rest of the way. */
static enum lead follow(struct trail *trail, const struct dray_tree_entry *link)
{
    struct dray_buffer way = {.cap = trail->rest.cap};

    if (link->at[0] == '/')
        return LEADS_OUT;
    if (++trail->followed > LINKS_FOLLOWED)
        return LEADS_IN_A_CIRCLE;
    dray_buffer_text(&way, link->at);
    dray_buffer_text(&way, "/");
    if (trail->rest.data != NULL)
        dray_buffer_add(&way, trail->rest.data + trail->next, trail->rest.length - trail->next);
    dray_buffer_free(&trail->rest);
    trail->rest = way;
    trail->next = 0;
    return way.failed == DRAY_INVALID ? LEADS_IN_A_CIRCLE : LEADS_INSIDE;
}

static enum lead enter(struct trail *trail, const char *name, size_t length)
{
    if (trail->path.length > 0)
        dray_buffer_text(&trail->path, "/");
    dray_buffer_add(&trail->path, name, length);
    if (trail->path.failed != 0)
        return LEADS_NOWHERE;
    trail->index = dray_tree_find(trail->tree, trail->path.data, trail->path.length);
    if (trail->index < 0) {
        trail->missing = 1;
        return LEADS_INSIDE;
    }
    const struct dray_tree_entry *entry = trail->tree->entries[trail->index];
    if (entry->type != DRAY_LINK)
        return LEADS_INSIDE;
    up(&trail->path);
    trail->index = -1;
    return follow(trail, entry);
}

static enum lead step(struct trail *trail)
{
    const char *name = trail->rest.data + trail->next;
    size_t length = strcspn(name, "/");

    trail->next += length + (name[length] == '/');
    if (length == 0 || (length == 1 && name[0] == '.'))
        return LEADS_INSIDE;
    /* Only a directory has something below it; what is missing is followed by its name alone. */
    if (trail->index >= 0 && trail->tree->entries[trail->index]->type == DRAY_FILE)
        trail->missing = 1;
    if (length != 2 || name[0] != '.' || name[1] != '.')
        return enter(trail, name, length);
    if (trail->path.length == 0)
        return LEADS_OUT;
    up(&trail->path);
    trail->index = dray_tree_find(trail->tree, trail->path.data, trail->path.length);
    return LEADS_INSIDE;
}

/* 0, or DRAY_NO_MEMORY. *ret_index: where a link that leads inside ends, -1 for the root. */
static int resolve(const struct dray_tree *tree, const struct dray_tree_entry *link,
                   enum lead *ret_lead, int64_t *ret_index)
{
    struct trail trail = {.tree = tree,
                          .path = {.cap = (size_t)1 << 20},
                          .rest = {.cap = (size_t)1 << 20},
                          .index = -1};

    dray_buffer_add(&trail.path, link->path, link->path_length);
    enum lead lead = LEADS_INSIDE;
    if (trail.path.failed == 0) {
        up(&trail.path);
        lead = follow(&trail, link);
    }
    while (lead == LEADS_INSIDE && trail.next < trail.rest.length && trail.rest.failed == 0)
        lead = step(&trail);
    int failed = trail.path.failed == DRAY_NO_MEMORY || trail.rest.failed == DRAY_NO_MEMORY;
    dray_buffer_free(&trail.path);
    dray_buffer_free(&trail.rest);
    if (failed)
        return DRAY_NO_MEMORY;
    *ret_lead = lead == LEADS_INSIDE && trail.missing ? LEADS_NOWHERE : lead;
    *ret_index = trail.index;
    return 0;
}

/*
 * Does the target go up first and down after, and not up too far? Then it stays inside whatever
 * links it meets on its way down, as each of them is looked at for itself: most links are settled
 * by this, without a look into the tree.
 */
static int is_plainly_inside(const struct dray_tree_entry *link)
{
    size_t depth = 0;
    int down = 0;

    if (link->at[0] == '/')
        return 0;
    for (size_t i = 0; i < link->path_length; i++)
        depth += link->path[i] == '/';
    for (const char *name = link->at; *name != '\0';) {
        size_t length = strcspn(name, "/");
        if (length == 2 && name[0] == '.' && name[1] == '.') {
            if (down || depth == 0)
                return 0;
            depth--;
        } else if (length > 1 || (length == 1 && name[0] != '.')) {
            down = 1;
        }
        name += length + (name[length] == '/');
    }
    return 1;
}

/* ---- Links that cannot stay ---------------------------------------------------------------- */

struct refused {
    size_t count;
    struct dray_buffer list;
};

static void shorten(struct dray_buffer *list, const char *text)
{
    dray_buffer_format(list, "\"%.*s%s\"", LISTED_BYTES, text,
                       strlen(text) > LISTED_BYTES ? "..." : "");
}

static void refuse(struct refused *refused, const struct dray_tree_entry *link, const char *why)
{
    if (refused->count++ >= LINKS_LISTED)
        return;
    dray_buffer_text(&refused->list, refused->count > 1 ? "; " : "");
    shorten(&refused->list, link->path);
    dray_buffer_text(&refused->list, " -> ");
    shorten(&refused->list, link->at);
    dray_buffer_text(&refused->list, why);
}

static int fail_refused(struct refused *refused, const char *what, const char *hint,
                        struct dray_error *error)
{
    size_t count = refused->count;

    if (count > LINKS_LISTED)
        dray_buffer_format(&refused->list, "; and %zu more", count - LINKS_LISTED);
    if (refused->list.failed != 0)
        return dray_fail_memory(error);
    int result = dray_fail(error, DRAY_PERMANENT, "%zu symbolic link%s %s: %s", count,
                           count == 1 ? "" : "s", what, refused->list.data);
    dray_hint(error, "%s", hint);
    error->side = DRAY_SIDE_SOURCE;
    return result;
}

/* " leaves the dataset", or NULL for a link that may be kept. */
static int why_not_kept(const struct dray_tree *tree, const struct dray_tree_entry *link,
                        const char **ret_why)
{
    enum lead lead = LEADS_INSIDE;
    int64_t index;
    int result = is_plainly_inside(link) ? 0 : resolve(tree, link, &lead, &index);

    *ret_why = lead == LEADS_OUT ? " leaves the dataset" : NULL;
    return result;
}

static int why_not_copied(const struct dray_tree *tree, const struct dray_tree_entry *link,
                          int64_t *ret_index, const char **ret_why)
{
    enum lead lead = LEADS_NOWHERE;
    int result = resolve(tree, link, &lead, ret_index);

    *ret_why = NULL;
    switch (lead) {
    case LEADS_OUT:
        *ret_why = " leaves the dataset";
        break;
    case LEADS_NOWHERE:
        *ret_why = " leads nowhere";
        break;
    case LEADS_IN_A_CIRCLE:
        *ret_why = " leads in a circle";
        break;
    case LEADS_INSIDE:
        if (*ret_index < 0 || tree->entries[*ret_index]->type == DRAY_DIRECTORY)
            *ret_why = " leads to a directory";
        break;
    }
    return result;
}

/* ---- The four ways ------------------------------------------------------------------------- */

static int keep_links(struct dray_tree *tree, struct refused *refused, struct dray_tree **ret_tree,
                      struct dray_error *error)
{
    for (size_t i = 0; i < tree->count; i++) {
        const char *why = NULL;
        if (tree->entries[i]->type != DRAY_LINK)
            continue;
        if (why_not_kept(tree, tree->entries[i], &why) != 0)
            return dray_fail_memory(error);
        if (why != NULL)
            refuse(refused, tree->entries[i], why);
    }
    if (refused->count > 0)
        return fail_refused(refused, "cannot be kept", "leave links out:  tree: { symlinks: skip }",
                            error);
    *ret_tree = dray_tree_ref(tree);
    return 0;
}

static int skip_links(struct dray_tree *tree, struct dray_tree **ret_tree, struct dray_error *error)
{
    dray_autofree uint8_t *keep = malloc(tree->count > 0 ? tree->count : 1);

    if (keep == NULL)
        return dray_fail_memory(error);
    for (size_t i = 0; i < tree->count; i++)
        keep[i] = tree->entries[i]->type != DRAY_LINK;
    return dray_tree_select(tree, keep, 0, ret_tree, error);
}

static int refuse_links(struct dray_tree *tree, struct refused *refused,
                        struct dray_tree **ret_tree, struct dray_error *error)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i]->type == DRAY_LINK)
            refuse(refused, tree->entries[i], "");
    if (refused->count > 0)
        return fail_refused(refused,
                            "in the dataset, and the workflow says tree: { symlinks: fail }",
                            "leave links out:  tree: { symlinks: skip }", error);
    *ret_tree = dray_tree_ref(tree);
    return 0;
}

/* The file that a link leads to, under the link's path. */
static int add_copy(struct dray_tree_builder *builder, const struct dray_tree_entry *link,
                    const struct dray_tree_entry *file, struct dray_error *error)
{
    struct dray_tree_entry copy = *file;

    copy.path = link->path;
    copy.path_length = link->path_length;
    if (copy.at == NULL)
        copy.at = file->path;
    copy.link_group = 0; /* a file of its own */
    copy.from = link->from;
    return dray_tree_builder_add(builder, &copy, error);
}

static int copy_entry(struct dray_tree *tree, size_t index, struct refused *refused,
                      struct dray_tree_builder *builder, struct dray_error *error)
{
    const struct dray_tree_entry *entry = tree->entries[index];
    int64_t target = -1;
    const char *why = NULL;

    if (entry->type != DRAY_LINK)
        return dray_tree_builder_keep(builder, tree, index, error);
    if (why_not_copied(tree, entry, &target, &why) != 0)
        return dray_fail_memory(error);
    if (why == NULL)
        return add_copy(builder, entry, tree->entries[target], error);
    refuse(refused, entry, why);
    return 0;
}

static int copy_links(struct dray_tree *tree, struct refused *refused, struct dray_tree **ret_tree,
                      struct dray_error *error)
{
    dray_cleanup(dray_tree_builder_freep) struct dray_tree_builder *builder =
        dray_tree_builder_new();

    if (builder == NULL)
        return dray_fail_memory(error);
    dray_tree_builder_root(builder, tree->root_mode, tree->root_mtime);
    for (size_t i = 0; i < tree->count; i++) {
        int result = copy_entry(tree, i, refused, builder, error);
        if (result != 0)
            return result;
    }
    if (refused->count > 0)
        return fail_refused(refused, "cannot be replaced by copies",
                            "leave links out:  tree: { symlinks: skip }", error);
    return dray_tree_builder_finish(builder, ret_tree, error);
}

static int has_links(const struct dray_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i]->type == DRAY_LINK)
            return 1;
    return 0;
}

int dray_tree_symlinks(struct dray_tree *tree, enum dray_symlinks what, struct dray_tree **ret_tree,
                       struct dray_error *error)
{
    struct refused refused = {.list = {.cap = (size_t)64 << 10}};
    int result = DRAY_BUG;

    if (!has_links(tree)) {
        *ret_tree = dray_tree_ref(tree);
        return 0;
    }
    switch (what) {
    case DRAY_SYMLINKS_KEEP:
        result = keep_links(tree, &refused, ret_tree, error);
        break;
    case DRAY_SYMLINKS_SKIP:
        result = skip_links(tree, ret_tree, error);
        break;
    case DRAY_SYMLINKS_COPY:
        result = copy_links(tree, &refused, ret_tree, error);
        break;
    case DRAY_SYMLINKS_FAIL:
        result = refuse_links(tree, &refused, ret_tree, error);
        break;
    }
    dray_buffer_free(&refused.list);
    return result;
}
