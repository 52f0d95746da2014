/* SPDX-License-Identifier: MIT */
/* record_lists.c - manifest and tree.jsonl of a delivery: made anew whenever they are wanted, piece
 * by piece, since of a large tree they are longer than the tree itself. */
#include <string.h>

#include "core/run/run.h"
#include "core/tree/manifest.h"

/* A piece is passed on from this size on; a line is at most a few times as long as a path. */
#define PIECE     ((size_t)64 << 10)
#define PIECE_CAP ((size_t)1 << 20)

/* Every file must have been read. Of hard links to each other one was. */
int dray_record_digests(struct dray_step_run *step, struct dray_error *error)
{
    const struct dray_tree *tree = step->input;
    uint32_t groups = 0;

    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i]->link_group > groups)
            groups = tree->entries[i]->link_group;
    dray_autofree size_t *read = calloc((size_t)groups + 1, sizeof(*read));
    if (!read)
        return dray_fail_memory(error);
    for (size_t i = 0; i < tree->count; i++)
        if (step->digested[i])
            read[tree->entries[i]->link_group] = i + 1;
    for (size_t i = 0; i < tree->count; i++) {
        const struct dray_tree_entry *entry = tree->entries[i];
        if (entry->type != DRAY_FILE || step->digested[i])
            continue;
        if (entry->link_group == 0 || read[entry->link_group] == 0)
            return dray_fail(error, DRAY_BUG, "plugin %s wants to commit but never read %s",
                             step->step->uses, entry->path);
        memcpy(step->digests[i], step->digests[read[entry->link_group] - 1], DRAY_SHA256_BYTES);
        step->digested[i] = 1;
    }
    return 0;
}

/* What is in the piece goes to whoever wants it, once it is large, or all of it. */
static int pass_on(struct dray_buffer *piece, size_t from, dray_record_piece *fn, void *arg)
{
    if (piece->failed || piece->length < from)
        return piece->failed;
    int result = piece->length == 0 ? 0 : fn(arg, piece->data, piece->length);
    dray_buffer_clear(piece);
    return result;
}

int dray_record_manifest(const struct dray_step_run *step, dray_record_piece *fn, void *arg)
{
    const struct dray_tree *tree = step->input;
    dray_cleanup(dray_buffer_free) struct dray_buffer piece = {.cap = PIECE_CAP};
    int result = 0;

    for (size_t i = 0; result == 0 && i < tree->count; i++) {
        const struct dray_tree_entry *entry = tree->entries[i];
        if (entry->type != DRAY_FILE)
            continue;
        dray_manifest_add(&piece, step->digests[i], DRAY_SHA256_BYTES, entry->path,
                          entry->path_length);
        result = pass_on(&piece, PIECE, fn, arg);
    }
    return result != 0 ? result : pass_on(&piece, 0, fn, arg);
}

int dray_record_tree(const struct dray_step_run *step, dray_record_piece *fn, void *arg)
{
    const struct dray_tree *tree = step->input;
    dray_cleanup(dray_buffer_free) struct dray_buffer piece = {.cap = PIECE_CAP};
    uint32_t groups = 0;
    int result = 0;

    for (size_t i = 0; i < tree->count; i++)
        if (tree->entries[i]->link_group > groups)
            groups = tree->entries[i]->link_group;
    dray_autofree const struct dray_tree_entry **first = calloc((size_t)groups + 1, sizeof(*first));
    if (!first)
        return DRAY_NO_MEMORY;
    for (size_t i = 0; result == 0 && i < tree->count; i++) {
        const struct dray_tree_entry *entry = tree->entries[i];
        const struct dray_tree_entry *same = entry->link_group ? first[entry->link_group] : NULL;
        /* What was delivered: set-user-ID and set-group-ID are not passed on, unless the push says
         * that it set another mode. */
        struct dray_tree_entry delivered = *entry;
        delivered.mode &= 01777;
        if (step->modes && (step->modes[i] & DRAY_MODE_SET))
            delivered.mode = step->modes[i] & 07777;
        result = dray_tree_line(&piece, &delivered,
                                entry->type == DRAY_FILE ? step->digests[i] : NULL, same);
        if (result == 0)
            result = pass_on(&piece, PIECE, fn, arg);
        if (entry->link_group && !same)
            first[entry->link_group] = entry;
    }
    return result != 0 ? result : pass_on(&piece, 0, fn, arg);
}
